//! Tools: a local Lambda in a directory of its own, and the runtimes that it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use rimward::config::compiled::{LambdaFunction, LambdaLimits, LambdaRuntime, LocalLambda};
use rimward::lambda::Lambda;
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_TARGET_TMPDIR");

/// Two tests must not install at once.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A Python that has AWS's runtime client, and boto3.
pub fn python() -> String {
    let _turn = INSTALLING.lock();
    let venv = Path::new(ROOT).join("lambda-python");
    let python = venv.join("bin/python");
    if !venv.join("ready").exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "awslambdaric==4.2.2", "boto3"]));
        std::fs::write(venv.join("ready"), "").unwrap();
    }
    python.to_str().unwrap().to_owned()
}

fn done(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A directory with functions, and one with the state.
pub struct Place {
    pub dir: TempDir,
    pub spec: LocalLambda,
}

impl Place {
    pub fn new() -> Self {
        let spec = LocalLambda {
            listen: None,
            access: None,
            api: true,
            region: "eu-west-1".into(),
            account: "000000000000".into(),
            concurrency: 1000,
            freeze: true,
            idle: Duration::from_secs(600),
            endpoints: vec![("dynamodb".into(), "http://127.0.0.1:8000".into())],
            credentials: None,
            python: python(),
            node: "node".into(),
            limits: LambdaLimits {
                timeout: Duration::from_secs(900),
                memory: 10_240,
                init: Duration::from_secs(10),
                payload: 6 << 20,
                event: 1 << 20,
                stream: 200 << 20,
                package: 50 << 20,
                unpacked: 250 << 20,
                queue: 100_000,
                queue_size: 1 << 30,
            },
            functions: Vec::new(),
        };
        Place { dir: TempDir::new().unwrap(), spec }
    }

    /// A function of one file.
    pub fn function(
        &mut self,
        name: &str,
        runtime: &str,
        handler: &str,
        file: &str,
        text: &str,
    ) -> &mut LambdaFunction {
        let code = self.dir.path().join(name);
        std::fs::create_dir_all(&code).unwrap();
        write(&code.join(file), text);
        self.spec.functions.push(LambdaFunction {
            name: name.into(),
            runtime: LambdaRuntime::parse(runtime).unwrap(),
            handler: handler.into(),
            code,
            command: Vec::new(),
            memory: 128,
            timeout: Duration::from_secs(60),
            environment: Vec::new(),
            concurrency: None,
            retries: 2,
            event_age: Duration::from_secs(21_600),
            on_failure: None,
            events: Vec::new(),
        });
        self.spec.functions.last_mut().unwrap()
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn open(&self) -> Lambda {
        Lambda::open(&self.spec, &self.state(), None, None).unwrap()
    }
}

pub fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub async fn read(response: Response<rimward::lambda::Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn log(&self) -> String {
        use base64::Engine as _;
        let log = self.header("x-amz-log-result").unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(log).unwrap()).unwrap()
    }
}

pub async fn send(lambda: &Lambda, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Got::read(lambda.handle(request.body(body.into()).unwrap()).await).await
}

pub async fn invoke(lambda: &Lambda, name: &str, payload: impl Into<Bytes>) -> Got {
    let path = format!("/2015-03-31/functions/{name}/invocations");
    send(lambda, "POST", &path, &[("x-amz-log-type", "Tail")], payload).await
}

/// The events of a streamed answer: their type and payload.
pub fn events(mut stream: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    while !stream.is_empty() {
        let u32_at = |at: usize| u32::from_be_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (u32_at(0), u32_at(4));
        // The first header is the event's type: a name's length, the name, 7, the value's length, the value.
        let name = usize::from(stream[12]);
        let value = usize::from(u16::from_be_bytes([stream[14 + name], stream[15 + name]]));
        let kind = String::from_utf8(stream[16 + name..16 + name + value].to_vec()).unwrap();
        all.push((kind, stream[12 + headers..total - 4].to_vec()));
        stream = &stream[total..];
    }
    all
}
