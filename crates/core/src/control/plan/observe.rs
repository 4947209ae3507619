//! Reads what there is, once, for rules and plans.
//!
//! What is listed is read as a list, so that the number of requests depends on the kinds of resources and not on how
//! many servers there are. What is not there is left out; what the caller may not read is in
//! [`Observed::unread`], because nobody may take it for missing.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::control::arm::{ArmClient, ArmError, Operation, Request, operations};
use crate::control::lifecycle::wire::{Item, MigrationItem, ProtectedItem};
use crate::control::model::{
    AvailabilitySet, ContainerMapping, Disk, DiskEncryptionSet, HyperVMachine, Machine, PrivateEndpoint,
    PrivateEndpointConnection, PrivateLinkResource, ResourceSku, RoleAssignment, ServerMachine, StorageAccount,
    VirtualMachine, VmwareMachine,
};
use crate::control::observed::{Observed, Region, Unread, same_region};
use crate::control::settings::{Availability, MigrationSettings, SizeChoice};
use crate::control::{ArmId, Scenario};
use crate::private_link::PrivateService;

/// Reads everything that rules and plans look at.
///
/// Sends reads only, one after the other: some dozens, and one more for each private endpoint, zone and page.
///
/// # Errors
///
/// Whatever goes wrong on the way, but not that something is not there or may not be read.
pub async fn observe(
    client: &ArmClient,
    wanted: &MigrationSettings,
    cancel: &CancellationToken,
) -> Result<Observed, ArmError> {
    let mut reader = Reader { client, cancel, unread: Vec::new() };
    let mut seen = Observed::default();
    reader.subscription(wanted, &mut seen).await?;
    reader.targets(wanted, &mut seen).await?;
    reader.endpoints(wanted, &mut seen).await?;
    reader.names(wanted, &mut seen).await?;
    reader.networks(wanted, &mut seen).await?;
    reader.grants(&mut seen).await?;
    reader.replication(wanted, &mut seen).await?;
    reader.machines(wanted, &mut seen).await?;
    reader.target(wanted, &mut seen).await?;
    seen.unread = reader.unread;
    Ok(seen)
}

struct Reader<'a> {
    client: &'a ArmClient,
    cancel: &'a CancellationToken,
    unread: Vec<Unread>,
}

