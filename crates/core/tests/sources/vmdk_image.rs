//! VMDK images made in memory, right or wrong in one place.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::vhd_image::put;

/// Size of a grain in the images made here, and sectors of it.
pub(crate) const GRAIN: u64 = 8192;
const GRAIN_SECTORS: u64 = 16;

/// Where [`sparse`] and [`stream`] put the descriptor.
pub(crate) const DESCRIPTOR_AT: usize = 512;

/// Where [`sparse`] puts the directory, its table, and the first grain.
pub(crate) const DIRECTORY_AT: usize = 0x2a00;
pub(crate) const TABLE_AT: usize = 0x2c00;
pub(crate) const GRAINS_AT: usize = 0x3400;

/// Fields of the header.
pub(crate) const VERSION: usize = 4;
pub(crate) const FLAGS: usize = 8;
pub(crate) const CAPACITY: usize = 12;
pub(crate) const GRAIN_SIZE: usize = 20;
pub(crate) const DESCRIPTOR_OFFSET: usize = 28;
pub(crate) const DESCRIPTOR_SIZE: usize = 36;
pub(crate) const REDUNDANT_DIRECTORY: usize = 48;
pub(crate) const DIRECTORY: usize = 56;
pub(crate) const UNCLEAN: usize = 72;
pub(crate) const NEWLINES: usize = 73;
pub(crate) const METHOD: usize = 77;

const DESCRIPTOR_SECTORS: u64 = 20;

/// A descriptor with these extent lines, and `more` of its own.
pub(crate) fn descriptor(create_type: &str, extents: &str, more: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=12345678\nparentCID=ffffffff\n\
         isNativeSnapshot=\"no\"\ncreateType=\"{create_type}\"\n{more}\n\n# Extent description\n{extents}\n\n\
         # The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n\
         ddb.uuid = \"60 00 C2 9e 00 11 22 33-44 55 66 77 88 99 aa bb\"\n"
    )
}

/// A descriptor of a child of the disk whose content id is `cid`.
pub(crate) fn child_descriptor(extents: &str, cid: &str, hint: &str) -> String {
    let text = descriptor("monolithicSparse", extents, &format!("parentFileNameHint=\"{hint}\""));
    text.replace("parentCID=ffffffff", &format!("parentCID={cid}")).replace("\nCID=12345678", "\nCID=87654321")
}

/// A sparse extent of `size` bytes, at most 4 MiB, that has a descriptor only if one is given; grain `n` of
/// `grains` is full of the byte `n + 1`.
pub(crate) fn sparse_extent(size: u64, grains: &[u64], descriptor: Option<&str>) -> Vec<u8> {
    assert!(size <= 512 * GRAIN, "one table");
    let mut image = header(size, 1, 3);
    if let Some(descriptor) = descriptor {
        put_descriptor(&mut image, descriptor);
    }
    put(&mut image, DIRECTORY, &sector_of(DIRECTORY_AT));
    put(&mut image, REDUNDANT_DIRECTORY, &sector_of(DIRECTORY_AT));
    image.resize(GRAINS_AT, 0);
    put(&mut image, DIRECTORY_AT, &(TABLE_AT as u32 / 512).to_le_bytes());
    for grain in grains {
        put_entry(&mut image, *grain, None);
        image.extend(vec![*grain as u8 + 1; GRAIN as usize]);
    }
    image
}

/// A monolithic sparse disk.
pub(crate) fn sparse(size: u64, grains: &[u64]) -> Vec<u8> {
    let extents = format!("RW {} SPARSE \"whatever.vmdk\"", size / 512);
    sparse_extent(size, grains, Some(&descriptor("monolithicSparse", &extents, "")))
}

/// Sets the table's entry of a grain: a sector, or the end of the image.
pub(crate) fn put_entry(image: &mut [u8], grain: u64, sector: Option<u32>) {
    let sector = sector.unwrap_or((image.len() / 512) as u32);
    put(image, TABLE_AT + grain as usize * 4, &sector.to_le_bytes());
}

/// A stream-optimized disk of one grain table, as `VMware` exports it: the directory at the end, a footer.
pub(crate) fn stream(size: u64, grains: &[u64]) -> Vec<u8> {
    let packed: Vec<(u64, Vec<u8>)> = grains.iter().map(|n| (*n, zlib(&vec![*n as u8 + 1; GRAIN as usize]))).collect();
    stream_of(size, &packed)
}

