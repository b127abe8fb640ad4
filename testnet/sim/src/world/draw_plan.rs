//! How a seed becomes a plan: what is on at all, how much of it, and when.

use super::Micros;
use super::draw::Draw;
use super::fault::{Fault, Moment};
use super::net::{GOOD_INBOX, GOOD_LINK};
use super::plan::{Act, Evil, How, Machine, Network, Plan, Rest, What};
use crate::adversary::{ATTACKS, Attack, Probability, Span, Trigger};
use varangian_crypto::Parameters;

const MILLISECOND: Micros = 1000;
const SECOND: Micros = 1_000_000;
/// Seeds of which one is calm.
const CALM: u64 = 8;
/// Seeds of which one has real signatures.
const REAL: u64 = 20;

/// See [`Plan::draw`].
pub(super) fn draw(seed: u64, draw: &mut Draw) -> Plan {
    let calm = seed % CALM == CALM - 1;
    let storm = !calm && draw.percent(30);
    let n = draw.pick(&[4, 4, 4, 4, 4, 4, 4, 5, 6, 7, 7, 10]);
    let parameters = match (calm, storm) {
        (true, _) => calm_parameters(draw),
        (_, true) => storm_parameters(draw),
        _ => parameters(draw),
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
        network: if calm { calm_network(draw, n) } else { network(draw, n, storm) },
        nodes: (0..n).map(|_| machine(draw, calm)).collect(),
        adversaries: Vec::new(),
        commands: Vec::new(),
        faults: Vec::new(),
        heal_at,
        core: Vec::new(),
        rest: Vec::new(),
        tail: u32::try_from(parameters.checkpoint_interval * 2 + 2).unwrap_or(u32::MAX),
        parameters,
    };
    plan.commands = commands(draw, &plan);
    if storm {
        // All at once, again and again: pipelines fill, and views end in the middle of them.
        let burst = draw.between(1, 4) * SECOND;
        plan.commands.iter_mut().for_each(|act| act.at = act.at / burst * burst);
    }
    if calm {
        plan.core = (0..usize::from(n)).collect();
        return plan;
    }
    let mut faulty = draw.order(n.into());
    let f = plan.quorums().f();
    let byzantine = if draw.percent(55) { draw.between(1, f as u64) as usize } else { 0 };
    let rotten = if byzantine < f && draw.percent(12) { 1 } else { 0 };
    faulty.truncate(byzantine + rotten);
    plan.adversaries = faulty[..byzantine].iter().map(|node| evil(draw, *node, n)).collect();
    plan.faults = faults(draw, &plan, &faulty[byzantine..]);
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

/// Time-outs as short as a few messages, and many small slots under way: views end in the middle of everything.
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

fn network(draw: &mut Draw, n: u16, storm: bool) -> Network {
    let kind = if storm { 2 } else { draw.below(4) };
    let mut delay = || match kind {
        0 => draw.between(50, 1000),
        1 => draw.between(1, 10) * MILLISECOND,
        2 => draw.between(10, 60) * MILLISECOND,
        _ => draw.pick(&[200, MILLISECOND, 20 * MILLISECOND, 150 * MILLISECOND]),
    };
    let delays = (0..n).map(|_| (0..n).map(|_| delay()).collect()).collect();
    let mut rate = |percent: u64, most: u64| if draw.percent(percent) { draw.between(1, most) * 10_000 } else { 0 };
    let (loss, duplicates, late) = (rate(if storm { 90 } else { 55 }, 30), rate(40, 20), rate(50, 25));
    let lateness = draw.pick(&[10, 100, 1000, 4000]) * MILLISECOND;
    let (link, inbox) = (draw.pick(&[8, 32, GOOD_LINK]), draw.pick(&[8, 64, GOOD_INBOX]));
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
        execute: draw.pick(&[20, 200, 2 * MILLISECOND]),
        sign: draw.pick(&[10, 50, 500]),
        turn: draw.pick(&[10, 100, MILLISECOND]),
    }
}

fn evil(draw: &mut Draw, node: usize, n: u16) -> Evil {
    let replica = node as u16;
    match draw.below(10) {
        0 => return Evil { replica, how: How::Twins { second: draw.below(1 << n) } },
        1 => return Evil { replica, how: How::Garbles(draw.between(1, 50) * 10_000) },
        _ => {}
    }
    let kind = &ATTACKS[draw.below(ATTACKS.len() as u64) as usize];
    let trigger = match draw.below(5) {
        0 | 1 => Trigger::Always,
        2 => {
            let first = draw.below(4);
            Span::new(first, draw.percent(50).then_some(first + 2)).map_or(Trigger::Always, Trigger::Views)
        }
        3 => {
            let first = draw.between(1, 20);
            Span::new(first, draw.percent(50).then_some(first + 8)).map_or(Trigger::Always, Trigger::Slots)
        }
        _ => {
            let probability = Probability::from_millionths(draw.between(50, 900) as u32 * 1000);
            probability.map_or(Trigger::Always, |probability| Trigger::Random { probability, seed: draw.below(1000) })
        }
    };
    let attack = Attack::parse(kind.name).map(|attack| attack.with_trigger(trigger));
    // A kind's own name always names it.
    let attack = attack.unwrap_or_else(|error| unreachable!("{error}"));
    Evil { replica, how: How::Attack(attack) }
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
    let n = u64::from(plan.n);
    // Each kind is on or off for the whole run: runs differ more than by amounts.
    let kinds: Vec<u64> = (0..9).filter(|_| draw.percent(40)).collect();
    let count = if kinds.is_empty() { 0 } else { draw.between(1, 3) + draw.below(plan.heal_at / SECOND * 2 / 3 + 1) };
    let mut faults: Vec<(Micros, Fault)> = (0..count)
        .map(|_| {
            let at = draw.between(SECOND / 10, plan.heal_at - SECOND / 10);
            let kind = draw.pick(&kinds);
            (at, fault(draw, kind, n))
        })
        .collect();
    for node in rotten {
        let at = draw.between(SECOND, plan.heal_at - SECOND / 10);
        faults.push((at, Fault::Rot { node: *node, lost: draw.pick(&[0, 1, 1, 3]) }));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn fault(draw: &mut Draw, kind: u64, n: u64) -> Fault {
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
