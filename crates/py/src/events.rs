//! Events and the log.

use std::process;
use std::time::Duration;

use pyo3::prelude::*;

use crate::failed::{check_process, failed};
use crate::job::{Job, Outcome};
use crate::waiting::without_interpreter;

/// A reader of an engine's events.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Events {
    events: libmigrate_embed::Events,
    opened_in: u32,
}

impl Events {
    pub(crate) fn new(events: libmigrate_embed::Events) -> Self {
        Self { events, opened_in: process::id() }
    }
}

#[pymethods]
impl Events {
    /// The next event as JSON, if there is one already.
    fn try_next(&self) -> PyResult<Option<String>> {
        check_process(self.opened_in)?;
        Ok(self.events.try_next())
    }

    /// Ends when there is an event to take, or the engine is closed.
    fn wait(&self) -> PyResult<Job> {
        Job::of(self.events.wait(), |()| Outcome::Nothing)
    }
}

/// The log of this process.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Logs(libmigrate_embed::Logs);

#[pymethods]
impl Logs {
    #[new]
    fn new(level: &str) -> PyResult<Self> {
        libmigrate_embed::Logs::open(level).map(Self).map_err(failed)
    }

    /// The next line as JSON, if there is one within `limit` seconds.
    fn next(&self, py: Python<'_>, limit: f64) -> PyResult<Option<String>> {
        let limit = Duration::try_from_secs_f64(limit).unwrap_or_default();
        without_interpreter(py, || self.0.next(Some(limit)).map(|line| line.to_json()))
    }
}
