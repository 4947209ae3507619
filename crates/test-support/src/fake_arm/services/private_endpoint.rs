//! Private endpoints, their zone groups, and the connections that their targets see.
//!
//! An endpoint and the entry among its target's `privateEndpointConnections` are two sides of one connection:
//! when the owner approves it, the endpoint gets its addresses, its zone groups write their records, and a vault
//! says that its private link is on. Before that there are no addresses.
//!
//! Accounts and projects answer the owner's word at once. A vault takes it up (201) and carries it out: its contract is
//! that of Backup.
//!
//! Source: Azure REST API specification, Network, privateEndpoint.json (2024-01-01), and Backup, the example of
//! `PrivateEndpointConnection_Put` (2024-04-01); Microsoft Learn, "Manage private endpoint connections".

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::knobs::Approval;
use super::super::operation::Links;
use super::super::place::{Place, key, name_of, parent_of};
use super::super::request::{Request, list, text, verb};
use super::super::world::World;
use super::private_dns::{remove_record, write_record};
use super::{demand, envelope, made_status, properties, unknown};

/// What a target offers to private endpoints.
struct Offer {
    group: &'static str,
    members: &'static [&'static str],
    zone: &'static str,
}

const BLOB_ZONE: &str = "privatelink.blob.core.windows.net";
const SITE_RECOVERY_ZONE: &str = "privatelink.siterecovery.windowsazure.com";
const PROJECT_ZONE: &str = "privatelink.prod.migration.windowsazure.com";

const SITE_RECOVERY_MEMBERS: &[&str] =
    &["SiteRecovery-id1", "SiteRecovery-prot2", "SiteRecovery-rcm1", "SiteRecovery-srs1", "SiteRecovery-tel1"];

fn offers(target_kind: &str) -> &'static [Offer] {
    match target_kind {
        "microsoft.storage/storageaccounts" => &[Offer { group: "blob", members: &["blob"], zone: BLOB_ZONE }],
        "microsoft.recoveryservices/vaults" => {
            &[Offer { group: "AzureSiteRecovery", members: SITE_RECOVERY_MEMBERS, zone: SITE_RECOVERY_ZONE }]
        }
        "microsoft.migrate/migrateprojects" => &[Offer { group: "Default", members: &["Default"], zone: PROJECT_ZONE }],
        _ => &[],
    }
}

/// What the addresses of an endpoint are called.
fn names(target: &str, link: &str) -> Vec<String> {
    let geo = "cus";
    match Place::of(target).kind.as_str() {
        "microsoft.storage/storageaccounts" => vec![format!("{}.blob.core.windows.net", name_of(target))],
        "microsoft.recoveryservices/vaults" => SITE_RECOVERY_MEMBERS
            .iter()
            .map(|member| member.trim_start_matches("SiteRecovery-"))
            .map(|member| format!("{link}-asr-pod01-{member}.{geo}.{SITE_RECOVERY_ZONE}"))
            .collect(),
        _ => ["disc", "asm", "hub"].iter().map(|part| format!("{link}-agent.{geo}.{part}.{PROJECT_ZONE}")).collect(),
    }
}

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    let is_group = request.place.kind.ends_with("/privatednszonegroups");
    match verb(request) {
        ("GET", None) => world.show(request),
        ("GET", Some(_)) => Ok(world.list(request)),
        ("PUT", None) if is_group => put_group(world, request),
        ("PUT", None) => put(world, request),
        ("DELETE", None) => Ok(delete(world, request)),
        _ => Err(unknown(request)),
    }
}

