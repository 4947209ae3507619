//! Disks served over NBD: the door to `VMware`'s VDDK (through nbdkit), to live QEMU disks and their dirty
//! bitmaps, and to every format that some other program reads.
//!
//! The client is ours, because none that is published has structured replies, block status and many requests
//! under way at once. It speaks fixed newstyle negotiation, TLS, structured replies and metadata contexts, and
//! keeps to the server's limits. It never writes. Source: NetworkBlockDevice/nbd, `doc/proto.md` (as of 2024).
//!
//! [`connect`] gives two things: an [`NbdSource`] to read from, and an [`NbdConnection`] that does the work and
//! that the caller spawns, because nothing on this floor spawns tasks of its own.
//!
//! ```no_run
//! use libmigrate::source::nbd::{self, NbdOptions};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let uri = "nbd+unix:///?socket=/run/web01.sock".parse()?;
//! // A snapshot does not change while it is served, and only we know that.
//! let options = NbdOptions { point: Some("snapshot-2077".into()), ..NbdOptions::default() };
//! let (source, connection) = nbd::connect(&uri, &options).await?;
//! tokio::spawn(connection.run());
//! # Ok(())
//! # }
//! ```
//!
//! Without TLS (`nbd://`), whoever is on the way reads and changes the disk's bytes; use it on one machine, or
//! on a network of its own.

mod connection;
mod error;
mod handshake;
mod stream;
mod uri;
mod wire;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use connection::NbdConnection;
use connection::{Answer, Ending, Request, Want};
pub use error::NbdError;
use handshake::{Handshake, Terms};
pub use stream::{NbdStream, Tls};
pub use uri::NbdUri;

use super::{DiskSource, SourceError, SourceExtent, SourceLimits};
use crate::extent::{Extent, ExtentSet};

/// Which parts hold data, and which read as zeros.
const ALLOCATION: &str = "base:allocation";

/// Flags of [`ALLOCATION`].
const HOLE: u32 = 1;
const ZERO: u32 = 2;

/// The flag of a dirty bitmap.
const DIRTY: u32 = 1;

/// The most that is asked of one status request; some servers refuse more.
const STATUS_BYTES: u64 = 1 << 30;

/// The largest export: offsets are signed in most servers, and the end of a read must fit a number.
const MAX_BYTES: u64 = i64::MAX as u64;

/// How an export is read.
#[derive(Clone, Debug)]
pub struct NbdOptions {
    /// TLS; demanded by `nbds` URIs, and never given up where it is set.
    pub tls: Option<Tls>,
    /// Dirty bitmaps to ask for with [`NbdSource::dirty`], by QEMU's name (`qemu:dirty-bitmap:NAME` without
    /// its first two parts).
    pub bitmaps: Vec<String>,
    /// Which moment of the disk the export is, if it does not change while it is served: only the caller
    /// knows. `None`: it may change underneath.
    pub point: Option<String>,
    /// Which disk the export is, if known.
    pub identity: Option<String>,
    /// Longest read in bytes, where the server takes less than it says (VDDK through vCenter: 2 MiB).
    pub max_read_bytes: u32,
    /// Requests under way at once, at least one.
    pub max_in_flight: usize,
    /// The longest wait for an answer. A disk that spins up takes some ten seconds; a server that takes a
    /// minute is taken for dead.
    pub timeout: Duration,
}

impl Default for NbdOptions {
    fn default() -> Self {
        Self {
            tls: None,
            bitmaps: Vec::new(),
            point: None,
            identity: None,
            max_read_bytes: 4 << 20,
            max_in_flight: 16,
            timeout: Duration::from_secs(60),
        }
    }
}

/// Connects to the server of `uri` and enters its export.
pub async fn connect(uri: &NbdUri, options: &NbdOptions) -> Result<(NbdSource, NbdConnection), NbdError> {
    let server = uri.to_string();
    if uri.is_tls && options.tls.is_none() {
        return Err(NbdError::Tls {
            server,
            problem: "the URI demands it, and no authority to trust was given".into(),
        });
    }
    let seconds = options.timeout.as_secs();
    match tokio::time::timeout(options.timeout, stream::dial(uri)).await {
        Ok(stream) => over(stream?, &server, uri.export(), options).await,
        Err(_) => Err(NbdError::Timeout { server, seconds }),
    }
}

