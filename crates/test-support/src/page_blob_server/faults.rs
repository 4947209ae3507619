//! Faults on order.
//!
//! Scripted ones are taken in the order in which they were ordered. Seeded ones depend on nothing but the seed,
//! the operation, the blob, the offset and how often exactly that was asked before: the same requests meet the
//! same faults, whatever the order in which they arrive. Which request starts a slow stretch ([`Fault::Slow`]) is
//! decided in the same way; which others it meets is up to the clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::refusal::{self, Refusal};
use super::request::{Call, Op};
use super::throttle::{Limits, Throttle};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and this is the answer.
    Refuse(Refusal),
    /// What was asked is done, and yet this is the answer.
    ActThenRefuse(Refusal),
    /// The connection is reset before the body is read. Nothing is done.
    DropBeforeBody,
    /// The connection is reset when half of the body has come. Nothing is done.
    DropInBody,
    /// The connection is reset when the whole body has come. Nothing is done.
    DropAfterBody,
    /// What was asked is done; the connection is closed without an answer.
    LoseAnswer,
    /// What was asked is done; the connection is closed in the middle of the answer's body, or without an answer
    /// if that has none.
    TruncateAnswer,
    /// What was asked is done, but only after a while: also when the client has given up by then.
    Delay(Duration),
    /// From this request on, everybody's bodies pass slowly for a while.
    Slow(Slowdown),
    /// The answer is 500 `OperationTimedOut`, and what was asked is done when the test calls
    /// [`PageBlobServer::release_late_writes`], under the conditions that it carries and what they find then.
    ///
    /// [`PageBlobServer::release_late_writes`]: super::PageBlobServer::release_late_writes
    ApplyLate,
}

/// A line that loses most of its bandwidth, and gets it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowdown {
    /// What is left, over all connections.
    pub bytes_per_second: u64,
    /// For how long.
    pub lasting: Duration,
}

impl Fault {
    /// 503 `ServerBusy`.
    pub const BUSY: Self = Self::Refuse(refusal::SERVER_BUSY);
    /// 500 `OperationTimedOut`; nothing is done.
    pub const TIMED_OUT: Self = Self::Refuse(refusal::OPERATION_TIMED_OUT);
    /// 500 `OperationTimedOut`, although what was asked is done.
    pub const TIMED_OUT_BUT_DONE: Self = Self::ActThenRefuse(refusal::OPERATION_TIMED_OUT);
    /// 403 `AuthorizationPermissionMismatch`: not tried again.
    pub const FORBIDDEN: Self = Self::Refuse(refusal::AUTHORIZATION_PERMISSION_MISMATCH);
    /// 429 `TooManyRequests`.
    pub const TOO_MANY: Self = Self::Refuse(refusal::TOO_MANY_REQUESTS);

    /// 503 `ServerBusy` that asks the client to stay away for `wait`.
    pub const fn busy_for(wait: Duration) -> Self {
        Self::Refuse(refusal::SERVER_BUSY.retry_after(wait))
    }

    /// The kind, by which injected faults are counted.
    pub fn kind(&self) -> String {
        let answer = |refusal: &Refusal| {
            format!("{}{}", refusal.status, if refusal.retry_after.is_some() { "_retry_after" } else { "" })
        };
        match self {
            Self::Refuse(refusal) => answer(refusal),
            Self::ActThenRefuse(refusal) => format!("{}_but_done", answer(refusal)),
            Self::DropBeforeBody => "reset_before_body".into(),
            Self::DropInBody => "reset_in_body".into(),
            Self::DropAfterBody => "reset_after_body".into(),
            Self::LoseAnswer => "answer_lost".into(),
            Self::TruncateAnswer => "answer_truncated".into(),
            Self::Delay(_) => "delayed".into(),
            Self::Slow(_) => "slowed".into(),
            Self::ApplyLate => "applied_late".into(),
        }
    }

