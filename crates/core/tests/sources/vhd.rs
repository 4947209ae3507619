//! Fixed and dynamic VHDs: what QEMU writes, and what nobody should have written.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, ImageFile, OpenOptions, SourceError, SourceExtent};
use libmigrate_test_support::qemu::{bytes_of, image_of, size_of};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, extents, holes};
use crate::image::{self, refusal, sample_disk};
use crate::recording::Recording;
use crate::vhd_image::{BITMAP, BLOCK, HEADER_AT, TABLE_AT, dynamic, fixed, put, put_in_footers, put_in_header, sum};

const MIB: u64 = 1 << 20;

/// A size in sectors that no geometry can name exactly.
const ODD_SIZE: u64 = 37 * MIB + 5 * 512;

fn open_bytes(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    image::open_bytes(Format::Vhd, image)
}

fn open_recorded<S: DiskSource>(file: &Arc<Recording<S>>) -> Result<Arc<dyn DiskSource>, SourceError> {
    let file = ImageFile::new(Arc::clone(file) as Arc<dyn DiskSource>, "disk.vhd");
    OpenOptions::new().format(Format::Vhd).open_image(&file)
}

/// What is wrong with a dynamic disk of four blocks, the second and fourth allocated, after `change`.
#[track_caller]
fn problem_after(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut image = dynamic(4, &[1, 3]);
    change(&mut image);
    match refusal(open_bytes(image)) {
        error @ (SourceError::Damaged { .. } | SourceError::Unsupported { .. }) => error.to_string(),
        other => panic!("another refusal: {other:?}"),
    }
}

// What QEMU writes.

/// The VHD that QEMU makes of a sample disk reads as QEMU reads it.
fn assert_agrees_with_qemu(options: &str, size: u64) {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), size);
    let Some(vhd) = image_of(&raw, "vpc", options) else { return };

    let source = source::open(&vhd, Format::Detect).unwrap();

    assert_eq!(Some(source.size_bytes()), size_of(&vhd, "vpc"));
    let disk = assert_keeps_contract(&*source);
    assert!(Some(&disk) == bytes_of(&vhd, "vpc").as_ref(), "QEMU reads other bytes");
    assert!(disk.starts_with(&fs::read(&raw).unwrap()), "the disk that went in came out");
    assert!(!holes(&*source).is_empty(), "the holes of a sparse image are seen");
}

#[test]
fn a_fixed_vhd_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=fixed,force_size=on", ODD_SIZE);
}

#[test]
fn a_fixed_vhd_whose_size_is_its_geometry_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=fixed,force_size=off", ODD_SIZE);
}

#[test]
fn a_dynamic_vhd_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=dynamic,force_size=on", ODD_SIZE);
}

#[test]
fn a_dynamic_vhd_whose_size_is_its_geometry_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=dynamic,force_size=off", ODD_SIZE);
}

#[test]
fn the_size_of_a_vhd_is_what_qemu_takes_it_for_under_every_creator() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhd");
    for creator in [b"vpc ", b"qemu", b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS", b"vbox", b"vs  ", b"wa\0\0"] {
        let mut image = fixed(MIB);
        put_in_footers(&mut image, 28, creator);
        put_in_footers(&mut image, 56, &[0, 20, 4, 17]);
        put(&mut image, 0, &[1; 512]);
        fs::write(&path, image).unwrap();
        let Some(size) = size_of(&path, "vpc") else { return };

        let source = source::open(&path, Format::Vhd).unwrap();

        assert_eq!(source.size_bytes(), size, "{}", String::from_utf8_lossy(creator));
    }
}

#[test]
fn reading_leaves_the_image_as_it_was() {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), ODD_SIZE);
    let Some(vhd) = image_of(&raw, "vpc", "subformat=dynamic") else { return };
    let before = (fs::read(&vhd).unwrap(), fs::metadata(&vhd).unwrap().modified().unwrap());

    assert_keeps_contract(&*source::open(&vhd, Format::Vhd).unwrap());

    assert!(before == (fs::read(&vhd).unwrap(), fs::metadata(&vhd).unwrap().modified().unwrap()));
}

// Fixed disks.

fn sparse_fixed_vhd(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("disk.vhd");
    let file = File::create(&path).unwrap();
    file.set_len(8 * MIB + 512).unwrap();
    file.write_all_at(&vec![7; MIB as usize], MIB).unwrap();
    let mut footer = fixed(512)[512..].to_vec();
    put(&mut footer, 48, &(8 * MIB).to_be_bytes());
    sum(&mut footer, 64);
    file.write_all_at(&footer, 8 * MIB).unwrap();
    path
}

#[test]
fn a_fixed_vhd_has_the_holes_of_its_file() {
    let folder = TempDir::new().unwrap();

    let source = source::open(sparse_fixed_vhd(&folder), Format::Detect).unwrap();

    assert_eq!(source.size_bytes(), 8 * MIB);
    assert_eq!(holes(&*source), [0..MIB, 2 * MIB..8 * MIB]);
}

