//! Reading and writing pages of the replica's file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use super::Shared;
use crate::extent::{Extent, ExtentSet};
use crate::size::{MAX_PUT_BYTES, PageRange};
use crate::target::{Fence, TargetError, View};

/// The most zeros that are written at once where a hole cannot be punched.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl Shared {
    pub(super) fn put(&self, range: PageRange, data: &[u8], fence: Fence) -> Result<(), TargetError> {
        if data.len() as u64 != range.len_bytes() || range.len_bytes() > MAX_PUT_BYTES {
            let limit = format!("{} bytes were given, at most {MAX_PUT_BYTES} fit one put", data.len());
            return Err(self.out_of_range("put pages", range, limit));
        }
        self.check_fence("put pages", fence)?;
        let file = self.file("put pages")?;
        self.check_inside("put pages", &file, range)?;
        file.write_all_at(data, range.offset()).map_err(self.io("put pages"))
    }

    pub(super) fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.check_fence("clear pages", fence)?;
        let file = self.file("clear pages")?;
        self.check_inside("clear pages", &file, range)?;
        punch(&file, range).map_err(self.io("clear pages"))
    }

    pub(super) fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        let file = self.view(view, "read")?;
        self.check_inside("read", &file, range)?;
        let mut bytes = vec![0; range.len_bytes() as usize];
        file.read_exact_at(&mut bytes, range.offset()).map_err(self.io("read"))?;
        Ok(bytes.into())
    }

    pub(super) fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        let file = self.view(view, "list pages")?;
        let len = file.metadata().map_err(self.io("list pages"))?.len();
        let pages: ExtentSet = data_extents(&file, window.start..window.end.min(len))
            .map_err(self.io("list pages"))?
            .into_iter()
            .map(|extent| PageRange::covering(extent).extent())
            .collect();
        Ok(pages.iter().map(PageRange::covering).collect())
    }

    fn view(&self, view: &View, operation: &'static str) -> Result<Arc<File>, TargetError> {
        match view {
            View::Live => self.file(operation),
            View::Snapshot(id) => self.open_snapshot(id, operation).map(Arc::new),
        }
    }

    fn check_inside(&self, operation: &'static str, file: &File, range: PageRange) -> Result<(), TargetError> {
        let len = file.metadata().map_err(self.io(operation))?.len();
        if range.end() > len {
            return Err(self.out_of_range(operation, range, format!("it has {len} bytes")));
        }
        Ok(())
    }

    fn out_of_range(&self, operation: &'static str, range: PageRange, limit: String) -> TargetError {
        TargetError::OutOfRange { operation, location: self.location(), range: range.to_string(), limit }
    }
}

/// Where the file holds data inside `range`: by `SEEK_DATA` and `SEEK_HOLE`, clipped, in order.
pub(super) fn data_extents(file: &File, range: Range<u64>) -> io::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let hole = seek(file, SeekFrom::Hole(data))?;
        extents.extend(Extent::from_range(data.max(range.start)..hole.min(range.end)));
        at = hole;
    }
    Ok(extents)
}

/// Makes a range read as zero, giving its space back where the file system can.
fn punch(file: &File, range: PageRange) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, range.offset(), range.len_bytes()) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            for piece in range.extent().split_at_multiples(ZEROS.len() as u64) {
                file.write_all_at(&ZEROS[..piece.len_bytes() as usize], piece.offset())?;
            }
            Ok(())
        }
        punched => punched.map_err(io::Error::from),
    }
}
