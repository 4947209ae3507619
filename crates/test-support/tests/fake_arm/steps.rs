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

pub fn policy_id(scenery: &Scenery) -> String {
    format!("{}/replicationPolicies/policy1", scenery.vault())
}

pub fn policy(kind: &str) -> Value {
    let mut input = json!({ "instanceType": kind });
    if kind != "HyperVReplicaAzure" {
        input["recoveryPointHistoryInMinutes"] = 360.into();
        input["crashConsistentFrequencyInMinutes"] = 60.into();
        input["appConsistentFrequencyInMinutes"] = 240.into();
    }
    if kind == "InMageRcm" {
        input["enableMultiVmSync"] = "True".into();
    }
    json!({ "properties": { "providerSpecificInput": input } })
}

pub fn mapping_id(scenery: &Scenery) -> String {
    format!("{}/replicationProtectionContainerMappings/containermapping", scenery.container())
}

pub fn mapping(scenery: &Scenery, kind: &str) -> Value {
    // Only VMware has an input of its own; the others send the name of the base, as the contract's example does.
    let input = if kind == "VMwareCbt" {
        json!({ "instanceType": kind, "storageAccountId": scenery.account(), "targetLocation": "centralus" })
    } else {
        json!({ "instanceType": "ReplicationProviderSpecificContainerMappingInput" })
    };
    json!({ "properties": {
        "policyId": policy_id(scenery), "targetProtectionContainerId": "Microsoft Azure", "providerSpecificInput": input,
    } })
}

pub fn item_id(scenery: &Scenery, kind: &str, name: &str) -> String {
    format!("{}/{kind}/{name}", scenery.container())
}

/// The body that enables the first machine of `VMware`.
pub fn enable_vmware(scenery: &Scenery) -> Value {
    let disk = |index: u32| {
        json!({
            "diskId": scenery.disk(1, index), "isOSDisk": if index == 0 { "true" } else { "false" },
            "logStorageAccountId": scenery.account(), "logStorageAccountSasSecretName": "cache01-cacheSas",
            "diskType": "Standard_LRS",
        })
    };
    json!({ "properties": { "policyId": policy_id(scenery), "providerSpecificDetails": {
        "instanceType": "VMwareCbt", "vmwareMachineId": scenery.machine(1), "disksToInclude": [disk(0), disk(1)],
        "dataMoverRunAsAccountId": scenery.run_as_account(), "snapshotRunAsAccountId": scenery.run_as_account(),
        "targetResourceGroupId": scenery.target_group(), "targetNetworkId": scenery.network(),
        "targetSubnetName": "endpoints", "targetVmName": "web01", "targetVmSize": "Standard_D2s_v3",
        "licenseType": "NoLicenseType", "performAutoResync": "true",
    } } })
}

/// The body that enables the first machine of Hyper-V.
pub fn enable_hyper_v(scenery: &Scenery) -> Value {
    let disk = |index: u32| json!({ "diskId": scenery.disk(1, index), "logStorageAccountId": scenery.account(), "diskType": "Standard_LRS" });
    json!({ "properties": {
        "policyId": policy_id(scenery), "protectableItemId": scenery.protectable_item(1),
        "providerSpecificDetails": {
            "instanceType": "HyperVReplicaAzure", "hvHostVmId": "web01", "vmName": "web01", "osType": "Windows",
            "vhdId": scenery.disk(1, 0), "targetAzureVmName": "web01", "targetVmSize": "Standard_D2s_v3",
            "targetAzureNetworkId": scenery.network(), "targetAzureV2ResourceGroupId": scenery.target_group(),
            "targetStorageAccountId": scenery.account(), "logStorageAccountId": scenery.account(),
            "useManagedDisks": "true", "disksToIncludeForManagedDisks": [disk(0), disk(1)],
        },
    } })
}

/// The body that enables the first server with an agent.
pub fn enable_agent(scenery: &Scenery) -> Value {
    let disk = json!({ "diskId": "disk0", "logStorageAccountId": scenery.account(), "diskType": "Standard_LRS" });
    json!({ "properties": { "policyId": policy_id(scenery), "providerSpecificDetails": {
        "instanceType": "InMageRcm", "fabricDiscoveryMachineId": scenery.machine(1), "disksToInclude": [disk],
        "processServerId": scenery.process_server(), "targetResourceGroupId": scenery.target_group(),
        "targetNetworkId": scenery.network(), "targetVmName": "web01", "targetVmSize": "Standard_D2s_v3",
    } } })
}
