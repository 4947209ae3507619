//! Initial, delta, with and without a change list, and what each sends.

use libmigrate::progress::{CycleKind, EventKind};
use libmigrate::size::BlockSize;
use libmigrate::source::{ChangeId, ChangeList};
use libmigrate::target::View;
use libmigrate::{
    Against, Coverage, CycleRequest, DiskDescription, Engine, EngineOptions, RecoveryPoint, RequestedKind, Subject,
};

use crate::on_every_target;
use crate::world::{BLOCK, MIB, World};

on_every_target!(
    initial_replication_sends_data_and_passes_over_holes,
    a_delta_sends_only_changed_blocks,
    an_unchanged_disk_sends_nothing,
    zeros_are_cleared_unless_known_clear,
    a_hole_over_old_data_is_cleared_without_reading,
    a_change_list_narrows_what_is_read,
    a_change_list_that_does_not_chain_is_ignored_and_said,
    a_change_list_beyond_the_disk_is_ignored_and_said,
    what_a_change_list_does_not_cover_is_compared,
    a_change_list_that_was_reset_is_ignored_with_its_reason,
    what_an_interrupted_cycle_sent_in_between_is_taken_back,
    a_change_list_that_the_extents_contradict_is_ignored_and_said,
    a_hole_that_the_change_list_names_does_not_contradict_it,
    an_odd_size_is_padded_with_zeros,
    a_disk_that_grew_is_followed,
    a_resync_repairs_what_the_map_did_not_know_of,
    a_final_cycle_is_a_delta_that_says_so,
    a_replica_of_large_blocks_is_continued_by_an_engine_of_short_runs,
);

fn assert_sums(point: &RecoveryPoint) {
    let c = point.counts;
    assert_eq!(c.read + c.hole + c.unlisted, point.disk_bytes, "{c:?}");
    assert_eq!(c.sent + c.cleared + c.skipped, c.read, "{c:?}");
}

fn list(base: &str, end: &str, extents: &[(u64, u64)]) -> CycleRequest {
    let mut changes = ChangeList::new(ChangeId::new(base), ChangeId::new(end), u64::MAX);
    extents.iter().for_each(|(offset, len)| changes.push(*offset, *len).unwrap());
    CycleRequest { changes: Some(changes), ..CycleRequest::default() }
}

/// A list is of two moments, and a block may be the same at both and not in between.
async fn what_an_interrupted_cycle_sent_in_between_is_taken_back(world: World) {
    let path = world.image(4 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    let before = std::fs::read(&path).unwrap();
    world.write(3 * BLOCK, BLOCK);
    let replica = world.open().await.unwrap();
    let cycle = replica.begin(world.source(), list("one", "two", &[(3 * BLOCK, BLOCK)]), &world.cancel).await.unwrap();
    cycle.copy_from(world.source()).await.unwrap();
    drop(cycle);
    std::fs::write(&path, before).unwrap();
    world.write(5 * BLOCK, BLOCK);

    let request = list("one", "three", &[(5 * BLOCK, BLOCK)]);
    let point = replica.replicate(world.source(), request, &world.cancel).await.unwrap();
    replica.close().await.unwrap();

    world.assert_equal().await;
    assert_eq!((point.change_list_ignored, point.counts.sent), (None, 2 * BLOCK));
}

fn at(change_id: &str) -> CycleRequest {
    CycleRequest { change_id: Some(ChangeId::new(change_id)), ..CycleRequest::default() }
}

async fn initial_replication_sends_data_and_passes_over_holes(world: World) {
    world.image(40 * MIB, &[(0, 3 * MIB), (10 * MIB + 8192, 70_000), (39 * MIB, MIB)]);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.cycle, point.kind, point.crash_consistent), (1, CycleKind::Initial, true));
    // 70 000 bytes touch 18 grains of 4 KiB.
    assert_eq!(point.counts.sent, 4 * MIB + 18 * 4096);
    assert_eq!(point.counts.cleared + point.counts.hole_cleared, 0);
}

