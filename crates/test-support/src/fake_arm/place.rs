//! What a path points at: a resource, a collection of them, or an action on one.
//!
//! Resource ids are pairs of type and name behind a namespace; a path with one segment more is a collection when
//! it is read and an action when it is posted to. Ids are compared without case.
//!
//! Source: Microsoft Learn, "Understand the structure of Azure resource IDs".

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The resource, as it was spelled; without the collection or action.
    pub(crate) id: String,
    /// What stands before the last `/providers/`; the whole id where there is none.
    pub(crate) scope: String,
    /// The namespace and the types, in lower case: `microsoft.network/privateendpoints`.
    pub(crate) kind: String,
    /// The collection or action, as it was spelled.
    pub(crate) rest: Option<String>,
}

impl Place {
    pub(crate) fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let joined = |segments: &[&str]| format!("/{}", segments.join("/"));
        let providers = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
        let (kind_start, namespace) = match providers {
            Some(at) => ((at + 2).min(segments.len()), segments.get(at + 1).copied()),
            None => (0, None),
        };
        let tail = &segments[kind_start..];
        let pairs = tail.len() / 2 * 2;
        let types = tail[..pairs].iter().step_by(2).copied();
        let kind: Vec<&str> = match namespace {
            Some(namespace) => std::iter::once(namespace).chain(types).collect(),
            None => types.last().into_iter().collect(),
        };
        let id = joined(&segments[..kind_start + pairs]);
        Self {
            scope: providers.map_or_else(|| id.clone(), |at| joined(&segments[..at])),
            id,
            kind: kind.join("/").to_ascii_lowercase(),
            rest: tail.get(pairs).map(|rest| (*rest).to_owned()),
        }
    }

    /// The last name.
    pub(crate) fn name(&self) -> &str {
        name_of(&self.id)
    }

    /// The resource that this one is a part of: its parent, or for one without, its scope.
    pub(crate) fn parent(&self) -> String {
        let depth = self.kind.matches('/').count();
        if depth <= 1 { self.scope.clone() } else { parent_of(&self.id) }
    }
}

/// An id in the form that it is compared in.
pub(crate) fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}

/// The last segment of an id.
pub(crate) fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

/// The id without its last type and name.
pub(crate) fn parent_of(id: &str) -> String {
    let mut pieces = id.rsplitn(3, '/');
    pieces.nth(2).unwrap_or_default().to_owned()
}

/// The namespace and types as the id spells them: `Microsoft.Network/privateEndpoints`.
pub(crate) fn type_of(id: &str) -> String {
    let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers")) {
        Some(at) => {
            let types = segments[at + 1..].iter().enumerate().filter(|(index, _)| *index == 0 || index % 2 == 1);
            types.map(|(_, segment)| *segment).collect::<Vec<_>>().join("/")
        }
        None => "Microsoft.Resources/resourceGroups".into(),
    }
}

/// What stands behind the segment `kind` in an id.
pub(crate) fn segment<'id>(id: &'id str, kind: &str) -> Option<&'id str> {
    let mut segments = id.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(kind))?;
    segments.next()
}

/// The id up to and with the name behind the segment `kind`.
pub(crate) fn up_to<'id>(id: &'id str, kind: &str) -> Option<&'id str> {
    let name = segment(id, kind)?;
    let end = name.as_ptr() as usize - id.as_ptr() as usize + name.len();
    Some(&id[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/g";

    #[test]
    fn a_resource_a_collection_and_an_action_are_told_apart() {
        let endpoint = Place::of(&format!("{GROUP}/providers/Microsoft.Network/privateEndpoints/pe"));
        assert_eq!(endpoint.kind, "microsoft.network/privateendpoints");
        assert_eq!((endpoint.name(), endpoint.rest.as_deref()), ("pe", None));
        assert_eq!(endpoint.parent(), GROUP);

        let list = Place::of(&format!("{GROUP}/providers/Microsoft.Network/privateEndpoints"));
        assert_eq!((list.kind.as_str(), list.rest.as_deref()), ("microsoft.network", Some("privateEndpoints")));
        assert_eq!(list.scope, GROUP);

        let action = Place::of(&format!("{GROUP}/providers/Microsoft.Compute/disks/d/beginGetAccess"));
        assert_eq!((action.kind.as_str(), action.rest.as_deref()), ("microsoft.compute/disks", Some("beginGetAccess")));
    }

    #[test]
    fn a_part_belongs_to_its_parent_and_an_extension_to_its_scope() {
        let zone = format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/z");
        assert_eq!(Place::of(&format!("{zone}/A/web")).parent(), zone);
        let grant = Place::of(&format!("{zone}/providers/Microsoft.Authorization/roleAssignments/r"));
        assert_eq!((grant.parent(), grant.kind.as_str()), (zone, "microsoft.authorization/roleassignments"));
        let group = Place::of(GROUP);
        assert_eq!((group.kind.as_str(), group.name()), ("resourcegroups", "g"));
    }

    #[test]
    fn pieces_of_ids_are_found_without_regard_to_case() {
        let disk = format!("{GROUP}/providers/Microsoft.Compute/disks/d");
        assert_eq!(segment(&disk, "RESOURCEGROUPS"), Some("g"));
        assert_eq!(up_to(&disk, "resourcegroups"), Some(GROUP));
        assert_eq!(type_of(&disk), "Microsoft.Compute/disks");
        assert_eq!(parent_of(&disk), format!("{GROUP}/providers/Microsoft.Compute"));
    }
}
