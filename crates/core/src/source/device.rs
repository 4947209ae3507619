//! What Linux says of a block device: whether somebody writes to it, and whether it is a moment of its own.
//!
//! A device below a file system that is mounted read-write changes while it is read; the copy would be of no
//! moment at all. It may be below it directly, through a partition, or through a stack of other devices
//! (LVM, device mapper, md), so everything that stands on the device is looked at.
//!
//! A device-mapper device that is read-only and on which nothing is mounted read-write is a moment: LVM makes
//! such snapshots (`lvcreate --snapshot --permission r`), and their UUID is new with each. Others may be
//! moments too, but only the caller knows.
//!
//! Not seen: mounts in mount namespaces other than this process's and init's, and programs that write to the
//! device itself. Sources: Linux 6.18, `Documentation/ABI/stable/sysfs-block` and
//! `Documentation/filesystems/proc.rst` (3.5, mountinfo).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Major and minor number.
type DeviceNumber = (u32, u32);

/// What stands on a device, and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceState {
    /// Where something on it is mounted read-write, or that it is swapped to.
    pub(super) written_by: Option<String>,
    /// The moment that the device is, where the kernel can tell.
    pub(super) point: Option<String>,
}

/// Where the kernel's word is read from.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    root: PathBuf,
}

impl Kernel {
    /// The running one.
    pub(super) fn running() -> Self {
        Self { root: "/".into() }
    }

    /// The state of the device with this number.
    pub(super) fn state_of(&self, device: u64) -> DeviceState {
        let number = (rustix::fs::major(device), rustix::fs::minor(device));
        let mut stack = BTreeSet::new();
        self.collect(number, &mut stack);
        let written_by = self.mounted(&stack).or_else(|| self.swapped(&stack));
        let folder = self.folder(number);
        let is_read_only = read(&folder.join("ro")).is_some_and(|ro| ro == "1");
        let point = read(&folder.join("dm/uuid"))
            .filter(|uuid| is_read_only && written_by.is_none() && !uuid.is_empty())
            .map(|uuid| format!("dm:{uuid}"));
        DeviceState { written_by, point }
    }

    /// The device, its partitions, and everything that stands on any of them.
    fn collect(&self, number: DeviceNumber, stack: &mut BTreeSet<DeviceNumber>) {
        if !stack.insert(number) {
            return;
        }
        let folder = self.folder(number);
        let partitions = children(&folder).into_iter().filter(|child| child.join("partition").exists());
        let holders = children(&folder.join("holders"));
        for above in partitions.chain(holders).filter_map(|child| parse_number(&read(&child.join("dev"))?)) {
            self.collect(above, stack);
        }
    }

    fn folder(&self, (major, minor): DeviceNumber) -> PathBuf {
        self.root.join(format!("sys/dev/block/{major}:{minor}"))
    }

    /// Where one of the devices is mounted read-write.
    fn mounted(&self, devices: &BTreeSet<DeviceNumber>) -> Option<String> {
        let tables = ["proc/self/mountinfo", "proc/1/mountinfo"].into_iter().filter_map(|at| read(&self.root.join(at)));
        for table in tables {
            for mount in table.lines().filter_map(Mount::parse).filter(|mount| mount.is_writable) {
                // Btrfs and others stand on a device without carrying its number.
                let number = if mount.number.0 == 0 { self.number_of(&mount.source) } else { Some(mount.number) };
                if number.is_some_and(|number| devices.contains(&number)) {
                    return Some(format!("mounted read-write at {}", mount.point));
                }
            }
        }
        None
    }

    fn swapped(&self, devices: &BTreeSet<DeviceNumber>) -> Option<String> {
        let table = read(&self.root.join("proc/swaps"))?;
        let areas = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        let area = areas.map(unescaped).find(|area| self.number_of(area).is_some_and(|n| devices.contains(&n)))?;
        Some(format!("swapped to as {area}"))
    }

    /// The number of the block device at `path`.
    fn number_of(&self, path: &str) -> Option<DeviceNumber> {
        let metadata = fs::metadata(self.root.join(path.trim_start_matches('/'))).ok()?;
        let device = metadata.file_type().is_block_device().then(|| metadata.rdev())?;
        Some((rustix::fs::major(device), rustix::fs::minor(device)))
    }
}

/// A line of `mountinfo`.
struct Mount {
    number: DeviceNumber,
    point: String,
    source: String,
    is_writable: bool,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let number = parse_number(fields.nth(2)?)?;
        let point = unescaped(fields.nth(1)?);
        let mut fields = after.split(' ');
        let source = unescaped(fields.nth(1)?);
        // The file system's own options: a read-only bind mount of it does not keep others from writing.
        let is_writable = fields.next()?.split(',').any(|option| option == "rw");
        Some(Self { number, point, source, is_writable })
    }
}

