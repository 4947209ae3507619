//! Where a migration is: a phase, and beside it the test migration.

use serde::{Deserialize, Serialize};

use crate::control::named::named;

named! {
    /// A phase without what goes with it, as the tables name it.
    pub enum PhaseKind {
        /// Nothing replicates.
        NotEnabled = "not_enabled",
        /// Replication is being set up.
        Enabling = "enabling",
        /// It could not be set up.
        EnableFailed = "enable_failed",
        /// The first pass over the whole disks.
        InitialReplication = "initial_replication",
        /// The first pass failed.
        InitialReplicationFailed = "initial_replication_failed",
        /// The replica follows in deltas.
        Replicating = "replicating",
        /// Everything is being compared.
        Resynchronizing = "resynchronizing",
        /// A pause has been asked for.
        Pausing = "pausing",
        /// Nothing replicates, the replica is kept.
        Paused = "paused",
        /// Replication is being taken up again.
        Resuming = "resuming",
        /// The cutover.
        Migrating = "migrating",
        /// The machine is in Azure, its failover is not final yet.
        CommitPending = "commit_pending",
        /// The machine is in Azure.
        Migrated = "migrated",
        /// The cutover failed.
        MigrationFailed = "migration_failed",
        /// Replication is being ended.
        Disabling = "disabling",
        /// It could not be ended.
        DisableFailed = "disable_failed",
        /// The item is no more. Final.
        Gone = "gone",
        /// Only the service can tell.
        Unknown = "unknown",
    }
}

impl PhaseKind {
    /// Whether a test migration can be anything but none beside it: a replica comes first.
    pub const fn has_test(self) -> bool {
        !matches!(
            self,
            Self::NotEnabled
                | Self::Enabling
                | Self::EnableFailed
                | Self::InitialReplication
                | Self::InitialReplicationFailed
                | Self::Gone
        )
    }

    /// Whether it passes by itself: something goes on, and an answer is to come.
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::Enabling
                | Self::InitialReplication
                | Self::Resynchronizing
                | Self::Pausing
                | Self::Resuming
                | Self::Migrating
                | Self::Disabling
        )
    }

    /// The phase as it begins; unknown for the reason `said`.
    pub(super) fn begun(self, said: &str) -> Phase {
        match self {
            Self::NotEnabled => Phase::NotEnabled,
            Self::Enabling => Phase::Enabling,
            Self::EnableFailed => Phase::EnableFailed,
            Self::InitialReplication => Phase::InitialReplication { progress: None },
            Self::InitialReplicationFailed => Phase::InitialReplicationFailed,
            Self::Replicating => Phase::Replicating,
            Self::Resynchronizing => Phase::Resynchronizing,
            Self::Pausing => Phase::Pausing,
            Self::Paused => Phase::Paused,
            Self::Resuming => Phase::Resuming,
            Self::Migrating => Phase::Migrating,
            Self::CommitPending => Phase::CommitPending,
            Self::Migrated => Phase::Migrated { outcome: Outcome::Succeeded },
            Self::MigrationFailed => Phase::MigrationFailed,
            Self::Disabling => Phase::Disabling,
            Self::DisableFailed => Phase::DisableFailed,
            Self::Gone => Phase::Gone,
            Self::Unknown => Phase::Unknown { said: said.to_owned() },
        }
    }
}

named! {
    /// A test migration without what goes with it, as the tables name it.
    pub enum TestKind {
        /// There is none.
        None = "none",
        /// The test machine is being made.
        InProgress = "in_progress",
        /// The test machine is there.
        Succeeded = "succeeded",
        /// It is there, and something should be read.
        WithInformation = "with_information",
        /// It is there in part.
        Partially = "partially",
        /// It could not be made; what was made of it may be there.
        Failed = "failed",
        /// It is being removed.
        CleanUpInProgress = "clean_up_in_progress",
        /// Only the service can tell.
        Unknown = "unknown",
    }
}

