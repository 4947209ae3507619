//! The local database of one replica: a cache of what the target holds, plus the progress of the open
//! cycle. Losing it costs time, never data.
//!
//! Three tables in one redb file; a commit is atomic and, once it returns, survives power loss:
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `record` | `"record"` | [`Record`] as JSON |
//! | `map` | window | states of its blocks ([`crate::digest::map`]); absent: the record's [`Blank`] |
//! | `doubt` | window | runs of blocks in doubt, pairs of u32 little-endian (first, count) |
//! | `part` | part | hash of its sealed encoding, as long as no block of it has changed |
//!
//! A block in doubt is [`BlockState::Unknown`], whatever its row says: its pages may hold the old bytes or
//! the new ones. Memory: redb's cache is capped at [`CACHE_BYTES`]; a window's row is at most 0.5 MiB.

mod file;
mod record;

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use file::folder_and_name;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableHandle};

pub(crate) use record::{Blank, FORMAT, OpenCycle, Record, Seal};

use crate::digest::block::BlockState;
use crate::digest::map::{self, MapError};
use crate::digest::sealed::Hash;
use crate::error::diagnose;
use crate::extent::{Extent, ExtentSet};
use crate::private_folder::{Exposure, PrivateFolder, Refused};
use crate::size::{BlockSize, MIB};

/// Length of a window, the stretch of disk whose states are one row.
///
/// A row is rewritten whenever some of its blocks settle, so it should be small (8 KiB at 64 KiB blocks,
/// 512 KiB at 4 KiB); a hole of a TiB should not be many rows to plan (8192).
pub(crate) const WINDOW_BYTES: u64 = 128 * MIB;

/// Cap of redb's page cache.
const CACHE_BYTES: usize = 8 << 20;

/// More than any value of ours needs (a record of 65536 windows of which every other is done: 1.4 MiB).
const MAX_VALUE_BYTES: usize = 4 << 20;

const RECORD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("record");
const MAP: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("map");
const DOUBT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("doubt");
const PART: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("part");

/// The open database. All methods block; the engine calls them on blocking threads.
pub(crate) struct Checkpoint {
    db: Database,
    path: PathBuf,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One window as the database knows it.
#[derive(Debug)]
pub(crate) struct WindowRow {
    /// One state a block; blocks in doubt are unknown.
    pub(crate) states: Vec<BlockState>,
    /// Blocks in doubt, by index in the window.
    pub(crate) doubt: ExtentSet,
}

/// The right to be the only one on this machine with the checkpoint of that path, whether there is one yet or
/// not: the fence of targets that have none. It ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct CheckpointLock {
    _file: File,
}

impl CheckpointLock {
    /// Takes it, or fails at once with [`CheckpointError::InUse`].
    pub(crate) fn take(path: &Path) -> Result<Self, CheckpointError> {
        let (folder, _) = folder_and_name(path);
        let folder = PrivateFolder::open_or_create(folder)?;
        // Never removed: two processes could then hold locks on two files of one name.
        let name = path.with_extension("lock");
        let name = name.file_name().unwrap_or_default();
        let file = match folder.open_file(name)? {
            Some(file) => file,
            None => match folder.create_file(name) {
                // Somebody else was faster.
                Err(Refused::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    folder.open_file(name)?.ok_or_else(|| io_error(path, source))?
                }
                created => created?,
            },
        };
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(CheckpointError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(io_error(path, source)),
        }
    }
}

/// What one commit changes besides the record.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Encoded states by window, and with them the parts that are no longer as sealed.
    pub(crate) map: Vec<(u64, Vec<u8>)>,
    /// Blocks in doubt by window; empty removes the row.
    pub(crate) doubt: Vec<(u64, ExtentSet)>,
    /// Parts that are stored as sealed.
    pub(crate) parts: Vec<(u64, Hash)>,
    /// Forget all rows first (the map is being rebuilt).
    pub(crate) reset: bool,
}

