//! Independent readers of image chains, where QEMU reads them wrong or not at all: libvhdi, libvmdk, dissect.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools;

/// Whose reading is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainReader {
    /// VHD and VHDX; parents must be named.
    Libvhdi,
    /// VMDK; parents must be named.
    Libvmdk,
    /// VMDK, space-efficient sparse ones too; no parents. (Its reader of VHDX comes up short in blocks that
    /// are partly the parent's: version 3.21.)
    Dissect,
}

impl ChainReader {
    /// The bytes of the disk that `chain` holds, child first; `None` when the library is not installed.
    ///
    /// # Panics
    /// When the library refuses the chain, or is not installed but must be.
    pub fn bytes_of(self, chain: &[&Path]) -> Option<Vec<u8>> {
        if !tools::installed("python/stamp").exists() {
            tools::missing("libvhdi, libvmdk or dissect");
            return None;
        }
        let library = match self {
            Self::Libvhdi => "libvhdi",
            Self::Libvmdk => "libvmdk",
            Self::Dissect => "dissect",
        };
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("disk.raw");
        let output = Command::new(tools::installed("python/bin/python3"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/chain_reader.py"))
            .arg(library)
            .arg(&raw)
            .args(chain)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{library} {chain:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(fs::read(raw).unwrap())
    }
}
