//! What goes wrong on the way, and what becomes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libmigrate::RetryPolicy;
use libmigrate::control::Scenario;
use libmigrate::control::plan::{ApplyError, ApplyEvent, ApplyOptions, Goal};
use libmigrate::error::Diagnose;
use libmigrate_test_support::fake_arm::{ArmFault, ArmRates, GROUP, SUBSCRIPTION};
use serde_json::json;

use super::world::{World, agreed};

#[tokio::test]
async fn throttling_and_failures_that_pass_are_waited_out() {
    let world = World::of(Scenario::HyperV, 1).await;
    for (method, part) in [("PUT", "privateEndpoints"), ("PUT", "web01"), ("POST", "plannedFailover"), ("GET", "web01")]
    {
        world.fake.faults().order(method, part, 2, ArmFault::throttled(Duration::ZERO));
        world.fake.faults().order(method, part, 2, ArmFault::unavailable(Duration::ZERO));
        world.fake.faults().order(method, part, 1, ArmFault::busy());
    }
    world.reach(Goal::Completed).await;
    assert_eq!(world.machines(), ["web01"]);
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_service_has_acted_does_nothing_twice() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 1).await;
        // The second sending of what was taken up would be refused or counted.
        for (method, part) in [
            ("PUT", "privateEndpoints/cache01-blob"),
            ("PUT", "roleAssignments"),
            ("PUT", "items/web01"),
            ("POST", "web01/"),
            ("DELETE", "items/web01"),
        ] {
            world.fake.faults().order(method, part, 1, ArmFault::ResetAfter);
        }
        for goal in [Goal::Tested, Goal::Completed] {
            world.reach(goal).await;
        }
        assert_eq!(world.machines(), ["web01"], "{scenario}");
        // What the fault has swallowed is not recorded; nothing was taken up again.
        assert!(world.effects().values().all(|count| *count == 1), "{scenario}: {:#?}", world.effects());
        let verbs = world.effects().into_iter().filter(|((method, path), _)| method == "POST" && path.contains("test"));
        assert_eq!(verbs.count(), 1, "{scenario}: the first test was taken up though its answer was lost");
    }
}

#[tokio::test]
async fn every_verb_survives_the_loss_of_its_answer_and_of_its_request() {
    for (scenario, verbs) in [
        (Scenario::VmwareAgentless, ["testMigrate", "testMigrateCleanup", "web01/migrate"]),
        (Scenario::HyperV, ["testFailover", "testFailoverCleanup", "plannedFailover"]),
        (Scenario::AgentBased, ["testFailover", "failoverCommit", "unplannedFailover"]),
    ] {
        for fault in [ArmFault::ResetAfter, ArmFault::ResetBefore] {
            let world = World::of(scenario, 1).await;
            for verb in verbs {
                world.fake.faults().order("POST", verb, 1, fault.clone());
            }
            for goal in [Goal::Tested, Goal::Completed] {
                world.reach(goal).await;
            }
            assert_eq!(world.machines(), ["web01"], "{scenario} {fault:?}");
            let jobs = world.fake.resources(&world.scenery.vault(), "Microsoft.RecoveryServices", "replicationJobs");
            let of = |name: &str| jobs.iter().filter(|job| job["properties"]["scenarioName"] == name).count();
            let test = if scenario == Scenario::VmwareAgentless { "TestMigrate" } else { "TestFailover" };
            assert_eq!((of(test), of(&format!("{test}Cleanup"))), (1, 1), "{scenario} {fault:?}");
        }
    }
}

#[tokio::test]
async fn resets_by_chance_change_nothing_of_the_end() {
    for seed in 0..12 {
        let scenario = Scenario::ALL[seed as usize % Scenario::ALL.len()];
        let world = World::of(scenario, 1).await;
        let plan = world.plan(Goal::Completed).await;
        let rates = ArmRates { busy: 50_000, reset_before: 50_000, reset_after: 50_000, ..ArmRates::default() };
        world.fake.faults().seed(seed, rates);
        world.complete(&plan, &world.journal("j"), &agreed()).await;
        world.fake.faults().clear();
        assert_eq!(world.machines(), ["web01"], "{scenario}, seed {seed}");
        assert!(world.plan(Goal::Completed).await.is_empty(), "{scenario}, seed {seed}");
        let jobs = world.fake.resources(&world.scenery.vault(), "Microsoft.RecoveryServices", "replicationJobs");
        let of = |part: &str| {
            let name =
                |job: &serde_json::Value| job["properties"]["scenarioName"].as_str().unwrap_or_default().to_owned();
            jobs.iter().filter(|job| name(job).contains(part)).count()
        };
        let cutovers = of("Failover") + usize::from(scenario == Scenario::VmwareAgentless) * of("Migrate");
        let once =
            if scenario == Scenario::VmwareAgentless { of("EnableMigration") } else { of("ProtectReplicationItem") };
        assert_eq!(once, 1, "{scenario}, seed {seed}");
        assert!(cutovers >= 1);
    }
}

