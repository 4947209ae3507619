//! The rule that is enforced at every connection: which host, and which of its addresses.
//!
//! A private route resolves names through [`NameLookup`] and hands on only answers all of whose addresses the
//! [`AddressRule`] allows. One public address among them refuses the whole answer: what comes next from the same
//! source is not to be trusted either. There are two gates, and bytes pass both:
//!
//! - **Before each request** ([`Route::admit`]): if the last answer has run out, the name is looked up again.
//!   An answer that is refused stops the request. An answer with other addresses starts a new [epoch], and with it
//!   new connections. No answer at all leaves what is connected as it is: an open connection to a private address
//!   does not become public because a name server is down.
//! - **At each new connection** ([`RouteResolver`]): the name is looked up anew, unless that was less than a
//!   second ago, and the connection goes to exactly those addresses. Between the check and the connection there is
//!   no second lookup that could answer differently (DNS rebinding).
//!
//! An address in the URL in place of a name passes the same rule. Redirects are never followed, proxies never used.
//!
//! [epoch]: Route::epoch

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::{Host, Url};

use super::PrivateLinkError;
use super::address::{AddressClass, AddressRule};
use super::cloud::Cloud;
use super::lookup::{NameLookup, Resolver};
use super::name::HostName;

/// An answer that is younger counts as new: the connections of one burst share one look.
const FRESH: Duration = Duration::from_secs(1);

/// Whether bytes may go to private addresses only.
#[derive(Clone, Debug)]
pub enum PrivateLink {
    /// To the addresses that the rule allows, as the lookup finds them; a name with any other address is refused.
    Required {
        /// Which addresses.
        rule: AddressRule,
        /// Who resolves names.
        lookup: Arc<dyn NameLookup>,
    },
    /// To whatever the system resolves names to, over the internet too. An event says so at every opening.
    NotRequired,
}

impl PrivateLink {
    /// Required, under this rule, with the system's name servers and hosts file.
    pub fn required(rule: AddressRule) -> Self {
        Self::Required { rule, lookup: Arc::new(Resolver::default()) }
    }
}

impl Default for PrivateLink {
    /// Required, to RFC 1918 and RFC 4193 addresses.
    fn default() -> Self {
        Self::required(AddressRule::default())
    }
}

/// Where requests of one transport may go.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// To this machine, for emulators.
    Loopback,
    /// Anywhere.
    Open,
    /// To private addresses.
    Private(Arc<PrivateRoute>),
    /// To the public endpoints of the control plane.
    ControlPlane(Cloud),
}

impl Route {
    pub(crate) fn of(link: &PrivateLink) -> Self {
        match link {
            PrivateLink::NotRequired => Self::Open,
            PrivateLink::Required { rule, lookup } => Self::Private(Arc::new(PrivateRoute {
                rule: rule.clone(),
                lookup: Arc::clone(lookup),
                hosts: Mutex::default(),
                epoch: AtomicU64::new(0),
            })),
        }
    }

    pub(super) const fn may_pass_proxies(&self) -> bool {
        matches!(self, Self::Open | Self::ControlPlane(_))
    }

    /// Grows whenever connections that were made before must not be used any more.
    pub(super) fn epoch(&self) -> u64 {
        match self {
            Self::Private(route) => route.epoch.load(Ordering::Acquire),
            _ => 0,
        }
    }

    /// Whether a request may be sent to `url` now.
    pub(super) async fn admit(&self, url: &Url) -> Result<(), PrivateLinkError> {
        match self {
            Self::Loopback | Self::Open => Ok(()),
            Self::Private(route) => route.admit(url).await,
            Self::ControlPlane(cloud) => {
                let host = url.host_str().unwrap_or_default();
                if url.scheme() == "https" && cloud.control_plane_hosts().contains(&host) {
                    return Ok(());
                }
                Err(PrivateLinkError::ForeignHost { host: host.to_owned() })
            }
        }
    }
}

/// The names of a private route, and what they resolved to.
pub(crate) struct PrivateRoute {
    rule: AddressRule,
    lookup: Arc<dyn NameLookup>,
    hosts: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Seen>>>>>,
    epoch: AtomicU64,
}

/// The last answer to a name that was let through, and when the name was last asked for.
#[derive(Clone, Debug)]
struct Seen {
    addresses: Vec<IpAddr>,
    until: Instant,
    outcome: Result<(), PrivateLinkError>,
    looked: Instant,
}