/// The same of grains that are compressed already, or are not what they should be.
pub(crate) fn stream_of(size: u64, grains: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut image = header(size, 3, 0x0003_0001);
    put(&mut image, METHOD, &1u16.to_le_bytes());
    let extents = format!("RW {} SPARSE \"exported.vmdk\"", size / 512);
    put_descriptor(&mut image, &descriptor("streamOptimized", &extents, ""));
    put(&mut image, DIRECTORY, &[0xff; 8]);
    image.resize(DIRECTORY_AT, 0);
    let mut table = vec![0; 2048];
    for (grain, packed) in grains {
        put(&mut table, *grain as usize * 4, &(image.len() as u32 / 512).to_le_bytes());
        image.extend((grain * GRAIN_SECTORS).to_le_bytes());
        image.extend((packed.len() as u32).to_le_bytes());
        image.extend(packed);
        image.resize(image.len().next_multiple_of(512), 0);
    }
    image.extend(marker(4, 1));
    let table_sector = image.len() as u32 / 512;
    image.extend(table);
    image.extend(marker(1, 2));
    let directory_at = image.len();
    image.extend(table_sector.to_le_bytes());
    image.resize(image.len().next_multiple_of(512), 0);
    image.extend(marker(1, 3));
    let mut footer = image[..512].to_vec();
    put(&mut footer, DIRECTORY, &sector_of(directory_at));
    image.extend(footer);
    image.extend(marker(0, 0));
    image
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A COWD extent of one grain table, its grains one sector each; sector `n` of `sectors` is full of `n + 1`.
pub(crate) fn cowd(disk_sectors: u32, sectors: &[u32]) -> Vec<u8> {
    const TABLE_SECTOR: u32 = 8;
    assert!(disk_sectors <= 4096, "one table");
    let mut image = vec![0; (TABLE_SECTOR as usize + 32) * 512];
    put(&mut image, 0, b"COWD\x01\0\0\0\x03\0\0\0");
    for (at, field) in [(12, disk_sectors), (16, 1), (20, 4), (24, 1), (4 * 512, TABLE_SECTOR)] {
        put(&mut image, at, &field.to_le_bytes());
    }
    for sector in sectors {
        let here = (image.len() / 512) as u32;
        put(&mut image, TABLE_SECTOR as usize * 512 + *sector as usize * 4, &here.to_le_bytes());
        image.extend([*sector as u8 + 1; 512]);
    }
    image
}

/// Where [`se_sparse`] puts its volatile header, directory and table.
pub(crate) const SE_VOLATILE_AT: usize = 512;
pub(crate) const SE_DIRECTORY_AT: usize = 1024;
pub(crate) const SE_TABLE_AT: usize = 1536;

/// An SESPARSE extent of one grain table, its grains 4096 bytes each; `entries` are the first of the table.
/// Allocated grain number `n` is full of `n + 1`.
pub(crate) fn se_sparse(disk_sectors: u64, entries: &[u64], allocated: u8) -> Vec<u8> {
    let mut image = vec![0; SE_TABLE_AT + 64 * 512];
    let grains_sector = image.len() as u64 / 512;
    let version = 0x0000_0002_0000_0001;
    for (at, field) in [
        (0, 0xcafe_babe),
        (8, version),
        (16, disk_sectors),
        (24, 8),
        (32, 64),
        (80, SE_VOLATILE_AT as u64 / 512),
        (88, 1),
        (128, SE_DIRECTORY_AT as u64 / 512),
        (136, 1),
        (144, SE_TABLE_AT as u64 / 512),
        (152, 64),
        (192, grains_sector),
        (200, u64::from(allocated) * 8),
        (SE_VOLATILE_AT, 0xcafe_cafe),
        (SE_DIRECTORY_AT, 0x1000_0000_0000_0000),
    ] {
        put(&mut image, at, &field.to_le_bytes());
    }
    for (at, entry) in (SE_TABLE_AT..).step_by(8).zip(entries) {
        put(&mut image, at, &entry.to_le_bytes());
    }
    (0..allocated).for_each(|grain| image.extend([grain + 1; 4096]));
    image
}

/// The SESPARSE entry of allocated grain number `n`.
pub(crate) fn se_allocated(n: u64) -> u64 {
    0x3000_0000_0000_0000 | n >> 12 | (n & 0xfff) << 48
}

fn header(size: u64, version: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; 512];
    put(&mut header, 0, b"KDMV");
    put(&mut header, VERSION, &version.to_le_bytes());
    put(&mut header, FLAGS, &flags.to_le_bytes());
    put(&mut header, CAPACITY, &(size / 512).to_le_bytes());
    put(&mut header, GRAIN_SIZE, &GRAIN_SECTORS.to_le_bytes());
    put(&mut header, 44, &512u32.to_le_bytes());
    put(&mut header, 64, &sector_of(GRAINS_AT));
    put(&mut header, NEWLINES, b"\n \r\n");
    header
}

fn put_descriptor(image: &mut Vec<u8>, descriptor: &str) {
    put(image, DESCRIPTOR_OFFSET, &1u64.to_le_bytes());
    put(image, DESCRIPTOR_SIZE, &DESCRIPTOR_SECTORS.to_le_bytes());
    image.resize(512 + DESCRIPTOR_SECTORS as usize * 512, 0);
    put(image, DESCRIPTOR_AT, descriptor.as_bytes());
}

fn sector_of(at: usize) -> [u8; 8] {
    (at as u64 / 512).to_le_bytes()
}

fn marker(sectors: u64, kind: u32) -> Vec<u8> {
    let mut marker = vec![0; 512];
    put(&mut marker, 0, &sectors.to_le_bytes());
    put(&mut marker, 12, &kind.to_le_bytes());
    marker
}
