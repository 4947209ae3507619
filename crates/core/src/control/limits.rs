//! The numbers that documents give and change: how many disks, how long a name, how many days.
//!
//! They are data with an edition, `limits.json`, each with the document that gives it. A caller who knows newer
//! ones loads them with [`Limits::from_json`]; nothing else has to change.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::Scenario;
use super::named::named;

named! {
    /// Which number.
    pub enum LimitName {
        /// Servers that are enabled together.
        BatchServers = "batch_servers",
        /// Days for which a registration key is good.
        RegistrationKeyDays = "registration_key_days",
        /// Addresses to have free for the private endpoints of a project.
        ProjectAddresses = "project_addresses",
        /// Servers of a project.
        ProjectServers = "project_servers",
        /// Servers that one appliance discovers.
        DiscoveredServers = "discovered_servers",
        /// vCenter servers that one appliance is connected to.
        VcentersOfAnAppliance = "vcenters_of_an_appliance",
        /// Addresses of the private endpoint of a vault, one for each of its services.
        VaultAddresses = "vault_addresses",
        /// Private endpoints of a vault.
        VaultPrivateEndpoints = "vault_private_endpoints",
        /// Characters of the name of a machine.
        VmNameLength = "vm_name_length",
        /// Characters of the name by which Windows knows itself.
        WindowsNameLength = "windows_name_length",
        /// Characters of the name of a disk.
        DiskNameLength = "disk_name_length",
        /// Characters of the name of a network interface.
        NicNameLength = "nic_name_length",
        /// Tags of a machine.
        VmTags = "vm_tags",
        /// Tags of a network interface.
        NicTags = "nic_tags",
        /// Tags of a disk.
        DiskTags = "disk_tags",
        /// Characters of the key of a tag.
        TagKeyLength = "tag_key_length",
        /// Characters of the value of a tag.
        TagValueLength = "tag_value_length",
        /// Disks of a server that is replicated.
        DisksPerServer = "disks_per_server",
        /// GiB of an operating-system disk.
        OsDiskGib = "os_disk_gib",
        /// GiB of an operating-system disk of a machine that starts by UEFI.
        OsDiskGibGeneration2 = "os_disk_gib_generation_2",
        /// GiB that an operating-system disk stays below where Hyper-V's UEFI becomes a BIOS.
        ConvertedOsDiskGib = "converted_os_disk_gib",
        /// Partitions of the operating-system disk of a machine that starts by UEFI.
        PartitionsOfAnOsDisk = "partitions_of_an_os_disk",
        /// GiB of a data disk.
        DataDiskGib = "data_disk_gib",
        /// Data disks of a machine in Azure, of whatever size.
        DataDisksOfAVm = "data_disks_of_a_vm",
        /// Servers that replicate at the same time from one vCenter.
        ParallelReplications = "parallel_replications",
        /// The same, with a scale-out appliance.
        ParallelReplicationsScaledOut = "parallel_replications_scaled_out",
        /// Disks that one appliance replicates at the same time.
        ParallelDisksOfAnAppliance = "parallel_disks_of_an_appliance",
        /// Disks that are read from one host at the same time.
        ParallelDisksOfAHost = "parallel_disks_of_a_host",
        /// Snapshots that one datastore holds at the same time.
        SnapshotsOfADatastore = "snapshots_of_a_datastore",
        /// Characters of the message with which a private endpoint is asked for.
        RequestMessageLength = "request_message_length",
        /// Characters of the comment with which a test migration is cleaned up.
        CleanUpCommentLength = "clean_up_comment_length",
    }
}

impl LimitName {
    /// The kinds of migration that have this limit.
    pub const fn scenarios(self) -> &'static [Scenario] {
        match self {
            Self::VcentersOfAnAppliance
            | Self::ParallelReplications
            | Self::ParallelReplicationsScaledOut
            | Self::ParallelDisksOfAnAppliance
            | Self::ParallelDisksOfAHost
            | Self::SnapshotsOfADatastore => &[Scenario::VmwareAgentless],
            Self::ConvertedOsDiskGib => &[Scenario::HyperV],
            Self::PartitionsOfAnOsDisk => &[Scenario::HyperV, Scenario::AgentBased],
            _ => Scenario::ALL,
        }
    }
}

/// One number, and who gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The number: at most so many, in the unit of its name.
    pub value: u64,
    /// The document.
    pub document: String,
    /// The date of its edition.
    pub date: String,
}

/// All the numbers of one edition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    edition: String,
    values: BTreeMap<(LimitName, Scenario), Limit>,
}

