//! A disk in memory: for tests, and for fuzzing the image readers on plain bytes.

use std::ops::Range;

use super::{DiskSource, SourceError, SourceExtent};
use crate::extent::Extent;

/// The vector's bytes are the disk's; all of them count as data.
impl DiskSource for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn extents(&self, range: Range<u64>, _max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        Ok(Extent::from_range(range).map(SourceExtent::data).into_iter().collect())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let len = buf.len() as u64;
        let short = || SourceError::Short { disk: "memory".into(), offset, len, size: self.size_bytes() };
        let start = usize::try_from(offset).map_err(|_| short())?;
        let bytes = self.get(start..).and_then(|rest| rest.get(..buf.len())).ok_or_else(short)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}
