//! Azurite, Microsoft's storage emulator, for as long as a test needs it.
//!
//! Each [`Azurite`] is a process of its own with an empty account, on a port that the system chose, over
//! plain http on loopback. It keeps its blobs in a temporary folder: in memory mode Azurite 3.37 stopped
//! answering after some ten thousand small writes (seen 2026-11). It ends, and its folder goes, when the value
//! is dropped, and also when the test process ends without dropping it or is killed (`azurite-keeper.mjs`).
//!
//! Everything here blocks, for a second or so at the start; the emulator needs no thread of the test's.
//!
//! The account and its key are public and the same everywhere.
//! Source: Microsoft Learn, "Connect to Azurite with SDKs and tools".
//!
//! What Azurite 3.37 does not do as Azure does: it answers a page-range diff with the full list, ignores
//! `maxresults` of page lists, accepts a Put Page beyond 4 MiB or across the end of the blob, and answers a
//! resize under an account's shared access signature with an empty 500.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tempfile::TempDir;

use crate::tools;

const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Names the endpoint of an Azurite that runs already, `http://127.0.0.1:10000/devstoreaccount1`; no other is
/// started then.
pub const RUNNING: &str = "LIBMIGRATE_AZURITE";

/// Starting takes about a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Far more than the headers and the error text that an answer to Create Container has.
const ANSWER_MAX_BYTES: u64 = 64 << 10;

/// A blob service that ends with this value.
#[derive(Debug)]
pub struct Azurite {
    endpoint: String,
    process: Option<Process>,
}

impl Azurite {
    /// Starts one, and returns when it answers; `None` when it is not installed. Any number may run side by
    /// side.
    ///
    /// # Panics
    /// When it is not installed but must be, or does not start.
    pub fn start() -> Option<Self> {
        if let Ok(endpoint) = std::env::var(RUNNING) {
            return Some(Self::running(&endpoint).expect("the endpoint can be used"));
        }
        Self::start_own()
    }

    /// One for all tests of a binary, each in a container of its own.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Azurite>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start_own() -> Option<Self> {
        let node = tools::installed("npm/node_modules/.bin/node");
        let azurite = tools::installed("npm/node_modules/azurite/dist/src/blob/main.js");
        if !node.exists() || !azurite.exists() {
            tools::missing("Azurite");
            return None;
        }
        Some(Self::start_from(&node, &azurite).expect("Azurite starts"))
    }

    fn start_from(node: &Path, azurite: &Path) -> Result<Self> {
        let (mut process, stdout) = Process::spawn(node, azurite)?;
        match address(stdout).recv_timeout(START_LIMIT) {
            Ok(address) => Ok(Self { endpoint: format!("{address}/{ACCOUNT}"), process: Some(process) }),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("Azurite did not listen within {START_LIMIT:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                bail!("Azurite ended before it listened ({}); its words are above", process.child.wait()?)
            }
        }
    }

    fn running(endpoint: &str) -> Result<Self> {
        let endpoint = endpoint.trim_end_matches('/');
        ensure!(
            endpoint.starts_with("http://") && endpoint.ends_with(ACCOUNT),
            "{RUNNING} must look like http://127.0.0.1:10000/{ACCOUNT}, not {endpoint}"
        );
        Ok(Self { endpoint: endpoint.to_owned(), process: None })
    }

    /// The blob service of the account, `http://127.0.0.1:PORT/devstoreaccount1`; containers and blobs follow.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The URL of a blob.
    pub fn blob_url(&self, container: &str, blob: &str) -> String {
        format!("{}/{container}/{blob}", self.endpoint)
    }

    /// The name of the account.
    pub fn account(&self) -> &'static str {
        ACCOUNT
    }

    /// The key of the account, in Base64.
    pub fn key(&self) -> &'static str {
        KEY
    }

    /// The process, to watch what it uses; `None` when it was running already.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Where it keeps its blobs, in a form of its own; `None` when it was running already.
    pub fn folder(&self) -> Option<&Path> {
        self.process.as_ref().map(|process| process.folder.path())
    }

    /// Endpoint, account and key in the form that Microsoft's clients read.
    pub fn connection_string(&self) -> String {
        let endpoint = &self.endpoint;
        format!("DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};")
    }

    /// A shared access signature for everything in the account until the year 2100: the query of a URL,
    /// without its `?`.
    ///
    /// Source: Microsoft Learn, "Create an account SAS", version 2018-11-09 and later.
    pub fn account_sas(&self) -> String {
        let (version, permissions, services, types) = ("2020-08-04", "rwdlacupt", "b", "sco");
        let (expiry, protocol) = ("2099-12-31T00:00:00Z", "https,http");
        let signed = format!("{ACCOUNT}\n{permissions}\n{services}\n{types}\n\n{expiry}\n\n{protocol}\n{version}\n");
        let signature = signature(&signed);
        let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("sv={version}&ss={services}&srt={types}&sp={permissions}&se={expiry}&spr={protocol}&sig={signature}")
    }

    /// Makes a container, unless it is there. Names have three characters or more: lower-case letters, digits
    /// and `-`.
    pub fn create_container(&self, name: &str) -> Result<()> {
        let answer = self.exchange("PUT", &format!("/{name}?restype=container&{}", self.account_sas()))?;
        let there = answer.starts_with("HTTP/1.1 201 ") || answer.contains("ContainerAlreadyExists");
        ensure!(there, "cannot create container {name}: {answer}");
        Ok(())
    }

    /// Sends a request without a body, for what lies below the endpoint, and returns the whole answer.
    fn exchange(&self, method: &str, path_and_query: &str) -> Result<String> {
        let host = self.endpoint.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let request = format!(
            "{method} /{ACCOUNT}{path_and_query} HTTP/1.1\r\nhost: {host}\r\nx-ms-version: 2021-12-02\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        );
        let talk = || {
            let mut stream = TcpStream::connect(host)?;
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        talk().with_context(|| format!("cannot talk to Azurite at {host}"))
    }
}

/// Signs with the account's key, as Shared Key and shared access signatures ask for.
fn signature(text: &str) -> String {
    let key = STANDARD.decode(KEY).expect("the key is Base64");
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    hmac.update(text.as_bytes());
    STANDARD.encode(hmac.finalize().into_bytes())
}

/// Sends on the address that Azurite names once it listens, and nothing if it ends before. The rest of what
/// Azurite prints is read and dropped, so that it never waits for a reader.
fn address(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("successfully listens on ") {
                _ = found.send(address.to_owned()); // nobody waits any more: the limit has passed
            }
        }
    });
    address
}

