//! `VMware` machines: `replicationMigrationItems`.
//!
//! Enabled, an item goes `EnableMigrationInProgress`, `InitialSeedingInProgress`, `Replicating`, by itself, and
//! then through what is done to it. `allowedOperations` follows the state as the examples and Microsoft's client
//! show it; where they are silent (what a failed item allows) it is a guess.

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::place::{name_of, parent_of, up_to};
use super::super::request::{Request, list, text, verb};
use super::super::services::{make_machine, note_item, remove_machine, unknown};
use super::super::world::World;
use super::access::{self, Granted};
use super::job::{self, Work};
use super::policy::{check_fabric, mapping, policy_kind};
use super::{demand_allowed, fabric_kind, is_same, make_recovery_point, provider, set};

const KIND: &str = "VMwareCbt";

const fn work(scenario: &'static str, friendly: &'static str) -> Work {
    Work { scenario, friendly, target: "VMwareVirtualMachine" }
}

pub(super) fn answer(world: &mut World, request: &Request) -> Outcome {
    let (method, rest) = verb(request);
    if (method, rest) == ("PUT", None) {
        return enable(world, request);
    }
    if (method, rest) == ("DELETE", None) {
        return disable(world, request);
    }
    if !world.has(request.id()) {
        return Err(ArmError::not_found(request.id()));
    }
    match (method, rest) {
        ("PATCH", None) => update(world, request),
        ("POST", Some("testMigrate")) => test(world, request),
        ("POST", Some("testMigrateCleanup")) => clean_up(world, request),
        ("POST", Some("migrate")) => migrate(world, request),
        ("POST", Some("pauseReplication")) => pause(world, request),
        ("POST", Some("resumeReplication")) => resume(world, request),
        ("POST", Some("resync")) => resync(world, request),
        _ => Err(unknown(request)),
    }
}

/// What the service allows in a state.
fn allowed(migration: &str, test: &str) -> &'static [&'static str] {
    match (migration, test) {
        ("Replicating", "None") => &["DisableMigration", "TestMigrate", "Migrate", "StartResync", "PauseReplication"],
        ("Replicating", "TestMigrationSucceeded" | "TestMigrationFailed") => {
            &["DisableMigration", "TestMigrateCleanup", "Migrate", "PauseReplication"]
        }
        ("MigrationFailed", "None") => &["DisableMigration", "Migrate"],
        ("ProtectionSuspended", "None") | ("MigrationSucceeded", _) => &["DisableMigration", "ResumeReplication"],
        ("ProtectionSuspended" | "MigrationFailed", _) => {
            &["DisableMigration", "ResumeReplication", "TestMigrateCleanup"]
        }
        ("InitialSeedingFailed" | "EnableMigrationFailed", _) => &["DisableMigration", "StartResync"],
        ("InitialSeedingInProgress" | "DisableMigrationFailed", _) => &["DisableMigration"],
        _ => &[],
    }
}

/// Changes an item's properties, and with them what is allowed.
fn turn(world: &mut World, item: &str, patch: &Value) {
    set(world, item, patch);
    world.change(item, |body| {
        let state = |field: &str| body["properties"][field].as_str().unwrap_or_default().to_owned();
        let (migration, test) = (state("migrationState"), state("testMigrateState"));
        body["properties"]["migrationStateDescription"] = describe(&migration).into();
        body["properties"]["allowedOperations"] = json!(allowed(&migration, &test));
        body["properties"]["testMigrateStateDescription"] = test.into();
    });
}

fn describe(state: &str) -> &str {
    if state == "Replicating" { "Ready to migrate" } else { state }
}

/// A field of what is particular to this kind of machine.
fn detail(world: &World, item: &str, field: &str) -> Value {
    world.get(item).map(|body| body["properties"]["providerSpecificDetails"][field].clone()).unwrap_or_default()
}

/// `properties.providerSpecificDetails` of the request, of the right kind and with these fields.
fn demand_details<'request>(request: &'request Request, fields: &[&str]) -> Result<&'request Value, ArmError> {
    let details = &request.content()?["properties"]["providerSpecificDetails"];
    if text(details, "/instanceType")? != KIND {
        return Err(ArmError::invalid("properties.providerSpecificDetails.instanceType", "is not VMwareCbt"));
    }
    for field in fields {
        text(details, &format!("/{field}"))?;
    }
    Ok(details)
}

