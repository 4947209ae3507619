//! What could not be read, about which no rule can say anything.

use super::case::{ALL, Case};
use super::rule::{Found, rules};
use crate::finding::Rule;

/// No document says it: it is how rules must be read.
const OURS: Rule = Rule { document: "libmigrate, control plane", date: "2026-11-25" };

rules! {
    DENIED: "read.denied", Warning, ALL, OURS,
        "Whatever the rules look at can be read.",
        "have the caller granted Reader there; until then nothing is known of it, and other findings may be wrong about it",
        denied;
}

fn denied(case: &Case<'_>, found: &mut Found<'_>) {
    for unread in &case.seen.unread {
        found.broken(&unread.id, format_args!("it could not be read: {}", unread.why));
    }
}
