//! Disks to replicate.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use libmigrate_embed::{CallError, Source};

use crate::border::{Out, call, callback, free, getter, owned, quietly, text, wait};
use crate::engine::{engine_of, migrate_engine};
use crate::handle::{self, Handle};
use crate::job::{AnyJob, migrate_job};
use crate::migrate_status::{self, MIGRATE_OK};
use crate::target::{PROBLEM_BYTES, migrate_ended_fn, problem};
use crate::{migrate_error, migrate_extent, settings};

/// A disk: opened by the library, read by the program's callbacks, or pushed by it.
pub struct migrate_source(());

pub(crate) struct SourceObject {
    pub(crate) source: Source,
}

impl Handle for migrate_source {
    type Object = SourceObject;
    const NAME: &'static str = "source";
}

/// A disk that the program reads. Set all to zero, then `struct_size` to its size, then what is wanted.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct migrate_disk {
    /// sizeof(migrate_disk).
    pub struct_size: usize,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Which disk it is, or NULL.
    pub identity: *const c_char,
    /// Which moment of the disk it is (the name of a snapshot): an interrupted cycle goes on only at the same one.
    /// NULL: it may change while it is read.
    pub point: *const c_char,
    /// What is known to read as zero, in any order.
    pub zero: *const migrate_extent,
    /// How many there are.
    pub zero_count: usize,
    /// How many reads it takes at once, for migrate_source_served. 0: 4.
    pub max_in_flight: u32,
    /// The same and other settings as a JSON object, or NULL.
    pub extra_json: *const c_char,
}

/// Reads `len` bytes of the disk at `offset` into `buffer`: all of them.
///
/// Returns 0, or anything else if it cannot, with the reason, if it likes, in `problem` (at most `problem_size` bytes
/// with its zero byte); the run ends with source.custom and that reason. The buffer is the library's, and
/// used by the callback until it returns.
///
/// Runs on threads of the library made for it, as many at once as `max_in_flight`. It may take its time, and may make
/// calls that do not wait.
pub type migrate_read_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        offset: u64,
        buffer: *mut c_void,
        len: usize,
        problem: *mut c_char,
        problem_size: usize,
    ) -> c_int,
>;

/// The callbacks of a served source.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct migrate_reader {
    /// sizeof(migrate_reader).
    pub struct_size: usize,
    /// What the callbacks get.
    pub user: *mut c_void,
    /// Reads.
    pub read: migrate_read_fn,
    /// Runs when nothing reads the disk any more: the source is freed, and so are the replicas' runs that used it. Or
    /// NULL.
    pub ended: migrate_ended_fn,
}

/// What callbacks get, until the last of their threads has ended.
pub(crate) struct User {
    given: *mut c_void,
    ended: migrate_ended_fn,
    armed: AtomicBool,
}

// SAFETY: it is only handed to callbacks, which are said to run on other threads.
unsafe impl Send for User {}
// SAFETY: the same, also at once.
unsafe impl Sync for User {}

impl User {
    pub(crate) const fn new(given: *mut c_void, ended: migrate_ended_fn) -> Self {
        Self { given, ended, armed: AtomicBool::new(false) }
    }

    pub(crate) const fn user(&self) -> *mut c_void {
        self.given
    }

    /// From now on `ended` is owed.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Release);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.armed.load(Ordering::Acquire)
            && let Some(ended) = self.ended
        {
            // SAFETY: the header's type; this is the one call.
            callback(|| unsafe { ended(self.given) });
        }
    }
}

/// Opens a disk by JSON: an object with `path` (an image or a device; with `format`, `allow`, `member`, `snapshot`,
/// `bitmap`) or `nbd` (a URI; with `ca_file`, `bitmap`, `identity`, `max_read_bytes`), and for both `frozen_as` or
/// `may_change`.
///
/// `source` is the caller's, to be freed by migrate_source_free. Errors: call.*, source.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_source_open(
    engine: *mut migrate_engine,
    settings: *const c_char,
    timeout_ms: i64,
    source: *mut *mut migrate_source,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(source, "source")?;
            let job = engine_of(engine)?.engine.open_source(text(settings, "settings")?)?;
            wait(&job, timeout_ms, |source| out.keep(SourceObject { source }))
        })
    }
}