impl PrivateRoute {
    async fn admit(&self, url: &Url) -> Result<(), PrivateLinkError> {
        let name = match url.host() {
            Some(Host::Domain(name)) => name,
            Some(Host::Ipv4(address)) => return self.judge(&address.to_string(), vec![address.into()]).map(drop),
            Some(Host::Ipv6(address)) => return self.judge(&address.to_string(), vec![address.into()]).map(drop),
            None => return Err(PrivateLinkError::name(url.scheme(), "a URL without a host")),
        };
        match self.addresses(name, |seen| seen.until > Instant::now()).await {
            // Nobody answers, which makes no open connection less private. A new one asks for itself.
            Err(PrivateLinkError::Lookup { .. }) if self.was_let_through(name).await => Ok(()),
            other => other.map(drop),
        }
    }

    /// The addresses of `name`: the last answer if `good_enough`, or a new one. Who comes while somebody looks
    /// waits for that look: the lock is held for it, by the one who looks.
    async fn addresses(
        &self,
        name: &str,
        good_enough: impl Fn(&Seen) -> bool,
    ) -> Result<Vec<IpAddr>, PrivateLinkError> {
        let seen = self.host(name);
        let mut seen = seen.lock().await;
        if let Some(last) = seen.as_ref().filter(|last| good_enough(last) || last.looked.elapsed() < FRESH) {
            return last.outcome.clone().map(|()| last.addresses.clone());
        }
        let looked = self.look(name).await;
        let now = Instant::now();
        let before = seen.take();
        let kept = before.as_ref().map(|before| before.addresses.clone()).unwrap_or_default();
        let (addresses, until, outcome) = match &looked {
            Ok((addresses, valid_for)) => (addresses.clone(), now + *valid_for, Ok(())),
            // Not known to be wrong: who is connected stays so, and the next request asks again.
            Err(error @ PrivateLinkError::Lookup { .. }) => (kept.clone(), now, Err(error.clone())),
            Err(error) => (Vec::new(), now, Err(error.clone())),
        };
        if before.is_some() && !same(&kept, &addresses) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        *seen = Some(Seen { addresses, until, outcome, looked: now });
        looked.map(|(addresses, _)| addresses)
    }

    async fn look(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), PrivateLinkError> {
        let host: HostName = name.parse()?;
        let answer = self
            .lookup
            .look_up(&host)
            .await
            .map_err(|failure| PrivateLinkError::Lookup { host: name.to_owned(), reason: failure.to_string() })?;
        Ok((self.judge(name, answer.addresses)?, answer.valid_for))
    }

    /// All of them, or none.
    fn judge(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, PrivateLinkError> {
        if !addresses.is_empty() && addresses.iter().all(|address| self.rule.allows(*address)) {
            return Ok(addresses);
        }
        let classes = addresses.into_iter().map(|address| (address, AddressClass::of(address).to_string())).collect();
        Err(PrivateLinkError::NotPrivate { host: host.to_owned(), addresses: classes })
    }

    async fn was_let_through(&self, name: &str) -> bool {
        self.host(name).lock().await.as_ref().is_some_and(|seen| !seen.addresses.is_empty())
    }

    fn host(&self, name: &str) -> Arc<tokio::sync::Mutex<Option<Seen>>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(name.to_owned()).or_default())
    }
}

impl fmt::Debug for PrivateRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateRoute").field("rule", &self.rule).field("lookup", &self.lookup).finish_non_exhaustive()
    }
}

fn same(some: &[IpAddr], others: &[IpAddr]) -> bool {
    some.len() == others.len() && some.iter().all(|address| others.contains(address))
}

/// The second gate: what the HTTP client asks where to connect.
pub(super) struct RouteResolver(Gate);

enum Gate {
    Loopback,
    Private(Arc<PrivateRoute>),
}

impl RouteResolver {
    /// None where the system's resolver will do.
    pub(super) fn of(route: &Route) -> Option<Self> {
        match route {
            Route::Loopback => Some(Self(Gate::Loopback)),
            Route::Private(route) => Some(Self(Gate::Private(Arc::clone(route)))),
            Route::Open | Route::ControlPlane(_) => None,
        }
    }
}

impl reqwest::dns::Resolve for RouteResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses = match &self.0 {
            // `localhost` is this machine, whatever a file says.
            Gate::Loopback => {
                let addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
                return Box::pin(std::future::ready(Ok(sockets(addresses))));
            }
            Gate::Private(route) => Arc::clone(route),
        };
        Box::pin(async move { Ok(sockets(addresses.addresses(name.as_str(), |_| false).await?)) })
    }
}

fn sockets(addresses: Vec<IpAddr>) -> reqwest::dns::Addrs {
    // The client puts the port of the URL in place of 0.
    Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
}
