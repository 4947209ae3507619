//! One handle on a replica's files: reads for everybody, writes for the holder of the lease.
//!
//! Everything here blocks. Page writes share a guard for as long as they take; whatever none of them may
//! overlap (taking the lease away, another sequence number, a snapshot) takes the guard alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::lease_lock::{self, LeaseLock};
use super::place::{Place, io_error};
use super::state_file::TargetRecord;
use super::{durable_file, pages, snapshot_store};
use crate::size::{MAX_PUT_BYTES, PAGE, PageRange};
use crate::target::{ETag, Fence, LeaseId, Metadata, SnapshotId, TargetError, TargetState, View};

/// The replica's files, and the lease on them while this object holds it. Blocking.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) place: Place,
    /// Read by page writes for as long as they take, written by whatever none of them may overlap.
    held: RwLock<Option<Held>>,
}

/// What a holder of the lease has: nobody else changes any of it meanwhile.
#[derive(Debug)]
struct Held {
    lease: LeaseId,
    lock: LeaseLock,
    /// Opened once, so that a failed write-back is reported to the next flush.
    replica: File,
    len: u64,
    record: TargetRecord,
}

impl Home {
    pub(super) fn new(place: Place) -> Self {
        Self { place, held: RwLock::new(None) }
    }

    pub(super) fn state(&self) -> Result<Option<TargetState>, TargetError> {
        const OPERATION: &str = "get state";
        let Some(len) = self.replica_len(OPERATION)? else { return Ok(None) };
        let record = self.record(OPERATION)?;
        let leased = lease_lock::is_held(&self.place).map_err(io_error(OPERATION, &self.place.lock()))?;
        Ok(Some(TargetState { len, etag: record.etag(), sequence: record.sequence, metadata: record.metadata, leased }))
    }

