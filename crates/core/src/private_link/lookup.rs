//! Names to addresses, with what was seen on the way.
//!
//! [`Resolver`] asks the hosts file first, as the system does, then the system's name servers or others that
//! were named. The answer carries the chain of aliases, because that chain tells the traps of Private Link
//! apart: a name with a private endpoint is an alias into the private zone, whoever asks.
//!
//! Where a name has no address, the chain is walked alias by alias: a resolver that answers "no such name"
//! may mean a name far down the chain.
//!
//! Nothing is cached here, and files and name servers are read anew for each look: who keeps an answer
//! keeps it for [`Answer::valid_for`]. A look takes at most [`Resolver::limit`], whatever servers do; names,
//! chains and addresses are bounded, so a hostile answer costs a few KiB.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use serde::{Deserialize, Serialize};

use super::name::HostName;

/// The longest chain of aliases that is followed. Azure's have three or four.
const MAX_CHAIN: usize = 12;
/// The most addresses of one name that are looked at. A private endpoint has one.
const MAX_ADDRESSES: usize = 64;
/// The longest hosts file that is read.
const MAX_HOSTS_BYTES: u64 = 1 << 20;
/// How long an entry of the hosts file counts: it has no time to live, and may be edited.
const HOSTS_VALID: Duration = Duration::from_secs(30);
/// The longest that any answer counts, whatever its time to live.
const MAX_VALID: Duration = Duration::from_secs(3600);

/// Resolves names. The seam for resolvers of the caller's own, and for tests.
#[async_trait]
pub trait NameLookup: Send + Sync + fmt::Debug {
    /// Looks `host` up, anew: not from a cache that outlives the answer's time to live.
    async fn look_up(&self, host: &HostName) -> Result<Answer, LookupFailure>;
}

/// What a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who said so.
    pub origin: Origin,
    /// The aliases on the way, from the name on.
    pub chain: Vec<Alias>,
    /// The addresses at its end; at least one.
    pub addresses: Vec<IpAddr>,
    /// How long the answer is good for, from when it was given.
    pub valid_for: Duration,
}

/// Who gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A line of the hosts file.
    HostsFile,
    /// A name server.
    Dns,
}

impl Origin {
    /// As JSON spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostsFile => "hosts_file",
            Self::Dns => "dns",
        }
    }
}

/// A name that stands for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The alias, in lower case, without a dot at the end.
    pub name: String,
    /// What it stands for.
    pub target: String,
    /// How long that holds.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupFailure {
    /// Why.
    pub why: WhyNot,
    /// The aliases up to the one that leads nowhere.
    pub chain: Vec<Alias>,
    /// The resolver's words.
    pub words: String,
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The name, or what it is an alias of, does not exist.
    NoSuchName,
    /// It exists and has no address.
    NoAddress,
    /// No name server answered, or none would (`SERVFAIL`, `REFUSED`).
    NoAnswer,
    /// An answer that makes no sense: a loop of aliases, too long a chain, broken messages.
    BadAnswer,
    /// This machine names no usable name server.
    NoServer,
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.chain.last().map(|alias| alias.target.as_str());
        match (self.why, end) {
            (WhyNot::NoSuchName, Some(end)) => write!(f, "it is an alias of {end}, which does not exist"),
            (WhyNot::NoSuchName, None) => f.write_str("no such name"),
            (WhyNot::NoAddress, Some(end)) => write!(f, "it is an alias of {end}, which has no address"),
            (WhyNot::NoAddress, None) => f.write_str("it has no address"),
            (WhyNot::NoAnswer | WhyNot::BadAnswer | WhyNot::NoServer, _) => f.write_str(&self.words),
        }
    }
}

/// The hosts file and DNS.
///
/// The hosts file is honoured first. Sources of names other than these two (`nsswitch.conf`) are not asked.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Name servers to ask instead of the system's.
    pub servers: Vec<SocketAddr>,
    /// The hosts file; none to pass it over.
    pub hosts_file: Option<PathBuf>,
    /// The longest that one look may take.
    pub limit: Duration,
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self { servers: Vec::new(), hosts_file: Some("/etc/hosts".into()), limit: Duration::from_secs(10) }
    }
}

