//! Storage accounts: where replication data goes through.
//!
//! Source: Azure REST API specification, `storage.json` and `privatelinks.json` (2023-05-01).

use super::private_endpoint::PrivateEndpointConnection;
use super::resource::{PublicNetworkAccess, Resource};
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// A storage account.
pub type StorageAccount = Resource<StorageAccountProperties>;

open_enum! {
    /// The kind of a storage account.
    pub enum StorageAccountKind {
        /// General purpose, first version: has no private endpoints.
        Storage,
        /// General purpose, second version.
        StorageV2,
        /// Blobs only.
        BlobStorage,
        /// Premium files.
        FileStorage,
        /// Premium block blobs.
        BlockBlobStorage,
    }
}

open_enum! {
    /// The SKU of a storage account: its tier and where its copies are.
    pub enum StorageSkuName {
        /// Copies in one datacentre.
        StandardLrs = "Standard_LRS",
        /// Copies in a second region.
        StandardGrs = "Standard_GRS",
        /// Copies in a second region, which can be read.
        StandardRagrs = "Standard_RAGRS",
        /// Copies in several zones.
        StandardZrs = "Standard_ZRS",
        /// Solid-state, copies in one datacentre.
        PremiumLrs = "Premium_LRS",
        /// Solid-state, copies in several zones.
        PremiumZrs = "Premium_ZRS",
        /// Copies in several zones and a second region.
        StandardGzrs = "Standard_GZRS",
        /// Copies in several zones and a second region, which can be read.
        StandardRagzrs = "Standard_RAGZRS",
    }
}

open_enum! {
    /// What happens to a request that no network rule speaks of.
    pub enum DefaultAction {
        /// It is let in.
        Allow,
        /// It is refused.
        Deny,
    }
}

wire! {
    /// The properties of a [`StorageAccount`].
    pub struct StorageAccountProperties {
        /// `Creating`, `ResolvingDNS` or `Succeeded`.
        provisioning_state: String,
        /// The URLs of its services.
        primary_endpoints: Endpoints,
        /// Where the copy that is written to is.
        primary_location: String,
        /// Which networks may reach it.
        network_acls: NetworkRuleSet,
        /// Whether it is reached at its public endpoint at all.
        public_network_access: PublicNetworkAccess,
        /// The private endpoints that ask for it, or have it.
        private_endpoint_connections: Vec<PrivateEndpointConnection>,
        /// Whether requests without TLS are refused.
        supports_https_traffic_only: bool,
        /// Whether the account's keys may sign requests; absent is yes.
        allow_shared_key_access: bool,
        /// The oldest TLS that is let in: `TLS1_2`.
        minimum_tls_version: String,
    }

    /// The URLs of an account's services.
    pub struct Endpoints {
        /// Of blobs.
        blob: String,
    }

    /// Which networks may reach an account.
    pub struct NetworkRuleSet {
        /// Who is let past the rules: `None`, or some of `Logging, Metrics, AzureServices`, with commas. Absent is
        /// `AzureServices`.
        bypass: String,
        /// What happens to the others.
        default_action: DefaultAction,
        /// Public addresses that are let in.
        ip_rules: Vec<IpRule>,
        /// Subnets that are let in.
        virtual_network_rules: Vec<VirtualNetworkRule>,
    }

    /// A public address or network that is let in.
    pub struct IpRule {
        /// An IPv4 address or a network in CIDR form.
        value: String,
        /// `Allow`.
        action: String,
    }

    /// A subnet that is let in.
    pub struct VirtualNetworkRule {
        /// The subnet.
        id: ArmId,
        /// `Allow`.
        action: String,
        /// `Provisioning`, `Deprovisioning`, `Succeeded`, `Failed` or `NetworkSourceDeleted`.
        state: String,
    }
}

impl Resource<StorageAccountProperties> {
    /// The kind.
    pub fn account_kind(&self) -> Option<StorageAccountKind> {
        self.kind.as_deref().map(StorageAccountKind::from)
    }

    /// The SKU.
    pub fn sku_name(&self) -> Option<StorageSkuName> {
        Some(StorageSkuName::from(self.sku.as_ref()?.name.as_deref()?))
    }

