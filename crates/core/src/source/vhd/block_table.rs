//! The dynamic header and the block allocation table: where a dynamic disk's blocks are in the file.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (October 2006),
//! "Dynamic Disk Header Format" and "Block Allocation Table and Data Blocks".
//!
//! Each allocated block is a bitmap of its sectors, padded to 512 bytes, then its data. The bitmap is not
//! read. The specification has it say which sectors were ever written, and then demands that all others
//! "must contain 512 bytes of zero on disk": read whole, a block is right with or without its bitmap.
//! QEMU does not read it either (`block/vpc.c`), nor, as was observed, does Windows 11 (7-Zip, feature
//! request 1687): where a writer broke the demand, this is also what the guest saw, and of two readings
//! the one that keeps bytes is the safe one.
//!
//! Invariants of a [`BlockTable`]: the table covers the disk; every allocated block, its bitmap included,
//! lies inside the file, and shares no byte with the headers, the table or another block.

use std::ops::Range;
use std::path::Path;

use super::FORMAT;
use crate::extent::Extent;
use crate::source::{DiskSource, SourceError, SourceExtent};
use crate::vhd_footer::{VhdFooter, be32, be64, checksum};

const HEADER_BYTES: u64 = 1024;
const HEADER_COOKIE: &[u8; 8] = b"cxsparse";
const HEADER_CHECKSUM_AT: usize = 36;

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

/// Where each block of a dynamic disk is in the file.
pub(super) struct BlockTable {
    disk_bytes: u64,
    block_bytes: u64,
    bitmap_bytes: u64,
    /// First sector of each block's bitmap, or [`ABSENT`].
    first_sectors: Vec<u32>,
}

impl BlockTable {
    /// Reads and checks header and table.
    pub(super) fn read(file: &impl DiskSource, footer: &VhdFooter, path: &Path) -> Result<Self, SourceError> {
        let damaged = |problem| SourceError::Damaged { path: path.to_path_buf(), format: FORMAT, problem };
        let file_bytes = file.size_bytes();
        let disk_bytes = footer.virtual_bytes;
        if disk_bytes > MAX_DISK {
            return Err(damaged(format!("it states {disk_bytes} bytes; a dynamic disk has at most {MAX_DISK}")));
        }

        let header_at = footer.data_offset;
        let header_region = region_in_file(header_at, HEADER_BYTES, file_bytes)
            .ok_or_else(|| damaged(format!("its dynamic header at offset {header_at} is not inside the file")))?;
        let mut header = [0; HEADER_BYTES as usize];
        file.read_at(header_at, &mut header)?;
        let header =
            Header::decode(&header).map_err(|problem| damaged(format!("{problem} (at offset {header_at})")))?;

        let block_bytes = header.block_bytes;
        if !(MIN_BLOCK..=MAX_BLOCK).contains(&block_bytes) {
            let feature = format!("VHD blocks of {block_bytes} bytes ({MIN_BLOCK} to {MAX_BLOCK} are read)");
            return Err(SourceError::Unsupported { path: path.to_path_buf(), feature });
        }
        // The table may have more entries than the disk has blocks; the surplus means nothing.
        let count = disk_bytes.div_ceil(block_bytes);
        if count > header.entries {
            return Err(damaged(format!(
                "a disk of {disk_bytes} bytes needs {count} blocks of {block_bytes}, its table has {}",
                header.entries
            )));
        }
        let table_region = region_in_file(header.table_offset, count * 4, file_bytes).ok_or_else(|| {
            damaged(format!(
                "its block table at offset {}, {count} entries, is not inside the file",
                header.table_offset
            ))
        })?;

        let table = Self {
            disk_bytes,
            block_bytes,
            bitmap_bytes: (block_bytes / SECTOR / 8).next_multiple_of(SECTOR),
            first_sectors: read_table(file, table_region)?,
        };
        table.check_blocks(&[header_region, table_region], file_bytes).map_err(damaged)?;
        Ok(table)
    }

    /// Every allocated block lies inside the file and shares no byte with another, nor with `taken`.
    fn check_blocks(&self, taken: &[Extent], file_bytes: u64) -> Result<(), String> {
        let footprint = self.bitmap_bytes + self.block_bytes;
        let mut allocated: Vec<u32> = self.first_sectors.iter().copied().filter(|first| *first != ABSENT).collect();
        allocated.sort_unstable();
        let mut free_from = 0;
        for first in allocated {
            let offset = u64::from(first) * SECTOR;
            let block = region_in_file(offset, footprint, file_bytes).ok_or_else(|| {
                format!("its block at offset {offset} ends past the file's {file_bytes} bytes: the file was cut")
            })?;
            if offset < free_from || taken.iter().any(|region| region.intersect(block).is_some()) {
                return Err(format!("its block at offset {offset} overlaps another structure of the file"));
            }
            free_from = block.end();
        }
        Ok(())
    }

    /// The disk's extents from the start of `range`, neighbours of a kind joined, at most `max`.
    pub(super) fn extents(&self, range: Range<u64>, max: usize) -> Vec<SourceExtent> {
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end && found.len() < max.max(1) {
            let allocated = self.block_at(at).is_some();
            let mut end = at;
            while end < range.end && self.block_at(end).is_some() == allocated {
                end = self.block_end(end).min(range.end);
            }
            let Some(extent) = Extent::from_range(at..end) else { break };
            found.push(if allocated { SourceExtent::data(extent) } else { SourceExtent::hole(extent) });
            at = end;
        }
        found
    }

    /// Fills `buf` from the disk's `offset`: from the file where a block is allocated, else with zeros.
    pub(super) fn read_at(&self, file: &impl DiskSource, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let in_block = (self.block_end(at) - at).min(rest.len() as u64);
            let (piece, after) = rest.split_at_mut(in_block as usize);
            match self.block_at(at) {
                Some(data_at) => file.read_at(data_at + at % self.block_bytes, piece)?,
                None => piece.fill(0),
            }
            at += in_block;
            rest = after;
        }
        Ok(())
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

/// What the dynamic header says about the table.
struct Header {
    table_offset: u64,
    entries: u64,
    block_bytes: u64,
}

impl Header {
    fn decode(header: &[u8; HEADER_BYTES as usize]) -> Result<Self, String> {
        if !header.starts_with(HEADER_COOKIE) {
            return Err("its dynamic header does not start with \"cxsparse\"".into());
        }
        let (stored, sum) = (be32(header, HEADER_CHECKSUM_AT), checksum(header, HEADER_CHECKSUM_AT));
        if stored != sum {
            return Err(format!("its dynamic header's checksum is {stored:#010x}, the bytes give {sum:#010x}"));
        }
        let version = be32(header, 24);
        if version >> 16 != 1 {
            return Err(format!("its dynamic header's version is {version:#010x}; only 1.x is known"));
        }
        let block_bytes = u64::from(be32(header, 32));
        if !block_bytes.is_power_of_two() {
            return Err(format!("its block size of {block_bytes} bytes is not a power of two"));
        }
        Ok(Self { table_offset: be64(header, 16), entries: u64::from(be32(header, 28)), block_bytes })
    }
}

/// `len` bytes at `offset`, if the file holds them.
fn region_in_file(offset: u64, len: u64, file_bytes: u64) -> Option<Extent> {
    Extent::new(offset, len).filter(|region| region.end() <= file_bytes)
}

/// The entries in `region`, which lies inside the file; memory grows only as they are read.
fn read_table(file: &impl DiskSource, region: Extent) -> Result<Vec<u32>, SourceError> {
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
