//! What is known of the steps of a plan that are being done: a file of JSON lines that only grows.
//!
//! ```text
//! {"record":"plan","version":1,"digest":"…"}          whose journal it is; the first line
//! {"record":"begun","step":"…","job_before":"…"}      a request of the step is about to be sent
//! {"record":"tracking","step":"…","tracking":{…}}     it was accepted, and goes on
//! {"record":"done","step":"…"}                        what it wants is there
//! {"record":"failed","step":"…","code":"…"}           it came to nothing: the next time it is begun anew
//! ```
//!
//! Each line is on the disk before what it speaks of can happen, so that whoever comes after a crash knows of every
//! request that may have been sent. A last line without its end was not; it is cut off. Anything else that cannot be
//! read is an error: a journal with a hole could hide a request. A lock keeps two from going on at the same time, and
//! the file is its owner's alone, as the URLs in it may be signed.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::ApplyError;
use crate::control::arm::Tracking;
use crate::control::plan::StepId;
use crate::private_folder::{PrivateFolder, Refused};

const VERSION: u32 = 1;

/// The longest journal that is read: a plan's has a few hundred bytes for each step.
const LONGEST: u64 = 64 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(super) enum Record {
    Plan {
        version: u32,
        digest: String,
    },
    Begun {
        step: StepId,
        /// The job that the item had last; empty where it had none. Only of steps that ask for something: by it,
        /// who comes later sees whether the service has taken the request up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job_before: Option<String>,
    },
    Tracking {
        step: StepId,
        tracking: Tracking,
    },
    Done {
        step: StepId,
    },
    Failed {
        step: StepId,
        code: String,
    },
}

/// Where a step is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Standing {
    /// Nothing was sent, or nothing came of it.
    #[default]
    New,
    /// A request may have been sent; where it was accepted, what is needed to wait for its end.
    Begun { job_before: Option<String>, tracking: Option<Box<Tracking>> },
    /// What it wants is there.
    Done,
}

type Standings = BTreeMap<StepId, Standing>;

/// What is wrong with a journal.
#[derive(Debug, PartialEq)]
pub(super) enum Unreadable {
    /// This line cannot be read; the first is 1.
    Line(usize),
    /// It is the journal of the plan with this digest.
    OtherPlan(String),
}

/// An open journal, which nobody else has open.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<File>,
    path: PathBuf,
    standings: Standings,
}

impl Journal {
    /// Opens the journal of the plan with that digest; begins it where there is none. Blocks.
    pub(super) fn open(path: &Path, digest: &str) -> Result<Self, ApplyError> {
        let failed = |source: io::Error| ApplyError::JournalIo { path: path.into(), source };
        let around = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let folder = PrivateFolder::open_or_create(around).map_err(refused)?;
        let mut file = folder.open_or_create_file(name).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ApplyError::JournalInUse { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut bytes = Vec::new();
        let length = Read::by_ref(&mut file).take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if length as u64 > LONGEST {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let (standings, whole) = read(&bytes, digest).map_err(|problem| match problem {
            Unreadable::Line(line) => ApplyError::JournalDamaged { path: path.into(), line },
            Unreadable::OtherPlan(found) => {
                ApplyError::OtherPlan { path: path.into(), found, wanted: digest.to_owned() }
            }
        })?;
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::Start(whole as u64))).map_err(failed)?;
        let journal = Self { file: Arc::new(file), path: path.into(), standings };
        if whole == 0 {
            write(&journal.file, &Record::Plan { version: VERSION, digest: digest.to_owned() }).map_err(failed)?;
            // The name is to survive a crash as the lines do.
            folder.sync().map_err(failed)?;
        }
        Ok(journal)
    }

    pub(super) fn standing(&self, step: &StepId) -> Standing {
        self.standings.get(step).cloned().unwrap_or_default()
    }

    /// Writes a line, and comes back when it is on the disk. After an error the journal must not be written to any
    /// more.
    pub(super) async fn append(&mut self, record: Record) -> Result<(), ApplyError> {
        let file = Arc::clone(&self.file);
        let kept = record.clone();
        let written = tokio::task::spawn_blocking(move || write(&file, &record)).await;
        let written = written.unwrap_or_else(|ended| Err(io::Error::other(ended)));
        written.map_err(|source| ApplyError::JournalIo { path: self.path.clone(), source })?;
        take(&mut self.standings, kept);
        Ok(())
    }
}

fn refused(refused: Refused) -> ApplyError {
    match refused {
        Refused::Exposed { path, exposure } => ApplyError::JournalExposed { path, exposure },
        Refused::Io { path, source } => ApplyError::JournalIo { path, source },
    }
}

fn write(mut file: &File, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}

/// Where each step is, and how many bytes of the journal are whole lines.
fn read(bytes: &[u8], digest: &str) -> Result<(Standings, usize), Unreadable> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut standings = Standings::new();
    for (line, number) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').zip(1..) {
        let record = serde_json::from_slice(line).map_err(|_| Unreadable::Line(number))?;
        match record {
            Record::Plan { digest: found, .. } if number == 1 && found != digest => {
                return Err(Unreadable::OtherPlan(found));
            }
            Record::Plan { version: VERSION, .. } if number == 1 => {}
            Record::Plan { .. } => return Err(Unreadable::Line(number)),
            _ if number == 1 => return Err(Unreadable::Line(number)),
            record => take(&mut standings, record),
        }
    }
    Ok((standings, whole))
}

