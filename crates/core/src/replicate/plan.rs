//! Which blocks of a window to read, and which holes to clear.
//!
//! A block is a **candidate** when the change list names a byte of it, when nothing is known of it, or when
//! there is no list. A candidate with data becomes part of a [`Run`]; one that is a hole is cleared unless
//! it is known to be zero. Holes are never read, whatever the target holds there.
//!
//! Planning a window costs its rows and its extents: memory and time linear in its blocks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::error::Error;
use crate::checkpoint::{Blank, Checkpoint, Disk};
use crate::digest::block::BlockState;
use crate::extent::{Extent, ExtentSet};
use crate::progress::Counts;
use crate::size::GRAIN;
use crate::source::DiskSource;

/// How many extents are asked of a source at once.
const EXTENTS_AT_ONCE: usize = 1024;

/// How many windows with nothing to do are passed over in one go.
const IDLE_AT_ONCE: usize = 256;

/// Consecutive blocks of one window, to be read and compared in one piece.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) window: u64,
    /// The blocks, by number on the disk.
    pub(super) blocks: Range<u64>,
    /// First byte.
    pub(super) offset: u64,
    /// Length in bytes: whole blocks.
    pub(super) len: usize,
    /// The parts to read, in whole grains; what lies between is zeros.
    pub(super) data: Vec<Extent>,
    /// What the target is known to hold.
    pub(super) old: Vec<BlockState>,
}

impl Run {
    pub(super) fn data_bytes(&self) -> u64 {
        self.data.iter().map(|extent| extent.len_bytes()).sum()
    }
}

/// A window with work in it.
#[derive(Debug)]
pub(super) struct WindowPlan {
    pub(super) window: u64,
    pub(super) states: Vec<BlockState>,
    /// Blocks in doubt already, by index in the window.
    pub(super) doubt: ExtentSet,
    pub(super) runs: Vec<Run>,
    /// Holes to clear, as blocks by index in the window.
    pub(super) hole_clears: ExtentSet,
    /// What is accounted for without reading.
    pub(super) counts: Counts,
}

/// What one step of planning found.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Windows that need nothing, and what they count for.
    pub(super) idle: Vec<u64>,
    pub(super) idle_counts: Counts,
    /// The next window with work; none at the end, or when many idle ones were passed.
    pub(super) window: Option<WindowPlan>,
    /// Nothing is left to plan.
    pub(super) finished: bool,
}

/// Plans window after window, on a blocking thread.
pub(super) struct Planner {
    pub(super) source: Arc<dyn DiskSource>,
    pub(super) checkpoint: Arc<Checkpoint>,
    pub(super) disk: Disk,
    pub(super) blank: Blank,
    /// What the change list names; `None`: everything.
    pub(super) listed: Option<ExtentSet>,
    pub(super) run_bytes: u64,
    /// Windows that are left.
    pub(super) left: VecDeque<Extent>,
}

impl Planner {
    /// The next window with work, and the idle ones before it.
    pub(super) fn next(&mut self) -> Result<Planned, Error> {
        let mut planned = Planned::default();
        while planned.idle.len() < IDLE_AT_ONCE {
            let Some(window) = self.next_window() else {
                planned.finished = true;
                break;
            };
            let plan = self.plan_window(window)?;
            if plan.runs.is_empty() && plan.hole_clears.is_empty() {
                planned.idle.push(window);
                planned.idle_counts = planned.idle_counts.plus(plan.counts);
            } else {
                planned.window = Some(plan);
                break;
            }
        }
        Ok(planned)
    }

    fn next_window(&mut self) -> Option<u64> {
        let first = self.left.pop_front()?;
        if let Some(rest) = Extent::from_range(first.offset() + 1..first.end()) {
            self.left.push_front(rest);
        }
        Some(first.offset())
    }

    fn plan_window(&self, window: u64) -> Result<WindowPlan, Error> {
        let row = self.checkpoint.window(window, self.disk, self.blank)?;
        let range = self.disk.window_range(window);
        let candidates = self.candidates(&range, &row.states);
        let data = if candidates.is_empty() { ExtentSet::new() } else { self.data(range.clone())? };
        let data_blocks: ExtentSet = data.iter().filter_map(|extent| self.blocks_of(&range, extent)).collect();

        let mut runs = Vec::new();
        for blocks in candidates.intersection(&data_blocks).iter() {
            for blocks in blocks.split_at_multiples(self.run_bytes / self.disk.block_size.bytes()) {
                runs.push(self.run(window, &range, blocks, &data, &row.states));
            }
        }
        let hole_clears: ExtentSet = candidates
            .difference(&data_blocks)
            .iter()
            .flat_map(super::super::extent::Extent::range)
            .filter(|block| row.states[*block as usize] != BlockState::Zero)
            .filter_map(|block| Extent::new(block, 1))
            .collect();

        let block_len = self.disk.block_size.bytes();
        let read: u64 = runs.iter().map(Run::data_bytes).sum();
        let counts = Counts {
            unlisted: (range.end - range.start) - candidates.len_bytes() * block_len,
            hole: candidates.len_bytes() * block_len - read,
            ..Counts::default()
        };
        Ok(WindowPlan { window, states: row.states, doubt: row.doubt, runs, hole_clears, counts })
    }

    /// The blocks to look at, by index in the window.
    fn candidates(&self, range: &Range<u64>, states: &[BlockState]) -> ExtentSet {
        let all = 0..states.len() as u64;
        let Some(listed) = &self.listed else { return Extent::from_range(all).into_iter().collect() };
        let mut candidates: ExtentSet =
            listed.intersecting(range.clone()).filter_map(|extent| self.blocks_of(range, extent)).collect();
        let mut at = 0;
        for same in states.chunk_by(|a, b| (*a == BlockState::Unknown) == (*b == BlockState::Unknown)) {
            if same[0] == BlockState::Unknown {
                candidates.extend(Extent::new(at, same.len() as u64));
            }
            at += same.len() as u64;
        }
        candidates
    }

    fn blocks_of(&self, range: &Range<u64>, extent: Extent) -> Option<Extent> {
        let block_len = self.disk.block_size.bytes();
        let end = extent.end().min(range.end) - range.start;
        Extent::from_range((extent.offset() - range.start) / block_len..end.div_ceil(block_len))
    }

    /// What the source has to be read for inside `range`, in whole grains.
    fn data(&self, range: Range<u64>) -> Result<ExtentSet, Error> {
        let end = range.end.min(self.source.size_bytes());
        let mut data = ExtentSet::new();
        let mut at = range.start;
        while at < end {
            for described in self.source.extents(at..end, EXTENTS_AT_ONCE)? {
                at = described.extent.end();
                if !described.reads_as_zero {
                    let extent = described.extent;
                    let grains = extent.offset() / GRAIN * GRAIN..extent.end().next_multiple_of(GRAIN);
                    data.extend(Extent::from_range(grains.start.max(range.start)..grains.end.min(range.end)));
                }
            }
        }
        Ok(data)
    }

    fn run(&self, window: u64, range: &Range<u64>, blocks: Extent, data: &ExtentSet, states: &[BlockState]) -> Run {
        let block_len = self.disk.block_size.bytes();
        let first = range.start / block_len;
        let offset = range.start + blocks.offset() * block_len;
        let len = blocks.len_bytes() * block_len;
        Run {
            window,
            blocks: first + blocks.offset()..first + blocks.end(),
            offset,
            len: len as usize,
            data: data.intersecting(offset..offset + len).collect(),
            old: states[blocks.offset() as usize..blocks.end() as usize].to_vec(),
        }
    }
}
