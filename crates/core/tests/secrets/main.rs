//! No secret shows: not in errors, logs at any level (ours and those of what we use), events, `Debug`,
//! panics, on disk, or at the target.
//!
//! Each credential is a canary: random, so that eight bytes of it, in any of its forms, are never found by
//! accident. The service repeats every request in every part of its answers, so that whatever passes words
//! on is caught. That the search finds what is there, in each place, is a test of its own.

mod canary;
mod ear;
mod echo;

use std::fmt::{Debug, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use bytes::Bytes;
use libmigrate::extent::Extent;
use libmigrate::private_link::{AddressRule, Answer, HostName, LookupFailure, NameLookup, PrivateLink, WhyNot};
use libmigrate::secret::Secret;
use libmigrate::size::PageRange;
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, ConnectionString, Credential, Proxy};
use libmigrate::target::{ETag, Fence, LeaseId, Metadata, SnapshotId, TargetError, View};
use libmigrate::{
    Against, CancellationToken, Consistency, Coverage, CycleRequest, DiskDescription, DiskSource, Engine,
    EngineOptions, PageTarget, PushedDisk, RetryPolicy, Subject,
};
use libmigrate_test_support::page_blob_server::{ACCOUNT, Auth, Fault, Op, PageBlobServer, Refusal, ServerOptions};
use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use canary::{Canary, forms};
use echo::{Echo, Manner};

const MIB: u64 = 1 << 20;

/// What was said, by whom; all of it is searched.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn bytes(&mut self, by: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((by.into(), bytes.into()));
    }

    fn debug(&mut self, by: &str, value: &dyn Debug) {
        self.bytes(by, format!("{value:?} {value:#?}"));
    }

    /// The sentence, the fields, and the whole chain of causes of each.
    fn error<E: std::error::Error>(&mut self, by: &str, error: &E) {
        let mut text = format!("{error} {error:?} {error:#?}");
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(text, " {error} {error:?}").unwrap();
            cause = error.source();
        }
        self.bytes(by, text);
    }

    fn files_below(&mut self, folder: &Path) -> usize {
        let mut files = 0;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    self.bytes(entry.display().to_string(), fs::read(&entry).unwrap());
                    files += 1;
                }
            }
        }
        files
    }

    /// Panics with the place and the words around it, but not with the words themselves.
    fn assert_free_of(&self, canaries: &[&Canary]) {
        for (by, bytes) in &self.0 {
            for canary in canaries {
                if let Some(at) = canary.found_in(bytes) {
                    let before = String::from_utf8_lossy(&bytes[at.saturating_sub(160)..at]).into_owned();
                    panic!("{} shows in {by} at byte {at}, after: {before}", canary.name);
                }
            }
            let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
            // What was computed from the key is as good as the key for a quarter of an hour.
            let signed = text.find(&format!("sharedkey {ACCOUNT}:")).map(|at| &text[at..(at + 60).min(text.len())]);
            assert!(signed.is_none_or(|shown| shown.contains(":***")), "a signature shows in {by}");
        }
    }
}

/// A token that never changes.
#[derive(Debug)]
struct FixedToken(String);

#[async_trait::async_trait]
impl TokenCredential for FixedToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let expires = azure_core::time::OffsetDateTime::now_utc() + Duration::from_secs(3600);
        Ok(AccessToken::new(self.0.clone(), expires))
    }
}

/// A resolver that knows no name.
#[derive(Debug)]
struct NoNames;

#[async_trait::async_trait]
impl NameLookup for NoNames {
    async fn look_up(&self, host: &HostName) -> Result<Answer, LookupFailure> {
        let words = format!("no such name: {host}");
        Err(LookupFailure { why: WhyNot::NoSuchName, chain: Vec::new(), words })
    }
}

/// Every way to ask, each with a secret of its own.
struct Bait {
    key: Canary,
    signature: Canary,
    token: Canary,
    proxy: Canary,
}

