//! A cycle, whose bytes JavaScript pushes.

use std::cell::RefCell;

use bytes::Bytes;
use libmigrate_embed::{CallError, Failure};
use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;

use crate::job::{Extent, Given, Job};
use crate::source::Source;
use crate::{number, thrown, whole};

/// A cycle in progress; none once it was stopped. Another can begin when it is let go of, and JavaScript cannot say
/// when it collects something.
#[napi]
pub struct Cycle {
    cycle: RefCell<Option<libmigrate_embed::Cycle>>,
}

impl Cycle {
    pub(crate) fn new(cycle: libmigrate_embed::Cycle) -> Self {
        Self { cycle: RefCell::new(Some(cycle)) }
    }

    fn open(&self) -> Result<libmigrate_embed::Cycle, Failure> {
        self.cycle.borrow().clone().ok_or_else(|| CallError::Closed { what: "cycle" }.into())
    }
}

#[napi]
impl Cycle {
    /// A job that ends with the next extent to push, or with nothing.
    #[napi(catch_unwind)]
    pub fn next(&self) -> napi::Result<Job> {
        Job::new(self.open().and_then(|cycle| cycle.next()), |wanted| match wanted {
            None => Given::A(()),
            Some(extent) => Given::G(Extent { offset: number(extent.offset()), len: number(extent.len_bytes()) }),
        })
    }

    /// Pushes a copy of `bytes`: at once if there is room (nothing), else in the job that is returned.
    #[napi(catch_unwind)]
    pub fn push(&self, offset: i64, bytes: Uint8ArraySlice<'_>) -> napi::Result<Option<Job>> {
        let offset = whole("offset", offset).map_err(thrown)?;
        let cycle = self.open().map_err(thrown)?;
        let given_back = cycle.try_push(offset, Bytes::copy_from_slice(&bytes)).map_err(thrown)?;
        given_back.map(|bytes| Job::of_nothing(cycle.push(offset, bytes))).transpose()
    }

    #[napi(catch_unwind)]
    pub fn copy_from(&self, source: &Source) -> napi::Result<Job> {
        Job::of_nothing(self.open().and_then(|cycle| cycle.copy_from(&source.source)))
    }

    #[napi(catch_unwind)]
    pub fn seal(&self) -> napi::Result<Job> {
        Job::of_text(self.open().and_then(|cycle| cycle.seal()))
    }

    /// Never waits.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        let stopped = self.cycle.borrow_mut().take();
        stopped.inspect(libmigrate_embed::Cycle::stop);
    }
}
