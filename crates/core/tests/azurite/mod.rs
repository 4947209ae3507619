//! A container in a real emulator (Azurite), and the ways into it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate_test_support::azurite::Azurite;
use sha2::Sha256;

/// The emulators' account and its public key.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// See [`ACCOUNT`].
pub(crate) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// When the signatures that work end.
pub(crate) const FAR_FUTURE: &str = "2099-01-01T00:00:00Z";

/// A container of one test's own.
pub(crate) struct Container {
    /// The emulator's blob endpoint.
    pub(crate) endpoint: String,
    /// The container's name.
    pub(crate) name: String,
}

impl Container {
    /// `None`, and a line that says so, when the emulator is not installed.
    pub(crate) async fn make() -> Option<Self> {
        let azurite = tokio::task::spawn_blocking(Azurite::shared).await.unwrap()?;
        let endpoint = azurite.endpoint().to_owned();
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let url = format!("{endpoint}/{name}?restype=container&{}", account_signature(FAR_FUTURE));
        let created = reqwest::Client::new().put(url).header("content-length", 0).send().await.unwrap();
        assert_eq!(created.status().as_u16(), 201);
        Some(Self { endpoint, name })
    }

    /// The URL of a blob in it.
    pub(crate) fn url(&self, blob: &str) -> String {
        format!("{}/{}/{blob}", self.endpoint, self.name)
    }

    /// A blob in it as a target, with the account's key.
    pub(crate) fn target(&self, blob: &str) -> AzurePageBlob {
        AzurePageBlob::new(&self.url(blob), account_key(), AzureOptions::default()).unwrap()
    }

    /// A signature over this container (Microsoft Learn, "Create a service SAS") for `permissions`.
    pub(crate) fn signature(&self, permissions: &str) -> String {
        let text =
            format!("{permissions}\n\n{FAR_FUTURE}\n/blob/{ACCOUNT}/{}\n\n\n\n2024-08-04\nc\n\n\n\n\n\n\n", self.name);
        format!("sv=2024-08-04&sr=c&sp={permissions}&se={FAR_FUTURE}&sig={}", signed(&text))
    }
}

/// The account's key as a credential.
pub(crate) fn account_key() -> Credential {
    Credential::account_key(ACCOUNT, KEY).unwrap()
}

/// A signature over the whole account (Microsoft Learn, "Create an account SAS").
pub(crate) fn account_signature(expiry: &str) -> String {
    let text = format!("{ACCOUNT}\nrwdlacup\nb\nsco\n\n{expiry}\n\n\n2024-08-04\n\n");
    format!("sv=2024-08-04&ss=b&srt=sco&sp=rwdlacup&se={expiry}&sig={}", signed(&text))
}

fn signed(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    url::form_urlencoded::byte_serialize(signature.as_bytes()).collect()
}
