//! The probe of a container: each cause has its code, and nothing stays behind.
//!
//! Against the in-process service, with faults on order; where an emulator is installed, against that too; and
//! against servers that are no storage service.

mod azurite;

use std::sync::Arc;
use std::time::{Duration, Instant};

use libmigrate::CancellationToken;
use libmigrate::finding::{Evidence, Finding, Severity};
use libmigrate::private_link::{AddressRule, Answer, HostName, LookupFailure, NameLookup, Origin, PrivateLink, WhyNot};
use libmigrate::secret::Secret;
use libmigrate::size::MIB;
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::{LeaseId, Metadata, PageTarget};
use libmigrate_test_support::page_blob_server::{Auth, Fault, Op, PageBlobServer, Refusal, ServerOptions};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use azurite::{ACCOUNT, Container, KEY, account_key};

const LIMIT: Duration = Duration::from_secs(60);
const SIGNATURE: &str = "canary-signature";

/// Every step of a probe that changes something, with what it asks of the service.
const STEPS: [Op; 6] =
    [Op::CreatePageBlob, Op::AcquireLease, Op::PutPage, Op::GetBlob, Op::ReleaseLease, Op::DeleteBlob];

/// A service with a container `disks`, which takes the account's key.
async fn service() -> PageBlobServer {
    let auth = Auth::SharedKey { account: ACCOUNT.to_owned(), key: KEY.to_owned() };
    let server = PageBlobServer::start_with(ServerOptions { auth, ..ServerOptions::default() }).await;
    server.create_container("disks");
    server
}

fn target(server: &PageBlobServer) -> AzurePageBlob {
    let url = format!("{}/disks/web01.vhd", server.endpoint());
    AzurePageBlob::new(&url, account_key(), AzureOptions::default()).unwrap()
}

fn at(url: &str, options: AzureOptions) -> AzurePageBlob {
    AzurePageBlob::new(url, Credential::Sas(Secret::new(format!("sv=1&sig={SIGNATURE}"))), options).unwrap()
}

async fn probed(target: &AzurePageBlob) -> Vec<Finding> {
    let findings = target.probe(LIMIT, &CancellationToken::new()).await;
    let shown = format!("{findings:?} {}", serde_json::to_string(&findings).unwrap());
    assert!(!shown.contains(SIGNATURE) && !shown.contains(KEY), "{shown}");
    assert!(findings.iter().all(|finding| finding.subject == target.location()), "{shown}");
    findings
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::code).collect()
}

