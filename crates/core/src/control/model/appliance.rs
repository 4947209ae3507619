//! Who replicates on the premises: appliances with their sites, the fabrics and containers that stand for them in
//! the vault, the providers that run them, and the keys that register them.
//!
//! Source: Azure REST API specification, `Microsoft.OffAzure` (2023-06-06) and Site Recovery (2024-04-01).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::health::HealthError;
use super::resource::Resource;
use super::scalar::Stamp;
use super::wire::{by_kind, wire};
use crate::control::ArmId;
use crate::secret::Secret;

/// A site: what an appliance discovers. `vmwareSites`, `hypervSites` or `serverSites`.
pub type Site = Resource<SiteProperties>;
/// An account on the premises that an appliance works with. Its secret stays on the appliance.
pub type RunAsAccount = Resource<RunAsAccountProperties>;
/// A vCenter server of a `VMware` site.
pub type Vcenter = Resource<VcenterProperties>;
/// What stands for a site in the vault.
pub type Fabric = Resource<FabricProperties>;
/// What the items of a fabric are in.
pub type ProtectionContainer = Resource<ProtectionContainerProperties>;
/// What runs in the appliance, or on the Hyper-V host, and speaks with the vault.
pub type RecoveryServicesProvider = Resource<RecoveryServicesProviderProperties>;
/// The replication appliance of servers with agents.
pub type ReplicationAppliance = Resource<ReplicationApplianceProperties>;

wire! {
    /// The properties of a [`Site`].
    pub struct SiteProperties {
        /// The appliance.
        appliance_name: String,
        /// The solution of the project that it belongs to.
        discovery_solution_id: ArmId,
        /// The URL that the appliance speaks with.
        service_endpoint: String,
        /// Whom the appliance signs in as.
        service_principal_identity_details: SiteIdentity,
        /// The agent in the appliance.
        agent_details: SiteAgent,
        /// Where the last change of it is.
        provisioning_state: String,
    }

    /// Whom an appliance signs in as.
    pub struct SiteIdentity {
        /// The directory.
        tenant_id: String,
        /// The application.
        application_id: String,
        /// The object that roles are granted to.
        object_id: String,
        /// The audience of its tokens.
        audience: String,
        /// Who signs it in.
        aad_authority: String,
    }

    /// The agent in an appliance.
    pub struct SiteAgent {
        /// Its id.
        id: String,
        /// Its version.
        version: String,
        /// When it was last heard of.
        last_heart_beat_utc: Stamp,
    }

    /// The properties of a [`RunAsAccount`].
    pub struct RunAsAccountProperties {
        /// The name that its owner gave it.
        display_name: String,
        /// `VMwareFabric`, `HyperVFabric`, `WindowsGuest`, `LinuxGuest` and others.
        credential_type: String,
        /// The appliance that has it.
        appliance_name: String,
    }

    /// The properties of a [`Vcenter`].
    pub struct VcenterProperties {
        /// Its name in DNS, or its address.
        fqdn: String,
        /// Its port.
        port: String,
        /// The name that its owner gave it.
        friendly_name: String,
        /// Its version.
        version: String,
        /// Its own id.
        instance_uuid: String,
        /// The account that it is spoken with.
        run_as_account_id: ArmId,
    }

    /// The properties of a [`Fabric`].
    pub struct FabricProperties {
        /// The name that is shown.
        friendly_name: String,
        /// The name that the service knows it by.
        internal_identifier: String,
        /// `Valid` where it works.
        bcdr_state: String,
        /// `Normal`, `Warning` or `Critical`.
        health: String,
        /// What is wrong.
        health_error_details: Vec<HealthError>,
        /// What only one kind has.
        custom_details: FabricDetails,
    }

    /// What a fabric of an appliance has.
    pub struct ApplianceFabric {
        /// The `VMware` site.
        vmware_site_id: ArmId,
        /// The site of servers.
        physical_site_id: ArmId,
        /// The solution of the project; of `VMware` appliances only.
        migration_solution_id: ArmId,
        /// The URL that the appliance speaks with.
        service_endpoint: String,
        /// The resource of the service behind it.
        service_resource_id: String,
        /// The container of the service behind it.
        service_container_id: String,
        /// What takes the machines' data in.
        process_servers: Vec<ProcessServer>,
        /// Who installs agents by itself.
        push_installers: Vec<ApplianceComponent>,
        /// The providers; of appliances for agents only.
        dras: Vec<ApplianceComponent>,
    }

    /// What takes the machines' data in.
    pub struct ProcessServer {
        /// Its id: what agents are told to replicate to.
        id: String,
        /// Its name.
        name: String,
        /// Its name in DNS.
        fqdn: String,
        /// Its addresses.
        ip_addresses: Vec<String>,
        /// Its version.
        version: String,
        /// When it was last heard of.
        last_heartbeat_utc: Stamp,
        /// `Normal`, `Warning` or `Critical`.
        health: String,
        /// What is wrong.
        health_errors: Vec<HealthError>,
        /// How many machines replicate to it.
        protected_item_count: i64,
    }

    /// A part of an appliance.
    pub struct ApplianceComponent {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// When it was last heard of.
        last_heartbeat_utc: Stamp,
        /// `Normal`, `Warning` or `Critical`.
        health: String,
        /// What is wrong.
        health_errors: Vec<HealthError>,
    }

    /// What a Hyper-V site has.
    pub struct HyperVSiteFabric {
        /// The hosts.
        hyper_v_hosts: Vec<HyperVHost>,
    }

    /// A Hyper-V host.
    pub struct HyperVHost {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The version of the agent that sends its data.
        mars_agent_version: String,
    }

    /// The properties of a [`ProtectionContainer`].
    pub struct ProtectionContainerProperties {
        /// The name that is shown.
        friendly_name: String,
        /// The name of its fabric that is shown.
        fabric_friendly_name: String,
        /// `VMwareV2`, `HyperVSite`, `InMageRcmFabric` and others.
        fabric_type: String,
        /// How many machines are in it.
        protected_item_count: i64,
        /// `Paired` where it has a mapping.
        pairing_status: String,
        /// `Primary`, `Recovery` and others.
        role: String,
    }

    /// The properties of a [`RecoveryServicesProvider`].
    pub struct RecoveryServicesProviderProperties {
        /// The name that is shown.
        friendly_name: String,
        /// The name of its fabric that is shown.
        fabric_friendly_name: String,
        /// The kind of its fabric.
        fabric_type: String,
        /// Its version.
        provider_version: String,
        /// Whether that is new enough: `Latest`, `UpdateRequired` and others.
        provider_version_state: String,
        /// When it was last heard of.
        last_heart_beat: Stamp,
        /// `Connected` or `Disconnected`.
        connection_status: String,
        /// How many machines it replicates.
        protected_item_count: i64,
        /// What it may do.
        allowed_scenarios: Vec<String>,
        /// What is wrong.
        health_error_details: Vec<HealthError>,
        /// Its id, as appliances are asked for it.
        dra_identifier: String,
        /// The machine that it runs on.
        machine_name: String,
        /// Whom it signs in to the vault as.
        authentication_identity_details: ProviderIdentity,
        /// Whom it reaches the storage accounts as: the object that roles are granted to.
        resource_access_identity_details: ProviderIdentity,
    }

    /// Whom a provider signs in as.
    pub struct ProviderIdentity {
        /// The directory.
        tenant_id: String,
        /// The application.
        application_id: String,
        /// The object that roles are granted to.
        object_id: String,
        /// The audience of its tokens.
        audience: String,
        /// Who signs it in.
        aad_authority: String,
    }

    /// The properties of a [`ReplicationAppliance`].
    pub struct ReplicationApplianceProperties {
        /// What only one kind has.
        provider_specific_details: ReplicationApplianceDetails,
    }

    /// The replication appliances of servers with agents.
    pub struct InMageRcmAppliances {
        /// Each of them.
        appliances: Vec<InMageRcmAppliance>,
    }

    /// A replication appliance of servers with agents.
    pub struct InMageRcmAppliance {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The fabric that stands for it.
        fabric_arm_id: ArmId,
        /// What takes the machines' data in.
        process_server: ProcessServer,
        /// Its provider.
        dra: ApplianceComponent,
        /// What installs agents by itself.
        push_installer: ApplianceComponent,
    }
}

