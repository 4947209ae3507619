//! A record of every sealed cycle, kept beside the replica as a small JSON object.
//!
//! A recovery point can be deleted; that its cycle was sealed, by whom and with which counts, is still to be
//! told. The record is written once the cycle is sealed. A crash before that leaves it to the next open, which
//! finds the recovery point and not its record. Nothing but [`Replica::history`] depends on it.

use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::recovery_point::located;
use super::replica::{Replica, ReplicaShared};
use super::target_record::{RecoveryPoint, TargetRecord};

const PREFIX: &str = "cycle-";

/// No record is longer: a change id has at most 1 KiB, an identity and the reasons less.
const MAX_RECORD_BYTES: u64 = 16 << 10;

/// Records that are read at once.
const READ_AT_ONCE: usize = 8;

impl Replica {
    /// All sealed cycles, oldest first, also those whose recovery points were deleted. A record that cannot be
    /// read is left out.
    pub async fn history(&self, cancel: &CancellationToken) -> Result<Vec<RecoveryPoint>, Error> {
        let shared = &self.shared;
        let names = shared.call(cancel, || shared.target.list_objects(PREFIX)).await?;
        let records = futures::stream::iter(names)
            .map(|name| async move { shared.call(cancel, || shared.target.get_object(&name, MAX_RECORD_BYTES)).await })
            .buffered(READ_AT_ONCE)
            .try_filter_map(async |bytes| Ok(bytes.and_then(|bytes| RecoveryPoint::from_json(&bytes))));
        records.try_collect().await
    }
}

/// Writes the record of a cycle that is sealed.
pub(super) async fn write(
    shared: &ReplicaShared,
    point: &RecoveryPoint,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let (name, json) = (name_of(point.cycle), bytes::Bytes::from(point.to_json()));
    shared.call(cancel, || shared.target.put_object(&name, json.clone())).await
}

/// Writes the record of the last sealed cycle if a crash has kept it from being written.
pub(super) async fn complete(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let Some(seal) = &remote.sealed else { return Ok(()) };
    let name = name_of(seal.cycle);
    if shared.call(cancel, || shared.target.list_objects(&name)).await?.contains(&name) {
        return Ok(());
    }
    match located(shared, remote, cancel).await?.pop() {
        Some(newest) if newest.point.cycle == seal.cycle => write(shared, &newest.point, cancel).await,
        _ => Ok(()),
    }
}

/// Sorts by number.
fn name_of(cycle: u32) -> String {
    format!("{PREFIX}{cycle:010}.json")
}
