//! Replicas and their cycles.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes_of_python::lend;
use crate::failed::failed;
use crate::job::{Job, Outcome};
use crate::source::Source;

/// One disk's replica.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Replica(pub(crate) libmigrate_embed::Replica);

#[pymethods]
impl Replica {
    fn location(&self) -> &str {
        self.0.location()
    }

    fn disk_bytes(&self) -> PyResult<Job> {
        Job::of(self.0.disk_bytes(), Outcome::Number)
    }

    fn replicate(&self, source: &Source, settings: &str) -> PyResult<Job> {
        Job::of(self.0.replicate(&source.0, settings), Outcome::Text)
    }

    fn begin(&self, source: &Source, settings: &str) -> PyResult<Job> {
        Job::of(self.0.begin(&source.0, settings), Outcome::Cycle)
    }

    fn verify(&self, source: Option<&Source>, settings: &str) -> PyResult<Job> {
        Job::of(self.0.verify(source.map(|source| &source.0), settings), Outcome::Text)
    }

    fn recovery_points(&self) -> PyResult<Job> {
        Job::of(self.0.recovery_points(), Outcome::Text)
    }

    fn history(&self) -> PyResult<Job> {
        Job::of(self.0.history(), Outcome::Text)
    }

    fn prune(&self, rule: &str) -> PyResult<Job> {
        Job::of(self.0.prune(rule), Outcome::Text)
    }

    fn roll_back(&self, cycle: u32) -> PyResult<Job> {
        Job::of(self.0.roll_back(cycle), Outcome::Text)
    }

    fn export_proof(&self, path: PathBuf, settings: &str) -> PyResult<Job> {
        Job::of(self.0.export_proof(path, settings), Outcome::Text)
    }

    fn garbage(&self) -> PyResult<Job> {
        Job::of(self.0.garbage(), Outcome::Text)
    }

    fn collect_garbage(&self) -> PyResult<Job> {
        Job::of(self.0.collect_garbage(), Outcome::Text)
    }

    fn close(&self) -> PyResult<Job> {
        Job::of(self.0.close(), |()| Outcome::Nothing)
    }
}

/// One pass of replication.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Cycle(pub(crate) libmigrate_embed::Cycle);

#[pymethods]
impl Cycle {
    fn next(&self) -> PyResult<Job> {
        Job::of(self.0.next(), Outcome::Wanted)
    }

    fn push(&self, offset: u64, data: Bound<'_, PyBytes>) -> PyResult<Job> {
        Job::of(self.0.push(offset, lend(data)), |()| Outcome::Nothing)
    }

    /// Whether there was room.
    fn try_push(&self, offset: u64, data: Bound<'_, PyBytes>) -> PyResult<bool> {
        Ok(self.0.try_push(offset, lend(data)).map_err(failed)?.is_none())
    }

    fn room(&self) -> PyResult<Job> {
        Job::of(self.0.room(), |()| Outcome::Nothing)
    }

    fn copy_from(&self, source: &Source) -> PyResult<Job> {
        Job::of(self.0.copy_from(&source.0), |()| Outcome::Nothing)
    }

    fn seal(&self) -> PyResult<Job> {
        Job::of(self.0.seal(), Outcome::Text)
    }

    fn stop(&self) {
        self.0.stop();
    }
}
