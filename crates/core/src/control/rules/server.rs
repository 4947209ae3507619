//! One server: what it is called, and what it runs.

use std::collections::BTreeMap;

use super::case::{ALL, Case, HYPER_V, VMWARE, generation, is_windows};
use super::rule::{Found, rules};
use crate::control::limits::LimitName;
use crate::control::model::{ChangeTracking, Machine, MachineDisk, MachineOs};
use crate::control::settings::{LinuxLicence, ServerSettings, WindowsLicence};
use crate::finding::documents::{ARTICLE, AZ_MIGRATE, CONCEPTS, HYPER_V_MATRIX, NAMING, VMWARE_MATRIX};

rules! {
    SCENARIO: "server.scenario", Error, ALL, ARTICLE,
        "The settings of a server are those of the kind of migration that it is in.",
        "make the settings for this kind of migration, or migrate the server by itself",
        scenario;
    UNKNOWN: "server.unknown", Error, ALL, ARTICLE,
        "The server was discovered.",
        "wait until discovery has found the server, or correct its id",
        unknown;
    ITEM_TWICE: "server.twice", Error, ALL, AZ_MIGRATE,
        "A server is replicated once.",
        "leave one of the two out",
        twice;
    NAME: "server.name", Error, ALL, VMWARE_MATRIX,
        "The name of a machine has 1 to 63 letters, digits and hyphens, and begins and ends with a letter or digit.",
        "give the machine another name",
        name;
    NAME_TWICE: "server.name_twice", Error, ALL, AZ_MIGRATE,
        "The names of machines differ in more than case.",
        "give one of the two another name",
        name_twice;
    NAME_TAKEN: "server.name_taken", Error, ALL, AZ_MIGRATE,
        "No machine of that name is in the resource group yet.",
        "give the machine another name, or choose another resource group",
        name_taken;
    WINDOWS_NAME: "server.windows_name", Warning, ALL, NAMING,
        "Windows knows itself by at most fifteen characters.",
        "shorten the name; the machine starts all the same, with the name that it has inside",
        windows_name;
    WINDOWS_LICENCE: "server.windows_licence", Error, ALL, ARTICLE,
        "Azure Hybrid Benefit for Windows is for servers that run Windows Server.",
        "leave the benefit out for this server",
        windows_licence;
    LINUX_LICENCE: "server.linux_licence", Error, ALL, AZ_MIGRATE,
        "Azure Hybrid Benefit for Linux is for servers that run Linux.",
        "leave the benefit out for this server",
        linux_licence;
    ACCOUNT_MISSING: "server.account_missing", Error, VMWARE, AZ_MIGRATE,
        "The appliance has an account for snapshots and for moving data.",
        "name the account with which the appliance reaches vCenter",
        account_missing;
    GUEST_32_BIT: "server.guest_32_bit", Error, ALL, VMWARE_MATRIX,
        "The operating system of a server is a 64-bit system.",
        "move what the server does to a 64-bit system: a 32-bit one cannot be migrated",
        guest_32_bit;
    TRACKING_UNSUPPORTED: "server.change_tracking_unsupported", Error, VMWARE, CONCEPTS,
        "vSphere can track what changes on the disks of the machine (CBT).",
        "raise the version of the machine's virtual hardware, or migrate the server with an agent",
        tracking_unsupported;
    SNAPSHOTS: "server.snapshots", Error, VMWARE, CONCEPTS,
        "A machine has no snapshots when change tracking is turned on: vSphere refuses it while there are some.",
        "delete or consolidate the snapshots in vSphere before replication is enabled",
        snapshots;
    TRACKING_OFF: "server.change_tracking_off", Info, VMWARE, CONCEPTS,
        "vSphere tracks what changes on the disks of the machine (CBT); it is turned on when replication is enabled.",
        "",
        tracking_off;
    HOST_VERSION: "server.host_version", Warning, HYPER_V, HYPER_V_MATRIX,
        "The Hyper-V host runs Windows Server 2012 R2, 2016 or 2019.",
        "move the machine to a host that runs one of them, ask Microsoft's support whether the newer one is supported by now, or migrate the server with an agent",
        host_version;
    SITE_RECOVERY: "server.site_recovery", Error, HYPER_V, HYPER_V_MATRIX,
        "A machine that is migrated is not replicated by Site Recovery already.",
        "turn the replication by Site Recovery off on the machine, or fail it over instead of migrating it",
        site_recovery;
    UEFI_CONVERSION: "server.uefi_conversion", Warning, HYPER_V, HYPER_V_MATRIX,
        "A machine of Hyper-V that starts by UEFI runs Windows Server 2012 or later, and its operating-system disk has at most five partitions and less than 300 GB: that edition of the service converts it to BIOS.",
        "look at whether a test migration starts: later editions make a machine of generation 2",
        uefi_conversion;
}

