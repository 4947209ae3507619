//! Chores of this repository, one command each and one file per command.
//!
//! Everything here calls the ordinary tools (`cargo`, `npm`, `python3`, …) and stops at the first that
//! fails, so that the last line printed names what to look at.

mod bench_faces;
mod bench_peers;
mod ci;
mod command;
mod contracts;
mod fuzz;
mod guide;
mod licences;
mod package;
mod reference;
mod sim;
mod storms;
mod test;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::storms::Storm;

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what the tests need besides cargo, python3, node and cc into `target/tools/`; quick when it is there
    Tools {
        /// Also what the side-by-side runs against other programs need
        #[arg(long)]
        bench: bool,
    },
    /// Install the tools, then run every test
    Test,
    /// Kill replicating processes at random moments and compare what the next ones make of it
    CrashStorm(storms::Campaign),
    /// Let requests fail in every way that is known, and compare what whole cycles make of it
    FaultStorm(storms::Campaign),
    /// Pause owners, let others take over, and see that nothing of the old ones lands
    FenceStorm(storms::Campaign),
    /// Play simulated worlds with faults, crashes and take-overs, and check that every promise holds
    Sim {
        /// How many; each is one seed
        #[arg(long)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Print every step
        #[arg(long)]
        trace: bool,
    },
    /// Fuzz everything that parses bytes nobody here wrote
    Fuzz {
        /// How long each target runs
        #[arg(long)]
        seconds: u64,
        /// Only this one
        #[arg(long)]
        target: Option<String>,
    },
    /// Measure ours and the peers in turn on the same images
    BenchPeers {
        /// How often each program runs
        #[arg(long, default_value_t = 5)]
        pairs: usize,
    },
    /// Measure what a disk costs that comes from C, Python or Node, beside the same work in Rust
    BenchFaces {
        /// How often each program runs
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Size of the disk in MiB
        #[arg(long, default_value_t = 512)]
        mib: u64,
    },
    /// Build the C library for release and install it: headers, both libraries, for pkg-config and `CMake`
    InstallC {
        /// Where to, such as /usr/local
        prefix: PathBuf,
    },
    /// Build for release what users of each language install: a wheel and npm packages, which are tried, and the C library
    Package {
        /// Where to
        folder: PathBuf,
    },
    /// Write the reference of each language
    Reference,
    /// Hold every request and answer of the fake of Azure Resource Manager to Azure's published contracts
    Contracts {
        /// The folder that holds `specification/`, of the repository azure-rest-api-specs
        #[arg(long)]
        specs: PathBuf,
        /// The folder `schemas/` of the repository azure-resource-manager-schemas; templates are held to it too
        #[arg(long)]
        schemas: Option<PathBuf>,
    },
    /// Check format, lints, documentation, licences and the guide, then run every test
    Ci,
}

fn main() -> ExitCode {
    match carry_out(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(chore: Chore) -> Result<()> {
    let root = repository();
    match chore {
        Chore::Tools { bench: false } => tools::install(&root, tools::Wanted::Tests),
        Chore::Tools { bench: true } => tools::install(&root, tools::Wanted::TestsAndBenches),
        Chore::Test => test::run(&root),
        Chore::BenchPeers { pairs } => bench_peers::start(&root, pairs),
        Chore::BenchFaces { rounds, mib } => bench_faces::start(&root, rounds, mib),
        Chore::InstallC { prefix } => test::c::release(&root, &prefix),
        Chore::Package { folder } => package::make(&root, &folder),
        Chore::Reference => reference::write(&root),
        Chore::CrashStorm(campaign) => storms::start(&root, Storm::Crash, &campaign),
        Chore::FaultStorm(campaign) => storms::start(&root, Storm::Fault, &campaign),
        Chore::FenceStorm(campaign) => storms::start(&root, Storm::Fence, &campaign),
        Chore::Sim { seeds, first, trace } => sim::start(&root, seeds, first, trace),
        Chore::Fuzz { seconds, target } => fuzz::start(&root, seconds, target.as_deref()),
        Chore::Contracts { specs, schemas } => contracts::judge(&root, &specs, schemas.as_deref()),
        Chore::Ci => ci::run_all(&root),
    }
}

/// The folder of the workspace: two above this crate's.
fn repository() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this crate lies in crates/xtask").to_path_buf()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_repository_is_where_the_workspace_is_described() {
        let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"), "{manifest}");
    }
}
