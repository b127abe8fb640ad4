//! As many streams as it is let open, all left open.

use std::time::Duration;

use quinn::{Connection, SendStream};
use tokio::time::timeout;

use super::wire::Act;

/// For the next stream to be allowed. What is not allowed by then is not.
const PATIENCE: Duration = Duration::from_millis(500);
/// More of them are not tried on one connection.
const MOST: usize = 4096;

/// Opens streams of both kinds, writes a byte on each, and keeps them to the connection's end.
pub(super) async fn act(mut act: Act) {
    let Some(connection) = act.connect(None).await else { return };
    let mut open = Vec::new();
    while open.len() < MOST {
        let Some(mut stream) = another(&connection).await else { break };
        act.tally().change(|counters| counters.streams += 1);
        if !act.write(&mut stream, &[0]).await {
            break;
        }
        open.push(stream);
    }
    act.ended(&connection).await;
}

async fn another(connection: &Connection) -> Option<SendStream> {
    let opened = async {
        tokio::select! {
            both = connection.open_bi() => both.ok().map(|(send, _)| send),
            one = connection.open_uni() => one.ok(),
        }
    };
    timeout(PATIENCE, opened).await.ok().flatten()
}
