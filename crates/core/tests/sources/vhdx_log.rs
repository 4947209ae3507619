//! VHDXs that were not closed: their log is replayed in memory, or they are refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, ImageFile, OpenOptions, SourceError};
use libmigrate_test_support::qemu::{bytes_of, qemu_img, qemu_io};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, holes};
use crate::image::{self, refusal};
use crate::vhdx_image::{
    Change, FULLY_PRESENT, HEADERS_AT, LOG_AT, LOG_BYTES, LOG_ID, LogEntry, REGIONS_AT, TABLE_AT, Vhdx, open_log, put,
    put_in_headers, put_in_regions, put_log_entry, sum,
};

const MIB: u64 = 1 << 20;

fn open_bytes(image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    image::open_bytes(Format::Vhdx, image)
}

fn read(image: &[u8]) -> Vec<u8> {
    assert_keeps_contract(&*open_bytes(image.to_vec()).unwrap())
}

/// A disk of four blocks, the first two full of 1 and of 2. Bytes of a third block, full of 3, are in the file,
/// and the table does not know them.
fn unfinished() -> Vec<u8> {
    let disk = Vhdx::new(4 * MIB).full(0, 1).full(1, 2);
    let mut image = disk.build();
    image.extend(vec![3; MIB as usize]);
    image
}

/// The table sector of [`unfinished`] with the third block at a place, in MiB, as block `number`.
fn table_with(image: &[u8], number: usize, mib: u64) -> Vec<u8> {
    let mut sector = image[TABLE_AT..TABLE_AT + 4096].to_vec();
    put(&mut sector, number * 8, &(mib << 20 | FULLY_PRESENT).to_le_bytes());
    sector
}

/// An entry at the start of the log, for an image that keeps its length.
fn first(image: &[u8], changes: Vec<Change>) -> LogEntry {
    let len = image.len() as u64;
    LogEntry { at: 0, tail: 0, sequence: 7, flushed: len, last: len, changes }
}

/// [`unfinished`] with the finishing entry in its log.
fn dirty() -> Vec<u8> {
    let mut image = unfinished();
    let entry = first(&image, vec![Change::Write(TABLE_AT as u64, table_with(&image, 2, 6))]);
    put_log_entry(&mut image, &entry);
    open_log(&mut image);
    image
}

fn in_blocks(bytes: [u8; 4]) -> Vec<u8> {
    bytes.into_iter().flat_map(|byte| vec![byte; MIB as usize]).collect()
}

/// The disk as QEMU reads it from a copy of the image after it repaired the copy.
fn as_qemu_reads_it_repaired(image: &[u8]) -> Option<Vec<u8>> {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("copy.vhdx");
    fs::write(&copy, image).unwrap();
    qemu_img([
        "check".as_ref(),
        "-q".as_ref(),
        "-f".as_ref(),
        "vhdx".as_ref(),
        "-r".as_ref(),
        "all".as_ref(),
        copy.as_path(),
    ])?
    .unwrap();
    bytes_of(&copy, "vhdx")
}

#[track_caller]
fn assert_agrees_with_repairing_qemu(image: &[u8]) {
    let Some(as_qemu) = as_qemu_reads_it_repaired(image) else { return };
    assert!(read(image) == as_qemu, "QEMU reads other bytes");
}

#[track_caller]
fn problem_of(image: Vec<u8>) -> String {
    match refusal(open_bytes(image)) {
        error @ SourceError::Damaged { structure: "log", .. } => error.to_string(),
        other => panic!("another refusal: {other:?}"),
    }
}

// What a log changes.

#[test]
fn a_dirty_vhdx_reads_as_after_its_log_and_stays_as_it_was() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.vhdx");
    fs::write(&path, dirty()).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();

    let source = source::open(&path, Format::Detect).unwrap();

    assert!(assert_keeps_contract(&*source) == in_blocks([1, 2, 3, 0]));
    let notes = source.notes();
    assert!(notes.len() == 1 && notes[0].contains("its log was replayed in memory (changes: 1)"), "{notes:?}");
    assert!(fs::read(&path).unwrap() == dirty() && fs::metadata(&path).unwrap().modified().unwrap() == before);
    assert_eq!(source.point(), source::RawSource::open(&path).unwrap().point());
    assert_agrees_with_repairing_qemu(&dirty());
}

