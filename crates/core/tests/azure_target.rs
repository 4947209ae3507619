//! The Azure target against a real emulator, on the wire.
//!
//! Without an emulator (see `azurite/mod.rs`) these tests say so and pass.

mod azurite;

use std::time::Duration;

use azurite::{ACCOUNT, Container, FAR_FUTURE, KEY, account_key, account_signature};
use bytes::Bytes;
use libmigrate::secret::Secret;
use libmigrate::size::{MIB, PageRange};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, ConnectionString, Credential};
use libmigrate::target::{ETag, Fence, LeaseId, Metadata, PageTarget, SnapshotId, TargetError, View};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TERM: Duration = Duration::from_secs(60);

fn pages(offset: u64, len: u64) -> PageRange {
    PageRange::new(offset, len).unwrap()
}

fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn filled(byte: u8, len: u64) -> Bytes {
    vec![byte; len as usize].into()
}

/// The etag that the target has now.
async fn etag_of(target: &impl PageTarget) -> ETag {
    target.state().await.unwrap().unwrap().etag
}

fn signed_by(url: &str, credential: Credential) -> AzurePageBlob {
    AzurePageBlob::new(url, credential, AzureOptions::default()).unwrap()
}

/// A target of 8 MiB with a lease and sequence number 7.
async fn owned(container: &Container, blob: &str) -> (AzurePageBlob, Fence) {
    let target = container.target(blob);
    target.create(8 * MIB, &Metadata::new()).await.unwrap();
    let fence = Fence { lease: LeaseId::random(), sequence: 7 };
    target.acquire_lease(fence.lease, TERM).await.unwrap();
    target.raise_sequence(7, fence.lease).await.unwrap();
    (target, fence)
}

/// Every method but `resize` once, in the order of a replica's life.
async fn lives_a_whole_life(target: AzurePageBlob) {
    let pairs = metadata(&[("id1", "a"), ("id_x", "b"), ("ida", "c")]);
    assert!(target.state().await.unwrap().is_none());
    target.create(4 * MIB, &pairs).await.unwrap();
    let fence = Fence { lease: LeaseId::random(), sequence: 3 };
    target.acquire_lease(fence.lease, TERM).await.unwrap();
    target.renew_lease(fence.lease).await.unwrap();
    target.raise_sequence(3, fence.lease).await.unwrap();
    target.put(pages(0, 4 * MIB), filled(1, 4 * MIB), fence).await.unwrap();
    target.clear(pages(MIB, MIB), fence).await.unwrap();
    target.flush().await.unwrap();
    target.put_object("map-1", Bytes::from_static(b"digests")).await.unwrap();
    let snapshot = target.snapshot(&metadata(&[("cycle", "1")]), fence.lease, &etag_of(&target).await).await.unwrap();
    let state = target.state().await.unwrap().unwrap();
    target.set_metadata(&metadata(&[("sealed", "1")]), fence.lease, &state.etag).await.unwrap();

    assert_eq!((state.len, state.sequence, state.leased, state.metadata), (4 * MIB, 3, true, pairs));
    let view = View::Snapshot(snapshot.clone());
    let held = target.page_ranges(&view, 0..4 * MIB).await.unwrap();
    assert_eq!(held, [pages(0, MIB), pages(2 * MIB, 2 * MIB)]);
    let bytes = target.read(&view, pages(MIB - 512, 1024)).await.unwrap();
    assert_eq!(bytes, [vec![1; 512], vec![0; 512]].concat());
    assert_eq!(target.changed_ranges(&snapshot, 0..4 * MIB).await.unwrap(), None);
    assert_eq!(target.snapshots().await.unwrap()[0].metadata, metadata(&[("cycle", "1")]));
    assert_eq!(target.list_objects("map").await.unwrap(), ["map-1"]);
    assert_eq!(target.get_object("map-1", 100).await.unwrap().unwrap(), "digests");
    target.delete_object("map-1").await.unwrap();
    target.delete_snapshot(&snapshot).await.unwrap();
    assert!(target.snapshots().await.unwrap().is_empty());
    target.release_lease(fence.lease).await.unwrap();
    assert!(!target.state().await.unwrap().unwrap().leased);
}

#[tokio::test]
async fn an_account_key_opens_every_method() {
    let Some(container) = Container::make().await else { return };

    lives_a_whole_life(container.target("dir/web 01.vhd")).await;
}

