//! Whether a server is reached: TCP to each of its addresses, and TLS under its name.
//!
//! Trust is what the transport's is: the system's verifier as reqwest asks for it, with the same extra
//! certificates, so that a handshake which succeeds here succeeds there. Unlike the transport, a check keeps the
//! chain that was shown, also when it was refused: whose certificate it is tells who stands in between.
//!
//! Nothing but the handshake is sent. Every address has its own limits, all of them together end by the deadline,
//! and whatever a server sends instead of TLS becomes a finding.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::certificate;
use crate::finding::documents::TROUBLESHOOT;
use crate::finding::{Check, Evidence, Finding, Rule, Severity};

/// The longest wait for a connection, and again for a handshake: what the transport waits for both.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// A certificate that ends within this time should have been renewed by now.
const RENEW_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How much of what a server said is kept, to show what it was instead of TLS.
const MAX_GREETING: usize = 80;

const CERTIFICATES: Rule = Rule { document: "RFC 5280", date: "2008-05" };
const HTTPS: Rule = Rule { document: "RFC 9110, 4.3.4 (https certificate verification)", date: "2022-06" };
const TLS: Rule = Rule { document: "RFC 8446", date: "2018-08" };

static CONNECTED: Check = Check { code: "tcp.connected", severity: Severity::Info, remedy: "", rule: TROUBLESHOOT };

static REFUSED: Check = Check {
    code: "tcp.refused",
    severity: Severity::Error,
    remedy: "check that the address is the private endpoint's, and that no firewall refuses port 443 on the way to it",
    rule: TROUBLESHOOT,
};

static TIMED_OUT: Check = Check {
    code: "tcp.timed_out",
    severity: Severity::Error,
    remedy: "look for a firewall or network security group that drops port 443, and for the route back from the \
             endpoint's network to this machine",
    rule: TROUBLESHOOT,
};

static UNREACHABLE: Check = Check {
    code: "tcp.unreachable",
    severity: Severity::Error,
    remedy: "check this machine's network and its route to the address: the VPN or ExpressRoute connection must be up \
             and announce the endpoint's network",
    rule: TROUBLESHOOT,
};

static TRUSTED: Check = Check { code: "tls.trusted", severity: Severity::Info, remedy: "", rule: HTTPS };

static EXPIRES_SOON: Check = Check {
    code: "tls.expires_soon",
    severity: Severity::Warning,
    remedy: "have the certificate renewed before a migration that lasts longer than it",
    rule: CERTIFICATES,
};

static WRONG_NAME: Check = Check {
    code: "tls.wrong_name",
    severity: Severity::Error,
    remedy: "look at whose certificate it is: the name leads to another server, or a proxy answers for it; address \
             the account by its own name, never by its privatelink name or by address",
    rule: HTTPS,
};

static EXPIRED: Check = Check {
    code: "tls.expired",
    severity: Severity::Error,
    remedy: "compare this machine's clock with the certificate's dates; if the clock is right, whoever answers must \
             renew the certificate",
    rule: CERTIFICATES,
};

static NOT_YET_VALID: Check = Check {
    code: "tls.not_yet_valid",
    severity: Severity::Error,
    remedy: "set this machine's clock: it is earlier than the certificate's first day",
    rule: CERTIFICATES,
};

static UNTRUSTED: Check = Check {
    code: "tls.untrusted",
    severity: Severity::Error,
    remedy: "look at the issuer: if it is your network's TLS inspection, exempt this name from it or give its \
             authority as an extra certificate; if it is a public one, install the system's current certificates",
    rule: CERTIFICATES,
};

static NOT_TLS: Check = Check {
    code: "tls.not_tls",
    severity: Severity::Error,
    remedy: "something between here and Azure answers in its place, such as a captive portal or a proxy: sign in to \
             the network, or take the proxy out of the way of this name",
    rule: TLS,
};

static FAILED: Check = Check {
    code: "tls.failed",
    severity: Severity::Error,
    remedy: "look for a firewall that inspects TLS and for a server that is none of Azure's; try again if the network \
             was interrupted",
    rule: TLS,
};

