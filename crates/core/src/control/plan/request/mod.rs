//! What a step is on the wire.
//!
//! ```text
//! surroundings.rs   vault, private endpoints, zones, roles, policy, mapping
//! server.rs         a server's settings: what it is enabled with
//! change.rs         the same: what is changed later
//! ask.rs            the verbs of the lifecycle
//! ```
//!
//! A body is made of the settings and of what was observed. What a step needs and nobody has observed yet (the
//! identity of a vault that is still to be made) is [`Unready`]: whoever does the steps reads it first.

mod ask;
mod change;
mod server;
mod surroundings;

pub(super) use self::surroundings::{record, records};
use serde::Serialize;
use serde_json::Value;

use super::step::{Action, Step};
use crate::control::ArmId;
use crate::control::arm::{ArmError, Request};
use crate::control::observed::Observed;
use crate::control::settings::MigrationSettings;

/// Why a step cannot be done yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unready {
    /// Something is not known.
    #[error("cannot {action} {subject}: {what} is not known yet")]
    NotKnown {
        /// What was to be done.
        action: &'static str,
        /// To what.
        subject: ArmId,
        /// What is not known.
        what: &'static str,
    },
    /// The settings have no such server any more.
    #[error("the settings have no server for {item}")]
    NoServer {
        /// The item.
        item: ArmId,
    },
    /// The request cannot be made.
    #[error(transparent)]
    Request(#[from] ArmError),
}

/// A request as somebody else can make it: the owner who must approve. Has no secrets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OwnerRequest {
    /// The method.
    pub method: String,
    /// The path and its query, below the cloud's Azure Resource Manager.
    pub path: String,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

impl OwnerRequest {
    /// The request, as somebody else can make it.
    pub fn of(request: &Request) -> Self {
        let operation = request.operation();
        let below = if operation.below.is_empty() { String::new() } else { format!("/{}", operation.below) };
        let path = format!("{}{below}?api-version={}", request.id(), request.api_version());
        let body = request.body().and_then(|body| serde_json::from_slice(body).ok());
        Self { method: operation.method.to_string(), path, body }
    }
}

/// What a step is on the wire, with the settings it belongs to and what was observed by now.
///
/// # Errors
///
/// [`Unready`] where something is not known yet.
pub fn request(step: &Step, wanted: &MigrationSettings, seen: &Observed) -> Result<Request, Unready> {
    match &step.action {
        Action::Enable { item, .. } => server::enable(item, wanted),
        Action::Update { item, .. } => change::update(item, wanted),
        Action::Ask { item, verb, shuts_down } => ask::ask(item, *verb, *shuts_down, wanted, seen),
        action => surroundings::request(action, seen),
    }
}

/// What is not known, of an action.
fn not_known(action: &Action, what: &'static str) -> Unready {
    Unready::NotKnown { action: action.name(), subject: action.subject().clone(), what }
}
