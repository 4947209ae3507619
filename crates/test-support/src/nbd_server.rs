//! NBD servers of others: `qemu-nbd` and nbdkit.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tools;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that listens on a Unix socket of its own; killed when dropped.
#[derive(Debug)]
pub struct NbdServer {
    child: Child,
    folder: TempDir,
}

impl NbdServer {
    /// `qemu-nbd`, read-only, with these arguments besides the socket's; `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen, or is not installed but must be.
    pub fn qemu<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Option<Self> {
        Self::start("qemu-nbd", &["--read-only", "--persistent", "--shared=8"], "--socket", arguments)
    }

    /// nbdkit with these arguments besides the socket's; `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen, or is not installed but must be.
    pub fn nbdkit<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Option<Self> {
        Self::start("nbdkit", &["--foreground", "--exit-with-parent"], "--unix", arguments)
    }

    /// nbdkit with these arguments on a TCP port of this machine; `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen, or is not installed but must be.
    pub fn nbdkit_on_port<A: AsRef<OsStr>>(port: u16, arguments: impl IntoIterator<Item = A>) -> Option<Self> {
        let program = Self::program("nbdkit")?;
        let mut command = Command::new(program);
        command.args(["--foreground", "--exit-with-parent", "--ipaddr=127.0.0.1", "--port"]);
        command.arg(port.to_string()).args(arguments);
        Some(Self::listening(command, tempfile::tempdir().unwrap(), |_| {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        }))
    }

    fn program(name: &str) -> Option<PathBuf> {
        let path = tools::on_path(name);
        if path.is_none() {
            tools::missing(name);
        }
        path
    }

    fn start<A: AsRef<OsStr>>(
        program: &str,
        fixed: &[&str],
        socket: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Option<Self> {
        let path = Self::program(program)?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(path);
        command.args(fixed).arg(socket).arg(folder.path().join("socket")).args(arguments);
        Some(Self::listening(command, folder, |folder| UnixStream::connect(folder.join("socket")).is_ok()))
    }

    /// Starts the server and waits until it listens.
    fn listening(mut command: Command, folder: TempDir, listens: impl Fn(&Path) -> bool) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, folder };
        let started = Instant::now();
        while !listens(server.folder.path()) {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{command:?} does not listen: {ended:?}");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The URI of its export of this name.
    pub fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket().display())
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What `nbdinfo` prints with these arguments; `None` when it is not installed.
///
/// # Panics
/// When it fails, or is not installed but must be.
pub fn nbdinfo(arguments: &[&str]) -> Option<String> {
    let path = NbdServer::program("nbdinfo")?;
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "nbdinfo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
