//! What is left of a run for whoever was not there: `report.json`, and `report.html`, one page that needs nothing else.

mod page;

use crate::layout::NetworkDir;
use crate::timeline::Timeline;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::PathBuf;

/// Something that was done or came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

/// One judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// `SAFETY`, `LIVENESS`, `EVIDENCE`.
    pub name: String,
    /// Whether it is as it must be.
    pub passed: bool,
    /// What was looked at.
    pub text: String,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// A run, or a network that still runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The scenario's name, or the network's directory.
    pub title: String,
    /// What it was about.
    pub about: String,
    /// The scenario's seed.
    pub seed: Option<u64>,
    /// Whether everything was as it should be; none while the network runs.
    pub passed: Option<bool>,
    /// What was judged.
    pub judgements: Vec<Judgement>,
    /// How fast it was, and whatever else is to be said.
    pub remarks: Vec<String>,
    /// What happened, in the order of time.
    pub happened: Vec<Happening>,
    /// What was seen over time.
    pub timeline: Timeline,
    /// The scenario's file, if it was one.
    pub file: Option<String>,
}

impl Report {
    /// Where a network's page is.
    #[must_use]
    pub fn page_of(dir: &NetworkDir) -> PathBuf {
        dir.root().join("report.html")
    }

    fn data_of(dir: &NetworkDir) -> PathBuf {
        dir.root().join("report.json")
    }

    /// Writes both files.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, dir: &NetworkDir) -> anyhow::Result<()> {
        let (data, page) = (Self::data_of(dir), Self::page_of(dir));
        fs::write(&data, serde_json::to_vec(self)?).with_context(|| data.display().to_string())?;
        fs::write(&page, self.page()).with_context(|| page.display().to_string())
    }

    /// Reads what [`Report::write`] wrote.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn read(dir: &NetworkDir) -> anyhow::Result<Self> {
        let path = Self::data_of(dir);
        let text = fs::read(&path).with_context(|| {
            format!("{}: a report is made by `varangian-testnet scenario run` and by networks that run", path.display())
        })?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        page::render(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.title, self.about)?;
        for Happening { at_ms, what } in &self.happened {
            writeln!(f, "[{:5}.{} s] {what}", at_ms / 1000, at_ms % 1000 / 100)?;
        }
        for (at_ms, holder, accused) in self.timeline.accusations() {
            writeln!(f, "[{:5}.{} s] r{holder} holds a proof against r{accused}", at_ms / 1000, at_ms % 1000 / 100)?;
        }
        for Judgement { name, passed, text, findings } in &self.judgements {
            writeln!(f, "{name} {} ({text})", if *passed { "pass" } else { "FAIL" })?;
            findings.iter().try_for_each(|finding| writeln!(f, "  - {finding}"))?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "{remark}"))
    }
}
