//! An OVA: refused, or the disk in it is read.
//!
//! Each input is tried as it is, and with the checksum of each 512 bytes made right, as if all were headers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::Format;
use libmigrate_fuzz::try_image;

const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

fuzz_target!(|data: &[u8]| {
    try_image(Format::Ova, data.to_vec());
    try_image(Format::Detect, data.to_vec());

    let mut summed = data.to_vec();
    for header in summed.chunks_exact_mut(BLOCK) {
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    try_image(Format::Ova, summed);
});