impl Bait {
    fn new() -> Self {
        Self {
            key: Canary::new("the account key", 63),
            signature: Canary::new("the signature", 33),
            token: Canary::new("the token", 90),
            proxy: Canary::new("the proxy's password", 24),
        }
    }

    fn all(&self) -> [&Canary; 4] {
        [&self.key, &self.signature, &self.token, &self.proxy]
    }

    fn connection_string(&self, endpoint: &str) -> String {
        format!("BlobEndpoint={endpoint};AccountName={ACCOUNT};AccountKey={}", self.key.text)
    }

    fn query(&self) -> String {
        format!("sv=2026-02-06&sp=racwdl&se=2099-01-01T00%3A00%3A00Z&sig={}", self.signature.in_query())
    }

    fn by_key(&self, url: &str, options: AzureOptions) -> AzurePageBlob {
        AzurePageBlob::new(url, Credential::account_key(ACCOUNT, &self.key.text).unwrap(), options).unwrap()
    }

    fn by_url(&self, url: &str, options: AzureOptions) -> AzurePageBlob {
        AzurePageBlob::new(&format!("{url}?{}", self.query()), Credential::SasUrl, options).unwrap()
    }

    fn by_signature(&self, url: &str, options: AzureOptions) -> AzurePageBlob {
        AzurePageBlob::new(url, Credential::Sas(Secret::new(self.query())), options).unwrap()
    }

    fn by_token(&self, url: &str, options: AzureOptions) -> AzurePageBlob {
        let credential = Credential::Token(Arc::new(FixedToken(self.token.text.clone())));
        AzurePageBlob::new(url, credential, options).unwrap()
    }
}

/// Calls every method of the target and notes whatever it says.
async fn ask_everything(said: &mut Said, target: &AzurePageBlob) -> usize {
    let lease = LeaseId::random();
    let fence = Fence { lease, sequence: 7 };
    let pages = PageRange::new(0, 512).unwrap();
    let snapshot = SnapshotId("2026-11-23T10:00:00.0000000Z".into());
    let etag = ETag("\"0x8DD000000000000\"".into());
    let metadata = Metadata::from([("libmigrate".into(), "{}".into())]);
    let data = Bytes::from_static(&[1; 512]);
    let mut errors: Vec<TargetError> = Vec::new();
    errors.extend(target.state().await.err());
    errors.extend(target.create(MIB, &metadata).await.err());
    errors.extend(target.resize(MIB, lease, &etag).await.err());
    errors.extend(target.put(pages, data.clone(), fence).await.err());
    errors.extend(target.clear(pages, fence).await.err());
    errors.extend(target.read(&View::Live, pages).await.err());
    errors.extend(target.read(&View::Snapshot(snapshot.clone()), pages).await.err());
    errors.extend(target.page_ranges(&View::Live, 0..512).await.err());
    errors.extend(target.changed_ranges(&snapshot, 0..512).await.err());
    errors.extend(target.set_metadata(&metadata, lease, &etag).await.err());
    errors.extend(target.raise_sequence(7, lease).await.err());
    errors.extend(target.snapshot(&metadata, lease, &etag).await.err());
    errors.extend(target.snapshots().await.err());
    errors.extend(target.delete_snapshot(&snapshot).await.err());
    errors.extend(target.acquire_lease(lease, Duration::from_secs(15)).await.err());
    errors.extend(target.renew_lease(lease).await.err());
    errors.extend(target.release_lease(lease).await.err());
    errors.extend(target.break_lease().await.err());
    errors.extend(target.put_object("part-1", data).await.err());
    errors.extend(target.get_object("part-1", 512).await.err());
    errors.extend(target.list_objects("part-").await.err());
    errors.extend(target.delete_object("part-1").await.err());
    errors.iter().for_each(|error| said.error("an error of the target", error));
    said.debug("the target", target);
    said.bytes("the target's location", target.location());
    errors.len()
}

