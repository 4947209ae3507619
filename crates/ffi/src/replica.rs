//! One disk's replica.

use std::ffi::{CString, c_char};
use std::path::PathBuf;
use std::sync::Arc;

use libmigrate_embed::Replica;

use crate::border::{Out, c_text, call, free, getter, owned, quietly, text, text_or_empty, wait};
use crate::cycle::{CycleObject, migrate_cycle};
use crate::engine::{EngineObject, engine_of, migrate_engine};
use crate::handle::{self, Handle};
use crate::job::{AnyJob, migrate_job};
use crate::migrate_status::{self, MIGRATE_OK};
use crate::results::{PointObject, ReportObject, migrate_point, migrate_report};
use crate::source::migrate_source;
use crate::target::migrate_target;
use crate::{migrate_error, migrate_extent, settings};

/// The replica of one disk, open for writing by one engine alone.
pub struct migrate_replica(());

/// What a cycle is to do. Set all to zero, then `struct_size` to its size, then what is wanted.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct migrate_cycle_settings {
    /// sizeof(migrate_cycle_settings).
    pub struct_size: usize,
    /// `delta`, `final` or `resync`. NULL: `delta`, which the first time is everything.
    pub kind: *const c_char,
    /// The hypervisor's id of the source's moment, kept with the recovery point; or NULL.
    pub change_id: *const c_char,
    /// Change list: the moment that it begins at, or NULL without one.
    pub changes_base: *const c_char,
    /// Change list: the moment that it ends at, which becomes the `change_id`; or NULL without one.
    pub changes_end: *const c_char,
    /// Change list: what changed in between, in any order. None: nothing.
    pub changes: *const migrate_extent,
    /// How many there are.
    pub change_count: usize,
    /// Not 0: the source may change while it is read; the replica is then of no single moment.
    pub moving: i32,
    /// The same and other settings as a JSON object (`changes` in the words of a hypervisor, …; the guide lists
    /// them), or NULL.
    pub extra_json: *const c_char,
}

pub(crate) struct ReplicaObject {
    replica: Replica,
    engine: Arc<EngineObject>,
    location: CString,
}

impl Handle for migrate_replica {
    type Object = ReplicaObject;
    const NAME: &'static str = "replica";
}

impl ReplicaObject {
    pub(crate) fn new(engine: &Arc<EngineObject>, replica: Replica) -> Self {
        Self { location: c_text(replica.location()), engine: Arc::clone(engine), replica }
    }
}

/// Hands a job to C.
fn start(out: &Out<*mut migrate_job>, engine: &Arc<EngineObject>, job: AnyJob) -> migrate_status {
    out.keep(job.of(engine));
    MIGRATE_OK
}

/// Opens the replica at `target`, or makes it for the disk `source`. When another writer holds it, this waits for the
/// term of its lease and a little more, then fails with target.lease_held.
///
/// `replica` is the caller's, to be freed by migrate_replica_free. Errors: call.*, checkpoint.*, replica.*, target.*.
/// Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_open(
    engine: *mut migrate_engine,
    target: *const migrate_target,
    source: *const migrate_source,
    timeout_ms: i64,
    replica: *mut *mut migrate_replica,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(replica, "replica")?, engine_of(engine)?);
            let (target, source) = (handle::get(target)?, handle::get(source)?);
            let job = engine.engine.open_replica(&target.target, &source.source)?;
            wait(&job, timeout_ms, |replica| out.keep(ReplicaObject::new(&engine, replica)))
        })
    }
}

/// The same as a job, whose result migrate_job_replica takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_open_start(
    engine: *mut migrate_engine,
    target: *const migrate_target,
    source: *const migrate_source,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(job, "job")?, engine_of(engine)?);
            let (target, source) = (handle::get(target)?, handle::get(source)?);
            let job = engine.engine.open_replica(&target.target, &source.source)?;
            Ok(start(&out, &engine, AnyJob::Replica(job)))
        })
    }
}

