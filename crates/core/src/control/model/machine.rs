//! Machines on the premises as an appliance discovered them, and what is the same in all of them.
//!
//! Source: Azure REST API specification, `Microsoft.OffAzure` (2023-06-06).

use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::resource::Resource;
use super::scalar::Extra;
use super::wire::wire;
use crate::control::named::named;
use crate::control::open_enum::open_enum;
use crate::control::{ArmId, Scenario};

/// A machine of a `VMware` site.
pub type VmwareMachine = Resource<VmwareMachineProperties>;
/// A machine of a Hyper-V site.
pub type HyperVMachine = Resource<HyperVMachineProperties>;
/// A machine of a site of servers.
pub type ServerMachine = Resource<ServerMachineProperties>;

wire! {
    /// The properties of a [`VmwareMachine`].
    pub struct VmwareMachineProperties {
        /// The name in vSphere.
        display_name: String,
        /// The name in DNS, as the guest tells it.
        vm_fqdn: String,
        /// How many processors it has.
        number_of_processor_core: u32,
        /// How much memory, in MiB.
        allocated_memory_in_mb: Number,
        /// What it starts by: `BIOS` or `UEFI`.
        firmware: String,
        /// The operating system, as vSphere tells it.
        operating_system_details: GuestOs,
        /// The operating system, as the guest tells it.
        guest_os_details: GuestOs,
        /// The disks.
        disks: Vec<VmwareDisk>,
        /// The network adapters.
        network_adapters: Vec<DiscoveredAdapter>,
        /// Its id in vSphere.
        instance_uuid: String,
        /// `ON` or `OFF`.
        power_status: String,
        /// The vCenter server that it is on.
        #[serde(rename = "vCenterId")]
        vcenter_id: ArmId,
        /// The host that it is on.
        host_name: String,
        /// Whether vSphere can track what changes on its disks.
        change_tracking_supported: bool,
        /// Whether vSphere does.
        change_tracking_enabled: bool,
        /// How many snapshots it has.
        number_of_snapshots: i64,
        /// The appliances that discovered it.
        appliance_names: Vec<String>,
        /// Whether it is gone since.
        is_deleted: bool,
    }

    /// A disk of a [`VmwareMachine`].
    pub struct VmwareDisk {
        /// Its id: what replication names it by.
        uuid: String,
        /// Its name in vSphere: `Hard disk 1`.
        label: String,
        /// Its name.
        name: String,
        /// Its size in bytes.
        max_size_in_bytes: u64,
        /// What it is.
        disk_type: String,
        /// `persistent`, `independent_persistent` and others.
        disk_mode: String,
        /// Its place on its controller.
        lun: i64,
        /// Its file.
        path: String,
    }

    /// The properties of a [`HyperVMachine`].
    pub struct HyperVMachineProperties {
        /// The name in Hyper-V.
        display_name: String,
        /// The name in DNS, as the guest tells it.
        vm_fqdn: String,
        /// How many processors it has.
        number_of_processor_core: u32,
        /// How much memory, in MiB.
        allocated_memory_in_mb: Number,
        /// What it starts by: `BIOS` or `UEFI`.
        firmware: String,
        /// 1 or 2; the second one starts by UEFI.
        generation: i64,
        /// The operating system, as Hyper-V tells it.
        operating_system_details: GuestOs,
        /// The operating system, as the guest tells it.
        guest_os_details: GuestOs,
        /// The disks.
        disks: Vec<HyperVDisk>,
        /// The network adapters.
        network_adapters: Vec<DiscoveredAdapter>,
        /// Its id in Hyper-V.
        instance_uuid: String,
        /// `Running`, `Off` and others.
        power_status: String,
        /// The host that it is on.
        host_fqdn: String,
        /// The cluster that it is on.
        cluster_fqdn: String,
        /// Whether its memory grows and shrinks.
        is_dynamic_memory_enabled: bool,
        /// How far it grows, in MiB.
        max_memory_mb: i64,
        /// Whether it starts signed software only.
        secure_boot_enabled: bool,
        /// The appliances that discovered it.
        appliance_names: Vec<String>,
        /// Whether it is gone since.
        is_deleted: bool,
    }

    /// A disk of a [`HyperVMachine`].
    pub struct HyperVDisk {
        /// Its id in Hyper-V.
        instance_id: String,
        /// The id of its image: what replication names it by.
        vhd_id: String,
        /// Its name.
        name: String,
        /// Its size in bytes.
        max_size_in_bytes: u64,
        /// What it is.
        disk_type: String,
        /// Its place on its controller.
        lun: i64,
        /// Its file.
        path: String,
    }

    /// The properties of a [`ServerMachine`].
    pub struct ServerMachineProperties {
        /// The name.
        display_name: String,
        /// The name in DNS, or the address, that it was found by.
        fqdn: String,
        /// The name in DNS, as it tells it.
        hydrated_fqdn: String,
        /// How many processors it has.
        number_of_processor_core: u32,
        /// How much memory, in MiB.
        allocated_memory_in_mb: Number,
        /// What it starts by: `BIOS` or `UEFI`.
        firmware: String,
        /// The operating system.
        operating_system_details: GuestOs,
        /// The operating system, as the guest tells it.
        guest_os_details: GuestOs,
        /// The disks.
        disks: Vec<ServerDisk>,
        /// The network adapters.
        network_adapters: Vec<DiscoveredAdapter>,
        /// Names and values that its owner gave it in the site.
        tags: Extra,
        /// The appliances that discovered it.
        appliance_names: Vec<String>,
        /// Whether it is gone since.
        is_deleted: bool,
    }

    /// A disk of a [`ServerMachine`].
    pub struct ServerDisk {
        /// Its id.
        id: String,
        /// The id that the appliance gave it.
        generated_id: String,
        /// Its name.
        name: String,
        /// Its size in bytes.
        max_size_in_bytes: u64,
        /// What it is.
        disk_type: String,
        /// Its place on its controller.
        lun: i64,
        /// Where it is.
        path: String,
    }

    /// A network adapter.
    pub struct DiscoveredAdapter {
        /// Its id: what replication names it by.
        nic_id: String,
        /// Its name; of `VMware` only.
        label: String,
        /// Its address in its network.
        mac_address: String,
        /// Its IP addresses, as the guest tells them.
        ip_address_list: Vec<String>,
        /// The network that it is in.
        network_name: String,
        /// `Dynamic`, `Static` or `Unknown`.
        ip_address_type: String,
    }

    /// An operating system.
    pub struct GuestOs {
        /// `Windows`, `Linux` and others; `windowsguest`, `linuxguest` as the guest tells it.
        os_type: String,
        /// The name: `Microsoft Windows Server 2019 Standard`.
        os_name: String,
        /// The version.
        os_version: String,
        /// `64-bit`, `x86_64` and others.
        os_architecture: String,
    }
}

