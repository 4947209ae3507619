//! A plan for Azure's own tools: an ARM template, and lines of a hosts file.
//!
//! A template can make resources, and nothing else: approvals, changes of what is there, and what is asked of a
//! server are not in it. They are named in its metadata, so that nobody takes it for the whole plan.
//!
//! Source: Microsoft Learn, "Understand the structure and syntax of ARM templates" and "Subscription deployments
//! with ARM templates" (2024).

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::Plan;
use super::request::{OwnerRequest, request};
use super::step::{Action, Step};
use crate::control::arm::operations;
use crate::control::model::RoleGrant;
use crate::control::observed::Observed;
use crate::control::settings::MigrationSettings;
use crate::control::{ArmId, Scenario};

const SUBSCRIPTION_SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";
const GROUP_SCHEMA: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
const DEPLOYMENTS: &str = "2022-09-01";
/// Before a vault has an identity, a template asks for it with this placeholder in the request's place.
const PLACEHOLDER: &str = "00000000-0000-0000-0000-000000000000";

/// A resource of a template, and the subscription and resource group that it goes to.
struct Placed {
    step: super::StepId,
    subscription: String,
    /// None for a resource group itself.
    group: Option<String>,
    body: Value,
}

impl Plan {
    /// The steps that make something, as an ARM template to be deployed to the subscription of the vault
    /// (`az deployment sub create`). Resources come after those that they need. Has no secrets.
    ///
    /// The steps that a template cannot do are listed in `metadata.libmigrate.notInTemplate`.
    pub fn to_template(&self, wanted: &MigrationSettings, seen: &Observed) -> Value {
        let (mut placed, mut left) = (Vec::new(), Vec::new());
        let makes_vault = self.steps.iter().any(|step| matches!(step.action, Action::CreateVault { .. }));
        for step in &self.steps {
            match resource(step, wanted, seen, makes_vault) {
                Some(one) => placed.push(one),
                None => left.push(step.id.as_str()),
            }
        }
        let mut groups: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        let mut own = Vec::new();
        for one in &placed {
            let Some(group) = &one.group else {
                own.push(one.body.clone());
                continue;
            };
            let mut body = one.body.clone();
            let needs = self.step(&one.step).map(|step| step.after.as_slice()).unwrap_or_default();
            let after: Vec<String> = placed
                .iter()
                .filter(|other| needs.contains(&other.step))
                .filter(|other| (other.group.as_deref(), &other.subscription) == (Some(&**group), &one.subscription))
                .filter_map(|other| reference(&other.body))
                .collect();
            if !after.is_empty() {
                body["dependsOn"] = json!(after);
            }
            groups.entry((one.subscription.clone(), group.clone())).or_default().push(body);
        }
        let nested: Vec<Value> =
            groups.into_iter().map(|((subscription, group), own)| deployment(&subscription, &group, &own)).collect();
        let waits: Vec<String> = own.iter().filter_map(reference).collect();
        let nested = nested.into_iter().map(|mut one| {
            if !waits.is_empty() {
                one["dependsOn"] = json!(waits);
            }
            one
        });
        json!({
            "$schema": SUBSCRIPTION_SCHEMA,
            "contentVersion": "1.0.0.0",
            "metadata": { "libmigrate": { "plan": self.digest(), "notInTemplate": left } },
            "resources": own.iter().cloned().chain(nested).collect::<Vec<_>>(),
        })
    }
}

