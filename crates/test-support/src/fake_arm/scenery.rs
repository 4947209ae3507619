//! What is there before "Replicate" is clicked: groups, networks, a project, a site with discovered machines, a
//! vault with what the appliance or the hosts registered, and a storage account.
//!
//! The vault has no identity yet, nothing has a private endpoint, and nothing is granted: that is what the article
//! goes on to do (Microsoft Learn, "Migrate servers to Azure by using Private Link", 2022-12-14).

use serde_json::{Value, json};

use super::world::World;

/// The subscription of everything.
pub const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

/// The resource group of the project, the vault and the storage account.
pub const GROUP: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/migrate-rg";

pub(super) const REGION: &str = "centralus";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Vmware,
    HyperV,
    AgentBased,
}

/// A place to migrate from; what is in it can be asked for by the methods, as resource ids.
#[derive(Clone, Debug)]
pub struct Scenery {
    pub(super) kind: Kind,
    machines: u32,
    premium: bool,
}

impl Scenery {
    /// Machines of `VMware`, discovered by an appliance that also replicates them.
    pub fn vmware() -> Self {
        Self { kind: Kind::Vmware, machines: 3, premium: false }
    }

    /// Machines of Hyper-V, whose hosts are registered with the vault.
    pub fn hyper_v() -> Self {
        Self { kind: Kind::HyperV, machines: 3, premium: false }
    }

    /// Servers with an agent, and a replication appliance.
    pub fn agent_based() -> Self {
        Self { kind: Kind::AgentBased, machines: 3, premium: false }
    }

    /// The same with so many machines.
    #[must_use]
    pub fn with_machines(mut self, machines: u32) -> Self {
        self.machines = machines;
        self
    }

    /// The same with a premium storage account.
    #[must_use]
    pub fn with_premium_account(mut self) -> Self {
        self.premium = true;
        self
    }

    /// The resource group that machines are migrated to.
    pub fn target_group(&self) -> String {
        format!("{SUBSCRIPTION}/resourceGroups/target-rg")
    }

    /// The network of the private endpoints, and of the migrated machines.
    pub fn network(&self) -> String {
        format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/migrate-vnet")
    }

    /// The subnet of the private endpoints.
    pub fn subnet(&self) -> String {
        format!("{}/subnets/endpoints", self.network())
    }

    /// The network of test machines.
    pub fn test_network(&self) -> String {
        format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/test-vnet")
    }

    /// The project.
    pub fn project(&self) -> String {
        format!("{GROUP}/providers/Microsoft.Migrate/migrateProjects/project1")
    }

    /// The site that the machines were discovered for.
    pub fn site(&self) -> String {
        let kind = match self.kind {
            Kind::Vmware => "vmwareSites",
            Kind::HyperV => "hypervSites",
            Kind::AgentBased => "serverSites",
        };
        format!("{GROUP}/providers/Microsoft.OffAzure/{kind}/site1")
    }

    /// A discovered machine; from 1.
    pub fn machine(&self, number: u32) -> String {
        format!("{}/machines/{}", self.site(), machine_name(number))
    }

    /// The account that the appliance uses at the source.
    pub fn run_as_account(&self) -> String {
        format!("{}/runAsAccounts/account1", self.site())
    }

    /// The vault.
    pub fn vault(&self) -> String {
        format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/vault1")
    }

    /// The fabric that the appliance or the hosts registered.
    pub fn fabric(&self) -> String {
        format!("{}/replicationFabrics/fabric1", self.vault())
    }

    /// The container of the fabric.
    pub fn container(&self) -> String {
        format!("{}/replicationProtectionContainers/container1", self.fabric())
    }

    /// A machine of Hyper-V as the vault knows it; from 1.
    pub fn protectable_item(&self, number: u32) -> String {
        format!("{}/replicationProtectableItems/{}", self.container(), machine_name(number))
    }

    /// The storage account for the cache.
    pub fn account(&self) -> String {
        format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/cache01")
    }

