//! The log: changes of structures that were decided and perhaps not yet carried out (2.3).
//!
//! A ring of entries, each made of 4 KiB sectors: a header, descriptors, and a sector of data for each
//! descriptor that has data. A VHDX that was not closed, because its host crashed or because it was copied
//! while in use, has a log GUID in its header. Then the file alone is not the disk: some table entry may be
//! only in the log, and following the file without it gives old bytes, silently. So what the log says is
//! carried out, in memory, or the file is refused.
//!
//! Which entries count (2.3.2): those with the header's GUID, a right checksum and right sequence numbers
//! throughout, each starting where the one before ends and numbered one higher. The newest such run whose
//! last entry says that it starts (`tail`) within the run is active; it is replayed from that tail on. An entry
//! that was not written to its end has a wrong checksum, ends the run, and was never in force.
//!
//! Costs: the log is held in memory while it is read, at most [`MAX_LOG`] bytes; what it changes is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::header::Header;
use super::replayed_file::{Changes, ReplayedFile, SECTOR};
use super::{checksum, damaged, guid, le32, le64, unsupported};
use crate::extent::Extent;
use crate::source::{ImageFile, SourceError};

/// The longest log that is read. Hyper-V and QEMU write logs of 1 MiB.
const MAX_LOG: u64 = 256 << 20;

/// How much of the log is read at a time.
const PIECE: usize = 1 << 20;

/// How often the log's length is checksummed at most. Entries that were written one after the other do not
/// overlap, save for what is left of the round before; only a hostile log needs more.
const CHECKSUM_ROUNDS: usize = 16;

const ENTRY_HEADER_BYTES: usize = 64;
const DESCRIPTOR_BYTES: usize = 32;

/// The parts of a data sector (2.3.1.4): signature and half of the sequence number, content, the other half.
const DATA_AT: usize = 8;
const DATA_END: usize = 4092;

/// `file` as it is after its log; as it is where there is nothing to replay.
pub(super) fn replay(file: ImageFile, header: &Header, notes: &mut Vec<String>) -> Result<ImageFile, SourceError> {
    if header.log_id.is_nil() {
        return Ok(file);
    }
    let Some(region) = header.log_region() else {
        return Err(damaged(&file, "log", 0, "it is in use and has no room".into()));
    };
    if region.len_bytes() > MAX_LOG {
        return Err(unsupported(&file, format!("a VHDX log of {} bytes ({MAX_LOG} at most)", region.len_bytes())));
    }
    let wrong = |problem| damaged(&file, "log", region.offset(), problem);

    let log = Log::read(&file, region, header.log_id)?;
    let entries = log.entries().map_err(wrong)?;
    let active = log.active(&entries);
    let Some(head) = active.last() else {
        let problem = "it is in use, but none of its entries is whole; what it would change is lost";
        return Err(wrong(problem.into()));
    };
    let file_bytes = file.bytes().size_bytes();
    if head.flushed_file_bytes > file_bytes {
        let problem = format!("the file had {} bytes and has {file_bytes}: it was cut", head.flushed_file_bytes);
        return Err(wrong(problem));
    }
    let mut changes = Changes::default();
    for entry in &active {
        log.apply(entry, &mut changes).map_err(wrong)?;
    }
    notes.push(format!(
        "{}: it was not closed; its log was replayed in memory (changes: {}), and the file left as it is",
        file.path().display(),
        changes.count()
    ));
    let replayed = ReplayedFile::new(Arc::clone(file.bytes()), head.last_file_bytes, changes);
    Ok(ImageFile::new(Arc::new(replayed), file.path()))
}

/// The ring.
struct Log {
    id: Uuid,
    bytes: Vec<u8>,
}

/// An entry that is whole.
struct Entry {
    /// Offset in the ring.
    at: usize,
    len: usize,
    /// Offset of the oldest entry that was not yet carried out and flushed when this one was written.
    tail: usize,
    sequence: u64,
    descriptors: usize,
    /// What the file's length was at least, on stable storage.
    flushed_file_bytes: u64,
    /// What all structures of the file fit into.
    last_file_bytes: u64,
}

impl Log {
    fn read(file: &ImageFile, region: Extent, id: Uuid) -> Result<Self, SourceError> {
        let mut bytes = vec![0; region.len_bytes() as usize];
        for (piece, at) in bytes.chunks_mut(PIECE).zip((region.offset()..).step_by(PIECE)) {
            file.bytes().read_at(at, piece)?;
        }
        Ok(Self { id, bytes })
    }

    /// The sector at `at`, as often around the ring as need be.
    fn sector(&self, at: usize) -> &[u8] {
        let at = at % self.bytes.len();
        &self.bytes[at..at + SECTOR]
    }

    /// All whole entries by offset.
    fn entries(&self) -> Result<BTreeMap<usize, Entry>, String> {
        let mut budget = self.bytes.len() * CHECKSUM_ROUNDS;
        let mut entries = BTreeMap::new();
        for at in (0..self.bytes.len()).step_by(SECTOR) {
            let Some(entry) = self.entry_header(at) else { continue };
            budget = budget.checked_sub(entry.len).ok_or("its entries overlap more than entries can")?;
            if self.is_whole(&entry) {
                entries.insert(at, entry);
            }
        }
        Ok(entries)
    }

