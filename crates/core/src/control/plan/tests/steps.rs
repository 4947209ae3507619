//! Each step is one request, with the body that the service wants.

use serde_json::{Value, json};

use super::{Goal, bare, of};
use crate::control::lifecycle::wire::Item;
use crate::control::observed::Observed;
use crate::control::plan::{OwnerRequest, Plan, Step, Unready, request};
use crate::control::sample::{self, id, read};
use crate::control::settings::{Availability, MigrationSettings, Security, Tags};
use crate::control::{ArmId, Scenario};

fn step<'a>(plan: &'a Plan, name: &str) -> &'a Step {
    plan.steps.iter().find(|step| step.action.name() == name).unwrap_or_else(|| panic!("no {name} in {plan:#?}"))
}

fn body(step: &Step, wanted: &MigrationSettings, seen: &Observed) -> Value {
    OwnerRequest::of(&request(step, wanted, seen).unwrap()).body.unwrap_or_default()
}

#[test]
fn the_surroundings_are_made_with_the_bodies_that_azure_wants() {
    let scenario = Scenario::HyperV;
    let (wanted, seen) = (sample::settings(scenario), bare(scenario));
    let plan = of(&wanted, Goal::Prepared, &seen);
    let body = |name: &str| body(step(&plan, name), &wanted, &seen);
    assert_eq!(
        body("create_vault"),
        json!({ "location": "westeurope", "sku": { "name": "RS0", "tier": "Standard" },
            "identity": { "type": "SystemAssigned" }, "properties": {} })
    );
    assert_eq!(
        body("create_endpoint"),
        json!({ "location": "West Europe", "properties": {
            "subnet": { "id": wanted.private_network.subnet },
            "privateLinkServiceConnections": [{ "name": "vault", "properties": {
                "privateLinkServiceId": wanted.vault, "groupIds": ["AzureSiteRecovery"] } }] } })
    );
    assert_eq!(body("create_zone"), json!({ "location": "Global" }));
    assert_eq!(
        body("link_zone"),
        json!({ "location": "Global", "properties": { "registrationEnabled": false,
            "virtualNetwork": { "id": id("Microsoft.Network/virtualNetworks/private") } } })
    );
    assert_eq!(
        body("attach_zone"),
        json!({ "properties": { "privateDnsZoneConfigs": [{ "name": "privatelink-siterecovery-windowsazure-com",
            "properties": { "privateDnsZoneId": id("Microsoft.Network/privateDnsZones/privatelink.siterecovery.windowsazure.com") } }] } })
    );
    assert_eq!(body("map_container")["properties"]["targetProtectionContainerId"], "Microsoft Azure");
}

#[test]
fn a_role_is_granted_to_the_identity_that_the_vault_has_by_then() {
    let scenario = Scenario::AgentBased;
    let (wanted, mut seen) = (sample::settings(scenario), bare(scenario));
    let plan = of(&wanted, Goal::Prepared, &seen);
    let step = step(&plan, "grant_role");
    assert!(matches!(request(step, &wanted, &seen), Err(Unready::NotKnown { .. })));
    seen.vault = sample::observed(scenario).vault;
    let asked = OwnerRequest::of(&request(step, &wanted, &seen).unwrap());
    assert_eq!(asked.method, "PUT");
    assert!(asked.path.contains("/storageAccounts/cache01/providers/Microsoft.Authorization/roleAssignments/"));
    assert!(asked.path.ends_with("?api-version=2022-04-01"));
    assert_eq!(asked.body.unwrap()["properties"]["principalId"], sample::PRINCIPAL);
}

#[test]
fn the_owner_is_told_the_exact_request_that_approves_an_endpoint() {
    let scenario = Scenario::VmwareAgentless;
    let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    wanted.private_network.may_approve = false;
    seen.endpoints.retain(|endpoint| endpoint.name.as_deref() == Some("project"));
    let plan = of(&wanted, Goal::Prepared, &seen);
    let approve = step(&plan, "approve_endpoint");
    assert!(matches!(request(approve, &wanted, &seen), Err(Unready::NotKnown { .. })));
    let endpoint = approve.action.subject().clone();
    seen.accounts[0].properties.private_endpoint_connections = Some(vec![read(json!({
        "name": "cache01.1234", "properties": { "privateEndpoint": { "id": endpoint },
        "privateLinkServiceConnectionState": { "status": "Pending" } } }))]);
    let asked = OwnerRequest::of(&request(approve, &wanted, &seen).unwrap());
    assert_eq!(
        asked.path,
        format!("{}/privateEndpointConnections/cache01.1234?api-version=2023-05-01", wanted.replication_account)
    );
    assert_eq!(asked.body.unwrap()["properties"]["privateLinkServiceConnectionState"]["status"], "Approved");
}

