//! Managed disks: made from a page blob, or filled through a shared access signature.
//!
//! `Upload`: the disk is `ReadyToUpload`, `beginGetAccess` makes it `ActiveUpload` and answers where to write,
//! `endGetAccess` makes it an ordinary disk. Both answer by `Location`.
//!
//! Source: Azure REST API specification, Compute, disk.json (2023-10-02); Microsoft Learn, "Upload a VHD to Azure
//! or copy a managed disk to another region" (limits of `uploadSizeBytes`).

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::request::{Request, verb};
use super::super::world::World;
use super::{demand, envelope, merge, properties, unknown};

/// The least and the most bytes of an upload, with the footer: 20 MiB and 32 TiB, and 512 bytes each.
const UPLOAD_BYTES: std::ops::RangeInclusive<u64> = 20_972_032..=35_183_298_347_520;

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", None) => world.show(request),
        ("PUT", None) => put(world, request),
        ("PATCH", None) => {
            let patch = request.content()?.clone();
            world.read(request.id())?;
            world.change(request.id(), |body| merge(body, &patch));
            world.show(request)
        }
        ("POST", Some("beginGetAccess")) => begin_access(world, request),
        ("POST", Some("endGetAccess")) => end_access(world, request),
        ("DELETE", None) => delete(world, request),
        _ => Err(unknown(request)),
    }
}

fn links(world: &mut World, request: &Request) -> Links {
    Links::at_location(world, request, "DiskOperations")
}

fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let mut body = envelope(request)?;
    let given = properties(request);
    let option = request.text("/properties/creationData/createOption")?;
    let size = |field: &str| given.pointer(field).and_then(Value::as_u64);
    let (state, bytes) = match option {
        "Upload" | "UploadPreparedSecure" => {
            let bytes = size("/creationData/uploadSizeBytes").unwrap_or(0);
            if !UPLOAD_BYTES.contains(&bytes) || (bytes - 512) % (1 << 20) != 0 {
                return Err(ArmError::invalid(
                    "properties.creationData.uploadSizeBytes",
                    "must be whole MiB and a footer of 512 bytes, from 20972032 to 35183298347520",
                ));
            }
            ("ReadyToUpload", bytes - 512)
        }
        "Import" => {
            request.text("/properties/creationData/sourceUri")?;
            demand(world, request.text("/properties/creationData/storageAccountId")?, request.id())?;
            ("Unattached", size("/diskSizeGB").unwrap_or(32) << 30)
        }
        "Empty" => {
            let size = size("/diskSizeGB").ok_or_else(|| ArmError::invalid("properties.diskSizeGB", "is required"))?;
            ("Unattached", size << 30)
        }
        _ => return Err(ArmError::invalid("properties.creationData.createOption", "is not known here")),
    };
    if let Some(set) = given.pointer("/encryption/diskEncryptionSetId").and_then(Value::as_str) {
        demand(world, set, request.id())?;
    }
    if let Some(there) = world.get(request.id()) {
        if there["properties"]["creationData"]["createOption"] != option {
            return Err(ArmError::new(
                409,
                "PropertyChangeNotAllowed",
                "Changing property 'disk.creationData' is not allowed.",
            ));
        }
        return Ok(Answer::ok(there.clone()));
    }
    body["properties"] = json!({
        "provisioningState": "Updating",
        "diskState": state,
        "diskSizeBytes": bytes,
        "diskSizeGB": bytes.div_ceil(1 << 30),
        "timeCreated": world.now(),
        "uniqueId": world.uuid(),
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
        "encryption": { "type": "EncryptionAtRestWithPlatformKey" },
    });
    merge(&mut body["properties"], &given);
    if body.get("sku").is_none() {
        body["sku"] = json!({ "name": "Standard_LRS" });
    }
    body["sku"]["tier"] = if body["sku"]["name"].as_str().is_some_and(|name| name.starts_with("Premium")) {
        "Premium"
    } else {
        "Standard"
    }
    .into();
    world.put(request.id(), body);
    let links = links(world, request);
    let links = Links { result: links.status.clone().map(|status| format!("{status}/result")), ..links };
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
        world.change(&id, |body| body["properties"]["provisioningState"] = state.into());
        Ok(world.get(&id).cloned())
    });
    Ok(Answer::new(202, world.get(request.id()).cloned().unwrap_or_default()).with(headers))
}

fn begin_access(world: &mut World, request: &Request) -> Outcome {
    let disk = world.read(request.id())?;
    let access = request.text("/access")?;
    let seconds = request.content()?.get("durationInSeconds").and_then(Value::as_u64).unwrap_or(0);
    if seconds == 0 {
        return Err(ArmError::invalid("durationInSeconds", "is required"));
    }
    let state = disk["properties"]["diskState"].as_str().unwrap_or_default();
    let next = match (access, state) {
        ("Write", "ReadyToUpload" | "ActiveUpload") => "ActiveUpload",
        ("Read", "Unattached" | "ActiveSAS") => "ActiveSAS",
        ("Read" | "Write", _) => {
            return Err(ArmError::new(
                409,
                "OperationNotAllowed",
                format!(
                    "Disk '{}' is in state {state}, in which access '{access}' cannot be granted.",
                    request.place.name()
                ),
            ));
        }
        _ => return Err(ArmError::invalid("access", "is neither Read nor Write")),
    };
    let number = world.number();
    let base = world
        .knobs
        .upload_to
        .clone()
        .unwrap_or_else(|| "https://md-impexp-fake.z1.blob.storage.azure.net/upload".into());
    let signature = format!("sv=2018-03-28&sr=b&si={number}&sig=fake");
    let sas = format!("{base}/{}?{signature}", request.place.name());
    let links = links(world, request).only_result();
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.change(&id, |body| body["properties"]["diskState"] = next.into());
        }
        Ok(Some(json!({ "accessSAS": sas })))
    });
    Ok(Answer::empty(202).with(headers))
}

fn end_access(world: &mut World, request: &Request) -> Outcome {
    world.read(request.id())?;
    let links = links(world, request).only_result();
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.change(&id, |body| body["properties"]["diskState"] = "Unattached".into());
        }
        Ok(None)
    });
    Ok(Answer::empty(202).with(headers))
}

fn delete(world: &mut World, request: &Request) -> Outcome {
    let Some(disk) = world.get(request.id()) else { return Ok(Answer::empty(204)) };
    let state = disk["properties"]["diskState"].as_str().unwrap_or_default().to_owned();
    if state == "Attached" || state.starts_with("Active") {
        return Err(ArmError::new(
            409,
            "OperationNotAllowed",
            format!("Disk {} is {state} and cannot be deleted.", request.place.name()),
        ));
    }
    let links = links(world, request).only_result();
    let id = request.id().to_owned();
    let headers = world.begin(request, links, move |world, outcome| {
        if outcome.is_ok() {
            world.remove(&id);
        }
        Ok(None)
    });
    Ok(Answer::empty(202).with(headers))
}
