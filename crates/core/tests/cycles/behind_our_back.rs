//! The target, the credential or the clock changes while nobody looks, or while a cycle runs: what is said,
//! what is sealed, and the way on.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libmigrate::progress::EventKind;
use libmigrate::source::{SourceError, SourceExtent};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::{LeaseId, Metadata};
use libmigrate::{
    Against, Coverage, CycleRequest, DiskDescription, DiskSource, Error, KeepRule, PageTarget, RequestedKind, Subject,
};
use libmigrate_test_support::page_blob_server::{ACCOUNT, Auth, PageBlobServer, ServerOptions};

use crate::on_every_target;
use crate::world::{BLOCK, MIB, Place, World};

on_every_target!(
    parts_of_the_map_that_were_deleted_are_stored_again_by_the_next_seal,
    a_map_that_is_gone_with_the_checkpoint_costs_a_reading_back,
    a_damaged_map_is_named_and_a_resync_seals_a_good_one,
    wiped_metadata_is_refused_until_it_is_put_back,
    snapshots_that_make_no_sense_are_passed_over_and_left_alone,
);

const TERM: Duration = Duration::from_secs(60);

fn explained(error: &Error, code: &str, says: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

async fn verified_against_its_map(world: &World) {
    let replica = world.open().await.unwrap();
    let report = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    assert!(report.is_equal());
}

async fn objects(target: &dyn PageTarget) -> Vec<String> {
    [target.list_objects("map-").await.unwrap(), target.list_objects("part-").await.unwrap()].concat()
}

async fn delete_objects(world: &World) {
    let target = world.target();
    for name in objects(&*target).await {
        target.delete_object(&name).await.unwrap();
    }
}

async fn parts_of_the_map_that_were_deleted_are_stored_again_by_the_next_seal(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    delete_objects(&world).await;
    // Nothing changed, so the checkpoint counts every part as stored.
    world.replicate(CycleRequest::default()).await;
    verified_against_its_map(&world).await;
}

async fn a_map_that_is_gone_with_the_checkpoint_costs_a_reading_back(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    delete_objects(&world).await;
    fs::remove_file(world.checkpoint()).unwrap();
    world.write(3 * BLOCK, 10);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_eq!(point.counts.sent, BLOCK, "what was read back is not sent again");
    verified_against_its_map(&world).await;
}

async fn a_damaged_map_is_named_and_a_resync_seals_a_good_one(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    let target = world.target();
    for name in objects(&*target).await {
        target.put_object(&name, vec![b'['; 9000].into()).await.unwrap();
    }
    drop(target);
    let replica = world.open().await.unwrap();
    let error = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap_err();
    replica.close().await.unwrap();
    explained(&error, "recovery_point.map", "map-");
    assert!(error.remedy().contains("resync"));

    world.replicate(CycleRequest { kind: RequestedKind::Resync, ..CycleRequest::default() }).await;
    world.assert_equal().await;
    verified_against_its_map(&world).await;
}

async fn set_metadata(target: &dyn PageTarget, metadata: &Metadata) {
    let lease = LeaseId::random();
    target.acquire_lease(lease, TERM).await.unwrap();
    let etag = target.state().await.unwrap().unwrap().etag;
    target.set_metadata(metadata, lease, &etag).await.unwrap();
    target.release_lease(lease).await.unwrap();
}

async fn wiped_metadata_is_refused_until_it_is_put_back(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let kept = world.target().state().await.unwrap().unwrap().metadata;
    let strange = Metadata::from([("libmigrate".into(), r#"{"format":1,"generation":4294967295}"#.into())]);
    for (metadata, says) in [(Metadata::new(), "not made by libmigrate"), (strange, "cannot be read")] {
        set_metadata(&*world.target(), &metadata).await;
        explained(&world.open().await.unwrap_err(), "replica.not_a_replica", says);
    }
    set_metadata(&*world.target(), &kept).await;
    world.write(0, 10);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_eq!((point.cycle, point.counts.sent), (2, BLOCK), "the checkpoint is believed again");
}

async fn snapshots_that_make_no_sense_are_passed_over_and_left_alone(world: World) {
    let many = match &world.place {
        Place::Server(_) => 3000,
        Place::Local | Place::Azurite { .. } => 20,
    };
    world.image(MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let target = world.target();
    let true_one = target.snapshots().await.unwrap().remove(0).metadata["libmigrate"].clone();
    let other = |from: &str, to: &str| {
        assert!(true_one.contains(from), "{true_one}");
        true_one.replace(from, to)
    };
    let nonsense = [
        String::new(),
        "[".repeat(2000),
        r#"{"format":1}"#.into(),
        other("\"disk_bytes\":1048576", "\"disk_bytes\":18446744073709551615"),
        other("\"disk_bytes\":1048576", "\"disk_bytes\":7"),
        other("\"root\":\"", "\"root\":\"no hash "),
        other("\"cycle\":1", "\"cycle\":-1"),
        other("\"replication\":\"", "\"replication\":\"00000000-0000-4000-8000-000000000000\",\"was\":\""),
    ];
    let lease = LeaseId::random();
    target.acquire_lease(lease, TERM).await.unwrap();
    let etag = target.state().await.unwrap().unwrap().etag;
    for json in &nonsense {
        let metadata = if json.is_empty() {
            Metadata::from([("color".into(), "blue".into())])
        } else {
            Metadata::from([("libmigrate".into(), json.clone())])
        };
        target.snapshot(&metadata, lease, &etag).await.unwrap();
    }
    for number in 0..many {
        target.snapshot(&Metadata::from([("backup".into(), number.to_string())]), lease, &etag).await.unwrap();
    }
    target.release_lease(lease).await.unwrap();
    drop(target);

    world.write(0, 10);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let points = replica.recovery_points(&world.cancel).await.unwrap();
    assert_eq!(points.iter().map(|point| point.cycle).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(replica.prune(KeepRule { newest: 1, younger_than: None }, &world.cancel).await.unwrap(), [1]);
    replica.close().await.unwrap();
    world.assert_equal().await;
    assert_eq!(world.target().snapshots().await.unwrap().len(), nonsense.len() + many + 1, "ours alone was pruned");
}

/// Files and folders below `from`, to `to`.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn back_up(world: &World) {
    for name in ["web01.vhd", "web01.vhd.libmigrate"] {
        copy(&world.path(name), &world.path(&format!("backup-{name}")));
    }
}

fn restore(world: &World) {
    fs::remove_file(world.path("web01.vhd")).unwrap();
    fs::remove_dir_all(world.path("web01.vhd.libmigrate")).unwrap();
    for name in ["web01.vhd", "web01.vhd.libmigrate"] {
        copy(&world.path(&format!("backup-{name}")), &world.path(name));
    }
}

/// Opens, says why the map was rebuilt, replicates, compares.
async fn goes_on_after_a_rebuild_because(world: &World, why: &str) {
    let engine = world.engine();
    let description = DiskDescription::of(&*world.source());
    let replica = engine.open(world.target(), description, &world.cancel).await.unwrap();
    let mut events = engine.events().after(0);
    let rebuilt = std::iter::from_fn(|| events.try_next()).find_map(|event| match &event.kind {
        EventKind::MapRebuilt { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(rebuilt.as_deref().is_some_and(|reason| reason.contains(why)), "{rebuilt:?}");
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_put_back_from_before_the_last_owner_is_not_taken_for_what_it_was() {
    let world = World::local().await.unwrap();
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    back_up(&world);
    world.write(0, MIB);
    world.replicate(CycleRequest::default()).await;
    restore(&world);
    goes_on_after_a_rebuild_because(&world, "another process owned").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_put_back_from_an_earlier_cycle_of_the_same_owner_is_not_taken_for_what_it_was() {
    let world = World::local().await.unwrap();
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let replica = world.open().await.unwrap();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    back_up(&world);
    world.write(0, MIB);
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    restore(&world);
    goes_on_after_a_rebuild_because(&world, "another last recovery point").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_put_back_from_before_the_open_cycle_is_not_taken_for_what_it_was() {
    let world = World::local().await.unwrap();
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let replica = world.open().await.unwrap();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    back_up(&world);
    world.write(0, MIB);
    // Everything settles, nothing is sealed.
    let cycle = replica.begin(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    cycle.copy_from(world.source()).await.unwrap();
    drop(cycle);
    replica.close().await.unwrap();
    restore(&world);
    goes_on_after_a_rebuild_because(&world, "not as the checkpoint left it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumped_ahead_prunes_nothing_young() {
    let world = World::local().await.unwrap();
    world.image(MIB, &[(0, MIB)]);
    for _ in 0..3 {
        world.replicate(CycleRequest::default()).await;
    }
    // What the three say when the clock is a year ahead of them: sealed a year ago, an hour apart.
    let records = world.path("web01.vhd.libmigrate/snapshots");
    let now = jiff::Timestamp::now();
    for entry in fs::read_dir(records).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&entry).unwrap()).unwrap();
        let mut point: serde_json::Value =
            serde_json::from_str(record["metadata"]["libmigrate"].as_str().unwrap()).unwrap();
        let hours_before = 365 * 24 + 3 - point["cycle"].as_u64().unwrap();
        point["sealed_at"] = (now - Duration::from_secs(3600 * hours_before)).to_string().into();
        record["metadata"]["libmigrate"] = point.to_string().into();
        fs::write(&entry, record.to_string()).unwrap();
    }
    let replica = world.open().await.unwrap();
    let rule = |hours: u64| KeepRule { newest: 0, younger_than: Some(Duration::from_secs(hours * 3600)) };
    assert_eq!(replica.prune(rule(24), &world.cancel).await.unwrap(), [0; 0]);
    assert_eq!(replica.prune(rule(2), &world.cancel).await.unwrap(), [1]);
    replica.close().await.unwrap();
}

/// A source during whose reading something happens, once.
struct Meanwhile<F> {
    inner: Arc<dyn DiskSource>,
    at: u64,
    happened: AtomicBool,
    happens: F,
}

impl<F: Fn() + Send + Sync + 'static> DiskSource for Meanwhile<F> {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn point(&self) -> Option<String> {
        self.inner.point()
    }

    fn extents(&self, range: std::ops::Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        self.inner.extents(range, max)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        if offset >= self.at && !self.happened.swap(true, Ordering::SeqCst) {
            (self.happens)();
        }
        self.inner.read_at(offset, buf)
    }
}

fn meanwhile(world: &World, at: u64, happens: impl Fn() + Send + Sync + 'static) -> Arc<dyn DiskSource> {
    Arc::new(Meanwhile { inner: world.source(), at, happened: AtomicBool::new(false), happens })
}

/// Opens once the readers of the cycle that just failed have let the checkpoint go.
async fn once_let_go<T>(mut open: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let start = std::time::Instant::now();
    loop {
        match open().await {
            Err(error) if error.code() == "checkpoint.in_use" && start.elapsed() < Duration::from_secs(20) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => return opened,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_deleted_while_a_cycle_runs_ends_it_and_a_new_replica_is_a_choice() {
    let world = Arc::new(World::page_blob_server().await.unwrap());
    world.image(16 * MIB, &[(0, 16 * MIB)]);
    let replica = world.open().await.unwrap();
    let theirs = Arc::clone(&world);
    let source = meanwhile(&world, 8 * MIB, move || {
        let Place::Server(server) = &theirs.place else { unreachable!() };
        server.delete_container("replicas");
    });
    let error = replica.replicate(source, CycleRequest::default(), &world.cancel).await.unwrap_err();
    explained(&error, "target.container_not_found", "replicas/web01.vhd");
    assert!(error.remedy().contains("create the container"));
    drop(replica);

    let Place::Server(server) = &world.place else { unreachable!() };
    server.create_container("replicas");
    let error = once_let_go(async || world.open().await).await.unwrap_err();
    explained(&error, "replica.target_gone", "redb");
    fs::rename(world.checkpoint(), world.path("moved-away")).unwrap();
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_eq!(point.cycle, 1);
}

const OLD_KEY: &str = "b2xkIGtleSBvZiB0aGUgYWNjb3VudCwgcm90YXRlZA==";
const NEW_KEY: &str = "bmV3IGtleSBvZiB0aGUgYWNjb3VudCwgcm90YXRlZA==";

fn signed_with(key: &str) -> Auth {
    Auth::SharedKey { account: ACCOUNT.into(), key: key.into() }
}

fn at(server: &PageBlobServer, key: &str) -> Arc<AzurePageBlob> {
    let url = format!("{}/replicas/web01.vhd", server.endpoint());
    let credential = Credential::account_key(ACCOUNT, key).unwrap();
    Arc::new(AzurePageBlob::new(&url, credential, AzureOptions::default()).unwrap())
}

async fn server_with_keys() -> Arc<PageBlobServer> {
    let options = ServerOptions { auth: signed_with(OLD_KEY), ..ServerOptions::default() };
    let server = PageBlobServer::start_with(options).await;
    server.create_container("replicas");
    Arc::new(server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotated_while_a_cycle_runs_ends_it_and_a_new_key_goes_on() {
    let world = World::local().await.unwrap();
    let server = server_with_keys().await;
    world.image(16 * MIB, &[(0, 16 * MIB)]);
    let disk = DiskDescription::of(&*world.source());
    let engine = world.engine();
    let replica = engine.open(at(&server, OLD_KEY), disk.clone(), &world.cancel).await.unwrap();
    let theirs = Arc::clone(&server);
    let source = meanwhile(&world, 8 * MIB, move || theirs.set_auth(signed_with(NEW_KEY)));
    let error = replica.replicate(source, CycleRequest::default(), &world.cancel).await.unwrap_err();
    explained(&error, "target.unauthenticated", "replicas/web01.vhd");
    assert_eq!(replica.close().await.unwrap_err().code(), "target.unauthenticated", "the lease runs out by itself");

    let started = std::time::Instant::now();
    let open = async || engine.open(at(&server, NEW_KEY), disk.clone(), &world.cancel).await;
    let replica = once_let_go(open).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(30), "its own lease is taken again at once");
    let point = replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    assert_eq!(point.cycle, 1, "the same cycle");
    assert_eq!(point.counts.sent + point.counts.skipped, 16 * MIB, "what had settled was not sent again");
    let image = fs::read(world.path("web01.raw")).unwrap();
    assert!(server.blob("replicas/web01.vhd").unwrap().bytes[..image.len()] == image[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_the_service_does_not_accept_is_named() {
    let server = server_with_keys().await;
    at(&server, OLD_KEY).state().await.unwrap();
    server.advance_clock(Duration::from_secs(20 * 60));
    let error: Error = at(&server, OLD_KEY).state().await.unwrap_err().into();
    explained(&error, "target.unauthenticated", "set this machine's clock");
    assert!(error.remedy().contains("clock"));
}
