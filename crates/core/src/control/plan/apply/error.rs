//! What can go wrong while a plan is done.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::control::ArmId;
use crate::control::arm::ArmError;
use crate::control::lifecycle::Refusal;
use crate::control::plan::{StepId, Unready};
use crate::error::diagnose;
use crate::private_folder::Exposure;

/// Why a job of Site Recovery has failed: one of its errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The service's code.
    pub code: String,
    /// Its words.
    pub message: String,
    /// What it recommends; empty where it recommends nothing.
    pub remedy: String,
}

/// What can go wrong while a plan is done. Whatever it is: the journal is good to go on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Somebody else does this plan at the moment.
    #[error("the journal {} is in use", path.display())]
    JournalInUse {
        /// The journal.
        path: PathBuf,
    },
    /// The journal is of another plan.
    #[error("the journal {} is of the plan {found}, not of {wanted}", path.display())]
    OtherPlan {
        /// The journal.
        path: PathBuf,
        /// The digest in it.
        found: String,
        /// The plan's digest.
        wanted: String,
    },
    /// The journal cannot be read.
    #[error("line {line} of the journal {} cannot be read", path.display())]
    JournalDamaged {
        /// The journal.
        path: PathBuf,
        /// The line; the first is 1.
        line: usize,
    },
    /// Somebody else may have had a hand in the journal.
    #[error("{} {}", path.display(), exposure.of(path))]
    JournalExposed {
        /// The journal or its folder.
        path: PathBuf,
        /// How.
        exposure: Exposure,
    },
    /// The journal cannot be opened or written.
    #[error("the journal {}: {source}", path.display())]
    JournalIo {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The plan and the settings do not belong together.
    #[error("the plan is for another kind of migration than the settings")]
    OtherScenario,
    /// The plan was made of other settings than these.
    #[error("the plan was made of the settings {made_of}, and these are {given}")]
    OtherSettings {
        /// The digest of the settings that the plan was made of.
        made_of: String,
        /// The digest of the settings that were given.
        given: String,
    },
    /// Something else has the name that the step would give, or the place that it would take.
    #[error("{step}: {id} {why}")]
    NameTaken {
        /// The step.
        step: StepId,
        /// What is there.
        id: ArmId,
        /// How it is not what is wanted, as the rest of a sentence.
        why: String,
    },
    /// Something that the step needs is gone.
    #[error("{step}: there is no {id} any more")]
    Missing {
        /// The step.
        step: StepId,
        /// What is missing.
        id: ArmId,
    },
    /// A private endpoint was rejected or cut off by the owner of what it leads to.
    #[error("{step}: the owner of what {endpoint} leads to has said {status}")]
    EndpointRefused {
        /// The step.
        step: StepId,
        /// The endpoint.
        endpoint: ArmId,
        /// The owner's word.
        status: String,
    },
    /// The server is somewhere that it does not leave by itself.
    #[error("{step}: the server is {state}")]
    Stuck {
        /// The step.
        step: StepId,
        /// Where it is.
        state: String,
    },
    /// The server's lifecycle does not allow it, now or later.
    #[error("{step}: {refusal}")]
    Refused {
        /// The step.
        step: StepId,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// A job of Site Recovery, or another operation, has failed.
    #[error("{step}: {job} has failed: {}", Reasons(reasons))]
    JobFailed {
        /// The step.
        step: StepId,
        /// The job's name, or the operation's.
        job: String,
        /// The service's reasons, outer ones first.
        reasons: Vec<Reason>,
    },
    /// What was granted has not had effect within the time that it was given.
    #[error("{step}: what was granted has no effect after {waited:?}: {source}")]
    NotEffective {
        /// The step.
        step: StepId,
        /// How long was waited.
        waited: Duration,
        /// What the service says.
        source: Box<ArmError>,
    },
    /// The step cannot be made into a request.
    #[error("{step}: {unready}")]
    Unready {
        /// The step.
        step: StepId,
        /// Why.
        unready: Box<Unready>,
    },
    /// The caller cancelled. What was sent may still take effect.
    #[error("cancelled")]
    Cancelled,
    /// A request failed.
    #[error(transparent)]
    Arm(#[from] ArmError),
}

diagnose! {
    ApplyError {
        JournalInUse: "plan.journal_in_use", Retryable,
            "wait until the other one has ended, and run the same call again";
        OtherPlan: "plan.other_plan", Caller,
            "give each plan a journal of its own, or give the plan that the journal is of";
        JournalDamaged: "plan.journal_damaged", Fatal,
            "move the journal away, look at the jobs and operations that may still run, and make the plan anew from what is there";
        JournalExposed: "plan.journal_exposed", Fatal,
            "put the journal into a folder that only its owner can write to, as the error says";
        JournalIo: "plan.journal_io", Fatal,
            "make room on the disk, or give a path that can be written to, and run the same call again";
        OtherScenario: "plan.other_scenario", Caller,
            "give the settings that the plan was made of";
        OtherSettings: "plan.other_settings", Caller,
            "give the settings that the plan was made of; where they have changed on purpose, make the plan anew, and give it a journal of its own";
        NameTaken: "plan.name_taken", Fatal,
            "look at what has the name or the place, decide whether it stays, and make the plan anew";
        Missing: "plan.missing", Caller,
            "make the plan anew from what is there now";
        EndpointRefused: "plan.endpoint_refused", Fatal,
            "agree with the owner of what it leads to; a private endpoint that was refused is deleted and made anew";
        Stuck: "plan.stuck", Fatal,
            "look at the server in the portal; where its replication could not be set up, remove it and make the plan anew";
        Refused: "plan.refused", Caller,
            "bring the server to where the step is allowed, as the error says, and make the plan anew";
        JobFailed: "plan.job_failed", Fatal,
            "put right what the service names, the innermost cause first, and run the same call again";
        NotEffective: "plan.not_effective", Retryable,
            "check that the grants are there, wait until they have effect, and run the same call again";
        Unready: "plan.unready", Caller,
            "check that the settings are those that the plan was made of, and make the plan anew where they are not";
        Cancelled: "plan.cancelled", Retryable,
            "run the same call again to go on";
    }
    inside Arm
}

/// Reasons as the end of a sentence.
struct Reasons<'a>(&'a [Reason]);

impl std::fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the service gives no reason");
        }
        for (number, Reason { code, message, remedy }) in self.0.iter().enumerate() {
            let (between, message) = (if number == 0 { "" } else { "; " }, message.trim_end_matches('.'));
            write!(f, "{between}{code}: {message}")?;
            if !remedy.is_empty() {
                write!(f, " ({})", remedy.trim_end_matches('.'))?;
            }
        }
        Ok(())
    }
}
