//! Take-over races: an owner is paused (SIGSTOP) or cut off in the middle of a cycle, another machine with other
//! content takes over, and the first goes on while the second writes or after. Or both claim the replica at once.
//!
//! Each machine reaches the service through a proxy of its own, whose journal tells what of its requests was carried
//! out and when. After each race the replica must equal the disk of the machine that owns it last, byte for byte; no
//! write of an owner may have been carried out after another had taken its lease; every put and clear must have
//! carried the sequence number of its owner's generation. A few races later every recovery point is held against its
//! sealed map.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use libmigrate::Engine;
use libmigrate::target::azure::AzureOptions;
use libmigrate_test_support::fault_proxy::FaultProxy;
use libmigrate_test_support::page_blob_server::{JournalEntry, Limits, Op};
use libmigrate_test_support::sample_disk::{SampleDisk, mutate};
use serde::Serialize;

use crate::comparison;
use crate::process::{LOOK, Machine, Moment, Process};
use crate::replicator::{Entry, Outcome, open_target, options};
use crate::service::{Service, ServiceKind, connection_string, replica_at};

const MIB: u64 = 1 << 20;
const DISK: SampleDisk = SampleDisk { len: 32 * MIB, data_bytes: 20 * MIB, seed: 0 };
/// Share of each machine's data that changes between races.
const CHURN: f64 = 0.5;
const RACES_PER_REPLICA: u32 = 5;
/// Each machine's line, so that a cycle takes long enough to be caught in its middle.
const LINE: u64 = 24 * MIB;
/// About what a cycle takes and puts, from which moments are drawn.
const WHOLE: Duration = Duration::from_millis(700);
const PUTS: u64 = 150;
/// Longer than a claimant waits for a lease to run out.
const CLAIM_LIMIT: Duration = Duration::from_secs(60);
/// How an owner may end that was overtaken: told so by the service, or by its own clock before.
const OVERTAKEN: [&str; 2] = ["target.fenced", "target.lease_expired"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many races.
    #[arg(long, default_value_t = 50)]
    runs: u32,
    /// What moments, disks and changes are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the replica is.
    #[arg(long, value_enum, default_value = "server")]
    target: ServiceKind,
}

/// What the storm found.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Races; those whose owner had ended before its moment came do not count.
    runs: u32,
    /// Races by kind.
    races: BTreeMap<&'static str, u32>,
    /// Owners that were stopped while they held the lease.
    paused_owners: u32,
    finished_first: u32,
    /// Writes of owners that the service refused after a take-over.
    writes_refused: u64,
    /// Writes of owners that it carried out after a take-over.
    landed_after_takeover: u64,
    /// How each owner that was stopped ended: a code, or `sealed` before it was overtaken (or after, as a claimant
    /// who had to wait).
    old_owners_ended: BTreeMap<String, u32>,
    /// How each of two claimants ended.
    claimants_ended: BTreeMap<String, u32>,
    wrong_replicas: u32,
    recovery_points_verified: u64,
    seconds: f64,
}

/// Runs the races; an error if anything lands that must not, or a replica differs.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::default();
    let start = Instant::now();
    let mut failure = None;
    for seed in options.seed.. {
        if report.runs >= options.runs || failure.is_some() {
            break;
        }
        let before = report.runs;
        failure = one_replica(seed, options, &mut report).await.err().map(|error| {
            report.wrong_replicas += 1;
            let (again, target) = (report.runs - before + 1, options.target.name());
            error.context(format!("again with: cargo xtask fence-storm --runs {again} --seed {seed} --target {target}"))
        });
    }
    report.seconds = start.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string_pretty(&report)?);
    failure.map_or(Ok(()), Err)
}

async fn one_replica(seed: u64, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(options.target).await?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sides = Vec::new();
    for name in ["here", "there"] {
        let proxy = FaultProxy::start(&service.endpoint()).await?;
        proxy.faults().limit(Limits { bytes_per_second: Some(LINE), ..Limits::default() });
        let (target, credential) = (replica_at(proxy.endpoint()), connection_string(proxy.endpoint()));
        let machine = Machine::new(folder.path(), name, target, credential);
        SampleDisk { seed: random.u64(..), ..DISK }.write(&machine.source)?;
        sides.push(Side { machine, proxy });
    }
    let mut arena = Arena { service, sides, random, report };
    let mut last = 0;
    for _ in 0..RACES_PER_REPLICA {
        if arena.report.runs < options.runs {
            last = arena.race().await?.unwrap_or(last);
        }
    }
    let Side { machine, .. } = &arena.sides[last];
    let engine = Engine::new(self::options(&machine.state))?;
    let target = open_target(&machine.target, &machine.connection_string, AzureOptions::default())?;
    report.recovery_points_verified += comparison::recovery_points(&engine, target, &machine.source).await?;
    Ok(())
}