async fn a_delta_sends_only_changed_blocks(world: World) {
    world.image(40 * MIB, &[(0, 16 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.write(5 * BLOCK, BLOCK);
    world.write(100 * BLOCK + 17, 1);
    world.write(30 * MIB, 4096);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.cycle, point.kind), (2, CycleKind::Delta));
    assert_eq!(point.counts.sent, 2 * BLOCK + 4096);
}

async fn an_unchanged_disk_sends_nothing(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let first = world.replicate(CycleRequest::default()).await;
    let second = world.replicate(CycleRequest::default()).await;
    assert_sums(&second);
    assert_eq!((second.counts.sent, second.counts.skipped), (0, 4 * MIB));
    assert_eq!(second.root, first.root, "equal disks have equal roots");
}

async fn zeros_are_cleared_unless_known_clear(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.write_zeros(6 * MIB, MIB);
    let first = world.replicate(CycleRequest::default()).await;
    assert_eq!((first.counts.cleared, first.counts.skipped), (0, MIB), "a fresh target is known clear");
    world.write_zeros(2 * MIB, MIB);
    world.write_zeros(3 * MIB + 8192, 4096);
    let second = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_sums(&second);
    assert_eq!(second.counts.cleared, MIB + 4096);
    assert_eq!(second.counts.sent, BLOCK - 4096);
}

async fn a_hole_over_old_data_is_cleared_without_reading(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.image(8 * MIB, &[(0, MIB)]);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.counts.read, point.counts.hole_cleared), (MIB, 3 * MIB));
    let ranges = world.target().page_ranges(&View::Live, 0..8 * MIB).await.unwrap();
    assert_eq!(ranges.iter().map(|range| range.len_bytes()).sum::<u64>(), MIB);
}

async fn a_change_list_narrows_what_is_read(world: World) {
    world.image(40 * MIB, &[(0, 16 * MIB)]);
    world.replicate(at("one")).await;
    world.write(MIB + 100, 10);
    world.write(9 * MIB, 4096);
    // Unsorted, overlapping, unaligned, and one that did not change at all.
    let request = list("one", "two", &[(9 * MIB, 5000), (9 * MIB + 1000, 100), (MIB + 100, 10), (3 * MIB, 1)]);
    let point = world.replicate(request).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!(point.change_list_ignored, None);
    assert_eq!((point.counts.read, point.counts.sent), (3 * BLOCK, 2 * BLOCK));
    assert_eq!(point.change_id.as_deref(), Some("two"));
}

async fn a_change_list_that_does_not_chain_is_ignored_and_said(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    world.write(MIB, BLOCK);
    let replica = world.open().await.unwrap();
    let point = replica.replicate(world.source(), list("zero", "two", &[]), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
    assert!(point.change_list_ignored.unwrap().contains("\"zero\""));
    assert_eq!((point.counts.unlisted, point.counts.sent), (0, BLOCK));
}

async fn a_change_list_beyond_the_disk_is_ignored_and_said(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    world.write(MIB, BLOCK);
    let point = world.replicate(list("one", "two", &[(9 * MIB, 1)])).await;
    world.assert_equal().await;
    assert!(point.change_list_ignored.unwrap().contains("past the end"));
}

async fn what_a_change_list_does_not_cover_is_compared(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    world.write(3 * MIB, BLOCK);
    let changes = ChangeList::new(ChangeId::new("one"), ChangeId::new("two"), 3 * MIB);
    let point = world.replicate(CycleRequest { changes: Some(changes), ..CycleRequest::default() }).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.counts.unlisted, point.counts.read, point.counts.sent), (3 * MIB, MIB, BLOCK));
}

async fn a_change_list_that_was_reset_is_ignored_with_its_reason(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    world.write(3 * MIB, BLOCK);
    let changes = ChangeList::reset(ChangeId::new("one"), ChangeId::new("two"), "tracking was switched off");
    let point = world.replicate(CycleRequest { changes: Some(changes), ..CycleRequest::default() }).await;
    world.assert_equal().await;
    assert!(point.change_list_ignored.unwrap().contains("tracking was switched off"));
    assert_eq!((point.counts.unlisted, point.counts.sent), (0, BLOCK));
}

async fn a_change_list_that_the_extents_contradict_is_ignored_and_said(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    // The third and fourth MiB become a hole, and a block of the first changes; the list knows of neither.
    world.image(8 * MIB, &[(0, 2 * MIB)]);
    world.write(BLOCK, BLOCK);
    let point = world.replicate(list("one", "two", &[(6 * MIB, 1)])).await;
    world.assert_equal().await;
    let reason = point.change_list_ignored.unwrap();
    assert!(reason.contains("offset 2097152") && reason.contains("zeros now"), "{reason}");
    assert_eq!((point.counts.unlisted, point.counts.hole_cleared), (0, 2 * MIB));
}