#[tokio::test]
async fn a_connection_string_opens_every_method() {
    let Some(container) = Container::make().await else { return };
    let text = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={};", container.endpoint);
    let parsed = ConnectionString::parse(&text).unwrap();
    let url = parsed.blob_url(&container.name, "web 01.vhd");

    lives_a_whole_life(signed_by(&url, parsed.credential().clone())).await;
}

#[tokio::test]
async fn a_signed_url_opens_every_method() {
    let Some(container) = Container::make().await else { return };
    let url = format!("{}?{}", container.url("web01.vhd"), account_signature(FAR_FUTURE));

    lives_a_whole_life(signed_by(&url, Credential::SasUrl)).await;
}

#[tokio::test]
async fn an_account_signature_given_apart_opens_every_method() {
    let Some(container) = Container::make().await else { return };
    let signature = Credential::Sas(Secret::new(account_signature(FAR_FUTURE)));

    lives_a_whole_life(signed_by(&container.url("web01.vhd"), signature)).await;
}

/// A signature over a container alone. With it Azurite refuses to name a snapshot (it signs the
/// snapshot's name, which Azure does for signatures over snapshots only), and without it to resize.
#[tokio::test]
async fn a_container_signature_writes_and_resizes() {
    let Some(container) = Container::make().await else { return };
    let url = format!("{}?{}", container.url("web01.vhd"), container.signature("racwdl"));
    let target = signed_by(&url, Credential::SasUrl);
    target.create(MIB, &Metadata::new()).await.unwrap();
    let fence = Fence { lease: LeaseId::random(), sequence: 0 };
    target.acquire_lease(fence.lease, TERM).await.unwrap();

    target.resize(2 * MIB, fence.lease, &etag_of(&target).await).await.unwrap();

    target.put(pages(MIB, 512), filled(1, 512), fence).await.unwrap();
    assert_eq!(target.page_ranges(&View::Live, 0..2 * MIB).await.unwrap(), [pages(MIB, 512)]);
}

#[tokio::test]
async fn an_expired_signature_is_called_expired_and_not_shown() {
    let Some(container) = Container::make().await else { return };
    let signature = account_signature("2020-01-01T00:00:00Z");
    let (_, secret) = signature.split_once("sig=").unwrap();
    let target = signed_by(&format!("{}?{signature}", container.url("web01.vhd")), Credential::SasUrl);

    let error = target.list_objects("").await.unwrap_err();

    assert!(matches!(error, TargetError::Unauthenticated { .. }), "{error}");
    assert!(error.to_string().contains("expired at 2020-01-01"), "{error}");
    assert!(!format!("{error} {error:?} {target:?} {}", target.location()).contains(secret));
}

#[tokio::test]
async fn a_wrong_key_is_not_accepted_and_not_shown() {
    let Some(container) = Container::make().await else { return };
    let wrong = Credential::account_key(ACCOUNT, "Y2FuYXJ5Y2FuYXJ5").unwrap();
    let target = signed_by(&container.url("web01.vhd"), wrong);

    let error = target.create(MIB, &Metadata::new()).await.unwrap_err();

    assert!(matches!(error, TargetError::Unauthenticated { .. }), "{error}");
    assert!(!format!("{error} {error:?} {target:?}").contains("Y2FuYXJ5"));
}

#[tokio::test]
async fn a_signature_without_the_right_is_not_permitted() {
    let Some(container) = Container::make().await else { return };
    let url = format!("{}?{}", container.url("web01.vhd"), container.signature("r"));

    let error = signed_by(&url, Credential::SasUrl).create(MIB, &Metadata::new()).await.unwrap_err();

    assert!(matches!(error, TargetError::Forbidden { .. }), "{error}");
}

#[tokio::test]
async fn what_is_written_is_read_and_listed() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let data: Bytes = (0..6 * MIB).map(|i| (i / 512 % 251) as u8).collect::<Vec<_>>().into();
    target.put(pages(MIB, 4 * MIB), data.slice(..4 << 20), fence).await.unwrap();
    target.put(pages(5 * MIB, 2 * MIB), data.slice(4 << 20..), fence).await.unwrap();

    assert_eq!(target.read(&View::Live, pages(MIB, 6 * MIB)).await.unwrap(), data);
    assert_eq!(target.page_ranges(&View::Live, 0..8 * MIB).await.unwrap(), [pages(MIB, 6 * MIB)]);
    assert_eq!(target.page_ranges(&View::Live, 2 * MIB..3 * MIB).await.unwrap(), [pages(2 * MIB, MIB)]);
    assert_eq!(target.page_ranges(&View::Live, 0..0).await.unwrap(), []);
}

