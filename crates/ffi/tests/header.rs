//! `include/migrate.h` is checked in, so that nobody needs cbindgen to build against it; here it is made again.

use std::path::{Path, PathBuf};

fn header() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/migrate.h")
}

fn made() -> String {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_folder.join("cbindgen.toml")).unwrap();
    let mut text = Vec::new();
    cbindgen::generate_with_config(crate_folder, config).unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_what_the_code_makes() {
    let made = made();
    if std::env::var_os("LIBMIGRATE_WRITE_HEADER").is_some() {
        std::fs::write(header(), &made).unwrap();
    }
    let kept = std::fs::read_to_string(header()).unwrap();
    let first = made.lines().zip(kept.lines()).enumerate().find(|(_, (made, kept))| made != kept);
    assert!(
        made == kept,
        "include/migrate.h is not what the code makes; first difference: {first:?}; to write it: \
         LIBMIGRATE_WRITE_HEADER=1 cargo test -p libmigrate-ffi --test header"
    );
}

/// A doc comment and the function under it.
fn functions(header: &str) -> Vec<(&str, &str)> {
    header
        .split("/**")
        .skip(1)
        .filter_map(|part| part.split_once("*/"))
        .filter(|(_, code)| code.contains('(') && !code.contains("typedef"))
        .collect()
}

#[test]
fn every_function_tells_its_thread_safety_its_errors_and_who_owns_what() {
    let header = std::fs::read_to_string(header()).unwrap();
    let functions = functions(&header);
    assert!(functions.len() > 60, "{}", functions.len());
    for (comment, code) in functions {
        // A line break may fall anywhere.
        let comment: String = comment.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
        assert!(comment.contains("Thread-safe"), "{comment}{code}");
        if code.contains("migrate_status migrate_") {
            assert!(comment.contains("Errors:"), "{comment}{code}");
        }
        let gives = code.replace("migrate_error **error", "").contains("**");
        if gives && !code.contains("_free(") {
            assert!(comment.contains("freed by"), "{comment}{code}");
        }
        if code.contains("const char *migrate_") {
            assert!(comment.contains("Owner:"), "{comment}{code}");
        }
    }
}
