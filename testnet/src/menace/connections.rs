//! Connections as fast as they come up: held with nothing said, held after one question, or dropped at once.

use super::target::Door;
use super::wire::{Act, framed, status};

/// One connection.
pub(super) async fn act(mut act: Act) {
    let what = act.random.below(3);
    let Some(connection) = act.connect(None).await else { return };
    match what {
        0 => connection.close(0_u32.into(), b""),
        1 => act.ended(&connection).await,
        _ => {
            let Some((mut send, receive)) = act.stream(&connection).await else { return };
            let question = if act.door == Door::Clients { framed(&status()) } else { vec![0] };
            if act.write(&mut send, &question).await {
                act.listen(&connection, receive).await;
            } else {
                act.ended(&connection).await;
            }
        }
    }
}
