//! Kills a replicating process with SIGKILL at random moments, lets the next one go on, and compares replica and
//! source byte for byte.
//!
//! Each round changes the disk, starts a process that replicates it, kills it, and starts another, which may be
//! killed as well; the last one must finish. Only a process that was killed before it had ended counts as a run. The
//! processes log every put before it is sent, so the bytes that were sent again are counted exactly: all puts of a
//! round less the bytes they cover.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use libmigrate::Engine;
use libmigrate::target::azure::AzureOptions;
use libmigrate_test_support::sample_disk::{SampleDisk, mutate};
use serde::Serialize;

use crate::process::{Machine, Moment};
use crate::replicator::{Entry, open_target, options};
use crate::service::{Service, ServiceKind, connection_string, replica_at};
use crate::{comparison, put_log};

const MIB: u64 = 1 << 20;
const DISK: SampleDisk = SampleDisk { len: 64 * MIB, data_bytes: 40 * MIB, seed: 0 };
/// Share of the data that changes between rounds.
const CHURN: f64 = 0.5;
/// A replica is given up after so many rounds, so that initial cycles are hit as well.
const ROUNDS_PER_REPLICA: u32 = 5;
/// How often in a row the processes of one round are killed at most.
const KILLS_PER_ROUND: u32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many kills of processes that had not ended.
    #[arg(long, default_value_t = 100)]
    runs: u32,
    /// What moments, disks and changes are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the replica is.
    #[arg(long, value_enum, default_value = "local")]
    target: Kind,
}

/// Kinds of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The embedded local target.
    Local,
    /// A real Azurite.
    Azurite,
}

/// What the storm found.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Processes that were killed before they had ended.
    runs: u32,
    /// Of these, killed after their first put and before their last.
    killed_while_putting: u32,
    /// Processes that ended before their moment came; they do not count.
    finished_first: u32,
    /// Replicas that were compared byte for byte.
    compared: u32,
    wrong_replicas: u32,
    /// Recovery points that were held against their sealed maps.
    recovery_points_verified: u64,
    /// Bytes put in all.
    sent: u64,
    /// Of these, sent more than once.
    sent_again: u64,
    /// The most that one kill cost.
    most_sent_again: u64,
    seconds: f64,
}

/// Kills `runs` times; an error if a replica ever differs.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::default();
    let start = Instant::now();
    for seed in options.seed.. {
        if report.runs >= options.runs {
            break;
        }
        let before = report.runs;
        let result = one_replica(seed, options, &mut report).await;
        if result.is_err() {
            report.wrong_replicas += 1;
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        let target = if options.target == Kind::Local { "local" } else { "azurite" };
        let again = (report.runs - before).max(1);
        result.with_context(|| {
            format!("again with: cargo xtask crash-storm --runs {again} --seed {seed} --target {target}")
        })?;
    }
    report.seconds = start.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

async fn one_replica(seed: u64, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let service = match options.target {
        Kind::Local => None,
        Kind::Azurite => Some(Service::start(ServiceKind::Azurite).await?),
    };
    let endpoint = service.as_ref().map(Service::endpoint);
    let target = match &endpoint {
        None => folder.path().join("replica.vhd").display().to_string(),
        Some(endpoint) => replica_at(endpoint),
    };
    let machine =
        Machine::new(folder.path(), "web01", target, endpoint.as_deref().map_or_else(String::new, connection_string));
    let mut random = fastrand::Rng::with_seed(seed);
    SampleDisk { seed: random.u64(..), ..DISK }.write(&machine.source)?;
    let mut pace = Pace { whole: Duration::from_millis(1500), puts: 300 };
    for _ in 0..ROUNDS_PER_REPLICA {
        if report.runs >= options.runs {
            break;
        }
        mutate(&machine.source, CHURN, 64 << 10, random.u64(..))?;
        let kills = random.u32(1..=KILLS_PER_ROUND).min(options.runs - report.runs);
        one_round(&machine, kills, &mut pace, &mut random, report).await?;
    }
    let engine = Engine::new(self::options(&machine.state))?;
    let target = open_target(&machine.target, &machine.connection_string, AzureOptions::default())?;
    report.recovery_points_verified += comparison::recovery_points(&engine, target, &machine.source).await?;
    Ok(())
}

/// About what a cycle takes and puts, from which moments are drawn.
struct Pace {
    whole: Duration,
    puts: u64,
}

async fn one_round(
    machine: &Machine,
    kills: u32,
    pace: &mut Pace,
    random: &mut fastrand::Rng,
    report: &mut Report,
) -> anyhow::Result<()> {
    let _ = fs::remove_file(&machine.log);
    let mut again = 0;
    for _ in 0..kills {
        let puts_before = machine.puts();
        let moment = Moment::draw(random, pace.whole, pace.puts).on_top_of(puts_before);
        let mut process = machine.start(Entry::Wait)?;
        if !moment.come(machine, &mut process).await? {
            report.finished_first += 1;
            let outcome = process.outcome().await?;
            ensure!(outcome.code.is_none(), "a process that was not killed failed: {outcome:?}");
            break;
        }
        process.kill().await?;
        report.runs += 1;
        let puts = machine.puts() - puts_before;
        report.killed_while_putting += u32::from((1..pace.puts).contains(&puts));
        again = count_again(machine, again, report)?;
    }
    let start = Instant::now();
    let outcome = machine.start(Entry::Wait)?.outcome().await?;
    ensure!(outcome.code.is_none(), "the process after the kill failed: {outcome:?}");
    pace.whole = pace.whole.min(start.elapsed().max(Duration::from_millis(100)));
    let target = open_target(&machine.target, &machine.connection_string, AzureOptions::default())?;
    comparison::equal(&*target, &machine.source).await?;
    report.compared += 1;
    count_again(machine, again, report)?;
    let sums = put_log::sums(&machine.log)?;
    pace.puts = (sums.puts as f64 * (1.0 - sums.again as f64 / sums.bytes as f64)) as u64;
    report.sent += sums.bytes;
    report.sent_again += sums.again;
    Ok(())
}

/// What was sent again since `before`, which is the last kill's price; the new sum.
fn count_again(machine: &Machine, before: u64, report: &mut Report) -> anyhow::Result<u64> {
    let again = put_log::sums(&machine.log)?.again;
    report.most_sent_again = report.most_sent_again.max(again - before);
    Ok(again)
}
