//! Whether a change list is believed.
//!
//! A list that leaves something out loses data without a word, so it is used only when everything that can
//! be checked without reading the disk agrees with it. Otherwise the cycle compares the whole disk by digest,
//! and the recovery point says why.

use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::recovery_point::locate;
use super::replica::ReplicaShared;
use super::roll_back::compare_maps;
use super::target_record::TargetRecord;
use crate::checkpoint::{Checkpoint, Record};
use crate::digest::block::BlockState;
use crate::extent::{Extent, ExtentSet};
use crate::progress::CycleKind;
use crate::source::{ChangeList, DiskSource};

/// How many extents are asked of a source at once.
const EXTENTS_AT_ONCE: usize = 1024;

/// What a list turned out to be worth.
pub(super) enum Verdict {
    /// What it says changed.
    Believed(ExtentSet),
    /// It is not about this pass; why.
    Unusable(String),
    /// It is about this pass and wrong: what an interrupted cycle passed over on its word was not compared.
    Wrong(String),
}

/// The list, and with it what an interrupted cycle has moved since the last recovery point.
///
/// A list may leave out what holds its old bytes again. The interrupted cycle may have sent other ones in
/// between, from another moment of the source. So all blocks are added of which the target holds something else
/// than was sealed; that costs the sealed map, 16 bytes a block.
pub(super) async fn with_what_moved(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    record: &Record,
    mut list: ChangeList,
    source_bytes: u64,
    cancel: &CancellationToken,
) -> Result<ChangeList, Error> {
    let moved = match locate(shared, remote, None, cancel).await {
        Ok(sealed) => compare_maps(shared, &sealed, record, cancel).await,
        Err(e) => Err(e),
    };
    match moved {
        Ok((_, moved)) => {
            for extent in moved.intersecting(0..source_bytes) {
                list.push(extent.offset(), extent.len_bytes())?;
            }
            Ok(list)
        }
        Err(Error::Replicate(e @ (ReplicateError::SealedMap { .. } | ReplicateError::NoRecoveryPoint { .. }))) => {
            let reason = format!("what an interrupted cycle has sent cannot be told: {e}");
            Ok(ChangeList::reset(list.base().clone(), list.end().clone(), reason))
        }
        Err(e) => Err(e),
    }
}

/// Judges a list for a pass of this kind, whose source is at the moment `change_id`.
pub(super) fn judge(
    list: &ChangeList,
    kind: CycleKind,
    record: &Record,
    change_id: Option<&str>,
    source: &dyn DiskSource,
    checkpoint: &Checkpoint,
) -> Result<Verdict, Error> {
    let changed = match usable(list, kind, record, change_id, source.size_bytes()) {
        Ok(changed) => changed,
        Err(reason) => return Ok(Verdict::Unusable(reason)),
    };
    Ok(match contradiction(&changed, record, source, checkpoint)? {
        None => Verdict::Believed(changed),
        Some(offset) => Verdict::Wrong(format!(
            "it leaves out the block at offset {offset}, which the source says is zeros now and was not before"
        )),
    })
}

/// What the list says changed, or why it cannot be used.
fn usable(
    list: &ChangeList,
    kind: CycleKind,
    record: &Record,
    change_id: Option<&str>,
    source_bytes: u64,
) -> Result<ExtentSet, String> {
    let sealed = record.sealed.as_ref().and_then(|seal| seal.change_id.as_deref());
    if matches!(kind, CycleKind::Initial | CycleKind::Resync) {
        return Err("this cycle compares everything".into());
    }
    if record.strayed {
        return Err("a roll-back, a resync or another owner was interrupted since the last recovery point".into());
    }
    if sealed != Some(list.base().as_str()) {
        let sealed = sealed.map_or_else(|| "has no change id".into(), |id| format!("has change id {id:?}"));
        return Err(format!("it starts at {:?}, but the last recovery point {sealed}", list.base().as_str()));
    }
    if change_id != Some(list.end().as_str()) {
        return Err(format!("it ends at {:?}, which is not the source's moment", list.end().as_str()));
    }
    list.changed(source_bytes).map_err(|e| e.to_string())
}

/// A block that the list says is as it was, but that reads as zeros and did not before.
///
/// The source's extents know that without a read. Windows without an unlisted hole cost one question; of the
/// others the row is read, as planning will again.
fn contradiction(
    listed: &ExtentSet,
    record: &Record,
    source: &dyn DiskSource,
    checkpoint: &Checkpoint,
) -> Result<Option<u64>, Error> {
    let disk = record.disk();
    let block = disk.block_size.bytes();
    for window in 0..disk.windows() {
        let range = disk.window_range(window);
        let end = range.end.min(source.size_bytes());
        let mut zeros = ExtentSet::new();
        let mut at = range.start;
        while at < end {
            for described in source.extents(at..end, EXTENTS_AT_ONCE)? {
                at = described.extent.end();
                zeros.extend(described.reads_as_zero.then_some(described.extent));
            }
        }
        let unlisted = zeros.difference(listed);
        let whole_blocks = |extent: Extent| {
            let last = if extent.end() == end { end.div_ceil(block) } else { extent.end() / block };
            Extent::from_range(extent.offset().div_ceil(block)..last)
        };
        let blocks: Vec<Extent> = unlisted.iter().filter_map(whole_blocks).collect();
        if blocks.is_empty() {
            continue;
        }
        let row = checkpoint.window(window, disk, record.blank)?;
        let first = range.start / block;
        let was_data = |number: &u64| matches!(row.states[(number - first) as usize], BlockState::Data(_));
        if let Some(number) = blocks.into_iter().flat_map(Extent::range).find(was_data) {
            return Ok(Some(number * block));
        }
    }
    Ok(None)
}
