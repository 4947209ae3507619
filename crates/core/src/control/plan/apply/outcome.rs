//! How far a plan came, and what it waits for.

use serde::Serialize;

use crate::control::arm::MissingPermission;
use crate::control::plan::{Approval, OwnerRequest, StepId};
use crate::finding::Finding;

/// How far a plan came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// What the steps wait for that could not be done yet, in the order of the plan. Steps that come after these are
    /// not among them.
    pub waits: Vec<Wait>,
    /// What somebody should look at: where the service's word differs from the documents, for example.
    pub findings: Vec<Finding>,
}

impl Outcome {
    /// Whether every step is done.
    pub const fn is_done(&self) -> bool {
        self.waits.is_empty()
    }
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "wait", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Wait {
    /// Somebody must agree, or do it.
    Approval(Needed),
    /// The service is on its way. Running the same call again later goes on.
    NotYet {
        /// The step.
        step: StepId,
        /// Where the server, or the operation, is.
        state: String,
    },
}

impl Wait {
    /// The step that waits.
    pub const fn step(&self) -> &StepId {
        match self {
            Self::Approval(Needed { step, .. }) | Self::NotYet { step, .. } => step,
        }
    }
}

/// What somebody must agree to, or do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Needed {
    /// The step.
    pub step: StepId,
    /// What must be agreed to; none where the caller lacks a permission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Who can agree, or do it.
    pub who: String,
    /// The exact requests, for whoever does it in the caller's place; empty where it cannot be said.
    pub requests: Vec<OwnerRequest>,
    /// What the caller may not do, where the service says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingPermission>,
    /// The reason, as a sentence.
    pub why: String,
}

/// What happens while a plan is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApplyEvent {
    /// A request of the step is about to be sent.
    Begun {
        /// The step.
        step: StepId,
    },
    /// The operation goes on.
    Progress {
        /// The step.
        step: StepId,
        /// The service's word.
        status: String,
        /// How much is done, 0 to 100, where the service says so.
        percent: Option<f64>,
    },
    /// The step is tried again after a wait.
    Retrying {
        /// The step.
        step: StepId,
        /// Why.
        why: String,
        /// How long, in milliseconds.
        wait_ms: u64,
    },
    /// What the step wants is there.
    Done {
        /// The step.
        step: StepId,
        /// Whether it was there before anything was sent.
        found: bool,
    },
    /// The step waits for something.
    Waits {
        /// For what.
        wait: Wait,
    },
}
