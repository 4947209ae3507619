//! Errors.

use std::ffi::{CString, c_char};
use std::ptr;

use libmigrate::error::ErrorKind;
use libmigrate_embed::Failure;

use crate::border::{c_text, free, getter, quietly};
use crate::handle::{self, Handle};

/// Why a call failed: made by the call that returned MIGRATE_ERROR, and the caller's, to be freed by
/// migrate_error_free. It never holds a secret.
pub struct migrate_error(());

/// Whose turn it is after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum migrate_error_kind {
    /// There is no error: the handle was NULL or freed.
    MIGRATE_KIND_NONE = 0,
    /// Passing: the same call may succeed later.
    MIGRATE_KIND_RETRYABLE = 1,
    /// Something outside must be put right first.
    MIGRATE_KIND_FATAL = 2,
    /// The call itself must change.
    MIGRATE_KIND_CALLER = 3,
}

/// A failure and its texts as C reads them.
pub(crate) struct ErrorObject {
    pub(crate) failure: Failure,
    code: CString,
    message: CString,
    remedy: CString,
    causes: Vec<CString>,
    json: CString,
}

impl Handle for migrate_error {
    type Object = ErrorObject;
    const NAME: &'static str = "error";
}

impl From<Failure> for ErrorObject {
    fn from(failure: Failure) -> Self {
        Self {
            code: c_text(failure.code.as_str()),
            message: c_text(failure.message.as_str()),
            remedy: c_text(failure.remedy.as_str()),
            causes: failure.causes.iter().map(|cause| c_text(cause.as_str())).collect(),
            json: c_text(failure.to_json()),
            failure,
        }
    }
}

/// The error's code, `area.what`: stable, and each has a section in the guide's catalogue of errors.
///
/// Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_code(error: *const migrate_error) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(error)?.code.as_ptr()))
}

/// Whose turn it is. MIGRATE_KIND_NONE if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_kind_of(error: *const migrate_error) -> migrate_error_kind {
    getter(migrate_error_kind::MIGRATE_KIND_NONE, || {
        Ok(match handle::get(error)?.failure.kind {
            ErrorKind::Retryable => migrate_error_kind::MIGRATE_KIND_RETRYABLE,
            ErrorKind::Fatal => migrate_error_kind::MIGRATE_KIND_FATAL,
            ErrorKind::Caller => migrate_error_kind::MIGRATE_KIND_CALLER,
        })
    })
}

/// Whether the same call may succeed later without any change. False if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_retryable(error: *const migrate_error) -> bool {
    getter(false, || Ok(handle::get(error)?.failure.retryable))
}

/// What failed, on what, and why.
///
/// Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_message(error: *const migrate_error) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(error)?.message.as_ptr()))
}

/// What to do.
///
/// Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_remedy(error: *const migrate_error) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(error)?.remedy.as_ptr()))
}

/// How many causes it has. 0 if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_cause_count(error: *const migrate_error) -> usize {
    getter(0, || Ok(handle::get(error)?.causes.len()))
}

/// One of its causes, the nearest first.
///
/// Owner: the error; valid until it is freed. NULL if there is none of that number. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_cause(error: *const migrate_error, index: usize) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(error)?.causes.get(index).map_or(ptr::null(), |cause| cause.as_ptr())))
}

/// All of it as JSON: `code`, `kind`, `retryable`, `message`, `remedy`, `causes`.
///
/// Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_error_json(error: *const migrate_error) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(error)?.json.as_ptr()))
}

/// Frees an error, and its texts with it, and sets the variable to NULL. Nothing happens if `error` or what it points
/// to is NULL or freed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_error_free(error: *mut *mut migrate_error) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(error) }));
}
