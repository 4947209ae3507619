//! Hyper-V machines and servers with an agent: `replicationProtectedItems`.
//!
//! The states are plain strings in the specification. Those of its examples are used; the others (while something
//! runs) are those of the sibling services, and a guess.

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::place::{name_of, parent_of, up_to};
use super::super::request::{Request, list, text, verb};
use super::super::services::{make_machine, note_item, remove_machine, unknown};
use super::super::world::World;
use super::access::{self, Granted};
use super::job::{self, Work};
use super::policy::{check_fabric, mapping, policy_kind};
use super::{demand_allowed, fabric_kind, friendly, is_same, make_recovery_point, provider, set};

const HYPER_V: &str = "HyperVReplicaAzure";
const AGENT: &str = "InMageRcm";

const fn work(scenario: &'static str, friendly: &'static str) -> Work {
    Work { scenario, friendly, target: "ProtectionEntity" }
}

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    let (method, rest) = verb(request);
    if (method, rest) == ("PUT", None) {
        return enable(world, request);
    }
    if !world.has(request.id()) {
        return match (method, rest) {
            ("DELETE", None) | ("POST", Some("remove")) => Ok(Answer::empty(204)),
            _ => Err(ArmError::not_found(request.id())),
        };
    }
    match (method, rest) {
        ("PATCH", None) => update(world, request),
        ("POST", Some("testFailover")) => test(world, request),
        ("POST", Some("testFailoverCleanup")) => clean_up(world, request),
        ("POST", Some("plannedFailover")) => fail_over(world, request, true),
        ("POST", Some("unplannedFailover")) => fail_over(world, request, false),
        ("POST", Some("failoverCommit")) => commit(world, request),
        ("POST", Some("repairReplication")) => repair(world, request),
        ("POST", Some("remove")) => remove(world, request),
        ("DELETE", None) => Ok(end(world, request, work("PurgeReplicationProtectedItem", "Force disable replication"))),
        _ => Err(unknown(request)),
    }
}

/// What the service allows in a state.
fn allowed(kind: &str, protection: &str, test: &str) -> &'static [&'static str] {
    match (protection, test) {
        ("Protected", "None" | "MarkedForDeletion") if kind == HYPER_V => {
            &["PlannedFailover", "UnplannedFailover", "DisableProtection", "TestFailover"]
        }
        ("Protected", "None" | "MarkedForDeletion") => &["UnplannedFailover", "DisableProtection", "TestFailover"],
        ("Protected", "WaitingForCompletion") => &["TestFailoverCleanup", "DisableProtection"],
        ("PlannedFailoverCommitRequired" | "UnplannedFailoverCommitPendingStatesBegin", _) => {
            &["Commit", "CompleteMigration", "DisableProtection"]
        }
        ("PlannedFailoverStatesBegin", _) => &["CompleteMigration", "DisableProtection"],
        (
            "EnablingProtection" | "PlannedFailoverInitiated" | "UnplannedFailoverInitiated" | "DisablingProtection",
            _,
        ) => &[],
        _ => &["DisableProtection"],
    }
}

fn turn(world: &mut World, item: &str, patch: &Value) {
    set(world, item, patch);
    world.change(item, |body| {
        let kind = body.pointer("/properties/providerSpecificDetails/instanceType").and_then(Value::as_str);
        let state = |field: &str| body["properties"][field].as_str().unwrap_or_default().to_owned();
        let (protection, test) = (state("protectionState"), state("testFailoverState"));
        body["properties"]["allowedOperations"] = json!(allowed(kind.unwrap_or_default(), &protection, &test));
        body["properties"]["protectionStateDescription"] = protection.into();
        body["properties"]["testFailoverStateDescription"] = test.into();
    });
}

fn kind_of(world: &World, item: &str) -> String {
    let kind = world.get(item).and_then(|body| body.pointer("/properties/providerSpecificDetails/instanceType"));
    kind.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `properties.providerSpecificDetails` of the request, of the item's kind.
fn demand_details<'request>(world: &World, request: &'request Request) -> Result<&'request Value, ArmError> {
    let details = &request.content()?["properties"]["providerSpecificDetails"];
    let kind = kind_of(world, request.id());
    if text(details, "/instanceType")? != kind {
        return Err(ArmError::invalid("properties.providerSpecificDetails.instanceType", &format!("is not {kind}")));
    }
    Ok(details)
}

