//! Change lists: what the hypervisor says changed between two change ids.
//!
//! A list narrows a delta to the extents it names. It may say too much, never too little, so everything
//! doubtful about it ends on the safe side: what it does not cover counts as changed, and a list that
//! cannot be about this disk is not used at all (the cycle then compares the whole disk by digest).
//!
//! Change ids are the hypervisor's (`VMware` `changeId`, Hyper-V RCT id, a QEMU bitmap's name); they are
//! kept as they are and only ever compared for equality.
//!
//! - `formats`: the shapes in which hypervisors hand lists out ([`ChangeList::from_vmware`] and its like).
//! - [`feed`]: asking a provider page by page.
//! - [`conformance`]: holding a provider against two moments of a disk.

pub mod conformance;
pub mod feed;
mod formats;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::extent::{Extent, ExtentSet};

/// A hypervisor's name for a moment of a disk; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeId(String);

impl ChangeId {
    /// The moment before anything was written, in `VMware`'s spelling: a list from there names what is in use.
    pub const EMPTY_DISK: &'static str = "*";

    /// Keeps `id` as it is.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Extents that changed between `base` and `end`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ChangeListFile")]
pub struct ChangeList {
    base: ChangeId,
    end: ChangeId,
    covered: ExtentSet,
    extents: ExtentSet,
    furthest_start: Option<u64>,
    reset: Option<String>,
}

/// The JSON form: `{"base": "…", "end": "…", "covered_to": 1073741824, "extents": [{"offset": 0, "len": 65536}]}`,
/// or `{"base": "…", "end": "…", "reset": "why there is no list"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeListFile {
    base: ChangeId,
    end: ChangeId,
    covered_to: Option<u64>,
    #[serde(default)]
    extents: Vec<ChangedBytes>,
    reset: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedBytes {
    offset: u64,
    len: u64,
}

impl TryFrom<ChangeListFile> for ChangeList {
    type Error = ChangeListError;

    fn try_from(file: ChangeListFile) -> Result<Self, Self::Error> {
        let mut list = Self::new(file.base, file.end, file.covered_to.unwrap_or(u64::MAX));
        list.reset = file.reset;
        for changed in file.extents {
            list.push(changed.offset, changed.len)?;
        }
        Ok(list)
    }
}

impl ChangeList {
    /// An empty list that speaks for the bytes below `covered_to` (`u64::MAX`: the whole disk).
    pub fn new(base: ChangeId, end: ChangeId, covered_to: u64) -> Self {
        let covered = Extent::new(0, covered_to).into_iter().collect();
        Self { base, end, covered, extents: ExtentSet::new(), furthest_start: None, reset: None }
    }

    /// A list that speaks for the whole disk and names `changed`, such as a dirty bitmap.
    pub fn of(base: ChangeId, end: ChangeId, changed: ExtentSet) -> Self {
        let furthest_start = changed.iter().next_back().map(Extent::offset);
        Self { extents: changed, furthest_start, ..Self::new(base, end, u64::MAX) }
    }

    /// The answer of a tracker that cannot say what changed, and why: it was switched off, it crashed, the
    /// disk was resized, the id is unknown to it. A cycle that is given it compares the whole disk, and says
    /// this reason.
    pub fn reset(base: ChangeId, end: ChangeId, reason: impl Into<String>) -> Self {
        Self { reset: Some(reason.into()), ..Self::new(base, end, 0) }
    }

    /// Extends what the list speaks for: of these bytes, only those that are [pushed](Self::push) changed.
    pub fn cover(&mut self, offset: u64, len: u64) -> Result<(), ChangeListError> {
        if len > 0 {
            self.covered.insert(Extent::new(offset, len).ok_or(ChangeListError::Overflow { offset, len })?);
        }
        Ok(())
    }

