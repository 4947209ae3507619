//! Proof that a recovery point is what it says, without trust in the local map.
//!
//! The snapshot is read back and each block compared with the sealed digest map (whose root the snapshot
//! carries), or with a fresh read of the source at the same moment. All blocks, or a random sample large
//! enough that damage of a stated extent is missed with at most a stated probability: of `n` blocks drawn
//! at random, none hits damage of a share `f` with probability `(1 - f)^n`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::rebuild;
use super::recovery_point::Located;
use super::replica::{Replica, ReplicaShared, blocking};
use super::target_reader::TargetReader;
use crate::checkpoint::Disk;
use crate::digest::block::BlockState;
use crate::digest::diff::states_of;
use crate::digest::sealed::{self, Manifest};
use crate::extent::Extent;
use crate::progress::EventKind;
use crate::size::{BlockSize, PageRange};
use crate::source::DiskSource;
use crate::target::{FOOTER_BYTES, View, read_fixed_footer};

/// What a recovery point is compared with.
#[derive(Clone)]
pub enum Against {
    /// Its own sealed digest map.
    SealedMap,
    /// The source, which must be at the same moment.
    Source(Arc<dyn DiskSource>),
}

impl std::fmt::Debug for Against {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SealedMap => "SealedMap",
            Self::Source(_) => "Source",
        })
    }
}

/// How much of it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Coverage {
    /// Every block.
    #[default]
    Full,
    /// So many blocks at random that damage to a share of `damaged_share` of all blocks is missed with a
    /// probability of at most `may_miss`. Both between 0 and 1.
    Sample {
        /// Share of the blocks that are damaged.
        damaged_share: f64,
        /// Probability of not seeing it.
        may_miss: f64,
    },
}

impl Coverage {
    /// How many blocks of `total` that takes.
    fn blocks(self, total: u64) -> u64 {
        let Self::Sample { damaged_share, may_miss } = self else { return total };
        let wanted = may_miss.clamp(f64::MIN_POSITIVE, 1.0).ln() / (1.0 - damaged_share.clamp(0.0, 1.0)).ln();
        // Not a number or negative means that nothing less than everything will do.
        if wanted.is_finite() && wanted >= 0.0 { (wanted.ceil() as u64).clamp(1, total) } else { total }
    }
}

/// A stretch that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// The recovery point's cycle.
    pub cycle: u32,
    /// Root of its digest tree.
    pub root: String,
    /// Blocks of the disk.
    pub blocks: u64,
    /// Blocks compared.
    pub compared: u64,
    /// Probability that damage of the stated share was missed; 0 when everything was compared.
    pub may_miss: f64,
    /// Blocks (and the footer) that differ.
    pub mismatched: u64,
    /// The first of them, at most [`VerifyReport::LISTED`].
    pub mismatches: Vec<Mismatch>,
}

impl VerifyReport {
    /// How many mismatches are listed; all are counted.
    pub const LISTED: usize = 1000;

    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.mismatched == 0
    }

    fn note(&mut self, offset: u64, len: u64) {
        self.mismatched += 1;
        if self.mismatches.len() < Self::LISTED {
            self.mismatches.push(Mismatch { offset, len });
        }
    }
}

impl Replica {
    /// Compares recovery point `cycle` (the newest, if none is named) with `against`.
    ///
    /// A difference is not an error: the report lists it. Time and traffic: every page that holds data is
    /// read once; memory stays under the engine's limit.
    pub async fn verify(
        &self,
        cycle: Option<u32>,
        against: Against,
        coverage: Coverage,
        cancel: &CancellationToken,
    ) -> Result<VerifyReport, Error> {
        let located = self.locate(cycle, cancel).await?;
        let block_bytes = self.shared.state.lock().await.remote.block_bytes;
        let block_size = BlockSize::new(block_bytes).expect("checked where the record is read");
        let expected = match against {
            Against::Source(source) => Expected::Source(source),
            Against::SealedMap => {
                let seal = located.seal(&self.shared)?;
                Expected::Map(rebuild::manifest(&self.shared, &seal, located.disk(block_size), cancel).await?)
            }
        };
        Verification { shared: &self.shared, located: &located, disk: located.disk(block_size), expected, cancel }
            .run(coverage)
            .await
    }
}

enum Expected {
    Map(Manifest),
    Source(Arc<dyn DiskSource>),
}

struct Verification<'a> {
    shared: &'a Arc<ReplicaShared>,
    located: &'a Located,
    disk: Disk,
    expected: Expected,
    cancel: &'a CancellationToken,
}

