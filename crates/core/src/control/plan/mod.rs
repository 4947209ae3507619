//! From what is wanted and what is there to steps that can be read before they are done.
//!
//! ```text
//! step.rs     a step: what is done, after what, and who must agree
//! goal.rs     how far the servers shall be, and what is asked for on the way there
//! make.rs     the steps that are missing
//! request/    what a step is on the wire
//! markdown.rs  the plan for people who must agree
//! template.rs  the plan for Azure's own tools, and lines of a hosts file
//! observe.rs, preflight.rs   what is there, and everything that is wrong with it
//! apply/      does the steps, and can be killed anywhere
//! ```
//!
//! [`plan`] is pure: the same settings, aim and observation give the same plan, byte for byte, and its
//! [`digest`](Plan::digest) names it. A plan holds only what is missing, so that the plan of what is already there is
//! empty. What a plan cannot mend is not in it; the [rules](super::rules) say so.
//!
//! No step deletes what it did not make: the only steps that end something are those that complete or remove the
//! replication of a server, which need approval.

mod apply;
mod goal;
mod make;
mod markdown;
mod observe;
mod preflight;
mod request;
mod step;
mod template;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::apply::{
    ApplyError, ApplyEvent, ApplyOptions, Approvals, Needed, OnApplyEvent, Outcome, Reason, Wait, apply,
};
pub use self::goal::{Aim, Goal};
pub use self::observe::observe;
pub use self::preflight::{Preflight, preflight};
pub use self::request::{OwnerRequest, Unready, request};
pub use self::step::{Action, Approval, Step, StepId};
pub use self::template::hosts_lines;
use super::lifecycle::Verb;
use super::limits::Limits;
use super::observed::Observed;
use super::settings::MigrationSettings;
use super::{ArmId, Scenario};

/// The steps from what is there to what is wanted, each after those that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How the servers are migrated.
    pub scenario: Scenario,
    /// The settings that it was made of, by their [digest](MigrationSettings::digest): requests take from the settings
    /// what a step does not say itself, so that a plan is done with these settings and no others.
    pub settings: String,
    /// How far they shall be; none for a plan that asks one thing of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aim: Option<Aim>,
    /// The steps, in an order in which they can be done.
    pub steps: Vec<Step>,
    /// The servers that somebody must look at before anything can be asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<Stuck>,
}

/// A server that somebody must look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stuck {
    /// The server.
    pub server: String,
    /// Where it is.
    pub state: String,
}

impl Plan {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// A name for exactly this plan: BLAKE3 of its JSON, in hexadecimal digits.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a plan is made of texts and numbers");
        blake3::hash(&json).to_hex().to_string()
    }

    /// The step of that name.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }
}

/// The steps that are missing between what is there and what is wanted. Empty where nothing is missing.
///
/// Takes time and memory in proportion to the servers times what was observed.
///
/// ```no_run
/// # fn read() -> (libmigrate::control::settings::MigrationSettings, libmigrate::control::Observed) { todo!() }
/// use libmigrate::control::limits::Limits;
/// use libmigrate::control::plan::{Goal, plan};
///
/// let (settings, observed) = read();
/// let plan = plan(&settings, Goal::Replicating.into(), &observed, Limits::published());
/// println!("{}", plan.to_markdown());
/// ```
pub fn plan(wanted: &MigrationSettings, aim: Aim, seen: &Observed, limits: &Limits) -> Plan {
    make::plan(wanted, aim, seen, limits)
}

/// The plan that asks one thing of each server that is replicated, whatever that leads to: a resync, for example,
/// which no goal asks for.
pub fn ask(wanted: &MigrationSettings, verb: Verb, seen: &Observed) -> Plan {
    make::ask(wanted, verb, seen)
}

/// The policy that the servers of a site replicate by, named as Microsoft's own client names it.
pub(super) fn policy_of(wanted: &MigrationSettings) -> ArmId {
    let fabric = wanted.container.segment("replicationFabrics").unwrap_or("site");
    wanted.vault.child("replicationPolicies", &format!("migrate{fabric}policy"))
}

/// The name that a host has in a zone, in lower case: of a public name as of a private one. None where it is in
/// another zone.
pub(super) fn label_in(fqdn: &str, zone: &str) -> Option<String> {
    let fqdn = fqdn.trim_end_matches('.').to_ascii_lowercase();
    let zone = zone.to_ascii_lowercase();
    let public = zone.strip_prefix("privatelink.").unwrap_or(&zone);
    let label = [zone.as_str(), public].into_iter().find_map(|end| fqdn.strip_suffix(end)?.strip_suffix('.'))?;
    (!label.is_empty()).then(|| label.to_owned())
}
