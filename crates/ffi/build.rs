//! How the shared library is linked: the name that programs look for at run time.
//!
//! A version script has no effect here: rustc hands the linker one of its own, without a version's name, and the linker
//! takes the first. The library that is installed is therefore linked from the static one, with `libmigrate.map`
//! (`crates/xtask/src/test/c.rs`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of_target = |name: &str| std::env::var(name).unwrap_or_default();
    if of_target("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmigrate.so.{}", of_target("CARGO_PKG_VERSION_MAJOR"));
    }
}
