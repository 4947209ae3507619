//! Reading runs of the source and comparing them with what the target holds.

use std::ops::{ControlFlow, Range};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::buffer_pool::Buffer;
use super::engine::EngineShared;
use super::error::ReplicateError;
use super::lane::{Lane, Passage};
use super::pipeline::{Finding, Found};
use super::plan::Run;
use super::thread;
use crate::digest::diff::{RequestCost, diff_run};
use crate::extent::Extent;
use crate::progress::Counts;
use crate::size::{BlockSize, PageRange};
use crate::source::{DiskSource, SourceError};

/// Reads runs and compares them, on a thread of its own, until there are none. It knows nothing of the replica: a
/// read that hangs must not keep the checkpoint in use.
pub(super) struct Reader {
    pub(super) source: Arc<dyn DiskSource>,
    pub(super) engine: Arc<EngineShared>,
    pub(super) lane: Arc<Lane>,
    pub(super) runs: async_channel::Receiver<Run>,
    pub(super) found: mpsc::UnboundedSender<Found>,
    pub(super) block_size: BlockSize,
    pub(super) passage: Passage,
    pub(super) cancel: CancellationToken,
}

impl Reader {
    pub(super) fn start(self) {
        let reader = Arc::new(self);
        let waiting = Arc::clone(&reader);
        let wait = move || {
            let reader = Arc::clone(&waiting);
            async move { reader.next().await }
        };
        thread::spawn_loop(wait, move |(run, buffer)| reader.take(run, buffer));
    }

    /// The next run, and room for it.
    async fn next(&self) -> Option<(Run, Buffer)> {
        let run = self.runs.recv().await.ok()?;
        let take = self.cancel.run_until_cancelled(async {
            // What must not be sent yet is not read either: the source may be at the end of a network too.
            self.lane.open(self.passage).await;
            self.engine.pool.take(run.len).await
        });
        let buffer = take.await?;
        Some((run, buffer))
    }

    fn take(&self, run: Run, buffer: Buffer) -> ControlFlow<()> {
        // The source may be the caller's own code; its panic is one failed cycle, not a hang.
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| self.read(run, buffer))).unwrap_or_else(|_| {
            Err(ReplicateError::Internal { problem: "the source panicked while it was read".into() }.into())
        });
        if self.found.send(found).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn read(&self, run: Run, mut buffer: Buffer) -> Found {
        if self.is_one_read(&run) {
            let memory = self.source.read_into(run.offset, std::mem::take(buffer.memory()))?;
            if memory.len() != run.len {
                let (offset, len, problem) = (run.offset, run.len as u64, format!("it gave {} bytes", memory.len()));
                return Err(SourceError::Custom { offset, len, problem }.into());
            }
            *buffer.memory() = memory;
            return Ok(self.compare(run, &buffer.freeze()));
        }
        let bytes = buffer.as_mut_slice();
        let max_read = self.source.limits().max_read_bytes.max(1);
        let mut filled = 0;
        for data in &run.data {
            let start = (data.offset() - run.offset) as usize;
            let end = (data.end().min(self.source.size_bytes()).max(data.offset()) - run.offset) as usize;
            bytes[filled..start].fill(0);
            for piece in (start..end).step_by(max_read as usize) {
                let piece = piece..end.min(piece + max_read as usize);
                self.source.read_at(run.offset + piece.start as u64, &mut bytes[piece])?;
            }
            filled = end;
        }
        bytes[filled..].fill(0);
        Ok(self.compare(run, &buffer.freeze()))
    }

    /// Whether a run is all data of the source, and no longer than what it takes at once.
    fn is_one_read(&self, run: &Run) -> bool {
        let [data] = run.data[..] else { return false };
        let whole = (data.offset(), data.len_bytes()) == (run.offset, run.len as u64);
        whole && data.end() <= self.source.size_bytes() && data.len_bytes() <= self.source.limits().max_read_bytes
    }

    fn compare(&self, run: Run, bytes: &Bytes) -> Finding {
        compare(run, bytes, self.block_size, self.engine.options.request_cost)
    }
}

/// What a run that was read comes to.
pub(super) fn compare(run: Run, bytes: &Bytes, block_size: BlockSize, cost: RequestCost) -> Finding {
    let diff = diff_run(bytes, &run.old, block_size, cost);
    let pages = |range: &Range<usize>| {
        PageRange::new(run.offset + range.start as u64, range.len() as u64).expect("runs of grains are whole pages")
    };
    let puts: Vec<_> = diff.put.iter().map(|range| (pages(range), bytes.slice(range.clone()))).collect();
    let clears: Vec<_> = diff.clear.iter().map(pages).collect();
    let sent = puts.iter().map(|(range, _)| range.len_bytes()).sum();
    let all_cleared: u64 = clears.iter().map(|range| range.len_bytes()).sum();
    let cleared = clears
        .iter()
        .flat_map(|range| run.data.iter().filter_map(|data| data.intersect(range.extent())))
        .map(Extent::len_bytes)
        .sum();
    let read = run.data_bytes();
    let counts = Counts {
        read,
        sent,
        cleared,
        skipped: read - sent - cleared,
        hole_cleared: all_cleared - cleared,
        puts: puts.len() as u64,
        clears: clears.len() as u64,
        // Accounted for by the plan of the window.
        hole: 0,
        unlisted: 0,
    };
    Finding { window: run.window, blocks: run.blocks, old: run.old, new: diff.states, puts, clears, counts }
}
