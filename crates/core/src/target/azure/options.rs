//! How the target talks to the network: what a deployment may have to change.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use url::Url;

use crate::secret::Secret;

/// Settings of the connection to the storage service. [`AzureOptions::default`] suits a direct
/// connection to Azure.
#[derive(Clone)]
pub struct AzureOptions {
    /// How many requests the caller keeps in flight; so many idle connections are kept open.
    pub max_in_flight: usize,
    /// The longest wait for a TCP and TLS connection.
    pub connect_timeout: Duration,
    /// The time a request may take apart from moving its bytes, and a token to come. The deadline of a request is this plus
    /// its bytes at [`AzureOptions::minimum_bytes_per_second`], first for the body that is sent, then
    /// again for the answer.
    pub base_timeout: Duration,
    /// The slowest rate at which one request's bytes may move before it counts as stuck. At least 1.
    pub minimum_bytes_per_second: u64,
    /// Whether a proxy stands between here and Azure. Never used for loopback addresses.
    pub proxy: Proxy,
    /// Certificates (PEM, one or many) that are trusted besides those of the system.
    pub extra_certificates_pem: Option<Vec<u8>>,
    /// Answers names instead of the system's resolver, so that a caller can pin or refuse addresses.
    pub resolver: Option<Arc<dyn Resolve>>,
}

impl Default for AzureOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 32,
            connect_timeout: Duration::from_secs(10),
            base_timeout: Duration::from_secs(30),
            minimum_bytes_per_second: 64 << 10,
            proxy: Proxy::None,
            extra_certificates_pem: None,
            resolver: None,
        }
    }
}

impl fmt::Debug for AzureOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureOptions")
            .field("max_in_flight", &self.max_in_flight)
            .field("connect_timeout", &self.connect_timeout)
            .field("base_timeout", &self.base_timeout)
            .field("minimum_bytes_per_second", &self.minimum_bytes_per_second)
            .field("proxy", &self.proxy)
            .field("extra_certificates_pem", &self.extra_certificates_pem.as_ref().map(Vec::len))
            .field("resolver", &self.resolver.is_some())
            .finish()
    }
}

/// Which proxy to use.
#[derive(Clone, Debug, Default)]
pub enum Proxy {
    /// None, whatever the environment says: a disk's bytes go where the caller sent them.
    #[default]
    None,
    /// Whatever `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    Environment,
    /// This one (http or https); the URL may carry a user and a password.
    Url(Secret<Url>),
}
