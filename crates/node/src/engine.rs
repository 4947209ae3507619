//! The engine, and everything that is opened with it.

use std::thread;
use std::time::Duration;

use libmigrate_embed::CallError;
use napi::bindgen_prelude::Function;
use napi_derive::napi;

use crate::bell::Bell;
use crate::events::Events;
use crate::job::{Given, Job};
use crate::replica::Replica;
use crate::source::Source;
use crate::target::Target;
use crate::{number, thrown, whole};

/// An engine.
#[napi]
pub struct Engine {
    pub(crate) engine: libmigrate_embed::Engine,
}

#[napi]
impl Engine {
    #[napi(constructor, catch_unwind)]
    pub fn new(settings: String) -> napi::Result<Self> {
        Ok(Self { engine: libmigrate_embed::Engine::open(&settings).map_err(thrown)? })
    }

    #[napi(catch_unwind)]
    pub fn open_source(&self, settings: String) -> napi::Result<Job> {
        Job::new(self.engine.open_source(&settings), |source| Given::D(Source { source }))
    }

    #[napi(catch_unwind)]
    pub fn open_replica(&self, target: &Target, source: &Source, take_over: bool) -> napi::Result<Job> {
        let opened = if take_over {
            self.engine.take_over(&target.target, &source.source)
        } else {
            self.engine.open_replica(&target.target, &source.source)
        };
        Job::new(opened, |replica| Given::E(Replica { replica }))
    }

    #[napi(catch_unwind)]
    pub fn events(&self, after: i64) -> napi::Result<Events> {
        let after = whole("after", after).map_err(thrown)?;
        Ok(Events { events: self.engine.events(after).map_err(thrown)? })
    }

    #[napi(catch_unwind)]
    pub fn preflight_network(&self, settings: String) -> napi::Result<Job> {
        Job::of_text(self.engine.preflight_network(&settings))
    }

    #[napi(catch_unwind)]
    pub fn set_bytes_per_second(&self, limit: Option<i64>) -> napi::Result<()> {
        let limit = limit.map(|limit| whole("limit", limit)).transpose().map_err(thrown)?;
        self.engine.set_bytes_per_second(limit).map_err(thrown)
    }

    #[napi(catch_unwind)]
    pub fn set_schedule(&self, schedule: Option<String>) -> napi::Result<()> {
        self.engine.set_schedule(schedule.as_deref()).map_err(thrown)
    }

    /// Closes it on a thread of its own, since closing blocks, and then has `callback` called.
    #[napi(catch_unwind)]
    pub fn close(&self, limit_ms: i64, callback: Function<'_, (), ()>) -> napi::Result<()> {
        let limit = Duration::from_millis(whole("limit_ms", limit_ms).map_err(thrown)?);
        let (engine, bell) = (self.engine.clone(), Bell::new(&callback, false)?);
        let closing = thread::Builder::new().name("libmigrate close".to_owned()).spawn(move || {
            // The process was not forked, and this is no thread of an engine.
            let _ = engine.close(limit);
            bell.ring();
        });
        closing.map(drop).map_err(|e| thrown(CallError::Threads { problem: e.to_string() }.into()))
    }

    #[napi(getter, catch_unwind)]
    pub fn closed(&self) -> bool {
        self.engine.is_closed()
    }
}

/// The size of a disk for JavaScript.
pub(crate) fn size(bytes: u64) -> Given {
    Given::C(number(bytes))
}
