//! Private DNS zones: that the names of private endpoints resolve to their addresses.
//!
//! What a name resolves to where the data plane runs is looked up by
//! [`preflight_network`](crate::preflight_network); here is only what Azure's side of it says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::case::{ALL, Case, REGISTERED, network_of};
use super::rule::{Found, rules};
use crate::control::ArmId;
use crate::control::model::{PrivateDnsZone, PrivateEndpoint};
use crate::control::plan::label_in;
use crate::finding::documents::{ARTICLE, SITE_RECOVERY, TROUBLESHOOT};
use crate::private_link::PrivateService;

rules! {
    MISSING: "zone.missing", Error, ALL, ARTICLE, mended,
        "There is a private DNS zone for the names of the private endpoints.",
        "create the private DNS zone, or name the resource group of the hub that has it",
        missing;
    NOT_LINKED: "zone.not_linked", Error, ALL, ARTICLE, mended,
        "The private DNS zone is linked to the network of the private endpoint.",
        "add a virtual network link to the zone",
        not_linked;
    RECORD_MISSING: "zone.record_missing", Error, ALL, ARTICLE, mended,
        "The private DNS zone has an A record for each name of the private endpoint.",
        "attach the zone to the private endpoint, which writes the records, or add them",
        record_missing;
    RECORD_ADDRESS: "zone.record_address", Error, ALL, TROUBLESHOOT,
        "The A records hold the addresses of the private endpoint, and no others.",
        "correct the record; where a zone group keeps it, detach and attach the zone",
        record_address;
    SHARED: "zone.shared", Error, REGISTERED, SITE_RECOVERY,
        "Each private endpoint of a vault has a private DNS zone of its own: in a common one, each overwrites the names of the others.",
        "attach another zone of this name to the further private endpoint, or delete it: in a hub, one private endpoint with one zone is enough",
        shared;
}

/// A name that a private endpoint answers to, with its zone.
struct Name<'a> {
    endpoint: &'a PrivateEndpoint,
    fqdn: &'a str,
    zone: &'static str,
    /// The name in the zone.
    label: String,
    addresses: Vec<Ipv4Addr>,
}

/// All names of the private endpoints of this migration. Names of services that have no zone in this cloud are not
/// among them.
fn names(case: Case<'_>) -> impl Iterator<Item = Name<'_>> {
    case.private_targets().flat_map(move |target| case.endpoints_to(target)).flat_map(move |(endpoint, _)| {
        endpoint.properties.custom_dns_configs.iter().flatten().filter_map(move |config| {
            let fqdn = config.fqdn.as_deref()?;
            let (zone, label) = in_zone(case, fqdn)?;
            let addresses = config.ip_addresses.iter().flatten().filter_map(|address| match address.ip() {
                Some(IpAddr::V4(address)) => Some(address),
                _ => None,
            });
            Some(Name { endpoint, fqdn, zone, label, addresses: addresses.collect() })
        })
    })
}

/// The zone of a public or private name, and the name in it.
fn in_zone(case: Case<'_>, fqdn: &str) -> Option<(&'static str, String)> {
    [PrivateService::Blob, PrivateService::RecoveryServices].into_iter().find_map(|service| {
        let zone = service.zone(case.wanted.cloud)?;
        Some((zone, label_in(fqdn, zone)?))
    })
}

fn zone<'a>(case: &Case<'a>, name: &str) -> Option<&'a PrivateDnsZone> {
    let is_it = |zone: &&PrivateDnsZone| zone.id.as_ref().is_some_and(|id| id.name().eq_ignore_ascii_case(name));
    case.seen.zones.iter().find(is_it)
}

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    let mut zones: Vec<&str> = names(*case).map(|name| name.zone).collect();
    zones.sort_unstable();
    zones.dedup();
    for name in zones.into_iter().filter(|name| zone(case, name).is_none()) {
        let group = &case.wanted.private_network.zone_group;
        found.broken(name, format_args!("the zone is not in {group}"));
    }
}

fn not_linked(case: &Case<'_>, found: &mut Found<'_>) {
    let mut pairs: Vec<(&str, ArmId)> =
        names(*case).filter_map(|name| Some((name.zone, network_of(name.endpoint)?))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    for (name, network) in pairs {
        let Some(id) = zone(case, name).and_then(|zone| zone.id.as_ref()) else { continue };
        let is_linked = case.seen.zone_links.iter().any(|link| {
            link.id.as_ref().is_some_and(|link| link.is_within(id))
                && link.properties.virtual_network.as_ref().and_then(|network| network.id.as_ref()) == Some(&network)
        });
        if !is_linked {
            found.broken(id, format_args!("the zone is not linked to {network}"));
        }
    }
}

/// The addresses of a name's record; none where there is no record.
fn record(case: &Case<'_>, name: &Name<'_>) -> Option<Vec<Ipv4Addr>> {
    let zone = zone(case, name.zone)?.id.as_ref()?;
    let record = case.seen.records.iter().find(|record| {
        record.id.as_ref().is_some_and(|id| id.is_within(zone) && id.name().eq_ignore_ascii_case(&name.label))
    })?;
    Some(record.properties.addresses().collect())
}

fn record_missing(case: &Case<'_>, found: &mut Found<'_>) {
    for name in names(*case) {
        if zone(case, name.zone).is_some() && record(case, &name).is_none_or(|addresses| addresses.is_empty()) {
            found.broken(name.fqdn, format_args!("the zone {} has no record {}", name.zone, name.label));
        }
    }
}

fn record_address(case: &Case<'_>, found: &mut Found<'_>) {
    let told = |addresses: &[Ipv4Addr]| {
        let mut texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.join(", ")
    };
    for name in names(*case) {
        let Some(addresses) = record(case, &name).filter(|addresses| !addresses.is_empty()) else { continue };
        let (is, should) = (told(&addresses), told(&name.addresses));
        if !name.addresses.is_empty() && is != should {
            found.differs(name.fqdn, "the record has other addresses than the private endpoint", is, should);
        }
    }
}

fn shared(case: &Case<'_>, found: &mut Found<'_>) {
    let of_vault = case.endpoints_to(&case.wanted.vault).filter_map(|(endpoint, _)| endpoint.id.as_ref());
    let mut users: BTreeMap<&ArmId, BTreeSet<&ArmId>> = BTreeMap::new();
    for endpoint in of_vault {
        let groups = case.seen.zone_groups.iter();
        let own = groups.filter(|group| group.id.as_ref().is_some_and(|id| id.is_within(endpoint)));
        for config in own.flat_map(|group| group.properties.private_dns_zone_configs.iter().flatten()) {
            if let Some(zone) = &config.properties.private_dns_zone_id {
                users.entry(zone).or_default().insert(endpoint);
            }
        }
    }
    for (zone, endpoints) in users.into_iter().filter(|(_, endpoints)| endpoints.len() > 1) {
        let message = format_args!("{} private endpoints of the vault write their names to this zone", endpoints.len());
        found.differs(zone, message, endpoints.len(), 1);
    }
}
