//! What is said of a run on real processes.

use super::super::format::Scenario;
use super::struck;
use crate::judge::Verdict;
use crate::report::{Happening, Report};
use crate::testnet::Strikes;
use crate::timeline::Timeline;
use serde::Serialize;
use std::fmt;

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Whether everything was as the scenario expects.
    pub passed: bool,
    /// What was judged, from outside.
    pub verdict: Verdict,
    /// What the scenario expects besides, and did not come about.
    pub missed: Vec<String>,
    /// Acknowledged operations per second over those of the clean run, where the scenario asks for that.
    pub against_clean: Option<f64>,
    /// The most memory that the process of an honest replica which ran at the end ever had resident, in MiB.
    pub memory_mib: Option<u64>,
    /// How often each attack did what an honest replica would not; of a replica that was killed, as far as it came to tell.
    pub strikes: Strikes,
    /// What happened, and when.
    pub happened: Vec<Happening>,
    /// What was seen over time. In the report alone: it is long.
    #[serde(skip)]
    pub timeline: Timeline,
}

impl Outcome {
    /// As a report.
    ///
    /// # Errors
    /// If the scenario cannot be written down.
    pub fn report(&self, scenario: &Scenario) -> Result<Report, toml::ser::Error> {
        let verdict = &self.verdict;
        let mut remarks = vec![verdict.figures.to_string()];
        remarks.extend(struck(&self.strikes));
        remarks.extend(self.against_clean.map(|share| format!("{:.0} % of the clean run's operations", share * 100.0)));
        remarks.extend(self.memory_mib.map(|mib| format!("at most {mib} MiB resident in an honest replica")));
        remarks.extend(self.missed.iter().map(|missed| format!("NOT AS EXPECTED: {missed}")));
        Ok(Report {
            title: self.scenario.clone(),
            about: scenario.about.clone(),
            seed: Some(self.seed),
            passed: Some(self.passed),
            judgements: verdict.judgements(),
            remarks,
            happened: self.happened.clone(),
            timeline: self.timeline.clone(),
            file: Some(toml::to_string(scenario)?),
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict)?;
        if let Some(share) = self.against_clean {
            writeln!(f, "{:.0} % of the clean run's operations", share * 100.0)?;
        }
        if let Some(mib) = self.memory_mib {
            writeln!(f, "at most {mib} MiB resident in an honest replica")?;
        }
        struck(&self.strikes).try_for_each(|struck| writeln!(f, "{struck}"))?;
        for missed in &self.missed {
            writeln!(f, "NOT AS EXPECTED: {missed}")?;
        }
        write!(f, "{}, seed {}", if self.passed { "as expected" } else { "FAIL" }, self.seed)
    }
}

/// What is known of a run that may come to no verdict.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) happened: Vec<Happening>,
    pub(super) timeline: Timeline,
}

impl Left {
    /// As a report of a run without a verdict.
    pub(super) fn report(self, scenario: &Scenario, error: &anyhow::Error) -> Result<Report, toml::ser::Error> {
        Ok(Report {
            title: scenario.name.clone(),
            about: scenario.about.clone(),
            seed: Some(scenario.seed),
            passed: Some(false),
            judgements: Vec::new(),
            remarks: vec![format!("NO VERDICT: {error:#}")],
            happened: self.happened,
            timeline: self.timeline,
            file: Some(toml::to_string(scenario)?),
        })
    }
}
