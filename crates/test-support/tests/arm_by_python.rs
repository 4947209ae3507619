//! Microsoft's own clients take the fake for Azure: whole migrations, and the order of their requests.

use libmigrate_test_support::arm_clients::drive_with_python;
use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use serde_json::json;

#[tokio::test]
async fn a_vmware_machine_is_migrated_over_private_link() {
    let scenery = Scenery::vmware();
    let fake = FakeArm::start_with(&scenery).await;
    fake.turn(|knobs| knobs.principal_delay = 2);

    let Some(seen) = drive_with_python(&fake, &scenery, "vmware").await else { return };

    let seen = seen.unwrap();
    assert_eq!(
        seen["states"],
        json!([
            ["InitialSeedingInProgress", "None"],
            ["Replicating", "None"],
            ["Replicating", "TestMigrationSucceeded"],
            ["Replicating", "None"],
            ["MigrationSucceeded", "None"],
        ])
    );
    assert_eq!((&seen["records"], &seen["refused"]), (&json!(1), &json!(2)));
    assert_eq!(seen["tested"], json!(["web01-Test"]));
    assert_eq!(seen["allowed"], json!(["DisableMigration", "ResumeReplication"]));
    assert_eq!((&seen["left"], &seen["machines"]), (&json!([]), &json!(["web01"])));
    let jobs = seen["jobs"].as_array().unwrap();
    assert!(jobs.len() >= 7 && jobs.iter().all(|job| job[1] == "Succeeded"), "{jobs:?}");
}

#[tokio::test]
async fn a_hyper_v_machine_is_migrated_over_private_link() {
    let scenery = Scenery::hyper_v();
    let fake = FakeArm::start_with(&scenery).await;

    let Some(seen) = drive_with_python(&fake, &scenery, "hyper-v").await else { return };

    let seen = seen.unwrap();
    assert_eq!(
        seen["states"],
        json!([
            ["InitialReplicationInProgress", "None"],
            ["Protected", "None"],
            ["Protected", "WaitingForCompletion"],
            ["Protected", "None"],
            ["PlannedFailoverCommitRequired", "None"],
            ["PlannedFailoverStatesBegin", "None"],
        ])
    );
    assert_eq!(seen["tested"], json!(["web01-test"]));
    assert_eq!(seen["allowed"], json!(["CompleteMigration", "DisableProtection"]));
    assert_eq!((&seen["left"], &seen["machines"]), (&json!([]), &json!(["web01"])));
}

/// What each request of the client was, after the one that begins an operation and up to the next one: of the item
/// itself, the status, or the result.
fn follow_ups(fake: &FakeArm, method: &str, ending: &str) -> Vec<&'static str> {
    let requests = fake.requests();
    let begun = requests.iter().position(|(sent, path)| sent == method && path.ends_with(ending)).unwrap();
    let next = requests[begun + 1..].iter().take_while(|(sent, _)| sent == "GET");
    next.map(|(_, path)| match path {
        path if path.contains("/replicationOperationStatus/") => "status",
        path if path.contains("/operationresults/") => "result",
        _ => "resource",
    })
    .collect()
}

#[tokio::test]
async fn an_operation_is_followed_by_its_status_and_a_put_by_the_resource() {
    let scenery = Scenery::vmware();
    let fake = FakeArm::start_with(&scenery).await;

    let Some(seen) = drive_with_python(&fake, &scenery, "order").await else { return };
    seen.unwrap();

    let put = follow_ups(&fake, "PUT", "/replicationMigrationItems/web01");
    assert_eq!(put[..3], ["status", "status", "resource"]);
    assert_eq!(follow_ups(&fake, "POST", "/pauseReplication"), ["status", "status"]);
    assert_eq!(follow_ups(&fake, "DELETE", "/replicationMigrationItems/web01"), ["status", "status"]);
}

#[tokio::test]
async fn where_a_location_is_sent_too_a_post_ends_with_its_result() {
    let scenery = Scenery::vmware();
    let fake = FakeArm::start_with(&scenery).await;
    fake.turn(|knobs| knobs.site_recovery_location = true);

    let Some(seen) = drive_with_python(&fake, &scenery, "order").await else { return };
    seen.unwrap();

    let put = follow_ups(&fake, "PUT", "/replicationMigrationItems/web01");
    assert_eq!(put[..3], ["status", "status", "resource"]);
    assert_eq!(follow_ups(&fake, "POST", "/pauseReplication"), ["status", "status", "result"]);
}
