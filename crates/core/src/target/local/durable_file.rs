//! Small files that are replaced whole or not at all, also by a power loss.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Names that end so are leftovers unless their writer still runs.
pub(crate) const UNFINISHED: &str = ".tmp";

/// Replicas hold what the servers' disks hold: only their owner may read them.
const OWNER_ONLY: u32 = 0o600;

/// Writes `bytes` to `path`: to a new file beside it, fsync, rename over it, fsync of the folder.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    // Two writers of one name must not share an unfinished file.
    unfinished.push(format!(".{:016x}{UNFINISHED}", fastrand::u64(..)));
    let unfinished = Path::new(&unfinished);
    let written = create_new(unfinished)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(unfinished, path));
    if let Err(error) = written {
        // It is a leftover now; if it cannot be removed, the next holder of the lease does.
        let _ = fs::remove_file(unfinished);
        return Err(error);
    }
    sync_folder_of(path)
}

/// A new, empty file that only its owner can open.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(OWNER_ONLY).open(path)
}

/// Creates the folder unless it is there.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates the folder that a replica goes to, and those above it, unless they are there. It may hold other
/// things of the user's, so its permissions are the usual ones.
pub(super) fn create_parents(folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.is_dir()).count();
    fs::create_dir_all(folder)?;
    folder.ancestors().take(missing).try_for_each(sync_folder_of)
}

/// Makes the names in the folder of `path` survive a power loss.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// The bytes of `path` if there are at most `max_len`; `None` when it is not there.
pub(super) fn read_bounded(path: &Path, max_len: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = if_there(File::open(path))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(max_len.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_len {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it holds more than the {max_len} bytes expected"),
        ));
    }
    Ok(Some(bytes))
}

/// Removes a file; one that is gone is no error. Says whether it was there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    if_there(fs::remove_file(path)).map(|removed| removed.is_some())
}

/// The names in a folder that are UTF-8 (ours all are), in order; none when there is no folder.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = if_there(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Turns "not found" into `None`.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
