//! Plans are pure, lead to their goal and are empty there; each step is a request with the body that is wanted.

mod export;
mod goals;
mod steps;

use std::collections::BTreeSet;

use super::{Aim, Goal, Plan, plan};
use crate::control::limits::Limits;
use crate::control::observed::Observed;
use crate::control::sample;
use crate::control::settings::MigrationSettings;
use crate::control::{ArmId, Scenario};

fn of(wanted: &MigrationSettings, goal: Goal, seen: &Observed) -> Plan {
    plan(wanted, goal.into(), seen, Limits::published())
}

/// Nothing but what Azure has by itself: a project, the accounts, the networks, a registered site.
fn bare(scenario: Scenario) -> Observed {
    let mut seen = sample::observed(scenario);
    seen.endpoints.retain(|endpoint| endpoint.name.as_deref() == Some("project"));
    seen.vault = None;
    seen.groups.truncate(1);
    seen.mapping = None;
    seen.zones.clear();
    seen.zone_links.clear();
    seen.zone_groups.clear();
    seen.records.clear();
    seen.grants.clear();
    seen
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.action.name()).collect()
}

#[test]
fn where_everything_is_there_nothing_is_to_be_done() {
    for &scenario in Scenario::ALL {
        let plan = of(&sample::settings(scenario), Goal::Prepared, &sample::observed(scenario));
        assert!(plan.is_empty(), "{scenario}: {plan:#?}");
    }
}

#[test]
fn where_nothing_is_there_a_plan_makes_all_that_a_migration_needs() {
    let plan = of(&sample::settings(Scenario::VmwareAgentless), Goal::Replicating, &bare(Scenario::VmwareAgentless));
    assert_eq!(
        names(&plan),
        [
            "create_group",
            "create_vault",
            "create_endpoint",
            "create_zone",
            "link_zone",
            "attach_zone",
            "create_policy",
            "map_container",
            "enable",
            "enable",
        ]
    );
    for scenario in [Scenario::HyperV, Scenario::AgentBased] {
        let plan = of(&sample::settings(scenario), Goal::Replicating, &bare(scenario));
        let names = names(&plan);
        let count = |name: &str| names.iter().filter(|one| **one == name).count();
        assert_eq!(
            (count("create_endpoint"), count("create_zone"), count("grant_role"), count("enable")),
            (2, 2, 2, 2)
        );
    }
}

#[test]
fn each_step_comes_after_those_that_it_needs_and_is_there_once() {
    for &scenario in Scenario::ALL {
        for &goal in Goal::ALL {
            let plan = of(&sample::settings(scenario), goal, &bare(scenario));
            let mut done = BTreeSet::new();
            for step in &plan.steps {
                assert!(step.after.iter().all(|id| done.contains(id)), "{scenario} {goal}: {step:#?}");
                assert!(done.insert(step.id.clone()), "{scenario} {goal}: {} is there twice", step.id);
            }
        }
    }
}

#[test]
fn the_same_settings_and_observation_give_the_same_plan_and_digest() {
    let (wanted, seen) = (sample::settings(Scenario::HyperV), bare(Scenario::HyperV));
    let (one, two) = (of(&wanted, Goal::Migrated, &seen), of(&wanted, Goal::Migrated, &seen));
    assert_eq!((&one, one.digest()), (&two, two.digest()));
    assert_ne!(one.digest(), of(&wanted, Goal::Replicating, &seen).digest());
    // The settings are part of it, those too that no step says.
    let mut other = wanted.clone();
    other.servers[0].size = None;
    let changed = of(&other, Goal::Migrated, &seen);
    assert_eq!((&changed.steps, &changed.settings), (&one.steps, &other.digest()));
    assert_ne!(changed.digest(), one.digest());
}

