//! Servers that are in use.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libmigrate::source::nbd::{self, NbdError, NbdOptions, NbdSource, NbdUri};
use libmigrate::source::{ChangeId, ChangeList, DiskSource, SourceError};
use libmigrate::target::local::LocalTarget;
use libmigrate::{Against, CancellationToken, Coverage, CycleRequest, DiskDescription, Engine, EngineOptions, Subject};
use libmigrate_test_support::nbd_server::{NbdServer, nbdinfo};
use libmigrate_test_support::qemu::{qemu_img, qemu_io};
use tempfile::TempDir;

use crate::contract::{assert_keeps_contract, holes};

const MIB: u64 = 1 << 20;

async fn connect(uri: &str, options: NbdOptions) -> NbdSource {
    let uri: NbdUri = uri.parse().unwrap();
    let (source, connection) = nbd::connect(&uri, &options).await.unwrap();
    tokio::spawn(connection.run());
    source
}

/// Runs what blocks away from the threads that run the connection.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A sparse raw disk of 9 MiB and a bit.
fn sample_disk(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(9 * MIB + 1536).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for (offset, len) in [(0, 70_000), (4 * MIB + 777, 3 << 20), (9 * MIB, 1000)] {
        let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        file.write_all_at(&bytes, offset).unwrap();
    }
    path
}

