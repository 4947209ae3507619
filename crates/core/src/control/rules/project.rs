//! The project, and whether its private endpoint can be joined.

use super::case::{ALL, Case, network_of, subnet, usable_addresses};
use super::endpoint::are_joined;
use super::role::GRANTING;
use super::rule::{Found, rules};
use crate::control::ArmId;
use crate::control::limits::LimitName;
use crate::control::model::{MigrateProject, PublicNetworkAccess};
use crate::finding::documents::{DISCOVER, HOW_TO, PREPARE};

rules! {
    MISSING: "project.missing", Error, ALL, DISCOVER,
        "The project exists.",
        "create the project with private endpoint connectivity in the portal, or correct its id",
        missing;
    NOT_PRIVATE: "project.not_private", Error, ALL, DISCOVER,
        "The project was created with private endpoint connectivity: a project with a public endpoint cannot be changed to it.",
        "create a new project with private endpoint connectivity: that of an existing one cannot be changed",
        not_private;
    PUBLIC_ACCESS_OFF: "project.public_access_off", Warning, ALL, HOW_TO,
        "Tools of other vendors upload to the project over its public endpoint, which is on unless somebody turned it off.",
        "turn public access of the project on if tools of other vendors upload to it; nothing is to be done otherwise",
        public_access_off;
    FEW_ADDRESSES: "project.few_addresses", Warning, ALL, HOW_TO,
        "The subnet of the private endpoints has about fifteen addresses to spare.",
        "choose a larger subnet, or count what the private endpoints of the project, the vault and the accounts will take",
        few_addresses;
    CALLER: "project.caller", Warning, ALL, HOW_TO,
        "Who sets a project with private endpoints up is Owner of the subscription, or Contributor and User Access Administrator.",
        "have the caller granted these roles on the subscription, or have somebody who has them create the project and its resources",
        caller;
    NO_GATEWAY: "project.no_gateway", Warning, ALL, HOW_TO,
        "The gateway of ExpressRoute or the VPN is in the virtual network of the project's private endpoint, or in one connected to it.",
        "connect the network of the gateway with that of the private endpoint",
        no_gateway;
    TOO_MANY_SERVERS: "project.too_many_servers", Warning, ALL, PREPARE,
        "A project has at most 35,000 servers.",
        "create another project for the others",
        too_many_servers;
}

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    if case.seen.project.is_none() {
        found.broken(&case.wanted.project, "there is no such project");
    }
}

fn not_private(case: &Case<'_>, found: &mut Found<'_>) {
    let is_private = case.endpoints_to(&case.wanted.project).next().is_some();
    if case.seen.project.is_some() && !is_private {
        found.broken(&case.wanted.project, "no private endpoint leads to the project");
    }
}

fn public_access_off(case: &Case<'_>, found: &mut Found<'_>) {
    let access = case.seen.project.as_ref().and_then(|project| project.properties.public_network_access.as_ref());
    if access == Some(&PublicNetworkAccess::Disabled) {
        found.broken(&case.wanted.project, "public access of the project is turned off");
    }
}

fn few_addresses(case: &Case<'_>, found: &mut Found<'_>) {
    let subnet = &case.wanted.private_network.subnet;
    // Endpoints that are there have their addresses already.
    if case.seen.endpoints.iter().any(|endpoint| network_of(endpoint) == subnet.parent()) {
        return;
    }
    let Some(needed) = case.limit(LimitName::ProjectAddresses) else { return };
    let network = subnet.parent().and_then(|id| case.network(&id));
    let size = network.and_then(|network| usable_addresses(self::subnet(network, subnet.name())?));
    if let Some(size) = size
        && size < needed.value
    {
        found.differs(subnet, format_args!("the subnet has {size} addresses"), size, needed.value);
    }
}

/// What Contributor may do and a reader may not: the project is made by it.
const CREATING: &str = "Microsoft.Migrate/migrateProjects/write";

fn caller(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(roles) = &case.seen.subscription_roles else { return };
    for action in [CREATING, GRANTING] {
        if !roles.iter().any(|role| role.allows(action)) {
            found.broken(&case.wanted.project, format_args!("the caller may not do {action} in the subscription"));
        }
    }
}

fn no_gateway(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(gateways) = &case.seen.gateways else { return };
    let networks: Vec<ArmId> =
        case.endpoints_to(&case.wanted.project).filter_map(|(endpoint, _)| network_of(endpoint)).collect();
    let is_reached = |network| gateways.iter().any(|gateway| are_joined(case, network, gateway));
    if let Some(network) = networks.first()
        && !networks.iter().any(is_reached)
    {
        let told = gateways.iter().map(ArmId::as_str).collect::<Vec<_>>().join(", ");
        let told = if told.is_empty() { "none".to_owned() } else { told };
        found.differs(network, "no gateway is in this network or in one connected to it", told, network);
    }
}

fn too_many_servers(case: &Case<'_>, found: &mut Found<'_>) {
    let count = case.seen.project.as_ref().and_then(MigrateProject::discovered_servers);
    if let (Some(count), Some(limit)) = (count, case.limit(LimitName::ProjectServers))
        && count > limit.value
    {
        found.exceeds(&case.wanted.project, format_args!("the project has {count} servers"), count, limit);
    }
}
