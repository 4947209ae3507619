//! The table: every operation that this library asks Azure Resource Manager for.
//!
//! Names, paths, statuses and styles are those of the published contracts (`OpenAPI`, repository
//! `azure-rest-api-specs`, commit 1aa9126 of 2024-07-12). Of sizes, regions and resource groups the contracts were not
//! read: theirs are those of the REST API reference ("Resource Skus - List", "Subscriptions - List Locations",
//! "Resource Groups - Get" and "Resource Groups - Create Or Update") and, for the names, of the reference of the client
//! for .NET (Microsoft Learn, undated, read 2026-11). The connections of vaults are those of the contract of Backup
//! (`recoveryservicesbackup`, bms.json, 2024-04-01: the published example of their PUT) and of Microsoft's Python
//! client for it (azure-mgmt-recoveryservicesbackup 11.2.0, read 2026-11).

use super::operation::{Operation, Target, delete, get, list, patch, post, put};

/// The contract of Azure Migrate projects.
const PROJECTS: &str = "2023-01-01";
/// The contract of assessment projects.
const ASSESSMENTS: &str = "2023-03-15";
/// The contract of the sites of discovery.
const DISCOVERY: &str = "2023-06-06";
/// The contract of vaults.
const VAULT_API: &str = "2024-04-01";
/// The contract of Backup, which has the private endpoint connections of vaults, those of Site Recovery among them.
const BACKUP: &str = "2024-04-01";
/// The contract of networks.
const NETWORK: &str = "2024-01-01";
/// The contract of private DNS.
const PRIVATE_DNS: &str = "2024-06-01";
/// The contract of storage accounts.
const STORAGE: &str = "2023-05-01";
/// The contract of grants.
const AUTHORIZATION: &str = "2022-04-01";
/// The contract of Site Recovery. That of 2025-08-01 only adds to it (see [`super::Request::at_version`]).
const SITE_RECOVERY: &str = "2024-04-01";
/// The contract of disks and snapshots.
const DISKS: &str = "2023-10-02";
/// The contract of virtual machines.
const COMPUTE: &str = "2024-03-01";
/// The contract of sizes.
const SKUS: &str = "2021-07-01";
/// The contract of subscriptions.
const SUBSCRIPTIONS: &str = "2022-12-01";
/// The contract of resource groups.
const RESOURCES: &str = "2021-04-01";

/// What is in a container.
macro_rules! in_container {
    ($kinds:literal) => {
        Target::Resource(concat!(
            "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/",
            $kinds
        ))
    };
}

const PROJECT: Target = Target::Resource("Microsoft.Migrate/migrateProjects");
const SOLUTION: Target = Target::Resource("Microsoft.Migrate/migrateProjects/solutions");
const PROJECT_CONNECTION: Target = Target::Resource("Microsoft.Migrate/migrateProjects/privateEndpointConnections");
const ASSESSMENT_PROJECT: Target = Target::Resource("Microsoft.Migrate/assessmentProjects");
const GROUP: Target = Target::Resource("Microsoft.Migrate/assessmentProjects/groups");
const ASSESSMENT: Target = Target::Resource("Microsoft.Migrate/assessmentProjects/groups/assessments");
const ASSESSED_MACHINE: Target =
    Target::Resource("Microsoft.Migrate/assessmentProjects/groups/assessments/assessedMachines");
const VMWARE_SITE: Target = Target::Resource("Microsoft.OffAzure/vmwareSites");
const VMWARE_MACHINE: Target = Target::Resource("Microsoft.OffAzure/vmwareSites/machines");
const VCENTER: Target = Target::Resource("Microsoft.OffAzure/vmwareSites/vcenters");
const VMWARE_ACCOUNT: Target = Target::Resource("Microsoft.OffAzure/vmwareSites/runAsAccounts");
const HYPER_V_SITE: Target = Target::Resource("Microsoft.OffAzure/hypervSites");
const HYPER_V_MACHINE: Target = Target::Resource("Microsoft.OffAzure/hypervSites/machines");
const SERVER_SITE: Target = Target::Resource("Microsoft.OffAzure/serverSites");
const SERVER_MACHINE: Target = Target::Resource("Microsoft.OffAzure/serverSites/machines");
const VAULT: Target = Target::Resource("Microsoft.RecoveryServices/vaults");
const CERTIFICATE: Target = Target::Resource("Microsoft.RecoveryServices/vaults/certificates");
const VAULT_LINK_RESOURCE: Target = Target::Resource("Microsoft.RecoveryServices/vaults/privateLinkResources");
const VAULT_CONNECTION: Target = Target::Resource("Microsoft.RecoveryServices/vaults/privateEndpointConnections");
const PRIVATE_ENDPOINT: Target = Target::Resource("Microsoft.Network/privateEndpoints");
const PRIVATE_DNS_ZONE_GROUP: Target = Target::Resource("Microsoft.Network/privateEndpoints/privateDnsZoneGroups");
const VIRTUAL_NETWORK: Target = Target::Resource("Microsoft.Network/virtualNetworks");
const SUBNET: Target = Target::Resource("Microsoft.Network/virtualNetworks/subnets");
const NETWORK_INTERFACE: Target = Target::Resource("Microsoft.Network/networkInterfaces");
const PRIVATE_DNS_ZONE: Target = Target::Resource("Microsoft.Network/privateDnsZones");
const ZONE_LINK: Target = Target::Resource("Microsoft.Network/privateDnsZones/virtualNetworkLinks");
const A_RECORD_SET: Target = Target::Resource("Microsoft.Network/privateDnsZones/A");
const STORAGE_ACCOUNT: Target = Target::Resource("Microsoft.Storage/storageAccounts");
const STORAGE_CONNECTION: Target = Target::Resource("Microsoft.Storage/storageAccounts/privateEndpointConnections");
const ROLE_ASSIGNMENT: Target = Target::Resource("Microsoft.Authorization/roleAssignments");
const ROLE_DEFINITION: Target = Target::Resource("Microsoft.Authorization/roleDefinitions");
const FABRIC: Target = Target::Resource("Microsoft.RecoveryServices/vaults/replicationFabrics");
const PROVIDER: Target =
    Target::Resource("Microsoft.RecoveryServices/vaults/replicationFabrics/replicationRecoveryServicesProviders");
