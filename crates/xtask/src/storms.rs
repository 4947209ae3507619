//! `cargo xtask crash-storm`, `fault-storm`, `fence-storm`: campaigns of the crate `storms`; short ones are tests.

use std::path::Path;

use anyhow::Result;

use crate::command::{cargo, run};
use crate::tools::{self, Wanted};

/// How long a campaign is, from what, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Campaign {
    /// How many kills, schedules or races
    #[arg(long)]
    runs: u32,
    /// What moments, faults, disks and changes are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the replica is: local (crashes only), server (faults and races only) or azurite
    #[arg(long)]
    target: String,
}

/// Which campaign.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Storm {
    Crash,
    Fault,
    Fence,
}

/// Runs it with optimisation, and prints its figures.
pub(crate) fn start(root: &Path, storm: Storm, campaign: &Campaign) -> Result<()> {
    if campaign.target == "azurite" {
        tools::install(root, Wanted::Tests)?;
    }
    let name = match storm {
        Storm::Crash => "crash",
        Storm::Fault => "fault",
        Storm::Fence => "fence",
    };
    let (runs, seed) = (campaign.runs.to_string(), campaign.seed.to_string());
    let mut cargo = cargo(root);
    cargo.args(["run", "--release", "--locked", "--package", "storms", "--", name]);
    run(cargo.args(["--runs", &runs, "--seed", &seed, "--target", &campaign.target]))
}
