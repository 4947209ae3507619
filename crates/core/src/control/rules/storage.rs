//! The storage accounts that replication data goes to.

use super::case::{ALL, Case, HYPER_V, VMWARE};
use super::rule::{Found, rules};
use crate::control::model::{PublicNetworkAccess, StorageAccountKind};
use crate::control::observed::same_region;
use crate::finding::documents::{ARTICLE, SITE_RECOVERY};

rules! {
    MISSING: "storage.missing", Error, ALL, ARTICLE,
        "The storage account exists: over Private Link, Azure Migrate creates none.",
        "create a general-purpose v2 account in the target region and the project's subscription",
        missing;
    KIND: "storage.kind", Error, ALL, ARTICLE,
        "The account is a general-purpose v2 account: only such accounts have private endpoints.",
        "upgrade the account to general-purpose v2, or choose another one",
        kind;
    REGION: "storage.region", Error, ALL, ARTICLE,
        "The account is in the target region.",
        "choose an account in the target region",
        region;
    SUBSCRIPTION: "storage.subscription", Error, ALL, ARTICLE,
        "The account is in the subscription of the project.",
        "choose an account in the subscription of the project",
        subscription;
    TRUSTED_SERVICES: "storage.trusted_services", Error, ALL, ARTICLE, mended,
        "An account whose network access is restricted lets Microsoft's trusted services in.",
        "under Networking, Exceptions, allow trusted Microsoft services to access the account",
        trusted_services;
    NO_PUBLIC_ENDPOINT: "storage.no_public_endpoint", Error, VMWARE, ARTICLE,
        "The cache account is reachable on its public endpoint: Azure Migrate moves data from there to the managed disks.",
        "set public network access of the account to selected networks, with trusted services allowed; the appliance uses the private endpoint all the same",
        no_public_endpoint;
    PREMIUM_NEEDS_CACHE: "storage.premium_needs_cache", Error, HYPER_V, ARTICLE,
        "A premium replication account has a second, standard account beside it as cache.",
        "name a standard account as cache account, or choose a standard replication account",
        premium_needs_cache;
    CACHE_PREMIUM: "storage.cache_premium", Error, HYPER_V, ARTICLE,
        "The cache account is a standard account.",
        "choose a standard account as cache account",
        cache_premium;
    NOT_READY: "storage.not_ready", Warning, ALL, SITE_RECOVERY,
        "The account has been made completely.",
        "wait until the account is ready; delete and create it again if it does not become so",
        not_ready;
}

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    for id in case.wanted.accounts().filter(|id| case.account(id).is_none()) {
        found.broken(id, "there is no such storage account");
    }
}

fn kind(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account) in case.accounts() {
        if let Some(kind) = account.account_kind().filter(|kind| *kind != StorageAccountKind::StorageV2) {
            found.differs(id, "the account is of a kind that has no private endpoints", kind, "StorageV2");
        }
    }
}

fn region(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account) in case.accounts() {
        if let Some(location) = &account.location
            && !same_region(location, &case.wanted.region)
        {
            found.differs(id, "the account is in another region", location, &case.wanted.region);
        }
    }
}

fn subscription(case: &Case<'_>, found: &mut Found<'_>) {
    let wanted = case.wanted.project.subscription().unwrap_or_default();
    for id in case.wanted.accounts() {
        let subscription = id.subscription().unwrap_or_default();
        if !subscription.eq_ignore_ascii_case(wanted) {
            found.differs(id, "the account is in another subscription than the project", subscription, wanted);
        }
    }
}

fn trusted_services(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account) in case.accounts() {
        if account.restricts_network() && !account.trusts_azure_services() {
            found.broken(id, "network access is restricted, and trusted Microsoft services are not let in");
        }
    }
}

fn no_public_endpoint(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account) in case.accounts() {
        if account.properties.public_network_access == Some(PublicNetworkAccess::Disabled) {
            found.broken(id, "the public endpoint of the cache account is turned off");
        }
    }
}

fn premium_needs_cache(case: &Case<'_>, found: &mut Found<'_>) {
    let replication = &case.wanted.replication_account;
    let is_premium = case.account(replication).is_some_and(crate::control::model::StorageAccount::is_premium);
    if is_premium && case.wanted.cache_account.is_none() {
        found.broken(replication, "the replication account is a premium one, and no cache account is named");
    }
}

fn cache_premium(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(id) = &case.wanted.cache_account else { return };
    if case.account(id).is_some_and(crate::control::model::StorageAccount::is_premium) {
        found.broken(id, "the cache account is a premium one");
    }
}

fn not_ready(case: &Case<'_>, found: &mut Found<'_>) {
    for (id, account) in case.accounts() {
        let state = account.properties.provisioning_state.as_deref().unwrap_or("Succeeded");
        if !state.eq_ignore_ascii_case("Succeeded") {
            found.differs(id, "the account is not ready", state, "Succeeded");
        }
    }
}
