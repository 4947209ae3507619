//! The machine that a server becomes: its names, disks and interfaces, made of the settings and of sealed replicas.
//!
//! Everything that can be known without asking Azure is decided here, the same for the same settings: a run that was
//! killed finds what it made by the names alone. A test machine differs from the real one in its names, its network
//! and its availability set, which it is not in: all machines of a set are in one network.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::CutoverError;
use super::replica::{FOOTER_BYTES, Replica};
use super::settings::{CutoverSettings, Filling, GuestSystem, LinuxVendor, Purpose};
use super::tag::{MOST_TAGS, TAG_PREFIX};
use crate::control::ArmId;
use crate::control::arm::Target;
use crate::control::model::{DiskType, Firmware, HyperVGeneration};
use crate::control::settings::{
    Availability, DiskEncryption, LinuxLicence, NicPlace, NicRole, Security, ServerSettings, SqlLicence, Tags,
    TargetSettings, WindowsLicence,
};
use crate::private_link::PrivateService;
use crate::size::MIB;

/// What the names of a test machine, of its disks and of its interfaces end with.
///
/// Source: Microsoft Learn, "Migrate `VMware` VMs to Azure (agentless)" (2023-06), which says that the machine of a
/// test migration has the suffix `-Test`.
pub const TEST_SUFFIX: &str = "-Test";

/// The least bytes of an upload, with its footer.
///
/// Source: Microsoft Learn, "Upload a VHD to Azure or copy a managed disk to another region" (`uploadSizeBytes`).
pub const LEAST_UPLOAD_BYTES: u64 = 20 * MIB + FOOTER_BYTES;

/// The most data disks of a machine, as the largest sizes have it.
///
/// Source: Microsoft Learn, "Azure subscription and service limits", virtual machine limits.
const MOST_DATA_DISKS: usize = 64;

/// What ids of cutovers are made in. Drawn once, and never changed: another one would make a killed cutover a
/// stranger to its own disks.
const NAMESPACE: Uuid = Uuid::from_u128(0x6b0c_51f1_7e53_4f0e_9a3d_2c8b_6d0f_4e17);

/// Names a cutover: the same for the same machine. It is the value of the tag on all that the cutover makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CutoverId(Uuid);

impl CutoverId {
    /// Of this machine. Ids that differ in case are the same machine.
    pub fn of(machine: &ArmId) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, machine.as_str().to_ascii_lowercase().as_bytes()))
    }
}

impl fmt::Display for CutoverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A disk of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskPlan {
    /// The managed disk.
    pub id: ArmId,
    /// What it is made of.
    pub replica: Replica,
    /// What kind of disk it becomes.
    pub disk_type: DiskType,
    /// Its place on the controller; none for the disk that the machine starts from.
    pub lun: Option<u8>,
}

/// An interface of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NicPlan {
    /// The interface.
    pub id: ArmId,
    /// Its subnet.
    pub subnet: ArmId,
    /// A fixed address; none for one that Azure chooses.
    pub address: Option<Ipv4Addr>,
    /// Whether it is the machine's first.
    pub is_primary: bool,
}

/// The machine that a server becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachinePlan {
    pub(super) cutover: CutoverId,
    pub(super) purpose: Purpose,
    pub(super) machine: ArmId,
    pub(super) region: String,
    pub(super) size: String,
    pub(super) availability: Availability,
    pub(super) licence: Option<&'static str>,
    pub(super) security: Security,
    pub(super) guest: GuestSystem,
    pub(super) generation: HyperVGeneration,
    pub(super) encryption: DiskEncryption,
    pub(super) filling: Filling,
    pub(super) boot_diagnostics: Option<String>,
    pub(super) tags: Tags,
    pub(super) disks: Vec<DiskPlan>,
    pub(super) nics: Vec<NicPlan>,
}

impl MachinePlan {
    /// The machine that `server` becomes.
    ///
    /// # Errors
    ///
    /// [`CutoverError::Settings`] where the settings make no machine (no size, no first interface, a disk without a
    /// replica, a name that Azure does not take); [`CutoverError::NotOffered`] for what only Azure Migrate offers;
    /// [`CutoverError::TestNetwork`] where a test machine would not be in a network of its own.
    pub fn new(
        server: &ServerSettings,
        target: &TargetSettings,
        settings: &CutoverSettings,
        purpose: Purpose,
    ) -> Result<Self, CutoverError> {
        Draft { server, target, settings, purpose }.plan()
    }

