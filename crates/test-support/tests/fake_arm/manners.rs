//! What holds for every resource: tokens, versions, errors, pages, faults, records.

use std::time::Duration;

use hyper::Request;
use libmigrate_test_support::fake_arm::{ArmFault, ArmRates, FakeArm, GROUP, LastRequest, SUBSCRIPTION, Scenery};
use serde_json::json;

use super::client::ArmClient;
use super::steps::vault;

#[tokio::test]
async fn a_request_without_a_token_or_a_known_version_is_refused() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);
    let url = format!(
        "{}{}?api-version=2024-04-01",
        fake.endpoint().as_str().trim_end_matches('/'),
        Scenery::vmware().vault()
    );

    let nameless = client.exchange(Request::get(&url).body(String::new().into()).unwrap()).await.unwrap();
    let undated = client.get(&format!("{}?api-version=", Scenery::vmware().vault())).await;
    let unknown = client.get(&format!("{}?api-version=1999-01-01", Scenery::vmware().vault())).await;

    assert_eq!((nameless.status, nameless.code()), (401, "AuthenticationFailed"));
    assert!(nameless.header("www-authenticate").is_some());
    assert_eq!((undated.status, undated.code()), (400, "MissingApiVersionParameter"));
    assert_eq!((unknown.status, unknown.code()), (400, "NoRegisteredProviderFound"));
}

#[tokio::test]
async fn what_is_not_there_and_what_has_no_parent_is_said_so() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);

    let missing = client.get(&format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/none")).await;
    let no_group = format!("{SUBSCRIPTION}/resourceGroups/none/providers/Microsoft.RecoveryServices/vaults/v1");
    let no_group = client.put(&no_group, &vault()).await;
    let no_zone = format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/none/A/web");
    let no_zone = client
        .put(&no_zone, &json!({ "properties": { "ttl": 10, "aRecords": [{ "ipv4Address": "10.0.0.4" }] } }))
        .await;

    assert_eq!((missing.status, missing.code()), (404, "ResourceNotFound"));
    assert_eq!((no_group.status, no_group.code()), (404, "ResourceGroupNotFound"));
    assert_eq!((no_zone.status, no_zone.code()), (404, "ParentResourceNotFound"));
}

#[tokio::test]
async fn ids_are_compared_without_case_and_keep_their_first_spelling() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);

    let shouted = client.get(&Scenery::vmware().vault().to_uppercase()).await;

    assert_eq!(shouted.status, 200, "{shouted:?}");
    assert_eq!(shouted.text("/id"), Scenery::vmware().vault());
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let fake = FakeArm::start_with(&Scenery::vmware().with_machines(5)).await;
    fake.turn(|knobs| knobs.page_size = 2);
    let client = ArmClient::of(&fake);
    let mut names = Vec::new();

    let mut next = Some(format!("{}/machines", Scenery::vmware().site()));
    while let Some(link) = next {
        let page = client.get(&link).await;
        assert!(page.body["value"].as_array().unwrap().len() <= 2);
        names.extend(page.body["value"].as_array().unwrap().iter().map(|machine| machine["name"].clone()));
        next = page.body["nextLink"].as_str().map(str::to_owned);
    }

    assert_eq!(names, ["web01", "web02", "web03", "web04", "web05"]);
}

#[tokio::test]
async fn ordered_faults_meet_the_requests_that_they_are_for() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);
    let (vault_id, account) = (Scenery::vmware().vault(), Scenery::vmware().account());
    fake.faults().order("GET", "/vaults/", 1, ArmFault::throttled(Duration::from_secs(7)));
    fake.faults().order("PUT", "", 1, ArmFault::ResetBefore);

    let other = client.get(&account).await;
    let throttled = client.get(&vault_id).await;
    let then = client.get(&vault_id).await;
    let before = client.try_send("PUT", &vault_id, Some(&vault())).await;

    assert_eq!(other.status, 200);
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, Some("7")));
    assert_eq!(then.status, 200);
    assert!(before.is_none());
    assert!(fake.resource(&vault_id).unwrap().get("identity").is_none(), "a reset before acting does nothing");

    fake.faults().order("PUT", "", 1, ArmFault::ResetAfter);
    let after = client.try_send("PUT", &vault_id, Some(&vault())).await;

    assert!(after.is_none());
    assert!(fake.resource(&vault_id).unwrap().get("identity").is_some(), "a reset after acting hides what was done");
}

