//! Names to addresses, with what was seen on the way.
//!
//! [`Resolver`] asks the hosts file first, as the system does, then the system's name servers or others that
//! were named, one after the other: the next is asked only where the last one said nothing of the name, for often
//! the first alone knows the private zone. The answer carries the chain of aliases, because that chain tells the
//! traps of Private Link apart: a name with a private endpoint is an alias into the private zone, whoever asks.
//!
//! Where a name has no address, the chain is walked alias by alias: a resolver that answers "no such name"
//! may mean a name far down the chain.
//!
//! Nothing is cached here, and files and name servers are read anew for each look: who keeps an answer
//! keeps it for [`Answer::valid_for`]. A look takes at most [`Resolver::limit`], whatever servers do; names,
//! chains and addresses are bounded, so a hostile answer costs a few KiB.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{self, Either};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use serde::{Deserialize, Serialize};

use super::LONGEST_WAIT;
use super::hosts_file;
use super::name::HostName;

/// The longest chain of aliases that is followed. Azure's have three or four.
const MAX_CHAIN: usize = 12;
/// The most addresses of one name: more are a bad answer. A private endpoint has one.
const MAX_ADDRESSES: usize = 64;
/// The most of the system's name servers that are asked (MAXNS of resolv.conf(5)): the system asks no more.
const SYSTEM_SERVERS: usize = 3;
/// How long one family of addresses is waited for once there are some of the other: firewalls and old forwarders
/// drop questions for IPv6.
const OTHER_FAMILY: Duration = Duration::from_secs(1);
/// How long an entry of the hosts file counts: it has no time to live, and may be edited.
const HOSTS_VALID: Duration = Duration::from_secs(30);

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
    /// How long the answer is good for, from when it was given. A route counts on it for an hour at most.
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
/// Name servers are asked in their order, as glibc asks them: one that does not answer, refuses or fails is passed
/// over; what one says of the name counts, if it says that there is none too. A scope of a name server
/// (`fe80::1%eth0`) is not honoured: such a server does not answer.
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
        let late = || failure(WhyNot::NoAnswer, format!("no answer within {:?}", self.limit));
        let look = async {
            match self.in_hosts_file(host).await? {
                Some(answer) => Ok(answer),
                None => self.in_dns(&fully_qualified(host)?).await,
            }
        };
        tokio::time::timeout(self.limit, look).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Resolver {
    /// Asks these name servers; the hosts file is honoured still.
    pub fn asking(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { servers: servers.into_iter().collect(), ..Self::default() }
    }

    async fn in_hosts_file(&self, host: &HostName) -> Result<Option<Answer>, LookupFailure> {
        let (Some(path), host) = (self.hosts_file.clone(), host.clone()) else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || hosts_file::addresses_in(&path, &host)).await;
        let addresses = read.unwrap_or_else(|error| Err(error.to_string())).map_err(bad)?;
        if addresses.is_empty() {
            return Ok(None);
        }
        Answer { origin: Origin::HostsFile, chain: Vec::new(), addresses, valid_for: HOSTS_VALID }.bounded().map(Some)
    }

    /// Asks one server after the other until one says something of the name. If none does, what the first of them
    /// said instead is the reason: others may be there for other names.
    async fn in_dns(&self, name: &Name) -> Result<Answer, LookupFailure> {
        let (servers, patience) = self.name_servers()?;
        let mut first = None;
        for server in servers {
            let (address, server) = (server.ip, Server::new(server, patience)?);
            let families = server.both_families(name).await;
            let mut failed = match united(name, &families) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let every = |is: fn(&NetError) -> bool| families.iter().all(|family| family.as_ref().is_err_and(is));
            if !every(is_absence) {
                failed = server.along_the_chain(name, failed).await;
            }
            if !every(|error| why_of(error) == WhyNot::NoAnswer) {
                return Err(failed);
            }
            failed.words = format!("name server {address}: {}", failed.words);
            first.get_or_insert(failed);
        }
        Err(first.unwrap_or_else(|| failure(WhyNot::NoServer, "no name server is named".to_owned())))
    }

    /// Whom to ask, and for how long each: as long as the system would, but so that the limit leaves time for all
    /// of them and for one walk along a chain.
    fn name_servers(&self) -> Result<(Vec<NameServerConfig>, Duration), LookupFailure> {
        let (servers, options) = if self.servers.is_empty() {
            let unusable = |error| failure(WhyNot::NoServer, format!("no name server can be asked: {error}"));
            let (system, options) = read_system_conf().map_err(unusable)?;
            (system.name_servers().iter().take(SYSTEM_SERVERS).cloned().collect(), options)
        } else {
            (self.servers.iter().map(|server| at(*server)).collect::<Vec<_>>(), ResolverOpts::default())
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let share = self.limit.min(LONGEST_WAIT) / count(servers.len()).saturating_add(1);
        let systems = options.timeout.saturating_mul(count(options.attempts).max(1));
        Ok((servers, systems.min(share).max(Duration::from_millis(100))))
    }
}

