//! VHDXs that nobody should have written, or that were damaged since.

use std::fs::{self, File};
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, ImageFile, OpenOptions, SourceError};
use tempfile::TempDir;

use crate::contract::assert_keeps_contract;
use crate::image::{self, refusal};
use crate::vhdx_image::{
    BLOCK_TABLE_REGION, DISK_SIZE, FULLY_PRESENT, HEADERS_AT, ITEMS_AT, LOG_AT, LOGICAL_SECTOR, METADATA_AT,
    METADATA_REGION, NOT_PRESENT, PARAMETERS, PARTIALLY_PRESENT, REGIONS_AT, TABLE_AT, UNMAPPED, Vhdx, guid, put,
    put_in_headers, put_in_regions, sum_all,
};

const MIB: u64 = 1 << 20;

fn open_bytes(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    image::open_bytes(Format::Vhdx, image)
}

/// A dynamic disk of four blocks, the second and fourth allocated, the fourth first.
fn small() -> Vhdx {
    Vhdx::new(4 * MIB).full(3, 4).full(1, 2)
}

/// What is wrong with [`small`] after `change`.
#[track_caller]
fn problem_after(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut image = small().build();
    change(&mut image);
    match refusal(open_bytes(image)) {
        error @ (SourceError::Damaged { format: "VHDX", .. } | SourceError::Unsupported { .. }) => error.to_string(),
        other => panic!("another refusal: {other:?}"),
    }
}

/// The one note of [`small`] after `change`, which does not change what it reads as.
#[track_caller]
fn note_after(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut image = small().build();
    change(&mut image);
    let source = open_bytes(image).unwrap();
    assert!(assert_keeps_contract(&*source) == assert_keeps_contract(&*open_bytes(small().build()).unwrap()));
    let notes = source.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    notes.into_iter().next().unwrap()
}

// Two copies of everything.

#[test]
fn the_header_with_the_higher_number_counts() {
    let mut image = small().build();
    put(&mut image, HEADERS_AT[0] + 66, &9u16.to_le_bytes());
    put(&mut image, HEADERS_AT[0] + 8, &6u64.to_le_bytes());
    sum_all(&mut image);

    assert_eq!(open_bytes(image.clone()).unwrap().notes(), [""; 0]);

    put(&mut image, HEADERS_AT[0] + 8, &8u64.to_le_bytes());
    sum_all(&mut image);
    let error = refusal(open_bytes(image)).to_string();
    assert!(error.contains("VHDX version 9"), "{error}");
}

#[test]
fn two_equal_headers_are_as_good_as_one() {
    let mut image = small().build();
    put_in_headers(&mut image, 8, &1u64.to_le_bytes());

    assert_eq!(open_bytes(image).unwrap().notes(), [""; 0]);
}

#[test]
fn two_headers_of_the_same_number_that_differ_are_refused() {
    let problem = problem_after(|image| {
        put_in_headers(image, 8, &1u64.to_le_bytes());
        image[HEADERS_AT[0] + 40] ^= 1;
        sum_all(image);
    });
    assert!(problem.contains("differ"), "{problem}");
}

#[test]
fn a_damaged_header_is_made_up_for_by_the_other_and_noted() {
    let note = note_after(|image| image[HEADERS_AT[1] + 3000] = 1);
    assert!(note.contains("header at offset 131072 is damaged") && note.contains("at offset 65536 was used"), "{note}");

    let note = note_after(|image| put(image, HEADERS_AT[0], b"dead"));
    assert!(note.contains("header at offset 65536 is damaged"), "{note}");
}

#[test]
fn two_damaged_headers_are_refused() {
    let problem = problem_after(|image| HEADERS_AT.into_iter().for_each(|at| image[at + 100] = 1));
    assert!(problem.contains("checksum") && problem.contains("131072"), "{problem}");
}

#[test]
fn a_damaged_region_table_is_made_up_for_by_the_other_and_noted() {
    let note = note_after(|image| image[REGIONS_AT[0] + 60_000] = 1);
    assert!(note.contains("region table at offset 196608 is damaged"), "{note}");
}

#[test]
fn two_damaged_region_tables_are_refused() {
    let problem = problem_after(|image| REGIONS_AT.into_iter().for_each(|at| image[at + 100] = 1));
    assert!(problem.contains("region table") && problem.contains("checksum"), "{problem}");
}

// What nobody should have written.

#[test]
fn a_damaged_vhdx_never_passes_for_a_raw_disk() {
    let error = refusal(image::open_bytes(Format::Detect, b"vhdxfile".repeat(9000)));
    assert!(matches!(error, SourceError::Damaged { format: "VHDX", .. }), "{error:?}");
}

