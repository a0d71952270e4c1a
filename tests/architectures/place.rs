//! Place: a copy of one directory of config/ with ports of its own, and the PoP that its start.sh starts.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use crate::nats::nats_server;

const ROOT: &str = env!("CARGO_TARGET_TMPDIR");
/// A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Ports that the examples name.
const PORTS: [u16; 18] =
    [8080, 9901, 8000, 5000, 7001, 7002, 7003, 4222, 7422, 4301, 4302, 4303, 8081, 8082, 8083, 9911, 9912, 9913];
/// Where their PoPs say that they are ready.
const ADMINS: [u16; 1] = [9901];
const GLOBAL: [u16; 2] = [9901, 9912];
const FLEET: [u16; 3] = [9911, 9912, 9913];
/// What all examples share.
const SHARED: [&str; 3] = ["smoke.inc.sh", "cognito.mjs", "dynamodb.mjs"];

/// One example at a time: they have deadlines of their own.
static TURN: Mutex<()> = Mutex::new(());

pub struct Place {
    name: &'static str,
    root: TempDir,
    ports: BTreeMap<u16, u16>,
    running: Option<Child>,
    _turn: MutexGuard<'static, ()>,
}

// === impl Place ===
impl Place {
    pub fn new(name: &'static str) -> Self {
        let turn = TURN.lock();
        let held: Vec<TcpListener> = PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let free = held.iter().map(|listener| listener.local_addr().unwrap().port());
        let ports = PORTS.into_iter().zip(free).collect();
        let place = Place { name, root: TempDir::new().unwrap(), ports, running: None, _turn: turn };
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        for shared in SHARED {
            place.copy(&config.join(shared), &place.root.path().join(shared));
        }
        place.copy(&config.join(name), &place.dir());
        place
    }

    /// The example's directory.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join(self.name)
    }

    /// The address in the place of "127.0.0.1:port".
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[&port]))
    }

    /// What start.sh makes is left out, so that it is made here.
    fn copy(&self, from: &Path, to: &Path) {
        if from.is_dir() {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let name = entry.unwrap().file_name();
                if name != "keys" && name != "state" {
                    self.copy(&from.join(&name), &to.join(&name));
                }
            }
            return;
        }
        let text = std::fs::read_to_string(from).unwrap();
        // In one pass: a port that was put in may begin like another one.
        let mut parts = text.split("127.0.0.1:");
        let mut own = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (written, rest) = part.split_at(digits);
            let known = written.parse().ok().filter(|port| PORTS.contains(port));
            own += &known.map_or(format!("127.0.0.1:{written}"), |port| self.address(port).to_string());
            own += rest;
        }
        std::fs::write(to, own).unwrap();
    }

    /// Runs start.sh, until the PoP is ready.
    pub fn start(&mut self) {
        let log = File::options().append(true).create(true).open(self.root.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.arg(self.dir().join("start.sh")).env("RIMWARD", env!("CARGO_BIN_EXE_rimward"));
        let admins = match self.name {
            "fleet" => &FLEET[..],
            "global-website" => &GLOBAL,
            _ => &ADMINS,
        };
        if admins != ADMINS {
            command.env("NATS", nats_server());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        self.running = Some(command.spawn().unwrap());
        until("the PoP is ready", || {
            let ended = self.running.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "start.sh ended: {ended:?}\n{}", self.log());
            admins.iter().all(|port| ready(self.address(*port))).then_some(())
        });
    }

    /// Changes the configuration while it is in force, until the change is.
    pub fn edit(&self, from: &str, to: &str) {
        let file = self.dir().join("edge.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        until("the change is in force", || self.log().contains(" is in force").then_some(()));
    }

    /// Runs smoke.sh.
    pub fn smoke(&self) {
        let mut command = Command::new("sh");
        command.arg(self.dir().join("smoke.sh")).env("EDGE", format!("http://{}", self.address(8080)));
        command.env("NRT", format!("http://{}", self.address(8082)));
        command.env("RIMWARD", env!("CARGO_BIN_EXE_rimward"));
        let output = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{err}\n{}", self.log());
        assert!(out.ends_with("== all of it works\n"), "{out}");
        assert!(!self.log().contains("warning: "), "{}", self.log());
    }

    /// Kills the PoP with -9, and waits for start.sh to end.
    pub fn crash(&mut self) {
        let mut start = self.running.take().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", start.id());
        let pop = std::fs::read_to_string(children)
            .unwrap()
            .split_whitespace()
            .map(|pid| pid.parse::<i32>().unwrap())
            .find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "rimward\n"))
            .unwrap();
        kill(Pid::from_raw(pop), Signal::SIGKILL).unwrap();
        assert!(!start.wait().unwrap().success());
    }

    /// What the PoP says of itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(mut start) = self.running.take() else { return };
        let group = Pid::from_raw(i32::try_from(start.id()).unwrap());
        let _ = killpg(group, Signal::SIGTERM);
        let began = Instant::now();
        while start.try_wait().is_ok_and(|ended| ended.is_none()) && began.elapsed() < PATIENCE {
            std::thread::park_timeout(LOOK_AGAIN);
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = start.wait();
    }
}

fn ready(admin: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = TcpStream::connect(admin) else { return false };
    let mut answer = String::new();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// Waits for something to be there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// A Python that has boto3 and moto.
pub fn python() -> PathBuf {
    let venv = Path::new(ROOT).join("architectures-python");
    let python = venv.join("bin/python");
    if !venv.join("ready").exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "moto[server]"]));
        std::fs::write(venv.join("ready"), "").unwrap();
    }
    python
}

fn done(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
