//! Whole cycles over 256 MiB, to a page-blob server that discards.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use libmigrate::source::{self, Format};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::{CancellationToken, CycleRequest, DiskDescription, DiskSource, Engine, EngineOptions, RecoveryPoint};
use libmigrate_test_support::page_blob_server::{PageBlobServer, ServerOptions, Storage};
use libmigrate_test_support::sample_disk::SampleDisk;

const DISK: u64 = 256 << 20;

async fn cycle(url: &str, state: Option<&std::path::Path>, source: Arc<dyn DiskSource>) -> RecoveryPoint {
    let target = AzurePageBlob::new(url, Credential::SasUrl, AzureOptions::default()).expect("the URL is right");
    let options = EngineOptions { state_dir: state.map(Into::into), ..EngineOptions::default() };
    let engine = Engine::new(options).expect("the options are right");
    let cancel = CancellationToken::new();
    let replica = engine.open(Arc::new(target), DiskDescription::of(&*source), &cancel).await.expect("it opens");
    let point = replica.replicate(source, CycleRequest::default(), &cancel).await.expect("it replicates");
    replica.close().await.expect("it closes");
    point
}

fn cycles(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    let options = ServerOptions { storage: Storage::Discard, journal_limit: 0, ..ServerOptions::default() };
    let server = runtime.block_on(PageBlobServer::start_with(options));
    server.create_container("replicas");
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.raw");
    SampleDisk { len: DISK, data_bytes: DISK, seed: 1 }.write(&image).expect("an image");
    let source = source::open(&image, Format::Raw).expect("it opens");
    let url = || format!("{}/replicas/{:016x}?sig=open", server.endpoint(), fastrand::u64(..));

    let mut group = criterion.benchmark_group("256 MiB dense");
    group.throughput(Throughput::Bytes(DISK)).sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("initial, no checkpoint", |b| {
        b.iter(|| runtime.block_on(cycle(&url(), None, Arc::clone(&source))));
    });
    group.bench_function("initial, checkpoint", |b| {
        b.iter(|| runtime.block_on(cycle(&url(), Some(folder.path()), Arc::clone(&source))));
    });
    let (replica, state) = (url(), folder.path().join("state"));
    runtime.block_on(cycle(&replica, Some(&state), Arc::clone(&source)));
    group.bench_function("delta, nothing changed", |b| {
        b.iter(|| runtime.block_on(cycle(&replica, Some(&state), Arc::clone(&source))));
    });
}

criterion_group!(benches, cycles);
criterion_main!(benches);
