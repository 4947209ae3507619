//! The world: one clock, one seed, everything outside the engine.
//!
//! Whatever the engine does that anybody else could see is a **step**: a request leaves, acts or is answered; a
//! file is made, written, synced, renamed. A process can be made to die at any step: before the step, if it is
//! one of its own doing, or right after it, if it is the service's. Between two steps a process changes nothing
//! but its own memory, which dies with it, so dying at any await in between is dying at the step that follows.
//!
//! A process that died has no effect any more: its requests stay unsent, its files reject it, what it still
//! waits for never comes. What it had put on the network stays there.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use libmigrate::digest::block::BlockState;
use libmigrate::simulation::{BlockingTime, Inspection, Machines, inspect};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::disk::{Crash, Disk};
use crate::faults::{Fate, Kind, Weather};
use crate::planted::Planted;
use crate::report::Report;
use crate::service::{Diffs, Owner, Request, Service};
use crate::source::Moment;

/// A world that takes more steps than this has got stuck.
const MOST_STEPS: u64 = 200_000;

/// Which process; they are numbered as they start.
pub(crate) type ProcessId = usize;
/// Which machine.
pub(crate) type MachineId = usize;

pub(crate) struct World {
    start: Instant,
    planted: Planted,
    state: Mutex<State>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

pub(crate) struct State {
    pub(crate) random: Rng,
    pub(crate) weather: Weather,
    pub(crate) service: Service,
    pub(crate) disks: BTreeMap<MachineId, Disk>,
    processes: Vec<Process>,
    pub(crate) report: Report,
    pub(crate) violations: Vec<String>,
    trace: Trace,
    /// Blocking work sometimes takes this long.
    slowest_thread: Duration,
}

struct Process {
    machine: MachineId,
    death: CancellationToken,
    steps: u64,
    /// Dies at this step of its own.
    dies_at: Option<(u64, Crash)>,
    cut_until: Duration,
    economy: Option<Economy>,
}

/// What a process may send, if it is to send no more than it must.
struct Economy {
    source: Arc<Moment>,
    block_bytes: u64,
    /// Blocks of which the checkpoint knew nothing when the process had opened it.
    unknown: HashSet<u64>,
    sent: HashSet<u64>,
}

/// Every step, as a hash and, if wanted, as text.
struct Trace {
    hash: blake3::Hasher,
    text: Option<String>,
}

/// A step of a process that is not alive.
#[derive(Debug)]
pub(crate) struct Dead;

impl World {
    pub(crate) fn new(seed: u64, planted: Planted, traced: bool) -> Arc<Self> {
        let mut random = Rng::with_seed(seed);
        let diffs = if random.bool() { Diffs::Told } else { Diffs::Unavailable };
        let weather = Weather::draw(&mut random);
        let slowest_thread = Duration::from_millis(1 << random.u32(0..11));
        let state = State {
            weather,
            service: Service::new(diffs, planted),
            disks: BTreeMap::new(),
            processes: Vec::new(),
            report: Report::default(),
            violations: Vec::new(),
            trace: Trace { hash: blake3::Hasher::new(), text: traced.then(String::new) },
            random,
            slowest_thread,
        };
        Arc::new(Self { start: Instant::now(), planted, state: Mutex::new(state) })
    }

    pub(crate) const fn planted(&self) -> Planted {
        self.planted
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Simulated time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        let now = self.now();
        self.lock().trace.say(now, text);
    }

    pub(crate) fn violation(&self, what: String) {
        let now = self.now();
        self.lock().violate(now, what);
    }

    /// Starts a process on `machine`; the token ends with it.
    pub(crate) fn start(&self, machine: MachineId) -> (ProcessId, CancellationToken) {
        let now = self.now();
        let mut state = self.lock();
        state.disks.entry(machine).or_default();
        let death = CancellationToken::new();
        let process = Process {
            machine,
            death: death.clone(),
            steps: 0,
            dies_at: None,
            cut_until: Duration::ZERO,
            economy: None,
        };
        state.processes.push(process);
        state.report.processes += 1;
        let id = state.processes.len() - 1;
        state.trace.step(now, id, "starts", [machine as u64, 0]);
        (id, death)
    }

    pub(crate) fn dies_at(&self, process: ProcessId, step: u64, crash: Crash) {
        self.lock().processes[process].dies_at = Some((step, crash));
    }

