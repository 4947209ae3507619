//! The headers of a space-efficient sparse extent, "SESPARSE": the snapshots of VMFS 6.
//!
//! `VMware` never published the format. Source: QEMU, `block/vmdk.c` (2019, "Support for read-only seSparse
//! snapshots"), which was made from files of `ESXi` 6.5, and reads only what was seen there: one version, one
//! size of grain, one of tables, nothing reserved in use. So does this.
//!
//! A snapshot whose host went down while it wrote has a journal to replay. Nobody outside `VMware` knows how,
//! so such a one is refused.

use super::grain_table::{Entries, Layout};
use super::{SECTOR, damaged, le64, sector_at, unsupported};
use crate::source::{ImageFile, SourceError};

pub(super) const MAGIC: &[u8; 8] = &0xcafe_babe_u64.to_le_bytes();
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;

const STRUCTURE: &str = "SESPARSE header";
const VOLATILE: &str = "SESPARSE volatile header";

const VERSION: u64 = 0x0000_0002_0000_0001;
const GRAIN_SECTORS: u64 = 8;
const TABLE_SECTORS: u64 = 64;
const ENTRY_BYTES: u64 = 8;

/// Where the fields that are used end.
const PADDING_AT: usize = 208;
const VOLATILE_PADDING_AT: usize = 32;

/// Reads the headers of `file`.
pub(super) fn read(file: &ImageFile) -> Result<Layout, SourceError> {
    let sector = sector_at(file, STRUCTURE, 0)?;
    for (at, name, known) in [
        (8, "version", VERSION),
        (24, "grain size", GRAIN_SECTORS),
        (32, "grain table size", TABLE_SECTORS),
        (40, "flags", 0),
        (48, "reserved field 1", 0),
        (56, "reserved field 2", 0),
        (64, "reserved field 3", 0),
        (72, "reserved field 4", 0),
    ] {
        let found = le64(&sector, at);
        if found != known {
            return Err(unsupported(file, format!("an SESPARSE {name} of {found:#x} (only {known:#x} is known)")));
        }
    }
    if sector[PADDING_AT..].iter().any(|byte| *byte != 0) {
        return Err(unsupported(file, "fields of SESPARSE that are not known".into()));
    }
    check_volatile_header(file, le64(&sector, 80))?;

    let layout = Layout {
        disk_sectors: le64(&sector, 16),
        grain_sectors: GRAIN_SECTORS,
        grains_per_table: TABLE_SECTORS * SECTOR / ENTRY_BYTES,
        directory_sector: le64(&sector, 128),
        entries: Entries::SpaceEfficient { tables_sector: le64(&sector, 144), grains_sector: le64(&sector, 192) },
        packed: false,
    };
    let (needed, has) = (layout.tables(), le64(&sector, 136).saturating_mul(SECTOR / ENTRY_BYTES));
    if needed > has {
        let problem = format!("the disk needs {needed} grain tables, the directory has {has}");
        return Err(damaged(file, STRUCTURE, 0, problem));
    }
    Ok(layout)
}

fn check_volatile_header(file: &ImageFile, sector_number: u64) -> Result<(), SourceError> {
    let at = sector_number.saturating_mul(SECTOR);
    let sector = sector_at(file, VOLATILE, at)?;
    let magic = le64(&sector, 0);
    if magic != VOLATILE_MAGIC {
        return Err(damaged(file, VOLATILE, at, format!("it starts with {magic:#x}, not {VOLATILE_MAGIC:#x}")));
    }
    if le64(&sector, 24) != 0 {
        let feature = "an SESPARSE journal that is still to be replayed (start and stop the machine, or consolidate \
                       its snapshots)";
        return Err(unsupported(file, feature.into()));
    }
    if sector[VOLATILE_PADDING_AT..].iter().any(|byte| *byte != 0) {
        return Err(unsupported(file, "fields of SESPARSE that are not known".into()));
    }
    Ok(())
}
