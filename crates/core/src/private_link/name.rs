//! Endpoint names, as types.
//!
//! [`HostName`] is any name that DNS can be asked for; [`ServiceName`] one that belongs to a service with
//! private endpoints. A service name has two spellings: the public one, which clients use and certificates
//! carry, and the one in the private zone, which it is an alias of once a private endpoint exists.
//!
//! Sources: RFC 1123 (1989-10) for names; Microsoft Learn, "Naming rules and restrictions for Azure resources",
//! for accounts and key vaults.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::PrivateLinkError;
use super::cloud::{Cloud, PrivateService};

/// The longest name, in characters, without the dot at the end.
const MAX_NAME: usize = 253;
/// The longest part of a name.
const MAX_LABEL: usize = 63;

/// As much of a text that should have been a name as may be repeated: what is mistaken for one is often a URL, and
/// a URL may carry a password, or a signature.
pub(crate) fn shown(text: &str) -> String {
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let end = text.find(['/', '?', '#', '@', ':', '=', '&', '%']).unwrap_or(text.len());
    let shown: String = text[..end].chars().take(MAX_NAME + 1).collect();
    if shown.len() < text.len() { shown + "…" } else { shown }
}

/// A host name: lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = PrivateLinkError;

    /// Letters, digits, hyphens and underscores in parts of at most 63; at least two parts, so that no search
    /// domain is ever added; no IP address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let refuse = |problem| Err(PrivateLinkError::name(text, problem));
        if name.len() > MAX_NAME {
            return refuse("it is longer than 253 characters");
        }
        if !name.contains('.') {
            return refuse("it has only one part");
        }
        if !name.split('.').all(is_label) {
            return refuse("its parts take 1 to 63 letters, digits and hyphens");
        }
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return refuse("it is an address, or ends like one");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A name of a service that has private endpoints.
///
/// ```
/// use libmigrate::private_link::{Cloud, PrivateService, ServiceName};
///
/// let name: ServiceName = "webcache01.blob.core.windows.net".parse()?;
/// assert_eq!((name.service(), name.cloud()), (PrivateService::Blob, Cloud::Public));
/// assert_eq!(name.private_name(), "webcache01.privatelink.blob.core.windows.net");
/// assert_eq!((name.zone(), name.record()), ("privatelink.blob.core.windows.net", "webcache01"));
/// # Ok::<(), libmigrate::private_link::PrivateLinkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    service: PrivateService,
    cloud: Cloud,
    record: String,
    suffix: &'static str,
    zone: &'static str,
}

impl ServiceName {
    /// The name of `record` (an account, a key vault, an endpoint of a vault) in a cloud.
    pub fn new(service: PrivateService, cloud: Cloud, record: &str) -> Result<Self, PrivateLinkError> {
        let (Some(suffix), Some(zone)) = (service.suffix(cloud), service.zone(cloud)) else {
            return Err(PrivateLinkError::name(record, "no private zone of this service is documented in this cloud"));
        };
        let record = record.to_ascii_lowercase();
        check_record(service, &record).map_err(|problem| PrivateLinkError::name(&record, problem))?;
        // With the zone it must still be a name.
        format!("{record}.{zone}").parse::<HostName>()?;
        Ok(Self { service, cloud, record, suffix, zone })
    }

    /// The service.
    pub const fn service(&self) -> PrivateService {
        self.service
    }

    /// The cloud.
    pub const fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The name that clients use.
    pub fn public_name(&self) -> String {
        format!("{}.{}", self.record, self.suffix)
    }

    /// The name in the private zone.
    pub fn private_name(&self) -> String {
        format!("{}.{}", self.record, self.zone)
    }

    /// The private zone.
    pub const fn zone(&self) -> &'static str {
        self.zone
    }

    /// The record in the zone.
    pub fn record(&self) -> &str {
        &self.record
    }
}

impl FromStr for ServiceName {
    type Err = PrivateLinkError;

    /// Takes either spelling.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host: HostName = text.parse()?;
        for service in PrivateService::ALL {
            for cloud in Cloud::ALL {
                // The zone first: some end with the public suffix.
                for ending in [service.zone(cloud), service.suffix(cloud)].into_iter().flatten() {
                    if let Some(record) = host.as_str().strip_suffix(ending).and_then(|rest| rest.strip_suffix('.')) {
                        return Self::new(service, cloud, record);
                    }
                }
            }
        }
        Err(PrivateLinkError::name(text, "it is of no service with private endpoints in a known cloud"))
    }
}

