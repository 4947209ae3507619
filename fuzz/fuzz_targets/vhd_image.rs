//! A VHD image: refused, or read in a way that agrees with its own extents.
//!
//! Each input is tried as it is, and as the start of a longer file whose checksums are right; without that
//! the fuzzer would have to guess checksums before it got anywhere, and no block would fit its small files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::{DiskSource, VhdSource, vhd};

/// Room for three blocks of the smallest size.
const LONG_FILE: usize = 2 << 20;

const FOOTER: usize = 512;
const FOOTER_CHECKSUM_AT: usize = 64;
const HEADER: usize = 1024;
const HEADER_CHECKSUM_AT: usize = 36;

fuzz_target!(|data: &[u8]| {
    try_image(data.to_vec());

    let mut long = data.to_vec();
    long.resize(data.len().max(LONG_FILE), 0);
    sum(&mut long[..FOOTER], FOOTER_CHECKSUM_AT);
    sum(&mut long[FOOTER..FOOTER + HEADER], HEADER_CHECKSUM_AT);
    try_image(long);
});

fn try_image(image: Vec<u8>) {
    vhd::probe(&image).expect("memory can be read");
    let Ok(disk) = VhdSource::new(image, "image.vhd") else { return };
    let size = disk.size_bytes();
    let mut at = 0;
    while at < size {
        let found = disk.extents(at..size, 16).expect("a table that was accepted describes the disk");
        assert!(!found.is_empty() && found.len() <= 16);
        for found in found {
            assert_eq!(found.extent.offset(), at);
            at = found.extent.end();
            for offset in [found.extent.offset(), at - 1] {
                let mut byte = [0xa5];
                disk.read_at(offset, &mut byte).expect("an image that was accepted can be read");
                assert!(!found.reads_as_zero || byte == [0]);
            }
        }
    }
    assert_eq!(at, size);
}

fn sum(structure: &mut [u8], at: usize) {
    structure[at..at + 4].fill(0);
    let sum = !structure.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    structure[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}
