//! No sequence of verbs and answers leads where nothing is defined.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::wire::{Field, MEANINGS};
use super::super::*;
use super::item;
use crate::control::Scenario;

fn any_scenario() -> impl Strategy<Value = Scenario> {
    select(Scenario::ALL)
}

/// A word that the service has, or any other.
fn any_word(field: Field) -> impl Strategy<Value = String> {
    let known: Vec<String> = MEANINGS.iter().filter(|row| row.field == field).map(|row| row.word.to_owned()).collect();
    prop_oneof![4 => select(known), 1 => "\\PC{0,12}".prop_map(|word| word)]
}

fn any_report(scenario: Scenario) -> BoxedStrategy<State> {
    let (phase, test) = match scenario {
        Scenario::VmwareAgentless => (Field::MigrationState, Field::TestMigrateState),
        Scenario::HyperV | Scenario::AgentBased => (Field::ProtectionState, Field::TestFailoverState),
    };
    let words = (any_word(phase), any_word(test), any_word(Field::ResyncState), any::<i64>());
    words
        .prop_map(move |(phase_word, test_word, resync, percent)| {
            let mut properties = json!({
                "providerSpecificDetails": {
                    "resyncState": resync,
                    "initialSeedingProgressPercentage": percent,
                    "initialReplicationProgressPercentage": percent,
                },
            });
            properties[phase.as_str()] = json!(phase_word);
            properties[test.as_str()] = json!(test_word);
            item(scenario, json!({ "properties": properties })).state()
        })
        .boxed()
}

fn any_event(scenario: Scenario) -> BoxedStrategy<Event> {
    let verb = || select(Verb::ALL);
    prop_oneof![
        6 => verb().prop_map(Event::Accepted),
        6 => verb().prop_map(Event::Succeeded),
        3 => verb().prop_map(Event::Failed),
        1 => (0_i64..=100).prop_map(|percent| Event::Progress(Percent::try_from(percent).unwrap())),
        2 => Just(Event::InitialReplicationDone),
        1 => Just(Event::InitialReplicationFailed),
        1 => Just(Event::NotFound),
        2 => any_report(scenario).prop_map(Event::Reported),
    ]
    .boxed()
}

fn any_history() -> impl Strategy<Value = (Scenario, Vec<Event>)> {
    any_scenario().prop_flat_map(|scenario| (Just(scenario), prop::collection::vec(any_event(scenario), 0..40)))
}

/// What can come next: the verbs that the table allows, and the answers that are waited for.
fn next_events(scenario: Scenario, state: &State) -> Vec<Event> {
    let verbs = Verb::ALL.iter().filter(|&&verb| allowed(state, verb, scenario).is_ok());
    let answers = Verb::ALL.iter().flat_map(|&verb| [Event::Succeeded(verb), Event::Failed(verb)]);
    verbs
        .map(|&verb| Event::Accepted(verb))
        .chain(answers)
        .chain([Event::InitialReplicationDone, Event::InitialReplicationFailed])
        .collect()
}

