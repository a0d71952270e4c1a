//! Server: somebody else's Cognito, fetched once, started for one test.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;

const ROOT: &str = env!("CARGO_TARGET_TMPDIR");
/// Until a server answers.
const START: Duration = Duration::from_secs(60);

/// One installs at a time: both tests need Python.
static INSTALLING: Mutex<()> = Mutex::new(());

pub struct Server {
    pub url: String,
    child: Child,
    /// Where it keeps its data.
    _data: tempfile::TempDir,
}

#[derive(Deserialize)]
pub struct User {
    pub pool: String,
    pub client: String,
    pub id: String,
    pub access: String,
}

// === impl Server ===
impl Server {
    pub fn moto() -> Self {
        let bin = python().with_file_name("moto_server");
        Self::start(|port| {
            let mut command = Command::new(bin);
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        })
    }

    pub fn cognito_local() -> Self {
        let bin = modules().join("node_modules/.bin/cognito-local");
        Self::start(|port| {
            let mut command = Command::new(bin);
            command.env("HOST", "127.0.0.1").env("PORT", port.to_string());
            command
        })
    }

    fn start(command: impl FnOnce(u16) -> Command) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = tempfile::tempdir().unwrap();
        let mut command = command(port);
        command.current_dir(data.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server { url: format!("http://127.0.0.1:{port}"), child: command.spawn().unwrap(), _data: data };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < START, "{command:?} does not listen");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        server
    }

    /// A new pool with a user in the group "admins", and the user's tokens.
    pub fn sign_up(&self, region: &str) -> User {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/issuers/sign_up.py");
        let output = Command::new(python()).arg(script).args([&self.url, region]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python that has moto, and with it boto3.
fn python() -> PathBuf {
    let _turn = INSTALLING.lock();
    let venv = Path::new(ROOT).join("issuers-python");
    let python = venv.join("bin/python");
    if !venv.join("ready").exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "moto[server]"]));
        std::fs::write(venv.join("ready"), "").unwrap();
    }
    python
}

fn modules() -> PathBuf {
    let _turn = INSTALLING.lock();
    let folder = Path::new(ROOT).join("issuers-node");
    if !folder.join("ready").exists() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("package.json"), "{}").unwrap();
        let npm = ["install", "--silent", "--no-audit", "--no-fund", "cognito-local"];
        done(Command::new("npm").args(npm).current_dir(&folder));
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder
}

fn done(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}
