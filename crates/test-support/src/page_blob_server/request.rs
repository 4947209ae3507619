//! What is asked: the operation, whom it is about, and its headers and parameters, read as the service reads
//! them.
//!
//! Addressing is path style, as for the emulator: `/account/container/blob`; or, for a host like
//! `account.blob.core.windows.net`, as for Azure: `/container/blob`.

use std::collections::BTreeMap;

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use uuid::Uuid;

use super::refusal::{self, Refusal};

/// The operations that the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are named after the pages of the REST reference")]
pub enum Op {
    CreateContainer,
    DeleteContainer,
    GetContainerProperties,
    GetAccountInformation,
    ListBlobs,
    CreatePageBlob,
    PutBlockBlob,
    PutBlock,
    PutBlockList,
    GetBlob,
    GetBlobProperties,
    DeleteBlob,
    SetBlobMetadata,
    SetBlobProperties,
    ResizeBlob,
    SetSequenceNumber,
    SnapshotBlob,
    AcquireLease,
    RenewLease,
    ChangeLease,
    ReleaseLease,
    BreakLease,
    PutPage,
    ClearPage,
    GetPageRanges,
    GetPageRangesDiff,
}

/// What a shared access signature must permit (Microsoft Learn, "Create a service SAS", permissions for a blob).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permissions(pub(crate) &'static str);

impl Op {
    /// The letters of `sp` of which one must be there.
    pub(crate) fn permissions(self) -> Permissions {
        Permissions(match self {
            Self::ListBlobs => "l",
            // Any signature over anything may ask (Microsoft Learn, "Get Account Information").
            Self::GetAccountInformation => "racwdl",
            Self::GetContainerProperties
            | Self::GetBlob
            | Self::GetBlobProperties
            | Self::GetPageRanges
            | Self::GetPageRangesDiff => "r",
            Self::DeleteBlob | Self::DeleteContainer => "d",
            Self::CreatePageBlob | Self::PutBlockBlob | Self::SnapshotBlob | Self::CreateContainer => "cw",
            _ => "w",
        })
    }

    fn of(method: &Method, headers: &HeaderMap, query: &Query, on_blob: bool) -> Result<Self, Refusal> {
        let is = |name: &str, value: &str| header(headers, name).is_some_and(|sent| sent.eq_ignore_ascii_case(value));
        let comp = query.get("comp");
        let container = query.get("restype") == Some("container");
        if !on_blob {
            return match (method, comp) {
                (&Method::GET | &Method::HEAD, Some("properties")) if query.get("restype") == Some("account") => {
                    Ok(Self::GetAccountInformation)
                }
                (_, _) if !container => Err(refusal::INVALID_QUERY_PARAMETER_VALUE),
                (&Method::PUT, None) => Ok(Self::CreateContainer),
                (&Method::DELETE, None) => Ok(Self::DeleteContainer),
                (&Method::GET | &Method::HEAD, None) => Ok(Self::GetContainerProperties),
                (&Method::GET, Some("list")) => Ok(Self::ListBlobs),
                (_, Some(_)) => Err(refusal::INVALID_QUERY_PARAMETER_VALUE),
                _ => Err(refusal::UNSUPPORTED_HTTP_VERB),
            };
        }
        match (method, comp) {
            (&Method::PUT, None) if is("x-ms-blob-type", "PageBlob") => Ok(Self::CreatePageBlob),
            (&Method::PUT, None) if is("x-ms-blob-type", "BlockBlob") => Ok(Self::PutBlockBlob),
            (&Method::PUT, None) if headers.contains_key("x-ms-blob-type") => Err(refusal::INVALID_HEADER_VALUE),
            (&Method::PUT, None) => Err(refusal::MISSING_REQUIRED_HEADER),
            (&Method::GET, None) => Ok(Self::GetBlob),
            (&Method::HEAD, None) => Ok(Self::GetBlobProperties),
            (&Method::DELETE, None) => Ok(Self::DeleteBlob),
            (&Method::PUT, Some("block")) => Ok(Self::PutBlock),
            (&Method::PUT, Some("blocklist")) => Ok(Self::PutBlockList),
            (&Method::PUT, Some("metadata")) => Ok(Self::SetBlobMetadata),
            (&Method::PUT, Some("properties")) if headers.contains_key("x-ms-blob-content-length") => {
                Ok(Self::ResizeBlob)
            }
            (&Method::PUT, Some("properties")) if headers.contains_key("x-ms-sequence-number-action") => {
                Ok(Self::SetSequenceNumber)
            }
            (&Method::PUT, Some("properties")) => Ok(Self::SetBlobProperties),
            (&Method::PUT, Some("snapshot")) => Ok(Self::SnapshotBlob),
            (&Method::PUT, Some("page")) if is("x-ms-page-write", "update") => Ok(Self::PutPage),
            (&Method::PUT, Some("page")) if is("x-ms-page-write", "clear") => Ok(Self::ClearPage),
            (&Method::PUT, Some("page")) => Err(required_word(headers, "x-ms-page-write")),
            (&Method::PUT, Some("lease")) if is("x-ms-lease-action", "acquire") => Ok(Self::AcquireLease),
            (&Method::PUT, Some("lease")) if is("x-ms-lease-action", "renew") => Ok(Self::RenewLease),
            (&Method::PUT, Some("lease")) if is("x-ms-lease-action", "change") => Ok(Self::ChangeLease),
            (&Method::PUT, Some("lease")) if is("x-ms-lease-action", "release") => Ok(Self::ReleaseLease),
            (&Method::PUT, Some("lease")) if is("x-ms-lease-action", "break") => Ok(Self::BreakLease),
            (&Method::PUT, Some("lease")) => Err(required_word(headers, "x-ms-lease-action")),
            (&Method::GET, Some("pagelist")) if query.get("prevsnapshot").is_some() => Ok(Self::GetPageRangesDiff),
            (&Method::GET, Some("pagelist")) => Ok(Self::GetPageRanges),
            (_, Some(_)) => Err(refusal::INVALID_QUERY_PARAMETER_VALUE),
            _ => Err(refusal::UNSUPPORTED_HTTP_VERB),
        }
    }
}

