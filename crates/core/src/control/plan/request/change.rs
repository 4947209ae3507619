//! A server's settings on the wire: what is changed later.
//!
//! All settings are sent that the operation takes, as Microsoft's own client does it for `VMware`: what is left out
//! would be reset. What is none is left out all the same, so that nothing is taken away by an update.

use std::net::IpAddr;

use super::Unready;
use super::server::{REMOTE_DESKTOP, linux, list, map, server_of, set, sql, test_network, windows, zone};
use crate::control::ArmId;
use crate::control::arm::{Request, operations};
use crate::control::model::{
    HyperVUpdate, InMageRcmNic, InMageRcmUpdate, ProtectedDiskName, ProtectedIpConfiguration, ProtectedNic,
    UpdateMigration, UpdateProtection, UpdateProtectionDetails, UpdateProtectionProperties, VmwareCbtNic,
    VmwareCbtUpdate, VmwareCbtUpdateDisk,
};
use crate::control::settings::{
    DiskSettings, MigrationSettings, NicPlace, NicRole, NicSettings, ServerSettings, Source,
};

/// Changes settings of a server that replicates.
pub(super) fn update(item: &ArmId, wanted: &MigrationSettings) -> Result<Request, Unready> {
    let server = server_of(item, wanted)?;
    let properties = match &server.source {
        Source::VmwareAgentless(_) => {
            let body = UpdateMigration::of_vmware(vmware(server, wanted));
            let version = body.version().as_str();
            return Ok(operations::MIGRATION_ITEMS_UPDATE.on(item).at_version(version).with_body(&body)?);
        }
        Source::HyperV(_) => hyper_v(server, wanted),
        Source::AgentBased(_) => UpdateProtectionProperties {
            provider_specific_details: Some(UpdateProtectionDetails::InMageRcm(agent(server, wanted))),
            ..UpdateProtectionProperties::default()
        },
    };
    let body = UpdateProtection::new(properties);
    let version = body.version().as_str();
    Ok(operations::PROTECTED_ITEMS_UPDATE.on(item).at_version(version).with_body(&body)?)
}

fn vmware(server: &ServerSettings, wanted: &MigrationSettings) -> VmwareCbtUpdate {
    let disk = |disk: &DiskSettings| VmwareCbtUpdateDisk {
        disk_id: Some(disk.id.clone()),
        target_disk_name: disk.name.clone(),
        is_os_disk: Some(disk.is_os.into()),
        ..VmwareCbtUpdateDisk::default()
    };
    VmwareCbtUpdate {
        target_vm_name: Some(server.name.clone()),
        target_vm_size: server.size.clone(),
        target_resource_group_id: Some(wanted.target.resource_group.clone()),
        target_network_id: Some(wanted.target.network.clone()),
        test_network_id: test_network(wanted),
        target_availability_set_id: set(server),
        target_availability_zone: zone(server),
        target_boot_diagnostics_storage_account_id: wanted.target.boot_diagnostics.clone(),
        vm_nics: Some(server.nics.iter().map(|nic| vmware_nic(nic, wanted)).collect()),
        vm_disks: Some(server.disks.iter().map(disk).collect()),
        license_type: Some(windows(server.licences)),
        sql_server_license_type: Some(sql(server.licences)),
        linux_license_type: linux(server.licences),
        target_vm_tags: map(&server.tags.vm),
        target_disk_tags: map(&server.tags.disk),
        target_nic_tags: map(&server.tags.nic),
        ..VmwareCbtUpdate::default()
    }
}

/// The common properties are those of a machine of Hyper-V; only what it has besides is in the details.
fn hyper_v(server: &ServerSettings, wanted: &MigrationSettings) -> UpdateProtectionProperties {
    let details = HyperVUpdate {
        recovery_azure_v2_resource_group_id: Some(wanted.target.resource_group.clone()),
        use_managed_disks: Some(true.into()),
        target_availability_zone: zone(server),
        sql_server_license_type: Some(sql(server.licences)),
        linux_license_type: linux(server.licences),
        vm_disks: disk_names(server),
        target_vm_tags: map(&server.tags.vm),
        target_managed_disk_tags: map(&server.tags.disk),
        target_nic_tags: map(&server.tags.nic),
        ..HyperVUpdate::default()
    };
    let primary = server.nics.iter().find(|nic| matches!(nic.role, NicRole::Primary(_)));
    UpdateProtectionProperties {
        recovery_azure_vm_name: Some(server.name.clone()),
        recovery_azure_vm_size: server.size.clone(),
        selected_recovery_azure_network_id: Some(wanted.target.network.clone()),
        selected_tfo_azure_network_id: test_network(wanted),
        selected_source_nic_id: primary.map(|nic| nic.id.clone()),
        enable_rdp_on_target_option: Some(REMOTE_DESKTOP.to_owned()),
        vm_nics: some(server.nics.iter().map(|nic| hyper_v_nic(nic, wanted)).collect()),
        license_type: Some(windows(server.licences)),
        recovery_availability_set_id: set(server),
        provider_specific_details: Some(UpdateProtectionDetails::HyperV(details)),
        ..UpdateProtectionProperties::default()
    }
}

