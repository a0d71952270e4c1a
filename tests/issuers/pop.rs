//! Pop: the real binary in front of a fixed answer, with rules for the tokens of one pool.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Until it serves: loading is quick, a busy machine is not.
const START: Duration = Duration::from_secs(60);

pub struct Pop {
    address: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
}

// === impl Pop ===
impl Pop {
    pub fn start(iss: &str, jwks: &str, client: &str) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = free();
        let dir = tempfile::tempdir().unwrap();
        let issuer = |name: &str, token_use: &str| {
            format!(
                "[[jwt]]\nname = \"{name}\"\nissuer = \"{iss}\"\njwks = \"{jwks}\"\naudience = [\"{client}\"]\n\
                 token_use = \"{token_use}\"\n"
            )
        };
        let behavior = |path: &str, rule: &str| {
            format!("[[behavior]]\nmatch = \"{path}\"\norigin = \"fixed\"\naccess = {{ jwt = {rule} }}\n")
        };
        let config = [
            format!("admin = false\n[pop]\nlisten = [\"{address}\"]\n[observe]\naccess_log = false\n"),
            "[[origin]]\nname = \"fixed\"\ngenerated = { status = 200, body = \"in\" }\n".to_owned(),
            issuer("id", "id"),
            issuer("access", "access"),
            behavior("/id", "{ issuer = \"id\", groups = [\"admins\"] }"),
            behavior("/owners", "{ issuer = \"id\", groups = [\"owners\"] }"),
            behavior("/access", "{ issuer = \"access\", scopes = [\"aws.cognito.signin.user.admin\"] }"),
        ];
        let file = dir.path().join("pop.toml");
        std::fs::write(&file, config.concat()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rimward"));
        command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut pop = Pop { address, child: command.spawn().unwrap(), _dir: dir };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(pop.child.try_wait().unwrap().is_none(), "the PoP ended");
            assert!(began.elapsed() < START, "the PoP does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        pop
    }

    /// The status of an answer.
    pub fn get(&self, path: &str, token: Option<&str>) -> u16 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let field = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{field}\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.get(9..12).unwrap().parse().unwrap()
    }
}

impl Drop for Pop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
