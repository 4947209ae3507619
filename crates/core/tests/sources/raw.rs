//! Raw files and block devices.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use libmigrate::source::{self, DiskSource, Format, RawSource, SourceError};
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, extents, holes};
use crate::image::sample_disk;

const MIB: u64 = 1 << 20;

/// A sparse file of 8 MiB whose second MiB is data.
fn sparse_file(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(8 * MIB).unwrap();
    file.write_all_at(&vec![7; MIB as usize], MIB).unwrap();
    path
}

fn resize(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn a_raw_file_reads_back_byte_for_byte() {
    let folder = TempDir::new().unwrap();
    let path = sample_disk(folder.path(), 9 * MIB);

    let source = RawSource::open(&path).unwrap();

    assert!(assert_keeps_contract(&source) == fs::read(&path).unwrap());
}

#[test]
fn a_size_that_is_no_multiple_of_a_sector_is_kept_to_the_byte() {
    let folder = TempDir::new().unwrap();
    let path = sample_disk(folder.path(), 7 * MIB + 333);

    let source = source::open(&path, Format::Detect).unwrap();

    assert_eq!(source.size_bytes(), 7 * MIB + 333);
    assert!(assert_keeps_contract(&*source) == fs::read(&path).unwrap());
}

#[test]
fn a_disk_of_one_byte_is_a_disk() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::write(&path, [9]).unwrap();

    let source = source::open(&path, Format::Detect).unwrap();

    assert_eq!(assert_keeps_contract(&*source), [9]);
}

#[test]
fn holes_are_found_where_the_file_has_them() {
    let folder = TempDir::new().unwrap();

    let source = RawSource::open(sparse_file(&folder)).unwrap();

    assert_eq!(holes(&source), [0..MIB, 2 * MIB..8 * MIB]);
}

#[test]
fn an_answer_starts_inside_an_extent_where_it_is_asked_to() {
    let folder = TempDir::new().unwrap();
    let source = RawSource::open(sparse_file(&folder)).unwrap();

    let found = source.extents(MIB + 5..2 * MIB + 9, 8).unwrap();

    let found: Vec<_> = found.into_iter().map(|found| (found.extent.range(), found.reads_as_zero)).collect();
    assert_eq!(found, [(MIB + 5..2 * MIB, false), (2 * MIB..2 * MIB + 9, true)]);
}

#[test]
fn a_tebibyte_of_hole_is_one_extent() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();

    let source = RawSource::open(path).unwrap();

    assert_eq!(extents(&source, 0..1 << 40, 1).len(), 1);
}

#[test]
fn reading_leaves_the_file_as_it_was() {
    let folder = TempDir::new().unwrap();
    let path = sample_disk(folder.path(), 6 * MIB);
    let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());

    assert_keeps_contract(&*source::open(&path, Format::Detect).unwrap());

    assert!(before == (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()));
}

