//! The bodies of the machine, its disks and its interfaces.

use super::plan::{DiskPlan, MachinePlan, NicPlan};
use super::settings::Filling;
use super::tag::{disk_tags, tags};
use crate::control::model::{
    BlobUrl, BootDiagnostics, CreationData, DataDisk, DiagnosticsProfile, Disk, DiskCreateOption, DiskEncryption,
    DiskProperties, DiskSecurityProfile, DiskType, HardwareProfile, IpConfiguration, IpConfigurationProperties,
    ManagedDisk, NetworkInterface, NetworkInterfaceProperties, NetworkInterfaceRefProperties, NetworkProfile, OsDisk,
    Resource, ResourceRef, Sku, StorageProfile, UefiSettings, VirtualMachine, VirtualMachineProperties,
    VmSecurityProfile, VmSecurityType,
};
use crate::control::settings::{Availability, DiskEncryption as WantedEncryption, Security};

/// A disk is there before the machine.
const ATTACH: &str = "Attach";

/// What disks and interfaces do when the machine is deleted: they stay. What is in them may be all that there is.
const DETACH: &str = "Detach";

/// The bytes of a sector of the source's disks. Disks of these two kinds have 4096 unless they are told.
///
/// Source: Azure REST API specification, Compute, `disk.json` (2023-10-02), `logicalSectorSize`.
const SECTOR_BYTES: i64 = 512;

/// A managed disk of a replica.
pub(super) fn disk(plan: &MachinePlan, disk: &DiskPlan) -> Disk {
    let starts = disk.lun.is_none();
    let (set, kind) = match &plan.encryption {
        WantedEncryption::PlatformKey => (None, None),
        WantedEncryption::CustomerKey(set) => (Some(set), Some("EncryptionAtRestWithCustomerKey")),
        WantedEncryption::PlatformAndCustomerKey(set) => {
            (Some(set), Some("EncryptionAtRestWithPlatformAndCustomerKeys"))
        }
    };
    let encryption = kind.map(|kind| DiskEncryption {
        encryption_type: Some(kind.to_owned()),
        disk_encryption_set_id: set.cloned(),
        ..DiskEncryption::default()
    });
    let is_trusted = starts && matches!(plan.security, Security::TrustedLaunch { .. });
    let properties = DiskProperties {
        creation_data: Some(creation(plan.filling, disk)),
        os_type: starts.then(|| plan.guest.os_type().to_owned()),
        hyper_v_generation: starts.then(|| plan.generation.clone()),
        encryption,
        security_profile: is_trusted.then(|| DiskSecurityProfile {
            security_type: Some("TrustedLaunch".to_owned()),
            ..DiskSecurityProfile::default()
        }),
        ..DiskProperties::default()
    };
    // Disks that are copied to several zones are in none.
    let is_zonal = !matches!(disk.disk_type, DiskType::PremiumZrs | DiskType::StandardSsdZrs);
    Disk {
        tags: Some(disk_tags(plan, &disk.replica)),
        sku: Some(Sku { name: Some(disk.disk_type.as_str().to_owned()), ..Sku::default() }),
        zones: plan.zone().filter(|_| is_zonal).map(|zone| vec![zone.to_owned()]),
        ..Disk::new(properties).in_location(&plan.region)
    }
}

fn creation(filling: Filling, disk: &DiskPlan) -> CreationData {
    let has_large_sectors = matches!(disk.disk_type, DiskType::UltraSsdLrs | DiskType::PremiumV2Lrs);
    let common =
        CreationData { logical_sector_size: has_large_sectors.then_some(SECTOR_BYTES), ..CreationData::default() };
    match filling {
        Filling::Import => CreationData {
            create_option: Some(DiskCreateOption::Import),
            source_uri: Some(BlobUrl::from(&disk.replica.source())),
            storage_account_id: Some(disk.replica.account().clone()),
            ..common
        },
        Filling::Upload => CreationData {
            create_option: Some(DiskCreateOption::Upload),
            // Checked to be at most 8 TiB where the replica was read.
            upload_size_bytes: i64::try_from(disk.replica.size_bytes()).ok(),
            ..common
        },
    }
}

