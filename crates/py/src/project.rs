//! The control plane of one migration.

use pyo3::prelude::*;

use crate::engine::Engine;
use crate::failed::failed;
use crate::job::{Job, Outcome};
use crate::served::Token;

/// One migration: what is wanted, and the service to talk to.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Project(libmigrate_embed::Project);

#[pymethods]
impl Project {
    #[new]
    fn new(engine: &Engine, settings: &str, token: &Token) -> PyResult<Self> {
        libmigrate_embed::Project::open(&engine.0, settings, &token.0).map(Self).map_err(failed)
    }

    fn preflight(&self, settings: &str) -> PyResult<Job> {
        Job::of(self.0.preflight(settings), Outcome::Text)
    }

    fn plan(&self, aim: &str) -> PyResult<Job> {
        Job::of(self.0.plan(aim), Outcome::Text)
    }

    fn ask(&self, verb: &str) -> PyResult<Job> {
        Job::of(self.0.ask(verb), Outcome::Text)
    }

    fn template(&self, plan: &str) -> PyResult<Job> {
        Job::of(self.0.template(plan), Outcome::Text)
    }

    fn hosts_lines(&self) -> PyResult<Job> {
        Job::of(self.0.hosts_lines(), Outcome::Text)
    }

    fn apply(&self, settings: &str) -> PyResult<Job> {
        Job::of(self.0.apply(settings), Outcome::Text)
    }

    fn cutover(&self, settings: &str) -> PyResult<Job> {
        Job::of(self.0.cutover(settings), Outcome::Text)
    }

    fn next_told(&self) -> Option<String> {
        self.0.next_told()
    }
}
