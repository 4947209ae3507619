//! VMDKs that nobody should have written, or that something happened to.

use libmigrate::source::{Format, SourceError};
use proptest::prelude::*;

use crate::image::{open_among, refusal};
use crate::vhd_image::put;
use crate::vmdk::{bytes_after, disk_of, open_bytes};
use crate::vmdk_image::{
    CAPACITY, DESCRIPTOR_AT, DESCRIPTOR_OFFSET, DESCRIPTOR_SIZE, DIRECTORY, DIRECTORY_AT, FLAGS, GRAIN, GRAIN_SIZE,
    GRAINS_AT, METHOD, NEWLINES, REDUNDANT_DIRECTORY, SE_DIRECTORY_AT, SE_TABLE_AT, SE_VOLATILE_AT, TABLE_AT, VERSION,
    cowd, descriptor, put_entry, se_allocated, se_sparse, sparse, sparse_extent, stream, stream_of, zlib,
};

/// What is wrong with a sparse disk of four grains, the second and fourth there, after `change`.
#[track_caller]
fn problem_after(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut image = sparse(4 * GRAIN, &[1, 3]);
    change(&mut image);
    problem_of(image)
}

/// What is wrong with an image, at open or when its first grain table is read.
#[track_caller]
fn problem_of(image: Vec<u8>) -> String {
    let problem = match open_bytes(image) {
        Ok(source) => source.extents(0..source.size_bytes(), 99).map(|_| ()).expect_err("a refusal was expected"),
        Err(error) => error,
    };
    assert!(matches!(problem, SourceError::Damaged { .. } | SourceError::Unsupported { .. }), "{problem:?}");
    problem.to_string()
}

#[test]
fn a_file_that_is_no_vmdk_is_refused_when_it_should_be_one() {
    for image in [vec![0; 4096], vec![1], b"hello".to_vec()] {
        let problem = problem_of(image);
        assert!(problem.contains("neither a descriptor nor a sparse extent"), "{problem}");
    }
}

#[test]
fn a_file_transferred_in_text_mode_is_refused() {
    let problem = problem_after(|image| put(image, NEWLINES, b"\n \n\0"));
    assert!(problem.contains("text mode"), "{problem}");
}

#[test]
fn a_grain_directory_outside_the_file_is_refused() {
    for sector in [0, u64::MAX - 1, 1 << 40] {
        let problem = problem_after(|image| {
            put(image, DIRECTORY, &sector.to_le_bytes());
            put(image, REDUNDANT_DIRECTORY, &[0; 8]);
        });
        assert!(problem.contains("grain directory") && problem.contains("not inside the file"), "{problem}");
    }
}

#[test]
fn a_grain_table_outside_the_file_is_refused() {
    let problem = problem_after(|image| put(image, DIRECTORY_AT, &u32::MAX.to_le_bytes()));
    assert!(problem.contains("grain table 0 is not inside the file"), "{problem}");
}

#[test]
fn a_grain_outside_the_file_is_refused() {
    let problem = problem_after(|image| put_entry(image, 2, Some(u32::MAX)));
    assert!(problem.contains("grain 2") && problem.contains("the file was cut"), "{problem}");
}

#[test]
fn a_sparse_vmdk_that_was_cut_is_refused() {
    for len in [100, 600, DIRECTORY_AT + 2, TABLE_AT + 2, GRAINS_AT + 100] {
        problem_after(|image| image.truncate(len));
    }
}

#[test]
fn a_stream_that_was_cut_is_refused() {
    let mut image = stream(4 * GRAIN, &[1, 3]);
    image.truncate(image.len() - 512);

    let problem = problem_of(image);

    assert!(problem.contains("footer") && problem.contains("the file was cut"), "{problem}");
}

