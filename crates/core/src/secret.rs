//! Secrets, and URLs without theirs.
//!
//! Credentials live in [`Secret`], which prints as `***` and is never serialized. A URL is shown through
//! [`redacted_url`], which keeps what an operator needs (host, container, blob) and drops user info and
//! the query, where a SAS signature is.

use std::fmt;

use url::Url;

/// A value that must not appear in logs, errors, events or the checkpoint.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that signs or sends it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `url` as it may be printed: without user info, query and fragment.
pub fn redacted_url(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that cannot have user info, which then have none to show.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "***");
    }

    #[test]
    fn a_url_prints_without_its_secret() {
        let url = Url::parse("https://user:pw@acct.blob.core.windows.net/c/web01.vhd?sv=1&sig=canary#x").unwrap();
        assert_eq!(redacted_url(&url), "https://acct.blob.core.windows.net/c/web01.vhd");
    }
}
