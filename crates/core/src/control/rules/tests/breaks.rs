//! What breaks each rule, and nothing else.

use serde_json::json;

use crate::control::lifecycle::wire::Item;
use crate::control::model::{
    ChangeTracking, DefaultAction, DiskType, Firmware, MachineDisk, OsFamily, PublicNetworkAccess, Role, StorageAccount,
};
use crate::control::observed::Observed;
use crate::control::sample::{self, GIB, account_id, grant, id, read, vault_id};
use crate::control::settings::{
    AgentSource, Availability, DiskEncryption, DiskSettings, LinuxLicence, MigrationSettings, NicRole, Security,
    Source, VmwareSource, WindowsLicence,
};
use crate::control::{ArmId, Blackout, ClosedPort, Scenario};

/// How a rule is broken.
pub(super) struct Break {
    pub(super) code: &'static str,
    pub(super) scenarios: &'static [Scenario],
    pub(super) how: fn(&mut MigrationSettings, &mut Observed),
}

const fn all(code: &'static str, how: fn(&mut MigrationSettings, &mut Observed)) -> Break {
    Break { code, scenarios: Scenario::ALL, how }
}

const fn of(
    code: &'static str,
    scenarios: &'static [Scenario],
    how: fn(&mut MigrationSettings, &mut Observed),
) -> Break {
    Break { code, scenarios, how }
}

const VMWARE: &[Scenario] = &[Scenario::VmwareAgentless];
const HYPER_V: &[Scenario] = &[Scenario::HyperV];
const AGENT: &[Scenario] = &[Scenario::AgentBased];
const REGISTERED: &[Scenario] = &[Scenario::HyperV, Scenario::AgentBased];
const AGENTLESS: &[Scenario] = &[Scenario::VmwareAgentless, Scenario::HyperV];
const ENCRYPTED: &[Scenario] = &[Scenario::VmwareAgentless, Scenario::AgentBased];

fn account(seen: &mut Observed) -> &mut StorageAccount {
    &mut seen.accounts[0]
}

/// The settled state of the account's private endpoint.
fn status(seen: &mut Observed, word: &str) {
    let endpoint = seen.endpoints.iter_mut().find(|one| one.name.as_deref() == Some("cache01-blob")).unwrap();
    let connection = &mut endpoint.properties.private_link_service_connections.as_mut().unwrap()[0];
    connection.properties.private_link_service_connection_state =
        Some(read(json!({ "status": word, "description": "not by me" })));
}

/// Makes the account a premium one, with the role that goes with it.
fn premium(seen: &mut Observed) {
    account(seen).sku = Some(read(json!({ "name": "Premium_LRS", "tier": "Premium" })));
    seen.grants.push(grant(&account_id(), Role::StorageBlobDataOwner));
}

fn encrypt(wanted: &mut MigrationSettings, with: DiskEncryption) {
    match &mut wanted.servers[0].source {
        Source::VmwareAgentless(VmwareSource { encryption, .. })
        | Source::AgentBased(AgentSource { encryption, .. }) => {
            *encryption = with;
        }
        Source::HyperV(_) => unreachable!("Hyper-V offers no choice"),
    }
}

fn encryption_set() -> ArmId {
    ArmId::new("/subscriptions/5f/resourceGroups/machines/providers/Microsoft.Compute/diskEncryptionSets/keys")
}

/// More servers, all of them discovered, so many in all.
fn servers(wanted: &mut MigrationSettings, seen: &mut Observed, count: usize) {
    for number in wanted.servers.len()..count {
        let name = format!("app{number:04}");
        wanted.servers.push(sample::server(wanted.scenario, &name));
        seen.machines.push(sample::machine(wanted.scenario, &name));
    }
}

fn details(item: &mut Item) -> &mut serde_json::Map<String, serde_json::Value> {
    match item {
        Item::Vmware(item) => &mut item.properties.provider_specific_details.as_mut().unwrap().rest,
        Item::HyperV(item) | Item::Agent(item) => &mut item.properties.provider_specific_details.as_mut().unwrap().rest,
    }
}

