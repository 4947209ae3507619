//! What can be asked for.

use crate::control::named::named;

named! {
    /// What can be asked for, in the order of a migration.
    pub enum Verb {
        /// Start to replicate.
        Enable = "enable",
        /// Change the settings of the target: name, size, networks, tags.
        Update = "update",
        /// Make a test machine from the replica.
        TestMigrate = "test_migrate",
        /// Remove the test machine.
        CleanUpTest = "clean_up_test",
        /// Cut over: the last delta, then the machine in Azure.
        Migrate = "migrate",
        /// Make a finished failover final. Hyper-V and agents only; `VMware`'s cutover is final by itself.
        Commit = "commit",
        /// End the migration after the cutover: the replica and what belongs to it go.
        Complete = "complete",
        /// Stop to replicate for a while.
        Pause = "pause",
        /// Go on, after a pause or after a cutover.
        Resume = "resume",
        /// Compare everything.
        Resync = "resync",
        /// Stop to replicate and drop the replica.
        Remove = "remove",
    }
}

named! {
    /// What can be chosen along with a verb, and has rules of its own.
    pub enum Choice {
        /// With [`Verb::Migrate`]: the service shuts the source down before the last delta.
        ShutDownSource = "shut_down_source",
        /// With [`Verb::Resume`]: what the cutover made in Azure is deleted first.
        DeleteTarget = "delete_target",
        /// With [`Verb::Remove`]: the service forgets the item, even if it cannot tidy up.
        Force = "force",
    }
}

impl Choice {
    /// The verb that it goes with.
    pub const fn verb(self) -> Verb {
        match self {
            Self::ShutDownSource => Verb::Migrate,
            Self::DeleteTarget => Verb::Resume,
            Self::Force => Verb::Remove,
        }
    }
}
