//! Where replicas go, and credentials that JavaScript has.

use std::cell::RefCell;
use std::time::Duration;

use libmigrate::secret::Secret;
use libmigrate_embed::{CallError, TokenRequest};
use napi::bindgen_prelude::Function;
use napi_derive::napi;

use crate::bell::Bell;
use crate::engine::Engine;
use crate::project::Project;
use crate::requests::Requests;
use crate::thrown;

/// Where a replica goes.
#[napi]
pub struct Target {
    pub(crate) target: libmigrate_embed::Target,
}

#[napi]
impl Target {
    #[napi(factory, catch_unwind)]
    pub fn open(settings: String) -> napi::Result<Self> {
        Ok(Self { target: libmigrate_embed::Target::open(&settings, None).map_err(thrown)? })
    }

    #[napi(getter, catch_unwind)]
    pub fn location(&self) -> String {
        self.target.location()
    }
}

/// Requests for tokens. Closed or collected, what is not answered fails.
#[napi]
pub struct Tokens {
    requests: Requests<TokenRequest>,
    token: RefCell<Option<libmigrate_embed::Token>>,
}

/// A request, to be answered by its number.
#[napi(object)]
pub struct TokenWanted {
    /// Number of the request.
    pub id: u32,
    /// For what.
    pub scopes: Vec<String>,
}

#[napi]
impl Tokens {
    /// A credential of JavaScript; `callback` is called when there may be a request, or none will come any more.
    #[napi(constructor, catch_unwind)]
    pub fn new(callback: Function<'_, (), ()>) -> napi::Result<Self> {
        let bell = Bell::new(&callback, true)?;
        let (token, server) = libmigrate_embed::Token::served();
        server.on_change(move || bell.ring());
        let requests = Requests::new(move || server.next(Some(Duration::ZERO)));
        Ok(Self { requests, token: RefCell::new(Some(token)) })
    }

    /// Opens a target that authenticates with these tokens. Only once, since nobody will ask any more when the target
    /// is collected.
    #[napi(catch_unwind)]
    pub fn open_target(&self, settings: String) -> napi::Result<Target> {
        let closed = || thrown(CallError::Closed { what: "credential" }.into());
        let token = self.token.borrow_mut().take().ok_or_else(closed)?;
        Ok(Target { target: libmigrate_embed::Target::open(&settings, Some(token)).map_err(thrown)? })
    }

    /// Opens a migration as whoever has these tokens. Only once, as above.
    #[napi(catch_unwind)]
    pub fn open_project(&self, engine: &Engine, settings: String) -> napi::Result<Project> {
        let closed = || thrown(CallError::Closed { what: "credential" }.into());
        let token = self.token.borrow_mut().take().ok_or_else(closed)?;
        let project = libmigrate_embed::Project::open(&engine.engine, &settings, &token).map_err(thrown)?;
        Ok(Project { project })
    }

    /// The next request, if there is one; throws `call.closed` when none will come any more.
    #[napi(catch_unwind)]
    pub fn take(&self) -> napi::Result<Option<TokenWanted>> {
        let taken = self.requests.take(|request| request.question().clone()).map_err(thrown)?;
        Ok(taken.map(|(id, scopes)| TokenWanted { id, scopes }))
    }

    /// Answers with a token and the second since 1970 at which it expires.
    #[napi(catch_unwind)]
    pub fn answer(&self, id: u32, token: String, expires: i64) {
        self.requests.end(id, |request| request.answer((Secret::new(token), expires)));
    }

    #[napi(catch_unwind)]
    pub fn fail(&self, id: u32, problem: String) {
        self.requests.end(id, |request| request.fail(problem));
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.requests.close();
    }
}
