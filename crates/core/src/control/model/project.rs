//! Azure Migrate projects, and the solutions in them that know where everything else is.
//!
//! Source: Azure REST API specification, `hubmigrate.json` (2023-01-01). That the map of appliances is a list in its
//! second version and an object in its third, and that the third wins, is from Microsoft's own client (`Az.Migrate`,
//! read 2026-11).

use std::collections::BTreeMap;

use serde_json::Value;

use super::private_endpoint::PrivateEndpointConnection;
use super::resource::{PublicNetworkAccess, Resource};
use super::scalar::{Extra, Stamp};
use super::wire::wire;
use crate::control::ArmId;

/// An Azure Migrate project.
pub type MigrateProject = Resource<MigrateProjectProperties>;
/// A tool in a project.
pub type Solution = Resource<SolutionProperties>;

/// The name of the solution that knows the appliances.
pub const DISCOVERY_SOLUTION: &str = "Servers-Discovery-ServerDiscovery";
/// The name of the solution that knows the vault.
pub const MIGRATION_SOLUTION: &str = "Servers-Migration-ServerMigration";

wire! {
    /// The properties of a [`MigrateProject`].
    pub struct MigrateProjectProperties {
        /// Whether it is reached at its public endpoint.
        public_network_access: PublicNetworkAccess,
        /// The private endpoints that ask for it, or have it.
        private_endpoint_connections: Vec<PrivateEndpointConnection>,
        /// The tools that it has.
        registered_tools: Vec<String>,
        /// The URL of its own service.
        service_endpoint: String,
        /// The storage account that it keeps its own files in.
        utility_storage_account_id: String,
        /// Its numbers, by what they are of.
        summary: Extra,
        /// When its numbers were made.
        last_summary_refreshed_time: Stamp,
    }

    /// The properties of a [`Solution`].
    pub struct SolutionProperties {
        /// `ServerDiscovery`, `ServerMigration`, or another vendor's.
        tool: String,
        /// `Discovery`, `Assessment` or `Migration`.
        purpose: String,
        /// `Servers`, `Databases` and others.
        goal: String,
        /// `Active` or `Inactive`.
        status: String,
        /// Where its clean-up is.
        cleanup_state: String,
        /// What it knows.
        details: SolutionDetails,
    }

    /// What a [`Solution`] knows.
    pub struct SolutionDetails {
        /// How many groups there are.
        group_count: i64,
        /// How many assessments.
        assessment_count: i64,
        /// Everything else, as texts; some are JSON again.
        extended_details: Extra,
    }
}

impl Resource<MigrateProjectProperties> {
    /// How many servers were discovered for it; none where it does not say.
    pub fn discovered_servers(&self) -> Option<u64> {
        let told = self.properties.summary.as_ref()?.values();
        let is_of_servers = |told: &&Value| {
            let kind = told.get("instanceType").and_then(Value::as_str);
            kind.is_some_and(|kind| kind.eq_ignore_ascii_case("Servers"))
        };
        told.into_iter().find(is_of_servers)?.get("discoveredCount")?.as_u64()
    }
}

/// What a solution says in its details that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum SolutionError {
    /// The text is no JSON.
    #[error("the solution's {field} is no JSON: {cause}")]
    NoJson {
        /// Of which detail.
        field: &'static str,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// The JSON is not what the detail holds.
    #[error("the solution's {field} does not map appliances to sites")]
    NoMap {
        /// Of which detail.
        field: &'static str,
    },
}

const SITES_V2: &str = "applianceNameToSiteIdMapV2";
const SITES_V3: &str = "applianceNameToSiteIdMapV3";

