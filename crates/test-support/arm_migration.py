"""Whole migrations by Microsoft's own Python clients, for tests/arm_by_python.rs.

arm_migration.py WHAT, one of vmware, hyper-v, order; the fake's address comes in LIBMIGRATE_ARM, and what the
scenery has, as a JSON object of names and resource ids, in LIBMIGRATE_SCENERY. Prints one JSON object: what was
seen on the way. Any answer that a client cannot read is an exception, and the end.
"""

import json
import os
import sys
import uuid

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.network import models as network_models
from azure.mgmt.privatedns import PrivateDnsManagementClient
from azure.mgmt.privatedns import models as dns_models
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservices import models as vault_models
from azure.mgmt.recoveryservicesbackup import RecoveryServicesBackupClient
from azure.mgmt.recoveryservicesbackup import models as backup_models
from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient
from azure.mgmt.recoveryservicessiterecovery import models as asr
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storage import models as storage_models

ENDPOINT = os.environ["LIBMIGRATE_ARM"].rstrip("/")
SCENERY = json.loads(os.environ["LIBMIGRATE_SCENERY"])
SUBSCRIPTION = SCENERY["subscription"].split("/")[-1]
GROUP = SCENERY["group"].split("/")[-1]
FABRIC, CONTAINER, VAULT = (SCENERY[what].split("/")[-1] for what in ("fabric", "container", "vault"))
ACCOUNT = SCENERY["account"].split("/")[-1]
ROLES = {
    "contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "blob data contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
}

# These two clients take the version with every call, and not for all of them.
NETWORK = {"api_version": "2024-01-01"}
COMPUTE = {"api_version": "2024-03-01"}


class Token:
    """A credential that knows one token."""

    def get_token(self, *_scopes, **_options):
        return AccessToken("token", 9_999_999_999)


class PlainBearer(SansIOHTTPPolicy):
    """The clients' own policy refuses to send a token over http; the fake is on loopback."""

    def on_request(self, request):
        request.http_request.headers["Authorization"] = "Bearer token"


def client(kind, version):
    """A client of that kind, at the version of the published contract."""
    options = {"base_url": ENDPOINT, "authentication_policy": PlainBearer(), "polling_interval": 0, "retry_total": 0}
    return kind(Token(), SUBSCRIPTION, api_version=version, **options)


def site_recovery():
    return client(SiteRecoveryManagementClient, "2024-04-01")


def private_vault():
    """Gives the vault an identity and a private endpoint with its zone; the identity."""
    vaults = client(RecoveryServicesClient, "2024-04-01")
    vault = vaults.vaults.begin_create_or_update(
        GROUP,
        VAULT,
        vault_models.Vault(
            location="centralus",
            identity=vault_models.IdentityData(type="SystemAssigned"),
            sku=vault_models.Sku(name="RS0", tier="Standard"),
            properties=vault_models.VaultProperties(public_network_access="Enabled"),
        ),
    ).result()
    assert vault.identity.principal_id, vault
    offered = list(vaults.private_link_resources.list(GROUP, VAULT))
    group = next(one for one in offered if one.properties.group_id == "AzureSiteRecovery")
    assert len(group.properties.required_members) == 5, group
    zone = group.properties.required_zone_names[0]
    private_endpoint("vault-pe", SCENERY["vault"], "AzureSiteRecovery", zone, manual=True)
    approve_for_vault(vaults.vaults.get(GROUP, VAULT))
    vault = vaults.vaults.get(GROUP, VAULT)
    assert vault.properties.private_endpoint_state_for_site_recovery == "Enabled", vault
    return vault.identity.principal_id


def approve_for_vault(vault):
    """The owner of the vault lets its private endpoint in: by the client of Backup, whose contract has that."""
    waiting = vault.properties.private_endpoint_connections[0]
    connections = client(RecoveryServicesBackupClient, "2024-04-01").private_endpoint_connection
    at = (VAULT, GROUP, waiting.id.split("/")[-1])
    connection = connections.get(*at)
    assert connection.properties.private_link_service_connection_state.status == "Pending", connection
    assert connection.properties.group_ids == ["AzureSiteRecovery"], connection
    connection.properties.private_link_service_connection_state = backup_models.PrivateLinkServiceConnectionState(
        status="Approved", description="approved"
    )
    connection = connections.begin_put(*at, connection).result()
    assert connection.properties.private_link_service_connection_state.status == "Approved", connection
    assert connection.properties.provisioning_state == "Succeeded", connection