    pub(super) fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        const OPERATION: &str = "resize";
        self.check_len(OPERATION, len)?;
        self.change(OPERATION, lease, |held, record| {
            self.check_etag(OPERATION, record, etag)?;
            // Durable before the new etag says so.
            held.replica
                .set_len(len)
                .and_then(|()| held.replica.sync_all())
                .map_err(io_error(OPERATION, &self.place.replica))?;
            held.len = len;
            record.touch();
            Ok(())
        })
    }

    pub(super) fn put(&self, range: PageRange, data: &[u8], fence: Fence) -> Result<(), TargetError> {
        const OPERATION: &str = "put pages";
        if data.len() as u64 != range.len_bytes() {
            let limit = format!("{} bytes were given for it", data.len());
            return Err(self.place.out_of_range(OPERATION, range.to_string(), limit));
        }
        if range.len_bytes() > MAX_PUT_BYTES {
            let limit = format!("at most {MAX_PUT_BYTES} bytes at once");
            return Err(self.place.out_of_range(OPERATION, range.to_string(), limit));
        }
        self.write(OPERATION, range, fence, |replica| replica.write_all_at(data, range.offset()))
    }

    pub(super) fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.write("clear pages", range, fence, |replica| pages::clear(replica, range))
    }

    pub(super) fn flush(&self) -> Result<(), TargetError> {
        const OPERATION: &str = "flush";
        let synced = match &*self.held() {
            Some(held) => held.replica.sync_data(),
            None => self.open_view(&View::Live, OPERATION)?.sync_data(),
        };
        synced.map_err(io_error(OPERATION, &self.place.replica))
    }

    pub(super) fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        const OPERATION: &str = "read pages";
        let file = self.open_view(view, OPERATION)?;
        self.check_inside(OPERATION, &range.extent().range(), self.len_of(&file, OPERATION)?)?;
        pages::read(&file, range).map(Bytes::from).map_err(io_error(OPERATION, &self.place.replica))
    }

    pub(super) fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        const OPERATION: &str = "get page ranges";
        let file = self.open_view(view, OPERATION)?;
        self.check_inside(OPERATION, &window, self.len_of(&file, OPERATION)?)?;
        pages::data_ranges(&file, window).map_err(io_error(OPERATION, &self.place.replica))
    }

    pub(super) fn set_metadata(&self, metadata: Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        const OPERATION: &str = "set metadata";
        self.change(OPERATION, lease, |_, record| {
            self.check_etag(OPERATION, record, etag)?;
            record.metadata = metadata;
            record.touch();
            Ok(())
        })
    }

    pub(super) fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.change("raise sequence number", lease, |_, record| {
            record.sequence = record.sequence.max(sequence);
            record.touch();
            Ok(())
        })
    }

    pub(super) fn snapshot(
        &self,
        metadata: Metadata,
        lease: LeaseId,
        etag: &ETag,
        cancelled: &CancellationToken,
    ) -> Result<SnapshotId, TargetError> {
        const OPERATION: &str = "take snapshot";
        let mut held = self.held_mut();
        let held = self.check_lease(OPERATION, held.as_mut(), lease)?;
        self.check_etag(OPERATION, &held.record, etag)?;
        // The number is spent, durably, before anything bears it.
        let mut record = held.record.clone();
        let id = record.name_snapshot();
        record.store(&self.place, OPERATION)?;
        held.record = record;
        snapshot_store::take(&self.place, &id, metadata, cancelled)?;
        Ok(id)
    }

    pub(super) fn acquire_lease(&self, proposed: LeaseId) -> Result<(), TargetError> {
        const OPERATION: &str = "acquire lease";
        let mut held = self.held_mut();
        if let Some(held) = &*held {
            return if held.lease == proposed {
                Ok(())
            } else {
                Err(TargetError::LeaseHeld { location: self.place.location() })
            };
        }
        if self.replica_len(OPERATION)?.is_none() {
            return Err(self.place.not_found(OPERATION, "no replica was created here"));
        }
        // Not a stranger's file, and none that we cannot read: only then is there a folder to lock.
        self.record(OPERATION)?;
        self.place.check_folder(OPERATION)?;
        let lock = LeaseLock::acquire(&self.place, &lease_lock::holder(proposed))?;
        // Only now does nobody else change what is read here.
        let record = self.record(OPERATION)?;
        let replica = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.place.replica)
            .map_err(io_error(OPERATION, &self.place.replica))?;
        let len = self.len_of(&replica, OPERATION)?;
        snapshot_store::sweep(&self.place, OPERATION)?;
        *held = Some(Held { lease: proposed, lock, replica, len, record });
        Ok(())
    }

    pub(super) fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        let lost = |reason: &str| TargetError::LeaseLost { location: self.place.location(), reason: reason.into() };
        let held = self.held();
        let held =
            held.as_ref().filter(|held| held.lease == lease).ok_or_else(|| lost("this handle does not hold it"))?;
        match held.lock.is_in_place(&self.place) {
            Ok(true) => Ok(()),
            Ok(false) => Err(lost("its lock file was removed or replaced")),
            Err(error) => Err(io_error("renew lease", &self.place.lock())(error)),
        }
    }

    /// Waits for the writes under way: none of them lands after the release.
    pub(super) fn release_lease(&self, lease: LeaseId) {
        self.held_mut().take_if(|held| held.lease == lease);
    }

    /// Fails while somebody holds the lock: its holder may be in the middle of a write.
    pub(super) fn break_lease(&self) -> Result<(), TargetError> {
        match lease_lock::holder_now(&self.place).map_err(io_error("break lease", &self.place.lock()))? {
            Some(holder) => Err(TargetError::LeaseHeld { location: format!("{} ({holder})", self.place.location()) }),
            None => Ok(()),
        }
    }

    /// One fenced write of pages. Several may run at once.
    fn write(
        &self,
        operation: &'static str,
        range: PageRange,
        fence: Fence,
        write: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), TargetError> {
        let held = self.held();
        let held = self.check_lease(operation, held.as_ref(), fence.lease)?;
        if held.record.sequence != fence.sequence {
            let reason = format!("the sequence number is {}, not {}", held.record.sequence, fence.sequence);
            return Err(self.place.fenced(operation, reason));
        }
        self.check_inside(operation, &range.extent().range(), held.len)?;
        write(&held.replica).map_err(io_error(operation, &self.place.replica))
    }

    /// One change of the record under the lease, alone. What is stored and what is held stay the same.
    fn change(
        &self,
        operation: &'static str,
        lease: LeaseId,
        change: impl FnOnce(&mut Held, &mut TargetRecord) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        let mut held = self.held_mut();
        let held = self.check_lease(operation, held.as_mut(), lease)?;
        let mut record = held.record.clone();
        change(held, &mut record)?;
        record.store(&self.place, operation)?;
        held.record = record;
        Ok(())
    }

    fn held(&self) -> RwLockReadGuard<'_, Option<Held>> {
        // Nothing is left half-changed by a panic: memory changes after the file, in one assignment.
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, Option<Held>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_lease<H: std::borrow::Borrow<Held>>(
        &self,
        operation: &'static str,
        held: Option<H>,
        lease: LeaseId,
    ) -> Result<H, TargetError> {
        match held {
            Some(held) if held.borrow().lease == lease => Ok(held),
            Some(_) => Err(self.place.fenced(operation, format!("the lease is not {lease}"))),
            None => Err(self.place.fenced(operation, "this handle does not hold the lease")),
        }
    }

    fn check_etag(&self, operation: &'static str, record: &TargetRecord, expected: &ETag) -> Result<(), TargetError> {
        let current = record.etag();
        if current == *expected {
            return Ok(());
        }
        let reason = format!("its etag is {}, not {}", current.0, expected.0);
        Err(TargetError::Changed { operation, location: self.place.location(), reason })
    }

    fn open_view(&self, view: &View, operation: &'static str) -> Result<File, TargetError> {
        let View::Snapshot(id) = view else {
            return durable_file::if_there(File::open(&self.place.replica))
                .map_err(io_error(operation, &self.place.replica))?
                .ok_or_else(|| self.place.not_found(operation, "no replica was created here"));
        };
        snapshot_store::open(&self.place, id, operation)
    }

    fn len_of(&self, file: &File, operation: &'static str) -> Result<u64, TargetError> {
        file.metadata().map(|metadata| metadata.len()).map_err(io_error(operation, &self.place.replica))
    }

    pub(super) fn check_len(&self, operation: &'static str, len: u64) -> Result<(), TargetError> {
        if len.is_multiple_of(PAGE) {
            return Ok(());
        }
        Err(self.place.out_of_range(operation, format!("a length of {len}"), format!("a multiple of {PAGE}")))
    }

    fn check_inside(&self, operation: &'static str, range: &Range<u64>, len: u64) -> Result<(), TargetError> {
        if range.end <= len {
            return Ok(());
        }
        let range = format!("{}..{}", range.start, range.end);
        Err(self.place.out_of_range(operation, range, format!("the length is {len}")))
    }
}
