//! One blob: what it holds now, its snapshots, its lease.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::lease::Lease;
use super::pages::PageMap;
use super::refusal::{self, Refusal};
use super::request::Call;

/// What a blob is made of.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Pages(PageMap),
    Block(Bytes),
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Pages(pages) => pages.len(),
            Self::Block(bytes) => bytes.len() as u64,
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Pages(_) => "PageBlob",
            Self::Block(_) => "BlockBlob",
        }
    }

    pub(crate) fn pages(&self) -> Result<&PageMap, Refusal> {
        match self {
            Self::Pages(pages) => Ok(pages),
            Self::Block(_) => Err(refusal::INVALID_BLOB_TYPE),
        }
    }

    pub(crate) fn pages_mut(&mut self) -> Result<&mut PageMap, Refusal> {
        match self {
            Self::Pages(pages) => Ok(pages),
            Self::Block(_) => Err(refusal::INVALID_BLOB_TYPE),
        }
    }
}

/// A blob at one point in time: now, or when a snapshot was taken.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) content: Content,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) sequence: i64,
    pub(crate) etag: ETag,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    /// Another number each time that Put Blob replaces the blob; no diff reaches across.
    pub(crate) incarnation: u64,
}

/// Another number after each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ETag(pub(crate) u64);

impl ETag {
    /// As in an `ETag` header.
    pub(crate) fn quoted(self) -> String {
        format!("\"{}\"", self.bare())
    }

    /// As in a list of blobs.
    pub(crate) fn bare(self) -> String {
        format!("0x8D{:013X}", self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) now: Revision,
    pub(crate) lease: Lease,
    /// By name, which sorts by age.
    pub(crate) snapshots: BTreeMap<String, Revision>,
}

impl Blob {
    /// The live revision, or the snapshot that the request names.
    pub(crate) fn revision(&self, snapshot: Option<&str>) -> Result<&Revision, Refusal> {
        snapshot.map_or(Some(&self.now), |name| self.snapshots.get(name)).ok_or(refusal::BLOB_NOT_FOUND)
    }

    /// Whether the request's lease id and conditions let it write.
    pub(crate) fn admit_write(&self, call: &Call, now: Timestamp) -> Result<(), Refusal> {
        self.lease.check_write(call.lease_id()?, now)?;
        check_conditions(call, Some(self.now.etag), Access::Write)
    }

    /// Whether the request's lease id and conditions let it read `revision`.
    pub(crate) fn admit_read(&self, call: &Call, revision: &Revision, now: Timestamp) -> Result<(), Refusal> {
        self.lease.check_read(call.lease_id()?, now)?;
        check_conditions(call, Some(revision.etag), Access::Read)
    }

    /// Notes that a write happened.
    pub(crate) fn touch(&mut self, etag: ETag, now: Timestamp) {
        self.now.etag = etag;
        self.now.modified = now;
        self.lease.forget_if_expired(now);
    }
}

/// Which of two answers a failed `If-None-Match` gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The conditional headers, against what is there (Microsoft Learn, "Specifying conditional headers for Blob
/// service operations"). The conditions on dates and tags are refused, lest they be ignored in silence.
pub(crate) fn check_conditions(call: &Call, there: Option<ETag>, access: Access) -> Result<(), Refusal> {
    let unknown = ["if-modified-since", "if-unmodified-since", "x-ms-if-tags"];
    if unknown.iter().any(|name| call.header(name).is_some()) {
        return Err(refusal::UNSUPPORTED_HEADER);
    }
    let matches = |wanted: &str| there.is_some_and(|etag| wanted == "*" || wanted.trim_matches('"') == etag.bare());
    if call.header("if-match").is_some_and(|wanted| !matches(wanted)) {
        return Err(refusal::CONDITION_NOT_MET);
    }
    if call.header("if-none-match").is_some_and(matches) {
        return Err(if access == Access::Read { refusal::NOT_MODIFIED } else { refusal::CONDITION_NOT_MET });
    }
    Ok(())
}

/// The conditions on the sequence number that page writes may carry.
pub(crate) fn check_sequence(call: &Call, sequence: i64) -> Result<(), Refusal> {
    let holds = |name: &str, test: fn(&i64, &i64) -> bool| -> Result<bool, Refusal> {
        Ok(call.number::<i64>(name)?.is_none_or(|wanted| test(&sequence, &wanted)))
    };
    if holds("x-ms-if-sequence-number-eq", i64::eq)?
        && holds("x-ms-if-sequence-number-le", i64::le)?
        && holds("x-ms-if-sequence-number-lt", i64::lt)?
    {
        Ok(())
    } else {
        Err(refusal::SEQUENCE_NUMBER_CONDITION_NOT_MET)
    }
}
