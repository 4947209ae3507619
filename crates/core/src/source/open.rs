//! Opening an image: which format it is, and which further files it may bring.

use std::path::Path;
use std::sync::Arc;

use super::chain::Chain;
use super::gate::{Gate, ImageFile};
use super::raw::Moment;
use super::{DiskSource, RawSource, SourceError, foreign, ova, qcow2, vhd, vhdx, vmdk};

/// Which reader opens an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// By content; what no format's mark is found in is raw.
    #[default]
    Detect,
    /// The bytes as they are, whatever they look like.
    Raw,
    /// VHD: fixed, dynamic or differencing (`.vhd`, `.avhd`).
    Vhd,
    /// VHDX: fixed, dynamic or differencing (`.vhdx`, `.avhdx`).
    Vhdx,
    /// qcow2, versions 2 and 3 (`.qcow2`). [`OpenOptions::snapshot`] chooses an earlier state.
    Qcow2,
    /// VMDK: flat, sparse, split, stream-optimized, and snapshots of VMFS (`.vmdk`).
    Vmdk,
    /// A machine in a tar file, as OVF describes it (`.ova`); its disks are VMDKs. [`OpenOptions::member`]
    /// chooses one.
    Ova,
}

impl Format {
    /// What files of this format are called.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Detect | Self::Raw => &[],
            Self::Vhd => &["vhd", "avhd", "vhdpmem"],
            Self::Vhdx => &["vhdx", "avhdx"],
            Self::Qcow2 => &["qcow2", "qcow"],
            Self::Vmdk => &["vmdk"],
            Self::Ova => &["ova"],
        }
    }

    /// Whether the file's name says this format too. A guest writes its disk's content; it does not name
    /// the file.
    pub(super) fn is_named_by(self, path: &Path) -> bool {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|is| self.extensions().iter().any(|ours| ours.eq_ignore_ascii_case(is)))
    }
}

/// Opens the image file or block device at `path` read-only, with [`OpenOptions`] as they are by default.
///
/// ```
/// use libmigrate::source::{self, Format};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let image = tempfile::NamedTempFile::new()?;
/// # image.as_file().set_len(3 << 20)?;
/// let disk = source::open(image.path(), Format::Detect)?;
/// assert_eq!(disk.size_bytes(), 3 << 20);
/// # Ok(())
/// # }
/// ```
pub fn open(path: impl AsRef<Path>, format: Format) -> Result<Arc<dyn DiskSource>, SourceError> {
    OpenOptions::new().format(format).open(path)
}

/// How to open an image.
///
/// With [`Format::Detect`], the content decides, and the content is the guest's: whoever can write the
/// disk's first or last sector can make it look like any format. So an image that was only recognised by
/// content gets no further file (parent, backing file, extent) opened out of its folder, unless its name
/// says the same format (`.vhd` for a VHD) or the caller allows the file ([`Gate::allow`]). Name the format
/// where it is known.
///
/// An image in a format that is not read here fails with [`SourceError::Unsupported`] rather than be
/// replicated as if it were a disk; [`Format::Raw`] forces that.
///
/// ```no_run
/// use libmigrate::source::{Format, Gate, OpenOptions};
///
/// # fn main() -> Result<(), libmigrate::source::SourceError> {
/// let disk = OpenOptions::new()
///     .format(Format::Vhd)
///     .gate(Gate::same_folder().allow("/srv/templates"))
///     .open("/srv/vm/web01.avhd")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    format: Format,
    gate: Gate,
    moment: Moment,
    member: Option<String>,
    snapshot: Option<String>,
}

impl OpenOptions {
    /// By content, with further files from the image's own folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which format the image has.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Which further files the image may bring.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// The caller's word that the file or device does not change while it is open, and the name of that
    /// moment: a snapshot's id, or when the file system was frozen. Another moment needs another name, since
    /// an interrupted cycle goes on only at the same one. A device is then opened even where something on it
    /// is mounted.
    #[must_use]
    pub fn frozen_as(mut self, moment: impl Into<String>) -> Self {
        self.moment = Moment::Frozen(moment.into());
        self
    }

