//! Servers on loopback, each wrong in its own way.

use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const HOST: &str = "acct.blob.core.windows.net";

/// An authority of a test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn trust(&self) -> Trust {
        Trust::new(Some(self.0.pem().as_bytes())).unwrap()
    }

    /// A server of this name, whose certificate holds from so many days before or after today until so many.
    async fn server(&self, name: &str, days: std::ops::Range<i32>) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let day = |days: i32| {
            let now = SystemTime::now();
            let apart = Duration::from_secs(24 * 60 * 60) * days.unsigned_abs();
            if days < 0 { (now - apart).into() } else { (now + apart).into() }
        };
        params.not_before = day(days.start);
        params.not_after = day(days.end);
        let own = params.signed_by(&key, &self.0).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        listening(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let _ = acceptor.accept(stream).await;
            }
        })
        .await
    }
}

async fn listening<T>(talk: impl Fn(TcpStream) -> T + Send + 'static) -> SocketAddr
where
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream));
        }
    });
    address
}

/// A server that waits for the client's first words, and answers with these.
async fn answering(words: &'static [u8]) -> SocketAddr {
    listening(move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(words).await;
    })
    .await
}

async fn found(address: SocketAddr, trust: &Trust, limit: Duration) -> Vec<Finding> {
    check(HOST, &[address], trust, Instant::now() + limit).await
}

async fn soon(address: SocketAddr, trust: &Trust) -> Vec<Finding> {
    found(address, trust, Duration::from_secs(20)).await
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    for finding in findings {
        assert!(CHECKS.iter().any(|check| check.code == finding.code()), "{} is in no table", finding.code());
        assert_eq!(finding.subject, HOST);
    }
    findings.iter().map(Finding::code).collect()
}

