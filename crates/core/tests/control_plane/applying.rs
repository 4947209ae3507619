//! Whole migrations: from what discovery leaves to servers that are in Azure, and nothing left to do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libmigrate::CancellationToken;
use libmigrate::control::lifecycle::Verb;
use libmigrate::control::limits::Limits;
use libmigrate::control::plan::{ApplyError, ApplyEvent, ApplyOptions, Goal, Wait, apply, ask, observe};
use libmigrate::control::settings::{Availability, WindowsLicence};
use libmigrate::control::{ArmId, Scenario};
use libmigrate_test_support::fake_arm::{ArmError as ServiceError, ArmFault};
use serde_json::json;

use super::world::{World, agreed};

#[tokio::test]
async fn servers_of_each_kind_are_migrated_from_nothing_to_the_end_and_then_nothing_is_left_to_do() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 2).await;
        for goal in
            [Goal::Prepared, Goal::Replicating, Goal::Tested, Goal::TestCleanedUp, Goal::Migrated, Goal::Completed]
        {
            let plan = world.reach(goal).await;
            assert!(!plan.is_empty() || goal == Goal::Migrated, "{scenario} {goal}");
            world.fake.settle();
            let again = world.plan(goal).await;
            assert!(again.is_empty() && again.stuck.is_empty(), "{scenario} {goal}: {again:#?}");
            let tests = world.machines().iter().filter(|name| name.to_lowercase().ends_with("-test")).count();
            assert_eq!(tests, if goal == Goal::Tested { 2 } else { 0 }, "{scenario} {goal}");
        }
        assert_eq!(world.machines(), ["web01", "web02"], "{scenario}");
        assert_eq!(world.fake.resource(&world.item("web01")), None, "{scenario}");
        let twice: Vec<_> = world.effects().into_iter().filter(|(_, count)| *count > 1).collect();
        assert_eq!(twice, [], "{scenario}");
    }
}

#[tokio::test]
async fn one_plan_leads_from_nothing_to_the_end() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 2).await;
        let plan = world.reach(Goal::Completed).await;
        assert_eq!(world.machines(), ["web01", "web02"], "{scenario}");
        assert!(world.plan(Goal::Completed).await.is_empty(), "{scenario}");
        // Done is done: going on sends nothing at all.
        let before = world.fake.requests().len();
        let outcome = world.apply(&plan, &world.journal(&plan.digest()), &agreed()).await.unwrap();
        assert!(outcome.is_done() && world.fake.requests().len() == before);
    }
}

#[tokio::test]
async fn a_server_is_paused_resumed_and_removed() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    for goal in [Goal::Replicating, Goal::Paused, Goal::Replicating, Goal::Removed] {
        world.reach(goal).await;
        assert!(world.plan(goal).await.is_empty() || goal == Goal::Removed, "{goal}");
    }
    let requests = ["pauseReplication", "resumeReplication"].map(|verb| world.count("POST", verb));
    assert_eq!((requests, world.count("DELETE", "web01"), world.machines().len()), ([1, 1], 1, 0));
    assert!(world.plan(Goal::Removed).await.is_empty());
}

#[tokio::test]
async fn a_server_that_waits_holds_up_none_that_does_not() {
    let world = World::of(Scenario::HyperV, 2).await;
    let plan = world.plan(Goal::Migrated).await;
    world.fake.turn(|knobs| knobs.seeding_ticks = 1000);
    let outcome = world.apply(&plan, &world.journal("j"), &agreed()).await.unwrap();
    let waits: Vec<_> = outcome.waits.iter().map(|wait| wait.step().to_string()).collect();
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert!(waits.iter().all(|step| step.starts_with("ask:") && step.ends_with("#migrate")), "{waits:?}");
    assert!(
        matches!(&outcome.waits[0], Wait::NotYet { state, .. } if state.contains("initial_replication")),
        "{outcome:?}"
    );
    assert_eq!((world.count("PUT", "web01"), world.count("PUT", "web02")), (1, 1), "both replicate");
}

#[tokio::test]
async fn a_change_of_settings_is_sent_once() {
    for &scenario in Scenario::ALL {
        let mut world = World::of(scenario, 2).await;
        world.reach(Goal::Replicating).await;
        world.fake.settle();
        let server = &mut world.wanted.servers[0];
        server.size = Some("Standard_D4s_v3".into());
        server.name = "web01new".into();
        server.availability = Availability::Zone("2".into());
        server.licences.windows = WindowsLicence::HybridBenefit;
        world.wanted.target.network = ArmId::new(world.scenery.test_network());
        let plan = world.reach(Goal::Replicating).await;
        let names: Vec<_> = plan.steps.iter().map(|step| step.action.name()).collect();
        // The network is that of both servers.
        assert_eq!(names, ["update", "update"], "{scenario}");
        assert_eq!((world.count("PATCH", "web01"), world.count("PATCH", "web02")), (1, 1), "{scenario}");
        assert!(world.plan(Goal::Replicating).await.is_empty(), "{scenario}");

        world.reach(Goal::Migrated).await;
        assert_eq!(world.machines(), ["web01new", "web02"], "{scenario}");
    }
}

