//! VHDX images made in memory, right or wrong in one place.
//!
//! Laid out as Hyper-V does: headers and region tables in the first MiB, then the log, the metadata, the
//! block table with its sector-bitmap entries among the others, then blocks in the order they were written.

use uuid::Uuid;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const HEADERS_AT: [usize; 2] = [64 << 10, 128 << 10];
pub(crate) const REGIONS_AT: [usize; 2] = [192 << 10, 256 << 10];
pub(crate) const LOG_AT: usize = MIB;
pub(crate) const LOG_BYTES: usize = MIB;
pub(crate) const METADATA_AT: usize = 2 * MIB;
pub(crate) const ITEMS_AT: usize = METADATA_AT + (64 << 10);
pub(crate) const TABLE_AT: usize = 3 * MIB;

/// Offsets from [`ITEMS_AT`].
pub(crate) const PARAMETERS: usize = 0;
pub(crate) const DISK_SIZE: usize = 8;
pub(crate) const DISK_ID: usize = 16;
pub(crate) const LOGICAL_SECTOR: usize = 32;
const PHYSICAL_SECTOR: usize = 36;
pub(crate) const LOCATOR: usize = 40;

pub(crate) const NOT_PRESENT: u64 = 0;
pub(crate) const UNDEFINED: u64 = 1;
pub(crate) const ZERO: u64 = 2;
pub(crate) const UNMAPPED: u64 = 3;
pub(crate) const FULLY_PRESENT: u64 = 6;
pub(crate) const PARTIALLY_PRESENT: u64 = 7;

/// The id of every disk here, and of the data of images that do not say otherwise.
pub(crate) const ID: Uuid = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);
pub(crate) const DATA_ID: Uuid = Uuid::from_u128(0xaaaa_bbbb_cccc_dddd_eeee_ffff_0000_0001);
pub(crate) const LOG_ID: Uuid = Uuid::from_u128(0x1010_2020_3030_4040_5050_6060_7070_8080);

pub(crate) const BLOCK_TABLE_REGION: &str = "2dc27766-f623-4200-9d64-115e9bfd4a08";
pub(crate) const METADATA_REGION: &str = "8b7ca206-4790-4b9a-b8fe-575f050f886e";

/// What an image says about one block.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    /// A state without bytes.
    State(u64),
    /// All its bytes.
    Full(Vec<u8>),
    /// Its bytes, and which sectors of them count.
    Part(Vec<u8>, Vec<bool>),
}

/// A VHDX to be.
#[derive(Clone, Debug)]
pub(crate) struct Vhdx {
    pub(crate) size: u64,
    pub(crate) block: u64,
    pub(crate) sector: u64,
    pub(crate) is_fixed: bool,
    pub(crate) data_id: Uuid,
    /// Keys and values of the parent locator.
    pub(crate) parent: Option<Vec<(&'static str, String)>>,
    /// In the order of their places in the file.
    pub(crate) blocks: Vec<(u64, Block)>,
}

impl Vhdx {
    /// A dynamic disk without content, in blocks of 1 MiB and sectors of 512 bytes.
    pub(crate) fn new(size: u64) -> Self {
        let (block, sector) = (MIB as u64, 512);
        Self { size, block, sector, is_fixed: false, data_id: DATA_ID, parent: None, blocks: Vec::new() }
    }

    /// A differencing disk over this one, which is the file `name`.
    pub(crate) fn child(&self, name: &str) -> Self {
        let locator = vec![
            ("parent_linkage", format!("{{{}}}", self.data_id)),
            ("relative_path", format!(r".\{name}")),
            ("absolute_win32_path", format!(r"C:\machines\{name}")),
        ];
        let data_id = Uuid::from_u128(self.data_id.as_u128() + 1);
        Self { is_fixed: false, data_id, parent: Some(locator), blocks: Vec::new(), ..*self }
    }

    /// Adds a block.
    pub(crate) fn with(mut self, number: u64, block: Block) -> Self {
        self.blocks.push((number, block));
        self
    }

    /// Adds a block full of `byte`.
    pub(crate) fn full(self, number: u64, byte: u8) -> Self {
        let bytes = vec![byte; self.block as usize];
        self.with(number, Block::Full(bytes))
    }

