//! What is under way, as a Python object.

use std::process;
use std::time::{Duration, Instant};

use libmigrate::extent::Extent;
use libmigrate_embed::Failure;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::failed::{check_process, failed};
use crate::replica::{Cycle, Replica};
use crate::source::Source;
use crate::waiting::{SLICE, is_ending, without_interpreter};

/// What a job may come to.
pub(crate) enum Outcome {
    Nothing,
    Text(String),
    Number(u64),
    Wanted(Option<Extent>),
    Source(libmigrate_embed::Source),
    Replica(libmigrate_embed::Replica),
    Cycle(libmigrate_embed::Cycle),
}

impl Outcome {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Nothing => Ok(py.None()),
            Self::Text(text) => text.into_py_any(py),
            Self::Number(number) => number.into_py_any(py),
            Self::Wanted(wanted) => {
                wanted.map(|extent| (extent.offset(), extent.end() - extent.offset())).into_py_any(py)
            }
            Self::Source(source) => Source(source).into_py_any(py),
            Self::Replica(replica) => Replica(replica).into_py_any(py),
            Self::Cycle(cycle) => Cycle(cycle).into_py_any(py),
        }
    }
}

/// A job of any outcome.
trait Running: Send + Sync {
    fn wait(&self, limit: Duration) -> Result<Option<Outcome>, Failure>;
    fn cancel(&self);
    fn is_done(&self) -> bool;
    fn on_done(&self, tell: Box<dyn FnOnce() + Send>);
}

struct Of<T> {
    job: libmigrate_embed::Job<T>,
    outcome: fn(T) -> Outcome,
}

impl<T: Send + 'static> Running for Of<T> {
    fn wait(&self, limit: Duration) -> Result<Option<Outcome>, Failure> {
        Ok(self.job.wait(Some(limit))?.map(self.outcome))
    }

    fn cancel(&self) {
        self.job.cancel();
    }

    fn is_done(&self) -> bool {
        self.job.is_done()
    }

    fn on_done(&self, tell: Box<dyn FnOnce() + Send>) {
        self.job.on_done(tell);
    }
}

/// Something under way. Dropping it cancels it.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Job {
    running: Box<dyn Running>,
    started_in: u32,
}

impl Job {
    /// The job that was started, if it was.
    pub(crate) fn of<T: Send + 'static>(
        started: Result<libmigrate_embed::Job<T>, Failure>,
        outcome: fn(T) -> Outcome,
    ) -> PyResult<Self> {
        let job = started.map_err(failed)?;
        Ok(Self { running: Box::new(Of { job, outcome }), started_in: process::id() })
    }
}

/// How long a wait that the user broke off gives the job to end.
const LAST_WAIT: Duration = Duration::from_millis(850);

#[pymethods]
impl Job {
    /// Waits for the result and takes it. A signal, such as Ctrl-C, cancels the job.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        check_process(self.started_in)?;
        loop {
            let ended = without_interpreter(py, || self.running.wait(SLICE))?;
            if let Some(outcome) = ended.map_err(failed)? {
                return outcome.into_python(py);
            }
            if let Err(signal) = py.check_signals() {
                self.running.cancel();
                let _ended = without_interpreter(py, || self.running.wait(LAST_WAIT))?;
                return Err(signal);
            }
            if is_ending() {
                self.running.cancel();
            }
        }
    }

    /// Waits for at most `limit` seconds; whether it has ended by then, and if so, its result is gone. A signal, such
    /// as Ctrl-C, cancels the job.
    fn ends_within(&self, py: Python<'_>, limit: f64) -> PyResult<bool> {
        check_process(self.started_in)?;
        let until = Duration::try_from_secs_f64(limit).ok().and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
            let ended = without_interpreter(py, || self.running.wait(left.min(SLICE)))?.map_err(failed)?;
            if ended.is_some() || left.is_zero() {
                return Ok(ended.is_some());
            }
            py.check_signals().inspect_err(|_| self.running.cancel())?;
        }
    }

    /// Takes the result of a job that is done.
    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        check_process(self.started_in)?;
        let ended = self.running.wait(Duration::ZERO).map_err(failed)?;
        ended.unwrap_or(Outcome::Nothing).into_python(py)
    }

    /// Asks it to end. Never waits.
    fn cancel(&self) {
        self.running.cancel();
    }

    /// Whether it has ended.
    fn is_done(&self) -> PyResult<bool> {
        check_process(self.started_in)?;
        Ok(self.running.is_done())
    }

    /// Tells `wakeups` of `number` when it has ended.
    #[cfg(unix)]
    #[allow(clippy::needless_pass_by_value)] // as Python hands it over
    fn tell(&self, wakeups: PyRef<'_, Wakeups>, number: u64) -> PyResult<()> {
        check_process(self.started_in)?;
        let ended = std::sync::Arc::clone(&wakeups.ended);
        self.running.on_done(Box::new(move || ended.put(number)));
        Ok(())
    }
}

#[cfg(unix)]
pub(crate) use unix::Wakeups;

#[cfg(unix)]
mod unix {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::sync::{Arc, Mutex, PoisonError};

    use pyo3::prelude::*;

    /// Numbers of jobs that ended, and a socket that can be read when there are some: for an event loop.
    #[pyclass(frozen, module = "libmigrate._native")]
    pub(crate) struct Wakeups {
        pub(super) ended: Arc<Ended>,
        socket: UnixStream,
    }

    pub(super) struct Ended {
        numbers: Mutex<Vec<u64>>,
        socket: UnixStream,
    }

    impl Ended {
        /// On a thread of an engine: neither blocks nor touches the interpreter.
        pub(super) fn put(&self, number: u64) {
            self.numbers.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            // A full socket wakes the loop as well, and one that the loop has closed needs no waking.
            let _ = (&self.socket).write(&[0]);
        }
    }

    #[pymethods]
    impl Wakeups {
        #[new]
        fn new() -> PyResult<Self> {
            let (socket, theirs) = UnixStream::pair()?;
            socket.set_nonblocking(true)?;
            theirs.set_nonblocking(true)?;
            Ok(Self { ended: Arc::new(Ended { numbers: Mutex::default(), socket: theirs }), socket })
        }

        /// What the event loop is to watch; closed with this object.
        fn fileno(&self) -> i32 {
            self.socket.as_raw_fd()
        }

        /// The numbers since the last time.
        fn take(&self) -> Vec<u64> {
            let mut bytes = [0; 256];
            while matches!((&self.socket).read(&mut bytes), Ok(read) if read == bytes.len()) {}
            std::mem::take(&mut *self.ended.numbers.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}
