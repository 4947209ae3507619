//! Migrate projects with their solutions, and the sites that appliances discover machines for.
//!
//! Source: Azure REST API specification, Migrate, hubmigrate.json (2023-01-01), and `OffAzure`, migrate.json
//! (2023-06-06).

use serde_json::json;

use super::super::answer::{Answer, Outcome};
use super::super::request::{Request, verb};
use super::super::world::World;
use super::{envelope, give_identity, made_status, merge, properties, put_at_once, unknown};

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some(_)) => Ok(world.list(request)),
        ("PUT", None) => put(world, request),
        ("PATCH", None) => {
            let patch = request.content()?.clone();
            world.read(request.id())?;
            world.change(request.id(), |body| merge(body, &patch));
            world.show(request)
        }
        ("DELETE", None) => Ok(Answer::empty(if world.remove(request.id()) { 200 } else { 204 })),
        _ => Err(unknown(request)),
    }
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let status = made_status(world, request.id());
    let mut body = match request.place.kind.as_str() {
        "microsoft.migrate/migrateprojects" => envelope(request)?,
        "microsoft.offazure/vmwaresites" | "microsoft.offazure/hypervsites" | "microsoft.offazure/serversites" => {
            envelope(request)?
        }
        "microsoft.migrate/migrateprojects/solutions" => json!({}),
        _ => return Err(unknown(request)),
    };
    let mut given = properties(request);
    if request.place.kind == "microsoft.migrate/migrateprojects" {
        merge(&mut given, &json!({ "privateEndpointConnections": [] }));
        give_identity(world, request.id(), &mut body);
    }
    body["properties"] = given;
    Ok(put_at_once(world, request, body, status))
}
