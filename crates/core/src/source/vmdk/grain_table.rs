//! Grain directory and grain tables: where each grain of a sparse extent is in its file.
//!
//! Three formats share the idea and differ in the entries ([`Entries`]): hosted sparse and ESX sparse extents
//! count sectors in 32 bits, space-efficient ones have 64 bits that say more. Sources: at the headers of each.
//!
//! The directory is read at open, and all tables that it names are inside the file. The tables are read when
//! first asked for; all grains that they name are inside the file, and the tables used last are kept.
//!
//! Not checked: that no two entries name the same grain. That would need every table at open, and can only make
//! an image that was already hostile or damaged read bytes of its own file twice.
//!
//! Memory: four bytes a table, at most 16 MiB, and 2 MiB of tables. That is little, since a chain has many extents,
//! and enough: what is read at once lies close together.

use std::ops::Range;
use std::sync::Arc;

use super::{MAX_DISK_SECTORS, SECTOR, damaged, le32, le64, stream, unsupported};
use crate::source::layered::{Place, Placed};
use crate::source::table_cache::TableCache;
use crate::source::{ImageFile, SourceError};

/// 64 TiB of SESPARSE, or 128 TiB in `VMware`'s usual grains of 64 KiB.
const MAX_TABLES: u64 = 4 << 20;

/// What the tables that are kept may take, decoded.
const KEPT_BYTES: u64 = 2 << 20;

/// How much of the directory is read at a time.
const PIECE: u64 = 1 << 20;

/// The directory's "no table".
const NONE: u32 = 0;

/// Decoded entries of a table; any other is the grain's first byte in the file.
const ABSENT: u64 = 0;
const ZEROS: u64 = 1;

/// How the grains of an extent are found.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) disk_sectors: u64,
    /// A power of two, at most 16 MiB.
    pub(super) grain_sectors: u64,
    pub(super) grains_per_table: u64,
    pub(super) directory_sector: u64,
    pub(super) entries: Entries,
    /// Grains are compressed.
    pub(super) packed: bool,
}

/// How the entries of directory and tables are written.
#[derive(Debug)]
pub(super) enum Entries {
    /// 32 bits: a sector of the file; 0: absent; 1: zeros, where the header allows that.
    Sectors { one_is_zeros: bool },
    /// 64 bits, the highest four say what the others mean.
    SpaceEfficient { tables_sector: u64, grains_sector: u64 },
}

impl Entries {
    fn bytes(&self) -> u64 {
        match self {
            Self::Sectors { .. } => 4,
            Self::SpaceEfficient { .. } => 8,
        }
    }

    fn number(&self, entry: &[u8]) -> u64 {
        match self {
            Self::Sectors { .. } => u64::from(le32(entry, 0)),
            Self::SpaceEfficient { .. } => le64(entry, 0),
        }
    }

    /// An entry of the directory, as the 32 bits that matter; [`NONE`]: no table.
    fn directory_entry(&self, number: u64) -> Result<u32, String> {
        match self {
            Self::Sectors { .. } => Ok(number as u32),
            Self::SpaceEfficient { .. } if number == 0 => Ok(NONE),
            // Table numbers start at 0, so they are kept one higher.
            Self::SpaceEfficient { .. } if number >> 32 == 0x1000_0000 => {
                (number as u32).checked_add(1).ok_or_else(|| format!("table number {number:#x} cannot be"))
            }
            Self::SpaceEfficient { .. } => Err(format!("the directory's entry {number:#018x} is not known")),
        }
    }

    /// First byte of the table that a directory entry other than [`NONE`] names.
    fn table_at(&self, entry: u32, grains_per_table: u64) -> Option<u64> {
        match self {
            Self::Sectors { .. } => Some(u64::from(entry) * SECTOR),
            Self::SpaceEfficient { tables_sector, .. } => {
                let in_tables = u64::from(entry - 1) * grains_per_table * self.bytes();
                tables_sector.checked_mul(SECTOR)?.checked_add(in_tables)
            }
        }
    }

    /// An entry of a table, decoded.
    fn grain(&self, number: u64, grain_sectors: u64) -> Result<u64, String> {
        match self {
            Self::Sectors { .. } if number == 0 => Ok(ABSENT),
            Self::Sectors { one_is_zeros: true } if number == 1 => Ok(ZEROS),
            // A descriptor is there, and a writer that meant zeros did not say so in the header.
            Self::Sectors { .. } if number == 1 => Err("it says sector 1".into()),
            Self::Sectors { .. } => Ok(number * SECTOR),
            Self::SpaceEfficient { grains_sector, .. } => match number >> 60 {
                0 if number == 0 => Ok(ABSENT),
                // 1: the guest gave the grain back (UNMAP); it reads as zeros, not as what the parent has.
                1 | 2 => Ok(ZEROS),
                3 => {
                    let index = (number & 0x0fff_0000_0000_0000) >> 48 | (number & 0x0000_ffff_ffff_ffff) << 12;
                    let sector = index.checked_mul(grain_sectors).and_then(|at| at.checked_add(*grains_sector));
                    let at = sector.and_then(|sector| sector.checked_mul(SECTOR)).filter(|at| *at > ZEROS);
                    at.ok_or_else(|| format!("its number {number:#018x} cannot be"))
                }
                _ => Err(format!("its number {number:#018x} is not known")),
            },
        }
    }
}

