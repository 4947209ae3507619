//! A migration in which everything is as it should be, for the tests of rules and plans: one of each kind.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::lifecycle::wire::{Item, MigrationItem, ProtectedItem};
use super::model::{
    DiskFacts, DiskType, Firmware, GuestFacts, Machine, MachineDisk, MachineNic, MachineOs, OsFamily, Role, RoleGrant,
};
use super::observed::{Observed, Region};
use super::settings::{
    AgentSource, Appliance, Availability, DiskEncryption, DiskSettings, HyperVSource, Licences, MigrationSettings,
    NicPlace, NicRole, NicSettings, PrivateNetwork, Security, ServerSettings, SizeChoice, Source, Tags, TargetSettings,
    TestNetwork, VmwareSource,
};
use super::{ArmId, Scenario};
use crate::private_link::Cloud;

const GROUP: &str = "/subscriptions/5f/resourceGroups/migrate";
pub(crate) const PRINCIPAL: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn id(rest: &str) -> ArmId {
    ArmId::new(format!("{GROUP}/providers/{rest}"))
}

pub(crate) fn vault_id() -> ArmId {
    id("Microsoft.RecoveryServices/vaults/vault")
}

pub(crate) fn account_id() -> ArmId {
    id("Microsoft.Storage/storageAccounts/cache01")
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

fn machine_id(name: &str) -> ArmId {
    id(&format!("Microsoft.OffAzure/sites/site/machines/{name}"))
}

fn source(scenario: Scenario, name: &str) -> Source {
    let machine = machine_id(name);
    let account = id("Microsoft.OffAzure/vmwareSites/site/runAsAccounts/account");
    let encryption = DiskEncryption::PlatformKey;
    match scenario {
        Scenario::VmwareAgentless => Source::VmwareAgentless(VmwareSource {
            machine,
            data_mover_account: account.clone(),
            snapshot_account: account,
            encryption,
            resyncs_by_itself: true,
        }),
        Scenario::HyperV => Source::HyperV(HyperVSource {
            machine,
            protectable_item: container().child("replicationProtectableItems", name),
            host_vm_id: format!("{name}-on-its-host"),
            os_type: "Windows".to_owned(),
        }),
        Scenario::AgentBased => {
            Source::AgentBased(AgentSource { machine, process_server: "ps".into(), run_as_account: None, encryption })
        }
    }
}

pub(crate) fn container() -> ArmId {
    vault_id().child("replicationFabrics", "site").child("replicationProtectionContainers", "container")
}

pub(crate) fn server(scenario: Scenario, name: &str) -> ServerSettings {
    let place = NicPlace { subnet: Some("machines".into()), ..NicPlace::default() };
    ServerSettings {
        source: source(scenario, name),
        item: name.to_owned(),
        name: name.to_owned(),
        size: Some("Standard_D4s_v5".to_owned()),
        availability: Availability::None,
        licences: Licences::default(),
        security: Security::Standard,
        tags: Tags::default(),
        disks: vec![
            DiskSettings::new(format!("{name}-os"), DiskType::PremiumLrs).with_os(),
            DiskSettings::new(format!("{name}-data"), DiskType::StandardLrs).named(format!("{name}-data")),
        ],
        nics: vec![NicSettings { id: "nic0".into(), name: None, role: NicRole::Primary(place) }],
    }
}

pub(crate) fn machine(scenario: Scenario, name: &str) -> Machine {
    let disk = |id: String, gib: u64| MachineDisk {
        id,
        name: None,
        size_bytes: Some(gib * GIB),
        is_os: None,
        mode: None,
        file: None,
        is_bitlocker: None,
        facts: DiskFacts::default(),
    };
    Machine {
        id: Some(machine_id(name)),
        name: name.to_owned(),
        scenario,
        fqdn: None,
        cores: Some(4),
        memory_mb: Some(16 << 10),
        os: Some(MachineOs { family: Some(OsFamily::Windows), name: None, version: None, architecture: None }),
        firmware: Some(Firmware::Uefi),
        disks: vec![disk(format!("{name}-os"), 128), disk(format!("{name}-data"), 512)],
        nics: vec![MachineNic { id: "nic0".into(), mac: None, addresses: Vec::new(), network: None }],
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

/// A replicated server, as the service has it in that state.
pub(crate) fn item(scenario: Scenario, name: &str, state: &str, test: Option<&str>) -> Item {
    let id = container().child(scenario.resource(), name).to_string();
    match scenario {
        Scenario::VmwareAgentless => {
            Item::Vmware(read::<MigrationItem>(json!({ "id": id, "name": name, "properties": {
                "migrationState": state, "testMigrateState": test.unwrap_or("None"),
                "providerSpecificDetails": { "instanceType": "VMwareCbt", "targetVmName": name },
            }})))
        }
        Scenario::HyperV => Item::HyperV(protected(&id, name, state, test)),
        Scenario::AgentBased => Item::Agent(protected(&id, name, state, test)),
    }
}

fn protected(id: &str, name: &str, state: &str, test: Option<&str>) -> ProtectedItem {
    let mut body = json!({ "id": id, "name": name, "properties": { "protectionState": state,
        "providerSpecificDetails": {} } });
    if let Some(test) = test {
        body["properties"]["testFailoverState"] = json!(test);
    }
    read(body)
}

/// What is wanted: two servers.
pub(crate) fn settings(scenario: Scenario) -> MigrationSettings {
    let network = |name: &str| id(&format!("Microsoft.Network/virtualNetworks/{name}"));
    MigrationSettings {
        scenario,
        cloud: Cloud::Public,
        project: id("Microsoft.Migrate/migrateProjects/project"),
        vault: vault_id(),
        region: "westeurope".to_owned(),
        private_network: PrivateNetwork {
            subnet: network("private").child("subnets", "endpoints"),
            endpoint_group: ArmId::new(GROUP),
            may_approve: true,
            zone_group: ArmId::new(GROUP),
        },
        replication_account: account_id(),
        cache_account: None,
        container: container(),
        appliance: Appliance::default(),
        target: TargetSettings {
            resource_group: ArmId::new("/subscriptions/5f/resourceGroups/machines"),
            network: network("production"),
            subnet: "machines".to_owned(),
            test: Some(TestNetwork { network: network("test"), subnet: "machines".to_owned() }),
            boot_diagnostics: None,
        },
        servers: vec![server(scenario, "web01"), server(scenario, "db01")],
    }
}

/// A private endpoint that leads to `target`, approved, with the names and addresses given.
pub(crate) fn endpoint(
    name: &str,
    target: &ArmId,
    group: &str,
    names: &[(&str, Ipv4Addr)],
) -> super::model::PrivateEndpoint {
    let names: Vec<Value> = names.iter().map(|(name, at)| json!({ "fqdn": name, "ipAddresses": [at] })).collect();
    read(json!({
        "id": id(&format!("Microsoft.Network/privateEndpoints/{name}")), "name": name, "location": "westeurope",
        "properties": {
            "provisioningState": "Succeeded",
            "subnet": { "id": id("Microsoft.Network/virtualNetworks/private/subnets/endpoints") },
            "privateLinkServiceConnections": [{ "name": "c", "properties": {
                "privateLinkServiceId": target, "groupIds": [group],
                "privateLinkServiceConnectionState": { "status": "Approved", "description": "", "actionsRequired": "None" },
            }}],
            "customDnsConfigs": names,
        },
    }))
}

/// The names of the vault's private endpoint, in the order of its addresses.
const VAULT_NAMES: [&str; 5] = ["id1", "prot2", "rcm1", "srs1", "tel1"];

fn record(zone: &str, label: &str, address: Ipv4Addr) -> super::model::RecordSet {
    read(json!({
        "id": id(&format!("Microsoft.Network/privateDnsZones/{zone}/A/{label}")), "name": label,
        "properties": { "ttl": 10, "aRecords": [{ "ipv4Address": address }] },
    }))
}

fn zone_parts(seen: &mut Observed, zone: &str, endpoint: &str) {
    let zone_id = id(&format!("Microsoft.Network/privateDnsZones/{zone}"));
    seen.zones.push(read(json!({ "id": zone_id, "name": zone, "location": "global" })));
    seen.zone_links.push(read(json!({
        "id": zone_id.child("virtualNetworkLinks", "private-link"), "name": "private-link",
        "properties": { "virtualNetwork": { "id": id("Microsoft.Network/virtualNetworks/private") }, "registrationEnabled": false },
    })));
    let group = id(&format!("Microsoft.Network/privateEndpoints/{endpoint}")).child("privateDnsZoneGroups", "default");
    seen.zone_groups.push(read(json!({ "id": group, "name": "default", "properties": {
        "privateDnsZoneConfigs": [{ "name": "zone", "properties": { "privateDnsZoneId": zone_id } }],
    }})));
}

fn network(name: &str, prefix: &str, subnet: &str) -> super::model::VirtualNetwork {
    let network = id(&format!("Microsoft.Network/virtualNetworks/{name}"));
    read(json!({ "id": network, "name": name, "location": "West Europe", "properties": {
        "subnets": [{ "id": network.child("subnets", subnet), "name": subnet, "properties": { "addressPrefix": prefix } }],
    }}))
}

/// A size that fits the sample's servers.
pub(crate) fn size(name: &str) -> SizeChoice {
    SizeChoice {
        name: name.to_owned(),
        cores: 4,
        memory_mib: 16 << 10,
        data_disks: 8,
        nics: 2,
        gpus: 0,
        premium_disks: true,
        generations: vec![1, 2],
        zones: vec!["1".into(), "2".into()],
        restrictions: Vec::new(),
    }
}

/// What is there before the first server is enabled: everything.
pub(crate) fn observed(scenario: Scenario) -> Observed {
    let account = account_id();
    let address = Ipv4Addr::new(10, 1, 0, 4);
    let mut seen = Observed {
        regions: vec![Region { name: "westeurope".into(), zones: vec!["1".into(), "2".into()] }],
        groups: vec![ArmId::new(GROUP), ArmId::new("/subscriptions/5f/resourceGroups/machines")],
        project: Some(read(json!({ "id": id("Microsoft.Migrate/migrateProjects/project"), "properties": {} }))),
        vault: Some(read(json!({ "id": vault_id(), "name": "vault", "location": "westeurope",
            "identity": { "type": "SystemAssigned", "principalId": PRINCIPAL },
            "properties": { "privateEndpointStateForSiteRecovery": "Enabled" } }))),
        accounts: vec![read(json!({ "id": account, "name": "cache01", "location": "westeurope", "kind": "StorageV2",
            "sku": { "name": "Standard_LRS", "tier": "Standard" },
            "properties": { "provisioningState": "Succeeded",
                "networkAcls": { "defaultAction": "Deny", "bypass": "AzureServices" } } }))],
        networks: vec![
            network("private", "10.1.0.0/24", "endpoints"),
            network("production", "10.2.0.0/24", "machines"),
            network("test", "10.3.0.0/24", "machines"),
        ],
        fabric: Some(read(json!({ "id": vault_id().child("replicationFabrics", "site"), "name": "site" }))),
        providers: vec![read(json!({ "name": "provider" }))],
        mapping: Some(mapping(scenario)),
        machines: vec![machine(scenario, "web01"), machine(scenario, "db01")],
        sizes: vec![size("Standard_D4s_v5")],
        ..Observed::default()
    };
    let project = id("Microsoft.Migrate/migrateProjects/project");
    seen.endpoints.push(endpoint("project", &project, "Default", &[]));
    let blob = "cache01.blob.core.windows.net";
    seen.endpoints.push(endpoint("cache01-blob", &account, "blob", &[(blob, address)]));
    zone_parts(&mut seen, "privatelink.blob.core.windows.net", "cache01-blob");
    seen.records.push(record("privatelink.blob.core.windows.net", "cache01", address));
    if scenario != Scenario::VmwareAgentless {
        vault_way(&mut seen);
        for role in Role::for_account(false) {
            seen.grants.push(grant(&account, role));
        }
    }
    seen
}

fn mapping(scenario: Scenario) -> super::model::ContainerMapping {
    let details = match scenario {
        Scenario::VmwareAgentless => {
            json!({ "instanceType": "VMwareCbt", "targetLocation": "West Europe", "storageAccountId": account_id() })
        }
        Scenario::HyperV => json!({}),
        Scenario::AgentBased => json!({ "instanceType": "InMageRcm" }),
    };
    let policy = vault_id().child("replicationPolicies", "migratesitepolicy");
    read(
        json!({ "name": "containermapping", "properties": { "policyId": policy, "providerSpecificDetails": details } }),
    )
}

fn vault_way(seen: &mut Observed) {
    let zone = "privatelink.siterecovery.windowsazure.com";
    let label = |kind: &str| format!("7548582474929277163-asr-pod01-{kind}.we");
    let names: Vec<(String, Ipv4Addr)> = VAULT_NAMES
        .iter()
        .zip(10..)
        .map(|(kind, last)| (format!("{}.{zone}", label(kind)), Ipv4Addr::new(10, 1, 0, last)))
        .collect();
    let told: Vec<(&str, Ipv4Addr)> = names.iter().map(|(name, at)| (&**name, *at)).collect();
    seen.endpoints.push(endpoint("vault-azuresiterecovery", &vault_id(), "AzureSiteRecovery", &told));
    zone_parts(seen, zone, "vault-azuresiterecovery");
    for (kind, (_, address)) in VAULT_NAMES.iter().zip(&names) {
        seen.records.push(record(zone, &label(kind), *address));
    }
    let members: Vec<String> = VAULT_NAMES.iter().map(|kind| format!("SiteRecovery-{kind}")).collect();
    seen.vault_link = Some(read(json!({ "name": "AzureSiteRecovery", "properties": {
        "groupId": "AzureSiteRecovery", "requiredMembers": members } })));
}

/// The role, given to the vault's identity.
pub(crate) fn grant(scope: &ArmId, role: Role) -> super::model::RoleAssignment {
    let grant = RoleGrant { scope: scope.clone(), principal: PRINCIPAL.to_owned(), role };
    let mut body = grant.body().unwrap();
    body.properties.scope = Some(scope.clone());
    body
}

/// A fixed address for the interface of a server.
pub(crate) fn address(server: &mut ServerSettings, address: IpAddr) {
    if let Some(NicSettings { role: NicRole::Primary(place), .. }) = server.nics.first_mut() {
        place.address = Some(address);
    }
}
