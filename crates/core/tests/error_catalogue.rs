//! The guide's page of errors has every code, with its remedy, and no code that does not exist.

use std::collections::BTreeSet;

use libmigrate::Error;
use libmigrate::control::arm::{ArmError, Asked};
use libmigrate::control::lifecycle::{PhaseKind, Refusal, Verb};
use libmigrate::error::ErrorKind;
use libmigrate::private_link::PrivateLinkError;

const PAGE: &str = include_str!("../../../docs/errors.md");

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n### `").skip(1).filter_map(|section| section.split_once('`'))
}

fn in_words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retryable => "passing: the same call may succeed later",
        ErrorKind::Fatal => "something outside must be put right first",
        ErrorKind::Caller => "the call itself must change",
    }
}

#[test]
fn every_code_has_a_section_with_its_kind_and_its_remedy() {
    for (code, kind, remedy) in Error::catalogue() {
        let section = sections().find(|(named, _)| *named == code).map(|(_, text)| text);
        let section = section.unwrap_or_else(|| panic!("docs/errors.md has no section for {code}"));
        let kind = format!("*Kind*: {}.", in_words(kind));
        assert!(section.contains(&kind), "docs/errors.md states another kind for {code} than: {kind}");
        assert!(section.contains(remedy), "docs/errors.md states another remedy for {code} than: {remedy}");
    }
}

#[test]
fn no_section_is_of_a_code_that_does_not_exist() {
    let codes: BTreeSet<&str> = Error::catalogue().map(|(code, _, _)| code).collect();
    // Those are the bindings', whose own test holds them to this page.
    let ours = sections().map(|(code, _)| code).filter(|code| !code.starts_with("call."));
    let stale: Vec<&str> = ours.filter(|code| !codes.contains(code)).collect();
    assert_eq!(stale, [""; 0]);
}

#[test]
fn codes_are_unique() {
    let codes: Vec<&str> = Error::catalogue().map(|(code, _, _)| code).collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
}

#[test]
fn an_error_of_the_control_plane_speaks_for_itself() {
    let asked = Asked { operation: "Vaults_Get", id: "/subscriptions/s".into() };
    let cases: [(Error, &str, ErrorKind); 3] = [
        (ArmError::Cancelled { asked }.into(), "arm.cancelled", ErrorKind::Retryable),
        (
            ArmError::from(PrivateLinkError::ForeignHost { host: "example.com".to_owned() }).into(),
            "private_link.foreign_host",
            ErrorKind::Caller,
        ),
        (
            Refusal::Phase {
                verb: Verb::Migrate,
                phase: PhaseKind::Enabling,
                allowed_in: vec![PhaseKind::Replicating],
                why: "there is no recovery point yet",
            }
            .into(),
            "lifecycle.phase",
            ErrorKind::Retryable,
        ),
    ];
    for (error, code, kind) in cases {
        assert_eq!((error.code(), error.kind()), (code, kind));
        assert!(Error::catalogue().any(|row| row == (code, kind, error.remedy())), "{code}");
    }
}

/// The areas that codes begin with, so that file names in backticks are not taken for codes.
const AREAS: [&str; 12] = [
    "arm.",
    "checkpoint.",
    "cutover.",
    "cycle.",
    "engine.",
    "lifecycle.",
    "plan.",
    "private_link.",
    "recovery_point.",
    "replica.",
    "source.",
    "target.",
];

#[test]
fn the_page_of_what_can_go_wrong_names_only_codes_that_exist() {
    let page = include_str!("../../../docs/what-can-go-wrong.md");
    let known: Vec<&str> = Error::catalogue().map(|(code, ..)| code).collect();
    let named: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|word| AREAS.iter().any(|area| word.starts_with(area))).collect();
    assert!(named.len() > 20, "{named:?}");
    let unknown: Vec<&&str> = named.iter().filter(|code| !known.contains(code)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
