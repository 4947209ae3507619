//! Packets, counted: in a network of the test's own, with real private and public addresses, none goes to the
//! public one.
//!
//! The service answers at both. So whatever leaks would succeed, and the last test shows that it is counted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use libmigrate::private_link::{
    AddressRule, Answer, HostName, LookupFailure, NameLookup, Origin, PrivateLink, TransportOptions, WhyNot,
};
use libmigrate::secret::Secret;
use libmigrate::source::{self, Format};
use libmigrate::target::PageTarget;
use libmigrate::target::azure::{AzurePageBlob, Credential};
use libmigrate::{CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions, Error, RetryPolicy};
use libmigrate_test_support::dns_server::DnsServer;
use libmigrate_test_support::network_namespace::{self, Namespace};
use libmigrate_test_support::page_blob_server::{PageBlobServer, Rates};
use libmigrate_test_support::sample_disk::SampleDisk;
use libmigrate_test_support::tls_front::{Authority, TlsFront};

use crate::HOST;

const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 60, 0, 1);
const URL: &str = "https://webcache01.blob.core.windows.net/replicas/web01.vhd";

fn namespace(test: &str) -> Option<Namespace> {
    network_namespace::inside(&format!("no_leak::{test}"), &[&PRIVATE.to_string(), &PUBLIC.to_string()])
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(test)
}

/// The service, at the private endpoint and on the internet.
struct World {
    server: PageBlobServer,
    authority: Authority,
    _fronts: [TlsFront; 2],
}

impl World {
    async fn start() -> Self {
        let (server, authority) = (PageBlobServer::start().await, Authority::new());
        server.create_container("replicas");
        let at = |address: Ipv4Addr| SocketAddr::from((address, 443));
        let private = TlsFront::start(at(PRIVATE), &authority, &[HOST], server.address()).await;
        let public = TlsFront::start(at(PUBLIC), &authority, &[HOST], server.address()).await;
        Self { server, authority, _fronts: [private, public] }
    }

    fn target(&self, private_link: PrivateLink) -> Arc<AzurePageBlob> {
        let options = TransportOptions {
            private_link,
            base_timeout: Duration::from_secs(2),
            extra_certificates_pem: Some(self.authority.pem().into_bytes()),
            ..TransportOptions::default()
        };
        let credential = Credential::Sas(Secret::new("sv=1&sig=c2ln".to_owned()));
        Arc::new(AzurePageBlob::new(URL, credential, options).unwrap())
    }
}

/// Answers each look with another address, drawn from a seed: the private one, the public one, both, neither.
#[derive(Debug)]
struct Rebinding {
    looks: AtomicU64,
    refusals: AtomicU64,
}

#[async_trait::async_trait]
impl NameLookup for Rebinding {
    async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        let (private, public) = (IpAddr::V4(PRIVATE), IpAddr::V4(PUBLIC));
        let addresses = match fastrand::Rng::with_seed(look).u8(0..10) {
            0..5 => vec![private],
            5..7 => vec![public],
            7 => vec![private, public],
            8 => vec![public, private],
            _ => {
                let (why, words) = (WhyNot::NoAnswer, "no answer".to_owned());
                return Err(LookupFailure { why, chain: Vec::new(), words });
            }
        };
        self.refusals.fetch_add(u64::from(addresses.contains(&public)), Ordering::Relaxed);
        let valid_for = Duration::from_millis(fastrand::u64(0..300));
        Ok(Answer { origin: Origin::Dns, chain: Vec::new(), addresses, valid_for })
    }
}

/// Replicates a disk, again and again until it is sealed or `enough` says so; what stopped it, by code.
async fn replicate(target: Arc<AzurePageBlob>, folder: &Path, enough: impl Fn() -> bool) -> Vec<&'static str> {
    let image = folder.join("web01.raw");
    SampleDisk { len: 64 << 20, data_bytes: 32 << 20, seed: 1 }.write(&image).unwrap();
    let retry = RetryPolicy { budget: Duration::from_secs(5), ..RetryPolicy::default() };
    let options = EngineOptions { state_dir: Some(folder.join("state")), retry, ..EngineOptions::default() };
    let (engine, cancel) = (Engine::new(options).unwrap(), CancellationToken::new());
    let mut stopped = Vec::new();
    while !enough() {
        let source = source::open(&image, Format::Raw).unwrap();
        let target: Arc<dyn PageTarget> = Arc::<AzurePageBlob>::clone(&target);
        let cycle = async {
            let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await?;
            let sealed = replica.replicate(source.clone(), CycleRequest::default(), &cancel).await;
            replica.close().await?;
            sealed
        };
        match cycle.await {
            Ok(_) => {}
            Err(error) => stopped.push(Error::code(&error)),
        }
    }
    stopped
}

