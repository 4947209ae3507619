//! The files that one image consists of, while they are opened one after the other.
//!
//! A chain of snapshots is as long as somebody took snapshots, and a hostile one as long as it likes, or a
//! loop. Both ends here: at most [`MAX_FILES`], and no file twice.

use std::io;
use std::path::PathBuf;

use super::gate::shortened;
use super::{Gate, ImageFile, SourceError};

/// Far above what hypervisors allow (`VMware`: 32 snapshots, Hyper-V: 50 checkpoints), and what one chain may
/// hold of file descriptors. A split image counts each of its extents.
const MAX_FILES: usize = 256;

/// How deep parents may go.
const MAX_DEPTH: usize = 64;

/// Opens the files of one image: through the gate, none twice, not too many.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    gate: &'a Gate,
    opened: Vec<PathBuf>,
    depth: usize,
}

impl<'a> Chain<'a> {
    /// A chain that starts at the image `first`.
    pub(super) fn new(gate: &'a Gate, first: &ImageFile) -> Self {
        Self { gate, opened: vec![identity(first)], depth: 0 }
    }

    /// Opens a further file of `image` (an extent, a data file), which calls it `stated`.
    pub(super) fn extent(&mut self, image: &ImageFile, stated: &str) -> Result<ImageFile, SourceError> {
        self.step(image, stated)
    }

    /// Opens the parent of `image`: the first of `candidates` that is there, may be opened, and is the one
    /// that the image was made from. `read` tells that by [`SourceError::ParentMismatch`].
    ///
    /// Where none is, the error is the one that helps most: what was found and is wrong, then what may not
    /// be opened, then where nothing was found.
    pub(super) fn parent<T>(
        &mut self,
        image: &ImageFile,
        candidates: &[String],
        mut read: impl FnMut(ImageFile) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        if self.depth >= MAX_DEPTH {
            return Err(Self::broken(image, format!("it has more than {MAX_DEPTH} parents")));
        }
        let mut mismatch = None;
        let mut refusal = None;
        let mut missing = Vec::new();
        for stated in candidates {
            let known = self.opened.len();
            match self.step(image, stated).and_then(&mut read) {
                Ok(parent) => {
                    self.depth += 1;
                    return Ok(parent);
                }
                Err(error @ SourceError::ParentMismatch { .. }) => {
                    self.opened.truncate(known);
                    mismatch.get_or_insert(error);
                }
                Err(error @ SourceError::NotAllowed { .. }) => {
                    refusal.get_or_insert(error);
                }
                Err(SourceError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    missing.push(format!("{:?} is not there", shortened(stated)));
                }
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            missing.push("it names none".into());
        }
        let missing = || SourceError::ParentMissing { path: image.path().to_path_buf(), problem: missing.join(", ") };
        Err(mismatch.or(refusal).unwrap_or_else(missing))
    }

    fn step(&mut self, image: &ImageFile, stated: &str) -> Result<ImageFile, SourceError> {
        if self.opened.len() >= MAX_FILES {
            return Err(Self::broken(image, format!("it consists of more than {MAX_FILES} files")));
        }
        let file = self.gate.open(image.path(), stated)?;
        let identity = identity(&file);
        if self.opened.contains(&identity) {
            let again = format!("it comes back to {}, which it already stands on", file.path().display());
            return Err(Self::broken(image, again));
        }
        self.opened.push(identity);
        Ok(file)
    }

    fn broken(image: &ImageFile, problem: String) -> SourceError {
        SourceError::Chain { path: image.path().to_path_buf(), problem }
    }
}

/// The file itself, whatever it was called on the way.
fn identity(file: &ImageFile) -> PathBuf {
    file.path().canonicalize().unwrap_or_else(|_| file.path().to_path_buf())
}