pub(super) static BREAKS: &[Break] = &[
    all("read.denied", |wanted, seen| {
        let why = "forbidden".to_owned();
        seen.unread.push(crate::control::Unread { id: wanted.vault.clone(), why });
    }),
    all("project.missing", |_, seen| seen.project = None),
    all("project.not_private", |_, seen| {
        seen.endpoints.retain(|endpoint| endpoint.name.as_deref() != Some("project"));
    }),
    all("project.public_access_off", |_, seen| {
        seen.project.as_mut().unwrap().properties.public_network_access = Some(PublicNetworkAccess::Disabled);
    }),
    // The endpoints that are there are in another network, which is peered; the subnet for new ones is small.
    all("project.few_addresses", |wanted, seen| {
        let other = id("Microsoft.Network/virtualNetworks/small");
        wanted.private_network.subnet = other.child("subnets", "endpoints");
        seen.networks.push(read(json!({ "id": other, "location": "westeurope", "properties": { "subnets": [
            { "name": "endpoints", "properties": { "addressPrefix": "10.9.0.0/28" } }
        ]}})));
    }),
    // Contributor alone, and User Access Administrator alone.
    all("project.caller", |_, seen| {
        let not_actions = ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"];
        seen.subscription_roles = Some(vec![read(json!({ "actions": ["*"], "notActions": not_actions }))]);
    }),
    all("project.caller", |_, seen| {
        seen.subscription_roles = Some(vec![read(json!({ "actions": ["*/read", "Microsoft.Authorization/*"] }))]);
    }),
    all("project.no_gateway", |_, seen| seen.gateways = Some(Vec::new())),
    all("project.no_gateway", |wanted, seen| seen.gateways = Some(vec![wanted.target.network.clone()])),
    all("project.too_many_servers", |_, seen| {
        let summary = json!({ "servers": { "instanceType": "Servers", "discoveredCount": 35_001 } });
        seen.project.as_mut().unwrap().properties.summary = Some(read(summary));
    }),
    of("appliance.no_site", VMWARE, |_, seen| seen.fabric = None),
    of("appliance.not_registered", REGISTERED, |_, seen| seen.providers.clear()),
    of("appliance.not_registered", REGISTERED, |_, seen| seen.fabric = None),
    of("appliance.key_expired", REGISTERED, |wanted, _| {
        wanted.appliance.registration_key_issued = Some("2026-11-20T08:00:00Z".parse().unwrap());
    }),
    all("appliance.proxy_not_http", |wanted, _| {
        wanted.appliance.proxy = Some("socks5://proxy:1080".into());
        wanted.appliance.proxy_bypass = vec!["cache01.blob.core.windows.net".into()];
    }),
    all("appliance.bypass_missing", |wanted, _| {
        wanted.appliance.proxy = Some("http://proxy:3128".into());
        wanted.appliance.proxy_bypass = vec!["other.blob.core.windows.net".into()];
    }),
    all("appliance.bypass_too_wide", |wanted, _| {
        wanted.appliance.proxy = Some("http://proxy:3128".into());
        wanted.appliance.proxy_bypass = vec!["*.blob.core.windows.net".into()];
    }),
    // A server is replicated already that is none of these: so the number is one of replication, not of a batch.
    of("appliance.too_many_servers", VMWARE, |_, seen| {
        for number in 0..301 {
            seen.items.push(sample::item(Scenario::VmwareAgentless, &format!("old{number}"), "Replicating", None));
        }
    }),
    all("appliance.too_many_discovered", |wanted, seen| {
        let most = match wanted.scenario {
            Scenario::VmwareAgentless => 10_000,
            Scenario::HyperV => 5_000,
            Scenario::AgentBased => 250,
        };
        let more = (2..=most).map(|number| sample::machine(wanted.scenario, &format!("more{number}")));
        seen.machines.extend(more);
    }),
    of("appliance.too_many_vcenters", VMWARE, |wanted, seen| {
        for number in 0..11 {
            let mut machine = sample::machine(wanted.scenario, &format!("more{number}"));
            machine.vcenter = Some(id(&format!("Microsoft.OffAzure/vmwareSites/site/vcenters/{number}")));
            seen.machines.push(machine);
        }
    }),
    of("appliance.port_902", VMWARE, |_, seen| seen.closed_ports.push(closed("esx1", 902))),
    of("appliance.port_9443", AGENT, |_, seen| seen.closed_ports.push(closed("ps", 9443))),
    all("appliance.batch", |wanted, seen| servers(wanted, seen, 11)),
    of("vault.missing", VMWARE, |_, seen| seen.vault = None),
    of("vault.missing", REGISTERED, |_, seen| seen.vault = None),
    all("vault.no_identity", |_, seen| seen.vault.as_mut().unwrap().identity = None),
    all("vault.region", |_, seen| seen.vault.as_mut().unwrap().location = Some("North Europe".into())),
    of("vault.members", REGISTERED, |_, seen| {
        seen.vault_link.as_mut().unwrap().properties.required_members.as_mut().unwrap().pop();
    }),
    of("vault.used", REGISTERED, |_, seen| {
        seen.vault_items = 3;
        seen.endpoints.retain(|endpoint| endpoint.name.as_deref() != Some("vault-azuresiterecovery"));
    }),
    // They lead to other parts of the vault, and nobody here may read them.
    of("vault.too_many_endpoints", REGISTERED, |_, seen| {
        seen.endpoints.retain(|endpoint| endpoint.name.as_deref() != Some("vault-azuresiterecovery"));
        let connections: Vec<_> = (0..12).map(|number| json!({ "name": format!("backup{number}") })).collect();
        let properties = &mut seen.vault.as_mut().unwrap().properties;
        properties.private_endpoint_connections = Some(read(json!(connections)));
    }),
    of("vault.addresses", REGISTERED, |_, seen| {
        let endpoint = seen.endpoints.last_mut().unwrap();
        endpoint.properties.custom_dns_configs.as_mut().unwrap().pop();
    }),
    all("storage.missing", |_, seen| seen.accounts.clear()),
    // The account is there, with all that belongs to it, in another subscription.
    all("storage.subscription", |wanted, seen| {
        wanted.project = ArmId::new(wanted.project.as_str().replace("/5f/", "/other/"));
        seen.endpoints.push(sample::endpoint("other-project", &wanted.project, "Default", &[]));
    }),
    all("storage.kind", |_, seen| account(seen).kind = Some("Storage".into())),
    all("storage.region", |_, seen| account(seen).location = Some("northeurope".into())),
    all("storage.trusted_services", |_, seen| {
        account(seen).properties.network_acls.as_mut().unwrap().bypass = Some("Logging".into());
    }),
    of("storage.no_public_endpoint", VMWARE, |_, seen| {
        account(seen).properties.public_network_access = Some(PublicNetworkAccess::Disabled);
    }),
    of("storage.premium_needs_cache", HYPER_V, |_, seen| premium(seen)),
    all("storage.not_ready", |_, seen| account(seen).properties.provisioning_state = Some("Creating".into())),
    of("endpoint.missing", VMWARE, |_, seen| {
        seen.endpoints.retain(|endpoint| endpoint.name.as_deref() != Some("cache01-blob"));
    }),
    of("endpoint.missing", REGISTERED, |_, seen| {
        seen.endpoints.retain(|endpoint| endpoint.name.as_deref() != Some("vault-azuresiterecovery"));
    }),
    all("endpoint.group", |_, seen| {
        let endpoint = seen.endpoints.iter_mut().find(|one| one.name.as_deref() == Some("cache01-blob")).unwrap();
        let connection = &mut endpoint.properties.private_link_service_connections.as_mut().unwrap()[0];
        connection.properties.group_ids = Some(vec!["file".into()]);
    }),
    all("endpoint.pending", |_, seen| status(seen, "Pending")),
    all("endpoint.rejected", |_, seen| status(seen, "Rejected")),
    all("endpoint.disconnected", |_, seen| status(seen, "Disconnected")),
    all("endpoint.network", |_, seen| {
        let other = id("Microsoft.Network/virtualNetworks/elsewhere");
        let endpoint = seen.endpoints.iter_mut().find(|one| one.name.as_deref() == Some("project")).unwrap();
        endpoint.properties.subnet = Some(other.child("subnets", "endpoints").into());
        // A peering that only one side has made joins nothing.
        seen.networks.push(read(json!({ "id": other, "properties": { "virtualNetworkPeerings": [{ "properties": {
            "peeringState": "Initiated", "remoteVirtualNetwork": { "id": id("Microsoft.Network/virtualNetworks/private") }
        }}]}})));
    }),
    all("zone.missing", |_, seen| {
        seen.zones.retain(|zone| zone.name.as_deref() != Some("privatelink.blob.core.windows.net"));
    }),
    all("zone.not_linked", |_, seen| seen.zone_links.clear()),
    all("zone.record_missing", |_, seen| {
        seen.records.retain(|record| record.name.as_deref() != Some("cache01"));
    }),
    all("zone.record_address", |_, seen| {
        let record = seen.records.iter_mut().find(|record| record.name.as_deref() == Some("cache01")).unwrap();
        record.properties.a_records = Some(vec![read(json!({ "ipv4Address": "10.1.0.77" }))]);
    }),
    of("zone.shared", REGISTERED, |_, seen| {
        let (mut endpoint, mut group) =
            (seen.endpoints.last().unwrap().clone(), seen.zone_groups.last().unwrap().clone());
        let id = id("Microsoft.Network/privateEndpoints/second");
        group.id = Some(id.child("privateDnsZoneGroups", "default"));
        endpoint.id = Some(id);
        seen.endpoints.push(endpoint);
        seen.zone_groups.push(group);
    }),
    of("role.missing", REGISTERED, |_, seen| {
        seen.grants.pop();
    }),
    of("role.wrong_tier", AGENT, |_, seen| {
        account(seen).sku = Some(read(json!({ "name": "Premium_LRS", "tier": "Premium" })));
    }),
    // Hyper-V has a standard cache account beside the premium one.
    of("role.wrong_tier", HYPER_V, |wanted, seen| {
        account(seen).sku = Some(read(json!({ "name": "Premium_LRS", "tier": "Premium" })));
        cache_account(wanted, seen, "Standard");
    }),
    of("storage.cache_premium", HYPER_V, |wanted, seen| {
        cache_account(wanted, seen, "Premium");
        seen.grants.push(grant(&cache_id(), Role::StorageBlobDataOwner));
    }),
    of("role.caller", REGISTERED, |_, seen| {
        let role = json!({ "actions": ["Microsoft.Storage/*", "*/read"], "notActions": [] });
        seen.caller_roles = Some(vec![read(role)]);
    }),
    // Contributor: everything, and access not.
    of("role.caller", REGISTERED, |_, seen| {
        let not_actions = ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"];
        seen.caller_roles = Some(vec![read(json!({ "actions": ["*"], "notActions": not_actions }))]);
    }),
    all("target.region", |_, seen| seen.regions.clear()),
    all("target.group_missing", |_, seen| seen.groups.truncate(1)),
    all("target.network_missing", |_, seen| {
        seen.networks.retain(|network| network.name.as_deref() != Some("production"));
    }),
    all("target.network_region", |_, seen| {
        let network = seen.networks.iter_mut().find(|one| one.name.as_deref() == Some("test")).unwrap();
        network.location = Some("eastus".into());
    }),
    all("target.subnet_missing", |wanted, _| wanted.target.subnet = "gone".into()),
    all("target.no_test_network", |wanted, _| wanted.target.test = None),
    all("target.test_in_production", |wanted, _| {
        wanted.target.test.as_mut().unwrap().network = wanted.target.network.clone();
    }),
    // Without a size: a size is not offered in the zone either.
    all("target.no_zones", |wanted, seen| {
        seen.regions[0].zones.clear();
        wanted.servers[0].size = None;
        wanted.servers[0].availability = Availability::Zone("1".into());
    }),
    all("target.set_missing", |wanted, _| {
        let set = "/subscriptions/5f/resourceGroups/machines/providers/Microsoft.Compute/availabilitySets/gone";
        wanted.servers[0].availability = Availability::Set(ArmId::new(set));
    }),
    all("target.set_missing", |wanted, seen| {
        let set = id("Microsoft.Compute/availabilitySets/elsewhere");
        seen.availability_sets.push(read(json!({ "id": set })));
        wanted.servers[0].availability = Availability::Set(set);
    }),
    // So as no other rule is broken, test machines go where the set's machines are.
    all("target.set_network", |wanted, seen| in_set(wanted, seen, "test")),
    of("target.set_test_network", VMWARE, |wanted, seen| in_set(wanted, seen, "production")),
    of("target.confidential_data_disks", ENCRYPTED, |wanted, seen| {
        seen.encryption_sets.push(read(json!({ "id": encryption_set(), "properties": {
            "encryptionType": "ConfidentialVmEncryptedWithCustomerKey" } })));
        encrypt(wanted, DiskEncryption::CustomerKey(encryption_set()));
        wanted.servers[0].security = Security::Confidential { secure_boot: false, encrypts_os_disk: true };
    }),
    all("target.no_spare_slot", |_, seen| seen.sizes[0].data_disks = 1),
    of("target.encryption_set_missing", ENCRYPTED, |wanted, _| {
        encrypt(wanted, DiskEncryption::CustomerKey(encryption_set()));
    }),
    of("target.encryption_set_kind", ENCRYPTED, |wanted, seen| {
        seen.encryption_sets.push(read(json!({ "id": encryption_set(), "properties": {
            "encryptionType": "EncryptionAtRestWithCustomerKey" } })));
        encrypt(wanted, DiskEncryption::PlatformAndCustomerKey(encryption_set()));
    }),
    all("target.boot_diagnostics", |wanted, _| {
        let account = "/subscriptions/other/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/diag";
        wanted.target.boot_diagnostics = Some(ArmId::new(account));
    }),
    all("target.size_unknown", |wanted, _| wanted.servers[0].size = Some("Standard_Z99".into())),
    all("target.size_too_small", |_, seen| seen.sizes[0].data_disks = 0),
    all("target.security_generation", |wanted, seen| {
        wanted.servers[0].security = Security::TrustedLaunch { secure_boot: false };
        seen.machines[0].firmware = Some(Firmware::Bios);
    }),
    of("target.secure_boot", AGENT, |wanted, _| {
        wanted.servers[0].security = Security::TrustedLaunch { secure_boot: true };
    }),
    // What only the kind of migration has is another's; the machine is the same.
    all("server.scenario", |wanted, _| {
        let machine = wanted.servers[0].source.machine().clone();
        let account = id("Microsoft.OffAzure/vmwareSites/site/runAsAccounts/account");
        wanted.servers[0].source = if wanted.scenario == Scenario::VmwareAgentless {
            let (process_server, encryption) = ("ps".to_owned(), DiskEncryption::PlatformKey);
            Source::AgentBased(AgentSource { machine, process_server, run_as_account: None, encryption })
        } else {
            Source::VmwareAgentless(VmwareSource {
                machine,
                data_mover_account: account.clone(),
                snapshot_account: account,
                encryption: DiskEncryption::PlatformKey,
                resyncs_by_itself: true,
            })
        };
    }),
    all("server.unknown", |_, seen| {
        seen.machines.remove(0);
    }),
    all("server.twice", |wanted, _| {
        let mut again = wanted.servers[0].clone();
        again.name = "again01".into();
        again.item = "again01".into();
        again.disks[1].name = None;
        wanted.servers.push(again);
    }),
    all("server.name", |wanted, _| wanted.servers[0].name = "web_01".into()),
    all("server.name", |wanted, _| wanted.servers[0].name = "w".repeat(64)),
    all("server.name", |wanted, _| wanted.servers[0].name = "-web01".into()),
    all("server.name_twice", |wanted, _| wanted.servers[1].name = "WEB01".into()),
    all("server.name_taken", |_, seen| seen.vm_names.push("Web01".into())),
    all("server.windows_name", |wanted, _| wanted.servers[0].name = "a-very-long-name".into()),
    all("server.windows_licence", |wanted, seen| {
        wanted.servers[0].licences.windows = WindowsLicence::HybridBenefit;
        seen.machines[0].os.as_mut().unwrap().family = Some(OsFamily::Linux);
        seen.machines[0].firmware = Some(Firmware::Bios);
    }),
    all("server.linux_licence", |wanted, _| wanted.servers[0].licences.linux = LinuxLicence::HybridBenefit),
    of("server.account_missing", VMWARE, |wanted, _| {
        if let Source::VmwareAgentless(source) = &mut wanted.servers[0].source {
            source.snapshot_account = ArmId::new("");
        }
    }),
    all("server.guest_32_bit", |_, seen| {
        seen.machines[0].os.as_mut().unwrap().architecture = Some("32-bit".into());
    }),
    of("server.change_tracking_unsupported", VMWARE, |_, seen| {
        seen.machines[0].change_tracking = Some(ChangeTracking::Unsupported);
    }),
    of("server.snapshots", VMWARE, |_, seen| {
        seen.machines[0].change_tracking = Some(ChangeTracking::Off);
        seen.machines[0].snapshots = Some(1);
    }),
    of("server.snapshots", VMWARE, |_, seen| seen.machines[0].snapshots = Some(3)),
    of("server.change_tracking_off", VMWARE, |_, seen| {
        seen.machines[0].change_tracking = Some(ChangeTracking::Off);
        seen.machines[0].snapshots = Some(0);
    }),
    of("disk.vmdk_name", VMWARE, |_, seen| {
        seen.machines[0].disks[1].file = Some("[store] web01/b\u{fc}cher.vmdk".into());
    }),
    all("disk.bitlocker", |_, seen| seen.machines[0].disks[0].is_bitlocker = Some(true)),
    all("disk.encrypted", |_, seen| seen.machines[0].disks[1].facts.is_encrypted = Some(true)),
    all("disk.shared", |_, seen| seen.machines[0].disks[1].facts.is_shared = Some(true)),
    of("disk.passthrough", AGENTLESS, |_, seen| seen.machines[0].disks[1].facts.is_passthrough = Some(true)),
    all("disk.fibre_channel", |_, seen| seen.machines[0].disks[1].facts.is_fibre_channel = Some(true)),
    of("guest.iscsi", AGENTLESS, |_, seen| seen.machines[0].guest.has_iscsi_disks = Some(true)),
    of("guest.multipath", ENCRYPTED, |_, seen| seen.machines[0].guest.has_multipath = Some(true)),
    all("guest.teamed_nics", |_, seen| seen.machines[0].guest.has_teamed_nics = Some(true)),
    all("guest.nfs", |_, seen| seen.machines[0].guest.has_nfs_volumes = Some(true)),
    of("appliance.blackout", VMWARE, |_, seen| {
        let at = |text: &str| text.parse().unwrap();
        let past = Blackout { from: at("2026-11-24T08:00:00Z"), until: at("2026-11-25T08:00:00Z") };
        let present = Blackout { from: past.until, until: at("2026-11-25T09:00:00Z") };
        seen.blackouts = vec![past, present];
    }),
    of("disk.partitions", AGENT, |_, seen| seen.machines[0].disks[0].facts.partitions = Some(5)),
    of("disk.file_system", AGENT, |_, seen| {
        seen.machines[0].disks[0].facts.file_systems = Some(vec!["ntfs".into(), "ReFS".into()]);
    }),
    of("server.host_version", HYPER_V, |_, seen| {
        seen.machines[0].host_os = Some("Windows Server 2012".into());
        seen.machines[1].host_os = Some("Microsoft Windows Server 2012 R2 Datacenter".into());
    }),
    of("server.site_recovery", HYPER_V, |_, seen| seen.machines[0].is_on_site_recovery = Some(true)),
    of("server.uefi_conversion", HYPER_V, |_, seen| {
        seen.machines[0].os.as_mut().unwrap().name = Some("Windows Server 2008 R2".into());
    }),
    of("server.uefi_conversion", HYPER_V, |_, seen| {
        seen.machines[0].os.as_mut().unwrap().family = Some(OsFamily::Linux);
    }),
    of("server.uefi_conversion", HYPER_V, |_, seen| seen.machines[0].disks[0].facts.partitions = Some(6)),
    of("server.uefi_conversion", HYPER_V, |_, seen| seen.machines[0].disks[0].size_bytes = Some(300 * GIB)),
    of("guest.san_policy", HYPER_V, |_, seen| seen.machines[0].guest.is_san_policy_online_all = Some(false)),
    all("guest.connections", |_, seen| seen.machines[0].guest.takes_connections = Some(false)),
    of("guest.linux_drivers", ENCRYPTED, |_, seen| {
        seen.machines[0].os.as_mut().unwrap().family = Some(OsFamily::Linux);
        seen.machines.iter_mut().for_each(|machine| machine.guest.has_hyper_v_drivers = Some(false));
    }),
    // Nine servers of six disks each.
    of("capacity.appliance", VMWARE, |wanted, seen| {
        servers(wanted, seen, 9);
        for (server, machine) in wanted.servers.iter_mut().zip(&mut seen.machines) {
            for number in 0..4 {
                let id = format!("{}-more-{number}", server.name);
                machine.disks.push(MachineDisk { id: id.clone(), ..machine.disks[1].clone() });
                server.disks.push(DiskSettings::new(id, DiskType::StandardLrs));
            }
        }
    }),
    of("capacity.host", VMWARE, |wanted, seen| {
        servers(wanted, seen, 5);
        seen.machines.iter_mut().for_each(|machine| machine.host = Some("esx1".into()));
    }),
    of("capacity.datastore", VMWARE, |wanted, seen| {
        servers(wanted, seen, 8);
        for disk in seen.machines.iter_mut().flat_map(|machine| &mut machine.disks) {
            disk.file = Some(format!("[store] {0}/{0}.vmdk", disk.id));
        }
    }),
    all("disk.no_os_disk", |wanted, _| wanted.servers[0].disks[0].is_os = false),
    all("disk.two_os_disks", |wanted, _| wanted.servers[0].disks[1].is_os = true),
    all("disk.twice", |wanted, _| {
        let mut again = wanted.servers[0].disks[1].clone();
        again.id = again.id.to_uppercase();
        again.name = None;
        wanted.servers[0].disks.push(again);
    }),
    all("disk.unknown", |_, seen| {
        seen.machines[0].disks.pop();
    }),
    all("disk.left_out", |wanted, _| {
        wanted.servers[0].disks.pop();
    }),
    // The size is left to the service: no size takes so many.
    all("disk.too_many", |wanted, seen| {
        wanted.servers[0].size = None;
        for number in 0..64 {
            let id = format!("more-{number}");
            let disk = MachineDisk { id: id.clone(), ..seen.machines[0].disks[0].clone() };
            seen.machines[0].disks.push(disk);
            wanted.servers[0].disks.push(DiskSettings::new(id, DiskType::StandardLrs));
        }
    }),
    all("disk.os_too_large", |_, seen| seen.machines[0].disks[0].size_bytes = Some(4097 * GIB)),
    of("disk.os_too_large", AGENT, |_, seen| {
        seen.machines[0].firmware = Some(Firmware::Bios);
        seen.machines[0].disks[0].size_bytes = Some(2048 * GIB + 1);
    }),
    all("disk.data_too_large", |_, seen| seen.machines[0].disks[1].size_bytes = Some(32768 * GIB + 1)),
    of("disk.data_too_large", HYPER_V, |_, seen| seen.machines[0].disks[1].size_bytes = Some(4095 * GIB + 1)),
    of("disk.independent", VMWARE, |_, seen| seen.machines[0].disks[1].mode = Some("independent_persistent".into())),
    all("disk.name", |wanted, _| wanted.servers[0].disks[1].name = Some("data.".into())),
    all("disk.name", |wanted, _| wanted.servers[0].disks[1].name = Some("d".repeat(81))),
    all("disk.name_taken", |_, seen| seen.disk_names.push("WEB01-data".into())),
    all("nic.name_taken", |wanted, seen| {
        wanted.servers[0].nics[0].name = Some("web01-nic".into());
        seen.interfaces.push(read(json!({ "name": "Web01-NIC", "properties": {} })));
    }),
    all("disk.name_twice", |wanted, _| wanted.servers[0].disks[1].name = Some("DB01-data".into())),
    all("nic.primary", |wanted, _| wanted.servers[0].nics[0].role = NicRole::NotCreated),
    all("nic.twice", |wanted, _| {
        let mut again = wanted.servers[0].nics[0].clone();
        again.role = NicRole::NotCreated;
        wanted.servers[0].nics.push(again);
    }),
    all("nic.unknown", |_, seen| seen.machines[0].nics.clear()),
    all("nic.name", |wanted, _| wanted.servers[0].nics[0].name = Some("nic/0".into())),
    all("nic.name_twice", |wanted, _| {
        wanted.servers[0].nics[0].name = Some("nic".into());
        wanted.servers[1].nics[0].name = Some("NIC".into());
    }),
    all("nic.ipv6", |wanted, _| sample::address(&mut wanted.servers[0], "fd00::5".parse().unwrap())),
    all("nic.address_twice", |wanted, _| {
        for server in &mut wanted.servers {
            sample::address(server, "10.2.0.9".parse().unwrap());
        }
    }),
    all("tag.too_many", |wanted, _| {
        wanted.servers[0].tags.disk = (0..50).map(|number| (format!("key{number}"), String::new())).collect();
    }),
    all("tag.key", |wanted, _| {
        wanted.servers[0].tags.vm = [("cost/centre".to_owned(), String::new())].into();
    }),
    all("tag.key", |wanted, _| wanted.servers[0].tags.nic = [("k".repeat(513), String::new())].into()),
    all("tag.value", |wanted, _| wanted.servers[0].tags.vm = [("key".to_owned(), "v".repeat(257))].into()),
    all("tag.twice", |wanted, _| {
        wanted.servers[0].tags.vm = [("Owner".to_owned(), "a".to_owned()), ("owner".to_owned(), "b".to_owned())].into();
    }),
    of("change.region", VMWARE, |_, seen| {
        seen.mapping = Some(read(json!({ "properties": { "providerSpecificDetails": {
            "instanceType": "VMwareCbt", "targetLocation": "northeurope", "storageAccountId": account_id() } } })));
    }),
    of("change.account", VMWARE, |_, seen| {
        seen.mapping = Some(read(json!({ "properties": { "providerSpecificDetails": {
            "instanceType": "VMwareCbt", "targetLocation": "westeurope", "storageAccountId": vault_id() } } })));
    }),
    of("change.after_start", VMWARE, |_, seen| {
        let mut item = sample::item(Scenario::VmwareAgentless, "web01", "Replicating", None);
        details(&mut item).insert("protectedDisks".into(), json!([{ "diskId": "web01-os" }]));
        seen.items.push(item);
    }),
    of("change.after_start", HYPER_V, |_, seen| {
        let mut item = sample::item(Scenario::HyperV, "web01", "Protected", None);
        details(&mut item).insert("recoveryAzureStorageAccount".into(), json!(cache_id()));
        seen.items.push(item);
    }),
    of("change.after_start", AGENT, |_, seen| {
        let mut item = sample::item(Scenario::AgentBased, "web01", "Protected", None);
        details(&mut item).insert("targetLocation".into(), json!("northeurope"));
        seen.items.push(item);
    }),
    of("change.late", HYPER_V, |_, seen| {
        let mut item = sample::item(Scenario::HyperV, "web01", "Protected", None);
        details(&mut item).insert("recoveryAzureVMSize".into(), json!("Standard_D2s_v5"));
        seen.items.push(item);
    }),
    of("change.late", AGENT, |_, seen| {
        let mut item = sample::item(Scenario::AgentBased, "web01", "Protected", None);
        details(&mut item).insert("targetVmName".into(), json!("web02"));
        seen.items.push(item);
    }),
    all("change.policy", |wanted, seen| {
        let theirs = wanted.vault.child("replicationPolicies", "theirs");
        seen.mapping.as_mut().unwrap().properties.policy_id = Some(theirs);
    }),
];

