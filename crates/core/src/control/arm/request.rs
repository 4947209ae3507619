//! One operation asked of one id.

use std::fmt;

use azure_core::http::headers::HeaderName;
use bytes::Bytes;
use serde::Serialize;
use url::Url;

use super::error::{ArmError, Asked};
use super::operation::Operation;
use crate::control::ArmId;

/// The longest body that is sent: what the service takes at most.
///
/// Source: Microsoft Learn, "Azure subscription and service limits", Resource Manager (request body 4 MB).
const MAX_BODY: usize = 4 << 20;

/// One operation asked of one id, with what it is asked with. Made by [`Operation::on`].
#[derive(Clone)]
pub struct Request {
    operation: &'static Operation,
    id: ArmId,
    api_version: &'static str,
    query: Vec<(&'static str, String)>,
    precondition: Option<Precondition>,
    body: Option<Bytes>,
}

/// How the resource must be found for the request to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is none yet.
    Absent,
    /// It is as it was when it had this etag.
    Unchanged(String),
}

impl Request {
    pub(super) fn new(operation: &'static Operation, id: ArmId) -> Self {
        Self { operation, id, api_version: operation.api_version, query: Vec::new(), precondition: None, body: None }
    }

    /// In another version of the contract than the table has, for a body that needs it.
    #[must_use]
    pub fn at_version(self, api_version: &'static str) -> Self {
        Self { api_version, ..self }
    }

    /// With one more parameter in the query: `("$filter", "principalId eq '…'")`.
    #[must_use]
    pub fn with_query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Only if the resource is so.
    #[must_use]
    pub fn only_if(self, precondition: Precondition) -> Self {
        Self { precondition: Some(precondition), ..self }
    }

    /// With this body, as JSON.
    ///
    /// # Errors
    ///
    /// [`ArmError::BadRequest`] if it cannot be written as JSON or is longer than 4 MiB.
    pub fn with_body<B: Serialize + ?Sized>(self, body: &B) -> Result<Self, ArmError> {
        let refuse = |problem: String| ArmError::BadRequest { what: self.asked().to_string(), problem };
        let body = serde_json::to_vec(body).map_err(|error| refuse(format!("the body is no JSON: {error}")))?;
        if body.len() > MAX_BODY {
            return Err(refuse(format!("the body has {} bytes, and the service takes {MAX_BODY}", body.len())));
        }
        Ok(Self { body: Some(body.into()), ..self })
    }

    /// The operation.
    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// The id that it is asked with.
    pub fn id(&self) -> &ArmId {
        &self.id
    }

    pub(super) fn asked(&self) -> Asked {
        Asked { operation: self.operation.name, id: self.id.clone() }
    }

    /// The version of the contract.
    pub fn api_version(&self) -> &'static str {
        self.api_version
    }

    /// The body, as JSON.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Whether it may be sent again when its answer was lost. One that is bound to a condition may not: what it
    /// did itself breaks the condition.
    pub(super) fn is_repeatable(&self) -> bool {
        self.operation.is_repeatable() && self.precondition.is_none()
    }

    pub(super) fn condition(&self) -> Option<(HeaderName, &str)> {
        Some(match self.precondition.as_ref()? {
            Precondition::Absent => (HeaderName::from_static("if-none-match"), "*"),
            Precondition::Unchanged(etag) => (HeaderName::from_static("if-match"), etag),
        })
    }

    /// Where it is sent.
    pub(super) fn url(&self, endpoint: &Url) -> Result<Url, ArmError> {
        if self.precondition.is_some() && !self.operation.conditional {
            let problem = "the contract has no condition for it".to_owned();
            return Err(ArmError::BadRequest { what: self.asked().to_string(), problem });
        }
        if !self.operation.of.fits(&self.id) {
            let problem = format!("the operation is for {}", self.operation.of);
            return Err(ArmError::BadId { asked: self.asked(), problem });
        }
        let query = self.query.iter().map(|(name, value)| (*name, value.as_str()));
        resource_url(endpoint, &self.asked(), self.operation.below, self.api_version, query)
    }
}

