//! What is inside of a server, as somebody in the guest tells it.

use super::case::{AGENTLESS, ALL, Case, NOT_HYPER_V};
use super::rule::{Found, rules};
use crate::control::model::GuestFacts;
use crate::finding::documents::VMWARE_MATRIX;

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
