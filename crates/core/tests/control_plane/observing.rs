//! What is there is read as it is; what is not there is absent; what may not be read is said.

use std::time::Duration;

use libmigrate::CancellationToken;
use libmigrate::control::arm::ArmError;
use libmigrate::control::limits::Limits;
use libmigrate::control::plan::{observe, preflight};
use libmigrate::control::settings::Availability;
use libmigrate::control::{ArmId, Scenario};
use libmigrate::preflight::NetworkOptions;
use libmigrate_test_support::fake_arm::{ArmError as Refusal, ArmFault};
use serde_json::json;

use super::world::World;

#[tokio::test]
async fn what_is_there_is_read() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 2).await;
        let seen = observe(&world.client(), &world.wanted, &CancellationToken::new()).await.unwrap();
        assert_eq!(seen.unread, [], "{scenario}");
        let central = seen.regions.iter().find(|region| region.name == "centralus").unwrap();
        assert_eq!(central.zones, ["1", "2", "3"]);
        assert_eq!(seen.groups.len(), 2);
        assert!(seen.project.is_some() && seen.vault.is_some() && seen.fabric.is_some());
        assert_eq!((seen.accounts.len(), seen.networks.len(), seen.providers.len(), seen.machines.len()), (1, 2, 1, 3));
        assert_eq!((seen.vault_items, seen.mapping.is_none(), seen.policies.len()), (0, true, 0));
        assert_eq!(seen.vault_link.is_some(), scenario != Scenario::VmwareAgentless);
        assert!(seen.machines.iter().all(|machine| machine.scenario == scenario && machine.cores == Some(2)));
        let size = seen.sizes.iter().find(|size| size.name == "Standard_D2s_v3").unwrap();
        assert_eq!((size.cores, size.memory_mib, size.data_disks, size.nics), (2, 8192, 4, 2));
        assert!(size.premium_disks && size.generations == [1, 2] && size.zones.len() == 3);
        assert_eq!(seen.sizes.len(), 7, "those of another region are left out");
        let roles = seen.caller_roles.unwrap();
        assert!(roles.len() == 1 && roles[0].allows("Microsoft.Authorization/roleAssignments/write"), "{roles:?}");
    }
}

#[tokio::test]
async fn who_may_do_everything_but_grant_is_told_before_anything_is_applied() {
    let world = World::of(Scenario::HyperV, 1).await;
    // Contributor, and another role that gives nothing of what it takes away.
    let kept_from = vec!["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"];
    world.fake.turn(|knobs| knobs.caller_roles = vec![(vec!["*"], kept_from), (vec!["*/read"], Vec::new())]);
    let look = async || {
        let (client, cancel, now) = (world.client(), CancellationToken::new(), jiff::Timestamp::now());
        let seen = preflight(&client, &world.wanted, Limits::published(), now, None, &cancel).await.unwrap();
        seen.findings.iter().any(|finding| finding.code() == "role.caller")
    };
    assert!(look().await);

    // What one role takes away, another one gives.
    world.fake.turn(|knobs| knobs.caller_roles.push((vec!["Microsoft.Authorization/*"], Vec::new())));
    assert!(!look().await);
}

#[tokio::test]
async fn what_others_made_elsewhere_is_found_by_what_it_leads_to() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let group = world.scenery.target_group();
    let endpoint = format!("{group}/providers/Microsoft.Network/privateEndpoints/theirs");
    let account = world.scenery.account();
    let connection = json!({ "name": "c", "properties": { "privateLinkServiceId": account, "groupIds": ["blob"],
        "privateLinkServiceConnectionState": { "status": "Approved" } } });
    let subnet = json!({ "id": world.scenery.subnet() });
    world.fake.place(
        &endpoint,
        json!({ "location": "centralus", "properties": { "subnet": subnet, "privateLinkServiceConnections": [connection] } }),
    );
    world.fake.change(&account, |account| {
        account["properties"]["privateEndpointConnections"] = json!([{ "name": "c.1", "properties": {
            "privateEndpoint": { "id": endpoint },
            "privateLinkServiceConnectionState": { "status": "Approved" },
        } }]);
    });
    let zone = format!("{group}/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net");
    world.fake.place(&zone, json!({ "location": "global", "properties": {} }));
    world.fake.place(&format!("{zone}/A/cache01"), json!({ "properties": { "ttl": 10 } }));
    let group = format!("{endpoint}/privateDnsZoneGroups/default");
    world.fake.place(
        &group,
        json!({ "properties": { "privateDnsZoneConfigs": [{ "name": "z", "properties": { "privateDnsZoneId": zone } }] } }),
    );
    // The contract gives every resource its type, but not zone groups.
    world.fake.change(&group, |group| _ = group.as_object_mut().unwrap().remove("type"));

    let seen = observe(&world.client(), &world.wanted, &CancellationToken::new()).await.unwrap();

    assert_eq!(seen.endpoints[0].id, Some(ArmId::new(endpoint)));
    assert_eq!(seen.zones[0].id, Some(ArmId::new(zone)));
    assert_eq!((seen.zone_groups.len(), seen.records.len()), (1, 1));
}

