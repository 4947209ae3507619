//! Step 5 of the protocol: a settled cycle becomes a recovery point.
//!
//! Footer, digest tree, snapshot, the target's own record, the local one, in this order, each only after
//! the one before is durable. The recovery point exists from the moment the target's record names its
//! cycle; a snapshot without that is garbage, and the next open removes it.

use jiff::Timestamp;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::history;
use super::lane::{Load, Passage};
use super::replica::{ReplicaShared, ReplicaState, blocking};
use super::target_record::{self, RecoveryPoint, TargetRecord, to_metadata};
use crate::checkpoint::{Blank, Change, Checkpoint, Disk, Record, Seal};
use crate::digest::block::BlockState;
use crate::digest::map;
use crate::digest::sealed::{self, Hash, Manifest};
use crate::progress::{CycleKind, EventKind};
use crate::size::PageRange;
use crate::target::{FOOTER_BYTES, View, fixed_footer, is_footer_of};

/// Parts that are encoded and stored at once: 4 MiB at the most.
const PARTS_AT_ONCE: usize = 4;

pub(super) async fn seal(
    shared: &Arc<ReplicaShared>,
    state: &mut ReplicaState,
    mut record: Record,
    passage: Passage,
    started: Instant,
    cancel: &CancellationToken,
) -> Result<RecoveryPoint, Error> {
    let sealed_at = Timestamp::now();
    write_footer(shared, state, &mut record, sealed_at, cancel).await?;
    shared.call(cancel, || shared.target.flush()).await?;
    let root = upload_map(shared, &record, passage, cancel).await?;

    let open = record.open.as_mut().expect("the cycle that is sealed is open");
    open.sealing = Some(root);
    let point = RecoveryPoint {
        format: target_record::FORMAT,
        replication: record.replication,
        generation: shared.owner.generation,
        cycle: open.number,
        kind: open.kind,
        sealed_at,
        root: root.to_string(),
        change_id: open.change_id.clone(),
        crash_consistent: open.consistent,
        disk_bytes: record.disk_bytes,
        source_bytes: record.source_bytes,
        counts: open.counts,
        change_list_ignored: open.list_ignored.clone(),
    };
    shared.commit(&record, Change::default()).await?;
    let metadata = to_metadata(&point);
    // Taken twice when an answer was lost; both are the same then.
    let snapshot = |etag| {
        let metadata = &metadata;
        async move { shared.target.snapshot(metadata, shared.lease, &etag).await }
    };
    shared.change(cancel, |_| None, snapshot).await?;

    let seal = Seal { cycle: point.cycle, root, change_id: point.change_id.clone() };
    let remote = TargetRecord {
        source_bytes: record.source_bytes,
        grown_from: None,
        unsealed_writes: false,
        footer_for: record.footer_for,
        sealed: Some(seal.clone()),
        ..state.remote.clone()
    };
    shared.publish(&remote, cancel).await?;
    state.remote = remote;
    record.sealed = Some(seal);
    record.strayed = false;
    record.open = None;
    shared.commit(&record, Change::default()).await?;
    // It is sealed, whatever comes now; the next open writes the record that is missing.
    if let Err(e) = history::write(shared, &point, cancel).await {
        tracing::warn!(replica = %shared.location, cycle = point.cycle, error = %e, "no record of the cycle was written");
    }
    shared.event(EventKind::Sealed {
        cycle: point.cycle,
        kind: point.kind,
        counts: point.counts,
        root: point.root.clone(),
        seconds: started.elapsed().as_secs(),
    });
    Ok(point)
}

/// Takes note that the seal of the open cycle was finished at the target, if it was: an answer was lost, or a
/// crash fell between the target's record and ours.
pub(super) fn adopt(record: &mut Record, remote: &TargetRecord) -> bool {
    let sealing = record.open.as_ref().and_then(|open| open.sealing);
    let finished = sealing.is_some() && remote.sealed.as_ref().map(|seal| seal.root) == sealing;
    if finished {
        record.sealed.clone_from(&remote.sealed);
        record.footer_for = remote.footer_for;
        record.strayed = false;
        record.open = None;
    }
    finished
}

/// Takes note of a seal of this process's own that was given up, and was finished at the target all the same.
pub(super) async fn adopt_given_up(
    shared: &ReplicaShared,
    state: &mut ReplicaState,
    record: &mut Record,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    if record.open.as_ref().is_none_or(|open| open.sealing.is_none()) {
        return Ok(());
    }
    let remote = shared.find(cancel).await?.record;
    if remote.sealed != record.sealed && adopt(record, &remote) {
        state.remote = remote;
        shared.commit(record, Change::default()).await?;
    }
    Ok(())
}

