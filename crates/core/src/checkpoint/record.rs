//! The record: what the database knows besides its rows.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Disk;
use crate::digest::block::BlockState;
use crate::digest::sealed::Hash;
use crate::extent::{Extent, ExtentSet};
use crate::progress::{Counts, CycleKind};
use crate::size::{BlockSize, replica_len};

/// The form that this version writes and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// The oldest form that this version reads.
pub(super) const OLDEST: u32 = 1;

/// Settings that may not change, who owns the target, what is sealed, and the open cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    /// The replication that target and database are of.
    pub(crate) replication: Uuid,
    /// Where the target is, without secrets; for people who find the file.
    pub(crate) location: String,
    /// The replica's virtual size.
    pub(crate) disk_bytes: u64,
    /// The source's size, at most `disk_bytes`.
    pub(crate) source_bytes: u64,
    pub(crate) block_bytes: u64,
    /// Which disk, where the source could tell.
    pub(crate) source_identity: Option<String>,
    /// The name under which this database last owned the target: as long as the target still carries it,
    /// nobody else has written and the map is true.
    pub(crate) owner: Uuid,
    /// The name under which it is about to own it (a crash may fall between the target's and ours).
    pub(crate) next_owner: Option<Uuid>,
    /// The lease of the last owner; taking it again under its id needs no wait.
    pub(crate) lease: Uuid,
    /// What a window without a row is.
    pub(crate) blank: Blank,
    /// The disk size whose footer is on the target.
    pub(crate) footer_for: Option<u64>,
    /// The last sealed cycle.
    pub(crate) sealed: Option<Seal>,
    /// Since the last seal, blocks may have come to differ from it for another reason than a change of the
    /// source (a roll-back, a resync, another owner): a change list does not name those.
    pub(crate) strayed: bool,
    /// The cycle that was begun and is not sealed.
    pub(crate) open: Option<OpenCycle>,
}

impl Record {
    /// Whether nobody but this database's owners has written, as the target is under this name.
    pub(crate) fn knows(&self, target_owner: Uuid) -> bool {
        target_owner == self.owner || Some(target_owner) == self.next_owner
    }

    /// The record to be committed before the target, which is under the name `before`, is put under `next`.
    ///
    /// Only a database that knows what the target holds may be found under the new name after a crash. Any
    /// other would take the name for a proof that its rows are true.
    pub(crate) fn about_to_own(&self, before: Uuid, next: Uuid) -> Self {
        let (owner, next_owner) = if self.knows(before) { (before, Some(next)) } else { (self.owner, None) };
        Self { owner, next_owner, ..self.clone() }
    }
}

/// What a window without a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Blank {
    /// Zeros: the target was created empty.
    Zero,
    /// Unknown.
    Unknown,
}

impl Blank {
    pub(crate) const fn state(self) -> BlockState {
        match self {
            Self::Zero => BlockState::Zero,
            Self::Unknown => BlockState::Unknown,
        }
    }
}

/// A sealed cycle, as far as the next one must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) cycle: u32,
    pub(crate) root: Hash,
    pub(crate) change_id: Option<String>,
}

/// A cycle in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenCycle {
    pub(crate) number: u32,
    pub(crate) kind: CycleKind,
    /// The source's moment; another one starts the cycle over.
    pub(crate) point: Option<String>,
    /// The change id that the source's moment has.
    pub(crate) change_id: Option<String>,
    /// Whether the source is a point in time.
    pub(crate) consistent: bool,
    /// Why the whole disk is compared although a change list was given.
    pub(crate) list_ignored: Option<String>,
    /// Windows whose every block has settled in this cycle.
    pub(crate) done: DoneWindows,
    /// What those windows came to.
    pub(crate) counts: Counts,
    /// The root of the map that is being sealed, once that has begun.
    pub(crate) sealing: Option<Hash>,
}

/// A set of windows, stored as runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Extent>", into = "Vec<Extent>")]
pub(crate) struct DoneWindows(ExtentSet);

impl DoneWindows {
    pub(crate) fn insert(&mut self, window: u64) {
        self.0.extend(Extent::new(window, 1));
    }

    /// The windows below `windows` that are not in the set.
    pub(crate) fn missing(&self, windows: u64) -> ExtentSet {
        self.0.gaps(0..windows).collect()
    }

    /// One past the last window in the set.
    fn end(&self) -> u64 {
        self.0.iter().next_back().map_or(0, Extent::end)
    }
}

impl From<Vec<Extent>> for DoneWindows {
    fn from(mut runs: Vec<Extent>) -> Self {
        // In order, as we write them, each is added in constant time; another order must not cost more.
        runs.sort_unstable();
        Self(runs.into_iter().collect())
    }
}

impl From<DoneWindows> for Vec<Extent> {
    fn from(done: DoneWindows) -> Self {
        done.0.iter().collect()
    }
}

/// Why bytes are not a record.
#[derive(Debug)]
pub(super) enum RecordError {
    Newer { format: u32 },
    Older { format: u32 },
    Json(String),
}

impl Record {
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only strings, numbers and lists")
    }

    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let json = |e: serde_json::Error| RecordError::Json(e.to_string());
        // The format first: the rest of a newer record may not parse.
        let Versioned { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format > FORMAT {
            return Err(RecordError::Newer { format });
        }
        if format < OLDEST {
            return Err(RecordError::Older { format });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(json)?;
        if BlockSize::new(record.block_bytes).is_none() {
            return Err(RecordError::Json(format!("{} bytes is no block size", record.block_bytes)));
        }
        record.check().map_err(RecordError::Json)?;
        Ok(record)
    }

    /// Whether the numbers can be those of a disk: past this point arithmetic on them cannot overflow.
    fn check(&self) -> Result<(), String> {
        let disk = self.disk();
        if replica_len(disk.bytes) != Some(disk.bytes)
            || replica_len(self.source_bytes).is_none_or(|padded| padded > disk.bytes)
        {
            return Err(format!("a disk of {} bytes in a replica of {} makes no sense", self.source_bytes, disk.bytes));
        }
        let sealed = self.sealed.as_ref().map_or(0, |seal| seal.cycle);
        if sealed == u32::MAX {
            return Err(format!("there is no cycle after {sealed}"));
        }
        let Some(open) = &self.open else { return Ok(()) };
        if open.number <= sealed || open.number == u32::MAX {
            return Err(format!("cycle {} cannot be open after cycle {sealed}", open.number));
        }
        let Counts { read, hole, unlisted, sent, cleared, skipped, hole_cleared, puts, clears } = open.counts;
        let bytes = [read, hole, unlisted, sent, cleared, skipped, hole_cleared];
        let few = |number: &u64| *number <= disk.bytes;
        // A request moves at least a page, so there are fewer of them than bytes.
        if open.done.end() > disk.windows() || !bytes.iter().chain(&[puts, clears]).all(few) {
            return Err(format!("cycle {} is said to have done more than the disk has", open.number));
        }
        Ok(())
    }

    /// The numbers that the layout of rows follows from.
    pub(crate) fn disk(&self) -> Disk {
        let block_size = BlockSize::new(self.block_bytes).expect("checked where the record is read and made");
        Disk { bytes: self.disk_bytes, block_size }
    }
}
