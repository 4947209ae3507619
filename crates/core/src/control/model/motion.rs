//! The requests that move a replicated machine: test, clean up, cut over, pause, resume, resync, remove.
//!
//! Source: Azure REST API specification, Site Recovery, `service.json` (2024-04-01). Later fields say so; they are
//! from Microsoft's Python client (azure-mgmt-recoveryservicessiterecovery 2.0.0, which speaks 2025-08-01).

use super::enable::{SiteRecoveryVersion, VmwareCbtNic};
use super::resource::Resource;
use super::scalar::{Extra, Flag};
use super::wire::{by_kind, wire};
use crate::control::ArmId;
use crate::control::open_enum::open_enum;

/// Makes a test machine of a `VMware` machine (`testMigrate`).
pub type TestMigrate = Resource<TestMigrateProperties>;
/// Removes a test machine (`testMigrateCleanup`, and `testFailoverCleanup` of protected items).
pub type CleanUpTest = Resource<CleanUpTestProperties>;
/// Cuts a `VMware` machine over (`migrate`).
pub type Migrate = Resource<MigrateProperties>;
/// Stops to replicate a `VMware` machine for a while (`pauseReplication`).
pub type PauseReplication = Resource<PauseReplicationProperties>;
/// Goes on (`resumeReplication`).
pub type ResumeReplication = Resource<ResumeReplicationProperties>;
/// Compares everything of a `VMware` machine (`resync`).
pub type Resync = Resource<ResyncProperties>;
/// Makes a test machine of a protected item (`testFailover`).
pub type TestFailover = Resource<TestFailoverProperties>;
/// Fails a protected item over, its source shut down in order (`plannedFailover`).
pub type PlannedFailover = Resource<PlannedFailoverProperties>;
/// Fails a protected item over as its source is (`unplannedFailover`).
pub type UnplannedFailover = Resource<UnplannedFailoverProperties>;
/// Stops to replicate a protected item (`remove`).
pub type DisableProtection = Resource<DisableProtectionProperties>;

open_enum! {
    /// Which way a failover goes.
    pub enum FailoverDirection {
        /// To Azure.
        PrimaryToRecovery,
        /// Back.
        RecoveryToPrimary,
    }
}

open_enum! {
    /// Why a protected item is removed.
    pub enum DisableProtectionReason {
        /// Nobody says.
        NotSpecified,
        /// Its machine is in Azure.
        MigrationComplete,
    }
}

