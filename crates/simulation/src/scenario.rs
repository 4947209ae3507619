//! What happens in one world: the seed draws a history of the disk, cycles of every kind, crashes, take-overs
//! and losses; then all faults end, and the replica must come right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use libmigrate::size::BlockSize;
use libmigrate::{
    Against, CancellationToken, Coverage, CycleRequest, DiskDescription, DiskSource, Engine, EngineOptions, Error,
    KeepRule, Replica, RequestedKind, RetryPolicy, Subject,
};

use crate::disk::Crash;
use crate::planted::Planted;
use crate::service::Owner;
use crate::source::{History, Moment};
use crate::target::{SimulatedTarget, capabilities};
use crate::truth::{Truth, first_difference, footer};
use crate::world::{MachineId, ProcessId, World};

/// How often the last runs may fail for a passing reason once all faults are over.
const LAST_TRIES: u32 = 8;

/// How long the slowest request may still be under way.
const EVERYTHING_HAS_ARRIVED: Duration = Duration::from_secs(20 * 60);

/// Codes of errors that faults may lead to. Any other is a defect.
const EXPECTED: &[&str] = &[
    "checkpoint.full",
    "checkpoint.in_use",
    "cycle.cancelled",
    "cycle.open",
    "target.changed",
    "target.fenced",
    "target.gave_up",
    "target.io",
    "target.lease_expired",
    "target.lease_held",
    "target.lease_lost",
];

/// Codes of errors that a process may end with that is not the owner any more: the new one deleted what it was
/// reading.
const OVERTAKEN: &[&str] = &["recovery_point.map", "recovery_point.none", "target.not_found"];

/// What one process is to do.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) machine: MachineId,
    pub(crate) dies_at: Option<(u64, Crash)>,
    /// After how long it is cut off, and for how long.
    pub(crate) cut_off: Option<(Duration, Duration)>,
    pub(crate) errands: Vec<Errand>,
    pub(crate) closes: bool,
    pub(crate) entry: Entry,
}

/// How a process comes by the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    WhenFree,
    ByForce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    Replicate {
        kind: RequestedKind,
        list: List,
        feed: Feed,
        cancelled_after: Option<Duration>,
    },
    RollBack,
    Verify,
    Prune {
        keep: usize,
    },
    List,
    /// The server's disk changes.
    PassTime,
    Grow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    None,
    Honest,
    /// Of another moment than the last recovery point.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    Pull,
    Push,
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum End {
    Died,
    Finished(Result<(), Error>),
}

/// One world and what is known of it.
pub(crate) struct Scenario {
    pub(crate) world: Arc<World>,
    history: Mutex<History>,
    truth: Mutex<Truth>,
    options: EngineOptions,
    last_machine: Mutex<Option<MachineId>>,
    rotten: Mutex<BTreeSet<MachineId>>,
    /// Under which name each process owned the target when it had opened it.
    owners: Mutex<BTreeMap<ProcessId, String>>,
}