    /// The same with the request to stay away for `wait`, where it is a refusal.
    const fn asking_for(self, wait: Duration) -> Self {
        match self {
            Self::Refuse(refusal) => Self::Refuse(refusal.retry_after(wait)),
            Self::ActThenRefuse(refusal) => Self::ActThenRefuse(refusal.retry_after(wait)),
            other => other,
        }
    }
}

/// How often each fault happens, from 0 to 1. Of several that would, the first named here does.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// [`Fault::DropBeforeBody`].
    pub drop_before_body: f64,
    /// [`Fault::DropInBody`].
    pub drop_in_body: f64,
    /// [`Fault::DropAfterBody`].
    pub drop_after_body: f64,
    /// [`Fault::LoseAnswer`].
    pub lose_answer: f64,
    /// [`Fault::TruncateAnswer`].
    pub truncate_answer: f64,
    /// [`Fault::BUSY`].
    pub busy: f64,
    /// [`Fault::TOO_MANY`].
    pub too_many: f64,
    /// [`Fault::TIMED_OUT`].
    pub timed_out: f64,
    /// [`Fault::TIMED_OUT_BUT_DONE`].
    pub timed_out_but_done: f64,
    /// [`Fault::ApplyLate`].
    pub apply_late: f64,
    /// [`Fault::Delay`] and for how long.
    pub delay: (f64, Duration),
    /// [`Fault::Slow`] and how.
    pub slow: (f64, Option<Slowdown>),
    /// Of the refusals: the share that carries `Retry-After`, and what it says.
    pub retry_after: (f64, Duration),
    /// Which operations are meant; none means all.
    pub only: Vec<Op>,
}

impl Rates {
    /// Every kind of fault, each at `rate`; half of the refusals ask for a second.
    pub fn of_every_kind(rate: f64) -> Self {
        Self {
            drop_before_body: rate,
            drop_in_body: rate,
            drop_after_body: rate,
            lose_answer: rate,
            truncate_answer: rate,
            busy: rate,
            too_many: rate,
            timed_out: rate,
            timed_out_but_done: rate,
            apply_late: rate,
            delay: (rate, Duration::from_millis(300)),
            slow: (rate, Some(Slowdown { bytes_per_second: 4 << 20, lasting: Duration::from_millis(300) })),
            retry_after: (0.5, Duration::from_secs(1)),
            only: Vec::new(),
        }
    }
}

/// The fault plan of a server. Empty at first.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    seeded: Option<Seeded>,
    throttle: Throttle,
    injected: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Rule {
    op: Option<Op>,
    /// How many matching requests go unharmed before.
    skip: u64,
    /// How many suffer.
    times: u64,
    fault: Fault,
}

#[derive(Debug)]
struct Seeded {
    seed: u64,
    rates: Rates,
    /// How often each request was made.
    attempts: HashMap<u64, u64>,
}

impl Faults {
    /// The next request of this kind that no earlier order has taken suffers `fault`.
    pub fn next(&self, op: Op, fault: Fault) {
        self.order(Some(op), 0, 1, fault);
    }

    /// The next request of any kind that no earlier order has taken suffers `fault`.
    pub fn next_of_any(&self, fault: Fault) {
        self.order(None, 0, 1, fault);
    }

    /// The `n`-th request of this kind from now suffers `fault`. The first is 1.
    pub fn nth(&self, op: Op, n: u64, fault: Fault) {
        self.order(Some(op), n.saturating_sub(1), 1, fault);
    }

    /// The next `times` requests of this kind that no earlier order has taken suffer `fault`.
    pub fn next_times(&self, op: Op, times: u64, fault: Fault) {
        self.order(Some(op), 0, times, fault);
    }

    /// Every request of this kind suffers `fault` until [`Faults::clear`].
    pub fn always(&self, op: Op, fault: Fault) {
        self.order(Some(op), 0, u64::MAX, fault);
    }

    /// Every request suffers `fault` until [`Faults::clear`].
    pub fn always_all(&self, fault: Fault) {
        self.order(None, 0, u64::MAX, fault);
    }

    /// Requests that no order takes suffer at random.
    pub fn seeded(&self, seed: u64, rates: Rates) {
        self.plan().seeded = Some(Seeded { seed, rates, attempts: HashMap::new() });
    }

