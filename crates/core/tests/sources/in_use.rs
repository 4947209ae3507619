//! Disks of which only what is in use counts.

use std::sync::Arc;

use libmigrate::source::{ChangeId, ChangeList, ChangeListError, DiskSource, InUse};
use proptest::prelude::*;

use crate::contract::{assert_keeps_contract, holes};
use crate::recording::Recording;

const DISK: u64 = 64 << 10;

/// A disk full of ones, whose file system uses these units of 4 KiB.
fn used(bitmap: &[u8]) -> (InUse, Arc<Recording<Vec<u8>>>) {
    let disk = Arc::new(Recording::new(vec![1; DISK as usize]));
    let list = ChangeList::from_allocation_bitmap(ChangeId::new("now"), bitmap, 4096, 0).unwrap();
    (InUse::new(Arc::clone(&disk) as Arc<dyn DiskSource>, &list).unwrap(), disk)
}

#[test]
fn what_is_not_in_use_is_zeros_and_never_read() {
    let (source, disk) = used(&[0b0000_0110, 0b1000_0000]);

    let bytes = assert_keeps_contract(&source);

    assert_eq!(holes(&source), [0..4096, 12_288..61_440]);
    assert!((0..DISK).all(|at| bytes[at as usize] == u8::from((4096..12_288).contains(&at) || at >= 61_440)));
    assert!(disk.take_reads().iter().all(|read| read.start >= 4096 && (read.end <= 12_288 || read.start >= 61_440)));
}

#[test]
fn what_the_list_does_not_cover_counts_as_in_use() {
    let (source, _) = used(&[0b0000_0001]);

    assert_eq!(holes(&source), vec![4096..32_768; 1]);
}

#[test]
fn a_list_of_another_disk_is_refused() {
    let mut list = ChangeList::new(ChangeId::new("*"), ChangeId::new("now"), u64::MAX);
    list.push(DISK, 512).unwrap();

    let refused = InUse::new(Arc::new(vec![1; DISK as usize]), &list);

    assert!(matches!(refused, Err(ChangeListError::BeyondDisk { .. })));
}

proptest! {
    #[test]
    fn any_bitmap_gives_a_source_that_keeps_the_contract(bitmap in prop::collection::vec(any::<u8>(), 0..3)) {
        let (source, _) = used(&bitmap);
        let bytes = assert_keeps_contract(&source);
        for unit in 0..16 {
            let is_used = bitmap.get(unit / 8).is_none_or(|byte| byte & (1 << (unit % 8)) != 0);
            prop_assert_eq!(bytes[unit * 4096], u8::from(is_used));
        }
    }
}
