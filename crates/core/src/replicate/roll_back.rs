//! The target taken back to an earlier recovery point.
//!
//! A roll-back is a cycle like any other, fed from the snapshot instead of a server's disk: only blocks
//! whose digests differ are read and written, every write is fenced, a crash in the middle is resumed or
//! rolled forward by the next cycle, and the end is a new recovery point that carries the change id of the
//! old one, so that the next change list starts from there.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::cycle::{self, CycleRequest, PushedDisk, RollBackTo};
use super::error::Error;
use super::rebuild;
use super::recovery_point::Located;
use super::replica::{Replica, blocking};
use super::target_record::RecoveryPoint;
use crate::checkpoint::{Disk, Record};
use crate::digest::block::BlockState;
use crate::digest::sealed::{self, PART_BLOCKS};
use crate::extent::{Extent, ExtentSet};
use crate::size::PageRange;
use crate::target::View;

impl Replica {
    /// Makes the target equal to recovery point `cycle` and seals that as a new recovery point. Later
    /// recovery points stay. Cancelled or killed in the middle, the call can be repeated.
    pub async fn roll_back(&self, cycle: u32, cancel: &CancellationToken) -> Result<RecoveryPoint, Error> {
        let located = self.locate(Some(cycle), cancel).await?;
        let record = self.shared.record().await?;
        let (zero, differs) = self.compare_maps(&located, &record, cancel).await?;
        let disk = PushedDisk {
            size_bytes: record.source_bytes,
            identity: record.source_identity.clone(),
            point: Some(format!("recovery point {cycle}, root {}", located.point.root)),
            zero,
        };
        let to = RollBackTo { change_id: located.point.change_id.clone(), differs };
        let begun = cycle::begin(&self.shared, Arc::new(disk), CycleRequest::default(), Some(to), cancel).await?;
        let reader =
            self.shared.reader(View::Snapshot(located.snapshot.clone()), located.disk(record.disk().block_size));
        let workers = (0..self.shared.engine.options.requests_in_flight).map(|_| async {
            while let Some(wanted) = begun.next_wanted().await? {
                let bytes = reader.read(PageRange::covering(wanted), cancel).await?;
                begun.push(wanted.offset(), bytes.slice(..wanted.len_bytes() as usize)).await?;
            }
            Ok::<_, Error>(())
        });
        futures::future::try_join_all(workers).await?;
        begun.seal().await
    }

    /// What of the recovery point is zeros, and what differs from what the target holds now, in bytes.
    async fn compare_maps(
        &self,
        located: &Located,
        record: &Record,
        cancel: &CancellationToken,
    ) -> Result<(ExtentSet, ExtentSet), Error> {
        let now = record.disk();
        let then = Disk { bytes: located.point.disk_bytes, block_size: now.block_size };
        let manifest = rebuild::manifest(&self.shared, &located.seal(&self.shared)?, then, cancel).await?;
        let (mut zero, mut differs) = (ExtentSet::new(), ExtentSet::new());
        for part in 0..sealed::part_count(now.bytes, now.block_size) {
            let mut target = if part < manifest.parts().len() as u64 {
                rebuild::part_states(&self.shared, &manifest, part, then, located.point.cycle, cancel).await?
            } else {
                Vec::new()
            };
            // A disk that has grown since reads as zeros past its old end.
            let blocks = (now.block_size.count(now.bytes) - part * PART_BLOCKS).min(PART_BLOCKS);
            target.resize(blocks as usize, BlockState::Zero);
            let (checkpoint, blank) = (Arc::clone(&self.shared.checkpoint), record.blank);
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
}