#[tokio::test]
async fn a_snapshot_keeps_its_bytes_while_the_target_changes() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();
    let first = target.snapshot(&metadata(&[("cycle", "1")]), fence.lease, &etag_of(&target).await).await.unwrap();
    target.put(pages(0, 512), filled(2, 512), fence).await.unwrap();
    let second = target.snapshot(&metadata(&[("cycle", "2")]), fence.lease, &etag_of(&target).await).await.unwrap();
    target.clear(pages(0, 512), fence).await.unwrap();

    let snapshots = target.snapshots().await.unwrap();
    assert_eq!(snapshots.iter().map(|snapshot| &snapshot.id).collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(snapshots[1].metadata, metadata(&[("cycle", "2")]));
    assert_eq!(target.read(&View::Snapshot(first), pages(0, 512)).await.unwrap(), filled(1, 512));
    assert_eq!(target.read(&View::Snapshot(second), pages(0, 512)).await.unwrap(), filled(2, 512));
    assert_eq!(target.read(&View::Live, pages(0, 512)).await.unwrap(), filled(0, 512));
    assert_eq!(target.page_ranges(&View::Live, 0..8 * MIB).await.unwrap(), []);
}

#[tokio::test]
async fn only_snapshots_of_this_blob_are_listed() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01").await;
    let (other, other_fence) = owned(&container, "web01.vhd").await;
    other.snapshot(&Metadata::new(), other_fence.lease, &etag_of(&other).await).await.unwrap();
    target.put_object("map-1", Bytes::new()).await.unwrap();
    let own = target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();

    let listed = target.snapshots().await.unwrap();

    assert_eq!(listed.iter().map(|snapshot| &snapshot.id).collect::<Vec<_>>(), [&own]);
}

#[tokio::test]
async fn deleting_a_snapshot_that_is_none_leaves_the_blob() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    target.release_lease(fence.lease).await.unwrap();

    target.delete_snapshot(&SnapshotId(String::new())).await.unwrap();
    target.delete_snapshot(&SnapshotId("2001-01-01T00:00:00.0000000Z".to_owned())).await.unwrap();

    assert!(target.state().await.unwrap().is_some());
}

#[tokio::test]
async fn a_second_writer_finds_the_lease_held_and_the_first_takes_it_again() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;

    let second = target.acquire_lease(LeaseId::random(), TERM).await.unwrap_err();
    target.acquire_lease(fence.lease, TERM).await.unwrap();

    assert!(matches!(second, TargetError::LeaseHeld { .. }), "{second}");
}

