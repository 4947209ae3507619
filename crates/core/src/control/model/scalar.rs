//! Values of bodies that are more than they seem: times, booleans and addresses in texts, and what is not known.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Fields of a body that are not known here, by name. `Debug` shows the names only: a value may be anything, also
/// a key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extra(Map<String, Value>);

impl Deref for Extra {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Extra {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<Map<String, Value>> for Extra {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A moment as the service writes it: with seven digits or none, with a zone or without. It keeps its spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(String);

impl Stamp {
    /// As it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment; a text without a zone is in UTC, as Azure's times are. None where the text is no time.
    pub fn at(&self) -> Option<Timestamp> {
        let text = self.0.trim();
        text.parse().ok().or_else(|| format!("{text}Z").parse().ok())
    }
}

impl From<Timestamp> for Stamp {
    fn from(at: Timestamp) -> Self {
        Self(at.to_string())
    }
}

impl From<&str> for Stamp {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A boolean that Site Recovery writes as a text, `"true"` or `"false"`. It keeps its spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flag(String);

impl Flag {
    /// As it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it says, without regard to case; none where it says neither.
    pub fn get(&self) -> Option<bool> {
        match self.0.as_str() {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

impl From<bool> for Flag {
    fn from(value: bool) -> Self {
        Self(value.to_string())
    }
}

/// An IP address as the service writes it; some have a prefix length, some are empty. It keeps its spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// As it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address; none where the text is none.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.trim().parse().ok()
    }
}

impl<T: Into<IpAddr>> From<T> for Address {
    fn from(address: T) -> Self {
        Self(address.into().to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_without_a_zone_is_in_utc_and_an_empty_one_is_none() {
        let at: Timestamp = "2026-11-25T08:00:00Z".parse().unwrap();
        for text in ["2026-11-25T08:00:00.0000000Z", "2026-11-25T08:00:00", "2026-11-25T09:00:00+01:00"] {
            assert_eq!(Stamp::from(text).at(), Some(at), "{text}");
        }
        assert_eq!(Stamp::from("").at(), None);
        assert_eq!(Stamp::from(at).at(), Some(at));
    }

    #[test]
    fn a_flag_is_a_text_and_keeps_its_spelling() {
        assert_eq!(serde_json::to_value(Flag::from(true)).unwrap(), json!("true"));
        let told: Flag = serde_json::from_value(json!("False")).unwrap();
        assert_eq!((told.get(), told.as_str()), (Some(false), "False"));
        assert_eq!(serde_json::from_value::<Flag>(json!("")).unwrap().get(), None);
    }

    #[test]
    fn an_address_that_is_none_is_kept() {
        let of = |text: &str| serde_json::from_value::<Address>(json!(text)).unwrap();
        assert_eq!(of("10.0.0.4").ip(), Some(IpAddr::from([10, 0, 0, 4])));
        assert_eq!((of("").ip(), of("10.0.0").ip(), of("10.0.0").as_str()), (None, None, "10.0.0"));
        assert_eq!(Address::from([10, 0, 0, 4]), of("10.0.0.4"));
    }

    #[test]
    fn what_is_not_known_shows_its_names_only() {
        let extra: Extra = serde_json::from_value(json!({ "accessSAS": "canary" })).unwrap();
        assert_eq!(format!("{extra:?}"), r#"{"accessSAS"}"#);
    }
}
