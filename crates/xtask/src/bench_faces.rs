//! `cargo xtask bench-faces`: what a disk costs that comes from C, Python or Node, beside the same work in Rust.
//!
//! Each program copies a disk of pieces of 1 MiB to the local target, once pushed and once read by itself, and reads
//! the run's events. They run in turn, so that what else the machine does meets them alike; the middle of all rounds
//! is printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{cargo, command, output};
use crate::test::{Built, c, node, python};

/// Measures each face `rounds` times with a disk of `mib` MiB, in release builds.
pub(crate) fn start(root: &Path, rounds: usize, mib: u64) -> Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--release", "--locked", "--lib", "--example", "face", "--package", "libmigrate-benches"]);
    build.args(["--package", "libmigrate-py", "--package", "libmigrate-node", "--package", "libmigrate-ffi"]);
    let built = Built::of(&mut build)?;
    let scratch = tempfile::tempdir().context("cannot make a folder")?;
    let c = c::program(root, &built.c()?, scratch.path(), "benches/faces/c.c")?;
    let face = built.example("face")?;

    let mut figures: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let faces: [(&str, Command); 4] = [
            ("rust", command(&face, root)),
            ("c", command(&c, root)),
            ("python", python::program(root, &built.python()?, "benches/faces/python.py")?),
            ("node", node::program(root, &built.node()?, "benches/faces/node.mjs")),
        ];
        for (face, mut program) in faces {
            let folder = tempfile::tempdir().context("cannot make a folder")?;
            for line in output(program.arg(folder.path()).arg(mib.to_string()))?.lines() {
                let line: Value = serde_json::from_str(line).with_context(|| format!("{face} printed {line}"))?;
                let figure = match line["seconds"].as_f64() {
                    Some(seconds) => mib as f64 / seconds,
                    None => line["microseconds_each"].as_f64().context("a line without a figure")?,
                };
                let way = line["way"].as_str().context("a line of no way")?.to_owned();
                figures.entry((way, face)).or_default().push(figure);
            }
        }
    }

    println!("{rounds} rounds, {mib} MiB, the middle of each");
    for ((way, face), mut all) in figures.clone() {
        let middle = middle(&mut all);
        let rust = figures.get(&(way.clone(), "rust")).map(|all| self::middle(&mut all.clone()));
        match rust {
            Some(rust) => println!("{way:<6} {face:<7} {middle:>7.0} MiB/s  {:>5.2} of Rust", middle / rust),
            None => println!("{way:<6} {face:<7} {middle:>7.1} us each"),
        }
    }
    Ok(())
}

fn middle(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_neither_the_best_nor_the_worst() {
        assert!((middle(&mut [9.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
        assert!((middle(&mut [2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