/// The connections of an endpoint, asked for in either list.
fn connections(body: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"].into_iter().flat_map(|field| {
        let listed = body["properties"][field].as_array().into_iter().flatten();
        listed.map(move |connection| (field, connection))
    })
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let mut body = envelope(request)?;
    let subnet = request.text("/properties/subnet/id")?.to_owned();
    demand(world, &subnet, request.id())?;
    let wanted: Vec<(&str, Value)> =
        connections(request.content()?).map(|(field, connection)| (field, connection.clone())).collect();
    let [(field, connection)] = wanted.as_slice() else {
        return Err(ArmError::invalid("properties.privateLinkServiceConnections", "needs exactly one connection"));
    };
    let target = text(connection, "/properties/privateLinkServiceId")?.to_owned();
    demand(world, &target, request.id())?;
    let group = list(connection, "/properties/groupIds")?[0].as_str().unwrap_or_default();
    let kind = Place::of(&target).kind;
    if !offers(&kind).iter().any(|offer| offer.group.eq_ignore_ascii_case(group)) {
        return Err(ArmError::bad_request(
            "PrivateLinkServiceGroupIdInvalid",
            format!("{} does not offer the group '{group}'.", name_of(&target)),
        ));
    }
    let status = made_status(world, request.id());
    if let Some(there) = world.get(request.id()) {
        let same = connections(there).any(|(_, there)| {
            there
                .pointer("/properties/privateLinkServiceId")
                .and_then(Value::as_str)
                .is_some_and(|id| id.eq_ignore_ascii_case(&target))
        });
        if !same {
            return Err(ArmError::bad_request(
                "PrivateEndpointCannotBeUpdated",
                "The private link service of an existing private endpoint cannot be changed.",
            ));
        }
        return Ok(Answer::ok(there.clone()));
    }
    if kind == "microsoft.storage/storageaccounts"
        && world.get(&target).is_some_and(|account| account["kind"] == "Storage")
    {
        return Err(ArmError::bad_request(
            "AccountKindNotSupported",
            "Private endpoints need a general-purpose v2 account.",
        ));
    }
    if world.used_vaults.contains(&key(&target)) {
        return Err(ArmError::bad_request(
            "VaultHasRegisteredItems",
            "Private endpoints can be created only for a vault to which no item was registered.",
        ));
    }
    let name = text(connection, "/name").unwrap_or_else(|_| request.place.name());
    let manual = *field == "manualPrivateLinkServiceConnections";
    let message = connection.pointer("/properties/requestMessage").cloned();
    let mut properties = json!({
        "provisioningState": "Updating",
        "subnet": { "id": subnet },
        "customNetworkInterfaceName": "",
        "privateLinkServiceConnections": [],
        "manualPrivateLinkServiceConnections": [],
        "customDnsConfigs": [],
        "ipConfigurations": [],
    });
    let mut own = json!([{
        "name": name,
        "id": format!("{}/{field}/{name}", request.id()),
        "etag": "W/\"1\"",
        "properties": {
            "provisioningState": "Succeeded",
            "privateLinkServiceId": target,
            "groupIds": [group],
            "privateLinkServiceConnectionState": { "status": "Pending", "description": "Awaiting approval", "actionsRequired": "None" },
        },
    }]);
    if let Some(message) = message {
        own[0]["properties"]["requestMessage"] = message;
    }
    properties[*field] = own;
    body["properties"] = properties;
    body["etag"] = "new".into();
    world.put(request.id(), body);

    let connection = connect(world, request.id(), &target, group);
    let approve = !manual && world.knobs.approval == Approval::Automatic;
    let links = Links::at_location(world, request, "operations");
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&id, |body| body["properties"]["provisioningState"] = state.into());
        if approve && outcome.is_ok() {
            settle(world, &connection, "Approved", "Auto-Approved");
        }
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::new(status, world.get(request.id()).cloned().unwrap_or_default()).with(headers))
}

/// The entry among the target's connections; its id.
fn connect(world: &mut World, endpoint: &str, target: &str, group: &str) -> String {
    let number = world.number();
    let (before, link) = match Place::of(target).kind.as_str() {
        "microsoft.storage/storageaccounts" => (name_of(target), world.uuid()),
        // A number, as captures of the names show it.
        "microsoft.recoveryservices/vaults" => (name_of(endpoint), (7_548_582_474_929_277_000 + number).to_string()),
        _ => (name_of(endpoint), world.uuid()),
    };
    let id = format!("{target}/privateEndpointConnections/{before}.{link}");
    let mut properties = json!({
        "provisioningState": "Succeeded",
        "privateEndpoint": { "id": endpoint },
        "privateLinkServiceConnectionState": { "status": "Pending", "description": "Awaiting approval" },
    });
    if is_vault(target) {
        properties["groupIds"] = json!([group]);
    }
    world.put(&id, json!({ "properties": properties }));
    mirror(world, target);
    id
}

