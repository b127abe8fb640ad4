//! Who answers clients for a malicious replica, in the place of its desk.
//!
//! Behaviours decide what becomes of a reply, as in memory, and here it comes about. They are others than those between core and shell: replies leave by
//! the thread that executes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until};
use varangian::desk::{Clerk, Desk};
use varangian::home::Member;
use varangian_application::kv::{Answer, Response};
use varangian_application::{OperationResult, Outcome, Reply};
use varangian_client::protocol::ReplicaStatus;
use varangian_consensus::{Identity, Record, Slot, View};
use varangian_crypto::{Bounded, BoundedBytes, ClientKey, CodecError, Digest, decode, encode};
use varangian_net::ConnectionId;
use varangian_sim::adversary::told::false_result;
use varangian_sim::adversary::{Adversary, Plan, Strikes, Told};

/// Replies that are kept at most; above it they go out at once.
const KEPT: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct FalseClerk {
    desk: Arc<Desk>,
    adversary: Mutex<Adversary<()>>,
    /// Whether it is malicious yet.
    called: Arc<AtomicBool>,
    late: Sender<(Instant, Reply)>,
    replicas: u16,
    boasts: AtomicU64,
}

impl FalseClerk {
    /// At this desk; honest until it is `called`. Within a runtime.
    pub fn new(desk: Arc<Desk>, plan: &Plan, member: &Member, called: Arc<AtomicBool>) -> Self {
        let mut adversary = Adversary::honest(());
        plan.corrupt(&mut adversary, &member.signer, &member.committee);
        let (late, kept) = channel(KEPT);
        tokio::spawn(release(desk.clone(), kept));
        let replicas = u16::try_from(member.committee.quorums().n()).unwrap_or(u16::MAX);
        Self { desk, adversary: Mutex::new(adversary), called, late, replicas, boasts: AtomicU64::new(0) }
    }

    /// These records are about to be made durable: a liar knows of their commands, and answers.
    pub fn persisting(&self, records: &[Record]) {
        let Some(mut adversary) = self.adversary() else { return };
        for (slot, command) in adversary.answer_early(View(self.desk.view()), records) {
            self.lie(command.identity(), *command.digest(), slot, command.operation_count() as usize);
        }
    }

    /// How often each attack struck at clients, in their order.
    pub fn strikes(&self) -> Vec<u64> {
        let adversary = self.adversary.lock().unwrap_or_else(PoisonError::into_inner);
        adversary.strikes().map(Strikes::total).collect()
    }

    fn lie(&self, identity: Identity, command: Digest, slot: Slot, operations: usize) {
        match false_reply(identity, command, slot, operations) {
            Ok(reply) => self.desk.reply(reply),
            Err(error) => tracing::error!(%error, "a lie is not told"),
        }
    }

    fn keep(&self, reply: Reply, after: Duration) {
        if let Err(refused) = self.late.try_send((Instant::now() + after, reply)) {
            self.desk.reply(refused.into_inner().1);
        }
    }

