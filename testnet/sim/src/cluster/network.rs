//! Messages under way: an explicit list, bytes as on a wire, and rules for what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use varangian_consensus::MessageError;
use varangian_consensus::{Delivery, Message};
use varangian_crypto::{Committee, ReplicaId, VerifyError};

/// Results of verification that are remembered: a broadcast is proved once, not once per receiver.
const REMEMBERED: usize = 4096;

/// One message on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Rises with every packet sent.
    pub id: u64,
    /// By whose connection it comes.
    pub from: ReplicaId,
    /// For whom it is.
    pub to: ReplicaId,
    /// What it says.
    pub message: Message,
    frame: Vec<u8>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on its way.
    Deliver,
    /// It is lost.
    Drop,
    /// It waits for [`Cluster::release_held`](super::Cluster::release_held).
    Hold,
    /// It arrives twice.
    Duplicate,
}

/// Decides about the packets it knows about.
pub type Rule = Box<dyn FnMut(&Packet) -> Option<Fate>>;

/// Why bytes that arrived were not given to the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are no message.
    Malformed(MessageError),
    /// The message does not prove itself.
    Unproved(VerifyError),
}

/// See the module.
#[derive(Default)]
pub(super) struct Network {
    pub queue: VecDeque<Packet>,
    pub held: Vec<Packet>,
    rules: Vec<(u64, Rule)>,
    /// The island that each replica is on.
    islands: BTreeMap<ReplicaId, usize>,
    next: u64,
    wire: Wire,
}

/// What receivers make of bytes, remembered: a broadcast is proved once, not once per receiver.
#[derive(Default)]
pub(crate) struct Wire {
    proved: BTreeMap<Vec<u8>, Result<Delivery, Refusal>>,
}

impl Network {
    /// Puts a message on its way, unless a rule or a partition says otherwise; what was sent, and its fate.
    pub fn send(&mut self, from: ReplicaId, to: ReplicaId, message: Message) -> (Packet, Fate) {
        let frame = seal(&message);
        self.next += 1;
        let packet = Packet { id: self.next, from, to, message, frame };
        let ruled = self.rules.iter_mut().find_map(|(_, rule)| rule(&packet));
        let fate = if self.connected(from, to) { ruled.unwrap_or(Fate::Deliver) } else { Fate::Drop };
        match fate {
            Fate::Deliver => self.queue.push_back(packet.clone()),
            Fate::Duplicate => self.queue.extend([packet.clone(), packet.clone()]),
            Fate::Hold => self.held.push(packet.clone()),
            Fate::Drop => {}
        }
        (packet, fate)
    }

    pub fn add_rule(&mut self, rule: Rule) -> u64 {
        self.next += 1;
        self.rules.push((self.next, rule));
        self.next
    }

    pub fn remove_rule(&mut self, id: u64) {
        self.rules.retain(|(known, _)| *known != id);
    }

    pub fn clear_rules(&mut self) {
        self.rules.clear();
    }

    pub fn connected(&self, one: ReplicaId, other: ReplicaId) -> bool {
        self.islands.get(&one) == self.islands.get(&other)
    }

    /// Replicas on no island are on one together. What is under way between islands is lost.
    pub fn partition(&mut self, islands: &[&[u16]]) {
        self.islands.clear();
        for (number, island) in islands.iter().enumerate() {
            self.islands.extend(island.iter().map(|id| (ReplicaId(*id), number)));
        }
        let queue = std::mem::take(&mut self.queue);
        self.queue = queue.into_iter().filter(|packet| self.connected(packet.from, packet.to)).collect();
    }

    /// What the receiver makes of the bytes: decoded, proved.
    pub fn open(&mut self, packet: &Packet, committee: &Committee) -> Result<Delivery, Refusal> {
        self.wire.open(&packet.frame, Some(&packet.message), committee)
    }
}

/// The bytes of a message on a wire.
pub(crate) fn seal(message: &Message) -> Vec<u8> {
    let encoded = message.encode();
    [encoded.head.as_ref(), encoded.body.as_ref()].concat()
}

impl Wire {
    /// Decodes and proves `frame`, which was sent as `message` if that is known.
    pub fn open(
        &mut self,
        frame: &[u8],
        message: Option<&Message>,
        committee: &Committee,
    ) -> Result<Delivery, Refusal> {
        if let Some(known) = self.proved.get(frame) {
            return known.clone();
        }
        let decoded = Message::decode(&frame.to_vec().into()).map_err(Refusal::Malformed);
        if let (Ok(decoded), Some(message)) = (&decoded, message) {
            assert_eq!(decoded, message, "a message is the same after the wire");
        }
        let proved = decoded.and_then(|message| message.verify(committee).map_err(Refusal::Unproved));
        if self.proved.len() >= REMEMBERED {
            self.proved.clear();
        }
        self.proved.insert(frame.to_vec(), proved.clone());
        proved
    }
}