impl TestKind {
    /// Whether it passes by itself.
    pub const fn passes(self) -> bool {
        matches!(self, Self::InProgress | Self::CleanUpInProgress)
    }

    pub(super) fn begun(self, said: &str) -> Test {
        match self {
            Self::None => Test::None,
            Self::InProgress => Test::InProgress,
            Self::Succeeded => Test::Made { outcome: Outcome::Succeeded },
            Self::WithInformation => Test::Made { outcome: Outcome::WithInformation },
            Self::Partially => Test::Made { outcome: Outcome::Partially },
            Self::Failed => Test::Failed,
            Self::CleanUpInProgress => Test::CleanUpInProgress,
            Self::Unknown => Test::Unknown { said: said.to_owned() },
        }
    }
}

named! {
    /// How something came to its end that did not fail.
    pub enum Outcome {
        /// As it should.
        Succeeded = "succeeded",
        /// It did, and something should be read.
        WithInformation = "with_information",
        /// In part.
        Partially = "partially",
    }
}

/// Hundredths of a whole: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Percent(u8);

impl Percent {
    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for Percent {
    type Error = OutOfRange;

    /// Fails outside of 0 to 100.
    fn try_from(number: i64) -> Result<Self, OutOfRange> {
        u8::try_from(number).ok().filter(|number| *number <= 100).map(Self).ok_or(OutOfRange { number })
    }
}

impl From<Percent> for i64 {
    fn from(percent: Percent) -> Self {
        percent.0.into()
    }
}

/// A number that is no percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{number} is no percentage: it is not in 0 to 100")]
pub struct OutOfRange {
    /// The number.
    pub number: i64,
}

/// Where the migration is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Nothing replicates.
    NotEnabled,
    /// Replication is being set up.
    Enabling,
    /// It could not be set up.
    EnableFailed,
    /// The first pass over the whole disks.
    InitialReplication {
        /// How far; none while it waits for its turn, or where the service does not say.
        progress: Option<Percent>,
    },
    /// The first pass failed.
    InitialReplicationFailed,
    /// The replica follows in deltas.
    Replicating,
    /// Everything is being compared.
    Resynchronizing,
    /// A pause has been asked for.
    Pausing,
    /// Nothing replicates, the replica is kept.
    Paused,
    /// Replication is being taken up again.
    Resuming,
    /// The cutover.
    Migrating,
    /// The machine is in Azure, its failover is not final yet.
    CommitPending,
    /// The machine is in Azure.
    Migrated {
        /// How well.
        outcome: Outcome,
    },
    /// The cutover failed.
    MigrationFailed,
    /// Replication is being ended.
    Disabling,
    /// It could not be ended.
    DisableFailed,
    /// The item is no more. Final.
    Gone,
    /// Only the service can tell: look again, and do only what it allows.
    Unknown {
        /// What was said that is not understood, as it was said.
        said: String,
    },
}

impl Phase {
    /// Which one it is.
    pub const fn kind(&self) -> PhaseKind {
        match self {
            Self::NotEnabled => PhaseKind::NotEnabled,
            Self::Enabling => PhaseKind::Enabling,
            Self::EnableFailed => PhaseKind::EnableFailed,
            Self::InitialReplication { .. } => PhaseKind::InitialReplication,
            Self::InitialReplicationFailed => PhaseKind::InitialReplicationFailed,
            Self::Replicating => PhaseKind::Replicating,
            Self::Resynchronizing => PhaseKind::Resynchronizing,
            Self::Pausing => PhaseKind::Pausing,
            Self::Paused => PhaseKind::Paused,
            Self::Resuming => PhaseKind::Resuming,
            Self::Migrating => PhaseKind::Migrating,
            Self::CommitPending => PhaseKind::CommitPending,
            Self::Migrated { .. } => PhaseKind::Migrated,
            Self::MigrationFailed => PhaseKind::MigrationFailed,
            Self::Disabling => PhaseKind::Disabling,
            Self::DisableFailed => PhaseKind::DisableFailed,
            Self::Gone => PhaseKind::Gone,
            Self::Unknown { .. } => PhaseKind::Unknown,
        }
    }
}

