//! What the article demands, sentence by sentence, and the rule that sees to it.
//!
//! Source: Microsoft Learn, "Migrate servers to Azure by using Private Link" (2022-12-14). The sentences are
//! shortened, in its order. Two kinds of demands have no rule here: what has to be seen where the data plane runs is
//! a finding of the network preflight, and what cannot be said in the settings needs none.

use std::collections::BTreeSet;

use super::super::all;
use crate::finding::documents::ARTICLE;

/// Who sees to a demand.
enum By {
    /// Rules.
    Rules(&'static [&'static str]),
    /// Findings of the network preflight.
    Preflight(&'static [&'static str]),
    /// The settings cannot say otherwise; or a plan does it in that order.
    Types(&'static str),
}

use By::{Preflight, Rules, Types};

static DEMANDS: &[(&str, By)] = &[
    // Agentless VMware.
    ("set up and configure the appliance before you proceed", Rules(&["appliance.no_site"])),
    (
        "use the storage account created earlier, or create one and configure a private endpoint",
        Rules(&["storage.missing", "endpoint.missing"]),
    ),
    (
        "the private endpoint should be accessible from the network of the appliance",
        Preflight(&["tcp.refused", "tcp.timed_out", "tcp.unreachable"]),
    ),
    (
        "DNS must resolve the account's blob endpoint to the private address of its private endpoint",
        Preflight(&["dns.no_private_endpoint", "dns.unexpected_address", "dns.zone_not_linked"]),
    ),
    ("the cache account must be accessible on its public endpoint", Rules(&["storage.no_public_endpoint"])),
    ("replicating begins after the appliance is set up and discovery is complete", Rules(&["server.unknown"])),
    ("only accounts in the target region are listed", Rules(&["storage.region"])),
    ("only accounts in the project's subscription are listed", Rules(&["storage.subscription"])),
    ("create a private endpoint for the storage account", Rules(&["endpoint.missing"])),
    (
        "the storage account cannot be changed after you enable replication",
        Rules(&["change.account", "change.after_start"]),
    ),
    (
        "trusted Microsoft services and the vault's identity are granted access",
        Rules(&["storage.trusted_services", "vault.no_identity"]),
    ),
    ("hosts-file entries on the appliance", Preflight(&["dns.hosts_file"])),
    ("select the resource group in which the machines reside", Rules(&["target.group_missing"])),
    (
        "select the virtual network and subnet",
        Rules(&["target.network_missing", "target.network_region", "target.subnet_missing"]),
    ),
    ("a zone is available only if the target region supports zones", Rules(&["target.no_zones"])),
    ("specify the zone of each machine", Types("a zone is named where it is chosen, machine by machine")),
    ("the target resource group must have an availability set", Rules(&["target.set_missing"])),
    ("zone, set, or no redundancy", Types("one of the three")),
    (
        "customer-managed keys need a disk encryption set under the target resource group",
        Rules(&["target.encryption_set_missing", "target.encryption_set_kind"]),
    ),
    ("Azure Hybrid Benefit is for Windows Server machines", Rules(&["server.windows_licence"])),
    (
        "machines must conform with Azure's requirements",
        Rules(&["server.name", "disk.too_many", "disk.os_too_large", "disk.data_too_large"]),
    ),
    (
        "a size is the closest match in the subscription, or picked by hand",
        Rules(&["target.size_unknown", "target.size_too_small"]),
    ),
    ("specify the disk that has the boot loader and the installer", Rules(&["disk.no_os_disk"])),
    ("specify which disks are replicated", Rules(&["disk.left_out", "disk.unknown"])),
    ("select the target region", Rules(&["target.region"])),
    ("target sub-resource: blob", Rules(&["endpoint.group"])),
    ("private endpoints only on general-purpose v2 accounts", Rules(&["storage.kind"])),
    (
        "the private endpoint is in the network of the project's, or in one connected to it",
        Rules(&["endpoint.network"]),
    ),
    (
        "integrate with a private DNS zone, linked to the network, with records",
        Rules(&["zone.missing", "zone.not_linked", "zone.record_missing"]),
    ),
    ("the owner of the account must approve the private endpoint", Rules(&["endpoint.pending", "endpoint.rejected"])),
    ("review the state of the connection before you continue", Rules(&["endpoint.pending", "endpoint.disconnected"])),
    (
        "perform a DNS resolution and ensure that it is a private address",
        Preflight(&["dns.no_private_endpoint", "dns.mixed_addresses"]),
    ),
    // Hyper-V.
    (
        "create resources creates a vault and enables its identity",
        Rules(&["vault.missing", "vault.no_identity", "vault.region"]),
    ),
    ("a private endpoint is created for the vault, with five names", Rules(&["endpoint.missing", "vault.members"])),
    (
        "a private DNS zone with records for the vault's services is linked to the network",
        Rules(&["zone.missing", "zone.not_linked", "zone.record_missing"]),
    ),
    ("the registration key is valid for five days", Rules(&["appliance.key_expired"])),
    ("register the provider on each host", Rules(&["appliance.not_registered"])),
    (
        "before you register, ensure that the vault's names are reachable",
        Preflight(&["dns.zone_not_linked", "tcp.timed_out"]),
    ),
    ("at most ten machines together, more in batches of ten", Rules(&["appliance.batch"])),
    ("grant permissions to the vault's identity: mandatory before you proceed", Rules(&["role.missing"])),
    (
        "a premium replication account needs a standard cache account",
        Rules(&["storage.premium_needs_cache", "storage.cache_premium"]),
    ),
    ("private endpoints for both the replication and the cache account", Rules(&["endpoint.missing"])),
    ("an availability set must be in the target resource group", Rules(&["target.set_missing"])),
    ("encryption is not offered for Hyper-V", Types("Hyper-V's settings have no encryption")),
    ("disks that are left out are not on the machine", Rules(&["disk.left_out"])),
    ("settings cannot be changed after replication starts", Rules(&["change.after_start", "change.late"])),
    ("create the storage account in advance", Rules(&["storage.missing"])),
    (
        "Standard: Contributor and Storage Blob Data Contributor; Premium: Storage Blob Data Owner",
        Rules(&["role.missing", "role.wrong_tier"]),
    ),
    ("if network access is restricted, allow trusted Microsoft services", Rules(&["storage.trusted_services"])),
    // Agents.
    (
        "select a dummy account: push install is not supported",
        Types("an agent is installed by hand; nothing pushes one"),
    ),
    ("install the mobility service, then select the process server", Rules(&["appliance.not_registered"])),
    ("the settings are for servers with an agent", Rules(&["server.scenario"])),
];

#[test]
fn every_demand_of_the_article_is_seen_to_by_rules_that_exist() {
    let rules: BTreeSet<_> = all().map(|rule| rule.check().code).collect();
    let preflight: BTreeSet<_> = crate::preflight::catalogue().map(|check| check.code).collect();
    for (demand, by) in DEMANDS {
        let (codes, known) = match by {
            Rules(codes) => (*codes, &rules),
            Preflight(codes) => (*codes, &preflight),
            Types(why) => {
                assert!(why.len() > 10, "{demand}");
                continue;
            }
        };
        for code in codes {
            assert!(known.contains(code), "{demand}: {code} is not known");
        }
    }
}

#[test]
fn every_rule_of_the_article_is_one_of_its_demands() {
    let demanded: BTreeSet<&str> = DEMANDS
        .iter()
        .filter_map(|(_, by)| if let Rules(codes) = by { Some(*codes) } else { None })
        .flatten()
        .copied()
        .collect();
    for rule in all().filter(|rule| rule.check().rule == ARTICLE) {
        assert!(
            demanded.contains(rule.check().code),
            "{} is of the article, and not among its demands",
            rule.check().code
        );
    }
}
