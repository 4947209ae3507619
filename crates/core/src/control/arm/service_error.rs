//! What the service says of a failure, as data and fit to be shown.
//!
//! An error of Azure Resource Manager is `{"error": {"code", "message", "target", "details": […],
//! "additionalInfo": […]}}`; older services leave out the envelope, begin their fields with capitals, or put the
//! message into an object of its own. Details nest; what matters is often the innermost of them.
//!
//! Source: Azure REST API guidelines, "Handling errors" (v3), and common-types/resource-management/v5 of the
//! published contracts.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::azure_answer::Redactor;
use crate::control::ArmId;

/// How deep details are followed.
const MAX_DEPTH: usize = 8;

/// How many details of one error are kept.
const MAX_DETAILS: usize = 32;

/// How long a code or a target is kept.
const MAX_NAME: usize = 200;

/// What the service says of a failure. Texts are cut to a length that a log bears and hold no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceError {
    /// The service's code; empty if it gave none.
    pub code: String,
    /// Its words; empty if it gave none.
    pub message: String,
    /// What of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What lies behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ServiceError>,
    /// What else it says, by type: which policy refused, for example. Texts in it hold no secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_info: Vec<Value>,
    /// The id by which Azure's support finds the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What a caller may not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingPermission {
    /// The action: `Microsoft.Network/privateEndpoints/write`.
    pub action: String,
    /// Where it is needed.
    pub scope: ArmId,
}

impl ServiceError {
    /// The error in this answer; none if it says nothing that can be understood as one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        Self::within(&serde_json::from_slice(body).ok()?)
    }

    /// The error in this value: its `error`, or else itself.
    pub(super) fn within(value: &Value) -> Option<Self> {
        let inner = field(value, "error").or_else(|| field(value, "odata.error"));
        Some(Self::of(inner.unwrap_or(value), 0)).filter(|error| !error.says_nothing())
    }

    fn of(value: &Value, depth: usize) -> Self {
        // `"error": "invalid_token"` is also seen.
        if let Value::String(words) = value {
            return Self { message: clean(words), ..Self::default() };
        }
        let name = |of| field(value, of).and_then(text).map(|text| short(&clean(text)));
        let list = |of| field(value, of).and_then(Value::as_array).into_iter().flatten().take(MAX_DETAILS);
        let details = if depth < MAX_DEPTH {
            list("details").map(|detail| Self::of(detail, depth + 1)).filter(|detail| !detail.says_nothing()).collect()
        } else {
            Vec::new()
        };
        Self {
            code: name("code").unwrap_or_default(),
            message: field(value, "message").and_then(text).map(clean).unwrap_or_default(),
            target: name("target"),
            details,
            additional_info: list("additionalInfo").map(|info| cleaned(info, 0)).collect(),
            request_id: None,
        }
    }

    fn says_nothing(&self) -> bool {
        self.code.is_empty() && self.message.is_empty() && self.details.is_empty()
    }

    /// This error and all behind it, outer ones first.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(next.details.iter().rev());
            Some(next)
        })
    }

    /// Whether this error or one behind it has that code, without regard to case.
    pub fn has_code(&self, code: &str) -> bool {
        self.chain().any(|error| error.code.eq_ignore_ascii_case(code))
    }

    /// The permission that the service says is missing.
    pub fn missing_permission(&self) -> Option<MissingPermission> {
        self.chain().find_map(|error| missing_permission(&error.message))
    }
}

impl fmt::Display for ServiceError {
    /// `code: message`, then the same of each detail that says something new.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Vec<&str> = Vec::new();
        for error in self.chain() {
            let words = if error.message.is_empty() { &error.code } else { &error.message };
            if words.is_empty() || told.contains(&words.as_str()) {
                continue;
            }
            f.write_str(if told.is_empty() { "" } else { "; " })?;
            if !error.code.is_empty() && !words.contains(&error.code) {
                write!(f, "{}: ", error.code)?;
            }
            f.write_str(words.trim_end_matches('.'))?;
            told.push(words);
        }
        match &self.request_id {
            Some(id) if told.is_empty() => write!(f, "request {id}"),
            Some(id) => write!(f, ", request {id}"),
            None => Ok(()),
        }
    }
}