/// One name server. Asked over UDP, a question is repeated every third of a second.
struct Server {
    resolver: TokioResolver,
    patience: Duration,
}

impl Server {
    /// Only this one: several servers of one resolver would be raced against each other.
    fn new(server: NameServerConfig, patience: Duration) -> Result<Self, LookupFailure> {
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut options = ResolverOpts::default();
        options.timeout = patience;
        options.attempts = 0;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.case_randomization = true;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build();
        let unusable = |error| failure(WhyNot::NoServer, format!("no name server can be asked: {error}"));
        Ok(Self { resolver: resolver.map_err(unusable)?, patience })
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Lookup, NetError> {
        let asked = self.resolver.lookup(name.clone(), kind);
        tokio::time::timeout(self.patience, asked).await.unwrap_or(Err(NetError::Timeout))
    }

    /// IPv4 and IPv6, side by side.
    async fn both_families(&self, name: &Name) -> [Result<Lookup, NetError>; 2] {
        let (v4, v6) = (pin!(self.ask(name, RecordType::A)), pin!(self.ask(name, RecordType::AAAA)));
        match future::select(v4, v6).await {
            Either::Left((v4, v6)) => {
                let v6 = after(&v4, v6).await;
                [v4, v6]
            }
            Either::Right((v6, v4)) => [after(&v6, v4).await, v6],
        }
    }

    /// A failure with the chain up to where it happened, each alias asked for by itself.
    async fn along_the_chain(&self, name: &Name, mut failed: LookupFailure) -> LookupFailure {
        let mut records = Vec::new();
        let mut end = name.clone();
        loop {
            match self.ask(&end, RecordType::CNAME).await {
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
}

/// The other family's answer; its silence is none once there are addresses of the first.
async fn after(
    first: &Result<Lookup, NetError>,
    other: impl Future<Output = Result<Lookup, NetError>>,
) -> Result<Lookup, NetError> {
    let has_address = |lookup: &Lookup| lookup.answers().iter().any(|record| record.data.ip_addr().is_some());
    if first.as_ref().is_ok_and(has_address) {
        return tokio::time::timeout(OTHER_FAMILY, other).await.unwrap_or(Err(NetError::Timeout));
    }
    other.await
}

/// The answers of both families as one. Each has a chain of its own: nothing makes a server alias them alike.
fn united(name: &Name, families: &[Result<Lookup, NetError>; 2]) -> Result<Answer, LookupFailure> {
    let records = families.iter().flatten().map(Lookup::answers);
    let answer = answer_of(name, records)?;
    if !answer.addresses.is_empty() {
        return Ok(answer);
    }
    // A failure to answer for one family says more than "none" for the other.
    let failures = families.iter().filter_map(|family| family.as_ref().err());
    let worst = failures.max_by_key(|error| matches!(why_of(error), WhyNot::NoAnswer | WhyNot::BadAnswer));
    Err(match worst {
        Some(error) => failure(why_of(error), error.to_string()),
        None => failure(WhyNot::NoAddress, "no address in the answer".to_owned()),
    })
}

/// What answers come to, which may be no address.
fn answer_of<'a>(name: &Name, answers: impl Iterator<Item = &'a [Record]>) -> Result<Answer, LookupFailure> {
    let (mut chain, mut addresses, mut ttl) = (Vec::<Alias>::new(), Vec::new(), u32::MAX);
    for records in answers {
        let walk = Walk::through(name, records).map_err(bad)?;
        for alias in walk.chain {
            if !chain.iter().any(|known| (&known.name, &known.target) == (&alias.name, &alias.target)) {
                chain.push(alias);
            }
        }
        for address in
            records.iter().filter(|record| record.name == walk.end).filter_map(|record| record.data.ip_addr())
        {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        ttl = records.iter().map(|record| record.ttl).fold(ttl, u32::min);
    }
    Answer { origin: Origin::Dns, chain, addresses, valid_for: Duration::from_secs(ttl.into()) }.bounded()
}

impl Answer {
    /// All of its addresses are judged, or none.
    fn bounded(self) -> Result<Self, LookupFailure> {
        if self.addresses.len() > MAX_ADDRESSES {
            return Err(bad(format!("it has more than {MAX_ADDRESSES} addresses")));
        }
        Ok(self)
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

/// With the dot at the end, so that no search domain is tried.
fn fully_qualified(host: &HostName) -> Result<Name, LookupFailure> {
    Name::from_ascii(format!("{host}.")).map_err(|error| failure(WhyNot::BadAnswer, error.to_string()))
}

fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

fn at(server: SocketAddr) -> NameServerConfig {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    (udp.port, tcp.port) = (server.port(), server.port());
    NameServerConfig::new(server.ip(), true, vec![udp, tcp])
}

fn bad(words: String) -> LookupFailure {
    failure(WhyNot::BadAnswer, words)
}

fn failure(why: WhyNot, words: String) -> LookupFailure {
    LookupFailure { why, chain: Vec::new(), words }
}

/// Whether there is nobody who could be asked anything else.
fn is_absence(error: &NetError) -> bool {
    matches!(error, NetError::Timeout | NetError::Io(_) | NetError::NoConnections)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn alias(from: &str, to: &str) -> Record {
        Record::from_rdata(name(from), 60, RData::CNAME(hickory_resolver::proto::rr::rdata::CNAME(name(to))))
    }

    fn address(of: &str, address: &str) -> Record {
        Record::from_rdata(name(of), 10, RData::from(address.parse::<IpAddr>().unwrap()))
    }

    #[test]
    fn each_family_has_a_chain_of_its_own_and_no_address_is_left_out() {
        let v4 = [alias("a.test.", "private.test."), address("private.test.", "10.0.0.5")];
        let v6 = [alias("a.test.", "public.test."), address("public.test.", "2603:1000::1")];

        let answer = answer_of(&name("a.test."), [&v4[..], &v6].into_iter()).unwrap();

        let targets: Vec<&str> = answer.chain.iter().map(|alias| alias.target.as_str()).collect();
        assert_eq!(targets, ["private.test", "public.test"]);
        let expected: [IpAddr; 2] = ["10.0.0.5".parse().unwrap(), "2603:1000::1".parse().unwrap()];
        assert_eq!((answer.addresses.as_slice(), answer.valid_for), (&expected[..], Duration::from_secs(10)));
    }

    #[test]
    fn the_limit_leaves_time_for_every_server_and_a_chain() {
        let patience = |servers: usize, limit| {
            let resolver = Resolver { limit, ..Resolver::asking(vec![SocketAddr::from(([10, 0, 0, 4], 53)); servers]) };
            resolver.name_servers().unwrap().1
        };
        assert_eq!(patience(1, Duration::from_secs(10)), Duration::from_secs(5));
        assert_eq!(patience(3, Duration::from_secs(10)), Duration::from_millis(2500));
        assert_eq!(patience(1, Duration::MAX), Duration::from_secs(10), "no longer than the system would ask");
    }

    #[test]
    fn an_alias_that_both_families_have_is_one() {
        let v4 = [alias("a.test.", "private.test."), address("private.test.", "10.0.0.5")];
        let mut v6 = [alias("a.test.", "private.test.")];
        v6[0].ttl = 59;

        assert_eq!(answer_of(&name("a.test."), [&v4[..], &v6].into_iter()).unwrap().chain.len(), 1);
    }
}
