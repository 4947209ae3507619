//! Damage planted in the target behind our back: what verification names, and what a resync repairs.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libmigrate::progress::CycleKind;
use libmigrate::source::{SourceError, SourceExtent};
use libmigrate::{
    Against, CancellationToken, Coverage, CycleRequest, DiskSource, Mismatch, RecoveryPoint, Replica, RequestedKind,
    Subject, VerifyReport,
};
use libmigrate_test_support::page_blob_server::{Fault, Op};

use crate::world::{BLOCK, MIB, Place, World};
use crate::{on_every_target, on_target};

on_every_target!(
    a_flipped_bit_is_found_and_alone_repaired,
    a_lost_page_is_found_and_alone_repaired,
    a_lost_block_is_found_and_alone_repaired,
    a_stale_page_is_found_and_alone_repaired,
    a_resurrected_zero_is_found_and_alone_repaired,
    a_damaged_footer_is_found_and_alone_repaired,
    the_target_itself_is_not_compared_while_it_may_rightly_differ,
    a_sample_is_drawn_again_by_its_seed,
);

mod in_snapshots {
    use super::*;
    on_target!(local: damage_in_a_snapshot_alone_leaves_the_target_good, a_damaged_snapshot_is_not_rolled_back_to);
    on_target!(
        page_blob_server: damage_in_a_snapshot_alone_leaves_the_target_good, a_damaged_snapshot_is_not_rolled_back_to
    );
}

/// Windows end at multiples of 128 MiB: the disk is one and a bit.
const DISK: u64 = 130 * MIB;
const BORDER: u64 = 128 * MIB;
const PAGE: u64 = 512;

/// Data in the first block, the last one, the middle, and on both sides of the window's border.
const AT_THE_EDGES: &[(u64, u64)] = &[(0, MIB), (63 * MIB, 2 * MIB), (127 * MIB, 3 * MIB)];

/// The reverse: holes there.
const AWAY_FROM_THE_EDGES: &[(u64, u64)] = &[(2 * MIB, 3 * MIB), (100 * MIB, 2 * MIB)];

/// The first page, the last, two around the window's border, and five that the seed draws from `ranges`.
fn pages_in(ranges: &[(u64, u64)], seed: u64) -> BTreeSet<u64> {
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let drawn = std::iter::repeat_with(|| {
        let (offset, len) = ranges[rng.usize(..ranges.len())];
        offset + rng.u64(..len / PAGE) * PAGE
    });
    [0, DISK - PAGE, BORDER - PAGE, BORDER].into_iter().chain(drawn.take(5)).collect()
}

fn page_of_image(world: &World, offset: u64) -> Vec<u8> {
    let mut page = vec![0; PAGE as usize];
    File::open(world.path("web01.raw")).unwrap().read_exact_at(&mut page, offset).unwrap();
    page
}

async fn verify(world: &World, replica: &Replica, subject: Subject) -> VerifyReport {
    replica.verify(subject, Against::SealedMap, Coverage::Full, &world.cancel).await.unwrap()
}

/// The blocks that hold `pages`, neighbours joined.
fn blocks_joined(blocks: &BTreeSet<u64>) -> Vec<Mismatch> {
    let mut joined: Vec<Mismatch> = Vec::new();
    for block in blocks {
        match joined.last_mut() {
            Some(last) if last.offset + last.len == *block => last.len += BLOCK,
            _ => joined.push(Mismatch { offset: *block, len: BLOCK }),
        }
    }
    joined
}

fn data_bytes(world: &World, blocks: &BTreeSet<u64>) -> u64 {
    let image = File::open(world.path("web01.raw")).unwrap();
    let mut grain = [0; 4096];
    let grains = blocks.iter().flat_map(|block| (*block..block + BLOCK).step_by(4096));
    let data = grains.filter(|at| {
        image.read_exact_at(&mut grain, *at).unwrap();
        grain != [0; 4096]
    });
    data.count() as u64 * 4096
}

