//! One replica's way to its target: what stands between a request that is ready and the request that is sent.
//!
//! ```text
//!  [blackout over?] ─▶ [bytes paid for] ─▶ [blackout over?] ─▶ [room under the replica's limit] ─▶ [room under the engine's] ─▶ sent
//! ```
//!
//! Each attempt goes through all of it, so what is sent again counts again. Nobody holds a place under a limit
//! while he waits for the schedule, for bytes, or for his own next attempt.
//!
//! **Fair**: both lines of the engine, for bytes and for places, are first come, first served; and of each
//! replica at most one request stands in each of them, the others wait behind it in the lane. So replicas take
//! turns, however many requests each of them has.
//!
//! | | put | clear | read, list of pages | part of a digest map | the few others |
//! | --- | --- | --- | --- | --- | --- |
//! | waits for the schedule | unless final | unless final | – | unless final | – |
//! | bytes per second | yes | – | – | yes | – |
//! | requests in flight | yes | yes | yes | yes | – |
//! | a service that asked for time | yes | yes | yes | yes | yes |
//!
//! The byte limit guards the way up, which is what a replica fills for days. Reads of the target come from calls
//! that somebody made and waits for: verification, and an open that has to rebuild its map, both of them a part
//! of a cutover or take-over. The few others are metadata, sequence number, snapshots and the lease; without them
//! a replica would be lost in a blackout. The lease's renewal does not pass here at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::congestion::{Admission, Class, Congestion, Era, Moved, RequestKind};
use super::engine::{Concurrency, EngineOptions};
use super::throttle::{Blackout, Throttle, WallClock};
use crate::progress::{EventKind, EventLog};
use crate::retry_policy::RetryPolicy;
use crate::target::TargetError;

/// What all lanes of an engine share.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) throttle: Throttle,
    places: Arc<Semaphore>,
    services: Mutex<HashMap<String, Arc<Service>>>,
    most_per_lane: u32,
    concurrency: Concurrency,
    retry: RetryPolicy,
    events: Arc<EventLog>,
}

/// A storage account, as far as it is known from outside.
#[derive(Debug, Default)]
struct Service {
    /// It asked to be left alone until then.
    quiet_until: Mutex<Option<Instant>>,
}

/// One replica's lane.
#[derive(Debug)]
pub(crate) struct Lane {
    traffic: Arc<Traffic>,
    service: Arc<Service>,
    replica: Arc<str>,
    /// Held by the one request of this lane that stands in the engine's line for bytes.
    paying: tokio::sync::Mutex<()>,
    /// Held by the one request of this lane that waits for a place.
    next: tokio::sync::Mutex<()>,
    congestion: Mutex<Congestion>,
    /// A place has become free, or the limit has moved.
    moved: Notify,
    /// The end of the blackout that was told.
    told: Mutex<Option<Blackout>>,
}

/// Whether a request waits for the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It waits until there is no blackout.
    Scheduled,
    /// It does not.
    Always,
}

/// What a request means to the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    class: Class,
    /// Counted against the bytes per second.
    bytes: u64,
    passage: Passage,
}

impl Load {
    pub(crate) fn put(bytes: u64, passage: Passage) -> Self {
        Self { class: Class::new(RequestKind::Put, bytes), bytes, passage }
    }

    pub(crate) fn clear(passage: Passage) -> Self {
        Self { class: Class::new(RequestKind::Clear, 0), bytes: 0, passage }
    }

    pub(crate) fn read(bytes: u64) -> Self {
        Self { class: Class::new(RequestKind::Read, bytes), bytes: 0, passage: Passage::Always }
    }

    pub(crate) fn list_pages() -> Self {
        Self { class: Class::new(RequestKind::ListPages, 0), bytes: 0, passage: Passage::Always }
    }

    pub(crate) fn put_object(bytes: u64, passage: Passage) -> Self {
        Self { class: Class::new(RequestKind::PutObject, bytes), bytes, passage }
    }
}

impl Traffic {
    pub(crate) fn new(options: &EngineOptions, events: Arc<EventLog>) -> Self {
        Self {
            throttle: Throttle::new(options.bytes_per_second, options.schedule.clone(), WallClock::system()),
            places: Arc::new(Semaphore::new(options.requests_in_flight_in_all.min(Semaphore::MAX_PERMITS))),
            services: Mutex::default(),
            most_per_lane: u32::try_from(options.requests_in_flight).unwrap_or(u32::MAX),
            concurrency: options.concurrency,
            retry: options.retry,
            events,
        }
    }