#[test]
fn a_log_that_is_not_in_use_changes_nothing() {
    let mut image = dirty();
    put_in_headers(&mut image, 48, &[0; 16]);

    assert!(read(&image) == in_blocks([1, 2, 0, 0]));
    assert_eq!(open_bytes(image).unwrap().notes(), [""; 0]);
}

#[test]
fn zeros_of_the_log_hide_what_the_file_has() {
    let mut image = unfinished();
    let blocks_at = 4 * MIB;
    let changes = vec![
        Change::Write(blocks_at + 8192, vec![9; 4096]),
        Change::Clear(blocks_at + 4096, 65_536),
        Change::Write(blocks_at + 16_384, vec![8; 4096]),
        Change::Clear(blocks_at + MIB - 4096, 8192),
    ];
    let entry = first(&image, changes);
    put_log_entry(&mut image, &entry);
    open_log(&mut image);

    let mut expected = in_blocks([1, 2, 0, 0]);
    expected[4096..4096 + 65_536].fill(0);
    expected[16_384..20_480].fill(8);
    expected[MIB as usize - 4096..MIB as usize + 4096].fill(0);
    assert!(read(&image) == expected);
    assert_agrees_with_repairing_qemu(&image);
}

#[test]
fn a_fixed_disks_zeros_in_the_log_are_holes() {
    let mut disk = Vhdx::new(2 * MIB).full(0, 1).full(1, 2);
    disk.is_fixed = true;
    let mut image = disk.build();
    let changes = vec![Change::Clear(4 * MIB + 8192, 16_384), Change::Write(4 * MIB + 12_288, vec![5; 4096])];
    let entry = first(&image, changes);
    put_log_entry(&mut image, &entry);
    open_log(&mut image);

    let source = open_bytes(image).unwrap();

    assert_keeps_contract(&*source);
    assert_eq!(holes(&*source), [8192..12_288, 16_384..24_576]);
}

#[test]
fn region_tables_are_read_through_the_log() {
    let mut image = dirty();
    let good = image[REGIONS_AT[0]..REGIONS_AT[0] + 4096].to_vec();
    REGIONS_AT.into_iter().for_each(|at| image[at + 100] ^= 1);
    let mut entry = first(&image, vec![Change::Write(TABLE_AT as u64, table_with(&image, 2, 6))]);
    entry.changes.extend(REGIONS_AT.map(|at| Change::Write(at as u64, good.clone())));
    put_log_entry(&mut image, &entry);

    assert!(read(&image) == in_blocks([1, 2, 3, 0]));
}

#[test]
fn a_log_may_say_that_the_file_was_to_grow() {
    let mut image = unfinished();
    let mut entry = first(&image, vec![Change::Write(TABLE_AT as u64, table_with(&image, 3, 7))]);
    entry.last = 8 * MIB;
    put_log_entry(&mut image, &entry);
    open_log(&mut image);

    // QEMU 10.0 refuses it: it does not grow the file to a whole number of MiB, which is the only right one.
    assert!(read(&image) == in_blocks([1, 2, 0, 0]));
}

#[test]
fn a_block_table_where_the_file_was_to_grow_is_refused() {
    let mut image = unfinished();
    let table = image.len() as u64;
    let mut entry = first(&image, Vec::new());
    entry.last = table + MIB;
    put_log_entry(&mut image, &entry);
    open_log(&mut image);
    put_in_regions(&mut image, 32, &table.to_le_bytes());

    let error = refusal(open_bytes(image));

    assert!(matches!(error, SourceError::Damaged { structure: "block table", .. }), "{error}");
}

// Which entries count.

/// An image whose log has these entries one after the other, each its tail, whether it is torn, and where it
/// puts the third block.
fn with_entries(start: usize, entries: &[(usize, bool, usize)]) -> Vec<u8> {
    let mut image = unfinished();
    let mut at = start;
    for (index, (tail, is_torn, number)) in entries.iter().enumerate() {
        let mut table = image[TABLE_AT..TABLE_AT + 4096].to_vec();
        put(&mut table, *number * 8, &(6 << 20 | FULLY_PRESENT).to_le_bytes());
        let changes = vec![Change::Write(TABLE_AT as u64, table)];
        let entry = LogEntry {
            at,
            tail: (start + tail * 8192) % LOG_BYTES,
            sequence: 40 + index as u64,
            ..first(&image, changes)
        };
        let end = put_log_entry(&mut image, &entry);
        if *is_torn {
            image[LOG_AT + (end + LOG_BYTES - 100) % LOG_BYTES] ^= 1;
        }
        at = end;
    }
    open_log(&mut image);
    image
}