impl Reader<'_> {
    async fn find<T: DeserializeOwned>(
        &mut self,
        operation: &'static Operation,
        id: &ArmId,
    ) -> Result<Option<T>, ArmError> {
        let found = self.client.find(operation, id, self.cancel).await.map(Some);
        self.settle(id, found).map(Option::flatten)
    }

    /// What is in a list; nothing where what it would be a list of is not there.
    async fn list<T: DeserializeOwned>(&mut self, request: Request) -> Result<Vec<T>, ArmError> {
        Ok(self.try_list(request).await?.unwrap_or_default())
    }

    /// As [`Reader::list`]; none where nobody could read it.
    async fn try_list<T: DeserializeOwned>(&mut self, request: Request) -> Result<Option<Vec<T>>, ArmError> {
        let listed = self.client.list(&request, self.cancel).await.map(Some);
        self.settle(request.id(), listed)
    }

    /// Takes what is not there for nothing, and writes down what may not be read.
    fn settle<T>(&mut self, id: &ArmId, read: Result<Option<T>, ArmError>) -> Result<Option<T>, ArmError> {
        match read {
            Err(ArmError::NotFound { .. }) => Ok(None),
            Err(error @ ArmError::Forbidden { .. }) => {
                self.unread.push(Unread { id: id.clone(), why: error.to_string() });
                Ok(None)
            }
            read => read,
        }
    }

    /// Regions, sizes and groups.
    async fn subscription(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        let target = &wanted.target.resource_group;
        if let Some(subscription) = target.subscription().map(ArmId::of_subscription) {
            let locations: Vec<Location> = self.list(operations::LOCATIONS_LIST.on(&subscription)).await?;
            seen.regions = locations.into_iter().filter_map(Location::into_region).collect();
            // The filter knows `eq` alone, and takes the name without blanks.
            let filter = format!("location eq '{}'", quoted(&wanted.region));
            let skus = self.list(operations::SKUS_LIST.on(&subscription).with_query("$filter", filter)).await?;
            seen.sizes = skus.iter().filter_map(|sku| size(sku, &wanted.region)).collect();
        }
        let network = &wanted.private_network;
        let groups = [Some(target), Some(&network.endpoint_group), Some(&network.zone_group)];
        let own = [wanted.project.group_id(), wanted.vault.group_id()];
        for group in distinct(groups.into_iter().flatten().cloned().chain(own.into_iter().flatten())) {
            let found: Option<serde_json::Value> = self.find(&operations::RESOURCE_GROUPS_GET, &group).await?;
            seen.groups.extend(found.map(|_| group));
        }
        Ok(())
    }

    /// What private endpoints lead to.
    async fn targets(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        seen.project = self.find(&operations::PROJECTS_GET, &wanted.project).await?;
        seen.vault = self.find(&operations::VAULTS_GET, &wanted.vault).await?;
        if seen.vault.is_some() && wanted.scenario != Scenario::VmwareAgentless {
            let links: Vec<PrivateLinkResource> =
                self.list(operations::VAULT_LINK_RESOURCES_LIST.on(&wanted.vault)).await?;
            let group = PrivateService::RecoveryServices.group_id();
            let is_it = |link: &PrivateLinkResource| {
                link.properties.group_id.as_deref().is_some_and(|told| told.eq_ignore_ascii_case(group))
            };
            seen.vault_link = links.into_iter().find(is_it);
        }
        for id in distinct(wanted.accounts().cloned()) {
            let found: Option<StorageAccount> = self.find(&operations::STORAGE_ACCOUNTS_GET, &id).await?;
            seen.accounts.extend(found.map(|account| StorageAccount { id: account.id.or(Some(id)), ..account }));
        }
        Ok(())
    }

    /// The private endpoints of the group for them, and those elsewhere that the targets name.
    async fn endpoints(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        let targets: Vec<&ArmId> = [&wanted.project, &wanted.vault].into_iter().chain(wanted.accounts()).collect();
        let leads = |endpoint: &PrivateEndpoint| targets.iter().any(|to| endpoint.connection_to(to).is_some());
        let group = &wanted.private_network.endpoint_group;
        let listed: Vec<PrivateEndpoint> = self.list(operations::PRIVATE_ENDPOINTS_LIST.on(group)).await?;
        seen.endpoints = listed.into_iter().filter(leads).collect();
        let of_project = seen.project.as_ref().and_then(|one| one.properties.private_endpoint_connections.as_ref());
        let of_vault = seen.vault.as_ref().and_then(|one| one.properties.private_endpoint_connections.as_ref());
        let of_accounts = seen.accounts.iter().filter_map(|one| one.properties.private_endpoint_connections.as_ref());
        let told = of_project.into_iter().chain(of_vault).chain(of_accounts).flatten();
        let ids = distinct(told.filter_map(PrivateEndpointConnection::endpoint).cloned());
        for id in ids {
            if seen.endpoints.iter().any(|endpoint| endpoint.id.as_ref() == Some(&id)) {
                continue;
            }
            let found: Option<PrivateEndpoint> = self.find(&operations::PRIVATE_ENDPOINTS_GET, &id).await?;
            seen.endpoints.extend(found.filter(leads));
        }
        Ok(())
    }

    /// Zone groups, zones, links and records.
    async fn names(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        for id in seen.endpoints.iter().filter_map(|endpoint| endpoint.id.clone()).collect::<Vec<_>>() {
            let groups = self.list(operations::PRIVATE_DNS_ZONE_GROUPS_LIST.on(&id)).await?;
            seen.zone_groups.extend(groups);
        }
        let zone = |service: PrivateService| {
            let zone = service.zone(wanted.cloud)?;
            Some(wanted.private_network.zone_group.resource("Microsoft.Network", "privateDnsZones", zone))
        };
        let vault = (wanted.scenario != Scenario::VmwareAgentless).then_some(PrivateService::RecoveryServices);
        let own = [Some(PrivateService::Blob), vault].into_iter().flatten().filter_map(zone);
        let configs = seen.zone_groups.iter().flat_map(|one| one.properties.private_dns_zone_configs.iter().flatten());
        let attached = configs.filter_map(|config| config.properties.private_dns_zone_id.clone());
        for id in distinct(own.chain(attached)) {
            let Some(found) = self.find(&operations::PRIVATE_ZONES_GET, &id).await? else { continue };
            seen.zones.push(found);
            seen.zone_links.extend(self.list(operations::VIRTUAL_NETWORK_LINKS_LIST.on(&id)).await?);
            seen.records.extend(self.list(operations::RECORD_SETS_LIST.on(&id)).await?);
        }
        Ok(())
    }

    async fn networks(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        let test = wanted.target.test.as_ref().map(|test| test.network.clone());
        let of_endpoints =
            seen.endpoints.iter().filter_map(|one| one.properties.subnet.as_ref()?.id.as_ref()?.parent());
        let named = [wanted.private_network.subnet.parent(), Some(wanted.target.network.clone()), test];
        for id in distinct(named.into_iter().flatten().chain(of_endpoints)) {
            seen.networks.extend(self.find(&operations::VIRTUAL_NETWORKS_GET, &id).await?);
        }
        Ok(())
    }

    /// What the vault's identity has been granted on the accounts, and what the caller may do there.
    async fn grants(&mut self, seen: &mut Observed) -> Result<(), ArmError> {
        let there = seen.accounts.iter().filter_map(|account| account.id.clone()).collect::<Vec<_>>();
        if let Some(principal) = seen.vault.as_ref().and_then(|vault| vault.principal_id()) {
            for id in &there {
                seen.grants.extend(self.list::<RoleAssignment>(grants_of(principal, id)).await?);
            }
        }
        if let Some(id) = there.first() {
            seen.caller_roles = self.try_list(operations::PERMISSIONS_LIST.on(id)).await?;
        }
        Ok(())
    }

    /// Fabric, providers, policies, mapping and items.
    async fn replication(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        if seen.vault.is_none() {
            return Ok(());
        }
        if let Some(fabric) = wanted.container.parent() {
            seen.fabric = self.find(&operations::FABRICS_GET, &fabric).await?;
            if seen.fabric.is_some() {
                seen.providers = self.list(operations::PROVIDERS_LIST_IN_FABRIC.on(&fabric)).await?;
            }
        }
        seen.policies = self.list(operations::POLICIES_LIST.on(&wanted.vault)).await?;
        if seen.fabric.is_some() {
            let policy = super::policy_of(wanted);
            let mut mappings: Vec<ContainerMapping> =
                self.list(operations::MAPPINGS_LIST_IN_CONTAINER.on(&wanted.container)).await?;
            let own = mappings.iter().position(|one| one.properties.policy_id.as_ref() == Some(&policy));
            seen.mapping = (!mappings.is_empty()).then(|| mappings.swap_remove(own.unwrap_or(0)));
        }
        let migrated: Vec<MigrationItem> = self.list(operations::MIGRATION_ITEMS_LIST.on(&wanted.vault)).await?;
        let protected: Vec<ProtectedItem> = self.list(operations::PROTECTED_ITEMS_LIST.on(&wanted.vault)).await?;
        seen.vault_items = migrated.len() + protected.len();
        let items: Vec<Item> = match wanted.scenario {
            Scenario::VmwareAgentless => migrated.into_iter().map(Item::Vmware).collect(),
            Scenario::HyperV => protected.into_iter().map(Item::HyperV).collect(),
            Scenario::AgentBased => protected.into_iter().map(Item::Agent).collect(),
        };
        let is_own = |item: &Item| ArmId::new(item.subject()).is_within(&wanted.container);
        seen.items = items.into_iter().filter(is_own).collect();
        Ok(())
    }

    /// The machines of the sites that the servers were discovered for.
    async fn machines(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        for site in distinct(wanted.servers.iter().filter_map(|server| server.source.machine().parent())) {
            let of = |kind: &str| site.is_of(&format!("Microsoft.OffAzure/{kind}"));
            if of("vmwareSites") {
                let found: Vec<VmwareMachine> = self.list(operations::VMWARE_MACHINES_LIST.on(&site)).await?;
                seen.machines.extend(found.iter().map(Machine::from));
            } else if of("hypervSites") {
                let found: Vec<HyperVMachine> = self.list(operations::HYPER_V_MACHINES_LIST.on(&site)).await?;
                seen.machines.extend(found.iter().map(Machine::from));
            } else if of("serverSites") {
                let found: Vec<ServerMachine> = self.list(operations::SERVERS_LIST.on(&site)).await?;
                seen.machines.extend(found.iter().map(Machine::from));
            } else {
                self.unread.push(Unread { id: site, why: "it is no kind of site that is known".to_owned() });
            }
        }
        Ok(())
    }

    /// What is in the resource group that the machines go to.
    async fn target(&mut self, wanted: &MigrationSettings, seen: &mut Observed) -> Result<(), ArmError> {
        let group = &wanted.target.resource_group;
        if !seen.groups.contains(group) {
            return Ok(());
        }
        let machines: Vec<VirtualMachine> = self.list(operations::VIRTUAL_MACHINES_LIST.on(group)).await?;
        seen.vm_names = machines.into_iter().filter_map(|machine| machine.name).collect();
        let disks: Vec<Disk> = self.list(operations::DISKS_LIST.on(group)).await?;
        seen.disk_names = disks.into_iter().filter_map(|disk| disk.name).collect();
        seen.interfaces = self.list(operations::NETWORK_INTERFACES_LIST.on(group)).await?;
        if wanted.servers.iter().any(|server| matches!(server.availability, Availability::Set(_))) {
            seen.availability_sets = self.list::<AvailabilitySet>(operations::AVAILABILITY_SETS_LIST.on(group)).await?;
        }
        if wanted.servers.iter().any(|server| server.source.encryption().is_some_and(|one| one.set().is_some())) {
            seen.encryption_sets =
                self.list::<DiskEncryptionSet>(operations::DISK_ENCRYPTION_SETS_LIST.on(group)).await?;
        }
        Ok(())
    }
}