/// Writes the fixed-VHD footer after the disk, if it is not there for this size yet. A resync does not believe
/// that it is, and looks.
async fn write_footer(
    shared: &ReplicaShared,
    state: &ReplicaState,
    record: &mut Record,
    created: Timestamp,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let range = PageRange::new(record.disk_bytes, FOOTER_BYTES).expect("a disk is whole pages");
    if record.footer_for == Some(record.disk_bytes) {
        let resync = record.open.as_ref().is_some_and(|open| open.kind == CycleKind::Resync);
        if !resync {
            return Ok(());
        }
        let page = shared.call(cancel, || shared.target.read(&View::Live, range)).await?;
        if is_footer_of(&page, record.disk_bytes, record.replication) {
            return Ok(());
        }
    }
    let footer = Bytes::copy_from_slice(&fixed_footer(record.disk_bytes, record.replication, created));
    let fence = shared.fence(state);
    shared.call(cancel, || shared.target.put(range, footer.clone(), fence)).await?;
    record.footer_for = Some(record.disk_bytes);
    Ok(())
}

/// Stores the parts that changed and the manifest; the root.
async fn upload_map(
    shared: &Arc<ReplicaShared>,
    record: &Record,
    passage: Passage,
    cancel: &CancellationToken,
) -> Result<Hash, Error> {
    let disk = record.disk();
    let stored = Mutex::new(HashSet::new());
    // A part that the checkpoint counts on may have been deleted behind our back.
    let there: HashSet<String> =
        shared.call(cancel, || shared.target.list_objects("part-")).await?.into_iter().collect();
    let there = &there;
    let count = sealed::part_count(disk.bytes, disk.block_size);
    let mut results = futures::stream::iter(0..count)
        .map(|part| {
            let stored = &stored;
            async move {
                let (checkpoint, blank) = (Arc::clone(&shared.checkpoint), record.blank);
                let counted_on = shared.checkpoint.part(part)?.filter(|hash| there.contains(&sealed::part_name(*hash)));
                match blocking(move || encoded_part(&checkpoint, part, counted_on, disk, blank)).await? {
                    Part::Stored(hash) => Ok((part, hash, false)),
                    Part::Fresh(hash, bytes) => {
                        // Equal parts (holes, mostly) are one object.
                        if stored.lock().unwrap_or_else(PoisonError::into_inner).insert(hash) {
                            let (name, bytes) = (sealed::part_name(hash), Bytes::from(bytes));
                            let load = Load::put_object(bytes.len() as u64, passage);
                            shared.transfer(load, cancel, || shared.target.put_object(&name, bytes.clone())).await?;
                        }
                        Ok::<_, Error>((part, hash, true))
                    }
                }
            }
        })
        .buffered(PARTS_AT_ONCE);
    let mut parts = Vec::new();
    let mut fresh = Change::default();
    while let Some((part, hash, is_fresh)) = results.try_next().await? {
        parts.push(hash);
        if is_fresh {
            fresh.parts.push((part, hash));
        }
    }
    shared.commit(record, fresh).await?;
    let manifest = Bytes::from(Manifest::new(disk.bytes, disk.block_size, parts).to_bytes());
    let root = Hash::of(&manifest);
    let name = sealed::manifest_name(root);
    shared.call(cancel, || shared.target.put_object(&name, manifest.clone())).await?;
    Ok(root)
}

enum Part {
    Stored(Hash),
    Fresh(Hash, Vec<u8>),
}

fn encoded_part(
    checkpoint: &Checkpoint,
    part: u64,
    stored: Option<Hash>,
    disk: Disk,
    blank: Blank,
) -> Result<Part, Error> {
    if let Some(hash) = stored {
        return Ok(Part::Stored(hash));
    }
    let first = part * disk.windows_per_part();
    let mut states = Vec::new();
    for window in first..(first + disk.windows_per_part()).min(disk.windows()) {
        states.append(&mut checkpoint.window(window, disk, blank)?.states);
    }
    if let Some(block) = states.iter().position(|state| *state == BlockState::Unknown) {
        // The pipeline ends only when every block has settled, so this is a defect; never seal a lie.
        let offset = (part * sealed::PART_BLOCKS + block as u64) * disk.block_size.bytes();
        return Err(ReplicateError::Internal { problem: format!("nothing is known of the block at {offset}") }.into());
    }
    let bytes = map::encode(&states);
    Ok(Part::Fresh(Hash::of(&bytes), bytes))
}
