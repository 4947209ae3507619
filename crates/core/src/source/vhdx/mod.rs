//! VHDX images: fixed, dynamic and differencing (Hyper-V's `.avhdx` checkpoints among them).
//!
//! Source: Microsoft, "\[MS-VHDX\]: Virtual Hard Disk v2 (VHDX) File Format", v20180912 (12 September 2018);
//! section numbers in this folder are its own. All numbers are little-endian.
//!
//! What leads to the disk's bytes, in the order it is read:
//!
//! 1. [`header`]: the newer of two headers says where the log is, and whether it has to be replayed.
//! 2. [`log`]: changes of structures that were decided and not yet carried out. They are carried out in
//!    memory ([`replayed_file`]); the file stays as it is. Everything below is read through that.
//! 3. [`region_table`]: where the two regions below are.
//! 4. [`metadata`]: size of the disk, of its blocks and sectors, its id, and its parent ([`parent_locator`]).
//! 5. [`block_table`]: where each block is in the file.
//!
//! A parent is known by the GUID that its header changes with every write to its data: found in the right
//! place and written to since, it is refused.
//!
//! Everything that a file states is held against the file's length before it is believed or allocated for.

mod block_table;
mod header;
mod log;
mod metadata;
mod parent_locator;
mod region_table;
mod replayed_file;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use block_table::BlockTable;
use header::Header;
use metadata::Metadata;
use region_table::RegionTable;
use uuid::Uuid;

use super::chain::Chain;
use super::layered::{Layer, Placed, stack};
use super::{DiskSource, ImageFile, SourceError};
use crate::byte_order::{field, le16, le32, le64};
use crate::extent::Extent;

const FORMAT: &str = "VHDX";

/// What a VHDX starts with (2.2.1).
const SIGNATURE: &[u8; 8] = b"vhdxfile";

/// What regions, the log and blocks are multiples of (2.2.2, 2.2.3, 2.4).
const MIB: u64 = 1 << 20;

/// Whether the file starts as a VHDX does. A damaged VHDX still is one: [`open`] says what is wrong with it,
/// rather than anybody taking it for a raw disk.
pub(super) fn probe(file: &Arc<dyn DiskSource>) -> Result<bool, SourceError> {
    let mut start = [0; SIGNATURE.len()];
    if file.size_bytes() < start.len() as u64 {
        return Ok(false);
    }
    file.read_at(0, &mut start)?;
    Ok(start == *SIGNATURE)
}

/// Opens the VHDX in `file` and all its parents.
pub(super) fn open(file: ImageFile, chain: &mut Chain<'_>) -> Result<Arc<dyn DiskSource>, SourceError> {
    let mut images = vec![Image::read(file)?];
    while let Some(child) = images.last()
        && let Some(locator) = &child.metadata.parent
    {
        let parent = chain.parent(&child.file, &locator.names(), |file| {
            let parent = Image::read(file)?;
            if locator.linkages().contains(&parent.header.data_write_id) {
                return Ok(parent);
            }
            Err(SourceError::ParentMismatch {
                path: child.file.path().to_path_buf(),
                parent: parent.file.path().to_path_buf(),
                wanted: format!("the VHDX whose data was last written as {}", locator.linkage),
                found: format!("a VHDX whose data was last written as {}", parent.header.data_write_id),
            })
        })?;
        images.push(parent);
    }
    // The whole chain is one disk; the image that everything began with says which.
    let root = images.last().map(|image| image.metadata.disk_id).filter(|id| !id.is_nil());
    let identity = root.map(|id| format!("vhdx:{id}"));
    stack(images, identity.as_deref(), |mut image| {
        let notes = std::mem::take(&mut image.notes);
        Ok((image.layer()?, notes))
    })
}

/// One file of a chain, before its block table is read.
struct Image {
    /// The file as it is after its log.
    file: ImageFile,
    /// The length of the file before its log.
    stored_bytes: u64,
    header: Header,
    regions: RegionTable,
    metadata: Metadata,
    notes: Vec<String>,
}

impl Image {
    /// Reads and checks the structures of one file.
    fn read(file: ImageFile) -> Result<Self, SourceError> {
        if !probe(file.bytes())? {
            return Err(damaged(&file, "file identifier", 0, "it does not start with \"vhdxfile\"".into()));
        }
        let stored_bytes = file.bytes().size_bytes();
        let mut notes = Vec::new();
        let header = Header::read(&file, &mut notes)?;
        let file = log::replay(file, &header, &mut notes)?;
        let regions = RegionTable::read(&file, &header, &mut notes)?;
        let metadata = Metadata::read(&file, regions.metadata)?;
        Ok(Self { file, stored_bytes, header, regions, metadata, notes })
    }

