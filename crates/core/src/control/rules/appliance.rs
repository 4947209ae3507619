//! Who reads the servers: the appliance, the replication provider or the replication appliance.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::case::{AGENT, ALL, Case, REGISTERED, VMWARE};
use super::rule::{Found, rules};
use crate::control::ArmId;
use crate::control::limits::LimitName;
use crate::control::model::Machine;
use crate::finding::documents::{ARTICLE, CONCEPTS, DISCOVER, EXPRESS_ROUTE, PREPARE, VMWARE_MATRIX};
use crate::private_link::PrivateService;

rules! {
    NO_FABRIC: "appliance.no_site", Error, VMWARE, ARTICLE,
        "The appliance is set up and registered: the vault knows its site.",
        "set the appliance up and register it with the project before replication is enabled",
        no_fabric;
    NOT_REGISTERED: "appliance.not_registered", Error, REGISTERED, ARTICLE,
        "The replication provider or replication appliance is registered with the vault.",
        "download the setup and a registration key, and register; the vault's names must resolve to private addresses on that machine first",
        not_registered;
    KEY_EXPIRED: "appliance.key_expired", Error, REGISTERED, ARTICLE,
        "The registration key is used within five days.",
        "generate and download a new registration key",
        key_expired;
    PROXY_NOT_HTTP: "appliance.proxy_not_http", Error, ALL, DISCOVER,
        "A proxy of the appliance is an HTTP proxy.",
        "give an http:// proxy, or none",
        proxy_not_http;
    BYPASS_MISSING: "appliance.bypass_missing", Error, ALL, DISCOVER,
        "The names of private endpoints go past the proxy of the appliance, unless the proxy resolves them to private addresses.",
        "add the name to the proxy's bypass list on the appliance",
        bypass_missing;
    BYPASS_TOO_WIDE: "appliance.bypass_too_wide", Warning, ALL, EXPRESS_ROUTE,
        "Not all blob storage goes past the proxy: only the accounts that have private endpoints do.",
        "replace the wildcard in the bypass list by the names of the accounts that have private endpoints",
        bypass_too_wide;
    TOO_MANY: "appliance.too_many_servers", Warning, VMWARE, VMWARE_MATRIX,
        "At most 300 servers of one vCenter replicate at the same time, 500 with a scale-out appliance.",
        "enable fewer, or set a scale-out appliance up; those beyond wait",
        too_many_servers;
    TOO_MANY_DISCOVERED: "appliance.too_many_discovered", Warning, ALL, PREPARE,
        "One appliance discovers at most 10,000 machines of VMware, 5,000 of Hyper-V or 250 other servers.",
        "set another appliance up for some of them",
        too_many_discovered;
    TOO_MANY_VCENTERS: "appliance.too_many_vcenters", Warning, VMWARE, VMWARE_MATRIX,
        "One appliance is connected to at most ten vCenter servers.",
        "set another appliance up for some of them",
        too_many_vcenters;
    PORT_902: "appliance.port_902", Error, VMWARE, VMWARE_MATRIX,
        "The appliance reaches port 902 of the ESXi hosts: by it, it reads snapshots.",
        "open TCP port 902 from the appliance to the host",
        port_902;
    PORT_9443: "appliance.port_9443", Warning, AGENT, VMWARE_MATRIX,
        "Servers with an agent reach port 9443 of the process server, unless it was given another port: to it, they send what they replicate.",
        "open TCP port 9443 from the servers to the process server",
        port_9443;
    BLACKOUT: "appliance.blackout", Warning, VMWARE, CONCEPTS,
        "No server is migrated within a blackout window of the appliance: cycles that run finish, and the last one of a migration does not run.",
        "migrate after the window, or shorten it on the appliance",
        blackout;
    BATCH: "appliance.batch", Info, ALL, ARTICLE,
        "At most ten servers are enabled together; more go in batches of ten.",
        "",
        batch;
}

fn no_fabric(case: &Case<'_>, found: &mut Found<'_>) {
    if case.seen.fabric.is_none() {
        found.broken(&case.wanted.container, "the vault has no site of an appliance here");
    }
}

fn not_registered(case: &Case<'_>, found: &mut Found<'_>) {
    if case.seen.fabric.is_none() || case.seen.providers.is_empty() {
        found.broken(&case.wanted.vault, "nobody is registered with the vault for this site");
    }
}

fn key_expired(case: &Case<'_>, found: &mut Found<'_>) {
    let (Some(issued), Some(days)) =
        (case.wanted.appliance.registration_key_issued, case.limit(LimitName::RegistrationKeyDays))
    else {
        return;
    };
    let valid = SignedDuration::from_hours(24 * i64::try_from(days.value).unwrap_or(i64::MAX / 24).min(36_500));
    if case.now.duration_since(issued) >= valid {
        let message = format_args!("the registration key of {issued} is good for {} days", days.value);
        found.broken(&case.wanted.vault, message);
    }
}

