//! A DNS server of a test's own: unbound, with the zones that the test writes.
//!
//! Each [`DnsServer`] is a process that knows the lines that it was given, in the notation of zone files, and
//! nothing of the internet. To its clients it is a resolver, as a company's own or Azure's is: it follows an
//! alias from zone to zone and gives the chain in one answer, with NXDOMAIN where the chain ends at a name that
//! is not there, and with TC where the answer is too long for UDP. It ends, and its folder goes, when the value
//! is dropped, and also when the test process ends without dropping it or is killed.
//!
//! Why unbound: dnsmasq has no zones and no wildcards of a type; NSD and Knot answer for their zones only and
//! never follow an alias to another, which is all that a private zone is about.
//!
//! # The lines
//!
//! ```text
//! acct.blob.core.windows.net.             60 IN CNAME acct.privatelink.blob.core.windows.net.
//! acct.privatelink.blob.core.windows.net.  1 IN A     10.0.0.5
//! privatelink.blob.core.windows.net.      60 IN SOA   ns. hostmaster. 1 3600 600 86400 60
//! other.blob.core.windows.net.            REFUSED
//! third.blob.core.windows.net.            SERVFAIL
//! loop.test.                              AUTHORITATIVE
//! ```
//!
//! The name comes first and ends with a dot, the type in capitals. A line with SOA makes a zone; names outside
//! all of them are in the root's, so that what nobody mentions is NXDOMAIN. Three words are not of zone files:
//!
//! - `REFUSED` and `SERVFAIL`: that is the answer for the name and all below it, whatever else stands there. An
//!   alias to a name that fails, fails with the alias in the answer; an alias to a refused one does not notice.
//! - `AUTHORITATIVE`: a zone that is answered without following aliases out of it and without judging them.
//!   Only here is an alias that leads back to itself answered with the chain; elsewhere the answer is SERVFAIL,
//!   as a resolver's is. Not for an alias to a name that is missing: unbound 1.17 forgets the NXDOMAIN there.
//!
//! A TTL counts down between two questions, as a resolver's does.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use self::records::{Records, Zone, mark};
use crate::tools;

mod records;

/// Loopback, and whatever port is free.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long the server may take to listen, or to take new records.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often another port is tried when somebody else was faster to take it.
const PORTS: usize = 5;

/// Runs what follows the folder until its own standard input closes, and removes the folder then. Its standard
/// output is the server's alone, so it closes when the server ends. It outlives the signals that a terminal
/// sends to all.
const KEEPER: &str = r#"
trap '' INT HUP TERM
folder=$1; shift
"$@" </dev/null & server=$!
exec >&-
read -r _
kill -KILL $server 2>/dev/null # it may have ended
wait
rm -rf "$folder"
"#;

/// A DNS server that ends with this value.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    control: PathBuf,
    generation: u32,
    keeper: Keeper,
}

impl DnsServer {
    /// Starts one on loopback, on a free port, and returns when it answers; `None` when it is not installed.
    /// Any number may run side by side.
    ///
    /// # Panics
    /// When it is not installed but must be, does not start, or does not understand a line.
    pub fn start<R: AsRef<str>>(records: &[R]) -> Option<Self> {
        Self::start_at(LOOPBACK, records)
    }

