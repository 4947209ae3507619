//! The C library: installed as a package would be, then used by programs in C and C++.
//!
//! The programs are compiled as strictly as their authors may, found by pkg-config and by `CMake`, linked to the shared
//! and to the static library, and run as they are, under valgrind, and with the compiler's sanitizers.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Built, Count};
use crate::command::{cargo, command, line, on_path, output, run as run_command};
use crate::tools::{debian, read};

/// What the system's linker must add to the static library: `rustc --print native-static-libs`.
const PRIVATE: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

/// The strictness that a consumer may have.
const STRICT: [&str; 6] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-g"];

/// Installs the library that was built, and runs everything that uses it.
pub(crate) fn run(root: &Path, built: &Path, fake_arm: &Path) -> Result<Count> {
    install_tools(root)?;
    let scratch = tempfile::tempdir().context("cannot make a folder")?;
    let prefix = scratch.path().join("prefix");
    install(root, built, &prefix)?;

    let programs = Programs { root, prefix: &prefix, scratch: scratch.path(), fake_arm };
    let mut count = Count::default();
    count += one("the shared library exports what is listed", exports(root, &prefix));
    for (program, linked) in [
        ("crates/ffi/tests/c/whole.c", Linked::Shared),
        ("crates/ffi/tests/c/whole.c", Linked::Static),
        ("crates/ffi/tests/c/misuse.c", Linked::Shared),
        ("crates/ffi/tests/c/whole.cpp", Linked::Shared),
        ("crates/ffi/tests/c/whole.cpp", Linked::Static),
        ("crates/ffi/tests/c/whole.c", Linked::Sanitized),
        ("crates/ffi/tests/c/misuse.c", Linked::Sanitized),
        ("crates/ffi/tests/c/jobs.c", Linked::Sanitized),
        ("crates/ffi/tests/c/whole.cpp", Linked::Sanitized),
    ] {
        count += programs.counted(program, linked, &[], &[])?;
    }
    let suite = root.join("tests/conformance");
    count += programs.counted("crates/ffi/tests/c/conformance.cpp", Linked::Sanitized, &[suite.as_os_str()], &[])?;
    let valgrind: Vec<&OsStr> = [
        "valgrind",
        "--quiet",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
        "--error-exitcode=9",
    ]
    .map(OsStr::new)
    .into();
    count += programs.counted("crates/ffi/tests/c/whole.c", Linked::Shared, &[], &valgrind)?;
    count += programs.counted("crates/ffi/tests/c/misuse.c", Linked::Shared, &[], &valgrind)?;
    count += programs.counted("crates/ffi/tests/c/jobs.c", Linked::Shared, &[], &valgrind)?;
    for language in ["c", "cpp"] {
        count += one(&format!("the guide's quickstart in {language}"), quickstart(&programs, language));
    }
    count += one("the vendor's loop", vendor(&programs));
    count += one("the program that is taken over", take_over(&programs, built));
    count += one("the bench of the face", bench(&programs));
    count += one("programs find the library by CMake", cmake(&programs));
    println!("C and C++: {} passed, {} failed", count.passed, count.failed);
    Ok(count)
}

/// From Debian, as the other tools of the system are.
fn install_tools(root: &Path) -> Result<()> {
    let mut packages = Vec::new();
    for (program, package) in [("valgrind", "valgrind"), ("cmake", "cmake"), ("pkg-config", "pkg-config")] {
        if !on_path(program) {
            packages.push(package);
        }
    }
    if !Path::new("/usr/include/nlohmann/json.hpp").exists() {
        packages.push("nlohmann-json3-dev"); // a JSON reader for the conformance runner
    }
    debian(root, &packages, &[])
}

