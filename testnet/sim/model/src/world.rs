//! The tables of one search: every distinct node, message and set of messages once, and every distinct step of the core computed once.
//!
//! Equal is equal in everything; hashes only find, they never decide. So a state of the search is a handful of numbers.

use crate::alphabet::{Alphabet, Kind, Known, SLOT};
use crate::node::{Node, Outcome};
use crate::scenario::{Bodies, FAULTY, Scenario};
use crate::soup::{Sent, Soup, Votes, forge, look};
use crate::table::{Pairs, Row, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use varangian_consensus::{Commit, Delivery, Input, Message, NULL_BATCH, Phase, PrePrepare, View, ViewChange};
use varangian_crypto::{Digest, ReplicaId, Verify};

/// The honest replicas.
pub const HONEST: [u16; 3] = [1, 2, 3];
/// The primary of view 1.
pub const LEADER: u16 = 1;
/// In the place of a message's number: the command timer expires.
pub const EXPIRE: u16 = u16::MAX;

/// What one input makes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The node after it.
    pub node: u32,
    /// What it says: a number of a list of messages; 0 says nothing.
    pub said: u32,
    /// What the node after it has decided, see [`World::decision`]; 0 is nothing.
    pub decided: u8,
    /// Whether it votes in view 1.
    pub entered: bool,
    /// Whether it did what must never happen.
    pub fault: bool,
}

/// Whose rest, after which decision.
type Rest = (ReplicaId, Option<(View, Digest)>);

/// What anyone outside can see of a state: what each replica decided, and who said what. Of symmetric ones the least.
pub type Visible = ([u8; 3], BTreeSet<(ReplicaId, View, Kind)>);

impl Step {
    /// What shows of a node, and nothing said.
    fn none(number: u32, node: &Node, world: &World) -> Self {
        Self {
            node: number,
            said: 0,
            decided: node.decided.map_or(0, |(view, digest)| world.decision(view, digest)),
            entered: node.replica.view() == View(1) && node.replica.phase() == Phase::Active,
            fault: node.fault.is_some(),
        }
    }
}

/// See the module. Lives as long as the process: states refer to it.
#[derive(Debug)]
pub struct World {
    /// Keys, batches, names.
    pub alphabet: Alphabet,
    /// What may happen.
    pub scenario: Scenario,
    /// Set when time or memory is used up: no state has successors any more.
    pub halted: AtomicBool,
    /// Set when a state at the depth limit had successors.
    pub truncated: AtomicBool,
    messages: Table<Vec<u8>>,
    known: RwLock<Vec<Arc<Known>>>,
    lists: Table<Vec<u16>>,
    nodes: Table<Node>,
    /// By which step a node was first reached.
    parents: RwLock<Vec<Option<(u32, u16)>>>,
    soups: Table<Soup>,
    resting: Mutex<BTreeMap<Rest, u32>>,
    digests: Mutex<Vec<Digest>>,
    visible: Mutex<BTreeSet<Visible>>,
    seen: Pairs<()>,
    steps: Pairs<Step>,
    grown: Pairs<u32>,
    /// One row for each of the scenario's symmetries.
    permuted_nodes: Vec<Row>,
    permuted_soups: Vec<Row>,
    permuted_messages: Vec<Row>,
}

