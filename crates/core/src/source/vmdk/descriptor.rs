//! The descriptor: the text that says which extents a disk consists of, and which disk is its parent.
//!
//! It is a file of its own, or embedded in a sparse extent. Source: `VMware`, "Virtual Disk Format 5.0"
//! (technical note, 2011), "The Descriptor File"; what real descriptors hold beyond it (`encoding`,
//! `isNativeSnapshot`, all of `ddb.*`, the extent types of ESX) was seen in files and in Joachim Metz, "`VMware`
//! Virtual Disk (VMDK) format specification" (libvmdk, 2014).
//!
//! A key that is not known is passed over, since every release of `VMware` brings new ones. An *extent* that is
//! not understood never is: without it, all bytes after it would be in the wrong place.

use super::{SECTOR, damaged, unsupported};
use crate::source::gate::shortened;
use crate::source::{ImageFile, SourceError, windows_path};

/// The longest descriptor that is read, as in QEMU (`block/vmdk.c`, `vmdk_read_desc`).
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// An 8 TB disk, `VMware` Workstation's largest, in the extents of 2 GB that it splits disks into.
const MAX_EXTENTS: usize = 4096;

/// The first line of every descriptor that `VMware` writes.
const MARK: &str = "# Disk DescriptorFile";

/// "No parent" in `parentCID`.
const NO_PARENT: u32 = u32::MAX;

const STRUCTURE: &str = "descriptor";

/// What a descriptor says.
#[derive(Debug)]
pub(super) struct Descriptor {
    /// Changes with the first write after each opening.
    pub(super) cid: Option<u32>,
    pub(super) parent: Option<Parent>,
    /// Stays the same for the life of the disk.
    pub(super) uuid: Option<String>,
    pub(super) extents: Vec<ExtentLine>,
}

/// The parent that a descriptor names.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) cid: u32,
    hint: String,
}

/// One extent of the disk, in the order of its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExtentLine {
    pub(super) len_bytes: u64,
    pub(super) kind: ExtentKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExtentKind {
    /// The bytes as they are, from `offset` of the file on.
    Flat { name: String, offset: u64 },
    /// Grains in a file that has a header of its own.
    Sparse { name: String },
    /// No file: zeros.
    Zero,
}

/// Whether a file that starts with `head` is a descriptor: leading blank and comment lines, one of them the
/// mark, or `version` as the first key, as QEMU has it (`block/vmdk.c`, `vmdk_probe`).
pub(super) fn is_one(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.get(..MARK.len()).is_some_and(|start| start.eq_ignore_ascii_case(MARK)) {
            return true;
        }
        if !line.is_empty() && !line.starts_with('#') {
            return matches!(key_and_value(line), Some(("version", "1" | "2" | "3")));
        }
    }
    false
}

impl Descriptor {
    /// Reads the `len` bytes at `offset` of `file`.
    pub(super) fn read(file: &ImageFile, offset: u64, len: u64) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(file, STRUCTURE, offset, problem);
        if len > MAX_BYTES {
            return Err(wrong(format!("its {len} bytes are too many: at most {MAX_BYTES} are read")));
        }
        if offset.checked_add(len).is_none_or(|end| end > file.bytes().size_bytes()) {
            return Err(wrong(format!("its {len} bytes are not inside the file")));
        }
        let mut text = vec![0; len as usize];
        file.bytes().read_at(offset, &mut text)?;
        // An embedded descriptor is filled up with zeros.
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Self::parse(file, offset, &String::from_utf8_lossy(text))
    }

    fn parse(file: &ImageFile, offset: u64, text: &str) -> Result<Self, SourceError> {
        let wrong = |problem| damaged(file, STRUCTURE, offset, problem);
        let (mut cid, mut parent_cid, mut hint, mut uuid) = (None, None, None, None);
        let mut extents = Vec::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let in_line = |problem: String| wrong(format!("line {}, {:?}: {problem}", number + 1, shortened(line)));
            if let Some(extent) = Words::of_extent(line) {
                if extents.len() == MAX_EXTENTS {
                    return Err(wrong(format!("it has more than {MAX_EXTENTS} extents")));
                }
                extents.push(extent.read(file)?.map_err(in_line)?);
                continue;
            }
            let Some((key, value)) = key_and_value(line) else { continue };
            refuse_encryption(file, key, value)?;
            refuse_devices(file, key, value)?;
            let content_id = || content_id(value).ok_or_else(|| in_line("a CID has eight hexadecimal digits".into()));
            // Of a key that comes twice, the first counts, as in QEMU.
            match key {
                "CID" if cid.is_none() => cid = Some(content_id()?),
                "parentCID" if parent_cid.is_none() => parent_cid = Some(content_id()?),
                "parentFileNameHint" if hint.is_none() && !value.is_empty() => hint = Some(value.to_owned()),
                "ddb.uuid" if uuid.is_none() => uuid = plain_uuid(value),
                _ => {}
            }
        }
        let parent = match (parent_cid.filter(|cid| *cid != NO_PARENT), hint) {
            (Some(cid), hint) => Some(Parent { cid, hint: hint.unwrap_or_default() }),
            (None, None) => None,
            // Its own bytes alone might be half a disk.
            (None, Some(hint)) => {
                let problem = format!("it names the parent {:?} without its CID", shortened(&hint));
                return Err(wrong(problem));
            }
        };
        Ok(Self { cid, parent, uuid, extents })
    }
}

