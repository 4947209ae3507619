//! What only the embedding language can answer: a queue of requests that its own threads take and answer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::failure::{CallError, Failure};

/// A question, and where its answer goes. Dropped without one, the asker is told so.
pub struct Request<Q, A> {
    question: Q,
    reply: oneshot::Sender<Result<A, String>>,
}

impl<Q, A> Request<Q, A> {
    /// What is asked.
    pub const fn question(&self) -> &Q {
        &self.question
    }

    pub(crate) const fn question_mut(&mut self) -> &mut Q {
        &mut self.question
    }

    /// Answers it. An asker that was cancelled has gone, which is no error.
    pub fn answer(self, answer: A) {
        let _ = self.reply.send(Ok(answer));
    }

    /// Says why there is no answer, in the embedding program's own words, which must hold no secret.
    pub fn fail(self, problem: impl Into<String>) {
        let _ = self.reply.send(Err(problem.into()));
    }
}

impl<Q: fmt::Debug, A> fmt::Debug for Request<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("question", &self.question).finish_non_exhaustive()
    }
}

/// The queue's end in the embedding language. Any number of threads may take from it; when it is dropped, what was
/// not answered fails, and so does what is asked from then on.
pub struct Server<Q, A>(Arc<Queue<Q, A>>);

/// The queue's end in the engine.
pub(crate) struct Asker<Q, A>(Arc<Queue<Q, A>>);

struct Queue<Q, A> {
    state: Mutex<State<Q, A>>,
    changed: Condvar,
}

struct State<Q, A> {
    waiting: VecDeque<Request<Q, A>>,
    tell: Option<Arc<dyn Fn() + Send + Sync>>,
    asker_is_gone: bool,
    server_is_gone: bool,
}

/// Both ends of a new queue.
pub(crate) fn queue<Q, A>() -> (Asker<Q, A>, Server<Q, A>) {
    let state = State { waiting: VecDeque::new(), tell: None, asker_is_gone: false, server_is_gone: false };
    let queue = Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() });
    (Asker(Arc::clone(&queue)), Server(queue))
}

impl<Q, A> Queue<Q, A> {
    fn lock(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells who waits.
    fn change(&self, change: impl FnOnce(&mut State<Q, A>)) {
        let mut state = self.lock();
        change(&mut state);
        let tell = state.tell.clone();
        drop(state);
        self.changed.notify_all();
        tell.inspect(|tell| tell());
    }
}

impl<Q, A> Server<Q, A> {
    /// The next request, if there is one within `limit` (none: however long it takes); `Ok(None)`: not yet.
    /// `call.closed` when nobody will ask any more.
    pub fn next(&self, limit: Option<Duration>) -> Result<Option<Request<Q, A>>, Failure> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.0.lock();
        loop {
            if let Some(request) = state.waiting.pop_front() {
                return Ok(Some(request));
            }
            if state.asker_is_gone {
                return Err(CallError::Closed { what: "source or credential" }.into());
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => return Ok(None),
                Some(left) => self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Calls `tell` whenever there may be something for [`next`](Self::next): on a thread of an engine, where it
    /// must not block.
    pub fn on_change(&self, tell: impl Fn() + Send + Sync + 'static) {
        let tell: Arc<dyn Fn() + Send + Sync> = Arc::new(tell);
        self.0.lock().tell = Some(Arc::clone(&tell));
        tell();
    }
}

impl<Q, A> Drop for Server<Q, A> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.server_is_gone = true;
        // Dropped outside the lock: each tells its asker.
        let unanswered = std::mem::take(&mut state.waiting);
        drop(state);
        drop(unanswered);
    }
}

impl<Q, A> Asker<Q, A> {
    /// Asks, and waits for the answer; `Err` in the words of who was asked.
    pub(crate) async fn ask(&self, question: Q) -> Result<A, String> {
        self.put(question).await.unwrap_or_else(|_| Err(NO_ANSWER.to_owned()))
    }

    /// The same, on a thread that may block.
    pub(crate) fn ask_blocking(&self, question: Q) -> Result<A, String> {
        self.put(question).blocking_recv().unwrap_or_else(|_| Err(NO_ANSWER.to_owned()))
    }

    fn put(&self, question: Q) -> oneshot::Receiver<Result<A, String>> {
        let (reply, answer) = oneshot::channel();
        let request = Request { question, reply };
        // Under one lock: after the server's end nobody would take it, and it would be waited for without end.
        self.0.change(|state| {
            if !state.server_is_gone {
                state.waiting.push_back(request);
            }
        });
        answer
    }
}

impl<Q, A> Drop for Asker<Q, A> {
    fn drop(&mut self) {
        self.0.change(|state| state.asker_is_gone = true);
    }
}

const NO_ANSWER: &str = "it was closed without an answer";

macro_rules! opaque {
    ($($end:ident),+) => {
        $(impl<Q, A> fmt::Debug for $end<Q, A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($end)).finish_non_exhaustive()
            }
        })+
    };
}

opaque!(Server, Asker);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_millis(10));

    #[test]
    fn a_question_is_answered_by_a_thread_of_the_other_side() {
        let (asker, server) = queue::<u32, u32>();
        let serving = thread::spawn(move || {
            let request = server.next(None).unwrap().unwrap();
            let answer = request.question() * 2;
            request.answer(answer);
            let failed = server.next(None).unwrap().unwrap();
            failed.fail("no");
            server.next(None).map(drop).unwrap_err().code
        });
        assert_eq!(asker.ask_blocking(21), Ok(42));
        assert_eq!(asker.ask_blocking(1), Err("no".to_owned()));
        drop(asker);
        assert_eq!(serving.join().unwrap(), "call.closed");
    }

    #[test]
    fn a_server_that_goes_away_leaves_no_one_waiting() {
        let (asker, server) = queue::<u32, u32>();
        assert!(server.next(SOON).unwrap().is_none());
        let asking = thread::spawn(move || (asker.ask_blocking(1), asker.ask_blocking(2)));
        while server.0.lock().waiting.is_empty() {
            thread::yield_now();
        }
        drop(server);
        let (first, second) = asking.join().unwrap();
        assert!(first.is_err() && second.is_err());
    }

    #[test]
    fn a_request_that_is_dropped_is_no_answer() {
        let (asker, server) = queue::<u32, u32>();
        let asking = thread::spawn(move || asker.ask_blocking(1));
        drop(server.next(None).unwrap());
        assert_eq!(asking.join().unwrap(), Err(NO_ANSWER.to_owned()));
    }

    #[test]
    fn who_asked_to_be_told_is_told_of_each_question_and_of_the_end() {
        let (asker, server) = queue::<u32, u32>();
        let (told, tells) = std::sync::mpsc::channel();
        server.on_change(move || told.send(()).unwrap_or_default());
        let put = [asker.put(1), asker.put(2)];
        drop(asker);
        assert_eq!((put.len(), tells.try_iter().count()), (2, 4));
    }
}
