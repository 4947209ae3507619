//! Where a thread gives up the interpreter and waits.
//!
//! When an interpreter ends, a thread that wants it back is killed where it stands, and below a frame of Rust that
//! is an abort of the process. So the end is told here first: [`end`] lets nobody wait any more and sees to it that
//! those who do come back while there is an interpreter to come back to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libmigrate_embed::CallError;
use pyo3::prelude::*;

use crate::failed::failed;

/// How long a wait lasts at most before it looks whether it is still wanted: by the user, who may have pressed
/// Ctrl-C, and by the interpreter, which may have come to its end.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

static WAITING: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);

/// Does `work` without the interpreter. `call.closed` when that is ending.
pub(crate) fn without_interpreter<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let _waits = Waits::start()?;
    Ok(py.detach(work))
}

/// Whether the interpreter is ending.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Counted until it has the interpreter back.
struct Waits;

impl Waits {
    fn start() -> PyResult<Self> {
        // First counted, then refused: so `end` either sees the count or is seen.
        WAITING.fetch_add(1, Ordering::SeqCst);
        let waits = Self;
        if is_ending() {
            return Err(failed(CallError::Closed { what: "interpreter" }.into()));
        }
        Ok(waits)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        // A forked process has forgotten those of its parent.
        let _ = WAITING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| waiting.checked_sub(1));
    }
}

/// From now on nothing waits. Comes back when nobody does, or after `limit` seconds; whether nobody does.
#[pyfunction]
pub(crate) fn end(py: Python<'_>, limit: f64) -> bool {
    ENDING.store(true, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs_f64(limit);
    while WAITING.load(Ordering::SeqCst) > 0 {
        if Instant::now() >= until {
            return false;
        }
        py.detach(|| std::thread::sleep(Duration::from_millis(2)));
    }
    true
}

/// To be called in a process that was forked: the threads that waited are not in it.
#[pyfunction]
pub(crate) fn after_fork() {
    WAITING.store(0, Ordering::SeqCst);
}
