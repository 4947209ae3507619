//! Vault, private endpoints, zones, roles, policy, mapping.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value, json};

use super::super::label_in;
use super::super::step::Action;
use super::{Unready, not_known};
use crate::control::arm::{Request, operations};
use crate::control::model::{
    ConnectionState, ConnectionStatus, ConsistencyPolicy, ContainerMappingRequest, ContainerMappingRequestProperties,
    ContainerMappingSettings, Extra, HyperVPolicy, Identity, PolicyRequest, PolicyRequestProperties, PolicySettings,
    PrivateDnsZone, PrivateDnsZoneConfig, PrivateDnsZoneConfigProperties, PrivateDnsZoneGroup,
    PrivateDnsZoneGroupProperties, PrivateEndpoint, PrivateEndpointConnection, PrivateEndpointConnectionProperties,
    PrivateEndpointProperties, PrivateLinkServiceConnection, PrivateLinkServiceConnectionProperties, RecordSet,
    RecordSetProperties, RoleGrant, Sku, StorageAccount, StorageAccountProperties, TARGET_AZURE, Vault,
    VaultProperties, VirtualNetworkLink, VirtualNetworkLinkProperties, VmwareCbtMapping,
};
use crate::control::observed::Observed;
use crate::control::{ArmId, Scenario};

/// How long resolvers may keep a record that is written here, in seconds: as long as those that Azure writes.
const TTL: i64 = 10;

pub(super) fn request(action: &Action, seen: &Observed) -> Result<Request, Unready> {
    Ok(match action {
        Action::CreateGroup { group, region } => {
            operations::RESOURCE_GROUPS_PUT.on(group).with_body(&json!({ "location": region }))?
        }
        Action::CreateVault { vault, region } => {
            let body = Vault {
                sku: Some(Sku { name: Some("RS0".into()), tier: Some("Standard".into()), ..Sku::default() }),
                identity: Some(Identity::system_assigned()),
                ..Vault::new(VaultProperties::default()).in_location(region)
            };
            // The service wants the object, also where nothing is in it.
            let mut body = serde_json::to_value(body).unwrap_or_default();
            body["properties"] = json!({});
            operations::VAULTS_CREATE_OR_UPDATE.on(vault).with_body(&body)?
        }
        Action::GiveIdentity { vault } => {
            let body = Vault { identity: Some(Identity::system_assigned()), ..Vault::default() };
            operations::VAULTS_UPDATE.on(vault).with_body(&body)?
        }
        Action::TrustServices { account } => trust_services(action, account, seen)?,
        Action::CreateEndpoint { endpoint, region, subnet, target, group, request } => {
            let body = endpoint_body(region, subnet, target, group, request.as_deref());
            operations::PRIVATE_ENDPOINTS_CREATE_OR_UPDATE.on(endpoint).with_body(&body)?
        }
        Action::ApproveEndpoint { target, endpoint } => approve(action, target, endpoint, seen)?,
        Action::CreateZone { zone } => {
            let body = PrivateDnsZone::default().in_location("Global");
            operations::PRIVATE_ZONES_CREATE_OR_UPDATE.on(zone).with_body(&body)?
        }
        Action::LinkZone { link, network } => {
            let properties = VirtualNetworkLinkProperties {
                virtual_network: Some(network.clone().into()),
                registration_enabled: Some(false),
                ..VirtualNetworkLinkProperties::default()
            };
            let body = VirtualNetworkLink::new(properties).in_location("Global");
            operations::VIRTUAL_NETWORK_LINKS_CREATE_OR_UPDATE.on(link).with_body(&body)?
        }
        Action::AttachZone { endpoint, zone } => {
            let config = PrivateDnsZoneConfig::new(PrivateDnsZoneConfigProperties {
                private_dns_zone_id: Some(zone.clone()),
                ..PrivateDnsZoneConfigProperties::default()
            });
            let body = PrivateDnsZoneGroup::new(PrivateDnsZoneGroupProperties {
                private_dns_zone_configs: Some(vec![config.named(zone.name().replace('.', "-"))]),
                ..PrivateDnsZoneGroupProperties::default()
            });
            let group = endpoint.child("privateDnsZoneGroups", "default");
            operations::PRIVATE_DNS_ZONE_GROUPS_CREATE_OR_UPDATE.on(&group).with_body(&body)?
        }
        Action::WriteRecords { endpoint, zone } => {
            let (label, addresses) =
                records(endpoint, zone, seen).into_iter().next().ok_or_else(|| not_known(action, "a name of it"))?;
            record(zone, &label, addresses)?
        }
        Action::GrantRole { scope, vault, role } => {
            let of_vault = seen.vault.as_ref().filter(|one| one.id.as_ref() == Some(vault));
            let principal = of_vault.and_then(|vault| vault.principal_id());
            let principal = principal.ok_or_else(|| not_known(action, "the identity of the vault"))?.to_owned();
            let grant = RoleGrant { scope: scope.clone(), principal, role: *role };
            let body = grant.body().ok_or_else(|| not_known(action, "the subscription"))?;
            operations::ROLE_ASSIGNMENTS_CREATE.on(&grant.assignment_id()).with_body(&body)?
        }
        Action::CreatePolicy { policy, scenario } => {
            let body = PolicyRequest::new(PolicyRequestProperties {
                provider_specific_input: Some(policy_settings(*scenario)),
                ..PolicyRequestProperties::default()
            });
            operations::POLICIES_CREATE.on(policy).with_body(&body)?
        }
        Action::MapContainer { mapping, policy, account, region, scenario } => {
            let body = ContainerMappingRequest::new(ContainerMappingRequestProperties {
                target_protection_container_id: Some(TARGET_AZURE.to_owned()),
                policy_id: Some(policy.clone()),
                provider_specific_input: Some(mapping_settings(*scenario, account, region)),
                ..ContainerMappingRequestProperties::default()
            });
            operations::MAPPINGS_CREATE.on(mapping).with_body(&body)?
        }
        Action::Enable { .. } | Action::Update { .. } | Action::Ask { .. } => {
            return Err(not_known(action, "the server"));
        }
    })
}

