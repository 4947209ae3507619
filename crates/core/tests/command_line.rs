//! The replicate example as a person uses it.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use libmigrate_test_support::nbd_server::NbdServer;
use libmigrate_test_support::page_blob_server::PageBlobServer;
use libmigrate_test_support::proof_checker::check_proof;
use libmigrate_test_support::qemu::{qemu_img, qemu_io};
use libmigrate_test_support::sample_disk::SampleDisk;

/// `cargo test` builds the examples beside the folder of the test binaries.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/replicate")
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).args(["--source", "disk.raw", "--target", "disk.vhd", "--state", "state"]);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn without_arguments_it_demonstrates_itself() {
    let output = Command::new(program()).output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("recovery point 1 (Initial cycle) is sealed"), "{text}");
    assert!(text.contains("recovery point 2 (Delta cycle) is sealed"), "{text}");
    assert_eq!(text.matches("all equal").count(), 2, "{text}");
}

#[test]
fn run_again_it_makes_the_next_delta() {
    let folder = tempfile::tempdir().unwrap();
    SampleDisk { len: 16 << 20, data_bytes: 4 << 20, seed: 1 }.write(&folder.path().join("disk.raw")).unwrap();
    let first = command(folder.path()).arg("--verify").output().unwrap();
    let second = command(folder.path()).args(["--verify", "--json"]).output().unwrap();
    assert!(first.status.success(), "{}", text(&first));
    assert!(second.status.success(), "{}", text(&second));
    let lines: Vec<serde_json::Value> = text(&second).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let point = lines.iter().find(|line| line["type"] == "recovery_point").unwrap();
    assert_eq!(point["recovery_point"]["cycle"], 2);
    assert_eq!(point["recovery_point"]["counts"]["sent"], 0);
    assert_eq!(lines.last().unwrap()["type"], "verified");
}

#[test]
fn the_proof_of_a_run_is_checked_by_the_guides_script() {
    let folder = tempfile::tempdir().unwrap();
    SampleDisk { len: 16 << 20, data_bytes: 4 << 20, seed: 1 }.write(&folder.path().join("disk.raw")).unwrap();
    let output = command(folder.path()).args(["--export-proof", "disk.proof"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let checked = check_proof(&folder.path().join("disk.proof"), &folder.path().join("disk.vhd"), None);
    assert!(checked.is_none_or(|verdict| verdict.exit_code == 0));
}

#[test]
fn a_hypervisors_change_list_is_taken_as_the_hypervisor_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.raw");
    SampleDisk { len: 16 << 20, data_bytes: 16 << 20, seed: 1 }.write(&disk).unwrap();
    let first = command(folder.path()).args(["--change-id", "52 de/1"]).output().unwrap();
    std::fs::File::options().write(true).open(&disk).unwrap().write_all_at(&[7; 512], 1 << 20).unwrap();
    let areas = r#"{"startOffset":0,"length":16777216,"changedArea":[{"start":1048576,"length":65536}]}"#;
    std::fs::write(folder.path().join("areas.json"), areas).unwrap();

    let list = ["--changes", "areas.json", "--changes-format", "vmware", "--changes-base", "52 de/1"];
    let second =
        command(folder.path()).args(list).args(["--change-id", "52 de/2", "--json", "--verify"]).output().unwrap();

    assert!(first.status.success() && second.status.success(), "{}{}", text(&first), text(&second));
    let lines: Vec<serde_json::Value> = text(&second).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let point = &lines.iter().find(|line| line["type"] == "recovery_point").unwrap()["recovery_point"];
    assert_eq!((&point["counts"]["read"], &point["change_list_ignored"]), (&65_536.into(), &serde_json::Value::Null));
}

#[test]
fn a_dirty_bitmap_over_nbd_narrows_the_next_delta() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.qcow2");
    let path = image.to_str().unwrap();
    let Some(made) = qemu_img(["create", "-q", "-f", "qcow2", path, "16M"]) else { return };
    made.unwrap();
    qemu_io(&image, "qcow2", &["write -P 1 0 16M".into()]).unwrap();
    let served_as = |moment: &str, bitmap: &[&str], more: &[&str]| {
        let arguments = [&["--format=qcow2"], bitmap, &[path]].concat();
        let server = NbdServer::qemu(arguments)?;
        let mut command = Command::new(program());
        command.current_dir(folder.path()).args(["--source", &server.uri(""), "--target", "disk.vhd"]);
        command
            .args(["--state", "state", "--json", "--verify", "--frozen-as", moment, "--change-id", moment])
            .args(more);
        Some(command.output().unwrap())
    };
    let Some(first) = served_as("one", &[], &[]) else { return };
    qemu_img(["bitmap", "--add", path, "since-one"]).unwrap().unwrap();
    qemu_io(&image, "qcow2", &["write -P 2 3M 64k".into()]).unwrap();

    let second =
        served_as("two", &["--bitmap=since-one"], &["--bitmap", "since-one", "--changes-base", "one"]).unwrap();

    assert!(first.status.success() && second.status.success(), "{}{}", text(&first), text(&second));
    let lines: Vec<serde_json::Value> = text(&second).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let point = &lines.iter().find(|line| line["type"] == "recovery_point").unwrap()["recovery_point"];
    assert_eq!((&point["counts"]["read"], &point["change_list_ignored"]), (&65_536.into(), &serde_json::Value::Null));
}

