//! Bounded queue of what shall leave on one stream: filled by anyone without waiting, emptied by one writer.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{budget::Charge, frame::Frame, limits::LaneLimits};

/// Bytes that a writer takes at once. More would only lie in the writer's hands, where the oldest can no longer be
/// dropped.
const BATCH: usize = 64 << 10;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits; this many older ones had to go.
    Queued { dropped: usize },
    /// There is no room (only from [`Outbox::try_push`]).
    Full,
    /// All who share hold too much together (only from [`Outbox::try_push`]).
    Crowded,
    /// Nobody is there to send it to.
    Closed,
}

pub(crate) struct Outbox {
    limits: LaneLimits,
    queue: Mutex<Queue>,
    ready: Notify,
}

struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Bytes that the writer has in its hands.
    leaving: usize,
    /// What others may hold instead, if they share.
    charge: Option<Charge>,
    open: bool,
}

impl Outbox {
    /// An empty queue, closed. With a charge, [`Outbox::try_push`] keeps to what all who share it may hold together.
    pub(crate) fn new(limits: LaneLimits, charge: Option<Charge>) -> Self {
        Self {
            limits,
            queue: Mutex::new(Queue { frames: VecDeque::new(), bytes: 0, leaving: 0, charge, open: false }),
            ready: Notify::new(),
        }
    }

    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// Refuses what comes and forgets what waits; says how many frames that were.
    pub(crate) fn close(&self) -> usize {
        let mut queue = self.lock();
        queue.open = false;
        (queue.bytes, queue.leaving) = (0, 0);
        queue.settle();
        std::mem::take(&mut queue.frames).len()
    }

    /// Queues a frame; where there is no room the oldest go.
    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        let mut queue = self.lock();
        if !queue.open {
            return Pushed::Closed;
        }
        let mut dropped = 0;
        while !self.has_room(&queue, &frame) && queue.pop().is_some() {
            dropped += 1;
        }
        queue.append(frame);
        drop(queue);
        self.ready.notify_one();
        Pushed::Queued { dropped }
    }

    /// Queues a frame if there is room.
    pub(crate) fn try_push(&self, frame: Frame) -> Pushed {
        let mut queue = self.lock();
        if !queue.open {
            return Pushed::Closed;
        }
        if !self.has_room(&queue, &frame) {
            return Pushed::Full;
        }
        if !queue.may_hold(frame.len()) {
            return Pushed::Crowded;
        }
        queue.append(frame);
        drop(queue);
        self.ready.notify_one();
        Pushed::Queued { dropped: 0 }
    }

    /// Waits for frames and takes the oldest: at least one, and more while they are few bytes. What was taken before is out of the writer's hands then.
    pub(crate) async fn take(&self) -> Vec<Frame> {
        loop {
            let mut batch = Vec::new();
            let mut bytes = 0;
            {
                let mut queue = self.lock();
                queue.leaving = 0;
                while bytes < BATCH
                    && let Some(frame) = queue.pop()
                {
                    bytes += frame.len();
                    batch.push(frame);
                }
                queue.leaving = bytes;
                queue.settle();
            }
            if !batch.is_empty() {
                return batch;
            }
            self.ready.notified().await;
        }
    }

    /// Bytes that wait or are being written.
    pub(crate) fn holds(&self) -> usize {
        let queue = self.lock();
        queue.bytes + queue.leaving
    }

    fn has_room(&self, queue: &Queue, frame: &Frame) -> bool {
        queue.frames.len() < self.limits.queue_frames && queue.bytes + frame.len() <= self.limits.queue_bytes
    }

    /// Nothing in here can leave the queue half changed, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Charges what it holds and `more`; `false` if there is no room for that.
    fn may_hold(&mut self, more: usize) -> bool {
        let bytes = self.bytes + self.leaving + more;
        self.charge.as_mut().is_none_or(|charge| charge.set(bytes))
    }

    /// It holds less than before.
    fn settle(&mut self) {
        self.may_hold(0);
    }

    fn append(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
