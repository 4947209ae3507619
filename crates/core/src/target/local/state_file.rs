//! `state.json`: what a page blob keeps in its headers.
//!
//! Only the holder of the lock writes it (and creation, which holds the lock meanwhile); anybody may read
//! it, and sees an old or a new one, never a mixture. Puts and clears do not touch it: they need the lease
//! and the sequence number, both kept here, so no etag has to guard them.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durable_file;
use super::place::{Place, damaged, io_error};
use crate::target::{ETag, Metadata, SnapshotId, TargetError};

/// Raised when an older libmigrate could misread what a newer one writes.
const FORMAT: u32 = 1;

/// More than any record of ours needs (a page blob's metadata is at most 8 KiB); a longer file is not ours.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// The content of `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TargetRecord {
    format: u32,
    /// Tells this replica from an earlier one of the same name.
    incarnation: Uuid,
    /// Counts the changes of length, metadata and sequence number.
    changes: u64,
    /// The next snapshot's number. Kept, not derived from those that are there, so that no id is used twice.
    next_snapshot: u64,
    pub(super) sequence: u64,
    pub(super) metadata: Metadata,
}

impl TargetRecord {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self { format: FORMAT, incarnation: Uuid::new_v4(), changes: 1, next_snapshot: 1, sequence: 0, metadata }
    }

    pub(super) fn etag(&self) -> ETag {
        ETag(format!("{}-{}", self.incarnation, self.changes))
    }

    /// Has a new etag from now on.
    pub(super) fn touch(&mut self) {
        self.changes += 1;
    }

    /// A name for a snapshot that no earlier one had; sorts after all of them.
    pub(super) fn name_snapshot(&mut self) -> SnapshotId {
        let id = SnapshotId(format!("{:012}", self.next_snapshot));
        self.next_snapshot += 1;
        id
    }

    /// `None` when there is no state file.
    pub(super) fn load(place: &Place, operation: &'static str) -> Result<Option<Self>, TargetError> {
        let record: Option<Self> = read_record(&place.state(), operation)?;
        match record {
            Some(record) if record.changes == u64::MAX || record.next_snapshot == u64::MAX => {
                Err(damaged(&place.state(), "its counters are at their end, where no use brings them; restore it"))
            }
            record => Ok(record),
        }
    }

    pub(super) fn store(&self, place: &Place, operation: &'static str) -> Result<(), TargetError> {
        write_record(&place.state(), self, operation)
    }
}

/// The content of a snapshot's `.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    format: u32,
    pub(super) metadata: Metadata,
}

impl SnapshotRecord {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self { format: FORMAT, metadata }
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

pub(super) fn read_record<T: DeserializeOwned>(path: &Path, operation: &'static str) -> Result<Option<T>, TargetError> {
    let Some(bytes) = durable_file::read_bounded(path, MAX_RECORD_BYTES).map_err(io_error(operation, path))? else {
        return Ok(None);
    };
    let unreadable = |error: serde_json::Error| damaged(path, format!("the file is damaged ({error}); restore it"));
    // The version first: a newer format may have any other shape.
    let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if format != FORMAT {
        return Err(damaged(
            path,
            format!("it has format {format}, this libmigrate reads format {FORMAT}; use the version that wrote it"),
        ));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
}

pub(super) fn write_record<T: Serialize>(path: &Path, record: &T, operation: &'static str) -> Result<(), TargetError> {
    let bytes = serde_json::to_vec_pretty(record).map_err(|error| io_error(operation, path)(error.into()))?;
    durable_file::replace(path, &bytes).map_err(io_error(operation, path))
}