/// The test migration, a small machine beside the phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Test {
    /// There is none.
    None,
    /// The test machine is being made.
    InProgress,
    /// The test machine is there.
    Made {
        /// How well.
        outcome: Outcome,
    },
    /// It could not be made; what was made of it may be there.
    Failed,
    /// It is being removed.
    CleanUpInProgress,
    /// Only the service can tell.
    Unknown {
        /// What was said that is not understood, as it was said.
        said: String,
    },
}

impl Test {
    /// Which one it is.
    pub const fn kind(&self) -> TestKind {
        match self {
            Self::None => TestKind::None,
            Self::InProgress => TestKind::InProgress,
            Self::Made { outcome: Outcome::Succeeded } => TestKind::Succeeded,
            Self::Made { outcome: Outcome::WithInformation } => TestKind::WithInformation,
            Self::Made { outcome: Outcome::Partially } => TestKind::Partially,
            Self::Failed => TestKind::Failed,
            Self::CleanUpInProgress => TestKind::CleanUpInProgress,
            Self::Unknown { .. } => TestKind::Unknown,
        }
    }
}

/// Where a migration is: the phase and the test beside it, which go together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct State {
    phase: Phase,
    test: Test,
}

impl State {
    /// Fails where there cannot be a test: before the first pass has ended, and when the item is gone.
    pub fn new(phase: Phase, test: Test) -> Result<Self, Incoherent> {
        if test == Test::None || phase.kind().has_test() {
            Ok(Self { phase, test })
        } else {
            Err(Incoherent { phase: phase.kind(), test: test.kind() })
        }
    }

    /// Before anything.
    pub const fn not_enabled() -> Self {
        Self { phase: Phase::NotEnabled, test: Test::None }
    }

    /// The item is no more.
    pub const fn gone() -> Self {
        Self { phase: Phase::Gone, test: Test::None }
    }

    /// Only the service can tell; `said` is what was not understood.
    pub fn unknown(said: impl Into<String>) -> Self {
        Self { phase: Phase::Unknown { said: said.into() }, test: Test::None }
    }

    /// The phase.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The test migration.
    pub const fn test(&self) -> &Test {
        &self.test
    }

    /// Whether an answer is to come: something goes on, or only another look at the service can tell.
    pub fn passes(&self) -> bool {
        self.phase.kind().passes() || self.test.kind().passes() || self.unclear().is_some()
    }

    /// Whether nothing can come after it.
    pub const fn is_final(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// What was said that is not understood.
    pub fn unclear(&self) -> Option<&str> {
        match (&self.phase, &self.test) {
            (Phase::Unknown { said }, _) | (_, Test::Unknown { said }) => Some(said),
            _ => None,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.phase.kind())?;
        if self.test != Test::None {
            write!(f, ", test {}", self.test.kind())?;
        }
        self.unclear().map_or(Ok(()), |said| write!(f, " ({said:?})"))
    }
}

/// A phase and a test that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no test ({test}) in {phase}: a test machine is made from a replica")]
pub struct Incoherent {
    /// The phase.
    pub phase: PhaseKind,
    /// The test.
    pub test: TestKind,
}

/// A state as it is serialized, before it is known to be one.
#[derive(Serialize, Deserialize)]
struct Parts {
    phase: Phase,
    test: Test,
}

impl TryFrom<Parts> for State {
    type Error = Incoherent;

    fn try_from(Parts { phase, test }: Parts) -> Result<Self, Incoherent> {
        Self::new(phase, test)
    }
}

impl From<State> for Parts {
    fn from(State { phase, test }: State) -> Self {
        Self { phase, test }
    }
}