    /// The lane of the replica at `location`.
    pub(crate) fn lane(self: &Arc<Self>, location: &Arc<str>) -> Lane {
        let service = Arc::clone(lock(&self.services).entry(service_of(location).to_owned()).or_default());
        let (most, now) = (self.most_per_lane, Instant::now());
        let congestion = match self.concurrency {
            Concurrency::Adaptive => Congestion::adaptive(most, self.retry, now),
            Concurrency::Fixed => Congestion::fixed(most, self.retry, now),
        };
        Lane {
            traffic: Arc::clone(self),
            service,
            replica: Arc::clone(location),
            paying: tokio::sync::Mutex::default(),
            next: tokio::sync::Mutex::default(),
            congestion: Mutex::new(congestion),
            moved: Notify::new(),
            told: Mutex::default(),
        }
    }
}

/// The account of a URL, by its host; a path is a service of its own.
fn service_of(location: &str) -> &str {
    let Some((scheme, rest)) = location.split_once("://") else { return location };
    let host = rest.split('/').next().unwrap_or(rest);
    &location[..scheme.len() + "://".len() + host.len()]
}

impl Lane {
    /// Waits until what passes so may pass, and tells who waits for how long. Cancel-safe.
    pub(crate) async fn open(&self, passage: Passage) {
        if passage == Passage::Always {
            return;
        }
        self.traffic.throttle.blackout_over(|blackout| self.tell(blackout)).await;
        *lock(&self.told) = None;
    }

    /// Whether what passes so would have to wait now.
    pub(crate) fn is_closed(&self, passage: Passage) -> bool {
        passage == Passage::Scheduled && self.traffic.throttle.blackout().is_some()
    }

    /// Waits for everything that stands before a request. Cancel-safe, except that bytes stay paid.
    pub(crate) async fn admit(&self, load: Load) -> Place<'_> {
        if load.bytes > 0 {
            let _first = self.paying.lock().await;
            self.open(load.passage).await;
            self.traffic.throttle.acquire(load.bytes).await;
        }
        loop {
            self.open(load.passage).await;
            let since = Instant::now();
            let _first = self.next.lock().await;
            // A blackout may begin while one waits here.
            while !self.is_closed(load.passage) {
                self.room().await;
                let permit = Arc::clone(&self.traffic.places).acquire_owned().await.expect("it is never closed");
                if self.admission() == Admission::Now && !self.is_closed(load.passage) {
                    let era = lock(&self.congestion).enter();
                    return Place { lane: self, class: load.class, era, since, sent: Instant::now(), _permit: permit };
                }
            }
        }
    }

    /// Waits until the service may be asked again.
    pub(crate) async fn quiet_over(&self) {
        while let Some(until) = self.quiet_until() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Leaves the service alone for `asked`, with all replicas there.
    pub(crate) fn keep_quiet(&self, asked: Duration) {
        let until = Instant::now() + asked.min(self.traffic.retry.budget);
        let mut quiet_until = lock(&self.service.quiet_until);
        *quiet_until = Some(quiet_until.map_or(until, |before| before.max(until)));
    }

    fn quiet_until(&self) -> Option<Instant> {
        lock(&self.service.quiet_until).filter(|until| Instant::now() < *until)
    }

    fn admission(&self) -> Admission {
        self.quiet_until().map_or_else(|| lock(&self.congestion).admission(Instant::now()), Admission::At)
    }

    /// Waits for room under the limit of this lane. One at a time.
    async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            match self.admission() {
                Admission::Now => return,
                Admission::WhenOneEnds => moved.await,
                Admission::At(moment) => tokio::time::sleep_until(moment).await,
            }
        }
    }

    fn tell(&self, blackout: Blackout) {
        let mut told = lock(&self.told);
        if *told != Some(blackout) {
            *told = Some(blackout);
            self.event(EventKind::Blackout { until: blackout.until });
        }
    }

    fn event(&self, kind: EventKind) {
        self.traffic.events.record(&self.replica, kind);
    }

    #[cfg(test)]
    pub(crate) fn limit(&self) -> u32 {
        lock(&self.congestion).limit()
    }
}

