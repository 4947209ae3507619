//! The disks of a server.

use super::case::{AGENT, AGENTLESS, ALL, Case, VMWARE, generation, is_windows};
use super::rule::{Found, rules};
use super::server::repeated;
use crate::control::limits::{Limit, LimitName};
use crate::control::model::{DiskFacts, Machine, MachineDisk};
use crate::control::settings::{DiskSettings, ServerSettings};
use crate::finding::documents::{ARTICLE, AZ_MIGRATE, PHYSICAL_MATRIX, VMWARE as TUTORIAL, VMWARE_MATRIX};

rules! {
    NO_OS_DISK: "disk.no_os_disk", Error, ALL, ARTICLE,
        "One disk of a server is named as the one with the boot loader and the operating system.",
        "mark the disk that the server starts from",
        no_os_disk;
    TWO_OS_DISKS: "disk.two_os_disks", Error, ALL, AZ_MIGRATE,
        "Only one disk of a server is its operating-system disk.",
        "mark one disk only",
        two_os_disks;
    TWICE: "disk.twice", Error, ALL, AZ_MIGRATE,
        "A disk is replicated once; ids differ in more than case.",
        "leave one of the two out",
        twice;
    UNKNOWN: "disk.unknown", Error, ALL, ARTICLE,
        "The disk is one of the server's.",
        "correct the id of the disk, or wait until discovery has seen it",
        unknown;
    LEFT_OUT: "disk.left_out", Warning, ALL, ARTICLE,
        "A disk that is left out is not on the machine in Azure.",
        "add the disk, if the machine needs it",
        left_out;
    TOO_MANY: "disk.too_many", Error, ALL, VMWARE_MATRIX,
        "A server has at most as many disks as its kind of migration takes.",
        "leave disks out, or migrate the server in another way",
        too_many;
    OS_TOO_LARGE: "disk.os_too_large", Error, ALL, VMWARE_MATRIX,
        "The operating-system disk is at most as large as its kind of migration and its firmware allow.",
        "shrink the disk, or migrate the server in another way",
        os_too_large;
    DATA_TOO_LARGE: "disk.data_too_large", Error, ALL, VMWARE_MATRIX,
        "A data disk is at most as large as its kind of migration allows.",
        "leave the disk out, shrink it, or migrate the server in another way",
        data_too_large;
    INDEPENDENT: "disk.independent", Error, VMWARE, VMWARE_MATRIX,
        "A disk takes part in snapshots: independent disks cannot be replicated without an agent.",
        "make the disk dependent in vSphere, leave it out, or migrate the server with an agent",
        independent;
    VMDK_NAME: "disk.vmdk_name", Error, VMWARE, TUTORIAL,
        "The name of a disk's file has only ASCII characters.",
        "rename the disk's file in vSphere, leave the disk out, or migrate the server with an agent",
        vmdk_name;
    BITLOCKER: "disk.bitlocker", Error, ALL, VMWARE_MATRIX,
        "BitLocker is off on a disk that is replicated.",
        "turn BitLocker off on the server before it is replicated, or leave the disk out",
        bitlocker;
    ENCRYPTED: "disk.encrypted", Error, ALL, VMWARE_MATRIX,
        "Neither a disk nor a volume on it is encrypted.",
        "decrypt the disk before it is replicated, or leave it out",
        encrypted;
    SHARED: "disk.shared", Error, ALL, VMWARE_MATRIX,
        "A disk belongs to one machine: shared disks, whether by a cluster, by several writers or as a shared VHD, are not migrated.",
        "leave the disk out and move what is on it in another way",
        shared;
    PASSTHROUGH: "disk.passthrough", Error, AGENTLESS, VMWARE_MATRIX,
        "A disk is a file of its host: raw device mappings and disks that are passed through are not replicated without an agent.",
        "leave the disk out, turn it into a virtual disk, or migrate the server with an agent",
        passthrough;
    FIBRE_CHANNEL: "disk.fibre_channel", Error, ALL, VMWARE_MATRIX,
        "A guest reaches no disk by Fibre Channel.",
        "leave the disk out and move what is on it in another way",
        fibre_channel;
    PARTITIONS: "disk.partitions", Error, AGENT, PHYSICAL_MATRIX,
        "The operating-system disk of a server that starts by UEFI has at most four partitions.",
        "remove partitions of the disk before it is replicated",
        partitions;
    FILE_SYSTEM: "disk.file_system", Error, AGENT, PHYSICAL_MATRIX,
        "The volumes of the operating-system disk of a Windows server that starts by UEFI are formatted with NTFS.",
        "format the volume with NTFS, or move what is on it to another disk",
        file_system;
    NAME: "disk.name", Error, ALL, AZ_MIGRATE,
        "The name of a disk has 1 to 80 letters, digits, hyphens, underscores and dots; it begins with a letter or digit and does not end with a hyphen or dot.",
        "give the disk another name, or leave the name to the service",
        name;
    NAME_TWICE: "disk.name_twice", Error, ALL, AZ_MIGRATE,
        "The names of disks differ in more than case.",
        "give one of the two another name",
        name_twice;
    NAME_TAKEN: "disk.name_taken", Error, ALL, AZ_MIGRATE,
        "No disk of that name is in the target's resource group yet.",
        "give the disk another name, leave the name to the service, or choose another resource group",
        name_taken;
}

