//! Hears everything that this process says: tracing at every level with all fields, the `log` crate, panics.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

static HEARD: Mutex<String> = Mutex::new(String::new());
static LISTENING: OnceLock<()> = OnceLock::new();

/// Starts to listen, once for the whole process.
pub(crate) fn listen() {
    LISTENING.get_or_init(|| {
        tracing::subscriber::set_global_default(Tracing).unwrap();
        log::set_logger(&Log).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            hear(format_args!("panic: {panic}"));
            print(panic);
        }));
    });
}

/// All that was heard so far.
pub(crate) fn heard() -> String {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn hear(what: std::fmt::Arguments<'_>) {
    writeln!(HEARD.lock().unwrap_or_else(PoisonError::into_inner), "{what}").unwrap();
}

struct Tracing;

struct Fields;

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        hear(format_args!("  {field}={value:?}"));
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        hear(format_args!("  {field}={value}"));
    }
}

impl tracing::Subscriber for Tracing {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::TRACE)
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        hear(format_args!("span {} {}", span.metadata().target(), span.metadata().name()));
        span.record(&mut Fields);
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Fields);
    }

    fn event(&self, event: &tracing::Event<'_>) {
        hear(format_args!("event {} {}", event.metadata().target(), event.metadata().name()));
        event.record(&mut Fields);
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        hear(format_args!("log {} {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}
