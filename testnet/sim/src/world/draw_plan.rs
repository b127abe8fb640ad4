//! How a seed becomes a plan: what is on at all, how much of it, and when.

use super::Micros;
use super::draw::Draw;
use super::fault::{Edge, Fault, Moment, Written};
use super::net::{GOOD_INBOX, GOOD_LINK};
use super::plan::{Act, Evil, How, Machine, Network, Plan, Rest, Stalls, What};
use crate::adversary::{ATTACKS, Attack, Probability, Span, Trigger};
use varangian_crypto::Parameters;

const MILLISECOND: Micros = 1000;
const SECOND: Micros = 1_000_000;
/// Seeds of which one is calm.
const CALM: u64 = 8;
/// Seeds of which one has real signatures.
const REAL: u64 = 20;

/// Attacks that a single wrong line in a replica would let through are half of all that are played; those that need most luck are here more than once.
const SHARP: [&str; 8] =
    ["recant", "recant", "pre-empt", "pre-empt", "bad-signature", "prepare-own", "forge", "null-slot"];

/// What a run is like as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    /// Synchronous, with an honest primary.
    Calm,
    /// Anything.
    Usual,
    /// Time-outs as short as a few messages, and many small slots under way: views end in the middle of everything.
    Storm,
    /// The same among well connected replicas, with a scheduler at the quorum's edge: see [`Edge`].
    Edge,
}

/// See [`Plan::draw`].
pub(super) fn draw(seed: u64, draw: &mut Draw) -> Plan {
    let profile = match draw.below(100) {
        _ if seed % CALM == CALM - 1 => Profile::Calm,
        0..30 => Profile::Storm,
        30..45 => Profile::Edge,
        _ => Profile::Usual,
    };
    let calm = profile == Profile::Calm;
    let n = draw.pick(&[4, 4, 4, 4, 4, 4, 4, 5, 6, 7, 7, 10]);
    let parameters = match profile {
        Profile::Calm => calm_parameters(draw),
        Profile::Usual => parameters(draw),
        Profile::Storm | Profile::Edge => storm_parameters(draw),
    };
    let heal_at = if n > 7 { draw.between(3, 20) } else { draw.between(5, 60) } * SECOND;
    let honest_clients = draw.between(1, 4) as u8;
    let clients = honest_clients + draw.below(4) as u8;
    let mut plan = Plan {
        seed,
        n,
        real_signatures: seed.is_multiple_of(REAL),
        honest_clients,
        clients,
        calm,
        network: if calm { calm_network(draw, n) } else { network(draw, n, profile) },
        nodes: (0..n).map(|_| machine(draw, calm)).collect(),
        adversaries: Vec::new(),
        commands: Vec::new(),
        faults: Vec::new(),
        heal_at,
        core: Vec::new(),
        rest: Vec::new(),
        tail: u32::try_from(parameters.checkpoint_interval * 2 + 2).unwrap_or(u32::MAX),
        parameters,
        script: None,
    };
    plan.commands = commands(draw, &plan);
    if matches!(profile, Profile::Storm | Profile::Edge) {
        // All at once, again and again: pipelines fill, and views end in the middle of them.
        let burst = draw.between(1, 4) * SECOND;
        plan.commands.iter_mut().for_each(|act| act.at = act.at / burst * burst);
    }
    let mut faulty = draw.order(n.into());
    let f = plan.quorums().f();
    let evils = match profile {
        Profile::Calm => 50,
        Profile::Edge => 10,
        Profile::Usual | Profile::Storm => 70,
    };
    let byzantine = if draw.percent(evils) { draw.between(1, f as u64) as usize } else { 0 };
    if calm {
        // The primary is honest; what a backup does must not move it.
        faulty.retain(|node| *node != 0);
        faulty.truncate(byzantine);
        plan.adversaries = faulty.iter().map(|node| evil(draw, *node, n, calm)).collect();
        plan.core = (0..usize::from(n)).filter(|node| !faulty.contains(node)).collect();
        plan.rest = faulty.iter().map(|node| (*node, Rest::Runs)).collect();
        return plan;
    }
    if draw.percent(70) {
        // Most primaries' attacks strike at the first reigns only.
        let first = draw.pick(&[0, 0, 1]);
        faulty.retain(|node| *node != first);
        faulty.insert(0, first);
    }
    let rotten = if byzantine < f && draw.percent(12) { 1 } else { 0 };
    faulty.truncate(byzantine + rotten);
    plan.adversaries = faulty[..byzantine].iter().map(|node| evil(draw, *node, n, calm)).collect();
    plan.faults = match profile {
        Profile::Edge => edges(draw, &plan),
        _ => faults(draw, &plan, &faulty[byzantine..]),
    };
    if profile == Profile::Storm {
        // Whoever begins a view may do it a second time.
        let drafts = (0..draw.below(6)).map(|_| (draw.below(plan.heal_at), drafted(draw, n.into())));
        plan.faults.extend(drafts.collect::<Vec<_>>());
    }
    let occasions: Vec<_> = plan.adversaries.iter().flat_map(|evil| occasions(draw, &plan, evil)).collect();
    plan.faults.extend(occasions);
    plan.faults.sort_by_key(|(at, _)| *at);
    choose_core(draw, &mut plan, &faulty);
    plan
}

