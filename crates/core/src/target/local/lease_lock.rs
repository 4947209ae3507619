//! The lease of a local replica: an exclusive lock on the file `lock`.
//!
//! The lock belongs to the open file, so it keeps out other processes and other `LocalTarget`s of this one
//! alike, and it goes with the process however that ends. The file's text says who holds it; the text is
//! for people and for messages, the lock alone decides. The file is never removed: two processes could then
//! hold locks on two files of the same name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::durable_file;
use super::place::{Place, io_error};
use crate::target::{LeaseId, TargetError};

/// How often to try again after meeting somebody who only looked, which takes microseconds.
const ATTEMPTS: u32 = 1000;

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct LeaseLock {
    file: File,
}

impl LeaseLock {
    /// Takes the lock for `holder` (words for people), or says who has it.
    pub(super) fn acquire(place: &Place, holder: &str) -> Result<Self, TargetError> {
        let path = place.lock();
        let failed = io_error("acquire lease", &path);
        let file = open(&path).map_err(&failed)?;
        if !lock_exclusively(&file).map_err(&failed)? {
            return Err(TargetError::LeaseHeld { location: format!("{} ({})", place.location(), words(&path)) });
        }
        let mut lock = Self { file };
        lock.write(holder).map_err(&failed)?;
        Ok(lock)
    }

    /// Whether `lock` is still the file that others would try to lock.
    pub(super) fn is_in_place(&self, place: &Place) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        let named = durable_file::if_there(place.lock().metadata())?;
        Ok(named.is_some_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())))
    }

    fn write(&mut self, holder: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(holder.as_bytes())
    }
}

impl Drop for LeaseLock {
    fn drop(&mut self) {
        // Stale words would only mislead a reader.
        let _ = self.file.set_len(0);
        // Closing the file is not enough: a child process that is just being started has it open as well,
        // and with it the lock, until its own program runs.
        let _ = self.file.unlock();
    }
}

/// The words that name this process as the holder.
pub(super) fn holder(lease: LeaseId) -> String {
    format!("lease {lease}, process {}\n", std::process::id())
}

/// Whether somebody holds the lock now.
pub(super) fn is_held(place: &Place) -> io::Result<bool> {
    let Some(file) = durable_file::if_there(File::open(place.lock()))? else { return Ok(false) };
    match file.try_lock_shared() {
        // For the reason given at `drop`.
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who holds the lock now, in words.
pub(super) fn holder_now(place: &Place) -> io::Result<Option<String>> {
    Ok(is_held(place)?.then(|| words(&place.lock())))
}

/// What the holder wrote of itself.
fn words(path: &Path) -> String {
    let holder = durable_file::read_bounded(path, 4096).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&holder).trim().to_owned()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// False when somebody holds it. [`is_held`] looks with a shared lock, which must not be taken for a
/// holder's: a holder keeps the shared lock out as well, somebody who looks does not.
fn lock_exclusively(file: &File) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match file.try_lock_shared() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        std::thread::yield_now();
    }
    Ok(false)
}
