//! qcow2 images: what QEMU writes, judged by what QEMU reads.

use std::fs;
use std::path::{Path, PathBuf};

use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::source::{self, Format, ImageFile, OpenOptions, SourceError};
use libmigrate_test_support::qemu::{bytes_of, image_of, map_of, qemu_img, qemu_io};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, extents};
use crate::image::{refusal, sample_disk};

const MIB: u64 = 1 << 20;
const ODD_SIZE: u64 = 9 * MIB + 1536;

fn run(arguments: &[&str]) -> Option<()> {
    qemu_img(arguments).map(|done| drop(done.unwrap()))
}

/// A new image of this size; `None` without QEMU.
fn create(path: &Path, size: u64, options: &str) -> Option<()> {
    let mut arguments = vec!["create", "-q", "-f", "qcow2"];
    if !options.is_empty() {
        arguments.extend(["-o", options]);
    }
    let size = size.to_string();
    arguments.extend([path.to_str().unwrap(), &size]);
    run(&arguments)
}

fn write(path: &Path, commands: &[&str]) {
    qemu_io(path, "qcow2", &commands.iter().map(|command| (*command).to_owned()).collect::<Vec<_>>()).unwrap();
}

/// The image reads as QEMU reads it, claims as zeros what QEMU does, and is not touched.
#[track_caller]
fn assert_agrees_with_qemu(path: &Path) {
    let before = fs::read(path).unwrap();
    let source = source::open(path, Format::Detect).unwrap();

    let disk = assert_keeps_contract(&*source);

    assert!(Some(&disk) == bytes_of(path, "qcow2").as_ref(), "QEMU reads other bytes");
    let ours: ExtentSet = zeros(
        extents(&*source, 0..source.size_bytes(), usize::MAX)
            .iter()
            .map(|found| (found.extent.offset(), found.extent.len_bytes(), found.reads_as_zero)),
    );
    let theirs = zeros(map_of(path, "qcow2").unwrap().iter().map(|piece| (piece.start, piece.length, piece.zero)));
    assert_eq!(ours.difference(&theirs), ExtentSet::new(), "zeros that QEMU does not see");
    // QEMU asks the file below for holes in every cluster, we only in long runs.
    assert!(theirs.difference(&ours).len_bytes() <= MIB, "zeros that only QEMU sees: {:?}", theirs.difference(&ours));
    assert!(before == fs::read(path).unwrap(), "the image was touched");
}

fn zeros(pieces: impl Iterator<Item = (u64, u64, bool)>) -> ExtentSet {
    pieces.filter(|(.., zero)| *zero).filter_map(|(start, len, _)| Extent::new(start, len)).collect()
}

/// An image that QEMU makes of a sample disk with these options.
fn assert_made_of_a_sample_agrees(options: &str) {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), ODD_SIZE);
    let Some(image) = image_of(&raw, "qcow2", options) else { return };
    assert_agrees_with_qemu(&image);
}

#[test]
fn images_of_every_version_and_cluster_size_read_as_qemu_reads_them() {
    for options in ["", "compat=0.10", "cluster_size=512", "cluster_size=4k", "cluster_size=2M", "lazy_refcounts=on"] {
        assert_made_of_a_sample_agrees(options);
    }
}

#[test]
fn extended_entries_read_as_qemu_reads_them() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.qcow2");
    let Some(()) = create(&path, 16 * MIB, "extended_l2=on,cluster_size=64k") else { return };
    write(
        &path,
        &["write -P 1 2k 2k", "write -P 2 1M 70k", "write -z 1026k 4k", "write -P 3 8191k 3k", "discard 1M 2k"],
    );

    assert_agrees_with_qemu(&path);
}

/// A compressed image of compressible and random data.
fn compressed(folder: &Path, options: &str) -> Option<PathBuf> {
    let raw = sample_disk(folder, ODD_SIZE);
    let mut bytes = fs::read(&raw).unwrap();
    bytes[2 * MIB as usize..4 * MIB as usize]
        .iter_mut()
        .zip(0u32..)
        .for_each(|(byte, at)| *byte = (at / 700) as u8 | 1);
    fs::write(&raw, bytes).unwrap();
    let image = folder.join("disk.qcow2");
    run(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw.to_str().unwrap(), image.to_str().unwrap()])?;
    Some(image)
}

