//! A target that writes every put down before it passes it on. The log is in the page cache when the put starts,
//! so a killed process leaves it whole.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::size::PageRange;
use libmigrate::target::{
    Capabilities, ETag, Fence, LeaseId, Metadata, PageTarget, Snapshot, SnapshotId, TargetError, TargetState, View,
};

/// A target with its log.
#[derive(Debug)]
pub(crate) struct Logged {
    inner: Arc<dyn PageTarget>,
    log: File,
}

impl Logged {
    pub(crate) fn new(inner: Arc<dyn PageTarget>, log: &Path) -> std::io::Result<Self> {
        Ok(Self { inner, log: File::options().append(true).create(true).open(log)? })
    }
}

/// How many puts a log names.
pub(crate) fn puts(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |metadata| metadata.len() / 16)
}

/// What a log comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) puts: u64,
    pub(crate) bytes: u64,
    /// Of these, put more than once.
    pub(crate) again: u64,
}

/// Reads a log; one that nobody began is empty.
pub(crate) fn sums(log: &Path) -> std::io::Result<Sums> {
    let bytes = match std::fs::read(log) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Sums::default()),
        read => read?,
    };
    let number = |eight: &[u8]| u64::from_le_bytes(eight.try_into().expect("eight bytes"));
    let (entries, _) = bytes.as_chunks::<16>();
    let puts: Vec<Extent> =
        entries.iter().filter_map(|entry| Extent::new(number(&entry[..8]), number(&entry[8..]))).collect();
    let (count, bytes) = (puts.len() as u64, puts.iter().map(|put| put.len_bytes()).sum::<u64>());
    let covered = puts.into_iter().collect::<ExtentSet>().len_bytes();
    Ok(Sums { puts: count, bytes, again: bytes - covered })
}

#[async_trait]
impl PageTarget for Logged {
    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        let entry = [range.offset().to_le_bytes(), range.len_bytes().to_le_bytes()].concat();
        // One write of 16 bytes in append mode is whole or not there.
        (&self.log).write_all(&entry).map_err(|source| TargetError::Io {
            operation: "log a put",
            location: self.location(),
            source,
        })?;
        self.inner.put(range, data, fence).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        self.inner.state().await
    }

    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        self.inner.create(len, metadata).await
    }

    async fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.inner.resize(len, lease, etag).await
    }

    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.inner.clear(range, fence).await
    }

    async fn flush(&self) -> Result<(), TargetError> {
        self.inner.flush().await
    }

    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        self.inner.read(view, range).await
    }

    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        self.inner.page_ranges(view, window).await
    }

    async fn changed_ranges(
        &self,
        since: &SnapshotId,
        window: Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError> {
        self.inner.changed_ranges(since, window).await
    }

    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.inner.set_metadata(metadata, lease, etag).await
    }

    async fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.inner.raise_sequence(sequence, lease).await
    }

    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError> {
        self.inner.snapshot(metadata, lease, etag).await
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        self.inner.snapshots().await
    }

    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        self.inner.delete_snapshot(id).await
    }

    async fn acquire_lease(&self, proposed: LeaseId, duration: Duration) -> Result<(), TargetError> {
        self.inner.acquire_lease(proposed, duration).await
    }

    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.inner.renew_lease(lease).await
    }

    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.inner.release_lease(lease).await
    }

    async fn break_lease(&self) -> Result<(), TargetError> {
        self.inner.break_lease().await
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        self.inner.put_object(name, data).await
    }

    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
        self.inner.get_object(name, max_len).await
    }

    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        self.inner.list_objects(prefix).await
    }

    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        self.inner.delete_object(name).await
    }
}
