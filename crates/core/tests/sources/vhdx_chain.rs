//! Differencing VHDXs: a child over its parents, and what is not its parent.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, Gate, ImageFile, OpenOptions, SourceError};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use crate::contract::{assert_keeps_contract, extents, holes};
use crate::image::refusal;
use crate::recording::Recording;
use crate::vhdx_image::{
    Block, DATA_ID, ITEMS_AT, LOCATOR, NOT_PRESENT, PARAMETERS, UNDEFINED, UNMAPPED, Vhdx, ZERO, put, put_in_headers,
};

const MIB: u64 = 1 << 20;

/// Opens the first of `images`, which may have the others by their names.
fn open_chain(images: &[(&str, Vec<u8>)]) -> Result<Arc<dyn DiskSource>, SourceError> {
    let file = |(name, image): &(&str, Vec<u8>)| ImageFile::new(Arc::new(image.clone()), *name);
    let supply = |gate: Gate, image: &(&str, Vec<u8>)| gate.supply(image.0, file(image));
    let gate = images[1..].iter().fold(Gate::closed(), supply);
    OpenOptions::new().format(Format::Vhdx).gate(gate).open_image(&file(&images[0]))
}

/// A disk of four blocks, the first three full of 1, 2 and 3.
fn base() -> Vhdx {
    Vhdx::new(4 * MIB).full(0, 1).full(1, 2).full(2, 3)
}

/// A child of [`base`], the file `base.vhdx`, that has written to part of the second block.
fn child() -> Vhdx {
    let mut child = base().child("base.vhdx");
    child.write(MIB + 512, &[9; 1024]);
    child
}

fn open_child(child: &Vhdx) -> Result<Arc<dyn DiskSource>, SourceError> {
    open_chain(&[("child.avhdx", child.build()), ("base.vhdx", base().build())])
}

fn in_blocks(bytes: [u8; 4]) -> Vec<u8> {
    bytes.into_iter().flat_map(|byte| vec![byte; MIB as usize]).collect()
}

// What a child reads as.

#[test]
fn a_child_has_its_own_sectors_and_its_parents() {
    let disk = assert_keeps_contract(&*open_child(&child()).unwrap());

    let mut expected = in_blocks([1, 2, 3, 0]);
    expected[MIB as usize + 512..][..1024].fill(9);
    assert!(disk == expected);
}

#[test]
fn a_childs_block_states_hide_the_parent_or_do_not() {
    let mut child = base().child("base.vhdx");
    for (number, state) in [(0, NOT_PRESENT), (1, ZERO), (2, UNMAPPED)] {
        child = child.with(number, Block::State(state));
    }
    assert!(assert_keeps_contract(&*open_child(&child).unwrap()) == in_blocks([1, 0, 0, 0]));

    let child = base().child("base.vhdx").with(0, Block::State(UNDEFINED)).full(1, 8);
    let source = open_child(&child).unwrap();
    assert!(assert_keeps_contract(&*source) == in_blocks([0, 8, 3, 0]));
    assert_eq!(holes(&*source), [0..MIB, 3 * MIB..4 * MIB]);
}

#[test]
fn a_child_in_sectors_of_4096_bytes_has_a_bit_for_each() {
    let mut base = base();
    base.sector = 4096;
    let mut child = base.child("base.vhdx");
    child.write(2 * MIB + 8192, &[7; 4096]);

    let source = open_chain(&[("child.avhdx", child.build()), ("base.vhdx", base.build())]).unwrap();

    let mut expected = in_blocks([1, 2, 3, 0]);
    expected[2 * MIB as usize + 8192..][..4096].fill(7);
    assert!(assert_keeps_contract(&*source) == expected);
}

#[test]
fn a_sector_far_into_a_bitmap_is_found() {
    let base = Vhdx::new(1 << 30);
    let mut child = base.child("base.vhdx");
    child.write(300 * MIB + 512, &[6; 512]);

    let source = open_chain(&[("child.avhdx", child.build()), ("base.vhdx", base.build())]).unwrap();

    assert_eq!(holes(&*source), [0..300 * MIB + 512, 300 * MIB + 1024..1 << 30]);
}

#[test]
fn a_child_in_the_second_chunk_has_a_bitmap_of_its_own() {
    let mut base = Vhdx::new(5 << 30);
    let mut child = base.child("base.vhdx");
    base = base.full(4097, 5);
    child.write(4097 * MIB + 1024, &[6; 512]);
    child.write(3 * MIB, &[4; 512]);

    let source = open_chain(&[("child.avhdx", child.build()), ("base.vhdx", base.build())]).unwrap();

    let mut read = vec![0; MIB as usize];
    source.read_at(4097 * MIB, &mut read).unwrap();
    let mut expected = vec![5; MIB as usize];
    expected[1024..1536].fill(6);
    assert!(read == expected);
    assert_eq!(holes(&*source), [0..3 * MIB, 3 * MIB + 512..4097 * MIB, 4098 * MIB..5 << 30]);
}