/// A target shows its connections, and a vault whether it has an approved one.
fn mirror(world: &mut World, target: &str) {
    let namespace = type_namespace(target);
    let connections = world.below(target, &namespace, "privateEndpointConnections");
    let approved = connections.iter().any(is_approved);
    let is_vault = is_vault(target);
    world.change(target, |body| {
        body["properties"]["privateEndpointConnections"] = connections.into();
        if is_vault {
            body["properties"]["privateEndpointStateForSiteRecovery"] =
                if approved { "Enabled" } else { "None" }.into();
        }
    });
}

fn is_vault(id: &str) -> bool {
    Place::of(id).kind == "microsoft.recoveryservices/vaults"
}

fn type_namespace(id: &str) -> String {
    Place::of(id).kind.split('/').next().unwrap_or_default().to_owned()
}

fn is_approved(connection: &Value) -> bool {
    connection.pointer("/properties/privateLinkServiceConnectionState/status") == Some(&"Approved".into())
}

/// The owner's word on a connection, on both sides. Whether there is such a connection.
pub(in super::super) fn settle(world: &mut World, connection: &str, status: &str, description: &str) -> bool {
    let Some(body) = world.get(connection).cloned() else { return false };
    let endpoint =
        body.pointer("/properties/privateEndpoint/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let target = parent_of(body["id"].as_str().unwrap_or_default());
    let state = json!({ "status": status, "description": description, "actionsRequired": "None" });
    // Storage calls the last field by another name.
    let word =
        if Place::of(&target).kind.starts_with("microsoft.storage/") { "actionRequired" } else { "actionsRequired" };
    let seen = json!({ "status": status, "description": description, word: "None" });
    world.change(connection, |body| body["properties"]["privateLinkServiceConnectionState"] = seen);
    mirror(world, &target);
    world.change(&endpoint, |body| {
        for field in ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"] {
            for own in body["properties"][field].as_array_mut().into_iter().flatten() {
                own["properties"]["privateLinkServiceConnectionState"] = state.clone();
            }
        }
    });
    if status == "Approved" {
        let link = name_of(connection).split_once('.').map_or("", |(_, link)| link).to_owned();
        give_addresses(world, &endpoint, &target, &link);
    }
    refresh_groups(world, &endpoint);
    true
}

fn give_addresses(world: &mut World, endpoint: &str, target: &str, link: &str) {
    let Some(body) = world.get(endpoint) else { return };
    if body["properties"]["customDnsConfigs"].as_array().is_some_and(|configs| !configs.is_empty()) {
        return;
    }
    let subnet = body["properties"]["subnet"].clone();
    let location = body["location"].clone();
    let mut configs = Vec::new();
    let mut addresses = Vec::new();
    for name in names(target, link) {
        let address = world.address();
        configs.push(json!({ "fqdn": name, "ipAddresses": [address] }));
        addresses.push(address);
    }
    let card = format!("{}.nic.{}", endpoint.replace("/privateEndpoints/", "/networkInterfaces/"), world.uuid());
    let configuration = |(index, address): (usize, &String)| {
        let name = format!("privateEndpointIpConfig.{index}");
        json!({
            "name": name,
            "id": format!("{card}/ipConfigurations/{name}"),
            "properties": {
                "privateIPAddress": address, "privateIPAllocationMethod": "Dynamic",
                "subnet": subnet, "primary": index == 0, "provisioningState": "Succeeded",
            },
        })
    };
    let configurations: Vec<Value> = addresses.iter().enumerate().map(configuration).collect();
    let content = json!({
        "location": location,
        "etag": "new",
        "properties": {
            "provisioningState": "Succeeded",
            "ipConfigurations": configurations,
            "privateEndpoint": { "id": endpoint },
        },
    });
    world.put(&card, content);
    world.change(endpoint, |body| {
        body["properties"]["customDnsConfigs"] = configs.into();
        body["properties"]["networkInterfaces"] = json!([{ "id": card }]);
    });
}

