//! Names: each trap is told from the others.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use libmigrate::finding::{Evidence, Finding, FixKind, Severity};
use libmigrate::preflight::NetworkTarget;
use libmigrate_test_support::dns_server::DnsServer;
use libmigrate_test_support::hostile_dns::{GarbageDns, SilentDns};

use crate::{ENDPOINT, HOST, asking, codes, findings_of};

/// The public side: what a name with a private endpoint looks like from anywhere.
const ALIAS: &str = "webcache01.blob.core.windows.net. 60 IN CNAME webcache01.privatelink.blob.core.windows.net.";
const STAMP: &str =
    "webcache01.privatelink.blob.core.windows.net. 60 IN CNAME blob.ams01prdstr.store.core.windows.net.";
const PUBLIC: &str = "blob.ams01prdstr.store.core.windows.net. 60 IN A 20.60.0.1";
const RECORD: &str = "webcache01.privatelink.blob.core.windows.net. 10 IN A 10.77.0.5";
/// Something else in the zone, so that the zone is there.
const NEIGHBOUR: &str = "other.privatelink.blob.core.windows.net. 10 IN A 10.77.0.9";

async fn found(records: &[&str]) -> Vec<Finding> {
    found_expecting(records, &[ENDPOINT]).await
}

async fn found_expecting(records: &[&str], expected: &[IpAddr]) -> Vec<Finding> {
    let Some(server) = DnsServer::start(records) else { return Vec::new() };
    findings_of(NetworkTarget::new(HOST).expecting(expected.iter().copied()), asking(server.address())).await
}

/// The one finding there is, if the server is installed.
fn only(findings: Vec<Finding>, code: &str) -> Option<Finding> {
    if findings.is_empty() {
        return None;
    }
    assert_eq!(codes(&findings), [code], "{findings:#?}");
    findings.into_iter().next()
}

fn chain(finding: &Finding) -> Vec<&str> {
    let aliases = finding.evidence.iter();
    aliases
        .filter_map(|evidence| match evidence {
            Evidence::Cname { target, .. } => Some(target.as_str()),
            _ => None,
        })
        .collect()
}

fn lines(finding: &Finding, kind: FixKind) -> Vec<&str> {
    finding.fixes.iter().filter(|fix| fix.kind == kind).flat_map(|fix| &fix.lines).map(String::as_str).collect()
}

#[tokio::test]
async fn the_private_endpoints_address_is_in_order_and_the_chain_is_the_evidence() {
    let Some(finding) = only(found(&[ALIAS, RECORD]).await, "dns.private") else { return };
    assert_eq!(finding.severity(), Severity::Info);
    assert_eq!(chain(&finding), ["webcache01.privatelink.blob.core.windows.net"]);
    assert!(finding.message.contains("10.77.0.5 (private)"), "{}", finding.message);
}

#[tokio::test]
async fn a_public_address_without_a_private_alias_means_that_there_is_no_private_endpoint() {
    let stamp = "webcache01.blob.core.windows.net. 60 IN CNAME blob.ams01prdstr.store.core.windows.net.";
    let Some(finding) = only(found(&[stamp, PUBLIC]).await, "dns.no_private_endpoint") else { return };
    assert_eq!(chain(&finding), ["blob.ams01prdstr.store.core.windows.net"]);
    assert!(lines(&finding, FixKind::AzureCli)[0].contains("private-endpoint create"));
}

#[tokio::test]
async fn a_public_address_behind_a_private_alias_means_that_the_zone_is_not_linked() {
    let Some(finding) = only(found(&[ALIAS, STAMP, PUBLIC]).await, "dns.zone_not_linked") else { return };
    assert_eq!(chain(&finding).len(), 2);
    assert!(finding.message.contains("webcache01.privatelink.blob.core.windows.net"), "{}", finding.message);
    assert!(lines(&finding, FixKind::AzureCli)[1].contains("--zone-name privatelink.blob.core.windows.net"));
    assert_eq!(lines(&finding, FixKind::HostsFile), ["10.77.0.5 webcache01.blob.core.windows.net"]);
}

#[tokio::test]
async fn no_such_name_behind_a_private_alias_means_that_the_record_is_missing() {
    let Some(finding) = only(found(&[ALIAS, NEIGHBOUR]).await, "dns.record_missing") else { return };
    assert_eq!(chain(&finding), ["webcache01.privatelink.blob.core.windows.net"]);
    assert_eq!(
        lines(&finding, FixKind::DnsRecord),
        ["webcache01.privatelink.blob.core.windows.net. 10 IN A 10.77.0.5"]
    );
}

#[tokio::test]
async fn a_private_name_without_an_address_is_a_missing_record_too() {
    let text = r#"webcache01.privatelink.blob.core.windows.net. 10 IN TXT "no address""#;
    only(found(&[ALIAS, text]).await, "dns.record_missing");
}

#[tokio::test]
async fn no_such_name_at_all_is_told_apart() {
    let other = "other.blob.core.windows.net. 60 IN A 20.60.0.9";
    let Some(finding) = only(found(&[other]).await, "dns.unknown_name") else { return };
    assert_eq!(chain(&finding), [""; 0]);
}

