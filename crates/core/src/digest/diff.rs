//! Old states + fresh bytes → what to put, what to clear, what to leave.
//!
//! A run of consecutive blocks was read. Each block is compared with what the target is known to hold;
//! of a block that differs, the grains (4 KiB) with data are put and the grains of zeros are cleared, or
//! left when the block is known to read as zeros. Neighbouring grains join into one run, across blocks.
//!
//! **Bridging.** Two runs of data with a little unchanged data between them may be cheaper to send as
//! one request ([`RequestCost`]). Zeros are never sent to bridge a gap.
//!
//! The four counts partition the bytes of the run: put + cleared + skipped = len, and a grain is counted
//! once.

use std::ops::Range;

use super::block::{BlockDigest, BlockState, is_zero};
use crate::size::{BlockSize, GRAIN};

/// What a request costs against what a byte costs, at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCost {
    /// A request costs next to nothing (fast link): send exactly what changed.
    Negligible,
    /// A request costs as much as sending this many bytes: gaps up to that are bridged.
    Bytes(u64),
}

impl RequestCost {
    /// A standard page blob: 60 MiB/s and 500 requests/s, so one request is worth 120 KiB or so.
    ///
    /// Source: Microsoft Learn, "Scalability and performance targets for Blob storage" (single page
    /// blob).
    pub const STANDARD_PAGE_BLOB: Self = Self::Bytes(60 * (1 << 20) / 500);