/// The name of a record for a public or private name in a zone; none if it is not of the zone.
fn record_name(fqdn: &str, zone: &str) -> Option<String> {
    let public = zone.strip_prefix("privatelink.").unwrap_or(zone);
    let within = |zone: &str| fqdn.strip_suffix(zone)?.strip_suffix('.').map(str::to_owned);
    within(zone).or_else(|| within(public))
}

fn put_group(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let configs = list(request.content()?, "/properties/privateDnsZoneConfigs")?.clone();
    for config in &configs {
        text(config, "/name")?;
        demand(world, text(config, "/properties/privateDnsZoneId")?, request.id())?;
    }
    let status = made_status(world, request.id());
    let body = json!({
        "etag": "new",
        "properties": { "provisioningState": "Updating", "privateDnsZoneConfigs": configs },
    });
    world.put(request.id(), body);
    // A group is a part that has no type of its own in the contract.
    world.change(request.id(), |body| {
        body.as_object_mut().map(|fields| fields.remove("type"));
    });
    let links = Links::at_location(world, request, "operations");
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&id, |body| body["properties"]["provisioningState"] = state.into());
        if outcome.is_ok() {
            refresh_groups(world, &parent_of(&id));
        }
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::new(status, world.get(request.id()).cloned().unwrap_or_default()).with(headers))
}

/// Writes the records of all zone groups of an endpoint.
fn refresh_groups(world: &mut World, endpoint: &str) {
    let names = world.get(endpoint).map(|body| body["properties"]["customDnsConfigs"].clone()).unwrap_or_default();
    for group in world.below(endpoint, "Microsoft.Network", "privateDnsZoneGroups") {
        let id = group["id"].as_str().unwrap_or_default().to_owned();
        if group["properties"]["provisioningState"] != "Succeeded" {
            continue;
        }
        let mut configs = group["properties"]["privateDnsZoneConfigs"].clone();
        for config in configs.as_array_mut().into_iter().flatten() {
            let zone =
                config.pointer("/properties/privateDnsZoneId").and_then(Value::as_str).unwrap_or_default().to_owned();
            config["properties"]["recordSets"] = records(world, &names, &zone).into();
        }
        world.change(&id, |body| body["properties"]["privateDnsZoneConfigs"] = configs);
    }
}

fn records(world: &mut World, names: &Value, zone: &str) -> Vec<Value> {
    let mut records = Vec::new();
    for config in names.as_array().into_iter().flatten() {
        let fqdn = config["fqdn"].as_str().unwrap_or_default();
        let address = config["ipAddresses"][0].as_str().unwrap_or_default();
        let Some(name) = record_name(fqdn, name_of(zone)) else { continue };
        write_record(world, zone, &name, address);
        records.push(json!({
            "recordType": "A", "recordSetName": name, "fqdn": format!("{name}.{}", name_of(zone)),
            "ttl": 10, "ipAddresses": [address], "provisioningState": "Succeeded",
        }));
    }
    records
}

fn delete(world: &mut World, request: &Request) -> Answer {
    if !world.has(request.id()) {
        return Answer::empty(204);
    }
    let links = Links::at_location(world, request, "operations").and_result("operations", "operationResults");
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            take_apart(world, &id);
        }
        Ok(None)
    });
    Answer::empty(202).with(headers)
}

/// With a group go its records; with an endpoint its groups, its addresses and the target's entry.
fn take_apart(world: &mut World, id: &str) {
    let groups = if Place::of(id).kind.ends_with("/privatednszonegroups") {
        world.get(id).cloned().into_iter().collect()
    } else {
        world.below(id, "Microsoft.Network", "privateDnsZoneGroups")
    };
    for config in
        groups.iter().flat_map(|group| group["properties"]["privateDnsZoneConfigs"].as_array().into_iter().flatten())
    {
        let zone = config.pointer("/properties/privateDnsZoneId").and_then(Value::as_str).unwrap_or_default();
        for record in config["properties"]["recordSets"].as_array().into_iter().flatten() {
            remove_record(world, zone, record["recordSetName"].as_str().unwrap_or_default());
        }
    }
    let body = world.get(id).cloned().unwrap_or_default();
    if let Some(card) = body.pointer("/properties/networkInterfaces/0/id").and_then(Value::as_str) {
        world.remove(card);
    }
    for (_, connection) in connections(&body) {
        let target = connection.pointer("/properties/privateLinkServiceId").and_then(Value::as_str).unwrap_or_default();
        let entries = world.below(target, &type_namespace(target), "privateEndpointConnections");
        for entry in entries {
            let of = entry.pointer("/properties/privateEndpoint/id").and_then(Value::as_str).unwrap_or_default();
            if of.eq_ignore_ascii_case(id) {
                world.remove(entry["id"].as_str().unwrap_or_default());
            }
        }
        mirror(world, target);
    }
    world.remove(id);
}

