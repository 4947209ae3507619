//! What a plan leads to.

use serde::{Deserialize, Serialize};

use crate::control::Scenario;
use crate::control::lifecycle::wire::call;
use crate::control::lifecycle::{PhaseKind, State, TestKind, Verb, shuts_down_by_default};
use crate::control::named::named;

named! {
    /// How far the servers shall be.
    pub enum Goal {
        /// Everything around the servers is there; no server is touched.
        Prepared = "prepared",
        /// They replicate.
        Replicating = "replicating",
        /// Their replication is paused.
        Paused = "paused",
        /// A test machine of each is in Azure.
        Tested = "tested",
        /// The test machines are gone again.
        TestCleanedUp = "test_cleaned_up",
        /// They are in Azure.
        Migrated = "migrated",
        /// The migration is completed: they are in Azure, and nothing replicates any more.
        Completed = "completed",
        /// Nothing replicates any more, wherever they are.
        Removed = "removed",
    }
}

/// What a plan leads to, and what is chosen on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aim {
    /// How far the servers shall be.
    pub goal: Goal,
    /// Whether the sources are shut down at the cutover, where that is not left to the kind of migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_down_source: Option<bool>,
}

impl From<Goal> for Aim {
    fn from(goal: Goal) -> Self {
        Self { goal, shut_down_source: None }
    }
}

impl Aim {
    /// Whether the sources are shut down at the cutover. Agents' servers stay running, whatever is chosen.
    pub fn shuts_down(self, scenario: Scenario) -> bool {
        scenario != Scenario::AgentBased && self.shut_down_source.unwrap_or_else(|| shuts_down_by_default(scenario))
    }
}

/// What is asked for, in order, to bring a server from where it is to the goal; empty where it is there.
///
/// A server that is on its way somewhere has what comes after that: whoever does the steps waits for it. Where
/// nobody understands where it is, or somebody has to look first, there is nothing to ask for (see [`is_stuck`]).
pub(super) fn verbs(scenario: Scenario, state: &State, goal: Goal) -> Vec<Verb> {
    use PhaseKind as P;

    let (phase, test) = (state.phase().kind(), state.test().kind());
    if is_stuck(state, goal) {
        return Vec::new();
    }
    let has_test = !matches!(test, TestKind::None | TestKind::CleanUpInProgress | TestKind::Unknown);
    let is_ended = matches!(phase, P::NotEnabled | P::Disabling | P::Gone);
    let is_cut_over = matches!(phase, P::CommitPending | P::Migrated);
    let takes_up = [
        (phase == P::NotEnabled).then_some(Verb::Enable),
        matches!(phase, P::Pausing | P::Paused).then_some(Verb::Resume),
    ];
    let cleans_up = has_test.then_some(Verb::CleanUpTest);
    let verbs: Vec<Option<Verb>> = match goal {
        Goal::Prepared => Vec::new(),
        Goal::Replicating => takes_up.into(),
        Goal::Paused => {
            let pauses = !is_ended && !is_cut_over && !matches!(phase, P::Pausing | P::Paused);
            vec![pauses.then_some(Verb::Pause)]
        }
        Goal::Tested => {
            let tests = !is_ended && !is_cut_over || phase == P::NotEnabled;
            let tests = tests && matches!(test, TestKind::None | TestKind::CleanUpInProgress);
            takes_up.into_iter().chain([tests.then_some(Verb::TestMigrate)]).collect()
        }
        Goal::TestCleanedUp => vec![cleans_up],
        Goal::Migrated | Goal::Completed => {
            let is_over = is_ended && phase != P::NotEnabled;
            let migrates = !is_over && !is_cut_over && phase != P::Migrating;
            let commits = !is_over && phase != P::Migrated;
            let completes = goal == Goal::Completed && !is_over;
            let cuts_over = [
                cleans_up,
                migrates.then_some(Verb::Migrate),
                commits.then_some(Verb::Commit),
                completes.then_some(Verb::Complete),
            ];
            takes_up.into_iter().chain(cuts_over).collect()
        }
        Goal::Removed => {
            let ends = if is_cut_over { Verb::Complete } else { Verb::Remove };
            vec![cleans_up, (!is_ended).then_some(ends)]
        }
    };
    // Not every kind of migration has every verb: VMware has no commit, the others no pause.
    verbs.into_iter().flatten().filter(|verb| call(scenario, *verb).is_some()).collect()
}

/// Whether somebody has to look before anything can be asked for.
pub(super) fn is_stuck(state: &State, goal: Goal) -> bool {
    use PhaseKind as P;

    let is_unclear = state.unclear().is_some();
    match (state.phase().kind(), goal) {
        (_, Goal::Prepared) => false,
        _ if is_unclear => true,
        (P::EnableFailed | P::InitialReplicationFailed | P::DisableFailed, goal) => goal != Goal::Removed,
        // A cutover that failed is tried again where a cutover is the goal.
        (P::MigrationFailed, goal) => matches!(goal, Goal::Replicating | Goal::Paused | Goal::Tested),
        _ => false,
    }
}