fn take(standings: &mut Standings, record: Record) {
    match record {
        Record::Plan { .. } => {}
        Record::Begun { step, job_before } => {
            standings.insert(step, Standing::Begun { job_before, tracking: None });
        }
        Record::Tracking { step, tracking } => {
            let standing = standings.entry(step).or_default();
            let before = match standing {
                Standing::Begun { job_before, .. } => job_before.take(),
                Standing::New | Standing::Done => None,
            };
            *standing = Standing::Begun { job_before: before, tracking: Some(Box::new(tracking)) };
        }
        Record::Done { step } => {
            standings.insert(step, Standing::Done);
        }
        Record::Failed { step, .. } => {
            standings.insert(step, Standing::New);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    fn begun(step: &str) -> Record {
        Record::Begun { step: step.into(), job_before: Some("7".into()) }
    }

    fn lines(records: &[Record]) -> Vec<u8> {
        let line = |record: &Record| serde_json::to_string(record).unwrap() + "\n";
        records.iter().map(line).collect::<String>().into_bytes()
    }

    fn header() -> Record {
        Record::Plan { version: VERSION, digest: "d".into() }
    }

    #[tokio::test]
    async fn what_was_written_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/plan.journal");
        let mut journal = Journal::open(&path, "d").unwrap();
        journal.append(begun("a")).await.unwrap();
        journal.append(begun("b")).await.unwrap();
        journal.append(Record::Done { step: "b".into() }).await.unwrap();
        journal.append(Record::Failed { step: "c".into(), code: "x".into() }).await.unwrap();
        drop(journal);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        let journal = Journal::open(&path, "d").unwrap();
        assert_eq!(journal.standing(&"a".into()), Standing::Begun { job_before: Some("7".into()), tracking: None });
        assert_eq!(journal.standing(&"b".into()), Standing::Done);
        assert_eq!(journal.standing(&"c".into()), Standing::New);
    }

    #[tokio::test]
    async fn a_last_line_without_its_end_is_cut_off_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut journal = Journal::open(&path, "d").unwrap();
        journal.append(begun("a")).await.unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], br#"{"record":"done","step":"a"}"#].concat()).unwrap();

        let mut journal = Journal::open(&path, "d").unwrap();
        assert_ne!(journal.standing(&"a".into()), Standing::Done);
        journal.append(Record::Done { step: "a".into() }).await.unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path, "d").unwrap().standing(&"a".into()), Standing::Done);
    }

    #[test]
    fn only_one_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let first = Journal::open(&path, "d").unwrap();
        assert!(matches!(Journal::open(&path, "d"), Err(ApplyError::JournalInUse { .. })));
        drop(first);
        assert!(Journal::open(&path, "d").is_ok());
    }

    #[test]
    fn the_journal_of_another_plan_is_refused() {
        let found = read(&lines(&[header()]), "other").unwrap_err();
        assert_eq!(found, Unreadable::OtherPlan("d".into()));
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let good = lines(&[header(), begun("a")]);
        assert_eq!(read(&[&good[..], b"garbage\n", &lines(&[begun("b")])].concat(), "d"), Err(Unreadable::Line(3)));
        assert_eq!(read(&lines(&[begun("a")]), "d"), Err(Unreadable::Line(1)), "no header");
        assert_eq!(read(&lines(&[header(), header()]), "d"), Err(Unreadable::Line(2)), "a second header");
        let later = Record::Plan { version: VERSION + 1, digest: "d".into() };
        assert_eq!(read(&lines(&[later]), "d"), Err(Unreadable::Line(1)), "of another version");
        assert_eq!(read(b"torn header", "d"), Ok((Standings::new(), 0)));
    }

    #[test]
    fn a_file_of_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(Journal::open(&path, "d"), Err(ApplyError::JournalExposed { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, "d");
        }

        #[test]
        fn wherever_it_is_cut_what_is_whole_is_known(steps in proptest::collection::vec("[a-z]{1,4}", 0..8), cut in 0usize..2000) {
            let mut records = vec![header()];
            records.extend(steps.iter().map(|step| begun(step)));
            let bytes = lines(&records);
            let cut = cut.min(bytes.len());
            let (standings, whole) = read(&bytes[..cut], "d").unwrap();
            prop_assert!(whole <= cut && (whole == 0 || bytes[whole - 1] == b'\n'));
            let complete = bytes[..whole].split_inclusive(|byte| *byte == b'\n').count().saturating_sub(1);
            prop_assert!(steps[..complete].iter().all(|step| standings.contains_key(&StepId::from(step.as_str()))));
        }

        #[test]
        fn one_changed_byte_is_read_or_refused(at in 0usize..200, with in any::<u8>()) {
            let mut bytes = lines(&[header(), begun("a"), Record::Done { step: "a".into() }]);
            let at = at % bytes.len();
            bytes[at] = with;
            let _ = read(&bytes, "d");
        }
    }
}
