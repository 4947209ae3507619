//! From the socket to an operation and back, with the faults in between.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::answer::{Answer, AnswerContent};
use super::clock::http_date;
use super::faults::Fault;
use super::received::{Checksum, Received};
use super::refusal::{self, Refusal};
use super::request::{Call, Op};
use super::stats::Ending;
use super::{Shared, Storage, lock};

/// The longest piece of an answer that is read from the store at once.
const PIECE: u64 = 1 << 20;

/// Serves connections until it is dropped, and they with it.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
    if request.uri().path() == "/__stats" {
        let stats = serde_json::to_vec(&lock(&shared.recorder).stats).unwrap_or_default();
        return Ok(Response::new(Content { content: AnswerContent::Bytes(stats.into()), end: End::Whole }));
    }
    if request.uri().path() == "/__reset" {
        lock(&shared.recorder).reset();
        return Ok(Response::new(Content::default()));
    }
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let client_id = parts.headers.get("x-ms-client-request-id").cloned();
    let (answer, truncate) = match Call::parse(parts) {
        Ok(call) => act(&shared, &call, body).await?,
        Err(refusal) => {
            drain(body).await?;
            (refused(&shared, &refusal), false)
        }
    };
    let mut answer = answer
        .with("x-ms-version", "2026-04-06")
        .with("server", "page-blob-server")
        .with("date", http_date(shared.clock.now()));
    if !answer.headers.contains_key("x-ms-request-id") {
        answer = answer.with("x-ms-request-id", Uuid::new_v4().to_string());
    }
    if let Some(id) = client_id {
        answer = answer.with("x-ms-client-request-id", id);
    }
    respond(answer, is_head, truncate)
}

/// The answer as it goes out; an error closes the connection.
pub(crate) fn respond(answer: Answer, is_head: bool, truncate: bool) -> io::Result<Response<Content>> {
    let mut response = Response::new(Content::default());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = answer.headers;
    if is_head && !truncate {
        return Ok(response);
    }
    if truncate && (is_head || answer.content.len() == 0) {
        return Err(closed());
    }
    let end = if truncate { End::Reset } else { End::Whole };
    *response.body_mut() = Content { content: answer.content, end };
    Ok(response)
}

/// Receives, meets its fault, acts, and records how it ended. The second value asks for a truncated answer.
async fn act(shared: &Arc<Shared>, call: &Call, body: Incoming) -> io::Result<(Answer, bool)> {
    let arrival = Arrival { began: Instant::now(), len: 0 };
    let limits = shared.faults.limits();
    if !limits.latency.is_zero() {
        tokio::time::sleep(limits.latency).await;
    }
    let fault = shared.faults.take(call);
    if fault == Some(Fault::DropBeforeBody) {
        record(shared, call, arrival, &Err(refusal::SERVER_BUSY), false);
        return Err(closed());
    }
    let half = || call.number::<u64>("content-length").ok().flatten().unwrap_or(0) / 2;
    let stop_at = if fault == Some(Fault::DropInBody) { half() } else { u64::MAX };
    let received = receive(shared, call, body, stop_at).await?;
    let arrival = Arrival { began: Instant::now(), len: received.len };
    if matches!(fault, Some(Fault::DropInBody | Fault::DropAfterBody)) {
        record(shared, call, arrival, &Err(refusal::SERVER_BUSY), false);
        return Err(closed());
    }
    let auth = lock(&shared.auth).clone();
    if let Err(refusal) = auth.check(call, shared.clock.now()) {
        record(shared, call, arrival, &Err(refusal), true);
        return Ok((refused(shared, &refusal), false));
    }
    if !shared.faults.admits(received.len) {
        let wait = limits.busy_above.and_then(|busy| busy.retry_after);
        let refusal = wait.map_or(refusal::SERVER_BUSY, |wait| refusal::SERVER_BUSY.retry_after(wait));
        record(shared, call, arrival, &Err(refusal), true);
        return Ok((refused(shared, &refusal), false));
    }
    let result = match fault {
        Some(Fault::Refuse(refusal)) => Err(refusal),
        Some(Fault::ActThenRefuse(refusal)) => {
            let _ = shared.step(call, &received);
            Err(refusal)
        }
        Some(Fault::ApplyLate) => {
            lock(&shared.late).push((call.clone(), received));
            record(shared, call, arrival, &Err(refusal::OPERATION_TIMED_OUT), true);
            return Ok((refused(shared, &refusal::OPERATION_TIMED_OUT), false));
        }
        Some(Fault::Delay(wait)) => return Ok((late(shared, call, received, arrival, wait).await?, false)),
        _ => shared.step(call, &received),
    };
    let lost = fault == Some(Fault::LoseAnswer);
    record(shared, call, arrival, &result, !lost);
    if lost {
        return Err(closed());
    }
    let truncate = fault == Some(Fault::TruncateAnswer);
    Ok((result.unwrap_or_else(|refusal| refused(shared, &refusal)), truncate))
}

