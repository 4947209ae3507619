//! One pass of replication: begun, fed (pull or push), sealed.
//!
//! **Pull** is [`Cycle::copy_from`]; **push** is [`Cycle::next_wanted`] and [`Cycle::push`], for callers who
//! read themselves. Pull is push plus readers: both take runs from the same queue and hand findings to the
//! same pipeline. Nothing is a recovery point before [`Cycle::seal`] returns.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::buffer_pool::Reserved;
use super::error::{Error, ReplicateError};
use super::growth::fit_to;
use super::lane::Passage;
use super::listed::{self, Verdict};
use super::pipeline::{Finding, Found, Pipeline, Work};
use super::plan::{Planner, Run};
use super::reader::{Reader, compare};
use super::rebuild;
use super::replica::{Replica, ReplicaShared, ReplicaState, blocking};
use super::seal;
use super::target_record::{MAX_CHANGE_ID, RecoveryPoint};
use super::thread;
use crate::checkpoint::{Change, OpenCycle, Record};
use crate::extent::{Extent, ExtentSet};
use crate::progress::{Counts, CycleKind, EventKind};
use crate::size::BlockSize;
use crate::source::{ChangeId, ChangeList, DiskSource, SourceError, SourceExtent};

/// What kind of pass the caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestedKind {
    /// What changed; everything, the first time.
    #[default]
    Delta,
    /// The same, on demand before cutover. Passes through a blackout of the schedule, as nothing else does.
    Final,
    /// Read the target back, trust nothing, compare everything.
    Resync,
}

impl RequestedKind {
    fn passage(self) -> Passage {
        match self {
            Self::Final => Passage::Always,
            Self::Delta | Self::Resync => Passage::Scheduled,
        }
    }
}

/// Whether the source may change while it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It is a point in time; one that cannot promise that is refused.
    #[default]
    PointInTime,
    /// It may change underneath; the recovery point is marked as not crash-consistent.
    Moving,
}

/// What a cycle is begun with.
#[derive(Clone, Debug, Default)]
pub struct CycleRequest {
    /// Kind of pass.
    pub kind: RequestedKind,
    /// What changed, as the hypervisor says. Used only if it starts at the change id of the last recovery
    /// point; otherwise the whole disk is compared, and the recovery point says why.
    pub changes: Option<ChangeList>,
    /// The hypervisor's id of the source's moment, kept with the recovery point for the next list to start
    /// from. `None`: the list's own end.
    pub change_id: Option<ChangeId>,
    /// Whether the source may change underneath.
    pub consistency: Consistency,
}

/// A disk whose bytes the caller pushes: a [`DiskSource`] without the reading.
#[derive(Clone, Debug)]
pub struct PushedDisk {
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// Which disk, if known.
    pub identity: Option<String>,
    /// Which moment of the disk: an interrupted cycle goes on only at the same one.
    pub point: Option<String>,
    /// Extents known to read as zero; everything else is asked for.
    pub zero: ExtentSet,
}

impl DiskSource for PushedDisk {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn identity(&self) -> Option<String> {
        self.identity.clone()
    }

    fn point(&self) -> Option<String> {
        self.point.clone()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let holes = self.zero.intersecting(range.clone()).map(SourceExtent::hole);
        let mut all: Vec<_> = holes.chain(self.zero.gaps(range).map(SourceExtent::data)).collect();
        all.sort_unstable_by_key(|described| described.extent);
        all.truncate(max);
        Ok(all)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let problem = "its bytes are pushed, not read".to_owned();
        Err(SourceError::Custom { offset, len: buf.len() as u64, problem })
    }
}

/// A cycle in progress. Dropping it stops it; what has settled stays, and the next cycle at the same moment
/// of the source goes on from there.
pub struct Cycle {
    shared: Arc<ReplicaShared>,
    source: Arc<dyn DiskSource>,
    consistency: Consistency,
    passage: Passage,
    runs: async_channel::Receiver<Run>,
    found: mpsc::UnboundedSender<Found>,
    /// Runs that were handed out to be pushed, by offset.
    wanted: Mutex<HashMap<u64, Run>>,
    stage: tokio::sync::Mutex<Stage>,
    number: u32,
    block_size: BlockSize,
    cancel: CancellationToken,
    started: tokio::time::Instant,
    _stop_on_drop: DropGuard,
}

