//! The header of an ESX sparse extent, "COWD": the snapshots of VMFS 5 and before.
//!
//! Source: `VMware`, "Virtual Disk Format 5.0" (technical note, 2011), "ESX Server Sparse Extents".

use super::grain_table::{Entries, Layout};
use super::{damaged, le32, sector_at, unsupported};
use crate::source::{ImageFile, SourceError};

pub(super) const MAGIC: &[u8; 4] = b"COWD";
const STRUCTURE: &str = "COWD header";

/// By the specification.
const TABLE_ENTRIES: u64 = 4096;

/// `VMware` writes 1, its specification speaks of up to 4 KiB; more has room for nobody's idea of a grain.
const MAX_GRAIN_SECTORS: u64 = 32_768;

/// Reads the header of `file`.
pub(super) fn read(file: &ImageFile) -> Result<Layout, SourceError> {
    let sector = sector_at(file, STRUCTURE, 0)?;
    let wrong = |problem| damaged(file, STRUCTURE, 0, problem);
    let version = le32(&sector, 4);
    if version != 1 {
        return Err(unsupported(file, format!("version {version} of COWD (1 is read)")));
    }
    let layout = Layout {
        disk_sectors: u64::from(le32(&sector, 12)),
        grain_sectors: u64::from(le32(&sector, 16)),
        grains_per_table: TABLE_ENTRIES,
        directory_sector: u64::from(le32(&sector, 20)),
        entries: Entries::Sectors { one_is_zeros: false },
        packed: false,
    };
    if !layout.grain_sectors.is_power_of_two() || layout.grain_sectors > MAX_GRAIN_SECTORS {
        return Err(wrong(format!("grains of {} sectors cannot be", layout.grain_sectors)));
    }
    let (needed, has) = (layout.tables(), u64::from(le32(&sector, 24)));
    if needed > has {
        return Err(wrong(format!("the disk needs {needed} grain tables, the directory has {has}")));
    }
    Ok(layout)
}