#[tokio::test]
async fn faults_by_chance_are_the_same_for_the_same_seed() {
    let rates = ArmRates { throttled: 200_000, unavailable: 200_000, ..ArmRates::default() };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let fake = FakeArm::start_with(&Scenery::vmware()).await;
        let client = ArmClient::of(&fake);
        fake.faults().seed(7, rates);
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(client.get(&Scenery::vmware().vault()).await.status);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&200) && runs[0].contains(&429) && runs[0].contains(&503), "{:?}", runs[0]);
}

#[tokio::test]
async fn a_failed_operation_says_why_with_the_error_inside() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);
    fake.faults().order("PUT", "/vaults/", 1, ArmFault::failed_operation());

    let begun = client.put(&Scenery::vmware().vault(), &vault()).await;
    let ended = client.wait(&begun).await;

    assert_eq!(ended.text("/status"), "Failed");
    assert_eq!(ended.text("/error/code"), "78007");
    assert_eq!(ended.text("/error/details/0/code"), "181008");
    let shown = client.get(&Scenery::vmware().vault()).await;
    assert_eq!(shown.text("/properties/provisioningState"), "Failed");
}

#[tokio::test]
async fn what_was_just_made_may_not_be_found_yet() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);
    let id = format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/vault2");
    fake.faults().order("PUT", "/vaults/", 1, ArmFault::Hide { reads: 2 });

    client.do_and_wait("PUT", &id, Some(&vault())).await;
    let statuses = [client.get(&id).await.status, client.get(&id).await.status, client.get(&id).await.status];

    assert_eq!(statuses, [404, 404, 200]);
}

#[tokio::test]
async fn every_request_is_recorded_with_its_answer() {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);

    let begun = client.put(&Scenery::vmware().vault(), &vault()).await;
    client.wait(&begun).await;

    let pairs = fake.pairs();
    assert_eq!(pairs.len(), 3, "a request and two polls");
    assert_eq!(pairs[0]["liveRequest"]["body"], vault());
    assert_eq!(pairs[0]["liveResponse"]["statusCode"], "200");
    let told = pairs[0]["liveResponse"]["headers"]["Azure-AsyncOperation"].as_str().unwrap();
    assert!(told.starts_with("https://management.azure.com/subscriptions/"), "{told}");
    assert!(pairs.iter().all(|pair| !pair.to_string().contains("Bearer token")));
}

#[tokio::test]
async fn the_same_requests_make_the_same_world() {
    let mut worlds = Vec::new();
    for _ in 0..2 {
        let fake = FakeArm::start_with(&Scenery::hyper_v()).await;
        let client = ArmClient::of(&fake);
        client.do_and_wait("PUT", &Scenery::hyper_v().vault(), Some(&vault())).await;
        let port = fake.endpoint().port().unwrap().to_string();
        let world = fake.resources(SUBSCRIPTION, "Microsoft.RecoveryServices", "vaults");
        worlds.push(json!(world).to_string().replace(&port, "PORT"));
    }
    assert_eq!(worlds[0], worlds[1]);
}

#[tokio::test]
async fn a_client_that_is_cut_off_hears_nothing_more_whether_its_last_request_was_seen_or_not() {
    for (last, is_made) in [(LastRequest::Unseen, false), (LastRequest::Unanswered, true)] {
        let fake = FakeArm::start_with(&Scenery::vmware()).await;
        let client = ArmClient::of(&fake);
        let id = format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/vault2");
        fake.faults().cut_off(1, last);

        let answered = client.get(&Scenery::vmware().vault()).await;
        let body = vault();
        let heard = tokio::select! {
            biased;
            () = fake.faults().was_cut_off() => None,
            reply = client.try_send("PUT", &id, Some(&body)) => reply,
        };
        fake.faults().clear();

        assert_eq!((answered.status, heard.is_none(), fake.resource(&id).is_some()), (200, true, is_made), "{last:?}");
        assert_eq!(client.get(&Scenery::vmware().vault()).await.status, 200, "{last:?}");
    }
}