/// Why a text holds no limits.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// It is not such JSON.
    #[error("the limits cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A limit names a document that is not listed.
    #[error("the limit {name} names the document {by:?}, which is not among the documents")]
    NoSuchDocument {
        /// The limit.
        name: LimitName,
        /// What it names.
        by: String,
    },
    /// A number is not given.
    #[error("the limit {name} is not given for {scenario}")]
    Missing {
        /// The limit.
        name: LimitName,
        /// For which kind of migration.
        scenario: Scenario,
    },
    /// A number is given twice.
    #[error("the limit {name} is given twice for {scenario}")]
    Twice {
        /// The limit.
        name: LimitName,
        /// For which kind of migration.
        scenario: Scenario,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    edition: String,
    documents: BTreeMap<String, Document>,
    limits: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    document: String,
    date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: LimitName,
    value: u64,
    by: String,
    scenario: Option<Scenario>,
}

static PUBLISHED: LazyLock<Limits> =
    LazyLock::new(|| Limits::from_json(include_str!("limits.json")).expect("a test reads them"));

impl Limits {
    /// The numbers as they were found in the documents when this was written.
    pub fn published() -> &'static Self {
        &PUBLISHED
    }

    /// The numbers in `text`, which looks like `limits.json` of the source of this crate.
    ///
    /// # Errors
    ///
    /// When the text is something else, or a number is missing or there twice.
    pub fn from_json(text: &str) -> Result<Self, LimitsError> {
        let File { edition, documents, limits } = serde_json::from_str(text)?;
        let mut values = BTreeMap::new();
        for Entry { name, value, by, scenario } in limits {
            let Some(Document { document, date }) = documents.get(&by) else {
                return Err(LimitsError::NoSuchDocument { name, by });
            };
            for &of in name.scenarios().iter().filter(|of| scenario.is_none_or(|only| only == **of)) {
                let limit = Limit { value, document: document.clone(), date: date.clone() };
                if values.insert((name, of), limit).is_some() {
                    return Err(LimitsError::Twice { name, scenario: of });
                }
            }
        }
        for &name in LimitName::ALL {
            if let Some(&scenario) = name.scenarios().iter().find(|of| !values.contains_key(&(name, **of))) {
                return Err(LimitsError::Missing { name, scenario });
            }
        }
        Ok(Self { edition, values })
    }

    /// The day on which the numbers were gathered.
    pub fn edition(&self) -> &str {
        &self.edition
    }

    /// A number; none where this kind of migration has no such limit.
    pub fn get(&self, name: LimitName, scenario: Scenario) -> Option<&Limit> {
        self.values.get(&(name, scenario))
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (LimitName, Scenario, &Limit)> {
        self.values.iter().map(|(&(name, scenario), limit)| (name, scenario, limit))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text() -> Value {
        serde_json::from_str(include_str!("limits.json")).unwrap()
    }

    #[test]
    fn every_limit_is_given_with_its_document_for_every_kind_of_migration_that_has_it() {
        let limits = Limits::published();
        let count: usize = LimitName::ALL.iter().map(|name| name.scenarios().len()).sum();
        assert_eq!(limits.iter().count(), count);
        assert!(limits.iter().all(|(.., limit)| limit.value > 0 && !limit.document.is_empty()));
        assert_eq!(limits.get(LimitName::DisksPerServer, Scenario::HyperV).unwrap().value, 16);
        assert_eq!(limits.get(LimitName::ParallelReplications, Scenario::HyperV), None);
    }

    #[test]
    fn a_newer_edition_changes_a_number_and_nothing_else() {
        let mut newer = text();
        newer["edition"] = json!("2027-01-01");
        newer["limits"][0]["value"] = json!(25);
        let limits = Limits::from_json(&newer.to_string()).unwrap();
        assert_eq!(
            (limits.edition(), limits.get(LimitName::BatchServers, Scenario::HyperV).unwrap().value),
            ("2027-01-01", 25)
        );
    }

    #[test]
    fn what_is_missing_twice_or_without_a_document_is_refused() {
        let mut missing = text();
        let first = missing["limits"].as_array_mut().unwrap().remove(0);
        assert!(matches!(
            Limits::from_json(&missing.to_string()),
            Err(LimitsError::Missing { name: LimitName::BatchServers, .. })
        ));
        let mut twice = text();
        twice["limits"].as_array_mut().unwrap().push(first);
        assert!(matches!(Limits::from_json(&twice.to_string()), Err(LimitsError::Twice { .. })));
        let mut nobody = text();
        nobody["limits"][0]["by"] = json!("hearsay");
        assert!(matches!(Limits::from_json(&nobody.to_string()), Err(LimitsError::NoSuchDocument { .. })));
        for bad in ["", "[]", "{}", "{\"edition\":1}"] {
            assert!(matches!(Limits::from_json(bad), Err(LimitsError::Json(_))), "{bad}");
        }
    }
}
