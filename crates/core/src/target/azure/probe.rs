//! A trial of what a replica needs, on a blob of its own, and what is in its way.
//!
//! The engine asks of an error only what to do next. An operator asks which of the many things between this
//! machine and the container is wrong, and each has another remedy and often another department: the name, the
//! route, the account's firewall, TLS, the clock, the credential, its role, the container, the kind of account.
//! [`Failure::check`] tells them apart.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{Etag, Method, Request};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{
    BlobClientAcquireLeaseOptions, BlobClientDeleteOptions, PageBlobClientCreateOptions,
    PageBlobClientUploadPagesOptions,
};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{StorageClient, http_range, with_parameter};
use super::error::{Answer, Operation};
use super::page_blob::crc64;
use super::service_message::is_by_storage;
use crate::finding::documents::{ARTICLE, TROUBLESHOOT};
use crate::finding::{Check, Evidence, Finding, Rule, Severity};
use crate::private_link::LONGEST_WAIT;
use crate::size::{PAGE, PageRange};
use crate::target::{LeaseId, TargetError};

/// What the name of a probe's blob starts with, so that one that was left is known for what it is.
const NAME_PREFIX: &str = ".libmigrate-probe-";

/// The shortest lease that the service gives.
const LEASE_SECONDS: i32 = 15;

/// The longest part of the whole limit that is kept for the removal.
const MAX_REMOVAL: Duration = Duration::from_secs(10);

/// How long the removal may go on after a cancellation.
const REMOVAL_AFTER_CANCEL: Duration = Duration::from_millis(800);

/// How often the removal is tried, and how long it waits in between.
const REMOVALS: u32 = 3;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(300);

/// The kinds of account that have page blobs. (In a premium account the kind is one of these too.)
///
/// Source: Microsoft Learn, "Introduction to Azure page blobs" and "Storage account overview".
const KINDS_WITH_PAGE_BLOBS: [&str; 2] = ["StorageV2", "Storage"];

const ERROR_CODES: Rule = Rule { document: "Microsoft Learn, Blob Storage error codes", date: "2026-11" };
const SHARED_KEY: Rule = Rule { document: "Microsoft Learn, Authorize with Shared Key", date: "2026-11" };

static USABLE: Check = Check { code: "blob.usable", severity: Severity::Info, remedy: "", rule: ARTICLE };

static NAME: Check = Check {
    code: "blob.name",
    severity: Severity::Error,
    remedy: "check the account's name in the URL, this machine's name servers, and the record of the account in the \
             private DNS zone privatelink.blob.core.windows.net",
    rule: TROUBLESHOOT,
};

static ROUTE: Check = Check {
    code: "blob.route",
    severity: Severity::Error,
    remedy: "check the address that the name has here, the route to it, and every firewall on port 443 in between",
    rule: TROUBLESHOOT,
};

static NOT_PRIVATE: Check = Check {
    code: "blob.not_private",
    severity: Severity::Error,
    remedy: "follow the findings about the name: it resolves to an address that is not private; nothing was sent",
    rule: ARTICLE,
};

static TLS: Check = Check {
    code: "blob.tls",
    severity: Severity::Error,
    remedy: "look at the certificate that is shown for this name: TLS inspection, a captive portal or another server \
             answers; exempt the name, or give the inspection's authority as an extra certificate",
    rule: TROUBLESHOOT,
};

static CLOCK: Check = Check {
    code: "blob.clock",
    severity: Severity::Error,
    remedy: "set this machine's clock, and keep it set by NTP: the service takes no request whose time is 15 minutes \
             off, and no signature before its start",
    rule: SHARED_KEY,
};

static UNAUTHENTICATED: Check = Check {
    code: "blob.unauthenticated",
    severity: Severity::Error,
    remedy: "check the key, token or SAS and its expiry; for a token also that login.microsoftonline.com is reached; \
             an account that permits no keys wants a token",
    rule: ERROR_CODES,
};

static FORBIDDEN: Check = Check {
    code: "blob.forbidden",
    severity: Severity::Error,
    remedy: "grant Storage Blob Data Contributor on the account or the container (Storage Blob Data Owner for a premium \
             account), and wait the minutes that a role takes; a SAS needs read, add, create, write, delete and list",
    rule: ARTICLE,
};

static FIREWALL: Check = Check {
    code: "blob.firewall",
    severity: Severity::Error,
    remedy: "the storage account's network rules refuse the address that this machine comes from: reach it by its \
             private endpoint, or allow the address (and the SAS, if it is bound to addresses)",
    rule: ARTICLE,
};

