//! What a cycle counts, and the events that tell of it: one schema for every language.
//!
//! An [`Event`] has a number that grows by one, so a reader that was away asks for what came after the
//! last number it saw. The log keeps the newest [`EventLog::CAPACITY`] events; a reader that was away for
//! longer is told so by a jump in the numbers. Nothing waits for a slow reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What kind of pass a cycle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CycleKind {
    /// The first: everything.
    Initial,
    /// What changed since the last recovery point.
    Delta,
    /// The delta on demand before cutover.
    Final,
    /// The target is read back and compared with the source, trusting neither map nor change list.
    Resync,
    /// The target is taken back to an earlier recovery point.
    RollBack,
}

/// Bytes of a cycle, in the replica's space (the source padded to whole MiB).
///
/// Two sums always hold: `read + hole + unlisted = disk` once the cycle is complete, and
/// `sent + cleared + skipped = read`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Read from the source, in whole grains of 4 KiB.
    pub read: u64,
    /// Not read, because the source says that it reads as zero (the padding too).
    pub hole: u64,
    /// Not read, because the change list says that it did not change.
    pub unlisted: u64,
    /// Of what was read: put to the target.
    pub sent: u64,
    /// Of what was read: zeros cleared at the target.
    pub cleared: u64,
    /// Of what was read: the target held it already.
    pub skipped: u64,
    /// Of the holes: cleared at the target, which was not known to be zero there.
    pub hole_cleared: u64,
    /// Put requests.
    pub puts: u64,
    /// Clear requests.
    pub clears: u64,
}

impl Counts {
    /// Bytes of the disk that are accounted for.
    pub const fn done(&self) -> u64 {
        self.read + self.hole + self.unlisted
    }

    /// The counts of this and `other` together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            hole: self.hole + other.hole,
            unlisted: self.unlisted + other.unlisted,
            sent: self.sent + other.sent,
            cleared: self.cleared + other.cleared,
            skipped: self.skipped + other.skipped,
            hole_cleared: self.hole_cleared + other.hole_cleared,
            puts: self.puts + other.puts,
            clears: self.clears + other.clears,
        }
    }

    /// The counts of this without `other`, which is a part of it.
    #[must_use]
    pub(crate) const fn minus(self, other: Self) -> Self {
        Self {
            read: self.read - other.read,
            hole: self.hole - other.hole,
            unlisted: self.unlisted - other.unlisted,
            sent: self.sent - other.sent,
            cleared: self.cleared - other.cleared,
            skipped: self.skipped - other.skipped,
            hole_cleared: self.hole_cleared - other.hole_cleared,
            puts: self.puts - other.puts,
            clears: self.clears - other.clears,
        }
    }
}

/// Something that happened to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one with every event of the engine.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// Which replica: its target without secrets.
    pub replica: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The replica is leased, recovered and fenced.
    Opened {
        /// Number of this owner.
        generation: u32,
        /// The last sealed cycle, if any.
        sealed_cycle: Option<u32>,
    },
    /// Private Link is not required of this target: its bytes go to whatever its name resolves to, over the
    /// internet too. Told at each opening, before anything is sent.
    PublicRouteAllowed,
    /// The lease of another owner was broken, as ordered.
    TakenOverByForce {
        /// Number of the new owner.
        generation: u32,
    },
    /// The digest map had to be made anew.
    MapRebuilt {
        /// Why.
        reason: String,
        /// Bytes read back from the target for it.
        read_back: u64,
    },
    /// A cycle began.
    CycleStarted {
        /// Its number.
        cycle: u32,
        /// Its kind.
        kind: CycleKind,
        /// Size of the replica.
        disk: u64,
        /// Bytes that an interrupted attempt at the same moment had already settled.
        resumed: u64,
    },
    /// The change list was not used; the whole disk is compared by digest.
    ChangeListIgnored {
        /// Why.
        reason: String,
    },
    /// How far the cycle is; at most a few a second.
    Progress {
        /// Its number.
        cycle: u32,
        /// So far.
        counts: Counts,
        /// Size of the replica.
        disk: u64,
        /// Bytes of the disk done in the last second or so, per second.
        bytes_per_second: u64,
        /// Until all is sent, at this rate.
        seconds_left: Option<u64>,
    },
    /// A request failed and is tried again.
    Retrying {
        /// What was tried, where and why it failed.
        error: String,
        /// How many times it failed.
        failures: u32,
        /// Milliseconds until it is tried again.
        wait_ms: u64,
    },
    /// The replica waits for the end of a blackout of the schedule.
    Blackout {
        /// When that is; none when the schedule says nothing else, ever.
        until: Option<Timestamp>,
    },
    /// The limit of requests in flight fell by half because the service cannot keep up, or rose again; told
    /// at most every ten seconds.
    RequestsInFlight {
        /// The limit now.
        limit: u32,
        /// The limit that the options allow.
        most: u32,
    },
    /// The cycle is a recovery point.
    Sealed {
        /// Its number.
        cycle: u32,
        /// Its kind.
        kind: CycleKind,
        /// The sums.
        counts: Counts,
        /// Root of the digest tree.
        root: String,
        /// Seconds since the cycle began, in this process.
        seconds: u64,
    },
    /// The cycle ended without being sealed; it can be resumed.
    Stopped {
        /// Its number.
        cycle: u32,
        /// Code of the error.
        code: String,
        /// The error.
        error: String,
    },
    /// Verification is under way or done.
    Verified {
        /// Of which cycle.
        cycle: u32,
        /// Blocks compared so far.
        blocks: u64,
        /// Blocks that differ.
        mismatches: u64,
    },
    /// A recovery point was deleted.
    RecoveryPointDeleted {
        /// Its cycle.
        cycle: u32,
    },
}

