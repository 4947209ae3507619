//! Where the blob is: the URL, taken apart and checked before a byte is sent.
//!
//! A blob's URL is `https://<account>.<suffix>/<container>/<blob>`; at an IP address or `localhost`
//! (emulators) the account is the first part of the path instead. A shared access signature in the query
//! is the only query allowed, and is a secret: nothing here prints it.
//!
//! Source of the name rules: Microsoft Learn, "Naming and Referencing Containers, Blobs, and Metadata".

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::credential::Credential;
use crate::secret::{Secret, redacted_url};
use crate::target::TargetError;

/// The longest blob name that leaves room for the objects beside it; the service's limit is 1,024
/// characters.
const MAX_BLOB_NAME_CHARS: usize = 896;

/// Query parameters that would make each request mean something else.
const FOREIGN_PARAMETERS: [&str; 7] = ["comp", "restype", "snapshot", "prevsnapshot", "versionid", "timeout", "marker"];

/// One blob's place.
pub(super) struct BlobEndpoint {
    /// With the signature, if there is one.
    blob: Secret<Url>,
    /// The path of the container within [`BlobEndpoint::blob`].
    container_path: String,
    /// Decoded, as lists name it.
    blob_name: String,
}

impl BlobEndpoint {
    /// Checks `url` and adds the signature of `credential`, if it holds one.
    pub(super) fn parse(url: &str, credential: &Credential) -> Result<Self, TargetError> {
        // The text of a URL that does not parse cannot be redacted, so it is not shown at all.
        let mut blob = Url::parse(url).map_err(|error| TargetError::Unusable {
            location: "the blob's URL".to_owned(),
            problem: error.to_string(),
        })?;
        let shown = redacted_url(&blob);
        let refuse = |problem: &str| TargetError::Unusable { location: shown.clone(), problem: problem.to_owned() };

        check_transport(&blob).map_err(refuse)?;
        if !blob.username().is_empty() || blob.password().is_some() || blob.fragment().is_some() {
            return Err(refuse("a blob's URL has no user, password or fragment"));
        }
        check_credential(&blob, credential).map_err(refuse)?;
        if let Credential::Sas(signature) = credential {
            blob.set_query(Some(signature.expose().trim().trim_start_matches('?')));
        }
        if blob.query().is_some() {
            check_signature(&blob).map_err(refuse)?;
        }
        let (container_path, blob_name) = names(&blob).map_err(|problem| refuse(&problem))?;
        Ok(Self { blob: Secret::new(blob), container_path, blob_name })
    }

    /// The URL without its secret.
    pub(super) fn location(&self) -> String {
        redacted_url(self.blob.expose())
    }

    /// The URL of the blob, with the signature.
    pub(super) fn blob_url(&self) -> Url {
        self.blob.expose().clone()
    }

    /// The URL of the blob's container, with the signature.
    pub(super) fn container_url(&self) -> Url {
        let mut url = self.blob_url();
        url.set_path(&self.container_path);
        url
    }

    /// The URL of another blob in the same container, with the signature. `name` needs no escaping.
    pub(super) fn sibling_url(&self, name: &str) -> Url {
        let mut url = self.blob_url();
        url.set_path(&format!("{}/{name}", self.container_path));
        url
    }

    /// The URL of the object `name` beside the blob, with the signature.
    pub(super) fn object_url(&self, name: &str) -> Url {
        let mut url = self.blob_url();
        url.set_path(&format!("{}.libmigrate/{name}", self.blob.expose().path()));
        url
    }

    /// The blob's name, as lists give it.
    pub(super) fn blob_name(&self) -> &str {
        &self.blob_name
    }

    /// What the names of all objects beside the blob start with, as lists give them.
    pub(super) fn object_prefix(&self) -> String {
        format!("{}.libmigrate/", self.blob_name)
    }

    /// Whether the service is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.blob.expose())
    }

    /// The value of a parameter of the signature, decoded.
    pub(super) fn signature_parameter(&self, name: &str) -> Option<String> {
        self.blob.expose().query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The signature as it stands in the query, if there is one.
    pub(super) fn query(&self) -> Option<&str> {
        self.blob.expose().query()
    }
}

