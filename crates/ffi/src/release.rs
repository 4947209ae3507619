//! Buffers of C that are on their way, and how they come back.
//!
//! A buffer is not copied: the engine holds it until its bytes are at the target. Whoever lets go of it last may be
//! any thread of the engine, in the middle of anything; the callback that gives it back runs on a thread of its own,
//! where no lock is held, and where it may be slow without holding anything up but other callbacks.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libmigrate_embed::{CallError, Failure};

use crate::border::callback;

/// Gives a buffer back.
pub(crate) type Release = unsafe extern "C" fn(buffer: *mut c_void, user: *mut c_void);

/// What C lent.
pub(crate) struct Buffer {
    pub(crate) first: *mut c_void,
    pub(crate) len: usize,
    pub(crate) release: Release,
    pub(crate) user: *mut c_void,
}

// SAFETY: by the header's rules the buffer is only read while it is lent, and `user` is only handed to `release`,
// which is said to run on another thread.
unsafe impl Send for Buffer {}
// SAFETY: the same: nothing writes to it.
unsafe impl Sync for Buffer {}

/// How many buffers are on their way.
#[derive(Default)]
struct Count {
    lent: Mutex<usize>,
    changed: Condvar,
}

impl Count {
    fn change(&self, change: impl FnOnce(&mut usize)) {
        change(&mut self.lent.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// The buffers of one engine.
#[derive(Default)]
pub(crate) struct Releases {
    count: Arc<Count>,
    sender: Mutex<Option<Sender<Arc<Loan>>>>,
}

impl Releases {
    /// Lends `buffer`, on trial: it is only given back by its callback after [`Lent::taken`].
    pub(crate) fn lend(&self, buffer: Buffer) -> Result<(Bytes, Lent), Failure> {
        let loan =
            Loan { buffer, stage: AtomicU8::new(ON_TRIAL), sender: self.sender()?, count: Arc::clone(&self.count) };
        let loan = Arc::new(loan);
        self.count.change(|lent| *lent += 1);
        Ok((Bytes::from_owner(Owner(Arc::clone(&loan))), Lent { loan, taken: false }))
    }

    /// Waits until all are back; whether they are.
    pub(crate) fn all_back(&self, limit: Option<Duration>) -> bool {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut lent = self.count.lent.lock().unwrap_or_else(PoisonError::into_inner);
        while *lent > 0 {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            lent = match left {
                Some(Duration::ZERO) => return false,
                Some(left) => self.count.changed.wait_timeout(lent, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.count.changed.wait(lent).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Where those that come back are sent; the thread ends when nothing can be sent any more.
    fn sender(&self) -> Result<Sender<Arc<Loan>>, Failure> {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            return Ok(sender.clone());
        }
        let (sending, receiving) = channel::<Arc<Loan>>();
        let count = Arc::clone(&self.count);
        let give_back = move || {
            for loan in receiving {
                let Buffer { first, release, user, .. } = loan.buffer;
                // SAFETY: nothing of ours uses the buffer any more, and this happens once for each.
                callback(|| unsafe { release(first, user) });
                count.change(|lent| *lent -= 1);
            }
        };
        thread::Builder::new()
            .name("migrate-release".into())
            .spawn(give_back)
            .map_err(|e| CallError::Threads { problem: e.to_string() })?;
        *sender = Some(sending.clone());
        Ok(sending)
    }
}

const ON_TRIAL: u8 = 0;
const TAKEN: u8 = 1;
const LET_GO: u8 = 2;

/// One buffer on its way: given back when it was both taken and let go of, in whichever order.
struct Loan {
    buffer: Buffer,
    stage: AtomicU8,
    sender: Sender<Arc<Loan>>,
    count: Arc<Count>,
}

/// The engine's side of a loan: dropped when the last of its [`Bytes`] is.
struct Owner(Arc<Loan>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        let Buffer { first, len, .. } = self.0.buffer;
        // SAFETY: C keeps the buffer as it is until it is given back, which is when this is dropped at the earliest.
        unsafe { std::slice::from_raw_parts(first.cast(), len) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.stage.swap(LET_GO, Ordering::AcqRel) == TAKEN {
            give_back(&self.0);
        }
    }
}

/// The caller's side of a loan; dropped, the buffer stays the caller's.
pub(crate) struct Lent {
    loan: Arc<Loan>,
    taken: bool,
}

impl Lent {
    /// The engine took it: from now on it comes back by its callback.
    pub(crate) fn taken(mut self) {
        self.taken = true;
        if self.loan.stage.swap(TAKEN, Ordering::AcqRel) == LET_GO {
            give_back(&self.loan);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.taken {
            self.loan.count.change(|lent| *lent -= 1);
        }
    }
}

fn give_back(loan: &Arc<Loan>) {
    // The thread lives as long as anything can be sent to it.
    let _ = loan.sender.send(Arc::clone(loan));
}

#[cfg(test)]
mod tests {
    use std::ptr;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    unsafe extern "C" fn count_one(_: *mut c_void, user: *mut c_void) {
        // SAFETY: each test passes a counter that outlives its buffers.
        unsafe { &*user.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
    }

    fn lend(releases: &Releases, bytes: &mut [u8; 3], back: &AtomicUsize) -> (Bytes, Lent) {
        let user = ptr::from_ref(back).cast_mut().cast();
        let buffer = Buffer { first: bytes.as_mut_ptr().cast(), len: bytes.len(), release: count_one, user };
        releases.lend(buffer).unwrap()
    }

    #[test]
    fn a_buffer_comes_back_once_when_it_was_taken_and_let_go_of_in_either_order() {
        let (releases, back) = (Releases::default(), AtomicUsize::new(0));
        let mut both = [[1, 2, 3], [4, 5, 6]];
        let [first, second] = &mut both;
        let (bytes, lent) = lend(&releases, first, &back);
        assert_eq!(bytes[..], [1, 2, 3]);
        lent.taken();
        assert!(!releases.all_back(Some(Duration::from_millis(5))));
        let again = bytes.clone();
        drop(bytes);
        assert_eq!(back.load(Ordering::SeqCst), 0);
        drop(again);
        assert!(releases.all_back(None));
        let (bytes, lent) = lend(&releases, second, &back);
        drop(bytes);
        lent.taken();
        assert!(releases.all_back(None));
        assert_eq!(back.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_buffer_that_was_not_taken_stays_the_callers() {
        let (releases, back) = (Releases::default(), AtomicUsize::new(0));
        let mut bytes = [1, 2, 3];
        let (on_trial, lent) = lend(&releases, &mut bytes, &back);
        drop(on_trial);
        drop(lent);
        let (on_trial, lent) = lend(&releases, &mut bytes, &back);
        drop(lent);
        drop(on_trial);
        assert!(releases.all_back(None));
        assert_eq!(back.load(Ordering::SeqCst), 0);
    }
}