#[test]
fn compressed_clusters_read_as_qemu_reads_them() {
    for options in [
        "compression_type=zlib",
        "compression_type=zstd",
        "compression_type=zlib,cluster_size=2M",
        "compression_type=zstd,cluster_size=4k",
        "compression_type=zlib,extended_l2=on,cluster_size=128k",
    ] {
        let folder = TempDir::new().unwrap();
        let Some(image) = compressed(folder.path(), options) else { return };
        assert_agrees_with_qemu(&image);
    }
}

#[test]
fn preallocated_images_read_as_qemu_reads_them() {
    assert_made_of_a_sample_agrees("preallocation=metadata");
}

#[test]
fn data_in_a_file_of_its_own_read_as_qemu_reads_them() {
    for raw in ["off", "on"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("disk.qcow2");
        let options = format!("data_file={},data_file_raw={raw}", folder.path().join("disk.data").display());
        let Some(()) = create(&path, 16 * MIB, &options) else { return };
        write(&path, &["write -P 1 0 100k", "write -P 2 5M 1M", "write -z 5500k 64k"]);
        // QEMU stores the name as it was given, which is absolute here.
        let refused = refusal(source::open(&path, Format::Detect));
        let opened = OpenOptions::new().gate(source::Gate::same_folder().allow(folder.path())).open(&path).unwrap();

        let disk = assert_keeps_contract(&*opened);

        assert!(Some(&disk) == bytes_of(&path, "qcow2").as_ref());
        assert!(matches!(refused, SourceError::NotAllowed { .. }), "{refused:?}");
    }
}

#[test]
fn a_chain_of_backing_files_reads_as_qemu_reads_it() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let raw = sample_disk(folder.path(), 8 * MIB);
    let overlay = |name: &str, backing: &str, format: &str, size: &str| {
        run(&["create", "-q", "-f", "qcow2", "-b", backing, "-F", format, at(name).to_str().unwrap(), size])
    };
    let Some(()) = overlay("one.qcow2", raw.file_name().unwrap().to_str().unwrap(), "raw", "8M") else { return };
    write(&at("one.qcow2"), &["write -P 1 1M 100k", "write -z 4M 64k"]);
    overlay("two.qcow2", "one.qcow2", "qcow2", "12M").unwrap();
    write(&at("two.qcow2"), &["write -P 2 1100k 5k", "write -P 3 7900k 1M"]);
    overlay("three.qcow2", "two.qcow2", "qcow2", "12M").unwrap();
    write(&at("three.qcow2"), &["write -P 4 4M 10k", "discard 0 64k"]);

    assert_agrees_with_qemu(&at("three.qcow2"));
}

#[test]
fn a_backing_file_may_have_another_format() {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), 8 * MIB);
    for (format, options) in [("vpc", "subformat=dynamic,force_size=on"), ("vhdx", ""), ("vmdk", "")] {
        let Some(backing) = image_of(&raw, format, options) else { return };
        let path = folder.path().join(format!("over-{format}.qcow2"));
        let name = backing.file_name().unwrap().to_str().unwrap();
        run(&["create", "-q", "-f", "qcow2", "-b", name, "-F", format, path.to_str().unwrap()]).unwrap();
        write(&path, &["write -P 9 3M 64k"]);

        assert_agrees_with_qemu(&path);
    }
}

#[test]
fn an_internal_snapshot_is_opened_by_name_and_by_id() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.qcow2");
    let Some(()) = create(&path, 8 * MIB, "") else { return };
    write(&path, &["write -P 1 0 1M"]);
    run(&["snapshot", "-c", "monday", path.to_str().unwrap()]);
    write(&path, &["write -P 2 512k 1M"]);
    let monday = folder.path().join("monday.raw");
    run(&["convert", "-l", "monday", "-O", "raw", path.to_str().unwrap(), monday.to_str().unwrap()]);

    let by_name = OpenOptions::new().snapshot("monday").open(&path).unwrap();
    let by_id = OpenOptions::new().snapshot("1").open(&path).unwrap();

    assert!(assert_keeps_contract(&*by_name) == fs::read(&monday).unwrap());
    assert!(assert_keeps_contract(&*by_id) == fs::read(&monday).unwrap());
    assert_agrees_with_qemu(&path);
}

#[test]
fn a_snapshot_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.qcow2");
    let Some(()) = create(&path, MIB, "") else { return };
    run(&["snapshot", "-c", "monday", path.to_str().unwrap()]);

    let error = refusal(OpenOptions::new().snapshot("tuesday").open(&path));

    assert!(matches!(&error, SourceError::Snapshot { snapshots, .. } if snapshots == &["monday"]), "{error:?}");
}

