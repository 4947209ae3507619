//! The fake of Azure Resource Manager as a program of its own, for tests in other languages.
//!
//! Prints one line of JSON, its `endpoint` and the `settings` of a migration from what is in it, and runs until
//! standard input closes. Its clock goes by itself.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use libmigrate_test_support::standard_input_closes;
use serde_json::json;

/// Between two ticks: what takes hours at the service takes moments here.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Parser)]
struct Options {
    /// How servers are migrated: `vmware_agentless`, `hyper_v` or `agent_based`.
    #[arg(long)]
    scenario: String,
    /// How many servers the settings migrate.
    #[arg(long)]
    servers: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Options { scenario, servers } = Options::parse();
    let scenery = Scenery::of(&scenario).with_context(|| format!("there is no scenario {scenario}"))?;
    let scenery = scenery.with_machines(servers);
    let fake = FakeArm::start_with(&scenery).await;
    fake.let_time_pass(TICK);
    println!("{}", json!({ "endpoint": fake.endpoint().as_str(), "settings": scenery.settings(servers) }));
    Ok(standard_input_closes().await?)
}
