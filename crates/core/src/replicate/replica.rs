//! One disk's replica. Open means: leased, recovered, fenced.
//!
//! Opening follows step 0 of the protocol (guide, "The protocol"):
//!
//! 1. open the local database, exclusively;
//! 2. take the lease: under the id of the last owner when the database is at hand, so that a process that
//!    was killed is followed at once;
//! 3. write a new owner and a higher generation to the target, on condition of the `ETag` that was read, and
//!    set the sequence number that goes with it: from here on no write of an earlier owner can land;
//! 4. trust the local map only if the target was still under the name of its last owner; otherwise rebuild.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::engine::{DiskDescription, EngineShared};
use super::error::{Error, ReplicateError};
use super::growth::finish_growth;
use super::lease_keeper::{LeaseHealth, LeaseKeeper};
use super::rebuild;
use super::retry::Retry;
use super::target_reader::TargetReader;
use super::target_record::{self, TargetRecord, to_metadata};
use super::thread;
use crate::checkpoint::{Blank, Change, Checkpoint, CheckpointError, Disk, FORMAT, Record};
use crate::progress::EventKind;
use crate::size::{BlockSize, replica_len};
use crate::target::{FOOTER_BYTES, Fence, LeaseId, PageTarget, TargetError, TargetState, View};

/// The replica of one disk, open for writing by this process alone.
///
/// Dropping it stops the lease's renewal, so the lease runs out by itself; [`close`](Self::close) gives it
/// up at once.
#[derive(Debug)]
pub struct Replica {
    pub(super) shared: Arc<ReplicaShared>,
    keeper: LeaseKeeper,
}

#[derive(Debug)]
pub(super) struct ReplicaShared {
    pub(super) engine: Arc<EngineShared>,
    pub(super) target: Arc<dyn PageTarget>,
    pub(super) location: Arc<str>,
    pub(super) checkpoint: Arc<Checkpoint>,
    pub(super) retry: Retry,
    pub(super) lease: LeaseId,
    pub(super) health: Arc<LeaseHealth>,
    /// Held by the open cycle, so that there is one at a time.
    pub(super) state: Arc<Mutex<ReplicaState>>,
}

/// What changes while a replica is open.
#[derive(Debug)]
pub(super) struct ReplicaState {
    /// What the target says of itself, as last written by us.
    pub(super) remote: TargetRecord,
    /// The target's length.
    pub(super) target_len: u64,
    /// How many cycles were begun under this generation.
    pub(super) attempt: u32,
}

impl ReplicaState {
    /// The sequence number of this generation and attempt: a write of any earlier one is refused.
    pub(super) const fn sequence(&self) -> u64 {
        (self.remote.generation as u64) << 32 | self.attempt as u64
    }
}

impl Replica {
    pub(super) async fn open(
        engine: Arc<EngineShared>,
        target: Arc<dyn PageTarget>,
        disk: DiskDescription,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let location: Arc<str> = target.location().into();
        let opening = Opening { retry: engine.retry(&location), engine, target, location, disk, cancel };
        opening.run().await
    }

    /// Where the replica is, without secrets.
    pub fn location(&self) -> &str {
        &self.shared.location
    }

    /// Size of the replica's disk in bytes: the source's, rounded up to whole MiB.
    pub async fn disk_bytes(&self) -> u64 {
        self.shared.state.lock().await.remote.disk_bytes
    }

    /// Gives the lease up. What was settled stays; an open cycle is not sealed.
    pub async fn close(self) -> Result<(), Error> {
        let Self { shared, keeper } = self;
        drop(keeper);
        let never = CancellationToken::new();
        shared.retry.run(&never, || shared.target.release_lease(shared.lease)).await
    }
}

impl ReplicaShared {
    /// Runs one operation of the target, with retries, until it is done, cancelled, or the lease is lost.
    pub(super) async fn call<T, F>(&self, cancel: &CancellationToken, attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        tokio::select! {
            biased;
            () = self.health.lost() => Err(self.health.error(&self.location)),
            result = self.retry.run(cancel, attempt) => result,
        }
    }

    pub(super) fn event(&self, kind: EventKind) {
        self.engine.events.record(&self.location, kind);
    }

    pub(super) fn fence(&self, state: &ReplicaState) -> Fence {
        Fence { lease: self.lease, sequence: state.sequence() }
    }

    pub(super) fn reader(&self, view: View, disk: Disk) -> TargetReader<'_> {
        TargetReader { engine: &self.engine, target: &self.target, retry: &self.retry, view, disk }
    }

    pub(super) fn sealed_map_error(&self, cycle: u32, problem: String) -> ReplicateError {
        ReplicateError::SealedMap { location: self.location.to_string(), cycle, problem }
    }

    /// The state, for the one who changes it. A cycle that was just cancelled gives it back within moments.
    pub(super) async fn lock(&self) -> Result<OwnedMutexGuard<ReplicaState>, Error> {
        let lock = Arc::clone(&self.state).lock_owned();
        let open = ReplicateError::CycleOpen { location: self.location.to_string() };
        tokio::time::timeout(Duration::from_secs(2), lock).await.map_err(|_| open.into())
    }

    /// Writes what the target says of itself.
    pub(super) async fn publish(&self, remote: &TargetRecord, cancel: &CancellationToken) -> Result<(), Error> {
        let metadata = to_metadata(remote);
        self.call(cancel, || self.target.set_metadata(&metadata, self.lease, None)).await
    }

    pub(super) async fn record(&self) -> Result<Record, Error> {
        let checkpoint = Arc::clone(&self.checkpoint);
        blocking(move || checkpoint.record()).await
    }

    pub(super) async fn commit(&self, record: &Record, change: Change) -> Result<(), Error> {
        let (checkpoint, record) = (Arc::clone(&self.checkpoint), record.clone());
        blocking(move || checkpoint.commit(&record, &change)).await
    }
}

