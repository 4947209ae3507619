//! What the documents demand, as a table of rules.
//!
//! ```text
//! case.rs      what is wanted beside what is there, and how a rule asks for it
//! rule.rs      a row: code, kinds of migration, severity, demand, document, remedy, and the look itself
//! project.rs, appliance.rs, vault.rs    the project, who reads the servers, the vault
//! storage.rs, endpoint.rs, zone.rs, role.rs   the accounts, and the private way to them
//! target.rs, server.rs, disk.rs, guest.rs, nic.rs, tag.rs   where the servers go, and as what
//! capacity.rs  how much is read at the same time
//! change.rs    what was settled before and cannot be settled anew
//! catalogue.rs all of it as tables of the guide
//! read.rs      what could not be read
//! ```
//!
//! A rule looks at two things and at nothing else: the [settings](super::settings) and what was
//! [observed](super::Observed). It does not read, and it changes nothing; the same two give the same findings.
//! [`check`] runs them all, in time proportional to the settings times what was observed.
//!
//! The catalogue in `docs/rules.md` is written from these tables, and each rule has a test that breaks it and
//! nothing else.

mod appliance;
mod capacity;
mod case;
mod catalogue;
mod change;
mod disk;
mod endpoint;
mod guest;
mod nic;
mod project;
mod read;
mod role;
mod rule;
mod server;
mod storage;
mod tag;
mod target;
mod vault;
mod zone;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use self::case::Case;
pub use self::catalogue::{changes_to_markdown, limits_to_markdown, to_markdown};
pub use self::rule::Rule;
use super::limits::Limits;
use super::observed::Observed;
use super::settings::MigrationSettings;
use crate::finding::Finding;

/// All rules, in the order in which they are looked at.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        project::RULES,
        appliance::RULES,
        vault::RULES,
        storage::RULES,
        endpoint::RULES,
        zone::RULES,
        role::RULES,
        target::RULES,
        server::RULES,
        disk::RULES,
        guest::RULES,
        nic::RULES,
        tag::RULES,
        capacity::RULES,
        change::RULES,
        read::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Everything that is wrong with these settings where these things are, in the order of the rules; empty where
/// nothing is. `now` is for what expires.
pub fn check(wanted: &MigrationSettings, seen: &Observed, limits: &Limits, now: Timestamp) -> Vec<Finding> {
    let case = Case { wanted, seen, limits, now };
    let mut findings = Vec::new();
    for rule in all().filter(|rule| rule.scenarios().contains(&wanted.scenario)) {
        rule.look(&case, &mut findings);
    }
    findings
}
