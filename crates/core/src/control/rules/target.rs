//! Where the servers go.

use super::case::{AGENT, ALL, Case, VMWARE, generation, is_windows, subnet as subnet_of};
use super::rule::{Found, rules};
use crate::control::model::NetworkInterface;
use crate::control::observed::same_region;
use crate::control::settings::{Availability, DiskEncryption, Security, ServerSettings, SizeChoice, SizeNeed, misfits};
use crate::control::{ArmId, Scenario};
use crate::finding::documents::{ARTICLE, AZ_MIGRATE, PHYSICAL_MATRIX, UPGRADE, VMWARE as TUTORIAL, VMWARE_MATRIX};

/// The two that offer a choice of encryption.
const ENCRYPTED: &[Scenario] = &[Scenario::VmwareAgentless, Scenario::AgentBased];

rules! {
    REGION: "target.region", Error, ALL, ARTICLE,
        "The target region is one that the subscription may use.",
        "choose a region that the subscription lists",
        region;
    GROUP_MISSING: "target.group_missing", Error, ALL, ARTICLE, mended,
        "The resource group of the machines exists.",
        "create the resource group, or choose another one",
        group_missing;
    NETWORK_MISSING: "target.network_missing", Error, ALL, ARTICLE,
        "The virtual network of the machines, and that of test machines, exists.",
        "create the virtual network, or choose another one",
        network_missing;
    NETWORK_REGION: "target.network_region", Error, ALL, ARTICLE,
        "The virtual network is in the target region: an interface is where its network is.",
        "choose a virtual network in the target region",
        network_region;
    SUBNET_MISSING: "target.subnet_missing", Error, ALL, ARTICLE,
        "The subnets of the machines exist in their virtual network.",
        "create the subnet, or choose another one",
        subnet_missing;
    NO_TEST_NETWORK: "target.no_test_network", Warning, ALL, TUTORIAL,
        "A test migration goes to a virtual network of its own.",
        "name a network for test machines from which production cannot be reached",
        no_test_network;
    TEST_IN_PRODUCTION: "target.test_in_production", Warning, ALL, TUTORIAL,
        "Test machines are not in the network of production.",
        "choose another network for test machines: they have the names and addresses of what still runs",
        test_in_production;
    NO_ZONES: "target.no_zones", Error, ALL, ARTICLE,
        "A machine gets an availability zone only in a region that has that zone.",
        "choose one of the region's zones, an availability set, or no redundancy",
        no_zones;
    SET_MISSING: "target.set_missing", Error, ALL, ARTICLE,
        "The availability set exists in the target's resource group.",
        "create the availability set in the target's resource group before replication is enabled, or choose another option",
        set_missing;
    SET_NETWORK: "target.set_network", Error, ALL, AZ_MIGRATE,
        "The machines of the availability set are in the virtual network that the server goes to.",
        "choose an availability set whose machines are in that network, an empty one, or another network",
        set_network;
    SET_TEST_NETWORK: "target.set_test_network", Warning, VMWARE, AZ_MIGRATE,
        "The machines of the availability set are in the network of test machines too: otherwise Microsoft's own client refuses the test migration.",
        "test the server without its availability set, or with an empty one",
        set_test_network;
    ENCRYPTION_SET_MISSING: "target.encryption_set_missing", Error, ENCRYPTED, ARTICLE,
        "Encryption with a customer's key takes a disk encryption set in the target's resource group.",
        "create the disk encryption set in the target's resource group, or encrypt with platform-managed keys",
        encryption_set_missing;
    ENCRYPTION_SET_KIND: "target.encryption_set_kind", Error, ENCRYPTED, ARTICLE,
        "The disk encryption set is of the kind that was chosen: customer-managed, double, or confidential.",
        "choose a disk encryption set of that kind, or another kind of encryption",
        encryption_set_kind;
    CONFIDENTIAL_DATA_DISKS: "target.confidential_data_disks", Error, ENCRYPTED, AZ_MIGRATE,
        "The disk encryption set of a confidential machine is for its operating-system disk: data disks must not have it.",
        "leave the data disks out and attach them afterwards, or do not encrypt the operating-system disk with the machine's own key",
        confidential_data_disks;
    BOOT_DIAGNOSTICS: "target.boot_diagnostics", Warning, ALL, AZ_MIGRATE,
        "The account for boot diagnostics is in the subscription of the machines; Microsoft's own client leaves another one out.",
        "choose an account in the subscription of the machines",
        boot_diagnostics;
    SIZE_UNKNOWN: "target.size_unknown", Error, ALL, ARTICLE,
        "The size of the machine is offered in the target region.",
        "choose a size that the subscription is offered in the region, or leave it to the closest match",
        size_unknown;
    SIZE_TOO_SMALL: "target.size_too_small", Error, ALL, VMWARE_MATRIX,
        "The size takes the disks, interfaces, firmware and zone of the server.",
        "choose a larger size, or leave disks and interfaces out",
        size_too_small;
    NO_SPARE_SLOT: "target.no_spare_slot", Info, ALL, UPGRADE,
        "The size has a slot for a data disk to spare, where Windows is upgraded on the way: the upgrade attaches a disk for a while.",
        "",
        no_spare_slot;
    SECURITY_GENERATION: "target.security_generation", Error, ALL, VMWARE_MATRIX,
        "Trusted launch and confidential machines start by UEFI, as generation 2.",
        "choose standard security: the server starts by BIOS",
        security_generation;
    SECURE_BOOT: "target.secure_boot", Error, AGENT, PHYSICAL_MATRIX,
        "A server with an agent does not start with secure boot.",
        "turn secure boot of the server off before it is replicated",
        secure_boot;
}

