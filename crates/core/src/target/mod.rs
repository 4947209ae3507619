//! Where pages go.
//!
//! A [`PageTarget`] is one replica's home: a page blob, or a local file that behaves like one. The trait
//! says exactly what the protocol needs and nothing about how often to retry: every method is one
//! attempt, and its error says whether another may help. All backends pass the same conformance suite
//! (`tests/target_conformance.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::size::PageRange;
pub use crate::vhd_footer::FOOTER_BYTES;
pub(crate) use crate::vhd_footer::{fixed_footer, is_footer_of};

pub mod azure;
mod diagnose;
pub mod local;

/// Short text pairs kept on the target and on its snapshots. Keys are lower-case ASCII letters, digits
/// and `_`, starting with a letter; values are printable ASCII.
pub type Metadata = BTreeMap<String, String>;

/// One replica's home.
///
/// Every method is one attempt, safe to drop at any await (the request may or may not have taken
/// effect), and may be called from several tasks at once. Ranges lie inside the target, or the call
/// fails with [`TargetError::OutOfRange`].
///
/// A service may carry out a request long after it was given up as lost. So everything that changes the
/// target says what it must find: pages a [`Fence`], all else an [`ETag`], and the sequence number only
/// goes up. A late request then finds a target that has moved on, and changes nothing.
#[async_trait]
pub trait PageTarget: fmt::Debug + Send + Sync + 'static {
    /// Where this is, without secrets; stable, so that it names the checkpoint.
    fn location(&self) -> String;

    /// What this target can do.
    fn capabilities(&self) -> Capabilities;

    /// Length, metadata and fencing state; `None` when nothing is there.
    async fn state(&self) -> Result<Option<TargetState>, TargetError>;

    /// Creates the target: `len` bytes, all reading as zero, sequence number 0.
    /// [`TargetError::AlreadyExists`] when something is there.
    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError>;

    /// Changes the length, if `etag` is still the target's. New bytes read as zero; bytes past a smaller end
    /// are gone.
    async fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError>;

    /// Writes `data` at `range`, whose length it has. At most [`Capabilities::max_put_bytes`]. The
    /// target checks the bytes by [`Capabilities::checksum`] before it keeps them. Either every page is
    /// written or the call fails; after a failure each page holds its old or its new bytes.
    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError>;

    /// Makes `range` read as zero and frees its pages.
    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError>;

    /// Makes every acknowledged put and clear survive a power loss. At once where an acknowledgement
    /// already means that.
    async fn flush(&self) -> Result<(), TargetError>;

    /// Reads `range`; exactly its length comes back.
    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError>;

    /// The pages inside `window` that may hold data, in order, merged; the rest reads as zero.
    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError>;

    /// The pages inside `window` that were written or cleared since `since`, in order, merged; `None` when
    /// this target cannot tell, or is not trusted to ([`Capabilities::diff`]).
    async fn changed_ranges(
        &self,
        since: &SnapshotId,
        window: Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError>;

    /// Replaces the metadata, if `etag` is still the target's.
    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError>;

    /// Raises the sequence number that every later [`Fence`] must carry to `sequence`. It never goes down:
    /// where it is higher already, nothing changes.
    async fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError>;

    /// Takes an immutable snapshot of bytes and length, with metadata of its own, if `etag` is still the
    /// target's. The target's own etag stays.
    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError>;

    /// All snapshots with their metadata, oldest first.
    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError>;

    /// Deletes a snapshot; deleting one that is gone is no error.
    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError>;

    /// Takes the exclusive lease under the id that the caller proposes. Taking it again under the same id
    /// succeeds and starts its time anew. [`TargetError::LeaseHeld`] when another id holds it.
    async fn acquire_lease(&self, proposed: LeaseId, duration: Duration) -> Result<(), TargetError>;

    /// Starts the lease's time anew. [`TargetError::LeaseLost`] when it is no longer ours.
    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError>;

    /// Gives the lease up; giving up one that is not ours is no error.
    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError>;

    /// Takes the lease away from whoever holds it, at once; where nobody does, nothing happens. A target
    /// whose lease goes with its holder's process ([`LeaseKind::FileLock`]) cannot do that while the holder
    /// lives, and answers [`TargetError::LeaseHeld`].
    async fn break_lease(&self) -> Result<(), TargetError>;

    /// Stores a small immutable object beside the target, whole or not at all, replacing one of the same
    /// name. Names are lower-case letters, digits, `.` and `-`.
    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError>;

    /// Reads an object of at most `max_len` bytes; `None` when it is not there.
    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError>;

    /// The names of the objects that start with `prefix`, in order.
    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError>;

    /// Deletes an object; deleting one that is gone is no error. One that is put anew meanwhile may stay.
    async fn delete_object(&self, name: &str) -> Result<(), TargetError>;
}

/// What a target can do, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// How a second writer is kept out.
    pub lease: LeaseKind,
    /// Immutable snapshots can be taken.
    pub snapshots: bool,
    /// What is sent with each put so that damage on the way is noticed.
    pub checksum: Checksum,
    /// The most bytes of one put.
    pub max_put_bytes: u64,
    /// Whether the target can say what changed since a snapshot.
    pub diff: DiffTrust,
    /// Which way its bytes go.
    pub route: TargetRoute,
}

impl Capabilities {
    /// Whether a lease whose holder died ends by itself after its term.
    pub fn lease_runs_out(&self) -> bool {
        self.lease == LeaseKind::Service
    }
}

