//! Links and connections. A message that is sent without a connection is lost, and so is one whose connection ends before it arrives.

use super::draw::{falls, named, of_bytes};
use super::node::Node;
use super::queue::Happening;
use super::script::Like;
use super::{Held, Micros, World, healthy};
use crate::checks::{Invariant, ensure};
use crate::cluster::event;
use crate::cluster::network::seal;
use std::collections::VecDeque;
use std::sync::Arc;
use varangian_consensus::{Input, Message};
use varangian_crypto::ReplicaId;

/// Messages that a good link holds.
pub(super) const GOOD_LINK: usize = 1024;
/// Inputs that wait for a core that is well.
pub(super) const GOOD_INBOX: usize = 4096;
/// Delay of good links, at most.
const GOOD_DELAY: Micros = 5000;

/// A message with its bytes, shared by all to whom it goes.
#[derive(Debug)]
pub(super) struct Frame {
    /// `None` if the bytes were damaged.
    pub message: Option<Message>,
    pub bytes: Vec<u8>,
    /// A number for the bytes.
    pub hash: u64,
}

/// A frame on its way.
#[derive(Debug)]
pub(super) struct Packet {
    pub from: usize,
    pub to: usize,
    pub connection: u32,
    pub frame: Arc<Frame>,
}

/// One direction between two nodes.
#[derive(Debug, Default)]
struct Link {
    /// Packets so far: the name of the next one.
    packets: u64,
    under_way: usize,
    /// Partitions that lie across it.
    blocked: u32,
    clogs: u32,
    held: VecDeque<Arc<Frame>>,
    /// Other than the plan's network has it.
    like: Option<Like>,
    /// When the last byte of what was sent has left.
    free_at: Micros,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    up: bool,
    number: u32,
    /// A new one is about to be made.
    coming: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Net {
    nodes: usize,
    links: Vec<Link>,
    connections: Vec<Connection>,
}

impl Net {
    pub fn new(nodes: usize) -> Self {
        let links = (0..nodes * nodes).map(|_| Link::default()).collect();
        Self { nodes, links, connections: vec![Connection::default(); nodes * nodes] }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    fn connection(&mut self, one: usize, other: usize) -> &mut Connection {
        &mut self.connections[one.min(other) * self.nodes + one.max(other)]
    }

    pub fn is_open(&mut self, one: usize, other: usize) -> bool {
        let mut passes = |from, to| {
            let link = self.link(from, to);
            link.blocked == 0 && !link.like.is_some_and(|like| like.cut)
        };
        passes(one, other) && passes(other, one)
    }

    pub fn become_like(&mut self, from: usize, to: usize, like: Like) {
        self.link(from, to).like = Some(like);
    }

    pub fn block(&mut self, from: usize, to: usize) {
        self.link(from, to).blocked += 1;
    }

    pub fn unblock(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        link.blocked = link.blocked.saturating_sub(1);
    }

    pub fn disconnect(&mut self, one: usize, other: usize) {
        let connection = self.connection(one, other);
        connection.up = false;
        connection.number += 1;
        self.link(one, other).held.clear();
        self.link(other, one).held.clear();
    }

    pub fn clog(&mut self, from: usize, to: usize) {
        self.link(from, to).clogs += 1;
    }

    /// No partition, no clog, no shape anywhere; what they held back.
    pub fn clear(&mut self) -> Vec<(usize, usize)> {
        let mut held = Vec::new();
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                let link = self.link(from, to);
                link.blocked = 0;
                link.like = None;
                if link.clogs > 0 {
                    link.clogs = 1;
                    held.push((from, to));
                }
            }
        }
        held
    }
}