/// A network interface.
pub(super) fn nic(plan: &MachinePlan, nic: &NicPlan) -> NetworkInterface {
    let allocation = if nic.address.is_some() { "Static" } else { "Dynamic" };
    let configuration = IpConfiguration::new(IpConfigurationProperties {
        subnet: Some(ResourceRef::from(nic.subnet.clone())),
        private_ip_address: nic.address.map(Into::into),
        private_ip_allocation_method: Some(allocation.to_owned()),
        private_ip_address_version: Some("IPv4".to_owned()),
        primary: Some(true),
        ..IpConfigurationProperties::default()
    });
    NetworkInterface {
        tags: Some(tags(plan, &plan.tags.nic)),
        ..NetworkInterface::new(NetworkInterfaceProperties {
            ip_configurations: Some(vec![configuration.named("ipconfig1")]),
            ..NetworkInterfaceProperties::default()
        })
        .in_location(&plan.region)
    }
}

/// The machine.
pub(super) fn machine(plan: &MachinePlan) -> VirtualMachine {
    let security_profile = match plan.security {
        Security::TrustedLaunch { secure_boot } => Some(VmSecurityProfile {
            security_type: Some(VmSecurityType::TrustedLaunch),
            uefi_settings: Some(UefiSettings {
                secure_boot_enabled: Some(secure_boot),
                v_tpm_enabled: Some(true),
                ..UefiSettings::default()
            }),
            ..VmSecurityProfile::default()
        }),
        // Confidential machines are refused where the plan is made.
        Security::Standard | Security::Confidential { .. } => None,
    };
    let availability_set = match &plan.availability {
        Availability::Set(set) => Some(ResourceRef::from(set.clone())),
        Availability::None | Availability::Zone(_) => None,
    };
    let diagnostics_profile = plan.boot_diagnostics.as_ref().map(|url| DiagnosticsProfile {
        boot_diagnostics: Some(BootDiagnostics {
            enabled: Some(true),
            storage_uri: Some(url.clone()),
            ..BootDiagnostics::default()
        }),
        ..DiagnosticsProfile::default()
    });
    let properties = VirtualMachineProperties {
        hardware_profile: Some(HardwareProfile { vm_size: Some(plan.size.clone()), ..HardwareProfile::default() }),
        storage_profile: Some(storage(plan)),
        network_profile: Some(network(plan)),
        security_profile,
        diagnostics_profile,
        availability_set,
        license_type: plan.licence.map(str::to_owned),
        ..VirtualMachineProperties::default()
    };
    VirtualMachine {
        tags: Some(tags(plan, &plan.tags.vm)),
        zones: plan.zone().map(|zone| vec![zone.to_owned()]),
        ..VirtualMachine::new(properties).in_location(&plan.region)
    }
}

fn storage(plan: &MachinePlan) -> StorageProfile {
    let mut profile = StorageProfile::default();
    let mut data = Vec::new();
    for disk in &plan.disks {
        let managed_disk = Some(ManagedDisk::existing(disk.id.clone()));
        match disk.lun {
            None => {
                profile.os_disk = Some(OsDisk {
                    os_type: Some(plan.guest.os_type().to_owned()),
                    create_option: Some(ATTACH.to_owned()),
                    managed_disk,
                    delete_option: Some(DETACH.to_owned()),
                    ..OsDisk::default()
                });
            }
            Some(lun) => data.push(DataDisk {
                lun: Some(lun.into()),
                create_option: Some(ATTACH.to_owned()),
                managed_disk,
                delete_option: Some(DETACH.to_owned()),
                ..DataDisk::default()
            }),
        }
    }
    profile.data_disks = (!data.is_empty()).then_some(data);
    profile
}

fn network(plan: &MachinePlan) -> NetworkProfile {
    let reference = |nic: &NicPlan| Resource {
        id: Some(nic.id.clone()),
        ..Resource::new(NetworkInterfaceRefProperties {
            primary: Some(nic.is_primary),
            delete_option: Some(DETACH.to_owned()),
            ..NetworkInterfaceRefProperties::default()
        })
    };
    NetworkProfile { network_interfaces: Some(plan.nics.iter().map(reference).collect()), ..NetworkProfile::default() }
}
