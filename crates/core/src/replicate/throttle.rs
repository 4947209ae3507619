//! A limit of bytes per second, and a schedule that replaces it at times; both can be changed while in use.
//!
//! Bytes stand in one line for all replicas of an engine. What was **queued** and what was **paid** for are two
//! counters: `paid` grows with time at the rate that holds, and a sender may go when it has reached the mark
//! that `queued` had when he joined. So order is kept, large requests are not starved by small ones, and a rate
//! that changes, by a call or by the schedule, holds from that moment on for everybody who waits. At most a
//! tenth of a second of unused time is saved up.
//!
//! In a blackout the line goes on at the plain rate, for those who may pass: final cycles, because the moment
//! of the cutover was agreed on with the same people whom the blackout protects. A resync or a roll-back is not
//! let through by itself: it can be as large as the disk, and who needs it now can lift the schedule, which is
//! a decision that somebody takes and not one that a kind of cycle implies.
//!
//! Waiting is by tokio's clock, but what holds is asked of the wall's, at least every [`LOOK_AGAIN`]: so a
//! machine that slept, or whose clock was set, is wrong for no longer than that.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::schedule::{Rule, Schedule};

/// The longest sleep without a look at the clock on the wall.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Unused time that is saved up.
const SAVED: Duration = Duration::from_millis(100);

/// Limits what an engine sends, over all its replicas.
#[derive(Debug)]
pub struct Throttle {
    line: Mutex<Line>,
    changed: Notify,
    wall: WallClock,
}

/// What time it is for people.
pub(crate) struct WallClock(Box<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    pub(crate) fn system() -> Self {
        Self(Box::new(Timestamp::now))
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Nobody but final cycles may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blackout {
    /// Until when; `None` when the schedule says nothing else, ever.
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug)]
struct Line {
    bytes_per_second: Option<u64>,
    schedule: Option<Schedule>,
    /// What the schedule says now.
    now: Stretch,
    /// What the clock on the wall showed at the last look.
    wall: Timestamp,
    queued: f64,
    paid: f64,
    /// When `paid` was right.
    at: Instant,
}

/// Time during which the schedule says the same.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    rule: Option<Rule>,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: Option<u64>, schedule: Option<Schedule>, wall: WallClock) -> Self {
        let seen = (wall.0)();
        let now = Stretch::of(schedule.as_ref(), seen);
        let line = Line { bytes_per_second, schedule, now, wall: seen, queued: 0.0, paid: 0.0, at: Instant::now() };
        Self { line: Mutex::new(line), changed: Notify::new(), wall }
    }

    /// Sets the plain limit in bytes per second; `None` takes it away. Senders that wait feel it at once. Zero
    /// counts as one byte per second.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        self.line().bytes_per_second = bytes_per_second;
        self.changed.notify_waiters();
    }

    /// Sets the schedule; `None` takes it away. Cycles that wait for the end of a blackout feel it at once.
    pub fn set_schedule(&self, schedule: Option<Schedule>) {
        let mut line = self.line();
        line.now = Stretch::of(schedule.as_ref(), line.wall);
        line.schedule = schedule;
        drop(line);
        self.changed.notify_waiters();
    }

    /// Waits until `bytes` more may be sent, blackout or not. Dropped while it waits, the bytes stay taken.
    pub(crate) async fn acquire(&self, bytes: u64) {
        let mark = self.line().join(bytes);
        loop {
            let changed = self.changed.notified();
            let Some(wait) = self.line().wait_for(mark) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    /// The blackout that holds now.
    pub(crate) fn blackout(&self) -> Option<Blackout> {
        self.line().blackout()
    }

    /// Waits until there is no blackout; tells each one that it waits for.
    pub(crate) async fn blackout_over(&self, tell: impl Fn(Blackout)) {
        loop {
            let changed = self.changed.notified();
            let (blackout, left) = {
                let line = self.line();
                let Some(blackout) = line.blackout() else { return };
                (blackout, line.until_change())
            };
            tell(blackout);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = changed => {}
            }
        }
    }

    /// The line, as it is now.
    fn line(&self) -> MutexGuard<'_, Line> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.pay(Instant::now());
        line.wall = (self.wall.0)();
        if !line.now.holds(line.wall) {
            line.now = Stretch::of(line.schedule.as_ref(), line.wall);
        }
        line
    }
}

