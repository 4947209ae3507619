//! Jobs: how a change of Site Recovery is told of.

use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::operation::Links;
use super::super::place::{key, name_of, up_to};
use super::super::request::Request;
use super::super::services::merge;
use super::super::world::World;
use super::accepted;

/// What a job is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// `scenarioName`.
    pub(super) scenario: &'static str,
    /// `friendlyName`.
    pub(super) friendly: &'static str,
    /// `targetInstanceType`.
    pub(super) target: &'static str,
}

/// That no other job runs on the resource.
pub(super) fn demand_idle(world: &World, id: &str) -> Result<(), ArmError> {
    let Some(job) = world.busy.get(&key(id)) else { return Ok(()) };
    Err(ArmError::new(
        409,
        "AnotherOperationInProgress",
        format!("Another operation ({job}) is in progress on {}. Wait for it to complete.", name_of(id)),
    ))
}

/// Starts a job on the resource of the request; the answer that tells of it. `done` is told how it ended.
pub(super) fn start(
    world: &mut World,
    request: &Request,
    work: Work,
    done: impl FnOnce(&mut World, Result<(), &ArmError>) + Send + 'static,
) -> Answer {
    let vault = up_to(request.id(), "vaults").unwrap_or_default();
    let vault =
        vault.strip_prefix("/subscriptions/").map_or_else(|| vault.to_owned(), |rest| format!("/Subscriptions/{rest}"));
    let name = world.uuid();
    let job = format!("{vault}/replicationJobs/{name}");
    let activity = world.uuid();
    let now = world.now();
    let target = world.get(request.id()).and_then(|body| {
        body["properties"].get("friendlyName").or_else(|| body["properties"].get("machineName")).cloned()
    });
    let task = json!({
        "taskId": world.uuid(),
        "name": format!("{}Task", work.scenario),
        "friendlyName": work.friendly,
        "startTime": now,
        "state": "InProgress",
        "stateDescription": "InProgress",
        "taskType": "TaskDetails",
        "allowedActions": [],
        "errors": [],
    });
    world.put(
        &job,
        json!({ "properties": {
            "activityId": format!("{activity} ActivityId: {activity}"),
            "scenarioName": work.scenario,
            "friendlyName": work.friendly,
            "state": "InProgress",
            "stateDescription": "InProgress",
            "tasks": [task],
            "errors": [],
            "startTime": now,
            "allowedActions": ["Cancel"],
            "targetObjectId": request.id(),
            "targetObjectName": target.unwrap_or_else(|| request.place.name().into()),
            "targetInstanceType": work.target,
            "customDetails": { "instanceType": "AsrJobDetails", "affectedObjectDetails": {} },
        } }),
    );
    let links = Links {
        status: Some(format!("{vault}/replicationOperationStatus/{name}")),
        result: world.knobs.site_recovery_location.then(|| format!("{job}/operationresults/{name}")),
        name: name.clone(),
    };
    let id = request.id().to_owned();
    world.busy.insert(key(&id), name.clone());
    let current = json!({ "jobName": work.scenario, "jobId": job, "startTime": now });
    world.change(&id, |body| {
        if body["properties"].get("currentJob").is_some() {
            body["properties"]["currentJob"] = current;
        } else if body["properties"].get("currentScenario").is_some() {
            body["properties"]["currentScenario"] =
                json!({ "scenarioName": work.scenario, "jobId": job, "startTime": now });
        }
    });
    let headers = world.begin(request, links, move |world, outcome| {
        let cancelled = world.get(&job).is_some_and(|job| job["properties"]["state"] == "Cancelled");
        let cancel = ArmError::new(409, "JobCancelled", "The job was cancelled.");
        let outcome = if cancelled { Err(&cancel) } else { outcome };
        close(world, &job, outcome);
        world.busy.remove(&key(&id));
        done(world, outcome);
        match outcome {
            Ok(()) => Ok(world.get(&id).cloned()),
            Err(error) => Err(error.clone()),
        }
    });
    accepted(headers)
}

fn close(world: &mut World, job: &str, outcome: Result<(), &ArmError>) {
    let now = world.now();
    let (state, description, errors) = match outcome {
        Ok(()) => ("Succeeded", "Completed", Vec::new()),
        Err(error) if error.code == "JobCancelled" => ("Cancelled", "Cancelled", Vec::new()),
        Err(error) => ("Failed", "Failed", errors(error, &now)),
    };
    let ended = json!({ "state": state, "stateDescription": description, "endTime": now, "errors": errors });
    world.change(job, |body| {
        merge(&mut body["properties"], &ended);
        body["properties"]["allowedActions"] = json!([]);
        merge(&mut body["properties"]["tasks"][0], &ended);
    });
}

/// The error and those inside it, each of which the service tells of.
fn errors(error: &ArmError, now: &str) -> Vec<Value> {
    let all = std::iter::once((&error.code, &error.message))
        .chain(error.details.iter().map(|(code, message)| (code, message)));
    let told = |(code, message): (&String, &String)| {
        json!({
            "serviceErrorDetails": {
                "code": code, "message": message, "possibleCauses": message,
                "recommendedAction": "Resolve the issue and retry the operation.", "activityId": "",
            },
            "errorLevel": "Error",
            "creationTime": now,
        })
    };
    all.map(told).collect()
}

/// Cancels a job that runs: its operation ends in failure.
pub(super) fn cancel(world: &mut World, request: &Request) -> Outcome {
    let body = world.read(request.id())?;
    if body["properties"]["state"] != "InProgress" {
        return Err(ArmError::bad_request("150002", "Only a job in progress can be cancelled."));
    }
    world.change(request.id(), |body| body["properties"]["state"] = "Cancelled".into());
    Ok(Answer::ok(world.get(request.id()).cloned().unwrap_or_default()))
}