/// Of the private name's zone: the name that clients use.
impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.record, self.suffix)
    }
}

fn check_record(service: PrivateService, record: &str) -> Result<(), &'static str> {
    let letters = |extra: &[u8]| record.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte));
    match service {
        PrivateService::Blob if !(3..=24).contains(&record.len()) || !letters(b"") => {
            Err("a storage account's name takes 3 to 24 letters and digits")
        }
        PrivateService::KeyVault
            if !(3..=24).contains(&record.len())
                || !letters(b"-")
                || record.contains("--")
                || !record.starts_with(|first: char| first.is_ascii_alphabetic()) =>
        {
            Err("a key vault's name takes 3 to 24 letters, digits and single hyphens, and starts with a letter")
        }
        PrivateService::RecoveryServices | PrivateService::Migrate if !record.contains('.') => {
            Err("it lacks the region before the zone")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn problem(text: &str) -> String {
        text.parse::<ServiceName>().unwrap_err().to_string()
    }

    #[test]
    fn both_spellings_are_one_name() {
        for (public, private) in [
            ("acct.blob.core.windows.net", "acct.privatelink.blob.core.windows.net"),
            ("acct.blob.core.usgovcloudapi.net", "acct.privatelink.blob.core.usgovcloudapi.net"),
            ("acct.blob.core.chinacloudapi.cn", "acct.privatelink.blob.core.chinacloudapi.cn"),
            ("kv-1.vault.azure.net", "kv-1.privatelink.vaultcore.azure.net"),
            ("kv-1.vault.usgovcloudapi.net", "kv-1.privatelink.vaultcore.usgovcloudapi.net"),
            (
                "7548-asr-pod01-rcm1.cus.siterecovery.windowsazure.com",
                "7548-asr-pod01-rcm1.cus.privatelink.siterecovery.windowsazure.com",
            ),
            (
                "04b8-agent.cus.disc.prod.migration.windowsazure.com",
                "04b8-agent.cus.disc.privatelink.prod.migration.windowsazure.com",
            ),
        ] {
            let name = parsed(public);
            assert_eq!(name, parsed(private));
            assert_eq!((name.public_name().as_str(), name.private_name().as_str()), (public, private));
        }
    }

    #[test]
    fn names_are_read_without_case_and_with_a_dot_at_the_end() {
        assert_eq!(parsed("ACCT.Blob.Core.Windows.NET."), parsed("acct.blob.core.windows.net"));
    }

    #[test]
    fn what_is_no_service_name_is_refused_with_the_reason() {
        assert!(problem("acct.blob.core.windows.net.evil.example").contains("known cloud"));
        assert!(problem("login.microsoftonline.com").contains("known cloud"));
        assert!(problem("my_account.blob.core.windows.net").contains("3 to 24"));
        assert!(problem("a.b.blob.core.windows.net").contains("3 to 24"));
        assert!(problem("9kv.vault.azure.net").contains("starts with a letter"));
        assert!(problem("x.privatelink.siterecovery.windowsazure.com").contains("region"));
        assert!(problem("10.0.0.5").contains("address"));
        assert!(problem("localhost").contains("one part"));
        assert!(problem("-x.example").contains("parts"));
        assert!(problem(&format!("{}.example", "x.".repeat(130))).contains("253"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_refused(text in "\\PC{0,300}") {
            if let Ok(name) = text.parse::<ServiceName>() {
                prop_assert_eq!(&name.public_name().parse::<ServiceName>().unwrap(), &name);
                prop_assert_eq!(&name.private_name().parse::<ServiceName>().unwrap(), &name);
            }
        }

        #[test]
        fn every_account_has_both_spellings(account in "[a-z0-9]{3,24}", cloud in 0_usize..3) {
            let name = ServiceName::new(PrivateService::Blob, Cloud::ALL[cloud], &account).unwrap();
            prop_assert_eq!(name.public_name().parse::<ServiceName>().unwrap(), name.clone());
            prop_assert_eq!(name.private_name().parse::<ServiceName>().unwrap(), name);
        }
    }
}
