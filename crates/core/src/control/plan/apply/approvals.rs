//! What somebody has agreed to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::control::plan::{Approval, Step, StepId};

/// What somebody has agreed to: kinds of approval, or single steps. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approvals {
    /// Every step that needs one of these.
    pub kinds: BTreeSet<Approval>,
    /// These steps.
    pub steps: BTreeSet<StepId>,
}

impl Approvals {
    /// Every step that needs one of these.
    pub fn of(kinds: impl IntoIterator<Item = Approval>) -> Self {
        Self { kinds: kinds.into_iter().collect(), ..Self::default() }
    }

    /// This step too.
    #[must_use]
    pub fn and_step(mut self, step: StepId) -> Self {
        self.steps.insert(step);
        self
    }

    /// Whether whoever must agree to the step has agreed.
    pub fn agree_to(&self, step: &Step) -> bool {
        step.approval.is_none_or(|approval| self.kinds.contains(&approval) || self.steps.contains(&step.id))
    }
}
