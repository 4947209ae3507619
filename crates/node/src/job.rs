//! One thing under way, as a promise needs it.

use std::time::Duration;

use libmigrate_embed::{CallError, Failure};
use napi::bindgen_prelude::{Either7, Function};
use napi_derive::napi;

use crate::bell::Bell;
use crate::cycle::Cycle;
use crate::replica::Replica;
use crate::source::Source;
use crate::thrown;

/// A stretch of a disk.
#[napi(object)]
pub struct Extent {
    /// First byte.
    pub offset: i64,
    /// Bytes.
    pub len: i64,
}

/// What jobs come to.
pub(crate) type Given = Either7<(), String, i64, Source, Replica, Cycle, Extent>;

/// Something that an engine does. Collected as garbage, it is cancelled.
#[napi]
pub struct Job {
    running: Box<dyn Running>,
}

trait Running {
    fn cancel(&self);
    fn on_done(&self, tell: Box<dyn FnOnce() + Send>);
    fn take(&self) -> Result<Option<Given>, Failure>;
}

struct Giving<T, G> {
    job: libmigrate_embed::Job<T>,
    give: G,
}

impl<T: Send + 'static, G: Fn(T) -> Given> Running for Giving<T, G> {
    fn cancel(&self) {
        self.job.cancel();
    }

    fn on_done(&self, tell: Box<dyn FnOnce() + Send>) {
        self.job.on_done(tell);
    }

    fn take(&self) -> Result<Option<Given>, Failure> {
        Ok(self.job.wait(Some(Duration::ZERO))?.map(&self.give))
    }
}

impl Job {
    /// A job whose result JavaScript gets as `give` makes it.
    pub(crate) fn new<T: Send + 'static>(
        job: Result<libmigrate_embed::Job<T>, Failure>,
        give: impl Fn(T) -> Given + 'static,
    ) -> napi::Result<Self> {
        let job = job.map_err(thrown)?;
        Ok(Self { running: Box::new(Giving { job, give }) })
    }

    /// A job whose result is JSON.
    pub(crate) fn of_text(job: Result<libmigrate_embed::Job<String>, Failure>) -> napi::Result<Self> {
        Self::new(job, Given::B)
    }

    /// A job without a result.
    pub(crate) fn of_nothing(job: Result<libmigrate_embed::Job<()>, Failure>) -> napi::Result<Self> {
        Self::new(job, Given::A)
    }
}

#[napi]
impl Job {
    /// Asks it to end. Never waits.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.running.cancel();
    }

    /// Has `callback` called once it is done; with `weak`, the process may end before.
    #[napi(catch_unwind)]
    pub fn on_done(&self, callback: Function<'_, (), ()>, weak: bool) -> napi::Result<()> {
        let bell = Bell::new(&callback, weak)?;
        self.running.on_done(Box::new(move || bell.ring()));
        Ok(())
    }

    /// Its result, once, when it is done.
    #[napi(catch_unwind)]
    pub fn take(&self) -> napi::Result<Given> {
        let taken = self.running.take().map_err(thrown)?;
        taken.ok_or_else(|| thrown(CallError::argument("job", "it is not done").into()))
    }
}