/// The newest events of an engine.
#[derive(Debug)]
pub struct EventLog {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    last_seq: u64,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), newest: watch::channel(0).0 }
    }
}

impl EventLog {
    /// How many events are kept.
    pub const CAPACITY: usize = 1024;

    pub(crate) fn record(&self, replica: &str, kind: EventKind) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last_seq += 1;
        let event = Event { seq: kept.last_seq, time: Timestamp::now(), replica: replica.to_owned(), kind };
        if kept.events.len() == Self::CAPACITY {
            kept.events.pop_front();
        }
        kept.events.push_back(Arc::new(event));
        let seq = kept.last_seq;
        drop(kept);
        self.newest.send_replace(seq);
    }

    /// A reader that starts after the event numbered `seq` (0: with the oldest that is kept).
    pub fn after(self: &Arc<Self>, seq: u64) -> EventReader {
        EventReader { log: Arc::clone(self), newest: self.newest.subscribe(), seen: seq }
    }

    fn next_after(&self, seq: u64) -> Option<Arc<Event>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.events.front()?.seq;
        let at = (seq + 1).saturating_sub(first) as usize;
        kept.events.get(at).cloned()
    }
}

/// Reads events in order, from any number on. A clone goes on from where this one is.
#[derive(Clone, Debug)]
pub struct EventReader {
    log: Arc<EventLog>,
    newest: watch::Receiver<u64>,
    seen: u64,
}

impl EventReader {
    /// The next event, as soon as there is one. A number that jumps says that older events are no longer
    /// kept. Cancel-safe.
    pub async fn next(&mut self) -> Arc<Event> {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            // The sender lives in the log that we hold.
            let seen = self.seen;
            let _ = self.newest.wait_for(|newest| *newest > seen).await;
        }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        let event = self.log.next_after(self.seen)?;
        self.seen = event.seq;
        Some(event)
    }
}

/// Rate and time left, from samples of bytes done.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    samples: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// Over how long the rate is taken.
    const SPAN: Duration = Duration::from_secs(10);

    /// Adds a sample: `done` bytes after `elapsed`.
    pub(crate) fn sample(&mut self, elapsed: Duration, done: u64) {
        self.samples.push_back((elapsed, done));
        while self.samples.len() > 2 && self.samples[1].0 + Self::SPAN < elapsed {
            self.samples.pop_front();
        }
    }

    /// Bytes per second over the last samples.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return 0 };
        let micros = last.0.checked_sub(first.0).unwrap().as_micros().max(1);
        (u128::from(last.1.saturating_sub(first.1)) * 1_000_000 / micros) as u64
    }

    /// Seconds until `left` bytes are done.
    pub(crate) fn seconds_left(&self, left: u64) -> Option<u64> {
        left.checked_div(self.bytes_per_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(cycle: u32) -> EventKind {
        EventKind::RecoveryPointDeleted { cycle }
    }

    #[test]
    fn a_reader_goes_on_after_the_number_it_saw() {
        let log = Arc::new(EventLog::default());
        (1..=3).for_each(|cycle| log.record("r", deleted(cycle)));
        let mut reader = log.after(1);
        assert_eq!(reader.try_next().unwrap().seq, 2);
        assert_eq!(reader.try_next().unwrap().kind, deleted(3));
        assert_eq!(reader.try_next(), None);
    }

    #[test]
    fn the_log_is_bounded_and_a_late_reader_sees_the_jump() {
        let log = Arc::new(EventLog::default());
        (0..EventLog::CAPACITY as u32 + 5).for_each(|cycle| log.record("r", deleted(cycle)));
        assert_eq!(log.after(0).try_next().unwrap().seq, 6);
    }

    #[tokio::test]
    async fn a_reader_waits_for_the_next_event() {
        let log = Arc::new(EventLog::default());
        let mut reader = log.after(0);
        let (event, ()) = tokio::join!(reader.next(), async { log.record("r", deleted(1)) });
        assert_eq!(event.seq, 1);
    }

    #[test]
    fn events_have_one_flat_json_form() {
        let log = Arc::new(EventLog::default());
        log.record("local:web01.vhd", EventKind::ChangeListIgnored { reason: "x".into() });
        let json = serde_json::to_value(&*log.after(0).try_next().unwrap()).unwrap();
        assert_eq!((json["seq"].as_u64(), json["type"].as_str()), (Some(1), Some("change_list_ignored")));
        assert_eq!((json["replica"].as_str(), json["reason"].as_str()), (Some("local:web01.vhd"), Some("x")));
    }

    #[test]
    fn the_pace_tells_rate_and_time_left() {
        let mut pace = Pace::default();
        pace.sample(Duration::ZERO, 0);
        pace.sample(Duration::from_secs(2), 200);
        assert_eq!((pace.bytes_per_second(), pace.seconds_left(500)), (100, Some(5)));
    }
}