#[test]
fn a_plan_that_is_written_and_read_is_the_same() {
    for &scenario in Scenario::ALL {
        let plan = of(&sample::settings(scenario), Goal::Completed, &bare(scenario));
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}

#[test]
fn servers_are_enabled_ten_at_a_time() {
    let scenario = Scenario::HyperV;
    let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    wanted.servers = (0..11).map(|number| sample::server(scenario, &format!("app{number:02}"))).collect();
    seen.machines = (0..11).map(|number| sample::machine(scenario, &format!("app{number:02}"))).collect();
    let plan = of(&wanted, Goal::Replicating, &seen);
    let batch = |at: usize| match plan.steps[at].action {
        super::Action::Enable { batch, .. } => batch,
        _ => 0,
    };
    assert_eq!((plan.steps.len(), batch(0), batch(9), batch(10)), (11, 1, 1, 2));
    assert_eq!((plan.steps[9].after.len(), plan.steps[10].after.len()), (0, 10));
}

#[test]
fn a_private_endpoint_that_somebody_else_must_approve_is_asked_for_and_waited_for() {
    let scenario = Scenario::VmwareAgentless;
    let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    wanted.private_network.may_approve = false;
    seen.endpoints.retain(|endpoint| endpoint.name.as_deref() == Some("project"));
    seen.zone_groups.clear();
    let plan = of(&wanted, Goal::Prepared, &seen);
    assert_eq!(names(&plan), ["create_endpoint", "approve_endpoint", "attach_zone"]);
    assert_eq!(plan.steps[1].approval, Some(super::Approval::ApproveEndpoint));
    assert!(
        matches!(&plan.steps[0].action, super::Action::CreateEndpoint { request: Some(message), .. } if message.len() <= 140)
    );
}

#[test]
fn a_private_endpoint_that_was_rejected_is_left_to_people() {
    let scenario = Scenario::VmwareAgentless;
    let mut seen = sample::observed(scenario);
    let endpoint = seen.endpoints.iter_mut().find(|one| one.name.as_deref() == Some("cache01-blob")).unwrap();
    let connection = &mut endpoint.properties.private_link_service_connections.as_mut().unwrap()[0];
    connection.properties.private_link_service_connection_state =
        Some(sample::read(serde_json::json!({ "status": "Rejected" })));
    assert!(of(&sample::settings(scenario), Goal::Prepared, &seen).is_empty());
}

#[test]
fn zones_of_a_hub_in_another_subscription_are_changed_by_their_owner_only() {
    let scenario = Scenario::VmwareAgentless;
    let mut wanted = sample::settings(scenario);
    wanted.private_network.zone_group = ArmId::new("/subscriptions/hub/resourceGroups/dns");
    let plan = of(&wanted, Goal::Prepared, &sample::observed(scenario));
    assert_eq!(names(&plan), ["create_zone", "link_zone", "write_records"]);
    assert!(plan.steps.iter().all(|step| step.approval == Some(super::Approval::ChangeHubDns)));
}

#[test]
fn no_step_deletes_anything_but_the_replication_of_a_server_and_that_is_approved() {
    for &scenario in Scenario::ALL {
        for &goal in Goal::ALL {
            for (state, test) in goals::states(scenario) {
                let mut seen = sample::observed(scenario);
                seen.items.push(sample::item(scenario, "web01", state, test));
                for step in of(&sample::settings(scenario), goal, &seen).steps {
                    let request = super::request(&step, &sample::settings(scenario), &seen);
                    let deletes = request.is_ok_and(|request| {
                        request.operation().method.to_string() == "DELETE" || request.operation().below == "remove"
                    });
                    assert!(!deletes || step.approval == Some(super::Approval::Delete), "{step:#?}");
                }
            }
        }
    }
}

#[test]
fn markdown_tells_every_step_and_who_must_agree() {
    let plan = of(&sample::settings(Scenario::HyperV), Goal::Migrated, &bare(Scenario::HyperV));
    let text = plan.to_markdown();
    assert!(text.starts_with("# Plan: servers migrated (hyper_v)\n\nDigest: `"));
    assert!(text.contains("an Owner or User Access Administrator of the account"));
    assert!(text.contains("the owner of the server"));
    let rows =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |") && !line.starts_with("| ---"));
    assert_eq!(rows.count(), plan.steps.len());
    let nothing = Plan { steps: Vec::new(), ..plan };
    assert!(nothing.to_markdown().contains("Nothing is to be done."));
}

#[test]
fn names_of_azure_cannot_break_out_of_a_table() {
    let mut wanted = sample::settings(Scenario::VmwareAgentless);
    wanted.servers[0].name = "a|b`c\n<script>".into();
    let text = of(&wanted, Goal::Replicating, &sample::observed(Scenario::VmwareAgentless)).to_markdown();
    assert!(text.contains("a\\|b'c &lt;script>"), "{text}");
}

#[test]
fn aims_never_shut_an_agents_server_down() {
    let aim = Aim { goal: Goal::Migrated, shut_down_source: Some(true) };
    assert!(!aim.shuts_down(Scenario::AgentBased));
    assert!(aim.shuts_down(Scenario::HyperV) && Aim::from(Goal::Migrated).shuts_down(Scenario::VmwareAgentless));
    assert!(!Aim { shut_down_source: Some(false), ..aim }.shuts_down(Scenario::HyperV));
}
