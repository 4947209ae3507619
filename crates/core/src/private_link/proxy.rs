//! Whether a proxy that this machine's environment names stands in the way of a private name.
//!
//! libmigrate's own requests take no proxy from the environment unless they are told to. Other tools on this
//! machine do, and a proxy cannot reach a private endpoint as a rule: it looks the name up where it stands, and
//! finds the public address. So private names bypass it; and they alone, because the same service has accounts
//! that are reached through the internet, such as that of the gateway.
//!
//! Entries of `NO_PROXY` are read as curl and reqwest read them: a name stands for itself and all below it,
//! with or without a leading dot, `*` alone for everything, and a port is no part of it. `*.name` is no entry
//! to these two but is to others, so it covers nothing, and can still be too wide.

use url::Url;

use crate::finding::{Check, Evidence, Finding, Rule, Severity};

/// The proxies that a request by HTTPS can meet, in the order in which curl looks.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Who is reached without one. Some tools read this one first, some the other.
const BYPASSES: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The most characters of a list that are shown.
const MAX_SHOWN: usize = 400;

const RULE: Rule =
    Rule { document: "Microsoft Learn, Replicate over ExpressRoute with Azure Migrate", date: "2022-12" };

static WOULD_CATCH: Check = Check {
    code: "proxy.would_catch",
    severity: Severity::Warning,
    remedy: "add this name, and no wider one, to NO_PROXY and no_proxy of the programs that use the private endpoint",
    rule: RULE,
};

static BYPASS_TOO_WIDE: Check = Check {
    code: "proxy.bypass_too_wide",
    severity: Severity::Warning,
    remedy: "bypass the private account by its full name only: other accounts of the same service, such as the \
             gateway's, are reached through the internet",
    rule: RULE,
};

/// What can be found here.
pub(crate) static CHECKS: &[&Check] = &[&WOULD_CATCH, &BYPASS_TOO_WIDE];

/// What this process's environment does to `name`.
pub(crate) fn check_environment(name: &str) -> Vec<Finding> {
    // Values that are no text are none that a tool could use.
    let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    check(name, std::env::vars_os().filter_map(text))
}

/// What `environment` does to the private name `name`. Nothing is found where no proxy is set.
pub(crate) fn check(name: &str, environment: impl IntoIterator<Item = (String, String)>) -> Vec<Finding> {
    let environment: Vec<(String, String)> =
        environment.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    let value = |wanted: &str| environment.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
    let Some((variable, proxy)) = PROXIES.into_iter().find_map(|key| Some((key, value(key)?))) else {
        return Vec::new();
    };
    let name = name.trim_end_matches('.');
    let lists: Vec<(&str, &str)> = BYPASSES.into_iter().filter_map(|key| Some((key, value(key)?))).collect();
    let proxy = shown_proxy(proxy);
    let evidence = || {
        let said = |by: &str, words: &str| Evidence::Said { by: by.to_owned(), words: cut(words) };
        let lists = lists.iter().map(|(key, list)| said(key, list));
        std::iter::once(said(variable, &proxy)).chain(lists).collect::<Vec<_>>()
    };

    let mut findings = Vec::new();
    // Where both lists are set, each must do: which one is read is up to the tool.
    if lists.is_empty() || !lists.iter().all(|(_, list)| entries(list).any(|entry| covers(entry, name))) {
        let message = format!(
            "{variable} names {proxy}, and NO_PROXY does not cover {name}: libmigrate does not use that proxy, but \
             other tools on this machine will"
        );
        findings.push(WOULD_CATCH.found(name, message).seen(evidence()));
    }
    let widest =
        lists.iter().find_map(|(key, list)| Some((key, entries(list).find(|entry| is_too_wide(entry, name))?)));
    if let Some((key, entry)) = widest {
        let message = format!("{key} has {:?}, which takes other names than {name} past the proxy too", cut(entry));
        findings.push(BYPASS_TOO_WIDE.found(name, message).seen(evidence()));
    }
    findings
}

/// The entries of a list, without their ports.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    let separated = list.split(|c: char| c == ',' || c.is_whitespace());
    separated.map(without_port).filter(|entry| !entry.is_empty())
}

fn without_port(entry: &str) -> &str {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => entry,
    }
}

fn covers(entry: &str, name: &str) -> bool {
    entry == "*" || is_at_or_below(name, bare(entry))
}

/// Whether an entry stands for names beside this one: the zone that it is in, or one further up.
fn is_too_wide(entry: &str, name: &str) -> bool {
    let zone = name.split_once('.').map(|(_, zone)| zone);
    entry == "*" || zone.is_some_and(|zone| is_at_or_below(zone, bare(entry.strip_prefix('*').unwrap_or(entry))))
}

fn bare(entry: &str) -> &str {
    entry.strip_prefix('.').unwrap_or(entry).trim_end_matches('.')
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    let Some(from) = name.len().checked_sub(domain.len()) else { return false };
    let same = name.get(from..).is_some_and(|end| end.eq_ignore_ascii_case(domain));
    same && !domain.is_empty() && (from == 0 || name.as_bytes()[from - 1] == b'.')
}

