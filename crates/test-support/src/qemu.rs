//! An independent reader and writer of disk formats: `qemu-img`, and `qemu-io` for writes of one's choice.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::tools;

/// Runs `qemu-img` with these arguments and returns what it printed; `None` when it is not installed.
///
/// An ending other than 0 is an error with its words; `compare` ends with 1 when the contents differ.
///
/// # Panics
/// When it is not installed but must be.
pub fn qemu_img<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Option<Result<String>> {
    let program = program("qemu-img")?;
    Some(run(Command::new(program).args(arguments)))
}

/// Runs `commands` of `qemu-io` on the image, which has this format; `None` when it is not installed.
///
/// # Panics
/// When one of them fails, or when `qemu-io` is not installed but must be.
pub fn qemu_io(image: &Path, format: &str, commands: &[String]) -> Option<()> {
    let program = program("qemu-io")?;
    let mut command = Command::new(program);
    command.args(["-f", format]);
    for line in commands {
        command.args(["-c", line]);
    }
    run(command.arg(image)).unwrap();
    Some(())
}

/// Makes an image of the raw disk at `raw`, beside it, with the extension `format`; `options` are those of
/// `qemu-img convert -o`, or empty.
///
/// # Panics
/// When that fails, or when `qemu-img` is not installed but must be.
pub fn image_of(raw: &Path, format: &str, options: &str) -> Option<PathBuf> {
    let image = raw.with_extension(format);
    let mut arguments = vec!["convert".as_ref(), "-f".as_ref(), "raw".as_ref(), "-O".as_ref(), OsStr::new(format)];
    if !options.is_empty() {
        arguments.extend(["-o".as_ref(), OsStr::new(options)]);
    }
    arguments.extend([raw.as_os_str(), image.as_os_str()]);
    qemu_img(arguments)?.unwrap();
    Some(image)
}

/// The disk's bytes as QEMU reads them from an image of this format, its parents included.
///
/// # Panics
/// When that fails, or when `qemu-img` is not installed but must be.
pub fn bytes_of(image: &Path, format: &str) -> Option<Vec<u8>> {
    let raw = image.with_extension("as-qemu-reads-it");
    qemu_img(["convert".as_ref(), "-f".as_ref(), format.as_ref(), "-O".as_ref(), "raw".as_ref(), image, &raw])?
        .unwrap();
    let bytes = fs::read(&raw).unwrap();
    fs::remove_file(raw).unwrap();
    Some(bytes)
}

/// The size of the disk that QEMU finds in an image.
///
/// # Panics
/// When that fails, or when `qemu-img` is not installed but must be.
pub fn size_of(image: &Path, format: &str) -> Option<u64> {
    let answer = qemu_img(["info".as_ref(), "-f".as_ref(), format.as_ref(), "--output=json".as_ref(), image])?.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["virtual-size"].as_u64()
}

/// A piece of `qemu-img map`, in bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct MapPiece {
    /// First byte.
    pub start: u64,
    /// Length.
    pub length: u64,
    /// Some image of the chain says something about it.
    pub present: bool,
    /// Reads as zeros.
    pub zero: bool,
    /// Has to be read.
    pub data: bool,
}

/// What QEMU says of an image's extents, its parents included.
///
/// # Panics
/// When that fails, or when `qemu-img` is not installed but must be.
pub fn map_of(image: &Path, format: &str) -> Option<Vec<MapPiece>> {
    let map = qemu_img(["map".as_ref(), "-f".as_ref(), format.as_ref(), "--output=json".as_ref(), image])?.unwrap();
    Some(serde_json::from_str(&map).unwrap())
}

fn program(name: &str) -> Option<PathBuf> {
    let program = tools::on_path(name);
    if program.is_none() {
        tools::missing(name);
    }
    program
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    let (printed, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} ended with {}: {words}{printed}", output.status);
    Ok(printed.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_made_and_described() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.qcow2");
        let image = image.to_str().unwrap();

        let Some(made) = qemu_img(["create", "-f", "qcow2", image, "3M"]) else { return };
        made.unwrap();
        let described = qemu_img(["info", "--output=json", image]).unwrap().unwrap();

        let described: serde_json::Value = serde_json::from_str(&described).unwrap();
        assert_eq!(described["virtual-size"], 3 << 20);
    }

    #[test]
    fn its_refusal_is_an_error_with_its_words() {
        let Some(answer) = qemu_img(["info", "/no/such/image"]) else { return };
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("ended with exit status: 1") && error.contains("/no/such/image"), "{error}");
    }

    #[test]
    fn different_contents_do_not_compare_equal() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
        std::fs::write(&one, [1; 4096]).unwrap();
        std::fs::write(&two, [2; 4096]).unwrap();
        let compare = |a, b| qemu_img(["compare", "-f", "raw", "-F", "raw", a, b]);

        let Some(same) = compare(&one, &one) else { return };

        assert!(same.unwrap().contains("identical"));
        assert!(compare(&one, &two).unwrap().unwrap_err().to_string().contains("exit status: 1"));
    }
}
