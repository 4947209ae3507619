//! What can go wrong between here and Azure Resource Manager.

use std::fmt;
use std::time::Duration;

use super::service_error::{MissingPermission, ServiceError};
use crate::control::ArmId;
use crate::error::diagnose;
use crate::private_link::PrivateLinkError;

/// Which operation was asked of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The operation's name.
    pub operation: &'static str,
    /// The id that it was asked with.
    pub id: ArmId,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An id that is no id may hold anything, and be of any length.
        let id: String = self.id.as_str().chars().filter(|c| !c.is_control()).take(2048).collect();
        write!(f, "{} of {id}", self.operation)
    }
}

/// What can go wrong between here and Azure Resource Manager. Shows no token and no query of a URL.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArmError {
    /// The id cannot be asked for, or not with this operation. Nothing was sent.
    #[error("{asked} cannot be asked for: {problem}")]
    BadId {
        /// What was asked.
        asked: Asked,
        /// What is wrong.
        problem: String,
    },
    /// The request does not fit its operation, or the options cannot work. Nothing was sent.
    #[error("{what} cannot be sent: {problem}")]
    BadRequest {
        /// Which request, or that it is all of them.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// No token came, or the service did not accept it.
    #[error("{asked}: not authenticated: {reason}")]
    Unauthorized {
        /// What was asked.
        asked: Asked,
        /// In the words of who refused.
        reason: String,
    },
    /// The caller may not do this.
    #[error("{asked}: forbidden{}: {service}", Needs(missing.as_deref()))]
    Forbidden {
        /// What was asked.
        asked: Asked,
        /// The permission that the service says is missing.
        missing: Option<Box<MissingPermission>>,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// There is no such resource, or its group or subscription.
    #[error("{asked}: not found: {service}")]
    NotFound {
        /// What was asked.
        asked: Asked,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// Another operation on the resource was still going on when the time for trying again was over.
    #[error("{asked}: another operation is still in progress after {attempts} attempts: {service}")]
    Busy {
        /// What was asked.
        asked: Asked,
        /// How often.
        attempts: u32,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The resource is in a state that does not allow this.
    #[error("{asked}: conflict: {service}")]
    Conflict {
        /// What was asked.
        asked: Asked,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The resource is not as the request demanded: somebody changed it, or it exists already.
    #[error("{asked}: not as it was when it was read: {service}")]
    Precondition {
        /// What was asked.
        asked: Asked,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The service had too many requests when the time for trying again was over.
    #[error("{asked}: throttled, {attempts} attempts: {service}")]
    Throttled {
        /// What was asked.
        asked: Asked,
        /// How often.
        attempts: u32,
        /// When the service says to come back.
        retry_after: Option<Duration>,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The service had a failure of its own, also when the time for trying again was over.
    #[error("{asked}: the service failed with status {status}, {attempts} attempts: {service}")]
    Unavailable {
        /// What was asked.
        asked: Asked,
        /// The last status.
        status: u16,
        /// How often.
        attempts: u32,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The service does not accept the request.
    #[error("{asked}: rejected with status {status}: {service}")]
    Rejected {
        /// What was asked.
        asked: Asked,
        /// The status.
        status: u16,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// A long-running operation ended in failure.
    #[error("{asked}: the operation failed: {service}")]
    OperationFailed {
        /// What was asked.
        asked: Asked,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// A long-running operation was cancelled, not by this caller.
    #[error("{asked}: the operation was cancelled at the service: {service}")]
    OperationCancelled {
        /// What was asked.
        asked: Asked,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The answer is none that the contract has.
    #[error("{asked}: unexpected answer: {problem}")]
    UnexpectedAnswer {
        /// What was asked.
        asked: Asked,
        /// What is wrong with it.
        problem: String,
    },
    /// The answer leads to another host than the one that was asked. Nothing was sent there.
    #[error("{asked}: the answer leads to {host}, which is not the host that was asked: nothing was sent there")]
    ForeignUrl {
        /// What was asked.
        asked: Asked,
        /// Where to.
        host: String,
    },
    /// A long-running operation has not ended within the time that it was given. It goes on.
    #[error("{asked}: still {status} after {waited:?}")]
    Timeout {
        /// What was asked.
        asked: Asked,
        /// The last word of the service on it.
        status: String,
        /// How long was waited.
        waited: Duration,
    },
    /// No answer came, also when the time for trying again was over.
    #[error("{asked}: no answer, {attempts} attempts: {reason}")]
    Unreachable {
        /// What was asked.
        asked: Asked,
        /// How often.
        attempts: u32,
        /// The last failure.
        reason: String,
    },
    /// The answer to a request that must not be sent twice was lost: the service may have acted on it.
    #[error("{asked}: the answer was lost, and the service may have acted: {reason}")]
    InDoubt {
        /// What was asked.
        asked: Asked,
        /// How it was lost.
        reason: String,
    },
    /// The connection cannot work as it is set up: a certificate that is not trusted, for example.
    #[error("{asked}: no connection: {reason}")]
    Transport {
        /// What was asked.
        asked: Asked,
        /// Why.
        reason: String,
    },
    /// The caller cancelled. What was sent may still take effect.
    #[error("{asked}: cancelled")]
    Cancelled {
        /// What was asked.
        asked: Asked,
    },
    /// The route was refused.
    #[error(transparent)]
    Route(#[from] PrivateLinkError),
}

diagnose! {
    ArmError {
        BadId: "arm.bad_id", Caller,
            "give the id as the portal or Azure Resource Manager shows it, of a resource of the kind that the operation is for";
        BadRequest: "arm.bad_request", Caller,
            "change the request as the error says";
        Unauthorized: "arm.unauthorized", Fatal,
            "sign in again, or check the identity's secret, its tenant and this machine's clock";
        Forbidden: "arm.forbidden", Fatal,
            "have the permission that the error names granted to this identity at that scope, and try again after some minutes";
        NotFound: "arm.not_found", Fatal,
            "check the name, the resource group and the subscription, and that nobody deleted it";
        Busy: "arm.busy", Retryable,
            "wait until the other operation on the resource has ended, and run the same call again";
        Conflict: "arm.conflict", Fatal,
            "bring the resource into a state that allows this, as the service says, or leave out what exists already";
        Precondition: "arm.precondition", Caller,
            "read the resource again and decide anew: somebody has changed it since";
        Throttled: "arm.throttled", Retryable,
            "run the same call again later, and ask less often";
        Unavailable: "arm.unavailable", Retryable,
            "run the same call again; if it lasts, see the service's health page and give its support the request's id";
        Rejected: "arm.rejected", Caller,
            "change the request as the service says";
        OperationFailed: "arm.operation_failed", Fatal,
            "put right what the service names, the innermost cause first, and start the operation again";
        OperationCancelled: "arm.operation_cancelled", Fatal,
            "find out who cancelled it in the activity log, and start it again";
        UnexpectedAnswer: "arm.unexpected_answer", Fatal,
            "check that nothing between here and Azure answers in its place; if Azure did, report this with the request's id";
        ForeignUrl: "arm.foreign_url", Fatal,
            "check that nothing between here and Azure changes answers; a token must not go to another host";
        Timeout: "arm.timeout", Retryable,
            "wait for the operation again, by what was kept of it: it goes on at the service";
        Unreachable: "arm.unreachable", Retryable,
            "check this machine's way to Azure Resource Manager, which has public endpoints only, and run the same call again";
        InDoubt: "arm.in_doubt", Caller,
            "read the resource and see whether the service has acted, before the same call is made again";
        Transport: "arm.transport", Fatal,
            "check the proxy, and the certificates that this machine trusts";
        Cancelled: "arm.cancelled", Retryable,
            "run the same call again to go on";
    }
    inside Route
}

impl ArmError {
    /// What the service said of it, if it was the service who spoke.
    pub fn service(&self) -> Option<&ServiceError> {
        match self {
            Self::Forbidden { service, .. }
            | Self::NotFound { service, .. }
            | Self::Busy { service, .. }
            | Self::Conflict { service, .. }
            | Self::Precondition { service, .. }
            | Self::Throttled { service, .. }
            | Self::Unavailable { service, .. }
            | Self::Rejected { service, .. }
            | Self::OperationFailed { service, .. }
            | Self::OperationCancelled { service, .. } => Some(service),
            _ => None,
        }
    }
}

/// `: Microsoft.Storage/storageAccounts/write is needed on /subscriptions/…`, or nothing.
struct Needs<'a>(Option<&'a MissingPermission>);

impl fmt::Display for Needs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |missing| write!(f, ": {} is needed on {}", missing.action, missing.scope))
    }
}