fn no_os_disk(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        if !server.disks.iter().any(|disk| disk.is_os) {
            found.broken(&server.name, "no disk is marked as the operating system's");
        }
    }
}

fn two_os_disks(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let marked: Vec<_> = server.disks.iter().filter(|disk| disk.is_os).map(|disk| &*disk.id).collect();
        if marked.len() > 1 {
            found.broken(&server.name, format_args!("several disks are marked: {}", marked.join(", ")));
        }
    }
}

fn twice(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        for id in repeated(server.disks.iter().map(|disk| &*disk.id)) {
            found.broken(&server.name, format_args!("the disk {id} is there more than once"));
        }
    }
}

fn find<'a>(machine: &'a Machine, disk: &DiskSettings) -> Option<&'a MachineDisk> {
    machine.disks.iter().find(|one| one.id.eq_ignore_ascii_case(&disk.id))
}

/// The disks of the settings that the machine has, with what the machine says of them.
fn disks(case: Case<'_>) -> impl Iterator<Item = (&ServerSettings, &Machine, &DiskSettings, &MachineDisk)> {
    case.servers().flat_map(|(server, machine)| {
        machine.into_iter().flat_map(move |machine| {
            server.disks.iter().filter_map(move |disk| Some((server, machine, disk, find(machine, disk)?)))
        })
    })
}

fn unknown(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(machine) = machine else { continue };
        for disk in server.disks.iter().filter(|disk| find(machine, disk).is_none()) {
            found.broken(&server.name, format_args!("the server has no disk {}", disk.id));
        }
    }
}

fn left_out(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        for disk in machine.iter().flat_map(|machine| &machine.disks) {
            if !server.disks.iter().any(|one| one.id.eq_ignore_ascii_case(&disk.id)) {
                found.broken(&server.name, format_args!("the disk {} is not replicated", disk.id));
            }
        }
    }
}

fn too_many(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::DisksPerServer) else { return };
    for server in &case.wanted.servers {
        if server.disks.len() as u64 > limit.value {
            found.exceeds(&server.name, "the server has too many disks", server.disks.len(), limit);
        }
    }
}

const GIB: u64 = 1 << 30;

fn too_large(found: &mut Found<'_>, server: &ServerSettings, disk: &MachineDisk, limit: &Limit) {
    if let Some(size) = disk.size_bytes
        && size > limit.value.saturating_mul(GIB)
    {
        let message = format_args!("the disk {} is too large, in GiB", disk.id);
        found.exceeds(&server.name, message, size.div_ceil(GIB), limit);
    }
}

fn os_too_large(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine, _, disk) in disks(*case).filter(|(_, _, wanted, _)| wanted.is_os) {
        let is_second = generation(machine) == Some(2);
        let name = if is_second { LimitName::OsDiskGibGeneration2 } else { LimitName::OsDiskGib };
        if let Some(limit) = case.limit(name) {
            too_large(found, server, disk, limit);
        }
    }
}

fn data_too_large(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::DataDiskGib) else { return };
    for (server, _, _, disk) in disks(*case).filter(|(_, _, wanted, _)| !wanted.is_os) {
        too_large(found, server, disk, limit);
    }
}

fn independent(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _, _, disk) in disks(*case) {
        if let Some(mode) = disk.mode.as_deref().filter(|mode| mode.to_ascii_lowercase().starts_with("independent")) {
            found.broken(&server.name, format_args!("the disk {} is {mode}", disk.id));
        }
    }
}

fn vmdk_name(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _, _, disk) in disks(*case) {
        if let Some((_, file)) = disk.datastore().filter(|(_, file)| !file.is_ascii()) {
            found.broken(&server.name, format_args!("the disk {} has the file {file:?}", disk.id));
        }
    }
}

