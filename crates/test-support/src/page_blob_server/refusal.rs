//! How the service says no.
//!
//! Status, code and words are those of Microsoft Learn, "Common REST API error codes" and "Azure Blob Storage
//! error codes" (read 2026-11). `Crc64Mismatch` is on neither page; its status is that of `Md5Mismatch`.

use std::time::Duration;

/// A status and code that the service answers instead of doing what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What `x-ms-error-code` says.
    pub code: &'static str,
    /// The words in the body.
    pub message: &'static str,
    /// What `Retry-After` says; whole seconds.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// One that asks for nothing.
    pub const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, retry_after: None }
    }

    /// The same, asking the client to stay away for `wait`.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

macro_rules! refusals {
    ($($name:ident: $status:literal $code:literal $message:literal;)*) => {
        $(#[doc = concat!($status, " ", $code)] pub(crate) const $name: Refusal = Refusal::new($status, $code, $message);)*

        /// The refusal that another service's answer is.
        pub(crate) fn named(status: u16, code: &str) -> Refusal {
            match (status, code) {
                $(($status, $code) => $name,)*
                _ => Refusal::new(status, "another code", ""),
            }
        }
    };
}

refusals! {
    AUTHENTICATION_FAILED: 403 "AuthenticationFailed" "Server failed to authenticate the request. Make sure the value of the Authorization header is formed correctly including the signature.";
    AUTHORIZATION_PERMISSION_MISMATCH: 403 "AuthorizationPermissionMismatch" "This request is not authorized to perform this operation using this permission.";
    NO_AUTHENTICATION_INFORMATION: 401 "NoAuthenticationInformation" "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.";

    BLOB_ALREADY_EXISTS: 409 "BlobAlreadyExists" "The specified blob already exists.";
    BLOB_NOT_FOUND: 404 "BlobNotFound" "The specified blob does not exist.";
    BLOB_OVERWRITTEN: 409 "BlobOverwritten" "The blob has been recreated since the previous snapshot was taken.";
    CONTAINER_ALREADY_EXISTS: 409 "ContainerAlreadyExists" "The specified container already exists.";
    CONTAINER_NOT_FOUND: 404 "ContainerNotFound" "The specified container does not exist.";
    INVALID_BLOB_TYPE: 409 "InvalidBlobType" "The blob type is invalid for this operation.";
    SNAPSHOTS_PRESENT: 409 "SnapshotsPresent" "This operation is not permitted because the blob has snapshots.";
    PREVIOUS_SNAPSHOT_NOT_FOUND: 409 "PreviousSnapshotNotFound" "The previous snapshot is not found.";
    PREVIOUS_SNAPSHOT_CANNOT_BE_NEWER: 400 "PreviousSnapshotCannotBeNewer" "The prevsnapshot query parameter value cannot be newer than snapshot query parameter value.";

    CONDITION_NOT_MET: 412 "ConditionNotMet" "The condition specified using HTTP conditional header(s) is not met.";
    NOT_MODIFIED: 304 "ConditionNotMet" "The condition specified using HTTP conditional header(s) is not met.";
    SEQUENCE_NUMBER_CONDITION_NOT_MET: 412 "SequenceNumberConditionNotMet" "The sequence number condition specified was not met.";
    SEQUENCE_NUMBER_INCREMENT_TOO_LARGE: 409 "SequenceNumberIncrementTooLarge" "The sequence number increment cannot be performed because it would result in overflow of the sequence number.";

    LEASE_ALREADY_PRESENT: 409 "LeaseAlreadyPresent" "There is already a lease present.";
    LEASE_ID_MISMATCH_WITH_BLOB_OPERATION: 412 "LeaseIdMismatchWithBlobOperation" "The lease ID specified did not match the lease ID for the blob.";
    LEASE_ID_MISMATCH_WITH_LEASE_OPERATION: 409 "LeaseIdMismatchWithLeaseOperation" "The lease ID specified did not match the lease ID for the blob.";
    LEASE_ID_MISSING: 412 "LeaseIdMissing" "There is currently a lease on the blob and no lease ID was specified in the request.";
    LEASE_IS_BREAKING_AND_CANNOT_BE_ACQUIRED: 409 "LeaseIsBreakingAndCannotBeAcquired" "The lease ID matched, but the lease is currently in breaking state and cannot be acquired until it is broken.";
    LEASE_IS_BREAKING_AND_CANNOT_BE_CHANGED: 409 "LeaseIsBreakingAndCannotBeChanged" "The lease ID matched, but the lease is currently in breaking state and cannot be changed.";
    LEASE_IS_BROKEN_AND_CANNOT_BE_RENEWED: 409 "LeaseIsBrokenAndCannotBeRenewed" "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.";
    LEASE_LOST: 412 "LeaseLost" "A lease ID was specified, but the lease for the blob has expired.";
    LEASE_NOT_PRESENT_WITH_BLOB_OPERATION: 412 "LeaseNotPresentWithBlobOperation" "There is currently no lease on the blob.";
    LEASE_NOT_PRESENT_WITH_LEASE_OPERATION: 409 "LeaseNotPresentWithLeaseOperation" "There is currently no lease on the blob.";

    CRC64_MISMATCH: 400 "Crc64Mismatch" "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.";
    EMPTY_METADATA_KEY: 400 "EmptyMetadataKey" "The key for one of the metadata key-value pairs is empty.";
    INVALID_BLOCK_LIST: 400 "InvalidBlockList" "The specified block list is invalid.";
    INVALID_HEADER_VALUE: 400 "InvalidHeaderValue" "The value for one of the HTTP headers is not in the correct format.";
    INVALID_MD5: 400 "InvalidMd5" "The MD5 value specified in the request is invalid. MD5 value must be 128 bits and base64-encoded.";
    INVALID_METADATA: 400 "InvalidMetadata" "The metadata specified is invalid. It has characters that are not permitted.";
    INVALID_PAGE_RANGE: 416 "InvalidPageRange" "The page range specified is invalid.";
    INVALID_QUERY_PARAMETER_VALUE: 400 "InvalidQueryParameterValue" "Value for one of the query parameters specified in the request URI is invalid.";
    INVALID_RANGE: 416 "InvalidRange" "The range specified is invalid for the current size of the resource.";
    INVALID_RESOURCE_NAME: 400 "InvalidResourceName" "The specified resource name contains invalid characters.";
    INVALID_URI: 400 "InvalidUri" "The requested URI does not represent any resource on the server.";
    INVALID_XML_DOCUMENT: 400 "InvalidXmlDocument" "XML specified is not syntactically valid.";
    MD5_MISMATCH: 400 "Md5Mismatch" "The MD5 value specified in the request did not match with the MD5 value calculated by the server.";
    METADATA_TOO_LARGE: 400 "MetadataTooLarge" "The size of the specified metadata exceeds the maximum size permitted.";
    MISSING_REQUIRED_HEADER: 400 "MissingRequiredHeader" "An HTTP header that's mandatory for this request is not specified.";
    OUT_OF_RANGE_INPUT: 400 "OutOfRangeInput" "One of the request inputs is out of range.";
    OUT_OF_RANGE_QUERY_PARAMETER_VALUE: 400 "OutOfRangeQueryParameterValue" "One of the query parameters specified in the request URI is outside the permissible range.";
    REQUEST_BODY_TOO_LARGE: 413 "RequestBodyTooLarge" "The size of the request body exceeds the maximum size permitted.";
    UNSUPPORTED_HEADER: 400 "UnsupportedHeader" "One of the HTTP headers specified in the request is not supported.";
    UNSUPPORTED_HTTP_VERB: 405 "UnsupportedHttpVerb" "The resource doesn't support the specified HTTP verb.";
    UNSUPPORTED_QUERY_PARAMETER: 400 "UnsupportedQueryParameter" "One of the query parameters specified in the request URI is not supported.";

    OPERATION_TIMED_OUT: 500 "OperationTimedOut" "The operation could not be completed within the permitted time.";
    SERVER_BUSY: 503 "ServerBusy" "The server is currently unable to receive requests. Please retry your request.";
    TOO_MANY_REQUESTS: 429 "TooManyRequests" "Too many requests. Please retry your request.";
}
