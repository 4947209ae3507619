//! A replica in a local file that behaves like a page blob.
//!
//! It lets a migration run, and be tested, without a cloud, and it is the stand-in that the conformance
//! suite holds against the real service. The replica is a sparse file: the disk's bytes from offset 0, then
//! the footer's page. Once sealed, the file *is* a fixed VHD. Beside it, in `<file name>.libmigrate/`:
//!
//! | name | holds |
//! | --- | --- |
//! | `state.json` | metadata, sequence number, etag: what a blob has in its headers |
//! | `lock` | the lease: an exclusive file lock, and who holds it in words |
//! | `snapshots/<id>.vhd`, `.json` | one snapshot's bytes and metadata |
//! | `objects/<name>` | one object each |
//!
//! Invariants:
//!
//! - A file that is not ours is never written: the replica exists when both the file and `state.json` do,
//!   and the file's move to its place is the last step of creation.
//! - One writer: whoever holds the lock. It dies with the process, so there is no lease to wait out.
//! - A write checks lease and sequence number and lands under one guard. Taking the lease away, or setting
//!   another sequence number, waits for the writes under way; no write can land after it, not even one whose
//!   caller stopped waiting.
//! - Small files change whole or not at all, also by a power loss. Pages are durable after
//!   [`flush`](PageTarget::flush).
//!
//! Where it differs from a page blob: the lease has no term, and two handles cannot share it, even under one
//! lease id; the etag counts changes of length, metadata and sequence number only (pages are guarded by the
//! lease); puts carry no checksum. The files can be read by their owner only, as disks hold secrets.
//!
//! All file work runs on the runtime's blocking threads. The hand-over costs some ten microseconds, a 4 MiB
//! write into the page cache a millisecond and a throttled one far more, which would stall a single-threaded
//! runtime. The bytes themselves move by reference.

mod creation;
pub(crate) mod durable_file;
mod home;
mod lease_lock;
mod object_store;
mod pages;
mod place;
mod snapshot_store;
mod state_file;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use self::home::Home;
use self::place::Place;
use super::{
    Capabilities, Checksum, DiffTrust, ETag, Fence, LeaseId, LeaseKind, Metadata, PageTarget, Snapshot, SnapshotId,
    TargetError, TargetRoute, TargetState, View,
};
use crate::size::{MAX_PUT_BYTES, PageRange};

/// A replica in a local file.
///
/// Cheap to make: nothing is opened before it is needed. Dropping it gives up its lease, once the writes
/// under way have ended.
#[derive(Debug)]
pub struct LocalTarget {
    home: Arc<Home>,
}

impl LocalTarget {
    /// The replica at `path`, which need not exist yet; creation makes its folder, too.
    ///
    /// # Errors
    ///
    /// [`TargetError::Unusable`] when `path` does not end in a file name.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, TargetError> {
        let place = Place::new(path.as_ref())?;
        Ok(Self { home: Arc::new(Home::new(place)) })
    }

    /// Runs `work` on a blocking thread. When the caller stops waiting, work that has begun still ends.
    async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T, TargetError>
    where
        T: Send + 'static,
        F: FnOnce(&Home) -> Result<T, TargetError> + Send + 'static,
    {
        let home = Arc::clone(&self.home);
        match tokio::task::spawn_blocking(move || work(&home)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(TargetError::Transient {
                    operation,
                    location: self.location(),
                    reason: "the runtime is shutting down".into(),
                    retry_after: None,
                }),
            },
        }
    }
}

#[async_trait]
impl PageTarget for LocalTarget {
    fn location(&self) -> String {
        self.home.place.location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease: LeaseKind::FileLock,
            snapshots: true,
            // A checksum of the bytes in memory, taken by the very process that then writes them, would find
            // nothing; reading every put back would come from the page cache, and find nothing either. Damage
            // at rest is what `verify` finds.
            checksum: Checksum::None,
            // A file has no limit; the page blob's keeps the two exchangeable.
            max_put_bytes: MAX_PUT_BYTES,
            diff: DiffTrust::Unavailable,
            route: TargetRoute::Local,
        }
    }

    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        self.run("get state", Home::state).await
    }

    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        let metadata = metadata.clone();
        self.run("create", move |home| home.create(len, metadata)).await
    }

    async fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        let etag = etag.clone();
        self.run("resize", move |home| home.resize(len, lease, &etag)).await
    }

    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        self.run("put pages", move |home| home.put(range, &data, fence)).await
    }

    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.run("clear pages", move |home| home.clear(range, fence)).await
    }

    async fn flush(&self) -> Result<(), TargetError> {
        self.run("flush", Home::flush).await
    }

    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        let view = view.clone();
        self.run("read pages", move |home| home.read(&view, range)).await
    }

    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        let view = view.clone();
        self.run("get page ranges", move |home| home.page_ranges(&view, window)).await
    }

    async fn changed_ranges(
        &self,
        _since: &SnapshotId,
        _window: Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError> {
        Ok(None)
    }

    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        let (metadata, etag) = (metadata.clone(), etag.clone());
        self.run("set metadata", move |home| home.set_metadata(metadata, lease, &etag)).await
    }

    async fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.run("raise sequence number", move |home| home.raise_sequence(sequence, lease)).await
    }

    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError> {
        let (metadata, etag) = (metadata.clone(), etag.clone());
        // A copy can take long: it stops soon after the caller stopped waiting.
        let cancelled = CancellationToken::new();
        let _cancel_on_drop = cancelled.clone().drop_guard();
        self.run("take snapshot", move |home| home.snapshot(metadata, lease, &etag, &cancelled)).await
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        self.run("list snapshots", |home| snapshot_store::list(&home.place)).await
    }

    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        let id = id.clone();
        self.run("delete snapshot", move |home| snapshot_store::delete(&home.place, &id)).await
    }

    /// The lease has no term: `duration` is not used.
    async fn acquire_lease(&self, proposed: LeaseId, _duration: Duration) -> Result<(), TargetError> {
        self.run("acquire lease", move |home| home.acquire_lease(proposed)).await
    }

    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.run("renew lease", move |home| home.renew_lease(lease)).await
    }

    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.run("release lease", move |home| {
            home.release_lease(lease);
            Ok(())
        })
        .await
    }

    /// A living process cannot be kept from a write that it has begun: stop it instead.
    async fn break_lease(&self) -> Result<(), TargetError> {
        self.run("break lease", Home::break_lease).await
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        let name = name.to_owned();
        self.run("put object", move |home| object_store::put(&home.place, &name, &data)).await
    }

    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
        let name = name.to_owned();
        self.run("get object", move |home| object_store::get(&home.place, &name, max_len)).await
    }

    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        let prefix = prefix.to_owned();
        self.run("list objects", move |home| object_store::list(&home.place, &prefix)).await
    }

    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        let name = name.to_owned();
        self.run("delete object", move |home| object_store::delete(&home.place, &name)).await
    }
}
