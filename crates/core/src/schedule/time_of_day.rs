//! A reading of a clock on the wall.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A time of day, to the second: 00:00 to 24:00, which is the end of the day.
///
/// Written `HH:MM` or `HH:MM:SS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    seconds: u32,
}

impl TimeOfDay {
    /// The first moment of a day.
    pub const START: Self = Self { seconds: 0 };
    /// The end of a day.
    pub const END: Self = Self { seconds: 24 * 60 * 60 };

    /// `hour` from 0 to 24, `minute` and `second` below 60; after 24 only zeros. `None` otherwise.
    pub const fn new(hour: u8, minute: u8, second: u8) -> Option<Self> {
        let seconds = (hour as u32 * 60 + minute as u32) * 60 + second as u32;
        if minute >= 60 || second >= 60 || seconds > Self::END.seconds { None } else { Some(Self { seconds }) }
    }

    /// Seconds that a clock has counted since midnight.
    pub(super) const fn seconds(self) -> u32 {
        self.seconds
    }
}

/// A text that is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of day: write 08:00 or 08:00:30, at most 24:00")]
pub struct NoTimeOfDay(String);

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let number = |part: &str| match part.as_bytes() {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + ones - b'0'),
            _ => None,
        };
        let parts: Option<Vec<u8>> = text.split(':').map(number).collect();
        let time = match parts.as_deref() {
            Some([hour, minute]) => Self::new(*hour, *minute, 0),
            Some([hour, minute, second]) => Self::new(*hour, *minute, *second),
            _ => None,
        };
        time.ok_or_else(|| NoTimeOfDay(text.to_owned()))
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = NoTimeOfDay;

    fn try_from(text: String) -> Result<Self, NoTimeOfDay> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        write!(f, "{hour:02}:{minute:02}")?;
        if second == 0 { Ok(()) } else { write!(f, ":{second:02}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in ["00:00", "08:30", "23:59:59", "24:00"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_clock_shows_is_refused() {
        for text in ["", "8:00", "08", "08:60", "08:00:60", "24:01", "25:00", "+8:00", "08:00:00:00", "0a:00", "08:00 "]
        {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }
}
