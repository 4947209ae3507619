//! A machine of `VMware`, from "Replicate" to "Complete".

use libmigrate_test_support::fake_arm::{ArmFault, FakeArm, Scenery};
use serde_json::{Value, json};

use super::client::{ArmClient, Reply};
use super::steps::{
    CONTRIBUTOR, enable_vmware, grant, grant_id, item_id, mapping, mapping_id, policy, policy_id, vault,
};

struct Migration {
    fake: FakeArm,
    client: ArmClient,
    scenery: Scenery,
    item: String,
}

impl Migration {
    /// Policy and mapping are there.
    async fn initialized() -> Self {
        let scenery = Scenery::vmware();
        let fake = FakeArm::start_with(&scenery).await;
        let client = ArmClient::of(&fake);
        client.do_and_wait("PUT", &policy_id(&scenery), Some(&policy("VMwareCbt"))).await;
        client.do_and_wait("PUT", &mapping_id(&scenery), Some(&mapping(&scenery, "VMwareCbt"))).await;
        let item = item_id(&scenery, "replicationMigrationItems", "web01");
        Self { fake, client, scenery, item }
    }

    /// The machine replicates.
    async fn replicating() -> Self {
        let migration = Self::initialized().await;
        migration.client.do_and_wait("PUT", &migration.item, Some(&enable_vmware(&migration.scenery))).await;
        migration.fake.settle();
        migration
    }

    async fn do_and_wait(&self, action: &str, details: Value) -> Reply {
        let body = json!({ "properties": details });
        self.client.do_and_wait("POST", &format!("{}/{action}", self.item), Some(&body)).await
    }

    async fn post(&self, action: &str, details: Value) -> Reply {
        self.client.post(&format!("{}/{action}", self.item), &json!({ "properties": details })).await
    }

    fn state(&self) -> (String, String) {
        let body = self.fake.resource(&self.item).unwrap();
        let text = |field: &str| body["properties"][field].as_str().unwrap().to_owned();
        (text("migrationState"), text("testMigrateState"))
    }

    fn allows(&self, word: &str) -> bool {
        let body = self.fake.resource(&self.item).unwrap();
        body["properties"]["allowedOperations"].as_array().unwrap().contains(&word.into())
    }

