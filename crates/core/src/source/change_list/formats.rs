//! The shapes in which hypervisors and their tools hand change lists out.
//!
//! All are read the same way: units to bytes with checked arithmetic, pages in any order, areas unsorted or
//! overlapping, fields that are not known passed over. What no page speaks for stays uncovered, and so
//! counts as changed; an empty page that covers something is fine. Nothing is believed about the disk's size
//! here; [`ChangeList::changed`] holds the list against the disk.
//!
//! Sources: Broadcom, VI JSON API 8.0, `DiskChangeInfo` and `VirtualMachine.QueryChangedDiskAreas`, and the
//! Virtual Disk Development Kit's `VixDiskLib_QueryAllocatedBlocks`; Microsoft Learn,
//! `QueryChangesVirtualDisk` (virtdisk.h) and `Msvm_ImageManagementService.GetVirtualDiskChanges` (Hyper-V
//! WMI v2); nbdinfo(1), `--map --json`. All as read in November 2026.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{ChangeId, ChangeList, ChangeListError};

/// The bytes of a sector, in which the Virtual Disk Development Kit counts.
const SECTOR: u64 = 512;

/// One answer, or the answers of one query page by page.
#[derive(Deserialize)]
#[serde(untagged)]
enum Pages<T> {
    Many(Vec<T>),
    One(T),
}

impl<T: DeserializeOwned> Pages<T> {
    fn read(json: &str) -> Result<Vec<T>, ChangeListError> {
        match serde_json::from_str(json) {
            Ok(Self::Many(pages)) => Ok(pages),
            Ok(Self::One(page)) => Ok(vec![page]),
            Err(e) => Err(ChangeListError::Json { problem: e.to_string() }),
        }
    }
}

/// `DiskChangeInfo`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VmwarePage {
    start_offset: u64,
    length: u64,
    #[serde(default)]
    changed_area: Vec<VmwareArea>,
}

#[derive(Deserialize)]
struct VmwareArea {
    start: u64,
    length: u64,
}

/// The answer of `QueryChangesVirtualDisk` with its ranges, or of `GetVirtualDiskChanges` with two lists.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HyperVPage {
    byte_offset: u64,
    #[serde(alias = "ProcessedByteLength")]
    processed_length: u64,
    #[serde(default)]
    ranges: Vec<HyperVRange>,
    #[serde(default)]
    changed_byte_offsets: Vec<u64>,
    #[serde(default)]
    changed_byte_lengths: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HyperVRange {
    byte_offset: u64,
    byte_length: u64,
}

#[derive(Deserialize)]
struct NbdinfoPiece {
    offset: u64,
    length: u64,
    /// Bit 0: dirty.
    r#type: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VddkPage {
    start_sector: u64,
    num_sectors: u64,
    chunk_size: u64,
    allocated_blocks: Vec<VddkBlock>,
}

#[derive(Deserialize)]
struct VddkBlock {
    offset: u64,
    length: u64,
}

impl ChangeList {
    /// `VMware`: the answers of `QueryChangedDiskAreas`, one or an array of them, as JSON with the API's own
    /// names: `{"startOffset": 0, "length": 1073741824, "changedArea": [{"start": 65536, "length": 65536}]}`.
    ///
    /// `base` is the change id that was asked with, `end` that of the snapshot. An answer speaks for
    /// `startOffset` to `startOffset + length`; a query that was not repeated to the disk's end leaves the
    /// rest uncovered.
    pub fn from_vmware(base: ChangeId, end: ChangeId, json: &str) -> Result<Self, ChangeListError> {
        let mut list = Self::new(base, end, 0);
        for page in Pages::<VmwarePage>::read(json)? {
            list.cover(page.start_offset, page.length)?;
            for area in page.changed_area {
                list.push(area.start, area.length)?;
            }
        }
        Ok(list)
    }