async fn resync(world: &World, replica: &Replica) -> RecoveryPoint {
    let request = CycleRequest { kind: RequestedKind::Resync, ..CycleRequest::default() };
    replica.replicate(world.source(), request, &world.cancel).await.unwrap()
}

/// Exactly the blocks of the damaged pages are named, by map and by source; the recovery point is good. A resync
/// writes these blocks and no byte more; what is there of zeros in them it clears.
async fn are_found_and_alone_repaired(world: World, pages: BTreeSet<u64>) {
    let blocks: BTreeSet<u64> = pages.iter().map(|page| page / BLOCK * BLOCK).collect();
    let replica = world.open().await.unwrap();

    let by_map = verify(&world, &replica, Subject::Live).await;
    let source = Against::Source(world.source());
    let by_source = replica.verify(Subject::Live, source, Coverage::Full, &world.cancel).await.unwrap();
    let snapshot = verify(&world, &replica, Subject::Newest).await;
    let repaired = resync(&world, &replica).await;
    let live = verify(&world, &replica, Subject::Live).await;
    let newest = verify(&world, &replica, Subject::Newest).await;
    replica.close().await.unwrap();

    assert_eq!((&by_map.mismatches, by_map.mismatched), (&blocks_joined(&blocks), blocks.len() as u64));
    assert_eq!((by_source.mismatches, by_source.mismatched), (by_map.mismatches, by_map.mismatched));
    assert!(snapshot.is_equal(), "{snapshot:?}");
    let c = repaired.counts;
    assert_eq!(repaired.kind, CycleKind::Resync);
    assert_eq!(c.sent, data_bytes(&world, &blocks));
    assert_eq!(c.sent + c.cleared + c.hole_cleared, blocks.len() as u64 * BLOCK, "{c:?}");
    assert!(live.is_equal() && newest.is_equal(), "{live:?} {newest:?}");
    world.assert_equal().await;
}

async fn a_flipped_bit_is_found_and_alone_repaired(world: World) {
    world.image(DISK, AT_THE_EDGES);
    world.replicate(CycleRequest::default()).await;
    let pages = pages_in(AT_THE_EDGES, 11);
    for page in &pages {
        let mut bytes = page_of_image(&world, *page);
        bytes[(page / PAGE * 37 % PAGE) as usize] ^= 1 << (page / PAGE % 8);
        world.plant(*page, &bytes).await;
    }
    are_found_and_alone_repaired(world, pages).await;
}

async fn a_lost_page_is_found_and_alone_repaired(world: World) {
    world.image(DISK, AT_THE_EDGES);
    world.replicate(CycleRequest::default()).await;
    let pages = pages_in(AT_THE_EDGES, 12);
    for page in &pages {
        world.lose(*page, PAGE).await;
    }
    are_found_and_alone_repaired(world, pages).await;
}

/// Then the target lists nothing there.
async fn a_lost_block_is_found_and_alone_repaired(world: World) {
    world.image(DISK, AT_THE_EDGES);
    world.replicate(CycleRequest::default()).await;
    world.lose(BORDER - BLOCK, 2 * BLOCK).await;
    are_found_and_alone_repaired(world, [BORDER - BLOCK, BORDER].into()).await;
}

async fn a_stale_page_is_found_and_alone_repaired(world: World) {
    world.image(DISK, AT_THE_EDGES);
    world.replicate(CycleRequest::default()).await;
    let pages = pages_in(AT_THE_EDGES, 13);
    let stale: Vec<(u64, Vec<u8>)> = pages.iter().map(|page| (*page, page_of_image(&world, *page))).collect();
    AT_THE_EDGES.iter().for_each(|(offset, len)| world.write(*offset, *len));
    world.replicate(CycleRequest::default()).await;
    for (page, bytes) in stale {
        world.plant(page, &bytes).await;
    }
    are_found_and_alone_repaired(world, pages).await;
}