#[test]
fn a_child_larger_than_its_parent_ends_in_zeros() {
    let mut child = child();
    child.size = 6 * MIB;

    let source = open_child(&child).unwrap();

    let mut expected = in_blocks([1, 2, 3, 0]);
    expected[MIB as usize + 512..][..1024].fill(9);
    expected.resize(6 * MIB as usize, 0);
    assert!(assert_keeps_contract(&*source) == expected);
}

#[test]
fn a_child_smaller_than_its_parent_ends_where_it_says() {
    let mut child = base().child("base.vhdx");
    child.size = 2 * MIB;

    assert!(assert_keeps_contract(&*open_child(&child).unwrap()) == in_blocks([1, 2, 3, 0])[..2 * MIB as usize]);
}

#[test]
fn a_chain_is_one_disk_at_the_moments_of_all_its_files() {
    let folder = TempDir::new().unwrap();
    let point_of = || {
        let source = source::open(folder.path().join("child.avhdx"), Format::Detect).unwrap();
        assert_eq!(source.identity().unwrap(), "vhdx:11112222-3333-4444-5555-666677778888");
        source.point().unwrap()
    };
    fs::write(folder.path().join("base.vhdx"), base().build()).unwrap();
    fs::write(folder.path().join("child.avhdx"), child().build()).unwrap();
    let before = point_of();
    assert_eq!(before, point_of());

    fs::write(folder.path().join("base.vhdx"), base().full(3, 4).build()).unwrap();

    assert_ne!(before, point_of());
}

#[test]
fn sector_bitmaps_are_read_once() {
    let file = Arc::new(Recording::new(child().build()));
    let image = ImageFile::new(Arc::clone(&file) as Arc<dyn DiskSource>, "child.avhdx");
    let gate = Gate::closed().supply("base.vhdx", ImageFile::new(Arc::new(base().build()), "base.vhdx"));
    let source = OpenOptions::new().format(Format::Vhdx).gate(gate).open_image(&image).unwrap();
    file.take_reads();

    extents(&*source, 0..4 * MIB, 1);
    extents(&*source, 0..4 * MIB, 1);

    let reads = file.take_reads();
    assert_eq!(reads.len(), 1, "{reads:?}");
}

#[test]
fn the_files_of_a_chain_stay_as_they_were() {
    let folder = TempDir::new().unwrap();
    let paths = ["base.vhdx", "child.avhdx"].map(|name| folder.path().join(name));
    fs::write(&paths[0], base().build()).unwrap();
    fs::write(&paths[1], child().build()).unwrap();
    let state = |path: &Path| (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
    let before = paths.each_ref().map(|path| state(path));

    assert_keeps_contract(&*source::open(&paths[1], Format::Vhdx).unwrap());

    assert!(before == paths.each_ref().map(|path| state(path)));
}

// Which file is the parent.

#[test]
fn the_second_linkage_is_as_good_as_the_first() {
    let mut child = child();
    let locator = child.parent.as_mut().unwrap();
    locator[0].1 = format!("{{{}}}", Uuid::from_u128(4));
    locator.push(("parent_linkage2", format!("{{{DATA_ID}}}").to_uppercase()));

    assert!(open_child(&child).is_ok());
}

#[test]
fn a_parent_whose_data_has_changed_since_is_refused() {
    let mut parent = base().build();
    put_in_headers(&mut parent, 32, &Uuid::from_u128(77).to_bytes_le());

    let error = refusal(open_chain(&[("child.avhdx", child().build()), ("base.vhdx", parent)]));

    let (found, wanted) = (Uuid::from_u128(77).to_string(), DATA_ID.to_string());
    assert!(
        matches!(&error, SourceError::ParentMismatch { wanted: w, found: f, .. } if w.contains(&wanted) && f.contains(&found)),
        "{error}"
    );
}

#[test]
fn a_child_alone_is_never_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("child.avhdx");
    fs::write(&path, child().build()).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(&error, SourceError::ParentMissing { problem, .. } if problem.contains("base.vhdx")), "{error}");
}

#[test]
fn a_parent_outside_the_folder_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut child = child();
    child.parent.as_mut().unwrap()[1].1 = r"..\base.vhdx".into();
    fs::write(folder.path().join("base.vhdx"), base().build()).unwrap();
    fs::write(inner.join("child.avhdx"), child.build()).unwrap();

    let error = refusal(source::open(inner.join("child.avhdx"), Format::Vhdx));

    assert!(matches!(&error, SourceError::NotAllowed { named, .. } if named == "../base.vhdx"), "{error}");
    let gate = Gate::same_folder().allow(folder.path());
    assert!(OpenOptions::new().gate(gate).open(inner.join("child.avhdx")).is_ok());
}

#[test]
fn a_vhdx_known_by_its_content_alone_brings_no_parent() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("base.vhdx"), base().build()).unwrap();
    fs::write(folder.path().join("disk.img"), child().build()).unwrap();

    let error = refusal(source::open(folder.path().join("disk.img"), Format::Detect));

    assert!(matches!(error, SourceError::NotAllowed { .. }), "{error}");
    assert!(source::open(folder.path().join("disk.img"), Format::Vhdx).is_ok());
}

