//! The storage account: containers, and the blobs in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::blob::{Blob, Content, ETag, Revision};
use super::clock::snapshot_date;
use super::lease::Lease;
use super::pages::Storage;
use super::refusal::{self, Refusal};
use super::request::Call;

/// Everything that is stored.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) storage: Storage,
    /// The most ranges of one page list, and the most blobs of one list of blobs.
    pub(crate) list_limit: usize,
    /// What `x-ms-account-kind` says.
    pub(crate) kind: &'static str,
    changes: u64,
    last_snapshot: Timestamp,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) etag: ETag,
    pub(crate) modified: Timestamp,
    pub(crate) blobs: BTreeMap<String, Blob>,
    /// The blocks of each block blob that are not committed, by id.
    pub(crate) blocks: BTreeMap<String, BTreeMap<String, Bytes>>,
}

impl Account {
    pub(crate) fn new(storage: Storage, list_limit: usize) -> Self {
        Self { storage, list_limit, kind: "StorageV2", ..Self::default() }
    }

    pub(crate) fn next_etag(&mut self) -> ETag {
        self.changes += 1;
        ETag(self.changes)
    }

    /// A name that no snapshot has and that sorts after all others.
    pub(crate) fn next_snapshot_name(&mut self, now: Timestamp) -> String {
        // The name counts in steps of 100 ns.
        let step = std::time::Duration::from_nanos(100);
        self.last_snapshot = now.max(self.last_snapshot + step);
        snapshot_date(self.last_snapshot)
    }

    pub(crate) fn create_container(&mut self, name: &str, now: Timestamp) -> Result<&Container, Refusal> {
        let etag = self.next_etag();
        if self.containers.contains_key(name) {
            return Err(refusal::CONTAINER_ALREADY_EXISTS);
        }
        let container = Container { etag, modified: now, blobs: BTreeMap::new(), blocks: BTreeMap::new() };
        Ok(self.containers.entry(name.to_owned()).or_insert(container))
    }

    pub(crate) fn container(&self, name: &str) -> Result<&Container, Refusal> {
        self.containers.get(name).ok_or(refusal::CONTAINER_NOT_FOUND)
    }

    pub(crate) fn container_mut(&mut self, name: &str) -> Result<&mut Container, Refusal> {
        self.containers.get_mut(name).ok_or(refusal::CONTAINER_NOT_FOUND)
    }

    /// The blob that a request is about.
    pub(crate) fn blob(&self, call: &Call) -> Result<&Blob, Refusal> {
        self.container(&call.container)?.blobs.get(&call.blob).ok_or(refusal::BLOB_NOT_FOUND)
    }

    /// The blob that a request will change. Snapshots cannot be changed.
    pub(crate) fn blob_mut(&mut self, call: &Call) -> Result<&mut Blob, Refusal> {
        if call.query.get("snapshot").is_some() {
            return Err(refusal::INVALID_QUERY_PARAMETER_VALUE);
        }
        self.container_mut(&call.container)?.blobs.get_mut(&call.blob).ok_or(refusal::BLOB_NOT_FOUND)
    }

    /// Puts `content` where there was nothing, or in place of what there was; lease and snapshots stay.
    pub(crate) fn put_blob(
        &mut self,
        (container, blob): (&str, &str),
        content: Content,
        metadata: BTreeMap<String, String>,
        sequence: i64,
        now: Timestamp,
    ) -> Result<&Blob, Refusal> {
        let etag = self.next_etag();
        let incarnation = etag.0;
        let blobs = &mut self.container_mut(container)?.blobs;
        let revision = Revision { content, metadata, sequence, etag, created: now, modified: now, incarnation };
        let blob = blobs.entry(blob.to_owned()).or_insert_with(|| Blob {
            now: revision.clone(),
            lease: Lease::default(),
            snapshots: BTreeMap::new(),
        });
        blob.now = revision;
        blob.lease.forget_if_expired(now);
        Ok(blob)
    }
}
