//! A source that remembers what was read from it.

use std::ops::Range;
use std::sync::Mutex;

use libmigrate::source::{DiskSource, SourceError, SourceExtent};

/// Passes everything on to `S`, and writes down each read.
pub(crate) struct Recording<S> {
    pub(crate) inner: S,
    reads: Mutex<Vec<Range<u64>>>,
}

impl<S> Recording<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, reads: Mutex::default() }
    }

    /// What was read since the last call.
    pub(crate) fn take_reads(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }
}

impl<S: DiskSource> DiskSource for Recording<S> {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        self.inner.extents(range, max)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        self.reads.lock().unwrap().push(offset..offset + buf.len() as u64);
        self.inner.read_at(offset, buf)
    }
}