/// Which way a target's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetRoute {
    /// They stay on this machine.
    Local,
    /// To checked private addresses only.
    PrivateLink,
    /// To whatever its name resolves to, over the internet too.
    Any,
}

/// How a target keeps a second writer out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseKind {
    /// A lease with a term, checked by the service on every write.
    Service,
    /// A lock on a file, held while the process lives.
    FileLock,
    /// It cannot: it has no lease, like a managed disk that is being uploaded to, and answers every call about
    /// one with success. The checkpoint is the fence then: who holds it writes. So there must be a state folder,
    /// and no process on another machine may write to the same target.
    None,
}

/// Which checksum guards a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    /// CRC-64/NVME, checked by the service.
    Crc64,
    /// None: a write within one machine has no way to travel on which its bytes could change unnoticed.
    None,
}

/// Whether [`PageTarget::changed_ranges`] may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffTrust {
    /// Asked first for something that an honest service must refuse; believed only if it does.
    Probed,
    /// Not available.
    Unavailable,
}

/// What is at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Length in bytes, footer included.
    pub len: u64,
    /// The pairs kept on it.
    pub metadata: Metadata,
    /// The number that every [`Fence`] must carry.
    pub sequence: u64,
    /// Changes with every change of the target.
    pub etag: ETag,
    /// Whether somebody holds the lease now.
    pub leased: bool,
}

/// What every write carries, so that the service refuses it when it comes from an owner of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Who writes.
    pub lease: LeaseId,
    /// The sequence number that the target must have.
    pub sequence: u64,
}

/// Which bytes a read means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// The target as it is.
    Live,
    /// An immutable snapshot of it.
    Snapshot(SnapshotId),
}

/// The name of a writer's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(Uuid);

impl LeaseId {
    /// A new, random one.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id that is this UUID.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The UUID that the id is.
    pub const fn into_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The service's mark of a version; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

/// The service's name of a snapshot; opaque, sorts by age within a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotId(pub String);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A snapshot and the pairs kept on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Its pairs.
    pub metadata: Metadata,
}

/// What can go wrong at a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No answer, a broken answer, or an answer that asks to come back later. Trying again may help; the
    /// request may have taken effect.
    #[error("{operation} at {location} did not complete ({reason})")]
    Transient {
        /// What was tried.
        operation: &'static str,
        /// Where, without secrets.
        location: String,
        /// The service's or the system's words, without secrets.
        reason: String,
        /// The time the service asked for.
        retry_after: Option<Duration>,
    },
    /// The name leads to addresses that bytes must not go to. Nothing was sent.
    #[error("{operation} at {location} refused here: {reason}")]
    NotPrivate {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The name, its addresses, and what kind each is.
        reason: String,
    },
    /// The lease is no longer ours, or the sequence number is no longer the one we write with.
    #[error("{operation} at {location} refused: another writer took over ({reason})")]
    Fenced {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The service's words.
        reason: String,
    },
    /// Somebody else holds the lease.
    #[error("{location} is leased by another writer")]
    LeaseHeld {
        /// Where.
        location: String,
    },
    /// A lease that we held ran out or was broken.
    #[error("the lease on {location} is lost ({reason})")]
    LeaseLost {
        /// Where.
        location: String,
        /// The service's words.
        reason: String,
    },
    /// Nothing is there.
    #[error("{operation}: there is nothing at {location} ({reason})")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The service's words: which part is missing.
        reason: String,
    },
    /// The container of the blob does not exist.
    #[error("{operation}: the container of {location} does not exist")]
    ContainerNotFound {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
    },
    /// Something is there already.
    #[error("{location} exists already")]
    AlreadyExists {
        /// Where.
        location: String,
    },
    /// What is there is no page blob.
    #[error("{location} is a {found}, not a page blob")]
    WrongKind {
        /// Where.
        location: String,
        /// What it is.
        found: String,
    },
    /// A condition other than the fence did not hold.
    #[error("{operation} at {location}: somebody changed it in between ({reason})")]
    Changed {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The service's words.
        reason: String,
    },
    /// The credential is missing, wrong or has expired.
    #[error("{operation} at {location}: the credential was not accepted ({reason})")]
    Unauthenticated {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The service's words.
        reason: String,
    },
    /// The credential is good but may not do this.
    #[error("{operation} at {location} is not permitted ({reason})")]
    Forbidden {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The service's words.
        reason: String,
    },
    /// The bytes that arrived are not the bytes that were sent.
    #[error("{operation} at {location}: checksum mismatch ({reason})")]
    Checksum {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// The service's words.
        reason: String,
    },
    /// The range is not inside the target, or too long.
    #[error("{operation} at {location}: {range} does not fit ({limit})")]
    OutOfRange {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// What was asked.
        range: String,
        /// What would fit.
        limit: String,
    },
    /// The URL, credential or path cannot be used.
    #[error("cannot use {location} as a target: {problem}")]
    Unusable {
        /// What was given, without secrets.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The local file system failed.
    #[error("{operation} at {location} failed")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// Why.
        source: std::io::Error,
    },
    /// The service refused for a reason that is in no other variant.
    #[error("{operation} at {location} refused: {status} {code} ({reason})")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// HTTP status.
        status: u16,
        /// The service's error code.
        code: String,
        /// The service's words, without secrets.
        reason: String,
    },
    /// The answer cannot be understood.
    #[error("{operation} at {location}: the answer makes no sense ({problem})")]
    BadAnswer {
        /// What was tried.
        operation: &'static str,
        /// Where.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
}
