//! What would put a name right, ready to be copied.
//!
//! What is not known here (a resource group, a network) stands as a shell variable, so that a command pasted
//! too early fails instead of doing something else.

use std::net::IpAddr;

use super::name::ServiceName;
use crate::finding::{Fix, FixKind};

/// A hosts file's lines for these addresses.
pub(super) fn hosts_file(host: &str, addresses: &[IpAddr]) -> Option<Fix> {
    let lines = addresses.iter().map(|address| format!("{address} {host}")).collect();
    fix(FixKind::HostsFile, lines)
}

/// The record of the private endpoint.
pub(super) fn record(name: &ServiceName, addresses: &[IpAddr]) -> Vec<Fix> {
    let (zone, record) = (name.zone(), name.record());
    let lines = addresses.iter().map(|address| {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        format!("{record}.{zone}. 10 IN {kind} {address}")
    });
    let commands = addresses.iter().filter(|address| address.is_ipv4()).map(|address| {
        format!(
            "az network private-dns record-set a add-record --resource-group \"$ZONE_RESOURCE_GROUP\" \
             --zone-name {zone} --record-set-name {record} --ipv4-address {address}"
        )
    });
    let group = format!(
        "az network private-endpoint dns-zone-group create --resource-group \"$ENDPOINT_RESOURCE_GROUP\" \
         --endpoint-name \"$PRIVATE_ENDPOINT\" --name default --zone-name {} --private-dns-zone \"$ZONE_ID\"",
        zone.replace('.', "-")
    );
    [fix(FixKind::DnsRecord, lines.collect()), fix(FixKind::AzureCli, commands.chain([group]).collect())]
        .into_iter()
        .flatten()
        .collect()
}

/// The link of the zone to a network.
pub(super) fn zone_link(name: &ServiceName) -> Option<Fix> {
    let zone = name.zone();
    let lines = vec![
        format!("az network private-dns zone show --resource-group \"$ZONE_RESOURCE_GROUP\" --name {zone}"),
        format!(
            "az network private-dns link vnet create --resource-group \"$ZONE_RESOURCE_GROUP\" --zone-name {zone} \
             --name \"$LINK\" --virtual-network \"$VNET_ID\" --registration-enabled false"
        ),
    ];
    fix(FixKind::AzureCli, lines)
}

/// A private endpoint for the resource.
pub(super) fn private_endpoint(name: &ServiceName) -> Option<Fix> {
    let group = name.service().group_id();
    let lines = vec![format!(
        "az network private-endpoint create --resource-group \"$RESOURCE_GROUP\" --name \"$PRIVATE_ENDPOINT\" \
         --vnet-name \"$VNET\" --subnet \"$SUBNET\" --private-connection-resource-id \"$RESOURCE_ID\" \
         --group-id {group} --connection-name \"$PRIVATE_ENDPOINT\""
    )];
    fix(FixKind::AzureCli, lines)
}

fn fix(kind: FixKind, lines: Vec<String>) -> Option<Fix> {
    (!lines.is_empty()).then_some(Fix { kind, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_given_as_a_zone_files_line_and_as_a_command() {
        let name: ServiceName = "7548-asr-pod01-rcm1.cus.siterecovery.windowsazure.com".parse().unwrap();
        let fixes = record(&name, &[[10, 0, 0, 5].into()]);
        assert_eq!(
            fixes[0].lines,
            ["7548-asr-pod01-rcm1.cus.privatelink.siterecovery.windowsazure.com. 10 IN A 10.0.0.5"]
        );
        assert!(fixes[1].lines[0].contains("--record-set-name 7548-asr-pod01-rcm1.cus --ipv4-address 10.0.0.5"));
    }

    #[test]
    fn without_an_address_there_is_no_line_to_paste() {
        let name: ServiceName = "acct.blob.core.windows.net".parse().unwrap();
        assert_eq!(hosts_file("acct.blob.core.windows.net", &[]), None);
        assert!(record(&name, &[]).iter().all(|fix| fix.kind == FixKind::AzureCli));
    }
}
