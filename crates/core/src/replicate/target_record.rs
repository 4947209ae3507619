//! What the target says of itself: one JSON value in its metadata, one in each snapshot's.
//!
//! Metadata values must be ASCII and short, so everything else is written as `\uXXXX`.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ReplicateError;
use crate::checkpoint::Seal;
use crate::progress::{Counts, CycleKind};
use crate::size::BlockSize;
use crate::target::Metadata;

/// The metadata key of both values.
const KEY: &str = "libmigrate";

/// The form that this version writes and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// The longest change id that is kept: metadata of a blob is 8 KiB in all.
///
/// Source: Microsoft Learn, REST reference "Set Blob Metadata".
pub(super) const MAX_CHANGE_ID: usize = 1024;

/// The value on the target itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetRecord {
    pub(crate) format: u32,
    pub(crate) replication: Uuid,
    /// Grows by one with each owner.
    pub(crate) generation: u32,
    /// A random name of the owner, so that two of the same generation are told apart.
    pub(crate) owner: Uuid,
    pub(crate) disk_bytes: u64,
    pub(crate) source_bytes: u64,
    pub(crate) block_bytes: u64,
    pub(crate) source_identity: Option<String>,
    /// The size before, while the disk grows: the target may still have it.
    pub(crate) grown_from: Option<u64>,
    /// Whether anything may have been written since `sealed`.
    pub(crate) unsealed_writes: bool,
    /// The disk size whose footer is on the target.
    pub(crate) footer_for: Option<u64>,
    pub(crate) sealed: Option<Seal>,
    /// The last time that an owner took the lease away from another.
    #[serde(default)]
    pub(crate) forced: Option<ForcedTakeOver>,
}

/// A take-over in which the lease of a living owner was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedTakeOver {
    /// The owner who did it.
    pub generation: u32,
    /// When, by that owner's clock.
    pub at: Timestamp,
}

/// A sealed cycle: what replica and source had in common at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    pub(crate) format: u32,
    pub(crate) replication: Uuid,
    /// Number of the owner who sealed it.
    #[serde(default)]
    pub generation: u32,
    /// Number of the cycle; grows by one.
    pub cycle: u32,
    /// Kind of the cycle.
    pub kind: CycleKind,
    /// When it was sealed, by this machine's clock.
    pub sealed_at: Timestamp,
    /// Root of the digest tree: the BLAKE3 hash of the manifest.
    pub root: String,
    /// The hypervisor's id of the source's moment, if one was given.
    pub change_id: Option<String>,
    /// Whether the source was a point in time.
    pub crash_consistent: bool,
    /// Size of the replica's disk.
    pub disk_bytes: u64,
    /// Size of the source; the rest up to `disk_bytes` is zeros.
    pub source_bytes: u64,
    /// What the cycle came to.
    pub counts: Counts,
    /// Why a change list that was given was not used.
    pub change_list_ignored: Option<String>,
}

pub(super) fn to_metadata<T: Serialize>(value: &T) -> Metadata {
    let json = serde_json::to_string(value).expect("records have only strings, numbers and lists");
    let mut units = [0; 2];
    let ascii = json.chars().fold(String::with_capacity(json.len()), |mut ascii, char| {
        if char.is_ascii() {
            ascii.push(char);
        } else {
            ascii.extend(char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        ascii
    });
    Metadata::from([(KEY.to_owned(), ascii)])
}

fn from_metadata<T: DeserializeOwned>(metadata: &Metadata) -> Result<T, String> {
    parse(metadata.get(KEY).ok_or("it was not made by libmigrate (no metadata of ours)")?)
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let Versioned { format } = serde_json::from_str(json).map_err(|e| format!("its metadata cannot be read: {e}"))?;
    if format > FORMAT {
        return Err(format!("its format {format} is newer than {FORMAT}, the newest of this version"));
    }
    serde_json::from_str(json).map_err(|e| format!("its metadata cannot be read: {e}"))
}

impl TargetRecord {
    /// The record of an empty target, under a name that nobody has.
    pub(super) fn new(disk_bytes: u64, block_size: BlockSize) -> Self {
        Self {
            format: FORMAT,
            replication: Uuid::new_v4(),
            generation: 0,
            owner: Uuid::new_v4(),
            disk_bytes,
            source_bytes: disk_bytes,
            block_bytes: block_size.bytes(),
            source_identity: None,
            grown_from: None,
            unsealed_writes: false,
            footer_for: None,
            sealed: None,
            forced: None,
        }
    }

    pub(super) fn from_metadata(metadata: &Metadata, location: &str) -> Result<Self, ReplicateError> {
        let record: Self = from_metadata(metadata)
            .map_err(|problem| ReplicateError::NotAReplica { location: location.into(), problem })?;
        if BlockSize::new(record.block_bytes).is_none()
            || crate::size::replica_len(record.disk_bytes) != Some(record.disk_bytes)
        {
            let problem = format!("{} bytes in blocks of {} make no sense", record.disk_bytes, record.block_bytes);
            return Err(ReplicateError::NotAReplica { location: location.into(), problem });
        }
        Ok(record)
    }
}

impl RecoveryPoint {
    /// The recovery point on a snapshot; `None` when the snapshot is not one of ours.
    pub(super) fn from_metadata(metadata: &Metadata) -> Option<Self> {
        from_metadata(metadata).ok()
    }

    /// Reads what [`to_json`](Self::to_json) made.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, String> {
        parse(std::str::from_utf8(json).map_err(|e| e.to_string())?)
    }

    /// The same that stands in the snapshot's metadata.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a recovery point has only strings and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_ascii_metadata() {
        let record = TargetRecord {
            format: FORMAT,
            replication: Uuid::from_u128(1),
            generation: 3,
            owner: Uuid::from_u128(2),
            disk_bytes: 1 << 20,
            source_bytes: 5,
            block_bytes: 1 << 16,
            source_identity: Some("plätte 💾 \"x\"".into()),
            grown_from: None,
            unsealed_writes: true,
            footer_for: None,
            sealed: None,
            forced: None,
        };
        let metadata = to_metadata(&record);
        assert!(metadata.values().all(|value| value.bytes().all(|b| (0x20..0x7f).contains(&b))));
        assert_eq!(TargetRecord::from_metadata(&metadata, "l").unwrap(), record);
    }

    #[test]
    fn what_is_not_ours_or_newer_is_refused() {
        let refused = |metadata: &Metadata| TargetRecord::from_metadata(metadata, "l").unwrap_err().to_string();
        assert!(refused(&Metadata::new()).contains("not made by libmigrate"));
        assert!(refused(&Metadata::from([(KEY.into(), r#"{"format":2}"#.into())])).contains("newer"));
        assert!(refused(&Metadata::from([(KEY.into(), r#"{"format":1}"#.into())])).contains("cannot be read"));
    }
}
