//! Networks that are worse than a loopback: a shaper of UDP between processes of one machine, per directed link, without root.
//!
//! A [`Relay`] stands between a replica that dials and the one that it dials, and speaks plain datagrams: QUIC's bytes pass unread. What becomes of
//! a datagram, and when, is decided by a [`Line`], which knows neither clock nor sockets, from a [`Shape`], which is data, and a seed. What a
//! seed decides is each datagram's fate (lost, doubled, overtaking, how late), not when the replicas send it: real processes stay real.
//!
//! Nothing here corrupts or forges a byte: that is the business of malicious replicas. A line keeps order, unless its shape says otherwise.
//!
//! Reading order:
//!
//! | module | what it holds |
//! |-|-|
//! | [`shape`] | one directed link as data: delay, loss, duplication, reordering, bandwidth, a cut |
//! | `draw` | the numbers that a seed decides |
//! | [`line`](mod@line) | a directed link as a queue, pure: its time is handed in |
//! | [`relay`] | two lines between two real sockets |
//! | [`profile`] | networks by name: a shape for each pair of replicas |
//! | [`timing`] | the timing models by name: shapes that change over time |

mod draw;

pub mod line;
pub mod profile;
pub mod relay;
pub mod shape;
pub mod timing;

pub use line::{Counters, Line};
pub use profile::{PROFILES, Profile};
pub use relay::{Direction, Relay, RelayError, RelayStats, Settings};
pub use shape::{Shape, ShapeError};
pub use timing::{Model, Schedule};
