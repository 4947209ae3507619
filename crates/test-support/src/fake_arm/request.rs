//! A request, as the services see it.

use std::collections::BTreeMap;

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::answer::ArmError;
use super::place::Place;

/// A request, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as they were sent.
    pub(crate) target: String,
    pub(crate) path: String,
    pub(crate) place: Place,
    /// Parameters by name in lower case.
    pub(crate) query: BTreeMap<String, String>,
    /// Headers by name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Value>,
    /// Whether there is a body that is not JSON.
    pub(crate) garbled: bool,
}

impl Request {
    pub(crate) fn read(parts: &Parts, body: &[u8]) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let path = decoded(parts.uri.path());
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name).to_ascii_lowercase(), decoded(&value.replace('+', " "))))
            .collect();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let parsed = if body.is_empty() { Ok(None) } else { serde_json::from_slice(body).map(Some) };
        Self {
            method: parts.method.as_str().to_owned(),
            target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            place: Place::of(&path),
            path,
            query,
            headers,
            garbled: parsed.is_err(),
            body: parsed.unwrap_or_default(),
        }
    }

    /// The resource that is asked for.
    pub(crate) fn id(&self) -> &str {
        &self.place.id
    }

    /// The api-version that was sent; checked before any service is asked.
    pub(crate) fn api_version(&self) -> &str {
        self.query.get("api-version").map_or("", String::as_str)
    }

    /// The body of a request that needs one.
    pub(crate) fn content(&self) -> Result<&Value, ArmError> {
        match &self.body {
            Some(body) if body.is_object() => Ok(body),
            _ => Err(ArmError::bad_request("InvalidRequestContent", "The request content is empty or is no object.")),
        }
    }

    /// What is at `pointer` in the body, if it is a text that is not empty.
    pub(crate) fn text(&self, pointer: &str) -> Result<&str, ArmError> {
        text(self.content()?, pointer)
    }
}

/// The method, and the collection or action: what a service matches on.
pub(crate) fn verb(request: &Request) -> (&str, Option<&str>) {
    (request.method.as_str(), request.place.rest.as_deref())
}

/// What is at `pointer`, if it is a text that is not empty.
pub(crate) fn text<'body>(body: &'body Value, pointer: &str) -> Result<&'body str, ArmError> {
    let found = body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| ArmError::invalid(&dotted(pointer), "is required"))
}

/// What is at `pointer`, if it is a list that is not empty.
pub(crate) fn list<'body>(body: &'body Value, pointer: &str) -> Result<&'body Vec<Value>, ArmError> {
    let found = body.pointer(pointer).and_then(Value::as_array).filter(|list| !list.is_empty());
    found.ok_or_else(|| ArmError::invalid(&dotted(pointer), "is required and needs an element"))
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}
