//! How fast a cycle goes: a service that refuses, a schedule that holds it back, a limit that it follows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libmigrate::extent::ExtentSet;
use libmigrate::progress::EventKind;
use libmigrate::schedule::{Rule, Schedule, Weekday, Window};
use libmigrate::size::{BlockSize, PageRange};
use libmigrate::target::local::LocalTarget;
use libmigrate::target::{
    Capabilities, ETag, Fence, LeaseId, Metadata, Snapshot, SnapshotId, TargetError, TargetState, View,
};
use libmigrate::{
    CancellationToken, Concurrency, CycleRequest, DiskDescription, Engine, EngineOptions, Error, PageTarget,
    PushedDisk, RequestedKind,
};
use libmigrate_test_support::page_blob_server::{BusyAbove, Limits, Op, PageBlobServer, Stats};
use tokio::time::{Instant, timeout};

use crate::world::{BLOCK, MIB, Place, World};

/// A blackout without an end.
fn always_dark() -> Schedule {
    let (from, to) = ("00:00".parse().unwrap(), "24:00".parse().unwrap());
    Schedule::new("Europe/Berlin", vec![Window { days: Weekday::ALL.to_vec(), from, to, rule: Rule::Blackout }])
        .unwrap()
}

fn server(world: &World) -> &PageBlobServer {
    let Place::Server(server) = &world.place else { unreachable!() };
    server
}

