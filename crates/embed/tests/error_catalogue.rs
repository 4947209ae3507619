//! The guide's page of errors has every code of calls from other languages, with its remedy, and no other such code.

use libmigrate::error::ErrorKind;
use libmigrate_embed::CallError;

const PAGE: &str = include_str!("../../../docs/errors.md");

#[test]
fn every_code_of_a_call_has_a_section_and_every_section_a_code() {
    let sections: Vec<(&str, &str)> =
        PAGE.split("\n### `").filter_map(|s| s.split_once('`')).filter(|(code, _)| code.starts_with("call.")).collect();
    assert_eq!(sections.len(), CallError::CATALOGUE.len());
    for ((named, text), (code, kind, remedy)) in sections.into_iter().zip(CallError::CATALOGUE) {
        let kind = match kind {
            ErrorKind::Retryable => "passing: the same call may succeed later",
            ErrorKind::Fatal => "something outside must be put right first",
            ErrorKind::Caller => "the call itself must change",
        };
        assert_eq!(named, *code);
        assert!(text.contains(&format!("*Kind*: {kind}. *Remedy*: {remedy}.")), "{code}: {text}");
    }
}
