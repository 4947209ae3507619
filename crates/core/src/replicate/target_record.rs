//! What the target says of itself: one JSON value in its metadata, one in each snapshot's.
//!
//! Metadata values must be ASCII and short, so everything else is written as `\uXXXX`.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ReplicateError;
use crate::checkpoint::Seal;
use crate::digest::sealed::Hash;
use crate::progress::{Counts, CycleKind};
use crate::size::{BlockSize, replica_len};
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

/// Sequence numbers carry the generation in their upper half, and the service's are signed.
const LAST_GENERATION: u32 = (1 << 31) - 1;

fn is_replica_len(bytes: u64) -> bool {
    replica_len(bytes) == Some(bytes)
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
    if format == 0 {
        return Err("no version wrote its format 0".into());
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
        record.check().map_err(|problem| ReplicateError::NotAReplica { location: location.into(), problem })?;
        Ok(record)
    }

    /// Whether the numbers can be those of a replica: past this point arithmetic on them cannot overflow.
    fn check(&self) -> Result<(), String> {
        let Self { disk_bytes, source_bytes, block_bytes, grown_from, generation, .. } = self;
        if BlockSize::new(*block_bytes).is_none()
            || !is_replica_len(*disk_bytes)
            || replica_len(*source_bytes).is_none_or(|padded| padded > *disk_bytes)
            || grown_from.is_some_and(|before| !is_replica_len(before) || before > *disk_bytes)
        {
            return Err(format!(
                "a disk of {source_bytes} bytes in {disk_bytes} (before: {grown_from:?}) in blocks of {block_bytes} \
                 makes no sense"
            ));
        }
        if *generation >= LAST_GENERATION || self.sealed.as_ref().is_some_and(|seal| seal.cycle == u32::MAX) {
            return Err(format!("its generation {generation} or its sealed cycle has no successor"));
        }
        Ok(())
    }
}

impl RecoveryPoint {
    /// The recovery point on a snapshot; `None` when the snapshot is not one of ours, or what it says of
    /// itself makes no sense.
    pub(super) fn from_metadata(metadata: &Metadata) -> Option<Self> {
        from_metadata(metadata).ok().filter(Self::makes_sense)
    }

    fn makes_sense(&self) -> bool {
        is_replica_len(self.disk_bytes)
            && replica_len(self.source_bytes).is_some_and(|padded| padded <= self.disk_bytes)
            && Hash::parse(&self.root).is_some()
    }