#[test]
fn a_loop_of_parents_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut one = base().child("two.avhdx");
    one.data_id = DATA_ID;
    let mut two = base().child("one.avhdx");
    two.data_id = DATA_ID;
    fs::write(folder.path().join("one.avhdx"), one.build()).unwrap();
    fs::write(folder.path().join("two.avhdx"), two.build()).unwrap();

    let error = refusal(source::open(folder.path().join("one.avhdx"), Format::Vhdx));

    assert!(matches!(error, SourceError::Chain { .. }), "{error}");
}

#[test]
fn a_parent_that_is_no_vhdx_is_refused() {
    let error = refusal(open_chain(&[("child.avhdx", child().build()), ("base.vhdx", vec![1; 4096])]));
    assert!(matches!(error, SourceError::Damaged { structure: "file identifier", .. }), "{error}");
}

#[test]
fn locators_that_cannot_be_are_refused() {
    type Change = fn(&mut [u8]);
    let cases: [(Change, &str); 6] = [
        (|image| image[ITEMS_AT + LOCATOR] ^= 1, "a parent locator of type"),
        (|image| put(image, ITEMS_AT + LOCATOR + 18, &999u16.to_le_bytes()), "999 entries"),
        (|image| put(image, ITEMS_AT + LOCATOR + 18, &0u16.to_le_bytes()), "no parent_linkage"),
        (|image| put(image, ITEMS_AT + LOCATOR + 20, &u32::MAX.to_le_bytes()), "not inside"),
        (|image| put(image, ITEMS_AT + LOCATOR + 30, &20u16.to_le_bytes()), "is not a GUID"),
        (|image| put(image, ITEMS_AT - (64 << 10) + 10, &5u16.to_le_bytes()), "does not state the parent locator"),
    ];
    for (change, expected) in cases {
        let mut image = child().build();
        change(&mut image);
        let error = refusal(open_chain(&[("child.avhdx", image), ("base.vhdx", base().build())])).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_block_that_is_there_in_part_without_a_bitmap_is_refused() {
    let child = child();
    let mut image = child.build();
    put(&mut image, child.bitmap_entry_at(1), &[0; 8]);

    let error = refusal(open_chain(&[("child.avhdx", image), ("base.vhdx", base().build())])).to_string();

    assert!(error.contains("no sector bitmap"), "{error}");
}

#[test]
fn a_bitmap_over_a_block_is_refused() {
    let child = child();
    let mut image = child.build();
    image.copy_within(child.entry_at(1)..child.entry_at(1) + 8, child.bitmap_entry_at(1));
    image[child.bitmap_entry_at(1)] = 6;

    let error = refusal(open_chain(&[("child.avhdx", image), ("base.vhdx", base().build())])).to_string();

    assert!(error.contains("overlaps"), "{error}");
}

#[test]
fn a_disk_that_forgets_its_parent_cannot_have_parts_of_blocks() {
    let mut image = child().build();
    put(&mut image, ITEMS_AT + PARAMETERS + 4, &0u32.to_le_bytes());

    let error = refusal(open_chain(&[("child.vhdx", image)])).to_string();

    assert!(error.contains("block state 7"), "{error}");
}

// Any history.

/// What happens to a virtual machine's disk.
#[derive(Clone, Debug)]
enum Event {
    /// Sectors from this one on, of 4 KiB each, are written with this byte.
    Write(u64, u64, u8),
    Discard(u64),
    Checkpoint,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0u64..4 * 256, 1u64..300, 1u8..).prop_map(|(at, len, byte)| Event::Write(at, len, byte)),
        1 => (0u64..4).prop_map(Event::Discard),
        2 => Just(Event::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_history_of_checkpoints_reads_as_the_disk_that_the_guest_sees(
        history in prop::collection::vec(event(), 1..24),
        sector in prop::sample::select(vec![512u64, 4096]),
    ) {
        const NAMES: [&str; 24] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u",
            "v", "w", "x",
        ];
        let mut base = Vhdx::new(4 * MIB);
        base.sector = sector;
        let mut chain = vec![base];
        let mut guest = vec![0; 4 * MIB as usize];
        for event in history {
            let depth = chain.len() - 1;
            match event {
                Event::Write(at, len, byte) => {
                    // Within one block, as the generator writes.
                    let len = len.min(256 - at % 256);
                    let bytes = vec![byte; len as usize * 4096];
                    put(&mut guest, at as usize * 4096, &bytes);
                    chain[depth].write(at * 4096, &bytes);
                }
                Event::Discard(number) => {
                    guest[(number * MIB) as usize..((number + 1) * MIB) as usize].fill(0);
                    chain[depth].discard(number);
                }
                Event::Checkpoint if depth < 6 => chain.push(chain[depth].child(NAMES[depth])),
                Event::Checkpoint => {}
            }
        }
        let images: Vec<(&str, Vec<u8>)> =
            chain.iter().zip(NAMES).map(|(image, name)| (name, image.build())).rev().collect();

        let source = open_chain(&images).unwrap();

        prop_assert!(assert_keeps_contract(&*source) == guest);
    }
}
