//! Where somebody must agree, a plan stops with the exact request, and goes on when it was done.

use libmigrate::CancellationToken;
use libmigrate::control::arm::{ArmClient, operations};
use libmigrate::control::plan::{
    ApplyError, ApplyOptions, Approval, Approvals, Goal, Needed, Outcome, OwnerRequest, Wait,
};
use libmigrate::control::{ArmId, Scenario};
use libmigrate_test_support::fake_arm::{Approval as FakeApproval, ArmError as Refusal, ArmFault, GROUP};
use serde_json::{Value, json};

use super::world::{World, agreed};

fn needed(outcome: &Outcome) -> Vec<&Needed> {
    let needed = |wait: &'_ Wait| matches!(wait, Wait::Approval(_));
    assert!(outcome.waits.iter().all(needed), "{outcome:#?}");
    outcome
        .waits
        .iter()
        .filter_map(|wait| if let Wait::Approval(needed) = wait { Some(needed) } else { None })
        .collect()
}

/// The owner does what the request says.
async fn obey(client: &ArmClient, request: &OwnerRequest) {
    let id = ArmId::new(request.path.split('?').next().unwrap());
    let operation = [
        &operations::ROLE_ASSIGNMENTS_CREATE,
        &operations::STORAGE_CONNECTIONS_PUT,
        &operations::VAULT_CONNECTIONS_PUT,
        &operations::PRIVATE_ZONES_CREATE_OR_UPDATE,
        &operations::VIRTUAL_NETWORK_LINKS_CREATE_OR_UPDATE,
        &operations::RECORD_SETS_CREATE_OR_UPDATE,
    ]
    .into_iter()
    .find(|operation| operation.of.fits(&id) && operation.of != libmigrate::control::arm::Target::Scope)
    .unwrap();
    assert_eq!((request.method.as_str(), operation.method.as_str()), ("PUT", "PUT"));
    let sent = operation.on(&id).with_body(request.body.as_ref().unwrap()).unwrap();
    client.run::<Value>(&sent, &CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn grants_that_nobody_has_agreed_to_are_asked_for_and_found_when_their_owner_has_made_them() {
    let world = World::of(Scenario::HyperV, 1).await;
    let plan = world.plan(Goal::Replicating).await;
    let journal = world.journal("j");
    let options = ApplyOptions { approvals: Approvals::default(), ..agreed() };
    let outcome = world.apply(&plan, &journal, &options).await.unwrap();
    let asked = needed(&outcome);
    assert_eq!(asked.len(), 2, "{outcome:#?}");
    assert!(asked.iter().all(|one| one.approval == Some(Approval::GrantRole) && one.requests.len() == 1));
    assert!(asked.iter().all(|one| one.who.contains("User Access Administrator")));
    assert_eq!(world.count("PUT", "web01"), 0, "what comes after the grants waits with them");

    for one in asked {
        obey(&world.client(), &one.requests[0]).await;
    }
    world.complete(&plan, &journal, &options).await;
    assert_eq!(world.count("PUT", "web01"), 1);
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn one_step_can_be_agreed_to() {
    let world = World::of(Scenario::AgentBased, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let grants: Vec<_> = plan.steps.iter().filter(|step| step.approval == Some(Approval::GrantRole)).collect();
    let options = ApplyOptions { approvals: Approvals::default().and_step(grants[0].id.clone()), ..agreed() };
    let outcome = world.apply(&plan, &world.journal("j"), &options).await.unwrap();
    assert_eq!(needed(&outcome).iter().map(|one| &one.step).collect::<Vec<_>>(), [&grants[1].id]);
}

#[tokio::test]
async fn a_private_endpoint_that_stays_pending_is_waited_for_until_its_owner_approves_it() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    world.fake.turn(|knobs| knobs.approval = FakeApproval::Pending);
    let plan = world.plan(Goal::Replicating).await;
    let journal = world.journal("j");
    let options = ApplyOptions { approvals: Approvals::default(), ..agreed() };
    for _ in 0..2 {
        let outcome = world.apply(&plan, &journal, &options).await.unwrap();
        let asked = needed(&outcome);
        assert_eq!((asked.len(), asked[0].approval), (1, Some(Approval::ApproveEndpoint)), "{outcome:#?}");
        assert!(asked[0].requests[0].path.contains("/storageAccounts/cache01/privateEndpointConnections/cache01."));
    }
    let outcome = world.apply(&plan, &journal, &options).await.unwrap();
    obey(&world.client(), &needed(&outcome)[0].requests[0]).await;
    world.complete(&plan, &journal, &options).await;
    world.fake.settle();
    assert!(world.plan(Goal::Replicating).await.is_empty());
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn who_may_approve_approves_what_stays_pending() {
    for may_approve in [true, false] {
        let mut world = World::of(Scenario::VmwareAgentless, 1).await;
        world.fake.turn(|knobs| knobs.approval = FakeApproval::Pending);
        world.wanted.private_network.may_approve = may_approve;
        world.reach(Goal::Prepared).await;
        assert!(world.plan(Goal::Prepared).await.is_empty());
        let is_approval = |(_, path): &(String, String)| path.contains("/privateendpointconnections/");
        assert_eq!(world.effects().keys().filter(|change| is_approval(change)).count(), 1);
    }
}

#[tokio::test]
async fn the_endpoint_of_a_vault_is_asked_for_with_the_request_that_approves_it() {
    let world = World::of(Scenario::HyperV, 1).await;
    world.fake.turn(|knobs| knobs.approval = FakeApproval::Pending);
    let plan = world.plan(Goal::Prepared).await;
    let journal = world.journal("j");
    // The owner of the accounts has agreed, and the owner of the vault has not.
    let accounts = plan.steps.iter().find(|step| step.id.as_str().ends_with("cache01-blob")).unwrap();
    let approvals = Approvals::of([Approval::GrantRole]).and_step(accounts.id.clone());
    let options = ApplyOptions { approvals, ..agreed() };
    let outcome = world.apply(&plan, &journal, &options).await.unwrap();
    let asked = needed(&outcome);
    assert_eq!((asked.len(), asked[0].approval), (1, Some(Approval::ApproveEndpoint)), "{outcome:#?}");

    let connections =
        world.fake.resource(&world.scenery.vault()).unwrap()["properties"]["privateEndpointConnections"].clone();
    let id = connections[0]["id"].as_str().unwrap();
    let endpoint = format!("{GROUP}/providers/Microsoft.Network/privateEndpoints/vault1-azuresiterecovery");
    let state = json!({ "status": "Approved", "description": "approved for replication" });
    let properties = json!({ "privateEndpoint": { "id": endpoint }, "groupIds": ["AzureSiteRecovery"],
        "privateLinkServiceConnectionState": state });
    let exactly = OwnerRequest {
        method: "PUT".to_owned(),
        path: format!("{id}?api-version=2024-04-01"),
        body: Some(json!({ "properties": properties })),
    };
    assert_eq!(asked[0].requests, [exactly]);

    obey(&world.client(), &asked[0].requests[0]).await;
    world.complete(&plan, &journal, &options).await;
    assert!(world.plan(Goal::Prepared).await.is_empty());
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn who_may_approve_lets_the_endpoint_of_a_vault_in_and_waits_until_it_has_effect() {
    let world = World::of(Scenario::HyperV, 1).await;
    world.fake.turn(|knobs| {
        knobs.approval = FakeApproval::Pending;
        knobs.polls_before_done = 3;
    });
    world.reach(Goal::Prepared).await;
    let vault = world.fake.resource(&world.scenery.vault()).unwrap();
    assert_eq!(vault["properties"]["privateEndpointStateForSiteRecovery"], "Enabled");
    assert!(world.plan(Goal::Prepared).await.is_empty());
    assert!(world.effects().values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_private_endpoint_that_was_rejected_is_an_error_for_people() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    world.fake.turn(|knobs| knobs.approval = FakeApproval::Pending);
    let plan = world.plan(Goal::Prepared).await;
    let (journal, options) = (world.journal("j"), ApplyOptions { approvals: Approvals::default(), ..agreed() });
    world.apply(&plan, &journal, &options).await.unwrap();
    let account = world.fake.resource(&world.scenery.account()).unwrap();
    let connection = account["properties"]["privateEndpointConnections"][0]["id"].as_str().unwrap().to_owned();
    world.fake.answer_connection(&connection, "Rejected");
    let refused = world.apply(&plan, &journal, &options).await.unwrap_err();
    assert!(matches!(&refused, ApplyError::EndpointRefused { status, .. } if status == "Rejected"), "{refused}");
}

#[tokio::test]
async fn who_may_not_do_a_step_is_told_the_permission_and_the_request() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let action = "Microsoft.Network/privateDnsZones/virtualNetworkLinks/write";
    let message = format!(
        "The client 'x' does not have authorization to perform action '{action}' over scope '{GROUP}' or the scope is invalid."
    );
    let fault = ArmFault::Refuse(Refusal::new(403, "AuthorizationFailed", message));
    world.fake.faults().order("PUT", "virtualNetworkLinks", 1, fault);
    let journal = world.journal("j");
    let outcome = world.apply(&plan, &journal, &agreed()).await.unwrap();
    let asked = needed(&outcome);
    assert_eq!(asked[0].missing.as_ref().unwrap().action, action, "{outcome:#?}");
    assert!(asked[0].requests[0].path.contains("virtualNetworkLinks"));
    obey(&world.client(), &asked[0].requests[0]).await;
    world.complete(&plan, &journal, &agreed()).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_a_permission_that_is_missing() {
    let world = World::of(Scenario::VmwareAgentless, 1).await;
    let plan = world.plan(Goal::Prepared).await;
    let fault = ArmFault::Refuse(Refusal::new(403, "AuthorizationFailed", "no"));
    world.fake.faults().order("GET", "vaults/vault1", 1, fault);
    let journal = world.journal("j");
    let outcome = world.apply(&plan, &journal, &agreed()).await.unwrap();
    assert_eq!(needed(&outcome).len(), 1, "{outcome:#?}");
    world.complete(&plan, &journal, &agreed()).await;
}

#[tokio::test]
async fn nothing_ends_without_its_owners_word() {
    for &scenario in Scenario::ALL {
        let world = World::of(scenario, 1).await;
        world.reach(Goal::Replicating).await;
        world.fake.settle();
        let plan = world.plan(Goal::Completed).await;
        let journal = world.journal("j");
        let none = ApplyOptions { approvals: Approvals::default(), ..agreed() };
        let migrate = world.apply(&plan, &journal, &none).await.unwrap();
        // Agents' servers stay running: their cutover needs nobody's word, and only the end does.
        let first = if scenario == Scenario::AgentBased { Approval::Delete } else { Approval::ShutDownSource };
        assert_eq!(needed(&migrate)[0].approval, Some(first), "{scenario}: {migrate:#?}");
        let some = ApplyOptions { approvals: Approvals::of([Approval::ShutDownSource]), ..agreed() };
        let complete = world.apply(&plan, &journal, &some).await.unwrap();
        assert_eq!(needed(&complete)[0].approval, Some(Approval::Delete), "{scenario}: {complete:#?}");
        assert!(world.fake.resource(&world.item("web01")).is_some(), "{scenario}");
        world.complete(&plan, &journal, &agreed()).await;
        assert!(world.fake.resource(&world.item("web01")).is_none(), "{scenario}");
    }
}

#[tokio::test]
async fn where_the_zone_group_is_somebody_elses_every_name_gets_its_record() {
    let world = World::of(Scenario::HyperV, 1).await;
    // The endpoint of the vault, with a zone group of others that keeps nothing.
    let theirs = format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/theirs.example");
    let plan = world.plan(Goal::Prepared).await;
    world.complete(&plan, &world.journal("first"), &agreed()).await;
    let endpoint = format!("{GROUP}/providers/Microsoft.Network/privateEndpoints/vault1-azuresiterecovery");
    let zone = format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/privatelink.siterecovery.windowsazure.com");
    world.fake.change(&format!("{endpoint}/privateDnsZoneGroups/default"), |group| {
        group["properties"]["privateDnsZoneConfigs"] =
            json!([{ "name": "theirs", "properties": { "privateDnsZoneId": theirs } }]);
    });
    let records = world.fake.resources(&zone, "Microsoft.Network", "A");
    assert_eq!(records.len(), 5);
    for record in &records {
        world.fake.remove(record["id"].as_str().unwrap());
    }

    let plan = world.plan(Goal::Prepared).await;
    assert_eq!(plan.steps.iter().map(|step| step.action.name()).collect::<Vec<_>>(), ["write_records"]);
    let before = world.effects().len();
    world.complete(&plan, &world.journal("second"), &agreed()).await;
    assert_eq!(world.effects().len() - before, 5);
    assert!(world.plan(Goal::Prepared).await.is_empty());

    // A record of somebody else's is left as it is.
    let id = records[0]["id"].as_str().unwrap();
    world.fake.change(id, |record| record["properties"]["aRecords"] = json!([{ "ipv4Address": "10.99.0.1" }]));
    let refused = world.apply(&plan, &world.journal("third"), &agreed()).await.unwrap_err();
    assert!(
        matches!(&refused, ApplyError::NameTaken { id: found, .. } if found.as_str().eq_ignore_ascii_case(id)),
        "{refused}"
    );
}
