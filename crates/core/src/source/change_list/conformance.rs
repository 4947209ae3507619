//! The conformance kit: a provider's list, held against the bytes of both moments.
//!
//! A change list that leaves something out loses data without a word, so a provider is worth checking before
//! it is trusted. Take two moments of a disk that was written to in between, and let [`check`] compare them
//! byte by byte with what the provider says changed.
//!
//! ```
//! use libmigrate::source::ChangeId;
//! use libmigrate::source::change_list::conformance;
//! use libmigrate::source::change_list::feed::{ChangeFeed, ChangePage, FeedError};
//!
//! struct Vendor;
//!
//! impl ChangeFeed for Vendor {
//!     fn changes(&self, _base: &ChangeId, _from: u64) -> Result<ChangePage, FeedError> {
//!         Ok(ChangePage { covered_to: 1 << 20, extents: vec![(4096, 512)] })
//!     }
//! }
//!
//! # fn main() -> Result<(), libmigrate::source::SourceError> {
//! let before = vec![0u8; 1 << 20];
//! let mut after = before.clone();
//! after[4100] = 7;
//!
//! let report = conformance::check(&Vendor, &ChangeId::new("one"), &before, &after)?;
//! assert!(report.conforms(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! Costs: both disks are read once, in pieces of 1 MiB; memory for two pieces and the list.

use std::fmt;

use super::ChangeId;
use super::feed::{ChangeFeed, FeedError};
use crate::extent::{Extent, ExtentSet};
use crate::source::{DiskSource, SourceError};

/// How much is compared at a time.
const PIECE: u64 = 1 << 20;

/// The unit in which differences are reported.
const SECTOR: u64 = 512;

/// How many problems of one kind are kept; more of the same tell nothing new.
const KEPT: usize = 16;

/// What a provider did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedReport {
    /// Bytes that differ between the two moments, in whole sectors.
    pub differing_bytes: u64,
    /// Bytes that the provider names or does not cover.
    pub listed_bytes: u64,
    /// Bytes that differ and that the provider says did not change.
    pub missed_bytes: u64,
    /// What is wrong or worth knowing, the first of each kind.
    pub problems: Vec<FeedProblem>,
}

/// Something that a provider did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedProblem {
    /// Bytes changed that it says did not. Data would be lost.
    Missed {
        /// Which.
        extent: Extent,
    },
    /// An extent starts where the disk has ended.
    BeyondDisk {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
    /// An extent's end is past 2^64.
    Overflow {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
    /// A page covers nothing, so that the rest cannot be asked for.
    NoProgress {
        /// What was asked from.
        from: u64,
    },
    /// It gives no list.
    NoList {
        /// Its words.
        problem: String,
    },
    /// The same question had another answer the second time.
    Unsteady {
        /// What was asked from.
        from: u64,
    },
    /// Allowed: an extent starts before the one listed ahead of it.
    Unsorted {
        /// First byte.
        offset: u64,
    },
    /// Allowed: bytes are named twice.
    Overlapping {
        /// First byte.
        offset: u64,
    },
    /// Allowed: an extent without bytes.
    Empty {
        /// Where.
        offset: u64,
    },
}

impl FeedProblem {
    /// Whether a list like this must not be used.
    pub const fn is_breach(&self) -> bool {
        !matches!(self, Self::Unsorted { .. } | Self::Overlapping { .. } | Self::Empty { .. })
    }
}

impl FeedReport {
    /// Whether the provider keeps the contract.
    pub fn conforms(&self) -> bool {
        !self.problems.iter().any(FeedProblem::is_breach)
    }

    fn note(&mut self, problem: FeedProblem) {
        let kind = std::mem::discriminant(&problem);
        if self.problems.iter().filter(|known| std::mem::discriminant(*known) == kind).count() < KEPT {
            self.problems.push(problem);
        }
    }
}

impl fmt::Display for FeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { differing_bytes, listed_bytes, missed_bytes, problems } = self;
        write!(f, "{differing_bytes} bytes differ, {listed_bytes} are listed, {missed_bytes} are missed")?;
        problems.iter().try_for_each(|problem| write!(f, "; {problem:?}"))
    }
}