open_enum! {
    /// What a machine starts by, which decides the generation of its twin in Azure.
    pub enum Firmware {
        /// A BIOS: generation 1.
        Bios = "BIOS",
        /// UEFI: generation 2.
        Uefi = "UEFI",
    }
}

impl Firmware {
    /// From a word of a discovery or an assessment: `BIOS`, `UEFI` or `EFI`, without regard to case.
    pub fn of(word: &str) -> Self {
        match word.trim() {
            word if word.eq_ignore_ascii_case("bios") => Self::Bios,
            word if word.eq_ignore_ascii_case("uefi") || word.eq_ignore_ascii_case("efi") => Self::Uefi,
            word => Self::Unknown(word.to_owned()),
        }
    }
}

open_enum! {
    /// The family of an operating system.
    pub enum OsFamily {
        /// Windows.
        Windows,
        /// Linux.
        Linux,
    }
}

impl OsFamily {
    /// From a word of a discovery: `Windows`, `windowsguest`, `linuxguest`, without regard to case.
    pub fn of(word: &str) -> Self {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            lower if lower.starts_with("windows") => Self::Windows,
            lower if lower.starts_with("linux") => Self::Linux,
            _ => Self::Unknown(word.to_owned()),
        }
    }
}

named! {
    /// Whether vSphere tracks what changes on the disks of a machine.
    pub enum ChangeTracking {
        /// It cannot.
        Unsupported = "unsupported",
        /// It can, and does not.
        Off = "off",
        /// It does.
        On = "on",
    }
}

