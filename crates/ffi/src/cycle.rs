//! One pass of replication, whose bytes the program pushes.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use libmigrate::extent::Extent;
use libmigrate_embed::{CallError, Cycle, Failure, Job};

use crate::border::{Out, call, free, limit, may_wait, quietly, wait};
use crate::engine::EngineObject;
use crate::handle::{self, Handle};
use crate::job::{AnyJob, migrate_job};
use crate::migrate_status::{self, MIGRATE_DONE, MIGRATE_NOT_YET, MIGRATE_OK, MIGRATE_WOULD_BLOCK};
use crate::release::Buffer;
use crate::results::{PointObject, migrate_point};
use crate::source::migrate_source;
use crate::{migrate_error, migrate_extent};

/// A cycle in progress. Several threads may take extents from it and push at once.
pub struct migrate_cycle(());

/// Gives a buffer back to its owner. `user` is what was passed with it.
///
/// Runs once for each buffer that was taken, on a thread of the library made for it, one call at a time. It may make
/// calls that do not wait; while it takes its time, no other buffer comes back.
pub type migrate_release_fn = Option<unsafe extern "C" fn(buffer: *mut c_void, user: *mut c_void)>;

/// A cycle, and what was under way when a call's time was up: the next call waits on.
pub(crate) struct CycleObject {
    cycle: Cycle,
    engine: Arc<EngineObject>,
    next: Waiting<Option<Extent>>,
    room: Waiting<()>,
    seal: Waiting<String>,
}

struct Waiting<T>(Mutex<Vec<Job<T>>>);

impl Handle for migrate_cycle {
    type Object = CycleObject;
    const NAME: &'static str = "cycle";
}

impl CycleObject {
    pub(crate) fn new(engine: &Arc<EngineObject>, cycle: Cycle) -> Self {
        let engine = Arc::clone(engine);
        Self { cycle, engine, next: Waiting::new(), room: Waiting::new(), seal: Waiting::new() }
    }
}

impl<T: Send + 'static> Waiting<T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Waits on for what an earlier call began, or begins it. If the time is up it is kept, not cancelled: its result
    /// would be lost.
    fn wait(
        &self,
        begin: impl FnOnce() -> Result<Job<T>, Failure>,
        milliseconds: i64,
        set: impl FnOnce(T) -> migrate_status,
    ) -> Result<migrate_status, Failure> {
        may_wait()?;
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let job = begun.map_or_else(begin, Ok)?;
        if let Some(result) = job.wait(limit(milliseconds))? {
            return Ok(set(result));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        Ok(MIGRATE_NOT_YET)
    }
}

impl From<Extent> for migrate_extent {
    fn from(extent: Extent) -> Self {
        Self { offset: extent.offset(), len: extent.len_bytes() }
    }
}

/// Gives the next extent to push, in bytes of the source: MIGRATE_OK, or MIGRATE_DONE when all were given. After a
/// crash only what is still missing comes. At most 1 GiB is given out ahead of what was pushed. MIGRATE_NOT_YET after
/// `timeout_ms` (negative: no limit): call again.
///
/// Errors: call.*, cycle.*, target.*. Waits. Thread-safe: each extent is given once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_next(
    cycle: *mut migrate_cycle,
    extent: *mut migrate_extent,
    timeout_ms: i64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::at(extent, "extent")?, handle::get(cycle)?);
            object.next.wait(
                || object.cycle.next(),
                timeout_ms,
                |extent| match extent {
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

/// The same as a job, whose result migrate_job_extent takes. An extent that is not taken from its job is not given
/// again in this cycle, which then cannot be sealed.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_next_start(
    cycle: *mut migrate_cycle,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(cycle)?);
            out.keep(AnyJob::Extent(object.cycle.next()?).of(&object.engine));
            Ok(MIGRATE_OK)
        })
    }
}

