//! Virtual networks, subnets and network interfaces.

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::place::parent_of;
use super::super::request::{Request, list, text, verb};
use super::super::world::World;
use super::{demand, envelope, made_status, properties, unknown};

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some(_)) => Ok(world.list(request)),
        ("PUT", None) => put(world, request),
        ("DELETE", None) => delete(world, request),
        _ => Err(unknown(request)),
    }
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let mut body = match request.place.kind.as_str() {
        "microsoft.network/virtualnetworks" => network(world, request)?,
        "microsoft.network/virtualnetworks/subnets" => subnet(request)?,
        "microsoft.network/networkinterfaces" => interface(world, request)?,
        _ => return Err(unknown(request)),
    };
    body["properties"]["provisioningState"] = "Updating".into();
    body["etag"] = "new".into();
    let status = made_status(world, request.id());
    world.put(request.id(), body);
    mirror_subnets(world, request.id());
    let links = Links::at_location(world, request, "operations");
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&id, |body| body["properties"]["provisioningState"] = state.into());
        mirror_subnets(world, &id);
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::new(status, world.get(request.id()).cloned().unwrap_or_default()).with(headers))
}

/// A network shows its subnets, each of which is a resource too.
fn mirror_subnets(world: &mut World, id: &str) {
    let network = if id.to_ascii_lowercase().contains("/subnets/") { parent_of(id) } else { id.to_owned() };
    let subnets = world.below(&network, "Microsoft.Network", "subnets");
    if !subnets.is_empty() {
        world.change(&network, |body| body["properties"]["subnets"] = subnets.into());
    }
}

fn network(world: &mut World, request: &Request) -> Result<Value, ArmError> {
    let mut body = envelope(request)?;
    let given = properties(request);
    list(request.content()?, "/properties/addressSpace/addressPrefixes")?;
    let subnets = given.get("subnets").and_then(Value::as_array).cloned().unwrap_or_default();
    for part in &subnets {
        let id = format!("{}/subnets/{}", request.id(), text(part, "/name")?);
        let mut part =
            json!({ "properties": part.get("properties").cloned().unwrap_or_else(|| json!({})), "etag": "new" });
        text(&part, "/properties/addressPrefix")?;
        part["properties"]["provisioningState"] = "Succeeded".into();
        world.put(&id, part);
    }
    body["properties"] = json!({ "addressSpace": given["addressSpace"], "subnets": [] });
    Ok(body)
}

fn subnet(request: &Request) -> Result<Value, ArmError> {
    request.text("/properties/addressPrefix")?;
    Ok(json!({ "properties": properties(request) }))
}

fn interface(world: &mut World, request: &Request) -> Result<Value, ArmError> {
    let mut body = envelope(request)?;
    let mut given = properties(request);
    list(request.content()?, "/properties/ipConfigurations")?;
    let configurations = given["ipConfigurations"].as_array_mut();
    for configuration in configurations.into_iter().flatten() {
        let subnet = text(configuration, "/properties/subnet/id")?.to_owned();
        demand(world, &subnet, request.id())?;
        let name = text(configuration, "/name")?.to_owned();
        configuration["id"] = format!("{}/ipConfigurations/{name}", request.id()).into();
        let properties = &mut configuration["properties"];
        if properties.get("privateIPAddress").is_none() {
            properties["privateIPAddress"] = world.address().into();
        }
        if properties.get("privateIPAllocationMethod").is_none() {
            properties["privateIPAllocationMethod"] = "Dynamic".into();
        }
        properties["provisioningState"] = "Succeeded".into();
    }
    body["properties"] = given;
    Ok(body)
}

fn delete(world: &mut World, request: &Request) -> Outcome {
    let Some(body) = world.get(request.id()) else { return Ok(Answer::empty(204)) };
    if let Some(machine) = body.pointer("/properties/virtualMachine/id").and_then(Value::as_str) {
        return Err(ArmError::bad_request(
            "NicInUse",
            format!("Network Interface {} is used by existing resource {machine}.", request.id()),
        ));
    }
    let links = Links::at_location(world, request, "operations").and_result("operations", "operationResults");
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.remove(&id);
        }
        Ok(None)
    });
    Ok(Answer::empty(202).with(headers))
}

impl World {
    /// The next private address.
    pub(crate) fn address(&mut self) -> String {
        let next = self.next_address;
        self.next_address += 1;
        format!("10.0.{}.{}", 1 + next / 250, 4 + next % 250)
    }
}
