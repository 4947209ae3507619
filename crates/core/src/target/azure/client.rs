//! The storage client of one target.
//!
//! Every typed client is built from one set of [`ClientOptions`], and so shares one transport, one
//! signing policy and, with it, one cache of tokens. URLs are ours: what the client library would build
//! for a name with a slash is not what other tools show.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::headers::VERSION;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, Context, Pipeline, PipelineSendOptions, PipelineStreamOptions, RawResponse,
    Request, RetryOptions, Transport, Url, UserAgentOptions,
};
use azure_storage_blob::models::HttpRange;
use azure_storage_blob::{
    BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions, PageBlobClient,
    PageBlobClientOptions,
};

use super::AzureOptions;
use super::credential::Credential;
use super::endpoint::BlobEndpoint;
use super::error::{ErrorMap, Operation};
use super::shared_key::SharedKeyPolicy;
use super::token::PromptCredential;
use crate::private_link::TransferCounters;
use crate::private_link::route::Route;
use crate::private_link::transport::HttpTransport;
use crate::size::PageRange;
use crate::target::{Metadata, SnapshotId, TargetError, TargetRoute};

/// What a token for Blob Storage is asked for.
///
/// Source: Microsoft Learn, "Authorize access to blobs using Microsoft Entra ID".
const TOKEN_SCOPE: &str = "https://storage.azure.com/.default";

/// The clients of one blob and of what stands beside it.
pub(super) struct StorageClient {
    endpoint: BlobEndpoint,
    options: ClientOptions,
    version: String,
    errors: ErrorMap,
    route: TargetRoute,
    counters: Arc<TransferCounters>,
    blob: BlobClient,
    pages: PageBlobClient,
    container: BlobContainerClient,
    pipeline: Pipeline,
}