/// A machine and its way to the service.
struct Side {
    machine: Machine,
    proxy: FaultProxy,
}

/// Two machines and the replica that both want.
struct Arena<'a> {
    service: Service,
    sides: Vec<Side>,
    random: fastrand::Rng,
    report: &'a mut Report,
}

/// How the owner is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Pause,
    Cut,
}

impl Arena<'_> {
    /// One race; which side owns the replica in the end, or nothing when there was none.
    async fn race(&mut self) -> anyhow::Result<Option<usize>> {
        for side in &self.sides {
            mutate(&side.machine.source, CHURN, 64 << 10, self.random.u64(..))?;
            let _ = fs::remove_file(&side.machine.log);
        }
        let old = self.random.usize(0..2);
        let (kind, winner) = match self.random.u8(0..6) {
            0 => ("both_at_once", Some(self.both_at_once().await?)),
            1 => ("cut_off", self.overtake(old, Stop::Cut).await?),
            _ => ("paused", self.overtake(old, Stop::Pause).await?),
        };
        let Some(winner) = winner else { return Ok(None) };
        self.report.runs += 1;
        *self.report.races.entry(kind).or_default() += 1;
        let direct = self.service.endpoint();
        let target = open_target(&replica_at(&direct), &connection_string(&direct), AzureOptions::default())?;
        comparison::equal(&*target, &self.sides[winner].machine.source).await?;
        Ok(Some(winner))
    }

    /// The owner is stopped, the other takes over, and the owner goes on.
    async fn overtake(&mut self, old: usize, stop: Stop) -> anyhow::Result<Option<usize>> {
        let new = 1 - old;
        let began = Instant::now();
        let mut owner = self.sides[old].machine.start(Entry::Wait)?;
        self.sides[old].lease_taken(began, &mut owner).await?;
        let moment = Moment::draw(&mut self.random, WHOLE, PUTS);
        if !moment.come(&self.sides[old].machine, &mut owner).await? {
            self.report.finished_first += 1;
            let outcome = owner.outcome().await?;
            ensure!(outcome.code.is_none(), "an owner that nobody disturbed failed: {outcome:?}");
            return Ok(None);
        }
        match stop {
            Stop::Pause => owner.pause()?,
            Stop::Cut => self.sides[old].proxy.cut(),
        }
        let entry = self.draw_entry();
        let mut claimant = self.sides[new].machine.start(entry)?;
        self.sides[new].lease_taken(began, &mut claimant).await?;
        let moment = Moment::draw(&mut self.random, WHOLE, PUTS);
        // After its end is a moment like any other.
        let _ = moment.come(&self.sides[new].machine, &mut claimant).await?;
        match stop {
            Stop::Pause => owner.go_on()?,
            Stop::Cut => self.sides[old].proxy.mend(),
        }
        self.report.paused_owners += u32::from(stop == Stop::Pause);
        let (ended, won) = (owner.outcome().await?, claimant.outcome().await?);
        let code = ended.code.clone().unwrap_or_else(|| "sealed".into());
        *self.report.old_owners_ended.entry(code).or_default() += 1;
        let ends = if old == 0 { [ended, won] } else { [won, ended] };
        self.judge(&ends, began).map(Some)
    }

    /// How the next owner gets the lease: by force, or when it has run out. On Azurite that takes as long as an
    /// owner waits by its own clock, so it is rare there.
    fn draw_entry(&mut self) -> Entry {
        match self.random.u8(0..8) {
            0..4 => Entry::Force,
            4 => Entry::Wait,
            _ if self.service.let_leases_run_out() => Entry::Wait,
            _ => Entry::Force,
        }
    }

    /// Both start at once, each ready to wait or to use force.
    async fn both_at_once(&mut self) -> anyhow::Result<usize> {
        let began = Instant::now();
        let mut entries = [Entry::Wait, Entry::Force];
        self.random.shuffle(&mut entries);
        let first = self.sides[0].machine.start(entries[0])?;
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..300))).await;
        let second = self.sides[1].machine.start(if self.random.bool() { entries[0] } else { entries[1] })?;
        let ends = [first.outcome().await?, second.outcome().await?];
        for outcome in &ends {
            let code = outcome.code.clone().unwrap_or_else(|| "sealed".into());
            *self.report.claimants_ended.entry(code).or_default() += 1;
        }
        self.judge(&ends, began)
    }

    /// Who owns the replica in the end. Nothing of the other may have landed after that one's lease began, and its
    /// end must be that of an owner who was overtaken, or have come before.
    fn judge(&mut self, ends: &[Outcome; 2], began: Instant) -> anyhow::Result<usize> {
        let winner = (0..2)
            .filter(|side| ends[*side].code.is_none())
            .max_by_key(|side| ends[*side].generation)
            .with_context(|| format!("neither owns the replica: {ends:?}"))?;
        let loser = 1 - winner;
        let since = self.sides[winner].last_lease(began).context("the winner took no lease")?;
        self.judge_overtaken(&self.sides[loser].since(began), since, &ends[loser])?;
        for (side, outcome) in self.sides.iter().zip(ends) {
            side.conditions_hold(began, outcome)?;
        }
        Ok(winner)
    }

    /// Counts what became of the writes of one who was overtaken at `taken`.
    fn judge_overtaken(&mut self, journal: &[JournalEntry], taken: Instant, outcome: &Outcome) -> anyhow::Result<()> {
        let after = journal.iter().filter(|entry| is_write(entry.op) && entry.began > taken);
        let (landed, refused): (Vec<_>, Vec<_>) = after.partition(|entry| entry.status < 400);
        self.report.writes_refused += refused.len() as u64;
        self.report.landed_after_takeover += landed.len() as u64;
        ensure!(landed.is_empty(), "carried out after the take-over: {:?}", landed[0]);
        match &outcome.code {
            None => ensure!(refused.is_empty(), "an owner whose writes were refused says that it sealed"),
            Some(code) if OVERTAKEN.contains(&code.as_str()) => {}
            Some(_) => bail!("an overtaken owner ended otherwise: {outcome:?}"),
        }
        Ok(())
    }
}