impl Parent {
    /// Where to look for it: as named, then under its bare name beside the child. Disks are moved in whole
    /// folders; their datastores, drives and folders change names.
    pub(super) fn names(&self) -> Vec<String> {
        // "[datastore1] web01/web01.vmdk"
        let hint = match self.hint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((_, path)) => path.trim_start().to_owned(),
            None => self.hint.clone(),
        };
        let is_windows_absolute = hint.starts_with("\\\\") || hint.as_bytes().get(1) == Some(&b':');
        if is_windows_absolute {
            windows_path::candidates(&[], &[hint])
        } else {
            windows_path::candidates(&[hint], &[])
        }
    }
}

/// An extent's line, in its words.
struct Words<'a> {
    access: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn of_extent(line: &'a str) -> Option<Self> {
        let (access, rest) = word(line);
        matches!(access, "RW" | "RDONLY" | "NOACCESS").then_some(Self { access, rest })
    }

    /// The outer error is a refusal, the inner one says what is wrong with the line.
    fn read(&self, file: &ImageFile) -> Result<Result<ExtentLine, String>, SourceError> {
        let (sectors, rest) = word(self.rest);
        let (kind, rest) = word(rest);
        let (name, rest) = quoted(rest);
        let (offset, _) = word(rest);
        if self.access == "NOACCESS" {
            return Err(unsupported(file, format!("an extent of {sectors} sectors that is marked NOACCESS")));
        }
        let named = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(str::to_owned);
        let bytes = |sectors: &str| sectors.parse::<u64>().ok().and_then(|sectors| sectors.checked_mul(SECTOR));
        let kind = match (kind, named(name)) {
            ("FLAT" | "VMFS", Some(name)) => {
                let Some(offset) = (if offset.is_empty() { Some(0) } else { bytes(offset) }) else {
                    return Ok(Err(format!("{:?} is no offset in sectors", shortened(offset))));
                };
                ExtentKind::Flat { name, offset }
            }
            ("SPARSE" | "VMFSSPARSE" | "SESPARSE", Some(name)) => ExtentKind::Sparse { name },
            ("ZERO", _) => ExtentKind::Zero,
            ("FLAT" | "VMFS" | "SPARSE" | "VMFSSPARSE" | "SESPARSE", None) => {
                return Ok(Err("it names no file".into()));
            }
            ("VMFSRDM" | "VMFSRAW", _) => {
                return Err(unsupported(file, format!("the extent type {kind}: a physical device, not a file")));
            }
            (other, _) => return Err(unsupported(file, format!("the extent type {:?}", shortened(other)))),
        };
        let Some(len_bytes) = bytes(sectors).filter(|bytes| *bytes > 0) else {
            return Ok(Err(format!("{:?} is no number of sectors", shortened(sectors))));
        };
        Ok(Ok(ExtentLine { len_bytes, kind }))
    }
}