/// Installs the library to a prefix: headers, both libraries, the files of pkg-config and `CMake`.
///
/// The shared library is linked here, from the static one. rustc can link it too, but only with a version script of its
/// own: without a name for the version, and with every function in it that any crate exports to C.
fn install(root: &Path, built: &Path, prefix: &Path) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let filled = |template: &str| -> Result<String> {
        let text = read(&root.join("crates/ffi/install").join(format!("{template}.in")))?
            .replace("@PREFIX@", &prefix.display().to_string())
            .replace("@VERSION@", version)
            .replace("@ABI@", &abi())
            .replace("@PRIVATE@", PRIVATE);
        ensure!(!text.contains('@'), "{template} has a word in it that nothing stands for");
        Ok(text)
    };
    let of_crate = root.join("crates/ffi");
    let (include, lib) = (prefix.join("include"), prefix.join("lib"));
    for folder in [&include, &lib.join("pkgconfig"), &lib.join("cmake/libmigrate")] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for header in ["migrate.h", "migrate.hpp"] {
        fs::copy(root.join("include").join(header), include.join(header))
            .with_context(|| format!("cannot copy {header}"))?;
    }

    let archive = lib.join("libmigrate.a");
    run_command(command("objcopy", root).arg("--strip-debug").arg(built).arg(&archive))?;
    let (soname, file) = (format!("libmigrate.so.{}", abi()), format!("libmigrate.so.{version}"));
    let mut script = tempfile::NamedTempFile::new().context("cannot make a file")?;
    script.write_all(filled("libmigrate.map")?.as_bytes()).context("cannot write the version script")?;
    let symbols = read(&of_crate.join("libmigrate.symbols"))?;
    let mut link = command("cc", root);
    link.args(["-shared", "-o"]).arg(lib.join(&file)).arg(format!("-Wl,-soname,{soname}"));
    link.arg(format!("-Wl,--version-script={}", script.path().display()));
    // Each is wanted, which takes it out of the archive.
    link.args(symbols.lines().map(|symbol| format!("-Wl,-u,{symbol}")));
    link.arg(&archive).args(["-Wl,--gc-sections", "-Wl,-z,defs"]).args(PRIVATE.split(' '));
    let linked = output(&mut link)?;
    ensure!(linked.is_empty(), "the linker says: {linked}");
    symlink(&file, lib.join(&soname)).and_then(|()| symlink(&soname, lib.join("libmigrate.so"))).context("no links")?;

    for (template, to) in [
        ("libmigrate.pc", lib.join("pkgconfig")),
        ("libmigrate-config.cmake", lib.join("cmake/libmigrate")),
        ("libmigrate-config-version.cmake", lib.join("cmake/libmigrate")),
    ] {
        fs::write(to.join(template), filled(template)?).with_context(|| format!("cannot write {template}"))?;
    }
    Ok(())
}

/// What the name of the shared library and of its symbols' version ends in: programs that were made with one library can
/// use each other of the same. While the major version is 0, a minor one may break them.
fn abi() -> String {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("0.", env!("CARGO_PKG_VERSION_MINOR")).to_owned(),
        major => major.to_owned(),
    }
}

/// Builds the library for release and installs it to `prefix`.
pub(crate) fn release(root: &Path, prefix: &Path) -> Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--release", "--locked", "--package", "libmigrate-ffi", "--lib"]);
    install(root, &Built::of(&mut build)?.c()?, prefix)
}

/// Compiles a C program of the repository into `folder`, with the library in it: `built` is one of the libraries that
/// cargo made.
pub(crate) fn program(root: &Path, built: &Path, folder: &Path, source: &str) -> Result<PathBuf> {
    let name = Path::new(source).file_stem().with_context(|| format!("{source} has no name"))?;
    let program = folder.join(name);
    let mut compile = command("cc", root);
    compile.args(["-std=c11", "-O2", "-D_POSIX_C_SOURCE=200809L"]).args(STRICT).arg("-I").arg(root.join("include"));
    compile.arg(root.join(source)).arg("-o").arg(&program).arg(built.with_extension("a")).args(PRIVATE.split(' '));
    output(&mut compile)?;
    Ok(program)
}

/// What is exported is checked in, so that a change of it is seen; each has the version's name.
fn exports(root: &Path, prefix: &Path) -> Result<()> {
    let library = prefix.join(format!("lib/libmigrate.so.{}", env!("CARGO_PKG_VERSION")));
    let mut nm = command("nm", root);
    let found = output(nm.args(["--dynamic", "--defined-only", "--with-symbol-versions"]).arg(&library))?;
    let node = format!("LIBMIGRATE_{}", abi());
    let mut found: Vec<&str> =
        found.lines().filter_map(|line| line.split(' ').nth(2)).filter(|name| *name != node).collect();
    found.sort_unstable();
    let kept = read(&root.join("crates/ffi/libmigrate.symbols"))?;
    let expected: Vec<String> = kept.lines().map(|symbol| format!("{symbol}@@{node}")).collect();
    let only = |these: &[&str], those: &[&str]| -> Vec<String> {
        these.iter().filter(|name| !those.contains(name)).map(ToString::to_string).collect()
    };
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    ensure!(
        found == expected,
        "not listed in crates/ffi/libmigrate.symbols: {:?}; not exported: {:?}",
        only(&found, &expected),
        only(&expected, &found)
    );

    let header = read(&root.join("include/migrate.h"))?;
    let undeclared = kept.lines().find(|symbol| !header.contains(&format!("{symbol}(")));
    ensure!(undeclared.is_none(), "{undeclared:?} is exported and not in the header");
    let dynamic = output(command("readelf", root).arg("--dynamic").arg(&library))?;
    let soname = format!("[libmigrate.so.{}]", abi());
    ensure!(dynamic.contains("SONAME") && dynamic.contains(&soname), "its SONAME is not {soname}");
    Ok(())
}