#[test]
fn a_fixed_vhd_forced_raw_has_its_footer_in_the_disk() {
    let folder = TempDir::new().unwrap();

    let source = source::open(sparse_fixed_vhd(&folder), Format::Raw).unwrap();

    assert_eq!(source.size_bytes(), 8 * MIB + 512);
}

#[test]
fn a_vhd_is_known_by_its_uuid_and_its_files_point() {
    let folder = TempDir::new().unwrap();
    let path = sparse_fixed_vhd(&folder);

    let source = source::open(&path, Format::Vhd).unwrap();

    assert_eq!(source.identity().unwrap(), "vhd:11111111-1111-1111-1111-111111111111");
    assert_eq!(source.point(), source::RawSource::open(&path).unwrap().point());
}

#[test]
fn a_vhd_without_a_uuid_has_no_identity() {
    let mut image = dynamic(1, &[]);
    put_in_footers(&mut image, 68, &[0; 16]);

    assert_eq!(open_bytes(image).unwrap().identity(), None);
}

#[test]
fn a_fixed_vhd_that_was_cut_before_its_footer_is_refused() {
    let mut image = fixed(MIB);
    image.drain(..4096);

    let error = refusal(open_bytes(image)).to_string();

    assert!(error.contains("1048576") && error.contains("1044480"), "{error}");
}

#[test]
fn a_damaged_footer_never_makes_a_vhd_a_raw_disk() {
    let folder = TempDir::new().unwrap();
    let path = sparse_fixed_vhd(&folder);
    File::options().write(true).open(&path).unwrap().write_all_at(&[1], 8 * MIB + 300).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(&error, SourceError::Damaged { problem, .. } if problem.contains("checksum")), "{error}");
}

#[test]
fn a_guests_first_sector_cannot_turn_a_fixed_disk_into_a_dynamic_one() {
    let folder = TempDir::new().unwrap();
    let path = sparse_fixed_vhd(&folder);
    File::options().write(true).open(&path).unwrap().write_all_at(&dynamic(1, &[])[..512], 0).unwrap();

    let source = source::open(&path, Format::Detect).unwrap();

    assert_eq!(source.size_bytes(), 8 * MIB);
}

// Dynamic disks.

#[test]
fn an_absent_block_is_zeros_and_an_allocated_one_its_bytes() {
    let source = open_bytes(dynamic(4, &[3, 1])).unwrap();

    let disk = assert_keeps_contract(&*source);

    let expected: Vec<u8> = [0, 2, 0, 4].into_iter().flat_map(|byte| vec![byte; BLOCK as usize]).collect();
    assert!(disk == expected);
}

#[test]
fn neighbouring_blocks_of_a_kind_are_one_extent() {
    let source = open_bytes(dynamic(7, &[5, 1, 2])).unwrap();

    let found: Vec<(Range<u64>, bool)> =
        extents(&*source, 0..7 * BLOCK, 99).into_iter().map(|e| (e.extent.range(), e.allocated)).collect();

    assert_eq!(
        found,
        [
            (0..BLOCK, false),
            (BLOCK..3 * BLOCK, true),
            (3 * BLOCK..5 * BLOCK, false),
            (5 * BLOCK..6 * BLOCK, true),
            (6 * BLOCK..7 * BLOCK, false),
        ]
    );
}

#[test]
fn the_last_block_ends_with_the_disk() {
    let mut image = dynamic(2, &[1]);
    put_in_footers(&mut image, 48, &(BLOCK + 1000).to_be_bytes());

    let source = open_bytes(image).unwrap();

    assert_eq!(assert_keeps_contract(&*source).len() as u64, BLOCK + 1000);
}

#[test]
fn surplus_entries_of_the_table_mean_nothing() {
    let mut image = dynamic(4, &[1]);
    put(&mut image, TABLE_AT + 12, &7u32.to_be_bytes());
    put_in_footers(&mut image, 48, &(3 * BLOCK).to_be_bytes());

    assert_eq!(open_bytes(image).unwrap().size_bytes(), 3 * BLOCK);
}

#[test]
fn a_blocks_sector_bitmap_hides_none_of_its_bytes() {
    let mut image = dynamic(1, &[0]);
    let bitmap_at = image.len() - 512 - (BLOCK + BITMAP) as usize;
    put(&mut image, bitmap_at, &[0; BITMAP as usize]);

    assert!(assert_keeps_contract(&*open_bytes(image).unwrap()).iter().all(|byte| *byte == 1));
}

