//! Being there, and how long.

use libmigrate::size::MIB;
use libmigrate::target::{LeaseId, TargetError, View};

use super::place::{LEN, Place, TERM, etag_of, filled, metadata, pages, reads_as};

pub(crate) async fn nothing_is_there_at_first(place: Place) {
    assert_eq!(place.handle().state().await.unwrap(), None);
}

pub(crate) async fn a_created_target_is_all_zero(place: Place) {
    let pairs = metadata(&[("replication", "r1")]);
    place.handle().create(LEN, &pairs).await.unwrap();

    let target = place.handle();
    let state = target.state().await.unwrap().unwrap();
    assert_eq!((state.len, state.metadata, state.sequence, state.leased), (LEN, pairs, 0, false));
    assert!(reads_as(&target, &View::Live, pages(0, LEN), 0).await);
    assert_eq!(target.page_ranges(&View::Live, 0..LEN).await.unwrap(), []);
}

pub(crate) async fn a_second_create_is_refused_and_changes_nothing(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
    let before = target.state().await.unwrap();

    let refused = place.handle().create(2 * LEN, &metadata(&[("replication", "r2")])).await;

    assert!(matches!(refused, Err(TargetError::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(target.state().await.unwrap(), before);
    assert!(reads_as(&target, &View::Live, pages(0, 512), 1).await);
}

pub(crate) async fn what_is_not_there_cannot_be_read_or_leased(place: Place) {
    let target = place.handle();

    let read = target.read(&View::Live, pages(0, 512)).await;
    let listed = target.page_ranges(&View::Live, 0..512).await;
    let leased = target.acquire_lease(LeaseId::random(), TERM).await;

    assert!(matches!(read, Err(TargetError::NotFound { .. })), "{read:?}");
    assert!(matches!(listed, Err(TargetError::NotFound { .. })), "{listed:?}");
    assert!(matches!(leased, Err(TargetError::NotFound { .. })), "{leased:?}");
}

pub(crate) async fn growing_keeps_the_bytes_and_adds_zeros(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(LEN - 512, 512), filled(1, 512), fence).await.unwrap();

    target.resize(LEN + MIB, fence.lease, &etag_of(&target).await).await.unwrap();

    assert_eq!(place.handle().state().await.unwrap().unwrap().len, LEN + MIB);
    assert!(reads_as(&target, &View::Live, pages(LEN - 512, 512), 1).await);
    assert!(reads_as(&target, &View::Live, pages(LEN, MIB), 0).await);
    target.put(pages(LEN + MIB - 512, 512), filled(2, 512), fence).await.unwrap();
    assert!(reads_as(&target, &View::Live, pages(LEN + MIB - 512, 512), 2).await);
}

pub(crate) async fn a_length_is_not_changed_under_an_old_etag(place: Place) {
    let (target, fence) = place.owned().await;
    let old = etag_of(&target).await;
    target.resize(LEN + 2 * MIB, fence.lease, &old).await.unwrap();

    let late = target.resize(LEN + MIB, fence.lease, &old).await;

    assert!(matches!(late, Err(TargetError::Changed { .. })), "{late:?}");
    assert_eq!(target.state().await.unwrap().unwrap().len, LEN + 2 * MIB);
}

pub(crate) async fn bytes_cut_off_do_not_come_back(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(LEN - MIB, MIB), filled(1, MIB), fence).await.unwrap();

    target.resize(LEN - MIB + 512, fence.lease, &etag_of(&target).await).await.unwrap();
    target.resize(LEN, fence.lease, &etag_of(&target).await).await.unwrap();

    assert!(reads_as(&target, &View::Live, pages(LEN - MIB, 512), 1).await);
    assert!(reads_as(&target, &View::Live, pages(LEN - MIB + 512, MIB - 512), 0).await);
}