/// Host and port of a proxy, never its user and password: a value that cannot be told apart for certain is not
/// shown at all.
fn shown_proxy(value: &str) -> String {
    let hidden = || "a proxy".to_owned();
    let value = value.trim();
    let url = if value.contains("://") { Url::parse(value) } else { Url::parse(&format!("http://{value}")) };
    let Ok(url) = url else { return hidden() };
    // A password with a slash ends what the URL takes for the host.
    let rest_is_secret =
        [Some(url.path()), url.query(), url.fragment()].into_iter().flatten().any(|rest| rest.contains('@'));
    match (url.host_str(), url.port()) {
        (Some(host), _) if host.is_empty() || rest_is_secret => hidden(),
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => hidden(),
    }
}

fn cut(words: &str) -> String {
    words.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "acct.blob.core.windows.net";
    const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://proxy.example:3128");

    fn codes(environment: &[(&str, &str)]) -> Vec<&'static str> {
        found(environment).iter().map(Finding::code).collect()
    }

    fn found(environment: &[(&str, &str)]) -> Vec<Finding> {
        check(NAME, environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn without_a_proxy_there_is_nothing_to_find() {
        assert!(codes(&[]).is_empty());
        assert!(
            codes(&[("NO_PROXY", "*"), ("http_proxy", "http://proxy.example:3128"), ("HTTPS_PROXY", " ")]).is_empty()
        );
    }

    #[test]
    fn a_proxy_catches_a_name_that_does_not_bypass_it() {
        for variable in PROXIES {
            assert_eq!(codes(&[(variable, "proxy.example:3128")]), ["proxy.would_catch"]);
        }
        assert_eq!(
            codes(&[PROXY, ("NO_PROXY", "localhost,127.0.0.1,other.blob.core.windows.net")]),
            ["proxy.would_catch"]
        );
        assert_eq!(codes(&[PROXY, ("NO_PROXY", "cct.blob.core.windows.net")]), ["proxy.would_catch"]);
        assert_eq!(codes(&[PROXY, ("NO_PROXY", "acct.blob.core.windows.net.example")]), ["proxy.would_catch"]);
    }

    #[test]
    fn the_accounts_own_name_bypasses_it() {
        for entry in
            [NAME, ".acct.blob.core.windows.net", "ACCT.blob.core.windows.NET:443", "x, acct.blob.core.windows.net ,"]
        {
            assert!(codes(&[PROXY, ("NO_PROXY", entry)]).is_empty(), "{entry}");
            assert!(codes(&[PROXY, ("no_proxy", entry)]).is_empty(), "{entry}");
        }
    }

    #[test]
    fn a_whole_zone_is_too_wide_a_bypass() {
        for entry in ["blob.core.windows.net", ".core.windows.net", "windows.net", "*", ".blob.core.windows.net:443"] {
            assert_eq!(codes(&[PROXY, ("NO_PROXY", entry)]), ["proxy.bypass_too_wide"], "{entry}");
        }
    }

    #[test]
    fn a_pattern_is_too_wide_for_some_and_nothing_to_others() {
        let found = codes(&[PROXY, ("NO_PROXY", "*.blob.core.windows.net")]);

        assert_eq!(found, ["proxy.would_catch", "proxy.bypass_too_wide"]);
    }

    #[test]
    fn both_lists_must_do_where_both_are_set() {
        assert_eq!(codes(&[PROXY, ("NO_PROXY", NAME), ("no_proxy", "localhost")]), ["proxy.would_catch"]);
        assert!(codes(&[PROXY, ("NO_PROXY", NAME), ("no_proxy", NAME)]).is_empty());
    }

    #[test]
    fn the_zone_of_private_names_is_no_bypass_too_wide() {
        let environment = [PROXY, ("NO_PROXY", "privatelink.blob.core.windows.net")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));

        assert_eq!(check(NAME, environment)[0].code(), "proxy.would_catch");
    }

    #[test]
    fn a_password_is_never_shown() {
        for value in [
            "http://user:canary@proxy.example:3128",
            "user:canary@proxy.example:3128",
            "http://user:can/ary@proxy.example:3128",
            "http://user:12/canary@proxy.example",
            "canary:canary",
            "http://canary canary",
        ] {
            let found = found(&[("HTTPS_PROXY", value)]);
            let shown = serde_json::to_string(&found).unwrap();
            assert!(!shown.contains("canary") && !shown.contains("ary@"), "{shown}");
        }
        assert_eq!(shown_proxy("user:canary@proxy.example:3128"), "proxy.example:3128");
        assert_eq!(shown_proxy("socks5h://user:canary@proxy.example"), "proxy.example");
    }

    #[test]
    fn this_process_has_an_environment() {
        // What it holds is the machine's; that it is read is what counts.
        let _ = check_environment(NAME);
    }

    #[test]
    fn each_finding_shows_what_was_set_and_whose_rule_it_is() {
        let found = found(&[PROXY, ("NO_PROXY", "*.blob.core.windows.net")]);

        for finding in &found {
            assert_eq!(finding.evidence.len(), 2);
            assert_eq!(finding.rule().date, "2022-12");
            assert!(CHECKS.iter().any(|check| check.code == finding.code()));
        }
    }
}
