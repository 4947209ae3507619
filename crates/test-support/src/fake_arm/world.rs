//! The state: resources by id, what is yet to happen, and the clock that makes it happen.
//!
//! Time is virtual. One tick passes when somebody asks how far something is, after the answer is made, so that a
//! client that polls sees `InProgress` once and moves the world by doing so; [`World::tick`] does it too. All
//! names that the service would draw at random come from one counter: two runs of the same requests are the same.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Answer, ArmError};
use super::knobs::Knobs;
use super::operation::Operation;
use super::place::{key, name_of, segment, type_of};
use super::request::Request;

/// Everything the fake knows.
pub(crate) struct World {
    resources: BTreeMap<String, Resource>,
    /// Long-running operations by the paths that tell of them, in lower case.
    pub(super) operations: BTreeMap<String, Operation>,
    due: Vec<Due>,
    tick: u64,
    serial: u64,
    /// How many private addresses were given away.
    pub(crate) next_address: u32,
    /// Scheme and authority of the loopback address, for links.
    pub(crate) origin: String,
    pub(crate) knobs: Knobs,
    /// The error that the next long-running operation of this request ends in.
    pub(crate) doom: Option<ArmError>,
    /// What `Faults` says of new resources: how many reads answer that they are not there.
    pub(crate) hide_next: u32,
    /// Identities that the directory does not know yet, and how many more grants it refuses.
    pub(crate) young_principals: BTreeMap<String, u32>,
    /// Grants that are there but without effect, and how many reads they stay so.
    pub(crate) young_grants: BTreeMap<String, u32>,
    /// Vaults that had an item, by key.
    pub(crate) used_vaults: Vec<String>,
    /// Items and the operation that runs on them, by key.
    pub(crate) busy: BTreeMap<String, String>,
}

/// A resource as it would be answered.
#[derive(Clone, Debug)]
struct Resource {
    id: String,
    body: Value,
    /// How many reads answer that it is not there.
    hidden: u32,
}

struct Due {
    at: u64,
    effect: Box<dyn FnOnce(&mut World) + Send>,
}

impl World {
    pub(crate) fn new(origin: String, knobs: Knobs) -> Self {
        Self {
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            due: Vec::new(),
            tick: 0,
            serial: 0,
            next_address: 0,
            origin,
            knobs,
            doom: None,
            hide_next: 0,
            young_principals: BTreeMap::new(),
            young_grants: BTreeMap::new(),
            used_vaults: Vec::new(),
            busy: BTreeMap::new(),
        }
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A name such as the service would draw at random.
    pub(crate) fn uuid(&mut self) -> String {
        let number = u128::from(self.number());
        Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 | number).to_string()
    }

    /// The virtual time: half a minute passes with every tick.
    pub(crate) fn now(&self) -> String {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("it is a date");
        let passed = SignedDuration::from_secs(30 * i64::try_from(self.tick).unwrap_or(i64::MAX / 60));
        format!("{}Z", (start + passed).strftime("%Y-%m-%dT%H:%M:%S%.7f"))
    }

    /// Does `effect` when that many ticks have passed.
    pub(crate) fn later(&mut self, ticks: u32, effect: impl FnOnce(&mut Self) + Send + 'static) {
        self.due.push(Due { at: self.tick + u64::from(ticks.max(1)), effect: Box::new(effect) });
    }

    /// One tick: what is due happens, in the order in which it was asked for.
    pub(crate) fn tick(&mut self) {
        self.tick += 1;
        let now = self.tick;
        let (due, later) = std::mem::take(&mut self.due).into_iter().partition(|due: &Due| due.at <= now);
        self.due = later;
        let due: Vec<Due> = due;
        for due in due {
            (due.effect)(self);
        }
    }

