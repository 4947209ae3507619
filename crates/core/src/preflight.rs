//! The network, checked before a byte moves.
//!
//! [`preflight_network`] takes the names that a migration will talk to and says of each what is right and what is
//! wrong, from this machine, now: what it resolves to, whether that is the private endpoint, whether a
//! connection opens and whose certificate answers, and, with the real credential, whether blobs can be listed,
//! leased, written and deleted there.
//!
//! ```no_run
//! use libmigrate::preflight::{NetworkOptions, NetworkTarget, preflight_network};
//!
//! # async fn run(cancel: libmigrate::CancellationToken) {
//! let cache = NetworkTarget::new("webcache01.blob.core.windows.net").expecting([[10, 1, 0, 5].into()]);
//! let report = preflight_network(vec![cache], &NetworkOptions::default(), &cancel).await;
//! for finding in report.findings() {
//!     println!("{:?} {}: {} ({})", finding.severity(), finding.subject, finding.message, finding.code());
//! }
//! assert!(report.passed());
//! # }
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use ipnet::IpNet;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::finding::{Check, Finding, Rule, Severity};
use crate::private_link::dns_check::{self, Subject};
use crate::private_link::reach::{self, Trust};
use crate::private_link::{
    AddressRule, HostName, LONGEST_WAIT, NameLookup, Resolver, ServiceName, checks, name, proxy,
};
use crate::target::azure::{AzurePageBlob, probe};

/// How many targets are looked at side by side.
const AT_ONCE: usize = 16;

const OURS: Rule = Rule { document: "libmigrate, Private Link", date: "2026-11-25" };

static UNFINISHED: Check = Check {
    code: "preflight.unfinished",
    severity: Severity::Error,
    remedy: "give it more time, or look at what was slow: what is not checked is not known to work",
    rule: OURS,
};
static BAD_CERTIFICATES: Check = Check {
    code: "preflight.bad_certificates",
    severity: Severity::Error,
    remedy: "give the extra certificates in PEM",
    rule: OURS,
};

static CHECKS: &[&Check] = &[&UNFINISHED, &BAD_CERTIFICATES];

/// What the codes of a preflight are: each with its severity, remedy and rule.
pub fn catalogue() -> impl Iterator<Item = &'static Check> {
    let areas = [CHECKS, checks::ALL, reach::CHECKS, proxy::CHECKS, probe::CHECKS];
    areas.into_iter().flatten().copied()
}

/// A name to check.
#[derive(Clone, Debug)]
pub struct NetworkTarget {
    host: String,
    port: u16,
    expected: Vec<IpAddr>,
    blob: Option<Arc<AzurePageBlob>>,
}

impl NetworkTarget {
    /// A name of a service that is reached over https, as clients use it. Of a text that is no name, a URL say,
    /// the start alone is kept, because the rest may hold a secret.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: name::shown(&host.into()), port: 443, expected: Vec::new(), blob: None }
    }

    /// The addresses of its private endpoint: no other will do.
    #[must_use]
    pub fn expecting(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.expected.extend(addresses);
        self
    }

    /// Another port than 443.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Probes this blob's container too, with its own credential, once the name is in order: a small blob of
    /// its own is created, leased, written, read and removed. The blob itself is not touched.
    #[must_use]
    pub fn probing(mut self, blob: Arc<AzurePageBlob>) -> Self {
        self.blob = Some(blob);
        self
    }
}

/// How to check.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The longest that the whole call may take.
    pub time_limit: Duration,
    /// Who resolves names. To be the one that the transport uses.
    pub lookup: Arc<dyn NameLookup>,
    /// Networks that count as private besides RFC 1918 and RFC 4193; see [`AddressRule::also_private`].
    pub also_private: Vec<IpNet>,
    /// Certificates (PEM, one or many) that are trusted besides those of the system.
    pub extra_certificates_pem: Option<Vec<u8>>,
}

impl Default for NetworkOptions {
    /// Half a minute, as the system resolves names.
    fn default() -> Self {
        Self {
            time_limit: Duration::from_secs(30),
            lookup: Arc::new(Resolver::default()),
            also_private: Vec::new(),
            extra_certificates_pem: None,
        }
    }
}

/// What was found, target by target, in the order they were given.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkReport {
    /// The targets.
    pub targets: Vec<TargetReport>,
    /// How long it took.
    pub milliseconds: u64,
}

