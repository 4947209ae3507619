//! What a template makes is what Azure takes: its resources are sent one by one, as a deployment would.

use libmigrate::CancellationToken;
use libmigrate::control::arm::{ArmClient, Operation, operations};
use libmigrate::control::limits::Limits;
use libmigrate::control::model::Vault;
use libmigrate::control::plan::{Goal, observe, plan};
use libmigrate::control::{ArmId, Scenario};
use serde_json::{Map, Value};

use crate::world::World;

/// How a resource of that type is made.
fn made_by(kind: &str) -> &'static Operation {
    match kind {
        "Microsoft.Resources/resourceGroups" => &operations::RESOURCE_GROUPS_PUT,
        "Microsoft.RecoveryServices/vaults" => &operations::VAULTS_CREATE_OR_UPDATE,
        "Microsoft.Network/privateEndpoints" => &operations::PRIVATE_ENDPOINTS_CREATE_OR_UPDATE,
        "Microsoft.Network/privateDnsZones" => &operations::PRIVATE_ZONES_CREATE_OR_UPDATE,
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks" => &operations::VIRTUAL_NETWORK_LINKS_CREATE_OR_UPDATE,
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups" => {
            &operations::PRIVATE_DNS_ZONE_GROUPS_CREATE_OR_UPDATE
        }
        "Microsoft.RecoveryServices/vaults/replicationPolicies" => &operations::POLICIES_CREATE,
        "Microsoft.Authorization/roleAssignments" => &operations::ROLE_ASSIGNMENTS_CREATE,
        kind if kind.ends_with("/replicationProtectionContainerMappings") => &operations::MAPPINGS_CREATE,
        kind => panic!("{kind} is not expected in a template"),
    }
}

/// The id that a resource of a template has in its resource group.
fn id_of(group: &ArmId, resource: &Value) -> ArmId {
    let (kind, name) = (resource["type"].as_str().unwrap(), resource["name"].as_str().unwrap());
    if kind == "Microsoft.Resources/resourceGroups" {
        return group.parent().unwrap().group(name);
    }
    let (namespace, kinds) = kind.split_once('/').unwrap();
    let scope = resource["scope"].as_str().map_or_else(|| group.clone(), ArmId::new);
    let mut parts = kinds.split('/').zip(name.split('/'));
    let (first, name) = parts.next().unwrap();
    parts.fold(scope.resource(namespace, first, name), |id, (kind, name)| id.child(kind, name))
}

/// Reads the two expressions that a grant has, as a deployment does when the vault is there.
async fn evaluated(client: &ArmClient, world: &World, resource: &Value) -> Value {
    let mut resource = resource.clone();
    let is = |text: &Value, start: &str| text.as_str().is_some_and(|text| text.starts_with(start));
    if is(&resource["name"], "[guid(") {
        resource["name"] = uuid::Uuid::new_v4().to_string().into();
    }
    if is(&resource["properties"]["principalId"], "[reference(") {
        let cancel = CancellationToken::new();
        let vault: Vault = client.get(&operations::VAULTS_GET, &world.wanted.vault, &cancel).await.unwrap();
        resource["properties"]["principalId"] = vault.principal_id().unwrap().into();
    }
    resource
}

/// Sends a resource as a deployment does: without what only a template knows.
async fn deploy(client: &ArmClient, world: &World, group: &ArmId, resource: &Value) {
    let resource = &evaluated(client, world, resource).await;
    let mut body: Map<String, Value> = resource.as_object().unwrap().clone();
    body.retain(|key, _| !["type", "apiVersion", "name", "scope", "dependsOn"].contains(&key.as_str()));
    let operation = made_by(resource["type"].as_str().unwrap());
    assert_eq!(resource["apiVersion"], operation.api_version);
    let request = operation.on(&id_of(group, resource)).with_body(&body).unwrap();
    client
        .run::<Value>(&request, &CancellationToken::new())
        .await
        .unwrap_or_else(|error| panic!("{resource:#}: {error}"));
}

#[tokio::test]
async fn the_resources_of_a_template_are_what_azure_takes_and_leave_only_what_it_named() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 1).await;
        let client = world.client();
        let cancel = CancellationToken::new();
        let seen = observe(&client, &world.wanted, &cancel).await.unwrap();
        let first = plan(&world.wanted, Goal::Prepared.into(), &seen, Limits::published());
        assert!(!first.is_empty());

        let template = first.to_template(&world.wanted, &seen);
        for deployment in template["resources"].as_array().unwrap() {
            let nested = deployment["properties"]["template"]["resources"].as_array();
            let group = &world.wanted.target.resource_group;
            let Some(nested) = nested else {
                deploy(&client, &world, group, deployment).await;
                continue;
            };
            let group = group.parent().unwrap().group(deployment["resourceGroup"].as_str().unwrap());
            for resource in nested {
                deploy(&client, &world, &group, resource).await;
            }
        }

        let seen = observe(&client, &world.wanted, &cancel).await.unwrap();
        let left = plan(&world.wanted, Goal::Prepared.into(), &seen, Limits::published());
        let named = template["metadata"]["libmigrate"]["notInTemplate"].as_array().unwrap();
        assert!(left.steps.iter().all(|step| named.contains(&step.id.as_str().into())), "{scenario}: {left:#?}");
    }
}
