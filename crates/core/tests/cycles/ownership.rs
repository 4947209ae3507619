//! One writer: taken over by force, and what late requests of the past find.

use std::time::Duration;

use libmigrate::extent::Extent;
use libmigrate::progress::EventKind;
use libmigrate::target::{LeaseId, Metadata};
use libmigrate::{
    Against, Coverage, Cycle, CycleRequest, DiskDescription, Engine, EngineOptions, Error, KeepRule, PushedDisk,
    Replica, Subject,
};
use libmigrate_test_support::page_blob_server::{Fault, Op};

use crate::on_target;
use crate::world::{BLOCK, MIB, Place, World};

on_target!(local: a_lock_is_not_broken_while_its_process_lives, a_replica_that_nobody_holds_is_taken_over_without_force);
on_target!(page_blob_server: an_owner_that_is_taken_over_by_force_lands_nothing_and_ends_as_fenced, a_replica_that_nobody_holds_is_taken_over_without_force);
on_target!(azurite: an_owner_that_is_taken_over_by_force_lands_nothing_and_ends_as_fenced, a_replica_that_nobody_holds_is_taken_over_without_force);

/// Another machine: it has the account, but not the checkpoint.
async fn take_over(world: &World) -> Result<(Engine, Replica), Error> {
    let options = EngineOptions { state_dir: Some(world.path("elsewhere")), ..world.options() };
    let engine = Engine::new(options).unwrap();
    let replica = engine.take_over(world.target(), DiskDescription::of(&*world.source()), &world.cancel).await?;
    Ok((engine, replica))
}

async fn an_owner_that_is_taken_over_by_force_lands_nothing_and_ends_as_fenced(world: World) {
    world.image(8 * MIB, &[(0, 8 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.write(0, 8 * MIB);
    let old = world.open().await.unwrap();
    let disk =
        PushedDisk { size_bytes: 8 * MIB, identity: None, point: Some("then".into()), zero: [].into_iter().collect() };
    let cycle = old.begin(std::sync::Arc::new(disk), CycleRequest::default(), &world.cancel).await.unwrap();
    let first = cycle.next_wanted().await.unwrap().unwrap();
    let second = cycle.next_wanted().await.unwrap().unwrap();
    cycle.push(first.offset(), vec![0x5a; first.len_bytes() as usize].into()).await.unwrap();

    let (engine, new) = take_over(&world).await.unwrap();
    new.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let ended = ends_with(cycle, second).await;

    assert_eq!(ended.code(), "target.fenced", "{ended}");
    world.assert_equal().await;
    let forced = new.last_forced_take_over().await.unwrap();
    let mut events = engine.events().after(0);
    let told = std::iter::from_fn(|| events.try_next()).find_map(|event| match event.kind {
        EventKind::TakenOverByForce { generation } => Some(generation),
        _ => None,
    });
    assert_eq!(told, Some(forced.generation));
    new.close().await.unwrap();
    drop(old);
    let next = world.open().await.unwrap();
    assert_eq!(next.last_forced_take_over().await, Some(forced), "it is kept on the target");
}

/// To an owner that does not know of the take-over, what the new one has sealed looks like garbage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_taken_over_deletes_nothing() {
    let world = World::page_blob_server().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let old = world.open().await.unwrap();
    old.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let (_engine, new) = take_over(&world).await.unwrap();
    world.write(0, BLOCK);
    new.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();

    let pruned = old.prune(KeepRule { newest: 1, younger_than: None }, &world.cancel).await;
    let collected = old.collect_garbage(&world.cancel).await;

    assert_eq!(pruned.unwrap_err().code(), "target.fenced");
    assert_eq!(collected.unwrap_err().code(), "target.fenced");
    assert_eq!(new.recovery_points(&world.cancel).await.unwrap().len(), 2);
    for cycle in [1, 2] {
        let report =
            new.verify(Subject::Cycle(cycle), Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
        assert!(report.is_equal());
    }
}

/// Pushes what is left, beginning with `wanted`: how the cycle ends.
async fn ends_with(cycle: Cycle, wanted: Extent) -> Error {
    let mut wanted = Ok(Some(wanted));
    loop {
        wanted = match wanted {
            Ok(Some(extent)) => match cycle.push(extent.offset(), vec![0xa5; extent.len_bytes() as usize].into()).await
            {
                Ok(()) => cycle.next_wanted().await,
                Err(e) => return e,
            },
            Ok(None) => return cycle.seal().await.unwrap_err(),
            Err(e) => return e,
        }
    }
}

async fn a_lock_is_not_broken_while_its_process_lives(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    let old = world.open().await.unwrap();
    let refused = take_over(&world).await.unwrap_err();
    assert_eq!(refused.code(), "target.lease_held");
    assert!(refused.to_string().contains("process"), "{refused}");
    old.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    world.assert_equal().await;
}

async fn a_replica_that_nobody_holds_is_taken_over_without_force(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let (_engine, replica) = take_over(&world).await.unwrap();
    assert_eq!(replica.last_forced_take_over().await, None);
}

/// A service may carry out a request long after it answered that it timed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_request_of_any_kind_changes_nothing() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    world.image(2 * MIB, &[(0, MIB)]);
    for op in [Op::SetBlobMetadata, Op::SetSequenceNumber, Op::ResizeBlob, Op::SnapshotBlob, Op::PutPage, Op::ClearPage]
    {
        for first_try in [1, 3, 5, 7] {
            server.faults().nth(op, first_try, Fault::ApplyLate);
        }
    }
    world.replicate(CycleRequest::default()).await;
    world.punch(0, BLOCK);
    std::fs::File::options().write(true).open(world.path("web01.raw")).unwrap().set_len(4 * MIB).unwrap();
    world.replicate(CycleRequest::default()).await;
    world.write(3 * MIB, BLOCK);
    let replica = world.open().await.unwrap();
    let cycle = replica.begin(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    server.faults().clear();
    let before = server.blob("replicas/web01.vhd").unwrap();

    let late = server.release_late_writes();

    let after = server.blob("replicas/web01.vhd").unwrap();
    assert!(late.len() >= 12, "{late:?}");
    assert_eq!(after.metadata, before.metadata);
    assert_eq!(after.sequence, before.sequence);
    assert_eq!(after.snapshots, before.snapshots);
    assert_eq!(after.bytes, before.bytes);
    cycle.copy_from(world.source()).await.unwrap();
    cycle.seal().await.unwrap();
    world.assert_equal().await;
}

/// The sequence number says under which owner the pages were written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_is_older_than_the_pages_is_refused() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let older = server.blob("replicas/web01.vhd").unwrap().metadata;
    world.write(0, BLOCK);
    world.replicate(CycleRequest::default()).await;
    let newer = server.blob("replicas/web01.vhd").unwrap().metadata;
    put_metadata(&world, &older).await;

    let refused = world.open().await.unwrap_err();

    assert_eq!(refused.code(), "replica.rolled_back");
    assert!(refused.to_string().contains("generation 1, but its pages were written under generation 2"), "{refused}");
    put_metadata(&world, &newer).await;
    world.write(MIB, BLOCK);
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

async fn put_metadata(world: &World, metadata: &Metadata) {
    let (target, lease) = (world.target(), LeaseId::random());
    target.acquire_lease(lease, Duration::from_secs(60)).await.unwrap();
    let etag = target.state().await.unwrap().unwrap().etag;
    target.set_metadata(metadata, lease, &etag).await.unwrap();
    target.release_lease(lease).await.unwrap();
}
