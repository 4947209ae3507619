//! The control plane: what Azure is asked to do with a server, beside the data plane that moves its bytes.
//!
//! ```text
//! scenario.rs     the three ways a server is migrated
//! arm/            the client of Azure Resource Manager
//! arm_id.rs       ids of Azure Resource Manager, equal without case
//! limits.rs       the numbers that documents give and change
//! settings/       what is wanted: servers, disks, networks, and where they go
//! observed.rs     what is there, as Azure told it
//! settled.rs      what the service has of a server's settings, beside what is wanted
//! plan/           from what is wanted and what is there to steps, and doing them
//! rules/          what the documents demand, as a table; findings
//! cutover/        replicas of our own become machines, without the service
//! lifecycle/      the migration state machine: states, verbs, guards, and what they are on the wire
//! model/          the bodies of Azure Resource Manager, as plain data
//! named.rs, open_enum.rs   enums with stable names; enums of the service, which keep what they do not know
//! ```
//!
//! Nothing but the client sends a request, and nothing here knows the replication engine.

pub mod arm;
mod arm_id;
pub mod cutover;
pub mod lifecycle;
pub mod limits;
pub mod model;
mod named;
mod observed;
mod open_enum;
pub mod plan;
pub mod rules;
#[cfg(test)]
mod sample;
mod scenario;
pub mod settings;
mod settled;

pub use self::arm_id::{ArmId, ArmIdError};
pub use self::observed::{Blackout, ClosedPort, Observed, Region, Unread};
pub use self::scenario::Scenario;
pub use self::settled::{Difference, differences};

/// The snippets of the guide's pages compile and run.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../../docs/migrate/vmware.md")]
    struct Vmware;
    #[doc = include_str!("../../../../docs/migrate/hyper-v.md")]
    struct HyperV;
    #[doc = include_str!("../../../../docs/migrate/agent-based.md")]
    struct AgentBased;
    #[doc = include_str!("../../../../docs/plan.md")]
    struct Plan;
}
