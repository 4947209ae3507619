//! How we talk to the network: what a deployment may have to change.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::route::PrivateLink;
use crate::secret::Secret;

/// Settings of the connections to a service. [`TransportOptions::default`] suits a connection to Azure over
/// Private Link.
#[derive(Clone)]
pub struct TransportOptions {
    /// How many requests the caller keeps in flight; so many idle connections are kept open.
    pub max_in_flight: usize,
    /// The longest wait for a TCP and TLS connection.
    pub connect_timeout: Duration,
    /// The time a request may take apart from moving its bytes, and a token to come. The deadline of a request is this plus
    /// its bytes at [`TransportOptions::minimum_bytes_per_second`], first for the body that is sent, then
    /// again for the answer.
    pub base_timeout: Duration,
    /// The slowest rate at which one request's bytes may move before it counts as stuck. At least 1.
    pub minimum_bytes_per_second: u64,
    /// Whether a proxy stands between here and Azure. Never used for loopback addresses, nor where Private Link
    /// is required: private names bypass the proxy.
    pub proxy: Proxy,
    /// Certificates (PEM, one or many) that are trusted besides those of the system.
    pub extra_certificates_pem: Option<Vec<u8>>,
    /// Whether bytes may go to private addresses only. The control plane's transport does not ask.
    pub private_link: PrivateLink,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 32,
            connect_timeout: Duration::from_secs(10),
            base_timeout: Duration::from_secs(30),
            minimum_bytes_per_second: 64 << 10,
            proxy: Proxy::None,
            extra_certificates_pem: None,
            private_link: PrivateLink::default(),
        }
    }
}

impl fmt::Debug for TransportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportOptions")
            .field("max_in_flight", &self.max_in_flight)
            .field("connect_timeout", &self.connect_timeout)
            .field("base_timeout", &self.base_timeout)
            .field("minimum_bytes_per_second", &self.minimum_bytes_per_second)
            .field("proxy", &self.proxy)
            .field("extra_certificates_pem", &self.extra_certificates_pem.as_ref().map(Vec::len))
            .field("private_link", &self.private_link)
            .finish()
    }
}

/// Which proxy to use.
#[derive(Clone, Debug, Default)]
pub enum Proxy {
    /// None, whatever the environment says: a disk's bytes go where the caller sent them.
    #[default]
    None,
    /// Whatever `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say; nothing where Private Link is required.
    Environment,
    /// This one (http or https); the URL may carry a user and a password.
    Url(Secret<Url>),
}
