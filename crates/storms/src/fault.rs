//! Faults for the requests of whole cycles, drawn from a seed.
//!
//! Each run replicates a disk of its own: all of it, a delta with a change list, a delta with new holes, a final
//! cycle. While it does, requests fail as a schedule says. A cycle must end well, or with an error whose kind says
//! that the same call may succeed later; then the same cycle without faults must end well. At the end the replica
//! is compared byte for byte and every recovery point is held against its sealed map. Writes that the service
//! answered with a time-out are carried out late, at moments that are drawn as well.
//!
//! The faults strike in the in-process server itself, or in a proxy before Azurite.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libmigrate::progress::EventKind;
use libmigrate::size::BlockSize;
use libmigrate::source::{self, ChangeId, ChangeList, Format};
use libmigrate::target::azure::AzureOptions;
use libmigrate::{
    CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions, Error, PageTarget, RequestedKind,
    RetryPolicy,
};
use libmigrate_test_support::fault_proxy::FaultProxy;
use libmigrate_test_support::page_blob_server::{Faults, Op, Rates, Slowdown};
use libmigrate_test_support::sample_disk::{Mutation, SampleDisk};
use rustix::fs::{FallocateFlags, fallocate};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::comparison;
use crate::process::Machine;
use crate::put_log::{self, Logged};
use crate::replicator::{open_target, options};
use crate::service::{Service, ServiceKind, connection_string, replica_at};

const MIB: u64 = 1 << 20;
const DISK: SampleDisk = SampleDisk { len: 12 * MIB, data_bytes: 6 * MIB, seed: 0 };
/// Many small requests meet more faults than few large ones.
const RUN_BYTES: u64 = 64 << 10;
/// Runs that are under way at once: most of the time each waits.
const AT_ONCE: usize = 4;
/// How long the client waits for an answer; to a request with a body a second more.
const HURRY: Duration = Duration::from_millis(250);
/// Longer than it waits for any.
const TOO_LATE: Duration = Duration::from_millis(1400);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many schedules.
    #[arg(long, default_value_t = 100)]
    runs: u32,
    /// What the first schedule is drawn from; the others are drawn from the numbers after it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the replica is.
    #[arg(long, value_enum, default_value = "server")]
    target: ServiceKind,
}

/// What the storm found.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Schedules.
    runs: u32,
    cycles: u32,
    /// Faults that happened, by kind.
    faults: BTreeMap<String, u64>,
    /// Requests that the engine tried again.
    retries: u64,
    /// Writes that the service carried out after it had answered with a time-out, and those that it refused then.
    late_writes_carried_out: u64,
    late_writes_refused: u64,
    /// Cycles that ended with an error that may pass, by code; each was done again without faults.
    cycles_ended_early: BTreeMap<String, u32>,
    /// Runs that did not end as they must.
    wrong_replicas: u32,
    recovery_points_verified: u64,
    /// Bytes put in all.
    sent: u64,
    /// Of these, sent more than once.
    sent_again: u64,
    seconds: f64,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.cycles += other.cycles;
        other.faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        self.retries += other.retries;
        self.late_writes_carried_out += other.late_writes_carried_out;
        self.late_writes_refused += other.late_writes_refused;
        for (code, count) in other.cycles_ended_early {
            *self.cycles_ended_early.entry(code).or_default() += count;
        }
        self.recovery_points_verified += other.recovery_points_verified;
        self.sent += other.sent;
        self.sent_again += other.sent_again;
    }
}

/// Runs the schedules; an error if a replica ever differs or an error is not one that may pass.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::default();
    let start = Instant::now();
    let mut seeds = (options.seed..).take(options.runs as usize);
    let mut running = JoinSet::new();
    let mut failure = None;
    loop {
        while running.len() < AT_ONCE
            && failure.is_none()
            && let Some(seed) = seeds.next()
        {
            let target = options.target;
            running.spawn(async move { (seed, one_schedule(seed, target).await) });
        }
        let Some(ended) = running.join_next().await else { break };
        let (seed, result) = ended?;
        match result {
            Ok(found) => report.add(found),
            Err(error) => {
                report.wrong_replicas += 1;
                let target = options.target.name();
                failure =
                    Some(error.context(format!(
                        "again with: cargo xtask fault-storm --runs 1 --seed {seed} --target {target}"
                    )));
            }
        }
    }
    report.seconds = start.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string_pretty(&report)?);
    failure.map_or(Ok(()), Err)
}

/// Where the faults strike.
enum Front {
    Server,
    Proxy(FaultProxy),
}

/// One replica, its disk, and what stands between.
struct Schedule {
    random: fastrand::Rng,
    service: Service,
    front: Front,
    machine: Machine,
    report: Report,
}

