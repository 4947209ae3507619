//! Operations that go on after their answer: every style, restarts, and how they end.

use std::time::{Duration, Instant};

use libmigrate::CancellationToken;
use libmigrate::control::arm::{ArmError, ArmOptions, Operation, PollPolicy, Progress, Request, Tracking, operations};
use libmigrate::error::{Diagnose, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::scripted_server::{Reply, ScriptedServer};
use super::{account, client, client_with, disk, item, options, vault};

const STATUS: &str = "{here}/Subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v/\
                      replicationOperationStatus/job-7?api-version=2024-04-01&t=canary";
const RESULT: &str = "{here}/result?t=canary";

fn accepted() -> Reply {
    Reply::status(202).with("Azure-AsyncOperation", STATUS)
}

fn status(word: &str) -> Reply {
    Reply::json(200, &json!({"name": "job-7", "status": word}))
}

fn resource(state: &str) -> Reply {
    Reply::json(200, &json!({"name": "made", "properties": {"provisioningState": state}}))
}

fn enable() -> Request {
    operations::MIGRATION_ITEMS_CREATE.on(&item()).with_body(&json!({"properties": {"policyId": "p"}})).unwrap()
}

fn migrate() -> Request {
    operations::MIGRATION_ITEMS_MIGRATE.on(&item()).with_body(&json!({"properties": {}})).unwrap()
}

/// What the operation gave, and what was asked for in which order, by the end of each path.
async fn run(request: Request, script: Vec<Reply>) -> (Result<Value, ArmError>, Vec<String>) {
    let server = ScriptedServer::start(script).await;
    let result = client(&server).run(&request, &CancellationToken::new()).await.map(|answer| answer.body);
    let shorten = |line: String| format!("{} {}", line.split(' ').next().unwrap(), line.rsplit('/').next().unwrap());
    (result, server.asked().into_iter().map(shorten).collect())
}

#[tokio::test]
async fn a_put_is_polled_and_then_the_resource_is_read() {
    let script = vec![accepted(), status("InProgress"), status("Succeeded"), resource("Succeeded")];
    let (result, asked) = run(enable(), script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked, ["PUT web01", "GET job-7", "GET job-7", "GET web01"]);
}

#[tokio::test]
async fn a_put_with_a_location_too_still_reads_the_resource() {
    let script = vec![accepted().with("Location", RESULT), status("Succeeded"), resource("Succeeded")];
    let (result, asked) = run(enable(), script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked, ["PUT web01", "GET job-7", "GET web01"]);
}

#[tokio::test]
async fn a_put_that_is_answered_200_with_a_status_url_is_polled() {
    let script = vec![resource("Updating").with("Azure-AsyncOperation", STATUS), status("Succeeded"), resource("x")];
    let (_, asked) = run(enable(), script).await;
    assert_eq!(asked, ["PUT web01", "GET job-7", "GET web01"]);
}

#[tokio::test]
async fn an_operation_of_which_nothing_was_kept_is_watched_by_its_resource() {
    let server = ScriptedServer::start(vec![resource("Creating"), resource("Succeeded")]).await;
    let client = client(&server);

    let mut started = client.watch(&operations::DISKS_CREATE_OR_UPDATE, &disk()).unwrap();
    let answer = client.wait::<Value>(&mut started, &CancellationToken::new()).await.unwrap();
    let refused = client.watch(&operations::DISKS_DELETE, &disk()).unwrap_err();

    assert_eq!((&answer.body["name"], server.asked().len()), (&json!("made"), 2));
    assert!(matches!(refused, ArmError::BadRequest { .. }), "{refused}");
}

#[tokio::test]
async fn a_post_reads_its_location_only_if_one_was_sent() {
    let (result, asked) = run(migrate(), vec![accepted(), status("InProgress"), status("Succeeded")]).await;
    assert_eq!(result.unwrap(), Value::Null);
    assert_eq!(asked, ["POST migrate", "GET job-7", "GET job-7"]);

    let script = vec![accepted().with("Location", RESULT), status("Succeeded"), resource("x")];
    let (result, asked) = run(migrate(), script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked, ["POST migrate", "GET job-7", "GET result"]);
}

#[tokio::test]
async fn a_delete_is_polled_and_nothing_more() {
    let delete = || operations::MIGRATION_ITEMS_DELETE.on(&item()).with_query("deleteOption", "Force");
    let (result, asked) =
        run(delete(), vec![accepted().with("Location", RESULT), status("Running"), status("Succeeded")]).await;
    assert_eq!(result.unwrap(), Value::Null);
    assert_eq!(asked, ["DELETE web01", "GET job-7", "GET job-7"]);

    let (result, asked) = run(delete(), vec![Reply::status(204)]).await;
    assert_eq!((result.unwrap(), asked.len()), (Value::Null, 1));
}

#[tokio::test]
async fn a_location_alone_is_read_until_it_no_longer_says_202() {
    let create = operations::STORAGE_ACCOUNTS_CREATE.on(&account()).with_body(&json!({})).unwrap();
    let location = |url| Reply::status(202).with("Location", url);
    let script = vec![location("{here}/1"), Reply::status(202), location("{here}/2"), resource("Succeeded")];
    let (result, asked) = run(create.clone(), script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked, ["PUT cache", "GET 1", "GET 1", "GET 2"]);

    let script = vec![location("{here}/1"), Reply::status(204), resource("Succeeded")];
    let (result, asked) = run(create, script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked, ["PUT cache", "GET 1", "GET cache"]);
}

#[tokio::test]
async fn a_location_after_the_status_may_still_say_202() {
    let script = vec![
        accepted().with("Location", RESULT),
        status("Succeeded"),
        Reply::status(202),
        status("Succeeded"),
        resource("x"),
    ];
    let (result, asked) = run(migrate(), script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked[2..], ["GET result", "GET job-7", "GET result"]);
}

#[tokio::test]
async fn a_delete_with_a_location_alone_has_no_result() {
    for end in [Reply::status(204), Reply::json(200, &json!({"properties": null}))] {
        let script = vec![Reply::status(202).with("Location", RESULT), Reply::status(202), end];
        let (result, asked) = run(operations::DISKS_DELETE.on(&disk()), script).await;
        assert_eq!(result.unwrap(), Value::Null);
        assert_eq!(asked, ["DELETE os", "GET result", "GET result"]);
    }
}

#[tokio::test]
async fn access_to_a_disk_is_at_the_location_or_in_the_status() {
    let grant = || operations::DISKS_GRANT_ACCESS.on(&disk()).with_body(&json!({"access": "Write"})).unwrap();
    let access = json!({"accessSAS": "https://md.example/x?sig=canary"});

    let script = vec![Reply::status(202).with("Location", RESULT), Reply::status(202), Reply::json(200, &access)];
    assert_eq!(run(grant(), script).await.0.unwrap(), access);

    let script = vec![accepted().with("Location", RESULT), status("Succeeded"), Reply::json(200, &access)];
    assert_eq!(run(grant(), script).await.0.unwrap(), access);

    let in_status = Reply::json(200, &json!({"status": "Succeeded", "properties": {"output": access}}));
    assert_eq!(run(grant(), vec![accepted(), in_status]).await.0.unwrap(), access);
}

#[tokio::test]
async fn without_a_url_the_resource_tells_how_far_it_is() {
    let put = operations::VAULTS_CREATE_OR_UPDATE.on(&vault()).with_body(&json!({})).unwrap();
    let script = vec![resource("Provisioning"), resource("Provisioning"), resource("Succeeded")];
    let (result, asked) = run(put.clone(), script).await;
    assert_eq!(result.unwrap()["properties"]["provisioningState"], "Succeeded");
    assert_eq!(asked, ["PUT v", "GET v", "GET v"]);

    let (result, _) = run(put.clone(), vec![resource("Provisioning"), resource("Failed")]).await;
    assert!(matches!(result, Err(ArmError::OperationFailed { .. })));

    let disk = operations::DISKS_CREATE_OR_UPDATE.on(&disk()).with_body(&json!({})).unwrap();
    let (result, asked) = run(disk, vec![Reply::status(202), resource("Creating"), resource("Succeeded")]).await;
    assert_eq!((result.unwrap()["name"].as_str(), asked.len()), (Some("made"), 3));

    let (result, asked) = run(put, vec![Reply::json(201, &json!({"name": "made"}))]).await;
    assert_eq!((result.unwrap()["name"].as_str(), asked.len()), (Some("made"), 1));
}

#[tokio::test]
async fn a_word_that_is_not_known_is_one_of_an_operation_that_runs() {
    let server = ScriptedServer::start([
        accepted(),
        Reply::json(200, &json!({"status": "Dreaming", "percentComplete": 40.5})),
        Reply::json(202, &json!({})),
        status("sUCCEEDED"),
    ])
    .await;
    let (client, cancel) = (client(&server), CancellationToken::new());
    let mut started = client.begin(&migrate(), &cancel).await.unwrap();
    let dreaming = Progress::Running { status: "Dreaming".to_owned(), percent: Some(40.5) };
    assert_eq!(client.poll(&mut started, &cancel).await.unwrap(), dreaming);
    let accepted = Progress::Running { status: "Accepted".to_owned(), percent: None };
    assert_eq!(client.poll(&mut started, &cancel).await.unwrap(), accepted);
    assert_eq!(client.poll(&mut started, &cancel).await.unwrap(), Progress::Done);
}

#[tokio::test]
async fn a_failure_tells_its_innermost_reason() {
    let failed = json!({"status": "Failed", "error": {"code": "OperationFailed", "message": "See details.", "details": [
        {"code": "150097", "message": "The disk cannot be attached.", "target": "disk-1", "details": [
            {"code": "DiskTooBig", "message": "It has 40 TB."}]}]}});
    let (result, _) = run(migrate(), vec![accepted(), Reply::json(200, &failed).with("x-ms-request-id", "r-1")]).await;
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("arm.operation_failed", ErrorKind::Fatal));
    assert!(error.service().unwrap().has_code("DiskTooBig"));
    assert!(error.to_string().ends_with("DiskTooBig: It has 40 TB, request r-1"), "{error}");

    let (result, _) = run(migrate(), vec![accepted(), status("Failed")]).await;
    assert!(result.unwrap_err().to_string().contains("the service gives no reason"));
    let (result, _) = run(migrate(), vec![accepted(), status("Canceled")]).await;
    assert!(matches!(result, Err(ArmError::OperationCancelled { .. })));
    let refused = Reply::json(409, &json!({"error": {"code": "SkuNotAvailable", "message": "no"}}));
    let (result, _) = run(migrate(), vec![Reply::status(202).with("Location", RESULT), refused]).await;
    assert!(matches!(result, Err(ArmError::OperationFailed { .. })));
}

