//! One writer, and none of the past.

use std::sync::Arc;

use libmigrate::target::{Fence, LeaseId, LeaseKind, Metadata, PageTarget, TargetError, View};

use super::place::{LEN, Place, TERM, etag_of, filled, pages, reads_as};

fn is_fenced<T>(result: &Result<T, TargetError>) -> bool {
    matches!(result, Err(TargetError::Fenced { .. }))
}

/// A target whose first page holds ones, and what its writes carry.
async fn owned_with_ones(place: &Place) -> (Arc<dyn PageTarget>, Fence) {
    let (target, fence) = place.owned().await;
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
    (target, fence)
}

/// The first page still holds ones, and no other holds anything.
async fn is_untouched(target: &Arc<dyn PageTarget>) -> bool {
    reads_as(target, &View::Live, pages(0, 512), 1).await
        && reads_as(target, &View::Live, pages(512, LEN - 512), 0).await
}

pub(crate) async fn a_put_without_a_lease_is_fenced(place: Place) {
    let (target, fence) = owned_with_ones(&place).await;
    target.release_lease(fence.lease).await.unwrap();

    let refused = target.put(pages(0, 512), filled(2, 512), fence).await;

    assert!(is_fenced(&refused), "{refused:?}");
    assert!(is_untouched(&target).await);
}

pub(crate) async fn a_put_under_another_lease_is_fenced(place: Place) {
    let (target, fence) = owned_with_ones(&place).await;
    let stranger = Fence { lease: LeaseId::random(), ..fence };

    let here = target.put(pages(0, 512), filled(2, 512), stranger).await;
    let elsewhere = place.handle().put(pages(0, 512), filled(2, 512), stranger).await;

    assert!(is_fenced(&here) && is_fenced(&elsewhere), "{here:?} {elsewhere:?}");
    assert!(is_untouched(&target).await);
}

pub(crate) async fn a_clear_under_another_lease_is_fenced(place: Place) {
    let (target, fence) = owned_with_ones(&place).await;

    let refused = target.clear(pages(0, 512), Fence { lease: LeaseId::random(), ..fence }).await;

    assert!(is_fenced(&refused), "{refused:?}");
    assert!(is_untouched(&target).await);
}

pub(crate) async fn a_put_with_an_old_sequence_number_is_fenced(place: Place) {
    let (target, old) = owned_with_ones(&place).await;
    target.raise_sequence(old.sequence + 1, old.lease).await.unwrap();

    let refused = target.put(pages(512, 512), filled(2, 512), old).await;

    assert!(is_fenced(&refused), "{refused:?}");
    assert!(is_untouched(&target).await);
    let current = Fence { sequence: old.sequence + 1, ..old };
    target.put(pages(512, 512), filled(2, 512), current).await.unwrap();
}

pub(crate) async fn a_clear_with_an_old_sequence_number_is_fenced(place: Place) {
    let (target, old) = owned_with_ones(&place).await;
    target.raise_sequence(old.sequence + 1, old.lease).await.unwrap();

    let refused = target.clear(pages(0, 512), old).await;

    assert!(is_fenced(&refused), "{refused:?}");
    assert!(is_untouched(&target).await);
}

pub(crate) async fn the_sequence_number_never_goes_down(place: Place) {
    let (target, fence) = owned_with_ones(&place).await;

    target.raise_sequence(fence.sequence - 1, fence.lease).await.unwrap();

    assert_eq!(target.state().await.unwrap().unwrap().sequence, fence.sequence);
    let old = Fence { sequence: fence.sequence - 1, ..fence };
    assert!(is_fenced(&target.put(pages(0, 512), filled(2, 512), old).await));
    assert!(is_untouched(&target).await);
}

pub(crate) async fn changes_under_another_lease_are_fenced(place: Place) {
    let (target, _) = place.owned().await;
    let before = target.state().await.unwrap();
    let (stranger, etag) = (LeaseId::random(), etag_of(&target).await);

    let resized = target.resize(2 * LEN, stranger, &etag).await;
    let renamed = target.set_metadata(&Metadata::new(), stranger, &etag).await;
    let numbered = target.raise_sequence(99, stranger).await;
    let snapshot = target.snapshot(&Metadata::new(), stranger, &etag).await;

    assert!(is_fenced(&resized) && is_fenced(&renamed), "{resized:?} {renamed:?}");
    assert!(is_fenced(&numbered) && is_fenced(&snapshot), "{numbered:?} {snapshot:?}");
    assert_eq!(target.state().await.unwrap(), before);
    assert_eq!(target.snapshots().await.unwrap(), []);
}

pub(crate) async fn a_second_writer_is_refused(place: Place) {
    let (target, fence) = place.owned().await;

    let refused = place.handle().acquire_lease(LeaseId::random(), TERM).await;

    assert!(matches!(refused, Err(TargetError::LeaseHeld { .. })), "{refused:?}");
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
}

