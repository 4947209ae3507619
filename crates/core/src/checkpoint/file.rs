//! The file that a checkpoint is kept in: on the machine's file system, or lent by a simulation.

use std::fs;
use std::io;
use std::path::Path;

use redb::{Database, DatabaseError};

use super::CACHE_BYTES;

/// Length of the file; `None` when there is none.
pub(super) fn len(path: &Path) -> io::Result<Option<u64>> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        return machines.file_len(path);
    }
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Opens the database in an existing file.
pub(super) fn open(path: &Path) -> Result<Database, DatabaseError> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        return lent(&*machines, path);
    }
    builder().open(path)
}

/// Makes an empty database in a new file, in place of one that is there, and the folder if it is missing.
pub(super) fn create(path: &Path) -> Result<Database, DatabaseError> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        machines.create_file(path)?;
        return lent(&*machines, path);
    }
    fs::create_dir_all(folder_of(path))?;
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    builder().create(path)
}

/// Gives the file its name, durably.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        return machines.rename_file(from, to);
    }
    fs::rename(from, to)?;
    fs::File::open(folder_of(to))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // Damage is found at the door, as an error; redb promises that no later read of a checked file panics.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

#[cfg(feature = "simulation")]
fn lent(machines: &dyn crate::simulation::Machines, path: &Path) -> Result<Database, DatabaseError> {
    let file = machines.open_file(path).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => DatabaseError::DatabaseAlreadyOpen,
        _ => DatabaseError::from(e),
    })?;
    builder().create_with_backend(crate::simulation::LentFile(file))
}