    /// Forgets all orders, seeded ones too. Limits stay.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.rules.clear();
        plan.seeded = None;
    }

    /// How many ordered faults have yet to happen; seeded ones and those ordered for ever do not count.
    pub fn outstanding(&self) -> u64 {
        self.plan().rules.iter().map(|rule| rule.times).filter(|times| *times != u64::MAX).sum()
    }

    /// How many requests have suffered so far, by [`Fault::kind`].
    pub fn injected(&self) -> BTreeMap<String, u64> {
        self.plan().injected.clone()
    }

    /// Sets latency, bandwidth and the rate above which the server is busy.
    pub fn limit(&self, limits: Limits) {
        self.plan().throttle = Throttle::new(limits);
    }

    /// The fault of this request.
    pub(crate) fn take(&self, call: &Call) -> Option<Fault> {
        let mut plan = self.plan();
        let mut taken = None;
        for rule in plan.rules.iter_mut().filter(|rule| rule.op.is_none_or(|op| op == call.op)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if taken.is_none() {
                taken = Some(rule.fault);
                rule.times = if rule.times == u64::MAX { u64::MAX } else { rule.times - 1 };
            }
        }
        plan.rules.retain(|rule| rule.times > 0);
        let taken = taken.or_else(|| plan.seeded.as_mut()?.draw(call));
        if let Some(fault) = &taken {
            *plan.injected.entry(fault.kind()).or_default() += 1;
        }
        if let Some(Fault::Slow(slowdown)) = taken {
            plan.throttle.slow_down(slowdown);
        }
        taken
    }

    pub(crate) fn limits(&self) -> Limits {
        self.plan().throttle.limits
    }

    /// See [`Throttle::admits`].
    pub(crate) fn admits(&self, bytes: u64) -> bool {
        self.plan().throttle.admits(bytes)
    }

    /// See [`Throttle::pass`].
    pub(crate) fn pass(&self, bytes: u64) -> Duration {
        self.plan().throttle.pass(bytes)
    }

    fn order(&self, op: Option<Op>, skip: u64, times: u64, fault: Fault) {
        if times > 0 {
            self.plan().rules.push(Rule { op, skip, times, fault });
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seeded {
    fn draw(&mut self, call: &Call) -> Option<Fault> {
        if !self.rates.only.is_empty() && !self.rates.only.contains(&call.op) {
            return None;
        }
        let range = call.header("x-ms-range").or_else(|| call.header("range")).unwrap_or("");
        let what = format!("{}|{:?}|{}/{}|{range}", self.seed, call.op, call.container, call.blob);
        let key = fnv1a(what.as_bytes());
        let attempt = self.attempts.entry(key).or_default();
        *attempt += 1;
        // Wyrand mixes seeds that differ in few bits poorly in its first draw; FNV alone spreads them.
        let mut random = fastrand::Rng::with_seed(fnv1a(&[key.to_le_bytes(), attempt.to_le_bytes()].concat()));
        let rates = &self.rates;
        let table = [
            (rates.drop_before_body, Fault::DropBeforeBody),
            (rates.drop_in_body, Fault::DropInBody),
            (rates.drop_after_body, Fault::DropAfterBody),
            (rates.lose_answer, Fault::LoseAnswer),
            (rates.truncate_answer, Fault::TruncateAnswer),
            (rates.busy, Fault::BUSY),
            (rates.too_many, Fault::TOO_MANY),
            (rates.timed_out, Fault::TIMED_OUT),
            (rates.timed_out_but_done, Fault::TIMED_OUT_BUT_DONE),
            (rates.apply_late, Fault::ApplyLate),
            (rates.delay.0, Fault::Delay(rates.delay.1)),
        ];
        let slow = rates.slow.1.map(|slowdown| (rates.slow.0, Fault::Slow(slowdown)));
        let drawn = table.into_iter().chain(slow).find_map(|(rate, fault)| (random.f64() < rate).then_some(fault))?;
        Some(if random.f64() < rates.retry_after.0 { drawn.asking_for(rates.retry_after.1) } else { drawn })
    }
}

/// FNV-1a with 64 bits: the same on every machine and in every release, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn put(offset: u64) -> Call {
        let request = Request::builder()
            .method("PUT")
            .uri("/acct/replicas/b?comp=page")
            .header("x-ms-page-write", "update")
            .header("range", format!("bytes={offset}-{}", offset + 511));
        Call::parse(request.body(()).unwrap().into_parts().0).unwrap()
    }

    fn read() -> Call {
        let request = Request::builder().uri("/acct/replicas/b");
        Call::parse(request.body(()).unwrap().into_parts().0).unwrap()
    }

    #[test]
    fn ordered_faults_happen_in_order_and_to_their_operation_only() {
        let faults = Faults::default();
        faults.next(Op::PutPage, Fault::LoseAnswer);
        faults.next(Op::PutPage, Fault::BUSY);
        assert_eq!(faults.take(&read()), None);
        assert_eq!(faults.take(&put(0)), Some(Fault::LoseAnswer));
        assert_eq!(faults.take(&put(0)), Some(Fault::BUSY));
        assert_eq!(faults.take(&put(0)), None);
        assert_eq!(faults.outstanding(), 0);
    }

    #[test]
    fn the_nth_counts_requests_that_suffer_something_else() {
        let faults = Faults::default();
        faults.next(Op::PutPage, Fault::BUSY);
        faults.nth(Op::PutPage, 3, Fault::DropBeforeBody);
        let taken: Vec<Option<Fault>> = (0..4).map(|_| faults.take(&put(0))).collect();
        assert_eq!(taken, [Some(Fault::BUSY), None, Some(Fault::DropBeforeBody), None]);
    }

    #[test]
    fn what_is_ordered_for_ever_lasts_until_it_is_cleared() {
        let faults = Faults::default();
        faults.always(Op::PutPage, Fault::BUSY);
        assert_eq!(faults.take(&put(0)), Some(Fault::BUSY));
        assert_eq!(faults.take(&put(0)), Some(Fault::BUSY));
        faults.clear();
        assert_eq!(faults.take(&put(0)), None);
    }

    #[test]
    fn seeded_faults_do_not_depend_on_the_order_of_arrival() {
        let draws = |offsets: &mut dyn Iterator<Item = u64>| {
            let faults = Faults::default();
            faults.seeded(7, Rates { busy: 0.3, lose_answer: 0.2, ..Rates::default() });
            let mut drawn: Vec<(u64, Option<Fault>)> = offsets.map(|at| (at, faults.take(&put(at * 512)))).collect();
            drawn.sort_by_key(|(at, _)| *at);
            drawn
        };
        let forwards = draws(&mut (0..200));
        assert_eq!(forwards, draws(&mut (0..200).rev()));
        let struck = forwards.iter().filter(|(_, fault)| fault.is_some()).count();
        assert!((60..=120).contains(&struck), "{struck} of 200 at a rate of 44 %");
    }
    #[test]
    fn every_kind_happens_and_is_counted() {
        let faults = Faults::default();
        faults.seeded(3, Rates::of_every_kind(0.05));
        for at in 0..2000 {
            faults.take(&put(at * 512));
        }
        let kinds: Vec<String> = faults.injected().into_keys().collect();
        let expected = [
            "429",
            "429_retry_after",
            "500",
            "500_but_done",
            "500_retry_after",
            "500_retry_after_but_done",
            "503",
            "503_retry_after",
            "answer_lost",
            "answer_truncated",
            "applied_late",
            "delayed",
            "reset_after_body",
            "reset_before_body",
            "reset_in_body",
            "slowed",
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_slow_stretch_begins_with_its_request() {
        let faults = Faults::default();
        let slowdown = Slowdown { bytes_per_second: 1000, lasting: Duration::from_secs(60) };
        faults.next(Op::PutPage, Fault::Slow(slowdown));
        assert_eq!(faults.pass(10_000), Duration::ZERO);
        faults.take(&put(0));
        assert!(faults.pass(10_000) > Duration::from_secs(9));
    }
}