/// Statuses with the codes by which each variant of [`TargetError`] is told; an empty code is an echo.
const REFUSALS: [(u16, &str); 34] = [
    (200, ""),
    (201, ""),
    (206, ""),
    (301, ""),
    (304, "ConditionNotMet"),
    (307, ""),
    (400, ""),
    (400, "Md5Mismatch"),
    (400, "InvalidHeaderValue"),
    (401, "NoAuthenticationInformation"),
    (403, ""),
    (403, "AuthenticationFailed"),
    (403, "AuthorizationPermissionMismatch"),
    (404, ""),
    (404, "BlobNotFound"),
    (404, "ContainerNotFound"),
    (405, ""),
    (408, ""),
    (409, ""),
    (409, "BlobAlreadyExists"),
    (409, "InvalidBlobType"),
    (409, "LeaseAlreadyPresent"),
    (409, "LeaseIdMismatchWithLeaseOperation"),
    (412, ""),
    (412, "LeaseIdMissing"),
    (412, "SequenceNumberConditionNotMet"),
    (413, "RequestBodyTooLarge"),
    (416, "InvalidRange"),
    (429, ""),
    (500, "OperationTimedOut"),
    (501, "APINotImplemented"),
    (502, ""),
    (503, "ServerBusy"),
    (504, ""),
];

/// A certificate for 127.0.0.1, and a server's side with it.
fn tls() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

