//! The proof of a recovery point, checked by a script that shares no code with us.

use std::path::{Path, PathBuf};

use libmigrate::size::BlockSize;
use libmigrate::{CycleRequest, DiskDescription, Engine, EngineOptions, RecoveryPoint, Subject};
use libmigrate_test_support::proof_checker::check_proof;
use libmigrate_test_support::python_reader::download_with_python;

use crate::on_every_target;
use crate::world::{BLOCK, MIB, Place, World};

on_every_target!(a_proof_is_checked_by_others_against_the_downloaded_disk);

/// The whole VHD in a file, by another way than ours where there is one; `None` where that is not installed.
async fn download(world: &World) -> Option<PathBuf> {
    let to = world.path("downloaded.vhd");
    match &world.place {
        Place::Local => drop(std::fs::copy(world.path("web01.vhd"), &to).unwrap()),
        Place::Server(server) => std::fs::write(&to, server.blob("replicas/web01.vhd").unwrap().bytes).unwrap(),
        Place::Azurite { url, connection_string } => {
            let container = url.rsplit('/').nth(1).unwrap();
            download_with_python(connection_string, container, "web01.vhd", &to).await?.unwrap();
        }
    }
    Some(to)
}

/// Replicates and exports to `proof`.
async fn sealed_with_proof(world: &World) -> RecoveryPoint {
    world.image(5 * MIB + 777, &[(0, MIB), (2 * MIB + 8192, 70_000), (5 * MIB, 777)]);
    let point = world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let proved = replica.export_proof(Subject::Newest, &world.path("proof"), &world.cancel).await.unwrap();
    replica.close().await.unwrap();
    assert_eq!(proved, point);
    point
}

fn flip(file: &Path, offset: u64) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[offset as usize] ^= 4;
    std::fs::write(file, bytes).unwrap();
}

async fn a_proof_is_checked_by_others_against_the_downloaded_disk(world: World) {
    let point = sealed_with_proof(&world).await;
    let (proof, Some(vhd)) = (world.path("proof"), download(&world).await) else { return };

    let Some(equal) = check_proof(&proof, &vhd, Some(&point.root)) else { return };
    flip(&vhd, 2 * MIB + 8192 + 3);
    flip(&vhd, 4 * MIB);
    let differs = check_proof(&proof, &vhd, None).unwrap();

    assert_eq!(
        (equal.exit_code, equal.text),
        (0, format!("equal: all 6291456 bytes of cycle 1, root {}\n", point.root))
    );
    assert_eq!(differs.exit_code, 1);
    assert!(differs.text.contains("in the blocks of 65536 bytes at [2097152, 4194304]"), "{}", differs.text);
}

/// Where what lies in a proof.
struct Layout {
    manifest: u64,
    part: u64,
    end: u64,
}