impl Checkpoint {
    /// Opens the database at `path`; `None` when there is no file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, CheckpointError> {
        let Some(db) = file::open(path)? else { return Ok(None) };
        let checkpoint = Self { db, path: path.into() };
        let record = checkpoint.record()?;
        checkpoint.check_ends(&record)?;
        Ok(Some(checkpoint))
    }

    /// Creates the database at `path`, which must not exist, holding `record`. It appears under its name
    /// only when it is whole.
    pub(crate) fn create(path: &Path, record: &Record) -> Result<Self, CheckpointError> {
        file::create(path, |db| {
            let checkpoint = Self { db, path: path.into() };
            checkpoint.commit(record, &Change::default())?;
            Ok(checkpoint)
        })
    }

    /// A database that lives as long as this value, for engines without a state folder.
    pub(crate) fn in_memory(record: &Record) -> Result<Self, CheckpointError> {
        let path = PathBuf::from("(in memory)");
        let db = file::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .map_err(|e| open_error(&path, e))?;
        let checkpoint = Self { db, path };
        checkpoint.commit(record, &Change::default())?;
        Ok(checkpoint)
    }

    /// The database in a file that a simulation lends.
    #[cfg(feature = "simulation")]
    pub(crate) fn over(file: Box<dyn redb::StorageBackend>, path: &Path) -> Result<Self, CheckpointError> {
        let db =
            file::builder().create_with_backend(crate::simulation::LentFile(file)).map_err(|e| open_error(path, e))?;
        Ok(Self { db, path: path.into() })
    }

    /// Where the database is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The record as last committed.
    pub(crate) fn record(&self) -> Result<Record, CheckpointError> {
        let bytes = self.get(RECORD, "record")?.ok_or_else(|| self.damaged("it has no record"))?;
        Record::from_json(&bytes).map_err(|e| match e {
            record::RecordError::Newer { format } => {
                CheckpointError::Newer { path: self.path.clone(), format, newest: FORMAT }
            }
            record::RecordError::Older { format } => {
                CheckpointError::Older { path: self.path.clone(), format, oldest: record::OLDEST }
            }
            record::RecordError::Json(problem) => self.damaged(format!("its record cannot be read: {problem}")),
        })
    }

    /// One window of a disk; `blank` is what absent rows mean.
    pub(crate) fn window(&self, window: u64, disk: Disk, blank: Blank) -> Result<WindowRow, CheckpointError> {
        let blocks = disk.blocks_in_window(window);
        let mut states = match self.get(MAP, window)? {
            Some(bytes) => map::decode(&bytes, blocks)
                .map_err(|e: MapError| self.damaged(format!("the row of window {window} is {e}")))?,
            None => vec![blank.state(); blocks],
        };
        let doubt = match self.get(DOUBT, window)? {
            Some(bytes) => decode_runs(&bytes, blocks as u64)
                .ok_or_else(|| self.damaged(format!("the doubt of window {window} makes no sense")))?,
            None => ExtentSet::new(),
        };
        for run in doubt.iter() {
            states[run.offset() as usize..run.end() as usize].fill(BlockState::Unknown);
        }
        Ok(WindowRow { states, doubt })
    }

    /// The hash of a part that is stored as sealed.
    pub(crate) fn part(&self, part: u64) -> Result<Option<Hash>, CheckpointError> {
        let Some(bytes) = self.get(PART, part)? else { return Ok(None) };
        let hash = std::str::from_utf8(&bytes).ok().and_then(Hash::parse);
        hash.map(Some).ok_or_else(|| self.damaged(format!("the hash of part {part} cannot be read")))
    }

    /// Makes `record` and `change` durable, both or neither.
    ///
    /// redb keeps the last two commits. After a crash it goes back to the one before the last when the last
    /// one's pages are damaged, as it cannot tell damage from a commit that never ended. Nothing but doubt is
    /// missed then: a block that may have been written would count as known. So doubt is in both.
    pub(crate) fn commit(&self, record: &Record, change: &Change) -> Result<(), CheckpointError> {
        let committed = self.try_commit(record, change).and_then(|()| {
            let doubts = change.doubt.iter().any(|(_, blocks)| !blocks.is_empty());
            if doubts { self.try_commit(record, &Change::default()) } else { Ok(()) }
        });
        committed.map_err(|e| self.storage_error(e))
    }

    /// Refuses rows past the end of the disk: they would be believed once it grows.
    fn check_ends(&self, record: &Record) -> Result<(), CheckpointError> {
        let disk = record.disk();
        let parts = crate::digest::sealed::part_count(disk.bytes, disk.block_size);
        for (table, end) in [(MAP, disk.windows()), (DOUBT, disk.windows()), (PART, parts)] {
            if let Some(last) = self.last_key(table)?.filter(|last| *last >= end) {
                return Err(self.damaged(format!("its table {:?} has a row {last} past the disk's end", table.name())));
            }
        }
        Ok(())
    }

    fn last_key(&self, table: TableDefinition<'_, u64, &'static [u8]>) -> Result<Option<u64>, CheckpointError> {
        let read = || -> Result<_, redb::Error> {
            let txn = self.db.begin_read()?;
            let table = match txn.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(table.last()?.map(|(key, _)| key.value()))
        };
        read().map_err(|e| self.storage_error(e))
    }

    fn try_commit(&self, record: &Record, change: &Change) -> Result<(), redb::Error> {
        let txn = self.db.begin_write()?;
        {
            let mut map = txn.open_table(MAP)?;
            let mut doubt = txn.open_table(DOUBT)?;
            let mut part = txn.open_table(PART)?;
            if change.reset {
                map.retain(|_, _| false)?;
                doubt.retain(|_, _| false)?;
                part.retain(|_, _| false)?;
            }
            let windows_per_part = record.disk().windows_per_part();
            for (window, states) in &change.map {
                map.insert(window, states.as_slice())?;
                part.remove(window / windows_per_part)?;
            }
            for (window, blocks) in &change.doubt {
                if blocks.is_empty() {
                    doubt.remove(window)?;
                } else {
                    doubt.insert(window, encode_runs(blocks).as_slice())?;
                }
            }
            for (index, hash) in &change.parts {
                part.insert(index, hash.to_string().as_bytes())?;
            }
            txn.open_table(RECORD)?.insert("record", record.to_json().as_slice())?;
        }
        txn.commit()?;
        Ok(())
    }

    fn get<K: redb::Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<Option<Vec<u8>>, CheckpointError> {
        let read = || -> Result<_, redb::Error> {
            let txn = self.db.begin_read()?;
            let table = match txn.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            // One that is too long is cut, and then makes no sense to whoever decodes it.
            let whole = |bytes: &[u8]| bytes[..bytes.len().min(MAX_VALUE_BYTES)].to_vec();
            Ok(table.get(key)?.map(|value| whole(value.value())))
        };
        read().map_err(|e| self.storage_error(e))
    }

    fn damaged(&self, problem: impl Into<String>) -> CheckpointError {
        CheckpointError::Damaged { path: self.path.clone(), problem: problem.into() }
    }

    fn storage_error(&self, e: redb::Error) -> CheckpointError {
        match e {
            redb::Error::Io(source) => io_error(&self.path, source),
            // Whatever the failure was, it has been told.
            redb::Error::PreviousIo => {
                let source = io::Error::other("an earlier write to it failed; open the replica again");
                CheckpointError::Io { path: self.path.clone(), source }
            }
            other => self.damaged(other.to_string()),
        }
    }
}

