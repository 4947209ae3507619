//! How Hyper-V machines and servers with agents are replicated, which are protected items.

use std::collections::BTreeMap;

use super::{
    LicenseType, LinuxLicenseType, ResourceTag, SiteRecoveryVersion, SqlServerLicenseType, TargetSecurity, disk_of_2025,
};
use crate::control::ArmId;
use crate::control::model::disk::DiskType;
use crate::control::model::resource::Resource;
use crate::control::model::scalar::Flag;
use crate::control::model::wire::{by_kind, wire};

/// Starts to replicate a Hyper-V machine or a server with an agent.
pub type EnableProtection = Resource<EnableProtectionProperties>;
/// Changes how a Hyper-V machine or a server with an agent arrives.
pub type UpdateProtection = Resource<UpdateProtectionProperties>;

wire! {
    /// The properties of an [`EnableProtection`].
    pub struct EnableProtectionProperties {
        /// How often it replicates.
        policy_id: ArmId,
        /// The machine, of Hyper-V; servers with agents are named in the details.
        protectable_item_id: ArmId,
        /// Everything else.
        provider_specific_details: EnableProtectionDetails,
    }

    /// What a Hyper-V machine is replicated with.
    pub struct HyperVEnable {
        /// The machine's id in Hyper-V.
        hv_host_vm_id: String,
        /// The machine's name in Hyper-V.
        vm_name: String,
        /// `Windows` or `Linux`.
        os_type: String,
        /// The operating system, where the owner knows better.
        #[serde(rename = "userSelectedOSName")]
        user_selected_os_name: String,
        /// The disk that it starts from.
        vhd_id: String,
        /// The account that replicas are kept in.
        target_storage_account_id: ArmId,
        /// The account that changes are kept in before they are applied: Standard, where the other one is Premium.
        log_storage_account_id: ArmId,
        /// The disks, where their replicas are blobs.
        disks_to_include: Vec<String>,
        /// The disks, where their replicas are managed disks.
        disks_to_include_for_managed_disks: Vec<HyperVDiskInput>,
        /// Whether replicas are managed disks.
        use_managed_disks_for_replication: Flag,
        /// Whether it arrives with managed disks.
        use_managed_disks: Flag,
        /// The kind of its disks in Azure.
        disk_type: DiskType,
        /// The owner's keys.
        disk_encryption_set_id: ArmId,
        /// The name in Azure.
        target_azure_vm_name: String,
        /// The size in Azure.
        target_vm_size: String,
        /// The resource group in Azure.
        #[serde(rename = "targetAzureV2ResourceGroupId")]
        target_azure_v2_resource_group_id: ArmId,
        /// The virtual network.
        target_azure_network_id: ArmId,
        /// The subnet in it.
        target_azure_subnet_id: String,
        /// Whether remote desktop is let in: `Never`, `OnlyOnTestFailover` or `Always`.
        enable_rdp_on_target_option: String,
        /// The set that it will be in.
        target_availability_set_id: ArmId,
        /// The zone that it will be in.
        target_availability_zone: String,
        /// The group that it will be near to.
        target_proximity_placement_group_id: ArmId,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
        /// How much it is protected.
        target_vm_security_profile: TargetSecurity,
        /// Its Windows licence.
        license_type: LicenseType,
        /// Its SQL Server licence.
        sql_server_license_type: SqlServerLicenseType,
        /// Its Linux subscription; from 2025-08-01 on.
        linux_license_type: LinuxLicenseType,
        /// Tags of the machine.
        target_vm_tags: BTreeMap<String, String>,
        /// Tags of the disks that replicas are kept on.
        seed_managed_disk_tags: BTreeMap<String, String>,
        /// Tags of its disks.
        target_managed_disk_tags: BTreeMap<String, String>,
        /// Tags of its network interfaces.
        target_nic_tags: BTreeMap<String, String>,
    }

    /// A disk of a Hyper-V machine.
    pub struct HyperVDiskInput {
        /// Its id in Hyper-V.
        disk_id: String,
        /// The account that its data goes through.
        log_storage_account_id: ArmId,
        /// Its kind in Azure.
        disk_type: DiskType,
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

    /// What a server with an agent is replicated with.
    pub struct InMageRcmEnable {
        /// The machine in its site.
        fabric_discovery_machine_id: ArmId,
        /// The disks that have settings of their own.
        disks_to_include: Vec<InMageRcmDisk>,
        /// The settings of all other disks.
        disks_default: InMageRcmDisksDefault,
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
        /// The name in Azure.
        target_vm_name: String,
        /// The size in Azure.
        target_vm_size: String,
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
        /// The account that installs the agent; a dummy where it is installed already.
        run_as_account_id: String,
        /// What takes its data in.
        process_server_id: String,
        /// The group that has common recovery points.
        multi_vm_group_name: String,
        /// Its Windows licence.
        license_type: LicenseType,
        /// Its SQL Server licence.
        sql_server_license_type: SqlServerLicenseType,
        /// Its Linux subscription; from 2025-08-01 on.
        linux_license_type: LinuxLicenseType,
        /// The operating system, where the owner knows better.
        #[serde(rename = "userSelectedOSName")]
        user_selected_os_name: String,
        /// How much it is protected.
        target_vm_security_profile: TargetSecurity,
        /// Tags of the machine.
        target_vm_tags: Vec<ResourceTag>,
        /// Tags of the disks that replicas are kept on.
        seed_managed_disk_tags: Vec<ResourceTag>,
        /// Tags of its disks.
        target_managed_disk_tags: Vec<ResourceTag>,
        /// Tags of its network interfaces.
        target_nic_tags: Vec<ResourceTag>,
    }

    /// A disk of a server with an agent.
    pub struct InMageRcmDisk {
        /// Its id.
        disk_id: String,
        /// The account that its data goes through.
        log_storage_account_id: ArmId,
        /// Its kind in Azure.
        disk_type: DiskType,
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

    /// The settings of the disks of a server with an agent that have none of their own.
    pub struct InMageRcmDisksDefault {
        /// The account that their data goes through.
        log_storage_account_id: ArmId,
        /// Their kind in Azure.
        disk_type: DiskType,
        /// The owner's keys.
        disk_encryption_set_id: ArmId,
        /// The bytes of a sector: 512 or 4096.
        sector_size_in_bytes: i64,
        /// How many operations a second they do; from 2025-08-01 on.
        iops: i64,
        /// How much they move, in MB a second; from 2025-08-01 on.
        throughput_in_mbps: i64,
        /// How large they are in Azure, in GiB; from 2025-08-01 on.
        #[serde(rename = "diskSizeInGB")]
        disk_size_in_gb: i64,
    }

    /// The properties of an [`UpdateProtection`].
    pub struct UpdateProtectionProperties {
        /// The name in Azure.
        #[serde(rename = "recoveryAzureVMName")]
        recovery_azure_vm_name: String,
        /// The size in Azure.
        #[serde(rename = "recoveryAzureVMSize")]
        recovery_azure_vm_size: String,
        /// The virtual network.
        selected_recovery_azure_network_id: ArmId,
        /// The virtual network of tests.
        selected_tfo_azure_network_id: ArmId,
        /// The interface whose network that is.
        selected_source_nic_id: String,
        /// Whether remote desktop is let in: `Never`, `OnlyOnTestFailover` or `Always`.
        enable_rdp_on_target_option: String,
        /// The network interfaces.
        vm_nics: Vec<ProtectedNic>,
        /// Its Windows licence.
        license_type: LicenseType,
        /// The set that it will be in.
        recovery_availability_set_id: ArmId,
        /// What only one kind of migration has.
        provider_specific_details: UpdateProtectionDetails,
    }

    /// A network interface of a Hyper-V machine.
    pub struct ProtectedNic {
        /// Its id in Hyper-V.
        nic_id: String,
        /// `SelectedByDefault`, `SelectedByUser`, `SelectedByUserOverride` or `NotSelected`.
        selection_type: String,
        /// Its addresses.
        ip_configs: Vec<ProtectedIpConfiguration>,
        /// What filters its traffic.
        recovery_network_security_group_id: ArmId,
        /// Whether it skips its host's software.
        enable_accelerated_networking_on_recovery: bool,
        /// Its name in Azure.
        target_nic_name: String,
    }

    /// An address of a network interface of a Hyper-V machine.
    pub struct ProtectedIpConfiguration {
        /// Its name.
        ip_config_name: String,
        /// Whether it is the first one.
        is_primary: bool,
        /// Whether there is one in Azure. The field is spelled without its second `c`.
        #[serde(rename = "isSeletedForFailover")]
        is_selected_for_failover: bool,
        /// The subnet's name.
        recovery_subnet_name: String,
        /// The address; any where it is absent.
        #[serde(rename = "recoveryStaticIPAddress")]
        recovery_static_ip_address: String,
        /// The subnet's name in tests.
        tfo_subnet_name: String,
        /// The address in tests; any where it is absent.
        #[serde(rename = "tfoStaticIPAddress")]
        tfo_static_ip_address: String,
    }

    /// What changes of a Hyper-V machine beside the common properties.
    pub struct HyperVUpdate {
        /// The resource group in Azure.
        #[serde(rename = "recoveryAzureV2ResourceGroupId")]
        recovery_azure_v2_resource_group_id: ArmId,
        /// Whether it arrives with managed disks.
        use_managed_disks: Flag,
        /// The owner's keys, by the ids of the disks.
        disk_id_to_disk_encryption_map: BTreeMap<String, String>,
        /// The zone that it will be in.
        target_availability_zone: String,
        /// The group that it will be near to.
        target_proximity_placement_group_id: ArmId,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
        /// Its SQL Server licence.
        sql_server_license_type: SqlServerLicenseType,
        /// Its Linux subscription; from 2025-08-01 on.
        linux_license_type: LinuxLicenseType,
        /// The operating system, where the owner knows better; from 2025-08-01 on.
        #[serde(rename = "userSelectedOSName")]
        user_selected_os_name: String,
        /// The names of its disks.
        vm_disks: Vec<ProtectedDiskName>,
        /// Tags of the machine.
        target_vm_tags: BTreeMap<String, String>,
        /// Tags of its disks.
        target_managed_disk_tags: BTreeMap<String, String>,
        /// Tags of its network interfaces.
        target_nic_tags: BTreeMap<String, String>,
    }

    /// A disk of a Hyper-V machine that changes.
    pub struct ProtectedDiskName {
        /// Its id in Hyper-V.
        disk_id: String,
        /// Its name in Azure.
        target_disk_name: String,
        /// How many operations a second it does; from 2025-08-01 on.
        iops: i64,
        /// How much it moves, in MB a second; from 2025-08-01 on.
        throughput_in_mbps: i64,
        /// How large it is in Azure, in GiB; from 2025-08-01 on.
        #[serde(rename = "diskSizeInGB")]
        disk_size_in_gb: i64,
    }

    /// What changes of a server with an agent.
    pub struct InMageRcmUpdate {
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
        vm_nics: Vec<InMageRcmNic>,
        /// Its disks; from 2025-08-01 on.
        vm_disks: Vec<ProtectedDiskName>,
        /// Its Windows licence.
        license_type: LicenseType,
        /// Its SQL Server licence.
        sql_server_license_type: SqlServerLicenseType,
        /// Its Linux subscription; from 2025-08-01 on.
        linux_license_type: LinuxLicenseType,
        /// The operating system, where the owner knows better; from 2025-08-01 on.
        #[serde(rename = "userSelectedOSName")]
        user_selected_os_name: String,
        /// Tags of the machine.
        target_vm_tags: Vec<ResourceTag>,
        /// Tags of its disks.
        target_managed_disk_tags: Vec<ResourceTag>,
        /// Tags of its network interfaces.
        target_nic_tags: Vec<ResourceTag>,
    }

    /// A network interface of a server with an agent.
    pub struct InMageRcmNic {
        /// Its id.
        nic_id: String,
        /// Whether it is the first one.
        is_primary_nic: Flag,
        /// Whether there is one in Azure.
        is_selected_for_failover: Flag,
        /// Its name in Azure; from 2025-08-01 on.
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
}

by_kind! {
    /// What a machine is replicated with, for one kind of protected item.
    pub enum EnableProtectionDetails by "instanceType" {
        /// Of Hyper-V.
        HyperV(HyperVEnable) = "HyperVReplicaAzure",
        /// With an agent.
        InMageRcm(InMageRcmEnable) = "InMageRcm",
    }
}

by_kind! {
    /// What changes of a machine, for one kind of protected item.
    pub enum UpdateProtectionDetails by "instanceType" {
        /// Of Hyper-V.
        HyperV(HyperVUpdate) = "HyperVReplicaAzure",
        /// With an agent.
        InMageRcm(InMageRcmUpdate) = "InMageRcm",
    }
}

impl Resource<EnableProtectionProperties> {
    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        SiteRecoveryVersion::with(match &self.properties.provider_specific_details {
            Some(EnableProtectionDetails::HyperV(details)) => {
                details.target_capacity_reservation_group_id.is_some()
                    || details.linux_license_type.is_some()
                    || details.disks_to_include_for_managed_disks.iter().flatten().any(|disk| disk_of_2025!(disk))
            }
            Some(EnableProtectionDetails::InMageRcm(details)) => {
                details.target_capacity_reservation_group_id.is_some()
                    || details.linux_license_type.is_some()
                    || details.disks_to_include.iter().flatten().any(|disk| disk_of_2025!(disk))
                    || details.disks_default.iter().any(|disks| disk_of_2025!(disks))
            }
            _ => false,
        })
    }
}

impl Resource<UpdateProtectionProperties> {
    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        SiteRecoveryVersion::with(match &self.properties.provider_specific_details {
            Some(UpdateProtectionDetails::HyperV(details)) => {
                details.target_capacity_reservation_group_id.is_some()
                    || details.linux_license_type.is_some()
                    || details.user_selected_os_name.is_some()
                    || details.vm_disks.iter().flatten().any(|disk| disk_of_2025!(disk))
            }
            Some(UpdateProtectionDetails::InMageRcm(details)) => {
                details.target_capacity_reservation_group_id.is_some()
                    || details.linux_license_type.is_some()
                    || details.user_selected_os_name.is_some()
                    || details.vm_disks.is_some()
                    || details.vm_nics.iter().flatten().any(|nic| nic.target_nic_name.is_some())
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::control::model::wire::same;

    fn enable(details: &Value) -> EnableProtection {
        same(&json!({ "properties": { "policyId": "/p", "providerSpecificDetails": details } }))
    }

    fn update(details: &Value) -> UpdateProtection {
        same(&json!({ "properties": { "recoveryAzureVMName": "web01", "providerSpecificDetails": details } }))
    }

    #[test]
    fn a_hyper_v_machine_has_a_second_account_for_its_changes() {
        let request = enable(&json!({
            "instanceType": "HyperVReplicaAzure", "hvHostVmId": "h", "vhdId": "os", "osType": "Windows",
            "targetStorageAccountId": "/premium", "logStorageAccountId": "/standard", "disksToInclude": ["os", "data"],
            "targetAzureV2ResourceGroupId": "/rg", "targetAzureV1ResourceGroupId": "", "useManagedDisks": "true",
            "targetVmSecurityProfile": { "targetVmSecurityType": "TrustedLaunch", "targetVmSecureBoot": "Enabled" },
            "targetVmTags": { "a": "b" },
        }));
        let Some(EnableProtectionDetails::HyperV(details)) = request.properties.provider_specific_details else {
            panic!("not of Hyper-V")
        };
        assert_eq!(details.log_storage_account_id, Some(ArmId::new("/STANDARD")));
    }

    #[test]
    fn a_server_with_an_agent_has_tags_in_a_list() {
        enable(&json!({
            "instanceType": "InMageRcm", "fabricDiscoveryMachineId": "/m", "targetResourceGroupId": "/rg", "processServerId": "p",
            "disksDefault": { "diskType": "Premium_LRS", "logStorageAccountId": "/a" }, "targetVmTags": [{ "tagName": "a", "tagValue": "b" }],
            "disksToInclude": [{ "diskId": "d", "diskType": "Brand_New", "logStorageAccountId": "/a" }],
        }));
    }

    #[test]
    fn what_only_the_newer_version_has_is_sent_as_that() {
        for (details, version) in [
            (json!({ "instanceType": "HyperVReplicaAzure" }), "2024-04-01"),
            (json!({ "instanceType": "HyperVReplicaAzure", "linuxLicenseType": "LinuxServer" }), "2025-08-01"),
            (
                json!({ "instanceType": "HyperVReplicaAzure", "disksToIncludeForManagedDisks": [{ "iops": 1 }] }),
                "2025-08-01",
            ),
            (json!({ "instanceType": "InMageRcm", "userSelectedOSName": "x" }), "2024-04-01"),
            (json!({ "instanceType": "InMageRcm", "disksDefault": { "diskSizeInGB": 1 } }), "2025-08-01"),
            (json!({ "instanceType": "InMageRcm", "disksToInclude": [{ "throughputInMbps": 1 }] }), "2025-08-01"),
            (json!({ "instanceType": "A2A", "linuxLicenseType": "x" }), "2024-04-01"),
        ] {
            assert_eq!(enable(&details).version().as_str(), version, "{details}");
        }
        for (details, version) in [
            (
                json!({ "instanceType": "HyperVReplicaAzure", "vmDisks": [{ "diskId": "d", "targetDiskName": "n" }] }),
                "2024-04-01",
            ),
            (json!({ "instanceType": "HyperVReplicaAzure", "userSelectedOSName": "x" }), "2025-08-01"),
            (
                json!({ "instanceType": "InMageRcm", "vmNics": [{ "nicId": "n", "isPrimaryNic": "true" }] }),
                "2024-04-01",
            ),
            (json!({ "instanceType": "InMageRcm", "vmNics": [{ "targetNicName": "n" }] }), "2025-08-01"),
            (json!({ "instanceType": "InMageRcm", "targetCapacityReservationGroupId": "/c" }), "2025-08-01"),
        ] {
            assert_eq!(update(&details).version().as_str(), version, "{details}");
        }
    }

    #[test]
    fn an_address_keeps_the_services_spelling() {
        same::<UpdateProtection>(&json!({ "properties": { "vmNics": [{
            "nicId": "n", "selectionType": "SelectedByUser", "tfoReuseExistingNic": false,
            "ipConfigs": [{ "ipConfigName": "i", "isPrimary": true, "isSeletedForFailover": true, "recoveryStaticIPAddress": "10.0.2.46" }],
        }]}}));
    }
}
