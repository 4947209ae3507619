//! The C library libmigrate: `include/migrate.h` is made from this crate, doc comments and all.
//!
//! No logic is here. Everything goes to `libmigrate-embed`, the seam that all languages share; what this adds is what
//! C needs: handles that cannot dangle (`handle.rs`), a border where panics stop and arguments are checked
//! (`border.rs`), structures that can grow (`settings.rs`), buffers that come back once (`release.rs`), and file
//! descriptors for a program's own loop (`signal.rs`).
//!
//! # Threads
//!
//! Callbacks never run on a thread of an engine, only on threads that are made for them here. While one runs, no lock
//! of ours is held, and calls that wait are refused on its thread, because they could wait for the callback itself.

// The border to C is raw pointers: this crate is where they are allowed. Each block says why it may.
#![allow(unsafe_code)]
// The rules for callers are the same for every function, and stand once, at the top of the header.
#![allow(clippy::missing_safety_doc)]
// The comments are the header's, where nothing is rendered.
#![allow(clippy::doc_markdown)]
// These are the names of C.
#![allow(non_camel_case_types)]

mod border;
mod cycle;
mod engine;
mod error;
mod events;
mod handle;
mod job;
mod log;
mod project;
mod release;
mod replica;
mod results;
mod settings;
#[cfg(unix)]
mod signal;
mod source;
mod target;

use std::ffi::{CString, c_char};

pub use cycle::*;
pub use engine::*;
pub use error::*;
pub use events::*;
pub use job::*;
pub use log::*;
pub use project::*;
pub use replica::*;
pub use results::*;
pub use source::*;
pub use target::*;

use border::{Out, call, owned, quietly, text, text_or_empty};
pub(crate) use migrate_status::MIGRATE_OK;

/// Major version of the library that this header is of.
pub const MIGRATE_VERSION_MAJOR: u32 = 0;
/// Minor version of the library that this header is of.
pub const MIGRATE_VERSION_MINOR: u32 = 1;
/// Patch version of the library that this header is of.
pub const MIGRATE_VERSION_PATCH: u32 = 0;

/// What a call came to. New ones may be added; a program takes one that it does not know for MIGRATE_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[repr(C)]
pub enum migrate_status {
    /// It is done.
    MIGRATE_OK = 0,
    /// It failed; the error says why.
    MIGRATE_ERROR = 1,
    /// The memory limit is reached: nothing was done; migrate_cycle_wait says when to try again.
    MIGRATE_WOULD_BLOCK = 2,
    /// It is still under way when the time is up; the same call waits on.
    MIGRATE_NOT_YET = 3,
    /// The time was up, and what was under way was cancelled. What has settled at the target stays.
    MIGRATE_TIMED_OUT = 4,
    /// There is nothing more to come.
    MIGRATE_DONE = 5,
}

/// A stretch of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct migrate_extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is; at least 1.
    pub len: u64,
}

/// The version of the library that is loaded, as `0.1.0`.
///
/// Owner: the library; valid for ever. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// How many handles of the whole process are not freed: 0 at the end of a program that forgets none. Errors count.
/// Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_handle_count() -> usize {
    handle::count()
}

/// Frees a text that a call made, and sets the variable to NULL. Nothing happens if `text` or what it points to is
/// NULL. A text is memory and no handle: a second copy of its pointer must not be freed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_text_free(text: *mut *mut c_char) {
    // SAFETY: by the header's rules it is NULL, or a variable with NULL or a text that `owned` made.
    quietly(|| unsafe {
        if !text.is_null() {
            let text = text.replace(std::ptr::null_mut());
            if !text.is_null() {
                drop(CString::from_raw(text));
            }
        }
    });
}

/// Asks the control plane's model one thing: JSON in, JSON out. Pure: nothing is sent, and the same input gives the
/// same answer. The guide's page for C lists the functions.
///
/// `input` may be NULL. `answer` is the caller's, to be freed by migrate_text_free. Errors: call.argument.
/// Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_control(
    function: *const c_char,
    input: *const c_char,
    answer: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(answer, "answer")?;
            engine::be_silent();
            let answer = libmigrate_embed::control(text(function, "function")?, text_or_empty(input, "input")?)?;
            out.set(owned(answer));
            Ok(MIGRATE_OK)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr;

    use libmigrate_embed::VERSION;

    use super::*;

    #[test]
    fn the_header_and_the_library_tell_one_version() {
        let header = format!("{MIGRATE_VERSION_MAJOR}.{MIGRATE_VERSION_MINOR}.{MIGRATE_VERSION_PATCH}");
        // SAFETY: it ends with a zero byte.
        let library = unsafe { CStr::from_ptr(migrate_version()) };
        assert_eq!((library.to_str(), VERSION), (Ok(header.as_str()), header.as_str()));
    }

    #[test]
    fn a_text_is_freed_once() {
        let mut text = owned("a");
        // SAFETY: it is a variable with a text of ours, then with NULL; and NULL is allowed.
        unsafe {
            migrate_text_free(&raw mut text);
            assert!(text.is_null());
            migrate_text_free(&raw mut text);
            migrate_text_free(ptr::null_mut());
        }
    }
}
