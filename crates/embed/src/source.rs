//! Disks to replicate: opened here, served by the embedding language, or pushed by it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::source::nbd::{self, NbdError, NbdOptions, Tls};
use libmigrate::source::{Gate, ImageFile, OpenOptions, SourceError, SourceExtent, SourceLimits, qcow2};
use libmigrate::{DiskSource, PushedDisk, ReplicateError};

use crate::failure::{CallError, Failure};
use crate::served::{Asker, Server, queue};
use crate::settings::{self, DiskSettings, ImageSettings, NbdSettings, SourceSettings};

/// A disk. Clones are the same disk.
#[derive(Clone)]
pub struct Source {
    disk: Arc<dyn DiskSource>,
    /// What a dirty bitmap of the source names.
    dirty: Option<ExtentSet>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("size_bytes", &self.disk.size_bytes()).finish_non_exhaustive()
    }
}

/// A read of a disk that the embedding language serves: these bytes, all of them.
pub type ReadRequest = crate::served::Request<Read, Vec<u8>>;

/// What is to be read, and where to.
pub struct Read {
    extent: Extent,
    memory: Vec<u8>,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("extent", &self.extent).finish_non_exhaustive()
    }
}

impl ReadRequest {
    /// The bytes that are wanted.
    pub const fn extent(&self) -> Extent {
        self.question().extent
    }

    /// Memory of the engine's for the answer, as long as what is wanted, with whatever was in it before. It is taken
    /// once; an answer in memory of the answerer's own is as good, and costs a copy or an allocation more.
    pub fn take_memory(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.question_mut().memory)
    }
}

impl Source {
    /// A disk whose bytes are pushed ([`Cycle::push`](crate::Cycle::push)): a JSON object with `size_bytes`,
    /// `identity` (which disk, if known), `point` (which moment of it: an interrupted cycle goes on only at the
    /// same one) and `zero` (a list of `{"offset", "len"}` that are known to read as zero).
    pub fn pushed(settings: &str) -> Result<Self, Failure> {
        let disk = disk_of(settings)?;
        Ok(Self { disk: Arc::new(disk), dirty: None })
    }

    /// A disk whose reads the embedding language answers, from the returned queue, with exactly as many bytes as
    /// were asked for. The settings are those of [`pushed`](Self::pushed), and `max_in_flight`: how many reads it
    /// takes at once (4).
    pub fn served(settings: &str) -> Result<(Self, Server<Read, Vec<u8>>), Failure> {
        let disk = disk_of(settings)?;
        let settings: DiskSettings = settings::parse("source", settings)?;
        let (asker, server) = queue();
        let limits = SourceLimits { max_in_flight: settings.max_in_flight.get(), ..SourceLimits::default() };
        Ok((Self { disk: Arc::new(Served { disk, asker, limits }), dirty: None }, server))
    }

    /// Size of the disk in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    /// Which disk it is, if it can tell.
    pub fn identity(&self) -> Option<String> {
        self.disk.identity()
    }

    /// Which moment of the disk it is; none if it may change underneath.
    pub fn point(&self) -> Option<String> {
        self.disk.point()
    }

    /// What its reader worked around, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.disk.notes()
    }

    pub(crate) fn disk(&self) -> &Arc<dyn DiskSource> {
        &self.disk
    }

    pub(crate) fn dirty(&self) -> Option<&ExtentSet> {
        self.dirty.as_ref()
    }
}

fn disk_of(settings: &str) -> Result<PushedDisk, Failure> {
    let settings: DiskSettings = settings::parse("source", settings)?;
    if settings.size_bytes == 0 {
        return Err(CallError::argument("size_bytes", "a disk has at least one byte").into());
    }
    let beyond = settings.zero.iter().find(|extent| extent.end() > settings.size_bytes);
    if let Some(extent) = beyond {
        let problem = format!("the extent at {} ends past the disk of {} bytes", extent.offset(), settings.size_bytes);
        return Err(CallError::argument("zero", problem).into());
    }
    Ok(PushedDisk {
        size_bytes: settings.size_bytes,
        identity: settings.identity,
        point: settings.point,
        zero: settings.zero.into_iter().collect(),
    })
}

/// A disk whose reads are answered elsewhere.
struct Served {
    disk: PushedDisk,
    asker: Asker<Read, Vec<u8>>,
    limits: SourceLimits,
}

