//! The connection: one future that sends requests and takes answers, in whatever order they come.
//!
//! ```text
//!  NbdSource ──Request──▶ send ──▶ server ──▶ receive ──▶ the request's own channel
//!                          └──▶ pending: what is under way, by cookie ◀──┘
//! ```
//!
//! A server is believed only as far as it can be checked: every answer must be to a request that is under
//! way, every byte of a read must come exactly once, nothing is longer than what was asked for, and nothing
//! takes longer than the deadline. Whatever breaks that ends the connection with its reason, which every
//! request under way and every later one is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::NbdError;
use super::handshake::{Terms, closed};
use super::stream::NbdStream;
use super::wire::{self, ChunkHead, ChunkKind, ReplyKind, SimpleReply};
use crate::extent::{Extent, ExtentSet};

/// The longest status answer that is read: a million descriptors.
const LONGEST_STATUS: u32 = 8 << 20;

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Read { offset: u64, len: u32 },
    Status { context: u32, offset: u64, len: u32 },
}

impl Want {
    fn parts(self) -> (&'static str, u16, u64, u32) {
        match self {
            Self::Read { offset, len } => ("read", wire::CMD_READ, offset, len),
            Self::Status { offset, len, .. } => ("status", wire::CMD_BLOCK_STATUS, offset, len),
        }
    }
}

/// What the server answered.
#[derive(Debug)]
pub(super) enum Answer {
    Bytes(Bytes),
    /// Length and flags, from the start of what was asked for.
    Status(Vec<(u32, u32)>),
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) want: Want,
    pub(super) answer: oneshot::Sender<Result<Answer, NbdError>>,
}

/// Why a connection ended, for those who ask later.
pub(super) type Ending = Arc<OnceLock<NbdError>>;

/// A request under way.
struct Waiting {
    want: Want,
    answer: oneshot::Sender<Result<Answer, NbdError>>,
    sent: Instant,
    buffer: Vec<u8>,
    /// What of the buffer has come, from its start.
    covered: ExtentSet,
    status: Vec<(u32, u32)>,
    error: Option<NbdError>,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    /// Hands the answer over to whoever asked, if he is still there.
    fn finish(self) {
        let answer = match (self.error, self.want) {
            (Some(error), _) => Err(error),
            (None, Want::Read { .. }) => Ok(Answer::Bytes(self.buffer.into())),
            (None, Want::Status { .. }) => Ok(Answer::Status(self.status)),
        };
        _ = self.answer.send(answer);
    }
}

/// The connection to a server; nothing happens on it unless [`run`](Self::run) is polled.
pub struct NbdConnection {
    pub(super) stream: Box<dyn NbdStream>,
    pub(super) server: String,
    pub(super) terms: Terms,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) ending: Ending,
    pub(super) max_in_flight: usize,
    pub(super) timeout: Duration,
}

impl NbdConnection {
    /// Serves every [`NbdSource`](super::NbdSource) of this connection until they are all dropped, or until
    /// the connection breaks. Spawn it on the runtime: `tokio::spawn(connection.run())`.
    ///
    /// Dropping the future closes the connection.
    pub async fn run(self) -> Result<(), NbdError> {
        let Self { stream, server, terms, mut requests, ending, max_in_flight, timeout } = self;
        let (from_server, to_server) = tokio::io::split(stream);
        let pending = Pending { server, terms, timeout, waiting: Mutex::default() };
        // The reason is known before anything under way is dropped with the others.
        let noted = |result: Result<(), NbdError>| result.inspect_err(|error| _ = ending.set(error.clone()));
        let result = tokio::select! {
            result = async { noted(pending.send(to_server, &mut requests, max_in_flight).await) } => result,
            result = async { noted(pending.receive(from_server).await) } => result,
            result = async { noted(pending.watch().await) } => result,
        };
        if let Err(error) = &result {
            for waiting in std::mem::take(&mut *pending.waiting()).into_values() {
                _ = waiting.answer.send(Err(error.clone()));
            }
        }
        result
    }
}

impl std::fmt::Debug for NbdConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NbdConnection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What is under way.
struct Pending {
    server: String,
    terms: Terms,
    timeout: Duration,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

impl Pending {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is asked, never more at once than was agreed; says goodbye when nobody can ask any more.
    async fn send(
        &self,
        mut to_server: WriteHalf<Box<dyn NbdStream>>,
        requests: &mut mpsc::Receiver<Request>,
        max_in_flight: usize,
    ) -> Result<(), NbdError> {
        let room = Arc::new(Semaphore::new(max_in_flight));
        let mut cookie = 0u64;
        loop {
            let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            let Some(Request { want, answer }) = requests.recv().await else { break };
            cookie += 1;
            let (_, command, offset, len) = want.parts();
            let buffer = if matches!(want, Want::Read { .. }) { vec![0; len as usize] } else { Vec::new() };
            let waiting = Waiting {
                want,
                answer,
                sent: Instant::now(),
                buffer,
                covered: ExtentSet::new(),
                status: Vec::new(),
                error: None,
                _permit: permit,
            };
            self.waiting().insert(cookie, waiting);
            self.write(&mut to_server, &wire::request(command, cookie, offset, len)).await?;
        }
        self.write(&mut to_server, &wire::request(wire::CMD_DISC, 0, 0, 0)).await?;
        to_server.shutdown().await.map_err(|e| closed(&self.server, &e))
    }

