//! The page-blob server as a program of its own: the sink of side-by-side runs.
//!
//! Prints one line of JSON with its endpoint and runs until standard input closes. `GET /__stats` answers what was
//! asked of it so far, `GET /__reset` starts counting anew.

use clap::Parser;
use libmigrate_test_support::page_blob_server::{PageBlobServer, ServerOptions, Storage};
use libmigrate_test_support::standard_input_closes;

#[derive(Debug, Parser)]
struct Options {
    /// Port on loopback; 0 for any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Container to start with.
    #[arg(long = "container", default_value = "replicas")]
    containers: Vec<String>,
    /// Keep which pages are written, but not their bytes.
    #[arg(long)]
    discard: bool,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let Options { port, containers, discard } = Options::parse();
    let storage = if discard { Storage::Discard } else { Storage::Keep };
    let server =
        PageBlobServer::start_with(ServerOptions { port, storage, journal_limit: 0, ..ServerOptions::default() }).await;
    containers.iter().for_each(|container| server.create_container(container));
    println!("{}", serde_json::json!({ "endpoint": server.endpoint() }));
    standard_input_closes().await
}
