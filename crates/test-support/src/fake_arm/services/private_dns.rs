//! Private DNS zones, their links to networks, and their records.
//!
//! Zones and links are made by long-running operations, records at once. All have etags; `If-Match` and
//! `If-None-Match: *` are honoured.
//!
//! Source: Azure REST API specification, Private DNS, privatedns.json (2024-06-01).

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::place::{name_of, parent_of, up_to};
use super::super::request::{Request, list, verb};
use super::super::world::World;
use super::{demand, envelope, made_status, merge, properties, unknown};

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some(rest)) if rest.eq_ignore_ascii_case("ALL") => {
            let all = records(world, request.id());
            Ok(world.page(request, all))
        }
        ("GET", Some(_)) => Ok(world.list(request)),
        ("PUT", None) => put(world, request),
        ("PATCH", None) => {
            check_condition(world, request)?;
            let patch = request.content()?.clone();
            world.read(request.id())?;
            world.change(request.id(), |body| merge(body, &patch));
            world.show(request)
        }
        ("DELETE", None) => delete(world, request),
        _ => Err(unknown(request)),
    }
}

fn check_condition(world: &World, request: &Request) -> Result<(), ArmError> {
    let now = world.get(request.id()).map(|body| body["etag"].as_str().unwrap_or_default().to_owned());
    let unmet = |message: &str| Err(ArmError::new(412, "PreconditionFailed", message));
    if request.headers.get("if-none-match").is_some_and(|value| value == "*") && now.is_some() {
        return unmet("The resource exists already (If-None-Match).");
    }
    match request.headers.get("if-match").map(|value| value.trim_matches('"')) {
        Some("*") if now.is_none() => unmet("The resource does not exist (If-Match)."),
        Some(wanted) if wanted != "*" && now.as_deref() != Some(wanted) => {
            unmet("The resource was changed since it was read (If-Match).")
        }
        _ => Ok(()),
    }
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    check_condition(world, request)?;
    match request.place.kind.as_str() {
        "microsoft.network/privatednszones" => {
            demand_global(request)?;
            let mut body = envelope(request)?;
            body["properties"] = json!({
                "maxNumberOfRecordSets": 25000,
                "maxNumberOfVirtualNetworkLinks": 1000,
                "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
                "provisioningState": "Succeeded",
            });
            Ok(later(world, request, body))
        }
        "microsoft.network/privatednszones/virtualnetworklinks" => {
            demand_global(request)?;
            let network = request.text("/properties/virtualNetwork/id")?;
            demand(world, network, request.id())?;
            check_link(world, request, network)?;
            let mut body = envelope(request)?;
            body["properties"] = properties(request);
            merge(
                &mut body["properties"],
                &json!({ "virtualNetworkLinkState": "Completed", "provisioningState": "Succeeded" }),
            );
            if body["properties"].get("registrationEnabled").is_none() {
                body["properties"]["registrationEnabled"] = false.into();
            }
            Ok(later(world, request, body))
        }
        "microsoft.network/privatednszones/a" => {
            list(request.content()?, "/properties/aRecords")?;
            let ttl = properties(request).get("ttl").and_then(Value::as_u64).unwrap_or(0);
            if ttl == 0 {
                return Err(ArmError::invalid("properties.ttl", "is required and is at least 1"));
            }
            let status = made_status(world, request.id());
            let body = record(request.id(), &properties(request)["aRecords"], ttl);
            world.put(request.id(), body);
            count(world, request.id());
            Ok(Answer::new(status, world.get(request.id()).cloned().unwrap_or_default()))
        }
        _ => Err(unknown(request)),
    }
}

fn demand_global(request: &Request) -> Result<(), ArmError> {
    if request.text("/location")?.eq_ignore_ascii_case("global") {
        return Ok(());
    }
    Err(ArmError::bad_request("LocationNotAvailableForResourceType", "The location must be 'global'."))
}

