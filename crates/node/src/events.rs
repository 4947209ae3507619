//! Events of an engine.

use napi_derive::napi;

use crate::job::Job;

/// A reader of an engine's events.
#[napi]
pub struct Events {
    pub(crate) events: libmigrate_embed::Events,
}

#[napi]
impl Events {
    /// The next event's JSON, if there is one already.
    #[napi(catch_unwind)]
    pub fn try_next(&self) -> Option<String> {
        self.events.try_next()
    }

    /// A job that ends when there is one, or the engine is closed.
    #[napi(catch_unwind)]
    pub fn wait(&self) -> napi::Result<Job> {
        Job::of_nothing(self.events.wait())
    }
}
