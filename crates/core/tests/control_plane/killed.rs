//! Killed anywhere, a plan goes on: everything happens once, and the end is the same.

use libmigrate::CancellationToken;
use libmigrate::control::Scenario;
use libmigrate::control::arm::ArmClient;
use libmigrate::control::limits::Limits;
use libmigrate::control::plan::{ApplyError, Goal, Wait, apply, observe, plan};

use super::killer::{Killer, Moment};
use super::world::{World, agreed, client_of};

/// Tests a server and migrates it to the end. Whether the client was killed on the way.
async fn migrate(world: &World, client: &ArmClient, killed: &CancellationToken) -> bool {
    for goal in [Goal::Tested, Goal::Completed] {
        let seen = observe(&world.client(), &world.wanted, &CancellationToken::new()).await.unwrap();
        let plan = plan(&world.wanted, goal.into(), &seen, Limits::published());
        let (journal, options) = (world.journal(goal.as_str()), agreed());
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 30, "it does not come to an end");
            let cancel = if killed.is_cancelled() { CancellationToken::new() } else { killed.clone() };
            match apply(client, &plan, &world.wanted, &journal, &options, &cancel).await {
                Ok(outcome) if outcome.is_done() => break,
                Ok(outcome) => {
                    assert!(outcome.waits.iter().all(|wait| matches!(wait, Wait::NotYet { .. })), "{outcome:#?}");
                    world.fake.settle();
                }
                Err(ApplyError::Cancelled) if cancel.is_cancelled() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    killed.is_cancelled()
}

/// What may be sent twice: it is not there to be read until its operation has ended, and making it again is the same.
fn is_idempotent(path: &str) -> bool {
    ["replicationpolicies/", "replicationprotectioncontainermappings/", "/privatednszones/"]
        .iter()
        .any(|part| path.contains(part))
}

async fn killed_everywhere(scenario: Scenario, moment: Moment) {
    for request in 1.. {
        let world = World::of(scenario, 1).await;
        let killer = Killer::before(&world.fake).await;
        let killed = killer.kill_at(request, moment);
        let was_killed = Box::pin(migrate(&world, &client_of(killer.endpoint()), &killed)).await;
        let twice: Vec<_> = world
            .effects()
            .into_iter()
            .filter(|((_, path), count)| *count > if is_idempotent(path) { 2 } else { 1 })
            .collect();
        assert_eq!(twice, [], "{scenario}, killed {moment:?} request {request}");
        assert_eq!(world.machines(), ["web01"], "{scenario}, killed {moment:?} request {request}");
        assert_eq!(world.fake.resource(&world.item("web01")), None);
        assert!(world.plan(Goal::Completed).await.is_empty());
        if !was_killed {
            assert!(request > 50, "a migration has more than {request} requests");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_any_request_a_vmware_migration_goes_on() {
    killed_everywhere(Scenario::VmwareAgentless, Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_request_a_vmware_migration_goes_on() {
    killed_everywhere(Scenario::VmwareAgentless, Moment::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_any_request_a_hyper_v_migration_goes_on() {
    killed_everywhere(Scenario::HyperV, Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_request_a_hyper_v_migration_goes_on() {
    killed_everywhere(Scenario::HyperV, Moment::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_any_request_an_agents_migration_goes_on() {
    killed_everywhere(Scenario::AgentBased, Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_request_an_agents_migration_goes_on() {
    killed_everywhere(Scenario::AgentBased, Moment::After).await;
}
