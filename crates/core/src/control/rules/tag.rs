//! Tags.

use std::collections::BTreeMap;

use super::case::{ALL, Case};
use super::rule::{Found, rules};
use crate::control::limits::LimitName;
use crate::finding::documents::{AZ_MIGRATE, SPECIFICATION};

rules! {
    TOO_MANY: "tag.too_many", Error, ALL, SPECIFICATION,
        "A machine and a network interface have at most fifty tags, a disk forty-nine.",
        "leave some tags out",
        too_many;
    KEY: "tag.key", Error, ALL, AZ_MIGRATE,
        "The key of a tag has 1 to 512 characters, and none of < > % & \\ ? / .",
        "give the tag another key",
        key;
    VALUE: "tag.value", Error, ALL, AZ_MIGRATE,
        "The value of a tag has at most 256 characters.",
        "shorten the value",
        value;
    TWICE: "tag.twice", Error, ALL, AZ_MIGRATE,
        "The keys of tags differ in more than case.",
        "leave one of the two out",
        twice;
}

type List<'a> = (&'a str, &'static str, &'a BTreeMap<String, String>, LimitName);

fn lists(case: Case<'_>) -> impl Iterator<Item = List<'_>> {
    case.wanted.servers.iter().flat_map(|server| {
        let tags = &server.tags;
        [
            (&*server.name, "the machine", &tags.vm, LimitName::VmTags),
            (&*server.name, "its disks", &tags.disk, LimitName::DiskTags),
            (&*server.name, "its network interfaces", &tags.nic, LimitName::NicTags),
        ]
    })
}

fn too_many(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, what, tags, name) in lists(*case) {
        if let Some(limit) = case.limit(name)
            && tags.len() as u64 > limit.value
        {
            found.exceeds(server, format_args!("there are too many tags of {what}"), tags.len(), limit);
        }
    }
}

const FORBIDDEN: [char; 8] = ['<', '>', '%', '&', '\\', '?', '/', '.'];

fn key(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::TagKeyLength) else { return };
    for (server, what, tags, _) in lists(*case) {
        for key in tags.keys() {
            if let Some(character) = key.chars().find(|c| FORBIDDEN.contains(c)) {
                found.broken(server, format_args!("the key {key:?} of a tag of {what} has the character {character}"));
            } else if key.is_empty() || key.chars().count() as u64 > limit.value {
                let length = key.chars().count();
                found.exceeds(server, format_args!("the key of a tag of {what} has a wrong length"), length, limit);
            }
        }
    }
}

fn value(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(limit) = case.limit(LimitName::TagValueLength) else { return };
    for (server, what, tags, _) in lists(*case) {
        for (key, value) in tags {
            let length = value.chars().count();
            if length as u64 > limit.value {
                let message = format_args!("the value of the tag {key:?} of {what} is too long");
                found.exceeds(server, message, length, limit);
            }
        }
    }
}

fn twice(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, what, tags, _) in lists(*case) {
        let mut folded: Vec<String> = tags.keys().map(|key| key.to_lowercase()).collect();
        folded.sort_unstable();
        for pair in folded.windows(2).filter(|pair| pair[0] == pair[1]) {
            found.broken(server, format_args!("the tag {:?} of {what} is there in two spellings", pair[0]));
        }
    }
}