    async fn write(&self, to_server: &mut WriteHalf<Box<dyn NbdStream>>, bytes: &[u8]) -> Result<(), NbdError> {
        let written = async {
            to_server.write_all(bytes).await?;
            to_server.flush().await
        };
        self.in_time(written).await
    }

    /// Takes answers; ends only with an error.
    async fn receive(&self, mut from_server: ReadHalf<Box<dyn NbdStream>>) -> Result<(), NbdError> {
        loop {
            let mut magic = [0; 4];
            // Not in time: between answers there may be nothing to wait for.
            from_server.read_exact(&mut magic).await.map_err(|e| closed(&self.server, &e))?;
            let kind =
                ReplyKind::of(u32::from_be_bytes(magic)).ok_or_else(|| self.broke("no reply starts like this"))?;
            let mut head = [0; 16];
            let head = &mut head[..kind.head_bytes()];
            self.read(&mut from_server, head).await?;
            let cut = || self.broke("a reply's head is cut short");
            match kind {
                ReplyKind::Simple => {
                    let reply = SimpleReply::parse(head).ok_or_else(cut)?;
                    let mut waiting = self.take(reply.cookie)?;
                    let taken = self.simple(&mut from_server, reply, &mut waiting).await;
                    self.go_on(reply.cookie, waiting, taken, true)?;
                }
                ReplyKind::Structured => {
                    let head = ChunkHead::parse(head).ok_or_else(cut)?;
                    let mut waiting = self.take(head.cookie)?;
                    let taken = self.chunk(&mut from_server, head, &mut waiting).await;
                    self.go_on(head.cookie, waiting, taken, head.is_last)?;
                }
            }
        }
    }

    /// Ends with an error once a request has waited too long.
    async fn watch(&self) -> Result<(), NbdError> {
        loop {
            tokio::time::sleep(self.timeout / 4).await;
            if self.waiting().values().any(|waiting| waiting.sent.elapsed() >= self.timeout) {
                return Err(self.late());
            }
        }
    }

    async fn simple(
        &self,
        from_server: &mut ReadHalf<Box<dyn NbdStream>>,
        reply: SimpleReply,
        waiting: &mut Waiting,
    ) -> Result<(), NbdError> {
        if reply.error != 0 {
            waiting.error = Some(self.failed(waiting.want, wire::error_words(reply.error, "")));
        } else if self.terms.is_structured || !matches!(waiting.want, Want::Read { .. }) {
            return Err(self.broke("a simple reply where a structured one was agreed on"));
        } else {
            self.read(from_server, &mut waiting.buffer).await?;
            waiting.covered.extend(Extent::new(0, waiting.buffer.len() as u64));
        }
        Ok(())
    }

    async fn chunk(
        &self,
        from_server: &mut ReadHalf<Box<dyn NbdStream>>,
        head: ChunkHead,
        waiting: &mut Waiting,
    ) -> Result<(), NbdError> {
        if !self.terms.is_structured {
            return Err(self.broke("a structured reply that was not agreed on"));
        }
        let asked = waiting.buffer.len() as u32;
        let limit = match (head.kind, waiting.want) {
            (ChunkKind::None, _) => 0,
            (ChunkKind::Data, Want::Read { .. }) => asked.saturating_add(8),
            (ChunkKind::Hole, Want::Read { .. }) => 12,
            (ChunkKind::Status, Want::Status { .. }) => LONGEST_STATUS,
            (ChunkKind::Error { .. }, _) => 14 + wire::LONGEST_TEXT,
            (kind, want) => return Err(self.broke(&format!("a chunk {kind:?} for a {}", want.parts().0))),
        };
        if head.len > limit {
            return Err(self.broke(&format!("a chunk {:?} of {} bytes", head.kind, head.len)));
        }
        if head.kind == ChunkKind::Data {
            return self.data(from_server, head.len, waiting).await;
        }
        let mut payload = vec![0; head.len as usize];
        self.read(from_server, &mut payload).await?;
        self.take_in(head.kind, &payload, waiting)
    }

    /// Hands the answer over if it is whole, else waits for the rest of it. Whoever asked is still there to be
    /// told when the connection breaks.
    fn go_on(&self, cookie: u64, waiting: Waiting, taken: Result<(), NbdError>, is_last: bool) -> Result<(), NbdError> {
        let checked = taken.and_then(|()| if is_last { self.check_whole(&waiting) } else { Ok(()) });
        if is_last && checked.is_ok() {
            waiting.finish();
        } else {
            self.waiting().insert(cookie, waiting);
        }
        checked
    }

