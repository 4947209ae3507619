//! The region table: where the block table and the metadata are (2.2.3).
//!
//! There are two copies; either will do. An unknown region that the file marks as required means that the
//! file cannot be understood without it.
//!
//! Invariant of a [`RegionTable`]: regions share no byte with each other, the headers or the log.

use uuid::{Uuid, uuid};

use super::header::Header;
use super::{MIB, check, damaged, guid, le32, le64, read_copy, structure_at, unsupported};
use crate::extent::Extent;
use crate::source::{ImageFile, SourceError};

const STRUCTURE: &str = "region table";
const TABLE_BYTES: u64 = 64 << 10;
const COPIES: [Extent; 2] = [structure_at(192 << 10, TABLE_BYTES), structure_at(256 << 10, TABLE_BYTES)];
const TABLE_HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32;

/// As many as fit into the table.
const MAX_ENTRIES: usize = 2047;

const BLOCK_TABLE: Uuid = uuid!("2dc27766-f623-4200-9d64-115e9bfd4a08");
const METADATA: Uuid = uuid!("8b7ca206-4790-4b9a-b8fe-575f050f886e");

/// Where what is.
#[derive(Debug)]
pub(super) struct RegionTable {
    pub(super) block_table: Extent,
    pub(super) metadata: Extent,
    /// All that blocks must keep clear of, in order: headers, log and all regions.
    pub(super) taken: Vec<Extent>,
}

/// One entry of the table.
struct Entry {
    id: Uuid,
    offset: u64,
    len: u64,
    is_required: bool,
}

impl RegionTable {
    /// Reads and checks the table.
    pub(super) fn read(file: &ImageFile, header: &Header, notes: &mut Vec<String>) -> Result<Self, SourceError> {
        let entries = read_copy(file, STRUCTURE, COPIES, decode, notes)?;

        let wrong = |problem| damaged(file, STRUCTURE, COPIES[0].offset(), problem);
        let (mut block_table, mut metadata) = (None, None);
        let mut taken: Vec<Extent> = Extent::new(0, MIB).into_iter().chain(header.log_region()).collect();
        for entry in entries {
            let Entry { id, offset, len, .. } = entry;
            let place = match id {
                BLOCK_TABLE => Some(&mut block_table),
                METADATA => Some(&mut metadata),
                _ if entry.is_required => return Err(unsupported(file, format!("the VHDX region {id}"))),
                _ => None,
            };
            let region = Extent::new(offset, len)
                .filter(|region| region.offset().is_multiple_of(MIB) && region.len_bytes().is_multiple_of(MIB))
                .ok_or_else(|| {
                    wrong(format!("the region {id} at {offset}, {len} bytes long, is not made of whole MiB"))
                })?;
            taken.push(region);
            if let Some(place) = place
                && place.replace(region).is_some()
            {
                return Err(wrong(format!("it names the region {id} twice")));
            }
        }
        taken.sort_unstable();
        if let Some([one, other]) = taken.windows(2).find(|pair| pair[0].intersect(pair[1]).is_some()) {
            return Err(wrong(format!("{one} and {other} overlap")));
        }
        let missing = |name| wrong(format!("it does not name the {name}"));
        let block_table = block_table.ok_or_else(|| missing("block table"))?;
        let metadata = metadata.ok_or_else(|| missing("metadata"))?;
        Ok(Self { block_table, metadata, taken })
    }
}

fn decode(table: &[u8]) -> Result<Vec<Entry>, String> {
    check(table, "regi")?;
    let count = le32(table, 8) as usize;
    if count > MAX_ENTRIES {
        return Err(format!("{count} entries cannot be, only {MAX_ENTRIES} fit"));
    }
    let entries = table[TABLE_HEADER_BYTES..].chunks_exact(ENTRY_BYTES).take(count);
    Ok(entries
        .map(|entry| Entry {
            id: guid(entry, 0),
            offset: le64(entry, 16),
            len: u64::from(le32(entry, 24)),
            is_required: le32(entry, 28) & 1 != 0,
        })
        .collect())
}
