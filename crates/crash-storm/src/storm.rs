//! The one that kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libmigrate::size::PageRange;
use libmigrate::target::View;
use libmigrate_test_support::azurite::Azurite;
use libmigrate_test_support::sample_disk::{SampleDisk, mutate};
use serde::Serialize;

use crate::{Kind, put_log, replicator};

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 64 * MIB;
const DATA_BYTES: u64 = 40 * MIB;
/// Share of the data that changes between rounds.
const CHURN: f64 = 0.5;
/// A replica is given up after so many rounds, so that initial cycles are hit as well.
const ROUNDS_PER_REPLICA: u32 = 5;

/// What the storm found.
#[derive(Debug, Default, Serialize)]
struct Report {
    runs: u32,
    /// Processes that were killed before they had finished.
    killed: u32,
    /// Processes that finished before their moment came.
    finished_first: u32,
    /// Bytes put in all.
    sent: u64,
    /// Of these, sent more than once.
    sent_again: u64,
    /// The most that one kill cost.
    most_sent_again: u64,
    seconds: f64,
}

/// One replica and what belongs to it.
struct Replica {
    source: PathBuf,
    target: String,
    connection_string: String,
    state: PathBuf,
    log: PathBuf,
}

/// Kills `runs` times; an error if a replica ever differs.
pub(crate) async fn run(runs: u32, seed: u64, kind: Kind) -> anyhow::Result<()> {
    let azurite = match kind {
        Kind::Local => None,
        Kind::Azurite => Some(Azurite::start().context("Azurite is not installed: run `cargo xtask tools`")?),
    };
    let connection_string = azurite.as_ref().map_or_else(String::new, Azurite::connection_string);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut report = Report { runs, ..Report::default() };
    let start = Instant::now();
    let mut left = runs;
    while left > 0 {
        let folder = tempfile::tempdir()?;
        let target = match &azurite {
            None => folder.path().join("replica.vhd").display().to_string(),
            Some(azurite) => {
                let container = format!("storm{left}");
                azurite.create_container(&container)?;
                azurite.blob_url(&container, "replica.vhd")
            }
        };
        let replica = Replica {
            source: folder.path().join("disk.raw"),
            target,
            connection_string: connection_string.clone(),
            state: folder.path().join("state"),
            log: folder.path().join("puts"),
        };
        let rounds = left.min(ROUNDS_PER_REPLICA);
        rounds_on(&replica, rounds, &mut random, &mut report).await?;
        left -= rounds;
    }
    report.seconds = start.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

async fn rounds_on(
    replica: &Replica,
    rounds: u32,
    random: &mut fastrand::Rng,
    report: &mut Report,
) -> anyhow::Result<()> {
    SampleDisk { len: DISK_BYTES, data_bytes: DATA_BYTES, seed: random.u64(..) }.write(&replica.source)?;
    let mut whole = Duration::from_millis(1500);
    for _ in 0..rounds {
        mutate(&replica.source, CHURN, 64 << 10, random.u64(..))?;
        let _ = fs::remove_file(&replica.log);
        let mut child = replica.start()?;
        std::thread::sleep(whole.mul_f64(random.f64()));
        if child.try_wait()?.is_some() {
            report.finished_first += 1;
        } else {
            child.kill()?;
            report.killed += 1;
        }
        child.wait()?;

        let start = Instant::now();
        let status = replica.start()?.wait()?;
        ensure!(status.success(), "the process after the kill failed: {status}");
        whole = whole.min(start.elapsed().max(Duration::from_millis(100)));
        replica.compare().await?;
        let (again, sent) = put_log::sent_again(&replica.log)?;
        report.sent += sent;
        report.sent_again += again;
        report.most_sent_again = report.most_sent_again.max(again);
    }
    Ok(())
}

impl Replica {
    fn start(&self) -> anyhow::Result<Child> {
        Command::new(std::env::current_exe()?)
            .arg("replicate")
            .arg("--source")
            .arg(&self.source)
            .args(["--target", &self.target])
            .arg("--state")
            .arg(&self.state)
            .arg("--log")
            .arg(&self.log)
            .env("AZURE_STORAGE_CONNECTION_STRING", &self.connection_string)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start another process of this program")
    }

    async fn compare(&self) -> anyhow::Result<()> {
        let expected = read(&self.source)?;
        let target = replicator::open_target(&self.target, &self.connection_string)?;
        for (index, expected) in expected.chunks(4 << 20).enumerate() {
            let offset = index as u64 * (4 << 20);
            let range = PageRange::new(offset, expected.len() as u64).context("disks are whole pages")?;
            let found = target.read(&View::Live, range).await?;
            let differs = found.iter().zip(expected).position(|(a, b)| a != b);
            ensure!(differs.is_none(), "replica and source differ at offset {}", offset + differs.unwrap_or(0) as u64);
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
