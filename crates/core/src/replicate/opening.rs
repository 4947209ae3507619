//! Opening a replica: step 0 of the protocol (guide, "The protocol").
//!
//! 1. open the local database, exclusively;
//! 2. take the lease: under the id of the last owner when the database is at hand, so that a process that
//!    was killed is followed at once, then under a new one; by force only on explicit order, and then that is
//!    written down;
//! 3. write a new owner and a higher generation to the target, on condition of the `ETag` that was read, and
//!    raise the sequence number that goes with it: from here on no write of an earlier owner can land;
//! 4. trust the local map only if the target was still under the name of its last owner; otherwise rebuild.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::engine::{DiskDescription, EngineShared};
use super::error::{Error, ReplicateError};
use super::garbage;
use super::growth::finish_growth;
use super::history;
use super::lease_keeper::{HeldLease, LeaseHealth, LeaseKeeper, TargetLease};
use super::rebuild;
use super::replica::{Owner, Replica, ReplicaShared, ReplicaState, blocking};
use super::retry::Retry;
use super::seal;
use super::target_record::{ForcedTakeOver, TargetRecord, to_metadata};
use crate::checkpoint::{Blank, Change, Checkpoint, CheckpointError, CheckpointLock, FORMAT, Record};
use crate::progress::EventKind;
use crate::size::{BlockSize, replica_len};
use crate::target::{FOOTER_BYTES, LeaseId, LeaseKind, PageTarget, TargetError, TargetRoute, TargetState};

/// How long a cycle of this process that has just failed, or was cancelled, may take to let the checkpoint go.
const LETTING_GO: Duration = Duration::from_secs(2);

/// How often a lease is broken that somebody else takes before we do.
const FORCED_ATTEMPTS: u32 = 3;

/// What to do about a writer that holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Wait for its term and a little more.
    WhenFree,
    /// Break it.
    ByForce,
}

/// Opens the replica at `target`, or creates it.
pub(super) async fn open(
    engine: &Arc<EngineShared>,
    target: Arc<dyn PageTarget>,
    disk: DiskDescription,
    entry: Entry,
    cancel: &CancellationToken,
) -> Result<Replica, Error> {
    let location: Arc<str> = target.location().into();
    let (engine, retry) = (Arc::clone(engine), engine.retry(&location));
    if target.capabilities().route == TargetRoute::Any {
        engine.events.record(&location, EventKind::PublicRouteAllowed);
    }
    Opening { engine, target, location, disk, entry, retry, cancel }.run().await
}

/// What opening needs from step to step.
struct Opening<'a> {
    engine: Arc<EngineShared>,
    target: Arc<dyn PageTarget>,
    location: Arc<str>,
    disk: DiskDescription,
    entry: Entry,
    retry: Retry,
    cancel: &'a CancellationToken,
}

/// The lease, taken and kept.
struct Taken {
    lease: LeaseId,
    health: LeaseHealth,
    /// Set once the target is under our name.
    owner: Arc<OnceLock<Owner>>,
    /// It was taken away from somebody.
    by_force: bool,
}

/// The target under our name.
struct Claim {
    remote: TargetRecord,
    target_len: u64,
    /// Who owned it before.
    previous: Uuid,
}

