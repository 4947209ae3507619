//! Disks: opened by the engine, pushed, or read by JavaScript.

use std::cell::RefCell;
use std::time::Duration;

use libmigrate_embed::{CallError, ReadRequest};
use napi::bindgen_prelude::{Function, Uint8ArraySlice};
use napi_derive::napi;

use crate::bell::Bell;
use crate::requests::Requests;
use crate::{number, thrown};

/// A disk.
#[napi]
pub struct Source {
    pub(crate) source: libmigrate_embed::Source,
}

#[napi]
impl Source {
    /// A disk whose bytes are pushed.
    #[napi(factory, catch_unwind)]
    pub fn pushed(settings: String) -> napi::Result<Self> {
        Ok(Self { source: libmigrate_embed::Source::pushed(&settings).map_err(thrown)? })
    }

    #[napi(getter, catch_unwind)]
    pub fn size_bytes(&self) -> i64 {
        number(self.source.size_bytes())
    }

    #[napi(getter, catch_unwind)]
    pub fn identity(&self) -> Option<String> {
        self.source.identity()
    }

    #[napi(getter, catch_unwind)]
    pub fn point(&self) -> Option<String> {
        self.source.point()
    }

    #[napi(getter, catch_unwind)]
    pub fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}

/// Requests for the bytes of a disk that JavaScript reads. Closed or collected, what is not answered fails.
#[napi]
pub struct Reads {
    requests: Requests<ReadRequest>,
    source: RefCell<Option<libmigrate_embed::Source>>,
}

/// A request, to be answered by its number.
#[napi(object)]
pub struct Read {
    /// Number of the request.
    pub id: u32,
    /// First byte.
    pub offset: i64,
    /// Bytes.
    pub len: i64,
}

#[napi]
impl Reads {
    /// A disk that JavaScript reads; `callback` is called when there may be a request, or none will come any more.
    #[napi(constructor, catch_unwind)]
    pub fn new(settings: String, callback: Function<'_, (), ()>) -> napi::Result<Self> {
        let bell = Bell::new(&callback, true)?;
        let (source, server) = libmigrate_embed::Source::served(&settings).map_err(thrown)?;
        server.on_change(move || bell.ring());
        let requests = Requests::new(move || server.next(Some(Duration::ZERO)));
        Ok(Self { requests, source: RefCell::new(Some(source)) })
    }

    /// The disk. Only once, since nobody will ask any more when it is collected.
    #[napi(catch_unwind)]
    pub fn source(&self) -> napi::Result<Source> {
        let source =
            self.source.borrow_mut().take().ok_or_else(|| thrown(CallError::Closed { what: "source" }.into()))?;
        Ok(Source { source })
    }

    /// The next request, if there is one; throws `call.closed` when none will come any more.
    #[napi(catch_unwind)]
    pub fn take(&self) -> napi::Result<Option<Read>> {
        let taken = self.requests.take(|read| (number(read.extent().offset()), number(read.extent().len_bytes())));
        Ok(taken.map_err(thrown)?.map(|(id, (offset, len))| Read { id, offset, len }))
    }

    /// Answers with a copy of `bytes`.
    #[napi(catch_unwind)]
    pub fn answer(&self, id: u32, bytes: Uint8ArraySlice<'_>) {
        self.requests.end(id, |mut read| {
            let mut memory = read.take_memory();
            memory.clear();
            memory.extend_from_slice(&bytes);
            read.answer(memory);
        });
    }

    #[napi(catch_unwind)]
    pub fn fail(&self, id: u32, problem: String) {
        self.requests.end(id, |read| read.fail(problem));
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.requests.close();
    }
}
