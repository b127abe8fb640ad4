//! What a file must say, and must not.

use super::{Assault, Expect, Only, Replica, Safety, Scenario, ScenarioError, Step, profile};
use crate::menace::Spec;
use varangian_crypto::ReplicaId;
use varangian_sim::adversary::Plan;

impl Scenario {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(ScenarioError::Name(self.name.clone()));
        }
        if !(4..=31).contains(&self.replicas) {
            return Err(ScenarioError::Replicas(self.replicas));
        }
        for (replica, attack) in &self.attacks {
            self.exists("attacks", replica.0)?;
            Plan::parse(attack).map_err(|source| ScenarioError::Attack { replica: replica.0, source })?;
        }
        self.check_simulated()?;
        self.links.as_deref().map(profile).transpose()?;
        for (name, menace) in &self.menaces {
            Spec::parse(menace).map_err(|source| ScenarioError::Menace { name: name.clone(), source })?;
        }
        for step in &self.step {
            step.check(self.replicas)?;
            match step {
                Step::Attack(Assault { who, .. }) | Step::Strike(who) => {
                    if let Some(replica) = who.named().find(|replica| !self.attacks.contains_key(replica)) {
                        return Err(ScenarioError::NothingToStrikeWith(replica.0));
                    }
                }
                Step::Begin(name) | Step::End(name) if !self.menaces.contains_key(name) => {
                    return Err(ScenarioError::NoSuchMenace(name.clone()));
                }
                _ => {}
            }
        }
        self.check_expect()?;
        let twin = Replica(ReplicaId(0));
        self.twins_for.iter().try_for_each(|replica| self.exists("twins-for", replica.0))?;
        if !self.twins_for.is_empty() && (self.twins_for.contains(&twin) || self.attacks.contains_key(&twin)) {
            return Err(ScenarioError::Twins);
        }
        let hits = |step: &Step| step.touches_process().is_some_and(|who| who.may_be(twin));
        if !self.twins_for.is_empty() && self.step.iter().any(hits) {
            return Err(ScenarioError::TwinsAndSteps);
        }
        if let Some(timing) = &self.timing {
            timing.check()?;
            if self.links.is_some() || self.step.iter().any(Step::shapes) {
                return Err(ScenarioError::TimingAndLinks);
            }
        }
        let bounds = [
            (1..=256, self.load.clients, "from 1 to 256 clients"),
            (1..=256, self.load.in_flight, "from 1 to 256 commands in flight"),
            (1..=64, self.load.bundle, "from 1 to 64 operations in a command"),
            (0..=4096, self.load.value_bytes, "values of up to 4096 bytes"),
            (0..=100, self.load.add_percent.into(), "at most 100 percent"),
        ];
        if let Some(rate) = self.load.rate.filter(|rate| !(1.0..=100_000.0).contains(rate)) {
            return Err(ScenarioError::Rate(rate));
        }
        match bounds.iter().find(|(range, value, _)| !range.contains(value)) {
            Some((_, _, words)) => Err(ScenarioError::Load(words)),
            None => Ok(()),
        }
    }

    fn check_simulated(&self) -> Result<(), ScenarioError> {
        for (replica, rate) in &self.clocks {
            self.exists("clocks", replica.0)?;
            if !(0.1..=10.0).contains(rate) {
                return Err(ScenarioError::Clock { replica: replica.0, rate: *rate });
            }
        }
        let real = self.clocks.is_empty();
        if real || self.only == Some(Only::Sim) { Ok(()) } else { Err(ScenarioError::OnlySimulated) }
    }

    fn check_expect(&self) -> Result<(), ScenarioError> {
        let Expect { safety, liveness, recovers_within, throughput, accused, may_be_accused, .. } = &self.expect;
        let malicious = self.malicious();
        if let Some(innocent) = accused.iter().chain(may_be_accused).find(|who| !malicious.contains(who)) {
            return Err(ScenarioError::InnocentExpected(innocent.0));
        }
        if let Some(share) = throughput.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(ScenarioError::Throughput(share));
        }
        // Who is never answered has no latency; only liveness finds him.
        if self.expect.worst_client_p99_ms.is_some() && !liveness {
            return Err(ScenarioError::LatencyWithoutLiveness);
        }
        let returns = self.step.iter().any(|step| step.gives_back() || matches!(step, Step::Lead(_)));
        if recovers_within.is_some() && !(returns || self.timing.is_some_and(|timing| timing.stabilises().is_some())) {
            return Err(ScenarioError::NothingToRecoverFrom);
        }
        let attackers = malicious.len();
        if *safety == Safety::Broken && attackers <= usize::from((self.replicas - 1) / 3) {
            return Err(ScenarioError::TooFewToBreak { attackers, replicas: self.replicas });
        }
        Ok(())
    }

    fn exists(&self, what: &'static str, replica: ReplicaId) -> Result<(), ScenarioError> {
        if replica.0 < self.replicas {
            return Ok(());
        }
        Err(ScenarioError::NoSuchReplica { what, replica, replicas: self.replicas })
    }
}
