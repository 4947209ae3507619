//! The header of a hosted sparse extent, and the footer that takes its place in a stream.
//!
//! Source: `VMware`, "Virtual Disk Format 5.0" (technical note, 2011), "Hosted Sparse Extents" and
//! "Stream-Optimized Compressed Sparse Extents".

use super::grain_table::{Entries, Layout};
use super::{SECTOR, Sector, damaged, le16, le32, le64, sector_at, unsupported};
use crate::source::{ImageFile, SourceError};

pub(super) const MAGIC: &[u8; 4] = b"KDMV";
const STRUCTURE: &str = "sparse extent header";

/// What the fields that follow are worth.
const NEWLINES_VALID: u32 = 1 << 0;
const REDUNDANT_DIRECTORY: u32 = 1 << 1;
const ZEROED_GRAINS: u32 = 1 << 2;
const COMPRESSED: u32 = 1 << 16;
const MARKERS: u32 = 1 << 17;

/// Flags in the upper half change how the image is read; a reader must know them all.
const KNOWN_INCOMPATIBLE: u32 = COMPRESSED | MARKERS;
const INCOMPATIBLE: u32 = 0xffff_0000;

const DEFLATE: u16 = 1;

/// What a transfer in text mode would have changed.
const NEWLINES: &[u8; 4] = b"\n \r\n";
const NEWLINES_AT: usize = 73;

/// "At the end": the footer tells.
const DIRECTORY_IN_FOOTER: u64 = u64::MAX;

/// Types of the markers around the footer.
const FOOTER_MARKER: u32 = 3;
const END_OF_STREAM: u32 = 0;

/// The specification has grains of more than 8 sectors; everybody writes 128. The upper bound is ours: it is
/// what unpacking one compressed grain may take.
const GRAIN_SECTORS: std::ops::RangeInclusive<u64> = 16..=32_768;

/// The only number of entries in a grain table that the specification knows.
const TABLE_ENTRIES: u64 = 512;

/// What the header of a hosted sparse extent says.
#[derive(Debug)]
pub(super) struct SparseHeader {
    flags: u32,
    /// Sectors of the disk.
    capacity: u64,
    grain_sectors: u64,
    descriptor_sector: u64,
    descriptor_sectors: u64,
    redundant_directory_sector: u64,
    directory_sector: u64,
    unclean: bool,
}

impl SparseHeader {
    /// Reads the header of `file`, or its footer where the header says so.
    pub(super) fn read(file: &ImageFile) -> Result<Self, SourceError> {
        let header = Self::decode(file, 0, &sector_at(file, STRUCTURE, 0)?)?;
        if header.directory_sector != DIRECTORY_IN_FOOTER {
            return Ok(header);
        }
        // A marker, the footer, the marker of the end.
        let wrong = |offset, problem: &str| damaged(file, "footer", offset, format!("{problem}: the file was cut"));
        let Some(at) = file.bytes().size_bytes().checked_sub(2 * SECTOR).filter(|at| *at >= 2 * SECTOR) else {
            return Err(wrong(0, "the file is too short for one"));
        };
        for (offset, kind) in [(at - SECTOR, FOOTER_MARKER), (at + SECTOR, END_OF_STREAM)] {
            let marker = sector_at(file, "marker", offset)?;
            if le32(&marker, 8) != 0 || le32(&marker, 12) != kind {
                return Err(wrong(offset, "there is no marker of it"));
            }
        }
        let sector = sector_at(file, "footer", at)?;
        if !sector.starts_with(MAGIC) {
            return Err(wrong(at, "it does not start with \"KDMV\""));
        }
        let footer = Self::decode(file, at, &sector)?;
        if (footer.capacity, footer.grain_sectors) != (header.capacity, header.grain_sectors) {
            return Err(damaged(file, "footer", at, "it describes another disk than the header".into()));
        }
        if footer.directory_sector == DIRECTORY_IN_FOOTER {
            return Err(damaged(file, "footer", at, "it does not say where the grain directory is".into()));
        }
        Ok(Self {
            descriptor_sector: header.descriptor_sector,
            descriptor_sectors: header.descriptor_sectors,
            ..footer
        })
    }