/// Enters an export over a stream of the caller's own; `server` names it in errors, and is the name that its
/// certificate must have if TLS is asked for.
pub async fn over(
    stream: Box<dyn NbdStream>,
    server: &str,
    export: &str,
    options: &NbdOptions,
) -> Result<(NbdSource, NbdConnection), NbdError> {
    let bitmaps = options.bitmaps.iter().map(|name| bitmap_context(name));
    let contexts: Vec<String> = std::iter::once(ALLOCATION.to_owned()).chain(bitmaps).collect();
    let handshake = Handshake { stream, server, export }.run(options.tls.as_ref(), &contexts);
    let (stream, terms) = tokio::time::timeout(options.timeout, handshake)
        .await
        .map_err(|_| NbdError::Timeout { server: server.to_owned(), seconds: options.timeout.as_secs() })??;
    if terms.size_bytes == 0 || terms.size_bytes > MAX_BYTES {
        let (server, export) = (server.to_owned(), export.to_owned());
        let problem = format!("it states a size of {} bytes", terms.size_bytes);
        return Err(NbdError::Refused { server, export, problem });
    }
    let (requests, incoming) = mpsc::channel(options.max_in_flight.max(1));
    let ending = Ending::default();
    let source = NbdSource {
        server: server.into(),
        export: export.into(),
        terms: Arc::new(terms.clone()),
        options: options.clone(),
        requests,
        ending: Arc::clone(&ending),
    };
    let connection = NbdConnection {
        stream,
        server: server.to_owned(),
        terms,
        requests: incoming,
        ending,
        max_in_flight: options.max_in_flight.max(1),
        timeout: options.timeout,
    };
    Ok((source, connection))
}

fn bitmap_context(name: &str) -> String {
    format!("qemu:dirty-bitmap:{name}")
}

/// An export of an NBD server.
///
/// Clones share the connection, which ends when the last is dropped. As a [`DiskSource`] it blocks, and so must
/// not be called on a thread that runs async tasks: it panics there rather than wait for itself. The async
/// calls are [`read`](Self::read) and [`dirty`](Self::dirty).
///
/// A read costs one copy, from the connection's buffer into the caller's.
#[derive(Clone)]
pub struct NbdSource {
    server: Arc<str>,
    export: Arc<str>,
    terms: Arc<Terms>,
    options: NbdOptions,
    requests: mpsc::Sender<Request>,
    ending: Ending,
}

impl NbdSource {
    /// Reads `len` bytes from `offset`; both together inside the disk. Longer reads than the server takes are
    /// split. Cancel-safe: a read that is dropped is answered to nobody.
    pub async fn read(&self, offset: u64, len: usize) -> Result<Bytes, NbdError> {
        let mut whole = Vec::new();
        for piece in self.pieces(offset, len as u64) {
            let bytes = bytes_of(self.ask(piece.want()).await?);
            let bytes = bytes.slice(piece.inner());
            if bytes.len() == len {
                return Ok(bytes);
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.into())
    }

    /// What is dirty in the bitmap of this name, which [`NbdOptions::bitmaps`] asked for: what changed since the
    /// bitmap was made. An error is never taken for "clean".
    pub async fn dirty(&self, bitmap: &str) -> Result<ExtentSet, NbdError> {
        let context = self.context(&bitmap_context(bitmap))?;
        let mut dirty = ExtentSet::new();
        let mut at = 0;
        while at < self.terms.size_bytes {
            let want = self.status_request(context, at, self.terms.size_bytes);
            for (len, flags) in pairs_of(self.ask(want).await?) {
                let end = (at + u64::from(len)).min(self.terms.size_bytes);
                if flags & DIRTY != 0 {
                    dirty.extend(Extent::from_range(at..end));
                }
                at = end;
            }
        }
        Ok(dirty)
    }

    fn context(&self, name: &str) -> Result<u32, NbdError> {
        let found = self.terms.contexts.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
        found.ok_or_else(|| NbdError::NoContext {
            server: self.server.to_string(),
            export: self.export.to_string(),
            context: name.to_owned(),
        })
    }

    /// A status request from `at`, which the caller makes a multiple of the server's block, to `end` at most.
    fn status_request(&self, context: u32, at: u64, end: u64) -> Want {
        let block = u64::from(self.terms.min_block);
        let end = end.next_multiple_of(block).min(self.terms.size_bytes).min(at + STATUS_BYTES);
        Want::Status { context, offset: at, len: (end - at) as u32 }
    }

    /// Whole blocks of the server that cover a read, each no longer than it takes.
    fn pieces(&self, offset: u64, len: u64) -> impl Iterator<Item = Piece> + use<> {
        let block = u64::from(self.terms.min_block);
        let longest = self.max_read_bytes();
        let (size, end) = (self.terms.size_bytes, offset + len);
        let mut at = offset;
        std::iter::from_fn(move || {
            let outer_start = at / block * block;
            let inner = at..end.min(outer_start + longest);
            if inner.is_empty() {
                return None;
            }
            at = inner.end;
            let outer_end = inner.end.next_multiple_of(block).min(size);
            Some(Piece { outer: outer_start..outer_end, inner })
        })
    }

    /// Whole blocks of the server.
    fn max_read_bytes(&self) -> u64 {
        let block = u64::from(self.terms.min_block);
        let longest = u64::from(self.options.max_read_bytes.min(self.terms.max_bytes));
        (longest / block * block).max(block)
    }

    async fn ask(&self, want: Want) -> Result<Answer, NbdError> {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request { want, answer }).await.is_err() {
            return Err(self.ended());
        }
        answered.await.unwrap_or_else(|_| Err(self.ended()))
    }