    /// Names the cutover.
    pub fn cutover(&self) -> CutoverId {
        self.cutover
    }

    /// What the machine is made for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The machine.
    pub fn machine(&self) -> &ArmId {
        &self.machine
    }

    /// Its disks: first the one that it starts from, then the others by their place.
    pub fn disks(&self) -> &[DiskPlan] {
        &self.disks
    }

    /// Its interfaces, the first one first.
    pub fn nics(&self) -> &[NicPlan] {
        &self.nics
    }

    /// The zone that machine and disks are in.
    pub(super) fn zone(&self) -> Option<&str> {
        match &self.availability {
            Availability::Zone(zone) => Some(zone),
            Availability::None | Availability::Set(_) => None,
        }
    }
}

/// Settings on their way to a plan.
struct Draft<'a> {
    server: &'a ServerSettings,
    target: &'a TargetSettings,
    settings: &'a CutoverSettings,
    purpose: Purpose,
}

impl Draft<'_> {
    fn plan(&self) -> Result<MachinePlan, CutoverError> {
        let Self { server, target, settings, purpose } = *self;
        if !Target::Group.fits(&target.resource_group) || target.resource_group.path().is_err() {
            return Err(self.refused(format!("{} is no resource group", shown(target.resource_group.as_str()))));
        }
        if settings.region.is_empty() || !settings.region.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.refused(format!("{:?} is no name of a region", shown(&settings.region))));
        }
        let size = server.size.clone().filter(|size| !size.is_empty());
        let size = size.ok_or_else(|| self.refused("there is no size, and no service that chooses one".to_owned()))?;
        let name = self.named(&server.name, 64, is_host_character)?;
        let machine = target.resource_group.resource("Microsoft.Compute", "virtualMachines", &name);
        let availability = match (&server.availability, purpose) {
            (Availability::Set(_), Purpose::Test) => Availability::None,
            (availability, _) => availability.clone(),
        };
        let plan = MachinePlan {
            cutover: CutoverId::of(&machine),
            purpose,
            region: settings.region.clone(),
            size,
            availability,
            licence: self.licence()?,
            security: self.security()?,
            guest: settings.guest,
            generation: self.generation()?,
            encryption: server.source.encryption().cloned().unwrap_or_default(),
            filling: settings.filling,
            boot_diagnostics: self.boot_diagnostics()?,
            tags: self.tags()?,
            disks: self.disks()?,
            nics: self.nics()?,
            machine,
        };
        self.check_names(&plan)?;
        Ok(plan)
    }

    fn refused(&self, problem: String) -> CutoverError {
        CutoverError::Settings { server: shown(&self.server.name), problem }
    }

    fn not_offered<T>(&self, what: &'static str) -> Result<T, CutoverError> {
        Err(CutoverError::NotOffered { server: shown(&self.server.name), what })
    }

    /// The name in Azure, if it is one there: it becomes a segment of an id.
    fn named(&self, name: &str, longest: usize, takes: fn(char) -> bool) -> Result<String, CutoverError> {
        let suffix = if self.purpose == Purpose::Test { TEST_SUFFIX } else { "" };
        let named = format!("{name}{suffix}");
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let ends = name.ends_with(|c: char| c.is_ascii_alphanumeric() || (c == '_' && takes('_')));
        if !begins || !ends || !name.chars().all(takes) || named.len() > longest {
            return Err(self.refused(format!("{:?} is no name of 1 to {longest} characters for it", shown(&named))));
        }
        Ok(named)
    }

    /// `licenseType` of the machine.
    ///
    /// Source: Azure REST API specification, Compute, `virtualMachine.json` (2024-03-01).
    fn licence(&self) -> Result<Option<&'static str>, CutoverError> {
        let licences = self.server.licences;
        if licences.sql != SqlLicence::None {
            return self.not_offered("a licence for SQL Server, which is no part of a machine in Azure's contract");
        }
        match (self.settings.guest, licences.windows, licences.linux) {
            (_, WindowsLicence::None, LinuxLicence::None) => Ok(None),
            (GuestSystem::Windows, WindowsLicence::HybridBenefit, LinuxLicence::None) => Ok(Some("Windows_Server")),
            (GuestSystem::Linux(LinuxVendor::RedHat), WindowsLicence::None, LinuxLicence::HybridBenefit) => {
                Ok(Some("RHEL_BYOS"))
            }
            (GuestSystem::Linux(LinuxVendor::Suse), WindowsLicence::None, LinuxLicence::HybridBenefit) => {
                Ok(Some("SLES_BYOS"))
            }
            _ => Err(self.refused("it has a licence of another system than it runs".to_owned())),
        }
    }

    fn security(&self) -> Result<Security, CutoverError> {
        match self.server.security {
            Security::Confidential { .. } => {
                self.not_offered("a confidential machine, whose disk comes with the state of its firmware")
            }
            Security::TrustedLaunch { .. } if self.settings.firmware != Firmware::Uefi => {
                Err(self.refused("trusted launch needs UEFI, and it starts by a BIOS".to_owned()))
            }
            security => Ok(security),
        }
    }

    fn generation(&self) -> Result<HyperVGeneration, CutoverError> {
        match &self.settings.firmware {
            Firmware::Bios => Ok(HyperVGeneration::V1),
            Firmware::Uefi => Ok(HyperVGeneration::V2),
            Firmware::Unknown(word) => Err(self.refused(format!("{:?} is no known firmware", shown(word)))),
        }
    }

    /// The URL of the blobs of the account for boot diagnostics.
    fn boot_diagnostics(&self) -> Result<Option<String>, CutoverError> {
        let Some(account) = &self.target.boot_diagnostics else { return Ok(None) };
        let name = account.name();
        let is_name = account.is_of("Microsoft.Storage/storageAccounts")
            && name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        match PrivateService::Blob.suffix(self.settings.cloud).filter(|_| is_name) {
            Some(suffix) => Ok(Some(format!("https://{name}.{suffix}/"))),
            None => {
                Err(self.refused(format!("{} is no storage account for boot diagnostics", shown(account.as_str()))))
            }
        }
    }

    /// The tags, none of which is one of ours.
    fn tags(&self) -> Result<Tags, CutoverError> {
        let tags = &self.server.tags;
        let ours =
            |name: &String| name.get(..TAG_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(TAG_PREFIX));
        if [&tags.vm, &tags.disk, &tags.nic].into_iter().any(|tags| tags.len() > MOST_TAGS) {
            return Err(self.refused(format!("there are more than {MOST_TAGS} tags, and the cutover has its own")));
        }
        match [&tags.vm, &tags.disk, &tags.nic].into_iter().flat_map(|tags| tags.keys()).find(|name| ours(name)) {
            Some(name) => Err(self.refused(format!("the tag {:?} is one of the cutover's own", shown(name)))),
            None => Ok(tags.clone()),
        }
    }

    fn disks(&self) -> Result<Vec<DiskPlan>, CutoverError> {
        let Self { server, target, settings, .. } = *self;
        let os: Vec<_> = server.disks.iter().filter(|disk| disk.is_os).collect();
        let data: Vec<_> = server.disks.iter().filter(|disk| !disk.is_os).collect();
        if os.len() != 1 {
            return Err(self.refused(format!("{} disks are marked as the operating system's", os.len())));
        }
        if data.len() > MOST_DATA_DISKS {
            return Err(self.refused(format!("{} data disks are more than {MOST_DATA_DISKS}", data.len())));
        }
        let luns = std::iter::once(None).chain((0..).map(Some));
        os.into_iter()
            .chain(data)
            .zip(luns)
            .map(|(disk, lun)| {
                let default =
                    lun.map_or_else(|| format!("{}-os", server.name), |lun| format!("{}-data-{lun}", server.name));
                let name = self.named(disk.name.as_ref().unwrap_or(&default), 80, is_name_character)?;
                let replica = self.replica_of(&disk.id)?;
                if replica.is_os() != disk.is_os {
                    let problem =
                        format!("settings and replica differ in whether {:?} holds the system", shown(&disk.id));
                    return Err(self.refused(problem));
                }
                if settings.filling == Filling::Upload && replica.size_bytes() < LEAST_UPLOAD_BYTES {
                    let problem = format!(
                        "the replica of {:?} has {} bytes, and an upload at least {LEAST_UPLOAD_BYTES} with its footer",
                        shown(&disk.id),
                        replica.size_bytes(),
                    );
                    return Err(self.refused(problem));
                }
                let id = target.resource_group.resource("Microsoft.Compute", "disks", &name);
                Ok(DiskPlan { id, replica: replica.clone(), disk_type: disk.disk_type.clone(), lun })
            })
            .collect()
    }

    /// The replica of a disk, of which there is one.
    fn replica_of(&self, disk: &str) -> Result<&Replica, CutoverError> {
        let mut found = self.settings.replicas.iter().filter(|replica| replica.disk().eq_ignore_ascii_case(disk));
        match (found.next(), found.next()) {
            (Some(replica), None) => Ok(replica),
            (None, _) => Err(self.refused(format!("the disk {:?} has no sealed replica", shown(disk)))),
            (Some(_), Some(_)) => Err(self.refused(format!("the disk {:?} has two replicas", shown(disk)))),
        }
    }

    /// The network and the subnet for interfaces that name none.
    fn network(&self) -> Result<(&ArmId, &str), CutoverError> {
        let target = self.target;
        let (network, subnet) = match (self.purpose, &target.test) {
            (Purpose::Production, _) => (&target.network, &target.subnet),
            (Purpose::Test, Some(test)) if test.network == target.network => {
                return Err(self.no_test_network("its network for tests is the one for production"));
            }
            (Purpose::Test, Some(test)) => (&test.network, &test.subnet),
            (Purpose::Test, None) => return Err(self.no_test_network("it has no network for tests")),
        };
        if !network.is_of("Microsoft.Network/virtualNetworks") || network.path().is_err() {
            return Err(self.refused(format!("{} is no virtual network", shown(network.as_str()))));
        }
        Ok((network, subnet))
    }

    fn no_test_network(&self, problem: &str) -> CutoverError {
        CutoverError::TestNetwork { server: shown(&self.server.name), problem: problem.to_owned() }
    }

    fn nics(&self) -> Result<Vec<NicPlan>, CutoverError> {
        let (network, default_subnet) = self.network()?;
        let mut nics = Vec::new();
        for (number, nic) in self.server.nics.iter().enumerate() {
            let Some(place) = nic.role.place() else { continue };
            let default = format!("{}-nic-{number}", self.server.name);
            let name = self.named(nic.name.as_ref().unwrap_or(&default), 80, is_name_character)?;
            let (subnet, address) = self.place(place);
            let subnet = subnet.unwrap_or(default_subnet);
            // A name with a slash would lead out of the network that was checked.
            if subnet.is_empty() || !subnet.chars().all(is_name_character) {
                return Err(self.refused(format!("{:?} is no name of a subnet", shown(subnet))));
            }
            let address = match address {
                None => None,
                Some(IpAddr::V4(address)) => Some(address),
                Some(IpAddr::V6(_)) => {
                    return Err(self.refused("an interface's first address is one of IPv4".to_owned()));
                }
            };
            nics.push(NicPlan {
                id: self.target.resource_group.resource("Microsoft.Network", "networkInterfaces", &name),
                subnet: network.child("subnets", subnet),
                address,
                is_primary: matches!(nic.role, NicRole::Primary(_)),
            });
        }
        match nics.iter().filter(|nic| nic.is_primary).count() {
            1 => nics.sort_by_key(|nic| !nic.is_primary),
            first => return Err(self.refused(format!("{first} interfaces are marked as its first"))),
        }
        Ok(nics)
    }

    fn place<'a>(&self, place: &'a NicPlace) -> (Option<&'a str>, Option<IpAddr>) {
        match self.purpose {
            Purpose::Production => (place.subnet.as_deref(), place.address),
            Purpose::Test => (place.test_subnet.as_deref(), place.test_address),
        }
    }

    /// No two of the same kind have one name: the second would be taken for the first.
    fn check_names(&self, plan: &MachinePlan) -> Result<(), CutoverError> {
        let mut seen = BTreeSet::new();
        let ids = plan.disks.iter().map(|disk| &disk.id).chain(plan.nics.iter().map(|nic| &nic.id));
        for id in ids {
            if !seen.insert(id) {
                return Err(self.refused(format!("the name {:?} is given twice", id.name())));
            }
        }
        Ok(())
    }
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A text from outside, of a length that an error bears.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