impl Verification<'_> {
    async fn run(&self, coverage: Coverage) -> Result<VerifyReport, Error> {
        let blocks = self.disk.block_size.count(self.disk.bytes);
        let wanted = coverage.blocks(blocks);
        let mut report = VerifyReport {
            cycle: self.located.point.cycle,
            root: self.located.point.root.clone(),
            blocks,
            compared: 0,
            may_miss: match coverage {
                Coverage::Sample { may_miss, .. } if wanted < blocks => may_miss,
                _ => 0.0,
            },
            mismatched: 0,
            mismatches: Vec::new(),
        };
        let reader = self.shared.reader(View::Snapshot(self.located.snapshot.clone()), self.disk);
        self.compare_footer(&reader, &mut report).await?;
        if wanted < blocks {
            for block in sample(blocks, wanted) {
                self.compare(&reader, block..block + 1, &mut report).await?;
            }
        } else {
            // One part of the sealed map at a time: at most a few windows.
            for first in (0..blocks).step_by(sealed::PART_BLOCKS as usize) {
                self.compare(&reader, first..(first + sealed::PART_BLOCKS).min(blocks), &mut report).await?;
                self.tell(&report);
            }
        }
        self.tell(&report);
        Ok(report)
    }

    /// Compares blocks of one part.
    async fn compare(
        &self,
        reader: &TargetReader<'_>,
        blocks: Range<u64>,
        report: &mut VerifyReport,
    ) -> Result<(), Error> {
        let block_len = self.disk.block_size.bytes();
        let expected = self.expected(&blocks).await?;
        let (found, _) = reader.states(blocks.start * block_len..blocks.end * block_len, self.cancel).await?;
        for (block, (expected, found)) in blocks.zip(expected.iter().zip(&found)) {
            report.compared += 1;
            if expected != found {
                report.note(block * block_len, block_len);
            }
        }
        Ok(())
    }

    async fn expected(&self, blocks: &Range<u64>) -> Result<Vec<BlockState>, Error> {
        match &self.expected {
            Expected::Map(manifest) => {
                let part = blocks.start / sealed::PART_BLOCKS;
                let cycle = self.located.point.cycle;
                let states = rebuild::part_states(self.shared, manifest, part, self.disk, cycle, self.cancel).await?;
                let first = part * sealed::PART_BLOCKS;
                Ok(states[(blocks.start - first) as usize..(blocks.end - first) as usize].to_vec())
            }
            Expected::Source(source) => self.source_states(source, blocks).await,
        }
    }

    async fn source_states(&self, source: &Arc<dyn DiskSource>, blocks: &Range<u64>) -> Result<Vec<BlockState>, Error> {
        let block_len = self.disk.block_size.bytes();
        let run_blocks = (self.shared.engine.options.run_bytes / block_len).max(1);
        let mut states = Vec::new();
        for first in blocks.clone().step_by(run_blocks as usize) {
            let run = first * block_len..(first + run_blocks).min(blocks.end) * block_len;
            let mut buffer = self.shared.engine.pool.take((run.end - run.start) as usize).await;
            let (source, block_size) = (Arc::clone(source), self.disk.block_size);
            let found = blocking(move || {
                let bytes = buffer.as_mut_slice();
                bytes.fill(0);
                let end = run.end.min(source.size_bytes());
                let mut at = run.start;
                while at < end {
                    for described in source.extents(at..end, 256)? {
                        at = described.extent.end();
                        let inside = Extent::from_range(run.start..end).and_then(|run| run.intersect(described.extent));
                        if let Some(data) = inside.filter(|_| !described.reads_as_zero) {
                            let (from, to) = ((data.offset() - run.start) as usize, (data.end() - run.start) as usize);
                            source.read_at(data.offset(), &mut bytes[from..to])?;
                        }
                    }
                }
                Ok::<_, Error>(states_of(bytes, block_size).collect::<Vec<_>>())
            });
            states.extend(self.cancel.run_until_cancelled(found).await.unwrap_or(Err(cancelled()))?);
        }
        Ok(states)
    }

    async fn compare_footer(&self, reader: &TargetReader<'_>, report: &mut VerifyReport) -> Result<(), Error> {
        let range = PageRange::new(self.disk.bytes, FOOTER_BYTES).expect("a disk is whole pages");
        let footer = reader.read(range, self.cancel).await?;
        let page = footer.first_chunk::<{ FOOTER_BYTES as usize }>();
        if page.and_then(read_fixed_footer).map(|(bytes, _)| bytes) != Some(self.disk.bytes) {
            report.note(self.disk.bytes, FOOTER_BYTES);
        }
        Ok(())
    }

    fn tell(&self, report: &VerifyReport) {
        let (cycle, blocks, mismatches) = (report.cycle, report.compared, report.mismatched);
        self.shared.event(EventKind::Verified { cycle, blocks, mismatches });
    }
}

fn cancelled() -> Error {
    super::error::ReplicateError::Cancelled.into()
}

/// `wanted` different blocks below `blocks`, in order, so that parts are read once. Floyd's algorithm.
fn sample(blocks: u64, wanted: u64) -> BTreeSet<u64> {
    let mut chosen = BTreeSet::new();
    for limit in blocks - wanted..blocks {
        let pick = fastrand::u64(..=limit);
        if !chosen.insert(pick) {
            chosen.insert(limit);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_as_large_as_its_promise_needs() {
        let one_percent = Coverage::Sample { damaged_share: 0.01, may_miss: 0.001 };
        assert_eq!(one_percent.blocks(1_000_000), 688);
        assert_eq!(one_percent.blocks(100), 100);
        assert_eq!(Coverage::Sample { damaged_share: 0.0, may_miss: 0.5 }.blocks(50), 50);
        assert_eq!(Coverage::Full.blocks(50), 50);
    }

    #[test]
    fn a_sample_has_different_blocks_inside_the_disk() {
        let chosen = sample(1000, 400);
        assert_eq!(chosen.len(), 400);
        assert!(chosen.iter().all(|block| *block < 1000));
    }
}
