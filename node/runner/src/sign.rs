//! A vote under the replica's own key.

use varangian_consensus::{Delivery, Message, NewView, NewViewDraft, Vote};
use varangian_crypto::{Bounded, CodecError, Signer};

/// Signs a vote: as the own core gets it, and as peers do. Signing is deterministic, so saying it again says the same bytes.
///
/// # Errors
/// [`CodecError::TooLong`] for a NEW-VIEW above every legal size, which the core does not draft.
pub fn sign(signer: &Signer, vote: Vote) -> Result<(Delivery, Message), CodecError> {
    Ok(match vote {
        Vote::PrePrepare(statement) => {
            let signed = signer.sign(statement);
            (Delivery::PrePrepare(signed.clone()), Message::PrePrepare(signed.into_inner()))
        }
        Vote::Prepare(statement) => {
            let signed = signer.sign(statement);
            (Delivery::Prepare(signed.clone()), Message::Prepare(signed.into_inner()))
        }
        Vote::Commit(statement) => {
            let signed = signer.sign(statement);
            (Delivery::Commit(signed.clone()), Message::Commit(signed.into_inner()))
        }
        Vote::Checkpoint(statement) => {
            let signed = signer.sign(statement);
            (Delivery::Checkpoint(signed.clone()), Message::Checkpoint(signed.into_inner()))
        }
        Vote::ViewChange(statement) => {
            let signed = signer.sign(*statement);
            (Delivery::ViewChange(Box::new(signed.clone())), Message::ViewChange(Box::new(signed.into_inner())))
        }
        Vote::NewView(draft) => {
            let signed = signer.sign(new_view(signer, *draft)?);
            (Delivery::NewView(Box::new(signed.clone())), Message::NewView(Box::new(signed.into_inner())))
        }
    })
}

/// Signs each pre-prepare of `O`: backups keep them apart from the NEW-VIEW that carried them.
fn new_view(signer: &Signer, draft: NewViewDraft) -> Result<NewView, CodecError> {
    let pre_prepares: Vec<_> =
        draft.order.into_iter().map(|pre_prepare| signer.sign(pre_prepare).into_inner()).collect();
    Ok(NewView {
        view: draft.view,
        view_changes: Bounded::try_from(draft.view_changes)?,
        pre_prepares: Bounded::try_from(pre_prepares)?,
    })
}
