//! OVA archives: a disk among other members, or several, or none.

use std::fs;
use std::sync::Arc;

use libmigrate::source::{self, DiskSource, Format, ImageFile, OpenOptions, SourceError};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::contract::assert_keeps_contract;
use crate::image::{self, refusal};
use crate::vmdk_image::{GRAIN, child_descriptor, sparse_extent, stream};

const OVF: &[u8] = b"<?xml version=\"1.0\"?><Envelope/>";

/// An archive of these members, their names as they are, even if no tar would write them.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn machine() -> Vec<u8> {
    archive(&[("web.ovf", OVF), ("web.mf", b"SHA256"), ("web-disk1.vmdk", &disk())])
}

fn disk() -> Vec<u8> {
    stream(6 * GRAIN, &[1, 2, 4])
}

fn open(archive: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    image::open_bytes(Format::Ova, archive)
}

fn open_member(archive: Vec<u8>, name: &str) -> Result<Arc<dyn DiskSource>, SourceError> {
    OpenOptions::new().member(name).open_image(&ImageFile::new(Arc::new(archive), "web.ova"))
}

fn alone() -> Vec<u8> {
    assert_keeps_contract(&*image::open_bytes(Format::Vmdk, disk()).unwrap())
}

#[test]
fn the_disk_in_an_ova_reads_as_it_does_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.ova");
    fs::write(&path, machine()).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();

    let source = source::open(&path, Format::Detect).unwrap();

    assert!(assert_keeps_contract(&*source) == alone());
    assert!(source.point().unwrap().starts_with(&source::RawSource::open(&path).unwrap().point().unwrap()));
    assert!(fs::read(&path).unwrap() == machine() && fs::metadata(&path).unwrap().modified().unwrap() == before);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is extracted");
}

#[test]
fn an_ova_in_the_oldest_kind_of_tar_is_one_too() {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in [("web.ovf", OVF), ("web.vmdk", &disk())] {
        let mut header = Header::new_old();
        header.set_path(name).unwrap();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }

    let source = image::open_bytes(Format::Detect, builder.into_inner().unwrap()).unwrap();

    assert!(assert_keeps_contract(&*source) == alone());
}

#[test]
fn one_of_several_disks_has_to_be_named() {
    let other = stream(GRAIN, &[0]);
    let two = archive(&[("web.ovf", OVF), ("a.vmdk", &other), ("b.vmdk", &disk())]);

    let error = refusal(open(two.clone()));

    assert!(matches!(&error, SourceError::Member { disks, .. } if disks == &["a.vmdk", "b.vmdk"]), "{error:?}");
    assert!(assert_keeps_contract(&*open_member(two.clone(), "b.vmdk").unwrap()) == alone());
    assert_eq!(open_member(two.clone(), "./a.vmdk").unwrap().size_bytes(), GRAIN);
    let error = refusal(open_member(two, "c.vmdk")).to_string();
    assert!(error.contains("[a.vmdk, b.vmdk]") && error.contains("no \"c.vmdk\""), "{error}");
}

#[test]
fn two_disks_of_one_ova_are_never_taken_for_each_other() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.ova");
    fs::write(&path, archive(&[("web.ovf", OVF), ("a.vmdk", &disk()), ("b.vmdk", &disk())])).unwrap();

    let [a, b] = ["a.vmdk", "b.vmdk"].map(|name| OpenOptions::new().member(name).open(&path).unwrap());

    assert!(a.point().is_some() && a.point() != b.point());
}

#[test]
fn an_ova_without_a_disk_is_refused() {
    let error = refusal(open(archive(&[("web.ovf", OVF), ("setup.iso", &[0; 600])])));

    assert!(matches!(error, SourceError::Member { .. }), "{error:?}");
}

#[test]
fn an_ova_whose_description_comes_last_is_one_too() {
    let image = archive(&[("web-disk1.vmdk", &disk()), ("web.ovf", OVF)]);

    assert!(assert_keeps_contract(&*image::open_bytes(Format::Detect, image).unwrap()) == alone());
}

