//! Who may ask.
//!
//! Shared Key as in Microsoft Learn, "Authorize with Shared Key" (Blob, from version 2015-02-21 on). In path-style
//! URLs the canonical resource names the account twice, as the emulator's does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use super::refusal::{self, Refusal};
use super::request::Call;

/// How requests must prove who sent them.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    Open,
    /// By a signature with the account's key.
    SharedKey {
        /// The account's name.
        account: String,
        /// Its key, in base64.
        key: String,
    },
    /// By a shared access signature. The server does not work the signature out, it knows it.
    Sas {
        /// What `sig` must be, decoded.
        signature: String,
    },
}

impl Auth {
    pub(crate) fn check(&self, call: &Call, now: Timestamp) -> Result<(), Refusal> {
        match self {
            Self::Open => Ok(()),
            Self::SharedKey { account, key } => check_shared_key(call, account, key, now),
            Self::Sas { signature } => check_sas(call, signature, now),
        }
    }
}

/// How old or new a signed request may be.
///
/// Source: Microsoft Learn, "Authorize with Shared Key", on the date header.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);

fn check_shared_key(call: &Call, account: &str, key: &str, now: Timestamp) -> Result<(), Refusal> {
    let given = call.header("authorization").ok_or(refusal::NO_AUTHENTICATION_INFORMATION)?;
    let given = given.strip_prefix("SharedKey ").and_then(|given| given.split_once(':'));
    let (name, signature) = given.ok_or(refusal::AUTHENTICATION_FAILED)?;
    let date = call.header("x-ms-date").or(call.header("date")).and_then(|date| rfc2822::parse(date).ok());
    let dated = date.is_some_and(|date| date.timestamp().duration_since(now).abs() <= MAX_SKEW);
    let signature = BASE64.decode(signature).map_err(|_| refusal::AUTHENTICATION_FAILED)?;
    let key = BASE64.decode(key).map_err(|_| refusal::AUTHENTICATION_FAILED)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| refusal::AUTHENTICATION_FAILED)?;
    mac.update(string_to_sign(call, account).as_bytes());
    if name == account && call.account == account && dated && mac.verify_slice(&signature).is_ok() {
        Ok(())
    } else {
        Err(refusal::AUTHENTICATION_FAILED)
    }
}

fn string_to_sign(call: &Call, account: &str) -> String {
    let mut text = format!("{}\n", call.parts.method);
    let standard = [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ];
    for name in standard {
        let value = call.header(name).unwrap_or("");
        let skip = name == "content-length" && value == "0" || name == "date" && call.header("x-ms-date").is_some();
        text.push_str(if skip { "" } else { value });
        text.push('\n');
    }
    let mut own: Vec<&str> = call.parts.headers.keys().map(hyper::http::HeaderName::as_str).collect();
    own.retain(|name| name.starts_with("x-ms-"));
    own.sort_unstable();
    for name in own {
        text.push_str(&format!("{name}:{}\n", call.header(name).unwrap_or("")));
    }
    text.push_str(&format!("/{account}{}", call.parts.uri.path()));
    let mut pairs: Vec<(String, &str)> =
        call.query.pairs().iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    pairs.sort();
    for same in pairs.chunk_by(|a, b| a.0 == b.0) {
        let values: Vec<&str> = same.iter().map(|(_, value)| *value).collect();
        text.push_str(&format!("\n{}:{}", same[0].0, values.join(",")));
    }
    text
}

fn check_sas(call: &Call, signature: &str, now: Timestamp) -> Result<(), Refusal> {
    let given = call.query.get("sig").ok_or(refusal::NO_AUTHENTICATION_INFORMATION)?;
    let end = call.query.get("se").and_then(|end| end.parse::<Timestamp>().ok());
    if given != signature || end.is_none_or(|end| end <= now) {
        return Err(refusal::AUTHENTICATION_FAILED);
    }
    let granted = call.query.get("sp").unwrap_or("");
    if granted.chars().any(|letter| call.op.permissions().0.contains(letter)) {
        Ok(())
    } else {
        Err(refusal::AUTHORIZATION_PERMISSION_MISMATCH)
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    /// The documented account and key of the emulator.
    const ACCOUNT: &str = "devstoreaccount1";
    const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    fn call(method: &str, uri: &str, headers: &[(&str, &str)]) -> Call {
        let builder = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        Call::parse(request.body(()).unwrap().into_parts().0).unwrap()
    }

    fn sas(query: &str) -> Result<(), Refusal> {
        let auth = Auth::Sas { signature: "a+b/c=".to_owned() };
        let uri = format!("/acct/replicas/b?{query}");
        auth.check(&call("GET", &uri, &[]), "2026-11-24T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_string_to_sign_is_the_documented_one() {
        let call = call(
            "PUT",
            "/devstoreaccount1/replicas/web%2001.vhd?comp=page&timeout=30",
            &[
                ("content-length", "512"),
                ("content-type", "application/octet-stream"),
                ("range", "bytes=0-511"),
                ("x-ms-version", "2026-04-06"),
                ("x-ms-date", "Tue, 24 Nov 2026 00:00:00 GMT"),
                ("x-ms-page-write", "update"),
            ],
        );
        let expected = "PUT\n\n\n512\n\napplication/octet-stream\n\n\n\n\n\nbytes=0-511\n\
            x-ms-date:Tue, 24 Nov 2026 00:00:00 GMT\nx-ms-page-write:update\nx-ms-version:2026-04-06\n\
            /devstoreaccount1/devstoreaccount1/replicas/web%2001.vhd\ncomp:page\ntimeout:30";
        assert_eq!(string_to_sign(&call, ACCOUNT), expected);
    }

    #[test]
    fn a_wrong_key_and_no_key_are_told_apart() {
        let auth = Auth::SharedKey { account: ACCOUNT.to_owned(), key: KEY.to_owned() };
        let none = call("GET", "/devstoreaccount1/replicas/b", &[]);
        let wrong = [("authorization", "SharedKey devstoreaccount1:AAAA"), ("x-ms-date", "now")];
        let wrong = call("GET", "/devstoreaccount1/replicas/b", &wrong);
        assert_eq!(auth.check(&none, Timestamp::now()), Err(refusal::NO_AUTHENTICATION_INFORMATION));
        assert_eq!(auth.check(&wrong, Timestamp::now()), Err(refusal::AUTHENTICATION_FAILED));
    }

    #[test]
    fn a_shared_access_signature_must_be_right_and_in_time_and_permit_the_operation() {
        assert_eq!(sas("sp=r&se=2026-11-24T01:00:00Z&sig=a%2Bb%2Fc%3D"), Ok(()));
        assert_eq!(
            sas("sp=w&se=2026-11-24T01:00:00Z&sig=a%2Bb%2Fc%3D"),
            Err(refusal::AUTHORIZATION_PERMISSION_MISMATCH)
        );
        assert_eq!(sas("sp=r&se=2026-11-24T00:00:00Z&sig=a%2Bb%2Fc%3D"), Err(refusal::AUTHENTICATION_FAILED));
        assert_eq!(sas("sp=r&se=2026-11-24T01:00:00Z&sig=other"), Err(refusal::AUTHENTICATION_FAILED));
        assert_eq!(sas("sp=r"), Err(refusal::NO_AUTHENTICATION_INFORMATION));
    }
}
