//! The digest map made anew: when the local database is lost, when somebody else owned the target in
//! between, or when it is not to be trusted (resync).
//!
//! From the sealed map, what was written since is in doubt. Where the service can say what that is, those
//! blocks are forgotten, and the next cycle sends them. Where it cannot, or where there is no usable sealed
//! map, the target is read back. Cost: at most every page that holds data is read once.

use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::replica::ReplicaShared;
use super::target_record::{RecoveryPoint, TargetRecord};
use crate::checkpoint::{Blank, Change, Disk, Record, Seal};
use crate::digest::block::BlockState;
use crate::digest::map;
use crate::digest::sealed::{self, MAX_MANIFEST_BYTES, MAX_PART_BYTES, Manifest};
use crate::extent::ExtentSet;
use crate::progress::EventKind;
use crate::target::{SnapshotId, View};

/// How far the map of the target is known without reading it.
enum Known {
    /// Created empty and never written.
    Empty,
    /// As sealed, apart from what was written since.
    Sealed(Manifest, WrittenSince),
    /// Not at all.
    Nothing,
}

enum WrittenSince {
    Nothing,
    /// The service tells.
    Snapshot(SnapshotId),
    /// Cannot be told.
    Unknown,
}

/// Rebuilds the rows of the checkpoint; `record` is committed with them. `reason` goes to the events.
pub(super) async fn rebuild(
    shared: &ReplicaShared,
    mut record: Record,
    remote: &TargetRecord,
    reason: &str,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    record.open = None;
    let known = known(shared, &record, remote, cancel).await?;
    record.blank = if matches!(known, Known::Empty) { Blank::Zero } else { Blank::Unknown };
    // From here on a crash leaves unknown blocks, which cost time but are never wrong.
    shared.commit(&record, Change { reset: true, ..Change::default() }).await?;
    let read_back = match known {
        // Nothing was there to be lost.
        Known::Empty => return Ok(()),
        Known::Nothing => read_back(shared, &record, cancel).await?,
        Known::Sealed(manifest, since) => from_sealed(shared, &record, &manifest, &since, cancel).await?,
    };
    shared.event(EventKind::MapRebuilt { reason: reason.to_owned(), read_back });
    Ok(())
}

/// Reads the whole target back into the checkpoint; how many bytes that took.
pub(super) async fn read_back(
    shared: &ReplicaShared,
    record: &Record,
    cancel: &CancellationToken,
) -> Result<u64, Error> {
    let disk = record.disk();
    let reader = shared.reader(View::Live, disk);
    let mut total = 0;
    for window in 0..disk.windows() {
        let (states, bytes) = reader.states(disk.window_range(window), cancel).await?;
        total += bytes;
        shared.commit(record, whole_window(window, &states)).await?;
    }
    Ok(total)
}

async fn known(
    shared: &ReplicaShared,
    record: &Record,
    remote: &TargetRecord,
    cancel: &CancellationToken,
) -> Result<Known, Error> {
    let Some(seal) = &remote.sealed else {
        return Ok(if remote.unsealed_writes { Known::Nothing } else { Known::Empty });
    };
    let manifest = match manifest(shared, seal, record.disk(), cancel).await {
        Ok(manifest) => manifest,
        Err(Error::Replicate(ReplicateError::SealedMap { .. })) => return Ok(Known::Nothing),
        Err(e) => return Err(e),
    };
    let since = if remote.unsealed_writes {
        let snapshots = shared.call(cancel, || shared.target.snapshots()).await?;
        let sealed = snapshots.into_iter().find(|snapshot| {
            RecoveryPoint::from_metadata(&snapshot.metadata).is_some_and(|point| {
                let is_sealed = (point.cycle, point.root.as_str()) == (seal.cycle, seal.root.to_string().as_str());
                is_sealed && point.replication == remote.replication
            })
        });
        sealed.map_or(WrittenSince::Unknown, |snapshot| WrittenSince::Snapshot(snapshot.id))
    } else {
        WrittenSince::Nothing
    };
    Ok(Known::Sealed(manifest, since))
}

