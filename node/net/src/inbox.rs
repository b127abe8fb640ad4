//! Bounded queue of what arrived: many sources, one consumer.
//!
//! Three bounds hold at once: items in all, bytes of each source, bytes of all sources. A source that meets one
//! waits, and with it its stream; QUIC's flow control then holds back its sender. Waiting sources are served in
//! turn, so one that floods gets no more than its place in the row.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The consumer's end.
#[derive(Debug)]
pub struct Inbox<T> {
    receiver: mpsc::Receiver<Charged<T>>,
}

/// An item and the bytes it is charged with, given back when the consumer takes it.
#[derive(Debug)]
struct Charged<T> {
    item: T,
    _charge: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// Where sources come from.
#[derive(Debug)]
pub(crate) struct Intake<T> {
    sender: mpsc::Sender<Charged<T>>,
    total: Arc<Semaphore>,
}

/// One source's end.
#[derive(Debug)]
pub(crate) struct Source<T> {
    sender: mpsc::Sender<Charged<T>>,
    share: u32,
    own: Arc<Semaphore>,
    total: Arc<Semaphore>,
}

/// The consumer has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NobodyListens;

/// A queue of at most `items` items and `bytes` bytes.
pub(crate) fn channel<T>(items: usize, bytes: usize) -> (Intake<T>, Inbox<T>) {
    let (sender, receiver) = mpsc::channel(items);
    let total = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
    (Intake { sender, total }, Inbox { receiver })
}

impl<T> Intake<T> {
    /// A source that may have `bytes` bytes in the queue, which is at most the bytes of all.
    pub(crate) fn source(&self, bytes: usize) -> Source<T> {
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        Source {
            sender: self.sender.clone(),
            share,
            own: Arc::new(Semaphore::new(share as usize)),
            total: Arc::clone(&self.total),
        }
    }
}

impl<T> Source<T> {
    /// Queues an item of `bytes` bytes as soon as there is room. One above the source's share, which the limits
    /// rule out, is charged the whole share and so waits for an empty queue.
    pub(crate) async fn send(&self, item: T, bytes: usize) -> Result<(), NobodyListens> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.share);
        let charge = if permits == 0 {
            None
        } else {
            let own = acquire(&self.own, permits).await?;
            let total = acquire(&self.total, permits).await?;
            Some((own, total))
        };
        let charged = Charged { item, _charge: charge };
        self.sender.send(charged).await.map_err(|_| NobodyListens)
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> Result<OwnedSemaphorePermit, NobodyListens> {
    Arc::clone(semaphore).acquire_many_owned(permits).await.map_err(|_| NobodyListens)
}

impl<T> Inbox<T> {
    /// The next item; `None` once all sources have gone and the queue is empty. May be cancelled.
    pub async fn recv(&mut self) -> Option<T> {
        self.receiver.recv().await.map(|charged| charged.item)
    }

    /// The next item if one waits.
    pub fn try_recv(&mut self) -> Option<T> {
        self.receiver.try_recv().ok().map(|charged| charged.item)
    }

    /// Items that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

#[cfg(test)]
mod tests;
