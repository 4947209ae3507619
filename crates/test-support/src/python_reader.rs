//! Microsoft's Python client as an independent reader.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::tools;

/// Downloads a blob to `to`; `None` when the client is not installed.
///
/// # Panics
/// When it is not installed but must be.
pub fn download(connection_string: &str, container: &str, blob: &str, to: &Path) -> Option<anyhow::Result<()>> {
    let python = tools::folder().join("python/bin/python");
    if !python.exists() {
        tools::missing("Microsoft's Python client");
        return None;
    }
    let run = || {
        let output = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python_reader.py"))
            .args([connection_string, container, blob])
            .arg(to)
            .output()
            .context("cannot start python")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    Some(run())
}