async fn one_schedule(seed: u64, kind: ServiceKind) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(kind).await?;
    let front = match kind {
        ServiceKind::Server => Front::Server,
        ServiceKind::Azurite => Front::Proxy(FaultProxy::start(&service.endpoint()).await?),
    };
    let endpoint = match &front {
        Front::Server => service.endpoint(),
        Front::Proxy(proxy) => proxy.endpoint().to_owned(),
    };
    let machine = Machine::new(folder.path(), "web01", replica_at(&endpoint), connection_string(&endpoint));
    let random = fastrand::Rng::with_seed(seed);
    let mut schedule = Schedule { random, service, front, machine, report: Report { runs: 1, ..Report::default() } };
    schedule.run().await?;
    Ok(schedule.report)
}

impl Schedule {
    async fn run(&mut self) -> anyhow::Result<()> {
        let disk = SampleDisk { seed: self.random.u64(..), ..DISK };
        disk.write(&self.machine.source)?;
        self.cycle(CycleRequest { change_id: Some(ChangeId::new("1")), ..CycleRequest::default() }).await?;

        let changed = self.change(0.3)?;
        self.cycle(listed("1", "2", &changed)?).await?;

        let mut changed = self.change(0.1)?;
        changed.extend(self.punch_holes()?);
        let request = if self.random.bool() {
            listed("2", "3", &changed)?
        } else {
            CycleRequest { change_id: Some(ChangeId::new("3")), ..CycleRequest::default() }
        };
        self.cycle(request).await?;

        self.change(0.1)?;
        self.cycle(CycleRequest { kind: RequestedKind::Final, ..CycleRequest::default() }).await?;

        let statuses = self.release_late_writes().await;
        self.count_late(&statuses);
        self.report.faults = self.faults().injected();
        let target = self.target(AzureOptions::default())?;
        comparison::equal(&*target, &self.machine.source).await?;
        let engine = Engine::new(self.options(Duration::from_secs(60)))?;
        self.report.recovery_points_verified +=
            comparison::recovery_points(&engine, target, &self.machine.source).await?;
        Ok(())
    }

    /// One cycle under faults, and once more without, if these were too many.
    async fn cycle(&mut self, request: CycleRequest) -> anyhow::Result<()> {
        let _ = fs::remove_file(&self.machine.log);
        let (rates, seed) = (draw_rates(&mut self.random), self.random.u64(..));
        self.faults().seeded(seed, rates);
        let hurried =
            AzureOptions { base_timeout: HURRY, minimum_bytes_per_second: 8 * MIB, ..AzureOptions::default() };
        let budget = Duration::from_millis(self.random.u64(200..4000));
        let mut random = self.random.fork();
        let mut statuses = Vec::new();
        let result = tokio::select! {
            result = self.attempt(&request, hurried, budget) => result?,
            never = self.release_now_and_then(&mut random, &mut statuses) => match never {},
        };
        self.faults().clear();
        self.count_late(&statuses);
        self.report.retries += result.retries;
        if let Err(error) = result.end {
            ensure!(error.is_retryable(), "under faults, {}: {error}", error.code());
            *self.report.cycles_ended_early.entry(error.code().into()).or_default() += 1;
            // An open that failed before it had a checkpoint may have left a lease that nobody knows.
            self.service.let_leases_run_out();
            let again = self.attempt(&request, AzureOptions::default(), Duration::from_secs(60)).await?;
            again.end.with_context(|| format!("the same cycle without faults, after {}", error.code()))?;
        }
        self.report.cycles += 1;
        let sums = put_log::sums(&self.machine.log)?;
        self.report.sent += sums.bytes;
        self.report.sent_again += sums.again;
        Ok(())
    }

    async fn attempt(&self, request: &CycleRequest, azure: AzureOptions, budget: Duration) -> anyhow::Result<Attempt> {
        let source = source::open(&self.machine.source, Format::Raw)?;
        let target = Arc::new(Logged::new(self.target(azure)?, &self.machine.log)?);
        let engine = Engine::new(self.options(budget))?;
        let cancel = CancellationToken::new();
        let cycle = async {
            let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await?;
            replica.replicate(source, request.clone(), &cancel).await?;
            replica.close().await
        };
        let mut retries = 0;
        let mut events = engine.events().after(0);
        let end = {
            let counted = async {
                loop {
                    retries += u64::from(matches!(events.next().await.kind, EventKind::Retrying { .. }));
                }
            };
            tokio::select! {
                biased;
                end = cycle => end,
                never = counted => never,
            }
        };
        while let Some(event) = events.try_next() {
            retries += u64::from(matches!(event.kind, EventKind::Retrying { .. }));
        }
        Ok(Attempt { end, retries })
    }

