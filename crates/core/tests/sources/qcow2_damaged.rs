//! qcow2 images that nobody should have written.

use std::sync::Arc;

use libmigrate::source::{DiskSource, Format, Gate, ImageFile, OpenOptions, SourceError};
use proptest::prelude::*;

use crate::contract::{assert_keeps_contract, extents};
use crate::image::{open_bytes, refusal};
use crate::qcow2_image::{CLUSTER, DATA_AT, L1_AT, L2_AT, PER_TABLE, plain, put, with_compressed, with_extension};
use crate::recording::Recording;

fn open(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    open_bytes(Format::Qcow2, image)
}

/// Structure, offset and problem of an image that is refused at opening after `change`.
#[track_caller]
fn damage_after(change: impl FnOnce(&mut Vec<u8>)) -> (&'static str, u64, String) {
    let mut image = plain();
    change(&mut image);
    match refusal(open(image)) {
        SourceError::Damaged { structure, offset, problem, .. } => (structure, offset, problem),
        other => panic!("another refusal: {other:?}"),
    }
}

/// The same for damage that only shows where it is read.
#[track_caller]
fn damage_at(cluster: u64, image: Vec<u8>) -> (&'static str, u64, String) {
    let source = open(image).unwrap();
    match source.read_at(cluster * CLUSTER, &mut [0; 512]).unwrap_err() {
        SourceError::Damaged { structure, offset, problem, .. } => (structure, offset, problem),
        other => panic!("another error: {other:?}"),
    }
}

#[test]
fn the_image_that_the_others_are_made_of_is_right() {
    let source = open(plain()).unwrap();

    let disk = assert_keeps_contract(&*source);

    let byte = |cluster: u64| disk[(cluster * CLUSTER) as usize];
    assert_eq!([byte(0), byte(1), byte(2), byte(3), byte(4), byte(700)], [0, 1, 2, 0, 0, 0]);
    let found: Vec<_> =
        extents(&*source, 0..source.size_bytes(), 99).into_iter().map(|e| (e.extent.range(), e.allocated)).collect();
    assert_eq!(found, [(0..CLUSTER, false), (CLUSTER..3 * CLUSTER, true), (3 * CLUSTER..source.size_bytes(), false)]);
}

#[test]
fn neighbouring_clusters_are_read_at_once_and_absent_tables_not_at_all() {
    let file = Arc::new(Recording::new(plain()));
    let image = ImageFile::new(Arc::clone(&file) as Arc<dyn DiskSource>, "image");
    let source = OpenOptions::new().format(Format::Qcow2).open_image(&image).unwrap();
    file.take_reads();

    source.read_at(CLUSTER, &mut vec![0; 2 * CLUSTER as usize]).unwrap();
    extents(&*source, 0..source.size_bytes(), 99);

    let data = DATA_AT as u64..DATA_AT as u64 + 2 * CLUSTER;
    assert_eq!(file.take_reads(), [L2_AT as u64..L2_AT as u64 + CLUSTER, data]);
}

#[test]
fn a_cut_header_is_refused() {
    assert_eq!(damage_after(|image| image.truncate(50)).0, "header");
    assert_eq!(damage_after(|image| image.truncate(100)).0, "header");
}

#[test]
fn a_file_without_the_magic_is_no_qcow2() {
    assert_eq!(damage_after(|image| image[0] = 0).0, "header");
}

#[test]
fn other_versions_are_refused_by_number() {
    let mut image = plain();
    image[7] = 1;
    let error = refusal(open(image)).to_string();
    assert!(error.contains("version 1"), "{error}");
}

#[test]
fn clusters_of_absurd_size_are_refused() {
    for bits in [0u32, 8, 22, 63, u32::MAX] {
        let (structure, _, problem) = damage_after(|image| put(image, 20, &bits.to_be_bytes()));
        assert!(structure == "header" && problem.contains(&bits.to_string()), "{problem}");
    }
}

#[test]
fn an_image_that_is_marked_corrupt_is_refused_with_what_to_do() {
    let (_, _, problem) = damage_after(|image| image[79] = 2);
    assert!(problem.contains("qemu-img check"), "{problem}");
}

#[test]
fn an_unknown_feature_is_refused_by_its_name_where_it_has_one() {
    let name = [&[0, 40][..], b"time travel", &[0; 35]].concat();
    let mut named = with_extension(0x6803_f857, &name);
    put(&mut named, 72, &(1u64 << 40).to_be_bytes());
    let mut nameless = plain();
    put(&mut nameless, 72, &(1u64 << 41).to_be_bytes());

    let (named, nameless) = (refusal(open(named)), refusal(open(nameless)));

    assert!(matches!(&named, SourceError::Unsupported { feature, .. } if feature.contains("time travel")), "{named:?}");
    assert!(
        matches!(&nameless, SourceError::Unsupported { feature, .. } if feature.contains("bit 41")),
        "{nameless:?}"
    );
}

