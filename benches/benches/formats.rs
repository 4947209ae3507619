//! What a format costs: an image of a disk full of data, read through its format, and as many of the same file's
//! bytes read raw, in turn.
//!
//! Not criterion: the question is a ratio, so each read is held against the raw read just before it; the median
//! of the rounds is printed. The raw read is of the **same file**, because the page cache holds files that were
//! written in different ways differently, and that alone makes a factor of two. The images are in the page cache,
//! where a format's own cost is not hidden by a disk's. Then two disks that are nearly all hole are opened and
//! mapped.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libmigrate::source::{self, Format};
use libmigrate_test_support::qemu::{image_of, qemu_img, qemu_io};
use libmigrate_test_support::sample_disk::SampleDisk;

const DISK: u64 = 512 << 20;
const PIECE: usize = 1 << 20;
const ROUNDS: usize = 9;
const TIB: u64 = 1 << 40;

/// Name, QEMU's name of the format, and options of `qemu-img convert`.
const IMAGES: [(&str, &str, &str); 10] = [
    ("VHD, fixed", "vpc", "subformat=fixed,force_size=on"),
    ("VHD, dynamic", "vpc", "subformat=dynamic,force_size=on"),
    ("VHDX, fixed", "vhdx", "subformat=fixed"),
    ("VHDX, dynamic", "vhdx", "subformat=dynamic"),
    ("VMDK, monolithicSparse", "vmdk", "subformat=monolithicSparse"),
    ("VMDK, twoGbMaxExtentFlat", "vmdk", "subformat=twoGbMaxExtentFlat"),
    ("qcow2, clusters of 64 KiB", "qcow2", ""),
    ("qcow2, clusters of 2 MiB", "qcow2", "cluster_size=2M"),
    ("qcow2, extended L2", "qcow2", "extended_l2=on,cluster_size=128k"),
    ("qcow2, clusters of 4 KiB", "qcow2", "cluster_size=4k"),
];

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = folder.path().join("disk.raw");
    SampleDisk { len: DISK, data_bytes: DISK, seed: 1 }.write(&raw).expect("an image");
    let mut images: Vec<(&str, PathBuf)> = vec![("raw, again", raw.clone())];
    for (number, (name, format, options)) in IMAGES.into_iter().enumerate() {
        let copy = folder.path().join(number.to_string()).join("disk.raw");
        std::fs::create_dir(copy.parent().expect("it has one")).expect("a folder");
        std::fs::hard_link(&raw, &copy).expect("a link");
        let Some(image) = image_of(&copy, format, options) else { return };
        images.push((name, image));
    }

    println!(
        "512 MiB of data, read in pieces of 1 MiB by one thread, and the same file raw; median of {ROUNDS} rounds"
    );
    println!("  {:<28} {:>8} {:>12}", "", "GB/s", "times raw");
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); images.len()];
    let mut ratios = times.clone();
    for _ in 0..ROUNDS {
        for (index, (_, image)) in images.iter().enumerate() {
            let base = read_whole(&data_file(image), Format::Raw).as_secs_f64();
            let taken = read_whole(image, Format::Detect).as_secs_f64();
            times[index].push(taken);
            ratios[index].push(taken / base);
        }
    }
    for (index, (name, _)) in images.iter().enumerate() {
        let rate = DISK as f64 / median(&mut times[index]) / 1e9;
        println!("  {name:<28} {rate:>8.2} {:>12.3}", median(&mut ratios[index]));
    }

    println!("\nopened and mapped, hardly any data in it; peak memory of the whole process so far, reading included");
    let vhdx = folder.path().join("huge.vhdx");
    let created = qemu_img(["create", "-q", "-f", "vhdx", "-o", "block_size=1M", vhdx.to_str().expect("plain"), "2T"]);
    created.expect("qemu-img was there before").expect("an image");
    let writes: Vec<String> = (0..200u64).map(|n| format!("write -P 7 {} 64k", n * (TIB / 100))).collect();
    qemu_io(&vhdx, "vhdx", &writes).expect("qemu-io is where qemu-img is");
    map("VHDX of 2 TiB, blocks of 1 MiB", &vhdx);
    let sparse = folder.path().join("huge.raw");
    let file = std::fs::File::create(&sparse).expect("a file");
    file.set_len(8 * TIB).expect("a sparse file");
    for n in 0..1000u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], n * (8 * TIB / 1000) / 4096 * 4096).expect("room");
    }
    map("raw file of 8 TiB", &sparse);
}

/// The file that has the data: the image, or its first extent.
fn data_file(image: &Path) -> PathBuf {
    let extent = image.with_file_name("disk-f001.vmdk");
    if extent.exists() { extent } else { image.to_path_buf() }
}

/// Reads as many bytes as the disk has, once.
fn read_whole(image: &Path, format: Format) -> Duration {
    let disk = source::open(image, format).expect("it opens");
    let mut piece = vec![0; PIECE];
    let started = Instant::now();
    for offset in (0..DISK).step_by(PIECE) {
        disk.read_at(offset, &mut piece).expect("it reads");
        std::hint::black_box(&piece);
    }
    started.elapsed()
}

fn map(name: &str, image: &Path) {
    let started = Instant::now();
    let disk = source::open(image, Format::Detect).expect("it opens");
    let opened = started.elapsed();
    let (mut at, mut extents) = (0, 0);
    while at < disk.size_bytes() {
        let found = disk.extents(at..disk.size_bytes(), 1024).expect("it maps");
        extents += found.len();
        at = found.last().map_or(disk.size_bytes(), |last| last.extent.end());
    }
    let mapped = started.elapsed();
    let peak = peak_mib().map_or_else(|| "unknown".into(), |mib| format!("{mib} MiB"));
    println!("  {name:<32} opened in {opened:.1?}, {extents} extents in {mapped:.1?} altogether, peak {peak}");
}

/// The most memory that this process has had.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