async fn a_hole_that_the_change_list_names_does_not_contradict_it(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(at("one")).await;
    world.punch(2 * MIB, 2 * MIB);
    let point = world.replicate(list("one", "two", &[(2 * MIB, 2 * MIB)])).await;
    world.assert_equal().await;
    assert_eq!(point.change_list_ignored, None);
    assert_eq!((point.counts.read, point.counts.hole_cleared), (0, 2 * MIB));
}

async fn an_odd_size_is_padded_with_zeros(world: World) {
    world.image(5 * MIB + 777, &[(4 * MIB, MIB + 777)]);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.source_bytes, point.disk_bytes), (5 * MIB + 777, 6 * MIB));
}

async fn a_disk_that_grew_is_followed(world: World) {
    let path = world.image(5 * MIB, &[(0, 5 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    std::fs::File::options().write(true).open(path).unwrap().set_len(150 * MIB).unwrap();
    world.write(140 * MIB, MIB);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.disk_bytes, point.counts.sent), (150 * MIB, MIB));
    assert_eq!(world.target().state().await.unwrap().unwrap().len, 150 * MIB + 512);
}

async fn a_resync_repairs_what_the_map_did_not_know_of(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    // Somebody writes around us, with the lease taken properly but not through an engine.
    let target = world.target();
    let lease = libmigrate::target::LeaseId::random();
    target.acquire_lease(lease, std::time::Duration::from_secs(60)).await.unwrap();
    let sequence = target.state().await.unwrap().unwrap().sequence;
    let range = libmigrate::size::PageRange::new(MIB, 512).unwrap();
    let fence = libmigrate::target::Fence { lease, sequence };
    target.put(range, vec![9; 512].into(), fence).await.unwrap();
    target.release_lease(lease).await.unwrap();
    drop(target);

    let point = world.replicate(CycleRequest { kind: RequestedKind::Resync, ..CycleRequest::default() }).await;
    world.assert_equal().await;
    assert_sums(&point);
    assert_eq!((point.kind, point.counts.sent), (CycleKind::Resync, BLOCK));
}

async fn a_final_cycle_is_a_delta_that_says_so(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let request = CycleRequest { kind: RequestedKind::Final, ..CycleRequest::default() };
    let point = replica.replicate(world.source(), request, &world.cancel).await.unwrap();
    assert_eq!((point.kind, point.counts.sent), (CycleKind::Final, 0));
}

/// A replica keeps its block size, whatever the next engine's options are.
async fn a_replica_of_large_blocks_is_continued_by_an_engine_of_short_runs(world: World) {
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    for (block, run) in [(MIB, MIB), (64 << 10, 64 << 10)] {
        let options = EngineOptions { block_size: BlockSize::new(block), run_bytes: run, ..world.options() };
        let engine = Engine::new(options).unwrap();
        let description = DiskDescription::of(&*world.source());
        let replica = engine.open(world.target(), description, &world.cancel).await.unwrap();
        replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
        let verified =
            replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap();
        assert!(verified.is_equal());
        replica.close().await.unwrap();
        world.write(MIB, 3 * BLOCK);
    }
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_numbered_and_tell_the_story() {
    let world = World::local().await.unwrap();
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let engine = world.engine();
    let description = libmigrate::DiskDescription::of(&*world.source());
    let replica = engine.open(world.target(), description, &world.cancel).await.unwrap();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let mut reader = engine.events().after(0);
    let events: Vec<_> = std::iter::from_fn(|| reader.try_next()).collect();
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
    let opened = events.iter().position(|e| matches!(e.kind, EventKind::Opened { generation: 1, .. })).unwrap();
    let started = events.iter().position(|e| matches!(e.kind, EventKind::CycleStarted { cycle: 1, .. })).unwrap();
    let done = events
        .iter()
        .position(|e| matches!(&e.kind, EventKind::Progress { counts, disk, .. } if counts.done() == *disk))
        .unwrap();
    let sealed = events.iter().position(|e| matches!(e.kind, EventKind::Sealed { cycle: 1, .. })).unwrap();
    assert!(opened < started && started < done && done < sealed);
}
