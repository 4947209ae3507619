//! How `VMware` machines are replicated, which are migration items.

use std::collections::BTreeMap;

use super::{
    LicenseType, LinuxLicenseType, SiteRecoveryVersion, SqlServerLicenseType, TargetSecurityType, disk_of_2025,
};
use crate::control::ArmId;
use crate::control::model::disk::DiskType;
use crate::control::model::resource::Resource;
use crate::control::model::scalar::Flag;
use crate::control::model::wire::{by_kind, wire};

/// Starts to replicate a `VMware` machine.
pub type EnableMigration = Resource<EnableMigrationProperties>;
/// Changes how a `VMware` machine arrives.
pub type UpdateMigration = Resource<UpdateMigrationProperties>;

wire! {
    /// The properties of an [`EnableMigration`].
    pub struct EnableMigrationProperties {
        /// How often it replicates.
        policy_id: ArmId,
        /// Everything else.
        provider_specific_details: EnableMigrationDetails,
    }

    /// What a `VMware` machine is replicated with.
    pub struct VmwareCbtEnable {
        /// The machine in its site.
        vmware_machine_id: ArmId,
        /// The disks, at least one.
        disks_to_include: Vec<VmwareCbtDisk>,
        /// The account that moves data.
        data_mover_run_as_account_id: ArmId,
        /// The account that makes snapshots.
        snapshot_run_as_account_id: ArmId,
        /// The name in Azure.
        target_vm_name: String,
        /// The size in Azure.
        target_vm_size: String,
        /// The resource group in Azure.
        target_resource_group_id: ArmId,
        /// The virtual network.
        target_network_id: ArmId,
        /// The subnet's name in it.
        target_subnet_name: String,
        /// The virtual network of tests.
        test_network_id: ArmId,
        /// The subnet's name in it.
        test_subnet_name: String,
        /// The set that it will be in.
        target_availability_set_id: ArmId,
        /// The zone that it will be in.
        target_availability_zone: String,
        /// The group that it will be near to.
        target_proximity_placement_group_id: ArmId,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
        /// The account that its screen is kept in while it starts.
        target_boot_diagnostics_storage_account_id: ArmId,
        /// How much it is protected.
        target_vm_security_profile: VmwareCbtSecurity,
        /// The key vault of a confidential machine.
        confidential_vm_key_vault_id: ArmId,
        /// Its Windows licence.
        license_type: LicenseType,
        /// Its SQL Server licence.
        sql_server_license_type: SqlServerLicenseType,
        /// Its Linux subscription.
        linux_license_type: LinuxLicenseType,
        /// Whether its SQL Server is registered in Azure.
        perform_sql_bulk_registration: Flag,
        /// Whether it is compared anew by itself where that is needed.
        perform_auto_resync: Flag,
        /// The operating system, where the owner knows better.
        #[serde(rename = "userSelectedOSName")]
        user_selected_os_name: String,
        /// Tags of the machine.
        target_vm_tags: BTreeMap<String, String>,
        /// Tags of the disks that replicas are kept on.
        seed_disk_tags: BTreeMap<String, String>,
        /// Tags of its disks.
        target_disk_tags: BTreeMap<String, String>,
        /// Tags of its network interfaces.
        target_nic_tags: BTreeMap<String, String>,
    }

    /// A disk of a `VMware` machine.
    pub struct VmwareCbtDisk {
        /// Its id in vSphere.
        disk_id: String,
        /// Whether the machine starts from it.
        #[serde(rename = "isOSDisk")]
        is_os_disk: Flag,
        /// Its kind in Azure.
        disk_type: DiskType,
        /// The account that its data goes through.
        log_storage_account_id: ArmId,
        /// The name of the secret that opens that account.
        log_storage_account_sas_secret_name: String,
        /// The owner's keys.
        disk_encryption_set_id: ArmId,
        /// The bytes of a sector: 512 or 4096.
        sector_size_in_bytes: i64,
        /// How many operations a second it does; from 2025-08-01 on.
        iops: i64,
        /// How much it moves, in MB a second; from 2025-08-01 on.
        throughput_in_mbps: i64,
        /// How large it is in Azure, in GiB; from 2025-08-01 on.
        #[serde(rename = "diskSizeInGB")]
        disk_size_in_gb: i64,
    }

    /// How much a `VMware` machine is protected in Azure.
    pub struct VmwareCbtSecurity {
        /// How much.
        target_vm_security_type: TargetSecurityType,
        /// Whether it starts signed software only.
        is_target_vm_secure_boot_enabled: Flag,
        /// Whether it has a TPM.
        is_target_vm_tpm_enabled: Flag,
        /// Whether what it starts is watched.
        is_target_vm_integrity_monitoring_enabled: Flag,
        /// Whether its disk is encrypted for it alone.
        is_target_vm_confidential_encryption_enabled: Flag,
    }

    /// The properties of an [`UpdateMigration`].
    pub struct UpdateMigrationProperties {
        /// Everything.
        provider_specific_details: UpdateMigrationDetails,
    }

    /// How a `VMware` machine arrives from now on. Microsoft's own client sends what stays the same as well.
    pub struct VmwareCbtUpdate {
        /// The name in Azure.
        target_vm_name: String,
        /// The size in Azure.
        target_vm_size: String,
        /// The resource group in Azure.
        target_resource_group_id: ArmId,
        /// The virtual network.
        target_network_id: ArmId,
        /// The virtual network of tests.
        test_network_id: ArmId,
        /// The set that it will be in.
        target_availability_set_id: ArmId,
        /// The zone that it will be in.
        target_availability_zone: String,
        /// The group that it will be near to.
        target_proximity_placement_group_id: ArmId,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
        /// The account that its screen is kept in while it starts.
        target_boot_diagnostics_storage_account_id: ArmId,
        /// The network interfaces.
        vm_nics: Vec<VmwareCbtNic>,
        /// The disks.
        vm_disks: Vec<VmwareCbtUpdateDisk>,
        /// Its Windows licence.
        license_type: LicenseType,
        /// Its SQL Server licence.
        sql_server_license_type: SqlServerLicenseType,
        /// Its Linux subscription.
        linux_license_type: LinuxLicenseType,
        /// Whether it is compared anew by itself where that is needed.
        perform_auto_resync: Flag,
        /// The operating system, where the owner knows better; from 2025-08-01 on.
        #[serde(rename = "userSelectedOSName")]
        user_selected_os_name: String,
        /// Tags of the machine.
        target_vm_tags: BTreeMap<String, String>,
        /// Tags of its disks.
        target_disk_tags: BTreeMap<String, String>,
        /// Tags of its network interfaces.
        target_nic_tags: BTreeMap<String, String>,
    }

    /// A network interface of a `VMware` machine.
    pub struct VmwareCbtNic {
        /// Its id in vSphere.
        nic_id: String,
        /// Whether it is the first one.
        is_primary_nic: Flag,
        /// Whether there is one in Azure.
        is_selected_for_migration: Flag,
        /// Its name in Azure.
        target_nic_name: String,
        /// Its subnet's name.
        target_subnet_name: String,
        /// Its address; any where it is absent.
        #[serde(rename = "targetStaticIPAddress")]
        target_static_ip_address: String,
        /// Its subnet's name in tests.
        test_subnet_name: String,
        /// Its address in tests; any where it is absent.
        #[serde(rename = "testStaticIPAddress")]
        test_static_ip_address: String,
    }

    /// A disk of a `VMware` machine that changes.
    pub struct VmwareCbtUpdateDisk {
        /// Its id in vSphere.
        disk_id: String,
        /// Its name in Azure.
        target_disk_name: String,
        /// Whether the machine starts from it.
        #[serde(rename = "isOSDisk")]
        is_os_disk: Flag,
        /// How many operations a second it does; from 2025-08-01 on.
        iops: i64,
        /// How much it moves, in MB a second; from 2025-08-01 on.
        throughput_in_mbps: i64,
        /// How large it is in Azure, in GiB; from 2025-08-01 on.
        #[serde(rename = "diskSizeInGB")]
        disk_size_in_gb: i64,
    }
}