#[test]
fn a_file_that_is_no_vhdx_is_refused_as_one() {
    let problem = problem_after(|image| image[0] = b'V');
    assert!(problem.contains("does not start with"), "{problem}");
    assert!(matches!(open_bytes(vec![1; 3]), Err(SourceError::Damaged { .. })));
}

#[test]
fn the_name_decides_for_a_file_with_the_marks_of_two_formats() {
    let mut image = Vhdx::new(MIB).full(0, 1).build();
    let end = image.len();
    put(&mut image, end - 512, b"conectix");
    let open = |name: &str| {
        OpenOptions::new().open_image(&ImageFile::new(Arc::new(image.clone()), name)).map(|disk| disk.size_bytes())
    };

    assert_eq!(open("disk.vhdx").unwrap(), MIB);
    assert!(matches!(open("disk.vhd"), Err(SourceError::Damaged { format: "VHD", .. })));
    assert!(matches!(open("disk"), Err(SourceError::Unsupported { .. })));
}

#[test]
fn a_vhdx_that_was_cut_is_refused() {
    for (len, expected) in [
        (60 << 10, "header"),
        (200 << 10, "log"),
        (2 << 20, "metadata"),
        ((3 << 20) + 8, "block table"),
        ((5 << 20) + 1, "the file was cut"),
    ] {
        let problem = problem_after(|image| image.truncate(len));
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_vhdx_that_is_cut_while_open_fails_the_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhdx");
    fs::write(&path, small().build()).unwrap();
    let source = source::open(&path, Format::Vhdx).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap();

    let error = source.read_at(MIB, &mut vec![0; MIB as usize]).unwrap_err();

    assert!(matches!(error, SourceError::Short { len: MIB, .. }), "{error:?}");
}

#[test]
fn a_log_outside_the_file_or_unaligned_is_refused() {
    for offset in [u64::MAX - MIB + 1, 0, LOG_AT as u64 + 4096, 1 << 40] {
        let problem = problem_after(|image| put_in_headers(image, 72, &offset.to_le_bytes()));
        assert!(problem.contains("log at offset"), "{problem}");
    }
}

#[test]
fn a_required_region_that_is_unknown_is_refused_and_another_ignored() {
    let third =
        [guid(&uuid::Uuid::from_u128(5).to_string()).as_slice(), &(4 * MIB).to_le_bytes(), &(MIB as u32).to_le_bytes()]
            .concat();
    let with_third = |required: u32| {
        let mut image = Vhdx::new(MIB).build();
        image.resize(5 * MIB as usize, 0);
        put_in_regions(&mut image, 8, &3u32.to_le_bytes());
        put_in_regions(&mut image, 80, &[third.as_slice(), &required.to_le_bytes()].concat());
        open_bytes(image)
    };

    assert!(with_third(0).is_ok());
    let error = refusal(with_third(1));
    assert!(matches!(&error, SourceError::Unsupported { feature, .. } if feature.contains("-000000000005")), "{error}");
}

#[test]
fn region_tables_that_cannot_be_are_refused() {
    type Change = fn(&mut [u8]);
    let cases: [(Change, &str); 7] = [
        (|image| put_in_regions(image, 8, &2048u32.to_le_bytes()), "2048 entries"),
        (|image| put_in_regions(image, 8, &1u32.to_le_bytes()), "does not name the metadata"),
        (|image| put_in_regions(image, 16, &guid(METADATA_REGION)), "twice"),
        (|image| put_in_regions(image, 48, &guid(BLOCK_TABLE_REGION)), "twice"),
        (|image| put_in_regions(image, 32, &(TABLE_AT as u64 + 4096).to_le_bytes()), "whole MiB"),
        (|image| put_in_regions(image, 32, &(METADATA_AT as u64).to_le_bytes()), "overlap"),
        (|image| put_in_regions(image, 32, &(u64::MAX - MIB + 1).to_le_bytes()), "whole MiB"),
    ];
    for (change, expected) in cases {
        let problem = problem_after(|image| change(image));
        assert!(problem.contains("region table") && problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_block_table_outside_the_file_is_refused() {
    let problem = problem_after(|image| put_in_regions(image, 32, &(1u64 << 50).to_le_bytes()));
    assert!(problem.contains("block table") && problem.contains("not inside"), "{problem}");
}

#[test]
fn a_block_table_too_small_for_the_disk_is_refused() {
    let problem = problem_after(|image| put(image, ITEMS_AT + DISK_SIZE, &(1u64 << 45).to_le_bytes()));
    assert!(problem.contains("entries that a disk of"), "{problem}");
}

#[test]
fn metadata_that_cannot_be_is_refused() {
    type Change = fn(&mut [u8]);
    let block_size: fn(&mut [u8], u32) = |image, size| put(image, ITEMS_AT + PARAMETERS, &size.to_le_bytes());
    assert!(problem_after(|image| block_size(image, 512 << 10)).contains("blocks of 524288 bytes"));
    assert!(problem_after(|image| block_size(image, 512 << 20)).contains("blocks of 536870912 bytes"));
    assert!(problem_after(|image| block_size(image, 3 << 20)).contains("blocks of 3145728 bytes"));
    let item = METADATA_AT + 32;
    assert_eq!(item % 32, 0);
    let cases: [(Change, &str); 11] = [
        (|image| image[METADATA_AT] = 0, "does not start with"),
        (|image| put(image, METADATA_AT + 10, &2048u16.to_le_bytes()), "2048 items"),
        (|image| put(image, METADATA_AT + 10, &1u16.to_le_bytes()), "does not state the"),
        (|image| image[METADATA_AT + 32] ^= 1, "metadata item"),
        (|image| image[METADATA_AT + 32 + 24] |= 1, "metadata item"),
        (|image| put(image, METADATA_AT + 32 + 16, &4096u32.to_le_bytes()), "file parameters"),
        (|image| put(image, METADATA_AT + 32 + 16, &u32::MAX.to_le_bytes()), "file parameters"),
        (|image| put(image, METADATA_AT + 32 + 16, &(1u32 << 20).to_le_bytes()), "8 bytes at 1048576"),
        (|image| put(image, METADATA_AT + 32 + 20, &7u32.to_le_bytes()), "file parameters"),
        (|image| image.copy_within(METADATA_AT + 64..METADATA_AT + 80, METADATA_AT + 96), "twice"),
        (|image| put(image, ITEMS_AT + LOGICAL_SECTOR, &1024u32.to_le_bytes()), "sectors of 1024 bytes"),
    ];
    for (change, expected) in cases {
        let problem = problem_after(|image| change(image));
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn disks_of_no_bytes_of_parts_of_sectors_or_too_many_bytes_are_refused() {
    let size = |image: &mut [u8], size: u64| put(image, ITEMS_AT + DISK_SIZE, &size.to_le_bytes());
    assert!(problem_after(|image| size(image, 1000)).contains("whole sectors"));
    assert!(problem_after(|image| size(image, (64 << 40) + 512)).contains("up to"));
    let mut image = small().build();
    size(&mut image, 0);
    assert!(matches!(open_bytes(image), Err(SourceError::Empty { .. })));
}

/// What is wrong with [`small`] when the first block's entry is this one.
#[track_caller]
fn problem_of_entry(mib: u64, state: u64) -> String {
    problem_after(|image| put(image, TABLE_AT, &(mib << 20 | state).to_le_bytes()))
}

#[test]
fn a_block_past_the_end_of_the_file_is_refused() {
    assert!(problem_of_entry(6, FULLY_PRESENT).contains("ends past the file"));
    assert!(problem_of_entry((1 << 44) - 1, FULLY_PRESENT).contains("ends past the file"));
}

#[test]
fn a_block_over_another_structure_is_refused() {
    for mib in 0..6 {
        let problem = problem_of_entry(mib, FULLY_PRESENT);
        assert!(problem.contains("block at offset") && problem.contains("overlaps"), "{problem}");
    }
}

#[test]
fn blocks_that_overlap_in_part_are_refused() {
    let mut disk = Vhdx::new(8 * MIB);
    disk.block = 4 * MIB;
    let disk = disk.full(0, 1).full(1, 2);
    let mut image = disk.build();
    image[disk.entry_at(1) + 2] -= 0x10;

    let error = refusal(open_bytes(image)).to_string();

    assert!(error.contains("overlaps"), "{error}");
}

#[test]
fn block_states_that_cannot_be_are_refused() {
    for state in [4, 5, PARTIALLY_PRESENT] {
        let problem = problem_of_entry(0, state);
        assert!(problem.contains(&format!("block state {state}")) && problem.contains("offset 3145728"), "{problem}");
    }
}

#[test]
fn the_place_of_a_block_that_is_not_there_means_nothing() {
    let mut image = small().build();
    for (number, state) in [(0, NOT_PRESENT), (2, UNMAPPED)] {
        put(&mut image, small().entry_at(number), &(0xfff_ffff << 20 | state).to_le_bytes());
    }

    assert!(assert_keeps_contract(&*open_bytes(image).unwrap())[..MIB as usize].iter().all(|byte| *byte == 0));
}