fn impatient() -> AzureOptions {
    AzureOptions {
        base_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        ..AzureOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_repeats_its_requests_is_never_quoted_with_a_secret() {
    ear::listen();
    let bait = Bait::new();
    let mut said = Said::default();
    let plain = Echo::start(None).await;
    let (certificate, acceptor) = tls();
    let encrypted = Echo::start(Some(acceptor)).await;
    let trusting = AzureOptions { extra_certificates_pem: Some(certificate.into_bytes()), ..impatient() };
    let plain_url = format!("http://{}/{ACCOUNT}/replicas/web01.vhd", plain.address);
    let encrypted_url = format!("https://{}/{ACCOUNT}/replicas/web01.vhd", encrypted.address);
    let targets = [
        bait.by_key(&plain_url, impatient()),
        bait.by_url(&plain_url, impatient()),
        bait.by_signature(&plain_url, impatient()),
        bait.by_token(&encrypted_url, trusting),
    ];
    let mut errors = 0;
    for (status, code) in REFUSALS {
        let manner = Manner { status, code: code.into() };
        plain.answer_with(manner.clone());
        encrypted.answer_with(manner);
        for target in &targets {
            errors += ask_everything(&mut said, target).await;
        }
    }
    // The secrets went out, or nothing was shown.
    assert!(bait.signature.found_in(plain.heads().as_bytes()).is_some());
    assert!(bait.token.found_in(encrypted.heads().as_bytes()).is_some());
    assert!(plain.heads().to_lowercase().contains(&format!("sharedkey {ACCOUNT}:")));
    assert!(errors > 2000, "{errors}");
    let log = ear::heard();
    for speaker in ["hyper", "reqwest", "azure_core"] {
        assert!(log.contains(speaker), "nothing was heard of {speaker}");
    }
    println!("{errors} errors of {} answers, {} KiB of logs", REFUSALS.len(), log.len() >> 10);
    said.bytes("the logs", log);
    said.assert_free_of(&bait.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_to_connect_shows_a_secret() {
    ear::listen();
    let bait = Bait::new();
    let mut said = Said::default();
    let plain = Echo::start(None).await;
    plain.answer_with(Manner { status: 407, code: String::new() });
    let (_, acceptor) = tls();
    let untrusted = Echo::start(Some(acceptor)).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let server = PageBlobServer::start().await;
    server.faults().always_all(Fault::DropBeforeBody);
    let through = |proxy: &str| AzureOptions {
        proxy: Proxy::Url(Secret::new(format!("http://user:{}@{proxy}/", bait.proxy.in_query()).parse().unwrap())),
        private_link: PrivateLink::NotRequired,
        ..impatient()
    };
    let places = [
        ("refused", format!("http://{closed}/{ACCOUNT}/replicas/web01.vhd"), impatient()),
        ("reset", format!("{}/replicas/web01.vhd", server.endpoint()), impatient()),
        ("TLS with a plain server", format!("https://{}/{ACCOUNT}/replicas/web01.vhd", plain.address), impatient()),
        ("untrusted", format!("https://{}/{ACCOUNT}/replicas/web01.vhd", untrusted.address), impatient()),
        (
            "no such name",
            "https://acct.blob.invalid/replicas/web01.vhd".into(),
            AzureOptions {
                private_link: PrivateLink::Required { rule: AddressRule::default(), lookup: Arc::new(NoNames) },
                ..impatient()
            },
        ),
        ("no proxy", "https://acct.blob.invalid/replicas/web01.vhd".into(), through(&closed.to_string())),
        ("refusing proxy", "https://acct.blob.invalid/replicas/web01.vhd".into(), through(&plain.address.to_string())),
    ];
    for (by, url, options) in places {
        said.debug(by, &options);
        let mut targets = vec![bait.by_key(&url, options.clone()), bait.by_url(&url, options.clone())];
        if url.starts_with("https") {
            targets.push(bait.by_token(&url, options));
        }
        for target in targets {
            assert_eq!(ask_everything(&mut said, &target).await, 22, "{by}");
        }
    }
    // What cannot even be tried.
    let text = bait.connection_string("http://127.0.0.1:1/acct");
    said.debug("a connection string", &ConnectionString::parse(&text).unwrap());
    said.debug("a credential", &Credential::from_connection_string(&text).unwrap());
    said.debug("a signature", &Credential::Sas(Secret::new(bait.query())));
    let key = &bait.key.text;
    for broken in [
        key.clone(),
        format!("AccountKey={key}"),
        format!("AccountName=a;AccountKey=!{key}"),
        format!("AccountName=a;{key}"),
        format!("AccountName=a;AccountKey={};Shared", &key[1..]),
    ] {
        said.error("a broken connection string", &ConnectionString::parse(&broken).unwrap_err());
    }
    for broken in [
        "http://[",
        "ftp://h/c/b",
        "http://example.org/c/b",
        "https://h.x/c",
        "https://u:p@h.x/ccc/b",
        "https://h.x/ccc/b#f",
    ] {
        let url = format!("{broken}?{}", bait.query());
        // Encoded: a signature that begins with a slash would be a path, and a path is no secret.
        for url in [url, broken.replace("h.x", &format!("h.x:{}", bait.signature.in_query()))] {
            if let Err(error) = AzurePageBlob::new(&url, Credential::SasUrl, impatient()) {
                said.error("a broken URL", &error);
            }
        }
    }
    said.bytes("the logs", ear::heard());
    said.assert_free_of(&bait.all());
}

/// A source that panics with whatever the engine has handed it: nothing.
#[derive(Debug)]
struct Panicking;

impl DiskSource for Panicking {
    fn size_bytes(&self) -> u64 {
        3 * MIB
    }

    fn extents(
        &self,
        range: std::ops::Range<u64>,
        _: usize,
    ) -> Result<Vec<libmigrate::source::SourceExtent>, libmigrate::source::SourceError> {
        Ok(Extent::from_range(range).map(libmigrate::source::SourceExtent::data).into_iter().collect())
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), libmigrate::source::SourceError> {
        panic!("a panic while a cycle runs")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_replication_leaves_no_secret_anywhere() {
    ear::listen();
    let bait = Bait::new();
    let mut said = Said::default();
    let auth = Auth::SharedKey { account: ACCOUNT.into(), key: bait.key.text.clone() };
    let server = PageBlobServer::start_with(ServerOptions { auth, ..ServerOptions::default() }).await;
    server.create_container("replicas");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/replicas/web01.vhd", server.endpoint());
    let credential = Credential::from_connection_string(&bait.connection_string(&server.endpoint())).unwrap();
    let target = || Arc::new(AzurePageBlob::new(&url, credential.clone(), impatient()).unwrap());
    let options = EngineOptions {
        state_dir: Some(folder.path().join("state")),
        memory_limit: 32 * MIB,
        retry: RetryPolicy {
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(2),
            budget: Duration::from_millis(300),
        },
        ..EngineOptions::default()
    };
    said.debug("options", &options);
    let engine = Engine::new(options).unwrap();
    let cancel = CancellationToken::new();
    fs::write(folder.path().join("web01.raw"), vec![7; 3 * MIB as usize]).unwrap();
    let source = libmigrate::source::open(folder.path().join("web01.raw"), libmigrate::source::Format::Raw).unwrap();
    let disk = DiskDescription::of(&*source);

    let replica = engine.open(target(), disk.clone(), &cancel).await.unwrap();
    // Fails in each way, then succeeds.
    for fault in [
        Fault::BUSY,
        Fault::TIMED_OUT,
        Fault::DropBeforeBody,
        Fault::Refuse(Refusal::new(403, "AuthenticationFailed", "no")),
    ] {
        server.faults().always(Op::PutPage, fault);
        let error = replica.replicate(source.clone(), CycleRequest::default(), &cancel).await.unwrap_err();
        said.error("an interrupted cycle", &error);
        server.faults().clear();
    }
    let moving = CycleRequest { consistency: Consistency::Moving, ..CycleRequest::default() };
    let error = replica.replicate(Arc::new(Panicking), moving.clone(), &cancel).await.unwrap_err();
    said.error("a panic", &error);
    let point = replica.replicate(source.clone(), CycleRequest::default(), &cancel).await.unwrap();
    said.debug("a recovery point", &point);
    said.bytes("a recovery point as JSON", serde_json::to_vec(&point).unwrap());
    let report = replica.verify(Subject::Newest, Against::SealedMap, Coverage::Full, &cancel).await.unwrap();
    said.debug("a verification", &report);
    let pushed = PushedDisk { size_bytes: 3 * MIB, identity: None, point: None, zero: [].into_iter().collect() };
    let cycle = replica.begin(Arc::new(pushed), moving, &cancel).await.unwrap();
    said.debug("a cycle", &cycle);
    drop(cycle);
    said.debug("an engine", &engine);
    said.debug("a replica", &replica);
    replica.close().await.unwrap();
    // The same with a key that is refused from the start.
    let other = Canary::new("another key", 63);
    server.set_auth(Auth::SharedKey { account: ACCOUNT.into(), key: other.text.clone() });
    said.error("a refused open", &engine.open(target(), disk, &cancel).await.unwrap_err());
    server.set_auth(Auth::Open);

    let mut events = engine.events().after(0);
    let mut count = 0;
    while let Some(event) = events.try_next() {
        said.debug("an event", &event);
        said.bytes("an event as JSON", serde_json::to_vec(&*event).unwrap());
        count += 1;
    }
    assert!(count > 10, "{count} events");
    assert!(said.files_below(&folder.path().join("state")) > 0);
    let blob = server.blob("replicas/web01.vhd").unwrap();
    said.debug("the blob's metadata", &blob.metadata);
    let target = target();
    said.debug("snapshots", &target.snapshots().await.unwrap());
    let mut objects = 0;
    for name in [target.list_objects("map-").await.unwrap(), target.list_objects("part-").await.unwrap()].concat() {
        let object = target.get_object(&name, 4 * MIB).await.unwrap().unwrap();
        said.bytes(name, object.to_vec());
        objects += 1;
    }
    assert!(objects >= 2, "{objects} objects");
    let log = ear::heard();
    assert!(log.contains("a panic while a cycle runs"));
    said.bytes("the logs", log);
    said.assert_free_of(&[&bait.key, &other]);
}

#[test]
fn the_search_finds_every_form_of_a_secret_and_eight_bytes_of_it() {
    let canary = Canary::new("bait", 63);
    for form in forms(&canary.text) {
        assert!(canary.found_in(&[b"before ", &form[..], b" after"].concat()).is_some());
        assert!(canary.found_in(&form[20..28]).is_some(), "{}", String::from_utf8_lossy(&form));
        assert!(canary.found_in(&form[20..27]).is_none());
    }
    assert!(canary.found_in(ear::heard().as_bytes()).is_none());
}

#[test]
fn a_leak_in_any_place_is_heard() {
    ear::listen();
    let places = ["event", "field", "span", "log", "panic"];
    let canaries: Vec<Canary> = places.iter().map(|place| Canary::new(place, 63)).collect();
    let [event, field, span, log, panic] = &canaries[..] else { unreachable!() };
    tracing::trace!("sig={}", event.text);
    tracing::debug!(url = %field.in_query(), "sent");
    drop(tracing::trace_span!("request", header = ?span.text));
    log::trace!("{}", log.text);
    let text = panic.text.clone();
    assert!(std::thread::spawn(move || panic!("{text}")).join().is_err());
    let heard = ear::heard();
    for canary in &canaries {
        assert!(canary.found_in(heard.as_bytes()).is_some(), "{} was not heard", canary.name);
    }

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), format!("key {}", event.text)).unwrap();
    let mut said = Said::default();
    assert_eq!(said.files_below(folder.path()), 1);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| said.assert_free_of(&[event])));
    assert!(caught.unwrap_err().downcast_ref::<String>().unwrap().contains("event shows in"));
}

/// `cargo test` builds the examples beside the folder of the test binaries.
fn example() -> Command {
    let tests = std::env::current_exe().unwrap();
    let program: PathBuf = tests.parent().and_then(Path::parent).unwrap().join("examples/replicate");
    let mut command = Command::new(program);
    command.env_remove("AZURE_STORAGE_CONNECTION_STRING").env_remove("AZURE_STORAGE_SAS_TOKEN");
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_takes_secrets_from_the_environment_and_prints_none() {
    let bait = Bait::new();
    let mut said = Said::default();
    let echo = Echo::start(None).await;
    echo.answer_with(Manner { status: 403, code: String::new() });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), vec![7; MIB as usize]).unwrap();
    let endpoint = format!("http://{}/{ACCOUNT}", echo.address);
    let url = format!("{endpoint}/replicas/web01.vhd");
    let run = |command: &mut Command, target: &str| {
        command.current_dir(folder.path()).args(["--source", "disk.raw", "--state", "state", "--target", target]);
        command.output().unwrap()
    };
    let key = run(example().env("AZURE_STORAGE_CONNECTION_STRING", bait.connection_string(&endpoint)), &url);
    let signature = run(example().env("AZURE_STORAGE_SAS_TOKEN", bait.query()).arg("--json"), &url);
    let in_url = run(&mut example(), &format!("{url}?{}", bait.query()));
    for output in [&key, &signature, &in_url] {
        assert!(text(output).contains("target.forbidden"), "{}", text(output));
    }
    assert!(bait.signature.found_in(echo.heads().as_bytes()).is_some());
    assert!(text(&in_url).contains("warning: every user of this machine can see the SAS"), "{}", text(&in_url));
    assert!(!text(&signature).contains("warning"));
    let none = run(&mut example(), &url);
    assert!(text(&none).contains("neither AZURE_STORAGE_SAS_TOKEN nor"), "{}", text(&none));
    let broken = run(example().env("AZURE_STORAGE_CONNECTION_STRING", &bait.key.text), &url);
    assert!(text(&broken).contains("target.unusable"), "{}", text(&broken));
    let misplaced = example().arg(format!("{url}?{}", bait.query())).output().unwrap();
    assert_eq!(misplaced.status.code(), Some(2));
    assert!(text(&misplaced).contains("an argument with a SAS"), "{}", text(&misplaced));
    for output in [key, signature, in_url, none, broken, misplaced] {
        said.bytes("the program", text(&output));
    }
    said.assert_free_of(&bait.all());
}
