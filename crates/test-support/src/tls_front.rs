//! A TLS front: ends TLS for some names and passes the bytes on to a plain server.
//!
//! With it the in-process server answers at `https://<account>.blob.core.windows.net`, under a certificate of an
//! authority of its own. Each connection that is accepted is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// An authority that signs what tests need.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// One that nobody knows.
    ///
    /// # Panics
    /// When the system gives no random numbers.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate =
            CertificateParams::new(names).expect("names").signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key in PKCS #8");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], key)
            .expect("key and certificate go together");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A running front; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl TlsFront {
    /// Listens at `at` (port 0 for any), shows a certificate for `names`, and passes on to `behind`.
    ///
    /// # Panics
    /// When the address is taken.
    pub async fn start(at: SocketAddr, authority: &Authority, names: &[&str], behind: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (acceptor, accepted) = (authority.acceptor(names), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&accepted);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(pass_on(acceptor.clone(), socket, behind));
            }
        });
        Self { address, accepted, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A peer that goes away ends it.
async fn pass_on(acceptor: TlsAcceptor, socket: TcpStream, behind: SocketAddr) {
    let Ok(mut outside) = acceptor.accept(socket).await else { return };
    let Ok(mut inside) = TcpStream::connect(behind).await else { return };
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
}
