//! What crashes and deletions leave at the target, and the record of what was sealed.

use std::time::Duration;

use libmigrate::target::{LeaseId, Metadata, SnapshotId};
use libmigrate::{
    Against, CancellationToken, Coverage, CycleRequest, DiskDescription, Engine, EngineOptions, Garbage, KeepRule,
    Replica, Subject,
};
use libmigrate_test_support::page_blob_server::{Fault, Op};

use crate::on_every_target;
use crate::world::{BLOCK, MIB, Place, World};

on_every_target!(
    objects_that_no_recovery_point_names_are_listed_and_then_deleted,
    a_cycle_is_remembered_when_its_recovery_point_is_gone,
);

async fn numbers(replica: &Replica, cancel: &CancellationToken) -> Vec<u32> {
    replica.history(cancel).await.unwrap().iter().map(|point| point.cycle).collect()
}

async fn objects_that_no_recovery_point_names_are_listed_and_then_deleted(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let target = world.target();
    let part = format!("part-{}", "0".repeat(64));
    target.put_object(&part, b"left by a seal that did not finish".as_slice().into()).await.unwrap();
    target.put_object("notes.txt", b"not ours".as_slice().into()).await.unwrap();
    let replica = world.open().await.unwrap();

    let listed = replica.garbage(&world.cancel).await.unwrap();

    assert_eq!(listed, [Garbage::Object { name: part.clone() }]);
    assert!(target.get_object(&part, 100).await.unwrap().is_some(), "listing deletes nothing");
    assert_eq!(replica.collect_garbage(&world.cancel).await.unwrap(), listed);
    assert_eq!(target.get_object(&part, 100).await.unwrap(), None);
    assert!(target.get_object("notes.txt", 100).await.unwrap().is_some());
    assert_eq!(replica.garbage(&world.cancel).await.unwrap(), []);
    world.write(0, BLOCK);
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    world.assert_equal().await;
}

async fn a_cycle_is_remembered_when_its_recovery_point_is_gone(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    let first = world.replicate(CycleRequest::default()).await;
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    replica.prune(KeepRule { newest: 1, younger_than: None }, &world.cancel).await.unwrap();
    assert_eq!(replica.recovery_points(&world.cancel).await.unwrap().len(), 1);
    let history = replica.history(&world.cancel).await.unwrap();
    assert_eq!((history.len(), &history[0]), (2, &first));
    assert_eq!((history[0].generation, history[1].generation), (1, 2));
}

/// A snapshot whose answer was lost is taken again; one of the two is the recovery point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_was_taken_twice_is_garbage_once() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    world.image(2 * MIB, &[(0, MIB)]);
    let replica = world.open().await.unwrap();
    server.faults().next(Op::SnapshotBlob, Fault::LoseAnswer);
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let snapshots = server.blob("replicas/web01.vhd").unwrap().snapshots;
    assert_eq!(snapshots.len(), 2);

    let collected = replica.collect_garbage(&world.cancel).await.unwrap();

    assert_eq!(collected, [Garbage::Snapshot { id: SnapshotId(snapshots[0].clone()), cycle: 1 }]);
    assert_eq!(server.blob("replicas/web01.vhd").unwrap().snapshots, snapshots[1..]);
    assert_eq!(replica.recovery_points(&world.cancel).await.unwrap().len(), 1);
}

