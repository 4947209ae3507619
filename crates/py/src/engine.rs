//! The engine.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libmigrate_embed::CallError;
use pyo3::prelude::*;

use crate::events::Events;
use crate::failed::failed;
use crate::job::{Job, Outcome};
use crate::source::{Source, Target};
use crate::waiting::{SLICE, without_interpreter};

/// An engine and its threads.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Engine(pub(crate) libmigrate_embed::Engine);

#[pymethods]
impl Engine {
    #[new]
    fn new(settings: &str) -> PyResult<Self> {
        libmigrate_embed::Engine::open(settings).map(Self).map_err(failed)
    }

    fn open_source(&self, settings: &str) -> PyResult<Job> {
        Job::of(self.0.open_source(settings), Outcome::Source)
    }

    fn open_replica(&self, target: &Target, source: &Source) -> PyResult<Job> {
        Job::of(self.0.open_replica(&target.0, &source.0), Outcome::Replica)
    }

    fn take_over(&self, target: &Target, source: &Source) -> PyResult<Job> {
        Job::of(self.0.take_over(&target.0, &source.0), Outcome::Replica)
    }

    fn events(&self, after: u64) -> PyResult<Events> {
        self.0.events(after).map(Events::new).map_err(failed)
    }

    fn preflight_network(&self, settings: &str) -> PyResult<Job> {
        Job::of(self.0.preflight_network(settings), Outcome::Text)
    }

    fn set_bytes_per_second(&self, limit: Option<u64>) -> PyResult<()> {
        self.0.set_bytes_per_second(limit).map_err(failed)
    }

    fn set_schedule(&self, schedule: Option<&str>) -> PyResult<()> {
        self.0.set_schedule(schedule).map_err(failed)
    }

    /// Blocks for at most `limit` seconds. A signal, such as Ctrl-C, ends the wait, not the closing.
    fn close(&self, py: Python<'_>, limit: f64) -> PyResult<()> {
        let limit = Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX);
        let (engine, (tell, told)) = (self.0.clone(), mpsc::channel());
        std::thread::Builder::new().name("libmigrate-close".into()).spawn(move || tell.send(engine.close(limit)))?;
        let told = Mutex::new(told);
        loop {
            let slice = || told.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SLICE);
            match without_interpreter(py, slice)? {
                Ok(closed) => return closed.map_err(failed),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Err(failed(CallError::Closed { what: "engine" }.into())),
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
