//! The exports say what the tables say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::*;
use crate::control::Scenario;

/// From, to, label, kinds of migration.
type Drawn = (String, String, String, Vec<Scenario>);

/// The edges of the picture; those of the test machine carry `test_` before their states.
fn drawn() -> BTreeSet<Drawn> {
    let picture = to_mermaid();
    let edges = picture.lines().filter_map(|line| line.trim().split_once(": "));
    edges
        .map(|(states, label)| {
            let (from, to) = states.split_once(" --> ").unwrap();
            let (label, scenarios) = label.split_once(" [").unwrap_or((label, ""));
            let named = |scenario: &&Scenario| {
                scenarios.trim_end_matches(']').split(", ").any(|name| name == scenario.as_str())
            };
            let listed: Vec<Scenario> = match scenarios {
                "" => Scenario::ALL.to_vec(),
                _ => Scenario::ALL.iter().filter(named).copied().collect(),
            };
            (from.to_owned(), to.to_owned(), label.to_owned(), listed)
        })
        .collect()
}

/// Where the picture has a verb, for a kind of migration.
fn drawn_at(verb: Verb, scenario: Scenario, tests: bool) -> BTreeSet<String> {
    drawn()
        .into_iter()
        .filter(|(from, _, label, scenarios)| {
            from.starts_with("test_") == tests && label == verb.as_str() && scenarios.contains(&scenario)
        })
        .map(|(from, ..)| from)
        .collect()
}

#[test]
fn the_picture_has_each_verb_exactly_where_the_table_allows_it() {
    for &scenario in Scenario::ALL {
        for &verb in Verb::ALL {
            let rows = GUARDS
                .iter()
                .filter(|row| row.verb == verb && row.choice.is_none() && row.scenarios.contains(&scenario));
            let (mut phases, mut tests) = (BTreeSet::new(), BTreeSet::new());
            for row in rows {
                phases.extend(row.phases.iter().map(ToString::to_string));
                tests.extend(row.tests.iter().map(|test| format!("test_{test}")));
            }
            assert_eq!(drawn_at(verb, scenario, false), phases, "{scenario} {verb}");
            let moves_test = matches!(verb, Verb::TestMigrate | Verb::CleanUpTest);
            assert_eq!(
                drawn_at(verb, scenario, true),
                if moves_test { tests } else { BTreeSet::new() },
                "{scenario} {verb}"
            );
        }
    }
}

#[test]
fn the_picture_has_each_phase_and_each_test() {
    let picture = to_mermaid();
    let states: BTreeSet<&str> = picture
        .lines()
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(states, _)| states.trim().split(" --> "))
        .collect();
    for phase in PhaseKind::ALL {
        assert!(states.contains(phase.as_str()), "{phase} is not in the picture");
    }
    // The service alone tells of a test that is there in part or with information: it is left, never entered.
    for test in TestKind::ALL {
        assert!(states.contains(format!("test_{test}").as_str()), "the test {test} is not in the picture");
    }
}

#[test]
fn every_edge_of_the_picture_is_a_move() {
    for (from, to, label, scenarios) in drawn().into_iter().filter(|(from, ..)| !from.starts_with("test_")) {
        let Some(&verb) = Verb::ALL.iter().find(|verb| verb.as_str() == label) else { continue };
        let phase = *PhaseKind::ALL.iter().find(|phase| phase.as_str() == from).unwrap();
        for scenario in scenarios {
            let before = State::new(phase.begun(""), Test::None).unwrap();
            assert_eq!(
                after(scenario, &before, &Event::Accepted(verb)).phase().kind().as_str(),
                to,
                "{verb} in {from}"
            );
        }
    }
}

#[test]
fn the_json_parses_back_and_has_every_row() {
    let json: Value = serde_json::from_str(&to_json()).unwrap();
    let rows = |table: &str| json[table].as_array().unwrap().len();
    assert_eq!(rows("guards"), GUARDS.len());
    assert_eq!(rows("motions"), MOTIONS.len());
    assert_eq!(rows("calls"), wire::CALLS.len());
    assert_eq!(rows("meanings"), wire::MEANINGS.len());
    assert_eq!(rows("phases"), PhaseKind::ALL.len());
    assert_eq!(serde_json::from_value::<Vec<Verb>>(json["verbs"].clone()).unwrap(), Verb::ALL);
    for (row, guard) in json["guards"].as_array().unwrap().iter().zip(GUARDS) {
        assert_eq!(serde_json::from_value::<Verb>(row["verb"].clone()).unwrap(), guard.verb);
        assert_eq!(serde_json::from_value::<Vec<PhaseKind>>(row["phases"].clone()).unwrap(), guard.phases);
        assert_eq!(serde_json::from_value::<Vec<TestKind>>(row["tests"].clone()).unwrap(), guard.tests);
        assert_eq!(serde_json::from_value::<Vec<Scenario>>(row["scenarios"].clone()).unwrap(), guard.scenarios);
        assert_eq!(row["rule"]["document"], guard.rule.document);
    }
}
