//! Enums of the service: open, so what is not known today is kept as it was said.
//!
//! The specification marks these enums `modelAsString`: the service may add values at any time. Reading never
//! fails and writing gives back the same bytes.

/// Declares such an enum: variants are spelled as the service spells them, or as `= "…"` says where a spelling is
/// no name of Rust.
macro_rules! open_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident $(= $text:literal)?,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A value that was not known when this was written, as the service spelled it.
            Unknown(String),
        }

        impl $name {
            /// The values of the specification.
            pub const KNOWN: &[&str] = &[$($crate::control::open_enum::spelling!($variant $(= $text)?)),+];

            /// As the service spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $crate::control::open_enum::spelling!($variant $(= $text)?),)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($crate::control::open_enum::spelling!($variant $(= $text)?) => Self::$variant,)+
                    _ => Self::Unknown(text.to_owned()),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::from(text.as_str())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// How a variant is spelled.
macro_rules! spelling {
    ($variant:ident) => {
        stringify!($variant)
    };
    ($variant:ident = $text:literal) => {
        $text
    };
}

pub(crate) use {open_enum, spelling};
