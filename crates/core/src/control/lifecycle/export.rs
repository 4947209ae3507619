//! The tables for others: JSON for programs, Mermaid for eyes, Markdown for the guide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::check;
use super::guard::{GUARDS, Guard, shut_down_rule, shuts_down_by_default};
use super::motion::{MOTIONS, Motion, Step, motion};
use super::refusal::Refusal;
use super::source::Certainty;
use super::state::{PhaseKind, TestKind};
use super::verb::{Choice, Verb};
use super::wire::{CALLS, CHOICE_CALLS, Call, ChoiceCall, MEANINGS, Meaning, Means};
use crate::control::Scenario;
use crate::error::ErrorKind;
use crate::finding::{Rule, Severity};

/// The number of the export's form: a reader of one number reads every export of it. It grows when something is
/// renamed or removed, not when rows come and go.
const FORM: u32 = 1;

#[derive(Serialize)]
struct Export {
    form: u32,
    scenarios: Vec<ScenarioRow>,
    phases: Vec<PhaseRow>,
    tests: &'static [TestKind],
    verbs: &'static [Verb],
    choices: &'static [Choice],
    guards: Vec<GuardRow>,
    motions: &'static [Motion],
    calls: &'static [Call],
    choice_calls: &'static [ChoiceCall],
    meanings: &'static [Meaning],
    refusals: Vec<RefusalRow>,
    findings: Vec<FindingRow>,
}

#[derive(Serialize)]
struct ScenarioRow {
    name: Scenario,
    resource: &'static str,
    instance_type: &'static str,
    shuts_down_by_default: bool,
    rule: Rule,
}

#[derive(Serialize)]
struct PhaseRow {
    name: PhaseKind,
    has_test: bool,
    passes: bool,
}

#[derive(Serialize)]
struct GuardRow {
    #[serde(flatten)]
    guard: &'static Guard,
    concern: Option<&'static str>,
}

#[derive(Serialize)]
struct RefusalRow {
    code: &'static str,
    kind: ErrorKind,
    remedy: &'static str,
}

#[derive(Serialize)]
struct FindingRow {
    code: &'static str,
    severity: Severity,
    remedy: &'static str,
    rule: Rule,
}

/// All tables as JSON: kinds of migration, phases, tests, verbs, guards, motions, operations, words of the
/// service, and the codes of refusals and findings.
pub fn to_json() -> String {
    let scenario = |&name: &Scenario| ScenarioRow {
        name,
        resource: name.resource(),
        instance_type: name.instance_type(),
        shuts_down_by_default: shuts_down_by_default(name),
        rule: shut_down_rule(name),
    };
    let phase = |&name: &PhaseKind| PhaseRow { name, has_test: name.has_test(), passes: name.passes() };
    let export = Export {
        form: FORM,
        scenarios: Scenario::ALL.iter().map(scenario).collect(),
        phases: PhaseKind::ALL.iter().map(phase).collect(),
        tests: TestKind::ALL,
        verbs: Verb::ALL,
        choices: Choice::ALL,
        guards: GUARDS.iter().map(|guard| GuardRow { guard, concern: guard.concern.map(|check| check.code) }).collect(),
        motions: MOTIONS,
        calls: CALLS,
        choice_calls: CHOICE_CALLS,
        meanings: MEANINGS,
        refusals: Refusal::CATALOGUE.iter().map(|&(code, kind, remedy)| RefusalRow { code, kind, remedy }).collect(),
        findings: check::ALL
            .iter()
            .map(|check| FindingRow {
                code: check.code,
                severity: check.severity,
                remedy: check.remedy,
                rule: check.rule,
            })
            .collect(),
    };
    serde_json::to_string_pretty(&export).expect("the tables hold only names, words and lists of them")
}