#[tokio::test]
async fn what_is_kept_before_the_first_look_is_enough_to_wait_on_after_a_crash() {
    let script = [accepted().with("Location", RESULT), status("InProgress"), status("Succeeded"), resource("x")];
    let server = ScriptedServer::start(script).await;
    let cancel = CancellationToken::new();

    let started = client(&server).begin(&migrate(), &cancel).await.unwrap();
    let kept = serde_json::to_string(started.tracking().unwrap()).unwrap();
    assert_eq!(server.received().len(), 1, "nothing is looked at before it is written down");
    assert!(!format!("{started:?} {:?}", started.tracking()).contains("canary"), "{started:?}");
    drop(started);

    let client = client(&server);
    let mut resumed = client.resume(serde_json::from_str(&kept).unwrap()).unwrap();
    assert_eq!(resumed.job_name(), Some("job-7"));
    let result = client.wait::<Value>(&mut resumed, &cancel).await.unwrap();
    assert_eq!(result.body["name"], "made");
    assert!(resumed.tracking().is_none(), "what is done is not to be kept");
    assert_eq!(server.received().len(), 4);
    assert!(server.received()[1].line.ends_with("job-7?api-version=2024-04-01&t=canary"));
}

#[tokio::test]
async fn what_was_kept_by_another_version_or_of_another_endpoint_is_refused() {
    let server = ScriptedServer::start([]).await;
    let resume = |operation: &str, url: &str| {
        let kept = json!({"operation": operation, "id": item(), "api_version": "2024-04-01", "status_url": url});
        client(&server).resume(serde_json::from_value::<Tracking>(kept).unwrap()).unwrap_err()
    };
    assert!(matches!(resume("Items_Dream", "/x"), ArmError::BadRequest { .. }));
    let foreign = resume("ReplicationMigrationItems_Migrate", "https://management.azure.com/x?t=canary");
    assert!(matches!(foreign, ArmError::ForeignUrl { .. }), "{foreign}");
    assert!(!foreign.to_string().contains("canary"));
}

