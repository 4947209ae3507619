//! The table of guards: which verb is allowed where, and who says so.
//!
//! A verb is allowed where one row says so. Check, JSON, picture and page are all made of these rows.

use std::fmt;

use serde::Serialize;

use super::check::TEST_NOT_CLEANED_UP;
use super::refusal::Refusal;
use super::source::{AZ_MIGRATE, CONCEPTS, Certainty, EXAMPLES, HYPER_V, OURS, PHYSICAL, SPECIFICATION, VMWARE};
use super::state::{PhaseKind, PhaseKind as P, State, TestKind};
use super::verb::{Choice, Verb};
use super::wire;
use crate::control::Scenario;
use crate::finding::documents::ARTICLE;
use crate::finding::{Check, Rule};

/// One row: the verb is allowed for these kinds of migration, in these phases, beside these tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// The verb.
    pub verb: Verb,
    /// What is chosen with it, if the row is about that.
    pub choice: Option<Choice>,
    /// For which kinds of migration.
    pub scenarios: &'static [Scenario],
    /// In which phases.
    pub phases: &'static [PhaseKind],
    /// Beside which tests.
    pub tests: &'static [TestKind],
    /// The reason, as the end of a sentence.
    pub why: &'static str,
    /// What is found where the row allows the verb.
    #[serde(skip)] // a check is exported by its code
    pub concern: Option<&'static Check>,
    /// Who says so.
    pub rule: Rule,
    /// How sure it is.
    pub certainty: Certainty,
}

impl Guard {
    const fn new(
        verb: Verb,
        scenarios: &'static [Scenario],
        phases: &'static [PhaseKind],
        why: &'static str,
        rule: Rule,
    ) -> Self {
        let (choice, concern, certainty) = (None, None, Certainty::Stated);
        Self { verb, choice, scenarios, phases, tests: NO_TEST, why, concern, rule, certainty }
    }

    /// A row about what is chosen with a verb; the verb's own rows hold besides.
    const fn choosing(
        choice: Choice,
        scenarios: &'static [Scenario],
        phases: &'static [PhaseKind],
        why: &'static str,
        rule: Rule,
    ) -> Self {
        let row = Self::new(choice.verb(), scenarios, phases, why, rule);
        Self { choice: Some(choice), tests: TestKind::ALL, ..row }
    }

    const fn beside(self, tests: &'static [TestKind]) -> Self {
        Self { tests, ..self }
    }

    const fn with_concern(self, concern: &'static Check) -> Self {
        Self { concern: Some(concern), ..self }
    }

    const fn guessing(self, what: &'static str) -> Self {
        Self { certainty: Certainty::Guess(what), ..self }
    }
}

const ALL: &[Scenario] = Scenario::ALL;
const VMWARE_ONLY: &[Scenario] = &[Scenario::VmwareAgentless];
const PROTECTED: &[Scenario] = &[Scenario::HyperV, Scenario::AgentBased];

const NO_TEST: &[TestKind] = &[TestKind::None];
/// A test machine, or what is left of one, is there.
const TEST_THERE: &[TestKind] =
    &[TestKind::Succeeded, TestKind::WithInformation, TestKind::Partially, TestKind::Failed];
/// Nothing is being done with a test machine.
const TEST_AT_REST: &[TestKind] =
    &[TestKind::None, TestKind::Succeeded, TestKind::WithInformation, TestKind::Partially, TestKind::Failed];

/// Where replication can be stopped: anywhere but in what has an end of its own, or has ended.
const REMOVABLE: &[PhaseKind] = &[
    P::Enabling,
    P::EnableFailed,
    P::InitialReplication,
    P::InitialReplicationFailed,
    P::Replicating,
    P::Resynchronizing,
    P::Pausing,
    P::Paused,
    P::Resuming,
    P::MigrationFailed,
    P::DisableFailed,
];
const NOT_DURING_CUTOVER: &str =
    "that the service would not stop replication in the middle of a cutover: its answer is waited for";

