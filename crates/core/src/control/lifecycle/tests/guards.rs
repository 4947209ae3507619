//! What the table allows, and what is said where it does not.

use serde_json::json;

use super::super::*;
use super::item;
use crate::control::Scenario;
use crate::control::Scenario::{AgentBased, HyperV, VmwareAgentless};
use crate::error::Diagnose;

fn state(phase: Phase) -> State {
    State::new(phase, Test::None).unwrap()
}

fn tested(test: Test) -> State {
    State::new(Phase::Replicating, test).unwrap()
}

const SUCCEEDED: Outcome = Outcome::Succeeded;

fn verbs(state: &State, scenario: Scenario) -> Vec<Verb> {
    Verb::ALL.iter().copied().filter(|&verb| allowed(state, verb, scenario).is_ok()).collect()
}

#[test]
fn initial_replication_can_only_be_stopped() {
    for &scenario in Scenario::ALL {
        assert_eq!(verbs(&state(Phase::InitialReplication { progress: None }), scenario), [Verb::Remove]);
    }
}

#[test]
fn a_delta_allows_what_its_kind_of_migration_has() {
    use Verb::{Migrate, Pause, Remove, Resync, TestMigrate, Update};
    let replicating = state(Phase::Replicating);
    assert_eq!(verbs(&replicating, VmwareAgentless), [Update, TestMigrate, Migrate, Pause, Resync, Remove]);
    assert_eq!(verbs(&replicating, HyperV), [Update, TestMigrate, Migrate, Resync, Remove]);
    assert_eq!(verbs(&replicating, AgentBased), [Update, TestMigrate, Migrate, Resync, Remove]);
}

#[test]
fn after_the_cutover_vmware_is_completed_or_resumed() {
    assert_eq!(verbs(&state(Phase::Migrated { outcome: SUCCEEDED }), VmwareAgentless), [Verb::Complete, Verb::Resume]);
}

#[test]
fn a_failover_is_committed_completed_or_dropped() {
    for scenario in [HyperV, AgentBased] {
        assert_eq!(verbs(&state(Phase::CommitPending), scenario), [Verb::Commit, Verb::Complete, Verb::Remove]);
        assert_eq!(verbs(&state(Phase::Migrated { outcome: SUCCEEDED }), scenario), [Verb::Complete, Verb::Remove]);
    }
}

#[test]
fn one_test_at_a_time() {
    for test in [Test::InProgress, Test::Made { outcome: SUCCEEDED }, Test::Failed, Test::CleanUpInProgress] {
        let refusal = allowed(&tested(test.clone()), Verb::TestMigrate, HyperV).unwrap_err();
        assert!(matches!(refusal, Refusal::Test { test: refused, .. } if refused == test.kind()), "{refusal}");
    }
}

#[test]
fn no_cutover_while_a_test_is_made_or_cleaned_up() {
    for test in [Test::InProgress, Test::CleanUpInProgress] {
        let refusal = allowed(&tested(test), Verb::Migrate, VmwareAgentless).unwrap_err();
        assert_eq!(refusal.code(), "lifecycle.test");
    }
}

#[test]
fn a_cutover_beside_a_test_machine_is_a_concern() {
    let row = allowed(&tested(Test::Made { outcome: SUCCEEDED }), Verb::Migrate, VmwareAgentless).unwrap();
    assert_eq!(row.concern.unwrap().code, "lifecycle.test_not_cleaned_up");
    assert!(allowed(&tested(Test::None), Verb::Migrate, VmwareAgentless).unwrap().concern.is_none());
}

#[test]
fn a_refusal_says_where_the_verb_is_allowed_and_why() {
    let refusal = allowed(&state(Phase::Paused), Verb::Pause, VmwareAgentless).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "pause is not allowed in paused, only in replicating: only deltas can be paused: initial replication can only be stopped"
    );
    let refusal = allowed(&state(Phase::Replicating), Verb::Pause, HyperV).unwrap_err();
    assert_eq!(refusal.to_string(), "hyper_v migrations have no pause: the service has no operation for it");
}

#[test]
fn an_agents_source_is_never_shut_down() {
    let replicating = state(Phase::Replicating);
    for scenario in [VmwareAgentless, HyperV] {
        assert!(shuts_down_by_default(scenario));
        assert!(allowed_with(&replicating, Choice::ShutDownSource, scenario).is_ok());
    }
    assert!(!shuts_down_by_default(AgentBased));
    let refusal = allowed_with(&replicating, Choice::ShutDownSource, AgentBased).unwrap_err();
    assert!(refusal.to_string().contains("must stay running"), "{refusal}");
}

