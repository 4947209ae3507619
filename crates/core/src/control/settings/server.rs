//! One server: its disks, its network interfaces, and what only its kind of migration has.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::target::{Availability, DiskEncryption, Licences, Security, Tags};
use crate::control::ArmId;
use crate::control::Scenario;
use crate::control::model::DiskType;

/// What is wanted of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// The server, and what only its kind of migration has.
    pub source: Source,
    /// The name of the replicated item below the container; it stays the same for as long as it is replicated.
    pub item: String,
    /// The name of the machine in Azure.
    pub name: String,
    /// The size of the machine, `Standard_D4s_v5`; the service picks one where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What keeps it up.
    #[serde(default)]
    pub availability: Availability,
    /// What is licensed already.
    #[serde(default)]
    pub licences: Licences,
    /// What guards its start.
    #[serde(default)]
    pub security: Security,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
    /// The disks that are replicated. A disk that is left out is not on the machine in Azure.
    pub disks: Vec<DiskSettings>,
    /// The network interfaces.
    #[serde(default)]
    pub nics: Vec<NicSettings>,
}

/// One disk that is replicated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSettings {
    /// Its id at the source.
    pub id: String,
    /// Whether it holds the boot loader and the operating system.
    #[serde(default)]
    pub is_os: bool,
    /// What kind of managed disk it becomes.
    pub disk_type: DiskType,
    /// The name of the managed disk; the service picks one where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl DiskSettings {
    /// A disk that becomes one of that kind.
    pub fn new(id: impl Into<String>, disk_type: DiskType) -> Self {
        Self { id: id.into(), is_os: false, disk_type, name: None }
    }

    /// It holds the operating system.
    #[must_use]
    pub fn with_os(self) -> Self {
        Self { is_os: true, ..self }
    }

    /// The managed disk's name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicSettings {
    /// Its id at the source.
    pub id: String,
    /// The name of the interface in Azure; the service picks one where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What becomes of it.
    pub role: NicRole,
}

/// What becomes of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NicRole {
    /// The machine's first.
    Primary(NicPlace),
    /// Another one.
    Secondary(NicPlace),
    /// It is left out.
    NotCreated,
}

impl NicRole {
    /// Where it goes, if it goes anywhere.
    pub const fn place(&self) -> Option<&NicPlace> {
        match self {
            Self::Primary(place) | Self::Secondary(place) => Some(place),
            Self::NotCreated => None,
        }
    }
}

/// Where a network interface goes. What is left out is the target's subnet, or an address of the service's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NicPlace {
    /// The subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// A fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The subnet of the test machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_subnet: Option<String>,
    /// A fixed address of the test machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_address: Option<IpAddr>,
}

/// A server at its source, and what only its kind of migration has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Of `VMware`, without an agent.
    VmwareAgentless(VmwareSource),
    /// Of Hyper-V.
    HyperV(HyperVSource),
    /// Any, with an agent.
    AgentBased(AgentSource),
}

impl Source {
    /// How it is migrated.
    pub const fn scenario(&self) -> Scenario {
        match self {
            Self::VmwareAgentless(_) => Scenario::VmwareAgentless,
            Self::HyperV(_) => Scenario::HyperV,
            Self::AgentBased(_) => Scenario::AgentBased,
        }
    }

    /// The discovered machine.
    pub const fn machine(&self) -> &ArmId {
        match self {
            Self::VmwareAgentless(source) => &source.machine,
            Self::HyperV(source) => &source.machine,
            Self::AgentBased(source) => &source.machine,
        }
    }

    /// Who holds the key of the disks. Hyper-V offers no choice.
    pub const fn encryption(&self) -> Option<&DiskEncryption> {
        match self {
            Self::VmwareAgentless(source) => Some(&source.encryption),
            Self::HyperV(_) => None,
            Self::AgentBased(source) => Some(&source.encryption),
        }
    }
}

/// A `VMware` machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmwareSource {
    /// The discovered machine, below its site.
    pub machine: ArmId,
    /// The account with which the appliance moves data.
    pub data_mover_account: ArmId,
    /// The account with which the appliance takes snapshots.
    pub snapshot_account: ArmId,
    /// Who holds the key of the disks.
    #[serde(default)]
    pub encryption: DiskEncryption,
    /// Whether the service compares everything again by itself where changes were lost.
    pub resyncs_by_itself: bool,
}

/// A Hyper-V machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HyperVSource {
    /// The discovered machine.
    pub machine: ArmId,
    /// What the container offers to be protected: `replicationProtectableItems`.
    pub protectable_item: ArmId,
    /// The machine's id on its host.
    pub host_vm_id: String,
    /// The kind of operating system: `Windows` or `Linux`.
    pub os_type: String,
}

/// A server with an agent. The mobility service is installed on it beforehand: this kind of migration pushes none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSource {
    /// The discovered machine.
    pub machine: ArmId,
    /// The process server of the replication appliance.
    pub process_server: String,
    /// The account with which the appliance reaches the server. It may be a dummy: nothing is pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_account: Option<String>,
    /// Who holds the key of the disks.
    #[serde(default)]
    pub encryption: DiskEncryption,
}