by_kind! {
    /// What a machine is replicated with, for the kind of migration that migration items have.
    pub enum EnableMigrationDetails by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtEnable) = "VMwareCbt",
    }
}

by_kind! {
    /// What changes of a machine, for the kind of migration that migration items have.
    pub enum UpdateMigrationDetails by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtUpdate) = "VMwareCbt",
    }
}

impl VmwareCbtEnable {
    fn version(&self) -> SiteRecoveryVersion {
        let disks = || self.disks_to_include.iter().flatten().any(|disk| disk_of_2025!(disk));
        SiteRecoveryVersion::with(self.target_capacity_reservation_group_id.is_some() || disks())
    }
}

impl VmwareCbtUpdate {
    fn version(&self) -> SiteRecoveryVersion {
        let disks = || self.vm_disks.iter().flatten().any(|disk| disk_of_2025!(disk));
        let machine = self.target_capacity_reservation_group_id.is_some() || self.user_selected_os_name.is_some();
        SiteRecoveryVersion::with(machine || disks())
    }
}

impl Resource<EnableMigrationProperties> {
    /// The body that starts it.
    pub fn of_vmware(policy: ArmId, details: VmwareCbtEnable) -> Self {
        Self::new(EnableMigrationProperties {
            policy_id: Some(policy),
            provider_specific_details: Some(EnableMigrationDetails::VmwareCbt(details)),
            ..EnableMigrationProperties::default()
        })
    }

    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        match &self.properties.provider_specific_details {
            Some(EnableMigrationDetails::VmwareCbt(details)) => details.version(),
            _ => SiteRecoveryVersion::V2024,
        }
    }
}

