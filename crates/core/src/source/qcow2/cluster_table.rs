//! The two-level cluster table: what holds each cluster of the disk.
//!
//! The first level (L1) is read at opening; the second (L2), one cluster for each of its entries, when first
//! asked for, the ones used last kept. A range whose L2 table is absent is passed over without reading.
//!
//! With extended L2 entries, a cluster consists of 32 subclusters that are allocated, zero or absent each for
//! itself.
//!
//! Source: QEMU, `docs/interop/qcow2.rst` (as of 10.0), "Cluster mapping" and "Extended L2 Entries".
//!
//! Memory: eight bytes for each L1 entry, at most 32 MiB, and [`CACHED_BYTES`] of L2 tables and of unpacked
//! clusters each.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::header::{Compression, Header};
use super::{FORMAT, be64, compressed, damaged};
use crate::source::layered::{Layer, Place, Placed};
use crate::source::table_cache::TableCache;
use crate::source::{DiskSource, ImageFile, SourceError};

/// Host offset of a table or cluster in an entry.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// The largest L1 table that QEMU makes or opens (`QCOW_MAX_L1_SIZE`).
const MAX_L1_BYTES: u64 = 32 << 20;

/// What is kept of L2 tables, and of unpacked clusters.
const CACHED_BYTES: u64 = 4 << 20;

/// From this length on, a run is worth asking the file system for holes: preallocated images are full of them.
const WORTH_ASKING: u64 = 1 << 20;

const SUBCLUSTERS: u64 = 32;

/// What one qcow2 image says about the disk, now or at one of its snapshots.
pub(super) struct ClusterTable {
    file: ImageFile,
    /// Where clusters are: the image, or its data file.
    data: Arc<dyn DiskSource>,
    has_data_file: bool,
    version: u32,
    disk_bytes: u64,
    cluster_bits: u32,
    has_extended_l2: bool,
    compression: Compression,
    l1: Vec<u64>,
    l2: TableCache<Vec<u64>>,
    unpacked: TableCache<Vec<u8>>,
}

/// Where an L1 table is, and how large the disk is that it describes.
#[derive(Clone, Copy, Debug)]
pub(super) struct L1 {
    pub(super) offset: u64,
    pub(super) entries: u32,
    pub(super) disk_bytes: u64,
}

impl ClusterTable {
    /// Reads and checks the first level.
    pub(super) fn read(
        file: ImageFile,
        header: &Header,
        l1: L1,
        data_file: Option<&ImageFile>,
    ) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(&file, "L1 table", l1.offset, problem);
        let cluster_bytes = 1u64 << header.cluster_bits;
        let entry_bytes = if header.has_extended_l2 { 16 } else { 8 };
        if header.has_extended_l2 && header.cluster_bits < 14 {
            return Err(damaged(&file, "header", 20, "extended L2 entries need clusters of at least 16 KiB".into()));
        }
        let span = cluster_bytes * (cluster_bytes / entry_bytes);
        let needed = l1.disk_bytes.div_ceil(span);
        if needed > u64::from(l1.entries) || needed * 8 > MAX_L1_BYTES {
            let problem = format!("a disk of {} bytes needs {needed} entries, it has {}", l1.disk_bytes, l1.entries);
            return Err(wrong(problem));
        }
        let file_bytes = file.bytes().size_bytes();
        if !l1.offset.is_multiple_of(cluster_bytes) {
            return Err(wrong("it does not start at a cluster".into()));
        }
        if l1.offset.checked_add(needed * 8).is_none_or(|end| end > file_bytes) {
            return Err(wrong(format!("its {needed} entries are not inside the file")));
        }
        let mut table = vec![0; (needed * 8) as usize];
        file.bytes().read_at(l1.offset, &mut table)?;
        Ok(Self {
            data: Arc::clone(data_file.unwrap_or(&file).bytes()),
            has_data_file: data_file.is_some(),
            version: header.version,
            disk_bytes: l1.disk_bytes,
            cluster_bits: header.cluster_bits,
            has_extended_l2: header.has_extended_l2,
            compression: header.compression,
            l1: table.chunks_exact(8).map(|entry| be64(entry, 0)).collect(),
            l2: TableCache::new((CACHED_BYTES / cluster_bytes) as usize),
            unpacked: TableCache::new((CACHED_BYTES / cluster_bytes) as usize),
            file,
        })
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// What one L2 table describes.
    fn span(&self) -> u64 {
        self.cluster_bytes() * (self.cluster_bytes() / if self.has_extended_l2 { 16 } else { 8 })
    }

    /// The L2 table for the disk's byte `at`; `None` where there is none.
    fn l2_at(&self, at: u64) -> Result<Option<Arc<Vec<u64>>>, SourceError> {
        let index = at / self.span();
        let offset = self.l1.get(index as usize).map_or(0, |entry| entry & OFFSET);
        if offset == 0 {
            return Ok(None);
        }
        let wrong = |problem: &str| damaged(&self.file, "L2 table", offset, problem.into());
        if !offset.is_multiple_of(self.cluster_bytes()) {
            return Err(wrong("it does not start at a cluster"));
        }
        if offset + self.cluster_bytes() > self.file.bytes().size_bytes() {
            return Err(wrong("it is not inside the file"));
        }
        let table = self.l2.get(offset, || {
            let mut table = vec![0; self.cluster_bytes() as usize];
            self.file.bytes().read_at(offset, &mut table)?;
            Ok::<_, SourceError>(table.chunks_exact(8).map(|word| be64(word, 0)).collect())
        })?;
        Ok(Some(table))
    }

