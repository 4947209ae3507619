//! Requests that Python threads answer.

use libmigrate::secret::Secret;
use libmigrate_embed::{CallError, Failure, ReadRequest, Request, Server, TokenRequest};
use pyo3::prelude::*;

use crate::bytes_of_python::Borrowed;
use crate::failed::failed;
use crate::waiting::{SLICE, is_ending, without_interpreter};

/// The next request; `call.closed` when there will be none, or the interpreter ends.
fn next<Q: Send, A: Send>(py: Python<'_>, server: &Server<Q, A>) -> PyResult<Request<Q, A>> {
    let next = || loop {
        if let Some(request) = server.next(Some(SLICE))? {
            return Ok(request);
        }
        if is_ending() {
            return Err(Failure::from(CallError::Closed { what: "interpreter" }));
        }
    };
    without_interpreter(py, next)?.map_err(failed)
}

/// The reads of a disk that Python serves.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Reads(pub(crate) Server<libmigrate_embed::Read, Vec<u8>>);

#[pymethods]
impl Reads {
    /// Waits for the next read.
    fn next(&self, py: Python<'_>) -> PyResult<Read> {
        let mut request = next(py, &self.0)?;
        let mut memory = request.take_memory();
        // What `readinto` forgets to fill must not be another disk's.
        memory.fill(0);
        let memory = Borrowed::lend(py, memory)?;
        Ok(Read { offset: request.extent().offset(), pending: Some((request, memory)) })
    }
}

/// One read.
#[pyclass(module = "libmigrate._native")]
pub(crate) struct Read {
    /// Its first byte.
    #[pyo3(get)]
    offset: u64,
    pending: Option<(ReadRequest, Borrowed)>,
}

#[pymethods]
impl Read {
    /// What is to be filled: valid until it is answered.
    fn buffer(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.pending.as_ref().map(|(_, bytes)| bytes.view(py))
    }

    /// Answers with what the buffer holds. False if somebody still held a part of it; then the read fails.
    fn answer(&mut self, py: Python<'_>) -> bool {
        let Some((request, bytes)) = self.pending.take() else { return false };
        if let Some(bytes) = bytes.take_back(py) {
            request.answer(bytes);
            true
        } else {
            request.fail("readinto kept its buffer, or a part of it, beyond its return");
            false
        }
    }

    /// Says why it cannot be read.
    fn fail(&mut self, py: Python<'_>, problem: &str) {
        if let Some((request, bytes)) = self.pending.take() {
            drop(bytes.take_back(py));
            request.fail(problem);
        }
    }
}

/// A credential whose tokens Python gets.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Token(pub(crate) libmigrate_embed::Token);

#[pymethods]
impl Token {
    #[staticmethod]
    fn served() -> (Self, Tokens) {
        let (token, requests) = libmigrate_embed::Token::served();
        (Self(token), Tokens(requests))
    }
}

/// The requests for tokens.
#[pyclass(frozen, module = "libmigrate._native")]
pub(crate) struct Tokens(Server<Vec<String>, (Secret<String>, i64)>);

#[pymethods]
impl Tokens {
    /// Waits for the next request.
    fn next(&self, py: Python<'_>) -> PyResult<TokenAsked> {
        let request = next(py, &self.0)?;
        Ok(TokenAsked { scopes: request.question().clone(), request: Some(request) })
    }
}

/// One request for a token.
#[pyclass(module = "libmigrate._native")]
pub(crate) struct TokenAsked {
    /// What it must allow.
    #[pyo3(get)]
    scopes: Vec<String>,
    request: Option<TokenRequest>,
}

#[pymethods]
impl TokenAsked {
    /// Answers with a token and the second since 1970 at which it ends.
    fn answer(&mut self, token: String, expires_on: i64) {
        if let Some(request) = self.request.take() {
            request.answer((Secret::new(token), expires_on));
        }
    }

    /// Says why there is none.
    fn fail(&mut self, problem: &str) {
        if let Some(request) = self.request.take() {
            request.fail(problem);
        }
    }
}
