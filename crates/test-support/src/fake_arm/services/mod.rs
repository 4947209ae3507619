//! Which service a request is for.

mod authorization;
mod compute;
mod disk;
mod groups;
mod machine;
mod network;
mod private_dns;
mod private_endpoint;
mod project;
mod storage;
mod vault;

use serde_json::{Map, Value, json};

use super::answer::{Answer, ArmError, Outcome};
use super::place::{key, name_of};
use super::request::{Request, verb};
use super::site_recovery;
use super::world::World;

pub(super) use self::authorization::Standing;
pub(super) use self::machine::{make_machine, remove_machine};
pub(super) use self::private_endpoint::settle as settle_connection;
pub(super) use self::vault::note_item;

/// Does what is asked.
pub(super) fn dispatch(world: &mut World, request: &Request) -> Outcome {
    let kind = request.place.kind.as_str();
    let rest = request.place.rest.as_deref().map(str::to_ascii_lowercase);
    let about_endpoints = kind.ends_with("/privateendpointconnections")
        || matches!(rest.as_deref(), Some("privateendpointconnections" | "privatelinkresources"));
    if about_endpoints {
        return private_endpoint::of_target(world, request);
    }
    if kind.starts_with("microsoft.recoveryservices/vaults")
        && (kind.contains("/replication") || rest.as_deref().is_some_and(|rest| rest.starts_with("replication")))
    {
        return site_recovery::dispatch(world, request);
    }
    match kind {
        "subscriptions" | "resourcegroups" => groups::answer(world, request),
        "microsoft.authorization" | "microsoft.authorization/roleassignments" => authorization::grants(world, request),
        "microsoft.authorization/roledefinitions" => authorization::definitions(request),
        "microsoft.storage" | "microsoft.storage/storageaccounts" => storage::answer(world, request),
        "microsoft.recoveryservices"
        | "microsoft.recoveryservices/vaults"
        | "microsoft.recoveryservices/vaults/certificates" => vault::answer(world, request),
        "microsoft.network/privateendpoints" | "microsoft.network/privateendpoints/privatednszonegroups" => {
            private_endpoint::answer(world, request)
        }
        "microsoft.network" => Ok(world.list(request)),
        kind if kind.starts_with("microsoft.network/privatednszones") => private_dns::answer(world, request),
        kind if kind.starts_with("microsoft.network/") => network::answer(world, request),
        "microsoft.compute/disks" => disk::answer(world, request),
        "microsoft.compute/virtualmachines" => machine::answer(world, request),
        kind if kind.starts_with("microsoft.compute") => compute::answer(world, request),
        kind if kind.starts_with("microsoft.migrate") || kind.starts_with("microsoft.offazure") => {
            project::answer(world, request)
        }
        _ => Err(unknown(request)),
    }
}

/// That the service has nothing of that kind, or nothing that is done to it in that way.
pub(super) fn unknown(request: &Request) -> ArmError {
    let (method, rest) = verb(request);
    let what = format!("{method} {} {}", request.place.kind, rest.unwrap_or_default());
    ArmError::new(404, "InvalidResourceType", format!("The resource type could not be found: {}.", what.trim_end()))
}

/// The tags and the place, as a body that makes a resource says them.
fn envelope(request: &Request) -> Result<Value, ArmError> {
    let body = request.content()?;
    let mut envelope = json!({ "location": request.text("/location")? });
    for kept in ["tags", "sku", "kind", "zones", "identity", "extendedLocation"] {
        if let Some(value) = body.get(kept) {
            envelope[kept] = value.clone();
        }
    }
    Ok(envelope)
}

/// `properties` of the request, or none at all.
fn properties(request: &Request) -> Value {
    let found = request.body.as_ref().and_then(|body| body.get("properties")).filter(|found| found.is_object());
    found.cloned().unwrap_or_else(|| json!({}))
}

/// Lays `patch` over `value`: objects are merged, everything else is replaced.
pub(super) fn merge(value: &mut Value, patch: &Value) {
    match (value, patch) {
        (Value::Object(into), Value::Object(patch)) => merge_objects(into, patch),
        (value, patch) => *value = patch.clone(),
    }
}

fn merge_objects(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, patch) in patch {
        merge(into.entry(name.clone()).or_insert(Value::Null), patch);
    }
}

/// Gives a resource an identity of its own where the body asks for one; a principal, once given, stays.
fn give_identity(world: &mut World, id: &str, body: &mut Value) {
    let wants =
        body.pointer("/identity/type").and_then(Value::as_str).is_some_and(|kind| kind.contains("SystemAssigned"));
    if !wants {
        return;
    }
    let known = world.get(id).and_then(|known| known.pointer("/identity/principalId")).cloned();
    let principal = known.unwrap_or_else(|| {
        let principal = world.uuid();
        let delay = world.knobs.principal_delay;
        world.young_principals.insert(key(&principal), delay);
        principal.into()
    });
    body["identity"]["principalId"] = principal;
    body["identity"]["tenantId"] = TENANT.into();
}

/// The tenant of everything here.
pub(super) const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// 200 where it was there, 201 where it is new.
fn made_status(world: &World, id: &str) -> u16 {
    if world.has(id) { 200 } else { 201 }
}

/// Puts a resource whose service answers at once.
fn put_at_once(world: &mut World, request: &Request, body: Value, status: u16) -> Answer {
    world.put(request.id(), body);
    Answer::new(status, world.get(request.id()).cloned().unwrap_or_default())
}

/// That a resource of another service is there.
fn demand(world: &World, id: &str, by: &str) -> Result<(), ArmError> {
    if world.has(id) {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "InvalidResourceReference",
        format!("Resource {id} referenced by resource {} was not found.", name_of(by)),
    ))
}
