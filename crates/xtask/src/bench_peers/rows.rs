//! The rows: what is measured against whom.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libmigrate_test_support::sample_disk::{SampleDisk, mutate};
use serde_json::json;

use super::Stage;
use super::measure::{Cost, median, run, sink_counts};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One program on one image, again and again.
struct Series {
    name: String,
    costs: Vec<Cost>,
    /// Of the last run, and the same in all.
    bytes: u64,
    requests: u64,
}

/// Runs every row and prints it.
pub(super) fn run_all(stage: &Stage, pairs: usize) -> Result<()> {
    println!("{pairs} pairs a row; wall and CPU in seconds, peak in MiB, bytes and requests as the sink counted them");
    dense(stage, pairs)?;
    sparse(stage, pairs)?;
    hole(stage, pairs)?;
    changed(stage, pairs)
}

fn dense(stage: &Stage, pairs: usize) -> Result<()> {
    let image = stage.image("dense.raw", GIB, GIB)?;
    let vhd = Stage::as_vhd(&image)?;
    let series = in_turn(
        stage,
        pairs,
        |name| match name {
            "ours" => vec![stage.ours(&image, name, &["--memory", "32M", "--state"], true)],
            "ours, no checkpoint" => vec![stage.ours(&image, name, &["--memory", "32M", "--no-state"], false)],
            "azcopy, default" => vec![stage.azcopy(&vhd, &[])],
            _ => vec![stage.azcopy(&vhd, &[("AZCOPY_PACE_PAGE_BLOBS", "false")])],
        },
        &["ours", "ours, no checkpoint", "azcopy, default", "azcopy, not paced"],
    )?;
    print("1 GiB dense", &series);
    println!(
        "  aims: CPU <= 1/6 of azcopy's default and <= 1/3 of its best; wall <= 0.8 s; peak <= 96 MiB; checkpoint <= 5 %"
    );
    fs::remove_file(vhd)?;
    Ok(fs::remove_file(image)?)
}

fn sparse(stage: &Stage, pairs: usize) -> Result<()> {
    let image = stage.image("sparse.raw", 8 * GIB, 512 * MIB)?;
    let vhd = Stage::as_vhd(&image)?;
    let series = in_turn(
        stage,
        pairs.min(3),
        |name| match name {
            "ours" => vec![stage.ours(&image, name, &["--state"], true)],
            _ => vec![stage.azcopy(&vhd, &[])],
        },
        &["ours", "azcopy, default"],
    )?;
    print("8 GiB with 512 MiB of data", &series);
    println!("  aims: bytes <= 1.02 x data ({} bytes); CPU <= 1/30 of azcopy's default", 512 * MIB);
    fs::remove_file(vhd)?;
    Ok(fs::remove_file(image)?)
}

fn hole(stage: &Stage, pairs: usize) -> Result<()> {
    let image = stage.folder.join("hole.raw");
    File::create(&image)?.set_len(1 << 40)?;
    let series = in_turn(stage, pairs, |name| vec![stage.ours(&image, name, &["--state"], true)], &["ours"])?;
    print("1 TiB of hole", &series);
    println!("  aims: wall <= 0.25 s; peak <= 48 MiB; nothing but the footer (512 bytes)");
    Ok(fs::remove_file(image)?)
}

/// The first cycle of each is not measured: it makes the state that the delta starts from.
fn changed(stage: &Stage, pairs: usize) -> Result<()> {
    let image = stage.image("changing.raw", 4 * GIB, 2160 * MIB)?;
    let copy = stage.folder.join("rsync.raw");
    fs::copy(&image, &copy)?;
    let cycle =
        |extra: &[&str]| stage.ours(&image, "changing", &[&["--block", "4K"], extra, &["--state"]].concat(), true);
    let _ = run(&cycle(&["--change-id", "0"]).0)?;
    let mut rsync = Series::new("rsync --inplace, 4 KiB");
    let mut ours = Series::new("ours, no list");
    let mut listed = Series::new("ours, change list");
    for round in 0..pairs as u64 {
        let changed = mutate(&image, 0.01, 4096, 2 * round)?;
        let expected: u64 = changed.iter().map(|(_, len)| len).sum();
        sink_counts(&stage.endpoint)?;
        ours.costs.push(run(&cycle(&["--change-id", &format!("{round}a")]).0)?);
        (ours.bytes, ours.requests) = sink_counts(&stage.endpoint)?;
        ensure!(ours.bytes == expected, "{} bytes changed, {} were sent", expected, ours.bytes);
        let mut command = Command::new("rsync");
        command.args(["--inplace", "--no-whole-file", "--block-size=4096"]).arg(&image).arg(&copy);
        rsync.costs.push(run(&command)?);

        let changed = mutate(&image, 0.01, 4096, 2 * round + 1)?;
        let list = stage.folder.join("changes.json");
        let extents: Vec<_> = changed.iter().map(|(offset, len)| json!({ "offset": offset, "len": len })).collect();
        let end = format!("{round}b");
        fs::write(&list, json!({ "base": format!("{round}a"), "end": end, "extents": extents }).to_string())?;
        let list = list.to_str().context("the folder is text")?;
        listed.costs.push(run(&cycle(&["--changes", list]).0)?);
        (listed.bytes, listed.requests) = sink_counts(&stage.endpoint)?;
        ensure!(listed.bytes == changed.iter().map(|(_, len)| len).sum::<u64>(), "the list's blocks are what is sent");
        fs::copy(&image, &copy)?;
    }
    print("1 % of 2.16 GB changed, blocks of 4 KiB", &[ours, rsync, listed]);
    println!("  aims: exactly the changed blocks sent; wall <= 1/5 of rsync's; with a list <= 0.15 s");
    Ok(())
}

