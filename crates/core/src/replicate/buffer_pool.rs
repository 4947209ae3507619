//! Buffers under one hard limit: who wants more waits.
//!
//! A [`Buffer`] is filled once, becomes [`Bytes`] without a copy, travels to the socket, and gives its
//! memory back when the last reference is dropped. Buffers of the usual length are kept and used again,
//! so that their pages stay mapped.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit that the limit is counted in; permits are u32.
const UNIT: usize = 4096;

/// All buffers of an engine.
#[derive(Clone, Debug)]
pub(crate) struct BufferPool {
    free_bytes: Arc<Semaphore>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    kept_len: usize,
    units: usize,
}

impl BufferPool {
    /// A pool of `limit_bytes`, which must hold two buffers of `usual_len` at least.
    pub(crate) fn new(limit_bytes: usize, usual_len: usize) -> Self {
        let units = limit_bytes / UNIT;
        Self { free_bytes: Arc::new(Semaphore::new(units)), kept: Arc::default(), kept_len: usual_len, units }
    }

    /// A part of the limit, without a buffer: for bytes that the caller owns. A request for more than the
    /// whole limit gets the whole limit.
    pub(crate) async fn reserve(&self, len: usize) -> OwnedSemaphorePermit {
        let permit = self.acquire(len).await;
        self.keep_what_fits();
        permit
    }

    /// The same, if the limit allows it now.
    pub(crate) fn try_reserve(&self, len: usize) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.free_bytes).try_acquire_many_owned(self.units_of(len)).ok();
        self.keep_what_fits();
        permit
    }

    async fn acquire(&self, len: usize) -> OwnedSemaphorePermit {
        let free = Arc::clone(&self.free_bytes);
        free.acquire_many_owned(self.units_of(len)).await.expect("the pool is never closed")
    }

    fn units_of(&self, len: usize) -> u32 {
        len.div_ceil(UNIT).min(self.units) as u32
    }

    /// A buffer of `len` bytes with any content, as soon as the limit allows.
    pub(crate) async fn take(&self, len: usize) -> Buffer {
        let permit = self.acquire(len).await;
        let kept = (len == self.kept_len).then(|| self.lock().pop()).flatten();
        self.keep_what_fits();
        Buffer { memory: kept.unwrap_or_else(|| vec![0; len]), pool: self.clone(), _permit: permit }
    }

    /// Gives buffers back to the system that nobody uses and that no longer fit under the limit.
    fn keep_what_fits(&self) {
        let fits = self.free_bytes.available_permits() * UNIT / self.kept_len.max(1);
        self.lock().truncate(fits);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory from the pool.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    pool: BufferPool,
    _permit: OwnedSemaphorePermit,
}

impl Buffer {
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// The memory itself, to be given away. What becomes of it is up to whoever has it, as long as the buffer counts it.
    pub(crate) fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// The buffer as shareable bytes, without a copy.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A source that was lent it may have given other memory back.
        if self.memory.len() == self.pool.kept_len && self.memory.capacity() == self.pool.kept_len {
            let memory = std::mem::take(&mut self.memory);
            self.pool.lock().push(memory);
        }
    }
}

/// The caller's bytes together with their part of the limit.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) bytes: Bytes,
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_wait_gets_a_part_of_the_limit_or_none() {
        let pool = BufferPool::new(2 * UNIT, UNIT);
        let first = pool.try_reserve(2 * UNIT);
        assert!(first.is_some() && pool.try_reserve(1).is_none());
        drop(first);
        assert!(pool.try_reserve(5 * UNIT).is_some(), "more than the whole limit is the whole limit");
    }

    #[tokio::test]
    async fn who_wants_more_than_the_limit_waits() {
        let pool = BufferPool::new(2 * UNIT, UNIT);
        let (first, second) = (pool.take(UNIT).await, pool.take(UNIT).await);
        let mut third = Box::pin(pool.take(UNIT));
        assert!(futures::poll!(&mut third).is_pending());
        let shared = first.freeze();
        let slice = shared.slice(10..20);
        drop((shared, second));
        let third = third.await;
        assert!(futures::poll!(Box::pin(pool.take(UNIT))).is_pending(), "a slice keeps its buffer");
        drop((slice, third));
        assert!(futures::poll!(Box::pin(pool.take(2 * UNIT))).is_ready());
    }

    #[tokio::test]
    async fn buffers_that_nobody_uses_count_too() {
        let pool = BufferPool::new(4 * UNIT, UNIT);
        let used = [pool.take(UNIT).await, pool.take(UNIT).await, pool.take(UNIT).await];
        drop(used);
        assert_eq!(pool.lock().len(), 3);
        let _theirs = pool.reserve(3 * UNIT).await;
        assert_eq!(pool.lock().len(), 1);
        let _ours = pool.take(UNIT).await;
        assert_eq!(pool.lock().len(), 0);
    }

    #[tokio::test]
    async fn memory_that_was_given_away_counts_until_its_buffer_is_gone() {
        let pool = BufferPool::new(UNIT, UNIT);
        let mut buffer = pool.take(UNIT).await;
        let lost = std::mem::take(buffer.memory());
        drop(lost);
        assert!(pool.try_reserve(1).is_none());
        drop(buffer);
        assert!(pool.try_reserve(1).is_some() && pool.lock().is_empty());
    }

    #[tokio::test]
    async fn a_buffer_of_the_usual_length_is_used_again() {
        let pool = BufferPool::new(4 * UNIT, UNIT);
        let address = pool.take(UNIT).await.as_ref().as_ptr();
        assert_eq!(pool.take(UNIT).await.as_ref().as_ptr(), address);
    }
}
