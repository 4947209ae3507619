//! Proof that what is at the target is what it should be, without trust in the local map.
//!
//! The bytes are read back, from the target as it stands or from a recovery point's snapshot, and each block is
//! compared with the sealed digest map (whose root the snapshot carries), or with a fresh read of the source at
//! the same moment. All blocks, or a sample ([`Coverage`]).
//!
//! What the target lists as empty counts as zeros and is not read. Memory: one part of a sealed map and the
//! page list of one window, besides the pool.

use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::coverage::{Coverage, Draw, miss_probability};
use super::error::{Error, ReplicateError};
use super::rebuild;
use super::recovery_point::{self, Located};
use super::replica::{Replica, ReplicaShared, ReplicaState, blocking};
use super::target_reader::TargetReader;
use crate::checkpoint::Disk;
use crate::digest::block::BlockState;
use crate::digest::diff::states_of;
use crate::digest::sealed::{self, Manifest};
use crate::extent::Extent;
use crate::progress::EventKind;
use crate::size::{BlockSize, PageRange};
use crate::source::DiskSource;
use crate::target::{FOOTER_BYTES, View, is_footer_of};

/// Which bytes are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The snapshot of the newest recovery point.
    #[default]
    Newest,
    /// The snapshot of the recovery point of this cycle.
    Cycle(u32),
    /// The target as it stands: what the next cycle builds on, and what would be booted from. Only while
    /// nothing was written to it since the last seal, and no cycle can begin meanwhile.
    Live,
}

/// What it is compared with.
#[derive(Clone)]
pub enum Against {
    /// The recovery point's sealed digest map.
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

/// A stretch that differs, in whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// First byte. The footer is what lies at the end of the disk.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// What was looked at.
    pub subject: Subject,
    /// The recovery point's cycle.
    pub cycle: u32,
    /// Root of its digest tree.
    pub root: String,
    /// Bytes in a block.
    pub block_bytes: u64,
    /// Blocks of the disk.
    pub blocks: u64,
    /// Blocks compared.
    pub compared: u64,
    /// What the sample was drawn by; `None` when everything was compared. Kept in [`Coverage::Sample`], it draws
    /// the same blocks again.
    pub sample_seed: Option<u64>,
    /// Probability that the sample missed damage of the stated share of blocks; 0 when everything was compared.
    pub may_miss: f64,
    /// Blocks (and the footer) that differ.
    pub mismatched: u64,
    /// Where they are, neighbours joined, in order: the first [`VerifyReport::LISTED`] stretches.
    pub mismatches: Vec<Mismatch>,
}

impl VerifyReport {
    /// How many stretches are listed; all blocks are counted.
    pub const LISTED: usize = 1000;

    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.mismatched == 0
    }

    /// Probability that damage of `bytes` bytes in all was missed: 0 when everything was compared, 1 for no
    /// bytes. Exact for damage that lies in as few blocks as it can; more scattered damage is missed less often.
    pub fn may_miss_damage_of(&self, bytes: u64) -> f64 {
        let damaged = bytes.div_ceil(self.block_bytes).min(self.blocks);
        miss_probability(self.blocks, damaged, self.compared)
    }

    fn note(&mut self, offset: u64, len: u64) {
        self.mismatched += 1;
        let neighbour = self.mismatches.last_mut().filter(|last| last.offset + last.len == offset);
        if let Some(last) = neighbour {
            last.len += len;
        } else if self.mismatches.len() < Self::LISTED {
            self.mismatches.push(Mismatch { offset, len });
        }
    }
}

impl Replica {
    /// Compares `subject` with `against`.
    ///
    /// A difference is not an error: the report lists it. Time and traffic: every page that holds data is
    /// read once; memory stays under the engine's limit. Where a cycle has written to the target and was not
    /// sealed, [`Subject::Live`] fails with `replica.unsealed`; while one is open, with `cycle.open`.
    /// Cancelling returns within a second.
    pub async fn verify(
        &self,
        subject: Subject,
        against: Against,
        coverage: Coverage,
        cancel: &CancellationToken,
    ) -> Result<VerifyReport, Error> {
        let verified = async {
            let chosen = self.choose(subject, cancel).await?;
            let expected = match against {
                Against::Source(source) => Expected::Source(source),
                Against::SealedMap => Expected::Map(chosen.manifest(&self.shared, cancel).await?),
            };
            Verification { shared: &self.shared, chosen: &chosen, disk: chosen.disk, expected, cancel }
                .run(subject, coverage)
                .await
        };
        self.shared.while_ours(cancel, Box::pin(verified)).await
    }

