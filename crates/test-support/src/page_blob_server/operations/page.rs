//! Put Page and Get Page Ranges (Microsoft Learn, REST reference).

use std::fmt::Write;
use std::ops::Range;

use super::super::answer::{Answer, XML_HEAD};
use super::super::blob::{Blob, Revision, check_sequence};
use super::super::pages::{PAGE, PageKind, PageRun};
use super::super::refusal::{self, Refusal};
use super::Step;
use super::container::list_limit;

/// The most bytes of one Put Page.
pub(crate) const MAX_PUT: u64 = 4 << 20;

impl Step<'_> {
    pub(super) fn put_page(&mut self) -> Result<Answer, Refusal> {
        if self.body.len > MAX_PUT {
            return Err(refusal::REQUEST_BODY_TOO_LARGE);
        }
        let range = self.aligned_range()?;
        if range.end - range.start > MAX_PUT {
            return Err(refusal::REQUEST_BODY_TOO_LARGE);
        }
        if range.end - range.start != self.body.len {
            return Err(refusal::INVALID_HEADER_VALUE);
        }
        let body = self.body;
        let answer = self.change_pages(&range, |blob| {
            blob.now.content.pages_mut().map(|pages| pages.write(range.clone(), &body.frames))
        })?;
        let answer = answer.with("x-ms-request-server-encrypted", "true");
        Ok(match self.call.header("x-ms-content-crc64") {
            Some(crc) => answer.with("x-ms-content-crc64", crc),
            None => answer,
        })
    }

    pub(super) fn clear_page(&mut self) -> Result<Answer, Refusal> {
        let checksums = ["content-md5", "x-ms-content-crc64"];
        if self.body.len > 0 || checksums.iter().any(|name| self.call.header(name).is_some()) {
            return Err(refusal::INVALID_HEADER_VALUE);
        }
        let range = self.aligned_range()?;
        self.change_pages(&range, |blob| blob.now.content.pages_mut().map(|pages| pages.clear(&range)))
    }

    fn change_pages(
        &mut self,
        range: &Range<u64>,
        change: impl FnOnce(&mut Blob) -> Result<(), Refusal>,
    ) -> Result<Answer, Refusal> {
        let (call, now, etag) = (self.call, self.now, self.account.next_etag());
        let blob = self.account.blob_mut(call)?;
        let len = blob.now.content.pages()?.len();
        blob.admit_write(call, now)?;
        check_sequence(call, blob.now.sequence)?;
        if range.end > len {
            return Err(refusal::INVALID_PAGE_RANGE);
        }
        change(blob)?;
        blob.touch(etag, now);
        let answer = Answer::new(201).with_marks(&blob.now);
        Ok(answer.with("x-ms-blob-sequence-number", blob.now.sequence.to_string()))
    }

    /// The range of a page write: both ends given, both aligned.
    fn aligned_range(&self) -> Result<Range<u64>, Refusal> {
        let range = self.call.range()?.ok_or(refusal::MISSING_REQUIRED_HEADER)?;
        let end = range.last.ok_or(refusal::INVALID_HEADER_VALUE)?.checked_add(1);
        let end = end.filter(|end| end.is_multiple_of(PAGE) && range.start.is_multiple_of(PAGE));
        Ok(range.start..end.ok_or(refusal::INVALID_PAGE_RANGE)?)
    }

    pub(super) fn get_page_ranges(&mut self) -> Result<Answer, Refusal> {
        let blob = self.account.blob(self.call)?;
        let revision = blob.revision(self.call.query.get("snapshot"))?;
        let pages = revision.content.pages()?;
        blob.admit_read(self.call, revision, self.now)?;
        self.page_list(revision, &pages.written(&self.window(revision)?))
    }

    pub(super) fn get_page_ranges_diff(&mut self) -> Result<Answer, Refusal> {
        let blob = self.account.blob(self.call)?;
        let snapshot = self.call.query.get("snapshot");
        let revision = blob.revision(snapshot)?;
        let pages = revision.content.pages()?;
        blob.admit_read(self.call, revision, self.now)?;
        let name = self.call.query.get("prevsnapshot").unwrap_or("");
        let previous = blob.snapshots.get(name).ok_or(refusal::PREVIOUS_SNAPSHOT_NOT_FOUND)?;
        if snapshot.is_some_and(|snapshot| name > snapshot) {
            return Err(refusal::PREVIOUS_SNAPSHOT_CANNOT_BE_NEWER);
        }
        if previous.incarnation != revision.incarnation {
            return Err(refusal::BLOB_OVERWRITTEN);
        }
        self.page_list(revision, &pages.changed_since(previous.content.pages()?, &self.window(revision)?))
    }

    /// The part of the blob that a page list is about: the range that is asked for, from the marker on.
    fn window(&self, revision: &Revision) -> Result<Range<u64>, Refusal> {
        let len = revision.content.len();
        let asked = match self.call.range()? {
            None => 0..len,
            Some(range) if range.start >= len => return Err(refusal::INVALID_RANGE),
            Some(range) => range.start..range.last.map_or(len, |last| len.min(last.saturating_add(1))),
        };
        let marker = self.call.query.get("marker").map(|marker| u64::from_str_radix(marker, 16));
        match marker {
            None => Ok(asked),
            Some(Ok(from)) => Ok(asked.start.max(from)..asked.end),
            Some(Err(_)) => Err(refusal::INVALID_QUERY_PARAMETER_VALUE),
        }
    }

    /// Written and cleared ranges interleave, in the order of their offsets.
    fn page_list(&self, revision: &Revision, runs: &[PageRun]) -> Result<Answer, Refusal> {
        let query = &self.call.query;
        let limit = list_limit(query.get("maxresults"), self.account.list_limit)?;
        let mut xml = format!("{XML_HEAD}<PageList>");
        for PageRun { kind, range } in runs.iter().take(limit) {
            let name = match kind {
                PageKind::Written => "PageRange",
                PageKind::Cleared => "ClearRange",
            };
            let (start, last) = (range.start, range.end - 1);
            let _ = write!(xml, "<{name}><Start>{start}</Start><End>{last}</End></{name}>");
        }
        if let Some(next) = runs.get(limit) {
            let _ = write!(xml, "<NextMarker>{:016X}</NextMarker>", next.range.start);
        } else if query.get("maxresults").or(query.get("marker")).is_some() {
            xml.push_str("<NextMarker/>");
        }
        xml.push_str("</PageList>");
        let answer = Answer::new(200).with_marks(revision).with_xml(xml);
        Ok(answer.with("x-ms-blob-content-length", revision.content.len().to_string()))
    }
}
