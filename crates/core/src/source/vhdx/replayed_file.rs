//! A file as it is after its log: changes in memory over bytes that stay as they are.
//!
//! Whole 4 KiB sectors and ranges of zeros, the later change winning. Memory: what the log holds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::extent::Extent;
use crate::source::{DiskSource, SourceError, SourceExtent, SourceLimits};

/// What the log changes at a time (2.3.1).
pub(super) const SECTOR: usize = 4096;

/// The changes of a log.
#[derive(Default)]
pub(super) struct Changes {
    /// New content by offset. It is later than zeros in the same place.
    sectors: BTreeMap<u64, Box<[u8; SECTOR]>>,
    /// End of each range of zeros by its start; they neither overlap nor touch.
    zeros: BTreeMap<u64, u64>,
    count: usize,
}

impl Changes {
    /// How many changes were made.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The sector at `offset` becomes `content`.
    pub(super) fn write(&mut self, offset: u64, content: Box<[u8; SECTOR]>) {
        self.count += 1;
        self.sectors.insert(offset, content);
    }

    /// The bytes of `range`, whole sectors, become zeros.
    pub(super) fn clear(&mut self, range: Extent) {
        self.count += 1;
        let overwritten: Vec<u64> = self.sectors.range(range.range()).map(|(at, _)| *at).collect();
        for at in overwritten {
            self.sectors.remove(&at);
        }
        let Range { mut start, mut end } = range.range();
        while let Some((&from, &to)) = self.zeros.range(..=end).next_back()
            && to >= start
        {
            self.zeros.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.zeros.insert(start, end);
    }
}

/// A file with the changes of its log.
pub(super) struct ReplayedFile {
    file: Arc<dyn DiskSource>,
    size: u64,
    changes: Changes,
}

impl ReplayedFile {
    /// `file` after `changes`, at least `min_size` bytes long; what it lacks reads as zeros.
    pub(super) fn new(file: Arc<dyn DiskSource>, min_size: u64, changes: Changes) -> Self {
        Self { size: file.size_bytes().max(min_size), file, changes }
    }

    /// The range of zeros that holds `at`, or else where the next one starts.
    fn zeros_at(&self, at: u64) -> Result<u64, Option<u64>> {
        let here = self.changes.zeros.range(..=at).next_back().filter(|(_, end)| **end > at);
        here.map(|(_, end)| *end).ok_or_else(|| self.changes.zeros.range(at..).next().map(|(start, _)| *start))
    }
}

impl DiskSource for ReplayedFile {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn point(&self) -> Option<String> {
        self.file.point()
    }

    fn limits(&self) -> SourceLimits {
        self.file.limits()
    }

    /// One answer at a time for what was changed, and as many as the file has for what was not.
    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let at = range.start;
        let sector = at - at % SECTOR as u64;
        let upto = |end: u64, answer: fn(Extent) -> SourceExtent| {
            Extent::from_range(at..end.min(range.end)).map(answer).into_iter().collect()
        };
        if self.changes.sectors.contains_key(&sector) {
            return Ok(upto(sector + SECTOR as u64, SourceExtent::data));
        }
        let next_sector = self.changes.sectors.range(at..).next().map_or(u64::MAX, |(next, _)| *next);
        let cleared = |extent| SourceExtent { extent, allocated: true, reads_as_zero: true };
        let next = match self.zeros_at(at) {
            Ok(end) => return Ok(upto(end.min(next_sector), cleared)),
            Err(next_zeros) => next_zeros.unwrap_or(u64::MAX).min(next_sector),
        };
        if at >= self.file.size_bytes() {
            return Ok(upto(next, SourceExtent::hole));
        }
        self.file.extents(at..next.min(range.end).min(self.file.size_bytes()), max)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let end = offset + buf.len() as u64;
        let stored = self.file.size_bytes().clamp(offset, end) - offset;
        let (in_file, past_it) = buf.split_at_mut(stored as usize);
        if !in_file.is_empty() {
            self.file.read_at(offset, in_file)?;
        }
        past_it.fill(0);

        let mut at = offset;
        while at < end {
            match self.zeros_at(at) {
                Ok(zeros_end) => {
                    let zeros_end = zeros_end.min(end);
                    buf[(at - offset) as usize..(zeros_end - offset) as usize].fill(0);
                    at = zeros_end;
                }
                Err(next) => at = next.unwrap_or(end),
            }
        }
        let first = offset.saturating_sub(SECTOR as u64 - 1);
        for (sector, content) in self.changes.sectors.range(first..end) {
            let (from, to) = (offset.max(*sector), end.min(sector + SECTOR as u64));
            let content = &content[(from - sector) as usize..(to - sector) as usize];
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(content);
        }
        Ok(())
    }
}
