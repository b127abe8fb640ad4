//! Every attack by name: `equivocate`, `equivocate@view=2..5`, `withhold@slot=10..20`, `silent@p=0.3,seed=7`.
//!
//! What stands behind the `@` is a [`Trigger`]; without one the attack always strikes. Several of one replica are joined by `+`:
//! `equivocate@view=2..5+double-vote@p=0.1`.

use super::behaviour::Behaviour;
use super::error::{AttackError, nearest};
use super::hand::Hand;
use super::registry::ATTACKS;
use super::trigger::Trigger;
use super::wrapper::Adversary;
use core::fmt;
use core::str::FromStr;
use varangian_crypto::{Committee, Signer};
use varangian_runner::Io;

/// A kind of attack: what a person who chooses one must know.
#[derive(Debug)]
pub struct Kind {
    /// What a scenario calls it.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// Its rows in the table of attacks.
    pub rows: &'static [u8],
    /// What must hold it off, in one line.
    pub defence: &'static str,
    /// The kinds of [`Evidence`](varangian_consensus::Evidence) that honest replicas may come to hold against it, and against nobody else.
    /// None: it signs nothing that an honest replica could not have signed there as well.
    pub evidence: &'static [&'static str],
    /// Kinds that it may leave besides: whether it does depends on what it had prepared, and on who hears what.
    pub besides: &'static [&'static str],
    pub(super) behaviour: fn() -> Box<dyn Behaviour>,
}

impl Kind {
    /// Whether honest replicas can prove it.
    #[must_use]
    pub const fn provable(&self) -> bool {
        !self.evidence.is_empty()
    }

    /// Whether it lies in view changes: whoever plays it must be in one, and lead the view that comes of it.
    #[must_use]
    pub fn is_about_view_changes(&self) -> bool {
        /// Their rows in the table of attacks.
        const ROWS: [u8; 2] = [12, 13];
        self.rows.iter().any(|row| ROWS.contains(row))
    }

    /// Every kind of proof that it may leave.
    pub fn possible(&self) -> impl Iterator<Item = &'static str> {
        self.evidence.iter().chain(self.besides).copied()
    }
}

/// A kind of attack and when it strikes.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    kind: &'static Kind,
    trigger: Trigger,
}

impl Attack {
    /// Reads `NAME` or `NAME@TRIGGER`.
    ///
    /// # Errors
    /// [`AttackError`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, AttackError> {
        let (name, trigger) = Trigger::behind(text)?;
        let kind = ATTACKS.iter().find(|kind| kind.name == name);
        let unknown = || AttackError::UnknownAttack {
            name: name.to_owned(),
            suggestion: nearest(name, ATTACKS.iter().map(|kind| kind.name)),
            known: ATTACKS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", "),
        };
        Ok(Self { kind: kind.ok_or_else(unknown)?, trigger })
    }

    /// What it does.
    #[must_use]
    pub const fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// When it strikes.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// The same attack at other places.
    #[must_use]
    pub const fn with_trigger(self, trigger: Trigger) -> Self {
        Self { trigger, ..self }
    }

    /// Puts the attack between the core of the replica that `signer` signs for and its shell.
    #[must_use]
    pub fn wrap<I: Io>(&self, io: I, signer: Signer, committee: &Committee) -> Adversary<I> {
        let mut adversary = Adversary::honest(io);
        self.corrupt(&mut adversary, signer, committee);
        adversary
    }

    /// The same for a replica that runs already, in the place of an earlier attack.
    pub fn corrupt<I>(&self, replica: &mut Adversary<I>, signer: Signer, committee: &Committee) {
        replica.corrupt(vec![self.arm(signer, committee)]);
    }

    fn arm(&self, signer: Signer, committee: &Committee) -> (Hand, Box<dyn Behaviour>) {
        (Hand::new(signer, committee, self.trigger), (self.kind.behaviour)())
    }
}

/// One or more attacks of one replica, each with its trigger: what the first lets through the next one sees.
#[derive(Clone, Debug)]
pub struct Plan(Vec<Attack>);

impl Plan {
    /// Reads attacks joined by `+`.
    ///
    /// # Errors
    /// [`AttackError`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, AttackError> {
        text.split('+').map(|attack| Attack::parse(attack.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// The attacks. Never none, if they were read.
    #[must_use]
    pub fn attacks(&self) -> &[Attack] {
        &self.0
    }

    /// The same with a run's seed mixed into those of their triggers.
    #[must_use]
    pub fn mixed(&self, seed: u64) -> Self {
        Self(self.0.iter().map(|attack| attack.with_trigger(attack.trigger.mixed(seed))).collect())
    }

    /// Puts them between the core and the shell of a replica, in the place of earlier ones.
    pub fn corrupt<I>(&self, replica: &mut Adversary<I>, signer: &Signer, committee: &Committee) {
        replica.corrupt(self.0.iter().map(|attack| attack.arm(signer.clone(), committee)).collect());
    }
}

impl From<Vec<Attack>> for Plan {
    fn from(attacks: Vec<Attack>) -> Self {
        Self(attacks)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, attack) in self.0.iter().enumerate() {
            write!(f, "{}{attack}", if place == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

impl FromStr for Attack {
    type Err = AttackError;

    fn from_str(text: &str) -> Result<Self, AttackError> {
        Self::parse(text)
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trigger {
            Trigger::Always => f.write_str(self.kind.name),
            trigger => write!(f, "{}@{trigger}", self.kind.name),
        }
    }
}
