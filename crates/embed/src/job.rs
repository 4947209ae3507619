//! One thing under way.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libmigrate::{CancellationToken, ReplicateError};
use tokio::runtime::Handle;

use crate::failure::{CallError, Failure};

/// Something that an engine does, to be waited for, cancelled, or told of.
///
/// Dropping it cancels it. Its result is taken once.
pub struct Job<T> {
    shared: Arc<Shared<T>>,
    cancel: CancellationToken,
    started_in: u32,
}

struct Shared<T> {
    stage: Mutex<Stage<T>>,
    done: Condvar,
}

enum Stage<T> {
    Running(Vec<Box<dyn FnOnce() + Send>>),
    Done(Result<T, Failure>),
    Taken,
}

impl<T: Send + 'static> Job<T> {
    /// Starts `work` on the threads of `runtime`; `cancel` is what it listens to. A panic in it is an error.
    pub(crate) fn start<F>(runtime: &Handle, cancel: CancellationToken, work: F) -> Self
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let shared = Arc::new(Shared { stage: Mutex::new(Stage::Running(Vec::new())), done: Condvar::new() });
        let work = runtime.spawn(work);
        let ends = Ends(Arc::clone(&shared));
        // A runtime that is shut down drops this task, and `Ends` then says so.
        runtime.spawn(async move {
            let result = work.await.unwrap_or_else(|ended| {
                Err(if ended.is_panic() {
                    ReplicateError::Internal { problem: format!("a job ended early: {ended}") }.into()
                } else {
                    CallError::Closed { what: "engine" }.into()
                })
            });
            ends.0.end(result);
        });
        Self { shared, cancel, started_in: std::process::id() }
    }

    /// `call.forked` in another process than the one that it was started in: there it would never end.
    pub fn check(&self) -> Result<(), Failure> {
        match self.started_in {
            here if here == std::process::id() => Ok(()),
            opened_in => Err(CallError::Forked { opened_in }.into()),
        }
    }

    /// Asks it to end; it does within a second, with `cycle.cancelled`, and never waits here. May be called at any
    /// time, from any thread, a signal handler excepted.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        !matches!(*self.shared.lock(), Stage::Running(_))
    }

    /// Its result, if it ends within `limit` (none: however long it takes). `Ok(None)`: not yet.
    ///
    /// `call.closed` when the result was taken before; `call.reentered` on a thread of an engine.
    pub fn wait(&self, limit: Option<Duration>) -> Result<Option<T>, Failure> {
        if Handle::try_current().is_ok() {
            return Err(CallError::Reentered.into());
        }
        self.check()?;
        // A limit beyond what the clock can tell is none.
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut stage = self.shared.lock();
        while matches!(*stage, Stage::Running(_)) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            stage = match left {
                Some(Duration::ZERO) => return Ok(None),
                Some(left) => self.shared.done.wait_timeout(stage, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.done.wait(stage).unwrap_or_else(PoisonError::into_inner),
            };
        }
        stage.take().map(Some)
    }

    /// Its result, however long it takes.
    pub fn result(&self) -> Result<T, Failure> {
        Ok(self.wait(None)?.expect("without a limit it waits to the end"))
    }

    /// Calls `tell` once, when it has ended: at once if it has, else on a thread of the engine, where it must not
    /// block.
    pub fn on_done(&self, tell: impl FnOnce() + Send + 'static) {
        let mut stage = self.shared.lock();
        if let Stage::Running(told) = &mut *stage {
            told.push(Box::new(tell));
            return;
        }
        drop(stage);
        tell();
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = !matches!(*self.shared.lock(), Stage::Running(_));
        f.debug_struct("Job").field("done", &done).finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Stage<T>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, result: Result<T, Failure>) {
        let mut stage = self.lock();
        let Stage::Running(told) = &mut *stage else { return };
        let told = std::mem::take(told);
        *stage = Stage::Done(result);
        drop(stage);
        self.done.notify_all();
        told.into_iter().for_each(|tell| tell());
    }
}

impl<T> Stage<T> {
    fn take(&mut self) -> Result<T, Failure> {
        match std::mem::replace(self, Self::Taken) {
            Self::Done(result) => result,
            Self::Taken => Err(CallError::Closed { what: "job" }.into()),
            Self::Running(told) => {
                *self = Self::Running(told);
                unreachable!("only what has ended is taken")
            }
        }
    }
}

/// Ends a job whose task is dropped, because its engine was closed.
struct Ends<T>(Arc<Shared<T>>);

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.end(Err(CallError::Closed { what: "engine" }.into()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn start<T: Send + 'static>(
        runtime: &tokio::runtime::Runtime,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Job<T> {
        Job::start(runtime.handle(), CancellationToken::new(), work)
    }

    #[test]
    fn a_job_is_waited_for_with_a_limit_and_its_result_is_taken_once() {
        let runtime = runtime();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let job = start(&runtime, async move {
            let _ = gone.await;
            Ok(7)
        });
        assert_eq!(job.wait(Some(Duration::from_millis(10))), Ok(None));
        assert!(!job.is_done());
        go.send(()).unwrap();
        assert_eq!(job.wait(None), Ok(Some(7)));
        assert_eq!(job.wait(None).unwrap_err().code, "call.closed");
    }

    #[test]
    fn whoever_asks_is_told_once_before_or_after_the_end() {
        let runtime = runtime();
        let job = start(&runtime, async { Ok(()) });
        let (told, tells) = mpsc::channel();
        let early = told.clone();
        job.on_done(move || early.send(1).unwrap());
        assert_eq!(tells.recv(), Ok(1));
        job.on_done(move || told.send(2).unwrap());
        assert_eq!(tells.iter().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_panic_is_an_error_and_so_is_the_end_of_the_engine() {
        let runtime = runtime();
        let panics: Job<()> = start(&runtime, async { panic!("on purpose") });
        assert_eq!(panics.result().unwrap_err().code, "engine.internal");
        let hangs: Job<()> = start(&runtime, std::future::pending());
        runtime.shutdown_timeout(Duration::from_secs(1));
        assert_eq!(hangs.result().unwrap_err().code, "call.closed");
    }

    #[test]
    fn a_dropped_job_is_cancelled_and_a_blocking_call_on_the_engines_threads_is_refused() {
        let runtime = runtime();
        let cancel = CancellationToken::new();
        drop(Job::<()>::start(runtime.handle(), cancel.clone(), std::future::pending()));
        assert!(cancel.is_cancelled());
        let job = start(&runtime, async { Ok(1) });
        let refused = runtime.block_on(async { job.wait(None).unwrap_err().code });
        assert_eq!(refused, "call.reentered");
    }

    #[test]
    fn a_limit_beyond_the_clock_is_no_limit() {
        let runtime = runtime();
        assert_eq!(start(&runtime, async { Ok(3) }).wait(Some(Duration::MAX)), Ok(Some(3)));
    }
}