/// The same, but breaks the lease of another writer instead of waiting for it: for an owner that hangs. No write of the
/// other can land from then on.
///
/// `replica` is the caller's, to be freed by migrate_replica_free. Errors: call.*, checkpoint.*, replica.*, target.*.
/// Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_take_over(
    engine: *mut migrate_engine,
    target: *const migrate_target,
    source: *const migrate_source,
    timeout_ms: i64,
    replica: *mut *mut migrate_replica,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(replica, "replica")?, engine_of(engine)?);
            let (target, source) = (handle::get(target)?, handle::get(source)?);
            let job = engine.engine.take_over(&target.target, &source.source)?;
            wait(&job, timeout_ms, |replica| out.keep(ReplicaObject::new(&engine, replica)))
        })
    }
}

/// The same as a job, whose result migrate_job_replica takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_take_over_start(
    engine: *mut migrate_engine,
    target: *const migrate_target,
    source: *const migrate_source,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(job, "job")?, engine_of(engine)?);
            let (target, source) = (handle::get(target)?, handle::get(source)?);
            let job = engine.engine.take_over(&target.target, &source.source)?;
            Ok(start(&out, &engine, AnyJob::Replica(job)))
        })
    }
}

/// Where it is, without secrets.
///
/// Owner: the replica's handle; valid until it is freed. NULL if `replica` is no replica. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_replica_location(replica: *const migrate_replica) -> *const c_char {
    getter(std::ptr::null(), || Ok(handle::get(replica)?.location.as_ptr()))
}

/// Its size in bytes: the source's, rounded up to whole MiB.
///
/// Errors: call.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_disk_bytes(
    replica: *mut migrate_replica,
    timeout_ms: i64,
    bytes: *mut u64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::at(bytes, "bytes")?;
            let object = handle::get(replica)?;
            let job = object.replica.disk_bytes()?;
            wait(&job, timeout_ms, |bytes| out.set(bytes))
        })
    }
}

/// The same as a job, whose result migrate_job_number takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_disk_bytes_start(
    replica: *mut migrate_replica,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.disk_bytes()?;
            Ok(start(&out, &object.engine, AnyJob::Number(job)))
        })
    }
}

/// Brings the replica in step with `source` and seals a recovery point. Safe to repeat: an interrupted cycle goes on, a
/// sealed one is followed by a delta. `settings` may be NULL.
///
/// `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, change_list.*, cycle.*, source.*,
/// target.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_replicate(
    replica: *mut migrate_replica,
    source: *const migrate_source,
    settings: *const migrate_cycle_settings,
    timeout_ms: i64,
    point: *mut *mut migrate_point,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(point, "point")?;
            let object = handle::get(replica)?;
            let source = handle::get(source)?;
            let settings = settings::cycle(settings)?;
            let job = object.replica.replicate(&source.source, &settings)?;
            wait(&job, timeout_ms, |point| out.keep(PointObject::new(point)))
        })
    }
}

/// The same as a job, whose result migrate_job_point takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_replicate_start(
    replica: *mut migrate_replica,
    source: *const migrate_source,
    settings: *const migrate_cycle_settings,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let source = handle::get(source)?;
            let settings = settings::cycle(settings)?;
            let job = object.replica.replicate(&source.source, &settings)?;
            Ok(start(&out, &object.engine, AnyJob::Point(job)))
        })
    }
}

/// Begins a cycle whose bytes the program pushes, or goes on with the interrupted one at the same moment of the source.
/// `settings` may be NULL.
///
/// `cycle` is the caller's, to be freed by migrate_cycle_free. Errors: call.*, change_list.*, cycle.*, target.*.
/// Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_begin(
    replica: *mut migrate_replica,
    source: *const migrate_source,
    settings: *const migrate_cycle_settings,
    timeout_ms: i64,
    cycle: *mut *mut migrate_cycle,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(cycle, "cycle")?;
            let object = handle::get(replica)?;
            let source = handle::get(source)?;
            let settings = settings::cycle(settings)?;
            let job = object.replica.begin(&source.source, &settings)?;
            wait(&job, timeout_ms, |cycle| out.keep(CycleObject::new(&object.engine, cycle)))
        })
    }
}