/// The account's network rules as they are, with Azure's services let in besides whoever is.
fn trust_services(action: &Action, account: &ArmId, seen: &Observed) -> Result<Request, Unready> {
    let found = seen.accounts.iter().find(|one| one.id.as_ref() == Some(account));
    let rules = found.and_then(|account| account.properties.network_acls.clone());
    let mut rules = rules.ok_or_else(|| not_known(action, "its network rules"))?;
    let told = rules.bypass.take().unwrap_or_default();
    let mut bypass: Vec<&str> =
        told.split(',').map(str::trim).filter(|who| !who.is_empty() && !who.eq_ignore_ascii_case("None")).collect();
    bypass.push("AzureServices");
    rules.bypass = Some(bypass.join(", "));
    let body = StorageAccount::new(StorageAccountProperties {
        network_acls: Some(rules),
        ..StorageAccountProperties::default()
    });
    Ok(operations::STORAGE_ACCOUNTS_UPDATE.on(account).with_body(&body)?)
}

fn endpoint_body(region: &str, subnet: &ArmId, target: &ArmId, group: &str, request: Option<&str>) -> PrivateEndpoint {
    let connection = PrivateLinkServiceConnection::new(PrivateLinkServiceConnectionProperties {
        private_link_service_id: Some(target.clone()),
        group_ids: Some(vec![group.to_owned()]),
        request_message: request.map(str::to_owned),
        ..PrivateLinkServiceConnectionProperties::default()
    });
    let connections = Some(vec![connection.named(target.name())]);
    let mut properties = PrivateEndpointProperties { subnet: Some(subnet.clone().into()), ..Default::default() };
    if request.is_some() {
        properties.manual_private_link_service_connections = connections;
    } else {
        properties.private_link_service_connections = connections;
    }
    PrivateEndpoint::new(properties).in_location(region)
}

