//! From the storage client's errors to [`TargetError`].
//!
//! Each refusal becomes the variant that tells the engine what to do: go on later, stop because another
//! writer took over, or ask the operator. The service's error code decides where it is known, the status
//! otherwise; some codes mean different things to different operations.
//!
//! Source of the codes: Microsoft Learn, "Blob Storage error codes" and "Common REST API error codes".

use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use azure_core::error::ErrorKind;
use jiff::Timestamp;

use super::credential::Credential;
use super::endpoint::BlobEndpoint;
use super::service_message::ServiceMessage;
use crate::azure_answer::{Redactor, out_of_reach};
use crate::private_link::PrivateLinkError;
use crate::size::PageRange;
use crate::target::TargetError;

/// Clocks that differ by less are no reason to refuse: the service bears 15 minutes, but the start of a
/// signature that was made just now can be missed by less.
const CLOCKS_AGREE: Duration = Duration::from_secs(60);

/// What is being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ReadState,
    Create,
    Resize,
    Put(PageRange),
    Clear(PageRange),
    Read(PageRange),
    ListPages(PageRange),
    ListChanges(PageRange),
    SetMetadata,
    RaiseSequence,
    Snapshot,
    ListSnapshots,
    DeleteSnapshot,
    AcquireLease,
    RenewLease,
    ReleaseLease,
    BreakLease,
    PutObject,
    GetObject,
    ListObjects,
    DeleteObject,
}

impl Operation {
    /// As errors name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ReadState => "read the state",
            Self::Create => "create",
            Self::Resize => "resize",
            Self::Put(_) => "put pages",
            Self::Clear(_) => "clear pages",
            Self::Read(_) => "read pages",
            Self::ListPages(_) => "list pages",
            Self::ListChanges(_) => "list changed pages",
            Self::SetMetadata => "set the metadata",
            Self::RaiseSequence => "raise the sequence number",
            Self::Snapshot => "take a snapshot",
            Self::ListSnapshots => "list snapshots",
            Self::DeleteSnapshot => "delete a snapshot",
            Self::AcquireLease => "take the lease",
            Self::RenewLease => "renew the lease",
            Self::ReleaseLease => "release the lease",
            Self::BreakLease => "break the lease",
            Self::PutObject => "put an object",
            Self::GetObject => "get an object",
            Self::ListObjects => "list objects",
            Self::DeleteObject => "delete an object",
        }
    }

    fn range(self) -> String {
        match self {
            Self::Put(range)
            | Self::Clear(range)
            | Self::Read(range)
            | Self::ListPages(range)
            | Self::ListChanges(range) => format!("bytes {range}"),
            _ => "the request".to_owned(),
        }
    }
}

/// What an answer tells of itself, for a diagnosis; not what it means to the engine.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The service's code, or empty.
    pub(super) code: String,
    /// Whether the storage service gave it.
    pub(super) by_storage: bool,
    /// Whether this machine's clock differs from the service's by more than counts.
    pub(super) clocks_differ: bool,
}

/// Turns errors into [`TargetError`]s about one blob.
pub(super) struct ErrorMap {
    location: String,
    redactor: Redactor,
    signature_expiry: Option<Timestamp>,
}

impl ErrorMap {
    pub(super) fn new(endpoint: &BlobEndpoint, credential: &Credential) -> Self {
        let mut secrets: Vec<String> = endpoint.query().map(str::to_owned).into_iter().collect();
        secrets.extend(endpoint.signature_parameter("sig"));
        secrets.extend(
            endpoint
                .query()
                .into_iter()
                .flat_map(|query| query.split('&'))
                .filter_map(|pair| pair.strip_prefix("sig="))
                .map(str::to_owned),
        );
        if let Credential::AccountKey { key, .. } = credential {
            use base64::Engine;
            secrets.push(base64::prelude::BASE64_STANDARD.encode(key.expose()));
        }
        let expiry = endpoint.signature_parameter("se").and_then(|text| text.parse().ok());
        Self { location: endpoint.location(), redactor: Redactor::new(secrets), signature_expiry: expiry }
    }

