//! A way to the fake on which a client is killed at a request: before it arrives, or before its answer does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use libmigrate::CancellationToken;
use libmigrate_test_support::fake_arm::FakeArm;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// When the client is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request does not arrive.
    Before,
    /// The service acts, and its answer does not arrive.
    After,
}

/// At which request, from 1; and what stops the client.
struct Order {
    request: usize,
    moment: Moment,
    cancel: CancellationToken,
}

struct Shared {
    fake: SocketAddr,
    own: SocketAddr,
    order: Mutex<Option<Order>>,
    asked: Mutex<usize>,
}

pub struct Killer {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Killer {
    pub async fn before(fake: &FakeArm) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let fake = fake.endpoint().socket_addrs(|| None).unwrap()[0];
        let own = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { fake, own, order: Mutex::default(), asked: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, accepting }
    }

    pub fn endpoint(&self) -> Url {
        Url::parse(&format!("http://{}/", self.shared.own)).unwrap()
    }

    /// Kills at that request, counted from now; what it cancels.
    pub fn kill_at(&self, request: usize, moment: Moment) -> CancellationToken {
        let cancel = CancellationToken::new();
        *self.shared.asked.lock().unwrap() = 0;
        *self.shared.order.lock().unwrap() = Some(Order { request, moment, cancel: cancel.clone() });
        cancel
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(pass(client, Arc::clone(&shared)));
    }
}

/// One request, and its answer; then the connection ends.
async fn pass(mut client: TcpStream, shared: Arc<Shared>) {
    let Some(request) = read_request(&mut client).await else { return };
    let number = {
        let mut asked = shared.asked.lock().unwrap();
        *asked += 1;
        *asked
    };
    let order = {
        let mut order = shared.order.lock().unwrap();
        if order.as_ref().is_some_and(|order| order.request == number) { order.take() } else { None }
    };
    if let Some(Order { moment: Moment::Before, cancel, .. }) = &order {
        cancel.cancel();
        return std::future::pending().await;
    }
    let mut service = TcpStream::connect(shared.fake).await.unwrap();
    service.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    let _ = service.read_to_end(&mut answer).await;
    if let Some(Order { cancel, .. }) = &order {
        cancel.cancel();
        return std::future::pending().await;
    }
    let _ = client.write_all(&with_own_links(&answer, &shared)).await;
}

/// Headers and body, asked to be the last of the connection.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let first = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    bytes.splice(first..first, *b"connection: close\r\n");
    Some(bytes)
}

/// The answer, with the links in its headers leading here.
fn with_own_links(answer: &[u8], shared: &Shared) -> Vec<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).replace(&shared.fake.to_string(), &shared.own.to_string());
    [head.as_bytes(), &answer[end..]].concat()
}
