//! The embedded target: a local file that behaves like a page blob.
//!
//! ```text
//! web01.vhd                     the disk's bytes from offset 0, then the footer: once sealed, a fixed VHD
//! web01.vhd.libmigrate/
//!   state.json                  metadata, sequence number, version; replaced whole (`state_file`)
//!   lock                        the lease: a lock on this file, held while the process lives
//!   snapshots/<id>.vhd, .json   immutable copies (`snapshots`)
//!   objects/<name>              digest maps (`files`)
//! ```
//!
//! An acknowledged write is in the system's page cache, which a killed process does not take along; `flush`
//! makes it survive a power loss. The lock is given up by the kernel when its holder dies, so there is no
//! lease to wait for, and none to break. Blocking work runs on threads for it.

mod files;
mod pages;
mod snapshots;
mod state_file;

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::state_file::StateFile;
use super::{
    Capabilities, Checksum, DiffTrust, ETag, Fence, LeaseId, LeaseKind, Metadata, PageTarget, Snapshot, SnapshotId,
    TargetError, TargetState, View,
};
use crate::size::{MAX_PUT_BYTES, PageRange};

/// A replica in a local folder. Clones of nothing: each value is one handle, and one handle at a time holds
/// the lease.
#[derive(Debug)]
pub struct LocalTarget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    folder: PathBuf,
    open: Mutex<Open>,
}

/// What is open: the file, the lock, and the state as last written while we hold the lock.
#[derive(Debug, Default)]
struct Open {
    file: Option<Arc<File>>,
    lease: Option<(LeaseId, File)>,
    state: Option<StateFile>,
}

impl LocalTarget {
    /// The replica at `path`, which need not exist. Nothing is touched yet.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, TargetError> {
        let given = path.as_ref();
        let unusable = |problem: String| TargetError::Unusable { location: given.display().to_string(), problem };
        let path = std::path::absolute(given).map_err(|e| unusable(e.to_string()))?;
        let mut name = path.file_name().ok_or_else(|| unusable("it names no file".into()))?.to_owned();
        name.push(".libmigrate");
        let folder = path.with_file_name(name);
        Ok(Self { shared: Arc::new(Shared { path, folder, open: Mutex::default() }) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, TargetError> + Send + 'static,
    ) -> Result<T, TargetError> {
        let shared = Arc::clone(&self.shared);
        let location = self.location();
        tokio::task::spawn_blocking(move || work(&shared)).await.unwrap_or_else(|e| {
            let source = io::Error::other(e);
            Err(TargetError::Io { operation: "work on a blocking thread", location, source })
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, operation: &'static str) -> impl FnOnce(io::Error) -> TargetError {
        let location = self.location();
        move |source| TargetError::Io { operation, location, source }
    }

    fn not_found(&self, operation: &'static str) -> TargetError {
        TargetError::NotFound { operation, location: self.location(), reason: "no such file".into() }
    }

    /// The replica's file, opened once.
    fn file(&self, operation: &'static str) -> Result<Arc<File>, TargetError> {
        let mut open = self.lock();
        if let Some(file) = &open.file {
            return Ok(Arc::clone(file));
        }
        let file = match File::options().read(true).write(true).open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.not_found(operation)),
            file => Arc::new(file.map_err(self.io(operation))?),
        };
        open.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The state: ours while we hold the lease (nobody else may change it), fresh otherwise.
    fn state(&self, operation: &'static str) -> Result<StateFile, TargetError> {
        if let Some(state) = &self.lock().state {
            return Ok(state.clone());
        }
        StateFile::read(self)?.ok_or_else(|| self.not_found(operation))
    }

    /// Changes the state under the lease and writes it.
    fn update(
        &self,
        operation: &'static str,
        lease: LeaseId,
        change: impl FnOnce(&mut StateFile) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        self.check_lease(operation, lease)?;
        let mut state = self.state(operation)?;
        change(&mut state)?;
        state.version += 1;
        state.write(self)?;
        self.lock().state = Some(state);
        Ok(())
    }

    fn check_lease(&self, operation: &'static str, lease: LeaseId) -> Result<(), TargetError> {
        let reason = match &self.lock().lease {
            Some((held, _)) if *held == lease => return Ok(()),
            Some(_) => "the lease is held under another id",
            None => "the lease is not held",
        };
        Err(TargetError::Fenced { operation, location: self.location(), reason: reason.into() })
    }

    fn check_fence(&self, operation: &'static str, fence: Fence) -> Result<(), TargetError> {
        self.check_lease(operation, fence.lease)?;
        let sequence = self.state(operation)?.sequence;
        if sequence == fence.sequence {
            return Ok(());
        }
        let reason = format!("the sequence number is {sequence}, not {}", fence.sequence);
        Err(TargetError::Fenced { operation, location: self.location(), reason })
    }

    fn acquire(&self, proposed: LeaseId) -> Result<(), TargetError> {
        let held = || TargetError::LeaseHeld { location: self.location() };
        let mut open = self.lock();
        match &open.lease {
            Some((ours, _)) if *ours == proposed => return Ok(()),
            Some(_) => return Err(held()),
            None => {}
        }
        if !self.folder.is_dir() {
            return Err(self.not_found("acquire lease"));
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("lock"))
            .map_err(self.io("acquire lease"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held()),
            Err(TryLockError::Error(e)) => return Err(self.io("acquire lease")(e)),
        }
        open.lease = Some((proposed, lock));
        // Whatever we knew, another holder may have changed.
        open.state = None;
        drop(open);
        let state = self.state("acquire lease")?;
        self.lock().state = Some(state);
        Ok(())
    }

    /// Whether somebody holds the lock now, we or another.
    fn is_leased(&self) -> bool {
        if self.lock().lease.is_some() {
            return true;
        }
        let Ok(lock) = File::open(self.folder.join("lock")) else { return false };
        matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        let io = |e| self.io("create")(e);
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let file = match File::options().read(true).write(true).create_new(true).open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(TargetError::AlreadyExists { location: self.location() });
            }
            file => file.map_err(io)?,
        };
        file.set_len(len).and_then(|()| file.sync_all()).map_err(io)?;
        for folder in [&self.folder, &self.folder.join("snapshots"), &self.folder.join("objects")] {
            fs::create_dir_all(folder).map_err(io)?;
        }
        StateFile::new(metadata.clone()).write(self)
    }

