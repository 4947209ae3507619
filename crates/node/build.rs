//! How the linker is told that Node.js brings the rest.

fn main() {
    napi_build::setup();
}
