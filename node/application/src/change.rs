//! A slot's net change, and the digest of the whole state that follows from it.
//!
//! The digest is incremental: what a slot changes is taken out of an accumulator and put in anew, whatever the size of the state.
//! Only *net* changes are: a key that a slot writes often, or back to what it was, counts once or not at all. The accumulator is
//! stored with each slot's change, so a crash leaves state and accumulator of the same slot.

use crate::overlay::Overlay;
use crate::state::{PageLimit, Space, StateError, StateReader};
use bytes::Bytes;
use varangian_consensus::Slot;
use varangian_crypto::{CodecError, Digest, StateDigest, decode, encode};

/// Entries read at a time when the digest is computed anew.
const PAGE: PageLimit = PageLimit { entries: 1024, bytes: 1 << 20 };

/// A key and its new value; `None` deletes it.
pub type Write = (Bytes, Option<Bytes>);

/// Everything that a slot changes, to be applied in one atomic write. Applying it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Writes to [`Space::Application`], in order of key, each key once.
    pub application: Vec<Write>,
    /// Writes to [`Space::Client`], likewise.
    pub clients: Vec<Write>,
    /// What to store beside them, in place of the last.
    pub meta: Meta,
}

/// How far the state has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Last executed slot.
    pub slot: Slot,
    /// The chain of executed batches up to it.
    pub history: Digest,
    /// The accumulator over every entry of both spaces.
    pub state: StateDigest,
}

impl Meta {
    /// The bytes to store: slot, history, accumulator.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(&(self.slot, self.history, self.state.to_bytes()))
    }

    /// Of stored bytes.
    ///
    /// # Errors
    /// [`CodecError`] if they are not [`Self::encode`]'s.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (slot, history, lanes): (Slot, Digest, [u8; StateDigest::BYTES]) = decode(bytes)?;
        Ok(Self { slot, history, state: StateDigest::from_bytes(&lanes) })
    }
}

impl StateChange {
    /// What `overlay` changes of `base`, whose accumulator is `before`.
    pub(crate) fn net(
        base: &dyn StateReader,
        overlay: Overlay,
        before: &StateDigest,
        slot: Slot,
        history: Digest,
    ) -> Result<Self, StateError> {
        let mut state = before.clone();
        let [application, clients] = overlay.into_writes();
        let application = net_writes(base, Space::Application, application, &mut state)?;
        let clients = net_writes(base, Space::Client, clients, &mut state)?;
        Ok(Self { application, clients, meta: Meta { slot, history, state } })
    }

    /// The writes to a space.
    #[must_use]
    pub fn writes(&self, space: Space) -> &[Write] {
        match space {
            Space::Application => &self.application,
            Space::Client => &self.clients,
        }
    }
}

/// Old values are read one at a time here, not kept from the operations: a batch of small writes over long values would
/// otherwise hold all of them in memory.
fn net_writes(
    base: &dyn StateReader,
    space: Space,
    writes: impl IntoIterator<Item = Write>,
    state: &mut StateDigest,
) -> Result<Vec<Write>, StateError> {
    let mut net = Vec::new();
    for (key, new) in writes {
        let old = base.get(space, &key)?;
        if old == new {
            continue;
        }
        if let Some(old) = &old {
            state.remove(space.namespace(), &key, old);
        }
        if let Some(new) = &new {
            state.add(space.namespace(), &key, new);
        }
        net.push((key, new));
    }
    Ok(net)
}

/// The accumulator of a whole state, from its entries alone: tells whether a store holds what its [`Meta`] says.
///
/// # Errors
/// [`StateError`] if an entry cannot be read.
pub fn recompute(state: &dyn StateReader) -> Result<StateDigest, StateError> {
    let mut digest = StateDigest::new();
    for space in Space::ALL {
        let mut after: Option<Bytes> = None;
        loop {
            let page = state.scan(space, &[], after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            for (key, value) in &page {
                digest.add(space.namespace(), key, value);
            }
            after = Some(last.clone());
        }
    }
    Ok(digest)
}
