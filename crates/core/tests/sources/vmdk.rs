//! VMDKs of one image: what QEMU writes, and what `VMware` does.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, ImageFile, OpenOptions, SourceError};
use libmigrate_test_support::qemu::{bytes_of, image_of, map_of, qemu_img, qemu_io, size_of};
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, extents, holes};
use crate::image::{self, open_among, sample_disk};
use crate::recording::Recording;
use crate::vhd_image::put;
use crate::vmdk_image::{
    DIRECTORY, GRAIN, GRAINS_AT, UNCLEAN, cowd, descriptor, se_allocated, se_sparse, sparse, sparse_extent, stream,
    stream_of, zlib,
};

const MIB: u64 = 1 << 20;

/// No multiple of a grain, which in QEMU's images is 64 KiB.
const ODD_SIZE: u64 = 37 * MIB + 5 * 512;

pub(crate) fn open_bytes(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    image::open_bytes(Format::Vmdk, image)
}

pub(crate) fn bytes_after(image: Vec<u8>) -> Vec<u8> {
    assert_keeps_contract(&*open_bytes(image).unwrap())
}

/// A disk of `count` grains, each full of its number plus one where it is in `present`, else zeros.
pub(crate) fn disk_of(count: u64, present: &[u64]) -> Vec<u8> {
    let byte = |grain| if present.contains(&grain) { grain as u8 + 1 } else { 0 };
    (0..count).flat_map(|grain| vec![byte(grain); GRAIN as usize]).collect()
}

/// All files of a folder, with their content and times.
fn state_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.clone(), fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap()))
        .collect();
    files.sort();
    files
}

// What QEMU writes.

/// The VMDK that QEMU makes of a sample disk reads as QEMU reads it, with the same holes, and stays as it was.
fn assert_agrees_with_qemu(subformat: &str, size: u64) {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), size);
    let Some(vmdk) = image_of(&raw, "vmdk", &format!("subformat={subformat}")) else { return };
    let before = state_of(folder.path());

    let source = source::open(&vmdk, Format::Detect).unwrap();

    assert_eq!(Some(source.size_bytes()), size_of(&vmdk, "vmdk"));
    let disk = assert_keeps_contract(&*source);
    assert!(disk == fs::read(&raw).unwrap(), "the disk that went in came out");
    assert!(Some(&disk) == bytes_of(&vmdk, "vmdk").as_ref(), "QEMU reads other bytes");
    assert_eq!(Some(holes(&*source)), holes_by_qemu(&vmdk));
    assert!(state_of(folder.path()) == before, "reading changed a file");
}

pub(crate) fn holes_by_qemu(vmdk: &Path) -> Option<Vec<Range<u64>>> {
    let mut holes: Vec<Range<u64>> = Vec::new();
    for piece in map_of(vmdk, "vmdk")?.into_iter().filter(|piece| piece.zero) {
        let end = piece.start + piece.length;
        match holes.last_mut().filter(|last| last.end == piece.start) {
            Some(last) => last.end = end,
            None => holes.push(piece.start..end),
        }
    }
    Some(holes)
}

#[test]
fn a_monolithic_sparse_vmdk_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("monolithicSparse", ODD_SIZE);
}

#[test]
fn a_sparse_vmdk_of_several_grain_tables_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("monolithicSparse", 130 * MIB);
}

#[test]
fn a_sparse_vmdk_smaller_than_a_grain_reads_as_qemu_reads_it() {
    let folder = TempDir::new().unwrap();
    let raw = folder.path().join("disk.raw");
    fs::write(&raw, vec![9; 3 * 512]).unwrap();
    let Some(vmdk) = image_of(&raw, "vmdk", "subformat=monolithicSparse") else { return };

    assert!(assert_keeps_contract(&*source::open(&vmdk, Format::Detect).unwrap()) == vec![9; 3 * 512]);
}

#[test]
fn a_monolithic_flat_vmdk_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("monolithicFlat", ODD_SIZE);
}

#[test]
fn a_stream_optimized_vmdk_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("streamOptimized", ODD_SIZE);
}

#[test]
fn a_split_sparse_vmdk_of_one_extent_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("twoGbMaxExtentSparse", ODD_SIZE);
}

#[test]
fn a_split_flat_vmdk_of_one_extent_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("twoGbMaxExtentFlat", ODD_SIZE);
}

