//! The hosts file: what it says counts before any name server, wherever in the file it stands.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use libmigrate::finding::{Evidence, Finding, Severity};
use libmigrate::preflight::NetworkTarget;
use libmigrate::private_link::Resolver;
use libmigrate_test_support::hostile_dns::GarbageDns;

use crate::{ENDPOINT, HOST, asking, codes, findings_of};

const LINE: &[u8] = b"\n10.77.0.5 WebCache01.blob.core.windows.net. web # a test\n";

/// What is said of the name with such a hosts file, and a name server that must not be asked.
async fn found(hosts: &[u8], expected: &[IpAddr]) -> Vec<Finding> {
    let (folder, server) = (tempfile::tempdir().unwrap(), GarbageDns::start([]));
    let path = folder.path().join("hosts");
    std::fs::write(&path, hosts).unwrap();
    let resolver = Resolver { hosts_file: Some(path), ..asking(server.address()) };
    let findings = findings_of(NetworkTarget::new(HOST).expecting(expected.iter().copied()), resolver).await;
    assert_eq!(server.questions(), 0);
    findings
}

#[tokio::test]
async fn a_line_of_the_hosts_file_counts_and_is_said() {
    let findings = found(&[b"127.0.0.1 localhost", LINE].concat(), &[ENDPOINT]).await;
    assert_eq!(codes(&findings), ["dns.private", "dns.hosts_file"]);
    assert_eq!(findings[1].severity(), Severity::Warning);
    assert!(findings[1].evidence.iter().any(|evidence| {
        matches!(evidence, Evidence::Address { address, origin, .. } if *address == ENDPOINT && origin == "hosts_file")
    }));
}

#[tokio::test]
async fn a_line_counts_after_anything() {
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(100_000).collect();
    let latin = b"# f\xfcr den Spiegel".to_vec();
    let megabytes = b"0.0.0.0 advertisement.example\n".repeat(100_000);
    for before in [random, latin, megabytes] {
        assert_eq!(codes(&found(&[&before, LINE].concat(), &[]).await), ["dns.private", "dns.hosts_file"]);
    }
}

#[tokio::test]
async fn every_line_of_the_name_counts() {
    let public = format!("20.60.0.1 other {HOST}\n");
    assert_eq!(codes(&found(&[LINE, public.as_bytes()].concat(), &[]).await), ["dns.mixed_addresses"]);
    let many: Vec<String> = (1..=65).map(|host| format!("10.77.1.{host} {HOST}")).collect();
    assert_eq!(codes(&found(many.join("\n").as_bytes(), &[]).await), ["dns.bad_answer"]);
}

#[tokio::test]
async fn one_line_again_and_again_takes_no_time() {
    let began = Instant::now();
    assert_eq!(codes(&found(&LINE.repeat(50_000), &[]).await), ["dns.private", "dns.hosts_file"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_whole_is_said() {
    let findings = found(&[LINE, &vec![b'#'; 32 << 20]].concat(), &[]).await;
    assert_eq!(codes(&findings), ["dns.bad_answer"]);
    assert!(findings[0].message.contains("32 MiB"), "{}", findings[0].message);

    let folder = tempfile::tempdir().unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let resolver = Resolver { hosts_file: Some(folder.path().to_owned()), ..asking(nobody) };
    assert_eq!(codes(&findings_of(NetworkTarget::new(HOST), resolver).await), ["dns.bad_answer"]);
}
