//! Operations on containers (Microsoft Learn, REST reference, "Operations on containers").

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use quick_xml::escape::escape;

use super::super::account::Container;
use super::super::answer::{Answer, XML_HEAD};
use super::super::blob::{Blob, Revision};
use super::super::clock::http_date;
use super::super::lease::LeaseWords;
use super::super::refusal::{self, Refusal};
use super::Step;

impl Step<'_> {
    pub(super) fn create_container(&mut self) -> Result<Answer, Refusal> {
        let container = self.account.create_container(&self.call.container, self.now)?;
        Ok(Answer::new(201).with_container(container))
    }

    pub(super) fn delete_container(&mut self) -> Result<Answer, Refusal> {
        self.account.containers.remove(&self.call.container).ok_or(refusal::CONTAINER_NOT_FOUND)?;
        Ok(Answer::new(202))
    }

    pub(super) fn get_container_properties(&mut self) -> Result<Answer, Refusal> {
        let container = self.account.container(&self.call.container)?;
        let answer = Answer::new(200).with_container(container);
        Ok(answer.with("x-ms-lease-state", "available").with("x-ms-lease-status", "unlocked"))
    }

    /// Get Account Information; the container in the path need not exist.
    pub(super) fn get_account_information(&self) -> Answer {
        Answer::new(200).with("x-ms-account-kind", self.account.kind).with("x-ms-sku-name", "Standard_LRS")
    }

    /// List Blobs without a delimiter. Snapshots come before the blob that they are of, oldest first.
    pub(super) fn list_blobs(&mut self) -> Result<Answer, Refusal> {
        let query = &self.call.query;
        if ["delimiter", "startFrom", "showonly"].iter().any(|name| query.get(name).is_some()) {
            return Err(refusal::UNSUPPORTED_QUERY_PARAMETER);
        }
        let include: Vec<&str> = query.get("include").unwrap_or("").split(',').collect();
        let limit = list_limit(query.get("maxresults"), self.account.list_limit.min(5000))?;
        let prefix = query.get("prefix").unwrap_or("");
        let from = query.get("marker").map(read_marker).transpose()?;
        let container = self.account.container(&self.call.container)?;

        let mut entries = container
            .blobs
            .range(prefix.to_owned()..)
            .take_while(|(name, _)| name.starts_with(prefix))
            .flat_map(|(name, blob)| {
                let snapshots = blob.snapshots.iter().filter(|_| include.contains(&"snapshots"));
                let snapshots = snapshots.map(move |(id, revision)| Entry { name, id, blob, revision });
                // A live blob sorts after every snapshot of it, whose names are digits.
                snapshots.chain([Entry { name, id: LIVE, blob, revision: &blob.now }])
            })
            .skip_while(|entry| from.as_ref().is_some_and(|from| (entry.name, entry.id) < (&from.0, &from.1)));

        let mut blobs = String::new();
        for entry in entries.by_ref().take(limit) {
            entry.write(&mut blobs, include.contains(&"metadata"), self.now);
        }
        let next = entries.next().map_or(String::new(), |entry| write_marker(entry.name, entry.id));
        Ok(Answer::new(200).with_xml(format!(
            "{XML_HEAD}<EnumerationResults ServiceEndpoint=\"http://{host}/{account}/\" ContainerName=\"{name}\">\
             <Prefix>{prefix}</Prefix><MaxResults>{limit}</MaxResults><Blobs>{blobs}</Blobs>\
             <NextMarker>{next}</NextMarker></EnumerationResults>",
            host = escape(self.call.header("host").unwrap_or("")),
            account = escape(&self.call.account),
            name = self.call.container,
            prefix = escape(prefix),
        )))
    }
}

impl Answer {
    fn with_container(self, container: &Container) -> Self {
        self.with("etag", container.etag.quoted()).with("last-modified", http_date(container.modified))
    }
}

const LIVE: &str = "live";

/// One line of a list of blobs.
struct Entry<'a> {
    name: &'a str,
    id: &'a str,
    blob: &'a Blob,
    revision: &'a Revision,
}

impl Entry<'_> {
    fn write(&self, out: &mut String, with_metadata: bool, now: jiff::Timestamp) {
        let Revision { content, metadata, sequence, etag, created, modified, .. } = self.revision;
        let live = self.id == LIVE;
        let _ = write!(out, "<Blob><Name>{}</Name>", escape(self.name));
        if !live {
            let _ = write!(out, "<Snapshot>{}</Snapshot>", self.id);
        }
        let _ = write!(
            out,
            "<Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified><Etag>{}</Etag>\
             <Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type>\
             <BlobType>{}</BlobType>",
            http_date(*created),
            http_date(*modified),
            etag.bare(),
            content.len(),
            content.type_name(),
        );
        if content.pages().is_ok() {
            let _ = write!(out, "<x-ms-blob-sequence-number>{sequence}</x-ms-blob-sequence-number>");
        }
        if live {
            let LeaseWords { state, status, .. } = self.blob.lease.words(now);
            let _ = write!(out, "<LeaseStatus>{status}</LeaseStatus><LeaseState>{state}</LeaseState>");
        }
        out.push_str("<ServerEncrypted>true</ServerEncrypted></Properties>");
        if with_metadata {
            out.push_str("<Metadata>");
            for (key, value) in metadata {
                let _ = write!(out, "<{key}>{}</{key}>", escape(value));
            }
            out.push_str("</Metadata>");
        }
        out.push_str("</Blob>");
    }
}

/// `maxresults`, or else `most`; never more than that.
pub(super) fn list_limit(asked: Option<&str>, most: usize) -> Result<usize, Refusal> {
    match asked.map(str::parse::<usize>) {
        None => Ok(most),
        Some(Ok(asked)) if asked > 0 => Ok(asked.min(most)),
        Some(_) => Err(refusal::OUT_OF_RANGE_QUERY_PARAMETER_VALUE),
    }
}

fn write_marker(name: &str, id: &str) -> String {
    BASE64.encode(format!("{id}/{name}"))
}

fn read_marker(marker: &str) -> Result<(String, String), Refusal> {
    let bytes = BASE64.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once('/'));
    let (id, name) = parts.ok_or(refusal::INVALID_QUERY_PARAMETER_VALUE)?;
    Ok((name.to_owned(), id.to_owned()))
}
