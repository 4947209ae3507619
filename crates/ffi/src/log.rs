//! The log: what the library says of itself, for operators.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libmigrate_embed::{CallError, LogLine, Logs};

use crate::border::{c_text, call, callback, may_wait};
use crate::engine::be_silent;
use crate::migrate_error;
use crate::migrate_status::{self, MIGRATE_OK};

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum migrate_log_level {
    /// Something failed.
    MIGRATE_LOG_ERROR = 1,
    /// Something is not as it should be.
    MIGRATE_LOG_WARN = 2,
    /// What an operator wants to know.
    MIGRATE_LOG_INFO = 3,
    /// What a developer wants to know.
    MIGRATE_LOG_DEBUG = 4,
    /// Everything.
    MIGRATE_LOG_TRACE = 5,
}

/// Gets a line of the log. `target` is the part of the library, `message` what it says, without a line's end and
/// without secrets; both are the library's, and valid until the callback returns.
///
/// Runs on a thread of the library made for it, one call at a time, with no lock held. It may take its time (lines
/// beyond 4096 that wait are dropped), and may make calls that do not wait.
pub type migrate_log_fn = Option<
    unsafe extern "C" fn(level: migrate_log_level, target: *const c_char, message: *const c_char, user: *mut c_void),
>;

/// The log that is open.
struct Open {
    bell: Arc<Bell>,
    thread: JoinHandle<()>,
}

/// Wakes the log's thread.
#[derive(Default)]
struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Rung {
    #[default]
    No,
    Line,
    End,
}

impl Bell {
    fn ring(&self, rung: Rung) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != Rung::End {
            *state = rung;
        }
        self.changed.notify_all();
    }

    /// Waits until it is rung; whether for the end.
    fn is_the_end(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state =
            self.changed.wait_while(state, |rung| *rung == Rung::No).unwrap_or_else(PoisonError::into_inner);
        if *state == Rung::Line {
            *state = Rung::No;
        }
        *state == Rung::End
    }
}

static OPEN: Mutex<Option<Open>> = Mutex::new(None);

fn level_of(line: &LogLine) -> migrate_log_level {
    match line.level {
        "error" => migrate_log_level::MIGRATE_LOG_ERROR,
        "warn" => migrate_log_level::MIGRATE_LOG_WARN,
        "info" => migrate_log_level::MIGRATE_LOG_INFO,
        "debug" => migrate_log_level::MIGRATE_LOG_DEBUG,
        _ => migrate_log_level::MIGRATE_LOG_TRACE,
    }
}

/// What a callback gets, on its way to its thread.
struct Sent(*mut c_void);

// SAFETY: it is only handed to the callback, which is said to run on another thread.
unsafe impl Send for Sent {}

/// Hands each line of the log to `callback`: those of `level` (a migrate_log_level) and the more important ones. There
/// is one log in a process; one that was set before is closed first. NULL closes it: what was logged before is handed
/// over, and once this returns, the callback does not run and will not. Without a callback nothing is logged; nothing
/// is ever written to standard output or standard error.
///
/// Errors: call.argument, call.log_open (another part of the process has it), call.reentered (in a callback),
/// call.threads. Waits for the callback, if one runs. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_log_set(
    level: i32,
    callback: migrate_log_fn,
    user: *mut c_void,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            may_wait()?;
            be_silent();
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Open { bell, thread }) = open.take() {
                bell.ring(Rung::End);
                let _ = thread.join();
            }
            let Some(given) = callback else { return Ok(MIGRATE_OK) };
            let level = match level {
                1 => "error",
                2 => "warn",
                3 => "info",
                4 => "debug",
                5 => "trace",
                _ => return Err(CallError::argument("level", "it is none of the five levels").into()),
            };
            let logs = Logs::open(level)?;
            let bell = Arc::new(Bell::default());
            let (rings, rung, user) = (Arc::clone(&bell), Arc::clone(&bell), Sent(user));
            logs.on_line(move || rings.ring(Rung::Line));
            let run = move || {
                let user = user;
                let give = |line: &LogLine| {
                    let (target, message) = (c_text(line.target.as_str()), c_text(line.message.as_str()));
                    self::callback(|| given(level_of(line), target.as_ptr(), message.as_ptr(), user.0));
                };
                loop {
                    let end = rung.is_the_end();
                    // At the end no more than what there is: others may go on talking.
                    let most = if end { 4096 } else { usize::MAX };
                    std::iter::from_fn(|| logs.next(Some(Duration::ZERO))).take(most).for_each(|line| give(&line));
                    if end {
                        break;
                    }
                }
            };
            let spawned = thread::Builder::new().name("migrate-log".into()).spawn(run);
            let thread = spawned.map_err(|e| CallError::Threads { problem: e.to_string() })?;
            *open = Some(Open { bell, thread });
            Ok(MIGRATE_OK)
        })
    }
}
