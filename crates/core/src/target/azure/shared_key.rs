//! Shared Key: signing a request with the key of the storage account.
//!
//! The client library signs with tokens only, so this is ours. The policy runs on every try, so that the
//! date that it signs is fresh; it must come after every policy that adds a header.
//!
//! Source: Microsoft Learn, "Authorize with Shared Key" (version 2015-02-21 and later: an empty body
//! signs an empty Content-Length).

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, MS_DATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use azure_core::time::{OffsetDateTime, to_rfc7231};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// The standard headers that are signed by position, Content-Length excepted; it comes third.
const SIGNED_AFTER_LENGTH: [&str; 8] = [
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// Signs every request of one account.
pub(super) struct SharedKeyPolicy {
    account: String,
    mac: Secret<Hmac<Sha256>>,
}

impl SharedKeyPolicy {
    pub(super) fn new(account: String, key: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { account, mac: Secret::new(mac) }
    }

    fn authorization(&self, request: &Request) -> String {
        let mut mac = self.mac.expose().clone();
        mac.update(string_to_sign(&self.account, request).as_bytes());
        format!("SharedKey {}:{}", self.account, BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SharedKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeyPolicy").field("account", &self.account).finish_non_exhaustive()
    }
}

#[async_trait]
impl Policy for SharedKeyPolicy {
    // The trait leaves the lifetime out, and so must this.
    #[allow(elided_lifetimes_in_paths)]
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header(MS_DATE, to_rfc7231(&OffsetDateTime::now_utc()));
        let authorization = self.authorization(request);
        request.insert_header(AUTHORIZATION, authorization);
        next[0].send(ctx, request, &next[1..]).await
    }
}

fn string_to_sign(account: &str, request: &Request) -> String {
    let mut text = String::with_capacity(1024);
    let header = |name: &'static str| {
        request.headers().get_optional_str(&HeaderName::from_static(name)).unwrap_or_default().trim()
    };
    push_line(&mut text, request.method().as_ref());
    push_line(&mut text, header("content-encoding"));
    push_line(&mut text, header("content-language"));
    // The body's own length: the transport sets the header later than this runs.
    match request.body().len() {
        None | Some(0) => text.push('\n'),
        Some(len) => writeln!(text, "{len}").expect("a String takes every write"),
    }
    for name in SIGNED_AFTER_LENGTH {
        push_line(&mut text, header(name));
    }
    push_canonical_headers(&mut text, request);
    push_canonical_resource(&mut text, account, request);
    text
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn push_canonical_headers(text: &mut String, request: &Request) {
    let mut headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    headers.sort_by(|left, right| service_order(left.0, right.0));
    for (name, value) in headers {
        text.push_str(name);
        text.push(':');
        push_line(text, value.trim());
    }
}

/// The order in which the service sorts header names: hyphens do not count, `_` comes before digits, and
/// digits before letters. It differs from byte order for metadata names such as `a_x` and `a1`.
///
/// Source: `azure/storage/blob/_shared/authentication.py` of azure-storage-blob 12.31.1 for Python, which
/// "attempts to emulate the sorting done by the service".
fn service_order(left: &str, right: &str) -> Ordering {
    fn weights(name: &str) -> impl Iterator<Item = u8> + '_ {
        name.bytes().filter(|byte| *byte != b'-').map(|byte| if byte == b'_' { 0 } else { byte })
    }
    weights(left).cmp(weights(right)).then_with(|| left.cmp(right))
}

/// `/account` and the path as it is sent, so that a path-style URL names the account twice; then each
/// query parameter, decoded, sorted by name, with repeated ones joined.
fn push_canonical_resource(text: &mut String, account: &str, request: &Request) {
    text.push('/');
    text.push_str(account);
    text.push_str(request.url().path());
    let mut parameters: Vec<(String, String)> =
        request.url().query_pairs().map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned())).collect();
    parameters.sort();
    let mut last = None;
    for (name, value) in &parameters {
        if last == Some(name) {
            text.push(',');
        } else {
            text.push('\n');
            text.push_str(name);
            text.push(':');
        }
        text.push_str(value);
        last = Some(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::http::Method;
    use bytes::Bytes;

    fn put_page() -> Request {
        let url = "http://127.0.0.1:10000/devstoreaccount1/disks/web%2001.vhd?comp=page&timeout=30&Comp=b";
        let mut request = Request::new(url.parse().unwrap(), Method::Put);
        request.insert_header("x-ms-version", "2026-04-06");
        request.insert_header("x-ms-date", "Mon, 23 Nov 2026 10:00:00 GMT");
        request.insert_header("x-ms-meta-a1", "one");
        request.insert_header("x-ms-meta-a_x", " padded ");
        request.insert_header("x-ms-meta-ab", "two");
        request.insert_header("content-type", "application/octet-stream");
        request.insert_header("range", "bytes=0-511");
        request.insert_header("if-match", "\"0x8D\"");
        request.set_body(Bytes::from_static(&[0; 512]));
        request
    }

    #[test]
    fn the_string_to_sign_is_as_documented() {
        let expected = "PUT\n\n\n512\n\napplication/octet-stream\n\n\n\"0x8D\"\n\n\nbytes=0-511\n\
            x-ms-date:Mon, 23 Nov 2026 10:00:00 GMT\n\
            x-ms-meta-a_x:padded\nx-ms-meta-a1:one\nx-ms-meta-ab:two\n\
            x-ms-version:2026-04-06\n\
            /devstoreaccount1/devstoreaccount1/disks/web%2001.vhd\ncomp:b,page\ntimeout:30";
        assert_eq!(string_to_sign("devstoreaccount1", &put_page()), expected);
    }

    /// The value is Python's: `base64.b64encode(hmac.new(b"sixteen byte key", text.encode(),
    /// hashlib.sha256).digest())`, `text` being the string of the test above.
    #[test]
    fn the_signature_is_the_one_that_python_computes() {
        let policy = SharedKeyPolicy::new("devstoreaccount1".to_owned(), b"sixteen byte key");
        assert_eq!(
            policy.authorization(&put_page()),
            "SharedKey devstoreaccount1:rYJ2JcXaY7ahuB+VPXkrXhTWLfIyDzptHPUaQC33w2M="
        );
    }

    #[test]
    fn an_empty_body_signs_an_empty_length() {
        let url = "https://acct.blob.core.windows.net/disks/web01.vhd";
        let mut request = Request::new(url.parse().unwrap(), Method::Head);
        request.insert_header("content-length", "0");
        assert_eq!(string_to_sign("acct", &request), "HEAD\n\n\n\n\n\n\n\n\n\n\n\n/acct/disks/web01.vhd");
    }

    #[test]
    fn the_key_never_prints() {
        let printed = format!("{:?}", SharedKeyPolicy::new("acct".to_owned(), b"canary"));
        assert_eq!(printed, "SharedKeyPolicy { account: \"acct\", .. }");
    }
}
