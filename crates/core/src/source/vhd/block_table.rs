//! The block allocation table: where a dynamic or differencing disk's blocks are in the file.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (October 2006), "Block
//! Allocation Table and Data Blocks".
//!
//! Each allocated block is a bitmap of its sectors, padded to 512 bytes, then its data.
//!
//! - In a **differencing** disk the bitmap decides: a sector whose bit is set is the image's, any other is the
//!   parent's. Bitmaps are read when first asked for; the ones used last are kept ([`BITMAPS_KEPT`]).
//! - In a **dynamic** disk the bitmap is not read. The specification has it say which sectors were ever
//!   written, and then demands that all others "must contain 512 bytes of zero on disk": read whole, a block
//!   is right with or without its bitmap. QEMU does not read it either (`block/vpc.c`), nor, as was observed,
//!   does Windows 11 (7-Zip, feature request 1687): where a writer broke the demand, this is also what the
//!   guest saw, and of two readings the one that keeps bytes is the safe one.
//!
//! Invariants of a [`BlockTable`]: the table covers the disk; every allocated block, its bitmap included,
//! lies inside the file, and shares no byte with the headers, the table or another block.
//!
//! Memory: four bytes a block, at most 16 MiB, and 16 MiB of bitmaps.

use std::ops::Range;
use std::sync::Arc;

use super::damaged;
use super::dynamic_header::{DynamicHeader, HEADER_BYTES};
use crate::byte_order::be32;
use crate::extent::Extent;
use crate::source::layered::{Place, Placed};
use crate::source::table_cache::TableCache;
use crate::source::{DiskSource, ImageFile, SourceError};
use crate::vhd_footer::VhdFooter;

/// The bytes of a sector, in which the table counts.
const SECTOR: u64 = 512;

/// The table's word for "not allocated".
const ABSENT: u32 = u32::MAX;

/// The largest dynamic disk, by the specification. With [`MIN_BLOCK`] it bounds the table at 16 MiB.
const MAX_DISK: u64 = 2040 << 30;

/// The smallest block that Microsoft's products write (512 KiB or 2 MiB; Microsoft Learn,
/// `CREATE_VIRTUAL_DISK_PARAMETERS`, `BlockSizeInBytes`).
const MIN_BLOCK: u64 = 512 << 10;

/// Well above any block in use; bounds what one bitmap can take.
const MAX_BLOCK: u64 = 256 << 20;

/// How much of the table is read at a time.
const TABLE_PIECE: u64 = 1 << 20;

/// Bitmaps of a differencing disk that are kept. The largest is 64 KiB.
const BITMAPS_KEPT: usize = 256;

/// Where each block of a dynamic or differencing disk is in the file.
pub(super) struct BlockTable {
    disk_bytes: u64,
    block_bytes: u64,
    bitmap_bytes: u64,
    /// First sector of each block's bitmap, or [`ABSENT`].
    first_sectors: Vec<u32>,
    /// The bitmaps of a differencing disk; `None` for a dynamic one.
    bitmaps: Option<TableCache<Vec<u8>>>,
}

impl BlockTable {
    /// Reads and checks the table. `differs`: the disk has a parent.
    pub(super) fn read(
        file: &ImageFile,
        footer: &VhdFooter,
        header: &DynamicHeader,
        differs: bool,
    ) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(file, "block table", header.table_offset, problem);
        let file_bytes = file.bytes().size_bytes();
        let disk_bytes = footer.virtual_bytes;
        let block_bytes = header.block_bytes;
        if !(MIN_BLOCK..=MAX_BLOCK).contains(&block_bytes) {
            let feature = format!("VHD blocks of {block_bytes} bytes ({MIN_BLOCK} to {MAX_BLOCK} are read)");
            return Err(SourceError::Unsupported { path: file.path().to_path_buf(), feature });
        }
        if disk_bytes > MAX_DISK {
            let problem = format!("the disk has {disk_bytes} bytes; a table of blocks can name at most {MAX_DISK}");
            return Err(wrong(problem));
        }
        // The table may have more entries than the disk has blocks; the surplus means nothing.
        let count = disk_bytes.div_ceil(block_bytes);
        if count > header.entries {
            return Err(wrong(format!(
                "a disk of {disk_bytes} bytes needs {count} blocks of {block_bytes}, the table has {}",
                header.entries
            )));
        }
        let table_region = region_in_file(header.table_offset, count * 4, file_bytes)
            .ok_or_else(|| wrong(format!("its {count} entries are not inside the file")))?;

