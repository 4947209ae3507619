//! What is under way, for programs that do not wait in the call itself.

use std::ffi::c_char;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libmigrate::extent::Extent;
use libmigrate_embed::{CallError, Cycle, Failure, Job, Replica, Source};

use crate::border::{Out, call, free, limit, may_wait, owned, quietly};
use crate::cycle::{CycleObject, migrate_cycle};
use crate::engine::EngineObject;
use crate::handle::{self, Handle};
use crate::migrate_status::{self, MIGRATE_DONE, MIGRATE_NOT_YET, MIGRATE_OK};
use crate::replica::{ReplicaObject, migrate_replica};
use crate::results::{PointObject, ReportObject, migrate_point, migrate_report};
use crate::source::{SourceObject, migrate_source};
use crate::{migrate_error, migrate_extent};

/// Something under way: to be waited for (by a thread, or by its file descriptor in the program's own loop) or
/// cancelled. Its result is taken once, by the function of its kind. Freeing it cancels it.
pub struct migrate_job(());

/// A job by what it results in.
pub(crate) enum AnyJob {
    Source(Job<Source>),
    Replica(Job<Replica>),
    Cycle(Job<Cycle>),
    Point(Job<String>),
    Report(Job<String>),
    Text(Job<String>),
    Extent(Job<Option<Extent>>),
    Number(Job<u64>),
    Nothing(Job<()>),
}

/// Does the same with the job of any kind.
macro_rules! each {
    ($any:expr, $job:ident => $do:expr) => {
        match $any {
            AnyJob::Source($job) => $do,
            AnyJob::Replica($job) => $do,
            AnyJob::Cycle($job) => $do,
            AnyJob::Point($job) | AnyJob::Report($job) | AnyJob::Text($job) => $do,
            AnyJob::Extent($job) => $do,
            AnyJob::Number($job) => $do,
            AnyJob::Nothing($job) => $do,
        }
    };
}

/// Whether it has ended, for those who wait without taking its result.
#[derive(Default)]
struct Ended {
    ended: Mutex<bool>,
    changed: Condvar,
}

pub(crate) struct JobObject {
    job: AnyJob,
    engine: Arc<EngineObject>,
    ended: Arc<Ended>,
    #[cfg(unix)]
    signal: Mutex<Option<Arc<crate::signal::Signal>>>,
}

impl Handle for migrate_job {
    type Object = JobObject;
    const NAME: &'static str = "job";
}

impl AnyJob {
    /// The job as something that C holds.
    pub(crate) fn of(self, engine: &Arc<EngineObject>) -> JobObject {
        let ended = Arc::new(Ended::default());
        let end = Arc::clone(&ended);
        let tell = move || {
            *end.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
            end.changed.notify_all();
        };
        each!(&self, job => job.on_done(tell));
        JobObject {
            job: self,
            engine: Arc::clone(engine),
            ended,
            #[cfg(unix)]
            signal: Mutex::default(),
        }
    }

    const fn gives(&self) -> &'static str {
        match self {
            Self::Source(_) => "it gives a source: migrate_job_source",
            Self::Replica(_) => "it gives a replica: migrate_job_replica",
            Self::Cycle(_) => "it gives a cycle: migrate_job_cycle",
            Self::Point(_) => "it gives a recovery point: migrate_job_point",
            Self::Report(_) => "it gives a report: migrate_job_report",
            Self::Text(_) => "it gives a text: migrate_job_text",
            Self::Extent(_) => "it gives an extent: migrate_job_extent",
            Self::Number(_) => "it gives a number: migrate_job_number",
            Self::Nothing(_) => "it gives nothing: migrate_job_result",
        }
    }
}

impl JobObject {
    /// Whether it ends within `limit`.
    fn wait(&self, limit: Option<Duration>) -> Result<bool, Failure> {
        each!(&self.job, job => job.check())?;
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut ended = self.ended.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            ended = match left {
                Some(Duration::ZERO) => return Ok(false),
                Some(left) => self.ended.changed.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.ended.changed.wait(ended).unwrap_or_else(PoisonError::into_inner),
            };
        }
        Ok(true)
    }
}

