//! One request: what is sent, what is sent again, and which error each answer is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error as AzureError, ErrorKind as AzureErrorKind};
use libmigrate::control::ArmId;
use libmigrate::control::arm::{ArmClient, ArmError, ArmOptions, Precondition, Request, operations};
use libmigrate::error::{Diagnose, ErrorKind};
use libmigrate::private_link::{Cloud, TransportOptions};
use libmigrate::{CancellationToken, RetryPolicy};
use serde_json::{Value, json};

use super::scripted_server::{Reply, ScriptedServer};
use super::{TOKEN, Tokens, account, client, client_with, disk, group, item, options, vault};

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": code, "message": message}}))
}

fn found() -> Reply {
    Reply::json(200, &json!({"name": "found"})).with("ETag", "\"7\"").with("x-ms-request-id", "r-1")
}

fn read() -> Request {
    operations::VAULTS_GET.on(&vault())
}

fn update() -> Request {
    operations::STORAGE_ACCOUNTS_UPDATE.on(&account()).with_body(&json!({"tags": {}})).unwrap()
}

fn verb() -> Request {
    operations::MIGRATION_ITEMS_MIGRATE.on(&item()).with_body(&json!({})).unwrap()
}

fn record() -> Request {
    let zone = group().resource("Microsoft.Network", "privateDnsZones", "privatelink.blob.core.windows.net");
    operations::RECORD_SETS_CREATE_OR_UPDATE.on(&zone.child("A", "cache")).with_body(&json!({})).unwrap()
}

/// What became of the request, and how often it came in.
async fn sent(request: Request, script: Vec<Reply>) -> (Result<Value, ArmError>, usize) {
    let server = ScriptedServer::start(script).await;
    let client = client(&server);
    let result = client.run(&request, &CancellationToken::new()).await.map(|answer| answer.body);
    (result, server.received().len())
}

async fn refused(request: Request, reply: Reply) -> ArmError {
    sent(request, vec![reply]).await.0.unwrap_err()
}

#[tokio::test]
async fn a_request_has_token_version_body_and_says_who_it_is() {
    let server = ScriptedServer::start([found()]).await;
    let answer = client(&server).send::<Value>(&update(), &CancellationToken::new()).await.unwrap();
    assert_eq!(
        (answer.status, answer.etag.as_deref(), answer.request_id.as_deref()),
        (200, Some("\"7\""), Some("r-1"))
    );
    let request = &server.received()[0];
    assert!(request.line.starts_with("PATCH /subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/"));
    assert!(request.line.ends_with("storageAccounts/cache?api-version=2023-05-01"), "{}", request.line);
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}1")));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("user-agent").unwrap().starts_with("libmigrate-"));
    assert!(request.header("x-ms-client-request-id").is_some());
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), json!({"tags": {}}));
}