/// Asks `feed` for all changes since `base` and holds them against the two moments: `before` is the disk at
/// `base`, `after` the one that `feed` speaks of.
///
/// A provider that breaks the contract is not an error but a [`FeedReport`]; an error is a disk that cannot
/// be read.
pub fn check(
    feed: &dyn ChangeFeed,
    base: &ChangeId,
    before: &dyn DiskSource,
    after: &dyn DiskSource,
) -> Result<FeedReport, SourceError> {
    let mut report = FeedReport { differing_bytes: 0, listed_bytes: 0, missed_bytes: 0, problems: Vec::new() };
    let listed = listed(feed, base, after.size_bytes(), &mut report);
    let differing = differing(before, after)?;
    report.listed_bytes = listed.len_bytes();
    report.differing_bytes = differing.len_bytes();
    let missed = differing.difference(&listed);
    report.missed_bytes = missed.len_bytes();
    for extent in missed.iter() {
        report.note(FeedProblem::Missed { extent });
    }
    Ok(report)
}

/// What the provider names or does not cover.
fn listed(feed: &dyn ChangeFeed, base: &ChangeId, disk_bytes: u64, report: &mut FeedReport) -> ExtentSet {
    let mut listed = ExtentSet::new();
    let mut from = 0;
    let mut last_start = 0;
    while from < disk_bytes {
        let answer = feed.changes(base, from);
        if answer != feed.changes(base, from) {
            report.note(FeedProblem::Unsteady { from });
        }
        let page = match answer {
            Ok(page) if page.covered_to > from => page,
            Ok(_) => {
                report.note(FeedProblem::NoProgress { from });
                break;
            }
            Err(FeedError::Reset { reason: problem } | FeedError::Failed { problem }) => {
                report.note(FeedProblem::NoList { problem });
                break;
            }
        };
        for (offset, len) in page.extents {
            let Some(extent) = Extent::new(offset, len) else {
                let is_empty = len == 0;
                report.note(if is_empty {
                    FeedProblem::Empty { offset }
                } else {
                    FeedProblem::Overflow { offset, len }
                });
                continue;
            };
            if offset >= disk_bytes {
                report.note(FeedProblem::BeyondDisk { offset, len });
                continue;
            }
            if offset < last_start {
                report.note(FeedProblem::Unsorted { offset });
            }
            if listed.intersecting(extent.range()).next().is_some() {
                report.note(FeedProblem::Overlapping { offset });
            }
            last_start = offset;
            listed.extend(Extent::from_range(offset..extent.end().min(disk_bytes)));
        }
        from = page.covered_to;
    }
    // What was never spoken of counts as changed, as it does for a cycle.
    listed.extend(Extent::from_range(from.min(disk_bytes)..disk_bytes));
    listed
}

/// The sectors that differ. Where one disk is longer, the other counts as zeros.
fn differing(before: &dyn DiskSource, after: &dyn DiskSource) -> Result<ExtentSet, SourceError> {
    let mut differing = ExtentSet::new();
    let mut at = 0;
    while at < after.size_bytes() {
        let len = PIECE.min(after.size_bytes() - at);
        let (old, new) = (piece(before, at, len)?, piece(after, at, len)?);
        let sectors = old.chunks(SECTOR as usize).zip(new.chunks(SECTOR as usize));
        for (index, (_, new)) in sectors.enumerate().filter(|(_, (old, new))| old != new) {
            differing.extend(Extent::new(at + index as u64 * SECTOR, new.len() as u64));
        }
        at += len;
    }
    Ok(differing)
}

