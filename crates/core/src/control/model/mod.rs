//! The bodies of Azure Resource Manager that are read and written, as plain data.
//!
//! ```text
//! resource.rs          the envelope that all resources share, lists of them, references to them
//! storage_account.rs   accounts that replication data goes through
//! private_endpoint.rs  endpoints, their approval, and the target's side of them
//! private_dns.rs       zones, links to networks, records
//! vault.rs             Recovery Services vaults and their certificates
//! role.rs              who may do what
//! project.rs           Azure Migrate projects and their solutions
//! appliance.rs         sites, fabrics, containers, providers, registration keys
//! machine.rs           machines on the premises, and what is the same in all of them
//! assessment.rs        what is recommended for them
//! policy.rs            how often they replicate, and where to
//! disk.rs              managed disks, snapshots, encryption sets, leave to write
//! virtual_machine.rs   virtual machines, sets, sizes
//! network.rs           networks, subnets, peerings, interfaces
//! enable/              how machines are replicated: start, change
//! motion.rs            test, clean up, cut over, pause, resume, resync, remove
//! recovery_point.rs    points of time that a machine can be made from
//! job.rs, operation_status.rs   what goes on, and why it failed
//! health.rs            what Site Recovery finds wrong
//! wire.rs, fields.rs   how a body is declared, read and written
//! scalar.rs            texts that are times, addresses and booleans
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
//! - Nothing is tidied: ids, times, addresses and booleans in texts keep their spelling, and an empty text stays one.
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

mod appliance;
mod assessment;
mod disk;
mod enable;
mod fields;
mod health;
mod job;
mod machine;
mod motion;
mod network;
mod operation_status;
mod policy;
mod private_dns;
mod private_endpoint;
mod project;
mod recovery_point;
mod resource;
mod role;
mod scalar;
mod storage_account;
mod vault;
mod virtual_machine;
mod wire;

