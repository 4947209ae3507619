//! How long and how often a failed request is tried again, on both planes.
//!
//! Jitter follows "full jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).

use std::time::Duration;

/// How long and how often a failed request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first wait; it doubles with each failure.
    pub first_wait: Duration,
    /// The longest wait, unless the service asks for a longer one.
    pub longest_wait: Duration,
    /// From the first failure on, how long one operation is tried again.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(20),
            budget: Duration::from_secs(5 * 60),
        }
    }
}

impl RetryPolicy {
    /// A wait after so many failures in a row: doubled with each, and then anything up to that.
    pub(crate) fn wait_after(&self, failures: u32) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest_wait).mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_what_doubles_up_to_the_longest() {
        let policy = RetryPolicy { first_wait: Duration::from_millis(100), ..RetryPolicy::default() };
        for _ in 0..100 {
            assert!(policy.wait_after(1) < Duration::from_millis(100));
            assert!(policy.wait_after(3) < Duration::from_millis(400));
            assert!(policy.wait_after(u32::MAX) < policy.longest_wait);
        }
    }
}
