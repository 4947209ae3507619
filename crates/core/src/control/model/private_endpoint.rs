//! Private endpoints: the caller's side, the target's side, and the DNS names between.
//!
//! Source: Azure REST API specification, `privateEndpoint.json` and `privateLinkService.json` (2024-01-01); for the
//! target's side the `privateEndpointConnections` of storage (2023-05-01), Recovery Services (2024-04-01) and
//! Azure Migrate (2023-01-01), which agree.

use super::resource::{Resource, ResourceRef};
use super::scalar::Address;
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A private endpoint: an interface in a subnet that leads to a resource.
pub type PrivateEndpoint = Resource<PrivateEndpointProperties>;
/// What a private endpoint leads to.
pub type PrivateLinkServiceConnection = Resource<PrivateLinkServiceConnectionProperties>;
/// The private DNS zones that the records of a private endpoint are written to.
pub type PrivateDnsZoneGroup = Resource<PrivateDnsZoneGroupProperties>;
/// One zone of a [`PrivateDnsZoneGroup`].
pub type PrivateDnsZoneConfig = Resource<PrivateDnsZoneConfigProperties>;
/// A private endpoint as its target sees it: what the owner of the target approves or rejects.
pub type PrivateEndpointConnection = Resource<PrivateEndpointConnectionProperties>;
/// What private endpoints of a target can lead to.
pub type PrivateLinkResource = Resource<PrivateLinkResourceProperties>;

open_enum! {
    /// Where the approval of a private endpoint is.
    pub enum ConnectionStatus {
        /// The owner of the target has not decided.
        Pending,
        /// It works.
        Approved,
        /// The owner of the target refused.
        Rejected,
        /// The target, or its side of the connection, is gone.
        Disconnected,
    }
}

wire! {
    /// The approval of a private endpoint.
    pub struct ConnectionState {
        /// Where it is.
        status: ConnectionStatus,
        /// Why, in the owner's words.
        description: String,
        /// What the other side has to do; `None` where that is nothing.
        actions_required: String,
    }

    /// The properties of a [`PrivateEndpoint`].
    pub struct PrivateEndpointProperties {
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
        /// Where its addresses are taken from.
        subnet: ResourceRef,
        /// Its interfaces, made by Azure.
        network_interfaces: Vec<ResourceRef>,
        /// What it leads to, where the caller may approve that.
        private_link_service_connections: Vec<PrivateLinkServiceConnection>,
        /// What it leads to, where the owner of the target must approve it.
        manual_private_link_service_connections: Vec<PrivateLinkServiceConnection>,
        /// The names of the target, and the addresses that they must have in private DNS.
        custom_dns_configs: Vec<CustomDnsConfig>,
        /// The name of its interface, where it is not left to Azure.
        custom_network_interface_name: String,
    }

    /// The properties of a [`PrivateLinkServiceConnection`].
    pub struct PrivateLinkServiceConnectionProperties {
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
        /// The target.
        private_link_service_id: ArmId,
        /// The part of the target: `blob`, `AzureSiteRecovery`, `Default`.
        group_ids: Vec<String>,
        /// What the owner of the target is asked, at most 140 characters.
        request_message: String,
        /// Whether it was approved.
        private_link_service_connection_state: ConnectionState,
    }

    /// A name of the target and its addresses in the endpoint's subnet.
    pub struct CustomDnsConfig {
        /// The name, fully qualified, without a dot at its end.
        fqdn: String,
        /// The addresses.
        ip_addresses: Vec<Address>,
    }

    /// The properties of a [`PrivateDnsZoneGroup`].
    pub struct PrivateDnsZoneGroupProperties {
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
        /// The zones.
        private_dns_zone_configs: Vec<PrivateDnsZoneConfig>,
    }

    /// The properties of a [`PrivateDnsZoneConfig`].
    pub struct PrivateDnsZoneConfigProperties {
        /// The zone.
        private_dns_zone_id: ArmId,
        /// The records that Azure keeps in it for the endpoint.
        record_sets: Vec<ZoneRecord>,
    }

    /// A record that Azure keeps for a private endpoint.
    pub struct ZoneRecord {
        /// `A`.
        record_type: String,
        /// The name in the zone.
        record_set_name: String,
        /// The name, fully qualified.
        fqdn: String,
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
        /// How long resolvers may keep it, in seconds.
        ttl: i64,
        /// The addresses.
        ip_addresses: Vec<Address>,
    }

    /// The properties of a [`PrivateEndpointConnection`].
    pub struct PrivateEndpointConnectionProperties {
        /// Where the last change of it is.
        provisioning_state: String,
        /// The private endpoint, which may be in a subscription that the target's owner cannot read.
        private_endpoint: ResourceRef,
        /// Whether it was approved.
        private_link_service_connection_state: ConnectionState,
        /// The parts of the target that it leads to.
        group_ids: Vec<String>,
    }

    /// The properties of a [`PrivateLinkResource`].
    pub struct PrivateLinkResourceProperties {
        /// What a private endpoint names in its `groupIds`.
        group_id: String,
        /// The names that it needs addresses for: one address each.
        required_members: Vec<String>,
        /// The private DNS zones that those names are in.
        required_zone_names: Vec<String>,
    }
}