fn layout(proof: &Path) -> Layout {
    let bytes = std::fs::read(proof).unwrap();
    let header = 19 + bytes[19..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let json: serde_json::Value = serde_json::from_slice(&bytes[19..header]).unwrap();
    let part = header as u64 + json["manifest_bytes"].as_u64().unwrap();
    Layout { manifest: header as u64, part, end: bytes.len() as u64 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_not_believed_once_a_bit_of_it_is_changed() {
    let world = World::local().await.unwrap();
    let point = sealed_with_proof(&world).await;
    let (proof, vhd) = (world.path("proof"), world.path("web01.vhd"));
    let whole = std::fs::read(&proof).unwrap();
    let refused = |changed: Vec<u8>, root: Option<&str>| {
        std::fs::write(&proof, changed).unwrap();
        let verdict = check_proof(&proof, &vhd, root)?;
        assert_eq!(verdict.exit_code, 1, "{}", verdict.text);
        Some(verdict.text)
    };
    let Layout { manifest, part, end } = layout(&proof);
    let with = |offset: u64| {
        let mut changed = whole.clone();
        changed[offset as usize] ^= 1;
        changed
    };

    let Some(no_magic) = refused(with(3), None) else { return };
    assert!(no_magic.contains("no proof that this script knows"), "{no_magic}");
    assert!(refused(with(manifest + 30), None).unwrap().contains("the manifest has another root"));
    assert!(refused(with(part + 4 + 9), None).unwrap().contains("part 0 has another hash"));
    assert!(refused(with(part), None).unwrap().contains("part 0 "));
    assert!(refused(whole[..end as usize - 1].to_vec(), None).unwrap().contains("cut short"));
    assert!(refused([&whole[..], b"x"].concat(), None).unwrap().contains("bytes after its end"));
    let other_root = String::from_utf8_lossy(&whole[..manifest as usize]).replace(&point.root, &"ab".repeat(32));
    let with_other_root = [other_root.as_bytes(), &whole[manifest as usize..]].concat();
    assert!(refused(with_other_root, None).unwrap().contains("the manifest has another root"));
    assert!(refused(whole.clone(), Some(&"cd".repeat(32))).unwrap().contains("the manifest has another root"));
    // Any bit behind the header, and the sizes in the header.
    let mut rng = fastrand::Rng::with_seed(5);
    for offset in std::iter::repeat_with(|| rng.u64(manifest..end)).take(20) {
        refused(with(offset), None).unwrap();
    }
    let huge = String::from_utf8_lossy(&whole[..manifest as usize])
        .replace(&format!("\"manifest_bytes\":{}", part - manifest), "\"manifest_bytes\":99999999999");
    assert!(refused([huge.as_bytes(), &whole[manifest as usize..]].concat(), None).unwrap().contains("too long"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vhd_that_is_cut_or_has_another_footer_fails_its_proof() {
    let world = World::local().await.unwrap();
    sealed_with_proof(&world).await;
    let (proof, vhd) = (world.path("proof"), world.path("web01.vhd"));
    flip(&vhd, 6 * MIB + 70);
    let Some(footer) = check_proof(&proof, &vhd, None) else { return };
    std::fs::File::options().write(true).open(&vhd).unwrap().set_len(6 * MIB).unwrap();
    let cut = check_proof(&proof, &vhd, None).unwrap();
    assert!(footer.exit_code == 1 && footer.text.contains("the footer at 6291456 differs"), "{footer:?}");
    assert!(cut.exit_code == 1 && cut.text.contains("has 6291456 bytes"), "{cut:?}");
}

/// 257 MiB in blocks of 4 KiB are two parts, the second a short one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_several_parts_is_proved_part_by_part() {
    let world = World::local().await.unwrap();
    world.image(257 * MIB, &[(0, MIB), (256 * MIB - 4096, 8192)]);
    let engine = Engine::new(EngineOptions { block_size: BlockSize::new(4096), ..world.options() }).unwrap();
    let description = DiskDescription::of(&*world.source());
    let replica = engine.open(world.target(), description, &world.cancel).await.unwrap();
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    let proof = world.path("proof");
    // An older file of that name is replaced.
    std::fs::write(&proof, b"old").unwrap();
    let point = replica.export_proof(Subject::Live, &proof, &world.cancel).await.unwrap();
    replica.close().await.unwrap();

    let vhd = world.path("web01.vhd");
    let Some(equal) = check_proof(&proof, &vhd, Some(&point.root)) else { return };
    flip(&vhd, 256 * MIB + 4095);
    let differs = check_proof(&proof, &vhd, None).unwrap();
    assert_eq!(equal.exit_code, 0, "{}", equal.text);
    assert!(differs.exit_code == 1 && differs.text.contains("at [268435456]"), "{differs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_cannot_be_written_or_made_leaves_nothing() {
    let world = World::local().await.unwrap();
    world.image(2 * MIB, &[(0, BLOCK)]);
    world.replicate(CycleRequest::default()).await;
    let replica = world.open().await.unwrap();
    let export = async |to: &Path| replica.export_proof(Subject::Newest, to, &world.cancel).await.unwrap_err();
    let folder = world.path("folder");
    std::fs::create_dir(&folder).unwrap();

    let nowhere = export(&world.path("none/proof")).await;
    let taken = export(&folder).await;
    let part = world.target().list_objects("part-").await.unwrap().remove(0);
    world.target().delete_object(&part).await.unwrap();
    let no_map = export(&folder.join("proof")).await;

    assert_eq!((nowhere.code(), taken.code(), no_map.code()), ("proof.write", "proof.write", "recovery_point.map"));
    assert!(nowhere.to_string().contains("none/proof"), "{nowhere}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    assert!(
        !std::fs::read_dir(world.folder.path()).unwrap().any(|e| e.unwrap().path().to_string_lossy().contains("tmp."))
    );
}
