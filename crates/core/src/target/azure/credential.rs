//! Who asks: the ways to prove it to the storage service, and connection strings.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::secret::Secret;
use crate::target::TargetError;

/// The account of the local emulators. Its key is public.
///
/// Source: Microsoft Learn, "Use the Azurite emulator for local Azure Storage development".
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// How requests prove who sends them. Prints without its secret.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// A Microsoft Entra ID identity; https only.
    Token(Arc<dyn TokenCredential>),
    /// The shared access signature is in the URL of the blob.
    SasUrl,
    /// A shared access signature (the query string) that was given apart from the URL.
    Sas(Secret<String>),
    /// The key of the storage account. It may do everything; prefer one of the others.
    AccountKey {
        /// Name of the storage account.
        account: String,
        /// Its key, decoded.
        key: Secret<Vec<u8>>,
    },
}

impl Credential {
    /// The account's key as Azure shows it, in Base64.
    pub fn account_key(account: &str, key: &str) -> Result<Self, TargetError> {
        let key = BASE64_STANDARD
            .decode(key.trim())
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| unusable(&format!("the key of account {account} is no Base64")))?;
        Ok(Self::AccountKey { account: account.to_owned(), key: Secret::new(key) })
    }

    /// The credential of a connection string; see [`ConnectionString`].
    pub fn from_connection_string(text: &str) -> Result<Self, TargetError> {
        ConnectionString::parse(text).map(|parsed| parsed.credential)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(***)"),
            Self::SasUrl => f.write_str("SasUrl"),
            Self::Sas(_) => f.write_str("Sas(***)"),
            Self::AccountKey { account, .. } => write!(f, "AccountKey {{ account: {account:?}, key: *** }}"),
        }
    }
}

/// A connection string: where the account's blobs are, and a credential for them.
///
/// Source: Microsoft Learn, "Configure Azure Storage connection strings".
#[derive(Clone, Debug)]
pub struct ConnectionString {
    endpoint: String,
    credential: Credential,
}

impl ConnectionString {
    /// Reads `AccountName`, `AccountKey`, `BlobEndpoint`, `SharedAccessSignature`,
    /// `DefaultEndpointsProtocol`, `EndpointSuffix` and `UseDevelopmentStorage=true`; other names are of
    /// other services. An error names what is missing and repeats nothing of the text.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let settings = Settings::read(text)?;
        if settings.get("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let credential = Credential::account_key(EMULATOR_ACCOUNT, EMULATOR_KEY)?;
            return Ok(Self { endpoint: EMULATOR_ENDPOINT.to_owned(), credential });
        }
        let endpoint = match (settings.get("BlobEndpoint"), settings.get("AccountName")) {
            (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
            (None, Some(account)) => {
                let protocol = settings.get("DefaultEndpointsProtocol").unwrap_or("https");
                let suffix = settings.get("EndpointSuffix").unwrap_or("core.windows.net");
                format!("{protocol}://{account}.blob.{suffix}")
            }
            (None, None) => return Err(unusable("it has neither BlobEndpoint nor AccountName")),
        };
        let credential = match (settings.get("SharedAccessSignature"), settings.get("AccountKey")) {
            (Some(sas), _) => Credential::Sas(Secret::new(sas.to_owned())),
            (None, Some(key)) => {
                let account = settings.get("AccountName").ok_or_else(|| unusable("AccountKey without AccountName"))?;
                Credential::account_key(account, key)?
            }
            (None, None) => return Err(unusable("it has neither SharedAccessSignature nor AccountKey")),
        };
        Ok(Self { endpoint, credential })
    }

    /// The URL of a blob there. `container` and `blob` are plain names, not percent-encoded.
    pub fn blob_url(&self, container: &str, blob: &str) -> String {
        let encode = |name: &str| percent_encoding::utf8_percent_encode(name, NAME).to_string();
        format!("{}/{}/{}", self.endpoint, encode(container), encode(blob))
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// What a name is written without in a URL's path; `/` stays.
const NAME: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The `name=value` pairs of a connection string. Names are compared without case.
struct Settings<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Settings<'a> {
    fn read(text: &'a str) -> Result<Self, TargetError> {
        let pairs = text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').ok_or_else(|| unusable("it is not a list of name=value;")));
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.0.iter().find(|(known, _)| known.trim().eq_ignore_ascii_case(name))?.1.trim();
        (!value.is_empty()).then_some(value)
    }
}

fn unusable(problem: &str) -> TargetError {
    TargetError::Unusable { location: "the credential".to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_with_a_key_names_the_endpoint_by_the_account() {
        let parsed = ConnectionString::parse(
            "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5;EndpointSuffix=core.windows.net",
        )
        .unwrap();
        assert_eq!(
            parsed.blob_url("disks", "web 01/os.vhd"),
            "https://acct.blob.core.windows.net/disks/web%2001/os.vhd"
        );
        assert!(matches!(parsed.credential(), Credential::AccountKey { account, key }
            if account == "acct" && key.expose() == b"key"));
    }

    #[test]
    fn a_connection_string_with_a_signature_keeps_its_equal_signs() {
        let parsed =
            ConnectionString::parse("BlobEndpoint=https://h.example/;SharedAccessSignature=sv=1&sig=a%3D%3D").unwrap();
        assert_eq!(parsed.blob_url("c", "b"), "https://h.example/c/b");
        assert!(matches!(parsed.credential(), Credential::Sas(sas) if sas.expose() == "sv=1&sig=a%3D%3D"));
    }

    #[test]
    fn the_emulator_has_a_short_form() {
        let parsed = ConnectionString::parse("UseDevelopmentStorage=true").unwrap();
        assert_eq!(parsed.blob_url("c", "b"), "http://127.0.0.1:10000/devstoreaccount1/c/b");
    }

    #[test]
    fn a_bad_connection_string_is_refused_without_repeating_it() {
        let refused = |text: &str| ConnectionString::parse(text).unwrap_err().to_string();
        assert!(refused("AccountKey=canary").contains("neither BlobEndpoint nor AccountName"));
        assert!(refused("AccountName=a").contains("neither SharedAccessSignature nor AccountKey"));
        assert!(refused("canary").contains("name=value"));
        assert!(refused("AccountName=a;AccountKey=canary!").contains("no Base64"));
        assert!(!refused("AccountName=a;AccountKey=canary!").contains("canary"));
    }

    #[test]
    fn no_credential_prints_its_secret() {
        let key = Credential::account_key("acct", "Y2FuYXJ5").unwrap();
        assert_eq!(format!("{key:?}"), r#"AccountKey { account: "acct", key: *** }"#);
        assert_eq!(format!("{:?}", Credential::Sas(Secret::new("canary".to_owned()))), "Sas(***)");
    }
}