/// What is found where `op` is refused in this way, and that nothing is left.
async fn found_at(op: Op, status: u16, code: &'static str) -> Vec<&'static str> {
    let server = service().await;
    server.faults().next(op, Fault::Refuse(Refusal::new(status, code, "No.")));

    let findings = probed(&target(&server)).await;

    assert_eq!(server.faults().outstanding(), 0, "{op:?} was not asked for");
    assert_eq!(server.blob_names("disks"), [""; 0], "after {op:?} {status} {code}");
    let answer = Evidence::Answer { status, code: code.to_owned() };
    assert!(findings[0].evidence.contains(&answer), "{findings:?}");
    codes(&findings)
}

#[tokio::test]
async fn a_container_that_takes_a_replica_is_usable() {
    let server = service().await;

    let findings = probed(&target(&server)).await;

    assert_eq!(codes(&findings), ["blob.usable"]);
    assert_eq!(findings[0].severity(), Severity::Info);
    let said = Evidence::Said { by: "the account".into(), words: "StorageV2 Standard_LRS".into() };
    assert!(findings[0].evidence.contains(&said));
    let steps = findings[0].evidence.iter().filter(|evidence| matches!(evidence, Evidence::Took { .. })).count();
    assert_eq!(steps, 8);
    assert_eq!(server.blob_names("disks"), [""; 0]);
    for op in STEPS {
        assert_eq!(server.stats().count(op), 1, "{op:?}");
    }
}

#[tokio::test]
async fn the_replicas_own_blob_is_not_touched() {
    let server = service().await;
    let target = target(&server);
    let lease = LeaseId::random();
    target.create(MIB, &Metadata::new()).await.unwrap();
    target.acquire_lease(lease, Duration::from_secs(60)).await.unwrap();
    let before = target.state().await.unwrap();
    server.reset_stats();

    assert_eq!(codes(&probed(&target).await), ["blob.usable"]);

    assert!(server.journal().iter().all(|entry| entry.blob != "disks/web01.vhd"));
    assert_eq!(server.blob_names("disks"), ["web01.vhd"]);
    assert_eq!(target.state().await.unwrap(), before);
    target.renew_lease(lease).await.unwrap();
}

#[tokio::test]
async fn an_emulators_container_is_usable_and_empty_afterwards() {
    let Some(container) = Container::make().await else { return };
    let target = container.target("dir/web01.vhd");

    let findings = probed(&target).await;

    assert_eq!(codes(&findings), ["blob.usable"], "{findings:?}");
    assert!(left_in(&container).await.is_empty());
}

#[tokio::test]
async fn an_emulators_refusals_are_told_apart() {
    let Some(container) = Container::make().await else { return };
    let signed = |permissions: &str| Credential::Sas(Secret::new(container.signature(permissions)));
    let probe = async |url: String, credential| {
        codes(&AzurePageBlob::new(&url, credential, AzureOptions::default()).unwrap().probe(LIMIT, &never()).await)
    };
    let (url, elsewhere) = (container.url("web01.vhd"), format!("{}/no-such/web01.vhd", container.endpoint));
    let wrong_key = Credential::account_key(ACCOUNT, "Y2FuYXJ5Y2FuYXJ5").unwrap();

    assert_eq!(probe(url.clone(), signed("l")).await, ["blob.forbidden"]);
    assert_eq!(probe(url, wrong_key).await, ["blob.unauthenticated"]);
    assert_eq!(probe(elsewhere, account_key()).await, ["blob.no_container"]);
    assert!(left_in(&container).await.is_empty());
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

/// What a container of the emulator holds.
async fn left_in(container: &Container) -> String {
    let signature = azurite::account_signature(azurite::FAR_FUTURE);
    let url = format!("{}/{}?restype=container&comp=list&{signature}", container.endpoint, container.name);
    let list = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(list.contains("<EnumerationResults"), "{list}");
    list.split("<Name>").skip(1).collect()
}

#[tokio::test]
async fn each_refusal_of_the_service_has_its_code() {
    for (status, code, expected) in [
        (403, "AuthenticationFailed", "blob.unauthenticated"),
        (401, "NoAuthenticationInformation", "blob.unauthenticated"),
        (403, "KeyBasedAuthenticationNotPermitted", "blob.unauthenticated"),
        (403, "AuthorizationPermissionMismatch", "blob.forbidden"),
        (403, "InsufficientAccountPermissions", "blob.forbidden"),
        (403, "AuthorizationFailure", "blob.firewall"),
        (403, "AuthorizationSourceIPMismatch", "blob.firewall"),
        (404, "ContainerNotFound", "blob.no_container"),
        (409, "AccountBeingCreated", "blob.failed"),
        (503, "ServerBusy", "blob.failed"),
    ] {
        assert_eq!(found_at(Op::ListBlobs, status, code).await, [expected], "{code}");
        assert_eq!(found_at(Op::CreatePageBlob, status, code).await, [expected], "{code}");
    }
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_behind() {
    // A removal that is refused leaves the blob, and says so: below.
    for op in STEPS.into_iter().filter(|op| *op != Op::DeleteBlob) {
        assert_eq!(
            found_at(op, 403, "AuthorizationPermissionMismatch").await.first(),
            Some(&"blob.forbidden"),
            "{op:?}"
        );
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_nothing_behind() {
    for op in STEPS {
        let server = service().await;
        server.faults().next(op, Fault::LoseAnswer);

        let findings = probed(&target(&server)).await;

        assert_eq!(server.blob_names("disks"), [""; 0], "{op:?}");
        // A deletion whose answer is lost is asked for again, and finds nothing.
        let expected = if op == Op::DeleteBlob { "blob.usable" } else { "blob.route" };
        assert_eq!(codes(&findings), [expected], "{op:?}");
    }
}

#[tokio::test]
async fn a_creation_that_may_yet_happen_is_warned_of() {
    let server = service().await;
    server.faults().next(Op::CreatePageBlob, Fault::ApplyLate);

    let findings = probed(&target(&server)).await;

    assert_eq!(codes(&findings), ["blob.failed", "blob.probe_left"]);
    server.release_late_writes();
    assert!(findings[1].message.contains(&server.blob_names("disks")[0]));
}

#[tokio::test]
async fn a_blob_that_cannot_be_removed_is_named() {
    let server = service().await;
    server.faults().always(Op::DeleteBlob, Fault::FORBIDDEN);

    let findings = probed(&target(&server)).await;

    assert_eq!(codes(&findings), ["blob.forbidden", "blob.probe_left"]);
    assert_eq!(findings[1].severity(), Severity::Warning);
    assert!(findings[1].message.contains(&server.blob_names("disks")[0]), "{}", findings[1].message);
}

#[tokio::test]
async fn a_busy_service_is_asked_again_to_remove() {
    let server = service().await;
    server.faults().next_times(Op::DeleteBlob, 2, Fault::BUSY);

    assert_eq!(codes(&probed(&target(&server)).await), ["blob.usable"]);

    assert_eq!(server.blob_names("disks"), [""; 0]);
}

#[tokio::test]
async fn a_clock_that_differs_is_named() {
    let server = service().await;
    server.advance_clock(Duration::from_secs(20 * 60));

    let findings = probed(&target(&server)).await;

    assert_eq!(codes(&findings), ["blob.clock"]);
    assert!(findings[0].message.contains("the service's clock says"), "{}", findings[0].message);
}

#[tokio::test]
async fn an_account_of_another_kind_is_named() {
    for kind in ["BlobStorage", "BlockBlobStorage", "FileStorage"] {
        let server = service().await;
        server.set_account_kind(kind);

        let findings = probed(&target(&server)).await;

        assert_eq!(codes(&findings), ["blob.account_kind"]);
        assert!(findings[0].message.contains(kind), "{}", findings[0].message);
    }
}

#[tokio::test]
async fn a_credential_that_may_not_ask_for_the_kind_goes_on_without() {
    let server = service().await;
    server.faults().next(Op::GetAccountInformation, Fault::FORBIDDEN);

    assert_eq!(codes(&probed(&target(&server)).await), ["blob.usable"]);
}

/// A server on loopback that hands each connection to `talk`.
async fn listening<T>(talk: impl Fn(TcpStream) -> T + Send + 'static) -> std::net::SocketAddr
where
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(talk(connection));
        }
    });
    address
}

/// A server that says the same to everybody.
async fn saying(words: &'static str) -> std::net::SocketAddr {
    listening(move |mut connection| async move {
        let _ = connection.read(&mut [0; 16 << 10]).await;
        let _ = connection.write_all(words.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn a_captive_portal_is_not_storage() {
    for answer in [
        "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    ] {
        let url = format!("http://{}/acct/disks/web01.vhd", saying(answer).await);

        assert_eq!(codes(&probed(&at(&url, AzureOptions::default())).await), ["blob.not_storage"], "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_http_is_a_finding() {
    let url = format!("http://{}/acct/disks/web01.vhd", saying("220 mail.example ESMTP\r\n").await);

    assert_eq!(codes(&probed(&at(&url, AzureOptions::default())).await), ["blob.route"]);
}

#[tokio::test]
async fn a_closed_port_is_a_matter_of_the_route() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{closed}/acct/disks/web01.vhd");

        assert_eq!(codes(&probed(&at(&url, AzureOptions::default())).await), ["blob.route"]);
    }
}

/// Knows no name.
#[derive(Debug)]
struct NoNames;

#[async_trait::async_trait]
impl NameLookup for NoNames {
    async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
        Err(LookupFailure { why: WhyNot::NoSuchName, chain: Vec::new(), words: "no such name".to_owned() })
    }
}

/// Knows one answer.
#[derive(Debug)]
struct Public;

#[async_trait::async_trait]
impl NameLookup for Public {
    async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
        let (chain, valid_for) = (Vec::new(), std::time::Duration::from_secs(60));
        Ok(Answer { origin: Origin::Dns, chain, addresses: vec![[192, 0, 2, 1].into()], valid_for })
    }
}

fn resolving(lookup: Arc<dyn NameLookup>) -> AzureOptions {
    let private_link = PrivateLink::Required { rule: AddressRule::default(), lookup };
    AzureOptions { private_link, ..AzureOptions::default() }
}

#[tokio::test]
async fn a_name_that_turns_out_not_to_be_private_is_said_and_nothing_is_sent() {
    let target = at("https://acct.blob.core.windows.net/disks/web01.vhd", resolving(Arc::new(Public)));

    assert_eq!(codes(&probed(&target).await), ["blob.not_private"]);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_matter_of_the_name() {
    let target = at("https://acct.blob.core.windows.net/disks/web01.vhd", resolving(Arc::new(NoNames)));

    assert_eq!(codes(&probed(&target).await), ["blob.name"]);
}

/// A TLS server whose certificate nobody has signed.
async fn self_signed() -> std::net::SocketAddr {
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listening(move |connection| {
        let acceptor = acceptor.clone();
        async move {
            let _ = acceptor.accept(connection).await;
        }
    })
    .await
}

#[tokio::test]
async fn what_is_wrong_in_tls_is_a_matter_of_tls() {
    let plain = saying("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await;
    let closing = saying("").await;
    for address in [self_signed().await, plain, closing] {
        let url = format!("https://{address}/acct/disks/web01.vhd");
        let findings = probed(&at(&url, AzureOptions::default())).await;

        assert_eq!(codes(&findings), ["blob.tls"], "{findings:?}");
    }
}

/// A server that takes connections and never answers.
async fn silent() -> String {
    let address = listening(|connection| async move {
        let _open = connection;
        std::future::pending::<()>().await;
    })
    .await;
    format!("http://{address}/acct/disks/web01.vhd")
}

#[tokio::test]
async fn a_service_that_never_answers_is_left_within_the_limit() {
    let target = at(&silent().await, AzureOptions::default());
    let started = Instant::now();

    let findings = target.probe(Duration::from_millis(400), &never()).await;

    assert_eq!(codes(&findings), ["blob.route"]);
    assert!(findings[0].message.contains("no answer within"), "{}", findings[0].message);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_limit_without_end_is_a_long_time() {
    let server = service().await;
    assert_eq!(codes(&target(&server).probe(Duration::MAX, &never()).await), ["blob.usable"]);
}

#[tokio::test]
async fn a_creation_that_hangs_ends_within_the_limit_and_is_removed() {
    let server = service().await;
    server.faults().next(Op::AcquireLease, Fault::Delay(Duration::from_secs(30)));
    let started = Instant::now();

    let findings = target(&server).probe(Duration::from_secs(2), &never()).await;

    assert_eq!(codes(&findings), ["blob.route"]);
    assert!(findings[0].message.contains("take its lease"), "{}", findings[0].message);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(server.blob_names("disks"), [""; 0]);
}

#[tokio::test]
async fn a_removal_that_hangs_ends_within_the_limit_and_is_told() {
    let server = service().await;
    server.faults().always(Op::DeleteBlob, Fault::Delay(Duration::from_secs(30)));
    let started = Instant::now();

    let findings = target(&server).probe(Duration::from_secs(2), &never()).await;

    assert_eq!(codes(&findings), ["blob.failed", "blob.probe_left"]);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_cancelled_probe_ends_within_a_second_and_removes_its_blob() {
    let server = service().await;
    server.faults().next(Op::PutPage, Fault::Delay(Duration::from_secs(30)));
    let cancel = CancellationToken::new();
    let cancelled = {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cancel.cancel();
            Instant::now()
        })
    };

    let findings = target(&server).probe(LIMIT, &cancel).await;

    assert!(cancelled.await.unwrap().elapsed() < Duration::from_secs(1));
    assert_eq!(codes(&findings), ["blob.failed"]);
    assert!(findings[0].message.contains("cancelled"), "{}", findings[0].message);
    assert_eq!(server.blob_names("disks"), [""; 0]);
}

#[tokio::test]
async fn other_bytes_than_were_put_are_a_finding() {
    let server = service().await;
    // A put that is taken for done, and never is.
    server.faults().next(Op::PutPage, Fault::Refuse(Refusal::new(201, "", "")));

    assert_eq!(codes(&probed(&target(&server)).await), ["blob.failed"]);

    assert_eq!(server.blob_names("disks"), [""; 0]);
}