/// Everything that the table leads to from the start.
fn reached(scenario: Scenario) -> HashSet<State> {
    let mut reached = HashSet::from([State::not_enabled()]);
    let mut open = VecDeque::from([State::not_enabled()]);
    while let Some(state) = open.pop_front() {
        for event in next_events(scenario, &state) {
            let next = after(scenario, &state, &event);
            if reached.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    reached
}

/// A state that the rules of its type allow.
fn assert_defined(state: &State) {
    let again = State::new(state.phase().clone(), state.test().clone());
    assert_eq!(again.as_ref(), Ok(state));
    let written = serde_json::to_string(state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&written).unwrap(), *state);
}

#[test]
fn every_state_that_the_table_leads_to_has_a_way_on_or_is_final() {
    for &scenario in Scenario::ALL {
        for state in reached(scenario) {
            assert_defined(&state);
            let verbs = Verb::ALL.iter().filter(|&&verb| allowed(&state, verb, scenario).is_ok()).count();
            assert!(state.is_final() || state.passes() || verbs > 0, "{scenario}: nothing leads out of {state}");
        }
    }
}

#[test]
fn what_passes_by_itself_has_an_answer_that_moves_it() {
    for &scenario in Scenario::ALL {
        for state in reached(scenario).iter().filter(|state| state.passes() && state.unclear().is_none()) {
            let moved = next_events(scenario, state).iter().any(|event| after(scenario, state, event) != *state);
            assert!(moved, "{scenario}: no answer moves {state}");
        }
    }
}

#[test]
fn the_table_leads_to_every_phase_of_its_kind_of_migration() {
    use PhaseKind::{CommitPending, Paused, Pausing, Resuming};
    for (scenario, never) in [
        (Scenario::VmwareAgentless, vec![CommitPending]),
        (Scenario::HyperV, vec![Pausing, Paused, Resuming]),
        (Scenario::AgentBased, vec![Pausing, Paused, Resuming]),
    ] {
        let reached: HashSet<PhaseKind> = reached(scenario).iter().map(|state| state.phase().kind()).collect();
        let missing: Vec<PhaseKind> = PhaseKind::ALL.iter().copied().filter(|phase| !reached.contains(phase)).collect();
        assert_eq!(missing, never, "{scenario}");
    }
}

#[test]
fn no_sequence_that_the_table_allows_is_beyond_it() {
    for &scenario in Scenario::ALL {
        for state in reached(scenario).iter().filter(|state| state.unclear().is_none()) {
            for &verb in Verb::ALL.iter().filter(|&&verb| allowed(state, verb, scenario).is_ok()) {
                let next = after(scenario, state, &Event::Accepted(verb));
                assert_eq!(next.unclear(), None, "{scenario}: {verb} in {state} leads to {next}");
            }
        }
    }
}

#[test]
fn there_is_no_test_before_there_is_a_replica_or_after_the_item() {
    use PhaseKind::{EnableFailed, Enabling, Gone, InitialReplication, InitialReplicationFailed, NotEnabled};
    let without: Vec<PhaseKind> = PhaseKind::ALL.iter().copied().filter(|phase| !phase.has_test()).collect();
    assert_eq!(without, [NotEnabled, Enabling, EnableFailed, InitialReplication, InitialReplicationFailed, Gone]);
}

#[test]
fn an_item_that_is_not_found_is_gone_or_has_not_begun() {
    let replicating = State::new(Phase::Replicating, Test::Failed).unwrap();
    assert_eq!(after(Scenario::HyperV, &replicating, &Event::NotFound), State::gone());
    assert_eq!(after(Scenario::HyperV, &State::not_enabled(), &Event::NotFound), State::not_enabled());
}

#[test]
fn what_the_service_accepts_against_the_table_moves_it_where_that_makes_sense() {
    let initial = State::new(Phase::InitialReplication { progress: None }, Test::None).unwrap();
    let accepted = |scenario, state: &State, verb| after(scenario, state, &Event::Accepted(verb));
    assert_eq!(*accepted(Scenario::VmwareAgentless, &initial, Verb::Pause).phase(), Phase::Pausing);
    // No test without a replica, no pause of Hyper-V, nothing from nothing: only the service can tell.
    for state in [
        accepted(Scenario::VmwareAgentless, &initial, Verb::TestMigrate),
        accepted(Scenario::HyperV, &initial, Verb::Pause),
        accepted(Scenario::HyperV, &State::gone(), Verb::Migrate),
    ] {
        assert!(state.unclear().unwrap().contains(" accepted in "), "{state}");
    }
}

/// A test machine may be left behind; the item that knew of it is gone all the same.
#[test]
fn a_removal_beside_a_test_machine_ends_in_gone() {
    let tested = State::new(Phase::Replicating, Test::Made { outcome: Outcome::Succeeded }).unwrap();
    let removing = after(Scenario::VmwareAgentless, &tested, &Event::Accepted(Verb::Remove));
    assert_eq!(after(Scenario::VmwareAgentless, &removing, &Event::Succeeded(Verb::Remove)), State::gone());
}

#[test]
fn what_is_gone_stays_gone_until_the_service_says_otherwise() {
    for event in next_events(Scenario::HyperV, &State::gone()) {
        assert_eq!(after(Scenario::HyperV, &State::gone(), &event), State::gone());
    }
}

#[test]
fn a_late_answer_changes_nothing() {
    let replicating = State::new(Phase::Replicating, Test::None).unwrap();
    for &verb in Verb::ALL.iter().filter(|&&verb| verb != Verb::Update) {
        assert_eq!(after(Scenario::VmwareAgentless, &replicating, &Event::Failed(verb)), replicating);
        assert_eq!(after(Scenario::VmwareAgentless, &replicating, &Event::Succeeded(verb)), replicating);
    }
}

proptest! {
    #[test]
    fn any_sequence_of_verbs_and_answers_ends_in_a_defined_state((scenario, history) in any_history()) {
        let mut state = State::not_enabled();
        for event in &history {
            state = after(scenario, &state, event);
            assert_defined(&state);
            for &verb in Verb::ALL {
                // An answer, or a reason in words; never a panic.
                if let Err(refusal) = allowed(&state, verb, scenario) {
                    prop_assert!(!refusal.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn a_report_replaces_everything((scenario, history) in any_history()) {
        let replicating = State::new(Phase::Replicating, Test::None).unwrap();
        let before = history.iter().fold(State::not_enabled(), |state, event| after(scenario, &state, event));
        prop_assert_eq!(after(scenario, &before, &Event::Reported(replicating.clone())), replicating);
    }

    #[test]
    fn any_phase_and_test_that_do_not_go_together_are_refused(phase in select(PhaseKind::ALL), test in select(TestKind::ALL)) {
        let made = State::new(phase.begun("x"), test.begun("x"));
        prop_assert_eq!(made.is_ok(), test == TestKind::None || phase.has_test());
        prop_assert_eq!(phase.begun("x").kind(), phase);
        prop_assert_eq!(test.begun("x").kind(), test);
    }
}
