//! A byte a second, and never a whole frame.

use std::time::Duration;

use tokio::time::sleep;

use super::wire::Act;

/// What is announced: small, so that nothing speaks against it but time.
const ANNOUNCED: u32 = 100;
/// Between two bytes.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes until the connection ends; the header too comes byte by byte.
pub(super) async fn act(mut act: Act) {
    let Some(connection) = act.connect(None).await else { return };
    let Some((mut send, _receive)) = act.stream(&connection).await else { return };
    let bytes = ANNOUNCED.to_le_bytes().into_iter().chain(std::iter::repeat_n(0, ANNOUNCED as usize - 1));
    let writing = async {
        for byte in bytes {
            if !act.write(&mut send, &[byte]).await {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = writing => act.ended(&connection).await,
        () = act.ended(&connection) => {}
    }
}
