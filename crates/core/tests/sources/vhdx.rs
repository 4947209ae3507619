//! Fixed and dynamic VHDXs: what QEMU writes, and what nobody should have written.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, ImageFile, OpenOptions, SourceError, SourceExtent};
use libmigrate_test_support::qemu::{bytes_of, image_of, qemu_img, qemu_io, size_of};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, extents, holes};
use crate::image::{self, sample_disk};
use crate::recording::Recording;
use crate::vhdx_image::{Block, DISK_ID, FULLY_PRESENT, ITEMS_AT, UNDEFINED, UNMAPPED, Vhdx, ZERO, put};

const MIB: u64 = 1 << 20;

/// Not a multiple of any block.
const ODD_SIZE: u64 = 37 * MIB + 5 * 512;

fn open_bytes(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    image::open_bytes(Format::Vhdx, image)
}

fn open_recorded<S: DiskSource>(file: &Arc<Recording<S>>) -> Arc<dyn DiskSource> {
    let file = ImageFile::new(Arc::clone(file) as Arc<dyn DiskSource>, "disk.vhdx");
    OpenOptions::new().format(Format::Vhdx).open_image(&file).unwrap()
}

/// A dynamic disk of four blocks, the second and fourth allocated, the fourth first.
fn small() -> Vhdx {
    Vhdx::new(4 * MIB).full(3, 4).full(1, 2)
}

// What QEMU writes.

/// The VHDX that QEMU makes of a sample disk reads as QEMU reads it, and stays as it was.
fn assert_agrees_with_qemu(options: &str) {
    let folder = TempDir::new().unwrap();
    let raw = sample_disk(folder.path(), ODD_SIZE);
    let Some(vhdx) = image_of(&raw, "vhdx", options) else { return };
    let before = (fs::read(&vhdx).unwrap(), fs::metadata(&vhdx).unwrap().modified().unwrap());

    let source = source::open(&vhdx, Format::Detect).unwrap();

    assert_eq!(Some(source.size_bytes()), size_of(&vhdx, "vhdx"));
    let disk = assert_keeps_contract(&*source);
    assert!(before == (fs::read(&vhdx).unwrap(), fs::metadata(&vhdx).unwrap().modified().unwrap()));
    assert!(Some(&disk) == bytes_of(&vhdx, "vhdx").as_ref(), "QEMU reads other bytes");
    assert!(disk == fs::read(&raw).unwrap(), "the disk that went in came out");
    assert_eq!(source.notes(), [""; 0]);
}

#[test]
fn a_dynamic_vhdx_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=dynamic");
}

#[test]
fn a_dynamic_vhdx_in_small_blocks_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=dynamic,block_size=1M");
}

#[test]
fn a_dynamic_vhdx_in_the_largest_blocks_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=dynamic,block_size=256M");
}

#[test]
fn a_dynamic_vhdx_with_blocks_marked_zero_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=dynamic,block_size=1M,block_state_zero=on,log_size=3M");
}

#[test]
fn a_fixed_vhdx_reads_as_qemu_reads_it() {
    assert_agrees_with_qemu("subformat=fixed,block_size=2M");
}