/// How far the pipeline is.
enum Stage {
    Running(JoinHandle<(OwnedMutexGuard<ReplicaState>, Result<Record, Error>)>),
    Settled(OwnedMutexGuard<ReplicaState>, Box<Record>),
    Failed,
}

impl fmt::Debug for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cycle").field("replica", &self.shared.location).finish_non_exhaustive()
    }
}

impl Replica {
    /// Brings the replica in step with `source` and seals a recovery point: [`begin`](Self::begin),
    /// [`copy_from`](Cycle::copy_from) and [`seal`](Cycle::seal) in one call.
    ///
    /// Safe to repeat: an interrupted cycle goes on, a sealed one is followed by a delta.
    pub async fn replicate(
        &self,
        source: Arc<dyn DiskSource>,
        request: CycleRequest,
        cancel: &CancellationToken,
    ) -> Result<RecoveryPoint, Error> {
        let cycle = self.begin(Arc::clone(&source), request, cancel).await?;
        cycle.copy_from(source).await?;
        cycle.seal().await
    }

    /// Begins a cycle, or goes on with the interrupted one at the same moment of the source.
    ///
    /// `source` gives size, identity, moment and extents; its bytes are read only by
    /// [`Cycle::copy_from`]. For push, pass a [`PushedDisk`]. In a blackout of the schedule this waits for its
    /// end, unless the cycle is a final one.
    pub async fn begin(
        &self,
        source: Arc<dyn DiskSource>,
        request: CycleRequest,
        cancel: &CancellationToken,
    ) -> Result<Cycle, Error> {
        begin(&self.shared, source, request, None, cancel).await
    }
}

/// Begins a cycle; `roll_back` says that it takes the target back, to a moment with that change id.
pub(super) async fn begin(
    shared: &Arc<ReplicaShared>,
    source: Arc<dyn DiskSource>,
    request: CycleRequest,
    roll_back: Option<RollBackTo>,
    cancel: &CancellationToken,
) -> Result<Cycle, Error> {
    let started = tokio::time::Instant::now();
    let consistency = request.consistency;
    if source.point().is_none() && consistency == Consistency::PointInTime {
        return Err(ReplicateError::MovingSource.into());
    }
    let passage = request.kind.passage();
    // Before the lock, so that a final cycle can pass the one that waits here.
    shared.open(passage, cancel).await?;
    let mut state = shared.lock().await?;
    let mut record = shared.record().await?;
    seal::adopt_given_up(shared, &mut state, &mut record, cancel).await?;
    let was_interrupted = record.open.is_some();
    fit_to(shared, &mut state, &mut record, &*source, cancel).await?;
    let mut request = request;
    if was_interrupted && let Some(list) = request.changes.take() {
        let size = source.size_bytes();
        request.changes = Some(listed::with_what_moved(shared, &state.remote, &record, list, size, cancel).await?);
    }
    let (record, listed) = blocking({
        let (shared, source) = (Arc::clone(shared), Arc::clone(&source));
        move || {
            let listed = prepare(&shared, &mut record, &*source, request, roll_back)?;
            Ok::<_, Error>((record, listed))
        }
    })
    .await?;
    let open = record.open.as_ref().expect("just prepared").clone();
    shared.commit(&record, Change::default()).await?;

    // From here on the target may differ from what is sealed, and only this attempt may write to it.
    state.remote.unsealed_writes = true;
    shared.publish(&state.remote, cancel).await?;
    state.attempt += 1;
    let sequence = state.sequence();
    shared.call(cancel, || shared.target.raise_sequence(sequence, shared.lease)).await?;

    if open.kind == CycleKind::Resync && open.counts == Counts::default() {
        let read_back = rebuild::read_back(shared, &record, cancel).await?;
        shared.event(EventKind::MapRebuilt { reason: "resync".into(), read_back });
    }
    if let Some(reason) = open.list_ignored.clone() {
        shared.event(EventKind::ChangeListIgnored { reason });
    }
    let disk = record.disk();
    let resumed = open.counts.done();
    shared.event(EventKind::CycleStarted { cycle: open.number, kind: open.kind, disk: disk.bytes, resumed });

    let cancel = cancel.child_token();
    let (runs_in, runs) = async_channel::unbounded();
    let (found, found_out) = mpsc::unbounded_channel();
    let planner = Planner {
        source: Arc::clone(&source),
        checkpoint: Arc::clone(&shared.checkpoint),
        disk,
        blank: record.blank,
        listed,
        run_bytes: shared.engine.run_bytes(disk.block_size, shared.target.capabilities()),
        left: open.done.missing(disk.windows()).iter().collect(),
    };
    let pipeline = Pipeline {
        shared: Arc::clone(shared),
        record,
        fence: shared.fence(&state),
        disk,
        passage,
        cancel: cancel.clone(),
        runs: runs_in,
        found: found_out,
        work: Work::default(),
    };
    let pipeline = tokio::spawn(async move {
        let result = pipeline.run(planner).await;
        (state, result)
    });
    Ok(Cycle {
        shared: Arc::clone(shared),
        source,
        consistency,
        passage,
        runs,
        found,
        wanted: Mutex::default(),
        stage: tokio::sync::Mutex::new(Stage::Running(pipeline)),
        number: open.number,
        block_size: disk.block_size,
        started,
        _stop_on_drop: cancel.clone().drop_guard(),
        cancel,
    })
}

