//! Services that repeat whatever they were asked, in every part of their answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the next answers look like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) status: u16,
    /// `x-ms-error-code`; empty: the request itself.
    pub(crate) code: String,
}

pub(crate) struct Echo {
    pub(crate) address: std::net::SocketAddr,
    manner: Arc<Mutex<Manner>>,
    heads: Arc<Mutex<String>>,
}

impl Echo {
    /// Over TLS when there is an acceptor.
    pub(crate) async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, heads) = (Arc::<Mutex<Manner>>::default(), Arc::<Mutex<String>>::default());
        let shared = (Arc::clone(&manner), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let ((manner, heads), tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(socket, &manner, &heads).await };
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, &manner, &heads).await;
                    }
                });
            }
        });
        Self { address, manner, heads }
    }

    pub(crate) fn answer_with(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The heads of all requests: what a test must find the secrets in, or it has shown nothing.
    pub(crate) fn heads(&self) -> String {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, manner: &Mutex<Manner>, heads: &Mutex<String>) {
    let mut socket = BufReader::new(socket);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !socket.read_line(&mut head).await.is_ok_and(|len| len > 0) {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        let len = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; len];
        if socket.read_exact(&mut body).await.is_err() {
            return;
        }
        heads.lock().unwrap().push_str(&head);
        let manner = manner.lock().unwrap().clone();
        if socket.write_all(answer(&head, &manner).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(head: &str, Manner { status, code }: &Manner) -> String {
    let line = head.trim_end().replace("\r\n", "; ");
    let target = head.split(' ').nth(1).unwrap_or("/");
    let decoded = percent_encoding::percent_decode_str(&line).decode_utf8_lossy().replace(['\r', '\n'], " ");
    let code = if code.is_empty() { line.clone() } else { code.clone() };
    let words = format!("{line} decoded {decoded}").replace('&', "&amp;").replace('<', "&lt;");
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{words}</Code><Message>The request {words}\nwas not liked.</Message>\
         <AuthenticationErrorDetail>expired, or not in the time frame: {words}</AuthenticationErrorDetail></Error>"
    );
    let body = if head.starts_with("HEAD ") { String::new() } else { body };
    format!(
        "HTTP/1.1 {status} {line}\r\nx-ms-error-code: {code}\r\nx-ms-request-id: {line}\r\nretry-after: {line}\r\n\
         location: http://127.0.0.1:9{target}\r\nwww-authenticate: Bearer {line}\r\netag: {line}\r\ndate: {line}\r\n\
         x-ms-version: {line}\r\nx-ms-blob-type: {line}\r\nx-ms-snapshot: {line}\r\ncontent-type: application/xml\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