fn region(case: &Case<'_>, found: &mut Found<'_>) {
    if !case.seen.regions.iter().any(|region| same_region(&region.name, &case.wanted.region)) {
        found.broken(&case.wanted.region, "the subscription has no such region");
    }
}

fn group_missing(case: &Case<'_>, found: &mut Found<'_>) {
    let group = &case.wanted.target.resource_group;
    if !case.seen.groups.contains(group) {
        found.broken(group, "there is no such resource group");
    }
}

fn networks(case: Case<'_>) -> impl Iterator<Item = &ArmId> {
    let target = &case.wanted.target;
    let test = target.test.as_ref().map(|test| &test.network).filter(|network| **network != target.network);
    std::iter::once(&target.network).chain(test)
}

fn network_missing(case: &Case<'_>, found: &mut Found<'_>) {
    for id in networks(*case).filter(|id| case.network(id).is_none()) {
        found.broken(id, "there is no such virtual network");
    }
}

fn network_region(case: &Case<'_>, found: &mut Found<'_>) {
    for id in networks(*case) {
        let location = case.network(id).and_then(|network| network.location.as_deref());
        if let Some(location) = location
            && !same_region(location, &case.wanted.region)
        {
            found.differs(id, "the virtual network is in another region", location, &case.wanted.region);
        }
    }
}

fn subnet_missing(case: &Case<'_>, found: &mut Found<'_>) {
    let target = &case.wanted.target;
    let places = || case.wanted.servers.iter().flat_map(|server| &server.nics).filter_map(|nic| nic.role.place());
    let own = places().filter_map(|place| place.subnet.as_ref()).chain([&target.subnet]);
    let mut wanted: Vec<(&ArmId, &String)> = own.map(|subnet| (&target.network, subnet)).collect();
    if let Some(test) = &target.test {
        let tests = places().filter_map(|place| place.test_subnet.as_ref()).chain([&test.subnet]);
        wanted.extend(tests.map(|subnet| (&test.network, subnet)));
    }
    wanted.sort_unstable();
    wanted.dedup();
    for (id, subnet) in wanted {
        if case.network(id).is_some_and(|network| subnet_of(network, subnet).is_none()) {
            found.broken(id, format_args!("the virtual network has no subnet {subnet}"));
        }
    }
}

