//! Tokens that come in time.
//!
//! The credential is the caller's, and may ask a network of its own without an end. Here a token comes
//! within a limit, or the attempt counts as one that did not complete.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};

/// A credential that answers or fails within `limit`.
#[derive(Debug)]
pub(super) struct PromptCredential {
    pub(super) credential: Arc<dyn TokenCredential>,
    pub(super) limit: Duration,
}

#[async_trait]
impl TokenCredential for PromptCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let late = |_| Error::with_message(ErrorKind::Io, format!("no token within {:?}", self.limit));
        tokio::time::timeout(self.limit, self.credential.get_token(scopes, options)).await.map_err(late)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::azure::{AzureOptions, AzurePageBlob, Credential};
    use crate::target::{PageTarget, TargetError};

    const URL: &str = "https://127.0.0.1:9/acct/disks/web01.vhd";

    /// Gives no token, each time for the same reason; without one, never answers.
    #[derive(Debug)]
    struct NoToken(Option<fn() -> Error>);

    #[async_trait]
    impl TokenCredential for NoToken {
        async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
            match self.0 {
                Some(reason) => Err(reason()),
                None => std::future::pending().await,
            }
        }
    }

    async fn error_of(credential: NoToken) -> TargetError {
        let options = AzureOptions { base_timeout: Duration::from_millis(50), ..AzureOptions::default() };
        let credential = Credential::Token(Arc::new(credential));
        AzurePageBlob::new(URL, credential, options).unwrap().state().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_token_that_does_not_come_ends_with_the_deadline() {
        let error = error_of(NoToken(None)).await;

        assert!(matches!(error, TargetError::Transient { .. }), "{error}");
        assert!(error.to_string().contains("no token within 50ms"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_token_is_a_wrong_credential_and_shows_no_secret() {
        let refused = || Error::with_message(ErrorKind::Credential, "AADSTS7000215: client_secret=canary is wrong");
        let error = error_of(NoToken(Some(refused))).await;

        assert!(matches!(error, TargetError::Unauthenticated { .. }), "{error}");
        assert!(error.to_string().contains("AADSTS7000215") && !format!("{error} {error:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_token_service_that_is_out_of_reach_may_be_asked_again() {
        let unreachable = || {
            let cause = Error::with_message(ErrorKind::Connection, "connection refused");
            Error::with_error(ErrorKind::Credential, cause, "no token")
        };
        let error = error_of(NoToken(Some(unreachable))).await;

        assert!(matches!(error, TargetError::Transient { .. }), "{error}");
    }

    #[test]
    fn a_token_is_not_sent_over_plain_http() {
        let url = URL.replace("https", "http");
        let credential = Credential::Token(Arc::new(NoToken(None)));

        let error = AzurePageBlob::new(&url, credential, AzureOptions::default()).unwrap_err();

        assert!(error.to_string().contains("tokens are sent over https only"), "{error}");
    }
}