fn piece(disk: &dyn DiskSource, at: u64, len: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = vec![0; len as usize];
    let held = disk.size_bytes().saturating_sub(at).min(len);
    disk.read_at(at, &mut bytes[..held as usize])?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::feed::ChangePage;
    use super::*;

    const DISK: u64 = 64 << 10;

    /// Answers with these pages, one after the other.
    struct Pages(Vec<ChangePage>);

    impl ChangeFeed for Pages {
        fn changes(&self, _: &ChangeId, from: u64) -> Result<ChangePage, FeedError> {
            self.0
                .iter()
                .find(|page| page.covered_to > from)
                .cloned()
                .ok_or(FeedError::Failed { problem: "no page".into() })
        }
    }

    fn one_page(extents: &[(u64, u64)]) -> Pages {
        Pages(vec![ChangePage { covered_to: DISK, extents: extents.to_vec() }])
    }

    /// The report on a provider, after sectors 4 and 5 and the last byte changed.
    fn report(feed: &dyn ChangeFeed) -> FeedReport {
        let before = vec![0u8; DISK as usize];
        let mut after = before.clone();
        after[2048..3072].fill(7);
        after[DISK as usize - 1] = 7;
        check(feed, &ChangeId::new("one"), &before, &after).unwrap()
    }

    #[test]
    fn a_provider_that_names_every_change_conforms() {
        let report = report(&one_page(&[(2048, 1024), (DISK - 512, 512)]));

        assert!(report.conforms() && report.problems.is_empty(), "{report}");
        assert_eq!((report.differing_bytes, report.listed_bytes, report.missed_bytes), (1536, 1536, 0));
    }

    #[test]
    fn naming_too_much_unsorted_and_twice_is_allowed() {
        let report = report(&one_page(&[(DISK - 4096, 8192), (0, 8192), (4096, 8192), (9, 0)]));

        assert!(report.conforms(), "{report}");
        let expected = [
            FeedProblem::Unsorted { offset: 0 },
            FeedProblem::Overlapping { offset: 4096 },
            FeedProblem::Empty { offset: 9 },
        ];
        assert_eq!(report.problems, expected);
    }

    #[test]
    fn a_missed_change_is_found_with_its_place() {
        let report = report(&one_page(&[(2048, 512), (DISK - 512, 512)]));

        assert!(!report.conforms());
        assert_eq!(report.problems, [FeedProblem::Missed { extent: Extent::new(2560, 512).unwrap() }]);
        assert_eq!(report.missed_bytes, 512);
    }

    #[test]
    fn a_provider_that_says_nothing_changed_is_a_liar() {
        assert_eq!(report(&one_page(&[])).missed_bytes, 1536);
    }

    #[test]
    fn what_is_out_of_range_is_a_breach() {
        let all = (0, DISK);
        let beyond = report(&one_page(&[all, (DISK, 1)]));
        let overflow = report(&one_page(&[all, (u64::MAX, 2)]));

        assert_eq!(beyond.problems, [FeedProblem::BeyondDisk { offset: DISK, len: 1 }]);
        assert_eq!(overflow.problems, [FeedProblem::Overflow { offset: u64::MAX, len: 2 }]);
        assert!(!beyond.conforms() && !overflow.conforms());
    }

    #[test]
    fn pages_are_asked_for_until_the_end() {
        let pages = Pages(vec![
            ChangePage { covered_to: 2560, extents: vec![(2048, 512)] },
            ChangePage { covered_to: 4096, extents: vec![(2560, 512)] },
            ChangePage { covered_to: DISK - 512, extents: vec![] },
            ChangePage { covered_to: DISK, extents: vec![(DISK - 512, 512)] },
        ]);
        assert!(report(&pages).problems.is_empty());
    }

    #[test]
    fn a_provider_that_stops_midway_missed_nothing_it_did_not_speak_of() {
        let report = report(&Pages(vec![ChangePage { covered_to: 4096, extents: vec![(2048, 1024)] }]));

        assert_eq!(report.problems, [FeedProblem::NoList { problem: "no page".into() }]);
        assert_eq!(report.missed_bytes, 0);
    }

    #[test]
    fn a_page_that_covers_nothing_is_a_breach() {
        struct Stuck;
        impl ChangeFeed for Stuck {
            fn changes(&self, _: &ChangeId, _: u64) -> Result<ChangePage, FeedError> {
                Ok(ChangePage { covered_to: 4096, extents: vec![] })
            }
        }
        assert!(report(&Stuck).problems.contains(&FeedProblem::NoProgress { from: 4096 }));
    }

    #[test]
    fn an_answer_that_changes_is_a_breach() {
        struct Moody(Cell<u64>);
        impl ChangeFeed for Moody {
            fn changes(&self, _: &ChangeId, _: u64) -> Result<ChangePage, FeedError> {
                self.0.set(self.0.get() + 512);
                Ok(ChangePage { covered_to: DISK, extents: vec![(0, DISK - self.0.get())] })
            }
        }
        assert!(report(&Moody(Cell::new(0))).problems.contains(&FeedProblem::Unsteady { from: 0 }));
    }

    #[test]
    fn a_grown_disk_counts_from_zeros() {
        let before = vec![0u8; 1024];
        let mut after = vec![0u8; 4096];
        after[3000] = 1;
        let feed = Pages(vec![ChangePage { covered_to: 4096, extents: vec![] }]);

        let report = check(&feed, &ChangeId::new("one"), &before, &after).unwrap();

        assert_eq!(report.missed_bytes, 512);
    }
}