    /// Steps that a process has taken.
    pub(crate) fn steps_of(&self, process: ProcessId) -> u64 {
        self.lock().processes[process].steps
    }

    /// From now on the process sends only what differs or what it knew nothing of.
    pub(crate) fn must_be_economical(&self, process: ProcessId, source: Arc<Moment>, known: &Inspection) {
        let unknown = known.blocks.iter().zip(0..).filter(|(state, _)| **state == BlockState::Unknown);
        let mut unknown: HashSet<u64> = unknown.map(|(_, block)| block).collect();
        if source.bytes.len() as u64 > known.disk_bytes {
            // The replica will grow, and what holds the old footer is written anew.
            unknown.insert(known.disk_bytes / known.block_bytes);
        }
        let block_bytes = known.block_bytes;
        let economy = Economy { source, block_bytes, unknown, sent: HashSet::new() };
        self.lock().processes[process].economy = Some(economy);
    }

    /// The process copies this moment: if it is another than was thought, nobody knows what it has to send.
    pub(crate) fn copies(&self, process: ProcessId, moment: &Moment) {
        let economy = &mut self.lock().processes[process].economy;
        economy.take_if(|economy| economy.source.number != moment.number);
    }

    pub(crate) fn economy_is_over(&self, process: ProcessId) {
        self.lock().processes[process].economy = None;
    }

    /// Cuts a process off for a while.
    pub(crate) fn cut_off(&self, process: ProcessId, until: Duration) {
        let now = self.now();
        let mut state = self.lock();
        state.trace.step(now, process, "is cut off", [until.as_millis() as u64, 0]);
        state.processes[process].cut_until = until;
        state.report.partitions += 1;
    }

    /// Ends a process now, as an exit does.
    pub(crate) fn exit(&self, process: ProcessId) {
        let now = self.now();
        let mut state = self.lock();
        if !state.processes[process].death.is_cancelled() {
            state.trace.step(now, process, "exits", [0, 0]);
            state.end(process);
        }
    }

    /// From now on nothing goes wrong any more. What is under way stays under way.
    pub(crate) fn calm(&self) {
        let now = self.now();
        let mut state = self.lock();
        state.trace.say(now, || "the weather clears".into());
        state.weather = Weather::CALM;
        state.slowest_thread = Duration::from_millis(2);
        state.disks.values_mut().for_each(|disk| disk.full = false);
    }

    /// How many processes were started.
    pub(crate) fn processes(&self) -> usize {
        self.lock().processes.len()
    }

    /// Whether what was acknowledged cannot be made durable this time.
    pub(crate) fn flush_fails(&self) -> bool {
        let mut state = self.lock();
        let rate = state.weather.flush_fails;
        let fails = state.random.u32(..1000) < rate;
        state.report.failed_flushes += u64::from(fails);
        fails
    }

    pub(crate) fn is_dead(&self, process: ProcessId) -> bool {
        self.lock().processes[process].death.is_cancelled()
    }

    /// A request leaves its process, unless that dies first; what becomes of it.
    pub(crate) fn send(&self, process: ProcessId, request: &Request) -> Result<Fate, Dead> {
        let now = self.now();
        let mut state = self.lock();
        state.step(now, process, request.name(), request.detail())?;
        state.watch_economy(now, process, request);
        let cut_for = state.processes[process].cut_until.checked_sub(now).filter(|left| !left.is_zero());
        let weather = state.weather;
        let mut fate = Fate::draw(&mut state.random, weather, cut_for);
        if !request.changes() {
            // Asked once more, or too late, a question does nothing.
            fate.acts_again = None;
        }
        if fate.kind != Kind::None {
            state.trace.say(now, || format!("  its fate: {fate:?}"));
            *state.report.faults.entry(fate.kind).or_default() += 1;
        }
        if let Request::Put { data, .. } = request {
            state.report.bytes_put += data.len() as u64;
        }
        Ok(fate)
    }

    /// Whether a request that is under way survives on the network, and if it is held up for how long, now that
    /// it is about to act.
    pub(crate) fn detour(&self, process: ProcessId) -> Option<Duration> {
        let mut state = self.lock();
        if !state.processes[process].death.is_cancelled() {
            return Some(Duration::ZERO);
        }
        // Its sender has died: the connection may have gone down with it, or the request may linger.
        match state.random.u8(..4) {
            0 => None,
            1 => Some(Duration::from_millis(state.random.u64(1..60_000))),
            _ => Some(Duration::ZERO),
        }
    }

