//! Cancelled, cut off, taken over, or without its database: what the next run does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libmigrate::progress::EventKind;
use libmigrate::source::{SourceError, SourceExtent};
use libmigrate::{CancellationToken, CycleRequest, DiskDescription, DiskSource, Engine, EngineOptions};
use libmigrate_test_support::page_blob_server::{Fault, Op};

use crate::on_every_target;
use crate::world::{BLOCK, MIB, Place, World};

on_every_target!(
    a_cancelled_cycle_returns_within_a_second_and_goes_on,
    a_lost_checkpoint_is_rebuilt_without_sending_everything_again,
    a_checkpoint_that_missed_another_owner_is_not_believed,
    a_read_error_seals_nothing_and_names_the_place,
    a_source_that_changed_between_attempts_is_read_again,
);

/// A source that stops working, or starts to wait, after so many bytes.
struct Failing {
    inner: Arc<dyn DiskSource>,
    left: AtomicU64,
    hang: bool,
    point: Option<String>,
}

impl Failing {
    fn after(world: &World, bytes: u64, hang: bool) -> Arc<Self> {
        let inner = world.source();
        Arc::new(Self { point: inner.point(), inner, left: AtomicU64::new(bytes), hang })
    }
}

impl DiskSource for Failing {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn point(&self) -> Option<String> {
        self.point.clone()
    }

    fn extents(&self, range: std::ops::Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        self.inner.extents(range, max)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let len = buf.len() as u64;
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(len));
        if taken.is_err() && self.hang {
            std::thread::sleep(Duration::from_secs(3));
        } else if taken.is_err() {
            return Err(SourceError::Custom { offset, len, problem: "the disk is broken".into() });
        }
        self.inner.read_at(offset, buf)
    }
}

async fn a_cancelled_cycle_returns_within_a_second_and_goes_on(world: World) {
    world.image(300 * MIB, &[(0, 20 * MIB), (200 * MIB, 20 * MIB)]);
    let replica = world.open().await.unwrap();
    let cancel = CancellationToken::new();
    let cancelled_at = Arc::new(std::sync::Mutex::new(None));
    let (trigger, when) = (cancel.clone(), Arc::clone(&cancelled_at));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        *when.lock().unwrap() = Some(Instant::now());
        trigger.cancel();
    });
    let source = Failing::after(&world, 25 * MIB, true);
    let error = replica.replicate(source, CycleRequest::default(), &cancel).await.unwrap_err();
    let took = cancelled_at.lock().unwrap().unwrap().elapsed();
    assert_eq!(error.code(), "cycle.cancelled");
    assert!(took < Duration::from_secs(1), "{took:?}");

    let point = replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
    let c = point.counts;
    assert_eq!((c.read + c.hole, c.sent + c.cleared + c.skipped), (300 * MIB, c.read), "both attempts add up: {c:?}");
}

