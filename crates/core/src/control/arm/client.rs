//! The client: read, find, list, send. What goes on after its answer is in `long_running.rs`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, Pipeline, RetryOptions, Transport, UserAgentOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::answer::Answer;
use super::authorization::Authorization;
use super::error::ArmError;
use super::exchange::Message;
use super::operation::{LongRunning, Operation};
use super::request::Request;
use crate::control::ArmId;
use crate::private_link::route::Route;
use crate::private_link::transport::HttpTransport;
use crate::private_link::{Cloud, TransportOptions, control_plane_transport};
use crate::retry_policy::RetryPolicy;

/// How the client behaves. [`ArmOptions::default`] suits Azure.
#[derive(Clone, Debug)]
pub struct ArmOptions {
    /// Settings of the connections. Azure Resource Manager has public endpoints, so `private_link` is not asked.
    pub transport: TransportOptions,
    /// Another server than the cloud's, for tests: on this machine only, http or https.
    pub endpoint: Option<Url>,
    /// How long a request is tried again that was throttled, found the resource busy, or was not answered.
    pub retry: RetryPolicy,
    /// How long-running operations are waited for.
    pub poll: PollPolicy,
    /// The most pages of one list; a list that goes on is an error.
    pub most_pages: usize,
    /// What the service's logs call the program: at most 24 characters, without blanks.
    pub application_id: String,
}

impl Default for ArmOptions {
    fn default() -> Self {
        Self {
            transport: TransportOptions::default(),
            endpoint: None,
            retry: RetryPolicy::default(),
            poll: PollPolicy::default(),
            most_pages: 1000,
            application_id: concat!("libmigrate-", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// How a long-running operation is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollPolicy {
    /// The shortest wait between two looks, whatever the service says; the first one where it says nothing.
    pub shortest: Duration,
    /// The longest wait between two looks, whatever the service says.
    pub longest: Duration,
    /// How long one call waits for an operation to end.
    pub deadline: Duration,
}

impl Default for PollPolicy {
    /// One second as the client library has it; a minute, so that the end is seen soon; six hours, which is more
    /// than any operation here takes (a job that replicates is not the operation that starts it).
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            deadline: Duration::from_secs(6 * 3600),
        }
    }
}

impl PollPolicy {
    /// The wait before the next look, when there were so many and the service asks for so long.
    pub(in crate::control) fn wait(&self, looks: u32, asked: Option<Duration>) -> Duration {
        let own = || self.shortest.saturating_mul(1 << looks.min(16));
        asked.unwrap_or_else(own).min(self.longest).max(self.shortest)
    }
}

/// A client of Azure Resource Manager in one cloud, for one identity. Cheap to clone; clones share connections and
/// token. Every call may be made from any task, and returns soon after its cancellation.
#[derive(Clone)]
pub struct ArmClient {
    pub(super) endpoint: Url,
    pub(super) pipeline: Pipeline,
    pub(super) retry: RetryPolicy,
    pub(super) poll: PollPolicy,
    most_pages: usize,
}

impl fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmClient").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

impl ArmClient {
    /// A client for `cloud`, as the identity of `credential`. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`ArmError::BadRequest`] for an endpoint that is not on this machine, [`ArmError::Route`] for connection
    /// options that cannot work.
    pub fn new(cloud: Cloud, credential: Arc<dyn TokenCredential>, options: ArmOptions) -> Result<Self, ArmError> {
        let refuse =
            |problem: &str| ArmError::BadRequest { what: "any request".to_owned(), problem: problem.to_owned() };
        let token_limit = options.transport.base_timeout;
        let (endpoint, transport) = match options.endpoint {
            Some(endpoint) if is_loopback(&endpoint) && matches!(endpoint.scheme(), "http" | "https") => {
                let transport = HttpTransport::new(options.transport, Route::Loopback)?;
                (endpoint, Transport::new(Arc::new(transport)))
            }
            Some(_) => {
                return Err(refuse("the endpoint is not on this machine; leave it out, and the cloud's is asked"));
            }
            None => {
                let endpoint = Url::parse(&format!("https://{}", cloud.resource_manager_host()));
                let endpoint = endpoint.map_err(|_| refuse("the cloud has no host"))?;
                (endpoint, control_plane_transport(cloud, options.transport)?)
            }
        };
        let scope = cloud.resource_manager_scope();
        let authorization = Authorization::new(credential, scope, endpoint.clone(), token_limit);
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            ClientOptions {
                per_try_policies: vec![Arc::new(authorization)],
                // Retries are made here: they know what may be sent twice, and what is busy.
                retry: RetryOptions::none(),
                transport: Some(transport),
                user_agent: UserAgentOptions { application_id: Some(options.application_id) },
                ..ClientOptions::default()
            },
            Vec::new(),
            Vec::new(),
            None,
        );
        let (retry, poll, most_pages) = (options.retry, options.poll, options.most_pages);
        Ok(Self { endpoint, pipeline, retry, poll, most_pages })
    }