/// How a program is linked to the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    Shared,
    Static,
    /// Shared, and compiled with the compiler's own checks of memory and of undefined behaviour.
    Sanitized,
}

/// Where programs are made.
struct Programs<'a> {
    root: &'a Path,
    prefix: &'a Path,
    scratch: &'a Path,
    fake_arm: &'a Path,
}

impl Programs<'_> {
    /// Compiles a program of the repository.
    fn compile(&self, source: &str, linked: Linked) -> Result<PathBuf> {
        let name = format!("{}-{linked:?}", source.replace(['/', '.'], "-"));
        let program = self.scratch.join(name);
        if program.exists() {
            return Ok(program);
        }
        let (compiler, standard) = if Path::new(source).extension() == Some(OsStr::new("cpp")) {
            ("c++", "-std=c++17")
        } else {
            ("cc", "-std=c11")
        };
        let mut pkg_config = command("pkg-config", self.root);
        pkg_config.env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig"));
        pkg_config.args(["--cflags", "--libs"]).args((linked == Linked::Static).then_some("--static"));
        let flags = output(pkg_config.arg("libmigrate"))?;

        let mut compile = command(compiler, self.root);
        compile.arg(standard).arg("-D_POSIX_C_SOURCE=200809L").args(STRICT).arg(self.root.join(source));
        compile.arg("-o").arg(&program);
        if linked == Linked::Sanitized {
            compile.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]);
        }
        for flag in flags.split_whitespace() {
            match (flag, linked) {
                ("-lmigrate", Linked::Static) => compile.args(["-Wl,-Bstatic", flag, "-Wl,-Bdynamic"]),
                _ => compile.arg(flag),
            };
        }
        if linked != Linked::Static {
            compile.arg(format!("-Wl,-rpath,{}", self.prefix.join("lib").display()));
        }
        let printed = output(&mut compile)?;
        ensure!(printed.is_empty(), "the compiler says: {printed}");
        Ok(program)
    }

    /// A new folder.
    fn folder(&self) -> Result<PathBuf> {
        Ok(tempfile::tempdir_in(self.scratch).context("cannot make a folder")?.keep())
    }

    /// Compiles and runs a program that counts its own tests: what it printed last.
    fn counted(&self, source: &str, linked: Linked, arguments: &[&OsStr], under: &[&OsStr]) -> Result<Count> {
        let program = self.compile(source, linked)?;
        let mut words: Vec<&OsStr> = under.to_vec();
        words.push(program.as_os_str());
        words.extend(arguments);
        let mut command = command(words[0], self.root);
        command.args(&words[1..]).arg(self.folder()?).env("LIBMIGRATE_FAKE_ARM", self.fake_arm);
        // Valgrind takes its time.
        command.args((!under.is_empty()).then_some("few"));
        println!("$ {}", line(&command));
        let ran = command.output().with_context(|| format!("cannot start {}", program.display()))?;
        let printed = String::from_utf8_lossy(&ran.stdout);
        print!("{printed}{}", String::from_utf8_lossy(&ran.stderr));
        let mut count = printed.lines().last().and_then(summary).unwrap_or_default();
        // It died, or was found at fault by what it ran under.
        if !ran.status.success() && count.failed == 0 {
            println!("FAILED {source}: {}", ran.status);
            count.failed = 1;
        }
        ensure!(count.passed + count.failed > 0, "{source} counted nothing");
        Ok(count)
    }

    /// Compiles and runs a program that succeeds or not: what it printed.
    fn run(&self, source: &str, folder: &Path, arguments: &[&str]) -> Result<String> {
        let program = self.compile(source, Linked::Shared)?;
        output(command(program, self.root).arg(folder).args(arguments))
    }
}

