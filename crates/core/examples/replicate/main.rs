//! Replicates a disk, from the command line.
//!
//! Without arguments: a demonstration on a sample disk and the embedded local target. With `--source` and
//! `--target`: the real thing; run the same command again to go on or to make the next delta. With `--preflight`:
//! whether the network to the target is in order.

mod demonstration;
mod network;
mod options;
mod report;
mod source;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libmigrate::{
    Against, CancellationToken, Coverage, CycleRequest, DiskDescription, DiskSource, Engine, Error, PageTarget,
    Replica, Subject,
};

use options::{Options, VerifyChoice};
use report::Report;

fn main() -> ExitCode {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    let cancel = CancellationToken::new();
    runtime.spawn(cancel_on_ctrl_c(cancel.clone()));
    let result = runtime.block_on(run(&options, &cancel));
    // A read that hangs must not keep a cancelled program.
    runtime.shutdown_timeout(Duration::from_millis(300));
    match result {
        Ok(equal) => ExitCode::from(u8::from(!equal)),
        Err(e) => {
            report::print_error(&options, &e);
            ExitCode::from(if cancel.is_cancelled() { 130 } else { 2 })
        }
    }
}

async fn cancel_on_ctrl_c(cancel: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        cancel.cancel();
    }
    // The second one does not ask.
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}

/// Whether everything that was compared was equal.
async fn run(options: &Options, cancel: &CancellationToken) -> anyhow::Result<bool> {
    match (&options.source.source, &options.target) {
        (None, Some(target)) => options.route.check(target, options.page_blob(target)?, options.json, cancel).await,
        (Some(path), Some(target)) => {
            let (source, request) = options.source.open(path).await?;
            let target = options.target(target)?;
            let engine = Engine::new(options.engine(options.state_dir()))?;
            let request = CycleRequest { kind: options.kind.into(), ..request };
            replicate(options, &engine, source, target, request, cancel).await
        }
        _ => demonstration::run(options, cancel).await,
    }
}

/// One cycle and, if asked for, its verification.
async fn replicate(
    options: &Options,
    engine: &Engine,
    source: Arc<dyn DiskSource>,
    target: Arc<dyn PageTarget>,
    request: CycleRequest,
    cancel: &CancellationToken,
) -> anyhow::Result<bool> {
    let report = Report::start(options, engine);
    let replica = engine.open(target, DiskDescription::of(&*source), cancel).await?;
    let result = cycle_and_verify(options, &replica, source, request, &report, cancel).await;
    report.finish().await;
    replica.close().await?;
    Ok(result?)
}

async fn cycle_and_verify(
    options: &Options,
    replica: &Replica,
    source: Arc<dyn DiskSource>,
    request: CycleRequest,
    report: &Report,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let point = replica.replicate(Arc::clone(&source), request, cancel).await?;
    report.print_point(&point);
    if let Some(path) = &options.export_proof {
        replica.export_proof(Subject::Newest, path, cancel).await?;
    }
    let coverage = match options.verify {
        None => return Ok(true),
        Some(VerifyChoice::Full) => Coverage::Full,
        Some(VerifyChoice::Sample) => Coverage::sample(0.001, 0.001),
    };
    let verified = replica.verify(Subject::Live, Against::Source(source), coverage, cancel).await?;
    report.print_verified(&verified);
    Ok(verified.is_equal())
}
