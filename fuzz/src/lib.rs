//! What the fuzz targets of image formats share: what must hold for whatever opens.

use std::sync::Arc;

use libmigrate::source::{DiskSource, Format, Gate, ImageFile, OpenOptions};

/// The name under which an image may ask for one more image: itself.
///
/// A hostile image that names it finds a loop.
pub const ITSELF: &str = "image";

/// How many extents are looked at; a hostile table can make more than a fuzzer has time for.
const EXTENTS: usize = 4096;

/// Opens the image, which may ask for no file but itself. What opens describes itself without gaps and
/// reads as it describes.
pub fn try_image(format: Format, image: Vec<u8>) {
    try_image_among(format, image, &[]);
}

/// The same of an image that may also ask for these files, by name.
pub fn try_image_among(format: Format, image: Vec<u8>, others: &[(&str, Vec<u8>)]) {
    let file = ImageFile::new(Arc::new(image), ITSELF);
    let gate = others.iter().fold(Gate::closed().supply(ITSELF, file.clone()), |gate, (name, bytes)| {
        gate.supply(*name, ImageFile::new(Arc::new(bytes.clone()), *name))
    });
    if let Ok(disk) = OpenOptions::new().format(format).gate(gate).open_image(&file) {
        hold_to_its_extents(&*disk);
    }
}

/// Describes the disk without gaps and reads it as it describes itself.
pub fn hold_to_its_extents(disk: &dyn DiskSource) {
    let size = disk.size_bytes();
    let mut at = 0;
    let mut seen = 0;
    while at < size && seen < EXTENTS {
        // A table that is read on demand may turn out damaged only now.
        let Ok(found) = disk.extents(at..size, 16) else { return };
        assert!(!found.is_empty() && found.len() <= 16);
        for found in found {
            assert_eq!(found.extent.offset(), at);
            at = found.extent.end();
            seen += 1;
            for offset in [found.extent.offset(), at - 1] {
                let mut byte = [0xa5];
                if disk.read_at(offset, &mut byte).is_ok() {
                    assert!(!found.reads_as_zero || byte == [0]);
                } else {
                    assert!(!found.reads_as_zero, "zeros can be read");
                }
            }
        }
    }
    assert!(at == size || seen >= EXTENTS);
    _ = disk.point();
    _ = disk.notes();
}

/// What a server says until requests are served: an export of 1 MiB with structured replies, the allocation
/// context as number 1 and the dirty bitmap `b` as number 2.
pub fn nbd_handshake() -> Vec<u8> {
    let answer = |option: u32, kind: u32, data: &[u8]| {
        let head = [option.to_be_bytes(), kind.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
        [&0x0003_e889_0455_65a9u64.to_be_bytes()[..], &head, data].concat()
    };
    [
        b"NBDMAGICIHAVEOPT\0\x03".to_vec(),
        answer(8, 1, &[]),
        answer(10, 4, b"\0\0\0\x01base:allocation"),
        answer(10, 4, b"\0\0\0\x02qemu:dirty-bitmap:b"),
        answer(10, 1, &[]),
        answer(7, 3, &[&[0, 0][..], &(1u64 << 20).to_be_bytes(), &[0, 3]].concat()),
        answer(7, 1, &[]),
    ]
    .concat()
}
