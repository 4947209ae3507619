//! Recovery Services vaults, and the certificates that registration keys are made of.
//!
//! Source: Azure REST API specification, `vaults.json` and `registeredidentities.json` (2024-04-01).

use super::private_endpoint::PrivateEndpointConnection;
use super::resource::{PublicNetworkAccess, Resource};
use super::scalar::Stamp;
use super::wire::wire;
use crate::control::open_enum::open_enum;

/// A Recovery Services vault.
pub type Vault = Resource<VaultProperties>;
/// The certificate that a vault is asked to trust.
pub type VaultCertificateRequest = Resource<VaultCertificateRequestProperties>;
/// A certificate that a vault trusts, with what a registration key needs beside it.
pub type VaultCertificate = Resource<VaultCertificateProperties>;

open_enum! {
    /// Whether a vault has a private endpoint for one of its services.
    pub enum VaultPrivateEndpointState {
        /// It has none, and is used over its public endpoint.
        None,
        /// It has one.
        Enabled,
    }
}

wire! {
    /// The properties of a [`Vault`].
    pub struct VaultProperties {
        /// Where the last change of it is.
        provisioning_state: String,
        /// Whether it is reached at its public endpoint.
        public_network_access: PublicNetworkAccess,
        /// Whether Site Recovery, and so migration, goes over a private endpoint.
        private_endpoint_state_for_site_recovery: VaultPrivateEndpointState,
        /// The same for Backup.
        private_endpoint_state_for_backup: VaultPrivateEndpointState,
        /// The private endpoints that ask for it, or have it.
        private_endpoint_connections: Vec<PrivateEndpointConnection>,
    }

    /// The properties of a [`VaultCertificateRequest`].
    pub struct VaultCertificateRequestProperties {
        /// `AzureActiveDirectory` (or `AAD`), `AccessControlService` (or `ACS`).
        auth_type: String,
        /// The certificate without its private key: DER in Base64.
        certificate: String,
    }

    /// The properties of a [`VaultCertificate`].
    pub struct VaultCertificateProperties {
        /// `AzureActiveDirectory` or `AccessControlService`.
        auth_type: String,
        /// The certificate without its private key: DER in Base64.
        certificate: String,
        /// Its name.
        friendly_name: String,
        /// Who issued it.
        issuer: String,
        /// The vault's number, of which the names of its private endpoints begin.
        resource_id: i64,
        /// Whom it is issued to.
        subject: String,
        /// Its thumbprint.
        thumbprint: String,
        /// From when on it is valid.
        valid_from: Stamp,
        /// Until when.
        valid_to: Stamp,
        /// Who signs in the vault's clients.
        aad_authority: String,
        /// The directory that they sign in to.
        aad_tenant_id: String,
        /// Whom they sign in as: the application.
        service_principal_client_id: String,
        /// Whom they sign in as: the object that roles are granted to.
        service_principal_object_id: String,
        /// The audience of their tokens.
        azure_management_endpoint_audience: String,
    }
}

impl Resource<VaultProperties> {
    /// The object id of its system-assigned identity, which roles are granted to.
    pub fn principal_id(&self) -> Option<&str> {
        self.identity.as_ref()?.principal_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Whether Site Recovery goes over a private endpoint.
    pub fn is_private(&self) -> bool {
        self.properties.private_endpoint_state_for_site_recovery == Some(VaultPrivateEndpointState::Enabled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vault_that_is_read_and_written_is_the_same() {
        let body = json!({
            "id": "/subscriptions/s/v", "etag": "e", "location": "westeurope", "sku": { "name": "RS0", "capacity": "1" },
            "identity": { "type": "SystemAssigned", "principalId": "p", "tenantId": "t" },
            "systemData": { "createdBy": "x" },
            "properties": {
                "provisioningState": "Succeeded", "publicNetworkAccess": "Disabled", "secureScore": "None",
                "privateEndpointStateForBackup": "None", "privateEndpointStateForSiteRecovery": "Enabled",
                "privateEndpointConnections": [{ "id": "/subscriptions/s/c", "properties": { "groupIds": ["AzureSiteRecovery"] } }],
            },
        });
        let vault: Vault = serde_json::from_value(body.clone()).unwrap();
        assert!(vault.is_private());
        assert_eq!(vault.principal_id(), Some("p"));
        assert_eq!(serde_json::to_value(vault).unwrap(), body);
    }

    #[test]
    fn a_vault_without_an_identity_has_no_principal() {
        let none = json!({ "identity": { "type": "None", "principalId": "" } });
        assert_eq!(serde_json::from_value::<Vault>(none).unwrap().principal_id(), None);
        assert!(Vault::default().principal_id().is_none() && !Vault::default().is_private());
    }

    #[test]
    fn a_certificate_that_is_read_and_written_is_the_same() {
        let body = json!({ "name": "c", "properties": {
            "authType": "AzureActiveDirectory", "certificate": "MII=", "resourceId": 7_548_582_474_929_277_163_i64,
            "validTo": "2026-12-01T00:00:00.0000000Z", "aadAudience": "https://x",
        }});
        let certificate: VaultCertificate = serde_json::from_value(body.clone()).unwrap();
        assert!(certificate.properties.valid_to.as_ref().unwrap().at().is_some());
        assert_eq!(serde_json::to_value(certificate).unwrap(), body);
    }

    #[test]
    fn a_certificate_is_asked_for_with_its_public_part_only() {
        let properties = VaultCertificateRequestProperties {
            auth_type: Some("AzureActiveDirectory".to_owned()),
            certificate: Some("MII=".to_owned()),
            ..Default::default()
        };
        let body = json!({ "properties": { "authType": "AzureActiveDirectory", "certificate": "MII=" } });
        assert_eq!(serde_json::to_value(VaultCertificateRequest::new(properties)).unwrap(), body);
    }
}