/// A machine on the premises, whatever discovered it. What the discovery does not say is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The machine's resource in its site.
    pub id: Option<ArmId>,
    /// The name that is shown.
    pub name: String,
    /// How such machines are migrated.
    pub scenario: Scenario,
    /// The name in DNS.
    pub fqdn: Option<String>,
    /// How many processors it has.
    pub cores: Option<u32>,
    /// How much memory, in MiB.
    pub memory_mb: Option<u64>,
    /// The operating system.
    pub os: Option<MachineOs>,
    /// What it starts by.
    pub firmware: Option<Firmware>,
    /// The disks, in the order of the discovery.
    pub disks: Vec<MachineDisk>,
    /// The network adapters, in the order of the discovery.
    pub nics: Vec<MachineNic>,
    /// Its id on its own platform.
    pub instance_uuid: Option<String>,
    /// The host that it is on; not of servers with agents.
    pub host: Option<String>,
    /// The vCenter server that it is on; of `VMware` only.
    #[serde(default)]
    pub vcenter: Option<ArmId>,
    /// Whether vSphere tracks what changes on its disks; of `VMware` only.
    pub change_tracking: Option<ChangeTracking>,
    /// How many snapshots it has; of `VMware` only.
    pub snapshots: Option<u64>,
    /// The operating system of the host that it is on: `Windows Server 2019`. No discovery says so: it is the caller's
    /// to fill in, of Hyper-V.
    #[serde(default)]
    pub host_os: Option<String>,
    /// Whether Site Recovery replicates it already, for disasters and not to migrate it. No discovery says so: it is the
    /// caller's to fill in, of Hyper-V.
    #[serde(default)]
    pub is_on_site_recovery: Option<bool>,
    /// What only somebody in the guest can tell.
    #[serde(default)]
    pub guest: GuestFacts,
}

/// What only somebody in the guest of a [`Machine`] can tell. No discovery says so: it is the caller's to fill in, and
/// what nobody has looked at is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestFacts {
    /// Whether it has disks of an iSCSI target.
    pub has_iscsi_disks: Option<bool>,
    /// Whether it reaches disks by more than one path.
    pub has_multipath: Option<bool>,
    /// Whether network interfaces are teamed.
    pub has_teamed_nics: Option<bool>,
    /// Whether NFS volumes are mounted.
    pub has_nfs_volumes: Option<bool>,
    /// Whether the SAN policy of Windows is `OnlineAll`.
    pub is_san_policy_online_all: Option<bool>,
    /// Whether it takes connections from outside by RDP, or by SSH if it is Linux: the service runs, and the firewall
    /// lets them through.
    pub takes_connections: Option<bool>,
    /// Whether the initial RAM disk of Linux has the drivers of Hyper-V: `hv_vmbus`, `hv_storvsc`, `hv_netvsc`.
    pub has_hyper_v_drivers: Option<bool>,
}

/// The operating system of a [`Machine`]: as the guest tells it where it does, else as its platform does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineOs {
    /// The family.
    pub family: Option<OsFamily>,
    /// The name.
    pub name: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The architecture.
    pub architecture: Option<String>,
}

