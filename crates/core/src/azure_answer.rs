//! What both planes take from what Azure says: when to come back, words without secrets, and whether a token did
//! not come because its service was out of reach.
//!
//! A refusal may repeat what was asked: a signature, a string to sign, a URL. So nothing of it is shown that has not
//! passed through [`Redactor::clean`].

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers, RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS};
use jiff::Timestamp;

use crate::secret::Secret;

/// How much of the service's words is shown.
const MAX_WORDS: usize = 400;

/// The longest wait that a service may ask for; longer ones count as this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// `x-ms-retry-after-ms`, `retry-after-ms`, or `Retry-After` in seconds or as a date.
pub(crate) fn retry_after(headers: &Headers, now: Timestamp) -> Option<Duration> {
    let number = |name: &HeaderName| headers.get_optional_str(name)?.trim().parse::<u64>().ok();
    let milliseconds = || {
        let found = number(&X_MS_RETRY_AFTER_MS).or_else(|| number(&RETRY_AFTER_MS));
        found.map(Duration::from_millis)
    };
    let date = || {
        let date = jiff::fmt::rfc2822::parse(headers.get_optional_str(&RETRY_AFTER)?.trim()).ok()?;
        Some(Duration::try_from(date.timestamp().duration_since(now)).unwrap_or(Duration::ZERO))
    };
    let asked = milliseconds().or_else(|| number(&RETRY_AFTER).map(Duration::from_secs)).or_else(date)?;
    Some(asked.min(MAX_RETRY_AFTER))
}

/// Whether a token did not come because its service was out of reach or busy.
pub(crate) fn out_of_reach(error: &azure_core::Error) -> bool {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<azure_core::Error>())
        .any(|cause| match cause.kind() {
            ErrorKind::Connection | ErrorKind::Io => true,
            ErrorKind::HttpResponse { status, .. } => matches!(u16::from(*status), 408 | 429 | 500..=599),
            _ => false,
        })
}

/// Removes secrets from words that come from outside.
pub(crate) struct Redactor {
    secrets: Vec<Secret<String>>,
}

/// What stands before a secret, in lower case; what follows it, up to a delimiter, is removed.
const MARKERS: [&str; 10] = [
    "sig=",
    "sig%3d",
    "signature=",
    "accountkey=",
    "sharedkey ",
    "bearer ",
    "client_secret=",
    "password=",
    "access_token=",
    "token\":\"",
];

impl Redactor {
    /// Secrets shorter than eight characters are left to the markers: they would match words.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|secret| secret.len() >= 8).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets: secrets.into_iter().map(Secret::new).collect() }
    }

    /// `text` on one line, without secrets, cut to a length that a log line bears.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut clean = text.split(|c: char| c.is_whitespace() || c.is_control()).fold(
            String::with_capacity(text.len()),
            |mut line, word| {
                if !word.is_empty() {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(word);
                }
                line
            },
        );
        for secret in &self.secrets {
            clean = clean.replace(secret.expose().as_str(), "***");
        }
        for marker in MARKERS {
            clean = mask_after(&clean, marker);
        }
        clean = mask_tokens(&clean);
        if let Some((end, _)) = clean.char_indices().nth(MAX_WORDS) {
            clean.truncate(end);
            clean.push('…');
        }
        clean
    }
}

fn ends_secret(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | ';' | ',' | '"' | '\'' | '<' | '>' | ')' | ']' | '}')
}

fn mask_after(text: &str, marker: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(marker) {
        let secret = from + found + marker.len();
        let end = text[secret..].find(ends_secret).map_or(text.len(), |len| secret + len);
        masked.push_str(&text[from..secret]);
        masked.push_str("***");
        from = end;
    }
    masked.push_str(&text[from..]);
    masked
}

/// JSON web tokens start with the Base64 of `{"`; the signature of one request is 32 bytes in Base64.
fn mask_tokens(text: &str) -> String {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let is_token = |word: &str| word.len() > 20 && word.trim_start_matches(['"', '\'', '(']).starts_with("eyJ");
    let is_signature = |word: &str| {
        let word = word.trim_matches(|c| !base64(c));
        word.len() == 44 && word.ends_with('=') && word.chars().all(base64)
    };
    text.split(' ')
        .map(|word| if is_token(word) || is_signature(word) { "***" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_removed_by_value_and_by_form() {
        let redactor = Redactor::new(["canary/value=".to_owned()]);
        let text = "GET https://a/b?sv=1&sig=abc%3D&se=2 and canary/value= in\n AccountKey=xyz; Bearer eyJ0 \
            token eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.x.y end";
        assert_eq!(
            redactor.clean(text),
            "GET https://a/b?sv=1&sig=***&se=2 and *** in AccountKey=***; Bearer *** token *** end"
        );
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(Redactor::new([]).clean(&"ü".repeat(1000)).chars().count(), MAX_WORDS + 1);
    }

    #[test]
    fn the_time_to_come_back_is_read_in_every_form() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let asked = |name: &'static str, value: &'static str| {
            let mut headers = Headers::new();
            headers.insert(name, value);
            retry_after(&headers, now)
        };
        assert_eq!(asked("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("x-ms-retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(asked("retry-after", "Mon, 23 Nov 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("retry-after", "Mon, 23 Nov 2026 09:00:30 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("retry-after", "18446744073709551615"), Some(MAX_RETRY_AFTER));
        assert_eq!(asked("retry-after", "soon"), None);
    }

    /// Every moment that there is, the far ends included.
    fn moments() -> impl Strategy<Value = Timestamp> {
        let seconds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
        prop_oneof![
            4 => seconds.prop_map(|second| Timestamp::from_second(second).unwrap()),
            1 => prop::sample::select(&[Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH][..]),
        ]
    }

    fn headers_of(name: &'static str, value: String) -> Headers {
        let mut headers = Headers::new();
        headers.insert(name, value);
        headers
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_time_to_come_back(
            name in prop::sample::select(&["retry-after", "retry-after-ms", "x-ms-retry-after-ms"][..]),
            value in prop_oneof![
                "\\PC{0,40}",
                "[-+]?[0-9]{0,25}[.e]?[0-9]{0,3}",
                "(Mon|Sun|Xyz)?,? ?[0-9]{1,3} (Jan|Feb|Dec) [0-9]{1,6} [0-9]{1,3}:[0-9]{2}(:[0-9]{2,3})? (GMT|[+-][0-9]{4}|Z)?",
            ],
            now in moments(),
        ) {
            let wait = retry_after(&headers_of(name, value), now);
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{:?}", wait);
        }

        #[test]
        fn a_date_is_as_far_off_as_it_is(date in 0..253_402_207_200_i64, since in -10_000..10_000_i64, far in moments()) {
            let at = Timestamp::from_second(date).unwrap();
            let value = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
            let wait = |now| retry_after(&headers_of("retry-after", value.clone()), now);
            if let Ok(now) = Timestamp::from_second(date - since) {
                let expected = Duration::from_secs(since.max(0).unsigned_abs()).min(MAX_RETRY_AFTER);
                prop_assert_eq!(wait(now), Some(expected));
            }
            prop_assert!(wait(far).is_some_and(|wait| wait <= MAX_RETRY_AFTER));
        }

        #[test]
        fn no_text_breaks_the_redactor(text in "\\PC*", secret in "[a-z/+=]{8,20}") {
            let redactor = Redactor::new([secret.clone()]);
            let clean = redactor.clean(&format!("{text}{secret}{text}"));
            prop_assert!(!clean.contains(&secret));
        }
    }
}
