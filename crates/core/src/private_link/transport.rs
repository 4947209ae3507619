//! The HTTP transport under every client: one attempt, over a [`Route`].
//!
//! The client library's own transport is replaced for six reasons, each seen in a test of ours:
//!
//! - It connects to whatever a name resolves to. Here a route decides, before each request and at each new
//!   connection.
//! - Its errors carry the whole URL, and so a SAS signature. Here every error is text, without a URL.
//! - Its read timeout also runs while a body is being sent, so that a slow uplink could never finish
//!   4 MiB. Here a request's deadline grows with its bytes ([`Pace`]).
//! - It decompresses answers when another crate of the same program turns that on. Here never: lengths
//!   are lengths on the wire.
//! - It takes proxies from the environment unasked.
//! - An answer of any length is buffered. Here at most [`MAX_ANSWER_BYTES`].
//!
//! One request is one attempt: retries and redirects are off.

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{AUTHORIZATION, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use bytes::Bytes;
use tokio::time::Instant;

use super::cloud::Cloud;
use super::options::{Proxy, TransportOptions};
use super::route::{Route, RouteResolver};
use super::{LONGEST_WAIT, PrivateLinkError};
use crate::secret::Secret;
use crate::size::MIB;

/// The longest answer that is read. The longest that is asked for is one 4 MiB piece of a blob; a page
/// list or a blob list of 5,000 entries stays well below this too.
const MAX_ANSWER_BYTES: u64 = 64 * MIB;

/// How long an unused connection is kept: shorter than the four minutes after which Azure's load
/// balancers drop an idle one without a word.
const IDLE_CONNECTION: Duration = Duration::from_secs(90);

/// Bytes and requests that one target has moved.
#[derive(Debug, Default)]
pub struct TransferCounters {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl TransferCounters {
    /// Requests that were answered, whatever the answer.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of the bodies of those requests.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of the answers' bodies, as far as they were read.
    pub fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// One pool of HTTP/1.1 connections over one route.
pub(crate) struct HttpTransport {
    route: Route,
    pool: Mutex<Pool>,
    options: TransportOptions,
    pace: Pace,
    counters: Arc<TransferCounters>,
}

/// The connections that were made under one state of the route.
struct Pool {
    client: reqwest::Client,
    epoch: u64,
}

/// A transport for clients of `azure_core` that sends to private addresses only, as `options.private_link` says.
///
/// Requests that would go elsewhere fail with a [`PrivateLinkError`] as their cause, and nothing is sent.
pub fn private_transport(options: TransportOptions) -> Result<azure_core::http::Transport, PrivateLinkError> {
    let route = Route::of(&options.private_link);
    Ok(azure_core::http::Transport::new(Arc::new(HttpTransport::new(options, route)?)))
}

/// A transport for clients of `azure_core` (and `azure_identity`) that talks to the public endpoints of a cloud's
/// control plane, and to nothing else: Resource Manager and Microsoft Entra ID, over https.
pub fn control_plane_transport(
    cloud: Cloud,
    options: TransportOptions,
) -> Result<azure_core::http::Transport, PrivateLinkError> {
    Ok(azure_core::http::Transport::new(Arc::new(HttpTransport::new(options, Route::ControlPlane(cloud))?)))
}

impl HttpTransport {
    /// The error is fit to be shown.
    pub(crate) fn new(options: TransportOptions, route: Route) -> Result<Self, PrivateLinkError> {
        let pool = Pool { client: client(&options, &route)?, epoch: route.epoch() };
        let pace =
            Pace { base: options.base_timeout, minimum_bytes_per_second: options.minimum_bytes_per_second.max(1) };
        Ok(Self { route, pool: Mutex::new(pool), options, pace, counters: Arc::default() })
    }

    /// The connections to use now: new ones when the route has changed since they were made, so that none is
    /// kept to an address that no longer is the name's.
    async fn client_for(&self, url: &azure_core::http::Url, within: Duration) -> azure_core::Result<reqwest::Client> {
        let admitted = self.route.admit(url, within).await;
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.route.epoch();
        if pool.epoch != epoch {
            *pool = Pool { client: client(&self.options, &self.route).map_err(route_error)?, epoch };
        }
        admitted.map_err(route_error).map(|()| pool.client.clone())
    }

    pub(crate) fn counters(&self) -> &Arc<TransferCounters> {
        &self.counters
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("route", &self.route)
            .field("pace", &self.pace)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for HttpTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body() else {
            return Err(Error::with_message(ErrorKind::Other, "request bodies are buffers here, not streams"));
        };
        let body_len = body.len() as u64;
        let method = reqwest::Method::from_bytes(request.method().as_ref().as_bytes())
            .map_err(|_| Error::with_message(ErrorKind::Other, "the request has no known method"))?;
        let deadline = self.pace.time_for(body_len);
        let client = tokio::time::timeout(deadline, self.client_for(request.url(), deadline))
            .await
            .map_err(|_| unresolved(request.url(), deadline))??;
        let mut outgoing = client.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            outgoing = outgoing.header(name.as_str(), value.as_str());
        }
        let answer = tokio::time::timeout(deadline, outgoing.body(body.clone()).send())
            .await
            .map_err(|_| too_slow(&format!("no answer within {deadline:?} to a request of {body_len} bytes")))?
            .map_err(network_error)?;
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.counters.sent.fetch_add(body_len, Ordering::Relaxed);

        let status = answer.status().as_u16().into();
        let headers = wire_headers(answer.headers(), &secrets_of(request));
        let incoming = Incoming {
            answer,
            pace: self.pace,
            counters: Arc::clone(&self.counters),
            started: Instant::now(),
            received: 0,
        };
        let body = futures::stream::try_unfold(incoming, Incoming::next_chunk);
        Ok(AsyncRawResponse::new(status, headers, Box::pin(body)))
    }
}

fn client(options: &TransportOptions, route: &Route) -> Result<reqwest::Client, PrivateLinkError> {
    let refuse = |problem: String| PrivateLinkError::Options { problem };
    let mut builder = reqwest::Client::builder()
        .tls_backend_rustls() // whatever other crates of the program turn on
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_max_idle_per_host(options.max_in_flight.max(1))
        .pool_idle_timeout(IDLE_CONNECTION)
        .no_gzip()
        .no_deflate()
        .no_brotli()
        .no_zstd();
    match &options.proxy {
        Proxy::Environment if route.may_pass_proxies() => {}
        Proxy::Url(url) if route.may_pass_proxies() => {
            // Another scheme would be passed over without a word, and the bytes would go direct.
            if !matches!(url.expose().scheme(), "http" | "https") {
                return Err(refuse("the proxy's URL must start with http:// or https://".to_owned()));
            }
            let proxy = reqwest::Proxy::all(url.expose().as_str())
                .map_err(|error| refuse(format!("the proxy's URL cannot be used: {}", plain_text(error))))?;
            builder = builder.proxy(proxy);
        }
        Proxy::Url(_) if matches!(route, Route::Private(_)) => {
            return Err(refuse(
                "a proxy and Private Link do not go together: private names bypass the proxy; leave out the proxy, \
                 or say that Private Link is not required"
                    .to_owned(),
            ));
        }
        _ => builder = builder.no_proxy(),
    }
    if let Some(pem) = &options.extra_certificates_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| refuse(format!("the extra certificates cannot be read: {}", plain_text(error))))?;
        if certificates.is_empty() {
            return Err(refuse("the extra certificates hold no PEM certificate".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(resolver) = RouteResolver::of(route) {
        builder = builder.dns_resolver(Arc::new(resolver));
    }
    builder.build().map_err(|error| refuse(format!("no HTTP client can be made: {}", plain_text(error))))
}

/// The body of an answer on its way in.
struct Incoming {
    answer: reqwest::Response,
    pace: Pace,
    counters: Arc<TransferCounters>,
    started: Instant,
    received: u64,
}

impl Incoming {
    async fn next_chunk(mut self) -> azure_core::Result<Option<(Bytes, Self)>> {
        let deadline = self.started + self.pace.time_for(self.received);
        let chunk = tokio::time::timeout_at(deadline, self.answer.chunk())
            .await
            .map_err(|_| too_slow(&format!("the answer stopped after {} bytes", self.received)))?
            .map_err(network_error)?;
        let Some(chunk) = chunk else { return Ok(None) };
        self.received += chunk.len() as u64;
        self.counters.received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if self.received > MAX_ANSWER_BYTES {
            return Err(Error::with_message(
                ErrorKind::DataConversion,
                format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"),
            ));
        }
        Ok(Some((chunk, self)))
    }
}

/// How much time bytes get.
#[derive(Clone, Copy, Debug)]
struct Pace {
    base: Duration,
    minimum_bytes_per_second: u64,
}

impl Pace {
    fn time_for(self, bytes: u64) -> Duration {
        let moving = Duration::from_secs(bytes.div_ceil(self.minimum_bytes_per_second));
        self.base.saturating_add(moving).min(LONGEST_WAIT)
    }
}

fn too_slow(what: &str) -> Error {
    Error::with_message(ErrorKind::Io, what.to_owned())
}

/// Nothing was sent, so nothing is in doubt.
fn unresolved(url: &azure_core::http::Url, limit: Duration) -> Error {
    let host = url.host_str().unwrap_or_default().to_owned();
    route_error(PrivateLinkError::Lookup { host, reason: format!("no answer within {limit:?}") })
}

/// The route's error, kept whole: callers look for it.
fn route_error(error: PrivateLinkError) -> Error {
    let kind = match &error {
        PrivateLinkError::Lookup { .. } => ErrorKind::Connection,
        _ => ErrorKind::Other,
    };
    Error::new(kind, error)
}

/// The error as text, so that nothing down its chain can print a URL.
fn network_error(error: reqwest::Error) -> Error {
    if let Some(error) = PrivateLinkError::behind(&error) {
        return route_error(error.clone());
    }
    let (connecting, building) = (error.is_connect(), error.is_builder());
    let text = plain_text(error);
    // A certificate that is not trusted now will not be at the next attempt.
    let kind = if building || text.contains("invalid peer certificate") {
        ErrorKind::Other
    } else if connecting {
        ErrorKind::Connection
    } else {
        ErrorKind::Io
    };
    Error::with_message(kind, text)
}

fn plain_text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// What a request proves itself with: its signature, as it was sent and decoded, and its authorization.
fn secrets_of(request: &Request) -> Vec<Secret<String>> {
    let url = request.url();
    let sent = url.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.strip_prefix("sig="));
    let decoded = url.query_pairs().filter(|(name, _)| name == "sig").map(|(_, value)| value.into_owned());
    let authorization = request.headers().get_optional_str(&AUTHORIZATION);
    let proof = authorization.and_then(|value| value.rsplit([' ', ':']).next());
    let secrets = sent.chain(proof).map(str::to_owned).chain(decoded);
    secrets.filter(|secret| !secret.is_empty()).map(Secret::new).collect()
}

/// Header values that are no text are left out: none that is read here may hold any. So are those that
/// repeat what the request proved itself with: the client library logs headers.
fn wire_headers(headers: &reqwest::header::HeaderMap, secrets: &[Secret<String>]) -> Headers {
    let mut kept = Headers::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        if !secrets.iter().any(|secret| value.contains(secret.expose().as_str())) {
            kept.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::azure_answer::retry_after;
    use crate::private_link::{AddressRule, Answer, HostName, LookupFailure, NameLookup, PrivateLink};

    #[tokio::test]
    async fn an_error_holds_no_url() {
        let transport = HttpTransport::new(TransportOptions::default(), Route::Loopback).unwrap();
        let url = "http://127.0.0.1:1/acct/disks/web01.vhd?sig=canary".parse().unwrap();

        let error = transport.execute_request(&Request::new(url, azure_core::http::Method::Get)).await.unwrap_err();

        assert_eq!(error.kind(), &ErrorKind::Connection);
        assert!(!format!("{error} {error:?} {:?}", error.source()).contains("canary"), "{error:?}");
    }

    /// Never ends.
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl NameLookup for Silent {
        async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_name_is_not_resolved_in_time_was_never_sent() {
        let link = PrivateLink::Required { rule: AddressRule::default(), lookup: Arc::new(Silent) };
        let transport = HttpTransport::new(TransportOptions::default(), Route::of(&link)).unwrap();
        let url = "https://acct.blob.core.windows.net/disks/web01.vhd?sig=canary".parse().unwrap();

        let error = transport.execute_request(&Request::new(url, azure_core::http::Method::Get)).await.unwrap_err();

        assert_eq!(error.kind(), &ErrorKind::Connection);
        assert!(matches!(PrivateLinkError::behind(&error), Some(PrivateLinkError::Lookup { .. })), "{error:?}");
        let text = error.to_string();
        assert_eq!(text, "acct.blob.core.windows.net cannot be resolved: no answer within 30s");
    }

    #[tokio::test]
    async fn time_without_end_is_a_long_time() {
        let options = TransportOptions {
            connect_timeout: Duration::MAX,
            base_timeout: Duration::MAX,
            ..TransportOptions::default()
        };
        let transport = HttpTransport::new(options, Route::Loopback).unwrap();
        let url = "http://127.0.0.1:1/acct/disks/web01.vhd".parse().unwrap();

        let error = transport.execute_request(&Request::new(url, azure_core::http::Method::Get)).await.unwrap_err();

        assert_eq!(error.kind(), &ErrorKind::Connection);
        assert!(Instant::now().checked_add(transport.pace.time_for(u64::MAX)).is_some());
    }

    #[test]
    fn options_that_cannot_work_are_refused_without_a_secret() {
        let refused = |options: TransportOptions, route| HttpTransport::new(options, route).unwrap_err().to_string();
        let no_pem = TransportOptions { extra_certificates_pem: Some(b"canary".to_vec()), ..Default::default() };
        let url = "socks5://user:canary@proxy.example".parse().unwrap();
        let proxy = TransportOptions { proxy: Proxy::Url(Secret::new(url)), ..Default::default() };

        assert_eq!(refused(no_pem, Route::Open), "the extra certificates hold no PEM certificate");
        assert_eq!(refused(proxy.clone(), Route::Open), "the proxy's URL must start with http:// or https://");
        let with_private_link = refused(proxy, Route::of(&PrivateLink::default()));
        assert!(with_private_link.contains("bypass the proxy"), "{with_private_link}");
        assert!(!with_private_link.contains("canary"));
    }

    #[test]
    fn time_grows_with_bytes() {
        let pace = Pace { base: Duration::from_secs(30), minimum_bytes_per_second: 64 << 10 };

        assert_eq!(pace.time_for(0), Duration::from_secs(30));
        assert_eq!(pace.time_for(4 * MIB), Duration::from_secs(94));
    }

    proptest! {
        #[test]
        fn no_bytes_in_a_header_break_its_reader(
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "[\\x20-\\x7eü]{0,20}".prop_map(String::into_bytes),
            ],
        ) {
            let Ok(sent) = reqwest::header::HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert(reqwest::header::RETRY_AFTER, sent);

            let read = wire_headers(&headers, &[]);

            let text = read.get_optional_str(&azure_core::http::headers::RETRY_AFTER);
            let expected = std::str::from_utf8(&value).ok().filter(|text| text.is_ascii());
            prop_assert_eq!(text, expected);
            retry_after(&read, jiff::Timestamp::UNIX_EPOCH);
        }
    }
}