wire! {
    /// The properties of a [`TestMigrate`].
    pub struct TestMigrateProperties {
        /// Everything.
        provider_specific_details: TestMigrateDetails,
    }

    /// What a test machine of a `VMware` machine is made with.
    pub struct VmwareCbtTestMigrate {
        /// Which point of time.
        recovery_point_id: ArmId,
        /// The virtual network, which should be of tests.
        network_id: ArmId,
        /// The network interfaces, where they differ from the settings.
        vm_nics: Vec<VmwareCbtNic>,
        /// The version that its operating system is raised to.
        os_upgrade_version: String,
    }

    /// The properties of a [`CleanUpTest`].
    pub struct CleanUpTestProperties {
        /// What was seen in the test, at most 1,024 characters.
        comments: String,
    }

    /// The properties of a [`Migrate`].
    pub struct MigrateProperties {
        /// Everything.
        provider_specific_details: MigrateDetails,
    }

    /// How a `VMware` machine is cut over.
    pub struct VmwareCbtMigrate {
        /// Whether the source is shut down before the last delta.
        perform_shutdown: Flag,
        /// The version that its operating system is raised to.
        os_upgrade_version: String,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
    }

    /// The properties of a [`PauseReplication`].
    pub struct PauseReplicationProperties {
        /// `VMwareCbt`.
        instance_type: String,
    }

    /// The properties of a [`ResumeReplication`].
    pub struct ResumeReplicationProperties {
        /// Everything.
        provider_specific_details: ResumeReplicationDetails,
    }

    /// How the replication of a `VMware` machine goes on.
    pub struct VmwareCbtResume {
        /// Whether what the cutover made in Azure is deleted first.
        delete_migration_resources: Flag,
    }

    /// The properties of a [`Resync`].
    pub struct ResyncProperties {
        /// Everything.
        provider_specific_details: ResyncDetails,
    }

    /// How a `VMware` machine is compared.
    pub struct VmwareCbtResync {
        /// Whether vSphere goes on to track changes as it did, and does not begin anew.
        skip_cbt_reset: Flag,
    }

    /// The properties of a [`TestFailover`].
    pub struct TestFailoverProperties {
        /// Which way.
        failover_direction: FailoverDirection,
        /// `VmNetworkAsInput` where a network is named.
        network_type: String,
        /// The virtual network, which should be of tests.
        network_id: ArmId,
        /// What only one kind of migration has.
        provider_specific_details: TestFailoverDetails,
    }

    /// What a test machine of a Hyper-V machine is made with.
    pub struct HyperVTestFailover {
        /// Which point of time; the latest where it is absent.
        recovery_point_id: ArmId,
        /// The version that its operating system is raised to.
        os_upgrade_version: String,
    }

    /// What a test machine of a server with an agent is made with.
    pub struct InMageRcmTestFailover {
        /// The virtual network.
        network_id: ArmId,
        /// Which point of time.
        recovery_point_id: ArmId,
        /// The version that its operating system is raised to; from 2025-08-01 on.
        os_upgrade_version: String,
    }

    /// The properties of a [`PlannedFailover`].
    pub struct PlannedFailoverProperties {
        /// Which way.
        failover_direction: FailoverDirection,
        /// What only one kind of migration has.
        provider_specific_details: PlannedFailoverDetails,
    }

    /// How a Hyper-V machine fails over in order.
    pub struct HyperVPlannedFailover {
        /// Which point of time; after a last delta where it is absent.
        recovery_point_id: ArmId,
        /// The version that its operating system is raised to.
        os_upgrade_version: String,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
    }

    /// The properties of an [`UnplannedFailover`].
    pub struct UnplannedFailoverProperties {
        /// Which way.
        failover_direction: FailoverDirection,
        /// Whether something is done with the source: `Required` or `NotRequired`.
        source_site_operations: String,
        /// What only one kind of migration has.
        provider_specific_details: UnplannedFailoverDetails,
    }

    /// How a Hyper-V machine fails over as it is.
    pub struct HyperVUnplannedFailover {
        /// Which point of time; the latest where it is absent.
        recovery_point_id: ArmId,
    }

    /// How a server with an agent fails over.
    pub struct InMageRcmUnplannedFailover {
        /// Whether the source is shut down first.
        perform_shutdown: Flag,
        /// Which point of time; the latest where it is absent.
        recovery_point_id: ArmId,
        /// The version that its operating system is raised to; from 2025-08-01 on.
        os_upgrade_version: String,
        /// The capacity that is kept for it; from 2025-08-01 on.
        target_capacity_reservation_group_id: ArmId,
    }

    /// The properties of a [`DisableProtection`].
    pub struct DisableProtectionProperties {
        /// Why.
        disable_protection_reason: DisableProtectionReason,
        /// What only one kind has; none of those here has anything.
        replication_provider_input: Extra,
    }
}

by_kind! {
    /// What a test machine is made with.
    pub enum TestMigrateDetails by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtTestMigrate) = "VMwareCbt",
    }
}

by_kind! {
    /// How a machine is cut over.
    pub enum MigrateDetails by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtMigrate) = "VMwareCbt",
    }
}

by_kind! {
    /// How replication goes on.
    pub enum ResumeReplicationDetails by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtResume) = "VMwareCbt",
    }
}

by_kind! {
    /// How a machine is compared.
    pub enum ResyncDetails by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtResync) = "VMwareCbt",
    }
}

by_kind! {
    /// What a test machine is made with, for one kind of protected item.
    pub enum TestFailoverDetails by "instanceType" {
        /// Of Hyper-V.
        HyperV(HyperVTestFailover) = "HyperVReplicaAzure",
        /// With an agent.
        InMageRcm(InMageRcmTestFailover) = "InMageRcm",
    }
}

by_kind! {
    /// How a machine fails over in order, for one kind of protected item.
    pub enum PlannedFailoverDetails by "instanceType" {
        /// Of Hyper-V.
        HyperV(HyperVPlannedFailover) = "HyperVReplicaAzure",
    }
}

by_kind! {
    /// How a machine fails over as it is, for one kind of protected item.
    pub enum UnplannedFailoverDetails by "instanceType" {
        /// Of Hyper-V.
        HyperV(HyperVUnplannedFailover) = "HyperVReplicaAzure",
        /// With an agent.
        InMageRcm(InMageRcmUnplannedFailover) = "InMageRcm",
    }
}

impl Resource<TestMigrateProperties> {
    /// The body that begins a test.
    pub fn of_vmware(details: VmwareCbtTestMigrate) -> Self {
        let provider_specific_details = Some(TestMigrateDetails::VmwareCbt(details));
        Self::new(TestMigrateProperties { provider_specific_details, ..TestMigrateProperties::default() })
    }
}