fn enable(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let policy = request.text("/properties/policyId")?.to_owned();
    let given = request.content()?["properties"]["providerSpecificDetails"].clone();
    let kind = text(&given, "/instanceType")?.to_owned();
    if world.has(request.id()) {
        return Err(ArmError::new(409, "150021", format!("{} is already enabled.", request.place.name())));
    }
    if policy_kind(world, &policy)? != kind {
        return Err(ArmError::bad_request("150022", format!("The policy {policy} is not of the kind {kind}.")));
    }
    check_fabric(&kind, &fabric_kind(world, request.id()))?;
    let container = parent_of(request.id());
    mapping(world, &container, &policy)?;
    let (source, accounts) = match kind.as_str() {
        HYPER_V => check_hyper_v(world, request, &given)?,
        _ => check_agent(world, &given)?,
    };
    for account in &accounts {
        access::demand(world, request.id(), account, Granted::ByTheUser)?;
    }
    let enabled_as = world.uuid();
    let properties =
        new_properties(world, request, &policy, &source, &details(world, &kind, &given, &source), &enabled_as);
    world.put(request.id(), json!({ "properties": properties }));
    turn(world, request.id(), &json!({ "protectionState": "EnablingProtection" }));
    note_item(world, request.id());
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("ProtectReplicationItem", "Enable replication"), move |world, outcome| {
        match outcome {
            Ok(()) => replicate_first(world, &item, &enabled_as),
            Err(_) => {
                turn(world, &item, &json!({ "protectionState": "EnablingFailed", "replicationHealth": "Critical" }));
            }
        }
    }))
}

/// The accounts named in some fields of some objects, each once.
fn accounts<'value>(objects: impl IntoIterator<Item = &'value Value>, fields: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for object in objects {
        for account in fields.iter().filter_map(|field| object[*field].as_str()).filter(|account| !account.is_empty()) {
            if !found.iter().any(|known| known.eq_ignore_ascii_case(account)) {
                found.push(account.to_owned());
            }
        }
    }
    found
}

/// The protectable item, and the accounts.
fn check_hyper_v(world: &World, request: &Request, given: &Value) -> Result<(String, Vec<String>), ArmError> {
    let source = request.text("/properties/protectableItemId")?.to_owned();
    if !world.has(&source) {
        return Err(ArmError::bad_request("150026", format!("The protectable item {source} was not found.")));
    }
    text(given, "/vhdId")?;
    let managed = given["disksToIncludeForManagedDisks"].as_array();
    if managed.is_none_or(Vec::is_empty) {
        list(given, "/disksToInclude")?;
    }
    let disks = managed.into_iter().flatten();
    let accounts = accounts(disks.chain([given]), &["targetStorageAccountId", "logStorageAccountId"]);
    if accounts.is_empty() {
        return Err(ArmError::invalid("properties.providerSpecificDetails.logStorageAccountId", "is required"));
    }
    Ok((source, accounts))
}

/// The discovered machine, and the accounts.
fn check_agent(world: &World, given: &Value) -> Result<(String, Vec<String>), ArmError> {
    for field in ["fabricDiscoveryMachineId", "targetResourceGroupId", "processServerId"] {
        text(given, &format!("/{field}"))?;
    }
    let source = text(given, "/fabricDiscoveryMachineId")?.to_owned();
    if !world.has(&source) {
        return Err(ArmError::bad_request("150026", format!("The discovered machine {source} was not found.")));
    }
    let default = given.get("disksDefault").filter(|default| default.is_object());
    let disks = if default.is_some() { &Vec::new() } else { list(given, "/disksToInclude")? };
    for disk in disks.iter().chain(default) {
        text(disk, "/logStorageAccountId")?;
        text(disk, "/diskType")?;
    }
    for disk in disks {
        text(disk, "/diskId")?;
    }
    Ok((source, accounts(disks.iter().chain(default), &["logStorageAccountId"])))
}