impl fmt::Debug for BlobEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn check_transport(url: &Url) -> Result<(), &'static str> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err("plain http is allowed to this machine only; use https"),
        _ => Err("a blob's URL starts with https://"),
    }
}

fn check_credential(url: &Url, credential: &Credential) -> Result<(), &'static str> {
    match (credential, url.query()) {
        (Credential::SasUrl, None) => Err("the URL holds no shared access signature"),
        (Credential::Token(_), None) if url.scheme() != "https" => Err("tokens are sent over https only"),
        (Credential::SasUrl, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err("the URL holds a query, but another credential was given; leave out one of them"),
    }
}

fn check_signature(url: &Url) -> Result<(), &'static str> {
    let has = |name: &str| url.query_pairs().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if FOREIGN_PARAMETERS.into_iter().any(has) {
        return Err("the URL must name the blob itself, not a snapshot, a version or an operation on it");
    }
    if !url.query_pairs().any(|(name, value)| name == "sig" && !value.is_empty()) {
        return Err("the query is no shared access signature: it has no sig");
    }
    Ok(())
}

/// The container's path and the blob's decoded name.
fn names(url: &Url) -> Result<(String, String), String> {
    let account_in_path = match url.host() {
        Some(Host::Domain(name)) => !name.contains('.'),
        _ => true,
    };
    let container_at = usize::from(account_in_path);
    let parts: Vec<&str> = url.path().trim_start_matches('/').splitn(container_at + 2, '/').collect();
    let (Some(container), Some(blob)) = (parts.get(container_at), parts.get(container_at + 1)) else {
        let form = if account_in_path { "/account/container/blob" } else { "/container/blob" };
        return Err(format!("the path must be {form}"));
    };
    check_container(container)?;
    let blob_name = percent_decode_str(blob).decode_utf8().map_err(|_| "the blob's name is no UTF-8".to_owned())?;
    if blob_name.is_empty() || blob_name.ends_with(['/', '.']) {
        return Err("the blob's name is empty or ends with a slash or a dot".to_owned());
    }
    if blob_name.chars().count() > MAX_BLOB_NAME_CHARS {
        return Err(format!("the blob's name is longer than {MAX_BLOB_NAME_CHARS} characters"));
    }
    Ok((format!("/{}", parts[..=container_at].join("/")), blob_name.into_owned()))
}

