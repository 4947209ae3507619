//! The journal as a file: whose it is, who has it, and what its damage does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use libmigrate::control::Scenario;
use libmigrate::control::plan::{ApplyError, ApplyOptions, Approvals, Goal};
use libmigrate::error::Diagnose;

use super::world::{World, agreed};

#[tokio::test]
async fn two_do_not_do_one_plan_at_the_same_time() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Replicating).await;
    let (journal, options) = (world.journal("j"), agreed());
    let (one, other) = tokio::join!(world.apply(&plan, &journal, &options), world.apply(&plan, &journal, &options));
    let refused: Vec<ApplyError> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.iter().map(Diagnose::code).collect::<Vec<_>>(), ["plan.journal_in_use"]);
    world.complete(&plan, &journal, &options).await;
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn the_journal_of_another_plan_is_refused_and_left_as_it_is() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let (one, other) = (world.plan(Goal::Prepared).await, world.plan(Goal::Replicating).await);
    let journal = world.journal("j");
    world.complete(&one, &journal, &agreed()).await;
    let before = (fs::read(&journal).unwrap(), world.fake.requests().len());
    let refused = world.apply(&other, &journal, &agreed()).await.unwrap_err();
    assert!(matches!(&refused, ApplyError::OtherPlan { found, .. } if *found == one.digest()), "{refused}");
    assert_eq!((fs::read(&journal).unwrap(), world.fake.requests().len()), before);
}

#[tokio::test]
async fn a_plan_does_not_go_on_with_other_settings_than_it_was_made_of() {
    let mut world = World::of(Scenario::HyperV, 2).await;
    let plan = world.plan(Goal::Replicating).await;
    let journal = world.journal("j");
    // It begins, and stops where somebody must agree.
    let options = ApplyOptions { approvals: Approvals::default(), ..agreed() };
    assert!(!world.apply(&plan, &journal, &options).await.unwrap().is_done());
    let before = (fs::read(&journal).unwrap(), world.fake.requests().len());

    let size = world.wanted.servers[1].size.replace("Standard_D8s_v3".into());
    let refused = world.apply(&plan, &journal, &agreed()).await.unwrap_err();
    let anew = world.apply(&plan, &world.journal("another"), &agreed()).await.unwrap_err();

    assert_eq!((refused.code(), anew.code()), ("plan.other_settings", "plan.other_settings"));
    assert!(refused.to_string().contains(&plan.settings), "{refused}");
    assert_eq!((fs::read(&journal).unwrap(), world.fake.requests().len()), before);

    world.wanted.servers[1].size = size;
    world.complete(&plan, &journal, &agreed()).await;
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn wherever_a_journal_is_torn_the_plan_goes_on_and_nothing_happens_twice() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Replicating).await;
    let journal = world.journal("j");
    world.complete(&plan, &journal, &agreed()).await;
    let whole = fs::read(&journal).unwrap();
    let effects = world.effects();
    for cut in (0..whole.len()).step_by(97) {
        fs::write(&journal, &whole[..cut]).unwrap();
        let outcome = world.apply(&plan, &journal, &agreed()).await.unwrap();
        assert!(outcome.is_done(), "cut at {cut}: {outcome:?}");
        assert_eq!(world.effects(), effects, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_journal_with_a_hole_is_refused_before_anything_is_sent() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let journal = world.journal("j");
    world.complete(&plan, &journal, &agreed()).await;
    let text = fs::read_to_string(&journal).unwrap().replacen("\"done\"", "\"dome\"", 1);
    fs::write(&journal, text).unwrap();
    let before = world.fake.requests().len();
    let refused = world.apply(&plan, &journal, &agreed()).await.unwrap_err();
    assert_eq!((refused.code(), world.fake.requests().len()), ("plan.journal_damaged", before), "{refused}");
}

#[tokio::test]
async fn a_journal_is_its_owners_alone() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let journal = world.journal("state/j");
    world.complete(&plan, &journal, &agreed()).await;
    assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(journal.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = world.apply(&plan, &journal, &agreed()).await.unwrap_err();
    assert_eq!(refused.code(), "plan.journal_exposed", "{refused}");
}