#[test]
fn the_target_is_deleted_only_after_a_cutover() {
    assert!(
        allowed_with(&state(Phase::Migrated { outcome: SUCCEEDED }), Choice::DeleteTarget, VmwareAgentless).is_ok()
    );
    let refusal = allowed_with(&state(Phase::Paused), Choice::DeleteTarget, VmwareAgentless).unwrap_err();
    assert_eq!(refusal.code(), "lifecycle.choice");
}

#[test]
fn force_is_for_what_could_not_be_removed() {
    assert!(allowed_with(&state(Phase::DisableFailed), Choice::Force, AgentBased).is_ok());
    assert!(allowed_with(&state(Phase::Replicating), Choice::Force, AgentBased).is_err());
}

#[test]
fn the_services_word_wins_and_the_difference_is_told() {
    let paused = |operations: &[&str]| {
        let properties = json!({ "migrationState": "ProtectionSuspended", "allowedOperations": operations });
        item(VmwareAgentless, json!({ "name": "web01", "properties": properties }))
    };
    let refused = decide(&paused(&["DisableMigration"]), Verb::Resume);
    assert!(refused.verdict.unwrap_err().to_string().contains("does not list ResumeReplication"));
    assert_eq!(refused.findings[0].code(), "lifecycle.drift");

    let allowed = decide(&paused(&["Migrate"]), Verb::Migrate);
    assert_eq!((allowed.verdict, allowed.findings[0].code()), (Ok(()), "lifecycle.drift"));

    let agreed = decide(&paused(&["ResumeReplication"]), Verb::Resume);
    assert_eq!((agreed.verdict, agreed.findings.len()), (Ok(()), 0));
}

#[test]
fn what_is_not_understood_allows_what_the_service_lists_and_no_more() {
    let properties = json!({ "protectionState": "Sideways", "allowedOperations": ["TestFailover"] });
    let item = item(HyperV, json!({ "name": "web01", "properties": properties }));
    let test = decide(&item, Verb::TestMigrate);
    assert_eq!((test.verdict, test.findings[0].code()), (Ok(()), "lifecycle.unknown_state"));
    assert!(matches!(decide(&item, Verb::Migrate).verdict, Err(Refusal::Unclear { said, .. }) if said == "Sideways"));
    assert!(decide(&item, Verb::Update).verdict.is_err());
}

#[test]
fn disable_migration_is_completion_after_the_cutover_and_removal_before() {
    let at = |migration_state: &str| {
        let properties = json!({ "migrationState": migration_state, "allowedOperations": ["DisableMigration"] });
        item(VmwareAgentless, json!({ "properties": properties }))
    };
    for (migration_state, may, may_not) in [
        ("MigrationSucceeded", Verb::Complete, Verb::Remove),
        ("InitialSeedingInProgress", Verb::Remove, Verb::Complete),
    ] {
        let decision = decide(&at(migration_state), may);
        assert_eq!((decision.verdict, decision.findings.len()), (Ok(()), 0));
        let decision = decide(&at(migration_state), may_not);
        assert_eq!((decision.verdict.is_err(), decision.findings.len()), (true, 0));
    }
}

#[test]
fn a_choice_is_refused_whatever_the_service_lists() {
    let properties = json!({ "protectionState": "Protected", "allowedOperations": ["UnplannedFailover"] });
    let item = item(AgentBased, json!({ "properties": properties }));
    assert!(decide(&item, Verb::Migrate).verdict.is_ok());
    assert!(matches!(decide_with(&item, Choice::ShutDownSource).verdict, Err(Refusal::Choice { .. })));
}

#[test]
fn every_row_has_a_reason_and_something_to_say() {
    for row in GUARDS {
        assert!(!row.why.is_empty() && !row.phases.is_empty() && !row.tests.is_empty() && !row.scenarios.is_empty());
        assert!(!row.why.ends_with('.') && !row.rule.document.is_empty() && !row.rule.date.is_empty());
    }
}

#[test]
fn a_verb_has_rows_motions_and_an_operation_for_the_same_kinds() {
    for &scenario in Scenario::ALL {
        for &verb in Verb::ALL {
            let guarded = GUARDS.iter().any(|row| row.verb == verb && row.scenarios.contains(&scenario));
            assert_eq!(guarded, motion(scenario, verb).is_some(), "{scenario} {verb}");
            assert_eq!(guarded, super::super::wire::call(scenario, verb).is_some(), "{scenario} {verb}");
        }
    }
}
