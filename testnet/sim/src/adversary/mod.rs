//! Replicas that misbehave on purpose.
//!
//! An adversary is an honest replica whose [`Io`](varangian_runner::Io) is wrapped: the core inside runs the production protocol and is told what
//! an honest one would be told, while what leaves the replica is rewritten by something that holds its key. So no adversary forks the protocol, none
//! can sign for anybody else, and each runs alike over a simulator's `Io` and over a real process'.
//!
//! Reading order:
//!
//! - [`attack`]: every attack by name, as a scenario or a person names it.
//! - [`trigger`]: when it strikes.
//! - [`wrapper`]: the wrapped `Io`.
//! - [`behaviour`]: what a behaviour may rewrite.
//! - [`hand`]: the key, the peers and the trigger that a behaviour works with.
//! - One file per behaviour: [`silent_primary`], [`equivocating_primary`], [`vote_withholder`], [`double_voter`].
//!
//! A new one is a file with a type that implements [`Behaviour`], and a row in [`attack`].

pub mod attack;
pub mod behaviour;
pub mod double_voter;
pub mod equivocating_primary;
pub mod hand;
pub mod silent_primary;
pub mod trigger;
pub mod vote_withholder;
pub mod wrapper;

mod error;

pub use attack::{ATTACKS, Attack, Kind};
pub use behaviour::Behaviour;
pub use error::AttackError;
pub use hand::Hand;
pub use trigger::{Probability, Span, Trigger};
pub use wrapper::Adversary;

#[cfg(test)]
mod tests;
