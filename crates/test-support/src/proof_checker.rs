//! `docs/check_proof.py`, the independent check of a proof against a disk, as its users run it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools;

/// What the script said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 0: the disk is the one that the proof is of.
    pub exit_code: i32,
    /// All that was printed.
    pub text: String,
}

/// Checks `vhd` against `proof` and, where one is given, against the root from elsewhere; `None` when Python's
/// blake3 is not installed.
///
/// # Panics
/// When it is not installed but must be.
pub fn check_proof(proof: &Path, vhd: &Path, root: Option<&str>) -> Option<Verdict> {
    if !tools::installed("python/stamp").exists() {
        tools::missing("Python's blake3");
        return None;
    }
    let output = Command::new(tools::installed("python/bin/python3"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/check_proof.py"))
        .args([proof, vhd])
        .args(root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(Verdict { exit_code: output.status.code().unwrap(), text: String::from_utf8_lossy(&text).into_owned() })
}