#[test]
fn an_error_names_its_code_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("source.open"), "{}", text(&output));
    assert!(text(&output).contains("remedy: check the path"), "{}", text(&output));
}

#[test]
fn a_schedule_that_cannot_be_meant_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schedule.json"), r#"{"zone":"Mars/Olympus","windows":[]}"#).unwrap();
    let output = command(folder.path()).arg("--schedule").arg(folder.path().join("schedule.json")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("Mars/Olympus"), "{}", text(&output));
}

#[test]
fn ctrl_c_stops_it_within_a_second_and_says_how_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    SampleDisk { len: 64 << 20, data_bytes: 64 << 20, seed: 1 }.write(&folder.path().join("disk.raw")).unwrap();
    let child = command(folder.path())
        .args(["--throttle", "4M"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is at work once its checkpoint is there.
    let start = Instant::now();
    while std::fs::read_dir(folder.path().join("state")).map_or(0, Iterator::count) == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pressed = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert!(pressed.elapsed() < Duration::from_secs(1), "{:?}", pressed.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("run the same command again"), "{}", text(&output));
    assert!(command(folder.path()).arg("--verify").output().unwrap().status.success(), "it goes on");
}

#[test]
fn what_it_writes_is_its_owners_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    SampleDisk { len: 4 << 20, data_bytes: 1 << 20, seed: 1 }.write(&folder.path().join("disk.raw")).unwrap();
    let wide_open = ["-c", "umask 000; exec \"$0\" --source disk.raw --target disk.vhd --state a/state"];
    let output = Command::new("sh").args(wide_open).arg(program()).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&folder.path().join("a")), mode(&folder.path().join("disk.vhd"))), (0o700, 0o600));
    let mut folders = vec![folder.path().join("a/state"), folder.path().join("disk.vhd.libmigrate")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                assert_eq!(mode(&entry) & 0o177, 0, "{}: {:o}", entry.display(), mode(&entry));
                files += 1;
            }
        }
    }
    assert!(files >= 6, "{files} files");
}

/// A page-blob server of its own, for a command that runs beside it.
fn served() -> (tokio::runtime::Runtime, PageBlobServer) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(PageBlobServer::start());
    server.create_container("replicas");
    (runtime, server)
}

fn preflight(server: &PageBlobServer, container: &str) -> Command {
    let mut command = Command::new(program());
    command.env("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=c2ln");
    command.args(["--preflight", "--target", &format!("{}/{container}/web01.vhd", server.endpoint())]);
    command
}

#[test]
fn the_preflight_prints_its_findings_as_a_tree_and_says_whether_the_way_is_clear() {
    let (_runtime, server) = served();
    let clear = preflight(&server, "replicas").output().unwrap();
    let blocked = preflight(&server, "nowhere").output().unwrap();
    assert_eq!(clear.status.code(), Some(0), "{}", text(&clear));
    assert!(text(&clear).contains("└─ ok      blob.usable"), "{}", text(&clear));
    assert!(text(&clear).contains("nothing is in the way"));
    assert_eq!(blocked.status.code(), Some(1), "{}", text(&blocked));
    assert!(text(&blocked).contains("└─ ERROR   blob.no_container"), "{}", text(&blocked));
    assert!(text(&blocked).contains("to do: create the container"));
}

#[test]
fn the_preflight_prints_json_that_says_the_same() {
    let (_runtime, server) = served();
    let output = preflight(&server, "replicas").arg("--json").output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["type"], &report["passed"]), (&"preflight".into(), &true.into()));
    let findings = &report["report"]["targets"][0]["findings"];
    assert_eq!(findings[1]["code"], "blob.usable", "{report:#}");
    assert!(!text(&output).contains("c2ln"));
}

#[test]
fn a_target_without_a_source_is_for_the_preflight_only() {
    let output = Command::new(program()).args(["--target", "disk.vhd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("--target needs --source, or --preflight"), "{}", text(&output));
}

#[test]
fn a_public_address_is_refused_by_default_and_the_remedy_is_said() {
    let folder = tempfile::tempdir().unwrap();
    SampleDisk { len: 1 << 20, data_bytes: 1 << 20, seed: 1 }.write(&folder.path().join("disk.raw")).unwrap();
    let output = Command::new(program())
        .current_dir(folder.path())
        .env("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=c2ln")
        .args(["--source", "disk.raw", "--no-state", "--target", "https://192.0.2.1/acct/replicas/web01.vhd"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("target.not_private"), "{}", text(&output));
    assert!(text(&output).contains("192.0.2.1 (documentation)"), "{}", text(&output));
}
