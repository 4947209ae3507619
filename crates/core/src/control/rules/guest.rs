//! What is inside of a server, as somebody in the guest tells it.

use super::case::{AGENTLESS, ALL, Case, HYPER_V, NOT_HYPER_V, is_windows};
use super::rule::{Found, rules};
use crate::control::model::GuestFacts;
use crate::finding::documents::{PREPARE, VMWARE_MATRIX};

rules! {
    ISCSI: "guest.iscsi", Error, AGENTLESS, VMWARE_MATRIX,
        "A guest has no disks of an iSCSI target, unless it is migrated with an agent.",
        "migrate the server with an agent, or move what is on these disks to others",
        iscsi;
    MULTIPATH: "guest.multipath", Error, NOT_HYPER_V, VMWARE_MATRIX,
        "A guest reaches each disk by one path: multipath I/O is not migrated.",
        "turn multipath I/O off in the guest before it is replicated",
        multipath;
    TEAMED_NICS: "guest.teamed_nics", Error, ALL, VMWARE_MATRIX,
        "The network interfaces of a guest are not teamed.",
        "dissolve the team in the guest before it is replicated",
        teamed_nics;
    NFS: "guest.nfs", Warning, ALL, VMWARE_MATRIX,
        "Volumes that a guest mounts by NFS are not replicated.",
        "move what is on the volumes in another way, and let the machine in Azure mount them from there",
        nfs;
    SAN_POLICY: "guest.san_policy", Warning, HYPER_V, PREPARE,
        "The SAN policy of Windows is OnlineAll: so data disks come online, with their letters. On Hyper-V nobody but its owner sets it.",
        "run diskpart in the guest and enter SAN Policy=OnlineAll before it is migrated",
        san_policy;
    CONNECTIONS: "guest.connections", Warning, ALL, PREPARE,
        "A guest takes connections by RDP, or by SSH if it is Linux: otherwise nobody reaches the machine in Azure.",
        "enable RDP or SSH in the guest, let it start by itself, and let the firewall allow it",
        connections;
    LINUX_DRIVERS: "guest.linux_drivers", Warning, NOT_HYPER_V, PREPARE,
        "The initial RAM disk of Linux has the drivers of Hyper-V; the service adds them to the distributions that it knows only.",
        "rebuild the initial RAM disk with hv_vmbus, hv_storvsc and hv_netvsc, unless the distribution is one that the service prepares",
        linux_drivers;
}

/// What is found of servers of whose guest somebody has told `is`.
fn told(case: &Case<'_>, found: &mut Found<'_>, fact: fn(&GuestFacts) -> Option<bool>, is: bool, message: &str) {
    for (server, machine) in case.servers() {
        if machine.and_then(|machine| fact(&machine.guest)) == Some(is) {
            found.broken(&server.name, message);
        }
    }
}

fn iscsi(case: &Case<'_>, found: &mut Found<'_>) {
    told(case, found, |guest| guest.has_iscsi_disks, true, "the guest has disks of an iSCSI target");
}

fn multipath(case: &Case<'_>, found: &mut Found<'_>) {
    told(case, found, |guest| guest.has_multipath, true, "the guest reaches disks by more than one path");
}

fn teamed_nics(case: &Case<'_>, found: &mut Found<'_>) {
    told(case, found, |guest| guest.has_teamed_nics, true, "network interfaces are teamed in the guest");
}

fn nfs(case: &Case<'_>, found: &mut Found<'_>) {
    told(case, found, |guest| guest.has_nfs_volumes, true, "the guest mounts volumes by NFS");
}

fn san_policy(case: &Case<'_>, found: &mut Found<'_>) {
    told(case, found, |guest| guest.is_san_policy_online_all, false, "the SAN policy of the guest is not OnlineAll");
}

fn connections(case: &Case<'_>, found: &mut Found<'_>) {
    told(case, found, |guest| guest.takes_connections, false, "the guest takes no connections by RDP or SSH");
}

fn linux_drivers(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(machine) = machine.filter(|machine| is_windows(machine) != Some(true)) else { continue };
        if machine.guest.has_hyper_v_drivers == Some(false) {
            found.broken(&server.name, "the initial RAM disk of the guest lacks the drivers of Hyper-V");
        }
    }
}
