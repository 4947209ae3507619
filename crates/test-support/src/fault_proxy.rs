//! A proxy that puts faults in front of a service that has none on order: the real Azurite.
//!
//! A request is received whole and meets its fault, drawn as the in-process server draws it ([`Faults`]). What is
//! passed on is passed on byte for byte: method, path, query, headers, body. A signature with the account's key
//! covers these and not the name of the host, so it stays valid (Microsoft Learn, "Authorize with Shared Key"). Once
//! a request is passed on, it is carried out to its end, whatever its client does: as by a service far away.
//!
//! The line can also be cut ([`FaultProxy::cut`]): then nothing passes in either direction, and nobody is told.
//!
//! Requests are counted and journalled as the in-process server does it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::page_blob_server::answer::{Answer, AnswerContent};
use crate::page_blob_server::connection::{Content, closed, respond};
use crate::page_blob_server::refusal::{self, Refusal};
use crate::page_blob_server::request::Call;
use crate::page_blob_server::stats::{Ending, Recorder};
use crate::page_blob_server::{Fault, Faults, JournalEntry, Stats, lock};

/// More requests than a storm makes of one proxy.
const JOURNAL_LIMIT: usize = 200_000;

/// A running proxy; it stops when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    endpoint: String,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `127.0.0.1:10000`.
    upstream: String,
    faults: Faults,
    recorder: Mutex<Recorder>,
    /// Whether the line is cut.
    cut: watch::Sender<bool>,
    /// Writes that were answered with a time-out and wait to be passed on.
    late: Mutex<Vec<(Call, Bytes)>>,
}

impl FaultProxy {
    /// Starts in front of a blob service such as `http://127.0.0.1:10000/devstoreaccount1`.
    pub async fn start(upstream: &str) -> Result<Self> {
        let (authority, path) = upstream
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .context("the endpoint of a service is http://HOST:PORT/ACCOUNT")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            client: Client::builder(TokioExecutor::new()).build_http(),
            upstream: authority.to_owned(),
            faults: Faults::default(),
            recorder: Mutex::new(Recorder::new(JOURNAL_LIMIT)),
            cut: watch::Sender::new(false),
            late: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, endpoint: format!("http://{address}/{path}"), accepting })
    }

    /// What clients use instead of the service's endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The faults on order.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The counters so far.
    pub fn stats(&self) -> Stats {
        lock(&self.shared.recorder).stats.clone()
    }

    /// The newest requests, oldest first.
    pub fn journal(&self) -> Vec<JournalEntry> {
        lock(&self.shared.recorder).journal.iter().cloned().collect()
    }

    /// Cuts the line: from now on requests get no answer, and those under way lose theirs.
    pub fn cut(&self) {
        self.shared.cut.send_replace(true);
    }

    /// Mends the line. What was caught by the cut is gone.
    pub fn mend(&self) {
        self.shared.cut.send_replace(false);
    }

    /// Passes on the writes that were answered with a time-out; the status of each. The journal tells of them as
    /// begun now.
    pub async fn release_late_writes(&self) -> Vec<u16> {
        let late = std::mem::take(&mut *lock(&self.shared.late));
        let mut statuses = Vec::new();
        for (call, body) in late {
            let began = Instant::now();
            let len = body.len() as u64;
            let Ok(answer) = self.shared.pass_on(&call.parts, body).await else { continue };
            let ending =
                Ending { call: &call, began, received: len, sent: 0, result: outcome(&answer), answered: false };
            lock(&self.shared.recorder).note(&ending);
            statuses.push(answer.status);
        }
        statuses
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let _ = socket.set_nodelay(true);
        lock(&shared.recorder).stats.connections += 1;
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&shared), request));
            // A client that goes away, and a fault that closes the connection, both end here.
            let _ = hyper::server::conn::http1::Builder::new()
                .max_buf_size(512 << 10)
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

