//! From wherever a server is, the verbs of a plan lead to the goal, as the lifecycle has it; there, nothing is
//! asked for.

use super::{Goal, of};
use crate::control::Scenario;
use crate::control::lifecycle::{self, Event, PhaseKind, State, Verb};
use crate::control::plan::Action;
use crate::control::plan::goal::{is_stuck, verbs};
use crate::control::sample;

/// Words of the service for a state, and for the test beside it.
pub(super) fn states(scenario: Scenario) -> Vec<(&'static str, Option<&'static str>)> {
    match scenario {
        Scenario::VmwareAgentless => vec![
            ("Replicating", None),
            ("Replicating", Some("TestMigrationSucceeded")),
            ("ProtectionSuspended", None),
            ("InitialSeedingInProgress", None),
            ("MigrationSucceeded", None),
            ("MigrationFailed", None),
            ("EnableMigrationFailed", None),
        ],
        Scenario::HyperV | Scenario::AgentBased => vec![
            ("Protected", None),
            ("Protected", Some("WaitingForCompletion")),
            ("UnplannedFailoverCommitPendingStatesBegin", None),
        ],
    }
}

/// What passes by itself, until nothing does.
fn settle(scenario: Scenario, mut state: State) -> State {
    for _ in 0..8 {
        let event = match state.phase().kind() {
            PhaseKind::InitialReplication => Event::InitialReplicationDone,
            _ => return state,
        };
        state = lifecycle::after(scenario, &state, &event);
    }
    state
}

/// The server, after everything that is asked for was done.
fn led(scenario: Scenario, mut state: State, goal: Goal) -> State {
    state = settle(scenario, state);
    for verb in verbs(scenario, &state, goal) {
        assert!(lifecycle::allowed(&state, verb, scenario).is_ok(), "{scenario} {goal}: {verb} while {state}");
        state = lifecycle::after(scenario, &state, &Event::Accepted(verb));
        state = settle(scenario, lifecycle::after(scenario, &state, &Event::Succeeded(verb)));
    }
    state
}

#[test]
fn verbs_lead_to_the_goal_and_are_none_there() {
    for &scenario in Scenario::ALL {
        let read =
            states(scenario).into_iter().map(|(state, test)| sample::item(scenario, "web01", state, test).state());
        let starts: Vec<State> = std::iter::once(State::not_enabled()).chain(read).collect();
        for start in starts {
            for &goal in Goal::ALL {
                if is_stuck(&start, goal) {
                    assert!(verbs(scenario, &start, goal).is_empty());
                    continue;
                }
                let end = led(scenario, start.clone(), goal);
                let left = verbs(scenario, &end, goal);
                assert!(left.is_empty(), "{scenario} {goal}: from {start} to {end}, {left:?} is left");
            }
        }
    }
}

#[test]
fn goals_are_what_they_say() {
    let end = |scenario, goal| led(scenario, State::not_enabled(), goal).phase().kind();
    for &scenario in Scenario::ALL {
        assert_eq!(end(scenario, Goal::Prepared), PhaseKind::NotEnabled);
        assert_eq!(end(scenario, Goal::Replicating), PhaseKind::Replicating);
        assert_eq!(end(scenario, Goal::Tested), PhaseKind::Replicating);
        assert_eq!(end(scenario, Goal::Migrated), PhaseKind::Migrated);
        assert_eq!(end(scenario, Goal::Completed), PhaseKind::Gone);
        assert_eq!(end(scenario, Goal::Removed), PhaseKind::NotEnabled);
    }
    let tested = led(Scenario::HyperV, State::not_enabled(), Goal::Tested);
    assert_eq!(verbs(Scenario::HyperV, &tested, Goal::TestCleanedUp), [Verb::CleanUpTest]);
}

#[test]
fn a_state_that_nobody_understands_is_told_and_nothing_is_asked_for() {
    for &scenario in Scenario::ALL {
        let mut seen = sample::observed(scenario);
        seen.items.push(sample::item(scenario, "web01", "Bewildered", None));
        let plan = of(&sample::settings(scenario), Goal::Migrated, &seen);
        assert_eq!(plan.stuck.len(), 1);
        assert_eq!(plan.stuck[0].server, "web01");
        let asked = plan.steps.iter().any(|step| step.action.subject().name() == "web01");
        assert!(!asked);
    }
}

#[test]
fn one_thing_is_asked_of_each_server_that_is_replicated() {
    let scenario = Scenario::VmwareAgentless;
    let mut seen = sample::observed(scenario);
    seen.items.push(sample::item(scenario, "WEB01", "Replicating", None));
    let plan = crate::control::plan::ask(&sample::settings(scenario), Verb::Resync, &seen);
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(&plan.steps[0].action, Action::Ask { verb: Verb::Resync, .. }));
}
