//! Internal snapshots: earlier states of the disk in the same file, each with an L1 table of its own.
//!
//! Source: QEMU, `docs/interop/qcow2.rst` (as of 10.0), "Snapshots".

use super::cluster_table::L1;
use super::header::Header;
use super::{be16, be32, be64, damaged};
use crate::source::{ImageFile, SourceError};

const STRUCTURE: &str = "snapshot table";

/// The fixed part of an entry.
const ENTRY_BYTES: u64 = 40;

/// The most snapshots that QEMU makes or opens (`QCOW_MAX_SNAPSHOTS`).
const MAX_SNAPSHOTS: u32 = 65_536;

/// The most that an entry's extra data may have (`QCOW_MAX_SNAPSHOT_EXTRA_DATA`).
const MAX_EXTRA: u32 = 1024;

/// The L1 table of the snapshot that has this name or, where none has, this id.
pub(super) fn find(file: &ImageFile, header: &Header, wanted: &str) -> Result<L1, SourceError> {
    let mut by_id = None;
    let mut known = Vec::new();
    let mut at = header.snapshots_offset;
    let count = header.snapshots;
    if count > MAX_SNAPSHOTS {
        return Err(damaged(file, STRUCTURE, at, format!("{count} snapshots; {MAX_SNAPSHOTS} are allowed")));
    }
    for _ in 0..count {
        let entry = Entry::read(file, header, at)?;
        if entry.name == wanted {
            return Ok(entry.l1);
        }
        if entry.id == wanted {
            by_id.get_or_insert(entry.l1);
        }
        known.push(entry.name);
        at = entry.end;
    }
    let missing = || SourceError::Snapshot { path: file.path().to_path_buf(), wanted: wanted.into(), snapshots: known };
    by_id.ok_or_else(missing)
}

struct Entry {
    l1: L1,
    id: String,
    name: String,
    end: u64,
}

impl Entry {
    fn read(file: &ImageFile, header: &Header, at: u64) -> Result<Self, SourceError> {
        let wrong = |problem: &str| damaged(file, STRUCTURE, at, problem.into());
        let inside =
            |offset: u64, len: u64| offset.checked_add(len).is_some_and(|end| end <= file.bytes().size_bytes());
        if !inside(at, ENTRY_BYTES) {
            return Err(wrong("it is not inside the file"));
        }
        let mut fixed = [0; ENTRY_BYTES as usize];
        file.bytes().read_at(at, &mut fixed)?;
        let extra_len = be32(&fixed, 36);
        if extra_len > MAX_EXTRA {
            return Err(wrong("an entry has too much extra data"));
        }
        let (id_len, name_len) = (usize::from(be16(&fixed, 12)), usize::from(be16(&fixed, 14)));
        let rest_len = extra_len as usize + id_len + name_len;
        if !inside(at + ENTRY_BYTES, rest_len as u64) {
            return Err(wrong("it is not inside the file"));
        }
        let mut rest = vec![0; rest_len];
        file.bytes().read_at(at + ENTRY_BYTES, &mut rest)?;
        let (extra, names) = rest.split_at(extra_len as usize);
        let (id, name) = names.split_at(id_len);
        // Older images do not say: the disk was not resized then.
        let disk_bytes = if extra.len() >= 16 { be64(extra, 8) } else { header.disk_bytes };
        if disk_bytes == 0 {
            return Err(wrong("a snapshot of a disk without bytes"));
        }
        Ok(Self {
            l1: L1 { offset: be64(&fixed, 0), entries: be32(&fixed, 8), disk_bytes },
            id: String::from_utf8_lossy(id).into_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
            end: (at + ENTRY_BYTES + rest_len as u64).next_multiple_of(8),
        })
    }
}
