//! Virtual machines of Azure, the sets that they are in, and the sizes that they may have.
//!
//! Source: Azure REST API specification, Compute, `virtualMachine.json`, `availabilitySet.json` and
//! `computeRPCommon.json` (2024-03-01); resource SKUs from Microsoft Learn, "Resource Skus - List" (2021-07-01).

use super::resource::{Resource, ResourceRef};
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A virtual machine.
pub type VirtualMachine = Resource<VirtualMachineProperties>;
/// A set of virtual machines that do not fail together.
pub type AvailabilitySet = Resource<AvailabilitySetProperties>;

open_enum! {
    /// How much a virtual machine is protected.
    pub enum VmSecurityType {
        /// It starts signed software only, and has a TPM.
        TrustedLaunch,
        /// Its memory is hidden from its host as well.
        ConfidentialVm = "ConfidentialVM",
    }
}

wire! {
    /// The properties of a [`VirtualMachine`]. What makes a machine from an image (`osProfile`, with its password) has
    /// no place here: a migrated machine starts from its own disk.
    pub struct VirtualMachineProperties {
        /// Its size.
        hardware_profile: HardwareProfile,
        /// Its disks.
        storage_profile: StorageProfile,
        /// Its network interfaces.
        network_profile: NetworkProfile,
        /// What protects it.
        security_profile: VmSecurityProfile,
        /// What is kept of its screen and its serial port.
        diagnostics_profile: DiagnosticsProfile,
        /// The set that it is in.
        availability_set: ResourceRef,
        /// The group that it is near to.
        proximity_placement_group: ResourceRef,
        /// The capacity that is kept for it.
        capacity_reservation: CapacityReservation,
        /// A licence that its owner has already: `Windows_Server`, `RHEL_BYOS`, `SLES_BYOS`; `None` takes one back.
        license_type: String,
        /// `Succeeded`, `Failed` and others.
        provisioning_state: String,
        /// Its id, which it keeps.
        vm_id: String,
    }

    /// The size of a virtual machine.
    pub struct HardwareProfile {
        /// `Standard_D4s_v5`.
        vm_size: String,
    }

    /// The disks of a virtual machine.
    pub struct StorageProfile {
        /// What it starts from.
        os_disk: OsDisk,
        /// The others.
        data_disks: Vec<DataDisk>,
        /// `SCSI` or `NVMe`.
        disk_controller_type: String,
    }

    /// What a virtual machine starts from.
    pub struct OsDisk {
        /// `Windows` or `Linux`.
        os_type: String,
        /// Its name.
        name: String,
        /// `Attach` for a disk that is there.
        create_option: String,
        /// The disk.
        managed_disk: ManagedDisk,
        /// `None`, `ReadOnly` or `ReadWrite`.
        caching: String,
        /// Whether it goes with the machine: `Delete` or `Detach`.
        delete_option: String,
    }

    /// Another disk of a virtual machine.
    pub struct DataDisk {
        /// Its place on the controller.
        lun: i64,
        /// Its name.
        name: String,
        /// `Attach` for a disk that is there.
        create_option: String,
        /// The disk.
        managed_disk: ManagedDisk,
        /// `None`, `ReadOnly` or `ReadWrite`.
        caching: String,
        /// Whether it goes with the machine: `Delete` or `Detach`.
        delete_option: String,
    }

    /// A managed disk, as a virtual machine names it.
    pub struct ManagedDisk {
        /// The disk.
        id: ArmId,
        /// Its kind; only where it is made with the machine.
        storage_account_type: String,
        /// The owner's keys; only where it is made with the machine.
        disk_encryption_set: ResourceRef,
        /// What protects it, for a confidential machine.
        security_profile: VmDiskSecurityProfile,
    }

    /// What protects a disk of a confidential virtual machine.
    pub struct VmDiskSecurityProfile {
        /// What of it is encrypted: `VMGuestStateOnly`, `DiskWithVMGuestState` or `NonPersistedTPM`.
        security_encryption_type: String,
        /// The owner's keys.
        disk_encryption_set: ResourceRef,
    }

    /// The network interfaces of a virtual machine.
    pub struct NetworkProfile {
        /// Each of them.
        network_interfaces: Vec<Resource<NetworkInterfaceRefProperties>>,
    }

    /// What a virtual machine says of a network interface.
    pub struct NetworkInterfaceRefProperties {
        /// Whether it is the first one.
        primary: bool,
        /// Whether it goes with the machine: `Delete` or `Detach`.
        delete_option: String,
    }

    /// What protects a virtual machine.
    pub struct VmSecurityProfile {
        /// How much.
        security_type: VmSecurityType,
        /// What its firmware does.
        uefi_settings: UefiSettings,
        /// Whether its host encrypts its disks.
        encryption_at_host: bool,
    }

    /// What the firmware of a virtual machine does.
    pub struct UefiSettings {
        /// Whether it starts signed software only.
        secure_boot_enabled: bool,
        /// Whether it has a TPM.
        v_tpm_enabled: bool,
    }

    /// What is kept of a machine's screen and serial port.
    pub struct DiagnosticsProfile {
        /// While it starts.
        boot_diagnostics: BootDiagnostics,
    }

    /// What is kept while a machine starts.
    pub struct BootDiagnostics {
        /// Whether it is.
        enabled: bool,
        /// The URL of the storage account's blobs; Azure's own account where it is absent.
        storage_uri: String,
    }

    /// The capacity that is kept for a machine.
    pub struct CapacityReservation {
        /// Its group.
        capacity_reservation_group: ResourceRef,
    }

    /// The properties of an [`AvailabilitySet`].
    pub struct AvailabilitySetProperties {
        /// How many groups of machines are updated one after the other.
        platform_update_domain_count: i64,
        /// How many groups of machines share power and network; at most what the region has.
        platform_fault_domain_count: i64,
        /// Those that are in it.
        virtual_machines: Vec<ResourceRef>,
        /// The group that it is near to.
        proximity_placement_group: ResourceRef,
    }

    /// A size that virtual machines may have, as the older list has it (`vmSizes`).
    pub struct VirtualMachineSize {
        /// The name.
        name: String,
        /// How many processors.
        number_of_cores: i64,
        /// How much memory, in MiB.
        #[serde(rename = "memoryInMB")]
        memory_in_mb: i64,
        /// How many data disks at most.
        max_data_disk_count: i64,
        /// How large the disk that it starts from may be, in MiB.
        #[serde(rename = "osDiskSizeInMB")]
        os_disk_size_in_mb: i64,
        /// How large its temporary disk is, in MiB.
        #[serde(rename = "resourceDiskSizeInMB")]
        resource_disk_size_in_mb: i64,
    }

    /// What a subscription may have, as the newer list has it (`skus`).
    pub struct ResourceSku {
        /// `virtualMachines`, `disks` and others.
        resource_type: String,
        /// The name: `Standard_D4s_v5`.
        name: String,
        /// The tier.
        tier: String,
        /// The size in its family.
        size: String,
        /// The family, which quotas are for.
        family: String,
        /// The regions.
        locations: Vec<String>,
        /// The zones of each region.
        location_info: Vec<SkuLocation>,
        /// What it can do, as names and texts.
        capabilities: Vec<SkuCapability>,
        /// Where this subscription may not have it.
        restrictions: Vec<SkuRestriction>,
    }

    /// The zones of a region.
    pub struct SkuLocation {
        /// The region.
        location: String,
        /// The zones.
        zones: Vec<String>,
    }

    /// Something that a SKU can do.
    pub struct SkuCapability {
        /// What: `vCPUs`, `MemoryGB`, `MaxDataDiskCount`, `PremiumIO`, `HyperVGenerations` and others.
        name: String,
        /// How much.
        value: String,
    }

    /// Why a subscription may not have a SKU.
    pub struct SkuRestriction {
        /// `Location` or `Zone`.
        #[serde(rename = "type")]
        restriction_type: String,
        /// The regions or zones.
        values: Vec<String>,
        /// The regions and zones, told apart.
        restriction_info: SkuRestrictionInfo,
        /// `NotAvailableForSubscription` or `QuotaId`.
        reason_code: String,
    }

    /// Where a restriction holds.
    pub struct SkuRestrictionInfo {
        /// The regions.
        locations: Vec<String>,
        /// The zones.
        zones: Vec<String>,
    }
}

