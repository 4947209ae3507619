//! Virtual machines, made by a client or by Site Recovery.
//!
//! Source: Azure REST API specification, Compute, virtualMachine.json (2024-03-01).

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::place::name_of;
use super::super::request::{Request, list, text, verb};
use super::super::world::World;
use super::compute::{SIZES, group_of, machine_links};
use super::{demand, envelope, give_identity, made_status, merge, properties, unknown};

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some("instanceView")) => {
            world.read(request.id())?;
            let status = json!({ "code": "PowerState/running", "level": "Info", "displayStatus": "VM running" });
            Ok(Answer::ok(json!({ "statuses": [status] })))
        }
        ("PUT", None) => put(world, request),
        ("POST", Some("start" | "deallocate" | "powerOff" | "restart")) => {
            world.read(request.id())?;
            let links = machine_links(world, request);
            let headers = world.begin(request, links, |_, _| Ok(None));
            Ok(Answer::empty(202).with(headers))
        }
        ("DELETE", None) => {
            if !world.has(request.id()) {
                return Ok(Answer::empty(204));
            }
            let links = machine_links(world, request);
            let id = request.id().to_owned();
            let headers = world.begin(request, links, move |world, outcome| {
                if outcome.is_ok() {
                    remove_machine(world, &id);
                }
                Ok(None)
            });
            Ok(Answer::empty(202).with(headers))
        }
        _ => Err(unknown(request)),
    }
}

/// The disks in a machine's storage profile.
fn disks(body: &Value) -> Vec<String> {
    let profile = &body["properties"]["storageProfile"];
    let data = profile["dataDisks"].as_array().into_iter().flatten();
    let all = std::iter::once(&profile["osDisk"]).chain(data);
    all.filter_map(|disk| disk.pointer("/managedDisk/id").and_then(Value::as_str)).map(str::to_owned).collect()
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    if request.headers.get("if-none-match").is_some_and(|value| value == "*") && world.has(request.id()) {
        let message = "The resource exists already (If-None-Match).";
        return Err(ArmError::new(412, "PreconditionFailed", message));
    }
    let mut body = envelope(request)?;
    let given = properties(request);
    let size = request.text("/properties/hardwareProfile/vmSize")?;
    if !SIZES.iter().any(|(name, ..)| *name == size) {
        return Err(ArmError::bad_request(
            "InvalidParameter",
            format!("The value {size} provided for the VM size is not valid."),
        ));
    }
    let cards = list(request.content()?, "/properties/networkProfile/networkInterfaces")?;
    for card in cards {
        let card = text(card, "/id")?;
        demand(world, card, request.id())?;
        let owner =
            world.get(card).and_then(|card| card.pointer("/properties/virtualMachine/id")).and_then(Value::as_str);
        if owner.is_some_and(|owner| !owner.eq_ignore_ascii_case(request.id())) {
            return Err(ArmError::bad_request(
                "NicInUse",
                format!("Network Interface {card} is used by another resource."),
            ));
        }
    }
    text(&given, "/storageProfile/osDisk/createOption")?;
    body["properties"] = given;
    for disk in disks(&body) {
        demand(world, &disk, request.id())?;
        check_free(world, &disk, request.id())?;
    }
    let set = body.pointer("/properties/availabilitySet/id").and_then(Value::as_str).map(str::to_owned);
    if let Some(set) = &set {
        demand(world, set, request.id())?;
        if body.get("zones").is_some() {
            return Err(ArmError::bad_request(
                "BadRequest",
                "Availability zone and availability set exclude each other.",
            ));
        }
    }
    let status = made_status(world, request.id());
    let unique = world.uuid();
    merge(
        &mut body["properties"],
        &json!({ "provisioningState": if status == 201 { "Creating" } else { "Updating" }, "vmId": unique, "timeCreated": world.now() }),
    );
    give_identity(world, request.id(), &mut body);
    world.put(request.id(), body);
    attach(world, request.id());
    let links = machine_links(world, request);
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&id, |body| body["properties"]["provisioningState"] = state.into());
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::new(status, world.get(request.id()).cloned().unwrap_or_default()).with(headers))
}

