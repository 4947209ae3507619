//! A target that has no lease: the checkpoint keeps a second writer out.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libmigrate::size::PageRange;
use libmigrate::target::{
    Capabilities, ETag, Fence, LeaseId, LeaseKind, Metadata, Snapshot, SnapshotId, TargetError, TargetState, View,
};
use libmigrate::{CycleRequest, DiskDescription, Engine, EngineOptions, Error, PageTarget, Replica};

use crate::world::{BLOCK, MIB, World};

/// Hands everything on, under a lease that all handles share: to its callers, there is none.
#[derive(Debug)]
struct Unleased {
    inner: Arc<dyn PageTarget>,
}

const SHARED: LeaseId = LeaseId::from_uuid(uuid::Uuid::from_u128(7));

#[async_trait]
impl PageTarget for Unleased {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.lease = LeaseKind::None;
        capabilities
    }

    async fn acquire_lease(&self, _: LeaseId, _: Duration) -> Result<(), TargetError> {
        self.inner.acquire_lease(SHARED, Duration::from_secs(60)).await
    }

    async fn renew_lease(&self, _: LeaseId) -> Result<(), TargetError> {
        Ok(())
    }

    async fn release_lease(&self, _: LeaseId) -> Result<(), TargetError> {
        Ok(())
    }

    async fn break_lease(&self) -> Result<(), TargetError> {
        Ok(())
    }

    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        self.inner.state().await
    }

    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        self.inner.create(len, metadata).await
    }

    async fn resize(&self, len: u64, _: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.inner.resize(len, SHARED, etag).await
    }

    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        self.inner.put(range, data, Fence { lease: SHARED, ..fence }).await
    }

    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.inner.clear(range, Fence { lease: SHARED, ..fence }).await
    }

    async fn flush(&self) -> Result<(), TargetError> {
        self.inner.flush().await
    }

    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        self.inner.read(view, range).await
    }

    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        self.inner.page_ranges(view, window).await
    }

    async fn changed_ranges(
        &self,
        since: &SnapshotId,
        window: Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError> {
        self.inner.changed_ranges(since, window).await
    }

    async fn set_metadata(&self, metadata: &Metadata, _: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.inner.set_metadata(metadata, SHARED, etag).await
    }

    async fn raise_sequence(&self, sequence: u64, _: LeaseId) -> Result<(), TargetError> {
        self.inner.raise_sequence(sequence, SHARED).await
    }

    async fn snapshot(&self, metadata: &Metadata, _: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError> {
        self.inner.snapshot(metadata, SHARED, etag).await
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        self.inner.snapshots().await
    }

    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        self.inner.delete_snapshot(id).await
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        self.inner.put_object(name, data).await
    }

    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
        self.inner.get_object(name, max_len).await
    }

    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        self.inner.list_objects(prefix).await
    }

    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        self.inner.delete_object(name).await
    }
}

async fn open(world: &World, options: EngineOptions) -> Result<Replica, Error> {
    let target = Arc::new(Unleased { inner: world.target() });
    Engine::new(options).unwrap().open(target, DiskDescription::of(&*world.source()), &world.cancel).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_the_checkpoint_of_a_target_without_a_lease_is_its_only_writer() {
    let world = World::page_blob_server().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let replica = open(&world, world.options()).await.unwrap();
    assert_eq!(open(&world, world.options()).await.unwrap_err().code(), "checkpoint.in_use");
    replica.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    world.assert_equal().await;
    replica.close().await.unwrap();

    world.write(0, BLOCK);
    let next = open(&world, world.options()).await.unwrap();
    let point = next.replicate(world.source(), CycleRequest::default(), &world.cancel).await.unwrap();
    world.assert_equal().await;
    assert_eq!((point.cycle, point.counts.sent), (2, BLOCK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lease_and_without_a_checkpoint_nothing_is_written() {
    let world = World::page_blob_server().await.unwrap();
    world.image(2 * MIB, &[(0, MIB)]);
    let refused = open(&world, EngineOptions { state_dir: None, ..world.options() }).await.unwrap_err();
    assert_eq!(refused.code(), "replica.no_fence");
    assert!(world.target().state().await.unwrap().is_none());
}
