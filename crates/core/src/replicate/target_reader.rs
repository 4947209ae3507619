//! Reads the target back as block states, under the memory cap, several requests at once.
//!
//! Reads are under the limit of requests in flight, but neither under that of bytes nor under the schedule
//! ([`lane`](super::lane) says why).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::engine::EngineShared;
use super::error::Error;
use super::lane::Load;
use super::retry::Retry;
use crate::checkpoint::Disk;
use crate::digest::block::BlockState;
use crate::digest::diff::states_of;
use crate::extent::{Extent, ExtentSet};
use crate::size::PageRange;
use crate::target::{PageTarget, View};

/// One view of the target.
#[derive(Debug)]
pub(super) struct TargetReader<'a> {
    pub(super) engine: &'a EngineShared,
    pub(super) target: &'a Arc<dyn PageTarget>,
    pub(super) retry: &'a Retry,
    pub(super) view: View,
    pub(super) disk: Disk,
}

impl TargetReader<'_> {
    /// Reads one stretch of at most a run.
    pub(super) async fn read(&self, range: PageRange, cancel: &CancellationToken) -> Result<Bytes, Error> {
        self.retry.transfer(Load::read(range.len_bytes()), cancel, || self.target.read(&self.view, range)).await
    }

    /// The states of the blocks in `range` (whole blocks), and how many bytes were read for it. What the
    /// target lists as empty is not read.
    pub(super) async fn states(
        &self,
        range: Range<u64>,
        cancel: &CancellationToken,
    ) -> Result<(Vec<BlockState>, u64), Error> {
        let block_size = self.disk.block_size;
        let list = || self.target.page_ranges(&self.view, range.clone());
        let listed = self.retry.transfer(Load::list_pages(), cancel, list).await?;
        let held: ExtentSet = listed
            .iter()
            .filter_map(|pages| Extent::from_range(block_size.cover(pages.offset()..pages.end(), self.disk.bytes)))
            .filter_map(|extent| extent.intersect(Extent::from_range(range.clone())?))
            .collect();
        let mut states = vec![BlockState::Zero; block_size.count(range.end - range.start) as usize];
        let run_bytes = self.engine.run_bytes(block_size, self.target.capabilities());
        let pieces: Vec<Extent> = held.iter().flat_map(|extent| extent.split_at_multiples(run_bytes)).collect();
        let mut read = futures::stream::iter(pieces)
            .map(|piece| async move {
                let _part_of_the_cap = self.engine.pool.reserve(piece.len_bytes() as usize).await;
                let bytes = self.read(PageRange::covering(piece), cancel).await?;
                Ok::<_, Error>((piece, states_of(&bytes, block_size).collect::<Vec<_>>()))
            })
            .buffer_unordered(self.engine.options.requests_in_flight);
        while let Some((piece, found)) = read.try_next().await? {
            let first = ((piece.offset() - range.start) / block_size.bytes()) as usize;
            states[first..first + found.len()].copy_from_slice(&found);
        }
        Ok((states, held.len_bytes()))
    }
}
