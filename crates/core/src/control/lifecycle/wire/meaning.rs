//! Which state each word of the service is.

use serde::Serialize;

use self::Means::{Migrated, Nothing, Phase};
use super::super::source::{Certainty, EXAMPLES, SPECIFICATION};
use super::super::state::{Outcome, PhaseKind, PhaseKind as P, TestKind, TestKind as T};
use crate::control::named::named;
use crate::finding::Rule;

named! {
    /// A property of an item in which the service tells its state.
    pub enum Field {
        /// Of migration items.
        MigrationState = "migrationState",
        /// Of migration items.
        TestMigrateState = "testMigrateState",
        /// Of migration items, in their provider's details. Counts while deltas run.
        ResyncState = "resyncState",
        /// Of protected items; a plain string in the specification.
        ProtectionState = "protectionState",
        /// Of protected items; a plain string in the specification.
        TestFailoverState = "testFailoverState",
    }
}

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// A phase.
    Phase(PhaseKind),
    /// [`Phase::Migrated`](super::super::Phase::Migrated), so well.
    Migrated(Outcome),
    /// A test.
    Test(TestKind),
    /// Nothing: the phase is as the other field says.
    Nothing,
}

/// One row: what a word of the service means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// Where the service says it.
    pub field: Field,
    /// The word, as the service spells it.
    pub word: &'static str,
    /// What it means.
    pub means: Means,
    /// Whose word it is.
    pub rule: Rule,
    /// How sure the meaning is.
    pub certainty: Certainty,
}

impl Meaning {
    const fn new(field: Field, word: &'static str, means: Means, rule: Rule) -> Self {
        Self { field, word, means, rule, certainty: Certainty::Stated }
    }

    const fn guessing(self, what: &'static str) -> Self {
        Self { certainty: Certainty::Guess(what), ..self }
    }
}

const fn migration(word: &'static str, means: Means) -> Meaning {
    Meaning::new(Field::MigrationState, word, means, SPECIFICATION)
}

const fn test_migrate(word: &'static str, test: TestKind) -> Meaning {
    Meaning::new(Field::TestMigrateState, word, Means::Test(test), SPECIFICATION)
}

const fn protection(word: &'static str, phase: PhaseKind) -> Meaning {
    Meaning::new(Field::ProtectionState, word, Means::Phase(phase), EXAMPLES)
}

/// A word of a sibling service.
const fn sibling(word: &'static str, phase: PhaseKind) -> Meaning {
    Meaning::new(Field::ProtectionState, word, Means::Phase(phase), SIBLING).guessing(FROM_SIBLING)
}

const fn test_failover(word: &'static str, test: TestKind) -> Meaning {
    Meaning::new(Field::TestFailoverState, word, Means::Test(test), EXAMPLES)
}

const AZURE_TO_AZURE: Rule = Rule {
    document: "Microsoft Learn, Set up disaster recovery for Azure virtual machines using Azure PowerShell",
    date: "undated, read 2026-11",
};
const SIBLING: Rule = Rule {
    document: "Bicep types of Microsoft.DataReplication, protectionState of replicated items",
    date: "undated, read 2026-11",
};
const FROM_SIBLING: &str = "that this service uses the word of its sibling service, in the same sense";

/// The table.
pub static MEANINGS: &[Meaning] = &[
    migration("None", Phase(P::NotEnabled)),
    migration("EnableMigrationInProgress", Phase(P::Enabling)),
    migration("EnableMigrationFailed", Phase(P::EnableFailed)),
    migration("DisableMigrationInProgress", Phase(P::Disabling)),
    migration("DisableMigrationFailed", Phase(P::DisableFailed)),
    migration("InitialSeedingInProgress", Phase(P::InitialReplication)),
    migration("InitialSeedingFailed", Phase(P::InitialReplicationFailed)),
    migration("Replicating", Phase(P::Replicating)),
    migration("MigrationInProgress", Phase(P::Migrating)),
    migration("MigrationSucceeded", Migrated(Outcome::Succeeded)),
    migration("MigrationCompletedWithInformation", Migrated(Outcome::WithInformation)),
    migration("MigrationPartiallySucceeded", Migrated(Outcome::Partially)),
    migration("MigrationFailed", Phase(P::MigrationFailed)),
    migration("ResumeInitiated", Phase(P::Resuming)),
    migration("ResumeInProgress", Phase(P::Resuming)),
    migration("SuspendingProtection", Phase(P::Pausing)),
    migration("ProtectionSuspended", Phase(P::Paused)),
    test_migrate("None", T::None),
    test_migrate("TestMigrationInProgress", T::InProgress),
    test_migrate("TestMigrationSucceeded", T::Succeeded),
    test_migrate("TestMigrationCompletedWithInformation", T::WithInformation),
    test_migrate("TestMigrationPartiallySucceeded", T::Partially),
    test_migrate("TestMigrationFailed", T::Failed),
    test_migrate("TestMigrationCleanupInProgress", T::CleanUpInProgress),
    Meaning::new(Field::ResyncState, "None", Nothing, SPECIFICATION),
    Meaning::new(Field::ResyncState, "PreparedForResynchronization", Phase(P::Resynchronizing), SPECIFICATION)
        .guessing("that deltas have stopped already when a resync is prepared"),
    Meaning::new(Field::ResyncState, "StartedResynchronization", Phase(P::Resynchronizing), SPECIFICATION),
    protection("Protected", P::Replicating),
    protection("PlannedFailoverCommitRequired", P::CommitPending),
    protection("UnplannedFailoverCommitPendingStatesBegin", P::CommitPending),
    protection("PlannedFailoverStatesBegin", P::Migrated)
        .guessing("that this is a committed failover: in the example its description says so, the word does not"),
    protection("EnablingProtection", P::Enabling).guessing("that it means the same for an item as in the examples, which are of a cluster"),
    sibling("EnablingFailed", P::EnableFailed),
    sibling("DisablingProtection", P::Disabling),
    sibling("DisablingFailed", P::DisableFailed),
    Meaning::new(Field::ProtectionState, "InitialReplicationInProgress", Phase(P::InitialReplication), AZURE_TO_AZURE)
        .guessing("that other machines have the word that the document shows for Azure's own"),
    sibling("InitialReplicationFailed", P::InitialReplicationFailed),
    sibling("PlannedFailoverInitiated", P::Migrating),
    sibling("PlannedFailoverCompleting", P::Migrating),
    sibling("PlannedFailoverFailed", P::MigrationFailed),
    sibling("UnplannedFailoverInitiated", P::Migrating),
    sibling("UnplannedFailoverCompleting", P::Migrating),
    sibling("UnplannedFailoverFailed", P::MigrationFailed),
    test_failover("None", T::None),
    test_failover("WaitingForCompletion", T::Succeeded),
    test_failover("MarkedForDeletion", T::None)
        .guessing("that nothing is left to wait for: its description is \"Cleaning up test environment\", and yet the example allows the next test"),
];

/// What a word means; none where it is not known.
pub(super) fn meaning(field: Field, word: &str) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|row| row.field == field && row.word == word)
}