    /// The recovery point and the bytes that `subject` means.
    pub(super) async fn choose(&self, subject: Subject, cancel: &CancellationToken) -> Result<Chosen, Error> {
        let shared = &self.shared;
        let (remote, held, cycle) = match subject {
            Subject::Newest => (shared.state.lock().await.remote.clone(), None, None),
            Subject::Cycle(cycle) => (shared.state.lock().await.remote.clone(), None, Some(cycle)),
            Subject::Live => {
                let held = shared.lock().await?;
                if held.remote.unsealed_writes {
                    return Err(ReplicateError::UnsealedWrites { location: shared.location.to_string() }.into());
                }
                (held.remote.clone(), Some(held), None)
            }
        };
        let located = recovery_point::locate(shared, &remote, cycle, cancel).await?;
        let view = if held.is_some() { View::Live } else { View::Snapshot(located.snapshot.clone()) };
        let block_size = BlockSize::new(remote.block_bytes).expect("checked where the record is read");
        Ok(Chosen { disk: located.disk(block_size), located, view, _held: held })
    }
}

impl ReplicaShared {
    /// Runs `reading` until it is done, cancelled, or the lease is lost.
    pub(super) async fn while_ours<T>(
        &self,
        cancel: &CancellationToken,
        reading: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ReplicateError::Cancelled.into()),
            () = self.health.lost() => Err(self.lost().await),
            result = reading => result,
        }
    }
}

/// What a [`Subject`] comes to.
pub(super) struct Chosen {
    pub(super) located: Located,
    pub(super) view: View,
    pub(super) disk: Disk,
    /// Keeps cycles from beginning while the target itself is looked at.
    _held: Option<OwnedMutexGuard<ReplicaState>>,
}

impl Chosen {
    pub(super) async fn manifest(&self, shared: &ReplicaShared, cancel: &CancellationToken) -> Result<Manifest, Error> {
        rebuild::manifest(shared, &self.located.seal(shared)?, self.disk, cancel).await
    }
}

enum Expected {
    Map(Manifest),
    Source(Arc<dyn DiskSource>),
}

struct Verification<'a> {
    shared: &'a Arc<ReplicaShared>,
    chosen: &'a Chosen,
    disk: Disk,
    expected: Expected,
    cancel: &'a CancellationToken,
}

impl Verification<'_> {
    async fn run(&self, subject: Subject, coverage: Coverage) -> Result<VerifyReport, Error> {
        let blocks = self.disk.block_size.count(self.disk.bytes);
        let mut draw = coverage.draw(blocks);
        let point = &self.chosen.located.point;
        let mut report = VerifyReport {
            subject,
            cycle: point.cycle,
            root: point.root.clone(),
            block_bytes: self.disk.block_size.bytes(),
            blocks,
            compared: 0,
            sample_seed: draw.seed(),
            may_miss: draw.may_miss,
            mismatched: 0,
            mismatches: Vec::new(),
        };
        let reader = self.shared.reader(self.chosen.view.clone(), self.disk);
        for part in 0..sealed::part_count(self.disk.bytes, self.disk.block_size) {
            self.compare_part(&reader, part, &mut draw, &mut report).await?;
            // Drawing from a large disk takes a while, mostly without waiting for anything.
            tokio::task::yield_now().await;
        }
        self.compare_footer(&reader, &mut report).await?;
        self.tell(&report);
        Ok(report)
    }

    async fn compare_part(
        &self,
        reader: &TargetReader<'_>,
        part: u64,
        draw: &mut Draw,
        report: &mut VerifyReport,
    ) -> Result<(), Error> {
        let first = part * sealed::PART_BLOCKS;
        let blocks = first..(first + sealed::PART_BLOCKS).min(report.blocks);
        let window = self.disk.blocks_per_window();
        let (pieces, at_once): (Vec<Range<u64>>, _) = match &mut draw.picks {
            Some(picks) => {
                let picked = picks.among(blocks.clone());
                (picked.into_iter().map(|block| block..block + 1).collect(), self.blocks_at_once())
            }
            // A window's pages are read several at once already.
            None => (blocks.clone().step_by(window as usize).map(|w| w..(w + window).min(blocks.end)).collect(), 1),
        };
        if pieces.is_empty() {
            return Ok(());
        }
        let known = self.known(part).await?;
        let mut compared = futures::stream::iter(pieces)
            .map(|piece| {
                let known = known.as_deref().map(|states| &states[index(&piece, first)]);
                async move {
                    let expected = async {
                        match (known, &self.expected) {
                            (None, Expected::Source(source)) => self.source_states(source, &piece).await,
                            (states, _) => Ok(states.unwrap_or_default().to_vec()),
                        }
                    };
                    let block_len = self.disk.block_size.bytes();
                    let found = reader.states(piece.start * block_len..piece.end * block_len, self.cancel);
                    let (expected, (found, _)) = futures::try_join!(expected, found)?;
                    Ok::<_, Error>((piece, expected, found))
                }
            })
            .buffered(at_once);
        let mut told = report.compared;
        while let Some((piece, expected, found)) = compared.try_next().await? {
            for (block, (expected, found)) in piece.zip(expected.iter().zip(&found)) {
                report.compared += 1;
                if expected != found {
                    report.note(block * report.block_bytes, report.block_bytes);
                }
            }
            if report.compared - told >= window {
                told = report.compared;
                self.tell(report);
            }
        }
        Ok(())
    }

    /// How many blocks of a sample are read at once.
    fn blocks_at_once(&self) -> usize {
        let requests = self.shared.engine.options.requests_in_flight;
        match &self.expected {
            Expected::Map(_) => requests,
            Expected::Source(source) => requests.min(source.limits().max_in_flight).max(1),
        }
    }

    /// What the sealed map says of a part.
    async fn known(&self, part: u64) -> Result<Option<Vec<BlockState>>, Error> {
        let Expected::Map(manifest) = &self.expected else { return Ok(None) };
        let cycle = self.chosen.located.point.cycle;
        rebuild::part_states(self.shared, manifest, part, self.disk, cycle, self.cancel).await.map(Some)
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
                read_data(&*source, &run, bytes)?;
                Ok::<_, Error>(states_of(bytes, block_size).collect::<Vec<_>>())
            });
            states.extend(found.await?);
        }
        Ok(states)
    }

    async fn compare_footer(&self, reader: &TargetReader<'_>, report: &mut VerifyReport) -> Result<(), Error> {
        let range = PageRange::new(self.disk.bytes, FOOTER_BYTES).expect("a disk is whole pages");
        let page = reader.read(range, self.cancel).await?;
        if !is_footer_of(&page, self.disk.bytes, self.chosen.located.point.replication) {
            report.note(self.disk.bytes, FOOTER_BYTES);
        }
        Ok(())
    }

    fn tell(&self, report: &VerifyReport) {
        let (cycle, blocks, mismatches) = (report.cycle, report.compared, report.mismatched);
        self.shared.event(EventKind::Verified { cycle, blocks, mismatches });
    }
}

