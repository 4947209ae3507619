//! How many requests to one target are worth having under way: up by one while the service keeps up, down by
//! half when it does not.
//!
//! **Refusals** (503, 429, 500, time-outs, broken connections: every failure that may pass, since an
//! overloaded service shows itself in all of them) halve the limit, once for all requests that were under way
//! together: a request that was sent before the last halving says nothing of the limit after it. Additive
//! increase with multiplicative decrease is what lets flows that share a bottleneck, here several replicas and
//! other programs on one account, converge to equal shares (Chiu and Jain, "Analysis of the increase and
//! decrease algorithms for congestion avoidance in computer networks", 1989). Below one request there is nothing
//! to halve; there the controller stands still, for a wait that doubles with each refusal in a row.
//!
//! **Latency** tells of a queue before the service refuses. By Little's law, of `limit` requests under way
//! `limit × (1 − best / latency)` stand in a queue, where `best` is the latency without one. Under two of them the
//! limit grows by one per round (as many answers as the limit), over four it shrinks by one: TCP Vegas (Brakmo
//! and Peterson, 1995). Two changes make it fit a storage service, whose latency varies by itself: latency is a
//! running mean, per kind and size of request, and twice the best counts as no queue yet (the tolerance of
//! Netflix's gradient limits). So the limit settles between one and two times the knee, where a link is full and
//! a request takes twice its shortest time. A limit that requests do not use does not grow.
//!
//! `best` is that of the last one to two minutes, because routes change. Once a minute the limit falls to a quarter
//! on purpose, for some rounds, or else our own queue would in time pass for the service's latency (BBR drains for
//! the same reason).
//!
//! Rejected: a limit of bytes per second that seeks the service's (the pacer that azcopy has for page blobs): a
//! second limit beside the operator's own, multiplicative in both directions, and so not fair between programs;
//! and a limit that is guessed once: what a blob can take depends on its tier, its neighbours and the link.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::retry_policy::RetryPolicy;

/// The first limit: low, so that the first latencies are those of a service without a queue.
const START: u32 = 2;

/// Latency up to so many times the best counts as no queue.
const TOLERANCE: f64 = 2.0;

/// Requests in a queue below which the limit grows, and above which it shrinks. Linux's `tcp_vegas` has the same.
const TOO_FEW_QUEUED: f64 = 2.0;
const TOO_MANY_QUEUED: f64 = 4.0;

/// Answers over which the running mean of a class is taken; before so many, the class is not judged.
const MEAN_OVER: u32 = 16;

/// How often the best latency is looked for anew.
const LOOK_ANEW: Duration = Duration::from_secs(60);

/// What the limit is divided by for that: more than [`TOLERANCE`], or else a queue that is tolerated would be
/// the next best latency, and the limit would creep.
const DRAIN: u32 = 4;

/// The shortest time between two reports of the limit.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Requests whose latencies can be compared: of one kind, and of one size to the power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    kind: RequestKind,
    log2_bytes: u32,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RequestKind {
    Put,
    Clear,
    Read,
    ListPages,
    PutObject,
}

impl Class {
    pub(crate) fn new(kind: RequestKind, bytes: u64) -> Self {
        Self { kind, log2_bytes: bytes.max(1).ilog2() }
    }
}

/// The controller of one target. Owned by its [`Lane`](super::lane::Lane); holds no lock and does not wait.
#[derive(Debug)]
pub(crate) struct Congestion {
    most: u32,
    /// Whether the limit moves at all.
    adapts: bool,
    waits: RetryPolicy,
    limit: u32,
    in_flight: u32,
    era: Era,
    round: Round,
    classes: HashMap<Class, Latency>,
    looked_anew: Instant,
    /// Refusals in a row with one request under way.
    refused_at_the_floor: u32,
    still_until: Option<Instant>,
    told: Told,
}

/// Which limit a request was sent under: one era lasts from one decrease to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// As many answers as the limit.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    answers: u32,
    /// Sum over the answers of the share of their time that was no waiting in a queue.
    served: f64,
    /// The most requests that were under way at once.
    busiest: u32,
}

/// Latency of one class, in seconds.
#[derive(Clone, Copy, Debug)]
struct Latency {
    answers: u32,
    mean: f64,
    best: f64,
    /// The best before the last look.
    best_before: f64,
}

