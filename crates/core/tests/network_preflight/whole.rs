//! The whole call: from the name to a blob that is written and removed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libmigrate::CancellationToken;
use libmigrate::finding::Severity;
use libmigrate::preflight::{NetworkOptions, NetworkTarget, catalogue, preflight_network};
use libmigrate::private_link::{
    AddressRule, Answer, HostName, LookupFailure, NameLookup, Origin, PrivateLink, Resolver, ServiceName,
    TransportOptions,
};
use libmigrate::secret::Secret;
use libmigrate::target::azure::{AzurePageBlob, Credential};
use libmigrate_test_support::hostile_dns::SilentDns;
use libmigrate_test_support::network_namespace;
use libmigrate_test_support::page_blob_server::PageBlobServer;
use libmigrate_test_support::tls_front::{Authority, TlsFront};
use tempfile::TempDir;

use crate::{HOST, asking, check, codes, quick};

/// A storage account at a private endpoint (on loopback, which the rule lets through), found by a hosts file.
struct Endpoint {
    server: PageBlobServer,
    authority: Authority,
    front: TlsFront,
    folder: TempDir,
}

impl Endpoint {
    async fn start(certified: &str) -> Self {
        let (server, authority, folder) =
            (PageBlobServer::start().await, Authority::new(), tempfile::tempdir().unwrap());
        server.create_container("replicas");
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let front = TlsFront::start(at, &authority, &[certified], server.address()).await;
        std::fs::write(folder.path().join("hosts"), format!("127.0.0.1 {HOST}\n")).unwrap();
        Self { server, authority, front, folder }
    }

    fn resolver(&self) -> Resolver {
        let hosts: PathBuf = self.folder.path().join("hosts");
        Resolver { hosts_file: Some(hosts), ..asking(SocketAddr::from(([127, 0, 0, 1], 9))) }
    }

    fn options(&self) -> NetworkOptions {
        NetworkOptions {
            lookup: Arc::new(self.resolver()),
            also_private: vec!["127.0.0.1/32".parse().unwrap()],
            extra_certificates_pem: Some(self.authority.pem().into_bytes()),
            ..quick()
        }
    }

    fn target(&self) -> NetworkTarget {
        let NetworkOptions { also_private, extra_certificates_pem, .. } = self.options();
        let rule = AddressRule { also_private, only: Vec::new() };
        let private_link = PrivateLink::Required { rule, lookup: Arc::new(self.resolver()) };
        let options = TransportOptions { private_link, extra_certificates_pem, ..TransportOptions::default() };
        let url = format!("https://{HOST}:{}/replicas/web01.vhd", self.front.address().port());
        let credential = Credential::Sas(Secret::new("sv=1&sig=c2ln".to_owned()));
        let blob = AzurePageBlob::new(&url, credential, options).unwrap();
        NetworkTarget::new(HOST).port(self.front.address().port()).probing(Arc::new(blob))
    }
}

#[tokio::test]
async fn a_way_that_is_clear_is_shown_step_by_step() {
    let endpoint = Endpoint::start(HOST).await;
    let report = check(vec![endpoint.target()], endpoint.options()).await;
    let findings = &report.targets[0].findings;
    assert_eq!(
        codes(findings),
        ["dns.private", "dns.hosts_file", "tcp.connected", "tls.trusted", "blob.usable"],
        "{findings:#?}"
    );
    assert!(report.passed());
    assert!(endpoint.server.blob("replicas/web01.vhd").is_none());
}

#[tokio::test]
async fn a_certificate_for_another_name_ends_it_before_a_credential_is_sent() {
    let endpoint = Endpoint::start("portal.example").await;
    let report = check(vec![endpoint.target()], endpoint.options()).await;
    assert!(report.findings().any(|finding| finding.code() == "tls.wrong_name"), "{report:#?}");
    assert!(!report.passed());
    assert_eq!(endpoint.server.journal().len(), 0);
}

#[tokio::test]
async fn an_emulator_on_this_machine_needs_no_name() {
    let server = PageBlobServer::start().await;
    server.create_container("replicas");
    let credential = Credential::Sas(Secret::new("sv=1&sig=c2ln".to_owned()));
    let url = format!("{}/replicas/web01.vhd", server.endpoint());
    let blob = AzurePageBlob::new(&url, credential, TransportOptions::default()).unwrap();
    let report = check(vec![NetworkTarget::new("127.0.0.1").probing(Arc::new(blob))], quick()).await;
    let findings: Vec<_> = report.findings().cloned().collect();
    assert_eq!(codes(&findings), ["name.this_machine", "blob.usable"], "{findings:#?}");
}

#[tokio::test]
async fn many_names_are_checked_within_one_limit() {
    let (silent, began) = (SilentDns::start(), Instant::now());
    let targets = (0..40).map(|number| NetworkTarget::new(format!("cache{number:02}.blob.core.windows.net"))).collect();
    let lookup = Arc::new(asking(silent.address()));
    let report = check(targets, NetworkOptions { lookup, time_limit: Duration::from_secs(2), ..quick() }).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(report.targets.len(), 40);
    assert!(
        report
            .targets
            .iter()
            .all(|target| { target.findings.last().is_some_and(|finding| finding.code() == "preflight.unfinished") })
    );
    assert_eq!(report.targets[39].host, "cache39.blob.core.windows.net");
}

#[tokio::test]
async fn cancelling_ends_it_within_a_second() {
    let (silent, cancel) = (SilentDns::start(), CancellationToken::new());
    let options = NetworkOptions { lookup: Arc::new(asking(silent.address())), ..quick() };
    let checking = preflight_network(vec![NetworkTarget::new(HOST)], &options, &cancel);
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
        Instant::now()
    };
    let (report, cancelled) = tokio::join!(checking, cancelled);
    assert!(cancelled.elapsed() < Duration::from_secs(1));
    assert!(report.targets[0].findings[0].message.contains("cancelled"));
}