/// What can be found here.
pub(crate) static CHECKS: &[&Check] = &[
    &CONNECTED,
    &REFUSED,
    &TIMED_OUT,
    &UNREACHABLE,
    &TRUSTED,
    &EXPIRES_SOON,
    &WRONG_NAME,
    &EXPIRED,
    &NOT_YET_VALID,
    &UNTRUSTED,
    &NOT_TLS,
    &FAILED,
];

/// Whom this machine trusts.
#[derive(Clone)]
pub(crate) struct Trust {
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// What the system trusts, and the certificates in `extra_pem` besides. The error is fit to be shown.
    pub(crate) fn new(extra_pem: Option<&[u8]>) -> Result<Self, String> {
        let mut extra = Vec::new();
        for certificate in extra_pem.into_iter().flat_map(CertificateDer::pem_slice_iter) {
            extra.push(certificate.map_err(|error| format!("the extra certificates cannot be read: {error}"))?);
        }
        if extra_pem.is_some() && extra.is_empty() {
            return Err("the extra certificates hold no PEM certificate".to_owned());
        }
        // As reqwest chooses it.
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
            .map_err(|error| format!("the certificates to trust cannot be used: {error}"))?;
        Ok(Self { verifier: Arc::new(verifier), provider })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// Connects to each of `addresses`, all at once, and shakes hands with each as `host`. Ends by `deadline`.
pub(crate) async fn check(host: &str, addresses: &[SocketAddr], trust: &Trust, deadline: Instant) -> Vec<Finding> {
    let each = addresses.iter().map(|address| check_address(host, *address, trust, deadline));
    futures::future::join_all(each).await.into_iter().flatten().collect()
}

async fn check_address(host: &str, address: SocketAddr, trust: &Trust, deadline: Instant) -> Vec<Finding> {
    let started = Instant::now();
    let limit = deadline.min(started + STEP_LIMIT);
    let connected = tokio::time::timeout_at(limit, TcpStream::connect(address)).await;
    let took = took("tcp", started);
    match connected {
        Ok(Ok(stream)) => {
            let message = format!("{address} takes connections");
            let mut findings = vec![CONNECTED.found(host, message).seen([took])];
            findings.extend(check_tls(host, address, stream, trust, deadline).await);
            findings
        }
        Ok(Err(error)) => vec![not_connected(host, address, &error).seen([took])],
        Err(_) => {
            let message = format!("{address} did not answer within {:.1?}", started.elapsed());
            vec![TIMED_OUT.found(host, message).seen([took])]
        }
    }
}

fn not_connected(host: &str, address: SocketAddr, error: &io::Error) -> Finding {
    use io::ErrorKind;
    let check = match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => &REFUSED,
        ErrorKind::TimedOut => &TIMED_OUT,
        // No route, no network, no own address of this family, or not permitted to leave this machine.
        _ => &UNREACHABLE,
    };
    check.found(host, format!("{address} cannot be connected to ({error})")).seen([said("the system", error)])
}

async fn check_tls(
    host: &str,
    address: SocketAddr,
    stream: TcpStream,
    trust: &Trust,
    deadline: Instant,
) -> Vec<Finding> {
    let started = Instant::now();
    let Ok(name) = ServerName::try_from(host.trim_end_matches('.').to_owned()) else {
        return vec![FAILED.found(host, "it is no name that a certificate could have")];
    };
    let recorder = Arc::new(Recorder { trusted: Arc::clone(&trust.verifier), shown: Mutex::default() });
    let config = match client_config(trust, Arc::clone(&recorder)) {
        Ok(config) => config,
        Err(error) => return vec![FAILED.found(host, format!("TLS cannot be set up here ({error})"))],
    };
    let mut greeted = Greeted { stream, greeting: Vec::new() };
    let shaking = TlsConnector::from(Arc::new(config)).connect(name, &mut greeted);
    // The connection is closed with the handshake's end: nothing is asked here.
    let shaken = tokio::time::timeout_at(deadline.min(started + STEP_LIMIT), shaking).await.map(|done| done.map(drop));
    let shown = recorder.shown();
    let mut findings = match shaken {
        Ok(Ok(())) => trusted(host, address, &shown, Timestamp::now()),
        Ok(Err(error)) => vec![not_trusted(host, address, &error, &greeted.greeting)],
        Err(_) => {
            let message = format!("{address} did not finish the TLS handshake within {:.1?}", started.elapsed());
            vec![FAILED.found(host, message)]
        }
    };
    let took = took("tls", started);
    let evidence = || certificate::chain(&shown).into_iter().chain([took.clone()]);
    findings = findings.into_iter().map(|finding| finding.seen(evidence())).collect();
    findings
}

/// As the transport offers it: HTTP/1.1, and no session of an earlier handshake.
fn client_config(trust: &Trust, recorder: Arc<Recorder>) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&trust.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Only the server's own certificate tells when it must be renewed: a chain may hold others that are not needed.
fn trusted(host: &str, address: SocketAddr, shown: &[CertificateDer<'_>], now: Timestamp) -> Vec<Finding> {
    let mut findings =
        vec![TRUSTED.found(host, format!("{address} has a certificate for {host} that is trusted here"))];
    if let Some(end) = shown.first().and_then(|own| certificate::not_after(own))
        && end.duration_since(now) < jiff::SignedDuration::try_from(RENEW_WITHIN).unwrap_or_default()
    {
        findings.push(EXPIRES_SOON.found(host, format!("the certificate of {address} ends at {end}")));
    }
    findings
}

fn not_trusted(host: &str, address: SocketAddr, error: &io::Error, greeting: &[u8]) -> Finding {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(problem)) = tls {
        return refused_certificate(host, address, problem);
    }
    if let Some(words) = not_tls(tls, greeting) {
        let message = format!("{address} answered, but not in TLS");
        return NOT_TLS.found(host, message).seen([said("the server", words)]);
    }
    FAILED.found(host, format!("the TLS handshake with {address} failed ({error})")).seen([said("the system", error)])
}

fn refused_certificate(host: &str, address: SocketAddr, problem: &CertificateError) -> Finding {
    use CertificateError as E;
    let now = Timestamp::now();
    let (check, message) = match problem {
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            (&WRONG_NAME, format!("{address} shows a certificate for other names than {host}"))
        }
        E::Expired | E::ExpiredContext { .. } => {
            (&EXPIRED, format!("{address} shows a certificate that has expired; this machine's clock says {now:.0}"))
        }
        E::NotValidYet | E::NotValidYetContext { .. } => (
            &NOT_YET_VALID,
            format!("{address} shows a certificate that is not valid yet; this machine's clock says {now:.0}"),
        ),
        _ => (&UNTRUSTED, format!("{address} shows a certificate that nobody trusted here vouches for ({problem})")),
    };
    check.found(host, message).seen([said("the verifier", problem)])
}

