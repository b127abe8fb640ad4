//! Clients: those that keep to the rules send again until `f + 1` replicas answer alike; the others send anything, once.

use super::draw::{falls, named};
use super::plan::{Plan, What};
use super::queue::Happening;
use super::script::Load;
use super::{Held, Micros, Probe, World, healthy};
use crate::adversary::Told;
use crate::adversary::told::false_result;
use crate::checks::{Invariant, ensure};
use crate::cluster::disk::Answer;
use std::collections::{BTreeMap, VecDeque};
use varangian_consensus::{Command, Identity, Input, Record, Sequence, Slot, View};
use varangian_crypto::{ReplicaId, Verify};

/// A command that waits for its answer.
#[derive(Debug)]
struct Pending {
    command: Command,
    since: Micros,
    replies: BTreeMap<ReplicaId, Answer>,
}

/// A command that was not sent yet.
#[derive(Clone, Copy, Debug)]
struct Planned {
    gap: u64,
    operations: u8,
    bytes: u16,
    to_all: bool,
    /// Only when nothing else is pending.
    alone: bool,
}

#[derive(Debug, Default)]
struct Client {
    planned: VecDeque<Planned>,
    pending: BTreeMap<Sequence, Pending>,
    last: Sequence,
    /// Replies of commands that others sent with its key, or that were answered already.
    heard: BTreeMap<Identity, BTreeMap<ReplicaId, Answer>>,
    /// The view that each replica hinted at last.
    views: BTreeMap<ReplicaId, View>,
}

impl Client {
    /// The highest view that `f + 1` replicas name or exceed, as the client library has it: one that is alone in its view sends nobody astray.
    fn view(&self, f: usize) -> View {
        let mut views: Vec<View> = self.views.values().copied().collect();
        views.sort_unstable_by(|one, other| other.cmp(one));
        views.get(f).copied().unwrap_or_default()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    honest: usize,
    /// Commands that one client may have pending, and numbers that these may span.
    limit: usize,
    span: u64,
    first_retry: Micros,
    longest_retry: Micros,
}

impl Clients {
    pub fn new(plan: &Plan) -> Self {
        let parameters = &plan.parameters;
        let window = u64::from(parameters.client_window);
        let limit = (window.saturating_sub(1)).clamp(1, parameters.client_pool_commands.into());
        Self {
            all: (0..plan.clients).map(|_| Client::default()).collect(),
            honest: plan.honest_clients.into(),
            limit: usize::try_from(limit).unwrap_or(1),
            span: window,
            first_retry: parameters.base_timeout_ms * 500,
            longest_retry: parameters.max_timeout_ms * 1000,
        }
    }

    /// Commands of honest clients that are not answered, sent or not.
    pub fn unanswered(&self) -> usize {
        let honest = self.all.iter().take(self.honest);
        honest.map(|client| client.pending.len() + client.planned.len()).sum()
    }

    /// What waits, in words.
    pub fn waiting(&self) -> String {
        let clients = self.all.iter().take(self.honest).enumerate().filter(|(_, client)| !client.pending.is_empty());
        let named = clients.map(|(number, client)| {
            let letter = char::from(b'a' + number as u8);
            let pending: Vec<_> = client.pending.keys().map(|sequence| format!("{letter}{sequence}")).collect();
            pending.join(" ")
        });
        named.collect::<Vec<_>>().join(" ")
    }

    /// Commands, one after the other, for the first client.
    pub fn plan_tail(&mut self, count: u32) {
        let one = Planned { gap: 0, operations: 1, bytes: 8, to_all: false, alone: true };
        self.all[0].planned.extend((0..count).map(|_| one));
    }
}

impl World<'_> {
    pub(super) fn act_of_client(&mut self, place: usize) -> Held {
        let act = self.plan.commands[place];
        self.hash.add(place as u64);
        match act.what {
            What::Command { gap, operations, bytes, to_all } => {
                let planned = Planned { gap, operations, bytes, to_all, alone: false };
                self.clients.all[usize::from(act.client)].planned.push_back(planned);
                self.send_planned(act.client);
            }
            What::Raw { sequence, variant, to } => {
                let operation = format!("raw {sequence} {variant}");
                let command = self.setup.command(act.client, sequence, &[operation.as_str()]);
                self.checks.invoked(command.identity(), self.now());
                for node in 0..self.nodes.len() {
                    if to >> self.nodes[node].id.0 & 1 == 1 {
                        self.submit(act.client, node, &command);
                    }
                }
            }
        }
        Ok(())
    }