def private_endpoint(name, target, group, zone, manual=False):
    """An endpoint with its zone, the zone's link and group; the endpoint."""
    zones = client(PrivateDnsManagementClient, "2024-06-01")
    made = zones.private_zones.begin_create_or_update(GROUP, zone, dns_models.PrivateZone(location="global")).result()
    zones.virtual_network_links.begin_create_or_update(
        GROUP,
        zone,
        "link1",
        dns_models.VirtualNetworkLink(
            location="global",
            properties=dns_models.VirtualNetworkLinkProperties(
                virtual_network=dns_models.SubResource(id=SCENERY["network"]), registration_enabled=False
            ),
        ),
    ).result()
    networks = client(NetworkManagementClient, NETWORK["api_version"])
    connection = network_models.PrivateLinkServiceConnection(
        name=name, private_link_service_id=target, group_ids=[group]
    )
    field = "manual_private_link_service_connections" if manual else "private_link_service_connections"
    networks.private_endpoints.begin_create_or_update(
        GROUP,
        name,
        network_models.PrivateEndpoint(
            location="centralus", subnet=network_models.Subnet(id=SCENERY["subnet"]), **{field: [connection]}
        ),
        **NETWORK,
    ).result()
    networks.private_dns_zone_groups.begin_create_or_update(
        GROUP,
        name,
        "default",
        network_models.PrivateDnsZoneGroup(
            private_dns_zone_configs=[
                network_models.PrivateDnsZoneConfig(name="config1", private_dns_zone_id=made.id)
            ]
        ),
        **NETWORK,
    ).result()
    return networks.private_endpoints.get(GROUP, name, **NETWORK)


def private_account():
    """The account's endpoint is asked for by hand, and approved by the owner; the number of records."""
    zone = "privatelink.blob.core.windows.net"
    endpoint = private_endpoint("cache-pe", SCENERY["account"], "blob", zone, manual=True)
    state = endpoint.manual_private_link_service_connections[0].private_link_service_connection_state
    assert state.status == "Pending", state
    accounts = client(StorageManagementClient, "2023-05-01")
    waiting = list(accounts.private_endpoint_connections.list(GROUP, ACCOUNT))
    approval = storage_models.PrivateEndpointConnection(
        private_link_service_connection_state=storage_models.PrivateLinkServiceConnectionState(
            status="Approved", description="approved"
        )
    )
    accounts.private_endpoint_connections.put(GROUP, ACCOUNT, waiting[0].name, approval)
    accounts.storage_accounts.update(
        GROUP,
        ACCOUNT,
        storage_models.StorageAccountUpdateParameters(
            network_rule_set=storage_models.NetworkRuleSet(bypass="AzureServices", default_action="Deny")
        ),
    )
    account = accounts.storage_accounts.get_properties(GROUP, ACCOUNT)
    assert account.network_rule_set.default_action == "Deny", account
    zones = client(PrivateDnsManagementClient, "2024-06-01")
    records = list(zones.record_sets.list_by_type(GROUP, zone, "A"))
    assert records[0].name == ACCOUNT, records
    return len(records)


def grant(principal):
    """Both roles on the account, each for a new identity that the directory may not know yet."""
    grants = client(AuthorizationManagementClient, "2022-04-01")
    refused = 0
    for role in ROLES.values():
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{SCENERY['account']}|{principal}|{role}"))
        body = RoleAssignmentCreateParameters(
            role_definition_id=f"{SCENERY['subscription']}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            principal_id=principal,
            principal_type="ServicePrincipal",
        )
        while True:
            try:
                grants.role_assignments.create(SCENERY["account"], name, body)
                break
            except HttpResponseError as error:
                assert error.error.code == "PrincipalNotFound", error
                refused += 1
    held = grants.role_assignments.list_for_scope(SCENERY["account"], filter=f"principalId eq '{principal}'")
    assert len(list(held)) == len(ROLES)
    return refused


def initialize(recovery, policy_input, mapping_input):
    """Policy and mapping; the policy's id."""
    policy = recovery.replication_policies.begin_create(
        GROUP, VAULT, "policy1",
        asr.CreatePolicyInput(properties=asr.CreatePolicyInputProperties(provider_specific_input=policy_input)),
    ).result()
    mapping = recovery.replication_protection_container_mappings.begin_create(
        GROUP, VAULT, FABRIC, CONTAINER, "containermapping",
        asr.CreateProtectionContainerMappingInput(
            properties=asr.CreateProtectionContainerMappingInputProperties(
                policy_id=policy.id,
                target_protection_container_id="Microsoft Azure",
                provider_specific_input=mapping_input,
            )
        ),
    ).result()
    assert mapping.properties.state == "Paired", mapping
    return policy.id