/// The resource that a step makes; none for a step that makes none, or that needs an identity which is given to a
/// vault that is there: a template that gave it would have to make the vault anew.
fn resource(step: &Step, wanted: &MigrationSettings, seen: &Observed, makes_vault: bool) -> Option<Placed> {
    let subscription = |id: &ArmId| id.subscription().unwrap_or_default().to_owned();
    match &step.action {
        Action::CreateGroup { group, region } => Some(Placed {
            step: step.id.clone(),
            subscription: subscription(group),
            group: None,
            body: literal(json!({
                "type": "Microsoft.Resources/resourceGroups", "name": group.name(), "location": region,
                "apiVersion": operations::RESOURCE_GROUPS_PUT.api_version, "properties": {},
            })),
        }),
        Action::CreateVault { .. }
        | Action::CreateEndpoint { .. }
        | Action::CreateZone { .. }
        | Action::LinkZone { .. }
        | Action::AttachZone { .. }
        | Action::CreatePolicy { .. }
        | Action::MapContainer { .. } => {
            let request = request(step, wanted, seen).ok()?;
            let id = request.id().clone();
            let body = OwnerRequest::of(&request).body.unwrap_or_default();
            Some(Placed {
                step: step.id.clone(),
                subscription: subscription(&id),
                group: id.resource_group().map(str::to_owned),
                body: with_head(&id, request.api_version(), body),
            })
        }
        Action::GrantRole { scope, vault, role } => {
            let known = seen.vault.as_ref().filter(|one| one.id.as_ref() == Some(vault));
            let principal = known.and_then(|vault| vault.principal_id());
            if principal.is_none() && !makes_vault {
                return None;
            }
            let grant =
                RoleGrant { scope: scope.clone(), principal: principal.unwrap_or(PLACEHOLDER).to_owned(), role: *role };
            let id = grant.assignment_id();
            let asked = serde_json::to_value(grant.body()?).ok()?;
            let mut body = with_head(&id, operations::ROLE_ASSIGNMENTS_CREATE.api_version, asked);
            body["scope"] = json!(scope);
            let (at, version) = (quoted(vault.as_str()), operations::VAULTS_GET.api_version);
            if principal.is_none() {
                let read = format!("[reference({at}, '{version}', 'full').identity.principalId]");
                body["properties"]["principalId"] = json!(read);
            }
            // The name follows from whom it is granted to, which the template cannot know before.
            body["name"] = json!(if principal.is_some() {
                id.name().to_owned()
            } else {
                format!("[guid({}, {at}, '{}')]", quoted(scope.as_str()), role.guid())
            });
            Some(Placed {
                step: step.id.clone(),
                subscription: subscription(scope),
                group: scope.resource_group().map(str::to_owned),
                body,
            })
        }
        Action::GiveIdentity { .. }
        | Action::TrustServices { .. }
        | Action::ApproveEndpoint { .. }
        | Action::WriteRecords { .. }
        | Action::Enable { .. }
        | Action::Update { .. }
        | Action::Ask { .. } => None,
    }
}

/// Texts that begin with a bracket are expressions in a template; those of a request are none.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('[') => Value::String(format!("[{text}")),
        Value::Array(list) => list.into_iter().map(literal).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        other => other,
    }
}

/// A text inside an expression.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Type, name and version before what the resource's own body has.
fn with_head(id: &ArmId, api_version: &str, body: Value) -> Value {
    let kind = id.resource_type().unwrap_or_default();
    let depth = kind.split('/').count().saturating_sub(1);
    let segments: Vec<&str> = id.as_str().split('/').collect();
    let names: Vec<&str> = segments.iter().rev().step_by(2).take(depth).rev().copied().collect();
    let mut resource = Map::new();
    resource.insert("type".into(), json!(kind));
    resource.insert("apiVersion".into(), json!(api_version));
    resource.insert("name".into(), json!(names.join("/")));
    if let Value::Object(body) = body {
        resource.extend(body);
    }
    literal(Value::Object(resource))
}

/// How another resource of the same template names this one.
fn reference(body: &Value) -> Option<String> {
    let (kind, name) = (body["type"].as_str()?, body["name"].as_str()?);
    if name.starts_with('[') {
        return None;
    }
    let names: Vec<String> = name.split('/').map(quoted).collect();
    Some(match body["scope"].as_str() {
        Some(scope) => format!("[extensionResourceId({}, '{kind}', {})]", quoted(scope), names.join(", ")),
        None => format!("[resourceId('{kind}', {})]", names.join(", ")),
    })
}

/// The resources of one resource group, as a deployment of its own.
fn deployment(subscription: &str, group: &str, resources: &[Value]) -> Value {
    json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": DEPLOYMENTS,
        "name": format!("libmigrate-{group}").chars().take(64).collect::<String>(),
        "subscriptionId": subscription, "resourceGroup": group,
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": { "scope": "inner" },
            "template": { "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "resources": resources },
        },
    })
}

/// Lines of a hosts file for the private endpoints that are there, for tests on the machine in the data path: such
/// lines do not follow a change. Sorted, one name a line.
pub fn hosts_lines(seen: &Observed, scenario: Scenario) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for endpoint in &seen.endpoints {
        let leads_to_vault = endpoint.connections().any(|one| {
            one.properties
                .private_link_service_id
                .as_ref()
                .is_some_and(|id| id.is_of("Microsoft.RecoveryServices/vaults"))
        });
        // The appliance of VMware speaks with the vault over its public endpoint.
        if leads_to_vault && scenario == Scenario::VmwareAgentless {
            continue;
        }
        for config in endpoint.properties.custom_dns_configs.iter().flatten() {
            let Some(name) = config.fqdn.as_deref().filter(|name| is_host_name(name)) else { continue };
            for address in config.ip_addresses.iter().flatten().filter_map(crate::control::model::Address::ip) {
                lines.push((name.to_ascii_lowercase(), address.to_string()));
            }
        }
    }
    lines.sort();
    lines.dedup();
    let mut text = String::new();
    for (name, address) in lines {
        let _ = writeln!(text, "{address} {name}");
    }
    text
}

/// Nothing that would begin another line, or a comment.
fn is_host_name(name: &str) -> bool {
    name.parse::<crate::private_link::HostName>().is_ok()
}
