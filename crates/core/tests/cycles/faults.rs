//! Requests that fail on their way, at the service, or on the way back: each kind, and through the proxy.

use std::time::Duration;

use libmigrate::CycleRequest;
use libmigrate_test_support::azurite::Azurite;
use libmigrate_test_support::fault_proxy::FaultProxy;
use libmigrate_test_support::page_blob_server::{Fault, Faults, Op, Slowdown};

use crate::world::{MIB, Place, World};

const SECOND: Duration = Duration::from_secs(1);

/// Each once, to a put.
fn order_every_kind(faults: &Faults) -> usize {
    let slowdown = Slowdown { bytes_per_second: 64 * MIB, lasting: Duration::from_millis(100) };
    let kinds = [
        Fault::BUSY,
        Fault::busy_for(SECOND),
        Fault::TOO_MANY,
        Fault::TIMED_OUT,
        Fault::TIMED_OUT_BUT_DONE,
        Fault::DropBeforeBody,
        Fault::DropInBody,
        Fault::DropAfterBody,
        Fault::LoseAnswer,
        Fault::TruncateAnswer,
        Fault::Delay(Duration::from_millis(50)),
        Fault::Slow(slowdown),
        Fault::ApplyLate,
    ];
    kinds.iter().for_each(|fault| faults.next(Op::PutPage, *fault));
    kinds.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_fails_in_any_way_is_sent_again() {
    let world = World::page_blob_server().await.unwrap();
    world.image(20 * MIB, &[(0, 16 * MIB)]);
    let Place::Server(server) = &world.place else { unreachable!() };
    let kinds = order_every_kind(server.faults());
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_eq!((server.faults().outstanding(), server.faults().injected().len()), (0, kinds));
}

/// The process that closed is long gone when the service gets round to what it had asked first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_release_of_the_lease_does_not_end_that_of_the_next_process() {
    let world = World::page_blob_server().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let Place::Server(server) = &world.place else { unreachable!() };
    server.faults().next(Op::ReleaseLease, Fault::ApplyLate);
    world.replicate(CycleRequest::default()).await;
    world.write(0, MIB);
    let replica = world.open().await.unwrap();
    assert_eq!(server.release_late_writes(), [409]);
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
}

/// A world whose way to a real Azurite leads through a proxy.
async fn proxied() -> Option<(World, FaultProxy)> {
    let azurite = tokio::task::spawn_blocking(Azurite::shared).await.unwrap()?;
    let proxy = FaultProxy::start(azurite.endpoint()).await.unwrap();
    let container = format!("c{:016x}", fastrand::u64(..));
    azurite.create_container(&container).unwrap();
    let place = Place::Azurite {
        url: format!("{}/{container}/web01.vhd", proxy.endpoint()),
        connection_string: azurite.connection_string().replace(azurite.endpoint(), proxy.endpoint()),
    };
    Some((World { place, ..World::local().await.unwrap() }, proxy))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_requests_reach_azurite_through_the_proxy_and_fail_in_any_way() {
    let Some((world, proxy)) = proxied().await else { return };
    world.image(20 * MIB, &[(0, 16 * MIB)]);
    let kinds = order_every_kind(proxy.faults());
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_eq!((proxy.faults().outstanding(), proxy.faults().injected().len()), (0, kinds));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_reaches_azurite_after_the_next_cycle_has_begun_is_refused() {
    let Some((world, proxy)) = proxied().await else { return };
    world.image(2 * MIB, &[(0, MIB)]);
    proxy.faults().next(Op::PutPage, Fault::ApplyLate);
    world.replicate(CycleRequest::default()).await;
    world.write(0, MIB);
    world.replicate(CycleRequest::default()).await;
    assert_eq!(proxy.release_late_writes().await, [412]);
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_is_waited_out() {
    let Some((world, proxy)) = proxied().await else { return };
    world.image(8 * MIB, &[(0, 4 * MIB)]);
    let replica = world.open().await.unwrap();
    proxy.cut();
    let mend = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.mend();
    };
    let replicate = replica.replicate(world.source(), CycleRequest::default(), &world.cancel);
    let (point, ()) = tokio::join!(replicate, mend);
    point.unwrap();
    replica.close().await.unwrap();
    world.assert_equal().await;
}