#[test]
fn rebinding_names_and_failing_requests_send_nothing_to_a_public_address() {
    let Some(namespace) = namespace("rebinding_names_and_failing_requests_send_nothing_to_a_public_address") else {
        return;
    };
    let stopped = run(async {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        world.server.faults().seeded(7, Rates::of_every_kind(0.02));
        let lookup = Arc::new(Rebinding { looks: AtomicU64::new(0), refusals: AtomicU64::new(0) });
        let link = PrivateLink::Required { rule: AddressRule::default(), lookup: Arc::<Rebinding>::clone(&lookup) };
        let enough = || lookup.refusals.load(Ordering::Relaxed) >= 8;
        replicate(world.target(link), folder.path(), enough).await
    });
    assert!(stopped.contains(&"target.not_private"), "{stopped:?}");
    assert!(namespace.packets_to(&PRIVATE.to_string()) > 100);
    assert_eq!(namespace.packets_to(&PUBLIC.to_string()), 0);
}

#[test]
fn a_zone_that_loses_its_link_and_gets_it_back_sends_nothing_to_a_public_address() {
    let Some(namespace) = namespace("a_zone_that_loses_its_link_and_gets_it_back_sends_nothing_to_a_public_address")
    else {
        return;
    };
    let zone = |address: Ipv4Addr| [format!("{HOST}. 1 IN CNAME private."), format!("private. 1 IN A {address}")];
    let Some(mut dns) = DnsServer::start_at("127.0.0.1:53".parse().unwrap(), &zone(PRIVATE)) else { return };
    namespace.resolv_conf("nameserver 127.0.0.1\noptions timeout:1\n");
    namespace.hosts_file("127.0.0.1 localhost\n");
    let done = AtomicBool::new(false);
    let stopped = std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..6 {
                std::thread::sleep(Duration::from_millis(1500));
                dns.replace(&zone(if turn % 2 == 0 { PUBLIC } else { PRIVATE }));
            }
            done.store(true, Ordering::Relaxed);
        });
        run(async {
            let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
            let target = world.target(PrivateLink::default());
            replicate(target, folder.path(), || done.load(Ordering::Relaxed)).await
        })
    });
    assert!(stopped.contains(&"target.not_private"), "{stopped:?}");
    assert!(namespace.packets_to(&PRIVATE.to_string()) > 100);
    assert_eq!(namespace.packets_to(&PUBLIC.to_string()), 0);
}

#[test]
fn proxies_of_the_environment_are_passed_by() {
    let Some(namespace) = namespace("proxies_of_the_environment_are_passed_by") else { return };
    namespace.hosts_file(&format!("127.0.0.1 localhost\n{PRIVATE} {HOST}\n"));
    let output = run(async {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let image = folder.path().join("web01.raw");
        SampleDisk { len: 4 << 20, data_bytes: 2 << 20, seed: 1 }.write(&image).unwrap();
        std::fs::write(folder.path().join("authority.pem"), world.authority.pem()).unwrap();
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("examples/replicate");
        let mut command = tokio::process::Command::new(program);
        command.current_dir(folder.path()).env("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=c2ln");
        command.args(["--source", "web01.raw", "--no-state", "--target", URL, "--trust", "authority.pem"]);
        for proxy in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(proxy, format!("http://{PUBLIC}:443"));
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").output().await.unwrap()
    });
    assert!(output.status.success(), "{output:?}");
    assert!(namespace.packets_to(&PRIVATE.to_string()) > 10);
    assert_eq!(namespace.packets_to(&PUBLIC.to_string()), 0);
}

/// The others prove something only if a leak would be seen.
#[test]
fn without_the_rule_the_packets_are_sent_and_counted() {
    let Some(namespace) = namespace("without_the_rule_the_packets_are_sent_and_counted") else { return };
    namespace.hosts_file(&format!("127.0.0.1 localhost\n{PUBLIC} {HOST}\n"));
    run(async {
        let world = World::start().await;
        world.target(PrivateLink::NotRequired).state().await.unwrap();
    });
    assert!(namespace.packets_to(&PUBLIC.to_string()) > 2);
}