fn qemu_serves(image: &Path, options: &[&str]) -> Option<NbdServer> {
    let arguments = options.iter().copied().chain([image.to_str().unwrap()]);
    NbdServer::qemu(arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_disk_of_qemu_reads_as_it_is_and_shows_its_holes() {
    let folder = TempDir::new().unwrap();
    let image = sample_disk(folder.path());
    let before = fs::read(&image).unwrap();
    let Some(server) = qemu_serves(&image, &["--format=raw"]) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    let (disk, found) = blocking(move || (assert_keeps_contract(&source), holes(&source))).await;

    assert!(disk[..before.len()] == before);
    assert!(found.iter().any(|hole| hole.start <= MIB && hole.end >= 4 * MIB), "{found:?}");
    assert!(fs::read(&image).unwrap() == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn extents_are_those_that_nbdinfo_finds() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.qcow2");
    let Some(made) = qemu_img(["create", "-q", "-f", "qcow2", image.to_str().unwrap(), "32M"]) else { return };
    made.unwrap();
    let writes = ["write -P 1 0 100k", "write -P 2 5M 1M", "write -z 10M 2M", "write -P 3 20M 64k"];
    qemu_io(&image, "qcow2", &writes.map(String::from)).unwrap();
    let Some(server) = qemu_serves(&image, &["--format=qcow2"]) else { return };
    let Some(map) = nbdinfo(&["--map", "--json", &server.uri("")]) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    let found = blocking(move || holes(&source)).await;

    // Type is the flags: 1 hole, 2 zero.
    let map: Vec<serde_json::Value> = serde_json::from_str(&map).unwrap();
    let field = |piece: &serde_json::Value, name| piece[name].as_u64().unwrap();
    let zero: Vec<_> = map
        .iter()
        .filter(|piece| field(piece, "type") & 2 != 0)
        .map(|piece| field(piece, "offset")..field(piece, "offset") + field(piece, "length"))
        .collect();
    assert_eq!(joined(found), joined(zero));
}

fn joined(ranges: Vec<std::ops::Range<u64>>) -> Vec<std::ops::Range<u64>> {
    let mut all: Vec<std::ops::Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => all.push(range),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dirty_bitmap_is_the_change_list_that_nbdinfo_finds() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.qcow2");
    let path = image.to_str().unwrap();
    let Some(made) = qemu_img(["create", "-q", "-f", "qcow2", path, "64M"]) else { return };
    made.unwrap();
    qemu_io(&image, "qcow2", &["write -P 1 0 8M".to_owned()]).unwrap();
    qemu_img(["bitmap", "--add", "--enable", path, "since-monday"]).unwrap().unwrap();
    let writes = ["write -P 2 1M 4k", "write -P 3 63M 128k", "write -z 2M 64k", "discard 4M 1M"];
    qemu_io(&image, "qcow2", &writes.map(String::from)).unwrap();
    let Some(server) = qemu_serves(&image, &["--format=qcow2", "--bitmap=since-monday"]) else { return };
    let context = "--map=qemu:dirty-bitmap:since-monday";
    let Some(map) = nbdinfo(&[context, "--json", &server.uri("")]) else { return };
    let options = NbdOptions { bitmaps: vec!["since-monday".into()], ..NbdOptions::default() };
    let source = connect(&server.uri(""), options).await;

    let dirty = source.dirty("since-monday").await.unwrap();

    let id = ChangeId::new;
    let expected = ChangeList::from_qemu_bitmap(id("a"), id("b"), &map).unwrap().changed(64 * MIB).unwrap();
    assert_eq!(ChangeList::of(id("a"), id("b"), dirty).changed(64 * MIB).unwrap(), expected);
    assert!(expected.covers(libmigrate::extent::Extent::new(63 * MIB, 128 << 10).unwrap()));
}

#[tokio::test]
async fn a_bitmap_that_is_not_there_is_an_error_and_not_clean() {
    let Some(server) = NbdServer::nbdkit(["memory", "1M"]) else { return };
    let options = NbdOptions { bitmaps: vec!["gone".into()], ..NbdOptions::default() };
    let source = connect(&server.uri(""), options).await;

    assert!(
        matches!(source.dirty("gone").await, Err(NbdError::NoContext { context, .. }) if context.ends_with("gone"))
    );
}

#[tokio::test]
async fn an_export_that_is_not_there_is_refused_with_the_servers_words() {
    let folder = TempDir::new().unwrap();
    let image = sample_disk(folder.path());
    let Some(server) = qemu_serves(&image, &["--format=raw", "--export-name=web01"]) else { return };

    let refused = nbd::connect(&server.uri("web02").parse().unwrap(), &NbdOptions::default()).await;

    assert!(matches!(refused, Err(NbdError::Refused { export, .. }) if export == "web02"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_structured_replies_is_read_whole() {
    let folder = TempDir::new().unwrap();
    let image = sample_disk(folder.path());
    let Some(server) = NbdServer::nbdkit(["--no-sr", "file", image.to_str().unwrap()]) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    assert_eq!(source.notes().len(), 1);
    let (disk, found) = blocking(move || (assert_keeps_contract(&source), holes(&source))).await;

    assert!(disk == fs::read(&image).unwrap());
    assert!(found.is_empty(), "nothing is known of holes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_limits_are_kept() {
    let folder = TempDir::new().unwrap();
    let image = sample_disk(folder.path());
    File::options().write(true).open(&image).unwrap().set_len(9 * MIB + 4096).unwrap();
    let policy = ["blocksize-error-policy=error", "blocksize-minimum=4096", "blocksize-preferred=4096"];
    let arguments = ["--filter=blocksize-policy", "file", image.to_str().unwrap()];
    let all = arguments.into_iter().chain(policy).chain(["blocksize-maximum=65536"]);
    let Some(server) = NbdServer::nbdkit(all) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    assert_eq!(source.limits().max_read_bytes, 65_536);
    let disk = blocking(move || assert_keeps_contract(&source)).await;

    assert!(disk == fs::read(&image).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_nbdkit_makes_up_keeps_the_contract() {
    let Some(server) = NbdServer::nbdkit(["data", "1*100000 @2097152 7*70000 @8388608 9*1000", "size=16M"]) else {
        return;
    };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    let (disk, found) = blocking(move || (assert_keeps_contract(&source), holes(&source))).await;

    let expected = |at: u64| match at {
        0..100_000 => 1,
        at if (2 * MIB..2 * MIB + 70_000).contains(&at) => 7,
        at if (8 * MIB..8 * MIB + 1000).contains(&at) => 9,
        _ => 0,
    };
    assert!(disk.len() as u64 == 16 * MIB && disk.iter().zip(0..).all(|(byte, at)| *byte == expected(at)));
    assert!(found.iter().any(|hole| hole.start < 3 * MIB && hole.end == 8 * MIB), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_the_server_fails_is_an_error_with_its_place() {
    let arguments = ["--filter=error", "pattern", "size=1M", "error-pread=EIO", "error-pread-rate=100%"];
    let Some(server) = NbdServer::nbdkit(arguments) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    let error = blocking(move || source.read_at(4096, &mut [0; 512]).unwrap_err()).await;

    let is_right = |error: &NbdError| matches!(error, NbdError::Server { offset: 4096, len: 512, problem, .. } if problem.contains("input/output"));
    assert!(matches!(&error, SourceError::Nbd(error) if is_right(error)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_are_under_way_at_once() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let logfile = format!("logfile={}", log.display());
    let arguments = ["--filter=log", "--filter=delay", "pattern", "size=16M", "rdelay=300ms", &logfile];
    let Some(server) = NbdServer::nbdkit(arguments) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;

    let reads = (0..12u64).map(|n| {
        let source = source.clone();
        tokio::spawn(async move { source.read(n * MIB, 512).await.unwrap() })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap();
    }

    // The log has a line when a read begins and one that starts with dots when it ends.
    let (mut now, mut most) = (0, 0);
    for line in fs::read_to_string(log).unwrap().lines().filter(|line| line.contains("Read ")) {
        if line.contains("...Read") {
            now -= 1;
        } else {
            now += 1;
        }
        most = most.max(now);
    }
    assert!(most >= 8, "{most} reads at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_ends_the_calls_under_way() {
    let Some(mut server) = NbdServer::nbdkit(["--filter=delay", "pattern", "size=1M", "rdelay=600"]) else { return };
    let source = connect(&server.uri(""), NbdOptions::default()).await;
    let reading = tokio::spawn({
        let source = source.clone();
        async move { source.read(0, 512).await }
    });
    // The read is under way once another question is answered.
    blocking({
        let source = source.clone();
        move || source.extents(0..512, 1).unwrap()
    })
    .await;

    server.kill();

    let result = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap();
    assert!(matches!(result, Err(NbdError::Closed { .. })), "{result:?}");
    assert!(source.read(0, 512).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_names_it() {
    let refused =
        nbd::connect(&"nbd+unix:///?socket=/nonexistent/socket".parse().unwrap(), &NbdOptions::default()).await;

    assert!(matches!(refused, Err(NbdError::Connect { server, .. }) if server == "/nonexistent/socket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_is_a_way_too() {
    // Free a moment ago; nbdkit cannot choose one and say which.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(_server) = NbdServer::nbdkit_on_port(port, ["pattern", "size=1M"]) else { return };

    let source = connect(&format!("nbd://127.0.0.1:{port}/"), NbdOptions::default()).await;

    let bytes = source.read(8, 16).await.unwrap();
    assert_eq!(bytes[..], [8u64.to_be_bytes(), 16u64.to_be_bytes()].concat());
}

/// Replicates an export into the local target, and compares.
async fn replicate_from_nbd() {
    let folder = TempDir::new().unwrap();
    let image = sample_disk(folder.path());
    let Some(server) = qemu_serves(&image, &["--format=raw"]) else { return };
    let options = NbdOptions { point: Some("snap-1".into()), ..NbdOptions::default() };
    let source: Arc<dyn DiskSource> = Arc::new(connect(&server.uri(""), options).await);
    let target = Arc::new(LocalTarget::new(folder.path().join("replica.vhd")).unwrap());
    let engine = Engine::new(EngineOptions { state_dir: None, ..EngineOptions::default() }).unwrap();
    let cancel = CancellationToken::new();

    let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await.unwrap();
    let point = replica.replicate(Arc::clone(&source), CycleRequest::default(), &cancel).await.unwrap();
    let report = replica.verify(Subject::Newest, Against::Source(source), Coverage::Full, &cancel).await.unwrap();
    replica.close().await.unwrap();

    assert!(report.is_equal() && point.counts.read < 5 * MIB, "{:?}", point.counts);
    let written = fs::read(folder.path().join("replica.vhd")).unwrap();
    assert!(written.starts_with(&fs::read(&image).unwrap()));
}

#[tokio::test(flavor = "current_thread")]
async fn an_export_is_replicated_on_one_thread() {
    replicate_from_nbd().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_replicated_on_many_threads() {
    replicate_from_nbd().await;
}
