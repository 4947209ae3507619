//! VHD images: fixed, dynamic and differencing (Hyper-V's `.avhd` checkpoints among them).
//!
//! A VHD is recognised by its last 512 bytes, the footer; dynamic and differencing ones keep a copy of it in
//! their first 512. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (October
//! 2006).
//!
//! A differencing disk names its parent twice over: by paths ([`dynamic_header`]), which tell where to look,
//! and by the unique id in the parent's footer, which tells whether what was found is it. The time stamp of
//! the parent that is stored too is not held against the file: copying a file changes it.
//!
//! Everything that a file states is held against the file's length before it is believed or allocated for.

mod block_table;
mod dynamic_header;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use block_table::BlockTable;
use dynamic_header::DynamicHeader;

use super::chain::Chain;
use super::layered::{Layer, Place, Placed, stack};
use super::{DiskSource, ImageFile, SourceError};
use crate::vhd_footer::{COOKIE, DiskType, FOOTER_BYTES, FooterPage, VhdFooter};

const FORMAT: &str = "VHD";

/// Whether the file ends or starts as a VHD does. A damaged VHD still is one: [`open`] says what is wrong
/// with it, rather than anybody taking it for a raw disk.
pub(super) fn probe(file: &Arc<dyn DiskSource>) -> Result<bool, SourceError> {
    let Some(footer_at) = file.size_bytes().checked_sub(FOOTER_BYTES) else { return Ok(false) };
    Ok(page_at(file, footer_at)?.starts_with(COOKIE) || page_at(file, 0)?.starts_with(COOKIE))
}

/// Opens the VHD in `file` and all its parents.
pub(super) fn open(file: ImageFile, chain: &mut Chain<'_>) -> Result<Arc<dyn DiskSource>, SourceError> {
    let mut images = vec![Image::read(file)?];
    while let Some(child) = images.last()
        && child.footer.disk_type == DiskType::Differencing
    {
        let header = child.header()?;
        let names = header.parent_names(&child.file)?;
        let parent = chain.parent(&child.file, &names, |file| {
            let parent = Image::read(file)?;
            if parent.footer.disk_id == header.parent_id {
                return Ok(parent);
            }
            Err(SourceError::ParentMismatch {
                path: child.file.path().to_path_buf(),
                parent: parent.file.path().to_path_buf(),
                wanted: format!("the VHD with the id {}", header.parent_id),
                found: format!("the VHD with the id {}", parent.footer.disk_id),
            })
        })?;
        images.push(parent);
    }
    // The whole chain is one disk; the image that everything began with says which.
    let root = images.last().map(|image| image.footer.disk_id).filter(|id| !id.is_nil());
    let identity = root.map(|id| format!("vhd:{id}"));
    stack(images, identity.as_deref(), |mut image| {
        let notes = std::mem::take(&mut image.notes);
        Ok((image.layer()?, notes))
    })
}

/// One file of a chain: its footer, and the header where its type has one.
struct Image {
    file: ImageFile,
    footer: VhdFooter,
    header: Option<DynamicHeader>,
    notes: Vec<String>,
}

impl Image {
    /// Reads and checks the structures of one file.
    fn read(file: ImageFile) -> Result<Self, SourceError> {
        let bytes = file.bytes();
        let Some(footer_at) = bytes.size_bytes().checked_sub(FOOTER_BYTES) else {
            return Err(damaged(&file, "footer", 0, "the file is shorter than a footer".into()));
        };
        let mut notes = Vec::new();
        let footer = match VhdFooter::decode(&page_at(bytes, footer_at)?) {
            Ok(footer) => footer,
            // Only these have a copy in front; a fixed disk's first bytes are the guest's.
            Err(problem) => match VhdFooter::decode(&page_at(bytes, 0)?) {
                Ok(copy) if matches!(copy.disk_type, DiskType::Dynamic | DiskType::Differencing) => {
                    notes.push(format!(
                        "{}: the footer at offset {footer_at} is damaged ({problem}); its copy at offset 0 was used",
                        file.path().display()
                    ));
                    copy
                }
                _ => return Err(damaged(&file, "footer", footer_at, problem)),
            },
        };
        let size = footer.virtual_bytes;
        if size == 0 {
            return Err(SourceError::Empty { path: file.path().to_path_buf() });
        }
        let header = match footer.disk_type {
            DiskType::Fixed if size > footer_at => {
                let problem =
                    format!("it states a disk of {size} bytes, but only {footer_at} precede it: the file was cut");
                return Err(damaged(&file, "footer", footer_at, problem));
            }
            DiskType::Fixed => None,
            DiskType::Dynamic | DiskType::Differencing => Some(DynamicHeader::read(&file, &footer)?),
            DiskType::Other(number) => {
                let path = file.path().to_path_buf();
                return Err(SourceError::Unsupported { path, feature: format!("VHD disk type {number}") });
            }
        };
        Ok(Self { file, footer, header, notes })
    }

    fn header(&self) -> Result<&DynamicHeader, SourceError> {
        self.header.as_ref().ok_or_else(|| damaged(&self.file, "dynamic header", 0, "there is none".into()))
    }

    fn layer(self) -> Result<VhdLayer, SourceError> {
        let differs = self.footer.disk_type == DiskType::Differencing;
        let blocks = match &self.header {
            Some(header) => Some(BlockTable::read(&self.file, &self.footer, header, differs)?),
            None => None,
        };
        Ok(VhdLayer { bytes: Arc::clone(self.file.bytes()), size: self.footer.virtual_bytes, blocks })
    }
}

/// What one VHD says about the disk.
struct VhdLayer {
    bytes: Arc<dyn DiskSource>,
    size: u64,
    /// `None` for a fixed disk, whose bytes are the file's.
    blocks: Option<BlockTable>,
}

impl Layer for VhdLayer {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn place_at(&self, range: Range<u64>) -> Result<Placed, SourceError> {
        match &self.blocks {
            None => Ok(Placed {
                len_bytes: range.end - range.start,
                place: Place::File { index: 0, offset: range.start, has_holes: true },
            }),
            Some(blocks) => blocks.place_at(&self.bytes, range),
        }
    }

    fn file(&self, _index: usize) -> &Arc<dyn DiskSource> {
        &self.bytes
    }
}

impl fmt::Debug for VhdLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VhdLayer").field("size", &self.size).field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

fn page_at(file: &Arc<dyn DiskSource>, offset: u64) -> Result<FooterPage, SourceError> {
    let mut page = [0; FOOTER_BYTES as usize];
    file.read_at(offset, &mut page)?;
    Ok(page)
}

fn damaged(file: &ImageFile, structure: &'static str, offset: u64, problem: String) -> SourceError {
    SourceError::Damaged { path: file.path().to_path_buf(), format: FORMAT, structure, offset, problem }
}