fn no_test_network(case: &Case<'_>, found: &mut Found<'_>) {
    if case.wanted.target.test.is_none() {
        found.broken(&case.wanted.target.network, "no network is named for test machines");
    }
}

fn test_in_production(case: &Case<'_>, found: &mut Found<'_>) {
    let target = &case.wanted.target;
    if target.test.as_ref().is_some_and(|test| test.network == target.network) {
        found.broken(&target.network, "test machines go to the network of production");
    }
}

fn no_zones(case: &Case<'_>, found: &mut Found<'_>) {
    let region = case.seen.regions.iter().find(|region| same_region(&region.name, &case.wanted.region));
    let Some(region) = region else { return };
    for server in &case.wanted.servers {
        if let Availability::Zone(zone) = &server.availability
            && !region.zones.contains(zone)
        {
            let offered = if region.zones.is_empty() { "none".to_owned() } else { region.zones.join(", ") };
            found.differs(&server.name, format_args!("{} does not have this zone", region.name), zone, offered);
        }
    }
}

fn set_missing(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let Availability::Set(set) = &server.availability else { continue };
        let is_there = case.seen.availability_sets.iter().any(|one| one.id.as_ref() == Some(set));
        let group = &case.wanted.target.resource_group;
        if set.group_id().as_ref() != Some(group) {
            found.differs(&server.name, "the availability set is in another resource group", set, group);
        } else if !is_there {
            let count = case.seen.availability_sets.len();
            found.broken(&server.name, format_args!("{set} is not among the {count} availability sets of the group"));
        }
    }
}

/// The servers that go to an availability set, with the set and a network of machines in it that is not `wanted`. The
/// network of a machine is that of its interface; what is not in the target's resource group is not known.
fn sets_elsewhere<'a>(
    case: Case<'a>,
    wanted: &'a ArmId,
) -> impl Iterator<Item = (&'a ServerSettings, &'a ArmId, ArmId)> {
    case.wanted.servers.iter().filter_map(move |server| {
        let Availability::Set(id) = &server.availability else { return None };
        let set = case.seen.availability_sets.iter().find(|one| one.id.as_ref() == Some(id))?;
        let members = || set.properties.virtual_machines.iter().flatten().filter_map(|member| member.id.as_ref());
        let of_member = |nic: &&NetworkInterface| {
            let machine = nic.properties.virtual_machine.as_ref().and_then(|machine| machine.id.as_ref());
            machine.is_some_and(|machine| members().any(|member| member == machine))
        };
        let networks = case.seen.interfaces.iter().filter(of_member).flat_map(|nic| {
            let addresses = nic.properties.ip_configurations.iter().flatten();
            addresses.filter_map(|address| address.properties.subnet.as_ref()?.id.as_ref()?.parent())
        });
        let elsewhere = networks.into_iter().find(|network| network != wanted)?;
        Some((server, id, elsewhere))
    })
}

fn set_network(case: &Case<'_>, found: &mut Found<'_>) {
    let wanted = &case.wanted.target.network;
    for (server, set, network) in sets_elsewhere(*case, wanted) {
        let message = format_args!("machines of {set} are in another virtual network");
        found.differs(&server.name, message, network, wanted);
    }
}

fn set_test_network(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(wanted) = case.wanted.target.test.as_ref().map(|test| &test.network) else { return };
    for (server, set, network) in sets_elsewhere(*case, wanted) {
        // What is not in the network of production either is an error of its own.
        if network == case.wanted.target.network {
            let message = format_args!("machines of {set} are not in the network of test machines");
            found.differs(&server.name, message, network, wanted);
        }
    }
}

/// The servers that are encrypted with a customer's key, with the set and the kind that it must be of.
fn encrypted(case: Case<'_>) -> impl Iterator<Item = (&ServerSettings, &ArmId, &'static str)> {
    case.wanted.servers.iter().filter_map(|server| {
        let encryption = server.source.encryption()?;
        let kind = match (encryption, server.security) {
            (_, Security::Confidential { encrypts_os_disk: true, .. }) => "ConfidentialVmEncryptedWithCustomerKey",
            (DiskEncryption::PlatformAndCustomerKey(_), _) => "EncryptionAtRestWithPlatformAndCustomerKeys",
            _ => "EncryptionAtRestWithCustomerKey",
        };
        Some((server, encryption.set()?, kind))
    })
}