/// An error of the service closes the connection.
async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Content>> {
    shared.line().await?;
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let Ok(call) = Call::parse(parts.clone()) else {
        // Not about a blob or a container: none of the storms' business.
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        return respond(shared.pass_on(&parts, body).await?, is_head, false);
    };
    let fault = shared.faults.take(&call);
    let Some(body) = shared.receive(&call, body, fault).await? else {
        shared.record(&call, Instant::now(), 0, Err(refusal::SERVER_BUSY), false);
        return Err(closed());
    };
    // A connection that its client closes takes its own task along; what was passed on must not go with it.
    let carrying_out = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.carry_out(&call, body, fault).await }
    });
    let answer = carrying_out.await.map_err(io::Error::other)??;
    shared.line().await?;
    respond(answer, is_head, fault == Some(Fault::TruncateAnswer))
}

impl Shared {
    /// Returns at once while the line is whole; otherwise when it is mended, with an error: what was caught is gone.
    async fn line(&self) -> io::Result<()> {
        let mut cut = self.cut.subscribe();
        if !*cut.borrow_and_update() {
            return Ok(());
        }
        let _ = cut.wait_for(|cut| !cut).await;
        Err(closed())
    }

    /// The body, or nothing when the connection is to be reset.
    async fn receive(&self, call: &Call, mut body: Incoming, fault: Option<Fault>) -> io::Result<Option<Bytes>> {
        let half = || call.number::<u64>("content-length").ok().flatten().unwrap_or(0) / 2;
        let stop_at = match fault {
            Some(Fault::DropBeforeBody) => return Ok(None),
            Some(Fault::DropInBody) => half(),
            _ => u64::MAX,
        };
        let mut received = Vec::new();
        while (received.len() as u64) < stop_at
            && let Some(frame) = body.frame().await
        {
            let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
            let wait = self.faults.pass(data.len() as u64);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            received.extend_from_slice(&data);
        }
        let reset = matches!(fault, Some(Fault::DropInBody | Fault::DropAfterBody));
        Ok((!reset).then(|| received.into()))
    }

    async fn carry_out(&self, call: &Call, body: Bytes, fault: Option<Fault>) -> io::Result<Answer> {
        let (began, len) = (Instant::now(), body.len() as u64);
        match fault {
            Some(Fault::Refuse(refusal)) => {
                self.record(call, began, len, Err(refusal), true);
                return Ok(refused(&refusal));
            }
            Some(Fault::ApplyLate) => {
                lock(&self.late).push((call.clone(), body));
                self.record(call, began, len, Err(refusal::OPERATION_TIMED_OUT), true);
                return Ok(refused(&refusal::OPERATION_TIMED_OUT));
            }
            Some(Fault::Delay(wait)) => tokio::time::sleep(wait).await,
            _ => {}
        }
        let began = Instant::now();
        let answer = self.pass_on(&call.parts, body).await?;
        let lost = fault == Some(Fault::LoseAnswer);
        self.record(call, began, len, outcome(&answer), !lost);
        match fault {
            Some(Fault::LoseAnswer) => Err(closed()),
            Some(Fault::ActThenRefuse(refusal)) => Ok(refused(&refusal)),
            _ => Ok(answer),
        }
    }

    async fn pass_on(&self, parts: &Parts, body: Bytes) -> io::Result<Answer> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = format!("http://{}{path}", self.upstream).parse::<Uri>().map_err(io::Error::other)?;
        *request.headers_mut() = parts.headers.clone();
        let response = self.client.request(request).await.map_err(io::Error::other)?;
        let (mut parts, body) = response.into_parts();
        // They are about the other connection.
        parts.headers.remove(CONNECTION);
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.remove("keep-alive");
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, content: AnswerContent::Bytes(body) })
    }

    fn record(&self, call: &Call, began: Instant, received: u64, result: Result<u16, Refusal>, answered: bool) {
        lock(&self.recorder).record(&Ending { call, began, received, sent: 0, result, answered });
    }
}

/// What an answer of the service is to the journal.
fn outcome(answer: &Answer) -> Result<u16, Refusal> {
    let code = answer.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
    if answer.status < 400 { Ok(answer.status) } else { Err(refusal::named(answer.status, code.unwrap_or(""))) }
}

fn refused(refusal: &Refusal) -> Answer {
    let id = Uuid::new_v4().to_string();
    Answer::refusing(refusal, &id, &jiff::Timestamp::now().to_string()).with("x-ms-request-id", id)
}