/// Waits for an event of which `wanted` makes something.
async fn event<T>(engine: &Engine, wanted: impl Fn(&EventKind) -> Option<T>) -> T {
    let mut events = engine.events().after(0);
    let found = async {
        loop {
            if let Some(found) = wanted(&events.next().await.kind) {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(20), found).await.expect("the event comes")
}

fn blackout(kind: &EventKind) -> Option<()> {
    matches!(kind, EventKind::Blackout { until: None }).then_some(())
}

/// One cycle of 8 MiB to a service that answers after 100 ms and takes 32 puts of 64 KiB a second: three
/// requests at once fill it.
async fn throttled(concurrency: Concurrency) -> (Stats, Duration, bool) {
    let world = World::page_blob_server().await.unwrap();
    world.image(8 * MIB, &[(0, 8 * MIB)]);
    let engine = Engine::new(EngineOptions { run_bytes: BLOCK, concurrency, ..world.options() }).unwrap();
    let replica = engine.open(world.target(), DiskDescription::of(&*world.source()), &world.cancel).await.unwrap();
    let busy_above = Some(BusyAbove { bytes_per_second: 32 * BLOCK, burst_bytes: 8 * BLOCK, retry_after: None });
    server(&world).faults().limit(Limits { latency: Duration::from_millis(100), busy_above, ..Limits::default() });
    let start = Instant::now();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let took = start.elapsed();
    server(&world).faults().limit(Limits::default());
    replica.close().await.unwrap();
    world.assert_equal().await;
    let mut events = engine.events().after(0);
    let told = std::iter::from_fn(|| events.try_next()).any(|e| matches!(e.kind, EventKind::RequestsInFlight { .. }));
    (server(&world).stats(), took, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttling_service_refuses_far_less_when_requests_in_flight_adapt() {
    let (fixed, fixed_took, _) = throttled(Concurrency::Fixed).await;
    let (adaptive, took, told) = throttled(Concurrency::Adaptive).await;
    let figures = format!(
        "refused: {} fixed in {fixed_took:?}, {} adaptive in {took:?}",
        fixed.server_errors, adaptive.server_errors
    );
    println!("{figures}");
    assert!(adaptive.server_errors * 3 <= fixed.server_errors, "{figures}");
    assert!(took < fixed_took * 2, "{figures}");
    assert!(told, "an operator sees that the service is throttling");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_waits_for_the_end_of_a_blackout_and_a_final_one_does_not() {
    let world = World::page_blob_server().await.unwrap();
    world.image(4 * MIB, &[(0, 2 * MIB)]);
    let engine = Engine::new(EngineOptions { schedule: Some(always_dark()), ..world.options() }).unwrap();
    let replica = engine.open(world.target(), DiskDescription::of(&*world.source()), &world.cancel).await.unwrap();
    let delta = replica.replicate(world.source(), CycleRequest::default(), &world.cancel);
    let others = async {
        event(&engine, blackout).await;
        assert_eq!(server(&world).stats().count(Op::PutPage), 0);
        let kind = RequestedKind::Final;
        let request = CycleRequest { kind, ..CycleRequest::default() };
        let point = replica.replicate(world.source(), request, &world.cancel).await.unwrap();
        engine.throttle().set_schedule(None);
        point
    };
    let (delta, cutover) = tokio::join!(delta, others);
    assert_eq!((cutover.cycle, delta.unwrap().cycle), (1, 2), "the one that waited comes after it");
    replica.close().await.unwrap();
    world.assert_equal().await;
}

/// The blackout begins while a cycle is under way: it stops sending, keeps its lease, and goes on afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackout_in_the_middle_of_a_cycle_holds_it_and_keeps_the_lease() {
    let world = World::page_blob_server().await.unwrap();
    world.image(8 * MIB, &[(0, 8 * MIB)]);
    let options = EngineOptions {
        bytes_per_second: Some(2 * MIB),
        run_bytes: BLOCK,
        lease_term: Duration::from_secs(15),
        ..world.options()
    };
    let engine = Engine::new(options).unwrap();
    let replica = engine.open(world.target(), DiskDescription::of(&*world.source()), &world.cancel).await.unwrap();
    let cycle = replica.replicate(world.source(), CycleRequest::default(), &world.cancel);
    let operator = async {
        event(&engine, |kind| match kind {
            EventKind::Progress { counts, .. } if counts.sent > MIB => Some(()),
            _ => None,
        })
        .await;
        engine.throttle().set_schedule(Some(always_dark()));
        event(&engine, blackout).await;
        // What was under way ends, the lease is renewed, and nothing more is put.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = server(&world).stats();
        let renewed = async {
            while server(&world).stats().count(Op::RenewLease) == before.count(Op::RenewLease) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(10), renewed).await.expect("the lease is renewed in a blackout");
        assert_eq!(server(&world).stats().put_bytes, before.put_bytes);
        assert!(before.put_bytes < 8 * MIB);
        engine.throttle().set(None);
        engine.throttle().set_schedule(None);
    };
    let (point, ()) = tokio::join!(cycle, operator);
    assert_eq!(point.unwrap().counts.sent, 8 * MIB);
    replica.close().await.unwrap();
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_in_a_blackout_returns_within_a_second() {
    let world = World::local().await.unwrap();
    world.image(4 * MIB, &[(0, 2 * MIB)]);
    let engine = Engine::new(EngineOptions { schedule: Some(always_dark()), ..world.options() }).unwrap();
    let replica = engine.open(world.target(), DiskDescription::of(&*world.source()), &world.cancel).await.unwrap();
    let cancel = CancellationToken::new();
    // Once while the cycle waits to begin, once while one that pushes waits to be asked for more.
    let waiting = replica.replicate(world.source(), CycleRequest::default(), &cancel);
    let (result, cancelled) = tokio::join!(waiting, async {
        event(&engine, blackout).await;
        cancel.cancel();
        Instant::now()
    });
    assert_eq!(result.unwrap_err().code(), "cycle.cancelled");
    assert!(cancelled.elapsed() < Duration::from_secs(1));

    let cancel = CancellationToken::new();
    engine.throttle().set_schedule(None);
    let cycle = replica.begin(world.source(), CycleRequest::default(), &cancel).await.unwrap();
    engine.throttle().set_schedule(Some(always_dark()));
    let (result, cancelled) = tokio::join!(cycle.next_wanted(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
        Instant::now()
    });
    assert_eq!(result.unwrap_err().code(), "cycle.cancelled");
    assert!(cancelled.elapsed() < Duration::from_secs(1));
}

/// A service at the end of a slow line: each put takes 20 ms and its bytes at 40 MiB a second. It notes when
/// what came.
#[derive(Debug)]
struct Slow {
    inner: LocalTarget,
    arrived: Mutex<Vec<(Instant, u64)>>,
}

impl Slow {
    fn bytes_between(&self, from: Instant, to: Instant) -> u64 {
        let arrived = self.arrived.lock().unwrap();
        arrived.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, bytes)| bytes).sum()
    }
}

#[async_trait]
impl PageTarget for Slow {
    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        self.arrived.lock().unwrap().push((Instant::now(), range.len_bytes()));
        let on_the_line = Duration::from_secs_f64(range.len_bytes() as f64 / (40 * MIB) as f64);
        tokio::time::sleep(Duration::from_millis(20) + on_the_line).await;
        self.inner.put(range, data, fence).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        self.inner.state().await
    }
    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        self.inner.create(len, metadata).await
    }
    async fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.inner.resize(len, lease, etag).await
    }
    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.inner.clear(range, fence).await
    }
    async fn flush(&self) -> Result<(), TargetError> {
        self.inner.flush().await
    }
    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        self.inner.read(view, range).await
    }
    async fn page_ranges(&self, view: &View, window: std::ops::Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        self.inner.page_ranges(view, window).await
    }
    async fn changed_ranges(
        &self,
        since: &SnapshotId,
        window: std::ops::Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError> {
        self.inner.changed_ranges(since, window).await
    }
    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.inner.set_metadata(metadata, lease, etag).await
    }
    async fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.inner.raise_sequence(sequence, lease).await
    }
    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError> {
        self.inner.snapshot(metadata, lease, etag).await
    }
    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        self.inner.snapshots().await
    }
    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        self.inner.delete_snapshot(id).await
    }
    async fn acquire_lease(&self, proposed: LeaseId, duration: Duration) -> Result<(), TargetError> {
        self.inner.acquire_lease(proposed, duration).await
    }
    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.inner.renew_lease(lease).await
    }
    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.inner.release_lease(lease).await
    }
    async fn break_lease(&self) -> Result<(), TargetError> {
        self.inner.break_lease().await
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        self.inner.put_object(name, data).await
    }
    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
        self.inner.get_object(name, max_len).await
    }
    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        self.inner.list_objects(prefix).await
    }
    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        self.inner.delete_object(name).await
    }
}