impl ManagedDisk {
    /// A disk that is there.
    pub fn existing(id: ArmId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }
}

impl ResourceSku {
    /// A capability, as the service spells it.
    pub fn capability(&self, name: &str) -> Option<&str> {
        let named = |capability: &&SkuCapability| {
            capability.name.as_deref().is_some_and(|told| told.eq_ignore_ascii_case(name))
        };
        self.capabilities.iter().flatten().find(named)?.value.as_deref()
    }

    /// A capability that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.capability(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The zones of `location` that this subscription may have it in.
    pub fn zones_in(&self, location: &str) -> Vec<&str> {
        let here =
            |told: &SkuLocation| told.location.as_deref().is_some_and(|told| told.eq_ignore_ascii_case(location));
        let offered =
            self.location_info.iter().flatten().filter(|told| here(told)).flat_map(|told| told.zones.iter().flatten());
        let refused = |zone: &str| {
            self.restrictions_of("Zone")
                .filter_map(|restriction| restriction.restriction_info.as_ref())
                .any(|told| has(told.locations.as_ref(), location) && has(told.zones.as_ref(), zone))
        };
        offered.map(String::as_str).filter(|zone| !refused(zone)).collect()
    }

    /// Whether this subscription may have it in `location`: the region has it, and no restriction says otherwise.
    pub fn is_offered_in(&self, location: &str) -> bool {
        has(self.locations.as_ref(), location)
            && !self.restrictions_of("Location").any(|restriction| has(restriction.values.as_ref(), location))
    }

