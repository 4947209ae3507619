//! The metadata: size of the disk, of its blocks and sectors, its id, and its parent (2.6).
//!
//! A table of items; an unknown item that the file marks as required means that the file cannot be understood
//! without it. Items that users of the file store for themselves have a space of names of their own.

use uuid::{Uuid, uuid};

use super::parent_locator::ParentLocator;
use super::{MIB, damaged, guid, is_in_file, le16, le32, le64, read, unsupported};
use crate::extent::Extent;
use crate::source::{ImageFile, SourceError};

const STRUCTURE: &str = "metadata";
const SIGNATURE: &[u8; 8] = b"metadata";
const TABLE_BYTES: u64 = 64 << 10;
const TABLE_HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 32;

/// As many as fit into the table.
const MAX_ENTRIES: usize = 2047;

/// The longest item (2.6.1.2).
const MAX_ITEM_BYTES: u64 = 1 << 20;

/// The largest disk (2.6.2.2).
const MAX_DISK: u64 = 64 << 40;

/// The smallest and the largest block (2.6.2.1).
const MIN_BLOCK: u64 = MIB;
const MAX_BLOCK: u64 = 256 * MIB;

/// Flags of the file parameters (2.6.2.1): blocks stay allocated; there is a parent.
const KEEPS_BLOCKS: u32 = 1;
const HAS_PARENT: u32 = 2;

const FILE_PARAMETERS: Uuid = uuid!("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
const DISK_SIZE: Uuid = uuid!("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
const DISK_ID: Uuid = uuid!("beca12ab-b2e6-4523-93ef-c309e000c746");
const LOGICAL_SECTOR: Uuid = uuid!("8141bf1d-a96f-4709-ba47-f233a8faab5f");
const PHYSICAL_SECTOR: Uuid = uuid!("cda348c7-445d-4471-9cc9-e9885251c556");
const PARENT_LOCATOR: Uuid = uuid!("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");
const KNOWN: [Uuid; 6] = [FILE_PARAMETERS, DISK_SIZE, DISK_ID, LOGICAL_SECTOR, PHYSICAL_SECTOR, PARENT_LOCATOR];

/// What the metadata says.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) disk_bytes: u64,
    pub(super) block_bytes: u64,
    /// What the guest reads and writes in, and the unit of sector bitmaps: 512 or 4096.
    pub(super) sector_bytes: u64,
    /// The disk's own id ("page 83 data"), which all images of a chain share; nil where there is none.
    pub(super) disk_id: Uuid,
    /// All blocks keep their place in the file: a fixed disk.
    pub(super) is_fixed: bool,
    /// Where the parent is, for a differencing disk.
    pub(super) parent: Option<ParentLocator>,
}

/// One entry of the table.
struct Item {
    id: Uuid,
    /// From the start of the metadata.
    offset: u64,
    len: u64,
    is_user: bool,
    is_required: bool,
}

/// The table, and where its items are.
struct Items<'a> {
    file: &'a ImageFile,
    region: Extent,
    all: Vec<Item>,
}

