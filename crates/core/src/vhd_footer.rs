//! The 512-byte footer that ends every VHD, and that makes a replica a disk in Azure's eyes.
//!
//! All fields are big-endian. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version
//! 1.0 (October 2006), "Hard Disk Footer Format" and the appendix "CHS Calculation".
//!
//! One place knows the layout: sources decode footers that others wrote ([`VhdFooter::decode`]), replicas
//! end in one that we write ([`fixed_footer`]).

use jiff::Timestamp;
use uuid::Uuid;

use crate::byte_order::{be32, be64, field};
use crate::size::PAGE;

/// Length of a VHD footer: one page after the disk's last byte.
pub const FOOTER_BYTES: u64 = PAGE;

/// The footer as it is stored.
pub(crate) type FooterPage = [u8; FOOTER_BYTES as usize];

/// What a VHD footer starts with.
pub(crate) const COOKIE: &[u8; 8] = b"conectix";

/// "No more headers follow": what a fixed disk has in its data offset.
const NO_OFFSET: u64 = u64::MAX;

/// 2000-01-01T00:00:00Z, from which VHD counts its seconds.
const VHD_EPOCH: i64 = 946_684_800;

/// Where the checksum is kept; it counts as zero in its own sum.
const CHECKSUM_AT: usize = 64;

/// What a disk's bytes are laid out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskType {
    /// The disk's bytes from offset 0, then the footer.
    Fixed,
    /// Blocks allocated on demand, found through a table.
    Dynamic,
    /// Blocks that differ from a parent disk.
    Differencing,
    /// A number that the specification reserves or has retired.
    Other(u32),
}

/// The fields of a footer that say what the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VhdFooter {
    /// Where the dynamic header is; all ones in a fixed disk.
    pub(crate) data_offset: u64,
    /// Size in bytes as the guest sees it.
    pub(crate) virtual_bytes: u64,
    /// Layout.
    pub(crate) disk_type: DiskType,
    /// The disk's own id.
    pub(crate) disk_id: Uuid,
}

impl VhdFooter {
    /// Reads a footer. `Err` says what is wrong with it.
    pub(crate) fn decode(page: &FooterPage) -> Result<Self, String> {
        if !page.starts_with(COOKIE) {
            return Err("it does not start with \"conectix\"".into());
        }
        let (stored, sum) = (be32(page, CHECKSUM_AT), checksum(page, CHECKSUM_AT));
        if stored != sum {
            return Err(format!("its checksum is {stored:#010x}, its bytes give {sum:#010x}"));
        }
        let version = be32(page, 12);
        if version >> 16 != 1 {
            return Err(format!("its format version is {version:#010x}; only 1.x is known"));
        }
        Ok(Self {
            data_offset: be64(page, 16),
            virtual_bytes: virtual_bytes(page),
            disk_type: match be32(page, 60) {
                2 => DiskType::Fixed,
                3 => DiskType::Dynamic,
                4 => DiskType::Differencing,
                other => DiskType::Other(other),
            },
            disk_id: Uuid::from_bytes(field(page, 68)),
        })
    }
}

/// The size that the writer of the footer meant.
///
/// Two sizes are stored, and programs disagree on which is the disk's. Virtual PC shows its guest the
/// product of the geometry and leaves "current size" a little larger; QEMU copies that for images that
/// say `qemu` (it says `qem2` where it means the exact size). Everybody else means "current size", and so
/// does a geometry at its maximum, which cannot say more. This is the rule of QEMU's `block/vpc.c`, so
/// that a disk has the same size here and there; a geometry of zero says nothing and is not used.
fn virtual_bytes(page: &FooterPage) -> u64 {
    let geometry = Chs { cylinders: u16::from_be_bytes(field(page, 56)), heads: page[58], sectors: page[59] };
    let by_geometry = matches!(&field(page, 28), b"vpc " | b"qemu") && geometry.sectors() < MAX_GEOMETRY_SECTORS;
    if by_geometry && geometry.sectors() > 0 { geometry.sectors() * 512 } else { be64(page, 48) }
}

