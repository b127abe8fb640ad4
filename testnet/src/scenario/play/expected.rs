//! What a scenario expects besides what is always judged.

use super::super::format::{Expect, Safety};
use crate::judge::Verdict;

/// What was seen of a run.
pub(super) struct Seen<'a> {
    pub(super) verdict: &'a Verdict,
    /// How many may be faulty.
    pub(super) f: usize,
    /// The highest view that any replica said it was in; `None`: none ever answered.
    pub(super) highest_view: Option<u64>,
    /// See [`super::Outcome::memory_mib`].
    pub(super) memory_mib: Option<u64>,
    /// Commands that were due and never sent.
    pub(super) behind: u64,
}

impl Seen<'_> {
    /// Whether what is always judged is as expected. A fork that was asked for is, with what comes of it.
    pub(super) fn is_as_expected(&self, expect: &Expect) -> bool {
        let Verdict { liveness, evidence, .. } = self.verdict;
        match expect.safety {
            Safety::Holds => self.verdict.passed(),
            Safety::Broken => (!expect.liveness || liveness.findings.is_empty()) && evidence.findings.is_empty(),
        }
    }

    /// What else the scenario expects, and did not come about.
    pub(super) fn missed(&self, expect: &Expect) -> Vec<String> {
        let mut missed = Vec::new();
        if expect.safety == Safety::Broken {
            self.unbroken(&mut missed);
        }
        if let Some(most) = expect.view_changes {
            match self.highest_view {
                None => missed.push(format!("at most {most} view changes: no replica ever said which view it is in")),
                Some(view) if view > most => {
                    missed.push(format!("at most {most} view changes: a replica has come to view {view}"));
                }
                Some(_) => {}
            }
        }
        if let Some(most) = expect.memory_mib {
            match self.memory_mib {
                None => missed.push(format!("at most {most} MiB resident: no honest replica ran at the end")),
                Some(mib) if mib > most => missed.push(format!("at most {most} MiB resident: a replica had {mib} MiB")),
                Some(_) => {}
            }
        }
        if let Some(most) = expect.worst_client_p99_ms {
            self.late(most, &mut missed);
        }
        missed
    }

    fn unbroken(&self, missed: &mut Vec<String>) {
        let Verdict { safety, evidence, .. } = self.verdict;
        if evidence.fork.is_none() {
            missed.push("safety broken: the honest agree".to_owned());
        }
        let culprits = evidence.culprits().len();
        if culprits <= self.f {
            missed.push(format!("more than f proved faulty: {culprits} are"));
        }
        match safety.findings.beside_a_fork() {
            0 => {}
            more => missed.push(format!("safety broken by a fork alone: it does not explain {more} findings")),
        }
    }

    fn late(&self, most: u64, missed: &mut Vec<String>) {
        let figures = &self.verdict.figures;
        let worst = figures.clients_p99_ms.worst;
        if figures.commands == 0 {
            missed.push(format!("p99 of each client at most {most} ms: nothing was acknowledged"));
        }
        if worst > most {
            missed.push(format!("p99 of each client at most {most} ms: of one it is {worst} ms"));
        }
        // One in a hundred may be late; what was never sent is.
        let behind = self.behind;
        if behind * 100 > figures.commands {
            missed.push(format!("p99 of each client at most {most} ms: {behind} commands were due and never sent"));
        }
    }
}

#[cfg(test)]
mod tests;
