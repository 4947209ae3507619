//! The one retry loop: exponential backoff with full jitter, the service's own `Retry-After`, and a
//! budget of time.
//!
//! Only errors of kind [`ErrorKind::Retryable`] are tried again. Every operation that runs through here is
//! idempotent: a put carries the same bytes for the same cycle, a lease is taken under the same id.
//! Each attempt of a transfer passes the replica's [`Lane`] anew. What it waits there for the schedule or for bytes
//! is not held against the budget; what it waits for a place, after a failure, is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use super::lane::{Lane, Load};
use crate::error::{Diagnose, ErrorKind};
use crate::progress::{EventKind, EventLog};
use crate::retry_policy::RetryPolicy;
use crate::target::TargetError;

/// The loop, with all that it tells and listens to.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) policy: RetryPolicy,
    pub(crate) events: Arc<EventLog>,
    pub(crate) replica: Arc<str>,
    pub(crate) lane: Arc<Lane>,
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails for good, the budget is spent, or `cancel` is. For the few
    /// requests that are under no limit; what moves pages is a [`transfer`](Self::transfer).
    pub(crate) async fn run<T, F>(&self, cancel: &CancellationToken, attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        self.run_under(None, cancel, attempt).await
    }

    /// The same, each attempt under the limits that `load` falls under.
    pub(crate) async fn transfer<T, F>(
        &self,
        load: Load,
        cancel: &CancellationToken,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        self.run_under(Some(load), cancel, attempt).await
    }

    /// Either: with a load it is a transfer.
    pub(crate) async fn run_under<T, F>(
        &self,
        load: Option<Load>,
        cancel: &CancellationToken,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        let run = self.run_uncancelled(load, attempt);
        cancel.run_until_cancelled(run).await.unwrap_or(Err(ReplicateError::Cancelled.into()))
    }

    async fn run_uncancelled<T, F>(&self, load: Option<Load>, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        let mut failures = 0;
        // Of the budget: since the first failure.
        let mut elapsed = Duration::ZERO;
        loop {
            let (since, result) = if let Some(load) = load {
                let place = self.lane.admit(load).await;
                let since = place.waited_since();
                let result = attempt().await;
                place.end(&result);
                (since, result)
            } else {
                self.lane.quiet_over().await;
                (Instant::now(), attempt().await)
            };
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if failures > 0 {
                elapsed += since.elapsed();
            }
            if error.kind() != ErrorKind::Retryable || matches!(error, TargetError::Changed { .. }) {
                return Err(error.into());
            }
            failures += 1;
            if let TargetError::Transient { retry_after: Some(asked), .. } = error {
                self.lane.keep_quiet(asked);
            }
            let wait = self.wait(failures, &error);
            if elapsed + wait > self.policy.budget {
                return Err(ReplicateError::GaveUp { failures, elapsed, source: error }.into());
            }
            let told = EventKind::Retrying { error: error.to_string(), failures, wait_ms: wait.as_millis() as u64 };
            self.events.record(&self.replica, told);
            tokio::time::sleep(wait).await;
            elapsed += wait;
        }
    }

    fn wait(&self, failures: u32, error: &TargetError) -> Duration {
        let jittered = self.policy.wait_after(failures);
        match error {
            TargetError::Transient { retry_after: Some(asked), .. } => jittered.max(*asked),
            _ => jittered,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::replicate::engine::EngineOptions;
    use crate::replicate::lane::Traffic;

    fn retry() -> Retry {
        let (events, replica) = (Arc::default(), Arc::from("r"));
        let traffic = Arc::new(Traffic::new(&EngineOptions::default(), Arc::clone(&events)));
        Retry { policy: RetryPolicy::default(), events, lane: Arc::new(traffic.lane(&replica)), replica }
    }

    fn transient(retry_after: Option<Duration>) -> TargetError {
        TargetError::Transient { operation: "put pages", location: "l".into(), reason: "503".into(), retry_after }
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_failure_is_tried_again_and_told() {
        let left = Cell::new(3);
        let retry = retry();
        let result = retry
            .run(&CancellationToken::new(), || {
                left.set(left.get() - 1);
                std::future::ready(if left.get() == 0 { Ok(7) } else { Err(transient(None)) })
            })
            .await;
        assert_eq!(result.unwrap(), 7);
        let mut reader = retry.events.after(0);
        assert!(matches!(reader.try_next().unwrap().kind, EventKind::Retrying { failures: 1, .. }));
        assert!(matches!(reader.try_next().unwrap().kind, EventKind::Retrying { failures: 2, .. }));
        assert!(reader.try_next().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_services_own_wait_is_honoured() {
        let start = Instant::now();
        let calls = Cell::new(0);
        let asked = Duration::from_secs(17);
        let attempt = || {
            calls.set(calls.get() + 1);
            std::future::ready(if calls.get() == 1 { Err(transient(Some(asked))) } else { Ok(()) })
        };
        retry().run(&CancellationToken::new(), attempt).await.unwrap();
        assert!(start.elapsed() >= asked);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_ends_it() {
        let never = || std::future::ready(Err::<(), _>(transient(None)));
        let error = retry().run(&CancellationToken::new(), never).await.unwrap_err();
        assert_eq!(error.code(), "target.gave_up");
        assert!(error.is_retryable());
    }

    #[tokio::test]
    async fn what_may_not_be_retried_is_not() {
        let calls = Cell::new(0);
        let attempt = || {
            calls.set(calls.get() + 1);
            std::future::ready(Err::<(), _>(TargetError::LeaseHeld { location: "l".into() }))
        };
        let error = retry().run(&CancellationToken::new(), attempt).await.unwrap_err();
        assert_eq!((error.code(), calls.get()), ("target.lease_held", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_wait() {
        let cancel = CancellationToken::new();
        let retry = retry();
        let never = || std::future::ready(Err::<(), _>(transient(Some(Duration::from_secs(60)))));
        let (result, ()) = tokio::join!(retry.run(&cancel, never), async { cancel.cancel() });
        assert_eq!(result.unwrap_err().code(), "cycle.cancelled");
    }
}
