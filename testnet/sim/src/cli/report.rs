//! A campaign as people and programs read it.

use crate::campaign::Campaign;
use crate::world::Probe;
use core::fmt::Write as _;
use serde_json::{Map, Value, json};
use std::time::Duration;

const SECOND: u64 = 1_000_000;

/// A few lines.
pub(super) fn text(campaign: &Campaign, took: Option<Duration>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string never fails.
        let _ = writeln!(text, "{name:<24}{value}");
    };
    line("seeds", campaign.seeds.to_string());
    line("distinct event hashes", campaign.hashes.len().to_string());
    line("simulated", format!("{}.{:02} hours", campaign.time / SECOND / 3600, campaign.time / SECOND % 3600 / 36));
    line("steps", campaign.steps.to_string());
    if let Some(took) = took {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        line(
            "took",
            format!(
                "{}.{:01} s, {} steps per second",
                millis / 1000,
                millis % 1000 / 100,
                campaign.steps * 1000 / millis
            ),
        );
    }
    line("slots agreed on", campaign.slots.to_string());
    line("commands acknowledged", campaign.acknowledged.to_string());
    line("views", campaign.views.to_string());
    line("crashes", campaign.crashes.to_string());
    let met = Probe::ALL.len() - campaign.probes.missed().count();
    line("rare states met", format!("{met} of {}", Probe::ALL.len()));
    for probe in Probe::ALL {
        line(&format!("  {}", campaign.probes.of(*probe)), format!("  {}", probe.text()));
    }
    for probe in campaign.missed() {
        line("NEVER MET", probe.text().into());
    }
    line("violations", campaign.violations.len().to_string());
    text
}

/// One object.
pub(super) fn json(campaign: &Campaign, took: Option<Duration>) -> Value {
    let probes: Map<String, Value> =
        Probe::ALL.iter().map(|probe| (probe.text().to_owned(), Value::from(campaign.probes.of(*probe)))).collect();
    let violations: Vec<Value> = campaign
        .violations
        .iter()
        .map(|(seed, violation)| {
            json!({ "seed": seed, "invariant": violation.invariant.number(), "name": violation.invariant.name(), "text": violation.text })
        })
        .collect();
    json!({
        "seeds": campaign.seeds,
        "hashes": campaign.hashes.len(),
        "simulated_ms": campaign.time / 1000,
        "steps": campaign.steps,
        "took_ms": took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        "slots": campaign.slots,
        "acknowledged": campaign.acknowledged,
        "views": campaign.views,
        "crashes": campaign.crashes,
        "probes": probes,
        "missed": campaign.missed().iter().map(|probe| probe.text()).collect::<Vec<_>>(),
        "violations": violations,
        "holds": campaign.holds(),
    })
}
