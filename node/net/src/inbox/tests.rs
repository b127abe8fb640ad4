#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{future::Future, pin::pin, task::Poll};

use super::*;

/// Polls once: whether the future is done at once.
async fn ready<F: Future>(future: F) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

#[tokio::test]
async fn a_source_waits_for_its_own_bytes_and_holds_back_nobody_else() {
    let (intake, mut inbox) = channel(10, 100);
    let (greedy, modest) = (intake.source(10), intake.source(10));
    assert!(ready(greedy.send(1, 10)).await);
    assert!(!ready(greedy.send(2, 1)).await, "its share is used up");
    assert!(ready(modest.send(3, 10)).await);
    assert_eq!((inbox.recv().await, inbox.recv().await), (Some(1), Some(3)));
    assert!(ready(greedy.send(4, 10)).await, "what was taken no longer counts");
    assert_eq!(inbox.recv().await, Some(4));
}

#[tokio::test]
async fn all_sources_together_are_bounded_in_bytes() {
    let (intake, mut inbox) = channel(10, 15);
    let (one, two) = (intake.source(10), intake.source(10));
    assert!(ready(one.send(1, 10)).await);
    assert!(!ready(two.send(2, 6)).await);
    assert!(ready(two.send(3, 5)).await);
    assert_eq!((inbox.recv().await, inbox.recv().await), (Some(1), Some(3)));
    assert!(ready(two.send(4, 6)).await);
}

#[tokio::test]
async fn all_sources_together_are_bounded_in_number() {
    let (intake, mut inbox) = channel(2, 100);
    let source = intake.source(100);
    assert!(ready(source.send(1, 0)).await);
    assert!(ready(source.send(2, 1)).await);
    assert!(!ready(source.send(3, 0)).await);
    assert_eq!(inbox.len(), 2);
    assert_eq!(inbox.try_recv(), Some(1));
    assert!(ready(source.send(4, 0)).await);
}

#[tokio::test]
async fn waiting_sources_are_served_in_turn() {
    let (intake, mut inbox) = channel(1, 100);
    let (flood, single) = (Arc::new(intake.source(50)), intake.source(50));
    assert_eq!(flood.send(0, 1).await, Ok(()));
    let mut first = pin!(flood.send(1, 1));
    let mut other = pin!(single.send(100, 1));
    assert!(!ready(first.as_mut()).await);
    assert!(!ready(other.as_mut()).await);
    assert_eq!(inbox.recv().await, Some(0));
    assert!(ready(first.as_mut()).await);
    let mut second = pin!(flood.send(2, 1));
    assert!(!ready(second.as_mut()).await);
    assert_eq!(inbox.recv().await, Some(1));
    assert!(!ready(second.as_mut()).await, "it is not its turn");
    assert!(ready(other.as_mut()).await);
    assert_eq!(inbox.recv().await, Some(100));
}

#[tokio::test]
async fn a_source_learns_that_nobody_listens() {
    let (intake, inbox) = channel(1, 10);
    let source = intake.source(10);
    assert_eq!(source.send(1, 10).await, Ok(()));
    let mut waiting = pin!(source.send(2, 5));
    assert!(!ready(waiting.as_mut()).await);
    drop(inbox);
    assert_eq!(waiting.await, Err(NobodyListens));
}

#[tokio::test]
async fn the_queue_ends_with_its_last_source() {
    let (intake, mut inbox) = channel(1, 10);
    let source = intake.source(10);
    drop(intake);
    assert_eq!(source.send(1, 1).await, Ok(()));
    drop(source);
    assert_eq!(inbox.recv().await, Some(1));
    assert_eq!(inbox.recv().await, None);
}
