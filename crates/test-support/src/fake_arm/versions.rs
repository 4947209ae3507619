//! Which api-versions each service knows.
//!
//! The versions of the published contracts that the fake was written after, and those that Microsoft's current
//! clients send by themselves (Python, read 2026-11). The real service knows more.

use super::answer::ArmError;
use super::request::Request;

/// By namespace or, where a type has its own, by the beginning of the kind; the longest that fits counts.
const VERSIONS: &[(&str, &[&str])] = &[
    ("resourcegroups", &["2021-04-01", "2022-09-01", "2024-03-01", "2025-04-01"]),
    ("subscriptions", &["2020-01-01", "2021-04-01", "2022-12-01"]),
    ("microsoft.authorization", &["2022-04-01"]),
    ("microsoft.compute", &["2024-03-01", "2024-07-01", "2025-04-01"]),
    ("microsoft.compute/skus", &["2021-07-01"]),
    ("microsoft.compute/disks", &["2023-10-02", "2024-03-02", "2025-01-02"]),
    ("microsoft.compute/diskaccesses", &["2023-10-02", "2024-03-02", "2025-01-02"]),
    ("microsoft.compute/diskencryptionsets", &["2023-10-02", "2024-03-02", "2025-01-02"]),
    ("microsoft.migrate", &["2020-05-01", "2023-01-01"]),
    ("microsoft.network", &["2023-11-01", "2024-01-01", "2025-05-01"]),
    ("microsoft.network/privatednszones", &["2020-06-01", "2024-06-01"]),
    ("microsoft.offazure", &["2020-07-07", "2023-06-06"]),
    ("microsoft.recoveryservices", &["2024-04-01", "2025-08-01", "2026-11-01"]),
    ("microsoft.storage", &["2023-05-01", "2024-01-01", "2026-09-01"]),
];

/// That the request says a version, and one that is known.
pub(crate) fn check(request: &Request) -> Result<(), ArmError> {
    let version = request.api_version();
    if version.is_empty() {
        return Err(ArmError::bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    // A collection has the versions of what is in it.
    let place = &request.place;
    let kind = match &place.rest {
        Some(rest) if !place.kind.contains('/') => format!("{}/{}", place.kind, rest.to_ascii_lowercase()),
        _ => place.kind.clone(),
    };
    let known = VERSIONS
        .iter()
        .filter(|(prefix, _)| kind == *prefix || kind.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')))
        .max_by_key(|(prefix, _)| prefix.len());
    let Some((_, versions)) = known else {
        return Err(ArmError::new(
            404,
            "InvalidResourceNamespace",
            format!("The resource namespace of '{}' is invalid.", place.kind),
        ));
    };
    if versions.contains(&version) {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for API version '{version}' for type '{kind}'. The supported api-versions are '{}'.",
            versions.join(", ")
        ),
    ))
}
