//! Roles of Azure, and who has them where.
//!
//! Source: Azure REST API specification, `authorization-RoleAssignmentsCalls.json` (2022-04-01); the roles' ids from
//! Microsoft Learn, "Azure built-in roles" (read 2026-11).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::resource::Resource;
use super::scalar::Stamp;
use super::wire::wire;
use crate::control::ArmId;
use crate::control::named::named;
use crate::control::open_enum::open_enum;

/// A grant as the service has it.
pub type RoleAssignment = Resource<RoleAssignmentProperties>;

/// Makes the names of our grants unlike those that others derive from the same parts. Never change it: grants that
/// exist would get second names, which the service refuses.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f1f_6f0e_52a3_4c0b_9d55_6c1a_9b0e_7d21);

named! {
    /// The built-in roles that a migration needs.
    pub enum Role {
        /// Manages everything but access.
        Contributor = "Contributor",
        /// Reads and writes blobs; enough for Standard accounts.
        StorageBlobDataContributor = "Storage Blob Data Contributor",
        /// Reads and writes blobs and their access; what Premium accounts need.
        StorageBlobDataOwner = "Storage Blob Data Owner",
        /// Manages storage accounts.
        StorageAccountContributor = "Storage Account Contributor",
    }
}

impl Role {
    /// The roles that the vault's identity needs on a replication account, by the account's tier.
    ///
    /// Source: Microsoft Learn, "Migrate servers to Azure by using Private Link" (2022-12-14): Contributor, and
    /// Storage Blob Data Contributor for Standard, Storage Blob Data Owner for Premium.
    pub const fn for_account(premium: bool) -> [Self; 2] {
        [Self::Contributor, if premium { Self::StorageBlobDataOwner } else { Self::StorageBlobDataContributor }]
    }

    /// The id that the role has in every directory.
    pub const fn guid(self) -> &'static str {
        match self {
            Self::Contributor => "b24988ac-6180-42a0-ab88-20f7382dd24c",
            Self::StorageBlobDataContributor => "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            Self::StorageBlobDataOwner => "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
            Self::StorageAccountContributor => "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        }
    }

    /// The definition of the role in a subscription (its id without `/subscriptions/`).
    pub fn definition_id(self, subscription: &str) -> ArmId {
        ArmId::of_subscription(subscription).resource("Microsoft.Authorization", "roleDefinitions", self.guid())
    }

    /// The role that a definition is, in whatever scope; none where it is none of these.
    pub fn of_definition(definition: &ArmId) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.guid().eq_ignore_ascii_case(definition.name()))
    }
}

open_enum! {
    /// What a principal is.
    pub enum PrincipalType {
        /// A person.
        User,
        /// A group.
        Group,
        /// An application or the identity of a resource. Named in a grant, it lets the service accept a principal
        /// that the directory does not show everywhere yet.
        ServicePrincipal,
        /// A group of another directory.
        ForeignGroup,
        /// A device.
        Device,
    }
}

wire! {
    /// The properties of a [`RoleAssignment`].
    pub struct RoleAssignmentProperties {
        /// Where the role holds.
        scope: ArmId,
        /// The role.
        role_definition_id: ArmId,
        /// Who has it: an object id of the directory.
        principal_id: String,
        /// What that is.
        principal_type: PrincipalType,
        /// Why.
        description: String,
        /// When it counts, in the language of conditions.
        condition: String,
        /// When it was made.
        created_on: Stamp,
    }

    /// What one of somebody's roles allows and takes away again, as patterns with `*` for any text.
    ///
    /// What a role takes away, another role may still give: `notActions` is no prohibition.
    ///
    /// Source: Azure REST API specification, `authorization-RoleDefinitionsCalls.json` (2022-04-01), `Permission`;
    /// Microsoft Learn, "Understand Azure role definitions" (2024).
    pub struct Permission {
        /// What it allows to do with resources.
        actions: Vec<String>,
        /// What of that it takes away.
        not_actions: Vec<String>,
        /// What it allows to do with what is in resources.
        data_actions: Vec<String>,
        /// What of that it takes away.
        not_data_actions: Vec<String>,
    }
}

impl Permission {
    /// Whether it allows an action. Without regard to case.
    pub fn allows(&self, action: &str) -> bool {
        let names = |patterns: &Option<Vec<String>>| patterns.iter().flatten().any(|pattern| matches(pattern, action));
        names(&self.actions) && !names(&self.not_actions)
    }
}

/// Whether an action is one of `pattern`.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A role that somebody must have somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleGrant {
    /// Where.
    pub scope: ArmId,
    /// Who: an object id of the directory.
    pub principal: String,
    /// Which.
    pub role: Role,
}

impl RoleGrant {
    /// The name of the grant: the same for the same grant, so that asking twice makes one. A UUID (version 5) of
    /// the scope, the principal and the role, in lower case.
    pub fn assignment_name(&self) -> Uuid {
        let told = format!("{}|{}|{}", self.scope, self.principal, self.role.guid()).to_ascii_lowercase();
        Uuid::new_v5(&NAMESPACE, told.as_bytes())
    }

    /// The id of the grant.
    pub fn assignment_id(&self) -> ArmId {
        self.scope.resource("Microsoft.Authorization", "roleAssignments", &self.assignment_name().to_string())
    }

    /// The request for it; none where the scope is in no subscription.
    pub fn body(&self) -> Option<RoleAssignment> {
        Some(RoleAssignment::new(RoleAssignmentProperties {
            role_definition_id: Some(self.role.definition_id(self.scope.subscription()?)),
            principal_id: Some(self.principal.clone()),
            principal_type: Some(PrincipalType::ServicePrincipal),
            ..RoleAssignmentProperties::default()
        }))
    }

