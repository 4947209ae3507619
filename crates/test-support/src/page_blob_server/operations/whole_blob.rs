//! Operations on whole blobs (Microsoft Learn, REST reference, "Operations on blobs").

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest, Md5};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::answer::{Answer, AnswerContent};
use super::super::blob::{Access, Blob, Content, Revision, check_conditions};
use super::super::clock::http_date;
use super::super::pages::{PAGE, PageMap};
use super::super::refusal::{self, Refusal};
use super::Step;

/// Microsoft Learn, "Scalability and performance targets for Blob storage".
const MAX_PAGE_BLOB: u64 = 8 << 40;

/// The longest read that goes back in one piece, and the longest that may carry a checksum.
const ONE_PIECE: u64 = 4 << 20;

impl Step<'_> {
    pub(super) fn create_page_blob(&mut self) -> Result<Answer, Refusal> {
        let len = page_blob_len(self.call.required_number("x-ms-blob-content-length")?)?;
        let sequence = self.call.number::<i64>("x-ms-blob-sequence-number")?.unwrap_or(0);
        if sequence < 0 || self.body.len > 0 {
            return Err(refusal::INVALID_HEADER_VALUE);
        }
        let pages = PageMap::new(len, self.account.storage);
        self.put_blob(Content::Pages(pages), sequence)
    }

    pub(super) fn put_block_blob(&mut self) -> Result<Answer, Refusal> {
        let answer = self.put_blob(Content::Block(self.body.whole()), 0)?;
        self.account.container_mut(&self.call.container)?.blocks.remove(&self.call.blob);
        Ok(answer)
    }

    fn put_blob(&mut self, content: Content, sequence: i64) -> Result<Answer, Refusal> {
        let (call, now) = (self.call, self.now);
        let metadata = call.metadata()?;
        match self.account.container(&call.container)?.blobs.get(&call.blob) {
            Some(_) if call.header("if-none-match") == Some("*") => return Err(refusal::BLOB_ALREADY_EXISTS),
            Some(blob) => blob.admit_write(call, now)?,
            None => check_conditions(call, None, Access::Write)?,
        }
        let blob = self.account.put_blob((&call.container, &call.blob), content, metadata, sequence, now)?;
        Ok(Answer::new(201).with_marks(&blob.now).with("x-ms-request-server-encrypted", "true"))
    }

    pub(super) fn put_block(&mut self) -> Result<Answer, Refusal> {
        let (call, now) = (self.call, self.now);
        let id = call.query.get("blockid").ok_or(refusal::INVALID_QUERY_PARAMETER_VALUE)?;
        let container = self.account.container_mut(&call.container)?;
        if let Some(blob) = container.blobs.get(&call.blob) {
            blob.lease.check_write(call.lease_id()?, now)?;
        }
        container.blocks.entry(call.blob.clone()).or_default().insert(id.to_owned(), self.body.whole());
        Ok(Answer::new(201).with("x-ms-request-server-encrypted", "true"))
    }

    /// Put Block List of blocks that were put since the last one; blocks of the blob that is there are not
    /// remembered.
    pub(super) fn put_block_list(&mut self) -> Result<Answer, Refusal> {
        let ids = read_block_list(&self.body.whole())?;
        let none = std::collections::BTreeMap::new();
        let blocks = self.account.container(&self.call.container)?.blocks.get(&self.call.blob).unwrap_or(&none);
        let parts: Option<Vec<Bytes>> = ids.iter().map(|id| blocks.get(id).cloned()).collect();
        let content = parts.ok_or(refusal::INVALID_BLOCK_LIST)?.concat();
        let answer = self.put_blob(Content::Block(content.into()), 0)?;
        self.account.container_mut(&self.call.container)?.blocks.remove(&self.call.blob);
        Ok(answer)
    }

    pub(super) fn get_blob(&mut self) -> Result<Answer, Refusal> {
        let (blob, revision) = self.revision()?;
        let len = revision.content.len();
        let (status, range) = match self.call.range()? {
            None => (200, 0..len),
            Some(range) if range.start >= len => return Err(refusal::INVALID_RANGE),
            Some(range) => (206, range.start..range.last.map_or(len, |last| len.min(last.saturating_add(1)))),
        };
        let mut answer = self.described(Answer::new(status), blob, revision);
        if status == 206 {
            answer = answer.with("content-range", format!("bytes {}-{}/{len}", range.start, range.end - 1));
        }
        let wants = |name: &str| self.call.header(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let (md5, crc) = (wants("x-ms-range-get-content-md5"), wants("x-ms-range-get-content-crc64"));
        if (md5 || crc) && (status == 200 || range.end - range.start > ONE_PIECE || md5 && crc) {
            return Err(refusal::INVALID_HEADER_VALUE);
        }
        answer.content = match &revision.content {
            Content::Block(bytes) => AnswerContent::Bytes(bytes.slice(range.start as usize..range.end as usize)),
            Content::Pages(pages) if range.end - range.start > ONE_PIECE => {
                AnswerContent::Pages { pages: Box::new(pages.clone()), next: range.start, end: range.end }
            }
            Content::Pages(pages) => AnswerContent::Bytes(pages.read(&range).into()),
        };
        Ok(match &answer.content {
            AnswerContent::Bytes(bytes) if crc => {
                let mut digest = crc64fast_nvme::Digest::new();
                digest.write(bytes);
                let sum = BASE64.encode(digest.sum64().to_le_bytes());
                answer.with("x-ms-content-crc64", sum)
            }
            AnswerContent::Bytes(bytes) if md5 => {
                let sum = BASE64.encode(Md5::digest(bytes));
                answer.with("content-md5", sum)
            }
            _ => answer,
        })
    }

    pub(super) fn get_blob_properties(&mut self) -> Result<Answer, Refusal> {
        let (blob, revision) = self.revision()?;
        let answer = Answer::new(200).with("content-length", revision.content.len().to_string());
        Ok(self.described(answer, blob, revision))
    }

    fn revision(&self) -> Result<(&Blob, &Revision), Refusal> {
        let blob = self.account.blob(self.call)?;
        let revision = blob.revision(self.call.query.get("snapshot"))?;
        blob.admit_read(self.call, revision, self.now)?;
        Ok((blob, revision))
    }

    fn described(&self, answer: Answer, blob: &Blob, revision: &Revision) -> Answer {
        let answer = answer
            .with_marks(revision)
            .with_metadata(revision)
            .with("content-type", "application/octet-stream")
            .with("accept-ranges", "bytes")
            .with("x-ms-blob-type", revision.content.type_name())
            .with("x-ms-creation-time", http_date(revision.created))
            .with("x-ms-server-encrypted", "true");
        let answer = match revision.content {
            Content::Pages(_) => answer.with("x-ms-blob-sequence-number", revision.sequence.to_string()),
            Content::Block(_) => answer,
        };
        if self.call.query.get("snapshot").is_some() {
            return answer;
        }
        let words = blob.lease.words(self.now);
        let answer = answer.with("x-ms-lease-state", words.state).with("x-ms-lease-status", words.status);
        match words.duration {
            Some(duration) => answer.with("x-ms-lease-duration", duration),
            None => answer,
        }
    }

    pub(super) fn delete_blob(&mut self) -> Result<Answer, Refusal> {
        let (call, now) = (self.call, self.now);
        let which = call.header("x-ms-delete-snapshots");
        let blobs = &mut self.account.container_mut(&call.container)?.blobs;
        let blob = blobs.get_mut(&call.blob).ok_or(refusal::BLOB_NOT_FOUND)?;
        if let Some(snapshot) = call.query.get("snapshot") {
            if which.is_some() {
                return Err(refusal::INVALID_HEADER_VALUE);
            }
            blob.snapshots.remove(snapshot).ok_or(refusal::BLOB_NOT_FOUND)?;
            return Ok(Answer::new(202));
        }
        blob.admit_write(call, now)?;
        match which {
            None if !blob.snapshots.is_empty() => return Err(refusal::SNAPSHOTS_PRESENT),
            None | Some("include") => drop(blobs.remove(&call.blob)),
            Some("only") => blob.snapshots.clear(),
            Some(_) => return Err(refusal::INVALID_HEADER_VALUE),
        }
        Ok(Answer::new(202))
    }

    pub(super) fn set_blob_metadata(&mut self) -> Result<Answer, Refusal> {
        let metadata = self.call.metadata()?;
        let blob = self.write_blob(|revision| {
            revision.metadata = metadata;
            Ok(())
        })?;
        Ok(Answer::new(200).with_marks(&blob.now).with("x-ms-request-server-encrypted", "true"))
    }

    /// Set Blob Properties, of which only length and sequence number are kept.
    pub(super) fn set_blob_properties(&mut self) -> Result<Answer, Refusal> {
        let call = self.call;
        let len = call.number::<u64>("x-ms-blob-content-length")?.map(page_blob_len).transpose()?;
        let action = call.header("x-ms-sequence-number-action");
        let number = call.number::<i64>("x-ms-blob-sequence-number")?;
        let blob = self.write_blob(|revision| {
            if len.is_some() || action.is_some() {
                let pages = revision.content.pages_mut()?;
                revision.sequence = next_sequence(action, number, revision.sequence)?;
                if let Some(len) = len {
                    pages.resize(len);
                }
            }
            Ok(())
        })?;
        let answer = Answer::new(200).with_marks(&blob.now);
        Ok(match blob.now.content {
            Content::Pages(_) => answer.with("x-ms-blob-sequence-number", blob.now.sequence.to_string()),
            Content::Block(_) => answer,
        })
    }

    fn write_blob(&mut self, write: impl FnOnce(&mut Revision) -> Result<(), Refusal>) -> Result<&Blob, Refusal> {
        let (call, now, etag) = (self.call, self.now, self.account.next_etag());
        let blob = self.account.blob_mut(call)?;
        blob.admit_write(call, now)?;
        write(&mut blob.now)?;
        blob.touch(etag, now);
        Ok(blob)
    }

    /// Snapshot Blob. It is a read: it needs no lease id, but one that is given must be right.
    pub(super) fn snapshot_blob(&mut self) -> Result<Answer, Refusal> {
        let (call, now) = (self.call, self.now);
        let metadata = call.metadata()?;
        let name = self.account.next_snapshot_name(now);
        let own_etag = self.account.next_etag();
        let blob = self.account.blob_mut(call)?;
        blob.lease.check_read(call.lease_id()?, now)?;
        check_conditions(call, Some(blob.now.etag), Access::Write)?;
        let mut snapshot = Revision {
            content: match &mut blob.now.content {
                Content::Pages(pages) => Content::Pages(pages.freeze()),
                Content::Block(bytes) => Content::Block(bytes.clone()),
            },
            ..blob.now.clone()
        };
        if !metadata.is_empty() {
            (snapshot.metadata, snapshot.etag, snapshot.modified) = (metadata, own_etag, now);
        }
        let answer = Answer::new(201).with_marks(&snapshot).with("x-ms-snapshot", name.clone());
        blob.snapshots.insert(name, snapshot);
        Ok(answer.with("x-ms-request-server-encrypted", "true"))
    }
}

