//! Small objects beside the target.

use bytes::Bytes;

use super::place::Place;

const MOST: u64 = 1 << 20;

pub(crate) async fn an_object_reads_back(place: Place) {
    let target = place.created().await;
    let data: Bytes = std::iter::repeat_with(|| fastrand::u8(..)).take(100_000).collect();

    target.put_object("map-1.bin", data.clone()).await.unwrap();

    assert_eq!(place.handle().get_object("map-1.bin", MOST).await.unwrap(), Some(data));
    assert_eq!(target.get_object("map-2.bin", MOST).await.unwrap(), None);
}

pub(crate) async fn an_object_is_replaced_whole(place: Place) {
    let target = place.created().await;
    target.put_object("map", Bytes::from_static(b"the longer one")).await.unwrap();

    target.put_object("map", Bytes::from_static(b"short")).await.unwrap();

    assert_eq!(target.get_object("map", MOST).await.unwrap().unwrap(), "short");
    assert_eq!(target.list_objects("").await.unwrap(), ["map"]);
}

pub(crate) async fn an_object_may_be_empty(place: Place) {
    let target = place.created().await;

    target.put_object("map", Bytes::new()).await.unwrap();

    assert_eq!(target.get_object("map", MOST).await.unwrap(), Some(Bytes::new()));
}

pub(crate) async fn objects_are_listed_by_prefix_in_order(place: Place) {
    let target = place.created().await;
    target.put_object("map-10", Bytes::from_static(b"x")).await.unwrap();
    target.put_object("map-02", Bytes::from_static(b"x")).await.unwrap();
    target.put_object("proof.json", Bytes::from_static(b"x")).await.unwrap();

    let other = place.handle();
    assert_eq!(other.list_objects("map-").await.unwrap(), ["map-02", "map-10"]);
    assert_eq!(other.list_objects("").await.unwrap(), ["map-02", "map-10", "proof.json"]);
    assert_eq!(other.list_objects("none").await.unwrap(), [""; 0]);
}

pub(crate) async fn a_deleted_object_is_gone(place: Place) {
    let target = place.created().await;
    target.put_object("map-1", Bytes::from_static(b"x")).await.unwrap();
    target.put_object("map-2", Bytes::from_static(b"x")).await.unwrap();

    target.delete_object("map-1").await.unwrap();
    target.delete_object("map-1").await.unwrap();

    assert_eq!(target.get_object("map-1", MOST).await.unwrap(), None);
    assert_eq!(target.list_objects("").await.unwrap(), ["map-2"]);
}

pub(crate) async fn an_object_longer_than_asked_is_refused(place: Place) {
    let target = place.created().await;
    target.put_object("map", Bytes::from_static(b"12345")).await.unwrap();

    assert!(target.get_object("map", 4).await.is_err());
    assert_eq!(target.get_object("map", 5).await.unwrap().unwrap(), "12345");
}