    /// Who decides what is said, once it is malicious.
    fn adversary(&self) -> Option<MutexGuard<'_, Adversary<()>>> {
        self.called.load(Relaxed).then(|| self.adversary.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clerk for FalseClerk {
    fn reply(&self, reply: Reply) {
        let view = View(self.desk.view());
        let told = self.adversary().map(|mut adversary| adversary.answer(view, reply.slot)).unwrap_or_default();
        match told {
            Told::Truth => self.desk.reply(reply),
            Told::Lie => {
                let operations = if let Outcome::Executed(results) = &reply.outcome { results.len() } else { 1 };
                self.lie(reply.identity(), reply.command, reply.slot, operations);
            }
            Told::Late(after) => self.keep(reply, Duration::from_millis(after)),
            Told::Nothing => {}
        }
    }

    fn repeat(&self, client: &ClientKey, reply: &[u8]) {
        match decode(reply) {
            Ok(reply) => self.reply(reply),
            // Its disk is an honest one's, where this cannot be.
            Err(_) => self.desk.repeat(client, reply),
        }
    }

    fn status(&self, connection: ConnectionId, status: ReplicaStatus) {
        let boasts = self.adversary().is_some_and(|mut adversary| adversary.boasts(View(status.view)));
        let status = if boasts { boast(status, self.replicas, self.boasts.fetch_add(1, Relaxed)) } else { status };
        self.desk.status(connection, status);
    }

    fn hears(&self) -> bool {
        self.adversary().is_none_or(|mut adversary| adversary.hears_clients(View(self.desk.view())))
    }

    fn desk(&self) -> &Desk {
        &self.desk
    }
}

/// Sends each when it is due. All are kept for equally long.
async fn release(desk: Arc<Desk>, mut kept: Receiver<(Instant, Reply)>) {
    while let Some((due, reply)) = kept.recv().await {
        sleep_until(due).await;
        desk.reply(reply);
    }
}

/// A reply as it would be if each operation had been an addition with this sum.
fn false_reply(identity: Identity, command: Digest, slot: Slot, operations: usize) -> Result<Reply, CodecError> {
    let Identity { client, sequence } = identity;
    let sum = false_result(&identity).as_bytes().iter().fold(0, |sum: i64, byte| sum.rotate_left(8) ^ i64::from(*byte));
    let answer = encode(&Answer::Single(Response::Counter(sum)));
    let result = OperationResult::Done(BoundedBytes::try_from(answer)?);
    let outcome = Outcome::Executed(Bounded::try_from(vec![result; operations])?);
    Ok(Reply { client, sequence, command, slot, outcome })
}

/// As far as one can be, and all others are proved faulty. Every other time it is the next replica that says so.
fn boast(status: ReplicaStatus, replicas: u16, number: u64) -> ReplicaStatus {
    let own = status.replica;
    let replica = if number.is_multiple_of(2) { own } else { (own + 1) % replicas.max(1) };
    ReplicaStatus {
        replica,
        view: u64::MAX,
        active: true,
        primary: own,
        executed: u64::MAX,
        stable: u64::MAX,
        behind: false,
        waiting: 0,
        accused: (0..replicas).filter(|other| *other != own).map(|other| (other, 1)).collect(),
        stopped: None,
        ..status
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{boast, false_reply};
    use varangian_application::Outcome;
    use varangian_client::protocol::ReplicaStatus;
    use varangian_consensus::{Identity, Slot};
    use varangian_crypto::{ClientKey, Digest, SigningKey};

    fn client(seed: u8) -> ClientKey {
        SigningKey::from_seed([seed; 32]).client_key()
    }

    /// Liars that do not know of each other say the same.
    #[test]
    fn all_lies_about_a_command_are_one() {
        let identity = Identity { client: client(1), sequence: 7 };
        let lie = |identity| false_reply(identity, Digest::ZERO, Slot(3), 2).unwrap();
        assert_eq!(lie(identity), lie(identity));
        assert!(matches!(lie(identity).outcome, Outcome::Executed(results) if results.len() == 2));
        assert_ne!(lie(identity).outcome, lie(Identity { sequence: 8, ..identity }).outcome);
        assert_ne!(lie(identity).outcome, lie(Identity { client: client(2), ..identity }).outcome);
    }

    #[test]
    fn it_boasts_in_its_own_name_and_in_anothers() {
        let status = ReplicaStatus {
            replica: 3,
            view: 1,
            active: false,
            primary: 1,
            executed: 5,
            history: Digest::ZERO,
            stable: 4,
            behind: true,
            waiting: 9,
            connected: 3,
            accused: Vec::new(),
            stopped: None,
        };
        let boasts = [0, 1].map(|number| boast(status.clone(), 4, number));
        assert_eq!(boasts.each_ref().map(|boast| boast.replica), [3, 0]);
        for boast in boasts {
            assert!(boast.view > 1 && boast.executed > 5 && boast.stable > 4 && boast.active && !boast.behind);
            assert_eq!(boast.accused, [(0, 1), (1, 1), (2, 1)]);
        }
    }
}
