//! Persistent dirty bitmaps: what changed since a bitmap was made, kept in the image.
//!
//! Source: QEMU, `docs/interop/qcow2.rst` (as of 10.0), "Bitmaps".

use super::header::{BitmapDirectory, Header};
use super::{be16, be32, be64, damaged};
use crate::extent::{Extent, ExtentSet};
use crate::source::{ImageFile, SourceError};

const STRUCTURE: &str = "bitmap directory";

/// The fixed part of an entry of the directory.
const ENTRY_BYTES: u64 = 24;

/// The most bitmaps, and the longest directory, that QEMU opens.
const MAX_BITMAPS: u32 = 65_535;
const MAX_DIRECTORY: u64 = 1024 * MAX_BITMAPS as u64;

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Flags of an entry.
const IN_USE: u32 = 1;
const AUTO: u32 = 1 << 1;

/// A dirty bitmap in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Its name.
    pub name: String,
    /// How many bytes of the disk a bit stands for.
    pub granularity_bytes: u64,
    /// Whether it says what it should. A bitmap that was in use when QEMU crashed, or that somebody wrote past
    /// without knowing of it, does not.
    pub is_consistent: bool,
    /// Whether it records writes whenever the image is opened.
    pub is_recording: bool,
    table_offset: u64,
    table_entries: u64,
}

/// The bitmaps of the image, in the order of its directory.
pub(super) fn all(file: &ImageFile, header: &Header) -> Result<Vec<Bitmap>, SourceError> {
    let Some(directory) = header.bitmaps else { return Ok(Vec::new()) };
    let BitmapDirectory { bitmaps, offset, bytes, is_current } = directory;
    let wrong = |problem: String| damaged(file, STRUCTURE, offset, problem);
    if bitmaps > MAX_BITMAPS || bytes > MAX_DIRECTORY {
        return Err(wrong(format!("{bitmaps} bitmaps in {bytes} bytes are more than the format allows")));
    }
    if offset.checked_add(bytes).is_none_or(|end| end > file.bytes().size_bytes()) {
        return Err(wrong(format!("its {bytes} bytes are not inside the file")));
    }
    let mut entries = vec![0; bytes as usize];
    file.bytes().read_at(offset, &mut entries)?;
    let mut found = Vec::new();
    let mut rest = entries.as_slice();
    for _ in 0..bitmaps {
        let cut = || wrong("it is cut short".into());
        let fixed = rest.get(..ENTRY_BYTES as usize).ok_or_else(cut)?;
        let (name_len, extra_len) = (usize::from(be16(fixed, 18)), be32(fixed, 20) as usize);
        let name_at = (ENTRY_BYTES as usize).checked_add(extra_len).ok_or_else(cut)?;
        let name = rest.get(name_at..).and_then(|rest| rest.get(..name_len)).ok_or_else(cut)?;
        let granularity_bits = u32::from(fixed[17]);
        if fixed[16] != 1 || !(9..=31).contains(&granularity_bits) {
            return Err(wrong(format!("a bitmap of type {} with bits of 2^{granularity_bits} bytes", fixed[16])));
        }
        let flags = be32(fixed, 12);
        found.push(Bitmap {
            name: String::from_utf8_lossy(name).into_owned(),
            granularity_bytes: 1 << granularity_bits,
            is_consistent: is_current && flags & IN_USE == 0,
            is_recording: flags & AUTO != 0,
            table_offset: be64(fixed, 0),
            table_entries: u64::from(be32(fixed, 8)),
        });
        let entry_len = (name_at + name_len).next_multiple_of(8);
        rest = rest.get(entry_len..).unwrap_or_default();
    }
    Ok(found)
}

/// What is dirty in the bitmap of this name, in bytes of the disk.
pub(super) fn dirty(file: &ImageFile, header: &Header, name: &str) -> Result<ExtentSet, SourceError> {
    let unusable =
        |problem: String| SourceError::Bitmap { path: file.path().to_path_buf(), bitmap: name.to_owned(), problem };
    let all = all(file, header)?;
    let Some(bitmap) = all.iter().find(|bitmap| bitmap.name == name) else {
        let known: Vec<&str> = all.iter().map(|bitmap| bitmap.name.as_str()).collect();
        return Err(unusable(format!("there is none of this name; there are [{}]", known.join(", "))));
    };
    if !bitmap.is_consistent {
        return Err(unusable("it is inconsistent: writes were not recorded".into()));
    }
    read(file, header, bitmap)
}

fn read(file: &ImageFile, header: &Header, bitmap: &Bitmap) -> Result<ExtentSet, SourceError> {
    let wrong = |problem: String| damaged(file, "bitmap table", bitmap.table_offset, problem);
    let cluster_bytes = 1u64 << header.cluster_bits;
    // One cluster of the bitmap speaks for this many bytes.
    let span = cluster_bytes * 8 * bitmap.granularity_bytes;
    let needed = header.disk_bytes.div_ceil(span);
    if needed != bitmap.table_entries {
        return Err(wrong(format!("it has {} entries, the disk needs {needed}", bitmap.table_entries)));
    }
    let file_bytes = file.bytes().size_bytes();
    if bitmap.table_offset.checked_add(needed * 8).is_none_or(|end| end > file_bytes) {
        return Err(wrong(format!("its {needed} entries are not inside the file")));
    }
    let mut table = vec![0; (needed * 8) as usize];
    file.bytes().read_at(bitmap.table_offset, &mut table)?;
    let mut dirty = ExtentSet::new();
    let mut bits = vec![0; cluster_bytes as usize];
    for (index, entry) in table.chunks_exact(8).map(|entry| be64(entry, 0)).enumerate() {
        let start = index as u64 * span;
        let end = (start + span).min(header.disk_bytes);
        match entry & OFFSET {
            0 if entry & 1 == 0 => {}
            0 => dirty.extend(Extent::from_range(start..end)),
            offset if offset.checked_add(cluster_bytes).is_none_or(|end| end > file_bytes) => {
                return Err(damaged(file, "bitmap", offset, "it is not inside the file".into()));
            }
            offset => {
                file.bytes().read_at(offset, &mut bits)?;
                for run in runs(&bits) {
                    let from = start + run.start * bitmap.granularity_bytes;
                    let to = (start + run.end * bitmap.granularity_bytes).min(end);
                    dirty.extend(Extent::from_range(from..to));
                }
            }
        }
    }
    Ok(dirty)
}

/// The runs of set bits; the lowest bit of each byte comes first.
fn runs(bits: &[u8]) -> impl Iterator<Item = std::ops::Range<u64>> + '_ {
    let is_set = |bit: u64| bits[(bit / 8) as usize] & (1 << (bit % 8)) != 0;
    let len = bits.len() as u64 * 8;
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = (at..len).find(|bit| is_set(*bit))?;
        let end = (start..len).find(|bit| !is_set(*bit)).unwrap_or(len);
        at = end;
        Some(start..end)
    })
}