/// The numbers that the layout of rows follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The replica's virtual size: whole MiB.
    pub(crate) bytes: u64,
    /// The unit of diffing.
    pub(crate) block_size: BlockSize,
}

impl Disk {
    /// How many windows the disk has.
    pub(crate) const fn windows(self) -> u64 {
        self.bytes.div_ceil(WINDOW_BYTES)
    }

    /// The bytes of a window.
    pub(crate) fn window_range(self, window: u64) -> std::ops::Range<u64> {
        window * WINDOW_BYTES..((window + 1) * WINDOW_BYTES).min(self.bytes)
    }

    /// How many blocks a window has; only the last may have fewer than the others.
    pub(crate) fn blocks_in_window(self, window: u64) -> usize {
        let range = self.window_range(window);
        self.block_size.count(range.end.saturating_sub(range.start)) as usize
    }

    /// Blocks of a whole window.
    pub(crate) const fn blocks_per_window(self) -> u64 {
        WINDOW_BYTES / self.block_size.bytes()
    }

    /// How many windows a sealed part covers.
    pub(crate) const fn windows_per_part(self) -> u64 {
        crate::digest::sealed::PART_BLOCKS / self.blocks_per_window()
    }
}

fn open_error(path: &Path, e: DatabaseError) -> CheckpointError {
    let path = path.to_path_buf();
    match e {
        DatabaseError::DatabaseAlreadyOpen => CheckpointError::InUse { path },
        // A file that is cut short, or says that it is longer than it can be, is damaged: the disk is not.
        DatabaseError::Storage(StorageError::Io(source)) if !speaks_of_content(&source) => io_error(&path, source),
        DatabaseError::UpgradeRequired(format) => {
            CheckpointError::Older { path, format: format.into(), oldest: record::OLDEST }
        }
        other => CheckpointError::Damaged { path, problem: other.to_string() },
    }
}