/// The same as a job, whose result migrate_job_source takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_source_open_start(
    engine: *mut migrate_engine,
    settings: *const c_char,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(job, "job")?, engine_of(engine)?);
            let job = engine.engine.open_source(text(settings, "settings")?)?;
            out.keep(AnyJob::Source(job).of(&engine));
            Ok(MIGRATE_OK)
        })
    }
}

/// A disk whose bytes the program pushes (migrate_cycle_push).
///
/// `source` is the caller's, to be freed by migrate_source_free. Errors: call.argument. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_source_pushed(
    disk: *const migrate_disk,
    source: *mut *mut migrate_source,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(source, "source")?;
            let source = Source::pushed(&settings::disk(disk)?.to_json())?;
            out.keep(SourceObject { source });
            Ok(MIGRATE_OK)
        })
    }
}

/// A disk that the program reads, by callbacks. What is to be sent is read into the buffer from which it is sent.
///
/// `source` is the caller's, to be freed by migrate_source_free. After MIGRATE_OK, and only then, `ended` will run.
/// Errors: call.argument, call.threads. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_source_served(
    disk: *const migrate_disk,
    reader: *const migrate_reader,
    source: *mut *mut migrate_source,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(source, "source")?;
            let reader = settings::read_required(reader)?;
            let Some(read) = reader.read else { return Err(CallError::argument("reader.read", "it is NULL").into()) };
            let settings = settings::disk(disk)?;
            let (source, server) = Source::served(&settings.to_json())?;
            // As many as it is asked for at once; more would only wait.
            let threads = settings.number("max_in_flight").unwrap_or(4).min(64);
            let (server, user) = (Arc::new(server), Arc::new(User::new(reader.user, reader.ended)));
            for thread in 0..threads {
                let (server, user) = (Arc::clone(&server), Arc::clone(&user));
                let serve = move || {
                    while let Ok(Some(mut request)) = server.next(None) {
                        let (mut bytes, mut words) = (request.take_memory(), [0_u8; PROBLEM_BYTES]);
                        // What the callback forgets to fill must not be another disk's.
                        bytes.fill(0);
                        let (buffer, said) = (bytes.as_mut_ptr().cast(), words.as_mut_ptr().cast());
                        let (offset, len) = (request.extent().offset(), bytes.len());
                        match callback(|| read(user.user(), offset, buffer, len, said, words.len())) {
                            0 => request.answer(bytes),
                            failed => request.fail(problem(&mut words, failed)),
                        }
                    }
                };
                match thread::Builder::new().name("migrate-read".into()).spawn(serve) {
                    Ok(_) => {}
                    // One is enough to be right, if slower.
                    Err(_) if thread > 0 => break,
                    Err(e) => return Err(CallError::Threads { problem: e.to_string() }.into()),
                }
            }
            user.arm();
            out.keep(SourceObject { source });
            Ok(MIGRATE_OK)
        })
    }
}

/// Size of the disk in bytes. 0 if `source` is no source. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_source_size_bytes(source: *const migrate_source) -> u64 {
    getter(0, || Ok(handle::get(source)?.source.size_bytes()))
}

/// What it tells of itself as JSON: `size_bytes`, `identity` and `point` (or null), and `notes`: what its reader
/// worked around, a sentence each.
///
/// `json` is the caller's, to be freed by migrate_text_free. Errors: call.argument, call.closed. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_source_json(
    source: *const migrate_source,
    json: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(json, "json")?, handle::get(source)?);
            let source = &object.source;
            let json = serde_json::json!({
                "size_bytes": source.size_bytes(),
                "identity": source.identity(),
                "point": source.point(),
                "notes": source.notes(),
            });
            out.set(owned(json.to_string()));
            Ok(MIGRATE_OK)
        })
    }
}

/// Frees a source's handle and sets the variable to NULL; runs that use it go on. Nothing happens if `source` or what
/// it points to is NULL or freed. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_source_free(source: *mut *mut migrate_source) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(source) }));
}