fn new_properties(
    world: &World,
    request: &Request,
    policy: &str,
    source: &str,
    details: &Value,
    enabled_as: &str,
) -> Value {
    let container = parent_of(request.id());
    let fabric = friendly(world, &parent_of(&container));
    let name = world.get(source).map(|body| {
        let properties = &body["properties"];
        properties.get("friendlyName").or_else(|| properties.get("displayName")).cloned().unwrap_or_default()
    });
    json!({
        "friendlyName": name.unwrap_or_default(),
        "protectedItemType": if details["instanceType"] == HYPER_V { "HyperVVirtualMachine" } else { "InMageRcm" },
        "protectableItemId": source,
        "recoveryServicesProviderId": provider(world, &container),
        "primaryFabricFriendlyName": fabric,
        "primaryFabricProvider": fabric_kind(world, request.id()),
        "recoveryFabricFriendlyName": "Microsoft Azure",
        "recoveryFabricId": "Microsoft Azure",
        "primaryProtectionContainerFriendlyName": friendly(world, &container),
        "recoveryProtectionContainerFriendlyName": "Microsoft Azure",
        "recoveryContainerId": "Microsoft Azure",
        "protectionState": "EnablingProtection",
        "activeLocation": "Primary",
        "testFailoverState": "None",
        "replicationHealth": "Normal",
        "failoverHealth": "Normal",
        "healthErrors": [],
        "policyId": policy,
        "policyFriendlyName": name_of(policy),
        "eventCorrelationId": enabled_as,
        "allowedOperations": [],
        "currentScenario": {
            "scenarioName": "None",
            "jobId": format!("{}/replicationJobs/None", up_to(request.id(), "vaults").unwrap_or_default()),
            "startTime": world.now(),
        },
        "providerSpecificDetails": details,
    })
}

fn details(world: &World, kind: &str, given: &Value, source: &str) -> Value {
    let mut details = json!({ "instanceType": kind });
    let mut copy = |from: &str, to: &str| {
        if let Some(value) = given.get(from) {
            details[to] = value.clone();
        }
    };
    if kind == HYPER_V {
        copy("targetAzureVmName", "recoveryAzureVmName");
        copy("targetVmSize", "recoveryAzureVMSize");
        copy("targetStorageAccountId", "recoveryAzureStorageAccount");
        copy("logStorageAccountId", "recoveryAzureLogStorageAccountId");
        copy("hvHostVmId", "vmId");
        copy("targetAzureNetworkId", "selectedRecoveryAzureNetworkId");
        copy("targetAzureV2ResourceGroupId", "recoveryAzureResourceGroupId");
        copy("targetAvailabilitySetId", "recoveryAvailabilitySetId");
        for same in [
            "targetAvailabilityZone",
            "useManagedDisks",
            "enableRdpOnTargetOption",
            "licenseType",
            "sqlServerLicenseType",
            "targetVmTags",
            "seedManagedDiskTags",
            "targetManagedDiskTags",
            "targetNicTags",
        ] {
            copy(same, same);
        }
        details["initialReplicationDetails"] =
            json!({ "initialReplicationType": "OverNetwork", "initialReplicationProgressPercentage": "0" });
        let disks = given["disksToIncludeForManagedDisks"].as_array().into_iter().flatten();
        let shown = |disk: &Value| json!({ "diskId": disk["diskId"], "replicaDiskType": disk["diskType"].as_str().unwrap_or("Standard_LRS") });
        details["protectedManagedDisks"] = disks.map(shown).collect();
        let all = given["disksToInclude"].as_array().into_iter().flatten();
        details["azureVmDiskDetails"] = all.map(|disk| json!({ "diskId": disk, "vhdId": disk })).collect();
    } else {
        for same in [
            "fabricDiscoveryMachineId",
            "processServerId",
            "runAsAccountId",
            "multiVmGroupName",
            "targetVmName",
            "targetVmSize",
            "targetResourceGroupId",
            "targetNetworkId",
            "testNetworkId",
            "targetAvailabilitySetId",
            "targetAvailabilityZone",
            "targetProximityPlacementGroupId",
            "targetBootDiagnosticsStorageAccountId",
            "licenseType",
            "sqlServerLicenseType",
            "targetVmTags",
            "seedManagedDiskTags",
            "targetManagedDiskTags",
            "targetNicTags",
        ] {
            copy(same, same);
        }
        let found = world.get(source).map(|body| body["properties"].clone()).unwrap_or_default();
        details["osType"] = found.pointer("/operatingSystemDetails/osType").cloned().unwrap_or_default();
        details["initialReplicationProgressPercentage"] = 0.into();
        details["resyncState"] = "None".into();
        details["resyncRequired"] = "false".into();
        details["protectedDisks"] = given["disksToInclude"].clone();
        for disk in details["protectedDisks"].as_array_mut().into_iter().flatten() {
            disk["isInitialReplicationComplete"] = "false".into();
        }
        if details["protectedDisks"].is_null() {
            details["protectedDisks"] = json!([]);
        }
    }
    details
}

