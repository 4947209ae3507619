//! Doubt → write → settle: steps 1 to 4 of the protocol, and all concurrency of a cycle.
//!
//! ```text
//!  planner ──runs──▶ readers (threads: read, zero test, digest, diff) ──findings──▶ this task
//!  this task: [doubt commit] ──▶ puts and clears (many in flight) ──▶ [settle commit]
//! ```
//!
//! One task owns the windows, the record and the order of commits, so there is no lock to reason about.
//! Invariants:
//!
//! - a finding is sent only when each block that it changes is in doubt **durably**, or was unknown;
//! - a block leaves doubt only in the commit that also carries its new state, after the target has
//!   acknowledged (and flushed) every page of it;
//! - a commit that failed is the last one: what it was to carry is lost, and the doubt stays;
//! - one commit is under way at a time, and this task does not end before it has: so no commit of an
//!   earlier cycle can overtake a later one's.
//!
//! Memory: at most [`WINDOWS_AT_ONCE`] windows (0.6 MiB each at 4 KiB blocks), and buffers from the pool.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::lane::{Load, Passage};
use super::plan::{Planned, Planner, Run, WindowPlan};
use super::replica::{ReplicaShared, blocking};
use crate::checkpoint::{Change, Disk, Record};
use crate::digest::block::BlockState;
use crate::digest::map;
use crate::extent::{Extent, ExtentSet};
use crate::progress::{Counts, EventKind, Pace};
use crate::size::{MIB, PageRange};
use crate::target::Fence;

/// Windows that may have work under way.
const WINDOWS_AT_ONCE: usize = 8;

/// Acknowledged bytes that make a settle commit due: with what is in flight, the most that a crash sends
/// again.
const SETTLE_BYTES: u64 = 32 * MIB;

/// The longest that acknowledged bytes wait for a settle commit.
const SETTLE_AFTER: Duration = Duration::from_millis(250);

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What a run turned out to be: what to write, and what the blocks hold once it is written.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) window: u64,
    /// The blocks, by number on the disk.
    pub(super) blocks: Range<u64>,
    pub(super) old: Vec<BlockState>,
    pub(super) new: Vec<BlockState>,
    pub(super) puts: Vec<(PageRange, Bytes)>,
    pub(super) clears: Vec<PageRange>,
    pub(super) counts: Counts,
}

/// What the readers say.
pub(super) type Found = Result<Finding, Error>;

/// The pipeline's state.
pub(super) struct Pipeline {
    pub(super) shared: Arc<ReplicaShared>,
    pub(super) record: Record,
    pub(super) fence: Fence,
    pub(super) disk: Disk,
    pub(super) passage: Passage,
    pub(super) cancel: CancellationToken,
    pub(super) runs: async_channel::Sender<Run>,
    pub(super) found: mpsc::UnboundedReceiver<Found>,
    pub(super) work: Work,
}

/// What is where at the moment.
#[derive(Default)]
pub(super) struct Work {
    windows: BTreeMap<u64, Window>,
    /// Runs that the readers (or the caller who pushes) have.
    reading: usize,
    /// Findings that wait for their blocks to be in doubt.
    undoubted: Vec<Finding>,
    /// Requests ready to be sent, and the finding each belongs to.
    requests: VecDeque<(u64, Request)>,
    /// Findings with requests ready or under way.
    sending: BTreeMap<u64, Sending>,
    next_id: u64,
    /// Written, not yet settled.
    acknowledged: Vec<Settled>,
    acknowledged_bytes: u64,
    /// Counts of windows that are still open.
    open_counts: Counts,
    /// Windows were done since the last commit.
    done_since_commit: bool,
    planned_all: bool,
    /// A commit has failed: its changes are made here and not in the checkpoint, so nothing may be committed any
    /// more. It would take blocks out of doubt whose states were lost with the failed one.
    is_ahead: bool,
}

