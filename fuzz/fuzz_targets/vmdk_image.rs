//! A sparse VMDK: refused, or read in a way that agrees with its own extents.
//!
//! The first byte chooses among the headers. Each input is tried as it is, then behind the fixed parts of a
//! header, which a fuzzer would take long to guess; an ESX extent is tried beside a descriptor that names it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::Format;
use libmigrate_fuzz::{try_image, try_image_among};

/// Room for a directory, a table and some grains.
const LONG_FILE: usize = 256 << 10;

const DESCRIPTOR: &[u8] = b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\nRW 64 SPARSE \"image\"\n";

fuzz_target!(|data: &[u8]| {
    try_image(Format::Vmdk, data.to_vec());

    let Some((kind, data)) = data.split_first() else { return };
    let mut long = data.to_vec();
    long.resize(data.len().max(LONG_FILE), 0);
    if kind % 4 < 2 {
        put(&mut long, 0, b"KDMV\x01\0\0\0\x07\0\0\0");
        put(&mut long, 12, &64u64.to_le_bytes());
        put(&mut long, 20, &16u64.to_le_bytes());
        put(&mut long, 28, &4u64.to_le_bytes());
        put(&mut long, 36, &1u64.to_le_bytes());
        put(&mut long, 44, &512u32.to_le_bytes());
        put(&mut long, 73, b"\n \r\n\0\0");
        put(&mut long, 4 * 512, DESCRIPTOR);
        if kind % 4 == 1 {
            put(&mut long, 8, &0x0003_0005u32.to_le_bytes());
            put(&mut long, 77, &1u16.to_le_bytes());
        }
        try_image(Format::Vmdk, long);
        return;
    }
    if kind % 4 == 2 {
        put(&mut long, 0, b"COWD\x01\0\0\0\x03\0\0\0\x40\0\0\0\x01\0\0\0");
    } else {
        for (at, field) in [(0, 0xcafe_babe), (8, 0x0000_0002_0000_0001), (16, 64), (24, 8), (32, 64)] {
            put(&mut long, at, &u64::to_le_bytes(field));
        }
        put(&mut long, 40, &[0; 40]);
        put(&mut long, 80, &1u64.to_le_bytes());
        put(&mut long, 208, &[0; 304]);
        put(&mut long, 512, &0xcafe_cafe_u64.to_le_bytes());
        put(&mut long, 536, &[0; 488]);
    }
    let descriptor = DESCRIPTOR.to_vec();
    let named = String::from_utf8_lossy(&descriptor).replace("\"image\"", "\"extent\"");
    try_image_among(Format::Vmdk, named.into_bytes(), &[("extent", long)]);
});

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}