#[test]
fn a_fixed_vhdx_has_the_holes_of_its_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhdx");
    let mut disk = Vhdx::new(4 * MIB).full(0, 1).full(1, 0).full(2, 3).full(3, 0);
    disk.is_fixed = true;
    let image = disk.build();
    let file = File::create(&path).unwrap();
    file.set_len(image.len() as u64).unwrap();
    let pieces = image.chunks(MIB as usize).zip((0..).step_by(MIB as usize));
    pieces
        .filter(|(piece, _)| piece.iter().any(|byte| *byte != 0))
        .for_each(|(piece, at)| file.write_all_at(piece, at).unwrap());

    let source = source::open(&path, Format::Detect).unwrap();

    assert_keeps_contract(&*source);
    assert_eq!(holes(&*source), [MIB..2 * MIB, 3 * MIB..4 * MIB]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whatever_qemu_wrote_reads_back(
        writes in prop::collection::vec((0u64..9 * 2048 - 600, 1u64..600, 1u8..), 1..12),
        block_mib in prop::sample::select(vec![1u64, 2, 8]),
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("disk.vhdx");
        let options = format!("subformat=dynamic,block_size={block_mib}M");
        let arguments = ["create", "-q", "-f", "vhdx", "-o", &options, path.to_str().unwrap(), "9M"];
        let Some(made) = qemu_img(arguments) else { return Ok(()) };
        made.unwrap();
        let write = |(at, len, byte): &(u64, u64, u8)| format!("write -P {byte} {} {}", at * 512, len * 512);
        let commands: Vec<String> = writes.iter().map(write).collect();
        qemu_io(&path, "vhdx", &commands);
        let mut expected = vec![0; 9 * MIB as usize];
        for (at, len, byte) in writes {
            expected[at as usize * 512..(at + len) as usize * 512].fill(byte);
        }

        let source = source::open(&path, Format::Vhdx).unwrap();

        prop_assert!(assert_keeps_contract(&*source) == expected);
    }
}

// Block states.

#[test]
fn blocks_read_as_their_states_say_and_as_qemu_reads_them() {
    let disk = Vhdx::new(7 * MIB - 512)
        .full(6, 7)
        .full(1, 2)
        .with(2, Block::State(UNDEFINED))
        .with(3, Block::State(ZERO))
        .with(4, Block::State(UNMAPPED))
        .full(5, 6);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhdx");
    fs::write(&path, disk.build()).unwrap();

    let bytes = assert_keeps_contract(&*source::open(&path, Format::Detect).unwrap());

    let mut expected: Vec<u8> = [0, 2, 0, 0, 0, 6, 7].into_iter().flat_map(|byte| vec![byte; MIB as usize]).collect();
    expected.truncate(7 * MIB as usize - 512);
    assert!(bytes == expected);
    let Some(as_qemu) = bytes_of(&path, "vhdx") else { return };
    assert!(bytes == as_qemu);
}

#[test]
fn neighbouring_blocks_of_a_kind_are_one_extent() {
    let disk = Vhdx::new(8 * MIB).full(6, 1).full(1, 1).full(2, 1).with(4, Block::State(ZERO));

    let found = extents(&*open_bytes(disk.build()).unwrap(), 0..8 * MIB, 99);

    let found: Vec<(Range<u64>, bool, bool)> =
        found.into_iter().map(|e| (e.extent.range(), e.allocated, e.reads_as_zero)).collect();
    assert_eq!(
        found,
        [
            (0..MIB, false, true),
            (MIB..3 * MIB, true, false),
            (3 * MIB..6 * MIB, false, true),
            (6 * MIB..7 * MIB, true, false),
            (7 * MIB..8 * MIB, false, true),
        ]
    );
}

#[test]
fn blocks_side_by_side_in_the_file_are_read_at_once() {
    let disk = Vhdx::new(4 * MIB).full(2, 3).full(0, 1).full(1, 2);
    let blocks_at = disk.blocks_at() as u64;
    let file = Arc::new(Recording::new(disk.build()));
    let source = open_recorded(&file);
    file.take_reads();

    source.read_at(100, &mut vec![0; 3 * MIB as usize]).unwrap();

    assert_eq!(file.take_reads(), [blocks_at + MIB + 100..blocks_at + 3 * MIB, blocks_at..blocks_at + MIB]);
}

/// A disk of two and a half chunks of 16 blocks.
fn in_chunks() -> Vhdx {
    let mut disk = Vhdx::new(40 * 256 * MIB);
    disk.block = 256 * MIB;
    disk
}

