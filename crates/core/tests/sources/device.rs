//! Block devices: loop devices over files, mounted or not. Where no loop device can be made (no permission,
//! no such system), the tests say so and pass.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libmigrate::source::{self, Format, OpenOptions, SourceError};
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, holes};
use crate::image::refusal;

const MIB: u64 = 1 << 20;

/// Runs a command to its end; `None`, with a line, when it fails or is not there.
fn done(program: &str, arguments: &[&Path]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok();
    let Some(output) = output.filter(|output| output.status.success()) else {
        println!("SKIPPED: {program} cannot be used here");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// A loop device over a file; gone when dropped.
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn over(path: &Path, options: &[&str]) -> Option<Self> {
        let options = [&["--find", "--show"], options].concat();
        let arguments: Vec<&Path> = options.iter().map(Path::new).chain([path]).collect();
        done("losetup", &arguments).map(|name| Self(name.into()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// A file system on a loop device, mounted; gone when dropped.
struct Mounted {
    point: TempDir,
    device: LoopDevice,
    _image: TempDir,
}

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let image = folder.path().join("disk.raw");
        File::create(&image).unwrap().set_len(16 * MIB).unwrap();
        done("mkfs.ext4", &[Path::new("-q"), &image])?;
        let device = LoopDevice::over(&image, &[])?;
        let point = TempDir::new().unwrap();
        done("mount", &[Path::new("-o"), Path::new(options), &device.0, point.path()])?;
        Some(Self { point, device, _image: folder })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.point.path()).status();
    }
}

#[test]
fn a_block_device_is_read_whole_and_has_no_point() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(8 * MIB).unwrap();
    file.write_all_at(&vec![7; MIB as usize], MIB).unwrap();
    let Some(device) = LoopDevice::over(&path, &["--read-only"]) else { return };

    let source = source::open(&device.0, Format::Detect).unwrap();

    assert_eq!((source.size_bytes(), source.point(), holes(&*source)), (8 * MIB, None, vec![]));
    assert!(assert_keeps_contract(&*source) == fs::read(&path).unwrap());
}

#[test]
fn a_device_that_is_mounted_read_write_is_refused_with_the_place() {
    let Some(mounted) = Mounted::new("rw") else { return };

    let error = refusal(source::open(&mounted.device.0, Format::Raw));

    assert!(matches!(error, SourceError::MountedReadWrite { .. }), "{error:?}");
    assert!(error.to_string().contains(mounted.point.path().to_str().unwrap()), "{error}");
}

#[test]
fn a_device_that_is_mounted_read_only_is_opened() {
    let Some(mounted) = Mounted::new("ro,noload") else { return };

    assert_eq!(source::open(&mounted.device.0, Format::Raw).unwrap().size_bytes(), 16 * MIB);
}

#[test]
fn a_mounted_device_that_may_change_has_no_point() {
    let Some(mounted) = Mounted::new("rw") else { return };

    let source = OpenOptions::new().format(Format::Raw).may_change().open(&mounted.device.0).unwrap();

    assert_eq!(source.point(), None);
}

#[test]
fn a_mounted_device_that_the_caller_froze_is_at_the_moment_he_names() {
    let Some(mounted) = Mounted::new("rw") else { return };

    let source = OpenOptions::new().format(Format::Raw).frozen_as("snap-7").open(&mounted.device.0).unwrap();

    assert_eq!(source.point().as_deref(), Some("frozen:snap-7"));
}

#[test]
fn a_file_that_may_change_has_no_point_and_a_frozen_one_the_stated() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::write(&path, [7; 512]).unwrap();

    let moving = OpenOptions::new().may_change().open(&path).unwrap();
    let frozen = OpenOptions::new().frozen_as("zfs@monday").open(&path).unwrap();

    assert_eq!((moving.point(), frozen.point().as_deref()), (None, Some("frozen:zfs@monday")));
}
