//! A recovery point's digest tree as one file, so that others can check a disk without us.
//!
//! The format is the guide's page "The proof of a recovery point", to the byte; `docs/check_proof.py` reads it. It
//! is written in one pass, a few parts of the map in memory, under an unfinished name: the file is whole or not
//! there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::rebuild;
use super::replica::{Replica, blocking};
use super::target_record::RecoveryPoint;
use super::verify::Subject;
use crate::digest::sealed::Hash;
use crate::target::local::durable_file::{self, UNFINISHED};

/// What every proof starts with; the number is the format's.
const MAGIC: &[u8] = b"libmigrate-proof 1\n";

/// Parts that are fetched at once: 6 MiB at the most.
const PARTS_AT_ONCE: usize = 4;

/// The second line.
#[derive(Serialize)]
struct Header<'a> {
    manifest_bytes: usize,
    recovery_point: &'a RecoveryPoint,
}

impl Replica {
    /// Writes the proof of a recovery point to the file `path`, replacing what is there: whole or not at all, and
    /// durably. For [`Subject::Live`] it is the newest one's, and fails with `replica.unsealed` where the target
    /// may differ from that.
    ///
    /// Only the digest map is read, not the disk: 16 bytes a block with data. Its root and parts are checked on the
    /// way, so a damaged map is `recovery_point.map`. Cancelling returns within a second and leaves no half of a file.
    pub async fn export_proof(
        &self,
        subject: Subject,
        path: &Path,
        cancel: &CancellationToken,
    ) -> Result<RecoveryPoint, Error> {
        self.shared.while_ours(cancel, Box::pin(self.write_proof(subject, path, cancel))).await
    }

    async fn write_proof(
        &self,
        subject: Subject,
        path: &Path,
        cancel: &CancellationToken,
    ) -> Result<RecoveryPoint, Error> {
        let chosen = self.choose(subject, cancel).await?;
        let (shared, point) = (&self.shared, &chosen.located.point);
        let manifest = chosen.manifest(shared, cancel).await?;
        let manifest_bytes = manifest.to_bytes();
        if Hash::of(&manifest_bytes).to_string() != point.root {
            return Err(shared.sealed_map_error(point.cycle, "its manifest is not written as ours are".into()).into());
        }
        let header = Header { manifest_bytes: manifest_bytes.len(), recovery_point: point };
        let header = serde_json::to_vec(&header).expect("a header has only strings, numbers and lists");

        let file = ProofFile::create(path.to_path_buf()).await?;
        file.write([MAGIC, &header, b"\n", &manifest_bytes].concat().into()).await?;
        let mut parts = futures::stream::iter(0..manifest.parts().len() as u64)
            .map(|part| rebuild::part_bytes(shared, &manifest, part, point.cycle, cancel))
            .buffered(PARTS_AT_ONCE);
        while let Some(part) = parts.try_next().await? {
            let len = u32::try_from(part.len()).expect("a part has a limit").to_le_bytes();
            file.write([&len, &*part].concat().into()).await?;
        }
        drop(parts);
        file.finish().await?;
        Ok(chosen.located.point)
    }
}

/// A file that is not under its name yet; dropped before it is, it goes away.
struct ProofFile {
    file: Arc<File>,
    unfinished: Unfinished,
    path: PathBuf,
}

/// The name of a file that is removed unless it has got another.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Best effort; after the rename there is nothing of that name.
        let _ = fs::remove_file(&self.0);
    }
}

impl ProofFile {
    async fn create(path: PathBuf) -> Result<Self, Error> {
        on_file(path.clone(), move || {
            // A bare name has no folder to sync.
            let path = std::path::absolute(path)?;
            let mut unfinished = path.clone().into_os_string();
            unfinished.push(format!(".{:016x}{UNFINISHED}", fastrand::u64(..)));
            let file = durable_file::create_new(Path::new(&unfinished))?;
            Ok(Self { file: Arc::new(file), unfinished: Unfinished(unfinished.into()), path })
        })
        .await
    }

    async fn write(&self, bytes: Bytes) -> Result<(), Error> {
        let file = Arc::clone(&self.file);
        on_file(self.path.clone(), move || (&*file).write_all(&bytes)).await
    }

    async fn finish(self) -> Result<(), Error> {
        on_file(self.path.clone(), move || {
            self.file.sync_all()?;
            fs::rename(&self.unfinished.0, &self.path)?;
            durable_file::sync_folder_of(&self.path)
        })
        .await
    }
}

/// Runs blocking work on the proof of that path.
async fn on_file<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    blocking(move || work().map_err(|source| ReplicateError::WriteProof { path, source })).await
}