fn check_free(world: &World, disk: &str, machine: &str) -> Result<(), ArmError> {
    let body = world.get(disk).cloned().unwrap_or_default();
    let owner = body["managedBy"].as_str().unwrap_or_default();
    if !owner.is_empty() && !owner.eq_ignore_ascii_case(machine) {
        return Err(ArmError::new(
            409,
            "ConflictingUserInput",
            format!(
                "Disk '{}' cannot be attached as the disk is already owned by VM '{}'.",
                name_of(disk),
                name_of(owner)
            ),
        ));
    }
    let state = body["properties"]["diskState"].as_str().unwrap_or_default();
    if state == "ReadyToUpload" || state == "ActiveUpload" {
        return Err(ArmError::new(
            409,
            "OperationNotAllowed",
            format!("Disk '{}' is in state {state} and cannot be attached.", name_of(disk)),
        ));
    }
    Ok(())
}

/// Tells disks, interfaces and the availability set whose they are.
fn attach(world: &mut World, machine: &str) {
    let body = world.get(machine).cloned().unwrap_or_default();
    for disk in disks(&body) {
        world.change(&disk, |disk| {
            disk["managedBy"] = machine.into();
            disk["properties"]["diskState"] = "Attached".into();
        });
    }
    for card in cards(&body) {
        world.change(&card, |card| card["properties"]["virtualMachine"] = json!({ "id": machine }));
    }
    if let Some(set) = body.pointer("/properties/availabilitySet/id").and_then(Value::as_str) {
        world.change(set, |set| {
            if let Some(members) = set["properties"]["virtualMachines"].as_array_mut() {
                members.retain(|member| !member["id"].as_str().unwrap_or_default().eq_ignore_ascii_case(machine));
                members.push(json!({ "id": machine }));
            }
        });
    }
}

fn cards(body: &Value) -> Vec<String> {
    let cards = body.pointer("/properties/networkProfile/networkInterfaces").and_then(Value::as_array);
    cards.into_iter().flatten().filter_map(|card| card["id"].as_str()).map(str::to_owned).collect()
}

/// Takes a machine away; its disks and interfaces stay, and are free.
pub(in super::super) fn remove_machine(world: &mut World, machine: &str) {
    let body = world.get(machine).cloned().unwrap_or_default();
    for disk in disks(&body) {
        world.change(&disk, |disk| {
            if let Some(disk) = disk.as_object_mut() {
                disk.remove("managedBy");
            }
            disk["properties"]["diskState"] = "Unattached".into();
        });
    }
    for card in cards(&body) {
        world.change(&card, |card| {
            if let Some(properties) = card["properties"].as_object_mut() {
                properties.remove("virtualMachine");
            }
        });
    }
    if let Some(set) = body.pointer("/properties/availabilitySet/id").and_then(Value::as_str) {
        world.change(set, |set| {
            if let Some(members) = set["properties"]["virtualMachines"].as_array_mut() {
                members.retain(|member| !member["id"].as_str().unwrap_or_default().eq_ignore_ascii_case(machine));
            }
        });
    }
    world.remove(machine);
}

/// A machine as Site Recovery makes it: its size and its place; id of the new machine.
pub(in super::super) fn make_machine(
    world: &mut World,
    group: &str,
    name: &str,
    size: &str,
    location: &str,
    tags: &Value,
) -> String {
    let id = format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", group_of(group));
    let unique = world.uuid();
    let mut body = json!({
        "location": location,
        "properties": {
            "provisioningState": "Succeeded",
            "vmId": unique,
            "hardwareProfile": { "vmSize": if size.is_empty() { "Standard_D2s_v3" } else { size } },
            "timeCreated": world.now(),
        },
    });
    if tags.is_object() {
        body["tags"] = tags.clone();
    }
    world.put(&id, body);
    id
}
