//! Differencing VHDs made in memory, as Hyper-V lays out a checkpoint's `.avhd`.

use std::collections::BTreeMap;

use crate::vhd_image::{BITMAP, BLOCK, HEADER_AT, TABLE_AT, dynamic_header, footer, put, sum};

/// Where the path of the parent is stored.
const LOCATOR_AT: usize = 2048;

/// What a differencing image is made from.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// The image's own id, sixteen times this byte.
    pub(crate) id: u8,
    /// The parent's.
    pub(crate) parent_id: u8,
    /// The parent's path, relative to the image.
    pub(crate) relative: String,
    /// The parent's path from a drive.
    pub(crate) absolute: String,
    /// Size of the disk in blocks.
    pub(crate) blocks: u32,
    /// The sectors that it holds, each full of one byte.
    pub(crate) sectors: BTreeMap<u64, u8>,
}

impl Difference {
    /// The image's bytes.
    pub(crate) fn image(&self) -> Vec<u8> {
        let mut footer = footer(4, u64::from(self.blocks) * BLOCK, HEADER_AT as u64);
        put(&mut footer, 68, &[self.id; 16]);
        sum(&mut footer, 64);

        let mut header = dynamic_header(self.blocks);
        put(&mut header, 40, &[self.parent_id; 16]);
        let name: Vec<u8> = self.absolute.encode_utf16().flat_map(u16::to_be_bytes).collect();
        put(&mut header, 64, &name);
        let mut paths = Vec::new();
        for (entry, (code, path)) in [(b"W2ru", &self.relative), (b"W2ku", &self.absolute)].into_iter().enumerate() {
            let path: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let at = 576 + entry * 24;
            put(&mut header, at, code);
            put(&mut header, at + 4, &512u32.to_be_bytes());
            put(&mut header, at + 8, &(path.len() as u32).to_be_bytes());
            put(&mut header, at + 16, &((LOCATOR_AT + paths.len()) as u64).to_be_bytes());
            paths.extend([path, vec![0; 512]].concat());
            paths.truncate((entry + 1) * 512);
        }
        sum(&mut header, 36);

        let table = vec![0xff; (self.blocks as usize * 4).next_multiple_of(512)];
        let mut image = [footer.clone(), header, table, paths].concat();
        for block in 0..self.blocks {
            self.append_block(&mut image, block);
        }
        image.extend(footer);
        image
    }

    fn append_block(&self, image: &mut Vec<u8>, block: u32) {
        let sectors = BLOCK / 512;
        let first = u64::from(block) * sectors;
        let held: Vec<(u64, u8)> =
            self.sectors.range(first..first + sectors).map(|(at, byte)| (at - first, *byte)).collect();
        if held.is_empty() {
            return;
        }
        let first_sector = (image.len() / 512) as u32;
        put(image, TABLE_AT + block as usize * 4, &first_sector.to_be_bytes());
        let mut bitmap = vec![0; BITMAP as usize];
        // What lies under a clear bit is anything; a reader that shows it is wrong.
        let mut data = vec![0xee; BLOCK as usize];
        for (sector, byte) in held {
            bitmap[(sector / 8) as usize] |= 0x80 >> (sector % 8);
            data[(sector * 512) as usize..((sector + 1) * 512) as usize].fill(byte);
        }
        image.extend(bitmap);
        image.extend(data);
    }

    /// What a disk that was `below` looks like under this image.
    pub(crate) fn over(&self, mut below: Vec<u8>) -> Vec<u8> {
        below.resize((u64::from(self.blocks) * BLOCK) as usize, 0);
        for (sector, byte) in &self.sectors {
            below[(sector * 512) as usize..((sector + 1) * 512) as usize].fill(*byte);
        }
        below
    }
}
