//! What every error of this library tells besides its sentence: a stable code, whose turn it is, and
//! what to do.

use serde::{Deserialize, Serialize};

/// Whose turn it is after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Passing: the same call may succeed later.
    Retryable,
    /// Something outside must be put right first.
    Fatal,
    /// The call itself must change.
    Caller,
}

/// An error that has a page in the catalogue.
pub trait Diagnose: std::error::Error {
    /// Stable, never reused: `area.what`.
    fn code(&self) -> &'static str;

    /// Whose turn it is.
    fn kind(&self) -> ErrorKind;

    /// What to do, as a sentence.
    fn remedy(&self) -> &'static str;
}

/// Implements [`Diagnose`] for an enum as one table, so that code, kind and remedy of a variant stand
/// side by side, and lists the codes for the catalogue's test. A variant after `inside` holds another such
/// error, which speaks for itself.
macro_rules! diagnose {
    ($error:ty { $($variant:ident: $code:literal, $kind:ident, $remedy:literal;)+ } $(inside $inner:ident)*) => {
        impl $crate::error::Diagnose for $error {
            fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)+ $(Self::$inner(inner) => inner.code(),)* }
            }

            fn kind(&self) -> $crate::error::ErrorKind {
                match self {
                    $(Self::$variant { .. } => $crate::error::ErrorKind::$kind,)+
                    $(Self::$inner(inner) => inner.kind(),)*
                }
            }

            fn remedy(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $remedy,)+ $(Self::$inner(inner) => inner.remedy(),)* }
            }
        }

        impl $error {
            /// Every code of this area, with its kind and its remedy.
            pub const CATALOGUE: &[(&str, $crate::error::ErrorKind, &str)] =
                &[$(($code, $crate::error::ErrorKind::$kind, $remedy)),+];
        }
    };
}

pub(crate) use diagnose;
