//! A disk that grew: the target's length, its record, and the checkpoint's rows, in an order that a crash at
//! any point leaves to be carried through by the next owner.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::replica::{Found, ReplicaShared, ReplicaState, blocking};
use super::target_record::TargetRecord;
use crate::checkpoint::{Blank, Change, Record, WINDOW_BYTES};
use crate::digest::block::BlockState;
use crate::digest::map;
use crate::size::replica_len;
use crate::source::DiskSource;
use crate::target::FOOTER_BYTES;

/// Makes replica and checkpoint as large as the source, if it grew.
pub(super) async fn fit_to(
    shared: &ReplicaShared,
    state: &mut ReplicaState,
    record: &mut Record,
    source: &dyn DiskSource,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let size = source.size_bytes();
    let wanted = replica_len(size).ok_or(ReplicateError::DiskSize { bytes: size })?;
    let location = || shared.location.to_string();
    if size < state.remote.source_bytes {
        let before = state.remote.source_bytes;
        return Err(ReplicateError::DiskShrank { location: location(), before, now: size }.into());
    }
    if let (Some(expected), Some(found)) = (state.remote.source_identity.clone(), source.identity())
        && expected != found
    {
        return Err(ReplicateError::OtherDisk { location: location(), expected, found }.into());
    }
    if wanted > state.remote.disk_bytes {
        let remote = &state.remote;
        let grown = TargetRecord {
            // What it has now, which an unsealed growth before this one may have made.
            grown_from: Some(state.target_len - FOOTER_BYTES),
            disk_bytes: wanted,
            unsealed_writes: true,
            ..remote.clone()
        };
        // Ours only once it is the target's: a length that its record does not name is nobody's.
        shared.publish(&grown, cancel).await?;
        state.remote = grown;
    }
    state.remote.source_bytes = size;
    record.source_bytes = size;
    finish_growth(shared, state, record, cancel).await
}

/// Carries a growth through that the target's own record speaks of: length, then rows.
///
/// The old footer's page was data's next page; its block is forgotten, so that it is written anew.
pub(super) async fn finish_growth(
    shared: &ReplicaShared,
    state: &mut ReplicaState,
    record: &mut Record,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let target_len = state.remote.disk_bytes + FOOTER_BYTES;
    if state.target_len != target_len {
        let is_resized = |found: &Found| (found.state.len == target_len).then_some(());
        shared
            .change(
                cancel,
                is_resized,
                |etag| async move { shared.target.resize(target_len, shared.lease, &etag).await },
            )
            .await?;
        state.target_len = target_len;
    }
    let (before, after) = (record.disk(), Record { disk_bytes: state.remote.disk_bytes, ..record.clone() }.disk());
    if before == after {
        return Ok(());
    }
    let (checkpoint, blank) = (Arc::clone(&shared.checkpoint), record.blank);
    let last = before.bytes / WINDOW_BYTES;
    let old_footer = before.bytes / before.block_size.bytes() - last * before.blocks_per_window();
    record.disk_bytes = after.bytes;
    record.footer_for = None;
    record.open = None;
    let grown = record.clone();
    blocking(move || {
        let mut states = if before.bytes.is_multiple_of(WINDOW_BYTES) {
            Vec::new()
        } else {
            checkpoint.window(last, before, blank)?.states
        };
        states.resize(after.blocks_in_window(last), BlockState::Zero);
        states[old_footer as usize] = BlockState::Unknown;
        let mut change = Change { map: vec![(last, map::encode(&states))], ..Change::default() };
        if blank == Blank::Unknown {
            // What the target grew by reads as zero, whatever an absent row means.
            change.map.extend(
                (last + 1..after.windows())
                    .map(|window| (window, map::encode(&vec![BlockState::Zero; after.blocks_in_window(window)]))),
            );
        }
        checkpoint.commit(&grown, &change)
    })
    .await
}