/// The request that lists what a principal was granted on a resource and around it.
pub(super) fn grants_of(principal: &str, scope: &ArmId) -> Request {
    let filter = format!("principalId eq '{}'", quoted(principal));
    operations::ROLE_ASSIGNMENTS_LIST.on(scope).with_query("$filter", filter)
}

/// A text within the quotes of a filter.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// Each once, in the order of their first.
fn distinct(ids: impl Iterator<Item = ArmId>) -> Vec<ArmId> {
    let mut known = BTreeSet::new();
    ids.filter(|id| known.insert(id.as_str().to_ascii_lowercase())).collect()
}

/// A region as the subscription lists it.
///
/// Source: Azure REST API specification, Subscriptions (2022-12-01), `Location`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    name: Option<String>,
    #[serde(default)]
    availability_zone_mappings: Option<Vec<ZoneMapping>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZoneMapping {
    logical_zone: Option<String>,
}

impl Location {
    fn into_region(self) -> Option<Region> {
        let zones = self.availability_zone_mappings.into_iter().flatten().filter_map(|zone| zone.logical_zone);
        Some(Region { name: self.name?, zones: zones.collect() })
    }
}

/// A size of machines, as the subscription has it in the region; none for what is no size of machines, is not there
/// or does not say what it has.
fn size(sku: &ResourceSku, region: &str) -> Option<SizeChoice> {
    if !sku.resource_type.as_deref()?.eq_ignore_ascii_case("virtualMachines") {
        return None;
    }
    let here = |told: &String| same_region(told, region);
    if !sku.locations.iter().flatten().any(here) {
        return None;
    }
    let told = |name: &str| {
        let capability = sku.capabilities.iter().flatten().find(|one| one.name.as_deref() == Some(name))?;
        capability.value.as_deref()
    };
    let number = |name: &str| told(name).and_then(|value| value.trim().parse::<u32>().ok());
    let gib: f64 = told("MemoryGB")?.trim().parse().ok()?;
    let generation = |word: &str| word.trim().trim_start_matches(['V', 'v']).parse().ok();
    let infos = sku.location_info.iter().flatten().filter(|info| info.location.as_ref().is_some_and(here));
    let mut zones: Vec<String> = infos.flat_map(|info| info.zones.clone().unwrap_or_default()).collect();
    let mut restrictions = Vec::new();
    for restriction in sku.restrictions.iter().flatten() {
        let info = restriction.restriction_info.clone().unwrap_or_default();
        let locations = info.locations.or_else(|| restriction.values.clone()).unwrap_or_default();
        match restriction.restriction_type.as_deref() {
            // What is kept back in some zones can still be had in the others.
            Some(kind) if kind.eq_ignore_ascii_case("Zone") => {
                let kept_back = info.zones.or_else(|| restriction.values.clone()).unwrap_or_default();
                zones.retain(|zone| !kept_back.contains(zone));
            }
            _ if locations.iter().any(here) => {
                restrictions.push(restriction.reason_code.clone().unwrap_or_else(|| "it gives no reason".to_owned()));
            }
            _ => {}
        }
    }
    zones.sort_unstable();
    Some(SizeChoice {
        name: sku.name.clone()?,
        cores: number("vCPUs")?,
        memory_mib: (gib.is_finite() && gib >= 0.0).then_some((gib * 1024.0) as u64)?,
        data_disks: number("MaxDataDiskCount").unwrap_or(0),
        nics: number("MaxNetworkInterfaces").unwrap_or(0),
        gpus: number("GPUs").unwrap_or(0),
        premium_disks: told("PremiumIO").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        generations: told("HyperVGenerations")
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter_map(generation)
            .collect(),
        zones,
        restrictions,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sku(restrictions: &Value) -> ResourceSku {
        let capability = |name: &str, value: &str| json!({ "name": name, "value": value });
        serde_json::from_value(json!({
            "resourceType": "virtualMachines", "name": "Standard_D2s_v5", "locations": ["WestEurope"],
            "locationInfo": [{ "location": "westeurope", "zones": ["3", "1", "2"] }],
            "capabilities": [
                capability("vCPUs", "2"), capability("MemoryGB", "0.75"), capability("MaxDataDiskCount", "4"),
                capability("MaxNetworkInterfaces", "2"), capability("PremiumIO", "True"),
                capability("HyperVGenerations", "V1,V2"),
            ],
            "restrictions": restrictions,
        }))
        .unwrap()
    }

    #[test]
    fn a_size_is_what_its_capabilities_say() {
        let size = size(&sku(&json!([])), "West Europe").unwrap();
        assert_eq!((size.cores, size.memory_mib, size.data_disks, size.nics, size.gpus), (2, 768, 4, 2, 0));
        assert_eq!((size.premium_disks, size.generations, size.zones.join("")), (true, vec![1, 2], "123".to_owned()));
        assert!(size.restrictions.is_empty());
    }

    #[test]
    fn what_is_no_size_of_the_region_is_left_out() {
        assert_eq!(size(&sku(&json!([])), "northeurope"), None);
        let disk = ResourceSku { resource_type: Some("disks".into()), ..sku(&json!([])) };
        assert_eq!(size(&disk, "westeurope"), None);
        let silent = ResourceSku { capabilities: None, ..sku(&json!([])) };
        assert_eq!(size(&silent, "westeurope"), None);
    }

    #[test]
    fn a_restriction_of_the_region_is_a_reason_and_one_of_a_zone_takes_the_zone() {
        let zone = json!([{ "type": "Zone", "values": ["westeurope"], "reasonCode": "NotAvailableForSubscription",
            "restrictionInfo": { "locations": ["westeurope"], "zones": ["2"] } }]);
        let in_zones = size(&sku(&zone), "westeurope").unwrap();
        assert_eq!((in_zones.zones.join(""), in_zones.restrictions.len()), ("13".to_owned(), 0));
        let location = |at: &str| json!([{ "type": "Location", "values": [at], "reasonCode": "QuotaId" }]);
        assert_eq!(size(&sku(&location("westeurope")), "westeurope").unwrap().restrictions, ["QuotaId"]);
        assert!(size(&sku(&location("eastus")), "westeurope").unwrap().restrictions.is_empty());
    }

    #[test]
    fn a_region_has_the_zones_that_the_subscription_calls_so() {
        let told =
            json!({ "name": "westeurope", "availabilityZoneMappings": [{ "logicalZone": "1", "physicalZone": "x" }] });
        let region = serde_json::from_value::<Location>(told).unwrap().into_region();
        assert_eq!(region, Some(Region { name: "westeurope".into(), zones: vec!["1".into()] }));
        let none = serde_json::from_value::<Location>(json!({ "name": "westus", "availabilityZoneMappings": null }));
        assert_eq!(none.unwrap().into_region().unwrap().zones, [""; 0]);
    }

    #[test]
    fn a_quote_cannot_end_a_filter() {
        let request = format!("{:?}", grants_of("a' or 'b", &ArmId::of_subscription("s")));
        assert!(request.contains("principalId eq 'a'' or ''b'"), "{request}");
    }
}
