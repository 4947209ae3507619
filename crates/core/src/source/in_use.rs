//! A disk of which only what is in use counts.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{ChangeList, ChangeListError, DiskSource, SourceError, SourceExtent, SourceLimits};
use crate::extent::{Extent, ExtentSet};

/// A source whose bytes outside of what is in use are zeros, and are neither read nor sent.
///
/// A file system's free blocks, and blocks that a hypervisor never allocated, hold nothing that anybody will
/// read; what lies in them is old. This source says that it is zeros, so the replica has zeros there and is
/// equal to **this source**, not to the device below it: verify against the same view.
///
/// With a change list between two moments, give the union of what was in use at both: a block that was freed
/// in between turns to zeros here without any list naming it, and such a list is not believed.
pub struct InUse {
    source: Arc<dyn DiskSource>,
    in_use: ExtentSet,
}

impl InUse {
    /// `source`, of which `list` names what is in use: a list from the empty disk on, such as
    /// [`ChangeList::from_vddk_allocated`]. What it does not cover counts as in use.
    ///
    /// Fails when the list is not about a disk of this size.
    pub fn new(source: Arc<dyn DiskSource>, list: &ChangeList) -> Result<Self, ChangeListError> {
        let in_use = list.changed(source.size_bytes())?;
        Ok(Self { source, in_use })
    }
}

impl DiskSource for InUse {
    fn size_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    fn identity(&self) -> Option<String> {
        self.source.identity()
    }

    fn point(&self) -> Option<String> {
        self.source.point()
    }

    fn limits(&self) -> SourceLimits {
        self.source.limits()
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let used = self.in_use.intersecting(range.clone()).next();
        match used {
            Some(used) if used.offset() == range.start => self.source.extents(used.range(), max),
            next => {
                let end = next.map_or(range.end, Extent::offset);
                Ok(Extent::from_range(range.start..end).map(SourceExtent::hole).into_iter().collect())
            }
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let end = offset + buf.len() as u64;
        buf.fill(0);
        for used in self.in_use.intersecting(offset..end) {
            let piece = &mut buf[(used.offset() - offset) as usize..(used.end() - offset) as usize];
            self.source.read_at(used.offset(), piece)?;
        }
        Ok(())
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse").field("in_use_bytes", &self.in_use.len_bytes()).finish_non_exhaustive()
    }
}
