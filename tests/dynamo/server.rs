//! Server: the front on a port of this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rimward::config::compiled::{CacheBounds, Credentials, DynamoDb, DynamoEndpoint};
use rimward::config::secret::Secret;
use rimward::dynamo::{BODY_MAX, Caller, Dynamo};
use tokio::runtime::Runtime;

pub struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

pub fn spec(throttle: bool) -> DynamoDb {
    let off = CacheBounds { ttl: Duration::ZERO, size: 0 };
    DynamoDb {
        listen: None,
        access: None,
        endpoint: DynamoEndpoint::Embedded,
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        throttle,
        items: off,
        queries: off,
        follow: None,
        ttl_sweep: Duration::from_millis(200),
        threads: 2,
        queue: 1024,
        sync_full: false,
        node: "fra".into(),
        tables: Vec::new(),
    }
}

/// The same with both caches.
pub fn cached(spec: DynamoDb) -> DynamoDb {
    let minutes = CacheBounds { ttl: Duration::from_secs(300), size: 1 << 22 };
    DynamoDb { items: minutes, queries: minutes, ..spec }
}

/// A front before the front at `url`, which signs what it asks.
pub fn before(url: &str, spec: DynamoDb) -> DynamoDb {
    let secret = || Secret::new(format!("{:x}", rand::random::<u128>()));
    let credentials = Credentials { access_key: secret(), secret_key: secret(), session_token: None };
    DynamoDb { endpoint: DynamoEndpoint::Remote { url: url.to_owned(), credentials: Some(credentials) }, ..spec }
}

impl Server {
    pub fn start(spec: &DynamoDb, state: &Path) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let within = runtime.enter();
        let clock = Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let dynamo = Dynamo::open(spec, state, clock).unwrap();
        drop(within);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let dynamo = dynamo.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let dynamo = dynamo.clone();
                        async move {
                            let (head, body) = request.into_parts();
                            let body = Limited::new(body, BODY_MAX + 1).collect().await.map(|body| body.to_bytes());
                            let request = http::Request::from_parts(head, body.unwrap_or_default());
                            let answer = dynamo.handle(&Caller::inside(), request).await;
                            Ok::<_, Infallible>(answer.map(Full::new))
                        }
                    });
                    // A client that goes away is no failure.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Server { address, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A Python that has boto3, with the AWS CLI beside it; made once.
pub fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dynamo-python");
    let python = venv.join("bin/python");
    // Two tests may come at once: each makes a venv of its own, and one of them stays.
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if !venv.join("ready").exists() {
            done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
            done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "boto3", "awscli"]));
            std::fs::write(venv.join("ready"), "").unwrap();
        }
    });
    python
}

/// A folder of Node modules that has the SDK, as a module in it would be named.
pub fn modules() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dynamo-node");
    if !folder.join("ready").exists() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("package.json"), "{}").unwrap();
        let packages = ["@aws-sdk/client-dynamodb", "@aws-sdk/lib-dynamodb", "@aws-sdk/client-dynamodb-streams"];
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund"]).args(packages).current_dir(&folder);
        done(&mut install);
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder.join("module.cjs")
}

fn done(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}
