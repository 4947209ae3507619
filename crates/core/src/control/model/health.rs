//! What Site Recovery finds wrong with an item, a fabric or a provider.
//!
//! Source: Azure REST API specification, Site Recovery, `service.json` (2024-04-01).

use super::scalar::Stamp;
use super::wire::wire;

wire! {
    /// Something that is wrong, as the service says it.
    pub struct HealthError {
        /// The number of the error.
        error_code: String,
        /// What is wrong, in a line.
        summary_message: String,
        /// What is wrong, at length.
        error_message: String,
        /// Why that may be.
        possible_causes: String,
        /// What to do.
        recommended_action: String,
        /// `Error`, `Warning`, `Information`.
        error_level: String,
        /// Who noticed.
        error_source: String,
        /// The kind of error.
        error_type: String,
        /// The group of errors.
        error_category: String,
        /// What it is about.
        entity_id: String,
        /// Its own id, for marking it as solved.
        error_id: String,
        /// When it was noticed.
        creation_time_utc: Stamp,
        /// `Allowed` where the owner may mark it as solved.
        customer_resolvability: String,
        /// What caused it.
        inner_health_errors: Vec<HealthError>,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_keeps_what_caused_it() {
        let body = json!({
            "errorCode": "539", "errorMessage": "The requested action couldn't be performed.", "entityId": "",
            "creationTimeUtc": "2017-05-17T12:32:45.1234567Z", "new": 1,
            "innerHealthErrors": [{ "errorCode": "1", "customerResolvability": "NotAllowed" }],
        });
        let error: HealthError = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(error).unwrap(), body);
    }
}