fn required_word(headers: &HeaderMap, name: &str) -> Refusal {
    if headers.contains_key(name) { refusal::INVALID_HEADER_VALUE } else { refusal::MISSING_REQUIRED_HEADER }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Bytes from `start` to the end, or to `last` inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) start: u64,
    pub(crate) last: Option<u64>,
}

/// The decoded parameters of a URL, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(raw: &str) -> Self {
        let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect(),
        )
    }

    /// The last value of `name`, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// One request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) account: String,
    pub(crate) container: String,
    /// Empty when the request is about the container.
    pub(crate) blob: String,
    pub(crate) query: Query,
    pub(crate) parts: Parts,
}

/// The account in the host's name, if it is there.
fn account_of_host(headers: &HeaderMap) -> Option<&str> {
    header(headers, "host")?.split_once(".blob.").map(|(account, _)| account)
}

impl Call {
    pub(crate) fn parse(parts: Parts) -> Result<Self, Refusal> {
        let path = parts.uri.path().trim_start_matches('/');
        let path = match account_of_host(&parts.headers) {
            Some(account) => format!("{account}/{path}"),
            None => path.to_owned(),
        };
        let mut names = path.splitn(3, '/');
        let mut next = || decode_name(names.next().unwrap_or(""));
        let (account, container, blob) = (next()?, next()?, next()?);
        let query = Query::parse(parts.uri.query().unwrap_or(""));
        check_container_name(&container)?;
        if blob.chars().count() > 1024 {
            return Err(refusal::OUT_OF_RANGE_INPUT);
        }
        let op = Op::of(&parts.method, &parts.headers, &query, !blob.is_empty())?;
        Ok(Self { op, account, container, blob, query, parts })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.parts.headers, name).map(str::trim)
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.header(name).map(|value| value.parse().map_err(|_| refusal::INVALID_HEADER_VALUE)).transpose()
    }

    pub(crate) fn required_number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Refusal> {
        self.number(name)?.ok_or(refusal::MISSING_REQUIRED_HEADER)
    }

    pub(crate) fn id(&self, name: &str) -> Result<Option<Uuid>, Refusal> {
        self.header(name).map(|id| Uuid::parse_str(id).map_err(|_| refusal::INVALID_HEADER_VALUE)).transpose()
    }

    pub(crate) fn required_id(&self, name: &str) -> Result<Uuid, Refusal> {
        self.id(name)?.ok_or(refusal::MISSING_REQUIRED_HEADER)
    }

    pub(crate) fn lease_id(&self) -> Result<Option<Uuid>, Refusal> {
        self.id("x-ms-lease-id")
    }

    /// `x-ms-range`, or else `Range`.
    pub(crate) fn range(&self) -> Result<Option<ByteRange>, Refusal> {
        let Some(text) = self.header("x-ms-range").or_else(|| self.header("range")) else { return Ok(None) };
        parse_range(text).map(Some).ok_or(refusal::INVALID_HEADER_VALUE)
    }

    /// The `x-ms-meta-` pairs. Names are C# identifiers, and all of them together at most 8 KiB (Microsoft
    /// Learn, "Setting and retrieving properties and metadata for Blob service resources").
    pub(crate) fn metadata(&self) -> Result<BTreeMap<String, String>, Refusal> {
        let mut pairs = BTreeMap::new();
        for (name, value) in &self.parts.headers {
            let Some(key) = name.as_str().strip_prefix("x-ms-meta-") else { continue };
            let value = value.to_str().map_err(|_| refusal::INVALID_METADATA)?;
            if key.is_empty() {
                return Err(refusal::EMPTY_METADATA_KEY);
            }
            let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if key.starts_with(|c: char| c.is_ascii_digit()) || !key.chars().all(identifier) {
                return Err(refusal::INVALID_METADATA);
            }
            pairs.insert(key.to_owned(), value.to_owned());
        }
        let size: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > 8 << 10 { Err(refusal::METADATA_TOO_LARGE) } else { Ok(pairs) }
    }
}

