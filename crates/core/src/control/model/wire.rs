//! How a body is declared.

/// Declares bodies: each field is an `Option` that is left out where there is none, spelled in camel case unless a
/// `#[serde(rename)]` says otherwise; what is not declared is kept in `extra`.
macro_rules! wire {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])* $(#[serde(rename = $rename:literal)])? $field:ident: $type:ty,)*
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                pub $field: Option<$type>,
            )*
            /// Everything else that the service said.
            pub extra: $crate::control::model::Extra,
        }

        impl $crate::control::model::fields::Body for $name {
            fn from_fields(
                fields: serde_json::Map<String, serde_json::Value>,
            ) -> Result<Self, serde_json::Error> {
                let mut fields = $crate::control::model::fields::Reader::new(fields);
                Ok(Self {
                    $($field: fields.take($crate::control::model::wire::name!($field $(= $rename)?)),)*
                    extra: fields.rest()?,
                })
            }

            fn to_fields(&self) -> Result<serde_json::Map<String, serde_json::Value>, serde_json::Error> {
                let mut fields = $crate::control::model::fields::Writer::default();
                $(fields.put($crate::control::model::wire::name!($field $(= $rename)?), self.$field.as_ref());)*
                fields.and(&self.extra)
            }
        }

        $crate::control::model::wire::as_its_fields!($name);
    )+};
}

/// How a field is called in JSON.
macro_rules! name {
    ($field:ident) => {
        $crate::control::model::fields::Name::Of(stringify!($field))
    };
    ($field:ident = $text:literal) => {
        $crate::control::model::fields::Name::Spelled($text)
    };
}

/// Reads and writes a body as its fields.
macro_rules! as_its_fields {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::control::model::fields::read(deserializer)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::control::model::fields::write(self, serializer)
            }
        }
    };
}

/// Declares a body whose kind a field tells (`instanceType`): one variant for each kind that is known, which is
/// written with that field, and `Other` for a body of another kind or of none, kept as it is.
macro_rules! by_kind {
    (
        $(#[$meta:meta])*
        pub enum $name:ident by $tag:literal {
            $($(#[$variant_meta:meta])* $variant:ident($type:ty) = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a body has one of them, and a box would be in everybody's way")]
        pub enum $name {
            $($(#[$variant_meta])* $variant($type),)+
            /// Of a kind that is not known here.
            Other($crate::control::model::Extra),
        }

        impl $name {
            /// The kind, as the service spells it; none where the body has none.
            pub fn kind(&self) -> Option<&str> {
                match self {
                    $(Self::$variant(_) => Some($text),)+
                    Self::Other(body) => body.get($tag).and_then(serde_json::Value::as_str),
                }
            }
        }

        impl $crate::control::model::fields::Body for $name {
            // A body of a known kind with a wrong field is an error, and not a body of an unknown kind.
            fn from_fields(
                mut fields: serde_json::Map<String, serde_json::Value>,
            ) -> Result<Self, serde_json::Error> {
                let kind = fields.get($tag).and_then(serde_json::Value::as_str).map(str::to_owned);
                match kind.as_deref() {
                    $(Some($text) => {
                        fields.remove($tag);
                        $crate::control::model::fields::Body::from_fields(fields).map(Self::$variant)
                    })+
                    _ => Ok(Self::Other(fields.into())),
                }
            }

            fn to_fields(&self) -> Result<serde_json::Map<String, serde_json::Value>, serde_json::Error> {
                let (kind, mut fields) = match self {
                    $(Self::$variant(body) => ($text, $crate::control::model::fields::Body::to_fields(body)?),)+
                    Self::Other(body) => return Ok((**body).clone()),
                };
                fields.insert($tag.to_owned(), kind.into());
                Ok(fields)
            }
        }

        $crate::control::model::wire::as_its_fields!($name);
    };
}

pub(super) use {as_its_fields, by_kind, name, wire};

/// What `body` reads as, once it has been seen to be written the same again.
#[cfg(test)]
pub(super) fn same<T: serde::de::DeserializeOwned + serde::Serialize>(body: &serde_json::Value) -> T {
    let read: T = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), *body);
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::same;
    use crate::control::model::{EnableProtection, Fabric};

    proptest! {
        #[test]
        fn any_kind_and_any_field_of_it_survive(
            kind in "VMwareV2|InMageRcm|HyperVSite|\\PC*",
            field in "[a-z]{1,12}X",
            word in "\\PC*",
        ) {
            let details = json!({ "instanceType": &kind, &field: { "deep": [&word, null, 1.5] } });
            let fabric = same::<Fabric>(&json!({ "properties": { "customDetails": details } }));
            let details = fabric.properties.custom_details.unwrap();
            prop_assert_eq!(details.kind(), Some(kind.as_str()));
        }

        #[test]
        fn unknown_words_survive_deep_in_a_request(word in "\\PC*", kind in "HyperVReplicaAzure|InMageRcm|A2A") {
            let profile = json!({ "targetVmSecurityType": &word, "targetVmTpm": &word });
            let details = json!({ "instanceType": kind, "licenseType": &word, "targetVmSecurityProfile": profile });
            same::<EnableProtection>(&json!({ "properties": { "providerSpecificDetails": details } }));
        }
    }
}