/// An edge of the picture: from where, to where, on what.
type Edge = (&'static str, &'static str, &'static str);

/// The picture as a Mermaid state diagram: the phases, and the test migration as a machine of its own.
///
/// An edge bears the verb, or the verb and its answer, and the kinds of migration where not all of them have it.
/// A verb that leaves the phase as it is goes from the phase to itself.
pub fn to_mermaid() -> String {
    let mut text = "stateDiagram-v2\n    direction TB\n    [*] --> not_enabled\n    gone --> [*]\n".to_owned();
    for ((from, to, label), scenarios) in phase_edges() {
        let _ = writeln!(text, "    {from} --> {to}: {}", labelled(label, &scenarios));
    }
    text.push_str("    state \"test migration\" as test {\n        [*] --> test_none\n");
    for ((from, to, label), scenarios) in test_edges() {
        let _ = writeln!(text, "        test_{from} --> test_{to}: {}", labelled(label, &scenarios));
    }
    text.push_str("    }\n");
    text
}

fn labelled(label: &str, scenarios: &[Scenario]) -> String {
    if scenarios.len() == Scenario::ALL.len() { label.to_owned() } else { format!("{label} [{}]", joined(scenarios)) }
}

/// The edges with the kinds of migration that have them, in the order of the tables.
#[derive(Default)]
struct Edges {
    order: Vec<Edge>,
    scenarios: BTreeMap<Edge, Vec<Scenario>>,
}

impl Edges {
    fn add(&mut self, edge: Edge, scenario: Scenario) {
        let scenarios = self.scenarios.entry(edge).or_insert_with(|| {
            self.order.push(edge);
            Vec::new()
        });
        if !scenarios.contains(&scenario) {
            scenarios.push(scenario);
            scenarios.sort_unstable();
        }
    }

    fn listed(mut self) -> Vec<(Edge, Vec<Scenario>)> {
        self.order.into_iter().map(|edge| (edge, self.scenarios.remove(&edge).unwrap_or_default())).collect()
    }
}

/// Each verb where a guard allows it, each answer from where the verb has led, and initial replication's own end.
fn phase_edges() -> Vec<(Edge, Vec<Scenario>)> {
    let mut edges = Edges::default();
    for row in GUARDS.iter().filter(|row| row.choice.is_none()) {
        for (&phase, &scenario) in row.phases.iter().flat_map(|phase| row.scenarios.iter().map(move |s| (phase, s))) {
            let Some(motion) = motion(scenario, row.verb) else { continue };
            edges.add((phase.as_str(), phase_after(phase, motion.accepted).as_str(), row.verb.as_str()), scenario);
            // What leaves the phase alone until it has succeeded, and then moves it.
            if motion.accepted == Step::Stay && motion.succeeded != Step::Stay {
                edges.add(
                    (phase.as_str(), phase_after(phase, motion.succeeded).as_str(), answer(motion.verb, true)),
                    scenario,
                );
            }
        }
    }
    for &scenario in Scenario::ALL {
        let from = PhaseKind::InitialReplication.as_str();
        edges.add((from, PhaseKind::Replicating.as_str(), "done"), scenario);
        edges.add((from, PhaseKind::InitialReplicationFailed.as_str(), "failed"), scenario);
    }
    for row in MOTIONS {
        let Step::Phase(under_way) = row.accepted else { continue };
        for &scenario in row.scenarios {
            let [succeeded, failed] = [row.succeeded, row.failed].map(|step| phase_after(under_way, step).as_str());
            edges.add((under_way.as_str(), succeeded, answer(row.verb, true)), scenario);
            edges.add((under_way.as_str(), failed, answer(row.verb, false)), scenario);
        }
    }
    edges.listed()
}

fn test_edges() -> Vec<(Edge, Vec<Scenario>)> {
    let mut edges = Edges::default();
    for row in GUARDS.iter().filter(|row| row.choice.is_none()) {
        for (&test, &scenario) in row.tests.iter().flat_map(|test| row.scenarios.iter().map(move |s| (test, s))) {
            let Some(Motion { accepted: Step::Test(under_way), .. }) = motion(scenario, row.verb) else { continue };
            edges.add((test.as_str(), under_way.as_str(), row.verb.as_str()), scenario);
        }
    }
    for row in MOTIONS {
        let Step::Test(under_way) = row.accepted else { continue };
        for &scenario in row.scenarios {
            for (step, succeeded) in [(row.succeeded, true), (row.failed, false)] {
                let Step::Test(next) = step else { continue };
                edges.add((under_way.as_str(), next.as_str(), answer(row.verb, succeeded)), scenario);
            }
        }
    }
    edges.listed()
}

fn phase_after(phase: PhaseKind, step: Step) -> PhaseKind {
    match step {
        Step::Phase(next) => next,
        Step::Stay | Step::Test(_) => phase,
    }
}

/// The answer to a verb, as an edge bears it. Never a verb's own name.
fn answer(verb: Verb, succeeded: bool) -> &'static str {
    match (verb, succeeded) {
        (Verb::Commit, true) => "committed",
        (_, true) => "done",
        (_, false) => "failed",
    }
}

