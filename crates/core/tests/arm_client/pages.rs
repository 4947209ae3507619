//! Lists that come in pages.

use libmigrate::CancellationToken;
use libmigrate::control::arm::{ArmError, ArmOptions, operations};
use serde_json::{Value, json};

use super::scripted_server::{Reply, ScriptedServer};
use super::{client, client_with, options, vault};

fn page(entries: &[u32], next: &str) -> Reply {
    Reply::json(200, &json!({"value": entries, "nextLink": next}))
}

async fn listed(script: Vec<Reply>) -> (Result<Vec<u32>, ArmError>, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    let request = operations::JOBS_LIST.on(&vault()).with_query("$filter", "State eq 'Failed'");
    let list = client(&server).list(&request, &CancellationToken::new()).await;
    (list, server)
}

#[tokio::test]
async fn pages_are_followed_to_the_last() {
    let (list, server) =
        listed(vec![page(&[1, 2], "{here}/next?$skipToken=a%2Bb"), page(&[], "{here}/next?2"), page(&[3], "")]).await;
    assert_eq!(list.unwrap(), [1, 2, 3]);
    let lines: Vec<String> = server.received().into_iter().map(|request| request.line).collect();
    assert!(lines[0].ends_with("/vaults/v/replicationJobs?api-version=2024-04-01&%24filter=State%20eq%20%27Failed%27"));
    assert_eq!(lines[1..], ["GET /next?$skipToken=a%2Bb", "GET /next?2"]);
    assert!(server.received().iter().all(|request| request.header("authorization").is_some()));
}

#[tokio::test]
async fn a_page_on_another_host_is_not_followed() {
    for foreign in [
        "https://evil.example/x?token=canary",
        "http://localhost:1/x",
        "//evil.example/x",
        "http://canary@127.0.0.1/x",
        "file:///etc/passwd",
    ] {
        let (list, server) = listed(vec![page(&[1], foreign)]).await;
        let error = list.unwrap_err();
        assert!(matches!(error, ArmError::ForeignUrl { .. }), "{foreign}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn a_user_name_on_the_own_host_is_foreign_too() {
    let server = ScriptedServer::start([]).await;
    let mut with_user = server.url();
    with_user.set_username("canary").unwrap();
    drop(server);
    let (list, _) = listed(vec![page(&[1], with_user.as_str())]).await;
    assert!(matches!(list, Err(ArmError::ForeignUrl { .. })));
}

#[tokio::test]
async fn pages_that_go_in_a_circle_end_with_an_error() {
    let circle = ["{here}/a", "{here}/b", "{here}/a"];
    let (list, server) = listed(circle.iter().map(|next| page(&[1], next)).collect()).await;
    let error = list.unwrap_err().to_string();
    assert!(error.contains("read before"), "{error}");
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn pages_without_an_end_are_cut_off() {
    let server = ScriptedServer::start((0..9).map(|number| page(&[number], &format!("{{here}}/{number}")))).await;
    let client = client_with(ArmOptions { most_pages: 4, ..options(&server) });
    let list = client.list::<Value>(&operations::JOBS_LIST.on(&vault()), &CancellationToken::new()).await;
    let error = list.unwrap_err().to_string();
    assert!(error.contains("goes on after 4 pages"), "{error}");
    assert_eq!(server.received().len(), 4);
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_unexpected() {
    for body in
        [json!({}), json!({"value": null}), json!({"value": ["x"]}), json!([1]), json!({"value": [], "nextLink": 7})]
    {
        let (list, _) = listed(vec![Reply::json(200, &body)]).await;
        assert!(matches!(list, Err(ArmError::UnexpectedAnswer { .. })), "{body}");
    }
    let (list, _) = listed(vec![Reply::json(200, &json!({"value": [7], "nextLink": null, "count": 1}))]).await;
    assert_eq!(list.unwrap(), [7]);
}

#[tokio::test]
async fn only_a_list_is_listed_and_a_list_is_not_sent() {
    let server = ScriptedServer::start([]).await;
    let (client, cancel) = (client(&server), CancellationToken::new());
    let list = client.list::<Value>(&operations::VAULTS_GET.on(&vault()), &cancel).await;
    assert!(matches!(list, Err(ArmError::BadRequest { .. })));
    let send = client.send::<Value>(&operations::JOBS_LIST.on(&vault()), &cancel).await;
    assert!(matches!(send, Err(ArmError::BadRequest { .. })));
    assert!(server.received().is_empty());
}