#[test]
fn a_format_without_snapshots_refuses_to_open_one() {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), 8 * MIB);

    let error = refusal(OpenOptions::new().snapshot("monday").open(raw));

    assert!(matches!(error, SourceError::Unsupported { .. }), "{error:?}");
}

/// An image with the bitmap `since-monday`, and two writes since.
fn with_a_bitmap(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("disk.qcow2");
    create(&path, 64 * MIB, "")?;
    write(&path, &["write -P 1 0 8M"]);
    run(&["bitmap", "--add", path.to_str().unwrap(), "since-monday"])?;
    write(&path, &["write -P 2 1M 4k", "write -P 3 63M 128k"]);
    Some(path)
}

#[test]
fn a_bitmap_says_what_was_written_since_it_was_made() {
    let folder = TempDir::new().unwrap();
    let Some(path) = with_a_bitmap(folder.path()) else { return };

    let bitmaps = source::qcow2::bitmaps(&ImageFile::open(&path).unwrap()).unwrap();
    let dirty = source::qcow2::dirty(&ImageFile::open(&path).unwrap(), "since-monday").unwrap();

    assert_eq!(bitmaps.len(), 1);
    let bitmap = &bitmaps[0];
    assert_eq!((bitmap.name.as_str(), bitmap.granularity_bytes), ("since-monday", 65_536));
    assert!(bitmap.is_consistent && bitmap.is_recording);
    let ranges: Vec<_> = dirty.iter().map(Extent::range).collect();
    assert_eq!(ranges, [MIB..MIB + 65_536, 63 * MIB..63 * MIB + 131_072]);
}

#[test]
fn a_bitmap_that_was_in_use_is_an_error_and_not_clean() {
    let folder = TempDir::new().unwrap();
    let Some(path) = with_a_bitmap(folder.path()) else { return };
    // As a crash leaves it: while QEMU runs, the bitmap is marked in the file.
    let mut image = fs::read(&path).unwrap();
    let name_at = image.windows(12).rposition(|bytes| bytes == b"since-monday").unwrap();
    image[name_at - 24 + 15] |= 1;
    fs::write(&path, image).unwrap();

    let error = source::qcow2::dirty(&ImageFile::open(&path).unwrap(), "since-monday").unwrap_err();

    assert!(!source::qcow2::bitmaps(&ImageFile::open(&path).unwrap()).unwrap()[0].is_consistent);
    assert!(matches!(&error, SourceError::Bitmap { problem, .. } if problem.contains("inconsistent")), "{error:?}");
}

#[test]
fn a_bitmap_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let folder = TempDir::new().unwrap();
    let Some(path) = with_a_bitmap(folder.path()) else { return };

    let error = source::qcow2::dirty(&ImageFile::open(&path).unwrap(), "since-tuesday").unwrap_err();

    assert!(matches!(&error, SourceError::Bitmap { problem, .. } if problem.contains("since-monday")), "{error:?}");
}

// Files of others.

#[test]
fn a_missing_backing_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), 8 * MIB);
    let path = folder.path().join("over.qcow2");
    let Some(()) = run(&["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", path.to_str().unwrap()]) else {
        return;
    };
    fs::remove_file(raw).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(error, SourceError::ParentMissing { .. }), "{error:?}");
}

