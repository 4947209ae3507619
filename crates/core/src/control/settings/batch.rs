//! So many servers as are enabled together.

use super::server::ServerSettings;
use crate::control::Scenario;
use crate::control::limits::{LimitName, Limits};

/// The servers in the order given, in as few batches as the documents allow: ten at a time.
///
/// Source: Microsoft Learn, "Migrate servers to Azure by using Private Link" (2022-12-14): "You can replicate up to 10
/// machines together."
pub fn batches<'a>(
    servers: &'a [ServerSettings],
    scenario: Scenario,
    limits: &Limits,
) -> impl Iterator<Item = &'a [ServerSettings]> {
    let together = limits.get(LimitName::BatchServers, scenario).map_or(u64::MAX, |limit| limit.value);
    servers.chunks(usize::try_from(together.max(1)).unwrap_or(usize::MAX))
}