static NO_CONTAINER: Check = Check {
    code: "blob.no_container",
    severity: Severity::Error,
    remedy: "create the container, or correct its name in the URL",
    rule: ERROR_CODES,
};

static ACCOUNT_KIND: Check = Check {
    code: "blob.account_kind",
    severity: Severity::Error,
    remedy: "use a general-purpose v2 account: others hold no page blobs, or have no private endpoints",
    rule: ARTICLE,
};

static NOT_STORAGE: Check = Check {
    code: "blob.not_storage",
    severity: Severity::Error,
    remedy: "something else answers in the storage service's place: sign in to the network's captive portal, or take \
             the proxy out of the way of this name",
    rule: TROUBLESHOOT,
};

static FAILED: Check = Check {
    code: "blob.failed",
    severity: Severity::Error,
    remedy: "look the service's code up in its documentation; try again if the service was busy or the probe stopped",
    rule: ERROR_CODES,
};

static PROBE_LEFT: Check = Check {
    code: "blob.probe_left",
    severity: Severity::Warning,
    remedy: "delete the blob that the message names; its lease runs out within 15 seconds",
    rule: ERROR_CODES,
};

/// What can be found here.
pub(crate) static CHECKS: &[&Check] = &[
    &USABLE,
    &NAME,
    &NOT_PRIVATE,
    &ROUTE,
    &TLS,
    &CLOCK,
    &UNAUTHENTICATED,
    &FORBIDDEN,
    &FIREWALL,
    &NO_CONTAINER,
    &ACCOUNT_KIND,
    &NOT_STORAGE,
    &FAILED,
    &PROBE_LEFT,
];

/// See [`AzurePageBlob::probe`](super::AzurePageBlob::probe).
pub(super) async fn run(client: &StorageClient, limit: Duration, cancel: &CancellationToken) -> Vec<Finding> {
    let started = Instant::now();
    let deadline = started + limit.min(LONGEST_WAIT);
    let mut probe = match Probe::new(client) {
        Ok(probe) => probe,
        Err(failure) => return vec![failure.found(client)],
    };
    let tried = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(None),
        tried = tokio::time::timeout_at(deadline - MAX_REMOVAL.min(limit / 4), probe.steps()) => tried.map_err(Some),
    };
    let tried = tried.unwrap_or_else(|late| {
        let (check, why) = match late {
            Some(_) => (&ROUTE, format!("no answer within {:.1?}", started.elapsed())),
            None => (&FAILED, "the probe was cancelled".to_owned()),
        };
        Err(Failure { check, step: probe.step, words: why, answer: None })
    });
    let removed = tokio::select! {
        removed = probe.remove() => removed,
        () = out_of_time(deadline, cancel) => Err(Failure::of_removal("it was not answered in time")),
    };
    let evidence = std::mem::take(&mut probe.evidence);
    let left = removed.as_ref().err().map(|why| probe.left(&why.words));
    let findings = match (tried, removed) {
        (Err(failure), _) | (Ok(()), Err(failure)) => vec![failure.found(client)],
        (Ok(()), Ok(())) => vec![USABLE.found(
            client.errors().location(),
            "its container can be listed, and a page blob in it created, leased, written, read and deleted",
        )],
    };
    findings.into_iter().map(|finding| finding.seen(evidence.iter().cloned())).chain(left).collect()
}

/// Until the removal must end.
async fn out_of_time(deadline: Instant, cancel: &CancellationToken) {
    let cancelled = async {
        cancel.cancelled().await;
        tokio::time::sleep(REMOVAL_AFTER_CANCEL).await;
    };
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => {}
        () = cancelled => {}
    }
}

/// Whether there is a blob to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Created {
    No,
    /// It was asked for, and the answer did not come or does not tell.
    InDoubt,
    Yes,
}

struct Probe<'a> {
    client: &'a StorageClient,
    blob: BlobClient,
    name: String,
    lease: LeaseId,
    created: Created,
    /// What is being done, for the message if it takes too long.
    step: &'static str,
    evidence: Vec<Evidence>,
}

impl<'a> Probe<'a> {
    fn new(client: &'a StorageClient) -> Result<Self, Failure> {
        let name = format!("{NAME_PREFIX}{}", Uuid::new_v4());
        let step = "address a blob in the container";
        let blob = client.sibling(&name).map_err(|error| Failure::of(client, Operation::Create, step, &error))?;
        Ok(Self { client, blob, name, lease: LeaseId::random(), created: Created::No, step, evidence: Vec::new() })
    }

