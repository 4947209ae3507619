//! A checkpoint that is damaged, swapped, or somebody else's: refused with a way out, or harmless.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libmigrate::target::local::LocalTarget;
use libmigrate::{CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions, Error};

use crate::world::{BLOCK, MIB, World};

fn explained(error: &Error, code: &str, says: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_swapped_with_another_replicas_is_refused_and_can_be_swapped_back() {
    let world = World::local().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let first = world.checkpoint();
    let other = Arc::new(LocalTarget::new(world.path("web02.vhd")).unwrap());
    let disk = DiskDescription::of(&*world.source());
    let replica = world.engine().open(other.clone(), disk.clone(), &world.cancel).await.unwrap();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    let checkpoints: Vec<PathBuf> = fs::read_dir(world.path("state")).unwrap().map(|e| e.unwrap().path()).collect();
    let second = checkpoints.iter().find(|path| **path != first).unwrap();
    let swap = || {
        fs::rename(&first, world.path("aside")).unwrap();
        fs::rename(second, &first).unwrap();
        fs::rename(world.path("aside"), second).unwrap();
    };

    swap();
    explained(&world.open().await.unwrap_err(), "checkpoint.other_replication", first.to_str().unwrap());
    let error = world.engine().open(other, disk, &world.cancel).await.unwrap_err();
    explained(&error, "checkpoint.other_replication", second.to_str().unwrap());

    swap();
    world.write(0, 10);
    let point = world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
    assert_eq!((point.cycle, point.counts.sent), (2, BLOCK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_others_can_change_or_own_is_refused_until_it_is_put_right() {
    let world = World::local().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    world.replicate(CycleRequest::default()).await;
    let (file, folder) = (world.checkpoint(), world.path("state"));
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    chmod(&file, 0o602);
    explained(&world.open().await.unwrap_err(), "checkpoint.exposed", &format!("chmod go-w '{}'", file.display()));
    chmod(&file, 0o600);
    chmod(&folder, 0o1777);
    explained(&world.open().await.unwrap_err(), "checkpoint.exposed", &format!("chmod go-w '{}'", folder.display()));
    chmod(&folder, 0o700);
    // Only root can give files away.
    if chown(&file, Some(4711), None).is_ok() {
        explained(&world.open().await.unwrap_err(), "checkpoint.exposed", "belongs to user 4711");
        chown(&file, Some(0), None).unwrap();
    }
    fs::hard_link(&file, world.path("second-name")).unwrap();
    explained(&world.open().await.unwrap_err(), "checkpoint.exposed", "2 names");
    fs::remove_file(world.path("second-name")).unwrap();
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}

/// What a killed process leaves at some moment of its second cycle, to be put back again and again.
struct Killed {
    world: World,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Killed {
    async fn in_the_middle_of_a_cycle() -> Self {
        let world = World::local().await.unwrap();
        world.image(6 * MIB, &[(0, 4 * MIB)]);
        world.replicate(CycleRequest::default()).await;
        world.write(0, 3 * MIB);
        let options = EngineOptions { bytes_per_second: Some(MIB), ..world.options() };
        let engine = Engine::new(options).unwrap();
        let description = DiskDescription::of(&*world.source());
        let replica = engine.open(world.target(), description, &world.cancel).await.unwrap();
        let before = fs::read(world.path("web01.vhd")).unwrap();
        let cancel = CancellationToken::new();
        let cycle = replica.begin(world.source(), CycleRequest::default(), &cancel).await.unwrap();
        let copying = cycle.copy_from(world.source());
        let stop = async {
            while fs::read(world.path("web01.vhd")).unwrap() == before {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            cancel.cancel();
        };
        let (copied, ()) = tokio::join!(copying, stop);
        assert_eq!(copied.unwrap_err().code(), "cycle.cancelled");
        // Waits for the pipeline's last commit; the database is still open, as after kill -9.
        replica.recovery_points(&world.cancel).await.unwrap();
        let mut files = Vec::new();
        let mut folders = vec![world.path("state"), world.path("web01.vhd.libmigrate")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
            }
        }
        files.push(world.path("web01.vhd"));
        let files = files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        drop(cycle);
        drop(replica);
        Self { world, files }
    }

    fn put_back(&self) {
        let snapshots = self.world.path("web01.vhd.libmigrate/snapshots");
        for entry in fs::read_dir(snapshots).unwrap().map(|entry| entry.unwrap().path()) {
            fs::remove_file(entry).unwrap();
        }
        for (path, bytes) in &self.files {
            let _ = fs::remove_file(path);
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// Whatever bit of the file is flipped: a typed refusal, or a cycle whose replica equals its source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_refused_or_ends_in_an_equal_replica() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let killed = Killed::in_the_middle_of_a_cycle().await;
    let world = &killed.world;
    let checkpoint = world.checkpoint();
    let whole = killed.files.iter().find(|(path, _)| *path == checkpoint).unwrap().1.clone();
    let used: Vec<usize> = (0..whole.len()).filter(|at| *at < 320 || whole[*at] != 0).collect();
    let mut refused = 0;
    for _ in 0..40 {
        killed.put_back();
        let mut bytes = whole.clone();
        let bits: Vec<usize> =
            (0..random.usize(1..3)).map(|_| used[random.usize(..used.len())] * 8 + random.usize(..8)).collect();
        bits.iter().for_each(|bit| bytes[bit / 8] ^= 1 << (bit % 8));
        fs::write(&checkpoint, bytes).unwrap();
        match world.open().await {
            Err(error) => {
                assert!(["checkpoint.damaged", "checkpoint.older"].contains(&error.code()), "bits {bits:?}: {error}");
                refused += 1;
            }
            Ok(replica) => {
                replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
                replica.close().await.unwrap();
                world.assert_equal().await;
            }
        }
    }
    println!("40 times 1 or 2 bits flipped: {refused} refused, the others ended in an equal replica");
    // The way out of a refusal.
    killed.put_back();
    fs::rename(&checkpoint, world.path("moved-away")).unwrap();
    world.replicate(CycleRequest::default()).await;
    world.assert_equal().await;
}