/// Killed after the snapshot, before the seal: here, the credential is gone in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snapshot_of_a_cycle_that_was_not_sealed_goes_at_the_next_open() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    world.image(2 * MIB, &[(0, MIB)]);
    let replica = world.open().await.unwrap();
    // The first says that writing begins, the second would seal.
    server.faults().nth(Op::SetBlobMetadata, 2, Fault::FORBIDDEN);
    let error = replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap_err();
    assert_eq!(error.code(), "target.forbidden");
    assert_eq!(replica.recovery_points(&world.cancel).await.unwrap(), []);
    let garbage = replica.garbage(&world.cancel).await.unwrap();
    assert!(
        matches!(&*garbage, [Garbage::Snapshot { cycle: 1, .. }, Garbage::Object { name }] if name.starts_with("map-")),
        "{garbage:?}"
    );
    replica.close().await.unwrap();

    let replica = world.open().await.unwrap();

    assert_eq!(server.blob("replicas/web01.vhd").unwrap().snapshots, [""; 0]);
    assert_eq!(numbers(&replica, &world.cancel).await, [0; 0]);
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    assert_eq!(numbers(&replica, &world.cancel).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_a_crash_kept_from_being_written_is_written_at_the_next_open() {
    let world = World::local().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let target = world.target();
    for name in target.list_objects("cycle-").await.unwrap() {
        target.delete_object(&name).await.unwrap();
    }
    let replica = world.open().await.unwrap();
    assert_eq!(numbers(&replica, &world.cancel).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_not_looked_for_while_a_cycle_is_open() {
    let world = World::local().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let replica = world.open().await.unwrap();
    let cycle = replica.begin(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    assert_eq!(replica.collect_garbage(&world.cancel).await.unwrap_err().code(), "cycle.open");
    cycle.copy_from(world.source()).await.unwrap();
    cycle.seal().await.unwrap();
}

/// Objects are named by their content, and content comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_deletion_does_not_take_the_map_of_a_disk_that_is_again_as_it_was() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    let image = world.image(2 * MIB, &[(0, MIB)]);
    let before = std::fs::read(&image).unwrap();
    let first = world.replicate(CycleRequest::default()).await;
    world.write(0, BLOCK);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    // The snapshot is deleted first; then part and manifest, each of them twice.
    server.faults().nth(Op::DeleteBlob, 2, Fault::ApplyLate);
    server.faults().nth(Op::DeleteBlob, 4, Fault::ApplyLate);
    replica.prune(KeepRule { newest: 1, younger_than: None }, &world.cancel).await.unwrap();
    std::fs::write(&image, before).unwrap();
    let third = replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    assert_eq!(third.root, first.root);

    assert_eq!(server.release_late_writes(), [412, 412]);

    let report = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
    assert!(report.is_equal());
}

/// An owner that was paused while it opened the replica, and does not know yet that another has taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_a_later_owner_took_is_no_garbage() {
    let world = World::local().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let replica = world.open().await.unwrap();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    let target = world.target();
    let sealed = target.snapshots().await.unwrap().remove(0).metadata["libmigrate"].clone();
    let lease = LeaseId::random();
    target.acquire_lease(lease, Duration::from_secs(60)).await.unwrap();
    let etag = target.state().await.unwrap().unwrap().etag;
    for generation in [1, 9] {
        let json = sealed
            .replace("\"cycle\":1", "\"cycle\":2")
            .replace("\"generation\":1", &format!("\"generation\":{generation}"));
        target.snapshot(&Metadata::from([("libmigrate".into(), json)]), lease, &etag).await.unwrap();
    }
    target.release_lease(lease).await.unwrap();
    drop(target);

    drop(world.open().await.unwrap());

    let left: Vec<SnapshotId> = world.target().snapshots().await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(left.len(), 2, "the sealed one, and that of generation 9: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_taken_over_deletes_nothing() {
    let world = World::page_blob_server().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let old = world.open().await.unwrap();
    old.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let options = EngineOptions { state_dir: Some(world.path("elsewhere")), ..world.options() };
    let disk = DiskDescription::of(&*world.source());
    let new = Engine::new(options).unwrap().take_over(world.target(), disk, &world.cancel).await.unwrap();
    world.write(0, BLOCK);
    new.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let target = world.target();
    let before = (target.snapshots().await.unwrap(), target.list_objects("").await.unwrap());

    let refused = old.prune(KeepRule { newest: 0, younger_than: None }, &world.cancel).await.unwrap_err();

    assert_eq!(refused.code(), "target.fenced");
    assert_eq!((target.snapshots().await.unwrap(), target.list_objects("").await.unwrap()), before);
}
