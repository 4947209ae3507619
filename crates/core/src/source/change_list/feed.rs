//! Asking a provider for its changes, page by page.

use super::{ChangeId, ChangeList, ChangeListError};

/// A provider of changes: a hypervisor's call, a filter driver, a storage array.
///
/// The contract, which [`conformance::check`](super::conformance::check) holds a provider to:
///
/// - **Nothing is missed**: bytes that differ between `base` and the moment asked about are named, or not
///   covered. Naming more is allowed.
/// - **Pages go on**: a page covers at least one byte from where it was asked, up to the disk's end.
/// - **Inside the disk**: no extent starts where the disk has ended.
/// - **Doubt is said**: a provider that lost track answers [`FeedError::Reset`], never an empty page.
pub trait ChangeFeed {
    /// What changed since `base`, from byte `from` on, as far as one answer goes.
    fn changes(&self, base: &ChangeId, from: u64) -> Result<ChangePage, FeedError>;
}

/// One answer of a [`ChangeFeed`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangePage {
    /// The answer speaks for the bytes from where it was asked to here.
    pub covered_to: u64,
    /// Offset and length of what changed, in bytes.
    pub extents: Vec<(u64, u64)>,
}

/// Why a [`ChangeFeed`] has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// It lost track: there is no list from that moment, and there never will be.
    #[error("the tracker lost track: {reason}")]
    Reset {
        /// Why.
        reason: String,
    },
    /// It failed; the same question may be answered later.
    #[error("{problem}")]
    Failed {
        /// Its words.
        problem: String,
    },
}

impl ChangeList {
    /// All changes from `base` to `end`, the moment that `feed` speaks of, on a disk of `disk_bytes`.
    ///
    /// A provider that lost track gives a list that says so ([`ChangeList::reset`]); one that fails, or whose
    /// pages do not go on, is an error. An empty page that covers something is fine.
    pub fn query(
        feed: &dyn ChangeFeed,
        base: ChangeId,
        end: ChangeId,
        disk_bytes: u64,
    ) -> Result<Self, ChangeListError> {
        let mut list = Self::new(base, end, 0);
        let mut from = 0;
        while from < disk_bytes {
            let page = match feed.changes(&list.base, from) {
                Ok(page) => page,
                Err(FeedError::Reset { reason }) => return Ok(Self::reset(list.base, list.end, reason)),
                Err(FeedError::Failed { problem }) => return Err(ChangeListError::Provider { from, problem }),
            };
            if page.covered_to <= from {
                return Err(ChangeListError::NoProgress { from });
            }
            list.cover(from, page.covered_to - from)?;
            for (offset, len) in page.extents {
                list.push(offset, len)?;
            }
            from = page.covered_to;
        }
        Ok(list)
    }
}