impl Line {
    fn rate(&self) -> Option<f64> {
        let limit = match self.now.rule {
            Some(Rule::BytesPerSecond(limit)) => Some(limit),
            Some(Rule::Blackout) | None => self.bytes_per_second,
        };
        limit.map(|limit| limit.max(1) as f64)
    }

    /// Pays for the time since the last call, at the rate that held.
    fn pay(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.paid = match self.rate() {
            Some(rate) => (self.paid + rate * seconds).min(self.queued + rate * SAVED.as_secs_f64()),
            None => self.queued,
        };
    }

    fn join(&mut self, bytes: u64) -> f64 {
        self.queued += bytes as f64;
        self.queued
    }

    /// How long to wait before `mark` is looked at again; `None` when it is paid for.
    fn wait_for(&self, mark: f64) -> Option<Duration> {
        let rate = self.rate()?;
        // Half a byte is lost to rounding at the most.
        let left = mark - self.paid - 0.5;
        if left <= 0.0 {
            return None;
        }
        let paid = Duration::from_secs_f64((left / rate).min(LOOK_AGAIN.as_secs_f64()));
        Some(paid.min(self.until_change()).max(Duration::from_millis(1)))
    }

    fn blackout(&self) -> Option<Blackout> {
        (self.now.rule == Some(Rule::Blackout)).then_some(Blackout { until: self.now.until })
    }

    /// How long the schedule says the same, as far as one may sleep without a look. The timer may be a little
    /// early by the clock on the wall, so never nothing.
    fn until_change(&self) -> Duration {
        let left = self.now.until.map(|until| until.duration_since(self.wall));
        let left = left.map_or(LOOK_AGAIN, |left| Duration::try_from(left).unwrap_or_default());
        left.clamp(Duration::from_millis(1), LOOK_AGAIN)
    }
}

impl Stretch {
    fn of(schedule: Option<&Schedule>, now: Timestamp) -> Self {
        let rule = schedule.and_then(|schedule| schedule.rule_at(now));
        Self { rule, from: now, until: schedule.and_then(|schedule| schedule.next_change(now)) }
    }