impl Resource<UpdateMigrationProperties> {
    /// The body that changes it.
    pub fn of_vmware(details: VmwareCbtUpdate) -> Self {
        Self::new(UpdateMigrationProperties {
            provider_specific_details: Some(UpdateMigrationDetails::VmwareCbt(details)),
            ..UpdateMigrationProperties::default()
        })
    }

    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        match &self.properties.provider_specific_details {
            Some(UpdateMigrationDetails::VmwareCbt(details)) => details.version(),
            _ => SiteRecoveryVersion::V2024,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_machine_is_enabled_with_the_body_that_the_service_wants() {
        let disk = VmwareCbtDisk {
            disk_id: Some("6000C29".to_owned()),
            is_os_disk: Some(true.into()),
            disk_type: Some(DiskType::StandardSsdLrs),
            log_storage_account_id: Some(ArmId::new("/subscriptions/s/cache")),
            log_storage_account_sas_secret_name: Some("cache-cacheSas".to_owned()),
            ..VmwareCbtDisk::default()
        };
        let details = VmwareCbtEnable {
            vmware_machine_id: Some(ArmId::new("/subscriptions/s/m")),
            disks_to_include: Some(vec![disk]),
            license_type: Some(LicenseType::NoLicenseType),
            perform_auto_resync: Some(true.into()),
            ..VmwareCbtEnable::default()
        };
        let request = EnableMigration::of_vmware(ArmId::new("/subscriptions/s/policy"), details);
        assert_eq!(request.version(), SiteRecoveryVersion::V2024);
        let body = json!({ "properties": {
            "policyId": "/subscriptions/s/policy",
            "providerSpecificDetails": {
                "instanceType": "VMwareCbt", "vmwareMachineId": "/subscriptions/s/m", "licenseType": "NoLicenseType", "performAutoResync": "true",
                "disksToInclude": [{
                    "diskId": "6000C29", "isOSDisk": "true", "diskType": "StandardSSD_LRS",
                    "logStorageAccountId": "/subscriptions/s/cache", "logStorageAccountSasSecretName": "cache-cacheSas",
                }],
            },
        }});
        assert_eq!(serde_json::to_value(&request).unwrap(), body);
        assert_eq!(same::<EnableMigration>(&body), request);
    }

    #[test]
    fn what_only_the_newer_version_has_is_sent_as_that() {
        let enable = |details: serde_json::Value| {
            let request = same::<EnableMigration>(&json!({ "properties": { "providerSpecificDetails": details } }));
            request.version().as_str()
        };
        assert_eq!(
            enable(json!({ "instanceType": "VMwareCbt", "targetCapacityReservationGroupId": "/c" })),
            "2025-08-01"
        );
        assert_eq!(
            enable(json!({ "instanceType": "VMwareCbt", "disksToInclude": [{}, { "iops": 3000 }] })),
            "2025-08-01"
        );
        assert_eq!(enable(json!({ "instanceType": "VMwareCbt", "userSelectedOSName": "x" })), "2024-04-01");
        assert_eq!(enable(json!({ "instanceType": "Other", "iops": 1 })), "2024-04-01");
        let update = |details: VmwareCbtUpdate| UpdateMigration::of_vmware(details).version();
        assert_eq!(update(VmwareCbtUpdate::default()), SiteRecoveryVersion::V2024);
        let named = VmwareCbtUpdate { user_selected_os_name: Some("x".to_owned()), ..Default::default() };
        assert_eq!(update(named), SiteRecoveryVersion::V2025);
        let larger = VmwareCbtUpdateDisk { disk_size_in_gb: Some(64), ..Default::default() };
        assert_eq!(
            update(VmwareCbtUpdate { vm_disks: Some(vec![larger]), ..Default::default() }),
            SiteRecoveryVersion::V2025
        );
    }

    #[test]
    fn a_change_names_its_interfaces_and_disks() {
        same::<UpdateMigration>(&json!({ "properties": { "providerSpecificDetails": {
            "instanceType": "VMwareCbt", "targetVmName": "web01", "performAutoResync": "false",
            "vmNics": [{ "nicId": "4000", "isPrimaryNic": "true", "isSelectedForMigration": "true", "targetStaticIPAddress": "10.0.0.4" }],
            "vmDisks": [{ "diskId": "6000C29", "targetDiskName": "os", "isOSDisk": "true" }],
            "targetVmTags": { "iops": "a tag of the owner" },
        }}}));
    }
}
