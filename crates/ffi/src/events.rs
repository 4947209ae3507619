//! Events.

use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libmigrate_embed::{CallError, Events, Failure, Job};

use crate::border::{Out, c_text, call, callback, free, in_callback, limit, may_wait, owned, quietly};
use crate::engine::{engine_of, migrate_engine};
use crate::handle::{self, Handle};
use crate::migrate_error;
use crate::migrate_status::{self, MIGRATE_DONE, MIGRATE_NOT_YET, MIGRATE_OK};

/// Reads an engine's events in order. Each event is taken once from one reader; open another to read them twice.
pub struct migrate_events(());

/// Gets an event, as JSON. `event` is the library's, and valid until the callback returns.
///
/// Runs on a thread of the library made for it, one call at a time, with no lock held. It may take its time (events that
/// are then dropped show as a jump of `seq`), and may make calls that do not wait.
pub type migrate_event_fn = Option<unsafe extern "C" fn(event: *const c_char, user: *mut c_void)>;

pub(crate) struct EventsObject(Arc<Reading>);

/// A reader, and who waits for it.
struct Reading {
    events: Events,
    #[cfg(unix)]
    loops: Mutex<Option<Loops>>,
    /// What the thread of a callback waits for.
    waited: Mutex<Option<Arc<Job<()>>>>,
    ended: AtomicBool,
    /// It ended in a callback, perhaps its own: nobody waits for what is left.
    hurried: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a program's own loop waits for.
#[cfg(unix)]
struct Loops {
    signal: Arc<crate::signal::Signal>,
    /// Raises the signal when it ends.
    armed: Option<Job<()>>,
}

impl Handle for migrate_events {
    type Object = EventsObject;
    const NAME: &'static str = "events";
}

/// The most events that are handed over after the end.
const LEFT: usize = 100_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reading {
    /// Hands each event to `give`, until the engine or the reader ends.
    fn run(&self, give: impl Fn(CString)) {
        while !self.ended.load(Ordering::SeqCst) {
            if let Some(event) = self.events.try_next() {
                give(c_text(event));
                continue;
            }
            let Ok(job) = self.events.wait().map(Arc::new) else { break };
            *lock(&self.waited) = Some(Arc::clone(&job));
            // Who ends it looks at what is waited for after saying so, and this the other way round.
            if self.ended.load(Ordering::SeqCst) || job.wait(None).is_err() {
                break;
            }
        }
        // What was told before the end, and no more than that: others may go on.
        for event in std::iter::from_fn(|| self.events.try_next()).take(LEFT) {
            if self.hurried.load(Ordering::SeqCst) {
                break;
            }
            give(c_text(event));
        }
    }

    #[cfg(unix)]
    fn arm(&self, loops: &mut Loops) {
        if loops.armed.as_ref().is_some_and(|job| !job.is_done()) {
            return;
        }
        loops.signal.lower();
        let raised = Arc::clone(&loops.signal);
        match self.events.wait() {
            Ok(job) => {
                job.on_done(move || raised.raise());
                loops.armed = Some(job);
            }
            // The engine is closed: that is to be told, too.
            Err(_) => raised.raise(),
        }
    }
}

impl EventsObject {
    fn end(&self) {
        if in_callback() {
            self.0.hurried.store(true, Ordering::SeqCst);
        }
        self.0.ended.store(true, Ordering::SeqCst);
        if let Some(job) = lock(&self.0.waited).take() {
            job.cancel();
        }
        let thread = lock(&self.0.thread).take();
        // In a callback, perhaps its own, it ends by itself.
        if let Some(thread) = thread
            && !in_callback()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for EventsObject {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opens a reader of an engine's events: those of all its replicas that came after the one numbered `after` (0: from
/// the oldest that is kept).
///
/// `events` is the caller's, to be freed by migrate_events_free. Errors: call.*. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_events_open(
    engine: *mut migrate_engine,
    after: u64,
    events: *mut *mut migrate_events,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(events, "events")?;
            out.keep(EventsObject(Arc::new(Reading {
                events: engine_of(engine)?.engine.events(after)?,
                #[cfg(unix)]
                loops: Mutex::default(),
                waited: Mutex::default(),
                ended: AtomicBool::new(false),
                hurried: AtomicBool::new(false),
                thread: Mutex::default(),
            })));
            Ok(MIGRATE_OK)
        })
    }
}

