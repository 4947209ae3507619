//! How often machines replicate, and where to: policies, and the mappings that give one to a container.
//!
//! Source: Azure REST API specification, Site Recovery, `service.json` (2024-04-01). What a policy is made with and
//! what it is read as are the same but for one name of Hyper-V's, so that both are one type here.

use std::collections::BTreeMap;

use super::health::HealthError;
use super::resource::Resource;
use super::scalar::Flag;
use super::wire::{by_kind, wire};
use crate::control::ArmId;

/// What a policy is made with.
pub type PolicyRequest = Resource<PolicyRequestProperties>;
/// A replication policy.
pub type Policy = Resource<PolicyProperties>;
/// What a mapping is made with.
pub type ContainerMappingRequest = Resource<ContainerMappingRequestProperties>;
/// What gives a policy, and a target, to the machines of a container.
pub type ContainerMapping = Resource<ContainerMappingProperties>;

/// What stands for Azure where a target's container is asked for.
///
/// Source: Microsoft's own client (`Az.Migrate`, read 2026-11), and the specification's examples.
pub const TARGET_AZURE: &str = "Microsoft Azure";

wire! {
    /// The properties of a [`PolicyRequest`].
    pub struct PolicyRequestProperties {
        /// How often, for one kind of migration.
        provider_specific_input: PolicySettings,
    }

    /// The properties of a [`Policy`].
    pub struct PolicyProperties {
        /// The name that is shown.
        friendly_name: String,
        /// How often, for one kind of migration.
        provider_specific_details: PolicySettings,
    }

    /// How often `VMware` machines and servers with agents replicate.
    pub struct ConsistencyPolicy {
        /// How long recovery points are kept, in minutes.
        recovery_point_history_in_minutes: i64,
        /// How often one is made as if the power had failed, in minutes.
        crash_consistent_frequency_in_minutes: i64,
        /// How often one is made that applications agreed to, in minutes.
        app_consistent_frequency_in_minutes: i64,
        /// Whether machines of a group have common points; of agents only.
        enable_multi_vm_sync: Flag,
    }

    /// How often Hyper-V machines replicate.
    pub struct HyperVPolicy {
        /// How long recovery points are kept, in hours; when it is made.
        recovery_point_history_duration: i64,
        /// How long recovery points are kept, in hours; when it is read.
        recovery_point_history_duration_in_hours: i64,
        /// How often one is made that applications agreed to, in hours.
        application_consistent_snapshot_frequency_in_hours: i64,
        /// How often changes are sent, in seconds.
        replication_interval: i64,
        /// When the first copy begins; at once where it is absent.
        online_replication_start_time: String,
        /// Where to; of classic storage accounts.
        storage_accounts: Vec<ArmId>,
    }

    /// The properties of a [`ContainerMappingRequest`].
    pub struct ContainerMappingRequestProperties {
        /// Where to: [`TARGET_AZURE`], or another container.
        target_protection_container_id: String,
        /// How often.
        policy_id: ArmId,
        /// What only one kind of migration has.
        provider_specific_input: ContainerMappingSettings,
    }

    /// The properties of a [`ContainerMapping`].
    pub struct ContainerMappingProperties {
        /// Where to.
        target_protection_container_id: String,
        /// Where to, as it is shown.
        target_protection_container_friendly_name: String,
        /// How often.
        policy_id: ArmId,
        /// How often, as it is shown.
        policy_friendly_name: String,
        /// `Paired` where it works.
        state: String,
        /// `Normal`, `Warning` or `Critical`.
        health: String,
        /// What is wrong.
        health_error_details: Vec<HealthError>,
        /// What only one kind of migration has.
        provider_specific_details: ContainerMappingSettings,
    }

    /// Where `VMware` machines of a container replicate to. It cannot be changed later.
    pub struct VmwareCbtMapping {
        /// The region.
        target_location: String,
        /// The account that replication data goes through.
        storage_account_id: ArmId,
        /// The name of the secret that opens it; of projects with a key vault.
        storage_account_sas_secret_name: String,
        /// The key vault; empty for projects that do without.
        key_vault_id: String,
        /// Its URL; empty for projects that do without.
        key_vault_uri: String,
        /// The name of the secret that opens the service bus; of projects with a key vault.
        service_bus_connection_string_secret_name: String,
        /// How many network interfaces each size of virtual machine has; only read.
        role_size_to_nic_count_map: BTreeMap<String, i64>,
    }

    /// What servers with agents have in their mapping.
    pub struct InMageRcmMapping {
        /// Whether agents are kept up to date.
        enable_agent_auto_upgrade: Flag,
    }
}

