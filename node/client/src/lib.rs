//! The client library: signs commands, sends them to the replicas, believes what `f + 1` of them say alike.
//!
//! ```no_run
//! use varangian_application::kv::{Action, Operation};
//! use varangian_client::{Client, Network, Options, identity};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::load(".varangian")?;
//! let key = identity::load_or_create(".varangian/clients/default/key")?;
//! let client = Client::connect(&network, key, ".varangian/clients/default/journal", Options::default()).await?;
//!
//! let put = Operation::from(Action::put(b"greeting", "hello")?);
//! let committed = client.submit(&[put.encode()]).await?;
//! println!("slot {}, by {} replicas", committed.slot, committed.replicas.len());
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What a caller gets is one of four answers: it ran ([`Committed`]); it was refused ([`ClientError::Rejected`]); nobody was reached and
//! nothing has happened ([`ClientError::Unavailable`]); or it was sent and no answer came in time, so that it may or may not run
//! ([`ClientError::Unknown`]). In the last case the same bytes are sent again by [`Client::recover`], also after a crash, and run at most once.
//!
//! Reading order:
//!
//! - [`protocol`]: what a client and a replica say to each other.
//! - [`network`]: the genesis and the addresses, from a network directory.
//! - [`identity`]: a key in a file.
//! - [`options`]: deadlines, retransmission, bounds.
//! - [`outcome`], [`error`]: what comes of a command.
//! - [`tally`]: the answers of replicas to one command, and when they suffice. No clock, no sockets.
//! - `hub`: what all connections share; `link`: one replica's connection; `submission`: one command on its way.
//! - [`connections`]: connections to all replicas, and sessions of any number of clients over them.
//! - [`journal`]: numbers reserved before they are used, commands written down before they are sent.
//! - [`client`]: all of it together.

pub mod client;
pub mod connections;
pub mod error;
pub mod identity;
pub mod journal;
pub mod network;
pub mod options;
pub mod outcome;
mod patience;
pub mod protocol;
pub mod tally;

mod hub;
mod link;
mod submission;

#[cfg(test)]
mod testing;

pub use client::{Client, Recovered};
pub use connections::{Connections, Session};
pub use error::ClientError;
pub use hub::LinkState;
pub use journal::{Journal, JournalError};
pub use network::{Network, NetworkError};
pub use options::Options;
pub use outcome::{Committed, Rejection};
