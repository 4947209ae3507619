//! The documents that more than one area takes its rules from, in the edition that was read.

use super::Rule;

const fn rule(document: &'static str, date: &'static str) -> Rule {
    Rule { document, date }
}

/// The article that says how the three kinds of migration go over Private Link.
pub(crate) const ARTICLE: Rule = rule("Microsoft Learn, Migrate servers to Azure by using Private Link", "2022-12-14");
/// How to verify DNS, zones and endpoints by hand.
pub(crate) const TROUBLESHOOT: Rule =
    rule("Microsoft Learn, Azure Migrate: Troubleshoot network connectivity", "2021-11");
/// Projects with private endpoints.
pub(crate) const DISCOVER: Rule =
    rule("Microsoft Learn, Discover and assess servers for migration using Private Link", "2024-07-02");
pub(crate) const HOW_TO: Rule = rule("Microsoft Learn, Use Azure Migrate with private endpoints", "2022-09");
pub(crate) const EXPRESS_ROUTE: Rule =
    rule("Microsoft Learn, Replicate data over ExpressRoute with Azure Migrate", "2022-12");
/// Private endpoints of vaults and their accounts.
pub(crate) const SITE_RECOVERY: Rule =
    rule("Microsoft Learn, Site Recovery: Enable replication with private endpoints", "2023");
pub(crate) const VMWARE_MATRIX: Rule = rule("Microsoft Learn, Support matrix for VMware vSphere migration", "2022-11");
pub(crate) const HYPER_V_MATRIX: Rule = rule("Microsoft Learn, Support matrix for Hyper-V migration", "2020-04");
pub(crate) const PHYSICAL_MATRIX: Rule =
    rule("Microsoft Learn, Support matrix for migration of physical servers", "2023-02");
/// Has no date of its own: that of the reading.
pub(crate) const BACKUP: Rule =
    rule("Microsoft Learn, Overview and concepts of private endpoints for Azure Backup", "2026-11");
/// What is changed in machines beforehand, and how many a project and an appliance take.
pub(crate) const PREPARE: Rule =
    rule("Microsoft Learn, Prepare on-premises machines for migration to Azure", "2020-06-08");
pub(crate) const UPGRADE: Rule = rule("Microsoft Learn, Troubleshoot Windows OS upgrade issues", "2023-07-11");
pub(crate) const CONCEPTS: Rule =
    rule("Microsoft Learn, Azure Migrate agentless migration of VMware machines", "2025-05-12");
pub(crate) const VMWARE: Rule =
    rule("Microsoft Learn, Migrate VMware machines to Azure (agentless), tutorial", "2023-06");
pub(crate) const HYPER_V: Rule = rule("Microsoft Learn, Migrate Hyper-V machines to Azure, tutorial", "2020");
/// Has no date of its own: that of the reading.
pub(crate) const PHYSICAL: Rule =
    rule("Microsoft Learn, Migrate machines as physical servers to Azure, tutorial", "2026-11");
/// The service's own description of its resources, operations and enums.
pub(crate) const SPECIFICATION: Rule = rule("Azure REST API specification, Site Recovery, service.json", "2024-04-01");
/// Microsoft's own client. Has no date of its own: that of the reading.
pub(crate) const AZ_MIGRATE: Rule = rule("Azure PowerShell, module Az.Migrate, its source", "2026-11");
pub(crate) const NAMING: Rule = rule("Microsoft Learn, Naming rules and restrictions for Azure resources", "2024");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::limits::Limits;

    /// So that a number and the rule about it name one edition.
    #[test]
    fn limits_and_rules_name_the_same_edition_of_a_document() {
        let ours = [
            ARTICLE,
            HOW_TO,
            SITE_RECOVERY,
            BACKUP,
            VMWARE_MATRIX,
            HYPER_V_MATRIX,
            PHYSICAL_MATRIX,
            CONCEPTS,
            PREPARE,
            SPECIFICATION,
            AZ_MIGRATE,
        ];
        for (name, _, limit) in Limits::published().iter() {
            let own = ours.iter().find(|rule| rule.document == limit.document);
            assert!(own.is_none_or(|rule| rule.date == limit.date), "{name}: {} of {}", limit.document, limit.date);
        }
        let named: std::collections::BTreeSet<&str> =
            Limits::published().iter().map(|(.., limit)| &*limit.document).collect();
        let known = named.iter().filter(|named| ours.iter().any(|rule| rule.document == **named));
        assert!(known.count() >= 10, "{named:?}");
    }
}
