//! Settings from what was discovered of a machine, and from what an assessment recommends.

use serde::Serialize;

use super::server::{DiskSettings, NicPlace, NicRole, NicSettings, ServerSettings, Source};
use super::size::{Considered, NoSize, SizeChoice, SizeNeed, closest_size};
use super::target::{Availability, Licences, Security, Tags};
use crate::control::model::{AssessedMachine, DiskType, Machine, Suitability};

/// Why a part of an assessment was not taken over, or should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Remark {
    /// The assessment does not call the machine suitable.
    Suitability {
        /// The assessment's word.
        said: String,
        /// Its explanation.
        explanation: String,
    },
    /// It recommends no size.
    NoSize,
    /// It recommends a kind of disk that is not known here, or none.
    DiskType {
        /// The disk.
        disk: String,
        /// The assessment's word; empty where it has none.
        said: String,
    },
    /// It knows nothing of a disk.
    NoDisk {
        /// The disk.
        disk: String,
    },
}

impl ServerSettings {
    /// Settings for a discovered machine, as the portal begins with them: its own name, all disks as standard ones,
    /// the first network interface as the primary one, no redundancy, no licence.
    ///
    /// `os_disk` is the id of the disk that it starts from: no discovery says so. Where the machine has no such
    /// disk, none is marked, and the rule `disk.no_os_disk` says so.
    pub fn of(machine: &Machine, source: Source, os_disk: &str) -> Self {
        let disk = |id: &str| {
            let disk = DiskSettings::new(id, DiskType::StandardLrs);
            if id.eq_ignore_ascii_case(os_disk) { disk.with_os() } else { disk }
        };
        let nic = |(at, nic): (usize, &crate::control::model::MachineNic)| {
            let place = NicPlace::default();
            let role = if at == 0 { NicRole::Primary(place) } else { NicRole::Secondary(place) };
            NicSettings { id: nic.id.clone(), name: None, role }
        };
        Self {
            item: source.machine().name().to_owned(),
            source,
            name: machine.name.clone(),
            size: None,
            availability: Availability::None,
            licences: Licences::default(),
            security: Security::Standard,
            tags: Tags::default(),
            disks: machine.disks.iter().map(|one| disk(&one.id)).collect(),
            nics: machine.nics.iter().enumerate().map(nic).collect(),
        }
    }

    /// Takes the size and the kinds of disks over that an assessment recommends, and says what it did not take over.
    /// Disks are matched by id, without regard to case.
    pub fn import(&mut self, assessed: &AssessedMachine) -> Vec<Remark> {
        let told = &assessed.properties;
        let mut remarks = Vec::new();
        if let Some(word) = told.suitability.as_ref().filter(|word| **word != Suitability::Suitable) {
            let explanation = told.suitability_explanation.clone().unwrap_or_default();
            remarks.push(Remark::Suitability { said: word.to_string(), explanation });
        }
        match assessed.recommended_size() {
            Some(size) => self.size = Some(size.to_owned()),
            None => remarks.push(Remark::NoSize),
        }
        for disk in &mut self.disks {
            let found = told.disks.iter().flatten().find(|(id, _)| id.eq_ignore_ascii_case(&disk.id));
            let Some((_, assessed)) = found else {
                remarks.push(Remark::NoDisk { disk: disk.id.clone() });
                continue;
            };
            match assessed.recommended_type().map(|word| (word, disk_type(word))) {
                Some((_, Some(disk_type))) => disk.disk_type = disk_type,
                other => {
                    let said = other.map_or_else(String::new, |(word, _)| word.to_owned());
                    remarks.push(Remark::DiskType { disk: disk.id.clone(), said });
                }
            }
        }
        remarks
    }

    /// Takes the size that comes closest to the machine, of those that are offered. Gives all others, with the
    /// reason why it is not them.
    ///
    /// # Errors
    ///
    /// [`NoSize`] where none fits; the settings are left as they are.
    pub fn match_size(&mut self, machine: &Machine, offered: &[SizeChoice]) -> Result<Vec<Considered>, NoSize> {
        let (size, considered) = closest_size(&SizeNeed::of(self, Some(machine)), offered)?;
        self.size = Some(size.name.clone());
        Ok(considered)
    }
}