fn scenario(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let own = server.source.scenario();
        if own != case.wanted.scenario {
            found.differs(&server.name, "the settings are for another kind of migration", own, case.wanted.scenario);
        }
    }
}

fn unknown(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _) in case.servers().filter(|(_, machine)| machine.is_none()) {
        found.broken(&server.name, format_args!("{} was not discovered", server.source.machine()));
    }
}

/// What is there more than once, without regard to case.
pub(super) fn repeated<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for text in texts {
        counts.entry(text.to_lowercase()).or_insert((0, text)).0 += 1;
    }
    counts.into_values().filter(|(count, _)| *count > 1).map(|(_, text)| text).collect()
}

fn twice(case: &Case<'_>, found: &mut Found<'_>) {
    for machine in repeated(case.wanted.servers.iter().map(|server| server.source.machine().as_str())) {
        found.broken(machine, "the server is in these settings more than once");
    }
    for item in repeated(case.wanted.servers.iter().map(|server| &*server.item)) {
        found.broken(item, "more than one server has this item name");
    }
}

/// Why a name cannot be a machine's.
fn flaw_of_name(name: &str, most: u64) -> Option<String> {
    let length = name.chars().count() as u64;
    if length == 0 || length > most {
        return Some(format!("the name has {length} characters, 1 to {most} are allowed"));
    }
    if let Some(c) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return Some(format!("the name has the character {c:?}"));
    }
    (name.starts_with('-') || name.ends_with('-')).then(|| "the name begins or ends with a hyphen".to_owned())
}

fn name(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::VmNameLength) else { return };
    for server in &case.wanted.servers {
        if let Some(flaw) = flaw_of_name(&server.name, limit.value) {
            found.broken(&server.name, flaw);
        }
    }
}

fn name_twice(case: &Case<'_>, found: &mut Found<'_>) {
    for name in repeated(case.wanted.servers.iter().map(|server| &*server.name)) {
        found.broken(name, "more than one server gets this name");
    }
}

fn name_taken(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let is_taken = case.seen.vm_names.iter().any(|name| name.eq_ignore_ascii_case(&server.name));
        // A server that was cut over has its own machine there.
        if is_taken && !case.is_replicated(server) {
            let group = &case.wanted.target.resource_group;
            found.broken(&server.name, format_args!("there is a machine of this name in {group}"));
        }
    }
}

fn windows_name(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::WindowsNameLength) else { return };
    for (server, machine) in case.servers() {
        let length = server.name.chars().count();
        let is_windows = machine.and_then(is_windows) == Some(true);
        // What is no name at all is said by the rule for names.
        let fits = case.limit(LimitName::VmNameLength).is_none_or(|most| length as u64 <= most.value);
        if is_windows && fits && length as u64 > limit.value {
            found.exceeds(&server.name, "the name is longer than Windows takes", length, limit);
        }
    }
}

fn windows_licence(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let is_other = machine.and_then(is_windows) == Some(false);
        if server.licences.windows == WindowsLicence::HybridBenefit && is_other {
            found.broken(&server.name, "the server does not run Windows");
        }
    }
}

fn linux_licence(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let is_other = machine.and_then(is_windows) == Some(true);
        if server.licences.linux == LinuxLicence::HybridBenefit && is_other {
            found.broken(&server.name, "the server runs Windows");
        }
    }
}

fn account_missing(case: &Case<'_>, found: &mut Found<'_>) {
    use crate::control::settings::Source;

    for server in &case.wanted.servers {
        if let Source::VmwareAgentless(source) = &server.source
            && [&source.data_mover_account, &source.snapshot_account].iter().any(|id| id.as_str().is_empty())
        {
            found.broken(&server.name, "no account is named");
        }
    }
}

fn guest_32_bit(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(os) = machine.and_then(|machine| machine.os.as_ref()) else { continue };
        if os.is_64_bit() == Some(false) {
            let MachineOs { architecture, .. } = os;
            let told = architecture.as_deref().unwrap_or_default();
            found.differs(&server.name, "the operating system is a 32-bit one", told, "64-bit");
        }
    }
}

