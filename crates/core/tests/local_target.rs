//! What only a local replica has: files that a crash leaves, that others damage, or that were never ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use libmigrate::size::{MIB, PageRange};
use libmigrate::target::local::LocalTarget;
use libmigrate::target::{ETag, Fence, LeaseId, Metadata, PageTarget, TargetError, View};
use tempfile::TempDir;

const TERM: Duration = Duration::from_secs(60);
const LEN: u64 = MIB + 512;

/// A folder with a replica in it, and its paths.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn with_replica() -> Self {
        let home = Self::new();
        home.handle().create(LEN, &Metadata::new()).await.unwrap();
        home
    }

    fn replica(&self) -> PathBuf {
        self.folder.path().join("web01.vhd")
    }

    /// What is beside the replica.
    fn beside(&self, name: &str) -> PathBuf {
        self.private_folder().join(name)
    }

    fn private_folder(&self) -> PathBuf {
        self.folder.path().join("web01.vhd.libmigrate")
    }

    fn handle(&self) -> LocalTarget {
        LocalTarget::new(self.replica()).unwrap()
    }

    async fn owned(&self) -> (LocalTarget, Fence) {
        let target = self.handle();
        let fence = Fence { lease: LeaseId::random(), sequence: 0 };
        target.acquire_lease(fence.lease, TERM).await.unwrap();
        (target, fence)
    }
}

fn page() -> PageRange {
    PageRange::new(0, 512).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// The place is refused, and the message names `path` and holds `words`.
fn assert_unusable<T: std::fmt::Debug>(result: Result<T, TargetError>, path: &Path, words: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, TargetError::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains(words), "{text}");
}

/// The etag that the target has now.
async fn etag_of(target: &impl PageTarget) -> ETag {
    target.state().await.unwrap().unwrap().etag
}

#[tokio::test]
async fn the_file_holds_the_bytes_from_offset_0_and_takes_no_space_for_holes() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::with_replica().await;
    let (target, fence) = home.owned().await;
    target.put(page(), Bytes::from_static(&[1; 512]), fence).await.unwrap();

    let bytes = fs::read(home.replica()).unwrap();
    assert_eq!(bytes, [vec![1; 512], vec![0; LEN as usize - 512]].concat());
    assert!(fs::metadata(home.replica()).unwrap().blocks() * 512 < MIB);
}

#[tokio::test]
async fn only_the_owner_may_read_what_servers_keep_on_their_disks() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with_replica().await;
    let (target, fence) = home.owned().await;
    let id = target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();

    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(
        mode(home.replica()) | mode(home.beside(&format!("snapshots/{id}.vhd"))) | mode(home.private_folder()),
        0
    );
}

#[tokio::test]
async fn every_file_beside_the_replica_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with_replica().await;
    let (target, fence) = home.owned().await;
    target.put_object("part-1", Bytes::from_static(b"digests")).await.unwrap();
    target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();

    let mut folders = vec![home.private_folder()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
            seen += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    // state.json, lock, objects, snapshots, one object, and a snapshot's bytes and record.
    assert_eq!(seen, 7);
}

#[tokio::test]
async fn a_folder_that_others_can_change_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let open_to_all = || fs::Permissions::from_mode(0o777);
    let home = Home::with_replica().await;
    fs::set_permissions(home.private_folder(), open_to_all()).unwrap();
    let refused = home.handle().acquire_lease(LeaseId::random(), TERM).await;
    assert_unusable(refused, &home.private_folder(), "chmod go-w");

    // Somebody was there before us.
    let home = Home::new();
    fs::create_dir(home.private_folder()).unwrap();
    fs::set_permissions(home.private_folder(), open_to_all()).unwrap();
    assert_unusable(home.handle().create(LEN, &Metadata::new()).await, &home.private_folder(), "chmod go-w");
    assert!(!home.replica().exists());
}