#[test]
fn an_image_that_was_in_use_is_read_with_a_note() {
    let mut image = plain();
    image[79] = 1;
    assert_eq!(open(image).unwrap().notes().len(), 1);
}

#[test]
fn a_first_table_too_small_for_the_disk_is_refused() {
    let (structure, offset, problem) = damage_after(|image| put(image, 36, &2u32.to_be_bytes()));
    assert!(structure == "L1 table" && offset == L1_AT as u64 && problem.contains("needs 3"), "{problem}");
}

#[test]
fn a_first_table_that_only_a_giant_could_have_is_refused_before_it_is_read() {
    let giant = |image: &mut Vec<u8>| {
        put(image, 24, &(u64::MAX / 2).to_be_bytes());
        put(image, 36, &u32::MAX.to_be_bytes());
    };
    assert_eq!(damage_after(giant).0, "L1 table");
}

#[test]
fn tables_and_clusters_outside_the_file_or_askew_are_refused() {
    assert_eq!(damage_after(|image| put(image, 40, &(1u64 << 40).to_be_bytes())).0, "L1 table");
    assert_eq!(damage_after(|image| put(image, 40, &(L1_AT as u64 + 8).to_be_bytes())).0, "L1 table");
    let with = |at: usize, entry: u64| {
        let mut image = plain();
        put(&mut image, at, &entry.to_be_bytes());
        image
    };
    assert_eq!(damage_at(1, with(L1_AT, 1 << 40)).0, "L2 table");
    assert_eq!(damage_at(1, with(L1_AT, L2_AT as u64 + 512)).0, "L2 table");
    assert_eq!(damage_at(1, with(L2_AT + 8, 1 << 40)).0, "cluster");
    assert_eq!(damage_at(1, with(L2_AT + 8, DATA_AT as u64 + 512)).0, "cluster");
}