fn bitlocker(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _, _, disk) in disks(*case).filter(|(.., disk)| disk.is_bitlocker == Some(true)) {
        found.broken(&server.name, format_args!("BitLocker encrypts the disk {}", disk.id));
    }
}

/// What is found of disks of which the owner told something that must not be.
fn forbidden(case: &Case<'_>, found: &mut Found<'_>, told: fn(&DiskFacts) -> Option<bool>, message: &str) {
    for (server, _, _, disk) in disks(*case).filter(|(.., disk)| told(&disk.facts) == Some(true)) {
        found.broken(&server.name, format_args!("the disk {} {message}", disk.id));
    }
}

fn encrypted(case: &Case<'_>, found: &mut Found<'_>) {
    forbidden(case, found, |facts| facts.is_encrypted, "is encrypted");
}

fn shared(case: &Case<'_>, found: &mut Found<'_>) {
    forbidden(case, found, |facts| facts.is_shared, "is shared with other machines");
}

fn passthrough(case: &Case<'_>, found: &mut Found<'_>) {
    forbidden(case, found, |facts| facts.is_passthrough, "is passed through to the guest");
}

fn fibre_channel(case: &Case<'_>, found: &mut Found<'_>) {
    forbidden(case, found, |facts| facts.is_fibre_channel, "is reached by Fibre Channel");
}

/// The operating-system disks of servers that start by UEFI.
fn uefi_disks(case: Case<'_>) -> impl Iterator<Item = (&ServerSettings, &Machine, &MachineDisk)> {
    let own = disks(case).filter(|(_, machine, wanted, _)| wanted.is_os && generation(machine) == Some(2));
    own.map(|(server, machine, _, disk)| (server, machine, disk))
}

fn partitions(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::PartitionsOfAnOsDisk) else { return };
    for (server, _, disk) in uefi_disks(*case) {
        if let Some(count) = disk.facts.partitions.filter(|count| *count > limit.value) {
            found.exceeds(&server.name, format_args!("the disk {} has too many partitions", disk.id), count, limit);
        }
    }
}

fn file_system(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _, disk) in uefi_disks(*case).filter(|(_, machine, _)| is_windows(machine) == Some(true)) {
        let told = disk.facts.file_systems.iter().flatten();
        for other in told.filter(|told| !told.trim().eq_ignore_ascii_case("NTFS")) {
            let message = format_args!("a volume of the disk {} has another file system", disk.id);
            found.differs(&server.name, message, other, "NTFS");
        }
    }
}

/// Why a name cannot be that of a disk or a network interface.
pub(super) fn flaw_of_name(name: &str, most: u64) -> Option<String> {
    let length = name.chars().count() as u64;
    if length == 0 || length > most {
        return Some(format!("the name has {length} characters, 1 to {most} are allowed"));
    }
    if let Some(c) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !['-', '_', '.'].contains(c)) {
        return Some(format!("the name has the character {c:?}"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Some("the name does not begin with a letter or digit".to_owned());
    }
    name.ends_with(['-', '.']).then(|| "the name ends with a hyphen or dot".to_owned())
}

fn name(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::DiskNameLength) else { return };
    for server in &case.wanted.servers {
        for name in server.disks.iter().filter_map(|disk| disk.name.as_deref()) {
            if let Some(flaw) = flaw_of_name(name, limit.value) {
                found.broken(&server.name, format_args!("the disk's name {name:?}: {flaw}"));
            }
        }
    }
}

fn name_twice(case: &Case<'_>, found: &mut Found<'_>) {
    let names = case.wanted.servers.iter().flat_map(|server| &server.disks).filter_map(|disk| disk.name.as_deref());
    for name in repeated(names) {
        found.broken(name, "more than one disk gets this name");
    }
}

fn name_taken(case: &Case<'_>, found: &mut Found<'_>) {
    let is_taken = |name: &str| case.seen.disk_names.iter().any(|other| other.eq_ignore_ascii_case(name));
    // A server that was cut over has its own disks there.
    for server in case.wanted.servers.iter().filter(|server| !case.is_replicated(server)) {
        for name in server.disks.iter().filter_map(|disk| disk.name.as_deref()).filter(|name| is_taken(name)) {
            let group = &case.wanted.target.resource_group;
            found.broken(&server.name, format_args!("there is a disk {name} in {group}"));
        }
    }
}
