//! What is kept of an operation that goes on.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::control::ArmId;
use crate::secret::redacted_url;

/// What is needed to wait for an operation, also after a crash: to be written down before the first look. Its URLs
/// are of use to the identity only that began it, but may be signed, so they are not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    pub(super) operation: String,
    pub(super) id: ArmId,
    pub(super) api_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
}

impl Tracking {
    /// The operation's name.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The id that it was asked with.
    pub fn id(&self) -> &ArmId {
        &self.id
    }

    /// Where the status of the operation is; none if the operation is known by a location or by its resource.
    pub fn status_url(&self) -> Option<&str> {
        self.status_url.as_deref()
    }

    /// The name of Site Recovery's job that the operation is; none for operations of other services.
    ///
    /// Source: the cmdlets of Az.Migrate, which read `replicationJobs/{name}` by it.
    pub fn job_name(&self) -> Option<&str> {
        let of_jobs = ["replicationOperationStatus", "replicationJobs"];
        [&self.status_url, &self.location].into_iter().flatten().find_map(|url| {
            let path = url.split(['?', '#']).next()?;
            let mut segments =
                path.split('/').skip_while(|segment| !of_jobs.iter().any(|s| s.eq_ignore_ascii_case(segment)));
            segments.nth(1).filter(|name| !name.is_empty())
        })
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| {
            url.as_ref().map(|url| Url::parse(url).map_or_else(|_| "***".into(), |url| redacted_url(&url)))
        };
        f.debug_struct("Tracking")
            .field("operation", &self.operation)
            .field("id", &self.id)
            .field("api_version", &self.api_version)
            .field("status_url", &shown(&self.status_url))
            .field("location", &shown(&self.location))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tracking(status_url: Option<&str>, location: Option<&str>) -> Tracking {
        Tracking {
            operation: "ReplicationMigrationItems_Migrate".to_owned(),
            id: ArmId::of_subscription("s"),
            api_version: "2024-04-01".to_owned(),
            status_url: status_url.map(str::to_owned),
            location: location.map(str::to_owned),
        }
    }

    #[test]
    fn the_job_is_named_by_the_status_or_else_by_the_location() {
        let vault = "https://management.azure.com/Subscriptions/s/resourceGroups/g/providers/\
                     Microsoft.RecoveryServices/vaults/v";
        let status = format!("{vault}/replicationoperationstatus/job-7?api-version=2024-04-01");
        let location = format!("{vault}/replicationJobs/job-8/operationresults/job-8?api-version=2024-04-01");
        assert_eq!(tracking(Some(&status), Some(&location)).job_name(), Some("job-7"));
        assert_eq!(tracking(None, Some(&location)).job_name(), Some("job-8"));
        for other in [
            "https://a/operations/x",
            "https://a/replicationJobs",
            "https://a/replicationJobs/",
            "",
            "https://a/x?replicationJobs/y",
        ] {
            assert_eq!(tracking(Some(other), None).job_name(), None, "{other}");
        }
    }

    #[test]
    fn what_is_kept_is_not_printed_with_its_signature() {
        let kept = tracking(Some("https://a/x?t=canary"), Some("no url, canary"));
        assert!(!format!("{kept:?}").contains("canary"), "{kept:?}");
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Tracking>(&json).unwrap(), kept);
    }

    /// URLs, and texts that are nearly such.
    fn urls() -> impl Strategy<Value = Option<String>> {
        let pieces = prop::sample::select(
            &[
                "https:",
                "//",
                "/",
                "a@",
                ":",
                "[",
                "]",
                "/replicationJobs/",
                "replicationOperationStatus/",
                "#",
                "%",
                "ü",
                "x",
            ][..],
        );
        let nearly = prop::collection::vec(pieces, 0..10).prop_map(|pieces| pieces.concat());
        prop::option::of(prop_oneof![nearly, "\\PC{0,40}"])
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(kept) = serde_json::from_slice::<Tracking>(&bytes) {
                let _ = (kept.job_name(), format!("{kept:?}"));
            }
        }

        #[test]
        fn no_damage_of_what_is_kept_breaks_its_reader(
            (status_url, location) in (urls(), urls()),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let kept = tracking(status_url.as_deref(), location.as_deref());
            let mut bytes = serde_json::to_vec(&kept).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Tracking>(&bytes).unwrap(), &kept);

            let at = at.index(bytes.len());
            let cut = serde_json::from_slice::<Tracking>(&bytes[..at]);
            prop_assert!(cut.is_err(), "{:?}", cut);
            bytes[at] = byte;
            if let Ok(kept) = serde_json::from_slice::<Tracking>(&bytes) {
                let job = kept.job_name();
                prop_assert!(job.is_none_or(|job| !job.is_empty() && !job.contains(['/', '?', '#'])), "{:?}", job);
            }
        }

        #[test]
        fn what_follows_a_question_mark_is_never_printed(status_url in urls(), location in urls()) {
            let signed = |url: Option<String>| url.map(|url| format!("{url}?t=canary"));
            let kept = tracking(signed(status_url).as_deref(), signed(location).as_deref());
            prop_assert!(!format!("{kept:?}").contains("canary"), "{:?}", kept);
        }
    }
}
