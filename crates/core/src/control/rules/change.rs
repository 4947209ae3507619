//! What was settled before and cannot be settled anew.

use super::case::{ALL, Case, VMWARE};
use super::rule::{Found, rules};
use crate::control::differences;
use crate::control::model::{ContainerMapping, VmwareCbtMapping};
use crate::control::observed::same_region;
use crate::control::settings::{Changeable, changeable};
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

fn after_start(case: &Case<'_>, found: &mut Found<'_>) {
    for server in &case.wanted.servers {
        let Some(item) = case.item(server) else { continue };
        for difference in differences(case.wanted, server, item) {
            let change = changeable(difference.setting, case.wanted.scenario);
            if change.until == Changeable::BeforeStart {
                let message = format_args!("{} is fixed since replication started", difference.setting);
                found.differs(&server.name, message, difference.is, difference.should);
            }
        }
    }
}
