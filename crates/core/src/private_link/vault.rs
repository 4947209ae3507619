//! The five endpoints of a Recovery Services vault.
//!
//! Their names are given by the service, never computed: `{vault link id}-asr-pod01-{role}.{region}` under
//! the zone. What is read from the private endpoint is matched against that form, and must be five of one vault.
//!
//! Sources: "Migrate servers to Azure by using Private Link" (2022-12-14), which prints a stray hyphen after
//! the role; what the service gives has none. Roles as members of the group `AzureSiteRecovery`:
//! `SiteRecovery-id1`, `-prot2`, `-rcm1`, `-srs1`, `-tel1`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PrivateLinkError;
use super::cloud::PrivateService;
use super::name::ServiceName;

/// Which of the vault's services an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VaultRole {
    /// Identity.
    Id1,
    /// Protection.
    Prot2,
    /// Replication control of agents and appliances.
    Rcm1,
    /// The site recovery service.
    Srs1,
    /// Telemetry.
    Tel1,
}

impl VaultRole {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Id1, Self::Prot2, Self::Rcm1, Self::Srs1, Self::Tel1];

    /// As names spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id1 => "id1",
            Self::Prot2 => "prot2",
            Self::Rcm1 => "rcm1",
            Self::Srs1 => "srs1",
            Self::Tel1 => "tel1",
        }
    }

    /// The role of a member of the group `AzureSiteRecovery`, such as `SiteRecovery-rcm1`.
    pub fn of_member(member: &str) -> Option<Self> {
        let member = member.to_ascii_lowercase();
        let role = member.strip_prefix("siterecovery-")?;
        Self::ALL.into_iter().find(|known| known.as_str() == role)
    }
}

impl fmt::Display for VaultRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of them, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultEndpoint {
    /// Its name.
    pub name: ServiceName,
    /// The number of the vault's private link.
    pub link_id: String,
    /// Which service.
    pub role: VaultRole,
    /// The region's code, such as `cus`.
    pub region: String,
}

impl VaultEndpoint {
    /// Takes a name apart, in either spelling.
    pub fn read(text: &str) -> Result<Self, PrivateLinkError> {
        let name: ServiceName = text.parse()?;
        let refuse = |problem| PrivateLinkError::name(text, problem);
        if name.service() != PrivateService::RecoveryServices {
            return Err(refuse("it is no name of a Recovery Services vault"));
        }
        let form = "an endpoint of a vault is named {link id}-asr-pod{number}-{role}.{region}";
        let (label, region) = name.record().split_once('.').ok_or_else(|| refuse(form))?;
        let (link_id, rest) = label.split_once("-asr-pod").ok_or_else(|| refuse(form))?;
        let (pod, role) = rest.split_once('-').ok_or_else(|| refuse(form))?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let role = VaultRole::ALL.into_iter().find(|known| known.as_str() == role);
        let (Some(role), true, true) = (role, digits(link_id), digits(pod)) else { return Err(refuse(form)) };
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(refuse(form));
        }
        Ok(Self { link_id: link_id.to_owned(), role, region: region.to_owned(), name })
    }
}

/// All five of one vault, in the order of [`VaultRole::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultEndpoints([VaultEndpoint; 5]);

impl VaultEndpoints {
    /// Reads what the private endpoint lists (`customDnsConfigs[].fqdn`), in any order. The two names more
    /// that appear once Azure-to-Azure replication is on are no part of a migration and are passed over.
    pub fn read<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, PrivateLinkError> {
        let read: Vec<VaultEndpoint> = names.into_iter().filter_map(|name| VaultEndpoint::read(name).ok()).collect();
        let of_role = |role: VaultRole| {
            let mut of_role = read.iter().filter(move |endpoint| endpoint.role == role);
            match (of_role.next(), of_role.next()) {
                (Some(one), None) => Ok(one.clone()),
                (None, _) => {
                    Err(PrivateLinkError::name("the vault's private endpoint", &format!("it lists no {role}")))
                }
                (Some(_), Some(_)) => {
                    Err(PrivateLinkError::name("the vault's private endpoint", &format!("it lists {role} twice")))
                }
            }
        };
        let [id1, prot2, rcm1, srs1, tel1] = VaultRole::ALL.map(of_role);
        let five = [id1?, prot2?, rcm1?, srs1?, tel1?];
        if five.iter().any(|other| other.link_id != five[0].link_id || other.region != five[0].region) {
            return Err(PrivateLinkError::name(&five[0].name.private_name(), "the five names are not of one vault"));
        }
        Ok(Self(five))
    }

    /// The five.
    pub const fn all(&self) -> &[VaultEndpoint; 5] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(role: &str) -> String {
        format!("7548582474929277163-asr-pod01-{role}.cus.privatelink.siterecovery.windowsazure.com")
    }

    fn five() -> Vec<String> {
        ["tel1", "srs1", "rcm1", "prot2", "id1"].map(name).to_vec()
    }

    fn read(names: &[String]) -> Result<VaultEndpoints, String> {
        VaultEndpoints::read(names.iter().map(String::as_str)).map_err(|error| error.to_string())
    }

    #[test]
    fn five_names_of_one_vault_are_its_endpoints() {
        let endpoints = read(&five()).unwrap();
        assert_eq!(endpoints.all().each_ref().map(|endpoint| endpoint.role), VaultRole::ALL);
        assert!(endpoints.all().iter().all(|endpoint| endpoint.region == "cus"));
        assert_eq!(endpoints.all()[0].link_id, "7548582474929277163");
    }

    #[test]
    fn names_of_other_services_on_the_same_endpoint_are_passed_over() {
        let more = [five(), vec![name("a2a1"), "acct.blob.core.windows.net".to_owned()]].concat();
        assert!(read(&more).is_ok());
    }

    #[test]
    fn what_is_not_five_of_one_vault_is_refused() {
        assert!(read(&five()[1..]).unwrap_err().contains("lists no tel1"));
        assert!(read(&[five(), vec![name("srs1")]].concat()).unwrap_err().contains("srs1 twice"));
        let mut other = five();
        other[0] = other[0].replace("7548", "7549");
        assert!(read(&other).unwrap_err().contains("not of one vault"));
    }

    #[test]
    fn a_name_of_another_form_is_no_endpoint() {
        let problem = |text: &str| VaultEndpoint::read(text).unwrap_err().to_string();
        assert!(problem(&name("rcm1").replace("-asr-", "-")).contains("link id"));
        assert!(problem(&name("rcm9")).contains("link id"));
        assert!(problem(&name("rcm1").replace("7548582474929277163", "vault")).contains("link id"));
        assert!(problem(&name("rcm1").replace(".cus.", ".c-s.")).contains("link id"));
        assert!(problem("acct.blob.core.windows.net").contains("no name of a Recovery Services vault"));
    }

    #[test]
    fn members_are_read_without_case() {
        assert_eq!(VaultRole::of_member("SiteRecovery-rcm1"), Some(VaultRole::Rcm1));
        assert_eq!(VaultRole::of_member("siterecovery-TEL1"), Some(VaultRole::Tel1));
        assert_eq!(VaultRole::of_member("AzureBackup-rcm1"), None);
    }
}