/// The approval, on the side of the target: the connection has a name that only the target knows.
fn approve(action: &Action, target: &ArmId, endpoint: &ArmId, seen: &Observed) -> Result<Request, Unready> {
    let account = seen.accounts.iter().find(|one| one.id.as_ref() == Some(target));
    let connections = account.and_then(|account| account.properties.private_endpoint_connections.as_ref());
    let vault = seen.vault.as_ref().filter(|vault| vault.id.as_ref() == Some(target));
    let connections = connections.or_else(|| vault?.properties.private_endpoint_connections.as_ref());
    let connection = connections.into_iter().flatten().find(|one| one.endpoint() == Some(endpoint));
    let name = connection.and_then(|one| one.id.as_ref().map(ArmId::name).or(one.name.as_deref()));
    let name = name.ok_or_else(|| not_known(action, "the name of its connection"))?;
    let mut properties = PrivateEndpointConnectionProperties {
        private_link_service_connection_state: Some(ConnectionState::decided(
            ConnectionStatus::Approved,
            "approved for replication",
        )),
        ..PrivateEndpointConnectionProperties::default()
    };
    let id = target.child("privateEndpointConnections", name);
    if account.is_some() {
        let body = PrivateEndpointConnection::new(properties);
        return Ok(operations::STORAGE_CONNECTIONS_PUT.on(&id).with_body(&body)?);
    }
    // The example of the contract sends the whole connection, not only the decision.
    let told = connection.map(|one| &one.properties);
    properties.private_endpoint = Some(endpoint.clone().into());
    properties.group_ids = told.and_then(|told| told.group_ids.clone());
    let body = PrivateEndpointConnection::new(properties);
    Ok(operations::VAULT_CONNECTIONS_PUT.on(&id).with_body(&body)?)
}

/// The names of an endpoint in a zone, each with its addresses.
pub(in crate::control::plan) fn records(
    endpoint: &ArmId,
    zone: &ArmId,
    seen: &Observed,
) -> Vec<(String, Vec<Ipv4Addr>)> {
    let found = seen.endpoints.iter().find(|one| one.id.as_ref() == Some(endpoint));
    let names = found.into_iter().flat_map(|one| one.properties.custom_dns_configs.iter().flatten());
    names
        .filter_map(|config| {
            let label = label_in(config.fqdn.as_deref()?, zone.name())?;
            let addresses = config.ip_addresses.iter().flatten().filter_map(|address| match address.ip() {
                Some(IpAddr::V4(address)) => Some(address),
                _ => None,
            });
            Some((label, addresses.collect()))
        })
        .collect()
}

/// The request that writes one record.
pub(in crate::control::plan) fn record(
    zone: &ArmId,
    label: &str,
    addresses: Vec<Ipv4Addr>,
) -> Result<Request, Unready> {
    let body = RecordSet::new(RecordSetProperties::of_addresses(TTL, addresses));
    Ok(operations::RECORD_SETS_CREATE_OR_UPDATE.on(&zone.child("A", label)).with_body(&body)?)
}

/// The numbers that the portal and Microsoft's own client give.
///
/// Source: Az.Migrate (read 2026-11) for `VMware`: 360, 60 and 240 minutes. For the others, the examples of the
/// specification (2024-04-01).
fn policy_settings(scenario: Scenario) -> PolicySettings {
    match scenario {
        Scenario::VmwareAgentless => PolicySettings::VmwareCbt(ConsistencyPolicy {
            recovery_point_history_in_minutes: Some(360),
            crash_consistent_frequency_in_minutes: Some(60),
            app_consistent_frequency_in_minutes: Some(240),
            ..ConsistencyPolicy::default()
        }),
        Scenario::HyperV => PolicySettings::HyperV(HyperVPolicy {
            recovery_point_history_duration: Some(24),
            application_consistent_snapshot_frequency_in_hours: Some(1),
            replication_interval: Some(300),
            ..HyperVPolicy::default()
        }),
        Scenario::AgentBased => PolicySettings::InMageRcm(ConsistencyPolicy {
            recovery_point_history_in_minutes: Some(4320),
            crash_consistent_frequency_in_minutes: Some(5),
            app_consistent_frequency_in_minutes: Some(60),
            enable_multi_vm_sync: Some(false.into()),
            ..ConsistencyPolicy::default()
        }),
    }
}

/// Only `VMware` says in its mapping where to; the others have no input of their own, and send the kind that stands
/// for none, as the example of the specification does (2024-04-01).
fn mapping_settings(scenario: Scenario, account: &ArmId, region: &str) -> ContainerMappingSettings {
    match scenario {
        Scenario::VmwareAgentless => ContainerMappingSettings::VmwareCbt(VmwareCbtMapping {
            target_location: Some(region.to_owned()),
            storage_account_id: Some(account.clone()),
            ..VmwareCbtMapping::default()
        }),
        Scenario::HyperV | Scenario::AgentBased => {
            ContainerMappingSettings::Other(no_kind("ReplicationProviderSpecificContainerMappingInput"))
        }
    }
}

/// The input of a kind that has none of its own: the service wants it named all the same.
pub(super) fn no_kind(name: &str) -> Extra {
    Map::from_iter([("instanceType".to_owned(), Value::from(name))]).into()
}
