//! How the shared library is linked: the name that programs look for at run time, and what it exports.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=libmigrate.map");
    let of_target = |name: &str| std::env::var(name).unwrap_or_default();
    if of_target("CARGO_CFG_TARGET_OS") == "linux" {
        let script = Path::new(&of_target("CARGO_MANIFEST_DIR")).join("libmigrate.map");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmigrate.so.{}", of_target("CARGO_PKG_VERSION_MAJOR"));
        println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={}", script.display());
    }
}
