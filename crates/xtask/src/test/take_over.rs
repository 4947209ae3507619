//! A replica goes from language to language: Python begins it and is killed, C goes on and is killed, Node finishes
//! it, and Rust finds it equal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Built, Count, c, node, python};
use crate::command::{command, line, output};

const MIB: u64 = 1 << 20;

/// Plays it once; it counts as one test.
pub(crate) fn run(root: &Path, built: &Built) -> Result<Count> {
    let scratch = tempfile::tempdir().context("cannot make a folder")?;
    let programs = Programs {
        python: python::program(root, &built.python()?, "tests/take_over/take_over.py")?,
        c: command(c::program(root, &built.c()?, scratch.path(), "tests/take_over/take_over.c")?, root),
        node: node::program(root, &built.node()?, "tests/take_over/take_over.mjs"),
        rust: command(built.example("replicate")?, root),
    };
    Ok(match play(programs) {
        Ok(()) => {
            println!("ok a replica is begun in Python, gone on with in C, finished in Node and verified in Rust");
            Count { passed: 1, failed: 0 }
        }
        Err(error) => {
            println!("FAILED the take-over across languages: {error:#}");
            Count { passed: 0, failed: 1 }
        }
    })
}

/// The programs that take part, each without its arguments.
struct Programs {
    python: Command,
    c: Command,
    node: Command,
    /// The example `replicate`.
    rust: Command,
}

fn play(programs: Programs) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let (disk, replica) = (folder.path().join("disk.raw"), folder.path().join("replica.vhd"));
    // Every word is another, so that nothing can be left out for being zero or the same.
    let bytes: Vec<u8> =
        (0..48 * MIB / 4).flat_map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(&disk, &bytes).context("cannot write the disk")?;

    let mut legs = [("Python", programs.python), ("C", programs.c)];
    for (at, (language, program)) in legs.iter_mut().enumerate() {
        program.arg(folder.path()).arg((8 * MIB).to_string());
        let skipped = killed_in_the_middle(program).with_context(|| format!("{language} was to begin"))?;
        ensure!(at == 0 || skipped > 0, "{language} began anew: it skipped nothing that was there already");
    }
    let mut node = programs.node;
    let printed = output(node.arg(folder.path()).arg("0"))?;
    let done: Value = serde_json::from_str(printed.lines().last().context("Node said nothing")?)?;
    let point = &done["point"];
    ensure!(done["type"] == "done" && point["cycle"] == 1 && point["kind"] == "initial", "Node ended with {done}");
    ensure!(point["counts"]["skipped"].as_u64() > Some(16 * MIB), "Node sent again what was there already: {done}");

    let mut rust = programs.rust;
    rust.arg("--source").arg(&disk).arg("--target").arg(&replica).arg("--state").arg(folder.path().join("state"));
    output(rust.args(["--format", "raw", "--verify", "--json"])).context("Rust found it different")?;
    let copied = fs::read(&replica).with_context(|| format!("cannot read {}", replica.display()))?;
    ensure!(copied.get(..bytes.len()) == Some(&bytes[..]), "the replica's bytes are not the disk's");
    Ok(())
}

/// Starts a program, kills it when it has sent some MiB, and says how many bytes it did not send because they were
/// there already.
fn killed_in_the_middle(program: &mut Command) -> Result<u64> {
    let line = line(program);
    println!("$ {line}");
    let mut child = program.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let mut skipped = None;
    for printed in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let event: Value = serde_json::from_str(&printed.context("cannot read what it prints")?)?;
        let counted = |what: &str| event["counts"][what].as_u64();
        // Two seconds' worth: what was sent a second ago has settled, however busy the machine is.
        if event["type"] == "progress" && counted("sent") >= Some(16 * MIB) {
            child.kill().context("cannot kill it")?;
            skipped = counted("skipped");
            break;
        }
    }
    let status = child.wait().context("cannot wait for it")?;
    skipped.with_context(|| format!("`{line}` was to be killed in the middle, but ended with {status}"))
}