/// A disk of a [`Machine`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineDisk {
    /// What replication names it by; empty where the discovery gave none.
    pub id: String,
    /// The name that is shown.
    pub name: Option<String>,
    /// The size in bytes.
    pub size_bytes: Option<u64>,
    /// Whether the machine starts from it. No discovery says so: it is the caller's to fill in.
    pub is_os: Option<bool>,
    /// How it takes part in snapshots; of `VMware` only. Independent disks cannot be replicated.
    pub mode: Option<String>,
    /// Its file, as its platform names it: `[datastore1] web01/web01.vmdk`.
    pub file: Option<String>,
    /// Whether `BitLocker` encrypts it. No discovery says so: it is the caller's to fill in.
    pub is_bitlocker: Option<bool>,
    /// What its owner can tell.
    #[serde(default)]
    pub facts: DiskFacts,
}

/// What the owner of a [`MachineDisk`] can tell. No discovery says so: it is the caller's to fill in, and what nobody
/// has looked at is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskFacts {
    /// Whether it, or a volume on it, is encrypted, by whatever.
    pub is_encrypted: Option<bool>,
    /// Whether more than one machine writes to it: a shared disk or VHD, a multi-writer disk.
    pub is_shared: Option<bool>,
    /// Whether it is no file but a disk that is passed through: RDM of `VMware`, a physical disk of Hyper-V.
    pub is_passthrough: Option<bool>,
    /// Whether the guest reaches it by Fibre Channel.
    pub is_fibre_channel: Option<bool>,
    /// How many partitions it has.
    pub partitions: Option<u64>,
    /// The file systems of its volumes, `NTFS`, without that of the partition that UEFI starts from.
    pub file_systems: Option<Vec<String>>,
}

impl MachineDisk {
    /// The datastore that its file is on, and the name of the file, as vSphere writes them; none where it is not
    /// written so.
    pub fn datastore(&self) -> Option<(&str, &str)> {
        let (store, path) = self.file.as_deref()?.trim().strip_prefix('[')?.split_once(']')?;
        Some((store, path.rsplit('/').next()?.trim()))
    }
}

impl MachineOs {
    /// Whether it is a 64-bit system; none where nobody knows.
    pub fn is_64_bit(&self) -> Option<bool> {
        let told = self.architecture.as_deref()?.trim().to_ascii_lowercase();
        let is_32_bit = || told.contains("32") || told == "x86" || (told.starts_with('i') && told.ends_with("86"));
        if told.contains("64") { Some(true) } else { is_32_bit().then_some(false) }
    }
}

/// A network adapter of a [`Machine`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineNic {
    /// What replication names it by; empty where the discovery gave none.
    pub id: String,
    /// Its address in its network.
    pub mac: Option<String>,
    /// Its IP addresses, as they were told; some may be none (`fe80::1%4`).
    pub addresses: Vec<String>,
    /// The network that it is in.
    pub network: Option<String>,
}

impl From<&VmwareMachine> for Machine {
    fn from(machine: &VmwareMachine) -> Self {
        let told = &machine.properties;
        let disk = |disk: &VmwareDisk| MachineDisk {
            id: disk.uuid.clone().unwrap_or_default(),
            name: said(disk.label.as_ref()).or_else(|| said(disk.name.as_ref())),
            size_bytes: disk.max_size_in_bytes,
            is_os: None,
            mode: said(disk.disk_mode.as_ref()),
            file: said(disk.path.as_ref()),
            is_bitlocker: None,
            facts: DiskFacts::default(),
        };
        let tracking = match (told.change_tracking_supported, told.change_tracking_enabled) {
            (_, Some(true)) => Some(ChangeTracking::On),
            (Some(false), _) => Some(ChangeTracking::Unsupported),
            (_, Some(false)) => Some(ChangeTracking::Off),
            (_, None) => None,
        };
        Self {
            id: machine.id.clone(),
            name: name_of(told.display_name.as_ref(), machine.name.as_ref()),
            scenario: Scenario::VmwareAgentless,
            fqdn: said(told.vm_fqdn.as_ref()),
            cores: told.number_of_processor_core,
            memory_mb: memory(told.allocated_memory_in_mb.as_ref()),
            os: os_of(told.guest_os_details.as_ref(), told.operating_system_details.as_ref()),
            firmware: firmware_of(told.firmware.as_ref()),
            disks: told.disks.iter().flatten().map(disk).collect(),
            nics: told.network_adapters.iter().flatten().map(MachineNic::from).collect(),
            instance_uuid: said(told.instance_uuid.as_ref()),
            host: said(told.host_name.as_ref()),
            vcenter: told.vcenter_id.clone(),
            change_tracking: tracking,
            // Below nothing is what the discovery says where it has not looked.
            snapshots: told.number_of_snapshots.and_then(|count| u64::try_from(count).ok()),
            host_os: None,
            is_on_site_recovery: None,
            guest: GuestFacts::default(),
        }
    }
}