    /// Whether anything is yet to happen by itself.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.due.is_empty()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.resources.contains_key(&key(id))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Value> {
        self.resources.get(&key(id)).map(|resource| &resource.body)
    }

    /// Changes a resource that is there; its etag, where it has one, is a new one then.
    pub(crate) fn change(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        let tag = self.serial + 1;
        if let Some(resource) = self.resources.get_mut(&key(id)) {
            change(&mut resource.body);
            if resource.body.get("etag").is_some() {
                resource.body["etag"] = etag(tag).into();
                self.serial = tag;
            }
        }
    }

    /// Puts a resource. The first spelling of its id stays; `id`, `name` and `type` are written into the body.
    pub(crate) fn put(&mut self, id: &str, mut body: Value) {
        let key = key(id);
        let known = self.resources.get(&key);
        let id = known.map_or_else(|| canonical(id), |resource| resource.id.clone());
        let hidden = known.map_or(self.hide_next, |resource| resource.hidden);
        body["id"] = id.as_str().into();
        body["name"] = name_of(&id).into();
        body["type"] = type_of(&id).into();
        if body.get("etag").is_some() {
            body["etag"] = etag(self.number()).into();
        }
        self.resources.insert(key, Resource { id, body, hidden });
    }

    /// Takes a resource and all its parts away; whether it was there.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let key = key(id);
        let parts = format!("{key}/");
        self.resources.retain(|other, _| !other.starts_with(&parts));
        self.resources.remove(&key).is_some()
    }

    /// All resources whose last type is `last`, in that namespace, below `scope`; in the order of their ids.
    pub(crate) fn below(&self, scope: &str, namespace: &str, last: &str) -> Vec<Value> {
        let scope = format!("{}/", key(scope).trim_end_matches('/'));
        let (namespace, last) = (namespace.to_ascii_lowercase(), last.to_ascii_lowercase());
        let fits = |(key, resource): &(&String, &Resource)| {
            let of = type_of(&resource.id).to_ascii_lowercase();
            key.starts_with(&scope) && of.starts_with(&format!("{namespace}/")) && name_of(&of) == last
        };
        self.resources.iter().filter(fits).map(|(_, resource)| resource.body.clone()).collect()
    }

    /// What a client reads: the resource, or that it is not there, perhaps though it is.
    pub(crate) fn read(&mut self, id: &str) -> Result<Value, ArmError> {
        let resource = self.resources.get_mut(&key(id)).ok_or_else(|| ArmError::not_found(id))?;
        if resource.hidden > 0 {
            resource.hidden -= 1;
            return Err(ArmError::not_found(id));
        }
        Ok(resource.body.clone())
    }

    /// The answer to a read of one resource. Who reads one that is being made asks how far it is.
    pub(crate) fn show(&mut self, request: &Request) -> Result<Answer, ArmError> {
        let body = self.read(request.id())?;
        if matches!(body["properties"]["provisioningState"].as_str(), Some("Creating" | "Updating")) {
            self.tick();
        }
        Ok(Answer::ok(body))
    }

    /// All resources, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.resources.values().map(|resource| resource.body.clone()).collect()
    }

    /// The answer to a read of the collection in the request, a page of it at a time.
    pub(crate) fn list(&self, request: &Request) -> Answer {
        let place = &request.place;
        let namespace = place.kind.split('/').next().unwrap_or_default();
        let scope = if place.kind.contains('/') { &place.id } else { &place.scope };
        self.page(request, self.below(scope, namespace, place.rest.as_deref().unwrap_or_default()))
    }

    /// One page of `all`, with a link to the next.
    pub(crate) fn page(&self, request: &Request, all: Vec<Value>) -> Answer {
        let start: usize = request.query.get("$skiptoken").and_then(|token| token.parse().ok()).unwrap_or(0);
        let end = (start + self.knobs.page_size).min(all.len());
        let more = end < all.len();
        let page: Vec<Value> = all.into_iter().skip(start).take(self.knobs.page_size).collect();
        let mut body = json!({ "value": page });
        if more {
            let (path, version) = (&request.path, request.api_version());
            body["nextLink"] =
                format!("{}{path}?api-version={version}&%24skipToken={end}", self.origin).replace(' ', "%20").into();
        }
        Answer::ok(body)
    }

    /// That what a part belongs to is there.
    pub(crate) fn demand_parent(&self, request: &Request) -> Result<(), ArmError> {
        let parent = request.place.parent();
        if segment(&parent, "resourceGroups").is_none() || self.has(&parent) {
            return Ok(());
        }
        if request.place.parent() == request.place.scope && !key(&parent).contains("/providers/") {
            let name = name_of(&parent);
            return Err(ArmError::new(
                404,
                "ResourceGroupNotFound",
                format!("Resource group '{name}' could not be found."),
            ));
        }
        Err(ArmError::parent_not_found(request.id()))
    }
}

fn etag(number: u64) -> String {
    Uuid::from_u128(u128::from(number)).to_string()
}

/// Site Recovery begins its ids with a capital letter.
fn canonical(id: &str) -> String {
    let of = type_of(id).to_ascii_lowercase();
    if of.starts_with("microsoft.recoveryservices/vaults/replication")
        && let Some(rest) = id.strip_prefix("/subscriptions/")
    {
        return format!("/Subscriptions/{rest}");
    }
    id.to_owned()
}