/// Runs blocking work on a thread for it.
pub(super) async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error>
where
    Error: From<E>,
{
    match thread::spawn_blocking(work).await {
        Ok(result) => result.map_err(Error::from),
        Err(e) => Err(ReplicateError::Internal { problem: format!("a blocking call ended early: {e}") }.into()),
    }
}

/// What opening needs from step to step.
struct Opening<'a> {
    engine: Arc<EngineShared>,
    target: Arc<dyn PageTarget>,
    location: Arc<str>,
    disk: DiskDescription,
    retry: Retry,
    cancel: &'a CancellationToken,
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
        let local = self.open_checkpoint().await?;
        if self.state().await?.is_none() {
            if let Some((checkpoint, _)) = &local {
                let (location, checkpoint) = (self.location.to_string(), checkpoint.path().display().to_string());
                return Err(ReplicateError::TargetGone { location, checkpoint }.into());
            }
            self.create(disk_bytes).await?;
        }
        let lease = local.as_ref().map_or_else(LeaseId::random, |(_, record)| LeaseId::from_uuid(record.lease));
        let taken = self.acquire(lease).await?;
        let keeper = LeaseKeeper::start(Arc::clone(&self.target), lease, self.engine.options.lease_term, taken);
        let result = self.claim_and_recover(local, lease, &keeper).await;
        match result {
            Ok(shared) => Ok(Replica { shared: Arc::new(shared), keeper }),
            Err(e) => {
                // Best effort: an open that failed should not keep others out for a minute.
                let _ = tokio::time::timeout(Duration::from_secs(2), self.target.release_lease(lease)).await;
                Err(e)
            }
        }
    }

    async fn open_checkpoint(&self) -> Result<Option<(Checkpoint, Record)>, Error> {
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
            format: target_record::FORMAT,
            replication: Uuid::new_v4(),
            generation: 0,
            owner: Uuid::new_v4(),
            disk_bytes,
            source_bytes: self.disk.size_bytes,
            block_bytes: block_size.bytes(),
            source_identity: self.disk.identity.clone(),
            grown_from: None,
            unsealed_writes: false,
            footer_for: None,
            sealed: None,
        };
        let metadata = to_metadata(&remote);
        match self.retry.run(self.cancel, || self.target.create(disk_bytes + FOOTER_BYTES, &metadata)).await {
            Err(Error::Target(TargetError::AlreadyExists { .. })) => Ok(()),
            result => result,
        }
    }

    /// Takes the lease, waiting for a holder that may have died. The moment is that before the request that
    /// succeeded: the term is counted from there.
    async fn acquire(&self, lease: LeaseId) -> Result<Instant, Error> {
        let term = self.engine.options.lease_term;
        let patience = Instant::now() + term + Duration::from_secs(5);
        loop {
            let sent = Instant::now();
            let result = self.retry.run(self.cancel, || self.target.acquire_lease(lease, term)).await;
            match result {
                Ok(()) => return Ok(sent),
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
        lease: LeaseId,
        keeper: &LeaseKeeper,
    ) -> Result<ReplicaShared, Error> {
        let owner = Uuid::new_v4();
        let claim = self.claim(owner, lease, local.as_ref().map(|(checkpoint, record)| (checkpoint, record))).await?;
        let (checkpoint, record, rebuild_because) = self.reconcile(local, &claim, lease).await?;
        let shared = ReplicaShared {
            engine: Arc::clone(&self.engine),
            target: Arc::clone(&self.target),
            location: Arc::clone(&self.location),
            checkpoint: Arc::new(checkpoint),
            retry: self.retry.clone(),
            lease,
            health: Arc::clone(keeper.health()),
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
        super::recovery_point::remove_unsealed(&shared, &claim.remote, self.cancel).await?;
        shared.event(EventKind::Opened {
            generation: claim.remote.generation,
            sealed_cycle: claim.remote.sealed.as_ref().map(|seal| seal.cycle),
        });
        Ok(shared)
    }

    /// Writes our name on the target, then raises the sequence number that fences out everybody before.
    async fn claim(&self, owner: Uuid, lease: LeaseId, local: Option<(&Checkpoint, &Record)>) -> Result<Claim, Error> {
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
            let remote = TargetRecord { generation: before.generation + 1, owner, ..before.clone() };
            let metadata = to_metadata(&remote);
            let written =
                self.retry.run(self.cancel, || self.target.set_metadata(&metadata, lease, Some(&state.etag))).await;
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
            self.retry.run(self.cancel, || self.target.set_sequence(sequence, lease)).await?;
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
        let sealing = record.open.as_ref().and_then(|open| open.sealing);
        if record.sealed != remote.sealed {
            if remote.sealed.as_ref().map(|seal| seal.root) != sealing || sealing.is_none() {
                return Ok((checkpoint, fresh, Some("the target has another last recovery point than the checkpoint")));
            }
            // The seal was finished at the target; only our own last commit was missing.
            record.sealed.clone_from(&remote.sealed);
            record.footer_for = remote.footer_for;
            record.strayed = false;
            record.open = None;
        }
        checkpoint.commit(&record, &Change::default())?;
        Ok((checkpoint, record, None))
    }
}