/// What was found at one target.
#[derive(Clone, Debug, Serialize)]
pub struct TargetReport {
    /// Its name, as it was given; the start of it, where it cannot be one.
    pub host: String,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
}

impl NetworkReport {
    /// Every finding.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.targets.iter().flat_map(|target| &target.findings)
    }

    /// Whether nothing is worse than a warning.
    pub fn passed(&self) -> bool {
        self.findings().all(|finding| finding.severity() < Severity::Error)
    }
}

/// Checks all targets side by side.
///
/// Never fails: what cannot be done is a finding. Ends at the time limit, or within a second of its
/// cancellation; what was not finished by then is said.
pub async fn preflight_network(
    targets: Vec<NetworkTarget>,
    options: &NetworkOptions,
    cancel: &CancellationToken,
) -> NetworkReport {
    let started = Instant::now();
    let deadline = started + options.time_limit.min(LONGEST_WAIT);
    let trust = Trust::new(options.extra_certificates_pem.as_deref());
    let checked = futures::stream::iter(targets).map(|target| {
        let trust = trust.as_ref();
        async move {
            let mut findings = Vec::new();
            let look = look_at(&target, options, trust, deadline, &mut findings);
            match tokio::time::timeout_at(deadline, cancel.run_until_cancelled(look)).await {
                // The probe minds limit and cancellation itself: it has something to remove.
                Ok(Some(Way::Clear)) => findings.extend(probe_blob(&target, deadline, cancel).await),
                Ok(Some(Way::Blocked)) => {}
                ended => {
                    let why = if ended.is_ok() { "it was cancelled" } else { "the time limit was reached" };
                    findings.push(UNFINISHED.found(&target.host, format!("{why} before everything was checked")));
                }
            }
            TargetReport { host: target.host, findings }
        }
        .boxed()
    });
    let targets = checked.buffered(AT_ONCE).collect().await;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    NetworkReport { targets, milliseconds }
}

/// Whether a target can be talked to.
enum Way {
    Clear,
    Blocked,
}

/// One target, step by step; a step that fails ends it.
async fn look_at(
    target: &NetworkTarget,
    options: &NetworkOptions,
    trust: Result<&Trust, &String>,
    deadline: Instant,
    findings: &mut Vec<Finding>,
) -> Way {
    if is_this_machine(&target.host) {
        findings.push(checks::NAME_THIS_MACHINE.found(&target.host, "it is this machine: bytes stay here"));
        return Way::Clear;
    }
    let host: HostName = match target.host.parse() {
        Ok(host) => host,
        Err(error) => {
            findings.push(checks::NAME_INVALID.found(&target.host, error));
            return Way::Blocked;
        }
    };
    let service = target.host.parse::<ServiceName>();
    if let Err(error) = &service {
        findings.push(checks::NAME_UNKNOWN_SERVICE.found(&host, error));
    }
    let rule = AddressRule { also_private: options.also_private.clone(), only: target.expected.clone() };
    let subject = Subject { host: &host, service: service.as_ref().ok(), rule: &rule };
    let named = dns_check::check(&subject, &*options.lookup).await;
    findings.extend(named.findings);
    findings.extend(proxy::check_environment(host.as_str()));
    let trust = match trust {
        Ok(trust) => trust,
        Err(problem) => {
            findings.push(BAD_CERTIFICATES.found(&host, problem));
            return Way::Blocked;
        }
    };
    if named.addresses.is_empty() {
        return Way::Blocked;
    }
    let addresses: Vec<SocketAddr> =
        named.addresses.iter().map(|address| SocketAddr::new(*address, target.port)).collect();
    let reached = reach::check(host.as_str(), &addresses, trust, deadline).await;
    let in_order = reached.iter().all(|finding| finding.severity() < Severity::Error);
    findings.extend(reached);
    if in_order { Way::Clear } else { Way::Blocked }
}

async fn probe_blob(target: &NetworkTarget, deadline: Instant, cancel: &CancellationToken) -> Vec<Finding> {
    match &target.blob {
        Some(blob) => blob.probe(deadline.saturating_duration_since(Instant::now()), cancel).await,
        None => Vec::new(),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_preflight_can_run_as_a_task_of_its_own() {
        let target = NetworkTarget::new("not a name");
        let task = tokio::spawn(async move {
            preflight_network(vec![target], &NetworkOptions::default(), &CancellationToken::new()).await
        });
        assert!(!task.await.unwrap().passed());
    }
}
