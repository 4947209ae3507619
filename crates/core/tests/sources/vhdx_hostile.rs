//! VHDXs changed in places that matter, checksums made right: refused, or read in one way only.

use std::sync::Arc;

use libmigrate::source::{DiskSource, Format, Gate, ImageFile, OpenOptions, SourceError};
use proptest::prelude::*;

use crate::contract::extents;
use crate::vhdx_image::{
    Block, Change, HEADERS_AT, ITEMS_AT, LOG_AT, LogEntry, METADATA_AT, MIB, REGIONS_AT, TABLE_AT, Vhdx, ZERO,
    open_log, put, put_log_entry, sum_all, sum_log,
};

/// A child with a log in use.
fn child() -> Vec<u8> {
    let mut child = base().child("base.vhdx").with(3, Block::State(ZERO));
    child.write(512, &[7; 1024]);
    let mut image = child.build();
    let len = image.len() as u64;
    let changes = vec![
        Change::Write(TABLE_AT as u64, image[TABLE_AT..TABLE_AT + 4096].to_vec()),
        Change::Clear(len - 8192, 4096),
    ];
    let entry = LogEntry { at: 0, tail: 0, sequence: 1, flushed: len, last: len, changes };
    let next = put_log_entry(&mut image, &entry);
    put_log_entry(&mut image, &LogEntry { at: next, sequence: 2, changes: Vec::new(), ..entry });
    open_log(&mut image);
    image
}

fn base() -> Vhdx {
    Vhdx::new(4 * MIB as u64).full(0, 1).full(2, 3)
}

fn open(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    let gate = Gate::closed().supply("base.vhdx", ImageFile::new(Arc::new(base().build()), "base.vhdx"));
    OpenOptions::new().format(Format::Vhdx).gate(gate).open_image(&ImageFile::new(Arc::new(image), "child.avhdx"))
}

/// Fields and their neighbourhoods.
fn place() -> impl Strategy<Value = usize> {
    let structures = vec![
        (HEADERS_AT[1], 80usize),
        (REGIONS_AT[0], 90),
        (METADATA_AT, 240),
        (ITEMS_AT, 300),
        (TABLE_AT, 48),
        (LOG_AT, 128),
        (LOG_AT + 4096, 16),
        (LOG_AT + 8192, 64),
    ];
    prop::sample::select(structures).prop_flat_map(|(at, len)| (0..len).prop_map(move |offset| at + offset / 4 * 4))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..9),
        (0u32..64).prop_map(|shift| (1u64 << shift).to_le_bytes().to_vec()),
        (0u64..12, 0u64..8).prop_map(|(mib, state)| (mib << 20 | state).to_le_bytes().to_vec()),
        (0u32..40).prop_map(|number| number.to_le_bytes().to_vec()),
    ]
}

#[test]
fn the_image_before_its_changes_is_right() {
    assert!(open(child()).is_ok());
}

proptest! {
    #[test]
    fn hostile_images_are_refused_or_read_consistently(
        changes in prop::collection::vec((place(), bytes()), 1..4),
        cut in prop_oneof![9 => Just(0usize), 1 => 0..3 * MIB],
    ) {
        let mut image = child();
        changes.iter().for_each(|(at, bytes)| put(&mut image, *at, bytes));
        sum_all(&mut image);
        sum_log(&mut image);
        image.truncate(image.len() - cut);
        match open(image) {
            Err(
                SourceError::Damaged { .. }
                | SourceError::Unsupported { .. }
                | SourceError::Empty { .. }
                | SourceError::ParentMismatch { .. }
                | SourceError::ParentMissing { .. }
                | SourceError::NotAllowed { .. },
            ) => {}
            Err(other) => prop_assert!(false, "not an error of the image: {other:?}"),
            Ok(source) => {
                for found in extents(&*source, 0..source.size_bytes(), 16) {
                    for at in [found.extent.offset(), found.extent.end() - 1] {
                        let mut byte = [0xa5];
                        source.read_at(at, &mut byte).unwrap();
                        prop_assert!(!found.reads_as_zero || byte == [0]);
                    }
                }
            }
        }
    }
}
