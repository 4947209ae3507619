//! Engines.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libmigrate_embed::Engine;

use crate::border::{Out, call, free, limit, may_wait, optional_text, owned, quietly, text_or_empty, wait};
use crate::handle::{self, Handle};
use crate::job::{AnyJob, migrate_job};
use crate::migrate_status::{self, MIGRATE_NOT_YET, MIGRATE_OK};
use crate::release::Releases;
use crate::{migrate_error, settings};

/// An engine: the threads, the memory and the limits that replicas share. Most programs have one.
pub struct migrate_engine(());

/// Settings of an engine. Set all to zero, then `struct_size` to its size, then what is wanted; 0 and NULL are the
/// default everywhere.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct migrate_config {
    /// sizeof(migrate_config).
    pub struct_size: usize,
    /// Folder for checkpoints. NULL: none are kept, and an interrupted cycle is rebuilt from the target.
    pub state_dir: *const c_char,
    /// Hard limit on all buffers, pushed ones too, in bytes. 0: 256 MiB.
    pub memory_limit: u64,
    /// Limit on what is sent, over all replicas, in bytes per second. 0: none.
    pub bytes_per_second: u64,
    /// Longest read and put: a power of two from 64 KiB to 4 MiB. 0: 1 MiB.
    pub run_bytes: u64,
    /// Unit of diffing of new replicas: a power of two from 4 KiB to 1 MiB. 0: by disk size.
    pub block_size: u64,
    /// Threads for everything but reading and hashing, 1 to 64. 0: 2.
    pub threads: u32,
    /// Threads that read and hash, per cycle. 0: one a processor, at most 4.
    pub readers: u32,
    /// The most requests under way per replica. 0: 16.
    pub requests_in_flight: u32,
    /// The most requests under way over all replicas. 0: 64.
    pub requests_in_flight_in_all: u32,
    /// Term of the lease, 15 to 60. 0: 60.
    pub lease_seconds: u32,
    /// The other settings as a JSON object (`schedule`, `retry`, `concurrency`, …; the guide lists them), or NULL.
    pub extra_json: *const c_char,
}

/// An engine and the buffers that were lent to it. Everything that was opened with the engine holds it.
pub(crate) struct EngineObject {
    pub(crate) engine: Engine,
    pub(crate) releases: Releases,
}

impl Handle for migrate_engine {
    type Object = Arc<EngineObject>;
    const NAME: &'static str = "engine";
}

/// The engine behind a handle.
pub(crate) fn engine_of(engine: *const migrate_engine) -> Result<Arc<EngineObject>, libmigrate_embed::Failure> {
    Ok(Arc::clone(&*handle::get(engine)?))
}

/// A panic is reported as an error of the call; without a log nothing is written anywhere.
pub(crate) fn be_silent() {
    #[cfg(not(test))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    }
}

/// Opens an engine. `config` may be NULL.
///
/// `engine` is the caller's, to be freed by migrate_engine_free. Errors: call.argument, call.threads, engine.option,
/// schedule.*. Never waits for the network. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_engine_open(
    config: *const migrate_config,
    engine: *mut *mut migrate_engine,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(engine, "engine")?;
            be_silent();
            let engine = Engine::open(&settings::engine(config)?)?;
            out.keep(Arc::new(EngineObject { engine, releases: Releases::default() }));
            Ok(MIGRATE_OK)
        })
    }
}

/// Cancels everything that is under way, ends the engine's threads, and waits until every buffer that was pushed is
/// back with its owner. From then on all that was opened with it answers call.closed. Safe to repeat.
///
/// MIGRATE_NOT_YET: after `timeout_ms` not every buffer is back, because a request or a callback hangs; the engine is
/// closed all the same. Errors: call.closed (freed), call.forked, call.reentered (in a callback). Waits for at most
/// about `timeout_ms` (negative: without limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_engine_close(
    engine: *mut migrate_engine,
    timeout_ms: i64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    /// Longer than any program waits, and within what clocks can tell.
    const LONG: Duration = Duration::from_secs(365 * 24 * 3600);
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let engine = engine_of(engine)?;
            may_wait()?;
            let (began, limit) = (Instant::now(), limit(timeout_ms).map_or(LONG, |limit| limit.min(LONG)));
            engine.engine.close(limit)?;
            let all = engine.releases.all_back(Some(limit.saturating_sub(began.elapsed())));
            Ok(if all { MIGRATE_OK } else { MIGRATE_NOT_YET })
        })
    }
}

/// Frees an engine's handle and sets the variable to NULL. Nothing happens if `engine` or what it points to is NULL
/// or freed. The engine lives on while something that was opened with it does; without those, what is under way is
/// cancelled. Never waits: to know that every buffer is back, close it first. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_engine_free(engine: *mut *mut migrate_engine) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(engine) }));
}

/// Changes the limit on what is sent, in bytes per second, while running; 0 lifts it.
///
/// Errors: call.argument, call.closed, call.forked. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_engine_set_bytes_per_second(
    engine: *mut migrate_engine,
    bytes_per_second: u64,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let limit = (bytes_per_second != 0).then_some(bytes_per_second);
            engine_of(engine)?.engine.set_bytes_per_second(limit)?;
            Ok(MIGRATE_OK)
        })
    }
}

/// Changes the times at which another limit holds, while running: JSON, as the guide's page on limits has it; NULL is
/// none.
///
/// Errors: call.argument, call.closed, call.forked, schedule.*. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_engine_set_schedule(
    engine: *mut migrate_engine,
    schedule: *const c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            engine_of(engine)?.engine.set_schedule(optional_text(schedule, "schedule")?)?;
            Ok(MIGRATE_OK)
        })
    }
}

/// Checks the network to each target: what its name resolves to, whether that is the private endpoint, whether a
/// connection opens and who answers. `settings` is JSON: `targets` (each `{"host", "port", "expect"}`),
/// `time_limit_seconds`, `name_servers`, `also_private`, `ca_file`. The report is JSON; what is wrong is a finding in
/// it, and no error.
///
/// `report` is the caller's, to be freed by migrate_text_free. Errors: call.*. Waits; MIGRATE_TIMED_OUT after
/// `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_preflight_network(
    engine: *mut migrate_engine,
    settings: *const c_char,
    timeout_ms: i64,
    report: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(report, "report")?;
            let job = engine_of(engine)?.engine.preflight_network(text_or_empty(settings, "settings")?)?;
            wait(&job, timeout_ms, |report| out.set(owned(report)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_preflight_network_start(
    engine: *mut migrate_engine,
    settings: *const c_char,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(job, "job")?, engine_of(engine)?);
            let job = engine.engine.preflight_network(text_or_empty(settings, "settings")?)?;
            out.keep(AnyJob::Text(job).of(&engine));
            Ok(MIGRATE_OK)
        })
    }
}