fn closed(host: &str, port: u16) -> ClosedPort {
    ClosedPort { host: host.to_owned(), port }
}

/// Puts the first server into an availability set that has a machine in that network.
fn in_set(wanted: &mut MigrationSettings, seen: &mut Observed, network: &str) {
    let compute =
        |rest: &str| wanted.target.resource_group.as_str().to_owned() + "/providers/Microsoft.Compute/" + rest;
    let (set, machine) = (compute("availabilitySets/set"), compute("virtualMachines/old"));
    let subnet = id(&format!("Microsoft.Network/virtualNetworks/{network}")).child("subnets", "machines");
    wanted.servers[0].availability = Availability::Set(ArmId::new(&set));
    seen.availability_sets.push(read(json!({ "id": set, "properties": { "virtualMachines": [{ "id": machine }] } })));
    seen.interfaces.push(read(json!({ "name": "old-nic", "properties": {
        "virtualMachine": { "id": machine.to_uppercase() },
        "ipConfigurations": [{ "name": "ipconfig", "properties": { "subnet": { "id": subnet } } }] } })));
}

fn cache_id() -> ArmId {
    id("Microsoft.Storage/storageAccounts/cache02")
}

/// A cache account of that tier beside the replication account, with everything that it needs.
fn cache_account(wanted: &mut MigrationSettings, seen: &mut Observed, tier: &str) {
    let id = cache_id();
    let name = "cache02.blob.core.windows.net";
    let address = std::net::Ipv4Addr::new(10, 1, 0, 5);
    let mut account: StorageAccount = account(seen).clone();
    account.id = Some(id.clone());
    account.sku = Some(read(json!({ "name": format!("{tier}_LRS"), "tier": tier })));
    account.properties.network_acls.as_mut().unwrap().default_action = Some(DefaultAction::Allow);
    seen.accounts.push(account);
    seen.endpoints.push(sample::endpoint("cache02-blob", &id, "blob", &[(name, address)]));
    let record = sample::id("Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net/A/cache02");
    seen.records.push(read(json!({ "id": record, "properties": { "aRecords": [{ "ipv4Address": address }] } })));
    seen.grants.extend(Role::for_account(false).map(|role| grant(&id, role)));
    wanted.cache_account = Some(id);
}
