//! Private Link on the command line: the rule for the target's bytes, and the preflight.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;
use libmigrate::CancellationToken;
use libmigrate::finding::{Evidence, Finding, FixKind, Severity};
use libmigrate::preflight::{NetworkOptions, NetworkReport, NetworkTarget, preflight_network};
use libmigrate::private_link::{AddressRule, PrivateLink, Resolver};
use libmigrate::target::azure::AzurePageBlob;

/// Which way the bytes may go.
#[derive(Clone, Debug, Args)]
pub(crate) struct RouteOptions {
    /// Check the network to the target, print what is found, and replicate nothing.
    #[arg(long, requires = "target", conflicts_with = "source")]
    pub(crate) preflight: bool,
    /// Address of the target's private endpoint: no other will do; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    endpoint_address: Vec<IpAddr>,
    /// Network that counts as private besides RFC 1918 and RFC 4193; may be given several times.
    #[arg(long, value_name = "NETWORK")]
    also_private: Vec<IpNet>,
    /// Name server to ask instead of the system's; may be given several times.
    #[arg(long, value_name = "ADDRESS:PORT")]
    name_server: Vec<SocketAddr>,
    /// Certificates of authorities to trust besides those of the system, in PEM.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Let the bytes go to whatever the target's name resolves to, over the internet too.
    #[arg(long, conflicts_with_all = ["preflight", "endpoint_address", "also_private", "name_server"])]
    public_route: bool,
}

impl RouteOptions {
    /// The rule for the target.
    pub(crate) fn private_link(&self) -> PrivateLink {
        if self.public_route {
            return PrivateLink::NotRequired;
        }
        let rule = AddressRule { also_private: self.also_private.clone(), only: self.endpoint_address.clone() };
        PrivateLink::Required { rule, lookup: Arc::new(self.resolver()) }
    }

    /// The certificates to trust besides those of the system.
    pub(crate) fn extra_certificates(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        self.trust.as_ref().map(read).transpose()
    }

    /// Checks the way to a target and prints what was found; whether it may be used.
    pub(crate) async fn check(
        &self,
        url: &str,
        blob: AzurePageBlob,
        json: bool,
        cancel: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let url = url::Url::parse(url).context("the target is no URL")?;
        let host = url.host_str().context("the target's URL has no host")?;
        let target = NetworkTarget::new(host)
            .port(url.port_or_known_default().unwrap_or(443))
            .expecting(self.endpoint_address.iter().copied())
            .probing(Arc::new(blob));
        let options = NetworkOptions {
            lookup: Arc::new(self.resolver()),
            also_private: self.also_private.clone(),
            extra_certificates_pem: self.extra_certificates()?,
            ..NetworkOptions::default()
        };
        let report = preflight_network(vec![target], &options, cancel).await;
        if json {
            println!("{}", serde_json::json!({ "type": "preflight", "passed": report.passed(), "report": report }));
        } else {
            print!("{}", tree(&report));
        }
        Ok(report.passed())
    }

    fn resolver(&self) -> Resolver {
        Resolver::asking(self.name_server.iter().copied())
    }
}

/// The findings, target by target.
fn tree(report: &NetworkReport) -> String {
    let mut text = String::new();
    for target in &report.targets {
        let _ = writeln!(text, "{}", target.host);
        for (at, finding) in target.findings.iter().enumerate() {
            let last = at + 1 == target.findings.len();
            let (branch, stem) = if last { ("└─", "  ") } else { ("├─", "│ ") };
            let mark = match finding.severity() {
                Severity::Info => "ok",
                Severity::Warning => "warning",
                Severity::Error => "ERROR",
            };
            let _ = writeln!(text, "{branch} {mark:<8}{:<24}{}", finding.code(), finding.message);
            for line in details(finding) {
                let _ = writeln!(text, "{stem}     {line}");
            }
        }
    }
    let verdict = if report.passed() { "nothing is in the way" } else { "the way is not clear" };
    let _ = writeln!(text, "{verdict} ({} ms)", report.milliseconds);
    text
}

/// What was seen, and what to do.
fn details(finding: &Finding) -> Vec<String> {
    let mut lines: Vec<String> = finding.evidence.iter().filter_map(seen).collect();
    if finding.severity() > Severity::Info {
        lines.push(format!("to do: {}", finding.remedy()));
        for fix in &finding.fixes {
            let place = match fix.kind {
                FixKind::HostsFile => "hosts file, for a test",
                FixKind::DnsRecord => "zone file",
                FixKind::AzureCli => "Azure CLI",
                _ => "elsewhere",
            };
            lines.extend(fix.lines.iter().map(|line| format!("  {place}: {line}")));
        }
        lines.push(format!("rule: {}, {}", finding.rule().document, finding.rule().date));
    }
    lines
}

fn seen(evidence: &Evidence) -> Option<String> {
    match evidence {
        Evidence::Cname { name, target, ttl_seconds } => {
            Some(format!("{name} is an alias of {target} ({ttl_seconds} s)"))
        }
        Evidence::Expected { address } => Some(format!("expected: {address}")),
        Evidence::Compared { found, wanted } => Some(format!("found: {found}; wanted: {wanted}")),
        Evidence::Certificate { subject, issuer, not_after, .. } => {
            Some(format!("certificate of {subject}, by {issuer}, until {not_after}"))
        }
        Evidence::Answer { status, code } => Some(format!("the service answered {status} {code}")),
        Evidence::Said { by, words } => Some(format!("{by}: {words}")),
        Evidence::Took { step, milliseconds } => Some(format!("{step}: {milliseconds} ms")),
        // In the message already.
        _ => None,
    }
}
