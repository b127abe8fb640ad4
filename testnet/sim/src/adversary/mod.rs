//! Replicas that misbehave on purpose.
//!
//! An adversary is an honest replica whose [`Io`](varangian_runner::Io) is wrapped: the core inside runs the production protocol and is told what
//! an honest one would be told, while what leaves the replica is rewritten by something that holds its key. So no adversary forks the protocol, none
//! can sign for anybody else, and each runs alike over a simulator's `Io` and over a real process'.
//!
//! Reading order:
//!
//! - [`registry`]: every attack by name, with its rows in the table of attacks, its defence and what can be proved.
//! - [`attack`]: a kind of attack and when it strikes, as a scenario or a person names it.
//! - [`trigger`]: when it strikes.
//! - [`wrapper`]: the wrapped `Io`; [`witness`]: whether what came out of it is other than what went in.
//! - [`behaviour`]: what a behaviour may rewrite.
//! - [`hand`]: the key, the peers and the trigger that a behaviour works with; [`saying`]: what is said, and the place it belongs to.
//! - A file per behaviour. Primaries: [`silent_primary`], [`retelling_primary`] with its [`telling`]s, [`lying_new_primary`], [`preempting_primary`],
//!   [`recanting_primary`], [`preparing_primary`]. Whoever keeps things back is a [`muffler`]: [`body_withholder`], [`dark_keeper`], [`crasher`], [`omitter`]; and [`vote_withholder`], [`latecomer`]. Whoever signs too much:
//!   [`double_voter`], [`amnesiac`], [`far_seer`], [`foreigner`], [`forger`], [`replayer`], [`view_stormer`], [`lying_view_changer`], [`lying_checkpointer`].
//!   [`skewed_clock`]s wait too long, or not long enough. [`bad_source`] answers badly, [`body_flooder`] when nobody asked, and [`colluder`]s share a plan. Among replicas honest, and not to clients: [`bad_replier`], [`boaster`], [`deaf`]; [`told`]: what a client is told.
//!
//! A new one is a file with a type that implements [`Behaviour`], and a row in [`registry`].

pub mod amnesiac;
pub mod attack;
pub mod bad_replier;
pub mod bad_source;
pub mod behaviour;
pub mod boaster;
pub mod body_flooder;
pub mod body_withholder;
pub mod colluder;
pub mod crasher;
pub mod dark_keeper;
pub mod deaf;
pub mod double_voter;
pub mod far_seer;
pub mod foreigner;
pub mod forger;
pub mod hand;
pub mod latecomer;
pub mod lying_checkpointer;
pub mod lying_new_primary;
pub mod lying_view_changer;
pub mod muffler;
pub mod omitter;
pub mod preempting_primary;
pub mod preparing_primary;
pub mod recanting_primary;
pub mod registry;
pub mod replayer;
pub mod retelling_primary;
pub mod saying;
pub mod silent_primary;
pub mod skewed_clock;
pub mod telling;
pub mod told;
pub mod trigger;
pub mod view_stormer;
pub mod vote_withholder;
pub mod witness;
pub mod wrapper;

mod error;

pub use attack::{Attack, Kind, Plan};
pub use behaviour::Behaviour;
pub use error::{AttackError, nearest};
pub use hand::Hand;
pub use registry::ATTACKS;
pub use told::Told;
pub use trigger::{Probability, Span, Trigger};
pub use witness::Strikes;
pub use wrapper::Adversary;

#[cfg(test)]
mod tests;
