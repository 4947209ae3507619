//! Vault, private endpoints, zones, grants and accounts.

use libmigrate_test_support::fake_arm::{Approval, FakeArm, GROUP, Scenery};
use serde_json::{Value, json};

use super::client::ArmClient;
use super::steps::{BLOB_CONTRIBUTOR, CONTRIBUTOR, endpoint, endpoint_id, grant, grant_id, vault, zone_group, zone_id};

const SITE_RECOVERY_ZONE: &str = "privatelink.siterecovery.windowsazure.com";

async fn start() -> (FakeArm, ArmClient, Scenery) {
    let scenery = Scenery::hyper_v();
    let fake = FakeArm::start_with(&scenery).await;
    let client = ArmClient::of(&fake);
    (fake, client, scenery)
}

#[tokio::test]
async fn a_vault_gets_an_identity_that_stays() {
    let (_fake, client, scenery) = start().await;

    client.do_and_wait("PUT", &scenery.vault(), Some(&vault())).await;
    let first = client.get(&scenery.vault()).await;
    client.do_and_wait("PUT", &scenery.vault(), Some(&vault())).await;
    let second = client.get(&scenery.vault()).await;

    assert!(!first.text("/identity/principalId").is_empty());
    assert_eq!(first.text("/identity/principalId"), second.text("/identity/principalId"));
    assert_eq!(first.text("/properties/provisioningState"), "Succeeded");
}

#[tokio::test]
async fn a_vault_offers_five_members_to_private_endpoints() {
    let (_fake, client, scenery) = start().await;

    let offered = client.get(&format!("{}/privateLinkResources", scenery.vault())).await;

    let group = &offered.body["value"][0]["properties"];
    assert_eq!(group["groupId"], "AzureSiteRecovery");
    assert_eq!(group["requiredMembers"].as_array().unwrap().len(), 5);
    assert_eq!(group["requiredZoneNames"], json!([SITE_RECOVERY_ZONE]));
}

