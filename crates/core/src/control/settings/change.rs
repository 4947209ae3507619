//! Which setting may still be changed when.

use serde::Serialize;

use crate::control::Scenario;
use crate::control::named::named;
use crate::finding::Rule;
use crate::finding::documents::{ARTICLE, AZ_MIGRATE, SPECIFICATION};

named! {
    /// A setting that somebody may want to change.
    pub enum Setting {
        /// The region.
        Region = "region",
        /// The accounts that replication data goes to.
        Account = "account",
        /// Which disks are replicated.
        Disks = "disks",
        /// What kind of managed disks they become.
        DiskType = "disk_type",
        /// Who holds the key of the disks.
        Encryption = "encryption",
        /// The name of the machine.
        VmName = "vm_name",
        /// Its size.
        Size = "size",
        /// Its resource group.
        ResourceGroup = "resource_group",
        /// Its network, and the test machine's.
        Network = "network",
        /// Its network interfaces.
        Nics = "nics",
        /// Zone or set.
        Availability = "availability",
        /// Licences.
        Licences = "licences",
        /// Tags.
        Tags = "tags",
    }
}

named! {
    /// Until when.
    pub enum Changeable {
        /// Until replication is enabled; afterwards only by stopping it and beginning anew.
        BeforeStart = "before_start",
        /// Until the cutover.
        UntilCutover = "until_cutover",
    }
}

/// One row: until when a setting may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The setting.
    pub setting: Setting,
    /// For which kinds of migration.
    pub scenarios: &'static [Scenario],
    /// Until when.
    pub until: Changeable,
    /// Who says so.
    pub rule: Rule,
}

const VMWARE: &[Scenario] = &[Scenario::VmwareAgentless];
const OTHERS: &[Scenario] = &[Scenario::HyperV, Scenario::AgentBased];

const fn row(setting: Setting, scenarios: &'static [Scenario], until: Changeable, rule: Rule) -> Change {
    Change { setting, scenarios, until, rule }
}

/// The table. For `VMware` the article says only of the account that it stays; Microsoft's own client changes what is
/// `until_cutover` here. For Hyper-V and agents the article says: "Settings can't be changed after replication starts";
/// the service's contract has an operation all the same, and what that takes is `until_cutover` here. The rule
/// `change.late` tells of the contradiction.
pub static CHANGES: &[Change] = &[
    row(Setting::Region, VMWARE, Changeable::BeforeStart, AZ_MIGRATE),
    row(Setting::Account, VMWARE, Changeable::BeforeStart, ARTICLE),
    row(Setting::Disks, VMWARE, Changeable::BeforeStart, AZ_MIGRATE),
    row(Setting::DiskType, VMWARE, Changeable::BeforeStart, AZ_MIGRATE),
    row(Setting::Encryption, VMWARE, Changeable::BeforeStart, AZ_MIGRATE),
    row(Setting::VmName, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Size, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::ResourceGroup, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Network, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Nics, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Availability, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Licences, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Tags, VMWARE, Changeable::UntilCutover, AZ_MIGRATE),
    row(Setting::Region, OTHERS, Changeable::BeforeStart, ARTICLE),
    row(Setting::Account, OTHERS, Changeable::BeforeStart, ARTICLE),
    row(Setting::Disks, OTHERS, Changeable::BeforeStart, ARTICLE),
    row(Setting::DiskType, OTHERS, Changeable::BeforeStart, ARTICLE),
    row(Setting::Encryption, OTHERS, Changeable::BeforeStart, ARTICLE),
    row(Setting::VmName, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::Size, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::ResourceGroup, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::Network, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::Nics, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::Availability, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::Licences, OTHERS, Changeable::UntilCutover, SPECIFICATION),
    row(Setting::Tags, OTHERS, Changeable::UntilCutover, SPECIFICATION),
];

/// Until when a setting may be changed, and who says so.
pub fn changeable(setting: Setting, scenario: Scenario) -> &'static Change {
    CHANGES
        .iter()
        .find(|row| row.setting == setting && row.scenarios.contains(&scenario))
        .expect("a test holds that there is a row for each")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_row_for_each_setting_of_each_kind_of_migration() {
        for &setting in Setting::ALL {
            for &scenario in Scenario::ALL {
                let rows = CHANGES.iter().filter(|row| row.setting == setting && row.scenarios.contains(&scenario));
                assert_eq!(rows.count(), 1, "{setting} {scenario}");
                assert_eq!(changeable(setting, scenario).setting, setting);
            }
        }
    }

    #[test]
    fn the_account_cannot_be_changed_once_replication_is_enabled_in_any_kind_of_migration() {
        for &scenario in Scenario::ALL {
            assert_eq!(changeable(Setting::Account, scenario).until, Changeable::BeforeStart);
        }
    }
}
