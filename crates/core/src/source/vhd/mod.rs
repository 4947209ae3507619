//! VHD images, fixed and dynamic.
//!
//! A VHD is recognised by its last 512 bytes, the footer; a dynamic one keeps a copy of it in its first
//! 512. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (October 2006).
//!
//! The reader stands on any [`DiskSource`] for the file's bytes, so that it runs on plain memory in tests
//! and under the fuzzer. Everything that a file states is held against the file's length before it is
//! believed or allocated for.

mod block_table;

use std::ops::Range;
use std::path::{Path, PathBuf};

use block_table::BlockTable;
use uuid::Uuid;

use super::{DiskSource, RawSource, SourceError, SourceExtent, SourceLimits};
use crate::vhd_footer::{COOKIE, DiskType, FOOTER_BYTES, FooterPage, VhdFooter};

const FORMAT: &str = "VHD";

/// A fixed or dynamic VHD, read from the bytes of `S`.
#[derive(Debug)]
pub struct VhdSource<S = RawSource> {
    file: S,
    size: u64,
    disk_id: Uuid,
    /// `None` for a fixed disk, whose bytes are the file's.
    blocks: Option<BlockTable>,
}

/// Whether `file` ends or starts as a VHD does. A damaged VHD still is one: [`VhdSource::new`] says what
/// is wrong with it, rather than anybody taking it for a raw disk.
pub fn probe(file: &impl DiskSource) -> Result<bool, SourceError> {
    let Some(footer_at) = file.size_bytes().checked_sub(FOOTER_BYTES) else { return Ok(false) };
    Ok(page_at(file, footer_at)?.starts_with(COOKIE) || page_at(file, 0)?.starts_with(COOKIE))
}

impl VhdSource {
    /// Opens the VHD at `path` read-only.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let file = RawSource::open(path)?;
        let path = file.path().to_path_buf();
        Self::new(file, path)
    }
}

impl<S: DiskSource> VhdSource<S> {
    /// Reads the structures of the VHD in `file`; `path` names it in errors.
    pub fn new(file: S, path: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let path = path.into();
        let damaged = |problem| SourceError::Damaged { path: path.clone(), format: FORMAT, problem };
        let unsupported = |feature: String| SourceError::Unsupported { path: path.clone(), feature };
        let Some(footer_at) = file.size_bytes().checked_sub(FOOTER_BYTES) else {
            return Err(damaged("the file is shorter than a footer".into()));
        };
        let footer = match VhdFooter::decode(&page_at(&file, footer_at)?) {
            Ok(footer) => footer,
            // Only these have a copy in front; a fixed disk's first bytes are the guest's.
            Err(problem) => match VhdFooter::decode(&page_at(&file, 0)?) {
                Ok(copy) if matches!(copy.disk_type, DiskType::Dynamic | DiskType::Differencing) => copy,
                _ => return Err(damaged(problem)),
            },
        };
        let size = footer.virtual_bytes;
        if size == 0 {
            return Err(SourceError::Empty { path });
        }
        let blocks = match footer.disk_type {
            DiskType::Fixed if size > footer_at => {
                return Err(damaged(format!(
                    "the footer states a disk of {size} bytes, but only {footer_at} precede it: the file was cut"
                )));
            }
            DiskType::Fixed => None,
            DiskType::Dynamic => Some(BlockTable::read(&file, &footer, &path)?),
            DiskType::Differencing => return Err(unsupported("a differencing VHD (a disk with a parent)".into())),
            DiskType::Other(number) => return Err(unsupported(format!("VHD disk type {number}"))),
        };
        Ok(Self { file, size, disk_id: footer.disk_id, blocks })
    }
}

impl<S: DiskSource> DiskSource for VhdSource<S> {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn identity(&self) -> Option<String> {
        (!self.disk_id.is_nil()).then(|| format!("vhd:{}", self.disk_id))
    }

    fn point(&self) -> Option<String> {
        self.file.point()
    }

    fn limits(&self) -> SourceLimits {
        self.file.limits()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        match &self.blocks {
            None => self.file.extents(range, max),
            Some(blocks) => Ok(blocks.extents(range, max)),
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        match &self.blocks {
            None => self.file.read_at(offset, buf),
            Some(blocks) => blocks.read_at(&self.file, offset, buf),
        }
    }
}

fn page_at(file: &impl DiskSource, offset: u64) -> Result<FooterPage, SourceError> {
    let mut page = [0; FOOTER_BYTES as usize];
    file.read_at(offset, &mut page)?;
    Ok(page)
}
