//! Why a verb is not allowed.

use super::guard::Listed;
use super::state::{PhaseKind, TestKind};
use super::verb::{Choice, Verb};
use crate::control::Scenario;
use crate::error::diagnose;

/// Why a verb is not allowed. Nothing was asked of the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The service has no such operation for this kind of migration.
    #[error("{scenario} migrations have no {verb}: the service has no operation for it")]
    NoSuchVerb {
        /// The verb.
        verb: Verb,
        /// The kind of migration.
        scenario: Scenario,
    },
    /// Not in this phase.
    #[error("{verb} is not allowed in {phase}, only in {}: {why}", Listed(allowed_in))]
    Phase {
        /// The verb.
        verb: Verb,
        /// Where the migration is.
        phase: PhaseKind,
        /// Where it would be allowed.
        allowed_in: Vec<PhaseKind>,
        /// The reason.
        why: &'static str,
    },
    /// Not beside such a test migration.
    #[error(
        "{verb} is not allowed while the test migration is {test}, only while it is {}: {why}",
        Listed(allowed_with)
    )]
    Test {
        /// The verb.
        verb: Verb,
        /// Where the test migration is.
        test: TestKind,
        /// Beside what it would be allowed.
        allowed_with: Vec<TestKind>,
        /// The reason.
        why: &'static str,
    },
    /// The verb itself would be allowed, but not with this.
    #[error("{} with {choice} is not allowed for {scenario} in {phase}: {why}", choice.verb())]
    Choice {
        /// What was chosen.
        choice: Choice,
        /// The kind of migration.
        scenario: Scenario,
        /// Where the migration is.
        phase: PhaseKind,
        /// The reason.
        why: &'static str,
    },
    /// The state is not understood, and the service did not list the verb.
    #[error("{verb} is not allowed: the service says {said:?}, which is not understood")]
    Unclear {
        /// The verb.
        verb: Verb,
        /// What the service said.
        said: String,
    },
    /// The service does not list the operation.
    #[error(
        "{verb} is not allowed: the service does not list {operation} among what it allows now ({})",
        Listed(listed)
    )]
    Service {
        /// The verb.
        verb: Verb,
        /// What it is on the wire.
        operation: &'static str,
        /// What the service lists.
        listed: Vec<String>,
    },
}

diagnose! {
    Refusal {
        NoSuchVerb: "lifecycle.no_such_verb", Caller,
            "leave the step out for migrations of this kind";
        Phase: "lifecycle.phase", Retryable,
            "look at the item again, and wait until it is in a phase that the verb is allowed in";
        Test: "lifecycle.test", Retryable,
            "wait until the test migration has come to its end, and clean it up";
        Choice: "lifecycle.choice", Caller,
            "ask for the same without the choice";
        Unclear: "lifecycle.unclear", Retryable,
            "look at the item again, and at the machine in the portal";
        Service: "lifecycle.not_allowed_now", Retryable,
            "look at the item again: the service lists the operation when it is ready for it; its health errors and its current job say what it waits for";
    }
}
