//! Listing, verifying, rolling back, keeping.

use libmigrate::size::PageRange;
use libmigrate::source::{ChangeId, ChangeList};
use libmigrate::target::{Fence, LeaseId, View};
use libmigrate::{Against, Coverage, CycleRequest, KeepRule, Subject};
use libmigrate_test_support::page_blob_server::{Fault, Op, Refusal};

use crate::on_every_target;
use crate::world::{BLOCK, MIB, Place, World};

on_every_target!(
    recovery_points_are_listed_with_what_they_were,
    a_recovery_point_equals_its_source_and_its_map,
    a_changed_source_is_told_block_by_block,
    rolling_back_makes_the_target_what_it_was,
    a_keep_rule_deletes_the_old_ones_and_never_the_newest,
    a_maps_objects_go_when_no_recovery_point_needs_them,
);

async fn recovery_points_are_listed_with_what_they_were(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let first = world.replicate(CycleRequest::default()).await;
    world.write(0, BLOCK);
    let second = world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    assert_eq!(replica.recovery_points(&world.cancel).await.unwrap(), [first, second]);
}

async fn a_recovery_point_equals_its_source_and_its_map(world: World) {
    world.image(20 * MIB + 777, &[(0, 4 * MIB), (20 * MIB, 777)]);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let against_map = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
    assert!(against_map.is_equal());
    assert_eq!(against_map.compared, 21 * MIB / BLOCK);
    let source = Against::Source(world.source());
    assert!(replica.verify(Subject::Cycle(1), source.clone(), Coverage::Full, &world.cancel).await.unwrap().is_equal());
    let sample = Coverage::sample(0.1, 0.01);
    let sampled = replica.verify(Subject::Cycle(1), source, sample, &world.cancel).await.unwrap();
    assert!(sampled.is_equal());
    assert_eq!(sampled.compared, 44);
    assert!(sampled.may_miss > 0.005 && sampled.may_miss <= 0.01, "{}", sampled.may_miss);
}

async fn a_changed_source_is_told_block_by_block(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.write(7 * BLOCK + 5, 1);
    world.write(6 * MIB, 1);
    let replica = world.open().await.unwrap();
    let report =
        replica.verify(Subject::Newest, Against::Source(world.source()), Coverage::Full, &world.cancel).await.unwrap();
    let offsets: Vec<u64> = report.mismatches.iter().map(|mismatch| mismatch.offset).collect();
    assert_eq!((report.mismatched, offsets), (2, vec![7 * BLOCK, 6 * MIB]));
}

async fn rolling_back_makes_the_target_what_it_was(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let first = world.replicate(CycleRequest::default()).await;
    let then = world.replica_bytes().await;
    world.write(MIB, 2 * MIB);
    world.write(7 * MIB, BLOCK);
    world.write_zeros(0, BLOCK);
    world.replicate(CycleRequest::default()).await;

    let replica = world.open().await.unwrap();
    let back = replica.roll_back(1, &world.cancel).await.unwrap();
    let verified = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    assert!(world.replica_bytes().await == then);
    assert!(verified.is_equal());
    assert_eq!((back.cycle, &back.root), (3, &first.root));
    assert_eq!(back.counts.sent, 2 * MIB + BLOCK);
    assert_eq!(back.counts.hole_cleared, BLOCK);

    // The next delta brings the target forward again.
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

async fn a_keep_rule_deletes_the_old_ones_and_never_the_newest(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.replicate(CycleRequest::default()).await;
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let rule = |newest, younger_than| KeepRule { newest, younger_than };
    assert_eq!(replica.prune(rule(0, Some(day)), &world.cancel).await.unwrap(), [0; 0]);
    assert_eq!(replica.prune(rule(2, None), &world.cancel).await.unwrap(), [1]);
    assert_eq!(replica.prune(rule(0, None), &world.cancel).await.unwrap(), [2]);
    let left = replica.recovery_points(&world.cancel).await.unwrap();
    assert_eq!(left.iter().map(|point| point.cycle).collect::<Vec<_>>(), [3]);
    assert_eq!(
        replica.verify(Subject::Cycle(1), Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap_err().code(),
        "recovery_point.none"
    );
}

async fn a_maps_objects_go_when_no_recovery_point_needs_them(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.write(0, BLOCK);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    assert_eq!(world.target().list_objects("map-").await.unwrap().len(), 2);
    replica.prune(KeepRule { newest: 1, younger_than: None }, &world.cancel).await.unwrap();
    assert_eq!(world.target().list_objects("map-").await.unwrap().len(), 1);
    assert_eq!(world.target().list_objects("part-").await.unwrap().len(), 1);
    let report = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
    assert!(report.is_equal());
}

/// The blocks that a roll-back has moved are in no change list of the source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_list_is_not_believed_after_an_interrupted_roll_back() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    let at = |id: &str| CycleRequest { change_id: Some(ChangeId::new(id)), ..CycleRequest::default() };
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    world.write(0, 4 * MIB);
    world.replicate(at("two")).await;
    let replica = world.open().await.unwrap();
    // Everything is moved back, but never sealed.
    server.faults().next(Op::SnapshotBlob, Fault::Refuse(Refusal::new(403, "AuthorizationFailure", "no")));
    replica.roll_back(1, &world.cancel).await.unwrap_err();
    replica.close().await.unwrap();

    let changes = ChangeList::new(ChangeId::new("two"), ChangeId::new("three"), u64::MAX);
    let point = world.replicate(CycleRequest { changes: Some(changes), ..CycleRequest::default() }).await;
    world.assert_equal().await;
    assert!(point.change_list_ignored.unwrap().contains("roll-back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_at_rest_is_found_against_the_map() {
    let world = World::local().await.unwrap();
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    // Damage the live bytes while a cycle's own writes are under way cannot be told from a snapshot, so the
    // damage goes into the snapshot's file.
    world.replicate(CycleRequest::default()).await;
    let snapshots = world.path("web01.vhd.libmigrate").join("snapshots");
    let file =
        std::fs::read_dir(snapshots).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().unwrap() == "vhd");
    let file = std::fs::File::options().write(true).open(file.unwrap()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"rot", 3 * MIB + 9).unwrap();
    let replica = world.open().await.unwrap();
    let report = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
    assert_eq!((report.mismatched, report.mismatches[0].offset), (1, 3 * MIB));
}

/// The lease alone does not make a replica: the engine's own fence is the sequence number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_an_earlier_generation_does_not_land() {
    let world = World::page_blob_server().await.unwrap();
    assert!(matches!(world.place, Place::Server(_)));
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let target = world.target();
    let old = target.state().await.unwrap().unwrap().sequence;
    world.replicate(CycleRequest::default()).await;
    let lease = LeaseId::random();
    target.acquire_lease(lease, std::time::Duration::from_secs(60)).await.unwrap();
    let late = target.put(PageRange::new(0, 512).unwrap(), vec![9; 512].into(), Fence { lease, sequence: old }).await;
    assert!(matches!(late, Err(libmigrate::target::TargetError::Fenced { .. })), "{late:?}");
    target.release_lease(lease).await.unwrap();
    world.assert_equal().await;
    assert!(!target.page_ranges(&View::Live, 0..2 * MIB).await.unwrap().is_empty());
}
