//! When a replica may send, and how fast: windows of the week in a time zone.
//!
//! One rule decides everything: **what a clock on the wall of that zone shows**. A moment is inside a window
//! when the clock shows one of its days and a time from `from` up to, not including, `to`. So on the night
//! when the clock is put forward, a window inside the hour that is left out does not happen, and one that
//! begins or ends inside it begins or ends when the clock jumps; on the night when the clock is put back, the
//! hour that is shown twice belongs to its window both times. No other reading can be stated in one sentence,
//! and with none other can windows that follow each other never overlap: each moment has one reading, and each
//! reading at most one window.
//!
//! Zones and their rules are those of the IANA time zone database: the system's where there is one, so that
//! an update of the system is an update here, otherwise the copy inside the library.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::diagnose;

mod time_of_day;

pub use time_of_day::{NoTimeOfDay, TimeOfDay};

const DAY: u32 = 24 * 60 * 60;
const WEEK: u32 = 7 * DAY;

/// Windows of the week, in a time zone, during which another limit than the plain one holds, or none may
/// send. Checked: the zone is known, no window is empty, no two contradict each other.
///
/// Its JSON form, which [`from_json`](Self::from_json) and serde read and serde writes:
///
/// ```
/// let schedule = libmigrate::schedule::Schedule::from_json(r#"{
///     "zone": "Europe/Berlin",
///     "windows": [
///         { "days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00", "rule": "blackout" },
///         { "days": ["sat", "sun"], "from": "22:00", "to": "06:00", "rule": { "bytes_per_second": 50000000 } }
///     ]
/// }"#)?;
/// assert_eq!(schedule.zone(), "Europe/Berlin");
/// # Ok::<(), libmigrate::schedule::ScheduleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Schedule {
    written: Written,
    zone: TimeZone,
    /// The week from Monday 00:00 on, in order, without overlaps.
    week: Vec<Stretch>,
}

/// A schedule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    zone: String,
    windows: Vec<Window>,
}

/// The same stretch of the clock on some days of each week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    /// What the clock shows when it begins.
    pub from: TimeOfDay,
    /// What the clock shows when it is over: on the next day, if that is earlier than `from`.
    pub to: TimeOfDay,
    /// What holds inside.
    pub rule: Rule,
}

/// What holds inside a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Nothing is sent, except by a final cycle.
    Blackout,
    /// So many bytes per second, instead of the plain limit. At least 1.
    BytesPerSecond(u64),
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All, from Monday on.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];
}

/// Seconds of the week during which one rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    start: u32,
    end: u32,
    rule: Rule,
    /// Of which window, counted from 1.
    window: usize,
}

/// Why a schedule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// It is no JSON of the form of a schedule.
    #[error("the schedule cannot be read: {problem}")]
    Syntax {
        /// What is wrong, and where.
        problem: String,
    },
    /// The zone is in no time zone database.
    #[error("the schedule's time zone {zone:?} is not known")]
    UnknownZone {
        /// What was named.
        zone: String,
    },
    /// A window contains no moment, or nothing could be sent in it.
    #[error("window {window} of the schedule is void: {problem}")]
    VoidWindow {
        /// Which, counted from 1.
        window: usize,
        /// Why.
        problem: &'static str,
    },
    /// Two windows say different things of the same moment.
    #[error("windows {first} and {second} of the schedule contradict each other from {at} on")]
    Contradiction {
        /// One of them, counted from 1.
        first: usize,
        /// The other.
        second: usize,
        /// Day and time at which both hold.
        at: String,
    },
}

diagnose!(ScheduleError {
    Syntax: "schedule.syntax", Caller, "correct the JSON: a zone, and windows with days, from, to and rule";
    UnknownZone: "schedule.zone", Caller, "name a zone of the IANA database, such as Europe/Berlin or UTC";
    VoidWindow: "schedule.window", Caller, "give the window a day, two different times, and a limit of at least 1";
    Contradiction: "schedule.contradiction", Caller, "let one window end where the other begins, or give both the same rule";
});

impl Schedule {
    /// A schedule of these windows in the IANA time zone named `zone`.
    pub fn new(zone: &str, windows: Vec<Window>) -> Result<Self, ScheduleError> {
        Written { zone: zone.to_owned(), windows }.try_into()
    }

