//! Compressed grains: a marker with the grain's place on the disk and its length, then a zlib stream.
//!
//! Source: `VMware`, "Virtual Disk Format 5.0" (technical note, 2011), "Stream-Optimized Compressed Sparse
//! Extents"; RFC 1950.

use flate2::{Decompress, FlushDecompress, Status};

use super::{SECTOR, damaged, le32, le64};
use crate::source::{ImageFile, SourceError};

/// The marker of a compressed grain.
pub(super) const MARKER_BYTES: u64 = 12;

const STRUCTURE: &str = "compressed grain";

/// Unpacks the grain whose marker is at `at` and which has to be the one at the disk's `sector`.
///
/// It must unpack to `grain_bytes` exactly, or, where the disk ends inside it, to the `disk_bytes` that the disk
/// has of it.
pub(super) fn unpack(
    file: &ImageFile,
    at: u64,
    sector: u64,
    grain_bytes: u64,
    disk_bytes: u64,
) -> Result<Vec<u8>, SourceError> {
    let wrong = |problem| damaged(file, STRUCTURE, at, problem);
    // The last grain of a file need not fill its sector.
    let mut marker = vec![0; file.bytes().size_bytes().saturating_sub(at).min(SECTOR) as usize];
    if (marker.len() as u64) < MARKER_BYTES {
        return Err(wrong("its marker is not inside the file: the file was cut".into()));
    }
    file.bytes().read_at(at, &mut marker)?;
    let stated = le64(&marker, 0);
    if stated != sector {
        return Err(wrong(format!("its marker says sector {stated}, the grain table says {sector}")));
    }
    let len = u64::from(le32(&marker, 8));
    // A grain that does not compress gets longer, but never twice as long; QEMU draws the same line.
    if len == 0 || len > 2 * grain_bytes {
        return Err(wrong(format!("its length of {len} bytes cannot be, with grains of {grain_bytes}")));
    }
    let data_at = at + MARKER_BYTES;
    if data_at.checked_add(len).is_none_or(|end| end > file.bytes().size_bytes()) {
        return Err(wrong(format!("its {len} bytes are not inside the file: the file was cut")));
    }
    let in_marker = marker.len().min((MARKER_BYTES + len) as usize);
    let mut packed = marker[MARKER_BYTES as usize..in_marker].to_vec();
    let have = packed.len();
    packed.resize(len as usize, 0);
    if have < packed.len() {
        file.bytes().read_at(at + SECTOR, &mut packed[have..])?;
    }

    let mut grain = vec![0; grain_bytes as usize];
    let mut inflate = Decompress::new(true);
    let status = inflate
        .decompress(&packed, &mut grain, FlushDecompress::Finish)
        .map_err(|error| wrong(format!("its zlib stream is damaged ({error})")))?;
    let unpacked = inflate.total_out();
    if status != Status::StreamEnd {
        return Err(wrong(format!("its zlib stream does not end within {grain_bytes} bytes")));
    }
    if unpacked != grain_bytes && unpacked != disk_bytes {
        return Err(wrong(format!("it unpacks to {unpacked} bytes, not {grain_bytes}")));
    }
    grain.truncate(disk_bytes as usize);
    Ok(grain)
}