impl Resource<CleanUpTestProperties> {
    /// The body that ends a test, with what was seen.
    pub fn with_comments(comments: impl Into<String>) -> Self {
        Self::new(CleanUpTestProperties { comments: Some(comments.into()), ..CleanUpTestProperties::default() })
    }
}

impl Resource<MigrateProperties> {
    /// The body that cuts over.
    pub fn of_vmware(details: VmwareCbtMigrate) -> Self {
        let provider_specific_details = Some(MigrateDetails::VmwareCbt(details));
        Self::new(MigrateProperties { provider_specific_details, ..MigrateProperties::default() })
    }

    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        SiteRecoveryVersion::with(match &self.properties.provider_specific_details {
            Some(MigrateDetails::VmwareCbt(details)) => details.target_capacity_reservation_group_id.is_some(),
            _ => false,
        })
    }
}

impl Resource<PauseReplicationProperties> {
    /// The body that pauses.
    pub fn of_vmware() -> Self {
        let instance_type = Some("VMwareCbt".to_owned());
        Self::new(PauseReplicationProperties { instance_type, ..PauseReplicationProperties::default() })
    }
}

impl Resource<ResumeReplicationProperties> {
    /// The body that goes on.
    pub fn of_vmware(details: VmwareCbtResume) -> Self {
        let provider_specific_details = Some(ResumeReplicationDetails::VmwareCbt(details));
        Self::new(ResumeReplicationProperties { provider_specific_details, ..ResumeReplicationProperties::default() })
    }
}

impl Resource<ResyncProperties> {
    /// The body that compares.
    pub fn of_vmware(details: VmwareCbtResync) -> Self {
        let provider_specific_details = Some(ResyncDetails::VmwareCbt(details));
        Self::new(ResyncProperties { provider_specific_details, ..ResyncProperties::default() })
    }
}

impl Resource<TestFailoverProperties> {
    /// The body that begins a test in `network`.
    pub fn in_network(network: ArmId, details: TestFailoverDetails) -> Self {
        Self::new(TestFailoverProperties {
            failover_direction: Some(FailoverDirection::PrimaryToRecovery),
            network_type: Some("VmNetworkAsInput".to_owned()),
            network_id: Some(network),
            provider_specific_details: Some(details),
            ..TestFailoverProperties::default()
        })
    }

    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        SiteRecoveryVersion::with(match &self.properties.provider_specific_details {
            Some(TestFailoverDetails::InMageRcm(details)) => details.os_upgrade_version.is_some(),
            _ => false,
        })
    }
}

impl Resource<PlannedFailoverProperties> {
    /// The body that fails over to Azure in order.
    pub fn to_azure(details: PlannedFailoverDetails) -> Self {
        Self::new(PlannedFailoverProperties {
            failover_direction: Some(FailoverDirection::PrimaryToRecovery),
            provider_specific_details: Some(details),
            ..PlannedFailoverProperties::default()
        })
    }

    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        SiteRecoveryVersion::with(match &self.properties.provider_specific_details {
            Some(PlannedFailoverDetails::HyperV(details)) => details.target_capacity_reservation_group_id.is_some(),
            _ => false,
        })
    }
}

impl Resource<UnplannedFailoverProperties> {
    /// The body that fails over to Azure as the source is.
    pub fn to_azure(details: UnplannedFailoverDetails) -> Self {
        Self::new(UnplannedFailoverProperties {
            failover_direction: Some(FailoverDirection::PrimaryToRecovery),
            source_site_operations: Some("NotRequired".to_owned()),
            provider_specific_details: Some(details),
            ..UnplannedFailoverProperties::default()
        })
    }

    /// The oldest version that has all that is asked for.
    pub fn version(&self) -> SiteRecoveryVersion {
        SiteRecoveryVersion::with(match &self.properties.provider_specific_details {
            Some(UnplannedFailoverDetails::InMageRcm(details)) => {
                details.os_upgrade_version.is_some() || details.target_capacity_reservation_group_id.is_some()
            }
            _ => false,
        })
    }
}

