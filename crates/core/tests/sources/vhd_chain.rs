//! Differencing VHDs: chains, and parents that are not what they should be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, Gate, OpenOptions, SourceError};
use libmigrate_test_support::chain_reader::ChainReader;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, extents};
use crate::image::refusal;
use crate::vhd_chain_image::Difference;
use crate::vhd_image::{BLOCK, dynamic, put_in_footers};

const BASE_ID: u8 = 0x11;

/// A difference to `base.vhd` of four blocks, with three runs of sectors, one of them over a block's edge.
fn difference() -> Difference {
    let sectors = [5, 6, 7, 1022, 1023, 1024, 1025, 3000].map(|sector| (sector, 0xa0 + (sector % 8) as u8));
    Difference {
        id: 0x22,
        parent_id: BASE_ID,
        relative: r".\base.vhd".into(),
        absolute: r"D:\disks\base.vhd".into(),
        blocks: 4,
        sectors: BTreeMap::from(sectors),
    }
}

/// `base.vhd` and `web01.avhd` over it; the path of the latter.
fn chain_in(folder: &Path, child: &Difference) -> PathBuf {
    fs::write(folder.join("base.vhd"), dynamic(4, &[0, 1])).unwrap();
    write(folder, "web01.avhd", child)
}

fn write(folder: &Path, name: &str, image: &Difference) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, image.image()).unwrap();
    path
}

fn base_bytes() -> Vec<u8> {
    [1, 2, 0, 0].into_iter().flat_map(|byte| vec![byte; BLOCK as usize]).collect()
}

#[test]
fn a_child_shows_its_sectors_and_its_parents_bytes_between() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());
    let before = (fs::read(&path).unwrap(), fs::read(folder.path().join("base.vhd")).unwrap());

    let disk = assert_keeps_contract(&*source::open(&path, Format::Detect).unwrap());

    assert!(disk == difference().over(base_bytes()));
    let after = (fs::read(&path).unwrap(), fs::read(folder.path().join("base.vhd")).unwrap());
    assert!(before == after, "no file of the chain was touched");
}

/// In whole groups of eight sectors: where a byte of the bitmap ends in clear bits, libvhdi 20260901 takes
/// them for set, and shows bytes that the specification says are the parent's.
#[test]
fn a_chain_reads_as_libvhdi_reads_it() {
    let folder = TempDir::new().unwrap();
    let groups = (8..16).chain(1016..1032).chain(3000..3008).map(|sector| (sector, sector as u8 | 1));
    let path = chain_in(folder.path(), &Difference { sectors: groups.collect(), ..difference() });
    let Some(expected) = ChainReader::Libvhdi.bytes_of(&[&path, &folder.path().join("base.vhd")]) else { return };

    let disk = assert_keeps_contract(&*source::open(&path, Format::Detect).unwrap());

    assert!(disk == expected);
}

#[test]
fn extents_are_joined_along_the_chain() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());

    let source = source::open(&path, Format::Vhd).unwrap();

    let found: Vec<_> =
        extents(&*source, 0..4 * BLOCK, 99).into_iter().map(|e| (e.extent.range(), e.allocated)).collect();
    let own = 3000 * 512..3001 * 512;
    assert_eq!(
        found,
        [(0..2 * BLOCK, true), (2 * BLOCK..own.start, false), (own.clone(), true), (own.end..4 * BLOCK, false)]
    );
}

#[test]
fn the_whole_chain_is_known_by_the_disk_it_began_with() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());

    let base = source::open(folder.path().join("base.vhd"), Format::Vhd).unwrap();
    let child = source::open(&path, Format::Vhd).unwrap();

    assert_eq!(child.identity(), base.identity());
    assert_ne!(child.point(), base.point());
    assert!(child.point().is_some());
}

#[test]
fn a_write_to_any_file_of_the_chain_is_another_point() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());
    let before = source::open(&path, Format::Vhd).unwrap().point();
    fs::write(folder.path().join("base.vhd"), dynamic(4, &[0, 1])).unwrap();

    assert_ne!(source::open(&path, Format::Vhd).unwrap().point(), before);
}

