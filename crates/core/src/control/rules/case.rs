//! What is wanted beside what is there.

use jiff::Timestamp;

use crate::control::lifecycle::wire::Item;
use crate::control::limits::{Limit, LimitName, Limits};
use crate::control::model::{
    Firmware, Machine, OsFamily, PrivateEndpoint, PrivateLinkServiceConnection, StorageAccount, Subnet, VirtualNetwork,
};
use crate::control::observed::Observed;
use crate::control::settings::{MigrationSettings, ServerSettings};
use crate::control::{ArmId, Scenario};

pub(super) const ALL: &[Scenario] = Scenario::ALL;
pub(super) const VMWARE: &[Scenario] = &[Scenario::VmwareAgentless];
pub(super) const HYPER_V: &[Scenario] = &[Scenario::HyperV];
pub(super) const AGENT: &[Scenario] = &[Scenario::AgentBased];
/// The two that register something with the vault and reach it themselves.
pub(super) const REGISTERED: &[Scenario] = &[Scenario::HyperV, Scenario::AgentBased];

/// The two that read disks on their host, without an agent.
pub(super) const AGENTLESS: &[Scenario] = &[Scenario::VmwareAgentless, Scenario::HyperV];
/// The two that do not go by Hyper-V.
pub(super) const NOT_HYPER_V: &[Scenario] = &[Scenario::VmwareAgentless, Scenario::AgentBased];

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) wanted: &'a MigrationSettings,
    pub(super) seen: &'a Observed,
    pub(super) limits: &'a Limits,
    pub(super) now: Timestamp,
}

impl<'a> Case<'a> {
    pub(super) fn account(self, id: &ArmId) -> Option<&'a StorageAccount> {
        self.seen.accounts.iter().find(|account| account.id.as_ref() == Some(id))
    }

    /// The accounts of the settings that are there.
    pub(super) fn accounts(self) -> impl Iterator<Item = (&'a ArmId, &'a StorageAccount)> {
        self.wanted.accounts().filter_map(move |id| Some((id, self.account(id)?)))
    }

    /// What must have a private endpoint: the accounts, and the vault where somebody on premises reaches it.
    pub(super) fn private_targets(self) -> impl Iterator<Item = &'a ArmId> {
        let vault = REGISTERED.contains(&self.wanted.scenario).then_some(&self.wanted.vault);
        vault.into_iter().chain(self.wanted.accounts())
    }

    /// The private endpoints that lead to `target`, with what leads there.
    pub(super) fn endpoints_to(
        self,
        target: &'a ArmId,
    ) -> impl Iterator<Item = (&'a PrivateEndpoint, &'a PrivateLinkServiceConnection)> {
        self.seen.endpoints.iter().filter_map(move |endpoint| Some((endpoint, endpoint.connection_to(target)?)))
    }

    pub(super) fn network(self, id: &ArmId) -> Option<&'a VirtualNetwork> {
        self.seen.networks.iter().find(|network| network.id.as_ref() == Some(id))
    }

    pub(super) fn machine(self, server: &ServerSettings) -> Option<&'a Machine> {
        self.seen.machines.iter().find(|machine| machine.id.as_ref() == Some(server.source.machine()))
    }

    /// The server as it is replicated already.
    pub(super) fn item(self, server: &ServerSettings) -> Option<&'a Item> {
        self.seen.items.iter().find(|item| item.name().is_some_and(|name| name.eq_ignore_ascii_case(&server.item)))
    }

    pub(super) fn is_replicated(self, server: &ServerSettings) -> bool {
        self.item(server).is_some()
    }

    /// The servers with the machine that each is, where it was found.
    pub(super) fn servers(self) -> impl Iterator<Item = (&'a ServerSettings, Option<&'a Machine>)> {
        let case = self;
        self.wanted.servers.iter().map(move |server| (server, case.machine(server)))
    }

    /// A number of the documents, for this kind of migration.
    pub(super) fn limit(self, name: LimitName) -> Option<&'a Limit> {
        self.limits.get(name, self.wanted.scenario)
    }
}

/// The virtual network that a private endpoint is in.
pub(super) fn network_of(endpoint: &PrivateEndpoint) -> Option<ArmId> {
    endpoint.properties.subnet.as_ref()?.id.as_ref()?.parent()
}

/// The subnet of that name, without regard to case.
pub(super) fn subnet<'a>(network: &'a VirtualNetwork, name: &str) -> Option<&'a Subnet> {
    let is_it = |subnet: &&Subnet| subnet.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
    network.properties.subnets.iter().flatten().find(is_it)
}

/// How many addresses of a subnet can be given away: Azure keeps five of each network for itself.
///
/// Source: Microsoft Learn, "Azure Virtual Network frequently asked questions" (2024).
pub(super) fn usable_addresses(subnet: &Subnet) -> Option<u64> {
    let told = &subnet.properties;
    let prefixes = told.address_prefix.iter().chain(told.address_prefixes.iter().flatten());
    let networks = prefixes.filter_map(|prefix| prefix.parse::<ipnet::Ipv4Net>().ok());
    let sizes = networks.map(|network| (1u64 << (32 - u32::from(network.prefix_len()))).saturating_sub(5));
    sizes.max()
}

/// The generation that a machine's firmware asks for: 1 for BIOS, 2 for UEFI; none where nobody knows.
pub(super) fn generation(machine: &Machine) -> Option<u8> {
    match machine.firmware {
        Some(Firmware::Bios) => Some(1),
        Some(Firmware::Uefi) => Some(2),
        _ => None,
    }
}

/// Whether a machine runs Windows; none where nobody knows.
pub(super) fn is_windows(machine: &Machine) -> Option<bool> {
    match machine.os.as_ref()?.family.as_ref()? {
        OsFamily::Windows => Some(true),
        OsFamily::Linux => Some(false),
        OsFamily::Unknown(_) => None,
    }
}
