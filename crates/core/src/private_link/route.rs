//! The rule that is enforced at every connection: which host, and which of its addresses.
//!
//! A private route resolves names through [`NameLookup`] and hands on only answers all of whose addresses the
//! [`AddressRule`] allows. One public address among them refuses the whole answer: what comes next from the same
//! source is not to be trusted either. There are two gates, and bytes pass both:
//!
//! - **Before each request** ([`Route::admit`]): if the last answer has run out, the name is looked up again.
//!   An answer that is refused stops the request. An answer with other addresses starts a new [epoch], and with it
//!   new connections. No answer at all leaves what is connected as it is, and alone for a while: an open connection
//!   to a private address does not become public because a name server is down. "No such name" is an answer.
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::PrivateLinkError;
use super::address::{AddressClass, AddressRule};
use super::cloud::Cloud;
use super::lookup::{NameLookup, Resolver, WhyNot};
use super::name::HostName;

/// An answer that is younger counts as new: the connections of one burst share one look.
const FRESH: Duration = Duration::from_secs(1);
/// The longest that any answer counts, whatever its time to live.
const MAX_VALID: Duration = Duration::from_secs(3600);
/// The longest that a request waits for a look where connections are open that it may use.
const REFRESH_LIMIT: Duration = Duration::from_secs(2);
/// How long open connections are left alone when nobody has answered. New ones ask for themselves all the same.
const AFTER_SILENCE: Duration = Duration::from_secs(30);
/// The most names that one route remembers. A target has one.
const MAX_HOSTS: usize = 256;

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

    /// Whether a request may be sent to `url` now. Where something is connected already, that is known long before
    /// `within` is over.
    pub(super) async fn admit(&self, url: &Url, within: Duration) -> Result<(), PrivateLinkError> {
        match self {
            Self::Loopback | Self::Open => Ok(()),
            Self::Private(route) => route.admit(url, within).await,
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
    hosts: Mutex<HashMap<HostName, Arc<Host>>>,
    epoch: AtomicU64,
}

/// One name.
#[derive(Debug, Default)]
struct Host {
    /// Held for a moment only: requests pass while somebody looks.
    seen: Mutex<Option<Seen>>,
    /// Held by the one who looks: who needs a look too waits for that one.
    looking: tokio::sync::Mutex<()>,
}

/// The last answer to a name that was let through, and when the name was last asked for.
#[derive(Clone, Debug)]
struct Seen {
    addresses: Vec<IpAddr>,
    until: Instant,
    outcome: Result<(), PrivateLinkError>,
    looked: Instant,
}

impl Seen {
    fn told(self) -> Result<Vec<IpAddr>, PrivateLinkError> {
        self.outcome.map(|()| self.addresses)
    }
}

/// What a look finds.
enum Look {
    Allowed(Vec<IpAddr>, Duration),
    Refused(PrivateLinkError),
    /// Nobody says what is right, nor that anything is wrong.
    Silent(PrivateLinkError),
}

impl Host {
    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether connections may be open.
    fn is_let_through(&self) -> bool {
        self.seen().as_ref().is_some_and(|seen| !seen.addresses.is_empty())
    }

    /// Leaves open connections alone for a while, if there still may be any.
    fn put_off(&self) -> Result<(), PrivateLinkError> {
        match &mut *self.seen() {
            Some(seen) if seen.addresses.is_empty() => seen.outcome.clone(),
            Some(seen) => {
                seen.until = Instant::now() + AFTER_SILENCE;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl PrivateRoute {
    async fn admit(&self, url: &Url, within: Duration) -> Result<(), PrivateLinkError> {
        let name: HostName = match url.host() {
            Some(url::Host::Domain(name)) => name.parse()?,
            Some(url::Host::Ipv4(address)) => return self.judge(&address.to_string(), vec![address.into()]).map(drop),
            Some(url::Host::Ipv6(address)) => return self.judge(&address.to_string(), vec![address.into()]).map(drop),
            None => return Err(PrivateLinkError::name(url.scheme(), "a URL without a host")),
        };
        let host = self.host(&name);
        let look = self.addresses(&name, &host, |seen| seen.until > Instant::now());
        if !host.is_let_through() {
            return look.await.map(drop);
        }
        match tokio::time::timeout(REFRESH_LIMIT.min(within / 2), look).await {
            // Nobody answers, which makes no open connection less private. A new one asks for itself.
            Ok(Err(PrivateLinkError::Lookup { .. })) if host.is_let_through() => Ok(()),
            Ok(looked) => looked.map(drop),
            Err(_) => host.put_off(),
        }
    }

    /// The addresses of `name`: the last answer if `good_enough`, or a new one.
    async fn addresses(
        &self,
        name: &HostName,
        host: &Host,
        good_enough: impl Fn(&Seen) -> bool,
    ) -> Result<Vec<IpAddr>, PrivateLinkError> {
        let known = || host.seen().clone().filter(|last| good_enough(last) || last.looked.elapsed() < FRESH);
        if let Some(last) = known() {
            return last.told();
        }
        let _looking = host.looking.lock().await;
        match known() {
            Some(last) => last.told(),
            None => self.note(host, self.look(name).await).told(),
        }
    }

    /// Keeps what a look has found, and ends the connections to where the name no longer leads.
    fn note(&self, host: &Host, look: Look) -> Seen {
        let (mut seen, looked) = (host.seen(), Instant::now());
        let before = seen.take().map(|before| before.addresses);
        let (addresses, until, outcome) = match look {
            Look::Allowed(addresses, valid_for) => (addresses, looked + valid_for.min(MAX_VALID), Ok(())),
            Look::Refused(error) => (Vec::new(), looked, Err(error)),
            Look::Silent(error) => {
                let kept = before.clone().unwrap_or_default();
                let until = if kept.is_empty() { looked } else { looked + AFTER_SILENCE };
                (kept, until, Err(error))
            }
        };
        if before.is_some_and(|before| !same(&before, &addresses)) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        seen.insert(Seen { addresses, until, outcome, looked }).clone()
    }

    async fn look(&self, name: &HostName) -> Look {
        match self.lookup.look_up(name).await {
            Ok(answer) => match self.judge(name.as_str(), answer.addresses) {
                Ok(addresses) => Look::Allowed(addresses, answer.valid_for),
                Err(error) => Look::Refused(error),
            },
            Err(failure) => {
                let error = PrivateLinkError::Lookup { host: name.to_string(), reason: failure.to_string() };
                match failure.why {
                    WhyNot::NoAnswer | WhyNot::BadAnswer | WhyNot::NoServer => Look::Silent(error),
                    WhyNot::NoSuchName | WhyNot::NoAddress => Look::Refused(error),
                }
            }
        }
    }

    /// All of them, or none.
    fn judge(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, PrivateLinkError> {
        if !addresses.is_empty() && addresses.iter().all(|address| self.rule.allows(*address)) {
            return Ok(addresses);
        }
        let classes = addresses.into_iter().map(|address| (address, AddressClass::of(address).to_string())).collect();
        Err(PrivateLinkError::NotPrivate { host: host.to_owned(), addresses: classes })
    }

    fn host(&self, name: &HostName) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(name) {
            // Nobody knows any more where open connections lead: new ones will be made.
            hosts.clear();
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        Arc::clone(hosts.entry(name.clone()).or_default())
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
        let route = match &self.0 {
            // `localhost` is this machine, whatever a file says.
            Gate::Loopback => {
                let addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
                return Box::pin(std::future::ready(Ok(sockets(addresses))));
            }
            Gate::Private(route) => Arc::clone(route),
        };
        Box::pin(async move {
            let name: HostName = name.as_str().parse()?;
            let host = route.host(&name);
            Ok(sockets(route.addresses(&name, &host, |_| false).await?))
        })
    }
}

fn sockets(addresses: Vec<IpAddr>) -> reqwest::dns::Addrs {
    // The client puts the port of the URL in place of 0.
    Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
}

#[cfg(test)]
mod tests;
