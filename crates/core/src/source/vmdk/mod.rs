//! VMDK images: what `VMware`'s products, and everybody who exports for them, keep disks in.
//!
//! A disk is a row of *extents*, which a text, the [`descriptor`], lists: flat files, zeros, and sparse files
//! with grain tables ([`grain_table`]) under one of three headers ([`sparse_header`], [`cowd`], [`se_sparse`]). A
//! sparse file that is the whole disk carries the descriptor inside; its grains may be compressed ([`stream`]).
//! Source: `VMware`, "Virtual Disk Format 5.0" (technical note, 2011).
//!
//! A snapshot is a disk that names its parent, by a path that tells where to look and by the parent's content
//! id (CID), which changes with the first write after each opening: when it differs, the parent was written
//! to after the snapshot was taken, and both together are nobody's disk.
//!
//! Invariants: an extent's file is opened only through the gate, and holds all of the extent; a file that is one
//! extent of several, or a child whose parent is not there, is never read by itself.

mod cowd;
mod descriptor;
mod grain_table;
mod se_sparse;
mod sparse_header;
mod stream;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use descriptor::{Descriptor, ExtentKind, ExtentLine};
use grain_table::GrainTable;
use sparse_header::SparseHeader;

use super::chain::Chain;
use super::layered::{Layer, Place, Placed, stack};
use super::{DiskSource, ImageFile, SourceError};
use crate::byte_order::{le16, le32, le64};

const FORMAT: &str = "VMDK";

/// The bytes of a sector, in which all of the format counts.
const SECTOR: u64 = 512;

/// 64 TiB, above `VMware`'s maximum of 62.
const MAX_DISK_SECTORS: u64 = (64 << 40) / SECTOR;

/// How far a descriptor's mark is looked for.
const PROBED: u64 = 4096;

type Sector = [u8; SECTOR as usize];

/// What kind of file it is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hosted,
    Cowd,
    SpaceEfficient,
    Descriptor,
}

impl Kind {
    fn of(file: &Arc<dyn DiskSource>) -> Result<Option<Self>, SourceError> {
        let mut head = vec![0; file.size_bytes().min(PROBED) as usize];
        file.read_at(0, &mut head)?;
        Ok(if head.starts_with(sparse_header::MAGIC) {
            Some(Self::Hosted)
        } else if head.starts_with(cowd::MAGIC) {
            Some(Self::Cowd)
        } else if head.starts_with(se_sparse::MAGIC) {
            Some(Self::SpaceEfficient)
        } else {
            descriptor::is_one(&head).then_some(Self::Descriptor)
        })
    }
}

/// Whether the file starts as one of a VMDK's does. A damaged VMDK still is one: [`open`] says what is wrong.
pub(super) fn probe(file: &Arc<dyn DiskSource>) -> Result<bool, SourceError> {
    Ok(Kind::of(file)?.is_some())
}

/// Opens the VMDK in `file`, its extents, and all its parents.
pub(super) fn open(file: ImageFile, chain: &mut Chain<'_>) -> Result<Arc<dyn DiskSource>, SourceError> {
    let mut images = vec![Image::read(file)?];
    while let Some(child) = images.last()
        && let Some(wanted) = &child.descriptor.parent
    {
        let parent = chain.parent(&child.file, &wanted.names(), |file| {
            let parent = Image::read(file)?;
            if parent.descriptor.cid == Some(wanted.cid) {
                return Ok(parent);
            }
            let found =
                parent.descriptor.cid.map_or("without one".into(), |cid| format!("the VMDK with the CID {cid:08x}"));
            Err(SourceError::ParentMismatch {
                path: child.file.path().to_path_buf(),
                parent: parent.file.path().to_path_buf(),
                wanted: format!("the VMDK with the CID {:08x}", wanted.cid),
                found,
            })
        })?;
        images.push(parent);
    }
    // The guest sees the UUID, so it stays when a snapshot is taken, and a snapshot need not repeat it. The
    // CID is none: it changes with each use of the disk.
    let identity = images.iter().find_map(|image| image.descriptor.uuid.as_ref()).map(|uuid| format!("vmdk:{uuid}"));
    stack(images, identity.as_deref(), |image| {
        let mut notes = Vec::new();
        Ok((image.layer(chain, &mut notes)?, notes))
    })
}

/// One image of a chain: the file that has the descriptor.
struct Image {
    file: ImageFile,
    descriptor: Descriptor,
    /// The file is the disk's only extent, too.
    header: Option<SparseHeader>,
}