fn speaks_of_content(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | FileTooLarge)
}

fn io_error(path: &Path, source: io::Error) -> CheckpointError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CheckpointError::Full { path, source },
        _ => CheckpointError::Io { path, source },
    }
}

impl From<Refused> for CheckpointError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Exposed { path, exposure } => Self::Exposed { path, exposure },
            Refused::Io { path, source } => io_error(&path, source),
        }
    }
}

fn encode_runs(blocks: &ExtentSet) -> Vec<u8> {
    blocks
        .iter()
        .flat_map(|run| [run.offset(), run.len_bytes()])
        .flat_map(|number| u32::try_from(number).expect("a window has fewer than 2^32 blocks").to_le_bytes())
        .collect()
}

fn decode_runs(bytes: &[u8], blocks: u64) -> Option<ExtentSet> {
    let (pairs, rest) = bytes.as_chunks::<8>();
    let runs = pairs.iter().take(blocks as usize + 1).map(|pair| {
        let (first, count) = pair.split_at(4);
        let number = |half: &[u8]| half.try_into().map(u32::from_le_bytes).map(u64::from).ok();
        Extent::new(number(first)?, number(count)?).filter(|run| run.end() <= blocks)
    });
    let mut runs = runs.collect::<Option<Vec<Extent>>>()?;
    runs.sort_unstable();
    (rest.is_empty() && pairs.len() as u64 <= blocks).then(|| runs.into_iter().collect())
}

/// What can go wrong with the local database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Another process, or another handle of this one, has it open.
    #[error("the checkpoint {} is in use: another process replicates to the same replica", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error("the checkpoint {} has format {format}; this version reads up to {newest}", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format read here.
        newest: u32,
    },
    /// Written by an older version, in a form that is no longer read.
    #[error("the checkpoint {} has format {format}; this version reads from {oldest}", path.display())]
    Older {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The oldest format read here.
        oldest: u32,
    },
    /// Not a checkpoint, or damaged.
    #[error("the checkpoint {} is damaged: {problem}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is of another replica.
    #[error("the checkpoint {} is of replication {found}, but the target holds replication {expected}", path.display())]
    OtherReplication {
        /// Which.
        path: PathBuf,
        /// What it is of.
        found: String,
        /// What the target holds.
        expected: String,
    },
    /// Others can change it or its folder, or could have put it there.
    #[error("the checkpoint is not safe: {} {}", path.display(), exposure.of(path))]
    Exposed {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        exposure: Exposure,
    },
    /// No room on the disk that it is on.
    #[error("no room left for the checkpoint {}", path.display())]
    Full {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system failed.
    #[error("cannot use the checkpoint {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

diagnose!(CheckpointError {
    InUse: "checkpoint.in_use", Fatal, "wait for the other process, or stop it";
    Newer: "checkpoint.newer", Caller, "use the version that wrote it, or a newer one; or name another state folder, and the map is rebuilt from the target";
    Older: "checkpoint.older", Caller, "move the file away: the next run rebuilds it from the target, which costs time but no data; or use the version that wrote it";
    Damaged: "checkpoint.damaged", Fatal, "move the file away: the next run rebuilds it from the target, which costs time but no data";
    OtherReplication: "checkpoint.other_replication", Caller, "check the target; if it was replaced on purpose, move the file away";
    Exposed: "checkpoint.exposed", Caller, "run the command that the message names if nobody else had a hand in it; else move the file away, or name another state folder";
    Full: "checkpoint.full", Fatal, "make room, or name a state folder elsewhere; nothing is lost";
    Io: "checkpoint.io", Fatal, "check that the state folder exists and that this process may write it";
});

#[cfg(test)]
mod tests;