impl World<'_> {
    /// Sends to whoever has this id, by way of links and connections.
    pub(super) fn send(&mut self, from: usize, to: ReplicaId, frame: &Arc<Frame>, after: Micros) {
        for node in 0..self.nodes.len() {
            let (sender, receiver) = (&self.nodes[from], &self.nodes[node]);
            if receiver.id == to && node != from && hear(sender, receiver) {
                self.transmit(from, node, frame, after);
            }
        }
    }

    pub(super) fn frame(&self, message: Message) -> Arc<Frame> {
        let bytes = seal(&message);
        Arc::new(Frame { message: Some(message), hash: of_bytes(&bytes), bytes })
    }

    fn transmit(&mut self, from: usize, to: usize, frame: &Arc<Frame>, after: Micros) {
        let connection = *self.net.connection(from, to);
        let safety = self.phase == healthy::Phase::Safety;
        let beyond = self.is_beyond_the_edge(to, frame.message.as_ref());
        let link = self.net.link(from, to);
        link.packets += 1;
        let chance = |what: u64, packets: u64| named(&[self.plan.seed, from as u64, to as u64, packets, what]);
        let (packets, like) = (link.packets, link.like);
        if !connection.up || link.blocked > 0 || like.is_some_and(|like| like.cut) {
            return self.lose(from, to, frame, "not connected");
        }
        if beyond {
            return self.lose(from, to, frame, "beyond the quorum's edge");
        }
        let loss = like.map_or(self.plan.network.loss, |like| like.loss);
        if safety && falls(chance(0, packets), loss) {
            return self.lose(from, to, frame, "lost");
        }
        let most = if safety { self.plan.network.link } else { GOOD_LINK };
        if link.under_way >= most || link.held.len() >= most {
            self.probes.hit(super::Probe::LinkFull);
            return self.lose(from, to, frame, "the link is full");
        }
        if link.clogs > 0 {
            link.held.push_back(frame.clone());
            return;
        }
        let frame = &self.garbled(from, frame, chance(20, packets));
        let duplicates = like.map_or(self.plan.network.duplicates, |like| like.duplicates);
        let copies = if safety && falls(chance(1, packets), duplicates) { 2 } else { 1 };
        for copy in 0..copies {
            let (jitter, late) = (chance(2 + copy, packets), chance(8 + copy, packets));
            let delay = after
                + match like {
                    None => self.delay(from, to, jitter, late),
                    Some(like) => match self.sent(from, to, &like, frame.bytes.len() as u64) {
                        Some(waits) => waits + like.takes(jitter, late),
                        None => return self.lose(from, to, frame, "too much waits for the link"),
                    },
                };
            self.net.link(from, to).under_way += 1;
            let packet = Packet { from, to, connection: connection.number, frame: frame.clone() };
            self.queue.after(delay, Happening::Arrives(packet));
        }
    }

    /// How long until so many bytes have left by a link with a bandwidth; `None` if there is no room for them.
    fn sent(&mut self, from: usize, to: usize, like: &Like, bytes: u64) -> Option<Micros> {
        let now = self.queue.now();
        let link = self.net.link(from, to);
        let waits = link.free_at.saturating_sub(now);
        if like.nanos_per_byte > 0 && waits * 1000 / like.nanos_per_byte + bytes > like.queue {
            return None;
        }
        link.free_at = now + waits + bytes * like.nanos_per_byte / 1000;
        Some(link.free_at - now)
    }

    /// The frame as it leaves one who garbles.
    fn garbled(&self, from: usize, frame: &Arc<Frame>, chance: u64) -> Arc<Frame> {
        if !falls(chance, self.nodes[from].garbles) {
            return frame.clone();
        }
        let mut bytes = frame.bytes.clone();
        let place = (chance >> 24) as usize % bytes.len();
        match chance >> 20 & 7 {
            0 => bytes.truncate(place),
            1 => bytes.push(0),
            _ => bytes[place] ^= 1 << (chance >> 16 & 7),
        }
        Arc::new(Frame { message: None, hash: of_bytes(&bytes), bytes })
    }

    fn delay(&self, from: usize, to: usize, jitter: u64, late: u64) -> Micros {
        let network = &self.plan.network;
        let n = usize::from(self.plan.n);
        let base = network.delays[from.min(n - 1)][to.min(n - 1)];
        if self.phase != healthy::Phase::Safety {
            let base = base.min(GOOD_DELAY / 2);
            return base + jitter % base.max(1);
        }
        let late = if falls(late, network.late) { late / 1_000_000 % network.lateness.max(1) } else { 0 };
        base + jitter % base.max(1) + late
    }

    fn lose(&mut self, from: usize, to: usize, frame: &Arc<Frame>, why: &str) {
        self.hash.add(frame.hash ^ 1);
        self.tell(|world| format!("{} -> {} {} [{why}]", world.name(from), world.name(to), world.says(frame)));
    }

    pub(super) fn arrive(&mut self, packet: Packet) -> Held {
        let Packet { from, to, connection, frame } = packet;
        self.net.link(from, to).under_way -= 1;
        self.hash.add(frame.hash ^ (from * 64 + to) as u64);
        let now = *self.net.connection(from, to);
        if !now.up || now.number != connection {
            self.lose(from, to, &frame, "its connection is gone");
            return Ok(());
        }
        let most = if self.phase == healthy::Phase::Safety { self.plan.network.inbox } else { GOOD_INBOX };
        if self.nodes[to].inbox.len() >= most {
            self.probes.hit(super::Probe::InboxFull);
            self.lose(from, to, &frame, "the inbox is full");
            return Ok(());
        }
        let sender = self.nodes[from].id;
        self.tell(|world| format!("{} -> {} {}", world.name(from), world.name(to), world.says(&frame)));
        match self.wire.open(&frame.bytes, frame.message.as_ref(), &self.setup.committee) {
            Ok(delivery) => self.give(to, Input::Message { from: sender, delivery }),
            Err(refusal) => {
                ensure(!self.is_honest(from), Invariant::ValidCertificates, || {
                    format!("honest {sender} sent what proves nothing: {refusal:?} {:?}", frame.message)
                })?;
                self.probes.hit(super::Probe::ForgeryRefused);
            }
        }
        Ok(())
    }

    /// A connection will be made soon, if nothing is in its way then.
    pub(super) fn connect_later(&mut self, one: usize, other: usize) {
        let connection = self.net.connection(one, other);
        if connection.coming || !hear(&self.nodes[one], &self.nodes[other]) {
            return;
        }
        connection.coming = true;
        let number = connection.number;
        let delay = 500 + named(&[self.plan.seed, one as u64, other as u64, number.into(), 77]) % 30_000;
        self.queue.after(delay, Happening::Connect { one, other });
    }

    pub(super) fn connect(&mut self, one: usize, other: usize) -> Held {
        self.net.connection(one, other).coming = false;
        let open = self.net.is_open(one, other) && self.nodes[one].lives() && self.nodes[other].lives();
        let connection = self.net.connection(one, other);
        if open && !connection.up {
            connection.up = true;
            connection.number += 1;
            self.hash.add(connection.number.into());
            self.tell(|world| format!("{} and {} connect", world.name(one), world.name(other)));
            let (first, second) = (self.nodes[one].id, self.nodes[other].id);
            self.give(one, Input::Connected(second));
            self.give(other, Input::Connected(first));
        }
        Ok(())
    }

    pub(super) fn disconnect_from_all(&mut self, node: usize) {
        for peer in 0..self.nodes.len() {
            if peer != node {
                self.net.disconnect(node, peer);
            }
        }
    }

    pub(super) fn connect_to_all(&mut self, node: usize) {
        for peer in 0..self.nodes.len() {
            if peer != node {
                self.connect_later(node, peer);
            }
        }
    }

    pub(super) fn unclog(&mut self, from: usize, to: usize) -> Held {
        let link = self.net.link(from, to);
        link.clogs = link.clogs.saturating_sub(1);
        if link.clogs == 0 {
            for frame in std::mem::take(&mut link.held) {
                self.transmit(from, to, &frame, 0);
            }
        }
        Ok(())
    }

    fn says(&self, frame: &Frame) -> String {
        frame.message.as_ref().map_or_else(|| "garbled bytes".into(), |message| event::message(message, &self.setup))
    }

    pub(super) fn name(&self, node: usize) -> String {
        let id = self.nodes[node].id;
        if node < usize::from(self.plan.n) { id.to_string() } else { format!("{id}'") }
    }
}

/// Whether two nodes are linked: twins do not know each other, and each has its own peers.
const fn hear(one: &Node, other: &Node) -> bool {
    one.id.0 != other.id.0 && one.hears >> other.id.0 & 1 == 1 && other.hears >> one.id.0 & 1 == 1
}