#[test]
fn a_child_that_was_grown_has_zeros_past_its_parent() {
    let folder = TempDir::new().unwrap();
    let grown = Difference { blocks: 6, ..difference() };
    let path = chain_in(folder.path(), &grown);

    let disk = assert_keeps_contract(&*source::open(&path, Format::Vhd).unwrap());

    assert!(disk == grown.over(base_bytes()));
}

#[test]
fn a_child_without_its_parent_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());
    fs::remove_file(folder.path().join("base.vhd")).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(error, SourceError::ParentMissing { .. }), "{error:?}");
    assert!(error.to_string().contains("base.vhd"), "{error}");
}

#[test]
fn another_disk_in_the_parents_place_is_refused_with_both_ids() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());
    let mut other = dynamic(4, &[0, 1]);
    put_in_footers(&mut other, 68, &[0x33; 16]);
    fs::write(folder.path().join("base.vhd"), other).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(error, SourceError::ParentMismatch { .. }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("11111111-1111") && words.contains("33333333-3333"), "{words}");
}

#[test]
fn the_wrong_disk_under_the_first_name_does_not_hide_the_right_one_under_the_next() {
    let folder = TempDir::new().unwrap();
    let named_twice = Difference { relative: r".\old.vhd".into(), ..difference() };
    let path = chain_in(folder.path(), &named_twice);
    let mut other = dynamic(4, &[0, 1]);
    put_in_footers(&mut other, 68, &[0x33; 16]);
    fs::write(folder.path().join("old.vhd"), other).unwrap();

    assert!(source::open(&path, Format::Detect).is_ok());
}

#[test]
fn a_parent_named_by_a_drive_is_found_beside_the_image() {
    let folder = TempDir::new().unwrap();
    let moved = Difference { relative: String::new(), ..difference() };
    let path = chain_in(folder.path(), &moved);

    assert!(source::open(&path, Format::Detect).is_ok());
}

/// A parent in `elsewhere/`, the child in `vm/` beside it.
fn chain_over_two_folders(folder: &TempDir) -> (PathBuf, PathBuf) {
    let [elsewhere, vm] = ["elsewhere", "vm"].map(|name| folder.path().join(name));
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir(&vm).unwrap();
    fs::write(elsewhere.join("base.vhd"), dynamic(4, &[0, 1])).unwrap();
    let path = write(&vm, "web01.avhd", &Difference { relative: r"..\elsewhere\base.vhd".into(), ..difference() });
    (path, elsewhere)
}

#[test]
fn a_parent_outside_the_folder_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let (path, _) = chain_over_two_folders(&folder);

    let error = refusal(source::open(&path, Format::Vhd));

    assert!(matches!(&error, SourceError::NotAllowed { named, .. } if named == "../elsewhere/base.vhd"), "{error:?}");
}

#[test]
fn a_parent_outside_the_folder_is_opened_once_it_is_allowed() {
    let folder = TempDir::new().unwrap();
    let (path, elsewhere) = chain_over_two_folders(&folder);

    let opened = OpenOptions::new().gate(Gate::same_folder().allow(elsewhere)).open(&path);

    assert!(assert_keeps_contract(&*opened.unwrap()) == difference().over(base_bytes()));
}

#[test]
fn a_raw_guest_that_claims_to_be_a_child_gets_no_file_opened() {
    let folder = TempDir::new().unwrap();
    let avhd = chain_in(folder.path(), &difference());
    let path = folder.path().join("web02.raw");
    fs::rename(avhd, &path).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(error, SourceError::NotAllowed { .. }), "{error:?}");
    assert!(source::open(&path, Format::Vhd).is_ok(), "the caller may name the format");
    let raw = source::open(&path, Format::Raw).unwrap();
    assert_eq!(raw.size_bytes(), fs::metadata(&path).unwrap().len());
}