#[tokio::test]
async fn what_is_no_name_or_of_no_known_cloud_is_a_finding() {
    let silent = SilentDns::start();
    let targets = ["not a name", "10.0.0.5", "storage.example.org", ""].map(NetworkTarget::new).to_vec();
    let lookup = Arc::new(asking(silent.address()));
    let report = check(targets, NetworkOptions { lookup, time_limit: Duration::from_secs(1), ..quick() }).await;
    let first = |at: usize| report.targets[at].findings[0].code();
    assert_eq!([0, 1, 2, 3].map(first), ["name.invalid", "name.invalid", "name.unknown_service", "name.invalid"]);
}

/// A resolver of the caller's own that knows every name and no address.
#[derive(Debug)]
struct Empty;

#[async_trait::async_trait]
impl NameLookup for Empty {
    async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
        let (chain, addresses) = (Vec::new(), Vec::new());
        Ok(Answer { origin: Origin::Dns, chain, addresses, valid_for: Duration::MAX })
    }
}

#[tokio::test]
async fn an_answer_without_an_address_is_none() {
    let options = NetworkOptions { lookup: Arc::new(Empty), ..quick() };
    let report = check(vec![NetworkTarget::new(HOST)], options).await;
    assert_eq!(codes(&report.targets[0].findings), ["dns.unknown_name"]);
    assert!(!report.passed());
}

#[tokio::test]
async fn time_without_end_is_a_long_time() {
    let options = NetworkOptions { lookup: Arc::new(Empty), time_limit: Duration::MAX, ..quick() };
    let report = check(vec![NetworkTarget::new(HOST)], options).await;
    assert_eq!(codes(&report.targets[0].findings), ["dns.unknown_name"]);
}

#[tokio::test]
async fn what_is_no_name_is_shown_only_as_far_as_it_could_be_one() {
    for (text, shown) in [
        ("https://acct.blob.core.windows.net/c/x.vhd?sv=1&sig=canary", "https…"),
        ("acct.blob.core.windows.net/c/x.vhd?sv=1&sig=canary", "acct.blob.core.windows.net…"),
        ("user:canary@acct.blob.core.windows.net", "user…"),
        ("?sv=1&sig=canary", "…"),
        ("sig=canary", "sig…"),
        ("sig%3Dcanary", "sig…"),
    ] {
        let target = NetworkTarget::new(text);
        assert!(!format!("{target:?}").contains("canary"), "{target:?}");
        let report = check(vec![target], quick()).await;
        assert_eq!((report.targets[0].host.as_str(), report.targets[0].findings[0].code()), (shown, "name.invalid"));
        assert!(!format!("{report:?}").contains("canary"), "{report:?}");
        assert!(!text.parse::<HostName>().unwrap_err().to_string().contains("canary"));
        assert!(!text.parse::<ServiceName>().unwrap_err().to_string().contains("canary"));
    }
    for kept in ["10.0.0.5", "fd00::5", "[fd00::5]", "storage.example.org", "localhost"] {
        let options = NetworkOptions { lookup: Arc::new(Empty), ..quick() };
        assert_eq!(check(vec![NetworkTarget::new(kept)], options).await.targets[0].host, kept);
    }
}

#[test]
fn without_a_network_it_ends_in_time_with_findings() {
    let Some(namespace) = network_namespace::inside("whole::without_a_network_it_ends_in_time_with_findings", &[])
    else {
        return;
    };
    namespace.resolv_conf("nameserver 10.77.0.53\n");
    namespace.hosts_file("10.77.0.5 kv1.vault.azure.net\n");
    let (runtime, began) = (tokio::runtime::Runtime::new().unwrap(), Instant::now());
    let targets = vec![NetworkTarget::new(HOST), NetworkTarget::new("kv1.vault.azure.net")];
    let report = runtime.block_on(check(targets, quick()));
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!(codes(&report.targets[0].findings), ["dns.no_answer"]);
    assert_eq!(codes(&report.targets[1].findings), ["dns.private", "dns.hosts_file", "tcp.unreachable"]);
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_a_finding() {
    let endpoint = Endpoint::start(HOST).await;
    let options = NetworkOptions { extra_certificates_pem: Some(b"no PEM".to_vec()), ..endpoint.options() };
    let report = check(vec![endpoint.target()], options).await;
    assert!(report.findings().any(|finding| finding.code() == "preflight.bad_certificates"), "{report:#?}");
    assert_eq!(endpoint.server.journal().len(), 0);
}

#[test]
fn every_code_is_explained_in_the_guide_and_no_other() {
    let page = include_str!("../../../../docs/network-findings.md");
    let sections: Vec<(&str, &str)> =
        page.split("\n### `").skip(1).filter_map(|section| section.split_once('`')).collect();
    for check in catalogue() {
        let text = sections.iter().find(|(code, _)| *code == check.code).map(|(_, text)| *text);
        let text = text.unwrap_or_else(|| panic!("docs/network-findings.md has no section for {}", check.code));
        assert!(text.contains(check.remedy), "another remedy for {} than: {}", check.code, check.remedy);
        assert!(text.contains(check.rule.document) && text.contains(check.rule.date), "{}", check.code);
    }
    let mut known: Vec<&str> = catalogue().map(|check| check.code).collect();
    let mut named: Vec<&str> = sections.iter().map(|(code, _)| *code).collect();
    known.sort_unstable();
    named.sort_unstable();
    assert_eq!(known, named);
    assert!(catalogue().all(|check| check.severity == Severity::Info || !check.remedy.is_empty()));
}