fn replicate_first(world: &mut World, item: &str, enabled_as: &str) {
    turn(world, item, &json!({ "protectionState": "InitialReplicationInProgress" }));
    let steps = world.knobs.seeding_ticks.max(1);
    for step in 1..=steps {
        let (item, enabled_as) = (item.to_owned(), enabled_as.to_owned());
        let percent = 100 * step / steps;
        world.later(step, move |world| {
            let first = world
                .get(&item)
                .is_some_and(|body| body["properties"]["protectionState"] == "InitialReplicationInProgress");
            if !first || !is_same(world, &item, &enabled_as) {
                return;
            }
            let details = if kind_of(world, &item) == HYPER_V {
                json!({ "initialReplicationDetails": { "initialReplicationProgressPercentage": percent.to_string() } })
            } else {
                json!({ "initialReplicationProgressPercentage": percent })
            };
            set(world, &item, &json!({ "providerSpecificDetails": details }));
            if percent == 100 {
                protect(world, &item);
            }
        });
    }
}

fn protect(world: &mut World, item: &str) {
    let item = world.get(item).and_then(|body| body["id"].as_str()).unwrap_or(item).to_owned();
    let kind = kind_of(world, &item);
    let point_details = (kind == AGENT).then(|| json!({ "instanceType": kind, "isMultiVmSyncPoint": "false" }));
    let point = make_recovery_point(world, &item, "recoveryPoints", point_details);
    let now = world.now();
    let mut details = json!({ "lastRecoveryPointReceived": now });
    if kind == AGENT {
        details["lastRecoveryPointId"] = point.into();
    }
    turn(world, &item, &json!({ "protectionState": "Protected", "providerSpecificDetails": details }));
}

/// What an update of Hyper-V changes: the name in the request, and the one that the item has it by.
const HYPER_V_PROPERTIES: &[(&str, &str)] = &[
    ("recoveryAzureVMName", "recoveryAzureVmName"),
    ("recoveryAzureVMSize", "recoveryAzureVMSize"),
    ("selectedRecoveryAzureNetworkId", "selectedRecoveryAzureNetworkId"),
    ("selectedSourceNicId", "selectedSourceNicId"),
    ("enableRdpOnTargetOption", "enableRdpOnTargetOption"),
    ("licenseType", "licenseType"),
    ("recoveryAvailabilitySetId", "recoveryAvailabilitySetId"),
];
const HYPER_V_DETAILS: &[(&str, &str)] = &[
    ("recoveryAzureV2ResourceGroupId", "recoveryAzureResourceGroupId"),
    ("useManagedDisks", "useManagedDisks"),
    ("targetAvailabilityZone", "targetAvailabilityZone"),
    ("sqlServerLicenseType", "sqlServerLicenseType"),
    ("targetVmTags", "targetVmTags"),
    ("targetManagedDiskTags", "targetManagedDiskTags"),
    ("targetNicTags", "targetNicTags"),
];
/// The same of agents, whose names are the same on both sides.
const AGENT_DETAILS: &[&str] = &[
    "targetVmName",
    "targetVmSize",
    "targetResourceGroupId",
    "targetNetworkId",
    "testNetworkId",
    "targetAvailabilitySetId",
    "targetAvailabilityZone",
    "targetBootDiagnosticsStorageAccountId",
    "licenseType",
    "sqlServerLicenseType",
    "targetVmTags",
    "targetManagedDiskTags",
    "targetNicTags",
];