    async fn steps(&mut self) -> Result<(), Failure> {
        self.timed("list the container", |probe| probe.list().boxed()).await?;
        self.timed("ask for the kind of account", |probe| probe.check_account().boxed()).await?;
        self.timed("create a page blob", |probe| probe.create().boxed()).await?;
        self.timed("take its lease", |probe| probe.acquire().boxed()).await?;
        self.timed("put a page", |probe| probe.put().boxed()).await?;
        self.timed("read the page", |probe| probe.read().boxed()).await?;
        self.timed("release the lease", |probe| probe.release().boxed()).await
    }

    async fn timed(
        &mut self,
        step: &'static str,
        act: impl for<'p> FnOnce(&'p mut Self) -> BoxFuture<'p, Result<(), Failure>> + Send,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        self.step = step;
        let done = act(self).await;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.evidence.push(Evidence::Took { step: step.to_owned(), milliseconds });
        done
    }

    fn failed(&self, operation: Operation) -> impl Fn(azure_core::Error) -> Failure + use<'a> {
        let (client, step) = (self.client, self.step);
        move |error| Failure::of(client, operation, step, &error)
    }

    /// By hand: the typed list does not show whether the storage service has answered.
    async fn list(&mut self) -> Result<(), Failure> {
        let pairs = [("restype", "container"), ("comp", "list"), ("maxresults", "1")];
        let answer = self.get(self.client.endpoint().container_url(), &pairs).await;
        let answer = answer.map_err(self.failed(Operation::ListObjects))?;
        if is_by_storage(&answer) {
            return Ok(());
        }
        Err(Failure {
            check: &NOT_STORAGE,
            step: self.step,
            words: "the answer does not name a request, which each of the storage service's does".to_owned(),
            answer: None,
        })
    }

    /// A credential that may not ask is no reason to stop: what it must be able to do is tried next.
    ///
    /// Source: Microsoft Learn, REST reference, "Get Account Information".
    async fn check_account(&mut self) -> Result<(), Failure> {
        let pairs = [("restype", "account"), ("comp", "properties")];
        let Ok(answer) = self.get(self.client.endpoint().container_url(), &pairs).await else { return Ok(()) };
        let header = |name: &'static str| {
            answer.get_optional_str(&HeaderName::from_static(name)).map(|value| self.client.errors().clean(value))
        };
        let Some(kind) = header("x-ms-account-kind") else { return Ok(()) };
        let sku = header("x-ms-sku-name").unwrap_or_default();
        self.evidence.push(Evidence::Said { by: "the account".to_owned(), words: format!("{kind} {sku}") });
        if KINDS_WITH_PAGE_BLOBS.contains(&kind.as_str()) {
            return Ok(());
        }
        let words = format!("the account is of kind {kind} {sku}, which has no page blobs");
        Err(Failure { check: &ACCOUNT_KIND, step: self.step, words, answer: None })
    }

    /// The headers of the answer.
    async fn get(&self, url: azure_core::http::Url, pairs: &[(&str, &str)]) -> azure_core::Result<Headers> {
        let url = pairs.iter().fold(url, |url, (name, value)| with_parameter(url, name, value));
        let answer = self.client.send_raw(Request::new(url, Method::Get), &[200]).await?;
        Ok(answer.headers().clone())
    }

    async fn create(&mut self) -> Result<(), Failure> {
        let options = PageBlobClientCreateOptions {
            if_none_match: Some(Etag::from("*")),
            blob_sequence_number: Some(0),
            ..PageBlobClientCreateOptions::default()
        };
        self.created = Created::InDoubt;
        let answer = self.blob.page_blob_client().create(PAGE, Some(options)).await;
        self.created = match &answer {
            Ok(_) => Created::Yes,
            Err(error) if may_have_been_done(error) => Created::InDoubt,
            Err(_) => Created::No,
        };
        answer.map(drop).map_err(self.failed(Operation::Create))
    }

    async fn acquire(&mut self) -> Result<(), Failure> {
        let options = BlobClientAcquireLeaseOptions {
            proposed_lease_id: Some(self.lease.to_string()),
            ..BlobClientAcquireLeaseOptions::default()
        };
        let answer = self.blob.acquire_lease(LEASE_SECONDS, Some(options)).await;
        answer.map(drop).map_err(self.failed(Operation::AcquireLease))
    }

    async fn put(&mut self) -> Result<(), Failure> {
        let (page, data) = (first_page(), page_of(&self.name));
        let options = PageBlobClientUploadPagesOptions {
            lease_id: Some(self.lease.to_string()),
            if_sequence_number_equal_to: Some(0),
            transactional_content_crc64: Some(crc64(&data).to_vec()),
            ..PageBlobClientUploadPagesOptions::default()
        };
        let pages = self.blob.page_blob_client();
        let answer = pages.upload_pages(data.into(), PAGE, http_range(page), Some(options)).await;
        answer.map(drop).map_err(self.failed(Operation::Put(page)))
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let mut request = Request::new(self.client.endpoint().sibling_url(&self.name), Method::Get);
        request.insert_header("range", format!("bytes=0-{}", PAGE - 1));
        let answer = self.client.send_raw(request, &[200, 206]).await;
        let answer = answer.map_err(self.failed(Operation::Read(first_page())))?;
        let body: &[u8] = answer.body();
        if body == page_of(&self.name) {
            return Ok(());
        }
        let words = "other bytes came back than were put".to_owned();
        Err(Failure { check: &FAILED, step: self.step, words, answer: None })
    }

    async fn release(&mut self) -> Result<(), Failure> {
        let answer = self.blob.release_lease(self.lease.to_string(), None).await;
        answer.map(drop).map_err(self.failed(Operation::ReleaseLease))
    }

    /// Deletes the blob, if there may be one.
    async fn remove(&mut self) -> Result<(), Failure> {
        if self.created == Created::No {
            return Ok(());
        }
        let mut attempts = REMOVALS;
        loop {
            attempts -= 1;
            match self.timed("delete the blob", |probe| probe.delete().boxed()).await {
                Err(failure) if attempts > 0 && failure.may_pass() => tokio::time::sleep(BETWEEN_REMOVALS).await,
                done => return done,
            }
        }
    }

    /// Without the lease, and with it where it was not released.
    async fn delete(&mut self) -> Result<(), Failure> {
        match self.delete_with(None).await {
            Err((TargetError::Fenced { .. }, _)) => self.delete_with(Some(self.lease.to_string())).await,
            other => other,
        }
        .or_else(|(error, failure)| match error {
            TargetError::NotFound { .. } if self.created == Created::InDoubt => {
                Err(Failure::of_removal("it may yet appear: the request to create it was not answered"))
            }
            TargetError::NotFound { .. } | TargetError::ContainerNotFound { .. } => Ok(()),
            _ => Err(failure),
        })
    }

    async fn delete_with(&self, lease_id: Option<String>) -> Result<(), (TargetError, Failure)> {
        let options = BlobClientDeleteOptions { lease_id, ..BlobClientDeleteOptions::default() };
        let operation = Operation::DeleteObject;
        let answer = self.blob.delete(Some(options)).await;
        answer.map(drop).map_err(|error| (self.client.errors().of(operation, &error), self.failed(operation)(error)))
    }

    fn left(&self, why: &str) -> Finding {
        let message = format!("the probe's blob {} could not be removed ({why})", self.name);
        PROBE_LEFT.found(self.client.errors().location(), message)
    }
}