impl Image {
    fn read(file: ImageFile) -> Result<Self, SourceError> {
        let one_of_several = |what| {
            let feature = format!(
                "{what} by itself, without the descriptor of its disk (open the descriptor, \
                                   the small .vmdk beside it)"
            );
            unsupported(&file, feature)
        };
        match Kind::of(file.bytes())? {
            Some(Kind::Descriptor) => {
                let descriptor = Descriptor::read(&file, 0, file.bytes().size_bytes())?;
                Ok(Self { file, descriptor, header: None })
            }
            Some(Kind::Hosted) => {
                let header = SparseHeader::read(&file)?;
                let (at, len) = header.descriptor().ok_or_else(|| one_of_several("a sparse extent"))?;
                let descriptor = Descriptor::read(&file, at, len)?;
                let header = Some(header).filter(|header| !header.is_empty());
                if header.is_some() && descriptor.extents.len() > 1 {
                    return Err(one_of_several("a sparse extent of several"));
                }
                Ok(Self { file, descriptor, header })
            }
            Some(Kind::Cowd) => Err(one_of_several("an ESX sparse extent (COWD)")),
            Some(Kind::SpaceEfficient) => Err(one_of_several("a space-efficient sparse extent (SESPARSE)")),
            None => {
                let problem = "it is neither a descriptor nor a sparse extent";
                Err(damaged(&file, "first sector", 0, problem.into()))
            }
        }
    }

    /// Opens the extents.
    fn layer(self, chain: &mut Chain<'_>, notes: &mut Vec<String>) -> Result<VmdkLayer, SourceError> {
        let mut layer = VmdkLayer { files: vec![self.file], parts: Vec::new(), size: 0 };
        if let Some(header) = self.header {
            let table = hosted_table(&layer.files[0], &header, notes)?;
            layer.push(table.size_bytes(), Part::Sparse { index: 0, table })?;
            return Ok(layer);
        }
        // Flat extents may share a file, each with its own offset; a sparse one has its file to itself.
        let mut names: Vec<String> = Vec::new();
        for ExtentLine { len_bytes, kind } in self.descriptor.extents {
            let (name, offset) = match kind {
                ExtentKind::Zero => {
                    layer.push(len_bytes, Part::Zero)?;
                    continue;
                }
                ExtentKind::Flat { name, offset } => (name, Some(offset)),
                ExtentKind::Sparse { name } => (name, None),
            };
            // File 0 is the descriptor's.
            let known = offset.and_then(|_| names.iter().position(|known| *known == name));
            let index = if let Some(known) = known {
                known + 1
            } else {
                layer.files.push(chain.extent(&layer.files[0], &name)?);
                names.push(name);
                names.len()
            };
            let file = &layer.files[index];
            let part = match offset {
                Some(offset) => flat_part(file, index, offset, len_bytes)?,
                None => Part::Sparse { index, table: sparse_table(file, len_bytes, notes)? },
            };
            layer.push(len_bytes, part)?;
        }
        if layer.size == 0 {
            return Err(SourceError::Empty { path: layer.files[0].path().to_path_buf() });
        }
        Ok(layer)
    }
}

/// A flat extent, all of which is in `file`.
fn flat_part(file: &ImageFile, index: usize, offset: u64, len_bytes: u64) -> Result<Part, SourceError> {
    let has = file.bytes().size_bytes();
    if offset.checked_add(len_bytes).is_none_or(|end| end > has) {
        let problem =
            format!("the descriptor has {len_bytes} bytes here, but the file ends at {has}: the file was cut");
        return Err(damaged(file, "flat extent", offset, problem));
    }
    Ok(Part::Flat { index, offset })
}

/// The grain table of a sparse extent of the descriptor's `len_bytes`.
fn sparse_table(file: &ImageFile, len_bytes: u64, notes: &mut Vec<String>) -> Result<GrainTable, SourceError> {
    let table = match Kind::of(file.bytes())? {
        Some(Kind::Hosted) => hosted_table(file, &SparseHeader::read(file)?, notes)?,
        Some(Kind::Cowd) => GrainTable::read(file, cowd::read(file)?)?,
        Some(Kind::SpaceEfficient) => GrainTable::read(file, se_sparse::read(file)?)?,
        Some(Kind::Descriptor) | None => {
            return Err(damaged(file, "sparse extent", 0, "it does not start as one does".into()));
        }
    };
    // A writer may count whole grains in the header.
    let has = table.size_bytes();
    if has < len_bytes || has - len_bytes >= table.grain_bytes() {
        let problem = format!("it has {has} bytes of the disk, but the descriptor says {len_bytes}");
        return Err(damaged(file, "sparse extent", 0, problem));
    }
    Ok(table)
}

