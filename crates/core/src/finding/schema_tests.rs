//! Holds findings against the schema that we publish, `docs/finding.schema.json`.
//!
//! In here and not under `tests/`, because only this crate can name every variant: to others the enums are
//! open, and a match of theirs would go on to compile when a variant is added. Here it does not, until an
//! example of the new one stands in the list; and the example is not valid until the schema knows it.

use std::iter::successors;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::*;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/finding.schema.json")).unwrap()
}

fn validator() -> Validator {
    let options = jsonschema::draft202012::options();
    options.should_validate_formats(true).build(&schema()).unwrap()
}

#[track_caller]
fn assert_valid(finding: &Value) {
    let problems: Vec<_> = validator().iter_errors(finding).map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{finding:#}: {problems:#?}");
}

/// The example that follows this one, the first after none.
fn next_evidence(example: Option<&Evidence>) -> Option<Evidence> {
    let text = || "text".to_owned();
    Some(match example {
        None => Evidence::Cname { name: text(), target: text(), ttl_seconds: u32::MAX },
        Some(Evidence::Cname { .. }) => {
            Evidence::Address { address: [20, 60, 0, 1].into(), class: text(), origin: "dns".into() }
        }
        Some(Evidence::Address { .. }) => Evidence::Expected { address: "fd00::5".parse().unwrap() },
        Some(Evidence::Expected { .. }) => Evidence::Compared { found: text(), wanted: text() },
        Some(Evidence::Compared { .. }) => Evidence::NameServer { server: "[fd00::53]:53".into() },
        Some(Evidence::NameServer { .. }) => Evidence::Certificate {
            subject: text(),
            issuer: text(),
            names: vec![text()],
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
        },
        Some(Evidence::Certificate { .. }) => Evidence::Answer { status: 403, code: text() },
        Some(Evidence::Answer { .. }) => Evidence::Took { step: text(), milliseconds: u64::MAX },
        Some(Evidence::Took { .. }) => Evidence::Said { by: text(), words: text() },
        Some(Evidence::Said { .. }) => return None,
    })
}

fn next_fix(kind: Option<FixKind>) -> Option<FixKind> {
    Some(match kind {
        None => FixKind::HostsFile,
        Some(FixKind::HostsFile) => FixKind::DnsRecord,
        Some(FixKind::DnsRecord) => FixKind::AzureCli,
        Some(FixKind::AzureCli) => return None,
    })
}

fn next_severity(severity: Option<Severity>) -> Option<Severity> {
    Some(match severity {
        None => Severity::Info,
        Some(Severity::Info) => Severity::Warning,
        Some(Severity::Warning) => Severity::Error,
        Some(Severity::Error) => return None,
    })
}

fn every_evidence() -> Vec<Evidence> {
    successors(next_evidence(None), |example| next_evidence(Some(example))).collect()
}

fn every_fix() -> Vec<Fix> {
    let kinds = successors(next_fix(None), |kind| next_fix(Some(*kind)));
    kinds.map(|kind| Fix { kind, lines: vec!["a line".into()] }).collect()
}

fn every_severity() -> Vec<Severity> {
    successors(next_severity(None), |severity| next_severity(Some(*severity))).collect()
}

static CHECK: Check = Check {
    code: "dns.example",
    severity: Severity::Warning,
    remedy: "do something",
    rule: Rule { document: "a document", date: "2026-01-01" },
};

/// One with everything in it.
fn whole() -> Value {
    let finding = CHECK.found("web01", "It is so.").seen(every_evidence()).fixed_by(every_fix());
    serde_json::to_value(finding).unwrap()
}

#[test]
fn a_finding_with_every_evidence_and_fix_is_valid() {
    assert_valid(&whole());
}

#[test]
fn a_finding_with_neither_is_valid() {
    assert_valid(&serde_json::to_value(CHECK.found("web01", "It is so.")).unwrap());
}

#[test]
fn every_severity_is_valid() {
    for severity in every_severity() {
        let mut finding = whole();
        finding["severity"] = serde_json::to_value(severity).unwrap();
        assert_valid(&finding);
    }
}

#[test]
fn the_schema_knows_nothing_that_does_not_exist() {
    let schema = schema();
    let known = |pointer| schema.pointer(pointer).and_then(Value::as_array).unwrap().len();
    assert_eq!(known("/$defs/evidence/oneOf"), every_evidence().len());
    assert_eq!(known("/$defs/fix/properties/kind/enum"), every_fix().len());
    assert_eq!(known("/properties/severity/enum"), every_severity().len());
}

#[test]
fn whatever_is_left_out_is_missed() {
    let validator = validator();
    let whole = whole();
    for field in whole.as_object().unwrap().keys() {
        let mut finding = whole.clone();
        finding.as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&finding), "without {field}");
    }
    for (index, evidence) in whole["evidence"].as_array().unwrap().iter().enumerate() {
        for field in evidence.as_object().unwrap().keys() {
            let mut finding = whole.clone();
            finding["evidence"][index].as_object_mut().unwrap().remove(field);
            assert!(!validator.is_valid(&finding), "{evidence} without {field}");
        }
    }
}

#[test]
fn whatever_is_wrong_is_refused() {
    let validator = validator();
    let wrong = [
        ("/severity", json!("fatal")),
        ("/code", json!("DNS example")),
        ("/message", json!("")),
        ("/remedy", json!(null)),
        ("/rule/date", json!("last spring")),
        ("/fixes/0/kind", json!("registry")),
        ("/evidence/0/type", json!("rumour")),
        ("/evidence/0/ttl_seconds", json!(-1)),
        ("/evidence/1/address", json!("10.0.0.256")),
        ("/evidence/1/origin", json!("hearsay")),
        ("/evidence/4/server", json!("10.0.0.1")),
        ("/evidence/5/not_after", json!("2026-02-30T00:00:00Z")),
        ("/evidence/6/status", json!("403")),
    ];
    for (pointer, value) in wrong {
        let mut finding = whole();
        *finding.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&finding), "{pointer} in {finding:#}");
    }
}

#[test]
fn whatever_is_unknown_is_refused() {
    let validator = validator();
    for object in ["", "/rule", "/fixes/0", "/evidence/0", "/evidence/8"] {
        let mut finding = whole();
        finding.pointer_mut(object).unwrap()["extra"] = json!(1);
        assert!(!validator.is_valid(&finding), "extra in {object:?}");
    }
}
