//! How a migration moves: what a verb begins, and what its answers lead to.

use serde::Serialize;

use self::Step::{Phase as To, Stay};
use super::guard::allowed;
use super::state::{Percent, Phase, PhaseKind, PhaseKind as P, State, Test, TestKind, TestKind as T};
use super::verb::Verb;
use crate::control::Scenario;

/// Where a verb or its answer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nowhere else.
    Stay,
    /// Into a phase.
    Phase(PhaseKind),
    /// The test into something; the phase stays.
    Test(TestKind),
}

/// One row: how a verb moves a migration.
///
/// Where the service has no word for the failure of an operation (a pause, a resume, a resync, a clean-up that
/// failed), only another look at the service can tell what it left: the row leads to unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Motion {
    /// The verb.
    pub verb: Verb,
    /// For which kinds of migration.
    pub scenarios: &'static [Scenario],
    /// Once the service has accepted it.
    pub accepted: Step,
    /// When the operation has succeeded.
    pub succeeded: Step,
    /// When it has failed.
    pub failed: Step,
}

impl Motion {
    const fn new(verb: Verb, scenarios: &'static [Scenario], accepted: Step, succeeded: Step, failed: Step) -> Self {
        Self { verb, scenarios, accepted, succeeded, failed }
    }
}

const ALL: &[Scenario] = Scenario::ALL;
const VMWARE: &[Scenario] = &[Scenario::VmwareAgentless];
const PROTECTED: &[Scenario] = &[Scenario::HyperV, Scenario::AgentBased];

/// The table.
pub static MOTIONS: &[Motion] = &[
    Motion::new(Verb::Enable, ALL, To(P::Enabling), To(P::InitialReplication), To(P::EnableFailed)),
    Motion::new(Verb::Update, ALL, Stay, Stay, Stay),
    Motion::new(Verb::TestMigrate, ALL, Step::Test(T::InProgress), Step::Test(T::Succeeded), Step::Test(T::Failed)),
    Motion::new(Verb::CleanUpTest, ALL, Step::Test(T::CleanUpInProgress), Step::Test(T::None), Step::Test(T::Unknown)),
    Motion::new(Verb::Migrate, VMWARE, To(P::Migrating), To(P::Migrated), To(P::MigrationFailed)),
    Motion::new(Verb::Migrate, PROTECTED, To(P::Migrating), To(P::CommitPending), To(P::MigrationFailed)),
    Motion::new(Verb::Commit, PROTECTED, Stay, To(P::Migrated), Stay),
    Motion::new(Verb::Complete, ALL, To(P::Disabling), To(P::Gone), To(P::DisableFailed)),
    Motion::new(Verb::Pause, VMWARE, To(P::Pausing), To(P::Paused), To(P::Unknown)),
    Motion::new(Verb::Resume, VMWARE, To(P::Resuming), To(P::Replicating), To(P::Unknown)),
    Motion::new(Verb::Resync, ALL, To(P::Resynchronizing), To(P::Replicating), To(P::Unknown)),
    Motion::new(Verb::Remove, ALL, To(P::Disabling), To(P::Gone), To(P::DisableFailed)),
];

/// How a verb moves a migration of this kind; none where the service has no such operation.
pub fn motion(scenario: Scenario, verb: Verb) -> Option<&'static Motion> {
    MOTIONS.iter().find(|row| row.verb == verb && row.scenarios.contains(&scenario))
}

/// What can happen to a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The service has accepted a verb.
    Accepted(Verb),
    /// The operation behind a verb has succeeded.
    Succeeded(Verb),
    /// It has failed.
    Failed(Verb),
    /// So much of initial replication is done.
    Progress(Percent),
    /// Initial replication is done: the first delta begins.
    InitialReplicationDone,
    /// Initial replication has failed.
    InitialReplicationFailed,
    /// The service was looked at, and has this item.
    Reported(State),
    /// The service was looked at, and has no such item.
    NotFound,
}

/// Where a migration is after an event: pure, for planning and simulation, defined for every state and event.
///
/// - What the service reports replaces everything.
/// - A verb that the service accepted moves the migration even where the table would have refused it: the
///   service's word wins. Where that makes no sense, the state is unknown until the next report.
/// - An answer moves only what waits for it; a late one changes nothing.
pub fn after(scenario: Scenario, state: &State, event: &Event) -> State {
    match event {
        Event::Accepted(verb) => accepted(scenario, state, *verb),
        Event::Succeeded(verb) => answered(scenario, state, *verb, "succeeded", |row| row.succeeded),
        Event::Failed(verb) => answered(scenario, state, *verb, "failed", |row| row.failed),
        Event::Progress(percent) => initially(state, Phase::InitialReplication { progress: Some(*percent) }),
        Event::InitialReplicationDone => initially(state, Phase::Replicating),
        Event::InitialReplicationFailed => initially(state, Phase::InitialReplicationFailed),
        Event::Reported(reported) => reported.clone(),
        Event::NotFound if *state.phase() == Phase::NotEnabled => State::not_enabled(),
        Event::NotFound => State::gone(),
    }
}

fn accepted(scenario: Scenario, state: &State, verb: Verb) -> State {
    let said = || format!("{verb} accepted in {state}");
    match motion(scenario, verb) {
        Some(row) if !state.is_final() => stepped(state, row.accepted, &said()),
        _ => State::unknown(said()),
    }
}

fn answered(scenario: Scenario, state: &State, verb: Verb, answer: &str, step: impl Fn(&Motion) -> Step) -> State {
    match motion(scenario, verb) {
        Some(row) if waits(scenario, state, row) => stepped(state, step(row), &format!("{verb} {answer}")),
        _ => state.clone(),
    }
}

/// Whether an answer of this verb is waited for.
fn waits(scenario: Scenario, state: &State, row: &Motion) -> bool {
    match row.accepted {
        Step::Phase(phase) => state.phase().kind() == phase,
        Step::Test(test) => state.test().kind() == test,
        Step::Stay => allowed(state, row.verb, scenario).is_ok(),
    }
}

fn stepped(state: &State, step: Step, said: &str) -> State {
    let next = match step {
        Step::Stay => return state.clone(),
        Step::Phase(PhaseKind::Gone) => return State::gone(),
        Step::Phase(phase) => State::new(phase.begun(said), state.test().clone()),
        Step::Test(test) => State::new(state.phase().clone(), test.begun(said)),
    };
    next.unwrap_or_else(|incoherent| State::unknown(format!("{said}: {incoherent}")))
}

fn initially(state: &State, next: Phase) -> State {
    match state.phase() {
        Phase::InitialReplication { .. } => State::new(next, Test::None).unwrap_or_else(|_| state.clone()),
        _ => state.clone(),
    }
}
