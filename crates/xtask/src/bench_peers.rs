//! `cargo xtask bench-peers`: ours and the peers in turn, on the same images, in one run.
//!
//! The target is the page-blob server as a process of its own that counts and discards (an emulator's cost would
//! hide everybody's), except where the peer writes files. Each row runs the programs one after the other, `pairs`
//! times over, and prints medians; ratios are medians of pairwise ratios, so that a neighbour's load meets both.
//! CPU is user + system time of the client, by GNU time.

mod measure;
mod rows;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::command::{cargo, run};
use crate::tools::{self, Wanted};

/// The folder, the programs and the sink of a run.
struct Stage {
    folder: PathBuf,
    ours: PathBuf,
    azcopy: PathBuf,
    endpoint: String,
    /// Ends when its standard input closes.
    sink: Child,
}

/// Runs every row, each `pairs` times.
pub(crate) fn start(root: &Path, pairs: usize) -> Result<()> {
    tools::install(root, Wanted::TestsAndBenches)?;
    run(cargo(root).args(["build", "--release", "--locked", "--package", "libmigrate", "--example", "replicate"]))?;
    run(cargo(root).args(["build", "--release", "--locked", "--package", "libmigrate-test-support", "--bins"]))?;
    let folder = root.join("target/bench-peers");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut sink = Command::new(root.join("target/release/page-blob-server"))
        .args(["--discard", "--container", "replicas"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the page-blob server")?;
    let mut ready = String::new();
    BufReader::new(sink.stdout.take().context("it is piped")?).read_line(&mut ready)?;
    let ready: serde_json::Value = serde_json::from_str(&ready)?;
    let stage = Stage {
        folder: folder.clone(),
        ours: root.join("target/release/examples/replicate"),
        azcopy: root.join("target/tools/npm/azcopy"),
        endpoint: ready["endpoint"].as_str().context("the server says where it is")?.to_owned(),
        sink,
    };
    let result = rows::run_all(&stage, pairs);
    drop(stage);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    result
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.sink.stdin.take());
        let _ = self.sink.wait();
    }
}
