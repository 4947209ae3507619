//! Private endpoints: of the vault, and of each account.

use super::case::{ALL, Case, network_of};
use super::rule::{Found, rules};
use super::vault;
use crate::control::ArmId;
use crate::control::model::{ConnectionStatus, PrivateEndpoint, PrivateLinkServiceConnection};
use crate::finding::documents::{ARTICLE, SITE_RECOVERY};
use crate::private_link::PrivateService;

rules! {
    MISSING: "endpoint.missing", Error, ALL, ARTICLE, mended,
        "Each account, and the vault of Hyper-V and agents, has a private endpoint. Without one replication works, but over the internet.",
        "create the private endpoint in the network of the project's private endpoint, or in one connected to it",
        missing;
    GROUP: "endpoint.group", Error, ALL, ARTICLE,
        "The private endpoint of an account leads to its blobs, that of a vault to Site Recovery.",
        "create another private endpoint, with the sub-resource named here; that of an existing one cannot be changed",
        group;
    PENDING: "endpoint.pending", Error, ALL, ARTICLE, mended,
        "The private endpoint is approved; its owner approves it by hand where somebody else made it.",
        "have the owner of the resource approve the connection under Networking, Private endpoint connections",
        pending;
    REJECTED: "endpoint.rejected", Error, ALL, ARTICLE,
        "The owner of the resource has not rejected the private endpoint.",
        "ask the owner why; a rejected private endpoint is deleted and made anew",
        rejected;
    DISCONNECTED: "endpoint.disconnected", Error, ALL, SITE_RECOVERY,
        "The connection of the private endpoint still exists on the side of the resource.",
        "delete the private endpoint and create it anew: its connection was removed",
        disconnected;
    NETWORK: "endpoint.network", Error, ALL, ARTICLE,
        "The private endpoint is in the network of the project's private endpoint, or in one connected to it.",
        "create the private endpoint in a network that the appliance reaches, or peer the two networks",
        network;
}

/// What a private endpoint must lead to, to reach `target`.
fn group_of(target: &ArmId) -> &'static str {
    let is_vault = target.is_of("Microsoft.RecoveryServices/vaults");
    if is_vault { PrivateService::RecoveryServices.group_id() } else { PrivateService::Blob.group_id() }
}

pub(super) fn leads_to(connection: &PrivateLinkServiceConnection, group: &str) -> bool {
    connection.properties.group_ids.iter().flatten().any(|one| one.eq_ignore_ascii_case(group))
}

/// The private endpoints of each target that lead to the right part of it.
fn usable(case: Case<'_>) -> impl Iterator<Item = (&ArmId, Vec<(&PrivateEndpoint, &PrivateLinkServiceConnection)>)> {
    case.private_targets().map(move |target| {
        let group = group_of(target);
        (target, case.endpoints_to(target).filter(|(_, connection)| leads_to(connection, group)).collect())
    })
}

/// Whether the target is there, and so can have a private endpoint.
fn is_there(case: &Case<'_>, target: &ArmId) -> bool {
    case.account(target).is_some() || (*target == case.wanted.vault && case.seen.vault.is_some())
}

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    for target in case.private_targets().filter(|target| is_there(case, target)) {
        // A vault that has had servers, or has too many, cannot get one any more: these are rules of their own.
        let is_too_late = *target == case.wanted.vault && (case.seen.vault_items > 0 || vault::full(*case).is_some());
        if !is_too_late && case.endpoints_to(target).next().is_none() {
            found.broken(target, "no private endpoint leads there");
        }
    }
}

fn group(case: &Case<'_>, found: &mut Found<'_>) {
    for (target, usable) in usable(*case) {
        if !usable.is_empty() {
            continue;
        }
        for (endpoint, connection) in case.endpoints_to(target) {
            let groups = connection.properties.group_ids.clone().unwrap_or_default().join(", ");
            found.differs(
                name(endpoint),
                format_args!("it leads to another part of {target}"),
                groups,
                group_of(target),
            );
        }
    }
}

/// What is found of targets of which no private endpoint is approved: the worst word that is said.
fn unapproved(case: &Case<'_>, found: &mut Found<'_>, status: &ConnectionStatus, message: &str) {
    for (target, usable) in usable(*case) {
        if usable.iter().any(|(_, connection)| connection.status() == Some(&ConnectionStatus::Approved)) {
            continue;
        }
        for (endpoint, connection) in usable {
            if connection.status().unwrap_or(&ConnectionStatus::Pending) == status {
                let told = connection.properties.private_link_service_connection_state.as_ref();
                let words = told.and_then(|state| state.description.as_deref()).unwrap_or_default();
                let words = if words.is_empty() { String::new() } else { format!(": {words}") };
                found.broken(name(endpoint), format_args!("{message} {target}{words}"));
            }
        }
    }
}

fn pending(case: &Case<'_>, found: &mut Found<'_>) {
    unapproved(case, found, &ConnectionStatus::Pending, "waits for the approval of the owner of");
}

fn rejected(case: &Case<'_>, found: &mut Found<'_>) {
    unapproved(case, found, &ConnectionStatus::Rejected, "was rejected by the owner of");
}

fn disconnected(case: &Case<'_>, found: &mut Found<'_>) {
    unapproved(case, found, &ConnectionStatus::Disconnected, "is disconnected from");
}

fn network(case: &Case<'_>, found: &mut Found<'_>) {
    let project: Vec<ArmId> =
        case.endpoints_to(&case.wanted.project).filter_map(|(endpoint, _)| network_of(endpoint)).collect();
    if project.is_empty() {
        return;
    }
    for (target, usable) in usable(*case) {
        let networks: Vec<ArmId> = usable.iter().filter_map(|(endpoint, _)| network_of(endpoint)).collect();
        let joined = networks.iter().any(|own| project.iter().any(|other| are_joined(case, own, other)));
        if !networks.is_empty() && !joined {
            let message = "its private endpoint is in a network that is not connected to the project's";
            found.differs(target, message, &networks[0], &project[0]);
        }
    }
}

/// Whether two networks are one, or peered.
pub(super) fn are_joined(case: &Case<'_>, one: &ArmId, other: &ArmId) -> bool {
    let peered = |from: &ArmId, to: &ArmId| {
        case.network(from).is_some_and(|network| network.connected_networks().any(|one| one == to))
    };
    one == other || peered(one, other) || peered(other, one)
}

pub(super) fn name(endpoint: &PrivateEndpoint) -> String {
    let id = endpoint.id.as_ref().map(ToString::to_string);
    id.or_else(|| endpoint.name.clone()).unwrap_or_else(|| "a private endpoint without a name".to_owned())
}
