//! The lease: one writer at a time, checked by the service on every write.

use std::time::Duration;

use azure_storage_blob::models::{BlobClientAcquireLeaseOptions, BlobClientBreakLeaseOptions};

use super::client::StorageClient;
use super::error::Operation;
use crate::target::{LeaseId, TargetError};

/// Source: Microsoft Learn, REST reference "Lease Blob".
const TERM_SECONDS: std::ops::RangeInclusive<u64> = 15..=60;

pub(super) async fn acquire(client: &StorageClient, proposed: LeaseId, duration: Duration) -> Result<(), TargetError> {
    let operation = Operation::AcquireLease;
    let seconds = duration.as_secs();
    if !TERM_SECONDS.contains(&seconds) {
        let limit = format!("{} to {} seconds", TERM_SECONDS.start(), TERM_SECONDS.end());
        return Err(client.errors().out_of_range(operation, format!("a lease of {seconds} seconds"), limit));
    }
    let options = BlobClientAcquireLeaseOptions {
        proposed_lease_id: Some(proposed.to_string()),
        ..BlobClientAcquireLeaseOptions::default()
    };
    client.blob().acquire_lease(seconds as i32, Some(options)).await.map_err(client.failed(operation))?;
    Ok(())
}

pub(super) async fn renew(client: &StorageClient, lease: LeaseId) -> Result<(), TargetError> {
    let operation = Operation::RenewLease;
    client.blob().renew_lease(lease.to_string(), None).await.map_err(client.failed(operation))?;
    Ok(())
}

/// A lease that is not ours, or whose blob is gone, needs no release.
pub(super) async fn release(client: &StorageClient, lease: LeaseId) -> Result<(), TargetError> {
    let operation = Operation::ReleaseLease;
    match client.blob().release_lease(lease.to_string(), None).await.map_err(client.failed(operation)) {
        Ok(_) | Err(TargetError::LeaseLost { .. } | TargetError::NotFound { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Ends the lease at once, whoever holds it; one that is not there needs no breaking.
pub(super) async fn break_now(client: &StorageClient) -> Result<(), TargetError> {
    let options = BlobClientBreakLeaseOptions { break_period: Some(0), ..BlobClientBreakLeaseOptions::default() };
    match client.blob().break_lease(Some(options)).await.map_err(client.failed(Operation::BreakLease)) {
        Ok(_) | Err(TargetError::LeaseLost { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}
