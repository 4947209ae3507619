//! Virtual networks with their subnets and peerings, and network interfaces.
//!
//! Source: Azure REST API specification, Network, `virtualNetwork.json` and `networkInterface.json` (2024-01-01).

use super::resource::{Resource, ResourceRef};
use super::scalar::Address;
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A virtual network.
pub type VirtualNetwork = Resource<VirtualNetworkProperties>;
/// A subnet.
pub type Subnet = Resource<SubnetProperties>;
/// What makes two virtual networks one.
pub type VirtualNetworkPeering = Resource<VirtualNetworkPeeringProperties>;
/// A network interface.
pub type NetworkInterface = Resource<NetworkInterfaceProperties>;
/// An address of a network interface.
pub type IpConfiguration = Resource<IpConfigurationProperties>;

open_enum! {
    /// Where a peering is: it works where both sides are connected.
    pub enum PeeringState {
        /// This side only.
        Initiated,
        /// Both sides.
        Connected,
        /// The other side is gone.
        Disconnected,
    }
}

wire! {
    /// The properties of a [`VirtualNetwork`].
    pub struct VirtualNetworkProperties {
        /// Its networks of addresses.
        address_space: AddressSpace,
        /// The DNS servers of its machines.
        dhcp_options: DhcpOptions,
        /// Its subnets.
        subnets: Vec<Subnet>,
        /// The networks that it is one with.
        virtual_network_peerings: Vec<VirtualNetworkPeering>,
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
    }

    /// Networks of addresses.
    pub struct AddressSpace {
        /// In CIDR form.
        address_prefixes: Vec<String>,
    }

    /// What machines of a virtual network are told.
    pub struct DhcpOptions {
        /// Their DNS servers; Azure's own where there is none.
        dns_servers: Vec<String>,
    }

    /// The properties of a [`Subnet`].
    pub struct SubnetProperties {
        /// Its network of addresses, in CIDR form.
        address_prefix: String,
        /// The same where there are several.
        address_prefixes: Vec<String>,
        /// What filters its traffic.
        network_security_group: ResourceRef,
        /// The private endpoints in it.
        private_endpoints: Vec<ResourceRef>,
        /// Whether filters and routes hold for private endpoints: `Enabled`, `Disabled` and others.
        private_endpoint_network_policies: String,
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
    }

    /// The properties of a [`VirtualNetworkPeering`].
    pub struct VirtualNetworkPeeringProperties {
        /// The other network.
        remote_virtual_network: ResourceRef,
        /// Where it is.
        peering_state: PeeringState,
        /// Whether machines of one reach those of the other.
        allow_virtual_network_access: bool,
        /// Whether traffic from elsewhere is let through.
        allow_forwarded_traffic: bool,
        /// Whether the other may use gateways of this one.
        allow_gateway_transit: bool,
        /// Whether this one uses gateways of the other.
        use_remote_gateways: bool,
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
    }

    /// The properties of a [`NetworkInterface`].
    pub struct NetworkInterfaceProperties {
        /// Its addresses.
        ip_configurations: Vec<IpConfiguration>,
        /// What filters its traffic.
        network_security_group: ResourceRef,
        /// The virtual machine that has it.
        virtual_machine: ResourceRef,
        /// The private endpoint that has it.
        private_endpoint: ResourceRef,
        /// Whether it skips its host's software.
        enable_accelerated_networking: bool,
        /// Its address in its network.
        mac_address: String,
        /// Whether it is its machine's first one.
        primary: bool,
        /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
        provisioning_state: String,
    }

    /// The properties of an [`IpConfiguration`].
    pub struct IpConfigurationProperties {
        /// The subnet.
        subnet: ResourceRef,
        /// The address.
        #[serde(rename = "privateIPAddress")]
        private_ip_address: Address,
        /// `Static` or `Dynamic`.
        #[serde(rename = "privateIPAllocationMethod")]
        private_ip_allocation_method: String,
        /// `IPv4` or `IPv6`.
        #[serde(rename = "privateIPAddressVersion")]
        private_ip_address_version: String,
        /// The public address.
        #[serde(rename = "publicIPAddress")]
        public_ip_address: ResourceRef,
        /// Whether it is the interface's first one.
        primary: bool,
    }
}

impl Resource<VirtualNetworkProperties> {
    /// The networks that this one is one with: whose peering is connected and lets traffic through.
    pub fn connected_networks(&self) -> impl Iterator<Item = &ArmId> {
        let open = |peering: &&VirtualNetworkPeering| {
            peering.properties.peering_state == Some(PeeringState::Connected)
                && peering.properties.allow_virtual_network_access != Some(false)
        };
        let peerings = self.properties.virtual_network_peerings.iter().flatten().filter(open);
        peerings.filter_map(|peering| peering.properties.remote_virtual_network.as_ref()?.id.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_network_is_one_with_those_that_are_connected_and_open() {
        let peering = |id: &str, state: &str, open: bool| json!({ "name": "p", "properties": { "peeringState": state, "allowVirtualNetworkAccess": open, "remoteVirtualNetwork": { "id": id } } });
        let network: VirtualNetwork = same(&json!({ "location": "westeurope", "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] }, "enableDdosProtection": false,
            "subnets": [{ "name": "s", "properties": { "addressPrefix": "10.0.0.0/24", "privateEndpoints": [{ "id": "/pe" }], "delegations": [] } }],
            "virtualNetworkPeerings": [peering("/a", "Connected", true), peering("/b", "Initiated", true), peering("/c", "Connected", false)],
        }}));
        assert_eq!(network.connected_networks().collect::<Vec<_>>(), [&ArmId::new("/A")]);
    }

    #[test]
    fn an_interface_that_is_read_and_written_is_the_same() {
        same::<NetworkInterface>(&json!({ "properties": {
            "enableAcceleratedNetworking": true, "hostedWorkloads": [],
            "ipConfigurations": [{ "name": "ipconfig1", "properties": {
                "subnet": { "id": "/s" }, "privateIPAddress": "10.0.0.4", "privateIPAllocationMethod": "Static", "primary": true,
            }}],
        }}));
    }
}
