//! Ids of Azure Resource Manager.
//!
//! An id is a path: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}/…`. The service
//! compares ids without case and is not true to its own spelling (`/Subscriptions/`, `resourcegroups`), so two
//! spellings of one resource must never count as two. An id from the service is kept as it was spelled, whatever
//! it is; one that a request is built from must be well formed, which [`ArmId::path`] says.
//!
//! Source: Microsoft Learn, "Understand the structure of Azure resource IDs", and the paths of the service's
//! published contracts (`OpenAPI`).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The id of a resource, a resource group or a subscription. Equal, ordered and hashed without regard to case
/// (of ASCII letters; others are not in ids).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArmId(String);

/// Why a text is no id that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no resource id: {why}. Give it as /subscriptions/…/resourceGroups/…/providers/…")]
pub struct ArmIdError {
    /// The text, cut after 200 characters.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl ArmId {
    /// Keeps `text` as it is. Never fails: what the service says is kept, also when it is nothing that can be
    /// asked for.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id in `text`, if it is one that can be asked for.
    ///
    /// # Errors
    ///
    /// When the text is not made of pairs of segments, or a segment could change the path or its query.
    pub fn parse(text: &str) -> Result<Self, ArmIdError> {
        let id = Self(text.to_owned());
        id.path()?;
        Ok(id)
    }

    /// `/subscriptions/{subscription}`
    pub fn of_subscription(subscription: &str) -> Self {
        Self(format!("/subscriptions/{subscription}"))
    }

    /// The resource group `name` in this subscription.
    #[must_use]
    pub fn group(&self, name: &str) -> Self {
        Self(format!("{self}/resourceGroups/{name}"))
    }

    /// The resource of that type and name, below this group, or as an extension of this resource.
    #[must_use]
    pub fn resource(&self, namespace: &str, kind: &str, name: &str) -> Self {
        Self(format!("{self}/providers/{namespace}/{kind}/{name}"))
    }

    /// The part of this resource of that type and name.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        Self(format!("{self}/{kind}/{name}"))
    }

    /// As it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path to ask for, as it was spelled.
    ///
    /// # Errors
    ///
    /// See [`ArmId::parse`].
    pub fn path(&self) -> Result<&str, ArmIdError> {
        let bad = |why| Err(ArmIdError { text: self.0.chars().take(200).collect(), why });
        let Some(rest) = self.0.strip_prefix('/') else {
            return bad("it does not begin with a slash");
        };
        if self.0.len() > 2048 {
            return bad("it is longer than 2048 bytes");
        }
        for segment in rest.split('/') {
            if segment.trim().is_empty() || segment == "." || segment == ".." {
                return bad("a segment is empty or dots");
            }
            if segment.contains(['?', '#', '%', '\\', '<', '>', '"']) || segment.contains(|c: char| c.is_control()) {
                return bad("a segment has a character that names cannot have");
            }
        }
        if rest.split('/').count() % 2 == 1 {
            return bad("the last type has no name");
        }
        if !rest
            .split('/')
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case("subscriptions") || first.eq_ignore_ascii_case("providers"))
        {
            return bad("it begins with neither subscriptions nor providers");
        }
        Ok(&self.0)
    }

    fn pairs(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        let segments: Vec<&str> = self.0.trim_start_matches('/').split('/').collect();
        let pairs: Vec<(&str, &str)> = segments.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.into_iter()
    }

    /// What stands behind the last segment `kind`: `segment("replicationFabrics")`.
    pub fn segment(&self, kind: &str) -> Option<&str> {
        self.pairs().rfind(|(of, _)| of.eq_ignore_ascii_case(kind)).map(|(_, name)| name)
    }

    /// The subscription's id.
    pub fn subscription(&self) -> Option<&str> {
        self.segment("subscriptions")
    }

    /// The resource group's name.
    pub fn resource_group(&self) -> Option<&str> {
        self.segment("resourceGroups")
    }

    /// The resource group, as an id.
    pub fn group_id(&self) -> Option<Self> {
        Some(Self::of_subscription(self.subscription()?).group(self.resource_group()?))
    }

    /// The last segment; empty if there is none.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The type of the resource, `Microsoft.Storage/storageAccounts`, with all types of its parents in the same
    /// namespace; `None` for what has no namespace.
    pub fn resource_type(&self) -> Option<String> {
        let pairs: Vec<_> = self.pairs().collect();
        let at = pairs.iter().rposition(|(of, _)| of.eq_ignore_ascii_case("providers"))?;
        let kinds = pairs[at + 1..].iter().map(|(kind, _)| *kind);
        Some(std::iter::once(pairs[at].1).chain(kinds).collect::<Vec<_>>().join("/"))
    }

    /// Whether this is of that type, without regard to case: `Microsoft.Storage/storageAccounts`.
    pub fn is_of(&self, resource_type: &str) -> bool {
        self.resource_type().is_some_and(|own| own.eq_ignore_ascii_case(resource_type))
    }

    /// The resource that this one is a part of, or the scope that it extends; `None` for a subscription.
    pub fn parent(&self) -> Option<Self> {
        let (rest, _) = self.0.rsplit_once('/')?;
        let (mut rest, _) = rest.rsplit_once('/')?;
        if let Some((before, namespace)) = rest.rsplit_once('/')
            && let Some((scope, keyword)) = before.rsplit_once('/')
            && keyword.eq_ignore_ascii_case("providers")
            && !namespace.is_empty()
        {
            rest = scope;
        }
        (!rest.is_empty()).then(|| Self(rest.to_owned()))
    }

    /// Whether this is `scope` or something in it.
    pub fn is_within(&self, scope: &Self) -> bool {
        let (own, scope) = (self.0.as_bytes(), scope.0.as_bytes());
        own.len() >= scope.len()
            && own[..scope.len()].eq_ignore_ascii_case(scope)
            && (own.len() == scope.len() || own[scope.len()] == b'/')
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ArmId {}

impl Hash for ArmId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}

impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ArmId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const ITEM: &str = "/Subscriptions/5f/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/\
                        replicationFabrics/f/replicationProtectionContainers/c/replicationMigrationItems/web01";

    #[test]
    fn an_id_tells_its_parts() {
        let id = ArmId::parse(ITEM).unwrap();
        assert_eq!((id.subscription(), id.resource_group(), id.name()), (Some("5f"), Some("rg"), "web01"));
        assert_eq!(id.segment("REPLICATIONFABRICS"), Some("f"));
        assert_eq!(id.segment("disks"), None);
        assert!(id.is_of(
            "microsoft.recoveryservices/vaults/replicationFabrics/replicationProtectionContainers/\
             replicationMigrationItems"
        ));
        assert_eq!(id.group_id(), Some(ArmId::new("/subscriptions/5f/resourceGroups/rg")));
        assert_eq!(ArmId::of_subscription("5f").resource_type(), None);
    }

    #[test]
    fn a_parent_is_the_resource_the_group_and_the_subscription_in_turn() {
        let mut id = ArmId::new(ITEM);
        let mut names = Vec::new();
        while let Some(parent) = id.parent() {
            names.push(parent.name().to_owned());
            id = parent;
        }
        assert_eq!(names, ["c", "f", "v", "rg", "5f"]);
    }

    #[test]
    fn an_extension_belongs_to_its_scope_and_has_its_own_type() {
        let account = ArmId::of_subscription("s").group("g").resource("Microsoft.Storage", "storageAccounts", "a");
        let grant = account.resource("Microsoft.Authorization", "roleAssignments", "1");
        assert_eq!(grant.parent(), Some(account.clone()));
        assert!(grant.is_of("Microsoft.Authorization/roleAssignments"));
        assert!(grant.is_within(&account) && account.is_within(&account));
        assert!(!account.is_within(&grant));
        assert!(!ArmId::new(format!("{account}2")).is_within(&account));
    }

    #[test]
    fn what_could_change_the_path_is_refused_and_what_the_service_says_is_kept() {
        for bad in [
            "",
            "web01",
            "subscriptions/s",
            "/",
            "/subscriptions",
            "/subscriptions//x",
            "/subscriptions/../x/y",
            "/subscriptions/s/resourceGroups/g?x",
            "/subscriptions/s/resourceGroups/g#x",
            "/subscriptions/s/resourceGroups/%2e%2e",
            "/subscriptions/s/resourceGroups/g\n",
            "/subscriptions/s/resourceGroups",
            "/tenants/x",
        ] {
            assert!(ArmId::parse(bad).is_err(), "{bad:?}");
            assert_eq!(serde_json::to_value(ArmId::new(bad)).unwrap(), bad);
        }
        assert!(ArmId::parse(&format!("/subscriptions/{}", "s".repeat(3000))).unwrap_err().text.len() == 200);
    }

    proptest! {
        #[test]
        fn two_spellings_are_one_id(text in "(/[a-zA-Z0-9.]{1,9}){0,6}", upper in any::<u64>()) {
            let other: String = text
                .chars()
                .enumerate()
                .map(|(at, c)| if upper >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                .collect();
            let (one, two) = (ArmId::new(&*text), ArmId::new(&*other));
            prop_assert_eq!(&one, &two);
            prop_assert_eq!(one.cmp(&two), Ordering::Equal);
            prop_assert_eq!(HashSet::from([one, two]).len(), 1);
        }

        #[test]
        fn no_text_makes_an_id_panic(text in ".{0,60}") {
            let id = ArmId::new(text);
            let _ = (id.path().is_ok(), id.parent(), id.resource_type(), id.name().len(), id.group_id());
        }

        #[test]
        fn a_child_is_within_its_parent(name in "[a-z0-9-]{1,20}", kind in "[a-zA-Z]{1,20}") {
            let parent = ArmId::new(ITEM);
            let child = parent.child(&kind, &name);
            prop_assert!(child.is_within(&parent));
            prop_assert_eq!(child.parent(), Some(parent));
            prop_assert_eq!(child.segment(&kind), Some(&*name));
        }
    }
}
