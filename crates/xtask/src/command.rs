//! Running another program: say what runs, wait for it, and name it when it fails.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// A command that runs in `folder` and cannot wait for a person: its standard input is empty.
pub(crate) fn command(program: impl Into<OsString>, folder: &Path) -> Command {
    let mut command = Command::new(program.into());
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// The cargo that started this program, so that both use one toolchain.
pub(crate) fn cargo(root: &Path) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), root)
}

/// Prints the command, runs it to its end and passes its output through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`; is it installed?"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs the command without a word and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`; is it installed?"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` did not print UTF-8"))
}

/// Where Debian has the programs of the administrator, which are not on everybody's `PATH`.
const SBIN: &str = "/usr/sbin";

/// Whether a program of this name is found on `PATH` or in `/usr/sbin`.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([SBIN.into()]).any(|folder| folder.join(program).is_file())
}

/// The command as a person would read it: the program's file name and its arguments.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = command("/bin/sh", Path::new("/"));
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_failing_program_is_named_with_its_status() {
        let error = run(&mut shell("exit 3")).unwrap_err().to_string();
        assert_eq!(error, "`sh -c exit 3` ended with exit status: 3");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut command("no-such-program", Path::new("/"))).unwrap_err().to_string();
        assert_eq!(error, "cannot start `no-such-program`; is it installed?");
    }

    #[test]
    fn output_returns_what_was_printed_and_reports_what_was_complained_about() {
        assert_eq!(output(&mut shell("echo said")).unwrap(), "said\n");
        let error = output(&mut shell("echo wrong >&2; exit 1")).unwrap_err().to_string();
        assert!(error.ends_with("ended with exit status: 1: wrong"), "{error}");
    }

    #[test]
    fn standard_input_is_empty() {
        assert_eq!(output(&mut shell("cat")).unwrap(), "");
    }

    #[test]
    fn path_is_searched() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program"));
    }
}
