//! Hyper-V machines and servers with an agent, which share a family of resources.

use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use serde_json::{Value, json};

use super::client::ArmClient;
use super::steps::{
    BLOB_CONTRIBUTOR, CONTRIBUTOR, enable_agent, enable_hyper_v, grant, grant_id, item_id, mapping, mapping_id, policy,
    policy_id, vault,
};

const BLOB_OWNER: &str = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b";

struct Migration {
    fake: FakeArm,
    client: ArmClient,
    item: String,
    kind: &'static str,
    scenery: Scenery,
}

impl Migration {
    /// The vault has an identity with these roles, and policy and mapping are there.
    async fn initialized(scenery: Scenery, kind: &'static str, roles: &[&str]) -> Self {
        let fake = FakeArm::start_with(&scenery).await;
        let client = ArmClient::of(&fake);
        client.do_and_wait("PUT", &scenery.vault(), Some(&vault())).await;
        let principal = client.get(&scenery.vault()).await.text("/identity/principalId").to_owned();
        for (role, number) in roles.iter().zip(1..) {
            client.do_and_wait("PUT", &grant_id(&scenery.account(), number), Some(&grant(&principal, role))).await;
        }
        client.do_and_wait("PUT", &policy_id(&scenery), Some(&policy(kind))).await;
        client.do_and_wait("PUT", &mapping_id(&scenery), Some(&mapping(&scenery, kind))).await;
        let item = item_id(&scenery, "replicationProtectedItems", "web01");
        Self { fake, client, item, kind, scenery }
    }

    async fn enable(&self) {
        let body = if self.kind == "InMageRcm" { enable_agent(&self.scenery) } else { enable_hyper_v(&self.scenery) };
        self.client.do_and_wait("PUT", &self.item, Some(&body)).await;
        self.fake.settle();
    }

    async fn act(&self, action: &str, properties: Option<Value>) {
        let body = properties.map(|properties| json!({ "properties": properties }));
        self.client.do_and_wait("POST", &format!("{}/{action}", self.item), body.as_ref()).await;
    }

    fn details(&self, more: &Value) -> Value {
        let mut details = json!({ "instanceType": self.kind });
        details.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        details
    }

    fn text(&self, field: &str) -> String {
        self.fake.resource(&self.item).unwrap()["properties"][field].as_str().unwrap().to_owned()
    }

    fn allowed(&self) -> Value {
        self.fake.resource(&self.item).unwrap()["properties"]["allowedOperations"].clone()
    }

    fn machines(&self) -> Vec<Value> {
        let all = self.fake.resources(&self.scenery.target_group(), "Microsoft.Compute", "virtualMachines");
        all.into_iter().map(|machine| machine["name"].clone()).collect()
    }
}

#[tokio::test]
async fn a_hyper_v_machine_is_tested_failed_over_committed_and_completed() {
    let migration =
        Migration::initialized(Scenery::hyper_v(), "HyperVReplicaAzure", &[CONTRIBUTOR, BLOB_CONTRIBUTOR]).await;
    migration.enable().await;
    assert_eq!(migration.text("protectionState"), "Protected");

    let test = json!({
        "networkType": "VmNetworkAsInput", "networkId": migration.scenery.test_network(),
        "failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": migration.details(&json!({})),
    });
    migration.act("testFailover", Some(test)).await;
    assert_eq!(migration.text("testFailoverState"), "WaitingForCompletion");
    assert_eq!(migration.machines(), ["web01-test"]);

    migration.act("testFailoverCleanup", Some(json!({ "comments": "done" }))).await;
    assert_eq!(migration.text("testFailoverState"), "None");
    assert!(migration.machines().is_empty());

    let direction = json!({
        "failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": migration.details(&json!({})),
    });
    migration.act("plannedFailover", Some(direction)).await;
    assert_eq!(migration.text("protectionState"), "PlannedFailoverCommitRequired");
    assert_eq!(migration.machines(), ["web01"]);

    migration.act("failoverCommit", None).await;
    assert_eq!(migration.allowed(), json!(["CompleteMigration", "DisableProtection"]));

    let reason = json!({ "disableProtectionReason": "MigrationComplete", "replicationProviderInput": { "instanceType": "DisableProtectionProviderSpecificInput" } });
    migration.act("remove", Some(reason)).await;
    assert!(migration.fake.resource(&migration.item).is_none());
    assert_eq!(migration.machines(), ["web01"], "the machine stays");
}

