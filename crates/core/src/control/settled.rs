//! What the service has of a server's settings, beside what is wanted of them.
//!
//! Only what both sides say is compared: a setting that is left to the service is not wanted, and one that the
//! service does not tell cannot be said to differ. Texts are compared without case, as the service does.
//!
//! Source of the fields: Azure REST API specification, Site Recovery, service.json (2024-04-01):
//! `VMwareCbtMigrationDetails`, `HyperVReplicaAzureReplicationDetails`, `InMageRcmReplicationDetails`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::lifecycle::wire::Item;
use super::scenario::Scenario;
use super::settings::{Availability, MigrationSettings, ServerSettings, Setting};

/// A setting of a server that is not what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The setting.
    pub setting: Setting,
    /// What the service has.
    pub is: String,
    /// What is wanted.
    pub should: String,
}

/// One row: where the service keeps a setting, and what is wanted of it.
struct Row {
    setting: Setting,
    /// For `VMware`, Hyper-V and agents; empty where that kind of migration does not tell it.
    fields: [&'static str; 3],
    wanted: fn(&MigrationSettings, &ServerSettings) -> Option<String>,
}

const ROWS: &[Row] = &[
    Row {
        setting: Setting::Region,
        fields: ["targetLocation", "", "targetLocation"],
        wanted: |wanted, _| Some(wanted.region.clone()),
    },
    Row {
        setting: Setting::Account,
        fields: ["storageAccountId", "recoveryAzureStorageAccount", "storageAccountId"],
        wanted: |wanted, _| Some(wanted.replication_account.to_string()),
    },
    Row {
        setting: Setting::VmName,
        fields: ["targetVmName", "recoveryAzureVmName", "targetVmName"],
        wanted: |_, server| Some(server.name.clone()),
    },
    Row {
        setting: Setting::Size,
        fields: ["targetVmSize", "recoveryAzureVMSize", "targetVmSize"],
        wanted: |_, server| server.size.clone(),
    },
    Row {
        setting: Setting::ResourceGroup,
        fields: ["targetResourceGroupId", "recoveryAzureResourceGroupId", "targetResourceGroupId"],
        wanted: |wanted, _| Some(wanted.target.resource_group.to_string()),
    },
    Row {
        setting: Setting::Network,
        fields: ["targetNetworkId", "selectedRecoveryAzureNetworkId", "targetNetworkId"],
        wanted: |wanted, _| Some(wanted.target.network.to_string()),
    },
    Row {
        setting: Setting::Network,
        fields: ["testNetworkId", "", "testNetworkId"],
        wanted: |wanted, _| Some(wanted.target.test.as_ref()?.network.to_string()),
    },
    Row {
        setting: Setting::Availability,
        fields: ["targetAvailabilityZone", "targetAvailabilityZone", "targetAvailabilityZone"],
        wanted: |_, server| match &server.availability {
            Availability::Zone(zone) => Some(zone.clone()),
            Availability::None | Availability::Set(_) => None,
        },
    },
    Row {
        setting: Setting::Availability,
        fields: ["targetAvailabilitySetId", "recoveryAvailabilitySetId", "targetAvailabilitySetId"],
        wanted: |_, server| match &server.availability {
            Availability::Set(set) => Some(set.to_string()),
            Availability::None | Availability::Zone(_) => None,
        },
    },
    Row {
        setting: Setting::Licences,
        fields: ["licenseType", "licenseType", "licenseType"],
        wanted: |_, server| Some(server.licences.windows.to_string()),
    },
];

/// What of a server's settings is not what is wanted, in the order of the table. Takes time in proportion to the
/// settings.
pub fn differences(wanted: &MigrationSettings, server: &ServerSettings, item: &Item) -> Vec<Difference> {
    let Some(details) = details(item) else { return Vec::new() };
    let column = match item.scenario() {
        Scenario::VmwareAgentless => 0,
        Scenario::HyperV => 1,
        Scenario::AgentBased => 2,
    };
    let mut found: Vec<Difference> = ROWS
        .iter()
        .filter_map(|row| {
            let is = details.get(row.fields[column])?.as_str().filter(|text| !text.is_empty())?;
            let should = (row.wanted)(wanted, server)?;
            let differs = !is_same(row.setting, is, &should);
            differs.then(|| Difference { setting: row.setting, is: is.to_owned(), should })
        })
        .collect();
    found.extend(disks(server, details));
    found
}

fn details(item: &Item) -> Option<&Map<String, Value>> {
    match item {
        Item::Vmware(item) => Some(&item.properties.provider_specific_details.as_ref()?.rest),
        Item::HyperV(item) | Item::Agent(item) => Some(&item.properties.provider_specific_details.as_ref()?.rest),
    }
}

fn is_same(setting: Setting, is: &str, should: &str) -> bool {
    match setting {
        Setting::Region => super::observed::same_region(is, should),
        // Not to say anything is to say that there is none.
        Setting::Licences if is == "NotSpecified" => should == "NoLicenseType",
        _ => is.eq_ignore_ascii_case(should),
    }
}

/// Which disks are replicated; the service's list is compared as a set.
fn disks(server: &ServerSettings, details: &Map<String, Value>) -> Option<Difference> {
    let lists = ["protectedDisks", "protectedManagedDisks", "azureVmDiskDetails"];
    let listed = lists.iter().find_map(|list| details.get(*list)?.as_array().filter(|list| !list.is_empty()))?;
    let ids = listed.iter().filter_map(|disk| ["diskId", "vhdId"].iter().find_map(|id| disk.get(*id)?.as_str()));
    let (is, should) = (sorted(ids), sorted(server.disks.iter().map(|disk| &*disk.id)));
    (is != should).then(|| Difference { setting: Setting::Disks, is: is.join(", "), should: should.join(", ") })
}

fn sorted<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = ids.map(str::to_lowercase).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
