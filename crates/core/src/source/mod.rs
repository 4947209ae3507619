//! Where blocks come from.
//!
//! A [`DiskSource`] is a read-only view of one disk at one moment. Readers here are synchronous and
//! positioned (`&self`), open the file read-only and never write, lock or truncate it; the engine calls
//! them on blocking threads. Formats are recognised by content in [`open`], and a format whose images name
//! further files opens them only through a [`Gate`].

mod chain;
pub mod change_list;
mod device;
mod diagnose;
mod foreign;
mod gate;
mod in_use;
mod layered;
mod memory;
pub mod nbd;
mod open;
mod ova;
mod page_cache;
pub mod qcow2;
mod raw;
mod table_cache;
mod vhd;
mod vhdx;
mod vmdk;
mod windows_path;

use std::ops::Range;
use std::path::PathBuf;

pub use change_list::{ChangeId, ChangeList, ChangeListError};
pub use gate::{Gate, ImageFile};
pub use in_use::InUse;
pub use open::{Format, OpenOptions, open};
pub use raw::RawSource;

use crate::extent::Extent;

/// A point-in-time, read-only view of a server's disk.
///
/// Implement it to bring your own source. The contract:
///
/// - **A point in time**: the bytes do not change while the source is open. A source that cannot promise
///   that says so by [`point`](Self::point) returning `None`.
/// - **Positioned and shared**: every method takes `&self` and may be called from several threads at once.
/// - **Exact**: [`read_at`](Self::read_at) fills the whole buffer or fails; there is no short read.
/// - **Honest extents**: a false "reads as zero" loses data; a false "data" only costs time.
pub trait DiskSource: Send + Sync + 'static {
    /// Size of the disk in bytes, fixed while the source is open.
    fn size_bytes(&self) -> u64;

    /// Which disk this is, where the format or the device can tell (a VHD's UUID, a device's serial
    /// number). A replica remembers it and refuses another disk. `None`: cannot tell.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Which moment of the disk this is (a snapshot's id; for an image file its inode, size and time of
    /// last change). An interrupted cycle goes on where it stopped only when the moment is the same;
    /// otherwise the cycle starts over, comparing by digest. `None`: may change underneath.
    fn point(&self) -> Option<String> {
        None
    }

    /// What the source takes best.
    fn limits(&self) -> SourceLimits {
        SourceLimits::default()
    }

    /// What the reader noticed at opening and worked around, one sentence each: a header that only its copy
    /// could stand in for, a log that was replayed in memory.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Describes `range` from its start: contiguous extents, in order, without gaps, at most `max`, at
    /// least one. It may stop before the end of `range`; the caller asks again from where it stopped.
    ///
    /// `range` is not empty and inside the disk. Data is not read.
    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError>;

    /// Fills `buf` from `offset`. `offset + buf.len()` is inside the disk.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError>;

    /// The same with memory that is given away and comes back filled, as long as it was: for a source that reads on
    /// another thread or in another language, to which a borrow cannot go. A cycle reads whole runs by it. What was in the memory before means nothing.
    /// Other memory may come back instead, without spare capacity: it counts as what was given.
    fn read_into(&self, offset: u64, mut memory: Vec<u8>) -> Result<Vec<u8>, SourceError> {
        self.read_at(offset, &mut memory)?;
        Ok(memory)
    }
}

/// One answer of [`DiskSource::extents`]. The two bits are independent, as in NBD: an extent may be
/// unallocated and still not read as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceExtent {
    /// The bytes described.
    pub extent: Extent,
    /// The format holds space for these bytes.
    pub allocated: bool,
    /// These bytes are known to read as zeros. Only this permits clearing without reading.
    pub reads_as_zero: bool,
}

impl SourceExtent {
    /// Allocated, to be read.
    pub const fn data(extent: Extent) -> Self {
        Self { extent, allocated: true, reads_as_zero: false }
    }

    /// Unallocated, reads as zeros.
    pub const fn hole(extent: Extent) -> Self {
        Self { extent, allocated: false, reads_as_zero: true }
    }
}

/// What a source takes best. The engine never asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// Longest read in bytes.
    pub max_read_bytes: u64,
    /// Reads that may run at once.
    pub max_in_flight: usize,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self { max_read_bytes: 4 << 20, max_in_flight: 16 }
    }
}

