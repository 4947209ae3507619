//! What is wanted: the settings of a migration, before anything is asked of Azure.
//!
//! ```text
//! target.rs    where the machines go: network, availability, encryption, security, licences, tags
//! server.rs    one server: its disks, its network interfaces, and what only its kind of migration has
//! import.rs    settings from a discovery and from an assessment
//! batch.rs     so many servers as are enabled together
//! size.rs      which size of machine comes closest to a server
//! change.rs    which setting may still be changed when
//! ```
//!
//! What is nonsense everywhere cannot be said: a machine has a zone or a set, never both; encryption is a setting
//! of the two kinds of migration that offer it; options of confidential machines exist only inside of that choice.
//! What depends on what Azure has (regions, sets, sizes) is said by the rules.

mod batch;
mod change;
mod import;
mod server;
mod size;
mod target;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::batch::batches;
pub use self::change::{CHANGES, Change, Changeable, Setting, changeable};
pub use self::import::Remark;
pub use self::server::{
    AgentSource, DiskSettings, HyperVSource, NicPlace, NicRole, NicSettings, ServerSettings, Source, VmwareSource,
};
pub use self::size::{Considered, Misfit, NoSize, SizeChoice, SizeNeed, closest_size, misfits};
pub use self::target::{
    Availability, DiskEncryption, Licences, LinuxLicence, Security, SqlLicence, Tags, TestNetwork, WindowsLicence,
};
use super::ArmId;
use super::Scenario;
use crate::private_link::Cloud;

/// One migration: some servers, of one kind, to one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationSettings {
    /// How the servers are migrated.
    pub scenario: Scenario,
    /// Which cloud they go to.
    pub cloud: Cloud,
    /// The project of Azure Migrate.
    pub project: ArmId,
    /// The Recovery Services vault that keeps the replication.
    pub vault: ArmId,
    /// The name of the region, as Azure Resource Manager spells it: `westeurope`.
    pub region: String,
    /// Where the private endpoints are.
    pub private_network: PrivateNetwork,
    /// The storage account that replication data goes to. For `VMware`, the cache account.
    pub replication_account: ArmId,
    /// A second account for what is in between. Hyper-V needs it where the replication account is a premium one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_account: Option<ArmId>,
    /// The protection container of the site, below the vault: the servers become its items.
    pub container: ArmId,
    /// Who reads the servers.
    pub appliance: Appliance,
    /// Where the machines go.
    pub target: TargetSettings,
    /// The servers.
    pub servers: Vec<ServerSettings>,
}

/// The virtual network of the private endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateNetwork {
    /// The subnet that new private endpoints go to.
    pub subnet: ArmId,
    /// The resource group that new private endpoints go to.
    pub endpoint_group: ArmId,
    /// Whether the caller owns what the private endpoints lead to: then they are approved as they are made. Otherwise
    /// their owner is asked.
    pub may_approve: bool,
    /// The resource group of the private DNS zones. In a hub, it is somebody else's.
    pub zone_group: ArmId,
}

/// The machine on which the data plane runs: the appliance, the host of the replication provider, or the replication
/// appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appliance {
    /// The proxy of the appliance, without credentials: `http://proxy.example:3128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// What goes past the proxy: names, names that begin with `*.`, addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_bypass: Vec<String>,
    /// When the registration key was generated, for a provider or replication appliance that is still to be
    /// registered with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_key_issued: Option<Timestamp>,
}

/// Where the machines go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSettings {
    /// The resource group.
    pub resource_group: ArmId,
    /// The virtual network.
    pub network: ArmId,
    /// The subnet in it, for interfaces that name none.
    pub subnet: String,
    /// Where test machines go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestNetwork>,
    /// The storage account for boot diagnostics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_diagnostics: Option<ArmId>,
}

impl MigrationSettings {
    /// A name for exactly these settings: BLAKE3 of their JSON, in hexadecimal digits.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("settings are made of texts and numbers");
        blake3::hash(&json).to_hex().to_string()
    }

    /// The storage accounts of this migration, the replication account first.
    pub fn accounts(&self) -> impl Iterator<Item = &ArmId> {
        std::iter::once(&self.replication_account).chain(&self.cache_account)
    }
}