        let table = Self {
            disk_bytes,
            block_bytes,
            bitmap_bytes: (block_bytes / SECTOR / 8).next_multiple_of(SECTOR),
            first_sectors: read_table(file.bytes(), table_region)?,
            bitmaps: differs.then(|| TableCache::new(BITMAPS_KEPT)),
        };
        let header_region = Extent::new(header.at, HEADER_BYTES);
        let taken: Vec<Extent> = header_region.into_iter().chain([table_region]).collect();
        table.check_blocks(&taken, file_bytes).map_err(|(offset, problem)| damaged(file, "block", offset, problem))?;
        Ok(table)
    }

    /// Every allocated block lies inside the file and shares no byte with another, nor with `taken`.
    fn check_blocks(&self, taken: &[Extent], file_bytes: u64) -> Result<(), (u64, String)> {
        let footprint = self.bitmap_bytes + self.block_bytes;
        let mut allocated: Vec<u32> = self.first_sectors.iter().copied().filter(|first| *first != ABSENT).collect();
        allocated.sort_unstable();
        let mut free_from = 0;
        for first in allocated {
            let offset = u64::from(first) * SECTOR;
            let block = region_in_file(offset, footprint, file_bytes)
                .ok_or_else(|| (offset, format!("it ends past the file's {file_bytes} bytes: the file was cut")))?;
            if offset < free_from || taken.iter().any(|region| region.intersect(block).is_some()) {
                return Err((offset, "it overlaps another structure of the file".into()));
            }
            free_from = block.end();
        }
        Ok(())
    }

    /// What holds the bytes from `range.start`.
    pub(super) fn place_at(&self, file: &Arc<dyn DiskSource>, range: Range<u64>) -> Result<Placed, SourceError> {
        let at = range.start;
        let Some(data_at) = self.block_at(at) else {
            let mut end = self.block_end(at);
            while end < range.end && self.block_at(end).is_none() {
                end = self.block_end(end);
            }
            return Ok(Placed { len_bytes: end.min(range.end) - at, place: Place::Absent });
        };
        let in_block = at % self.block_bytes;
        let here = Place::File { index: 0, offset: data_at + in_block, has_holes: false };
        let end = self.block_end(at).min(range.end);
        let Some(bitmaps) = &self.bitmaps else { return Ok(Placed { len_bytes: end - at, place: here }) };
        let bitmap = bitmaps.get(at / self.block_bytes, || {
            let mut bitmap = vec![0; self.bitmap_bytes as usize];
            file.read_at(data_at - self.bitmap_bytes, &mut bitmap)?;
            Ok::<_, SourceError>(bitmap)
        })?;
        let sector = in_block / SECTOR;
        let is_here = is_set(&bitmap, sector);
        let sectors = (sector..self.block_bytes / SECTOR).take_while(|sector| is_set(&bitmap, *sector) == is_here);
        let run_end = at - at % SECTOR + sectors.count() as u64 * SECTOR;
        Ok(Placed { len_bytes: run_end.min(end) - at, place: if is_here { here } else { Place::Absent } })
    }

    /// Where in the file the data of the block that holds the disk's byte `at` starts; `None` when the
    /// block is not allocated.
    fn block_at(&self, at: u64) -> Option<u64> {
        let first = *self.first_sectors.get((at / self.block_bytes) as usize)?;
        (first != ABSENT).then(|| u64::from(first) * SECTOR + self.bitmap_bytes)
    }

    /// Where on the disk the block that holds byte `at` ends.
    fn block_end(&self, at: u64) -> u64 {
        (at / self.block_bytes + 1) * self.block_bytes
    }
}

impl std::fmt::Debug for BlockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { disk_bytes, block_bytes, .. } = self;
        write!(f, "BlockTable({disk_bytes} bytes in blocks of {block_bytes})")
    }
}

/// The bit of a sector; the highest of each byte comes first.
fn is_set(bitmap: &[u8], sector: u64) -> bool {
    bitmap.get((sector / 8) as usize).is_some_and(|byte| byte & (0x80 >> (sector % 8)) != 0)
}

/// `len` bytes at `offset`, if the file holds them.
fn region_in_file(offset: u64, len: u64, file_bytes: u64) -> Option<Extent> {
    Extent::new(offset, len).filter(|region| region.end() <= file_bytes)
}

/// The entries in `region`, which lies inside the file; memory grows only as they are read.
fn read_table(file: &Arc<dyn DiskSource>, region: Extent) -> Result<Vec<u32>, SourceError> {
    let mut entries = Vec::new();
    let mut piece = Vec::new();
    let mut at = region.offset();
    while at < region.end() {
        piece.resize((region.end() - at).min(TABLE_PIECE) as usize, 0);
        file.read_at(at, &mut piece)?;
        entries.extend(piece.chunks_exact(4).map(|entry| be32(entry, 0)));
        at += piece.len() as u64;
    }
    Ok(entries)
}
