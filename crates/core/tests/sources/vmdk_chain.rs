//! VMDKs of several files: which of them are opened, and snapshots over their parents.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, Gate, OpenOptions, SourceError};
use libmigrate_test_support::qemu::{bytes_of, qemu_img, qemu_io};
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, holes};
use crate::image::{open_among, refusal};
use crate::vmdk::holes_by_qemu;
use crate::vmdk_image::{GRAIN, child_descriptor, descriptor, se_allocated, se_sparse, sparse, sparse_extent};

fn open_text(text: &str, others: &[(&str, Vec<u8>)]) -> Result<Arc<dyn DiskSource>, SourceError> {
    open_among(Format::Vmdk, text.as_bytes().to_vec(), others)
}

fn child(grains: &[u64], cid: &str, hint: &str) -> Vec<u8> {
    sparse_extent(4 * GRAIN, grains, Some(&child_descriptor("RW 64 SPARSE \"child.vmdk\"", cid, hint)))
}

fn open_child(child: Vec<u8>, others: &[(&str, Vec<u8>)]) -> Result<Arc<dyn DiskSource>, SourceError> {
    open_among(Format::Vmdk, child, others)
}

// Extents.

/// The error of opening a descriptor with this extent in a folder, by the format's name.
fn refusal_in_folder(extent: &str) -> SourceError {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("vm");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("secret"), vec![1; 4096]).unwrap();
    let image = inner.join("disk.vmdk");
    fs::write(&image, descriptor("monolithicFlat", extent, "")).unwrap();
    refusal(source::open(&image, Format::Vmdk))
}

#[test]
fn an_extent_outside_the_folder_is_not_opened() {
    for extent in [
        "RW 1 FLAT \"/etc/passwd\" 0",
        "RW 1 FLAT \"../secret\" 0",
        "RW 1 SPARSE \"../secret\"",
        "RW 1 FLAT \"../gone\" 0",
        "RW 1 VMFS \"x/../../secret\"",
    ] {
        let error = refusal_in_folder(extent);
        assert!(matches!(error, SourceError::NotAllowed { .. }), "{extent}: {error:?}");
    }
}

#[test]
fn a_disk_that_only_looks_like_a_descriptor_gets_no_further_file() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.img");
    fs::write(&image, descriptor("monolithicFlat", "RW 1 FLAT \"neighbour\" 0", "")).unwrap();
    fs::write(folder.path().join("neighbour"), vec![1; 4096]).unwrap();

    let error = refusal(source::open(&image, Format::Detect));

    assert!(matches!(error, SourceError::NotAllowed { .. }), "{error:?}");
}

#[test]
fn an_extent_that_is_not_there_is_named() {
    let error = refusal_in_folder("RW 1 FLAT \"disk-flat.vmdk\" 0");

    assert!(matches!(&error, SourceError::Open { path, .. } if path.ends_with("disk-flat.vmdk")), "{error:?}");
}

#[test]
fn an_extent_shorter_than_stated_is_refused() {
    let flat = |line: &str| {
        let text = descriptor("monolithicFlat", line, "");
        refusal(open_text(&text, &[("disk-flat.vmdk", vec![0; 4096])])).to_string()
    };

    for line in [
        "RW 9 FLAT \"disk-flat.vmdk\" 0",
        "RW 8 FLAT \"disk-flat.vmdk\" 1",
        "RW 1 FLAT \"disk-flat.vmdk\" 36028797018963967",
    ] {
        let problem = flat(line);
        assert!(problem.contains("the file was cut"), "{problem}");
    }
}

#[test]
fn a_sparse_extent_of_another_size_than_stated_is_refused() {
    for sectors in [63, 65, 48] {
        let text = descriptor("twoGbMaxExtentSparse", &format!("RW {sectors} SPARSE \"s001\""), "");
        let opened = open_text(&text, &[("s001", sparse_extent(4 * GRAIN, &[], None))]);
        // The header may count whole grains, of 16 sectors.
        assert_eq!(opened.is_ok(), sectors == 63, "{sectors}");
    }
}