/// A place among the requests in flight, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    lane: &'a Lane,
    class: Class,
    era: Era,
    since: Instant,
    sent: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Place<'_> {
    /// When this request began to wait for its place.
    pub(crate) fn waited_since(&self) -> Instant {
        self.since
    }

    /// Ends the request, and lets the limit learn from how it ended.
    pub(crate) fn end<T>(self, result: &Result<T, TargetError>) {
        let now = Instant::now();
        let moved = {
            let mut congestion = lock(&self.lane.congestion);
            match result {
                Ok(_) => congestion.answered(self.era, self.class, now - self.sent, now),
                Err(TargetError::Transient { .. }) => congestion.refused(self.era, now),
                Err(_) => None,
            }
        };
        if let Some(Moved { limit, most }) = moved {
            self.lane.event(EventKind::RequestsInFlight { limit, most });
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.lane.congestion).leave();
        self.lane.moved.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::replicate::retry::Retry;
    use crate::schedule::{Rule, Schedule, Weekday, Window};

    fn traffic(options: &EngineOptions) -> Arc<Traffic> {
        Arc::new(Traffic::new(options, Arc::default()))
    }

    fn options(most: usize) -> EngineOptions {
        EngineOptions { requests_in_flight: most, ..EngineOptions::default() }
    }

    fn busy(retry_after: Option<Duration>) -> TargetError {
        TargetError::Transient { operation: "put pages", location: "l".into(), reason: "503".into(), retry_after }
    }

    fn put() -> Load {
        Load::put(1 << 20, Passage::Scheduled)
    }

    fn always_dark() -> Schedule {
        let (from, to) = ("00:00".parse().unwrap(), "24:00".parse().unwrap());
        Schedule::new("UTC", vec![Window { days: Weekday::ALL.to_vec(), from, to, rule: Rule::Blackout }]).unwrap()
    }

    /// A service that works on so many requests at once, 20 ms on each; the others wait there.
    struct Server {
        workers: Semaphore,
        answered: AtomicU64,
    }

    impl Server {
        fn with(workers: usize) -> Self {
            Self { workers: Semaphore::new(workers), answered: AtomicU64::new(0) }
        }

        async fn ask(&self) -> Result<(), TargetError> {
            let _worker = self.workers.acquire().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.answered.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    /// As many askers as could be wanted, for so long.
    async fn ask_for(lane: &Lane, server: &Server, time: Duration) {
        let end = Instant::now() + time;
        let askers = (0..100).map(|_| async {
            while Instant::now() < end {
                let place = lane.admit(put()).await;
                let answer = server.ask().await;
                place.end(&answer);
            }
        });
        join_all(askers).await;
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_good_link_the_limit_grows_to_the_most() {
        let lane = traffic(&options(32)).lane(&"r".into());
        ask_for(&lane, &Server::with(1000), Duration::from_secs(5)).await;
        assert_eq!(lane.limit(), 32);
    }

    /// Eight requests at once are the knee: more only wait.
    #[tokio::test(start_paused = true)]
    async fn the_limit_settles_between_one_and_two_times_the_knee() {
        let (lane, server) = (traffic(&options(64)).lane(&"r".into()), Server::with(8));
        ask_for(&lane, &server, Duration::from_secs(10)).await;
        server.answered.store(0, Ordering::Relaxed);
        for _ in 0..50 {
            ask_for(&lane, &server, Duration::from_secs(5)).await;
            assert!((8..=22).contains(&lane.limit()), "{}", lane.limit());
        }
        let share = server.answered.load(Ordering::Relaxed) as f64 / (250.0 * 8.0 / 0.020);
        assert!(share > 0.95, "of what the service can do, {share} was used");
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_take_turns_however_much_each_wants() {
        let traffic = traffic(&EngineOptions { requests_in_flight_in_all: 1, ..options(16) });
        let lanes = ["a", "b", "c"].map(|name| traffic.lane(&name.into()));
        let order = Mutex::new(String::new());
        let ask = |lane: usize, name| {
            let (lanes, order) = (&lanes, &order);
            async move {
                let place = lanes[lane].admit(put()).await;
                lock(order).push(name);
                tokio::time::sleep(Duration::from_millis(20)).await;
                place.end(&Ok(()));
            }
        };
        let greedy = join_all((0..60).map(|_| ask(0, 'a')));
        let modest = join_all((0..6).map(|_| ask(1, 'b')));
        let late = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            join_all((0..6).map(|_| ask(2, 'c'))).await;
        };
        tokio::join!(greedy, modest, late);
        let order = order.into_inner().unwrap();
        let last = |name| order.rfind(name).unwrap();
        assert!(last('b') < 18 && last('c') < 24, "{order}");
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_take_turns_in_the_line_for_bytes() {
        let traffic = traffic(&EngineOptions { bytes_per_second: Some(1 << 20), ..options(16) });
        let (greedy, modest) = (traffic.lane(&"a".into()), traffic.lane(&"b".into()));
        let start = Instant::now();
        let wanted = join_all((0..60).map(|_| async { greedy.admit(put()).await.end(&Ok(())) }));
        let one = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            modest.admit(put()).await.end(&Ok(()));
            start.elapsed()
        };
        let (_, waited) = tokio::join!(wanted, one);
        assert!(waited < Duration::from_secs(4), "{waited:?}");
        assert!(start.elapsed() > Duration::from_secs(59));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_time_is_left_alone_by_all_replicas_there() {
        let traffic = traffic(&options(16));
        let [one, other, elsewhere] =
            ["https://a/c/1.vhd", "https://a/c/2.vhd", "https://b/c/3.vhd"].map(|place| traffic.lane(&place.into()));
        let retry =
            Retry { policy: RetryPolicy::default(), events: Arc::default(), replica: "r".into(), lane: Arc::new(one) };
        let (start, asked) = (Instant::now(), AtomicU64::new(0));
        let attempt = || {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            std::future::ready(if first { Err(busy(Some(Duration::from_secs(10)))) } else { Ok(()) })
        };
        retry.transfer(put(), &CancellationToken::new(), attempt).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 10);
        retry.lane.keep_quiet(Duration::from_secs(10));
        elsewhere.admit(put()).await.end(&Ok(()));
        assert_eq!(start.elapsed().as_secs(), 10, "another account is not concerned");
        other.admit(put()).await.end(&Ok(()));
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blackout_holds_what_is_scheduled_and_is_told_once() {
        let traffic = traffic(&EngineOptions { schedule: Some(always_dark()), ..options(16) });
        let lane = traffic.lane(&"r".into());
        lane.admit(Load::put(1, Passage::Always)).await.end(&Ok(()));
        lane.admit(Load::read(1)).await.end(&Ok(()));
        let start = Instant::now();
        let held = [put(), put(), Load::clear(Passage::Scheduled), Load::put_object(1, Passage::Scheduled)];
        let lane = &lane;
        let held = join_all(held.map(|load| async move { lane.admit(load).await.end(&Ok(())) }));
        tokio::join!(held, async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            traffic.throttle.set_schedule(None);
        });
        assert_eq!(start.elapsed(), Duration::from_secs(3600));
        let mut events = traffic.events.after(0);
        assert_eq!(events.try_next().unwrap().kind, EventKind::Blackout { until: None });
        assert_eq!(events.try_next(), None);
    }

    /// A request has failed once, and then the blackout comes: hours later it still has its budget.
    #[tokio::test(start_paused = true)]
    async fn a_blackout_is_not_held_against_the_budget_of_a_request() {
        let traffic = traffic(&options(16));
        let (lane, policy) = (Arc::new(traffic.lane(&"r".into())), RetryPolicy::default());
        let retry = Retry { policy, events: Arc::default(), replica: "r".into(), lane };
        let asked = AtomicU64::new(0);
        let attempt = || {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            if number == 0 {
                traffic.throttle.set_schedule(Some(always_dark()));
            }
            std::future::ready(if number < 2 { Err(busy(None)) } else { Ok(()) })
        };
        let cancel = CancellationToken::new();
        let (result, ()) = tokio::join!(retry.transfer(put(), &cancel, attempt), async {
            tokio::time::sleep(Duration::from_secs(10 * 3600)).await;
            traffic.throttle.set_schedule(None);
        });
        result.unwrap();
        assert_eq!(asked.into_inner(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_while_he_waits_leaves_no_place_taken() {
        let traffic = traffic(&EngineOptions { requests_in_flight_in_all: 1, ..options(1) });
        let lane = traffic.lane(&"r".into());
        let place = lane.admit(put()).await;
        assert!(tokio::time::timeout(Duration::from_secs(1), lane.admit(put())).await.is_err());
        drop(place);
        let second = tokio::time::timeout(Duration::from_secs(1), lane.admit(put())).await;
        assert!(second.is_ok());
    }

    #[test]
    fn an_account_is_known_by_its_host() {
        assert_eq!(service_of("https://acct.blob.core.windows.net/c/web01.vhd"), "https://acct.blob.core.windows.net");
        assert_eq!(service_of("http://127.0.0.1:10000/devstoreaccount1/c/web01.vhd"), "http://127.0.0.1:10000");
        assert_eq!(service_of("/replicas/web01.vhd"), "/replicas/web01.vhd");
    }
}