    /// The blob's URL without its secret.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// The error of an operation on the blob.
    pub(super) fn of(&self, operation: Operation, error: &azure_core::Error) -> TargetError {
        let location = self.location.clone();
        let name = operation.name();
        if let Some(error @ PrivateLinkError::NotPrivate { .. }) = PrivateLinkError::behind(error) {
            return TargetError::NotPrivate { operation: name, location, reason: error.to_string() };
        }
        let message = ServiceMessage::read(error, &self.redactor);
        match error.kind() {
            ErrorKind::HttpResponse { status, .. } => self.of_status(operation, u16::from(*status), message),
            ErrorKind::Connection | ErrorKind::Io => {
                TargetError::Transient { operation: name, location, reason: message.words, retry_after: None }
            }
            ErrorKind::Credential if out_of_reach(error) => {
                TargetError::Transient { operation: name, location, reason: message.words, retry_after: None }
            }
            ErrorKind::Credential => TargetError::Unauthenticated { operation: name, location, reason: message.words },
            ErrorKind::DataConversion => TargetError::BadAnswer { operation: name, location, problem: message.words },
            ErrorKind::Other => {
                TargetError::Unusable { location, problem: format!("cannot {name}: {}", message.words) }
            }
        }
    }

    /// The answer that an error is, if there was one.
    pub(super) fn answer(&self, error: &azure_core::Error) -> Option<Answer> {
        let ErrorKind::HttpResponse { status, .. } = error.kind() else { return None };
        let ServiceMessage { code, date, by_storage, .. } = ServiceMessage::read(error, &self.redactor);
        let clocks_differ = other_clock(date, Timestamp::now()).is_some();
        Some(Answer { status: u16::from(*status), code, by_storage, clocks_differ })
    }

    /// Words from outside, fit to be shown.
    pub(super) fn clean(&self, words: &str) -> String {
        self.redactor.clean(words)
    }

    /// An answer that makes no sense.
    pub(super) fn bad_answer(&self, operation: Operation, problem: impl fmt::Display) -> TargetError {
        TargetError::BadAnswer {
            operation: operation.name(),
            location: self.location.clone(),
            problem: self.redactor.clean(&problem.to_string()),
        }
    }

    /// A range or size that does not fit.
    pub(super) fn out_of_range(&self, operation: Operation, range: String, limit: String) -> TargetError {
        TargetError::OutOfRange { operation: operation.name(), location: self.location.clone(), range, limit }
    }

    /// An answer that broke off.
    pub(super) fn cut_off(&self, operation: Operation, reason: String) -> TargetError {
        TargetError::Transient {
            operation: operation.name(),
            location: self.location.clone(),
            reason,
            retry_after: None,
        }
    }

    fn of_status(&self, operation: Operation, status: u16, message: ServiceMessage) -> TargetError {
        let location = self.location.clone();
        let name = operation.name();
        let ServiceMessage { code, words: reason, retry_after, date, .. } = message;
        match (status, code.as_str()) {
            // Emulators say so with a status that asks to try again, in vain.
            (_, "FeatureNotSupported" | "APINotImplemented") => {
                TargetError::Refused { operation: name, location, status, code, reason }
            }
            (408 | 429 | 500 | 502 | 503 | 504, _) => {
                let reason =
                    if code.is_empty() || reason.contains(&code) { reason } else { format!("{code}: {reason}") };
                TargetError::Transient { operation: name, location, reason, retry_after }
            }
            (_, "LeaseAlreadyPresent" | "LeaseIsBreakingAndCannotBeAcquired" | "LeaseIsBreakingAndCannotBeChanged") => {
                TargetError::LeaseHeld { location }
            }
            (
                _,
                "LeaseIdMissing"
                | "LeaseIdMismatchWithBlobOperation"
                | "LeaseIdMismatchWithLeaseOperation"
                | "LeaseIsBrokenAndCannotBeRenewed"
                | "LeaseLost"
                | "LeaseNotPresentWithBlobOperation"
                | "LeaseNotPresentWithLeaseOperation",
            ) => lease_trouble(operation, location, reason),
            (_, "SequenceNumberConditionNotMet") => TargetError::Fenced { operation: name, location, reason },
            (_, "BlobAlreadyExists") => TargetError::AlreadyExists { location },
            (_, "ConditionNotMet") if operation == Operation::Create => TargetError::AlreadyExists { location },
            (_, "ConditionNotMet" | "TargetConditionNotMet") | (304 | 412, _) => {
                TargetError::Changed { operation: name, location, reason }
            }
            (_, "InvalidBlobType") => TargetError::WrongKind { location, found: "blob of another kind".to_owned() },
            (_, "Crc64Mismatch" | "Md5Mismatch") => TargetError::Checksum { operation: name, location, reason },
            (_, "ContainerNotFound" | "ContainerBeingDeleted") => {
                TargetError::ContainerNotFound { operation: name, location }
            }
            (404, _) | (_, "PreviousSnapshotNotFound") => TargetError::NotFound { operation: name, location, reason },
            (401, _) | (_, "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation") => {
                TargetError::Unauthenticated { operation: name, location, reason: self.why_not_accepted(reason, date) }
            }
            // Azurite's code for this is the one that Azure keeps for what is not permitted.
            (403, _) if self.signature_has_expired() || reason.contains("failed to authenticate") => {
                TargetError::Unauthenticated { operation: name, location, reason: self.why_not_accepted(reason, date) }
            }
            (403, _) => TargetError::Forbidden { operation: name, location, reason },
            (413 | 416, _) | (_, "InvalidPageRange" | "InvalidRange" | "RequestBodyTooLarge") => {
                TargetError::OutOfRange { operation: name, location, range: operation.range(), limit: reason }
            }
            (200..300, _) => TargetError::BadAnswer {
                operation: name,
                location,
                problem: format!("unexpected status {status}; something between here and Azure may have answered"),
            },
            _ => TargetError::Refused { operation: name, location, status, code, reason },
        }
    }