fn hosted_table(file: &ImageFile, header: &SparseHeader, notes: &mut Vec<String>) -> Result<GrainTable, SourceError> {
    if header.is_unclean() {
        notes.push(format!(
            "{}: the program that wrote it last did not close it; what the guest wrote last may be missing",
            file.path().display()
        ));
    }
    match (GrainTable::read(file, header.layout()), header.redundant_layout()) {
        (Err(error @ SourceError::Damaged { .. }), Some(redundant)) => {
            // What is wrong with the first is the better error.
            let Ok(table) = GrainTable::read(file, redundant) else { return Err(error) };
            notes.push(format!("{error}; the redundant grain directory was used"));
            Ok(table)
        }
        (read, _) => read,
    }
}

/// What one image says about the disk.
struct VmdkLayer {
    /// The descriptor's file, then those of the extents.
    files: Vec<ImageFile>,
    /// First byte and content of each extent, in order, without gaps.
    parts: Vec<(u64, Part)>,
    size: u64,
}

/// An extent.
#[derive(Debug)]
enum Part {
    Flat { index: usize, offset: u64 },
    Zero,
    Sparse { index: usize, table: GrainTable },
}

impl VmdkLayer {
    fn push(&mut self, len_bytes: u64, part: Part) -> Result<(), SourceError> {
        let size = self.size.checked_add(len_bytes).filter(|size| *size <= MAX_DISK_SECTORS * SECTOR);
        let Some(size) = size else {
            let feature = format!("a disk of more than {} TiB", (MAX_DISK_SECTORS * SECTOR) >> 40);
            return Err(unsupported(&self.files[0], feature));
        };
        self.parts.push((self.size, part));
        self.size = size;
        Ok(())
    }

    /// The extent that has the disk's byte `at`, and the bytes that it has.
    fn part_at(&self, at: u64) -> (&Part, Range<u64>) {
        let next = self.parts.partition_point(|(start, _)| *start <= at);
        let (start, part) = &self.parts[next - 1];
        (part, *start..self.parts.get(next).map_or(self.size, |(start, _)| *start))
    }
}

impl Layer for VmdkLayer {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn place_at(&self, range: Range<u64>) -> Result<Placed, SourceError> {
        let (part, bytes) = self.part_at(range.start);
        let inside = range.start - bytes.start..range.end.min(bytes.end) - bytes.start;
        let len_bytes = inside.end - inside.start;
        match part {
            Part::Flat { index, offset } => {
                let place = Place::File { index: *index, offset: offset + inside.start, has_holes: true };
                Ok(Placed { len_bytes, place })
            }
            Part::Zero => Ok(Placed { len_bytes, place: Place::Zero { allocated: false } }),
            Part::Sparse { index, table } => table.place_at(&self.files[*index], *index, inside),
        }
    }

    fn file(&self, index: usize) -> &Arc<dyn DiskSource> {
        self.files[index].bytes()
    }

    fn files(&self) -> usize {
        self.files.len()
    }

    fn unpack(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        match self.part_at(offset) {
            (Part::Sparse { index, table }, bytes) => table.unpack(&self.files[*index], offset - bytes.start, buf),
            (Part::Flat { .. } | Part::Zero, _) => unreachable!("only grains are packed"),
        }
    }
}

impl fmt::Debug for VmdkLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmdkLayer").field("files", &self.files).field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// The sector at `offset`, which is inside the file or damage of `structure`.
fn sector_at(file: &ImageFile, structure: &'static str, offset: u64) -> Result<Sector, SourceError> {
    if offset.checked_add(SECTOR).is_none_or(|end| end > file.bytes().size_bytes()) {
        return Err(damaged(file, structure, offset, "it is not inside the file: the file was cut".into()));
    }
    let mut sector = [0; SECTOR as usize];
    file.bytes().read_at(offset, &mut sector)?;
    Ok(sector)
}

fn damaged(file: &ImageFile, structure: &'static str, offset: u64, problem: String) -> SourceError {
    SourceError::Damaged { path: file.path().to_path_buf(), format: FORMAT, structure, offset, problem }
}

fn unsupported(file: &ImageFile, feature: String) -> SourceError {
    SourceError::Unsupported { path: file.path().to_path_buf(), feature }
}
