//! What the service said about a failure, made fit to be shown.
//!
//! The body of a refusal may repeat what was asked: a signature, a string to sign, a URL. So only its
//! short message is taken, one detail that is known to be harmless, and both pass through
//! [`Redactor::clean`], which removes the secrets that this target holds and whatever looks like one.
//!
//! Source: Microsoft Learn, "Status and error codes" (XML with `Code` and `Message`; `x-ms-error-code`).

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::{HeaderName, Headers};
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::azure_answer::{Redactor, retry_after};

/// How much of a refusal's body is looked at.
const MAX_BODY: usize = 16 << 10;

/// What a refusal said.
#[derive(Debug)]
pub(super) struct ServiceMessage {
    /// `x-ms-error-code`, or empty.
    pub(super) code: String,
    /// In the service's words, with the id by which Azure's support finds the request.
    pub(super) words: String,
    /// When to come back.
    pub(super) retry_after: Option<Duration>,
    /// What time it was by the service's clock.
    pub(super) date: Option<Timestamp>,
    /// Whether it is the storage service's: each of its answers has an id.
    pub(super) by_storage: bool,
}

/// The header that every answer of the storage service has, and no other server's.
///
/// Source: Microsoft Learn, "Status and error codes" and each operation's response headers.
const REQUEST_ID: &str = "x-ms-request-id";

/// Whether the storage service answered, and not somebody in its place.
pub(super) fn is_by_storage(headers: &Headers) -> bool {
    headers.get_optional_str(&HeaderName::from_static(REQUEST_ID)).is_some()
}

impl ServiceMessage {
    /// Of an error with a status.
    pub(super) fn read(error: &azure_core::Error, redactor: &Redactor) -> Self {
        let ErrorKind::HttpResponse { error_code, raw_response, .. } = error.kind() else {
            return Self {
                code: String::new(),
                words: redactor.clean(&error.to_string()),
                retry_after: None,
                date: None,
                by_storage: false,
            };
        };
        let Some(response) = raw_response else {
            let code = error_code.as_deref().map(|code| redactor.clean(code)).unwrap_or_default();
            return Self { words: code.clone(), code, retry_after: None, date: None, by_storage: false };
        };
        let body = Body::read(response);
        let header = |name: &'static str| response.headers().get_optional_str(&HeaderName::from_static(name));
        let code = header("x-ms-error-code").map_or_else(|| body.code.clone(), str::to_owned);
        let code = redactor.clean(&code);
        let mut words = redactor.clean(&body.words());
        if words.is_empty() {
            words = if code.is_empty() { format!("status {}", u16::from(response.status())) } else { code.clone() };
        }
        if let Some(id) = header(REQUEST_ID) {
            words = format!("{words}, request {}", redactor.clean(id));
        }
        let date =
            header("date").and_then(|date| jiff::fmt::rfc2822::parse(date.trim()).ok()).map(|date| date.timestamp());
        let retry_after = retry_after(response.headers(), Timestamp::now());
        Self { code, words, retry_after, date, by_storage: is_by_storage(response.headers()) }
    }
}

/// The parts of a refusal's XML that are read.
#[derive(Default)]
struct Body {
    code: String,
    message: String,
    detail: String,
}

impl Body {
    fn read(response: &RawResponse) -> Self {
        let bytes: &[u8] = response.body();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BODY)]);
        let mut body = Self::default();
        let mut element = Vec::new();
        let mut reader = Reader::from_str(&text);
        // What cannot be read (another format, cut off) leaves the fields as they are by then.
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => element = start.local_name().as_ref().to_vec(),
                Ok(Event::End(_)) => element.clear(),
                Ok(Event::Text(words)) => {
                    let field = match element.as_slice() {
                        b"Code" => &mut body.code,
                        b"Message" => &mut body.message,
                        b"AuthenticationErrorDetail" => &mut body.detail,
                        _ => continue,
                    };
                    field.push_str(&String::from_utf8_lossy(&words));
                }
                Ok(Event::Eof) | Err(_) => return body,
                Ok(_) => {}
            }
        }
    }

    /// The message's first line (the rest repeats ids), and the detail if it speaks of times only:
    /// others repeat the signature or the string that was signed.
    fn words(&self) -> String {
        let message = self.message.lines().next().unwrap_or_default().trim();
        let detail = self.detail.lines().next().unwrap_or_default().trim();
        if detail.contains("time frame") || detail.contains("expired") {
            format!("{message} {detail}").trim().to_owned()
        } else {
            message.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::http::StatusCode;
    use proptest::prelude::*;

    fn refusal(headers: &[(&'static str, &'static str)], body: &str) -> azure_core::Error {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        let response = RawResponse::from_bytes(StatusCode::Forbidden, all, body.as_bytes().to_vec());
        let kind = ErrorKind::HttpResponse {
            status: StatusCode::Forbidden,
            error_code: None,
            raw_response: Some(Box::new(response)),
        };
        azure_core::Error::with_message(kind, body.to_owned())
    }

    fn nothing_to_hide() -> Redactor {
        Redactor::new([])
    }

    #[test]
    fn the_first_line_of_the_message_is_shown_with_the_request_id() {
        let body = "\u{feff}<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code>\
            <Message>The specified blob does not exist.\nRequestId:7\nTime:now</Message></Error>";
        let message = ServiceMessage::read(&refusal(&[("x-ms-request-id", "r7")], body), &nothing_to_hide());
        assert_eq!(message.code, "BlobNotFound");
        assert_eq!(message.words, "The specified blob does not exist., request r7");
    }

    #[test]
    fn a_detail_is_shown_only_if_it_speaks_of_times() {
        let with = |detail: &str| {
            let body = format!(
                "<Error><Code>AuthenticationFailed</Code><Message>No.</Message>\
                 <AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
            );
            ServiceMessage::read(&refusal(&[], &body), &nothing_to_hide()).words
        };
        assert_eq!(
            with("Signature not valid in the specified time frame: Expiry [x]"),
            "No. Signature not valid in the specified time frame: Expiry [x]"
        );
        assert_eq!(with("The MAC signature found in the HTTP request 'canary' is not the same"), "No.");
    }

    #[test]
    fn the_header_names_the_code_and_a_bodiless_refusal_still_says_something() {
        let message = ServiceMessage::read(&refusal(&[("x-ms-error-code", "ServerBusy")], ""), &nothing_to_hide());
        assert_eq!((message.code.as_str(), message.words.as_str()), ("ServerBusy", "ServerBusy"));
        assert_eq!(ServiceMessage::read(&refusal(&[], ""), &nothing_to_hide()).words, "status 403");
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_reader(body in "\\PC*|<Error>\\PC*|(<[A-Za-z/&;]{0,5}>){0,20}") {
            ServiceMessage::read(&refusal(&[], &body), &nothing_to_hide());
        }
    }
}
