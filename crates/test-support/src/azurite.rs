//! A real Azurite for as long as a test needs it.
//!
//! It keeps its blobs on disk (in memory it has been seen to hang after tens of thousands of small writes), in a
//! folder that goes when it does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::tools;

/// The emulator's public account.
const ACCOUNT: &str = "devstoreaccount1";
/// The emulator's public key.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// How long it may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Azurite; it ends when dropped, and with this process.
#[derive(Debug)]
pub struct Azurite {
    port: u16,
    /// Killed by closing its standard input.
    keeper: Child,
    _folder: tempfile::TempDir,
}

impl Azurite {
    /// Starts the blob service on a free port and waits until it answers; `None` when it is not installed.
    ///
    /// # Panics
    /// When it is installed but does not start.
    pub fn start() -> Option<Self> {
        let modules = tools::folder().join("npm/node_modules");
        let (node, azurite) = (modules.join(".bin/node"), modules.join("azurite/dist/src/blob/main.js"));
        if !node.exists() || !azurite.exists() {
            tools::missing("Azurite");
            return None;
        }
        Some(Self::start_from(&node, &azurite).expect("Azurite starts"))
    }

    fn start_from(node: &Path, azurite: &Path) -> anyhow::Result<Self> {
        // The port is free now; Azurite says at once if somebody was faster.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let keeper = Command::new(node)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("azurite-keeper.mjs"))
            .arg(azurite)
            .args(["--silent", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .arg("--location")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start node")?;
        let mut started = Self { port, keeper, _folder: folder };
        started.wait_until_it_answers()?;
        Ok(started)
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            ensure!(self.keeper.try_wait()?.is_none(), "Azurite ended before it answered");
            ensure!(start.elapsed() < PATIENCE, "Azurite does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// `http://127.0.0.1:PORT/devstoreaccount1`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// The URL of a blob.
    pub fn blob_url(&self, container: &str, blob: &str) -> String {
        format!("{}/{container}/{blob}", self.endpoint())
    }

    /// A connection string with the public key.
    pub fn connection_string(&self) -> String {
        let endpoint = self.endpoint();
        format!("DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};")
    }

    /// Creates a container.
    pub fn create_container(&self, name: &str) -> anyhow::Result<()> {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let signed = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-12-02\n\
             /{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64.decode(KEY)?)?;
        mac.update(signed.as_bytes());
        let signature = BASE64.encode(mac.finalize().into_bytes());
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        write!(
            socket,
            "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-ms-date: {date}\r\n\
             x-ms-version: 2021-12-02\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            self.port
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 201"), "cannot create container {name}: {answer}");
        Ok(())
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_makes_containers_and_ends() {
        let Some(azurite) = Azurite::start() else { return };
        azurite.create_container("replicas").unwrap();
        assert!(azurite.create_container("replicas").is_err(), "it is there already");
        let port = azurite.port;
        drop(azurite);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }
}
