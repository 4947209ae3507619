//! Where blocks come from.
//!
//! A [`DiskSource`] is a read-only view of one disk at one moment. Readers here are synchronous and
//! positioned (`&self`), open the file read-only and never write, lock or truncate it; the engine calls
//! them on blocking threads. Formats are recognised by content in [`open`].

mod change_list;
mod diagnose;
mod foreign;
mod memory;
mod page_cache;
pub mod raw;
pub mod vhd;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use change_list::{ChangeId, ChangeList, ChangeListError};
pub use raw::RawSource;
pub use vhd::VhdSource;

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

    /// Describes `range` from its start: contiguous extents, in order, without gaps, at most `max`, at
    /// least one. It may stop before the end of `range`; the caller asks again from where it stopped.
    ///
    /// `range` is not empty and inside the disk. Data is not read.
    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError>;

    /// Fills `buf` from `offset`. `offset + buf.len()` is inside the disk.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError>;
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

/// Which reader opens an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By content: a VHD by its footer, anything else is raw.
    #[default]
    Detect,
    /// The bytes as they are, whatever they look like.
    Raw,
    /// Fixed or dynamic VHD.
    Vhd,
}

/// Opens the image file or block device at `path` read-only.
///
/// With [`Format::Detect`], the content decides, and the content is the guest's: whoever can write the
/// disk's first or last sector can make it look like a VHD. That costs nobody but them, since no reader
/// here opens a second file; still, name the format where it is known.
///
/// An image in a format that is not read here fails with [`SourceError::Unsupported`] rather than be
/// replicated as if it were a disk; [`Format::Raw`] forces that.
///
/// ```
/// use libmigrate::source::{self, Format};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let image = tempfile::NamedTempFile::new()?;
/// # image.as_file().set_len(3 << 20)?;
/// let disk = source::open(image.path(), Format::Detect)?;
/// assert_eq!(disk.size_bytes(), 3 << 20);
/// # Ok(())
/// # }
/// ```
pub fn open(path: impl AsRef<Path>, format: Format) -> Result<Arc<dyn DiskSource>, SourceError> {
    let file = RawSource::open(path)?;
    let is_vhd = match format {
        Format::Raw => false,
        Format::Vhd => true,
        Format::Detect => vhd::probe(&file)?,
    };
    if is_vhd {
        let path = file.path().to_path_buf();
        return Ok(Arc::new(VhdSource::new(file, path)?));
    }
    if format == Format::Detect {
        foreign::refuse(&file)?;
    }
    Ok(Arc::new(file))
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
    #[error("{} is not a valid {format} image: {problem}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// What is wrong, and where.
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
