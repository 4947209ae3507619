//! The envelope that all resources of Azure Resource Manager share.
//!
//! Source: Azure REST API specification, common types of resource management (v5, `types.json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::scalar::Extra;
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A resource, or a part of one that has an id and a name, with properties of its own kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(serialize = "P: Serialize + Default + PartialEq", deserialize = "P: Deserialize<'de> + Default")
)]
pub struct Resource<P> {
    /// The id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ArmId>,
    /// The name in its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type: `Microsoft.Storage/storageAccounts`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Names and values that the owner gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Changes with the resource, for `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// What is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// A variety of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The identity of the resource itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The availability zones that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// What its type has of its own. Left out where it is empty.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub properties: P,
    /// Everything else that the service said.
    #[serde(flatten)]
    pub extra: Extra,
}

impl<P: Default> Resource<P> {
    /// A body with these properties and nothing else yet.
    pub fn new(properties: P) -> Self {
        Self { properties, ..Self::default() }
    }

    /// The same, in that region.
    #[must_use]
    pub fn in_location(self, location: impl Into<String>) -> Self {
        Self { location: Some(location.into()), ..self }
    }

    /// What to send in `If-Match`, where the service said it; some spell the field `eTag`.
    pub fn entity_tag(&self) -> Option<&str> {
        self.etag.as_deref().or_else(|| self.extra.get("eTag")?.as_str())
    }

    /// The same, with that name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

wire! {
    /// What is paid for.
    pub struct Sku {
        /// The name: `Standard_LRS`, `RS0`.
        name: String,
        /// The tier: `Standard`, `Premium`.
        tier: String,
    }

    /// The identity of a resource in Microsoft Entra ID.
    pub struct Identity {
        /// `SystemAssigned`, `UserAssigned`, both with a comma, or `None`.
        #[serde(rename = "type")]
        identity_type: String,
        /// The object id of the service principal of the system-assigned identity: whom roles are granted to.
        principal_id: String,
        /// The directory that it is in.
        tenant_id: String,
    }

    /// A reference to a resource.
    pub struct ResourceRef {
        /// The id.
        id: ArmId,
    }
}

impl Identity {
    /// An identity that Azure makes and removes with the resource.
    pub fn system_assigned() -> Self {
        Self { identity_type: Some("SystemAssigned".to_owned()), ..Self::default() }
    }

    /// Whether the resource has an identity that Azure made for it.
    pub fn is_system_assigned(&self) -> bool {
        let kinds = self.identity_type.as_deref().unwrap_or_default();
        kinds.split(',').any(|kind| kind.trim().eq_ignore_ascii_case("SystemAssigned"))
    }
}

impl From<ArmId> for ResourceRef {
    fn from(id: ArmId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }
}

open_enum! {
    /// Whether a resource is reached at its public endpoint.
    pub enum PublicNetworkAccess {
        /// Nobody chose.
        NotSpecified,
        /// It is.
        Enabled,
        /// Private endpoints only.
        Disabled,
        /// As a network security perimeter says.
        SecuredByPerimeter,
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Page<T> {
    /// What is on this page. Left out by some services where nothing is.
    #[serde(default = "Vec::new", deserialize_with = "null_is_default")]
    pub value: Vec<T>,
    /// The URL of the next page; none, or empty, on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
    /// Everything else that the service said.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The default for `null`, which some services write for what is not there.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_default<P: Default + PartialEq>(properties: &P) -> bool {
    *properties == P::default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::control::model::{StorageAccount, VaultProperties};

    #[test]
    fn null_says_nothing_and_an_empty_text_stays_one() {
        let told = json!({ "id": "", "name": null, "tags": null, "properties": null, "location": "" });
        let read: Resource<VaultProperties> = serde_json::from_value(told).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json!({ "id": "", "location": "" }));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error_that_names_it() {
        let error = serde_json::from_value::<Resource<VaultProperties>>(json!({ "tags": 7 })).unwrap_err();
        assert!(error.to_string().contains("expected a map"), "{error}");
    }

    #[test]
    fn a_page_may_have_neither_values_nor_a_next_one() {
        let last: Page<Sku> = serde_json::from_value(json!({ "value": null, "nextLink": null })).unwrap();
        assert_eq!((last.value.len(), last.next_link), (0, None));
    }

    #[test]
    fn an_identity_may_be_of_both_kinds() {
        let both = Identity { identity_type: Some("UserAssigned, SystemAssigned".into()), ..Default::default() };
        assert!(both.is_system_assigned() && Identity::system_assigned().is_system_assigned());
        assert!(!Identity::default().is_system_assigned());
    }

    proptest! {
        #[test]
        fn unknown_fields_and_words_survive(field in "[a-z]{1,12}X", word in "\\PC*", at_the_top in any::<bool>()) {
            let mut body = json!({
                "kind": &word, "sku": { "name": &word },
                "properties": { "publicNetworkAccess": &word, "networkAcls": { "defaultAction": &word } },
            });
            let place = if at_the_top { &mut body } else { &mut body["properties"]["networkAcls"] };
            place[field.as_str()] = json!({ "deep": [word, 1, null] });
            let read: StorageAccount = serde_json::from_value(body.clone()).unwrap();
            prop_assert_eq!(serde_json::to_value(read).unwrap(), body);
        }

        #[test]
        fn no_object_makes_reading_panic(name in "id|tags|sku|properties|zones|identity", number in any::<i64>()) {
            let body: Map<String, Value> = [(name, json!(number))].into_iter().collect();
            prop_assert!(serde_json::from_value::<StorageAccount>(Value::Object(body)).is_err());
        }
    }
}