/// Blocks by number on the disk as indices into a part that starts at `first`.
fn index(blocks: &Range<u64>, first: u64) -> Range<usize> {
    (blocks.start - first) as usize..(blocks.end - first) as usize
}

/// Reads what of `run` is data into `bytes`, which are the run's and zero.
fn read_data(source: &dyn DiskSource, run: &Range<u64>, bytes: &mut [u8]) -> Result<(), Error> {
    let end = run.end.min(source.size_bytes());
    let longest = source.limits().max_read_bytes.max(1);
    let mut at = run.start;
    while at < end {
        for described in source.extents(at..end, 256)? {
            at = described.extent.end();
            let inside = Extent::from_range(run.start..end).and_then(|run| run.intersect(described.extent));
            let Some(data) = inside.filter(|_| !described.reads_as_zero) else { continue };
            for from in data.range().step_by(longest as usize) {
                let to = data.end().min(from.saturating_add(longest));
                source.read_at(from, &mut bytes[(from - run.start) as usize..(to - run.start) as usize])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(blocks: u64, compared: u64) -> VerifyReport {
        VerifyReport {
            subject: Subject::Newest,
            cycle: 1,
            root: String::new(),
            block_bytes: 1 << 16,
            blocks,
            compared,
            sample_seed: None,
            may_miss: 0.0,
            mismatched: 0,
            mismatches: Vec::new(),
        }
    }

    #[test]
    fn neighbours_are_joined_and_all_are_counted() {
        let mut report = report(10_000, 10_000);
        (0..5000u64).filter(|block| block % 3 != 0).for_each(|block| report.note(block << 16, 1 << 16));
        assert_eq!((report.mismatched, report.mismatches.len()), (3333, VerifyReport::LISTED));
        assert_eq!(report.mismatches[1], Mismatch { offset: 4 << 16, len: 2 << 16 });
    }

    #[test]
    fn damage_is_missed_by_as_many_blocks_as_it_needs() {
        let is = |stated: f64, expected: f64| assert!((stated - expected).abs() < 1e-15, "{stated} {expected}");
        let sampled = report(1000, 100);
        is(sampled.may_miss_damage_of(0), 1.0);
        is(sampled.may_miss_damage_of(1), 0.9);
        is(sampled.may_miss_damage_of(65_536), 0.9);
        is(sampled.may_miss_damage_of(65_537), 0.9 * 899.0 / 999.0);
        is(sampled.may_miss_damage_of(u64::MAX), 0.0);
        is(report(1000, 1000).may_miss_damage_of(1), 0.0);
    }
}