fn update(world: &mut World, request: &Request) -> Outcome {
    let given = demand_details(world, request)?.clone();
    let properties = request.content()?["properties"].clone();
    job::demand_idle(world, request.id())?;
    let hyper_v = kind_of(world, request.id()) == HYPER_V;
    let mut changed = json!({});
    let mut take = |from: &Value, name: &str, as_name: &str| {
        if let Some(value) = from.get(name) {
            changed[as_name] = value.clone();
        }
    };
    if hyper_v {
        HYPER_V_PROPERTIES.iter().for_each(|(name, as_name)| take(&properties, name, as_name));
        HYPER_V_DETAILS.iter().for_each(|(name, as_name)| take(&given, name, as_name));
    } else {
        AGENT_DETAILS.iter().for_each(|name| take(&given, name, name));
    }
    let nics = if hyper_v { &properties["vmNics"] } else { &given["vmNics"] };
    let nics: Vec<Value> = nics.as_array().into_iter().flatten().map(shown_nic).collect();
    if !nics.is_empty() {
        changed["vmNics"] = nics.into();
    }
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("UpdateVmProperties", "Update the virtual machine"), move |world, outcome| {
        if outcome.is_ok() {
            set(world, &item, &json!({ "providerSpecificDetails": changed }));
        }
    }))
}

/// An interface as it is shown: what is asked for under one name is answered under another.
fn shown_nic(asked: &Value) -> Value {
    let mut nic = asked.clone();
    rename(&mut nic, "targetStaticIPAddress", "targetIPAddress");
    rename(&mut nic, "testStaticIPAddress", "testIPAddress");
    for configuration in nic["ipConfigs"].as_array_mut().into_iter().flatten() {
        rename(configuration, "ipConfigName", "name");
    }
    nic
}

fn rename(value: &mut Value, from: &str, to: &str) {
    let fields = value.as_object_mut();
    if let Some((fields, taken)) = fields.and_then(|fields| fields.remove(from).map(|taken| (fields, taken))) {
        fields.insert(to.to_owned(), taken);
    }
}

/// Group, name and size of the machine in the target.
fn target(world: &World, item: &str) -> (String, String, String) {
    let body = world.get(item).cloned().unwrap_or_default();
    let details = &body["properties"]["providerSpecificDetails"];
    let first =
        |fields: [&str; 2]| fields.iter().find_map(|field| details[*field].as_str()).unwrap_or_default().to_owned();
    let name = first(["recoveryAzureVmName", "targetVmName"]);
    let name = if name.is_empty() {
        body["properties"]["friendlyName"].as_str().unwrap_or("machine").to_owned()
    } else {
        name
    };
    let group = first(["recoveryAzureResourceGroupId", "targetResourceGroupId"]);
    let group = if group.is_empty() { up_to(item, "resourceGroups").unwrap_or_default().to_owned() } else { group };
    (group, name, first(["recoveryAzureVMSize", "targetVmSize"]))
}

fn make_target(world: &mut World, item: &str, suffix: &str) {
    let (group, name, size) = target(world, item);
    let location = world.knobs.location.clone();
    make_machine(world, &group, &format!("{name}{suffix}"), &size, &location, &Value::Null);
}

fn test(world: &mut World, request: &Request) -> Outcome {
    let details = demand_details(world, request)?;
    let properties = &request.content()?["properties"];
    let network = properties["networkId"].as_str().or_else(|| details["networkId"].as_str()).unwrap_or_default();
    if !world.has(network) {
        return Err(ArmError::bad_request("150024", format!("The network {network} was not found.")));
    }
    demand_allowed(world, request.id(), "TestFailover")?;
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("TestFailover", "Test failover"), move |world, outcome| {
        if outcome.is_ok() {
            make_target(world, &item, "-test");
            let now = world.now();
            turn(
                world,
                &item,
                &json!({ "testFailoverState": "WaitingForCompletion", "lastSuccessfulTestFailoverTime": now }),
            );
        }
    }))
}

