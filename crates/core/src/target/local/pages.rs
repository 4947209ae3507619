//! Pages in a sparse file.
//!
//! A page that was never written, or was cleared, is a hole: it takes no space and reads as zero. Which
//! pages are holes is the file system's to say, in steps of its own blocks (often 4 KiB), so a page beside
//! a written one may be reported as data. Sources: Linux man-pages lseek(2), fallocate(2), `ioctl_ficlone(2)`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::extent::{Extent, ExtentSet};
use crate::size::{MIB, PAGE, PageRange};

/// How much is copied between two looks at the cancellation token: well under a second on any disk.
const COPY_STEP: u64 = 16 * MIB;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Makes `range` a hole, or zeros where the file system has no holes.
pub(super) fn clear(file: &File, range: PageRange) -> io::Result<()> {
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, punch, range.offset(), range.len_bytes()) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, range),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(file: &File, range: PageRange) -> io::Result<()> {
    range.extent().split_at_multiples(ZEROS.len() as u64).try_for_each(|piece| {
        let zeros = &ZEROS[..piece.len_bytes() as usize];
        file.write_all_at(zeros, piece.offset())
    })
}

/// Reads exactly `range`.
pub(super) fn read(file: &File, range: PageRange) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; range.len_bytes() as usize];
    file.read_exact_at(&mut bytes, range.offset())?;
    Ok(bytes)
}

/// The pages of `window` that may hold data, merged. Moves the file's position: `file` is not shared.
pub(super) fn data_ranges(file: &File, window: Range<u64>) -> io::Result<Vec<PageRange>> {
    let window = window.start / PAGE * PAGE..window.end.next_multiple_of(PAGE);
    // Widening to pages can make neighbours touch, on a file system with blocks smaller than a page.
    let mut pages = ExtentSet::new();
    for_each_data(file, window.clone(), |data| {
        pages.insert(PageRange::covering(data).extent());
        Ok(())
    })?;
    Ok(pages.intersecting(window).map(PageRange::covering).collect())
}

/// Makes `copy`, which is empty, hold the bytes and holes of `file`. Shares the blocks where the file system
/// can (no bytes move), or else copies what is not a hole. Moves both files' positions.
pub(super) fn clone_into(file: &File, copy: &File, cancelled: &CancellationToken) -> io::Result<()> {
    // Any refusal only means that there is no short way; a real failure comes up again in the copy.
    if rustix::fs::ioctl_ficlone(copy, file).is_ok() {
        return Ok(());
    }
    copy_sparse(file, copy, cancelled)
}

fn copy_sparse(file: &File, copy: &File, cancelled: &CancellationToken) -> io::Result<()> {
    let len = file.metadata()?.len();
    copy.set_len(len)?;
    for_each_data(file, 0..len, |data| {
        data.split_at_multiples(COPY_STEP).try_for_each(|piece| {
            if cancelled.is_cancelled() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the caller gave up waiting"));
            }
            copy_extent(file, copy, piece)
        })
    })
}

/// Goes through [`io::copy`], which lets the kernel move the bytes (`copy_file_range`) where it can.
fn copy_extent(mut file: &File, mut copy: &File, extent: Extent) -> io::Result<()> {
    use std::io::{Read, Seek};
    file.seek(io::SeekFrom::Start(extent.offset()))?;
    copy.seek(io::SeekFrom::Start(extent.offset()))?;
    let copied = io::copy(&mut file.by_ref().take(extent.len_bytes()), &mut copy)?;
    if copied != extent.len_bytes() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{copied} of {} bytes at offset {} could be read", extent.len_bytes(), extent.offset()),
        ));
    }
    Ok(())
}

/// Calls `each` with every run inside `window` that is not a hole, in order.
fn for_each_data(file: &File, window: Range<u64>, mut each: impl FnMut(Extent) -> io::Result<()>) -> io::Result<()> {
    let mut at = window.start;
    while at < window.end {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but holes from here on.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end,
            // The file was made shorter in between.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        // A hole punched in between may make `end` equal to `start`: then there is nothing to tell.
        if let Some(data) = Extent::from_range(start..end.min(window.end)) {
            each(data)?;
        }
        at = end.max(at + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let (file, copy) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        file.set_len(64 * MIB).unwrap();
        file.write_all_at(&[7; 4096], 8 * MIB).unwrap();
        file.write_all_at(&[9; 4096], 64 * MIB - 4096).unwrap();

        copy_sparse(&file, &copy, &CancellationToken::new()).unwrap();

        assert_eq!(copy.metadata().unwrap().len(), 64 * MIB);
        assert_eq!(data_ranges(&copy, 0..64 * MIB).unwrap(), data_ranges(&file, 0..64 * MIB).unwrap());
        let last = PageRange::new(64 * MIB - 8192, 8192).unwrap();
        assert_eq!(read(&copy, last).unwrap(), read(&file, last).unwrap());
    }

    #[test]
    fn a_cancelled_copy_stops() {
        let (file, copy) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        file.write_all_at(&[7; 4096], 0).unwrap();
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        assert_eq!(copy_sparse(&file, &copy, &cancelled).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn zeros_written_for_want_of_holes_read_as_zero() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![7; 200 << 10], 0).unwrap();
        write_zeros(&file, PageRange::new(512, 150 << 10).unwrap()).unwrap();
        let bytes = read(&file, PageRange::new(0, 200 << 10).unwrap()).unwrap();
        let zeros = 512..512 + (150 << 10);
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == if zeros.contains(&at) { 0 } else { 7 }));
    }
}
