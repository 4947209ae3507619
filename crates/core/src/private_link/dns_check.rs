//! What is wrong with the answer to a name, and what would put it right.
//!
//! The traps of Private Link look alike from outside ("it does not resolve to the private address") and are
//! mended in different places, so they are told apart by the chain of aliases:
//!
//! | the chain | at its end | what is wrong |
//! | --- | --- | --- |
//! | passes the private zone | no such name | the zone is there, its record is not |
//! | passes the private zone | a public address | the zone is not linked to this network, or not forwarded |
//! | does not pass it | a public address | there is no private endpoint |
//! | does not pass it | no such name | no such resource |
//!
//! Source: "Troubleshoot network connectivity" of Azure Migrate (2021-11), whose checks are made by hand.

use std::net::IpAddr;

use super::address::{AddressClass, AddressRule};
use super::checks;
use super::fixes;
use super::lookup::{Alias, Answer, LookupFailure, NameLookup, Origin, WhyNot};
use super::name::{HostName, ServiceName};
use crate::finding::{Check, Evidence, Finding, Fix};

/// What is known of a name before it is asked for.
pub(crate) struct Subject<'a> {
    pub(crate) host: &'a HostName,
    /// Where it belongs, if that is known.
    pub(crate) service: Option<&'a ServiceName>,
    pub(crate) rule: &'a AddressRule,
}

/// What a look at a name has found.
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    /// Where it may be reached; empty when it must not be.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Outcome {
    fn bad(finding: Finding) -> Self {
        Self { findings: vec![finding], addresses: Vec::new() }
    }
}

/// Looks the name up and judges the answer.
pub(crate) async fn check(subject: &Subject<'_>, lookup: &dyn NameLookup) -> Outcome {
    match look_up(subject.host, lookup).await {
        Err(failure) => Outcome::bad(subject.judge_failure(&failure)),
        Ok(answer) => {
            let mut outcome = subject.judge(&answer);
            outcome.findings.extend(subject.wildcard(&answer, lookup).await);
            outcome
        }
    }
}

/// An answer has an address; one that has none, which a resolver of the caller's may give, is none.
async fn look_up(host: &HostName, lookup: &dyn NameLookup) -> Result<Answer, LookupFailure> {
    let answer = lookup.look_up(host).await?;
    if answer.addresses.is_empty() {
        let words = "no address in the answer".to_owned();
        return Err(LookupFailure { why: WhyNot::NoAddress, chain: answer.chain, words });
    }
    Ok(answer)
}