    /// One more command of a client that a script's load keeps busy.
    pub(super) fn send_next(&mut self, client: u8) {
        if let Some(script) = &self.plan.script
            && self.phase == healthy::Phase::Safety
        {
            let Load { operations, bytes, .. } = script.load;
            let planned = Planned { gap: 0, operations, bytes, to_all: false, alone: false };
            self.clients.all[usize::from(client)].planned.push_back(planned);
            self.send_planned(client);
        }
    }

    /// Sends what the rules allow now.
    pub(super) fn send_planned(&mut self, number: u8) {
        while let Some((command, to_all)) = self.next_command(number) {
            let identity = command.identity();
            self.checks.invoked(identity, self.now());
            let f = self.setup.committee.quorums().f();
            let client = &mut self.clients.all[usize::from(number)];
            let primary = self.setup.committee.primary(client.view(f).0);
            let (since, replies) = (self.queue.now(), BTreeMap::new());
            client.pending.insert(identity.sequence, Pending { command: command.clone(), since, replies });
            for node in 0..self.nodes.len() {
                if to_all || self.nodes[node].id == primary {
                    self.submit(number, node, &command);
                }
            }
            let retry = Happening::Retry { client: number, sequence: identity.sequence, attempt: 1 };
            self.queue.after(self.clients.first_retry, retry);
        }
    }

    fn next_command(&mut self, number: u8) -> Option<(Command, bool)> {
        let clients = &mut self.clients;
        let client = &mut clients.all[usize::from(number)];
        let planned = *client.planned.front()?;
        let oldest = client.pending.keys().next().copied();
        // A number that is left out costs nothing but itself.
        let sequence = client.last + 1 + planned.gap;
        let fits = oldest.is_none_or(|oldest| sequence - oldest < clients.span);
        if client.pending.len() >= clients.limit || !fits || (planned.alone && !client.pending.is_empty()) {
            return None;
        }
        client.planned.pop_front();
        client.last = sequence;
        let operations: Vec<String> = (0..planned.operations)
            .map(|at| format!("{}{sequence}.{at} {}", char::from(b'a' + number), "x".repeat(planned.bytes.into())))
            .collect();
        Some((
            self.setup.command(number, sequence, &operations.iter().map(String::as_str).collect::<Vec<_>>()),
            planned.to_all,
        ))
    }

    /// A command sets out for one replica.
    fn submit(&mut self, client: u8, node: usize, command: &Command) {
        let chance = named(&[self.plan.seed, client.into(), node as u64, self.now(), command.sequence()]);
        if self.phase == healthy::Phase::Safety && falls(chance, self.plan.network.loss) {
            return;
        }
        let delay = 200 + (chance >> 32) % 4000;
        self.queue.after(delay, Happening::Request { client, node, command: command.clone() });
    }

    pub(super) fn request(&mut self, client: u8, node: usize, command: &Command) -> Held {
        if !self.nodes[node].lives() || self.nodes[node].paused || self.is_cut_off(node) {
            return Ok(());
        }
        if let Some(runner) = &mut self.nodes[node].runner {
            let view = runner.replica().view();
            if !runner.io().hears_clients(view) {
                return Ok(());
            }
        }
        self.hash.add(command.sequence() << 8 | u64::from(client));
        self.tell(|world| {
            format!("{} <- client {} command {}", world.name(node), char::from(b'a' + client), command.sequence())
        });
        if let Ok(command) = command.clone().verify(&self.setup.committee) {
            self.give(node, Input::Command(command));
        }
        Ok(())
    }

