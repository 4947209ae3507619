//! The main job on a sample disk and the embedded local target.

use std::sync::Arc;

use libmigrate::source::{self, Format};
use libmigrate::target::local::LocalTarget;
use libmigrate::{CancellationToken, CycleRequest, Engine};
use libmigrate_test_support::sample_disk::{SampleDisk, mutate};

use crate::options::{Options, VerifyChoice};

const DISK_BYTES: u64 = 512 << 20;
const DATA_BYTES: u64 = 128 << 20;

/// Initial replication, 1 % changed, a delta; each verified.
pub(crate) async fn run(options: &Options, cancel: &CancellationToken) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("web01.raw");
    println!("sample disk: {} MiB with {} MiB of data", DISK_BYTES >> 20, DATA_BYTES >> 20);
    SampleDisk { len: DISK_BYTES, data_bytes: DATA_BYTES, seed: 1 }.write(&image)?;
    let initial = cycle(options, folder.path(), cancel).await?;
    let changed = mutate(&image, 0.01, 4096, 2)?;
    println!("\n{} blocks of 4 KiB of the disk have changed", changed.len());
    let delta = cycle(options, folder.path(), cancel).await?;
    Ok(initial && delta)
}

async fn cycle(options: &Options, folder: &std::path::Path, cancel: &CancellationToken) -> anyhow::Result<bool> {
    let source = source::open(folder.join("web01.raw"), Format::Detect)?;
    let target = Arc::new(LocalTarget::new(folder.join("web01.vhd"))?);
    let engine = Engine::new(options.engine(Some(folder.join("state"))))?;
    let options = Options { verify: Some(options.verify.unwrap_or(VerifyChoice::Full)), ..options.clone() };
    crate::replicate(&options, &engine, source, target, CycleRequest::default(), cancel).await
}