async fn a_lost_checkpoint_is_rebuilt_without_sending_everything_again(world: World) {
    world.image(40 * MIB, &[(0, 16 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    std::fs::remove_file(world.checkpoint()).unwrap();
    world.write(3 * BLOCK, 10);
    let engine = world.engine();
    let description = DiskDescription::of(&*world.source());
    let replica = engine.open(world.target(), description, &world.cancel).await.unwrap();
    let point = replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
    assert_eq!((point.cycle, point.counts.sent), (2, BLOCK));
    let mut events = engine.events().after(0);
    let rebuilt = std::iter::from_fn(|| events.try_next()).find_map(|event| match &event.kind {
        EventKind::MapRebuilt { read_back, .. } => Some(*read_back),
        _ => None,
    });
    assert_eq!(rebuilt, Some(0), "nothing was written since the seal, so nothing is read back");
}

async fn a_checkpoint_that_missed_another_owner_is_not_believed(world: World) {
    world.image(40 * MIB, &[(0, 16 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    // Another machine takes over, writes a part of a cycle and dies.
    let elsewhere = Engine::new(EngineOptions { state_dir: Some(world.path("elsewhere")), ..world.options() }).unwrap();
    world.write(0, 2 * MIB);
    let description = DiskDescription::of(&*world.source());
    let replica = elsewhere.open(world.target(), description, &world.cancel).await.unwrap();
    let source = Failing::after(&world, 8 * MIB, false);
    replica.replicate(source, CycleRequest::default(), &world.cancel).await.unwrap_err();
    replica.close().await.unwrap();
    // The disk goes back to what it was when this machine sealed it: a stale map would send nothing.
    world.write_zeros(0, 2 * MIB);
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

async fn a_read_error_seals_nothing_and_names_the_place(world: World) {
    world.image(40 * MIB, &[(0, 16 * MIB)]);
    let replica = world.open().await.unwrap();
    let source = Failing::after(&world, 4 * MIB, false);
    let error = replica.replicate(source, CycleRequest::default(), &world.cancel).await.unwrap_err();
    assert_eq!(error.code(), "source.custom");
    assert!(error.to_string().contains("offset"), "{error}");
    assert!(replica.recovery_points(&world.cancel).await.unwrap().is_empty());
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
}

async fn a_source_that_changed_between_attempts_is_read_again(world: World) {
    world.image(300 * MIB, &[(0, 8 * MIB), (290 * MIB, 8 * MIB)]);
    let replica = world.open().await.unwrap();
    let source = Failing::after(&world, 12 * MIB, false);
    replica.replicate(source, CycleRequest::default(), &world.cancel).await.unwrap_err();
    world.write(0, 4096);
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
}

/// One of its readers still hangs in the source, and the pipeline may not have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_opened_again_right_after_a_cycle_that_was_cancelled() {
    let world = World::page_blob_server().await.unwrap();
    world.image(40 * MIB, &[(0, 20 * MIB)]);
    let replica = world.open().await.unwrap();
    let cancel = CancellationToken::new();
    let replicate = replica.replicate(Failing::after(&world, 5 * MIB, true), CycleRequest::default(), &cancel);
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(replicate, cancelled);
    assert_eq!(result.unwrap_err().code(), "cycle.cancelled");
    drop(replica);

    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_failures_of_the_service_are_retried() {
    let world = World::page_blob_server().await.unwrap();
    world.image(20 * MIB, &[(0, 10 * MIB)]);
    let Place::Server(server) = &world.place else { unreachable!() };
    server.faults().next(Op::PutPage, Fault::BUSY);
    server.faults().next(Op::PutPage, Fault::LoseAnswer);
    server.faults().next(Op::PutPage, Fault::TIMED_OUT_BUT_DONE);
    server.faults().next(Op::SnapshotBlob, Fault::LoseAnswer);
    server.faults().next(Op::SetBlobMetadata, Fault::LoseAnswer);
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    let replica = world.open().await.unwrap();
    assert_eq!(replica.recovery_points(&world.cancel).await.unwrap().len(), 1);
}

/// The write that timed out is applied by the service after the next owner has taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_duplicate_of_a_timed_out_write_does_not_land_in_the_next_cycle() {
    let world = World::page_blob_server().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let Place::Server(server) = &world.place else { unreachable!() };
    server.faults().next(Op::PutPage, Fault::ApplyLate);
    world.replicate(CycleRequest::default()).await;
    world.write(0, MIB);
    world.replicate(CycleRequest::default()).await;
    server.release_late_writes();
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_cycle_sends_at_most_what_was_in_flight_again() {
    let world = World::page_blob_server().await.unwrap();
    world.image(300 * MIB, &[(0, 100 * MIB)]);
    let replica = world.open().await.unwrap();
    let source = Failing::after(&world, 60 * MIB, false);
    replica.replicate(source, CycleRequest::default(), &world.cancel).await.unwrap_err();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
    let Place::Server(server) = &world.place else { unreachable!() };
    let again = server.stats().put_bytes - 100 * MIB - 512;
    assert!(again <= 64 * MIB, "{again}");
}