def machines():
    group = SCENERY["target_group"].split("/")[-1]
    compute = client(ComputeManagementClient, COMPUTE["api_version"])
    return [machine.name for machine in compute.virtual_machines.list(group, **COMPUTE)]


def initialize_vmware(recovery):
    return initialize(
        recovery,
        asr.VMwareCbtPolicyCreationInput(
            recovery_point_history_in_minutes=360,
            crash_consistent_frequency_in_minutes=60,
            app_consistent_frequency_in_minutes=240,
        ),
        asr.VMwareCbtContainerMappingInput(storage_account_id=SCENERY["account"], target_location="centralus"),
    )


def vmware_item(policy):
    disks = [
        asr.VMwareCbtDiskInput(
            disk_id=disk,
            is_os_disk="true" if index == 0 else "false",
            log_storage_account_id=SCENERY["account"],
            log_storage_account_sas_secret_name=f"{ACCOUNT}-cacheSas",
            disk_type="Standard_LRS",
        )
        for index, disk in enumerate(SCENERY["disks"])
    ]
    details = asr.VMwareCbtEnableMigrationInput(
        vmware_machine_id=SCENERY["machine"],
        disks_to_include=disks,
        data_mover_run_as_account_id=SCENERY["run_as_account"],
        snapshot_run_as_account_id=SCENERY["run_as_account"],
        target_resource_group_id=SCENERY["target_group"],
        target_network_id=SCENERY["network"],
        target_vm_name="web01",
        target_vm_size="Standard_D2s_v3",
    )
    return asr.EnableMigrationInput(
        properties=asr.EnableMigrationInputProperties(policy_id=policy, provider_specific_details=details)
    )


def vmware():
    principal = private_vault()
    seen = {"records": private_account(), "refused": grant(principal), "states": []}
    recovery = site_recovery()
    policy = initialize_vmware(recovery)
    items, at = recovery.replication_migration_items, (GROUP, VAULT, FABRIC, CONTAINER, "web01")

    def note(item):
        state = [item.properties.migration_state, item.properties.test_migrate_state]
        if not seen["states"] or seen["states"][-1] != state:
            seen["states"].append(state)
        return item

    item = note(items.begin_create(*at, vmware_item(policy)).result())
    for _ in range(100):
        if item.properties.migration_state == "Replicating":
            break
        item = note(items.get(*at))
    points = list(recovery.migration_recovery_points.list_by_replication_migration_items(*at))
    assert item.properties.provider_specific_details.last_recovery_point_id == points[0].id, points
    items.begin_test_migrate(
        *at,
        asr.TestMigrateInput(
            properties=asr.TestMigrateInputProperties(
                provider_specific_details=asr.VMwareCbtTestMigrateInput(
                    recovery_point_id=points[0].id, network_id=SCENERY["test_network"]
                )
            )
        ),
    ).result()
    note(items.get(*at))
    seen["tested"] = machines()
    items.begin_test_migrate_cleanup(
        *at, asr.TestMigrateCleanupInput(properties=asr.TestMigrateCleanupInputProperties(comments="done"))
    ).result()
    note(items.get(*at))
    items.begin_migrate(
        *at,
        asr.MigrateInput(
            properties=asr.MigrateInputProperties(
                provider_specific_details=asr.VMwareCbtMigrateInput(perform_shutdown="true")
            )
        ),
    ).result()
    item = note(items.get(*at))
    seen["allowed"] = item.properties.allowed_operations
    items.begin_delete(*at).result()
    seen["left"] = [item.name for item in items.list(GROUP, VAULT)]
    seen["machines"] = machines()
    jobs = recovery.replication_jobs.list(GROUP, VAULT)
    seen["jobs"] = sorted({(job.properties.scenario_name, job.properties.state) for job in jobs})
    return seen