    fn options(&self, budget: Duration) -> EngineOptions {
        let retry =
            RetryPolicy { first_wait: Duration::from_millis(2), longest_wait: Duration::from_millis(50), budget };
        EngineOptions {
            run_bytes: RUN_BYTES,
            block_size: BlockSize::new(RUN_BYTES),
            retry,
            ..options(&self.machine.state)
        }
    }

    fn target(&self, azure: AzureOptions) -> anyhow::Result<Arc<dyn PageTarget>> {
        open_target(&self.machine.target, &self.machine.connection_string, azure)
    }

    fn faults(&self) -> &Faults {
        match (&self.front, &self.service) {
            (Front::Proxy(proxy), _) => proxy.faults(),
            (Front::Server, Service::Server(server)) => server.faults(),
            (Front::Server, Service::Azurite(_)) => unreachable!("Azurite has no faults of its own"),
        }
    }

    async fn release_late_writes(&self) -> Vec<u16> {
        match (&self.front, &self.service) {
            (Front::Proxy(proxy), _) => proxy.release_late_writes().await,
            (Front::Server, Service::Server(server)) => server.release_late_writes(),
            (Front::Server, Service::Azurite(_)) => Vec::new(),
        }
    }

    async fn release_now_and_then(&self, random: &mut fastrand::Rng, statuses: &mut Vec<u16>) -> Infallible {
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(1..800))).await;
            statuses.extend(self.release_late_writes().await);
        }
    }

    fn count_late(&mut self, statuses: &[u16]) {
        let carried_out = statuses.iter().filter(|status| **status < 400).count() as u64;
        self.report.late_writes_carried_out += carried_out;
        self.report.late_writes_refused += statuses.len() as u64 - carried_out;
    }

    /// Changes a share of the data, some of it to zeros.
    fn change(&mut self, share: f64) -> anyhow::Result<Vec<(u64, u64)>> {
        let mutation = Mutation { share, block_bytes: 16 << 10, zero_share: 0.2, seed: self.random.u64(..) };
        Ok(mutation.apply(&self.machine.source)?)
    }

    /// Makes holes of one to four times 64 KiB.
    fn punch_holes(&mut self) -> anyhow::Result<Vec<(u64, u64)>> {
        let file = File::options().write(true).open(&self.machine.source)?;
        let mut holes = Vec::new();
        for _ in 0..self.random.u64(1..6) {
            let len = self.random.u64(1..=4) * RUN_BYTES;
            let offset = self.random.u64(0..=(DISK.len - len) / 4096) * 4096;
            fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)?;
            holes.push((offset, len));
        }
        Ok(holes)
    }
}

/// How a cycle ended.
struct Attempt {
    end: Result<(), Error>,
    retries: u64,
}

fn listed(base: &str, end: &str, extents: &[(u64, u64)]) -> anyhow::Result<CycleRequest> {
    let mut changes = ChangeList::new(ChangeId::new(base), ChangeId::new(end), DISK.len);
    extents.iter().try_for_each(|(offset, len)| changes.push(*offset, *len))?;
    Ok(CycleRequest { changes: Some(changes), ..CycleRequest::default() })
}

/// Mostly every kind, rarely or often; sometimes only what is not about pages, sometimes only a service that does
/// what it does not say.
fn draw_rates(random: &mut fastrand::Rng) -> Rates {
    let rate = [0.003, 0.01, 0.03, 0.06][random.usize(0..4)];
    let every_kind = |rate: f64| Rates {
        delay: (rate / 4.0, TOO_LATE),
        slow: (rate / 4.0, Some(Slowdown { bytes_per_second: 2 * MIB, lasting: Duration::from_millis(300) })),
        retry_after: (0.1, Duration::from_secs(1)),
        ..Rates::of_every_kind(rate)
    };
    match random.u8(0..5) {
        0 => Rates { only: STEPS.to_vec(), ..every_kind(0.06) },
        1 => Rates { apply_late: 2.0 * rate, lose_answer: rate, timed_out_but_done: rate, ..Rates::default() },
        2 => Rates { only: STEPS.to_vec(), apply_late: 0.2, lose_answer: 0.1, ..Rates::default() },
        _ => every_kind(rate),
    }
}

/// The operations by which owners and cycles follow each other.
const STEPS: [Op; 11] = [
    Op::CreatePageBlob,
    Op::GetBlobProperties,
    Op::SetBlobMetadata,
    Op::SetSequenceNumber,
    Op::SnapshotBlob,
    Op::DeleteBlob,
    Op::AcquireLease,
    Op::RenewLease,
    Op::ReleaseLease,
    Op::ListBlobs,
    Op::PutBlockBlob,
];
