//! Storage accounts.
//!
//! Source: Azure REST API specification, Storage, storage.json (2023-05-01).

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::request::{Request, verb};
use super::super::world::World;
use super::{envelope, give_identity, merge, properties, unknown};

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some(_)) => Ok(world.list(request)),
        ("PUT", None) => put(world, request),
        ("PATCH", None) => patch(world, request),
        ("POST", Some("listKeys")) => {
            world.read(request.id())?;
            let key = |name: &str| json!({ "keyName": name, "value": "bm90IGEga2V5", "permissions": "FULL" });
            Ok(Answer::ok(json!({ "keys": [key("key1"), key("key2")] })))
        }
        ("DELETE", None) => Ok(Answer::empty(if world.remove(request.id()) { 200 } else { 204 })),
        _ => Err(unknown(request)),
    }
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let name = request.place.name();
    let fits = (3..=24).contains(&name.len())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    if !fits {
        return Err(ArmError::bad_request(
            "AccountNameInvalid",
            format!(
                "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."
            ),
        ));
    }
    let sku = request.text("/sku/name")?;
    let kind = request.text("/kind")?;
    let known = ["Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"];
    if !known.contains(&kind) {
        return Err(ArmError::invalid("kind", "is no kind of storage account"));
    }
    if let Some(there) = world.get(request.id()) {
        if there["location"] != request.content()?["location"] {
            return Err(ArmError::new(
                409,
                "InvalidResourceLocation",
                "The resource exists already in another location.",
            ));
        }
        return patch(world, request);
    }
    let mut body = envelope(request)?;
    let tier = if sku.starts_with("Premium") { "Premium" } else { "Standard" };
    body["sku"] = json!({ "name": sku, "tier": tier });
    body["properties"] = defaults(world, name, &body["location"]);
    merge(&mut body["properties"], &properties(request));
    give_identity(world, request.id(), &mut body);

    let links = Links::at_location(world, request, "asyncoperations").only_result();
    let id = request.id().to_owned();
    let hidden = world.hide_next;
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.hide_next = hidden;
            world.put(&id, body);
            world.hide_next = 0;
        }
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::empty(202).with(headers))
}

fn defaults(world: &World, name: &str, location: &Value) -> Value {
    let address = |service: &str| format!("https://{name}.{service}.core.windows.net/");
    json!({
        "provisioningState": "Succeeded",
        "creationTime": world.now(),
        "primaryLocation": location,
        "statusOfPrimary": "available",
        "primaryEndpoints": {
            "blob": address("blob"), "queue": address("queue"), "table": address("table"), "file": address("file"),
        },
        "networkAcls": { "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "defaultAction": "Allow" },
        "privateEndpointConnections": [],
        "supportsHttpsTrafficOnly": true,
        "minimumTlsVersion": "TLS1_2",
        "allowBlobPublicAccess": false,
        "publicNetworkAccess": "Enabled",
        "accessTier": "Hot",
        "encryption": {
            "services": { "blob": { "keyType": "Account", "enabled": true } },
            "keySource": "Microsoft.Storage",
        },
    })
}

fn patch(world: &mut World, request: &Request) -> Outcome {
    world.read(request.id())?;
    let mut patch = request.content()?.clone();
    if request.method == "PATCH" && patch.get("location").is_some() {
        return Err(ArmError::invalid("location", "cannot be changed"));
    }
    if let Some(properties) = patch.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("privateEndpointConnections");
    }
    world.change(request.id(), |body| merge(body, &patch));
    world.show(request)
}