impl Opening<'_> {
    async fn run(self) -> Result<Replica, Error> {
        let disk_bytes =
            replica_len(self.disk.size_bytes).ok_or(ReplicateError::DiskSize { bytes: self.disk.size_bytes })?;
        let alone = self.be_alone().await?;
        let mut local = self.open_checkpoint().await?;
        if self.state().await?.is_none() {
            if let Some((checkpoint, _)) = &local {
                let (location, checkpoint) = (self.location.to_string(), checkpoint.path().display().to_string());
                return Err(ReplicateError::TargetGone { location, checkpoint }.into());
            }
            self.create(disk_bytes).await?;
        }
        let lease = LeaseId::random();
        let (at, by_force) = match &mut local {
            Some((checkpoint, record)) => self.follow(checkpoint, record, lease).await?,
            None => self.acquire(lease).await?,
        };
        let owner = Arc::new(OnceLock::new());
        let held = HeldLease {
            lease: TargetLease { target: Arc::clone(&self.target), id: lease },
            term: self.engine.options.lease_term,
            runs_out: self.target.capabilities().lease_runs_out(),
            owner: Arc::clone(&owner),
        };
        let (keeper, health) = LeaseKeeper::start(held, at);
        match self.claim_and_recover(local, Taken { lease, health, owner, by_force }).await {
            Ok(shared) => Ok(Replica { shared: Arc::new(shared), keeper, _alone: alone }),
            Err(e) => {
                // Best effort: an open that failed should not keep others out for a minute.
                let _ = tokio::time::timeout(Duration::from_secs(2), self.target.release_lease(lease)).await;
                Err(e)
            }
        }
    }

    /// Where the target has no lease, the checkpoint keeps a second writer out.
    async fn be_alone(&self) -> Result<Option<CheckpointLock>, Error> {
        if self.target.capabilities().lease != LeaseKind::None {
            return Ok(None);
        }
        let path = self.engine.checkpoint_path(&self.location);
        let path = path.ok_or_else(|| ReplicateError::NoFence { location: self.location.to_string() })?;
        blocking(move || CheckpointLock::take(&path)).await.map(Some)
    }

    async fn open_checkpoint(&self) -> Result<Option<(Checkpoint, Record)>, Error> {
        let patience = Instant::now() + LETTING_GO;
        loop {
            match self.try_to_open_checkpoint().await {
                Err(Error::Checkpoint(CheckpointError::InUse { .. })) if Instant::now() < patience => {
                    let pause = tokio::time::sleep(Duration::from_millis(20));
                    self.cancel.run_until_cancelled(pause).await.ok_or(ReplicateError::Cancelled)?;
                }
                result => return result,
            }
        }
    }

    async fn try_to_open_checkpoint(&self) -> Result<Option<(Checkpoint, Record)>, Error> {
        let Some(path) = self.engine.checkpoint_path(&self.location) else { return Ok(None) };
        blocking(move || {
            let Some(checkpoint) = Checkpoint::open(&path)? else { return Ok(None) };
            let record = checkpoint.record()?;
            Ok::<_, CheckpointError>(Some((checkpoint, record)))
        })
        .await
    }

    async fn state(&self) -> Result<Option<TargetState>, Error> {
        self.retry.run(self.cancel, || self.target.state()).await
    }

    /// Creates the target, empty. Whoever loses a race for it finds it made and goes on to the lease.
    async fn create(&self, disk_bytes: u64) -> Result<(), Error> {
        let block_size = self.engine.options.block_size.unwrap_or_else(|| BlockSize::for_disk(disk_bytes));
        let remote = TargetRecord {
            source_bytes: self.disk.size_bytes,
            source_identity: self.disk.identity.clone(),
            ..TargetRecord::new(disk_bytes, block_size)
        };
        let metadata = to_metadata(&remote);
        match self.retry.run(self.cancel, || self.target.create(disk_bytes + FOOTER_BYTES, &metadata)).await {
            Err(Error::Target(TargetError::AlreadyExists { .. })) => Ok(()),
            result => result,
        }
    }

    /// Takes the lease under the id of the last owner here, then under `lease`. A service may carry out late what was
    /// asked under the old id: a release, above all, would end the lease of whoever holds it under that id.
    ///
    /// Killed at any step, this is followed as quickly: the id that is noted is the one that may be held.
    async fn follow(
        &self,
        checkpoint: &Checkpoint,
        record: &mut Record,
        lease: LeaseId,
    ) -> Result<(Instant, bool), Error> {
        let last = LeaseId::from_uuid(record.lease);
        let (_, by_force) = self.acquire(last).await?;
        self.retry.run(self.cancel, || self.target.release_lease(last)).await?;
        record.lease = lease.into_uuid();
        checkpoint.commit(record, &Change::default())?;
        let (at, by_force_again) = self.acquire(lease).await?;
        Ok((at, by_force || by_force_again))
    }

    /// Takes the lease, waiting for a holder that may have died, or breaking its lease. The moment is that
    /// before the request that succeeded: the term is counted from there. Says whether a lease was broken.
    async fn acquire(&self, lease: LeaseId) -> Result<(Instant, bool), Error> {
        let term = self.engine.options.lease_term;
        let patience = Instant::now() + term + Duration::from_secs(5);
        let mut broken = 0;
        loop {
            let sent = Instant::now();
            let result = self.retry.run(self.cancel, || self.target.acquire_lease(lease, term)).await;
            match result {
                Ok(()) => return Ok((sent, broken > 0)),
                Err(Error::Target(TargetError::LeaseHeld { .. }))
                    if self.entry == Entry::ByForce && broken < FORCED_ATTEMPTS =>
                {
                    self.retry.run(self.cancel, || self.target.break_lease()).await?;
                    broken += 1;
                }
                Err(Error::Target(TargetError::LeaseHeld { .. }))
                    if Instant::now() < patience && self.target.capabilities().lease_runs_out() =>
                {
                    let pause = tokio::time::sleep(Duration::from_secs(1));
                    self.cancel.run_until_cancelled(pause).await.ok_or(ReplicateError::Cancelled)?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    async fn claim_and_recover(
        &self,
        local: Option<(Checkpoint, Record)>,
        taken: Taken,
    ) -> Result<ReplicaShared, Error> {
        let owner = Uuid::new_v4();
        let claim = self.claim(owner, &taken, local.as_ref().map(|(checkpoint, record)| (checkpoint, record))).await?;
        let owner = *taken.owner.get_or_init(|| Owner { name: owner, generation: claim.remote.generation });
        if taken.by_force {
            let generation = owner.generation;
            self.engine.events.record(&self.location, EventKind::TakenOverByForce { generation });
        }
        let (checkpoint, record, rebuild_because) = self.reconcile(local, &claim, taken.lease).await?;
        let shared = ReplicaShared {
            engine: Arc::clone(&self.engine),
            target: Arc::clone(&self.target),
            location: Arc::clone(&self.location),
            checkpoint: Arc::new(checkpoint),
            retry: self.retry.clone(),
            lease: taken.lease,
            owner,
            health: taken.health,
            state: Arc::new(Mutex::new(ReplicaState {
                remote: claim.remote.clone(),
                target_len: claim.target_len,
                attempt: 0,
            })),
        };
        let mut record = record;
        finish_growth(&shared, &mut *shared.lock().await?, &mut record, self.cancel).await?;
        if let Some(reason) = rebuild_because {
            rebuild::rebuild(&shared, record, &claim.remote, reason, self.cancel).await?;
        }
        garbage::remove_unsealed(&shared, &claim.remote, self.cancel).await?;
        history::complete(&shared, &claim.remote, self.cancel).await?;
        shared.event(EventKind::Opened {
            generation: claim.remote.generation,
            sealed_cycle: claim.remote.sealed.as_ref().map(|seal| seal.cycle),
        });
        Ok(shared)
    }

    /// Writes our name on the target, then raises the sequence number that fences out everybody before.
    async fn claim(&self, owner: Uuid, taken: &Taken, local: Option<(&Checkpoint, &Record)>) -> Result<Claim, Error> {
        let lease = taken.lease;
        loop {
            let state = self.state().await?.ok_or_else(|| TargetError::NotFound {
                operation: "open replica",
                location: self.location.to_string(),
                reason: "it was deleted while it was being opened".into(),
            })?;
            let before = TargetRecord::from_metadata(&state.metadata, &self.location)?;
            self.check(&before, &state, local)?;
            if let Some((checkpoint, record)) = local {
                let intent = record.about_to_own(before.owner, owner);
                checkpoint.commit(&intent, &Change::default())?;
            }
            let generation = before.generation + 1;
            let forced = ForcedTakeOver { generation, at: Timestamp::now() };
            let forced = taken.by_force.then_some(forced).or_else(|| before.forced.clone());
            let remote = TargetRecord { generation, owner, forced, ..before.clone() };
            let metadata = to_metadata(&remote);
            let written = self.retry.run(self.cancel, || self.target.set_metadata(&metadata, lease, &state.etag)).await;
            let (remote, previous) = match written {
                Ok(()) => (remote, before.owner),
                // The answer to our own write may have been lost, and its repetition found a new ETag.
                Err(Error::Target(TargetError::Changed { .. })) => {
                    let now = self.state().await?.map(|s| TargetRecord::from_metadata(&s.metadata, &self.location));
                    match now.transpose()? {
                        Some(now) if now.owner == owner => (now, before.owner),
                        _ => continue,
                    }
                }
                Err(e) => return Err(e),
            };
            let sequence = u64::from(remote.generation) << 32;
            self.retry.run(self.cancel, || self.target.raise_sequence(sequence, lease)).await?;
            return Ok(Claim { remote, target_len: state.len, previous });
        }
    }

    /// Refuses what is not this disk's replica, before anything is written.
    fn check(
        &self,
        remote: &TargetRecord,
        state: &TargetState,
        local: Option<(&Checkpoint, &Record)>,
    ) -> Result<(), Error> {
        let location = || self.location.to_string();
        if let Some((checkpoint, record)) = local
            && record.replication != remote.replication
        {
            return Err(CheckpointError::OtherReplication {
                path: checkpoint.path().to_path_buf(),
                found: record.replication.to_string(),
                expected: remote.replication.to_string(),
            }
            .into());
        }
        if let (Some(expected), Some(found)) = (&remote.source_identity, &self.disk.identity)
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(ReplicateError::OtherDisk { location: location(), expected, found }.into());
        }
        if self.disk.size_bytes < remote.source_bytes {
            let (before, now) = (remote.source_bytes, self.disk.size_bytes);
            return Err(ReplicateError::DiskShrank { location: location(), before, now }.into());
        }
        let pages = (state.sequence >> 32) as u32;
        if remote.generation < pages {
            return Err(ReplicateError::RolledBack { location: location(), metadata: remote.generation, pages }.into());
        }
        let expected = remote.disk_bytes + FOOTER_BYTES;
        let before_growth = remote.grown_from.map(|bytes| bytes + FOOTER_BYTES);
        if state.len != expected && Some(state.len) != before_growth {
            return Err(ReplicateError::TargetSize { location: location(), expected, found: state.len }.into());
        }
        Ok(())
    }

    /// The checkpoint that goes with the claimed target, and why its map must be rebuilt, if it must.
    async fn reconcile(
        &self,
        local: Option<(Checkpoint, Record)>,
        claim: &Claim,
        lease: LeaseId,
    ) -> Result<(Checkpoint, Record, Option<&'static str>), Error> {
        let remote = &claim.remote;
        let fresh = Record {
            format: FORMAT,
            replication: remote.replication,
            location: self.location.to_string(),
            disk_bytes: remote.disk_bytes,
            source_bytes: remote.source_bytes,
            block_bytes: remote.block_bytes,
            source_identity: remote.source_identity.clone(),
            owner: remote.owner,
            next_owner: None,
            lease: lease.into_uuid(),
            blank: Blank::Unknown,
            footer_for: remote.footer_for,
            sealed: remote.sealed.clone(),
            strayed: remote.unsealed_writes,
            open: None,
        };
        let Some((checkpoint, record)) = local else {
            let path = self.engine.checkpoint_path(&self.location);
            let created = fresh.clone();
            let checkpoint = blocking(move || match path {
                Some(path) => Checkpoint::create(&path, &created),
                None => Checkpoint::in_memory(&created),
            })
            .await?;
            return Ok((checkpoint, fresh, Some("there is no checkpoint on this machine")));
        };
        if !record.knows(claim.previous) {
            return Ok((checkpoint, fresh, Some("another process owned the replica in between")));
        }
        let mut record = Record { owner: remote.owner, next_owner: None, ..record };
        if record.sealed != remote.sealed && !seal::adopt(&mut record, remote) {
            return Ok((checkpoint, fresh, Some("the target has another last recovery point than the checkpoint")));
        }
        // Our own last owner, and yet it cannot be: somebody put an older copy of the target in its place, or
        // the checkpoint says nonsense. A crash just after an open cycle was noted looks the same, and costs
        // little here: nothing had been written since the sealed map.
        if record.block_bytes != remote.block_bytes
            || record.disk_bytes > remote.disk_bytes
            || (record.open.is_some() && !remote.unsealed_writes)
        {
            return Ok((checkpoint, fresh, Some("the target is not as the checkpoint left it")));
        }
        checkpoint.commit(&record, &Change::default())?;
        Ok((checkpoint, record, None))
    }
}
