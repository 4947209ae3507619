//! What a machine is replicated with: the requests that start replication, and those that change its settings.
//!
//! ```text
//! migration.rs    of VMware machines, which are migration items
//! protection.rs   of Hyper-V machines and servers with agents, which are protected items
//! ```
//!
//! Source: Azure REST API specification, Site Recovery, `service.json` (2024-04-01). In 2025-08-01 there are also
//! the capacity that is kept for a machine, speed and size of its disks, and the Linux subscription of Hyper-V and
//! agents; nothing else differs. A request without these is sent as the older version, which is known better.

mod migration;
mod protection;

pub use self::migration::{
    EnableMigration, EnableMigrationDetails, EnableMigrationProperties, UpdateMigration, UpdateMigrationDetails,
    UpdateMigrationProperties, VmwareCbtDisk, VmwareCbtEnable, VmwareCbtNic, VmwareCbtSecurity, VmwareCbtUpdate,
    VmwareCbtUpdateDisk,
};
pub use self::protection::{
    EnableProtection, EnableProtectionDetails, EnableProtectionProperties, HyperVDiskInput, HyperVEnable, HyperVUpdate,
    InMageRcmDisk, InMageRcmDisksDefault, InMageRcmEnable, InMageRcmNic, InMageRcmUpdate, ProtectedDiskName,
    ProtectedIpConfiguration, ProtectedNic, UpdateProtection, UpdateProtectionDetails, UpdateProtectionProperties,
};
use super::wire::wire;
use crate::control::named::named;
use crate::control::open_enum::open_enum;

named! {
    /// A version of Site Recovery's contract.
    pub enum SiteRecoveryVersion {
        /// The one that everything here is in, but for what says otherwise.
        V2024 = "2024-04-01",
        /// With capacity, and with speed and size of disks.
        V2025 = "2025-08-01",
    }
}

impl SiteRecoveryVersion {
    /// The newer one if something of it is used.
    pub(super) const fn with(newer: bool) -> Self {
        if newer { Self::V2025 } else { Self::V2024 }
    }
}

/// Whether a disk asks for a speed or a size, which the older version does not have.
macro_rules! disk_of_2025 {
    ($disk:expr) => {
        $disk.iops.is_some() || $disk.throughput_in_mbps.is_some() || $disk.disk_size_in_gb.is_some()
    };
}

use disk_of_2025;

open_enum! {
    /// A Windows licence that the owner has already.
    pub enum LicenseType {
        /// Nobody chose.
        NotSpecified,
        /// None: it is paid for in Azure.
        NoLicenseType,
        /// One of Windows Server.
        WindowsServer,
    }
}

open_enum! {
    /// A licence of SQL Server that the owner has already.
    pub enum SqlServerLicenseType {
        /// Nobody chose.
        NotSpecified,
        /// None.
        NoLicenseType,
        /// It is paid for in Azure.
        Payg = "PAYG",
        /// One that the owner has.
        Ahub = "AHUB",
    }
}

open_enum! {
    /// A Linux subscription that the owner has already.
    pub enum LinuxLicenseType {
        /// Nobody chose.
        NotSpecified,
        /// None.
        NoLicenseType,
        /// One of a server.
        LinuxServer,
    }
}

open_enum! {
    /// How much the machine in Azure is protected.
    pub enum TargetSecurityType {
        /// As any machine is.
        None,
        /// It starts signed software only, and has a TPM.
        TrustedLaunch,
        /// Its memory is hidden from its host as well.
        ConfidentialVm = "ConfidentialVM",
    }
}

open_enum! {
    /// Whether something is on.
    pub enum Setting {
        /// It is not.
        Disabled,
        /// It is.
        Enabled,
    }
}

wire! {
    /// How much a Hyper-V machine or a server with an agent is protected in Azure.
    pub struct TargetSecurity {
        /// How much.
        target_vm_security_type: TargetSecurityType,
        /// Whether it starts signed software only.
        target_vm_secure_boot: Setting,
        /// Whether it has a TPM.
        target_vm_tpm: Setting,
        /// Whether what it starts is watched.
        target_vm_monitoring: Setting,
        /// Whether its disk is encrypted for it alone.
        target_vm_confidential_encryption: Setting,
    }

    /// A tag, where the service wants a list of them.
    pub struct ResourceTag {
        /// The name.
        tag_name: String,
        /// The value.
        tag_value: String,
    }
}