/// The machines on which replication is still to be turned on: those that replicate have snapshots of the appliance,
/// and tracking that it looks after.
fn untouched(case: Case<'_>) -> impl Iterator<Item = (&ServerSettings, &Machine)> {
    let new = case.servers().filter(move |(server, _)| !case.is_replicated(server));
    new.filter_map(|(server, machine)| Some((server, machine?)))
}

fn tracking_unsupported(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _) in untouched(*case).filter(|(_, one)| one.change_tracking == Some(ChangeTracking::Unsupported)) {
        found.broken(&server.name, "vSphere cannot track what changes on the disks of the machine");
    }
}

/// How many snapshots are in the way of change tracking.
fn in_the_way(machine: &Machine) -> Option<u64> {
    let is_open = !matches!(machine.change_tracking, Some(ChangeTracking::On | ChangeTracking::Unsupported));
    machine.snapshots.filter(|count| *count > 0 && is_open)
}

fn snapshots(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in untouched(*case) {
        if let Some(count) = in_the_way(machine) {
            found.differs(&server.name, "the machine has snapshots, and its changes are not tracked yet", count, 0);
        }
    }
}

fn tracking_off(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in untouched(*case) {
        if machine.change_tracking == Some(ChangeTracking::Off) && in_the_way(machine).is_none() {
            found.broken(&server.name, "vSphere does not track changes yet; that is turned on with replication");
        }
    }
}

/// What a host of Hyper-V may run.
///
/// Source: Microsoft Learn, "Support matrix for Hyper-V migration" (2020-04). Later editions may name later ones.
const HOSTS: [&str; 3] = ["2012 R2", "2016", "2019"];

fn host_version(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(told) = machine.and_then(|machine| machine.host_os.as_deref()) else { continue };
        let folded = told.to_ascii_uppercase();
        if !HOSTS.iter().any(|host| folded.contains(host)) {
            found.differs(&server.name, "the document does not name what the host runs", told, HOSTS.join(", "));
        }
    }
}

fn site_recovery(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let is_replicated = machine.and_then(|machine| machine.is_on_site_recovery) == Some(true);
        if is_replicated && !case.is_replicated(server) {
            found.broken(&server.name, "Site Recovery replicates the machine already");
        }
    }
}

/// Whether the system is known to be none that is converted: Linux, or a Windows before Windows Server 2012.
fn is_not_converted(machine: &Machine) -> bool {
    let name = machine.os.as_ref().and_then(|os| os.name.as_deref()).unwrap_or_default();
    let is_old = ["2000", "2003", "2008"].iter().any(|year| name.contains(year));
    is_windows(machine) == Some(false) || (is_windows(machine) == Some(true) && is_old)
}

fn uefi_conversion(case: &Case<'_>, found: &mut Found<'_>) {
    let limit = |name| case.limit(name).map_or(u64::MAX, |limit| limit.value);
    let (partitions, gib) = (limit(LimitName::PartitionsOfAnOsDisk), limit(LimitName::ConvertedOsDiskGib));
    let most = limit(LimitName::OsDiskGibGeneration2);
    for (server, machine) in case.servers() {
        let Some(machine) = machine.filter(|machine| generation(machine) == Some(2)) else { continue };
        if is_not_converted(machine) {
            let name = machine.os.as_ref().and_then(|os| os.name.as_deref()).unwrap_or("another system");
            found.differs(&server.name, "UEFI of this system is not converted", name, "Windows Server 2012 or later");
        }
        // Where more than one is marked, another rule says so.
        let Some(wanted) = server.disks.iter().find(|disk| disk.is_os) else { continue };
        let is_os = |disk: &&MachineDisk| wanted.id.eq_ignore_ascii_case(&disk.id);
        for disk in machine.disks.iter().filter(is_os) {
            if let Some(count) = disk.facts.partitions.filter(|count| *count > partitions) {
                let message = format_args!("the disk {} has too many partitions to be converted from UEFI", disk.id);
                found.differs(&server.name, message, count, format_args!("at most {partitions}"));
            }
            // What is too large anyway is said by the rule for it.
            let size = disk.size_bytes.map(|bytes| bytes.div_ceil(1 << 30));
            if let Some(size) = size.filter(|size| (gib..=most).contains(size)) {
                let message = format_args!("the disk {} is too large to be converted from UEFI, in GiB", disk.id);
                found.differs(&server.name, message, size, format_args!("less than {gib}"));
            }
        }
    }
}
