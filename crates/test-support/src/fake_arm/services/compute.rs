//! Availability sets, disk encryption sets, and what sizes a region offers.

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::place::up_to;
use super::super::request::{Request, verb};
use super::super::world::World;
use super::groups::REGIONS;
use super::{envelope, give_identity, made_status, merge, properties, put_at_once, unknown};

/// Sizes: name, cores, memory in GiB, data disks, network interfaces, premium disks.
pub(super) const SIZES: &[(&str, u32, u32, u32, u32, bool)] = &[
    ("Standard_B2s", 2, 4, 4, 3, true),
    ("Standard_D2s_v3", 2, 8, 4, 2, true),
    ("Standard_D4s_v3", 4, 16, 8, 2, true),
    ("Standard_D8s_v3", 8, 32, 16, 4, true),
    ("Standard_E4s_v3", 4, 32, 8, 2, true),
    ("Standard_F4s_v2", 4, 8, 8, 2, true),
    ("Standard_D2_v3", 2, 8, 4, 2, false),
];

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match (request.place.kind.as_str(), verb(request)) {
        ("microsoft.compute", ("GET", Some("skus"))) => Ok(skus(world, request)),
        (_, ("GET", Some(_))) => Ok(world.list(request)),
        (_, ("GET", None)) => world.show(request),
        ("microsoft.compute/availabilitysets", ("PUT", None)) => availability_set(world, request),
        ("microsoft.compute/diskencryptionsets", ("PUT", None)) => encryption_set(world, request),
        ("microsoft.compute/availabilitysets", ("DELETE", None)) => {
            let members = world.get(request.id()).and_then(|set| set["properties"]["virtualMachines"].as_array());
            if members.is_some_and(|members| !members.is_empty()) {
                return Err(ArmError::new(
                    409,
                    "OperationNotAllowed",
                    "Availability Set cannot be deleted while it has virtual machines.",
                ));
            }
            Ok(Answer::empty(if world.remove(request.id()) { 200 } else { 204 }))
        }
        _ => Err(unknown(request)),
    }
}

fn availability_set(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let mut body = envelope(request)?;
    body["properties"] =
        json!({ "platformFaultDomainCount": 2, "platformUpdateDomainCount": 5, "virtualMachines": [] });
    merge(&mut body["properties"], &properties(request));
    if body.get("sku").is_none() {
        body["sku"] = json!({ "name": "Aligned" });
    }
    Ok(put_at_once(world, request, body, 200))
}

fn encryption_set(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    request.text("/properties/activeKey/keyUrl")?;
    let mut body = envelope(request)?;
    body["properties"] =
        json!({ "encryptionType": "EncryptionAtRestWithCustomerKey", "provisioningState": "Succeeded" });
    merge(&mut body["properties"], &properties(request));
    give_identity(world, request.id(), &mut body);
    let new = made_status(world, request.id()) == 201;
    world.put(request.id(), body);
    let shown = world.get(request.id()).cloned().unwrap_or_default();
    if !new {
        return Ok(Answer::ok(shown));
    }
    let links = Links::at_location(world, request, "DiskOperations");
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, _| Ok(world.get(&id).cloned()));
    Ok(Answer::new(202, shown).with(headers))
}

/// What can be had where; `$filter=location eq '…'` is honoured.
fn skus(world: &World, request: &Request) -> Answer {
    let filter = request.query.get("$filter").map_or("", String::as_str);
    let wanted = filter.split('\'').nth(1);
    let regions = REGIONS.iter().filter(|(name, _, _)| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name)));
    let all: Vec<Value> = regions.flat_map(|region| SIZES.iter().map(move |size| sku(region, size))).collect();
    world.page(request, all)
}

fn sku((region, _, zones): &(&str, &str, bool), size: &(&str, u32, u32, u32, u32, bool)) -> Value {
    let (name, cores, memory, disks, cards, premium) = size;
    let capability = |name: &str, value: String| json!({ "name": name, "value": value });
    let truth = |value: bool| if value { "True" } else { "False" }.to_owned();
    json!({
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "size": name.trim_start_matches("Standard_"),
        "family": "standardFamily",
        "locations": [region],
        "locationInfo": [{ "location": region, "zones": if *zones { json!(["1", "2", "3"]) } else { json!([]) }, "zoneDetails": [] }],
        "capabilities": [
            capability("vCPUs", cores.to_string()),
            capability("MemoryGB", memory.to_string()),
            capability("MaxDataDiskCount", disks.to_string()),
            capability("MaxNetworkInterfaces", cards.to_string()),
            capability("PremiumIO", truth(*premium)),
            capability("HyperVGenerations", "V1,V2".into()),
        ],
        "restrictions": [],
    })
}

/// The links of an operation on a virtual machine.
pub(super) fn machine_links(world: &mut World, request: &Request) -> Links {
    Links::at_location(world, request, "operations")
}

/// The resource group of a resource, as an id.
pub(super) fn group_of(id: &str) -> &str {
    up_to(id, "resourceGroups").unwrap_or(id)
}
