//! Bodies of the requests that many tests send.

use libmigrate_test_support::fake_arm::{GROUP, SUBSCRIPTION, Scenery};
use serde_json::{Value, json};

pub const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

pub fn vault() -> Value {
    json!({
        "location": "centralus", "sku": { "name": "Standard" }, "identity": { "type": "SystemAssigned" },
        "properties": { "publicNetworkAccess": "Enabled" },
    })
}

pub fn endpoint_id(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Network/privateEndpoints/{name}")
}

pub fn endpoint(scenery: &Scenery, target: &str, group: &str) -> Value {
    let connection = json!({ "name": "link", "properties": { "privateLinkServiceId": target, "groupIds": [group] } });
    json!({
        "location": "centralus",
        "properties": { "subnet": { "id": scenery.subnet() }, "privateLinkServiceConnections": [connection] },
    })
}

pub fn zone_id(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/{name}")
}

pub fn zone_group(zone: &str) -> Value {
    let config = json!({ "name": "config1", "properties": { "privateDnsZoneId": zone } });
    json!({ "properties": { "privateDnsZoneConfigs": [config] } })
}

pub fn grant_id(scope: &str, number: u32) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-{number:012}")
}

pub fn grant(principal: &str, role: &str) -> Value {
    json!({ "properties": {
        "roleDefinitionId": format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal, "principalType": "ServicePrincipal",
    } })
}
