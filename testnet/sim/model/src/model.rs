//! States, actions and properties, as stateright asks for them.

use crate::scenario::Scenario;
use crate::soup::{Sent, Votes};
use crate::world::{EXPIRE, HONEST, LEADER, Step, World};
use stateright::{Model, Property};
use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering;

/// One moment of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct State {
    world: &'static World,
    /// Numbers of the honest replicas' nodes.
    pub nodes: [u32; 3],
    /// Number of the set of messages.
    pub soup: u32,
    /// Actions so far, if the search is limited in depth; otherwise 0. In the state, so that a place that is first reached by a long way is
    /// looked at again by a short one.
    pub depth: u16,
    /// What each honest replica has decided. Follows from `nodes`, as the rest does.
    pub decided: [u8; 3],
    entered: bool,
    fault: bool,
    double_vote: bool,
    two_certificates: bool,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        (self.nodes, self.soup, self.depth) == (other.nodes, other.soup, other.depth)
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.nodes, self.soup, self.depth).hash(state);
    }
}

/// One thing that happens: a message, or the votes that complete a quorum, reach an honest replica, or its timer expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Which of [`HONEST`].
    pub place: usize,
    /// The messages, or [`EXPIRE`].
    pub inputs: Inputs,
    step: Step,
}

/// Messages that reach one replica together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs([Option<u16>; 4]);

impl Inputs {
    fn one(input: u16) -> Self {
        Self([Some(input), None, None, None])
    }

    fn push(&mut self, input: u16) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(input);
        }
    }

    /// In the order in which they arrive.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flatten().copied()
    }
}

/// The model that stateright searches.
#[derive(Clone, Copy, Debug)]
pub struct Universe {
    /// Its tables.
    pub world: &'static World,
}

impl State {
    /// The least of the states that are the same under the scenario's symmetries.
    #[must_use]
    pub fn representative(&self) -> Self {
        let symmetries = self.world.scenario.symmetries();
        let permuted = symmetries.iter().enumerate().map(|(number, image)| {
            let mut state = *self;
            for (place, id) in HONEST.iter().enumerate() {
                let target = usize::from(image[usize::from(*id)]) - 1;
                state.nodes[target] = self.world.permute_node(self.nodes[place], number);
                state.decided[target] = self.decided[place];
            }
            state.soup = self.world.permute_soup(self.soup, number);
            state
        });
        permuted.chain([*self]).min_by_key(|state| (state.nodes, state.soup)).unwrap_or(*self)
    }

    /// Whether an honest replica executed this batch by a certificate of this view. 0 is `A`, 1 is `B`.
    fn has_decided(&self, batch: u8, view: u8) -> bool {
        self.decided.contains(&(batch << 4 | (view + 1)))
    }

    fn agrees(&self) -> bool {
        let mut batches = self.decided.iter().filter(|decided| **decided > 0).map(|decided| decided >> 4);
        let first = batches.next();
        batches.all(|batch| Some(batch) == first)
    }
}

impl Universe {
    /// Delivers equal votes, honest ones first, until the replica says or executes something by them; `None` if it never does. Votes are counted
    /// and nothing else, so one that arrives earlier than it must opens no possibility, see the documentation.
    fn count(&self, place: usize, node: u32, votes: &[Sent]) -> Option<Action> {
        let (mut at, mut inputs) = (node, Inputs::default());
        let decided = self.world.node(node).decided;
        for vote in votes.chunk_by(|one, other| one.signer == other.signer).filter_map(|of_one| of_one.first()) {
            let step = self.world.step(at, vote.number);
            if step.node == at {
                continue;
            }
            at = step.node;
            inputs.push(vote.number);
            if step.said > 0 || step.fault || (decided.is_none() && step.decided > 0) {
                return Some(Action { place, inputs, step });
            }
        }
        None
    }

    /// An action in words.
    #[must_use]
    pub fn describe(&self, action: &Action) -> String {
        let id = HONEST[action.place];
        let gets = action.inputs.iter().map(|input| {
            if input == EXPIRE {
                return "its command timer's expiry".into();
            }
            self.world.alphabet.describe(&self.world.known(input))
        });
        let what = format!("r{id} gets {}", gets.collect::<Vec<_>>().join(", "));
        let node = self.world.node(action.step.node);
        let mut came = Vec::new();
        if let Some((view, digest)) = &node.decided {
            came.push(format!("has executed {} of view {view}", self.world.alphabet.name(digest)));
        }
        came.extend(node.fault.clone());
        if came.is_empty() { what } else { format!("{what}; it {}", came.join("; ")) }
    }
}

