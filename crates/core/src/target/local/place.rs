//! The files of one local replica, and how their failures are told.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::private_folder::{PrivateFolder, Refused};
use crate::target::{SnapshotId, TargetError};

/// Where a replica and the things beside it live.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The replica itself; absolute.
    pub(super) replica: PathBuf,
    /// The folder beside it.
    pub(super) folder: PathBuf,
}

impl Place {
    /// Absolute, so that it stays the same place when the process changes its working directory.
    pub(super) fn new(given: &Path) -> Result<Self, TargetError> {
        let unusable = |problem: String| TargetError::Unusable { location: given.display().to_string(), problem };
        let replica = std::path::absolute(given).map_err(|error| unusable(error.to_string()))?;
        let name = replica.file_name().ok_or_else(|| unusable("it does not end in a file name".into()))?;
        let mut folder_name = OsString::from(name);
        folder_name.push(".libmigrate");
        let folder = replica.with_file_name(folder_name);
        Ok(Self { replica, folder })
    }

    pub(super) fn location(&self) -> String {
        self.replica.display().to_string()
    }

    /// Refuses a folder beside the replica that others can change: what lies in it is a server's disk, and
    /// is believed.
    pub(super) fn check_folder(&self, operation: &'static str) -> Result<(), TargetError> {
        match PrivateFolder::open(&self.folder) {
            Ok(_) => Ok(()),
            Err(Refused::Exposed { path, exposure }) => Err(TargetError::Unusable {
                location: path.display().to_string(),
                problem: format!("it {}", exposure.of(&path)),
            }),
            Err(Refused::Io { path, source }) => Err(io_error(operation, &path)(source)),
        }
    }

    /// The folder that holds the replica.
    pub(super) fn parent(&self) -> &Path {
        self.replica.parent().expect("a file in an absolute folder has a parent")
    }

    /// The replica while it is being created. It is renamed to its place as the last step of creation, so
    /// it exists only while creation runs or after creation was cut off.
    pub(super) fn unborn(&self) -> PathBuf {
        self.folder.join("unborn.vhd")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    pub(super) fn snapshot_bytes(&self, id: &SnapshotId) -> PathBuf {
        self.snapshots().join(format!("{id}.vhd"))
    }

    pub(super) fn snapshot_record(&self, id: &SnapshotId) -> PathBuf {
        self.snapshots().join(format!("{id}.json"))
    }

    pub(super) fn not_found(&self, operation: &'static str, reason: impl Into<String>) -> TargetError {
        TargetError::NotFound { operation, location: self.location(), reason: reason.into() }
    }

    pub(super) fn fenced(&self, operation: &'static str, reason: impl Into<String>) -> TargetError {
        TargetError::Fenced { operation, location: self.location(), reason: reason.into() }
    }

    pub(super) fn out_of_range(&self, operation: &'static str, range: String, limit: String) -> TargetError {
        TargetError::OutOfRange { operation, location: self.location(), range, limit }
    }
}

/// The file system's failure of `operation` on the file or folder `path`.
pub(super) fn io_error(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> TargetError {
    move |source| {
        let source = match source.kind() {
            kind @ (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                io::Error::new(kind, format!("the disk is full; free space there, then run again ({source})"))
            }
            _ => source,
        };
        TargetError::Io { operation, location: path.display().to_string(), source }
    }
}

/// What a file of ours that does not hold what we write there means: this place cannot be used.
pub(super) fn damaged(path: &Path, problem: impl std::fmt::Display) -> TargetError {
    TargetError::Unusable { location: path.display().to_string(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_in_plain_words() {
        let error = io_error("put pages", Path::new("/replicas/web01.vhd"))(io::Error::from_raw_os_error(28));
        let TargetError::Io { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert!(source.to_string().starts_with("the disk is full"), "{source}");
    }

    #[test]
    fn a_path_that_names_no_file_is_refused() {
        assert!(matches!(Place::new(Path::new("/tmp/..")).unwrap_err(), TargetError::Unusable { .. }));
        assert!(matches!(Place::new(Path::new("")).unwrap_err(), TargetError::Unusable { .. }));
    }

    #[test]
    fn a_relative_path_stays_where_it_was_given() {
        let place = Place::new(Path::new("web01.vhd")).unwrap();
        assert_eq!(place.replica, std::env::current_dir().unwrap().join("web01.vhd"));
        assert_eq!(place.folder, std::env::current_dir().unwrap().join("web01.vhd.libmigrate"));
    }
}