async fn a_resurrected_zero_is_found_and_alone_repaired(world: World) {
    world.image(DISK, AWAY_FROM_THE_EDGES);
    world.replicate(CycleRequest::default()).await;
    let holes = [(0, 2 * MIB), (5 * MIB, 95 * MIB), (102 * MIB, 28 * MIB)];
    let pages = pages_in(&holes, 14);
    for page in &pages {
        world.plant(*page, &[0xee; PAGE as usize]).await;
    }
    are_found_and_alone_repaired(world, pages).await;
}

async fn a_damaged_footer_is_found_and_alone_repaired(world: World) {
    world.image(2 * MIB, &[(0, 2 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.lose(2 * MIB, PAGE).await;
    footer_is_found_and_alone_repaired(&world).await;
    // The footer of another disk of that size: one that a checksum does not tell.
    let mut other = footer(&world).await;
    other.swap(68, 100);
    world.plant(2 * MIB, &other).await;
    footer_is_found_and_alone_repaired(&world).await;
}

async fn footer(world: &World) -> Vec<u8> {
    let range = libmigrate::size::PageRange::new(2 * MIB, PAGE).unwrap();
    world.target().read(&libmigrate::target::View::Live, range).await.unwrap().to_vec()
}

async fn footer_is_found_and_alone_repaired(world: &World) {
    let replica = world.open().await.unwrap();
    let found = verify(world, &replica, Subject::Live).await;
    let repaired = resync(world, &replica).await;
    let live = verify(world, &replica, Subject::Live).await;
    replica.close().await.unwrap();
    assert_eq!((found.mismatched, found.mismatches), (1, vec![Mismatch { offset: 2 * MIB, len: PAGE }]));
    assert_eq!((repaired.counts.puts, repaired.counts.clears), (0, 0));
    assert!(live.is_equal(), "{live:?}");
    assert!(footer(world).await.starts_with(b"conectix"));
}

/// A local snapshot is a copy; the server's shares no page with the blob that is damaged behind its back.
async fn damage_in_a_snapshot_alone_leaves_the_target_good(world: World) {
    world.image(2 * MIB, &[(0, 2 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.plant_in_oldest_snapshot(5 * BLOCK + 9, b"rot");
    let replica = world.open().await.unwrap();

    let damaged = verify(&world, &replica, Subject::Newest).await;
    let live = verify(&world, &replica, Subject::Live).await;
    let repaired = resync(&world, &replica).await;
    let newest = verify(&world, &replica, Subject::Newest).await;
    let old = verify(&world, &replica, Subject::Cycle(1)).await;

    assert_eq!((damaged.cycle, &damaged.mismatches), (1, &vec![Mismatch { offset: 5 * BLOCK, len: BLOCK }]));
    assert!(live.is_equal(), "{live:?}");
    assert_eq!((repaired.cycle, repaired.counts.sent), (2, 0));
    assert!(newest.is_equal(), "{newest:?}");
    assert_eq!(old.mismatches, damaged.mismatches, "a snapshot is never written to");
}

async fn a_damaged_snapshot_is_not_rolled_back_to(world: World) {
    world.image(3 * MIB + 777, &[(0, 2 * MIB), (3 * MIB, 777)]);
    world.replicate(CycleRequest::default()).await;
    world.plant_in_oldest_snapshot(5 * BLOCK + 9, b"rot");
    world.write(0, 2 * MIB);
    world.write(3 * MIB, 777);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();

    let refused = replica.roll_back(1, &world.cancel).await.unwrap_err();
    let points = replica.recovery_points(&world.cancel).await.unwrap();
    let forward = replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();

    assert_eq!(refused.code(), "recovery_point.damaged");
    assert!(refused.to_string().contains("cycle 1 at "), "{refused}");
    assert!(refused.to_string().contains(&format!("offset {}", 5 * BLOCK)), "{refused}");
    assert_eq!((points.len(), forward.cycle), (2, 3), "nothing was sealed in between");
    world.assert_equal().await;
}

async fn the_target_itself_is_not_compared_while_it_may_rightly_differ(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    let replica = world.open().await.unwrap();
    let live = async || replica.verify(Subject::Live, Against::SealedMap, Coverage::Full, &world.cancel).await;
    assert_eq!(live().await.unwrap_err().code(), "recovery_point.none");
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    assert!(live().await.unwrap().is_equal());

    let cycle = replica.begin(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    assert_eq!(live().await.unwrap_err().code(), "cycle.open");
    drop(cycle);
    assert_eq!(live().await.unwrap_err().code(), "replica.unsealed");
    let newest = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &world.cancel).await;
    assert!(newest.unwrap().is_equal());

    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    assert!(live().await.unwrap().is_equal());
}

async fn a_sample_is_drawn_again_by_its_seed(world: World) {
    world.image(16 * MIB, &[(0, 16 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    // A quarter of the blocks, in stretches, so that two samples hardly ever hit the same ones.
    world.lose(0, 2 * MIB).await;
    world.lose(8 * MIB, 2 * MIB).await;
    let replica = world.open().await.unwrap();
    let sampled =
        async |coverage| replica.verify(Subject::Live, Against::SealedMap, coverage, &world.cancel).await.unwrap();

    let first = sampled(Coverage::sample(0.05, 0.01)).await;
    let seed = first.sample_seed.unwrap();
    let again = sampled(Coverage::Sample { damaged_share: 0.05, may_miss: 0.01, seed }).await;
    let another = sampled(Coverage::Sample { damaged_share: 0.05, may_miss: 0.01, seed: !seed }).await;

    assert_eq!((first.compared, first.blocks), (90, 256));
    assert!(!first.is_equal(), "64 of 256 are missed by 90 with a probability of 1e-14");
    assert_eq!(again, first);
    assert_ne!(another.mismatches, first.mismatches);
    // 13 of 256 blocks are the share that was asked for.
    assert!((first.may_miss_damage_of(13 * BLOCK) - first.may_miss).abs() < 1e-15);
    assert!(first.may_miss <= 0.01 && first.may_miss > 0.001, "{}", first.may_miss);
}

/// A disk of no bytes that holds up whoever reads it.
#[derive(Debug)]
struct Hanging(u64);

impl DiskSource for Hanging {
    fn size_bytes(&self) -> u64 {
        self.0
    }

    fn extents(&self, range: std::ops::Range<u64>, _: usize) -> Result<Vec<SourceExtent>, SourceError> {
        Ok(libmigrate::extent::Extent::from_range(range).map(SourceExtent::data).into_iter().collect())
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), SourceError> {
        std::thread::sleep(Duration::from_secs(3));
        Ok(())
    }
}

/// How long a call takes to end once `cancel` is, and its error's code.
async fn ends_after<T>(
    cancel: &CancellationToken,
    call: impl Future<Output = Result<T, libmigrate::Error>>,
) -> (Duration, &'static str) {
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
        Instant::now()
    };
    let (result, cancelled) = tokio::join!(async { (call.await, Instant::now()) }, cancelling);
    (result.1 - cancelled, result.0.err().map_or("none", |e| e.code()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_and_export_end_within_a_second_of_being_cancelled() {
    let world = World::page_blob_server().await.unwrap();
    let Place::Server(server) = &world.place else { unreachable!() };
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let hanging = Against::Source(Arc::new(Hanging(8 * MIB)));
    let (first, second, third) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());

    let by_source = ends_after(&first, replica.verify(Subject::Live, hanging, Coverage::Full, &first)).await;
    server.faults().always(Op::GetBlob, Fault::Delay(Duration::from_secs(30)));
    let by_map =
        ends_after(&second, replica.verify(Subject::Newest, Against::SealedMap, Coverage::sample(0.1, 0.1), &second))
            .await;
    let proof = world.path("proof");
    let export = ends_after(&third, replica.export_proof(Subject::Newest, &proof, &third)).await;

    for (took, code) in [by_source, by_map, export] {
        assert_eq!(code, "cycle.cancelled");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert!(!proof.exists());
    server.faults().clear();
    assert!(verify(&world, &replica, Subject::Live).await.is_equal(), "nothing is left behind");
}
