//! What goes back: an answer, or an error in the shape that Azure Resource Manager gives all of them.
//!
//! Source: Microsoft REST API guidelines for Azure, "Handling errors", and the `ErrorResponse` of the published
//! contracts (common-types, resource-management v5).

use std::time::Duration;

use serde_json::{Value, json};

/// A status, headers and perhaps a body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    pub(crate) fn with(mut self, headers: Vec<(&'static str, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

/// An error of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmError {
    /// HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: String,
    /// `error.message`.
    pub message: String,
    /// `error.details`, outermost first.
    pub details: Vec<(String, String)>,
    /// What `Retry-After` says; whole seconds.
    pub retry_after: Option<Duration>,
}

impl ArmError {
    /// One without details.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Vec::new(), retry_after: None }
    }

    /// The same with one more detail.
    #[must_use]
    pub fn because(mut self, code: impl Into<String>, message: impl Into<String>) -> Self {
        self.details.push((code.into(), message.into()));
        self
    }

    /// The same, asking the client to stay away for `wait`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn not_found(id: &str) -> Self {
        Self::new(404, "ResourceNotFound", format!("The Resource '{id}' was not found."))
    }

    pub(crate) fn parent_not_found(id: &str) -> Self {
        Self::new(
            404,
            "ParentResourceNotFound",
            format!("Failed to perform operation because the parent resource of '{id}' was not found."),
        )
    }

    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn invalid(field: &str, why: &str) -> Self {
        Self::new(400, "InvalidRequestContent", format!("The request content was invalid: '{field}' {why}."))
    }

    /// `code`, `message` and `details`, as they stand under `error`.
    pub(crate) fn content(&self) -> Value {
        let details: Vec<Value> =
            self.details.iter().map(|(code, message)| json!({ "code": code, "message": message })).collect();
        let mut content = json!({ "code": self.code, "message": self.message });
        if !details.is_empty() {
            content["details"] = details.into();
        }
        content
    }

    pub(crate) fn answer(&self) -> Answer {
        let mut answer = Answer::new(self.status, json!({ "error": self.content() }));
        if let Some(wait) = self.retry_after {
            answer.headers.push(("Retry-After", wait.as_secs().to_string()));
        }
        if self.status == 401 {
            let challenge = r#"Bearer authorization_uri="https://login.windows.net/", error="invalid_token""#;
            answer.headers.push(("WWW-Authenticate", challenge.into()));
        }
        answer
    }
}

/// What a service does with a request.
pub(crate) type Outcome = Result<Answer, ArmError>;
