//! The source on the command line: the disk, what is known of it, and what changed in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use libmigrate::extent::ExtentSet;
use libmigrate::source::nbd::{self, NbdError, NbdOptions, Tls};
use libmigrate::source::{ChangeId, ChangeList, Format, Gate, ImageFile, OpenOptions, SourceError, qcow2};
use libmigrate::{Consistency, CycleRequest, DiskSource, Error};

/// What to read, and what is known of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceOptions {
    /// Disk image, block device or NBD URI to read.
    #[arg(long, value_name = "PATH-or-URI", requires = "target")]
    pub(crate) source: Option<String>,
    /// Format of the image [default: by content].
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Folder or file that the image may name as its parent or extent, besides those of its own folder; may
    /// be given several times.
    #[arg(long, value_name = "PATH")]
    allow: Vec<PathBuf>,
    /// Which disk of an OVA.
    #[arg(long, value_name = "NAME")]
    disk: Option<String>,
    /// Which internal snapshot of a qcow2 image.
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
    /// Certificates of the authorities that an NBD server's is held against, in PEM; demands TLS.
    #[arg(long, value_name = "FILE")]
    nbd_authorities: Option<PathBuf>,
    /// The source does not change while it is read; the name of that moment, such as a snapshot's id.
    #[arg(long, value_name = "MOMENT", conflicts_with = "moving_source")]
    frozen_as: Option<String>,
    /// The source may change while it is read; the recovery point is marked as not crash-consistent.
    #[arg(long)]
    moving_source: bool,
    /// What changed, as the hypervisor says.
    #[arg(long, value_name = "FILE")]
    changes: Option<PathBuf>,
    /// Shape of that file.
    #[arg(long, value_enum, default_value = "json", requires = "changes")]
    changes_format: ListFormat,
    /// Dirty bitmap of a qcow2 image or an NBD export that says what changed.
    #[arg(long, value_name = "NAME", conflicts_with = "changes")]
    bitmap: Option<String>,
    /// The change id that the list or bitmap starts at, for those that do not say it.
    #[arg(long, value_name = "ID")]
    changes_base: Option<String>,
    /// The hypervisor's id of the source's moment, kept for the next change list to start from.
    #[arg(long, value_name = "ID")]
    change_id: Option<String>,
}

/// Formats by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Raw,
    Vhd,
    Vhdx,
    Vmdk,
    Ova,
    Qcow2,
}

/// Shapes of change lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// {"base": …, "end": …, "extents": [{"offset": …, "len": …}]}.
    Json,
    /// Lines of offset,length.
    Csv,
    /// Answers of `QueryChangedDiskAreas`.
    Vmware,
    /// Answers of `QueryChangesVirtualDisk` or `GetVirtualDiskChanges`.
    HyperV,
    /// What `nbdinfo --map=qemu:dirty-bitmap:NAME --json` prints.
    Qemu,
}

impl SourceOptions {
    /// Opens the source, says what its reader worked around, and gathers what the cycle is told of it.
    pub(crate) async fn open(&self, source: &str) -> anyhow::Result<(Arc<dyn DiskSource>, CycleRequest)> {
        let (disk, changes) = if source.starts_with("nbd") && source.contains("://") {
            self.open_nbd(source).await?
        } else {
            self.open_image(source)?
        };
        disk.notes().iter().for_each(|note| eprintln!("note: {note}"));
        let changes = match &self.changes {
            Some(path) => Some(self.read_changes(path)?),
            None => changes,
        };
        let request = CycleRequest {
            changes,
            change_id: self.change_id.clone().map(ChangeId::new),
            consistency: if self.moving_source { Consistency::Moving } else { Consistency::PointInTime },
            ..CycleRequest::default()
        };
        Ok((disk, request))
    }

    fn open_image(&self, path: &str) -> anyhow::Result<(Arc<dyn DiskSource>, Option<ChangeList>)> {
        let format = match self.format {
            None => Format::Detect,
            Some(FormatName::Raw) => Format::Raw,
            Some(FormatName::Vhd) => Format::Vhd,
            Some(FormatName::Vhdx) => Format::Vhdx,
            Some(FormatName::Vmdk) => Format::Vmdk,
            Some(FormatName::Ova) => Format::Ova,
            Some(FormatName::Qcow2) => Format::Qcow2,
        };
        let gate = self.allow.iter().fold(Gate::same_folder(), Gate::allow);
        let mut options = OpenOptions::new().format(format).gate(gate);
        if let Some(disk) = &self.disk {
            options = options.member(disk);
        }
        if let Some(snapshot) = &self.snapshot {
            options = options.snapshot(snapshot);
        }
        if let Some(moment) = &self.frozen_as {
            options = options.frozen_as(moment);
        }
        if self.moving_source {
            options = options.may_change();
        }
        let disk = options.open(path).map_err(Error::from)?;
        let changes = match &self.bitmap {
            None => None,
            Some(bitmap) => {
                let file = ImageFile::open(path).map_err(Error::from)?;
                Some(self.list_of(qcow2::dirty(&file, bitmap).map_err(Error::from)?)?)
            }
        };
        Ok((disk, changes))
    }

    async fn open_nbd(&self, uri: &str) -> anyhow::Result<(Arc<dyn DiskSource>, Option<ChangeList>)> {
        let failed = |error: NbdError| Error::from(SourceError::from(error));
        let tls = match &self.nbd_authorities {
            None => None,
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(Tls::trusting(&pem).map_err(failed)?)
            }
        };
        let bitmaps = self.bitmap.iter().cloned().collect();
        let options = NbdOptions { tls, bitmaps, point: self.frozen_as.clone(), ..NbdOptions::default() };
        let (disk, connection) = nbd::connect(&uri.parse().map_err(failed)?, &options).await.map_err(failed)?;
        // Ends with the source; whoever reads is told how.
        tokio::spawn(connection.run());
        let changes = match &self.bitmap {
            None => None,
            Some(bitmap) => Some(self.list_of(disk.dirty(bitmap).await.map_err(failed)?)?),
        };
        Ok((Arc::new(disk), changes))
    }

    /// The change list that a bitmap is.
    fn list_of(&self, dirty: ExtentSet) -> anyhow::Result<ChangeList> {
        let (base, end) = self.change_ids()?;
        Ok(ChangeList::of(base, end, dirty))
    }

    fn read_changes(&self, path: &Path) -> anyhow::Result<ChangeList> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // Only plain JSON says its ids itself.
        let ids = || self.change_ids();
        let list = match self.changes_format {
            ListFormat::Json => ChangeList::from_json(&text),
            ListFormat::Csv => ids().map(|(base, end)| ChangeList::from_csv(base, end, u64::MAX, &text))?,
            ListFormat::Vmware => ids().map(|(base, end)| ChangeList::from_vmware(base, end, &text))?,
            ListFormat::HyperV => ids().map(|(base, end)| ChangeList::from_hyper_v(base, end, &text))?,
            ListFormat::Qemu => ids().map(|(base, end)| ChangeList::from_qemu_bitmap(base, end, &text))?,
        };
        list.map_err(Error::from).with_context(|| format!("in {}", path.display()))
    }

    fn change_ids(&self) -> anyhow::Result<(ChangeId, ChangeId)> {
        match (&self.changes_base, &self.change_id) {
            (Some(base), Some(end)) => Ok((ChangeId::new(base), ChangeId::new(end))),
            _ => bail!("such a list does not say its change ids: give --changes-base and --change-id"),
        }
    }
}