async fn from_sealed(
    shared: &ReplicaShared,
    record: &Record,
    manifest: &Manifest,
    since: &WrittenSince,
    cancel: &CancellationToken,
) -> Result<u64, Error> {
    let disk = record.disk();
    let cycle = record.sealed.as_ref().map_or(0, |seal| seal.cycle);
    let reader = shared.reader(View::Live, disk);
    let mut total = 0;
    for part in 0..sealed::part_count(disk.bytes, disk.block_size) {
        // A damaged part is not fatal: its windows are read back.
        let states = match part_states(shared, manifest, part, disk, cycle, cancel).await {
            Ok(states) => Some(states),
            Err(Error::Replicate(ReplicateError::SealedMap { .. })) => None,
            Err(e) => return Err(e),
        };
        let first = part * disk.windows_per_part();
        for window in first..(first + disk.windows_per_part()).min(disk.windows()) {
            let range = disk.window_range(window);
            let changed = match since {
                WrittenSince::Nothing => Some(Vec::new()),
                WrittenSince::Unknown => None,
                WrittenSince::Snapshot(id) => {
                    shared.call(cancel, || shared.target.changed_ranges(id, range.clone())).await?
                }
            };
            let states = if let (Some(states), Some(changed)) = (&states, changed) {
                let at = ((window - first) * disk.blocks_per_window()) as usize;
                let mut states = states[at..at + disk.blocks_in_window(window)].to_vec();
                for pages in changed {
                    let blocks = disk.block_size.cover(pages.offset()..pages.end(), disk.bytes);
                    let index = |byte: u64| ((byte - range.start) / disk.block_size.bytes()) as usize;
                    states[index(blocks.start)..index(blocks.end)].fill(BlockState::Unknown);
                }
                states
            } else {
                let (states, bytes) = reader.states(range, cancel).await?;
                total += bytes;
                states
            };
            shared.commit(record, whole_window(window, &states)).await?;
        }
    }
    Ok(total)
}

/// The manifest of a sealed cycle, checked against its root.
pub(super) async fn manifest(
    shared: &ReplicaShared,
    seal: &Seal,
    disk: Disk,
    cancel: &CancellationToken,
) -> Result<Manifest, Error> {
    let name = sealed::manifest_name(seal.root);
    let bytes = object(shared, &name, MAX_MANIFEST_BYTES, seal.cycle, cancel).await?;
    Manifest::from_bytes(&bytes, seal.root, disk.bytes, disk.block_size)
        .map_err(|e| shared.sealed_map_error(seal.cycle, format!("{name}: {e}")).into())
}

/// The states of a part of a sealed map, checked against the manifest.
pub(super) async fn part_states(
    shared: &ReplicaShared,
    manifest: &Manifest,
    part: u64,
    disk: Disk,
    cycle: u32,
    cancel: &CancellationToken,
) -> Result<Vec<BlockState>, Error> {
    let bytes = part_bytes(shared, manifest, part, cycle, cancel).await?;
    let first = part * sealed::PART_BLOCKS;
    let blocks = (disk.block_size.count(disk.bytes) - first).min(sealed::PART_BLOCKS) as usize;
    map::decode(&bytes, blocks).map_err(|e| {
        let name = sealed::part_name(manifest.parts()[part as usize]);
        shared.sealed_map_error(cycle, format!("{name}: {e}")).into()
    })
}

/// A part of a sealed map as it is stored, checked against the manifest.
pub(super) async fn part_bytes(
    shared: &ReplicaShared,
    manifest: &Manifest,
    part: u64,
    cycle: u32,
    cancel: &CancellationToken,
) -> Result<bytes::Bytes, Error> {
    let hash = manifest.parts()[part as usize];
    let name = sealed::part_name(hash);
    let bytes = object(shared, &name, MAX_PART_BYTES, cycle, cancel).await?;
    if sealed::Hash::of(&bytes) != hash {
        return Err(shared.sealed_map_error(cycle, format!("{name} does not have the hash it is named by")).into());
    }
    Ok(bytes)
}

async fn object(
    shared: &ReplicaShared,
    name: &str,
    max_len: u64,
    cycle: u32,
    cancel: &CancellationToken,
) -> Result<bytes::Bytes, Error> {
    let found = shared.call(cancel, || shared.target.get_object(name, max_len)).await?;
    found.ok_or_else(|| shared.sealed_map_error(cycle, format!("{name} is missing")).into())
}

fn whole_window(window: u64, states: &[BlockState]) -> Change {
    Change { map: vec![(window, map::encode(states))], doubt: vec![(window, ExtentSet::new())], ..Change::default() }
}
