//! Findings: what a check says, as data.
//!
//! A [`Finding`] has the same shape in every language: a stable code, how serious it is, what it is about,
//! what was seen, what to do, and whose rule it is. The schema of its JSON is `docs/finding.schema.json`.
//!
//! Each code belongs to one [`Check`], a row of a table: severity, remedy and rule of a code are never
//! decided at the place that finds.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) mod documents;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be, or good to know.
    Info,
    /// Works, but somebody should look.
    Warning,
    /// Does not work, or must not be relied on.
    Error,
}

/// Where a rule is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The document.
    pub document: &'static str,
    /// The date of the document's edition that was read: `2022-12-14`, or as much as is known of it.
    pub date: &'static str,
}

/// What can be found: one row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable, never reused: `area.what`.
    pub code: &'static str,
    /// How serious.
    pub severity: Severity,
    /// What to do, as a sentence; empty when there is nothing to do.
    pub remedy: &'static str,
    /// Whose rule it is.
    pub rule: Rule,
}

impl Check {
    /// This check's finding about `subject`. `message` is a sentence that repeats no secret.
    pub(crate) fn found(&'static self, subject: impl fmt::Display, message: impl fmt::Display) -> Finding {
        Finding {
            check: self,
            subject: subject.to_string(),
            message: message.to_string(),
            evidence: Vec::new(),
            fixes: Vec::new(),
        }
    }
}

/// Declares the checks of an area as one table, so that code, severity, rule and remedy stand side by side, and
/// lists them as `ALL`.
macro_rules! checks {
    ($($name:ident: $code:literal, $severity:ident, $rule:expr, $remedy:literal;)+) => {
        $(pub(crate) static $name: $crate::finding::Check = $crate::finding::Check {
            code: $code,
            severity: $crate::finding::Severity::$severity,
            remedy: $remedy,
            rule: $rule,
        };)+

        /// All of them.
        pub(crate) static ALL: &[&$crate::finding::Check] = &[$(&$name),+];
    };
}

pub(crate) use checks;

/// What a check says of one subject.
///
/// Serializes with the code, severity, remedy and rule of its check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Written")]
pub struct Finding {
    check: &'static Check,
    /// What it is about: a name, a URL without its secret, a resource id.
    pub subject: String,
    /// What was found, as a sentence.
    pub message: String,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// What would put it right, ready to be copied.
    pub fixes: Vec<Fix>,
}

impl Finding {
    /// The code.
    pub const fn code(&self) -> &'static str {
        self.check.code
    }

    /// How serious it is.
    pub const fn severity(&self) -> Severity {
        self.check.severity
    }

    /// What to do.
    pub const fn remedy(&self) -> &'static str {
        self.check.remedy
    }

    /// Whose rule it is.
    pub const fn rule(&self) -> Rule {
        self.check.rule
    }

    #[must_use]
    pub(crate) fn seen(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    #[must_use]
    pub(crate) fn fixed_by(mut self, fixes: impl IntoIterator<Item = Fix>) -> Self {
        self.fixes.extend(fixes);
        self
    }
}

/// A finding as it is serialized: flat.
#[derive(Serialize)]
struct Written {
    code: &'static str,
    severity: Severity,
    subject: String,
    message: String,
    evidence: Vec<Evidence>,
    remedy: &'static str,
    fixes: Vec<Fix>,
    rule: Rule,
}

impl From<Finding> for Written {
    fn from(Finding { check, subject, message, evidence, fixes }: Finding) -> Self {
        let Check { code, severity, remedy, rule } = *check;
        Self { code, severity, subject, message, evidence, remedy, fixes, rule }
    }
}

/// Something that a check has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evidence {
    /// A name that is another name's.
    Cname {
        /// The alias.
        name: String,
        /// What it stands for.
        target: String,
        /// How long that holds.
        ttl_seconds: u32,
    },
    /// An address of a name.
    Address {
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        class: String,
        /// `dns` or `hosts_file`.
        origin: String,
    },
    /// The address that should be there.
    Expected {
        /// The address.
        address: IpAddr,
    },
    /// A value that is there beside the one that should be.
    Compared {
        /// What is there.
        found: String,
        /// What should be, or the most that may.
        wanted: String,
    },
    /// Who was asked.
    NameServer {
        /// Its address and port.
        server: String,
    },
    /// A certificate that a server showed, from its own up to the last that it sent.
    Certificate {
        /// Whose it is.
        subject: String,
        /// Who signed it.
        issuer: String,
        /// The names that it is good for.
        names: Vec<String>,
        /// From when.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
    },
    /// A service's answer.
    Answer {
        /// HTTP status.
        status: u16,
        /// The service's own code for it.
        code: String,
    },
    /// How long a step took.
    Took {
        /// The step.
        step: String,
        /// Milliseconds.
        milliseconds: u64,
    },
    /// Words of the system or of a service, without secrets.
    Said {
        /// Whose.
        by: String,
        /// The words.
        words: String,
    },
}

/// Text that puts something right where it is pasted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// Where it goes.
    pub kind: FixKind,
    /// The lines.
    pub lines: Vec<String>,
}

/// Where a fix goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FixKind {
    /// The hosts file of the machine that moves the data. For tests: it does not follow a change.
    HostsFile,
    /// A private DNS zone, in the notation of zone files.
    DnsRecord,
    /// A shell with the Azure CLI.
    AzureCli,
}

#[cfg(test)]
mod schema_tests;

#[cfg(test)]
mod tests {
    use super::*;

    static CHECK: Check = Check {
        code: "dns.example",
        severity: Severity::Warning,
        remedy: "do something",
        rule: Rule { document: "a document", date: "2026-01-01" },
    };

    #[test]
    fn a_finding_is_flat_json() {
        let finding = CHECK.found("web01", "it is so").seen([Evidence::Expected { address: [10, 0, 0, 5].into() }]);
        assert_eq!(
            serde_json::to_value(finding).unwrap(),
            serde_json::json!({
                "code": "dns.example", "severity": "warning", "subject": "web01", "message": "it is so",
                "evidence": [{ "type": "expected", "address": "10.0.0.5" }], "remedy": "do something", "fixes": [],
                "rule": { "document": "a document", "date": "2026-01-01" },
            })
        );
    }

    #[test]
    fn an_error_is_worse_than_a_warning() {
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Info);
    }
}