    /// One at this address of the machine's; port 0 stands for a free one.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_at<R: AsRef<str>>(at: SocketAddr, records: &[R]) -> Option<Self> {
        let (Some(unbound), Some(control)) = (tools::on_path("unbound"), tools::on_path("unbound-control")) else {
            tools::missing("unbound");
            return None;
        };
        let records = Records::read(records);
        let tries = if at.port() == 0 { PORTS } else { 1 };
        let start = || Self::start_from(&unbound, &control, at, &records);
        let mut started = start();
        for _ in 1..tries {
            started = started.or_else(|_| start());
        }
        Some(started.expect("unbound starts"))
    }

    fn start_from(unbound: &Path, control: &Path, at: SocketAddr, records: &Records) -> Result<Self> {
        let address = if at.port() == 0 { free_port(at)? } else { at };
        let folder = tempfile::Builder::new().prefix("unbound-").tempdir().context("cannot make unbound's folder")?;
        write_all(folder.path(), address, records, 0)?;
        let keeper = Keeper::spawn(unbound, folder)?;
        let server = Self { address, control: control.to_owned(), generation: 0, keeper };
        server.wait_until_it_knows(records)?;
        Ok(server)
    }

    /// Where it answers, by UDP and by TCP.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from these lines instead, and from nothing else, once this returns. Nobody who asks meanwhile is
    /// refused.
    ///
    /// # Panics
    /// When it does not understand a line.
    pub fn replace<R: AsRef<str>>(&mut self, records: &[R]) {
        self.reload(&Records::read(records)).expect("unbound takes other records");
    }

    fn reload(&mut self, records: &Records) -> Result<()> {
        self.generation += 1;
        write_all(self.keeper.folder.path(), self.address, records, self.generation)?;
        let mut command = Command::new(&self.control);
        command.arg("-c").arg(configuration_file(self.keeper.folder.path())).arg("reload");
        let output = command.stdin(Stdio::null()).output().context("cannot start unbound-control")?;
        ensure!(output.status.success(), "unbound-control: {}", String::from_utf8_lossy(&output.stdout));
        self.wait_until_it_knows(records)
    }

    /// Every zone has a mark. A zone that cannot be read has none, or the whole server ends.
    fn wait_until_it_knows(&self, records: &Records) -> Result<()> {
        let limit = Instant::now() + PATIENCE;
        let mark = mark(self.generation);
        for zone in &records.zones {
            let question = text_question(&zone.mark_name());
            while !ask(self.address, &question).is_ok_and(|answer| contains(&answer, mark.as_bytes())) {
                self.keeper.check()?;
                if Instant::now() > limit {
                    bail!("unbound did not answer from zone {} within {PATIENCE:?}", zone.name);
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }
}

/// The running server and who ends it.
#[derive(Debug)]
struct Keeper {
    child: Child,
    /// Receives nothing; closed when the server has ended.
    server_runs: mpsc::Receiver<()>,
    folder: TempDir,
}

impl Keeper {
    fn spawn(unbound: &Path, folder: TempDir) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder.path())
            .arg(unbound)
            .args(["-d", "-c"])
            .arg(configuration_file(folder.path()))
            .stdin(Stdio::piped()) // held open for as long as the server shall live
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sh")?;
        let mut stdout = child.stdout.take().expect("it is piped");
        let (runs, server_runs) = mpsc::channel();
        thread::spawn(move || {
            _ = stdout.read_to_end(&mut Vec::new());
            drop(runs);
        });
        Ok(Self { child, server_runs, folder })
    }

    fn check(&self) -> Result<()> {
        let ended = self.server_runs.try_recv() == Err(mpsc::TryRecvError::Disconnected);
        let words = || fs::read_to_string(log_file(self.folder.path())).unwrap_or_default();
        ensure!(!ended, "unbound has ended; what it did not write above: {}", words());
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Fails only when it has ended already.
        _ = self.child.wait();
    }
}

