//! Role assignments, the definitions of the roles that a migration needs, and what the caller may do.
//!
//! A grant to an identity that the directory does not know yet is refused with `PrincipalNotFound`
//! ([`Knobs::principal_delay`](super::super::Knobs)); that this clears by itself is experience, no document says
//! how soon.
//!
//! Source: Azure REST API specification, Authorization (2022-04-01); Microsoft Learn, "Azure built-in roles".

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::answer::{Answer, ArmError, Outcome};
use super::super::place::{key, name_of};
use super::super::request::{Request, verb};
use super::super::world::World;
use super::{properties, unknown};

/// The roles: guid and name.
const ROLES: &[(&str, &str)] = &[
    ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
    ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor"),
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner"),
    ("17d1049b-9a84-46fb-8f53-869881c3d3ab", "Storage Account Contributor"),
];

pub(super) fn grants(world: &mut World, request: &Request) -> Outcome {
    match verb(request) {
        ("GET", Some("roleAssignments")) => Ok(list(world, request)),
        ("GET", Some("roleDefinitions")) => {
            let all = ROLES.iter().map(|role| definition(&request.place.scope, role)).collect();
            Ok(world.page(request, all))
        }
        ("GET", Some("permissions")) => {
            world.read(&request.place.scope)?;
            let permission = |(actions, not_actions): &(Vec<&str>, Vec<&str>)| json!({ "actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": [] });
            let all = world.knobs.caller_roles.iter().map(permission).collect();
            Ok(world.page(request, all))
        }
        ("GET", None) => {
            let answer = world.show(request).map_err(|_| not_found(request))?;
            world.age_grants(&key(request.id()));
            Ok(answer)
        }
        ("PUT", None) => grant(world, request),
        ("DELETE", None) => match world.get(request.id()).cloned() {
            Some(body) => {
                world.remove(request.id());
                Ok(Answer::ok(body))
            }
            None => Ok(Answer::empty(204)),
        },
        _ => Err(unknown(request)),
    }
}

fn not_found(request: &Request) -> ArmError {
    let message = format!("The role assignment '{}' is not found.", request.place.name());
    ArmError::new(404, "RoleAssignmentNotFound", message)
}

fn grant(world: &mut World, request: &Request) -> Outcome {
    let scope = request.place.scope.clone();
    if key(&scope).contains("/resourcegroups/") && !world.has(&scope) {
        return Err(ArmError::not_found(&scope));
    }
    if Uuid::parse_str(request.place.name()).is_err() {
        return Err(ArmError::bad_request(
            "InvalidRoleAssignmentId",
            format!(
                "The role assignment ID '{}' is not valid. The role assignment ID must be a GUID.",
                request.place.name()
            ),
        ));
    }
    let role = request.text("/properties/roleDefinitionId")?.to_owned();
    let principal = request.text("/properties/principalId")?.to_owned();
    if !ROLES.iter().any(|(guid, _)| guid.eq_ignore_ascii_case(name_of(&role))) {
        return Err(ArmError::bad_request(
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{}' does not exist.", name_of(&role)),
        ));
    }
    if let Some(left) = world.young_principals.get_mut(&key(&principal)).filter(|left| **left > 0) {
        *left -= 1;
        return Err(ArmError::bad_request(
            "PrincipalNotFound",
            format!(
                "Principal {principal} does not exist in the directory. Check that you have the correct principal ID."
            ),
        ));
    }
    if let Some(there) = world.get(request.id()) {
        return if is_grant(there, &principal, &role) {
            Ok(Answer::ok(there.clone()))
        } else {
            Err(ArmError::bad_request(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ))
        };
    }
    let same = world.below(&scope, "Microsoft.Authorization", "roleAssignments").into_iter().any(|other| {
        is_grant(&other, &principal, &role)
            && other
                .pointer("/properties/scope")
                .and_then(Value::as_str)
                .is_some_and(|at| at.eq_ignore_ascii_case(&scope))
    });
    if same {
        return Err(ArmError::new(409, "RoleAssignmentExists", "The role assignment already exists."));
    }
    let now = world.now();
    let kind =
        properties(request).get("principalType").and_then(Value::as_str).unwrap_or("ServicePrincipal").to_owned();
    let delay = world.knobs.grant_delay;
    world.young_grants.insert(key(request.id()), delay);
    world.put(
        request.id(),
        json!({ "properties": {
            "roleDefinitionId": role,
            "principalId": principal,
            "principalType": kind,
            "scope": scope,
            "createdOn": now,
            "updatedOn": now,
            "createdBy": "00000000-0000-0000-0000-0000000000aa",
            "updatedBy": "00000000-0000-0000-0000-0000000000aa",
        } }),
    );
    Ok(Answer::new(201, world.get(request.id()).cloned().unwrap_or_default()))
}