#[tokio::test]
async fn names_that_are_taken_in_the_group_of_the_target_are_read() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let group = world.scenery.target_group();
    let place = |kind: &str, name: &str, properties: serde_json::Value| {
        let body = json!({ "location": "centralus", "properties": properties });
        world.fake.place(&format!("{group}/providers/{kind}/{name}"), body);
    };
    let creation = json!({ "creationData": { "createOption": "Empty" } });
    place("Microsoft.Compute/disks", "old-os", creation);
    let subnet = json!({ "id": world.scenery.subnet() });
    let address = json!({ "name": "ipconfig", "properties": { "subnet": subnet } });
    place("Microsoft.Network/networkInterfaces", "old-nic", json!({ "ipConfigurations": [address] }));

    let seen = observe(&world.client(), &world.wanted, &CancellationToken::new()).await.unwrap();

    assert_eq!(seen.disk_names, ["old-os"]);
    assert_eq!(seen.interfaces.iter().map(|nic| nic.name.as_deref()).collect::<Vec<_>>(), [Some("old-nic")]);
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_what_may_not_be_read_is_said() {
    let mut world = World::of(Scenario::HyperV, 1).await;
    world.wanted.vault = ArmId::new(world.scenery.vault().replace("vault1", "none"));
    world.wanted.servers[0].availability = Availability::Set(ArmId::new("/subscriptions/s/x"));
    world.fake.faults().order(
        "GET",
        "storageAccounts",
        99,
        ArmFault::Refuse(Refusal::new(403, "AuthorizationFailed", "no")),
    );
    let wanted = &world.wanted;
    let found = preflight(
        &world.client(),
        wanted,
        Limits::published(),
        jiff::Timestamp::now(),
        None,
        &CancellationToken::new(),
    )
    .await
    .unwrap();
    assert!(found.observed.vault.is_none() && found.observed.accounts.is_empty());
    assert_eq!(found.observed.unread.len(), 1);
    assert_eq!(found.observed.unread[0].id, wanted.replication_account);
    let codes: Vec<_> = found.findings.iter().map(libmigrate::finding::Finding::code).collect();
    assert!(codes.contains(&"vault.missing") && codes.contains(&"read.denied"), "{codes:?}");
}

#[tokio::test]
async fn the_names_of_private_endpoints_are_checked_where_options_are_given() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let endpoint =
        format!("{}/providers/Microsoft.Network/privateEndpoints/pe", libmigrate_test_support::fake_arm::GROUP);
    let connection = json!({ "name": "c", "properties": { "privateLinkServiceId": world.scenery.account(),
        "groupIds": ["blob"], "privateLinkServiceConnectionState": { "status": "Approved" } } });
    let names = json!([{ "fqdn": "cache01.blob.core.windows.net", "ipAddresses": ["10.0.1.4"] }]);
    world.fake.place(
        &endpoint,
        json!({ "properties": { "privateLinkServiceConnections": [connection], "customDnsConfigs": names } }),
    );
    // No time at all: what was not finished is said of each name.
    let options = NetworkOptions { time_limit: Duration::ZERO, ..NetworkOptions::default() };
    let now = jiff::Timestamp::now();
    let cancel = CancellationToken::new();
    let limits = Limits::published();
    let found = preflight(&world.client(), &world.wanted, limits, now, Some(&options), &cancel).await.unwrap();
    let last = found.findings.last().unwrap();
    assert_eq!((last.code(), &*last.subject), ("preflight.unfinished", "cache01.blob.core.windows.net"));
}

#[tokio::test]
async fn a_cancelled_look_ends() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ended = observe(&world.client(), &world.wanted, &cancel).await;
    assert!(matches!(ended, Err(ArmError::Cancelled { .. })), "{ended:?}");
}