/// Acts after a while, in a task of its own: a connection that its client closes meanwhile takes its own task along.
async fn late(
    shared: &Arc<Shared>,
    call: &Call,
    received: Received,
    arrival: Arrival,
    wait: Duration,
) -> io::Result<Answer> {
    let (shared, call) = (Arc::clone(shared), call.clone());
    let acting = tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let arrival = Arrival { began: Instant::now(), ..arrival };
        let result = shared.step(&call, &received);
        record(&shared, &call, arrival, &result, true);
        result.unwrap_or_else(|refusal| refused(&shared, &refusal))
    });
    acting.await.map_err(io::Error::other)
}

/// When a request was there, body and all, and how long its body was.
#[derive(Clone, Copy)]
struct Arrival {
    began: Instant,
    len: u64,
}

fn record(shared: &Shared, call: &Call, arrival: Arrival, result: &Result<Answer, Refusal>, answered: bool) {
    let sent = result.as_ref().map_or(0, |answer| answer.content.len());
    let result = result.as_ref().map(|answer| answer.status).map_err(|refusal| *refusal);
    let Arrival { began, len } = arrival;
    lock(&shared.recorder).record(&Ending { call, began, received: len, sent, result, answered });
}

fn refused(shared: &Shared, refusal: &Refusal) -> Answer {
    let id = Uuid::new_v4().to_string();
    let time = shared.clock.now().to_string();
    Answer::refusing(refusal, &id, &time).with("x-ms-request-id", id)
}

/// Reads the body, up to the frame with byte `stop_at`.
async fn receive(shared: &Shared, call: &Call, mut body: Incoming, stop_at: u64) -> io::Result<Received> {
    let keep = call.op != Op::PutPage || shared.storage == Storage::Keep;
    let mut checksum = Checksum::promised_by(call);
    let mut received = Received::default();
    while received.len < stop_at
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        let wait = shared.faults.pass(data.len() as u64);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        checksum.add(&data);
        received.len += data.len() as u64;
        if keep {
            received.frames.push(data);
        }
    }
    received.checksum = checksum.verdict();
    Ok(received)
}

async fn drain(mut body: Incoming) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        frame.map_err(io::Error::other)?;
    }
    Ok(())
}

pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "a fault closes the connection")
}

/// The body of an answer.
pub(crate) struct Content {
    content: AnswerContent,
    end: End,
}

/// How a body ends.
enum End {
    Whole,
    /// In the middle, by a reset.
    Reset,
    /// The first half is out; it must reach the socket before the reset.
    HalfIsOut,
    ResetNow,
}

impl Default for Content {
    fn default() -> Self {
        Self { content: AnswerContent::Bytes(Bytes::new()), end: End::Whole }
    }
}

impl Content {
    fn next_piece(&mut self) -> Bytes {
        match &mut self.content {
            AnswerContent::Bytes(bytes) => std::mem::take(bytes),
            AnswerContent::Pages { pages, next, end } => {
                let range = *next..(*next + PIECE).min(*end);
                *next = range.end;
                Bytes::from(pages.read(&range))
            }
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.end {
            End::Whole => match self.next_piece() {
                piece if piece.is_empty() => Poll::Ready(None),
                piece => Poll::Ready(Some(Ok(Frame::data(piece)))),
            },
            End::Reset => {
                self.end = End::HalfIsOut;
                let piece = self.next_piece();
                Poll::Ready(Some(Ok(Frame::data(piece.slice(..piece.len().div_ceil(2))))))
            }
            End::HalfIsOut => {
                self.end = End::ResetNow;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::ResetNow => Poll::Ready(Some(Err(closed()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len())
    }
}
