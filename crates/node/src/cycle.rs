//! A cycle, whose bytes JavaScript pushes.

use bytes::Bytes;
use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;

use crate::job::{Extent, Given, Job};
use crate::source::Source;
use crate::{number, thrown, whole};

/// A cycle in progress.
#[napi]
pub struct Cycle {
    cycle: libmigrate_embed::Cycle,
}

impl Cycle {
    pub(crate) const fn new(cycle: libmigrate_embed::Cycle) -> Self {
        Self { cycle }
    }
}

#[napi]
impl Cycle {
    /// A job that ends with the next extent to push, or with nothing.
    #[napi(catch_unwind)]
    pub fn next(&self) -> napi::Result<Job> {
        Job::new(self.cycle.next(), |wanted| match wanted {
            None => Given::A(()),
            Some(extent) => Given::G(Extent { offset: number(extent.offset()), len: number(extent.len_bytes()) }),
        })
    }

    /// Pushes a copy of `bytes`: at once if there is room (nothing), else in the job that is returned.
    #[napi(catch_unwind)]
    pub fn push(&self, offset: i64, bytes: Uint8ArraySlice<'_>) -> napi::Result<Option<Job>> {
        let offset = whole("offset", offset).map_err(thrown)?;
        let given_back = self.cycle.try_push(offset, Bytes::copy_from_slice(&bytes)).map_err(thrown)?;
        given_back.map(|bytes| Job::of_nothing(self.cycle.push(offset, bytes))).transpose()
    }

    #[napi(catch_unwind)]
    pub fn copy_from(&self, source: &Source) -> napi::Result<Job> {
        Job::of_nothing(self.cycle.copy_from(&source.source))
    }

    #[napi(catch_unwind)]
    pub fn seal(&self) -> napi::Result<Job> {
        Job::of_text(self.cycle.seal())
    }

    /// Never waits.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.cycle.stop();
    }
}
