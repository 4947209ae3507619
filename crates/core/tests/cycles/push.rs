//! The caller reads, the engine asks.

use std::sync::Arc;

use bytes::Bytes;
use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::{CycleRequest, DiskDescription, PushedDisk};

use crate::on_every_target;
use crate::world::{MIB, World};

on_every_target!(
    pushing_what_is_wanted_makes_the_replica_equal,
    a_pushed_cycle_goes_on_where_it_was_dropped,
    what_was_not_wanted_is_refused,
    sealing_before_everything_is_pushed_is_refused,
);

fn disk(world: &World, zero: &[(u64, u64)]) -> PushedDisk {
    let size_bytes = std::fs::metadata(world.path("web01.raw")).unwrap().len();
    let zero = zero.iter().filter_map(|(offset, len)| Extent::new(*offset, *len)).collect::<ExtentSet>();
    PushedDisk { size_bytes, identity: None, point: Some("snapshot-1".into()), zero }
}

fn read(world: &World, extent: Extent) -> Bytes {
    let bytes = std::fs::read(world.path("web01.raw")).unwrap();
    Bytes::copy_from_slice(&bytes[extent.offset() as usize..extent.end() as usize])
}

async fn pushing_what_is_wanted_makes_the_replica_equal(world: World) {
    world.image(9 * MIB + 1000, &[(0, 3 * MIB), (9 * MIB, 1000)]);
    let disk = disk(&world, &[(4 * MIB, 4 * MIB)]);
    let replica = world.engine().open(world.target(), DiskDescription::of(&disk), &world.cancel).await.unwrap();
    let cycle = replica.begin(Arc::new(disk), CycleRequest::default(), &world.cancel).await.unwrap();
    while let Some(wanted) = cycle.next_wanted().await.unwrap() {
        cycle.push(wanted.offset(), read(&world, wanted)).await.unwrap();
    }
    let point = cycle.seal().await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
    assert_eq!(point.counts.hole, 4 * MIB + (MIB - 4096), "what was said to be zero, and the padding");
    assert_eq!(point.counts.sent, 3 * MIB + 4096);
}

async fn a_pushed_cycle_goes_on_where_it_was_dropped(world: World) {
    world.image(300 * MIB, &[(0, MIB), (128 * MIB, MIB), (256 * MIB, MIB)]);
    let zero = [(MIB, 127 * MIB), (129 * MIB, 127 * MIB), (257 * MIB, 43 * MIB)];
    let replica =
        world.engine().open(world.target(), DiskDescription::of(&disk(&world, &zero)), &world.cancel).await.unwrap();
    let cycle = replica.begin(Arc::new(disk(&world, &zero)), CycleRequest::default(), &world.cancel).await.unwrap();
    let first = cycle.next_wanted().await.unwrap().unwrap();
    cycle.push(first.offset(), read(&world, first)).await.unwrap();
    drop(cycle);

    let cycle = replica.begin(Arc::new(disk(&world, &zero)), CycleRequest::default(), &world.cancel).await.unwrap();
    while let Some(wanted) = cycle.next_wanted().await.unwrap() {
        cycle.push(wanted.offset(), read(&world, wanted)).await.unwrap();
    }
    let point = cycle.seal().await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
    assert_eq!(point.cycle, 1, "it is still the first cycle");
}

async fn what_was_not_wanted_is_refused(world: World) {
    world.image(MIB, &[(0, MIB)]);
    let replica =
        world.engine().open(world.target(), DiskDescription::of(&disk(&world, &[])), &world.cancel).await.unwrap();
    let cycle = replica.begin(Arc::new(disk(&world, &[])), CycleRequest::default(), &world.cancel).await.unwrap();
    let wanted = cycle.next_wanted().await.unwrap().unwrap();
    let short = read(&world, wanted).slice(1..);
    assert_eq!(cycle.push(wanted.offset(), short).await.unwrap_err().code(), "cycle.not_wanted");
    assert_eq!(cycle.push(wanted.offset() + 1, Bytes::new()).await.unwrap_err().code(), "cycle.not_wanted");
    // The right bytes are still welcome.
    cycle.push(wanted.offset(), read(&world, wanted)).await.unwrap();
    cycle.seal().await.unwrap();
}

async fn sealing_before_everything_is_pushed_is_refused(world: World) {
    world.image(2 * MIB, &[(0, 2 * MIB)]);
    let replica =
        world.engine().open(world.target(), DiskDescription::of(&disk(&world, &[])), &world.cancel).await.unwrap();
    let cycle = replica.begin(Arc::new(disk(&world, &[])), CycleRequest::default(), &world.cancel).await.unwrap();
    assert_eq!(cycle.seal().await.unwrap_err().code(), "cycle.incomplete");
}
