//! A file descriptor that a program's own loop can wait for.

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use libmigrate_embed::{CallError, Failure};

/// Readable exactly while it is raised. Both ends live as long as it does: a write to a pipe that nobody reads would
/// be a SIGPIPE to the whole process.
pub(crate) struct Signal {
    reader: PipeReader,
    writer: PipeWriter,
    raised: Mutex<bool>,
}

impl Signal {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |e: io::Error| CallError::argument("fd", format!("the system gives no pipe: {e}"));
        let (reader, writer) = pipe().map_err(failed)?;
        Ok(Self { reader, writer, raised: Mutex::new(false) })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Never waits: there is one byte in the pipe at most.
    pub(crate) fn raise(&self) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        *raised = *raised || (&self.writer).write_all(&[1]).is_ok();
    }

    /// Never waits: it reads only what was written.
    pub(crate) fn lower(&self) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        *raised = *raised && (&self.reader).read_exact(&mut [0]).is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn it_is_raised_once_however_often_and_lowered_once() {
        let signal = Arc::new(Signal::new().unwrap());
        signal.lower();
        let raising = Arc::clone(&signal);
        thread::spawn(move || (0..100_000).for_each(|_| raising.raise())).join().unwrap();
        signal.lower();
        signal.lower();
        signal.raise();
        let mut byte = [0; 2];
        assert_eq!((&signal.reader).read(&mut byte).unwrap(), 1);
    }
}