/// What a roll-back cycle keeps of the recovery point that it goes back to.
#[derive(Clone, Debug)]
pub(super) struct RollBackTo {
    pub(super) change_id: Option<String>,
    /// The blocks that differ, in bytes.
    pub(super) differs: ExtentSet,
}

/// Decides number, kind and plan of the cycle, and whether an interrupted one goes on. Blocking: it may ask
/// the source for its extents.
fn prepare(
    shared: &ReplicaShared,
    record: &mut Record,
    source: &dyn DiskSource,
    request: CycleRequest,
    roll_back: Option<RollBackTo>,
) -> Result<Option<ExtentSet>, Error> {
    let kind = match (request.kind, &record.sealed) {
        _ if roll_back.is_some() => CycleKind::RollBack,
        (RequestedKind::Resync, _) => CycleKind::Resync,
        (_, None) => CycleKind::Initial,
        (RequestedKind::Delta, Some(_)) => CycleKind::Delta,
        (RequestedKind::Final, Some(_)) => CycleKind::Final,
    };
    let list_end = request.changes.as_ref().map(|list| list.end().clone());
    let change_id = match &roll_back {
        Some(to) => to.change_id.clone(),
        None => request.change_id.or(list_end).map(|id| id.as_str().to_owned()),
    };
    if let Some(len) = change_id.as_ref().map(String::len).filter(|len| *len > MAX_CHANGE_ID) {
        return Err(ReplicateError::ChangeIdTooLong { len, max: MAX_CHANGE_ID }.into());
    }
    let (listed, list_ignored, compare_again) = match (roll_back, request.changes) {
        (Some(to), _) => (Some(to.differs), None, false),
        (None, None) => (None, None, false),
        (None, Some(list)) => {
            match listed::judge(&list, kind, record, change_id.as_deref(), source, &shared.checkpoint)? {
                Verdict::Believed(changed) => (Some(changed), None, false),
                Verdict::Unusable(reason) => (None, Some(reason), false),
                Verdict::Wrong(reason) => (None, Some(reason), true),
            }
        }
    };
    record.strayed |= matches!(kind, CycleKind::RollBack | CycleKind::Resync);
    let point = source.point();
    let number =
        record.open.as_ref().map_or_else(|| 1 + record.sealed.as_ref().map_or(0, |s| s.cycle), |open| open.number);
    let goes_on = !compare_again
        && record.open.as_ref().is_some_and(|open| {
            open.kind == kind && open.point.is_some() && open.point == point && open.change_id == change_id
        });
    if !goes_on {
        record.open = Some(OpenCycle {
            number,
            kind,
            point,
            change_id,
            consistent: request.consistency == Consistency::PointInTime,
            list_ignored,
            done: Default::default(),
            counts: Counts::default(),
            sealing: None,
        });
    }
    tracing::debug!(replica = %shared.location, cycle = number, ?kind, goes_on, "cycle prepared");
    Ok(listed)
}