    /// What holds the disk's byte `at`, and where that ends: a cluster, a subcluster, or the span of an L2
    /// table that is not there.
    fn piece_at(&self, at: u64, l2: Option<&[u64]>) -> Result<(u64, Place), SourceError> {
        let Some(l2) = l2 else { return Ok(((at / self.span() + 1) * self.span(), Place::Absent)) };
        let cluster = self.cluster_bytes();
        let index = (at % self.span() / cluster) as usize;
        let in_cluster = at % cluster;
        let cluster_end = at - in_cluster + cluster;
        let (entry, bitmap) = if self.has_extended_l2 { (l2[index * 2], l2[index * 2 + 1]) } else { (l2[index], 0) };
        if entry & COMPRESSED != 0 {
            return Ok((cluster_end, Place::Packed));
        }
        let host = entry & OFFSET;
        // Only in a file of its own may data be at offset 0.
        let is_allocated = host != 0 || (self.has_data_file && entry & COPIED != 0);
        if !host.is_multiple_of(cluster) {
            return Err(damaged(&self.file, "cluster", host, "it does not start at a multiple of its size".into()));
        }
        if self.has_extended_l2 {
            let sub = cluster / SUBCLUSTERS;
            let number = in_cluster / sub;
            let end = at - at % sub + sub;
            let (has, zero) = (bitmap >> number & 1 != 0, bitmap >> (number + SUBCLUSTERS) & 1 != 0);
            return match (has, zero) {
                (true, true) => {
                    Err(damaged(&self.file, "L2 entry", host, "a subcluster is data and zeros at once".into()))
                }
                (true, false) if is_allocated => self.in_file(host + in_cluster, end - at, at),
                (true, false) => Err(damaged(&self.file, "L2 entry", host, "a subcluster of no cluster".into())),
                (false, true) => Ok((end, Place::Zero { allocated: is_allocated })),
                (false, false) => Ok((end, Place::Absent)),
            };
        }
        if entry & ZERO != 0 {
            if self.version < 3 {
                let problem = "it is marked as zeros, which version 2 does not know".into();
                return Err(damaged(&self.file, "L2 entry", host, problem));
            }
            return Ok((cluster_end, Place::Zero { allocated: is_allocated }));
        }
        if is_allocated {
            self.in_file(host + in_cluster, cluster_end - at, at)
        } else {
            Ok((cluster_end, Place::Absent))
        }
    }

    /// `len` bytes at `offset` of the data's file. A file may end inside its last cluster; the rest reads as
    /// zeros, as whatever grows a file makes it.
    fn in_file(&self, offset: u64, len: u64, at: u64) -> Result<(u64, Place), SourceError> {
        let file_bytes = self.data.size_bytes();
        let start_of_cluster = offset / self.cluster_bytes() * self.cluster_bytes();
        if start_of_cluster >= file_bytes {
            let problem = format!("it starts past the file's {file_bytes} bytes: the file was cut");
            return Err(damaged(&self.file, "cluster", start_of_cluster, problem));
        }
        if offset >= file_bytes {
            return Ok((at + len, Place::Zero { allocated: true }));
        }
        let place = Place::File { index: usize::from(self.has_data_file), offset, has_holes: false };
        Ok((at + len.min(file_bytes - offset), place))
    }

    /// The entry of the compressed cluster that holds the disk's byte `at`.
    fn compressed_entry(&self, at: u64) -> Result<u64, SourceError> {
        let l2 = self.l2_at(at)?;
        let index = (at % self.span() / self.cluster_bytes()) as usize;
        let index = if self.has_extended_l2 { index * 2 } else { index };
        let entry = l2.as_ref().and_then(|l2| l2.get(index).copied()).filter(|entry| entry & COMPRESSED != 0);
        entry.ok_or_else(|| damaged(&self.file, "L2 entry", at, "it is not of a compressed cluster".into()))
    }
}

impl Layer for ClusterTable {
    fn size_bytes(&self) -> u64 {
        self.disk_bytes
    }

    fn place_at(&self, range: Range<u64>) -> Result<Placed, SourceError> {
        let start = range.start;
        let mut l2 = self.l2_at(start)?;
        let (mut end, mut place) = self.piece_at(start, l2.as_ref().map(|l2| l2.as_slice()))?;
        while end < range.end && place != Place::Packed {
            if end.is_multiple_of(self.span()) {
                l2 = self.l2_at(end)?;
            }
            let (next_end, next) = self.piece_at(end, l2.as_ref().map(|l2| l2.as_slice()))?;
            let goes_on = match (place, next) {
                (Place::File { offset, .. }, Place::File { offset: next, .. }) => offset + (end - start) == next,
                (place, next) => place == next,
            };
            if !goes_on {
                break;
            }
            end = next_end;
        }
        let len_bytes = end.min(range.end) - start;
        if let Place::File { has_holes, .. } = &mut place {
            *has_holes = len_bytes >= WORTH_ASKING;
        }
        Ok(Placed { len_bytes, place })
    }

    fn file(&self, index: usize) -> &Arc<dyn DiskSource> {
        if index == 0 { self.file.bytes() } else { &self.data }
    }

    fn files(&self) -> usize {
        1 + usize::from(self.has_data_file)
    }

    fn unpack(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let entry = self.compressed_entry(offset)?;
        let cluster = self.unpacked.get(entry, || {
            compressed::unpack(&self.file, entry & !(COPIED | COMPRESSED), self.cluster_bits, self.compression)
        })?;
        let from = (offset % self.cluster_bytes()) as usize;
        buf.copy_from_slice(&cluster[from..from + buf.len()]);
        Ok(())
    }
}

impl fmt::Debug for ClusterTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterTable({FORMAT}, {} bytes in clusters of {})", self.disk_bytes, self.cluster_bytes())
    }
}
