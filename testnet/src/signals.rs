//! Signals to end: whatever supervises processes must end them first.

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

/// A signal came: whoever plays several things must not go on with the next.
#[derive(Debug, Error)]
#[error("told to end; nothing is judged or reported")]
pub struct ToldToEnd;

/// Does something up to its end, or to a signal to end (SIGINT, SIGTERM). It is dropped then, and what it holds with it: networks kill their processes.
///
/// # Errors
/// [`ToldToEnd`] upon a signal, and its own.
pub async fn until_told_to_end<T>(doing: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = doing => done,
        _ = interrupt.recv() => Err(ToldToEnd.into()),
        _ = terminate.recv() => Err(ToldToEnd.into()),
    }
}