/// Takes the result of a job of one kind.
fn take<T: Send + 'static>(
    job: *mut migrate_job,
    of_kind: impl FnOnce(&AnyJob) -> Option<&Job<T>>,
    set: impl FnOnce(&Arc<EngineObject>, T) -> migrate_status,
) -> Result<migrate_status, Failure> {
    let object = handle::get(job)?;
    let Some(job) = of_kind(&object.job) else {
        return Err(CallError::argument("job", object.job.gives()).into());
    };
    job.check()?;
    if !job.is_done() {
        return Ok(MIGRATE_NOT_YET);
    }
    Ok(job.wait(Some(Duration::ZERO))?.map_or(MIGRATE_NOT_YET, |result| set(&object.engine, result)))
}

/// A file descriptor that becomes readable when the job has ended, and stays so: for poll, epoll, select and the
/// loops on top of them. Only wait for it; do not read, write or close it. Unix only.
///
/// Owner: the job; valid until it is freed. Errors: call.argument, call.closed. Never waits. Thread-safe.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_fd(
    job: *mut migrate_job,
    fd: *mut std::ffi::c_int,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::at(fd, "fd")?, handle::get(job)?);
            let mut signal = object.signal.lock().unwrap_or_else(PoisonError::into_inner);
            if signal.is_none() {
                let new = Arc::new(crate::signal::Signal::new()?);
                let raise = Arc::clone(&new);
                each!(&object.job, job => job.on_done(move || raise.raise()));
                *signal = Some(new);
            }
            out.set(signal.as_ref().map_or(-1, |signal| signal.fd()));
            Ok(MIGRATE_OK)
        })
    }
}

/// Whether the job has ended, well or not: MIGRATE_OK or MIGRATE_NOT_YET.
///
/// Errors: call.argument, call.closed. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_poll(job: *mut migrate_job, error: *mut *mut migrate_error) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || Ok(if handle::get(job)?.wait(Some(Duration::ZERO))? { MIGRATE_OK } else { MIGRATE_NOT_YET }))
    }
}

/// Waits until the job has ended, well or not: MIGRATE_OK, or MIGRATE_NOT_YET after `timeout_ms` (negative: no
/// limit). The result is still to be taken. Several threads may wait for one job.
///
/// Errors: call.argument, call.closed, call.reentered (in a callback). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_wait(
    job: *mut migrate_job,
    timeout_ms: i64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let job = handle::get(job)?;
            may_wait()?;
            Ok(if job.wait(limit(timeout_ms))? { MIGRATE_OK } else { MIGRATE_NOT_YET })
        })
    }
}

/// Asks the job to end; it does within a second, with the error cycle.cancelled unless it was done before.
///
/// Errors: call.argument, call.closed. Never waits, and may be called in a callback, but not in a signal handler.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_cancel(job: *mut migrate_job, error: *mut *mut migrate_error) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            each!(&handle::get(job)?.job, job => job.cancel());
            Ok(MIGRATE_OK)
        })
    }
}

/// Takes the result of a job that opens a source, once. MIGRATE_NOT_YET while it has not ended.
///
/// On MIGRATE_OK the source is the caller's, to be freed by migrate_source_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
/// Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_source(
    job: *mut migrate_job,
    source: *mut *mut migrate_source,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(source, "source")?;
            take(
                job,
                |job| if let AnyJob::Source(job) = job { Some(job) } else { None },
                |_, source| {
                    out.keep(SourceObject { source });
                    MIGRATE_OK
                },
            )
        })
    }
}

/// Takes the result of a job that opens a replica, once. MIGRATE_NOT_YET while it has not ended.
///
/// On MIGRATE_OK the replica is the caller's, to be freed by migrate_replica_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
/// Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_replica(
    job: *mut migrate_job,
    replica: *mut *mut migrate_replica,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(replica, "replica")?;
            take(
                job,
                |job| if let AnyJob::Replica(job) = job { Some(job) } else { None },
                |engine, replica| {
                    out.keep(ReplicaObject::new(engine, replica));
                    MIGRATE_OK
                },
            )
        })
    }
}

