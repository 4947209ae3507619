//! A network of a test's own, to see which addresses it really sends packets to.
//!
//! The test runs itself again, alone and in a network namespace that has nothing but loopback. Loopback has
//! the addresses that the test names, private and public ones, so that servers can listen at them, and nothing
//! that is sent there leaves the machine. What is sent elsewhere finds no way out at all.
//!
//! ```no_run
//! # use libmigrate_test_support::network_namespace;
//! // in `#[test] fn goes_to_the_private_address()` of `mod network`
//! let name = "network::goes_to_the_private_address";
//! let Some(namespace) = network_namespace::inside(name, &["10.77.0.5", "20.60.0.1"]) else { return };
//! // connect somewhere
//! assert_eq!(namespace.packets_to("20.60.0.1"), 0);
//! ```
//!
//! In the namespace, port 53 and the files `/etc/hosts` and `/etc/resolv.conf` are the test's own too. Clients
//! have the address [`CLIENT`] or [`CLIENT_V6`], so an address receives what was sent to it and no answers.
//!
//! It needs root or a system that allows user namespaces. Without either the test says so in one line and
//! passes, everywhere: that is no tool which could be installed.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write, stderr, stdin};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::tools;

/// What clients in the namespace are called by IPv4, unless they ask for another: an address for documentation.
pub const CLIENT: &str = "192.0.2.1";
/// The same by IPv6.
pub const CLIENT_V6: &str = "2001:db8::1";

/// Names, for the test that runs inside, the file that it makes to show that it did.
const ENTERED: &str = "LIBMIGRATE_IN_NAMESPACE";

/// The ways in: as root, and as anybody who may be root in a user namespace.
const WAYS: [&[&str]; 2] = [&["--net", "--mount"], &["--user", "--map-root-user", "--net", "--mount"]];

/// Inside, the namespace with these addresses. Outside, `None`, after the test of this name (as `--list` has it)
/// has passed inside, or was skipped because there can be no namespace or a tool is missing. To be called first
/// in a test; what follows runs inside only.
///
/// # Panics
/// When the test fails inside, with all that it printed; when no test has this name; when a tool is missing that
/// must be installed.
pub fn inside(test_name: &str, addresses: &[&str]) -> Option<Namespace> {
    if let Some(entered) = env::var_os(ENTERED) {
        let addresses: Vec<_> = addresses.iter().map(|address| address.parse().expect("an IP address")).collect();
        let namespace = Namespace::enter(&addresses).expect("the namespace can be furnished");
        fs::write(entered, []).expect("it can be shown that the test runs inside");
        return Some(namespace);
    }
    let program = |name| {
        tools::on_path(name).or_else(|| {
            tools::missing(name);
            None
        })
    };
    let (unshare, ip, _) = (program("unshare")?, program("ip")?, program("python3")?);
    let Some(way) = way_in(&unshare, &ip) else {
        tools::skipped("this machine allows no network namespace");
        return None;
    };
    run_inside(&unshare, way, test_name).expect("the test can be run in a network namespace");
    None
}

