//! A scenario's seed decides where triggers with a probability strike, together with the seed that such a trigger may have itself.

use super::{Assault, Scenario, Step};
use crate::menace::{Spec, SpecError};
use std::collections::BTreeMap;
use thiserror::Error;
use varangian_sim::adversary::{AttackError, Plan};

/// An attack or a menace that is none: a scenario that was checked has none such.
#[derive(Debug, Error)]
pub enum DrawError {
    /// An attack.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// A menace.
    #[error(transparent)]
    Menace(#[from] SpecError),
}

impl Scenario {
    /// The same with its seed in every trigger with a probability. What is drawn there stays a function of seeds and place: a replica that starts
    /// again, a second run and the simulator draw the same places.
    ///
    /// # Errors
    /// [`DrawError`].
    pub fn drawn(&self) -> Result<Self, DrawError> {
        let attack = |text: &String| Plan::parse(text).map(|plan| plan.mixed(self.seed).to_string());
        let menace = |text: &String| Spec::parse(text).map(|spec| spec.mixed(self.seed).to_string());
        let step = |step: &Step| match step {
            Step::Attack(Assault { who, attack: text }) => {
                attack(text).map(|attack| Step::Attack(Assault { who: who.clone(), attack }))
            }
            other => Ok(other.clone()),
        };
        let attacks = self.attacks.iter().map(|(replica, text)| Ok((*replica, attack(text)?)));
        let menaces = self.menaces.iter().map(|(name, text)| Ok((name.clone(), menace(text)?)));
        Ok(Self {
            attacks: attacks.collect::<Result<_, AttackError>>()?,
            menaces: menaces.collect::<Result<BTreeMap<_, _>, SpecError>>()?,
            step: self.step.iter().map(step).collect::<Result<_, _>>()?,
            ..self.clone()
        })
    }
}
