//! OVA archives: a virtual machine as one tar file, its OVF description first, its disks after.
//!
//! Source: DMTF, DSP0243, "Open Virtualization Format Specification", version 2.1.1 (2015), section 5. The tar
//! format itself is the `tar` crate's work.
//!
//! Nothing is extracted: a member is a window on the archive, so the names in it mean nothing to the file
//! system, and a disk in it gets no further file.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use super::chain::Chain;
use super::gate::shortened;
use super::{DiskSource, ImageFile, SourceError, SourceExtent, SourceLimits, vmdk};
use crate::extent::Extent;

const FORMAT: &str = "OVA";

/// Far more than a machine's disks, description, manifest and certificate.
const MAX_MEMBERS: usize = 1024;

/// The description should come first, and there are programs that put it behind the disks.
const PROBED_MEMBERS: usize = 16;

/// What the headers of an archive may take. Only long names make them longer than 512 bytes each, and the
/// `tar` crate holds such a name in memory.
const MAX_HEADER_BYTES: u64 = 4 << 20;

const GZIP: &[u8; 2] = b"\x1f\x8b";

/// How the first piece of a disk is called that was split by `ovf:chunkSize`.
const FIRST_CHUNK: &str = ".vmdk.000000000";

/// Whether the file is a tar archive with an OVF description. A tar header has a checksum, so no disk passes
/// for one by chance.
pub(super) fn probe(file: &Arc<dyn DiskSource>) -> bool {
    let mut archive = tar::Archive::new(Cursor::new(file));
    let Ok(entries) = archive.entries_with_seek() else { return false };
    entries.take(PROBED_MEMBERS).map_while(Result::ok).any(|entry| ends_with(&name_of(&entry), ".ovf"))
}

/// Opens the disk `wanted` of the archive, or its only one.
pub(super) fn open(
    file: &ImageFile,
    wanted: Option<&str>,
    chain: &mut Chain<'_>,
) -> Result<Arc<dyn DiskSource>, SourceError> {
    let members = members(file)?;
    let disks: Vec<&Member> = members.iter().filter(|member| member.is_disk()).collect();
    let undecided = |problem: String| SourceError::Member {
        path: file.path().to_path_buf(),
        disks: disks.iter().map(|disk| shortened(&disk.name)).collect(),
        problem,
    };
    let member = match (wanted, disks.as_slice()) {
        // Of two members with one name, the later one counts, as it would after unpacking.
        (Some(wanted), _) => members.iter().rfind(|member| member.name == wanted.trim_start_matches("./")),
        (None, [only]) => Some(*only),
        (None, []) => return Err(undecided("there is no .vmdk in it".into())),
        (None, _) => return Err(undecided("one of them has to be named".into())),
    };
    let Some(member) = member else {
        return Err(undecided(format!("there is no {:?}", shortened(wanted.unwrap_or_default()))));
    };
    vmdk::open(member.open(file)?, chain)
}

/// A file in the archive.
struct Member {
    name: String,
    offset: u64,
    len: u64,
    is_sparse: bool,
}

impl Member {
    fn is_disk(&self) -> bool {
        [".vmdk", ".vmdk.gz", FIRST_CHUNK].iter().any(|ending| ends_with(&self.name, ending))
    }

    fn open(&self, file: &ImageFile) -> Result<ImageFile, SourceError> {
        let unsupported = |feature: String| SourceError::Unsupported { path: file.path().to_path_buf(), feature };
        let name = shortened(&self.name);
        if self.is_sparse {
            return Err(unsupported(format!("a sparse tar member, {name:?}")));
        }
        if ends_with(&self.name, FIRST_CHUNK) {
            let feature = format!("a disk in chunks, {name:?} (unpack the archive, join the chunks, and open that)");
            return Err(unsupported(feature));
        }
        let has = file.bytes().size_bytes();
        let Some(window) = Extent::new(self.offset, self.len).filter(|window| window.end() <= has) else {
            let problem = format!("{name:?} has {} bytes, but the file ends at {has}: the file was cut", self.len);
            return Err(damaged(file, "member", self.offset, problem));
        };
        let bytes = Window { archive: Arc::clone(file.bytes()), window };
        let mut head = [0; GZIP.len()];
        if self.len >= GZIP.len() as u64 {
            bytes.read_at(0, &mut head)?;
        }
        if head == *GZIP {
            let feature =
                format!("a gzip-compressed disk, {name:?} (unpack the archive, gunzip the disk, and open that)");
            return Err(unsupported(feature));
        }
        // The archive is not a folder, so no name leads anywhere from here; a slash must not change that.
        let path = file.path().join(name.replace(['/', '\\'], "_"));
        Ok(ImageFile::new(Arc::new(bytes), path))
    }
}

