//! How a body is read and written: its fields, taken and put by name.
//!
//! Not serde's own `derive` with `flatten`: that makes code for each body once more for each format and each body
//! around it, and there are two hundred bodies. Here all of them go through a map of JSON, and little of the code
//! is made more than once.

use std::borrow::Cow;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::{Error, Map, Value};

use super::scalar::Extra;

/// What is read from the fields of an object, and written as them.
pub(in crate::control) trait Body: Sized {
    /// The body with these fields.
    ///
    /// # Errors
    ///
    /// Which field holds a value of the wrong kind.
    fn from_fields(fields: Map<String, Value>) -> Result<Self, Error>;

    /// The fields of the body.
    ///
    /// # Errors
    ///
    /// Which field cannot be written.
    fn to_fields(&self) -> Result<Map<String, Value>, Error>;
}

/// `Deserialize` of a body.
pub(in crate::control) fn read<'de, B: Body, D: Deserializer<'de>>(deserializer: D) -> Result<B, D::Error> {
    B::from_fields(Map::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// `Serialize` of a body.
pub(in crate::control) fn write<B: Body, S: Serializer>(body: &B, serializer: S) -> Result<S::Ok, S::Error> {
    body.to_fields().map_err(ser::Error::custom)?.serialize(serializer)
}

/// How a field is called in JSON.
#[derive(Clone, Copy)]
pub(in crate::control) enum Name {
    /// As this field of Rust, in camel case.
    Of(&'static str),
    /// So.
    Spelled(&'static str),
}

impl Name {
    fn spelled(self) -> Cow<'static, str> {
        match self {
            Self::Of(field) if field.contains('_') => camel_case(field).into(),
            Self::Of(name) | Self::Spelled(name) => name.into(),
        }
    }
}

fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let mut spelled = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        spelled.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        spelled.push_str(letters.as_str());
    }
    spelled
}

/// The fields of a body that is read. The first error is told at the end.
pub(in crate::control) struct Reader {
    fields: Map<String, Value>,
    wrong: Option<Error>,
}

impl Reader {
    pub(in crate::control) fn new(fields: Map<String, Value>) -> Self {
        Self { fields, wrong: None }
    }

    /// The value of a field; none where it is left out or `null`.
    pub(in crate::control) fn take<T: DeserializeOwned>(&mut self, name: Name) -> Option<T> {
        T::deserialize(self.told(name)?).map_err(|error| self.is_wrong(name, &error)).ok()
    }

    fn told(&mut self, name: Name) -> Option<Value> {
        self.fields.remove(&*name.spelled()).filter(|value| !value.is_null())
    }

    fn is_wrong(&mut self, name: Name, error: &Error) {
        self.wrong.get_or_insert_with(|| in_field(name, error));
    }

    /// What nobody took.
    ///
    /// # Errors
    ///
    /// Which field holds a value of the wrong kind.
    pub(in crate::control) fn rest(self) -> Result<Extra, Error> {
        self.wrong.map_or_else(|| Ok(self.fields.into()), Err)
    }
}

/// The fields of a body that is written. The first error is told at the end.
#[derive(Default)]
pub(in crate::control) struct Writer {
    fields: Map<String, Value>,
    wrong: Option<Error>,
}

impl Writer {
    /// Writes a field, where there is one.
    pub(in crate::control) fn put<T: Serialize>(&mut self, name: Name, value: Option<&T>) {
        if let Some(value) = value {
            self.written(name, value.serialize(serde_json::value::Serializer));
        }
    }

    fn written(&mut self, name: Name, value: Result<Value, Error>) {
        match value {
            Ok(value) => drop(self.fields.insert(name.spelled().into_owned(), value)),
            Err(error) => {
                self.wrong.get_or_insert_with(|| in_field(name, &error));
            }
        }
    }

    /// All that was written, and the rest of the body.
    ///
    /// # Errors
    ///
    /// Which field cannot be written.
    pub(in crate::control) fn and(mut self, rest: &Extra) -> Result<Map<String, Value>, Error> {
        self.fields.extend(rest.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.wrong.map_or(Ok(self.fields), Err)
    }
}

fn in_field(name: Name, error: &Error) -> Error {
    de::Error::custom(format_args!("{}: {error}", name.spelled()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::{
        DiskProperties, Fabric, Page, PrivateEndpointConnection, Site, StorageAccount, VmwareMachine,
    };

    #[test]
    fn a_field_is_spelled_as_serde_spells_it() {
        #[derive(Default, Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Serdes {
            id: u8,
            principal_id: u8,
            disk_size_in_gb: u8,
            target_azure_v2_group: u8,
            part_2: u8,
            trailing_: u8,
        }
        let serdes = serde_json::to_value(Serdes::default()).unwrap();
        let fields = ["id", "principal_id", "disk_size_in_gb", "target_azure_v2_group", "part_2", "trailing_"];
        let ours: Map<String, Value> =
            fields.into_iter().map(|field| (Name::Of(field).spelled().into_owned(), json!(0))).collect();
        assert_eq!(Value::Object(ours), serdes);
        assert_eq!(Name::Spelled("accessSAS_as_it_is").spelled(), "accessSAS_as_it_is");
    }

    fn error_of<T: DeserializeOwned>(body: Value) -> String {
        serde_json::from_value::<T>(body).err().expect("it should not be read").to_string()
    }

    #[test]
    fn an_error_names_the_field_and_those_around_it() {
        assert_eq!(
            error_of::<StorageAccount>(json!({ "properties": { "networkAcls": { "ipRules": 7 } } })),
            "properties: networkAcls: ipRules: invalid type: integer `7`, expected a sequence"
        );
        assert_eq!(
            error_of::<Page<VmwareMachine>>(json!({ "value": [{ "properties": { "vCenterId": [] } }] })),
            "value: properties: vCenterId: invalid type: sequence, expected a string"
        );
        let kind = json!({ "instanceType": "VMwareV2", "processServers": 7 });
        assert_eq!(
            error_of::<Fabric>(json!({ "properties": { "customDetails": kind } })),
            "properties: customDetails: processServers: invalid type: integer `7`, expected a sequence"
        );
        assert_eq!(error_of::<Site>(json!([])), "invalid type: sequence, expected a map");
    }

    #[test]
    fn the_first_of_two_wrong_fields_is_told() {
        let error = error_of::<DiskProperties>(json!({ "timeCreated": 1, "diskSizeGB": "x" }));
        assert!(error.contains("diskSizeGB") != error.contains("timeCreated"), "{error}");
    }

    #[test]
    fn a_field_of_the_kind_is_not_in_the_body_and_is_written_with_it() {
        let text = r#"{"properties":{"customDetails":{"instanceType":"VMwareV2","vmwareSiteId":"/s"}}}"#;
        let fabric: Fabric = serde_json::from_str(text).unwrap();
        let crate::control::model::FabricDetails::VmwareV2(details) =
            fabric.properties.custom_details.as_ref().unwrap()
        else {
            panic!("{fabric:?}");
        };
        assert!(details.extra.is_empty());
        assert_eq!(serde_json::to_string(&fabric).unwrap(), text);
    }

    #[test]
    fn null_in_a_field_that_is_known_is_none_and_in_another_it_is_kept() {
        let body = json!({ "properties": { "linkIdentifier": null, "privateLinkServiceConnectionState": null } });
        let read: PrivateEndpointConnection = serde_json::from_value(body).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json!({ "properties": { "linkIdentifier": null } }));
    }

    #[test]
    fn a_text_that_ends_too_early_is_an_error_of_its_place() {
        let error = serde_json::from_str::<StorageAccount>("{\n\"id\": ").unwrap_err();
        assert!(error.is_eof() && error.line() == 2, "{error}");
    }
}
