//! Roles: what the vault's identity may do with the accounts.

use super::case::{Case, REGISTERED};
use super::rule::{Found, rules};
use crate::control::ArmId;
use crate::control::model::{Role, RoleGrant, StorageAccount};
use crate::finding::documents::{ARTICLE, HOW_TO};

rules! {
    MISSING: "role.missing", Error, REGISTERED, ARTICLE, mended,
        "The identity of the vault has Contributor on each account, and Storage Blob Data Contributor or, on premium accounts, Storage Blob Data Owner.",
        "grant the role to the vault's identity on the account; that takes effect within minutes",
        missing;
    WRONG_TIER: "role.wrong_tier", Error, REGISTERED, ARTICLE, mended,
        "On a premium account, Storage Blob Data Contributor is not enough: it takes Storage Blob Data Owner.",
        "grant Storage Blob Data Owner to the vault's identity on the premium account",
        wrong_tier;
    CALLER: "role.caller", Warning, REGISTERED, HOW_TO,
        "Who grants roles is Owner or User Access Administrator.",
        "have an Owner or User Access Administrator make the grants: a plan stops there and says which",
        caller;
}

/// What the vault's identity must have, account by account.
fn wanted(case: Case<'_>) -> impl Iterator<Item = (&ArmId, &StorageAccount, RoleGrant)> {
    let principal = case.seen.vault.as_ref().and_then(|vault| vault.principal_id());
    principal.into_iter().flat_map(move |principal| {
        let accounts = case.accounts();
        accounts.flat_map(move |(id, account)| {
            Role::for_account(account.is_premium())
                .into_iter()
                .map(move |role| (id, account, RoleGrant { scope: id.clone(), principal: principal.to_owned(), role }))
        })
    })
}

fn is_given(case: &Case<'_>, grant: &RoleGrant) -> bool {
    case.seen.grants.iter().any(|assignment| grant.is_given_by(assignment))
}

/// Whether somebody has confused the tiers: the account is premium, and has the role of standard ones.
fn has_other_tier(case: &Case<'_>, account: &StorageAccount, grant: &RoleGrant) -> bool {
    let other = RoleGrant { role: Role::StorageBlobDataContributor, ..grant.clone() };
    account.is_premium() && grant.role == Role::StorageBlobDataOwner && is_given(case, &other)
}

/// Whether something else that is granted includes it.
fn is_included(case: &Case<'_>, grant: &RoleGrant) -> bool {
    let owner = RoleGrant { role: Role::StorageBlobDataOwner, ..grant.clone() };
    grant.role == Role::StorageBlobDataContributor && is_given(case, &owner)
}

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account, grant) in wanted(*case) {
        if !is_given(case, &grant) && !is_included(case, &grant) && !has_other_tier(case, account, &grant) {
            found
                .broken(id, format_args!("the vault's identity {} does not have {} here", grant.principal, grant.role));
        }
    }
}

fn wrong_tier(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account, grant) in wanted(*case) {
        if !is_given(case, &grant) && has_other_tier(case, account, &grant) {
            let message = "the account is a premium one, and the vault's identity has the role of standard ones";
            found.differs(id, message, Role::StorageBlobDataContributor, grant.role);
        }
    }
}

/// The action that granting a role is.
pub(super) const GRANTING: &str = "Microsoft.Authorization/roleAssignments/write";

fn caller(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(roles) = &case.seen.caller_roles else { return };
    if !roles.iter().any(|role| role.allows(GRANTING)) {
        found.broken(&case.wanted.replication_account, format_args!("the caller may not do {GRANTING}"));
    }
}
