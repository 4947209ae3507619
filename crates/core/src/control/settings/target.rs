//! Where and as what a server arrives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::ArmId;
use crate::control::named::named;

named! {
    /// Whether Windows is licensed already.
    pub enum WindowsLicence {
        /// No: its price is part of the machine's.
        None = "NoLicenseType",
        /// Yes, by Software Assurance or a subscription: Azure Hybrid Benefit.
        HybridBenefit = "WindowsServer",
    }
}

named! {
    /// How SQL Server is licensed.
    pub enum SqlLicence {
        /// Not at all, or not here.
        None = "NoLicenseType",
        /// By the hour.
        PayAsYouGo = "PAYG",
        /// Already: Azure Hybrid Benefit.
        HybridBenefit = "AHUB",
    }
}

named! {
    /// Whether Linux is licensed already.
    pub enum LinuxLicence {
        /// No, or it needs none.
        None = "NoLicenseType",
        /// Yes, by a subscription: Azure Hybrid Benefit.
        HybridBenefit = "LinuxServer",
    }
}

/// What is licensed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Licences {
    /// Windows.
    pub windows: WindowsLicence,
    /// SQL Server.
    pub sql: SqlLicence,
    /// Linux.
    pub linux: LinuxLicence,
}

impl Default for Licences {
    /// None.
    fn default() -> Self {
        Self { windows: WindowsLicence::None, sql: SqlLicence::None, linux: LinuxLicence::None }
    }
}

/// What keeps a machine up when hardware fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Nothing: no infrastructure redundancy is required.
    #[default]
    None,
    /// It is in this zone of the region: `1`.
    Zone(String),
    /// It is in this availability set.
    Set(ArmId),
}

/// Who holds the key that managed disks are encrypted with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskEncryption {
    /// The platform.
    #[default]
    PlatformKey,
    /// The customer, by this disk encryption set.
    CustomerKey(ArmId),
    /// Both, by this disk encryption set.
    PlatformAndCustomerKey(ArmId),
}

impl DiskEncryption {
    /// The disk encryption set.
    pub const fn set(&self) -> Option<&ArmId> {
        match self {
            Self::PlatformKey => None,
            Self::CustomerKey(set) | Self::PlatformAndCustomerKey(set) => Some(set),
        }
    }
}

/// What guards the start of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Nothing beyond the ordinary.
    #[default]
    Standard,
    /// Trusted launch.
    TrustedLaunch {
        /// Whether only signed code starts.
        secure_boot: bool,
    },
    /// A confidential machine.
    Confidential {
        /// Whether only signed code starts.
        secure_boot: bool,
        /// Whether the operating-system disk is encrypted with a key that only the machine has.
        encrypts_os_disk: bool,
    },
}

impl Security {
    /// The service's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "None",
            Self::TrustedLaunch { .. } => "TrustedLaunch",
            Self::Confidential { .. } => "ConfidentialVM",
        }
    }

    /// Whether only signed code starts.
    pub const fn secure_boot(self) -> bool {
        match self {
            Self::Standard => false,
            Self::TrustedLaunch { secure_boot } | Self::Confidential { secure_boot, .. } => secure_boot,
        }
    }
}

/// Tags of what is made in Azure for a server. Keys are case-insensitive to Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tags {
    /// Of the machine.
    pub vm: BTreeMap<String, String>,
    /// Of its disks.
    pub disk: BTreeMap<String, String>,
    /// Of its network interfaces.
    pub nic: BTreeMap<String, String>,
}

impl Tags {
    /// The same tags for all.
    pub fn of_all(tags: BTreeMap<String, String>) -> Self {
        Self { vm: tags.clone(), disk: tags.clone(), nic: tags }
    }
}

/// Where test machines go: a network from which production cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestNetwork {
    /// The virtual network.
    pub network: ArmId,
    /// The subnet in it, for interfaces that name none.
    pub subnet: String,
}