    /// Adds a changed extent in bytes, in any order, overlapping or not. An empty one is no change.
    pub fn push(&mut self, offset: u64, len: u64) -> Result<(), ChangeListError> {
        if len == 0 {
            return Ok(());
        }
        let extent = Extent::new(offset, len).ok_or(ChangeListError::Overflow { offset, len })?;
        self.extents.insert(extent);
        self.furthest_start = self.furthest_start.max(Some(offset));
        Ok(())
    }

    /// Reads the JSON form.
    pub fn from_json(text: &str) -> Result<Self, ChangeListError> {
        serde_json::from_str(text).map_err(|e| ChangeListError::Json { problem: e.to_string() })
    }

    /// The id of the moment that the list starts from.
    pub const fn base(&self) -> &ChangeId {
        &self.base
    }

    /// The id of the moment that the list ends at, which is the source's.
    pub const fn end(&self) -> &ChangeId {
        &self.end
    }

    /// One list of what changed from the start of this one to the end of `next`, which must start where this
    /// one ends.
    pub fn then(mut self, next: Self) -> Result<Self, ChangeListError> {
        if self.end != next.base {
            return Err(ChangeListError::NotChained { ends: self.end.to_string(), starts: next.base.to_string() });
        }
        self.end = next.end;
        self.covered = self.covered.intersection(&next.covered);
        self.extents = self.extents.union(&next.extents);
        self.furthest_start = self.furthest_start.max(next.furthest_start);
        self.reset = self.reset.or(next.reset);
        Ok(self)
    }

