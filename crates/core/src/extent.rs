//! Extents: contiguous byte ranges, and sets of them.
//!
//! [`ExtentSet`] is the algebra that planning, doubt and change lists are done in. It keeps its extents
//! sorted, disjoint and merged (no two touch), so equality of sets is equality of bytes covered. Binary
//! operations are linear in the extents of both sides.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A contiguous byte range of a disk. Never empty; its end does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "RawExtent", into = "RawExtent")]
pub struct Extent {
    offset: u64,
    len: u64,
}

#[derive(Serialize, Deserialize)]
struct RawExtent {
    offset: u64,
    len: u64,
}

impl TryFrom<RawExtent> for Extent {
    type Error = &'static str;

    fn try_from(raw: RawExtent) -> Result<Self, Self::Error> {
        Self::new(raw.offset, raw.len).ok_or("an extent is not empty and ends before 2^64")
    }
}

impl From<Extent> for RawExtent {
    fn from(extent: Extent) -> Self {
        Self { offset: extent.offset, len: extent.len }
    }
}

impl Extent {
    /// `None` when `len` is zero or the end overflows.
    pub const fn new(offset: u64, len: u64) -> Option<Self> {
        if len == 0 || offset.checked_add(len).is_none() {
            return None;
        }
        Some(Self { offset, len })
    }

    /// The extent of a half-open range; `None` when it is empty or reversed.
    pub const fn from_range(range: Range<u64>) -> Option<Self> {
        if range.end <= range.start {
            return None;
        }
        Some(Self { offset: range.start, len: range.end - range.start })
    }

    /// First byte.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Length in bytes, at least 1.
    pub const fn len_bytes(self) -> u64 {
        self.len
    }

    /// One past the last byte.
    pub const fn end(self) -> u64 {
        self.offset + self.len
    }

    /// The extent as a half-open range.
    pub const fn range(self) -> Range<u64> {
        self.offset..self.end()
    }

    /// What both extents cover.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::from_range(self.offset.max(other.offset)..self.end().min(other.end()))
    }

    /// The extent cut into pieces of at most `max_len`, split at multiples of `max_len`.
    pub fn split_at_multiples(self, max_len: u64) -> impl Iterator<Item = Self> {
        let mut at = self.offset;
        std::iter::from_fn(move || {
            let end = (at / max_len + 1).saturating_mul(max_len).min(self.end());
            let piece = Self::from_range(at..end)?;
            at = end;
            Some(piece)
        })
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.offset, self.end())
    }
}

/// A set of bytes, held as sorted, disjoint, merged extents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentSet {
    extents: Vec<Extent>,
}

impl ExtentSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { extents: Vec::new() }
    }

    /// The extents in order; no two overlap or touch.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Extent> + DoubleEndedIterator + Clone {
        self.extents.iter().copied()
    }

    /// Whether the set covers no byte.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// How many bytes the set covers.
    pub fn len_bytes(&self) -> u64 {
        self.iter().map(Extent::len_bytes).sum()
    }

    /// Adds the bytes of `extent`. Constant time when extents come in ascending order.
    pub fn insert(&mut self, extent: Extent) {
        let first = self.extents.partition_point(|e| e.end() < extent.offset);
        let last = first + self.extents[first..].partition_point(|e| e.offset <= extent.end());
        let Some(merged) = self.extents[first..last].iter().copied().reduce(hull) else {
            self.extents.insert(first, extent);
            return;
        };
        self.extents[first] = hull(merged, extent);
        self.extents.drain(first + 1..last);
    }

    /// Takes the bytes of `extent` out.
    pub fn remove(&mut self, extent: Extent) {
        let first = self.extents.partition_point(|e| e.end() <= extent.offset);
        let last = first + self.extents[first..].partition_point(|e| e.offset < extent.end());
        if first == last {
            return;
        }
        let left = Extent::from_range(self.extents[first].offset..extent.offset);
        let right = Extent::from_range(extent.end()..self.extents[last - 1].end());
        self.extents.splice(first..last, left.into_iter().chain(right));
    }

    /// Whether every byte of `extent` is in the set.
    pub fn covers(&self, extent: Extent) -> bool {
        self.intersecting(extent.range()).next() == Some(extent)
    }

    /// The parts of the set inside `range`, in order.
    pub fn intersecting(&self, range: Range<u64>) -> impl Iterator<Item = Extent> + '_ {
        let first = self.extents.partition_point(|e| e.end() <= range.start);
        self.extents[first..]
            .iter()
            .map_while(move |e| Extent::from_range(e.offset.max(range.start)..e.end().min(range.end)))
    }

    /// The parts of `range` that the set does not cover, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Extent> + '_ {
        let end = range.end;
        let mut at = range.start;
        self.intersecting(range).map(Extent::range).chain(std::iter::once(end..end)).filter_map(move |covered| {
            let gap = Extent::from_range(at..covered.start);
            at = covered.end;
            gap
        })
    }

    /// The bytes in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all: Vec<Extent> = self.iter().chain(other.iter()).collect();
        all.sort_unstable();
        all.into_iter().collect()
    }

    /// The bytes in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().flat_map(|e| other.intersecting(e.range())).collect()
    }

    /// The bytes of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.iter().flat_map(|e| other.gaps(e.range())).collect()
    }
}

