//! What holds for the lifecycle as a whole.

mod examples;
mod guards;
mod picture;
mod properties;
mod wire;

use super::wire::{Item, MigrationItem, ProtectedItem};
use crate::control::Scenario;

/// An item as the service has it, from its JSON.
fn item(scenario: Scenario, json: serde_json::Value) -> Item {
    match scenario {
        Scenario::VmwareAgentless => Item::Vmware(serde_json::from_value::<MigrationItem>(json).unwrap()),
        Scenario::HyperV => Item::HyperV(serde_json::from_value::<ProtectedItem>(json).unwrap()),
        Scenario::AgentBased => Item::Agent(serde_json::from_value::<ProtectedItem>(json).unwrap()),
    }
}
