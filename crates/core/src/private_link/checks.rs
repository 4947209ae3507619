//! Everything that a look at a name can find, as a table.

use crate::finding::documents::{ARTICLE, SITE_RECOVERY, TROUBLESHOOT};
use crate::finding::{Rule, checks};

const ZONES: Rule = Rule { document: "Microsoft Learn, Azure private endpoint private DNS zone values", date: "2021" };
const IANA: Rule = Rule { document: "IANA, IPv4 and IPv6 Special-Purpose Address Registries", date: "2024" };
const DNS: Rule = Rule { document: "RFC 1035, Domain names: implementation and specification", date: "1987-11" };

checks! {
    NAME_INVALID: "name.invalid", Error, DNS,
        "give the name as the portal or Azure Resource Manager shows it";
    NAME_THIS_MACHINE: "name.this_machine", Info, DNS, "";
    NAME_UNKNOWN_SERVICE: "name.unknown_service", Warning, ZONES,
        "check the spelling; if it is right, the name is checked like any other, but its private zone is not known here";
    DNS_PRIVATE: "dns.private", Info, TROUBLESHOOT, "";
    DNS_HOSTS_FILE: "dns.hosts_file", Warning, ARTICLE,
        "hosts-file entries are for tests: they do not follow a change of the private endpoint; put the record into the private DNS zone and remove the line";
    DNS_NO_PRIVATE_ENDPOINT: "dns.no_private_endpoint", Error, SITE_RECOVERY,
        "create a private endpoint for the resource and have it approved; without one everything goes over the internet; if there is one, this machine's name servers do not follow the public alias: check overrides of the zone";
    DNS_ZONE_NOT_LINKED: "dns.zone_not_linked", Error, TROUBLESHOOT,
        "the private endpoint exists, but this machine's name servers ask the internet for its zone; link the private DNS zone to the network whose DNS is asked, or forward the zone to a resolver in that network";
    DNS_RECORD_MISSING: "dns.record_missing", Error, TROUBLESHOOT,
        "add the record of the private endpoint to the private DNS zone, or attach the zone to the private endpoint, which writes it";
    DNS_UNKNOWN_NAME: "dns.unknown_name", Error, TROUBLESHOOT,
        "check the spelling and that the resource still exists; if it does, an empty zone of the public name hides it on this network";
    DNS_MIXED: "dns.mixed_addresses", Error, TROUBLESHOOT,
        "remove the records that are not of the private endpoint: a client may take any of them";
    DNS_UNEXPECTED: "dns.unexpected_address", Error, TROUBLESHOOT,
        "correct the record: it holds an old or a foreign address, not that of the private endpoint";
    DNS_NOT_PRIVATE: "dns.unusable_address", Error, IANA,
        "correct the record: no private endpoint has an address of this kind; carrier-grade addresses can be allowed by name where the virtual network is built of them";
    DNS_IPV6_ONLY: "dns.ipv6_only", Warning, TROUBLESHOOT,
        "look where these answers come from: private endpoints have IPv4 addresses";
    DNS_WILDCARD: "dns.wildcard", Warning, ZONES,
        "remove the wildcard from the private DNS zone: names without a private endpoint seem to have one";
    DNS_NO_ANSWER: "dns.no_answer", Error, DNS,
        "check that this machine reaches its name servers and that they may be asked for this zone; a forwarder to a network that is down answers like this";
    DNS_BAD_ANSWER: "dns.bad_answer", Error, DNS,
        "correct the aliases of the zone, or ask another name server: this one answers what makes no sense";
    DNS_NO_SERVER: "dns.no_server", Error, DNS,
        "name a usable name server in /etc/resolv.conf, or give some to the preflight";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    #[test]
    fn codes_are_unique_and_whatever_is_wrong_has_a_remedy() {
        let codes: std::collections::BTreeSet<_> = ALL.iter().map(|check| check.code).collect();
        assert_eq!(codes.len(), ALL.len());
        assert!(ALL.iter().all(|check| check.severity == Severity::Info || check.remedy.len() > 20));
    }
}