    /// Whether `assignment` gives this: the role and the principal are the same, and the scope is this one or
    /// around it, without a condition.
    pub fn is_given_by(&self, assignment: &RoleAssignment) -> bool {
        let RoleAssignmentProperties { scope, role_definition_id, principal_id, condition, .. } =
            &assignment.properties;
        role_definition_id.as_ref().and_then(Role::of_definition) == Some(self.role)
            && principal_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&self.principal))
            && scope.as_ref().is_some_and(|scope| self.scope.is_within(scope))
            && condition.as_deref().is_none_or(str::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn grant(role: Role) -> RoleGrant {
        let scope = ArmId::of_subscription("S").group("g").resource("Microsoft.Storage", "storageAccounts", "cache");
        RoleGrant { scope, principal: "b1d2".to_owned(), role }
    }

    const GRANTING: &str = "Microsoft.Authorization/roleAssignments/write";

    #[test]
    fn wildcards_of_actions_stand_for_any_text() {
        for pattern in ["*", "Microsoft.Authorization/*", "*/write", "microsoft.authorization/*/WRITE", GRANTING] {
            assert!(matches(pattern, GRANTING), "{pattern}");
        }
        for pattern in ["", "*/read", "Microsoft.Authorization", "Microsoft.Storage/*", "*/write/*/write"] {
            assert!(!matches(pattern, GRANTING), "{pattern}");
        }
    }

    #[test]
    fn a_role_does_not_allow_what_it_takes_away() {
        let role = |actions: &[&str], not_actions: &[&str]| {
            let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            let (actions, not_actions) = (Some(owned(actions)), Some(owned(not_actions)));
            Permission { actions, not_actions, ..Permission::default() }
        };
        let contributor = role(&["*"], &["Microsoft.Authorization/*/Delete", "microsoft.authorization/*/write"]);
        assert!(!contributor.allows(GRANTING));
        assert!(contributor.allows("Microsoft.Storage/storageAccounts/write"));
        assert!(role(&["*"], &[]).allows(GRANTING));
        assert!(!role(&[], &[]).allows(GRANTING));
    }

    #[test]
    fn a_grant_has_the_same_name_however_it_is_spelled() {
        let one = grant(Role::Contributor);
        let other =
            RoleGrant { scope: ArmId::new(one.scope.as_str().to_uppercase()), principal: "B1D2".into(), ..one.clone() };
        assert_eq!(one.assignment_name(), other.assignment_name());
        // Held here because a change of the derivation would make second names for grants that exist.
        assert_eq!(one.assignment_name().to_string(), "07674a83-ffdd-5253-8164-2c73e7667d81");
    }

    #[test]
    fn different_grants_have_different_names() {
        let names: std::collections::HashSet<_> = Role::ALL.iter().map(|&role| grant(role).assignment_name()).collect();
        assert_eq!(names.len(), Role::ALL.len());
    }

    #[test]
    fn the_roles_of_an_account_follow_its_tier() {
        assert_eq!(Role::for_account(false), [Role::Contributor, Role::StorageBlobDataContributor]);
        assert_eq!(Role::for_account(true), [Role::Contributor, Role::StorageBlobDataOwner]);
    }

    #[test]
    fn a_request_names_the_definition_in_the_scopes_subscription() {
        let body = json!({ "properties": {
            "roleDefinitionId": "/subscriptions/S/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c",
            "principalId": "b1d2", "principalType": "ServicePrincipal",
        }});
        assert_eq!(serde_json::to_value(grant(Role::Contributor).body().unwrap()).unwrap(), body);
        assert_eq!(RoleGrant { scope: ArmId::new("/"), ..grant(Role::Contributor) }.body(), None);
    }

    #[test]
    fn a_grant_is_given_at_its_scope_and_around_it() {
        let wanted = grant(Role::Contributor);
        let given = |scope: &str, condition: &str| {
            let properties = RoleAssignmentProperties {
                scope: Some(ArmId::new(scope)),
                role_definition_id: Some(Role::Contributor.definition_id("s")),
                principal_id: Some("B1D2".to_owned()),
                condition: Some(condition.to_owned()),
                ..Default::default()
            };
            RoleAssignment::new(properties)
        };
        assert!(wanted.is_given_by(&given(wanted.scope.as_str(), "")));
        assert!(wanted.is_given_by(&given("/subscriptions/s", "")));
        assert!(!wanted.is_given_by(&given("/subscriptions/s/resourceGroups/other", "")));
        assert!(!wanted.is_given_by(&given("/subscriptions/s", "@Resource[x] StringEquals 'y'")));
        assert!(!grant(Role::StorageBlobDataOwner).is_given_by(&given("/subscriptions/s", "")));
        assert!(!wanted.is_given_by(&RoleAssignment::default()));
    }

    #[test]
    fn an_assignment_that_is_read_and_written_is_the_same() {
        let body = json!({ "name": "n", "properties": {
            "scope": "/subscriptions/s", "roleDefinitionId": "/x", "principalId": "p", "principalType": "Robot",
            "createdOn": "2026-11-25T08:00:00.1234567Z", "updatedBy": "u",
        }});
        let assignment: RoleAssignment = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(assignment).unwrap(), body);
    }

    proptest! {
        #[test]
        fn parts_are_not_mistaken_for_each_other(scope in "/[a-z]{1,8}", principal in "[a-z0-9]{1,8}") {
            let at = |scope: &str, principal: &str| {
                RoleGrant { scope: ArmId::new(scope), principal: principal.to_owned(), role: Role::Contributor }
            };
            prop_assert_ne!(
                at(&scope, &format!("a{principal}")).assignment_name(),
                at(&format!("{scope}a"), &principal).assignment_name()
            );
        }
    }
}