    /// A request acts.
    pub(crate) fn act(&self, process: ProcessId, request: &Request) -> crate::target::Outcome {
        let now = self.now();
        let mut state = self.lock();
        let answer = state.service.act(request, now);
        let ok = u64::from(answer.is_ok());
        state.acted(now, process, request, ok);
        answer
    }

    /// A put acts in part, as one that fails may.
    pub(crate) fn act_in_part(&self, process: ProcessId, request: &Request) {
        let now = self.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let random = &mut state.random;
        state.service.put_in_part(request, now, || random.bool());
        state.acted(now, process, request, 2);
    }

    /// An answer reaches its process, unless that dies first.
    pub(crate) fn deliver(&self, process: ProcessId, request: &Request) -> Result<(), Dead> {
        let now = self.now();
        self.lock().step(now, process, "hears", [request.name().len() as u64, 0])
    }

    /// What the checkpoint of a machine says as its file is now; `None` if there is none.
    pub(crate) fn inspect(&self, machine: MachineId) -> Option<Inspection> {
        self.lock().inspect(machine)
    }

    /// Holds what the machine's checkpoint says against what the target holds.
    pub(crate) fn check_settled(&self, machine: MachineId, when: &str) {
        let now = self.now();
        self.lock().check_settled(now, machine, when);
    }

