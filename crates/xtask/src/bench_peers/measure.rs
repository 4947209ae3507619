//! One run of one program, and medians of many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What one run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) wall: f64,
    pub(super) cpu: f64,
    pub(super) peak_mib: f64,
}

/// Runs a program under GNU time.
pub(super) fn run(command: &Command) -> Result<Cost> {
    let report = tempfile::NamedTempFile::new()?;
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["--format", "%e %U %S %M", "--output"]).arg(report.path());
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.unwrap_or_default());
    }
    let output = timed.stdin(Stdio::null()).output().context("cannot start GNU time (Debian: time)")?;
    ensure!(
        output.status.success(),
        "{} failed: {}{}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(report.path())?;
    let numbers = text.split_whitespace().map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
    let [wall, user, system, kib] = numbers[..] else { anyhow::bail!("GNU time says {text:?}") };
    Ok(Cost { wall, cpu: user + system, peak_mib: kib / 1024.0 })
}

/// What the sink was asked since the last time it was asked this: bytes put and requests to write pages.
pub(super) fn sink_counts(endpoint: &str) -> Result<(u64, u64)> {
    let stats: serde_json::Value = serde_json::from_str(&get(endpoint, "/__stats")?)?;
    get(endpoint, "/__reset")?;
    let requests = |name: &str| stats["requests"][name].as_u64().unwrap_or(0);
    Ok((stats["put_bytes"].as_u64().context("the sink counts bytes")?, requests("put_page") + requests("clear_page")))
}

fn get(endpoint: &str, path: &str) -> Result<String> {
    let host = endpoint.trim_start_matches("http://").split('/').next().context("an endpoint has a host")?;
    let mut socket = TcpStream::connect(host)?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").context("an answer has a body")?.1.to_owned())
}

/// The middle one.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
