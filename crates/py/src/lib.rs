//! The native half of the Python package `libmigrate`: the seam of `libmigrate-embed` as Python objects, one to one.
//!
//! Users never see this module. The package around it (`python/libmigrate`) gives it Python's face: keyword
//! arguments, dataclasses, exceptions, `asyncio`.
//!
//! # What keeps an interpreter safe
//!
//! - No thread of an engine touches the interpreter. What is asked of Python (a read, a token) is taken from a queue
//!   by a Python thread; what has ended is told to an event loop by a byte on a socket.
//! - Nothing here calls back into Python code. An interpreter that ends kills the threads that want to go on, and to
//!   be killed below a frame of Rust is an abort; so errors leave as data (`Failed` holds JSON), and the loops that
//!   serve requests are Python's.
//! - Whatever waits gives the interpreter up in one place, `waiting.rs`, which the end of the interpreter closes first.

mod bytes_of_python;
mod engine;
mod events;
mod failed;
mod job;
mod project;
mod replica;
mod served;
mod source;
mod waiting;

use pyo3::prelude::*;

/// The native half of libmigrate.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::events::{Events, Logs};
    #[pymodule_export]
    use crate::failed::Failed;
    #[pymodule_export]
    use crate::job::Job;
    #[cfg(unix)]
    #[pymodule_export]
    use crate::job::Wakeups;
    #[pymodule_export]
    use crate::project::Project;
    #[pymodule_export]
    use crate::replica::{Cycle, Replica};
    #[pymodule_export]
    use crate::served::{Read, Reads, Token, TokenAsked, Tokens};
    #[pymodule_export]
    use crate::source::{Source, Target};
    #[pymodule_export]
    use crate::waiting::{after_fork, end};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("VERSION", libmigrate_embed::VERSION)
    }

    /// Asks the control plane's model one thing.
    #[pyfunction]
    fn control(function: &str, input: &str) -> PyResult<String> {
        libmigrate_embed::control(function, input).map_err(crate::failed::failed)
    }
}