#[tokio::test]
async fn one_token_serves_until_it_is_soon_to_expire() {
    for (short, given) in [(false, [1, 1, 1]), (true, [1, 2, 3])] {
        let server = ScriptedServer::start(vec![found(); 3]).await;
        let tokens = Arc::new(Tokens { short, ..Tokens::default() });
        let client = ArmClient::new(Cloud::Public, tokens, options(&server)).unwrap();
        for _ in 0..3 {
            client.send::<Value>(&read(), &CancellationToken::new()).await.unwrap();
        }
        let tokens = given.map(|number| format!("Bearer {TOKEN}{number}"));
        let sent: Vec<String> =
            server.received().iter().map(|request| request.header("authorization").unwrap().to_owned()).collect();
        assert_eq!(sent, tokens);
    }
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_replaced_once() {
    let (result, times) = sent(read(), vec![Reply::status(401), found()]).await;
    assert_eq!((result.unwrap()["name"].as_str(), times), (Some("found"), 2));

    let script = vec![Reply::status(401), refusal(401, "InvalidAuthenticationToken", "expired")];
    let (result, times) = sent(read(), script).await;
    let error = result.unwrap_err();
    assert_eq!((error.code(), times), ("arm.unauthorized", 2));
    assert!(error.to_string().contains("InvalidAuthenticationToken: expired"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_no_error_to_who_asks_whether_it_is() {
    let server = ScriptedServer::start([refusal(404, "ResourceNotFound", "no"), found()]).await;
    let (client, cancel) = (client(&server), CancellationToken::new());
    assert_eq!(client.find::<Value>(&operations::VAULTS_GET, &vault(), &cancel).await.unwrap(), None);
    assert!(client.find::<Value>(&operations::VAULTS_GET, &vault(), &cancel).await.unwrap().is_some());
}

#[tokio::test]
async fn throttled_requests_are_sent_again_when_the_service_says() {
    for request in [read(), update(), verb(), record()] {
        let later = refusal(429, "TooManyRequests", "slow down").with("x-ms-retry-after-ms", "200");
        let since = Instant::now();
        let (result, times) = sent(request, vec![later, Reply::json(200, &json!({}))]).await;
        assert_eq!((result.is_ok(), times), (true, 2), "{result:?}");
        assert!(since.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn a_date_to_come_back_that_is_beyond_the_budget_ends_the_attempts() {
    let in_an_hour = jiff::Timestamp::now() + Duration::from_secs(3600);
    let date = in_an_hour.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let error = refused(read(), refusal(429, "TooManyRequests", "slow down").with("Retry-After", date)).await;
    let ArmError::Throttled { attempts: 1, retry_after: Some(wait), .. } = error else { panic!("{error}") };
    assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600), "{wait:?}");
}

#[tokio::test]
async fn a_date_to_come_back_is_waited_for() {
    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    let date = soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let since = Instant::now();
    let (result, _) = sent(read(), vec![Reply::status(503).with("Retry-After", date), found()]).await;
    assert!(result.is_ok() && since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
}

#[tokio::test]
async fn the_budget_ends() {
    let server = ScriptedServer::start(vec![refusal(503, "ServerBusy", "later"); 1000]).await;
    let retry = RetryPolicy { budget: Duration::from_millis(30), ..options(&server).retry };
    let client = client_with(ArmOptions { retry, ..options(&server) });
    let error = client.send::<Value>(&read(), &CancellationToken::new()).await.unwrap_err();
    let ArmError::Unavailable { attempts, status: 503, .. } = error else { panic!("{error}") };
    assert_eq!(attempts as usize, server.received().len());
    assert!(attempts > 1);
    assert_eq!(error.kind(), ErrorKind::Retryable);
}

#[tokio::test]
async fn a_busy_resource_is_waited_for_and_any_other_conflict_is_not() {
    for busy in [
        refusal(409, "AnotherOperationInProgress", "x"),
        refusal(409, "Conflict", "Another operation on this item is in progress."),
        Reply::json(409, &json!({"code": "BadRequest", "details": [{"code": "RetryableError", "message": "x"}]})),
    ] {
        let (result, times) = sent(verb(), vec![busy, Reply::status(200)]).await;
        assert_eq!((result.is_ok(), times), (true, 2), "{result:?}");
    }
    let (result, times) = sent(update(), vec![refusal(409, "RoleAssignmentExists", "x"), found()]).await;
    assert!(matches!(result, Err(ArmError::Conflict { .. })) && times == 1);

    let server = ScriptedServer::start(vec![refusal(409, "OperationInProgress", "x"); 1000]).await;
    let retry = RetryPolicy { budget: Duration::from_millis(30), ..options(&server).retry };
    let client = client_with(ArmOptions { retry, ..options(&server) });
    let error = client.send::<Value>(&update(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("arm.busy", ErrorKind::Retryable));
}

#[tokio::test]
async fn what_can_be_done_twice_is_sent_again_when_the_answer_is_lost() {
    for lost in [Reply::lost(), found().cut_after(30), found().short_of(5), Reply::status(500), Reply::status(504)] {
        for request in [read(), update()] {
            let (result, times) = sent(request, vec![lost.clone(), found()]).await;
            assert_eq!((result.unwrap()["name"].as_str(), times), (Some("found"), 2));
        }
    }
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_in_doubt_when_the_answer_is_lost() {
    for lost in [Reply::lost(), found().cut_after(30), Reply::status(500), Reply::status(504)] {
        for request in [verb(), record().only_if(Precondition::Absent)] {
            let (result, times) = sent(request, vec![lost.clone(), found()]).await;
            assert!(matches!(result, Err(ArmError::InDoubt { .. })), "{result:?}");
            assert_eq!(times, 1);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let server = ScriptedServer::start([]).await;
    let gone = ArmOptions {
        retry: RetryPolicy { budget: Duration::from_millis(20), ..options(&server).retry },
        endpoint: Some("http://127.0.0.1:1".parse().unwrap()),
        ..options(&server)
    };
    let error = client_with(gone).run::<Value>(&verb(), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, ArmError::Unreachable { attempts: 2.., .. }), "{error}");
}

#[tokio::test]
async fn a_condition_is_a_header_and_its_breach_an_error() {
    let cases =
        [(Precondition::Absent, "if-none-match", "*"), (Precondition::Unchanged("\"7\"".into()), "if-match", "\"7\"")];
    for (condition, header, value) in cases {
        let server = ScriptedServer::start([refusal(412, "PreconditionFailed", "x")]).await;
        let sent = client(&server).send::<Value>(&record().only_if(condition), &CancellationToken::new()).await;
        assert!(matches!(sent, Err(ArmError::Precondition { .. })), "{sent:?}");
        assert_eq!(server.received()[0].header(header), Some(value));
    }
}

#[tokio::test]
async fn each_refusal_is_its_own_error() {
    let code = |reply| async { refused(read(), reply).await.code() };
    assert_eq!(code(refusal(400, "InvalidRequest", "x")).await, "arm.rejected");
    assert_eq!(code(refusal(403, "AuthorizationFailed", "x")).await, "arm.forbidden");
    assert_eq!(code(refusal(403, "RequestDisallowedByPolicy", "x")).await, "arm.rejected");
    assert_eq!(code(refusal(404, "SubscriptionNotFound", "x")).await, "arm.not_found");
    assert_eq!(code(refusal(418, "Teapot", "x")).await, "arm.rejected");
    assert_eq!(code(Reply::status(202)).await, "arm.unexpected_answer");
    assert_eq!(code(Reply::status(302).with("Location", "http://evil.example")).await, "arm.unexpected_answer");
}

#[tokio::test]
async fn a_forbidden_request_names_the_permission_that_is_missing() {
    let message = "The client 'c' with object id 'o' does not have authorization to perform action \
                   'Microsoft.Network/privateEndpoints/write' over scope '/subscriptions/s' or the scope is invalid.";
    let error = refused(read(), refusal(403, "AuthorizationFailed", message)).await;
    let ArmError::Forbidden { missing: Some(missing), .. } = &error else { panic!("{error}") };
    assert_eq!(missing.action, "Microsoft.Network/privateEndpoints/write");
    assert!(error.to_string().contains("Microsoft.Network/privateEndpoints/write is needed on /subscriptions/s"));
}

#[tokio::test]
async fn an_answer_that_is_none_of_the_contract_is_told() {
    let problem = |reply| async { refused(read(), reply).await.to_string() };
    assert!(problem(Reply::text(200, r#"{"name": "fou"#)).await.contains("cut off after 13 bytes"));
    assert!(problem(Reply::text(200, "<html>Sign in</html>")).await.contains("no JSON"));
    assert!(problem(Reply::text(200, "x".repeat((16 << 20) + 1))).await.contains("longer than 16777216 bytes"));
    let no_json = refused(read(), Reply::text(400, "<html>Bad</html>").with("x-ms-request-id", "r-9")).await;
    assert!(no_json.to_string().ends_with("rejected with status 400: status 400, request r-9"), "{no_json}");

    for reply in [Reply::json(200, &json!(["name"])), Reply::json(200, &json!({"name": 7})), Reply::status(200)] {
        let server = ScriptedServer::start([reply]).await;
        let sent = client(&server).send::<BTreeMap<String, String>>(&read(), &CancellationToken::new()).await;
        assert!(matches!(sent, Err(ArmError::UnexpectedAnswer { .. })), "{sent:?}");
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_asked_for_is_not_sent() {
    let server = ScriptedServer::start([]).await;
    let (client, cancel) = (client(&server), CancellationToken::new());
    for id in ["", "web01", "/subscriptions/s/../x", "/subscriptions/s/resourceGroups/g?x=y", "http://evil.example"] {
        let error = client.get::<Value>(&operations::VAULTS_GET, &ArmId::new(id), &cancel).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("arm.bad_id", ErrorKind::Caller), "{id}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_request_ends_with_its_cancellation() {
    let server = ScriptedServer::start([Reply::silence()]).await;
    let (client, cancel) = (client(&server), CancellationToken::new());
    let stop = async {
        while server.received().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancel.cancel();
        Instant::now()
    };
    let request = read();
    let (sent, since) = tokio::join!(client.send::<Value>(&request, &cancel), stop);
    assert!(matches!(sent, Err(ArmError::Cancelled { .. })), "{sent:?}");
    assert!(since.elapsed() < Duration::from_secs(1));
    assert!(matches!(client.send::<Value>(&read(), &cancel).await, Err(ArmError::Cancelled { .. })));
}

#[tokio::test]
async fn no_error_shows_a_token_or_a_signature() {
    let echo = format!("you sent Bearer {TOKEN}1 and {TOKEN}1 and https://a/b?sig=canary&x");
    let echoed = json!({"error": {"code": "X", "message": echo, "target": echo,
        "details": [{"code": echo, "message": echo}], "additionalInfo": [{"a": [echo]}]}});
    for status in [400, 401, 403, 404, 409, 412] {
        let reply = Reply::json(status, &echoed).with("x-ms-request-id", echo.clone()).with("www-authenticate", &*echo);
        let (result, _) = sent(read(), vec![reply; 2]).await;
        let error = result.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{status}: {error:?}");
    }
    let accepted = Reply::status(202).with("Azure-AsyncOperation", "{here}/status?sig=canary");
    let failed = Reply::json(200, &json!({"status": "Failed", "error": {"code": echo, "message": echo}}));
    let error = sent(verb(), vec![accepted, failed]).await.0.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    let server = ScriptedServer::start([Reply::json(200, &json!(echo))]).await;
    let error = client(&server).send::<u64>(&read(), &CancellationToken::new()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert!(!format!("{:?} {:?}", client(&server), options(&server)).contains("canary"));
}

/// Fails as told, or never answers.
#[derive(Debug)]
struct NoToken(Option<AzureErrorKind>);

#[async_trait]
impl TokenCredential for NoToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        match &self.0 {
            Some(kind) => Err(AzureError::with_message(kind.clone(), "AADSTS7000215: client_secret=canary is wrong")),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn a_token_that_does_not_come_is_told_apart_from_one_that_is_refused() {
    let server = ScriptedServer::start([]).await;
    let without = |kind| {
        let options = ArmOptions {
            transport: TransportOptions { base_timeout: Duration::from_millis(50), ..TransportOptions::default() },
            retry: RetryPolicy { budget: Duration::from_millis(20), ..options(&server).retry },
            ..options(&server)
        };
        let client = ArmClient::new(Cloud::Public, Arc::new(NoToken(kind)), options).unwrap();
        async move { client.run::<Value>(&verb(), &CancellationToken::new()).await.unwrap_err() }
    };
    let late = without(None).await;
    assert!(
        matches!(late, ArmError::Unreachable { .. }) && late.to_string().contains("no token within 50ms"),
        "{late}"
    );
    assert!(matches!(without(Some(AzureErrorKind::Io)).await, ArmError::Unreachable { .. }));
    for kind in [AzureErrorKind::Credential, AzureErrorKind::Other] {
        let refused = without(Some(kind)).await;
        assert!(matches!(refused, ArmError::Unauthorized { .. }), "{refused}");
        assert!(refused.to_string().contains("AADSTS7000215") && !format!("{refused:?}").contains("canary"));
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn plain_http_and_other_hosts_are_for_this_machine_only() {
    for endpoint in ["http://10.0.0.1", "https://evil.example", "http://localhost.evil.example", "ftp://127.0.0.1"] {
        let options = ArmOptions { endpoint: Some(endpoint.parse().unwrap()), ..ArmOptions::default() };
        let made = ArmClient::new(Cloud::Public, Arc::<Tokens>::default(), options);
        assert!(matches!(made, Err(ArmError::BadRequest { .. })), "{endpoint}");
    }
    for cloud in Cloud::ALL {
        let client = ArmClient::new(cloud, Arc::<Tokens>::default(), ArmOptions::default()).unwrap();
        assert!(format!("{client:?}").contains(cloud.resource_manager_host()));
        assert_eq!(cloud.resource_manager_scope(), format!("https://{}/.default", cloud.resource_manager_host()));
    }
}

#[tokio::test]
async fn another_version_of_the_contract_is_sent_where_it_is_asked_for() {
    let server = ScriptedServer::start([Reply::status(200)]).await;
    let grant = operations::DISKS_REVOKE_ACCESS.on(&disk()).at_version("2099-01-01");
    client(&server).run::<Value>(&grant, &CancellationToken::new()).await.unwrap();
    assert!(server.received()[0].line.ends_with("/disks/os/endGetAccess?api-version=2099-01-01"));
}