impl ConnectionState {
    /// The decision `status`, for this reason.
    pub fn decided(status: ConnectionStatus, description: impl Into<String>) -> Self {
        Self { status: Some(status), description: Some(description.into()), ..Self::default() }
    }
}

impl Resource<PrivateEndpointProperties> {
    /// What it leads to, whoever approves.
    pub fn connections(&self) -> impl Iterator<Item = &PrivateLinkServiceConnection> {
        let PrivateEndpointProperties {
            private_link_service_connections: own,
            manual_private_link_service_connections: manual,
            ..
        } = &self.properties;
        own.iter().flatten().chain(manual.iter().flatten())
    }

    /// What of it leads to `target`.
    pub fn connection_to(&self, target: &ArmId) -> Option<&PrivateLinkServiceConnection> {
        self.connections().find(|connection| connection.properties.private_link_service_id.as_ref() == Some(target))
    }
}

impl Resource<PrivateLinkServiceConnectionProperties> {
    /// Where its approval is.
    pub fn status(&self) -> Option<&ConnectionStatus> {
        self.properties.private_link_service_connection_state.as_ref()?.status.as_ref()
    }
}

impl Resource<PrivateEndpointConnectionProperties> {
    /// Where its approval is.
    pub fn status(&self) -> Option<&ConnectionStatus> {
        self.properties.private_link_service_connection_state.as_ref()?.status.as_ref()
    }

    /// The private endpoint.
    pub fn endpoint(&self) -> Option<&ArmId> {
        self.properties.private_endpoint.as_ref()?.id.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoint_that_is_read_and_written_is_the_same() {
        let connection = |name: &str, target: &str, status: &str| {
            json!({ "name": name, "properties": {
                "privateLinkServiceId": target, "groupIds": ["AzureSiteRecovery"],
                "privateLinkServiceConnectionState": { "status": status, "actionsRequired": "None", "description": "" },
            }})
        };
        let body = json!({
            "name": "pe", "location": "westeurope", "etag": "W/\"1\"",
            "properties": {
                "subnet": { "id": "/subscriptions/s/subnet" }, "networkInterfaces": [{ "id": "/subscriptions/s/nic" }],
                "privateLinkServiceConnections": [connection("a", "/subscriptions/s/vault", "Approved")],
                "manualPrivateLinkServiceConnections": [connection("b", "/subscriptions/s/account", "Sleeping")],
                "customDnsConfigs": [{ "fqdn": "1-asr-pod01-rcm1.we.siterecovery.windowsazure.com", "ipAddresses": ["10.0.0.5"] }],
                "ipConfigurations": [],
            },
        });
        let endpoint: PrivateEndpoint = serde_json::from_value(body.clone()).unwrap();
        let vault = endpoint.connection_to(&ArmId::new("/Subscriptions/S/Vault")).unwrap();
        assert_eq!(vault.status(), Some(&ConnectionStatus::Approved));
        let account = endpoint.connection_to(&ArmId::new("/subscriptions/s/account")).unwrap();
        assert_eq!(account.status(), Some(&ConnectionStatus::Unknown("Sleeping".to_owned())));
        assert_eq!(serde_json::to_value(endpoint).unwrap(), body);
    }

    #[test]
    fn the_targets_side_is_read_and_written_the_same() {
        let body = json!({
            "id": "/subscriptions/s/c", "type": "Microsoft.RecoveryServices/vaults/privateEndpointConnections",
            "properties": {
                "provisioningState": "Pending", "privateEndpoint": { "id": "/subscriptions/s/pe" },
                "groupIds": ["AzureSiteRecovery"], "privateLinkServiceConnectionState": { "status": "Pending" },
            },
        });
        let connection: PrivateEndpointConnection = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(connection.endpoint(), Some(&ArmId::new("/SUBSCRIPTIONS/s/pe")));
        assert_eq!(connection.status(), Some(&ConnectionStatus::Pending));
        assert_eq!(serde_json::to_value(connection).unwrap(), body);
    }

    #[test]
    fn a_zone_group_names_its_zones_and_shows_its_records() {
        let body = json!({ "name": "default", "properties": { "privateDnsZoneConfigs": [{
            "name": "blob", "properties": {
                "privateDnsZoneId": "/subscriptions/s/zone",
                "recordSets": [{ "recordType": "A", "recordSetName": "cache", "fqdn": "cache.privatelink.blob.core.windows.net", "ttl": 10, "ipAddresses": ["10.0.0.4"] }],
            },
        }]}});
        let group: PrivateDnsZoneGroup = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(group).unwrap(), body);
    }

    #[test]
    fn a_decision_is_the_body_of_an_approval() {
        let state = ConnectionState::decided(ConnectionStatus::Approved, "by the storage team");
        let properties = PrivateEndpointConnectionProperties {
            private_link_service_connection_state: Some(state),
            ..Default::default()
        };
        let body = json!({ "properties": { "privateLinkServiceConnectionState": {
            "status": "Approved", "description": "by the storage team",
        }}});
        assert_eq!(serde_json::to_value(PrivateEndpointConnection::new(properties)).unwrap(), body);
    }
}
