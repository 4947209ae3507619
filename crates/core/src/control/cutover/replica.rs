//! A sealed replica, as plain data: what a disk in Azure is made of.
//!
//! A recovery point that was not sealed cannot be said: a replica names the generation and the cycle of its seal.
//! What is said is checked once, when it is read; from then on a [`Replica`] is a page blob that may be imported.

use std::fmt;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::CutoverError;
use crate::control::ArmId;
use crate::control::model::BlobUrl;
use crate::size::{MAX_DISK_BYTES, MIB};

/// The bytes of the footer of a fixed VHD, which come after the disk's.
///
/// Source: Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format".
pub const FOOTER_BYTES: u64 = 512;

/// Which sealed cycle a replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The number of the owner who sealed it.
    pub generation: u32,
    /// The number of the cycle. The first is 1; there is none that was not sealed.
    pub cycle: NonZeroU32,
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.cycle)
    }
}

/// What is said of a sealed replica, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaDescription {
    /// The disk's id at its source, as the server's settings have it.
    pub disk: String,
    /// The URL of the page blob, without a signature: `https://account.blob.core.windows.net/replicas/web01.vhd`.
    pub url: BlobUrl,
    /// The storage account that the blob is in.
    pub account: ArmId,
    /// The size of the VHD in bytes: the disk's and the footer's.
    pub size_bytes: u64,
    /// Whether it holds the boot loader and the operating system.
    #[serde(default)]
    pub is_os: bool,
    /// The snapshot of the blob that the recovery point is, as the blob service names it:
    /// `2026-11-25T08:45:03.1234567Z`. Without one, the blob itself must stay as it was sealed until the disk is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The sealed cycle.
    pub seal: Seal,
}

/// A sealed replica that a disk can be made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReplicaDescription", into = "ReplicaDescription")]
pub struct Replica {
    told: ReplicaDescription,
    blob: Url,
}

impl TryFrom<ReplicaDescription> for Replica {
    type Error = CutoverError;

    /// # Errors
    ///
    /// [`CutoverError::Replica`] for a URL with a signature, or that is none of a `.vhd` in that account over https;
    /// for a size that no VHD of Azure has; for a snapshot that is no time.
    fn try_from(told: ReplicaDescription) -> Result<Self, CutoverError> {
        let checked = blob(&told).and_then(|blob| check_size(told.size_bytes).map(|()| blob));
        let checked = checked.and_then(|blob| check_snapshot(told.snapshot.as_deref()).map(|()| blob));
        match checked {
            Ok(blob) => Ok(Self { told, blob }),
            Err(problem) => Err(CutoverError::Replica { disk: told.disk.chars().take(200).collect(), problem }),
        }
    }
}

impl From<Replica> for ReplicaDescription {
    fn from(replica: Replica) -> Self {
        replica.told
    }
}

impl Replica {
    /// The disk's id at its source.
    pub fn disk(&self) -> &str {
        &self.told.disk
    }

    /// The page blob. It has no signature.
    pub fn blob(&self) -> &Url {
        &self.blob
    }

    /// What the disk is made of: the snapshot of the blob, where there is one, or the blob.
    pub fn source(&self) -> Url {
        let mut source = self.blob.clone();
        if let Some(snapshot) = &self.told.snapshot {
            source.query_pairs_mut().append_pair("snapshot", snapshot);
        }
        source
    }

    /// The snapshot of the blob.
    pub fn snapshot(&self) -> Option<&str> {
        self.told.snapshot.as_deref()
    }

    /// The storage account.
    pub fn account(&self) -> &ArmId {
        &self.told.account
    }

    /// The size of the VHD in bytes, with its footer.
    pub fn size_bytes(&self) -> u64 {
        self.told.size_bytes
    }

    /// The size of the disk in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.told.size_bytes - FOOTER_BYTES
    }

    /// Whether it holds the operating system.
    pub fn is_os(&self) -> bool {
        self.told.is_os
    }

    /// The sealed cycle.
    pub fn seal(&self) -> Seal {
        self.told.seal
    }
}

/// The URL of the blob, if it is one that may be shown to everybody and imported.
fn blob(told: &ReplicaDescription) -> Result<Url, String> {
    let url = Url::parse(told.url.expose()).map_err(|_| format!("{} is no URL", told.url))?;
    let refuse = |problem: &str| Err(format!("{} {problem}", told.url));
    if url.scheme() != "https" {
        return refuse("is not reached by https");
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return refuse("must be without signature, user and snapshot: the service reads it with rights of its own");
    }
    if url.port().is_some() {
        return refuse("names a port, which storage accounts have not");
    }
    let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    let is_vhd = segments.last().is_some_and(|name| name.len() > 4 && name.to_ascii_lowercase().ends_with(".vhd"));
    if segments.len() < 2 || segments.iter().any(|segment| segment.is_empty()) || !is_vhd {
        return refuse("is no .vhd in a container");
    }
    if !told.account.is_of("Microsoft.Storage/storageAccounts") || told.account.path().is_err() {
        return Err(format!("{} is no storage account", told.account.as_str().chars().take(200).collect::<String>()));
    }
    let account = url.domain().and_then(|host| host.split_once('.')).map(|(account, _)| account);
    if !account.is_some_and(|account| account.eq_ignore_ascii_case(told.account.name())) {
        return refuse(&format!("is not in the storage account {}", told.account.name()));
    }
    Ok(url)
}