/// The names in the certificate that a finding shows.
fn names(finding: &Finding) -> Vec<String> {
    let certificate = finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Certificate { names, .. } => Some(names.clone()),
        _ => None,
    });
    certificate.unwrap_or_else(|| panic!("no certificate is shown: {finding:?}"))
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_trusted() {
    let authority = Authority::new();
    let address = authority.server(HOST, -1..90).await;

    let findings = soon(address, &authority.trust()).await;

    assert_eq!(codes(&findings), ["tcp.connected", "tls.trusted"]);
    assert!(matches!(&findings[0].evidence[..], [Evidence::Took { step, .. }] if step == "tcp"));
    assert_eq!(names(&findings[1]), [HOST]);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_warned_of() {
    let authority = Authority::new();
    let address = authority.server(HOST, -1..13).await;

    let findings = soon(address, &authority.trust()).await;

    assert_eq!(codes(&findings), ["tcp.connected", "tls.trusted", "tls.expires_soon"]);
    assert_eq!(names(&findings[2]), [HOST]);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_shown_with_its_name() {
    let authority = Authority::new();
    let address = authority.server("portal.example", -1..90).await;

    let findings = soon(address, &authority.trust()).await;

    assert_eq!(codes(&findings), ["tcp.connected", "tls.wrong_name"]);
    assert_eq!(names(&findings[1]), ["portal.example"]);
}

#[tokio::test]
async fn a_certificate_of_the_past_or_the_future_is_told_apart() {
    let authority = Authority::new();
    let past = authority.server(HOST, -9..-2).await;
    let future = authority.server(HOST, 2..90).await;

    let findings = [soon(past, &authority.trust()).await, soon(future, &authority.trust()).await];

    assert_eq!(codes(&findings[0]), ["tcp.connected", "tls.expired"]);
    assert_eq!(codes(&findings[1]), ["tcp.connected", "tls.not_yet_valid"]);
    assert!(findings[1][1].message.contains("this machine's clock says 20"), "{}", findings[1][1].message);
    assert!(findings.iter().all(|findings| names(&findings[1]) == [HOST]));
}

#[tokio::test]
async fn an_authority_that_nobody_knows_is_not_trusted_and_shown() {
    let authority = Authority::new();
    let address = authority.server(HOST, -1..90).await;

    let findings = soon(address, &Authority::new().trust()).await;

    assert_eq!(codes(&findings), ["tcp.connected", "tls.untrusted"]);
    assert_eq!(names(&findings[1]), [HOST]);
}

#[tokio::test]
async fn a_captive_portal_is_known_by_its_answer() {
    let portal = answering(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n").await;

    let findings = soon(portal, &Authority::new().trust()).await;

    assert_eq!(codes(&findings), ["tcp.connected", "tls.not_tls"]);
    let said = Evidence::Said { by: "the server".into(), words: "HTTP/1.1 302 Found".into() };
    assert!(findings[1].evidence.contains(&said), "{:?}", findings[1].evidence);
}

#[tokio::test]
async fn whatever_a_server_sends_is_a_finding() {
    let trust = Authority::new().trust();
    for (words, code) in [
        (&b""[..], "tls.failed"),
        (b"220 mail.example ESMTP\r\n", "tls.not_tls"),
        (b"\x00\xff\x00\xff\x00\xff\x00\xff", "tls.not_tls"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "tls.failed"),
        (b"\x16\x03\x03\xff\xff\x02\x28", "tls.failed"),
        (b"\x16\x03\x03\x00\x04\x02\xff\xff\xff", "tls.failed"),
    ] {
        let findings = soon(answering(words).await, &trust).await;

        assert_eq!(codes(&findings), ["tcp.connected", code], "{words:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let silent = listening(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let started = Instant::now();

    let findings = found(silent, &Authority::new().trust(), Duration::from_millis(300)).await;

    assert_eq!(codes(&findings), ["tcp.connected", "tls.failed"]);
    assert!(findings[1].message.contains("did not finish"), "{}", findings[1].message);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

    let findings = soon(address, &Authority::new().trust()).await;

    assert_eq!(codes(&findings), ["tcp.refused"]);
}

/// On Linux a listener that nobody accepts from drops, without a word, what its queue has no room for.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_drops_connections_is_left_at_the_deadline() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let started = Instant::now();

    let trust = Authority::new().trust();
    let findings = found(address, &trust, Duration::from_millis(300)).await;
    let too_late = check(HOST, &[address], &trust, Instant::now()).await;

    assert_eq!(codes(&findings), ["tcp.timed_out"]);
    assert_eq!(codes(&too_late), ["tcp.timed_out"]);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn errors_of_the_system_are_told_apart() {
    let code = |kind: io::ErrorKind| not_connected(HOST, "192.0.2.1:443".parse().unwrap(), &kind.into()).code();

    assert_eq!(code(io::ErrorKind::ConnectionRefused), "tcp.refused");
    assert_eq!(code(io::ErrorKind::TimedOut), "tcp.timed_out");
    assert_eq!(code(io::ErrorKind::NetworkUnreachable), "tcp.unreachable");
    assert_eq!(code(io::ErrorKind::HostUnreachable), "tcp.unreachable");
    assert_eq!(code(io::ErrorKind::NetworkDown), "tcp.unreachable");
    assert_eq!(code(io::ErrorKind::AddrNotAvailable), "tcp.unreachable");
}

#[tokio::test]
async fn addresses_are_checked_at_once() {
    let silent = || {
        listening(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
    };
    let addresses = [silent().await, silent().await, silent().await];
    let started = Instant::now();

    let findings =
        check(HOST, &addresses, &Authority::new().trust(), Instant::now() + Duration::from_millis(300)).await;

    assert_eq!(findings.len(), 6);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_host_that_no_certificate_can_name_is_said_to_be_none() {
    let address = answering(b"").await;

    let findings = check("not a name", &[address], &Authority::new().trust(), Instant::now() + STEP_LIMIT).await;

    assert_eq!(findings[1].code(), "tls.failed");
    assert!(check(HOST, &[], &Authority::new().trust(), Instant::now()).await.is_empty());
}

#[test]
fn extra_certificates_that_are_none_are_refused() {
    let none = Trust::new(Some(b"canary")).unwrap_err();
    let broken = Trust::new(Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).unwrap_err();

    assert_eq!(none, "the extra certificates hold no PEM certificate");
    assert!(broken.contains("cannot be used"), "{broken}");
}
