//! Change lists in every shape that is read: read or refused, and what is read stays inside the disk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::{ChangeId, ChangeList};

const DISK_BYTES: u64 = 1 << 30;

fuzz_target!(|data: &[u8]| {
    let (base, end) = (|| ChangeId::new("a"), || ChangeId::new("b"));
    let bitmap = ChangeList::from_allocation_bitmap(end(), data, 4096, 512);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lists = [
        ChangeList::from_json(text),
        ChangeList::from_vmware(base(), end(), text),
        ChangeList::from_hyper_v(base(), end(), text),
        ChangeList::from_qemu_bitmap(base(), end(), text),
        ChangeList::from_vddk_allocated(end(), text),
        ChangeList::from_csv(base(), end(), 1 << 20, text),
        bitmap,
    ];
    for changed in lists.into_iter().flatten().filter_map(|list| list.changed(DISK_BYTES).ok()) {
        assert!(changed.iter().all(|extent| extent.end() <= DISK_BYTES));
    }
});