#[tokio::test]
async fn a_server_with_an_agent_is_failed_over_unplanned() {
    let migration = Migration::initialized(Scenery::agent_based(), "InMageRcm", &[CONTRIBUTOR, BLOB_CONTRIBUTOR]).await;
    migration.enable().await;
    let shutdown = migration.details(&json!({ "performShutdown": "false" }));

    let planned = json!({ "properties": { "providerSpecificDetails": migration.details(&json!({})) } });
    let planned = migration.client.post(&format!("{}/plannedFailover", migration.item), &planned).await;
    let unplanned = json!({ "failoverDirection": "PrimaryToRecovery", "providerSpecificDetails": shutdown });
    migration.act("unplannedFailover", Some(unplanned)).await;

    assert_eq!(planned.status, 400);
    assert_eq!(migration.text("protectionState"), "UnplannedFailoverCommitPendingStatesBegin");
    assert_eq!(migration.machines(), ["web01"]);
}

#[tokio::test]
async fn a_vault_without_its_roles_cannot_replicate() {
    let migration = Migration::initialized(Scenery::hyper_v(), "HyperVReplicaAzure", &[CONTRIBUTOR]).await;

    let refused = migration.client.put(&migration.item, &enable_hyper_v(&migration.scenery)).await;

    assert_eq!(refused.status, 403);
    assert!(refused.text("/error/details/0/message").contains("Storage Blob Data Contributor"), "{refused:?}");
}

#[tokio::test]
async fn a_premium_account_asks_for_the_owner_of_its_data() {
    let premium = Scenery::hyper_v().with_premium_account();
    let roles = [CONTRIBUTOR, BLOB_CONTRIBUTOR];
    let contributor = Migration::initialized(premium.clone(), "HyperVReplicaAzure", &roles).await;
    let owner = Migration::initialized(premium, "HyperVReplicaAzure", &[CONTRIBUTOR, BLOB_OWNER]).await;

    let refused = contributor.client.put(&contributor.item, &enable_hyper_v(&contributor.scenery)).await;
    let taken = owner.client.put(&owner.item, &enable_hyper_v(&owner.scenery)).await;

    assert_eq!((refused.status, taken.status), (403, 202));
}

#[tokio::test]
async fn a_policy_of_another_kind_takes_no_machine_and_one_in_use_stays() {
    let migration =
        Migration::initialized(Scenery::hyper_v(), "HyperVReplicaAzure", &[CONTRIBUTOR, BLOB_CONTRIBUTOR]).await;
    let other = format!("{}/replicationPolicies/other", migration.scenery.vault());
    migration.client.do_and_wait("PUT", &other, Some(&policy("VMwareCbt"))).await;
    let mut body = enable_hyper_v(&migration.scenery);
    body["properties"]["policyId"] = other.into();

    let wrong = migration.client.put(&migration.item, &body).await;
    migration.enable().await;
    let used = migration.client.send("DELETE", &policy_id(&migration.scenery), None).await;

    assert_eq!((wrong.status, wrong.code()), (400, "150022"));
    assert_eq!((used.status, used.code()), (400, "150015"));
}

#[tokio::test]
async fn a_purge_ends_what_nothing_else_would() {
    let migration =
        Migration::initialized(Scenery::hyper_v(), "HyperVReplicaAzure", &[CONTRIBUTOR, BLOB_CONTRIBUTOR]).await;
    migration.fake.turn(|knobs| knobs.seeding_ticks = 100);
    migration.client.do_and_wait("PUT", &migration.item, Some(&enable_hyper_v(&migration.scenery))).await;

    migration.client.do_and_wait("DELETE", &migration.item, None).await;

    assert!(migration.fake.resource(&migration.item).is_none());
    assert_eq!(migration.client.send("DELETE", &migration.item, None).await.status, 204);
}