#[test]
fn sector_bitmap_entries_lie_between_the_entries_of_blocks() {
    let disk = in_chunks();
    let mut image = disk.build();
    let blocks_mib = disk.blocks_at() as u64 / MIB;
    for (number, mib) in [(15, blocks_mib + 256), (16, blocks_mib), (32, blocks_mib + 512)] {
        put(&mut image, disk.entry_at(number), &(mib << 20 | FULLY_PRESENT).to_le_bytes());
    }
    let file = Arc::new(Recording::new(HugeFile { start: image, size: 900 * MIB }));
    let source = open_recorded(&file);
    file.take_reads();

    for number in [15, 16, 32] {
        source.read_at(number * 256 * MIB + 512, &mut [0; 512]).unwrap();
    }

    let reads: Vec<u64> = file.take_reads().into_iter().map(|read| (read.start - 512) / MIB - blocks_mib).collect();
    assert_eq!(reads, [256, 0, 512]);
    assert_eq!(holes(&*source), [0..15 * 256 * MIB, 17 * 256 * MIB..32 * 256 * MIB, 33 * 256 * MIB..40 * 256 * MIB]);
}

#[test]
fn sectors_of_4096_bytes_make_chunks_eight_times_as_large() {
    let mut disk = in_chunks();
    disk.sector = 4096;
    disk.size = 130 * 256 * MIB;
    let mut image = disk.build();
    let blocks_mib = disk.blocks_at() as u64 / MIB;
    for (number, mib) in [(3, blocks_mib + 256), (129, blocks_mib)] {
        put(&mut image, disk.entry_at(number), &(mib << 20 | FULLY_PRESENT).to_le_bytes());
    }
    let file = HugeFile { start: image, size: 600 * MIB };

    let source = open_recorded(&Arc::new(Recording::new(file)));

    assert_eq!(holes(&*source), [0..3 * 256 * MIB, 4 * 256 * MIB..129 * 256 * MIB]);
}

// Identity, moments, costs.

#[test]
fn a_vhdx_is_known_by_its_disk_id_and_its_files_point() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhdx");
    fs::write(&path, small().build()).unwrap();

    let source = source::open(&path, Format::Detect).unwrap();

    assert_eq!(source.identity().unwrap(), "vhdx:11112222-3333-4444-5555-666677778888");
    assert_eq!(source.point(), source::RawSource::open(&path).unwrap().point());
}

#[test]
fn a_vhdx_without_a_disk_id_has_no_identity() {
    let mut image = small().build();
    put(&mut image, ITEMS_AT + DISK_ID, &[0; 16]);

    assert_eq!(open_bytes(image).unwrap().identity(), None);
}

/// The start of a file, then zeros for as long as it claims to be.
struct HugeFile {
    start: Vec<u8>,
    size: u64,
}

impl DiskSource for HugeFile {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn extents(&self, _: Range<u64>, _: usize) -> Result<Vec<SourceExtent>, SourceError> {
        unreachable!("a dynamic disk's extents come from its table")
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        buf.fill(0);
        let from = offset.min(self.start.len() as u64) as usize;
        let len = buf.len().min(self.start.len() - from);
        buf[..len].copy_from_slice(&self.start[from..from + len]);
        Ok(())
    }
}

#[test]
fn mapping_two_tebibytes_reads_the_table_once_and_no_payload() {
    let disk = Vhdx::new(2 << 40);
    let mut image = disk.build();
    let blocks_mib = disk.blocks_at() as u64 / MIB;
    for number in (0..2 << 20).step_by(2) {
        put(&mut image, disk.entry_at(number), &((blocks_mib + number) << 20 | FULLY_PRESENT).to_le_bytes());
    }
    let table_bytes = (2 << 20) * 8 + 512 * 8;
    let file = Arc::new(Recording::new(HugeFile { start: image, size: 3 << 40 }));

    let source = open_recorded(&file);
    let opening: u64 = file.take_reads().into_iter().map(|read| read.end - read.start).sum();
    let found = extents(&*source, 0..2 << 40, 1 << 16);

    assert_eq!(found.len(), 2 << 20);
    assert!((table_bytes..table_bytes + MIB).contains(&opening), "{opening} bytes");
    assert_eq!(file.take_reads(), []);
}

#[test]
fn absent_blocks_read_nothing_from_the_file() {
    let file = Arc::new(Recording::new(small().build()));
    let source = open_recorded(&file);
    file.take_reads();

    source.read_at(2 * MIB, &mut vec![1; MIB as usize]).unwrap();

    assert_eq!(file.take_reads(), []);
}
