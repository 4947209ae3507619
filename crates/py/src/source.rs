//! Sources and targets.

use pyo3::prelude::*;

use crate::failed::failed;
use crate::served::{Reads, Token};

/// A disk to replicate.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Source(pub(crate) libmigrate_embed::Source);

#[pymethods]
impl Source {
    #[staticmethod]
    fn pushed(settings: &str) -> PyResult<Self> {
        libmigrate_embed::Source::pushed(settings).map(Self).map_err(failed)
    }

    #[staticmethod]
    fn served(settings: &str) -> PyResult<(Self, Reads)> {
        let (source, reads) = libmigrate_embed::Source::served(settings).map_err(failed)?;
        Ok((Self(source), Reads(reads)))
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn identity(&self) -> Option<String> {
        self.0.identity()
    }

    fn point(&self) -> Option<String> {
        self.0.point()
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}

/// Where a replica goes.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Target(pub(crate) libmigrate_embed::Target);

#[pymethods]
impl Target {
    #[new]
    fn new(settings: &str, token: Option<&Token>) -> PyResult<Self> {
        let token = token.map(|token| token.0.clone());
        libmigrate_embed::Target::open(settings, token).map(Self).map_err(failed)
    }

    fn location(&self) -> String {
        self.0.location()
    }
}
