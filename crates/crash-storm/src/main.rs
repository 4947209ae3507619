//! Kills a replicating process with SIGKILL at random moments, lets the next one go on, and compares replica and
//! source byte for byte.
//!
//! Each round changes the disk, starts a process that replicates it, kills it at a moment drawn from the time that
//! a whole cycle takes, and starts another that must finish. The processes log every put before it is sent, so the
//! bytes that were sent again are counted exactly: all puts of a round less the bytes they cover.

mod put_log;
mod replicator;
mod storm;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Runs the storm and prints a report as JSON; fails if anything differs.
    Storm {
        /// How many kills.
        #[arg(long, default_value_t = 100)]
        runs: u32,
        /// What moments, disks and changes are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the replica is.
        #[arg(long, value_enum, default_value = "local")]
        target: Kind,
    },
    /// The process that is killed: one cycle.
    Replicate(Job),
}

/// Kinds of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The embedded local target.
    Local,
    /// A real Azurite.
    Azurite,
}

/// What a process is to replicate.
#[derive(Clone, Debug, clap::Args)]
struct Job {
    #[arg(long)]
    source: PathBuf,
    /// A path, or a URL; the credential of a URL is in `AZURE_STORAGE_CONNECTION_STRING`.
    #[arg(long)]
    target: String,
    #[arg(long)]
    state: PathBuf,
    /// Where every put is written down before it is sent.
    #[arg(long)]
    log: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Options::parse().role {
        Role::Replicate(job) => replicator::run(&job).await,
        Role::Storm { runs, seed, target } => storm::run(runs, seed, target).await,
    }
}
