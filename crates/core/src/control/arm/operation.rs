//! One operation of Azure Resource Manager, as a row of a table.

use azure_core::http::Method;

use super::request::Request;
use crate::control::ArmId;

/// One operation: what is sent where, in which version of which contract, and how its end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The operation's id in the specification: `Vaults_Get`. Unique here.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// Whose id it is asked with.
    pub of: Target,
    /// The rest of the path below that id, without a slash at either end; empty for the resource itself.
    pub below: &'static str,
    /// The version of the contract.
    pub api_version: &'static str,
    /// The statuses that the contract has for success.
    pub success: &'static [u16],
    /// Whether it may go on after its answer, and what its result is then.
    pub long_running: LongRunning,
    /// Whether the answer is a list, which may come in pages.
    pub paged: bool,
    /// Whether it takes `If-Match` and `If-None-Match`.
    pub conditional: bool,
}

/// Whose id an operation is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A resource of this type: `Microsoft.Storage/storageAccounts`.
    Resource(&'static str),
    /// A resource group.
    Group,
    /// A subscription.
    Subscription,
    /// Whatever has an id.
    Scope,
}

/// How the end of an operation is known, and what its result is.
///
/// Source: "Track asynchronous Azure operations" (Microsoft Learn), and the order in which Microsoft's own client
/// for Python asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongRunning {
    /// It is done when it is answered.
    No,
    /// Its status is asked for until it ends; the result is the resource, which is read then.
    ThenResource,
    /// Its status is asked for until it ends; the result is at the `Location` of its answer, if there was one.
    ThenLocation,
    /// Its status is asked for until it ends; there is no result.
    StatusOnly,
}

impl Operation {
    /// The row of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        super::operations::ALL.iter().find(|operation| operation.name == name).copied()
    }

    /// This operation, asked of `id`.
    pub fn on(&'static self, id: &ArmId) -> Request {
        Request::new(self, id.clone())
    }

    /// Whether asking twice is the same as asking once, so that a request whose answer was lost may be sent again.
    pub const fn is_repeatable(&self) -> bool {
        !matches!(self.method, Method::Post)
    }

    pub(super) const fn below(self, below: &'static str) -> Self {
        Self { below, ..self }
    }

    pub(super) const fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }

    pub(super) const fn long_running(self) -> Self {
        let long_running = match self.method {
            Method::Post => LongRunning::ThenLocation,
            Method::Delete => LongRunning::StatusOnly,
            _ => LongRunning::ThenResource,
        };
        Self { long_running, ..self }
    }
}

impl Target {
    /// Whether `id` is of this kind.
    pub fn fits(self, id: &ArmId) -> bool {
        match self {
            Self::Resource(kind) => id.is_of(kind),
            Self::Group => {
                id.resource_type().is_none()
                    && id.parent().is_some_and(|subscription| Self::Subscription.fits(&subscription))
                    && id.resource_group() == Some(id.name())
            }
            Self::Subscription => {
                id.resource_type().is_none() && id.parent().is_none() && id.subscription() == Some(id.name())
            }
            Self::Scope => true,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resource(kind) => f.write_str(kind),
            Self::Group => f.write_str("a resource group"),
            Self::Subscription => f.write_str("a subscription"),
            Self::Scope => f.write_str("any resource"),
        }
    }
}

const fn operation(
    method: Method,
    name: &'static str,
    of: Target,
    api_version: &'static str,
    success: &'static [u16],
) -> Operation {
    Operation {
        name,
        method,
        of,
        below: "",
        api_version,
        success,
        long_running: LongRunning::No,
        paged: false,
        conditional: false,
    }
}

pub(super) const fn get(name: &'static str, of: Target, api_version: &'static str) -> Operation {
    operation(Method::Get, name, of, api_version, &[200])
}

pub(super) const fn list(name: &'static str, of: Target, below: &'static str, api_version: &'static str) -> Operation {
    Operation { paged: true, ..get(name, of, api_version).below(below) }
}

pub(super) const fn put(
    name: &'static str,
    of: Target,
    api_version: &'static str,
    success: &'static [u16],
) -> Operation {
    operation(Method::Put, name, of, api_version, success)
}

pub(super) const fn patch(
    name: &'static str,
    of: Target,
    api_version: &'static str,
    success: &'static [u16],
) -> Operation {
    operation(Method::Patch, name, of, api_version, success)
}

pub(super) const fn delete(
    name: &'static str,
    of: Target,
    api_version: &'static str,
    success: &'static [u16],
) -> Operation {
    operation(Method::Delete, name, of, api_version, success)
}

pub(super) const fn post(
    name: &'static str,
    of: Target,
    action: &'static str,
    api_version: &'static str,
    success: &'static [u16],
) -> Operation {
    operation(Method::Post, name, of, api_version, success).below(action)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::operations::{self, ALL};
    use super::*;
    use crate::control::lifecycle::wire::CALLS;

    #[test]
    fn every_name_stands_once_and_finds_its_row() {
        let names: BTreeSet<_> = ALL.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|operation| Operation::named(operation.name) == Some(*operation)));
        assert_eq!(Operation::named("Vaults_Forget"), None);
    }

    #[test]
    fn no_two_rows_send_the_same_request() {
        let sent: BTreeSet<_> =
            ALL.iter().map(|row| (row.method.as_str(), row.of.to_string().to_lowercase(), row.below)).collect();
        assert_eq!(sent.len(), ALL.len());
    }

    #[test]
    fn every_verb_of_the_lifecycle_is_an_operation_with_its_method_and_action() {
        for call in CALLS {
            let operation = Operation::named(call.operation).unwrap_or_else(|| panic!("{}", call.operation));
            assert_eq!((operation.method.as_str(), operation.below), (call.method.as_str(), call.action));
            assert!(operation.of.to_string().ends_with(call.scenario.resource()), "{operation:?}");
            assert_ne!(operation.long_running, LongRunning::No, "{operation:?}");
        }
    }

    #[test]
    fn a_list_is_read_and_only_what_may_go_on_answers_202() {
        for row in ALL {
            assert!(!row.paged || (row.method == Method::Get && !row.below.is_empty()), "{row:?}");
            assert!(row.success.iter().all(|status| (200..300).contains(status)), "{row:?}");
            assert!(!row.success.contains(&202) || row.long_running != LongRunning::No, "{row:?}");
        }
    }

    #[test]
    fn an_operation_is_asked_of_its_own_kind_of_id_only() {
        let subscription = ArmId::of_subscription("s");
        let group = subscription.group("g");
        let account = group.resource("microsoft.storage", "StorageAccounts", "a");
        let fits = |target: Target| [&subscription, &group, &account].map(|id| target.fits(id));
        assert_eq!(fits(Target::Subscription), [true, false, false]);
        assert_eq!(fits(Target::Group), [false, true, false]);
        assert_eq!(fits(operations::STORAGE_ACCOUNTS_GET.of), [false, false, true]);
        assert_eq!(fits(Target::Scope), [true, true, true]);
        assert!(!Target::Group.fits(&ArmId::new("/subscriptions/s/locations/g")));
    }
}