    /// The identity of the process server of a replication appliance.
    pub fn process_server(&self) -> &'static str {
        "b3a1f0c2-0000-4000-8000-000000000001"
    }

    pub(super) fn set_up(&self, world: &mut World) {
        world.knobs.location = REGION.into();
        for group in [GROUP.to_owned(), self.target_group()] {
            world.put(&group, json!({ "location": REGION, "properties": { "provisioningState": "Succeeded" } }));
        }
        self.networks(world);
        self.account_of_the_cache(world);
        self.the_project(world);
        self.the_site(world);
        self.the_vault(world);
    }

    fn networks(&self, world: &mut World) {
        let networks =
            [(self.network(), "10.0.0.0/16", "10.0.1.0/24"), (self.test_network(), "10.9.0.0/16", "10.9.1.0/24")];
        for (network, space, prefix) in networks {
            let subnet = format!("{network}/subnets/endpoints");
            let properties = json!({ "addressPrefix": prefix, "provisioningState": "Succeeded", "privateEndpointNetworkPolicies": "Disabled" });
            world.put(&subnet, json!({ "etag": "new", "properties": properties }));
            let shown = world.get(&subnet).cloned().unwrap_or_default();
            world.put(
                &network,
                json!({
                    "location": REGION, "etag": "new",
                    "properties": {
                        "addressSpace": { "addressPrefixes": [space] }, "subnets": [shown],
                        "provisioningState": "Succeeded",
                    },
                }),
            );
        }
    }

    fn account_of_the_cache(&self, world: &mut World) {
        let (sku, tier) = if self.premium { ("Premium_LRS", "Premium") } else { ("Standard_LRS", "Standard") };
        let properties = json!({
            "provisioningState": "Succeeded",
            "creationTime": world.now(),
            "primaryLocation": REGION,
            "statusOfPrimary": "available",
            "primaryEndpoints": { "blob": "https://cache01.blob.core.windows.net/" },
            "networkAcls": { "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "defaultAction": "Allow" },
            "privateEndpointConnections": [],
            "supportsHttpsTrafficOnly": true,
        });
        world.put(
            &self.account(),
            json!({ "location": REGION, "sku": { "name": sku, "tier": tier }, "kind": "StorageV2", "tags": {}, "properties": properties }),
        );
    }

    fn the_project(&self, world: &mut World) {
        world.put(
            &self.project(),
            json!({
                "location": REGION,
                "properties": {
                    "publicNetworkAccess": "Enabled",
                    "privateEndpointConnections": [], "registeredTools": ["ServerDiscovery", "ServerMigration"],
                },
            }),
        );
        let map = json!([{ "ApplianceName": "appliance1", "SiteId": self.site() }]).to_string();
        let solutions = [
            (
                "Servers-Discovery-ServerDiscovery",
                "ServerDiscovery",
                "Discovery",
                json!({ "applianceNameToSiteIdMapV2": map }),
            ),
            ("Servers-Migration-ServerMigration", "ServerMigration", "Migration", json!({ "vaultId": self.vault() })),
        ];
        for (name, tool, purpose, extended) in solutions {
            world.put(
                &format!("{}/solutions/{name}", self.project()),
                json!({ "properties": {
                    "tool": tool, "purpose": purpose, "goal": "Servers", "status": "Active", "cleanupState": "None",
                    "details": { "groupCount": 0, "assessmentCount": 0, "extendedDetails": extended },
                } }),
            );
        }
    }

    fn the_site(&self, world: &mut World) {
        let solution = format!("{}/solutions/Servers-Discovery-ServerDiscovery", self.project());
        let mut properties = json!({ "discoverySolutionId": solution, "provisioningState": "Succeeded" });
        if self.kind == Kind::Vmware {
            properties["servicePrincipalIdentityDetails"] = identity();
        }
        world.put(&self.site(), json!({ "location": REGION, "properties": properties }));
        world.put(
            &self.run_as_account(),
            json!({ "properties": {
                "displayName": "administrator", "credentialType": "VMwareFabric",
                "createdTimestamp": world.now(), "updatedTimestamp": world.now(),
            } }),
        );
        if self.kind == Kind::Vmware {
            world.put(
                &format!("{}/vcenters/vcenter1", self.site()),
                json!({ "properties": {
                    "fqdn": "vcenter1.contoso.local", "port": "443", "runAsAccountId": self.run_as_account(),
                } }),
            );
        }
        for number in 1..=self.machines {
            world.put(&self.machine(number), json!({ "properties": self.discovered(number) }));
        }
    }

    /// What discovery found of a machine: two disks and a network adapter.
    fn discovered(&self, number: u32) -> Value {
        let disk = |index: u32, bytes: u64| {
            let path = format!("[datastore1] {0}/{0}_{index}.vmdk", machine_name(number));
            let mut disk = json!({ "path": path, "name": format!("disk{index}"), "maxSizeInBytes": bytes });
            if self.kind == Kind::Vmware {
                disk["uuid"] = disk_id(number, index).into();
                disk["label"] = format!("Hard disk {}", index + 1).into();
            } else {
                disk["vhdId"] = disk_id(number, index).into();
            }
            disk
        };
        let mut found = json!({
            "displayName": machine_name(number),
            "numberOfProcessorCore": 2,
            "allocatedMemoryInMb": 8192.0,
            "operatingSystemDetails": { "osType": "windowsguest", "osName": "Microsoft Windows Server 2019 (64-bit)", "osVersion": "10.0" },
            "firmware": "BIOS",
        });
        if self.kind == Kind::AgentBased {
            return found;
        }
        if self.kind == Kind::Vmware {
            found["vCenterId"] = format!("{}/vcenters/vcenter1", self.site()).into();
        }
        found["disks"] = json!([disk(0, 32 << 30), disk(1, 128 << 30)]);
        found["networkAdapters"] = json!([{
            "nicId": "4000", "macAddress": "00:50:56:aa:00:01", "ipAddressList": ["192.168.7.10"],
            "networkName": "VM Network", "ipAddressType": "Dynamic",
        }]);
        found
    }

    /// The id of a disk of a machine, both from 1 and 0: the OS disk is 0.
    pub fn disk(&self, machine: u32, index: u32) -> String {
        disk_id(machine, index)
    }

    fn the_vault(&self, world: &mut World) {
        let properties = json!({
            "provisioningState": "Succeeded", "privateEndpointConnections": [],
            "privateEndpointStateForBackup": "None", "privateEndpointStateForSiteRecovery": "None",
            "publicNetworkAccess": "Enabled",
        });
        let sku = json!({ "name": "RS0", "tier": "Standard" });
        world.put(&self.vault(), json!({ "location": REGION, "etag": "new", "sku": sku, "properties": properties }));
        let (kind, details) = match self.kind {
            Kind::Vmware => (
                "VMwareV2",
                json!({ "instanceType": "VMwareV2", "vmwareSiteId": self.site(), "migrationSolutionId": format!("{}/solutions/Servers-Migration-ServerMigration", self.project()) }),
            ),
            Kind::HyperV => (
                "HyperVSite",
                json!({ "instanceType": "HyperVSite", "hyperVHosts": [{ "id": "host1", "name": "host1.contoso.local", "marsAgentVersion": "2.0.9262.0" }] }),
            ),
            Kind::AgentBased => (
                "InMageRcm",
                json!({
                    "instanceType": "InMageRcm", "physicalSiteId": self.site(),
                    "processServers": [{ "id": self.process_server(), "name": "appliance1", "health": "Normal" }],
                }),
            ),
        };
        world.put(
            &self.fabric(),
            json!({ "properties": {
                "friendlyName": "fabric1", "internalIdentifier": "6d224fc6-f326-5d35-96de-fbf51efb3179",
                "bcdrState": "Valid", "customDetails": details, "healthErrorDetails": [], "health": "Normal",
                "encryptionDetails": { "kekState": "None" }, "rolloverEncryptionDetails": { "kekState": "None" },
            } }),
        );
        world.put(
            &self.container(),
            json!({ "properties": {
                "fabricFriendlyName": "fabric1", "friendlyName": "container1", "fabricType": kind,
                "protectedItemCount": 0, "pairingStatus": "NotPaired", "role": "",
            } }),
        );
        world.put(
            &format!("{}/replicationRecoveryServicesProviders/provider1", self.fabric()),
            json!({ "properties": {
                "fabricType": kind, "friendlyName": "appliance1", "fabricFriendlyName": "fabric1",
                "providerVersion": "5.1.2250.0", "connectionStatus": "Connected", "lastHeartBeat": world.now(),
                "protectedItemCount": 0, "allowedScenarios": ["Refresh"], "resourceAccessIdentityDetails": identity(),
            } }),
        );
        if self.kind == Kind::HyperV {
            self.protectable_items(world);
        }
    }

    fn protectable_items(&self, world: &mut World) {
        for number in 1..=self.machines {
            let disk = |index: u32| json!({ "maxSizeMB": 32_768, "vhdType": if index == 0 { "OperatingSystem" } else { "DataDisk" }, "vhdId": disk_id(number, index), "vhdName": format!("{}_{index}", machine_name(number)) });
            let details = json!({
                "instanceType": "HyperVVirtualMachine", "sourceItemId": machine_name(number), "generation": "1",
                "osDetails": { "osType": "Windows" }, "diskDetails": [disk(0), disk(1)],
                "hasPhysicalDisk": "NotPresent", "hasFibreChannelAdapter": "NotPresent", "hasSharedVhd": "NotPresent",
            });
            world.put(
                &self.protectable_item(number),
                json!({ "properties": {
                    "friendlyName": machine_name(number), "protectionStatus": "Unprotected",
                    "recoveryServicesProviderId": format!("{}/replicationRecoveryServicesProviders/provider1", self.fabric()),
                    "protectionReadinessErrors": [], "supportedReplicationProviders": ["HyperVReplicaAzure"],
                    "customDetails": details,
                } }),
            );
        }
    }
}

fn machine_name(number: u32) -> String {
    format!("web{number:02}")
}

fn disk_id(machine: u32, index: u32) -> String {
    format!("6000c29{index}-0000-4000-8000-{machine:012}")
}

/// The service principal of the appliance.
fn identity() -> Value {
    json!({
        "tenantId": super::services::TENANT,
        "applicationId": "00000000-0000-0000-0000-0000000000cc",
        "objectId": "00000000-0000-0000-0000-0000000000dd",
        "audience": "https://appliance1.contoso.local",
        "aadAuthority": "https://login.windows.net",
    })
}
