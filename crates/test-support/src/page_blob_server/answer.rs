//! What goes back, before it is HTTP.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::blob::Revision;
use super::clock::http_date;
use super::pages::PageMap;
use super::refusal::Refusal;

/// Status, headers and body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) content: AnswerContent,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerContent {
    Bytes(Bytes),
    /// The bytes from `next` to `end`, read as they are sent.
    Pages {
        pages: Box<PageMap>,
        next: u64,
        end: u64,
    },
}

impl AnswerContent {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Pages { next, end, .. } => end - next,
        }
    }
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), content: AnswerContent::Bytes(Bytes::new()) }
    }

    /// Adds a header. A value that no header can hold is left out.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    #[must_use]
    pub(crate) fn with_xml(mut self, xml: String) -> Self {
        self.content = AnswerContent::Bytes(xml.into());
        self.with("content-type", "application/xml")
    }

    /// Adds what every answer about a blob says.
    #[must_use]
    pub(crate) fn with_marks(self, revision: &Revision) -> Self {
        self.with("etag", revision.etag.quoted()).with("last-modified", http_date(revision.modified))
    }

    /// Adds the blob's metadata.
    #[must_use]
    pub(crate) fn with_metadata(mut self, revision: &Revision) -> Self {
        for (key, value) in &revision.metadata {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(format!("x-ms-meta-{key}")), value.try_into()) {
                self.headers.insert(name, value);
            }
        }
        self
    }

    /// A refusal as the service words it. A `HEAD` gets no body, and neither does 304.
    pub(crate) fn refusing(refusal: &Refusal, request_id: &str, time: &str) -> Self {
        let answer = Self::new(refusal.status).with("x-ms-error-code", refusal.code);
        let answer = match refusal.retry_after {
            Some(wait) => answer.with("retry-after", wait.as_secs().to_string()),
            None => answer,
        };
        let answer = match refusal.status {
            401 => answer.with(
                "www-authenticate",
                "Bearer authorization_uri=https://login.invalid/tenant resource_id=https://storage.azure.com",
            ),
            304 => return answer,
            _ => answer,
        };
        let Refusal { code, message, .. } = refusal;
        answer.with_xml(format!(
            "{XML_HEAD}<Error><Code>{code}</Code><Message>{message}\nRequestId:{request_id}\nTime:{time}</Message></Error>"
        ))
    }
}

/// How the service's documents begin: with a byte-order mark.
pub(crate) const XML_HEAD: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>";
