//! The network interfaces of a server.

use std::net::IpAddr;

use super::case::{ALL, Case};
use super::disk::flaw_of_name;
use super::rule::{Found, rules};
use super::server::repeated;
use crate::control::limits::LimitName;
use crate::control::settings::NicRole;
use crate::finding::documents::{AZ_MIGRATE, VMWARE_MATRIX};

rules! {
    PRIMARY: "nic.primary", Error, ALL, AZ_MIGRATE,
        "Exactly one network interface of a server is its primary one.",
        "mark one interface as primary",
        primary;
    TWICE: "nic.twice", Error, ALL, AZ_MIGRATE,
        "A network interface is there once.",
        "leave one of the two out",
        twice;
    UNKNOWN: "nic.unknown", Error, ALL, AZ_MIGRATE,
        "The network interface is one of the server's.",
        "correct the id of the interface",
        unknown;
    NAME: "nic.name", Error, ALL, AZ_MIGRATE,
        "The name of an interface has 1 to 80 letters, digits, hyphens, underscores and dots; it begins with a letter or digit and does not end with a hyphen or dot.",
        "give the interface another name, or leave the name to the service",
        name;
    NAME_TWICE: "nic.name_twice", Error, ALL, AZ_MIGRATE,
        "The names of network interfaces differ in more than case.",
        "give one of the two another name",
        name_twice;
    NAME_TAKEN: "nic.name_taken", Error, ALL, AZ_MIGRATE,
        "No network interface of that name is in the target's resource group yet.",
        "give the interface another name, leave the name to the service, or choose another resource group",
        name_taken;
    IPV6: "nic.ipv6", Error, ALL, VMWARE_MATRIX,
        "The fixed address of an interface is an IPv4 address.",
        "give an IPv4 address, or none",
        ipv6;
    ADDRESS_TWICE: "nic.address_twice", Error, ALL, AZ_MIGRATE,
        "A fixed address is given to one interface of a network.",
        "give one of the two another address",
        address_twice;
}

fn primary(case: &Case<'_>, found: &mut Found<'_>) {
    for server in case.wanted.servers.iter().filter(|server| !server.nics.is_empty()) {
        let count = server.nics.iter().filter(|nic| matches!(nic.role, NicRole::Primary(_))).count();
        if count != 1 {
            found.differs(&server.name, "one network interface must be the primary one", count, 1);
        }
    }
}

fn twice(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        for id in repeated(server.nics.iter().map(|nic| &*nic.id)) {
            found.broken(&server.name, format_args!("the network interface {id} is there more than once"));
        }
    }
}

fn unknown(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let Some(machine) = machine else { continue };
        for nic in &server.nics {
            if !machine.nics.iter().any(|one| one.id.eq_ignore_ascii_case(&nic.id)) {
                found.broken(&server.name, format_args!("the server has no network interface {}", nic.id));
            }
        }
    }
}

fn name(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::NicNameLength) else { return };
    for server in &case.wanted.servers {
        for name in server.nics.iter().filter_map(|nic| nic.name.as_deref()) {
            if let Some(flaw) = flaw_of_name(name, limit.value) {
                found.broken(&server.name, format_args!("the interface's name {name:?}: {flaw}"));
            }
        }
    }
}

fn name_twice(case: &Case<'_>, found: &mut Found<'_>) {
    let names = case.wanted.servers.iter().flat_map(|server| &server.nics).filter_map(|nic| nic.name.as_deref());
    for name in repeated(names) {
        found.broken(name, "more than one network interface gets this name");
    }
}

fn name_taken(case: &Case<'_>, found: &mut Found<'_>) {
    let names = || case.seen.interfaces.iter().filter_map(|nic| nic.name.as_deref());
    let is_taken = |name: &str| names().any(|other| other.eq_ignore_ascii_case(name));
    // A server that was cut over has its own interfaces there.
    for server in case.wanted.servers.iter().filter(|server| !case.is_replicated(server)) {
        for name in server.nics.iter().filter_map(|nic| nic.name.as_deref()).filter(|name| is_taken(name)) {
            let group = &case.wanted.target.resource_group;
            found.broken(&server.name, format_args!("there is a network interface {name} in {group}"));
        }
    }
}

/// The fixed addresses of one network: of the machines, or of the test machines.
fn addresses(case: &Case<'_>, test: bool) -> Vec<(String, IpAddr)> {
    let mut all = Vec::new();
    for server in &case.wanted.servers {
        for place in server.nics.iter().filter_map(|nic| nic.role.place()) {
            let address = if test { place.test_address } else { place.address };
            all.extend(address.map(|address| (server.name.clone(), address)));
        }
    }
    all
}

fn ipv6(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, address) in addresses(case, false).into_iter().chain(addresses(case, true)) {
        if address.is_ipv6() {
            found.broken(server, format_args!("{address} is an IPv6 address"));
        }
    }
}

fn address_twice(case: &Case<'_>, found: &mut Found<'_>) {
    for test in [false, true] {
        let texts: Vec<String> = addresses(case, test).iter().map(|(_, address)| address.to_string()).collect();
        for address in repeated(texts.iter().map(String::as_str)) {
            found.broken(address, "more than one network interface gets this address");
        }
    }
}