fn agent(server: &ServerSettings, wanted: &MigrationSettings) -> InMageRcmUpdate {
    InMageRcmUpdate {
        target_vm_name: Some(server.name.clone()),
        target_vm_size: server.size.clone(),
        target_resource_group_id: Some(wanted.target.resource_group.clone()),
        target_network_id: Some(wanted.target.network.clone()),
        test_network_id: test_network(wanted),
        target_availability_set_id: set(server),
        target_availability_zone: zone(server),
        target_boot_diagnostics_storage_account_id: wanted.target.boot_diagnostics.clone(),
        vm_nics: some(server.nics.iter().map(|nic| agent_nic(nic, wanted)).collect()),
        vm_disks: disk_names(server),
        license_type: Some(windows(server.licences)),
        sql_server_license_type: Some(sql(server.licences)),
        linux_license_type: linux(server.licences),
        target_vm_tags: list(&server.tags.vm),
        target_managed_disk_tags: list(&server.tags.disk),
        target_nic_tags: list(&server.tags.nic),
        ..InMageRcmUpdate::default()
    }
}

/// The disks that are given a name; none where the service names them all.
fn disk_names(server: &ServerSettings) -> Option<Vec<ProtectedDiskName>> {
    let named = |disk: &DiskSettings| {
        Some(ProtectedDiskName {
            disk_id: Some(disk.id.clone()),
            target_disk_name: Some(disk.name.clone()?),
            ..ProtectedDiskName::default()
        })
    };
    some(server.disks.iter().filter_map(named).collect())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn subnet(place: &NicPlace, wanted: &MigrationSettings) -> String {
    place.subnet.clone().unwrap_or_else(|| wanted.target.subnet.clone())
}

fn test_subnet(place: &NicPlace, wanted: &MigrationSettings) -> Option<String> {
    place.test_subnet.clone().or_else(|| Some(wanted.target.test.as_ref()?.subnet.clone()))
}

fn text(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

fn vmware_nic(nic: &NicSettings, wanted: &MigrationSettings) -> VmwareCbtNic {
    let place = nic.role.place();
    VmwareCbtNic {
        nic_id: Some(nic.id.clone()),
        is_primary_nic: Some(matches!(nic.role, NicRole::Primary(_)).into()),
        is_selected_for_migration: Some(place.is_some().into()),
        target_nic_name: nic.name.clone(),
        target_subnet_name: place.map(|place| subnet(place, wanted)),
        target_static_ip_address: place.and_then(|place| text(place.address)),
        test_subnet_name: place.and_then(|place| test_subnet(place, wanted)),
        test_static_ip_address: place.and_then(|place| text(place.test_address)),
        ..VmwareCbtNic::default()
    }
}

/// The name of an interface's one address, and the words of its selection: those of the contract's example
/// (`ReplicationProtectedItems_Update`, 2024-04-01).
fn hyper_v_nic(nic: &NicSettings, wanted: &MigrationSettings) -> ProtectedNic {
    let configuration = |place: &NicPlace| ProtectedIpConfiguration {
        ip_config_name: Some("ipconfig1".to_owned()),
        is_primary: Some(true),
        is_selected_for_failover: Some(true),
        recovery_subnet_name: Some(subnet(place, wanted)),
        recovery_static_ip_address: text(place.address),
        tfo_subnet_name: test_subnet(place, wanted),
        tfo_static_ip_address: text(place.test_address),
        ..ProtectedIpConfiguration::default()
    };
    let place = nic.role.place();
    let selection = if place.is_some() { "SelectedByUser" } else { "NotSelected" };
    ProtectedNic {
        nic_id: Some(nic.id.clone()),
        selection_type: Some(selection.to_owned()),
        ip_configs: place.map(|place| vec![configuration(place)]),
        target_nic_name: nic.name.clone(),
        ..ProtectedNic::default()
    }
}

fn agent_nic(nic: &NicSettings, wanted: &MigrationSettings) -> InMageRcmNic {
    let place = nic.role.place();
    InMageRcmNic {
        nic_id: Some(nic.id.clone()),
        is_primary_nic: Some(matches!(nic.role, NicRole::Primary(_)).into()),
        is_selected_for_failover: Some(place.is_some().into()),
        target_nic_name: nic.name.clone(),
        target_subnet_name: place.map(|place| subnet(place, wanted)),
        target_static_ip_address: place.and_then(|place| text(place.address)),
        test_subnet_name: place.and_then(|place| test_subnet(place, wanted)),
        test_static_ip_address: place.and_then(|place| text(place.test_address)),
        ..InMageRcmNic::default()
    }
}
