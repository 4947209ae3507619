//! One server: what it is called, and what it runs.

use std::collections::BTreeMap;

use super::case::{ALL, Case, VMWARE, is_windows};
use super::rule::{Found, rules};
use crate::control::limits::LimitName;
use crate::control::settings::{LinuxLicence, WindowsLicence};
use crate::finding::documents::{ARTICLE, AZ_MIGRATE, NAMING, VMWARE_MATRIX};

rules! {
    SCENARIO: "server.scenario", Error, ALL, ARTICLE,
        "The settings of a server are those of the kind of migration that it is in.",
        "make the settings for this kind of migration, or migrate the server by itself",
        scenario;
    UNKNOWN: "server.unknown", Error, ALL, ARTICLE,
        "The server was discovered.",
        "wait until discovery has found the server, or correct its id",
        unknown;
    ITEM_TWICE: "server.twice", Error, ALL, AZ_MIGRATE,
        "A server is replicated once.",
        "leave one of the two out",
        twice;
    NAME: "server.name", Error, ALL, VMWARE_MATRIX,
        "The name of a machine has 1 to 63 letters, digits and hyphens, and begins and ends with a letter or digit.",
        "give the machine another name",
        name;
    NAME_TWICE: "server.name_twice", Error, ALL, AZ_MIGRATE,
        "The names of machines differ in more than case.",
        "give one of the two another name",
        name_twice;
    NAME_TAKEN: "server.name_taken", Error, ALL, AZ_MIGRATE,
        "No machine of that name is in the resource group yet.",
        "give the machine another name, or choose another resource group",
        name_taken;
    WINDOWS_NAME: "server.windows_name", Warning, ALL, NAMING,
        "Windows knows itself by at most fifteen characters.",
        "shorten the name; the machine starts all the same, with the name that it has inside",
        windows_name;
    WINDOWS_LICENCE: "server.windows_licence", Error, ALL, ARTICLE,
        "Azure Hybrid Benefit for Windows is for servers that run Windows Server.",
        "leave the benefit out for this server",
        windows_licence;
    LINUX_LICENCE: "server.linux_licence", Error, ALL, AZ_MIGRATE,
        "Azure Hybrid Benefit for Linux is for servers that run Linux.",
        "leave the benefit out for this server",
        linux_licence;
    ACCOUNT_MISSING: "server.account_missing", Error, VMWARE, AZ_MIGRATE,
        "The appliance has an account for snapshots and for moving data.",
        "name the account with which the appliance reaches vCenter",
        account_missing;
}

fn scenario(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let own = server.source.scenario();
        if own != case.wanted.scenario {
            found.differs(&server.name, "the settings are for another kind of migration", own, case.wanted.scenario);
        }
    }
}

fn unknown(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, _) in case.servers().filter(|(_, machine)| machine.is_none()) {
        found.broken(&server.name, format_args!("{} was not discovered", server.source.machine()));
    }
}

/// What is there more than once, without regard to case.
pub(super) fn repeated<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for text in texts {
        counts.entry(text.to_lowercase()).or_insert((0, text)).0 += 1;
    }
    counts.into_values().filter(|(count, _)| *count > 1).map(|(_, text)| text).collect()
}

fn twice(case: &Case<'_>, found: &mut Found<'_>) {
    for machine in repeated(case.wanted.servers.iter().map(|server| server.source.machine().as_str())) {
        found.broken(machine, "the server is in these settings more than once");
    }
    for item in repeated(case.wanted.servers.iter().map(|server| &*server.item)) {
        found.broken(item, "more than one server has this item name");
    }
}

/// Why a name cannot be a machine's.
fn flaw_of_name(name: &str, most: u64) -> Option<String> {
    let length = name.chars().count() as u64;
    if length == 0 || length > most {
        return Some(format!("the name has {length} characters, 1 to {most} are allowed"));
    }
    if let Some(c) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return Some(format!("the name has the character {c:?}"));
    }
    (name.starts_with('-') || name.ends_with('-')).then(|| "the name begins or ends with a hyphen".to_owned())
}

fn name(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::VmNameLength) else { return };
    for server in &case.wanted.servers {
        if let Some(flaw) = flaw_of_name(&server.name, limit.value) {
            found.broken(&server.name, flaw);
        }
    }
}

fn name_twice(case: &Case<'_>, found: &mut Found<'_>) {
    for name in repeated(case.wanted.servers.iter().map(|server| &*server.name)) {
        found.broken(name, "more than one server gets this name");
    }
}

fn name_taken(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let is_taken = case.seen.vm_names.iter().any(|name| name.eq_ignore_ascii_case(&server.name));
        // A server that was cut over has its own machine there.
        if is_taken && !case.is_replicated(server) {
            let group = &case.wanted.target.resource_group;
            found.broken(&server.name, format_args!("there is a machine of this name in {group}"));
        }
    }
}

fn windows_name(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::WindowsNameLength) else { return };
    for (server, machine) in case.servers() {
        let length = server.name.chars().count();
        let is_windows = machine.and_then(is_windows) == Some(true);
        // What is no name at all is said by the rule for names.
        let fits = case.limit(LimitName::VmNameLength).is_none_or(|most| length as u64 <= most.value);
        if is_windows && fits && length as u64 > limit.value {
            found.exceeds(&server.name, "the name is longer than Windows takes", length, limit);
        }
    }
}

fn windows_licence(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let is_other = machine.and_then(is_windows) == Some(false);
        if server.licences.windows == WindowsLicence::HybridBenefit && is_other {
            found.broken(&server.name, "the server does not run Windows");
        }
    }
}

fn linux_licence(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, machine) in case.servers() {
        let is_other = machine.and_then(is_windows) == Some(true);
        if server.licences.linux == LinuxLicence::HybridBenefit && is_other {
            found.broken(&server.name, "the server runs Windows");
        }
    }
}

fn account_missing(case: &Case<'_>, found: &mut Found<'_>) {
    use crate::control::settings::Source;

    for server in &case.wanted.servers {
        if let Source::VmwareAgentless(source) = &server.source
            && [&source.data_mover_account, &source.snapshot_account].iter().any(|id| id.as_str().is_empty())
        {
            found.broken(&server.name, "no account is named");
        }
    }
}