    const fn widest_gap(self) -> u64 {
        match self {
            Self::Negligible => 0,
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// What a run of blocks turned out to be. Ranges are relative to the run's first byte.
#[derive(Debug, PartialEq, Eq)]
pub struct RunDiff {
    /// What each block holds once everything below is done.
    pub states: Vec<BlockState>,
    /// Data to put, in order, disjoint, whole grains.
    pub put: Vec<Range<usize>>,
    /// Zeros to clear, in order, disjoint, whole grains.
    pub clear: Vec<Range<usize>>,
}

/// Compares `bytes`, whole blocks, with `old`, one state a block.
pub fn diff_run(bytes: &[u8], old: &[BlockState], block_size: BlockSize, cost: RequestCost) -> RunDiff {
    let block_len = block_size.bytes() as usize;
    debug_assert_eq!(bytes.len(), old.len() * block_len);
    let mut diff = RunDiff { states: Vec::with_capacity(old.len()), put: Vec::new(), clear: Vec::new() };
    for (index, (block, old)) in bytes.chunks_exact(block_len).zip(old).enumerate() {
        let start = index * block_len;
        let new = BlockState::of(block);
        diff.states.push(new);
        match new {
            _ if new == *old => {}
            BlockState::Zero => append(&mut diff.clear, start..start + block_len),
            _ => split_block(&mut diff, block, start, *old == BlockState::Zero),
        }
    }
    bridge(&mut diff, bytes, cost.widest_gap() as usize);
    diff
}

/// Puts the grains of data of a changed block, and clears the others unless they are known clear.
fn split_block(diff: &mut RunDiff, block: &[u8], start: usize, known_clear: bool) {
    for (index, grain) in block.chunks(GRAIN as usize).enumerate() {
        let at = start + index * GRAIN as usize;
        let range = at..at + grain.len();
        if !is_zero(grain) {
            append(&mut diff.put, range);
        } else if !known_clear {
            append(&mut diff.clear, range);
        }
    }
}

fn append(runs: &mut Vec<Range<usize>>, range: Range<usize>) {
    match runs.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => runs.push(range),
    }
}

/// Joins puts over gaps of at most `widest` bytes in which every grain has data (so nothing that is to be
/// cleared, and no zeros, lie in between).
fn bridge(diff: &mut RunDiff, bytes: &[u8], widest: usize) {
    if widest == 0 || diff.put.len() < 2 {
        return;
    }
    diff.put.dedup_by(|next, kept| {
        let gap = kept.end..next.start;
        let joins = gap.len() <= widest && bytes[gap].chunks(GRAIN as usize).all(|grain| !is_zero(grain));
        if joins {
            kept.end = next.end;
        }
        joins
    });
}

/// The state of each block of `bytes` when nothing is known of the target.
pub fn states_of(bytes: &[u8], block_size: BlockSize) -> impl Iterator<Item = BlockState> {
    bytes.chunks_exact(block_size.bytes() as usize).map(BlockState::of)
}

/// Bare digest of each block, for benches that show what the rest of the pipeline adds.
#[doc(hidden)]
pub fn digests_only(bytes: &[u8], block_size: BlockSize) -> u64 {
    bytes.chunks_exact(block_size.bytes() as usize).map(|block| u64::from(BlockDigest::of(block).as_bytes()[0])).sum()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one run is what is expected")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: BlockSize = BlockSize::new(16 << 10).unwrap();
    const BLOCK_LEN: usize = 16 << 10;
    const GRAIN_LEN: usize = GRAIN as usize;

    /// A disk as one byte a grain.
    fn disk(grains: &[u8]) -> Vec<u8> {
        grains.iter().flat_map(|byte| [*byte; GRAIN_LEN]).collect()
    }

    fn apply(target: &mut [u8], source: &[u8], diff: &RunDiff) {
        for range in &diff.put {
            target[range.clone()].copy_from_slice(&source[range.clone()]);
        }
        for range in &diff.clear {
            target[range.clone()].fill(0);
        }
    }

    fn grains(blocks: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![3 => Just(0u8), 4 => 1..3u8], blocks * BLOCK_LEN / GRAIN_LEN)
    }

    proptest! {
        #[test]
        fn applying_the_diff_makes_target_equal_source(
            (old, new, forgotten) in (1..6usize).prop_flat_map(|n| (grains(n), grains(n), prop::collection::vec(any::<bool>(), n))),
            cost in prop_oneof![Just(RequestCost::Negligible), Just(RequestCost::STANDARD_PAGE_BLOB), Just(RequestCost::Bytes(5000))],
        ) {
            let (mut target, source) = (disk(&old), disk(&new));
            let known: Vec<_> = states_of(&target, BLOCK)
                .zip(&forgotten)
                .map(|(state, forget)| if *forget { BlockState::Unknown } else { state })
                .collect();
            let diff = diff_run(&source, &known, BLOCK, cost);
            apply(&mut target, &source, &diff);
            prop_assert!(target == source);
            prop_assert_eq!(&diff.states, &states_of(&source, BLOCK).collect::<Vec<_>>());
            // No grain of zeros is ever sent.
            for range in &diff.put {
                prop_assert!(source[range.clone()].chunks(GRAIN_LEN).all(|g| !is_zero(g)));
            }
            // Comparing again finds nothing.
            let again = diff_run(&source, &diff.states, BLOCK, cost);
            prop_assert!(again.put.is_empty() && again.clear.is_empty());
        }
    }

    #[test]
    fn only_grains_with_data_of_a_fresh_block_are_put() {
        let source = disk(&[0, 7, 7, 0]);
        let diff = diff_run(&source, &[BlockState::Zero], BLOCK, RequestCost::Negligible);
        assert_eq!((diff.put, diff.clear), (vec![GRAIN_LEN..3 * GRAIN_LEN], vec![]));
    }

    #[test]
    fn zeros_of_a_block_not_known_clear_are_cleared() {
        let source = disk(&[0, 7, 7, 0]);
        let diff = diff_run(&source, &[BlockState::Unknown], BLOCK, RequestCost::Negligible);
        assert_eq!(diff.clear, vec![0..GRAIN_LEN, 3 * GRAIN_LEN..4 * GRAIN_LEN]);
    }

    #[test]
    fn a_small_gap_of_unchanged_data_is_bridged_where_requests_cost() {
        let source = disk(&[7; 12]);
        let old = [BlockState::Unknown, BlockState::of(&source[..BLOCK_LEN]), BlockState::Unknown];
        let exact = diff_run(&source, &old, BLOCK, RequestCost::Negligible);
        let bridged = diff_run(&source, &old, BLOCK, RequestCost::STANDARD_PAGE_BLOB);
        assert_eq!((exact.put.len(), bridged.put), (2, vec![0..3 * BLOCK_LEN]));
    }

    #[test]
    fn a_gap_with_zeros_is_not_bridged() {
        let mut source = disk(&[7; 12]);
        source[BLOCK_LEN..BLOCK_LEN + GRAIN_LEN].fill(0);
        let old = [BlockState::Unknown, BlockState::of(&source[BLOCK_LEN..2 * BLOCK_LEN]), BlockState::Unknown];
        assert_eq!(diff_run(&source, &old, BLOCK, RequestCost::STANDARD_PAGE_BLOB).put.len(), 2);
    }
}
