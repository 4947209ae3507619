//! The header and its extensions.
//!
//! Source: QEMU, `docs/interop/qcow2.rst` (as of 10.0), "Header" and "Header extensions". All numbers are
//! big-endian.

use super::{be32, be64, damaged};
use crate::source::{ImageFile, SourceError};

pub(super) const MAGIC: &[u8; 4] = b"QFI\xfb";

const STRUCTURE: &str = "header";
const V2_BYTES: usize = 72;
const V3_BYTES: usize = 104;

/// As far as extensions can reach: they lie in the first cluster.
const LONGEST_HEAD: u64 = 2 << 20;

/// The longest name of a backing or data file, by the specification.
const LONGEST_NAME: usize = 1023;

const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_FEATURE_NAMES: u32 = 0x6803_f857;
const EXTENSION_BITMAPS: u32 = 0x2385_2875;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// Features without which an image cannot be read right.
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;

/// The feature that says that the bitmaps' extension was kept up to date.
const AUTOCLEAR_BITMAPS: u64 = 1;

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// Where the bitmaps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitmapDirectory {
    pub(super) bitmaps: u32,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Nobody wrote to the image without keeping them up to date.
    pub(super) is_current: bool,
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) disk_bytes: u64,
    pub(super) l1_entries: u32,
    pub(super) l1_offset: u64,
    pub(super) snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) has_extended_l2: bool,
    pub(super) compression: Compression,
    pub(super) backing_file: Option<String>,
    pub(super) backing_format: Option<String>,
    /// The external data file's name; `Some` exactly when the image has one.
    pub(super) data_file: Option<String>,
    pub(super) bitmaps: Option<BitmapDirectory>,
    pub(super) was_in_use: bool,
}

impl Header {
    /// Reads and checks the header.
    pub(super) fn read(file: &ImageFile) -> Result<Self, SourceError> {
        let wrong = |problem: String| damaged(file, STRUCTURE, 0, problem);
        let mut head = vec![0; file.bytes().size_bytes().min(V3_BYTES as u64 + 8) as usize];
        file.bytes().read_at(0, &mut head)?;
        if !head.starts_with(MAGIC) {
            return Err(wrong("it does not start with \"QFI\\xfb\"".into()));
        }
        if head.len() < V2_BYTES {
            return Err(wrong("the file is shorter than a header".into()));
        }
        let version = be32(&head, 4);
        if !(2..=3).contains(&version) {
            return Err(unsupported(file, format!("version {version} of qcow2")));
        }
        let cluster_bits = be32(&head, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(wrong(format!("clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 are allowed")));
        }
        match be32(&head, 32) {
            0 => {}
            method => {
                let method = match method {
                    1 => "AES".into(),
                    2 => "LUKS".into(),
                    other => format!("method {other}"),
                };
                return Err(SourceError::Encrypted { path: file.path().to_path_buf(), method });
            }
        }
        let disk_bytes = be64(&head, 24);
        if disk_bytes == 0 {
            return Err(SourceError::Empty { path: file.path().to_path_buf() });
        }
        let is_v3 = version == 3;
        if is_v3 && head.len() < V3_BYTES {
            return Err(wrong("the file is shorter than a header of version 3".into()));
        }
        let features = if is_v3 { be64(&head, 72) } else { 0 };
        let header_bytes = if is_v3 { be32(&head, 100) as usize } else { V2_BYTES };
        let cluster_bytes = 1u64 << cluster_bits;
        if is_v3 && (header_bytes < V3_BYTES || !header_bytes.is_multiple_of(8) || header_bytes as u64 > cluster_bytes)
        {
            return Err(wrong(format!("it states a length of {header_bytes} bytes")));
        }
        let first_cluster = cluster_bytes.min(file.bytes().size_bytes()).min(LONGEST_HEAD);
        let mut first = vec![0; first_cluster as usize];
        file.bytes().read_at(0, &mut first)?;
        let extensions = Extensions::read(file, &first, header_bytes)?;
        check_features(file, features, &extensions)?;

        let compression = match first.get(V3_BYTES).filter(|_| is_v3 && header_bytes > V3_BYTES) {
            None | Some(0) => Compression::Deflate,
            Some(1) => Compression::Zstd,
            Some(other) => return Err(unsupported(file, format!("qcow2 compression type {other}"))),
        };
        let data_file = (features & DATA_FILE != 0).then_some(extensions.data_file);
        let data_file = match data_file {
            None => None,
            Some(Some(name)) => Some(name),
            Some(None) => return Err(wrong("it says that the data are in another file, and names none".into())),
        };
        let autoclear = if is_v3 { be64(&head, 88) } else { 0 };
        Ok(Self {
            version,
            cluster_bits,
            disk_bytes,
            l1_entries: be32(&head, 36),
            l1_offset: be64(&head, 40),
            snapshots: be32(&head, 60),
            snapshots_offset: be64(&head, 64),
            has_extended_l2: features & EXTENDED_L2 != 0,
            compression,
            backing_file: backing_file(file, &first, be64(&head, 8), be32(&head, 16))?,
            backing_format: extensions.backing_format,
            data_file,
            bitmaps: extensions
                .bitmaps
                .map(|found| BitmapDirectory { is_current: autoclear & AUTOCLEAR_BITMAPS != 0, ..found }),
            was_in_use: features & DIRTY != 0,
        })
    }
}