#[test]
fn an_image_that_is_its_own_parent_is_a_loop() {
    let folder = TempDir::new().unwrap();
    let own = Difference { parent_id: 0x22, relative: "web01.avhd".into(), ..difference() };
    let path = write(folder.path(), "web01.avhd", &own);

    let error = refusal(source::open(&path, Format::Vhd));

    assert!(matches!(error, SourceError::Chain { .. }), "{error:?}");
}

/// `length` differences over `base.vhd`, named by number; the path of the last.
fn long_chain(folder: &Path, length: usize) -> PathBuf {
    let mut path = chain_in(folder, &Difference { blocks: 1, sectors: BTreeMap::new(), ..difference() });
    for number in 1..length {
        let relative = path.file_name().unwrap().to_str().unwrap().to_owned();
        let image = Difference {
            id: 0x22,
            parent_id: 0x22,
            relative,
            blocks: 1,
            sectors: BTreeMap::from([(number as u64, number as u8)]),
            ..difference()
        };
        path = write(folder, &format!("{number}.avhd"), &image);
    }
    path
}

#[test]
fn a_chain_of_sixty_four_parents_is_read_and_a_longer_one_is_refused() {
    let folder = TempDir::new().unwrap();
    let longest = long_chain(folder.path(), 64);
    let source = source::open(&longest, Format::Vhd).unwrap();
    let mut sector = [0; 512];
    source.read_at(512, &mut sector).unwrap();
    assert_eq!(sector, [1; 512], "from the first difference");

    let error = refusal(source::open(long_chain(folder.path(), 65), Format::Vhd));

    assert!(matches!(error, SourceError::Chain { .. }), "{error:?}");
}

#[test]
fn a_footer_that_only_its_copy_stands_in_for_is_noted() {
    let folder = TempDir::new().unwrap();
    let path = chain_in(folder.path(), &difference());
    let mut image = fs::read(&path).unwrap();
    let last = image.len() - 300;
    image[last] ^= 1;
    fs::write(&path, image).unwrap();

    let notes = source::open(&path, Format::Vhd).unwrap().notes();

    assert!(notes.len() == 1 && notes[0].contains("web01.avhd") && notes[0].contains("copy at offset 0"), "{notes:?}");
}

#[test]
fn a_path_of_impossible_length_is_refused_before_it_is_read() {
    let mut image = difference().image();
    image[512 + 576 + 8..512 + 576 + 12].copy_from_slice(&u32::MAX.to_be_bytes());
    crate::vhd_image::sum(&mut image[512..1536], 36);

    let error = refusal(crate::image::open_bytes(Format::Vhd, image));

    assert!(matches!(&error, SourceError::Damaged { structure: "parent locator", .. }), "{error:?}");
}

fn history() -> impl Strategy<Value = Vec<BTreeMap<u64, u8>>> {
    let sectors = prop::collection::btree_map(0..3 * BLOCK / 512, 1..u8::MAX, 0..40);
    prop::collection::vec(sectors, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_chain_reads_as_its_history_says(history in history()) {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("0.vhd"), dynamic(3, &[1])).unwrap();
        let mut expected: Vec<u8> = [0, 2, 0].into_iter().flat_map(|byte| vec![byte; BLOCK as usize]).collect();
        let mut path = folder.path().join("0.vhd");
        for (number, sectors) in history.into_iter().enumerate() {
            let id = if number == 0 { BASE_ID } else { number as u8 };
            let relative = path.file_name().unwrap().to_str().unwrap().to_owned();
            let image =
                Difference { id: number as u8 + 1, parent_id: id, relative, blocks: 3, sectors, ..difference() };
            expected = image.over(expected);
            path = write(folder.path(), &format!("{}.avhd", number + 1), &image);
        }

        let source: Arc<dyn DiskSource> = source::open(&path, Format::Detect).unwrap();

        prop_assert!(assert_keeps_contract(&*source) == expected);
    }
}