impl Layout {
    fn disk_bytes(&self) -> u64 {
        self.disk_sectors * SECTOR
    }

    fn grain_bytes(&self) -> u64 {
        self.grain_sectors * SECTOR
    }

    fn table_bytes(&self) -> u64 {
        self.grain_bytes() * self.grains_per_table
    }

    /// How many tables the disk needs.
    pub(super) fn tables(&self) -> u64 {
        self.disk_sectors.div_ceil(self.grain_sectors * self.grains_per_table)
    }

    /// How many bytes of table `number` say something about the disk.
    fn bytes_of_table(&self, number: u64) -> u64 {
        let grains = self.disk_sectors.div_ceil(self.grain_sectors) - number * self.grains_per_table;
        grains.min(self.grains_per_table) * self.entries.bytes()
    }
}

/// Where each grain of an extent is in its file.
pub(super) struct GrainTable {
    layout: Layout,
    /// By table; [`NONE`] or an entry as [`Entries::table_at`] takes it.
    directory: Vec<u32>,
    tables: TableCache<Vec<u64>>,
}

impl GrainTable {
    /// Reads the directory and checks that what it names is inside the file.
    pub(super) fn read(file: &ImageFile, layout: Layout) -> Result<Self, SourceError> {
        let directory_at = layout.directory_sector.saturating_mul(SECTOR);
        let wrong = |problem| damaged(file, "grain directory", directory_at, problem);
        if layout.disk_sectors == 0 {
            return Err(SourceError::Empty { path: file.path().to_path_buf() });
        }
        if layout.disk_sectors > MAX_DISK_SECTORS {
            let problem = format!("an extent of {} sectors (at most {MAX_DISK_SECTORS} are read)", layout.disk_sectors);
            return Err(unsupported(file, problem));
        }
        let tables = layout.tables();
        if tables > MAX_TABLES {
            return Err(unsupported(file, format!("{tables} grain tables (at most {MAX_TABLES} are read)")));
        }
        let end = directory_at.checked_add(tables * layout.entries.bytes());
        if directory_at == 0 || end.is_none_or(|end| end > file.bytes().size_bytes()) {
            return Err(wrong(format!("its {tables} entries are not inside the file")));
        }
        let directory = read_entries(file, directory_at, tables, &layout.entries)?;
        for (entry, number) in directory.iter().zip(0..).filter(|(entry, _)| **entry != NONE) {
            let at = layout.entries.table_at(*entry, layout.grains_per_table);
            let end = at.and_then(|at| at.checked_add(layout.bytes_of_table(number)));
            if end.is_none_or(|end| end > file.bytes().size_bytes()) {
                let problem = format!("grain table {number} is not inside the file: the file was cut");
                return Err(damaged(file, "grain table", at.unwrap_or_default(), problem));
            }
        }
        let kept = KEPT_BYTES / (layout.grains_per_table * size_of::<u64>() as u64);
        Ok(Self { layout, directory, tables: TableCache::new(kept as usize) })
    }

