//! What long-running operations say of themselves, and how the service says that something is wrong.
//!
//! Source: Azure Resource Manager, "Asynchronous operations" and its common error response (types.json, v5); Site
//! Recovery's status is the same.

use serde_json::Number;

use super::scalar::{Extra, Stamp};
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

open_enum! {
    /// Where an operation is. Every word but the three that end it means that it goes on.
    pub enum OperationState {
        /// It is done.
        Succeeded,
        /// It failed.
        Failed,
        /// Somebody ended it.
        Canceled,
        /// It goes on.
        InProgress,
    }
}

impl OperationState {
    /// Whether nothing happens any more. Services do not agree on the case of these words, nor on how many letters
    /// `l` are in `Canceled`.
    pub fn is_over(&self) -> bool {
        self.is_success()
            || ["Failed", "Canceled", "Cancelled"].iter().any(|word| word.eq_ignore_ascii_case(self.as_str()))
    }

    /// Whether it is done.
    pub fn is_success(&self) -> bool {
        self.as_str().eq_ignore_ascii_case("Succeeded")
    }
}

wire! {
    /// The answer at the URL of `Azure-AsyncOperation`.
    pub struct OperationStatus {
        /// Its id.
        id: ArmId,
        /// Its name: in Site Recovery, that of its job.
        name: String,
        /// Where it is.
        status: OperationState,
        /// How far it is, in hundredths.
        percent_complete: Number,
        /// When it began.
        start_time: Stamp,
        /// When it ended.
        end_time: Stamp,
        /// Why it failed.
        error: ErrorDetail,
        /// What it made, in some services.
        properties: Extra,
    }

    /// The body of an answer that refuses.
    pub struct ErrorResponse {
        /// Why.
        error: ErrorDetail,
    }

    /// Why something failed.
    pub struct ErrorDetail {
        /// A stable word: `AuthorizationFailed`, `RoleAssignmentExists`.
        code: String,
        /// What is wrong.
        message: String,
        /// What is wrong with it.
        target: String,
        /// Errors that this one is made of.
        details: Vec<ErrorDetail>,
        /// What caused it, in the service's own words.
        innererror: InnerError,
        /// More that tools may read.
        additional_info: Vec<ErrorInfo>,
    }

    /// What caused an error.
    pub struct InnerError {
        /// A stable word.
        code: String,
        /// What is wrong.
        message: String,
        /// What caused this one.
        innererror: Box<InnerError>,
    }

    /// More that tools may read about an error.
    pub struct ErrorInfo {
        /// What it is: `PolicyViolation`.
        #[serde(rename = "type")]
        info_type: String,
        /// It.
        info: Extra,
    }
}

impl ErrorDetail {
    /// This error and those in it, from the outside in, and from first to last.
    pub fn chain(&self) -> Vec<&Self> {
        let (mut all, mut waiting) = (Vec::new(), vec![self]);
        while let Some(error) = waiting.pop() {
            all.push(error);
            waiting.extend(error.details.iter().flatten().rev());
        }
        all
    }

    /// Whether this error or one in it has that code, without regard to case.
    pub fn has_code(&self, code: &str) -> bool {
        self.chain().iter().any(|error| error.code.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(code)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn an_operation_that_failed_tells_why_at_every_depth() {
        let status: OperationStatus = same(&json!({
            "id": "/subscriptions/s/operations/1", "name": "1", "status": "Failed", "startTime": "2019-11-20T09:49:44.0478496Z",
            "error": {
                "code": "DeploymentFailed", "message": "m", "details": [
                    { "code": "Conflict", "details": [{ "code": "RoleAssignmentExists", "target": "t" }] }, { "code": "Last" },
                ],
                "innererror": { "code": "a", "innererror": { "code": "b", "trace": "x" } },
                "additionalInfo": [{ "type": "PolicyViolation", "info": { "policy": 1 } }],
            },
        }));
        let error = status.error.unwrap();
        let codes: Vec<_> = error.chain().into_iter().filter_map(|error| error.code.as_deref()).collect();
        assert_eq!(codes, ["DeploymentFailed", "Conflict", "RoleAssignmentExists", "Last"]);
        assert!(error.has_code("roleassignmentexists") && !error.has_code("b"));
    }

    #[test]
    fn an_operation_is_over_in_three_ways_however_they_are_spelled() {
        for word in ["Succeeded", "succeeded", "Failed", "Canceled", "Cancelled"] {
            assert!(OperationState::from(word).is_over(), "{word}");
        }
        assert!(OperationState::from("SUCCEEDED").is_success() && !OperationState::Failed.is_success());
    }

    #[test]
    fn a_refusal_is_read_and_written_the_same() {
        same::<ErrorResponse>(
            &json!({ "error": { "code": "AuthorizationFailed", "message": "The client does not have authorization" } }),
        );
    }

    proptest! {
        #[test]
        fn an_operation_goes_on_in_every_other_word(word in "\\PC*") {
            prop_assume!(!["succeeded", "failed", "canceled", "cancelled"].contains(&word.to_ascii_lowercase().as_str()));
            prop_assert!(!OperationState::from(word.as_str()).is_over());
        }
    }
}