fn choose_core(draw: &mut Draw, plan: &mut Plan, faulty: &[usize]) {
    let healthy: Vec<_> = draw.order(plan.n.into()).into_iter().filter(|node| !faulty.contains(node)).collect();
    // All of the healthy at times, else just enough of them.
    let quorum = if draw.percent(30) { healthy.len() } else { plan.quorums().quorum() };
    plan.core = healthy[..quorum].to_vec();
    plan.core.sort_unstable();
    let rest = (0..usize::from(plan.n)).filter(|node| !plan.core.contains(node));
    plan.rest = rest.map(|node| (node, draw.pick(&[Rest::Dead, Rest::CutOff, Rest::Runs, Rest::Runs]))).collect();
}

/// Limits so small that a run meets them, each switched on by itself.
fn parameters(draw: &mut Draw) -> Parameters {
    let interval = draw.pick(&[1, 2, 2, 3, 4, 4, 8]);
    let window = interval * draw.pick(&[2, 2, 3, 4]);
    let client_window = draw.pick(&[1, 2, 4, 8, 16, 70]);
    let max_batch_bytes = draw.pick(&[1024, 2048, 1 << 14]);
    let base = draw.between(300, 2000);
    Parameters {
        checkpoint_interval: interval,
        window,
        pipeline_depth: draw.pick(&[1, 1, 2, 4, window]).min(window),
        max_batch_bytes,
        max_batch_operations: draw.pick(&[3, 4, 64]),
        max_command_bytes: 1024,
        client_window,
        armed_commands: draw.pick(&[1, 2, 4, 8]),
        client_pool_commands: draw.pick(&[1, 2, 8]).min(client_window),
        pool_bytes: u64::from(max_batch_bytes) * draw.pick(&[1, 4, 64]),
        base_timeout_ms: base,
        max_timeout_ms: base << draw.between(2, 5),
        ..Parameters::default()
    }
}

/// See [`Profile::Storm`].
fn storm_parameters(draw: &mut Draw) -> Parameters {
    let interval = draw.pick(&[4, 8]);
    let window = interval * 2;
    let base = draw.between(150, 500);
    Parameters {
        checkpoint_interval: interval,
        window,
        pipeline_depth: window,
        max_batch_bytes: 1024,
        max_batch_operations: 3,
        max_command_bytes: 1024,
        client_window: 70,
        armed_commands: 8,
        client_pool_commands: 16,
        base_timeout_ms: base,
        max_timeout_ms: base << draw.between(2, 5),
        ..Parameters::default()
    }
}