/// The table.
pub static GUARDS: &[Guard] = &[
    Guard::new(Verb::Enable, ALL, &[P::NotEnabled], "replication is enabled once for a machine", ARTICLE),
    Guard::new(
        Verb::Update,
        VMWARE_ONLY,
        &[P::Replicating, P::Paused, P::MigrationFailed],
        "settings of the target are changed while no operation runs, and before the cutover",
        AZ_MIGRATE,
    )
    .guessing("the phases: the client sends the change without looking at them, and the article says that settings cannot be changed once replication has started"),
    Guard::new(
        Verb::Update,
        PROTECTED,
        &[P::Replicating, P::MigrationFailed],
        "settings of the target are changed while no operation runs, and before the cutover",
        SPECIFICATION,
    )
    .guessing("the phases: the operation is described without any, and the article says that settings cannot be changed once replication has started"),
    Guard::new(
        Verb::TestMigrate,
        ALL,
        &[P::Replicating],
        "a test is made from a recovery point, which is there once the first delta has begun, and one test at a time",
        VMWARE,
    ),
    Guard::new(
        Verb::CleanUpTest,
        ALL,
        &[P::Replicating, P::Resynchronizing, P::Paused, P::MigrationFailed],
        "what is cleaned up is a test that has come to its end",
        VMWARE,
    )
    .beside(TEST_THERE)
    .guessing("the phases other than replicating: the tutorial cleans up there"),
    Guard::new(
        Verb::Migrate,
        ALL,
        &[P::Replicating, P::MigrationFailed],
        "the cutover sends one last delta, and a failed one is tried again",
        VMWARE,
    )
    .guessing("that a failed cutover is tried again without a resync"),
    Guard::new(
        Verb::Migrate,
        VMWARE_ONLY,
        &[P::Replicating, P::MigrationFailed],
        "no cutover while a test runs or is cleaned up; a test machine that is still there does not hinder it",
        VMWARE,
    )
    .beside(TEST_THERE)
    .with_concern(&TEST_NOT_CLEANED_UP)
    .guessing("that a test machine that is still there does not hinder it: the tutorial only asks to clean up"),
    Guard::choosing(
        Choice::ShutDownSource,
        &[Scenario::VmwareAgentless, Scenario::HyperV],
        &[P::Replicating, P::MigrationFailed],
        "a source that is shut down changes no more, so that the last delta loses nothing",
        VMWARE,
    ),
    Guard::new(
        Verb::Commit,
        PROTECTED,
        &[P::CommitPending],
        "a failover that has come to its end is made final",
        EXAMPLES,
    )
    .beside(TEST_AT_REST)
    .guessing("that agents answer as the examples do, which are all of Hyper-V"),
    Guard::new(
        Verb::Complete,
        VMWARE_ONLY,
        &[P::Migrated],
        "a migration is completed when its machine is in Azure",
        VMWARE,
    )
    .beside(TEST_AT_REST),
    Guard::new(
        Verb::Complete,
        PROTECTED,
        &[P::CommitPending, P::Migrated],
        "a migration is completed when its machine is in Azure; the service allows it before the commit too",
        EXAMPLES,
    )
    .beside(TEST_AT_REST)
    .guessing("that agents answer as the examples do, which are all of Hyper-V"),
    Guard::new(
        Verb::Pause,
        VMWARE_ONLY,
        &[P::Replicating],
        "only deltas can be paused: initial replication can only be stopped",
        CONCEPTS,
    )
    .beside(TEST_AT_REST)
    .guessing("that a test machine does not hinder it, and that a test under way does"),
    Guard::new(
        Verb::Resume,
        VMWARE_ONLY,
        &[P::Paused, P::Migrated],
        "replication is taken up again after a pause, or after a cutover that is not completed",
        AZ_MIGRATE,
    )
    .beside(TEST_AT_REST),
    Guard::choosing(
        Choice::DeleteTarget,
        VMWARE_ONLY,
        &[P::Migrated],
        "there is something to delete in Azure only after a cutover",
        AZ_MIGRATE,
    ),
    Guard::new(
        Verb::Resync,
        VMWARE_ONLY,
        &[P::Replicating, P::EnableFailed, P::InitialReplicationFailed],
        "everything is compared again while deltas run, or after a start that failed",
        AZ_MIGRATE,
    )
    .guessing("the phases: the client does not look at them"),
    Guard::new(
        Verb::Resync,
        PROTECTED,
        &[P::Replicating, P::InitialReplicationFailed],
        "everything is compared again where the service asks for it",
        SPECIFICATION,
    )
    .guessing("the phases: the operation is for items that require resynchronization, and no more is said"),
    Guard::new(
        Verb::Remove,
        ALL,
        REMOVABLE,
        "replication can be stopped at any time before the machine is in Azure; after that, a migration is completed",
        CONCEPTS,
    )
    .guessing(NOT_DURING_CUTOVER),
    Guard::new(
        Verb::Remove,
        VMWARE_ONLY,
        REMOVABLE,
        "a test under way comes to its end first; a test machine that is there stays behind",
        OURS,
    )
    .beside(TEST_THERE)
    .with_concern(&TEST_NOT_CLEANED_UP)
    .guessing("that the test machine stays behind"),
    Guard::new(
        Verb::Remove,
        PROTECTED,
        &[P::CommitPending, P::Migrated],
        "the service goes on to allow it after a failover",
        EXAMPLES,
    )
    .beside(TEST_AT_REST)
    .guessing("that agents answer as the examples do, which are all of Hyper-V"),
    Guard::choosing(
        Choice::Force,
        ALL,
        &[P::DisableFailed],
        "force is for an item that could not be removed otherwise: what it leaves behind is nobody's",
        OURS,
    ),
];

