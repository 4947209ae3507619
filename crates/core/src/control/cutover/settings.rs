//! What a cutover without the service must be told besides the settings of the migration: what discovery and the
//! service would have known.

use serde::{Deserialize, Serialize};

use super::replica::Replica;
use crate::control::model::Firmware;
use crate::control::named::named;
use crate::private_link::Cloud;

named! {
    /// What a machine is made for.
    pub enum Purpose {
        /// To be what the server was.
        Production = "production",
        /// To be looked at, in a network of its own, and to be deleted.
        Test = "test",
    }
}

named! {
    /// How a replica becomes a managed disk.
    #[derive(Default)]
    pub enum Filling {
        /// Azure reads the page blob itself. Nothing passes the caller.
        #[default]
        Import = "import",
        /// An empty disk is opened, and the caller copies the pages of the replica to it: for a storage account that
        /// Azure's disks cannot read.
        Upload = "upload",
    }
}

named! {
    /// Whose Linux it is: the subscription that may be used again has another name for each.
    pub enum LinuxVendor {
        /// Red Hat Enterprise Linux.
        RedHat = "red_hat",
        /// SUSE Linux Enterprise Server.
        Suse = "suse",
        /// Another one, which needs no licence of Azure.
        Other = "other",
    }
}

/// What the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestSystem {
    /// Windows.
    Windows,
    /// Linux.
    Linux(LinuxVendor),
}

impl GuestSystem {
    /// `osType` of disks.
    pub const fn os_type(self) -> &'static str {
        match self {
            Self::Windows => "Windows",
            Self::Linux(_) => "Linux",
        }
    }
}

/// What a cutover of one server must be told besides its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutoverSettings {
    /// The cloud.
    pub cloud: Cloud,
    /// The name of the region, as Azure Resource Manager spells it: `westeurope`.
    pub region: String,
    /// What the server runs.
    pub guest: GuestSystem,
    /// What starts it: a BIOS makes a machine of generation 1, UEFI one of generation 2.
    pub firmware: Firmware,
    /// How replicas become disks.
    #[serde(default)]
    pub filling: Filling,
    /// The sealed replicas of the server's disks.
    pub replicas: Vec<Replica>,
}