/// All files of the archive.
fn members(file: &ImageFile) -> Result<Vec<Member>, SourceError> {
    let mut archive = tar::Archive::new(Cursor::new(file.bytes()));
    let mut members = Vec::new();
    let mut at = 0;
    let wrong = |at, error: io::Error| damaged(file, "tar header", at, error.to_string());
    for entry in archive.entries_with_seek().map_err(|error| wrong(0, error))? {
        let entry = entry.map_err(|error| wrong(at, error))?;
        if members.len() == MAX_MEMBERS {
            return Err(damaged(file, "archive", 0, format!("it has more than {MAX_MEMBERS} members")));
        }
        let kind = entry.header().entry_type();
        let (offset, len) = (entry.raw_file_position(), entry.size());
        at = offset.saturating_add(len);
        if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            members.push(Member { name: name_of(&entry), offset, len, is_sparse: kind.is_gnu_sparse() });
        }
    }
    Ok(members)
}

fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> String {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    name.trim_start_matches("./").to_owned()
}

fn ends_with(name: &str, ending: &str) -> bool {
    let start = name.len().saturating_sub(ending.len());
    name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

fn damaged(file: &ImageFile, structure: &'static str, offset: u64, problem: String) -> SourceError {
    SourceError::Damaged { path: file.path().to_path_buf(), format: FORMAT, structure, offset, problem }
}

/// The archive as the `tar` crate reads it: headers only, and not without end.
struct Cursor<'a> {
    archive: &'a Arc<dyn DiskSource>,
    at: u64,
    read: u64,
}

impl<'a> Cursor<'a> {
    fn new(archive: &'a Arc<dyn DiskSource>) -> Self {
        Self { archive, at: 0, read: 0 }
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.archive.size_bytes().saturating_sub(self.at);
        let len = rest.min(buf.len() as u64);
        self.read += len;
        if self.read > MAX_HEADER_BYTES {
            return Err(io::Error::other(format!("its headers have more than {MAX_HEADER_BYTES} bytes")));
        }
        self.archive.read_at(self.at, &mut buf[..len as usize]).map_err(io::Error::other)?;
        self.at += len;
        Ok(len as usize)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.archive.size_bytes().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A member's bytes.
struct Window {
    archive: Arc<dyn DiskSource>,
    window: Extent,
}

impl DiskSource for Window {
    fn size_bytes(&self) -> u64 {
        self.window.len_bytes()
    }

    /// The archive's moment, and which member: another disk of the same archive is no moment of this one.
    fn point(&self) -> Option<String> {
        self.archive.point().map(|point| format!("{point}@{}", self.window.offset()))
    }

    fn limits(&self) -> SourceLimits {
        self.archive.limits()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let start = self.window.offset();
        let found = self.archive.extents(range.start + start..range.end + start, max)?;
        let moved = found.into_iter().filter_map(|found| {
            let range = found.extent.range();
            Some(SourceExtent { extent: Extent::from_range(range.start - start..range.end - start)?, ..found })
        });
        Ok(moved.collect())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let len = buf.len() as u64;
        let size = self.size_bytes();
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(SourceError::Short { disk: "a member of an OVA".into(), offset, len, size });
        }
        self.archive.read_at(self.window.offset() + offset, buf)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({:?})", self.window)
    }
}
