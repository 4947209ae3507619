//! The lease on a blob.
//!
//! States and transitions are those of Microsoft Learn, "Lease Blob" (tables "Outcomes of lease operations on
//! blobs by lease state" and "Outcomes of use attempts on blobs by lease state", read 2026-11); which code
//! goes with which refusal is what the lease tests of Microsoft's own .NET client expect of the service. For a
//! broken lease the table says 412 and no code; ours is the one that the emulator answers.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::refusal::{self, Refusal};

/// Who may write, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lease {
    #[default]
    Available,
    /// Held, or expired once `until` has passed. An infinite one has no `until`.
    Leased { id: Uuid, term: Term, until: Option<Timestamp> },
    /// Held to `until`, broken from then on.
    Breaking { id: Uuid, until: Timestamp },
    /// Given up by order.
    Broken { id: Uuid },
}

/// How long a lease lasts from each renewal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term(Option<i64>);

impl Term {
    /// As in `x-ms-lease-duration`: 15 to 60 seconds, or -1 for ever.
    pub(crate) fn from_seconds(seconds: i64) -> Option<Self> {
        match seconds {
            -1 => Some(Self(None)),
            15..=60 => Some(Self(Some(seconds))),
            _ => None,
        }
    }

    fn end(self, now: Timestamp) -> Option<Timestamp> {
        self.0.map(|seconds| now + SignedDuration::from_secs(seconds))
    }
}

/// What `x-ms-lease-state`, `-status` and `-duration` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseWords {
    pub(crate) state: &'static str,
    pub(crate) status: &'static str,
    pub(crate) duration: Option<&'static str>,
}

/// The states of the service's tables, in which time has already acted.
enum State {
    Available,
    Leased(Uuid),
    Expired(Uuid),
    Breaking(Uuid),
    Broken(Uuid),
}

impl Lease {
    fn state(&self, now: Timestamp) -> State {
        match *self {
            Self::Available => State::Available,
            Self::Leased { id, until: Some(until), .. } if until <= now => State::Expired(id),
            Self::Leased { id, .. } => State::Leased(id),
            Self::Breaking { id, until } if until <= now => State::Broken(id),
            Self::Breaking { id, .. } => State::Breaking(id),
            Self::Broken { id } => State::Broken(id),
        }
    }

    pub(crate) fn words(&self, now: Timestamp) -> LeaseWords {
        let term = match self {
            Self::Leased { term: Term(None), .. } => "infinite",
            _ => "fixed",
        };
        let (state, status, duration) = match self.state(now) {
            State::Available => ("available", "unlocked", None),
            State::Leased(_) => ("leased", "locked", Some(term)),
            State::Expired(_) => ("expired", "unlocked", None),
            State::Breaking(_) => ("breaking", "locked", None),
            State::Broken(_) => ("broken", "unlocked", None),
        };
        LeaseWords { state, status, duration }
    }

    pub(crate) fn acquire(&mut self, proposed: Option<Uuid>, term: Term, now: Timestamp) -> Result<Uuid, Refusal> {
        match self.state(now) {
            State::Leased(held) if proposed != Some(held) => return Err(refusal::LEASE_ALREADY_PRESENT),
            State::Breaking(held) if proposed == Some(held) => {
                return Err(refusal::LEASE_IS_BREAKING_AND_CANNOT_BE_ACQUIRED);
            }
            State::Breaking(_) => return Err(refusal::LEASE_ALREADY_PRESENT),
            State::Available | State::Leased(_) | State::Expired(_) | State::Broken(_) => {}
        }
        let id = proposed.unwrap_or_else(Uuid::new_v4);
        *self = Self::Leased { id, term, until: term.end(now) };
        Ok(id)
    }