const CONTAINER: Target =
    Target::Resource("Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers");
const PROTECTABLE_ITEM: Target = in_container!("replicationProtectableItems");
const POLICY: Target = Target::Resource("Microsoft.RecoveryServices/vaults/replicationPolicies");
const MAPPING: Target = in_container!("replicationProtectionContainerMappings");
const JOB: Target = Target::Resource("Microsoft.RecoveryServices/vaults/replicationJobs");
const MIGRATION_ITEM: Target = in_container!("replicationMigrationItems");
const MIGRATION_RECOVERY_POINT: Target = in_container!("replicationMigrationItems/migrationRecoveryPoints");
const PROTECTED_ITEM: Target = in_container!("replicationProtectedItems");
const RECOVERY_POINT: Target = in_container!("replicationProtectedItems/recoveryPoints");
const DISK: Target = Target::Resource("Microsoft.Compute/disks");
const SNAPSHOT: Target = Target::Resource("Microsoft.Compute/snapshots");
const DISK_ENCRYPTION_SET: Target = Target::Resource("Microsoft.Compute/diskEncryptionSets");
const VIRTUAL_MACHINE: Target = Target::Resource("Microsoft.Compute/virtualMachines");
const AVAILABILITY_SET: Target = Target::Resource("Microsoft.Compute/availabilitySets");

