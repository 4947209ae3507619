//! A change list in its JSON form: read or refused, and what is read stays inside the disk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libmigrate::source::ChangeList;

const DISK_BYTES: u64 = 1 << 30;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(list) = ChangeList::from_json(text) else { return };
    let Ok(changed) = list.changed(DISK_BYTES) else { return };
    assert!(changed.iter().all(|extent| extent.end() <= DISK_BYTES));
});