/// Sized as a genesis should be: what all may have armed is ordered well within the time-out.
fn calm_parameters(draw: &mut Draw) -> Parameters {
    let interval = draw.pick(&[2, 4, 8]);
    Parameters {
        checkpoint_interval: interval,
        window: interval * draw.pick(&[2, 4]),
        pipeline_depth: 4,
        max_batch_bytes: 1 << 14,
        max_batch_operations: 256,
        max_command_bytes: 1024,
        client_window: draw.pick(&[4, 16, 70]),
        armed_commands: draw.pick(&[1, 2, 4]),
        client_pool_commands: 4,
        pool_bytes: 1 << 16,
        base_timeout_ms: draw.between(4000, 8000),
        max_timeout_ms: 16_000,
        ..Parameters::default()
    }
}

fn calm_network(draw: &mut Draw, n: u16) -> Network {
    let delay = draw.between(1, 15) * MILLISECOND;
    let delays = vec![vec![delay; n.into()]; n.into()];
    Network { delays, link: GOOD_LINK, inbox: GOOD_INBOX, ..Network::default() }
}

fn network(draw: &mut Draw, n: u16, profile: Profile) -> Network {
    let (storm, edge) = (profile == Profile::Storm, profile == Profile::Edge);
    let kind = match profile {
        Profile::Storm => 2,
        Profile::Edge => draw.below(2),
        Profile::Calm | Profile::Usual => draw.below(4),
    };
    let mut delay = || match kind {
        0 => draw.between(50, 1000),
        1 => draw.between(1, 10) * MILLISECOND,
        2 => draw.between(10, 60) * MILLISECOND,
        _ => draw.pick(&[200, MILLISECOND, 20 * MILLISECOND, 150 * MILLISECOND]),
    };
    let delays = (0..n).map(|_| (0..n).map(|_| delay()).collect()).collect();
    let mut rate = |percent: u64, most: u64| if draw.percent(percent) { draw.between(1, most) * 10_000 } else { 0 };
    let (loss, duplicates, late) = match profile {
        Profile::Edge => (rate(20, 5), rate(20, 20), rate(20, 5)),
        _ => (rate(if storm { 90 } else { 55 }, 30), rate(40, 20), rate(50, 25)),
    };
    let lateness = draw.pick(&[10, 100, 1000, 4000]) * MILLISECOND;
    let (link, inbox) = match edge {
        true => (GOOD_LINK, GOOD_INBOX),
        false => (draw.pick(&[8, 32, GOOD_LINK]), draw.pick(&[8, 64, GOOD_INBOX])),
    };
    Network { delays, loss, duplicates, late, lateness, link, inbox }
}

fn machine(draw: &mut Draw, calm: bool) -> Machine {
    let tick = match draw.below(3) {
        _ if calm => draw.between(95, 105),
        0 => 100,
        1 => draw.between(90, 110),
        _ => draw.between(50, 200),
    };
    Machine {
        tick: tick * 10_000,
        sync: draw.pick(&[100, MILLISECOND, 5 * MILLISECOND]),
        stalls: Stalls::default(),
        execute: draw.pick(&[20, 200, 2 * MILLISECOND]),
        sign: draw.pick(&[10, 50, 500]),
        turn: draw.pick(&[10, 100, MILLISECOND]),
    }
}

fn evil(draw: &mut Draw, node: usize, n: u16, calm: bool) -> Evil {
    let replica = node as u16;
    match draw.below(14) {
        0 => return Evil { replica, how: How::Twins { second: draw.below(1 << n) } },
        1 => return Evil { replica, how: How::Garbles(draw.between(1, 50) * 10_000) },
        _ => {}
    }
    let name = match draw.percent(55) {
        // In calm it is views that must not move.
        true if calm => "view-storm",
        true => draw.pick(&SHARP),
        _ => ATTACKS[draw.below(ATTACKS.len() as u64) as usize].name,
    };
    // A kind's own name always names it.
    let attack = Attack::parse(name).unwrap_or_else(|error| unreachable!("{error}"));
    // What belongs to a view as a whole belongs to no slot.
    let of_views = attack.kind().rows.iter().any(|row| matches!(row, 12 | 13 | 21));
    let trigger = match draw.below(6) {
        0..=2 => Trigger::Always,
        3 => {
            let first = draw.below(4);
            Span::new(first, draw.percent(50).then_some(first + 2)).map_or(Trigger::Always, Trigger::Views)
        }
        4 if !of_views => {
            let first = draw.between(1, 20);
            Span::new(first, draw.percent(50).then_some(first + 8)).map_or(Trigger::Always, Trigger::Slots)
        }
        _ => {
            let probability = Probability::from_millionths(draw.between(50, 900) as u32 * 1000);
            probability.map_or(Trigger::Always, |probability| Trigger::Random { probability, seed: draw.below(1000) })
        }
    };
    Evil { replica, how: How::Attack(attack.with_trigger(trigger)) }
}

