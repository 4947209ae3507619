//! Words of the service: all known ones have a meaning, all others are kept.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::super::wire::*;
use super::super::*;
use super::item;
use crate::control::Scenario;

fn words(field: Field) -> Vec<&'static str> {
    MEANINGS.iter().filter(|row| row.field == field).map(|row| row.word).collect()
}

fn sorted(mut words: Vec<&str>) -> Vec<&str> {
    words.sort_unstable();
    words
}

#[test]
fn every_word_of_the_specification_has_one_meaning() {
    assert_eq!(sorted(words(Field::MigrationState)), sorted(MigrationState::KNOWN.to_vec()));
    assert_eq!(sorted(words(Field::TestMigrateState)), sorted(TestMigrateState::KNOWN.to_vec()));
    assert_eq!(sorted(words(Field::ResyncState)), sorted(ResyncState::KNOWN.to_vec()));
    let unique: BTreeSet<_> = MEANINGS.iter().map(|row| (row.field.as_str(), row.word)).collect();
    assert_eq!(unique.len(), MEANINGS.len());
}

#[test]
fn every_operation_that_migration_items_list_is_a_verbs() {
    let told: BTreeSet<_> =
        CALLS.iter().filter(|row| row.scenario == Scenario::VmwareAgentless).filter_map(|row| row.allowed_as).collect();
    assert_eq!(told, MigrationItemOperation::KNOWN.iter().copied().collect());
}

#[test]
fn a_path_names_the_item_and_what_is_done() {
    assert_eq!(
        call(Scenario::VmwareAgentless, Verb::Migrate).unwrap().path(),
        "replicationMigrationItems/{item}/migrate"
    );
    assert_eq!(call(Scenario::HyperV, Verb::Enable).unwrap().path(), "replicationProtectedItems/{item}");
}

#[test]
fn a_resync_is_a_phase_while_deltas_run() {
    let at = |migration_state: &str, resync_state: &str| {
        let details = json!({ "instanceType": "VMwareCbt", "resyncState": resync_state });
        let properties = json!({ "migrationState": migration_state, "providerSpecificDetails": details });
        item(Scenario::VmwareAgentless, json!({ "properties": properties })).state()
    };
    assert_eq!(*at("Replicating", "StartedResynchronization").phase(), Phase::Resynchronizing);
    assert_eq!(*at("Replicating", "None").phase(), Phase::Replicating);
    assert_eq!(*at("MigrationInProgress", "StartedResynchronization").phase(), Phase::Migrating);
    assert_eq!(at("Replicating", "Sideways").unclear(), Some("resyncState Sideways"));
}

#[test]
fn initial_replication_knows_how_far_it_is_where_the_number_is_one() {
    let at = |percent: i64| {
        let details = json!({ "initialSeedingProgressPercentage": percent });
        let properties = json!({ "migrationState": "InitialSeedingInProgress", "providerSpecificDetails": details });
        item(Scenario::VmwareAgentless, json!({ "properties": properties })).state().phase().clone()
    };
    assert_eq!(at(42), Phase::InitialReplication { progress: Percent::try_from(42).ok() });
    assert_eq!(at(101), Phase::InitialReplication { progress: None });
}

#[test]
fn hyper_v_tells_how_far_it_is_in_a_text_of_its_details_and_agents_in_a_number() {
    let at = |scenario, details: serde_json::Value| {
        let properties =
            json!({ "protectionState": "InitialReplicationInProgress", "providerSpecificDetails": details });
        item(scenario, json!({ "properties": properties })).state().phase().clone()
    };
    let hyper_v = |text: &str| {
        let details = json!({ "initialReplicationType": "Online", "initialReplicationProgressPercentage": text });
        at(Scenario::HyperV, json!({ "initialReplicationDetails": details }))
    };
    let at_42 = Phase::InitialReplication { progress: Percent::try_from(42).ok() };
    assert_eq!(hyper_v("42"), at_42);
    assert_eq!(hyper_v(" 42 "), at_42);
    assert_eq!(at(Scenario::AgentBased, json!({ "initialReplicationProgressPercentage": 42 })), at_42);
    for nothing in ["", "101", "-1", "soon"] {
        assert_eq!(hyper_v(nothing), Phase::InitialReplication { progress: None }, "{nothing}");
    }
}

