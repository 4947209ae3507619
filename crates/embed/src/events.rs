//! Events as JSON.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libmigrate::progress::EventReader;

use crate::engine::Engine;
use crate::failure::{CallError, Failure};
use crate::job::Job;
use crate::settings::text;

/// Reads an engine's events in order. Each event is taken once from one reader; open another to read them twice.
pub struct Events {
    reader: Arc<Mutex<EventReader>>,
    engine: Engine,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) fn new(reader: EventReader, engine: Engine) -> Self {
        Self { reader: Arc::new(Mutex::new(reader)), engine }
    }

    /// The next event, if there is one already. A number (`seq`) that jumps says that older ones are gone. What is
    /// kept can be read after the engine was closed, too.
    pub fn try_next(&self) -> Option<String> {
        self.lock().try_next().map(|event| text(&*event))
    }

    /// The next event, if there is one within `limit` (none: however long it takes); `Ok(None)`: not yet.
    /// `call.closed` once the engine is closed and all was read.
    pub fn next(&self, limit: Option<Duration>) -> Result<Option<String>, Failure> {
        if let Some(event) = self.try_next() {
            return Ok(Some(event));
        }
        match self.wait()?.wait(limit)? {
            None => Ok(None),
            Some(()) => self.try_next().map(Some).ok_or_else(|| CallError::Closed { what: "engine" }.into()),
        }
    }

    /// A job that ends as soon as there is an event to take with [`try_next`](Self::try_next), or the engine is
    /// closed. `call.closed` if it is already.
    pub fn wait(&self) -> Result<Job<()>, Failure> {
        let mut ahead = self.lock().clone();
        self.engine.start(&self.engine.cancel()?, |cancel| async move {
            tokio::select! {
                biased;
                _ = ahead.next() => {},
                () = cancel.cancelled() => {},
            }
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, EventReader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