#[test]
fn the_end_of_a_last_cluster_that_the_file_does_not_have_is_zeros() {
    let mut image = plain();
    image.truncate(DATA_AT + CLUSTER as usize + 1000);

    let disk = assert_keeps_contract(&*open(image).unwrap());

    let cluster = &disk[2 * CLUSTER as usize..3 * CLUSTER as usize];
    assert!(cluster[..1000].iter().all(|byte| *byte == 2) && cluster[1000..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_cluster_of_zeros_in_version_two_is_refused() {
    let mut image = plain();
    image[7] = 2;
    assert_eq!(damage_at(4, image).0, "L2 entry");
}

#[test]
fn a_subcluster_that_is_data_and_zeros_at_once_is_refused() {
    let mut image = plain();
    put(&mut image, 20, &16u32.to_be_bytes());
    image[79] = 16;
    image.resize(4 << 16, 0);
    put(&mut image, 24, &(1u64 << 20).to_be_bytes());
    put(&mut image, 40, &(1u64 << 16).to_be_bytes());
    put(&mut image, 1 << 16, &(2u64 << 16).to_be_bytes());
    put(&mut image, 2 << 16, &(3u64 << 16).to_be_bytes());
    put(&mut image, (2 << 16) + 8, &(1u64 | (1 << 32)).to_be_bytes());

    assert_eq!(damage_at(0, image).0, "L2 entry");
}

#[test]
fn compressed_clusters_that_are_damaged_are_refused_with_their_place() {
    let at = plain().len() as u64;
    for is_zstd in [false, true] {
        let (structure, offset, problem) = damage_at(3, with_compressed(&[0xff; 700], is_zstd));
        assert!(structure == "compressed cluster" && offset == at && problem.contains("damaged"), "{problem}");
    }
    // A whole stream, of too little: a stored block of one byte.
    let (_, _, problem) = damage_at(3, with_compressed(&[1, 1, 0, 0xfe, 0xff, 7], false));
    assert!(problem.contains("1 bytes instead of 4096"), "{problem}");
}

#[test]
fn a_compressed_cluster_outside_the_file_is_refused() {
    let mut image = plain();
    put(&mut image, L2_AT + 24, &((1u64 << 62) | (1 << 40)).to_be_bytes());
    assert_eq!(damage_at(3, image).0, "compressed cluster");
}

#[test]
fn a_stream_that_would_unpack_to_much_more_is_cut_at_its_cluster() {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut deflate, &vec![7; 1 << 20]).unwrap();
    let source = open(with_compressed(&deflate.finish().unwrap(), false)).unwrap();

    let mut cluster = [0; CLUSTER as usize];
    source.read_at(3 * CLUSTER, &mut cluster).unwrap();

    assert_eq!(cluster, [7; CLUSTER as usize]);
}

#[test]
fn header_extensions_are_held_to_the_first_cluster() {
    let mut image = with_extension(0x1234_5678, &[]);
    put(&mut image, 108, &u32::MAX.to_be_bytes());

    let error = refusal(open(image));

    assert!(matches!(&error, SourceError::Damaged { structure: "header extension", offset: 104, .. }), "{error:?}");
}

#[test]
fn a_name_of_a_backing_file_outside_the_first_cluster_is_refused() {
    for (offset, len) in [(u64::MAX, 5u32), (CLUSTER - 2, 5), (200, 1024), (200, 0)] {
        let (structure, ..) = damage_after(|image| {
            put(image, 8, &offset.to_be_bytes());
            put(image, 16, &len.to_be_bytes());
        });
        assert_eq!(structure, "name of the backing file");
    }
}

#[test]
fn a_data_file_that_is_not_named_or_not_there_is_an_error() {
    let nameless = damage_after(|image| image[79] = 4).2;
    let mut image = with_extension(0x4441_5441, b"elsewhere.data");
    image[79] = 4;

    assert!(nameless.contains("names none"), "{nameless}");
    assert!(matches!(refusal(open(image)), SourceError::Open { .. } | SourceError::NotAllowed { .. }));
}

#[test]
fn a_table_of_more_snapshots_than_can_be_is_refused() {
    let mut image = plain();
    put(&mut image, 60, &u32::MAX.to_be_bytes());
    let file = ImageFile::new(Arc::new(image), "image");

    let error = refusal(OpenOptions::new().format(Format::Qcow2).snapshot("monday").open_image(&file));

    assert!(matches!(&error, SourceError::Damaged { structure: "snapshot table", .. }), "{error:?}");
}

#[test]
fn a_snapshot_outside_the_file_is_refused() {
    let mut image = plain();
    put(&mut image, 60, &1u32.to_be_bytes());
    put(&mut image, 64, &(u64::MAX - 3).to_be_bytes());
    let file = ImageFile::new(Arc::new(image), "image");

    let error = refusal(OpenOptions::new().format(Format::Qcow2).snapshot("monday").open_image(&file));

    assert!(matches!(&error, SourceError::Damaged { structure: "snapshot table", .. }), "{error:?}");
}

fn mutations() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..9),
        (0u64..64).prop_map(|shift| (1u64 << shift).to_be_bytes().to_vec()),
        (0u64..8).prop_map(|cluster| ((cluster * CLUSTER) | (1 << 63)).to_be_bytes().to_vec()),
    ];
    let place = prop_oneof![
        0..160usize,
        (0..4usize).prop_map(|entry| L1_AT + entry * 8),
        (0..8usize).prop_map(|entry| L2_AT + entry * 8),
        Just(L2_AT + (PER_TABLE as usize - 1) * 8),
    ];
    prop::collection::vec((place, bytes), 1..6)
}

proptest! {
    #[test]
    fn hostile_images_are_refused_or_read_consistently(
        mutations in mutations(),
        cut in prop_oneof![9 => Just(0usize), 1 => 0..20_000usize],
    ) {
        let mut image = with_compressed(&[1, 1, 0, 0xfe, 0xff, 7], false);
        for (at, bytes) in &mutations {
            put(&mut image, *at, bytes);
        }
        image.truncate(image.len() - cut.min(image.len() - 4));
        let file = ImageFile::new(Arc::new(image), "image");
        let gate = Gate::closed().supply("image", file.clone());
        if let Ok(source) = OpenOptions::new().format(Format::Qcow2).gate(gate).open_image(&file) {
            let mut at = 0;
            for _ in 0..64 {
                let Ok(found) = source.extents(at..source.size_bytes(), 16) else { break };
                prop_assert!(!found.is_empty());
                for found in found {
                    prop_assert_eq!(found.extent.offset(), at);
                    at = found.extent.end();
                    let mut byte = [0xa5];
                    let read = source.read_at(at - 1, &mut byte);
                    prop_assert!(!found.reads_as_zero || (read.is_ok() && byte == [0]));
                }
                if at == source.size_bytes() {
                    break;
                }
            }
        }
    }
}