    pub(super) fn retry(&mut self, number: u8, sequence: Sequence, attempt: u32) -> Held {
        let client = &self.clients.all[usize::from(number)];
        let Some(pending) = client.pending.get(&sequence) else { return Ok(()) };
        let command = pending.command.clone();
        self.probes.hit(Probe::ClientRetried);
        for node in 0..self.nodes.len() {
            self.submit(number, node, &command);
        }
        let clients = &self.clients;
        let pause = (clients.first_retry << attempt.min(10)).min(clients.longest_retry);
        self.queue.after(pause, Happening::Retry { client: number, sequence, attempt: attempt + 1 });
        Ok(())
    }

    /// A replica tells a client what its command came to.
    pub(super) fn reply(&mut self, node: usize, identity: Identity, answer: Answer) -> Held {
        let replica = self.nodes[node].id;
        let held = self.checks.replied(replica, identity, &answer);
        self.holds(held)?;
        let Some(runner) = &mut self.nodes[node].runner else { return Ok(()) };
        let view = runner.replica().view();
        match runner.io().answer(view, answer.slot) {
            Told::Truth => self.send_reply(node, view, identity, answer, 0),
            Told::Lie => self.lie_to_client(node, view, identity, answer.slot),
            Told::Late(after) => self.send_reply(node, view, identity, answer, after * 1000),
            Told::Nothing => {}
        }
        Ok(())
    }

    /// Clients of whom a liar knows that they want something are answered before anything is decided.
    pub(super) fn answer_early(&mut self, node: usize, records: &[Record]) {
        let Some(runner) = &mut self.nodes[node].runner else { return };
        let view = runner.replica().view();
        for (slot, command) in runner.io().answer_early(view, records) {
            self.lie_to_client(node, view, command.identity(), slot);
        }
    }

    fn lie_to_client(&mut self, node: usize, view: View, identity: Identity, slot: Slot) {
        let answer = Answer { slot, result: Some(false_result(&identity)) };
        self.send_reply(node, view, identity, answer, 0);
    }

    fn send_reply(&mut self, node: usize, view: View, identity: Identity, answer: Answer, after: Micros) {
        let replica = self.nodes[node].id;
        let chance = named(&[self.plan.seed, node as u64, self.now(), identity.sequence, 3]);
        let lost = self.phase == healthy::Phase::Safety && falls(chance, self.plan.network.loss);
        if !lost && !self.is_cut_off(node) {
            let delay = after + 200 + (chance >> 32) % 4000;
            self.queue.after(delay, Happening::Reply { replica, view, identity, answer });
        }
    }

    pub(super) fn reply_arrives(
        &mut self,
        replica: ReplicaId,
        view: View,
        identity: Identity,
        answer: &Answer,
    ) -> Held {
        let Some(number) =
            (0..self.plan.clients).find(|number| self.setup.client(*number).client_key() == identity.client)
        else {
            return Ok(());
        };
        self.hash.add(answer.slot.0 << 16 | u64::from(replica.0));
        let enough = (self.run.believes)(self.setup.committee.quorums());
        let honest = usize::from(number) < self.clients.honest;
        let client = &mut self.clients.all[usize::from(number)];
        client.views.insert(replica, view);
        let replies = match client.pending.get_mut(&identity.sequence) {
            Some(pending) => &mut pending.replies,
            None => client.heard.entry(identity).or_default(),
        };
        replies.insert(replica, answer.clone());
        let equal = replies.values().filter(|other| *other == answer).count();
        if equal != enough {
            return Ok(());
        }
        if answer.result.is_none() {
            return ensure(!honest || !client.pending.contains_key(&identity.sequence), Invariant::ExactlyOnce, || {
                format!("a client that keeps to the rules is refused {identity:?}")
            });
        }
        let held = self.checks.accepted(identity, answer, self.queue.now());
        self.holds(held)?;
        self.tell(|_| {
            format!(
                "client {} accepts the answer to {} of slot {}",
                char::from(b'a' + number),
                identity.sequence,
                answer.slot
            )
        });
        if let Some(answered) = self.clients.all[usize::from(number)].pending.remove(&identity.sequence) {
            self.waited += self.queue.now() - answered.since;
            self.send_planned(number);
            self.is_answered(number);
        }
        Ok(())
    }
}