#[tokio::test]
async fn a_write_under_another_lease_is_fenced() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let stranger = Fence { lease: LeaseId::random(), ..fence };

    let put = target.put(pages(0, 512), filled(1, 512), stranger).await.unwrap_err();
    let clear = target.clear(pages(0, 512), stranger).await.unwrap_err();
    let resize = target.resize(16 * MIB, stranger.lease, &etag_of(&target).await).await.unwrap_err();
    let named = target.set_metadata(&Metadata::new(), stranger.lease, &etag_of(&target).await).await.unwrap_err();
    let snapshot = target.snapshot(&Metadata::new(), stranger.lease, &etag_of(&target).await).await.unwrap_err();
    let sequence = target.raise_sequence(9, stranger.lease).await.unwrap_err();

    for error in [put, clear, resize, named, snapshot, sequence] {
        assert!(matches!(error, TargetError::Fenced { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_write_of_an_older_cycle_is_fenced() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    target.raise_sequence(8, fence.lease).await.unwrap();

    let put = target.put(pages(0, 512), filled(1, 512), fence).await.unwrap_err();
    let clear = target.clear(pages(0, 512), fence).await.unwrap_err();

    assert!(matches!(put, TargetError::Fenced { .. }), "{put}");
    assert!(matches!(clear, TargetError::Fenced { .. }), "{clear}");
    target.put(pages(0, 512), filled(1, 512), Fence { sequence: 8, ..fence }).await.unwrap();
}

#[tokio::test]
async fn after_the_release_nothing_of_the_old_owner_lands() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    target.release_lease(fence.lease).await.unwrap();

    let unleased = target.put(pages(0, 512), filled(1, 512), fence).await.unwrap_err();
    let successor = LeaseId::random();
    target.acquire_lease(successor, TERM).await.unwrap();
    let renewed = target.renew_lease(fence.lease).await.unwrap_err();
    target.release_lease(fence.lease).await.unwrap();

    assert!(matches!(unleased, TargetError::Fenced { .. }), "{unleased}");
    assert!(matches!(renewed, TargetError::LeaseLost { .. }), "{renewed}");
    target.renew_lease(successor).await.unwrap();
}

#[tokio::test]
async fn creating_twice_is_refused_whatever_is_there() {
    let Some(container) = Container::make().await else { return };
    let (target, _) = owned(&container, "web01.vhd").await;
    target.put_object("map-1", Bytes::from_static(b"x")).await.unwrap();
    let object = container.target("web01.vhd.libmigrate/map-1");

    let again = target.create(MIB, &Metadata::new()).await.unwrap_err();
    let over_object = object.create(MIB, &Metadata::new()).await.unwrap_err();

    assert!(matches!(again, TargetError::AlreadyExists { .. }), "{again}");
    assert!(matches!(over_object, TargetError::AlreadyExists { .. }), "{over_object}");
}

#[tokio::test]
async fn a_block_blob_is_the_wrong_kind() {
    let Some(container) = Container::make().await else { return };
    container.target("web01.vhd").put_object("map-1", Bytes::from_static(b"x")).await.unwrap();
    let target = container.target("web01.vhd.libmigrate/map-1");

    let error = target.state().await.unwrap_err();

    assert!(matches!(&error, TargetError::WrongKind { found, .. } if found == "block blob"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    let Some(container) = Container::make().await else { return };
    let target = container.target("web01.vhd");
    let elsewhere = Container { name: format!("{}x", container.name), endpoint: container.endpoint.clone() };
    let fence = Fence { lease: LeaseId::random(), sequence: 0 };

    let put = target.put(pages(0, 512), filled(1, 512), fence).await.unwrap_err();
    let read = target.read(&View::Live, pages(0, 512)).await.unwrap_err();
    let create = elsewhere.target("web01.vhd").create(MIB, &Metadata::new()).await.unwrap_err();
    let state = elsewhere.target("web01.vhd").state().await.unwrap_err();

    assert!(matches!(put, TargetError::NotFound { .. }), "{put}");
    assert!(matches!(read, TargetError::NotFound { .. }), "{read}");
    assert!(matches!(create, TargetError::ContainerNotFound { .. }), "{create}");
    assert!(matches!(state, TargetError::ContainerNotFound { .. }), "{state}");
    assert_eq!(target.get_object("map-1", 10).await.unwrap(), None);
    target.delete_object("map-1").await.unwrap();
    target.release_lease(fence.lease).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_or_read_past_the_end() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;

    let across = target.put(pages(8 * MIB - 512, 1024), filled(1, 1024), fence).await.unwrap_err();
    let too_long = target.put(pages(0, 4 * MIB + 512), filled(1, 4 * MIB + 512), fence).await.unwrap_err();
    let other_length = target.put(pages(0, 1024), filled(1, 512), fence).await.unwrap_err();
    let clear = target.clear(pages(8 * MIB, 512), fence).await.unwrap_err();
    let read_across = target.read(&View::Live, pages(8 * MIB - 512, 1024)).await.unwrap_err();
    let read_past = target.read(&View::Live, pages(8 * MIB, 512)).await.unwrap_err();

    for error in [across, too_long, other_length, clear, read_across, read_past] {
        assert!(matches!(error, TargetError::OutOfRange { .. }), "{error}");
    }
    assert_eq!(target.page_ranges(&View::Live, 0..8 * MIB).await.unwrap(), []);
}

#[tokio::test]
async fn a_resized_target_takes_writes_at_its_new_end() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let bystander = container.target("web01.vhd");
    bystander.state().await.unwrap();

    target.resize(9 * MIB, fence.lease, &etag_of(&target).await).await.unwrap();

    target.put(pages(9 * MIB - 512, 512), filled(1, 512), fence).await.unwrap();
    bystander.put(pages(9 * MIB - 1024, 512), filled(1, 512), fence).await.unwrap();
    assert_eq!(target.state().await.unwrap().unwrap().len, 9 * MIB);
}

#[tokio::test]
async fn metadata_is_replaced_only_at_the_expected_version() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let before = target.state().await.unwrap().unwrap().etag;
    target.set_metadata(&metadata(&[("generation", "1")]), fence.lease, &before).await.unwrap();

    let stale = target.set_metadata(&metadata(&[("generation", "2")]), fence.lease, &before).await.unwrap_err();
    let unknown = ETag("\"0x0\"".to_owned());
    let invented = target.set_metadata(&Metadata::new(), fence.lease, &unknown).await.unwrap_err();

    assert!(matches!(stale, TargetError::Changed { .. }), "{stale}");
    assert!(matches!(invented, TargetError::Changed { .. }), "{invented}");
    assert_eq!(target.state().await.unwrap().unwrap().metadata, metadata(&[("generation", "1")]));
}

#[tokio::test]
async fn an_emulator_that_ignores_differences_is_not_believed() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let since = target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();

    assert_eq!(target.changed_ranges(&since, 0..8 * MIB).await.unwrap(), None);
}

#[tokio::test]
async fn objects_are_kept_beside_the_blob() {
    let Some(container) = Container::make().await else { return };
    let target = container.target("dir/web 01.vhd");
    let large = filled(7, 2 * MIB);
    target.put_object("map-2", Bytes::from_static(b"old")).await.unwrap();
    target.put_object("map-2", large.clone()).await.unwrap();
    target.put_object("map-10", Bytes::new()).await.unwrap();
    target.put_object("other", Bytes::from_static(b"x")).await.unwrap();

    assert_eq!(target.list_objects("map-").await.unwrap(), ["map-10", "map-2"]);
    assert_eq!(target.list_objects("").await.unwrap(), ["map-10", "map-2", "other"]);
    assert_eq!(target.get_object("map-2", 2 * MIB).await.unwrap().unwrap(), large);
    assert_eq!(target.get_object("map-10", 0).await.unwrap().unwrap(), Bytes::new());
    let too_long = target.get_object("map-2", 2 * MIB - 1).await.unwrap_err();
    assert!(matches!(too_long, TargetError::OutOfRange { .. }), "{too_long}");
    target.delete_object("map-2").await.unwrap();
    assert_eq!(target.list_objects("map-").await.unwrap(), ["map-10"]);
}

#[tokio::test]
async fn a_byte_damaged_on_the_way_is_noticed_by_the_service() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let relayed = through_a_damaging_relay(&container.url("web01.vhd")).await;
    let damaged = signed_by(&relayed, account_key());
    let data: Bytes = b"intact00".repeat(64).into();

    let put = damaged.put(pages(0, 512), data.clone(), fence).await.unwrap_err();
    let object = damaged.put_object("map-1", data).await.unwrap_err();

    assert!(matches!(put, TargetError::Checksum { .. }), "{put}");
    assert!(matches!(object, TargetError::Checksum { .. }), "{object}");
    assert_eq!(target.page_ranges(&View::Live, 0..8 * MIB).await.unwrap(), []);
    assert_eq!(target.get_object("map-1", 512).await.unwrap(), None);
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let Some(container) = Container::make().await else { return };
    let (target, fence) = owned(&container, "web01.vhd").await;
    let counters = target.counters();
    let (requests, sent, received) = (counters.requests(), counters.bytes_sent(), counters.bytes_received());

    target.put(pages(0, MIB), filled(1, MIB), fence).await.unwrap();
    target.read(&View::Live, pages(0, MIB)).await.unwrap();

    assert_eq!(counters.requests() - requests, 2);
    assert_eq!(counters.bytes_sent() - sent, MIB);
    assert_eq!(counters.bytes_received() - received, MIB);
}

/// A relay on this machine that turns every `intact` on its way to the service into `damage`; answers
/// with the URL by which the service is reached through it.
async fn through_a_damaging_relay(url: &str) -> String {
    let mut url: url::Url = url.parse().unwrap();
    let service = (url.host_str().unwrap().to_owned(), url.port_or_known_default().unwrap());
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_port(Some(relay.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = relay.accept().await {
            let service = TcpStream::connect(service.clone()).await.unwrap();
            tokio::spawn(relay_with_damage(client, service));
        }
    });
    url.into()
}

async fn relay_with_damage(client: TcpStream, service: TcpStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_service, mut to_service) = service.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_service, &mut to_client).await });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from_client.read(&mut buffer).await {
        for at in 0..len.saturating_sub(5) {
            if &buffer[at..at + 6] == b"intact" {
                buffer[at..at + 6].copy_from_slice(b"damage");
            }
        }
        if to_service.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
