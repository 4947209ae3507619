//! The envelope that all resources of Azure Resource Manager share.
//!
//! Source: Azure REST API specification, common types of resource management (v5, `types.json`).

use std::collections::BTreeMap;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::{Error, Map, Value};

use super::fields::{Reader, Writer};
use super::scalar::Extra;
use super::wire::{name, wire};
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A resource, or a part of one that has an id and a name, with properties of its own kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource<P> {
    /// The id.
    pub id: Option<ArmId>,
    /// The name in its parent.
    pub name: Option<String>,
    /// The type: `Microsoft.Storage/storageAccounts`.
    pub resource_type: Option<String>,
    /// The region.
    pub location: Option<String>,
    /// Names and values that the owner gave it.
    pub tags: Option<BTreeMap<String, String>>,
    /// Changes with the resource, for `If-Match`.
    pub etag: Option<String>,
    /// What is paid for.
    pub sku: Option<Sku>,
    /// A variety of the type.
    pub kind: Option<String>,
    /// The identity of the resource itself.
    pub identity: Option<Identity>,
    /// The availability zones that it is in.
    pub zones: Option<Vec<String>>,
    /// What its type has of its own. Left out where it is empty.
    pub properties: P,
    /// Everything else that the service said.
    pub extra: Extra,
}

impl<P: Default + DeserializeOwned> Resource<P> {
    fn from_fields(fields: Map<String, Value>) -> Result<Self, Error> {
        let mut fields = Reader::new(fields);
        Ok(Self {
            id: fields.take(name!(id)),
            name: fields.take(name!(name)),
            resource_type: fields.take(name!(resource_type = "type")),
            location: fields.take(name!(location)),
            tags: fields.take(name!(tags)),
            etag: fields.take(name!(etag)),
            sku: fields.take(name!(sku)),
            kind: fields.take(name!(kind)),
            identity: fields.take(name!(identity)),
            zones: fields.take(name!(zones)),
            properties: fields.take(name!(properties)).unwrap_or_default(),
            extra: fields.rest()?,
        })
    }
}

impl<P: Default + PartialEq + Serialize> Resource<P> {
    fn to_fields(&self) -> Result<Map<String, Value>, Error> {
        let Self { id, name, resource_type, location, tags, etag, sku, kind, identity, zones, properties, extra } =
            self;
        let mut fields = Writer::default();
        fields.put(name!(id), id.as_ref());
        fields.put(name!(name), name.as_ref());
        fields.put(name!(resource_type = "type"), resource_type.as_ref());
        fields.put(name!(location), location.as_ref());
        fields.put(name!(tags), tags.as_ref());
        fields.put(name!(etag), etag.as_ref());
        fields.put(name!(sku), sku.as_ref());
        fields.put(name!(kind), kind.as_ref());
        fields.put(name!(identity), identity.as_ref());
        fields.put(name!(zones), zones.as_ref());
        fields.put(name!(properties), Some(properties).filter(|told| **told != P::default()));
        fields.and(extra)
    }
}

impl<'de, P: Default + DeserializeOwned> Deserialize<'de> for Resource<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_fields(Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<P: Default + PartialEq + Serialize> Serialize for Resource<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_fields().map_err(ser::Error::custom)?.serialize(serializer)
    }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on this page. Left out by some services where nothing is.
    pub value: Vec<T>,
    /// The URL of the next page; none, or empty, on the last one.
    pub next_link: Option<String>,
    /// Everything else that the service said.
    pub extra: Extra,
}

impl<T: DeserializeOwned> Page<T> {
    fn from_fields(fields: Map<String, Value>) -> Result<Self, Error> {
        let mut fields = Reader::new(fields);
        Ok(Self {
            value: fields.take(name!(value)).unwrap_or_default(),
            next_link: fields.take(name!(next_link)),
            extra: fields.rest()?,
        })
    }
}

impl<T: Serialize> Page<T> {
    fn to_fields(&self) -> Result<Map<String, Value>, Error> {
        let Self { value, next_link, extra } = self;
        let mut fields = Writer::default();
        fields.put(name!(value), Some(value));
        fields.put(name!(next_link), next_link.as_ref());
        fields.and(extra)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Page<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_fields(Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<T: Serialize> Serialize for Page<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_fields().map_err(ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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
