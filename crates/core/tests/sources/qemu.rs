//! `qemu-img` as the second opinion. Where it is not installed, the tests that ask it say so and pass.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `qemu-img` and returns what it printed; `None`, with a printed line, when it is not installed.
pub(crate) fn qemu_img(args: &[&str], paths: &[&Path]) -> Option<Vec<u8>> {
    let Ok(output) = Command::new("qemu-img").args(args).args(paths).output() else {
        println!("SKIPPED: qemu-img is not installed");
        return None;
    };
    assert!(output.status.success(), "qemu-img {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// The VHD that QEMU makes of a raw disk.
pub(crate) fn vhd_of(raw: &Path, options: &str) -> Option<PathBuf> {
    let vhd = raw.with_extension("vhd");
    qemu_img(&["convert", "-f", "raw", "-O", "vpc", "-o", options], &[raw, &vhd])?;
    Some(vhd)
}

/// The bytes that QEMU reads from a VHD.
pub(crate) fn bytes_of(vhd: &Path) -> Option<Vec<u8>> {
    let raw = vhd.with_extension("oracle");
    qemu_img(&["convert", "-f", "vpc", "-O", "raw"], &[vhd, &raw])?;
    Some(fs::read(raw).unwrap())
}

/// The size that QEMU finds in a VHD.
pub(crate) fn size_of(vhd: &Path) -> Option<u64> {
    let answer = qemu_img(&["info", "-f", "vpc", "--output=json"], &[vhd])?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    answer["virtual-size"].as_u64()
}

/// A sparse raw disk of `size` bytes with data at its start, off any block's edge, and at its end.
pub(crate) fn sample_disk(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    let mut random = fastrand::Rng::with_seed(size);
    for (offset, len) in [(0, 70_000), (size / 2 + 777, 3 << 20), (size - 5000, 5000)] {
        let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        file.write_all_at(&bytes, offset).unwrap();
    }
    path
}