/// The footer of a fixed disk of `virtual_bytes`, which is at most 8 TiB.
///
/// Creator `win ` with the geometry of the specification, as Hyper-V writes it: every reader then takes
/// "current size" for the size. Under creator `qemu`, QEMU would take the geometry, and cut the disk.
pub(crate) fn fixed_footer(virtual_bytes: u64, disk_id: Uuid, created: Timestamp) -> FooterPage {
    let geometry = Chs::for_size(virtual_bytes);
    let seconds = u32::try_from((created.as_second() - VHD_EPOCH).max(0)).unwrap_or(u32::MAX);
    let mut page = [0; FOOTER_BYTES as usize];
    let mut put = |at: usize, field: &[u8]| page[at..at + field.len()].copy_from_slice(field);
    put(0, COOKIE);
    put(8, &2u32.to_be_bytes()); // features: the bit that is always set
    put(12, &0x0001_0000u32.to_be_bytes()); // format version 1.0
    put(16, &NO_OFFSET.to_be_bytes());
    put(24, &seconds.to_be_bytes());
    put(28, b"win ");
    put(32, &0x000A_0000u32.to_be_bytes()); // creator version 10.0, as Windows Server 2016 and later write
    put(36, b"Wi2k");
    put(40, &virtual_bytes.to_be_bytes()); // original size
    put(48, &virtual_bytes.to_be_bytes()); // current size
    put(56, &geometry.cylinders.to_be_bytes());
    put(58, &[geometry.heads, geometry.sectors]);
    put(60, &2u32.to_be_bytes()); // fixed
    put(68, disk_id.as_bytes());
    let sum = checksum(&page, CHECKSUM_AT);
    page[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
    page
}

/// Whether `page` is the footer, to the last byte, that we write for this disk; only its date may be any.
pub(crate) fn is_footer_of(page: &[u8], virtual_bytes: u64, disk_id: Uuid) -> bool {
    let Ok(page) = <&FooterPage>::try_from(page) else { return false };
    let created = Timestamp::from_second(VHD_EPOCH + i64::from(be32(page, 24)));
    created.is_ok_and(|created| *page == fixed_footer(virtual_bytes, disk_id, created))
}

/// The complement of the sum of all bytes, the four at `checksum_at` counted as zero.
pub(crate) fn checksum(structure: &[u8], checksum_at: usize) -> u32 {
    let (before, after) = (&structure[..checksum_at], &structure[checksum_at + 4..]);
    !before.iter().chain(after).fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}

/// The most sectors that a geometry can name, by the specification's calculation.
const MAX_GEOMETRY_SECTORS: u64 = 65_535 * 16 * 255;

/// A drive's geometry, as BIOSes of the 1990s counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chs {
    cylinders: u16,
    heads: u8,
    sectors: u8,
}

impl Chs {
    /// The appendix "CHS Calculation", line by line.
    fn for_size(virtual_bytes: u64) -> Self {
        let total = (virtual_bytes / 512).min(MAX_GEOMETRY_SECTORS);
        let (sectors, heads) = if total >= 65_535 * 16 * 63 {
            (255, 16)
        } else {
            let heads = (total / 17).div_ceil(1024).max(4);
            if heads <= 16 && total / 17 < heads * 1024 {
                (17, heads)
            } else if total / 31 < 16 * 1024 {
                (31, 16)
            } else {
                (63, 16)
            }
        };
        Self { cylinders: (total / sectors / heads) as u16, heads: heads as u8, sectors: sectors as u8 }
    }