fn check_container(name: &str) -> Result<(), String> {
    let characters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let hyphens = !name.starts_with('-') && !name.ends_with('-') && !name.contains("--");
    if (3..=63).contains(&name.len()) && characters && hyphens {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no container name: it takes 3 to 63 lower-case letters, digits and single hyphens, \
         and starts and ends with a letter or digit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Credential {
        Credential::account_key("acct", "a2V5").unwrap()
    }

    fn problem(url: &str, credential: &Credential) -> String {
        BlobEndpoint::parse(url, credential).unwrap_err().to_string()
    }

    #[test]
    fn a_blob_url_is_taken_apart() {
        let endpoint = BlobEndpoint::parse("https://acct.blob.core.windows.net/disks/web%2001/os.vhd", &key()).unwrap();
        assert_eq!(endpoint.location(), "https://acct.blob.core.windows.net/disks/web%2001/os.vhd");
        assert_eq!(endpoint.container_url().as_str(), "https://acct.blob.core.windows.net/disks");
        assert_eq!(endpoint.blob_name(), "web 01/os.vhd");
        assert_eq!(endpoint.object_prefix(), "web 01/os.vhd.libmigrate/");
        assert_eq!(
            endpoint.object_url("map-1").as_str(),
            "https://acct.blob.core.windows.net/disks/web%2001/os.vhd.libmigrate/map-1"
        );
    }

    #[test]
    fn at_an_address_the_account_is_in_the_path() {
        let endpoint = BlobEndpoint::parse("http://127.0.0.1:10000/devstoreaccount1/disks/a/b.vhd", &key()).unwrap();
        assert_eq!(endpoint.container_url().as_str(), "http://127.0.0.1:10000/devstoreaccount1/disks");
        assert_eq!(endpoint.blob_name(), "a/b.vhd");
        assert!(endpoint.is_loopback());
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let far = "http://acct.blob.core.windows.net/disks/a.vhd";
        assert!(problem(far, &key()).contains("plain http is allowed to this machine only"));
        assert!(problem("http://10.0.0.4/acct/disks/a.vhd", &key()).contains("plain http"));
        assert!(problem("http://localhost.example/disks/a.vhd", &key()).contains("plain http"));
        assert!(BlobEndpoint::parse("http://[::1]:10000/acct/disks/a.vhd", &key()).is_ok());
        assert!(BlobEndpoint::parse("http://localhost:10000/acct/disks/a.vhd", &key()).is_ok());
        assert!(problem("ftp://127.0.0.1/acct/disks/a.vhd", &key()).contains("https://"));
    }

    #[test]
    fn a_signature_is_kept_and_never_shown() {
        let url = "https://acct.blob.core.windows.net/disks/a.vhd?sv=2024-08-04&sig=canary%3D";
        let endpoint = BlobEndpoint::parse(url, &Credential::SasUrl).unwrap();
        assert_eq!(endpoint.blob_url().as_str(), url);
        assert_eq!(endpoint.signature_parameter("sig").as_deref(), Some("canary="));
        assert_eq!(endpoint.object_url("m").query(), Some("sv=2024-08-04&sig=canary%3D"));
        assert!(!format!("{endpoint:?} {}", endpoint.location()).contains("canary"));
    }

    #[test]
    fn a_signature_given_apart_joins_the_url() {
        let sas = Credential::Sas(Secret::new("?sv=1&sig=abc".to_owned()));
        let endpoint = BlobEndpoint::parse("https://acct.blob.core.windows.net/disks/a.vhd", &sas).unwrap();
        assert_eq!(endpoint.query(), Some("sv=1&sig=abc"));
    }

    #[test]
    fn a_url_that_means_something_else_is_refused() {
        let with = |query: &str| format!("https://acct.blob.core.windows.net/disks/a.vhd?sig=canary&{query}");
        assert!(
            problem(&with("snapshot=2026-01-01T00:00:00.0000000Z"), &Credential::SasUrl).contains("not a snapshot")
        );
        assert!(problem(&with("comp=page"), &Credential::SasUrl).contains("an operation"));
        assert!(!problem(&with("Comp=page"), &Credential::SasUrl).contains("canary"));
    }

    #[test]
    fn one_credential_is_given_and_not_two() {
        let url = "https://acct.blob.core.windows.net/disks/a.vhd";
        assert!(problem(url, &Credential::SasUrl).contains("holds no shared access signature"));
        assert!(problem(&format!("{url}?sig=x"), &key()).contains("another credential was given"));
        assert!(problem(&format!("{url}?sv=1"), &Credential::SasUrl).contains("no sig"));
        assert!(problem("https://u:canary@acct.blob.core.windows.net/disks/a.vhd", &key()).contains("no user"));
    }

    #[test]
    fn names_are_checked_here() {
        let at = |path: &str| problem(&format!("https://acct.blob.core.windows.net/{path}"), &key());
        assert!(at("").contains("/container/blob"));
        assert!(at("disks").contains("/container/blob"));
        assert!(at("ab/a.vhd").contains("3 to 63"));
        assert!(at("Disks/a.vhd").contains("lower-case"));
        assert!(at("a--b/a.vhd").contains("single hyphens"));
        assert!(at("disks/").contains("empty"));
        assert!(at("disks/dir/").contains("slash"));
        assert!(at("disks/%FF.vhd").contains("UTF-8"));
        assert!(at(&format!("disks/{}", "x".repeat(897))).contains("longer than 896"));
    }

    #[test]
    fn a_text_that_is_no_url_is_not_repeated() {
        assert!(!problem("canary?sig=canary", &Credential::SasUrl).contains("canary"));
    }
}