/// The same as a job, whose result migrate_job_cycle takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_begin_start(
    replica: *mut migrate_replica,
    source: *const migrate_source,
    settings: *const migrate_cycle_settings,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let source = handle::get(source)?;
            let settings = settings::cycle(settings)?;
            let job = object.replica.begin(&source.source, &settings)?;
            Ok(start(&out, &object.engine, AnyJob::Cycle(job)))
        })
    }
}

/// Compares the replica with `source`, or, if that is NULL, with its own sealed digest map. A difference is no error.
/// `settings` is JSON or NULL: `subject` (`"newest"`, `{"cycle": n}` or `"live"`) and `sample` (`{"damaged_share",
/// "may_miss", "seed"}`).
///
/// `report` is the caller's, to be freed by migrate_report_free. Errors: call.*, source.*, target.*, verify.*. Waits;
/// MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_verify(
    replica: *mut migrate_replica,
    source: *const migrate_source,
    settings: *const c_char,
    timeout_ms: i64,
    report: *mut *mut migrate_report,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(report, "report")?;
            let object = handle::get(replica)?;
            let source = handle::optional(source)?;
            let source = source.as_deref().map(|object| &object.source);
            let settings = text_or_empty(settings, "settings")?;
            let job = object.replica.verify(source, settings)?;
            wait(&job, timeout_ms, |report| out.keep(ReportObject::new(report)))
        })
    }
}

/// The same as a job, whose result migrate_job_report takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_verify_start(
    replica: *mut migrate_replica,
    source: *const migrate_source,
    settings: *const c_char,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let source = handle::optional(source)?;
            let source = source.as_deref().map(|object| &object.source);
            let settings = text_or_empty(settings, "settings")?;
            let job = object.replica.verify(source, settings)?;
            Ok(start(&out, &object.engine, AnyJob::Report(job)))
        })
    }
}

/// All recovery points, oldest first, as a JSON list.
///
/// `points` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_recovery_points(
    replica: *mut migrate_replica,
    timeout_ms: i64,
    points: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(points, "points")?;
            let object = handle::get(replica)?;
            let job = object.replica.recovery_points()?;
            wait(&job, timeout_ms, |points| out.set(owned(points)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_recovery_points_start(
    replica: *mut migrate_replica,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.recovery_points()?;
            Ok(start(&out, &object.engine, AnyJob::Text(job)))
        })
    }
}

/// Every cycle that was sealed here, oldest first, as a JSON list: also of recovery points that are deleted.
///
/// `cycles` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_history(
    replica: *mut migrate_replica,
    timeout_ms: i64,
    cycles: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(cycles, "cycles")?;
            let object = handle::get(replica)?;
            let job = object.replica.history()?;
            wait(&job, timeout_ms, |cycles| out.set(owned(cycles)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_history_start(
    replica: *mut migrate_replica,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.history()?;
            Ok(start(&out, &object.engine, AnyJob::Text(job)))
        })
    }
}

/// Deletes the recovery points that a rule does not keep, then the garbage: a JSON list of the cycles deleted. `rule` is
/// JSON: `newest`, how many, and `younger_than_seconds`.
///
/// `deleted` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_prune(
    replica: *mut migrate_replica,
    rule: *const c_char,
    timeout_ms: i64,
    deleted: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(deleted, "deleted")?;
            let object = handle::get(replica)?;
            let rule = text(rule, "rule")?;
            let job = object.replica.prune(rule)?;
            wait(&job, timeout_ms, |deleted| out.set(owned(deleted)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_prune_start(
    replica: *mut migrate_replica,
    rule: *const c_char,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let rule = text(rule, "rule")?;
            let job = object.replica.prune(rule)?;
            Ok(start(&out, &object.engine, AnyJob::Text(job)))
        })
    }
}