/// Whether a request that ended so may have taken effect, or may yet.
fn may_have_been_done(error: &azure_core::Error) -> bool {
    match error.kind() {
        ErrorKind::HttpResponse { status, .. } => matches!(u16::from(*status), 408 | 500 | 502 | 504),
        ErrorKind::Io | ErrorKind::DataConversion => true,
        _ => false,
    }
}

fn first_page() -> PageRange {
    PageRange::new(0, PAGE).expect("one page at the start is a range of pages")
}

/// A page that no other probe puts.
fn page_of(name: &str) -> Bytes {
    name.bytes().cycle().take(PAGE as usize).collect()
}

/// A step that did not succeed, and what was in its way.
struct Failure {
    check: &'static Check,
    step: &'static str,
    words: String,
    answer: Option<Answer>,
}

impl Failure {
    fn of(client: &StorageClient, operation: Operation, step: &'static str, error: &azure_core::Error) -> Self {
        let answer = client.errors().answer(error);
        let meaning = client.errors().of(operation, error);
        let check = Self::check(&meaning, error.kind(), answer.as_ref());
        Self { check, step, words: words(meaning), answer }
    }

    fn of_removal(words: &str) -> Self {
        Self { check: &FAILED, step: "delete the blob", words: words.to_owned(), answer: None }
    }