/// Pushes the bytes of an extent that migrate_cycle_next gave, whole, in any order. They are not copied.
///
/// MIGRATE_OK: the library has the buffer, which must stay as it is until `release` gets it, once, whatever becomes of
/// the cycle; that may be before this returns. MIGRATE_WOULD_BLOCK (the memory limit is reached; try again after
/// migrate_cycle_wait) and MIGRATE_ERROR: the buffer is still the caller's, and `release` does not run.
///
/// Errors: call.argument, call.closed, cycle.not_wanted (no extent that was given, or not its length), cycle.*. What goes
/// wrong with the bytes later is told by the next call. Never waits, and may be called in a callback. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_push(
    cycle: *mut migrate_cycle,
    offset: u64,
    buffer: *mut c_void,
    len: usize,
    release: migrate_release_fn,
    user: *mut c_void,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let object = handle::get(cycle)?;
            let Some(release) = release else { return Err(CallError::argument("release", "it is NULL").into()) };
            if buffer.is_null() || len == 0 || isize::try_from(len).is_err() {
                return Err(CallError::argument("buffer", "it is NULL, empty or longer than memory").into());
            }
            let (bytes, lent) = object.engine.releases.lend(Buffer { first: buffer, len, release, user })?;
            if object.cycle.try_push(offset, bytes)?.is_some() {
                return Ok(MIGRATE_WOULD_BLOCK);
            }
            lent.taken();
            Ok(MIGRATE_OK)
        })
    }
}

/// Waits until there is room for another push: MIGRATE_OK, or MIGRATE_NOT_YET after `timeout_ms` (negative: no
/// limit). Another thread may be faster.
///
/// Errors: call.*, cycle.*. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_wait(
    cycle: *mut migrate_cycle,
    timeout_ms: i64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let object = handle::get(cycle)?;
            object.room.wait(|| object.cycle.room(), timeout_ms, |()| MIGRATE_OK)
        })
    }
}

/// The same as a job, whose result migrate_job_result takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_wait_start(
    cycle: *mut migrate_cycle,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(cycle)?);
            out.keep(AnyJob::Nothing(object.cycle.room()?).of(&object.engine));
            Ok(MIGRATE_OK)
        })
    }
}

/// Reads everything that the cycle wants from `source`, which must be the one it was begun with.
///
/// Errors: call.*, cycle.*, source.*, target.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit).
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_copy_from(
    cycle: *mut migrate_cycle,
    source: *const migrate_source,
    timeout_ms: i64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let job = handle::get(cycle)?.cycle.copy_from(&handle::get(source)?.source)?;
            wait(&job, timeout_ms, |()| ())
        })
    }
}

/// The same as a job, whose result migrate_job_result takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_copy_from_start(
    cycle: *mut migrate_cycle,
    source: *const migrate_source,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(cycle)?);
            let job = object.cycle.copy_from(&handle::get(source)?.source)?;
            out.keep(AnyJob::Nothing(job).of(&object.engine));
            Ok(MIGRATE_OK)
        })
    }
}

/// Makes the cycle a recovery point, once everything that was pushed has settled. Nothing counts before this. The
/// cycle is closed by it, whatever comes of it. MIGRATE_NOT_YET after `timeout_ms` (negative: no limit): it goes on,
/// and the next call waits on.
///
/// `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, cycle.incomplete, cycle.*, target.*.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_seal(
    cycle: *mut migrate_cycle,
    timeout_ms: i64,
    point: *mut *mut migrate_point,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(point, "point")?, handle::get(cycle)?);
            object.seal.wait(
                || object.cycle.seal(),
                timeout_ms,
                |point| {
                    out.keep(PointObject::new(point));
                    MIGRATE_OK
                },
            )
        })
    }
}

/// The same as a job, whose result migrate_job_point takes; cancelling it stops the cycle unsealed.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_seal_start(
    cycle: *mut migrate_cycle,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(cycle)?);
            out.keep(AnyJob::Point(object.cycle.seal()?).of(&object.engine));
            Ok(MIGRATE_OK)
        })
    }
}

/// Stops the cycle without sealing it: calls that wait for it end with cycle.cancelled within a second. What has
/// settled stays, and the next cycle at the same moment of the source goes on from there. Safe to repeat.
///
/// Errors: call.argument, call.closed. Never waits, and may be called in a callback. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_stop(
    cycle: *mut migrate_cycle,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            handle::get(cycle)?.cycle.stop();
            Ok(MIGRATE_OK)
        })
    }
}

/// Frees a cycle, which stops it unless it is sealed, and sets the variable to NULL. Buffers that are on their way
/// come back by their callbacks all the same. Nothing happens if `cycle` or what it points to is NULL or freed. Never
/// waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_cycle_free(cycle: *mut *mut migrate_cycle) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(cycle) }));
}