    /// Hyper-V: the answers of `QueryChangesVirtualDisk` (`{"ByteOffset": 0, "ProcessedLength": 1073741824,
    /// "Ranges": [{"ByteOffset": 65536, "ByteLength": 65536}]}`) or of `GetVirtualDiskChanges`
    /// (`"ProcessedByteLength"`, `"ChangedByteOffsets": [...]`, `"ChangedByteLengths": [...]`), one or an
    /// array of them.
    ///
    /// An answer speaks for the processed length only, which is less than what was asked for whenever there
    /// were more ranges than room; the rest is asked for again.
    pub fn from_hyper_v(base: ChangeId, end: ChangeId, json: &str) -> Result<Self, ChangeListError> {
        let mut list = Self::new(base, end, 0);
        for page in Pages::<HyperVPage>::read(json)? {
            if page.changed_byte_offsets.len() != page.changed_byte_lengths.len() {
                let (offsets, lengths) = (page.changed_byte_offsets.len(), page.changed_byte_lengths.len());
                let problem = format!("it has {offsets} ChangedByteOffsets and {lengths} ChangedByteLengths");
                return Err(ChangeListError::Json { problem });
            }
            list.cover(page.byte_offset, page.processed_length)?;
            for range in page.ranges {
                list.push(range.byte_offset, range.byte_length)?;
            }
            for (offset, len) in page.changed_byte_offsets.into_iter().zip(page.changed_byte_lengths) {
                list.push(offset, len)?;
            }
        }
        Ok(list)
    }

    /// QEMU and libvirt: a dirty bitmap as `nbdinfo --map=qemu:dirty-bitmap:NAME --json` prints it.
    ///
    /// Anything but "clean" (0) counts as changed, and so does what the map leaves out.
    pub fn from_qemu_bitmap(base: ChangeId, end: ChangeId, json: &str) -> Result<Self, ChangeListError> {
        let mut list = Self::new(base, end, 0);
        for piece in Pages::<NbdinfoPiece>::read(json)? {
            list.cover(piece.offset, piece.length)?;
            if piece.r#type != 0 {
                list.push(piece.offset, piece.length)?;
            }
        }
        Ok(list)
    }

    /// `VMware`: what is in use, by `VixDiskLib_QueryAllocatedBlocks`, as JSON, all numbers in sectors of 512
    /// bytes: `{"startSector": 0, "numSectors": 2097152, "chunkSize": 128, "allocatedBlocks": [{"offset": 0,
    /// "length": 128}]}`. A list from [the empty disk](ChangeId::EMPTY_DISK) on.
    ///
    /// The call answers for whole chunks; a tail shorter than one stays uncovered, and so counts as in use.
    pub fn from_vddk_allocated(end: ChangeId, json: &str) -> Result<Self, ChangeListError> {
        let mut list = Self::new(ChangeId::new(ChangeId::EMPTY_DISK), end, 0);
        for page in Pages::<VddkPage>::read(json)? {
            let whole = page.num_sectors.checked_div(page.chunk_size).unwrap_or(0) * page.chunk_size;
            list.cover(bytes(page.start_sector)?, bytes(whole)?)?;
            for block in page.allocated_blocks {
                list.push(bytes(block.offset)?, bytes(block.length)?)?;
            }
        }
        Ok(list)
    }

    /// A file system's allocation bitmap (NTFS `$Bitmap`, ext4 block bitmaps one after the other): one bit for
    /// each unit of `unit_bytes`, the lowest bit of each byte first, from the disk's byte `offset` on. A list
    /// from [the empty disk](ChangeId::EMPTY_DISK) on.
    ///
    /// Bytes outside the file system are uncovered, and so count as in use.
    pub fn from_allocation_bitmap(
        end: ChangeId,
        bitmap: &[u8],
        unit_bytes: u64,
        offset: u64,
    ) -> Result<Self, ChangeListError> {
        let mut list = Self::new(ChangeId::new(ChangeId::EMPTY_DISK), end, 0);
        let overflow = ChangeListError::Overflow { offset, len: unit_bytes };
        let units = bitmap.len() as u64 * 8;
        list.cover(offset, units.checked_mul(unit_bytes).ok_or(overflow)?)?;
        let is_set = |unit: u64| bitmap[(unit / 8) as usize] & (1 << (unit % 8)) != 0;
        let mut unit = 0;
        while unit < units {
            let run = (unit..units).take_while(|other| is_set(*other) == is_set(unit)).count() as u64;
            if is_set(unit) {
                list.push(offset + unit * unit_bytes, run * unit_bytes)?;
            }
            unit += run;
        }
        Ok(list)
    }

    /// Comma-separated lines `offset,length` in bytes, `covered_to` as in [`new`](Self::new). Empty lines,
    /// lines that start with `#`, and a first line of words are passed over.
    pub fn from_csv(base: ChangeId, end: ChangeId, covered_to: u64, text: &str) -> Result<Self, ChangeListError> {
        let mut list = Self::new(base, end, covered_to);
        let mut is_first = true;
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let is_heading = std::mem::take(&mut is_first) && !line.contains(|c: char| c.is_ascii_digit());
            if is_heading {
                continue;
            }
            let wrong = |problem: &str| ChangeListError::Csv { line: number, problem: problem.into() };
            let (offset, len) = line.split_once(',').ok_or_else(|| wrong("two numbers are wanted: offset,length"))?;
            let number = |field: &str| field.trim().parse().map_err(|_| wrong("a number of bytes is not one"));
            list.push(number(offset)?, number(len)?)?;
        }
        Ok(list)
    }
}

