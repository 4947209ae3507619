//! A disk image, a place for its replica, and a folder for checkpoints: what every cycle test starts from.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use libmigrate::size::{BlockSize, PageRange};
use libmigrate::source::{self, Format};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;
use libmigrate::target::{Fence, LeaseId, View};
use libmigrate::{
    CancellationToken, CycleRequest, DiskDescription, DiskSource, Engine, EngineOptions, Error, PageTarget,
    RecoveryPoint, Replica,
};
use libmigrate_test_support::azurite::Azurite;
use libmigrate_test_support::page_blob_server::PageBlobServer;
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const BLOCK: u64 = 64 << 10;

/// Where the replica goes.
pub(crate) enum Place {
    Local,
    Server(PageBlobServer),
    Azurite { url: String, connection_string: String },
}

pub(crate) struct World {
    pub folder: TempDir,
    pub place: Place,
    pub cancel: CancellationToken,
}

impl World {
    fn new(place: Place) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), place, cancel: CancellationToken::new() }
    }

    #[expect(clippy::unused_async, reason = "all kinds are made alike")]
    pub(crate) async fn local() -> Option<Self> {
        Some(Self::new(Place::Local))
    }

    pub(crate) async fn page_blob_server() -> Option<Self> {
        let server = PageBlobServer::start().await;
        server.create_container("replicas");
        Some(Self::new(Place::Server(server)))
    }

    /// One Azurite for all tests of the binary, one container each; `None` where it is not installed.
    pub(crate) async fn azurite() -> Option<Self> {
        let azurite = tokio::task::spawn_blocking(Azurite::shared).await.unwrap()?;
        let container = format!("c{:016x}", fastrand::u64(..));
        azurite.create_container(&container).unwrap();
        let (url, connection_string) = (azurite.blob_url(&container, "web01.vhd"), azurite.connection_string());
        Some(Self::new(Place::Azurite { url, connection_string }))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new handle to the same replica.
    pub(crate) fn target(&self) -> Arc<dyn PageTarget> {
        let azure = |url: &str, credential| -> Arc<dyn PageTarget> {
            Arc::new(AzurePageBlob::new(url, credential, AzureOptions::default()).unwrap())
        };
        match &self.place {
            Place::Local => Arc::new(LocalTarget::new(self.path("web01.vhd")).unwrap()),
            Place::Server(server) => azure(
                &format!("{}/replicas/web01.vhd", server.endpoint()),
                Credential::Sas(libmigrate::secret::Secret::new("sig=open".into())),
            ),
            Place::Azurite { url, connection_string } => {
                azure(url, Credential::from_connection_string(connection_string).unwrap())
            }
        }
    }

    pub(crate) fn options(&self) -> EngineOptions {
        EngineOptions {
            state_dir: Some(self.path("state")),
            memory_limit: 32 * MIB,
            block_size: BlockSize::new(BLOCK),
            ..EngineOptions::default()
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.options()).unwrap()
    }

    /// A sparse image of `len` bytes with data at `extents`.
    pub(crate) fn image(&self, len: u64, extents: &[(u64, u64)]) -> PathBuf {
        let path = self.path("web01.raw");
        let file = File::create(&path).unwrap();
        file.set_len(len).unwrap();
        extents.iter().for_each(|(offset, len)| self.write(*offset, *len));
        path
    }

    /// Overwrites a part of the image with new data: no byte of it is zero, or what it was.
    pub(crate) fn write(&self, offset: u64, len: u64) {
        let file = File::options().read(true).write(true).open(self.path("web01.raw")).unwrap();
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, offset).unwrap();
        for byte in &mut bytes {
            let other = fastrand::u8(1..u8::MAX);
            *byte = other + u8::from(other >= *byte);
        }
        file.write_all_at(&bytes, offset).unwrap();
    }

    /// Overwrites a part of the image with zeros that are data to the file system.
    pub(crate) fn write_zeros(&self, offset: u64, len: u64) {
        let file = File::options().write(true).open(self.path("web01.raw")).unwrap();
        file.write_all_at(&vec![0; len as usize], offset).unwrap();
    }

    /// Makes whole MiB of the image a hole.
    pub(crate) fn punch(&self, offset: u64, len: u64) {
        let file = File::options().write(true).open(self.path("web01.raw")).unwrap();
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, offset, len).unwrap();
    }

    pub(crate) fn source(&self) -> Arc<dyn DiskSource> {
        source::open(self.path("web01.raw"), Format::Raw).unwrap()
    }

    pub(crate) async fn open(&self) -> Result<Replica, Error> {
        let source = self.source();
        self.engine().open(self.target(), DiskDescription::of(&*source), &self.cancel).await
    }

    /// Opens, replicates once, closes.
    pub(crate) async fn replicate(&self, request: CycleRequest) -> RecoveryPoint {
        let replica = self.open().await.unwrap();
        let point = replica.replicate(self.source(), request, &self.cancel).await.unwrap();
        replica.close().await.unwrap();
        point
    }

    /// The replica's disk, read through a fresh handle.
    pub(crate) async fn replica_bytes(&self) -> Vec<u8> {
        let target = self.target();
        let len = target.state().await.unwrap().unwrap().len - 512;
        let mut bytes = Vec::new();
        for offset in (0..len).step_by(MIB as usize) {
            let range = PageRange::new(offset, MIB.min(len - offset)).unwrap();
            bytes.extend_from_slice(&target.read(&View::Live, range).await.unwrap());
        }
        bytes
    }

    /// Panics unless the replica equals the image, padded with zeros to whole MiB.
    pub(crate) async fn assert_equal(&self) {
        let mut expected = fs::read(self.path("web01.raw")).unwrap();
        expected.resize(expected.len().next_multiple_of(MIB as usize), 0);
        let found = self.replica_bytes().await;
        assert_eq!(found.len(), expected.len());
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(differs, None, "first difference");
    }

    /// Overwrites a part of the target behind the engine's back. Nobody has the replica open.
    pub(crate) async fn plant(&self, offset: u64, bytes: &[u8]) {
        match &self.place {
            Place::Local => {
                let file = File::options().write(true).open(self.path("web01.vhd")).unwrap();
                file.write_all_at(bytes, offset).unwrap();
            }
            Place::Server(server) => server.corrupt("replicas/web01.vhd", offset, bytes),
            Place::Azurite { .. } => {
                let range = PageRange::new(offset, bytes.len() as u64).unwrap();
                let (target, fence) = self.leased().await;
                target.put(range, bytes.to_vec().into(), fence).await.unwrap();
                target.release_lease(fence.lease).await.unwrap();
            }
        }
    }

    /// Takes pages of the target away behind the engine's back. Nobody has the replica open.
    pub(crate) async fn lose(&self, offset: u64, len: u64) {
        match &self.place {
            Place::Local => {
                let file = File::options().write(true).open(self.path("web01.vhd")).unwrap();
                let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, flags, offset, len).unwrap();
            }
            Place::Server(server) => server.lose("replicas/web01.vhd", &(offset..offset + len)),
            Place::Azurite { .. } => {
                let (target, fence) = self.leased().await;
                target.clear(PageRange::new(offset, len).unwrap(), fence).await.unwrap();
                target.release_lease(fence.lease).await.unwrap();
            }
        }
    }

    /// Damages the bytes of the oldest snapshot and nothing else; not possible on Azurite.
    pub(crate) fn plant_in_oldest_snapshot(&self, offset: u64, bytes: &[u8]) {
        match &self.place {
            Place::Local => {
                let files = fs::read_dir(self.path("web01.vhd.libmigrate/snapshots")).unwrap();
                let snapshots =
                    files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "vhd");
                let file = File::options().write(true).open(snapshots.min().unwrap()).unwrap();
                file.write_all_at(bytes, offset).unwrap();
            }
            Place::Server(server) => {
                let oldest = server.blob("replicas/web01.vhd").unwrap().snapshots[0].clone();
                server.corrupt(&format!("replicas/web01.vhd?snapshot={oldest}"), offset, bytes);
            }
            Place::Azurite { .. } => unreachable!("its snapshots cannot be written to"),
        }
    }

    /// A handle that holds the lease, as somebody would who writes around us.
    async fn leased(&self) -> (Arc<dyn PageTarget>, Fence) {
        let (target, lease) = (self.target(), LeaseId::random());
        target.acquire_lease(lease, std::time::Duration::from_secs(60)).await.unwrap();
        let sequence = target.state().await.unwrap().unwrap().sequence;
        (target, Fence { lease, sequence })
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        let mut files = fs::read_dir(self.path("state")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|e| e == "redb")).unwrap()
    }
}

/// Runs each test on each kind of target; `extra` names further kinds.
#[macro_export]
macro_rules! on_every_target {
    ($($test:ident),+ $(,)?) => {
        $crate::on_target!(local: $($test),+);
        $crate::on_target!(page_blob_server: $($test),+);
        $crate::on_target!(azurite: $($test),+);
    };
}

/// Runs each test on one kind of target.
#[macro_export]
macro_rules! on_target {
    ($kind:ident: $($test:ident),+) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(world) = $crate::world::World::$kind().await {
                        super::$test(world).await;
                    }
                }
            )+
        }
    };
}
