//! Private DNS: zones, the networks that see them, and records.
//!
//! Source: Azure REST API specification, `privatedns.json` (2024-06-01).

use std::net::{IpAddr, Ipv4Addr};

use super::resource::{Resource, ResourceRef};
use super::scalar::Address;
use super::wire::wire;

/// A private DNS zone. Its location is `Global`.
pub type PrivateDnsZone = Resource<PrivateDnsZoneProperties>;
/// A virtual network that sees a zone.
pub type VirtualNetworkLink = Resource<VirtualNetworkLinkProperties>;
/// The records of one name and type in a zone.
pub type RecordSet = Resource<RecordSetProperties>;

wire! {
    /// The properties of a [`PrivateDnsZone`].
    pub struct PrivateDnsZoneProperties {
        /// `Creating`, `Updating`, `Deleting`, `Succeeded`, `Failed` or `Canceled`.
        provisioning_state: String,
        /// How many record sets it has.
        number_of_record_sets: i64,
        /// How many it may have.
        max_number_of_record_sets: i64,
        /// How many networks see it.
        number_of_virtual_network_links: i64,
        /// How many may.
        max_number_of_virtual_network_links: i64,
    }

    /// The properties of a [`VirtualNetworkLink`].
    pub struct VirtualNetworkLinkProperties {
        /// `Creating`, `Updating`, `Deleting`, `Succeeded`, `Failed` or `Canceled`.
        provisioning_state: String,
        /// The network.
        virtual_network: ResourceRef,
        /// Whether machines of the network get records in the zone by themselves.
        registration_enabled: bool,
        /// Whether names that the zone does not have are asked for in public DNS: `Default` (no) or
        /// `NxDomainRedirect` (yes).
        resolution_policy: String,
        /// `InProgress` or `Completed`; the network sees the zone from then on.
        virtual_network_link_state: String,
    }

    /// The properties of a [`RecordSet`].
    pub struct RecordSetProperties {
        /// How long resolvers may keep the records, in seconds.
        ttl: i64,
        /// The name, fully qualified, with a dot at its end.
        fqdn: String,
        /// Whether the link of a network made it.
        is_auto_registered: bool,
        /// The addresses.
        a_records: Vec<ARecord>,
    }

    /// One address.
    pub struct ARecord {
        /// The address.
        #[serde(rename = "ipv4Address")]
        ipv4_address: Address,
    }
}

impl RecordSetProperties {
    /// These addresses, to be kept for `ttl` seconds.
    pub fn of_addresses(ttl: i64, addresses: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let record = |address: Ipv4Addr| ARecord { ipv4_address: Some(address.into()), ..ARecord::default() };
        Self { ttl: Some(ttl), a_records: Some(addresses.into_iter().map(record).collect()), ..Self::default() }
    }

    /// The addresses of its A records; what is no address is passed over.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.a_records.iter().flatten().filter_map(|record| match record.ipv4_address.as_ref()?.ip()? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_zone_that_is_read_and_written_is_the_same() {
        let body = json!({
            "name": "privatelink.blob.core.windows.net", "location": "global",
            "properties": { "provisioningState": "Succeeded", "numberOfRecordSets": 2, "internalId": "x" },
        });
        let zone: PrivateDnsZone = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(zone).unwrap(), body);
    }

    #[test]
    fn a_link_that_is_read_and_written_is_the_same() {
        let body = json!({ "location": "Global", "properties": {
            "virtualNetwork": { "id": "/subscriptions/s/vnet" }, "registrationEnabled": false,
            "resolutionPolicy": "NxDomainRedirect", "virtualNetworkLinkState": "Completed",
        }});
        let link: VirtualNetworkLink = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(link).unwrap(), body);
    }

    #[test]
    fn records_are_written_as_the_service_wants_them() {
        let records = RecordSetProperties::of_addresses(10, [Ipv4Addr::new(10, 0, 0, 4)]);
        assert_eq!(records.addresses().collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 4)]);
        let body = json!({ "properties": { "ttl": 10, "aRecords": [{ "ipv4Address": "10.0.0.4" }] } });
        assert_eq!(serde_json::to_value(RecordSet::new(records)).unwrap(), body);
    }

    #[test]
    fn records_of_other_types_are_kept() {
        let body =
            json!({ "name": "@", "properties": { "soaRecord": { "host": "azureprivatedns.net" }, "ttl": 3600 } });
        let records: RecordSet = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(records.properties.addresses().count(), 0);
        assert_eq!(serde_json::to_value(records).unwrap(), body);
    }
}
