//! Sizes that have names: the page, the MiB that Azure counts disks in, the block that we diff by.
//!
//! Every length that comes from outside is checked where it enters ([`PageRange::new`],
//! [`BlockSize::new`], [`replica_len`]); past that point arithmetic cannot overflow, because no disk is
//! longer than [`MAX_DISK_BYTES`].

use std::fmt;
use std::ops::Range;

use crate::extent::Extent;

/// Bytes in a page, the unit in which a page blob is written.
///
/// Source: Microsoft Learn, "Understanding block blobs, append blobs, and page blobs".
pub const PAGE: u64 = 512;

/// 2^20 bytes: a disk in Azure is a whole number of these.
///
/// Source: Microsoft Learn, "Prepare a Windows VHD or VHDX to upload to Azure" (virtual size must be a
/// multiple of 1 MiB).
pub const MIB: u64 = 1 << 20;

/// The largest disk that fits one page blob: 8 TiB less the footer, in whole MiB.
///
/// Source: Microsoft Learn, "Scalability and performance targets for Blob storage".
pub const MAX_DISK_BYTES: u64 = (8 << 40) - MIB;

/// The most bytes that one Put Page request carries.
///
/// Source: Microsoft Learn, REST reference "Put Page".
pub const MAX_PUT_BYTES: u64 = 4 * MIB;

/// Zeros are told from data in steps of this many bytes: the cluster size of the common file systems.
pub const GRAIN: u64 = 4096;

/// The virtual size of the replica of a disk of `source_bytes`: the next whole MiB.
///
/// What lies between the source's end and the replica's is zeros. `None` when the source is empty or
/// longer than [`MAX_DISK_BYTES`].
pub fn replica_len(source_bytes: u64) -> Option<u64> {
    (1..=MAX_DISK_BYTES).contains(&source_bytes).then(|| source_bytes.next_multiple_of(MIB))
}

/// A run of whole pages: what one put, clear or read names. Never empty, always aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageRange {
    offset: u64,
    len: u64,
}

impl PageRange {
    /// `None` when `offset` or `len` is not a multiple of [`PAGE`], `len` is zero, or the end overflows.
    pub const fn new(offset: u64, len: u64) -> Option<Self> {
        if len == 0 || !offset.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) || offset.checked_add(len).is_none() {
            return None;
        }
        Some(Self { offset, len })
    }

    /// The smallest run of pages that holds `extent`.
    pub const fn covering(extent: Extent) -> Self {
        let offset = extent.offset() / PAGE * PAGE;
        Self { offset, len: extent.end().next_multiple_of(PAGE) - offset }
    }

    /// First byte.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Length in bytes, a multiple of [`PAGE`].
    pub const fn len_bytes(self) -> u64 {
        self.len
    }

    /// One past the last byte.
    pub const fn end(self) -> u64 {
        self.offset + self.len
    }

    /// The same bytes as an extent.
    pub fn extent(self) -> Extent {
        Extent::new(self.offset, self.len).expect("a page range is not empty and does not overflow")
    }
}

impl fmt::Display for PageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.offset, self.end())
    }
}

/// The unit of diffing: a power of two from 4 KiB to 1 MiB, fixed for the life of a replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockSize(u32);

impl BlockSize {
    /// The smallest block: one [`GRAIN`].
    pub const MIN: Self = Self(4 << 10);
    /// The largest block.
    pub const MAX: Self = Self(1 << 20);

    /// `None` unless `bytes` is a power of two from 4 KiB to 1 MiB.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= Self::MIN.0 as u64 && bytes <= Self::MAX.0 as u64 {
            Some(Self(bytes as u32))
        } else {
            None
        }
    }

    /// The default for a disk: 64 KiB, or as much larger as keeps the digest map (16 bytes a block) at
    /// 256 MiB or less.
    ///
    /// So the map is never more than 1/4096 of the disk: 16 MiB for 64 GiB, 256 MiB from 1 TiB on.
    pub fn for_disk(disk_bytes: u64) -> Self {
        const MAP_BYTES: u64 = 256 * MIB;
        let wanted = disk_bytes.div_ceil(MAP_BYTES / 16).next_power_of_two();
        Self(wanted.clamp(64 << 10, u64::from(Self::MAX.0)) as u32)
    }

    /// Bytes in a block.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// How many blocks a disk has; the last may be short.
    pub const fn count(self, disk_bytes: u64) -> u64 {
        disk_bytes.div_ceil(self.bytes())
    }

    /// `range` widened to whole blocks, the end clipped to `disk_bytes`.
    pub fn cover(self, range: Range<u64>, disk_bytes: u64) -> Range<u64> {
        let start = range.start / self.bytes() * self.bytes();
        start..range.end.next_multiple_of(self.bytes()).min(disk_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_range_is_aligned_or_is_not() {
        assert!(PageRange::new(0, 512).is_some());
        assert!(PageRange::new(1, 512).is_none());
        assert!(PageRange::new(0, 0).is_none());
        assert!(PageRange::new(0, 100).is_none());
        assert!(PageRange::new(u64::MAX - 511, 512).is_none());
        let covering = PageRange::covering(Extent::new(700, 400).unwrap());
        assert_eq!((covering.offset(), covering.end()), (512, 1536));
    }

    #[test]
    fn the_replica_is_the_next_whole_mib() {
        assert_eq!(replica_len(0), None);
        assert_eq!(replica_len(1), Some(MIB));
        assert_eq!(replica_len(MIB), Some(MIB));
        assert_eq!(replica_len(MIB + 1), Some(2 * MIB));
        assert_eq!(replica_len(MAX_DISK_BYTES), Some(MAX_DISK_BYTES));
        assert_eq!(replica_len(MAX_DISK_BYTES + 1), None);
    }

    #[test]
    fn the_default_block_keeps_the_digest_map_small() {
        for shift in 20..43 {
            let disk = 1u64 << shift;
            let block = BlockSize::for_disk(disk);
            assert!(block.count(disk) * 16 <= (256 * MIB).max(disk / 4096), "{disk}: {block:?}");
        }
        assert_eq!(BlockSize::for_disk(64 << 30).bytes(), 64 << 10);
        assert_eq!(BlockSize::for_disk(8 << 40).bytes(), 512 << 10);
    }
}
