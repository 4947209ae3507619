//! What is there: everything that the rules look at, as Azure told it.
//!
//! It is read once and then only looked at, so that rules and plan are pure: the same settings and the same
//! observation give the same findings and the same steps. A list holds what there is of its kind; what could not
//! be read is in [`Observed::unread`], because a resource that nobody may read is not one that is missing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ArmId;
use super::lifecycle::wire::Item;
use super::model::{
    AvailabilitySet, ContainerMapping, DiskEncryptionSet, Fabric, Machine, MigrateProject, NetworkInterface,
    Permission, Policy, PrivateDnsZone, PrivateDnsZoneGroup, PrivateEndpoint, PrivateLinkResource, RecordSet,
    RecoveryServicesProvider, RoleAssignment, StorageAccount, Vault, VirtualNetwork, VirtualNetworkLink,
};
use super::settings::SizeChoice;

/// What is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The regions that the subscription may use.
    pub regions: Vec<Region>,
    /// The resource groups that are named in the settings.
    pub groups: Vec<ArmId>,
    /// The project.
    pub project: Option<MigrateProject>,
    /// The vault.
    pub vault: Option<Vault>,
    /// What the vault's private endpoints lead to: the group of Site Recovery.
    pub vault_link: Option<PrivateLinkResource>,
    /// How many servers the vault's containers have, of whatever kind.
    pub vault_items: usize,
    /// The storage accounts.
    pub accounts: Vec<StorageAccount>,
    /// The private endpoints that lead to the project, the vault or an account.
    pub endpoints: Vec<PrivateEndpoint>,
    /// The zone groups of these endpoints.
    pub zone_groups: Vec<PrivateDnsZoneGroup>,
    /// The virtual networks that are named, and those of the private endpoints.
    pub networks: Vec<VirtualNetwork>,
    /// The private DNS zones.
    pub zones: Vec<PrivateDnsZone>,
    /// The links of these zones.
    pub zone_links: Vec<VirtualNetworkLink>,
    /// The A records of these zones.
    pub records: Vec<RecordSet>,
    /// Who has which roles on the accounts.
    pub grants: Vec<RoleAssignment>,
    /// What each of the caller's roles allows on the accounts; none where nobody has looked.
    pub caller_roles: Option<Vec<Permission>>,
    /// What each of the caller's roles allows on the project's subscription. Nothing reads it, because Azure tells it of
    /// groups and resources only: it is the caller's to fill in, and none where nobody has looked.
    pub subscription_roles: Option<Vec<Permission>>,
    /// The virtual networks that have a gateway of `ExpressRoute` or a VPN. Nothing reads them, because a gateway may be
    /// in a hub that the caller does not see: they are the caller's to fill in, and none where nobody has looked.
    pub gateways: Option<Vec<ArmId>>,
    /// The site's fabric in the vault.
    pub fabric: Option<Fabric>,
    /// Who is registered with the fabric.
    pub providers: Vec<RecoveryServicesProvider>,
    /// The policies of the vault.
    pub policies: Vec<Policy>,
    /// Where the container's servers go.
    pub mapping: Option<ContainerMapping>,
    /// The discovered servers.
    pub machines: Vec<Machine>,
    /// The servers that are replicated already.
    pub items: Vec<Item>,
    /// The sizes that the subscription offers in the region.
    pub sizes: Vec<SizeChoice>,
    /// The availability sets of the target's resource group.
    pub availability_sets: Vec<AvailabilitySet>,
    /// The disk encryption sets of the target's resource group.
    pub encryption_sets: Vec<DiskEncryptionSet>,
    /// The names of the machines that are in the target's resource group.
    pub vm_names: Vec<String>,
    /// The names of the managed disks that are in the target's resource group.
    pub disk_names: Vec<String>,
    /// The network interfaces that are in the target's resource group.
    pub interfaces: Vec<NetworkInterface>,
    /// The blackout windows of the appliance in which the servers might be migrated. The appliance keeps them in a file
    /// of its own (`GatewayDataWorker.json`), in its own time: they are the caller's to fill in.
    pub blackouts: Vec<Blackout>,
    /// Ports on the premises that somebody has tried from where they are used, and found closed. Azure does not see them:
    /// they are the caller's to fill in.
    pub closed_ports: Vec<ClosedPort>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// `westeurope`.
    pub name: String,
    /// Its availability zones: `1`, `2`, `3`; none where it has none.
    pub zones: Vec<String>,
}

/// A time in which an appliance does not replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blackout {
    /// When it begins.
    pub from: Timestamp,
    /// When it is over.
    pub until: Timestamp,
}

/// A port that nobody answers at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPort {
    /// The name or the address of the host.
    pub host: String,
    /// The port, of TCP.
    pub port: u16,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// What.
    pub id: ArmId,
    /// Why, without secrets.
    pub why: String,
}

/// Whether two texts name one region, which is written as `westeurope` and as `West Europe`.
pub(crate) fn same_region(one: &str, other: &str) -> bool {
    let folded = |text: &'_ str| -> Vec<char> {
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
    };
    folded(one) == folded(other)
}
