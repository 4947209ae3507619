//! Whether what is there is what is wanted.
//!
//! Only what makes another machine is compared. A service adds to what it was told and spells it anew, so that whole
//! bodies are never equal.

use crate::control::ArmId;
use crate::control::model::{Disk, NetworkInterface, VirtualMachine};

/// How far something is, by its `provisioningState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is being made or changed.
    Running,
    /// It is there.
    Whole,
    /// It could not be made.
    Failed,
}

impl Standing {
    pub(super) fn of(state: Option<&str>) -> Self {
        match state.unwrap_or("Succeeded").to_ascii_lowercase().as_str() {
            "succeeded" => Self::Whole,
            "failed" | "canceled" | "cancelled" => Self::Failed,
            _ => Self::Running,
        }
    }
}

/// What is compared: what it is called, what is wanted, what was found. Both texts are without case.
type Compared = (&'static str, Option<String>, Option<String>);

fn first_difference(compared: impl IntoIterator<Item = Compared>) -> Option<String> {
    let same = |wanted: &Option<String>, found: &Option<String>| match (wanted, found) {
        (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(found),
        (wanted, found) => wanted.is_none() && found.is_none(),
    };
    let (what, wanted, found) = compared.into_iter().find(|(_, wanted, found)| !same(wanted, found))?;
    let told = |text: Option<String>| {
        text.map_or_else(|| "none".to_owned(), |text| text.chars().filter(|c| !c.is_control()).take(300).collect())
    };
    Some(format!("its {what} is {}, and {} is wanted", told(found), told(wanted)))
}

/// A region without the blanks with which portals write it.
fn region(location: Option<&str>) -> Option<String> {
    location.map(|location| location.replace(' ', ""))
}

fn zones(zones: Option<&Vec<String>>) -> Option<String> {
    zones.filter(|zones| !zones.is_empty()).map(|zones| zones.join(","))
}

fn text(id: Option<&ArmId>) -> Option<String> {
    id.map(ToString::to_string)
}

/// What of a disk is not as wanted.
pub(super) fn disk(wanted: &Disk, found: &Disk) -> Option<String> {
    let kind = |disk: &Disk| disk.disk_type().map(|kind| kind.to_string());
    let option = |disk: &Disk| Some(disk.properties.creation_data.as_ref()?.create_option.as_ref()?.to_string());
    let generation = |disk: &Disk| Some(disk.properties.hyper_v_generation.as_ref()?.to_string());
    let set = |disk: &Disk| text(disk.properties.encryption.as_ref()?.disk_encryption_set_id.as_ref());
    let starts = wanted.properties.hyper_v_generation.is_some();
    let generations = starts.then(|| ("generation", generation(wanted), generation(found)));
    first_difference(
        [
            ("region", region(wanted.location.as_deref()), region(found.location.as_deref())),
            ("kind", kind(wanted), kind(found)),
            ("zone", zones(wanted.zones.as_ref()), zones(found.zones.as_ref())),
            ("origin", option(wanted), option(found)),
            ("encryption set", set(wanted), set(found)),
        ]
        .into_iter()
        .chain(generations),
    )
}

/// What of an interface is not as wanted.
pub(super) fn nic(wanted: &NetworkInterface, found: &NetworkInterface) -> Option<String> {
    let first = |nic: &NetworkInterface| Some(nic.properties.ip_configurations.as_ref()?.first()?.properties.clone());
    let (wanted_first, found_first) = (first(wanted).unwrap_or_default(), first(found).unwrap_or_default());
    let address = |given: &crate::control::model::IpConfigurationProperties| {
        // An address that Azure chose may be any.
        let is_fixed =
            given.private_ip_allocation_method.as_deref().is_some_and(|way| way.eq_ignore_ascii_case("Static"));
        given.private_ip_address.as_ref().filter(|_| is_fixed).map(|address| address.as_str().to_owned())
    };
    let subnet = |given: &crate::control::model::IpConfigurationProperties| text(given.subnet.as_ref()?.id.as_ref());
    first_difference([
        ("region", region(wanted.location.as_deref()), region(found.location.as_deref())),
        ("subnet", subnet(&wanted_first), subnet(&found_first)),
        ("fixed address", address(&wanted_first), address(&found_first)),
    ])
}

/// What of a machine is not as wanted.
pub(super) fn machine(wanted: &VirtualMachine, found: &VirtualMachine) -> Option<String> {
    let size = |machine: &VirtualMachine| machine.properties.hardware_profile.as_ref()?.vm_size.clone();
    let set = |machine: &VirtualMachine| text(machine.properties.availability_set.as_ref()?.id.as_ref());
    let security = |machine: &VirtualMachine| {
        Some(machine.properties.security_profile.as_ref()?.security_type.as_ref()?.to_string())
    };
    first_difference([
        ("region", region(wanted.location.as_deref()), region(found.location.as_deref())),
        ("size", size(wanted), size(found)),
        ("zone", zones(wanted.zones.as_ref()), zones(found.zones.as_ref())),
        ("availability set", set(wanted), set(found)),
        ("protection", security(wanted), security(found)),
        ("list of disks", disks(wanted), disks(found)),
        ("list of interfaces", nics(wanted), nics(found)),
    ])
}

/// The disks of a machine, in the order of their places.
fn disks(machine: &VirtualMachine) -> Option<String> {
    let profile = machine.properties.storage_profile.as_ref()?;
    let os = profile.os_disk.as_ref()?.managed_disk.as_ref()?.id.as_ref()?;
    let data = profile.data_disks.iter().flatten();
    let mut data: Vec<_> =
        data.map(|disk| (disk.lun, disk.managed_disk.as_ref().and_then(|disk| disk.id.as_ref()))).collect();
    data.sort_unstable_by_key(|(lun, _)| *lun);
    let place = |(lun, id): (Option<i64>, Option<&ArmId>)| {
        format!("{}: {}", lun.unwrap_or(-1), id.map(ToString::to_string).unwrap_or_default())
    };
    Some(std::iter::once(os.to_string()).chain(data.into_iter().map(place)).collect::<Vec<_>>().join(", "))
}

fn nics(machine: &VirtualMachine) -> Option<String> {
    let nics = machine.properties.network_profile.as_ref()?.network_interfaces.iter().flatten();
    let mut ids: Vec<String> = nics.filter_map(|nic| text(nic.id.as_ref())).collect();
    ids.sort_unstable_by_key(|id| id.to_ascii_lowercase());
    Some(ids.join(", "))
}
