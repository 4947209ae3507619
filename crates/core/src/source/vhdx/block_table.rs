//! The block allocation table: where each block of the disk is in the file (2.4, 2.5).
//!
//! The disk is cut into chunks of 2^23 sectors. For each chunk the table has the entries of its blocks, then one
//! for the chunk's sector bitmap, which only differencing disks have: a block that is there in part has
//! the sectors whose bit is set, the others are the parent's. Bitmaps are read when first asked for, 64 KiB
//! at a time; the ones used last are kept ([`BITMAPS_KEPT`]).
//!
//! What a block that is not there reads as (2.5.1.1):
//!
//! - *Not present*: the parent's bytes; zeros where there is no parent, which the specification allows.
//! - *Zero*: zeros, whatever a parent has.
//! - *Undefined* and *unmapped*: the guest gave the block up (TRIM), and must not rely on what it reads.
//!   Zeros are among the readings that the specification allows in every type of file; a parent's bytes are
//!   not, and would bring back what the guest discarded.
//!
//! Invariants of a [`BlockTable`]: the table covers the disk; every block that has a place, and every sector
//! bitmap, lies inside the file and shares no byte with the headers, the log, a region or another block; a block
//! that is there in part has a sector bitmap.
//!
//! Memory: four bytes a block (8 MiB for 2 TiB in blocks of 1 MiB), twice that while it is read, and 16 MiB
//! of bitmaps.

use std::ops::Range;
use std::sync::Arc;

use super::metadata::Metadata;
use super::region_table::RegionTable;
use super::{MIB, damaged, le64, unsupported};
use crate::extent::Extent;
use crate::source::layered::{Place, Placed};
use crate::source::table_cache::TableCache;
use crate::source::{DiskSource, ImageFile, SourceError};

/// Sectors that one sector bitmap covers; its block has a bit for each (2.4).
const CHUNK_SECTORS: u64 = 1 << 23;

/// How much of a sector bitmap is read at a time. What it covers is a multiple of every block size.
const BITMAP_PIECE: u64 = 64 << 10;

/// Pieces of sector bitmaps that are kept.
const BITMAPS_KEPT: usize = 256;

/// How much of the table is read at a time.
const TABLE_PIECE: u64 = 1 << 20;

/// States of a block (2.5.1.1) and of a sector bitmap (2.5.1.2).
const NOT_PRESENT: u8 = 0;
const UNDEFINED: u8 = 1;
const ZERO: u8 = 2;
const UNMAPPED: u8 = 3;
const FULLY_PRESENT: u8 = 6;
const PARTIALLY_PRESENT: u8 = 7;

/// An entry as it is kept: the state in the low three bits, above it the place in MiB.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

impl Entry {
    /// Places from here on do not fit: 512 TiB.
    const END: u64 = 1 << 29;

    const fn state(self) -> u8 {
        (self.0 & 7) as u8
    }

    const fn mib(self) -> u32 {
        self.0 >> 3
    }

    /// Where the block is in the file.
    fn offset(self) -> u64 {
        u64::from(self.mib()) * MIB
    }

    const fn has_place(self) -> bool {
        matches!(self.state(), FULLY_PRESENT | PARTIALLY_PRESENT)
    }