    fn sectors(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::size::{MAX_DISK_BYTES, MIB};

    const GIB: u64 = 1024 * MIB;

    fn chs(virtual_bytes: u64) -> (u16, u8, u8) {
        let Chs { cylinders, heads, sectors } = Chs::for_size(virtual_bytes);
        (cylinders, heads, sectors)
    }

    fn footer(virtual_bytes: u64) -> FooterPage {
        fixed_footer(virtual_bytes, Uuid::from_u128(7), "2026-01-02T03:04:05Z".parse().unwrap())
    }

    /// `page` under a creator and a geometry of the test's choice, the checksum made right.
    fn rewritten(mut page: FooterPage, creator: [u8; 4], geometry: [u8; 4]) -> FooterPage {
        page[28..32].copy_from_slice(&creator);
        page[56..60].copy_from_slice(&geometry);
        let sum = checksum(&page, CHECKSUM_AT);
        page[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        page
    }

    #[test]
    fn the_geometry_is_the_one_that_hyper_v_writes() {
        assert_eq!(chs(127 * GIB), (65_278, 16, 255));
        assert_eq!(chs(4 * MIB), (120, 4, 17));
    }

    #[test]
    fn the_geometry_is_the_specifications_in_each_of_its_cases() {
        assert_eq!(chs(MIB), (30, 4, 17));
        assert_eq!(chs(100 * MIB), (1003, 12, 17));
        assert_eq!(chs(200 * MIB), (825, 16, 31));
        assert_eq!(chs(GIB), (2080, 16, 63));
        assert_eq!(chs(MAX_DISK_BYTES), (65_535, 16, 255));
    }

    #[test]
    fn every_field_is_where_the_specification_puts_it() {
        let page = footer(4 * MIB);

        assert_eq!(&page[..24], b"conectix\0\0\0\x02\0\x01\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(be32(&page, 24), 820_638_245, "seconds from 2000-01-01 to 2026-01-02T03:04:05");
        assert_eq!(&page[28..40], b"win \0\x0a\0\0Wi2k");
        assert_eq!((be64(&page, 40), be64(&page, 48)), (4 * MIB, 4 * MIB));
        assert_eq!(page[56..64], [0, 120, 4, 17, 0, 0, 0, 2]);
        assert_eq!(page[68..84], Uuid::from_u128(7).into_bytes());
        assert_eq!(page[84..], [0; 428]);
    }

    #[test]
    fn a_time_before_the_formats_epoch_counts_as_the_epoch() {
        let page = fixed_footer(MIB, Uuid::nil(), Timestamp::UNIX_EPOCH);
        assert_eq!(be32(&page, 24), 0);
    }

    #[test]
    fn a_footer_of_ours_is_read_as_any_other() {
        let read = VhdFooter::decode(&footer(127 * GIB)).unwrap();
        assert_eq!((read.virtual_bytes, read.disk_id), (127 * GIB, Uuid::from_u128(7)));
        assert_eq!((read.disk_type, read.data_offset), (DiskType::Fixed, NO_OFFSET));
    }

    #[test]
    fn the_size_is_the_geometrys_only_for_programs_that_mean_it() {
        let size =
            |creator, geometry| VhdFooter::decode(&rewritten(footer(GIB), creator, geometry)).unwrap().virtual_bytes;
        let small = [0, 100, 4, 17];

        assert_eq!(size(*b"vpc ", small), 100 * 4 * 17 * 512);
        assert_eq!(size(*b"qemu", small), 100 * 4 * 17 * 512);
        assert_eq!(size(*b"win ", small), GIB);
        assert_eq!(size(*b"qem2", small), GIB);
        assert_eq!(size(*b"vpc ", [0xff, 0xff, 16, 255]), GIB, "a geometry at its maximum says nothing");
        assert_eq!(size(*b"vpc ", [0; 4]), GIB, "nor does an empty one");
    }

    #[test]
    fn another_format_version_is_refused() {
        let mut page = footer(MIB);
        page[13] = 2;
        page[67] = page[67].wrapping_sub(1);
        assert!(VhdFooter::decode(&page).unwrap_err().contains("0x00020000"));
    }

    #[test]
    fn qemu_reads_our_footer_and_finds_the_exact_size() {
        let file = tempfile::Builder::new().suffix(".vhd").tempfile().unwrap();
        let virtual_bytes = 37 * MIB;
        write_sparse_disk(file.as_file(), virtual_bytes);

        let Ok(answer) =
            Command::new("qemu-img").args(["info", "-f", "vpc", "--output=json"]).arg(file.path()).output()
        else {
            println!("SKIPPED: qemu-img is not installed");
            return;
        };

        let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!((&answer["format"], &answer["virtual-size"]), (&"vpc".into(), &virtual_bytes.into()));
    }

    fn write_sparse_disk(file: &File, virtual_bytes: u64) {
        file.set_len(virtual_bytes + FOOTER_BYTES).unwrap();
        file.write_all_at(&footer(virtual_bytes), virtual_bytes).unwrap();
    }

    #[test]
    fn the_footer_of_a_disk_is_told_from_every_other() {
        let id = Uuid::from_u128(7);
        assert!(is_footer_of(&footer(GIB), GIB, id));
        assert!(is_footer_of(&fixed_footer(GIB, id, Timestamp::UNIX_EPOCH), GIB, id), "whenever it was written");
        assert!(!is_footer_of(&footer(GIB), GIB + MIB, id));
        assert!(!is_footer_of(&footer(GIB), GIB, Uuid::from_u128(8)));
        assert!(!is_footer_of(&footer(GIB)[..511], GIB, id));
        let mut swapped = footer(GIB);
        swapped.swap(100, 28);
        assert!(VhdFooter::decode(&swapped).is_ok(), "the checksum is a sum");
        assert!(!is_footer_of(&swapped, GIB, id));
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(at in 0..FOOTER_BYTES as usize, with in 1u8..) {
            let mut page = footer(GIB);
            page[at] ^= with;
            prop_assert!(VhdFooter::decode(&page).is_err());
            prop_assert!(!is_footer_of(&page, GIB, Uuid::from_u128(7)));
        }

        #[test]
        fn the_geometry_never_names_more_than_the_disk_holds(mib in 1..MAX_DISK_BYTES / MIB) {
            let geometry = Chs::for_size(mib * MIB);
            prop_assert!(geometry.cylinders > 0);
            prop_assert!(geometry.sectors() * 512 <= mib * MIB);
        }
    }
}
