//! What every exported function does at the border: panics stop, texts and outputs are checked.
//!
//! The functions that are `unsafe` here rely on the same rules of the header: a pointer that is not NULL points to
//! what its type says (texts end with a zero byte, arrays have as many elements as are stated), and stays so for
//! the time of the call.

use std::any::Any;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Duration;

use libmigrate::ReplicateError;
use libmigrate_embed::{CallError, Failure, Job};

use crate::error::migrate_error;
use crate::handle::{self, Handle};
use crate::migrate_status::{self, MIGRATE_ERROR, MIGRATE_OK, MIGRATE_TIMED_OUT};

/// Does `work`; its failure, or its panic, goes to `error`, where C wants it.
///
/// # Safety
///
/// `error` is NULL or may be written to.
pub(crate) unsafe fn call(
    error: *mut *mut migrate_error,
    work: impl FnOnce() -> Result<migrate_status, Failure>,
) -> migrate_status {
    let (status, failure) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(status)) => (status, None),
        Ok(Err(failure)) => (MIGRATE_ERROR, Some(failure)),
        Err(panic) => (MIGRATE_ERROR, Some(panicked(&*panic))),
    };
    if !error.is_null() {
        let handle = failure.map_or(ptr::null_mut(), |failure| handle::keep(failure.into()));
        // SAFETY: it is not NULL, so it may be written to.
        unsafe { error.write(handle) };
    }
    status
}

/// What a getter answers, or `otherwise` where the handle is none.
pub(crate) fn getter<T>(otherwise: T, work: impl FnOnce() -> Result<T, Failure>) -> T {
    catch_unwind(AssertUnwindSafe(work)).ok().and_then(Result::ok).unwrap_or(otherwise)
}

/// Does what has no result; a panic stops here.
pub(crate) fn quietly(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let words = panic.downcast_ref::<&str>().map(ToString::to_string);
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    let problem = format!("a panic: {}", words.as_deref().unwrap_or("without words"));
    ReplicateError::Internal { problem }.into()
}

/// A text of C; NULL is the empty one.
///
/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn text_or_empty<'a>(text: *const c_char, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: the same rules.
    Ok(unsafe { optional_text(text, name) }?.unwrap_or_default())
}

/// A text of C, which must be one.
///
/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: the same rules.
    unsafe { optional_text(text, name) }?.ok_or_else(|| CallError::argument(name, "it is NULL").into())
}

/// A text of C; NULL is none.
///
/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn optional_text<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, so it ends with a zero byte, by the header's rules.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| CallError::argument(name, "it is not UTF-8").into())
}

/// An array of C.
///
/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn array<'a, T>(first: *const T, count: usize, name: &str) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() || !first.is_aligned() {
        return Err(CallError::argument(name, "its pointer is NULL or not aligned").into());
    }
    if count.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(CallError::argument(name, "it is longer than memory").into());
    }
    // SAFETY: it is neither NULL nor unaligned nor too long, and has that many elements by the header's rules.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// A text for C, which it owns and gives back by `migrate_text_free`.
pub(crate) fn owned(text: impl Into<Vec<u8>>) -> *mut c_char {
    c_text(text).into_raw()
}

/// A text for C: what follows a zero byte, which none of ours has, is left out.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}

/// Where a result goes.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Checked before anything is done, so that no result is lost for want of a place.
    ///
    /// # Safety
    ///
    /// `place` is NULL, which is refused, or may be written to until the end of the call.
    pub(crate) unsafe fn at(place: *mut T, name: &str) -> Result<Self, Failure> {
        if place.is_null() {
            return Err(CallError::argument(name, "there is no place for the result: it is NULL").into());
        }
        Ok(Self(place))
    }

    /// Puts the result there.
    pub(crate) fn set(&self, value: T) {
        // SAFETY: `at` was promised that it may be written to.
        unsafe { self.0.write(value) };
    }
}

impl<T> Out<*mut T> {
    /// The same for what a pointer stands for; it is NULL until the result is there.
    ///
    /// # Safety
    ///
    /// That of [`at`](Self::at).
    pub(crate) unsafe fn pointer(place: *mut *mut T, name: &str) -> Result<Self, Failure> {
        // SAFETY: the same.
        let out = unsafe { Self::at(place, name) }?;
        out.set(ptr::null_mut());
        Ok(out)
    }
}

impl<H: Handle> Out<*mut H> {
    /// Puts a new handle there.
    pub(crate) fn keep(&self, object: H::Object) {
        self.set(handle::keep(object));
    }
}

