//! A VHD image: refused, or read in a way that agrees with its own extents.
//!
//! Each input is tried as it is, and as the start of a longer file whose checksums are right; without that
//! the fuzzer would have to guess checksums before it got anywhere, and no block would fit its small files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::Format;
use libmigrate_fuzz::try_image;

/// Room for three blocks of the smallest size.
const LONG_FILE: usize = 2 << 20;

const FOOTER: usize = 512;
const FOOTER_CHECKSUM_AT: usize = 64;
const HEADER: usize = 1024;
const HEADER_CHECKSUM_AT: usize = 36;

fuzz_target!(|data: &[u8]| {
    try_image(Format::Vhd, data.to_vec());

    let mut long = data.to_vec();
    long.resize(data.len().max(LONG_FILE), 0);
    sum(&mut long[..FOOTER], FOOTER_CHECKSUM_AT);
    sum(&mut long[FOOTER..FOOTER + HEADER], HEADER_CHECKSUM_AT);
    try_image(Format::Vhd, long);
});

fn sum(structure: &mut [u8], at: usize) {
    structure[at..at + 4].fill(0);
    let sum = !structure.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    structure[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}
