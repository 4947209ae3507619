//! The file that a checkpoint is kept in: in a private folder of this machine, or lent by a simulation.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError};

use super::{CACHE_BYTES, CheckpointError, io_error, open_error};
use crate::private_folder::PrivateFolder;

/// Opens the database at `path`; `None` when there is no file.
pub(super) fn open(path: &Path) -> Result<Option<Database>, CheckpointError> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        let Some(len) = machines.file_len(path).map_err(|e| io_error(path, e))? else { return Ok(None) };
        return if len == 0 { Err(empty(path)) } else { lent(&*machines, path).map(Some) };
    }
    let (folder, name) = folder_and_name(path);
    let Some(folder) = PrivateFolder::open(folder)? else { return Ok(None) };
    let Some(file) = folder.open_file(name)? else { return Ok(None) };
    if file.metadata().map_err(|source| io_error(path, source))?.len() == 0 {
        return Err(empty(path));
    }
    on_file(file).map_err(|e| open_error(path, e)).map(Some)
}

/// Makes a database that appears at `path` once `fill` has made it whole.
pub(super) fn create<T>(
    path: &Path,
    fill: impl FnOnce(Database) -> Result<T, CheckpointError>,
) -> Result<T, CheckpointError> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        let unfinished = path.with_extension("unfinished");
        machines.create_file(&unfinished).map_err(|e| io_error(path, e))?;
        let filled = fill(lent(&*machines, &unfinished)?)?;
        machines.rename_file(&unfinished, path).map_err(|e| io_error(path, e))?;
        return Ok(filled);
    }
    let (folder, name) = folder_and_name(path);
    let folder = PrivateFolder::open_or_create(folder)?;
    let unfinished = Path::new(name).with_extension("unfinished");
    folder.remove_file(unfinished.as_os_str()).map_err(|e| io_error(path, e))?;
    let file = folder.create_file(unfinished.as_os_str())?;
    let filled = fill(on_file(file).map_err(|e| open_error(path, e))?)?;
    folder.rename(unfinished.as_os_str(), name).map_err(|e| io_error(path, e))?;
    Ok(filled)
}

/// A path without a folder is in the working directory.
pub(super) fn folder_and_name(path: &Path) -> (&Path, &OsStr) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (folder, path.file_name().unwrap_or_default())
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // Damage is found at the door, as an error; redb promises that no later read of a checked file panics.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn on_file(file: File) -> Result<Database, DatabaseError> {
    builder().create_with_backend(FileBackend::new(file)?)
}

fn empty(path: &Path) -> CheckpointError {
    CheckpointError::Damaged { path: path.into(), problem: "the file is empty".into() }
}

#[cfg(feature = "simulation")]
fn lent(machines: &dyn crate::simulation::Machines, path: &Path) -> Result<Database, CheckpointError> {
    let file = machines.open_file(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => CheckpointError::InUse { path: path.into() },
        _ => io_error(path, e),
    })?;
    builder().create_with_backend(crate::simulation::LentFile(file)).map_err(|e| open_error(path, e))
}