#[tokio::test]
async fn a_status_on_another_host_is_not_asked_for() {
    for header in ["Azure-AsyncOperation", "Location"] {
        let reply = Reply::status(202).with(header, "http://evil.example/status?t=canary");
        let (result, asked) = run(enable(), vec![reply]).await;
        assert!(matches!(result, Err(ArmError::ForeignUrl { .. })), "{header}: {result:?}");
        assert_eq!(asked.len(), 1);
    }
}

#[tokio::test]
async fn an_operation_that_is_accepted_without_a_trace_is_unexpected() {
    for request in [migrate(), operations::DISKS_DELETE.on(&disk())] {
        let (result, _) = run(request, vec![Reply::status(202)]).await;
        assert!(matches!(result, Err(ArmError::UnexpectedAnswer { .. })), "{result:?}");
    }
    let (result, _) = run(enable(), vec![accepted(), Reply::json(200, &json!({"name": "x"}))]).await;
    assert!(result.unwrap_err().to_string().contains("the operation has no status"));
}

#[tokio::test]
async fn a_resource_that_cannot_be_read_yet_is_read_again() {
    let script = vec![accepted(), status("Succeeded"), Reply::status(404), Reply::status(404), resource("Succeeded")];
    let (result, asked) = run(enable(), script).await;
    assert_eq!(result.unwrap()["name"], "made");
    assert_eq!(asked[2..], ["GET web01", "GET web01", "GET web01"]);

    let mut script = vec![accepted(), status("Succeeded")];
    script.extend(vec![Reply::status(404); 20]);
    let (result, asked) = run(enable(), script).await;
    assert!(matches!(result, Err(ArmError::NotFound { .. })));
    assert_eq!(asked.len(), 8);
}