#[test]
fn a_later_entry_wins_over_an_earlier_one() {
    let image = with_entries(0, &[(0, false, 2), (0, false, 3)]);

    assert!(read(&image) == in_blocks([1, 2, 0, 3]));
    assert_agrees_with_repairing_qemu(&image);
}

#[test]
fn an_entry_that_was_not_written_to_its_end_was_never_in_force() {
    let image = with_entries(0, &[(0, false, 2), (0, true, 3)]);

    assert!(read(&image) == in_blocks([1, 2, 3, 0]));
    assert_agrees_with_repairing_qemu(&image);
}

#[test]
fn entries_before_the_tail_were_carried_out_already_and_are_not_again() {
    let image = with_entries(0, &[(0, false, 2), (1, false, 3)]);

    assert!(read(&image) == in_blocks([1, 2, 0, 3]));
    assert!(open_bytes(image).unwrap().notes()[0].contains("(changes: 1)"));
}

#[test]
fn a_log_goes_on_at_its_start() {
    let image = with_entries(LOG_BYTES - 4096, &[(0, false, 3), (0, false, 2)]);

    assert!(read(&image) == in_blocks([1, 2, 3, 0]));
    assert_agrees_with_repairing_qemu(&image);
}

#[test]
fn the_newest_run_counts_wherever_it_is() {
    let mut image = with_entries(64 << 10, &[(0, false, 2), (0, false, 3)]);
    let table = table_with(&image, 2, 6);
    let old = LogEntry { sequence: 30, ..first(&image, vec![Change::Write(TABLE_AT as u64, table.clone())]) };
    let newest = LogEntry { at: 512 << 10, tail: 512 << 10, sequence: 90, ..old.clone() };
    put_log_entry(&mut image, &old);
    assert!(read(&image) == in_blocks([1, 2, 0, 3]));

    put_log_entry(&mut image, &newest);

    assert!(read(&image) == in_blocks([1, 2, 3, 0]));
    assert_agrees_with_repairing_qemu(&image);
}

#[test]
fn a_newer_run_that_does_not_have_its_own_tail_does_not_count() {
    let mut image = with_entries(64 << 10, &[(0, false, 2)]);
    let table = Change::Write(TABLE_AT as u64, table_with(&image, 3, 6));
    let torn = LogEntry { at: 512 << 10, tail: 256 << 10, sequence: 90, ..first(&image, vec![table]) };
    put_log_entry(&mut image, &torn);

    assert!(read(&image) == in_blocks([1, 2, 3, 0]));
}

#[test]
fn entries_of_another_use_of_the_log_do_not_count() {
    let mut image = dirty();
    let stale = LogEntry { at: 8192, tail: 8192, sequence: 8, ..first(&image, Vec::new()) };
    put_log_entry(&mut image, &stale);
    image[LOG_AT + 8192 + 32] ^= 1;
    sum(&mut image[LOG_AT + 8192..LOG_AT + 8192 + 4096]);

    assert!(read(&image) == in_blocks([1, 2, 3, 0]));
    assert_agrees_with_repairing_qemu(&image);
}

/// An image with a log entry of this many writes to the first block and clearings of the second, and the disk
/// after it.
fn with_descriptors(writes: u64, clearings: u64) -> (Vec<u8>, Vec<u8>) {
    let mut image = unfinished();
    let mut expected = in_blocks([1, 2, 0, 0]);
    let write = |n| Change::Write(4 * MIB + n * 4096, vec![n as u8; 4096]);
    let changes = (0..writes).map(write).chain((0..clearings).map(|n| Change::Clear(5 * MIB + n * 4096, 4096)));
    let entry = first(&image, changes.collect());
    put_log_entry(&mut image, &entry);
    open_log(&mut image);
    (0..writes as usize).for_each(|n| expected[n * 4096..(n + 1) * 4096].fill(n as u8));
    expected[MIB as usize..][..clearings as usize * 4096].fill(0);
    (image, expected)
}