    /// What the guest's block of this entry is made of; blocks of a kind can be one run.
    const fn kind(self) -> Kind {
        match self.state() {
            FULLY_PRESENT => Kind::Here,
            PARTIALLY_PRESENT => Kind::InPart,
            NOT_PRESENT => Kind::Absent,
            _ => Kind::Zero,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Here,
    InPart,
    Absent,
    Zero,
}

/// Where each block of the disk is in the file.
pub(super) struct BlockTable {
    disk_bytes: u64,
    block_bytes: u64,
    sector_bytes: u64,
    is_fixed: bool,
    blocks: Vec<Entry>,
    /// Of each chunk; empty where there is no parent.
    bitmaps: Vec<Entry>,
    pieces: TableCache<Vec<u8>>,
}

impl BlockTable {
    /// Reads and checks the table. `stored_bytes`: the length of the file before its log.
    ///
    /// A log may say that the file was to grow. Blocks may lie there: nothing was written to them for good. A
    /// table may not: it would read as one without any block.
    pub(super) fn read(
        file: &ImageFile,
        stored_bytes: u64,
        regions: &RegionTable,
        metadata: &Metadata,
    ) -> Result<Self, SourceError> {
        let Metadata { disk_bytes, block_bytes, sector_bytes, is_fixed, .. } = *metadata;
        let differs = metadata.parent.is_some();
        let count = disk_bytes.div_ceil(block_bytes);
        let ratio = CHUNK_SECTORS * sector_bytes / block_bytes;
        let entries = if differs { count.div_ceil(ratio) * (ratio + 1) } else { count + (count - 1) / ratio };
        let region = Extent::new(regions.block_table.offset(), entries * 8)
            .filter(|needed| needed.end() <= regions.block_table.end().min(stored_bytes))
            .ok_or_else(|| {
                let problem = format!(
                    "the {entries} entries that a disk of {disk_bytes} bytes needs are not inside it and the file"
                );
                damaged(file, "block table", regions.block_table.offset(), problem)
            })?;

        let mut table = Self {
            disk_bytes,
            block_bytes,
            sector_bytes,
            is_fixed,
            blocks: Vec::new(),
            bitmaps: Vec::new(),
            pieces: TableCache::new(BITMAPS_KEPT),
        };
        let mut piece = Vec::new();
        let mut at = region.offset();
        while at < region.end() {
            piece.resize((region.end() - at).min(TABLE_PIECE) as usize, 0);
            file.bytes().read_at(at, &mut piece)?;
            for (entry, at) in piece.chunks_exact(8).zip((at..).step_by(8)) {
                let is_bitmap = (at - region.offset()) / 8 % (ratio + 1) == ratio;
                if is_bitmap && differs {
                    table.bitmaps.push(bitmap_entry(file, le64(entry, 0), at)?);
                } else if !is_bitmap && (table.blocks.len() as u64) < count {
                    table.blocks.push(block_entry(file, le64(entry, 0), at, block_bytes, differs)?);
                }
            }
            at += piece.len() as u64;
        }
        table.check_bitmaps(ratio).map_err(|problem| damaged(file, "block table", region.offset(), problem))?;
        table
            .check_overlap(&regions.taken)
            .map_err(|at| damaged(file, "block", at, "it overlaps another structure of the file".into()))?;
        Ok(table)
    }

    /// A block that is there in part has a sector bitmap that says in which.
    fn check_bitmaps(&self, ratio: u64) -> Result<(), String> {
        let lacks = |(chunk, blocks): (usize, &[Entry])| {
            let has_bitmap = self.bitmaps.get(chunk).is_some_and(|bitmap| bitmap.has_place());
            !has_bitmap && blocks.iter().any(|block| block.state() == PARTIALLY_PRESENT)
        };
        match self.blocks.chunks(ratio as usize).enumerate().position(lacks) {
            Some(chunk) => Err(format!("chunk {chunk} has a block that is there in part, and no sector bitmap")),
            None => Ok(()),
        }
    }

    /// Every block has its place to itself; `Err` is where one does not. `taken` is in order.
    fn check_overlap(&self, taken: &[Extent]) -> Result<(), u64> {
        let mut blocks: Vec<u32> =
            self.blocks.iter().filter(|block| block.has_place()).map(|block| block.mib()).collect();
        blocks.sort_unstable();
        let block_mib = (self.block_bytes / MIB) as u32;
        if let Some(pair) = blocks.windows(2).find(|pair| pair[1] - pair[0] < block_mib) {
            return Err(u64::from(pair[1]) * MIB);
        }
        let bitmaps = self.bitmaps.iter().filter(|bitmap| bitmap.has_place());
        let mut others: Vec<Extent> = bitmaps.filter_map(|bitmap| Extent::new(bitmap.offset(), MIB)).collect();
        others.extend(taken);
        others.sort_unstable();
        if let Some(pair) = others.windows(2).find(|pair| pair[0].intersect(pair[1]).is_some()) {
            return Err(pair[1].offset());
        }
        // The first block that ends after a structure's start must start after its end.
        let overlapping = others.iter().find_map(|other| {
            let first = blocks.partition_point(|mib| u64::from(*mib) * MIB + self.block_bytes <= other.offset());
            blocks.get(first).map(|mib| u64::from(*mib) * MIB).filter(|start| *start < other.end())
        });
        overlapping.map_or(Ok(()), Err)
    }

    /// What holds the bytes from `range.start`.
    pub(super) fn place_at(&self, file: &Arc<dyn DiskSource>, range: Range<u64>) -> Result<Placed, SourceError> {
        let at = range.start;
        let number = (at / self.block_bytes) as usize;
        let Some(block) = self.blocks.get(number).copied() else {
            return Ok(Placed { len_bytes: range.end - at, place: Place::Absent });
        };
        let here = Place::File { index: 0, offset: block.offset() + at % self.block_bytes, has_holes: self.is_fixed };
        let place = match block.kind() {
            Kind::Here => here,
            Kind::Absent => Place::Absent,
            Kind::Zero => Place::Zero { allocated: false },
            Kind::InPart => {
                let end = self.block_end(at).min(range.end);
                let (len_bytes, is_here) = self.sector_run(file, at..end)?;
                return Ok(Placed { len_bytes, place: if is_here { here } else { Place::Absent } });
            }
        };
        let mut end = self.block_end(at);
        let mut last = block;
        while end < range.end
            && let Some(next) = self.blocks.get((end / self.block_bytes) as usize)
            && next.kind() == block.kind()
            && (block.kind() != Kind::Here || next.offset() == last.offset() + self.block_bytes)
        {
            last = *next;
            end = self.block_end(end);
        }
        Ok(Placed { len_bytes: end.min(range.end) - at, place })
    }

    /// How far the bytes from `range.start` come from one place, and whether that is this file. `range` is
    /// inside a block that is there in part.
    fn sector_run(&self, file: &Arc<dyn DiskSource>, range: Range<u64>) -> Result<(u64, bool), SourceError> {
        let covered = BITMAP_PIECE * 8 * self.sector_bytes;
        let number = range.start / covered;
        let chunk_bytes = CHUNK_SECTORS * self.sector_bytes;
        let piece = self.pieces.get(number, || {
            let bitmap = self.bitmaps.get((range.start / chunk_bytes) as usize).map_or(0, |bitmap| bitmap.offset());
            let mut piece = vec![0; BITMAP_PIECE as usize];
            file.read_at(bitmap + number % (chunk_bytes / covered) * BITMAP_PIECE, &mut piece)?;
            Ok::<_, SourceError>(piece)
        })?;
        let sector_of = |at: u64| at % covered / self.sector_bytes;
        let first = sector_of(range.start);
        let is_here = is_set(&piece, first);
        let run = run_of(&piece, first..sector_of(range.end - 1) + 1, is_here);
        let end = range.start - range.start % self.sector_bytes + run * self.sector_bytes;
        Ok((end.min(range.end) - range.start, is_here))
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

/// The bit of a sector; the lowest of each byte comes first.
fn is_set(bitmap: &[u8], sector: u64) -> bool {
    bitmap.get((sector / 8) as usize).is_some_and(|byte| byte & (1 << (sector % 8)) != 0)
}

/// How many of `sectors`, from the first on, have this bit; whole bytes at a time, since runs are long.
fn run_of(bitmap: &[u8], sectors: Range<u64>, bit: bool) -> u64 {
    let whole = if bit { 0xff } else { 0 };
    let mut at = sectors.start;
    while at < sectors.end && is_set(bitmap, at) == bit {
        let is_whole = at.is_multiple_of(8) && bitmap.get((at / 8) as usize) == Some(&whole);
        at += if is_whole { 8 } else { 1 };
    }
    at.min(sectors.end) - sectors.start
}

/// The entry of a block, at `at` in the file.
fn block_entry(file: &ImageFile, raw: u64, at: u64, block_bytes: u64, differs: bool) -> Result<Entry, SourceError> {
    match (raw & 7) as u8 {
        state @ (NOT_PRESENT | UNDEFINED | ZERO | UNMAPPED) => Ok(Entry(u32::from(state))),
        FULLY_PRESENT => placed(file, raw, block_bytes),
        PARTIALLY_PRESENT if differs => placed(file, raw, block_bytes),
        state => {
            Err(damaged(file, "block table", at, format!("the block state {state} cannot be in this type of disk")))
        }
    }
}

/// The entry of a sector bitmap, at `at` in the file.
fn bitmap_entry(file: &ImageFile, raw: u64, at: u64) -> Result<Entry, SourceError> {
    match (raw & 7) as u8 {
        NOT_PRESENT => Ok(Entry(u32::from(NOT_PRESENT))),
        FULLY_PRESENT => placed(file, raw, MIB),
        state => Err(damaged(file, "block table", at, format!("the sector bitmap state {state} cannot be"))),
    }
}

/// An entry whose block has a place, which must be inside the file.
fn placed(file: &ImageFile, raw: u64, len: u64) -> Result<Entry, SourceError> {
    let mib = raw >> 20;
    let offset = mib * MIB;
    let file_bytes = file.bytes().size_bytes();
    if Extent::new(offset, len).is_none_or(|block| block.end() > file_bytes) {
        let problem = format!("it ends past the file's {file_bytes} bytes: the file was cut");
        return Err(damaged(file, "block", offset, problem));
    }
    if mib >= Entry::END {
        return Err(unsupported(file, format!("a VHDX file with blocks past {} MiB", Entry::END)));
    }
    Ok(Entry((mib as u32) << 3 | (raw & 7) as u32))
}
