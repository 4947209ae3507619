//! `simulation`: plays worlds seed after seed and prints what they came to.

use std::time::Instant;

use clap::Parser;
use simulation::{Planted, Replay, Report, run_seed};

/// Plays simulated worlds.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Print every step of every seed
    #[arg(long)]
    trace: bool,
    /// A defect to be found
    #[arg(long, value_enum, default_value = "none")]
    planted: Planted,
}

fn main() -> std::process::ExitCode {
    let options = Options::parse();
    let replay = if options.trace { Replay::Traced } else { Replay::Silent };
    let start = Instant::now();
    let mut total = Report::default();
    for seed in options.first..options.first + options.seeds {
        let outcome = run_seed(seed, options.planted, replay);
        if let Some(text) = outcome.text {
            println!("{text}trace {}", outcome.trace);
        }
        if !outcome.violations.is_empty() {
            println!("seed {seed}:");
            outcome.violations.iter().for_each(|violation| println!("  {violation}"));
            println!("  replay with: cargo xtask sim --seeds 1 --first {seed} --trace");
        }
        total += outcome.report;
    }
    print!("{total}");
    println!("{:<52}{:>14.1}", "seconds", start.elapsed().as_secs_f64());
    if total.wrong == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