    fn layer(self) -> Result<VhdxLayer, SourceError> {
        let blocks = BlockTable::read(&self.file, self.stored_bytes, &self.regions, &self.metadata)?;
        Ok(VhdxLayer { bytes: Arc::clone(self.file.bytes()), size: self.metadata.disk_bytes, blocks })
    }
}

/// What one VHDX says about the disk.
struct VhdxLayer {
    bytes: Arc<dyn DiskSource>,
    size: u64,
    blocks: BlockTable,
}

impl Layer for VhdxLayer {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn place_at(&self, range: Range<u64>) -> Result<Placed, SourceError> {
        self.blocks.place_at(&self.bytes, range)
    }

    fn file(&self, _index: usize) -> &Arc<dyn DiskSource> {
        &self.bytes
    }
}

impl fmt::Debug for VhdxLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VhdxLayer").field("size", &self.size).field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

fn damaged(file: &ImageFile, structure: &'static str, offset: u64, problem: String) -> SourceError {
    SourceError::Damaged { path: file.path().to_path_buf(), format: FORMAT, structure, offset, problem }
}

fn unsupported(file: &ImageFile, feature: String) -> SourceError {
    SourceError::Unsupported { path: file.path().to_path_buf(), feature }
}

/// The place of a structure that is always there.
const fn structure_at(offset: u64, len: u64) -> Extent {
    Extent::new(offset, len).expect("a structure has bytes")
}

/// Whether all of `region` is inside the file.
fn is_in_file(file: &ImageFile, region: Extent) -> bool {
    region.end() <= file.bytes().size_bytes()
}

/// The bytes of `region`, which lies inside the file and is short.
fn read(file: &ImageFile, region: Extent) -> Result<Vec<u8>, SourceError> {
    let mut bytes = vec![0; region.len_bytes() as usize];
    file.bytes().read_at(region.offset(), &mut bytes)?;
    Ok(bytes)
}

/// Of two copies of a structure, the first that is whole, with a note where the other had to stand in.
fn read_copy<T>(
    file: &ImageFile,
    structure: &'static str,
    copies: [Extent; 2],
    decode: impl Fn(&[u8]) -> Result<T, String>,
    notes: &mut Vec<String>,
) -> Result<T, SourceError> {
    let [first, second] = copies;
    let first_problem = match read_one(file, first, &decode)? {
        Ok(found) => return Ok(found),
        Err(problem) => problem,
    };
    match read_one(file, second, &decode)? {
        Ok(found) => {
            notes.push(stand_in(file, structure, first, &first_problem, second));
            Ok(found)
        }
        Err(problem) => {
            let both = format!("{first_problem}; and its copy at offset {}: {problem}", second.offset());
            Err(damaged(file, structure, first.offset(), both))
        }
    }
}

/// One copy of a structure, or what is wrong with it.
fn read_one<T>(
    file: &ImageFile,
    region: Extent,
    decode: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Result<T, String>, SourceError> {
    if !is_in_file(file, region) {
        return Ok(Err("it is not inside the file".into()));
    }
    Ok(decode(&read(file, region)?))
}

fn stand_in(file: &ImageFile, structure: &str, bad: Extent, problem: &str, used: Extent) -> String {
    format!(
        "{}: the {structure} at offset {} is damaged ({problem}); its copy at offset {} was used",
        file.path().display(),
        bad.offset(),
        used.offset()
    )
}

/// Checks the signature at the start of a structure, and the CRC-32C after it.
fn check(structure: &[u8], signature: &str) -> Result<(), String> {
    if !structure.starts_with(signature.as_bytes()) {
        return Err(format!("it does not start with {signature:?}"));
    }
    let (stored, sum) = (le32(structure, CHECKSUM_AT), checksum([structure].into_iter()));
    if stored == sum { Ok(()) } else { Err(format!("its checksum is {stored:#010x}, its bytes give {sum:#010x}")) }
}

/// Where headers, region tables and log entries keep their checksum, which counts as zero in its own sum.
const CHECKSUM_AT: usize = 4;

/// The CRC-32C of a structure that comes in pieces, the first of which has the checksum.
fn checksum<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> u32 {
    let Some(first) = pieces.next() else { return 0 };
    let sum = crc32c::crc32c(&first[..CHECKSUM_AT]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    let sum = crc32c::crc32c_append(sum, &first[CHECKSUM_AT + 4..]);
    pieces.fold(sum, crc32c::crc32c_append)
}

/// The GUID at `at`, which the caller knows to be inside. Its first three fields are little-endian.
fn guid(structure: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes_le(field(structure, at))
}