fn decode_name(raw: &str) -> Result<String, Refusal> {
    percent_decode_str(raw).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| refusal::INVALID_URI)
}

/// Microsoft Learn, "Naming and referencing containers, blobs, and metadata".
pub(crate) fn check_container_name(name: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(3..=63).contains(&name.len()) {
        return Err(refusal::OUT_OF_RANGE_INPUT);
    }
    if !name.chars().all(allowed) || name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        return Err(refusal::INVALID_RESOURCE_NAME);
    }
    Ok(())
}

fn parse_range(text: &str) -> Option<ByteRange> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    last.is_none_or(|last| last >= start).then_some(ByteRange { start, last })
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn call(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Call, Refusal> {
        let builder = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        Call::parse(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn slashes_in_a_blob_name_may_be_escaped_or_not() {
        let plain = call("HEAD", "/acct/replicas/web/01.vhd", &[]).unwrap();
        let escaped = call("HEAD", "/acct/replicas/web%2F01.vhd", &[]).unwrap();
        assert_eq!(
            (plain.account.as_str(), plain.container.as_str(), plain.blob.as_str()),
            ("acct", "replicas", "web/01.vhd")
        );
        assert_eq!(escaped.blob, plain.blob);
    }

    #[test]
    fn x_ms_range_comes_before_range() {
        let headers = [("x-ms-range", "bytes=512-1023"), ("range", "bytes=0-511")];
        let found = call("GET", "/acct/replicas/b", &headers).unwrap().range().unwrap();
        assert_eq!(found, Some(ByteRange { start: 512, last: Some(1023) }));
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        assert_eq!(parse_range("bytes=5-4"), None);
        assert_eq!(parse_range("bytes=-5"), None);
        assert_eq!(parse_range("pages=0-5"), None);
        assert_eq!(parse_range("bytes=0-99999999999999999999"), None);
    }

    #[test]
    fn container_names_are_checked_as_documented() {
        assert_eq!(check_container_name("ab"), Err(refusal::OUT_OF_RANGE_INPUT));
        assert_eq!(check_container_name("Replicas"), Err(refusal::INVALID_RESOURCE_NAME));
        assert_eq!(check_container_name("a--b"), Err(refusal::INVALID_RESOURCE_NAME));
        assert_eq!(check_container_name("replicas-1"), Ok(()));
    }

    #[test]
    fn metadata_names_are_identifiers() {
        let with = |name: &str| call("PUT", "/acct/replicas/b?comp=metadata", &[(name, "v")]).unwrap().metadata();
        assert_eq!(with("x-ms-meta-block_size").unwrap()["block_size"], "v");
        assert_eq!(with("x-ms-meta-block-size"), Err(refusal::INVALID_METADATA));
        assert_eq!(with("x-ms-meta-1st"), Err(refusal::INVALID_METADATA));
    }

    #[test]
    fn a_page_write_without_its_kind_is_refused() {
        let refused = call("PUT", "/acct/replicas/b?comp=page", &[]).unwrap_err();
        assert_eq!(refused, refusal::MISSING_REQUIRED_HEADER);
    }

    #[test]
    fn a_pagelist_with_a_previous_snapshot_is_a_diff() {
        let found =
            call("GET", "/acct/replicas/b?comp=pagelist&prevsnapshot=2026-01-01T00:00:00.0000000Z", &[]).unwrap();
        assert_eq!(found.op, Op::GetPageRangesDiff);
        assert_eq!(found.query.get("prevsnapshot"), Some("2026-01-01T00:00:00.0000000Z"));
    }
}
