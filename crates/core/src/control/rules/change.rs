//! What was settled before and cannot be settled anew.

use super::case::{ALL, Case, REGISTERED, VMWARE};
use super::rule::{Found, rules};
use crate::control::model::{ContainerMapping, VmwareCbtMapping};
use crate::control::observed::same_region;
use crate::control::plan::policy_of;
use crate::control::settings::{Changeable, ServerSettings, changeable};
use crate::control::{Difference, differences};
use crate::finding::documents::{ARTICLE, AZ_MIGRATE};

rules! {
    REGION: "change.region", Error, VMWARE, AZ_MIGRATE,
        "The target region stays what it was when the first server was replicated.",
        "choose the region that the project replicates to, or begin with a new project",
        region;
    ACCOUNT: "change.account", Error, VMWARE, ARTICLE,
        "The storage account cannot be changed after replication is enabled.",
        "choose the account that the site replicates to; another one takes another project",
        account;
    AFTER_START: "change.after_start", Error, ALL, ARTICLE,
        "Settings that are fixed when replication starts stay as they are.",
        "leave the setting as it is, or stop the replication of the server and enable it anew: that sends everything again",
        after_start;
    LATE: "change.late", Warning, REGISTERED, ARTICLE, mended,
        "Settings of Hyper-V machines and servers with agents are changed before replication starts: the article knows no later change, though the service's contract has one, which a plan asks for.",
        "look in the portal whether the change is there after the plan has asked for it; where the service refuses it, stop the replication of the server and enable it anew: that sends everything again",
        late;
    POLICY: "change.policy", Error, ALL, AZ_MIGRATE,
        "The container is mapped by the policy that its servers are enabled with.",
        "look at the container's mapping in the vault; where no server replicates by it, remove it, and a plan maps the container anew",
        policy;
}

/// Where a mapping leads; only those of `VMware` say so.
fn vmware(mapping: &ContainerMapping) -> Option<&VmwareCbtMapping> {
    mapping.properties.provider_specific_details.as_ref()?.vmware()
}

fn region(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(told) = case.seen.mapping.as_ref().and_then(|mapping| vmware(mapping)?.target_location.as_deref()) else {
        return;
    };
    if !same_region(told, &case.wanted.region) {
        found.differs(&case.wanted.container, "the site replicates to another region", told, &case.wanted.region);
    }
}

fn account(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(told) = case.seen.mapping.as_ref().and_then(|mapping| vmware(mapping)?.storage_account_id.as_ref()) else {
        return;
    };
    if *told != case.wanted.replication_account {
        let wanted = &case.wanted.replication_account;
        found.differs(&case.wanted.container, "the site replicates to another storage account", told, wanted);
    }
}

/// The settings of servers that replicate that are not what is wanted, and could be changed until then.
fn changes(case: Case<'_>, until: Changeable) -> impl Iterator<Item = (&ServerSettings, Difference)> {
    case.wanted.servers.iter().flat_map(move |server| {
        let item = case.item(server);
        let changes = item.map(|item| differences(case.wanted, server, item)).unwrap_or_default();
        let scenario = case.wanted.scenario;
        let of_those = changes.into_iter().filter(move |one| changeable(one.setting, scenario).until == until);
        of_those.map(move |one| (server, one))
    })
}

fn after_start(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, Difference { setting, is, should }) in changes(*case, Changeable::BeforeStart) {
        found.differs(&server.name, format_args!("{setting} is fixed since replication started"), is, should);
    }
}

fn late(case: &Case<'_>, found: &mut Found<'_>) {
    for (server, Difference { setting, is, should }) in changes(*case, Changeable::UntilCutover) {
        found.differs(&server.name, format_args!("{setting} is changed after replication started"), is, should);
    }
}

fn policy(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(told) = case.seen.mapping.as_ref().and_then(|mapping| mapping.properties.policy_id.as_ref()) else {
        return;
    };
    let wanted = policy_of(case.wanted);
    if *told != wanted {
        found.differs(&case.wanted.container, "the container is mapped by another policy", told, wanted);
    }
}