#[tokio::test]
async fn a_job_that_fails_is_an_error_with_all_its_reasons_and_can_be_done_again() {
    for (scenario, verb) in [
        (Scenario::VmwareAgentless, "web01/migrate"),
        (Scenario::HyperV, "plannedFailover"),
        (Scenario::AgentBased, "unplannedFailover"),
    ] {
        let world = World::of(scenario, 1).await;
        world.reach(Goal::Replicating).await;
        world.fake.settle();
        let plan = world.plan(Goal::Migrated).await;
        let journal = world.journal("j");
        world.fake.faults().order("POST", verb, 1, ArmFault::failed_operation());
        let failed = world.apply(&plan, &journal, &agreed()).await.unwrap_err();
        let ApplyError::JobFailed { reasons, .. } = &failed else { panic!("{failed}") };
        let codes: Vec<_> = reasons.iter().map(|reason| &*reason.code).collect();
        assert_eq!((failed.code(), codes), ("plan.job_failed", vec!["78007", "181008"]), "{scenario}");
        assert!(failed.to_string().contains("did not answer within 3600 seconds"), "{failed}");
        // The fake lets a cutover of VMware be tried again; of the others it allows the end only.
        let again = world.apply(&plan, &journal, &agreed()).await.unwrap();
        assert_eq!(again.is_done(), scenario == Scenario::VmwareAgentless, "{scenario}: {again:?}");
    }
}

#[tokio::test]
async fn replication_that_could_not_be_set_up_is_left_to_people() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Replicating).await;
    let journal = world.journal("j");
    world.fake.faults().order("PUT", "items/web01", 1, ArmFault::failed_operation());
    let codes = [world.apply(&plan, &journal, &agreed()).await, world.apply(&plan, &journal, &agreed()).await];
    let codes = codes.map(|ended| ended.unwrap_err().code());
    assert_eq!(codes, ["plan.job_failed", "plan.stuck"]);
    assert_eq!(world.count("PUT", "web01"), 1);
}

#[tokio::test]
async fn a_resource_that_could_not_be_made_is_made_again() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let journal = world.journal("j");
    world.fake.faults().order("PUT", "privateEndpoints/cache01-blob", 1, ArmFault::failed_operation());
    let failed = world.apply(&plan, &journal, &agreed()).await.unwrap_err();
    assert_eq!(failed.code(), "plan.job_failed", "{failed}");
    world.fake.remove(&format!("{GROUP}/providers/Microsoft.Network/privateEndpoints/cache01-blob"));
    world.complete(&plan, &journal, &agreed()).await;
    assert!(world.plan(Goal::Prepared).await.is_empty());
}

#[tokio::test]
async fn what_is_granted_is_given_time_to_have_effect() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 1).await;
        world.fake.turn(|knobs| (knobs.grant_delay, knobs.principal_delay) = (4, 2));
        let told = Arc::new(Mutex::new(0));
        let ear = Arc::clone(&told);
        let on_event = Arc::new(move |event: &ApplyEvent| {
            if matches!(event, ApplyEvent::Retrying { .. }) {
                *ear.lock().unwrap() += 1;
            }
        });
        let options = ApplyOptions { on_event: Some(on_event), ..agreed() };
        let plan = world.plan(Goal::Replicating).await;
        world.complete(&plan, &world.journal("j"), &options).await;
        assert_eq!(world.count("PUT", "web01"), 1, "{scenario}");
        assert_eq!(*told.lock().unwrap() > 2, scenario != Scenario::VmwareAgentless, "{scenario}");
    }
}

#[tokio::test]
async fn what_never_has_effect_is_an_error_after_the_time_for_it() {
    let world = World::of(Scenario::HyperV, 1).await;
    world.fake.turn(|knobs| knobs.grant_delay = 1_000_000);
    let plan = world.plan(Goal::Replicating).await;
    let effect = RetryPolicy { budget: Duration::from_millis(50), ..agreed().effect };
    let options = ApplyOptions { effect, ..agreed() };
    let refused = world.apply(&plan, &world.journal("j"), &options).await.unwrap_err();
    assert_eq!(refused.code(), "plan.not_effective", "{refused}");
    assert!(refused.to_string().contains("does not have the role"), "{refused}");
}

#[tokio::test]
async fn what_was_made_and_cannot_be_read_yet_is_not_made_again() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 1).await;
        for part in ["items/web01", "replicationPolicies/", "ContainerMappings/", "privateEndpoints/cache01-blob"] {
            world.fake.faults().order("PUT", part, 1, ArmFault::Hide { reads: 4 });
        }
        world.reach(Goal::Replicating).await;
        assert!(world.effects().values().all(|count| *count == 1), "{scenario}: {:#?}", world.effects());
    }
}

#[tokio::test]
async fn what_has_the_name_already_is_left_alone() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let endpoint = format!("{GROUP}/providers/Microsoft.Network/privateEndpoints/cache01-blob");
    let other = format!("{SUBSCRIPTION}/resourceGroups/x/providers/Microsoft.Storage/storageAccounts/other");
    let connection = json!({ "name": "c", "properties": { "privateLinkServiceId": other, "groupIds": ["blob"] } });
    let body = json!({ "location": "centralus", "properties": { "privateLinkServiceConnections": [connection] } });
    world.fake.place(&endpoint, body);
    let before = world.fake.resource(&endpoint);
    let refused = world.apply(&plan, &world.journal("j"), &agreed()).await.unwrap_err();
    assert_eq!(refused.code(), "plan.name_taken", "{refused}");
    assert_eq!(world.fake.resource(&endpoint), before);
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_asked_for_anything() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    world.reach(Goal::Replicating).await;
    world.fake.settle();
    let plan = world.plan(Goal::Tested).await;
    world.fake.remove(&world.item("web01"));
    let refused = world.apply(&plan, &world.journal("j"), &agreed()).await.unwrap_err();
    assert_eq!(refused.code(), "plan.missing", "{refused}");
}
