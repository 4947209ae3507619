//! A server's settings on the wire: what it is enabled with.

use std::collections::BTreeMap;

use super::super::policy_of;
use super::Unready;
use crate::control::ArmId;
use crate::control::arm::{Request, operations};
use crate::control::model::{
    EnableMigration, EnableProtection, EnableProtectionDetails, EnableProtectionProperties, HyperVDiskInput,
    HyperVEnable, InMageRcmDisk, InMageRcmEnable, LicenseType, LinuxLicenseType, ResourceTag, Setting,
    SqlServerLicenseType, TargetSecurity, TargetSecurityType, VmwareCbtDisk, VmwareCbtEnable, VmwareCbtSecurity,
};
use crate::control::settings::{
    AgentSource, Availability, DiskEncryption, HyperVSource, Licences, MigrationSettings, NicRole, Security,
    ServerSettings, Source, VmwareSource,
};

/// Whether remote desktop is let in to a machine of Hyper-V: the network's rules decide, as for the other kinds.
pub(super) const REMOTE_DESKTOP: &str = "Never";

/// The server that an item stands for.
pub(super) fn server_of<'a>(item: &ArmId, wanted: &'a MigrationSettings) -> Result<&'a ServerSettings, Unready> {
    let found = wanted.servers.iter().find(|server| server.item.eq_ignore_ascii_case(item.name()));
    found.ok_or_else(|| Unready::NoServer { item: item.clone() })
}

/// Begins to replicate a server.
pub(super) fn enable(item: &ArmId, wanted: &MigrationSettings) -> Result<Request, Unready> {
    let server = server_of(item, wanted)?;
    match &server.source {
        Source::VmwareAgentless(source) => {
            let body = EnableMigration::of_vmware(policy_of(wanted), vmware(source, server, wanted));
            let version = body.version().as_str();
            Ok(operations::MIGRATION_ITEMS_CREATE.on(item).at_version(version).with_body(&body)?)
        }
        Source::HyperV(source) => {
            let details = EnableProtectionDetails::HyperV(hyper_v(source, server, wanted));
            protect(item, Some(source.protectable_item.clone()), details, wanted)
        }
        Source::AgentBased(source) => {
            let details = EnableProtectionDetails::InMageRcm(agent(source, server, wanted));
            protect(item, None, details, wanted)
        }
    }
}

fn protect(
    item: &ArmId,
    protectable: Option<ArmId>,
    details: EnableProtectionDetails,
    wanted: &MigrationSettings,
) -> Result<Request, Unready> {
    let body = EnableProtection::new(EnableProtectionProperties {
        policy_id: Some(policy_of(wanted)),
        protectable_item_id: protectable,
        provider_specific_details: Some(details),
        ..EnableProtectionProperties::default()
    });
    let version = body.version().as_str();
    Ok(operations::PROTECTED_ITEMS_CREATE.on(item).at_version(version).with_body(&body)?)
}

pub(super) fn windows(licences: Licences) -> LicenseType {
    LicenseType::from(licences.windows.as_str())
}

pub(super) fn sql(licences: Licences) -> SqlServerLicenseType {
    SqlServerLicenseType::from(licences.sql.as_str())
}

/// Only where somebody has a subscription: the field is not in every version of the contract.
pub(super) fn linux(licences: Licences) -> Option<LinuxLicenseType> {
    use crate::control::settings::LinuxLicence;

    (licences.linux != LinuxLicence::None).then(|| LinuxLicenseType::from(licences.linux.as_str()))
}

pub(super) fn zone(server: &ServerSettings) -> Option<String> {
    match &server.availability {
        Availability::Zone(zone) => Some(zone.clone()),
        Availability::None | Availability::Set(_) => None,
    }
}

pub(super) fn set(server: &ServerSettings) -> Option<ArmId> {
    match &server.availability {
        Availability::Set(set) => Some(set.clone()),
        Availability::None | Availability::Zone(_) => None,
    }
}

pub(super) fn map(tags: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!tags.is_empty()).then(|| tags.clone())
}

/// Tags as those want them who take a list of pairs.
pub(super) fn list(tags: &BTreeMap<String, String>) -> Option<Vec<ResourceTag>> {
    let pair = |(name, value): (&String, &String)| ResourceTag {
        tag_name: Some(name.clone()),
        tag_value: Some(value.clone()),
        ..ResourceTag::default()
    };
    (!tags.is_empty()).then(|| tags.iter().map(pair).collect())
}