impl From<&HyperVMachine> for Machine {
    fn from(machine: &HyperVMachine) -> Self {
        let told = &machine.properties;
        let disk = |disk: &HyperVDisk| MachineDisk {
            id: disk.vhd_id.clone().unwrap_or_default(),
            name: said(disk.name.as_ref()),
            size_bytes: disk.max_size_in_bytes,
            is_os: None,
            mode: None,
            file: said(disk.path.as_ref()),
            is_bitlocker: None,
            facts: DiskFacts::default(),
        };
        let by_generation = || match told.generation? {
            1 => Some(Firmware::Bios),
            2 => Some(Firmware::Uefi),
            _ => None,
        };
        Self {
            id: machine.id.clone(),
            name: name_of(told.display_name.as_ref(), machine.name.as_ref()),
            scenario: Scenario::HyperV,
            fqdn: said(told.vm_fqdn.as_ref()),
            cores: told.number_of_processor_core,
            memory_mb: memory(told.allocated_memory_in_mb.as_ref()),
            os: os_of(told.guest_os_details.as_ref(), told.operating_system_details.as_ref()),
            firmware: firmware_of(told.firmware.as_ref()).or_else(by_generation),
            disks: told.disks.iter().flatten().map(disk).collect(),
            nics: told.network_adapters.iter().flatten().map(MachineNic::from).collect(),
            instance_uuid: said(told.instance_uuid.as_ref()),
            host: said(told.host_fqdn.as_ref()),
            vcenter: None,
            change_tracking: None,
            snapshots: None,
            host_os: None,
            is_on_site_recovery: None,
            guest: GuestFacts::default(),
        }
    }
}

impl From<&ServerMachine> for Machine {
    fn from(machine: &ServerMachine) -> Self {
        let told = &machine.properties;
        let disk = |disk: &ServerDisk| MachineDisk {
            id: said(disk.id.as_ref()).or_else(|| said(disk.generated_id.as_ref())).unwrap_or_default(),
            name: said(disk.name.as_ref()),
            size_bytes: disk.max_size_in_bytes,
            is_os: None,
            mode: None,
            file: said(disk.path.as_ref()),
            is_bitlocker: None,
            facts: DiskFacts::default(),
        };
        Self {
            id: machine.id.clone(),
            name: name_of(told.display_name.as_ref(), machine.name.as_ref()),
            scenario: Scenario::AgentBased,
            fqdn: said(told.hydrated_fqdn.as_ref()).or_else(|| said(told.fqdn.as_ref())),
            cores: told.number_of_processor_core,
            memory_mb: memory(told.allocated_memory_in_mb.as_ref()),
            os: os_of(told.guest_os_details.as_ref(), told.operating_system_details.as_ref()),
            firmware: firmware_of(told.firmware.as_ref()),
            disks: told.disks.iter().flatten().map(disk).collect(),
            nics: told.network_adapters.iter().flatten().map(MachineNic::from).collect(),
            instance_uuid: None,
            host: None,
            vcenter: None,
            change_tracking: None,
            snapshots: None,
            host_os: None,
            is_on_site_recovery: None,
            guest: GuestFacts::default(),
        }
    }
}

