//! How much is read at the same time: what is more than that waits its turn.
//!
//! Only the disks of these settings are counted. Where a server is, and on which datastore its files are, is known of
//! machines of `VMware` that discovery has seen; what nobody knows is not counted.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, VMWARE};
use super::rule::{Found, rules};
use crate::control::limits::LimitName;
use crate::control::model::{Machine, MachineDisk};
use crate::control::settings::ServerSettings;
use crate::finding::documents::CONCEPTS;

rules! {
    APPLIANCE: "capacity.appliance", Info, VMWARE, CONCEPTS,
        "An appliance reads no more disks at the same time than it can; the others wait.",
        "set a scale-out appliance up where waiting takes too long",
        appliance;
    HOST: "capacity.host", Info, VMWARE, CONCEPTS,
        "No more disks of one ESXi host are read at the same time than its buffer for copies takes; the others wait.",
        "spread the servers over hosts or over time where waiting takes too long",
        host;
    DATASTORE: "capacity.datastore", Info, VMWARE, CONCEPTS,
        "A datastore holds no more snapshots for replication at the same time than the service allows, unless one machine alone has more disks there; the others wait.",
        "spread the servers over datastores or over time where waiting takes too long",
        datastore;
}

/// The disks of the settings that are read, with the machine that they are of. A server that has more than a server
/// may have is none of them: that is said by the rule for it.
fn disks(case: Case<'_>) -> impl Iterator<Item = (&ServerSettings, &Machine, &MachineDisk)> {
    let most = case.limit(LimitName::DisksPerServer).map_or(u64::MAX, |limit| limit.value);
    let servers = case.servers().filter(move |(server, _)| server.disks.len() as u64 <= most);
    servers.flat_map(|(server, machine)| {
        machine.into_iter().flat_map(move |machine| {
            let is_wanted = |disk: &&MachineDisk| server.disks.iter().any(|one| one.id.eq_ignore_ascii_case(&disk.id));
            machine.disks.iter().filter(is_wanted).map(move |disk| (server, machine, disk))
        })
    })
}

fn appliance(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::ParallelDisksOfAnAppliance) else { return };
    let count = disks(*case).count();
    if count as u64 > limit.value {
        let message = format_args!("{count} disks are read by the appliance");
        found.exceeds(&case.wanted.container, message, count, limit);
    }
}

fn host(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::ParallelDisksOfAHost) else { return };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for host in disks(*case).filter_map(|(_, machine, _)| machine.host.as_deref()) {
        *counts.entry(host).or_default() += 1;
    }
    for (host, count) in counts.into_iter().filter(|(_, count)| *count as u64 > limit.value) {
        found.exceeds(host, format_args!("{count} disks are read from the host"), count, limit);
    }
}

fn datastore(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::SnapshotsOfADatastore) else { return };
    let mut there: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (server, _, disk) in disks(*case) {
        if let Some((store, _)) = disk.datastore() {
            let (count, servers) = there.entry(store).or_default();
            *count += 1;
            servers.insert(&server.item);
        }
    }
    for (store, (count, servers)) in there {
        if count as u64 > limit.value && servers.len() > 1 {
            let message = format_args!("{count} disks of {} servers have snapshots on the datastore", servers.len());
            found.exceeds(store, message, count, limit);
        }
    }
}