struct Window {
    states: Vec<BlockState>,
    /// Blocks in doubt.
    doubt: ExtentSet,
    /// `doubt` as it was when the last commit began.
    committed: ExtentSet,
    /// `doubt` as the last commit that has ended made it durable.
    durable: ExtentSet,
    /// Blocks were added to `doubt` since the last commit began: somebody waits for them.
    more_doubt: bool,
    /// Runs and hole clears that have not settled.
    unsettled: usize,
    counts: Counts,
}

#[derive(Debug)]
enum Request {
    Put(PageRange, Bytes),
    Clear(PageRange),
}

struct Sending {
    left: usize,
    settles: Settled,
}

/// Blocks of a window and what they hold now.
struct Settled {
    window: u64,
    blocks: Range<u64>,
    new: Vec<BlockState>,
    bytes: u64,
    counts: Counts,
}

impl Pipeline {
    /// Runs until every window is settled; the record is committed. On failure or cancellation, what has
    /// been acknowledged is settled if that takes no time, and the rest stays in doubt.
    pub(super) async fn run(mut self, planner: Planner) -> Result<Record, Error> {
        let mut commit: Option<JoinHandle<Result<(), Error>>> = None;
        let mut sends: JoinSet<(u64, Result<(), Error>)> = JoinSet::new();
        let result = self.drive(planner, &mut commit, &mut sends).await;
        self.runs.close();
        sends.abort_all();
        if let Some(commit) = commit {
            // Never leave a commit behind that could overtake the next cycle's.
            self.work.is_ahead |= !matches!(commit.await, Ok(Ok(())));
        }
        if result.is_err() && !self.work.is_ahead {
            let settle = self.commit_job(true);
            let _ = tokio::time::timeout(Duration::from_millis(700), settle).await;
        }
        result.map(|()| self.record)
    }