by_kind! {
    /// What only one kind of fabric has.
    pub enum FabricDetails by "instanceType" {
        /// An appliance for `VMware` without agents.
        VmwareV2(ApplianceFabric) = "VMwareV2",
        /// An appliance for agents.
        InMageRcm(ApplianceFabric) = "InMageRcm",
        /// A Hyper-V site.
        HyperVSite(HyperVSiteFabric) = "HyperVSite",
    }
}

by_kind! {
    /// What only one kind of replication appliance has.
    pub enum ReplicationApplianceDetails by "instanceType" {
        /// Those of servers with agents.
        InMageRcm(InMageRcmAppliances) = "InMageRcm",
    }
}

impl Resource<FabricProperties> {
    /// The site that it stands for; none for a fabric of another kind, or where the service names none.
    pub fn site_id(&self) -> Option<&ArmId> {
        let (FabricDetails::VmwareV2(fabric) | FabricDetails::InMageRcm(fabric)) =
            self.properties.custom_details.as_ref()?
        else {
            return None;
        };
        let named = |id: &&ArmId| !id.as_str().is_empty();
        let vmware = fabric.vmware_site_id.as_ref().filter(named);
        vmware.or_else(|| fabric.physical_site_id.as_ref().filter(named))
    }
}

impl Resource<RecoveryServicesProviderProperties> {
    /// The object id that it reaches storage accounts as, which roles are granted to.
    pub fn principal_id(&self) -> Option<&str> {
        let identity = self.properties.resource_access_identity_details.as_ref()?;
        identity.object_id.as_deref().filter(|id| !id.is_empty())
    }
}