fn check_features(file: &ImageFile, features: u64, extensions: &Extensions) -> Result<(), SourceError> {
    if features & CORRUPT != 0 {
        let problem = "it is marked as corrupt; repair a copy with `qemu-img check -r all`".into();
        return Err(damaged(file, STRUCTURE, 72, problem));
    }
    let unknown = features & !KNOWN;
    if unknown != 0 {
        let bit = unknown.trailing_zeros();
        let named = extensions.feature_names.iter().find(|(known, _)| u32::from(*known) == bit);
        let name = named.map_or_else(|| format!("bit {bit}"), |(_, name)| format!("{name:?} (bit {bit})"));
        return Err(unsupported(file, format!("the incompatible qcow2 feature {name}")));
    }
    Ok(())
}

fn backing_file(file: &ImageFile, first: &[u8], offset: u64, len: u32) -> Result<Option<String>, SourceError> {
    if offset == 0 {
        return Ok(None);
    }
    let wrong = |problem: String| damaged(file, "name of the backing file", offset, problem);
    if len as usize > LONGEST_NAME || len == 0 {
        return Err(wrong(format!("it has {len} bytes; 1 to {LONGEST_NAME} are allowed")));
    }
    let name = usize::try_from(offset).ok().and_then(|at| first.get(at..)?.get(..len as usize));
    let name = name.ok_or_else(|| wrong("it is not inside the first cluster".into()))?;
    text(name).map(Some).ok_or_else(|| wrong("it is not UTF-8".into()))
}

/// What follows the header's fields.
#[derive(Debug, Default)]
struct Extensions {
    backing_format: Option<String>,
    data_file: Option<String>,
    bitmaps: Option<BitmapDirectory>,
    /// Bit and name of incompatible features.
    feature_names: Vec<(u8, String)>,
}

impl Extensions {
    fn read(file: &ImageFile, first: &[u8], mut at: usize) -> Result<Self, SourceError> {
        let mut found = Self::default();
        loop {
            let wrong = |problem: String| damaged(file, "header extension", at as u64, problem);
            let Some(head) = first.get(at..at + 8) else { return Ok(found) };
            let (kind, len) = (be32(head, 0), be32(head, 4) as usize);
            if kind == 0 {
                return Ok(found);
            }
            let data = first.get(at + 8..).and_then(|rest| rest.get(..len));
            let data = data.ok_or_else(|| wrong(format!("its {len} bytes are not inside the first cluster")))?;
            match kind {
                EXTENSION_BACKING_FORMAT => {
                    found.backing_format = Some(text(data).ok_or_else(|| wrong("it is not UTF-8".into()))?);
                }
                EXTENSION_DATA_FILE if data.len() > LONGEST_NAME => {
                    return Err(wrong(format!("a name of {len} bytes; {LONGEST_NAME} are allowed")));
                }
                EXTENSION_DATA_FILE => {
                    found.data_file = Some(text(data).ok_or_else(|| wrong("it is not UTF-8".into()))?);
                }
                EXTENSION_BITMAPS if len < 24 => return Err(wrong("it is cut short".into())),
                EXTENSION_BITMAPS => {
                    found.bitmaps = Some(BitmapDirectory {
                        bitmaps: be32(data, 0),
                        bytes: be64(data, 8),
                        offset: be64(data, 16),
                        is_current: false,
                    });
                }
                EXTENSION_FEATURE_NAMES => {
                    let incompatible = data.chunks_exact(48).filter(|entry| entry[0] == 0);
                    found.feature_names = incompatible.map(|entry| (entry[1], plain(&entry[2..]))).collect();
                }
                // The others change nothing in what the image means.
                _ => {}
            }
            at += 8 + len.next_multiple_of(8);
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

/// A name to be shown.
fn plain(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
    text.trim_end_matches('\0').to_owned()
}

fn unsupported(file: &ImageFile, feature: String) -> SourceError {
    SourceError::Unsupported { path: file.path().to_path_buf(), feature }
}