#[tokio::test]
async fn the_folder_of_the_replica_is_made_with_it() {
    let home = Home::new();
    let path = home.folder.path().join("replicas/today/web01.vhd");

    LocalTarget::new(&path).unwrap().create(LEN, &Metadata::new()).await.unwrap();

    assert_eq!(fs::metadata(path).unwrap().len(), LEN);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_never_touched() {
    let home = Home::new();
    fs::write(home.replica(), b"a stranger's").unwrap();
    let target = home.handle();

    assert_unusable(target.state().await, &home.replica(), "libmigrate did not make");
    assert_unusable(target.acquire_lease(LeaseId::random(), TERM).await, &home.replica(), "libmigrate did not make");
    let created = target.create(LEN, &Metadata::new()).await;
    assert!(matches!(created, Err(TargetError::AlreadyExists { .. })), "{created:?}");
    assert_eq!(fs::read(home.replica()).unwrap(), b"a stranger's");
    assert_eq!(names(home.folder.path()), ["web01.vhd"]);
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let home = Home::new();
    std::os::unix::fs::symlink("/dev/null", home.replica()).unwrap();

    let error = home.handle().state().await.unwrap_err();

    assert!(matches!(&error, TargetError::WrongKind { found, .. } if found == "symbolic link"), "{error}");
}

#[tokio::test]
async fn a_replica_whose_file_is_gone_is_not_made_anew_over_its_snapshots() {
    let home = Home::with_replica().await;
    fs::remove_file(home.replica()).unwrap();

    assert_unusable(home.handle().state().await, &home.private_folder(), "the file is gone");
    assert_unusable(home.handle().create(LEN, &Metadata::new()).await, &home.private_folder(), "the file is gone");
}

#[tokio::test]
async fn a_length_that_is_no_whole_number_of_pages_is_refused() {
    let home = Home::new();

    let refused = home.handle().create(1000, &Metadata::new()).await;

    assert!(matches!(refused, Err(TargetError::OutOfRange { .. })), "{refused:?}");
    assert_eq!(names(home.folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_creation_that_was_cut_off_is_begun_anew() {
    // As it is just before the replica is moved to its place.
    let home = Home::with_replica().await;
    fs::rename(home.replica(), home.beside("unborn.vhd")).unwrap();
    assert_eq!(home.handle().state().await.unwrap(), None);

    home.handle().create(2 * LEN, &Metadata::new()).await.unwrap();

    assert_eq!(home.handle().state().await.unwrap().unwrap().len, 2 * LEN);
    assert!(!home.beside("unborn.vhd").exists());
}

#[tokio::test]
async fn a_creation_that_was_cut_off_before_its_state_is_begun_anew() {
    let home = Home::new();
    fs::create_dir(home.private_folder()).unwrap();
    fs::write(home.beside("unborn.vhd"), b"half").unwrap();
    assert_eq!(home.handle().state().await.unwrap(), None);

    home.handle().create(LEN, &Metadata::new()).await.unwrap();

    assert_eq!(fs::read(home.replica()).unwrap(), vec![0; LEN as usize]);
}

#[tokio::test]
async fn an_unfinished_state_file_is_passed_over_and_removed() {
    let home = Home::with_replica().await;
    let before = home.handle().state().await.unwrap().unwrap();
    fs::write(home.beside("state.json.00f3.tmp"), b"{\"format\": 1, \"sequ").unwrap();

    assert_eq!(home.handle().state().await.unwrap().unwrap(), before);
    let (_target, _) = home.owned().await;

    assert_eq!(names(&home.private_folder()), ["lock", "objects", "snapshots", "state.json"]);
}

#[tokio::test]
async fn leftovers_of_interrupted_snapshots_are_never_listed_and_are_removed() {
    let home = Home::with_replica().await;
    let (target, fence) = home.owned().await;
    let whole = target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();
    drop(target);
    // Cut off while copying, before the record, and while writing the record.
    fs::write(home.beside("snapshots/000000000007.vhd.tmp"), b"half").unwrap();
    fs::write(home.beside("snapshots/000000000008.vhd"), b"whole").unwrap();
    fs::write(home.beside("snapshots/000000000009.vhd"), b"whole").unwrap();
    fs::write(home.beside("snapshots/000000000009.json.00f3.tmp"), b"{\"for").unwrap();

    let listed = home.handle().snapshots().await.unwrap();
    let (target, fence) = home.owned().await;
    let next = target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();

    assert_eq!(listed.iter().map(|snapshot| &snapshot.id).collect::<Vec<_>>(), [&whole]);
    let left = [whole, next].map(|id| [format!("{id}.json"), format!("{id}.vhd")]).concat();
    assert_eq!(names(&home.beside("snapshots")), left);
}

#[tokio::test]
async fn leftovers_of_interrupted_objects_are_never_listed_and_are_removed() {
    let home = Home::with_replica().await;
    home.handle().put_object("map-1", Bytes::from_static(b"x")).await.unwrap();
    fs::write(home.beside("objects/map-2.00f3.tmp"), b"half").unwrap();

    assert_eq!(home.handle().list_objects("").await.unwrap(), ["map-1"]);
    let (_target, _) = home.owned().await;

    assert_eq!(names(&home.beside("objects")), ["map-1"]);
}

#[tokio::test]
async fn a_state_of_a_newer_format_is_refused() {
    let home = Home::with_replica().await;
    fs::write(home.beside("state.json"), br#"{"format": 2, "everything": "else"}"#).unwrap();

    assert_unusable(home.handle().state().await, &home.beside("state.json"), "format 2");
    let leased = home.handle().acquire_lease(LeaseId::random(), TERM).await;
    assert_unusable(leased, &home.beside("state.json"), "use the version that wrote it");
}

#[tokio::test]
async fn a_damaged_state_is_refused_and_left_as_it_is() {
    let home = Home::with_replica().await;
    let whole = fs::read(home.beside("state.json")).unwrap();
    fs::write(home.beside("state.json"), &whole[..whole.len() / 2]).unwrap();

    assert_unusable(home.handle().state().await, &home.beside("state.json"), "damaged");
    let leased = home.handle().acquire_lease(LeaseId::random(), TERM).await;
    assert_unusable(leased, &home.beside("state.json"), "damaged");

    // Refusing held nothing back: once restored, the replica is as before.
    fs::write(home.beside("state.json"), &whole).unwrap();
    home.owned().await;
}

#[tokio::test]
async fn a_state_whose_counters_cannot_go_on_is_refused() {
    for counter in ["changes", "next_snapshot"] {
        let home = Home::with_replica().await;
        let path = home.beside("state.json");
        let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        state[counter] = u64::MAX.into();
        fs::write(&path, state.to_string()).unwrap();
        assert_unusable(home.handle().acquire_lease(LeaseId::random(), TERM).await, &path, "counters");
    }
}

#[tokio::test]
async fn an_endless_state_is_refused_unread() {
    let home = Home::with_replica().await;
    fs::File::options().write(true).open(home.beside("state.json")).unwrap().set_len(1 << 40).unwrap();

    let error = home.handle().state().await.unwrap_err();

    assert!(matches!(&error, TargetError::Io { location, .. } if location.ends_with("state.json")), "{error:?}");
}

#[tokio::test]
async fn an_object_name_never_leads_out_of_its_folder() {
    let home = Home::with_replica().await;
    let target = home.handle();

    let put = target.put_object("../state.json", Bytes::from_static(b"x")).await;
    let read = target.get_object("../state.json", MIB).await;
    let deleted = target.delete_object("../state.json").await;

    assert_unusable(put, &home.replica(), "../state.json");
    assert_unusable(read, &home.replica(), "../state.json");
    assert_unusable(deleted, &home.replica(), "../state.json");
    assert!(home.handle().state().await.unwrap().is_some());
}

#[tokio::test]
async fn a_snapshot_id_never_leads_out_of_its_folder() {
    let home = Home::with_replica().await;
    let target = home.handle();
    let id = libmigrate::target::SnapshotId("../../web01".into());

    target.delete_snapshot(&id).await.unwrap();
    let read = target.read(&View::Snapshot(id), page()).await;

    assert!(matches!(read, Err(TargetError::NotFound { .. })), "{read:?}");
    assert!(home.replica().exists());
}

#[tokio::test]
async fn a_lease_whose_lock_file_was_replaced_is_lost() {
    let home = Home::with_replica().await;
    let (target, fence) = home.owned().await;
    target.renew_lease(fence.lease).await.unwrap();
    fs::rename(home.beside("lock"), home.beside("lock-moved-away")).unwrap();

    let renewed = target.renew_lease(fence.lease).await;

    assert!(matches!(renewed, Err(TargetError::LeaseLost { .. })), "{renewed:?}");
}

#[tokio::test]
async fn the_refusal_of_a_second_writer_says_which_process_is_the_first() {
    let home = Home::with_replica().await;
    let (_target, fence) = home.owned().await;

    let error = home.handle().acquire_lease(LeaseId::random(), TERM).await.unwrap_err().to_string();

    assert!(error.contains(&format!("lease {}, process {}", fence.lease, std::process::id())), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_only_looks_does_not_keep_the_writer_out() {
    let home = Home::with_replica().await;
    let looker = home.handle();
    let looking = tokio::spawn(async move {
        loop {
            looker.state().await.unwrap();
        }
    });

    for _ in 0..300 {
        let (target, fence) = home.owned().await;
        target.release_lease(fence.lease).await.unwrap();
    }

    looking.abort();
}

/// A child has all files of its parent open until its own program runs, and so the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_being_started_do_not_keep_a_released_lease() {
    let home = Home::with_replica().await;
    let ended = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&ended);
    let starting = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            Command::new("true").status().unwrap();
        }
    });

    for _ in 0..300 {
        let (target, fence) = home.owned().await;
        target.release_lease(fence.lease).await.unwrap();
    }

    ended.store(true, Ordering::Relaxed);
    starting.join().unwrap();
}

/// A put whose caller stopped waiting still runs; the release must wait for it, or shut it out.
#[test]
fn an_abandoned_put_never_lands_after_the_lease_went_on() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (home, range) = (Home::new(), PageRange::new(0, 4 * MIB).unwrap());
    let (old, new) = (Bytes::from(vec![1; 4 << 20]), Bytes::from(vec![2; 4 << 20]));
    let (firsts, seconds) = (runtime(), runtime());
    seconds.block_on(home.handle().create(4 * MIB, &Metadata::new())).unwrap();

    firsts.block_on(async {
        let (first, fence) = home.owned().await;
        for _ in 0..32 {
            // Polled once, so that it is under way, then dropped.
            drop(futures::FutureExt::now_or_never(first.put(range, old.clone(), fence)));
        }
        first.release_lease(fence.lease).await.unwrap();
    });
    let (second, fence) = seconds.block_on(home.owned());
    seconds.block_on(second.put(range, new.clone(), fence)).unwrap();
    // Ends when all that is under way has ended.
    drop(firsts);

    assert!(seconds.block_on(second.read(&View::Live, range)).unwrap() == new);
}

const HOLDER: &str = "LIBMIGRATE_TEST_HOLDER_OF";

/// Not a behaviour: the process that [`a_lease_ends_with_its_process`] kills.
#[tokio::test]
async fn holds_the_lease_until_killed_when_asked_to() {
    let Some(path) = std::env::var_os(HOLDER) else { return };
    let target = LocalTarget::new(&path).unwrap();
    target.acquire_lease(LeaseId::random(), TERM).await.unwrap();
    fs::write(Path::new(&path).with_extension("held"), b"").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_lease_ends_with_its_process() {
    let home = Home::with_replica().await;
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_the_lease_until_killed_when_asked_to"])
        .env(HOLDER, home.replica())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    while !home.replica().with_extension("held").exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "the other process never took the lease");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let refused = home.handle().acquire_lease(LeaseId::random(), TERM).await;
    let seen = home.handle().state().await.unwrap().unwrap().leased;
    holder.kill().unwrap();
    holder.wait().unwrap();

    assert!(seen);
    let error = refused.unwrap_err();
    assert!(matches!(error, TargetError::LeaseHeld { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", holder.id())), "{error}");
    assert!(!home.handle().state().await.unwrap().unwrap().leased);
    home.owned().await;
}
