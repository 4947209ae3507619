//! Private Link: names, what they resolve to, and the transport that talks to private addresses only.
//!
//! Azure's services keep their public names under Private Link. Whether bytes stay private depends on one
//! thing alone: what address such a name resolves to, on the machine that sends, at the moment it sends. So
//! that is what is checked here, before and during.
//!
//! ```text
//! cloud.rs        the clouds, and which service has which zone in which of them
//! name.rs         endpoint names and private-link names, as types
//! vault.rs        the five endpoints of a Recovery Services vault
//! address.rs      what kind of address it is; which ones are let through
//! lookup.rs       hosts file (hosts_file.rs) and DNS: the answer, with the chain of names as evidence
//! checks.rs       every code, as a table
//! dns_check.rs    what is wrong with an answer, and what would put it right (fixes.rs)
//! reach.rs, certificate.rs, proxy.rs   TCP, TLS, and proxies that stand in the way
//! route.rs        the rule that is enforced at every connection
//! transport.rs    HTTP over such a route
//! ```
//!
//! Nothing here trusts an answer for longer than it is good for: the route looks again at each new connection
//! and when the answer's time to live has passed.

mod address;
mod certificate;
pub(crate) mod checks;
mod cloud;
pub(crate) mod dns_check;
mod error;
mod fixes;
mod hosts_file;
mod lookup;
pub(crate) mod name;
mod options;
pub(crate) mod proxy;
pub(crate) mod reach;
pub(crate) mod route;
pub(crate) mod transport;
mod vault;

/// The longest that anything waits: no clock has room for [`Duration::MAX`](std::time::Duration::MAX). A year.
pub(crate) const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

pub use self::address::{AddressClass, AddressRule};
pub use self::cloud::{Cloud, PrivateService};
pub use self::error::PrivateLinkError;
pub use self::lookup::{Alias, Answer, LookupFailure, NameLookup, Origin, Resolver, WhyNot};
pub use self::name::{HostName, ServiceName};
pub use self::options::{Proxy, TransportOptions};
pub use self::route::PrivateLink;
pub use self::transport::{TransferCounters, control_plane_transport, private_transport};
pub use self::vault::{VaultEndpoint, VaultEndpoints, VaultRole};