impl Cycle {
    /// Reads `source` and feeds everything that the cycle wants. Returns when all of it is at the target
    /// and settled.
    ///
    /// `source` is the one that the cycle was begun with. Cancellation is by the token given to begin, and
    /// by dropping the cycle; a read of the source that hangs does not hold it up.
    pub async fn copy_from(&self, source: Arc<dyn DiskSource>) -> Result<(), Error> {
        let readers = self.shared.engine.options.readers.min(source.limits().max_in_flight).max(1);
        for _ in 0..readers {
            Reader {
                source: Arc::clone(&source),
                engine: Arc::clone(&self.shared.engine),
                lane: Arc::clone(&self.shared.retry.lane),
                runs: self.runs.clone(),
                found: self.found.clone(),
                block_size: self.block_size,
                passage: self.passage,
                cancel: self.cancel.clone(),
            }
            .start();
        }
        self.settled().await
    }

    /// The next extent to push, in bytes of the source; `None` when everything was handed out.
    ///
    /// At most 1 GiB of the disk is handed out ahead of what was pushed. In a blackout of the schedule nothing
    /// is handed out, unless the cycle is a final one. Cancel-safe; may be called from several tasks.
    pub async fn next_wanted(&self) -> Result<Option<Extent>, Error> {
        let next = async {
            self.shared.retry.lane.open(self.passage).await;
            self.runs.recv().await
        };
        let run = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(self.settled().await.err().unwrap_or(ReplicateError::Cancelled.into())),
            () = self.shared.health.lost() => return Err(self.shared.lost().await),
            run = next => run,
        };
        let Ok(run) = run else {
            // Closed: all was handed out, or the pipeline has failed.
            let mut stage = self.stage.lock().await;
            if matches!(&*stage, Stage::Running(pipeline) if pipeline.is_finished()) {
                self.join(&mut stage).await?;
            }
            return Ok(None);
        };
        let end = (run.offset + run.len as u64).min(self.source.size_bytes());
        let extent = Extent::from_range(run.offset..end);
        self.wanted().insert(run.offset, run);
        Ok(extent)
    }

    /// Pushes the bytes of an extent that [`next_wanted`](Self::next_wanted) returned, in any order. Waits
    /// while the memory limit is reached. The bytes are not copied, and are released once they are at the
    /// target.
    pub async fn push(&self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        let run = self.take_wanted(offset, bytes.len() as u64)?;
        let permit = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(ReplicateError::Cancelled.into()),
            permit = self.shared.engine.pool.reserve(run.len) => permit,
        };
        let compared = self.comparison(run, bytes, permit);
        let finding = blocking(move || Ok::<_, Error>(compared())).await?;
        if self.found.send(Ok(finding)).is_err() {
            self.settled().await?;
        }
        Ok(())
    }

    /// Pushes as [`push`](Self::push) does, but never waits: gives the bytes back when the memory limit is reached,
    /// to be pushed again when there is [`room`](Self::room). What fails later is told by the calls that follow, the
    /// seal at the latest. Needs a tokio runtime around it.
    pub fn try_push(&self, offset: u64, bytes: Bytes) -> Result<Option<Bytes>, Error> {
        let run = self.take_wanted(offset, bytes.len() as u64)?;
        let Some(permit) = self.shared.engine.pool.try_reserve(run.len) else {
            self.wanted().insert(offset, run);
            return Ok(Some(bytes));
        };
        let (found, compared) = (self.found.clone(), self.comparison(run, bytes, permit));
        // A pipeline that has ended says why when it is next asked.
        thread::spawn_blocking(move || found.send(Ok(compared())).ok());
        Ok(None)
    }

    /// Waits until there is memory for a push; another caller may be faster. Cancel-safe.
    pub async fn room(&self) -> Result<(), Error> {
        let engine = &self.shared.engine;
        let longest = engine.options.run_bytes.max(self.block_size.bytes()) as usize;
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ReplicateError::Cancelled.into()),
            _ = engine.pool.reserve(longest) => Ok(()),
        }
    }

    /// Makes the cycle a recovery point: footer, digest tree, snapshot. Waits until everything that was
    /// pushed has settled. Until this returns nothing counts; if it fails, it can be repeated by a cycle at
    /// the same moment, which then has nothing left to read.
    pub async fn seal(self) -> Result<RecoveryPoint, Error> {
        if !self.wanted().is_empty() {
            return Err(ReplicateError::Incomplete.into());
        }
        tokio::select! {
            biased;
            settled = self.settled() => settled?,
            Ok(_) = self.runs.recv() => return Err(ReplicateError::Incomplete.into()),
        }
        let Stage::Settled(mut state, record) = self.stage.into_inner() else {
            return Err(ReplicateError::Internal { problem: "the cycle has failed before".into() }.into());
        };
        let expected = record.open.as_ref().and_then(|open| open.point.clone());
        if self.consistency == Consistency::PointInTime && self.source.point() != expected {
            return Err(ReplicateError::SourceChanged.into());
        }
        let (number, shared) = (record.open.as_ref().map_or(0, |open| open.number), &self.shared);
        match seal::seal(shared, &mut state, *record, self.passage, self.started, &self.cancel).await {
            Ok(point) => Ok(point),
            Err(e) => {
                shared.event(EventKind::Stopped { cycle: number, code: e.code().into(), error: e.to_string() });
                Err(e)
            }
        }
    }

    /// Ends when everything is settled, or with why it is not.
    async fn settled(&self) -> Result<(), Error> {
        let mut stage = self.stage.lock().await;
        self.join(&mut stage).await
    }

    async fn join(&self, stage: &mut Stage) -> Result<(), Error> {
        let Stage::Running(pipeline) = stage else {
            return match stage {
                Stage::Failed => Err(ReplicateError::Internal { problem: "the cycle has failed before".into() }.into()),
                _ => Ok(()),
            };
        };
        let ended = tokio::select! {
            biased;
            ended = pipeline => ended,
            // The pipeline ends by itself soon; nobody has to wait for that.
            () = self.cancel.cancelled() => {
                *stage = Stage::Failed;
                return Err(self.stopped(ReplicateError::Cancelled.into()));
            }
        };
        let (next, result) = match ended {
            Ok((state, Ok(record))) => (Stage::Settled(state, Box::new(record)), Ok(())),
            Ok((_, Err(e))) => (Stage::Failed, Err(self.stopped(e))),
            Err(e) => {
                let problem = format!("the pipeline ended early: {e}");
                (Stage::Failed, Err(self.stopped(ReplicateError::Internal { problem }.into())))
            }
        };
        *stage = next;
        result
    }

    /// The work that tells what of a pushed run has to be sent. It takes the processor's time, so it is for a thread
    /// that may block.
    fn comparison(
        &self,
        run: Run,
        bytes: Bytes,
        permit: OwnedSemaphorePermit,
    ) -> impl FnOnce() -> Finding + Send + 'static {
        let (block_size, cost) = (self.block_size, self.shared.engine.options.request_cost);
        move || {
            let bytes = if bytes.len() == run.len {
                bytes
            } else {
                // The last run of a disk that is no whole number of MiB.
                let mut padded = bytes.to_vec();
                padded.resize(run.len, 0);
                padded.into()
            };
            compare(run, &Bytes::from_owner(Reserved { bytes, _permit: permit }), block_size, cost)
        }
    }

    fn stopped(&self, e: Error) -> Error {
        self.shared.event(EventKind::Stopped { cycle: self.number, code: e.code().into(), error: e.to_string() });
        e
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<u64, Run>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_wanted(&self, offset: u64, len: u64) -> Result<Run, ReplicateError> {
        let mut wanted = self.wanted();
        let expected = wanted.get(&offset).map(|run| (offset + run.len as u64).min(self.source.size_bytes()) - offset);
        match wanted.remove(&offset) {
            Some(run) if expected == Some(len) => Ok(run),
            refused => {
                wanted.extend(refused.map(|run| (offset, run)));
                Err(ReplicateError::NotWanted { offset, len })
            }
        }
    }
}
