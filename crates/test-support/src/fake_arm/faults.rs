//! What goes wrong: on order, or by seeded chance.

use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::Notify;

use super::answer::ArmError;
use super::request::Request;
use crate::page_blob_server::lock;

/// One thing that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArmFault {
    /// The service refuses without doing anything.
    Refuse(ArmError),
    /// The connection is closed before the service sees the request.
    ResetBefore,
    /// The connection is closed after the service has acted.
    ResetAfter,
    /// The operation that the request begins ends in this error.
    FailOperation(ArmError),
    /// What the request makes is not found by so many reads.
    Hide {
        /// How many.
        reads: u32,
    },
}

impl ArmFault {
    /// 429 with `Retry-After`.
    pub fn throttled(wait: Duration) -> Self {
        let message = "The request is being throttled as the limit has been reached for operation type.";
        Self::Refuse(ArmError::new(429, "TooManyRequests", message).retry_after(wait))
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(wait: Duration) -> Self {
        let message = "The service is unavailable now, please retry later.";
        Self::Refuse(ArmError::new(503, "ServiceUnavailable", message).retry_after(wait))
    }

    /// 409 because another operation runs.
    pub fn busy() -> Self {
        let message = "Another operation is in progress on the object. Please retry later.";
        Self::Refuse(ArmError::new(409, "AnotherOperationInProgress", message))
    }

    /// An operation that ends in an error with another one inside.
    pub fn failed_operation() -> Self {
        let inner = "The replication appliance did not answer within 3600 seconds.";
        let error = ArmError::new(500, "78007", "The requested operation couldn't be completed due to an error.");
        Self::FailOperation(error.because("181008", inner))
    }
}

/// What becomes of the request with which a client is cut off: of that one only, for nothing that it sends later gets
/// through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRequest {
    /// The service never sees it.
    Unseen,
    /// The service acts on it, and its answer never comes.
    Unanswered,
}

/// How often, in seeded operation, of one million requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArmRates {
    /// 429.
    pub throttled: u32,
    /// 503.
    pub unavailable: u32,
    /// 409, of requests that change something.
    pub busy: u32,
    /// Closed before the service sees the request.
    pub reset_before: u32,
    /// Closed after the service has acted.
    pub reset_after: u32,
}

/// The faults on order.
#[derive(Debug, Default)]
pub struct ArmFaults {
    ordered: Mutex<Vec<Order>>,
    seeded: Mutex<Option<(Rng, ArmRates)>>,
    cut: Mutex<Option<(u32, LastRequest)>>,
    was_cut: Notify,
}

#[derive(Debug)]
struct Order {
    method: &'static str,
    part: String,
    left: u32,
    fault: ArmFault,
}

impl ArmFaults {
    /// The next `times` requests with that method (any, if empty) whose path has `part` in it, without regard to
    /// case, meet `fault`. Requests that ask after operations count too.
    pub fn order(&self, method: &'static str, part: &str, times: u32, fault: ArmFault) {
        lock(&self.ordered).push(Order { method, part: part.to_ascii_lowercase(), left: times, fault });
    }

    /// From now on faults come by chance, the same for the same seed and requests.
    pub fn seed(&self, seed: u64, rates: ArmRates) {
        *lock(&self.seeded) = Some((Rng::with_seed(seed), rates));
    }

    /// Cuts the client off after so many more requests, as if it was killed: what it sends then is left without an
    /// answer, and the connection stays open.
    pub fn cut_off(&self, after: u32, last: LastRequest) {
        *lock(&self.cut) = Some((after, last));
    }

    /// Waits until a request was left without an answer.
    pub async fn was_cut_off(&self) {
        self.was_cut.notified().await;
    }

    /// Whether this request meets the end of its client, and how.
    pub(crate) fn meets_the_end(&self) -> Option<LastRequest> {
        let mut cut = lock(&self.cut);
        let (left, last) = cut.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        Some(std::mem::replace(last, LastRequest::Unseen))
    }

    pub(crate) fn note_cut(&self) {
        self.was_cut.notify_one();
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        *lock(&self.cut) = None;
        lock(&self.ordered).clear();
        *lock(&self.seeded) = None;
    }

    pub(crate) fn take(&self, request: &Request) -> Option<ArmFault> {
        let path = request.path.to_ascii_lowercase();
        let mut ordered = lock(&self.ordered);
        let found = ordered.iter_mut().find(|order| {
            order.left > 0 && (order.method.is_empty() || order.method == request.method) && path.contains(&order.part)
        });
        if let Some(order) = found {
            order.left -= 1;
            return Some(order.fault.clone());
        }
        drop(ordered);
        let mut seeded = lock(&self.seeded);
        let (rng, rates) = seeded.as_mut()?;
        draw(rng.u32(..1_000_000), *rates, request.method != "GET")
    }
}

fn draw(drawn: u32, rates: ArmRates, changes: bool) -> Option<ArmFault> {
    let second = Duration::from_secs(1);
    let ladder = [
        (rates.throttled, ArmFault::throttled(second)),
        (rates.unavailable, ArmFault::unavailable(second)),
        (if changes { rates.busy } else { 0 }, ArmFault::busy()),
        (rates.reset_before, ArmFault::ResetBefore),
        (rates.reset_after, ArmFault::ResetAfter),
    ];
    let mut below = 0;
    for (rate, fault) in ladder {
        below += rate;
        if drawn < below {
            return Some(fault);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_of_rates_gives_each_fault_its_share() {
        let rates = ArmRates { throttled: 10, unavailable: 10, busy: 10, reset_before: 10, reset_after: 10 };
        let kinds: Vec<bool> = (0..60).map(|drawn| draw(drawn, rates, true).is_some()).collect();
        assert_eq!(kinds.iter().filter(|met| **met).count(), 50);
        assert_eq!(draw(25, rates, true), Some(ArmFault::busy()));
        assert_eq!(draw(25, rates, false), Some(ArmFault::ResetBefore), "a read is never refused as busy");
        assert_eq!(draw(50, rates, true), None);
    }
}
