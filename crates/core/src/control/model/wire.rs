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

pub(super) use wire;