/// The first line of what a server said that speaks something else, if it does.
fn not_tls(error: Option<&rustls::Error>, greeting: &[u8]) -> Option<String> {
    let broken = matches!(error, Some(rustls::Error::InvalidMessage(_)));
    // Every message of a handshake starts with one of these types: alert, handshake.
    let other = greeting.first().is_some_and(|first| !matches!(first, 21 | 22));
    (broken && other).then(|| {
        let line = greeting.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        line.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' }).collect()
    })
}

fn took(step: &str, started: Instant) -> Evidence {
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Evidence::Took { step: step.to_owned(), milliseconds }
}

fn said(by: &str, words: impl fmt::Display) -> Evidence {
    Evidence::Said { by: by.to_owned(), words: words.to_string() }
}

/// Keeps the chain that a server shows, and leaves the verdict to others.
#[derive(Debug)]
struct Recorder {
    trusted: Arc<dyn ServerCertVerifier>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl Recorder {
    fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|certificate| certificate.clone().into_owned()).collect();
        self.trusted.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.trusted.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.trusted.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trusted.supported_verify_schemes()
    }
}

/// A connection that remembers how the other side began.
struct Greeted {
    stream: TcpStream,
    greeting: Vec<u8>,
}

impl AsyncRead for Greeted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let room = MAX_GREETING.saturating_sub(self.greeting.len());
        self.greeting.extend(buffer.filled()[before..].iter().take(room));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
