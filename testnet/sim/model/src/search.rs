//! Runs one scenario within limits, and says what was seen.

use crate::model::Universe;
use crate::scenario::Scenario;
use crate::world::{Visible, World};
use serde_json::{Value, json};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a search may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wall-clock time.
    pub time: Duration,
    /// Resident memory of the process, in MiB.
    pub memory_mib: u64,
    /// Threads of the search.
    pub threads: usize,
}

impl Default for Limits {
    /// Ten minutes, 8 GiB, two threads.
    fn default() -> Self {
        Self { time: Duration::from_secs(600), memory_mib: 8 << 10, threads: 2 }
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every state was looked at, and all is well.
    Exhaustive,
    /// Every state up to the stated depth was looked at, and all is well.
    ToDepth,
    /// Time or memory ran out; all was well so far.
    Halted,
    /// Something that must never happen happened.
    Violated,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of which scenario.
    pub scenario: Scenario,
    /// How it ended.
    pub verdict: Verdict,
    /// States generated, repetitions included.
    pub states: usize,
    /// Distinct states, symmetric ones counted once.
    pub unique: usize,
    /// Longest row of actions.
    pub depth: usize,
    /// Distinct replica states, messages, and sets of messages.
    pub sizes: [usize; 3],
    /// What could be seen from outside, over all states.
    pub visible: BTreeSet<Visible>,
    /// Wall-clock time.
    pub time: Duration,
    /// Peak resident memory of the process, in MiB.
    pub memory_mib: u64,
    /// What must be reachable, and whether it was reached.
    pub reached: Vec<(&'static str, bool)>,
    /// What was violated, and the actions that lead there.
    pub violations: Vec<(&'static str, Vec<String>)>,
}

/// Searches a scenario depth first.
#[must_use]
pub fn search(scenario: Scenario, limits: Limits) -> Report {
    let began = Instant::now();
    let world = World::new(scenario);
    let universe = Universe { world };
    let done = Arc::new(AtomicBool::new(false));
    let guard = {
        let done = done.clone();
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if began.elapsed() >= limits.time || memory_mib("VmRSS:") >= limits.memory_mib {
                    world.halted.store(true, Ordering::Relaxed);
                }
                thread::park_timeout(Duration::from_millis(100));
            }
        })
    };
    let checker = universe
        .checker()
        .threads(limits.threads)
        .symmetry_fn(|state| state.representative())
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    let time = began.elapsed();
    done.store(true, Ordering::Relaxed);
    guard.thread().unpark();
    guard.join().expect("the guard does not panic");
    // Paths are walked again, and for that states must have successors.
    let halted = world.halted.swap(false, Ordering::Relaxed);
    let discoveries = checker.discoveries();
    let mut report = Report {
        scenario,
        verdict: Verdict::Exhaustive,
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth().saturating_sub(1),
        sizes: world.sizes(),
        visible: world.visible(),
        time,
        memory_mib: memory_mib("VmHWM:"),
        reached: Vec::new(),
        violations: Vec::new(),
    };
    for property in universe.properties() {
        let found = discoveries.get(property.name);
        match (&property.expectation, found) {
            (Expectation::Sometimes, found) => report.reached.push((property.name, found.is_some())),
            (_, Some(path)) => {
                let actions = path.clone().into_actions();
                let actions = actions.iter().map(|action| universe.describe(action)).collect();
                report.violations.push((property.name, actions));
            }
            (_, None) => {}
        }
    }
    report.verdict = if !report.violations.is_empty() {
        Verdict::Violated
    } else if halted {
        Verdict::Halted
    } else if world.truncated.load(Ordering::Relaxed) {
        Verdict::ToDepth
    } else {
        Verdict::Exhaustive
    };
    report
}

/// Walks at random from the beginning to the end, `walks` times, and gives what could be seen on the way. Far deeper than a plain search comes.
#[must_use]
pub fn walk(scenario: Scenario, walks: usize) -> BTreeSet<Visible> {
    let universe = Universe { world: World::new(scenario) };
    let mut draw = 0_u64;
    for _ in 0..walks {
        let mut states = universe.init_states();
        while let Some(state) = states.pop() {
            let mut actions = Vec::new();
            universe.actions(&state, &mut actions);
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (draw >> 33) as usize % actions.len().max(1);
            states.extend(actions.get(place).and_then(|action| universe.next_state(&state, *action)));
        }
    }
    universe.world.visible()
}

impl Report {
    /// Whether nothing was violated, and everything that must be reachable was reached. A search to a depth need not reach everything.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self.verdict {
            Verdict::Exhaustive => self.reached.iter().all(|(_, reached)| *reached),
            Verdict::ToDepth | Verdict::Halted => true,
            Verdict::Violated => false,
        }
    }

    /// The verdict in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.verdict {
            Verdict::Exhaustive if self.is_good() => "exhaustive: holds".into(),
            Verdict::Exhaustive => "exhaustive: holds, but not everything was reached".into(),
            Verdict::ToDepth => format!("holds in every row of {} actions", self.depth),
            Verdict::Halted => "holds as far as time and memory went".into(),
            Verdict::Violated => "VIOLATED".into(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let [nodes, messages, soups] = self.sizes;
        let mut text = String::new();
        let mut line = |what: String| writeln!(text, "{what}").expect("memory");
        line(format!("{}: {}", self.scenario.name, self.verdict()));
        line(format!("  states {} · unique {} · depth {}", self.states, self.unique, self.depth));
        line(format!(
            "  replica states {nodes} · messages {messages} · sets of messages {soups} · outcomes {}",
            self.visible.len()
        ));
        line(format!("  {:.1} s · {} MiB", self.time.as_secs_f64(), self.memory_mib));
        for (what, reached) in &self.reached {
            line(format!("  {} {what}", if *reached { "✔ reached:" } else { "✘ not reached:" }));
        }
        for (what, actions) in &self.violations {
            line(format!("  ✘ VIOLATED: {what}"));
            for (number, action) in actions.iter().enumerate() {
                line(format!("    {:>3}. {action}", number + 1));
            }
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let [nodes, messages, soups] = self.sizes;
        json!({
            "scenario": self.scenario.name,
            "verdict": self.verdict(),
            "good": self.is_good(),
            "exhaustive": self.verdict == Verdict::Exhaustive,
            "states": self.states,
            "unique_states": self.unique,
            "depth": self.depth,
            "replica_states": nodes,
            "messages": messages,
            "message_sets": soups,
            "outcomes": self.visible.len(),
            "seconds": self.time.as_secs_f64(),
            "memory_mib": self.memory_mib,
            "reached": self.reached.iter().map(|(what, reached)| json!({"what": what, "reached": reached})).collect::<Vec<_>>(),
            "violations": self.violations.iter().map(|(what, actions)| json!({"what": what, "actions": actions})).collect::<Vec<_>>(),
        })
    }
}

/// A line of the process' status, in MiB; 0 where there is none.
fn memory_mib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}
