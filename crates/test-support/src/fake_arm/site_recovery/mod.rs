//! Site Recovery: what replicates, below the protection containers of a vault.
//!
//! Every change is a job. The job has the name of the operation's status, and a machine takes one at a time.
//! Fabrics, containers and providers are registered by appliances and hosts; here the scenery brings them.
//!
//! Source: Azure REST API specification, Site Recovery, service.json and its examples (2024-04-01).

mod access;
mod job;
mod migration_item;
mod policy;
mod protected_item;

use serde_json::{Value, json};

use super::answer::{Answer, ArmError, Outcome};
use super::place::parent_of;
use super::request::{Request, verb};
use super::services::{merge, unknown};
use super::world::World;

pub(super) const NAMESPACE: &str = "Microsoft.RecoveryServices";

/// Does what is asked.
pub(super) fn dispatch(world: &mut World, request: &Request) -> Outcome {
    let last = request.place.kind.rsplit('/').next().unwrap_or_default();
    match (last, verb(request)) {
        ("replicationmigrationitems" | "replicationprotecteditems" | "replicationjobs", ("GET", None)) => {
            let shown = world.show(request);
            world.tick();
            shown
        }
        (_, ("GET", None)) => world.show(request),
        (_, ("GET", Some(_))) => {
            if !world.has(request.id()) {
                return Err(ArmError::parent_not_found(request.id()));
            }
            Ok(world.list(request))
        }
        ("replicationmigrationitems", _) => migration_item::answer(world, request),
        ("replicationprotecteditems", _) => protected_item::answer(world, request),
        ("replicationpolicies", ("PUT", None)) => policy::put(world, request),
        ("replicationprotectioncontainermappings", ("PUT", None)) => policy::map(world, request),
        ("replicationprotectioncontainermappings", ("POST", Some("remove")))
        | ("replicationpolicies" | "replicationprotectioncontainermappings", ("DELETE", None)) => {
            policy::remove(world, request)
        }
        ("replicationjobs", ("POST", Some("cancel"))) => job::cancel(world, request),
        _ => Err(unknown(request)),
    }
}

/// `properties.customDetails.instanceType` of the fabric that a container's part belongs to.
fn fabric_kind(world: &World, id: &str) -> String {
    let fabric = super::place::up_to(id, "replicationFabrics").unwrap_or_default();
    let kind = world.get(fabric).and_then(|fabric| fabric.pointer("/properties/customDetails/instanceType"));
    kind.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The friendly name of a fabric or container.
fn friendly(world: &World, id: &str) -> Value {
    world.get(id).map_or(Value::Null, |body| body["properties"]["friendlyName"].clone())
}

/// The provider that does the work of a container: the fabric's first.
fn provider(world: &World, container: &str) -> Value {
    let providers = world.below(&parent_of(container), NAMESPACE, "replicationRecoveryServicesProviders");
    providers.first().map_or(Value::Null, |provider| provider["id"].clone())
}

/// Lays `patch` over an item's properties.
fn set(world: &mut World, item: &str, patch: &Value) {
    world.change(item, |body| merge(&mut body["properties"], patch));
}

/// Whether the item is still the one that was enabled then.
fn is_same(world: &World, item: &str, enabled_as: &str) -> bool {
    world.get(item).is_some_and(|body| body["properties"]["eventCorrelationId"] == enabled_as)
}

/// That the service allows the verb now, and that nothing else runs on the item.
fn demand_allowed(world: &World, item: &str, word: &str) -> Result<(), ArmError> {
    job::demand_idle(world, item)?;
    let body = world.get(item).ok_or_else(|| ArmError::not_found(item))?;
    let allowed = body["properties"]["allowedOperations"].as_array();
    if allowed.is_some_and(|allowed| allowed.iter().any(|one| one == word)) {
        return Ok(());
    }
    let state = body["properties"].get("migrationState").or_else(|| body["properties"].get("protectionState"));
    let state = state.and_then(Value::as_str).unwrap_or_default();
    let error =
        ArmError::bad_request("150001", "The requested operation is not allowed in the current state of the machine.");
    Err(error.because("OperationNotAllowed", format!("{word} is not allowed while the state is {state}.")))
}

/// A recovery point of an item; its id.
fn make_recovery_point(world: &mut World, item: &str, kind: &str, details: Option<Value>) -> String {
    let id = format!("{item}/{kind}/{}", world.uuid());
    let mut properties = json!({ "recoveryPointTime": world.now(), "recoveryPointType": "CrashConsistent" });
    if let Some(details) = details {
        properties["providerSpecificDetails"] = details;
    }
    world.put(&id, json!({ "properties": properties }));
    id
}

fn accepted(headers: Vec<(&'static str, String)>) -> Answer {
    Answer::empty(202).with(headers)
}