#[tokio::test]
async fn a_change_that_the_service_refuses_is_an_error_with_its_reason_and_is_asked_for_again() {
    for &scenario in Scenario::ALL {
        let mut world = World::of(scenario, 1).await;
        world.reach(Goal::Replicating).await;
        world.fake.settle();
        world.wanted.servers[0].size = Some("Standard_D4s_v3".into());
        let plan = world.plan(Goal::Replicating).await;
        let refusal = ServiceError::new(400, "150500", "Settings cannot be changed after replication has started.");
        world.fake.faults().order("PATCH", "web01", 1, ArmFault::Refuse(refusal));
        let journal = world.journal("j");
        let refused = world.apply(&plan, &journal, &agreed()).await.unwrap_err();
        assert!(refused.to_string().contains("Settings cannot be changed"), "{scenario}: {refused}");
        world.complete(&plan, &journal, &agreed()).await;
        assert_eq!(world.count("PATCH", "web01"), 1, "{scenario}");
    }
}

#[tokio::test]
async fn a_resync_that_was_asked_for_is_followed_to_its_end() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 1).await;
        world.reach(Goal::Replicating).await;
        world.fake.settle();
        let seen = observe(&world.client(), &world.wanted, &CancellationToken::new()).await.unwrap();
        let plan = ask(&world.wanted, Verb::Resync, &seen);
        world.complete(&plan, &world.journal("resync"), &agreed()).await;
        let action = if scenario == Scenario::VmwareAgentless { "resync" } else { "repairReplication" };
        assert_eq!(world.count("POST", action), 1, "{scenario}");
    }
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    world.fake.turn(|knobs| knobs.polls_before_done = 3);
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    let on_event = Arc::new(move |event: &ApplyEvent| ear.lock().unwrap().push(event.clone()));
    let options = ApplyOptions { on_event: Some(on_event), ..agreed() };
    let plan = world.plan(Goal::Replicating).await;
    world.apply(&plan, &world.journal("j"), &options).await.unwrap();
    let told = told.lock().unwrap();
    for step in &plan.steps {
        assert!(told.contains(&ApplyEvent::Begun { step: step.id.clone() }), "{}", step.id);
        assert!(told.contains(&ApplyEvent::Done { step: step.id.clone(), found: false }), "{}", step.id);
    }
    assert!(told.iter().any(|event| matches!(event, ApplyEvent::Progress { status, .. } if status == "InProgress")));
}

#[tokio::test]
async fn what_somebody_else_has_made_meanwhile_is_found_and_not_made_again() {
    let world = World::of(Scenario::HyperV, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    world.complete(&plan, &world.journal("theirs"), &agreed()).await;
    let before = world.effects();
    let outcome = world.apply(&plan, &world.journal("ours"), &ApplyOptions::default()).await.unwrap();
    assert!(outcome.is_done(), "nobody need agree to what is there: {outcome:?}");
    assert_eq!(world.effects(), before);
}

#[tokio::test]
async fn where_the_service_differs_from_the_documents_its_word_counts_and_that_is_told() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    world.reach(Goal::Replicating).await;
    world.fake.settle();
    let plan = world.plan(Goal::Tested).await;
    let item = world.item("web01");
    world.fake.change(&item, |item| item["properties"]["allowedOperations"] = json!(["DisableMigration"]));
    let outcome = world.apply(&plan, &world.journal("j"), &agreed()).await.unwrap();
    assert!(matches!(outcome.waits[..], [Wait::NotYet { .. }]), "{outcome:?}");
    assert_eq!(outcome.findings[0].code(), "lifecycle.drift");
    assert_eq!(world.count("POST", "testMigrate"), 0);
}

#[tokio::test]
async fn a_cancelled_plan_ends_within_a_second_and_goes_on() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    world.fake.turn(|knobs| {
        knobs.polls_before_done = 1_000_000;
        knobs.retry_after = Duration::from_secs(60);
    });
    let plan = world.plan(Goal::Replicating).await;
    let (journal, cancel) = (world.journal("j"), CancellationToken::new());
    let client = world.client();
    let options = agreed();
    let running = apply(&client, &plan, &world.wanted, &journal, &options, &cancel);
    let (ended, took) = tokio::join!(running, async {
        while world.fake.operations().is_empty() {
            tokio::task::yield_now().await;
        }
        let since = Instant::now();
        cancel.cancel();
        since
    });
    assert!(took.elapsed() < Duration::from_secs(1));
    assert!(matches!(ended, Err(ApplyError::Cancelled)), "{ended:?}");
    world.fake.turn(|knobs| knobs.polls_before_done = 1);
    // The operation that was begun before takes as long as it was told to.
    for _ in 0..4 {
        world.fake.advance(250_000);
    }
    world.complete(&plan, &journal, &options).await;
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn settings_of_another_kind_of_migration_are_refused() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let other = World::of(Scenario::HyperV, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let refused = other.apply(&plan, &world.journal("j"), &agreed()).await;
    assert!(matches!(refused, Err(ApplyError::OtherScenario)), "{refused:?}");
    assert!(!Limits::published().edition().is_empty());
}
