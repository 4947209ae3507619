//! Snapshots: immutable copies of the replica in `snapshots/`.
//!
//! A snapshot is two files, `<id>.vhd` (the bytes) and `<id>.json` (its metadata). It exists when its
//! `.json` does: that is written last and removed first, each step durable before the next, so a crash
//! leaves bytes without a record, which nobody lists, but never a record without its bytes.
//!
//! Cost: independent of size where the file system shares blocks (XFS, btrfs); elsewhere the time and space
//! of what the replica has allocated.

use std::fs::{self, File};

use tokio_util::sync::CancellationToken;

use super::durable_file::{self, UNFINISHED};
use super::pages;
use super::place::{Place, damaged, io_error};
use super::state_file::{SnapshotRecord, read_record, write_record};
use crate::target::{Metadata, Snapshot, SnapshotId, TargetError};

const TAKE: &str = "take snapshot";

/// Takes the snapshot `id` of what the replica holds now. The caller keeps writers away meanwhile.
pub(super) fn take(
    place: &Place,
    id: &SnapshotId,
    metadata: Metadata,
    cancelled: &CancellationToken,
) -> Result<(), TargetError> {
    let path = place.snapshot_bytes(id);
    copy_bytes(place, id, cancelled)
        .and_then(|()| write_record(&place.snapshot_record(id), &SnapshotRecord::new(metadata), TAKE))
        .inspect_err(|_| {
            // After a failed write of the record it may be there nevertheless: then the bytes must stay.
            if !place.snapshot_record(id).exists() {
                // A copy can be large: do not wait for the next lease to free its space, if it can be freed.
                let _ = durable_file::remove(&path);
            }
        })
}

/// Copies under an unfinished name, durably, then gives the copy its name, durably.
fn copy_bytes(place: &Place, id: &SnapshotId, cancelled: &CancellationToken) -> Result<(), TargetError> {
    let path = place.snapshot_bytes(id);
    let unfinished = place.snapshots().join(format!("{id}.vhd{UNFINISHED}"));
    // Its own opening: cloning moves the file's position.
    let replica = File::open(&place.replica).map_err(io_error(TAKE, &place.replica))?;
    let copied = durable_file::create_new(&unfinished).and_then(|copy| {
        pages::clone_into(&replica, &copy, cancelled)?;
        let mut permissions = copy.metadata()?.permissions();
        permissions.set_readonly(true);
        copy.set_permissions(permissions)?;
        copy.sync_all()?;
        fs::rename(&unfinished, &path)?;
        durable_file::sync_folder_of(&path)
    });
    copied.map_err(|error| {
        let _ = durable_file::remove(&unfinished);
        io_error(TAKE, &path)(error)
    })
}

/// All snapshots, oldest first.
pub(super) fn list(place: &Place) -> Result<Vec<Snapshot>, TargetError> {
    const OPERATION: &str = "list snapshots";
    let names = durable_file::names(&place.snapshots()).map_err(io_error(OPERATION, &place.snapshots()))?;
    let ids =
        names.iter().filter_map(|name| name.strip_suffix(".json")).map(|id| SnapshotId(id.to_owned())).filter(is_id);
    // One that is deleted meanwhile is skipped.
    ids.filter_map(|id| match read_record::<SnapshotRecord>(&place.snapshot_record(&id), OPERATION) {
        Ok(record) => record.map(|record| Ok(Snapshot { id, metadata: record.metadata })),
        Err(error) => Some(Err(error)),
    })
    .collect()
}

/// Opens the bytes of a snapshot.
pub(super) fn open(place: &Place, id: &SnapshotId, operation: &'static str) -> Result<File, TargetError> {
    let gone = || place.not_found(operation, format!("no snapshot {id}"));
    if !is_id(id) || !place.snapshot_record(id).exists() {
        return Err(gone());
    }
    let path = place.snapshot_bytes(id);
    match durable_file::if_there(File::open(&path)).map_err(io_error(operation, &path))? {
        Some(file) => Ok(file),
        // Deleted between the two looks, or its bytes were taken away by hand.
        None if place.snapshot_record(id).exists() => Err(damaged(&path, "the bytes of this snapshot are missing")),
        None => Err(gone()),
    }
}

/// Deletes a snapshot; one that is gone is no error.
pub(super) fn delete(place: &Place, id: &SnapshotId) -> Result<(), TargetError> {
    if !is_id(id) {
        return Ok(());
    }
    let (record, bytes) = (place.snapshot_record(id), place.snapshot_bytes(id));
    durable_file::remove(&record)
        .and_then(|removed| if removed { durable_file::sync_folder_of(&record) } else { Ok(()) })
        .and_then(|()| durable_file::remove(&bytes))
        .map(drop)
        .map_err(io_error("delete snapshot", &record))
}

/// Removes what interrupted snapshots and objects left. The caller holds the lease, so no snapshot is being
/// taken.
pub(super) fn sweep(place: &Place, operation: &'static str) -> Result<(), TargetError> {
    for folder in [place.folder.clone(), place.snapshots(), place.objects()] {
        let names = durable_file::names(&folder).map_err(io_error(operation, &folder))?;
        let has_record = |bytes: &str| names.binary_search(&format!("{bytes}.json")).is_ok();
        let in_snapshots = folder == place.snapshots();
        for name in &names {
            let unlisted = in_snapshots && name.strip_suffix(".vhd").is_some_and(|id| !has_record(id));
            if unlisted || name.ends_with(UNFINISHED) {
                let path = folder.join(name);
                durable_file::remove(&path).map_err(io_error(operation, &path))?;
            }
        }
    }
    Ok(())
}

/// Ids come from callers: only what we could have given out names a file.
fn is_id(id: &SnapshotId) -> bool {
    !id.0.is_empty() && id.0.bytes().all(|b| b.is_ascii_digit())
}
