//! The Recovery Services vault.

use std::collections::BTreeSet;

use super::case::{ALL, Case, REGISTERED};
use super::endpoint::leads_to;
use super::rule::{Found, rules};
use crate::control::limits::{Limit, LimitName};
use crate::control::model::{Address, PrivateEndpoint};
use crate::finding::documents::{ARTICLE, BACKUP, SITE_RECOVERY};
use crate::private_link::PrivateService;

rules! {
    MISSING: "vault.missing", Error, ALL, ARTICLE, mended,
        "The vault that keeps the replication exists: Create resources makes it.",
        "create the vault, by the portal's Create resources or by a plan",
        missing;
    NO_IDENTITY: "vault.no_identity", Error, ALL, ARTICLE, mended,
        "The vault has a managed identity, which is granted access to the accounts.",
        "turn the system-assigned identity of the vault on",
        no_identity;
    REGION: "vault.region", Error, ALL, ARTICLE,
        "The vault is in the target region.",
        "choose the region of the vault, or begin with a new project: the region is fixed once the resources are created",
        region;
    MEMBERS: "vault.members", Error, REGISTERED, ARTICLE,
        "The private endpoint of the vault has five names, one for each of its services.",
        "wait until the vault is ready for private endpoints, and read again; ask Microsoft's support if it stays so",
        members;
    USED: "vault.used", Error, REGISTERED, SITE_RECOVERY,
        "A vault gets its private endpoint before the first server is registered with it.",
        "use a new vault: one that has had servers cannot get a private endpoint any more",
        used;
    TOO_MANY_ENDPOINTS: "vault.too_many_endpoints", Error, REGISTERED, BACKUP,
        "A vault that has no private endpoint for Site Recovery yet has room for one: it takes twelve, whatever they lead to.",
        "delete a private endpoint of the vault that nobody uses, or use a new vault",
        too_many_endpoints;
    ADDRESSES: "vault.addresses", Error, REGISTERED, SITE_RECOVERY,
        "The private endpoint of the vault has five addresses, one for each of the vault's services.",
        "wait until the private endpoint is complete, and read again; make it anew in a subnet with five free addresses if it stays so",
        addresses;
}

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    if case.seen.vault.is_none() {
        found.broken(&case.wanted.vault, "there is no such vault");
    }
}

fn no_identity(case: &Case<'_>, found: &mut Found<'_>) {
    if case.seen.vault.as_ref().is_some_and(|vault| vault.principal_id().is_none()) {
        found.broken(&case.wanted.vault, "the vault has no managed identity");
    }
}

fn region(case: &Case<'_>, found: &mut Found<'_>) {
    let location = case.seen.vault.as_ref().and_then(|vault| vault.location.as_deref());
    if let Some(location) = location
        && !crate::control::observed::same_region(location, &case.wanted.region)
    {
        found.differs(&case.wanted.vault, "the vault is in another region", location, &case.wanted.region);
    }
}

/// Site Recovery's group has these members, in this form and no other.
const MEMBERS_OF_A_VAULT: [&str; 5] =
    ["SiteRecovery-id1", "SiteRecovery-prot2", "SiteRecovery-rcm1", "SiteRecovery-srs1", "SiteRecovery-tel1"];

fn members(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(link) = &case.seen.vault_link else { return };
    let told = link.properties.required_members.as_deref().unwrap_or_default();
    let missing: Vec<_> = MEMBERS_OF_A_VAULT
        .into_iter()
        .filter(|member| !told.iter().any(|one| one.eq_ignore_ascii_case(member)))
        .collect();
    if !missing.is_empty() {
        let group = PrivateService::RecoveryServices.group_id();
        found.differs(
            &case.wanted.vault,
            format_args!("the group {group} of the vault lacks {}", missing.join(", ")),
            told.join(", "),
            MEMBERS_OF_A_VAULT.join(", "),
        );
    }
}

fn used(case: &Case<'_>, found: &mut Found<'_>) {
    let has_endpoint = case.endpoints_to(&case.wanted.vault).next().is_some();
    if case.seen.vault_items > 0 && !has_endpoint {
        let message = format_args!("the vault has {} servers and no private endpoint", case.seen.vault_items);
        found.broken(&case.wanted.vault, message);
    }
}

/// The private endpoints that lead to the vault's part of Site Recovery.
fn own_endpoints(case: Case<'_>) -> impl Iterator<Item = &PrivateEndpoint> {
    let group = PrivateService::RecoveryServices.group_id();
    let own = case.endpoints_to(&case.wanted.vault).filter(move |(_, connection)| leads_to(connection, group));
    own.map(|(endpoint, _)| endpoint)
}

/// How many private endpoints the vault has, and the limit, where there is no room for the one that is missing.
pub(super) fn full(case: Case<'_>) -> Option<(u64, &Limit)> {
    let limit = case.limit(LimitName::VaultPrivateEndpoints)?;
    let told = case.seen.vault.as_ref()?.properties.private_endpoint_connections.as_ref()?;
    let count = told.len() as u64;
    (count >= limit.value && own_endpoints(case).next().is_none()).then_some((count, limit))
}

fn too_many_endpoints(case: &Case<'_>, found: &mut Found<'_>) {
    if let Some((count, limit)) = full(*case) {
        let message = "the vault has no room for the private endpoint that leads to Site Recovery";
        found.exceeds(&case.wanted.vault, message, count, limit);
    }
}

fn addresses(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::VaultAddresses) else { return };
    for endpoint in own_endpoints(*case) {
        // A zone group may take the names over; then the endpoint tells none.
        let told = endpoint.properties.custom_dns_configs.iter().flatten();
        let told = told.flat_map(|config| config.ip_addresses.iter().flatten());
        let addresses: BTreeSet<_> = told.filter_map(Address::ip).collect();
        let count = addresses.len() as u64;
        if (1..limit.value).contains(&count) {
            let message = format_args!("the private endpoint of the vault has {count} addresses");
            found.differs(super::endpoint::name(endpoint), message, count, limit.value);
        }
    }
}
