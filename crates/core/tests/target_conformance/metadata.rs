//! The pairs kept on a target, and the mark of its version.

use libmigrate::target::TargetError;

use super::place::{Place, etag_of, metadata};

pub(crate) async fn metadata_is_replaced_whole(place: Place) {
    let (target, fence) = place.owned().await;
    target
        .set_metadata(&metadata(&[("a", "1"), ("b", "two words")]), fence.lease, &etag_of(&target).await)
        .await
        .unwrap();

    target
        .set_metadata(&metadata(&[("b", "3"), ("c", "=\"x\";")]), fence.lease, &etag_of(&target).await)
        .await
        .unwrap();

    let state = place.handle().state().await.unwrap().unwrap();
    assert_eq!(state.metadata, metadata(&[("b", "3"), ("c", "=\"x\";")]));
    assert_eq!(state.sequence, fence.sequence, "the sequence number is another matter");
}

pub(crate) async fn metadata_is_replaced_while_the_etag_is_current(place: Place) {
    let (target, fence) = place.owned().await;
    let before = place.handle().state().await.unwrap().unwrap().etag;

    target.set_metadata(&metadata(&[("a", "1")]), fence.lease, &before).await.unwrap();

    let after = target.state().await.unwrap().unwrap();
    assert_eq!(after.metadata, metadata(&[("a", "1")]));
    assert_ne!(after.etag, before);
}

pub(crate) async fn metadata_is_refused_under_an_old_etag(place: Place) {
    let (target, fence) = place.owned().await;
    let old = target.state().await.unwrap().unwrap().etag;
    target.set_metadata(&metadata(&[("a", "1")]), fence.lease, &etag_of(&target).await).await.unwrap();

    let refused = target.set_metadata(&metadata(&[("a", "2")]), fence.lease, &old).await;

    assert!(matches!(refused, Err(TargetError::Changed { .. })), "{refused:?}");
    assert_eq!(target.state().await.unwrap().unwrap().metadata, metadata(&[("a", "1")]));
}

pub(crate) async fn a_changed_sequence_number_changes_the_etag(place: Place) {
    let (target, fence) = place.owned().await;
    let before = target.state().await.unwrap().unwrap();

    target.raise_sequence(before.sequence + 1, fence.lease).await.unwrap();

    let after = place.handle().state().await.unwrap().unwrap();
    assert_eq!(after.sequence, before.sequence + 1);
    assert_ne!(after.etag, before.etag);
}