fn check_size(bytes: u64) -> Result<(), String> {
    let disk = bytes.saturating_sub(FOOTER_BYTES);
    if !disk.is_multiple_of(MIB) || !(MIB..=MAX_DISK_BYTES).contains(&disk) {
        return Err(format!(
            "{bytes} bytes are no whole MiB and a footer of {FOOTER_BYTES} bytes, from {} to {}",
            MIB + FOOTER_BYTES,
            MAX_DISK_BYTES + FOOTER_BYTES,
        ));
    }
    Ok(())
}

/// A snapshot is a time in UTC. It becomes a part of a URL.
fn check_snapshot(snapshot: Option<&str>) -> Result<(), String> {
    let Some(text) = snapshot else { return Ok(()) };
    let is_time = text.len() <= 40 && text.ends_with('Z') && text.parse::<Timestamp>().is_ok();
    if is_time { Ok(()) } else { Err("the snapshot is no time as the blob service writes it".to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told() -> Value {
        json!({
            "disk": "web01-os", "url": "https://cache01.blob.core.windows.net/replicas/web01.vhd",
            "account": "/subscriptions/5f/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/cache01",
            "size_bytes": 20_972_032, "is_os": true, "snapshot": "2026-11-25T08:45:03.1234567Z",
            "seal": { "generation": 3, "cycle": 7 },
        })
    }

    fn refused(field: &str, value: Value) -> String {
        let mut told = told();
        told[field] = value;
        serde_json::from_value::<Replica>(told).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_replica_says_what_its_disk_is_made_of_and_is_written_as_it_was_read() {
        let replica: Replica = serde_json::from_value(told()).unwrap();

        assert_eq!(
            replica.source().as_str(),
            "https://cache01.blob.core.windows.net/replicas/web01.vhd?snapshot=2026-11-25T08%3A45%3A03.1234567Z"
        );
        assert_eq!((replica.disk_bytes(), replica.seal().to_string()), (20 << 20, "3.7".to_owned()));
        assert_eq!(serde_json::to_value(replica).unwrap(), told());
    }

    #[test]
    fn a_recovery_point_that_was_not_sealed_cannot_be_said() {
        let mut unsealed = told();
        unsealed.as_object_mut().unwrap().remove("seal");
        assert!(serde_json::from_value::<Replica>(unsealed).unwrap_err().to_string().contains("seal"));
        assert!(refused("seal", json!({ "generation": 1, "cycle": 0 })).contains("nonzero"));
    }

    #[test]
    fn a_url_with_a_signature_is_refused_and_not_shown() {
        for url in [
            "https://cache01.blob.core.windows.net/replicas/web01.vhd?sv=1&sig=canary",
            "https://user:canary@cache01.blob.core.windows.net/replicas/web01.vhd",
            "https://cache01.blob.core.windows.net/replicas/web01.vhd#canary",
        ] {
            let error = refused("url", json!(url));
            assert!(error.contains("without signature") && !error.contains("canary"), "{error}");
        }
        let kept = format!("{:?}", serde_json::from_value::<ReplicaDescription>(told()).unwrap());
        assert!(!kept.contains('?'), "{kept}");
    }

    #[test]
    fn a_url_that_is_no_vhd_of_that_account_is_refused() {
        let host = "https://cache01.blob.core.windows.net";
        for (url, problem) in [
            ("http://cache01.blob.core.windows.net/replicas/web01.vhd".to_owned(), "by https"),
            (format!("{host}/web01.vhd"), "no .vhd in a container"),
            (format!("{host}/replicas/web01.vhdx"), "no .vhd in a container"),
            (format!("{host}/replicas/.vhd"), "no .vhd in a container"),
            (format!("{host}/replicas//web01.vhd"), "no .vhd in a container"),
            (format!("{host}:8443/replicas/web01.vhd"), "names a port"),
            ("https://cache02.blob.core.windows.net/replicas/web01.vhd".to_owned(), "not in the storage account"),
            ("https://10.0.0.4/replicas/web01.vhd".to_owned(), "not in the storage account"),
            ("no url".to_owned(), "is no URL"),
        ] {
            let error = refused("url", json!(url));
            assert!(error.contains(problem), "{url}: {error}");
        }
        assert!(refused("account", json!("/subscriptions/5f")).contains("no storage account"));
    }

    #[test]
    fn a_size_is_whole_mebibytes_and_a_footer() {
        for bytes in [0, 511, 512, 20 << 20, (20 << 20) + 1024, (8_u64 << 40) + 512, u64::MAX] {
            assert!(refused("size_bytes", json!(bytes)).contains("no whole MiB"), "{bytes}");
        }
    }

    #[test]
    fn a_snapshot_is_a_time() {
        for snapshot in ["", "latest", "2026-11-25T08:45:03Z&sig=x", "2026-11-25T08:45:03+01:00"] {
            assert!(refused("snapshot", json!(snapshot)).contains("no time"), "{snapshot}");
        }
    }
}