/// The first word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// The text in quotation marks, if that comes first, and what follows it.
fn quoted(text: &str) -> (Option<&str>, &str) {
    match text.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((inside, rest)) => (Some(inside), rest),
        None => (None, text),
    }
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let value = value.trim();
    Some((key.trim(), quoted(value).0.unwrap_or(value)))
}

fn content_id(value: &str) -> Option<u32> {
    u32::from_str_radix(value, 16).ok()
}

/// The digits of a UUID that is written as `60 00 C2 9e a1 b2 c3 d4-e5 f6 …`.
fn plain_uuid(value: &str) -> Option<String> {
    let digits: String = value.chars().filter(char::is_ascii_hexdigit).collect();
    (digits.len() == 32).then(|| digits.to_ascii_lowercase())
}

/// Workstation keeps the wrapped key in the descriptor (`encryption.keySafe`, `encryption.data`), ESX does too
/// (`encryptionKeys`, `keyID`) and names the filter that encrypts (`ddb.iofilters = "vmwarevmcrypt"`).
fn refuse_encryption(file: &ImageFile, key: &str, value: &str) -> Result<(), SourceError> {
    let lower = key.to_ascii_lowercase();
    let says_so = lower.starts_with("encryption")
        || lower.starts_with("ddb.encryption")
        || lower.contains("keysafe")
        || lower == "keyid";
    let filters = lower == "ddb.iofilters" && value.to_ascii_lowercase().contains("crypt");
    if says_so || filters {
        let method = if filters { shortened(value) } else { format!("its descriptor has {}", shortened(key)) };
        return Err(SourceError::Encrypted { path: file.path().to_path_buf(), method });
    }
    Ok(())
}