    async fn drive(
        &mut self,
        planner: Planner,
        commit: &mut Option<JoinHandle<Result<(), Error>>>,
        sends: &mut JoinSet<(u64, Result<(), Error>)>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let resumed = self.record_counts().done();
        let mut pace = Pace::default();
        let mut last_commit = Instant::now();
        let mut planner = Some(planner);
        let mut planning: Option<JoinHandle<Result<(Planner, Planned), Error>>> = None;
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            if self.work.windows.len() < WINDOWS_AT_ONCE
                && let Some(mut ready) = planner.take_if(|_| !self.work.planned_all)
            {
                planning = Some(tokio::spawn(blocking(move || {
                    let planned = ready.next()?;
                    Ok::<_, Error>((ready, planned))
                })));
            }
            self.start_requests(sends);
            if commit.is_none()
                && let Some(settling) = self.commit_due(last_commit, sends.is_empty())
            {
                *commit = Some(tokio::spawn(self.commit_job(settling)));
                last_commit = Instant::now();
            }
            if self.is_done() && commit.is_none() && sends.is_empty() && planning.is_none() {
                self.progress(&mut pace, started, resumed);
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(ReplicateError::Cancelled.into()),
                () = self.shared.health.lost() => return Err(self.shared.lost().await),
                done = ended(commit) => {
                    *commit = None;
                    self.work.is_ahead = done.is_err();
                    done?;
                    self.doubt_is_durable();
                }
                Some(sent) = sends.join_next() => {
                    let (id, result) = sent.map_err(internal)?;
                    result?;
                    self.acknowledge(id);
                }
                planned = ended(&mut planning) => {
                    planning = None;
                    let (returned, planned) = planned?;
                    planner = Some(returned);
                    self.take_plan(planned);
                }
                // There is none in a blackout, and telling so for hours would push everything else out.
                _ = tick.tick() => if !self.shared.retry.lane.is_closed(self.passage) {
                    self.progress(&mut pace, started, resumed);
                },
                found = self.found.recv() => match found {
                    Some(found) => {
                        self.work.reading -= 1;
                        self.take_finding(found?);
                    }
                    None => return Err(ReplicateError::Internal { problem: "all readers ended early".into() }.into()),
                },
            }
        }
    }

    fn is_done(&self) -> bool {
        self.work.planned_all
            && self.work.windows.is_empty()
            && self.work.acknowledged.is_empty()
            && !self.work.done_since_commit
    }

    fn take_plan(&mut self, planned: Planned) {
        if !planned.idle.is_empty() {
            let open = self.record.open.as_mut().expect("a cycle is open");
            planned.idle.iter().for_each(|window| open.done.insert(*window));
            open.counts = open.counts.plus(planned.idle_counts);
            self.work.done_since_commit = true;
        }
        self.work.planned_all = planned.finished;
        if let Some(plan) = planned.window {
            self.open_window(plan);
        }
        if planned.finished {
            // Who takes runs learns that those were the last.
            self.runs.close();
        }
    }

    fn open_window(&mut self, plan: WindowPlan) {
        let (index, clears) = (plan.window, self.hole_clears(&plan));
        // Blocks known to be zero lose nothing by being in doubt early, and the first write need not wait.
        let first = index * self.disk.blocks_per_window();
        let early = plan.runs.iter().flat_map(|run| {
            let zero = run.blocks.clone().zip(&run.old).filter(|(_, old)| **old == BlockState::Zero);
            zero.filter_map(|(block, _)| Extent::new(block - first, 1))
        });
        let doubt = early.collect::<ExtentSet>().union(&plan.doubt);
        let window = Window {
            more_doubt: doubt != plan.doubt,
            doubt,
            committed: plan.doubt.clone(),
            durable: plan.doubt,
            states: plan.states,
            unsettled: plan.runs.len() + clears.len(),
            counts: plan.counts,
        };
        self.work.open_counts = self.work.open_counts.plus(plan.counts);
        self.work.windows.insert(index, window);
        self.work.reading += plan.runs.len();
        for run in plan.runs {
            // Fails only when the readers are gone, which the next receive tells.
            let _ = self.runs.try_send(run);
        }
        clears.into_iter().for_each(|finding| self.take_finding(finding));
    }

    /// Holes over something else than zeros, as findings that need no reading.
    fn hole_clears(&self, plan: &WindowPlan) -> Vec<Finding> {
        let block_len = self.disk.block_size.bytes();
        let first = plan.window * self.disk.blocks_per_window();
        let finding = |blocks: Extent| {
            let range = PageRange::new((first + blocks.offset()) * block_len, blocks.len_bytes() * block_len)?;
            Some(Finding {
                window: plan.window,
                blocks: first + blocks.offset()..first + blocks.end(),
                old: plan.states[blocks.offset() as usize..blocks.end() as usize].to_vec(),
                new: vec![BlockState::Zero; blocks.len_bytes() as usize],
                puts: Vec::new(),
                clears: vec![range],
                counts: Counts { hole_cleared: range.len_bytes(), clears: 1, ..Counts::default() },
            })
        };
        plan.hole_clears.iter().filter_map(finding).collect()
    }

    fn take_finding(&mut self, finding: Finding) {
        if finding.puts.is_empty() && finding.clears.is_empty() {
            let blocks = self.in_window(&finding.blocks);
            self.work.window(finding.window).doubt.remove(blocks);
            self.finish(finding.window, finding.counts);
        } else if self.may_be_sent(&finding) {
            self.queue(finding);
        } else {
            let blocks: Vec<Extent> =
                changed_blocks(&finding).map(|block| self.in_window(&(block..block + 1))).collect();
            let window = self.work.window(finding.window);
            window.doubt.extend(blocks);
            window.more_doubt = true;
            self.work.undoubted.push(finding);
        }
    }

    /// Blocks by number on the disk as an extent of blocks by index in their window.
    fn in_window(&self, blocks: &Range<u64>) -> Extent {
        let first = blocks.start / self.disk.blocks_per_window() * self.disk.blocks_per_window();
        Extent::from_range(blocks.start - first..blocks.end - first).expect("a run has blocks")
    }

    /// Whether every block that the finding changes is in doubt durably.
    fn may_be_sent(&self, finding: &Finding) -> bool {
        let durable = &self.work.windows[&finding.window].durable;
        changed_blocks(finding).all(|block| durable.covers(self.in_window(&(block..block + 1))))
    }

    fn queue(&mut self, finding: Finding) {
        let Finding { window, blocks, new, puts, clears, counts, .. } = finding;
        let id = self.work.next_id;
        self.work.next_id += 1;
        let bytes = puts.iter().map(|(range, _)| range.len_bytes()).sum();
        let settles = Settled { window, blocks, new, bytes, counts };
        self.work.sending.insert(id, Sending { left: puts.len() + clears.len(), settles });
        let puts = puts.into_iter().map(|(range, data)| (id, Request::Put(range, data)));
        let clears = clears.into_iter().map(|range| (id, Request::Clear(range)));
        self.work.requests.extend(puts.chain(clears));
    }

    fn start_requests(&mut self, sends: &mut JoinSet<(u64, Result<(), Error>)>) {
        while sends.len() < self.shared.engine.options.requests_in_flight {
            let Some((id, request)) = self.work.requests.pop_front() else { return };
            let (shared, fence, passage) = (Arc::clone(&self.shared), self.fence, self.passage);
            let cancel = self.cancel.clone();
            sends.spawn(async move { (id, send(&shared, request, fence, passage, &cancel).await) });
        }
    }

    fn acknowledge(&mut self, id: u64) {
        let sending = self.work.sending.get_mut(&id).expect("a request's finding is being sent");
        sending.left -= 1;
        if sending.left == 0 {
            let Sending { settles, .. } = self.work.sending.remove(&id).expect("just seen");
            // A clear counts a little, so that a cycle of clears settles too.
            self.work.acknowledged_bytes += settles.bytes.max(MIB / 16);
            self.work.acknowledged.push(settles);
        }
    }

    /// Accounts for a run or hole clear that needs nothing more.
    fn finish(&mut self, index: u64, counts: Counts) {
        let window = self.work.window(index);
        window.counts = window.counts.plus(counts);
        window.unsettled -= 1;
        let done = window.unsettled == 0 && window.doubt == window.committed;
        self.work.open_counts = self.work.open_counts.plus(counts);
        if done {
            self.close_window(index);
        }
    }

    fn close_window(&mut self, index: u64) {
        let window = self.work.windows.remove(&index).expect("a window is closed once");
        let open = self.record.open.as_mut().expect("a cycle is open");
        open.done.insert(index);
        open.counts = open.counts.plus(window.counts);
        self.work.open_counts = self.work.open_counts.minus(window.counts);
        self.work.done_since_commit = true;
    }

    /// Whether a commit is due, and if so, whether it settles.
    fn commit_due(&self, last: Instant, nothing_under_way: bool) -> Option<bool> {
        let work = &self.work;
        let no_more_windows = work.planned_all || work.windows.len() >= WINDOWS_AT_ONCE;
        let stalled = nothing_under_way && work.requests.is_empty() && work.reading == 0 && no_more_windows;
        let something = !work.acknowledged.is_empty()
            || work.done_since_commit
            || work.windows.values().any(|window| window.unsettled == 0);
        if work.acknowledged_bytes >= SETTLE_BYTES || something && (stalled || last.elapsed() >= SETTLE_AFTER) {
            return Some(true);
        }
        work.windows.values().any(|window| window.more_doubt).then_some(false)
    }

    /// The next commit: all new doubt, and, when `settling`, everything acknowledged and every window done.
    fn commit_job(&mut self, settling: bool) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let mut change = Change::default();
        let settled = if settling { std::mem::take(&mut self.work.acknowledged) } else { Vec::new() };
        let mut rows = BTreeSet::new();
        for Settled { window: index, blocks, new, .. } in &settled {
            let blocks = self.in_window(blocks);
            let window = self.work.window(*index);
            window.states[blocks.offset() as usize..blocks.end() as usize].copy_from_slice(new);
            window.doubt.remove(blocks);
            rows.insert(*index);
        }
        for (index, window) in &mut self.work.windows {
            if window.doubt != window.committed {
                window.committed = window.doubt.clone();
                change.doubt.push((*index, window.doubt.clone()));
            }
            window.more_doubt = false;
            if rows.contains(index) {
                change.map.push((*index, map::encode(&window.states)));
            }
        }
        if settling {
            self.work.acknowledged_bytes = 0;
            settled.into_iter().for_each(|settled| self.finish(settled.window, settled.counts));
            // Windows whose last runs were unchanged, and only had doubt to take back.
            let done: Vec<u64> =
                self.work.windows.iter().filter(|(_, window)| window.unsettled == 0).map(|(index, _)| *index).collect();
            done.into_iter().for_each(|index| self.close_window(index));
            self.work.done_since_commit = false;
        }
        let (shared, record) = (Arc::clone(&self.shared), self.record.clone());
        async move {
            if !change.map.is_empty() {
                shared.call(&CancellationToken::new(), || shared.target.flush()).await?;
            }
            shared.commit(&record, change).await
        }
    }

    fn doubt_is_durable(&mut self) {
        for window in self.work.windows.values_mut() {
            window.durable.clone_from(&window.committed);
        }
        for finding in std::mem::take(&mut self.work.undoubted) {
            if self.may_be_sent(&finding) {
                self.queue(finding);
            } else {
                self.work.undoubted.push(finding);
            }
        }
    }

    fn record_counts(&self) -> Counts {
        self.record.open.as_ref().map_or_else(Counts::default, |open| open.counts)
    }

    fn progress(&self, pace: &mut Pace, started: Instant, resumed: u64) {
        let counts = self.record_counts().plus(self.work.open_counts);
        pace.sample(started.elapsed(), counts.done() - resumed.min(counts.done()));
        self.shared.event(EventKind::Progress {
            cycle: self.record.open.as_ref().map_or(0, |open| open.number),
            counts,
            disk: self.disk.bytes,
            bytes_per_second: pace.bytes_per_second(),
            seconds_left: pace.seconds_left(self.disk.bytes.saturating_sub(counts.done())),
        });
    }
}