    /// What a guest's write of whole sectors, inside one block, makes of the image.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        let (number, start) = (at / self.block, (at % self.block) as usize);
        let index = self.blocks.iter().position(|(other, _)| *other == number).unwrap_or_else(|| {
            self.blocks.push((number, Block::State(NOT_PRESENT)));
            self.blocks.len() - 1
        });
        let block = &mut self.blocks[index].1;
        if let Block::State(state) = block {
            let empty = vec![0; self.block as usize];
            let sectors = vec![false; (self.block / self.sector) as usize];
            let is_parents = self.parent.is_some() && *state == NOT_PRESENT;
            *block = if is_parents { Block::Part(empty, sectors) } else { Block::Full(empty) };
        }
        match block {
            Block::Full(content) => content[start..start + bytes.len()].copy_from_slice(bytes),
            Block::Part(content, sectors) => {
                content[start..start + bytes.len()].copy_from_slice(bytes);
                let first = start / self.sector as usize;
                sectors[first..first + bytes.len() / self.sector as usize].fill(true);
            }
            Block::State(_) => unreachable!("it has bytes now"),
        }
    }

    /// What a guest's discarding of a whole block makes of the image.
    pub(crate) fn discard(&mut self, number: u64) {
        self.blocks.retain(|(other, _)| *other != number);
        self.blocks.push((number, Block::State(ZERO)));
    }

    /// Blocks of a chunk.
    pub(crate) fn ratio(&self) -> u64 {
        (1 << 23) * self.sector / self.block
    }

    /// Entries of the table, in chunks of blocks and one sector bitmap.
    fn entries(&self) -> u64 {
        self.size.div_ceil(self.block).div_ceil(self.ratio()) * (self.ratio() + 1)
    }

    /// Where the entry of a block is in the file.
    pub(crate) fn entry_at(&self, number: u64) -> usize {
        TABLE_AT + (number + number / self.ratio()) as usize * 8
    }

    /// Where the entry of a block's sector bitmap is in the file.
    pub(crate) fn bitmap_entry_at(&self, number: u64) -> usize {
        TABLE_AT + ((number / self.ratio() + 1) * (self.ratio() + 1) - 1) as usize * 8
    }

    /// Where the first block comes.
    pub(crate) fn blocks_at(&self) -> usize {
        TABLE_AT + (self.entries() as usize * 8).next_multiple_of(MIB)
    }