    /// The entry at `at`, if there is the header of one (2.3.1.1).
    fn entry_header(&self, at: usize) -> Option<Entry> {
        let header = self.sector(at);
        let entry = Entry {
            at,
            len: le32(header, 8) as usize,
            tail: le32(header, 12) as usize,
            sequence: le64(header, 16),
            descriptors: le32(header, 24) as usize,
            flushed_file_bytes: le64(header, 48),
            last_file_bytes: le64(header, 56),
        };
        let is_entry = header.starts_with(b"loge")
            && guid(header, 32) == self.id
            && entry.sequence > 0
            && (SECTOR..=self.bytes.len()).contains(&entry.len)
            && entry.len.is_multiple_of(SECTOR)
            && entry.tail < self.bytes.len()
            && entry.tail.is_multiple_of(SECTOR)
            && entry.descriptors <= entry.len / DESCRIPTOR_BYTES
            && entry.descriptor_bytes() <= entry.len;
        is_entry.then_some(entry)
    }

    /// Whether the checksum and the sequence numbers of all parts are right.
    fn is_whole(&self, entry: &Entry) -> bool {
        let sectors = (entry.at..entry.at + entry.len).step_by(SECTOR);
        if le32(self.sector(entry.at), 4) != checksum(sectors.map(|at| self.sector(at))) {
            return false;
        }
        let mut data_at = entry.data_at();
        (0..entry.descriptors).all(|index| {
            let descriptor = self.descriptor(entry, index);
            let has_data = descriptor.starts_with(b"desc");
            if le64(descriptor, 24) != entry.sequence || !(has_data || descriptor.starts_with(b"zero")) {
                return false;
            }
            if !has_data {
                return true;
            }
            let data = self.sector(data_at);
            data_at += SECTOR;
            let sequence = u64::from(le32(data, 4)) << 32 | u64::from(le32(data, DATA_END));
            data_at <= entry.at + entry.len && data.starts_with(b"data") && sequence == entry.sequence
        })
    }

    /// Descriptor number `index`; those go on where the header ends, and through further sectors.
    fn descriptor(&self, entry: &Entry, index: usize) -> &[u8] {
        let at = ENTRY_HEADER_BYTES + index * DESCRIPTOR_BYTES;
        &self.sector(entry.at + at - at % SECTOR)[at % SECTOR..][..DESCRIPTOR_BYTES]
    }

    /// The entries to replay, in order.
    fn active<'a>(&self, entries: &'a BTreeMap<usize, Entry>) -> Vec<&'a Entry> {
        let next = |entry: &Entry| {
            let next = entries.get(&((entry.at + entry.len) % self.bytes.len()));
            next.filter(|next| Some(next.sequence) == entry.sequence.checked_add(1))
        };
        let mut newest_first: Vec<&Entry> = entries.values().collect();
        newest_first.sort_by_key(|entry| std::cmp::Reverse(entry.sequence));
        // Which entry each run ends with. What follows an entry has a higher number, so it is known already.
        let mut heads: HashMap<usize, usize> = HashMap::new();
        for entry in &newest_first {
            let head = next(entry).map_or(entry.at, |next| heads[&next.at]);
            heads.insert(entry.at, head);
        }
        let head = newest_first.into_iter().find(|entry| heads.get(&entry.tail) == Some(&entry.at));
        let tail = head.and_then(|head| entries.get(&head.tail));
        std::iter::successors(tail, |entry| next(entry)).collect()
    }

    /// Carries out what `entry` says (2.3.1.2, 2.3.1.3).
    fn apply(&self, entry: &Entry, changes: &mut Changes) -> Result<(), String> {
        let mut data_at = entry.data_at();
        for index in 0..entry.descriptors {
            let descriptor = self.descriptor(entry, index);
            let has_data = descriptor.starts_with(b"desc");
            let offset = le64(descriptor, 16);
            let len = if has_data { SECTOR as u64 } else { le64(descriptor, 8) };
            let is_aligned = offset.is_multiple_of(SECTOR as u64) && len.is_multiple_of(SECTOR as u64);
            let range = Extent::new(offset, len).filter(|_| is_aligned).ok_or_else(|| {
                format!("its entry {} changes {len} bytes at {offset}, which are not whole sectors", entry.sequence)
            })?;
            if has_data {
                changes.write(offset, data_sector(descriptor, self.sector(data_at)));
                data_at += SECTOR;
            } else {
                changes.clear(range);
            }
        }
        Ok(())
    }
}

impl Entry {
    /// What header and descriptors take, in whole sectors.
    fn descriptor_bytes(&self) -> usize {
        (ENTRY_HEADER_BYTES + self.descriptors * DESCRIPTOR_BYTES).next_multiple_of(SECTOR)
    }

    /// Where the first data sector is in the ring.
    fn data_at(&self) -> usize {
        self.at + self.descriptor_bytes()
    }
}

/// A sector's new content: its ends, which the log keeps its marks in, are in the descriptor.
fn data_sector(descriptor: &[u8], data: &[u8]) -> Box<[u8; SECTOR]> {
    let mut content = Box::new([0; SECTOR]);
    content[..DATA_AT].copy_from_slice(&descriptor[8..16]);
    content[DATA_AT..DATA_END].copy_from_slice(&data[DATA_AT..DATA_END]);
    content[DATA_END..].copy_from_slice(&descriptor[4..8]);
    content
}