    /// Reads what [`to_json`](Self::to_json) made; `None` when it makes no sense.
    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        parse(std::str::from_utf8(json).ok()?).ok().filter(Self::makes_sense)
    }

    /// The same that stands in the snapshot's metadata.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a recovery point has only strings and numbers")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn good() -> TargetRecord {
        TargetRecord {
            format: FORMAT,
            replication: Uuid::from_u128(1),
            generation: 3,
            owner: Uuid::from_u128(2),
            disk_bytes: 3 << 20,
            source_bytes: (2 << 20) + 5,
            block_bytes: 1 << 16,
            source_identity: None,
            grown_from: Some(1 << 20),
            unsealed_writes: true,
            footer_for: Some(1 << 20),
            sealed: Some(Seal { cycle: 2, root: Hash::of(b"map"), change_id: Some("52 de/1".into()) }),
            forced: Some(ForcedTakeOver { generation: 3, at: Timestamp::UNIX_EPOCH }),
        }
    }

    fn good_point() -> RecoveryPoint {
        RecoveryPoint {
            format: FORMAT,
            replication: Uuid::from_u128(1),
            generation: 3,
            cycle: 2,
            kind: CycleKind::Delta,
            sealed_at: Timestamp::UNIX_EPOCH,
            root: Hash::of(b"map").to_string(),
            change_id: None,
            crash_consistent: true,
            disk_bytes: 3 << 20,
            source_bytes: (2 << 20) + 5,
            counts: Counts::default(),
            change_list_ignored: None,
        }
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        prop_oneof![
            any::<u64>().prop_map(Into::into),
            prop::sample::select(vec![0, 1, 512, 1 << 20, u64::from(u32::MAX), 8 << 40, u64::MAX]).prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,80}".prop_map(Into::into),
            Just(serde_json::Value::Null),
            Just(serde_json::json!([[], {}])),
        ]
    }

    /// The metadata of `value`, with one field of its JSON replaced.
    fn with_field<T: Serialize>(value: &T, field: prop::sample::Index, replaced: serde_json::Value) -> Metadata {
        let mut json = serde_json::to_value(value).unwrap();
        let fields = json.as_object_mut().unwrap();
        let name = fields.keys().nth(field.index(fields.len())).unwrap().clone();
        fields.insert(name, replaced);
        Metadata::from([(KEY.to_owned(), json.to_string())])
    }

    proptest! {
        #[test]
        fn metadata_with_a_strange_field_is_refused_or_makes_sense(
            field in any::<prop::sample::Index>(),
            value in any_value(),
        ) {
            if let Ok(record) = TargetRecord::from_metadata(&with_field(&good(), field, value.clone()), "l") {
                prop_assert!(record.disk_bytes <= crate::size::MAX_DISK_BYTES && record.source_bytes <= record.disk_bytes);
                prop_assert!(record.grown_from.is_none_or(|before| before <= record.disk_bytes));
                let next = u64::from(record.generation + 1) << 32;
                prop_assert!(i64::try_from(next).is_ok());
            }
            if let Some(point) = RecoveryPoint::from_metadata(&with_field(&good_point(), field, value)) {
                prop_assert!(point.disk_bytes <= crate::size::MAX_DISK_BYTES && point.source_bytes <= point.disk_bytes);
                prop_assert!(Hash::parse(&point.root).is_some());
            }
        }

        #[test]
        fn any_text_as_metadata_is_refused(text in ".{0,200}") {
            let metadata = Metadata::from([(KEY.to_owned(), text)]);
            prop_assert!(TargetRecord::from_metadata(&metadata, "l").is_err());
            prop_assert!(RecoveryPoint::from_metadata(&metadata).is_none());
        }
    }

    #[test]
    fn a_generation_without_a_successor_is_refused() {
        let refused = |record: &TargetRecord| TargetRecord::from_metadata(&to_metadata(record), "l").is_err();
        assert!(!refused(&good()));
        assert!(refused(&TargetRecord { generation: u32::MAX, ..good() }));
        assert!(refused(&TargetRecord { generation: LAST_GENERATION, ..good() }));
        let last = Seal { cycle: u32::MAX, root: Hash::of(b""), change_id: None };
        assert!(refused(&TargetRecord { sealed: Some(last), ..good() }));
        assert!(refused(&TargetRecord { format: 0, ..good() }));
    }

    #[test]
    fn a_recovery_point_of_an_impossible_size_is_none_of_ours() {
        let point = |source_bytes: u64, disk_bytes: u64| {
            RecoveryPoint::from_metadata(&to_metadata(&RecoveryPoint { disk_bytes, source_bytes, ..good_point() }))
        };
        assert!(point(5, 1 << 20).is_some());
        assert!(point(5, 2 << 20).is_some());
        for (source_bytes, disk_bytes) in [
            (0, 1 << 20),
            (5, 0),
            (5, 512),
            (5, (1 << 20) + 512),
            ((1 << 20) + 1, 1 << 20),
            (5, 1 << 63),
            (5, u64::MAX),
        ] {
            assert_eq!(point(source_bytes, disk_bytes), None, "{source_bytes} {disk_bytes}");
        }
    }

    #[test]
    fn what_is_not_ours_or_newer_is_refused() {
        let refused = |metadata: &Metadata| TargetRecord::from_metadata(metadata, "l").unwrap_err().to_string();
        assert!(refused(&Metadata::new()).contains("not made by libmigrate"));
        assert!(refused(&Metadata::from([(KEY.into(), r#"{"format":2}"#.into())])).contains("newer"));
        assert!(refused(&Metadata::from([(KEY.into(), r#"{"format":1}"#.into())])).contains("cannot be read"));
    }
}