    /// Size of the extent in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.layout.disk_bytes()
    }

    /// Size of a grain in bytes.
    pub(super) fn grain_bytes(&self) -> u64 {
        self.layout.grain_bytes()
    }

    /// What holds the bytes of the extent from `range.start`; `file` is file number `index` of the image.
    pub(super) fn place_at(&self, file: &ImageFile, index: usize, range: Range<u64>) -> Result<Placed, SourceError> {
        let at = range.start;
        let number = at / self.layout.table_bytes();
        let Some(table) = self.table(file, number)? else {
            let last = (range.end - 1) / self.layout.table_bytes();
            let missing = &self.directory[number as usize..=last as usize];
            let run = missing.iter().take_while(|entry| **entry == NONE).count() as u64;
            let end = ((number + run) * self.layout.table_bytes()).min(range.end);
            return Ok(Placed { len_bytes: end - at, place: Place::Absent });
        };
        let grain_bytes = self.grain_bytes();
        let first = at % self.layout.table_bytes() / grain_bytes;
        let in_grain = at % grain_bytes;
        let entries = &table[first as usize..];
        let (place, run) = match entries[0] {
            entry @ (ABSENT | ZEROS) => {
                let place = if entry == ABSENT { Place::Absent } else { Place::Zero { allocated: false } };
                (place, entries.iter().take_while(|other| **other == entry).count() as u64)
            }
            _ if self.layout.packed => {
                (Place::Packed, entries.iter().take_while(|other| **other > ZEROS).count() as u64)
            }
            entry => {
                let side_by_side = entries.iter().zip(0..).take_while(|(other, n)| **other == entry + n * grain_bytes);
                (Place::File { index, offset: entry + in_grain, has_holes: false }, side_by_side.count() as u64)
            }
        };
        let end = (number * self.layout.table_bytes() + (first + run) * grain_bytes).min(range.end);
        Ok(Placed { len_bytes: end - at, place })
    }

    /// Fills `buf` from the extent's byte `at`, inside compressed grains of one table.
    pub(super) fn unpack(&self, file: &ImageFile, mut at: u64, mut buf: &mut [u8]) -> Result<(), SourceError> {
        let grain_bytes = self.grain_bytes();
        while !buf.is_empty() {
            let start = at - at % grain_bytes;
            let on_disk = grain_bytes.min(self.size_bytes() - start);
            let from = (at - start) as usize;
            let (piece, rest) = buf.split_at_mut(buf.len().min(on_disk as usize - from));
            let entry = self
                .table(file, at / self.layout.table_bytes())?
                .map_or(ABSENT, |table| table[(at % self.layout.table_bytes() / grain_bytes) as usize]);
            let grain = stream::unpack(file, entry, start / SECTOR, grain_bytes, on_disk)?;
            piece.copy_from_slice(&grain[from..from + piece.len()]);
            at += piece.len() as u64;
            buf = rest;
        }
        Ok(())
    }

    fn table(&self, file: &ImageFile, number: u64) -> Result<Option<Arc<Vec<u64>>>, SourceError> {
        let entry = self.directory[number as usize];
        if entry == NONE {
            return Ok(None);
        }
        self.tables.get(number, || self.read_table(file, number, entry)).map(Some)
    }

    fn read_table(&self, file: &ImageFile, number: u64, entry: u32) -> Result<Vec<u64>, SourceError> {
        let Layout { entries, grains_per_table, grain_sectors, .. } = &self.layout;
        // Its place was checked at open.
        let table_at = entries.table_at(entry, *grains_per_table).unwrap_or(u64::MAX);
        let mut bytes = vec![0; self.layout.bytes_of_table(number) as usize];
        file.bytes().read_at(table_at, &mut bytes)?;
        let grains = bytes.chunks_exact(entries.bytes() as usize).zip(number * grains_per_table..);
        grains
            .map(|(bytes, grain)| {
                let wrong = |at, problem| damaged(file, "grain table", at, format!("grain {grain}: {problem}"));
                let decoded =
                    entries.grain(entries.number(bytes), *grain_sectors).map_err(|problem| wrong(table_at, problem))?;
                if decoded > ZEROS && !self.is_inside(file, grain, decoded) {
                    let problem =
                        format!("it would be at offset {decoded}, past the end of the file: the file was cut");
                    return Err(wrong(table_at, problem));
                }
                Ok(decoded)
            })
            .collect()
    }

    /// Whether the file holds what the disk has of the grain at `offset`.
    fn is_inside(&self, file: &ImageFile, grain: u64, offset: u64) -> bool {
        let on_disk = self.grain_bytes().min(self.size_bytes() - grain * self.grain_bytes());
        let needed = if self.layout.packed { stream::MARKER_BYTES } else { on_disk };
        offset.checked_add(needed).is_some_and(|end| end <= file.bytes().size_bytes())
    }
}

impl std::fmt::Debug for GrainTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GrainTable({:?})", self.layout)
    }
}

/// `count` entries of the directory at `at`, which is inside the file; memory grows only as they are read.
fn read_entries(file: &ImageFile, at: u64, count: u64, entries: &Entries) -> Result<Vec<u32>, SourceError> {
    let end = at + count * entries.bytes();
    let (mut directory, mut piece, mut next) = (Vec::new(), Vec::new(), at);
    while next < end {
        piece.resize((end - next).min(PIECE) as usize, 0);
        file.bytes().read_at(next, &mut piece)?;
        for entry in piece.chunks_exact(entries.bytes() as usize) {
            let entry = entries.directory_entry(entries.number(entry));
            directory.push(entry.map_err(|problem| damaged(file, "grain directory", at, problem))?);
        }
        next += piece.len() as u64;
    }
    Ok(directory)
}
