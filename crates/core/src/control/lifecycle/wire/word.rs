//! The service's enums of migration items.
//!
//! Source: Azure REST API specification, Site Recovery, service.json (2024-04-01); the values of 2025-08-01 are
//! the same. The words of protected items are plain strings in the specification, and are kept as strings.

use crate::control::open_enum::open_enum;

open_enum! {
    /// `migrationState`: where a migration is.
    pub enum MigrationState {
        /// Nothing replicates.
        None,
        /// Replication is being set up.
        EnableMigrationInProgress,
        /// It could not be set up.
        EnableMigrationFailed,
        /// Replication is being ended.
        DisableMigrationInProgress,
        /// It could not be ended.
        DisableMigrationFailed,
        /// The first pass.
        InitialSeedingInProgress,
        /// The first pass failed.
        InitialSeedingFailed,
        /// Deltas.
        Replicating,
        /// The cutover.
        MigrationInProgress,
        /// The machine is in Azure.
        MigrationSucceeded,
        /// The cutover failed.
        MigrationFailed,
        /// Replication is being taken up again.
        ResumeInProgress,
        /// Replication is about to be taken up again.
        ResumeInitiated,
        /// A pause has been asked for.
        SuspendingProtection,
        /// Paused.
        ProtectionSuspended,
        /// The machine is in Azure, and something should be read.
        MigrationCompletedWithInformation,
        /// The machine is in Azure in part.
        MigrationPartiallySucceeded,
    }
}

open_enum! {
    /// `testMigrateState`: where a test migration is.
    pub enum TestMigrateState {
        /// There is none.
        None,
        /// The test machine is being made.
        TestMigrationInProgress,
        /// It is there.
        TestMigrationSucceeded,
        /// It could not be made.
        TestMigrationFailed,
        /// It is being removed.
        TestMigrationCleanupInProgress,
        /// It is there, and something should be read.
        TestMigrationCompletedWithInformation,
        /// It is there in part.
        TestMigrationPartiallySucceeded,
    }
}

open_enum! {
    /// `resyncState`: where a resync is.
    pub enum ResyncState {
        /// There is none.
        None,
        /// It is to come.
        PreparedForResynchronization,
        /// It goes on.
        StartedResynchronization,
    }
}

open_enum! {
    /// One of `allowedOperations` of a migration item.
    pub enum MigrationItemOperation {
        /// DELETE: remove, or complete after the cutover.
        DisableMigration,
        /// Test migrate.
        TestMigrate,
        /// Clean up the test.
        TestMigrateCleanup,
        /// Cut over.
        Migrate,
        /// Resync.
        StartResync,
        /// Pause.
        PauseReplication,
        /// Resume.
        ResumeReplication,
    }
}
