//! Snapshots of the blob.

use azure_core::http::Etag;
use azure_storage_blob::models::{
    BlobClientCreateSnapshotOptions, BlobClientCreateSnapshotResultHeaders, BlobItem, ListBlobsIncludeItem,
};

use super::blob_list;
use super::client::StorageClient;
use super::error::Operation;
use crate::target::{ETag, LeaseId, Metadata, Snapshot, SnapshotId, TargetError};

/// Without pairs the service gives the snapshot those of the blob.
pub(super) async fn take(
    client: &StorageClient,
    metadata: &Metadata,
    lease: LeaseId,
    etag: &ETag,
) -> Result<SnapshotId, TargetError> {
    let operation = Operation::Snapshot;
    let options = BlobClientCreateSnapshotOptions {
        metadata: Some(client.metadata_headers(operation, metadata)?),
        lease_id: Some(lease.to_string()),
        if_match: Some(Etag::from(etag.0.as_str())),
        ..BlobClientCreateSnapshotOptions::default()
    };
    let answer = client.blob().create_snapshot(Some(options)).await.map_err(client.failed(operation))?;
    let id = answer.snapshot().map_err(client.failed(operation))?;
    id.map(SnapshotId).ok_or_else(|| client.errors().bad_answer(operation, "it names no snapshot"))
}

/// Lists every blob whose name starts with ours; there is no narrower request.
pub(super) async fn list(client: &StorageClient) -> Result<Vec<Snapshot>, TargetError> {
    let name = client.endpoint().blob_name();
    let include = vec![ListBlobsIncludeItem::Snapshots, ListBlobsIncludeItem::Metadata];
    let items = blob_list::with_prefix(client, Operation::ListSnapshots, name, include).await?;
    let mut snapshots: Vec<Snapshot> =
        items.into_iter().filter(|item| item.name.as_deref() == Some(name)).filter_map(snapshot).collect();
    snapshots.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(snapshots)
}

fn snapshot(item: BlobItem) -> Option<Snapshot> {
    let id = item.snapshot.filter(|id| !id.is_empty())?;
    let metadata = item.metadata.and_then(|metadata| metadata.values).unwrap_or_default();
    Some(Snapshot { id: SnapshotId(id), metadata: metadata.into_iter().collect() })
}

pub(super) async fn delete(client: &StorageClient, id: &SnapshotId) -> Result<(), TargetError> {
    let operation = Operation::DeleteSnapshot;
    let deleted = match client.snapshot(operation, id) {
        Ok(snapshot) => snapshot.delete(None).await.map_err(client.failed(operation)).map(drop),
        Err(no_such_id) => Err(no_such_id),
    };
    match deleted {
        Err(TargetError::NotFound { .. }) => Ok(()),
        other => other,
    }
}
