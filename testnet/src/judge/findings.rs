//! A list of what is wrong, short enough to be read.

use super::finding::Finding;
use super::verdict::Grouped;
use serde::Serialize;
use std::mem::discriminant;

/// Findings that are listed; all are counted.
const LISTED: usize = 10;
/// Findings of one kind that are listed, so that many of one do not hide another.
const LISTED_OF_A_KIND: usize = 3;

/// What is wrong: the first few, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    listed: Vec<Finding>,
    total: u64,
    /// So many of them no fork explains.
    #[serde(skip)]
    beside_a_fork: u64,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.total += 1;
        self.beside_a_fork += u64::from(!finding.comes_of_a_fork());
        let kind = discriminant(&finding);
        let alike = self.listed.iter().filter(|listed| discriminant(*listed) == kind).count();
        if alike == 0 || (self.listed.len() < LISTED && alike < LISTED_OF_A_KIND) {
            self.listed.push(finding);
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// About ten of them: one of each kind at least, and at most three.
    #[must_use]
    pub fn listed(&self) -> &[Finding] {
        &self.listed
    }

    /// A line each, and how many are not listed.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.listed.iter().map(ToString::to_string).collect();
        match self.total - self.listed.len() as u64 {
            0 => {}
            more => lines.push(format!("and {} more", Grouped(more))),
        }
        lines
    }

    /// All of them, counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Those that a fork alone does not explain, counted.
    #[must_use]
    pub const fn beside_a_fork(&self) -> u64 {
        self.beside_a_fork
    }
}