fn enable(world: &mut World, request: &Request) -> Outcome {
    world.demand_parent(request)?;
    let policy = request.text("/properties/policyId")?.to_owned();
    let required = [
        "vmwareMachineId",
        "dataMoverRunAsAccountId",
        "snapshotRunAsAccountId",
        "targetResourceGroupId",
        "targetNetworkId",
    ];
    let given = demand_details(request, &required)?.clone();
    let disks = list(&given, "/disksToInclude")?;
    for disk in disks {
        for field in ["diskId", "isOSDisk", "logStorageAccountId", "logStorageAccountSasSecretName"] {
            text(disk, &format!("/{field}"))?;
        }
    }
    if disks.iter().filter(|disk| disk["isOSDisk"] == "true").count() != 1 {
        return Err(ArmError::bad_request("150020", "Exactly one disk must be the OS disk."));
    }
    if world.has(request.id()) {
        return Err(ArmError::new(409, "150021", format!("{} is already enabled.", request.place.name())));
    }
    if policy_kind(world, &policy)? != KIND {
        return Err(ArmError::bad_request("150022", format!("The policy {policy} is not of the kind {KIND}.")));
    }
    check_fabric(KIND, &fabric_kind(world, request.id()))?;
    let container = parent_of(request.id());
    let mapping = mapping(world, &container, &policy)?;
    for needed in ["vmwareMachineId", "targetResourceGroupId", "targetNetworkId"] {
        let id = given[needed].as_str().unwrap_or_default();
        if !world.has(id) {
            return Err(ArmError::bad_request("150023", format!("{needed} {id} was not found.")));
        }
    }
    for disk in disks {
        let account = disk["logStorageAccountId"].as_str().unwrap_or_default();
        access::demand(world, request.id(), account, Granted::ByTheService)?;
    }
    let enabled_as = world.uuid();
    let mut properties = new_properties(world, request, &given, &mapping);
    properties["policyId"] = policy.as_str().into();
    properties["policyFriendlyName"] = name_of(&policy).into();
    properties["recoveryServicesProviderId"] = provider(world, &container);
    properties["eventCorrelationId"] = enabled_as.as_str().into();
    world.put(request.id(), json!({ "properties": properties }));
    turn(world, request.id(), &json!({ "migrationState": "EnableMigrationInProgress" }));
    note_item(world, request.id());
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("EnableMigration", "Enable replication"), move |world, outcome| match outcome {
        Ok(()) => seed(world, &item, &enabled_as),
        Err(_) => turn(world, &item, &json!({ "migrationState": "EnableMigrationFailed", "health": "Critical" })),
    }))
}

/// What an item is made of: what was asked, and what the appliance discovered.
fn new_properties(world: &World, request: &Request, given: &Value, mapping: &Value) -> Value {
    let machine = given["vmwareMachineId"].as_str().unwrap_or_default();
    let found = world.get(machine).map(|body| body["properties"].clone()).unwrap_or_default();
    let or = |field: &str, default: &str| given.get(field).cloned().unwrap_or_else(|| default.into());
    let discovered = |pointer: &str| found.pointer(pointer).cloned().unwrap_or_else(|| "".into());
    let mut details = given.clone();
    if let Some(fields) = details.as_object_mut() {
        for asked_only in
            ["disksToInclude", "performSqlBulkRegistration", "userSelectedOSName", "targetSubnetName", "testSubnetName"]
        {
            fields.remove(asked_only);
        }
    }
    details["osType"] = discovered("/operatingSystemDetails/osType");
    details["osName"] = discovered("/operatingSystemDetails/osName");
    details["firmwareType"] = discovered("/firmware");
    details["targetGeneration"] = if discovered("/firmware") == "EFI" { "V2" } else { "V1" }.into();
    details["targetLocation"] = mapping["properties"]["providerSpecificDetails"]["targetLocation"].clone();
    details["storageAccountId"] = mapping["properties"]["providerSpecificDetails"]["storageAccountId"].clone();
    details["targetVmName"] = or("targetVmName", name_of(machine));
    details["licenseType"] = or("licenseType", "NoLicenseType");
    details["performAutoResync"] = or("performAutoResync", "true");
    details["protectedDisks"] = protected_disks(given, &found).into();
    details["vmNics"] = cards(given, &found).into();
    details["resyncState"] = "None".into();
    details["resyncRequired"] = "false".into();
    details["supportedOSVersions"] = json!([]);
    json!({
        "machineName": discovered("/displayName"),
        "replicationStatus": "",
        "migrationState": "EnableMigrationInProgress",
        "testMigrateState": "None",
        "health": "Normal",
        "healthErrors": [],
        "criticalJobHistory": [],
        "allowedOperations": [],
        "currentJob": { "jobName": "None", "jobId": format!("{}/replicationJobs/None", up_to(request.id(), "vaults").unwrap_or_default()), "startTime": world.now() },
        "providerSpecificDetails": details,
    })
}

