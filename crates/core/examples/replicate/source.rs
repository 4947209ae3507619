//! The source on the command line: the disk, what is known of it, and what changed in it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use libmigrate::source::{ChangeId, ChangeList, Format, Gate, OpenOptions};
use libmigrate::{Consistency, CycleRequest, DiskSource, Error};

/// What to read, and what is known of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceOptions {
    /// Disk image or block device to read.
    #[arg(long, value_name = "PATH", requires = "target")]
    pub(crate) source: Option<PathBuf>,
    /// Format of the image [default: by content].
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Folder or file that the image may name as its parent or extent, besides those of its own folder; may
    /// be given several times.
    #[arg(long, value_name = "PATH")]
    allow: Vec<PathBuf>,
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
    /// The change id that the list starts at, for shapes that do not say it.
    #[arg(long, value_name = "ID", requires = "changes")]
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
    /// Opens the source, and says what its reader worked around.
    pub(crate) fn open(&self, path: &std::path::Path) -> Result<Arc<dyn DiskSource>, Error> {
        let format = match self.format {
            None => Format::Detect,
            Some(FormatName::Raw) => Format::Raw,
            Some(FormatName::Vhd) => Format::Vhd,
        };
        let gate = self.allow.iter().fold(Gate::same_folder(), Gate::allow);
        let mut options = OpenOptions::new().format(format).gate(gate);
        if let Some(moment) = &self.frozen_as {
            options = options.frozen_as(moment);
        }
        if self.moving_source {
            options = options.may_change();
        }
        let source = options.open(path)?;
        source.notes().iter().for_each(|note| eprintln!("note: {note}"));
        Ok(source)
    }

    /// What the cycle is told of the source.
    pub(crate) fn request(&self) -> anyhow::Result<CycleRequest> {
        Ok(CycleRequest {
            changes: self.changes()?,
            change_id: self.change_id.clone().map(ChangeId::new),
            consistency: if self.moving_source { Consistency::Moving } else { Consistency::PointInTime },
            ..CycleRequest::default()
        })
    }

    fn changes(&self) -> anyhow::Result<Option<ChangeList>> {
        let Some(path) = &self.changes else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (base, end) = match (&self.changes_base, &self.change_id) {
            (Some(base), Some(end)) => (ChangeId::new(base), ChangeId::new(end)),
            _ if self.changes_format == ListFormat::Json => (ChangeId::new(""), ChangeId::new("")),
            _ => bail!("a list in this shape does not say its change ids: give --changes-base and --change-id"),
        };
        let list = match self.changes_format {
            ListFormat::Json => ChangeList::from_json(&text),
            ListFormat::Csv => ChangeList::from_csv(base, end, u64::MAX, &text),
            ListFormat::Vmware => ChangeList::from_vmware(base, end, &text),
            ListFormat::HyperV => ChangeList::from_hyper_v(base, end, &text),
            ListFormat::Qemu => ChangeList::from_qemu_bitmap(base, end, &text),
        };
        Ok(Some(list.map_err(Error::from).with_context(|| format!("in {}", path.display()))?))
    }
}