/// A field, whether its name begins with a small letter or a capital.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// A text, or the one in `{"lang": …, "value": …}`.
fn text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| field(value, "value")?.as_str())
}

fn short(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

pub(super) fn clean(text: &str) -> String {
    Redactor::new([]).clean(text)
}

fn cleaned(value: &Value, depth: usize) -> Value {
    match value {
        _ if depth > MAX_DEPTH => Value::Null,
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => items.iter().take(MAX_DETAILS).map(|item| cleaned(item, depth + 1)).collect(),
        Value::Object(fields) => {
            fields.iter().take(MAX_DETAILS).map(|(name, value)| (short(name), cleaned(value, depth + 1))).collect()
        }
        other => other.clone(),
    }
}

/// From `… does not have authorization to perform action 'A' over scope 'S' or the scope is invalid. …` and
/// `… does not have permission to perform action(s) 'A' on the linked scope(s) 'S' …`.
fn missing_permission(message: &str) -> Option<MissingPermission> {
    let (_, rest) = message.split_once("does not have ")?;
    let (_, rest) = rest.split_once("perform action")?;
    let (_, rest) = rest.split_once('\'')?;
    let (action, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("scope")?;
    let (_, rest) = rest.split_once('\'')?;
    let (scope, _) = rest.split_once('\'')?;
    Some(MissingPermission { action: action.to_owned(), scope: ArmId::new(scope) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> ServiceError {
        ServiceError::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn nested_details_are_kept_and_told_once() {
        let error = read(&json!({"error": {
            "code": "DeploymentFailed", "message": "At least one operation failed.", "target": "pe1",
            "details": [
                {"code": "Conflict", "message": "At least one operation failed."},
                {"code": "SubnetFull", "message": "No address left.", "details": [{"code": "Inner", "message": ""}]},
            ],
            "additionalInfo": [{"type": "PolicyViolation", "info": {"policy": "deny"}}],
        }}));
        assert_eq!(error.target.as_deref(), Some("pe1"));
        assert_eq!(error.additional_info[0]["info"]["policy"], "deny");
        assert!(error.has_code("subnetfull") && error.has_code("Inner"));
        assert_eq!(
            error.to_string(),
            "DeploymentFailed: At least one operation failed; SubnetFull: No address left; Inner"
        );
    }

    #[test]
    fn older_shapes_are_understood() {
        assert_eq!(read(&json!({"Code": "Busy", "Message": "wait"})).to_string(), "Busy: wait");
        assert_eq!(read(&json!({"error": "invalid_token"})).to_string(), "invalid_token");
        let odata = read(&json!({"odata.error": {"code": "Bad", "message": {"lang": "en", "value": "no"}}}));
        assert_eq!(odata.to_string(), "Bad: no");
        let too_deep = "[".repeat(1 << 20);
        for nothing in ["<html>", "{}", "[1]", "{\"error\":{}}", "{\"error\":nu", &too_deep] {
            assert_eq!(ServiceError::read(nothing.as_bytes()), None);
        }
    }

    #[test]
    fn the_missing_permission_is_found() {
        let refused = |message: &str| {
            read(&json!({"error": {"code": "AuthorizationFailed", "message": message}})).missing_permission()
        };
        let missing = refused(
            "The client 'a@b.c' with object id 'o' does not have authorization to perform action \
             'Microsoft.Network/privateEndpoints/write' over scope '/subscriptions/s/resourceGroups/g' or the scope \
             is invalid. If access was recently granted, please refresh your credentials.",
        );
        let (action, scope) = ("Microsoft.Network/privateEndpoints/write", "/subscriptions/S/resourcegroups/g");
        assert_eq!(missing, Some(MissingPermission { action: action.into(), scope: scope.into() }));
        let linked = refused(
            "The client has permission to perform action 'Microsoft.Compute/disks/write' on scope '/a/b'; however, \
             it does not have permission to perform action(s) 'Microsoft.Compute/diskEncryptionSets/read' on the \
             linked scope(s) '/subscriptions/s' (respectively) or the linked scope(s) are invalid.",
        );
        assert_eq!(linked.unwrap().action, "Microsoft.Compute/diskEncryptionSets/read");
        assert_eq!(refused("no"), None);
    }

    #[test]
    fn no_secret_is_kept() {
        let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.canary";
        let error = read(&json!({"error": {
            "code": "Bearer canary", "message": format!("sig=canary and {token}"), "target": "sig=canary",
            "details": [{"code": "x", "message": "client_secret=canary"}],
            "additionalInfo": [{"info": ["password=canary", {"a": token}]}],
        }}));
        assert!(!format!("{error} {error:?} {}", serde_json::to_string(&error).unwrap()).contains("canary"));
    }

    #[test]
    fn depth_and_width_are_bounded() {
        let mut deep = json!({"code": "last"});
        for _ in 0..50 {
            deep = json!({"code": "c", "details": vec![deep; 1], "additionalInfo": [{"a": 1}]});
        }
        assert_eq!(read(&deep).chain().count(), MAX_DEPTH + 1);
        let wide = json!({"code": "c", "details": vec![json!({"code": "d"}); 1000]});
        assert_eq!(read(&wide).details.len(), MAX_DETAILS);
    }

    /// JSON of any form, with the fields that errors have, also where they do not belong.
    fn bodies() -> impl Strategy<Value = Value> {
        let names = prop::sample::select(
            &[
                "error",
                "Error",
                "odata.error",
                "code",
                "Message",
                "message",
                "target",
                "details",
                "additionalInfo",
                "value",
            ][..],
        );
        let pieces = prop::sample::select(
            &["does not have ", "perform action", "action(s)", "'", "''", "scope", "\n\u{7}", "sig=", "eyJ", "ü", "x"]
                [..],
        );
        let words = prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat());
        let leaf = prop_oneof![
            4 => words.prop_map(Value::from),
            2 => "\\PC{0,600}".prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => Just(Value::Null),
        ];
        leaf.prop_recursive(12, 96, 6, move |inner| {
            prop_oneof![
                3 => prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner.clone(), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
                1 => prop::collection::vec(inner, 0..40).prop_map(Value::Array),
            ]
        })
    }

    /// What holds of every error that is read, whatever it was read of.
    fn check(error: &ServiceError) -> Result<(), TestCaseError> {
        let mut shown = vec![error.to_string()];
        for error in error.chain() {
            prop_assert!(error.code.chars().count() <= MAX_NAME && error.message.chars().count() <= 401);
            prop_assert!(error.details.len() <= MAX_DETAILS && error.additional_info.len() <= MAX_DETAILS);
            shown.extend([error.code.clone(), error.message.clone()]);
        }
        if let Some(missing) = error.missing_permission() {
            shown.extend([missing.action, missing.scope.to_string()]);
        }
        prop_assert!(!shown.iter().any(|text| text.contains(char::is_control)), "{:?}", shown);
        let kept = serde_json::to_vec(error).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<ServiceError>(&kept).unwrap(), error);
        Ok(())
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(error) = ServiceError::read(&body) {
                check(&error)?;
            }
        }

        #[test]
        fn no_json_breaks_the_reader(body in bodies()) {
            for body in [&body, &json!({"error": body})] {
                if let Some(error) = ServiceError::within(body) {
                    check(&error)?;
                }
            }
        }

        #[test]
        fn no_damage_of_a_body_breaks_the_reader(
            body in bodies(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<bool>(),
        ) {
            let mut body = json!({"error": body}).to_string().into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            body.truncate(if cut { at } else { usize::MAX });
            if let Some(error) = ServiceError::read(&body) {
                check(&error)?;
            }
        }
    }
}
