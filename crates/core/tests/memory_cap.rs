//! The cap on memory holds on a disk far larger than it. A test binary of its own, because it measures the
//! process.

use std::sync::Arc;

use libmigrate::extent::Extent;
use libmigrate::source::{SourceError, SourceExtent};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::{
    Against, CancellationToken, Coverage, CycleRequest, DiskDescription, DiskSource, Engine, EngineOptions, Subject,
};
use libmigrate_test_support::page_blob_server::{PageBlobServer, ServerOptions, Storage};
use libmigrate_test_support::peak_memory;

const MIB: u64 = 1 << 20;

/// A disk whose every page is different, without an image.
struct Generated {
    len: u64,
}

impl DiskSource for Generated {
    fn size_bytes(&self) -> u64 {
        self.len
    }

    fn point(&self) -> Option<String> {
        Some("always the same".into())
    }

    fn extents(&self, range: std::ops::Range<u64>, _: usize) -> Result<Vec<SourceExtent>, SourceError> {
        Ok(Extent::from_range(range).map(SourceExtent::data).into_iter().collect())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        for (page, at) in buf.chunks_mut(512).zip((offset..).step_by(512)) {
            page.fill(0x5a);
            page[..8].copy_from_slice(&at.to_le_bytes());
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_under_the_pool_and_64_mib_on_a_disk_256_times_larger() {
    const POOL: u64 = 8 * MIB;
    let options = ServerOptions { storage: Storage::Discard, journal_limit: 0, ..ServerOptions::default() };
    let server = PageBlobServer::start_with(options).await;
    server.create_container("replicas");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/replicas/big.vhd?sig=open", server.endpoint());
    let target = Arc::new(AzurePageBlob::new(&url, Credential::SasUrl, AzureOptions::default()).unwrap());
    let engine = Engine::new(EngineOptions {
        state_dir: Some(folder.path().to_path_buf()),
        memory_limit: POOL,
        ..EngineOptions::default()
    })
    .unwrap();
    let source = Arc::new(Generated { len: 256 * POOL });
    let cancel = CancellationToken::new();

    peak_memory::reset().unwrap();
    let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await.unwrap();
    let point = replica.replicate(source, CycleRequest::default(), &cancel).await.unwrap();
    let peak = peak_memory::peak_bytes().unwrap();

    assert_eq!(point.counts.sent, 256 * POOL);
    assert_eq!(server.stats().put_bytes, 256 * POOL + 512);
    println!("peak {} MiB with a pool of {} MiB", peak / MIB, POOL / MIB);
    assert!(peak <= POOL + 64 * MIB, "{} MiB", peak / MIB);

    // The server kept no bytes, so every block and the footer differ: a report at its largest. What the cycle
    // left in the allocator counts for nothing here.
    peak_memory::reset().unwrap();
    let resting = peak_memory::peak_bytes().unwrap();
    let report = replica.verify(Subject::Live, Against::SealedMap, Coverage::Full, &cancel).await.unwrap();
    replica.export_proof(Subject::Newest, &folder.path().join("proof"), &cancel).await.unwrap();
    let grown = peak_memory::peak_bytes().unwrap() - resting;

    assert_eq!(report.mismatched, report.blocks + 1);
    println!("{} MiB more for verification and proof", grown / MIB);
    assert!(grown <= POOL + 32 * MIB, "{} MiB", grown / MIB);
}
