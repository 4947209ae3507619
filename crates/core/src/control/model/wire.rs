//! How a body is declared.

/// Declares bodies: each field is an `Option` that is left out where there is none, spelled in camel case unless a
/// `#[serde(rename)]` says otherwise; what is not declared is kept in `extra`.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            /// Everything else that the service said.
            #[serde(flatten)]
            pub extra: $crate::control::model::Extra,
        }
    )+};
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
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(tag = $tag)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a body has one of them, and a box would be in everybody's way")]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant($type),)+
            /// Of a kind that is not known here.
            #[serde(untagged)]
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

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;

                // Not serde's own: with a variant for the rest it would take a body of a known kind with a wrong
                // field for one of an unknown kind, and hide the error.
                let mut body = serde_json::Map::<String, serde_json::Value>::deserialize(deserializer)?;
                let kind = body.get($tag).and_then(serde_json::Value::as_str).map(str::to_owned);
                match kind.as_deref() {
                    $(Some($text) => {
                        body.remove($tag);
                        serde_json::from_value(serde_json::Value::Object(body)).map(Self::$variant).map_err(D::Error::custom)
                    })+
                    _ => Ok(Self::Other(body.into())),
                }
            }
        }
    };
}

pub(super) use {by_kind, wire};

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
