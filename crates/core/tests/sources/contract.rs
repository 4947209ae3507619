//! The contract of `DiskSource`, as a check that every source must pass.

use std::ops::Range;
use std::thread;

use libmigrate::source::{DiskSource, SourceExtent};

/// Holds `source` to its contract and returns the disk's bytes.
#[track_caller]
pub(crate) fn assert_keeps_contract(source: &dyn DiskSource) -> Vec<u8> {
    let size = source.size_bytes();
    assert!(size > 0, "a disk has bytes");
    let disk = read(source, 0..size, 4 << 20);

    assert!(read(source, 0..size, 99_991) == disk, "odd reads give the same bytes as large ones");
    source.read_at(size, &mut []).expect("reading nothing at the end succeeds");

    for range in [0..size, 1..size, size / 3..size / 2 + 1, size - 1..size] {
        for max in [1, 3, usize::MAX] {
            for found in extents(source, range.clone(), max) {
                assert!(!found.reads_as_zero || is_zero(&disk, found), "{found:?} is claimed zero and is not");
            }
        }
    }

    thread::scope(|scope| {
        for from in [0, 1 % size, size / 2, size - 1] {
            let disk = &disk;
            scope.spawn(move || {
                extents(source, from..size, 1);
                assert!(read(source, from..size, 65_537) == disk[from as usize..], "threads read the same bytes");
            });
        }
    });
    disk
}

/// All extents of `range`, asked for `max` at a time; no gap, no overlap, no overhang.
#[track_caller]
pub(crate) fn extents(source: &dyn DiskSource, range: Range<u64>, max: usize) -> Vec<SourceExtent> {
    let mut all = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let found = source.extents(at..range.end, max).expect("extents of a range inside the disk");
        assert!((1..=max).contains(&found.len()), "between one and {max} extents, not {}", found.len());
        for found in found {
            assert_eq!(found.extent.offset(), at, "extents come in order, without gaps");
            at = found.extent.end();
            all.push(found);
        }
    }
    assert_eq!(at, range.end, "extents end where the range ends");
    all
}

/// The parts of the disk that are claimed to read as zero.
pub(crate) fn holes(source: &dyn DiskSource) -> Vec<Range<u64>> {
    let all = extents(source, 0..source.size_bytes(), usize::MAX);
    all.into_iter().filter(|found| found.reads_as_zero).map(|found| found.extent.range()).collect()
}

fn read(source: &dyn DiskSource, range: Range<u64>, piece: u64) -> Vec<u8> {
    let mut bytes = vec![0xa5; (range.end - range.start) as usize];
    for (buf, offset) in bytes.chunks_mut(piece as usize).zip((range.start..).step_by(piece as usize)) {
        source.read_at(offset, buf).expect("a read inside the disk");
    }
    bytes
}

fn is_zero(disk: &[u8], found: SourceExtent) -> bool {
    disk[found.extent.offset() as usize..found.extent.end() as usize].iter().all(|byte| *byte == 0)
}