/// What was reported of the limit.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// The limit from which the next report is measured.
    from: u32,
    /// A fall was told, and no recovery to the most since.
    fallen: bool,
    last: Option<Instant>,
}

/// Whether another request may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Now,
    /// Not before this moment.
    At(Instant),
    /// When one that is under way has ended.
    WhenOneEnds,
}

/// The limit moved so much that an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) limit: u32,
    pub(crate) most: u32,
}

impl Congestion {
    /// A controller whose limit moves between one and `most`.
    pub(crate) fn adaptive(most: u32, waits: RetryPolicy, now: Instant) -> Self {
        Self::new(most, START.min(most), true, waits, now)
    }

    /// A limit that stays.
    pub(crate) fn fixed(most: u32, waits: RetryPolicy, now: Instant) -> Self {
        Self::new(most, most, false, waits, now)
    }

    fn new(most: u32, limit: u32, adapts: bool, waits: RetryPolicy, now: Instant) -> Self {
        Self {
            most,
            adapts,
            waits,
            limit,
            in_flight: 0,
            era: Era::default(),
            round: Round::default(),
            classes: HashMap::new(),
            looked_anew: now,
            refused_at_the_floor: 0,
            still_until: None,
            told: Told { from: limit, fallen: false, last: None },
        }
    }

    pub(crate) fn admission(&self, now: Instant) -> Admission {
        match self.still_until {
            Some(until) if now < until => Admission::At(until),
            _ if self.in_flight < self.limit => Admission::Now,
            _ => Admission::WhenOneEnds,
        }
    }

    /// A request is sent.
    pub(crate) fn enter(&mut self) -> Era {
        self.in_flight += 1;
        self.round.busiest = self.round.busiest.max(self.in_flight);
        self.era
    }

    /// A request has ended, however it did.
    pub(crate) fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// A request of `era` was answered well.
    pub(crate) fn answered(&mut self, era: Era, class: Class, latency: Duration, now: Instant) -> Option<Moved> {
        if !self.adapts {
            return None;
        }
        self.refused_at_the_floor = 0;
        if now - self.looked_anew >= LOOK_ANEW {
            self.looked_anew = now;
            self.classes.values_mut().for_each(Latency::look_anew);
            self.fall_to(self.limit / DRAIN);
        } else if era == self.era {
            self.round.answers += 1;
            let class = self.classes.entry(class).or_insert_with(Latency::unknown);
            self.round.served += class.served(latency.as_secs_f64());
            if self.round.answers >= self.limit {
                self.end_round();
                return self.report(now);
            }
        }
        None
    }

    /// A request of `era` was refused, or its answer did not come.
    pub(crate) fn refused(&mut self, era: Era, now: Instant) -> Option<Moved> {
        if !self.adapts || era != self.era {
            return None;
        }
        if self.limit == 1 {
            let doubled = self.waits.first_wait.saturating_mul(1 << self.refused_at_the_floor.min(16));
            self.refused_at_the_floor += 1;
            // Half of it jittered, so that replicas that were refused together do not come back together.
            let wait = doubled.min(self.waits.longest_wait).mul_f64(0.5 + fastrand::f64() / 2.0);
            self.still_until = Some(now + wait);
        }
        self.fall_to(self.limit / 2);
        self.report(now)
    }

    /// Begins an era: what is under way was sent under the old limit, and says nothing of the new one.
    fn fall_to(&mut self, limit: u32) {
        self.limit = limit.max(1);
        self.era.0 += 1;
        self.round = Round { busiest: self.in_flight, ..Round::default() };
    }

    fn end_round(&mut self) {
        let queued = f64::from(self.limit) * (1.0 - self.round.served / f64::from(self.round.answers));
        if queued > TOO_MANY_QUEUED {
            self.limit -= 1;
        } else if queued < TOO_FEW_QUEUED && self.round.busiest >= self.limit {
            self.limit = (self.limit + 1).min(self.most);
        }
        self.round = Round { busiest: self.in_flight, ..Round::default() };
    }

    /// Tells a fall to half, then each doubling or halving until the limit is at its most again.
    fn report(&mut self, now: Instant) -> Option<Moved> {
        let Told { from, fallen, last } = self.told;
        let fell = self.limit * 2 <= from;
        let rose = fallen && (self.limit >= from * 2 || self.limit == self.most);
        if !fallen {
            // A fall is measured from the highest that it was.
            self.told.from = from.max(self.limit);
        }
        if !(fell || rose) || last.is_some_and(|last| now - last < TELL_EVERY) {
            return None;
        }
        self.told = Told { from: self.limit, fallen: self.limit < self.most, last: Some(now) };
        Some(Moved { limit: self.limit, most: self.most })
    }