/// The subnet of the primary interface, or the target's.
fn subnets(server: &ServerSettings, wanted: &MigrationSettings) -> (String, Option<String>) {
    let primary = server.nics.iter().find_map(|nic| match &nic.role {
        NicRole::Primary(place) => Some(place),
        NicRole::Secondary(_) | NicRole::NotCreated => None,
    });
    let subnet = primary.and_then(|place| place.subnet.clone()).unwrap_or_else(|| wanted.target.subnet.clone());
    let test = primary.and_then(|place| place.test_subnet.clone());
    (subnet, test.or_else(|| Some(wanted.target.test.as_ref()?.subnet.clone())))
}

pub(super) fn test_network(wanted: &MigrationSettings) -> Option<ArmId> {
    Some(wanted.target.test.as_ref()?.network.clone())
}

fn encryption_set(encryption: &DiskEncryption) -> Option<ArmId> {
    encryption.set().cloned()
}

fn vmware(source: &VmwareSource, server: &ServerSettings, wanted: &MigrationSettings) -> VmwareCbtEnable {
    let account = &wanted.replication_account;
    let disk = |disk: &crate::control::settings::DiskSettings| VmwareCbtDisk {
        disk_id: Some(disk.id.clone()),
        is_os_disk: Some(disk.is_os.into()),
        disk_type: Some(disk.disk_type.clone()),
        log_storage_account_id: Some(account.clone()),
        // As Microsoft's own client names it for projects without a key vault.
        log_storage_account_sas_secret_name: Some(format!("{}-cacheSas", account.name())),
        disk_encryption_set_id: encryption_set(&source.encryption),
        ..VmwareCbtDisk::default()
    };
    let (subnet, test_subnet) = subnets(server, wanted);
    VmwareCbtEnable {
        vmware_machine_id: Some(source.machine.clone()),
        disks_to_include: Some(server.disks.iter().map(disk).collect()),
        data_mover_run_as_account_id: Some(source.data_mover_account.clone()),
        snapshot_run_as_account_id: Some(source.snapshot_account.clone()),
        target_vm_name: Some(server.name.clone()),
        target_vm_size: server.size.clone(),
        target_resource_group_id: Some(wanted.target.resource_group.clone()),
        target_network_id: Some(wanted.target.network.clone()),
        target_subnet_name: Some(subnet),
        test_network_id: test_network(wanted),
        test_subnet_name: test_subnet,
        target_availability_set_id: set(server),
        target_availability_zone: zone(server),
        target_boot_diagnostics_storage_account_id: wanted.target.boot_diagnostics.clone(),
        target_vm_security_profile: vmware_security(server.security),
        license_type: Some(windows(server.licences)),
        sql_server_license_type: Some(sql(server.licences)),
        linux_license_type: linux(server.licences),
        perform_auto_resync: Some(source.resyncs_by_itself.into()),
        target_vm_tags: map(&server.tags.vm),
        seed_disk_tags: map(&server.tags.disk),
        target_disk_tags: map(&server.tags.disk),
        target_nic_tags: map(&server.tags.nic),
        ..VmwareCbtEnable::default()
    }
}

fn vmware_security(security: Security) -> Option<VmwareCbtSecurity> {
    let encrypts = match security {
        Security::Standard => return None,
        Security::TrustedLaunch { .. } => None,
        Security::Confidential { encrypts_os_disk, .. } => Some(encrypts_os_disk.into()),
    };
    Some(VmwareCbtSecurity {
        target_vm_security_type: Some(TargetSecurityType::from(security.as_str())),
        is_target_vm_secure_boot_enabled: Some(security.secure_boot().into()),
        is_target_vm_tpm_enabled: Some(true.into()),
        is_target_vm_confidential_encryption_enabled: encrypts,
        ..VmwareCbtSecurity::default()
    })
}

fn security(security: Security) -> Option<TargetSecurity> {
    if security == Security::Standard {
        return None;
    }
    Some(TargetSecurity {
        target_vm_security_type: Some(TargetSecurityType::from(security.as_str())),
        target_vm_secure_boot: Some(setting(security.secure_boot())),
        target_vm_tpm: Some(setting(true)),
        ..TargetSecurity::default()
    })
}

