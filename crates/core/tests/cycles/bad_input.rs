//! What cannot work says what, where, and what to do.

use std::fs;
use std::sync::Arc;

use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::{LeaseId, Metadata};
use libmigrate::{
    CancellationToken, Consistency, CycleRequest, DiskDescription, Engine, EngineOptions, Error, PushedDisk,
};
use libmigrate_test_support::page_blob_server::PageBlobServer;

use crate::on_every_target;
use crate::world::{MIB, Place, World};

on_every_target!(
    a_second_process_on_the_same_replica_is_refused,
    a_smaller_disk_is_refused,
    another_disk_is_refused,
    a_target_that_is_not_ours_is_refused,
    a_target_of_another_length_is_refused,
    a_damaged_checkpoint_is_refused_and_left_alone,
    a_checkpoint_whose_target_is_gone_is_refused,
    a_moving_source_is_refused_unless_allowed,
    an_unusable_state_folder_is_named,
);

fn explained(error: &Error, code: &str, says: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    assert!(!error.remedy().is_empty());
}

async fn a_second_process_on_the_same_replica_is_refused(world: World) {
    world.image(MIB, &[(0, MIB)]);
    let _held = world.open().await.unwrap();
    explained(&world.open().await.unwrap_err(), "checkpoint.in_use", "state");
}

async fn a_smaller_disk_is_refused(world: World) {
    world.image(8 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    world.image(7 * MIB, &[(0, MIB)]);
    explained(&world.open().await.unwrap_err(), "replica.disk_shrank", "8388608");
    world.image(8 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
}

async fn another_disk_is_refused(world: World) {
    let disk = |identity: &str| DiskDescription { size_bytes: MIB, identity: Some(identity.into()) };
    let first = world.engine().open(world.target(), disk("serial-1"), &world.cancel).await.unwrap();
    first.close().await.unwrap();
    let refused = world.engine().open(world.target(), disk("serial-2"), &world.cancel).await;
    explained(&refused.unwrap_err(), "replica.other_disk", "serial-2");
}

async fn a_target_that_is_not_ours_is_refused(world: World) {
    world.image(MIB, &[(0, MIB)]);
    world.target().create(MIB + 512, &Metadata::from([("color".into(), "blue".into())])).await.unwrap();
    explained(&world.open().await.unwrap_err(), "replica.not_a_replica", "web01.vhd");
}

async fn a_target_of_another_length_is_refused(world: World) {
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let target = world.target();
    let lease = LeaseId::random();
    target.acquire_lease(lease, std::time::Duration::from_secs(60)).await.unwrap();
    let etag = target.state().await.unwrap().unwrap().etag;
    target.resize(MIB, lease, &etag).await.unwrap();
    target.release_lease(lease).await.unwrap();
    drop(target);
    explained(&world.open().await.unwrap_err(), "replica.target_size", "2097664");
}

async fn a_damaged_checkpoint_is_refused_and_left_alone(world: World) {
    world.image(MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let checkpoint = world.checkpoint();
    fs::write(&checkpoint, b"rot").unwrap();
    explained(&world.open().await.unwrap_err(), "checkpoint.damaged", "redb");
    assert_eq!(fs::read(&checkpoint).unwrap(), b"rot");
    // The way out that the remedy names.
    fs::rename(&checkpoint, world.path("moved-away")).unwrap();
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

async fn a_checkpoint_whose_target_is_gone_is_refused(world: World) {
    world.image(MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    match &world.place {
        Place::Local => {
            fs::remove_file(world.path("web01.vhd")).unwrap();
            fs::remove_dir_all(world.path("web01.vhd.libmigrate")).unwrap();
        }
        Place::Server(server) => server.delete_blob("replicas/web01.vhd"),
        // Nothing here deletes a blob; the other two cover it.
        Place::Azurite { .. } => return,
    }
    explained(&world.open().await.unwrap_err(), "replica.target_gone", "redb");
}

async fn a_moving_source_is_refused_unless_allowed(world: World) {
    let disk = Arc::new(PushedDisk {
        size_bytes: MIB,
        identity: None,
        point: None,
        zero: libmigrate::extent::Extent::new(0, MIB).into_iter().collect(),
    });
    let replica = world.engine().open(world.target(), DiskDescription::of(&*disk), &world.cancel).await.unwrap();
    let refused = replica.begin(disk.clone(), CycleRequest::default(), &world.cancel).await;
    explained(&refused.unwrap_err(), "source.moving", "change");
    let allowed = CycleRequest { consistency: Consistency::Moving, ..CycleRequest::default() };
    let point = replica.begin(disk, allowed, &world.cancel).await.unwrap().seal().await.unwrap();
    assert!(!point.crash_consistent);
}

async fn an_unusable_state_folder_is_named(world: World) {
    world.image(MIB, &[(0, MIB)]);
    let blocked = world.path("a-file");
    fs::write(&blocked, b"").unwrap();
    let engine = Engine::new(EngineOptions { state_dir: Some(blocked), ..world.options() }).unwrap();
    let description = DiskDescription::of(&*world.source());
    let error = engine.open(world.target(), description, &world.cancel).await.unwrap_err();
    explained(&error, "checkpoint.io", "a-file");
}

#[tokio::test]
async fn an_empty_source_is_refused() {
    let world = World::local().await.unwrap();
    world.image(0, &[]);
    let error = libmigrate::source::open(world.path("web01.raw"), libmigrate::source::Format::Detect).err().unwrap();
    explained(&error.into(), "source.empty", "web01.raw");
}

#[tokio::test]
async fn a_disk_larger_than_a_page_blob_is_refused() {
    let world = World::local().await.unwrap();
    let disk = DiskDescription { size_bytes: 8 << 40, identity: None };
    let refused = world.engine().open(world.target(), disk, &world.cancel).await;
    explained(&refused.unwrap_err(), "replica.disk_size", "8796093022208");
}

async fn open_at(url: &str, credential: Credential) -> Error {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let target = match AzurePageBlob::new(url, credential, AzureOptions::default()) {
        Ok(target) => Arc::new(target),
        Err(e) => return e.into(),
    };
    let disk = DiskDescription { size_bytes: MIB, identity: None };
    engine.open(target, disk, &CancellationToken::new()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_blob_is_refused() {
    let server = PageBlobServer::start().await;
    server.create_container("replicas");
    server.put_block_blob("replicas/web01.vhd", b"something else");
    let error = open_at(&format!("{}/replicas/web01.vhd?sig=open", server.endpoint()), Credential::SasUrl).await;
    explained(&error, "target.wrong_kind", "block blob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_container_is_named() {
    let server = PageBlobServer::start().await;
    let error = open_at(&format!("{}/replicas/web01.vhd?sig=open", server.endpoint()), Credential::SasUrl).await;
    explained(&error, "target.container_not_found", "replicas/web01.vhd");
}

#[tokio::test]
async fn plain_http_is_refused_beyond_this_machine() {
    let error = open_at("http://acct.blob.core.windows.net/replicas/web01.vhd?sig=canary", Credential::SasUrl).await;
    explained(&error, "target.unusable", "http");
    assert!(!format!("{error} {error:?}").contains("canary"));
}