fn encryption_set_missing(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, set, _) in encrypted(*case) {
        let is_there = case.seen.encryption_sets.iter().any(|one| one.id.as_ref() == Some(set));
        let group = &case.wanted.target.resource_group;
        if !is_there || set.group_id().as_ref() != Some(group) {
            found.broken(&server.name, format_args!("{set} is not in {group}"));
        }
    }
}

fn encryption_set_kind(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, id, wanted) in encrypted(*case) {
        let set = case.seen.encryption_sets.iter().find(|one| one.id.as_ref() == Some(id));
        let kind = set.and_then(|set| set.properties.encryption_type.as_ref());
        if let Some(kind) = kind.filter(|kind| !kind.as_str().eq_ignore_ascii_case(wanted)) {
            found.differs(&server.name, format_args!("{id} is of another kind"), kind, wanted);
        }
    }
}

fn confidential_data_disks(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, set, _) in encrypted(*case) {
        let is_own_key = matches!(server.security, Security::Confidential { encrypts_os_disk: true, .. });
        let count = server.disks.iter().filter(|disk| !disk.is_os).count();
        if is_own_key && count > 0 {
            found.broken(&server.name, format_args!("{count} data disks would be encrypted with {set}"));
        }
    }
}

fn boot_diagnostics(case: &Case<'_>, found: &mut Found<'_>) {
    let target = &case.wanted.target;
    let Some(account) = &target.boot_diagnostics else { return };
    let (is, should) = (account.subscription().unwrap_or_default(), target.resource_group.subscription());
    if !is.eq_ignore_ascii_case(should.unwrap_or_default()) {
        found.differs(account, "the account is in another subscription", is, should.unwrap_or_default());
    }
}

fn size_unknown(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        if let Some(name) = &server.size
            && !case.seen.sizes.iter().any(|size| size.name.eq_ignore_ascii_case(name))
        {
            found.broken(&server.name, format_args!("the size {name} is not offered in {}", case.wanted.region));
        }
    }
}

/// The size that the server is to have, where it is named and offered.
fn size_of<'a>(case: Case<'a>, server: &ServerSettings) -> Option<&'a SizeChoice> {
    let name = server.size.as_ref()?;
    case.seen.sizes.iter().find(|size| size.name.eq_ignore_ascii_case(name))
}

fn size_too_small(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(size) = size_of(*case, server) else { continue };
        // Cores and memory are the caller's choice: an assessment may have found that fewer are enough.
        let need = SizeNeed { cores: 0, memory_mib: 0, ..SizeNeed::of(server, machine) };
        for misfit in misfits(&need, size) {
            found.broken(&server.name, format_args!("the size {} does not fit: {misfit}", size.name));
        }
    }
}

fn no_spare_slot(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(size) = size_of(*case, server) else { continue };
        let need = SizeNeed::of(server, machine);
        if machine.and_then(is_windows) == Some(true) && need.data_disks == size.data_disks {
            let message = format_args!("the size {} has no data disk to spare for an upgrade of Windows", size.name);
            found.differs(&server.name, message, need.data_disks, size.data_disks.saturating_sub(1));
        }
    }
}

fn security_generation(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        if server.security != Security::Standard && machine.and_then(generation) == Some(1) {
            found.broken(
                &server.name,
                format_args!("{} needs UEFI, and the server starts by BIOS", server.security.as_str()),
            );
        }
    }
}

fn secure_boot(case: &Case<'_>, found: &mut Found<'_>) {
    for server in case.wanted.servers.iter().filter(|server| server.security.secure_boot()) {
        found.broken(&server.name, "secure boot is asked for");
    }
}
