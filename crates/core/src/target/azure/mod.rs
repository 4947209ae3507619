//! The Azure page blob target.
//!
//! [`AzurePageBlob`] is a [`PageTarget`] over Microsoft's own storage client. Each method is one attempt
//! by one or few requests (retries are the engine's), every write carries the lease and the sequence
//! number, every put a CRC-64 that the service checks before it keeps the bytes.
//!
//! ```text
//! mod.rs            the target: each method of the trait, delegated
//!   page_blob.rs    state, length, pages, metadata, sequence number
//!   page_ranges.rs  which pages hold data, which changed; page_list.rs reads the answers
//!   snapshots.rs, lease.rs, objects.rs, blob_list.rs
//!   probe.rs        whether all of this is possible here, tried out on a blob of its own
//! client.rs         the typed clients over one pipeline; error.rs and service_message.rs turn what
//!                   comes back into `TargetError`, without secrets
//!   endpoint.rs     the blob's URL; credential.rs, shared_key.rs, token.rs who asks
//! ```
//!
//! Bytes go over a private route unless the options say otherwise: see [`private_link`](crate::private_link).
//!
//! What is checked here rather than left to the service, because an emulator does not: that a put is at
//! most 4 MiB and ends inside the blob, and that a list of changes is one (see `page_ranges.rs`).
//!
//! Sources: Microsoft Learn, Blob service REST API, version 2026-04-06.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use self::client::StorageClient;
use self::endpoint::BlobEndpoint;
use self::page_blob::KnownLength;
use super::{
    Capabilities, Checksum, DiffTrust, ETag, Fence, LeaseId, LeaseKind, Metadata, PageTarget, Snapshot, SnapshotId,
    TargetError, TargetState, View,
};
use crate::finding::Finding;
use crate::size::{MAX_PUT_BYTES, PageRange};

pub use self::credential::{ConnectionString, Credential};
pub use crate::private_link::{Proxy, TransferCounters, TransportOptions as AzureOptions};

mod blob_list;
mod client;
mod credential;
mod endpoint;
mod error;
mod lease;
mod objects;
mod page_blob;
mod page_list;
mod page_ranges;
pub(crate) mod probe;
mod service_message;
mod shared_key;
mod snapshots;
mod token;

/// A replica in an Azure page blob, or in an emulator's.
pub struct AzurePageBlob {
    client: StorageClient,
    length: KnownLength,
    /// Whether lists of changed pages are to be believed; asked once.
    diff_trust: OnceCell<bool>,
}

impl AzurePageBlob {
    /// The page blob at `url` (`https://<account>.blob.core.windows.net/<container>/<blob>`). Nothing is
    /// sent yet, and nothing need be there.
    ///
    /// [`TargetError::Unusable`] when the URL, the credential and the options do not go together: plain
    /// http to another machine, a snapshot's URL, two credentials, an impossible container name.
    pub fn new(url: &str, credential: Credential, options: AzureOptions) -> Result<Self, TargetError> {
        let endpoint = BlobEndpoint::parse(url, &credential)?;
        let client = StorageClient::new(endpoint, credential, options)?;
        Ok(Self { client, length: KnownLength::unknown(), diff_trust: OnceCell::new() })
    }

    /// Tries out in this blob's container what a replica needs, with this target's own credential and
    /// connection: lists, creates a page blob of 512 bytes named `.libmigrate-probe-<uuid>`, leases it, puts a
    /// page, reads it back, and deletes it. The replica's blob is not asked and not touched.
    ///
    /// Never fails: what is wrong is a finding, with a code for each cause (`blob.usable` if nothing is). Ends
    /// within `limit`, and within a second of `cancel`. The probe's blob is deleted also when a step fails, and
    /// `blob.probe_left` says so when that fails too. (In an account with soft delete it is kept for as long as
    /// any deleted blob.) Dropped instead of cancelled, the call leaves the blob behind.
    pub async fn probe(&self, limit: Duration, cancel: &CancellationToken) -> Vec<Finding> {
        probe::run(&self.client, limit, cancel).await
    }

    /// Requests and bytes so far; goes on counting while the target lives.
    pub fn counters(&self) -> Arc<TransferCounters> {
        Arc::clone(self.client.counters())
    }
}

impl fmt::Debug for AzurePageBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzurePageBlob({:?})", self.client.endpoint())
    }
}

#[async_trait]
impl PageTarget for AzurePageBlob {
    fn location(&self) -> String {
        self.client.endpoint().location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease: LeaseKind::Service,
            snapshots: true,
            checksum: Checksum::Crc64,
            max_put_bytes: MAX_PUT_BYTES,
            diff: DiffTrust::Probed,
            route: self.client.route(),
        }
    }

    /// A container that does not exist is an error: nothing can be created in it.
    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        page_blob::state(&self.client, &self.length).await
    }

    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        page_blob::create(&self.client, &self.length, len, metadata).await
    }

    async fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        page_blob::resize(&self.client, &self.length, len, lease, etag).await
    }

    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        page_blob::put(&self.client, &self.length, range, data, fence).await
    }

    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        page_blob::clear(&self.client, &self.length, range, fence).await
    }

    /// Nothing to do: the service acknowledges what is durable.
    async fn flush(&self) -> Result<(), TargetError> {
        Ok(())
    }

    /// At most 256 MiB.
    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        page_blob::read(&self.client, view, range).await
    }

    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        page_ranges::holding_data(&self.client, view, window).await
    }

    async fn changed_ranges(
        &self,
        since: &SnapshotId,
        window: Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError> {
        page_ranges::changed(&self.client, &self.diff_trust, since, window).await
    }

    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        page_blob::set_metadata(&self.client, metadata, lease, etag).await
    }

    async fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        page_blob::raise_sequence(&self.client, sequence, lease).await
    }

    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError> {
        snapshots::take(&self.client, metadata, lease, etag).await
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        snapshots::list(&self.client).await
    }

    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        snapshots::delete(&self.client, id).await
    }

    /// For 15 to 60 seconds.
    async fn acquire_lease(&self, proposed: LeaseId, duration: Duration) -> Result<(), TargetError> {
        lease::acquire(&self.client, proposed, duration).await
    }

    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        lease::renew(&self.client, lease).await
    }

    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        lease::release(&self.client, lease).await
    }

    async fn break_lease(&self) -> Result<(), TargetError> {
        lease::break_now(&self.client).await
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        objects::put(&self.client, name, data).await
    }

    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
        objects::get(&self.client, name, max_len).await
    }

    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        objects::list(&self.client, prefix).await
    }

    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        objects::delete(&self.client, name).await
    }
}