/// What can go wrong with a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file or device cannot be opened.
    #[error("cannot open {} for reading", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk has no bytes.
    #[error("{} is empty: there is nothing to replicate", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Neither a file nor a block device.
    #[error("{} is neither a regular file nor a block device", path.display())]
    NotADisk {
        /// Which.
        path: PathBuf,
    },
    /// Something on the device is mounted read-write, or it is swapped to.
    #[error("{} changes while it is read: it is {written_by}", path.display())]
    MountedReadWrite {
        /// Which device.
        path: PathBuf,
        /// By what.
        written_by: String,
    },
    /// A read failed.
    #[error("cannot read {len} bytes at offset {offset} of {disk}")]
    Read {
        /// Which disk.
        disk: String,
        /// First byte of the read.
        offset: u64,
        /// Length of the read.
        len: u64,
        /// Why.
        source: std::io::Error,
    },
    /// The disk ends before the size it stated.
    #[error(
        "{disk} ends inside the read of {len} bytes at offset {offset}, but stated a size of {size} bytes; it was cut or replaced while open"
    )]
    Short {
        /// Which disk.
        disk: String,
        /// First byte of the read.
        offset: u64,
        /// Length of the read.
        len: u64,
        /// Stated size.
        size: u64,
    },
    /// The image's own structures are wrong.
    #[error("{} is not a valid {format} image: {structure} at offset {offset}: {problem}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// Which structure.
        structure: &'static str,
        /// Where in the file it is, or would have to be.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The image uses something that is not read here.
    #[error("{} uses {feature}, which this version does not read", path.display())]
    Unsupported {
        /// Which.
        path: PathBuf,
        /// What.
        feature: String,
    },
    /// The image is encrypted.
    #[error("{} is encrypted ({method})", path.display())]
    Encrypted {
        /// Which.
        path: PathBuf,
        /// How.
        method: String,
    },
    /// The image names a further file that the gate does not let through.
    #[error("{} names the file {named:?}, which it may not make us open", path.display())]
    NotAllowed {
        /// Which image.
        path: PathBuf,
        /// What it names.
        named: String,
    },
    /// None of the places that the image names has its parent.
    #[error("{} is a difference to a parent that was not found: {problem}", path.display())]
    ParentMissing {
        /// Which image.
        path: PathBuf,
        /// Where it was looked for, and what was found there.
        problem: String,
    },
    /// A parent was found, and it is not the one that the image was made from, or has changed since.
    #[error("{} is a difference to {wanted}, but {} is {found}", path.display(), parent.display())]
    ParentMismatch {
        /// Which image.
        path: PathBuf,
        /// What was found in the parent's place.
        parent: PathBuf,
        /// The parent's identity, as the image states it.
        wanted: String,
        /// The identity that was found.
        found: String,
    },
    /// The files of an image form a loop, or are too many.
    #[error("the chain of {} cannot be followed: {problem}", path.display())]
    Chain {
        /// Where it went wrong.
        path: PathBuf,
        /// How.
        problem: String,
    },
    /// The image has no internal snapshot of this name or id.
    #[error("{} has no snapshot {wanted:?}; it has [{}]", path.display(), snapshots.join(", "))]
    Snapshot {
        /// Which image.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The names of those it has.
        snapshots: Vec<String>,
    },
    /// A dirty bitmap of the image cannot be used.
    #[error("the bitmap {bitmap:?} of {} says nothing: {problem}", path.display())]
    Bitmap {
        /// Which image.
        path: PathBuf,
        /// Which bitmap.
        bitmap: String,
        /// Why.
        problem: String,
    },
    /// The NBD server or the way to it failed.
    #[error(transparent)]
    Nbd(#[from] nbd::NbdError),
    /// An archive has several disks and none was named, or not the one that was.
    #[error("cannot choose a disk of {}, which has [{}]: {problem}", path.display(), disks.join(", "))]
    Member {
        /// Which archive.
        path: PathBuf,
        /// Its disks.
        disks: Vec<String>,
        /// Why none was chosen.
        problem: String,
    },
    /// A source of the caller's own failed.
    #[error("the source failed at offset {offset}, length {len}: {problem}")]
    Custom {
        /// First byte of what was asked.
        offset: u64,
        /// Length of what was asked.
        len: u64,
        /// The caller's words.
        problem: String,
    },
}