#[test]
fn extents_and_absent_blocks_read_nothing_from_the_file() {
    let file = Arc::new(Recording::new(dynamic(4, &[1])));
    let source = open_recorded(&file).unwrap();
    file.take_reads();

    extents(&*source, 0..4 * BLOCK, 1);
    source.read_at(2 * BLOCK, &mut vec![1; 2 * BLOCK as usize]).unwrap();

    assert_eq!(file.take_reads(), []);
}

#[test]
fn a_read_takes_from_the_file_only_what_is_asked() {
    let file = Arc::new(Recording::new(dynamic(2, &[1])));
    let source = open_recorded(&file).unwrap();
    let data_at = file.inner.len() as u64 - 512 - BLOCK;
    file.take_reads();

    source.read_at(BLOCK - 10, &mut [0; 30]).unwrap();

    let reads = file.take_reads();
    assert_eq!((reads.len(), reads.first()), (1, Some(&(data_at..data_at + 20))));
}

#[test]
fn a_lost_last_footer_is_made_up_for_by_the_copy_in_front() {
    let mut image = dynamic(4, &[1, 3]);
    let last = image.len() - 512;
    put(&mut image, last, &[0; 512]);

    let source = open_bytes(image.clone()).unwrap();

    assert!(image::open_bytes(Format::Detect, image).unwrap().size_bytes() == 4 * BLOCK, "still a VHD");
    assert!(assert_keeps_contract(&*source) == assert_keeps_contract(&*open_bytes(dynamic(4, &[1, 3])).unwrap()));
}

#[test]
fn a_dynamic_vhd_that_was_cut_is_refused() {
    let problem = problem_after(|image| image.truncate(image.len() - 100_000));
    assert!(problem.contains("the file was cut"), "{problem}");
}

#[test]
fn a_dynamic_vhd_that_is_cut_while_open_fails_the_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhd");
    fs::write(&path, dynamic(2, &[1])).unwrap();
    let source = source::open(&path, Format::Vhd).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap();

    let error = source.read_at(BLOCK, &mut vec![0; BLOCK as usize]).unwrap_err();

    assert!(matches!(error, SourceError::Short { len: BLOCK, .. }), "{error:?}");
}

// What nobody should have written.

#[test]
fn two_blocks_in_one_place_are_refused() {
    let problem = problem_after(|image| image.copy_within(TABLE_AT + 4..TABLE_AT + 8, TABLE_AT));
    assert!(problem.contains("overlaps"), "{problem}");
}

#[test]
fn blocks_that_overlap_in_part_are_refused() {
    let problem = problem_after(|image| image[TABLE_AT + 7] += 1);
    assert!(problem.contains("overlaps"), "{problem}");
}

#[test]
fn a_block_over_the_headers_is_refused() {
    let problem = problem_after(|image| put(image, TABLE_AT, &0u32.to_be_bytes()));
    assert!(problem.contains("block at offset 0") && problem.contains("overlaps"), "{problem}");
}

#[test]
fn a_block_past_the_end_of_the_file_is_refused() {
    let problem = problem_after(|image| put(image, TABLE_AT, &0xffff_fffeu32.to_be_bytes()));
    assert!(problem.contains("ends past the file"), "{problem}");
}

#[test]
fn a_damaged_dynamic_header_is_refused() {
    let problem = problem_after(|image| image[HEADER_AT + 100] = 1);
    assert!(problem.contains("checksum") && problem.contains("at offset 512"), "{problem}");
}

#[test]
fn a_dynamic_header_outside_the_file_is_refused() {
    let problem = problem_after(|image| put_in_footers(image, 16, &(u64::MAX - 100).to_be_bytes()));
    assert!(problem.contains("is not inside the file"), "{problem}");
}

#[test]
fn a_table_outside_the_file_is_refused() {
    let problem = problem_after(|image| put_in_header(image, 16, &(u64::MAX - 3).to_be_bytes()));
    assert!(problem.contains("block table") && problem.contains("not inside the file"), "{problem}");
}

#[test]
fn a_table_too_small_for_the_disk_is_refused() {
    let problem = problem_after(|image| put_in_header(image, 28, &3u32.to_be_bytes()));
    assert!(problem.contains("needs 4 blocks"), "{problem}");
}

