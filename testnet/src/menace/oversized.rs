//! A frame of gigabytes is announced, and then bytes come without end.

use super::wire::Act;

/// What the header says: the most it can.
pub(super) const ANNOUNCED: [u8; 4] = u32::MAX.to_le_bytes();
/// Bytes that one act sends at most: enough to show in memory if a replica kept them.
const MOST: usize = 16 << 20;

/// Sends until the connection ends.
pub(super) async fn act(mut act: Act) {
    let Some(connection) = act.connect(None).await else { return };
    let Some((mut send, _receive)) = act.stream(&connection).await else { return };
    let chunk = act.random.bytes(32 << 10);
    let mut going = act.write(&mut send, &ANNOUNCED).await;
    let mut sent = 0;
    while going && sent < MOST {
        going = tokio::select! {
            taken = act.write(&mut send, &chunk) => taken,
            _ = connection.closed() => false,
        };
        sent += chunk.len();
    }
    act.ended(&connection).await;
}