impl Metadata {
    /// Reads and checks the metadata in `region`.
    pub(super) fn read(file: &ImageFile, region: Extent) -> Result<Self, SourceError> {
        let items = Items::read(file, region)?;
        let wrong = |problem| Err(damaged(file, STRUCTURE, region.offset(), problem));

        let parameters = items.required(FILE_PARAMETERS, "file parameters", 8)?;
        let (block_bytes, flags) = (u64::from(le32(&parameters, 0)), le32(&parameters, 4));
        if !block_bytes.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_bytes) {
            return wrong(format!(
                "blocks of {block_bytes} bytes cannot be, only of a power of two from {MIN_BLOCK} to {MAX_BLOCK}"
            ));
        }
        let sector_bytes = u64::from(le32(&items.required(LOGICAL_SECTOR, "logical sector size", 4)?, 0));
        if !matches!(sector_bytes, 512 | 4096) {
            return wrong(format!("sectors of {sector_bytes} bytes cannot be, only of 512 or 4096"));
        }
        let disk_bytes = le64(&items.required(DISK_SIZE, "disk size", 8)?, 0);
        if disk_bytes == 0 {
            return Err(SourceError::Empty { path: file.path().to_path_buf() });
        }
        if disk_bytes > MAX_DISK || !disk_bytes.is_multiple_of(sector_bytes) {
            return wrong(format!(
                "a disk of {disk_bytes} bytes cannot be, only of whole sectors of {sector_bytes}, up to {MAX_DISK}"
            ));
        }
        let disk_id = items.content(DISK_ID, "disk id", 16)?.map(|id| guid(&id, 0)).unwrap_or_default();
        let has_parent = flags & HAS_PARENT != 0;
        let parent = if has_parent {
            let locator = items.required(PARENT_LOCATOR, "parent locator", ParentLocator::MIN_BYTES)?;
            Some(ParentLocator::decode(file, region, &locator)?)
        } else {
            None
        };
        let is_fixed = flags & KEEPS_BLOCKS != 0 && !has_parent;
        Ok(Self { disk_bytes, block_bytes, sector_bytes, disk_id, is_fixed, parent })
    }
}

impl<'a> Items<'a> {
    fn read(file: &'a ImageFile, region: Extent) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(file, STRUCTURE, region.offset(), problem);
        let table = Extent::new(region.offset(), TABLE_BYTES)
            .filter(|table| is_in_file(file, *table))
            .ok_or_else(|| wrong("its table is not inside the file".into()))?;
        let table = read(file, table)?;
        if !table.starts_with(SIGNATURE) {
            return Err(wrong("it does not start with \"metadata\"".into()));
        }
        let count = usize::from(le16(&table, 10));
        if count > MAX_ENTRIES {
            return Err(wrong(format!("{count} items cannot be, only {MAX_ENTRIES} fit")));
        }
        let entries = table[TABLE_HEADER_BYTES..].chunks_exact(ENTRY_BYTES).take(count);
        let items: Vec<Item> = entries.map(Item::decode).collect();
        if let Some(item) = items.iter().find(|item| item.is_required && (item.is_user || !KNOWN.contains(&item.id))) {
            return Err(unsupported(file, format!("the VHDX metadata item {}", item.id)));
        }
        Ok(Self { file, region, all: items })
    }

    /// The content of item `id`, at least `min_bytes` long, which must be there.
    fn required(&self, id: Uuid, name: &str, min_bytes: u64) -> Result<Vec<u8>, SourceError> {
        self.content(id, name, min_bytes)?.ok_or_else(|| self.wrong(format!("it does not state the {name}")))
    }

    /// The content of item `id`, at least `min_bytes` long.
    fn content(&self, id: Uuid, name: &str, min_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let mut found = self.all.iter().filter(|item| item.id == id && !item.is_user);
        let Some(item) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(self.wrong(format!("it states the {name} twice")));
        }
        let Item { offset, len, .. } = *item;
        let place = self.region.offset().checked_add(offset).and_then(|at| Extent::new(at, len));
        let is_right = |place: &Extent| {
            offset >= TABLE_BYTES
                && (min_bytes..=MAX_ITEM_BYTES).contains(&len)
                && place.end() <= self.region.end()
                && is_in_file(self.file, *place)
        };
        let place = place.filter(is_right).ok_or_else(|| {
            self.wrong(format!("the {name}, {len} bytes at {offset} in it, cannot be there or be of that length"))
        })?;
        read(self.file, place).map(Some)
    }

    fn wrong(&self, problem: String) -> SourceError {
        damaged(self.file, STRUCTURE, self.region.offset(), problem)
    }
}

impl Item {
    fn decode(entry: &[u8]) -> Self {
        let flags = le32(entry, 24);
        Self {
            id: guid(entry, 0),
            offset: u64::from(le32(entry, 16)),
            len: u64::from(le32(entry, 20)),
            is_user: flags & 1 != 0,
            is_required: flags & 4 != 0,
        }
    }
}
