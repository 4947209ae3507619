//! A VHDX image: refused, or read in a way that agrees with its own extents.
//!
//! Each input is tried as it is, and as a list of changes to a right image: a child with a log in use, over a
//! parent. The structures lie MiB apart and have checksums, which are made right after the changes; without
//! that the fuzzer would have to guess them before it got anywhere.

#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use libmigrate::source::{Format, Gate, ImageFile, OpenOptions};
use libmigrate_fuzz::{hold_to_its_extents, try_image};

#[allow(dead_code)]
#[path = "../../crates/core/tests/sources/vhdx_image.rs"]
mod vhdx_image;

use vhdx_image::{
    Block, Change, HEADERS_AT, ITEMS_AT, LOG_AT, LogEntry, METADATA_AT, MIB, REGIONS_AT, TABLE_AT, Vhdx, ZERO,
    open_log, put_log_entry, sum_all, sum_log,
};

const PARENT: &str = "base.vhdx";

/// Where changes count from, by their first byte.
const STRUCTURES: [usize; 12] = [
    HEADERS_AT[0],
    HEADERS_AT[1],
    REGIONS_AT[0],
    REGIONS_AT[1],
    METADATA_AT,
    ITEMS_AT,
    TABLE_AT,
    TABLE_AT + 4096 * 8,
    LOG_AT,
    LOG_AT + 4096,
    LOG_AT + 8192,
    LOG_AT + 4 * 8192,
];

/// Bytes of a change: structure, offset in it, what is flipped there.
const CHANGE: usize = 11;

fuzz_target!(|data: &[u8]| {
    try_image(Format::Vhdx, data.to_vec());

    let (parent, child) = images();
    let mut image = child.clone();
    for change in data.chunks_exact(CHANGE) {
        let structure = STRUCTURES[usize::from(change[0]) % STRUCTURES.len()];
        let offset = usize::from(u16::from_le_bytes([change[1], change[2]]));
        let place = &mut image[structure + offset..];
        place.iter_mut().zip(&change[3..]).for_each(|(byte, flip)| *byte ^= flip);
    }
    sum_all(&mut image);
    sum_log(&mut image);
    let gate = Gate::closed().supply(PARENT, ImageFile::new(Arc::new(parent.clone()), PARENT));
    let file = ImageFile::new(Arc::new(image), "child.avhdx");
    if let Ok(disk) = OpenOptions::new().format(Format::Vhdx).gate(gate).open_image(&file) {
        hold_to_its_extents(&*disk);
    }
});

/// The parent, and the child with its log.
fn images() -> &'static (Vec<u8>, Vec<u8>) {
    static IMAGES: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let parent = Vhdx::new(4 * MIB as u64).full(0, 1).full(2, 3);
        let mut child = parent.child(PARENT).with(3, Block::State(ZERO));
        child.write(512, &[7; 1024]);
        let mut image = child.build();
        let len = image.len() as u64;
        let table = image[TABLE_AT..TABLE_AT + 4096].to_vec();
        let changes = vec![Change::Write(TABLE_AT as u64, table), Change::Clear(len - 8192, 4096)];
        let entry = LogEntry { at: 0, tail: 0, sequence: 1, flushed: len, last: len, changes };
        let next = put_log_entry(&mut image, &entry);
        put_log_entry(&mut image, &LogEntry { at: next, sequence: 2, changes: Vec::new(), ..entry });
        open_log(&mut image);
        (parent.build(), image)
    })
}