/// Takes the result of a job that begins a cycle, once. MIGRATE_NOT_YET while it has not ended.
///
/// On MIGRATE_OK the cycle is the caller's, to be freed by migrate_cycle_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
/// Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_cycle(
    job: *mut migrate_job,
    cycle: *mut *mut migrate_cycle,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(cycle, "cycle")?;
            take(
                job,
                |job| if let AnyJob::Cycle(job) = job { Some(job) } else { None },
                |engine, cycle| {
                    out.keep(CycleObject::new(engine, cycle));
                    MIGRATE_OK
                },
            )
        })
    }
}

/// Takes the result of a job that seals a recovery point, once. MIGRATE_NOT_YET while it has not ended.
///
/// On MIGRATE_OK the point is the caller's, to be freed by migrate_point_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
/// Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_point(
    job: *mut migrate_job,
    point: *mut *mut migrate_point,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(point, "point")?;
            take(
                job,
                |job| if let AnyJob::Point(job) = job { Some(job) } else { None },
                |_, point| {
                    out.keep(PointObject::new(point));
                    MIGRATE_OK
                },
            )
        })
    }
}

/// Takes the result of a job that verifies, once. MIGRATE_NOT_YET while it has not ended.
///
/// On MIGRATE_OK the report is the caller's, to be freed by migrate_report_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
/// Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_report(
    job: *mut migrate_job,
    report: *mut *mut migrate_report,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(report, "report")?;
            take(
                job,
                |job| if let AnyJob::Report(job) = job { Some(job) } else { None },
                |_, report| {
                    out.keep(ReportObject::new(report));
                    MIGRATE_OK
                },
            )
        })
    }
}

/// Takes the result of a job that gives a text, once. MIGRATE_NOT_YET while it has not ended.
///
/// On MIGRATE_OK the text is the caller's, to be freed by migrate_text_free. Errors: the job's own; call.argument (a
/// job of another kind), call.closed (taken before). Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_text(
    job: *mut migrate_job,
    text: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(text, "text")?;
            take(
                job,
                |job| if let AnyJob::Text(job) = job { Some(job) } else { None },
                |_, text| {
                    out.set(owned(text));
                    MIGRATE_OK
                },
            )
        })
    }
}

/// Takes the result of migrate_cycle_next_start, once: MIGRATE_OK and an extent to push, or MIGRATE_DONE when there is
/// none left. MIGRATE_NOT_YET while it has not ended.
///
/// Errors: the job's own; call.argument (a job of another kind), call.closed (taken before). Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_extent(
    job: *mut migrate_job,
    extent: *mut migrate_extent,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::at(extent, "extent")?;
            take(
                job,
                |job| if let AnyJob::Extent(job) = job { Some(job) } else { None },
                |_, extent| match extent {
                    None => MIGRATE_DONE,
                    Some(extent) => {
                        out.set(extent.into());
                        MIGRATE_OK
                    }
                },
            )
        })
    }
}

/// Takes the result of a job that gives a number, once. MIGRATE_NOT_YET while it has not ended.
///
/// Errors: the job's own; call.argument (a job of another kind), call.closed (taken before). Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_number(
    job: *mut migrate_job,
    number: *mut u64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::at(number, "number")?;
            take(
                job,
                |job| if let AnyJob::Number(job) = job { Some(job) } else { None },
                |_, number| {
                    out.set(number);
                    MIGRATE_OK
                },
            )
        })
    }
}

/// How a job ended that gives nothing but that. MIGRATE_NOT_YET while it has not ended.
///
/// Errors: the job's own; call.argument (a job of another kind), call.closed (taken before). Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_result(job: *mut migrate_job, error: *mut *mut migrate_error) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            take(job, |job| if let AnyJob::Nothing(job) = job { Some(job) } else { None }, |_, ()| MIGRATE_OK)
        })
    }
}

/// Frees a job, which cancels it, and sets the variable to NULL. A result that was not taken is freed with it.
/// Nothing happens if `job` or what it points to is NULL or freed. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_job_free(job: *mut *mut migrate_job) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(job) }));
}