/// An image of this name whose backing file is called that, whatever is there.
fn naming(folder: &Path, name: &str, backing: &str, format: Option<&str>) -> Option<PathBuf> {
    let path = folder.join(name);
    let mut arguments = vec!["create", "-q", "-u", "-f", "qcow2", "-b", backing];
    if let Some(format) = format {
        arguments.extend(["-F", format]);
    } else {
        // QEMU insists on a format where it makes the image.
        arguments.extend(["-F", "raw"]);
    }
    arguments.extend([path.to_str().unwrap(), "1M"]);
    run(&arguments)?;
    if format.is_none() {
        let mut image = fs::read(&path).unwrap();
        let at = image.windows(4).position(|bytes| bytes == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
        image[at..at + 4].copy_from_slice(&[1, 2, 3, 4]);
        fs::write(&path, image).unwrap();
    }
    Some(path)
}

#[test]
fn names_that_lead_elsewhere_are_not_opened() {
    let folder = TempDir::new().unwrap();
    for name in ["/etc/passwd", "../secret", "json:{\"driver\":\"file\"}", "nbd://127.0.0.1/", "file:disk.raw"] {
        let Some(path) = naming(folder.path(), "over.qcow2", name, Some("raw")) else { return };

        let error = refusal(source::open(&path, Format::Qcow2));

        assert!(matches!(error, SourceError::NotAllowed { .. }), "{name}: {error:?}");
    }
}

#[test]
fn images_that_stand_on_each_other_are_a_loop() {
    let folder = TempDir::new().unwrap();
    let Some(one) = naming(folder.path(), "one.qcow2", "two.qcow2", Some("qcow2")) else { return };
    naming(folder.path(), "two.qcow2", "one.qcow2", Some("qcow2")).unwrap();

    let error = refusal(source::open(&one, Format::Detect));

    assert!(matches!(error, SourceError::Chain { .. }), "{error:?}");
}

#[test]
fn a_raw_guest_that_claims_to_be_qcow2_gets_no_file_opened() {
    let folder = TempDir::new().unwrap();
    sample_disk(folder.path(), MIB * 8);
    let Some(path) = naming(folder.path(), "guest.raw", "disk.raw", Some("raw")) else { return };

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(error, SourceError::NotAllowed { .. }), "{error:?}");
    assert_eq!(source::open(&path, Format::Raw).unwrap().size_bytes(), fs::metadata(&path).unwrap().len());
}

#[test]
fn a_backing_file_of_no_stated_format_is_raw_or_says_so_by_its_name() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    sample_disk(folder.path(), 8 * MIB);
    let Some(over_raw) = naming(folder.path(), "over-raw.qcow2", "disk.raw", None) else { return };
    create(&at("base.qcow2"), MIB, "").unwrap();
    fs::copy(at("base.qcow2"), at("pretender.raw")).unwrap();
    let over_named = naming(folder.path(), "over-named.qcow2", "base.qcow2", None).unwrap();
    let over_pretender = naming(folder.path(), "over-pretender.qcow2", "pretender.raw", None).unwrap();

    assert!(source::open(over_raw, Format::Detect).is_ok());
    assert!(source::open(over_named, Format::Detect).is_ok());
    let error = refusal(source::open(over_pretender, Format::Detect));
    assert!(matches!(&error, SourceError::Unsupported { feature, .. } if feature.contains("rebase")), "{error:?}");
}

#[test]
fn an_encrypted_image_is_refused_as_such() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.qcow2");
    let Some(()) = create(&path, MIB, "") else { return };
    let mut image = fs::read(&path).unwrap();
    image[35] = 2;
    fs::write(&path, image).unwrap();

    let error = refusal(source::open(&path, Format::Detect));

    assert!(matches!(&error, SourceError::Encrypted { method, .. } if method == "LUKS"), "{error:?}");
}

// Histories.

fn command() -> impl Strategy<Value = String> {
    let place = (0..256u64, 1..60u64);
    prop_oneof![
        (place.clone(), 1..255u8).prop_map(|((at, len), byte)| format!("write -P {byte} {}k {}k", at * 16, len)),
        place.clone().prop_map(|(at, len)| format!("write -z {}k {}k", at * 16, len)),
        place.prop_map(|(at, len)| format!("discard {}k {}k", at * 16, len * 4)),
    ]
}

fn options() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "compat=0.10",
        "cluster_size=4k",
        "extended_l2=on",
        "cluster_size=512",
        "cluster_size=1M",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    #[test]
    fn any_history_reads_as_qemu_reads_it(
        layers in prop::collection::vec((options(), prop::collection::vec(command(), 1..6)), 1..4),
    ) {
        let folder = TempDir::new().unwrap();
        let mut below: Option<String> = None;
        for (number, (options, commands)) in layers.into_iter().enumerate() {
            let name = format!("{number}.qcow2");
            let path = folder.path().join(&name);
            let mut arguments = vec!["create", "-q", "-f", "qcow2"];
            if !options.is_empty() {
                arguments.extend(["-o", options]);
            }
            if let Some(below) = &below {
                arguments.extend(["-b", below, "-F", "qcow2"]);
            }
            arguments.extend([path.to_str().unwrap(), "5M"]);
            if run(&arguments).is_none() {
                return Ok(());
            }
            qemu_io(&path, "qcow2", &commands).unwrap();
            below = Some(name);
        }

        assert_agrees_with_qemu(&folder.path().join(below.unwrap()));
    }
}