    /// A chunk of data, read into its place.
    async fn data(
        &self,
        from_server: &mut ReadHalf<Box<dyn NbdStream>>,
        len: u32,
        waiting: &mut Waiting,
    ) -> Result<(), NbdError> {
        let len = len.checked_sub(8).ok_or_else(|| self.broke("a chunk of data without an offset"))?;
        let mut offset = [0; 8];
        self.read(from_server, &mut offset).await?;
        let place = self.place(u64::from_be_bytes(offset), u64::from(len), waiting)?;
        self.read(from_server, &mut waiting.buffer[place.offset() as usize..place.end() as usize]).await
    }

    fn take_in(&self, kind: ChunkKind, payload: &[u8], waiting: &mut Waiting) -> Result<(), NbdError> {
        match kind {
            ChunkKind::Hole => {
                let hole = wire::be64(payload, 0).zip(wire::be32(payload, 8));
                let (offset, len) = hole.ok_or_else(|| self.broke("a hole that is cut short"))?;
                // The buffer is zeros where nothing was read into it.
                self.place(offset, u64::from(len), waiting)?;
            }
            ChunkKind::Status => {
                let (context, pairs) = wire::status(payload).ok_or_else(|| self.broke("a status that is cut short"))?;
                if !self.terms.contexts.iter().any(|(_, known)| *known == context) {
                    return Err(self.broke("a status of a context that was not agreed on"));
                }
                // Every context that was agreed on answers; one of them was asked for.
                if matches!(waiting.want, Want::Status { context: wanted, .. } if wanted == context) {
                    if !waiting.status.is_empty() {
                        return Err(self.broke("two statuses of one context"));
                    }
                    self.check_status(&pairs, waiting.want)?;
                    waiting.status = pairs;
                }
            }
            ChunkKind::Error { .. } => {
                let words = wire::error_text(payload).ok_or_else(|| self.broke("an error that is cut short"))?;
                waiting.error.get_or_insert(self.failed(waiting.want, words));
            }
            ChunkKind::None | ChunkKind::Data | ChunkKind::Unknown(_) => {}
        }
        Ok(())
    }

    /// Where in the buffer the disk's bytes at `offset` go; none may have come before.
    fn place(&self, offset: u64, len: u64, waiting: &mut Waiting) -> Result<Extent, NbdError> {
        let (_, _, start, _) = waiting.want.parts();
        let place = offset.checked_sub(start).and_then(|at| Extent::new(at, len));
        let place = place.filter(|place| place.end() <= waiting.buffer.len() as u64);
        let place = place.ok_or_else(|| self.broke("bytes that were not asked for"))?;
        if waiting.covered.intersecting(place.range()).next().is_some() {
            return Err(self.broke("the same bytes twice"));
        }
        waiting.covered.insert(place);
        Ok(place)
    }

    /// Descriptors go on, and only the last may say more than was asked.
    fn check_status(&self, pairs: &[(u32, u32)], want: Want) -> Result<(), NbdError> {
        let (_, _, _, asked) = want.parts();
        let mut described = 0u64;
        for (len, _) in pairs {
            if *len == 0 || described >= u64::from(asked) {
                return Err(self.broke("a status that does not go on"));
            }
            described += u64::from(*len);
        }
        Ok(())
    }

    fn take(&self, cookie: u64) -> Result<Waiting, NbdError> {
        let waiting = self.waiting().remove(&cookie);
        waiting.ok_or_else(|| self.broke("an answer to a question that was not asked"))
    }

    /// Whether an answer that ends here answers the question.
    fn check_whole(&self, waiting: &Waiting) -> Result<(), NbdError> {
        let whole = Extent::new(0, waiting.buffer.len() as u64);
        match waiting.want {
            _ if waiting.error.is_some() => Ok(()),
            Want::Read { .. } if whole.is_some_and(|whole| !waiting.covered.covers(whole)) => {
                Err(self.broke("a read of which bytes are missing"))
            }
            Want::Status { .. } if waiting.status.is_empty() => Err(self.broke("a status that says nothing")),
            _ => Ok(()),
        }
    }

    async fn read(&self, from_server: &mut ReadHalf<Box<dyn NbdStream>>, bytes: &mut [u8]) -> Result<(), NbdError> {
        self.in_time(async { from_server.read_exact(bytes).await.map(drop) }).await
    }

    async fn in_time(&self, io: impl Future<Output = std::io::Result<()>>) -> Result<(), NbdError> {
        match tokio::time::timeout(self.timeout, io).await {
            Ok(done) => done.map_err(|e| closed(&self.server, &e)),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> NbdError {
        NbdError::Timeout { server: self.server.clone(), seconds: self.timeout.as_secs() }
    }

    fn broke(&self, problem: &str) -> NbdError {
        NbdError::Protocol { server: self.server.clone(), problem: problem.to_owned() }
    }

    fn failed(&self, want: Want, problem: String) -> NbdError {
        let (request, _, offset, len) = want.parts();
        NbdError::Server { server: self.server.clone(), request, offset, len: u64::from(len), problem }
    }
}