    /// The file or device may change while it is read. It is opened even where something on it is mounted
    /// read-write, has no [`point`](DiskSource::point), and makes recovery points that are not
    /// crash-consistent.
    #[must_use]
    pub fn may_change(mut self) -> Self {
        self.moment = Moment::Moving;
        self
    }

    /// Which disk of an archive that has several ([`Format::Ova`]), by the name it has in there. Other formats
    /// have one disk and do not ask.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>) -> Self {
        self.member = Some(name.into());
        self
    }

    /// Which internal snapshot of a qcow2 image to open, by its name or id. Other formats have none, and refuse.
    #[must_use]
    pub fn snapshot(mut self, name_or_id: impl Into<String>) -> Self {
        self.snapshot = Some(name_or_id.into());
        self
    }

    /// Opens the image file or block device at `path` read-only.
    ///
    /// A device that somebody writes to fails with [`SourceError::MountedReadWrite`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Arc<dyn DiskSource>, SourceError> {
        let path = path.as_ref();
        self.open_image(&ImageFile::new(Arc::new(RawSource::open_at(path, &self.moment)?), path))
    }

    /// Opens an image whose bytes come from anywhere: memory, another source, an NBD export.
    pub fn open_image(&self, file: &ImageFile) -> Result<Arc<dyn DiskSource>, SourceError> {
        let detected = match self.format {
            Format::Detect => detect(file)?,
            named => named,
        };
        let trusted = self.format != Format::Detect || detected.is_named_by(file.path());
        let gate = if trusted { self.gate.clone() } else { self.gate.without_folder() };
        let mut chain = Chain::new(&gate, file);
        let snapshot = self.snapshot.as_deref();
        if snapshot.is_some() && detected != Format::Qcow2 {
            let feature = format!("internal snapshots in the format {detected:?}");
            return Err(SourceError::Unsupported { path: file.path().to_path_buf(), feature });
        }
        let disk = match detected {
            Format::Qcow2 => qcow2::open(file.clone(), snapshot, &mut chain)?,
            Format::Ova => ova::open(file, self.member.as_deref(), &mut chain)?,
            other => open_as(other, file.clone(), &mut chain)?,
        };
        for note in disk.notes() {
            tracing::warn!(image = %file.path().display(), note, "source opened with a note");
        }
        Ok(disk)
    }
}

/// Opens `file` as `format`, which is not [`Format::Detect`].
pub(super) fn open_as(
    format: Format,
    file: ImageFile,
    chain: &mut Chain<'_>,
) -> Result<Arc<dyn DiskSource>, SourceError> {
    match format {
        Format::Detect | Format::Raw => Ok(Arc::clone(file.bytes())),
        Format::Vhd => vhd::open(file, chain),
        Format::Vhdx => vhdx::open(file, chain),
        Format::Qcow2 => qcow2::open(file, None, chain),
        Format::Vmdk => vmdk::open(file, chain),
        Format::Ova => ova::open(&file, None, chain),
    }
}

/// Which format the content says. Fails on a format that is known and not read.
///
/// A guest can write one format's mark into its disk in another; it does not name the file. So where there
/// are two, the name decides.
pub(super) fn detect(file: &ImageFile) -> Result<Format, SourceError> {
    let bytes = file.bytes();
    let marks = [
        (Format::Vhd, vhd::probe(bytes)?),
        (Format::Vhdx, vhdx::probe(bytes)?),
        (Format::Qcow2, qcow2::probe(bytes)?),
        (Format::Vmdk, vmdk::probe(bytes)?),
        (Format::Ova, ova::probe(bytes)),
    ];
    let found: Vec<Format> = marks.into_iter().filter_map(|(format, is_marked)| is_marked.then_some(format)).collect();
    match found.as_slice() {
        [] => {
            foreign::refuse(file)?;
            Ok(Format::Raw)
        }
        [one] => Ok(*one),
        several => {
            let named = several.iter().find(|format| format.is_named_by(file.path()));
            named.copied().ok_or_else(|| SourceError::Unsupported {
                path: file.path().to_path_buf(),
                feature: format!("the marks of several formats at once, {several:?} (name the one that it has)"),
            })
        }
    }
}