impl Resource<DisableProtectionProperties> {
    /// The body that removes an item, for this reason.
    pub fn because(reason: DisableProtectionReason) -> Self {
        let disable_protection_reason = Some(reason);
        Self::new(DisableProtectionProperties { disable_protection_reason, ..DisableProtectionProperties::default() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::control::model::wire::same;

    fn body(request: impl serde::Serialize) -> Value {
        let body = serde_json::to_value(request).unwrap();
        body["properties"].clone()
    }

    #[test]
    fn motions_of_vmware_are_the_bodies_that_the_service_wants() {
        let point = VmwareCbtTestMigrate {
            recovery_point_id: Some(ArmId::new("/point")),
            network_id: Some(ArmId::new("/net")),
            ..VmwareCbtTestMigrate::default()
        };
        let details = |properties: Value| properties["providerSpecificDetails"].clone();
        assert_eq!(
            details(body(TestMigrate::of_vmware(point))),
            json!({ "instanceType": "VMwareCbt", "recoveryPointId": "/point", "networkId": "/net" })
        );
        let shutdown = VmwareCbtMigrate { perform_shutdown: Some(true.into()), ..VmwareCbtMigrate::default() };
        assert_eq!(
            details(body(Migrate::of_vmware(shutdown))),
            json!({ "instanceType": "VMwareCbt", "performShutdown": "true" })
        );
        assert_eq!(body(PauseReplication::of_vmware()), json!({ "instanceType": "VMwareCbt" }));
        let keep = VmwareCbtResume { delete_migration_resources: Some(false.into()), ..VmwareCbtResume::default() };
        assert_eq!(
            details(body(ResumeReplication::of_vmware(keep))),
            json!({ "instanceType": "VMwareCbt", "deleteMigrationResources": "false" })
        );
        let skip = VmwareCbtResync { skip_cbt_reset: Some(true.into()), ..VmwareCbtResync::default() };
        assert_eq!(
            details(body(Resync::of_vmware(skip))),
            json!({ "instanceType": "VMwareCbt", "skipCbtReset": "true" })
        );
        assert_eq!(body(CleanUpTest::with_comments("fine")), json!({ "comments": "fine" }));
    }

    #[test]
    fn motions_of_protected_items_are_the_bodies_that_the_service_wants() {
        let hyper_v = TestFailoverDetails::HyperV(HyperVTestFailover::default());
        assert_eq!(
            body(TestFailover::in_network(ArmId::new("/net"), hyper_v)),
            json!({
                "failoverDirection": "PrimaryToRecovery", "networkType": "VmNetworkAsInput", "networkId": "/net",
                "providerSpecificDetails": { "instanceType": "HyperVReplicaAzure" },
            })
        );
        assert_eq!(
            body(PlannedFailover::to_azure(PlannedFailoverDetails::HyperV(HyperVPlannedFailover::default()))),
            json!({ "failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": { "instanceType": "HyperVReplicaAzure" } })
        );
        let running = InMageRcmUnplannedFailover { perform_shutdown: Some(false.into()), ..Default::default() };
        assert_eq!(
            body(UnplannedFailover::to_azure(UnplannedFailoverDetails::InMageRcm(running))),
            json!({
                "failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "NotRequired",
                "providerSpecificDetails": { "instanceType": "InMageRcm", "performShutdown": "false" },
            })
        );
        assert_eq!(
            body(DisableProtection::because(DisableProtectionReason::MigrationComplete)),
            json!({ "disableProtectionReason": "MigrationComplete" })
        );
    }

    #[test]
    fn what_only_the_newer_version_has_is_sent_as_that() {
        let of = |details: &Value| json!({ "properties": { "providerSpecificDetails": details } });
        let capacity = |kind: &str| of(&json!({ "instanceType": kind, "targetCapacityReservationGroupId": "/c" }));
        let upgrade = of(&json!({ "instanceType": "InMageRcm", "osUpgradeVersion": "Windows2019" }));
        assert_eq!(same::<Migrate>(&capacity("VMwareCbt")).version(), SiteRecoveryVersion::V2025);
        assert_eq!(same::<PlannedFailover>(&capacity("HyperVReplicaAzure")).version(), SiteRecoveryVersion::V2025);
        assert_eq!(same::<UnplannedFailover>(&capacity("InMageRcm")).version(), SiteRecoveryVersion::V2025);
        assert_eq!(same::<UnplannedFailover>(&upgrade).version(), SiteRecoveryVersion::V2025);
        assert_eq!(same::<TestFailover>(&upgrade).version(), SiteRecoveryVersion::V2025);
        let older = of(&json!({ "instanceType": "HyperVReplicaAzure", "osUpgradeVersion": "Windows2019" }));
        assert_eq!(same::<TestFailover>(&older).version(), SiteRecoveryVersion::V2024);
        assert_eq!(same::<PlannedFailover>(&older).version(), SiteRecoveryVersion::V2024);
        assert_eq!(Migrate::default().version(), SiteRecoveryVersion::V2024);
    }

    #[test]
    fn a_key_that_others_send_is_kept_and_never_shown() {
        let request: PlannedFailover = same(&json!({ "properties": { "providerSpecificDetails": {
            "instanceType": "HyperVReplicaAzure", "primaryKekCertificatePfx": "canary",
        }}}));
        assert!(!format!("{request:?}").contains("canary"));
    }
}
