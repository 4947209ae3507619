//! Campaigns: what becomes of a replica when processes are killed, requests fail, and owners are paused.
//!
//! - `crash` kills a replicating process with SIGKILL at random moments and lets the next one go on.
//! - `fault` draws faults for the requests of whole cycles.
//! - `fence` pauses or cuts off an owner, lets another take over, and lets the first go on.
//!
//! Each compares replica and source byte for byte, verifies every recovery point, and prints its figures as JSON.
//! Whatever is drawn is drawn from a seed. A run that fails prints the command that draws the same again.

mod comparison;
mod crash;
mod fault;
mod fence;
mod process;
mod put_log;
mod replicator;
mod service;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Kills processes; prints a report as JSON and fails if anything differs.
    Crash(crash::Options),
    /// Draws faults for requests; prints a report as JSON and fails if anything differs.
    Fault(fault::Options),
    /// Pauses owners and takes over; prints a report as JSON and fails if anything of theirs lands.
    Fence(fence::Options),
    /// The process that is killed or paused: one cycle. Prints how it ended as JSON.
    Replicate(replicator::Job),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Options::parse().role {
        Role::Replicate(job) => replicator::run(&job).await,
        Role::Crash(options) => crash::run(&options).await,
        Role::Fault(options) => fault::run(&options).await,
        Role::Fence(options) => fence::run(&options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