    fn signature_has_expired(&self) -> bool {
        self.signature_expiry.is_some_and(|expiry| expiry <= Timestamp::now())
    }

    /// `reason`, whether this machine's clock is wrong by the service's, and whether the signature has
    /// simply expired.
    fn why_not_accepted(&self, mut reason: String, date: Option<Timestamp>) -> String {
        let now = Timestamp::now();
        if let Some(date) = other_clock(date, now) {
            let _ =
                write!(reason, "; the service's clock says {date}, this machine's {now:.0}: set this machine's clock");
        } else if let Some(expiry) = self.signature_expiry.filter(|_| self.signature_has_expired()) {
            let _ = write!(reason, "; the shared access signature expired at {expiry}: give a new one");
        }
        reason
    }
}

/// The service's time, if it is another than this machine's.
fn other_clock(service: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    service.filter(|service| service.duration_since(now).unsigned_abs() > CLOCKS_AGREE)
}

/// A lease that is missing or not ours, to each operation what it means.
fn lease_trouble(operation: Operation, location: String, reason: String) -> TargetError {
    match operation {
        Operation::RenewLease | Operation::ReleaseLease | Operation::BreakLease => {
            TargetError::LeaseLost { location, reason }
        }
        Operation::AcquireLease => TargetError::LeaseHeld { location },
        // Only what exists can be leased.
        Operation::Create => TargetError::AlreadyExists { location },
        _ => TargetError::Fenced { operation: operation.name(), location, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::http::headers::Headers;
    use azure_core::http::{RawResponse, StatusCode};
    use std::time::Duration;

    const URL: &str = "https://acct.blob.core.windows.net/disks/web01.vhd";

    fn map() -> ErrorMap {
        let credential = Credential::account_key("acct", "Y2FuYXJ5LWtleQ==").unwrap();
        ErrorMap::new(&BlobEndpoint::parse(URL, &credential).unwrap(), &credential)
    }

    fn refusal(status: u16, code: &'static str, body: &str) -> azure_core::Error {
        let mut headers = Headers::new();
        headers.insert("x-ms-error-code", code);
        headers.insert("retry-after", "3");
        let status = StatusCode::from(status);
        let response = RawResponse::from_bytes(status, headers, body.as_bytes().to_vec());
        let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response: Some(Box::new(response)) };
        azure_core::Error::with_message(kind, body.to_owned())
    }

    fn mapped(operation: Operation, status: u16, code: &'static str) -> TargetError {
        map().of(operation, &refusal(status, code, ""))
    }

    fn put() -> Operation {
        Operation::Put(PageRange::new(4096, 4096).unwrap())
    }

    #[test]
    fn a_busy_service_asks_to_come_back() {
        for status in [408, 429, 500, 502, 503, 504] {
            let error = mapped(put(), status, "ServerBusy");
            assert!(
                matches!(error, TargetError::Transient { retry_after: Some(wait), .. } if wait == Duration::from_secs(3)),
                "{status}: {error:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_wrong_is_named_with_the_services_own() {
        let refused = |date: Timestamp| {
            let mut headers = Headers::new();
            headers.insert("x-ms-error-code", "AuthenticationFailed");
            headers.insert("date", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            let response = RawResponse::from_bytes(StatusCode::Forbidden, headers, Vec::new());
            let status = StatusCode::Forbidden;
            let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response: Some(Box::new(response)) };
            map().of(put(), &azure_core::Error::with_message(kind, "no")).to_string()
        };
        let now = Timestamp::now();
        for off in [Duration::from_secs(20 * 60), Duration::from_secs(400 * 86_400)] {
            for date in [now + off, now - off] {
                let year_to_minute = date.strftime("%Y-%m-%dT%H:%M").to_string();
                let said = refused(date);
                assert!(said.contains("set this machine's clock") && said.contains(&year_to_minute), "{said}");
            }
        }
        assert!(!refused(now).contains("clock"), "{}", refused(now));
    }

    #[test]
    fn a_container_that_is_being_deleted_is_as_good_as_gone() {
        assert!(matches!(mapped(put(), 409, "ContainerBeingDeleted"), TargetError::ContainerNotFound { .. }));
    }

    #[test]
    fn a_write_without_its_lease_or_sequence_is_fenced() {
        for code in [
            "LeaseIdMissing",
            "LeaseIdMismatchWithBlobOperation",
            "LeaseLost",
            "LeaseNotPresentWithBlobOperation",
            "SequenceNumberConditionNotMet",
        ] {
            assert!(matches!(mapped(put(), 412, code), TargetError::Fenced { .. }), "{code}");
        }
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_is_lost_and_one_that_cannot_be_taken_is_held() {
        let renew = |code| mapped(Operation::RenewLease, 409, code);
        assert!(matches!(renew("LeaseIdMismatchWithLeaseOperation"), TargetError::LeaseLost { .. }));
        assert!(matches!(renew("LeaseIsBrokenAndCannotBeRenewed"), TargetError::LeaseLost { .. }));
        assert!(matches!(mapped(Operation::AcquireLease, 409, "LeaseAlreadyPresent"), TargetError::LeaseHeld { .. }));
    }

    #[test]
    fn each_other_code_has_its_variant() {
        use TargetError as E;
        assert!(matches!(mapped(Operation::Create, 409, "BlobAlreadyExists"), E::AlreadyExists { .. }));
        assert!(matches!(mapped(Operation::Create, 412, "LeaseIdMissing"), E::AlreadyExists { .. }));
        assert!(matches!(mapped(Operation::SetMetadata, 412, "ConditionNotMet"), E::Changed { .. }));
        assert!(matches!(mapped(put(), 409, "InvalidBlobType"), E::WrongKind { .. }));
        assert!(matches!(mapped(put(), 400, "Crc64Mismatch"), E::Checksum { .. }));
        assert!(matches!(mapped(put(), 404, "ContainerNotFound"), E::ContainerNotFound { .. }));
        assert!(matches!(mapped(put(), 404, "BlobNotFound"), E::NotFound { .. }));
        assert!(matches!(mapped(put(), 401, "NoAuthenticationInformation"), E::Unauthenticated { .. }));
        assert!(matches!(mapped(put(), 403, "AuthenticationFailed"), E::Unauthenticated { .. }));
        assert!(matches!(mapped(put(), 403, "AuthorizationPermissionMismatch"), E::Forbidden { .. }));
        assert!(matches!(mapped(put(), 416, "InvalidPageRange"), E::OutOfRange { .. }));
        assert!(matches!(mapped(put(), 413, "RequestBodyTooLarge"), E::OutOfRange { .. }));
        assert!(matches!(mapped(put(), 409, "PendingCopyOperation"), E::Refused { status: 409, .. }));
        assert!(matches!(mapped(put(), 200, ""), E::BadAnswer { .. }));
    }

    #[test]
    fn an_expired_signature_is_called_expired() {
        let url = format!("{URL}?sv=1&se=2020-01-01T00:00:00Z&sig=canary-signature");
        let map = ErrorMap::new(&BlobEndpoint::parse(&url, &Credential::SasUrl).unwrap(), &Credential::SasUrl);
        let error = map.of(put(), &refusal(403, "AuthenticationFailed", "")).to_string();
        assert!(error.contains("expired at 2020-01-01T00:00:00Z"), "{error}");
    }

    #[test]
    fn no_refusal_shows_a_secret() {
        let url = format!("{URL}?sv=1&sig=canary%2Fsignature");
        let map = ErrorMap::new(&BlobEndpoint::parse(&url, &Credential::SasUrl).unwrap(), &Credential::SasUrl);
        let body = "<Error><Message>canary/signature did not match, nor canary%2Fsignature, nor \
            sv=1&amp;sig=canary%2Fsignature</Message></Error>";
        let error = map.of(put(), &refusal(403, "AuthenticationFailed", body));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert!(std::error::Error::source(&error).is_none());
    }
}