    fn holds(&self, now: Timestamp) -> bool {
        // A clock that was set back may have left it.
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::schedule::{Weekday, Window};

    fn throttle(limit: Option<u64>) -> Throttle {
        Throttle::new(limit, None, WallClock::system())
    }

    /// A clock on the wall that shows `start` now, and goes with tokio's.
    fn wall_from(start: &str) -> WallClock {
        let (start, began): (Timestamp, _) = (start.parse().unwrap(), Instant::now());
        WallClock(Box::new(move || start + SignedDuration::try_from(began.elapsed()).unwrap()))
    }

    fn schedule(from: &str, to: &str, rule: Rule) -> Schedule {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        Schedule::new("Europe/Berlin", vec![Window { days: Weekday::ALL.to_vec(), from, to, rule }]).unwrap()
    }

    /// Seconds until so many bytes have gone.
    async fn seconds_for(throttle: &Throttle, bytes: u64) -> f64 {
        let start = Instant::now();
        for _ in 0..bytes / 100 {
            throttle.acquire(100).await;
        }
        start.elapsed().as_secs_f64()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.02, "{found}, not {expected}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_follows_the_limit() {
        assert_close(seconds_for(&throttle(Some(1000)), 10_000).await, 10.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_limit_is_felt_by_those_who_wait() {
        let throttle = throttle(Some(1));
        let start = Instant::now();
        tokio::join!(throttle.acquire(3600), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            throttle.set(None);
        });
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_limit_holds_for_what_is_queued_already() {
        let throttle = throttle(Some(1000));
        let start = Instant::now();
        tokio::join!(throttle.acquire(10_000), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            throttle.set(Some(100));
        });
        assert_close(start.elapsed().as_secs_f64(), 5.0 + 50.0);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_go_in_the_order_in_which_they_came() {
        let throttle = throttle(Some(1000));
        let order = Mutex::new(Vec::new());
        let sender = |name: u32, bytes| {
            let (throttle, order) = (&throttle, &order);
            async move {
                throttle.acquire(bytes).await;
                order.lock().unwrap().push(name);
            }
        };
        tokio::join!(sender(1, 5000), sender(2, 1), sender(3, 2000), sender(4, 1));
        assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_means_no_wait() {
        let start = Instant::now();
        throttle(None).acquire(u64::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn unused_time_is_not_saved_up() {
        let throttle = throttle(Some(1000));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_close(seconds_for(&throttle, 10_000).await, 10.0);
    }

    /// Ten seconds before a window with a tenth of the rate, which lasts for 20.
    #[tokio::test(start_paused = true)]
    async fn a_window_has_a_limit_of_its_own() {
        let slow = schedule("08:00", "08:00:20", Rule::BytesPerSecond(100));
        let throttle = Throttle::new(Some(1000), Some(slow), wall_from("2026-01-05T06:59:50Z"));
        let start = Instant::now();
        throttle.acquire(10_000 + 2_000 + 5_000).await;
        assert_close(start.elapsed().as_secs_f64(), 10.0 + 20.0 + 5.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blackout_ends_when_the_clock_on_the_wall_says_so() {
        let office = schedule("08:00", "18:00", Rule::Blackout);
        let throttle = Throttle::new(None, Some(office), wall_from("2026-01-05T12:00:00Z"));
        let (start, told) = (Instant::now(), Mutex::new(Vec::new()));
        throttle.blackout_over(|blackout| told.lock().unwrap().push(blackout.until)).await;
        assert_close(start.elapsed().as_secs_f64(), 5.0 * 3600.0);
        let mut told = told.into_inner().unwrap();
        told.dedup();
        assert_eq!(told, [Some("2026-01-05T17:00:00Z".parse().unwrap())]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_blackout_the_plain_limit_holds_for_those_who_may_pass() {
        let office = schedule("08:00", "18:00", Rule::Blackout);
        let throttle = Throttle::new(Some(1000), Some(office), wall_from("2026-01-05T12:00:00Z"));
        assert_close(seconds_for(&throttle, 10_000).await, 10.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_schedule_that_is_taken_away_wakes_those_who_wait() {
        let always = schedule("00:00", "24:00", Rule::Blackout);
        let throttle = Throttle::new(None, Some(always), wall_from("2026-01-05T12:00:00Z"));
        let start = Instant::now();
        tokio::join!(throttle.blackout_over(|_| {}), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            throttle.set_schedule(None);
        });
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    /// The machine sleeps for hours, or its clock is set: tokio's clock does not see it.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_is_noticed_within_seconds() {
        let shown = Arc::new(Mutex::new("2026-01-05T12:00:00Z".parse::<Timestamp>().unwrap()));
        let wall = WallClock(Box::new({
            let shown = Arc::clone(&shown);
            move || *shown.lock().unwrap()
        }));
        let throttle = Throttle::new(None, Some(schedule("08:00", "18:00", Rule::Blackout)), wall);
        let start = Instant::now();
        tokio::join!(throttle.blackout_over(|_| {}), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            *shown.lock().unwrap() = "2026-01-05T20:00:00Z".parse().unwrap();
        });
        assert!(start.elapsed() <= Duration::from_secs(16), "{:?}", start.elapsed());
        *shown.lock().unwrap() = "2026-01-05T09:00:00Z".parse().unwrap();
        assert!(throttle.blackout().is_some(), "set back into it");
    }
}