    fn restrictions_of(&self, kind: &'static str) -> impl Iterator<Item = &SkuRestriction> {
        let of = move |told: &&SkuRestriction| {
            told.restriction_type.as_deref().is_some_and(|told| told.eq_ignore_ascii_case(kind))
        };
        self.restrictions.iter().flatten().filter(of)
    }
}

fn has(list: Option<&Vec<String>>, word: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|told| told.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_virtual_machine_that_is_read_and_written_is_the_same() {
        let machine: VirtualMachine = same(&json!({
            "location": "westeurope", "zones": ["2"], "tags": { "a": "b" },
            "properties": {
                "hardwareProfile": { "vmSize": "Standard_D4s_v5" }, "licenseType": "Windows_Server",
                "storageProfile": {
                    "osDisk": { "osType": "Windows", "createOption": "Attach", "managedDisk": { "id": "/subscriptions/s/os" }, "deleteOption": "Detach" },
                    "dataDisks": [{ "lun": 0, "createOption": "Attach", "managedDisk": { "id": "/subscriptions/s/d" }, "toBeDetached": false }],
                },
                "networkProfile": { "networkInterfaces": [{ "id": "/subscriptions/s/nic", "properties": { "primary": true } }] },
                "securityProfile": { "securityType": "ConfidentialVM", "uefiSettings": { "secureBootEnabled": true, "vTpmEnabled": true } },
                "diagnosticsProfile": { "bootDiagnostics": { "enabled": true } }, "availabilitySet": { "id": "/subscriptions/s/set" },
                "capacityReservation": { "capacityReservationGroup": { "id": "/c" } }, "userData": "x",
            },
        }));
        let security = machine.properties.security_profile.unwrap();
        assert_eq!(security.security_type, Some(VmSecurityType::ConfidentialVm));
    }

    #[test]
    fn a_password_of_another_machine_is_kept_and_never_shown() {
        let machine: VirtualMachine = same(&json!({ "properties": { "osProfile": { "adminPassword": "canary" } } }));
        assert!(!format!("{machine:?}").contains("canary"));
    }

    #[test]
    fn a_set_and_a_size_are_read_and_written_the_same() {
        same::<AvailabilitySet>(
            &json!({ "sku": { "name": "Aligned" }, "properties": { "platformFaultDomainCount": 2, "virtualMachines": [{ "id": "/vm" }] } }),
        );
        let size: VirtualMachineSize = same(
            &json!({ "name": "Standard_D4s_v5", "numberOfCores": 4, "memoryInMB": 16384, "maxDataDiskCount": 8, "osDiskSizeInMB": 1_047_552, "resourceDiskSizeInMB": 0 }),
        );
        assert_eq!(size.memory_in_mb, Some(16384));
    }

    fn sku() -> ResourceSku {
        same(&json!({
            "resourceType": "virtualMachines", "name": "Standard_D4s_v5", "locations": ["WestEurope", "northeurope"],
            "locationInfo": [{ "location": "WestEurope", "zones": ["1", "2", "3"], "zoneDetails": [] }],
            "capabilities": [{ "name": "vCPUs", "value": "4" }, { "name": "MemoryGB", "value": "16" }, { "name": "HyperVGenerations", "value": "V1,V2" }],
            "restrictions": [
                { "type": "Location", "values": ["northeurope"], "reasonCode": "NotAvailableForSubscription" },
                { "type": "Zone", "values": ["westeurope"], "restrictionInfo": { "locations": ["westeurope"], "zones": ["3"] } },
            ],
        }))
    }

    #[test]
    fn a_sku_is_offered_where_no_restriction_says_otherwise() {
        assert!(sku().is_offered_in("westeurope"));
        assert!(!sku().is_offered_in("northeurope") && !sku().is_offered_in("eastus"));
        assert_eq!(sku().zones_in("westeurope"), ["1", "2"]);
        assert!(sku().zones_in("northeurope").is_empty());
    }

    #[test]
    fn a_sku_tells_what_it_can_do() {
        assert_eq!((sku().number("vcpus"), sku().number("MemoryGB")), (Some(4.0), Some(16.0)));
        assert_eq!((sku().capability("HyperVGenerations"), sku().number("HyperVGenerations")), (Some("V1,V2"), None));
    }
}