/// The blocks, by number on the disk, whose pages a finding writes and whose old content is known.
fn changed_blocks(finding: &Finding) -> impl Iterator<Item = u64> + '_ {
    let states = finding.old.iter().zip(&finding.new);
    finding
        .blocks
        .clone()
        .zip(states)
        .filter(|(_, (old, new))| old != new && **old != BlockState::Unknown)
        .map(|(block, _)| block)
}

async fn send(
    shared: &ReplicaShared,
    request: Request,
    fence: Fence,
    passage: Passage,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    match request {
        Request::Put(range, data) => {
            let load = Load::put(range.len_bytes(), passage);
            shared.transfer(load, cancel, || shared.target.put(range, data.clone(), fence)).await
        }
        Request::Clear(range) => {
            shared.transfer(Load::clear(passage), cancel, || shared.target.clear(range, fence)).await
        }
    }
}

/// The end of a task that may not be there; never, when it is not.
async fn ended<T>(task: &mut Option<JoinHandle<Result<T, Error>>>) -> Result<T, Error> {
    match task {
        Some(task) => task.await.map_err(internal)?,
        None => std::future::pending().await,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn internal(e: tokio::task::JoinError) -> Error {
    ReplicateError::Internal { problem: format!("a task ended early: {e}") }.into()
}

impl Work {
    fn window(&mut self, index: u64) -> &mut Window {
        self.windows.get_mut(&index).expect("a window is open as long as it has unsettled runs")
    }
}
