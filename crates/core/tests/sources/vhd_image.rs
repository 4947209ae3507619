//! VHD images made in memory, right or wrong in one place.

/// Block size of [`dynamic`].
pub(crate) const BLOCK: u64 = 512 << 10;

/// Where [`dynamic`] puts the dynamic header and the table.
pub(crate) const HEADER_AT: usize = 512;
pub(crate) const TABLE_AT: usize = 1536;

/// Bytes of a block's sector bitmap.
pub(crate) const BITMAP: u64 = 512;

/// A dynamic disk of `blocks` blocks, of which `allocated` are, block `n` full of the byte `n + 1`.
pub(crate) fn dynamic(blocks: u32, allocated: &[u32]) -> Vec<u8> {
    let footer = footer(3, u64::from(blocks) * BLOCK, HEADER_AT as u64);
    let mut image =
        [footer.clone(), dynamic_header(blocks), vec![0xff; (blocks as usize * 4).next_multiple_of(512)]].concat();
    for block in allocated {
        let first_sector = (image.len() / 512) as u32;
        put(&mut image, TABLE_AT + *block as usize * 4, &first_sector.to_be_bytes());
        image.extend(vec![0xff; BITMAP as usize]);
        image.extend(vec![*block as u8 + 1; BLOCK as usize]);
    }
    image.extend(footer);
    image
}

/// A fixed disk full of ones.
pub(crate) fn fixed(size: u64) -> Vec<u8> {
    [vec![1; size as usize], footer(2, size, u64::MAX)].concat()
}

/// The dynamic header of a disk of `blocks` blocks without a parent.
pub(crate) fn dynamic_header(blocks: u32) -> Vec<u8> {
    let mut header = vec![0; 1024];
    put(&mut header, 0, b"cxsparse\xff\xff\xff\xff\xff\xff\xff\xff");
    put(&mut header, 16, &(TABLE_AT as u64).to_be_bytes());
    put(&mut header, 24, &0x0001_0000u32.to_be_bytes());
    put(&mut header, 28, &blocks.to_be_bytes());
    put(&mut header, 32, &(BLOCK as u32).to_be_bytes());
    sum(&mut header, 36);
    header
}

/// The footer of a disk whose id is sixteen times `0x11`.
pub(crate) fn footer(disk_type: u32, size: u64, data_offset: u64) -> Vec<u8> {
    let mut footer = vec![0; 512];
    put(&mut footer, 0, b"conectix\0\0\0\x02\0\x01\0\0");
    put(&mut footer, 16, &data_offset.to_be_bytes());
    put(&mut footer, 28, b"win \0\x0a\0\0Wi2k");
    put(&mut footer, 40, &size.to_be_bytes());
    put(&mut footer, 48, &size.to_be_bytes());
    put(&mut footer, 60, &disk_type.to_be_bytes());
    put(&mut footer, 68, &[0x11; 16]);
    sum(&mut footer, 64);
    footer
}

/// Overwrites the bytes at `at`.
pub(crate) fn put(structure: &mut [u8], at: usize, bytes: &[u8]) {
    structure[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Overwrites a field of the last footer and of its copy in front, and makes their checksums right.
pub(crate) fn put_in_footers(image: &mut [u8], at: usize, bytes: &[u8]) {
    let last = image.len() - 512;
    for footer in [0, last] {
        put(image, footer + at, bytes);
        sum(&mut image[footer..footer + 512], 64);
    }
}

/// Overwrites a field of the dynamic header and makes its checksum right.
pub(crate) fn put_in_header(image: &mut [u8], at: usize, bytes: &[u8]) {
    put(image, HEADER_AT + at, bytes);
    sum(&mut image[HEADER_AT..TABLE_AT], 36);
}

/// Makes the checksum of a structure right.
pub(crate) fn sum(structure: &mut [u8], at: usize) {
    put(structure, at, &[0; 4]);
    let sum = !structure.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    put(structure, at, &sum.to_be_bytes());
}