fn parse_number(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescaped(field: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) if byte == b'\\' => {
                plain.push(code);
                rest = &after[3..];
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn read(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A machine's `/sys` and `/proc`, as far as they matter here.
    struct Machine(TempDir);

    impl Machine {
        fn new(mountinfo: &str) -> Self {
            let machine = Self(TempDir::new().unwrap());
            machine.put("proc/self/mountinfo", mountinfo);
            machine
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }

        /// A device at its place in `/sys`, and its partitions.
        fn device(&self, name: &str, number: &str, partitions: &[(&str, &str)]) {
            let folder = format!("sys/devices/{name}");
            self.put(&format!("{folder}/dev"), number);
            self.put(&format!("{folder}/ro"), "0");
            fs::create_dir_all(self.0.path().join(&folder).join("holders")).unwrap();
            self.link(&format!("sys/dev/block/{number}"), &folder);
            for (name, number) in partitions {
                self.put(&format!("{folder}/{name}/dev"), number);
                self.put(&format!("{folder}/{name}/partition"), "1");
                fs::create_dir_all(self.0.path().join(&folder).join(name).join("holders")).unwrap();
                self.link(&format!("sys/dev/block/{number}"), &format!("{folder}/{name}"));
            }
        }

        fn link(&self, from: &str, to: &str) {
            let from = self.0.path().join(from);
            fs::create_dir_all(from.parent().unwrap()).unwrap();
            symlink(self.0.path().join(to), from).unwrap();
        }

        fn state_of(&self, major: u32, minor: u32) -> DeviceState {
            Kernel { root: self.0.path().into() }.state_of(rustix::fs::makedev(major, minor))
        }
    }

    const ROOT_ON_DM: &str = "29 1 252:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw,errors=remount-ro";

    /// A disk with a partition, on which LVM has the root file system and a snapshot of it.
    fn machine_with_lvm() -> Machine {
        let machine = Machine::new(ROOT_ON_DM);
        machine.device("sda", "8:0", &[("sda1", "8:1")]);
        for (name, number) in [("dm-0", "252:0"), ("dm-1", "252:1")] {
            machine.device(name, number, &[]);
            machine.put(&format!("sys/devices/{name}/dm/uuid"), &format!("LVM-{name}"));
            machine.link(&format!("sys/devices/sda/sda1/holders/{name}"), &format!("sys/devices/{name}"));
        }
        machine
    }

    #[test]
    fn a_mounted_volume_is_seen_through_all_that_is_below_it() {
        let machine = machine_with_lvm();

        for (major, minor) in [(252, 0), (8, 1), (8, 0)] {
            let state = machine.state_of(major, minor);
            assert_eq!(state.written_by.as_deref(), Some("mounted read-write at /"), "{major}:{minor}");
        }
    }

    #[test]
    fn a_snapshot_of_a_mounted_volume_is_not_mounted() {
        assert_eq!(machine_with_lvm().state_of(252, 1), DeviceState::default());
    }

    #[test]
    fn a_read_only_snapshot_is_a_moment() {
        let machine = machine_with_lvm();
        machine.put("sys/devices/dm-1/ro", "1");

        assert_eq!(machine.state_of(252, 1).point.as_deref(), Some("dm:LVM-dm-1"));
    }

    #[test]
    fn a_file_system_that_is_mounted_read_only_does_not_count() {
        let machine = Machine::new("29 1 8:0 / /srv ro - ext4 /dev/sda ro");
        machine.device("sda", "8:0", &[]);

        assert_eq!(machine.state_of(8, 0).written_by, None);
    }

    #[test]
    fn a_read_only_view_of_a_writable_file_system_counts() {
        let machine = Machine::new(r"29 1 8:0 / /srv/read\040only ro,relatime - ext4 /dev/sda rw");
        machine.device("sda", "8:0", &[]);

        assert_eq!(machine.state_of(8, 0).written_by.as_deref(), Some("mounted read-write at /srv/read only"));
    }

    #[test]
    fn a_mount_that_init_has_counts() {
        let machine = Machine::new("");
        machine.put("proc/1/mountinfo", "29 1 8:0 / / rw - ext4 /dev/sda rw");
        machine.device("sda", "8:0", &[]);

        assert!(machine.state_of(8, 0).written_by.is_some());
    }

    #[test]
    fn devices_that_stand_on_each_other_in_a_circle_end() {
        let machine = Machine::new("");
        machine.device("dm-0", "252:0", &[]);
        machine.link("sys/devices/dm-0/holders/dm-0", "sys/devices/dm-0");

        assert_eq!(machine.state_of(252, 0), DeviceState::default());
    }

    #[test]
    fn a_device_that_the_kernel_tells_nothing_of_has_no_point() {
        assert_eq!(Machine::new("nonsense").state_of(9, 9), DeviceState::default());
    }
}