#[test]
fn an_entry_may_have_as_many_descriptors_as_its_first_sector_holds() {
    let (image, expected) = with_descriptors(66, 60);

    assert!(read(&image) == expected);
    assert_agrees_with_repairing_qemu(&image);
}

#[test]
fn descriptors_go_on_through_further_sectors() {
    let (image, expected) = with_descriptors(200, 200);

    // QEMU 10.0 refuses such an entry, which it never writes.
    assert!(read(&image) == expected);
}

// What must be refused.

#[test]
fn a_log_in_use_without_a_whole_entry_is_refused() {
    let mut image = unfinished();
    open_log(&mut image);
    assert!(problem_of(image).contains("none of its entries is whole"));

    let mut image = dirty();
    image[LOG_AT + 5000] ^= 1;
    assert!(problem_of(image).contains("none of its entries is whole"));
}

#[test]
fn a_log_whose_tail_is_gone_is_refused() {
    let image = with_entries(0, &[(0, true, 2), (0, false, 3)]);
    assert!(problem_of(image).contains("none of its entries is whole"));
}

#[test]
fn parts_of_an_entry_with_other_sequence_numbers_make_it_none() {
    for at in [64 + 24, 4096 + 4, 4096 + 4092, 64, 4096] {
        let mut image = dirty();
        image[LOG_AT + at] ^= 1;
        sum(&mut image[LOG_AT..LOG_AT + 8192]);
        assert!(problem_of(image).contains("none of its entries is whole"), "at {at}");
    }
}

#[test]
fn a_file_that_was_longer_when_its_log_was_written_was_cut() {
    let mut image = unfinished();
    let mut entry = first(&image, Vec::new());
    entry.flushed = 8 * MIB;
    put_log_entry(&mut image, &entry);
    open_log(&mut image);

    assert!(problem_of(image).contains("it was cut"));
}

#[test]
fn changes_of_parts_of_sectors_are_refused() {
    for change in [
        Change::Write(TABLE_AT as u64 + 512, vec![0; 4096]),
        Change::Clear(TABLE_AT as u64, 100),
        Change::Clear(u64::MAX - 4095, 8192),
    ] {
        let mut image = unfinished();
        let entry = first(&image, vec![change]);
        put_log_entry(&mut image, &entry);
        open_log(&mut image);
        assert!(problem_of(image).contains("not whole sectors"));
    }
}

#[test]
fn an_unknown_version_of_the_log_matters_only_while_it_is_in_use() {
    let mut image = dirty();
    put_in_headers(&mut image, 64, &1u16.to_le_bytes());
    assert!(matches!(open_bytes(image.clone()), Err(SourceError::Unsupported { .. })));

    put_in_headers(&mut image, 48, &[0; 16]);
    assert!(open_bytes(image).is_ok());
}

#[test]
fn a_log_of_no_length_or_of_too_much_is_refused() {
    let mut image = dirty();
    put_in_headers(&mut image, 68, &0u32.to_le_bytes());
    assert!(problem_of(image).contains("no room"));

    let mut image = dirty();
    put_in_headers(&mut image, 68, &(512u32 << 20).to_le_bytes());
    put_in_headers(&mut image, 72, &(64 * MIB).to_le_bytes());
    let huge = Arc::new(Sparse { start: image, size: MIB << 10 });
    let error = refusal(OpenOptions::new().format(Format::Vhdx).open_image(&ImageFile::new(huge, "disk.vhdx")));
    assert!(matches!(&error, SourceError::Unsupported { feature, .. } if feature.contains("536870912")), "{error}");
}

/// A log full of entries that each claim all of it costs no more than a few rounds of checksums.
#[test]
fn entries_that_overlap_without_end_are_refused() {
    let mut image = dirty();
    for at in (LOG_AT..LOG_AT + LOG_BYTES).step_by(4096) {
        put(&mut image, at, b"loge");
        put(&mut image, at + 8, &(LOG_BYTES as u32).to_le_bytes());
        put(&mut image, at + 16, &1u64.to_le_bytes());
        put(&mut image, at + 32, &LOG_ID.to_bytes_le());
    }
    assert!(problem_of(image).contains("overlap"));
}