#[test]
fn a_sparse_extent_that_is_named_twice_is_refused() {
    let text = descriptor("twoGbMaxExtentSparse", "RW 64 SPARSE \"s001\"\nRW 64 SPARSE \"s001\"", "");

    let error = refusal(open_text(&text, &[("s001", sparse_extent(4 * GRAIN, &[], None))]));

    assert!(matches!(error, SourceError::Chain { .. }), "{error:?}");
}

#[test]
fn a_disk_larger_than_any_is_refused() {
    let text = descriptor("custom", &"RW 120259084288 ZERO\n".repeat(2), "");

    let error = refusal(open_text(&text, &[]));

    assert!(matches!(error, SourceError::Unsupported { .. }), "{error:?}");
}

#[test]
fn a_descriptor_without_extents_is_an_empty_disk() {
    let error = refusal(open_text(&descriptor("vmfs", "", ""), &[]));

    assert!(matches!(error, SourceError::Empty { .. }), "{error:?}");
}

#[test]
fn more_files_than_a_chain_may_have_are_refused() {
    let names: Vec<String> = (0..300).map(|n| format!("f{n}")).collect();
    let lines: Vec<String> = names.iter().map(|name| format!("RW 1 FLAT \"{name}\" 0")).collect();
    let others: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), vec![0; 512])).collect();

    let error = refusal(open_text(&descriptor("custom", &lines.join("\n"), ""), &others));

    assert!(matches!(error, SourceError::Chain { .. }), "{error:?}");
}

// Parents.

#[test]
fn a_child_reads_its_grains_over_its_parents() {
    let source =
        open_child(child(&[2], "12345678", "base.vmdk"), &[("base.vmdk", sparse(4 * GRAIN, &[1, 2]))]).unwrap();

    let expected: Vec<u8> = [0, 2, 3, 0].into_iter().flat_map(|byte| vec![byte; GRAIN as usize]).collect();
    assert!(assert_keeps_contract(&*source) == expected);
}

#[test]
fn zeros_and_unmapped_grains_of_a_snapshot_hide_the_parents_bytes() {
    let text = child_descriptor("RW 64 SESPARSE \"delta\"", "12345678", "base.vmdk");
    let entries = [0, 0, 0x1000_0000_0000_0000, 0x2000_0000_0000_0000, se_allocated(0)];
    let others = [("delta", se_sparse(64, &entries, 1)), ("base.vmdk", sparse(4 * GRAIN, &[0, 1, 2]))];

    let source = open_text(&text, &others).unwrap();

    let expected: Vec<u8> = [1, 1, 0, 0, 1, 3, 0, 0].into_iter().flat_map(|byte| [byte; 4096]).collect();
    assert!(assert_keeps_contract(&*source) == expected);
}

#[test]
fn a_child_without_its_parent_is_refused() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("child.vmdk");
    fs::write(&image, child(&[2], "12345678", "base.vmdk")).unwrap();

    let error = refusal(source::open(&image, Format::Detect));

    assert!(matches!(&error, SourceError::ParentMissing { problem, .. } if problem.contains("base.vmdk")), "{error:?}");
}

#[test]
fn a_child_that_does_not_say_which_parent_is_refused() {
    let image = child_descriptor("RW 64 ZERO", "12345678", "");

    let error = refusal(open_text(&image, &[]));

    assert!(
        matches!(&error, SourceError::ParentMissing { problem, .. } if problem.contains("names none")),
        "{error:?}"
    );
}

#[test]
fn a_parent_that_was_written_to_since_is_refused() {
    let others = [("base.vmdk", sparse(4 * GRAIN, &[1]))];

    let error = refusal(open_child(child(&[2], "0badcafe", "base.vmdk"), &others));

    assert!(matches!(error, SourceError::ParentMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("0badcafe") && error.to_string().contains("12345678"), "{error}");
}

#[test]
fn a_parent_is_found_beside_the_child_whatever_its_folder_was() {
    for hint in ["/vmfs/volumes/5f/web/base.vmdk", "[ssd 1] web/base.vmdk", "C:\\vm\\base.vmdk", "../vm/base.vmdk"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("base.vmdk"), sparse(4 * GRAIN, &[1])).unwrap();
        fs::write(folder.path().join("child.vmdk"), child(&[2], "12345678", hint)).unwrap();

        let source = source::open(folder.path().join("child.vmdk"), Format::Detect).unwrap();

        assert_eq!(assert_keeps_contract(&*source)[GRAIN as usize], 2, "{hint}");
    }
}

