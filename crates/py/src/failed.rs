//! Errors on their way out.

use libmigrate_embed::{CallError, Failure};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    libmigrate._native,
    Failed,
    PyException,
    "An error as JSON, of which the package makes one of its own."
);

/// The failure as an exception.
#[allow(clippy::needless_pass_by_value)] // it stands in `map_err`
pub(crate) fn failed(failure: Failure) -> PyErr {
    Failed::new_err(failure.to_json())
}

/// Refuses to use in a forked process what was made before.
pub(crate) fn check_process(opened_in: u32) -> PyResult<()> {
    if opened_in == std::process::id() {
        return Ok(());
    }
    Err(failed(CallError::Forked { opened_in }.into()))
}
