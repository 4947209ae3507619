//! A page-blob service in this process: what Azure documents, including what the emulator does not enforce.
//!
//! It speaks HTTP/1.1 on loopback, path style, for page blobs and small block blobs: leases, sequence numbers,
//! conditions, checksums, snapshots, page lists with paging, diffs with interleaved ranges. Every operation is
//! one step under one lock (`operations`). Faults are ordered or seeded ([`Faults`]); every request is counted
//! ([`Stats`]) and, if wanted, journalled. It encodes what the documents say; where they are silent, what
//! recordings of the service show. It is no proof of what Azure does.

mod account;
pub(crate) mod answer;
mod auth;
mod blob;
mod clock;
pub(crate) mod connection;
mod faults;
mod lease;
mod operations;
mod pages;
mod received;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod stats;
mod throttle;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::account::Account;
use self::blob::Content;
use self::clock::Clock;
use self::operations::Step;
use self::pages::PageMap;
use self::received::Received;
use self::request::Call;
use self::stats::{Ending, Recorder};

pub use self::auth::Auth;
pub use self::faults::{Fault, Faults, Rates, Slowdown};
pub use self::pages::{PageKind, PageRun, Storage};
pub use self::refusal::Refusal;
pub use self::request::Op;
pub use self::stats::{JournalEntry, Stats};
pub use self::throttle::{BusyAbove, Limits};

/// The account's name.
pub const ACCOUNT: &str = "devstoreaccount1";

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The port on loopback; 0 for any.
    pub port: u16,
    /// Who may ask.
    pub auth: Auth,
    /// Whether bytes are kept.
    pub storage: Storage,
    /// The most entries of one list, so that paging is met with little data.
    pub list_limit: usize,
    /// How many requests the journal remembers; 0 for none.
    pub journal_limit: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { port: 0, auth: Auth::Open, storage: Storage::Keep, list_limit: 10_000, journal_limit: 10_000 }
    }
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct PageBlobServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    account: Mutex<Account>,
    recorder: Mutex<Recorder>,
    faults: Faults,
    clock: Clock,
    auth: Mutex<Auth>,
    storage: Storage,
    /// Writes that were answered with a time-out and wait to be carried out.
    late: Mutex<Vec<(Call, Received)>>,
}