/// A test holds that every verb has rows for each kind of migration that has the verb.
const NO_RULE: &str = "no rule allows it";

/// Why agents refuse [`Choice::ShutDownSource`], which no row gives them.
const AGENT_STAYS_RUNNING: &str =
    "the server must stay running while the rest of its changes is sent; stop its applications instead";

/// Whether the source is shut down at the cutover unless the caller says otherwise.
///
/// Yes for `VMware` and Hyper-V, so that nothing is lost; no for agents, whose server must stay running while the
/// rest of its changes is sent. Sources: the tutorials of the three (2023-06, 2020, undated), in the portal's
/// default.
pub const fn shuts_down_by_default(scenario: Scenario) -> bool {
    match scenario {
        Scenario::VmwareAgentless | Scenario::HyperV => true,
        Scenario::AgentBased => false,
    }
}

/// The documents behind [`shuts_down_by_default`], for the export.
pub(super) const fn shut_down_rule(scenario: Scenario) -> Rule {
    match scenario {
        Scenario::VmwareAgentless => VMWARE,
        Scenario::HyperV => HYPER_V,
        Scenario::AgentBased => PHYSICAL,
    }
}

/// Whether the table allows a verb. For planning and simulation; where the service can be asked, see
/// [`decide`](super::decide).
///
/// Gives the row that allows it, which may carry a concern. Fails with [`Refusal::NoSuchVerb`],
/// [`Refusal::Unclear`], [`Refusal::Phase`] or [`Refusal::Test`], in this order.
pub fn allowed(state: &State, verb: Verb, scenario: Scenario) -> Result<&'static Guard, Refusal> {
    if wire::call(scenario, verb).is_none() {
        return Err(Refusal::NoSuchVerb { verb, scenario });
    }
    if let Some(said) = state.unclear() {
        return Err(Refusal::Unclear { verb, said: said.to_owned() });
    }
    let (phase, test) = (state.phase().kind(), state.test().kind());
    let rows: Vec<&Guard> = rows(verb, None, scenario).collect();
    let here: Vec<&Guard> = rows.iter().copied().filter(|row| row.phases.contains(&phase)).collect();
    if let Some(row) = here.iter().find(|row| row.tests.contains(&test)) {
        return Ok(row);
    }
    // The last of a verb's rows is the one that says most of tests.
    if let Some(Guard { why, .. }) = here.last() {
        let allowed_with = gather(&here, TestKind::ALL, |row| row.tests);
        return Err(Refusal::Test { verb, test, allowed_with, why });
    }
    let allowed_in = gather(&rows, PhaseKind::ALL, |row| row.phases);
    Err(Refusal::Phase { verb, phase, allowed_in, why: rows.first().map_or(NO_RULE, |row| row.why) })
}

/// Whether the table allows what is chosen with a verb, and the verb itself.
///
/// Fails as [`allowed`] does, and with [`Refusal::Choice`]. The service has no word for choices, so that this is
/// the last word even where the service allows the verb.
pub fn allowed_with(state: &State, choice: Choice, scenario: Scenario) -> Result<&'static Guard, Refusal> {
    let row = allowed(state, choice.verb(), scenario)?;
    check_choice(state, choice, scenario)?;
    Ok(row)
}

/// Whether the table allows the choice alone.
pub(super) fn check_choice(state: &State, choice: Choice, scenario: Scenario) -> Result<(), Refusal> {
    let phase = state.phase().kind();
    if rows(choice.verb(), Some(choice), scenario).any(|row| row.phases.contains(&phase)) {
        return Ok(());
    }
    let why = match (choice, scenario) {
        (Choice::ShutDownSource, Scenario::AgentBased) => AGENT_STAYS_RUNNING,
        _ => GUARDS.iter().find(|row| row.choice == Some(choice)).map_or(NO_RULE, |row| row.why),
    };
    Err(Refusal::Choice { choice, scenario, phase, why })
}

/// The rows that speak of a verb.
fn rows(verb: Verb, choice: Option<Choice>, scenario: Scenario) -> impl Iterator<Item = &'static Guard> {
    GUARDS.iter().filter(move |row| row.verb == verb && row.choice == choice && row.scenarios.contains(&scenario))
}

/// What one of the rows names, in the order of `all`.
fn gather<T: Copy + PartialEq + 'static>(rows: &[&Guard], all: &[T], of: impl Fn(&Guard) -> &'static [T]) -> Vec<T> {
    all.iter().copied().filter(|one| rows.iter().any(|row| of(row).contains(one))).collect()
}

/// `a, b`, or `nothing`.
pub(super) struct Listed<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in self.0.iter().enumerate() {
            write!(f, "{}{one}", if at == 0 { "" } else { ", " })?;
        }
        if self.0.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}
