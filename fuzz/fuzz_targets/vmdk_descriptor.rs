//! A VMDK's descriptor: refused, or the extents that it puts together read as they describe themselves.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::Format;
use libmigrate_fuzz::try_image_among;

fuzz_target!(|data: &[u8]| {
    let text = [b"# Disk DescriptorFile\n", data].concat();
    let parent = b"# Disk DescriptorFile\nCID=1\nRW 64 ZERO\n".to_vec();
    try_image_among(Format::Vmdk, text, &[("a", vec![1; 4096]), ("b", vec![2; 8192]), ("p", parent)]);
});
