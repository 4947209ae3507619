//! qcow2 images, versions 2 and 3: QEMU's own format.
//!
//! Read are standard, zero and compressed clusters (deflate and zstd), extended L2 entries, external data
//! files, backing files, internal snapshots and persistent dirty bitmaps. Source: QEMU,
//! `docs/interop/qcow2.rst` (as of 10.0).
//!
//! qcow2 does not say which disk its backing file is: there is a name and nothing to hold what is found
//! against. So the name is tried as it is stated, and nowhere else. It should also state the backing file's
//! format; where it does not, a backing file that is not raw must say its format by its own name, because
//! what a raw disk looks like is the guest's choice.

mod bitmap;
mod cluster_table;
mod compressed;
mod header;
mod snapshot;

use std::sync::Arc;

pub use bitmap::Bitmap;
use cluster_table::{ClusterTable, L1};
use header::Header;

use super::chain::Chain;
use super::layered::Layered;
use super::open::{Format, detect, open_as};
use super::{DiskSource, ImageFile, SourceError};
use crate::byte_order::{be16, be32, be64};
use crate::extent::ExtentSet;

const FORMAT: &str = "qcow2";

/// Whether the file starts as a qcow2 image does, of whatever version.
pub(super) fn probe(file: &Arc<dyn DiskSource>) -> Result<bool, SourceError> {
    let mut magic = [0; 4];
    if file.size_bytes() < 4 {
        return Ok(false);
    }
    file.read_at(0, &mut magic)?;
    Ok(&magic == header::MAGIC)
}

/// The dirty bitmaps of the image in `file`.
pub fn bitmaps(file: &ImageFile) -> Result<Vec<Bitmap>, SourceError> {
    bitmap::all(file, &Header::read(file)?)
}

/// What is dirty in a bitmap of the image in `file`: what was written to since the bitmap was made, discards
/// included, in bytes. [`ChangeList::of`](super::ChangeList::of) makes a change list of it.
///
/// A bitmap that is inconsistent is [`SourceError::Bitmap`], never "clean".
pub fn dirty(file: &ImageFile, bitmap: &str) -> Result<ExtentSet, SourceError> {
    bitmap::dirty(file, &Header::read(file)?, bitmap)
}

/// Opens the image in `file` with its backing files, now or at an internal snapshot.
pub(super) fn open(
    file: ImageFile,
    snapshot: Option<&str>,
    chain: &mut Chain<'_>,
) -> Result<Arc<dyn DiskSource>, SourceError> {
    let header = Header::read(&file)?;
    let l1 = match snapshot {
        None => L1 { offset: header.l1_offset, entries: header.l1_entries, disk_bytes: header.disk_bytes },
        Some(wanted) => snapshot::find(&file, &header, wanted)?,
    };
    let data_file = match &header.data_file {
        None => None,
        Some(name) => Some(chain.extent(&file, plain_name(&file, name)?)?),
    };
    let backing = match &header.backing_file {
        None => None,
        Some(name) => Some(open_backing(&file, name, header.backing_format.as_deref(), chain)?),
    };
    let mut notes = Vec::new();
    if header.was_in_use {
        let path = file.path().display();
        notes.push(format!(
            "{path}: it was not closed properly; its reference counts may be off, which reading does not use"
        ));
    }
    let table = ClusterTable::read(file, &header, l1, data_file.as_ref())?;
    Ok(Arc::new(Layered::new(table, backing, None).with_notes(notes)))
}

fn open_backing(
    file: &ImageFile,
    name: &str,
    format: Option<&str>,
    chain: &mut Chain<'_>,
) -> Result<Arc<dyn DiskSource>, SourceError> {
    let stated = plain_name(file, name)?;
    let unsupported = |feature: String| SourceError::Unsupported { path: file.path().to_path_buf(), feature };
    let backing = chain.parent(file, &[stated.to_owned()], Ok)?;
    let format = match format {
        Some("raw" | "file" | "host_device") => Format::Raw,
        Some("qcow2") => Format::Qcow2,
        Some("vpc") => Format::Vhd,
        Some("vhdx") => Format::Vhdx,
        Some("vmdk") => Format::Vmdk,
        Some(other) => return Err(unsupported(format!("a backing file of the format {other:?}"))),
        None => match detect(&backing)? {
            Format::Raw => Format::Raw,
            found if found.is_named_by(backing.path()) => found,
            found => {
                let name = backing.path().display();
                return Err(unsupported(format!(
                    "the backing file {name} without saying that it is {found:?}, which its content and not its name suggests (state it: qemu-img rebase -u -F)"
                )));
            }
        },
    };
    open_as(format, backing, chain)
}

/// A name that is a path and nothing that QEMU would take for a protocol (`json:`, `nbd:`, `ssh:`).
fn plain_name<'a>(file: &ImageFile, name: &'a str) -> Result<&'a str, SourceError> {
    let first = name.split('/').next().unwrap_or_default();
    if name.is_empty() || first.contains(':') {
        let named = super::gate::shortened(name);
        return Err(SourceError::NotAllowed { path: file.path().to_path_buf(), named });
    }
    Ok(name)
}

fn damaged(file: &ImageFile, structure: &'static str, offset: u64, problem: String) -> SourceError {
    SourceError::Damaged { path: file.path().to_path_buf(), format: FORMAT, structure, offset, problem }
}
