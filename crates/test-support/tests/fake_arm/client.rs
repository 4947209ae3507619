//! A plain client: one request, one answer, and polling as the documents say.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use libmigrate_test_support::fake_arm::FakeArm;
use serde_json::Value;

/// A client of one fake.
pub struct ArmClient {
    base: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    /// `error.code`, or nothing.
    pub fn code(&self) -> &str {
        self.body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A text in the body.
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl ArmClient {
    pub fn of(fake: &FakeArm) -> Self {
        let base = fake.endpoint().as_str().trim_end_matches('/').to_owned();
        Self { base, http: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends to a path with the version of its service; nothing comes back where the connection is closed.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Reply> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = if path.contains("api-version=") {
            path.to_owned()
        } else {
            format!("{path}{separator}api-version={}", version(path))
        };
        let url = if url.starts_with("http") { url } else { format!("{}{url}", self.base) };
        let request = Request::builder()
            .method(method)
            .uri(url.replace(' ', "%20"))
            .header("authorization", "Bearer token")
            .header("content-type", "application/json");
        self.exchange(request.body(body.map_or_else(String::new, Value::to_string).into()).unwrap()).await
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request as it is.
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> Option<Reply> {
        let response = self.http.request(request).await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Some(Reply { status, headers, body })
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_send(method, path, body).await.expect("an answer comes")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, Some(body)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, Some(body)).await
    }

    /// Follows an operation to its end: the last status, or the result.
    pub async fn wait(&self, reply: &Reply) -> Reply {
        let link = reply.header("azure-asyncoperation").or_else(|| reply.header("location"));
        let link = link.unwrap_or_else(|| panic!("no operation in {reply:?}")).to_owned();
        for _ in 0..100 {
            let now = self.get(&link).await;
            if now.status != 202 && now.text("/status") != "InProgress" {
                return now;
            }
        }
        panic!("{link} does not end");
    }

    /// Does something and waits until it is done.
    ///
    /// # Panics
    /// When it fails.
    pub async fn do_and_wait(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let begun = self.send(method, path, body).await;
        assert!(begun.status < 300, "{method} {path}: {begun:?}");
        if begun.header("azure-asyncoperation").is_none() && begun.header("location").is_none() {
            return begun;
        }
        let ended = self.wait(&begun).await;
        assert!(ended.status < 300 && ended.text("/status") != "Failed", "{method} {path}: {ended:?}");
        ended
    }
}

/// The version of the published contract of each service.
fn version(path: &str) -> &'static str {
    let path = path.to_ascii_lowercase();
    let last = path.rfind("/providers/").map_or("", |at| &path[at..]);
    let table = [
        ("microsoft.authorization", "2022-04-01"),
        ("microsoft.compute/disk", "2023-10-02"),
        ("microsoft.compute/skus", "2021-07-01"),
        ("microsoft.compute", "2024-03-01"),
        ("microsoft.migrate", "2023-01-01"),
        ("privatednszones", "2024-06-01"),
        ("microsoft.network", "2024-01-01"),
        ("microsoft.offazure", "2023-06-06"),
        ("microsoft.recoveryservices", "2024-04-01"),
        ("microsoft.storage", "2023-05-01"),
    ];
    table.iter().find(|(part, _)| last.contains(part)).map_or_else(
        || if path.contains("resourcegroups") { "2021-04-01" } else { "2022-12-01" },
        |(_, version)| version,
    )
}
