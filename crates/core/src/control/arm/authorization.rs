//! The token, which goes to one host only.
//!
//! The client library's own policy refuses plain http altogether, also to a server of a test on this machine, and
//! sends the token to whatever host a request names. Here it goes to the endpoint, which is either Azure's, over
//! https, or on this machine.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::AUTHORIZATION;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, StatusCode};
use azure_core::time::OffsetDateTime;
use tokio::sync::Mutex;
use url::Url;

/// A token that is good for less is replaced, as the client library does it.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// Proves to the endpoint who asks.
pub(super) struct Authorization {
    credential: Arc<dyn TokenCredential>,
    scope: &'static str,
    endpoint: Url,
    /// How long a token may take to come.
    limit: Duration,
    /// The lock is held while a token is fetched, so that one is fetched and not as many as there are requests.
    kept: Mutex<Option<AccessToken>>,
}

impl Authorization {
    pub(super) fn new(
        credential: Arc<dyn TokenCredential>,
        scope: &'static str,
        endpoint: Url,
        limit: Duration,
    ) -> Self {
        Self { credential, scope, endpoint, limit, kept: Mutex::default() }
    }

    /// A token that is good now; another than `refused`.
    async fn token(&self, refused: Option<&AccessToken>) -> azure_core::Result<AccessToken> {
        let mut kept = self.kept.lock().await;
        let now = OffsetDateTime::now_utc();
        let still_good = kept
            .as_ref()
            .filter(|token| token.expires_on > now && refused.is_none_or(|refused| refused.token != token.token));
        if let Some(token) = still_good.filter(|token| token.expires_on > now + RENEW_BEFORE) {
            return Ok(token.clone());
        }
        let failed = match tokio::time::timeout(self.limit, self.credential.get_token(&[self.scope], None)).await {
            Ok(Ok(token)) => return Ok(kept.insert(token).clone()),
            Ok(Err(error)) => {
                let words = error.to_string();
                Error::with_error(ErrorKind::Credential, error, words)
            }
            Err(_) => Error::with_message(ErrorKind::Connection, format!("no token within {:?}", self.limit)),
        };
        still_good.cloned().ok_or(failed)
    }
}

#[async_trait]
impl Policy for Authorization {
    // The trait leaves the lifetime out, and so must this.
    #[allow(elided_lifetimes_in_paths)]
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if request.url().origin() != self.endpoint.origin() {
            return Err(Error::with_message(ErrorKind::Other, "the token is for another host: nothing was sent"));
        }
        let token = self.token(None).await?;
        request.insert_header(AUTHORIZATION, format!("Bearer {}", token.token.secret()));
        let answer = next[0].send(ctx, request, &next[1..]).await?;
        if answer.status() != StatusCode::Unauthorized {
            return Ok(answer);
        }
        // A token can be taken back before it expires; a new one then shows whether it was the token.
        let newer = self.token(Some(&token)).await?;
        if newer.token == token.token {
            return Ok(answer);
        }
        request.insert_header(AUTHORIZATION, format!("Bearer {}", newer.token.secret()));
        next[0].send(ctx, request, &next[1..]).await
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("scope", &self.scope).finish_non_exhaustive()
    }
}
