//! What the network does to a request, drawn from the seed.
//!
//! Every request has a way there and a way back. On either it may be lost; the service may refuse it, or answer
//! 500 and act all the same: later, after requests that were sent after it, even after its sender died and
//! another took over. Something in between may send it twice. A process may be cut off: what it sends is lost,
//! or held up until the cut has healed.

use std::time::Duration;

use fastrand::Rng;

/// How often what goes wrong, in thousandths of all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) lost_before: u32,
    pub(crate) lost_after: u32,
    pub(crate) refused: u32,
    pub(crate) acts_late: u32,
    pub(crate) twice: u32,
    /// Of all requests to make durable what was acknowledged: how many fail for good.
    pub(crate) flush_fails: u32,
    /// The longest that a late request is under way.
    pub(crate) latest: Duration,
    /// The longest usual way, one direction.
    pub(crate) way: Duration,
}

impl Weather {
    pub(crate) const CALM: Self = Self {
        lost_before: 0,
        lost_after: 0,
        refused: 0,
        acts_late: 0,
        twice: 0,
        flush_fails: 0,
        latest: Duration::ZERO,
        way: Duration::from_millis(5),
    };

    pub(crate) fn draw(random: &mut Rng) -> Self {
        let mut rate = || match random.u8(..4) {
            0 => 0,
            1 => 5,
            2 => 30,
            _ => 80,
        };
        let (lost_before, lost_after, refused, acts_late, twice) = (rate(), rate(), rate(), rate(), rate() / 4);
        let flush_fails = rate();
        let latest = Duration::from_millis(1 << random.u32(6..18));
        let way = Duration::from_millis(1 << random.u32(0..7));
        Self { lost_before, lost_after, refused, acts_late, twice, flush_fails, latest, way }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// When it acts, from now; never, if it is lost or refused.
    pub(crate) acts: Option<Duration>,
    /// When it acts once more.
    pub(crate) acts_again: Option<Duration>,
    /// When the sender hears of it, counted from the moment it acts or would have acted.
    pub(crate) back: Duration,
    pub(crate) heard: Heard,
    pub(crate) kind: Kind,
}

/// What the sender hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Answer,
    /// Nothing, until it gives up waiting.
    Nothing,
    /// That it should try again.
    TryAgain {
        retry_after: Option<Duration>,
    },
}

/// What went wrong, for the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    None,
    LostBefore,
    LostAfter,
    Refused,
    ActsLate,
    Twice,
    HeldUp,
    CutOff,
}

impl Fate {
    /// `cut_for` is how long the sender is still cut off.
    pub(crate) fn draw(random: &mut Rng, weather: Weather, cut_for: Option<Duration>) -> Self {
        let way = |random: &mut Rng| Duration::from_millis(random.u64(1..=weather.way.as_millis() as u64));
        let (there, back) = (way(random), way(random));
        let late = |random: &mut Rng| Duration::from_millis(random.u64(1..=weather.latest.as_millis().max(1) as u64));
        let whole = Self { acts: Some(there), acts_again: None, back, heard: Heard::Answer, kind: Kind::None };
        if let Some(cut_for) = cut_for {
            let held_up = random.bool().then(|| cut_for + late(random));
            let kind = if held_up.is_some() { Kind::HeldUp } else { Kind::CutOff };
            return Self { acts: held_up, heard: Heard::Nothing, kind, ..whole };
        }
        let mut draw = random.u32(..1000);
        let mut falls = |rate: u32| {
            let falls = draw < rate;
            draw = if falls { u32::MAX } else { draw - rate };
            falls
        };
        if falls(weather.lost_before) {
            Self { acts: None, heard: Heard::Nothing, kind: Kind::LostBefore, ..whole }
        } else if falls(weather.lost_after) {
            Self { heard: Heard::Nothing, kind: Kind::LostAfter, ..whole }
        } else if falls(weather.refused) {
            let retry_after = random.bool().then(|| Duration::from_millis(random.u64(100..4000)));
            Self { acts: None, heard: Heard::TryAgain { retry_after }, kind: Kind::Refused, ..whole }
        } else if falls(weather.acts_late) {
            let acts = Some(there + late(random));
            Self { acts, heard: Heard::TryAgain { retry_after: None }, kind: Kind::ActsLate, ..whole }
        } else if falls(weather.twice) {
            Self { acts_again: Some(there + late(random)), kind: Kind::Twice, ..whole }
        } else {
            whole
        }
    }
}
