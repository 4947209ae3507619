//! An independent reader and writer of disk formats: `qemu-img`.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::tools;

/// Runs `qemu-img` with these arguments and returns what it printed; `None` when it is not installed.
///
/// An ending other than 0 is an error with its words; `compare` ends with 1 when the contents differ.
///
/// # Panics
/// When it is not installed but must be.
pub fn qemu_img<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Option<Result<String>> {
    let Some(program) = tools::on_path("qemu-img") else {
        tools::missing("qemu-img");
        return None;
    };
    Some(run(Command::new(program).args(arguments)))
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