impl DiskSource for Served {
    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes
    }

    fn identity(&self) -> Option<String> {
        self.disk.identity()
    }

    fn point(&self) -> Option<String> {
        self.disk.point()
    }

    fn limits(&self) -> SourceLimits {
        self.limits
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        self.disk.extents(range, max)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let bytes = self.read_into(offset, vec![0; buf.len()])?;
        if bytes.len() != buf.len() {
            let (len, problem) = (buf.len() as u64, format!("it gave {} bytes", bytes.len()));
            return Err(SourceError::Custom { offset, len, problem });
        }
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    /// The answer, of whatever length: who asked looks.
    fn read_into(&self, offset: u64, memory: Vec<u8>) -> Result<Vec<u8>, SourceError> {
        let len = memory.len() as u64;
        let Some(extent) = Extent::new(offset, len) else { return Ok(memory) };
        self.asker.ask_blocking(Read { extent, memory }).map_err(|problem| SourceError::Custom { offset, len, problem })
    }
}

/// Opens what `settings` names.
pub(crate) async fn open(settings: SourceSettings) -> Result<Source, Failure> {
    match settings {
        SourceSettings::Image(image) => {
            let opened = tokio::task::spawn_blocking(move || open_image(&image)).await;
            opened.map_err(|e| ReplicateError::Internal { problem: format!("opening the image ended early: {e}") })?
        }
        SourceSettings::Nbd(nbd) => open_nbd(nbd).await,
    }
}

fn open_image(settings: &ImageSettings) -> Result<Source, Failure> {
    let gate = settings.allow.iter().fold(Gate::same_folder(), Gate::allow);
    let mut options = OpenOptions::new().format(settings.format.into()).gate(gate);
    if let Some(member) = &settings.member {
        options = options.member(member);
    }
    if let Some(snapshot) = &settings.snapshot {
        options = options.snapshot(snapshot);
    }
    if let Some(moment) = &settings.frozen_as {
        options = options.frozen_as(moment);
    }
    if settings.may_change {
        options = options.may_change();
    }
    let disk = options.open(&settings.path)?;
    let dirty = match &settings.bitmap {
        None => None,
        Some(bitmap) => Some(qcow2::dirty(&ImageFile::open(&settings.path)?, bitmap)?),
    };
    Ok(Source { disk, dirty })
}

async fn open_nbd(settings: NbdSettings) -> Result<Source, Failure> {
    let failed = |error: NbdError| Failure::from(SourceError::from(error));
    let tls = match &settings.ca_file {
        None => None,
        Some(path) => Some(Tls::trusting(&read_file("ca_file", path)?).map_err(failed)?),
    };
    let defaults = NbdOptions::default();
    let options = NbdOptions {
        tls,
        bitmaps: settings.bitmap.iter().cloned().collect(),
        point: settings.frozen_as,
        identity: settings.identity,
        max_read_bytes: settings.max_read_bytes.unwrap_or(defaults.max_read_bytes),
        ..defaults
    };
    let (disk, connection) = nbd::connect(&settings.nbd.parse().map_err(failed)?, &options).await.map_err(failed)?;
    // Ends with the source; whoever reads is told how.
    tokio::spawn(connection.run());
    let dirty = match &settings.bitmap {
        None => None,
        Some(bitmap) => Some(disk.dirty(bitmap).await.map_err(failed)?),
    };
    Ok(Source { disk: Arc::new(disk), dirty })
}

/// The bytes of a file that a setting names.
pub(crate) fn read_file(setting: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| CallError::argument(setting, format!("cannot read {}: {e}", path.display())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_disk_is_checked() {
        let refused = |settings| Source::pushed(settings).unwrap_err();
        assert_eq!(Source::pushed(r#"{"size_bytes": 4096}"#).unwrap().size_bytes(), 4096);
        assert_eq!(refused(r#"{"size_bytes": 0}"#).code, "call.argument");
        assert_eq!(refused(r#"{"size_bytes": -1}"#).code, "call.argument");
        assert_eq!(refused(r#"{"size_bytes": 1, "sise": 2}"#).code, "call.argument");
        let beyond = r#"{"size_bytes": 4096, "zero": [{"offset": 4000, "len": 97}]}"#;
        assert!(refused(beyond).message.contains("zero"));
    }

    #[test]
    fn a_served_disk_reads_what_it_is_answered_and_refuses_another_length() {
        let (source, server) = Source::served(r#"{"size_bytes": 8192, "point": "p"}"#).unwrap();
        let serving = std::thread::spawn(move || {
            for len in [4096, 4095] {
                server.next(None).unwrap().unwrap().answer(vec![5; len]);
            }
            server.next(None).unwrap().unwrap().fail("the snapshot is gone");
        });
        let mut buf = vec![0; 4096];
        source.disk().read_at(0, &mut buf).unwrap();
        assert_eq!(buf, vec![5; 4096]);
        let short = source.disk().read_at(4096, &mut buf).unwrap_err().to_string();
        assert!(short.contains("offset 4096") && short.contains("4095 bytes"), "{short}");
        let failed = source.disk().read_at(0, &mut buf).unwrap_err().to_string();
        assert!(failed.contains("the snapshot is gone"), "{failed}");
        serving.join().unwrap();
    }
}
