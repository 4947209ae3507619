//! The dynamic header: where the block table is, how large blocks are, and which disk is the parent.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (October 2006), "Dynamic
//! Disk Header Format".

use uuid::Uuid;

use super::damaged;
use crate::byte_order::{be16, be32, be64};
use crate::source::{ImageFile, SourceError, windows_path};
use crate::vhd_footer::{VhdFooter, checksum};

pub(super) const HEADER_BYTES: u64 = 1024;
const STRUCTURE: &str = "dynamic header";
const COOKIE: &[u8; 8] = b"cxsparse";
const CHECKSUM_AT: usize = 36;
const PARENT_ID_AT: usize = 40;
const PARENT_NAME_AT: usize = 64;
const PARENT_NAME_BYTES: usize = 512;
const LOCATORS_AT: usize = 576;
const LOCATOR_BYTES: usize = 24;
const LOCATORS: usize = 8;

/// Paths in UTF-16, little-endian: relative to the image, and absolute. The older codes `Wi2r` and `Wi2k`
/// are deprecated by the specification, `Mac ` and `MacX` no server writes.
const RELATIVE: &[u8; 4] = b"W2ru";
const ABSOLUTE: &[u8; 4] = b"W2ku";

/// The longest path that Windows knows, in bytes.
const MAX_PATH_BYTES: u64 = 2 * 32_768;

/// What the dynamic header says.
#[derive(Debug)]
pub(super) struct DynamicHeader {
    pub(super) at: u64,
    pub(super) table_offset: u64,
    pub(super) entries: u64,
    pub(super) block_bytes: u64,
    pub(super) parent_id: Uuid,
    parent_name: String,
    locators: Vec<Locator>,
}

/// Where a path to the parent is stored.
#[derive(Debug)]
struct Locator {
    code: [u8; 4],
    offset: u64,
    len: u64,
}

impl DynamicHeader {
    /// Reads and checks the header that `footer` points to.
    pub(super) fn read(file: &ImageFile, footer: &VhdFooter) -> Result<Self, SourceError> {
        let at = footer.data_offset;
        let wrong = |problem| damaged(file, STRUCTURE, at, problem);
        if at.checked_add(HEADER_BYTES).is_none_or(|end| end > file.bytes().size_bytes()) {
            return Err(wrong("it is not inside the file".into()));
        }
        let mut header = [0; HEADER_BYTES as usize];
        file.bytes().read_at(at, &mut header)?;
        if !header.starts_with(COOKIE) {
            return Err(wrong("it does not start with \"cxsparse\"".into()));
        }
        let (stored, sum) = (be32(&header, CHECKSUM_AT), checksum(&header, CHECKSUM_AT));
        if stored != sum {
            return Err(wrong(format!("its checksum is {stored:#010x}, its bytes give {sum:#010x}")));
        }
        let version = be32(&header, 24);
        if version >> 16 != 1 {
            return Err(wrong(format!("its version is {version:#010x}; only 1.x is known")));
        }
        let block_bytes = u64::from(be32(&header, 32));
        if !block_bytes.is_power_of_two() {
            return Err(wrong(format!("its block size of {block_bytes} bytes is not a power of two")));
        }
        let parent_id = header[PARENT_ID_AT..PARENT_ID_AT + 16].try_into().map(Uuid::from_bytes).unwrap_or_default();
        let parent_name = (0..PARENT_NAME_BYTES / 2).map(|unit| be16(&header, PARENT_NAME_AT + unit * 2));
        Ok(Self {
            at,
            table_offset: be64(&header, 16),
            entries: u64::from(be32(&header, 28)),
            block_bytes,
            parent_id,
            parent_name: windows_path::from_utf16(parent_name),
            locators: header[LOCATORS_AT..].chunks_exact(LOCATOR_BYTES).take(LOCATORS).map(Locator::decode).collect(),
        })
    }

    /// Where to look for the parent, best first.
    pub(super) fn parent_names(&self, file: &ImageFile) -> Result<Vec<String>, SourceError> {
        let relative = self.paths(file, *RELATIVE)?;
        let mut absolute = self.paths(file, *ABSOLUTE)?;
        absolute.push(self.parent_name.clone());
        Ok(windows_path::candidates(&relative, &absolute))
    }

    fn paths(&self, file: &ImageFile, code: [u8; 4]) -> Result<Vec<String>, SourceError> {
        self.locators.iter().filter(|locator| locator.code == code).map(|locator| locator.path(file)).collect()
    }
}

impl Locator {
    fn decode(entry: &[u8]) -> Self {
        let code = [entry[0], entry[1], entry[2], entry[3]];
        Self { code, offset: be64(entry, 16), len: u64::from(be32(entry, 8)) }
    }

    fn path(&self, file: &ImageFile) -> Result<String, SourceError> {
        let Self { offset, len, .. } = *self;
        let wrong = |problem| damaged(file, "parent locator", offset, problem);
        if len > MAX_PATH_BYTES || len % 2 != 0 {
            return Err(wrong(format!("a path of {len} bytes cannot be")));
        }
        if offset.checked_add(len).is_none_or(|end| end > file.bytes().size_bytes()) {
            return Err(wrong(format!("its {len} bytes are not inside the file")));
        }
        let mut path = vec![0; len as usize];
        file.bytes().read_at(offset, &mut path)?;
        Ok(windows_path::from_utf16(path.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]))))
    }
}