#[tokio::test]
async fn an_operation_that_the_service_forgot_is_not_found() {
    let (result, _) = run(migrate(), vec![accepted(), Reply::status(404)]).await;
    assert!(matches!(result, Err(ArmError::NotFound { .. })));
}

#[tokio::test]
async fn a_look_survives_a_busy_service() {
    let script = vec![accepted(), Reply::status(503), Reply::lost(), Reply::status(429), status("Succeeded")];
    let (result, asked) = run(migrate(), script).await;
    assert_eq!(result.unwrap(), Value::Null);
    assert_eq!(asked.len(), 5);
}

#[tokio::test]
async fn the_service_says_when_to_look_again() {
    let later = |reply: Reply| reply.with("x-ms-retry-after-ms", "150");
    let script = vec![later(accepted()), later(status("InProgress")), status("Succeeded")];
    let since = Instant::now();
    run(migrate(), script).await.0.unwrap();
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_operation_that_does_not_end_in_time_can_be_waited_for_again() {
    let script = [accepted(), status("InProgress").with("Retry-After", "60"), status("Succeeded")];
    let server = ScriptedServer::start(script).await;
    let poll = PollPolicy { longest: Duration::from_secs(60), ..options(&server).poll };
    let client = client_with(ArmOptions { poll, ..options(&server) });
    let cancel = CancellationToken::new();

    let mut started = client.begin(&migrate(), &cancel).await.unwrap();
    let error = client.wait::<Value>(&mut started, &cancel).await.unwrap_err();
    assert!(error.to_string().contains("still InProgress after"), "{error}");
    assert_eq!((error.code(), error.kind()), ("arm.timeout", ErrorKind::Retryable));
    let mut again = client.resume(started.tracking().unwrap().clone()).unwrap();
    assert_eq!(client.poll(&mut again, &cancel).await.unwrap(), Progress::Done);
}

#[tokio::test]
async fn a_wait_ends_with_its_cancellation() {
    let server = ScriptedServer::start([accepted().with("Retry-After", "30"), Reply::silence()]).await;
    let poll =
        PollPolicy { longest: Duration::from_secs(60), deadline: Duration::from_secs(600), ..options(&server).poll };
    let client = client_with(ArmOptions { poll, ..options(&server) });
    let cancel = CancellationToken::new();
    let mut started = client.begin(&migrate(), &cancel).await.unwrap();

    let since = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cancel.cancel();
    };
    let (waited, ()) = tokio::join!(client.wait::<Value>(&mut started, &cancel), stop);
    assert!(matches!(waited, Err(ArmError::Cancelled { .. })), "{waited:?}");
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());

    // The same while a look is not answered.
    let cancel = CancellationToken::new();
    let mut resumed = client.resume(started.tracking().unwrap().clone()).unwrap();
    let look = tokio::time::timeout(Duration::from_secs(5), async {
        let stop = async {
            while server.received().len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            cancel.cancel();
        };
        tokio::join!(client.poll(&mut resumed, &cancel), stop).0
    });
    assert!(matches!(look.await.unwrap(), Err(ArmError::Cancelled { .. })));
}