fn configuration_file(folder: &Path) -> PathBuf {
    folder.join("unbound.conf")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn write_all(folder: &Path, address: SocketAddr, records: &Records, generation: u32) -> Result<()> {
    let text = format!(
        "server:\n  interface: {ip}@{port}\n  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
         directory: \"{folder}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         logfile: \"{log}\"\n  verbosity: 0\n  num-threads: 1\n  module-config: \"iterator\"\n  max-udp-size: 1232\n\
         remote-control:\n  control-enable: yes\n  control-interface: \"{folder}/control\"\n  \
         control-use-cert: no\n{zones}",
        ip = address.ip(),
        port = address.port(),
        folder = folder.display(),
        log = log_file(folder).display(),
        zones = records.configuration(),
    );
    let write =
        |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    for (index, zone) in records.zones.iter().enumerate() {
        write(&folder.join(Zone::file(index)), &zone.text(generation))?;
    }
    write(&configuration_file(folder), &text)
}

/// A port that is free for both, or was a moment ago.
fn free_port(at: SocketAddr) -> Result<SocketAddr> {
    let mut last = None;
    for _ in 0..100 {
        let udp = UdpSocket::bind(at).with_context(|| format!("cannot listen at {at}"))?;
        let address = udp.local_addr()?;
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    bail!("no port of {at} is free for UDP and TCP: {last:?}")
}

/// The question for the TXT records of a name.
fn text_question(name: &str) -> Vec<u8> {
    let mut question = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]; // recursion desired, one question
    for label in name.trim_end_matches('.').split('.') {
        question.push(label.len() as u8);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend([0, 0, 16, 0, 1]);
    question
}

fn ask(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.connect(server)?;
    socket.send(question)?;
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{IpAddr, TcpStream};

    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, Query, ResponseCode};
    use hickory_resolver::proto::rr::{Name, RecordType};

    use super::*;

    const CHAIN: &str = "acct.blob.core.windows.net. 60 IN CNAME acct.privatelink.blob.core.windows.net.";
    const PRIVATE_ZONE: &str = "privatelink.blob.core.windows.net. 60 IN SOA ns. hostmaster. 1 3600 600 86400 60";
    const ACCOUNT: &str = "acct.blob.core.windows.net.";

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    fn ask_for(server: &DnsServer, name: &str, kind: RecordType) -> Message {
        Message::from_vec(&ask(server.address(), &question(name, kind)).unwrap()).unwrap()
    }

    fn ask_by_tcp(server: &DnsServer, name: &str, kind: RecordType) -> Message {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let question = question(name, kind);
        stream.write_all(&u16::try_from(question.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&question).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).unwrap();
        Message::from_vec(&answer).unwrap()
    }

    /// The response code, and the answer's records as `TYPE data`.
    fn told(message: &Message) -> (ResponseCode, Vec<String>) {
        let record = |record: &hickory_resolver::proto::rr::Record| format!("{} {}", record.record_type(), record.data);
        (message.metadata.response_code, message.answers.iter().map(record).collect())
    }

    #[track_caller]
    fn assert_told(server: &DnsServer, name: &str, kind: RecordType, code: ResponseCode, records: &[&str]) {
        let message = ask_for(server, name, kind);
        assert_eq!(told(&message), (code, records.iter().map(ToString::to_string).collect()), "{message}");
    }

    #[test]
    fn an_alias_is_followed_into_the_private_zone() {
        let records = [CHAIN, PRIVATE_ZONE, "acct.privatelink.blob.core.windows.net. 1 IN A 10.0.0.5"];
        let Some(server) = DnsServer::start(&records) else { return };
        let chain = ["CNAME acct.privatelink.blob.core.windows.net.", "A 10.0.0.5"];
        assert_told(&server, ACCOUNT, RecordType::A, ResponseCode::NoError, &chain);
        assert_eq!(ask_for(&server, ACCOUNT, RecordType::A).answers[1].ttl, 1);
    }

    #[test]
    fn an_alias_to_a_name_that_is_missing_is_told_with_the_name_error_and_the_zones_authority() {
        let Some(server) = DnsServer::start(&[CHAIN, PRIVATE_ZONE]) else { return };
        let chain = ["CNAME acct.privatelink.blob.core.windows.net."];
        assert_told(&server, ACCOUNT, RecordType::A, ResponseCode::NXDomain, &chain);
        let authority = ask_for(&server, ACCOUNT, RecordType::A).authorities.remove(0);
        assert_eq!(authority.name.to_string(), "privatelink.blob.core.windows.net.");
    }

    #[test]
    fn an_alias_goes_on_from_the_private_zone_to_a_public_address() {
        let Some(server) = DnsServer::start(&[
            CHAIN,
            PRIVATE_ZONE,
            "acct.privatelink.blob.core.windows.net. 60 IN CNAME blob.ams07prdstr08a.store.core.windows.net.",
            "blob.ams07prdstr08a.store.core.windows.net. 60 IN A 20.60.0.1",
        ]) else {
            return;
        };
        let chain = [
            "CNAME acct.privatelink.blob.core.windows.net.",
            "CNAME blob.ams07prdstr08a.store.core.windows.net.",
            "A 20.60.0.1",
        ];
        assert_told(&server, ACCOUNT, RecordType::A, ResponseCode::NoError, &chain);
    }

    #[test]
    fn several_addresses_and_those_of_one_family_only_are_told_as_they_are() {
        let Some(server) = DnsServer::start(&[
            "two.test. 60 IN A 10.0.0.5",
            "two.test. 60 IN A 10.0.0.6",
            "six.test. 60 IN AAAA fd00::5",
        ]) else {
            return;
        };
        let mut two = told(&ask_for(&server, "two.test.", RecordType::A)).1;
        two.sort(); // it gives them in turn
        assert_eq!(two, ["A 10.0.0.5", "A 10.0.0.6"]);
        assert_told(&server, "six.test.", RecordType::A, ResponseCode::NoError, &[]);
        assert_told(&server, "six.test.", RecordType::AAAA, ResponseCode::NoError, &["AAAA fd00::5"]);
        assert_told(&server, "seven.test.", RecordType::A, ResponseCode::NXDomain, &[]);
    }

    #[test]
    fn a_wildcard_of_the_private_zone_answers_for_every_alias_into_it() {
        let wildcard = "*.privatelink.blob.core.windows.net. 60 IN A 10.0.0.9";
        let Some(server) = DnsServer::start(&[CHAIN, PRIVATE_ZONE, wildcard]) else { return };
        let chain = ["CNAME acct.privatelink.blob.core.windows.net.", "A 10.0.0.9"];
        assert_told(&server, ACCOUNT, RecordType::A, ResponseCode::NoError, &chain);
    }

    #[test]
    fn an_alias_that_leads_back_fails_or_is_told_where_the_zone_is_authoritative() {
        let Some(server) = DnsServer::start(&[
            "a.test. 60 IN CNAME b.test.",
            "b.test. 60 IN CNAME a.test.",
            "loop.test. AUTHORITATIVE",
            "a.loop.test. 60 IN CNAME b.loop.test.",
            "b.loop.test. 60 IN CNAME a.loop.test.",
        ]) else {
            return;
        };
        assert_told(&server, "a.test.", RecordType::A, ResponseCode::ServFail, &[]);
        let chain = ["CNAME b.loop.test.", "CNAME a.loop.test."];
        assert_told(&server, "a.loop.test.", RecordType::A, ResponseCode::NoError, &chain);
    }

    #[test]
    fn a_name_is_refused_or_fails_whatever_else_is_known_of_it() {
        let Some(server) = DnsServer::start(&[
            CHAIN,
            PRIVATE_ZONE,
            "acct.privatelink.blob.core.windows.net. 60 IN A 10.0.0.5",
            "acct.privatelink.blob.core.windows.net. SERVFAIL",
            "other.blob.core.windows.net. 60 IN A 10.0.0.6",
            "other.blob.core.windows.net. REFUSED",
        ]) else {
            return;
        };
        assert_told(&server, "other.blob.core.windows.net.", RecordType::A, ResponseCode::Refused, &[]);
        assert_told(&server, "acct.privatelink.blob.core.windows.net.", RecordType::A, ResponseCode::ServFail, &[]);
        let chain = ["CNAME acct.privatelink.blob.core.windows.net."];
        assert_told(&server, ACCOUNT, RecordType::A, ResponseCode::ServFail, &chain);
    }

    fn many_addresses() -> Vec<String> {
        (1..=120).map(|last| format!("many.test. 60 IN A 10.0.0.{last}")).collect()
    }

    #[test]
    fn an_answer_too_long_for_udp_is_whole_by_tcp() {
        let Some(server) = DnsServer::start(&many_addresses()) else { return };
        let short = ask_for(&server, "many.test.", RecordType::A);
        assert!(short.metadata.truncation && short.answers.len() < 120, "{short}");
        let whole = ask_by_tcp(&server, "many.test.", RecordType::A);
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 120);
    }

    #[test]
    fn a_resolver_of_others_is_content_with_it() {
        let Some(server) = DnsServer::start(&many_addresses()) else { return };
        let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = server.address().port();
        }
        let name_server = NameServerConfig::new(server.address().ip(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![name_server]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

        let found = runtime.block_on(async {
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.build().unwrap().lookup_ip("many.test.").await.unwrap()
        });

        assert_eq!(found.iter().count(), 120);
    }

    #[test]
    fn it_answers_from_other_records_once_they_replace_the_first() {
        let Some(mut server) = DnsServer::start(&["a.test. 600 IN A 10.0.0.5", "b.test. REFUSED"]) else { return };
        assert_told(&server, "a.test.", RecordType::A, ResponseCode::NoError, &["A 10.0.0.5"]);

        for last in 6..12 {
            server.replace(&[format!("a.test. 600 IN A 10.0.0.{last}"), "x.test. AUTHORITATIVE".into()]);
            let answer = format!("A 10.0.0.{last}");
            assert_told(&server, "a.test.", RecordType::A, ResponseCode::NoError, &[&answer]);
            assert_told(&server, "b.test.", RecordType::A, ResponseCode::NXDomain, &[]);
        }
    }

    #[test]
    fn several_run_side_by_side_and_at_other_addresses() {
        let at: SocketAddr = "127.0.0.53:0".parse().unwrap();
        let Some(one) = DnsServer::start_at(at, &["a.test. 60 IN A 10.0.0.5"]) else { return };
        let two = DnsServer::start(&["a.test. 60 IN A 10.0.0.6"]).unwrap();
        assert_eq!(one.address().ip(), IpAddr::from([127, 0, 0, 53]));
        assert_told(&one, "a.test.", RecordType::A, ResponseCode::NoError, &["A 10.0.0.5"]);
        assert_told(&two, "a.test.", RecordType::A, ResponseCode::NoError, &["A 10.0.0.6"]);
    }

    #[test]
    fn a_line_that_is_no_record_is_not_passed_over() {
        let (Some(unbound), Some(control)) = (tools::on_path("unbound"), tools::on_path("unbound-control")) else {
            return tools::missing("unbound");
        };
        let records = Records::read(&["a.test. 60 IN A 10.0.0.256"]);
        let error = DnsServer::start_from(&unbound, &control, LOOPBACK, &records).unwrap_err();
        assert!(error.to_string().contains("unbound has ended"), "{error}");
    }

    #[test]
    fn nothing_is_left_of_it_once_it_is_dropped() {
        let Some(server) = DnsServer::start(&["a.test. 60 IN A 10.0.0.5"]) else { return };
        let (address, folder) = (server.address(), server.keeper.folder.path().to_owned());
        drop(server);
        assert!(!folder.exists());
        assert!(UdpSocket::bind(address).is_ok());
    }

    #[test]
    fn it_ends_when_its_standard_input_closes_as_when_a_test_is_killed() {
        let Some(mut server) = DnsServer::start(&["a.test. 60 IN A 10.0.0.5"]) else { return };
        drop(server.keeper.child.stdin.take());
        assert!(server.keeper.child.wait().unwrap().success());
        assert!(server.keeper.server_runs.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Disconnected));
        assert!(!server.keeper.folder.path().exists());
    }
}