    /// The file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image = vec![0; self.blocks_at()];
        put(&mut image, 0, b"vhdxfile");
        self.put_headers(&mut image);
        let table_bytes = self.blocks_at() - TABLE_AT;
        for at in REGIONS_AT {
            put(&mut image, at, b"regi");
            put(&mut image, at + 8, &2u32.to_le_bytes());
            put(&mut image, at + 16, &region(BLOCK_TABLE_REGION, TABLE_AT, table_bytes));
            put(&mut image, at + 48, &region(METADATA_REGION, METADATA_AT, MIB));
        }
        sum_all(&mut image);
        self.put_metadata(&mut image);
        for (number, block) in &self.blocks {
            self.put_block(&mut image, *number, block);
        }
        image
    }

    fn put_headers(&self, image: &mut [u8]) {
        for (at, sequence) in HEADERS_AT.into_iter().zip([6u64, 7]) {
            put(image, at, b"head");
            put(image, at + 8, &sequence.to_le_bytes());
            put(image, at + 16, &[9; 16]);
            put(image, at + 32, &self.data_id.to_bytes_le());
            put(image, at + 66, &1u16.to_le_bytes());
            put(image, at + 68, &(LOG_BYTES as u32).to_le_bytes());
            put(image, at + 72, &(LOG_AT as u64).to_le_bytes());
        }
    }

    fn put_metadata(&self, image: &mut [u8]) {
        let locator = self.parent.as_ref().map(|pairs| locator(pairs));
        let flags = u32::from(self.is_fixed) | if locator.is_some() { 2 } else { 0 };
        put(image, ITEMS_AT + PARAMETERS, &(self.block as u32).to_le_bytes());
        put(image, ITEMS_AT + PARAMETERS + 4, &flags.to_le_bytes());
        put(image, ITEMS_AT + DISK_SIZE, &self.size.to_le_bytes());
        put(image, ITEMS_AT + DISK_ID, &ID.to_bytes_le());
        put(image, ITEMS_AT + LOGICAL_SECTOR, &(self.sector as u32).to_le_bytes());
        put(image, ITEMS_AT + PHYSICAL_SECTOR, &4096u32.to_le_bytes());
        let mut items = vec![
            ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", PARAMETERS, 8, 4u32),
            ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", DISK_SIZE, 8, 6),
            ("beca12ab-b2e6-4523-93ef-c309e000c746", DISK_ID, 16, 6),
            ("8141bf1d-a96f-4709-ba47-f233a8faab5f", LOGICAL_SECTOR, 4, 6),
            ("cda348c7-445d-4471-9cc9-e9885251c556", PHYSICAL_SECTOR, 4, 6),
        ];
        if let Some(locator) = &locator {
            put(image, ITEMS_AT + LOCATOR, locator);
            items.push(("a8d35f2d-b30b-454d-abf7-d3d84834ab0c", LOCATOR, locator.len(), 4));
        }
        put(image, METADATA_AT, b"metadata");
        put(image, METADATA_AT + 10, &(items.len() as u16).to_le_bytes());
        for (index, (id, at, len, flags)) in items.into_iter().enumerate() {
            let entry = METADATA_AT + 32 + index * 32;
            put(image, entry, &guid(id));
            put(image, entry + 16, &((ITEMS_AT - METADATA_AT + at) as u32).to_le_bytes());
            put(image, entry + 20, &(len as u32).to_le_bytes());
            put(image, entry + 24, &flags.to_le_bytes());
        }
    }

    fn put_block(&self, image: &mut Vec<u8>, number: u64, block: &Block) {
        let entry = match block {
            Block::State(state) => *state,
            Block::Full(bytes) => append(image, bytes) | FULLY_PRESENT,
            Block::Part(bytes, sectors) => {
                let bitmap_entry = self.bitmap_entry_at(number);
                if image[bitmap_entry..bitmap_entry + 8] == [0; 8] {
                    let bitmap = append(image, &vec![0; MIB]) | FULLY_PRESENT;
                    put(image, bitmap_entry, &bitmap.to_le_bytes());
                }
                let bitmap = u64::from_le_bytes(image[bitmap_entry..bitmap_entry + 8].try_into().unwrap());
                let first = number % self.ratio() * (self.block / self.sector);
                for (sector, _) in sectors.iter().enumerate().filter(|(_, is_here)| **is_here) {
                    let bit = first as usize + sector;
                    image[(bitmap >> 20 << 20) as usize + bit / 8] |= 1 << (bit % 8);
                }
                append(image, bytes) | PARTIALLY_PRESENT
            }
        };
        put(image, self.entry_at(number), &entry.to_le_bytes());
    }
}

/// Adds a block to the file and returns its entry without the state.
fn append(image: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    let at = image.len() as u64;
    image.extend(bytes);
    at
}

fn region(id: &str, at: usize, len: usize) -> Vec<u8> {
    [guid(id).as_slice(), &(at as u64).to_le_bytes(), &(len as u32).to_le_bytes(), &1u32.to_le_bytes()].concat()
}

/// A parent locator with these keys and values.
fn locator(pairs: &[(&str, String)]) -> Vec<u8> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut table = [guid("b04aefb7-d19e-4a81-b789-25b8e9445913").as_slice(), &[0, 0]].concat();
    table.extend((pairs.len() as u16).to_le_bytes());
    let mut texts = Vec::new();
    let texts_at = table.len() + pairs.len() * 12;
    for (key, value) in pairs {
        let (key, value) = (utf16(key), utf16(value));
        let key_at = texts_at + texts.len();
        table.extend((key_at as u32).to_le_bytes());
        table.extend(((key_at + key.len()) as u32).to_le_bytes());
        table.extend((key.len() as u16).to_le_bytes());
        table.extend((value.len() as u16).to_le_bytes());
        texts.extend([key, value].concat());
    }
    [table, texts].concat()
}

/// One change that a log entry holds.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The 4 KiB at this offset.
    Write(u64, Vec<u8>),
    /// Zeros: offset and length.
    Clear(u64, u64),
}

/// One entry of a log.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    /// Offsets in the log, of the entry and of the oldest one that counts with it.
    pub(crate) at: usize,
    pub(crate) tail: usize,
    pub(crate) sequence: u64,
    pub(crate) flushed: u64,
    pub(crate) last: u64,
    pub(crate) changes: Vec<Change>,
}

