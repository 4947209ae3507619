//! Recovery points as a list: what there is, and which to keep.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::garbage;
use super::replica::{Replica, ReplicaShared};
use super::target_record::{RecoveryPoint, TargetRecord};
use crate::checkpoint::{Disk, Seal};
use crate::digest::sealed::Hash;
use crate::progress::EventKind;
use crate::size::BlockSize;
use crate::target::{Snapshot, SnapshotId};

/// Which recovery points to keep. The newest is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepRule {
    /// So many of the newest.
    pub newest: usize,
    /// And all that are younger than this. Their age is counted up to now or up to the newest of them,
    /// whichever is earlier: a clock that has jumped ahead, or a replica that rests, loses none.
    pub younger_than: Option<Duration>,
}

impl KeepRule {
    /// Whether a point is kept: `rank` 0 is the newest.
    fn keeps(&self, rank: usize, point: &RecoveryPoint, now: Timestamp) -> bool {
        let young =
            |limit: Duration| Duration::try_from(now.duration_since(point.sealed_at)).map_or(true, |age| age < limit);
        rank == 0 || rank < self.newest || self.younger_than.is_some_and(young)
    }
}

/// A recovery point and the snapshot it lives in.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) point: RecoveryPoint,
    pub(super) snapshot: SnapshotId,
}

impl Located {
    pub(super) fn disk(&self, block_size: BlockSize) -> Disk {
        Disk { bytes: self.point.disk_bytes, block_size }
    }

    pub(super) fn seal(&self, shared: &ReplicaShared) -> Result<Seal, Error> {
        let root = Hash::parse(&self.point.root)
            .ok_or_else(|| shared.sealed_map_error(self.point.cycle, "its root is no hash".into()))?;
        Ok(Seal { cycle: self.point.cycle, root, change_id: self.point.change_id.clone() })
    }
}

impl Replica {
    /// All recovery points, oldest first.
    pub async fn recovery_points(&self, cancel: &CancellationToken) -> Result<Vec<RecoveryPoint>, Error> {
        let remote = self.shared.state.lock().await.remote.clone();
        Ok(located(&self.shared, &remote, cancel).await?.into_iter().map(|located| located.point).collect())
    }

    /// Deletes the recovery points that `rule` does not keep, then the [garbage](Self::garbage); the cycles of
    /// those deleted. Safe to repeat. An owner that was overtaken deletes nothing and ends with `target.fenced`.
    pub async fn prune(&self, rule: KeepRule, cancel: &CancellationToken) -> Result<Vec<u32>, Error> {
        let shared = &self.shared;
        let mut state = shared.lock().await?;
        shared.look_again(&mut state, cancel).await?;
        let points = located(shared, &state.remote, cancel).await?;
        let now = points.last().map_or_else(Timestamp::now, |newest| newest.point.sealed_at.min(Timestamp::now()));
        let mut deleted = Vec::new();
        let mut kept = Vec::new();
        for (rank, located) in points.into_iter().rev().enumerate() {
            if rule.keeps(rank, &located.point, now) {
                kept.push(located);
                continue;
            }
            shared.find(cancel).await?;
            shared.call(cancel, || shared.target.delete_snapshot(&located.snapshot)).await?;
            shared.event(EventKind::RecoveryPointDeleted { cycle: located.point.cycle });
            deleted.push(located.point.cycle);
        }
        let garbage = garbage::find(shared, &state.remote, &kept, cancel).await?;
        garbage::delete(shared, &garbage, cancel).await?;
        deleted.reverse();
        Ok(deleted)
    }

    pub(super) async fn locate(&self, cycle: Option<u32>, cancel: &CancellationToken) -> Result<Located, Error> {
        let remote = self.shared.state.lock().await.remote.clone();
        locate(&self.shared, &remote, cycle, cancel).await
    }
}

/// The recovery point of `cycle`, or the newest.
pub(super) async fn locate(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    cycle: Option<u32>,
    cancel: &CancellationToken,
) -> Result<Located, Error> {
    let mut points = located(shared, remote, cancel).await?;
    let newest = remote.sealed.as_ref().map_or(0, |seal| seal.cycle);
    let wanted = cycle.unwrap_or(newest);
    let at = points
        .iter()
        .position(|located| located.point.cycle == wanted)
        .ok_or_else(|| ReplicateError::NoRecoveryPoint { location: shared.location.to_string(), cycle: wanted })?;
    Ok(points.swap_remove(at))
}

/// The recovery points of this replication that are sealed, by cycle.
pub(super) async fn located(
    shared: &ReplicaShared,
    remote: &TargetRecord,
    cancel: &CancellationToken,
) -> Result<Vec<Located>, Error> {
    let snapshots = shared.call(cancel, || shared.target.snapshots()).await?;
    let newest = remote.sealed.as_ref().map_or(0, |seal| seal.cycle);
    // A snapshot whose answer was lost was taken twice, with the same content: one of them will do.
    let by_cycle: BTreeMap<u32, Located> = snapshots
        .into_iter()
        .filter_map(|snapshot| ours(snapshot, remote))
        .filter(|located| located.point.cycle <= newest)
        .map(|located| (located.point.cycle, located))
        .collect();
    Ok(by_cycle.into_values().collect())
}

/// A snapshot that is a recovery point of this replication, sealed or not.
pub(super) fn ours(snapshot: Snapshot, remote: &TargetRecord) -> Option<Located> {
    let point = RecoveryPoint::from_metadata(&snapshot.metadata)?;
    (point.replication == remote.replication).then_some(Located { point, snapshot: snapshot.id })
}
