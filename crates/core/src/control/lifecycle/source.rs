//! Where the rules of the lifecycle are written, and how sure they are.

use serde::Serialize;

use crate::finding::Rule;

/// The service's own description of its resources, operations and enums.
pub(super) const SPECIFICATION: Rule =
    Rule { document: "Azure REST API specification, Site Recovery, service.json", date: "2024-04-01" };
/// The answers that the description shows.
pub(super) const EXAMPLES: Rule =
    Rule { document: "Azure REST API specification, Site Recovery, examples", date: "2024-04-01" };
/// Microsoft's own client.
pub(super) const AZ_MIGRATE: Rule =
    Rule { document: "Azure PowerShell, module Az.Migrate, its source", date: "undated, read 2026-11" };
pub(super) const CONCEPTS: Rule =
    Rule { document: "Microsoft Learn, Azure Migrate agentless migration of VMware machines", date: "2025-05-12" };
pub(super) const VMWARE: Rule =
    Rule { document: "Microsoft Learn, Migrate VMware machines to Azure (agentless), tutorial", date: "2023-06" };
pub(super) const HYPER_V: Rule =
    Rule { document: "Microsoft Learn, Migrate Hyper-V machines to Azure, tutorial", date: "2020" };
pub(super) const PHYSICAL: Rule = Rule {
    document: "Microsoft Learn, Migrate machines as physical servers to Azure, tutorial",
    date: "undated, read 2026-11",
};
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