/// Reads `3 passed, 0 failed`.
fn summary(line: &str) -> Option<Count> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some(Count { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

/// A check that counts as one test.
fn one(name: &str, result: Result<()>) -> Count {
    match result {
        Ok(()) => {
            println!("ok {name}");
            Count { passed: 1, failed: 0 }
        }
        Err(error) => {
            println!("FAILED {name}: {error:#}");
            Count { passed: 0, failed: 1 }
        }
    }
}

/// The program in the guide's page, as it stands there.
fn quickstart(programs: &Programs<'_>, language: &str) -> Result<()> {
    let page = read(&programs.root.join("docs/c.md"))?;
    let fence = format!("```{language}\n");
    let mut blocks = page.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next());
    let program = blocks.find(|block| block.contains("int main(")).context("the page has none")?;
    let folder = programs.folder()?;
    let source = folder.join(format!("quickstart.{language}"));
    fs::write(&source, format!("{program}\n")).context("cannot write the program")?;
    fs::write(folder.join("disk.raw"), vec![7; 3 << 20]).context("cannot write the disk")?;
    let printed = programs.run(&source.display().to_string(), &folder, &[])?;
    ensure!(printed == "recovery point 1: equal\n", "it printed {printed}");
    Ok(())
}

fn two_points(printed: &str) -> Result<()> {
    let lines: Vec<&str> = printed.lines().collect();
    let [first, second] = lines[..] else { bail!("it printed {printed}") };
    ensure!(first.starts_with("recovery point 1 (initial)"), "{first}");
    ensure!(second.starts_with("recovery point 2 (delta)") && second.contains(": 65536 bytes sent"), "{second}");
    Ok(())
}

fn vendor(programs: &Programs<'_>) -> Result<()> {
    two_points(&programs.run("crates/ffi/examples/vendor.c", &programs.folder()?, &[])?)
}

fn take_over(programs: &Programs<'_>, built: &Path) -> Result<()> {
    let folder = programs.folder()?;
    fs::write(folder.join("disk.raw"), vec![7; 3 << 20]).context("cannot write the disk")?;
    let program = program(programs.root, built, &folder, "tests/take_over/take_over.c")?;
    let printed = output(command(program, programs.root).arg(&folder).arg("0"))?;
    let lines: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let types: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    ensure!(types.contains(&"sealed") && types.last() == Some(&"done"), "{types:?}");
    ensure!(lines.last().is_some_and(|done| done["point"]["cycle"] == 1), "{printed}");
    Ok(())
}

fn bench(programs: &Programs<'_>) -> Result<()> {
    let printed = programs.run("benches/faces/c.c", &programs.folder()?, &["8"])?;
    let lines: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ways: Vec<&str> = lines.iter().filter_map(|line| line["way"].as_str()).collect();
    ensure!(ways == ["push", "serve", "event"], "{printed}");
    Ok(())
}

fn cmake(programs: &Programs<'_>) -> Result<()> {
    let build = programs.folder()?;
    let mut configure = command("cmake", programs.root);
    configure.arg("-S").arg(programs.root.join("crates/ffi/tests/c/cmake")).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", programs.prefix.display()));
    configure.arg(format!("-DCMAKE_C_FLAGS=-D_POSIX_C_SOURCE=200809L {}", STRICT.join(" ")));
    output(&mut configure)?;
    output(command("cmake", programs.root).arg("--build").arg(&build))?;
    for program in ["vendor_shared", "vendor_static"] {
        two_points(&output(command(build.join(program), programs.root).arg(programs.folder()?))?)
            .with_context(|| program.to_owned())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_program_is_its_count() {
        assert_eq!(summary("11 passed, 2 failed"), Some(Count { passed: 11, failed: 2 }));
        assert_eq!(summary("ok a_disk_is_pushed"), None);
        assert_eq!(summary(" passed,  failed"), None);
    }

    #[test]
    fn a_check_counts_as_one_test() {
        assert_eq!(one("it", Ok(())), Count { passed: 1, failed: 0 });
        assert_eq!(one("it", Err(anyhow::anyhow!("no"))), Count { passed: 0, failed: 1 });
    }
}