impl LogEntry {
    fn build(&self) -> Vec<u8> {
        let mut entry = vec![0; (64 + self.changes.len() * 32).next_multiple_of(4096)];
        for (index, change) in self.changes.iter().enumerate() {
            let at = 64 + index * 32;
            put(&mut entry, at + 24, &self.sequence.to_le_bytes());
            match change {
                Change::Clear(offset, len) => {
                    put(&mut entry, at, b"zero");
                    put(&mut entry, at + 8, &len.to_le_bytes());
                    put(&mut entry, at + 16, &offset.to_le_bytes());
                }
                Change::Write(offset, bytes) => {
                    put(&mut entry, at, b"desc");
                    put(&mut entry, at + 4, &bytes[4092..]);
                    put(&mut entry, at + 8, &bytes[..8]);
                    put(&mut entry, at + 16, &offset.to_le_bytes());
                    let mut data = bytes.clone();
                    put(&mut data, 0, b"data");
                    put(&mut data, 4, &((self.sequence >> 32) as u32).to_le_bytes());
                    put(&mut data, 4092, &(self.sequence as u32).to_le_bytes());
                    entry.extend(data);
                }
            }
        }
        put(&mut entry, 0, b"loge");
        let len = entry.len() as u32;
        put(&mut entry, 8, &len.to_le_bytes());
        put(&mut entry, 12, &(self.tail as u32).to_le_bytes());
        put(&mut entry, 16, &self.sequence.to_le_bytes());
        put(&mut entry, 24, &(self.changes.len() as u32).to_le_bytes());
        put(&mut entry, 32, &LOG_ID.to_bytes_le());
        put(&mut entry, 48, &self.flushed.to_le_bytes());
        put(&mut entry, 56, &self.last.to_le_bytes());
        sum(&mut entry);
        entry
    }
}

/// Writes the entry into the log of the image, around its end where need be. Returns where the next one goes.
pub(crate) fn put_log_entry(image: &mut [u8], entry: &LogEntry) -> usize {
    let bytes = entry.build();
    for (index, byte) in bytes.iter().enumerate() {
        image[LOG_AT + (entry.at + index) % LOG_BYTES] = *byte;
    }
    (entry.at + bytes.len()) % LOG_BYTES
}

/// Makes the headers say that the log is in use.
pub(crate) fn open_log(image: &mut [u8]) {
    put_in_headers(image, 48, &LOG_ID.to_bytes_le());
}

/// Overwrites the bytes at `at`.
pub(crate) fn put(structure: &mut [u8], at: usize, bytes: &[u8]) {
    structure[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Overwrites a field of both headers and makes their checksums right.
pub(crate) fn put_in_headers(image: &mut [u8], at: usize, bytes: &[u8]) {
    HEADERS_AT.into_iter().for_each(|header| put(image, header + at, bytes));
    sum_all(image);
}

/// Overwrites a field of both region tables and makes their checksums right.
pub(crate) fn put_in_regions(image: &mut [u8], at: usize, bytes: &[u8]) {
    REGIONS_AT.into_iter().for_each(|table| put(image, table + at, bytes));
    sum_all(image);
}

/// Makes the checksums of headers and region tables right.
pub(crate) fn sum_all(image: &mut [u8]) {
    HEADERS_AT.into_iter().for_each(|at| sum(&mut image[at..at + 4096]));
    REGIONS_AT.into_iter().for_each(|at| sum(&mut image[at..at + (64 << 10)]));
}

/// Makes the checksum of everything in the log that starts as an entry does right, if it does not go around the
/// log's end.
pub(crate) fn sum_log(image: &mut [u8]) {
    for at in (LOG_AT..LOG_AT + LOG_BYTES).step_by(4096).filter(|at| *at + 4096 <= image.len()).collect::<Vec<_>>() {
        let len = u32::from_le_bytes([image[at + 8], image[at + 9], image[at + 10], image[at + 11]]) as usize;
        if image[at..].starts_with(b"loge") && (4096..=LOG_AT + LOG_BYTES - at).contains(&len) {
            sum(&mut image[at..at + len]);
        }
    }
}

/// Makes the checksum of a structure right.
pub(crate) fn sum(structure: &mut [u8]) {
    put(structure, 4, &[0; 4]);
    let sum = crc32c::crc32c(structure);
    put(structure, 4, &sum.to_le_bytes());
}

/// A GUID as it is stored.
pub(crate) fn guid(text: &str) -> [u8; 16] {
    Uuid::parse_str(text).unwrap().to_bytes_le()
}