pub use self::appliance::{
    ApplianceComponent, ApplianceFabric, Fabric, FabricDetails, FabricProperties, HyperVHost, HyperVSiteFabric,
    InMageRcmAppliance, InMageRcmAppliances, ProcessServer, ProtectionContainer, ProtectionContainerProperties,
    ProviderIdentity, RecoveryServicesProvider, RecoveryServicesProviderProperties, RegistrationKey,
    ReplicationAppliance, ReplicationApplianceDetails, ReplicationApplianceProperties, RunAsAccount,
    RunAsAccountProperties, Site, SiteAgent, SiteIdentity, SiteProperties, Vcenter, VcenterProperties,
};
pub use self::assessment::{
    AssessedDisk, AssessedMachine, AssessedMachineProperties, AssessedNetworkAdapter, Suitability,
};
pub use self::disk::{
    AccessLevel, AccessUri, BlobUrl, CreationData, Disk, DiskCreateOption, DiskEncryption, DiskEncryptionSet,
    DiskEncryptionSetProperties, DiskEncryptionSetType, DiskProperties, DiskSecurityProfile, DiskState, DiskType,
    EncryptionKey, GrantAccess, HyperVGeneration, Snapshot, SnapshotProperties,
};
pub use self::enable::{
    EnableMigration, EnableMigrationDetails, EnableMigrationProperties, EnableProtection, EnableProtectionDetails,
    EnableProtectionProperties, HyperVDiskInput, HyperVEnable, HyperVUpdate, InMageRcmDisk, InMageRcmDisksDefault,
    InMageRcmEnable, InMageRcmNic, InMageRcmUpdate, LicenseType, LinuxLicenseType, ProtectedDiskName,
    ProtectedIpConfiguration, ProtectedNic, ResourceTag, Setting, SiteRecoveryVersion, SqlServerLicenseType,
    TargetSecurity, TargetSecurityType, UpdateMigration, UpdateMigrationDetails, UpdateMigrationProperties,
    UpdateProtection, UpdateProtectionDetails, UpdateProtectionProperties, VmwareCbtDisk, VmwareCbtEnable,
    VmwareCbtNic, VmwareCbtSecurity, VmwareCbtUpdate, VmwareCbtUpdateDisk,
};
pub use self::health::HealthError;
pub use self::job::{
    Job, JobError, JobProperties, JobState, JobTask, ProviderError, ResumeJob, ResumeJobProperties, ServiceError,
    TaskGroup,
};
pub use self::machine::{
    ChangeTracking, DiscoveredAdapter, DiskFacts, Firmware, GuestFacts, GuestOs, HyperVDisk, HyperVMachine,
    HyperVMachineProperties, Machine, MachineDisk, MachineNic, MachineOs, OsFamily, ServerDisk, ServerMachine,
    ServerMachineProperties, VmwareDisk, VmwareMachine, VmwareMachineProperties,
};
pub use self::motion::{
    CleanUpTest, CleanUpTestProperties, DisableProtection, DisableProtectionProperties, DisableProtectionReason,
    FailoverDirection, HyperVPlannedFailover, HyperVTestFailover, HyperVUnplannedFailover, InMageRcmTestFailover,
    InMageRcmUnplannedFailover, Migrate, MigrateDetails, MigrateProperties, PauseReplication,
    PauseReplicationProperties, PlannedFailover, PlannedFailoverDetails, PlannedFailoverProperties, ResumeReplication,
    ResumeReplicationDetails, ResumeReplicationProperties, Resync, ResyncDetails, ResyncProperties, TestFailover,
    TestFailoverDetails, TestFailoverProperties, TestMigrate, TestMigrateDetails, TestMigrateProperties,
    UnplannedFailover, UnplannedFailoverDetails, UnplannedFailoverProperties, VmwareCbtMigrate, VmwareCbtResume,
    VmwareCbtResync, VmwareCbtTestMigrate,
};
pub use self::network::{
    AddressSpace, DhcpOptions, IpConfiguration, IpConfigurationProperties, NetworkInterface,
    NetworkInterfaceProperties, PeeringState, Subnet, SubnetProperties, VirtualNetwork, VirtualNetworkPeering,
    VirtualNetworkPeeringProperties, VirtualNetworkProperties,
};
pub use self::operation_status::{ErrorDetail, ErrorInfo, ErrorResponse, InnerError, OperationState, OperationStatus};
pub use self::policy::{
    ConsistencyPolicy, ContainerMapping, ContainerMappingProperties, ContainerMappingRequest,
    ContainerMappingRequestProperties, ContainerMappingSettings, HyperVPolicy, InMageRcmMapping, Policy,
    PolicyProperties, PolicyRequest, PolicyRequestProperties, PolicySettings, TARGET_AZURE, VmwareCbtMapping,
};
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
pub use self::project::{
    DISCOVERY_SOLUTION, MIGRATION_SOLUTION, MigrateProject, MigrateProjectProperties, Solution, SolutionDetails,
    SolutionError, SolutionProperties,
};
pub use self::recovery_point::{
    RecoveryPointType, ServiceRecoveryPoint, ServiceRecoveryPointProperties, latest as latest_recovery_point,
};
pub use self::resource::{Identity, Page, PublicNetworkAccess, Resource, ResourceRef, Sku};
pub use self::role::{Permission, PrincipalType, Role, RoleAssignment, RoleAssignmentProperties, RoleGrant};
pub use self::scalar::{Address, Extra, Flag, Stamp};
pub use self::storage_account::{
    DefaultAction, Endpoints, IpRule, NetworkRuleSet, StorageAccount, StorageAccountKind, StorageAccountProperties,
    StorageSkuName, VirtualNetworkRule,
};
pub use self::vault::{
    Vault, VaultCertificate, VaultCertificateProperties, VaultCertificateRequest, VaultCertificateRequestProperties,
    VaultPrivateEndpointState, VaultProperties,
};
pub use self::virtual_machine::{
    AvailabilitySet, AvailabilitySetProperties, BootDiagnostics, CapacityReservation, DataDisk, DiagnosticsProfile,
    HardwareProfile, ManagedDisk, NetworkInterfaceRefProperties, NetworkProfile, OsDisk, ResourceSku, SkuCapability,
    SkuLocation, SkuRestriction, SkuRestrictionInfo, StorageProfile, UefiSettings, VirtualMachine,
    VirtualMachineProperties, VirtualMachineSize, VmDiskSecurityProfile, VmSecurityProfile, VmSecurityType,
};
