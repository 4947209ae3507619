//! The clouds, and the DNS zones of the services that a migration reaches through private endpoints.
//!
//! Sources: Microsoft Learn, "Azure private endpoint private DNS zone values" (2021, and its editions since);
//! "Troubleshoot network connectivity" of Azure Migrate (2021-11). Where a document lists no zone for a
//! cloud, there is none here: a guess would be checked against.

use serde::{Deserialize, Serialize};

/// One of the clouds. Each has its own names, and its own identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cloud {
    /// Azure.
    Public,
    /// Azure Government of the United States.
    UsGovernment,
    /// Azure operated by 21Vianet in China.
    China,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Where Azure Resource Manager is. It stays on its public endpoint.
    pub const fn resource_manager_host(self) -> &'static str {
        match self {
            Self::Public => "management.azure.com",
            Self::UsGovernment => "management.usgovcloudapi.net",
            Self::China => "management.chinacloudapi.cn",
        }
    }

    /// What a token for Azure Resource Manager is asked for.
    ///
    /// Source: Microsoft Learn, "Compare Azure Government and global Azure" and "Check endpoints in Azure operated
    /// by 21Vianet": the audience is the host of Resource Manager.
    pub const fn resource_manager_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::UsGovernment => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }

    /// Where tokens come from. Microsoft Entra ID has no private endpoints.
    pub const fn login_host(self) -> &'static str {
        match self {
            Self::Public => "login.microsoftonline.com",
            Self::UsGovernment => "login.microsoftonline.us",
            Self::China => "login.partner.microsoftonline.cn",
        }
    }

    /// The hosts of the control plane: Resource Manager and tokens.
    pub const fn control_plane_hosts(self) -> [&'static str; 2] {
        [self.resource_manager_host(), self.login_host()]
    }
}

/// A service that is reached through private endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrivateService {
    /// Blob storage: cache and replication accounts.
    Blob,
    /// Recovery Services vaults.
    RecoveryServices,
    /// Azure Migrate projects: discovery, assessment, hub.
    Migrate,
    /// Key vaults.
    KeyVault,
}

impl PrivateService {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Blob, Self::RecoveryServices, Self::Migrate, Self::KeyVault];

    /// The group that a private endpoint names to reach the service (`groupIds`).
    pub const fn group_id(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::RecoveryServices => "AzureSiteRecovery",
            Self::Migrate => "Default",
            Self::KeyVault => "vault",
        }
    }

    /// What the service's names end with, without a dot before; none where the documents list no zone.
    pub const fn suffix(self, cloud: Cloud) -> Option<&'static str> {
        match (self, cloud) {
            (Self::Blob, Cloud::Public) => Some("blob.core.windows.net"),
            (Self::Blob, Cloud::UsGovernment) => Some("blob.core.usgovcloudapi.net"),
            (Self::Blob, Cloud::China) => Some("blob.core.chinacloudapi.cn"),
            (Self::RecoveryServices, Cloud::Public) => Some("siterecovery.windowsazure.com"),
            (Self::RecoveryServices, Cloud::UsGovernment) => Some("siterecovery.windowsazure.us"),
            (Self::Migrate, Cloud::Public) => Some("prod.migration.windowsazure.com"),
            (Self::Migrate, Cloud::UsGovernment) => Some("prod.migration.windowsazure.us"),
            (Self::RecoveryServices | Self::Migrate, Cloud::China) => None,
            (Self::KeyVault, Cloud::Public) => Some("vault.azure.net"),
            (Self::KeyVault, Cloud::UsGovernment) => Some("vault.usgovcloudapi.net"),
            (Self::KeyVault, Cloud::China) => Some("vault.azure.cn"),
        }
    }

    /// The private DNS zone of the service.
    pub const fn zone(self, cloud: Cloud) -> Option<&'static str> {
        match (self, cloud) {
            (Self::Blob, Cloud::Public) => Some("privatelink.blob.core.windows.net"),
            (Self::Blob, Cloud::UsGovernment) => Some("privatelink.blob.core.usgovcloudapi.net"),
            (Self::Blob, Cloud::China) => Some("privatelink.blob.core.chinacloudapi.cn"),
            (Self::RecoveryServices, Cloud::Public) => Some("privatelink.siterecovery.windowsazure.com"),
            (Self::RecoveryServices, Cloud::UsGovernment) => Some("privatelink.siterecovery.windowsazure.us"),
            (Self::Migrate, Cloud::Public) => Some("privatelink.prod.migration.windowsazure.com"),
            (Self::Migrate, Cloud::UsGovernment) => Some("privatelink.prod.migration.windowsazure.us"),
            (Self::RecoveryServices | Self::Migrate, Cloud::China) => None,
            (Self::KeyVault, Cloud::Public) => Some("privatelink.vaultcore.azure.net"),
            (Self::KeyVault, Cloud::UsGovernment) => Some("privatelink.vaultcore.usgovcloudapi.net"),
            (Self::KeyVault, Cloud::China) => Some("privatelink.vaultcore.azure.cn"),
        }
    }
}
