//! Where the rules of the lifecycle are written, and how sure they are.

use serde::Serialize;

use crate::finding::Rule;

pub(super) use crate::finding::documents::{AZ_MIGRATE, CONCEPTS, HYPER_V, PHYSICAL, SPECIFICATION, VMWARE};

/// The answers that the specification shows.
pub(super) const EXAMPLES: Rule =
    Rule { document: "Azure REST API specification, Site Recovery, examples", date: "2024-04-01" };
/// Where no document says anything.
pub(super) const OURS: Rule = Rule { document: "libmigrate, lifecycle", date: "2026-11-25" };

/// How sure a row of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The source says so.
    Stated,
    /// The source does not quite say so; here is what is guessed.
    Guess(&'static str),
}

impl Certainty {
    /// What is guessed, if anything is.
    pub const fn guess(self) -> Option<&'static str> {
        match self {
            Self::Stated => None,
            Self::Guess(what) => Some(what),
        }
    }
}
