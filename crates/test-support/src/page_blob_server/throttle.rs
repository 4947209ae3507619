//! How fast the server lets itself be used.

use std::time::{Duration, Instant};

use super::faults::Slowdown;

/// Limits in force. Without any at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Waited before every request is acted on.
    pub latency: Duration,
    /// The most bytes of request bodies that are read in a second, over all connections.
    pub bytes_per_second: Option<u64>,
    /// Above this the server answers 503 `ServerBusy`.
    pub busy_above: Option<BusyAbove>,
}

/// A bucket that request bodies fill and that leaks at a steady rate.
#[derive(Clone, Copy, Debug)]
pub struct BusyAbove {
    /// How fast it leaks.
    pub bytes_per_second: u64,
    /// How much it holds.
    pub burst_bytes: u64,
    /// What the refusal's `Retry-After` says.
    pub retry_after: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Throttle {
    pub(crate) limits: Limits,
    /// A slow stretch and when it ends.
    slow: Option<(u64, Instant)>,
    /// When the line is free again.
    free_at: Instant,
    /// What is in the bucket, and when that was worked out.
    bucket: (f64, Instant),
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Throttle {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self { limits, slow: None, free_at: now, bucket: (0.0, now) }
    }

    /// Whether the bucket has room for a body of `bytes`; if so, it is in.
    pub(crate) fn admits(&mut self, bytes: u64) -> bool {
        self.admits_at(bytes, Instant::now())
    }

    fn admits_at(&mut self, bytes: u64, now: Instant) -> bool {
        let Some(busy) = self.limits.busy_above else { return true };
        let (level, then) = self.bucket;
        let level = (level - (now - then).as_secs_f64() * busy.bytes_per_second as f64).max(0.0);
        let filled = level + bytes as f64;
        let fits = filled <= busy.burst_bytes as f64;
        self.bucket = (if fits { filled } else { level }, now);
        fits
    }

    /// From now on, for a while, the line is slow.
    pub(crate) fn slow_down(&mut self, to: Slowdown) {
        self.slow = Some((to.bytes_per_second, Instant::now() + to.lasting));
    }

    /// How long `bytes` more take on the line.
    pub(crate) fn pass(&mut self, bytes: u64) -> Duration {
        let now = Instant::now();
        let slow = self.slow.filter(|(_, until)| now < *until).map(|(rate, _)| rate);
        let Some(rate) = slow.into_iter().chain(self.limits.bytes_per_second).min() else { return Duration::ZERO };
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.free_at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_refuses_until_it_has_leaked() {
        let busy = BusyAbove { bytes_per_second: 1000, burst_bytes: 2000, retry_after: None };
        let mut throttle = Throttle::new(Limits { busy_above: Some(busy), ..Limits::default() });
        let start = throttle.bucket.1;
        assert!(throttle.admits_at(2000, start));
        assert!(!throttle.admits_at(512, start + Duration::from_millis(500)));
        assert!(throttle.admits_at(512, start + Duration::from_millis(520)));
    }

    #[test]
    fn bytes_queue_on_the_line() {
        let mut throttle = Throttle::new(Limits { bytes_per_second: Some(1000), ..Limits::default() });
        assert!(throttle.pass(10_000) > Duration::from_secs(9));
        assert!(throttle.pass(10_000) > Duration::from_secs(19));
    }
}
