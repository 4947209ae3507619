//! The disk of the state folder is full, for real: a small tmpfs, mounted where only the test sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libmigrate_test_support::sample_disk::SampleDisk;

const MIB: u64 = 1 << 20;

/// `cargo test` builds the examples beside the folder of the test binaries.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/replicate")
}

/// A shell in a mount namespace of its own, with a tmpfs of `size` at `state`; `None`, in words, where this
/// process may not mount, which no test can change.
fn shell(folder: &Path, size: &str, script: &str) -> Option<Output> {
    std::fs::create_dir(folder.join("state")).unwrap();
    // Root needs no namespace of users, and may be kept from making one.
    let flags: &[&str] = if rustix::process::geteuid().is_root() { &["-m"] } else { &["-rm"] };
    let script = format!("mount -t tmpfs -o size={size},mode=0700 none state || exit 77; {script}");
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-c", &script, "sh"]).arg(program()).current_dir(folder);
    match command.output() {
        Ok(output) if output.status.code() != Some(77) && output.status.code() != Some(1) => Some(output),
        refused => {
            eprintln!("not shown: no tmpfs can be mounted here ({refused:?})");
            None
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Fails for want of room, then goes on once there is some. What it said when it failed; nothing where it
/// cannot be shown.
fn fails_then_goes_on(size: &str, before: &str, make_room: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    SampleDisk { len: 64 * MIB, data_bytes: 48 * MIB, seed: 5 }.write(&folder.path().join("disk.raw")).unwrap();
    let run = "\"$1\" --source disk.raw --target disk.vhd --state state --block 4K";
    let script = format!(
        "{before} {run} > first 2>&1; echo $? > first.code; ls disk.vhd.libmigrate/snapshots > sealed; \
         {make_room}; {run} --verify > second 2>&1; echo $? > second.code; exit 0"
    );
    // `sh -c script sh program`: the program is $1 there.
    let output = shell(folder.path(), size, &script)?;
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();

    assert_eq!(read("first.code").trim(), "2", "{}{}", text(&output), read("first"));
    assert!(read("first").contains("checkpoint.full"), "{}", read("first"));
    assert!(read("first").contains("remedy: make room"), "{}", read("first"));
    assert_eq!((read("sealed").trim(), read("first").contains("is sealed")), ("", false), "nothing was sealed");
    assert_eq!(read("second.code").trim(), "0", "{}", read("second"));
    assert!(read("second").contains("recovery point 1") && read("second").contains("all equal"), "{}", read("second"));
    Some(read("first"))
}

#[test]
fn a_state_folder_without_room_stops_the_first_run_before_anything_is_sealed() {
    let said = fails_then_goes_on("4M", "head -c 4M /dev/zero > state/ballast;", "rm state/ballast");
    assert!(said.is_none_or(|said| !said.contains("cycle 1")), "it stops before a cycle is begun");
}

#[test]
fn a_state_folder_that_fills_up_in_the_middle_stops_the_cycle_and_the_next_run_goes_on() {
    let said = fails_then_goes_on("400K", "", "mount -o remount,size=64M state");
    assert!(said.is_none_or(|said| said.contains("cycle 1 (Initial)")), "it stops in the middle of a cycle");
}