#[test]
fn block_sizes_that_nobody_writes_are_refused() {
    for (block_bytes, expected) in [
        (0u32, "not a power of two"),
        (BLOCK as u32 + 512, "not a power of two"),
        (512, "blocks of 512 bytes"),
        (1 << 31, "blocks of 2147483648 bytes"),
    ] {
        let problem = problem_after(|image| put_in_header(image, 32, &block_bytes.to_be_bytes()));
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_dynamic_disk_larger_than_the_format_allows_is_refused() {
    let problem = problem_after(|image| put_in_footers(image, 48, &(2041u64 << 30).to_be_bytes()));
    assert!(problem.contains("at most"), "{problem}");
}

#[test]
fn a_disk_of_no_bytes_is_empty() {
    let mut image = dynamic(4, &[]);
    put_in_footers(&mut image, 48, &0u64.to_be_bytes());
    assert!(matches!(open_bytes(image), Err(SourceError::Empty { .. })));
}

#[test]
fn a_file_shorter_than_a_footer_is_no_vhd() {
    assert!(matches!(open_bytes(vec![1; 511]), Err(SourceError::Damaged { .. })));
    assert_eq!(image::open_bytes(Format::Detect, vec![1; 511]).unwrap().size_bytes(), 511, "a raw disk");
}

/// The head of an image, then zeros for as long as it claims to be.
struct ClaimsToBeHuge(Vec<u8>);

impl DiskSource for ClaimsToBeHuge {
    fn size_bytes(&self) -> u64 {
        1 << 62
    }

    fn extents(&self, _: Range<u64>, _: usize) -> Result<Vec<SourceExtent>, SourceError> {
        unreachable!("a dynamic disk's extents come from its table")
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        buf.fill(0);
        let from = offset.min(self.0.len() as u64) as usize;
        let len = buf.len().min(self.0.len() - from);
        buf[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(())
    }
}

#[test]
fn opening_the_largest_disk_in_an_endless_file_takes_no_more_than_its_table() {
    let mut image = dynamic(4, &[]);
    put_in_footers(&mut image, 48, &(2040u64 << 30).to_be_bytes());
    put_in_header(&mut image, 28, &u32::MAX.to_be_bytes());
    let file = Arc::new(Recording::new(ClaimsToBeHuge(image)));

    let refusal = refusal(open_recorded(&file));

    assert!(refusal.to_string().contains("overlaps"), "{refusal}");
    let read: u64 = file.take_reads().into_iter().map(|read| read.end - read.start).sum();
    assert!(read <= 17 * MIB, "{read} bytes");
}

/// One change of up to eight bytes in a structure of the image.
#[derive(Clone, Debug)]
struct Mutation {
    at: usize,
    bytes: Vec<u8>,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        any::<u32>().prop_map(|number| number.to_be_bytes().to_vec()),
        (0u32..5000).prop_map(|number| number.to_be_bytes().to_vec()),
        (0u32..64).prop_map(|shift| (1u64 << shift).to_be_bytes().to_vec()),
    ];
    let field = prop_oneof![
        0..100usize,
        Just(16),
        Just(28),
        Just(48),
        Just(56),
        Just(60),
        (512..600usize),
        Just(512 + 16),
        Just(512 + 28),
        Just(512 + 32),
        (0..8usize).prop_map(|entry| TABLE_AT + entry * 4),
        TABLE_AT..TABLE_AT + 60,
    ];
    prop::collection::vec((field, bytes).prop_map(|(at, bytes)| Mutation { at, bytes }), 1..6)
}

/// The image after `mutations`, the checksums made right, so that the change is seen behind them.
fn mutated(mut image: Vec<u8>, mutations: &[Mutation], cut: usize) -> Vec<u8> {
    for mutation in mutations {
        put(&mut image, mutation.at, &mutation.bytes);
    }
    sum(&mut image[..512], 64);
    sum(&mut image[HEADER_AT..TABLE_AT], 36);
    let last = image.len() - 512;
    image.copy_within(..512, last);
    image.truncate(image.len() - cut);
    image
}

proptest! {
    #[test]
    fn hostile_images_are_refused_or_read_consistently(
        mutations in mutations(),
        cut in prop_oneof![9 => Just(0usize), 1 => 0..2000usize],
    ) {
        match open_bytes(mutated(dynamic(6, &[1, 2, 4]), &mutations, cut)) {
            Err(
                SourceError::Damaged { .. }
                | SourceError::Unsupported { .. }
                | SourceError::Empty { .. }
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

    #[test]
    fn a_dynamic_disk_reads_as_its_blocks_say(
        allocated in prop::collection::btree_set(0u32..12, 0..8),
        start in 0..12 * BLOCK,
        len in 1..3 * BLOCK,
    ) {
        let order: Vec<u32> = allocated.iter().rev().copied().collect();
        let source = open_bytes(dynamic(12, &order)).unwrap();
        let end = (start + len).min(12 * BLOCK);
        let mut read = vec![0xa5; (end - start) as usize];

        source.read_at(start, &mut read).unwrap();

        let expected = |at: u64| {
            let block = (at / BLOCK) as u32;
            if allocated.contains(&block) { block as u8 + 1 } else { 0 }
        };
        prop_assert!(read.iter().zip(start..).all(|(byte, at)| *byte == expected(at)));
        for found in extents(&*source, start..end, 2) {
            prop_assert_eq!(found.reads_as_zero, expected(found.extent.offset()) == 0);
            prop_assert_eq!(found.allocated, !found.reads_as_zero);
        }
    }
}
