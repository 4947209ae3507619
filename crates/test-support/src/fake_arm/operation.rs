//! Long-running operations: begun by one request, asked after by others.
//!
//! A service tells of one by `Azure-AsyncOperation` (a status), by `Location` (202 until it is done, then its
//! result) or both. Site Recovery's status has the name of the job.
//!
//! Source: Microsoft Learn, "Track asynchronous Azure operations"; the order of Microsoft's Python client.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::{Answer, ArmError, Outcome};
use super::place::{key, segment, up_to};
use super::request::Request;
use super::world::World;

/// Where an operation is told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// The name in both paths.
    pub(crate) name: String,
    /// The path behind `Azure-AsyncOperation`.
    pub(crate) status: Option<String>,
    /// The path behind `Location`.
    pub(crate) result: Option<String>,
}

impl Links {
    /// `/subscriptions/{s}/providers/{namespace}/locations/{location}/{kind}/{name}` as the status.
    pub(crate) fn at_location(world: &mut World, request: &Request, kind: &str) -> Self {
        let name = world.uuid();
        let namespace = request.place.kind.split('/').next().unwrap_or_default();
        let subscription = up_to(request.id(), "subscriptions").unwrap_or_default();
        let place = world.knobs.location.clone();
        let namespace = spelled(namespace);
        let status = format!("{subscription}/providers/{namespace}/locations/{place}/{kind}/{name}");
        Self { name, status: Some(status), result: None }
    }

    /// The same path with another word for the kind, as the result.
    pub(crate) fn and_result(mut self, kind: &str, result_kind: &str) -> Self {
        let (from, to) = (format!("/{kind}/"), format!("/{result_kind}/"));
        self.result = self.status.as_ref().map(|status| status.replace(&from, &to));
        self
    }

    /// Only the result, at the path of the status.
    pub(crate) fn only_result(mut self) -> Self {
        self.result = self.status.take();
        self
    }
}

fn spelled(namespace: &str) -> &str {
    match namespace {
        "microsoft.network" => "Microsoft.Network",
        "microsoft.storage" => "Microsoft.Storage",
        "microsoft.compute" => "Microsoft.Compute",
        "microsoft.recoveryservices" => "Microsoft.RecoveryServices",
        other => other,
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    name: String,
    started: String,
    links: Links,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    InProgress,
    Succeeded { at: String, result: Option<Value> },
    Failed { at: String, error: ArmError },
}

impl World {
    /// Begins an operation; the headers that tell of it. When it is due, `done` is told whether it went well, does
    /// the rest, and says what the result is.
    pub(crate) fn begin(
        &mut self,
        request: &Request,
        links: Links,
        done: impl FnOnce(&mut Self, Result<(), &ArmError>) -> Result<Option<Value>, ArmError> + Send + 'static,
    ) -> Vec<(&'static str, String)> {
        let headers = self.headers(&links, request.api_version());
        let paths: Vec<String> = [&links.status, &links.result].into_iter().flatten().map(|path| key(path)).collect();
        let operation = Operation { name: links.name.clone(), started: self.now(), links, state: State::InProgress };
        for path in &paths {
            self.operations.insert(path.clone(), operation.clone());
        }
        let doom = self.doom.take();
        self.later(self.knobs.polls_before_done, move |world| {
            let outcome = doom.as_ref().map_or(Ok(()), Err);
            let ended = match (done(world, outcome), doom) {
                (_, Some(error)) | (Err(error), None) => State::Failed { at: world.now(), error },
                (Ok(result), None) => State::Succeeded { at: world.now(), result },
            };
            for path in paths {
                if let Some(operation) = world.operations.get_mut(&path) {
                    operation.state = ended.clone();
                }
            }
        });
        headers
    }

    fn headers(&self, links: &Links, version: &str) -> Vec<(&'static str, String)> {
        let link = |path: &String| format!("{}{path}?api-version={version}", self.origin);
        let mut headers = Vec::new();
        if let Some(status) = &links.status {
            headers.push(("Azure-AsyncOperation", link(status)));
        }
        if let Some(result) = &links.result {
            headers.push(("Location", link(result)));
        }
        headers.push(("Retry-After", self.knobs.retry_after.as_secs().to_string()));
        headers
    }

    /// The answer to whoever asks after an operation; nothing when the path is none of one.
    pub(crate) fn ask_after(&mut self, request: &Request) -> Option<Outcome> {
        if request.method != "GET" {
            return None;
        }
        let operation = self.operations.get(&key(&request.path))?.clone();
        let wants_status = operation.links.status.as_deref().is_some_and(|path| key(path) == key(&request.path));
        let answer = if wants_status { Ok(self.status(&operation, request)) } else { self.result(&operation, request) };
        self.tick();
        Some(answer)
    }

    fn status(&self, operation: &Operation, request: &Request) -> Answer {
        let mut body = json!({
            "id": request.path,
            "name": operation.name,
            "startTime": operation.started,
        });
        let mut answer = match &operation.state {
            State::InProgress => {
                body["status"] = "InProgress".into();
                let wait = self.knobs.retry_after.as_secs().to_string();
                return Answer::ok(body).with(vec![("Retry-After", wait)]);
            }
            State::Succeeded { at, .. } => {
                body["status"] = "Succeeded".into();
                body["endTime"] = at.as_str().into();
                Answer::ok(body)
            }
            State::Failed { at, error } => {
                body["status"] = "Failed".into();
                body["endTime"] = at.as_str().into();
                body["error"] = error.content();
                Answer::ok(body)
            }
        };
        if segment(&request.path, "replicationOperationStatus").is_some() {
            // Site Recovery goes on to name the status in what it answers.
            answer.headers.push(("Azure-AsyncOperation", format!("{}{}", self.origin, request.target)));
        }
        answer
    }

    fn result(&self, operation: &Operation, request: &Request) -> Outcome {
        match &operation.state {
            State::InProgress => Ok(Answer::empty(202).with(vec![
                ("Location", format!("{}{}", self.origin, request.target)),
                ("Retry-After", self.knobs.retry_after.as_secs().to_string()),
            ])),
            State::Succeeded { result: Some(result), .. } => Ok(Answer::ok(result.clone())),
            State::Succeeded { result: None, .. } => Ok(Answer::empty(204)),
            State::Failed { error, .. } => Err(error.clone()),
        }
    }

    /// What operations there are and how they stand: name and state.
    pub(crate) fn operation_states(&self) -> BTreeMap<String, &'static str> {
        let state = |operation: &Operation| match operation.state {
            State::InProgress => "InProgress",
            State::Succeeded { .. } => "Succeeded",
            State::Failed { .. } => "Failed",
        };
        self.operations.values().map(|operation| (operation.name.clone(), state(operation))).collect()
    }
}
