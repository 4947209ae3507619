//! A replicating process as the one who starts, kills, pauses and reads it sees it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::put_log;
use crate::replicator::{Entry, Outcome};

/// Longer than any cycle here; far longer than an owner that lost its lease may go on.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often something is looked at that cannot be waited for.
pub(crate) const LOOK: Duration = Duration::from_micros(500);

/// One who replicates: a machine with a disk and a state folder.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) source: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) log: PathBuf,
    /// A path or URL, as this machine sees it.
    pub(crate) target: String,
    pub(crate) connection_string: String,
}

impl Machine {
    pub(crate) fn new(folder: &Path, name: &str, target: String, connection_string: String) -> Self {
        Self {
            source: folder.join(format!("{name}.raw")),
            state: folder.join(format!("{name}.state")),
            log: folder.join(format!("{name}.puts")),
            target,
            connection_string,
        }
    }

    /// Starts a cycle in a process of its own.
    pub(crate) fn start(&self, entry: Entry) -> anyhow::Result<Process> {
        let child = Command::new(std::env::current_exe()?)
            .arg("replicate")
            .arg("--source")
            .arg(&self.source)
            .args(["--target", &self.target])
            .arg("--state")
            .arg(&self.state)
            .arg("--log")
            .arg(&self.log)
            .args(["--entry", if entry == Entry::Force { "force" } else { "wait" }])
            .env("AZURE_STORAGE_CONNECTION_STRING", &self.connection_string)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start another process of this program")?;
        Ok(Process { child })
    }

    /// How many puts were begun since the log was removed.
    pub(crate) fn puts(&self) -> u64 {
        put_log::puts(&self.log)
    }
}

/// A running one; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        // One that has ended is no longer to be paused or continued; its outcome says how it ended.
        id.map_or(Ok(()), |id| Ok(kill_process(id, signal)?))
    }

    /// Waits for its end.
    pub(crate) async fn outcome(self) -> anyhow::Result<Outcome> {
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output())
            .await
            .with_context(|| format!("a process did not end within {PATIENCE:?}"))??;
        let text = String::from_utf8_lossy(&output.stdout);
        let outcome: Outcome = text
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok())
            .with_context(|| format!("a process ended without a word ({})", output.status))?;
        ensure!(output.status.success() == outcome.code.is_none(), "{} and {outcome:?}", output.status);
        Ok(outcome)
    }
}

/// When something is done to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// So long after its start: also before the first put and after the last.
    After(Duration),
    /// So long after so many puts were begun.
    AtPut(u64, Duration),
}

impl Moment {
    /// One moment in a cycle that takes about `whole` and makes about `puts` puts.
    pub(crate) fn draw(random: &mut fastrand::Rng, whole: Duration, puts: u64) -> Self {
        if random.bool() {
            Self::After(whole.mul_f64(random.f64()))
        } else {
            Self::AtPut(random.u64(0..=puts), Duration::from_micros(random.u64(0..5000)))
        }
    }

    /// The same, where so many puts were logged before.
    pub(crate) fn on_top_of(self, logged: u64) -> Self {
        match self {
            Self::AtPut(puts, wait) => Self::AtPut(logged + puts, wait),
            Self::After(_) => self,
        }
    }

    /// Waits for it; `false` when the process has ended first.
    pub(crate) async fn come(self, machine: &Machine, process: &mut Process) -> anyhow::Result<bool> {
        let start = Instant::now();
        match self {
            Self::After(wait) => tokio::time::sleep(wait).await,
            Self::AtPut(puts, wait) => {
                while machine.puts() < puts && process.is_running()? && start.elapsed() < PATIENCE {
                    tokio::time::sleep(LOOK).await;
                }
                tokio::time::sleep(wait).await;
            }
        }
        process.is_running()
    }
}
