//! Replication policies, and the mappings that join them to containers.

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::place::{name_of, parent_of};
use super::super::request::{Request, text};
use super::super::world::World;
use super::job::{self, Work};
use super::{NAMESPACE, fabric_kind, friendly, set};

/// The kinds of replication that a migration has.
const KINDS: &[&str] = &["VMwareCbt", "HyperVReplicaAzure", "InMageRcm"];

pub(super) fn put(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let kind = request.text("/properties/providerSpecificInput/instanceType")?;
    if !KINDS.contains(&kind) {
        return Err(ArmError::invalid("properties.providerSpecificInput.instanceType", "is no kind of migration"));
    }
    let given = &request.content()?["properties"]["providerSpecificInput"];
    let details = policy_details(kind, given)?;
    let new = !world.has(request.id());
    let body = json!({ "properties": { "friendlyName": request.place.name(), "providerSpecificDetails": details } });
    if new {
        // Reads find it once the job is done.
        let work = Work {
            scenario: "AddProtectionProfile",
            friendly: "Create replication policy",
            target: "ProtectionProfile",
        };
        let (id, hidden) = (request.id().to_owned(), world.hide_next);
        return Ok(job::start(world, request, work, move |world, outcome| {
            if outcome.is_ok() {
                world.hide_next = hidden;
                world.put(&id, body);
                world.hide_next = 0;
            }
        }));
    }
    let work = Work {
        scenario: "UpdateProtectionProfile",
        friendly: "Update replication policy",
        target: "ProtectionProfile",
    };
    let id = request.id().to_owned();
    Ok(job::start(world, request, work, move |world, outcome| {
        if outcome.is_ok() {
            world.put(&id, body);
        }
    }))
}

fn policy_details(kind: &str, given: &Value) -> Result<Value, ArmError> {
    let number = |field: &str, default: u64| given.get(field).and_then(Value::as_u64).unwrap_or(default);
    if kind == "HyperVReplicaAzure" {
        let interval = number("replicationInterval", 300);
        if ![30, 300].contains(&interval) {
            let field = "properties.providerSpecificInput.replicationInterval";
            return Err(ArmError::invalid(field, "is neither 30 nor 300"));
        }
        return Ok(json!({
            "instanceType": kind,
            "recoveryPointHistoryDurationInHours": number("recoveryPointHistoryDuration", 2),
            "applicationConsistentSnapshotFrequencyInHours": number("applicationConsistentSnapshotFrequencyInHours", 1),
            "replicationInterval": interval,
            "encryption": "Disable",
        }));
    }
    let mut details = json!({
        "instanceType": kind,
        "recoveryPointHistoryInMinutes": number("recoveryPointHistoryInMinutes", 360),
        "crashConsistentFrequencyInMinutes": number("crashConsistentFrequencyInMinutes", 60),
        "appConsistentFrequencyInMinutes": number("appConsistentFrequencyInMinutes", 240),
    });
    if kind == "InMageRcm" {
        details["enableMultiVmSync"] = given.get("enableMultiVmSync").cloned().unwrap_or_else(|| "True".into());
    }
    Ok(details)
}

/// The kind of a policy; an error where there is none.
pub(super) fn policy_kind(world: &World, policy: &str) -> Result<String, ArmError> {
    let found = world
        .get(policy)
        .ok_or_else(|| ArmError::bad_request("150010", format!("The replication policy {policy} was not found.")))?;
    text(found, "/properties/providerSpecificDetails/instanceType").map(str::to_owned)
}

/// The mapping of a container to a policy; the error of a container that was not initialized.
pub(super) fn mapping(world: &World, container: &str, policy: &str) -> Result<Value, ArmError> {
    let mappings = world.below(container, NAMESPACE, "replicationProtectionContainerMappings");
    let of_policy =
        |mapping: &Value| mapping["properties"]["policyId"].as_str().unwrap_or_default().eq_ignore_ascii_case(policy);
    mappings.into_iter().find(of_policy).ok_or_else(|| {
        ArmError::bad_request(
            "150011",
            format!("The container {} is not mapped to the policy {}.", name_of(container), name_of(policy)),
        )
    })
}

