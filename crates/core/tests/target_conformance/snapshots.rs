//! Immutable copies. A target that takes none is asked nothing here.

use std::sync::Arc;
use std::time::Duration;

use libmigrate::size::MIB;
use libmigrate::target::{LeaseId, Metadata, PageTarget, SnapshotId, TargetError, View};

use super::place::{LEN, Place, etag_of, filled, metadata, pages, reads_as};

const STEP: u64 = 64 << 10;

/// A target with the lease, or nothing where no snapshots are taken.
macro_rules! owned_or_return {
    ($place:ident) => {{
        let (target, fence) = $place.owned().await;
        if !target.capabilities().snapshots {
            return;
        }
        (target, fence)
    }};
}

/// A service may name a snapshot by the time at which it was asked for. Azurite 3.37 does so in whole
/// milliseconds, and a second one in the same millisecond takes the place of the first (seen 2026-11): here
/// every snapshot has a millisecond of its own.
async fn take_snapshot(target: &Arc<dyn PageTarget>, lease: LeaseId) -> SnapshotId {
    tokio::time::sleep(Duration::from_millis(2)).await;
    target.snapshot(&Metadata::new(), lease, &etag_of(target).await).await.unwrap()
}

pub(crate) async fn a_snapshot_keeps_its_bytes_and_pages(place: Place) {
    let (target, fence) = owned_or_return!(place);
    target.put(pages(STEP, 2 * STEP), filled(1, 2 * STEP), fence).await.unwrap();
    let view = View::Snapshot(take_snapshot(&target, fence.lease).await);

    target.put(pages(0, STEP), filled(2, STEP), fence).await.unwrap();
    target.clear(pages(STEP, STEP), fence).await.unwrap();
    target.put(pages(2 * STEP, STEP), filled(3, STEP), fence).await.unwrap();

    let other = place.handle();
    assert!(reads_as(&other, &view, pages(0, STEP), 0).await);
    assert!(reads_as(&other, &view, pages(STEP, 2 * STEP), 1).await);
    assert_eq!(other.page_ranges(&view, 0..LEN).await.unwrap(), [pages(STEP, 2 * STEP)]);
    assert!(reads_as(&other, &View::Live, pages(0, STEP), 2).await);
    assert!(reads_as(&other, &View::Live, pages(STEP, STEP), 0).await);
}

pub(crate) async fn a_snapshot_keeps_its_length(place: Place) {
    let (target, fence) = owned_or_return!(place);
    target.put(pages(LEN - 512, 512), filled(1, 512), fence).await.unwrap();
    let view = View::Snapshot(take_snapshot(&target, fence.lease).await);

    target.resize(LEN + MIB, fence.lease, &etag_of(&target).await).await.unwrap();

    assert!(reads_as(&target, &view, pages(LEN - 512, 512), 1).await);
    let refused = target.read(&view, pages(LEN, 512)).await;
    assert!(matches!(refused, Err(TargetError::OutOfRange { .. })), "{refused:?}");
}

pub(crate) async fn a_snapshot_leaves_the_etag_and_is_refused_under_an_old_one(place: Place) {
    let (target, fence) = place.owned().await;
    let etag = etag_of(&target).await;
    let taken = target.snapshot(&Metadata::new(), fence.lease, &etag).await.unwrap();
    assert_eq!(etag_of(&target).await, etag);
    target.set_metadata(&metadata(&[("a", "1")]), fence.lease, &etag).await.unwrap();

    let late = target.snapshot(&metadata(&[("late", "1")]), fence.lease, &etag).await;

    assert!(matches!(late, Err(TargetError::Changed { .. })), "{late:?}");
    let ids: Vec<SnapshotId> = target.snapshots().await.unwrap().into_iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(ids, [taken]);
}

pub(crate) async fn a_snapshot_has_metadata_of_its_own(place: Place) {
    let (target, fence) = owned_or_return!(place);
    target.set_metadata(&metadata(&[("cycle", "open")]), fence.lease, &etag_of(&target).await).await.unwrap();
    let pairs = metadata(&[("cycle", "4"), ("map", "0af3")]);

    let id = target.snapshot(&pairs, fence.lease, &etag_of(&target).await).await.unwrap();
    target.set_metadata(&metadata(&[("cycle", "5")]), fence.lease, &etag_of(&target).await).await.unwrap();

    let listed = place.handle().snapshots().await.unwrap();
    assert_eq!(listed.into_iter().map(|s| (s.id, s.metadata)).collect::<Vec<_>>(), [(id, pairs)]);
    assert_eq!(target.state().await.unwrap().unwrap().metadata, metadata(&[("cycle", "5")]));
}

pub(crate) async fn snapshots_are_listed_oldest_first(place: Place) {
    let (target, fence) = owned_or_return!(place);
    let first = take_snapshot(&target, fence.lease).await;
    let second = take_snapshot(&target, fence.lease).await;
    let third = take_snapshot(&target, fence.lease).await;

    let listed: Vec<SnapshotId> = place.handle().snapshots().await.unwrap().into_iter().map(|s| s.id).collect();

    assert!(first < second && second < third, "{first} {second} {third}");
    assert_eq!(listed, [first, second, third]);
}

pub(crate) async fn a_deleted_snapshot_is_gone_and_the_others_stay(place: Place) {
    let (target, fence) = owned_or_return!(place);
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
    let gone = take_snapshot(&target, fence.lease).await;
    let kept = take_snapshot(&target, fence.lease).await;

    target.delete_snapshot(&gone).await.unwrap();
    target.delete_snapshot(&gone).await.unwrap();

    let refused = target.read(&View::Snapshot(gone), pages(0, 512)).await;
    assert!(matches!(refused, Err(TargetError::NotFound { .. })), "{refused:?}");
    assert_eq!(target.snapshots().await.unwrap().iter().map(|s| &s.id).collect::<Vec<_>>(), [&kept]);
    assert!(reads_as(&target, &View::Snapshot(kept), pages(0, 512), 1).await);
    assert!(reads_as(&target, &View::Live, pages(0, 512), 1).await);
}

/// Otherwise a reader that kept the name would read other bytes under it.
pub(crate) async fn a_deleted_snapshots_name_is_not_used_again(place: Place) {
    let (target, fence) = owned_or_return!(place);
    let gone = take_snapshot(&target, fence.lease).await;
    target.delete_snapshot(&gone).await.unwrap();

    let next = take_snapshot(&target, fence.lease).await;

    assert!(next > gone, "{next} after {gone}");
}
