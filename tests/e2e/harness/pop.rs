//! Pop: one `rimward run` process with its own ports and directory.
//!
//! In: the part of the configuration a test is about. Out: a process that is ready, its logs, its admin API.
//! Never: outlives the test.

use super::raw::request;
use super::wait::LOOK_AGAIN;
use super::{Broken, PATIENCE, Raw, Reply, until};
use parking_lot::Mutex;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tempfile::TempDir;

/// The host every request names unless it says otherwise.
pub const HOST: &str = "shop.example";

/// The admin API's token, handed over in the environment.
pub const TOKEN: &str = "token-of-the-tests";

/// What a test may say about its process. `rest` is TOML and may use `{dir}`.
pub struct Setup {
    /// The PoP's code.
    pub code: String,
    /// More lines of `[pop]`.
    pub pop: String,
    /// `[[listener]]` tables; `{port}` is replaced by one more free port each.
    pub listeners: String,
    /// The access log's format.
    pub log_format: String,
    /// Everything else: limits, cache, origins, behaviors.
    pub rest: String,
    /// A command that becomes the process: what stands here, then the binary and its arguments.
    pub through: Vec<String>,
    dir: TempDir,
}

pub struct Pop {
    pub http: SocketAddr,
    pub admin: SocketAddr,
    /// The addresses of `Setup::listeners`, in order.
    pub extra: Vec<SocketAddr>,
    /// Whether the plain port was open as soon as `/readyz` said yes.
    pub listened_when_ready: bool,
    dir: Arc<TempDir>,
    child: Child,
    stderr: Arc<Mutex<Vec<String>>>,
    head: String,
    through: Vec<String>,
}

// === impl Setup ===
impl Setup {
    pub fn new(rest: impl Into<String>) -> Self {
        Setup {
            code: "TST".to_owned(),
            pop: String::new(),
            listeners: String::new(),
            log_format: "json".to_owned(),
            rest: rest.into(),
            through: Vec::new(),
            dir: TempDir::new().unwrap(),
        }
    }

    /// The directory that `{dir}` stands for.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the process and waits until it is ready.
    pub fn start(self) -> Pop {
        let (http, admin) = (free_port(), free_port());
        let mut extra = Vec::new();
        let mut listeners = self.listeners;
        while listeners.contains("{port}") {
            let address = free_port();
            listeners = listeners.replacen("{port}", &address.port().to_string(), 1);
            extra.push(address);
        }
        let head = format!(
            "[pop]\ncode = \"{}\"\nlisten = [\"{http}\"]\nstate_dir = \"{{dir}}/state\"\n{}\n{listeners}\n\
             [admin]\naddress = \"{admin}\"\ntoken = \"env:RIMWARD_TEST_TOKEN\"\n\
             [observe]\naccess_log = {{ format = \"{}\", to = \"{{dir}}/access.log\" }}\n",
            self.code, self.pop, self.log_format
        );
        let dir = Arc::new(self.dir);
        write_config(dir.path(), &head, &self.rest);
        let through = self.through;
        let (child, stderr) = spawn(&through, dir.path(), &[]);
        let mut pop = Pop { http, admin, extra, listened_when_ready: false, dir, child, stderr, head, through };
        pop.wait_ready();
        pop
    }
}

// === impl Pop ===
impl Pop {
    /// A process with one plain listener.
    pub fn start(rest: impl Into<String>) -> Self {
        Setup::new(rest).start()
    }

    /// One origin, one behavior for everything; `behavior` are more of its lines.
    pub fn caching(origin: &super::Origin, behavior: &str) -> Self {
        Pop::start(format!("{}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{behavior}\n", origin.config("o")))
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new connection to the plain listener.
    pub fn raw(&self) -> Raw {
        Raw::connect(self.http)
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Reply {
        self.raw().get(path)
    }

    /// A GET with more fields on a connection of its own.
    pub fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.raw().ask("GET", path, fields)
    }

    /// A GET that may break off.
    pub fn raw_get(&self, path: &str) -> Result<Reply, Broken> {
        let mut raw = self.raw();
        raw.send(request("GET", path, &[], b""));
        raw.try_reply("GET")
    }

    /// Any request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut raw = self.raw();
        raw.send(request(method, path, fields, body));
        raw.reply(method)
    }

    // --- the operator's side