#[test]
fn an_item_shows_no_value_that_it_does_not_know() {
    let hidden = json!({ "key": "canary" });
    let body = json!({
        "id": "/subscriptions/1/x", "unread": &hidden,
        "properties": { "unread": &hidden, "providerSpecificDetails": { "unread": &hidden, "initialReplicationDetails": &hidden } },
    });
    for &scenario in Scenario::ALL {
        let shown = format!("{:?}", item(scenario, body.clone()));
        assert!(shown.contains("unread") && !shown.contains("canary"), "{shown}");
    }
}

#[test]
fn states_that_contradict_each_other_are_unknown() {
    let properties = json!({ "migrationState": "EnableMigrationFailed", "testMigrateState": "TestMigrationSucceeded" });
    let state = item(Scenario::VmwareAgentless, json!({ "properties": properties })).state();
    assert!(state.unclear().unwrap().contains("no test (succeeded) in enable_failed"), "{state}");
}

#[test]
fn an_item_without_a_state_is_unknown() {
    for &scenario in Scenario::ALL {
        assert_eq!(item(scenario, json!({})).state().phase().kind(), PhaseKind::Unknown);
    }
}

#[test]
fn an_item_that_is_written_again_has_lost_nothing() {
    let before = json!({
        "id": "/Subscriptions/1/x", "name": "web01", "type": "Microsoft.RecoveryServices/x",
        "properties": {
            "machineName": "web01", "migrationState": "NewToUs", "allowedOperations": ["Migrate", "Dance"],
            "providerSpecificDetails": { "instanceType": "VMwareCbt", "resyncState": "None", "resyncRequired": "false" },
        },
    });
    let item: MigrationItem = serde_json::from_value(before.clone()).unwrap();
    assert_eq!(serde_json::to_value(item).unwrap(), before);

    let details = json!({ "initialReplicationProgressPercentage": "7%", "initialReplicationType": "Online" });
    let before = json!({
        "id": "/Subscriptions/1/x",
        "properties": { "providerSpecificDetails": { "instanceType": "HyperVReplicaAzure", "initialReplicationDetails": details } },
    });
    let item: ProtectedItem = serde_json::from_value(before.clone()).unwrap();
    assert_eq!(serde_json::to_value(item).unwrap(), before);
}

proptest! {
    #[test]
    fn any_word_is_read_and_written_back_as_it_was(word in "\\PC*|None|Replicating|TestMigrate") {
        let json = serde_json::to_string(&word).unwrap();
        prop_assert_eq!(serde_json::to_string(&serde_json::from_str::<MigrationState>(&json).unwrap()).unwrap(), json.clone());
        prop_assert_eq!(serde_json::to_string(&serde_json::from_str::<TestMigrateState>(&json).unwrap()).unwrap(), json.clone());
        prop_assert_eq!(serde_json::to_string(&serde_json::from_str::<ResyncState>(&json).unwrap()).unwrap(), json.clone());
        prop_assert_eq!(
            serde_json::to_string(&serde_json::from_str::<MigrationItemOperation>(&json).unwrap()).unwrap(),
            json.clone()
        );
    }

    #[test]
    fn any_words_make_a_state_that_keeps_what_it_does_not_know(phase in "\\PC*", test in "\\PC*", operation in "\\PC*") {
        for (scenario, phase_field, test_field) in [
            (Scenario::VmwareAgentless, Field::MigrationState, Field::TestMigrateState),
            (Scenario::HyperV, Field::ProtectionState, Field::TestFailoverState),
            (Scenario::AgentBased, Field::ProtectionState, Field::TestFailoverState),
        ] {
            prop_assume!(!words(phase_field).contains(&phase.as_str()) && !words(test_field).contains(&test.as_str()));
            let mut properties = json!({ "allowedOperations": [&operation] });
            properties[phase_field.as_str()] = json!(phase);
            properties[test_field.as_str()] = json!(test);
            let item = item(scenario, json!({ "properties": properties }));
            let state = item.state();
            prop_assert_eq!(state.phase(), &Phase::Unknown { said: phase.clone() });
            prop_assert_eq!(state.test(), &Test::Unknown { said: test.clone() });
            for &verb in Verb::ALL {
                let named = wire::call(scenario, verb).and_then(|call| call.allowed_as) == Some(operation.as_str());
                prop_assert_eq!(decide(&item, verb).verdict.is_ok(), named);
            }
        }
    }
}