#[test]
fn grain_sizes_that_nobody_writes_are_refused() {
    for (sectors, expected) in
        [(0u64, "no power of two"), (24, "no power of two"), (8, "8 sectors"), (1 << 40, "grains")]
    {
        let problem = problem_after(|image| put(image, GRAIN_SIZE, &sectors.to_le_bytes()));
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_capacity_that_no_disk_has_is_refused() {
    for sectors in [u64::MAX, u64::MAX / 512, (64 << 40) / 512 + 1] {
        let problem = problem_after(|image| put(image, CAPACITY, &sectors.to_le_bytes()));
        assert!(problem.contains(&format!("{sectors} sectors")), "{problem}");
    }
}

#[test]
fn more_grain_tables_than_the_file_has_room_for_are_refused() {
    let problem = problem_after(|image| put(image, CAPACITY, &(1u64 << 34).to_le_bytes()));
    assert!(problem.contains("grain directory") && problem.contains("not inside the file"), "{problem}");
}

#[test]
fn features_that_are_not_known_are_refused() {
    for (flags, method, expected) in [
        (0x0004_0003u32, 0u16, "incompatible VMDK features 0x00040000"),
        (0x0003_0001, 2, "compression method 2"),
        (0x0001_0001, 1, "without markers"),
        (0x0000_0003, 1, "no compression"),
    ] {
        let problem = problem_after(|image| {
            put(image, FLAGS, &flags.to_le_bytes());
            put(image, METHOD, &method.to_le_bytes());
        });
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_descriptor_that_is_too_long_or_elsewhere_is_refused() {
    let problem = problem_after(|image| put(image, DESCRIPTOR_SIZE, &u64::MAX.to_le_bytes()));
    assert!(problem.contains("too many"), "{problem}");
    let problem = problem_after(|image| put(image, DESCRIPTOR_OFFSET, &u64::MAX.to_le_bytes()));
    assert!(problem.contains("not inside the file"), "{problem}");
    let text = format!("{}{}", descriptor("vmfs", "RW 1 ZERO", ""), "#\n".repeat(1 << 19));
    let problem = problem_of(text.into_bytes());
    assert!(problem.contains("too many"), "{problem}");
}

#[test]
fn one_extent_of_several_is_never_read_by_itself() {
    let two = descriptor("twoGbMaxExtentSparse", "RW 32 SPARSE \"a\"\nRW 32 SPARSE \"b\"", "");
    for image in [
        sparse_extent(4 * GRAIN, &[1], None),
        sparse_extent(4 * GRAIN, &[1], Some(&two)),
        cowd(64, &[1]),
        se_sparse(64, &[], 0),
    ] {
        let problem = problem_of(image);
        assert!(problem.contains("open the descriptor"), "{problem}");
    }
}

#[test]
fn an_encrypted_vmdk_is_refused_by_that_name() {
    let text = descriptor("monolithicFlat", "RW 1 FLAT \"disk-flat.vmdk\" 0", "encryption.keySafe = \"vmware:key\"");

    let error = refusal(open_bytes(text.into_bytes()));

    assert!(matches!(error, SourceError::Encrypted { .. }), "{error:?}");
}

#[test]
fn physical_disks_are_refused_in_words() {
    for (create_type, extent) in [
        ("fullDevice", "RW 100 FLAT \"\\\\.\\PhysicalDrive0\" 0"),
        ("vmfsRDM", "RW 100 VMFSRDM \"disk-rdm.vmdk\""),
        ("custom", "RW 100 VMFSRAW \"disk-rdm.vmdk\""),
    ] {
        let problem = problem_of(descriptor(create_type, extent, "").into_bytes());
        assert!(problem.contains("a physical device"), "{problem}");
    }
}

#[test]
fn versions_one_to_three_are_read_and_no_other() {
    for version in 1..=3u32 {
        let mut image = sparse(4 * GRAIN, &[1]);
        put(&mut image, VERSION, &version.to_le_bytes());
        assert!(bytes_after(image) == disk_of(4, &[1]), "{version}");
    }
    let problem = problem_after(|image| put(image, VERSION, &4u32.to_le_bytes()));
    assert!(problem.contains("version 4"), "{problem}");
}

#[test]
fn a_zeroed_grain_is_zeros_only_where_the_header_allows_it() {
    let mut image = sparse(4 * GRAIN, &[1, 3]);
    put_entry(&mut image, 1, Some(1));
    let problem = problem_of(image.clone());
    assert!(problem.contains("sector 1"), "{problem}");

    put(&mut image, FLAGS, &7u32.to_le_bytes());

    assert!(bytes_after(image) == disk_of(4, &[3]));
}

// Compressed grains.

/// What is wrong with a stream whose only grain, the second, is `packed`, when that is read.
#[track_caller]
fn problem_of_grain(packed: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut image = stream_of(4 * GRAIN, &[(1, packed)]);
    change(&mut image);
    let source = open_bytes(image).unwrap();
    assert!(!source.extents(GRAIN..2 * GRAIN, 1).unwrap()[0].reads_as_zero);
    let error = source.read_at(GRAIN + 5, &mut [0; 10]).unwrap_err();
    assert!(matches!(error, SourceError::Damaged { structure: "compressed grain", .. }), "{error:?}");
    error.to_string()
}

const PACKED_AT: usize = DIRECTORY_AT;

#[test]
fn a_damaged_compressed_grain_fails_the_read() {
    let whole = zlib(&(0..GRAIN).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let end = PACKED_AT + 12 + whole.len();
    let problem = problem_of_grain(whole.clone(), |image| image[PACKED_AT + 40] ^= 0xff);
    assert!(problem.contains("zlib"), "{problem}");
    let problem = problem_of_grain(whole.clone(), |image| image[end - 1] ^= 1);
    assert!(problem.contains("zlib"), "its checksum: {problem}");
    let problem = problem_of_grain(whole[..whole.len() / 2].to_vec(), |_| {});
    assert!(problem.contains("zlib"), "cut: {problem}");
}

#[test]
fn a_compressed_grain_of_an_impossible_length_is_refused() {
    for len in [0, 2 * GRAIN as u32 + 1, u32::MAX] {
        let problem = problem_of_grain(zlib(&[1; 8192]), |image| put(image, PACKED_AT + 8, &len.to_le_bytes()));
        assert!(problem.contains(&format!("length of {len} bytes")), "{problem}");
    }
    let problem = problem_of_grain(zlib(&[1; 8192]), |image| put(image, PACKED_AT + 8, &16_000u32.to_le_bytes()));
    assert!(problem.contains("not inside the file"), "{problem}");
}

#[test]
fn a_compressed_grain_of_another_place_is_refused() {
    let problem = problem_of_grain(zlib(&[1; 8192]), |image| image[PACKED_AT] += 1);
    assert!(problem.contains("sector 17") && problem.contains("sector") && problem.contains("16"), "{problem}");
}

#[test]
fn a_compressed_grain_of_another_size_is_refused() {
    for (bytes, expected) in [(8191, "8191 bytes"), (8193, "does not end"), (1 << 20, "does not end"), (0, "0 bytes")] {
        let problem = problem_of_grain(zlib(&vec![0; bytes]), |_| {});
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_grain_that_does_not_compress_is_read() {
    let mut random = fastrand::Rng::with_seed(3);
    let bytes: Vec<u8> = (0..GRAIN).map(|_| random.u8(..)).collect();
    let packed = zlib(&bytes);
    assert!(packed.len() > bytes.len());

    let disk = bytes_after(stream_of(GRAIN, &[(0, packed)]));

    assert!(disk == bytes);
}

// ESX's own extents.

#[test]
fn an_esx_sparse_extent_that_is_wrong_is_refused() {
    let text = descriptor("vmfsSparse", "RW 64 VMFSSPARSE \"delta\"", "").into_bytes();
    for (at, field, expected) in [
        (4, 2u32, "version 2"),
        (16, 3, "grains of 3"),
        (16, 0, "grains of 0"),
        (20, u32::MAX, "not inside the file"),
        (24, 0, "needs 1 grain tables"),
        (12, 0, "is empty"),
        (12, 65, "descriptor says"),
    ] {
        let mut delta = cowd(64, &[1]);
        put(&mut delta, at, &field.to_le_bytes());
        let error = refusal(open_among(Format::Vmdk, text.clone(), &[("delta", delta)])).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_space_efficient_extent_that_is_wrong_is_refused() {
    let text = descriptor("seSparse", "RW 64 SESPARSE \"delta\"", "").into_bytes();
    for (at, field, expected) in [
        (8, 1u64, "version of 0x1"),
        (24, 16, "grain size of 0x10"),
        (32, 32, "grain table size"),
        (40, 1, "flags of 0x1"),
        (300, 1, "not known"),
        (80, u64::MAX, "not inside the file"),
        (SE_VOLATILE_AT, 1, "starts with 0x1"),
        (SE_VOLATILE_AT + 24, 1, "journal"),
        (128, u64::MAX, "not inside the file"),
        (136, 0, "needs 1 grain tables"),
        (144, u64::MAX / 8, "grain table 0 is not inside"),
        (SE_DIRECTORY_AT, 0x2000_0000_0000_0000, "entry 0x2000000000000000 is not known"),
        (SE_DIRECTORY_AT, 0x1000_0000_ffff_ffff, "cannot be"),
    ] {
        let mut delta = se_sparse(64, &[se_allocated(0)], 1);
        put(&mut delta, at, &field.to_le_bytes());
        let error = refusal(open_among(Format::Vmdk, text.clone(), &[("delta", delta)])).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn grains_of_a_space_efficient_extent_are_inside_its_file_and_of_a_known_kind() {
    let text = descriptor("seSparse", "RW 64 SESPARSE \"delta\"", "").into_bytes();
    for entry in [0x4000_0000_0000_0000u64, 1, se_allocated(1), 0x3fff_ffff_ffff_ffff] {
        let mut delta = se_sparse(64, &[se_allocated(0)], 1);
        put(&mut delta, SE_TABLE_AT, &entry.to_le_bytes());
        let source = open_among(Format::Vmdk, text.clone(), &[("delta", delta)]).unwrap();
        let error = source.read_at(0, &mut [0; 512]).unwrap_err();
        assert!(matches!(error, SourceError::Damaged { structure: "grain table", .. }), "{error:?}");
    }
}

proptest! {
    #[test]
    fn hostile_images_are_refused_or_read_consistently(
        compressed in any::<bool>(),
        changes in prop::collection::vec(
            (
                prop_oneof![0..80usize, Just(CAPACITY), Just(DIRECTORY), DESCRIPTOR_AT..1500usize, DIRECTORY_AT..TABLE_AT + 64],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 1..8),
                    (0u32..64).prop_map(|shift| (1u64 << shift).to_le_bytes().to_vec()),
                    (0u32..40).prop_map(|sector| sector.to_le_bytes().to_vec()),
                ],
            ),
            1..6,
        ),
    ) {
        let mut image = if compressed { stream(6 * GRAIN, &[1, 2, 4]) } else { sparse(6 * GRAIN, &[1, 2, 4]) };
        changes.iter().for_each(|(at, bytes)| put(&mut image, *at, bytes));
        let Ok(source) = open_bytes(image) else { return Ok(()) };
        let size = source.size_bytes();
        let Ok(found) = source.extents(0..size, 16) else { return Ok(()) };
        for found in found {
            for at in [found.extent.offset(), found.extent.end() - 1] {
                let mut byte = [0xa5];
                let read = source.read_at(at, &mut byte);
                prop_assert!(!found.reads_as_zero || (read.is_ok() && byte == [0]));
            }
        }
    }
}