impl PageBlobServer {
    /// Starts with the defaults: no authentication, everything kept.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub async fn start() -> Self {
        Self::start_with(ServerOptions::default()).await
    }

    /// Starts with `options`.
    ///
    /// # Panics
    /// When the port is taken.
    pub async fn start_with(options: ServerOptions) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await.expect("the port on loopback is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            account: Mutex::new(Account::new(options.storage, options.list_limit)),
            recorder: Mutex::new(Recorder::new(options.journal_limit)),
            faults: Faults::default(),
            clock: Clock::default(),
            auth: Mutex::new(options.auth),
            storage: options.storage,
            late: Mutex::default(),
        });
        let accepting = tokio::spawn(connection::accept(listener, Arc::clone(&shared)));
        Self { shared, address, accepting }
    }

    /// `http://127.0.0.1:PORT/devstoreaccount1`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The faults on order.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The counters so far.
    pub fn stats(&self) -> Stats {
        lock(&self.shared.recorder).stats.clone()
    }

    /// Counters and journal from zero.
    pub fn reset_stats(&self) {
        lock(&self.shared.recorder).reset();
    }

    /// The newest requests, oldest first.
    pub fn journal(&self) -> Vec<JournalEntry> {
        lock(&self.shared.recorder).journal.iter().cloned().collect()
    }

    /// Moves the server's clock ahead: leases and signatures run out.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// From now on requests must prove who sent them in this way: a key was rotated, a signature revoked.
    pub fn set_auth(&self, auth: Auth) {
        *lock(&self.shared.auth) = auth;
    }

    /// From now on the account says that it is of this kind; what it can do stays the same.
    pub fn set_account_kind(&self, kind: &'static str) {
        lock(&self.shared.account).kind = kind;
    }

    /// Lists the blobs of a container, by name.
    pub fn blob_names(&self, container: &str) -> Vec<String> {
        let account = lock(&self.shared.account);
        account.container(container).map(|container| container.blobs.keys().cloned().collect()).unwrap_or_default()
    }

    /// Deletes a container with all that is in it, leased or not.
    pub fn delete_container(&self, name: &str) {
        lock(&self.shared.account).containers.remove(name);
    }

    /// Creates a container.
    ///
    /// # Panics
    /// When there is one of that name.
    pub fn create_container(&self, name: &str) {
        let now = self.shared.clock.now();
        lock(&self.shared.account).create_container(name, now).expect("the container is new");
    }

    /// Stores a block blob at `container/blob`.
    ///
    /// # Panics
    /// When there is no such container.
    pub fn put_block_blob(&self, path: &str, bytes: &[u8]) {
        let now = self.shared.clock.now();
        let content = Content::Block(bytes.to_vec().into());
        lock(&self.shared.account)
            .put_blob(split(path), content, BTreeMap::new(), 0, now)
            .expect("the container is there");
    }

    /// Deletes the blob at `container/blob` with all its snapshots.
    pub fn delete_blob(&self, path: &str) {
        let (container, blob) = split(path);
        if let Ok(container) = lock(&self.shared.account).container_mut(container) {
            container.blobs.remove(blob);
        }
    }

    /// The page blob at `container/blob`, as it is now.
    pub fn blob(&self, path: &str) -> Option<BlobView> {
        let (container, blob) = split(path);
        let account = lock(&self.shared.account);
        let blob = account.container(container).ok()?.blobs.get(blob)?;
        let pages = blob.now.content.pages().ok()?;
        Some(BlobView {
            bytes: pages.read(&(0..pages.len())),
            written: pages.written(&(0..pages.len())).into_iter().map(|run| run.range).collect(),
            metadata: blob.now.metadata.clone(),
            sequence: blob.now.sequence,
            snapshots: blob.snapshots.keys().cloned().collect(),
        })
    }

    /// Damages stored bytes behind everybody's back, those of `container/blob` or, with `?snapshot=NAME` after
    /// that, of one of its snapshots. A page that was not written is from now on.
    ///
    /// # Panics
    /// When there is no such page blob or snapshot.
    pub fn corrupt(&self, path: &str, offset: u64, bytes: &[u8]) {
        self.with_pages(path, |pages| pages.damage(offset, bytes));
    }

    /// Loses whole pages behind everybody's back: they are not written any more. `path` as for
    /// [`Self::corrupt`].
    ///
    /// # Panics
    /// When there is no such page blob or snapshot.
    pub fn lose(&self, path: &str, pages: &Range<u64>) {
        self.with_pages(path, |stored| stored.lose(pages));
    }

    fn with_pages(&self, path: &str, change: impl FnOnce(&mut PageMap)) {
        let (container, blob) = split(path);
        let (blob, snapshot) =
            blob.split_once("?snapshot=").map_or((blob, None), |(blob, snapshot)| (blob, Some(snapshot)));
        let mut account = lock(&self.shared.account);
        let container = account.container_mut(container).expect("the container is there");
        let blob = container.blobs.get_mut(blob).expect("the blob is there");
        let revision = match snapshot {
            Some(name) => blob.snapshots.get_mut(name).expect("the snapshot is there"),
            None => &mut blob.now,
        };
        change(revision.content.pages_mut().expect("it is a page blob"));
    }

    /// Carries out the writes that were answered with a time-out, under the conditions that they carry and what
    /// these find now; the status of each. The journal tells of them as begun now.
    pub fn release_late_writes(&self) -> Vec<u16> {
        let late = std::mem::take(&mut *lock(&self.shared.late));
        let carry_out = |(call, body): &(Call, Received)| {
            let began = Instant::now();
            let result = self.shared.step(call, body).map(|answer| answer.status);
            let ending = Ending { call, began, received: body.len, sent: 0, result, answered: false };
            lock(&self.shared.recorder).note(&ending);
            result.unwrap_or_else(|refusal| refusal.status)
        };
        late.iter().map(carry_out).collect()
    }
}

impl Drop for PageBlobServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a test wants to know of a page blob.
#[derive(Clone, Debug)]
pub struct BlobView {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Where pages are written.
    pub written: Vec<Range<u64>>,
    /// Its pairs.
    pub metadata: BTreeMap<String, String>,
    /// Its sequence number.
    pub sequence: i64,
    /// The names of its snapshots, oldest first.
    pub snapshots: Vec<String>,
}

impl Shared {
    /// Does what is asked, under the lock.
    fn step(&self, call: &Call, body: &Received) -> Result<answer::Answer, Refusal> {
        let mut account = lock(&self.account);
        Step { account: &mut account, call, body, now: self.clock.now() }.run()
    }
}

fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
