//! A qcow2 image, its snapshot of the name `s` and its bitmaps: refused, or read in a way that agrees with its own
//! extents.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use libmigrate::source::{Format, Gate, ImageFile, OpenOptions, qcow2};
use libmigrate_fuzz::{hold_to_its_extents, try_image};

/// Room for a few clusters of the smallest sizes.
const LONG_FILE: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let mut image = data.to_vec();
    image.resize(data.len().max(LONG_FILE), 0);
    try_image(Format::Qcow2, image.clone());
    let file = ImageFile::new(Arc::new(image), "image");
    let options = OpenOptions::new().format(Format::Qcow2).gate(Gate::closed()).snapshot("s");
    if let Ok(disk) = options.open_image(&file) {
        hold_to_its_extents(&*disk);
    }
    for bitmap in qcow2::bitmaps(&file).into_iter().flatten().take(4) {
        _ = qcow2::dirty(&file, &bitmap.name);
    }
});
