//! The bodies of Azure Resource Manager that are read and written, as plain data.
//!
//! ```text
//! resource.rs          the envelope that all resources share, lists of them, references to them
//! storage_account.rs   accounts that replication data goes through
//! private_endpoint.rs  endpoints, their approval, and the target's side of them
//! private_dns.rs       zones, links to networks, records
//! vault.rs             Recovery Services vaults and their certificates
//! role.rs              who may do what
//! wire.rs, scalar.rs   how a body is declared; texts that are times and booleans
//! ```
//!
//! These types are the bodies themselves; there is no second layer. Four rules hold for all of them:
//!
//! - Nothing is required: the service leaves out what it does not know, so every field is an `Option`. What must be
//!   there is a rule of its own, with a finding. Only a value of the wrong kind (a number for a list) is an error
//!   of `serde_json`.
//! - Nothing is lost: fields that are not known here are kept in `extra`, and enums keep words that they do not
//!   know. What is read and written again is the same, but for what says nothing: fields that are known here and
//!   are `null`, and empty `properties`, are left out.
//! - Nothing is tidied: ids, times and booleans in texts keep their spelling, and an empty text stays one.
//! - Nothing is told: `Debug` shows the names of the fields in `extra` and not their values, which may be
//!   anything, also keys.
//!
//! Source: Azure REST API specifications; each file names its own.
//!
//! ```
//! use libmigrate::control::model::{ConnectionStatus, PrivateEndpointConnection};
//!
//! let body = r#"{
//!     "name": "web.1",
//!     "properties": { "privateLinkServiceConnectionState": { "status": "Pending" }, "linkIdentifier": "33" }
//! }"#;
//! let connection: PrivateEndpointConnection = serde_json::from_str(body)?;
//! assert_eq!(connection.status(), Some(&ConnectionStatus::Pending));
//! assert_eq!(connection.properties.extra["linkIdentifier"], "33");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod private_dns;
mod private_endpoint;
mod resource;
mod role;
mod scalar;
mod storage_account;
mod vault;
mod wire;

pub use self::private_dns::{
    ARecord, PrivateDnsZone, PrivateDnsZoneProperties, RecordSet, RecordSetProperties, VirtualNetworkLink,
    VirtualNetworkLinkProperties,
};
pub use self::private_endpoint::{
    ConnectionState, ConnectionStatus, CustomDnsConfig, PrivateDnsZoneConfig, PrivateDnsZoneConfigProperties,
    PrivateDnsZoneGroup, PrivateDnsZoneGroupProperties, PrivateEndpoint, PrivateEndpointConnection,
    PrivateEndpointConnectionProperties, PrivateEndpointProperties, PrivateLinkResource, PrivateLinkResourceProperties,
    PrivateLinkServiceConnection, PrivateLinkServiceConnectionProperties, ZoneRecord,
};
pub use self::resource::{Identity, Page, PublicNetworkAccess, Resource, ResourceRef, Sku};
pub use self::role::{PrincipalType, Role, RoleAssignment, RoleAssignmentProperties, RoleGrant};
pub use self::scalar::{Extra, Flag, Stamp};
pub use self::storage_account::{
    DefaultAction, Endpoints, IpRule, NetworkRuleSet, StorageAccount, StorageAccountKind, StorageAccountProperties,
    StorageSkuName, VirtualNetworkRule,
};
pub use self::vault::{
    Vault, VaultCertificate, VaultCertificateProperties, VaultCertificateRequest, VaultCertificateRequestProperties,
    VaultPrivateEndpointState, VaultProperties,
};