/// The URL of a resource, or of what is below it.
pub(super) fn resource_url<'a>(
    endpoint: &Url,
    asked: &Asked,
    below: &str,
    api_version: &str,
    query: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Url, ArmError> {
    let bad_id = |problem: &str| ArmError::BadId { asked: asked.clone(), problem: problem.to_owned() };
    let path = asked.id.path().map_err(|error| bad_id(error.why))?;
    let mut url = endpoint.clone();
    url.path_segments_mut()
        .map_err(|()| bad_id("the endpoint's URL takes no path"))?
        .clear()
        .extend(path.split('/').chain(below.split('/')).filter(|segment| !segment.is_empty()));
    url.query_pairs_mut().append_pair("api-version", api_version).extend_pairs(query);
    // Form encoding writes a blank as a plus, which not every service reads as one; a plus itself is %2B by now.
    let query = url.query().unwrap_or_default().replace('+', "%20");
    url.set_query(Some(&query));
    Ok(url)
}

impl fmt::Debug for Request {
    /// Without the body, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("operation", &self.operation.name)
            .field("id", &self.id)
            .field("api_version", &self.api_version)
            .field("query", &self.query)
            .field("precondition", &self.precondition)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::operations;
    use super::*;

    fn endpoint() -> Url {
        Url::parse("https://management.azure.com").unwrap()
    }

    fn group() -> ArmId {
        ArmId::of_subscription("s").group("g")
    }

    #[test]
    fn the_url_is_the_id_the_rest_of_the_path_the_version_and_the_query() {
        let request = operations::ROLE_ASSIGNMENTS_LIST.on(&group()).with_query("$filter", "principalId eq 'a+b&c'");
        assert_eq!(
            request.url(&endpoint()).unwrap().as_str(),
            "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/\
             roleAssignments?api-version=2022-04-01&%24filter=principalId%20eq%20%27a%2Bb%26c%27"
        );
    }

    #[test]
    fn an_id_of_another_kind_is_not_sent() {
        let vault = group().resource("Microsoft.RecoveryServices", "vaults", "v");
        let refused = |request: Request| request.url(&endpoint()).unwrap_err().to_string();
        let wrong = refused(operations::STORAGE_ACCOUNTS_GET.on(&vault));
        assert!(wrong.contains("the operation is for Microsoft.Storage/storageAccounts"), "{wrong}");
        let dots = refused(operations::VAULTS_GET.on(&group().resource("Microsoft.RecoveryServices", "vaults", "..")));
        assert!(dots.contains("a segment is empty or dots"), "{dots}");
    }

    #[test]
    fn a_condition_is_refused_where_the_contract_has_none() {
        let vault = group().resource("Microsoft.RecoveryServices", "vaults", "v");
        let request = operations::VAULTS_CREATE_OR_UPDATE.on(&vault).only_if(Precondition::Absent);
        assert!(matches!(request.url(&endpoint()), Err(ArmError::BadRequest { .. })));
    }

    #[test]
    fn a_body_is_bounded_and_never_printed() {
        let request = operations::VAULTS_CREATE_OR_UPDATE.on(&group());
        let shown = format!("{:?}", request.clone().with_body("canary").unwrap());
        assert!(shown.contains("body_bytes: Some(8)") && !shown.contains("canary"), "{shown}");
        assert!(matches!(request.with_body(&"x".repeat(MAX_BODY)), Err(ArmError::BadRequest { .. })));
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_segment(name in "\\PC{1,40}", value in "\\PC{0,40}") {
            let id = group().resource("Microsoft.RecoveryServices", "vaults", &name);
            let request = operations::VAULTS_GET.on(&id).with_query("x", value.clone());
            if let Ok(url) = request.url(&endpoint()) {
                prop_assert_eq!(url.host_str(), Some("management.azure.com"));
                prop_assert_eq!(url.path_segments().unwrap().count(), 8);
                prop_assert_eq!(url.query_pairs().nth(1).unwrap().1, value);
                prop_assert!(url.fragment().is_none());
            }
        }
    }
}