/// What a target answers about its endpoints: the groups that it offers, and its connections.
pub(super) fn of_target(world: &mut World, request: &Request) -> Outcome {
    let (method, rest) = verb(request);
    let rest = rest.map(str::to_ascii_lowercase);
    match (method, rest.as_deref()) {
        ("GET", Some("privatelinkresources")) => {
            world.read(request.id())?;
            let all = offers(&request.place.kind).iter().map(|offer| resource(request.id(), offer)).collect();
            Ok(world.page(request, all))
        }
        ("GET", Some("privateendpointconnections")) => {
            world.read(request.id())?;
            Ok(world.list(request))
        }
        ("GET", None) => world.show(request),
        ("PUT", None) => {
            world.read(request.id())?;
            let given = properties(request);
            let state = |field: &str| {
                given.pointer(&format!("/privateLinkServiceConnectionState/{field}")).and_then(Value::as_str)
            };
            let status = state("status").unwrap_or_default();
            if !["Approved", "Rejected", "Disconnected"].contains(&status) {
                return Err(ArmError::invalid(
                    "properties.privateLinkServiceConnectionState.status",
                    "is none of Approved, Rejected, Disconnected",
                ));
            }
            let (status, description) = (status.to_owned(), state("description").unwrap_or_default().to_owned());
            if is_vault(&parent_of(request.id())) {
                return Ok(settle_later(world, request, status, description));
            }
            settle(world, request.id(), &status, &description);
            world.show(request)
        }
        ("DELETE", None) => {
            if !settle(world, request.id(), "Disconnected", "Removed by the owner") {
                return Ok(Answer::empty(204));
            }
            world.remove(request.id());
            mirror(world, &parent_of(request.id()));
            Ok(Answer::empty(200))
        }
        _ => Err(unknown(request)),
    }
}

/// What a vault does with its owner's word: a connection that has it already is answered as it is.
fn settle_later(world: &mut World, request: &Request, status: String, description: String) -> Answer {
    let id = request.id().to_owned();
    let there = world.get(&id).cloned().unwrap_or_default();
    if there["properties"]["privateLinkServiceConnectionState"]["status"] == status.as_str() {
        return Answer::ok(there);
    }
    let name = world.uuid();
    let links = Links { status: Some(format!("{id}/operationsStatus/{name}")), result: None, name };
    world.change(&id, |body| body["properties"]["provisioningState"] = "Pending".into());
    let of = id.clone();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&of, |body| body["properties"]["provisioningState"] = state.into());
        if outcome.is_ok() {
            settle(world, &of, &status, &description);
        }
        Ok(world.get(&of).cloned())
    });
    Answer::new(201, world.get(&id).cloned().unwrap_or_default()).with(headers)
}

fn resource(target: &str, offer: &Offer) -> Value {
    let kind = format!("{}/privateLinkResources", super::super::place::type_of(target));
    json!({
        "id": format!("{target}/privateLinkResources/{}", offer.group),
        "name": offer.group,
        "type": kind,
        "properties": {
            "groupId": offer.group,
            "requiredMembers": offer.members,
            "requiredZoneNames": [offer.zone],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_name_without_the_zone_public_or_private() {
        assert_eq!(record_name("cache1.blob.core.windows.net", BLOB_ZONE).as_deref(), Some("cache1"));
        let vault = "75-asr-pod01-id1.cus.privatelink.siterecovery.windowsazure.com";
        assert_eq!(record_name(vault, SITE_RECOVERY_ZONE).as_deref(), Some("75-asr-pod01-id1.cus"));
        assert_eq!(record_name("cache1.file.core.windows.net", BLOB_ZONE), None);
    }
}
