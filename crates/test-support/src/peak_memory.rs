//! The most memory that a program ever held, and what else a run of it used.
//!
//! For this process: `VmHWM` of `/proc/self/status`, which the kernel keeps. For another: that line is gone
//! when the process is, and reading it again and again misses the end, so the kernel's account at `wait4` is
//! the only exact one. Rust offers no safe `wait4`, so a Python of 10 MB or so starts the program and reports it.
//! That account begins with the memory of whoever called exec, hence a small starter and not this process,
//! and hence no answer below [`STARTER_BYTES`].
//!
//! Source: Linux manual, `proc_pid_status(5)` and `getrusage(2)`; `ru_maxrss` is in KiB there.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Nothing below this can be told of a program that [`run_measured`] ran: the starter's own memory.
pub const STARTER_BYTES: u64 = 24 << 20;

/// The most physical memory in bytes that this process has held so far, or since [`reset`].
pub fn peak_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    peak_in(&status).context("/proc/self/status has no VmHWM line in kB")
}

/// Starts to measure this process anew (`5` to `/proc/self/clear_refs`).
pub fn reset() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak in /proc/self/clear_refs")
}

fn peak_in(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// What a program used from start to end, without its own children unless it waited for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The most physical memory, exact above [`STARTER_BYTES`].
    pub peak_bytes: u64,
    /// Time on a processor outside the kernel.
    pub user: Duration,
    /// Time on a processor inside the kernel.
    pub system: Duration,
    /// Time on the clock.
    pub wall: Duration,
}

impl Usage {
    /// Time on a processor.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// Runs `command` (program, arguments, environment, folder; standard input is empty, output passes through)
/// to its end and returns what it used. An ending other than 0 is an error.
pub fn run_measured(command: &Command) -> Result<Usage> {
    let report = tempfile::NamedTempFile::new().context("cannot make a file for the report")?;
    let mut starter = Command::new("python3");
    // -I -S: no user settings and no site packages, which would cost memory.
    starter.args(["-I", "-S", concat!(env!("CARGO_MANIFEST_DIR"), "/measured_run.py")]);
    starter.arg(report.path()).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => starter.env(name, value),
            None => starter.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        starter.current_dir(folder);
    }

    let status = starter.status().context("cannot start python3")?;
    ensure!(status.success(), "cannot run {command:?}; Python's words are above");
    let report = fs::read(report.path()).context("cannot read the report")?;
    let report: Report = serde_json::from_slice(&report).context("cannot read the report")?;
    match report.status {
        0 => Ok(report.usage()),
        signal @ ..0 => bail!("{command:?} was ended by signal {}", -signal),
        status => bail!("{command:?} ended with {status}"),
    }
}

/// What `measured_run.py` writes; times in seconds, a negative status is a signal.
#[derive(Debug, Deserialize)]
struct Report {
    status: i32,
    wall: f64,
    user: f64,
    system: f64,
    peak_kib: u64,
}

impl Report {
    fn usage(&self) -> Usage {
        Usage {
            peak_bytes: self.peak_kib * 1024,
            user: Duration::from_secs_f64(self.user),
            system: Duration::from_secs_f64(self.system),
            wall: Duration::from_secs_f64(self.wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A Python that holds `mib` MiB for a moment, and nothing of it at the end.
    fn holds(mib: u64) -> Command {
        let mut python = Command::new("python3");
        python.args(["-I", "-S", "-c", &format!("b = bytearray(b'x') * ({mib} << 20); del b")]);
        python
    }

    fn sh(script: &str) -> Command {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]);
        sh
    }

    #[test]
    fn the_kernels_line_is_read_in_bytes() {
        assert_eq!(peak_in("VmPeak:\t  900 kB\nVmHWM:\t    5420 kB\nVmRSS:\t 100 kB\n"), Some(5420 * 1024));
        assert_eq!(peak_in("VmPeak:\t  900 kB\n"), None);
        assert_eq!(peak_in("VmHWM:\t 99999999999999999999 kB\n"), None);
    }

    #[test]
    fn memory_that_was_given_back_still_counts_for_this_process() {
        reset().unwrap();
        let held = vec![1_u8; 64 << 20];
        assert!(std::hint::black_box(&held).iter().step_by(4096).all(|byte| *byte == 1));
        drop(held);
        assert!(peak_bytes().unwrap() >= 64 * MIB);
    }

    #[test]
    fn memory_that_was_given_back_still_counts_for_another_program() {
        let peak = run_measured(&holds(100)).unwrap().peak_bytes;
        assert!((100 * MIB..100 * MIB + STARTER_BYTES).contains(&peak), "{peak}");
    }

    #[test]
    fn a_program_is_not_charged_for_the_memory_of_who_measures_it() {
        let held = vec![1_u8; 128 << 20];
        let peak = run_measured(&sh("true")).unwrap().peak_bytes;
        assert!(peak < STARTER_BYTES, "{peak}, {}", std::hint::black_box(&held).len());
    }

    #[test]
    fn times_are_the_programs_own() {
        let mut python = Command::new("python3");
        python.args(["-I", "-S", "-c", "import time\nwhile time.process_time() < 0.3: pass"]);
        let usage = run_measured(&python).unwrap();
        assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&usage.cpu()), "{usage:?}");
        assert!(usage.wall >= Duration::from_millis(250), "{usage:?}");
    }

    #[test]
    fn environment_and_folder_are_passed_on() {
        let mut command = sh("test \"$COLOUR\" = red && test \"$PWD\" = /");
        command.env("COLOUR", "red").current_dir("/");
        run_measured(&command).unwrap();
    }

    #[test]
    fn a_bad_ending_is_an_error() {
        let failed = run_measured(&sh("exit 3")).unwrap_err().to_string();
        assert!(failed.ends_with("ended with 3"), "{failed}");
        let killed = run_measured(&sh("kill -9 $$")).unwrap_err().to_string();
        assert!(killed.ends_with("was ended by signal 9"), "{killed}");
        assert!(run_measured(&Command::new("no-such-program")).is_err());
    }
}
