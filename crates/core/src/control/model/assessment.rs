//! What an assessment recommends for a machine.
//!
//! Source: Azure REST API specification, assessment projects, `migrate.json` (2023-03-15).

use std::collections::BTreeMap;

use serde_json::Number;

use super::resource::Resource;
use super::scalar::Stamp;
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A machine in an assessment.
pub type AssessedMachine = Resource<AssessedMachineProperties>;

open_enum! {
    /// Whether something can be migrated.
    pub enum Suitability {
        /// Nobody knows; also the service's own word.
        NotKnown = "Unknown",
        /// It cannot.
        NotSuitable,
        /// It can.
        Suitable,
        /// It can, with what is explained.
        ConditionallySuitable,
        /// Too little is known of it.
        ReadinessUnknown,
    }
}

wire! {
    /// The properties of an [`AssessedMachine`].
    pub struct AssessedMachineProperties {
        /// The name.
        display_name: String,
        /// The machine in its site.
        datacenter_machine_arm_id: ArmId,
        /// Whether it can be migrated.
        suitability: Suitability,
        /// Why not, or with what in mind.
        suitability_explanation: String,
        /// What is missing for being sure.
        suitability_detail: String,
        /// The size of virtual machine that is recommended: `Standard_D4s_v5`.
        recommended_size: String,
        /// How many processors that has.
        number_of_cores_for_recommended_size: i64,
        /// How much memory, in MiB.
        megabytes_of_memory_for_recommended_size: Number,
        /// What it costs a month, in the assessment's currency.
        monthly_compute_cost_for_recommended_size: Number,
        /// What its disks cost a month, in the assessment's currency.
        monthly_storage_cost: Number,
        /// How sure the assessment is, in hundredths.
        confidence_rating_in_percentage: Number,
        /// How many processors it has now.
        number_of_cores: i64,
        /// How much memory, in MiB.
        megabytes_of_memory: Number,
        /// What it starts by: `BIOS`, `EFI`, `NotSpecified` or `Unknown`.
        boot_type: String,
        /// The family of its operating system.
        operating_system_type: String,
        /// Its name.
        operating_system_name: String,
        /// Its version.
        operating_system_version: String,
        /// Its architecture: `X86`, `X64` or `Unknown`.
        operating_system_architecture: String,
        /// The disks, by their ids.
        disks: BTreeMap<String, AssessedDisk>,
        /// The network adapters, by their ids.
        network_adapters: BTreeMap<String, AssessedNetworkAdapter>,
        /// When this was last assessed.
        updated_timestamp: Stamp,
    }

    /// A disk of an [`AssessedMachine`].
    pub struct AssessedDisk {
        /// The name.
        name: String,
        /// The name that is shown.
        display_name: String,
        /// Whether it can be migrated.
        suitability: Suitability,
        /// Why not, or with what in mind.
        suitability_explanation: String,
        /// What is missing for being sure.
        suitability_detail: String,
        /// The type that is recommended: `Standard`, `StandardSSD`, `Premium`, `PremiumV2`, `Ultra` and others.
        recommended_disk_type: String,
        /// The size that is recommended: `Premium_P10`.
        recommended_disk_size: String,
        /// How much that holds, in GiB.
        gigabytes_for_recommended_disk_size: i64,
        /// How many operations a second it should do.
        recommended_disk_iops: Number,
        /// How much it should move, in MB a second. The field is spelled without its second `ed`.
        recommend_disk_throughput_in_mbps: Number,
        /// How much it holds now, in GiB.
        gigabytes_provisioned: Number,
        /// What it costs a month, in the assessment's currency.
        monthly_storage_cost: Number,
    }

    /// A network adapter of an [`AssessedMachine`].
    pub struct AssessedNetworkAdapter {
        /// The name.
        display_name: String,
        /// Its address in its network.
        mac_address: String,
        /// Its IP addresses.
        ip_addresses: Vec<String>,
        /// Whether it can be migrated.
        suitability: Suitability,
        /// Why not.
        suitability_explanation: String,
    }
}

impl Resource<AssessedMachineProperties> {
    /// The size of virtual machine that is recommended; none where there is none (`Unknown`, or nothing).
    pub fn recommended_size(&self) -> Option<&str> {
        known(self.properties.recommended_size.as_ref())
    }
}

impl AssessedDisk {
    /// The type of disk that is recommended; none where there is none.
    pub fn recommended_type(&self) -> Option<&str> {
        known(self.recommended_disk_type.as_ref())
    }
}

fn known(word: Option<&String>) -> Option<&str> {
    word.map(String::as_str).filter(|word| !word.is_empty() && *word != "Unknown")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_assessment_recommends_a_size_and_a_type_for_each_disk() {
        let body = json!({ "name": "m", "properties": {
            "displayName": "web01", "recommendedSize": "Standard_D4s_v5", "suitability": "ConditionallySuitable",
            "megabytesOfMemory": 16384, "monthlyStorageCost": 12.5, "bootType": "EFI", "costComponents": [],
            "disks": {
                "6000C29": { "recommendedDiskType": "Premium", "recommendedDiskSize": "Premium_P10", "suitability": "Suitable", "gigabytesProvisioned": 100 },
                "6000C30": { "recommendedDiskType": "Unknown", "suitability": "Perhaps" },
            },
            "networkAdapters": { "4000": { "macAddress": "00:50", "suitability": "Suitable" } },
        }});
        let machine: AssessedMachine = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(&machine).unwrap(), body);
        assert_eq!(machine.recommended_size(), Some("Standard_D4s_v5"));
        let disks = machine.properties.disks.as_ref().unwrap();
        assert_eq!(disks["6000C29"].recommended_type(), Some("Premium"));
        assert_eq!(disks["6000C30"].recommended_type(), None);
        assert_eq!(disks["6000C30"].suitability, Some(Suitability::Unknown("Perhaps".to_owned())));
    }

    #[test]
    fn a_machine_that_was_not_sized_has_no_recommendation() {
        let machine: AssessedMachine =
            serde_json::from_value(json!({ "properties": { "recommendedSize": "Unknown" } })).unwrap();
        assert_eq!(machine.recommended_size(), None);
        assert_eq!(serde_json::to_value(Suitability::NotKnown).unwrap(), "Unknown");
    }
}
