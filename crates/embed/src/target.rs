//! Where replicas go, and who asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::time::OffsetDateTime;
use libmigrate::PageTarget;
use libmigrate::secret::Secret;
use libmigrate::target::azure::{AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;

use crate::failure::{CallError, Failure};
use crate::served::{Asker, Server, queue};
use crate::settings::{BlobSettings, CredentialSettings, TargetSettings};

/// Where a replica goes. Opening it sends nothing.
#[derive(Clone)]
pub struct Target {
    pages: Arc<dyn PageTarget>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("location", &self.pages.location()).finish()
    }
}

impl Target {
    /// A target: a JSON object with one of
    ///
    /// - `local`: the path of a file, for the embedded target;
    /// - `url`: of a page blob; with `credential` (one of `{"sas"}`, `{"connection_string"}`,
    ///   `{"account", "key"}`, left out where the SAS is in the URL or `token` is given), `private_link`
    ///   (`{"required": false}` lets bytes go over the internet; else `only`, `also_private`, `name_servers`),
    ///   `proxy` (`none`, `environment` or a URL), `ca_file`, and `max_in_flight`.
    ///
    /// `token` is a [`Token`] to authenticate with.
    pub fn open(settings: &str, token: Option<Token>) -> Result<Self, Failure> {
        let pages: Arc<dyn PageTarget> = match TargetSettings::parse(settings)? {
            TargetSettings::Local(local) => Arc::new(LocalTarget::new(&local.local)?),
            TargetSettings::Blob(blob) => {
                let credential = credential(&blob, token)?;
                Arc::new(AzurePageBlob::new(blob.url(), credential, blob.options()?)?)
            }
        };
        Ok(Self { pages })
    }

    /// Where it is, without secrets.
    pub fn location(&self) -> String {
        self.pages.location()
    }

    pub(crate) fn pages(&self) -> Arc<dyn PageTarget> {
        Arc::clone(&self.pages)
    }
}

fn credential(blob: &BlobSettings, token: Option<Token>) -> Result<Credential, Failure> {
    Ok(match (&blob.credential, token) {
        (Some(_), Some(_)) => return Err(CallError::argument("credential", "there are two").into()),
        (None, Some(token)) => Credential::Token(token.0),
        (None, None) => Credential::SasUrl,
        (Some(CredentialSettings::Sas { sas }), None) => Credential::Sas(Secret::new(sas.expose().clone())),
        (Some(CredentialSettings::ConnectionString { connection_string }), None) => {
            Credential::from_connection_string(connection_string.expose())?
        }
        (Some(CredentialSettings::Key { account, key }), None) => Credential::account_key(account, key.expose())?,
    })
}

/// Tokens of Microsoft Entra ID that the embedding language gets. Clones are the same.
#[derive(Clone, Debug)]
pub struct Token(Arc<ServedCredential>);

/// A token, and the second since 1970 at which it expires.
pub type TokenAnswer = (Secret<String>, i64);

/// A request for a token: the scopes that it is for.
pub type TokenRequest = crate::served::Request<Vec<String>, TokenAnswer>;

impl Token {
    /// A credential whose requests are answered from the returned queue.
    pub fn served() -> (Self, Server<Vec<String>, TokenAnswer>) {
        let (asker, server) = queue();
        (Self(Arc::new(ServedCredential { asker, kept: tokio::sync::Mutex::default() })), server)
    }

    pub(crate) fn credential(&self) -> Arc<dyn TokenCredential> {
        Arc::<ServedCredential>::clone(&self.0)
    }
}

/// Keeps a token until shortly before it expires, so that the embedding language is asked seldom.
struct ServedCredential {
    asker: Asker<Vec<String>, TokenAnswer>,
    kept: tokio::sync::Mutex<Option<(Vec<String>, AccessToken)>>,
}

/// How long before its end a token is asked for again.
const EARLY: Duration = Duration::from_secs(300);

impl fmt::Debug for ServedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServedCredential")
    }
}

#[async_trait]
impl TokenCredential for ServedCredential {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let mut kept = self.kept.lock().await;
        if let Some((of, token)) = &*kept
            && *of == scopes
            && token.expires_on > OffsetDateTime::now_utc() + EARLY
        {
            return Ok(token.clone());
        }
        let refused = |problem: String| Error::with_message(ErrorKind::Credential, problem);
        let (token, expires) = self.asker.ask(scopes.clone()).await.map_err(refused)?;
        let expires = OffsetDateTime::from_unix_timestamp(expires)
            .map_err(|_| refused(format!("the token's end {expires} is no second since 1970")))?;
        let token = AccessToken::new(token.expose().clone(), expires);
        *kept = Some((scopes, token.clone()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_prints_no_secret_and_wants_one_credential() {
        let blob =
            r#"{"url": "https://web01.blob.core.windows.net/disks/web01.vhd", "credential": {"sas": "sig=canary"}}"#;
        let target = Target::open(blob, None).unwrap();
        assert!(!format!("{target:?}").contains("canary"));
        assert_eq!(Target::open(blob, Some(Token::served().0)).unwrap_err().code, "call.argument");
        let wrong =
            r#"{"url": "https://web01.blob.core.windows.net/disks/web01.vhd", "credential": {"sass": "canary"}}"#;
        let refused = Target::open(wrong, None).unwrap_err();
        assert_eq!(refused.code, "call.argument");
        assert!(!refused.to_json().contains("canary"), "{refused:?}");
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_while_it_lasts() {
        let (Token(credential), server) = Token::served();
        let serving = std::thread::spawn(move || {
            let end = |seconds: i64| OffsetDateTime::now_utc().unix_timestamp() + seconds;
            // The second is about to expire, so a third is asked for.
            for (at, lasts) in [3600, 10, 3600].into_iter().enumerate() {
                let request = server.next(None).unwrap().unwrap();
                request.answer((Secret::new(format!("token {at}")), end(lasts)));
            }
            server.next(None).unwrap().unwrap().fail("no network");
        });
        let get = async |scope: &str| {
            credential.get_token(&[scope], None).await.map(|t| t.token.secret().to_owned()).map_err(|e| e.to_string())
        };
        assert_eq!((get("a").await.unwrap(), get("a").await.unwrap()), ("token 0".to_owned(), "token 0".to_owned()));
        assert_eq!((get("b").await.unwrap(), get("b").await.unwrap()), ("token 1".to_owned(), "token 2".to_owned()));
        assert!(get("c").await.unwrap_err().contains("no network"));
        serving.join().unwrap();
    }
}
