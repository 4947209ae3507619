//! The certificates that a server showed, as evidence.
//!
//! They are shown when they were refused above all, so they are the words of a stranger: a bounded number of
//! them is read, each text is cut and freed of control characters, and what does not parse is said to be so.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::finding::Evidence;

/// The most certificates of one chain that are shown.
const MAX_CERTIFICATES: usize = 10;

/// The most names of one certificate that are shown.
const MAX_NAMES: usize = 100;

/// The most characters of one text. A DNS name has at most 253.
const MAX_CHARACTERS: usize = 256;

/// The chain in the order in which the server sent it: its own certificate first.
pub(crate) fn chain(shown: &[CertificateDer<'_>]) -> Vec<Evidence> {
    shown.iter().take(MAX_CERTIFICATES).enumerate().map(|(at, der)| evidence(at, der)).collect()
}

/// Until when a certificate holds, if that can be read.
pub(crate) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(timestamp(certificate.validity().not_after))
}

fn evidence(at: usize, der: &[u8]) -> Evidence {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        let words = format!("certificate {} of the chain cannot be read ({} bytes)", at + 1, der.len());
        return Evidence::Said { by: "the server".to_owned(), words };
    };
    Evidence::Certificate {
        subject: plain(&certificate.subject().to_string()),
        issuer: plain(&certificate.issuer().to_string()),
        names: names(&certificate),
        not_before: timestamp(certificate.validity().not_before),
        not_after: timestamp(certificate.validity().not_after),
    }
}

/// The names that count (RFC 9525: those of the extension, never the subject's), as far as they are a host's.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    extension.value.general_names.iter().filter_map(host_name).take(MAX_NAMES).collect()
}

fn host_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(plain(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// A year that no clock reaches counts as the nearest that one does.
fn timestamp(time: ASN1Time) -> Timestamp {
    let seconds = time.timestamp().clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// On one line, without what a terminal would obey, and not endless.
fn plain(text: &str) -> String {
    text.chars().take(MAX_CHARACTERS).map(|c| if c.is_control() || moves_text(c) { '\u{fffd}' } else { c }).collect()
}

/// What turns the direction of text around (`Bidi_Control` of Unicode, UAX #9), or breaks a line.
const fn moves_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(names: Vec<String>, common_name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2027, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn names_issuer_and_dates_are_read() {
        let shown = certificate(vec!["a.example".to_owned(), "10.0.0.4".to_owned()], "a.example");

        let Evidence::Certificate { subject, issuer, names, not_before, not_after } = chain(&[shown]).remove(0) else {
            panic!("it is a certificate");
        };

        assert!(subject.contains("CN=a.example"), "{subject}");
        assert_eq!(issuer, subject);
        assert_eq!(names, ["a.example", "10.0.0.4"]);
        assert_eq!(not_before, "2026-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(not_after, "2027-03-04T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn a_chain_and_its_texts_are_cut() {
        let many = (0..200).map(|at| format!("n{at}.example")).collect();
        let shown = certificate(many, &format!("a\u{1b}[31m{}", "x".repeat(1000)));

        let chain = chain(&vec![shown; 50]);

        assert_eq!(chain.len(), MAX_CERTIFICATES);
        let Evidence::Certificate { subject, names, .. } = &chain[0] else { panic!("it is a certificate") };
        assert_eq!((names.len(), subject.chars().count()), (MAX_NAMES, MAX_CHARACTERS));
        assert!(!subject.contains('\u{1b}'));
    }

    #[test]
    fn what_would_turn_or_break_a_line_is_not_shown() {
        let tricks = ['\u{1b}', '\n', '\u{200f}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}', '\u{61c}'];
        assert_eq!(plain(&String::from_iter(tricks)), "\u{fffd}".repeat(tricks.len()));
        assert_eq!(plain("CN=späť, O=日本"), "CN=späť, O=日本");
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        let evidence = chain(&[CertificateDer::from(b"canary".to_vec())]);

        assert!(matches!(&evidence[..], [Evidence::Said { words, .. }] if words.contains("cannot be read (6 bytes)")));
        assert_eq!(not_after(b"canary"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            chain(&[CertificateDer::from(bytes)]);
        }

        #[test]
        fn no_damage_breaks_the_reader(damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12)) {
            static WHOLE: std::sync::LazyLock<Vec<u8>> =
                std::sync::LazyLock::new(|| certificate(vec!["a.example".to_owned()], "a.example").to_vec());
            let mut bytes = WHOLE.clone();
            for (at, byte) in damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            not_after(&bytes);
            chain(&[CertificateDer::from(bytes)]);
        }
    }
}