/// Takes what C frees out of its variable.
///
/// # Safety
///
/// `place` is NULL or may be read and written.
pub(crate) unsafe fn free<H: Handle>(place: *mut *mut H) -> Option<std::sync::Arc<H::Object>> {
    if place.is_null() {
        return None;
    }
    // SAFETY: it is not NULL, so it may be read and written.
    let handle = unsafe { place.replace(ptr::null_mut()) };
    handle::take(handle)
}

/// A time limit of C: a negative one is none.
pub(crate) fn limit(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

thread_local! {
    /// Whether this thread is in a callback of C.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Calls C, which may call us, but not so that this thread waits.
pub(crate) fn callback<T>(work: impl FnOnce() -> T) -> T {
    let before = CALLING.replace(true);
    let result = work();
    CALLING.set(before);
    result
}

/// Whether this thread is in a callback.
pub(crate) fn in_callback() -> bool {
    CALLING.get()
}

/// `call.reentered` in a callback: whatever it waited for could wait for it.
pub(crate) fn may_wait() -> Result<(), Failure> {
    if in_callback() { Err(CallError::Reentered.into()) } else { Ok(()) }
}

/// Waits for a job as a blocking call does: when the time is up, it is cancelled.
pub(crate) fn wait<T: Send + 'static>(
    job: &Job<T>,
    milliseconds: i64,
    set: impl FnOnce(T),
) -> Result<migrate_status, Failure> {
    may_wait()?;
    Ok(match job.wait(limit(milliseconds))? {
        Some(result) => {
            set(result);
            MIGRATE_OK
        }
        None => MIGRATE_TIMED_OUT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_at_the_border_and_is_an_error() {
        let mut error = ptr::null_mut();
        // SAFETY: it is a variable.
        let status = unsafe { call(&raw mut error, || panic!("on {}", "purpose")) };
        assert_eq!(status, MIGRATE_ERROR);
        let failure = handle::get(error.cast_const()).unwrap();
        assert_eq!(failure.failure.code, "engine.internal");
        assert!(failure.failure.message.contains("on purpose"), "{:?}", failure.failure);
        // SAFETY: it is a variable.
        assert!(unsafe { free(&raw mut error) }.is_some() && error.is_null());
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { call(ptr::null_mut(), || panic!("again")) }, MIGRATE_ERROR);
        assert_eq!(getter(3, || panic!("in a getter")), 3);
        quietly(|| panic!("in a free"));
    }

    #[test]
    fn success_leaves_no_error_behind() {
        let mut error = ptr::without_provenance_mut(1);
        // SAFETY: it is a variable.
        assert_eq!(unsafe { call(&raw mut error, || Ok(MIGRATE_OK)) }, MIGRATE_OK);
        assert!(error.is_null());
    }

    #[test]
    fn texts_and_arrays_are_checked() {
        // SAFETY: all end with a zero byte.
        unsafe {
            assert_eq!(text(c"a".as_ptr(), "t"), Ok("a"));
            assert_eq!(text_or_empty(ptr::null(), "t"), Ok(""));
            assert_eq!(text(ptr::null(), "t").unwrap_err().code, "call.argument");
            assert!(text(c"\xff".as_ptr(), "t").unwrap_err().message.contains("UTF-8"));
            assert_eq!(array::<u64>(ptr::null(), 0, "a"), Ok(&[][..]));
            assert_eq!(array(&raw const TWO[0], 2, "a"), Ok(&TWO[..]));
            assert!(array::<u64>(ptr::null(), 1, "a").is_err());
            assert!(array(&raw const TWO[0], usize::MAX / 2, "a").is_err());
        }
    }

    static TWO: [u64; 2] = [1, 2];

    #[test]
    fn a_result_needs_a_place() {
        let mut place = 1;
        // SAFETY: NULL is allowed, and the other is a variable.
        unsafe {
            assert!(Out::<i32>::at(ptr::null_mut(), "point").is_err());
            Out::at(&raw mut place, "point").unwrap().set(2);
        }
        assert_eq!(place, 2);
    }

    #[test]
    fn a_callback_may_not_wait_and_its_thread_may_again_afterwards() {
        assert_eq!(callback(may_wait).unwrap_err().code, "call.reentered");
        assert!(callback(|| callback(in_callback) && in_callback()));
        assert_eq!(may_wait(), Ok(()));
    }

    #[test]
    fn a_negative_limit_is_none() {
        assert_eq!((limit(-1), limit(0), limit(1500)), (None, Some(Duration::ZERO), Some(Duration::from_millis(1500))));
    }
}