/// Takes the replica back to the recovery point of `cycle`, which becomes a new one.
///
/// `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, replica.*, target.*. Waits;
/// MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_roll_back(
    replica: *mut migrate_replica,
    cycle: u32,
    timeout_ms: i64,
    point: *mut *mut migrate_point,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(point, "point")?;
            let object = handle::get(replica)?;
            let job = object.replica.roll_back(cycle)?;
            wait(&job, timeout_ms, |point| out.keep(PointObject::new(point)))
        })
    }
}

/// The same as a job, whose result migrate_job_point takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_roll_back_start(
    replica: *mut migrate_replica,
    cycle: u32,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.roll_back(cycle)?;
            Ok(start(&out, &object.engine, AnyJob::Point(job)))
        })
    }
}

/// Writes the proof of a recovery point to a file, whole or not at all. `settings` are those of migrate_replica_verify.
///
/// `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, target.*, verify.*. Waits;
/// MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_export_proof(
    replica: *mut migrate_replica,
    path: *const c_char,
    settings: *const c_char,
    timeout_ms: i64,
    point: *mut *mut migrate_point,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(point, "point")?;
            let object = handle::get(replica)?;
            let path = PathBuf::from(text(path, "path")?);
            let settings = text_or_empty(settings, "settings")?;
            let job = object.replica.export_proof(path, settings)?;
            wait(&job, timeout_ms, |point| out.keep(PointObject::new(point)))
        })
    }
}

/// The same as a job, whose result migrate_job_point takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_export_proof_start(
    replica: *mut migrate_replica,
    path: *const c_char,
    settings: *const c_char,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let path = PathBuf::from(text(path, "path")?);
            let settings = text_or_empty(settings, "settings")?;
            let job = object.replica.export_proof(path, settings)?;
            Ok(start(&out, &object.engine, AnyJob::Point(job)))
        })
    }
}

/// Lists what lies at the target and nothing needs any more, as a JSON list, and deletes nothing.
///
/// `garbage` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_garbage(
    replica: *mut migrate_replica,
    timeout_ms: i64,
    garbage: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(garbage, "garbage")?;
            let object = handle::get(replica)?;
            let job = object.replica.garbage()?;
            wait(&job, timeout_ms, |garbage| out.set(owned(garbage)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_garbage_start(
    replica: *mut migrate_replica,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.garbage()?;
            Ok(start(&out, &object.engine, AnyJob::Text(job)))
        })
    }
}

/// Deletes what migrate_replica_garbage lists, and lists it.
///
/// `garbage` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_collect_garbage(
    replica: *mut migrate_replica,
    timeout_ms: i64,
    garbage: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(garbage, "garbage")?;
            let object = handle::get(replica)?;
            let job = object.replica.collect_garbage()?;
            wait(&job, timeout_ms, |garbage| out.set(owned(garbage)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_collect_garbage_start(
    replica: *mut migrate_replica,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.collect_garbage()?;
            Ok(start(&out, &object.engine, AnyJob::Text(job)))
        })
    }
}

/// Cancels what is under way at this replica, and gives its lease up, so that another writer need not wait. What was
/// settled stays; an open cycle is not sealed. From then on the replica answers call.closed. Safe to repeat.
///
/// Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_close(
    replica: *mut migrate_replica,
    timeout_ms: i64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let object = handle::get(replica)?;
            let job = object.replica.close()?;
            wait(&job, timeout_ms, |()| ())
        })
    }
}

/// The same as a job, whose result migrate_job_result takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_close_start(
    replica: *mut migrate_replica,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(replica)?);
            let job = object.replica.close()?;
            Ok(start(&out, &object.engine, AnyJob::Nothing(job)))
        })
    }
}

/// Frees a replica's handle and sets the variable to NULL. Without migrate_replica_close its lease runs out by itself,
/// once cycles and jobs of it are freed too. Nothing happens if `replica` or what it points to is NULL or freed. Never
/// waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_replica_free(replica: *mut *mut migrate_replica) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(replica) }));
}
