//! Recovery Services vaults and the certificates of their registration keys.
//!
//! A vault says `privateEndpointStateForSiteRecovery: Enabled` once one of its private endpoints is approved.
//!
//! Source: Azure REST API specification, Recovery Services, vaults.json and registeredidentities.json (2024-04-01).

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::place::{key, up_to};
use super::super::request::{Request, verb};
use super::super::world::World;
use super::{TENANT, envelope, give_identity, made_status, merge, properties, unknown};

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    if request.place.kind.ends_with("/certificates") {
        return certificate(world, request);
    }
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some(_)) => Ok(world.list(request)),
        ("PUT", None) => put(world, request),
        ("PATCH", None) => {
            world.read(request.id())?;
            let patch = request.content()?.clone();
            world.change(request.id(), |body| merge(body, &patch));
            identify(world, request.id());
            world.show(request)
        }
        ("DELETE", None) => delete(world, request),
        _ => Err(unknown(request)),
    }
}

fn identify(world: &mut World, id: &str) {
    let mut body = world.get(id).cloned().unwrap_or_default();
    give_identity(world, id, &mut body);
    world.change(id, |there| *there = body);
}

/// Status and result of a vault's own operations, below the vault.
fn links(world: &mut World, request: &Request) -> Links {
    let name = world.uuid();
    let vault = up_to(request.id(), "vaults").unwrap_or_default();
    Links { status: Some(format!("{vault}/operationStatus/{name}")), result: None, name }
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let name = request.place.name();
    let fits = (2..=50).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if !fits {
        return Err(ArmError::bad_request("InvalidResourceName", format!("The vault name '{name}' is invalid.")));
    }
    if request.text("/sku/name")? != "Standard" && request.text("/sku/name")? != "RS0" {
        return Err(ArmError::invalid("sku.name", "is neither Standard nor RS0"));
    }
    let mut body = envelope(request)?;
    let status = made_status(world, request.id());
    let mut given = properties(request);
    if let Some(there) = world.get(request.id()) {
        let mut merged = there["properties"].clone();
        merge(&mut merged, &given);
        given = merged;
    } else {
        let defaults = json!({
            "provisioningState": "Provisioning",
            "privateEndpointConnections": [],
            "privateEndpointStateForBackup": "None",
            "privateEndpointStateForSiteRecovery": "None",
        });
        merge(&mut given, &defaults);
    }
    if given.get("publicNetworkAccess").is_none() {
        given["publicNetworkAccess"] = "Enabled".into();
    }
    body["properties"] = given;
    body["etag"] = "new".into();
    give_identity(world, request.id(), &mut body);
    world.put(request.id(), body);

    let links = links(world, request);
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&id, |body| body["properties"]["provisioningState"] = state.into());
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::new(status, world.get(request.id()).cloned().unwrap_or_default()).with(headers))
}

fn delete(world: &mut World, request: &Request) -> Outcome {
    if !world.has(request.id()) {
        return Ok(Answer::empty(204));
    }
    let items = ["replicationMigrationItems", "replicationProtectedItems"]
        .iter()
        .any(|kind| !world.below(request.id(), "Microsoft.RecoveryServices", kind).is_empty());
    if items {
        return Err(ArmError::new(
            409,
            "ServiceResourceNotEmptyWithContainerDetails",
            "Vault cannot be deleted as there are existing resources within the vault.",
        ));
    }
    let links = links(world, request);
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.remove(&id);
        }
        Ok(None)
    });
    Ok(Answer::empty(202).with(headers))
}

/// The certificate that a registration key holds; the key itself never leaves whoever made it.
fn certificate(world: &mut World, request: &Request) -> Outcome {
    if verb(request) != ("PUT", None) {
        return Err(unknown(request));
    }
    world.demand_parent(request)?;
    request.text("/properties/certificate")?;
    let vault = up_to(request.id(), "vaults").unwrap_or_default();
    let number = world.number();
    let known = |pointer: &str| world.get(vault).and_then(|body| body.pointer(pointer)).cloned();
    let principal = known("/identity/principalId").unwrap_or_else(|| Value::from(""));
    Ok(Answer::ok(json!({
        "id": request.id(),
        "name": request.place.name(),
        "type": "Microsoft.RecoveryServices/vaults/certificates",
        "properties": {
            "authType": "AzureActiveDirectory",
            "aadAuthority": "https://login.windows.net",
            "aadTenantId": TENANT,
            "servicePrincipalClientId": "00000000-0000-0000-0000-0000000000bb",
            "servicePrincipalObjectId": principal,
            "azureManagementEndpointAudience": "https://management.azure.com/",
            "resourceId": number,
            "friendlyName": request.place.name(),
            "validFrom": world.now(),
        },
    })))
}

/// That a vault had an item: from then on it takes no private endpoint any more.
///
/// Source: Microsoft Learn, "Replicate on-premises machines by using private endpoints".
pub(in super::super) fn note_item(world: &mut World, item: &str) {
    if let Some(vault) = up_to(item, "vaults") {
        world.used_vaults.push(key(vault));
    }
}