    /// How the client waits for long-running operations.
    pub const fn poll_policy(&self) -> PollPolicy {
        self.poll
    }

    /// Sends a request that is done when it is answered.
    ///
    /// # Errors
    ///
    /// [`ArmError::BadRequest`] for an operation that may go on after its answer (see [`ArmClient::begin`]) or is a
    /// list (see [`ArmClient::list`]); otherwise whatever goes wrong on the way.
    pub async fn send<T: DeserializeOwned>(
        &self,
        request: &Request,
        cancel: &CancellationToken,
    ) -> Result<Answer<T>, ArmError> {
        if request.operation().long_running != LongRunning::No {
            return Err(misused(request, "the operation may go on after its answer: begin it, and wait for it"));
        }
        if request.operation().paged {
            return Err(misused(request, "the operation is a list, which may come in pages: list it"));
        }
        let message = Message::of(request, &self.endpoint)?;
        let asked = message.asked.clone();
        self.exchange(message, cancel).await?.into_answer(&asked)
    }

    /// Reads what `operation` reads of `id`.
    ///
    /// # Errors
    ///
    /// Those of [`ArmClient::send`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static Operation,
        id: &ArmId,
        cancel: &CancellationToken,
    ) -> Result<T, ArmError> {
        Ok(self.send(&operation.on(id), cancel).await?.body)
    }

    /// As [`ArmClient::get`]; `None` if there is no such resource, or nothing that it would be in.
    ///
    /// # Errors
    ///
    /// Those of [`ArmClient::send`] but [`ArmError::NotFound`].
    pub async fn find<T: DeserializeOwned>(
        &self,
        operation: &'static Operation,
        id: &ArmId,
        cancel: &CancellationToken,
    ) -> Result<Option<T>, ArmError> {
        match self.get(operation, id, cancel).await {
            Ok(found) => Ok(Some(found)),
            Err(ArmError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All entries of a list, from all its pages.
    ///
    /// # Errors
    ///
    /// [`ArmError::ForeignUrl`] if a page leads to another host, [`ArmError::UnexpectedAnswer`] if pages come back
    /// to one that was read or do not end; otherwise those of [`ArmClient::send`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        request: &Request,
        cancel: &CancellationToken,
    ) -> Result<Vec<T>, ArmError> {
        if !request.operation().paged {
            return Err(misused(request, "the operation is no list"));
        }
        let mut message = Message::of(request, &self.endpoint)?;
        let (asked, success) = (message.asked.clone(), request.operation().success);
        let (mut entries, mut read) = (Vec::new(), HashSet::new());
        loop {
            let answer = self.exchange(message, cancel).await?;
            let page: Page<T> = answer.read(&asked)?;
            entries.extend(page.value);
            let Some(next) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(entries) };
            let next = self.own_url(&asked, &next)?;
            if !read.insert(next.to_string()) {
                return Err(answer.unexpected(&asked, "its next page is one that was read before"));
            }
            if read.len() >= self.most_pages {
                return Err(answer.unexpected(&asked, &format!("the list goes on after {} pages", self.most_pages)));
            }
            message = Message::read(&asked, next, success);
        }
    }
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "nextLink", default = "Option::default")]
    next_link: Option<String>,
}

fn misused(request: &Request, problem: &str) -> ArmError {
    ArmError::BadRequest { what: request.asked().to_string(), problem: problem.to_owned() }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_wait_is_the_services_within_bounds_or_else_grows() {
        let policy = PollPolicy::default();
        let seconds = Duration::from_secs;
        assert_eq!(policy.wait(0, Some(seconds(30))), seconds(30));
        assert_eq!(policy.wait(0, Some(Duration::ZERO)), seconds(1));
        assert_eq!(policy.wait(0, Some(seconds(3600))), seconds(60));
        assert_eq!([0, 1, 2, 40].map(|looks| policy.wait(looks, None)), [1, 2, 4, 60].map(seconds));
    }
}
