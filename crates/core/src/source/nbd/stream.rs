//! The way to a server: TCP or a Unix socket, plain or through TLS.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::NbdError;
use super::uri::{Address, NbdUri};

/// A way to a server. Everything that reads and writes is one.
pub trait NbdStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> NbdStream for T {}

/// Opens the way to the server of `uri`, without TLS yet.
pub(super) async fn dial(uri: &NbdUri) -> Result<Box<dyn NbdStream>, NbdError> {
    let failed = |e: std::io::Error| NbdError::Connect { server: uri.to_string(), problem: e.to_string() };
    match &uri.address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            // Requests are small, and each is waited for.
            stream.set_nodelay(true).map_err(failed)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(failed(std::io::ErrorKind::Unsupported.into())),
    }
}

/// Whom to trust, and who we are, in TLS with an NBD server.
#[derive(Clone)]
pub struct Tls {
    config: Arc<rustls::ClientConfig>,
    name: Option<String>,
}

impl Tls {
    /// Trusts the authorities in `authorities`, certificates in PEM; an NBD server's is hardly ever a public one.
    pub fn trusting(authorities: &[u8]) -> Result<Self, NbdError> {
        Self::new(authorities, None)
    }

    /// The same, and shows the server a certificate (in PEM, with those that lead to an authority) and proves
    /// it with its private key.
    pub fn trusting_as(authorities: &[u8], certificates: &[u8], private_key: &[u8]) -> Result<Self, NbdError> {
        Self::new(authorities, Some((certificates, private_key)))
    }

    /// The name that the server's certificate must have, where it is not the host's; needed for Unix sockets.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn new(authorities: &[u8], own: Option<(&[u8], &[u8])>) -> Result<Self, NbdError> {
        let wrong = |problem: String| NbdError::Tls { server: "any server".into(), problem };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate = certificate.map_err(|e| wrong(format!("an authority's certificate: {e}")))?;
            roots.add(certificate).map_err(|e| wrong(format!("an authority's certificate: {e}")))?;
        }
        if roots.is_empty() {
            return Err(wrong("no authority was given".into()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(e.to_string()))?
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some((certificates, private_key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
                let chain = chain.map_err(|e| wrong(format!("our certificate: {e}")))?;
                let key = PrivateKeyDer::from_pem_slice(private_key);
                let key = key.map_err(|_| wrong("our private key cannot be read".into()))?;
                config.with_client_auth_cert(chain, key).map_err(|e| wrong(format!("our certificate: {e}")))?
            }
        };
        Ok(Self { config: Arc::new(config), name: None })
    }

    /// TLS over `stream`, to the server called `server` (its host and port).
    pub(super) async fn over(&self, stream: Box<dyn NbdStream>, server: &str) -> Result<Box<dyn NbdStream>, NbdError> {
        let failed = |problem: String| NbdError::Tls { server: server.to_owned(), problem };
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        let name = self.name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|e| failed(format!("{e}; state the name to expect")))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, stream).await.map_err(|e| failed(e.to_string()))?;
        Ok(Box::new(stream))
    }
}

/// Nothing of the private key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
