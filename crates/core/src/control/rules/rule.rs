//! A row of the table.

use std::fmt::Display;

use super::case::Case;
use crate::control::Scenario;
use crate::control::limits::Limit;
use crate::finding::{Check, Evidence, Finding};

/// One rule.
#[derive(Debug)]
pub struct Rule {
    pub(super) check: &'static Check,
    pub(super) scenarios: &'static [Scenario],
    pub(super) demands: &'static str,
    pub(super) mended: bool,
    pub(super) find: fn(&Case<'_>, &mut Found<'_>),
}

impl Rule {
    /// Code, severity, remedy and document.
    pub const fn check(&self) -> &'static Check {
        self.check
    }

    /// The kinds of migration that it holds for.
    pub const fn scenarios(&self) -> &'static [Scenario] {
        self.scenarios
    }

    /// What it demands, as a sentence.
    pub const fn demands(&self) -> &'static str {
        self.demands
    }

    /// Whether a plan has steps that mend what it finds.
    pub const fn is_mended_by_a_plan(&self) -> bool {
        self.mended
    }

    pub(super) fn look(&self, case: &Case<'_>, findings: &mut Vec<Finding>) {
        (self.find)(case, &mut Found { check: self.check, findings });
    }
}

/// Takes what a rule finds.
pub(super) struct Found<'a> {
    check: &'static Check,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    /// The rule is broken by `subject`; `message` says how.
    pub(super) fn broken(&mut self, subject: impl Display, message: impl Display) {
        self.findings.push(self.check.found(subject, message));
    }

    /// The same, where there is more than a document allows.
    pub(super) fn exceeds(&mut self, subject: impl Display, message: impl Display, found: impl Display, limit: &Limit) {
        let Limit { value, document, date } = limit;
        self.differs(subject, message, found, format_args!("at most {value} ({document}, {date})"));
    }

    /// The same, where one value stands against another.
    pub(super) fn differs(
        &mut self,
        subject: impl Display,
        message: impl Display,
        found: impl Display,
        wanted: impl Display,
    ) {
        let evidence = Evidence::Compared { found: found.to_string(), wanted: wanted.to_string() };
        self.findings.push(self.check.found(subject, message).seen([evidence]));
    }
}

/// Declares the rules of one subject as a table, `RULES`. `mended` is for rules that a plan has steps for.
macro_rules! rules {
    ($($name:ident: $code:literal, $severity:ident, $scenarios:expr, $document:expr, $($mended:ident,)?
        $demands:literal, $remedy:literal, $find:expr;)+) => {
        $(static $name: $crate::finding::Check = $crate::finding::Check {
            code: $code,
            severity: $crate::finding::Severity::$severity,
            remedy: $remedy,
            rule: $document,
        };)+

        pub(super) static RULES: &[$crate::control::rules::rule::Rule] = &[$($crate::control::rules::rule::Rule {
            check: &$name,
            scenarios: $scenarios,
            demands: $demands,
            mended: $crate::control::rules::rule::mended!($($mended)?),
            find: $find,
        }),+];
    };
}

macro_rules! mended {
    () => {
        false
    };
    (mended) => {
        true
    };
}

pub(super) use {mended, rules};
