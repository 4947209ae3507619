//! What libmigrate's tests and benches need, and nothing that a user would.
//!
//! Tools that are not crates (Azurite, Microsoft's Python clients, qemu-img, nbdkit, unbound, other readers of disk images) are installed by `cargo xtask tools`.
//! Where one is missing, a test that needs it prints one line and passes, unless `LIBMIGRATE_REQUIRE_TOOLS` is
//! set, as `cargo xtask test` sets it: then it fails.

pub mod arm_clients;
pub mod azurite;
pub mod chain_reader;
pub mod dns_server;
pub mod fake_arm;
pub mod fault_proxy;
pub mod hostile_dns;
pub mod nbd_server;
pub mod network_namespace;
pub mod page_blob_server;
pub mod peak_memory;
pub mod proof_checker;
pub mod python_reader;
pub mod qemu;
pub mod sample_disk;
pub mod tls_front;
mod tools;

/// Ends when this program's standard input does: whoever started it is done with it, or gone.
pub async fn standard_input_closes() -> std::io::Result<()> {
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await.map(drop)
}