#[async_trait]
impl NameLookup for Resolver {
    async fn look_up(&self, host: &HostName) -> Result<Answer, LookupFailure> {
        let name = fully_qualified(host)?;
        if let Some(answer) = self.in_hosts_file(&name) {
            return Ok(answer);
        }
        let late = || failure(WhyNot::NoAnswer, format!("no answer within {:?}", self.limit));
        tokio::time::timeout(self.limit, self.in_dns(&name)).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Resolver {
    /// Asks these name servers; the hosts file is honoured still.
    pub fn asking(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { servers: servers.into_iter().collect(), ..Self::default() }
    }

    fn in_hosts_file(&self, name: &Name) -> Option<Answer> {
        let file = File::open(self.hosts_file.as_ref()?).ok()?;
        let mut hosts = Hosts::default();
        // What could be read before a line that is no text counts, as it does for the system.
        let _ = hosts.read_hosts_conf(file.take(MAX_HOSTS_BYTES));
        let found = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let records = [found(RecordType::A), found(RecordType::AAAA)];
        let addresses = addresses_of(records.iter().flatten().flat_map(Lookup::answers), name);
        if addresses.is_empty() {
            return None;
        }
        Some(Answer { origin: Origin::HostsFile, chain: Vec::new(), addresses, valid_for: HOSTS_VALID })
    }

    async fn in_dns(&self, name: &Name) -> Result<Answer, LookupFailure> {
        let resolver = self.resolver()?;
        let (v4, v6) =
            tokio::join!(resolver.lookup(name.clone(), RecordType::A), resolver.lookup(name.clone(), RecordType::AAAA));
        let records: Vec<Record> = [&v4, &v6].into_iter().flatten().flat_map(Lookup::answers).cloned().collect();
        let walk = Walk::through(name, &records).map_err(|words| failure(WhyNot::BadAnswer, words))?;
        let addresses = addresses_of(&records, &walk.end);
        if !addresses.is_empty() {
            let valid_for = records.iter().map(|record| record.ttl).min().unwrap_or_default();
            return Ok(Answer {
                origin: Origin::Dns,
                chain: walk.chain,
                addresses,
                valid_for: Duration::from_secs(valid_for.into()).min(MAX_VALID),
            });
        }
        // A failure to answer for one family says more than "none" for the other.
        let failures = [v4.err(), v6.err()].into_iter().flatten();
        let worst = failures.max_by_key(|error| matches!(why_of(error), WhyNot::NoAnswer | WhyNot::BadAnswer));
        Err(Self::along_the_chain(&resolver, name, worst).await)
    }

    /// A failure with the chain up to where it happened, each alias asked for by itself.
    async fn along_the_chain(resolver: &TokioResolver, name: &Name, error: Option<NetError>) -> LookupFailure {
        let mut failed = match &error {
            Some(error) => failure(why_of(error), error.to_string()),
            None => failure(WhyNot::NoAddress, "no address in the answer".to_owned()),
        };
        let mut records = Vec::new();
        let mut end = name.clone();
        loop {
            match resolver.lookup(end.clone(), RecordType::CNAME).await {
                Ok(lookup) => records.extend(lookup.answers().iter().cloned()),
                Err(error) => {
                    // The last look tells whether the end of the chain exists.
                    if error.is_nx_domain() {
                        failed.why = WhyNot::NoSuchName;
                    } else if error.is_no_records_found() && failed.why == WhyNot::NoSuchName {
                        failed.why = WhyNot::NoAddress;
                    }
                    return failed;
                }
            }
            match Walk::through(name, &records) {
                Ok(walk) if walk.end == end => return failed,
                Ok(walk) => (failed.chain, end) = (walk.chain, walk.end),
                Err(words) => return LookupFailure { why: WhyNot::BadAnswer, words, ..failed },
            }
        }
    }

    fn resolver(&self) -> Result<TokioResolver, LookupFailure> {
        let provider = TokioRuntimeProvider::default();
        let builder = if self.servers.is_empty() {
            TokioResolver::builder(provider)
        } else {
            let servers = self.servers.iter().map(|server| {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                NameServerConfig::new(server.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Ok(TokioResolver::builder_with_config(config, provider))
        };
        let unusable = |error: NetError| failure(WhyNot::NoServer, format!("no name server can be asked: {error}"));
        let mut builder = builder.map_err(unusable)?;
        let system = builder.options_mut();
        let (timeout, attempts) = (system.timeout, system.attempts);
        let mut options = ResolverOpts::default();
        options.timeout = timeout.min(self.limit / 3).max(Duration::from_millis(100));
        options.attempts = attempts.min(3);
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.case_randomization = true;
        builder.with_options(options).build().map_err(unusable)
    }
}

/// Aliases, followed.
struct Walk {
    chain: Vec<Alias>,
    end: Name,
}

impl Walk {
    fn through(name: &Name, records: &[Record]) -> Result<Self, String> {
        let mut walk = Self { chain: Vec::new(), end: name.clone() };
        let mut seen = BTreeSet::from([name.clone()]);
        while let Some((target, ttl)) = alias_of(&walk.end, records) {
            let alias = Alias { name: text(&walk.end), target: text(target), ttl: Duration::from_secs(ttl.into()) };
            walk.chain.push(alias);
            walk.end = target.clone();
            if !seen.insert(target.clone()) {
                return Err(format!("the aliases of {} go round in a circle", text(name)));
            }
            if walk.chain.len() > MAX_CHAIN {
                return Err(format!("more than {MAX_CHAIN} aliases follow {}", text(name)));
            }
        }
        Ok(walk)
    }
}

fn alias_of<'a>(name: &Name, records: &'a [Record]) -> Option<(&'a Name, u32)> {
    records.iter().filter(|record| &record.name == name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some((&target.0, record.ttl)),
        _ => None,
    })
}

/// The addresses of `name`, each once.
fn addresses_of<'a>(records: impl IntoIterator<Item = &'a Record>, name: &Name) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in records.into_iter().filter(|record| &record.name == name).filter_map(|record| record.data.ip_addr())
    {
        if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    addresses
}

/// With the dot at the end, so that no search domain is tried.
fn fully_qualified(host: &HostName) -> Result<Name, LookupFailure> {
    Name::from_ascii(format!("{host}.")).map_err(|error| failure(WhyNot::BadAnswer, error.to_string()))
}

fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

fn failure(why: WhyNot, words: String) -> LookupFailure {
    LookupFailure { why, chain: Vec::new(), words }
}

fn why_of(error: &NetError) -> WhyNot {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            WhyNot::NoSuchName
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError => {
            WhyNot::NoAddress
        }
        NetError::Proto(_) => WhyNot::BadAnswer,
        _ => WhyNot::NoAnswer,
    }
}