fn protected_disks(given: &Value, found: &Value) -> Vec<Value> {
    let of = |wanted: &Value| {
        let disks = found["disks"].as_array().into_iter().flatten();
        disks.clone().find(|disk| disk["uuid"] == *wanted).cloned().unwrap_or_default()
    };
    let shown = |disk: &Value| {
        let discovered = of(&disk["diskId"]);
        let mut shown = disk.clone();
        shown["diskName"] = discovered["label"].as_str().unwrap_or("disk").into();
        shown["diskPath"] = discovered["path"].as_str().unwrap_or_default().into();
        shown["capacityInBytes"] = discovered["maxSizeInBytes"].as_u64().unwrap_or(0).into();
        shown
    };
    given["disksToInclude"].as_array().into_iter().flatten().map(shown).collect()
}

fn cards(given: &Value, found: &Value) -> Vec<Value> {
    let shown = |(index, card): (usize, &Value)| {
        let mut shown = json!({
            "nicId": card["nicId"],
            "isPrimaryNic": if index == 0 { "true" } else { "false" },
            "sourceIPAddress": card["ipAddressList"][0],
            "sourceIPAddressType": "Dynamic",
            "sourceNetworkId": card["networkName"],
            "targetIPAddressType": "Dynamic",
            "isSelectedForMigration": "true",
        });
        for subnet in ["targetSubnetName", "testSubnetName"] {
            if let Some(name) = given.get(subnet) {
                shown[subnet] = name.clone();
            }
        }
        shown
    };
    found["networkAdapters"].as_array().into_iter().flatten().enumerate().map(shown).collect()
}

/// The first pass, a part with each tick, and then deltas.
fn seed(world: &mut World, item: &str, enabled_as: &str) {
    let steps = world.knobs.seeding_ticks.max(1);
    turn(world, item, &json!({ "migrationState": "InitialSeedingInProgress", "replicationStatus": "Healthy" }));
    for step in 0..=steps {
        let (item, enabled_as) = (item.to_owned(), enabled_as.to_owned());
        let percent = 100 * step / steps;
        let progress = move |world: &mut World| {
            let seeding =
                world.get(&item).is_some_and(|body| body["properties"]["migrationState"] == "InitialSeedingInProgress");
            if !seeding || !is_same(world, &item, &enabled_as) {
                return;
            }
            show_progress(world, &item, percent);
            if percent == 100 {
                replicate(world, &item);
            }
        };
        if step == 0 { progress(world) } else { world.later(step, progress) }
    }
}

fn show_progress(world: &mut World, item: &str, percent: u32) {
    let gateway = json!({
        "state": if percent == 100 { "Completed" } else { "InitialReplication" },
        "progressPercentage": percent, "timeElapsed": 30_000, "timeRemaining": 30_000,
        "uploadSpeed": 104_857_600, "hostName": "esx01.contoso.local", "dataStores": ["datastore1"],
    });
    set(
        world,
        item,
        &json!({ "providerSpecificDetails": { "initialSeedingProgressPercentage": percent, "gatewayOperationDetails": gateway } }),
    );
    world.change(item, |body| {
        for disk in body["properties"]["providerSpecificDetails"]["protectedDisks"].as_array_mut().into_iter().flatten()
        {
            disk["gatewayOperationDetails"] = gateway.clone();
        }
    });
}

/// Deltas run: there is a recovery point.
fn replicate(world: &mut World, item: &str) {
    let item = world.get(item).and_then(|body| body["id"].as_str()).unwrap_or(item).to_owned();
    let point = make_recovery_point(world, &item, "migrationRecoveryPoints", None);
    let now = world.now();
    turn(
        world,
        &item,
        &json!({
            "migrationState": "Replicating",
            "providerSpecificDetails": {
                "lastRecoveryPointId": point, "lastRecoveryPointReceived": now,
                "deltaSyncProgressPercentage": 100,
            },
        }),
    );
}