    /// Whether it is of the Premium tier, as its SKU says; false where nothing says so.
    pub fn is_premium(&self) -> bool {
        let Some(sku) = &self.sku else { return false };
        let by_name = || sku.name.as_deref().and_then(|name| name.split('_').next());
        sku.tier.as_deref().or_else(by_name).is_some_and(|tier| tier.eq_ignore_ascii_case("Premium"))
    }

    /// Whether Azure's trusted services pass its network rules: the rules say so, or do not say, which means the
    /// same (default of `bypass` in the specification).
    pub fn trusts_azure_services(&self) -> bool {
        let bypass = self.properties.network_acls.as_ref().and_then(|rules| rules.bypass.as_deref());
        bypass.is_none_or(|list| list.split(',').any(|who| who.trim().eq_ignore_ascii_case("AzureServices")))
    }

    /// Whether some network cannot reach its public endpoint.
    pub fn restricts_network(&self) -> bool {
        let StorageAccountProperties { network_acls, public_network_access, .. } = &self.properties;
        let default = network_acls.as_ref().and_then(|rules| rules.default_action.as_ref());
        // A word that is not known is taken for a restriction: who asks wants to know whether to look closer.
        default.is_some_and(|action| *action != DefaultAction::Allow)
            || public_network_access.as_ref().is_some_and(|access| {
                !matches!(access, PublicNetworkAccess::Enabled | PublicNetworkAccess::NotSpecified)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account(properties: &Value) -> StorageAccount {
        serde_json::from_value(json!({ "properties": properties })).unwrap()
    }

    #[test]
    fn an_account_that_is_read_and_written_is_the_same() {
        let body = json!({
            "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/cache",
            "name": "cache", "type": "Microsoft.Storage/storageAccounts", "location": "westeurope",
            "tags": { "Migrate Project": "p" }, "sku": { "name": "Premium_LRS", "tier": "Premium" }, "kind": "StorageV2",
            "properties": {
                "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled", "accessTier": "Hot",
                "primaryEndpoints": { "blob": "https://cache.blob.core.windows.net/", "dfs": "https://x/" },
                "networkAcls": {
                    "bypass": "Logging, AzureServices", "defaultAction": "Deny",
                    "ipRules": [{ "value": "52.0.0.0/24", "action": "Allow" }],
                    "virtualNetworkRules": [{ "id": "/subscriptions/s/x", "action": "Allow", "state": "Succeeded" }],
                },
                "privateEndpointConnections": [{ "name": "c", "properties": { "provisioningState": "Succeeded" } }],
            },
        });
        let account: StorageAccount = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(account.account_kind(), Some(StorageAccountKind::StorageV2));
        assert_eq!(account.sku_name(), Some(StorageSkuName::PremiumLrs));
        assert!(account.is_premium() && account.restricts_network() && account.trusts_azure_services());
        assert_eq!(serde_json::to_value(account).unwrap(), body);
    }

    #[test]
    fn a_tier_is_told_by_the_name_where_it_is_not_told() {
        let of = |sku: Value| serde_json::from_value::<StorageAccount>(json!({ "sku": sku })).unwrap().is_premium();
        assert!(of(json!({ "name": "Premium_ZRS" })) && !of(json!({ "name": "Standard_LRS" })));
        assert!(!StorageAccount::default().is_premium());
    }

    #[test]
    fn trusted_services_pass_unless_the_rules_say_otherwise() {
        assert!(account(&json!({})).trusts_azure_services());
        assert!(account(&json!({ "networkAcls": { "defaultAction": "Deny" } })).trusts_azure_services());
        assert!(!account(&json!({ "networkAcls": { "bypass": "None" } })).trusts_azure_services());
        assert!(!account(&json!({ "networkAcls": { "bypass": "Logging,Metrics" } })).trusts_azure_services());
    }

    #[test]
    fn an_account_is_restricted_by_its_rules_or_by_its_endpoint() {
        assert!(!account(&json!({})).restricts_network());
        assert!(!account(&json!({ "networkAcls": { "defaultAction": "Allow" } })).restricts_network());
        assert!(account(&json!({ "networkAcls": { "defaultAction": "Deny" } })).restricts_network());
        assert!(account(&json!({ "publicNetworkAccess": "Disabled" })).restricts_network());
    }
}
