//! Defects planted into the world on purpose. A simulation that does not find them is too weak.

/// What is wrong with the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Planted {
    /// Nothing.
    #[default]
    None,
    /// The service takes puts and clears whatever sequence number they carry.
    SequenceIgnored,
    /// Puts show in the newest snapshot, too.
    SnapshotMoves,
    /// The disk says that it has synced, and has not.
    DiskLies,
    /// The service acknowledges puts before it acts, and forgets some: what an engine would see that settles
    /// before the acknowledgement.
    EarlyAcknowledgement,
    /// The service's page-range diff leaves everything out.
    DiffLeavesOut,
    /// The tracker's change list leaves a block out.
    ListLeavesOut,
}
