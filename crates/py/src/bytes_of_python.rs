//! Bytes that cross the border without being copied, in both directions.
//!
//! The buffer protocol itself came into Python's stable ABI with 3.11, and we run on 3.9: so what is pushed is
//! `bytes`, which never change, and what is read into is a `memoryview` over memory of ours.
#![allow(unsafe_code)] // memory that two languages share

use std::ffi::c_char;

use bytes::Bytes;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

/// Python's bytes as ours. They stay alive until ours are dropped, on whatever thread that is.
pub(crate) fn lend(data: Bound<'_, PyBytes>) -> Bytes {
    struct Lent {
        bytes: &'static [u8],
        /// Dropping it without the interpreter only notes it down; whoever next comes with the interpreter lets it go.
        _owner: Py<PyBytes>,
    }
    impl AsRef<[u8]> for Lent {
        fn as_ref(&self) -> &[u8] {
            self.bytes
        }
    }
    // SAFETY: a `bytes` object never moves or changes while it is alive, and `_owner` keeps it alive for as long as
    // the slice can be reached.
    let bytes = unsafe { std::slice::from_raw_parts(data.as_bytes().as_ptr(), data.as_bytes().len()) };
    Bytes::from_owner(Lent { bytes, _owner: data.unbind() })
}

/// Memory of ours while Python may write to it.
///
/// A view of it can outlive everything (a slice that was put away, an array over it), and whoever writes through one
/// must not hit memory that was freed. So it comes back only when nothing can reach it any more; otherwise, and
/// when this is dropped early, it is never freed.
pub(crate) struct Borrowed {
    memory: *mut u8,
    len: usize,
    view: Py<PyAny>,
}

// SAFETY: the memory belongs to this value alone but for `view`, which asks for the interpreter.
unsafe impl Send for Borrowed {}
// SAFETY: nothing but `take_back`, which consumes it, touches the memory.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    pub(crate) fn lend(py: Python<'_>, memory: Vec<u8>) -> PyResult<Self> {
        let memory = memory.into_boxed_slice();
        let len = memory.len();
        let size = ffi::Py_ssize_t::try_from(len)?;
        let memory = Box::into_raw(memory).cast::<u8>();
        // SAFETY: the interpreter is attached, and `memory` has `len` bytes, initialised, that nobody else uses; they
        // are freed by `take_back` alone, when nothing refers to them.
        let view = unsafe {
            let view = ffi::PyMemoryView_FromMemory(memory.cast::<c_char>(), size, WRITE);
            Bound::from_owned_ptr_or_err(py, view)?
        };
        Ok(Self { memory, len, view: view.unbind() })
    }

    pub(crate) fn view(&self, py: Python<'_>) -> Py<PyAny> {
        self.view.clone_ref(py)
    }

    /// The memory, if Python has let go of it. Its view is of no use from then on.
    pub(crate) fn take_back(self, py: Python<'_>) -> Option<Vec<u8>> {
        if !is_let_go(self.view.bind(py)).unwrap_or(false) {
            return None;
        }
        let slice = std::ptr::slice_from_raw_parts_mut(self.memory, self.len);
        // SAFETY: `lend` made it of a box of this length, nothing reaches it any more, and `self` is consumed.
        Some(unsafe { Box::from_raw(slice) }.into_vec())
    }
}

/// `PyBUF_WRITE`, which pyo3 leaves out where the buffer protocol is not stable; `PyMemoryView_FromMemory` is since 3.7.
const WRITE: std::ffi::c_int = 0x200;

/// Whether nothing else reaches the memory of `view`, which is released by this.
///
/// Views of one memory share one managed buffer, each with a reference to it: slices, casts and copies of the view
/// show in its count. What exports the view itself (an array, ctypes) keeps it from being released. No Python code
/// runs in between.
fn is_let_go(view: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GET_REFERENTS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let referents = GET_REFERENTS.import(view.py(), "gc", "get_referents")?.call1((view,))?;
    if referents.len()? != 1 {
        return Ok(false);
    }
    let managed = referents.get_item(0)?;
    // SAFETY: it is a live object and the interpreter is attached.
    let count = unsafe { ffi::Py_REFCNT(managed.as_ptr()) };
    // The view's, the list's and our own.
    if count != 3 {
        return Ok(false);
    }
    Ok(view.call_method0("release").is_ok())
}