impl Side {
    /// What this side asked since `began`, oldest first.
    fn since(&self, began: Instant) -> Vec<JournalEntry> {
        self.proxy.journal().into_iter().filter(|entry| entry.began > began).collect()
    }

    /// When this side was granted its newest lease.
    fn last_lease(&self, began: Instant) -> Option<Instant> {
        let journal = self.since(began);
        journal.iter().rfind(|entry| entry.op == Op::AcquireLease && entry.status < 400).map(|entry| entry.ended)
    }

    /// Waits for a lease.
    async fn lease_taken(&self, began: Instant, process: &mut Process) -> anyhow::Result<()> {
        let limit = Instant::now() + CLAIM_LIMIT;
        while self.last_lease(began).is_none() {
            ensure!(process.is_running()? && Instant::now() < limit, "a claimant got no lease");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Every put and clear that was carried out carried the number of this owner's generation, and a lease.
    fn conditions_hold(&self, began: Instant, outcome: &Outcome) -> anyhow::Result<()> {
        for entry in self.since(began) {
            if matches!(entry.op, Op::PutPage | Op::ClearPage) && entry.status < 400 {
                let generation = entry.sequence.map(|sequence| sequence >> 32);
                let ours = outcome.generation.map(i64::from);
                ensure!(generation.is_some() && entry.lease.is_some(), "not fenced: {entry:?}");
                ensure!(ours.is_none() || generation == ours, "of another generation than {ours:?}: {entry:?}");
            }
        }
        Ok(())
    }
}

/// What changes the replica. Objects beside it are named by their content, so it does not matter who puts them.
fn is_write(op: Op) -> bool {
    matches!(
        op,
        Op::PutPage
            | Op::ClearPage
            | Op::SetBlobMetadata
            | Op::SetSequenceNumber
            | Op::SnapshotBlob
            | Op::ResizeBlob
            | Op::CreatePageBlob
    )
}
