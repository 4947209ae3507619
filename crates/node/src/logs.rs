//! The log of the process.

use std::cell::RefCell;
use std::time::Duration;

use napi::bindgen_prelude::Function;
use napi_derive::napi;

use crate::bell::Bell;
use crate::thrown;

/// The open log.
#[napi]
pub struct Logs {
    logs: RefCell<Option<libmigrate_embed::Logs>>,
}

#[napi]
impl Logs {
    /// Opens it; `callback` is called when there are lines.
    #[napi(constructor, catch_unwind)]
    pub fn new(level: String, callback: Function<'_, (), ()>) -> napi::Result<Self> {
        let bell = Bell::new(&callback, true)?;
        let logs = libmigrate_embed::Logs::open(&level).map_err(thrown)?;
        logs.on_line(move || bell.ring());
        Ok(Self { logs: RefCell::new(Some(logs)) })
    }

    /// The next line's JSON, if there is one already.
    #[napi(catch_unwind)]
    pub fn try_next(&self) -> Option<String> {
        self.logs.borrow().as_ref()?.next(Some(Duration::ZERO)).map(|line| line.to_json())
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        let closed = self.logs.borrow_mut().take();
        drop(closed);
    }
}
