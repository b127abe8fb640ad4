//! Replies to commands that ran before, once more: the bytes that the store holds, read on a thread of their own.
//!
//! A command of a hundred bytes may ask for a reply of hundreds of kilobytes. So few can wait here, and nothing that others need waits behind them.

use crate::core::CoreHandle;
use crate::desk::{Clerk, Desk};
use crate::execute::Reader;
use crate::metrics::Metrics;
use crate::thread;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use varangian_application::{StateError, cached_reply};
use varangian_consensus::Identity;
use varangian_storage::Store;

/// Replies that may wait.
const WAITING: usize = 1024;

/// Hands identities to the thread.
#[derive(Clone, Debug)]
pub struct Repeating {
    queue: SyncSender<Identity>,
    desk: Arc<Desk>,
    metrics: Arc<Metrics>,
}

impl Repeating {
    /// Sends the reply of a command that has run, if anybody listens for it. Dropped where too many wait: the client asks again.
    pub fn reply(&self, identity: Identity) {
        if !self.desk.listens(&identity.client) {
            return;
        }
        match self.queue.try_send(identity) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.refused("too many retries"),
            Err(TrySendError::Disconnected(_)) => tracing::debug!("the thread that repeats replies is gone"),
        }
    }
}

/// Starts the thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn<C: Clerk + 'static>(
    store: Arc<Store>,
    desk: Arc<Desk>,
    clerk: Arc<C>,
    core: CoreHandle,
    metrics: Arc<Metrics>,
) -> std::io::Result<(Repeating, JoinHandle<()>)> {
    let (repeating, identities) = queue(desk, metrics);
    let handle = core.clone();
    let thread = thread::spawn("repeating", &handle, move || {
        while let Ok(identity) = identities.recv() {
            if let Err(error) = repeat(&store, &*clerk, &identity) {
                return core.fatal(format!("reading a reply: {error}"));
            }
        }
    })?;
    Ok((repeating, thread))
}

fn queue(desk: Arc<Desk>, metrics: Arc<Metrics>) -> (Repeating, Receiver<Identity>) {
    let (queue, identities) = sync_channel(WAITING);
    (Repeating { queue, desk, metrics }, identities)
}

/// It ran, so its reply is there, unless it is decided and not executed yet, and is told then; or its client's window has slid past it since: then it
/// is too old, and the client's next retry is told so.
fn repeat(store: &Store, clerk: &impl Clerk, identity: &Identity) -> Result<(), StateError> {
    let view = store.view().map_err(StateError::new)?;
    if let Some(reply) = cached_reply(&Reader(view), identity)? {
        clerk.repeat(&identity.client, &reply);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::desk::tests::{client, desk, listening};

    fn waiting(repeating: &Repeating, client: varangian_crypto::ClientKey, identities: &Receiver<Identity>) -> usize {
        (0..2 * WAITING as u64).for_each(|sequence| repeating.reply(Identity { client, sequence }));
        identities.try_iter().count()
    }

    #[tokio::test]
    async fn only_what_is_listened_for_waits_and_not_without_a_bound() {
        let desk = desk();
        let (repeating, identities) = queue(desk.clone(), Arc::new(Metrics::new(&[])));
        let (heard, unheard) = (client(1).client_key(), client(2).client_key());
        listening(&desk, heard);
        assert_eq!(waiting(&repeating, unheard, &identities), 0);
        assert_eq!(waiting(&repeating, heard, &identities), WAITING);
    }
}