impl From<&DiscoveredAdapter> for MachineNic {
    fn from(adapter: &DiscoveredAdapter) -> Self {
        Self {
            id: adapter.nic_id.clone().unwrap_or_default(),
            mac: said(adapter.mac_address.as_ref()),
            addresses: adapter.ip_address_list.clone().unwrap_or_default(),
            network: said(adapter.network_name.as_ref()),
        }
    }
}

/// The text, unless it is empty.
fn said(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).cloned()
}

fn name_of(shown: Option<&String>, resource: Option<&String>) -> String {
    said(shown).or_else(|| said(resource)).unwrap_or_default()
}

fn firmware_of(word: Option<&String>) -> Option<Firmware> {
    said(word).map(|word| Firmware::of(&word))
}

/// Whole MiB. The service writes a number that may have a fraction.
fn memory(told: Option<&Number>) -> Option<u64> {
    let told = told?.as_f64()?;
    (told.is_finite() && told >= 0.0).then_some(told as u64)
}

fn os_of(guest: Option<&GuestOs>, platform: Option<&GuestOs>) -> Option<MachineOs> {
    let told =
        |part: fn(&GuestOs) -> Option<&String>| [guest, platform].into_iter().flatten().find_map(|os| said(part(os)));
    let os = MachineOs {
        family: told(|os| os.os_type.as_ref()).map(|word| OsFamily::of(&word)),
        name: told(|os| os.os_name.as_ref()),
        version: told(|os| os.os_version.as_ref()),
        architecture: told(|os| os.os_architecture.as_ref()),
    };
    let MachineOs { family, name, version, architecture } = &os;
    (family.is_some() || name.is_some() || version.is_some() || architecture.is_some()).then_some(os)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_vmware_machine_tells_its_facts() {
        let machine: VmwareMachine = same(&json!({
            "id": "/subscriptions/s/m", "name": "vc_1", "properties": {
                "displayName": "web01", "vmFqdn": "", "firmware": "uefi", "numberOfProcessorCore": 4,
                "allocatedMemoryInMb": 8192.5, "vCenterId": "/v", "instanceUuid": "u", "changeTrackingSupported": true,
                "guestOsDetails": { "osType": "windowsguest", "osName": "" },
                "operatingSystemDetails": { "osType": "Other", "osName": "Windows Server 2019" },
                "disks": [{ "uuid": "6000C29", "label": "Hard disk 1", "maxSizeInBytes": 42_949_672_960_u64, "diskMode": "persistent", "lun": 0 }],
                "networkAdapters": [{ "nicId": "4000", "macAddress": "00:50", "ipAddressList": ["10.0.0.4", "fe80::1%4"], "adapterType": "VMXNET3" }],
                "tags": { "a": "b" },
            },
        }));
        let facts = Machine::from(&machine);
        assert_eq!((facts.name.as_str(), facts.scenario), ("web01", Scenario::VmwareAgentless));
        assert_eq!((facts.cores, facts.memory_mb, facts.fqdn), (Some(4), Some(8192), None));
        assert_eq!(facts.firmware, Some(Firmware::Uefi));
        let os = facts.os.unwrap();
        assert_eq!((os.family, os.name.as_deref()), (Some(OsFamily::Windows), Some("Windows Server 2019")));
        let disk = &facts.disks[0];
        assert_eq!((disk.id.as_str(), disk.size_bytes, disk.is_os), ("6000C29", Some(42_949_672_960), None));
        assert_eq!(facts.nics[0].addresses.len(), 2);
    }

    #[test]
    fn a_hyper_v_machine_of_generation_two_starts_by_uefi() {
        let of =
            |properties: Value| Machine::from(&same::<HyperVMachine>(&json!({ "properties": properties }))).firmware;
        assert_eq!(of(json!({ "generation": 2 })), Some(Firmware::Uefi));
        assert_eq!(of(json!({ "generation": 2, "firmware": "BIOS" })), Some(Firmware::Bios));
        assert_eq!(of(json!({ "generation": 3, "firmware": "" })), None);
        assert_eq!(of(json!({ "firmware": "coreboot" })), Some(Firmware::Unknown("coreboot".to_owned())));
    }

    #[test]
    fn a_hyper_v_disk_is_named_by_its_image() {
        let machine: HyperVMachine = same(&json!({ "name": "guid", "properties": {
            "disks": [{ "instanceId": "Microsoft:1", "vhdId": "vhd", "maxSizeInBytes": 1 }], "hostFqdn": "h", "newFact": {},
        }}));
        let facts = Machine::from(&machine);
        assert_eq!((facts.name.as_str(), facts.disks[0].id.as_str(), facts.os), ("guid", "vhd", None));
    }

    #[test]
    fn a_server_is_found_by_the_name_that_it_tells_itself() {
        let machine: ServerMachine = same(&json!({ "properties": {
            "fqdn": "10.0.0.4", "hydratedFqdn": "web01.corp", "allocatedMemoryInMb": 4096, "tags": { "a": { "b": 1 } },
            "disks": [{ "id": "", "generatedId": "g", "diskType": "unknown" }], "processorInfo": { "numberOfSockets": 1 },
        }}));
        let facts = Machine::from(&machine);
        assert_eq!((facts.fqdn.as_deref(), facts.memory_mb), (Some("web01.corp"), Some(4096)));
        assert_eq!(facts.disks[0].id, "g");
    }

    #[test]
    fn what_vsphere_says_of_snapshots_and_change_tracking_is_kept_and_what_it_has_not_looked_at_is_not() {
        let of = |told: Value| {
            let machine: VmwareMachine = same(&json!({ "properties": told }));
            Machine::from(&machine)
        };
        let looked = of(json!({ "hostName": "esx1", "changeTrackingSupported": true, "changeTrackingEnabled": false,
            "numberOfSnapshots": 2, "disks": [{ "uuid": "u", "path": "[ds 1] web01/web01_1.vmdk" }] }));
        assert_eq!((looked.host.as_deref(), looked.snapshots), (Some("esx1"), Some(2)));
        assert_eq!(looked.change_tracking, Some(ChangeTracking::Off));
        assert_eq!(looked.disks[0].datastore(), Some(("ds 1", "web01_1.vmdk")));
        let not_looked = of(json!({ "numberOfSnapshots": -1, "disks": [{ "uuid": "u", "path": "web01.vmdk" }] }));
        assert_eq!((not_looked.host, not_looked.snapshots, not_looked.change_tracking), (None, None, None));
        assert_eq!(not_looked.disks[0].datastore(), None);
        let unable = of(json!({ "changeTrackingSupported": false, "changeTrackingEnabled": false }));
        assert_eq!(unable.change_tracking, Some(ChangeTracking::Unsupported));
    }

    #[test]
    fn the_width_of_a_system_is_known_by_the_words_of_its_platform() {
        let of = |word: &str| {
            let architecture = Some(word.to_owned());
            MachineOs { family: None, name: None, version: None, architecture }.is_64_bit()
        };
        assert_eq!(["64-bit", "x86_64", "AMD64", "X64", "aarch64"].map(of), [Some(true); 5]);
        assert_eq!(["32-bit", "x86", "X86", "i386", "i686"].map(of), [Some(false); 5]);
        assert_eq!(["", "unknown", "sparc"].map(of), [None; 3]);
    }

    #[test]
    fn facts_are_kept_in_a_plan() {
        let facts = Machine::from(&ServerMachine::new(ServerMachineProperties::default()));
        assert_eq!(serde_json::from_value::<Machine>(serde_json::to_value(&facts).unwrap()).unwrap(), facts);
    }

    #[test]
    fn memory_below_nothing_is_not_known() {
        assert_eq!(memory(Number::from_f64(-1.0).as_ref()), None);
        assert_eq!(memory(Some(&Number::from(2048))), Some(2048));
    }
}
