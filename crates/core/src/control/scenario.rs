//! The three ways a server is migrated.
//!
//! Source: Microsoft Learn, "Migrate servers to Azure by using Private Link" (2022-12-14), which has one
//! chapter for each.

use super::named::named;

named! {
    /// How a server is migrated. It decides which resources of the service stand for it.
    pub enum Scenario {
        /// A `VMware` virtual machine, by an appliance that asks vSphere for its snapshots and changes.
        VmwareAgentless = "vmware_agentless",
        /// A Hyper-V virtual machine, by the replication provider on its host.
        HyperV = "hyper_v",
        /// Any server, by an agent inside it.
        AgentBased = "agent_based",
    }
}

impl Scenario {
    /// The resource of Azure Resource Manager that a replicated machine is.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::VmwareAgentless => "replicationMigrationItems",
            Self::HyperV | Self::AgentBased => "replicationProtectedItems",
        }
    }

    /// The `instanceType` that tells the service's models of this scenario apart.
    pub const fn instance_type(self) -> &'static str {
        match self {
            Self::VmwareAgentless => "VMwareCbt",
            Self::HyperV => "HyperVReplicaAzure",
            Self::AgentBased => "InMageRcm",
        }
    }
}