#[test]
fn azures_services_are_let_in_beside_whoever_is() {
    let scenario = Scenario::VmwareAgentless;
    let (wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    seen.accounts[0].properties.network_acls = Some(read(json!({ "defaultAction": "Deny", "bypass": "Logging",
        "ipRules": [{ "value": "52.0.0.0/24", "action": "Allow" }] })));
    let plan = of(&wanted, Goal::Prepared, &seen);
    assert_eq!(
        body(step(&plan, "trust_services"), &wanted, &seen),
        json!({ "properties": { "networkAcls": { "defaultAction": "Deny", "bypass": "Logging, AzureServices",
            "ipRules": [{ "value": "52.0.0.0/24", "action": "Allow" }] } } })
    );
}

#[test]
fn a_vmware_machine_is_enabled_with_all_its_settings() {
    let scenario = Scenario::VmwareAgentless;
    let (mut wanted, seen) = (sample::settings(scenario), sample::observed(scenario));
    let server = &mut wanted.servers[0];
    server.availability = Availability::Zone("2".into());
    server.security = Security::TrustedLaunch { secure_boot: true };
    server.tags = Tags::of_all([("owner".to_owned(), "web".to_owned())].into());
    let plan = of(&wanted, Goal::Replicating, &seen);
    let details = &body(step(&plan, "enable"), &wanted, &seen)["properties"]["providerSpecificDetails"];
    assert_eq!(details["instanceType"], "VMwareCbt");
    assert_eq!(details["disksToInclude"][0]["isOSDisk"], "true");
    assert_eq!(details["disksToInclude"][1]["diskType"], "Standard_LRS");
    assert_eq!(details["disksToInclude"][0]["logStorageAccountSasSecretName"], "cache01-cacheSas");
    assert_eq!(details["targetAvailabilityZone"], "2");
    assert_eq!(details["targetVmSecurityProfile"]["isTargetVmSecureBootEnabled"], "true");
    assert_eq!(details["targetDiskTags"], json!({ "owner": "web" }));
    assert_eq!(details["performAutoResync"], "true");
    assert_eq!(details.get("targetAvailabilitySetId"), None);
}

#[test]
fn a_hyper_v_machine_of_a_premium_account_names_the_cache_account_for_its_log() {
    let scenario = Scenario::HyperV;
    let (mut wanted, seen) = (sample::settings(scenario), sample::observed(scenario));
    wanted.cache_account = Some(id("Microsoft.Storage/storageAccounts/cache02"));
    let plan = of(&wanted, Goal::Replicating, &seen);
    let details = &body(step(&plan, "enable"), &wanted, &seen)["properties"]["providerSpecificDetails"];
    assert_eq!(details["targetStorageAccountId"], json!(wanted.replication_account));
    assert_eq!(details["logStorageAccountId"], json!(wanted.cache_account));
    assert_eq!(details["vhdId"], "web01-os");
    assert_eq!(details.get("diskEncryptionSetId"), None);
}

#[test]
fn a_changed_size_is_updated_and_nothing_is_left_out_that_would_be_reset() {
    let scenario = Scenario::VmwareAgentless;
    let (wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    let item = json!({ "name": "web01", "properties": { "migrationState": "Replicating", "providerSpecificDetails": {
        "instanceType": "VMwareCbt", "targetVmSize": "Standard_D2s_v5", "targetVmName": "web01" } } });
    seen.items.push(crate::control::lifecycle::wire::Item::Vmware(read(item)));
    seen.items.push(sample::item(scenario, "db01", "Replicating", None));
    let plan = of(&wanted, Goal::Replicating, &seen);
    assert_eq!(super::names(&plan), ["update"]);
    let details = &body(&plan.steps[0], &wanted, &seen)["properties"]["providerSpecificDetails"];
    assert_eq!(details["targetVmSize"], "Standard_D4s_v5");
    assert_eq!(details["vmNics"][0]["isPrimaryNic"], "true");
    assert_eq!(details["vmDisks"].as_array().unwrap().len(), 2);
}

/// The body of the update of a server that has another size than is wanted.
fn updated(wanted: &MigrationSettings, details: &Value) -> (String, Value) {
    let scenario = wanted.scenario;
    let mut seen = sample::observed(scenario);
    let item = read(json!({ "name": "web01", "properties": { "protectionState": "Protected",
        "providerSpecificDetails": details } }));
    seen.items.push(if scenario == Scenario::HyperV { Item::HyperV(item) } else { Item::Agent(item) });
    seen.items.push(sample::item(scenario, "db01", "Protected", None));
    let plan = of(wanted, Goal::Replicating, &seen);
    assert_eq!(super::names(&plan), ["update"]);
    let asked = OwnerRequest::of(&request(&plan.steps[0], wanted, &seen).unwrap());
    assert_eq!(asked.method, "PATCH");
    (asked.path, asked.body.unwrap())
}

#[test]
fn a_hyper_v_machine_is_updated_with_all_that_the_contract_takes() {
    let mut wanted = sample::settings(Scenario::HyperV);
    wanted.servers[0].availability = Availability::Zone("2".into());
    sample::address(&mut wanted.servers[0], "10.2.0.9".parse().unwrap());
    let (path, body) = updated(&wanted, &json!({ "recoveryAzureVMSize": "Standard_D2s_v5" }));
    assert!(path.ends_with("/replicationProtectedItems/web01?api-version=2024-04-01"), "{path}");
    let configuration = json!({ "ipConfigName": "ipconfig1", "isPrimary": true, "isSeletedForFailover": true,
        "recoverySubnetName": "machines", "recoveryStaticIPAddress": "10.2.0.9", "tfoSubnetName": "machines" });
    let details = json!({ "instanceType": "HyperVReplicaAzure", "useManagedDisks": "true", "targetAvailabilityZone": "2",
        "recoveryAzureV2ResourceGroupId": wanted.target.resource_group, "sqlServerLicenseType": "NoLicenseType",
        "vmDisks": [{ "diskId": "web01-data", "targetDiskName": "web01-data" }] });
    let test = wanted.target.test.as_ref().unwrap();
    assert_eq!(
        body,
        json!({ "properties": {
            "recoveryAzureVMName": "web01", "recoveryAzureVMSize": "Standard_D4s_v5", "licenseType": "NoLicenseType",
            "selectedRecoveryAzureNetworkId": wanted.target.network, "selectedTfoAzureNetworkId": test.network,
            "selectedSourceNicId": "nic0", "enableRdpOnTargetOption": "Never",
            "vmNics": [{ "nicId": "nic0", "selectionType": "SelectedByUser", "ipConfigs": [configuration] }],
            "providerSpecificDetails": details,
        } })
    );
}

#[test]
fn a_server_with_an_agent_is_updated_at_the_version_that_has_what_is_wanted() {
    let mut wanted = sample::settings(Scenario::AgentBased);
    let details = json!({ "targetVmSize": "Standard_D2s_v5" });
    let (path, body) = updated(&wanted, &details);
    assert!(path.ends_with("?api-version=2025-08-01"), "a disk has a name of its own: {path}");
    let told = &body["properties"]["providerSpecificDetails"];
    assert_eq!((&told["instanceType"], &told["targetVmSize"]), (&json!("InMageRcm"), &json!("Standard_D4s_v5")));
    assert_eq!(told["vmDisks"], json!([{ "diskId": "web01-data", "targetDiskName": "web01-data" }]));
    assert_eq!(
        told["vmNics"],
        json!([{ "nicId": "nic0", "isPrimaryNic": "true", "isSelectedForFailover": "true",
            "targetSubnetName": "machines", "testSubnetName": "machines" }])
    );
    wanted.servers[0].disks[1].name = None;
    let (path, body) = updated(&wanted, &details);
    assert!(path.ends_with("?api-version=2024-04-01"), "{path}");
    assert_eq!(body["properties"]["providerSpecificDetails"].get("vmDisks"), None);
}

#[test]
fn a_test_is_made_in_the_network_for_tests_from_the_newest_recovery_point() {
    let scenario = Scenario::VmwareAgentless;
    let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    wanted.servers.truncate(1);
    seen.items.push(sample::item(scenario, "web01", "Replicating", None));
    let plan = of(&wanted, Goal::Tested, &seen);
    let test = step(&plan, "ask");
    assert!(matches!(request(test, &wanted, &seen), Err(Unready::NotKnown { what: "a recovery point", .. })));
    seen.items = vec![crate::control::lifecycle::wire::Item::Vmware(read(json!({ "name": "web01", "properties": {
        "migrationState": "Replicating", "providerSpecificDetails": { "lastRecoveryPointId": "/points/9" } } })))];
    let details = &body(test, &wanted, &seen)["properties"]["providerSpecificDetails"];
    assert_eq!(details["recoveryPointId"], "/points/9");
    assert_eq!(details["networkId"], json!(wanted.target.test.as_ref().unwrap().network));
}

#[test]
fn every_step_of_every_kind_of_migration_is_a_request_to_an_operation_for_its_resource() {
    for &scenario in Scenario::ALL {
        let wanted = sample::settings(scenario);
        let plan = of(&wanted, Goal::Replicating, &bare(scenario));
        let mut seen = sample::observed(scenario);
        for step in &plan.steps {
            seen.zone_groups.clear();
            let request = request(step, &wanted, &seen).unwrap_or_else(|error| panic!("{scenario}: {error}"));
            assert!(ArmId::parse(request.id().as_str()).is_ok());
            assert!(request.operation().of.fits(request.id()), "{scenario}: {}", step.id);
        }
    }
}