impl Scenario {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let mut state = world.lock();
        let random = &mut state.random;
        let history = History::begin(random);
        let options = EngineOptions {
            memory_limit: 4 << 20,
            requests_in_flight: random.usize(1..=8),
            readers: random.usize(1..=3),
            run_bytes: 64 << 10,
            block_size: BlockSize::new(16 << 10 << random.u32(..3)),
            retry: RetryPolicy {
                first_wait: Duration::from_millis(50),
                longest_wait: Duration::from_secs(2),
                budget: Duration::from_secs(40),
            },
            lease_term: Duration::from_secs(random.u64(15..=60)),
            ..EngineOptions::default()
        };
        drop(state);
        Self {
            world,
            history: Mutex::new(history),
            truth: Mutex::default(),
            options,
            last_machine: Mutex::default(),
            rotten: Mutex::default(),
            owners: Mutex::default(),
        }
    }

    /// A whole random history, to its good end.
    pub(crate) async fn play(&self) {
        let acts = self.draw(|random| random.u32(2..8));
        for _ in 0..acts {
            self.act().await;
        }
        self.finish().await;
    }

    /// One process, or two that overlap, and what befalls the machine before.
    async fn act(&self) {
        let life = self.draw(draw_life);
        self.befall(life.machine);
        let (overlap, pause) = self.draw(|random| (random.u8(..5) == 0, Duration::from_millis(random.u64(..80_000))));
        if overlap {
            let other = Life { machine: (life.machine + 1) % 3, ..self.draw(draw_life) };
            let late = async {
                tokio::time::sleep(pause).await;
                self.live(other).await
            };
            tokio::join!(self.live(life), late);
        } else {
            self.live(life).await;
            if self.draw(Rng::bool) {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Something may happen to a machine while no process runs on it.
    fn befall(&self, machine: MachineId) {
        let mut state = self.world.lock();
        match state.random.u8(..16) {
            // Its state is lost.
            0 => drop(state.disks.remove(&machine)),
            1 if state.disks.contains_key(&machine) => {
                let mut random = state.random.fork();
                let disk = state.disks.get_mut(&machine).expect("just seen");
                disk.files.values_mut().for_each(|file| file.flip_bit(&mut random));
                state.report.flipped_bits += 1;
                lock(&self.rotten).insert(machine);
            }
            draw => state.disks.entry(machine).or_default().full = draw == 2,
        }
    }

    /// Runs a process to its end, and checks what it leaves behind.
    pub(crate) async fn live(&self, life: Life) -> End {
        let machine = life.machine;
        let (process, death) = self.world.start(machine);
        if let Some((step, crash)) = life.dies_at {
            self.world.dies_at(process, step, crash);
        }
        self.world.note(|| format!("process {process}: {life:?}"));
        let cancel = CancellationToken::new();
        let cut = async {
            if let Some((after, long)) = life.cut_off {
                tokio::time::sleep(after).await;
                self.world.cut_off(process, self.world.now() + long);
            }
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            biased;
            () = death.cancelled() => End::Died,
            () = cut => unreachable!("it never ends"),
            result = self.work(process, &life, &cancel) => {
                if self.world.is_dead(process) { End::Died } else { End::Finished(result) }
            }
        };
        self.world.note(|| format!("process {process} ended: {end:?}"));
        self.world.exit(process);
        cancel.cancel();
        self.world.check_settled(machine, "after a process");
        if let End::Finished(Err(e)) = &end {
            self.judge(process, machine, e);
        }
        end
    }

    /// Whether an error is one that faults lead to; what an operator does about it.
    fn judge(&self, process: ProcessId, machine: MachineId, e: &Error) {
        let owner = self.owner();
        if OVERTAKEN.contains(&e.code()) && owner.as_ref() != lock(&self.owners).get(&process) {
            return;
        }
        if e.code() == "checkpoint.damaged" && lock(&self.rotten).remove(&machine) {
            // As the remedy says.
            self.world.lock().disks.remove(&machine);
        } else if !EXPECTED.contains(&e.code()) {
            self.world.violation(format!("an error that no fault leads to: {} ({e})", e.code()));
        }
    }

    async fn work(&self, process: ProcessId, life: &Life, cancel: &CancellationToken) -> Result<(), Error> {
        let state_dir = format!("/machine-{}/life-{process}", life.machine).into();
        let engine = Engine::new(EngineOptions { state_dir: Some(state_dir), ..self.options.clone() })?;
        let target = SimulatedTarget { world: Arc::clone(&self.world), process, capabilities: capabilities() };
        let now = self.now();
        let (target, disk) = (Arc::new(target), DiskDescription::of(&*now));
        let opened = match life.entry {
            Entry::WhenFree => engine.open(target, disk, cancel).await,
            Entry::ByForce => engine.take_over(target, disk, cancel).await,
        };
        let replica = match opened {
            // It waited for the lease while the disk grew under the hands of another: what it described is old.
            Err(e) if e.code() == "replica.disk_shrank" && self.now().bytes.len() > now.bytes.len() => return Ok(()),
            opened => opened?,
        };
        self.opened(process, life.machine);
        self.compare_points(process, &replica, cancel).await?;
        if let Some(known) = self.world.inspect(life.machine) {
            self.world.must_be_economical(process, self.now(), &known);
        }
        let mut first_failure = Ok(());
        for errand in &life.errands {
            let result = self.run(process, &replica, *errand, cancel).await;
            self.world
                .note(|| format!("process {process}: {errand:?} ended: {:?}", result.as_ref().map_err(Error::code)));
            if let Err(e) = result {
                self.judge(process, life.machine, &e);
                first_failure = first_failure.and(Err(e));
                if self.draw(Rng::bool) {
                    break;
                }
            }
        }
        if life.closes {
            replica.close().await?;
        }
        first_failure
    }

    fn opened(&self, process: ProcessId, machine: MachineId) {
        if let Some(owner) = self.owner() {
            lock(&self.owners).insert(process, owner);
        }
        let last = lock(&self.last_machine).replace(machine);
        if last.is_some_and(|last| last != machine) {
            self.world.lock().report.take_overs += 1;
        }
    }

    async fn run(
        &self,
        process: ProcessId,
        replica: &Replica,
        errand: Errand,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        match errand {
            Errand::PassTime => {
                self.world.economy_is_over(process);
                self.draw(|random| lock(&self.history).pass_time(random));
            }
            Errand::Grow => {
                self.world.economy_is_over(process);
                self.draw(|random| lock(&self.history).grow(random));
            }
            Errand::List => self.compare_points(process, replica, cancel).await?,
            Errand::Verify => self.verify(replica, cancel).await?,
            Errand::Prune { keep } => {
                let mut listed = self.list(replica, cancel).await?;
                // A seal that was given up and finished all the same is found out by the deletion.
                let sealed = self.next_cycle() - 1;
                if listed.last().is_none_or(|newest| *newest < sealed) {
                    listed.push(sealed);
                }
                lock(&self.truth).prune(&listed, keep);
                replica.prune(KeepRule { newest: keep, younger_than: None }, cancel).await?;
                self.compare_points(process, replica, cancel).await?;
            }
            Errand::RollBack => {
                self.world.economy_is_over(process);
                self.roll_back(replica, cancel).await?;
            }
            Errand::Replicate { kind, list, feed, cancelled_after } => {
                if kind == RequestedKind::Resync || cancelled_after.is_some() {
                    self.world.economy_is_over(process);
                }
                let cancel = cancel.child_token();
                let work = self.replicate(process, replica, kind, list, feed, &cancel);
                let result = match cancelled_after {
                    None => work.await,
                    Some(after) => {
                        let stop = async {
                            tokio::time::sleep(after).await;
                            cancel.cancel();
                            std::future::pending::<()>().await;
                        };
                        tokio::select! {
                            biased;
                            result = work => result,
                            () = stop => unreachable!("it never ends"),
                        }
                    }
                };
                self.world.economy_is_over(process);
                result?;
            }
        }
        Ok(())
    }

    async fn replicate(
        &self,
        process: ProcessId,
        replica: &Replica,
        kind: RequestedKind,
        list: List,
        feed: Feed,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let points = replica.recovery_points(cancel).await?;
        let base = points.last().and_then(|point| point.change_id.clone());
        let moment = self.now();
        self.world.copies(process, &moment);
        let changes = match list {
            List::None => None,
            List::Honest => base.and_then(|base| lock(&self.history).changes(&base, &moment)),
            List::Stale => lock(&self.history).changes("moment-1", &moment),
        };
        let changes =
            changes.map(|list| if self.world.planted() == Planted::ListLeavesOut { without_last(list) } else { list });
        let change_id = Some(libmigrate::source::ChangeId::new(moment.change_id()));
        let request = CycleRequest { kind, changes, change_id, ..CycleRequest::default() };
        let content = Arc::new(moment.padded());
        lock(&self.truth).attempt(self.next_cycle(), &content);
        let source: Arc<dyn DiskSource> = Arc::clone(&moment) as _;
        let point = match feed {
            Feed::Pull => replica.replicate(source, request, cancel).await?,
            Feed::Push => {
                let cycle = replica.begin(source, request, cancel).await?;
                while let Some(wanted) = cycle.next_wanted().await? {
                    let bytes = moment.bytes[wanted.offset() as usize..wanted.end() as usize].to_vec();
                    tokio::time::sleep(Duration::from_millis(self.draw(|random| random.u64(..4)))).await;
                    cycle.push(wanted.offset(), bytes.into()).await?;
                }
                cycle.seal().await?
            }
        };
        self.sealed(point.cycle, content);
        Ok(())
    }

    async fn roll_back(&self, replica: &Replica, cancel: &CancellationToken) -> Result<(), Error> {
        let listed = self.list(replica, cancel).await?;
        if listed.is_empty() {
            return Ok(());
        }
        let to = listed[self.draw(|random| random.usize(..listed.len()))];
        let disk_bytes = replica.disk_bytes().await as usize;
        let content = lock(&self.truth).content(to).map(|content| {
            let mut content = content.to_vec();
            content.resize(disk_bytes, 0);
            Arc::new(content)
        });
        let Some(content) = content else { return Ok(()) };
        lock(&self.truth).attempt(self.next_cycle(), &content);
        let point = replica.roll_back(to, cancel).await?;
        self.sealed(point.cycle, content);
        Ok(())
    }

    async fn verify(&self, replica: &Replica, cancel: &CancellationToken) -> Result<(), Error> {
        for cycle in self.list(replica, cancel).await? {
            let report = replica.verify(Subject::Cycle(cycle), Against::SealedMap, Coverage::Full, cancel).await?;
            if !report.is_equal() {
                self.world
                    .violation(format!("recovery point {cycle} is not what its own map says: {:?}", report.mismatches));
            }
        }
        Ok(())
    }

    /// The engine says that a cycle is a recovery point.
    fn sealed(&self, cycle: u32, content: Arc<Vec<u8>>) {
        self.world.lock().report.sealed += 1;
        if let Err(problem) = lock(&self.truth).told(cycle, content) {
            self.world.violation(problem);
        }
    }

    async fn list(&self, replica: &Replica, cancel: &CancellationToken) -> Result<Vec<u32>, Error> {
        Ok(replica.recovery_points(cancel).await?.iter().map(|point| point.cycle).collect())
    }

    async fn compare_points(
        &self,
        process: ProcessId,
        replica: &Replica,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let owner = self.owner();
        let listed = self.list(replica, cancel).await?;
        if owner != self.owner() || owner.as_ref() != lock(&self.owners).get(&process) {
            // Somebody else owns the target: what is listed was true when this process did.
            return Ok(());
        }
        let state = self.world.lock();
        let Some(blob) = &state.service.blob else { return Ok(()) };
        let compared = lock(&self.truth).compare(&listed, blob);
        drop(state);
        match compared {
            Ok(count) => self.world.lock().report.points_compared += count,
            Err(problem) => self.world.violation(problem),
        }
        Ok(())
    }

    /// All faults are over: the replica must come right, and stay right when all that is late has arrived.
    pub(crate) async fn finish(&self) {
        self.world.calm();
        let machine = self.draw(|random| random.usize(..3));
        let copy = Errand::Replicate {
            kind: RequestedKind::Delta,
            list: List::Honest,
            feed: Feed::Pull,
            cancelled_after: None,
        };
        self.must_succeed(machine, vec![copy, Errand::Verify]).await;
        tokio::time::sleep(EVERYTHING_HAS_ARRIVED).await;
        self.compare_live("after everything late has arrived");
        self.must_succeed(machine, vec![Errand::Verify, copy]).await;
        self.compare_live("at the end");
    }

    pub(crate) async fn must_succeed(&self, machine: MachineId, errands: Vec<Errand>) {
        for _ in 0..LAST_TRIES {
            let life = Life {
                machine,
                dies_at: None,
                cut_off: None,
                errands: errands.clone(),
                closes: true,
                entry: Entry::WhenFree,
            };
            match self.live(life).await {
                End::Finished(Ok(())) => return,
                End::Finished(Err(_)) => tokio::time::sleep(Duration::from_secs(30)).await,
                End::Died => unreachable!("nobody kills it"),
            }
        }
        self.world.violation(format!("without any fault, {LAST_TRIES} runs did not succeed"));
    }

    /// The replica is the source, with its footer.
    pub(crate) fn compare_live(&self, when: &str) {
        let expected = self.now().padded();
        let state = self.world.lock();
        let problem = match &state.service.blob {
            None => Some("there is no replica".to_owned()),
            Some(blob) => {
                let held = &blob.bytes[..expected.len().min(blob.bytes.len())];
                first_difference(&expected, held)
                    .map(|at| format!("replica and source differ at {at}"))
                    .or_else(|| footer(&blob.bytes, expected.len() as u64).err())
            }
        };
        drop(state);
        if let Some(problem) = problem {
            self.world.violation(format!("{when}: {problem}"));
        }
    }

    /// The number that the next cycle will have, by what the target says.
    fn next_cycle(&self) -> u32 {
        let state = self.world.lock();
        let sealed = state.service.blob.as_ref().and_then(Owner::of).and_then(|owner| owner.sealed);
        1 + sealed.map_or(0, |sealed| sealed.cycle)
    }

    /// The owner that the target names.
    fn owner(&self) -> Option<String> {
        let state = self.world.lock();
        Some(Owner::of(state.service.blob.as_ref()?)?.owner)
    }

    fn now(&self) -> Arc<Moment> {
        Arc::clone(lock(&self.history).now())
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.world.lock().random)
    }
}

fn draw_life(random: &mut Rng) -> Life {
    let crash = if random.bool() { Crash::Kill } else { Crash::PowerLoss };
    let furthest = 1 << random.u32(2..11);
    let step = random.u64(1..furthest);
    let seconds = |random: &mut Rng, most: u64| Duration::from_millis(random.u64(..most * 1000));
    Life {
        // Mostly the same machine goes on.
        machine: [0, 0, 0, 0, 1, 2][random.usize(..6)],
        dies_at: (random.u8(..8) < 5).then_some((step, crash)),
        cut_off: (random.u8(..5) == 0).then(|| (seconds(random, 4), seconds(random, 120))),
        errands: (0..random.usize(1..6)).map(|_| draw_errand(random)).collect(),
        closes: random.bool(),
        entry: if random.u8(..8) == 0 { Entry::ByForce } else { Entry::WhenFree },
    }
}

fn draw_errand(random: &mut Rng) -> Errand {
    match random.u8(..20) {
        0 => Errand::RollBack,
        1 => Errand::Verify,
        2 => Errand::Prune { keep: random.usize(1..4) },
        3 => Errand::List,
        4 => Errand::Grow,
        5..=9 => Errand::PassTime,
        _ => Errand::Replicate {
            kind: match random.u8(..8) {
                0 => RequestedKind::Resync,
                1 => RequestedKind::Final,
                _ => RequestedKind::Delta,
            },
            list: match random.u8(..8) {
                0 => List::Stale,
                1..=4 => List::Honest,
                _ => List::None,
            },
            feed: if random.bool() { Feed::Pull } else { Feed::Push },
            cancelled_after: (random.u8(..5) == 0).then(|| Duration::from_millis(random.u64(..2000))),
        },
    }
}

/// The planted defect: the list without its last extent.
fn without_last(list: libmigrate::source::ChangeList) -> libmigrate::source::ChangeList {
    let Ok(changed) = list.changed(u64::MAX) else { return list };
    let mut kept: Vec<_> = changed.iter().collect();
    kept.pop();
    libmigrate::source::ChangeList::of(list.base().clone(), list.end().clone(), kept.into_iter().collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
