//! One disk's replica. Open means: leased, recovered, fenced (`opening`).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::engine::EngineShared;
use super::error::{Error, ReplicateError};
use super::lane::{Load, Passage};
use super::lease_keeper::{LeaseHealth, LeaseKeeper};
use super::retry::Retry;
use super::target_reader::TargetReader;
use super::target_record::{ForcedTakeOver, TargetRecord, to_metadata};
use super::thread;
use crate::checkpoint::{Change, Checkpoint, CheckpointLock, Disk, Record};
use crate::progress::EventKind;
use crate::target::{ETag, Fence, LeaseId, PageTarget, TargetError, TargetState, View};

/// How often a change of the target is tried anew because the target changed in between.
const CHANGE_ATTEMPTS: u32 = 5;

/// The replica of one disk, open for writing by this process alone.
///
/// Dropping it stops the lease's renewal, so the lease runs out by itself; [`close`](Self::close) gives it
/// up at once.
#[derive(Debug)]
pub struct Replica {
    pub(super) shared: Arc<ReplicaShared>,
    pub(super) keeper: LeaseKeeper,
    /// Held where the target has no lease.
    pub(super) _alone: Option<CheckpointLock>,
}

#[derive(Debug)]
pub(super) struct ReplicaShared {
    pub(super) engine: Arc<EngineShared>,
    pub(super) target: Arc<dyn PageTarget>,
    pub(super) location: Arc<str>,
    pub(super) checkpoint: Arc<Checkpoint>,
    pub(super) retry: Retry,
    pub(super) lease: LeaseId,
    pub(super) owner: Owner,
    pub(super) health: LeaseHealth,
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
    /// Where the replica is, without secrets.
    pub fn location(&self) -> &str {
        &self.shared.location
    }

    /// Size of the replica's disk in bytes: the source's, rounded up to whole MiB.
    pub async fn disk_bytes(&self) -> u64 {
        self.shared.state.lock().await.remote.disk_bytes
    }

    /// The last time that an owner broke the lease of another to take the replica over.
    pub async fn last_forced_take_over(&self) -> Option<ForcedTakeOver> {
        self.shared.state.lock().await.remote.forced.clone()
    }

    /// Gives the lease up. What was settled stays; an open cycle is not sealed.
    pub async fn close(self) -> Result<(), Error> {
        let Self { shared, keeper, _alone } = self;
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
        self.call_under(None, cancel, attempt).await
    }

    /// The same, under the limits that `load` falls under.
    pub(super) async fn transfer<T, F>(
        &self,
        load: Load,
        cancel: &CancellationToken,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        self.call_under(Some(load), cancel, attempt).await
    }

    async fn call_under<T, F>(
        &self,
        load: Option<Load>,
        cancel: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        // Each attempt asks the clock: a process that was stopped for long wakes up in the middle of one.
        let attempts = self.retry.run_under(load, cancel, || {
            let attempt = self.health.is_held().then(&mut attempt);
            async {
                match attempt {
                    Some(attempt) => attempt.await,
                    None => std::future::pending().await,
                }
            }
        });
        tokio::select! {
            biased;
            () = self.health.lost() => Err(self.lost().await),
            result = attempts => result,
        }
    }

    /// Waits while what passes so must not send, until cancelled or the lease is lost.
    pub(super) async fn open(&self, passage: Passage, cancel: &CancellationToken) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ReplicateError::Cancelled.into()),
            () = self.health.lost() => Err(self.lost().await),
            () = self.retry.lane.open(passage) => Ok(()),
        }
    }

    /// Why the lease was lost.
    pub(super) async fn lost(&self) -> Error {
        self.health.error(&self.location).await
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
        let is_written = |found: &Found| (found.record == *remote).then_some(());
        self.change(cancel, is_written, |etag| {
            let metadata = &metadata;
            async move { self.target.set_metadata(metadata, self.lease, &etag).await }
        })
        .await
    }

    /// Changes something of the target other than its pages, on condition that it is still as it was found
    /// and ours: a service may carry out a request that was given up long ago, and that must change nothing.
    ///
    /// `is_done` recognises a change whose answer was lost.
    pub(super) async fn change<T, F>(
        &self,
        cancel: &CancellationToken,
        is_done: impl Fn(&Found) -> Option<T>,
        change: impl Fn(ETag) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        let mut attempts = 0;
        loop {
            let found = self.find(cancel).await?;
            if let Some(done) = is_done(&found) {
                return Ok(done);
            }
            attempts += 1;
            match self.call(cancel, || change(found.state.etag.clone())).await {
                // A late duplicate of one of our own writes came in between; what else there may be ends here.
                Err(Error::Target(TargetError::Changed { .. })) if attempts < CHANGE_ATTEMPTS => {}
                result => return result,
            }
        }
    }

    /// Makes every request of ours void that is still under way, and reads what the target says of itself: a
    /// seal that was given up may have been finished.
    pub(super) async fn look_again(&self, state: &mut ReplicaState, cancel: &CancellationToken) -> Result<(), Error> {
        // Changes the ETag, which everything that changes more than pages has to name.
        state.attempt += 1;
        let sequence = state.sequence();
        self.call(cancel, || self.target.raise_sequence(sequence, self.lease)).await?;
        state.remote = self.find(cancel).await?.record;
        Ok(())
    }

    /// What is at the target, which must still be under our name.
    pub(super) async fn find(&self, cancel: &CancellationToken) -> Result<Found, Error> {
        let operation = "read the state";
        let state = self.call(cancel, || self.target.state()).await?.ok_or_else(|| TargetError::NotFound {
            operation,
            location: self.location.to_string(),
            reason: "it was deleted while it was open".into(),
        })?;
        let record = TargetRecord::from_metadata(&state.metadata, &self.location)?;
        if let Some(reason) = self.owner.words_of_another(&record) {
            return Err(TargetError::Fenced { operation, location: self.location.to_string(), reason }.into());
        }
        Ok(Found { state, record })
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

/// The target as it is now.
pub(super) struct Found {
    pub(super) state: TargetState,
    pub(super) record: TargetRecord,
}

/// Under which name and number we own the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: Uuid,
    pub(super) generation: u32,
}

impl Owner {
    /// What to say when `record` names another owner.
    pub(super) fn words_of_another(self, record: &TargetRecord) -> Option<String> {
        let (now, ours) = (record.generation, self.generation);
        (record.owner != self.name).then(|| format!("it is of generation {now} now, ours is {ours}"))
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