    fn decode(file: &ImageFile, at: u64, sector: &Sector) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(file, STRUCTURE, at, problem);
        let version = le32(sector, 4);
        if !(1..=3).contains(&version) {
            return Err(unsupported(file, format!("version {version} of VMDK (1 to 3 are read)")));
        }
        let flags = le32(sector, 8);
        if flags & NEWLINES_VALID != 0 && !sector[NEWLINES_AT..].starts_with(NEWLINES) {
            let problem = "its line-end characters are changed: the file was transferred in text mode, and all of it is \
                           spoilt (transfer it again in binary mode)";
            return Err(wrong(problem.into()));
        }
        let unknown = flags & INCOMPATIBLE & !KNOWN_INCOMPATIBLE;
        if unknown != 0 {
            return Err(unsupported(file, format!("the incompatible VMDK features {unknown:#010x}")));
        }
        let method = le16(sector, 77);
        match (flags & COMPRESSED != 0, flags & MARKERS != 0, method) {
            (false, _, 0) | (true, true, DEFLATE) => {}
            (false, _, _) => {
                return Err(wrong(format!("it names the compression method {method}, but no compression")));
            }
            (true, _, DEFLATE) => return Err(unsupported(file, "compressed grains without markers".into())),
            (true, _, _) => return Err(unsupported(file, format!("the compression method {method} of VMDK"))),
        }
        let grain_sectors = le64(sector, 20);
        if !grain_sectors.is_power_of_two() {
            return Err(wrong(format!("its grains of {grain_sectors} sectors are no power of two")));
        }
        if !GRAIN_SECTORS.contains(&grain_sectors) {
            return Err(unsupported(
                file,
                format!("VMDK grains of {grain_sectors} sectors ({GRAIN_SECTORS:?} are read)"),
            ));
        }
        let entries = u64::from(le32(sector, 44));
        if entries != TABLE_ENTRIES {
            return Err(wrong(format!("its grain tables have {entries} entries, not {TABLE_ENTRIES}")));
        }
        Ok(Self {
            flags,
            capacity: le64(sector, 12),
            grain_sectors,
            descriptor_sector: le64(sector, 28),
            descriptor_sectors: le64(sector, 36),
            redundant_directory_sector: le64(sector, 48),
            directory_sector: le64(sector, 56),
            unclean: sector[72] != 0,
        })
    }

    /// Where the embedded descriptor is, and how long; `None` when the extent is one of several.
    pub(super) fn descriptor(&self) -> Option<(u64, u64)> {
        let bytes = |sectors: u64| sectors.saturating_mul(SECTOR);
        (self.descriptor_sector != 0).then(|| (bytes(self.descriptor_sector), bytes(self.descriptor_sectors)))
    }

    /// Whether the file only carries a descriptor.
    pub(super) fn is_empty(&self) -> bool {
        self.capacity == 0
    }

    /// Whether the program that wrote the image last did not close it.
    pub(super) fn is_unclean(&self) -> bool {
        self.unclean
    }

    /// How to read the grain tables.
    pub(super) fn layout(&self) -> Layout {
        self.layout_at(self.directory_sector)
    }

    /// The same by the redundant directory, where there is one.
    pub(super) fn redundant_layout(&self) -> Option<Layout> {
        let is_there = self.flags & REDUNDANT_DIRECTORY != 0 && self.redundant_directory_sector != 0;
        is_there.then(|| self.layout_at(self.redundant_directory_sector))
    }

    fn layout_at(&self, directory_sector: u64) -> Layout {
        Layout {
            disk_sectors: self.capacity,
            grain_sectors: self.grain_sectors,
            grains_per_table: TABLE_ENTRIES,
            directory_sector,
            entries: Entries::Sectors { one_is_zeros: self.flags & ZEROED_GRAINS != 0 },
            packed: self.flags & COMPRESSED != 0,
        }
    }
}
