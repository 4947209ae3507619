//! A server that answers each request with the next line of its script, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// One line of a script. `{here}` in headers and body becomes the server's own address.
#[derive(Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    end: End,
}

#[derive(Clone, Copy, Default)]
enum End {
    #[default]
    Whole,
    CutAfter(usize),
    ShortOf(usize),
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), ..Self::default() }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// Reads the request and closes the connection.
    pub fn lost() -> Self {
        Self { end: End::CutAfter(0), ..Self::default() }
    }

    /// Reads the request and says nothing, for ever.
    pub fn silence() -> Self {
        Self { end: End::Silence, ..Self::default() }
    }

    /// Closes the connection after so many bytes, headers included.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { end: End::CutAfter(bytes), ..self }
    }

    /// Closes the connection so many bytes before the end.
    pub fn short_of(self, bytes: usize) -> Self {
        Self { end: End::ShortOf(bytes), ..self }
    }

    pub fn with(mut self, header: &str, value: impl Into<String>) -> Self {
        self.headers.push((header.to_owned(), value.into()));
        self
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// `GET /subscriptions/s?api-version=…`
    pub line: String,
    head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub struct ScriptedServer {
    url: Url,
    received: Arc<Mutex<Vec<Received>>>,
    accepting: JoinHandle<()>,
}

impl ScriptedServer {
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (seen, here) = (Arc::clone(&received), url.as_str().trim_end_matches('/').to_owned());
        let mut script: VecDeque<Reply> = script.into_iter().collect();
        let accepting = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let Some(request) = read(&mut socket).await else { continue };
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                let over = Reply::text(418, "the script is over");
                let reply = script.pop_front().unwrap_or(over);
                tokio::spawn(answer(socket, reply, here.clone()));
            }
        });
        Self { url, received, accepting }
    }

    pub fn url(&self) -> Url {
        self.url.clone()
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Method and path of each request, without the query and what all paths begin with.
    pub fn asked(&self) -> Vec<String> {
        let received = self.received();
        received.iter().map(|request| request.line.split('?').next().unwrap().replace(super::GROUP, "…")).collect()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn read(socket: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Received { line, head, body: bytes[head_len..].to_vec() };
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while request.body.len() < length {
        if socket.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}

async fn answer(mut socket: TcpStream, reply: Reply, here: String) {
    if matches!(reply.end, End::Silence) {
        std::future::pending::<()>().await;
    }
    let body = reply.body.replace("{here}", &here);
    let mut text = format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, body.len());
    for (name, value) in reply.headers {
        text.push_str(&format!("{name}: {}\r\n", value.replace("{here}", &here)));
    }
    let mut bytes = format!("{text}\r\n{body}").into_bytes();
    match reply.end {
        End::CutAfter(length) => bytes.truncate(length),
        End::ShortOf(missing) => bytes.truncate(bytes.len() - missing),
        End::Whole | End::Silence => {}
    }
    // The client may have gone away.
    let _ = socket.write_all(&bytes).await;
    let _ = socket.shutdown().await;
}
