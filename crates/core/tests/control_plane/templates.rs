//! What a template makes is what Azure takes: its resources are sent one by one, as a deployment would, and its frame
//! is held to Azure's schemas of templates.
//!
//! The schemas are not part of this project. `LIBMIGRATE_TEMPLATE_SCHEMAS` names the folder `schemas` of a copy of
//! <https://github.com/Azure/azure-resource-manager-schemas>; without it the test says that it is skipped.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use libmigrate::CancellationToken;
use libmigrate::control::arm::{ArmClient, Operation, operations};
use libmigrate::control::limits::Limits;
use libmigrate::control::model::Vault;
use libmigrate::control::plan::{Goal, observe, plan};
use libmigrate::control::{ArmId, Scenario};
use serde_json::{Map, Value, json};

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

const SCHEMAS: &str = "LIBMIGRATE_TEMPLATE_SCHEMAS";

/// What other files define is taken as it is.
fn without_foreign(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(without_foreign),
        Value::Object(fields) => {
            if fields.get("$ref").and_then(Value::as_str).is_some_and(|to| to.starts_with("https:")) {
                fields.clear();
            }
            fields.values_mut().for_each(without_foreign);
        }
        _ => {}
    }
}

/// The schema that a template names, from the folder: of its resources, what the schema says of every resource. (Each
/// type has a schema of its own besides, in hundreds of files; the bodies are held to the contracts of their services.)
fn frame(schemas: &Path, template: &Value) -> Validator {
    let named = template["$schema"].as_str().unwrap();
    let path = named.strip_prefix("https://schema.management.azure.com/schemas/").unwrap().trim_end_matches('#');
    let text = std::fs::read_to_string(schemas.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut schema: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    schema.as_object_mut().unwrap().remove("id");
    schema["properties"]["resources"] = json!({ "type": "array", "items": { "$ref": "#/definitions/resourceBase" } });
    without_foreign(&mut schema);
    jsonschema::draft4::new(&schema).unwrap()
}

/// What is wrong with a template and with those that are nested in it.
fn flaws(schemas: &Path, template: &Value) -> Vec<String> {
    let validator = frame(schemas, template);
    let own = validator.iter_errors(template).map(|error| format!("{}: {error}", error.instance_path()));
    let nested = template["resources"].as_array().into_iter().flatten().map(|one| &one["properties"]["template"]);
    let nested = nested.filter(|one| one.is_object()).flat_map(|one| flaws(schemas, one));
    own.chain(nested).collect()
}

#[tokio::test]
async fn a_template_and_those_nested_in_it_have_the_frame_that_azures_schemas_demand() {
    let Some(schemas) = std::env::var_os(SCHEMAS).map(PathBuf::from) else {
        // Past the harness, which keeps what a passing test says to itself.
        _ = writeln!(stderr(), "{SCHEMAS} names no folder of schemas, so a test is skipped");
        return;
    };
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 2).await;
        let seen = observe(&world.client(), &world.wanted, &CancellationToken::new()).await.unwrap();
        let plan = plan(&world.wanted, Goal::Replicating.into(), &seen, Limits::published());
        let template = plan.to_template(&world.wanted, &seen);
        assert_eq!(flaws(&schemas, &template), [""; 0], "{scenario}");

        // The judge can say no, of either frame.
        let mut without_type = template.clone();
        without_type["resources"][0].as_object_mut().unwrap().remove("type");
        let mut nested = template.clone();
        let inner = nested["resources"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|one| one["properties"]["template"].is_object());
        inner.unwrap()["properties"]["template"]["contentVersion"] = json!("first");
        let mut with_more = template;
        with_more["resource"] = json!([]);
        for wrong in [without_type, nested, with_more] {
            assert_eq!(flaws(&schemas, &wrong).len(), 1, "{scenario}: {:?}", flaws(&schemas, &wrong));
        }
    }
}
