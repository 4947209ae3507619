//! A limit of bytes per second that can be changed while it is in use.
//!
//! A token bucket that may run into debt: a sender takes its bytes at once and then waits until the debt
//! is paid, so that order is kept and large requests are not starved by small ones. At most a tenth of a
//! second of unused time is saved up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Limits what an engine sends, over all its replicas.
#[derive(Debug)]
pub struct Throttle {
    bucket: Mutex<Bucket>,
    changed: Notify,
}

#[derive(Debug)]
struct Bucket {
    bytes_per_second: Option<u64>,
    /// The moment at which all that was taken is paid for.
    paid_at: Instant,
}

impl Throttle {
    const SAVED: Duration = Duration::from_millis(100);

    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bucket: Mutex::new(Bucket { bytes_per_second, paid_at: Instant::now() }), changed: Notify::new() }
    }

    /// Sets the limit in bytes per second; `None` takes it away. Senders that wait feel it at once. Zero
    /// counts as one byte per second.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let debt = bucket.paid_at.saturating_duration_since(now);
        let factor = match (bucket.bytes_per_second, bytes_per_second) {
            (Some(old), Some(new)) => old.max(1) as f64 / new.max(1) as f64,
            _ => 0.0,
        };
        bucket.paid_at = now + debt.mul_f64(factor);
        bucket.bytes_per_second = bytes_per_second;
        drop(bucket);
        self.changed.notify_waiters();
    }

    /// Waits until `bytes` more may be sent. Dropped while it waits, the bytes stay taken.
    pub(crate) async fn acquire(&self, bytes: u64) {
        let mut mine = self.take(bytes);
        while let Some(until) = mine {
            let changed = self.changed.notified();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                // A new limit moves the whole queue; nobody is due later than its end.
                () = changed => mine = mine.map(|until| until.min(self.paid_at())),
            }
        }
    }

    fn take(&self, bytes: u64) -> Option<Instant> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = bucket.bytes_per_second?.max(1);
        let now = Instant::now();
        let start = bucket.paid_at.max(now.checked_sub(Self::SAVED).unwrap_or(now));
        bucket.paid_at = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        (bucket.paid_at > now).then_some(bucket.paid_at)
    }

    fn paid_at(&self) -> Instant {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).paid_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_follows_the_limit() {
        let throttle = Throttle::new(Some(1000));
        let start = Instant::now();
        for _ in 0..50 {
            throttle.acquire(100).await;
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((4.8..=5.2).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_limit_is_felt_by_those_who_wait() {
        let throttle = Throttle::new(Some(1));
        let start = Instant::now();
        tokio::join!(throttle.acquire(3600), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            throttle.set(None);
        });
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_means_no_wait() {
        let start = Instant::now();
        Throttle::new(None).acquire(u64::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