impl Model for Universe {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (nodes, soup) = (self.world.first_nodes(), self.world.first_soup());
        self.world.see([0; 3], soup);
        vec![State {
            world: self.world,
            nodes,
            soup,
            depth: 0,
            decided: [0; 3],
            entered: false,
            fault: false,
            double_vote: false,
            two_certificates: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let world = self.world;
        if world.is_halted() {
            return;
        }
        let soup = world.soup(state.soup);
        for (place, id) in HONEST.iter().enumerate() {
            let node = state.nodes[place];
            let matters = |input: u16| {
                let step = world.step(node, input);
                let changes = step.node != node || (step.said > 0 && world.grow(state.soup, step.said) != state.soup);
                changes.then(|| Action { place, inputs: Inputs::one(input), step })
            };
            let others = |message: &&Sent| message.signer.0 != *id;
            for group in soup.messages.chunk_by(|one, other| one.votes == other.votes) {
                let group: Vec<Sent> = group.iter().filter(others).copied().collect();
                match group.first().and_then(|first| first.votes) {
                    _ if world.scenario.plain => {
                        actions.extend(group.iter().filter_map(|message| matters(message.number)));
                    }
                    None => actions.extend(group.iter().filter_map(|message| matters(message.number))),
                    Some(Votes::ViewChange) if *id == LEADER => {
                        actions.extend(group.iter().filter_map(|message| matters(message.number)));
                    }
                    Some(_) => actions.extend(self.count(place, node, &group)),
                }
            }
            if world.scenario.view_change {
                actions.extend(matters(EXPIRE));
            }
        }
        if world.scenario.depth.is_some_and(|depth| state.depth >= depth) && !actions.is_empty() {
            world.truncated.store(true, Ordering::Relaxed);
            actions.clear();
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        next.nodes[action.place] = action.step.node;
        next.decided[action.place] = action.step.decided;
        next.entered |= action.step.entered;
        next.fault |= action.step.fault;
        if action.step.said > 0 {
            next.soup = self.world.grow(last.soup, action.step.said);
            let soup = self.world.soup(next.soup);
            (next.double_vote, next.two_certificates) = (soup.double_vote, soup.two_certificates);
        }
        if self.world.scenario.depth.is_some() {
            next.depth += 1;
        }
        self.world.see(next.decided, next.soup);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("agreement: no two honest replicas execute different batches", |_, state: &State| {
                state.agrees()
            }),
            Property::always("agreement: no two commit certificates", |_, state: &State| !state.two_certificates),
            Property::always("no honest replica votes twice for one place", |_, state: &State| !state.double_vote),
            Property::always("validity, and no honest replica fails", |_, state: &State| !state.fault),
        ];
        properties.extend(reachable(&self.world.scenario));
        properties
    }
}

/// What must be seen somewhere, or the search has looked at nothing.
fn reachable(scenario: &Scenario) -> Vec<Property<Universe>> {
    let mut reachable = vec![
        Property::sometimes("A is executed in view 0", |_, state: &State| state.has_decided(0, 0)),
        Property::sometimes("all execute A in view 0", |_, state: &State| state.decided == [0x01; 3]),
    ];
    if scenario.proposals > 1 {
        reachable.push(Property::sometimes("B is executed in view 0", |_, state: &State| state.has_decided(1, 0)));
    }
    if scenario.view_change {
        reachable.extend([
            Property::sometimes("view 1 begins", |_, state: &State| state.entered),
            Property::sometimes("A is executed in view 1", |_, state: &State| state.has_decided(0, 1)),
            Property::sometimes("the new primary's own batch is executed", |_, state: &State| state.has_decided(3, 1)),
            Property::sometimes("A is executed in view 0 by one and in view 1 by another", |_, state: &State| {
                state.has_decided(0, 0) && state.has_decided(0, 1)
            }),
        ]);
    }
    reachable
}
