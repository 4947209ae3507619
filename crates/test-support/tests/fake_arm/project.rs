//! What an article's reader has before "Replicate": the three sceneries, read as a client reads them.

use libmigrate_test_support::fake_arm::{FakeArm, GROUP, Scenery};
use serde_json::{Value, json};

use super::client::ArmClient;

/// Reads everything that a preparation reads, and says the kind of the fabric.
async fn read(scenery: &Scenery) -> String {
    let fake = FakeArm::start_with(scenery).await;
    let client = ArmClient::of(&fake);
    let places = [
        GROUP.to_owned(),
        scenery.project(),
        format!("{}/solutions", scenery.project()),
        format!("{}/solutions/Servers-Migration-ServerMigration", scenery.project()),
        scenery.site(),
        format!("{}/machines", scenery.site()),
        scenery.machine(1),
        format!("{}/runAsAccounts", scenery.site()),
        scenery.run_as_account(),
        scenery.vault(),
        scenery.account(),
        scenery.network(),
        scenery.subnet(),
        format!("{}/replicationFabrics", scenery.vault()),
        scenery.fabric(),
        format!("{}/replicationRecoveryServicesProviders", scenery.fabric()),
        format!("{}/replicationProtectionContainers", scenery.fabric()),
        scenery.container(),
        format!("{}/replicationProtectionContainerMappings", scenery.vault()),
        format!("{}/replicationMigrationItems", scenery.vault()),
        format!("{}/replicationProtectedItems", scenery.vault()),
        format!("{}/replicationPolicies", scenery.vault()),
        format!("{}/replicationJobs", scenery.vault()),
    ];
    for place in places {
        let answer = client.get(&place).await;
        assert_eq!(answer.status, 200, "{place}: {answer:?}");
    }
    client.get(&scenery.fabric()).await.text("/properties/customDetails/instanceType").to_owned()
}

#[tokio::test]
async fn each_scenery_has_a_fabric_of_its_kind() {
    assert_eq!(read(&Scenery::vmware()).await, "VMwareV2");
    assert_eq!(read(&Scenery::hyper_v()).await, "HyperVSite");
    assert_eq!(read(&Scenery::agent_based()).await, "InMageRcm");
}

#[tokio::test]
async fn solutions_say_in_strings_where_vault_and_sites_are() {
    let scenery = Scenery::vmware();
    let fake = FakeArm::start_with(&scenery).await;
    let client = ArmClient::of(&fake);

    let migration = client.get(&format!("{}/solutions/Servers-Migration-ServerMigration", scenery.project())).await;
    let discovery = client.get(&format!("{}/solutions/Servers-Discovery-ServerDiscovery", scenery.project())).await;

    assert_eq!(migration.text("/properties/details/extendedDetails/vaultId"), scenery.vault());
    let map: Value =
        serde_json::from_str(discovery.text("/properties/details/extendedDetails/applianceNameToSiteIdMapV2")).unwrap();
    assert_eq!(map[0]["SiteId"], scenery.site());
}

#[tokio::test]
async fn a_hyper_v_machine_is_known_to_the_vault_with_its_disks() {
    let scenery = Scenery::hyper_v();
    let fake = FakeArm::start_with(&scenery).await;
    let client = ArmClient::of(&fake);

    let items = client.get(&format!("{}/replicationProtectableItems", scenery.container())).await;

    assert_eq!(items.body["value"].as_array().unwrap().len(), 3);
    assert_eq!(items.text("/value/0/properties/customDetails/diskDetails/0/vhdId"), scenery.disk(1, 0));
}

#[tokio::test]
async fn a_project_is_made_with_its_connectivity() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);
    let id = format!("{GROUP}/providers/Microsoft.Migrate/migrateProjects/project2");
    let body = json!({ "location": "centralus", "properties": { "publicNetworkAccess": "Disabled" } });

    let made = client.put(&id, &body).await;
    let shown = client.get(&id).await;

    assert_eq!(made.status, 201);
    assert_eq!(shown.text("/properties/publicNetworkAccess"), "Disabled");
}
