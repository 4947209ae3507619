//! What the library says of itself, for operators: a bounded queue of lines.
//!
//! One log in a process: it is where `tracing` sends everything, of this copy of the library. Nothing is written to
//! stdout or stderr. The text of a panic goes here too while the log is open.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use crate::failure::{CallError, Failure};
use crate::settings::text;

/// How many lines wait for a reader; more are counted and dropped.
const CAPACITY: usize = 4096;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When.
    pub time: Timestamp,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// Which part of the library.
    pub target: String,
    /// What.
    pub message: String,
    /// Lines that were dropped before this one, because nobody read them in time.
    pub dropped: u64,
}

impl LogLine {
    /// The line as JSON.
    pub fn to_json(&self) -> String {
        text(self)
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The least important level that is kept; none while no log is open.
    level: Option<Level>,
    lines: VecDeque<LogLine>,
    dropped: u64,
    tell: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, level: Level, target: &str, message: String) {
        let mut state = self.lock();
        if state.level.is_none_or(|least| level > least) {
            return;
        }
        if state.lines.len() == CAPACITY {
            state.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut state.dropped);
        let level = name_of(level);
        state.lines.push_back(LogLine { time: Timestamp::now(), level, target: target.to_owned(), message, dropped });
        let tell = state.tell.clone();
        drop(state);
        self.changed.notify_all();
        tell.inspect(|tell| tell());
    }
}

const fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The log of this process, to be read; dropping it closes it, and another can be opened.
#[derive(Debug)]
pub struct Logs(&'static Shared);

struct Shared(Queue);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

static QUEUE: OnceLock<Shared> = OnceLock::new();
static INSTALL: Once = Once::new();

impl Logs {
    /// Opens the log for lines of `level` (`error`, `warn`, `info`, `debug`, `trace`) and those more important.
    /// `call.log_open` if it is open.
    pub fn open(level: &str) -> Result<Self, Failure> {
        let level: Level = level.parse().map_err(|_| CallError::argument("level", "it is none of the five levels"))?;
        let queue = QUEUE.get_or_init(|| Shared(Queue::default()));
        INSTALL.call_once(|| {
            // Where a program has a subscriber of its own, it has the lines already.
            let _ = tracing::subscriber::set_global_default(ToQueue(&queue.0));
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if queue.0.lock().level.is_none() {
                    return before(panic);
                }
                queue.0.put(Level::ERROR, "panic", panic.to_string());
            }));
        });
        let mut state = queue.0.lock();
        if state.level.is_some() {
            return Err(CallError::LogOpen.into());
        }
        state.level = Some(level);
        drop(state);
        Ok(Self(queue))
    }

    /// The next line, if there is one within `limit` (none: however long it takes).
    pub fn next(&self, limit: Option<Duration>) -> Option<LogLine> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.0.0.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                return Some(line);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => return None,
                Some(left) => self.0.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.0.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Calls `tell` whenever there is a line to take: on any thread, where it must not block.
    pub fn on_line(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.0.0.lock().tell = Some(Arc::new(tell));
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        *self.0.0.lock() = State::default();
    }
}

/// Puts what `tracing` is told into the queue. Spans are not told of: the lines name their replica themselves.
struct ToQueue(&'static Queue);

impl Subscriber for ToQueue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.0.lock().level.is_some_and(|least| *metadata.level() <= least)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0.put(*event.metadata().level(), event.metadata().target(), words.message + &words.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level changes when a log is opened.
        tracing::subscriber::Interest::sometimes()
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_by_level_and_there_is_one_log() {
        assert_eq!(Logs::open("loud").unwrap_err().code, "call.argument");
        let logs = Logs::open("info").unwrap();
        assert_eq!(Logs::open("info").unwrap_err().code, "call.log_open");
        tracing::info!(target: "t", cycle = 3, "sealed");
        tracing::debug!("not kept");
        tracing::warn!(target: "t", "slow");
        let mut lines =
            std::iter::from_fn(|| logs.next(Some(Duration::from_millis(50)))).filter(|line| line.target == "t");
        let first = lines.next().unwrap();
        assert_eq!((first.level, first.message.as_str()), ("info", "sealed cycle=3"));
        assert_eq!(lines.next().unwrap().level, "warn");
        (0..CAPACITY + 3).for_each(|_| tracing::info!(target: "t", "again"));
        assert_eq!(logs.0.0.lock().dropped, 3);
        drop(logs);
        let logs = Logs::open("error").unwrap();
        assert_eq!(logs.next(Some(Duration::ZERO)), None);
        let panicked = std::thread::spawn(|| panic!("on purpose")).join();
        assert!(panicked.is_err());
        assert!(logs.next(Some(Duration::from_secs(5))).unwrap().message.contains("on purpose"));
    }
}
