//! A record in a file: whole or absent, whatever happens, and its owner's alone. A lock beside it keeps two from going
//! on with one cutover at the same time.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::error::CutoverError;
use super::plan::MachinePlan;
use super::record::{Ledger, Record};
use crate::private_folder::{PrivateFolder, Refused};

/// The longest record that is read; one has some hundred bytes for each disk and interface.
const LONGEST: u64 = 1 << 20;

/// What is added to the name of a record that is being written.
const UNFINISHED: &str = ".new";

/// What is added to the name of a record for that of its lock. The record itself is replaced each time.
const LOCK: &str = ".lock";

/// Keeps the record of one cutover in a file of that path. Blocks for as long as it is written.
#[derive(Debug)]
pub struct RecordFile {
    folder: PrivateFolder,
    path: PathBuf,
    name: OsString,
    unfinished: OsString,
    _lock: File,
}

impl RecordFile {
    /// Opens the folder of `path`, which is made if it is not there, and keeps others from the record until this is
    /// dropped. Blocks, but not for them.
    ///
    /// # Errors
    ///
    /// [`CutoverError::RecordInUse`] while somebody else has it; [`CutoverError::Record`], also for a folder that others
    /// may write to.
    pub fn open(path: &Path) -> Result<Self, CutoverError> {
        let around = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let no_file = || CutoverError::Record { reason: format!("{} is no path of a file", path.display()) };
        let name = path.file_name().ok_or_else(no_file)?.to_owned();
        let folder = PrivateFolder::open_or_create(around).map_err(refused)?;
        let with = |more: &str| {
            let mut name = name.clone();
            name.push(more);
            name
        };
        let (unfinished, lock) = (with(UNFINISHED), folder.open_or_create_file(&with(LOCK)).map_err(refused)?);
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, path: path.into(), name, unfinished, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(CutoverError::RecordInUse { path: path.into() }),
            Err(TryLockError::Error(error)) => Err(CutoverError::Record { reason: error.to_string() }),
        }
    }

    /// What was kept; the record of a cutover that has not begun where nothing was. Blocks.
    ///
    /// # Errors
    ///
    /// [`CutoverError::Record`] if the file cannot be read, or others may write to it;
    /// [`CutoverError::RecordDamaged`] if it holds no record.
    pub fn read(&self, plan: &MachinePlan) -> Result<Record, CutoverError> {
        let Some(file) = self.folder.open_file(&self.name).map_err(refused)? else { return Ok(Record::new(plan)) };
        let mut bytes = Vec::new();
        let length = file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| self.failed(&error))?;
        if length as u64 > LONGEST {
            return Err(self.failed(&io::ErrorKind::FileTooLarge.into()));
        }
        // The error's own words may show a part of a signed URL.
        serde_json::from_slice(&bytes).map_err(|error| {
            let (path, line, column) = (self.path.clone(), error.line(), error.column());
            CutoverError::RecordDamaged { path, line, column }
        })
    }

    fn write(&self, name: &OsStr, record: &Record) -> io::Result<()> {
        // Left by one that was killed.
        self.folder.remove_file(name)?;
        let mut file = self.folder.create_file(name).map_err(|refused| io::Error::other(reason(refused)))?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()
    }

    fn failed(&self, error: &io::Error) -> CutoverError {
        CutoverError::Record { reason: format!("{}: {error}", self.path.display()) }
    }
}

impl Ledger for RecordFile {
    fn keep(&self, record: &Record) -> io::Result<()> {
        self.write(&self.unfinished, record)?;
        self.folder.rename(&self.unfinished, &self.name)
    }
}

fn refused(refused: Refused) -> CutoverError {
    CutoverError::Record { reason: reason(refused) }
}

fn reason(refused: Refused) -> String {
    match refused {
        Refused::Exposed { path, exposure } => format!("{} {}", path.display(), exposure.of(&path)),
        Refused::Io { path, source } => format!("{}: {source}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::wanted;
    use super::*;
    use crate::error::Diagnose;

    #[test]
    fn what_is_kept_is_read_again_and_a_half_written_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = (folder.path().join("of/web01.json"), wanted().production());
        let file = RecordFile::open(&path).unwrap();
        assert_eq!(file.read(&plan).unwrap(), Record::new(&plan));
        let mut complete = Record::new(&plan);
        complete.is_complete = true;
        fs::write(path.with_extension("json.new"), "{").unwrap();
        assert_eq!(file.read(&plan).unwrap(), Record::new(&plan), "the one before it was killed");
        file.keep(&complete).unwrap();
        assert_eq!(RecordFile::open(&path).unwrap_err().code(), "cutover.record_in_use");
        drop(file);
        assert_eq!(RecordFile::open(&path).unwrap().read(&plan).unwrap(), complete);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "and its lock");
    }

    #[test]
    fn what_is_no_record_or_not_ours_alone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = (folder.path().join("web01.json"), wanted().production());
        let file = RecordFile::open(&path).unwrap();
        let code = || file.read(&plan).unwrap_err().code();
        for damaged in ["", "{}", r#"{"cutover": 1}"#] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(code(), "cutover.record_damaged", "{damaged}");
        }
        fs::write(&path, vec![b' '; LONGEST as usize + 1]).unwrap();
        assert_eq!(code(), "cutover.record");
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(code(), "cutover.record");
        assert_eq!(RecordFile::open(Path::new("/")).unwrap_err().code(), "cutover.record");
    }
}