/// An image of 4.5 GiB in three extents, with data across both borders and at the end.
fn assert_split_agrees_with_qemu(subformat: &str) {
    const GIB: u64 = 1 << 30;
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.vmdk");
    let options = format!("subformat={subformat}");
    let size = 4 * GIB + 512 * MIB + 512;
    let arguments = ["create", "-f", "vmdk", "-o", &options, image.to_str().unwrap(), &size.to_string()];
    let Some(made) = qemu_img(arguments) else { return };
    made.unwrap();
    let borders = [2 * GIB, 4 * GIB];
    let writes = borders.iter().map(|border| format!("write -P 7 {} 196608", border - 98_304));
    let last = format!("write -P 9 {} 512", size - 512);
    qemu_io(&image, "vmdk", &writes.chain([last]).collect::<Vec<_>>()).unwrap();

    let source = source::open(&image, Format::Detect).unwrap();

    assert_eq!(source.size_bytes(), size);
    for border in borders {
        let mut read = vec![1; 327_680];
        source.read_at(border - 163_840, &mut read).unwrap();
        let expected = [vec![0; 65_536], vec![7; 196_608], vec![0; 65_536]].concat();
        assert!(read == expected, "around {border}");
    }
    let mut last = [0; 512];
    source.read_at(size - 512, &mut last).unwrap();
    assert_eq!(last, [9; 512]);
    assert_eq!(Some(holes(&*source)), holes_by_qemu(&image));
}

#[test]
fn a_split_sparse_vmdk_of_three_extents_reads_as_qemu_wrote_it() {
    assert_split_agrees_with_qemu("twoGbMaxExtentSparse");
}

#[test]
fn a_split_flat_vmdk_of_three_extents_reads_as_qemu_wrote_it() {
    assert_split_agrees_with_qemu("twoGbMaxExtentFlat");
}

#[test]
fn random_writes_and_zeroed_grains_read_as_qemu_reads_them() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.vmdk");
    let arguments = ["create", "-f", "vmdk", "-o", "zeroed_grain=on", image.to_str().unwrap(), "100M"];
    let Some(made) = qemu_img(arguments) else { return };
    made.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let commands: Vec<String> = (0..60)
        .map(|round| {
            let (at, len) = (random.u64(..180_000) * 512, random.u64(1..400) * 512);
            let command = if round % 4 == 3 { "write -z".into() } else { format!("write -P {}", random.u8(1..)) };
            format!("{command} {at} {len}")
        })
        .collect();
    qemu_io(&image, "vmdk", &commands).unwrap();

    let source = source::open(&image, Format::Detect).unwrap();

    assert!(Some(assert_keeps_contract(&*source)) == bytes_of(&image, "vmdk"), "{commands:#?}");
    assert_eq!(Some(holes(&*source)), holes_by_qemu(&image));
}

// What VMware writes, made here, and read by QEMU.

/// The image, opened beside these files, has these bytes, and QEMU thinks so too.
fn assert_reads_here_and_in_qemu(files: &[(&str, &[u8])], expected: &[u8]) {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    let image = folder.path().join(files[0].0);

    let disk = assert_keeps_contract(&*source::open(&image, Format::Detect).unwrap());

    assert!(disk == expected);
    if let Some(by_qemu) = bytes_of(&image, "vmdk") {
        assert!(disk == by_qemu, "QEMU reads other bytes");
    }
}

#[test]
fn a_sparse_disk_reads_as_its_grains_say() {
    let image = sparse(6 * GRAIN, &[4, 1, 2]);
    assert_reads_here_and_in_qemu(&[("disk.vmdk", &image)], &disk_of(6, &[1, 2, 4]));
}

#[test]
fn an_exported_stream_reads_by_its_footer() {
    let image = stream(6 * GRAIN, &[1, 2, 4]);
    assert_reads_here_and_in_qemu(&[("disk.vmdk", &image)], &disk_of(6, &[1, 2, 4]));
}

#[test]
fn compressed_grains_in_a_row_are_one_extent() {
    let source = open_bytes(stream(7 * GRAIN, &[5, 2, 1])).unwrap();

    let allocated = extents(&*source, 0..7 * GRAIN, 99).into_iter().filter(|found| found.allocated);

    assert!(allocated.map(|found| found.extent.range()).eq([GRAIN..3 * GRAIN, 5 * GRAIN..6 * GRAIN]));
}

