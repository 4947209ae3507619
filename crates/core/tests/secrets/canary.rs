//! Secrets that are nothing but bait, and the search for them.

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

/// The shortest piece of a secret that counts as one.
const PIECE: usize = 8;

/// A random secret and all pieces of all its forms.
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    /// As it is given.
    pub(crate) text: String,
    pieces: HashSet<Vec<u8>>,
}

impl Canary {
    /// `len` random bytes in Base64; a multiple of three, so that nothing of it is padding.
    pub(crate) fn new(name: &'static str, len: usize) -> Self {
        assert!(len.is_multiple_of(3));
        let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(len).collect();
        let text = BASE64_STANDARD.encode(&bytes);
        let pieces = forms(&text).iter().flat_map(|form| form.windows(PIECE).map(<[u8]>::to_vec)).collect();
        Self { name, text, pieces }
    }

    /// Where the secret, or eight bytes of it in any form, is in `haystack`.
    pub(crate) fn found_in(&self, haystack: &[u8]) -> Option<usize> {
        haystack.windows(PIECE).position(|piece| self.pieces.contains(piece))
    }

    /// As it stands in a URL's query.
    pub(crate) fn in_query(&self) -> String {
        percent(&self.text, "%2B", "%2F")
    }
}

fn percent(text: &str, plus: &str, slash: &str) -> String {
    text.replace('%', "%25").replace('+', plus).replace('/', slash)
}

/// The forms in which a secret can turn up: as given, in URLs (once and twice encoded), in JSON, decoded,
/// in other bases.
pub(crate) fn forms(text: &str) -> Vec<Vec<u8>> {
    let decoded = BASE64_STANDARD.decode(text).unwrap();
    let hex = |upper: bool| -> String {
        decoded.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
    };
    let texts = [
        text.to_owned(),
        percent(text, "%2B", "%2F"),
        percent(text, "%2b", "%2f"),
        percent(&percent(text, "%2B", "%2F"), "+", "/"),
        text.replace('+', " "),
        text.replace('/', "\\/"),
        BASE64_URL_SAFE_NO_PAD.encode(&decoded),
        BASE64_STANDARD.encode(text),
        hex(true),
        hex(false),
        format!("{decoded:?}"),
    ];
    texts.into_iter().map(String::into_bytes).chain([decoded]).collect()
}