by_kind! {
    /// How often machines replicate, for one kind of migration.
    pub enum PolicySettings by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(ConsistencyPolicy) = "VMwareCbt",
        /// Of Hyper-V.
        HyperV(HyperVPolicy) = "HyperVReplicaAzure",
        /// Of servers with agents.
        InMageRcm(ConsistencyPolicy) = "InMageRcm",
    }
}

by_kind! {
    /// Where the machines of a container replicate to, for one kind of migration.
    pub enum ContainerMappingSettings by "instanceType" {
        /// Of `VMware`.
        VmwareCbt(VmwareCbtMapping) = "VMwareCbt",
        /// Of servers with agents.
        InMageRcm(InMageRcmMapping) = "InMageRcm",
    }
}

impl ContainerMappingSettings {
    /// What `VMware` has; none for the other kinds.
    pub fn vmware(&self) -> Option<&VmwareCbtMapping> {
        if let Self::VmwareCbt(mapping) = self { Some(mapping) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_policy_is_asked_for_as_the_service_wants_it() {
        let policy = ConsistencyPolicy {
            recovery_point_history_in_minutes: Some(360),
            crash_consistent_frequency_in_minutes: Some(60),
            app_consistent_frequency_in_minutes: Some(240),
            ..ConsistencyPolicy::default()
        };
        let request = PolicyRequest::new(PolicyRequestProperties {
            provider_specific_input: Some(PolicySettings::VmwareCbt(policy)),
            ..PolicyRequestProperties::default()
        });
        let body = json!({ "properties": { "providerSpecificInput": {
            "instanceType": "VMwareCbt", "recoveryPointHistoryInMinutes": 360,
            "crashConsistentFrequencyInMinutes": 60, "appConsistentFrequencyInMinutes": 240,
        }}});
        assert_eq!(serde_json::to_value(request).unwrap(), body);
    }

    #[test]
    fn policies_of_all_kinds_are_read_and_written_the_same() {
        for details in [
            json!({ "instanceType": "InMageRcm", "enableMultiVmSync": "true", "recoveryPointHistoryInMinutes": 4320 }),
            json!({ "instanceType": "HyperVReplicaAzure", "recoveryPointHistoryDurationInHours": 24, "encryption": "Disable" }),
            json!({ "instanceType": "A2A", "recoveryPointThresholdInMinutes": 5 }),
        ] {
            same::<Policy>(&json!({ "properties": { "friendlyName": "p", "providerSpecificDetails": details } }));
        }
    }

    #[test]
    fn a_mapping_says_where_to() {
        let mapping: ContainerMapping = same(&json!({ "properties": {
            "state": "Paired", "policyId": "/p", "targetProtectionContainerId": TARGET_AZURE,
            "providerSpecificDetails": {
                "instanceType": "VMwareCbt", "targetLocation": "westeurope", "storageAccountId": "/a", "keyVaultUri": "",
                "roleSizeToNicCountMap": { "Standard_D4s_v5": 2 }, "excludedSkus": ["Basic_A0"],
            },
        }}));
        let settings = mapping.properties.provider_specific_details.unwrap();
        assert_eq!(settings.vmware().unwrap().target_location.as_deref(), Some("westeurope"));
        let agents: ContainerMappingSettings =
            same(&json!({ "instanceType": "InMageRcm", "enableAgentAutoUpgrade": "False" }));
        assert!(agents.vmware().is_none());
        same::<ContainerMappingRequest>(
            &json!({ "properties": { "policyId": "/p", "providerSpecificInput": { "instanceType": "A2A" } } }),
        );
    }
}