fn proxy_not_http(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(proxy) = &case.wanted.appliance.proxy else { return };
    if !proxy.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
        let scheme = proxy.split_once("://").map_or("none", |(scheme, _)| scheme);
        found.differs("the proxy of the appliance", "it is no HTTP proxy", scheme, "http");
    }
}

/// The host names of the accounts.
fn account_hosts(case: &Case<'_>) -> Vec<String> {
    let Some(suffix) = PrivateService::Blob.suffix(case.wanted.cloud) else { return Vec::new() };
    case.wanted.accounts().map(|id| format!("{}.{suffix}", id.name().to_ascii_lowercase())).collect()
}

/// Whether an entry of a bypass list covers a host: the name itself, or `*.` and what it ends with.
fn covers(entry: &str, host: &str) -> bool {
    let entry = entry.trim().trim_end_matches('.').to_ascii_lowercase();
    match entry.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => entry == host,
    }
}

fn bypass_missing(case: &Case<'_>, found: &mut Found<'_>) {
    let appliance = &case.wanted.appliance;
    if appliance.proxy.is_none() {
        return;
    }
    for host in account_hosts(case) {
        if !appliance.proxy_bypass.iter().any(|entry| covers(entry, &host)) {
            found.broken(host, "the proxy of the appliance is asked for this name");
        }
    }
}

fn bypass_too_wide(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(suffix) = PrivateService::Blob.suffix(case.wanted.cloud) else { return };
    for entry in &case.wanted.appliance.proxy_bypass {
        let is_wildcard = entry.trim().starts_with('*');
        // An account that nobody can have: what covers it covers all of them.
        if is_wildcard && covers(entry, &format!("any-account.{suffix}")) {
            found.broken(entry, "all blob storage goes past the proxy");
        }
    }
}

fn too_many_servers(case: &Case<'_>, found: &mut Found<'_>) {
    let servers = (case.seen.items.len().max(case.wanted.servers.len())) as u64;
    let one = case.limit(LimitName::ParallelReplications);
    let more = case.limit(LimitName::ParallelReplicationsScaledOut);
    if let (Some(one), Some(more)) = (one, more)
        && servers > one.value
    {
        let wanted = format!("{}, or {} with a scale-out appliance", one.value, more.value);
        found.differs(
            &case.wanted.container,
            format_args!("{servers} servers replicate at the same time"),
            servers,
            wanted,
        );
    }
}

/// The discovered machines, by their site: what one appliance has discovered.
fn sites(case: Case<'_>) -> BTreeMap<ArmId, Vec<&Machine>> {
    let mut sites: BTreeMap<ArmId, Vec<&Machine>> = BTreeMap::new();
    for machine in &case.seen.machines {
        if let Some(site) = machine.id.as_ref().and_then(ArmId::parent) {
            sites.entry(site).or_default().push(machine);
        }
    }
    sites
}

fn too_many_discovered(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::DiscoveredServers) else { return };
    for (site, machines) in sites(*case).into_iter().filter(|(_, machines)| machines.len() as u64 > limit.value) {
        let count = machines.len();
        found.exceeds(site, format_args!("{count} servers were discovered"), count, limit);
    }
}

fn too_many_vcenters(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::VcentersOfAnAppliance) else { return };
    for (site, machines) in sites(*case) {
        let vcenters: BTreeSet<&ArmId> = machines.iter().filter_map(|machine| machine.vcenter.as_ref()).collect();
        let count = vcenters.len();
        if count as u64 > limit.value {
            found.exceeds(site, format_args!("the machines are of {count} vCenter servers"), count, limit);
        }
    }
}

fn closed(case: &Case<'_>, found: &mut Found<'_>, port: u16) {
    for one in case.seen.closed_ports.iter().filter(|one| one.port == port) {
        found.broken(&one.host, format_args!("port {port} is closed"));
    }
}

fn port_902(case: &Case<'_>, found: &mut Found<'_>) {
    closed(case, found, 902);
}

fn port_9443(case: &Case<'_>, found: &mut Found<'_>) {
    closed(case, found, 9443);
}

fn blackout(case: &Case<'_>, found: &mut Found<'_>) {
    for window in case.seen.blackouts.iter().filter(|window| (window.from..window.until).contains(&case.now)) {
        let message = format_args!("the appliance does not replicate until {}", window.until);
        found.broken(&case.wanted.container, message);
    }
}

fn batch(case: &Case<'_>, found: &mut Found<'_>) {
    let servers = case.wanted.servers.len() as u64;
    if let Some(together) = case.limit(LimitName::BatchServers)
        && servers > together.value
    {
        let batches = servers.div_ceil(together.value.max(1));
        found.exceeds(
            &case.wanted.container,
            format_args!("{servers} servers are enabled in {batches} batches"),
            servers,
            together,
        );
    }
}