pub(super) fn map(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let policy = request.text("/properties/policyId")?.to_owned();
    let target = request.text("/properties/targetProtectionContainerId")?.to_owned();
    let kind = policy_kind(world, &policy)?;
    let given = request.content()?["properties"]["providerSpecificInput"].clone();
    let details = match kind.as_str() {
        "VMwareCbt" => {
            if text(&given, "/instanceType")? != kind {
                return Err(ArmError::invalid(
                    "properties.providerSpecificInput.instanceType",
                    "is not that of the policy",
                ));
            }
            let account = text(&given, "/storageAccountId")?;
            if !world.has(account) {
                return Err(ArmError::bad_request("150012", format!("The storage account {account} was not found.")));
            }
            check_unchanged(world, request.id(), account, text(&given, "/targetLocation")?)?;
            let mut details = given.clone();
            details["roleSizeToNicCountMap"] = json!({});
            Some(details)
        }
        "InMageRcm" => Some(json!({
            "instanceType": kind,
            "enableAgentAutoUpgrade": given.get("enableAgentAutoUpgrade").cloned().unwrap_or_else(|| "Enabled".into()),
        })),
        _ => None,
    };
    check_fabric(&kind, &fabric_kind(world, request.id()))?;
    let container = parent_of(request.id());
    let mut properties = json!({
        "targetProtectionContainerId": target,
        "targetProtectionContainerFriendlyName": "Microsoft Azure",
        "targetFabricFriendlyName": "Microsoft Azure",
        "health": "Normal",
        "healthErrorDetails": [],
        "policyId": policy,
        "policyFriendlyName": name_of(&policy),
        "state": "Paired",
        "sourceProtectionContainerFriendlyName": friendly(world, &container),
        "sourceFabricFriendlyName": friendly(world, &parent_of(&container)),
    });
    if let Some(details) = details {
        properties["providerSpecificDetails"] = details;
    }
    let work = Work {
        scenario: "AssociateProtectionProfile",
        friendly: "Associate replication policy",
        target: "ProtectionContainer",
    };
    let (id, hidden) = (request.id().to_owned(), world.hide_next);
    Ok(job::start(world, request, work, move |world, outcome| {
        if outcome.is_ok() {
            world.hide_next = hidden;
            world.put(&id, json!({ "properties": properties }));
            world.hide_next = 0;
            set(world, &container, &json!({ "pairingStatus": "Paired" }));
        }
    }))
}

/// The storage account and the region of a mapping stay what they are.
fn check_unchanged(world: &World, mapping: &str, account: &str, region: &str) -> Result<(), ArmError> {
    let Some(there) = world.get(mapping) else { return Ok(()) };
    let details = &there["properties"]["providerSpecificDetails"];
    let same =
        |field: &str, wanted: &str| details[field].as_str().is_some_and(|known| known.eq_ignore_ascii_case(wanted));
    if same("storageAccountId", account) && same("targetLocation", region) {
        return Ok(());
    }
    Err(ArmError::bad_request("150013", "The storage account and the target region of a mapping cannot be changed."))
}

/// Which fabric each kind of replication has its machines in.
pub(super) fn check_fabric(kind: &str, fabric: &str) -> Result<(), ArmError> {
    let wanted = match kind {
        "VMwareCbt" => "VMwareV2",
        "HyperVReplicaAzure" => "HyperVSite",
        _ => "InMageRcm",
    };
    if fabric == wanted {
        return Ok(());
    }
    Err(ArmError::bad_request("150014", format!("{kind} is not possible in a fabric of the type {fabric}.")))
}

/// Takes a policy or mapping away, unless something uses it.
pub(super) fn remove(world: &mut World, request: &Request) -> Outcome {
    if !world.has(request.id()) {
        return Ok(Answer::empty(204));
    }
    let used = ["replicationMigrationItems", "replicationProtectedItems"].iter().any(|kind| {
        let policy = world
            .get(request.id())
            .map(|body| body["properties"].get("policyId").cloned().unwrap_or_else(|| body["id"].clone()))
            .unwrap_or_default();
        world.below(&parent_of(request.id()), NAMESPACE, kind).iter().any(|item| {
            item["properties"]["policyId"]
                .as_str()
                .unwrap_or_default()
                .eq_ignore_ascii_case(policy.as_str().unwrap_or_default())
        })
    });
    if used {
        return Err(ArmError::bad_request("150015", format!("{} is in use.", request.place.name())));
    }
    let work = Work { scenario: "Remove", friendly: "Remove replication policy", target: "ProtectionProfile" };
    let id = request.id().to_owned();
    Ok(job::start(world, request, work, move |world, outcome| {
        if outcome.is_ok() {
            world.remove(&id);
        }
    }))
}
