//! What an answer says, and which error it is.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::error::{ArmError, Asked};
use super::service_error::{ServiceError, clean};
use crate::azure_answer::{out_of_reach, retry_after};
use crate::private_link::PrivateLinkError;

/// An answer with its body.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// The status.
    pub status: u16,
    /// What the resource's state is called, where the service says so.
    pub etag: Option<String>,
    /// The id by which Azure's support finds the request.
    pub request_id: Option<String>,
    /// The body. An empty one is read as JSON's `null`, so `()` and `Option` take it; `serde::de::IgnoredAny` takes
    /// everything.
    pub body: T,
}

/// An answer before its body is understood.
#[derive(Clone)]
pub(super) struct RawAnswer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// Where the status of the operation is.
    pub(super) status_url: Option<String>,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

impl RawAnswer {
    pub(super) fn new(status: u16, headers: &Headers, body: Bytes) -> Self {
        let header = |name: &'static str| {
            let value = headers.get_optional_str(&HeaderName::from_static(name))?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        Self {
            status,
            etag: header("etag"),
            request_id: header("x-ms-request-id").or_else(|| header("x-ms-correlation-request-id")),
            retry_after: retry_after(headers, Timestamp::now()),
            status_url: header("azure-asyncoperation").or_else(|| header("operation-location")),
            location: header("location"),
            body,
        }
    }

    /// The body as `T`.
    pub(super) fn read<T: DeserializeOwned>(&self, asked: &Asked) -> Result<T, ArmError> {
        let body: &[u8] = if self.body.trim_ascii().is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| {
            let problem = match error.classify() {
                serde_json::error::Category::Eof => format!("its body is cut off after {} bytes", self.body.len()),
                serde_json::error::Category::Data => format!("its body is not as the contract says: {error}"),
                _ => format!("its body is no JSON: {error}"),
            };
            self.unexpected(asked, &problem)
        })
    }

    /// This answer with its body as `T`.
    pub(super) fn into_answer<T: DeserializeOwned>(self, asked: &Asked) -> Result<Answer<T>, ArmError> {
        let body = self.read(asked)?;
        Ok(Answer { status: self.status, etag: self.etag, request_id: self.request_id, body })
    }

    /// That this answer is none that the contract has.
    pub(super) fn unexpected(&self, asked: &Asked, problem: &str) -> ArmError {
        let id = self.request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default();
        ArmError::UnexpectedAnswer { asked: asked.clone(), problem: clean(&format!("{problem}{id}")) }
    }

    fn service_error(&self) -> Box<ServiceError> {
        let mut error = ServiceError::read(&self.body).unwrap_or_default();
        if error.code.is_empty() && error.message.is_empty() {
            error.message = format!("status {}", self.status);
        }
        error.request_id = self.request_id.as_deref().map(clean);
        Box::new(error)
    }

    /// The error that an answer without success is.
    pub(super) fn refusal(&self, asked: &Asked, attempts: u32, repeatable: bool) -> ArmError {
        let (asked, status, service) = (asked.clone(), self.status, self.service_error());
        match status {
            // A policy of the organisation refuses what is asked, not who asks.
            403 if service.has_code("RequestDisallowedByPolicy") => ArmError::Rejected { asked, status, service },
            401 => ArmError::Unauthorized { asked, reason: service.to_string() },
            403 => ArmError::Forbidden { asked, missing: service.missing_permission().map(Box::new), service },
            404 => ArmError::NotFound { asked, service },
            409 if is_busy(&service) => ArmError::Busy { asked, attempts, service },
            409 => ArmError::Conflict { asked, service },
            412 => ArmError::Precondition { asked, service },
            429 => ArmError::Throttled { asked, attempts, retry_after: self.retry_after, service },
            503 => ArmError::Unavailable { asked, status, attempts, service },
            408 | 500 | 502 | 504 if repeatable => ArmError::Unavailable { asked, status, attempts, service },
            // Somebody on the way gave up on the service, or the service on itself, half-way.
            408 | 500 | 502 | 504 => ArmError::InDoubt { asked, reason: service.to_string() },
            400..600 => ArmError::Rejected { asked, status, service },
            _ => self.unexpected(&asked, &format!("status {status}, which the contract does not have")),
        }
    }
}

/// Whether the service refuses because of another operation that will end by itself.
///
/// Sources: "Resolve errors for conflict" and "Common deployment errors" (Microsoft Learn), and the retries that
/// Microsoft's and `HashiCorp`'s clients have for these services.
fn is_busy(error: &ServiceError) -> bool {
    const CODES: [&str; 9] = [
        "AnotherOperationInProgress",
        "AnotherOperationIsInProgress",
        "OperationInProgress",
        "ConcurrentOperationInProgress",
        "ConflictingConcurrentWriteNotAllowed",
        "StorageAccountOperationInProgress",
        "ReferencedResourceNotProvisioned",
        "RetryableError",
        "AccountIsBeingProvisioned",
    ];
    error.chain().any(|error| {
        let words = error.message.to_ascii_lowercase();
        CODES.iter().any(|code| error.code.eq_ignore_ascii_case(code))
            || (words.contains("another") && words.contains("operation") && words.contains("in progress"))
    })
}

/// The error that a request without an answer is.
pub(super) fn no_answer(asked: &Asked, attempts: u32, repeatable: bool, error: &azure_core::Error) -> ArmError {
    if let Some(route) = PrivateLinkError::behind(error) {
        return ArmError::Route(route.clone());
    }
    let (asked, reason) = (asked.clone(), clean(&error.to_string()));
    match error.kind() {
        ErrorKind::Credential if out_of_reach(error) => {
            ArmError::Unreachable { asked, attempts, reason: format!("no token: {reason}") }
        }
        ErrorKind::Credential => ArmError::Unauthorized { asked, reason },
        ErrorKind::Connection => ArmError::Unreachable { asked, attempts, reason },
        ErrorKind::Io if repeatable => ArmError::Unreachable { asked, attempts, reason },
        ErrorKind::Io => ArmError::InDoubt { asked, reason },
        ErrorKind::DataConversion => ArmError::UnexpectedAnswer { asked, problem: reason },
        _ => ArmError::Transport { asked, reason },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::control::ArmId;

    /// What headers may hold: text, of which some is a time to come back.
    fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let names = prop::sample::select(
            &["etag", "x-ms-request-id", "retry-after", "retry-after-ms", "location", "azure-asyncoperation"][..],
        );
        prop::collection::vec((names, prop_oneof!["[\\x09\\x20-\\x7e]{0,60}", "[0-9]{1,30}"]), 0..6)
    }

    proptest! {
        #[test]
        fn no_answer_breaks_its_reader(
            status in prop_oneof![100..=600_u16, any::<u16>()],
            headers in headers(),
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "\\{\"(error|status|code)\": ?(\"\\PC{0,40}\"|[0-9]{1,400}|null|\\[\\])\\}?".prop_map(String::into_bytes),
            ],
            repeatable in any::<bool>(),
        ) {
            let mut kept = Headers::new();
            for (name, value) in headers {
                kept.insert(name, value);
            }
            let asked = Asked { operation: "Vaults_Get", id: ArmId::of_subscription("s") };

            let answer = RawAnswer::new(status, &kept, body.into());

            let refusal = answer.refusal(&asked, 3, repeatable).to_string();
            prop_assert!(!refusal.contains(char::is_control), "{:?}", refusal);
            match answer.into_answer::<Value>(&asked) {
                Ok(read) => prop_assert_eq!(read.status, status),
                Err(ArmError::UnexpectedAnswer { problem, .. }) => prop_assert!(problem.contains("its body is")),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