pub(crate) async fn one_handle_does_not_hold_two_leases(place: Place) {
    let (target, fence) = place.owned().await;

    let refused = target.acquire_lease(LeaseId::random(), TERM).await;

    assert!(matches!(refused, Err(TargetError::LeaseHeld { .. })), "{refused:?}");
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
}

pub(crate) async fn the_same_lease_is_taken_again(place: Place) {
    let (target, fence) = place.owned().await;

    target.acquire_lease(fence.lease, TERM).await.unwrap();
    target.renew_lease(fence.lease).await.unwrap();

    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
}

pub(crate) async fn a_lease_is_seen_by_others(place: Place) {
    let (target, fence) = place.owned().await;
    let other = place.handle();

    assert!(other.state().await.unwrap().unwrap().leased);
    assert!(target.state().await.unwrap().unwrap().leased);
    target.release_lease(fence.lease).await.unwrap();
    assert!(!other.state().await.unwrap().unwrap().leased);
    assert!(!target.state().await.unwrap().unwrap().leased);
}

pub(crate) async fn a_released_lease_goes_to_the_next(place: Place) {
    let (first, old) = place.owned().await;
    first.release_lease(old.lease).await.unwrap();
    let (second, new) = (place.handle(), Fence { lease: LeaseId::random(), ..old });

    second.acquire_lease(new.lease, TERM).await.unwrap();

    second.put(pages(0, 512), filled(2, 512), new).await.unwrap();
    assert!(reads_as(&first, &View::Live, pages(0, 512), 2).await);
}

pub(crate) async fn the_owner_of_the_past_writes_nothing(place: Place) {
    let (first, old) = owned_with_ones(&place).await;
    first.release_lease(old.lease).await.unwrap();
    let (second, new) = (place.handle(), LeaseId::random());
    second.acquire_lease(new, TERM).await.unwrap();
    second.raise_sequence(old.sequence + 1, new).await.unwrap();

    let put = first.put(pages(0, 512), filled(2, 512), old).await;
    let cleared = first.clear(pages(0, 512), old).await;
    let stolen = first.put(pages(0, 512), filled(2, 512), Fence { lease: new, ..old }).await;
    let renewed = first.renew_lease(old.lease).await;

    assert!(is_fenced(&put) && is_fenced(&cleared) && is_fenced(&stolen), "{put:?} {cleared:?} {stolen:?}");
    assert!(matches!(renewed, Err(TargetError::LeaseLost { .. })), "{renewed:?}");
    assert!(is_untouched(&second).await);
}

pub(crate) async fn releasing_a_lease_that_is_not_ours_changes_nothing(place: Place) {
    let (target, fence) = place.owned().await;

    target.release_lease(LeaseId::random()).await.unwrap();
    place.handle().release_lease(LeaseId::random()).await.unwrap();

    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
    assert!(place.handle().state().await.unwrap().unwrap().leased);
}

pub(crate) async fn a_lease_that_is_not_ours_is_not_renewed(place: Place) {
    let (target, fence) = place.owned().await;

    let refused = target.renew_lease(LeaseId::random()).await;

    assert!(matches!(refused, Err(TargetError::LeaseLost { .. })), "{refused:?}");
    target.renew_lease(fence.lease).await.unwrap();
}

pub(crate) async fn a_broken_lease_goes_to_the_next_and_its_holder_writes_nothing(place: Place) {
    let (first, old) = owned_with_ones(&place).await;
    let (second, new) = (place.handle(), LeaseId::random());

    let broken = second.break_lease().await;

    if first.capabilities().lease == LeaseKind::FileLock {
        // A living process cannot be kept from a write that it has begun.
        assert!(matches!(broken, Err(TargetError::LeaseHeld { .. })), "{broken:?}");
        return;
    }
    broken.unwrap();
    second.break_lease().await.unwrap();
    assert!(is_fenced(&first.put(pages(0, 512), filled(2, 512), old).await));
    second.acquire_lease(new, TERM).await.unwrap();
    assert!(is_fenced(&first.put(pages(0, 512), filled(2, 512), old).await));
    assert!(matches!(first.renew_lease(old.lease).await, Err(TargetError::LeaseLost { .. })));
    assert!(is_untouched(&second).await);
}

pub(crate) async fn breaking_a_lease_that_nobody_holds_is_no_error(place: Place) {
    let (target, fence) = place.owned().await;
    target.release_lease(fence.lease).await.unwrap();

    target.break_lease().await.unwrap();

    target.acquire_lease(LeaseId::random(), TERM).await.unwrap();
}

/// A lock has no term to wait for; a service's lease outlives the handle, and is left to the service's clock.
pub(crate) async fn a_lock_goes_with_its_handle(place: Place) {
    let (target, _) = place.owned().await;
    if target.capabilities().lease != LeaseKind::FileLock {
        return;
    }

    drop(target);

    place.handle().acquire_lease(LeaseId::random(), TERM).await.unwrap();
}
