//! What the preflight says of each trap of Private Link, asked of a real DNS server.

mod dns;
mod hosts_file;
mod servers;
mod whole;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use libmigrate::CancellationToken;
use libmigrate::finding::Finding;
use libmigrate::preflight::{NetworkOptions, NetworkReport, NetworkTarget, preflight_network};
use libmigrate::private_link::Resolver;

pub(crate) const HOST: &str = "webcache01.blob.core.windows.net";
pub(crate) const ENDPOINT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 5));

/// Asks these servers only, without a hosts file, for a few seconds at most.
pub(crate) fn asking(server: std::net::SocketAddr) -> Resolver {
    Resolver { servers: vec![server], hosts_file: None, limit: Duration::from_secs(4) }
}

/// Checks one name. Nobody listens at its addresses: what is said of connections is left out.
pub(crate) async fn findings_of(target: NetworkTarget, resolver: Resolver) -> Vec<Finding> {
    let report = check(vec![target], NetworkOptions { lookup: Arc::new(resolver), ..quick() }).await;
    report.findings().filter(|finding| finding.code().starts_with("dns.")).cloned().collect()
}

/// The report; each of its findings is as the published schema says.
pub(crate) async fn check(targets: Vec<NetworkTarget>, options: NetworkOptions) -> NetworkReport {
    let report = preflight_network(targets, &options, &CancellationToken::new()).await;
    let schema = serde_json::from_str(include_str!("../../../../docs/finding.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for finding in report.findings() {
        let finding = serde_json::to_value(finding).unwrap();
        let problems: Vec<String> = schema.iter_errors(&finding).map(|problem| problem.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?} in {finding:#}");
    }
    report
}

pub(crate) fn quick() -> NetworkOptions {
    NetworkOptions { time_limit: Duration::from_secs(6), ..NetworkOptions::default() }
}

/// The codes, apart from those about proxies: whoever runs the tests may have one.
pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::code).filter(|code| !code.starts_with("proxy.")).collect()
}