#[test]
fn the_last_grain_of_a_stream_may_be_whole_or_end_with_the_disk() {
    let size = GRAIN + 1024;
    let expected = [vec![0; GRAIN as usize], vec![7; 1024]].concat();

    for packed in [zlib(&[7; 1024]), zlib(&vec![7; GRAIN as usize])] {
        assert!(bytes_after(stream_of(size, &[(1, packed)])) == expected);
    }
}

#[test]
fn flat_extents_zeros_and_sparse_extents_make_one_disk() {
    let text = descriptor(
        "custom",
        "RW 4 FLAT \"flat one.vmdk\" 2\nRW 8 ZERO\nRDONLY 32 SPARSE \"sparse.vmdk\"\nRW 2 FLAT \"flat one.vmdk\" 0\n\
         RW 2 VMFS \"vmfs.vmdk\"",
        "",
    );
    let flat: Vec<u8> = (1..=6).flat_map(|sector| [sector; 512]).collect();
    let sparse = sparse_extent(2 * GRAIN, &[1], None);
    let others = [("flat one.vmdk", flat.clone()), ("sparse.vmdk", sparse), ("vmfs.vmdk", vec![9; 1024])];

    let source = open_among(Format::Vmdk, text.into_bytes(), &others).unwrap();

    let zeros = vec![0; 8 * 512];
    let expected = [&flat[1024..3072], &zeros, &disk_of(2, &[1]), &flat[..1024], &[9; 1024]].concat();
    assert!(assert_keeps_contract(&*source) == expected);
}

#[test]
fn a_flat_disk_of_vmfs_reads_in_qemu_too() {
    let text = descriptor("vmfs", "RW 128 VMFS \"disk-flat.vmdk\"", "ddb.thinProvisioned = \"1\"");
    let flat: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    assert_reads_here_and_in_qemu(&[("disk.vmdk", text.as_bytes()), ("disk-flat.vmdk", &flat)], &flat);
}

#[test]
fn a_descriptor_with_windows_line_ends_and_leading_lines_is_a_vmdk() {
    let text = descriptor("vmfs", "RW 1 VMFS \"disk-flat.vmdk\"", "").replace('\n', "\r\n");
    let text = format!("\r\n  # made by hand\r\n{text}");

    let source = open_among(Format::Detect, text.into_bytes(), &[("disk-flat.vmdk", vec![5; 512])]).unwrap();

    assert_eq!(assert_keeps_contract(&*source), [5; 512]);
}

#[test]
fn an_esx_sparse_extent_reads_in_qemu_too() {
    let text = descriptor("vmfsSparse", "RW 64 VMFSSPARSE \"disk-delta.vmdk\"", "");
    let expected: Vec<u8> =
        (0..64).flat_map(|sector| [if [3, 4, 60].contains(&sector) { sector + 1 } else { 0 }; 512]).collect();
    let files: [(&str, &[u8]); 2] = [("disk.vmdk", text.as_bytes()), ("disk-delta.vmdk", &cowd(64, &[60, 3, 4]))];
    assert_reads_here_and_in_qemu(&files, &expected);
}

#[test]
fn a_space_efficient_extent_reads_in_qemu_too() {
    let text = descriptor("seSparse", "RW 64 SESPARSE \"disk-sesparse.vmdk\"", "");
    let unmapped = 0x1000_0000_0000_0000;
    let zeroed = 0x2000_0000_0000_0000;
    let entries = [0, se_allocated(1), se_allocated(2), zeroed, unmapped, se_allocated(0), 0, se_allocated(3)];
    let expected: Vec<u8> = [0, 2, 3, 0, 0, 1, 0, 4].into_iter().flat_map(|byte| [byte; 4096]).collect();
    let files: [(&str, &[u8]); 2] =
        [("disk.vmdk", text.as_bytes()), ("disk-sesparse.vmdk", &se_sparse(64, &entries, 4))];
    assert_reads_here_and_in_qemu(&files, &expected);
}

// Extents, identity, reads.