impl Subject<'_> {
    fn judge(&self, answer: &Answer) -> Outcome {
        let (allowed, refused): (Vec<_>, Vec<_>) =
            answer.addresses.iter().copied().partition(|address| self.rule.allows(*address));
        if refused.is_empty() {
            return Outcome { findings: self.judge_private(answer), addresses: allowed };
        }
        let listed = list(&answer.addresses);
        let is_public = |address: &IpAddr| AddressClass::of(*address) == AddressClass::Public;
        let private =
            |address: &IpAddr| matches!(AddressClass::of(*address), AddressClass::Private | AddressClass::UniqueLocal);
        let (check, message) = if refused.iter().any(|address| !private(address) && !is_public(address)) {
            (&checks::DNS_NOT_PRIVATE, format!("it resolves to {listed}"))
        } else if refused.iter().all(is_public) && allowed.is_empty() && !answer.addresses.iter().any(private) {
            self.public(answer, &listed)
        } else if refused.iter().any(is_public) {
            (&checks::DNS_MIXED, format!("some of its addresses are private, some are not: {listed}"))
        } else {
            (&checks::DNS_UNEXPECTED, format!("it resolves to {listed}, not to the address of the private endpoint"))
        };
        let fixes = match check.code {
            "dns.no_private_endpoint" => self.service.and_then(fixes::private_endpoint).into_iter().collect(),
            "dns.zone_not_linked" => self.service.and_then(fixes::zone_link).into_iter().chain(self.hosts()).collect(),
            _ => self.records(),
        };
        Outcome::bad(self.found(check, message, &answer.chain).seen(addresses(answer)).fixed_by(fixes))
    }

    /// A public address: with a private endpoint on the way, or without.
    fn public(&self, answer: &Answer, listed: &str) -> (&'static Check, String) {
        match self.private_alias(&answer.chain) {
            Some(alias) => (
                &checks::DNS_ZONE_NOT_LINKED,
                format!("it is an alias of {}, which resolves to {listed} here", alias.target),
            ),
            None => (
                &checks::DNS_NO_PRIVATE_ENDPOINT,
                format!("it resolves to {listed}, and is no alias into a private zone"),
            ),
        }
    }

    fn judge_private(&self, answer: &Answer) -> Vec<Finding> {
        let listed = list(&answer.addresses);
        let by = if answer.origin == Origin::HostsFile { " by the hosts file" } else { "" };
        let found = |check, message| self.found(check, message, &answer.chain).seen(addresses(answer));
        let mut findings = vec![found(&checks::DNS_PRIVATE, format!("it resolves to {listed}{by}"))];
        if answer.origin == Origin::HostsFile {
            let message = format!("a line of the hosts file says {listed}; name servers were not asked");
            findings.push(found(&checks::DNS_HOSTS_FILE, message).fixed_by(self.records()));
        }
        if answer.addresses.iter().all(IpAddr::is_ipv6) {
            findings.push(found(&checks::DNS_IPV6_ONLY, format!("it has IPv6 addresses only: {listed}")));
        }
        findings
    }

    fn judge_failure(&self, failure: &LookupFailure) -> Finding {
        let passes_zone = self.private_alias(&failure.chain).is_some();
        let check = match failure.why {
            WhyNot::NoSuchName | WhyNot::NoAddress if passes_zone => &checks::DNS_RECORD_MISSING,
            WhyNot::NoSuchName | WhyNot::NoAddress => &checks::DNS_UNKNOWN_NAME,
            WhyNot::NoAnswer => &checks::DNS_NO_ANSWER,
            WhyNot::BadAnswer => &checks::DNS_BAD_ANSWER,
            WhyNot::NoServer => &checks::DNS_NO_SERVER,
        };
        let fixes = if passes_zone { self.records() } else { Vec::new() };
        let said = Evidence::Said { by: "resolver".to_owned(), words: failure.words.clone() };
        self.found(check, failure, &failure.chain).seen([said]).fixed_by(fixes)
    }

    /// Asks the zone for a name that nobody has.
    async fn wildcard(&self, answer: &Answer, lookup: &dyn NameLookup) -> Option<Finding> {
        let service = self.service.filter(|_| answer.origin == Origin::Dns)?;
        let nobody = format!("nobody{:016x}.{}", fastrand::u64(..), service.zone()).parse().ok()?;
        let trap = look_up(&nobody, lookup).await.ok()?;
        let message = format!("{nobody}, which nobody has, resolves to {}", list(&trap.addresses));
        Some(self.found(&checks::DNS_WILDCARD, message, &trap.chain).seen(addresses(&trap)))
    }

    fn found(&self, check: &'static Check, message: impl std::fmt::Display, chain: &[Alias]) -> Finding {
        let expected = self.rule.only.iter().map(|address| Evidence::Expected { address: *address });
        check.found(self.host, message).seen(chain.iter().map(cname)).seen(expected)
    }

    /// The alias on the way that leads into the private zone.
    fn private_alias<'a>(&self, chain: &'a [Alias]) -> Option<&'a Alias> {
        let in_zone = |name: &str| match self.service {
            Some(service) => name.strip_suffix(service.zone()).is_some_and(|rest| rest.ends_with('.')),
            None => name.contains(".privatelink."),
        };
        chain.iter().find(|alias| in_zone(&alias.target))
    }

    fn hosts(&self) -> Option<Fix> {
        fixes::hosts_file(self.host.as_str(), &self.rule.only)
    }

    fn records(&self) -> Vec<Fix> {
        let records = self.service.map(|service| fixes::record(service, &self.rule.only)).unwrap_or_default();
        records.into_iter().chain(self.hosts()).collect()
    }
}

fn cname(alias: &Alias) -> Evidence {
    let ttl_seconds = u32::try_from(alias.ttl.as_secs()).unwrap_or(u32::MAX);
    Evidence::Cname { name: alias.name.clone(), target: alias.target.clone(), ttl_seconds }
}

fn addresses(answer: &Answer) -> Vec<Evidence> {
    let evidence = |address: &IpAddr| Evidence::Address {
        address: *address,
        class: AddressClass::of(*address).as_str().to_owned(),
        origin: answer.origin.as_str().to_owned(),
    };
    answer.addresses.iter().map(evidence).collect()
}

fn list(addresses: &[IpAddr]) -> String {
    let shown = addresses.iter().map(|address| format!("{address} ({})", AddressClass::of(*address)));
    shown.collect::<Vec<_>>().join(", ")
}