/// Declares the operations, and lists them as [`ALL`].
macro_rules! operations {
    ($($(#[$meta:meta])* $name:ident: $operation:expr;)+) => {
        $($(#[$meta])* pub static $name: Operation = $operation;)+

        /// All of them.
        pub static ALL: &[&Operation] = &[$(&$name),+];
    };
}

operations! {
    // Azure Migrate projects, their solutions, and the private link of a project.
    /// Reads an Azure Migrate project.
    PROJECTS_GET: get("MigrateProjectsController_GetMigrateProject", PROJECT, PROJECTS);
    /// Makes or replaces an Azure Migrate project.
    PROJECTS_PUT: put("MigrateProjectsController_PutMigrateProject", PROJECT, PROJECTS, &[200, 201]);
    /// Lists the solutions of a project.
    SOLUTIONS_LIST: list("SolutionsController_ListSolutions", PROJECT, "solutions", PROJECTS);
    /// Reads a solution of a project.
    SOLUTIONS_GET: get("SolutionsController_GetSolution", SOLUTION, PROJECTS);
    /// Makes or replaces a solution of a project.
    SOLUTIONS_CREATE: put("SolutionsController_Create", SOLUTION, PROJECTS, &[200, 201]);
    /// Changes a solution of a project.
    SOLUTIONS_UPDATE: patch("SolutionsController_Update", SOLUTION, PROJECTS, &[200]);
    /// Lists the private endpoint connections of a project.
    PROJECT_CONNECTIONS_LIST: list(
        "PrivateEndpointConnectionsController_GetPrivateEndpointConnections",
        PROJECT, "privateEndpointConnections", PROJECTS,
    );
    /// Reads a private endpoint connection of a project.
    PROJECT_CONNECTIONS_GET: get(
        "PrivateEndpointConnectionController_GetPrivateEndpointConnection",
        PROJECT_CONNECTION, PROJECTS,
    );
    /// Approves or rejects a private endpoint connection of a project.
    PROJECT_CONNECTIONS_PUT: put(
        "PrivateEndpointConnectionController_PutPrivateEndpointConnection",
        PROJECT_CONNECTION, PROJECTS, &[200, 201],
    );
    /// Lists what of a project a private endpoint can reach.
    PROJECT_LINK_RESOURCES_LIST: list(
        "PrivateLinkResourceController_GetPrivateLinkResources",
        PROJECT, "privateLinkResources", PROJECTS,
    );

    // Assessments.
    /// Reads an assessment project.
    ASSESSMENT_PROJECTS_GET: get("AssessmentProjectsOperations_Get", ASSESSMENT_PROJECT, ASSESSMENTS);
    /// Lists the groups of an assessment project.
    GROUPS_LIST: list("GroupsOperations_ListByAssessmentProject", ASSESSMENT_PROJECT, "groups", ASSESSMENTS);
    /// Lists the assessments of a group.
    ASSESSMENTS_LIST: list("AssessmentsOperations_ListByGroup", GROUP, "assessments", ASSESSMENTS);
    /// Reads an assessment.
    ASSESSMENTS_GET: get("AssessmentsOperations_Get", ASSESSMENT, ASSESSMENTS);
    /// Lists the machines of an assessment, with size and disks.
    ASSESSED_MACHINES_LIST: list(
        "AssessedMachinesOperations_ListByAssessment",
        ASSESSMENT, "assessedMachines", ASSESSMENTS,
    );
    /// Reads a machine of an assessment.
    ASSESSED_MACHINES_GET: get("AssessedMachinesOperations_Get", ASSESSED_MACHINE, ASSESSMENTS);

    // Sites of discovery and what was discovered.
    /// Reads a site of `VMware`.
    VMWARE_SITES_GET: get("SitesController_Get", VMWARE_SITE, DISCOVERY);
    /// Lists the machines of a site of `VMware`.
    VMWARE_MACHINES_LIST: list("MachinesController_ListByVmwareSite", VMWARE_SITE, "machines", DISCOVERY);
    /// Reads a machine of a site of `VMware`.
    VMWARE_MACHINES_GET: get("MachinesController_Get", VMWARE_MACHINE, DISCOVERY);
    /// Lists the `vCenter` servers of a site.
    VCENTERS_LIST: list("VcenterController_ListByVmwareSite", VMWARE_SITE, "vcenters", DISCOVERY);
    /// Reads a `vCenter` server of a site.
    VCENTERS_GET: get("VcenterController_Get", VCENTER, DISCOVERY);
    /// Lists the accounts that a site of `VMware` runs as.
    VMWARE_ACCOUNTS_LIST: list("RunAsAccountsController_ListByVmwareSite", VMWARE_SITE, "runAsAccounts", DISCOVERY);
    /// Reads an account that a site of `VMware` runs as.
    VMWARE_ACCOUNTS_GET: get("RunAsAccountsController_Get", VMWARE_ACCOUNT, DISCOVERY);
    /// Reads a site of Hyper-V.
    HYPER_V_SITES_GET: get("HypervSitesController_Get", HYPER_V_SITE, DISCOVERY);
    /// Lists the machines of a site of Hyper-V.
    HYPER_V_MACHINES_LIST: list("HypervMachinesController_ListByHypervSite", HYPER_V_SITE, "machines", DISCOVERY);
    /// Reads a machine of a site of Hyper-V.
    HYPER_V_MACHINES_GET: get("HypervMachinesController_Get", HYPER_V_MACHINE, DISCOVERY);
    /// Lists the hosts of a site of Hyper-V.
    HYPER_V_HOSTS_LIST: list("HypervHostController_ListByHypervSite", HYPER_V_SITE, "hosts", DISCOVERY);
    /// Lists the accounts that a site of Hyper-V runs as.
    HYPER_V_ACCOUNTS_LIST: list(
        "HypervRunAsAccountsController_ListByHypervSite",
        HYPER_V_SITE, "runAsAccounts", DISCOVERY,
    );
    /// Reads a site of servers.
    SERVER_SITES_GET: get("ServerSitesController_Get", SERVER_SITE, DISCOVERY);
    /// Lists the machines of a site of servers.
    SERVERS_LIST: list("ServersController_ListByServerSiteResource", SERVER_SITE, "machines", DISCOVERY);
    /// Reads a machine of a site of servers.
    SERVERS_GET: get("ServersController_GetMachine", SERVER_MACHINE, DISCOVERY);
    /// Lists the accounts that a site of servers runs as.
    SERVER_ACCOUNTS_LIST: list(
        "ServerRunAsAccountsController_ListByServerSiteResource",
        SERVER_SITE, "runAsAccounts", DISCOVERY,
    );

    // Recovery Services vaults.
    /// Lists the vaults of a resource group.
    VAULTS_LIST_IN_GROUP: list(
        "Vaults_ListByResourceGroup",
        Target::Group, "providers/Microsoft.RecoveryServices/vaults", VAULT_API,
    );
    /// Reads a vault.
    VAULTS_GET: get("Vaults_Get", VAULT, VAULT_API);
    /// Makes or replaces a vault.
    VAULTS_CREATE_OR_UPDATE: put("Vaults_CreateOrUpdate", VAULT, VAULT_API, &[200, 201]).long_running();
    /// Changes a vault.
    VAULTS_UPDATE: patch("Vaults_Update", VAULT, VAULT_API, &[200, 202]).long_running();
    /// Deletes a vault.
    VAULTS_DELETE: delete("Vaults_Delete", VAULT, VAULT_API, &[202, 204]).long_running();
    /// Registers a certificate with a vault, which is a registration key.
    VAULT_CERTIFICATES_CREATE: put("VaultCertificates_Create", CERTIFICATE, VAULT_API, &[200]);
    /// Lists what of a vault a private endpoint can reach.
    VAULT_LINK_RESOURCES_LIST: list("PrivateLinkResources_List", VAULT, "privateLinkResources", VAULT_API);
    /// Reads one thing of a vault that a private endpoint can reach.
    VAULT_LINK_RESOURCES_GET: get("PrivateLinkResources_Get", VAULT_LINK_RESOURCE, VAULT_API);
    /// Reads a private endpoint connection of a vault.
    VAULT_CONNECTIONS_GET: get("PrivateEndpointConnection_Get", VAULT_CONNECTION, BACKUP);
    /// Approves or rejects a private endpoint connection of a vault.
    VAULT_CONNECTIONS_PUT: put("PrivateEndpointConnection_Put", VAULT_CONNECTION, BACKUP, &[200, 201]).long_running();

    // Private endpoints and the names that lead to them.
    /// Lists the private endpoints of a resource group.
    PRIVATE_ENDPOINTS_LIST: list(
        "PrivateEndpoints_List",
        Target::Group, "providers/Microsoft.Network/privateEndpoints", NETWORK,
    );
    /// Reads a private endpoint.
    PRIVATE_ENDPOINTS_GET: get("PrivateEndpoints_Get", PRIVATE_ENDPOINT, NETWORK);
    /// Makes or replaces a private endpoint.
    PRIVATE_ENDPOINTS_CREATE_OR_UPDATE: put(
        "PrivateEndpoints_CreateOrUpdate",
        PRIVATE_ENDPOINT, NETWORK, &[200, 201],
    ).long_running();
    /// Deletes a private endpoint.
    PRIVATE_ENDPOINTS_DELETE: delete(
        "PrivateEndpoints_Delete",
        PRIVATE_ENDPOINT, NETWORK, &[200, 202, 204],
    ).long_running();
    /// Lists the zone groups of a private endpoint.
    PRIVATE_DNS_ZONE_GROUPS_LIST: list("PrivateDnsZoneGroups_List", PRIVATE_ENDPOINT, "privateDnsZoneGroups", NETWORK);
    /// Reads a zone group of a private endpoint.
    PRIVATE_DNS_ZONE_GROUPS_GET: get("PrivateDnsZoneGroups_Get", PRIVATE_DNS_ZONE_GROUP, NETWORK);
    /// Makes or replaces a zone group of a private endpoint, which writes its records.
    PRIVATE_DNS_ZONE_GROUPS_CREATE_OR_UPDATE: put(
        "PrivateDnsZoneGroups_CreateOrUpdate",
        PRIVATE_DNS_ZONE_GROUP, NETWORK, &[200, 201],
    ).long_running();
    /// Deletes a zone group of a private endpoint, and its records.
    PRIVATE_DNS_ZONE_GROUPS_DELETE: delete(
        "PrivateDnsZoneGroups_Delete",
        PRIVATE_DNS_ZONE_GROUP, NETWORK, &[200, 202, 204],
    ).long_running();
    /// Reads a virtual network.
    VIRTUAL_NETWORKS_GET: get("VirtualNetworks_Get", VIRTUAL_NETWORK, NETWORK);
    /// Reads a subnet.
    SUBNETS_GET: get("Subnets_Get", SUBNET, NETWORK);
    /// Reads a network interface.
    NETWORK_INTERFACES_GET: get("NetworkInterfaces_Get", NETWORK_INTERFACE, NETWORK);
    /// Lists the network interfaces of a resource group.
    NETWORK_INTERFACES_LIST: list(
        "NetworkInterfaces_List",
        Target::Group, "providers/Microsoft.Network/networkInterfaces", NETWORK,
    );
    /// Makes or replaces a network interface.
    NETWORK_INTERFACES_CREATE_OR_UPDATE: put(
        "NetworkInterfaces_CreateOrUpdate",
        NETWORK_INTERFACE, NETWORK, &[200, 201],
    ).long_running();
    /// Deletes a network interface.
    NETWORK_INTERFACES_DELETE: delete(
        "NetworkInterfaces_Delete",
        NETWORK_INTERFACE, NETWORK, &[200, 202, 204],
    ).long_running();
    /// Lists the private DNS zones of a resource group.
    PRIVATE_ZONES_LIST_IN_GROUP: list(
        "PrivateZones_ListByResourceGroup",
        Target::Group, "providers/Microsoft.Network/privateDnsZones", PRIVATE_DNS,
    );
    /// Reads a private DNS zone.
    PRIVATE_ZONES_GET: get("PrivateZones_Get", PRIVATE_DNS_ZONE, PRIVATE_DNS);
    /// Makes or replaces a private DNS zone.
    PRIVATE_ZONES_CREATE_OR_UPDATE: put(
        "PrivateZones_CreateOrUpdate",
        PRIVATE_DNS_ZONE, PRIVATE_DNS, &[200, 201, 202],
    ).long_running().conditional();
    /// Deletes a private DNS zone.
    PRIVATE_ZONES_DELETE: delete(
        "PrivateZones_Delete",
        PRIVATE_DNS_ZONE, PRIVATE_DNS, &[200, 202, 204],
    ).long_running().conditional();
    /// Lists the virtual networks that a zone is linked to.
    VIRTUAL_NETWORK_LINKS_LIST: list("VirtualNetworkLinks_List", PRIVATE_DNS_ZONE, "virtualNetworkLinks", PRIVATE_DNS);
    /// Reads a link of a zone.
    VIRTUAL_NETWORK_LINKS_GET: get("VirtualNetworkLinks_Get", ZONE_LINK, PRIVATE_DNS);
    /// Links a zone to a virtual network, or replaces the link.
    VIRTUAL_NETWORK_LINKS_CREATE_OR_UPDATE: put(
        "VirtualNetworkLinks_CreateOrUpdate",
        ZONE_LINK, PRIVATE_DNS, &[200, 201, 202],
    ).long_running().conditional();
    /// Deletes a link of a zone.
    VIRTUAL_NETWORK_LINKS_DELETE: delete(
        "VirtualNetworkLinks_Delete",
        ZONE_LINK, PRIVATE_DNS, &[200, 202, 204],
    ).long_running().conditional();
    /// Lists the A records of a zone.
    RECORD_SETS_LIST: list("RecordSets_ListByType", PRIVATE_DNS_ZONE, "A", PRIVATE_DNS);
    /// Reads an A record set of a zone.
    RECORD_SETS_GET: get("RecordSets_Get", A_RECORD_SET, PRIVATE_DNS);
    /// Makes or replaces an A record set of a zone.
    RECORD_SETS_CREATE_OR_UPDATE: put(
        "RecordSets_CreateOrUpdate",
        A_RECORD_SET, PRIVATE_DNS, &[200, 201],
    ).conditional();
    /// Deletes an A record set of a zone.
    RECORD_SETS_DELETE: delete("RecordSets_Delete", A_RECORD_SET, PRIVATE_DNS, &[200, 204]).conditional();

    // Storage accounts.
    /// Lists the storage accounts of a resource group.
    STORAGE_ACCOUNTS_LIST_IN_GROUP: list(
        "StorageAccounts_ListByResourceGroup",
        Target::Group, "providers/Microsoft.Storage/storageAccounts", STORAGE,
    );
    /// Reads a storage account.
    STORAGE_ACCOUNTS_GET: get("StorageAccounts_GetProperties", STORAGE_ACCOUNT, STORAGE);
    /// Makes a storage account.
    STORAGE_ACCOUNTS_CREATE: put("StorageAccounts_Create", STORAGE_ACCOUNT, STORAGE, &[200, 202]).long_running();
    /// Changes a storage account.
    STORAGE_ACCOUNTS_UPDATE: patch("StorageAccounts_Update", STORAGE_ACCOUNT, STORAGE, &[200]);
    /// Deletes a storage account.
    STORAGE_ACCOUNTS_DELETE: delete("StorageAccounts_Delete", STORAGE_ACCOUNT, STORAGE, &[200, 204]);
    /// Lists the private endpoint connections of a storage account.
    STORAGE_CONNECTIONS_LIST: list(
        "PrivateEndpointConnections_List",
        STORAGE_ACCOUNT, "privateEndpointConnections", STORAGE,
    );
    /// Reads a private endpoint connection of a storage account.
    STORAGE_CONNECTIONS_GET: get("PrivateEndpointConnections_Get", STORAGE_CONNECTION, STORAGE);
    /// Approves or rejects a private endpoint connection of a storage account.
    STORAGE_CONNECTIONS_PUT: put("PrivateEndpointConnections_Put", STORAGE_CONNECTION, STORAGE, &[200]);
    /// Lists what of a storage account a private endpoint can reach.
    STORAGE_LINK_RESOURCES_LIST: list(
        "PrivateLinkResources_ListByStorageAccount",
        STORAGE_ACCOUNT, "privateLinkResources", STORAGE,
    );

    // Grants of roles.
    /// Lists the grants at a scope; the filter `principalId eq '…'` leaves one principal's.
    ROLE_ASSIGNMENTS_LIST: list(
        "RoleAssignments_ListForScope",
        Target::Scope, "providers/Microsoft.Authorization/roleAssignments", AUTHORIZATION,
    );
    /// Reads a grant.
    ROLE_ASSIGNMENTS_GET: get("RoleAssignments_Get", ROLE_ASSIGNMENT, AUTHORIZATION);
    /// Makes a grant.
    ROLE_ASSIGNMENTS_CREATE: put("RoleAssignments_Create", ROLE_ASSIGNMENT, AUTHORIZATION, &[200, 201]);
    /// Takes a grant back.
    ROLE_ASSIGNMENTS_DELETE: delete("RoleAssignments_Delete", ROLE_ASSIGNMENT, AUTHORIZATION, &[200, 204]);
    /// Lists the roles that can be granted at a scope.
    ROLE_DEFINITIONS_LIST: list(
        "RoleDefinitions_List",
        Target::Scope, "providers/Microsoft.Authorization/roleDefinitions", AUTHORIZATION,
    );
    /// Reads a role.
    ROLE_DEFINITIONS_GET: get("RoleDefinitions_Get", ROLE_DEFINITION, AUTHORIZATION);
    /// Lists what the caller may do in a resource group, or to a resource of one (which the contract has as a
    /// second operation, `Permissions_ListForResource`). The contract has no such list for a subscription.
    PERMISSIONS_LIST: list(
        "Permissions_ListForResourceGroup",
        Target::Scope, "providers/Microsoft.Authorization/permissions", AUTHORIZATION,
    );

    // Site Recovery: the fabric.
    /// Lists the replication appliances of a vault.
    APPLIANCES_LIST: list("ReplicationAppliances_List", VAULT, "replicationAppliances", SITE_RECOVERY);
    /// Lists the fabrics of a vault.
    FABRICS_LIST: list("ReplicationFabrics_List", VAULT, "replicationFabrics", SITE_RECOVERY);
    /// Reads a fabric.
    FABRICS_GET: get("ReplicationFabrics_Get", FABRIC, SITE_RECOVERY);
    /// Lists the providers of a fabric.
    PROVIDERS_LIST_IN_FABRIC: list(
        "ReplicationRecoveryServicesProviders_ListByReplicationFabrics",
        FABRIC, "replicationRecoveryServicesProviders", SITE_RECOVERY,
    );
    /// Reads a provider.
    PROVIDERS_GET: get("ReplicationRecoveryServicesProviders_Get", PROVIDER, SITE_RECOVERY);
    /// Lists the containers of a fabric.
    CONTAINERS_LIST_IN_FABRIC: list(
        "ReplicationProtectionContainers_ListByReplicationFabrics",
        FABRIC, "replicationProtectionContainers", SITE_RECOVERY,
    );
    /// Reads a container.
    CONTAINERS_GET: get("ReplicationProtectionContainers_Get", CONTAINER, SITE_RECOVERY);
    /// Lists what can be protected in a container.
    PROTECTABLE_ITEMS_LIST_IN_CONTAINER: list(
        "ReplicationProtectableItems_ListByReplicationProtectionContainers",
        CONTAINER, "replicationProtectableItems", SITE_RECOVERY,
    );
    /// Reads what can be protected in a container.
    PROTECTABLE_ITEMS_GET: get("ReplicationProtectableItems_Get", PROTECTABLE_ITEM, SITE_RECOVERY);
    /// Lists the policies of a vault.
    POLICIES_LIST: list("ReplicationPolicies_List", VAULT, "replicationPolicies", SITE_RECOVERY);
    /// Reads a policy.
    POLICIES_GET: get("ReplicationPolicies_Get", POLICY, SITE_RECOVERY);
    /// Makes a policy.
    POLICIES_CREATE: put("ReplicationPolicies_Create", POLICY, SITE_RECOVERY, &[200, 202]).long_running();
    /// Changes a policy.
    POLICIES_UPDATE: patch("ReplicationPolicies_Update", POLICY, SITE_RECOVERY, &[200, 202]).long_running();
    /// Deletes a policy.
    POLICIES_DELETE: delete("ReplicationPolicies_Delete", POLICY, SITE_RECOVERY, &[202, 204]).long_running();
    /// Lists the mappings of a container.
    MAPPINGS_LIST_IN_CONTAINER: list(
        "ReplicationProtectionContainerMappings_ListByReplicationProtectionContainers",
        CONTAINER, "replicationProtectionContainerMappings", SITE_RECOVERY,
    );
    /// Reads a mapping.
    MAPPINGS_GET: get("ReplicationProtectionContainerMappings_Get", MAPPING, SITE_RECOVERY);
    /// Maps a container to a policy.
    MAPPINGS_CREATE: put(
        "ReplicationProtectionContainerMappings_Create",
        MAPPING, SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Changes a mapping.
    MAPPINGS_UPDATE: patch(
        "ReplicationProtectionContainerMappings_Update",
        MAPPING, SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Removes a mapping.
    MAPPINGS_DELETE: post(
        "ReplicationProtectionContainerMappings_Delete",
        MAPPING, "remove", SITE_RECOVERY, &[202, 204],
    ).long_running();
    /// Deletes a mapping by force.
    MAPPINGS_PURGE: delete(
        "ReplicationProtectionContainerMappings_Purge",
        MAPPING, SITE_RECOVERY, &[202, 204],
    ).long_running();
    /// Reads the health of a vault's replications.
    VAULT_HEALTH_GET: get("ReplicationVaultHealth_Get", VAULT, SITE_RECOVERY).below("replicationVaultHealth");
    /// Lists the jobs of a vault.
    JOBS_LIST: list("ReplicationJobs_List", VAULT, "replicationJobs", SITE_RECOVERY);
    /// Reads a job.
    JOBS_GET: get("ReplicationJobs_Get", JOB, SITE_RECOVERY);
    /// Cancels a job.
    JOBS_CANCEL: post("ReplicationJobs_Cancel", JOB, "cancel", SITE_RECOVERY, &[200, 202]).long_running();
    /// Restarts a job.
    JOBS_RESTART: post("ReplicationJobs_Restart", JOB, "restart", SITE_RECOVERY, &[200, 202]).long_running();
    /// Resumes a job.
    JOBS_RESUME: post("ReplicationJobs_Resume", JOB, "resume", SITE_RECOVERY, &[200, 202]).long_running();

    // Site Recovery: machines of VMware.
    /// Lists the migration items of a vault.
    MIGRATION_ITEMS_LIST: list("ReplicationMigrationItems_List", VAULT, "replicationMigrationItems", SITE_RECOVERY);
    /// Lists the migration items of a container.
    MIGRATION_ITEMS_LIST_IN_CONTAINER: list(
        "ReplicationMigrationItems_ListByReplicationProtectionContainers",
        CONTAINER, "replicationMigrationItems", SITE_RECOVERY,
    );
    /// Reads a migration item.
    MIGRATION_ITEMS_GET: get("ReplicationMigrationItems_Get", MIGRATION_ITEM, SITE_RECOVERY);
    /// Enables the replication of a machine of `VMware`.
    MIGRATION_ITEMS_CREATE: put(
        "ReplicationMigrationItems_Create",
        MIGRATION_ITEM, SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Changes a migration item.
    MIGRATION_ITEMS_UPDATE: patch(
        "ReplicationMigrationItems_Update",
        MIGRATION_ITEM, SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Removes a migration item: stops its replication, or completes its migration.
    MIGRATION_ITEMS_DELETE: delete(
        "ReplicationMigrationItems_Delete",
        MIGRATION_ITEM, SITE_RECOVERY, &[202, 204],
    ).long_running();
    /// Migrates a machine for a test.
    MIGRATION_ITEMS_TEST_MIGRATE: post(
        "ReplicationMigrationItems_TestMigrate",
        MIGRATION_ITEM, "testMigrate", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Removes what a test made.
    MIGRATION_ITEMS_TEST_MIGRATE_CLEANUP: post(
        "ReplicationMigrationItems_TestMigrateCleanup",
        MIGRATION_ITEM, "testMigrateCleanup", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Migrates a machine.
    MIGRATION_ITEMS_MIGRATE: post(
        "ReplicationMigrationItems_Migrate",
        MIGRATION_ITEM, "migrate", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Pauses the replication of a machine.
    MIGRATION_ITEMS_PAUSE_REPLICATION: post(
        "ReplicationMigrationItems_PauseReplication",
        MIGRATION_ITEM, "pauseReplication", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Resumes the replication of a machine.
    MIGRATION_ITEMS_RESUME_REPLICATION: post(
        "ReplicationMigrationItems_ResumeReplication",
        MIGRATION_ITEM, "resumeReplication", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Replicates a machine anew.
    MIGRATION_ITEMS_RESYNC: post(
        "ReplicationMigrationItems_Resync",
        MIGRATION_ITEM, "resync", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Lists the recovery points of a migration item.
    MIGRATION_RECOVERY_POINTS_LIST: list(
        "MigrationRecoveryPoints_ListByReplicationMigrationItems",
        MIGRATION_ITEM, "migrationRecoveryPoints", SITE_RECOVERY,
    );
    /// Reads a recovery point of a migration item.
    MIGRATION_RECOVERY_POINTS_GET: get("MigrationRecoveryPoints_Get", MIGRATION_RECOVERY_POINT, SITE_RECOVERY);

    // Site Recovery: machines of Hyper-V and machines with an agent.
    /// Lists the protected items of a vault.
    PROTECTED_ITEMS_LIST: list("ReplicationProtectedItems_List", VAULT, "replicationProtectedItems", SITE_RECOVERY);
    /// Lists the protected items of a container.
    PROTECTED_ITEMS_LIST_IN_CONTAINER: list(
        "ReplicationProtectedItems_ListByReplicationProtectionContainers",
        CONTAINER, "replicationProtectedItems", SITE_RECOVERY,
    );
    /// Reads a protected item.
    PROTECTED_ITEMS_GET: get("ReplicationProtectedItems_Get", PROTECTED_ITEM, SITE_RECOVERY);
    /// Enables the protection of a machine.
    PROTECTED_ITEMS_CREATE: put(
        "ReplicationProtectedItems_Create",
        PROTECTED_ITEM, SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Changes a protected item.
    PROTECTED_ITEMS_UPDATE: patch(
        "ReplicationProtectedItems_Update",
        PROTECTED_ITEM, SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Deletes a protected item by force.
    PROTECTED_ITEMS_PURGE: delete(
        "ReplicationProtectedItems_Purge",
        PROTECTED_ITEM, SITE_RECOVERY, &[202, 204],
    ).long_running();
    /// Disables the protection of a machine.
    PROTECTED_ITEMS_DELETE: post(
        "ReplicationProtectedItems_Delete",
        PROTECTED_ITEM, "remove", SITE_RECOVERY, &[202, 204],
    ).long_running();
    /// Fails a machine over for a test.
    PROTECTED_ITEMS_TEST_FAILOVER: post(
        "ReplicationProtectedItems_TestFailover",
        PROTECTED_ITEM, "testFailover", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Removes what a test made.
    PROTECTED_ITEMS_TEST_FAILOVER_CLEANUP: post(
        "ReplicationProtectedItems_TestFailoverCleanup",
        PROTECTED_ITEM, "testFailoverCleanup", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Fails a machine over that can be shut down first.
    PROTECTED_ITEMS_PLANNED_FAILOVER: post(
        "ReplicationProtectedItems_PlannedFailover",
        PROTECTED_ITEM, "plannedFailover", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Fails a machine over as it is.
    PROTECTED_ITEMS_UNPLANNED_FAILOVER: post(
        "ReplicationProtectedItems_UnplannedFailover",
        PROTECTED_ITEM, "unplannedFailover", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Commits a failover.
    PROTECTED_ITEMS_FAILOVER_COMMIT: post(
        "ReplicationProtectedItems_FailoverCommit",
        PROTECTED_ITEM, "failoverCommit", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Cancels a failover.
    PROTECTED_ITEMS_FAILOVER_CANCEL: post(
        "ReplicationProtectedItems_FailoverCancel",
        PROTECTED_ITEM, "failoverCancel", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Replicates a machine anew.
    PROTECTED_ITEMS_REPAIR_REPLICATION: post(
        "ReplicationProtectedItems_RepairReplication",
        PROTECTED_ITEM, "repairReplication", SITE_RECOVERY, &[200, 202],
    ).long_running();
    /// Lists the recovery points of a protected item.
    RECOVERY_POINTS_LIST: list(
        "RecoveryPoints_ListByReplicationProtectedItems",
        PROTECTED_ITEM, "recoveryPoints", SITE_RECOVERY,
    );
    /// Reads a recovery point of a protected item.
    RECOVERY_POINTS_GET: get("RecoveryPoints_Get", RECOVERY_POINT, SITE_RECOVERY);

    // Disks and their snapshots.
    /// Reads a managed disk.
    DISKS_GET: get("Disks_Get", DISK, DISKS);
    /// Lists the managed disks of a resource group.
    DISKS_LIST: list("Disks_ListByResourceGroup", Target::Group, "providers/Microsoft.Compute/disks", DISKS);
    /// Makes or replaces a managed disk.
    DISKS_CREATE_OR_UPDATE: put("Disks_CreateOrUpdate", DISK, DISKS, &[200, 202]).long_running();
    /// Changes a managed disk.
    DISKS_UPDATE: patch("Disks_Update", DISK, DISKS, &[200, 202]).long_running();
    /// Deletes a managed disk.
    DISKS_DELETE: delete("Disks_Delete", DISK, DISKS, &[200, 202, 204]).long_running();
    /// Gives a URL by which a disk is written or read.
    DISKS_GRANT_ACCESS: post("Disks_GrantAccess", DISK, "beginGetAccess", DISKS, &[200, 202]).long_running();
    /// Takes that URL back.
    DISKS_REVOKE_ACCESS: post("Disks_RevokeAccess", DISK, "endGetAccess", DISKS, &[200, 202]).long_running();
    /// Reads a snapshot of a managed disk.
    SNAPSHOTS_GET: get("Snapshots_Get", SNAPSHOT, DISKS);
    /// Makes or replaces a snapshot of a managed disk.
    SNAPSHOTS_CREATE_OR_UPDATE: put("Snapshots_CreateOrUpdate", SNAPSHOT, DISKS, &[200, 202]).long_running();
    /// Deletes a snapshot of a managed disk.
    SNAPSHOTS_DELETE: delete("Snapshots_Delete", SNAPSHOT, DISKS, &[200, 202, 204]).long_running();
    /// Gives a URL by which a snapshot is read.
    SNAPSHOTS_GRANT_ACCESS: post(
        "Snapshots_GrantAccess",
        SNAPSHOT, "beginGetAccess", DISKS, &[200, 202],
    ).long_running();
    /// Takes that URL back.
    SNAPSHOTS_REVOKE_ACCESS: post(
        "Snapshots_RevokeAccess",
        SNAPSHOT, "endGetAccess", DISKS, &[200, 202],
    ).long_running();
    /// Lists the disk encryption sets of a resource group.
    DISK_ENCRYPTION_SETS_LIST: list(
        "DiskEncryptionSets_ListByResourceGroup",
        Target::Group, "providers/Microsoft.Compute/diskEncryptionSets", DISKS,
    );
    /// Reads a disk encryption set.
    DISK_ENCRYPTION_SETS_GET: get("DiskEncryptionSets_Get", DISK_ENCRYPTION_SET, DISKS);

    // Virtual machines.
    /// Lists the virtual machines of a resource group.
    VIRTUAL_MACHINES_LIST: list(
        "VirtualMachines_List",
        Target::Group, "providers/Microsoft.Compute/virtualMachines", COMPUTE,
    );
    /// Reads a virtual machine.
    VIRTUAL_MACHINES_GET: get("VirtualMachines_Get", VIRTUAL_MACHINE, COMPUTE);
    /// Makes or replaces a virtual machine.
    VIRTUAL_MACHINES_CREATE_OR_UPDATE: put(
        "VirtualMachines_CreateOrUpdate",
        VIRTUAL_MACHINE, COMPUTE, &[200, 201],
    ).long_running().conditional();
    /// Changes a virtual machine.
    VIRTUAL_MACHINES_UPDATE: patch(
        "VirtualMachines_Update",
        VIRTUAL_MACHINE, COMPUTE, &[200],
    ).long_running().conditional();
    /// Deletes a virtual machine.
    VIRTUAL_MACHINES_DELETE: delete(
        "VirtualMachines_Delete",
        VIRTUAL_MACHINE, COMPUTE, &[200, 202, 204],
    ).long_running();
    /// Stops a virtual machine and gives its hardware back.
    VIRTUAL_MACHINES_DEALLOCATE: post(
        "VirtualMachines_Deallocate",
        VIRTUAL_MACHINE, "deallocate", COMPUTE, &[200, 202],
    ).long_running();
    /// Starts a virtual machine.
    VIRTUAL_MACHINES_START: post(
        "VirtualMachines_Start",
        VIRTUAL_MACHINE, "start", COMPUTE, &[200, 202],
    ).long_running();
    /// Lists the availability sets of a resource group.
    AVAILABILITY_SETS_LIST: list(
        "AvailabilitySets_List",
        Target::Group, "providers/Microsoft.Compute/availabilitySets", COMPUTE,
    );
    /// Reads an availability set.
    AVAILABILITY_SETS_GET: get("AvailabilitySets_Get", AVAILABILITY_SET, COMPUTE);
    /// Makes or replaces an availability set.
    AVAILABILITY_SETS_CREATE_OR_UPDATE: put("AvailabilitySets_CreateOrUpdate", AVAILABILITY_SET, COMPUTE, &[200]);
    /// Deletes an availability set.
    AVAILABILITY_SETS_DELETE: delete("AvailabilitySets_Delete", AVAILABILITY_SET, COMPUTE, &[200, 204]);
    /// Lists the sizes and disk types of a subscription; the filter `location eq '…'` leaves one region's.
    SKUS_LIST: list("ResourceSkus_List", Target::Subscription, "providers/Microsoft.Compute/skus", SKUS);

    // Subscriptions and their groups.
    /// Lists the regions of a subscription.
    LOCATIONS_LIST: list("Subscriptions_ListLocations", Target::Subscription, "locations", SUBSCRIPTIONS);
    /// Reads a resource group.
    RESOURCE_GROUPS_GET: get("ResourceGroups_Get", Target::Group, RESOURCES);
    /// Makes or replaces a resource group.
    RESOURCE_GROUPS_PUT: put("ResourceGroups_CreateOrUpdate", Target::Group, RESOURCES, &[200, 201]);
}