#[test]
fn a_parent_elsewhere_is_opened_only_when_allowed() {
    let folder = TempDir::new().unwrap();
    let (templates, vm) = (folder.path().join("templates"), folder.path().join("vm"));
    fs::create_dir(&templates).unwrap();
    fs::create_dir(&vm).unwrap();
    let base = templates.join("base.vmdk");
    fs::write(&base, sparse(4 * GRAIN, &[1])).unwrap();
    fs::write(vm.join("child.vmdk"), child(&[2], "12345678", base.to_str().unwrap())).unwrap();

    let error = refusal(source::open(vm.join("child.vmdk"), Format::Vmdk));
    assert!(matches!(error, SourceError::NotAllowed { .. }), "{error:?}");

    let gate = Gate::same_folder().allow(&templates);
    let source = OpenOptions::new().format(Format::Vmdk).gate(gate).open(vm.join("child.vmdk")).unwrap();
    assert_eq!(assert_keeps_contract(&*source)[GRAIN as usize], 2);
}

#[test]
fn a_loop_of_parents_is_refused() {
    let loops = child(&[], "87654321", "loop.vmdk");

    let error = refusal(open_child(loops.clone(), &[("loop.vmdk", loops)]));

    assert!(matches!(error, SourceError::Chain { .. }), "{error:?}");
}

#[test]
fn a_chain_is_known_by_the_nearest_uuid() {
    let text = child_descriptor("RW 64 ZERO", "12345678", "base.vmdk").replace("ddb.uuid", "ddb.other");

    let source = open_text(&text, &[("base.vmdk", sparse(4 * GRAIN, &[1]))]).unwrap();

    assert_eq!(source.identity().unwrap(), "vmdk:6000c29e00112233445566778899aabb");
}

fn create(folder: &Path, name: &str, subformat: &str, over: Option<&str>) -> Option<PathBuf> {
    let image = folder.join(name);
    let options = format!("subformat={subformat}");
    let mut arguments = vec!["create", "-f", "vmdk", "-o", &options];
    arguments.extend(over.iter().flat_map(|over| ["-F", "vmdk", "-b", over]));
    arguments.push(image.to_str().unwrap());
    arguments.extend(over.is_none().then_some("40M"));
    qemu_img(arguments)?.unwrap();
    Some(image)
}

/// Three images, each over the one before, with writes of one's own in each.
fn assert_chain_agrees_with_qemu(base: &str, snapshots: &str) {
    let folder = TempDir::new().unwrap();
    let names = ["base.vmdk", "one.vmdk", "two.vmdk", "three.vmdk"];
    let mut random = fastrand::Rng::with_seed(names.len() as u64);
    let mut over = None;
    for name in names {
        // A snapshot remembers its parent as it is now, so each is written to before it gets a child.
        let Some(image) = create(folder.path(), name, if over.is_none() { base } else { snapshots }, over) else {
            return;
        };
        let writes: Vec<String> = (0..12)
            .map(|_| format!("write -P {} {} {}", random.u8(1..), random.u64(..70_000) * 512, random.u64(1..300) * 512))
            .collect();
        qemu_io(&image, "vmdk", &writes).unwrap();
        over = Some(name);
    }
    let top = folder.path().join("three.vmdk");
    let before: Vec<Vec<u8>> = names.iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();

    let source = source::open(&top, Format::Detect).unwrap();

    assert!(Some(assert_keeps_contract(&*source)) == bytes_of(&top, "vmdk"), "QEMU reads other bytes");
    assert_eq!(Some(holes(&*source)), holes_by_qemu(&top));
    let after: Vec<Vec<u8>> = names.iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    assert!(before == after, "reading changed a file");
}

#[test]
fn a_chain_of_three_snapshots_reads_as_qemu_reads_it() {
    assert_chain_agrees_with_qemu("monolithicSparse", "monolithicSparse");
}

#[test]
fn snapshots_over_a_flat_disk_read_as_qemu_reads_them() {
    assert_chain_agrees_with_qemu("monolithicFlat", "twoGbMaxExtentSparse");
}