/// Settings of the target, laid over those that are there; disks and cards by their ids.
fn update(world: &mut World, request: &Request) -> Outcome {
    let given = demand_details(request, &[])?.clone();
    job::demand_idle(world, request.id())?;
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("UpdateMigrationItem", "Update replication settings"), move |world, outcome| {
        if outcome.is_err() {
            return;
        }
        world.change(&item, |body| {
            let details = &mut body["properties"]["providerSpecificDetails"];
            for (name, value) in given.as_object().into_iter().flatten() {
                match name.as_str() {
                    "vmNics" => lay_over(&mut details["vmNics"], value, "nicId"),
                    "vmDisks" => lay_over(&mut details["protectedDisks"], value, "diskId"),
                    _ => details[name] = value.clone(),
                }
            }
        });
    }))
}

fn lay_over(there: &mut Value, given: &Value, by: &str) {
    for patch in given.as_array().into_iter().flatten() {
        for one in there.as_array_mut().into_iter().flatten() {
            if one[by] == patch[by] {
                for (name, value) in patch.as_object().into_iter().flatten() {
                    let shown = match name.as_str() {
                        "targetStaticIPAddress" => "targetIPAddress",
                        "testStaticIPAddress" => "testIPAddress",
                        other => other,
                    };
                    one[shown] = value.clone();
                }
            }
        }
    }
}

/// What a machine of the target is called and made with.
fn machine(world: &mut World, item: &str, suffix: &str) -> String {
    let detail = |field: &str| detail(world, item, field).as_str().unwrap_or_default().to_owned();
    let (group, size, location) = (detail("targetResourceGroupId"), detail("targetVmSize"), detail("targetLocation"));
    let name = format!("{}{suffix}", detail("targetVmName"));
    let tags = self::detail(world, item, "targetVmTags");
    make_machine(world, &group, &name, &size, &location, &tags)
}

fn machine_id(world: &World, item: &str, suffix: &str) -> String {
    let text = |field: &str| detail(world, item, field).as_str().unwrap_or_default().to_owned();
    format!(
        "{}/providers/Microsoft.Compute/virtualMachines/{}{suffix}",
        text("targetResourceGroupId"),
        text("targetVmName")
    )
}

fn test(world: &mut World, request: &Request) -> Outcome {
    let given = demand_details(request, &["recoveryPointId", "networkId"])?;
    for field in ["recoveryPointId", "networkId"] {
        let id = given[field].as_str().unwrap_or_default();
        if !world.has(id) {
            return Err(ArmError::bad_request("150024", format!("{field} {id} was not found.")));
        }
    }
    demand_allowed(world, request.id(), "TestMigrate")?;
    turn(world, request.id(), &json!({ "testMigrateState": "TestMigrationInProgress" }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("TestMigrate", "Test migration"), move |world, outcome| {
        let now = world.now();
        let (state, word) = match outcome {
            Ok(()) => {
                machine(world, &item, "-Test");
                ("TestMigrationSucceeded", "Succeeded")
            }
            Err(_) => ("TestMigrationFailed", "Failed"),
        };
        let ended = json!({ "testMigrateState": state, "lastTestMigrationTime": now, "lastTestMigrationStatus": word });
        turn(world, &item, &ended);
    }))
}

fn clean_up(world: &mut World, request: &Request) -> Outcome {
    let comments = request.content()?.pointer("/properties/comments").and_then(Value::as_str).unwrap_or_default();
    if comments.chars().count() > 1024 {
        return Err(ArmError::invalid("properties.comments", "is longer than 1024 characters"));
    }
    demand_allowed(world, request.id(), "TestMigrateCleanup")?;
    turn(world, request.id(), &json!({ "testMigrateState": "TestMigrationCleanupInProgress" }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("TestMigrateCleanup", "Clean up test migration"), move |world, outcome| {
        let state = if outcome.is_ok() {
            let machine = machine_id(world, &item, "-Test");
            remove_machine(world, &machine);
            "None"
        } else {
            "TestMigrationSucceeded"
        };
        turn(world, &item, &json!({ "testMigrateState": state }));
    }))
}