#[tokio::test]
async fn one_public_address_among_several_is_said() {
    let second = "webcache01.privatelink.blob.core.windows.net. 10 IN A 20.60.0.1";
    let Some(finding) = only(found(&[ALIAS, RECORD, second]).await, "dns.mixed_addresses") else { return };
    assert!(finding.message.contains("20.60.0.1 (public)") && finding.message.contains("10.77.0.5 (private)"));
}

#[tokio::test]
async fn a_private_address_that_is_not_the_endpoints_is_said() {
    let old = "webcache01.privatelink.blob.core.windows.net. 10 IN A 10.77.0.6";
    let Some(finding) = only(found(&[ALIAS, old]).await, "dns.unexpected_address") else { return };
    assert!(finding.evidence.contains(&Evidence::Expected { address: ENDPOINT }));
}

#[tokio::test]
async fn addresses_that_no_endpoint_has_are_said_with_their_kind() {
    for (address, kind) in [
        ("192.0.2.7", "documentation"),
        ("169.254.10.1", "link-local"),
        ("127.0.0.1", "loopback"),
        ("100.64.0.7", "carrier-grade"),
        ("0.0.0.0", "reserved"),
    ] {
        let record = format!("webcache01.privatelink.blob.core.windows.net. 10 IN A {address}");
        let Some(finding) = only(found_expecting(&[ALIAS, &record], &[]).await, "dns.unusable_address") else { return };
        assert!(finding.message.contains(kind), "{}", finding.message);
    }
}

#[tokio::test]
async fn ipv6_alone_is_worth_a_look_and_public_ipv6_is_refused() {
    let local = "webcache01.privatelink.blob.core.windows.net. 10 IN AAAA fd00::5";
    let findings = found_expecting(&[ALIAS, local], &[]).await;
    assert!(findings.is_empty() || codes(&findings) == ["dns.private", "dns.ipv6_only"], "{findings:#?}");
    let public = "webcache01.privatelink.blob.core.windows.net. 10 IN AAAA 2603:1000::1";
    only(found_expecting(&[ALIAS, public], &[]).await, "dns.zone_not_linked");
}

#[tokio::test]
async fn a_wildcard_in_the_private_zone_is_found_by_a_name_that_nobody_has() {
    let wildcard = "*.privatelink.blob.core.windows.net. 10 IN A 10.77.0.5";
    let findings = found(&[ALIAS, wildcard]).await;
    assert!(findings.is_empty() || codes(&findings) == ["dns.private", "dns.wildcard"], "{findings:#?}");
}

#[tokio::test]
async fn aliases_that_go_round_in_a_circle_are_a_bad_answer() {
    let back = "webcache01.privatelink.blob.core.windows.net. 60 IN CNAME webcache01.blob.core.windows.net.";
    only(found(&[ALIAS, back]).await, "dns.bad_answer");
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_read_whole() {
    let many: Vec<String> = (1..=64)
        .map(|host| format!("webcache01.privatelink.blob.core.windows.net. 10 IN A 10.77.1.{host}"))
        .chain([ALIAS.to_owned()])
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let Some(finding) = only(found_expecting(&many, &[]).await, "dns.private") else { return };
    let addresses = finding.evidence.iter().filter(|evidence| matches!(evidence, Evidence::Address { .. })).count();
    assert_eq!(addresses, 64);
}

#[tokio::test]
async fn a_silent_name_server_ends_with_a_finding_in_time() {
    let (silent, began) = (SilentDns::start(), Instant::now());
    let findings = findings_of(NetworkTarget::new(HOST), asking(silent.address())).await;
    only(findings, "dns.no_answer").unwrap();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_name_server_that_is_not_there_ends_with_a_finding() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    only(findings_of(NetworkTarget::new(HOST), asking(closed)).await, "dns.no_answer").unwrap();
}

#[tokio::test]
async fn answers_that_make_no_sense_end_with_a_finding() {
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(400).collect();
    for bytes in [Vec::new(), vec![0; 3], vec![0xff; 512], random] {
        let hostile = GarbageDns::start(bytes);
        let findings = findings_of(NetworkTarget::new(HOST), asking(hostile.address())).await;
        assert!(matches!(codes(&findings)[..], ["dns.no_answer" | "dns.bad_answer"]), "{findings:#?}");
    }
}

#[tokio::test]
async fn other_services_have_zones_of_their_own() {
    let Some(server) = DnsServer::start(&[
        "kv1.vault.azure.net. 60 IN CNAME kv1.privatelink.vaultcore.azure.net.",
        "other.privatelink.vaultcore.azure.net. 60 IN A 10.77.0.9",
        "7548-asr-pod01-rcm1.cus.siterecovery.windowsazure.com. 60 IN CNAME 7548-asr-pod01-rcm1.cus.privatelink.siterecovery.windowsazure.com.",
        "7548-asr-pod01-rcm1.cus.privatelink.siterecovery.windowsazure.com. 60 IN A 10.77.0.10",
    ]) else {
        return;
    };
    let vault = NetworkTarget::new("kv1.vault.azure.net");
    only(findings_of(vault, asking(server.address())).await, "dns.record_missing").unwrap();
    let site = NetworkTarget::new("7548-asr-pod01-rcm1.cus.siterecovery.windowsazure.com");
    only(findings_of(site, asking(server.address())).await, "dns.private").unwrap();
}