/// The first way that this machine allows.
fn way_in(unshare: &Path, ip: &Path) -> Option<&'static [&'static str]> {
    let is_open = |way: &&[&str]| {
        let output = Command::new(unshare).args(*way).arg("--").arg(ip).args(["link", "set", "lo", "up"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    WAYS.into_iter().find(is_open)
}

/// Runs a test of this binary once more, and hands on what it wrote to standard error.
fn run_inside(unshare: &Path, way: &[&str], test_name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let entered = folder.path().join("entered");
    let mut child = Command::new(unshare)
        .args(way)
        .arg("--")
        .arg(env::current_exe()?)
        .args(["--exact", test_name, "--nocapture", "--include-ignored"])
        .env(ENTERED, &entered)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let held_open = child.stdin.take(); // for as long as the test inside shall live
    let output = child.wait_with_output()?;
    drop(held_open);

    let (printed, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test_name} fails in a network namespace:\n{printed}\n{words}");
    assert!(entered.exists(), "there is no test {test_name}, or it does not enter its network namespace:\n{printed}");
    _ = write!(stderr(), "{words}"); // a closed stderr is no failure
    Ok(())
}

/// The network namespace that this process runs in. It ends with the process.
#[derive(Debug)]
pub struct Namespace {
    counter: Mutex<Counter>,
    folder: TempDir,
}

impl Namespace {
    fn enter(addresses: &[IpAddr]) -> Result<Self> {
        end_with_the_outer_process();
        run("ip", &["link", "set", "lo", "up"])?;
        let clients = [CLIENT, CLIENT_V6].map(|client| client.parse::<IpAddr>().expect("an IP address"));
        for client in clients.iter().filter(|client| addresses.iter().any(|address| same_family(address, client))) {
            run("ip", &["address", "add", &host(client), "dev", "lo"])?;
            for address in addresses.iter().filter(|address| same_family(address, client)) {
                run("ip", &["address", "add", &host(address), "dev", "lo"])?;
                // As the kernel makes the route, who connects to the address has that same address.
                let (address, client) = (host(address), client.to_string());
                run("ip", &["route", "del", "local", &address, "dev", "lo", "table", "local"])?;
                run("ip", &["route", "add", "local", &address, "dev", "lo", "table", "local", "src", &client])?;
            }
        }
        Ok(Self { counter: Mutex::new(Counter::start()?), folder: tempfile::tempdir()? })
    }

    /// How many packets have been sent to this address, by anybody here and whether they were taken or not:
    /// whatever was sent before this call is counted, to the packet.
    ///
    /// # Panics
    /// When this is no address, or packets came too fast to be counted.
    pub fn packets_to(&self, address: &str) -> u64 {
        let address: IpAddr = address.parse().expect("an IP address");
        let mut counter = self.counter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        counter.packets_to(address).expect("the packet counter answers")
    }

    /// Makes this text the hosts file of the namespace. May be called again.
    ///
    /// # Panics
    /// When the system does not let it.
    pub fn hosts_file(&self, text: &str) {
        self.put_over("/etc/hosts", text).expect("the hosts file can be replaced");
    }

    /// Makes this text the `resolv.conf` of the namespace. May be called again.
    ///
    /// # Panics
    /// When the system does not let it, or has no such file.
    pub fn resolv_conf(&self, text: &str) {
        self.put_over("/etc/resolv.conf", text).expect("resolv.conf can be replaced");
    }

    fn put_over(&self, file: &str, text: &str) -> Result<()> {
        let own = self.folder.path().join(file.replace('/', "-"));
        let is_there = own.exists();
        fs::write(&own, text)?;
        if is_there { Ok(()) } else { run("mount", &["--bind", own.to_str().context("a path in UTF-8")?, file]) }
    }
}

/// The process outside holds our standard input open for as long as it lives.
fn end_with_the_outer_process() {
    thread::spawn(|| {
        _ = stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
}

fn same_family(one: &IpAddr, other: &IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

/// A network of one address, as `ip` writes it.
fn host(address: &IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let path = tools::on_path(program).unwrap_or_else(|| PathBuf::from(program));
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {} ended with {}: {words}", arguments.join(" "), output.status);
    Ok(())
}

/// `packet_counter.py`, which ends when its standard input closes.
#[derive(Debug)]
struct Counter {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Counter {
    fn start() -> Result<Self> {
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/packet_counter.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start python3")?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut counter = Self { child, questions, answers };
        let answer = counter.answer()?;
        ensure!(answer == "ready", "the packet counter does not count: {answer:?}");
        Ok(counter)
    }

    fn packets_to(&mut self, address: IpAddr) -> Result<u64> {
        let questions = self.questions.as_mut().expect("it is open until the end");
        writeln!(questions, "{address}")?;
        let answer = self.answer()?;
        answer.parse().with_context(|| format!("the packet counter says {answer:?}, and its words are above"))
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.questions = None;
        // Fails only when it has ended already.
        _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

    use super::*;
    use crate::dns_server::DnsServer;

    const PRIVATE: &str = "10.77.0.5";
    const PUBLIC: &str = "20.60.0.1";

    #[test]
    fn packets_are_counted_by_the_address_they_are_sent_to() {
        let name = "network_namespace::tests::packets_are_counted_by_the_address_they_are_sent_to";
        let Some(namespace) = inside(name, &[PRIVATE, PUBLIC]) else { return };
        let counts = || (namespace.packets_to(PRIVATE), namespace.packets_to(PUBLIC));
        assert_eq!(counts(), (0, 0));

        let refused = TcpStream::connect((PUBLIC, 443)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(counts(), (0, 1), "one SYN; its answer goes to the client");

        let _listener = TcpListener::bind((PRIVATE, 443)).unwrap();
        let stream = TcpStream::connect((PRIVATE, 443)).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip().to_string(), CLIENT);
        assert_eq!(counts(), (2, 1), "SYN and ACK");

        let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
        for _ in 0..1000 {
            _ = socket.send_to(b"knock", (PUBLIC, 53)); // every other one reports the refusal of the one before
        }
        let after = counts();
        assert!(after.0 == 2 && (501..=1001).contains(&after.1), "{after:?}");
    }

    #[test]
    fn packets_by_ipv6_are_counted_too() {
        let name = "network_namespace::tests::packets_by_ipv6_are_counted_too";
        let Some(namespace) = inside(name, &["fd00::5", "2603:1000::1"]) else { return };
        TcpStream::connect(("2603:1000::1", 443)).unwrap_err();
        assert_eq!((namespace.packets_to("fd00::5"), namespace.packets_to("2603:1000::1")), (0, 1));
    }

    #[test]
    fn nothing_leaves_the_namespace() {
        let Some(_namespace) = inside("network_namespace::tests::nothing_leaves_the_namespace", &[PRIVATE]) else {
            return;
        };
        let error = TcpStream::connect((PUBLIC, 443)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    }

    #[test]
    fn names_are_the_tests_own() {
        let Some(namespace) = inside("network_namespace::tests::names_are_the_tests_own", &[PRIVATE]) else { return };
        let lookup = || ("acct.example.test", 443).to_socket_addrs().map(|mut found| found.next().unwrap().ip());
        namespace.hosts_file("10.77.0.6 acct.example.test\n");
        assert_eq!(lookup().unwrap(), IpAddr::from([10, 77, 0, 6]));
        namespace.hosts_file("10.77.0.7 acct.example.test\n");
        assert_eq!(lookup().unwrap(), IpAddr::from([10, 77, 0, 7]));

        namespace.hosts_file("");
        let at = "10.77.0.5:53".parse().unwrap();
        let Some(_server) = DnsServer::start_at(at, &["acct.example.test. 1 IN A 10.77.0.8"]) else { return };
        namespace.resolv_conf("nameserver 10.77.0.5\n");
        assert_eq!(lookup().unwrap(), IpAddr::from([10, 77, 0, 8]));
    }

    #[test]
    #[should_panic(expected = "there is no test no::such_test")]
    fn a_name_that_no_test_has_is_not_taken_for_a_pass() {
        let Some(unshare) = tools::on_path("unshare") else { panic!("there is no test no::such_test") };
        let way = way_in(&unshare, Path::new("ip")).unwrap_or(&[]);
        run_inside(&unshare, way, "no::such_test").unwrap();
    }
}