    fn ask_blocking(&self, want: Want) -> Result<Answer, NbdError> {
        let (answer, answered) = oneshot::channel();
        if self.requests.blocking_send(Request { want, answer }).is_err() {
            return Err(self.ended());
        }
        answered.blocking_recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// Why there is no connection any more.
    fn ended(&self) -> NbdError {
        let dropped = || NbdError::Closed { server: self.server.to_string(), problem: "nobody runs it".into() };
        self.ending.get().cloned().unwrap_or_else(dropped)
    }
}

/// A part of a read.
struct Piece {
    /// What is asked of the server.
    outer: Range<u64>,
    /// What of it is wanted.
    inner: Range<u64>,
}

impl Piece {
    fn want(&self) -> Want {
        Want::Read { offset: self.outer.start, len: (self.outer.end - self.outer.start) as u32 }
    }

    /// What is wanted, in the answer.
    fn inner(&self) -> Range<usize> {
        let from = (self.inner.start - self.outer.start) as usize;
        from..from + (self.inner.end - self.inner.start) as usize
    }
}

impl DiskSource for NbdSource {
    fn size_bytes(&self) -> u64 {
        self.terms.size_bytes
    }

    fn identity(&self) -> Option<String> {
        self.options.identity.clone()
    }

    fn point(&self) -> Option<String> {
        self.options.point.clone()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { max_read_bytes: self.max_read_bytes(), max_in_flight: self.options.max_in_flight.max(1) }
    }

    fn notes(&self) -> Vec<String> {
        let silent = self.context(ALLOCATION).is_err();
        let note = || format!("the NBD server at {} does not say which parts are holes: all is read", self.server);
        silent.then(note).into_iter().collect()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let Ok(context) = self.context(ALLOCATION) else {
            return Ok(Extent::from_range(range).map(SourceExtent::data).into_iter().collect());
        };
        let block = u64::from(self.terms.min_block);
        let mut found: Vec<SourceExtent> = Vec::new();
        let mut at = range.start / block * block;
        for (len, flags) in pairs_of(self.ask_blocking(self.status_request(context, at, range.end))?) {
            let described = at.max(range.start)..(at + u64::from(len)).min(range.end);
            at += u64::from(len);
            let Some(extent) = Extent::from_range(described) else { continue };
            if found.len() >= max.max(1) {
                break;
            }
            found.push(SourceExtent { extent, allocated: flags & HOLE == 0, reads_as_zero: flags & ZERO != 0 });
        }
        Ok(found)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        for piece in self.pieces(offset, buf.len() as u64) {
            let bytes = bytes_of(self.ask_blocking(piece.want())?);
            let at = (piece.inner.start - offset) as usize;
            let inner = piece.inner();
            buf[at..at + inner.len()].copy_from_slice(&bytes[inner]);
        }
        Ok(())
    }
}

impl fmt::Debug for NbdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NbdSource").field("server", &self.server).field("export", &self.export).finish_non_exhaustive()
    }
}

/// The connection answers a read with bytes and a status with pairs; both are made in one place.
fn bytes_of(answer: Answer) -> Bytes {
    match answer {
        Answer::Bytes(bytes) => bytes,
        Answer::Status(_) => unreachable!("a read is answered with bytes"),
    }
}

fn pairs_of(answer: Answer) -> Vec<(u32, u32)> {
    match answer {
        Answer::Status(pairs) => pairs,
        Answer::Bytes(_) => unreachable!("a status is answered with pairs"),
    }
}
