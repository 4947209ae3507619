//! The plan as a template, and as lines of a hosts file.

use serde_json::{Value, json};

use super::{Goal, bare, of};
use crate::control::Scenario;
use crate::control::plan::hosts_lines;
use crate::control::sample;

/// The resources of the template, those of nested deployments too.
fn resources(template: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for resource in template["resources"].as_array().unwrap() {
        match resource["properties"]["template"]["resources"].as_array() {
            Some(nested) => found.extend(nested.iter().cloned()),
            None => found.push(resource.clone()),
        }
    }
    found
}

#[test]
fn a_template_makes_what_the_plan_makes_and_names_what_it_cannot() {
    for &scenario in Scenario::ALL {
        let (wanted, seen) = (sample::settings(scenario), bare(scenario));
        let plan = of(&wanted, Goal::Replicating, &seen);
        let template = plan.to_template(&wanted, &seen);
        let left = template["metadata"]["libmigrate"]["notInTemplate"].as_array().unwrap();
        assert_eq!(resources(&template).len() + left.len(), plan.steps.len());
        assert!(left.iter().all(|step| step.as_str().unwrap().starts_with("enable:")), "{left:?}");
        assert_eq!(template["metadata"]["libmigrate"]["plan"], plan.digest());
    }
}

#[test]
fn each_resource_has_as_many_names_as_its_type_has_parts() {
    let (wanted, seen) = (sample::settings(Scenario::HyperV), bare(Scenario::HyperV));
    let template = of(&wanted, Goal::Prepared, &seen).to_template(&wanted, &seen);
    for resource in resources(&template) {
        let (kind, name) = (resource["type"].as_str().unwrap(), resource["name"].as_str().unwrap());
        if !name.starts_with('[') {
            assert_eq!(kind.split('/').count() - 1, name.split('/').count(), "{kind} {name}");
        }
        assert!(resource["apiVersion"].as_str().is_some_and(|version| version.len() >= 10), "{kind}");
    }
}

#[test]
fn resources_come_after_those_that_they_need() {
    let (wanted, seen) = (sample::settings(Scenario::VmwareAgentless), bare(Scenario::VmwareAgentless));
    let template = of(&wanted, Goal::Prepared, &seen).to_template(&wanted, &seen);
    let found = resources(&template);
    let group =
        found.iter().find(|one| one["type"] == "Microsoft.Network/privateEndpoints/privateDnsZoneGroups").unwrap();
    let after: Vec<&str> = group["dependsOn"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(after.contains(&"[resourceId('Microsoft.Network/privateEndpoints', 'cache01-blob')]"), "{after:?}");
    assert!(
        after.iter().any(|one| one.starts_with("[resourceId('Microsoft.Network/privateDnsZones/virtualNetworkLinks'"))
    );
}

#[test]
fn a_role_is_granted_to_the_identity_that_the_template_itself_makes() {
    let (wanted, seen) = (sample::settings(Scenario::AgentBased), bare(Scenario::AgentBased));
    let template = of(&wanted, Goal::Prepared, &seen).to_template(&wanted, &seen);
    let found = resources(&template);
    let grant = found.iter().find(|one| one["type"] == "Microsoft.Authorization/roleAssignments").unwrap();
    let principal = grant["properties"]["principalId"].as_str().unwrap();
    assert!(principal.starts_with("[reference('/subscriptions/5f/") && principal.ends_with(".identity.principalId]"));
    assert!(grant["name"].as_str().unwrap().starts_with("[guid("));
    assert_eq!(grant["scope"], json!(wanted.replication_account));
}

#[test]
fn hosts_lines_are_the_names_and_addresses_of_the_private_endpoints() {
    let lines = |scenario| hosts_lines(&sample::observed(scenario), scenario);
    assert_eq!(lines(Scenario::VmwareAgentless), "10.1.0.4 cache01.blob.core.windows.net\n");
    let hyper_v = lines(Scenario::HyperV);
    assert_eq!(hyper_v.lines().count(), 6);
    assert!(
        hyper_v.contains("10.1.0.12 7548582474929277163-asr-pod01-rcm1.we.privatelink.siterecovery.windowsazure.com\n")
    );
}

#[test]
fn no_name_of_azures_adds_a_line_of_its_own() {
    let mut seen = sample::observed(Scenario::VmwareAgentless);
    let account = sample::account_id();
    seen.endpoints.push(sample::endpoint(
        "bad",
        &account,
        "blob",
        &[("x.example\n10.0.0.1 bank.example", [10, 1, 0, 9].into())],
    ));
    assert!(!hosts_lines(&seen, Scenario::VmwareAgentless).contains("bank"));
}

#[test]
fn texts_of_a_request_are_no_expressions_of_the_template() {
    let scenario = Scenario::VmwareAgentless;
    let mut wanted = sample::settings(scenario);
    wanted.region = "[reference('secret')]".into();
    let template = of(&wanted, Goal::Prepared, &bare(scenario)).to_template(&wanted, &bare(scenario));
    let vault =
        resources(&template).into_iter().find(|one| one["type"] == "Microsoft.RecoveryServices/vaults").unwrap();
    assert_eq!(vault["location"], "[[reference('secret')]");
}

#[test]
fn a_grant_to_an_identity_that_no_template_can_give_is_named_and_left_out() {
    let scenario = Scenario::AgentBased;
    let (wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    seen.grants.clear();
    seen.vault.as_mut().unwrap().identity = None;
    let template = of(&wanted, Goal::Prepared, &seen).to_template(&wanted, &seen);
    assert_eq!(resources(&template), Vec::<Value>::new());
    let left = template["metadata"]["libmigrate"]["notInTemplate"].as_array().unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
}
