//! What lies at the target and nothing needs any more.
//!
//! A crash between a snapshot and its seal leaves the snapshot of a cycle that does not exist; a snapshot whose
//! answer was lost is taken twice; a seal that did not finish, a deleted recovery point or an owner of the past
//! leave parts and manifests that no recovery point names. None of it does harm, it only costs. Nothing else is
//! ever temporary at the target: parts and manifests are named by their content, and everything else is written
//! in one request. What is not ours is never touched.
//!
//! Deleting is the one thing that no lease guards. So an owner that may have been overtaken, or that has given
//! up a seal which is finished later, would take recovery points for garbage. Before it lists, it therefore
//! makes every late request of its own void and reads what is sealed ([`ReplicaShared::look_again`]); before it
//! deletes what it has listed, it makes sure that it still owns the target. A new owner's snapshots and objects
//! came after that, so they are not on the list.
//!
//! Cost: one listing of snapshots and of objects, and the manifest of each recovery point.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::rebuild;
use super::recovery_point::{Located, located, ours};
use super::replica::{Replica, ReplicaShared};
use super::target_record::TargetRecord;
use crate::digest::sealed;
use crate::size::BlockSize;
use crate::target::SnapshotId;

/// Something at the target that nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Garbage {
    /// A snapshot that is no recovery point: its cycle was not sealed, or it was taken twice.
    Snapshot {
        /// The snapshot's name.
        id: SnapshotId,
        /// Number of the cycle that took it.
        cycle: u32,
    },
    /// A part or manifest of a digest map that no recovery point needs.
    Object {
        /// The object's name.
        name: String,
    },
}

impl Replica {
    /// Lists the garbage at the target and deletes nothing. Fails with `cycle.open` while a cycle is open: what
    /// it has stored would look like garbage.
    ///
    /// When the manifest of a recovery point cannot be read, no object is listed, since its parts cannot be
    /// told from garbage.
    pub async fn garbage(&self, cancel: &CancellationToken) -> Result<Vec<Garbage>, Error> {
        let _none_is_open = self.shared.lock().await?;
        let remote = self.shared.find(cancel).await?.record;
        let kept = located(&self.shared, &remote, cancel).await?;
        find(&self.shared, &remote, &kept, cancel).await
    }

    /// Deletes what [`garbage`](Self::garbage) lists, and lists it. Safe to repeat.
    pub async fn collect_garbage(&self, cancel: &CancellationToken) -> Result<Vec<Garbage>, Error> {
        let mut state = self.shared.lock().await?;
        self.shared.look_again(&mut state, cancel).await?;
        let kept = located(&self.shared, &state.remote, cancel).await?;
        let found = find(&self.shared, &state.remote, &kept, cancel).await?;
        delete(&self.shared, &found, cancel).await?;
        Ok(found)
    }
}

/// Deletes what was listed, unless somebody else owns the target by now.
pub(super) async fn delete(
    shared: &ReplicaShared,
    listed: &[Garbage],
    cancel: &CancellationToken,
) -> Result<(), Error> {
    if !listed.is_empty() {
        shared.find(cancel).await?;
    }
    for garbage in listed {
        garbage.delete(shared, cancel).await?;
    }
    Ok(())
}

impl Garbage {
    async fn delete(&self, shared: &ReplicaShared, cancel: &CancellationToken) -> Result<(), Error> {
        match self {
            Self::Snapshot { id, .. } => shared.call(cancel, || shared.target.delete_snapshot(id)).await,
            Self::Object { name } => shared.call(cancel, || shared.target.delete_object(name)).await,
        }
    }
}

/// What is not needed when the recovery points in `kept` are.
pub(super) async fn find(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    kept: &[Located],
    cancel: &CancellationToken,
) -> Result<Vec<Garbage>, Error> {
    let mut found = snapshots(shared, remote, kept, cancel).await?;
    match needed_objects(shared, remote, kept, cancel).await {
        Ok(needed) => {
            for prefix in ["map-", "part-"] {
                let names = shared.call(cancel, || shared.target.list_objects(prefix)).await?;
                let unneeded = names.into_iter().filter(|name| !needed.contains(name));
                found.extend(unneeded.map(|name| Garbage::Object { name }));
            }
        }
        Err(Error::Replicate(e @ ReplicateError::SealedMap { .. })) => {
            tracing::warn!(replica = %shared.location, error = %e, "objects are kept: a manifest cannot be read");
        }
        Err(e) => return Err(e),
    }
    Ok(found)
}

/// Removes snapshots of cycles that were never sealed: a crash fell between the snapshot and the seal.
pub(super) async fn remove_unsealed(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let sealed = located(shared, remote, cancel).await?;
    let unsealed = snapshots(shared, remote, &sealed, cancel).await?;
    delete(shared, &unsealed, cancel).await
}

/// Snapshots of ours that are none of `kept`, and that no later owner took. An owner that was paused may not know
/// yet that it is none any more, and what the next one has sealed meanwhile would look unsealed to it; but nobody
/// else can seal what this owner or an earlier one took.
async fn snapshots(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    kept: &[Located],
    cancel: &CancellationToken,
) -> Result<Vec<Garbage>, Error> {
    let all = shared.call(cancel, || shared.target.snapshots()).await?;
    let unneeded = all
        .into_iter()
        .filter_map(|snapshot| ours(snapshot, remote))
        .filter(|found| found.point.generation <= shared.owner.generation)
        .filter(|found| kept.iter().all(|kept| kept.snapshot != found.snapshot));
    Ok(unneeded.map(|found| Garbage::Snapshot { id: found.snapshot, cycle: found.point.cycle }).collect())
}

/// The manifests and parts of the recovery points, and the parts that the checkpoint counts on for the next
/// seal (those of the newest point, or stored by a seal that did not finish).
async fn needed_objects(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    kept: &[Located],
    cancel: &CancellationToken,
) -> Result<HashSet<String>, Error> {
    let block_size = BlockSize::new(remote.block_bytes).expect("checked where the record is read");
    let mut needed = HashSet::new();
    for located in kept {
        let seal = located.seal(shared)?;
        let manifest = rebuild::manifest(shared, &seal, located.disk(block_size), cancel).await?;
        needed.insert(sealed::manifest_name(seal.root));
        needed.extend(manifest.parts().iter().map(|hash| sealed::part_name(*hash)));
    }
    for part in 0..sealed::part_count(remote.disk_bytes, block_size) {
        needed.extend(shared.checkpoint.part(part)?.map(sealed::part_name));
    }
    Ok(needed)
}