#[tokio::test]
async fn an_approved_endpoint_turns_the_private_link_of_its_vault_on_and_writes_five_records() {
    let (fake, client, scenery) = start().await;
    let (endpoint_id, zone) = (endpoint_id("vault-pe"), zone_id(SITE_RECOVERY_ZONE));
    client.do_and_wait("PUT", &zone, Some(&json!({ "location": "global" }))).await;

    let body = endpoint(&scenery, &scenery.vault(), "AzureSiteRecovery");
    client.do_and_wait("PUT", &endpoint_id, Some(&body)).await;
    client.do_and_wait("PUT", &format!("{endpoint_id}/privateDnsZoneGroups/default"), Some(&zone_group(&zone))).await;

    let vault = client.get(&scenery.vault()).await;
    assert_eq!(vault.text("/properties/privateEndpointStateForSiteRecovery"), "Enabled");
    let shown = client.get(&endpoint_id).await;
    let configs = shown.body["properties"]["customDnsConfigs"].as_array().unwrap().clone();
    assert_eq!(configs.len(), 5);
    let records = client.get(&format!("{zone}/A")).await;
    let addresses = |values: &[Value], pointer: &str| {
        let mut found: Vec<String> = values.iter().map(|one| one.pointer(pointer).unwrap().to_string()).collect();
        found.sort();
        found
    };
    assert_eq!(
        addresses(&configs, "/ipAddresses/0"),
        addresses(records.body["value"].as_array().unwrap(), "/properties/aRecords/0/ipv4Address")
    );
    assert!(records.text("/value/0/name").contains("-asr-pod01-"), "{records:?}");
    assert_eq!(fake.resources(GROUP, "Microsoft.Network", "networkInterfaces").len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_waits_has_no_addresses_until_the_owner_approves_it() {
    let (fake, client, scenery) = start().await;
    fake.turn(|knobs| knobs.approval = Approval::Pending);
    let (endpoint_id, zone) = (endpoint_id("cache-pe"), zone_id("privatelink.blob.core.windows.net"));
    client.do_and_wait("PUT", &zone, Some(&json!({ "location": "global" }))).await;
    client.do_and_wait("PUT", &endpoint_id, Some(&endpoint(&scenery, &scenery.account(), "blob"))).await;
    client.do_and_wait("PUT", &format!("{endpoint_id}/privateDnsZoneGroups/default"), Some(&zone_group(&zone))).await;
    let state = "/properties/privateLinkServiceConnections/0/properties/privateLinkServiceConnectionState/status";

    let before = client.get(&endpoint_id).await;
    assert_eq!(before.text(state), "Pending");
    assert_eq!(before.body["properties"]["customDnsConfigs"], json!([]));

    let connections = client.get(&format!("{}/privateEndpointConnections", scenery.account())).await;
    let connection = connections.text("/value/0/id").to_owned();
    let approval = json!({ "properties": { "privateLinkServiceConnectionState": { "status": "Approved", "description": "yes" } } });
    let approved = client.put(&connection, &approval).await;

    assert_eq!(approved.text("/properties/privateLinkServiceConnectionState/status"), "Approved");
    let after = client.get(&endpoint_id).await;
    assert_eq!(after.text(state), "Approved");
    let record = client.get(&format!("{zone}/A/cache01")).await;
    let address = after.text("/properties/customDnsConfigs/0/ipAddresses/0");
    assert_eq!(record.text("/properties/aRecords/0/ipv4Address"), address);
}

#[tokio::test]
async fn a_connection_asked_for_by_hand_waits_and_can_be_rejected() {
    let (_fake, client, scenery) = start().await;
    let mut body = endpoint(&scenery, &scenery.vault(), "AzureSiteRecovery");
    let asked = body["properties"]["privateLinkServiceConnections"].take();
    body["properties"] = json!({ "subnet": { "id": scenery.subnet() }, "manualPrivateLinkServiceConnections": asked });
    client.do_and_wait("PUT", &endpoint_id("vault-pe"), Some(&body)).await;

    let vault = client.get(&scenery.vault()).await;
    let connection = vault.text("/properties/privateEndpointConnections/0/id").to_owned();
    let rejection =
        json!({ "properties": { "privateLinkServiceConnectionState": { "status": "Rejected", "description": "no" } } });
    let state = "/properties/manualPrivateLinkServiceConnections/0/properties/privateLinkServiceConnectionState/status";
    // A vault takes its owner's word up, and carries it out.
    let taken_up = client.put(&connection, &rejection).await;
    assert_eq!((taken_up.status, taken_up.text("/properties/provisioningState")), (201, "Pending"));
    assert_eq!(client.get(&endpoint_id("vault-pe")).await.text(state), "Pending");
    client.wait(&taken_up).await;

    let endpoint = client.get(&endpoint_id("vault-pe")).await;
    assert_eq!(endpoint.text(state), "Rejected");
    // Said once more, it is so already.
    assert_eq!(client.put(&connection, &rejection).await.status, 200);
    assert_eq!(client.get(&scenery.vault()).await.text("/properties/privateEndpointStateForSiteRecovery"), "None");
}

#[tokio::test]
async fn an_endpoint_that_goes_takes_its_records_and_its_connection_along() {
    let (fake, client, scenery) = start().await;
    let (endpoint_id, zone) = (endpoint_id("cache-pe"), zone_id("privatelink.blob.core.windows.net"));
    client.do_and_wait("PUT", &zone, Some(&json!({ "location": "global" }))).await;
    client.do_and_wait("PUT", &endpoint_id, Some(&endpoint(&scenery, &scenery.account(), "blob"))).await;
    client.do_and_wait("PUT", &format!("{endpoint_id}/privateDnsZoneGroups/default"), Some(&zone_group(&zone))).await;

    client.do_and_wait("DELETE", &endpoint_id, None).await;

    assert!(fake.resource(&format!("{zone}/A/cache01")).is_none());
    let account = client.get(&scenery.account()).await;
    assert_eq!(account.body["properties"]["privateEndpointConnections"], json!([]));
    assert!(fake.resources(GROUP, "Microsoft.Network", "networkInterfaces").is_empty());
}

#[tokio::test]
async fn an_endpoint_with_a_group_that_the_target_does_not_offer_is_refused() {
    let (_fake, client, scenery) = start().await;

    let wrong = client.put(&endpoint_id("pe"), &endpoint(&scenery, &scenery.account(), "AzureSiteRecovery")).await;

    assert_eq!((wrong.status, wrong.code()), (400, "PrivateLinkServiceGroupIdInvalid"));
}

#[tokio::test]
async fn records_have_etags_that_are_honoured() {
    let (_fake, client, _) = start().await;
    let zone = zone_id("privatelink.blob.core.windows.net");
    client.do_and_wait("PUT", &zone, Some(&json!({ "location": "global" }))).await;
    let record = format!("{zone}/A/web");
    let body = json!({ "properties": { "ttl": 3600, "aRecords": [{ "ipv4Address": "10.0.1.9" }] } });

    let made = client.put(&record, &body).await;
    let conditional = |name: &str, value: &str| {
        hyper::Request::put(format!("{}?api-version=2024-06-01", client.url(&record)))
            .header("authorization", "Bearer token")
            .header(name, value)
            .body(body.to_string().into())
            .unwrap()
    };
    let again = client.exchange(conditional("if-none-match", "*")).await.unwrap();
    let stale = client.exchange(conditional("if-match", "an-old-one")).await.unwrap();
    let fresh = client.exchange(conditional("if-match", made.text("/etag"))).await.unwrap();

    assert_eq!(made.status, 201);
    assert_eq!((again.status, again.code()), (412, "PreconditionFailed"));
    assert_eq!(stale.status, 412);
    assert_eq!(fresh.status, 200);
    assert_ne!(fresh.text("/etag"), made.text("/etag"));
}

#[tokio::test]
async fn a_network_is_linked_to_one_zone_of_a_name() {
    let (_fake, client, scenery) = start().await;
    let zone = zone_id("privatelink.blob.core.windows.net");
    client.do_and_wait("PUT", &zone, Some(&json!({ "location": "global" }))).await;
    let link = json!({ "location": "global", "properties": { "virtualNetwork": { "id": scenery.network() }, "registrationEnabled": false } });

    client.do_and_wait("PUT", &format!("{zone}/virtualNetworkLinks/link1"), Some(&link)).await;
    let second = client.put(&format!("{zone}/virtualNetworkLinks/link2"), &link).await;
    let shown = client.get(&zone).await;
    let emptied = client.send("DELETE", &zone, None).await;

    assert_eq!(second.status, 409);
    assert_eq!(shown.body["properties"]["numberOfVirtualNetworkLinks"], 1);
    assert_eq!((emptied.status, emptied.code()), (409, "CannotDeleteResource"));
}

#[tokio::test]
async fn a_storage_account_is_made_by_location_and_changed_in_part() {
    let (_fake, client, _) = start().await;
    let account = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/cache02");
    let body = json!({ "location": "centralus", "sku": { "name": "Premium_LRS" }, "kind": "StorageV2" });

    let begun = client.put(&account, &body).await;
    let early = client.get(&account).await;
    let made = client.wait(&begun).await;
    let patch = json!({ "properties": { "networkAcls": { "defaultAction": "Deny" } } });
    let changed = client.send("PATCH", &account, Some(&patch)).await;
    let misnamed = client.put(&account.replace("cache02", "Cache_02"), &body).await;

    assert_eq!((begun.status, early.status, made.status), (202, 404, 200));
    assert!(begun.header("azure-asyncoperation").is_none() && begun.header("location").is_some());
    assert_eq!(made.text("/sku/tier"), "Premium");
    assert_eq!(changed.text("/properties/networkAcls/defaultAction"), "Deny");
    assert_eq!(changed.text("/properties/networkAcls/bypass"), "AzureServices");
    assert_eq!((misnamed.status, misnamed.code()), (400, "AccountNameInvalid"));
}

#[tokio::test]
async fn a_grant_is_made_once_whatever_its_name() {
    let (_fake, client, scenery) = start().await;
    let scope = scenery.account();
    let principal = "00000000-0000-0000-0000-0000000000ee";

    let made = client.put(&grant_id(&scope, 1), &grant(principal, CONTRIBUTOR)).await;
    let again = client.put(&grant_id(&scope, 1), &grant(principal, CONTRIBUTOR)).await;
    let other_name = client.put(&grant_id(&scope, 2), &grant(principal, CONTRIBUTOR)).await;
    let other_role = client.put(&grant_id(&scope, 2), &grant(principal, BLOB_CONTRIBUTOR)).await;
    let changed = client.put(&grant_id(&scope, 2), &grant(principal, CONTRIBUTOR)).await;

    assert_eq!((made.status, again.status), (201, 200));
    assert_eq!((other_name.status, other_name.code()), (409, "RoleAssignmentExists"));
    assert_eq!(other_role.status, 201);
    assert_eq!((changed.status, changed.code()), (400, "RoleAssignmentUpdateNotPermitted"));
    let list = |filter: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments?$filter={filter}");
    let held = client.get(&list(&format!("principalId%20eq%20'{principal}'"))).await;
    let nobody = client.get(&list("principalId%20eq%20'nobody'")).await;
    assert_eq!(held.body["value"].as_array().unwrap().len(), 2);
    assert_eq!(nobody.body["value"], json!([]));
}

#[tokio::test]
async fn a_new_identity_is_not_known_at_once() {
    let (fake, client, scenery) = start().await;
    fake.turn(|knobs| knobs.principal_delay = 2);
    client.do_and_wait("PUT", &scenery.vault(), Some(&vault())).await;
    let principal = client.get(&scenery.vault()).await.text("/identity/principalId").to_owned();
    let mut answers = Vec::new();

    for _ in 0..3 {
        let answer = client.put(&grant_id(&scenery.account(), 1), &grant(&principal, CONTRIBUTOR)).await;
        answers.push((answer.status, answer.code().to_owned()));
    }

    let early = (400, "PrincipalNotFound".to_owned());
    assert_eq!(answers, [early.clone(), early, (201, String::new())]);
}