    /// What counts as changed on a disk of `disk_bytes`, or why the list cannot be about that disk.
    ///
    /// An extent that starts inside the disk and ends past it is clipped (trackers count in coarse
    /// units); one that starts past the end means another disk. What is not covered counts as changed.
    pub fn changed(&self, disk_bytes: u64) -> Result<ExtentSet, ChangeListError> {
        if let Some(reason) = &self.reset {
            return Err(ChangeListError::Reset { reason: reason.clone() });
        }
        if let Some(offset) = self.furthest_start.filter(|start| *start >= disk_bytes) {
            return Err(ChangeListError::BeyondDisk { offset, disk_bytes });
        }
        let mut changed: ExtentSet = self.extents.intersecting(0..disk_bytes).collect();
        changed.extend(self.covered.gaps(0..disk_bytes));
        Ok(changed)
    }
}

/// Why a change list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeListError {
    /// An extent's end is past 2^64.
    #[error("changed extent at offset {offset}, length {len} overflows")]
    Overflow {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
    /// An extent starts where the disk has ended.
    #[error(
        "changed extent at offset {offset} starts past the end of the disk of {disk_bytes} bytes: the list is of another disk or another size"
    )]
    BeyondDisk {
        /// Where the extent starts.
        offset: u64,
        /// Size of the disk.
        disk_bytes: u64,
    },
    /// The tracker cannot say what changed.
    #[error("the tracker has no list: {reason}")]
    Reset {
        /// Its reason.
        reason: String,
    },
    /// Two lists were to be joined that do not follow each other.
    #[error("a list that ends at {ends:?} is not followed by one that starts at {starts:?}")]
    NotChained {
        /// Where the first ends.
        ends: String,
        /// Where the second starts.
        starts: String,
    },
    /// A provider's pages do not go on.
    #[error("the provider's answer from offset {from} covers nothing: the rest of the disk cannot be asked for")]
    NoProgress {
        /// What was asked from.
        from: u64,
    },
    /// A provider failed.
    #[error("the provider of the change list failed at offset {from}: {problem}")]
    Provider {
        /// What was asked from.
        from: u64,
        /// Its words.
        problem: String,
    },
    /// A line of a CSV list cannot be read.
    #[error("line {line} of the change list: {problem}")]
    Csv {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The JSON form cannot be read.
    #[error("not a change list: {problem}")]
    Json {
        /// What is wrong, and where.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(covered_to: u64, extents: &[(u64, u64)]) -> ChangeList {
        let mut list = ChangeList::new(ChangeId::new("a"), ChangeId::new("b"), covered_to);
        for (offset, len) in extents {
            list.push(*offset, *len).unwrap();
        }
        list
    }

    fn ranges(set: &ExtentSet) -> Vec<(u64, u64)> {
        set.iter().map(|e| (e.offset(), e.end())).collect()
    }

    #[test]
    fn unsorted_and_overlapping_extents_are_merged() {
        let changed = list(u64::MAX, &[(900, 50), (10, 5), (12, 10), (0, 0)]).changed(1000).unwrap();
        assert_eq!(ranges(&changed), [(10, 22), (900, 950)]);
    }

    #[test]
    fn what_is_not_covered_counts_as_changed() {
        assert_eq!(ranges(&list(600, &[(10, 5)]).changed(1000).unwrap()), [(10, 15), (600, 1000)]);
    }

    #[test]
    fn an_overhang_is_clipped_and_a_stray_extent_refused() {
        assert_eq!(ranges(&list(u64::MAX, &[(960, 64)]).changed(1000).unwrap()), [(960, 1000)]);
        let stray = list(u64::MAX, &[(960, 64), (1000, 1)]).changed(1000);
        assert_eq!(stray, Err(ChangeListError::BeyondDisk { offset: 1000, disk_bytes: 1000 }));
    }

    #[test]
    fn a_list_of_a_set_is_the_list_of_its_extents() {
        let pushed = list(u64::MAX, &[(10, 5), (40, 2)]);
        let of = ChangeList::of(ChangeId::new("a"), ChangeId::new("b"), pushed.extents.clone());
        assert_eq!(of, pushed);
    }

    #[test]
    fn a_gap_in_what_is_covered_counts_as_changed() {
        let mut list = list(300, &[(10, 5)]);
        list.cover(600, 400).unwrap();

        assert_eq!(ranges(&list.changed(1000).unwrap()), [(10, 15), (300, 600)]);
    }

    #[test]
    fn a_reset_is_no_list_however_much_was_pushed() {
        let mut reset = ChangeList::reset(ChangeId::new("a"), ChangeId::new("b"), "tracking was off");
        reset.push(0, 512).unwrap();

        assert_eq!(reset.changed(1000), Err(ChangeListError::Reset { reason: "tracking was off".into() }));
    }

    #[test]
    fn lists_that_follow_each_other_are_joined() {
        let mut next = ChangeList::new(ChangeId::new("b"), ChangeId::new("c"), 900);
        next.push(50, 50).unwrap();

        let joined = list(u64::MAX, &[(10, 5)]).then(next).unwrap();

        assert_eq!((joined.base().as_str(), joined.end().as_str()), ("a", "c"));
        assert_eq!(ranges(&joined.changed(1000).unwrap()), [(10, 15), (50, 100), (900, 1000)]);
    }

    #[test]
    fn lists_that_do_not_follow_each_other_are_not_joined() {
        let error = list(u64::MAX, &[]).then(list(u64::MAX, &[])).unwrap_err();
        assert_eq!(error, ChangeListError::NotChained { ends: "b".into(), starts: "a".into() });
    }

    #[test]
    fn the_json_form_may_say_that_there_is_no_list() {
        let read = ChangeList::from_json(r#"{"base":"a","end":"b","reset":"disk was grown"}"#).unwrap();
        assert!(matches!(read.changed(1000), Err(ChangeListError::Reset { .. })));
    }

    #[test]
    fn the_json_form_is_checked() {
        let read = ChangeList::from_json(r#"{"base":"a","end":"b","extents":[{"offset":5,"len":3}]}"#).unwrap();
        assert_eq!(read, list(u64::MAX, &[(5, 3)]));
        assert!(
            ChangeList::from_json(r#"{"base":"a","end":"b","extents":[{"offset":18446744073709551615,"len":3}]}"#)
                .is_err()
        );
        assert!(ChangeList::from_json(r#"{"base":"a","end":"b","extents":[],"more":1}"#).is_err());
    }
}
