//! Everything that can be known before anything is changed, in one call.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::observe::observe;
use crate::control::arm::{ArmClient, ArmError};
use crate::control::limits::Limits;
use crate::control::model::ConnectionStatus;
use crate::control::observed::Observed;
use crate::control::rules;
use crate::control::settings::MigrationSettings;
use crate::finding::Finding;
use crate::preflight::{NetworkOptions, NetworkTarget, preflight_network};

/// What a preflight has seen and found.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// What is there: what a plan is made from.
    pub observed: Observed,
    /// What is wrong: of the rules first, then of the network.
    pub findings: Vec<Finding>,
}

/// Reads what is there, looks at it by all rules and, where the caller gives options for it, checks the names of the
/// accounts and the vault from this machine: that each leads to the addresses of its private endpoint.
///
/// Changes nothing. `now` is for what expires.
///
/// # Errors
///
/// Those of [`observe`]. What is wrong is no error but a finding.
pub async fn preflight(
    client: &ArmClient,
    wanted: &MigrationSettings,
    limits: &Limits,
    now: Timestamp,
    network: Option<&NetworkOptions>,
    cancel: &CancellationToken,
) -> Result<Preflight, ArmError> {
    let observed = observe(client, wanted, cancel).await?;
    let mut findings = rules::check(wanted, &observed, limits, now);
    if let Some(options) = network {
        let report = preflight_network(targets(wanted, &observed), options, cancel).await;
        findings.extend(report.findings().cloned());
    }
    Ok(Preflight { observed, findings })
}

/// The names of the approved private endpoints of vault and accounts, as clients use them.
fn targets(wanted: &MigrationSettings, seen: &Observed) -> Vec<NetworkTarget> {
    let mut targets = Vec::new();
    for target in std::iter::once(&wanted.vault).chain(wanted.accounts()) {
        let approved = seen.endpoints.iter().filter(|endpoint| {
            let connection = endpoint.connection_to(target);
            connection.is_some_and(|one| one.status() == Some(&ConnectionStatus::Approved))
        });
        for config in approved.flat_map(|endpoint| endpoint.properties.custom_dns_configs.iter().flatten()) {
            let Some(fqdn) = &config.fqdn else { continue };
            let addresses = config.ip_addresses.iter().flatten().filter_map(crate::control::model::Address::ip);
            // Certificates are for the public name, and clients ask for that.
            targets.push(NetworkTarget::new(fqdn.replace(".privatelink.", ".")).expecting(addresses));
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Scenario, sample};

    #[test]
    fn the_names_of_vault_and_account_are_checked_with_the_addresses_of_their_endpoints() {
        let scenario = Scenario::HyperV;
        let told = format!("{:?}", targets(&sample::settings(scenario), &sample::observed(scenario)));
        assert!(told.contains(r#"host: "cache01.blob.core.windows.net", port: 443, expected: [10.1.0.4]"#), "{told}");
        let vault = "7548582474929277163-asr-pod01-rcm1.we.siterecovery.windowsazure.com";
        assert!(told.contains(&format!(r#"host: "{vault}", port: 443, expected: [10.1.0.12]"#)), "{told}");
        assert_eq!(told.matches("NetworkTarget").count(), 6);
    }

    #[test]
    fn an_endpoint_that_is_not_approved_has_no_names_to_check() {
        let scenario = Scenario::VmwareAgentless;
        let mut seen = sample::observed(scenario);
        seen.endpoints.retain(|endpoint| endpoint.name.as_deref() == Some("cache01-blob"));
        let connection = &mut seen.endpoints[0].properties.private_link_service_connections.as_mut().unwrap()[0];
        connection.properties.private_link_service_connection_state =
            Some(sample::read(serde_json::json!({ "status": "Pending" })));
        assert!(targets(&sample::settings(scenario), &seen).is_empty());
    }
}