/// Pushes a disk that is full of data, and seals.
async fn push_all(engine: &Engine, target: Arc<Slow>, size_bytes: u64) -> Result<(), Error> {
    let cancel = CancellationToken::new();
    let disk = PushedDisk { size_bytes, identity: None, point: Some("1".into()), zero: ExtentSet::new() };
    let replica = engine.open(target, DiskDescription::of(&disk), &cancel).await?;
    let cycle = replica.begin(Arc::new(disk), CycleRequest::default(), &cancel).await?;
    while let Some(wanted) = cycle.next_wanted().await? {
        let mut bytes = vec![0; wanted.len_bytes() as usize];
        fastrand::Rng::with_seed(wanted.offset()).fill(&mut bytes);
        cycle.push(wanted.offset(), bytes.into()).await?;
    }
    cycle.seal().await?;
    replica.close().await
}

/// Pushed, not pulled: threads that read would keep the paused clock from going on. So this takes half a minute
/// of the clock's and a moment of ours, and its figures are the same on every machine.
#[tokio::test(start_paused = true)]
async fn throughput_follows_the_limit_within_five_percent() {
    let folder = tempfile::tempdir().unwrap();
    let targets = ["web01.vhd", "web02.vhd"].map(|name| {
        let inner = LocalTarget::new(folder.path().join(name)).unwrap();
        Arc::new(Slow { inner, arrived: Mutex::default() })
    });
    let options = EngineOptions {
        bytes_per_second: Some(2 * MIB),
        run_bytes: 2 * BLOCK,
        block_size: BlockSize::new(BLOCK),
        memory_limit: 16 * MIB,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options).unwrap();
    let start = Instant::now();
    let seconds = |n: u64| start + Duration::from_secs(n);
    let operator = async {
        tokio::time::sleep_until(seconds(10)).await;
        engine.throttle().set(Some(4 * MIB));
        tokio::time::sleep_until(seconds(20)).await;
        engine.throttle().set(Some(MIB));
        tokio::time::sleep_until(seconds(30)).await;
        engine.throttle().set(None);
    };
    let [one, other] = &targets;
    let (first, second, ()) = tokio::join!(
        push_all(&engine, Arc::clone(one), 48 * MIB),
        push_all(&engine, Arc::clone(other), 48 * MIB),
        operator
    );
    first.and(second).unwrap();
    let rate = |target: &Slow, from, to| target.bytes_between(seconds(from), seconds(to)) as f64 / (to - from) as f64;
    for (from, to, limit) in [(1, 10, 2 * MIB), (11, 20, 4 * MIB), (21, 30, MIB)] {
        let [one, other] = [rate(one, from, to), rate(other, from, to)];
        let share = (one + other) / limit as f64;
        println!("{from} to {to} s: {:.4} of the limit, {:.3} of it by the first replica", share, one / (one + other));
        assert!((0.95..=1.05).contains(&share), "{share} of {limit}");
        assert!((0.45..=0.55).contains(&(one / (one + other))), "they share it: {one}, {other}");
    }
}