/// A key that registers an appliance or a Hyper-V host with a vault.
#[derive(Clone, Debug)]
pub struct RegistrationKey {
    /// When it was made or downloaded.
    pub issued: Timestamp,
    /// The key.
    pub key: Secret<String>,
}

impl RegistrationKey {
    /// When it stops to work. How long it works is a rule of the service, and so the caller's to say. The last
    /// moment that there is, where that is later.
    pub fn expires_at(&self, valid_for: Duration) -> Timestamp {
        SignedDuration::try_from(valid_for)
            .ok()
            .and_then(|span| self.issued.checked_add(span).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_site_its_accounts_and_its_vcenter_are_read_and_written_the_same() {
        same::<Site>(&json!({ "location": "westeurope", "eTag": "1", "properties": {
            "applianceName": "a", "discoverySolutionId": "/subscriptions/s/solution", "masterSiteId": "/m",
            "servicePrincipalIdentityDetails": { "objectId": "o", "rawCertData": "x" },
            "agentDetails": { "id": "1", "lastHeartBeatUtc": "2026-11-25T08:00:00Z", "keyVaultId": "k" },
        }}));
        same::<RunAsAccount>(
            &json!({ "properties": { "displayName": "d", "credentialType": "VMwareFabric", "createdTimestamp": "t" } }),
        );
        same::<Vcenter>(
            &json!({ "properties": { "fqdn": "vc", "port": "443", "runAsAccountId": "/r", "errors": [] } }),
        );
    }

    #[test]
    fn a_fabric_tells_the_site_that_it_stands_for() {
        let of = |kind: &str, field: &str| {
            let fabric = same::<Fabric>(&json!({ "properties": {
                "friendlyName": "f", "customDetails": { "instanceType": kind, field: "/subscriptions/s/site", "unknown": [1] },
            }}));
            fabric.site_id().cloned()
        };
        let site = Some(ArmId::new("/subscriptions/s/site"));
        assert_eq!(of("VMwareV2", "vmwareSiteId"), site);
        assert_eq!(of("InMageRcm", "physicalSiteId"), site);
        assert_eq!(of("HyperVSite", "vmwareSiteId"), None);
        assert_eq!(of("Azure", "location"), None);
    }

    #[test]
    fn a_fabric_of_a_known_kind_with_a_wrong_field_is_an_error_and_not_an_unknown_kind() {
        let body = json!({ "customDetails": { "instanceType": "VMwareV2", "processServers": 7 } });
        assert!(serde_json::from_value::<FabricProperties>(body).is_err());
        assert_eq!(same::<FabricDetails>(&json!({ "instanceType": "Azure", "location": "x" })).kind(), Some("Azure"));
        assert_eq!(same::<FabricDetails>(&json!({})).kind(), None);
    }

    #[test]
    fn a_hyper_v_site_a_container_and_an_appliance_are_read_and_written_the_same() {
        let hosts = json!([{ "id": "1", "name": "h", "marsAgentVersion": "2.0", "more": true }]);
        same::<Fabric>(
            &json!({ "properties": { "customDetails": { "instanceType": "HyperVSite", "hyperVHosts": hosts } } }),
        );
        same::<ProtectionContainer>(
            &json!({ "properties": { "fabricType": "VMwareV2", "pairingStatus": "Paired", "fabricSpecificDetails": { "instanceType": "VMwareV2" } } }),
        );
        same::<ReplicationAppliance>(&json!({ "properties": { "providerSpecificDetails": {
            "instanceType": "InMageRcm", "appliances": [{ "id": "1", "fabricArmId": "/f", "processServer": { "id": "p", "healthErrors": [] }, "rcmProxy": {} }],
        }}}));
    }

    #[test]
    fn a_provider_tells_whom_roles_are_granted_to() {
        let provider = same::<RecoveryServicesProvider>(&json!({ "properties": {
            "connectionStatus": "Connected", "lastHeartBeat": "2026-11-25T08:00:00.1234567Z",
            "authenticationIdentityDetails": { "objectId": "sign-in" },
            "resourceAccessIdentityDetails": { "objectId": "o", "audience": "https://x" },
        }}));
        assert_eq!(provider.principal_id(), Some("o"));
        let without = json!({ "properties": { "resourceAccessIdentityDetails": { "objectId": "" } } });
        assert_eq!(same::<RecoveryServicesProvider>(&without).principal_id(), None);
    }

    #[test]
    fn a_key_expires_and_never_shows() {
        let key =
            RegistrationKey { issued: "2026-11-20T08:00:00Z".parse().unwrap(), key: Secret::new("canary".to_owned()) };
        let five_days = Duration::from_secs(5 * 24 * 60 * 60);
        assert_eq!(key.expires_at(five_days), "2026-11-25T08:00:00Z".parse().unwrap());
        assert_eq!(key.expires_at(Duration::MAX), Timestamp::MAX);
        assert!(!format!("{key:?}").contains("canary"));
    }
}