    pub(crate) fn renew(&mut self, id: Uuid, now: Timestamp) -> Result<(), Refusal> {
        match (self.state(now), &mut *self) {
            (State::Leased(held) | State::Expired(held), Self::Leased { term, until, .. }) if held == id => {
                *until = term.end(now);
                Ok(())
            }
            (State::Breaking(held) | State::Broken(held), _) if held == id => {
                Err(refusal::LEASE_IS_BROKEN_AND_CANNOT_BE_RENEWED)
            }
            _ => Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION),
        }
    }

    pub(crate) fn change(&mut self, id: Uuid, proposed: Uuid, now: Timestamp) -> Result<(), Refusal> {
        match (self.state(now), &mut *self) {
            (State::Leased(held), Self::Leased { id: kept, .. }) if held == id || held == proposed => {
                *kept = proposed;
                Ok(())
            }
            (State::Breaking(held), _) if held == id => Err(refusal::LEASE_IS_BREAKING_AND_CANNOT_BE_CHANGED),
            (State::Leased(_) | State::Breaking(_), _) => Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION),
            _ => Err(refusal::LEASE_NOT_PRESENT_WITH_LEASE_OPERATION),
        }
    }

    pub(crate) fn release(&mut self, id: Uuid, now: Timestamp) -> Result<(), Refusal> {
        match self.state(now) {
            State::Leased(held) | State::Expired(held) | State::Breaking(held) | State::Broken(held) if held == id => {
                *self = Self::Available;
                Ok(())
            }
            _ => Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION),
        }
    }

    /// Breaks the lease after `period` seconds, or sooner if it ends sooner. The seconds that are left.
    pub(crate) fn break_it(&mut self, period: Option<i64>, now: Timestamp) -> Result<i64, Refusal> {
        let (id, left) = match (self.state(now), &*self) {
            (State::Available, _) => return Err(refusal::LEASE_NOT_PRESENT_WITH_LEASE_OPERATION),
            (State::Leased(id), Self::Leased { until: None, .. }) => (id, period.unwrap_or(0)),
            (
                State::Leased(id) | State::Breaking(id),
                Self::Leased { until: Some(until), .. } | Self::Breaking { until, .. },
            ) => {
                let left = until.duration_since(now).as_secs_f64().ceil() as i64;
                (id, period.map_or(left, |period| period.min(left)))
            }
            (State::Leased(id) | State::Expired(id) | State::Breaking(id) | State::Broken(id), _) => (id, 0),
        };
        *self = match left {
            0 => Self::Broken { id },
            left => Self::Breaking { id, until: now + SignedDuration::from_secs(left) },
        };
        Ok(left)
    }

    /// Whether a write that names `id` may happen.
    pub(crate) fn check_write(&self, id: Option<Uuid>, now: Timestamp) -> Result<(), Refusal> {
        match (self.state(now), id) {
            (State::Leased(_) | State::Breaking(_), None) => Err(refusal::LEASE_ID_MISSING),
            _ => self.check_read(id, now),
        }
    }

    /// Whether a read that names `id` may happen. One that names none always may.
    pub(crate) fn check_read(&self, id: Option<Uuid>, now: Timestamp) -> Result<(), Refusal> {
        let Some(id) = id else { return Ok(()) };
        match self.state(now) {
            State::Available | State::Broken(_) => Err(refusal::LEASE_NOT_PRESENT_WITH_BLOB_OPERATION),
            State::Leased(held) | State::Breaking(held) if held == id => Ok(()),
            State::Expired(held) if held == id => Err(refusal::LEASE_LOST),
            State::Leased(_) | State::Breaking(_) | State::Expired(_) => {
                Err(refusal::LEASE_ID_MISMATCH_WITH_BLOB_OPERATION)
            }
        }
    }

    /// A write happened: an expired lease can no longer be renewed.
    pub(crate) fn forget_if_expired(&mut self, now: Timestamp) {
        if let State::Expired(_) = self.state(now) {
            *self = Self::Available;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn leased(seconds: i64) -> Lease {
        let mut lease = Lease::default();
        lease.acquire(Some(ME), Term::from_seconds(seconds).unwrap(), at(0)).unwrap();
        lease
    }

    #[test]
    fn terms_are_15_to_60_seconds_or_for_ever() {
        let good: Vec<i64> = (-5..100).filter(|seconds| Term::from_seconds(*seconds).is_some()).collect();
        assert_eq!(good, [-1].into_iter().chain(15..=60).collect::<Vec<i64>>());
    }

    #[test]
    fn a_leased_blob_is_written_by_its_holder_only() {
        let lease = leased(15);
        assert_eq!(lease.check_write(Some(ME), at(14)), Ok(()));
        assert_eq!(lease.check_write(None, at(14)), Err(refusal::LEASE_ID_MISSING));
        assert_eq!(lease.check_write(Some(OTHER), at(14)), Err(refusal::LEASE_ID_MISMATCH_WITH_BLOB_OPERATION));
    }

    #[test]
    fn an_expired_lease_is_lost_to_its_holder_and_no_bar_to_others() {
        let lease = leased(15);
        assert_eq!(lease.check_write(Some(ME), at(15)), Err(refusal::LEASE_LOST));
        assert_eq!(lease.check_write(None, at(15)), Ok(()));
        assert_eq!(lease.words(at(15)).state, "expired");
    }

    #[test]
    fn an_expired_lease_can_be_renewed_until_somebody_writes() {
        let mut lease = leased(15);
        assert_eq!(lease.renew(ME, at(100)), Ok(()));
        assert_eq!(lease.check_write(Some(ME), at(114)), Ok(()));
        lease.forget_if_expired(at(115));
        assert_eq!(lease.renew(ME, at(116)), Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION));
    }

    #[test]
    fn taking_it_again_under_the_same_id_starts_its_time_anew() {
        let mut lease = leased(15);
        assert_eq!(lease.acquire(Some(ME), Term(Some(60)), at(10)), Ok(ME));
        assert_eq!(lease.check_write(Some(ME), at(69)), Ok(()));
        assert_eq!(lease.acquire(Some(OTHER), Term(None), at(69)), Err(refusal::LEASE_ALREADY_PRESENT));
        assert_eq!(lease.acquire(None, Term(None), at(69)), Err(refusal::LEASE_ALREADY_PRESENT));
    }

    #[test]
    fn an_infinite_lease_never_expires_and_breaks_at_once() {
        let mut lease = leased(-1);
        assert_eq!(lease.check_write(Some(ME), at(1_000_000)), Ok(()));
        assert_eq!(lease.break_it(None, at(1_000_000)), Ok(0));
        assert_eq!(lease.check_write(Some(ME), at(1_000_000)), Err(refusal::LEASE_NOT_PRESENT_WITH_BLOB_OPERATION));
        assert_eq!(lease.renew(ME, at(1_000_000)), Err(refusal::LEASE_IS_BROKEN_AND_CANNOT_BE_RENEWED));
    }

    #[test]
    fn a_breaking_lease_still_guards_and_cannot_be_taken() {
        let mut lease = leased(60);
        assert_eq!(lease.break_it(Some(10), at(20)), Ok(10));
        assert_eq!(lease.check_write(None, at(29)), Err(refusal::LEASE_ID_MISSING));
        assert_eq!(lease.acquire(Some(ME), Term(None), at(29)), Err(refusal::LEASE_IS_BREAKING_AND_CANNOT_BE_ACQUIRED));
        assert_eq!(lease.acquire(Some(OTHER), Term(None), at(30)), Ok(OTHER));
    }

    #[test]
    fn a_break_never_takes_longer_than_the_lease_would() {
        let mut lease = leased(20);
        assert_eq!(lease.break_it(Some(60), at(5)), Ok(15));
        assert_eq!(lease.break_it(None, at(10)), Ok(10));
        assert_eq!(lease.break_it(Some(3), at(10)), Ok(3));
    }

    #[test]
    fn a_released_lease_is_forgotten() {
        let mut lease = leased(15);
        assert_eq!(lease.release(OTHER, at(1)), Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION));
        assert_eq!(lease.release(ME, at(1)), Ok(()));
        assert_eq!(lease.release(ME, at(1)), Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION));
        assert_eq!(lease.check_write(Some(ME), at(1)), Err(refusal::LEASE_NOT_PRESENT_WITH_BLOB_OPERATION));
    }

    #[test]
    fn a_changed_lease_answers_to_its_new_id_and_the_change_may_be_repeated() {
        let mut lease = leased(15);
        assert_eq!(lease.change(ME, OTHER, at(1)), Ok(()));
        assert_eq!(lease.change(ME, OTHER, at(1)), Ok(()));
        assert_eq!(lease.check_write(Some(OTHER), at(1)), Ok(()));
        assert_eq!(lease.change(ME, ME, at(1)), Err(refusal::LEASE_ID_MISMATCH_WITH_LEASE_OPERATION));
    }
}