fn migrate(world: &mut World, request: &Request) -> Outcome {
    let given = demand_details(request, &["performShutdown"])?;
    if !["true", "false"].contains(&given["performShutdown"].as_str().unwrap_or_default()) {
        return Err(ArmError::invalid(
            "properties.providerSpecificDetails.performShutdown",
            "is neither \"true\" nor \"false\"",
        ));
    }
    demand_allowed(world, request.id(), "Migrate")?;
    turn(world, request.id(), &json!({ "migrationState": "MigrationInProgress" }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("Migrate", "Migrate"), move |world, outcome| {
        let now = world.now();
        let (state, word) = match outcome {
            Ok(()) => {
                machine(world, &item, "");
                ("MigrationSucceeded", "Succeeded")
            }
            Err(_) => ("MigrationFailed", "Failed"),
        };
        turn(world, &item, &json!({ "migrationState": state, "lastMigrationTime": now, "lastMigrationStatus": word }));
    }))
}

fn pause(world: &mut World, request: &Request) -> Outcome {
    if request.text("/properties/instanceType")? != KIND {
        return Err(ArmError::invalid("properties.instanceType", "is not VMwareCbt"));
    }
    demand_allowed(world, request.id(), "PauseReplication")?;
    turn(world, request.id(), &json!({ "migrationState": "SuspendingProtection" }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("PauseReplication", "Pause replication"), move |world, outcome| {
        let state = if outcome.is_ok() { "ProtectionSuspended" } else { "Replicating" };
        turn(world, &item, &json!({ "migrationState": state }));
    }))
}

fn resume(world: &mut World, request: &Request) -> Outcome {
    let given = demand_details(request, &[])?;
    let delete = given.get("deleteMigrationResources").is_some_and(|value| value == "true");
    demand_allowed(world, request.id(), "ResumeReplication")?;
    let before = world.get(request.id()).map(|body| body["properties"]["migrationState"].clone()).unwrap_or_default();
    if delete && before != "MigrationSucceeded" {
        return Err(ArmError::bad_request("150025", "There is nothing to delete before a migration."));
    }
    turn(world, request.id(), &json!({ "migrationState": "ResumeInitiated" }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("ResumeReplication", "Resume replication"), move |world, outcome| {
        if outcome.is_err() {
            turn(world, &item, &json!({ "migrationState": before }));
            return;
        }
        if delete {
            let machine = machine_id(world, &item, "");
            remove_machine(world, &machine);
        }
        turn(world, &item, &json!({ "migrationState": "ResumeInProgress" }));
        world.later(1, move |world| {
            let resuming =
                world.get(&item).is_some_and(|body| body["properties"]["migrationState"] == "ResumeInProgress");
            if resuming {
                replicate(world, &item);
            }
        });
    }))
}

fn resync(world: &mut World, request: &Request) -> Outcome {
    demand_details(request, &["skipCbtReset"])?;
    demand_allowed(world, request.id(), "StartResync")?;
    set(world, request.id(), &json!({ "providerSpecificDetails": { "resyncState": "PreparedForResynchronization" } }));
    let item = request.id().to_owned();
    Ok(job::start(world, request, work("Resync", "Resynchronize"), move |world, outcome| {
        let state = if outcome.is_ok() { "StartedResynchronization" } else { "None" };
        set(
            world,
            &item,
            &json!({ "providerSpecificDetails": { "resyncState": state, "resyncProgressPercentage": 0 } }),
        );
        world.later(1, move |world| {
            set(
                world,
                &item,
                &json!({ "providerSpecificDetails": { "resyncState": "None", "resyncProgressPercentage": 100 } }),
            );
            if world.get(&item).is_some_and(|body| body["properties"]["migrationState"] != "Replicating") {
                replicate(world, &item);
            }
        });
    }))
}

/// Stops replication, or completes a migration; a machine in the target stays.
fn disable(world: &mut World, request: &Request) -> Outcome {
    if !world.has(request.id()) {
        return Ok(Answer::empty(204));
    }
    if !request.query.contains_key("deleteoption") {
        demand_allowed(world, request.id(), "DisableMigration")?;
    }
    turn(world, request.id(), &json!({ "migrationState": "DisableMigrationInProgress" }));
    let item = request.id().to_owned();
    Ok(job::start(
        world,
        request,
        work("DisableMigration", "Disable replication"),
        move |world, outcome| match outcome {
            Ok(()) => {
                world.remove(&item);
            }
            Err(_) => turn(world, &item, &json!({ "migrationState": "DisableMigrationFailed", "health": "Critical" })),
        },
    ))
}