    /// A call of the admin API with the token.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {TOKEN}");
        let mut raw = Raw::connect(self.admin);
        let fields =
            [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("Connection", "close")];
        raw.send(request(method, path, &fields, body.as_bytes()));
        raw.reply(method)
    }

    /// A purge that must be accepted.
    pub fn purge(&self, what: &Value) {
        let reply = self.admin("POST", "/purge", &what.to_string());
        assert!(reply.status / 100 == 2, "purge {what}: {} {}", reply.status, reply.text());
    }

    pub fn status(&self) -> Value {
        let reply = self.admin("GET", "/status", "");
        assert_eq!(reply.status, 200);
        serde_json::from_slice(&reply.body).expect("/status is JSON")
    }

    pub fn metrics(&self) -> String {
        let reply = self.admin("GET", "/metrics", "");
        assert_eq!(reply.status, 200);
        reply.text()
    }

    /// The sum of a metric's samples whose labels contain all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines()
            .filter(of_name)
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Waits until a metric has come to `at_least`, since a request is counted behind its answer; what it then is.
    pub fn counts_to(&self, name: &str, labels: &[&str], at_least: f64) -> f64 {
        until(&format!("{name} {labels:?} to come to {at_least}"), || {
            Some(self.metric(name, labels)).filter(|now| *now >= at_least)
        })
    }

    /// As [`Pop::counts_to`], and it is `exactly` that.
    pub fn counted(&self, name: &str, labels: &[&str], exactly: f64) {
        assert_eq!(self.counts_to(name, labels, exactly), exactly, "{name} {labels:?}");
    }

    /// Replaces everything below `[observe]` in the file, nothing else: the process may notice by itself.
    pub fn rewrite(&self, rest: &str) {
        write_config(self.dir(), &self.head, rest);
    }

    /// Rewrites and asks for the reload; its answer.
    pub fn reload(&self, rest: &str) -> Reply {
        self.rewrite(rest);
        self.admin("POST", "/reload", "")
    }

    /// Every line of the access log that is complete, as JSON, in the order the requests began: each worker hands its lines
    /// over in batches.
    pub fn access_log(&self) -> Vec<Value> {
        let mut lines: Vec<Value> =
            self.access_lines().iter().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        lines.sort_by_key(|line| line["time"].as_str().unwrap_or_default().to_owned());
        lines
    }

    /// Every complete line of the access log.
    pub fn access_lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir().join("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Waits for the access-log line whose text contains `part`.
    pub fn log_line(&self, part: &str) -> Value {
        until(&format!("an access-log line with {part}"), || {
            let line = self.access_lines().into_iter().find(|line| line.contains(part))?;
            Some(serde_json::from_str(&line).expect("a JSON line"))
        })
    }

    /// What the process wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().join("\n")
    }

    // --- the process

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the process to end", || child.try_wait().unwrap())
    }

    /// Ends it as a power cut would, and starts it again on the same directory.
    pub fn crash_and_restart(&mut self) {
        self.signal("KILL");
        self.wait();
        self.start_again();
    }

    /// Starts it on the same directory after it has ended.
    pub fn start_again(&mut self) {
        (self.child, self.stderr) = spawn(&self.through, self.dir(), &[]);
        self.wait_ready();
    }

    /// From its next start on, it is another command that becomes the process ([`Setup::through`]).
    pub fn go_through(&mut self, through: Vec<String>) {
        self.through = through;
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it politely, and starts it again on the same directory.
    pub fn restart(&mut self) {
        self.signal("TERM");
        self.wait();
        self.start_again();
    }

    /// Starts a successor that takes the listeners over, and tells this one to hand them on. Returns the old process.
    pub fn upgrade(&mut self) -> Child {
        let (child, stderr) = spawn(&self.through, self.dir(), &["--upgrade"]);
        self.signal("QUIT");
        self.stderr = stderr;
        std::mem::replace(&mut self.child, child)
    }

    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The most memory it ever had resident, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn wait_ready(&mut self) {
        let (admin, child, stderr) = (self.admin, &mut self.child, &self.stderr);
        until("readyz", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("rimward ended with {status} before it was ready:\n{}", stderr.lock().join("\n"));
            }
            let mut raw = Raw::try_connect(admin).ok()?;
            let bearer = format!("Bearer {TOKEN}");
            raw.try_send(request("GET", "/readyz", &[("Authorization", &bearer), ("Connection", "close")], b""))
                .ok()?;
            raw.try_reply("GET").ok().filter(|reply| reply.status == 200)
        });
        // One test asserts this; the others go on, so that one fault does not fail them all.
        self.listened_when_ready = Raw::try_connect(self.http).is_ok();
        for address in std::iter::once(&self.http).chain(&self.extra) {
            until("the ports to open", || Raw::try_connect(*address).is_ok().then_some(()));
        }
    }
}

impl Drop for Pop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- stderr of the process\n{}\n---", self.stderr());
        }
    }
}

/// Sends a signal by name to one process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

/// Runs the binary once and returns its exit status, stdout and stderr.
pub fn run(args: &[&str]) -> (ExitStatus, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rimward"))
        .args(args)
        .env("RIMWARD_TEST_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        // Checking a configuration may compile the JavaScript engine.
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let said = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
            panic!("rimward {args:?} does not end:\n{said}");
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// An address nobody listens on, outside the range from which the system picks ports by itself.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (u32::from(n) + std::process::id() * 61 % 20_000) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn write_config(dir: &Path, head: &str, rest: &str) {
    let text = format!("{head}\n{rest}").replace("{dir}", &dir.display().to_string());
    let (fresh, path) = (dir.join("rimward.toml.new"), dir.join("rimward.toml"));
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

fn spawn(through: &[String], dir: &Path, more: &[&str]) -> (Child, Arc<Mutex<Vec<String>>>) {
    let binary = env!("CARGO_BIN_EXE_rimward");
    let mut command = match through {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    let mut child = command
        .args(["run", "--config"])
        .arg(dir.join("rimward.toml"))
        .args(more)
        .env("RIMWARD_TEST_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (pipe, sink) = (child.stderr.take().unwrap(), Arc::clone(&lines));
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            sink.lock().push(line);
        }
    });
    (child, lines)
}