/// A command and the blob that it writes to, if that must be new each time.
type Run = (Command, Option<PathBuf>);

fn in_turn(stage: &Stage, pairs: usize, make: impl Fn(&str) -> Vec<Run>, names: &[&str]) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = names.iter().map(|name| Series::new(name)).collect();
    for _ in 0..pairs {
        for series in &mut all {
            for (command, state) in make(&series.name) {
                sink_counts(&stage.endpoint)?;
                series.costs.push(run(&command)?);
                (series.bytes, series.requests) = sink_counts(&stage.endpoint)?;
                if let Some(state) = state {
                    let _ = fs::remove_dir_all(state);
                }
            }
        }
    }
    Ok(all)
}

fn print(title: &str, all: &[Series]) {
    println!("\n{title}");
    println!(
        "  {:<24}{:>8}{:>8}{:>8}{:>16}{:>10}{:>22}",
        "", "wall", "CPU", "peak", "bytes", "requests", "ours to it: CPU, wall"
    );
    for series in all {
        let of = |field: fn(&Cost) -> f64| median(series.costs.iter().map(field).collect());
        let ratio = |field: fn(&Cost) -> f64| {
            median(all[0].costs.iter().zip(&series.costs).map(|(ours, theirs)| field(ours) / field(theirs)).collect())
        };
        println!(
            "  {:<24}{:>8.2}{:>8.2}{:>8.0}{:>16}{:>10}{:>14.3}{:>8.3}",
            series.name,
            of(|c| c.wall),
            of(|c| c.cpu),
            of(|c| c.peak_mib),
            series.bytes,
            series.requests,
            ratio(|c| c.cpu),
            ratio(|c| c.wall),
        );
    }
}

impl Series {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), costs: Vec::new(), bytes: 0, requests: 0 }
    }
}

impl Stage {
    /// An image in the page cache.
    fn image(&self, name: &str, len: u64, data_bytes: u64) -> Result<PathBuf> {
        let path = self.folder.join(name);
        SampleDisk { len, data_bytes, seed: 1 }.write(&path)?;
        Ok(path)
    }

    /// The image as azcopy wants it: a fixed VHD. Azcopy does not read the footer; its length counts.
    fn as_vhd(image: &Path) -> Result<PathBuf> {
        let path = image.with_extension("vhd");
        // Keeps holes, unlike fs::copy on some file systems.
        let copied = Command::new("cp").arg("--sparse=always").args([image, &path]).status()?;
        ensure!(copied.success(), "cannot copy {}", image.display());
        let len = fs::metadata(&path)?.len();
        File::options().write(true).open(&path)?.write_all_at(b"conectix", len + 504)?;
        Ok(path)
    }

    fn ours(&self, image: &Path, name: &str, options: &[&str], with_state: bool) -> Run {
        let mut command = Command::new(&self.ours);
        // A new blob for each run, unless state is kept between them.
        let blob = if name == "changing" { name.to_owned() } else { format!("{:016x}", fastrand::u64(..)) };
        let url = format!("{}/replicas/{blob}?sig=open", self.endpoint);
        command
            .arg("--json")
            .args(["--format", "raw"])
            .arg("--source")
            .arg(image)
            .args(["--target", &url])
            .args(options);
        let state = self.folder.join(format!("state-{blob}"));
        if with_state {
            command.arg(&state);
        }
        (command, with_state.then_some(state))
    }

    fn azcopy(&self, vhd: &Path, environment: &[(&str, &str)]) -> Run {
        let mut command = Command::new(&self.azcopy);
        let url = format!("{}/replicas/{:016x}.vhd?sig=open", self.endpoint, fastrand::u64(..));
        command.arg("copy").arg(vhd).arg(url);
        command.args([
            "--blob-type",
            "PageBlob",
            "--from-to",
            "LocalBlob",
            "--log-level",
            "NONE",
            "--check-length=false",
        ]);
        command
            .env("AZCOPY_LOG_LOCATION", self.folder.join("azcopy"))
            .env("AZCOPY_JOB_PLAN_LOCATION", self.folder.join("azcopy"));
        command.envs(environment.iter().copied());
        (command, None)
    }
}