    fn machines(&self) -> Vec<String> {
        let machines = self.fake.resources(&self.scenery.target_group(), "Microsoft.Compute", "virtualMachines");
        machines.iter().map(|machine| machine["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn test(&self) -> Reply {
        let point =
            self.fake.resource(&self.item).unwrap()["properties"]["providerSpecificDetails"]["lastRecoveryPointId"]
                .clone();
        let details =
            json!({ "instanceType": "VMwareCbt", "recoveryPointId": point, "networkId": self.scenery.test_network() });
        self.do_and_wait("testMigrate", json!({ "providerSpecificDetails": details })).await
    }

    async fn migrate(&self) -> Reply {
        let details = json!({ "instanceType": "VMwareCbt", "performShutdown": "true" });
        self.do_and_wait("migrate", json!({ "providerSpecificDetails": details })).await
    }
}

#[tokio::test]
async fn an_enabled_machine_comes_to_replicate_one_step_at_a_tick() {
    let migration = Migration::initialized().await;

    let begun = migration.client.put(&migration.item, &enable_vmware(&migration.scenery)).await;
    let mut states = vec![migration.state().0];
    for _ in 0..3 {
        migration.fake.advance(1);
        states.push(migration.state().0);
    }

    assert_eq!(begun.status, 202);
    assert_eq!(
        states,
        ["EnableMigrationInProgress", "InitialSeedingInProgress", "InitialSeedingInProgress", "Replicating"]
    );
    let points = migration.client.get(&format!("{}/migrationRecoveryPoints", migration.item)).await;
    assert_eq!(points.text("/value/0/properties/recoveryPointType"), "CrashConsistent");
    let details = "/properties/providerSpecificDetails";
    let item = migration.client.get(&migration.item).await;
    assert_eq!(item.text(&format!("{details}/lastRecoveryPointId")), points.text("/value/0/id"));
    assert!(item.text("/id").starts_with("/Subscriptions/"));
    assert_eq!(
        item.body.pointer(&format!("{details}/protectedDisks/1/capacityInBytes")),
        Some(&(128_u64 << 30).into())
    );
}

#[tokio::test]
async fn the_operation_has_the_name_of_its_job() {
    let migration = Migration::initialized().await;

    let begun = migration.client.put(&migration.item, &enable_vmware(&migration.scenery)).await;
    let status = begun.header("azure-asyncoperation").unwrap().to_owned();
    let name = status.split('?').next().unwrap().rsplit('/').next().unwrap();
    let job = format!("{}/replicationJobs/{name}", migration.scenery.vault());
    let during = migration.client.get(&job).await;
    let after = migration.client.get(&job).await;

    assert!(status.contains("/replicationOperationStatus/"), "{status}");
    assert!(begun.header("location").is_none());
    assert_eq!(during.text("/properties/state"), "InProgress");
    assert_eq!(after.text("/properties/state"), "Succeeded");
    assert_eq!(after.text("/properties/tasks/0/state"), "Succeeded");
}

#[tokio::test]
async fn a_machine_is_tested_cleaned_up_migrated_and_completed() {
    let migration = Migration::replicating().await;

    migration.test().await;
    assert_eq!(migration.state(), ("Replicating".into(), "TestMigrationSucceeded".into()));
    assert_eq!(migration.machines(), ["web01-Test"]);
    assert!(!migration.allows("TestMigrate"));

    migration.do_and_wait("testMigrateCleanup", json!({ "comments": "done" })).await;
    assert_eq!(migration.state(), ("Replicating".into(), "None".into()));
    assert!(migration.machines().is_empty());

    migration.migrate().await;
    assert_eq!(migration.state(), ("MigrationSucceeded".into(), "None".into()));
    assert_eq!(migration.machines(), ["web01"]);

    migration.client.do_and_wait("DELETE", &migration.item, None).await;
    assert_eq!(migration.client.get(&migration.item).await.status, 404);
    assert_eq!(migration.machines(), ["web01"], "the machine stays");
    assert_eq!(migration.client.send("DELETE", &migration.item, None).await.status, 204);
}

#[tokio::test]
async fn a_paused_machine_goes_on_where_it_was() {
    let migration = Migration::replicating().await;

    migration.do_and_wait("pauseReplication", json!({ "instanceType": "VMwareCbt" })).await;
    assert_eq!(migration.state().0, "ProtectionSuspended");
    let refused = migration
        .post(
            "migrate",
            json!({ "providerSpecificDetails": { "instanceType": "VMwareCbt", "performShutdown": "true" } }),
        )
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.text("/error/details/0/code"), "OperationNotAllowed");

    let details = json!({ "instanceType": "VMwareCbt", "deleteMigrationResources": "false" });
    migration.do_and_wait("resumeReplication", json!({ "providerSpecificDetails": details })).await;
    migration.fake.settle();
    assert_eq!(migration.state().0, "Replicating");
}

#[tokio::test]
async fn a_migrated_machine_can_be_taken_back_with_what_was_made() {
    let migration = Migration::replicating().await;
    migration.migrate().await;

    let details = json!({ "instanceType": "VMwareCbt", "deleteMigrationResources": "true" });
    migration.do_and_wait("resumeReplication", json!({ "providerSpecificDetails": details })).await;
    migration.fake.settle();

    assert_eq!(migration.state().0, "Replicating");
    assert!(migration.machines().is_empty());
}

#[tokio::test]
async fn a_resync_comes_and_goes() {
    let migration = Migration::replicating().await;
    let resync = |migration: &Migration| {
        let body = migration.fake.resource(&migration.item).unwrap();
        body["properties"]["providerSpecificDetails"]["resyncState"].as_str().unwrap().to_owned()
    };

    let details = json!({ "instanceType": "VMwareCbt", "skipCbtReset": "true" });
    migration.post("resync", json!({ "providerSpecificDetails": details })).await;
    let mut states = vec![resync(&migration)];
    for _ in 0..2 {
        migration.fake.advance(1);
        states.push(resync(&migration));
    }

    assert_eq!(states, ["PreparedForResynchronization", "StartedResynchronization", "None"]);
}

#[tokio::test]
async fn settings_are_laid_over_those_that_are_there() {
    let migration = Migration::replicating().await;
    let patch = json!({ "properties": { "providerSpecificDetails": {
        "instanceType": "VMwareCbt", "targetVmName": "web01-new",
        "vmNics": [{ "nicId": "4000", "isPrimaryNic": "true", "targetStaticIPAddress": "10.0.2.9" }],
        "vmDisks": [{ "diskId": migration.scenery.disk(1, 1), "targetDiskName": "data" }],
    } } });

    migration.client.do_and_wait("PATCH", &migration.item, Some(&patch)).await;

    let item = migration.client.get(&migration.item).await;
    let details = &item.body["properties"]["providerSpecificDetails"];
    assert_eq!(details["targetVmName"], "web01-new");
    assert_eq!(details["vmNics"][0]["targetIPAddress"], "10.0.2.9");
    assert_eq!(details["protectedDisks"][1]["targetDiskName"], "data");
    assert_eq!(details["targetVmSize"], "Standard_D2s_v3");
}

#[tokio::test]
async fn one_operation_runs_on_a_machine_at_a_time() {
    let migration = Migration::replicating().await;

    let first = migration.post("pauseReplication", json!({ "instanceType": "VMwareCbt" })).await;
    let second = migration.client.send("DELETE", &migration.item, None).await;

    assert_eq!(first.status, 202);
    assert_eq!((second.status, second.code()), (409, "AnotherOperationInProgress"));
}

#[tokio::test]
async fn nothing_but_an_end_is_allowed_during_the_first_pass() {
    let migration = Migration::initialized().await;
    migration.fake.turn(|knobs| knobs.seeding_ticks = 100);
    migration.client.do_and_wait("PUT", &migration.item, Some(&enable_vmware(&migration.scenery))).await;
    assert_eq!(migration.state().0, "InitialSeedingInProgress");

    let paused = migration.post("pauseReplication", json!({ "instanceType": "VMwareCbt" })).await;
    let ended = migration.client.send("DELETE", &migration.item, None).await;

    assert_eq!((paused.status, ended.status), (400, 202));
}

#[tokio::test]
async fn bodies_that_break_the_contract_are_refused() {
    let migration = Migration::initialized().await;
    let good = enable_vmware(&migration.scenery);
    let details = "/properties/providerSpecificDetails";
    let broken = [
        ("/properties/policyId".to_owned(), Value::Null),
        (format!("{details}/disksToInclude"), json!([])),
        (format!("{details}/disksToInclude/0/isOSDisk"), "false".into()),
        (format!("{details}/disksToInclude/1/logStorageAccountSasSecretName"), Value::Null),
        (format!("{details}/instanceType"), "InMageRcm".into()),
        (format!("{details}/targetNetworkId"), "/subscriptions/s/nowhere".into()),
        (format!("{details}/vmwareMachineId"), Value::Null),
    ];
    for (pointer, value) in broken {
        let mut body = good.clone();
        *body.pointer_mut(&pointer).unwrap() = value;
        let answer = migration.client.put(&migration.item, &body).await;
        assert_eq!(answer.status, 400, "{pointer}: {answer:?}");
    }
    assert!(migration.fake.resource(&migration.item).is_none());
}

#[tokio::test]
async fn a_container_without_a_mapping_takes_no_machine_and_keeps_its_account_and_region() {
    let migration = Migration::initialized().await;
    let mut moved = mapping(&migration.scenery, "VMwareCbt");
    moved["properties"]["providerSpecificInput"]["targetLocation"] = "westeurope".into();

    let changed = migration.client.put(&mapping_id(&migration.scenery), &moved).await;
    migration.client.do_and_wait("DELETE", &mapping_id(&migration.scenery), None).await;
    let enabled = migration.client.put(&migration.item, &enable_vmware(&migration.scenery)).await;

    assert_eq!((changed.status, changed.code()), (400, "150013"));
    assert_eq!((enabled.status, enabled.code()), (400, "150011"));
}

#[tokio::test]
async fn a_failed_enable_leaves_an_item_and_a_job_that_say_so() {
    let migration = Migration::initialized().await;
    migration.fake.faults().order("PUT", "replicationMigrationItems", 1, ArmFault::failed_operation());

    let begun = migration.client.put(&migration.item, &enable_vmware(&migration.scenery)).await;
    let ended = migration.client.wait(&begun).await;

    assert_eq!(ended.text("/status"), "Failed");
    assert_eq!(migration.state().0, "EnableMigrationFailed");
    let item = migration.client.get(&migration.item).await;
    let job = migration.client.get(item.text("/properties/currentJob/jobId")).await;
    assert_eq!(job.text("/properties/state"), "Failed");
    assert_eq!(job.text("/properties/errors/1/serviceErrorDetails/code"), "181008");
}

#[tokio::test]
async fn a_grant_without_effect_yet_refuses_the_machine() {
    let migration = Migration::initialized().await;
    let scenery = &migration.scenery;
    migration.fake.turn(|knobs| knobs.grant_delay = 2);
    migration.client.do_and_wait("PUT", &scenery.vault(), Some(&vault())).await;
    let principal = migration.client.get(&scenery.vault()).await.text("/identity/principalId").to_owned();
    migration.client.put(&grant_id(&scenery.account(), 1), &grant(&principal, CONTRIBUTOR)).await;

    let early = migration.client.put(&migration.item, &enable_vmware(scenery)).await;
    migration.client.get(&grant_id(&scenery.account(), 1)).await;
    migration.client.get(&grant_id(&scenery.account(), 1)).await;
    let late = migration.client.put(&migration.item, &enable_vmware(scenery)).await;

    assert_eq!((early.status, early.text("/error/details/0/code")), (403, "AuthorizationFailed"));
    assert_eq!(late.status, 202);
}

#[tokio::test]
async fn a_vault_that_had_a_machine_takes_no_endpoint_any_more() {
    use super::steps::{endpoint, endpoint_id};
    let migration = Migration::replicating().await;
    migration.client.do_and_wait("DELETE", &migration.item, None).await;

    let body = endpoint(&migration.scenery, &migration.scenery.vault(), "AzureSiteRecovery");
    let refused = migration.client.put(&endpoint_id("late"), &body).await;

    assert_eq!((refused.status, refused.code()), (400, "VaultHasRegisteredItems"));
}

#[tokio::test]
async fn a_cancelled_job_ends_its_operation_in_failure() {
    let migration = Migration::replicating().await;
    let begun = migration.post("pauseReplication", json!({ "instanceType": "VMwareCbt" })).await;
    let job = migration.fake.resource(&migration.item).unwrap()["properties"]["currentJob"]["jobId"].clone();

    migration.client.post(&format!("{}/cancel", job.as_str().unwrap()), &Value::Null).await;
    let ended = migration.client.wait(&begun).await;

    assert_eq!(ended.text("/error/code"), "JobCancelled");
    assert_eq!(migration.state().0, "Replicating");
}

#[tokio::test]
async fn the_result_is_at_the_location_where_one_is_sent() {
    let migration = Migration::initialized().await;
    migration.fake.turn(|knobs| knobs.site_recovery_location = true);

    let begun = migration.client.put(&migration.item, &enable_vmware(&migration.scenery)).await;
    let location = begun.header("location").unwrap().to_owned();
    let early = migration.client.get(&location).await;
    let late = migration.client.get(&location).await;

    assert_eq!((early.status, late.status), (202, 200));
    assert_eq!(late.text("/name"), "web01");
}
