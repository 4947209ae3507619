//! Chains and sub-formats that QEMU reads wrong, or not at all, judged by libvhdi, libvmdk and dissect.

use std::fs;
use std::path::{Path, PathBuf};

use libmigrate::source::{self, Format};
use libmigrate_test_support::chain_reader::ChainReader;
use libmigrate_test_support::qemu::{qemu_img, qemu_io};
use tempfile::TempDir;

use crate::contract::assert_keeps_contract;
use crate::vhdx_image::Vhdx;
use crate::vmdk_image::{descriptor, se_allocated, se_sparse};

const MIB: u64 = 1 << 20;

fn read(image: &Path) -> Vec<u8> {
    assert_keeps_contract(&*source::open(image, Format::Detect).unwrap())
}

/// Three VHDXs over each other, child first. No block of a child is in the state "zero", for which libvhdi
/// 20260901 shows the parent's bytes.
fn vhdx_chain(folder: &Path) -> [PathBuf; 3] {
    let base = Vhdx::new(5 * MIB).full(0, 1).full(1, 2).full(4, 3);
    let mut middle = base.child("base.vhdx");
    middle.write(MIB + 512, &[8; 2048]);
    middle.write(3 * MIB, &vec![9; MIB as usize]);
    let mut top = middle.child("middle.avhdx");
    top.write(MIB + 1024, &[10; 512]);
    top.write(4 * MIB + 8192, &[11; 4096]);
    [("top.avhdx", top), ("middle.avhdx", middle), ("base.vhdx", base)].map(|(name, image)| {
        let path = folder.join(name);
        fs::write(&path, image.build()).unwrap();
        path
    })
}

#[test]
fn a_chain_of_vhdx_reads_as_libvhdi_reads_it() {
    let folder = TempDir::new().unwrap();
    let [top, middle, base] = vhdx_chain(folder.path());
    let Some(expected) = ChainReader::Libvhdi.bytes_of(&[&top, &middle, &base]) else { return };

    assert!(read(&top) == expected);
}

#[test]
fn a_chain_of_vmdk_snapshots_reads_as_libvmdk_reads_it() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let create = |arguments: &[&str]| qemu_img([&["create", "-q", "-f", "vmdk"], arguments].concat());
    let [base, one, two] = ["base.vmdk", "one.vmdk", "two.vmdk"].map(at);
    let Some(made) = create(&[base.to_str().unwrap(), "9M"]) else { return };
    made.unwrap();
    qemu_io(&base, "vmdk", &["write -P 1 0 2M".into(), "write -P 2 5M 100k".into()]).unwrap();
    create(&["-b", "base.vmdk", "-F", "vmdk", one.to_str().unwrap()]).unwrap().unwrap();
    qemu_io(&one, "vmdk", &["write -P 3 1M 130k".into(), "write -P 4 8M 64k".into()]).unwrap();
    create(&["-b", "one.vmdk", "-F", "vmdk", two.to_str().unwrap()]).unwrap().unwrap();
    qemu_io(&two, "vmdk", &["write -P 5 1100k 64k".into()]).unwrap();
    let Some(expected) = ChainReader::Libvmdk.bytes_of(&[&two, &one, &base]) else { return };

    assert!(read(&two) == expected);
}

/// No grain of it is in the state "unmapped", for which dissect 3.21 looks into a parent.
#[test]
fn a_space_efficient_vmdk_reads_as_dissect_reads_it() {
    let folder = TempDir::new().unwrap();
    let (text, extent) = (folder.path().join("disk.vmdk"), folder.path().join("disk-sesparse.vmdk"));
    let entries = [0, se_allocated(1), se_allocated(2), 0x2000_0000_0000_0000, 0, se_allocated(0), 0, se_allocated(3)];
    fs::write(&text, descriptor("seSparse", "RW 64 SESPARSE \"disk-sesparse.vmdk\"", "")).unwrap();
    fs::write(&extent, se_sparse(64, &entries, 4)).unwrap();
    let Some(expected) = ChainReader::Dissect.bytes_of(&[&text]) else { return };

    assert!(read(&text) == expected);
}