fn clean_up(world: &mut World, request: &Request) -> Outcome {
    request.content()?;
    demand_allowed(world, request.id(), "TestFailoverCleanup")?;
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("TestFailoverCleanup", "Test failover cleanup"), move |world, outcome| {
        if outcome.is_ok() {
            let (group, name, _) = target(world, &item);
            remove_machine(world, &format!("{group}/providers/Microsoft.Compute/virtualMachines/{name}-test"));
            turn(world, &item, &json!({ "testFailoverState": "None" }));
        }
    }))
}

fn fail_over(world: &mut World, request: &Request, planned: bool) -> Outcome {
    let details = demand_details(world, request)?;
    let direction = request.content()?.pointer("/properties/failoverDirection").and_then(Value::as_str);
    if direction.is_some_and(|direction| direction != "PrimaryToRecovery") {
        return Err(ArmError::bad_request("150027", "A migration has only the direction PrimaryToRecovery."));
    }
    if !planned && kind_of(world, request.id()) == AGENT {
        text(details, "/performShutdown")?;
    }
    let (word, begun, ended, failed, what) = if planned {
        (
            "PlannedFailover",
            "PlannedFailoverInitiated",
            "PlannedFailoverCommitRequired",
            "PlannedFailoverFailed",
            work("PlannedFailover", "Planned failover"),
        )
    } else {
        (
            "UnplannedFailover",
            "UnplannedFailoverInitiated",
            "UnplannedFailoverCommitPendingStatesBegin",
            "UnplannedFailoverFailed",
            work("UnplannedFailover", "Failover"),
        )
    };
    demand_allowed(world, request.id(), word)?;
    turn(world, request.id(), &json!({ "protectionState": begun }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, what, move |world, outcome| {
        if outcome.is_err() {
            turn(world, &item, &json!({ "protectionState": failed }));
            return;
        }
        make_target(world, &item, "");
        let now = world.now();
        turn(
            world,
            &item,
            &json!({ "protectionState": ended, "activeLocation": "Recovery", "lastSuccessfulFailoverTime": now }),
        );
    }))
}

fn commit(world: &mut World, request: &Request) -> Outcome {
    demand_allowed(world, request.id(), "Commit")?;
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("CommitFailover", "Commit failover"), move |world, outcome| {
        if outcome.is_ok() {
            turn(world, &item, &json!({ "protectionState": "PlannedFailoverStatesBegin" }));
        }
    }))
}

fn repair(world: &mut World, request: &Request) -> Outcome {
    job::demand_idle(world, request.id())?;
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("RepairReplication", "Resynchronize"), move |world, outcome| {
        let failed =
            world.get(&item).is_some_and(|body| body["properties"]["protectionState"] == "InitialReplicationFailed");
        if outcome.is_ok() && failed {
            protect(world, &item);
        }
    }))
}

/// Stops replication or completes a migration, by the reason; a machine in the target stays.
fn remove(world: &mut World, request: &Request) -> Outcome {
    let properties = &request.content()?["properties"];
    let complete = properties["disableProtectionReason"] == "MigrationComplete";
    demand_allowed(world, request.id(), if complete { "CompleteMigration" } else { "DisableProtection" })?;
    Ok(end(world, request, work("DisableProtection", "Disable replication")))
}

fn end(world: &mut World, request: &Request, what: Work) -> Answer {
    turn(world, request.id(), &json!({ "protectionState": "DisablingProtection" }));
    let item = request.id().to_owned();
    job::start(world, request, what, move |world, outcome| match outcome {
        Ok(()) => {
            world.remove(&item);
        }
        Err(_) => turn(world, &item, &json!({ "protectionState": "DisablingFailed", "replicationHealth": "Critical" })),
    })
}