struct Sparse {
    start: Vec<u8>,
    size: u64,
}

impl DiskSource for Sparse {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn extents(
        &self,
        range: std::ops::Range<u64>,
        max: usize,
    ) -> Result<Vec<libmigrate::source::SourceExtent>, SourceError> {
        self.start.extents(range, max)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        self.start.read_at(offset, buf)
    }
}

// A log that QEMU wrote.

/// The log id of the first entry of QEMU's log, and where the sector that it changes is.
fn first_entry_of_qemu(image: &[u8]) -> ([u8; 16], usize) {
    assert_eq!(&image[LOG_AT..LOG_AT + 4], b"loge");
    let changed_at = u64::from_le_bytes(image[LOG_AT + 80..LOG_AT + 88].try_into().unwrap());
    (image[LOG_AT + 32..LOG_AT + 48].try_into().unwrap(), changed_at as usize)
}

/// QEMU closes its log after each change of the table; the image here is one that lost power in between: the
/// header names the log, and the table is as it was before.
fn as_qemu_left_it_at_power_loss(path: &Path) -> Option<Vec<u8>> {
    qemu_img(["create", "-q", "-f", "vhdx", "-o", "block_size=1M", path.to_str().unwrap(), "8M"])?.unwrap();
    qemu_io(path, "vhdx", &["write -P 7 1M 1536K".into()])?;
    let before = fs::read(path).unwrap();
    qemu_io(path, "vhdx", &["write -P 9 5M 512".into()])?;
    let mut image = fs::read(path).unwrap();
    let (log_id, table) = first_entry_of_qemu(&image);
    put(&mut image, table, &before[table..table + 4096]);
    for at in HEADERS_AT {
        put(&mut image, at + 48, &log_id);
        sum(&mut image[at..at + 4096]);
    }
    Some(image)
}

#[test]
fn a_log_that_qemu_wrote_reads_as_qemu_replays_it() {
    let folder = TempDir::new().unwrap();
    let Some(image) = as_qemu_left_it_at_power_loss(&folder.path().join("disk.vhdx")) else { return };

    let disk = read(&image);

    let mut expected = vec![0; 8 * MIB as usize];
    expected[MIB as usize..5 * MIB as usize / 2].fill(7);
    expected[5 * MIB as usize..5 * MIB as usize + 512].fill(9);
    assert!(disk == expected);
    assert_agrees_with_repairing_qemu(&image);
}

// Any history.

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place = 0u64..2 * MIB / 4096;
    let change = prop_oneof![
        (place.clone(), any::<[u8; 16]>()).prop_map(|(sector, bytes)| {
            let mut content = vec![bytes[3]; 4096];
            put(&mut content, 0, &bytes);
            put(&mut content, 4080, &bytes);
            Change::Write(4 * MIB + sector * 4096, content)
        }),
        (place, 1u64..40)
            .prop_map(|(sector, len)| { Change::Clear(4 * MIB + sector * 4096, len.min(512 - sector) * 4096) }),
    ];
    prop::collection::vec(change, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_log_reads_as_its_changes_one_after_the_other(
        entries in prop::collection::vec(changes(), 1..6),
        start in 0..LOG_BYTES / 4096,
        is_fixed: bool,
    ) {
        let mut disk = Vhdx::new(2 * MIB).full(0, 1).full(1, 2);
        disk.is_fixed = is_fixed;
        let mut image = disk.build();
        let mut expected = image[4 * MIB as usize..].to_vec();
        let mut at = start * 4096;
        for (sequence, changes) in (1..).zip(entries) {
            for change in &changes {
                let (offset, bytes) = match change {
                    Change::Write(offset, bytes) => (*offset, bytes.clone()),
                    Change::Clear(offset, len) => (*offset, vec![0; *len as usize]),
                };
                put(&mut expected, (offset - 4 * MIB) as usize, &bytes);
            }
            let entry = LogEntry { at, tail: start * 4096, sequence, ..first(&image, changes) };
            at = put_log_entry(&mut image, &entry);
        }
        open_log(&mut image);

        prop_assert!(read(&image) == expected);
    }
}