    pub(crate) fn end(&self) -> (blake3::Hash, Option<String>, Report, Vec<String>) {
        let seconds = self.now();
        let mut state = self.lock();
        let mut violations = std::mem::take(&mut state.violations);
        violations.append(&mut state.service.violations);
        let mut report = std::mem::take(&mut state.report);
        report.simulated_seconds = seconds.as_secs();
        (state.trace.hash.finalize(), state.trace.text.take(), report, violations)
    }
}

impl State {
    fn violate(&mut self, now: Duration, what: String) {
        self.trace.say(now, || format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// A step of a process's own: an error if it is dead, or dies now.
    fn step(&mut self, now: Duration, process: ProcessId, what: &str, detail: [u64; 2]) -> Result<(), Dead> {
        if self.processes[process].death.is_cancelled() {
            return Err(Dead);
        }
        self.trace.step(now, process, what, detail);
        self.count(process);
        if self.is_due(now, process) { Err(Dead) } else { Ok(()) }
    }

    fn count(&mut self, process: ProcessId) {
        self.processes[process].steps += 1;
        self.report.steps += 1;
        assert!(self.report.steps < MOST_STEPS, "the world does not come to an end: {MOST_STEPS} steps");
    }

    /// Lets the process die if this is its step.
    fn is_due(&mut self, now: Duration, process: ProcessId) -> bool {
        match self.processes[process].dies_at {
            Some((step, crash)) if step <= self.processes[process].steps => {
                self.crash(now, process, crash);
                true
            }
            _ => false,
        }
    }

    fn crash(&mut self, now: Duration, process: ProcessId, crash: Crash) {
        let machine = self.processes[process].machine;
        self.trace.step(now, process, "dies", [u64::from(crash == Crash::PowerLoss), 0]);
        self.end(process);
        if crash == Crash::PowerLoss {
            self.report.power_losses += 1;
            let random = &mut self.random;
            let disk = self.disks.get_mut(&machine).expect("a process has a disk");
            disk.files.values_mut().for_each(|file| file.lose_power(random));
        } else {
            self.report.kills += 1;
        }
        self.check_settled(now, machine, "at a crash");
    }

    fn end(&mut self, process: ProcessId) {
        let process = &mut self.processes[process];
        process.death.cancel();
        if let Some(disk) = self.disks.get_mut(&process.machine) {
            disk.files.values_mut().for_each(|file| file.open = false);
        }
    }

    fn acted(&mut self, now: Duration, process: ProcessId, request: &Request, how: u64) {
        self.trace.step(now, process, "acts:", [request.name().len() as u64, how]);
        self.trace.say(now, || format!("  {} {:?}", request.name(), request.detail()));
        // The service's doing, but a moment like any other for its sender to die.
        if !self.processes[process].death.is_cancelled() {
            self.count(process);
            self.is_due(now, process);
        }
    }

    fn inspect(&self, machine: MachineId) -> Option<Inspection> {
        let disk = self.disks.get(&machine)?;
        let (name, file) =
            disk.files.iter().find(|(name, _)| Path::new(name).extension().is_some_and(|e| e == "redb"))?;
        let copy = InMemoryBackend::new();
        copy.set_len(file.len() as u64).expect("memory");
        copy.write(0, file.bytes()).expect("memory");
        inspect(Box::new(copy), Path::new(name)).ok()
    }

    /// Settled never lies: each block that the owner's checkpoint names is what it says.
    fn check_settled(&mut self, now: Duration, machine: MachineId, when: &str) {
        let (Some(blob), Some(known)) = (&self.service.blob, self.inspect(machine)) else { return };
        let Some(owner) = Owner::of(blob) else { return };
        let ours = [Some(known.owner), known.next_owner].iter().flatten().any(|name| name.to_string() == owner.owner);
        if !ours {
            return;
        }
        self.report.checks += 1;
        let lies = |(block, state): (usize, &BlockState)| {
            let start = block * known.block_bytes as usize;
            let end = (start + known.block_bytes as usize).min(known.disk_bytes as usize);
            match (state, blob.bytes.get(start..end)) {
                (BlockState::Unknown, _) => false,
                (state, Some(held)) => BlockState::of(held) != *state,
                // The target has not grown yet, or not been created as large.
                (state, None) => *state != BlockState::Zero,
            }
        };
        if let Some((block, state)) = known.blocks.iter().enumerate().find(|block| lies(*block)) {
            let what = format!("{when}: the checkpoint of machine {machine} says that block {block} is {state:?}");
            self.violate(now, what);
        }
    }

    /// The first write of a block that the target holds already, and of which the process knew that.
    fn watch_economy(&mut self, now: Duration, process: ProcessId, request: &Request) {
        let (Request::Put { range, .. } | Request::Clear { range, .. }) = request else { return };
        let (Some(blob), Some(economy)) = (&self.service.blob, &mut self.processes[process].economy) else { return };
        let mut needless = Vec::new();
        let source = &economy.source;
        for block in range.offset() / economy.block_bytes..range.end().div_ceil(economy.block_bytes) {
            let start = (block * economy.block_bytes) as usize;
            let end = (start + economy.block_bytes as usize).min(blob.bytes.len().saturating_sub(512));
            let inside =
                source.bytes.len().clamp(start.min(source.bytes.len()), end.max(start).min(source.bytes.len()));
            if start >= end || !economy.sent.insert(block) {
                continue;
            }
            let (data, rest) = (&source.bytes[start.min(inside)..inside], &blob.bytes[inside.max(start)..end]);
            let equal = blob.bytes[start..inside.max(start)] == *data && rest.iter().all(|byte| *byte == 0);
            if !equal {
                continue;
            }
            let len = range.end().min(end as u64) - range.offset().max(start as u64);
            if matches!(request, Request::Put { .. }) {
                self.report.bytes_sent_again += len;
            }
            if !economy.unknown.contains(&block) {
                needless.push(block);
            }
        }
        for block in needless {
            let what = format!("process {process} sent block {block} again, which was settled and has not changed");
            self.violate(now, what);
        }
    }
}

impl Trace {
    fn step(&mut self, now: Duration, process: ProcessId, what: &str, detail: [u64; 2]) {
        self.hash.update(&(now.as_millis() as u64).to_le_bytes());
        self.hash.update(&(process as u64).to_le_bytes());
        self.hash.update(what.as_bytes());
        for number in detail {
            self.hash.update(&number.to_le_bytes());
        }
        self.say(now, || format!("process {process} {what} {detail:?}"));
    }

    fn say(&mut self, now: Duration, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.text {
            let _ = writeln!(trace, "{:>10.3} s  {}", now.as_secs_f64(), text());
        }
    }
}

/// The machines of a world, as the engine sees them: the folder `/machine-M/life-P` belongs to process P.
pub(crate) struct Lent(pub(crate) Arc<World>);

impl Lent {
    fn file_step(
        &self,
        path: &Path,
        what: &str,
        length: u64,
    ) -> io::Result<(MutexGuard<'_, State>, ProcessId, MachineId, String)> {
        let process = path
            .parent()
            .and_then(|folder| folder.file_name()?.to_str()?.strip_prefix("life-")?.parse::<ProcessId>().ok())
            .ok_or_else(|| io::Error::other("no folder of a process"))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let now = self.0.now();
        let mut state = self.0.lock();
        state.step(now, process, what, [length, 0]).map_err(dead)?;
        let machine = state.processes[process].machine;
        Ok((state, process, machine, name))
    }
}

fn dead(_: Dead) -> io::Error {
    io::Error::other("the process is dead")
}

impl Machines for Lent {
    fn blocking_time(&self) -> BlockingTime {
        let mut state = self.0.lock();
        let slowest = state.slowest_thread.as_millis() as u64;
        let mut draw = || {
            // Usually no time at all; now and then a machine that is short of threads or has a slow disk.
            let most = if state.random.u8(..16) == 0 { slowest } else { 1.min(slowest) };
            Duration::from_millis(state.random.u64(..=most))
        };
        BlockingTime { before: draw(), after: draw() }
    }

    fn file_len(&self, path: &Path) -> io::Result<Option<u64>> {
        let (state, _, machine, name) = self.file_step(path, "looks for a file", 0)?;
        Ok(state.disks[&machine].files.get(&name).map(|file| file.len() as u64))
    }

    fn create_file(&self, path: &Path) -> io::Result<()> {
        let (mut state, _, machine, name) = self.file_step(path, "makes a file", 0)?;
        let disk = state.disks.get_mut(&machine).expect("a process has a disk");
        if disk.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.files.insert(name, Default::default());
        Ok(())
    }

    fn open_file(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let (mut state, process, machine, name) = self.file_step(path, "opens a file", 0)?;
        let disk = state.disks.get_mut(&machine).expect("a process has a disk");
        let file = disk.files.get_mut(&name).ok_or(io::ErrorKind::NotFound)?;
        if std::mem::replace(&mut file.open, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(OpenFile { world: Arc::clone(&self.0), process, machine, name: Mutex::new(name) }))
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut state, _, machine, from) = self.file_step(from, "renames a file", 0)?;
        let to = to.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let disk = state.disks.get_mut(&machine).expect("a process has a disk");
        let file = disk.files.remove(&from).ok_or(io::ErrorKind::NotFound)?;
        disk.files.insert(to, file);
        Ok(())
    }
}

/// A file that a process has open.
#[derive(Debug)]
struct OpenFile {
    world: Arc<World>,
    process: ProcessId,
    machine: MachineId,
    name: Mutex<String>,
}

impl OpenFile {
    fn with<T>(
        &self,
        step: Option<(&str, u64)>,
        act: impl FnOnce(&mut crate::disk::File, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let now = self.world.now();
        let mut state = self.world.lock();
        match step {
            Some((what, detail)) => state.step(now, self.process, what, [detail, 0]).map_err(dead)?,
            None if state.processes[self.process].death.is_cancelled() => return Err(dead(Dead)),
            None => {}
        }
        let disk = state.disks.get_mut(&self.machine).expect("a process has a disk");
        let full = disk.full;
        let mut name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        if !disk.files.contains_key(&*name) {
            // It was renamed while it was open.
            *name = Path::new(&*name).with_extension("redb").display().to_string();
        }
        let file = disk.files.get_mut(&*name).ok_or(io::ErrorKind::NotFound)?;
        let result = act(file, full);
        if full && result.is_err() {
            state.report.full_disks += 1;
        }
        result
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.with(None, |file, _| Ok(file.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(None, |file, _| file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(Some(("sets a file's length", len)), |file, full| {
            if full && len > file.len() as u64 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.set_len(len);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let lies = self.world.planted() == Planted::DiskLies;
        self.with(Some(("syncs a file", 0)), |file, _| {
            if !lies {
                file.sync();
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(Some(("writes to a file", offset)), |file, full| {
            if full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.write(offset, data);
            Ok(())
        })
    }

    fn close(&self) -> io::Result<()> {
        // A dead process's files were closed when it died.
        let _ = self.with(None, |file, _| {
            file.open = false;
            Ok(())
        });
        Ok(())
    }
}
