//! Images of tests: in memory, or beside each other in a folder.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libmigrate::source::{DiskSource, Format, Gate, ImageFile, OpenOptions, SourceError};

/// Opens an image whose bytes are in memory.
pub(crate) fn open_bytes(format: Format, image: Vec<u8>) -> Result<Arc<dyn DiskSource>, SourceError> {
    OpenOptions::new().format(format).open_image(&ImageFile::new(Arc::new(image), "image"))
}

/// Opens an image that may have further files, all in memory, by the names that images give them.
pub(crate) fn open_among(
    format: Format,
    image: Vec<u8>,
    others: &[(&str, Vec<u8>)],
) -> Result<Arc<dyn DiskSource>, SourceError> {
    let gate = others
        .iter()
        .fold(Gate::closed(), |gate, (name, bytes)| gate.supply(*name, ImageFile::new(Arc::new(bytes.clone()), *name)));
    OpenOptions::new().format(format).gate(gate).open_image(&ImageFile::new(Arc::new(image), "image"))
}

/// The error of an opening that must fail.
#[track_caller]
pub(crate) fn refusal(opened: Result<Arc<dyn DiskSource>, SourceError>) -> SourceError {
    match opened {
        Ok(_) => panic!("a refusal was expected"),
        Err(error) => error,
    }
}

/// A sparse raw disk of `size` bytes with data at its start, off any block's edge, and at its end.
pub(crate) fn sample_disk(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    let mut random = fastrand::Rng::with_seed(size);
    for (offset, len) in [(0, 70_000), (size / 2 + 777, 3 << 20), (size - 5000, 5000)] {
        let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        file.write_all_at(&bytes, offset).unwrap();
    }
    path
}
