//! Immutable copies of the replica's file.
//!
//! A snapshot's bytes come under their final name before its metadata does, and only what has metadata is
//! listed, so a crash leaves no half snapshot; its leftovers are removed when the next one is taken.
//!
//! Cost: constant where the file system shares blocks (XFS, btrfs); elsewhere every byte of data is copied
//! once, and the copy takes that much room.

use std::fs::{self, File};
use std::io;

use super::{Shared, files, pages};
use crate::target::{LeaseId, Metadata, Snapshot, SnapshotId, TargetError};

/// No metadata of ours is longer.
const MAX_METADATA_BYTES: u64 = 1 << 20;

impl Shared {
    pub(super) fn snapshot(&self, metadata: &Metadata, lease: LeaseId) -> Result<SnapshotId, TargetError> {
        self.check_lease("snapshot", lease)?;
        let io = |e| self.io("snapshot")(e);
        let folder = self.folder.join("snapshots");
        fs::create_dir_all(&folder).map_err(io)?;
        let names = files::names(&folder).map_err(io)?;
        for name in names.iter().filter(|name| name.strip_suffix(".json").is_none()) {
            let stem = name.strip_suffix(".vhd").unwrap_or_default();
            if !names.contains(&format!("{stem}.json")) {
                files::remove(&folder.join(name)).map_err(io)?;
            }
        }
        // Numbers, not times: they grow whatever the clock does, and sort as text.
        let newest = names.iter().filter_map(|name| name.split('.').next()?.parse::<u64>().ok()).max();
        let id = SnapshotId(format!("{:020}", newest.unwrap_or(0) + 1));
        let path = folder.join(format!("{id}.vhd"));
        let copy = File::options().write(true).create_new(true).open(&path).map_err(io)?;
        copy_sparse(&*self.file("snapshot")?, &copy).and_then(|()| copy.sync_all()).map_err(io)?;
        let json = serde_json::to_vec(metadata).expect("metadata is text");
        files::replace(&folder.join(format!("{id}.json")), &json).map_err(io)?;
        Ok(id)
    }

    pub(super) fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        let folder = self.folder.join("snapshots");
        let names = files::names(&folder).map_err(self.io("list snapshots"))?;
        let ids = names.iter().filter_map(|name| name.strip_suffix(".json"));
        ids.map(|id| {
            let path = folder.join(format!("{id}.json"));
            let bytes = files::read_bounded(&path, MAX_METADATA_BYTES).map_err(self.io("list snapshots"))?;
            let metadata = serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|e| TargetError::Unusable {
                location: self.location(),
                problem: format!("{}: {e}", path.display()),
            })?;
            Ok(Snapshot { id: SnapshotId(id.to_owned()), metadata })
        })
        .collect()
    }

    pub(super) fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        let io = |e| self.io("delete snapshot")(e);
        let folder = self.folder.join("snapshots");
        let id = self.checked(id, "delete snapshot")?;
        // The metadata first: what is left then is not listed.
        files::remove(&folder.join(format!("{id}.json"))).map_err(io)?;
        files::remove(&folder.join(format!("{id}.vhd"))).map_err(io)?;
        files::sync_folder_of(&folder.join("x")).map_err(io)
    }

    pub(super) fn open_snapshot(&self, id: &SnapshotId, operation: &'static str) -> Result<File, TargetError> {
        let id = self.checked(id, operation)?;
        match File::open(self.folder.join("snapshots").join(format!("{id}.vhd"))) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(TargetError::NotFound { operation, location: self.location(), reason: format!("no snapshot {id}") })
            }
            file => file.map_err(self.io(operation)),
        }
    }

    /// An id is digits, never a path.
    fn checked<'a>(&self, id: &'a SnapshotId, operation: &'static str) -> Result<&'a str, TargetError> {
        if id.0.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(&id.0);
        }
        let reason = format!("{:?} is no snapshot's id", id.0);
        Err(TargetError::NotFound { operation, location: self.location(), reason })
    }
}

fn copy_sparse(from: &File, to: &File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let len = from.metadata()?.len();
    to.set_len(len)?;
    for extent in pages::data_extents(from, 0..len)? {
        let (mut from_at, mut to_at) = (extent.offset(), extent.offset());
        while from_at < extent.end() {
            let left = (extent.end() - from_at) as usize;
            let copied = rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), left)?;
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(())
}