impl World {
    /// The tables for a scenario, with nothing in them.
    #[must_use]
    pub fn new(scenario: Scenario) -> &'static Self {
        let alphabet = Alphabet::new(scenario.bodies);
        let digests = vec![*alphabet.batches[0].digest(), *alphabet.batches[1].digest(), NULL_BATCH];
        let rows = || scenario.symmetries().iter().map(|_| Row::default()).collect();
        let world = Self {
            alphabet,
            scenario,
            halted: AtomicBool::new(false),
            truncated: AtomicBool::new(false),
            messages: Table::default(),
            known: RwLock::default(),
            lists: Table::default(),
            nodes: Table::default(),
            parents: RwLock::default(),
            soups: Table::default(),
            resting: Mutex::default(),
            digests: Mutex::new(digests),
            visible: Mutex::default(),
            seen: Pairs::default(),
            steps: Pairs::default(),
            grown: Pairs::default(),
            permuted_nodes: rows(),
            permuted_soups: rows(),
            permuted_messages: rows(),
        };
        assert_eq!(world.lists.number(Vec::new()), 0, "list 0 says nothing");
        Box::leak(Box::new(world))
    }

    /// The honest replicas as they begin: they know both clients' commands, and the faulty primary's bodies if those are held.
    pub fn first_nodes(&self) -> [u32; 3] {
        HONEST.map(|id| {
            let committee = &self.alphabet.setup.committee;
            let mut inputs = Vec::new();
            for batch in &self.alphabet.batches {
                let command = batch.commands()[0].clone();
                inputs.push(Input::Command(command.verify(committee).expect("a client's command")));
            }
            if self.scenario.bodies == Bodies::Held {
                for batch in &self.alphabet.batches[..self.scenario.proposals] {
                    let batch = batch.clone().verify(committee).expect("a valid body");
                    let delivery = Delivery::Batch { slot: SLOT, batch };
                    inputs.push(Input::Message { from: ReplicaId(FAULTY), delivery });
                }
            }
            let node = Node::start(&self.alphabet, ReplicaId(id), inputs);
            self.number_node(node, None)
        })
    }

    /// Nodes at rest differ in nothing that can still show but what they decided: one stands for all.
    fn number_node(&self, node: Node, parent: Option<(u32, u16)>) -> u32 {
        if self.scenario.plain || !node.is_at_rest(self.last_view()) {
            return self.number_any_node(node, parent);
        }
        let key = (node.replica.config().id, node.decided);
        let mut resting = self.resting.lock().expect("nobody panics with it");
        *resting.entry(key).or_insert_with(|| self.number_any_node(node, parent))
    }

    /// The last view that the scenario enters.
    fn last_view(&self) -> View {
        View(u64::from(self.scenario.view_change))
    }

    fn number_any_node(&self, node: Node, parent: Option<(u32, u16)>) -> u32 {
        let remember = |_| self.parents.write().expect("nobody panics with it").push(parent);
        self.nodes.number_then(node, remember)
    }

    /// What the faulty primary may say from the start.
    pub fn first_soup(&self) -> u32 {
        let faulty = ReplicaId(FAULTY);
        let mut said = Vec::new();
        for batch in &self.alphabet.batches[..self.scenario.proposals] {
            let pre_prepare = PrePrepare { view: View(0), slot: SLOT, digest: *batch.digest() };
            said.push(Message::PrePrepare(self.alphabet.sign(faulty, pre_prepare)));
            said.push(Message::Commit(self.alphabet.sign::<Commit>(faulty, pre_prepare.commit())));
            if self.scenario.bodies == Bodies::Sent {
                said.push(Message::Batch { slot: SLOT, batch: batch.clone() });
            }
        }
        if self.scenario.lies && self.scenario.view_change {
            let hides = ViewChange { view: View(1), stable: None, prepared: Default::default() };
            said.push(Message::ViewChange(Box::new(self.alphabet.sign(faulty, hides))));
        }
        let said: Vec<u16> = said.into_iter().filter_map(|message| self.message(faulty, message)).collect();
        let empty = self.soups.number(Soup::default());
        let said = self.lists.number(said);
        self.grow(empty, said)
    }

    /// A message's number; `None` if the scenario does not deliver its kind.
    fn message(&self, from: ReplicaId, message: Message) -> Option<u16> {
        let is_change = matches!(message, Message::ViewChange(_) | Message::NewView(_));
        if is_change && !self.scenario.view_change {
            return None;
        }
        let encoded = message.encode();
        let key = [encoded.head.as_ref(), encoded.body.as_ref()].concat();
        let new = self.alphabet.know(from, message)?;
        let mut known = self.known.write().expect("nobody panics with it");
        let number = self.messages.number_then(key, |_| known.push(Arc::new(new)));
        Some(u16::try_from(number).ok().filter(|number| *number < EXPIRE).expect("fewer than 65535 messages"))
    }

    /// A message by its number.
    #[must_use]
    pub fn known(&self, message: u16) -> Arc<Known> {
        self.known.read().expect("nobody panics with it")[usize::from(message)].clone()
    }

    /// A node by its number.
    #[must_use]
    pub fn node(&self, node: u32) -> Arc<Node> {
        self.nodes.get(node)
    }

    /// A set by its number.
    #[must_use]
    pub fn soup(&self, soup: u32) -> Arc<Soup> {
        self.soups.get(soup)
    }

    /// What `input` makes of `node`.
    pub fn step(&self, node: u32, input: u16) -> Step {
        if let Some(step) = self.steps.get(&(node, u32::from(input))) {
            return *step;
        }
        let before = self.nodes.get(node);
        let outcome = if input == EXPIRE {
            before.expire(&self.alphabet)
        } else {
            let known = self.known(input);
            let skipped = before.is_at_rest(self.last_view()) || before.is_indifferent_to(&known);
            if skipped && !self.scenario.plain { None } else { before.deliver(&self.alphabet, &known) }
        };
        let step = outcome.map_or(Step::none(node, &before, self), |outcome| self.remember(node, input, outcome));
        self.steps.insert((node, u32::from(input)), step);
        step
    }

    fn remember(&self, node: u32, input: u16, outcome: Outcome) -> Step {
        let from = outcome.node.replica.config().id;
        let mut said: Vec<u16> = outcome.said.into_iter().filter_map(|message| self.message(from, message)).collect();
        said.sort_unstable();
        said.dedup();
        let step = Step::none(node, &outcome.node, self);
        let parent = Some((node, input));
        let after = self.number_node(outcome.node, parent);
        let said = self.lists.number(said);
        Step { node: after, said, ..step }
    }

    /// The set after `said` was said, and after the faulty replica made what it can of it.
    pub fn grow(&self, soup: u32, said: u32) -> u32 {
        if let Some(grown) = self.grown.get(&(soup, said)) {
            return *grown;
        }
        let mut numbers: Vec<u16> = self.soups.get(soup).messages.iter().map(|sent| sent.number).collect();
        let mut new = self.lists.get(said).as_ref().clone();
        while !new.is_empty() {
            numbers.append(&mut new);
            numbers.sort_unstable();
            numbers.dedup();
            let known: Vec<_> = numbers.iter().map(|number| self.known(*number)).collect();
            let known: Vec<&Known> = known.iter().map(Arc::as_ref).collect();
            let forged = forge(&self.alphabet, &self.scenario, &known);
            new.extend(forged.into_iter().filter_map(|message| self.message(ReplicaId(FAULTY), message)));
        }
        let grown = self.number_soup(&numbers);
        self.grown.insert((soup, said), grown);
        grown
    }

    fn number_soup(&self, numbers: &[u16]) -> u32 {
        let known: Vec<_> = numbers.iter().map(|number| self.known(*number)).collect();
        let sent = numbers.iter().zip(&known).map(|(number, known)| Sent {
            votes: self.votes(known),
            faulty: known.signer == ReplicaId(FAULTY),
            signer: known.signer,
            number: *number,
        });
        let mut messages: Vec<_> = sent.collect();
        messages.sort_unstable();
        let mut soup = Soup { messages, ..Soup::default() };
        look(&self.alphabet, &mut soup, &known.iter().map(Arc::as_ref).collect::<Vec<_>>());
        self.soups.number(soup)
    }

    fn votes(&self, known: &Known) -> Option<Votes> {
        match known.kind {
            Kind::Prepare(digest) => Some(Votes::Prepare(self.decision(known.view, digest))),
            Kind::Commit(digest) => Some(Votes::Commit(self.decision(known.view, digest))),
            Kind::ViewChange(_) => Some(Votes::ViewChange),
            _ => None,
        }
    }

    /// The decision of a digest in a view, as a byte: the digest's place in the upper half, the view plus one in the lower.
    fn decision(&self, view: View, digest: Digest) -> u8 {
        let mut digests = self.digests.lock().expect("nobody panics with it");
        let place = digests.iter().position(|known| *known == digest).unwrap_or_else(|| {
            digests.push(digest);
            digests.len() - 1
        });
        let place = u8::try_from(place).ok().filter(|place| *place < 16).expect("a few digests");
        let view = u8::try_from(view.0 + 1).ok().filter(|view| *view < 16).expect("a few views");
        place << 4 | view
    }

    /// The node that `node` would be under a permutation: the one that permuted inputs lead to.
    pub fn permute_node(&self, node: u32, symmetry: usize) -> u32 {
        if let Some(permuted) = self.permuted_nodes[symmetry].get(node) {
            return permuted;
        }
        let parent = self.parents.read().expect("nobody panics with it")[node as usize];
        let permuted = match parent {
            Some((parent, input)) => {
                let parent = self.permute_node(parent, symmetry);
                self.step(parent, self.permute_message(input, symmetry)).node
            }
            None => {
                let id = self.nodes.get(node).replica.config().id;
                let image = self.scenario.symmetries()[symmetry][id.index()];
                self.first_nodes()[usize::from(image) - 1]
            }
        };
        self.permuted_nodes[symmetry].set(node, permuted);
        permuted
    }

    /// The same for a set.
    pub fn permute_soup(&self, soup: u32, symmetry: usize) -> u32 {
        if let Some(permuted) = self.permuted_soups[symmetry].get(soup) {
            return permuted;
        }
        let messages = &self.soups.get(soup).messages;
        let mut numbers: Vec<_> = messages.iter().map(|sent| self.permute_message(sent.number, symmetry)).collect();
        numbers.sort_unstable();
        let permuted = self.number_soup(&numbers);
        self.permuted_soups[symmetry].set(soup, permuted);
        permuted
    }

    fn permute_message(&self, message: u16, symmetry: usize) -> u16 {
        if message == EXPIRE {
            return EXPIRE;
        }
        if let Some(permuted) = self.permuted_messages[symmetry].get(message.into()) {
            return u16::try_from(permuted).expect("a message's number");
        }
        let known = self.known(message);
        let permuted = self.alphabet.permute(&known, &self.scenario.symmetries()[symmetry]);
        let permuted = self.message(known.signer, permuted).expect("of the same kind");
        self.permuted_messages[symmetry].set(message.into(), permuted.into());
        permuted
    }

    /// Remembers what can be seen of a state.
    pub fn see(&self, decided: [u8; 3], soup: u32) {
        let key = (u32::from_le_bytes([decided[0], decided[1], decided[2], 0]), soup);
        if self.seen.insert(key, ()).is_some() {
            return;
        }
        let said: Vec<_> = self.soup(soup).messages.iter().map(|sent| self.known(sent.number)).collect();
        let identity = [0, 1, 2, 3];
        let images = self.scenario.symmetries().iter().chain([&identity]);
        let visible = images.map(|image| {
            let mut moved = [0; 3];
            for (place, id) in HONEST.iter().enumerate() {
                moved[usize::from(image[usize::from(*id)]) - 1] = decided[place];
            }
            let said = said.iter().map(|known| (ReplicaId(image[known.signer.index()]), known.view, known.kind));
            (moved, said.collect())
        });
        self.visible.lock().expect("nobody panics with it").extend(visible.min());
    }

    /// All that was seen.
    #[must_use]
    pub fn visible(&self) -> BTreeSet<Visible> {
        self.visible.lock().expect("nobody panics with it").clone()
    }

    /// Whether the search was told to stop.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }

    /// Distinct nodes, messages and sets so far.
    #[must_use]
    pub fn sizes(&self) -> [usize; 3] {
        [self.nodes.count(), self.messages.count(), self.soups.count()]
    }
}