fn bytes(sectors: u64) -> Result<u64, ChangeListError> {
    sectors.checked_mul(SECTOR).ok_or(ChangeListError::Overflow { offset: sectors, len: SECTOR })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::extent::ExtentSet;

    const DISK: u64 = 1 << 20;

    fn id(name: &str) -> ChangeId {
        ChangeId::new(name)
    }

    fn ranges(set: &ExtentSet) -> Vec<(u64, u64)> {
        set.iter().map(|e| (e.offset(), e.end())).collect()
    }

    fn changed(list: Result<ChangeList, ChangeListError>) -> Vec<(u64, u64)> {
        ranges(&list.unwrap().changed(DISK).unwrap())
    }

    #[test]
    fn vmware_pages_are_joined_and_unknown_fields_passed_over() {
        let pages = r#"[
            {"_typeName": "DiskChangeInfo", "startOffset": 0, "length": 524288,
             "changedArea": [{"_typeName": "DiskChangeExtent", "start": 131072, "length": 65536}]},
            {"startOffset": 524288, "length": 524288}
        ]"#;
        assert_eq!(changed(ChangeList::from_vmware(id("a"), id("b"), pages)), [(131_072, 196_608)]);
    }

    #[test]
    fn a_vmware_query_that_stopped_early_leaves_the_rest_changed() {
        let page = r#"{"startOffset": 0, "length": 524288, "changedArea": []}"#;
        assert_eq!(changed(ChangeList::from_vmware(id("a"), id("b"), page)), [(524_288, DISK)]);
    }

    #[test]
    fn hyper_v_ranges_speak_for_what_was_processed() {
        let page = r#"{"ByteOffset": 0, "ByteLength": 1048576, "ProcessedLength": 1000000,
                       "Ranges": [{"ByteOffset": 4096, "ByteLength": 4096, "Reserved": 0}]}"#;
        assert_eq!(changed(ChangeList::from_hyper_v(id("a"), id("b"), page)), [(4096, 8192), (1_000_000, DISK)]);
    }

    #[test]
    fn hyper_v_lists_of_the_management_interface_are_paired() {
        let page = r#"{"ByteOffset": 0, "ProcessedByteLength": 1048576,
                       "ChangedByteOffsets": [8192, 0], "ChangedByteLengths": [512, 512]}"#;
        assert_eq!(changed(ChangeList::from_hyper_v(id("a"), id("b"), page)), [(0, 512), (8192, 8704)]);
        let odd = r#"{"ByteOffset": 0, "ProcessedByteLength": 1048576, "ChangedByteOffsets": [8192]}"#;
        assert!(matches!(ChangeList::from_hyper_v(id("a"), id("b"), odd), Err(ChangeListError::Json { .. })));
    }

    #[test]
    fn a_qemu_bitmap_names_its_dirty_pieces() {
        let map = r#"[{"offset": 0, "length": 65536, "type": 0, "description": "clean"},
                      {"offset": 65536, "length": 65536, "type": 1, "description": "dirty"},
                      {"offset": 131072, "length": 917504, "type": 0, "description": "clean"}]"#;
        assert_eq!(changed(ChangeList::from_qemu_bitmap(id("a"), id("b"), map)), [(65_536, 131_072)]);
    }

    #[test]
    fn a_vddk_tail_shorter_than_a_chunk_counts_as_in_use() {
        let page = r#"{"startSector": 0, "numSectors": 2047, "chunkSize": 128,
                       "allocatedBlocks": [{"offset": 128, "length": 128}]}"#;
        assert_eq!(changed(ChangeList::from_vddk_allocated(id("b"), page)), [(65_536, 131_072), (983_040, DISK)]);
    }

    #[test]
    fn a_vddk_page_without_a_chunk_size_covers_nothing() {
        let page = r#"{"startSector": 0, "numSectors": 2048, "chunkSize": 0, "allocatedBlocks": []}"#;
        assert_eq!(changed(ChangeList::from_vddk_allocated(id("b"), page)), [(0, DISK)]);
    }

    #[test]
    fn a_bitmap_speaks_for_its_volume_alone() {
        let list = ChangeList::from_allocation_bitmap(id("b"), &[0b0000_0110, 0x00], 4096, 65_536);
        assert_eq!(changed(list), [(0, 65_536), (69_632, 77_824), (131_072, DISK)]);
    }

    #[test]
    fn csv_is_read_line_by_line() {
        let list = ChangeList::from_csv(id("a"), id("b"), u64::MAX, "offset,length\n# areas\n\n4096, 512\r\n0,512\n");
        assert_eq!(changed(list), [(0, 512), (4096, 4608)]);
    }

    #[test]
    fn a_line_that_is_no_pair_is_named() {
        let error = ChangeList::from_csv(id("a"), id("b"), u64::MAX, "0,512\n4096\n").unwrap_err();
        assert!(matches!(error, ChangeListError::Csv { line: 2, .. }), "{error}");
        let error = ChangeList::from_csv(id("a"), id("b"), u64::MAX, "0,512\n-1,5\n").unwrap_err();
        assert!(matches!(error, ChangeListError::Csv { line: 2, .. }), "{error}");
    }

    #[test]
    fn numbers_that_overflow_are_refused() {
        let huge = u64::MAX;
        let page = format!(r#"{{"startOffset": 1, "length": {huge}}}"#);
        let overflow = |list: Result<ChangeList, _>| matches!(list, Err(ChangeListError::Overflow { .. }));

        assert!(overflow(ChangeList::from_vmware(id("a"), id("b"), &page)));
        let page = format!(r#"{{"startSector": {huge}, "numSectors": 1, "chunkSize": 1, "allocatedBlocks": []}}"#);
        assert!(overflow(ChangeList::from_vddk_allocated(id("b"), &page)));
        assert!(overflow(ChangeList::from_allocation_bitmap(id("b"), &[1], huge, 1)));
    }

    fn areas() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0..DISK, 0..100_000u64), 0..20)
    }

    proptest! {
        #[test]
        fn every_shape_of_a_list_says_the_same(areas in areas()) {
            let field = |offset: &str, len: &str| {
                let all: Vec<_> = areas.iter().map(|(at, n)| format!(r#"{{"{offset}":{at},"{len}":{n}}}"#)).collect();
                all.join(",")
            };
            let vmware =
                format!(r#"{{"startOffset":0,"length":{DISK},"changedArea":[{}]}}"#, field("start", "length"));
            let hyper_v = format!(
                r#"{{"ByteOffset":0,"ProcessedLength":{DISK},"Ranges":[{}]}}"#,
                field("ByteOffset", "ByteLength")
            );
            let csv: Vec<String> = areas.iter().map(|(offset, len)| format!("{offset},{len}")).collect();
            let csv = csv.join("\n");
            let own = format!(r#"{{"base":"a","end":"b","extents":[{}]}}"#, field("offset", "len"));

            let expected = changed(ChangeList::from_json(&own));

            prop_assert_eq!(&changed(ChangeList::from_vmware(id("a"), id("b"), &vmware)), &expected);
            prop_assert_eq!(&changed(ChangeList::from_hyper_v(id("a"), id("b"), &hyper_v)), &expected);
            prop_assert_eq!(&changed(ChangeList::from_csv(id("a"), id("b"), u64::MAX, &csv)), &expected);
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,200}") {
            _ = ChangeList::from_vmware(id("a"), id("b"), &text);
            _ = ChangeList::from_hyper_v(id("a"), id("b"), &text);
            _ = ChangeList::from_qemu_bitmap(id("a"), id("b"), &text);
            _ = ChangeList::from_vddk_allocated(id("b"), &text);
            _ = ChangeList::from_csv(id("a"), id("b"), 0, &text);
        }
    }
}
