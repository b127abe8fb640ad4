//! From a datagram of a stranger to a connection whose handshake is done.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use quinn::{Connecting, Connection, Endpoint, Incoming};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    admission::{Gate, Ticket, Verdict},
    error::Closed,
};

/// Admits connections until the endpoint is closed, and runs `serve` on each whose handshake succeeds; `full` is called
/// when there is no place for another one. Ends when all of them have ended; dropped, it ends them.
pub(crate) async fn accept<S, F>(endpoint: Endpoint, gate: Arc<Gate>, full: impl Fn() + Send, serve: S)
where
    S: Fn(Connection, Ticket) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let serve = Arc::new(serve);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let Some((connecting, ticket)) = admit(incoming, &gate, &full) else { continue };
                let (gate, serve) = (Arc::clone(&gate), Arc::clone(&serve));
                tasks.spawn(async move {
                    if let Some(connection) = handshake(connecting, &gate).await {
                        serve(connection, ticket).await;
                    }
                });
            }
            Some(ended) = tasks.join_next() => report(ended),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

fn admit(incoming: Incoming, gate: &Arc<Gate>, full: &impl Fn()) -> Option<(Connecting, Ticket)> {
    let address = incoming.remote_address();
    match gate.judge(address.ip(), incoming.remote_address_validated(), Instant::now()) {
        Verdict::Admit(ticket) => match incoming.accept() {
            Ok(connecting) => return Some((connecting, ticket)),
            Err(error) => refused(gate, address, &error.into()),
        },
        // An attempt that has not been validated may always be asked to retry.
        Verdict::Retry => {
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        }
        verdict @ (Verdict::Refuse | Verdict::Full) => {
            tracing::debug!(%address, "connection refused: limit reached");
            incoming.refuse();
            if matches!(verdict, Verdict::Full) {
                full();
            }
        }
    }
    None
}

async fn handshake(connecting: Connecting, gate: &Gate) -> Option<Connection> {
    let address = connecting.remote_address();
    let reason = match timeout(gate.limits().handshake_deadline, connecting).await {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(error)) => error.into(),
        Err(_) => Closed::Deadline,
    };
    refused(gate, address, &reason);
    None
}

fn refused(gate: &Gate, address: SocketAddr, reason: &Closed) {
    gate.handshake_failed();
    tracing::debug!(%address, %reason, "handshake failed");
}

/// Says so if a task panicked; one that was cancelled is as it should be.
pub(crate) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a network task panicked");
    }
}