/// The running keeper. Dropping it ends the process first and removes the folder then.
#[derive(Debug)]
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    fn spawn(node: &Path, azurite: &Path) -> Result<(Self, ChildStdout)> {
        let folder = tempfile::Builder::new().prefix("azurite-").tempdir().context("cannot make Azurite's folder")?;
        let mut child = Command::new(node)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/azurite-keeper.mjs"))
            .arg(folder.path())
            .arg(azurite)
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--silent", "--disableTelemetry", "--location"])
            .arg(folder.path())
            .stdin(Stdio::piped()) // held open for as long as the keeper shall live
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", node.display()))?;
        let stdout = child.stdout.take().expect("it is piped");
        Ok((Self { child, folder }, stdout))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_container_is_there_once_it_was_created() {
        let Some(azurite) = Azurite::start_own() else { return };

        azurite.create_container("replicas").unwrap();
        azurite.create_container("replicas").unwrap();

        let listing = azurite.exchange("GET", &format!("/?comp=list&{}", azurite.account_sas())).unwrap();
        assert!(listing.starts_with("HTTP/1.1 200"), "{listing}");
        assert_eq!(listing.matches("<Name>replicas</Name>").count(), 1, "{listing}");
    }

    #[test]
    fn a_request_without_a_signature_is_refused() {
        let Some(azurite) = Azurite::start_own() else { return };
        let answer = azurite.exchange("GET", "/?comp=list").unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }

    #[test]
    fn a_container_name_that_azure_would_refuse_is_an_error() {
        let Some(azurite) = Azurite::start_own() else { return };
        let error = azurite.create_container("no").unwrap_err().to_string();
        assert!(error.contains("OutOfRangeInput"), "{error}");
    }

    #[test]
    fn two_run_side_by_side_with_accounts_of_their_own() {
        let (Some(one), Some(two)) = (Azurite::start_own(), Azurite::start_own()) else { return };
        one.create_container("only-in-one").unwrap();

        let listing = two.exchange("GET", &format!("/?comp=list&{}", two.account_sas())).unwrap();

        assert!(listing.starts_with("HTTP/1.1 200"), "{listing}");
        assert!(!listing.contains("only-in-one"), "{listing}");
    }

    #[test]
    fn nothing_is_left_of_it_once_it_is_dropped() {
        let Some(azurite) = Azurite::start_own() else { return };
        azurite.create_container("replicas").unwrap();
        let (folder, pid) = (azurite.folder().unwrap().to_owned(), azurite.pid().unwrap());
        assert!(folder.exists() && is_alive(pid));

        drop(azurite);

        assert!(!folder.exists());
        assert!(!is_alive(pid));
    }

    #[test]
    fn it_ends_when_its_standard_input_closes_as_when_a_test_is_killed() {
        let Some(mut azurite) = Azurite::start_own() else { return };
        let folder = azurite.folder().unwrap().to_owned();
        let mut process = azurite.process.take().unwrap();

        drop(process.child.stdin.take());

        let limit = Instant::now() + Duration::from_secs(30);
        let ended = loop {
            match process.child.try_wait().unwrap() {
                None if Instant::now() < limit => std::thread::sleep(Duration::from_millis(10)),
                ended => break ended,
            }
        };
        assert!(ended.is_some());
        assert!(!folder.exists());
    }

    #[test]
    fn a_running_one_is_named_by_its_endpoint() {
        let azurite = Azurite::running("http://127.0.0.1:10000/devstoreaccount1/").unwrap();
        assert_eq!(azurite.endpoint(), "http://127.0.0.1:10000/devstoreaccount1");
        assert!(azurite.connection_string().ends_with("BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"));
        assert!(Azurite::running("127.0.0.1:10000").is_err());
    }
}
