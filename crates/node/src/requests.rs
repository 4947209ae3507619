//! Requests that JavaScript has taken and not answered yet.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use libmigrate_embed::Failure;

/// The end of a queue in this environment. Dropped, what is not answered fails.
pub(crate) struct Requests<R> {
    /// Takes the next request without waiting; none once it is closed.
    next: RefCell<Option<Next<R>>>,
    taken: RefCell<HashMap<u32, R>>,
    last: Cell<u32>,
}

type Next<R> = Box<dyn Fn() -> Result<Option<R>, Failure>>;

impl<R> Requests<R> {
    pub(crate) fn new(next: impl Fn() -> Result<Option<R>, Failure> + 'static) -> Self {
        Self { next: RefCell::new(Some(Box::new(next))), taken: RefCell::default(), last: Cell::new(0) }
    }

    /// The next request, if there is one: its number, and what `see` makes of it.
    pub(crate) fn take<S>(&self, see: impl FnOnce(&R) -> S) -> Result<Option<(u32, S)>, Failure> {
        let Some(request) = self.next.borrow().as_ref().map_or(Ok(None), |next| next())? else { return Ok(None) };
        let (id, seen) = (self.last.get().wrapping_add(1), see(&request));
        self.last.set(id);
        self.taken.borrow_mut().insert(id, request);
        Ok(Some((id, seen)))
    }

    /// Ends the request of this number; of one that was ended before, nothing.
    pub(crate) fn end(&self, id: u32, end: impl FnOnce(R)) {
        let request = self.taken.borrow_mut().remove(&id);
        if let Some(request) = request {
            end(request);
        }
    }

    pub(crate) fn close(&self) {
        let next = self.next.borrow_mut().take();
        let taken = self.taken.take();
        drop((next, taken));
    }
}
