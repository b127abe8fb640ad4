//! A client that asks, and reads its answers byte by byte or never.

use std::time::Duration;

use tokio::time::sleep;

use super::wire::{Act, framed, status};

/// Bytes that the replica may send ahead: hardly any.
const WINDOW: u32 = 1 << 10;
/// Questions of one act: their answers are more than a replica keeps for one client and has on its way.
const QUESTIONS: usize = 24 << 10;
/// Questions written at once.
const AT_ONCE: usize = 512;
/// Between two bytes that are read.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the connection ends; one in two reads a little.
pub(super) async fn act(act: Act) {
    let mut act = act.at_the_clients_door();
    let Some(connection) = act.connect(Some(WINDOW)).await else { return };
    let Some((mut send, Some(mut receive))) = act.stream(&connection).await else { return };
    let questions = framed(&status()).repeat(AT_ONCE);
    let asking = async {
        for _ in 0..QUESTIONS / AT_ONCE {
            if !act.write(&mut send, &questions).await {
                return;
            }
        }
        std::future::pending().await
    };
    let reads = act.random.clone().below(2) == 0;
    let reading = async {
        let mut byte = [0];
        while reads && matches!(receive.read(&mut byte).await, Ok(Some(_))) {
            act.tally().received(1);
            sleep(PAUSE).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = asking => act.ended(&connection).await,
        () = reading => {}
        () = act.ended(&connection) => {}
    }
}