impl StorageClient {
    pub(super) fn new(
        endpoint: BlobEndpoint,
        credential: Credential,
        options: AzureOptions,
    ) -> Result<Self, TargetError> {
        let errors = ErrorMap::new(&endpoint, &credential);
        let unusable = |problem: String| TargetError::Unusable { location: errors.location().to_owned(), problem };
        let token_limit = options.base_timeout;
        let route = if endpoint.is_loopback() { Route::Loopback } else { Route::of(&options.private_link) };
        let goes = match route {
            Route::Loopback => TargetRoute::Local,
            Route::Private(_) => TargetRoute::PrivateLink,
            Route::Open | Route::ControlPlane(_) => TargetRoute::Any,
        };
        let transport = HttpTransport::new(options, route).map_err(|error| unusable(error.to_string()))?;
        let counters = Arc::clone(transport.counters());
        let options = ClientOptions {
            per_try_policies: signing_policy(credential, token_limit).into_iter().collect(),
            // The engine retries: it sees error codes, knows what is in doubt, and slows down.
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(transport))),
            user_agent: UserAgentOptions {
                application_id: Some(concat!("libmigrate-", env!("CARGO_PKG_VERSION")).to_owned()),
            },
            ..ClientOptions::default()
        };
        // The constructors fail only for URLs that cannot be a base; their errors would show the URL.
        let no_client = |_| unusable("the URL cannot be used".to_owned());
        let blob = BlobClient::new(endpoint.blob_url(), None, Some(blob_options(&options))).map_err(no_client)?;
        let container_options =
            BlobContainerClientOptions { client_options: options.clone(), ..BlobContainerClientOptions::default() };
        let container =
            BlobContainerClient::new(endpoint.container_url(), None, Some(container_options)).map_err(no_client)?;
        let pages = blob.page_blob_client();
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options.clone(),
            Vec::new(),
            Vec::new(),
            None,
        );
        let version = PageBlobClientOptions::default().version;
        Ok(Self { endpoint, options, version, errors, route: goes, counters, blob, pages, container, pipeline })
    }

    pub(super) fn endpoint(&self) -> &BlobEndpoint {
        &self.endpoint
    }

    pub(super) fn errors(&self) -> &ErrorMap {
        &self.errors
    }

    pub(super) const fn route(&self) -> TargetRoute {
        self.route
    }

    pub(super) fn counters(&self) -> &Arc<TransferCounters> {
        &self.counters
    }

    /// The blob, whatever its kind.
    pub(super) fn blob(&self) -> &BlobClient {
        &self.blob
    }

    /// The blob as a page blob.
    pub(super) fn pages(&self) -> &PageBlobClient {
        &self.pages
    }

    pub(super) fn container(&self) -> &BlobContainerClient {
        &self.container
    }

    /// A snapshot of the blob.
    pub(super) fn snapshot(&self, operation: Operation, id: &SnapshotId) -> Result<BlobClient, TargetError> {
        self.blob.with_snapshot(self.snapshot_time(operation, id)?).map_err(self.failed(operation))
    }

    /// An object beside the blob.
    pub(super) fn object(&self, operation: Operation, name: &str) -> Result<BlobClient, TargetError> {
        BlobClient::new(self.endpoint.object_url(name), None, Some(blob_options(&self.options)))
            .map_err(self.failed(operation))
    }

    /// Another blob in the same container.
    pub(super) fn sibling(&self, name: &str) -> azure_core::Result<BlobClient> {
        BlobClient::new(self.endpoint.sibling_url(name), None, Some(blob_options(&self.options)))
    }

    /// Sends a request for which there is no typed operation.
    pub(super) async fn send(
        &self,
        operation: Operation,
        request: Request,
        success: &'static [u16],
    ) -> Result<RawResponse, TargetError> {
        self.send_raw(request, success).await.map_err(self.failed(operation))
    }

    /// As [`StorageClient::send`], for who has more to ask of an error than what it means.
    pub(super) async fn send_raw(
        &self,
        mut request: Request,
        success: &'static [u16],
    ) -> azure_core::Result<RawResponse> {
        request.insert_header(VERSION, self.version.clone());
        let mut options = PipelineSendOptions::default();
        options.check_success.success_codes = success;
        self.pipeline.send(&Context::new(), &mut request, Some(options)).await
    }

    /// As [`StorageClient::send`], for an answer that is read as it comes in.
    pub(super) async fn stream(
        &self,
        operation: Operation,
        mut request: Request,
        success: &'static [u16],
    ) -> Result<AsyncRawResponse, TargetError> {
        request.insert_header(VERSION, self.version.clone());
        let mut options = PipelineStreamOptions::default();
        options.check_success.success_codes = success;
        self.pipeline.stream(&Context::new(), &mut request, Some(options)).await.map_err(self.failed(operation))
    }

    /// For `map_err`: the error of `operation` here.
    pub(super) fn failed(&self, operation: Operation) -> impl Fn(azure_core::Error) -> TargetError + '_ {
        move |error| self.errors.of(operation, &error)
    }

    /// The id as a value of the `snapshot` parameter. An id that no service gives is not sent: an empty
    /// one would mean the blob itself.
    pub(super) fn snapshot_time<'a>(&self, operation: Operation, id: &'a SnapshotId) -> Result<&'a str, TargetError> {
        let time = id.0.as_str();
        let is_time = time.len() >= "2001-01-01T00:00:00Z".len()
            && time.bytes().all(|byte| byte.is_ascii_digit() || b"-:.TZ".contains(&byte));
        if is_time {
            return Ok(time);
        }
        Err(TargetError::NotFound {
            operation: operation.name(),
            location: self.errors.location().to_owned(),
            reason: format!("{time:?} is not the time of a snapshot"),
        })
    }

    /// The pairs as headers take them.
    pub(super) fn metadata_headers(
        &self,
        operation: Operation,
        metadata: &Metadata,
    ) -> Result<HashMap<String, String>, TargetError> {
        let refuse = |key: &str, problem: &str| TargetError::Unusable {
            location: self.errors.location().to_owned(),
            problem: format!("cannot {}: the metadata {key:?} {problem}", operation.name()),
        };
        for (key, value) in metadata {
            let letters = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if !letters || !key.starts_with(|first: char| first.is_ascii_lowercase()) {
                return Err(refuse(key, "has a name that is not lower-case letters, digits and _"));
            }
            if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(refuse(key, "has a value that is not printable ASCII"));
            }
        }
        Ok(metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// The range header of some pages.
pub(super) fn http_range(range: PageRange) -> HttpRange {
    HttpRange::new(range.offset(), range.len_bytes())
}

/// The URL with one more query parameter.
pub(super) fn with_parameter(mut url: Url, name: &str, value: &str) -> Url {
    url.query_pairs_mut().append_pair(name, value);
    url
}

fn blob_options(options: &ClientOptions) -> BlobClientOptions {
    BlobClientOptions { client_options: options.clone(), ..BlobClientOptions::default() }
}

fn signing_policy(credential: Credential, token_limit: Duration) -> Option<Arc<dyn Policy>> {
    match credential {
        Credential::Token(credential) => {
            let prompt = Arc::new(PromptCredential { credential, limit: token_limit });
            Some(Arc::new(BearerTokenAuthorizationPolicy::new(prompt, [TOKEN_SCOPE])))
        }
        Credential::AccountKey { account, key } => Some(Arc::new(SharedKeyPolicy::new(account, key.expose()))),
        Credential::SasUrl | Credential::Sas(_) => None,
    }
}