    #[cfg(test)]
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }
}

impl Latency {
    fn unknown() -> Self {
        Self { answers: 0, mean: 0.0, best: f64::INFINITY, best_before: f64::INFINITY }
    }

    /// Takes one more latency in; the share of a request's time that is no waiting in a queue.
    fn served(&mut self, seconds: f64) -> f64 {
        self.answers = (self.answers + 1).min(MEAN_OVER);
        self.mean += (seconds - self.mean) / f64::from(self.answers);
        if self.answers < MEAN_OVER {
            return 1.0;
        }
        self.best = self.best.min(self.mean);
        (TOLERANCE * self.best.min(self.best_before) / self.mean.max(f64::MIN_POSITIVE)).min(1.0)
    }

    fn look_anew(&mut self) {
        *self = Self { best_before: self.best, ..Self::unknown() };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATENCY: Duration = Duration::from_millis(20);

    fn class() -> Class {
        Class::new(RequestKind::Put, 1 << 20)
    }

    /// A controller that has grown to its most, and the time by then.
    fn grown(most: u32) -> (Congestion, Instant) {
        let mut now = Instant::now();
        let mut congestion = Congestion::adaptive(most, RetryPolicy::default(), now);
        while congestion.limit() < most {
            full_round(&mut congestion, LATENCY, &mut now);
        }
        (congestion, now)
    }

    /// As many requests as may be under way, all answered after `latency`.
    fn full_round(congestion: &mut Congestion, latency: Duration, now: &mut Instant) -> Vec<Moved> {
        let mut under_way = Vec::new();
        while congestion.admission(*now) == Admission::Now {
            under_way.push(congestion.enter());
        }
        *now += latency;
        let answer = |era| {
            congestion.leave();
            congestion.answered(era, class(), latency, *now)
        };
        under_way.into_iter().filter_map(answer).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_by_one_a_round() {
        let mut now = Instant::now();
        let mut congestion = Congestion::adaptive(8, RetryPolicy::default(), now);
        let mut limits = vec![congestion.limit()];
        for _ in 0..8 {
            full_round(&mut congestion, LATENCY, &mut now);
            limits.push(congestion.limit());
        }
        assert_eq!(limits, [2, 3, 4, 5, 6, 7, 8, 8, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_requests_that_were_under_way_together_halve_it_once() {
        let (mut congestion, now) = grown(32);
        let under_way: Vec<Era> = (0..32).map(|_| congestion.enter()).collect();
        let told = under_way.iter().filter_map(|era| congestion.refused(*era, now)).count();
        assert_eq!(told, 1);
        assert_eq!(congestion.limit(), 16);
        let later = congestion.enter();
        congestion.refused(later, now);
        assert_eq!(congestion.limit(), 8, "one that was sent after the halving halves it again");
    }

    #[tokio::test(start_paused = true)]
    async fn with_one_request_left_it_stands_still_for_longer_each_time() {
        let mut now = Instant::now();
        let mut congestion = Congestion::adaptive(1, RetryPolicy::default(), now);
        for expected_ms in [200, 400, 800, 1600] {
            let era = congestion.enter();
            congestion.refused(era, now);
            congestion.leave();
            let Admission::At(until) = congestion.admission(now) else { panic!("it stands still") };
            let wait = (until - now).as_millis();
            assert!((expected_ms / 2..=expected_ms).contains(&wait), "{wait}");
            now = until;
            assert_eq!(congestion.admission(now), Admission::Now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_not_used_does_not_grow() {
        let mut now = Instant::now();
        let mut congestion = Congestion::adaptive(16, RetryPolicy::default(), now);
        for _ in 0..100 {
            let era = congestion.enter();
            now += LATENCY;
            congestion.answered(era, class(), LATENCY, now);
            congestion.leave();
        }
        assert_eq!(congestion.limit(), START);
    }

    #[tokio::test(start_paused = true)]
    async fn a_latency_that_only_varies_is_no_queue() {
        let (mut congestion, mut now) = grown(16);
        let mut random = fastrand::Rng::with_seed(7);
        let mut lowest = 16;
        // Twenty seconds; each answer takes between a fifth and nine fifths of the mean.
        for _ in 0..1000 {
            let under_way: Vec<Era> = (0..congestion.limit()).map(|_| congestion.enter()).collect();
            now += LATENCY;
            for era in under_way {
                congestion.leave();
                congestion.answered(era, class(), LATENCY.mul_f64(0.2 + 1.6 * random.f64()), now);
            }
            lowest = lowest.min(congestion.limit());
        }
        assert_eq!(lowest, 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_route_with_a_longer_latency_is_accepted_in_time() {
        let (mut congestion, mut now) = grown(16);
        let slower = LATENCY * 10;
        for _ in 0..100 {
            full_round(&mut congestion, slower, &mut now);
        }
        assert!(congestion.limit() <= 6, "at first it looks like a queue: {}", congestion.limit());
        for _ in 0..1000 {
            full_round(&mut congestion, slower, &mut now);
        }
        assert!(congestion.limit() >= 12, "{}", congestion.limit());
    }

    #[tokio::test(start_paused = true)]
    async fn large_requests_that_take_longer_are_no_queue_behind_small_ones() {
        let (mut congestion, mut now) = grown(16);
        for round in 0..200 {
            let bytes = 4096 << (round % 8);
            let era = congestion.enter();
            now += LATENCY;
            congestion.answered(era, Class::new(RequestKind::Put, bytes), LATENCY * (1 + round % 8) as u32, now);
            congestion.leave();
        }
        assert_eq!(congestion.limit(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_limit_stays() {
        let now = Instant::now();
        let mut congestion = Congestion::fixed(16, RetryPolicy::default(), now);
        let eras: Vec<Era> = (0..16).map(|_| congestion.enter()).collect();
        assert!(eras.into_iter().all(|era| congestion.refused(era, now).is_none()));
        assert_eq!(congestion.limit(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fall_and_the_recovery_are_told_and_not_each_step() {
        let (mut congestion, mut now) = grown(32);
        let mut told = Vec::new();
        for _ in 0..3 {
            let era = congestion.enter();
            told.extend(congestion.refused(era, now));
            congestion.leave();
        }
        assert_eq!(told, [Moved { limit: 16, most: 32 }], "the next ones come too soon");
        now += TELL_EVERY;
        told.clear();
        for _ in 0..2000 {
            told.extend(full_round(&mut congestion, LATENCY, &mut now));
        }
        assert_eq!(told.last(), Some(&Moved { limit: 32, most: 32 }));
        assert!(told.len() <= 4, "{told:?}");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send,
        Answer(usize, u64),
        Refuse(usize),
        Lose(usize),
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Send),
            3 => (any::<usize>(), 1..5000_u64).prop_map(|(which, ms)| Step::Answer(which, ms)),
            1 => any::<usize>().prop_map(Step::Refuse),
            1 => any::<usize>().prop_map(Step::Lose),
            1 => (0..70_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Never under one, never over the most; requests in flight never more than the limit at the moment
        /// one is sent; and a controller without requests under way always lets one go in the end.
        #[test]
        fn the_limit_stays_in_its_bounds(most in 1..100_u32, steps in prop::collection::vec(any_step(), 0..300)) {
            let mut now = Instant::now();
            let mut congestion = Congestion::adaptive(most, RetryPolicy::default(), now);
            let mut under_way = Vec::new();
            for step in steps {
                match step {
                    Step::Send if congestion.admission(now) == Admission::Now => under_way.push(congestion.enter()),
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                    Step::Answer(which, _) | Step::Refuse(which) | Step::Lose(which) if !under_way.is_empty() => {
                        let era = under_way.swap_remove(which % under_way.len());
                        match step {
                            Step::Answer(_, ms) => congestion.answered(era, class(), Duration::from_millis(ms), now),
                            Step::Refuse(_) => congestion.refused(era, now),
                            _ => None,
                        };
                        congestion.leave();
                    }
                    _ => {}
                }
                prop_assert!((1..=most).contains(&congestion.limit()), "{}", congestion.limit());
                prop_assert!(under_way.len() <= most as usize);
                if under_way.is_empty() {
                    prop_assert_eq!(congestion.admission(now + Duration::from_secs(20)), Admission::Now);
                }
            }
        }
    }
}