/// These disks are no files, whatever their extents are called.
fn refuse_devices(file: &ImageFile, key: &str, value: &str) -> Result<(), SourceError> {
    const DEVICES: [&str; 7] = [
        "fullDevice",
        "partitionedDevice",
        "vmfsRaw",
        "vmfsRDM",
        "vmfsRawDeviceMap",
        "vmfsRDMP",
        "vmfsPassthroughRawDeviceMap",
    ];
    if key == "createType" && DEVICES.contains(&value) {
        return Err(unsupported(
            file,
            format!("the disk type {value}: a physical device, not a file (open the device)"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn parse(text: &str) -> Result<Descriptor, SourceError> {
        Descriptor::parse(&ImageFile::new(Arc::new(vec![0u8]), "disk.vmdk"), 0, text)
    }

    fn parent_names(hint: &str) -> Vec<String> {
        Parent { cid: 1, hint: hint.into() }.names()
    }

    #[test]
    fn what_vmware_writes_is_understood() {
        let descriptor = parse(
            "# Disk DescriptorFile\r\nversion=1\r\nencoding=\"UTF-8\"\r\nCID=cdf1a2b8\r\nparentCID=ffffffff\r\n\
             isNativeSnapshot=\"no\"\r\ncreateType=\"vmfs\"\r\n\r\n# Extent description\r\n\
             RW 83886080 VMFS \"web 01-flat.vmdk\"\r\n\r\n# The Disk Data Base \r\n#DDB\r\n\r\n\
             ddb.uuid = \"60 00 C2 9e 5c 3b 0f 1a-77 61 2d 4b 90 ee 12 34\"\r\nddb.thinProvisioned = \"1\"\r\n",
        )
        .unwrap();

        assert_eq!(descriptor.cid, Some(0xcdf1_a2b8));
        assert!(descriptor.parent.is_none());
        assert_eq!(descriptor.uuid.as_deref(), Some("6000c29e5c3b0f1a77612d4b90ee1234"));
        let kind = ExtentKind::Flat { name: "web 01-flat.vmdk".into(), offset: 0 };
        assert_eq!(descriptor.extents, [ExtentLine { len_bytes: 40 << 30, kind }]);
    }

    #[test]
    fn an_extent_starts_where_its_line_says() {
        let descriptor =
            parse("RW 8 FLAT \"a\" 63\nRDONLY 16 ZERO\nRW 4 FLAT \"b\" 0 partition-uuid device\n").unwrap();

        let flat = |name: &str, offset| ExtentKind::Flat { name: name.into(), offset };
        assert_eq!(descriptor.extents[0], ExtentLine { len_bytes: 4096, kind: flat("a", 63 * 512) });
        assert_eq!(descriptor.extents[1], ExtentLine { len_bytes: 8192, kind: ExtentKind::Zero });
        assert_eq!(descriptor.extents[2], ExtentLine { len_bytes: 2048, kind: flat("b", 0) });
    }

    #[test]
    fn an_extent_that_is_not_understood_is_never_passed_over() {
        for line in
            ["RW", "RW x FLAT \"a\" 0", "RW 0 FLAT \"a\" 0", "RW 8 FLAT", "RW 8 FLAT \"a\" x", "RW 8 FLAT \"a 0"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(matches!(parse("RW 8 FUTURE \"a\""), Err(SourceError::Unsupported { .. })));
        assert!(matches!(parse("NOACCESS 8 FLAT \"a\" 0"), Err(SourceError::Unsupported { .. })));
        assert!(matches!(parse("RW 36028797018963968 FLAT \"a\" 0"), Err(SourceError::Damaged { .. })), "overflow");
    }

    #[test]
    fn more_extents_than_any_disk_has_are_refused() {
        let refusal = parse(&"RW 1 ZERO\n".repeat(MAX_EXTENTS + 1)).unwrap_err();

        assert!(refusal.to_string().contains("more than 4096 extents"), "{refusal}");
    }

    #[test]
    fn a_parent_without_its_cid_is_refused() {
        let refusal = parse("CID=1\nparentCID=ffffffff\nparentFileNameHint=\"base.vmdk\"\n").unwrap_err();

        assert!(refusal.to_string().contains("\"base.vmdk\" without its CID"), "{refusal}");
    }

    #[test]
    fn a_parent_is_looked_for_as_named_and_beside_the_child() {
        assert_eq!(parent_names("base.vmdk"), ["base.vmdk"]);
        assert_eq!(parent_names("../base/base.vmdk"), ["../base/base.vmdk", "base.vmdk"]);
        assert_eq!(parent_names("/vmfs/volumes/1a2b/web/base.vmdk"), ["/vmfs/volumes/1a2b/web/base.vmdk", "base.vmdk"]);
        assert_eq!(parent_names("[datastore 1] web/base.vmdk"), ["web/base.vmdk", "base.vmdk"]);
        assert_eq!(parent_names(r"..\base\base.vmdk"), ["../base/base.vmdk", "base.vmdk"]);
        assert_eq!(parent_names(""), [""; 0]);
    }

    #[cfg(not(windows))]
    #[test]
    fn a_drive_means_nothing_elsewhere() {
        assert_eq!(parent_names(r"C:\vm\base.vmdk"), ["base.vmdk"]);
        assert_eq!(parent_names(r"\\host\vm\base.vmdk"), ["base.vmdk"]);
    }

    #[test]
    fn encryption_is_seen_under_all_its_names() {
        for line in [
            "encryption.keySafe = \"vmware:key/list/(pair/...)\"",
            "encryption.data = \"...\"",
            "keySafe=\"x\"",
            "encryptionKeys=\"vmware:key/list/(pair/...)\"",
            "keyID=\"x\"",
            "ddb.encryption.keyid = \"x\"",
            "ddb.iofilters = \"vmwarevmcrypt\"",
        ] {
            assert!(matches!(parse(line), Err(SourceError::Encrypted { .. })), "{line}");
        }
        assert!(parse("ddb.iofilters = \"VMW_spm_1.0.0\"\nencoding=\"UTF-8\"").is_ok());
    }

    #[test]
    fn a_descriptor_is_recognised_behind_blank_and_comment_lines() {
        for head in [
            "# Disk DescriptorFile\nversion=1\n",
            "\u{feff}# Disk DescriptorFile\r\n",
            "  \n\n# made by hand\n  # disk descriptorfile\n",
            "# made by hand\nversion=1\n",
        ] {
            assert!(is_one(head.as_bytes()), "{head:?}");
        }
        for head in ["", "\0\0\0\0", "#!/bin/sh\n", "version=10\n", "hello\n# Disk DescriptorFile\n", "# Disk Descript"]
        {
            assert!(!is_one(head.as_bytes()), "{head:?}");
        }
    }
}