fn is_grant(grant: &Value, principal: &str, role: &str) -> bool {
    let property = |name: &str| grant["properties"][name].as_str().unwrap_or_default();
    property("principalId").eq_ignore_ascii_case(principal)
        && name_of(property("roleDefinitionId")).eq_ignore_ascii_case(name_of(role))
}

/// Assignments at, above and (without `atScope()`) below the scope.
fn list(world: &mut World, request: &Request) -> Answer {
    let scope = key(&request.place.scope);
    let filter = request.query.get("$filter").map_or("", String::as_str);
    let principal =
        filter.split('\'').nth(1).filter(|_| filter.contains("principalId") || filter.contains("assignedTo"));
    let at_scope = filter.contains("atScope()");
    let subscription = scope.split('/').take(3).collect::<Vec<_>>().join("/");
    let mut all = world.below(&subscription, "Microsoft.Authorization", "roleAssignments");
    all.retain(|grant| {
        let at = key(grant["properties"]["scope"].as_str().unwrap_or_default());
        let reaches = scope == at || scope.starts_with(&format!("{at}/"));
        let within = !at_scope && at.starts_with(&format!("{scope}/"));
        let holder = grant["properties"]["principalId"].as_str().unwrap_or_default();
        (reaches || within) && principal.is_none_or(|wanted| holder.eq_ignore_ascii_case(wanted))
    });
    for grant in &all {
        world.age_grants(&key(grant["id"].as_str().unwrap_or_default()));
    }
    world.page(request, all)
}

impl World {
    /// A grant was read: it comes nearer to having effect.
    fn age_grants(&mut self, key: &str) {
        if let Some(left) = self.young_grants.get_mut(key) {
            *left = left.saturating_sub(1);
        }
    }

    /// How an identity stands to a role on a resource: granted and in effect, granted but not yet, or not granted.
    pub(crate) fn standing(&self, principal: &str, role: &str, resource: &str) -> Standing {
        let resource = key(resource);
        let subscription = resource.split('/').take(3).collect::<Vec<_>>().join("/");
        let guid = ROLES.iter().find(|(_, name)| *name == role).map_or("", |(guid, _)| *guid);
        let grants = self.below(&subscription, "Microsoft.Authorization", "roleAssignments");
        let reaching = grants.iter().filter(|grant| {
            let at = key(grant["properties"]["scope"].as_str().unwrap_or_default());
            is_grant(grant, principal, guid) && (resource == at || resource.starts_with(&format!("{at}/")))
        });
        let young = |grant: &Value| {
            let id = key(grant["id"].as_str().unwrap_or_default());
            self.young_grants.get(&id).copied().unwrap_or(0) > 0
        };
        let mut standing = Standing::NotGranted;
        for grant in reaching {
            standing = if young(grant) { standing.max(Standing::NotYet) } else { Standing::InEffect };
        }
        standing
    }
}

/// How an identity stands to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    NotGranted,
    NotYet,
    InEffect,
}

pub(super) fn definitions(request: &Request) -> Outcome {
    let name = request.place.name();
    let role = ROLES.iter().find(|(guid, _)| guid.eq_ignore_ascii_case(name));
    match (verb(request), role) {
        (("GET", None), Some(role)) => Ok(Answer::ok(definition(&request.place.scope, role))),
        (("GET", None), None) => Err(ArmError::new(
            404,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{name}' does not exist."),
        )),
        _ => Err(unknown(request)),
    }
}

fn definition(scope: &str, (guid, name): &(&str, &str)) -> Value {
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{guid}"),
        "name": guid,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": name,
            "type": "BuiltInRole",
            "description": name,
            "assignableScopes": ["/"],
            "permissions": [{ "actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": [] }],
        },
    })
}