/// Faults that give an attack its chance: a new primary needs a reign, and who counts on forgetting needs restarts.
fn occasions(draw: &mut Draw, plan: &Plan, evil: &Evil) -> Vec<(Micros, Fault)> {
    let How::Attack(attack) = evil.how else { return Vec::new() };
    let n = usize::from(plan.n);
    let count = if draw.percent(80) { draw.between(1, 8) } else { 0 };
    let one = |draw: &mut Draw| {
        let at = draw.between(SECOND / 10, plan.heal_at / 3);
        let other = (usize::from(evil.replica) + 1 + draw.below(n as u64 - 1) as usize) % n;
        let rows = attack.kind().rows;
        if rows.contains(&13) {
            let before = (usize::from(evil.replica) + n - 1) % n;
            Some((at, Fault::Pause { node: before, during: draw.between(1, 80) * 100 * MILLISECOND }))
        } else if rows.contains(&22) {
            let moment = Moment::Said(Written::Accepted, draw.pick(&[0, MILLISECOND, 20 * MILLISECOND]));
            Some((at, crash(draw, other, moment)))
        } else {
            None
        }
    };
    (0..count).filter_map(|_| one(draw)).collect()
}

fn crash(draw: &mut Draw, node: usize, moment: Moment) -> Fault {
    let down = draw.pick(&[MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND]);
    if draw.percent(50) { Fault::Kill { node, moment, down } } else { Fault::PowerLoss { node, moment, down } }
}

/// A replica dies as it begins a view.
fn drafted(draw: &mut Draw, n: u64) -> Fault {
    let moment = Moment::Said(Written::Draft, draw.pick(&[0, 0, MILLISECOND, 20 * MILLISECOND]));
    let node = draw.below(n) as usize;
    crash(draw, node, moment)
}

/// A replica dies soon after it has said something.
fn said(draw: &mut Draw, n: u64) -> Fault {
    let node = draw.below(n) as usize;
    let what = draw.pick(&[
        Written::Accepted,
        Written::Prepared,
        Written::Promise,
        Written::Draft,
        Written::Draft,
        Written::NewView,
    ]);
    let moment = Moment::Said(what, draw.pick(&[0, 0, MILLISECOND, 50 * MILLISECOND]));
    crash(draw, node, moment)
}

fn edge(draw: &mut Draw, n: u16, base: Micros) -> Fault {
    let edge = Edge {
        lucky: draw.order(n.into()),
        slots: draw.pick(&[0xff, 0xff, 0x55, 0xaa, 0x33, 0x11]),
        commits: draw.percent(20),
        gone: base * draw.between(2, 6) / 2,
        crashes: draw.percent(30),
    };
    Fault::QuorumEdge { edge, during: base * draw.between(4, 24) }
}

/// One edge after the other, with some crashes.
fn edges(draw: &mut Draw, plan: &Plan) -> Vec<(Micros, Fault)> {
    let base = plan.parameters.base_timeout_ms * MILLISECOND;
    let (mut at, mut faults) = (draw.between(0, SECOND), Vec::new());
    while at < plan.heal_at - SECOND / 10 {
        let fault = edge(draw, plan.n, base);
        let Fault::QuorumEdge { during, .. } = fault else { break };
        faults.push((at, fault));
        if draw.percent(20) {
            faults.push((at, said(draw, plan.n.into())));
        }
        at += during + draw.between(0, 8) * base;
    }
    faults
}