fn setting(is_on: bool) -> Setting {
    if is_on { Setting::Enabled } else { Setting::Disabled }
}

fn hyper_v(source: &HyperVSource, server: &ServerSettings, wanted: &MigrationSettings) -> HyperVEnable {
    let cache = wanted.cache_account.as_ref().unwrap_or(&wanted.replication_account);
    let disk = |disk: &crate::control::settings::DiskSettings| HyperVDiskInput {
        disk_id: Some(disk.id.clone()),
        log_storage_account_id: Some(cache.clone()),
        disk_type: Some(disk.disk_type.clone()),
        ..HyperVDiskInput::default()
    };
    HyperVEnable {
        hv_host_vm_id: Some(source.host_vm_id.clone()),
        vm_name: Some(server.name.clone()),
        os_type: Some(source.os_type.clone()),
        vhd_id: server.disks.iter().find(|disk| disk.is_os).map(|disk| disk.id.clone()),
        target_storage_account_id: Some(wanted.replication_account.clone()),
        log_storage_account_id: Some(cache.clone()),
        disks_to_include: Some(server.disks.iter().map(|disk| disk.id.clone()).collect()),
        disks_to_include_for_managed_disks: Some(server.disks.iter().map(disk).collect()),
        use_managed_disks_for_replication: Some(true.into()),
        use_managed_disks: Some(true.into()),
        target_azure_vm_name: Some(server.name.clone()),
        target_vm_size: server.size.clone(),
        target_azure_v2_resource_group_id: Some(wanted.target.resource_group.clone()),
        target_azure_network_id: Some(wanted.target.network.clone()),
        target_azure_subnet_id: Some(subnets(server, wanted).0),
        enable_rdp_on_target_option: Some(REMOTE_DESKTOP.to_owned()),
        target_availability_set_id: set(server),
        target_availability_zone: zone(server),
        target_vm_security_profile: security(server.security),
        license_type: Some(windows(server.licences)),
        sql_server_license_type: Some(sql(server.licences)),
        linux_license_type: linux(server.licences),
        target_vm_tags: map(&server.tags.vm),
        seed_managed_disk_tags: map(&server.tags.disk),
        target_managed_disk_tags: map(&server.tags.disk),
        target_nic_tags: map(&server.tags.nic),
        ..HyperVEnable::default()
    }
}

fn agent(source: &AgentSource, server: &ServerSettings, wanted: &MigrationSettings) -> InMageRcmEnable {
    let disk = |disk: &crate::control::settings::DiskSettings| InMageRcmDisk {
        disk_id: Some(disk.id.clone()),
        log_storage_account_id: Some(wanted.replication_account.clone()),
        disk_type: Some(disk.disk_type.clone()),
        disk_encryption_set_id: encryption_set(&source.encryption),
        ..InMageRcmDisk::default()
    };
    let (subnet, test_subnet) = subnets(server, wanted);
    InMageRcmEnable {
        fabric_discovery_machine_id: Some(source.machine.clone()),
        disks_to_include: Some(server.disks.iter().map(disk).collect()),
        target_resource_group_id: Some(wanted.target.resource_group.clone()),
        target_network_id: Some(wanted.target.network.clone()),
        target_subnet_name: Some(subnet),
        test_network_id: test_network(wanted),
        test_subnet_name: test_subnet,
        target_vm_name: Some(server.name.clone()),
        target_vm_size: server.size.clone(),
        target_availability_set_id: set(server),
        target_availability_zone: zone(server),
        target_boot_diagnostics_storage_account_id: wanted.target.boot_diagnostics.clone(),
        run_as_account_id: source.run_as_account.clone(),
        process_server_id: Some(source.process_server.clone()),
        license_type: Some(windows(server.licences)),
        sql_server_license_type: Some(sql(server.licences)),
        linux_license_type: linux(server.licences),
        target_vm_security_profile: security(server.security),
        target_vm_tags: list(&server.tags.vm),
        seed_managed_disk_tags: list(&server.tags.disk),
        target_managed_disk_tags: list(&server.tags.disk),
        target_nic_tags: list(&server.tags.nic),
        ..InMageRcmEnable::default()
    }
}