#[tokio::test]
async fn an_operation_that_may_go_on_is_not_sent_as_if_it_did_not() {
    let server = ScriptedServer::start([]).await;
    let sent = client(&server).send::<Value>(&migrate(), &CancellationToken::new()).await;
    assert!(matches!(sent, Err(ArmError::BadRequest { .. })));
    assert!(server.received().is_empty());
}

/// A host, and whether it is the one that [`no_kept_text_leads_elsewhere`] asks.
const HOSTS: &[(&str, bool)] = &[
    ("http://127.0.0.1:9", true),
    ("HTTP://127.0.0.1:9", true),
    ("http://127.1:9", true),
    ("", true),
    ("https://127.0.0.1:9", false),
    ("http://127.0.0.1", false),
    ("http://127.0.0.1:90", false),
    ("http://127.0.0.1:9@evil.example", false),
    ("http://user@127.0.0.1:9", false),
    ("http://127.0.0.1:9.evil.example", false),
    ("//evil.example", false),
    ("\\\\evil.example", false),
    ("file://127.0.0.1:9", false),
    ("http://evil.example#127.0.0.1:9", false),
];

proptest! {
    #[test]
    fn no_kept_text_leads_elsewhere(
        operation in prop_oneof![
            prop::sample::select(operations::ALL).prop_map(|operation| operation.name.to_owned()),
            "\\PC{0,40}",
        ],
        id in "\\PC{0,40}",
        api_version in "\\PC{0,20}",
        hosts in prop::array::uniform2(prop::option::of(prop::sample::select(HOSTS))),
        path in "/([a-z]{1,8}/?){0,3}(\\?\\PC{0,20})?",
    ) {
        let url = |host: Option<(&str, bool)>| host.map(|(host, _)| format!("{host}{path}"));
        let kept = json!({
            "operation": operation, "id": id, "api_version": api_version,
            "status_url": url(hosts[0]), "location": url(hosts[1]),
        });
        let endpoint = Some("http://127.0.0.1:9".parse().unwrap());
        let client = client_with(ArmOptions { endpoint, ..ArmOptions::default() });

        let resumed = client.resume(serde_json::from_value::<Tracking>(kept).unwrap());

        let is_known = Operation::named(&operation).is_some();
        let stays = hosts.iter().flatten().all(|(_, own)| *own);
        match resumed {
            Ok(started) => prop_assert!(is_known && stays, "{:?}", started),
            Err(ArmError::BadRequest { .. }) => prop_assert!(!is_known),
            Err(ArmError::ForeignUrl { .. } | ArmError::UnexpectedAnswer { .. }) => prop_assert!(!stays),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