fn commands(draw: &mut Draw, plan: &Plan) -> Vec<Act> {
    let count = draw.pick(&[10, 30, 60, 150]);
    let largest = 200_u64;
    let mut acts: Vec<Act> = (0..count)
        .map(|_| {
            let at = draw.below(plan.heal_at);
            let client = draw.below(plan.clients.into()) as u8;
            let what = if client < plan.honest_clients {
                What::Command {
                    gap: if draw.percent(10) { draw.between(1, 3) } else { 0 },
                    operations: draw.between(1, 3) as u8,
                    bytes: draw.below(largest) as u16,
                    to_all: draw.percent(15),
                }
            } else {
                // Numbers far and near, known and unknown, the same one twice; nothing at all of 0.
                let sequence = draw.pick(&[0, 1, 2, 3, 5, 8, 40, 41, 42, 100, 1 << 40]);
                What::Raw { sequence, variant: draw.below(3) as u8, to: draw.below(1 << plan.n) }
            };
            Act { at, client, what }
        })
        .collect();
    acts.sort_by_key(|act| act.at);
    acts
}

fn faults(draw: &mut Draw, plan: &Plan, rotten: &[usize]) -> Vec<(Micros, Fault)> {
    // Each kind is on or off for the whole run: runs differ more than by amounts.
    let kinds: Vec<u64> = (0..11).filter(|_| draw.percent(40)).collect();
    let count = if kinds.is_empty() { 0 } else { draw.between(1, 3) + draw.below(plan.heal_at / SECOND * 2 / 3 + 1) };
    let mut faults: Vec<(Micros, Fault)> = (0..count)
        .map(|_| {
            let at = draw.between(SECOND / 10, plan.heal_at - SECOND / 10);
            let kind = draw.pick(&kinds);
            (at, fault(draw, kind, plan))
        })
        .collect();
    for node in rotten {
        let at = draw.between(SECOND, plan.heal_at - SECOND / 10);
        faults.push((at, Fault::Rot { node: *node, lost: draw.pick(&[0, 1, 1, 3]) }));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn fault(draw: &mut Draw, kind: u64, plan: &Plan) -> Fault {
    let n = u64::from(plan.n);
    let node = draw.below(n) as usize;
    let short = |draw: &mut Draw| draw.pick(&[MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND, SECOND]);
    let long = |draw: &mut Draw| draw.between(1, 80) * 100 * MILLISECOND;
    let moment = |draw: &mut Draw| {
        let commit = draw.between(1, 6);
        draw.pick(&[Moment::Now, Moment::BeforeSync(commit), Moment::BeforeMark(commit), Moment::AfterMark(commit)])
    };
    match kind {
        0 => Fault::Kill { node, moment: moment(draw), down: short(draw) },
        1 => Fault::PowerLoss { node, moment: moment(draw), down: short(draw) },
        2 => Fault::PowerLoss { node, moment: moment(draw), down: long(draw) },
        3 => Fault::PowerLossOfAll { down: short(draw), spread: long(draw) / 4 },
        4 => Fault::Pause { node, during: long(draw) },
        5 | 6 => {
            let from = draw.between(1, (1 << n) - 2);
            let to = !from & ((1 << n) - 1);
            let to = if draw.percent(50) { to } else { to & draw.next() };
            Fault::Partition { from, to, both_ways: kind == 5, breaks: draw.percent(50), during: long(draw) }
        }
        9 => said(draw, n),
        10 => edge(draw, plan.n, plan.parameters.base_timeout_ms * MILLISECOND),
        7 => Fault::Swizzle { order: draw.order(n as usize), step: short(draw), free: draw.next() },
        _ => {
            let other = (node + 1 + draw.below(n - 1) as usize) % n as usize;
            if draw.percent(50) {
                Fault::Clog { from: node, to: other, during: long(draw) }
            } else {
                Fault::Reconnect { one: node, other }
            }
        }
    }
}