#[test]
fn a_flat_vmdk_has_the_holes_of_its_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vmdk");
    fs::write(&path, descriptor("vmfs", "RW 16384 VMFS \"disk-flat.vmdk\"", "")).unwrap();
    let flat = File::create(folder.path().join("disk-flat.vmdk")).unwrap();
    flat.set_len(8 * MIB).unwrap();
    flat.write_all_at(&vec![7; MIB as usize], MIB).unwrap();

    let source = source::open(&path, Format::Detect).unwrap();

    assert_eq!(holes(&*source), [0..MIB, 2 * MIB..8 * MIB]);
    assert!(source.point().unwrap().starts_with("chain:"), "the descriptor and the flat file");
}

#[test]
fn neighbouring_grains_of_a_kind_are_one_extent() {
    let source = open_bytes(sparse(7 * GRAIN, &[5, 1, 2])).unwrap();

    let found: Vec<(Range<u64>, bool)> =
        extents(&*source, 0..7 * GRAIN, 99).into_iter().map(|e| (e.extent.range(), e.allocated)).collect();

    assert_eq!(
        found,
        [
            (0..GRAIN, false),
            (GRAIN..3 * GRAIN, true),
            (3 * GRAIN..5 * GRAIN, false),
            (5 * GRAIN..6 * GRAIN, true),
            (6 * GRAIN..7 * GRAIN, false),
        ]
    );
}

#[test]
fn grains_side_by_side_are_read_at_once() {
    let file = Arc::new(Recording::new(sparse(4 * GRAIN, &[1, 2])));
    let image = ImageFile::new(Arc::clone(&file) as Arc<dyn DiskSource>, "disk.vmdk");
    let source = OpenOptions::new().format(Format::Vmdk).open_image(&image).unwrap();
    extents(&*source, 0..4 * GRAIN, 99);
    file.take_reads();

    source.read_at(GRAIN + 10, &mut vec![1; 2 * GRAIN as usize]).unwrap();

    let (reads, start) = (file.take_reads(), GRAINS_AT as u64 + 10);
    // The last ten bytes are the next grain's, which is not there.
    assert_eq!((reads.len(), reads.first()), (1, Some(&(start..start + 2 * GRAIN - 10))));
}

#[test]
fn missing_grain_tables_are_described_and_read_without_the_file() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.vmdk");
    let Some(made) = qemu_img(["create", "-f", "vmdk", image.to_str().unwrap(), "8T"]) else { return };
    made.unwrap();
    let file = File::options().write(true).read(true).open(&image).unwrap();
    let mut directory_sector = [0; 8];
    file.read_exact_at(&mut directory_sector, DIRECTORY as u64).unwrap();
    file.write_all_at(&vec![0; 262_144 * 4], u64::from_le_bytes(directory_sector) * 512).unwrap();
    let file = Arc::new(Recording::new(source::RawSource::open(&image).unwrap()));
    let image = ImageFile::new(Arc::clone(&file) as Arc<dyn DiskSource>, &image);
    let source = OpenOptions::new().open_image(&image).unwrap();
    file.take_reads();

    let all = source.extents(0..8 << 40, 1).unwrap();

    assert_eq!(all[0].extent.range(), 0..8 << 40);
    assert_eq!(file.take_reads(), []);
}

#[test]
fn a_vmdk_is_known_by_its_uuid_and_never_by_its_content_id() {
    let text = descriptor("custom", "RW 8 ZERO", "");

    let known = open_bytes(text.clone().into_bytes()).unwrap();
    let unknown = open_bytes(text.replace("ddb.uuid", "ddb.other").into_bytes()).unwrap();

    assert_eq!(known.identity().unwrap(), "vmdk:6000c29e00112233445566778899aabb");
    assert_eq!(unknown.identity(), None);
}

#[test]
fn a_disk_that_was_not_closed_is_read_with_a_note() {
    let mut image = sparse(4 * GRAIN, &[1]);
    image[UNCLEAN] = 1;

    let source = open_bytes(image).unwrap();

    assert!(source.notes()[0].contains("did not close it"), "{:?}", source.notes());
    assert!(assert_keeps_contract(&*source) == disk_of(4, &[1]));
}

#[test]
fn a_lost_grain_directory_is_made_up_for_by_the_redundant_one() {
    let mut image = sparse(4 * GRAIN, &[1]);
    put(&mut image, DIRECTORY, &(1u64 << 40).to_le_bytes());

    let source = open_bytes(image).unwrap();

    assert!(source.notes()[0].contains("redundant grain directory"), "{:?}", source.notes());
    assert!(assert_keeps_contract(&*source) == disk_of(4, &[1]));
}