/// The tables of guards, operations, words, refusals and findings in Markdown, under headings of the second level.
pub fn to_markdown() -> String {
    let mut text = String::new();
    table(
        &mut text,
        "Guards",
        "verb | allowed in | beside a test that is | for | because | source",
        GUARDS,
        guard_cells,
    );
    table(&mut text, "Operations", "for | verb | operation | in `allowedOperations` | source", CALLS, call_cells);
    table(&mut text, "Choices", "for | choice | where | chosen | otherwise | source", CHOICE_CALLS, choice_cells);
    table(&mut text, "Words of the service", "property | word | means | source", MEANINGS, meaning_cells);
    table(&mut text, "Refusals", "code | kind | what to do", Refusal::CATALOGUE, |(code, kind, remedy)| {
        vec![code_text(code), whose_turn(*kind).to_owned(), (*remedy).to_owned()]
    });
    table(&mut text, "Findings", "code | severity | what to do | source", check::ALL, |check| {
        let severity = format!("{:?}", check.severity).to_lowercase();
        vec![code_text(check.code), severity, check.remedy.to_owned(), source(check.rule, Certainty::Stated)]
    });
    text
}

fn table<T>(text: &mut String, heading: &str, columns: &str, rows: &[T], cells: impl Fn(&T) -> Vec<String>) {
    let gap = if text.is_empty() { "" } else { "\n" };
    let rule = vec!["---"; columns.split(" | ").count()].join(" | ");
    let _ = writeln!(text, "{gap}## {heading}\n\n| {columns} |\n| {rule} |");
    for row in rows {
        let _ = writeln!(text, "| {} |", cells(row).join(" | "));
    }
}

fn guard_cells(row: &Guard) -> Vec<String> {
    let verb = match row.choice {
        Some(choice) => format!("{} with {}", code_text(row.verb.as_str()), code_text(choice.as_str())),
        None => code_text(row.verb.as_str()),
    };
    let tests = if row.tests.len() == TestKind::ALL.len() { "any".to_owned() } else { joined(row.tests) };
    let concern = row.concern.map_or_else(String::new, |check| format!(" (finding: {})", code_text(check.code)));
    vec![
        verb,
        joined(row.phases),
        tests,
        for_whom(row.scenarios),
        format!("{}{concern}", row.why),
        source(row.rule, row.certainty),
    ]
}

fn call_cells(row: &Call) -> Vec<String> {
    vec![
        row.scenario.to_string(),
        code_text(row.verb.as_str()),
        format!("{} `{}`", row.method, row.path()),
        row.allowed_as.map_or_else(|| "not told".to_owned(), code_text),
        source(row.rule, row.certainty),
    ]
}

fn choice_cells(row: &ChoiceCall) -> Vec<String> {
    vec![
        row.scenario.to_string(),
        code_text(row.choice.as_str()),
        row.field.to_owned(),
        row.chosen.to_owned(),
        row.otherwise.unwrap_or("left out").to_owned(),
        source(row.rule, row.certainty),
    ]
}

fn meaning_cells(row: &Meaning) -> Vec<String> {
    let means = match row.means {
        Means::Phase(phase) => phase.to_string(),
        Means::Migrated(outcome) => format!("{}, {outcome}", PhaseKind::Migrated),
        Means::Test(test) => format!("test {test}"),
        Means::Nothing => "as the phase says".to_owned(),
    };
    vec![code_text(row.field.as_str()), code_text(row.word), means, source(row.rule, row.certainty)]
}

fn source(rule: Rule, certainty: Certainty) -> String {
    let guess = certainty.guess().map_or_else(String::new, |what| format!(". *A guess*: {what}"));
    format!("{}, {}{guess}", rule.document, rule.date)
}

fn whose_turn(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retryable => "passing: the same call may succeed later",
        ErrorKind::Fatal => "something outside must be put right first",
        ErrorKind::Caller => "the call itself must change",
    }
}

fn for_whom(scenarios: &[Scenario]) -> String {
    if scenarios.len() == Scenario::ALL.len() { "all".to_owned() } else { joined(scenarios) }
}

fn code_text(text: &str) -> String {
    format!("`{text}`")
}

fn joined<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