def hyper_v():
    principal = private_vault()
    seen = {"records": private_account(), "refused": grant(principal), "states": []}
    recovery = site_recovery()
    policy = initialize(
        recovery,
        asr.HyperVReplicaAzurePolicyInput(
            recovery_point_history_duration=2, application_consistent_snapshot_frequency_in_hours=1,
            replication_interval=300, storage_accounts=[SCENERY["account"]],
        ),
        # Hyper-V has no input of its own; the contract's example sends the name of the base.
        asr.ReplicationProviderSpecificContainerMappingInput(
            instance_type="ReplicationProviderSpecificContainerMappingInput"
        ),
    )
    items, at = recovery.replication_protected_items, (GROUP, VAULT, FABRIC, CONTAINER, "web01")
    found = recovery.replication_protectable_items.list_by_replication_protection_containers(*at[:4])
    machine = next(one for one in found if one.properties.friendly_name == "web01")
    disks = [
        asr.HyperVReplicaAzureDiskInputDetails(
            disk_id=disk, log_storage_account_id=SCENERY["account"], disk_type="Standard_LRS"
        )
        for disk in SCENERY["disks"]
    ]
    details = asr.HyperVReplicaAzureEnableProtectionInput(
        hv_host_vm_id="web01", vm_name="web01", os_type="Windows", vhd_id=SCENERY["disks"][0],
        target_azure_vm_name="web01", target_vm_size="Standard_D2s_v3", use_managed_disks="true",
        target_azure_network_id=SCENERY["network"], target_azure_v2_resource_group_id=SCENERY["target_group"],
        target_storage_account_id=SCENERY["account"], log_storage_account_id=SCENERY["account"],
        disks_to_include_for_managed_disks=disks,
    )

    def note(item):
        state = [item.properties.protection_state, item.properties.test_failover_state]
        if not seen["states"] or seen["states"][-1] != state:
            seen["states"].append(state)
        return item

    enable = asr.EnableProtectionInputProperties(
        policy_id=policy, protectable_item_id=machine.id, provider_specific_details=details
    )
    item = note(items.begin_create(*at, asr.EnableProtectionInput(properties=enable)).result())
    for _ in range(100):
        if item.properties.protection_state == "Protected":
            break
        item = note(items.get(*at))
    items.begin_test_failover(
        *at,
        asr.TestFailoverInput(
            properties=asr.TestFailoverInputProperties(
                failover_direction="PrimaryToRecovery",
                network_type="VmNetworkAsInput",
                network_id=SCENERY["test_network"],
                provider_specific_details=asr.HyperVReplicaAzureTestFailoverInput(),
            )
        ),
    ).result()
    note(items.get(*at))
    seen["tested"] = machines()
    items.begin_test_failover_cleanup(
        *at, asr.TestFailoverCleanupInput(properties=asr.TestFailoverCleanupInputProperties(comments="done"))
    ).result()
    note(items.get(*at))
    items.begin_planned_failover(
        *at,
        asr.PlannedFailoverInput(
            properties=asr.PlannedFailoverInputProperties(
                failover_direction="PrimaryToRecovery",
                provider_specific_details=asr.HyperVReplicaAzurePlannedFailoverProviderInput(),
            )
        ),
    ).result()
    note(items.get(*at))
    items.begin_failover_commit(*at).result()
    item = note(items.get(*at))
    seen["allowed"] = item.properties.allowed_operations
    items.begin_delete(
        *at,
        asr.DisableProtectionInput(
            properties=asr.DisableProtectionInputProperties(
                disable_protection_reason="MigrationComplete",
                replication_provider_input=asr.DisableProtectionProviderSpecificInput(
                    instance_type="DisableProtectionProviderSpecificInput"
                ),
            )
        ),
    ).result()
    seen["left"] = [item.name for item in items.list(GROUP, VAULT)]
    seen["machines"] = machines()
    return seen


def order():
    """One PUT, one POST and one DELETE on an item; the requests are read from the fake."""
    recovery = site_recovery()
    policy = initialize_vmware(recovery)
    items, at = recovery.replication_migration_items, (GROUP, VAULT, FABRIC, CONTAINER, "web01")
    items.begin_create(*at, vmware_item(policy)).result()
    while items.get(*at).properties.migration_state != "Replicating":
        pass
    items.begin_pause_replication(
        *at,
        asr.PauseReplicationInput(properties=asr.PauseReplicationInputProperties(instance_type="VMwareCbt")),
    ).result()
    items.begin_delete(*at).result()
    return {}


print(json.dumps({"vmware": vmware, "hyper-v": hyper_v, "order": order}[sys.argv[1]]()))