fn hull(a: Extent, b: Extent) -> Extent {
    let offset = a.offset.min(b.offset);
    Extent { offset, len: a.end().max(b.end()) - offset }
}

impl FromIterator<Extent> for ExtentSet {
    fn from_iter<I: IntoIterator<Item = Extent>>(iter: I) -> Self {
        let mut set = Self::new();
        set.extend(iter);
        set
    }
}

impl Extend<Extent> for ExtentSet {
    fn extend<I: IntoIterator<Item = Extent>>(&mut self, iter: I) {
        for extent in iter {
            self.insert(extent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const SPAN: u64 = 64;

    fn sets() -> impl Strategy<Value = Vec<Extent>> {
        prop::collection::vec((0..SPAN, 1..12u64), 0..12)
            .prop_map(|pairs| pairs.into_iter().filter_map(|(o, l)| Extent::new(o, l)).collect())
    }

    fn bytes(extents: impl IntoIterator<Item = Extent>) -> BTreeSet<u64> {
        extents.into_iter().flat_map(Extent::range).collect()
    }

    fn is_normal(set: &ExtentSet) -> bool {
        set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end() < b.offset())
    }

    proptest! {
        #[test]
        fn inserting_covers_exactly_the_bytes(list in sets()) {
            let set: ExtentSet = list.iter().copied().collect();
            prop_assert!(is_normal(&set));
            prop_assert_eq!(bytes(set.iter()), bytes(list));
        }

        #[test]
        fn algebra_agrees_with_sets_of_bytes(a in sets(), b in sets()) {
            let (x, y): (ExtentSet, ExtentSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let (p, q) = (bytes(a), bytes(b));
            for (ours, theirs) in [
                (x.union(&y), p.union(&q).copied().collect::<BTreeSet<_>>()),
                (x.intersection(&y), p.intersection(&q).copied().collect()),
                (x.difference(&y), p.difference(&q).copied().collect()),
            ] {
                prop_assert!(is_normal(&ours));
                prop_assert_eq!(ours.len_bytes(), theirs.len() as u64);
                prop_assert_eq!(bytes(ours.iter()), theirs);
            }
        }

        #[test]
        fn removing_takes_exactly_the_bytes(list in sets(), o in 0..SPAN, l in 1..20u64) {
            let gone = Extent::new(o, l).unwrap();
            let mut set: ExtentSet = list.iter().copied().collect();
            set.remove(gone);
            let mut expected = bytes(list);
            expected.retain(|b| !gone.range().contains(b));
            prop_assert!(is_normal(&set));
            prop_assert_eq!(bytes(set.iter()), expected);
        }

        #[test]
        fn parts_and_gaps_partition_a_range(list in sets(), o in 0..SPAN, l in 1..40u64) {
            let set: ExtentSet = list.into_iter().collect();
            let range = o..o + l;
            let inside = bytes(set.intersecting(range.clone()));
            let outside = bytes(set.gaps(range.clone()));
            prop_assert!(inside.is_disjoint(&outside));
            prop_assert_eq!(inside.union(&outside).copied().collect::<Vec<_>>(), range.clone().collect::<Vec<_>>());
            prop_assert_eq!(set.covers(Extent::from_range(range).unwrap()), outside.is_empty());
        }

        #[test]
        fn splitting_keeps_every_byte_once(o in 0..1000u64, l in 1..1000u64, max in 1..100u64) {
            let whole = Extent::new(o, l).unwrap();
            let pieces: Vec<_> = whole.split_at_multiples(max).collect();
            prop_assert!(pieces.iter().all(|p| p.len_bytes() <= max && p.offset() / max == (p.end() - 1) / max));
            prop_assert_eq!(pieces.iter().copied().collect::<ExtentSet>().iter().collect::<Vec<_>>(), vec![whole]);
            prop_assert_eq!(pieces.iter().map(|p| p.len_bytes()).sum::<u64>(), l);
        }
    }

    #[test]
    fn hostile_extents_are_refused() {
        assert!(Extent::new(5, 0).is_none());
        assert!(Extent::new(u64::MAX, 1).is_none());
        assert!(serde_json::from_str::<Extent>(r#"{"offset":18446744073709551615,"len":9}"#).is_err());
    }
}
