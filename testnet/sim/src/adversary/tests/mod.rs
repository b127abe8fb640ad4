#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attack;
mod attacks;
mod behaviour;
mod campaign;
mod cluster;
mod honest;
mod recorder;
mod replies;
mod seam;
mod strikes;
mod table;
mod trigger;
