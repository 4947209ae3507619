//! TLS: nbdkit with certificates made for the test.

use std::path::Path;

use libmigrate::source::nbd::{self, NbdError, NbdOptions, NbdSource, Tls};
use libmigrate_test_support::nbd_server::NbdServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and what it has signed.
struct Authority {
    own: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { own: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn certificate(&self) -> String {
        self.own.pem()
    }

    /// Certificate and key of somebody of this name.
    fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.own).unwrap().pem(), key.serialize_pem())
    }
}

/// nbdkit that takes TLS only, as `nbd.test`; with `clients`, only from those that the authority knows.
fn server(folder: &Path, authority: &Authority, clients: bool) -> Option<NbdServer> {
    let (certificate, key) = authority.signed("nbd.test");
    for (name, text) in
        [("ca-cert.pem", authority.certificate()), ("server-cert.pem", certificate), ("server-key.pem", key)]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let certificates = format!("--tls-certificates={}", folder.display());
    let verify = if clients { "--tls-verify-peer" } else { "--no-fork" };
    let arguments = ["--tls=require", &certificates, verify, "pattern", "size=1M"];
    NbdServer::nbdkit(arguments.into_iter().filter(|argument| *argument != "--no-fork"))
}

async fn connect(server: &NbdServer, tls: Option<Tls>) -> Result<NbdSource, NbdError> {
    let options = NbdOptions { tls, ..NbdOptions::default() };
    let (source, connection) = nbd::connect(&server.uri("").parse().unwrap(), &options).await?;
    tokio::spawn(connection.run());
    Ok(source)
}

#[tokio::test]
async fn a_disk_is_read_through_tls() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let Some(server) = server(folder.path(), &authority, false) else { return };

    let tls = Tls::trusting(authority.certificate().as_bytes()).unwrap().named("nbd.test");
    let source = connect(&server, Some(tls)).await.unwrap();

    assert_eq!(source.read(8, 8).await.unwrap()[..], 8u64.to_be_bytes());
}

#[tokio::test]
async fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let Some(server) = server(folder.path(), &authority, true) else { return };
    let (certificate, key) = authority.signed("client");
    let ca = authority.certificate();

    let known = Tls::trusting_as(ca.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap().named("nbd.test");
    let unknown = Tls::trusting(ca.as_bytes()).unwrap().named("nbd.test");

    assert!(connect(&server, Some(known)).await.is_ok());
    assert!(connect(&server, Some(unknown)).await.is_err());
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_refused() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let Some(server) = server(folder.path(), &authority, false) else { return };

    let stranger = Tls::trusting(Authority::new().certificate().as_bytes()).unwrap().named("nbd.test");
    let misnamed = Tls::trusting(authority.certificate().as_bytes()).unwrap().named("other.test");

    assert!(matches!(connect(&server, Some(stranger)).await, Err(NbdError::Tls { .. })));
    assert!(matches!(connect(&server, Some(misnamed)).await, Err(NbdError::Tls { .. })));
}

#[tokio::test]
async fn tls_is_never_given_up() {
    let Some(plain) = NbdServer::nbdkit(["--tls=off", "pattern", "size=1M"]) else { return };
    let tls = Tls::trusting(Authority::new().certificate().as_bytes()).unwrap().named("nbd.test");

    let refused = connect(&plain, Some(tls)).await;
    let demanded = nbd::connect(&"nbds://127.0.0.1:1/".parse().unwrap(), &NbdOptions::default()).await;

    assert!(matches!(refused, Err(NbdError::Tls { .. })), "{refused:?}");
    assert!(matches!(demanded, Err(NbdError::Tls { .. })));
}

#[tokio::test]
async fn a_server_that_demands_tls_says_so() {
    let folder = TempDir::new().unwrap();
    let Some(server) = server(folder.path(), &Authority::new(), false) else { return };

    let error = connect(&server, None).await.unwrap_err();

    assert!(matches!(&error, NbdError::Refused { problem, .. } if problem.contains("TLS")), "{error:?}");
}

#[test]
fn the_private_key_is_never_shown() {
    let authority = Authority::new();
    let (certificate, key) = authority.signed("client");
    let tls = Tls::trusting_as(authority.certificate().as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap();

    assert_eq!(format!("{tls:?}"), "Tls { name: None, .. }");
    let error = Tls::trusting_as(authority.certificate().as_bytes(), certificate.as_bytes(), b"SECRET").unwrap_err();
    assert!(!error.to_string().contains("SECRET"));
}