#[test]
fn a_tar_without_a_description_is_no_ova() {
    let plain = archive(&[("web-disk1.vmdk", &disk())]);

    let source = image::open_bytes(Format::Detect, plain.clone()).unwrap();

    assert_eq!(source.size_bytes(), plain.len() as u64, "a raw disk");
}

#[test]
fn a_disk_in_chunks_is_refused_in_words() {
    let [one, two] = ["web.vmdk.000000000", "web.vmdk.000000001"];
    let image = archive(&[("web.ovf", OVF), (one, &disk()[..4096]), (two, &disk()[4096..])]);

    let error = refusal(open(image));

    assert!(matches!(&error, SourceError::Unsupported { feature, .. } if feature.contains("chunks")), "{error:?}");
}

#[test]
fn an_ova_that_was_cut_is_refused() {
    let whole = machine();
    for len in [whole.len() / 2, whole.len() - 1024 - 512, 700] {
        let error = refusal(open(whole[..len].to_vec()));
        assert!(matches!(error, SourceError::Damaged { .. } | SourceError::Member { .. }), "{len}: {error:?}");
    }
}

#[test]
fn a_damaged_tar_header_is_refused() {
    let mut image = machine();
    image[1024 + 10] ^= 1;

    let error = refusal(open(image));

    assert!(matches!(error, SourceError::Damaged { format: "OVA", .. }), "{error:?}");
}

#[test]
fn a_gzipped_disk_is_refused_in_words() {
    for name in ["web-disk1.vmdk.gz", "web-disk1.vmdk"] {
        let image = archive(&[("web.ovf", OVF), (name, b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0")]);

        let error = refusal(open(image));

        assert!(matches!(&error, SourceError::Unsupported { feature, .. } if feature.contains("gunzip")), "{error:?}");
    }
}

#[test]
fn names_that_lead_elsewhere_lead_nowhere() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.ova");
    for name in ["../../escape.vmdk", "/etc/escape.vmdk", "a\\..\\escape.vmdk"] {
        fs::write(&path, archive(&[("web.ovf", OVF), (name, &disk())])).unwrap();

        let source = source::open(&path, Format::Ova).unwrap();

        assert!(assert_keeps_contract(&*source) == alone(), "{name}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}

#[test]
fn a_disk_in_an_ova_gets_no_file_from_beside_the_archive() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.ova");
    let child = sparse_extent(GRAIN, &[], Some(&child_descriptor("RW 16 SPARSE \"x\"", "12345678", "base.vmdk")));
    fs::write(folder.path().join("base.vmdk"), crate::vmdk_image::sparse(GRAIN, &[0])).unwrap();
    for name in ["child.vmdk", "../child.vmdk", ".."] {
        fs::write(&path, archive(&[("web.ovf", OVF), (name, &child)])).unwrap();

        let opened = OpenOptions::new().format(Format::Ova).member(name).open(&path);

        let error = refusal(opened);
        assert!(matches!(error, SourceError::Open { .. } | SourceError::NotAllowed { .. }), "{name}: {error:?}");
    }
}

#[test]
fn a_sparse_member_is_refused() {
    let mut builder = Builder::new(archive(&[("web.ovf", OVF)])[..1024].to_vec());
    let mut header = Header::new_gnu();
    header.set_path("web.vmdk").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &[][..]).unwrap();

    let error = refusal(open(builder.into_inner().unwrap()));

    assert!(matches!(error, SourceError::Unsupported { .. } | SourceError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_name_without_end_is_not_held_in_memory() {
    let mut builder = Builder::new(archive(&[("web.ovf", OVF)])[..1024].to_vec());
    let name = vec![b'a'; 6 << 20];
    let mut header = Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(name.len() as u64);
    header.set_cksum();
    builder.append(&header, name.as_slice()).unwrap();

    let error = refusal(open(builder.into_inner().unwrap()));

    assert!(matches!(&error, SourceError::Damaged { problem, .. } if problem.contains("headers")), "{error:?}");
}
