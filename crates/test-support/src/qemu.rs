//! qemu-img as an independent reader and writer of images.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::tools;

/// Runs qemu-img and returns what it printed; `None` when it is not installed.
///
/// # Panics
/// When it is not installed but must be.
pub fn qemu_img<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Option<anyhow::Result<String>> {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        tools::missing("qemu-img");
        return None;
    }
    let run = || {
        let output = Command::new("qemu-img").args(arguments).output().context("cannot start qemu-img")?;
        ensure!(output.status.success(), "qemu-img: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    Some(run())
}
