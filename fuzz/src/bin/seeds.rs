//! Writes the seed corpus: the heads of images that the tests' own generators make.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --bin seeds` from the repository's root. A target extends what
//! it is given with zeros, so a seed holds an image's structures and not its data.

#[allow(dead_code, unused_imports, reason = "the tests use what the seeds do not")]
#[path = "../../../crates/core/tests/sources"]
mod sources {
    pub mod qcow2_image;
    pub mod vhd_chain_image;
    pub mod vhd_image;
    pub mod vmdk_image;
}

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sources::{qcow2_image, vhd_chain_image, vhd_image, vmdk_image};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, number, mut seed, len) in seeds() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        seed.truncate(len);
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

/// Target, number, image, and how much of it holds structures.
fn seeds() -> Vec<(&'static str, u32, Vec<u8>, usize)> {
    let difference = vhd_chain_image::Difference {
        id: 0x22,
        parent_id: 0x11,
        relative: "image".into(),
        absolute: r"C:\image".into(),
        blocks: 3,
        sectors: BTreeMap::from([(5, 1), (2000, 2)]),
    };
    let list = r#"{"base":"a","end":"b","covered_to":1000,"extents":[{"offset":5,"len":3}]}"#;
    let vmware = r#"[{"startOffset":0,"length":4096,"changedArea":[{"start":512,"length":512}]}]"#;
    let hyper_v = r#"{"ByteOffset":0,"ProcessedByteLength":4096,"ChangedByteOffsets":[0],"ChangedByteLengths":[9]}"#;
    let vddk = r#"{"startSector":0,"numSectors":99,"chunkSize":8,"allocatedBlocks":[{"offset":8,"length":8}]}"#;
    let read = [&[0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12][..], &[0; 10], &[16, 0]];
    let pairs = [0, 0, 0, 2, 0, 16, 0, 0, 0, 0, 0, 1];
    let dirty = [&[0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 12][..], &pairs];
    vec![
        ("nbd_server", 0, libmigrate_fuzz::nbd_handshake(), 4096),
        ("nbd_server", 1, read.concat(), 4096),
        ("nbd_server", 2, [read.concat(), dirty.concat()].concat(), 4096),
        ("qcow2_image", 0, qcow2_image::plain(), 8 << 10),
        ("qcow2_image", 1, qcow2_image::with_extension(0x4441_5441, b"image"), 8 << 10),
        ("qcow2_image", 2, qcow2_image::with_compressed(&[1, 1, 0, 0xfe, 0xff, 7], true), 64 << 10),
        ("vmdk_image", 0, vmdk_image::sparse(1 << 20, &[0, 3]), 8 << 10),
        ("vmdk_image", 1, vmdk_image::stream(1 << 20, &[0, 3]), 8 << 10),
        ("vmdk_descriptor", 0, vmdk_image::descriptor("monolithicFlat", "RW 64 FLAT \"image\" 0", "").into(), 4096),
        ("vmdk_descriptor", 1, vmdk_image::child_descriptor("RW 64 SPARSE \"image\"", "1", "image").into(), 4096),
        ("vhd_image", 0, vhd_image::dynamic(3, &[0, 2]), 4096),
        ("vhd_image", 1, vhd_image::fixed(512), 1024),
        ("vhd_image", 2, difference.image(), 4096),
        ("change_list", 0, list.into(), 4096),
        ("change_list", 1, vmware.into(), 4096),
        ("change_list", 2, hyper_v.into(), 4096),
        ("change_list", 3, vddk.into(), 4096),
        ("change_list", 4, "offset,len\n0,512\n".into(), 4096),
    ]
}