/// How many bytes of the file are in the page cache.
fn cached_bytes(path: &Path) -> Option<u64> {
    let output =
        Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A file of 32 MiB of which only the first half is in the page cache; `None` where that cannot be had.
fn half_cached_file(folder: &TempDir) -> Option<PathBuf> {
    let path = folder.path().join("disk.raw");
    fs::write(&path, vec![7; 32 * MIB as usize]).unwrap();
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    file.read_exact_at(&mut vec![0; 16 * MIB as usize], 0).unwrap();
    (cached_bytes(&path)? == 16 * MIB).then_some(path)
}

#[test]
fn reading_leaves_the_page_cache_as_it_was() {
    let folder = TempDir::new().unwrap();
    let Some(path) = half_cached_file(&folder) else {
        println!("SKIPPED: what the page cache holds cannot be told or chosen here");
        return;
    };

    assert_keeps_contract(&RawSource::open(&path).unwrap());

    let cached = cached_bytes(&path).unwrap();
    assert!((8 * MIB..=18 * MIB).contains(&cached), "{cached} bytes cached instead of {}", 16 * MIB);
}

#[test]
fn a_file_that_cannot_be_written_is_read() {
    let folder = TempDir::new().unwrap();
    let path = sparse_file(&folder);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();

    assert!(RawSource::open(path).is_ok());
}

#[test]
fn a_file_that_is_cut_while_open_fails_the_read_with_its_place() {
    let folder = TempDir::new().unwrap();
    let path = sparse_file(&folder);
    let source = RawSource::open(&path).unwrap();
    resize(&path, MIB + 4096);

    let error = source.read_at(MIB, &mut vec![0; MIB as usize]).unwrap_err();

    assert!(matches!(&error, SourceError::Short { offset: MIB, len: MIB, size, .. } if *size == 8 * MIB), "{error:?}");
    assert!(error.to_string().contains("disk.raw"), "{error}");
}

#[test]
fn what_was_cut_off_never_passes_for_a_hole() {
    let folder = TempDir::new().unwrap();
    let path = sparse_file(&folder);
    let source = RawSource::open(&path).unwrap();
    resize(&path, MIB + 4096);

    let beyond = source.extents(4 * MIB..8 * MIB, 8);
    let across = source.extents(MIB..8 * MIB, 8);

    assert!(matches!(beyond, Err(SourceError::Short { offset, .. }) if offset == 4 * MIB), "{beyond:?}");
    assert!(matches!(across, Err(SourceError::Short { offset, .. }) if offset == MIB + 4096), "{across:?}");
}

#[test]
fn a_file_that_grows_while_open_keeps_its_size() {
    let folder = TempDir::new().unwrap();
    let path = sparse_file(&folder);
    let source = RawSource::open(&path).unwrap();
    resize(&path, 16 * MIB);

    assert_eq!(source.size_bytes(), 8 * MIB);
    assert_eq!(assert_keeps_contract(&source).len() as u64, 8 * MIB);
    assert!(matches!(source.read_at(8 * MIB - 1, &mut [0; 2]), Err(SourceError::Short { .. })));
}

#[test]
fn the_point_stays_while_nothing_changes_and_moves_when_something_does() {
    let folder = TempDir::new().unwrap();
    let path = sparse_file(&folder);
    let point = || RawSource::open(&path).unwrap().point().unwrap();
    let first = point();

    assert_eq!(first, point(), "reopened, unchanged");
    resize(&path, 9 * MIB);
    assert_ne!(first, point(), "grown");
}

#[test]
fn another_file_of_the_same_name_is_another_point() {
    let folder = TempDir::new().unwrap();
    let path = sparse_file(&folder);
    let first = RawSource::open(&path).unwrap();
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();

    assert_ne!(first.point(), RawSource::open(&path).unwrap().point());
}

#[test]
fn what_is_not_there_is_an_error_with_its_path() {
    let error = RawSource::open("/nonexistent/disk.raw").unwrap_err();

    assert!(matches!(error, SourceError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/disk.raw"));
}

#[test]
fn an_empty_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    File::create(&path).unwrap();

    assert!(matches!(source::open(&path, Format::Detect), Err(SourceError::Empty { .. })));
}

#[test]
fn folders_and_character_devices_are_not_disks() {
    let folder = TempDir::new().unwrap();

    assert!(matches!(RawSource::open(folder.path()), Err(SourceError::NotADisk { .. })));
    assert!(matches!(RawSource::open("/dev/zero"), Err(SourceError::NotADisk { .. })));
}

#[test]
fn a_pipe_without_a_writer_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (answer, answered) = mpsc::channel();

    thread::spawn(move || answer.send(RawSource::open(pipe).map(|_| ())));

    let answer = answered.recv_timeout(Duration::from_secs(20)).expect("opening a pipe must not wait");
    assert!(matches!(answer, Err(SourceError::NotADisk { .. })), "{answer:?}");
}

fn open_image_that_starts_with(mark: &[u8], format: Format) -> Result<u64, SourceError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image");
    let mut image = mark.to_vec();
    image.resize(MIB as usize, 0);
    fs::write(&path, image).unwrap();
    source::open(path, format).map(|source| source.size_bytes())
}

#[test]
fn images_that_are_not_read_here_never_pass_for_raw_disks() {
    let vdi = [vec![0; 0x40], vec![0x7f, 0x10, 0xda, 0xbe]].concat();

    let error = open_image_that_starts_with(&vdi, Format::Detect).unwrap_err();

    assert!(matches!(error, SourceError::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("VDI") && error.to_string().contains("Format::Raw"), "{error}");
}

#[test]
fn raw_is_raw_whatever_it_looks_like() {
    assert_eq!(open_image_that_starts_with(b"vhdxfile", Format::Raw).unwrap(), MIB);
    assert_eq!(open_image_that_starts_with(b"conectix", Format::Raw).unwrap(), MIB);
}

#[test]
fn a_disk_that_should_be_a_vhd_and_is_not_is_refused() {
    let error = open_image_that_starts_with(b"", Format::Vhd).unwrap_err();
    assert!(matches!(error, SourceError::Damaged { format: "VHD", .. }), "{error:?}");
}