impl Resource<SolutionProperties> {
    fn detail(&self, name: &str) -> Option<&str> {
        let details = self.properties.details.as_ref()?.extended_details.as_ref()?;
        details.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// The vault that the project replicates with; none before the first replication is prepared.
    pub fn vault_id(&self) -> Option<ArmId> {
        self.detail("vaultId").map(ArmId::new)
    }

    /// The site of each appliance, by the appliance's name in lower case: names are told apart without case.
    ///
    /// # Errors
    ///
    /// When a detail is no JSON, or is no such map. Entries without a site are left out.
    pub fn appliance_sites(&self) -> Result<BTreeMap<String, ArmId>, SolutionError> {
        let mut sites = BTreeMap::new();
        if let Some(Value::Array(list)) = self.map(SITES_V2)? {
            for entry in &list {
                if let Some(name) = entry.get("ApplianceName").and_then(Value::as_str) {
                    keep(&mut sites, name, entry);
                }
            }
        }
        let newer = match self.map(SITES_V3)? {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
        };
        for (name, entry) in newer.iter().filter_map(Value::as_object).flatten() {
            keep(&mut sites, name, entry);
        }
        Ok(sites)
    }

    fn map(&self, field: &'static str) -> Result<Option<Value>, SolutionError> {
        let Some(text) = self.detail(field) else { return Ok(None) };
        match serde_json::from_str(text).map_err(|cause| SolutionError::NoJson { field, cause })? {
            Value::Null => Ok(None),
            list @ Value::Array(_) => Ok(Some(list)),
            object @ Value::Object(_) if field == SITES_V3 => Ok(Some(object)),
            _ => Err(SolutionError::NoMap { field }),
        }
    }
}

/// Keeps the site that `entry` names, in an object or by itself.
fn keep(sites: &mut BTreeMap<String, ArmId>, name: &str, entry: &Value) {
    let site = entry.get("SiteId").unwrap_or(entry).as_str().filter(|site| !site.is_empty());
    if let Some(site) = site {
        sites.insert(name.to_lowercase(), ArmId::new(site));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn solution(details: &Value) -> Solution {
        serde_json::from_value(json!({ "properties": { "details": { "extendedDetails": details } } })).unwrap()
    }

    #[test]
    fn a_project_and_a_solution_that_are_read_and_written_are_the_same() {
        let body = json!({ "name": "p", "location": "westeurope", "eTag": "\"1\"", "properties": {
            "publicNetworkAccess": "Disabled", "registeredTools": ["ServerMigration"],
            "privateEndpointConnections": [{ "name": "c", "properties": { "privateEndpoint": { "id": "/subscriptions/s/pe" } } }],
            "summary": { "databases": { "instanceType": "Databases" },
                "servers": { "instanceType": "Servers", "discoveredCount": 12 } },
        }});
        let project: MigrateProject = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(project.discovered_servers(), Some(12));
        assert_eq!(project.entity_tag(), Some("\"1\""));
        assert_eq!(serde_json::to_value(project).unwrap(), body);

        let body = json!({ "name": MIGRATION_SOLUTION, "properties": {
            "tool": "ServerMigration", "purpose": "Migration", "goal": "Servers", "status": "Active",
            "details": { "groupCount": 0, "extendedDetails": { "vaultId": "/subscriptions/s/v", "instanceType": null } },
        }});
        let solution: Solution = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(solution.vault_id(), Some(ArmId::new("/subscriptions/s/v")));
        assert_eq!(serde_json::to_value(solution).unwrap(), body);
    }

    #[test]
    fn the_newer_map_of_appliances_wins_over_the_older() {
        let solution = solution(&json!({
            SITES_V2: r#"[{"ApplianceName":"Old","SiteId":"/s/1"},{"ApplianceName":"Both","SiteId":"/s/2"},{"SiteId":"/s/0"}]"#,
            SITES_V3: r#"{"both":{"ApplianceName":"both","SiteId":"/s/3"},"New":{"SiteId":"/s/4"},"gone":{"SiteId":""}}"#,
        }));
        let sites = solution.appliance_sites().unwrap();
        let expected = [("both", "/s/3"), ("new", "/s/4"), ("old", "/s/1")];
        assert_eq!(sites, expected.map(|(name, site)| (name.to_owned(), ArmId::new(site))).into());
    }

    #[test]
    fn the_newer_map_may_be_a_list_of_maps() {
        let solution = solution(&json!({ SITES_V3: r#"[{"a":{"SiteId":"/s/1"}},{"b":{"SiteId":"/s/2"}}]"# }));
        assert_eq!(solution.appliance_sites().unwrap().len(), 2);
    }

    #[test]
    fn a_solution_that_knows_nothing_has_neither_vault_nor_appliances() {
        let empty = solution(&json!({ "vaultId": "", SITES_V2: null, SITES_V3: "" }));
        assert!(empty.vault_id().is_none() && empty.appliance_sites().unwrap().is_empty());
        assert!(Solution::default().appliance_sites().unwrap().is_empty());
    }

    #[test]
    fn a_map_that_is_none_is_an_error_that_names_it() {
        for (field, text) in [(SITES_V2, "{"), (SITES_V2, "{}"), (SITES_V3, "7"), (SITES_V3, "\"x\"")] {
            let error = solution(&json!({ field: text })).appliance_sites().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
