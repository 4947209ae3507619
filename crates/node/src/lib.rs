//! The native half of the npm package `libmigrate`.
//!
//! It gives the JavaScript half (`index.js`) what only native code can: classes over [`libmigrate_embed`], whose
//! settings and results cross as JSON text; jobs that ring when they are done; bytes, copied once. It holds no logic,
//! and users never see it.
//!
//! # Threads
//!
//! Every method runs on the thread of the JavaScript environment that made the object, and none blocks. Threads of
//! an engine only ring (`bell.rs`): Node.js then calls back on the environment's own thread, or not at all if the
//! environment is gone.
//!
//! # Failures
//!
//! A [`Failure`] is thrown as an `Error` whose message is its JSON; `index.js` makes a
//! `LibmigrateError` of it. A panic is caught at the border (`catch_unwind`) and thrown in the same way.

#![allow(clippy::needless_pass_by_value)] // napi hands texts, bytes and functions over by value

use libmigrate_embed::{CallError, Failure};
use napi_derive::napi;

mod bell;
mod cycle;
mod engine;
mod events;
mod job;
mod logs;
mod project;
mod replica;
mod requests;
mod source;
mod target;

/// What is thrown for a failure: [the crate](crate) says how.
fn thrown(failure: Failure) -> napi::Error {
    napi::Error::from_reason(failure.to_json())
}

/// A whole number from JavaScript, which has no unsigned ones.
fn whole(name: &'static str, number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| CallError::argument(name, "it is negative").into())
}

/// A number for JavaScript. Sizes and offsets of disks end at 8 TiB, far below 2^53.
fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The version of the native half.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    libmigrate_embed::VERSION
}

/// The failure of an argument that the JavaScript half refuses, as JSON.
#[napi(catch_unwind)]
pub fn refused(argument: String, problem: String) -> String {
    Failure::from(CallError::argument(argument, problem)).to_json()
}

/// The failure of this library itself, as JSON: a panic, or what cannot be.
#[napi(catch_unwind)]
pub fn internal(problem: String) -> String {
    Failure::from(libmigrate::ReplicateError::Internal { problem }).to_json()
}

/// Asks the control plane's model: JSON in, JSON out.
#[napi(catch_unwind)]
pub fn control(function: String, input: String) -> napi::Result<String> {
    libmigrate_embed::control(&function, &input).map_err(thrown)
}

/// Panics, so that a test can see what becomes of it. Not in releases.
#[cfg(debug_assertions)]
#[napi(catch_unwind)]
pub fn panic_on_purpose() {
    panic!("on purpose");
}
