//! The target taken back to an earlier recovery point.
//!
//! A roll-back is a cycle like any other, fed from the snapshot instead of a server's disk: only blocks
//! whose digests differ are read and written, every write is fenced, a crash in the middle is resumed or
//! rolled forward by the next cycle, and the end is a new recovery point that carries the change id of the
//! old one, so that the next change list starts from there.
//!
//! Every block that is read from the snapshot is compared with the sealed map before it is written: a damaged
//! snapshot is never sealed as something good.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::cycle::{self, CycleRequest, PushedDisk, RollBackTo};
use super::error::{Error, ReplicateError};
use super::growth::finish_growth;
use super::rebuild;
use super::recovery_point::Located;
use super::replica::{Replica, ReplicaShared, blocking};
use super::target_reader::TargetReader;
use super::target_record::RecoveryPoint;
use crate::checkpoint::{Disk, Record};
use crate::digest::block::BlockState;
use crate::digest::diff::states_of;
use crate::digest::sealed::{self, Manifest, PART_BLOCKS};
use crate::extent::{Extent, ExtentSet};
use crate::size::PageRange;
use crate::target::View;

impl Replica {
    /// Makes the target equal to recovery point `cycle` and seals that as a new recovery point. Later
    /// recovery points stay. Cancelled or killed in the middle, the call can be repeated.
    ///
    /// A snapshot that is not as it was sealed is `recovery_point.damaged`; nothing is sealed then, and the next
    /// cycle or roll-back goes on from what is there.
    pub async fn roll_back(&self, cycle: u32, cancel: &CancellationToken) -> Result<RecoveryPoint, Error> {
        let located = self.locate(Some(cycle), cancel).await?;
        let record = self.whole_record(cancel).await?;
        let (zero, differs) = compare_maps(&self.shared, &located, &record, cancel).await?;
        let disk = PushedDisk {
            size_bytes: record.source_bytes,
            identity: record.source_identity.clone(),
            point: Some(format!("recovery point {cycle}, root {}", located.point.root)),
            zero,
        };
        let to = RollBackTo { change_id: located.point.change_id.clone(), differs };
        let begun = cycle::begin(&self.shared, Arc::new(disk), CycleRequest::default(), Some(to), cancel).await?;
        let disk = located.disk(record.disk().block_size);
        let snapshot = SealedSnapshot {
            shared: &self.shared,
            manifest: rebuild::manifest(&self.shared, &located.seal(&self.shared)?, disk, cancel).await?,
            reader: self.shared.reader(View::Snapshot(located.snapshot.clone()), disk),
            part: Mutex::default(),
            cycle,
        };
        let workers = (0..self.shared.engine.options.requests_in_flight).map(|_| async {
            while let Some(wanted) = begun.next_wanted().await? {
                let bytes = snapshot.read(wanted, cancel).await?;
                begun.push(wanted.offset(), bytes.slice(..wanted.len_bytes() as usize)).await?;
            }
            Ok::<_, Error>(())
        });
        futures::future::try_join_all(workers).await?;
        begun.seal().await
    }

    /// The checkpoint's record, as large as the target: a growth that was interrupted is carried through.
    async fn whole_record(&self, cancel: &CancellationToken) -> Result<Record, Error> {
        let mut state = self.shared.lock().await?;
        let mut record = self.shared.record().await?;
        record.source_bytes = state.remote.source_bytes;
        finish_growth(&self.shared, &mut state, &mut record, cancel).await?;
        Ok(record)
    }
}

/// What of the recovery point is zeros, and what differs from what the target holds now, in bytes.
pub(super) async fn compare_maps(
    shared: &ReplicaShared,
    located: &Located,
    record: &Record,
    cancel: &CancellationToken,
) -> Result<(ExtentSet, ExtentSet), Error> {
    let now = record.disk();
    let then = Disk { bytes: located.point.disk_bytes, block_size: now.block_size };
    let manifest = rebuild::manifest(shared, &located.seal(shared)?, then, cancel).await?;
    let (mut zero, mut differs) = (ExtentSet::new(), ExtentSet::new());
    for part in 0..sealed::part_count(now.bytes, now.block_size) {
        let mut target = if part < manifest.parts().len() as u64 {
            rebuild::part_states(shared, &manifest, part, then, located.point.cycle, cancel).await?
        } else {
            Vec::new()
        };
        // A disk that has grown since reads as zeros past its old end.
        let blocks = (now.block_size.count(now.bytes) - part * PART_BLOCKS).min(PART_BLOCKS);
        target.resize(blocks as usize, BlockState::Zero);
        let (checkpoint, blank) = (Arc::clone(&shared.checkpoint), record.blank);
        let first = part * now.windows_per_part();
        let windows = first..(first + now.windows_per_part()).min(now.windows());
        let held = blocking(move || {
            let rows = windows.map(|window| checkpoint.window(window, now, blank).map(|row| row.states));
            rows.collect::<Result<Vec<_>, _>>()
        })
        .await?
        .concat();
        let block_len = now.block_size.bytes();
        for (block, (target, held)) in (part * PART_BLOCKS..).zip(target.iter().zip(&held)) {
            let extent = Extent::new(block * block_len, block_len);
            if *target == BlockState::Zero {
                zero.extend(extent);
            }
            if target != held {
                differs.extend(extent);
            }
        }
    }
    Ok((zero, differs))
}

/// A snapshot whose bytes are believed only if they are what was sealed.
struct SealedSnapshot<'a> {
    shared: &'a ReplicaShared,
    manifest: Manifest,
    reader: TargetReader<'a>,
    /// The part of the map that was used last, by number: reads come in the disk's order.
    part: Mutex<Option<(u64, Arc<Vec<BlockState>>)>>,
    cycle: u32,
}

impl SealedSnapshot<'_> {
    /// The bytes from the start of `wanted`, which is a block's, to the end of its last block.
    async fn read(&self, wanted: Extent, cancel: &CancellationToken) -> Result<Bytes, Error> {
        let (disk, block_len) = (self.reader.disk, self.reader.disk.block_size.bytes());
        let blocks = disk.block_size.cover(wanted.range(), disk.bytes);
        let pages = PageRange::new(blocks.start, blocks.end - blocks.start).expect("blocks are whole pages");
        let bytes = self.reader.read(pages, cancel).await?;
        let first = blocks.start / block_len;
        let part = self.part(first / PART_BLOCKS, cancel).await?;
        let sealed = &part[(first % PART_BLOCKS) as usize..];
        let damaged = states_of(&bytes, disk.block_size).zip(sealed).position(|(found, sealed)| found != *sealed);
        match damaged {
            None => Ok(bytes),
            Some(block) => Err(ReplicateError::DamagedSnapshot {
                location: self.shared.location.to_string(),
                cycle: self.cycle,
                offset: blocks.start + block as u64 * block_len,
            }
            .into()),
        }
    }

    async fn part(&self, part: u64, cancel: &CancellationToken) -> Result<Arc<Vec<BlockState>>, Error> {
        let mut last = self.part.lock().await;
        if let Some((_, states)) = last.as_ref().filter(|(number, _)| *number == part) {
            return Ok(Arc::clone(states));
        }
        let disk = self.reader.disk;
        let states = rebuild::part_states(self.shared, &self.manifest, part, disk, self.cycle, cancel).await?;
        let states = Arc::new(states);
        *last = Some((part, Arc::clone(&states)));
        Ok(states)
    }
}