    /// What is in the way. An answer decides if there is one, and the kind of the failure otherwise.
    fn check(meaning: &TargetError, kind: &ErrorKind, answer: Option<&Answer>) -> &'static Check {
        let Some(answer) = answer else {
            return match (meaning, kind) {
                (TargetError::NotPrivate { .. }, _) => &NOT_PRIVATE,
                (TargetError::Unusable { problem, .. }, _) if problem.contains(BAD_CERTIFICATE) => &TLS,
                (TargetError::Transient { reason, .. }, ErrorKind::Connection) => not_connected(reason),
                // A token that does not come, whatever the reason.
                (_, ErrorKind::Credential) => &UNAUTHENTICATED,
                (TargetError::Transient { .. }, _) => &ROUTE,
                _ => &FAILED,
            };
        };
        match meaning {
            _ if !answer.by_storage => &NOT_STORAGE,
            TargetError::Unauthenticated { .. } if answer.clocks_differ => &CLOCK,
            TargetError::Unauthenticated { .. } => &UNAUTHENTICATED,
            TargetError::Forbidden { .. } => forbidden(&answer.code),
            TargetError::ContainerNotFound { .. } => &NO_CONTAINER,
            _ => &FAILED,
        }
    }

    /// Whether the same may succeed in a moment.
    fn may_pass(&self) -> bool {
        match &self.answer {
            Some(answer) => answer.status == 408 || answer.status == 429 || answer.status >= 500,
            None => std::ptr::eq(self.check, &raw const ROUTE),
        }
    }

    fn found(self, client: &StorageClient) -> Finding {
        let message = format!("the probe could not {} ({})", self.step, self.words);
        let answer = self.answer.map(|answer| Evidence::Answer { status: answer.status, code: answer.code });
        self.check.found(client.errors().location(), message).seen(answer)
    }
}

/// What rustls says of a certificate that it does not take; `transport.rs` tells it by the same words.
const BAD_CERTIFICATE: &str = "invalid peer certificate";

/// Which part of connecting failed. The transport hands on text without a URL, and these are the words in it of
/// hyper's connector.
fn not_connected(words: &str) -> &'static Check {
    let says = |part: &str| words.contains(part);
    if says("dns error") || says("cannot be resolved") {
        &NAME
    } else if says("tcp connect error") || says("timed out") || says("deadline has elapsed") || says("tunnel") {
        &ROUTE
    } else {
        // Past the name and the connection, and before a request.
        &TLS
    }
}

/// Which of the reasons for 403 this is.
///
/// `AuthorizationFailure` is what the account's network rules answer; the other two are of signatures bound to an
/// address and of accounts that take no keys. Sources: Microsoft Learn, "Common REST API error codes" and "SAS error
/// codes"; that these codes mean this is what reports of users agree on, not tried on Azure by us.
fn forbidden(code: &str) -> &'static Check {
    match code {
        "AuthorizationFailure" | "AuthorizationSourceIPMismatch" => &FIREWALL,
        "KeyBasedAuthenticationNotPermitted" => &UNAUTHENTICATED,
        _ => &FORBIDDEN,
    }
}

/// The reason in an error, without what the finding says anyway.
fn words(error: TargetError) -> String {
    match error {
        TargetError::Transient { reason, .. }
        | TargetError::NotPrivate { reason, .. }
        | TargetError::Unauthenticated { reason, .. }
        | TargetError::Forbidden { reason, .. }
        | TargetError::NotFound { reason, .. }
        | TargetError::Fenced { reason, .. }
        | TargetError::Changed { reason, .. }
        | TargetError::Refused { reason, .. } => reason,
        TargetError::Unusable { problem, .. } | TargetError::BadAnswer { problem, .. } => problem,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_connector_tell_what_failed() {
        let code = |words: &str| not_connected(&format!("error sending request: client error (Connect): {words}")).code;

        assert_eq!(code("dns error: failed to lookup address information"), "blob.name");
        assert_eq!(code("tcp connect error: Connection refused (os error 111)"), "blob.route");
        assert_eq!(code("operation timed out"), "blob.route");
        assert_eq!(code("tunnel error: unsuccessful"), "blob.route");
        assert_eq!(code("received corrupt message of type InvalidContentType"), "blob.tls");
    }

    #[test]
    fn a_token_that_does_not_come_is_a_matter_of_the_credential() {
        let meaning = |reason: &str| TargetError::Transient {
            operation: "list objects",
            location: String::new(),
            reason: reason.to_owned(),
            retry_after: None,
        };

        assert_eq!(Failure::check(&meaning("dns error"), &ErrorKind::Credential, None).code, "blob.unauthenticated");
        assert_eq!(Failure::check(&meaning("dns error"), &ErrorKind::Connection, None).code, "blob.name");
    }

    #[test]
    fn every_code_is_of_this_area_and_stands_once() {
        let mut codes: Vec<&str> = CHECKS.iter().map(|check| check.code).collect();
        assert!(codes.iter().all(|code| code.starts_with("blob.")));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CHECKS.len());
        assert!(CHECKS.iter().all(|check| check.remedy.is_empty() == (check.severity == Severity::Info)));
    }
}