/// The kind of managed disk that an assessment's word stands for.
///
/// Source: Azure REST API specification, assessment projects, `migrate.json` (2023-03-15), `AzureDiskType`; the
/// managed disks of Site Recovery, service.json (2024-04-01), `DiskAccountType`.
fn disk_type(word: &str) -> Option<DiskType> {
    match word {
        "Standard" => Some(DiskType::StandardLrs),
        "StandardSSD" => Some(DiskType::StandardSsdLrs),
        "Premium" => Some(DiskType::PremiumLrs),
        "PremiumV2" => Some(DiskType::PremiumV2Lrs),
        "Ultra" => Some(DiskType::UltraSsdLrs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::Scenario;
    use crate::control::sample::{self, read};

    fn settings() -> ServerSettings {
        let scenario = Scenario::VmwareAgentless;
        let source = sample::server(scenario, "web01").source;
        ServerSettings::of(&sample::machine(scenario, "web01"), source, "WEB01-OS")
    }

    #[test]
    fn a_discovered_machine_begins_as_the_portal_has_it() {
        let settings = settings();
        assert_eq!((&*settings.name, &*settings.item, settings.size.as_deref()), ("web01", "web01", None));
        assert_eq!(settings.disks.iter().map(|disk| disk.is_os).collect::<Vec<_>>(), [true, false]);
        assert!(matches!(settings.nics[0].role, NicRole::Primary(_)));
    }

    #[test]
    fn size_and_kinds_of_disks_are_taken_over_from_an_assessment() {
        let mut settings = settings();
        let remarks = settings.import(&read(json!({ "properties": {
            "suitability": "Suitable", "recommendedSize": "Standard_E4s_v5",
            "disks": { "web01-OS": { "recommendedDiskType": "Premium" },
                "web01-data": { "recommendedDiskType": "StandardSSD" } },
        }})));
        assert_eq!(remarks, []);
        assert_eq!(settings.size.as_deref(), Some("Standard_E4s_v5"));
        let kinds: Vec<_> = settings.disks.iter().map(|disk| disk.disk_type.clone()).collect();
        assert_eq!(kinds, [DiskType::PremiumLrs, DiskType::StandardSsdLrs]);
    }

    #[test]
    fn what_an_assessment_does_not_say_is_left_as_it_is_and_told() {
        let mut settings = settings();
        let before = settings.clone();
        let remarks = settings.import(&read(json!({ "properties": {
            "suitability": "ConditionallySuitable", "suitabilityExplanation": "UefiIsNotSupported",
            "recommendedSize": "Unknown", "disks": { "web01-os": { "recommendedDiskType": "Holographic" } },
        }})));
        assert_eq!(settings, before);
        assert_eq!(
            remarks,
            [
                Remark::Suitability { said: "ConditionallySuitable".into(), explanation: "UefiIsNotSupported".into() },
                Remark::NoSize,
                Remark::DiskType { disk: "web01-os".into(), said: "Holographic".into() },
                Remark::NoDisk { disk: "web01-data".into() },
            ]
        );
    }

    #[test]
    fn the_closest_size_is_taken_with_the_reasons_against_the_others() {
        let mut settings = settings();
        let machine = sample::machine(Scenario::VmwareAgentless, "web01");
        let small = SizeChoice { cores: 2, ..sample::size("Standard_D2s_v5") };
        let considered = settings.match_size(&machine, &[small.clone(), sample::size("Standard_D4s_v5")]).unwrap();
        assert_eq!((settings.size.as_deref(), considered.len()), (Some("Standard_D4s_v5"), 1));
        assert!(settings.match_size(&machine, &[small]).is_err());
        assert_eq!(settings.size.as_deref(), Some("Standard_D4s_v5"));
    }
}
