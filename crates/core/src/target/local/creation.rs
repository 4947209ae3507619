//! How a replica comes to be, and how one is told from a stranger's file.
//!
//! The replica is there when both its file and `state.json` are. Creation prepares both in the folder and
//! moves the file to its place last, so one that was cut off left nothing at that place and is begun anew.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::durable_file;
use super::home::Home;
use super::lease_lock::LeaseLock;
use super::place::io_error;
use super::state_file::TargetRecord;
use crate::target::{Metadata, TargetError};

impl Home {
    pub(super) fn create(&self, len: u64, metadata: Metadata) -> Result<(), TargetError> {
        const OPERATION: &str = "create";
        let place = &self.place;
        self.check_len(OPERATION, len)?;
        self.check_vacant(OPERATION)?;
        let parent = place.parent();
        durable_file::create_parents(parent).map_err(io_error(OPERATION, parent))?;
        for folder in [&place.folder, &place.snapshots(), &place.objects()] {
            durable_file::create_folder(folder).map_err(io_error(OPERATION, folder))?;
        }
        place.check_folder(OPERATION)?;
        let _one_creator = LeaseLock::acquire(place, &format!("being created by process {}\n", std::process::id()))?;
        self.check_vacant(OPERATION)?;

        let unborn = place.unborn();
        // What creation left when it was cut off.
        durable_file::remove(&place.state()).map_err(io_error(OPERATION, &place.state()))?;
        durable_file::remove(&unborn)
            .and_then(|_| durable_file::create_new(&unborn))
            .and_then(|file| {
                file.set_len(len)?;
                file.sync_all()
            })
            .map_err(io_error(OPERATION, &unborn))?;
        TargetRecord::new(metadata).store(place, OPERATION)?;
        rename_unless_there(&unborn, &place.replica)
            .and_then(|()| durable_file::sync_folder_of(&place.replica))
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => TargetError::AlreadyExists { location: place.location() },
                _ => io_error(OPERATION, &place.replica)(error),
            })
    }

    /// The length of the replica; `None` when nothing is there, or creation was cut off.
    pub(super) fn replica_len(&self, operation: &'static str) -> Result<Option<u64>, TargetError> {
        let place = &self.place;
        // Looked at first: a creation that ends between the two looks is then seen as ended.
        let lost_its_file = self.has_lost_its_file();
        let found = durable_file::if_there(fs::symlink_metadata(&place.replica))
            .map_err(io_error(operation, &place.replica))?;
        let Some(found) = found else {
            return if lost_its_file { Err(self.lost_file()) } else { Ok(None) };
        };
        if !found.is_file() {
            let kind = match found.file_type() {
                kind if kind.is_dir() => "folder",
                kind if kind.is_symlink() => "symbolic link",
                _ => "device or other special file",
            };
            return Err(TargetError::WrongKind { location: place.location(), found: kind.into() });
        }
        Ok(Some(found.len()))
    }

    /// The record of the replica whose file is there.
    pub(super) fn record(&self, operation: &'static str) -> Result<TargetRecord, TargetError> {
        TargetRecord::load(&self.place, operation)?.ok_or_else(|| TargetError::Unusable {
            location: self.place.location(),
            problem: format!(
                "a file is there that libmigrate did not make ({} does not exist); move it away or choose another path",
                self.place.state().display()
            ),
        })
    }

    fn check_vacant(&self, operation: &'static str) -> Result<(), TargetError> {
        let place = &self.place;
        let found = durable_file::if_there(fs::symlink_metadata(&place.replica));
        if found.map_err(io_error(operation, &place.replica))?.is_some() {
            return Err(TargetError::AlreadyExists { location: place.location() });
        }
        if self.has_lost_its_file() { Err(self.lost_file()) } else { Ok(()) }
    }

    /// Whether there is a state without a replica, and not because creation was cut off.
    fn has_lost_its_file(&self) -> bool {
        self.place.state().exists() && !self.place.unborn().exists()
    }

    fn lost_file(&self) -> TargetError {
        TargetError::Unusable {
            location: self.place.location(),
            problem: format!(
                "the file is gone, but its state and snapshots are still in {}; put the file back, or remove that folder",
                self.place.folder.display()
            ),
        }
    }
}

fn rename_unless_there(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems cannot promise it. The lock keeps our own kind out, and the caller has
        // looked for others.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}