    fn target_state(&self) -> Result<Option<TargetState>, TargetError> {
        let len = match fs::metadata(&self.path) {
            Ok(file) => file.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.io("read state")(e)),
        };
        let Some(state) = StateFile::read(self)? else {
            let found = "file that libmigrate did not make".into();
            return Err(TargetError::WrongKind { location: self.location(), found });
        };
        let etag = state.etag();
        Ok(Some(TargetState {
            len,
            metadata: state.metadata,
            sequence: state.sequence,
            etag,
            leased: self.is_leased(),
        }))
    }
}

#[async_trait]
impl PageTarget for LocalTarget {
    fn location(&self) -> String {
        self.shared.location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease: LeaseKind::FileLock,
            snapshots: true,
            checksum: Checksum::None,
            max_put_bytes: MAX_PUT_BYTES,
            diff: DiffTrust::Unavailable,
        }
    }

    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        self.run(Shared::target_state).await
    }

    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        let metadata = metadata.clone();
        self.run(move |shared| shared.create(len, &metadata)).await
    }

    async fn resize(&self, len: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.run(move |shared| {
            let resize = |_: &mut StateFile| {
                let file = shared.file("resize")?;
                file.set_len(len).and_then(|()| file.sync_all()).map_err(shared.io("resize"))
            };
            shared.update("resize", lease, resize)
        })
        .await
    }

    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        self.run(move |shared| shared.put(range, &data, fence)).await
    }

    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.run(move |shared| shared.clear(range, fence)).await
    }

    async fn flush(&self) -> Result<(), TargetError> {
        self.run(|shared| shared.file("flush")?.sync_data().map_err(shared.io("flush"))).await
    }

    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        let view = view.clone();
        self.run(move |shared| shared.read(&view, range)).await
    }

    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        let view = view.clone();
        self.run(move |shared| shared.page_ranges(&view, window)).await
    }

    async fn changed_ranges(&self, _: &SnapshotId, _: Range<u64>) -> Result<Option<Vec<PageRange>>, TargetError> {
        Ok(None)
    }

    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: Option<&ETag>) -> Result<(), TargetError> {
        let (metadata, etag) = (metadata.clone(), etag.cloned());
        self.run(move |shared| {
            shared.update("set metadata", lease, |state| {
                if etag.is_some_and(|etag| etag != state.etag()) {
                    let reason = format!("it is version {} by now", state.version);
                    return Err(TargetError::Changed {
                        operation: "set metadata",
                        location: shared.location(),
                        reason,
                    });
                }
                state.metadata = metadata;
                Ok(())
            })
        })
        .await
    }

    async fn set_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.run(move |shared| {
            shared.update("set sequence number", lease, |state| {
                state.sequence = sequence;
                Ok(())
            })
        })
        .await
    }

    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId) -> Result<SnapshotId, TargetError> {
        let metadata = metadata.clone();
        self.run(move |shared| shared.snapshot(&metadata, lease)).await
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        self.run(Shared::snapshots).await
    }

    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        let id = id.clone();
        self.run(move |shared| shared.delete_snapshot(&id)).await
    }

    async fn acquire_lease(&self, proposed: LeaseId, _: Duration) -> Result<(), TargetError> {
        self.run(move |shared| shared.acquire(proposed)).await
    }

    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.shared.check_lease("renew lease", lease).map_err(|_| TargetError::LeaseLost {
            location: self.location(),
            reason: "it is not held under this id".into(),
        })
    }

    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        let mut open = self.shared.lock();
        if open.lease.take_if(|(held, _)| *held == lease).is_some() {
            open.state = None;
        }
        Ok(())
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        let path = self.shared.object_path(name)?;
        self.run(move |shared| files::replace(&path, &data).map_err(shared.io("put object"))).await
    }

    async fn get_object(&self, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
        let path = self.shared.object_path(name)?;
        self.run(move |shared| files::read_bounded(&path, max_len).map_err(shared.io("get object"))).await
    }

    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        let prefix = prefix.to_owned();
        self.run(move |shared| {
            let names = files::names(&shared.folder.join("objects")).map_err(shared.io("list objects"))?;
            Ok(names.into_iter().filter(|name| name.starts_with(&prefix) && files::is_object_name(name)).collect())
        })
        .await
    }

    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        let path = self.shared.object_path(name)?;
        self.run(move |shared| files::remove(&path).map_err(shared.io("delete object"))).await
    }
}

impl Shared {
    fn object_path(&self, name: &str) -> Result<PathBuf, TargetError> {
        if files::is_object_name(name) {
            return Ok(self.folder.join("objects").join(name));
        }
        let problem = format!("{name:?} is no name for an object: lower-case letters, digits, '.' and '-'");
        Err(TargetError::Unusable { location: self.location(), problem })
    }
}