fn page_blob_len(len: u64) -> Result<u64, Refusal> {
    if len.is_multiple_of(PAGE) && len <= MAX_PAGE_BLOB { Ok(len) } else { Err(refusal::INVALID_HEADER_VALUE) }
}

fn next_sequence(action: Option<&str>, number: Option<i64>, current: i64) -> Result<i64, Refusal> {
    match (action, number) {
        (None, None) => Ok(current),
        (Some("max" | "update"), None) => Err(refusal::MISSING_REQUIRED_HEADER),
        (Some("max"), Some(number)) if number >= 0 => Ok(current.max(number)),
        (Some("update"), Some(number)) if number >= 0 => Ok(number),
        (Some("increment"), None) => current.checked_add(1).ok_or(refusal::SEQUENCE_NUMBER_INCREMENT_TOO_LARGE),
        _ => Err(refusal::INVALID_HEADER_VALUE),
    }
}

/// The ids of `<BlockList><Latest>id</Latest>…</BlockList>`, in order.
fn read_block_list(xml: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut reader = Reader::from_reader(xml);
    let mut ids = Vec::new();
    loop {
        match reader.read_event().map_err(|_| refusal::INVALID_XML_DOCUMENT)? {
            Event::Start(tag) if matches!(tag.name().as_ref(), b"Latest" | b"Uncommitted") => {
                let text = reader.read_text(tag.name()).map_err(|_| refusal::INVALID_XML_DOCUMENT)?;
                ids.push(text.decode().map_err(|_| refusal::INVALID_XML_DOCUMENT)?.trim().to_owned());
            }
            Event::Start(tag) if tag.name().as_ref() != b"BlockList" => return Err(refusal::INVALID_BLOCK_LIST),
            Event::Eof => return Ok(ids),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_follow_their_action() {
        assert_eq!(next_sequence(Some("max"), Some(3), 5), Ok(5));
        assert_eq!(next_sequence(Some("max"), Some(7), 5), Ok(7));
        assert_eq!(next_sequence(Some("update"), Some(3), 5), Ok(3));
        assert_eq!(next_sequence(Some("increment"), None, 5), Ok(6));
        assert_eq!(next_sequence(Some("increment"), Some(1), 5), Err(refusal::INVALID_HEADER_VALUE));
        assert_eq!(next_sequence(Some("increment"), None, i64::MAX), Err(refusal::SEQUENCE_NUMBER_INCREMENT_TOO_LARGE));
    }

    #[test]
    fn block_lists_keep_their_order() {
        let xml = b"<?xml version=\"1.0\"?><BlockList><Latest>YjI=</Latest><Uncommitted>YjE=</Uncommitted></BlockList>";
        assert_eq!(read_block_list(xml), Ok(vec!["YjI=".to_owned(), "YjE=".to_owned()]));
        assert_eq!(
            read_block_list(b"<BlockList><Committed>YjE=</Committed></BlockList>"),
            Err(refusal::INVALID_BLOCK_LIST)
        );
    }
}