/// A network is linked to a zone once, and to one zone of a name.
fn check_link(world: &World, request: &Request, network: &str) -> Result<(), ArmError> {
    let zone = parent_of(request.id());
    let subscription = up_to(&zone, "subscriptions").unwrap_or_default();
    let clash = world.below(subscription, "Microsoft.Network", "virtualNetworkLinks").into_iter().any(|link| {
        let id = link["id"].as_str().unwrap_or_default();
        let same_network = link.pointer("/properties/virtualNetwork/id").and_then(Value::as_str).unwrap_or_default();
        !id.eq_ignore_ascii_case(request.id())
            && same_network.eq_ignore_ascii_case(network)
            && name_of(&parent_of(id)).eq_ignore_ascii_case(name_of(&zone))
    });
    if clash {
        return Err(ArmError::new(
            409,
            "Conflict",
            "A virtual network cannot be linked to multiple zones with overlapping namespaces.",
        ));
    }
    Ok(())
}

fn links(world: &mut World, request: &Request) -> Links {
    let name = world.uuid();
    let group = up_to(request.id(), "resourceGroups").unwrap_or_default();
    let path = |kind: &str| Some(format!("{group}/providers/Microsoft.Network/{kind}/{name}"));
    Links { status: path("privateDnsOperationStatuses"), result: path("privateDnsOperationResults"), name }
}

fn later(world: &mut World, request: &Request, mut body: Value) -> Answer {
    body["etag"] = "new".into();
    if body["tags"].is_null() {
        body["tags"] = json!({});
    }
    let links = links(world, request);
    let id = request.id().to_owned();
    let hidden = world.hide_next;
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.hide_next = hidden;
            world.put(&id, body);
            world.hide_next = 0;
            count(world, &id);
        }
        Ok(world.get(&id).cloned())
    });
    Answer::empty(202).with(headers)
}

fn delete(world: &mut World, request: &Request) -> Outcome {
    check_condition(world, request)?;
    if !world.has(request.id()) {
        return Ok(Answer::empty(204));
    }
    let id = request.id().to_owned();
    if !["microsoft.network/privatednszones", "microsoft.network/privatednszones/virtualnetworklinks"]
        .contains(&request.place.kind.as_str())
    {
        world.remove(&id);
        count(world, &id);
        return Ok(Answer::empty(200));
    }
    if !world.below(&id, "Microsoft.Network", "virtualNetworkLinks").is_empty() {
        return Err(ArmError::new(
            409,
            "CannotDeleteResource",
            format!(
                "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: '{id}/virtualNetworkLinks'."
            ),
        ));
    }
    let links = links(world, request);
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.remove(&id);
            count(world, &id);
        }
        Ok(None)
    });
    Ok(Answer::empty(202).with(headers))
}

/// A set of A records, as it is kept.
fn record(id: &str, addresses: &Value, ttl: u64) -> Value {
    let (name, zone) = (name_of(id), name_of(&parent_of(id)).to_owned());
    json!({
        "etag": "new",
        "properties": { "fqdn": format!("{name}.{zone}."), "ttl": ttl, "aRecords": addresses, "isAutoRegistered": false },
    })
}

/// What a zone group writes: one address for one name.
pub(super) fn write_record(world: &mut World, zone: &str, name: &str, address: &str) {
    let id = format!("{zone}/A/{name}");
    world.put(&id, record(&id, &json!([{ "ipv4Address": address }]), 10));
    count(world, &id);
}

/// What is left when a zone group goes.
pub(super) fn remove_record(world: &mut World, zone: &str, name: &str) {
    let id = format!("{zone}/A/{name}");
    world.remove(&id);
    count(world, &id);
}

/// A zone says how much is in it.
fn count(world: &mut World, within: &str) {
    let Some(zone) = up_to(within, "privateDnsZones").map(str::to_owned) else { return };
    let records = records(world, &zone).len() + 1; // and the one that says who is in charge of the zone
    let links = world.below(&zone, "Microsoft.Network", "virtualNetworkLinks").len();
    world.change(&zone, |body| {
        let counts = json!({
            "numberOfRecordSets": records,
            "numberOfVirtualNetworkLinks": links,
            "numberOfVirtualNetworkLinksWithRegistration": 0,
        });
        merge(&mut body["properties"], &counts);
    });
}

fn records(world: &World, zone: &str) -> Vec<Value> {
    world.below(zone, "Microsoft.Network", "A")
}
