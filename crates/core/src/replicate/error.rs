//! The one error that the front door returns.
//!
//! It names the control plane's errors too, which the engine never returns, so that a program that drives both
//! planes has one type and one catalogue.

use std::path::PathBuf;
use std::time::Duration;

use crate::checkpoint::CheckpointError;
use crate::control::arm::ArmError;
use crate::control::cutover::CutoverError;
use crate::control::lifecycle::Refusal;
use crate::control::plan::ApplyError;
use crate::error::{Diagnose, ErrorKind, diagnose};
use crate::private_link::PrivateLinkError;
use crate::schedule::ScheduleError;
use crate::source::nbd::NbdError;
use crate::source::{ChangeListError, SourceError};
use crate::target::TargetError;

/// Everything that a call of this library can fail with.
///
/// [`code`](Self::code), [`kind`](Self::kind) and [`remedy`](Self::remedy) say the same in every
/// language; the sentence names what failed, on what, and why. No error carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The local database failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The change list cannot be read.
    #[error(transparent)]
    ChangeList(#[from] ChangeListError),
    /// The schedule cannot be used.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A name or a route cannot be used.
    #[error(transparent)]
    PrivateLink(#[from] PrivateLinkError),
    /// Azure Resource Manager refused, failed, or was not to be reached.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// The step is not allowed in the state that the migration is in.
    #[error(transparent)]
    Lifecycle(#[from] Refusal),
    /// A plan could not be done.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A machine could not be made of its replicas.
    #[error(transparent)]
    Cutover(#[from] CutoverError),
    /// The engine's own.
    #[error(transparent)]
    Replicate(#[from] ReplicateError),
}

impl Error {
    /// Stable code: `area.what`.
    pub fn code(&self) -> &'static str {
        self.inner().code()
    }

    /// Whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        self.inner().kind()
    }

    /// Whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::Retryable
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        self.inner().remedy()
    }

    /// Every code with its kind and its remedy, for the catalogue.
    pub fn catalogue() -> impl Iterator<Item = (&'static str, ErrorKind, &'static str)> {
        [
            SourceError::CATALOGUE,
            NbdError::CATALOGUE,
            ChangeListError::CATALOGUE,
            TargetError::CATALOGUE,
            CheckpointError::CATALOGUE,
            ScheduleError::CATALOGUE,
            PrivateLinkError::CATALOGUE,
            ArmError::CATALOGUE,
            Refusal::CATALOGUE,
            ApplyError::CATALOGUE,
            CutoverError::CATALOGUE,
            ReplicateError::CATALOGUE,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    fn inner(&self) -> &dyn Diagnose {
        match self {
            Self::Source(e) => e,
            Self::Target(e) => e,
            Self::Checkpoint(e) => e,
            Self::ChangeList(e) => e,
            Self::Schedule(e) => e,
            Self::PrivateLink(e) => e,
            Self::Arm(e) => e,
            Self::Lifecycle(e) => e,
            Self::Apply(e) => e,
            Self::Cutover(e) => e,
            Self::Replicate(e) => e,
        }
    }
}

/// What can go wrong in the engine itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicateError {
    /// The caller cancelled. What has settled stays; the cycle can be resumed.
    #[error("cancelled; what has settled stays, and the next run goes on from there")]
    Cancelled,
    /// Something that may be tried again failed for too long.
    #[error("gave up after {failures} failures in {} s", elapsed.as_secs())]
    GaveUp {
        /// How many attempts failed.
        failures: u32,
        /// For how long.
        elapsed: Duration,
        /// The last failure.
        source: TargetError,
    },
    /// The lease could not be renewed in time, so writing was stopped before it ran out.
    #[error("the lease on {location} was not renewed for {} s; all writing stopped", without_answer.as_secs())]
    LeaseExpired {
        /// Where.
        location: String,
        /// How long the service did not answer.
        without_answer: Duration,
    },
    /// The disk cannot be replicated to a page blob.
    #[error("a disk of {bytes} bytes does not fit a page blob: 1 byte to 8 TiB less 1 MiB")]
    DiskSize {
        /// Its size.
        bytes: u64,
    },
    /// The disk is smaller than the replica.
    #[error(
        "the disk has {now} bytes, but {location} was made of {before} bytes: a disk that shrank needs a new replica"
    )]
    DiskShrank {
        /// Where the replica is.
        location: String,
        /// The size that it was made of.
        before: u64,
        /// The size now.
        now: u64,
    },
    /// Another disk than the replica's.
    #[error("{location} is the replica of disk {expected}, not of {found}")]
    OtherDisk {
        /// Where the replica is.
        location: String,
        /// Which disk it is of.
        expected: String,
        /// Which disk was given.
        found: String,
    },
    /// What is at the target was not made by this library, or by a newer version.
    #[error("{location} is not a replica that this version can use: {problem}")]
    NotAReplica {
        /// Where.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The target has another length than its own metadata says.
    #[error("{location} has {found} bytes, but its replica needs {expected}: somebody else resized it")]
    TargetSize {
        /// Where.
        location: String,
        /// Length that it should have.
        expected: u64,
        /// Length that it has.
        found: u64,
    },
    /// The target's metadata is older than its pages: somebody put it back.
    #[error(
        "the metadata of {location} is of generation {metadata}, but its pages were written under generation {pages}: \
         somebody put older metadata back"
    )]
    RolledBack {
        /// Where.
        location: String,
        /// Which owner the metadata is of.
        metadata: u32,
        /// Which owner the sequence number is of.
        pages: u32,
    },
    /// Nothing would keep a second writer out.
    #[error("{location} has no lease, and without a state folder nothing keeps a second writer out")]
    NoFence {
        /// Where.
        location: String,
    },
    /// There is a checkpoint, but no target.
    #[error("{location} does not exist any more, but the checkpoint {checkpoint} is of its replica")]
    TargetGone {
        /// Where it was.
        location: String,
        /// The checkpoint.
        checkpoint: String,
    },
    /// The source is no point in time.
    #[error("the source may change while it is read, so the recovery point would not be crash-consistent")]
    MovingSource,
    /// The source changed while it was read.
    #[error("the source changed while it was read; nothing was sealed")]
    SourceChanged,
    /// A cycle is open already.
    #[error("a cycle on {location} is already open in this process")]
    CycleOpen {
        /// Where.
        location: String,
    },
    /// Bytes were pushed that the cycle did not ask for.
    #[error("the cycle did not ask for {len} bytes at offset {offset}; push exactly what next_wanted returned")]
    NotWanted {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
    /// Seal was called before everything wanted was pushed.
    #[error("the cycle cannot be sealed: bytes that it asked for were not pushed")]
    Incomplete,
    /// There is no such recovery point.
    #[error("{location} has no recovery point of cycle {cycle}")]
    NoRecoveryPoint {
        /// Where.
        location: String,
        /// Which.
        cycle: u32,
    },
    /// A cycle wrote to the target and was not sealed.
    #[error("{location} may rightly differ from its last recovery point: a cycle has written to it and is not sealed")]
    UnsealedWrites {
        /// Where.
        location: String,
    },
    /// A proof cannot be written.
    #[error("cannot write the proof {}", path.display())]
    WriteProof {
        /// To which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The sealed digest map of a recovery point is missing or damaged.
    #[error("the digest map of cycle {cycle} at {location} cannot be used: {problem}")]
    SealedMap {
        /// Where.
        location: String,
        /// Which recovery point.
        cycle: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// The bytes of a recovery point's snapshot are not those that were sealed.
    #[error("the snapshot of cycle {cycle} at {location} is damaged in the block at offset {offset}")]
    DamagedSnapshot {
        /// Where.
        location: String,
        /// Which recovery point.
        cycle: u32,
        /// First byte of the first block that was found.
        offset: u64,
    },
    /// A change id is too long to be kept with the recovery point.
    #[error("the change id is {len} bytes long; at most {max} can be kept")]
    ChangeIdTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An option cannot be used.
    #[error("{option} cannot be {value}: {reason}")]
    Option {
        /// Which.
        option: &'static str,
        /// What was given.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// A part of the engine ended without an answer: a defect of ours or a panic of the caller's source.
    #[error("the engine stopped: {problem}")]
    Internal {
        /// What is known of it.
        problem: String,
    },
}

diagnose!(ReplicateError {
    Cancelled: "cycle.cancelled", Retryable, "run the same call again to go on";
    GaveUp: "target.gave_up", Retryable, "check the network and the service's health; run the same call again to go on";
    LeaseExpired: "target.lease_expired", Retryable, "check the network; run the same call again to go on";
    DiskSize: "replica.disk_size", Caller, "split the disk, or use a target that takes larger disks";
    DiskShrank: "replica.disk_shrank", Caller, "start a new replica under another name";
    OtherDisk: "replica.other_disk", Caller, "check which disk belongs to which replica";
    NotAReplica: "replica.not_a_replica", Caller, "choose another name, or use the version that made it; if somebody wiped or edited a replica's metadata, put it back or start a new replica";
    TargetSize: "replica.target_size", Fatal, "restore its size, or start a new replica";
    RolledBack: "replica.rolled_back", Caller, "put the newer metadata back, or start a new replica under another name: what the pages hold cannot be told any more";
    NoFence: "replica.no_fence", Caller, "name a state folder, on the one machine that writes to this target";
    TargetGone: "replica.target_gone", Caller, "check the URL; to start a new replica there, move the checkpoint away";
    MovingSource: "source.moving", Caller, "replicate a snapshot, or say that the source may change; the recovery point is then marked";
    SourceChanged: "source.changed", Fatal, "replicate a snapshot, or run the cycle again while nobody writes to the source";
    CycleOpen: "cycle.open", Caller, "finish or drop the other cycle first";
    NotWanted: "cycle.not_wanted", Caller, "push each extent that next_wanted returned once, with exactly its length";
    Incomplete: "cycle.incomplete", Caller, "push until next_wanted returns nothing, then seal";
    NoRecoveryPoint: "recovery_point.none", Caller, "list the recovery points and name one of them";
    UnsealedWrites: "replica.unsealed", Caller, "run the cycle to its seal first, or look at a recovery point";
    WriteProof: "proof.write", Fatal, "check that its folder exists, has room, and may be written by this process";
    SealedMap: "recovery_point.map", Fatal, "run a resync cycle: it reads the target back and seals a new map";
    DamagedSnapshot: "recovery_point.damaged", Fatal, "roll back to another recovery point, or run a cycle from the source; nothing was sealed";
    ChangeIdTooLong: "cycle.change_id", Caller, "keep the id elsewhere and pass a shorter name for it";
    Option: "engine.option", Caller, "correct the option";
    Internal: "engine.internal", Fatal, "report it with the log";
});
