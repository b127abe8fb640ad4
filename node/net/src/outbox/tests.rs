#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;

use super::*;
use crate::budget::{Budget, OWN};

fn outbox(queue_frames: usize, queue_bytes: usize) -> Outbox {
    let outbox =
        Outbox::new(LaneLimits { max_frame: queue_bytes, queue_frames, queue_bytes, inbox_bytes: queue_bytes }, None);
    outbox.open();
    outbox
}

fn frame(byte: u8, length: usize) -> Frame {
    vec![byte; length].into()
}

#[tokio::test]
async fn frames_leave_in_order() {
    let outbox = outbox(10, 100);
    for byte in 0..3 {
        assert_eq!(outbox.push(frame(byte, 5)), Pushed::Queued { dropped: 0 });
    }
    assert_eq!(outbox.take().await, vec![frame(0, 5), frame(1, 5), frame(2, 5)]);
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many() {
    let outbox = outbox(2, 100);
    assert_eq!(outbox.push(frame(0, 1)), Pushed::Queued { dropped: 0 });
    assert_eq!(outbox.push(frame(1, 1)), Pushed::Queued { dropped: 0 });
    assert_eq!(outbox.push(frame(2, 1)), Pushed::Queued { dropped: 1 });
    assert_eq!(outbox.take().await, vec![frame(1, 1), frame(2, 1)]);
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_bytes() {
    let outbox = outbox(100, 10);
    for byte in 0..5 {
        assert_eq!(outbox.push(frame(byte, 2)), Pushed::Queued { dropped: 0 });
    }
    assert_eq!(outbox.push(frame(5, 3)), Pushed::Queued { dropped: 2 });
    assert_eq!(outbox.lock().bytes, 9);
    assert_eq!(outbox.push(frame(6, 10)), Pushed::Queued { dropped: 4 });
    assert_eq!(outbox.take().await, vec![frame(6, 10)]);
    assert_eq!(outbox.lock().bytes, 0);
}

#[tokio::test]
async fn without_dropping_a_full_queue_refuses() {
    let outbox = outbox(2, 10);
    assert_eq!(outbox.try_push(frame(0, 4)), Pushed::Queued { dropped: 0 });
    assert_eq!(outbox.try_push(frame(1, 7)), Pushed::Full);
    assert_eq!(outbox.try_push(frame(2, 6)), Pushed::Queued { dropped: 0 });
    assert_eq!(outbox.try_push(frame(3, 0)), Pushed::Full);
    assert_eq!(outbox.take().await, vec![frame(0, 4), frame(2, 6)]);
}

#[tokio::test]
async fn a_closed_queue_is_empty_and_refuses() {
    let outbox = outbox(5, 10);
    outbox.push(frame(0, 1));
    outbox.push(frame(1, 1));
    assert_eq!(outbox.close(), 2);
    assert_eq!(outbox.push(frame(2, 1)), Pushed::Closed);
    assert_eq!(outbox.try_push(frame(2, 1)), Pushed::Closed);
    outbox.open();
    outbox.push(frame(3, 1));
    assert_eq!(outbox.take().await, vec![frame(3, 1)]);
}

#[tokio::test]
async fn a_writer_takes_little_at_a_time() {
    let outbox = outbox(100, 100 * BATCH);
    for byte in 0..5 {
        outbox.push(frame(byte, BATCH / 2));
    }
    assert_eq!(outbox.take().await.len(), 2);
    assert_eq!(outbox.take().await.len(), 2);
    assert_eq!(outbox.take().await.len(), 1);
}

#[tokio::test]
async fn a_waiting_writer_is_woken() {
    let outbox = std::sync::Arc::new(outbox(5, 10));
    let writer = tokio::spawn({
        let outbox = std::sync::Arc::clone(&outbox);
        async move { outbox.take().await }
    });
    tokio::task::yield_now().await;
    outbox.push(Bytes::from_static(b"x").into());
    assert_eq!(writer.await.unwrap(), vec![frame(b'x', 1)]);
}

/// Who shares is refused what others hold, until it has left the writer's hands.
#[tokio::test]
async fn those_who_share_hold_no_more_together() {
    let limits = LaneLimits { max_frame: 1 << 20, queue_frames: 10, queue_bytes: 1 << 20, inbox_bytes: 1 << 20 };
    let budget = Budget::new(100);
    let [one, other] = [(); 2].map(|()| Outbox::new(limits, Some(budget.charge())));
    one.open();
    other.open();
    assert_eq!(one.try_push(frame(1, OWN + 60)), Pushed::Queued { dropped: 0 });
    assert_eq!(other.try_push(frame(2, OWN + 60)), Pushed::Crowded);
    assert_eq!(one.take().await.len(), 1);
    assert_eq!(other.try_push(frame(2, OWN + 60)), Pushed::Crowded, "it is being written");
    assert_eq!((one.holds(), other.holds()), (OWN + 60, 0));
    one.close();
    assert_eq!(other.try_push(frame(2, OWN + 60)), Pushed::Queued { dropped: 0 });
    assert_eq!(other.take().await.len(), 1);
    one.open();
    assert_eq!(one.try_push(frame(1, OWN + 60)), Pushed::Crowded);
    assert_eq!(other.try_push(frame(2, 1)), Pushed::Queued { dropped: 0 });
    assert_eq!(other.take().await.len(), 1);
    assert_eq!(one.try_push(frame(1, OWN + 60)), Pushed::Queued { dropped: 0 }, "the large one has left");
}
