//! Points of time that a machine can be made from.
//!
//! Source: Azure REST API specification, Site Recovery, `service.json` (2024-04-01).

use super::resource::Resource;
use super::scalar::Stamp;
use super::wire::wire;
use crate::control::open_enum::open_enum;

/// A point of time of a migration item (`migrationRecoveryPoints`) or of a protected item (`recoveryPoints`). It is
/// not a recovery point of this library's own replicas.
pub type ServiceRecoveryPoint = Resource<ServiceRecoveryPointProperties>;

open_enum! {
    /// What a point of time is fit for. Protected items have a plain text in the specification.
    pub enum RecoveryPointType {
        /// Nobody says.
        NotSpecified,
        /// Applications had agreed to it.
        ApplicationConsistent,
        /// As if the power had failed.
        CrashConsistent,
    }
}

wire! {
    /// The properties of a [`ServiceRecoveryPoint`].
    pub struct ServiceRecoveryPointProperties {
        /// When.
        recovery_point_time: Stamp,
        /// What it is fit for.
        recovery_point_type: RecoveryPointType,
    }
}

/// The latest of `points`; those without a time are passed over.
pub fn latest(points: &[ServiceRecoveryPoint]) -> Option<&ServiceRecoveryPoint> {
    let timed = points.iter().filter_map(|point| Some((point.properties.recovery_point_time.as_ref()?.at()?, point)));
    timed.max_by_key(|(at, _)| *at).map(|(_, point)| point)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn the_latest_point_is_the_one_of_the_latest_time() {
        let point = |name: &str, time: &str| {
            same::<ServiceRecoveryPoint>(&json!({ "name": name, "properties": {
                "recoveryPointTime": time, "recoveryPointType": "CrashConsistent", "providerSpecificDetails": { "instanceType": "InMageRcm" },
            }}))
        };
        let points = [
            point("early", "2026-11-25T07:00:00.9Z"),
            point("late", "2026-11-25T08:00:00Z"),
            point("odd", "yesterday"),
        ];
        assert_eq!(latest(&points).unwrap().name.as_deref(), Some("late"));
        assert_eq!(latest(&points[2..]), None);
    }
}