    /// The schedule that is written in `text`, with an error that has its own code.
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        let written: Written =
            serde_json::from_str(text).map_err(|e| ScheduleError::Syntax { problem: e.to_string() })?;
        written.try_into()
    }

    /// The name of its time zone.
    pub fn zone(&self) -> &str {
        &self.written.zone
    }

    /// Its windows.
    pub fn windows(&self) -> &[Window] {
        &self.written.windows
    }

    /// What holds at `time`; `None` outside all windows.
    pub fn rule_at(&self, time: Timestamp) -> Option<Rule> {
        let shown = self.zone.to_datetime(time);
        let second = second_of_week(shown);
        let next = self.week.partition_point(|stretch| stretch.start <= second);
        let stretch = self.week[..next].last()?;
        (second < stretch.end).then_some(stretch.rule)
    }

    /// The first moment after `time` at which something else holds; `None` when that is always the same.
    pub fn next_change(&self, time: Timestamp) -> Option<Timestamp> {
        let now = self.rule_at(time);
        let shown = self.zone.to_datetime(time);
        let monday = shown.date().to_datetime(jiff::civil::Time::midnight())
            - SignedDuration::from_hours(24 * i64::from(shown.date().weekday().to_monday_zero_offset()));
        // Three weeks: one that is in progress, one in which a jump of the clock leaves a window out, one more.
        let edges = (0..3).flat_map(|week| {
            self.week.iter().flat_map(move |stretch| {
                [stretch.start, stretch.end].map(|second| i64::from(week * WEEK) + i64::from(second))
            })
        });
        let mut moments: Vec<Timestamp> = edges
            .filter_map(|second| monday.checked_add(SignedDuration::from_secs(second)).ok())
            .map(|shown| self.zone.to_ambiguous_timestamp(shown))
            .flat_map(|moment| [moment.earlier().ok(), moment.later().ok()])
            .flatten()
            .collect();
        // Where the clock itself jumps.
        let horizon = time.saturating_add(SignedDuration::from_secs(3 * i64::from(WEEK))).unwrap_or(Timestamp::MAX);
        let jumps = self.zone.following(time).map(|jump| jump.timestamp());
        moments.extend(jumps.take_while(|jump| *jump <= horizon));
        moments.sort_unstable();
        moments.into_iter().filter(|moment| *moment > time).find(|moment| self.rule_at(*moment) != now)
    }
}

fn second_of_week(shown: DateTime) -> u32 {
    let day = shown.date().weekday().to_monday_zero_offset();
    let [day, hour, minute, second] =
        [day, shown.hour(), shown.minute(), shown.second()].map(|n| u32::from(n.unsigned_abs()));
    day * DAY + (hour * 60 + minute) * 60 + second
}

impl TryFrom<Written> for Schedule {
    type Error = ScheduleError;

    fn try_from(written: Written) -> Result<Self, ScheduleError> {
        let zone =
            TimeZone::get(&written.zone).map_err(|_| ScheduleError::UnknownZone { zone: written.zone.clone() })?;
        let mut stretches = Vec::new();
        for (number, window) in (1..).zip(&written.windows) {
            window.check().map_err(|problem| ScheduleError::VoidWindow { window: number, problem })?;
            stretches.extend(window.stretches(number));
        }
        Ok(Self { week: without_overlaps(stretches)?, zone, written })
    }
}

impl From<Schedule> for Written {
    fn from(schedule: Schedule) -> Self {
        schedule.written
    }
}

impl Window {
    fn check(&self) -> Result<(), &'static str> {
        if self.days.is_empty() {
            return Err("it has no day");
        }
        if self.from == self.to || self.from == TimeOfDay::END {
            return Err("it is over when it begins");
        }
        if self.rule == Rule::BytesPerSecond(0) {
            return Err("a limit of 0 is a blackout, and should say so");
        }
        Ok(())
    }

    fn stretches(&self, window: usize) -> Vec<Stretch> {
        let whole = |start: u32, end: u32| Stretch { start, end, rule: self.rule, window };
        let parts = self.days.iter().flat_map(|day| {
            let midnight = *day as u32 * DAY;
            let start = midnight + self.from.seconds();
            let end = midnight + self.to.seconds() + if self.to < self.from { DAY } else { 0 };
            // What passes the end of Sunday is the beginning of Monday.
            [whole(start, end.min(WEEK)), whole(0, end.saturating_sub(WEEK))]
        });
        parts.filter(|part| part.start < part.end).collect()
    }
}

fn without_overlaps(mut stretches: Vec<Stretch>) -> Result<Vec<Stretch>, ScheduleError> {
    stretches.sort_unstable_by_key(|stretch| stretch.start);
    let mut week: Vec<Stretch> = Vec::new();
    for next in stretches {
        match week.last_mut() {
            Some(last) if next.start < last.end && next.rule != last.rule => {
                let (first, second) = (last.window.min(next.window), last.window.max(next.window));
                return Err(ScheduleError::Contradiction { first, second, at: Reading(next.start).to_string() });
            }
            Some(last) if next.start <= last.end && next.rule == last.rule => last.end = last.end.max(next.end),
            _ => week.push(next),
        }
    }
    Ok(week)
}

/// A second of the week, as people say it.
struct Reading(u32);

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0 % DAY;
        write!(f, "{:?} {:02}:{:02}", Weekday::ALL[(self.0 / DAY) as usize], second / 3600, second / 60 % 60)
    }
}

#[cfg(test)]
mod tests;
