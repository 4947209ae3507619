//! Raw images and block devices: the disk's bytes as they are.
//!
//! A file's holes are found with `SEEK_DATA` and `SEEK_HOLE` and never read; a block device has no holes
//! that can be asked for, so all of it is data. The size is the one at open: a file that grows is read up
//! to it, a file that is cut is an error, never zeros.
//!
//! The descriptor's file offset is shared by all threads and moved by the seeks. Nobody uses it: reads
//! carry their own offset, and a seek's answer is its return value.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::device::Kernel;
use super::{DiskSource, SourceError, SourceExtent, page_cache};
use crate::extent::Extent;

/// What the caller knows of the bytes below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing: a file is at the moment of its last change, a device at none unless the kernel can tell.
    #[default]
    AsFound,
    /// They do not change while open; the name of that moment.
    Frozen(String),
    /// They may change underneath.
    Moving,
}

/// A raw image file or a block device, opened read-only.
///
/// A block device changes underneath, so its [`point`](DiskSource::point) is unknown, except where the kernel
/// shows a read-only snapshot, or the caller knows ([`OpenOptions::frozen_as`](super::OpenOptions::frozen_as)).
pub struct RawSource {
    file: File,
    path: PathBuf,
    size: u64,
    is_device: bool,
    point: Option<String>,
}

impl RawSource {
    /// Opens the file or block device at `path` read-only.
    ///
    /// Fails with [`SourceError::NotADisk`] on anything else, which is then not even opened: a pipe would
    /// wait for its writer, and some character devices act on being opened. Fails with
    /// [`SourceError::MountedReadWrite`] on a device that somebody writes to.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        Self::open_at(path.as_ref(), &Moment::AsFound)
    }

    /// Opens the file or block device at `path` read-only, knowing what the caller knows.
    pub(super) fn open_at(path: &Path, moment: &Moment) -> Result<Self, SourceError> {
        let path = path.to_path_buf();
        let failed = |source| SourceError::Open { path: path.clone(), source };
        refuse_other_than_disks(&fs::metadata(&path).map_err(failed)?, &path)?;
        let mut file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        refuse_other_than_disks(&metadata, &path)?;
        let is_device = !metadata.is_file();
        let (size, found) = if is_device {
            let state = Kernel::running().state_of(metadata.rdev());
            if let (Some(written_by), Moment::AsFound) = (state.written_by, moment) {
                return Err(SourceError::MountedReadWrite { path, written_by });
            }
            (file.seek(io::SeekFrom::End(0)).map_err(failed)?, state.point)
        } else {
            (metadata.len(), Some(point_of(&metadata)))
        };
        let point = match moment {
            Moment::AsFound => found,
            Moment::Frozen(name) => Some(format!("frozen:{name}")),
            Moment::Moving => None,
        };
        if size == 0 {
            return Err(SourceError::Empty { path });
        }
        page_cache::expect_scattered_reads(&file);
        Ok(Self { file, path, size, is_device, point })
    }

    /// Where the file or device is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The extent that starts at `range.start`; `None` when the file system cannot tell holes from data.
    fn extent_at(&self, range: Range<u64>) -> io::Result<Option<SourceExtent>> {
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(range.start)) {
            Ok(data) => data,
            // No data from here to the end of the file, wherever that is now: a file that was cut must
            // not pass for zeros.
            Err(Errno::NXIO) if self.file.metadata()?.len() >= range.end => range.end,
            Err(Errno::NXIO) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if data > range.start {
            return Ok(Extent::from_range(range.start..data.min(range.end)).map(SourceExtent::hole));
        }
        let hole = match rustix::fs::seek(&self.file, SeekFrom::Hole(range.start)) {
            Ok(hole) => hole,
            Err(Errno::NXIO) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error.into()),
        };
        Ok(Extent::from_range(range.start..hole.min(range.end)).map(SourceExtent::data))
    }

    fn failed(&self, offset: u64, len: u64, source: io::Error) -> SourceError {
        let disk = self.path.display().to_string();
        if source.kind() == io::ErrorKind::UnexpectedEof {
            SourceError::Short { disk, offset, len, size: self.size }
        } else {
            SourceError::Read { disk, offset, len, source }
        }
    }
}

impl DiskSource for RawSource {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn point(&self) -> Option<String> {
        self.point.clone()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end && found.len() < max.max(1) {
            let known = if self.is_device {
                None
            } else {
                self.extent_at(at..range.end).map_err(|error| self.failed(at, range.end - at, error))?
            };
            let Some(extent) = known.or_else(|| Extent::from_range(at..range.end).map(SourceExtent::data)) else {
                break;
            };
            at = extent.extent.end();
            found.push(extent);
        }
        Ok(found)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let len = buf.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            // Bytes that were appended after the disk was opened are not the disk's.
            return Err(self.failed(offset, len, io::ErrorKind::UnexpectedEof.into()));
        }
        page_cache::read_exact_at(&self.file, buf, offset).map_err(|error| self.failed(offset, len, error))
    }
}

impl fmt::Debug for RawSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSource").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

fn refuse_other_than_disks(metadata: &Metadata, path: &Path) -> Result<(), SourceError> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    Err(SourceError::NotADisk { path: path.to_path_buf() })
}

/// The moment of a file: any write to it, or another file in its place, changes this.
fn point_of(metadata: &Metadata) -> String {
    format!(
        "file:{}:{}:{}:{}.{:09}:{}.{:09}",
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}