/// Gives the next event as JSON: MIGRATE_OK; MIGRATE_NOT_YET if there is none within `timeout_ms` (negative: no limit,
/// 0: it does not wait); MIGRATE_DONE when the engine is closed and all were read. A `seq` that jumps says that older
/// ones are gone.
///
/// `event` is the caller's, to be freed by migrate_text_free. Errors: call.*. In a callback only with 0. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_events_next(
    events: *mut migrate_events,
    timeout_ms: i64,
    event: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(event, "event")?, handle::get(events)?);
            let reading = &object.0;
            if timeout_ms != 0 {
                may_wait()?;
            }
            match next(reading, limit(timeout_ms))? {
                Next::Event(event) => {
                    out.set(owned(event));
                    Ok(MIGRATE_OK)
                }
                Next::Closed => Ok(MIGRATE_DONE),
                Next::None => {
                    #[cfg(unix)]
                    if let Some(loops) = &mut *lock(&reading.loops) {
                        reading.arm(loops);
                    }
                    Ok(MIGRATE_NOT_YET)
                }
            }
        })
    }
}

enum Next {
    Event(String),
    None,
    Closed,
}

fn next(reading: &Reading, limit: Option<Duration>) -> Result<Next, Failure> {
    let closed = Failure::from(CallError::Closed { what: "engine" });
    match reading.events.next(limit) {
        Ok(Some(event)) => Ok(Next::Event(event)),
        Ok(None) => Ok(Next::None),
        Err(failure) if failure == closed => Ok(reading.events.try_next().map_or(Next::Closed, Next::Event)),
        Err(failure) => Err(failure),
    }
}

/// A file descriptor that is readable when there may be an event to take, or the engine is closed. Then call
/// migrate_events_next with 0 until it returns anything but MIGRATE_OK. Only wait for it; do not read, write or close
/// it. Unix only.
///
/// Owner: the reader; valid until it is freed. Errors: call.*. Never waits. Thread-safe.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_events_fd(
    events: *mut migrate_events,
    fd: *mut std::ffi::c_int,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::at(fd, "fd")?, handle::get(events)?);
            let mut loops = lock(&object.0.loops);
            if loops.is_none() {
                let mut new = Loops { signal: Arc::new(crate::signal::Signal::new()?), armed: None };
                object.0.arm(&mut new);
                *loops = Some(new);
            }
            out.set(loops.as_ref().map_or(-1, |loops| loops.signal.fd()));
            Ok(MIGRATE_OK)
        })
    }
}

/// Hands each event to `callback` from now on, until the reader is freed or the engine is closed. Do not take events
/// from the same reader otherwise.
///
/// Errors: call.argument (also if it has a callback), call.closed, call.threads. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_events_call(
    events: *mut migrate_events,
    callback: migrate_event_fn,
    user: *mut c_void,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let object = handle::get(events)?;
            let Some(given) = callback else { return Err(CallError::argument("callback", "it is NULL").into()) };
            let mut thread = lock(&object.0.thread);
            if thread.is_some() {
                return Err(CallError::argument("callback", "the reader has one").into());
            }
            let (reading, user) = (Arc::clone(&object.0), Sent(user));
            let run = move || {
                let user = user;
                reading.run(|event| self::callback(|| given(event.as_ptr(), user.0)));
            };
            let spawned = thread::Builder::new().name("migrate-events".into()).spawn(run);
            *thread = Some(spawned.map_err(|e| CallError::Threads { problem: e.to_string() })?);
            Ok(MIGRATE_OK)
        })
    }
}

/// What a callback gets, on its way to its thread.
struct Sent(*mut c_void);

// SAFETY: it is only handed to the callback, which is said to run on another thread.
unsafe impl Send for Sent {}

/// Frees a reader and sets the variable to NULL. What was told before is handed to its callback, if it has one, and
/// once this returns, that does not run and will not; in a callback this does not wait, and one more may run. Nothing
/// happens if `events` or what it points to is NULL or freed. Waits for its callback. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_events_free(events: *mut *mut migrate_events) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| {
        if let Some(object) = unsafe { free(events) } {
            // Also while another thread is in a call with it.
            object.end();
        }
    });
}
