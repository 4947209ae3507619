//! The parent locator: where a differencing disk's parent is, and which one it is (2.6.2.6).
//!
//! Pairs of UTF-16 texts. Paths tell where to look; the linkage tells whether what was found is it.

use uuid::{Uuid, uuid};

use super::{damaged, guid, le16, le32, unsupported};
use crate::extent::Extent;
use crate::source::gate::shortened;
use crate::source::{ImageFile, SourceError, windows_path};

const STRUCTURE: &str = "parent locator";

/// The locator that names a VHDX by paths; no other is defined.
const VHDX_LOCATOR: Uuid = uuid!("b04aefb7-d19e-4a81-b789-25b8e9445913");

const LOCATOR_HEADER_BYTES: usize = 20;
const ENTRY_BYTES: usize = 12;

/// Where the parent is, and which one it is.
#[derive(Debug)]
pub(super) struct ParentLocator {
    /// The GUID of the parent's data when the child was made from it.
    pub(super) linkage: Uuid,
    /// A second GUID that is as good, for a parent whose own was changed and whose data was not.
    second_linkage: Option<Uuid>,
    relative: Option<String>,
    absolute: Vec<String>,
}

impl ParentLocator {
    /// What a locator without entries takes.
    pub(super) const MIN_BYTES: u64 = LOCATOR_HEADER_BYTES as u64;

    /// Reads the locator, an item of the metadata in `region`.
    pub(super) fn decode(file: &ImageFile, region: Extent, locator: &[u8]) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(file, STRUCTURE, region.offset(), problem);
        let kind = guid(locator, 0);
        if kind != VHDX_LOCATOR {
            return Err(unsupported(file, format!("a parent locator of type {kind}")));
        }
        let count = usize::from(le16(locator, 18));
        let entries = &locator[LOCATOR_HEADER_BYTES..];
        if count * ENTRY_BYTES > entries.len() {
            return Err(wrong(format!("its {count} entries are not inside its {} bytes", locator.len())));
        }
        let entries = &entries[..count * ENTRY_BYTES];
        let text = |key| value(locator, entries, key).map_err(wrong);
        let linkage_of = |key| {
            let parse = |text: String| {
                Uuid::parse_str(&text).map_err(|_| wrong(format!("its {key} {:?} is not a GUID", shortened(&text))))
            };
            text(key)?.map(parse).transpose()
        };
        Ok(Self {
            linkage: linkage_of("parent_linkage")?.ok_or_else(|| wrong("it has no parent_linkage".into()))?,
            second_linkage: linkage_of("parent_linkage2")?,
            relative: text("relative_path")?,
            absolute: [text("volume_path")?, text("absolute_win32_path")?].into_iter().flatten().collect(),
        })
    }

    /// Where to look for the parent, best first.
    pub(super) fn names(&self) -> Vec<String> {
        windows_path::candidates(self.relative.as_slice(), &self.absolute)
    }

    /// What the parent's data may be known as.
    pub(super) fn linkages(&self) -> Vec<Uuid> {
        [self.linkage].into_iter().chain(self.second_linkage).collect()
    }
}

/// The value of `key`, the first where it is given twice.
fn value(locator: &[u8], entries: &[u8], key: &str) -> Result<Option<String>, String> {
    let wanted: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let part = |offset_at, len_at| {
            let (offset, len) = (le32(entry, offset_at) as usize, usize::from(le16(entry, len_at)));
            let part = offset.checked_add(len).and_then(|end| locator.get(offset..end));
            part.filter(|part| part.len() % 2 == 0)
                .ok_or_else(|| format!("a text of {len} bytes at {offset} is not inside its {} bytes", locator.len()))
        };
        if part(0, 8)? == wanted {
            let value = part(4, 10)?;
            let units = value.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            return Ok(Some(windows_path::from_utf16(units)));
        }
    }
    Ok(None)
}
